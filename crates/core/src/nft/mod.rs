//! The rule model: one `inet` table per lab and namespace, of exactly the shapes that raum needs.
//!
//! A [`Table`] is data that three readers share: the kernel encoder and decoder, the renderer to `nft` syntax, and `diff`,
//! for which two tables are the same iff they are equal. Ports are in maps, not in rules: a connection through 10,000
//! forwards costs as much as through one.

mod change;
mod entries;
mod syntax;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::lab::Proto;
use crate::name::{IfName, LabName};
use crate::state::Sysctl;

pub use change::{Entry, EntryChange};
pub use words::{SourceChange, door};

/// A table of family `inet` (NAT in it needs Linux 5.2), with the comment `raum:LAB` as the lab's mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// `raum-LAB`.
    pub name: String,
    /// The lab of the mark.
    pub lab: LabName,
    /// Host sysctls that the lab changed, with the value from before the first lab that did. In the kernel each is a chain
    /// without hook or rules, `was-N`, with the comment `KEY=VALUE`: so the record lives and dies with the lab's rules.
    #[serde(default)]
    pub was: BTreeMap<Sysctl, String>,
    /// Sets of interface names, by name (`type ifname`).
    #[serde(default)]
    pub sets: BTreeMap<String, BTreeSet<IfName>>,
    /// Sets of addresses, by name.
    #[serde(default)]
    pub addresses: BTreeMap<String, AddressSet>,
    /// Maps that the rules themselves fill and forget, by name. What is in them is no part of the state.
    #[serde(default)]
    pub learned: BTreeMap<String, Learned>,
    /// Port maps, by name.
    #[serde(default)]
    pub maps: BTreeMap<String, PortMap>,
    /// Chains in order of their names.
    #[serde(default)]
    pub chains: BTreeMap<String, Chain>,
}

impl Table {
    /// What the table of a lab is called, in each namespace.
    #[must_use]
    pub fn name_of(lab: &LabName) -> String {
        format!("raum-{lab}")
    }

    /// A lab's table with nothing in it.
    #[must_use]
    pub fn empty(lab: &LabName) -> Self {
        Self {
            name: Self::name_of(lab),
            lab: lab.clone(),
            was: BTreeMap::new(),
            sets: BTreeMap::new(),
            addresses: BTreeMap::new(),
            learned: BTreeMap::new(),
            maps: BTreeMap::new(),
            chains: BTreeMap::new(),
        }
    }
}

/// What a map or a set learns of flows that leave. "Outer" is what they leave with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learned {
    /// A map from protocol and outer port to who sent them.
    Address {
        /// IPv6, else IPv4.
        v6: bool,
    },
    /// A map from protocol and outer port to the port they were sent from.
    Port,
    /// A set of protocol, outer port, and the address outside that they went to.
    Peer {
        /// IPv6, else IPv4.
        v6: bool,
    },
    /// A map from protocol, sender and port (and the address outside that they went to) to the outer port.
    Mapping {
        /// IPv6, else IPv4.
        v6: bool,
        /// Is the address outside part of the key?
        by_remote: bool,
    },
}

impl Learned {
    /// The name of the map for senders of a family.
    #[must_use]
    pub fn address_map(v6: bool) -> &'static str {
        if v6 { "cone6" } else { "cone4" }
    }

    /// The name of the map for their ports.
    #[must_use]
    pub fn port_map(v6: bool) -> &'static str {
        if v6 { "cone-port6" } else { "cone-port4" }
    }

    /// The name of the set of those outside who were spoken to.
    #[must_use]
    pub fn peers(v6: bool) -> &'static str {
        if v6 { "peer6" } else { "peer4" }
    }

    /// The name of the map of senders to outer ports.
    #[must_use]
    pub fn mappings(v6: bool) -> &'static str {
        if v6 { "mapping6" } else { "mapping4" }
    }

    /// The name that this has in a table of its family; the port's map has one in each.
    #[must_use]
    pub fn name(self, v6: bool) -> &'static str {
        match self {
            Learned::Address { .. } => Self::address_map(v6),
            Learned::Port => Self::port_map(v6),
            Learned::Peer { .. } => Self::peers(v6),
            Learned::Mapping { .. } => Self::mappings(v6),
        }
    }
}

/// What a rule writes down about a flow that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lesson {
    /// Whose the outer port is: address and port, one map for each.
    Owner,
    /// Whom it went to.
    Peer,
    /// Which outer port the sender got.
    Mapping {
        /// For this address outside, else for all.
        by_remote: bool,
    },
}

impl Lesson {
    /// The maps or sets that it is written into.
    #[must_use]
    pub fn learned(self, v6: bool) -> Vec<Learned> {
        match self {
            Lesson::Owner => vec![Learned::Address { v6 }, Learned::Port],
            Lesson::Peer => vec![Learned::Peer { v6 }],
            Lesson::Mapping { by_remote } => vec![Learned::Mapping { v6, by_remote }],
        }
    }
}

/// Addresses of one family (`type ipv4_addr` / `ipv6_addr`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSet {
    /// IPv6, else IPv4.
    pub v6: bool,
    /// The addresses.
    pub members: BTreeSet<IpAddr>,
}

/// From a published port to where it leads. All of one family and one key shape: with destination address
/// (`ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service`) or without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    /// IPv6, else IPv4.
    pub v6: bool,
    /// Is the destination address part of the key?
    pub by_address: bool,
    /// The entries. `address` of each key is `Some` iff `by_address`.
    #[serde(with = "entries")]
    pub entries: BTreeMap<PortKey, (IpAddr, u16)>,
}

/// The key of a [`PortMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortKey {
    /// The packet's destination address.
    pub address: Option<IpAddr>,
    /// TCP, UDP or SCTP.
    pub proto: Proto,
    /// The packet's destination port.
    pub port: u16,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chain {
    /// Where the kernel calls it; none for one that is only jumped to. Policy is always accept.
    #[serde(default)]
    pub hook: Option<Hook>,
    /// In order.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// The chain's place in the packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// `type filter hook prerouting priority -300`: before connection tracking.
    RawPrerouting,
    /// `type nat hook prerouting priority -100`.
    DnatPrerouting,
    /// `type nat hook output priority -100`.
    DnatOutput,
    /// `type nat hook postrouting priority 100`.
    SnatPostrouting,
    /// `type filter hook postrouting priority 101`: after sources have been translated.
    Learn,
    /// `type filter hook forward priority 0`.
    FilterForward,
    /// `type filter hook input priority 0`.
    FilterInput,
    /// `type filter hook output priority 0`.
    FilterOutput,
}

/// All matches must hold; then the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// From left to right.
    pub matches: Vec<Match>,
    /// What then.
    pub verdict: Verdict,
}

impl Rule {
    /// Is it the translation that a forward needs for clients on the host itself or beside the target, if it translates?
    #[must_use]
    pub fn is_part_of_a_forward(&self) -> bool {
        self.matches.iter().any(|found| match found {
            Match::Dnatted => true,
            Match::Saddr { prefix, not: false } => prefix.addr().is_loopback(),
            _ => false,
        })
    }
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// `iifname NAME` / `iifname != NAME`.
    Iif(Interfaces),
    /// `oifname …`.
    Oif(Interfaces),
    /// `ip saddr PREFIX` / `ip6 saddr PREFIX` (with `meta nfproto` before it, as nft does in `inet`).
    Saddr {
        /// The prefix; all its bits may be fixed.
        prefix: IpNet,
        /// `!=`
        not: bool,
    },
    /// `ip daddr PREFIX` / `ip6 daddr PREFIX`.
    Daddr {
        /// The prefix.
        prefix: IpNet,
        /// `!=`
        not: bool,
    },
    /// `meta nfproto ipv4` (false) or `ipv6` (true).
    Family {
        /// IPv6, else IPv4.
        v6: bool,
    },
    /// `fib daddr type local`: the destination is an address of this namespace.
    ToLocal,
    /// `ct state established,related`.
    Established,
    /// `ct status dnat`.
    Dnatted,
    /// `ct direction original`.
    Original,
    /// `meta l4proto tcp` / `udp` / `sctp`.
    Proto(Proto),
    /// `tcp dport 80` / `udp dport 8000-8010`.
    Ports {
        /// The protocol.
        proto: Proto,
        /// The first port.
        first: u16,
        /// The last; the same for one port.
        last: u16,
    },
    /// `meta l4proto icmp` / `ipv6-icmp`.
    Icmp {
        /// ICMPv6, else ICMP.
        v6: bool,
    },
    /// `icmpv6 type 130-143`: neighbours, routers and listeners of multicast (RFC 4861, RFC 2710, RFC 3810), without which
    /// nothing of IPv6 works on a link.
    LinkWork,
    /// `ip saddr @SET` / `ip6 saddr @SET`.
    SaddrIn {
        /// IPv6, else IPv4.
        v6: bool,
        /// A key of [`Table::addresses`].
        set: String,
    },
    /// `ip daddr @SET` / `ip6 daddr @SET`.
    DaddrIn {
        /// IPv6, else IPv4.
        v6: bool,
        /// A key of [`Table::addresses`].
        set: String,
    },
    /// `meta l4proto . th sport @cone4`: the port that the packet was sent from is somebody's outer port.
    PortTaken {
        /// IPv6, else IPv4; another condition must say the same before.
        v6: bool,
    },
    /// `meta l4proto . th dport . ip saddr @peer4`: who owns the port has spoken to this address.
    FromPeer {
        /// IPv6, else IPv4; another condition must say the same before.
        v6: bool,
    },
}

/// Which interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interfaces {
    /// One, or a named set.
    pub which: InterfaceRef,
    /// `!=`
    pub not: bool,
}

/// One interface, or a named set of the same table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceRef {
    /// By name.
    Name(IfName),
    /// `@SET`.
    Set(String),
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// `accept`: this chain is done with the packet, others may still drop it.
    Accept,
    /// `drop`.
    Drop,
    /// `jump CHAIN`.
    Jump(String),
    /// `masquerade`.
    Masquerade,
    /// `masquerade fully-random`: a port by chance for each flow.
    MasqueradeRandom,
    /// `update @cone4 { meta l4proto . th sport timeout … : ct original ip saddr }`, and so on for each map: the packet goes on.
    Learn {
        /// What.
        what: Lesson,
        /// IPv6, else IPv4.
        v6: bool,
        /// How long an entry lives after the last packet, in seconds.
        timeout_s: u32,
    },
    /// `dnat ip to meta l4proto . th dport map @cone4 : meta l4proto . th dport map @cone-port4`: to who has this mapping.
    DnatLearned {
        /// IPv6, else IPv4.
        v6: bool,
    },
    /// `snat ip to ADDRESS` / `snat ip6 to ADDRESS`; a condition of the rule must say the family.
    Snat(IpAddr),
    /// `snat ip to ADDRESS fully-random`.
    SnatRandom(IpAddr),
    /// `snat ip to ADDRESS : meta l4proto . ip saddr . th sport map @mapping4`: with the outer port that the sender has. A packet
    /// that is not in the map goes on to the next rule. A condition must say the protocol.
    SnatMapped {
        /// The address.
        to: IpAddr,
        /// By the destination, too.
        by_remote: bool,
    },
    /// `dnat ip to meta l4proto . th dport map @MAP`, or with `ip daddr .` before when the map is by address. A packet that
    /// is not in the map goes on to the next rule.
    DnatMap {
        /// A key of [`Table::maps`].
        map: String,
    },
    /// A rule of the lab's table that somebody else changed or added: its expressions as
    /// text. Never wanted, so always drift.
    Unknown(String),
}
