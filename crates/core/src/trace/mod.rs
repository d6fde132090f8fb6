//! Why a packet does not arrive: its way followed hop by hop, and the first obstacle named.
//!
//! [`walk::trace`] goes the way that a packet would go, and back; it asks [`Facts`] for what only a kernel knows (which
//! route, which rules) and decides the rest itself: `wire` knows cables and bridges, `neighbour` who answers for an address,
//! `filter` what rules do, `route` why there is no way on, `policy` which `ip rule` it was, `arrival` who listens. Nothing here asks a kernel by itself, so a
//! fault can be described in a test and its diagnosis read. What a real packet said of it is weighed in `judge`.

mod arrival;
pub mod cause;
mod filter;
mod judge;
mod neighbour;
mod policy;
mod route;
mod target;
#[cfg(test)]
mod tests;
pub mod walk;
mod wire;

pub use cause::{Cause, Code};
pub use judge::{Counter, Probe, Reply, Sighting, judge};
pub use target::{NoTarget, Target};
pub use walk::{Seen, Trace, trace};

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::host::OpError;
use crate::ruleset::Ruleset;
use crate::view::{Room, Scene};

/// What the packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proto {
    /// An echo request.
    Icmp,
    /// The beginning of a connection.
    Tcp,
    /// A datagram.
    Udp,
}

impl Proto {
    /// Its number for IPv4 or IPv6.
    #[must_use]
    pub fn number(self, v6: bool) -> u8 {
        match (self, v6) {
            (Self::Icmp, false) => 1,
            (Self::Icmp, true) => 58,
            (Self::Tcp, _) => 6,
            (Self::Udp, _) => 17,
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A packet at one point of its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// From where; None before the first route is chosen.
    pub source: Option<IpAddr>,
    /// To where.
    pub destination: IpAddr,
    /// What it carries.
    pub proto: Proto,
    /// The port it comes from, once that is known; of ICMP the identifier.
    pub source_port: Option<u16>,
    /// The port it goes to.
    pub port: Option<u16>,
}

impl Flow {
    /// IPv6, else IPv4.
    #[must_use]
    pub fn v6(&self) -> bool {
        self.destination.is_ipv6()
    }

    /// The answer to it.
    #[must_use]
    pub fn answer(&self) -> Option<Self> {
        Some(Self {
            source: Some(self.destination),
            destination: self.source?,
            proto: self.proto,
            source_port: self.port,
            port: self.source_port,
        })
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |ip: IpAddr, port: Option<u16>| match (ip, port.filter(|_| self.proto != Proto::Icmp)) {
            (IpAddr::V6(ip), Some(port)) => format!("[{ip}]:{port}"),
            (ip, Some(port)) => format!("{ip}:{port}"),
            (ip, None) => ip.to_string(),
        };
        let source = self.source.map_or_else(|| "?".to_owned(), |ip| end(ip, self.source_port));
        write!(f, "{} {source} -> {}", self.proto, end(self.destination, self.port))
    }
}

/// A question for the kernel's routing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In which namespace ([`Room::namespace`]).
    pub namespace: String,
    /// The packet.
    pub flow: Flow,
    /// The interface it came in by; None if it is made here.
    pub input: Option<String>,
    /// Its mark.
    pub mark: u32,
}

/// The kernel's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// `unicast`, `local`, `broadcast`, …
    pub kind: String,
    /// The interface it leaves by.
    pub dev: Option<String>,
    /// The next hop, if the destination is not on the wire itself.
    pub via: Option<IpAddr>,
    /// The source that a packet made here gets.
    pub source: Option<IpAddr>,
    /// The routing table that it came from.
    pub table: String,
    /// The route itself, as `ip route` prints it.
    pub route: String,
}

/// What only a kernel knows.
pub trait Facts {
    /// All namespaces, and what joins them.
    fn scene(&self) -> &Scene;
    /// The rules of a namespace; empty if they cannot be read.
    fn rules(&mut self, namespace: &str) -> std::rc::Rc<Ruleset>;
    /// Which way a packet goes on.
    ///
    /// # Errors
    /// The kernel's refusal: there is none, or it does not pass packets on.
    fn route(&mut self, question: &Question) -> Result<Choice, OpError>;
    /// A sysctl (`net/ipv4/ip_forward`) of a namespace.
    fn sysctl(&mut self, namespace: &str, key: &str) -> Option<String>;
    /// Entries of the kernel's neighbour table of a family, and the most that there may be (`gc_thresh3`).
    fn neighbour_room(&mut self, v6: bool) -> Option<(u32, u32)>;
}

/// The layer that a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A route was chosen.
    Route,
    /// Rules let it pass, or may not.
    Filter,
    /// An address changed.
    Nat,
    /// Who has the next address.
    Neighbour,
    /// Cables and bridges.
    Wire,
    /// It is there.
    Arrival,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Route => "route",
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Neighbour => "neighbour",
            Self::Wire => "wire",
            Self::Arrival => "arrival",
        })
    }
}

/// One thing that happens to the packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where.
    pub namespace: String,
    /// In which layer.
    pub layer: Layer,
    /// In words.
    pub text: String,
}

/// The room of a name.
pub(crate) fn room<'s>(scene: &'s Scene, namespace: &str) -> Option<&'s Room> {
    scene.namespaces.iter().find(|room| room.namespace == namespace)
}

/// Nothing leads into it but an interface's other end: only its interfaces are known.
pub(crate) fn is_hidden(room: &Room) -> bool {
    room.inode == 0
}

/// Is it one of this namespace's own addresses?
pub(crate) fn has(room: &Room, ip: IpAddr) -> bool {
    ip.is_loopback() || room.interfaces.iter().flat_map(|interface| &interface.addresses).any(|own| own.addr() == ip)
}

/// Who is on any wire that leads to a namespace, itself included: others may have the same addresses, and never meet.
pub(crate) fn together<'s>(scene: &'s Scene, from: &Room) -> Vec<&'s Room> {
    let mut names = vec![from.namespace.as_str()];
    let mut found: Vec<&Room> = Vec::new();
    while let Some(name) = names.pop() {
        if found.iter().any(|room| room.namespace == name) {
            continue;
        }
        let Some(room) = room(scene, name) else { continue };
        let peers = room.interfaces.iter().filter_map(|interface| interface.peer.as_ref()?.namespace.as_deref());
        names.extend(peers);
        found.push(room);
    }
    found
}

/// An address that says nothing without an interface.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
