//! Links: the lab's interfaces.

use std::collections::BTreeSet;

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
}
