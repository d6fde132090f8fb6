//! `nat:`, source address translation, and how NATs in the field behave, in the terms of RFC 4787. docs/nat.md has the
//! sources of the presets.

use std::fmt;
use std::net::IpAddr;

use super::At;
use crate::name::IfName;

/// Source address translation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nat {
    /// `out:`, the interface that packets leave by. None (`nat: true`): whatever is not of this lab; the host's interfaces
    /// with a default route then also let answers in.
    pub out: Option<At<IfName>>,
    /// `source:`, the address that packets leave with, at most one of each family. None of a family: that of the interface
    /// they leave by (masquerading).
    pub source: Vec<At<IpAddr>>,
    /// `like:`, the behaviour of a NAT as found in the field; only in a namespace.
    pub like: Option<At<NatLike>>,
    /// What is said key by key; only in a namespace.
    pub keys: NatKeys,
}

/// Keys of `nat:` that say its behaviour one by one; what is absent is that of `like:`, else that of Linux.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatKeys {
    /// `mapping:`
    pub mapping: Option<At<Dependence>>,
    /// `filtering:`
    pub filtering: Option<At<Dependence>>,
    /// `ports:`
    pub ports: Option<At<PortChoice>>,
    /// `hairpin:`
    pub hairpin: Option<At<bool>>,
    /// `timeouts:`, in seconds.
    pub timeouts: NatTimeouts<At<u32>>,
}

/// How long flows are remembered after their last packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatTimeouts<T> {
    /// UDP of which only one side has been heard.
    pub udp: Option<T>,
    /// UDP of which both have.
    pub udp_stream: Option<T>,
    /// TCP that is established.
    pub tcp: Option<T>,
    /// Queries of ICMP.
    pub icmp: Option<T>,
}

impl<T> Default for NatTimeouts<T> {
    fn default() -> Self {
        Self { udp: None, udp_stream: None, tcp: None, icmp: None }
    }
}

/// On what of those outside a mapping depends, or a filter (RFC 4787, sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependence {
    /// On nothing: it is the same for everybody.
    Endpoint,
    /// On the address.
    Address,
    /// On the address and the port.
    AddressAndPort,
}

/// Which outer port a new mapping gets (RFC 4787, section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// The sender's own, if nobody has it.
    Preserve,
    /// Any.
    Random,
}

/// NATs as they are found in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatLike {
    /// A router at home: Linux as it comes, with the timeouts of OpenWrt.
    Home,
    /// A new port for each destination ("symmetric").
    Corporate,
    /// Whoever knows the mapping gets in.
    FullCone,
    /// Whoever has been spoken to gets in, from any port of his.
    Restricted,
    /// Whoever has been spoken to gets in, from that port.
    PortRestricted,
    /// As RFC 6888 wants it.
    CarrierGrade,
    /// A new port for each destination, and everything forgotten after 350 seconds.
    Cloud,
}

/// A NAT's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// For which destinations a sender's outer port is the same.
    pub mapping: Dependence,
    /// Who gets in by it.
    pub filtering: Dependence,
    /// Which port it is.
    pub ports: PortChoice,
    /// Do those inside reach each other by their outer addresses?
    pub hairpin: bool,
    /// In seconds; None is what the kernel has.
    pub timeouts: NatTimeouts<u32>,
}

impl Behaviour {
    /// What `masquerade` does, unless told otherwise.
    const LINUX: Behaviour = Behaviour {
        mapping: Dependence::Endpoint,
        filtering: Dependence::AddressAndPort,
        ports: PortChoice::Preserve,
        hairpin: false,
        timeouts: NatTimeouts { udp: None, udp_stream: None, tcp: None, icmp: None },
    };
}

impl Nat {
    /// How it behaves; None if the file leaves that to Linux.
    #[must_use]
    pub fn behaviour(&self) -> Option<Behaviour> {
        let NatKeys { mapping, filtering, ports, hairpin, timeouts } = &self.keys;
        if self.like.is_none() && self.keys == NatKeys::default() {
            return None;
        }
        let base = self.like.as_ref().map_or(Behaviour::LINUX, |like| like.behaviour());
        let of = |key: &Option<At<u32>>, base: Option<u32>| key.as_ref().map(|at| at.value).or(base);
        Some(Behaviour {
            mapping: mapping.as_ref().map_or(base.mapping, |at| at.value),
            filtering: filtering.as_ref().map_or(base.filtering, |at| at.value),
            ports: ports.as_ref().map_or(base.ports, |at| at.value),
            hairpin: hairpin.as_ref().map_or(base.hairpin, |at| at.value),
            timeouts: NatTimeouts {
                udp: of(&timeouts.udp, base.timeouts.udp),
                udp_stream: of(&timeouts.udp_stream, base.timeouts.udp_stream),
                tcp: of(&timeouts.tcp, base.timeouts.tcp),
                icmp: of(&timeouts.icmp, base.timeouts.icmp),
            },
        })
    }
}

impl NatLike {
    /// All of them.
    pub const ALL: [NatLike; 7] = [
        NatLike::Home,
        NatLike::Corporate,
        NatLike::FullCone,
        NatLike::Restricted,
        NatLike::PortRestricted,
        NatLike::CarrierGrade,
        NatLike::Cloud,
    ];

    /// The word in a lab file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            NatLike::Home => "home",
            NatLike::Corporate => "corporate",
            NatLike::FullCone => "full-cone",
            NatLike::Restricted => "restricted",
            NatLike::PortRestricted => "port-restricted",
            NatLike::CarrierGrade => "carrier-grade",
            NatLike::Cloud => "cloud",
        }
    }

    /// What it does; sources in docs/nat.md.
    #[must_use]
    pub fn behaviour(self) -> Behaviour {
        let timeouts = |udp, udp_stream, tcp, icmp| NatTimeouts {
            udp: Some(udp),
            udp_stream: Some(udp_stream),
            tcp: Some(tcp),
            icmp: Some(icmp),
        };
        let cone = |filtering| Behaviour {
            filtering,
            hairpin: true,
            timeouts: timeouts(300, 300, 7440, 60),
            ..Behaviour::LINUX
        };
        let symmetric = |timeouts| Behaviour {
            mapping: Dependence::AddressAndPort,
            ports: PortChoice::Random,
            timeouts,
            ..Behaviour::LINUX
        };
        match self {
            NatLike::Home => Behaviour { timeouts: timeouts(60, 180, 7440, 30), ..Behaviour::LINUX },
            NatLike::Corporate => symmetric(timeouts(120, 120, 3600, 2)),
            NatLike::Cloud => symmetric(timeouts(350, 350, 350, 350)),
            NatLike::FullCone | NatLike::CarrierGrade => cone(Dependence::Endpoint),
            NatLike::Restricted => cone(Dependence::Address),
            NatLike::PortRestricted => cone(Dependence::AddressAndPort),
        }
    }
}

impl Dependence {
    /// All of them.
    pub const ALL: [Dependence; 3] = [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort];

    /// The word in a lab file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Dependence::Endpoint => "endpoint-independent",
            Dependence::Address => "address-dependent",
            Dependence::AddressAndPort => "address-and-port-dependent",
        }
    }
}

impl PortChoice {
    /// All of them.
    pub const ALL: [PortChoice; 2] = [PortChoice::Preserve, PortChoice::Random];

    /// The word in a lab file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            PortChoice::Preserve => "preserve",
            PortChoice::Random => "random",
        }
    }
}

impl fmt::Display for NatLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
