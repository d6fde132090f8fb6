//! Expectations: what reaches what, as a lab file says it and as a person reads it back.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{At, Proto};
use crate::name::NodeName;

/// `FROM reaches TO[:PORT[/PROTO]] [as NODE[:PORT]] [from SOURCE] [over FAMILY]`, or `FROM cannot reach …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// Who speaks.
    pub from: At<NodeName>,
    /// True for `reaches`, false for `cannot reach`.
    pub reaches: bool,
    /// Who is spoken to.
    pub to: At<Party>,
    /// Port and protocol; None is ICMP echo.
    #[serde(default)]
    pub service: Option<Service>,
    /// `as`: who really gets it, and at which port; the one who is spoken to if absent.
    #[serde(default)]
    pub receiver: Option<At<Receiver>>,
    /// `from`: whose address the receiver sees as the sender's; any if absent.
    #[serde(default)]
    pub source: Option<At<Party>>,
    /// `over`: one family, true for IPv6; if absent, each one that both sides have an address of.
    #[serde(default)]
    pub over_v6: Option<bool>,
}

/// Somebody, by name or by address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// A node: any of its addresses.
    Node(NodeName),
    /// An address, whoever has it.
    Address(IpAddr),
}

/// Where a program listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Service {
    /// 1 to 65535.
    pub port: u16,
    /// TCP unless written.
    pub proto: Proto,
}

/// Who gets it in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// The node, or its address.
    pub party: Party,
    /// Its port; the one that was spoken to if absent.
    #[serde(default)]
    pub port: Option<u16>,
}

impl Expectation {
    /// The families to try it over, true for IPv6: the one that is written or that an address tells, else each that both
    /// sides have an address of. `has` says whether a node has one.
    pub fn families(&self, has: impl Fn(&NodeName, bool) -> bool) -> Vec<bool> {
        let receiver = || self.receiver.as_ref().and_then(|at| at.party.v6());
        let source = || self.source.as_ref().and_then(|at| at.v6());
        let over = self.over_v6.or(self.to.v6()).or_else(receiver).or_else(source);
        let both = |v6: &bool| match &self.to.value {
            Party::Node(to) => has(to, *v6) && has(&self.from, *v6),
            // to have no way there is a failure, and no reason not to try
            Party::Address(ip) => ip.is_ipv6() == *v6,
        };
        [false, true].into_iter().filter(|v6| over.is_none_or(|over| over == *v6)).filter(both).collect()
    }
}

impl Party {
    /// The family, where only one is possible; true for IPv6.
    #[must_use]
    pub fn v6(&self) -> Option<bool> {
        match self {
            Party::Node(_) => None,
            Party::Address(ip) => Some(ip.is_ipv6()),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Node(name) => write!(f, "{name}"),
            Party::Address(ip) => write!(f, "{ip}"),
        }
    }
}

/// `NODE:PORT`, `ADDRESS:PORT`, `[IPV6]:PORT`.
fn write_at(f: &mut fmt::Formatter<'_>, party: &Party, port: Option<u16>) -> fmt::Result {
    match (party, port) {
        (Party::Node(name), Some(port)) => write!(f, "{name}:{port}"),
        (Party::Address(ip), Some(port)) => write!(f, "{}", SocketAddr::new(*ip, port)),
        (party, None) => write!(f, "{party}"),
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, &self.party, self.port)
    }
}

impl fmt::Display for Expectation {
    /// As in a lab file; the protocol is always written, so that nobody has to know which one is meant without it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", *self.from, if self.reaches { "reaches" } else { "cannot reach" })?;
        write_at(f, &self.to, self.service.map(|service| service.port))?;
        if let Some(service) = self.service {
            write!(f, "/{}", service.proto)?;
        }
        if let Some(receiver) = &self.receiver {
            write!(f, " as {}", **receiver)?;
        }
        if let Some(source) = &self.source {
            write!(f, " from {}", **source)?;
        }
        match self.over_v6 {
            None => Ok(()),
            Some(v6) => write!(f, " over {}", if v6 { "ipv6" } else { "ipv4" }),
        }
    }
}
