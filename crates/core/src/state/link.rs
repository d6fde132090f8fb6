//! Links: the lab's interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Owner;
use crate::name::{IfName, Mac, NsId};

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// A Linux bridge: a switch.
    Bridge,
    /// One end of a veth pair.
    Veth {
        /// The namespace of the other end.
        peer_ns: NsId,
        /// The other end's name.
        peer: IfName,
    },
    /// A veth end whose other end could not be found among the lab's links: it has been moved or replaced.
    Orphan,
    /// Anything else, by the kernel's kind (`IFLA_INFO_KIND`), or empty for hardware. Only ever foreign.
    Other(String),
}

/// What a port of a bridge does of itself, unless somebody changed it. All but [`PortFlag::Locked`] and those after it are on for a new port
/// (`new_nbp`, net/bridge/br_if.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortFlag {
    /// Passes packets: its state is `forwarding`. Without STP it is that as long as port and bridge are up and have a carrier.
    Forwarding,
    /// Learns who is behind it.
    Learning,
    /// Gets packets to those of whom the bridge does not know where they are.
    Flood,
    /// Gets multicast that nobody has asked for; neighbours of IPv6 are asked for by that.
    McastFlood,
    /// Gets broadcasts: neighbours of IPv4 are asked for by that.
    BcastFlood,
    /// Lets nobody in whom the bridge does not know already.
    Locked,
    /// Gets no questions for neighbours.
    NeighSuppress,
}

impl PortFlag {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Forwarding,
        Self::Learning,
        Self::Flood,
        Self::McastFlood,
        Self::BcastFlood,
        Self::Locked,
        Self::NeighSuppress,
    ];

    /// Is it on for a new port?
    #[must_use]
    pub fn is_usual(self) -> bool {
        !matches!(self, Self::Locked | Self::NeighSuppress)
    }

    /// As `bridge link set` has it, to be on or off.
    #[must_use]
    pub fn words(self, on: bool) -> String {
        let name = match self {
            // `BR_STATE_FORWARDING`, `BR_STATE_DISABLED`
            Self::Forwarding => return format!("state {}", if on { 3 } else { 0 }),
            Self::Learning => "learning",
            Self::Flood => "flood",
            Self::McastFlood => "mcast_flood",
            Self::BcastFlood => "bcast_flood",
            Self::Locked => "locked",
            Self::NeighSuppress => "neigh_suppress",
        };
        format!("{name} {}", if on { "on" } else { "off" })
    }
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whose it is: the lab's iff its group is [`Link::group`] of the lab.
    #[serde(default)]
    pub owner: Owner,
    /// Bridge or veth.
    pub kind: LinkKind,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Bytes of an IP packet, 68 (1280 with IPv6) to 65535.
    pub mtu: u32,
    /// The hardware address.
    pub mac: Mac,
    /// The bridge it is a port of, in the same namespace.
    #[serde(default)]
    pub master: Option<IfName>,
    /// As a port: passes nothing to other isolated ports of its bridge (`IFLA_BRPORT_ISOLATED`). False for what is no port.
    #[serde(default)]
    pub isolated: bool,
    /// As a port: hands packets back to where they came from (`IFLA_BRPORT_MODE`). False for what is no port.
    #[serde(default)]
    pub hairpin: bool,
    /// As a port: what is not as with a new port. None for what is no port, and in every wanted state.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unusual: BTreeSet<PortFlag>,
    /// Asks who has an address, and answers (no `IFF_NOARP`).
    #[serde(default = "super::yes", skip_serializing_if = "super::is_yes")]
    pub arp: bool,
    /// The lab's mark on links: `IFLA_GROUP`, set in the very message that creates the link. See
    /// [`crate::lab::link_group`].
    pub group: u32,
    /// The interface alias (`ip link set … alias`): on bridges `raum:LAB`, so that a person sees whose it is.
    #[serde(default)]
    pub alias: Option<String>,
    /// A second, longer name (`ip link property add … altname`), where the first had to be cut.
    #[serde(default)]
    pub altname: Option<String>,
    /// Global addresses with their prefix length, host bits kept.
    #[serde(default)]
    pub addresses: BTreeSet<IpNet>,
    /// Those of the addresses whose subnet has no route that the kernel made: it made one with the address, and somebody
    /// removed it. Of a subnet's addresses the first one. Only observed, of a link that is up.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unrouted: BTreeSet<IpNet>,
    /// Those of the IPv4 addresses that came into a subnet that had one already (`IFA_F_SECONDARY`): they go without taking
    /// others along. Only observed: it makes no two states different.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secondary: BTreeSet<IpNet>,
    /// Neighbours that raum wrote down for ever (`nud permanent`, `protocol static`): they are not asked for, and do not count
    /// against the machine's limit (`exempt_from_gc`, net/core/neighbour.c). Those of others, and learned ones, are not in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub neighbours: BTreeMap<IpAddr, Mac>,
}
