//! What happens in namespaces while one watches.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::LabName;

use super::{Forwarding, Interface, Neighbour, Owner, PolicyRule, RouteEntry};

/// Something that happened in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The [`super::Room::namespace`] that it happened in.
    pub namespace: String,
    /// The lab whose mark that carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<LabName>,
    /// What became of it.
    pub change: Change,
    /// Of what.
    #[serde(flatten)]
    pub what: What,
}

/// What became of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is another than before.
    Changed,
    /// It is gone.
    Removed,
    /// Things have happened that nobody saw.
    Missed,
}

/// The thing, as it is now, or as it was last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The namespace itself; changed: it has this name now.
    #[serde(rename = "itself")]
    Namespace {
        /// The name that it has now.
        name: String,
        /// Whose it is.
        owner: Owner,
    },
    /// An interface, without its addresses.
    Link {
        /// As it is now.
        interface: Box<Interface>,
        /// What differs, in words: `mtu 1400`.
        differs: Vec<String>,
    },
    /// An address of an interface.
    Address {
        /// The interface.
        dev: String,
        /// The address.
        address: IpNet,
    },
    /// A route, not of the table `local`, which follows from the addresses.
    Route(RouteEntry),
    /// A routing rule.
    Rule(PolicyRule),
    /// An entry of the ARP or ND table.
    Neighbour(Neighbour),
    /// An entry of a bridge's table.
    Forwarding(Forwarding),
    /// Which events were missed is not known: more happened than the kernel would keep for us (ENOBUFS). Interfaces and
    /// addresses are compared anew; of routes and neighbours nobody knows.
    Overrun,
}

impl Event {
    /// Did it happen in the namespace, lab or node that a text means?
    #[must_use]
    pub fn is_of(&self, text: &str) -> bool {
        let of_lab = |lab: &LabName| {
            let node = self.namespace.strip_prefix(lab.as_str()).and_then(|rest| rest.strip_prefix('-'));
            lab.as_str() == text || node == Some(text)
        };
        self.namespace == text || self.lab.as_ref().is_some_and(of_lab)
    }
}

impl What {
    /// A word for the kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            What::Namespace { .. } => "namespace",
            What::Link { .. } => "link",
            What::Address { .. } => "address",
            What::Route(_) => "route",
            What::Rule(_) => "rule",
            What::Neighbour(_) => "neighbour",
            What::Forwarding(_) => "fdb",
            What::Overrun => "events",
        }
    }
}

impl Change {
    /// As in a plan: `+`, `~`, `-`; `!` for what was missed.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Change::Added => '+',
            Change::Changed => '~',
            Change::Removed => '-',
            Change::Missed => '!',
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Namespace { name, owner } => write!(f, "namespace {name} ({owner})"),
            What::Link { interface, differs } => {
                write!(f, "link {}", interface.name)?;
                if !differs.is_empty() {
                    return write!(f, " {}", differs.join(", "));
                }
                if !interface.kind.is_empty() {
                    write!(f, " ({})", interface.kind)?;
                }
                write!(f, " {}", state(interface))
            }
            What::Address { dev, address } => write!(f, "address {address} on {dev}"),
            What::Route(route) => write!(f, "route {route}"),
            What::Rule(rule) => write!(f, "rule {rule}{}", if rule.v6 { " (IPv6)" } else { "" }),
            What::Neighbour(one) => {
                write!(f, "neighbour {} on {}", one.address, one.dev)?;
                if let Some(mac) = one.mac {
                    write!(f, " at {mac}")?;
                }
                write!(f, " {}", one.state)
            }
            What::Forwarding(entry) => write!(f, "{} behind {} of {}", entry.mac, entry.port, entry.bridge),
            What::Overrun => {
                f.write_str(
                    "more happened than could be kept: some events are missing; interfaces and addresses are ",
                )?;
                f.write_str("looked at anew")
            }
        }
    }
}

fn state(interface: &Interface) -> &'static str {
    match (interface.up, interface.carrier) {
        (true, true) => "up",
        (true, false) => "no carrier",
        (false, _) => "down",
    }
}

/// What a person would notice of the difference between two states of an interface.
#[must_use]
pub fn differences(before: &Interface, now: &Interface) -> Vec<String> {
    let mut differs = Vec::new();
    if before.name != now.name {
        differs.push(format!("was {}", before.name));
    }
    if state(before) != state(now) {
        differs.push(match state(now) {
            "no carrier" => "has no carrier".to_owned(),
            state => format!("is {state}"),
        });
    }
    if before.mtu != now.mtu {
        differs.push(format!("mtu {}", now.mtu));
    }
    if let Some(mac) = now.mac.filter(|mac| before.mac != Some(*mac)) {
        differs.push(format!("mac {mac}"));
    }
    match (&before.master, &now.master) {
        (before, now) if before == now => {}
        (_, Some(master)) => differs.push(format!("is a port of {master}")),
        (Some(master), None) => differs.push(format!("is no port of {master} any more")),
        (None, None) => {}
    }
    if let Some(port) = now.port.as_ref().filter(|_| before.port != now.port && before.master == now.master) {
        differs.push(format!("is {} as a port", port.state));
    }
    if before.alias != now.alias {
        differs.push(now.alias.as_ref().map_or("has no alias any more".to_owned(), |alias| format!("alias “{alias}”")));
    }
    for name in now.altnames.iter().filter(|name| !before.altnames.contains(name)) {
        differs.push(format!("is also called {name}"));
    }
    for name in before.altnames.iter().filter(|name| !now.altnames.contains(name)) {
        differs.push(format!("is no longer called {name}"));
    }
    if before.group != now.group {
        differs.push(format!("group {}", now.group));
    }
    differs
}
