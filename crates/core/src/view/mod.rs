//! What a person sees of one namespace: everything in it, whoever made it.
//!
//! Unlike [`crate::state::State`] this is never compared or planned with, so it holds what `ip` would print: all interfaces,
//! routes of every protocol, neighbours as they are at this moment. Text from the kernel (interface names, aliases) is
//! foreign: it is kept without control characters, so that no terminal runs it.
//!
//! A [`View`] is one namespace by itself; a [`Scene`] is all of the machine, or a part of it, with what joins them.

mod event;
mod nat;
mod rate;
mod rule;
mod scene;
mod select;
mod sysctl;

pub use event::{Change, Event, What, differences};
pub use nat::{Action, Ports, RuleChain, Translation};
pub use rate::{Flow, Rates, Sample, end, per_second};
pub use rule::PolicyRule;
pub use scene::{Forwards, Listener, Missing, Owner, Parts, Process, Room, Scene};
pub use select::{SelectError, Selected, select};
pub use sysctl::telling;

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
    /// Asks who has an address, and answers (no `IFF_NOARP`).
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub arp: bool,
    /// Takes IPv6 (no `disable_ipv6`).
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ipv6: bool,
    /// Bytes of an IP packet.
    pub mtu: u32,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// Its group (`ip link … group`); the links of a lab have the lab's.
    #[serde(default)]
    pub group: u32,
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
    /// The other end of a veth. Only in a [`Scene`], which knows other namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Other>,
    /// The interface that a VLAN, macvlan or the like sits on. Only in a [`Scene`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Other>,
    /// Of a bridge's port: how it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// What went through since it was made, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
}

/// An interface that another one belongs to, here or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The [`Room::namespace`] that it is in; None for one that cannot be seen from here.
    pub namespace: Option<String>,
    /// Its name; None if it cannot be looked at.
    pub interface: Option<String>,
    /// Its number there.
    pub index: u32,
}

/// A port of a bridge (`IFLA_BRPORT_*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// `forwarding`, `learning`, `blocking`, `listening` or `disabled`.
    pub state: String,
    /// Packets may go out where they came in.
    pub hairpin: bool,
    /// Packets go to ports that are not isolated, only.
    pub isolated: bool,
    /// The bridge learns who is behind it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub learning: bool,
    /// It gets packets to those of whom the bridge does not know where they are.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub flood: bool,
}

/// Since the interface was made (`struct rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Bad packets received.
    pub rx_errors: u64,
    /// Packets received and thrown away.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets thrown away instead of being sent.
    pub tx_dropped: u64,
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
    /// Its table: `main`, `local`, `default`, or the number.
    #[serde(default = "main_table")]
    pub table: String,
    /// The further ways of a route with several; `via` and `dev` are the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Hop>,
}

/// One way of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The interface.
    pub dev: Option<String>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_yes(yes: &bool) -> bool {
    *yes
}

fn main_table() -> String {
    MAIN.to_owned()
}

/// The table that routes are in if nobody says otherwise.
pub const MAIN: &str = "main";

/// An entry of a bridge's forwarding table: behind which port a hardware address is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// The bridge.
    pub bridge: String,
    /// The hardware address.
    pub mac: Mac,
    /// The port, or the bridge itself for its own addresses.
    pub port: String,
    /// In this VLAN only.
    pub vlan: Option<u16>,
    /// `permanent` for the ports' own addresses, `static`, `learned` from a packet, or `offload` from elsewhere.
    pub state: String,
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
    /// It says that it is a router (ND).
    #[serde(default)]
    pub router: bool,
}

impl RouteEntry {
    /// Does it follow from what interfaces there are and which addresses they have? The kernel makes such routes by itself:
    /// those of the table `local`, and those of link-local and multicast addresses.
    #[must_use]
    pub fn is_implied(&self) -> bool {
        let of_every_link = match self.to.addr() {
            IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
            IpAddr::V4(ip) => ip.is_multicast(),
        };
        self.table == "local" || self.kind == "local" || (self.protocol == "kernel" && of_every_link)
    }
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
        way(f, self.via, self.dev.as_deref())?;
        for hop in &self.more {
            f.write_str(" and")?;
            way(f, hop.via, hop.dev.as_deref())?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        write!(f, " proto {}", self.protocol)?;
        if self.table != MAIN {
            write!(f, " table {}", self.table)?;
        }
        Ok(())
    }
}

fn way(f: &mut fmt::Formatter<'_>, via: Option<IpAddr>, dev: Option<&str>) -> fmt::Result {
    if let Some(via) = via {
        write!(f, " via {via}")?;
    }
    if let Some(dev) = dev {
        write!(f, " dev {dev}")?;
    }
    Ok(())
}
