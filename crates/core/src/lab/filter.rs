//! The packet filter as it is written: who may reach whom, by which service.

use std::fmt;

use ipnet::IpNet;

use super::{At, Proto};
use crate::name::NodeName;

/// `filter:` of a namespace or of the whole lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// `default:`, for what no rule speaks of. In a namespace: what comes in, and what passes through. In a lab: what comes in
    /// to any namespace that has no filter of its own.
    pub default: At<Policy>,
    /// `outgoing:`, for what a namespace itself sends and no rule speaks of; allowed if absent. Only in a namespace.
    pub outgoing: Option<At<Policy>>,
    /// `allow:`
    pub allow: Vec<At<FilterRule>>,
    /// `deny:`; goes before `allow`.
    pub deny: Vec<At<FilterRule>>,
}

/// Let through or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

/// `FROM -> [TO] [SERVICE]`, or `FROM` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// Who sends.
    pub from: At<Party>,
    /// Who receives. None: in a namespace that one itself, in a lab everybody.
    pub to: Option<At<Party>>,
    /// What.
    pub service: Service,
}

/// One side of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// `any`
    Any,
    /// Addresses.
    Net(IpNet),
    /// A namespace, a switch, a group, or `host`.
    Name(NodeName),
}

/// What of the traffic a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Everything.
    All,
    /// ICMP and ICMPv6.
    Icmp,
    /// A transport protocol, whatever the port.
    Proto(Proto),
    /// Ports of the receiver, first and last.
    Ports(Proto, u16, u16),
}

/// `groups:`, a name for several namespaces and switches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What rules call it.
    pub name: At<NodeName>,
    /// Namespaces, and switches for everybody on their subnets.
    pub members: Vec<At<NodeName>>,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Policy::Allow => "allow",
            Policy::Deny => "deny",
        })
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Any => f.write_str("any"),
            Party::Net(net) => write!(f, "{net}"),
            Party::Name(name) => write!(f, "{name}"),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Service::All => f.write_str("any"),
            Service::Icmp => f.write_str("icmp"),
            Service::Proto(proto) => write!(f, "{proto}"),
            Service::Ports(proto, first, last) if first == last => write!(f, "{first}/{proto}"),
            Service::Ports(proto, first, last) => write!(f, "{first}-{last}/{proto}"),
        }
    }
}

impl fmt::Display for FilterRule {
    /// As in a lab file, with the protocol always.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self.from)?;
        match (&self.to, self.service) {
            (None, Service::All) => Ok(()),
            (None, service) => write!(f, " -> {service}"),
            (Some(to), Service::All) => write!(f, " -> {}", **to),
            (Some(to), service) => write!(f, " -> {} {service}", **to),
        }
    }
}
