//! All namespaces of a machine, and what joins them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Forwarding, Interface, Neighbour, PolicyRule, RouteEntry, RuleChain, Translation};
use crate::lab::Proto;
use crate::name::LabName;
use crate::nft::Table;

/// The network namespaces of a machine, or those of them that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scene {
    /// The host first, then in order of their names.
    pub namespaces: Vec<Room>,
    /// What could not be seen of the machine as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// One namespace in a [`Scene`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// How raum speaks of it, each by another name: `host`; its name under /run/netns; `docker:web`, or
    /// `docker:0a1b2c3d4e5f` where Docker does not tell; `pid:1234`;
    /// `red@1234` for a name in the mounts of process 1234.
    pub namespace: String,
    /// The number that the kernel gives it: `net:[4026531840]`; 0 where nothing leads into it but a cable, and only its
    /// interfaces are known.
    pub inode: u64,
    /// Whose it is.
    pub owner: Owner,
    /// The lab whose mark it carries.
    pub lab: Option<LabName>,
    /// Files over which it is bound.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Who is inside. Threads of the kernel, which all are on the host, are left out.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// In order of their indices.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// What bridges have learned.
    #[serde(default)]
    pub forwarding: Vec<Forwarding>,
    /// All tables; IPv4 first, then in the kernel's order of preference.
    #[serde(default)]
    pub routes: Vec<RouteEntry>,
    /// Which table is asked for which packet; IPv4 first, in order of priority.
    #[serde(default)]
    pub rules: Vec<PolicyRule>,
    /// Does it pass packets on? None if that was not asked for, or cannot be seen.
    #[serde(default)]
    pub forwards: Option<Forwards>,
    /// The ARP and ND tables, by interface and address; multicast and loopback entries left out.
    #[serde(default)]
    pub neighbours: Vec<Neighbour>,
    /// The tables that carry a lab's mark.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// NAT and port forwards, whoever made them, those of labs left out.
    #[serde(default)]
    pub nat: Vec<Translation>,
    /// Chains with other rules, whoever made them, those of labs left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<RuleChain>,
    /// Sysctls ([`telling`](super::telling)) with another value than the kernel's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Who listens.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// What could not be seen of this namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

impl Room {
    /// An empty one.
    #[must_use]
    pub fn new(namespace: String, inode: u64, owner: Owner) -> Self {
        Self {
            namespace,
            inode,
            owner,
            lab: None,
            paths: Vec::new(),
            processes: Vec::new(),
            interfaces: Vec::new(),
            forwarding: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            forwards: None,
            neighbours: Vec::new(),
            tables: Vec::new(),
            nat: Vec::new(),
            chains: Vec::new(),
            sysctls: BTreeMap::new(),
            listeners: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Says that it carries a lab's mark. The host stays the host, whatever it carries.
    pub fn give_to(&mut self, lab: LabName) {
        if self.owner != Owner::Host {
            self.owner = Owner::Lab(lab.clone());
        }
        self.lab = Some(lab);
    }

    /// Is it a namespace of this host's lab of that name? One that has its name in the mounts of somebody else is of another
    /// lab, which may be called the same.
    #[must_use]
    pub fn is_of(&self, lab: &LabName) -> bool {
        self.lab.as_ref() == Some(lab) && (!self.paths.is_empty() || self.owner == Owner::Host)
    }

    /// The interface of a name.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }
}

/// Whose a namespace is, as far as that can be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The one that raum was started in.
    Host,
    /// A lab of raum's: it carries the mark.
    Lab(LabName),
    /// It has a name under /run/netns, as `ip netns add` gives.
    Named,
    /// A container of Docker: its id, or that of its sandbox.
    Docker(String),
    /// A container of Podman: its id, or the name of its namespace file.
    Podman(String),
    /// A container of Kubernetes, containerd or CRI-O.
    Container(String),
    /// A unit of systemd.
    Systemd(String),
    /// A process that belongs to none of these.
    Process(Process),
    /// Bound over a file that says nothing.
    File,
    /// Nobody's that can be seen: it is held by a socket, or by something out of sight.
    Unknown,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Host => f.write_str("this host"),
            Owner::Lab(lab) => write!(f, "lab {lab}"),
            Owner::Named => f.write_str("ip netns"),
            Owner::Docker(id) => write!(f, "Docker {}", short(id)),
            Owner::Podman(id) => write!(f, "Podman {}", short(id)),
            Owner::Container(id) => write!(f, "container {}", short(id)),
            Owner::Systemd(unit) => write!(f, "systemd {unit}"),
            Owner::Process(process) => write!(f, "process {process}"),
            Owner::File => f.write_str("bound to a file"),
            Owner::Unknown => f.write_str("owner unknown"),
        }
    }
}

/// Twelve characters of a container's id, as its tools print it.
fn short(id: &str) -> &str {
    if id.len() == 64 { id.get(..12).unwrap_or(id) } else { id }
}

/// Whether a namespace passes packets on (`net.ipv4.conf.all.forwarding` and that of IPv6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwards {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Its number, as this process sees it.
    pub pid: u32,
    /// Its name (`/proc/PID/comm`): at most 15 bytes.
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.command, self.pid)
    }
}

/// A socket that waits for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// TCP that listens, or UDP that is not connected.
    pub proto: Proto,
    /// The address it is bound to; unspecified for all.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// An IPv6 socket for all addresses that takes IPv4 as well.
    pub both: bool,
    /// Only what comes in by this interface.
    pub interface: Option<String>,
    /// The user who made it, by number.
    pub uid: u32,
    /// Who has it open; empty if that cannot be seen.
    pub holders: Vec<Process>,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Missing {
    /// What: `NAT rules`, `processes of other users`.
    pub what: String,
    /// Why, in the kernel's words.
    pub why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// What of each namespace is to be looked at: links always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Addresses of interfaces.
    pub addresses: bool,
    /// Counters of interfaces.
    pub counters: bool,
    /// Routes and rules.
    pub routes: bool,
    /// Neighbours.
    pub neighbours: bool,
    /// Forwarding tables of bridges.
    pub forwarding: bool,
    /// Rules of nf_tables.
    pub nat: bool,
    /// Sysctls: a file to be read for each.
    pub sysctls: bool,
    /// Listening sockets.
    pub listeners: bool,
    /// Names of processes; their numbers are found in any case.
    pub processes: bool,
}

impl Parts {
    /// Everything that is shown.
    pub const ALL: Self = Self {
        addresses: true,
        counters: true,
        routes: true,
        neighbours: true,
        forwarding: true,
        nat: true,
        sysctls: false,
        listeners: true,
        processes: true,
    };
    /// Interfaces alone.
    pub const LINKS: Self = Self {
        addresses: false,
        counters: false,
        routes: false,
        neighbours: false,
        forwarding: false,
        nat: false,
        sysctls: false,
        listeners: false,
        processes: false,
    };
}
