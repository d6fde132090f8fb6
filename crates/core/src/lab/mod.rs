//! The lab: what a user wrote, understood but not yet decided upon.
//!
//! `parse` makes a [`Lab`] from text or a list of problems; `check` finds what is wrong in a lab as a whole; `design` makes
//! every choice that the user left open. Ranges (`n[1-100]`) are expanded here already. Each value knows its place in the
//! file ([`At`]), so that whoever finds a problem later can point at it.

pub mod edit;
pub mod range;

mod check;
mod choose;
pub mod expect;
mod filter;
mod nat;
mod parse;
mod write;

use std::fmt;
use std::net::IpAddr;
use std::ops::{Deref, Range};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{IfName, LabName, Mac, NodeName};

pub use check::{check, nearest};
pub use choose::{is_settled, settle};
pub use expect::Expectation;
pub use filter::{Filter, FilterRule, Group, Party, Policy, Service};
pub use nat::{Behaviour, Dependence, Nat, NatKeys, NatLike, NatTimeouts, PortChoice};
pub use parse::schema::{reference, schema};
pub use parse::{FILE_MAX, parse};

/// A value and its place in the file: a range of bytes. Equality is that of the values.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Bytes of the file; empty at 0 where the value does not come from a file.
    pub span: Range<usize>,
}

impl<T> At<T> {
    /// A value with its place.
    pub fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }

    /// A value that does not come from a file.
    pub fn nowhere(value: T) -> Self {
        Self { value, span: 0..0 }
    }
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

/// As the value alone: a place is worth nothing without its file.
impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(At::nowhere)
    }
}

/// Transport protocols that can be published and forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
            Proto::Sctp => "sctp",
        })
    }
}

/// A whole lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lab {
    /// `lab:`, else derived from the file's name by the caller.
    pub name: At<LabName>,
    /// In the order of the file.
    pub switches: Vec<Switch>,
    /// In the order of the file; `host` is there iff the file has it under `namespaces:` or an end names it.
    pub nodes: Vec<Node>,
    /// `links:`, in the order of the file. Attachments by `on:` are not among them: see [`Node::on`].
    pub links: Vec<Wire>,
    /// `groups:`, names for several, in filters.
    pub groups: Vec<Group>,
    /// `filter:`, between all.
    pub filter: Option<Filter>,
    /// `expect:`, in the order of the file, names in ranges each by each.
    pub expect: Vec<At<Expectation>>,
}

/// A Linux bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Its name in the lab.
    pub name: At<NodeName>,
    /// `subnet:`, at most one of each family; host bits zero.
    pub subnets: Vec<At<IpNet>>,
    /// `subnet: auto`: raum chooses one of each family that `subnets` has none of. [`settle`] does that, and empties this.
    pub chosen: Option<At<()>>,
    /// `gateway:`, the node that has the first address of each subnet and routes for the others.
    pub gateway: Option<At<NodeName>>,
    /// `nat:`, only with `gateway: host`.
    pub nat: Option<At<Nat>>,
    /// `in:`, the namespace it lives in; the host if absent.
    pub place: Option<At<NodeName>>,
    /// `mtu:` in bytes, for the bridge and every interface on it that has none of its own.
    pub mtu: Option<At<u32>>,
    /// `mac:` of the bridge interface.
    pub mac: Option<At<Mac>>,
    /// `isolated:`, its members reach its gateway and nobody else on it.
    pub isolated: Option<At<bool>>,
}

/// A namespace, or `host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in the lab.
    pub name: At<NodeName>,
    /// `on:`, in the order of the file. These come before [`Lab::links`] when interfaces are numbered.
    pub on: Vec<End>,
    /// `gateway:`, one per family at most; overrides what the switch says. The unspecified address of a family (`none` in
    /// the file) is: no default route.
    pub gateways: Vec<At<IpAddr>>,
    /// `routes:`.
    pub routes: Vec<At<RouteSpec>>,
    /// `forwarding:`; absent means: yes if it is a gateway of a switch, translates or forwards ports, else no.
    pub forwarding: Option<At<bool>>,
    /// `nat:`; `out` is required in a namespace.
    pub nat: Option<At<Nat>>,
    /// `publish:`, ports of the host that lead here. Ranges are one entry.
    pub publish: Vec<At<Publish>>,
    /// `forward:`, ports of this router that lead to other nodes.
    pub forward: Vec<At<Forward>>,
    /// `filter:`
    pub filter: Option<Filter>,
}

impl Node {
    /// A namespace with nothing in it.
    #[must_use]
    pub fn new(name: At<NodeName>) -> Self {
        Self {
            name,
            on: Vec::new(),
            gateways: Vec::new(),
            routes: Vec::new(),
            forwarding: None,
            nat: None,
            publish: Vec::new(),
            forward: Vec::new(),
            filter: None,
        }
    }
}

/// A veth pair between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// `ends:`, two of them.
    pub ends: [End; 2],
    /// `subnet:`, which the ends get their addresses from, at most one of each family. [`settle`] does that, and empties this.
    pub subnets: Vec<At<IpNet>>,
    /// `subnet: auto`: raum chooses one of each family that neither `subnets` nor an end has. [`settle`] does that as well.
    pub chosen: Option<At<()>>,
    /// `mtu:` in bytes, for both ends that have none of their own.
    pub mtu: Option<At<u32>>,
    /// The whole entry, for problems that concern it as such.
    pub span: Range<usize>,
}

/// One end of a link: `NODE[:INTERFACE] [ADDRESS/LEN …]` in `links:`, `SWITCH[:INTERFACE] [ADDRESS …]` in `on:`, or the
/// same as a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The node (in `links:`) or the switch (in `on:`). In `links:` a switch may stand here as well: then it is a port.
    pub to: At<NodeName>,
    /// The interface's name inside the node; eth0, eth1, … if absent.
    pub interface: Option<At<IfName>>,
    /// Pinned addresses. Without a prefix length only where a subnet gives one.
    pub addresses: Vec<At<Address>>,
    /// Its own MTU in bytes.
    pub mtu: Option<At<u32>>,
    /// Its own hardware address.
    pub mac: Option<At<Mac>>,
    /// `down:`, is it taken down, as a cable that is pulled out? Absent is no.
    pub down: Option<At<bool>>,
}

impl End {
    /// Is it taken down?
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.as_ref().is_some_and(|down| down.value)
    }
}

/// An address as written: with or without a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length, if written.
    pub prefix_len: Option<u8>,
}

/// A route as written: `PREFIX|default via ADDRESS|NODE [dev INTERFACE] [metric N]`, `PREFIX dev INTERFACE`,
/// `blackhole|unreachable|prohibit PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// The destination; None is `default`, in the family of `via`.
    pub to: Option<IpNet>,
    /// What happens to the packets.
    pub kind: crate::state::RouteKind,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The interface.
    pub dev: Option<IfName>,
    /// The metric.
    pub metric: Option<u32>,
}

/// `[ADDRESS:]PORT[-PORT][:PORT[-PORT]][/tcp|/udp|/sctp]`, as docker compose has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The host's address; None is every one of them.
    pub address: Option<IpAddr>,
    /// The host's ports, first and last.
    pub ports: (u16, u16),
    /// The first of as many ports of the node.
    pub target: u16,
    /// TCP unless written.
    pub proto: Proto,
}

/// `[INTERFACE] [ADDRESS:]PORT[-PORT][/tcp|/udp|/sctp] -> NODE[:PORT[-PORT]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The interface the packets come in by; None is any.
    pub interface: Option<At<IfName>>,
    /// The router's address; None is any of its own.
    pub address: Option<IpAddr>,
    /// The router's ports, first and last.
    pub ports: (u16, u16),
    /// TCP unless written.
    pub proto: Proto,
    /// Where they lead.
    pub node: At<NodeName>,
    /// The first of as many ports there.
    pub target: u16,
}

/// 64-bit FNV-1a (draft-eastlake-fnv, section 2): what automatic addresses, hardware addresses, groups and shortened names
/// are derived from. Stable for ever: a change would renumber every lab.
#[must_use]
pub fn stable_hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // 0xff ends a part: it is in no name, so ("a", "bc") and ("ab", "c") differ
        for byte in part.bytes().chain(std::iter::once(0xff)) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// The lab's mark on links, `IFLA_GROUP`: `r` in the highest byte, 24 bits of the lab's name below. The kernel takes it in
/// the message that creates a link, so no link of a lab is ever without it, and removes a whole group at once.
#[must_use]
pub fn link_group(lab: &LabName) -> u32 {
    let hash = stable_hash(&["group", lab.as_str()]);
    0x7200_0000 | u32::try_from(hash & 0x00ff_ffff).unwrap_or_default()
}

/// The text mark on `lo` of each namespace, on bridges and on tables: `raum:LAB`.
#[must_use]
pub fn mark(lab: &LabName) -> String {
    format!("raum:{lab}")
}
