//! What a person sees of one namespace: everything in it, whoever made it.
//!
//! Unlike [`crate::state::State`] this is never compared or planned with, so it holds what `ip` would print: all interfaces,
//! routes of every protocol, neighbours as they are at this moment. Text from the kernel (interface names, aliases) is
//! foreign: it is kept without control characters, so that no terminal runs it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::{LabName, Mac, NsId};
use crate::nft::Table;

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Which.
    pub namespace: NsId,
    /// The lab whose mark it carries.
    pub lab: Option<LabName>,
    /// In order of their indices.
    pub interfaces: Vec<Interface>,
    /// The main table, IPv4 first, in the kernel's order of preference.
    pub routes: Vec<RouteEntry>,
    /// The ARP and ND tables, by interface and address; multicast and loopback entries left out.
    pub neighbours: Vec<Neighbour>,
    /// The tables that carry a lab's mark.
    pub tables: Vec<Table>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The kernel's kind (`veth`, `bridge`, …), empty for hardware; `loopback` for lo.
    pub kind: String,
    /// Administratively up.
    pub up: bool,
    /// Has a carrier: the other end is up as well.
    pub carrier: bool,
    /// Bytes of an IP packet.
    pub mtu: u32,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// The bridge that it is a port of.
    pub master: Option<String>,
    /// The index of the other end of a veth, in that end's namespace.
    pub peer_index: Option<u32>,
    /// The interface alias.
    pub alias: Option<String>,
    /// Further names.
    pub altnames: Vec<String>,
    /// All addresses, link-local ones too.
    pub addresses: Vec<IpNet>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// The destination; length 0 is `default`.
    pub to: IpNet,
    /// `unicast`, `blackhole`, `unreachable`, `prohibit`, …
    pub kind: String,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The interface.
    pub dev: Option<String>,
    /// The source address that packets get.
    pub source: Option<IpAddr>,
    /// Lower wins.
    pub metric: u32,
    /// Who made it: `kernel`, `static`, `boot`, `dhcp`, …
    pub protocol: String,
}

/// One entry of the ARP or ND table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its hardware address, if known.
    pub mac: Option<Mac>,
    /// On which interface.
    pub dev: String,
    /// `reachable`, `stale`, `failed`, `incomplete`, `permanent`, …
    pub state: String,
}

impl fmt::Display for RouteEntry {
    /// As `ip route` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != "unicast" {
            write!(f, "{} ", self.kind)?;
        }
        if self.to.prefix_len() == 0 {
            f.write_str("default")?
        } else {
            write!(f, "{}", self.to)?
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        write!(f, " proto {}", self.protocol)
    }
}
