//! Links and their addresses, with counters and what they belong to. Numbers are from include/uapi/linux/if_link.h.

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;
use raum_core::host::OpError;
use raum_core::name::Mac;
use raum_core::view::{Counters, Interface, Port};

use super::{harmless, ip};
use crate::message::{Answer, Attribute, Requests, i32_at, u16_at, u32_at};
use crate::socket::Socket;

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFA_TARGET_NETNSID: u16 = 10;
/// Leaves IPv6's own counters out of answers, a third of the bytes (`inet6_fill_ifla6_attrs`, net/ipv6/addrconf.c);
/// `IFLA_STATS64` comes all the same.
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const IFF_UP: u32 = 1;
const IFF_NOARP: u32 = 1 << 7;
const IFF_LOWER_UP: u32 = 1 << 16;
const ARPHRD_LOOPBACK: u16 = 772;
/// Place of `disable_ipv6` among the 32-bit numbers of `IFLA_INET6_CONF` (include/uapi/linux/ipv6.h).
const DEVCONF_DISABLE_IPV6: usize = 26;

/// A link as the kernel tells it, with indices where a person wants names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub interface: Interface,
    pub master: Option<u32>,
    /// `IFLA_LINK`: the other end of a veth, what a VLAN sits on.
    pub link: Option<u32>,
    /// What the asking namespace calls the one of `link`; None if it is the link's own.
    pub nsid: Option<i32>,
}

/// Lists all links of the socket's namespace, or of the one that it calls by a number.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn list(socket: &mut Socket, nsid: Option<i32>, counters: bool) -> Result<Vec<Link>, OpError> {
    let mut requests = Requests::new();
    ask(&mut requests, 0, nsid, counters);
    let mut links: Vec<Link> = socket.dump(&mut requests)?.answers().filter_map(|answer| decode(&answer)).collect();
    if !counters {
        links.iter_mut().for_each(|link| link.interface.counters = None);
    }
    Ok(links)
}

/// Asks for one link by index, or, for a dump, with index 0 for all.
pub(super) fn ask(requests: &mut Requests, index: u32, nsid: Option<i32>, counters: bool) {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut request = requests.request(RTM_GETLINK, 0, &header);
    if !counters {
        request.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    }
    if let Some(nsid) = nsid {
        request.attribute(IFLA_TARGET_NETNSID, &nsid.to_ne_bytes());
    }
}

/// Gives the interfaces their addresses.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn add_addresses(socket: &mut Socket, links: &mut [Link]) -> Result<(), OpError> {
    let places: HashMap<u32, usize> = links.iter().enumerate().map(|(at, link)| (link.interface.index, at)).collect();
    for (index, address) in addresses(socket, None)? {
        if let Some(link) = places.get(&index).and_then(|at| links.get_mut(*at)) {
            link.interface.addresses.push(address);
        }
    }
    Ok(())
}

/// Lists all addresses with the indices of their links, of the socket's namespace or of the one that it calls by a number.
///
/// # Errors
/// The kernel's refusal.
pub(super) fn addresses(socket: &mut Socket, nsid: Option<i32>) -> Result<Vec<(u32, IpNet)>, OpError> {
    let mut requests = Requests::new();
    let mut request = requests.request(RTM_GETADDR, 0, &[0; 8]);
    if let Some(nsid) = nsid {
        request.attribute(IFA_TARGET_NETNSID, &nsid.to_ne_bytes());
    }
    Ok(socket.dump(&mut requests)?.answers().filter_map(|answer| address(&answer)).collect())
}

/// Puts names in the place of indices, and the links in their order.
pub(crate) fn named(links: Vec<Link>) -> (Vec<Link>, BTreeMap<u32, String>) {
    let names: BTreeMap<u32, String> =
        links.iter().map(|link| (link.interface.index, link.interface.name.clone())).collect();
    let mut links = links;
    links.sort_by_key(|link| link.interface.index);
    for link in &mut links {
        link.interface.master =
            link.master.map(|index| names.get(&index).cloned().unwrap_or_else(|| index.to_string()));
    }
    (links, names)
}

/// Reads a link; None if the message is none.
pub(crate) fn decode(answer: &Answer<'_>) -> Option<Link> {
    let (header, attributes) = answer.split(16)?;
    let flags = u32_at(header, 8)?;
    let mut link = Link {
        interface: Interface {
            index: u32::try_from(i32_at(header, 4)?).ok()?,
            name: String::new(),
            kind: String::new(),
            up: flags & IFF_UP != 0,
            carrier: flags & IFF_LOWER_UP != 0,
            arp: flags & IFF_NOARP == 0,
            ipv6: true,
            mtu: 0,
            mac: None,
            group: 0,
            master: None,
            peer_index: None,
            alias: None,
            altnames: Vec::new(),
            addresses: Vec::new(),
            peer: None,
            lower: None,
            port: None,
            counters: None,
        },
        master: None,
        link: None,
        nsid: None,
    };
    if u16_at(header, 2)? == ARPHRD_LOOPBACK {
        link.interface.kind = "loopback".to_owned();
    }
    for attribute in attributes {
        decode_attribute(&mut link, attribute)?;
    }
    link.interface.peer_index = link.link;
    Some(link)
}

fn decode_attribute(link: &mut Link, attribute: Attribute<'_>) -> Option<()> {
    let found = &mut link.interface;
    let text = |attribute: Attribute<'_>| harmless(attribute.bytes);
    match attribute.kind {
        1 if attribute.bytes.len() == 6 => found.mac = attribute.array().map(Mac).filter(|mac| mac.0 != [0; 6]),
        3 => found.name = text(attribute),
        4 => found.mtu = attribute.u32()?,
        5 => link.link = attribute.u32().filter(|index| *index != 0),
        10 => link.master = attribute.u32().filter(|index| *index != 0),
        18 => decode_kind(found, attribute),
        20 => found.alias = Some(text(attribute)),
        23 => found.counters = counters(attribute.bytes),
        // IFLA_AF_SPEC, AF_INET6, IFLA_INET6_CONF
        26 => {
            let conf = attribute.nested().find(10).and_then(|v6| v6.nested().find(2));
            found.ipv6 = conf.and_then(|conf| i32_at(conf.bytes, DEVCONF_DISABLE_IPV6 * 4)).unwrap_or(0) == 0;
        }
        27 => found.group = attribute.u32()?,
        37 => link.nsid = attribute.i32(),
        // IFLA_PROP_LIST of IFLA_ALT_IFNAME
        52 => found.altnames = attribute.nested().filter(|name| name.kind == 53).map(text).collect(),
        _ => {}
    }
    Some(())
}

/// `IFLA_LINKINFO`: the kind, and of a bridge's port how it is used.
fn decode_kind(found: &mut Interface, attribute: Attribute<'_>) {
    let info = attribute.nested();
    if let Some(kind) = info.find(1) {
        found.kind = harmless(kind.bytes);
    }
    if info.find(4).is_some_and(|kind| kind.text() == Some("bridge"))
        && let Some(data) = info.find(5)
    {
        let data = data.nested();
        let flag = |kind| data.find(kind).and_then(Attribute::u8).is_some_and(|value| value != 0);
        let state = match data.find(1).and_then(Attribute::u8) {
            Some(0) => "disabled",
            Some(1) => "listening",
            Some(2) => "learning",
            Some(3) => "forwarding",
            Some(4) => "blocking",
            _ => "unknown",
        };
        found.port = Some(Port {
            state: state.to_owned(),
            hairpin: flag(4),
            isolated: flag(33),
            learning: flag(8),
            flood: flag(9),
        });
    }
}

/// `struct rtnl_link_stats64`.
fn counters(bytes: &[u8]) -> Option<Counters> {
    let at = |place: usize| bytes.get(place * 8..)?.first_chunk().copied().map(u64::from_ne_bytes);
    Some(Counters {
        rx_packets: at(0)?,
        tx_packets: at(1)?,
        rx_bytes: at(2)?,
        tx_bytes: at(3)?,
        rx_errors: at(4)?,
        tx_errors: at(5)?,
        rx_dropped: at(6)?,
        tx_dropped: at(7)?,
    })
}

/// The index of a link and one of its addresses.
pub(crate) fn address(answer: &Answer<'_>) -> Option<(u32, IpNet)> {
    let (header, attributes) = answer.split(8)?;
    let index = u32_at(header, 4)?;
    // IFA_LOCAL where there is one: on a point-to-point link IFA_ADDRESS is the other end
    let ip = attributes.find(2).or_else(|| attributes.find(1)).and_then(ip)?;
    Some((index, IpNet::new(ip, *header.get(1)?).ok()?))
}
