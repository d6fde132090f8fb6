//! The narrow door to a host: look, and do one stage. Linux stands behind it (crate `raum-kernel`), or a model in memory
//! ([`crate::model`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::lab::Proto;
use crate::name::{IfName, LabName, NsId, NsName};
use crate::nft::PortMap;
use crate::plan::Op;
use crate::state::{State, Sysctl};

/// What an observer is to look at: everything with the lab's mark, and these names whoever has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The lab.
    pub lab: LabName,
    /// Namespaces that the lab wants: told as foreign if they exist without the mark.
    pub namespaces: BTreeSet<NsName>,
    /// Interfaces that the lab wants on the host: told as foreign if they exist without the mark.
    pub host_links: BTreeSet<IfName>,
    /// Sysctls to read, where the namespace exists. A key that does not exist (its interface is gone) is left out.
    pub sysctls: BTreeSet<(NsId, Sysctl)>,
    /// Look into the lab's namespaces; else each is told as an empty one. To take them away it is enough to know whose they
    /// are, and to look into a thousand takes a third as long as to take them away.
    pub inside: bool,
    /// Look for neighbours that raum wrote down. The kernel goes through those of the whole machine for each namespace, so that it
    /// is asked only where there can be any ([`Surroundings::writes_neighbours`]).
    pub neighbours: bool,
}

impl Scope {
    /// Only what carries the lab's mark.
    #[must_use]
    pub fn of(lab: &LabName) -> Self {
        Self {
            lab: lab.clone(),
            namespaces: BTreeSet::new(),
            host_links: BTreeSet::new(),
            sysctls: BTreeSet::new(),
            inside: true,
            neighbours: false,
        }
    }
}

/// What `design` must know of the host around a lab; read once, before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Surroundings {
    /// Unicast routes of the host's main table that are not the lab's own: destination and interface. Default routes too.
    pub routes: Vec<(IpNet, IfName)>,
    /// The host's own addresses on interfaces that are not the lab's.
    pub addresses: Vec<(IpAddr, IfName)>,
    /// TCP, UDP and SCTP ports on which something of the host listens, with the address (unspecified for all).
    pub listening: BTreeSet<(Proto, IpAddr, u16)>,
    /// Present values of the host sysctls that forwarding may need (`net/ipv4/conf/IF/forwarding`,
    /// `net/ipv6/conf/IF/{forwarding,force_forwarding,accept_ra}`), for each interface in `routes`, `addresses` and `all`,
    /// `net/ipv4/conf/{all,default}/rp_filter`, `net/bridge/bridge-nf-call-{ip,ip6}tables`, and of every key noted in `was`; and
    /// of the limits of neighbours (`net/ipv4/neigh/default/gc_thresh3`), where they may be written. A key that is missing here
    /// does not exist in this kernel (`force_forwarding` before
    /// Linux 6.17), or its interface is gone.
    pub sysctls: BTreeMap<Sysctl, String>,
    /// For each lab on the host, this one too: the sysctls that it changed, with the value from before the first lab. Read
    /// from the notes in the labs' tables ([`crate::nft::Table::was`]).
    pub was: BTreeMap<LabName, BTreeMap<Sysctl, String>>,
    /// For each other lab on the host: the ports that it publishes, as the maps of its table. A port can lead to one lab only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub published: BTreeMap<LabName, Vec<PortMap>>,
    /// Does the kernel have IPv6 (`/proc/net/if_inet6`, `disable_ipv6`)?
    pub ipv6: bool,
    /// The machine's limits of neighbours (`gc_thresh3`), IPv4 and IPv6, each where it may not be changed from here; where it
    /// may, it is among `sysctls`.
    #[serde(default)]
    pub fixed_neighbours: [Option<u32>; 2],
}

impl Surroundings {
    /// May a lab have neighbours written down here, since the limit of those that are learned stays what it is?
    #[must_use]
    pub fn writes_neighbours(&self) -> bool {
        self.fixed_neighbours.iter().any(Option::is_some)
    }

    /// Do bridged IPv6 packets meet the rules inside the bridge already (module `br_netfilter`)?
    #[must_use]
    pub fn bridged_v6_meets_rules(&self) -> bool {
        self.is_set("net/bridge/bridge-nf-call-ip6tables")
    }

    /// The same for either family.
    #[must_use]
    pub fn bridged_meets_rules(&self) -> bool {
        self.bridged_v6_meets_rules() || self.is_set("net/bridge/bridge-nf-call-iptables")
    }

    /// Do bridged packets of IPv4, and those of IPv6?
    #[must_use]
    pub fn bridged(&self) -> [bool; 2] {
        [self.is_set("net/bridge/bridge-nf-call-iptables"), self.bridged_v6_meets_rules()]
    }

    fn is_set(&self, key: &str) -> bool {
        Sysctl::new(key).ok().and_then(|key| self.sysctls.get(&key)).is_some_and(|value| value != "0")
    }
}

/// An operation that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct OpError {
    /// The kernel's errno, positive; 0 where raum itself refused.
    pub errno: i32,
    /// The errno's name: `ENETUNREACH`.
    pub code: &'static str,
    /// The kernel's own words: the extended ack where there is one, else the text of the errno.
    pub message: String,
}

impl OpError {
    /// `Nexthop has invalid gateway (ENETUNREACH)`.
    #[must_use]
    pub fn words(&self) -> String {
        if self.code.is_empty() { self.message.clone() } else { format!("{} ({})", self.message, self.code) }
    }
}

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Refused; the host is as before this operation.
    Failed(OpError),
    /// Not tried, because an earlier one of the same stage failed or the run was interrupted.
    NotRun,
}

/// Looking failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct ObserveError {
    /// What was being read: `interfaces of shop-web`.
    pub what: String,
    /// The kernel's answer.
    pub cause: OpError,
}

/// A host, real or imagined.
pub trait Host {
    /// Reads what belongs to the lab, now.
    ///
    /// # Errors
    /// [`ObserveError`] if the kernel refuses or a namespace cannot be entered. A namespace that goes away meanwhile is no
    /// error: it is not there.
    fn observe(&mut self, scope: &Scope) -> Result<State, ObserveError>;

    /// Runs the operations of one stage and says for each what became of it; same length and order as `stage`. Operations
    /// of one namespace run in order; after a failure the rest of that namespace's are [`Outcome::NotRun`], and those of
    /// others may be.
    fn run(&mut self, stage: &[Op]) -> Vec<Outcome>;
}
