//! Beside other people's rules: which packets of a lab they would drop on the host, and what opens the way.
//!
//! An `accept` in raum's own table does not overrule a foreign chain that drops: each base chain of a hook is asked. So a host
//! with Docker, ufw or firewalld may drop what a lab needs, and nothing in the lab would tell. [`Flow`]s are what a lab needs
//! of the host (`design` knows them), [`obstacles`] finds who drops them, and an [`Opening`] is the rule that lets them
//! through, in the place that the foreign firewall has for rules of others.

mod guest;
mod judge;
mod opening;
mod remedy;

pub use guest::{Guest, Inside, Kind, guests};
pub use judge::{Obstacle, obstacles};
pub use opening::{Opening, ZONE, ZONE_SET};
pub(crate) use remedy::in_its_place;
pub use remedy::{Firewall, openings, zones};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::lab::mark;
use crate::name::{IfName, LabName};
use crate::ruleset::packet::{DNATTED, ESTABLISHED, LOCAL, UNICAST};
use crate::ruleset::{Expr, Hook, Packet, Ruleset};

/// `RTN_MULTICAST`.
const MULTICAST: u32 = 5;
/// Matches of ip6tables that ask for an extension header (ip6tables-extensions(8)).
const EXTENSIONS: [&str; 8] = ["ah", "dst", "esp", "frag", "hbh", "ipv6header", "mh", "rt"];

/// Packets of one kind that the host must let pass, as far as they are known beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// In words: `from lan out by eth0`.
    pub what: String,
    /// Where they meet rules.
    pub hook: Hook,
    /// They come in by this interface.
    pub input: Option<IfName>,
    /// They go out by this one.
    pub output: Option<IfName>,
    /// From here, if that is known.
    pub source: Option<IpAddr>,
    /// To there, if that is known; else only the family is.
    pub destination: Result<IpAddr, Family>,
    /// IP protocol number.
    pub proto: u8,
    /// The destination port, if it is known.
    pub port: Option<u16>,
    /// The message's type, of ICMP.
    pub icmp: Option<u8>,
    /// Answers: the connection is there already.
    pub answer: bool,
    /// The destination was translated.
    pub dnatted: bool,
    /// Frames inside a bridge: they meet rules only where br_netfilter is on.
    pub bridged: bool,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Flow {
    /// Of IPv6, else of IPv4?
    #[must_use]
    pub fn is_v6(&self) -> bool {
        match self.destination {
            Ok(address) => address.is_ipv6(),
            Err(family) => family == Family::Ipv6,
        }
    }

    /// As the rules see it: what is not known stays unknown.
    fn packet(&self) -> Packet {
        let nobody = if self.is_v6() { IpAddr::from([0_u16; 8]) } else { IpAddr::from([0_u8; 4]) };
        let mut packet =
            Packet::new(self.source.unwrap_or(nobody), self.destination.unwrap_or(nobody), Some(self.proto));
        let (from, to, length) = if self.is_v6() { (8, 24, 16) } else { (12, 16, 4) };
        for (known, at) in [(self.source.is_some(), from), (self.destination.is_ok(), to)] {
            let bytes = packet.network.iter_mut().skip(at).take(length).filter(|_| !known);
            bytes.for_each(|byte| *byte = None);
        }
        let interface = |name: &Option<IfName>, present: bool| match name {
            Some(name) => Some((name.to_string(), 0)),
            None if present => None,
            None => Some((String::new(), 0)),
        };
        packet.input = interface(&self.input, self.hook != Hook::Output);
        packet.output = interface(&self.output, !matches!(self.hook, Hook::Input | Hook::Prerouting));
        // neighbour discovery is only heard with 255 (RFC 4861)
        let hops = if matches!(self.icmp, Some(135 | 136)) { 255 } else { 64 };
        if let Some(place) = packet.network.get_mut(if self.is_v6() { 7 } else { 8 }) {
            *place = Some(hops);
        }
        packet.set_ports(None, self.port);
        if let Some(kind) = self.icmp {
            packet.set_icmp(kind);
        } else if self.proto == 6 && !self.answer {
            packet.set_syn();
        }
        if self.answer {
            (packet.ct_state, packet.ct_reply) = (Some(ESTABLISHED), Some(true));
        }
        // what neighbour discovery sends has no connection
        if matches!(self.icmp, Some(135 | 136)) && self.is_v6() {
            packet.ct_state = Some(64);
        }
        let multicast = matches!(self.destination, Ok(address) if address.is_multicast());
        packet.destination_type = Some(match self.hook {
            _ if multicast => MULTICAST,
            Hook::Input | Hook::Prerouting => LOCAL,
            _ => UNICAST,
        });
        packet.source_type = Some(if self.hook == Hook::Output { LOCAL } else { UNICAST });
        packet.ct_status = match (self.dnatted, self.answer) {
            (true, _) => Some(DNATTED),
            (false, false) => Some(0),
            (false, true) => None,
        };
        packet
    }
}

/// The rules without those of labs, and without what labs opened in others; nor those that ask for extension headers, which
/// flows of labs have not got.
#[must_use]
pub fn foreign(rules: &Ruleset) -> Ruleset {
    let is_lab = |comment: Option<&str>| {
        let lab = comment.and_then(|comment| comment.strip_prefix("raum:")).and_then(|lab| LabName::new(lab).ok());
        lab.is_some_and(|lab| comment == Some(&mark(&lab)))
    };
    let mut foreign = rules.clone();
    foreign.tables.retain(|table| !is_lab(table.comment.as_deref()));
    for chain in foreign.tables.iter_mut().flat_map(|table| &mut table.chains) {
        let extension = |expr: &Expr| matches!(expr, Expr::Match { name, .. } if EXTENSIONS.contains(&name.as_str()));
        chain.rules.retain(|rule| !is_lab(rule.comment.as_deref()) && !rule.exprs.iter().any(extension));
    }
    foreign
}
