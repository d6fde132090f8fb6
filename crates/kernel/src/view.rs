//! Everything in one namespace, for a person to look at: what `ip link`, `addr`, `route` and `neigh` would list there.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use raum_core::host::{ObserveError, OpError};
use raum_core::lab::mark;
use raum_core::name::{LabName, Mac, NsId};
use raum_core::view::{Interface, Neighbour, RouteEntry, View};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::errno;
use crate::message::{Answer, Attribute, Requests, i32_at, u16_at, u32_at};
use crate::namespace;
use crate::nft;
use crate::socket::{Protocol, Reply, Socket};

// include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;
const RT_TABLE_MAIN: u32 = 254;

/// Looks into a namespace.
///
/// # Errors
/// It does not exist, may not be entered, or a list is refused. Without nf_tables there are simply no tables.
pub fn view(ns: &NsId) -> Result<View, ObserveError> {
    let told = |cause| ObserveError { what: format!("namespace {ns}"), cause };
    match ns {
        NsId::Host => read(ns).map_err(told),
        NsId::Named(name) => {
            let path = format!("/run/netns/{name}");
            let fd = openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|cause| told(errno::at(&path, cause)))?;
            namespace::in_namespace(fd, || read(ns)).and_then(|view| view).map_err(told)
        }
    }
}

fn read(ns: &NsId) -> Result<View, OpError> {
    let mut socket = Socket::open(Protocol::Route)?;
    let mut interfaces: BTreeMap<u32, Interface> = BTreeMap::new();
    for answer in dump(&mut socket, RTM_GETLINK, &[0; 16])?.answers() {
        interfaces.extend(link(&answer).map(|found| (found.index, found)));
    }
    resolve_masters(&mut interfaces);
    for answer in dump(&mut socket, RTM_GETADDR, &[0; 8])?.answers() {
        if let Some((index, address)) = address(&answer)
            && let Some(interface) = interfaces.get_mut(&index)
        {
            interface.addresses.push(address);
        }
    }
    let names: HashMap<u32, String> = interfaces.iter().map(|(index, found)| (*index, found.name.clone())).collect();
    let mut routes = Vec::new();
    for family in [AF_INET, AF_INET6] {
        // rtmsg: family, lengths, tos, table, …: strict checking lets the kernel give only the main table
        let header = [family, 0, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0];
        match dump(&mut socket, RTM_GETROUTE, &header) {
            Ok(reply) => routes.extend(reply.answers().filter_map(|answer| route(&answer, &names))),
            // the table is made with its first route ("ipv4: FIB table does not exist")
            Err(error) if error.code == "ENOENT" => {}
            Err(error) => return Err(error),
        }
    }
    let mut neighbours = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let header = [family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let reply = dump(&mut socket, RTM_GETNEIGH, &header)?;
        neighbours.extend(reply.answers().filter_map(|answer| neighbour(&answer, &names)));
    }
    neighbours.sort_by(|a, b| (&a.dev, a.address).cmp(&(&b.dev, b.address)));
    // a kernel without nf_tables, or a user without the permission: the rest is still worth showing
    let tables =
        Socket::open(Protocol::Netfilter).and_then(|mut socket| nft::observe_all(&mut socket)).unwrap_or_default();
    let alias = interfaces.get(&1).and_then(|lo| lo.alias.clone());
    let interfaces = interfaces.into_values().collect();
    Ok(View { namespace: ns.clone(), lab: alias.and_then(|alias| lab(&alias)), interfaces, routes, neighbours, tables })
}

fn dump(socket: &mut Socket, kind: u16, header: &[u8]) -> Result<Reply, OpError> {
    let mut requests = Requests::new();
    requests.request(kind, 0, header);
    socket.dump(&mut requests)
}

/// The lab of a mark.
fn lab(alias: &str) -> Option<LabName> {
    let name = LabName::new(alias.strip_prefix("raum:")?).ok()?;
    (mark(&name) == alias).then_some(name)
}

fn link(answer: &Answer<'_>) -> Option<Interface> {
    let (header, attributes) = answer.split(16)?;
    let flags = u32_at(header, 8)?;
    let mut found = Interface {
        index: u32::try_from(i32_at(header, 4)?).ok()?,
        name: String::new(),
        kind: String::new(),
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        mtu: 0,
        mac: None,
        master: None,
        peer_index: None,
        alias: None,
        altnames: Vec::new(),
        addresses: Vec::new(),
    };
    // ARPHRD_LOOPBACK
    if u16_at(header, 2)? == 772 {
        found.kind = "loopback".to_owned();
    }
    for attribute in attributes {
        match attribute.kind {
            1 => found.mac = attribute.array().map(Mac).filter(|mac| mac.0 != [0; 6]),
            3 => found.name = harmless(attribute),
            4 => found.mtu = attribute.u32()?,
            5 => found.peer_index = attribute.u32().filter(|index| *index != 0),
            // the index for now: resolved when all links are known
            10 => found.master = attribute.u32().map(|index| index.to_string()),
            18 => {
                if let Some(kind) = attribute.nested().find(1) {
                    found.kind = harmless(kind);
                }
            }
            20 => found.alias = Some(harmless(attribute)),
            // IFLA_PROP_LIST of IFLA_ALT_IFNAME
            52 => found.altnames = attribute.nested().filter(|name| name.kind == 53).map(harmless).collect(),
            _ => {}
        }
    }
    Some(found)
}

fn resolve_masters(interfaces: &mut BTreeMap<u32, Interface>) {
    let names: HashMap<String, String> =
        interfaces.iter().map(|(index, found)| (index.to_string(), found.name.clone())).collect();
    for interface in interfaces.values_mut() {
        interface.master = interface.master.take().map(|index| names.get(&index).cloned().unwrap_or(index));
    }
}

fn address(answer: &Answer<'_>) -> Option<(u32, IpNet)> {
    let (header, attributes) = answer.split(8)?;
    let index = u32_at(header, 4)?;
    // IFA_LOCAL where there is one: on a point-to-point link IFA_ADDRESS is the other end
    let ip = attributes.find(2).or_else(|| attributes.find(1)).and_then(ip)?;
    Some((index, IpNet::new(ip, *header.get(1)?).ok()?))
}

fn route(answer: &Answer<'_>, names: &HashMap<u32, String>) -> Option<RouteEntry> {
    let (header, attributes) = answer.split(12)?;
    let (family, length, kind) = (*header.first()?, *header.get(1)?, *header.get(7)?);
    let table =
        attributes.find(15).and_then(Attribute::u32).unwrap_or_else(|| header.get(4).map_or(0, |t| u32::from(*t)));
    // without strict checking (before Linux 4.20) all tables come; RTM_F_CLONED are cache entries
    if table != RT_TABLE_MAIN || u32_at(header, 8)? & 0x200 != 0 {
        return None;
    }
    let any = if family == AF_INET { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let to = attributes.find(1).and_then(ip).unwrap_or(any);
    let device = |index: u32| names.get(&index).cloned().unwrap_or_else(|| index.to_string());
    let mut dev = attributes.find(4).and_then(Attribute::u32).map(device);
    let mut via = attributes.find(5).and_then(ip);
    // RTA_MULTIPATH: the first of `struct rtnexthop` stands for all
    if let Some(hops) = attributes.find(9) {
        dev = dev.or_else(|| u32_at(hops.bytes, 4).map(device));
        via = via.or_else(|| crate::message::Attributes::new(hops.bytes.get(8..)?).find(5).and_then(ip));
    }
    Some(RouteEntry {
        to: IpNet::new(to, length).ok()?,
        kind: route_kind(kind).to_owned(),
        via,
        dev,
        source: attributes.find(7).and_then(ip),
        metric: attributes.find(6).and_then(Attribute::u32).unwrap_or(0),
        protocol: protocol(*header.get(5)?),
    })
}

fn route_kind(kind: u8) -> &'static str {
    // RTN_*
    match kind {
        1 => "unicast",
        2 => "local",
        3 => "broadcast",
        4 => "anycast",
        5 => "multicast",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        9 => "throw",
        _ => "unknown",
    }
}

/// RTPROT_*, as /etc/iproute2/rt_protos calls them.
fn protocol(number: u8) -> String {
    let name = match number {
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        9 => "ra",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        _ => return number.to_string(),
    };
    name.to_owned()
}

fn neighbour(answer: &Answer<'_>, names: &HashMap<u32, String>) -> Option<Neighbour> {
    let (header, attributes) = answer.split(12)?;
    let state = match u16_at(header, 8)? {
        0x01 => "incomplete",
        0x02 => "reachable",
        0x04 => "stale",
        0x08 => "delay",
        0x10 => "probe",
        0x20 => "failed",
        0x80 => "permanent",
        // NUD_NOARP: multicast, broadcast and loopback, which nobody ever resolved
        _ => return None,
    };
    let index = u32::try_from(i32_at(header, 4)?).ok()?;
    Some(Neighbour {
        address: ip(attributes.find(1)?)?,
        mac: attributes.find(2).and_then(Attribute::array).map(Mac),
        dev: names.get(&index).cloned().unwrap_or_else(|| index.to_string()),
        state: state.to_owned(),
    })
}

fn ip(attribute: Attribute<'_>) -> Option<IpAddr> {
    match attribute.bytes.len() {
        4 => attribute.array::<4>().map(IpAddr::from),
        16 => attribute.array::<16>().map(IpAddr::from),
        _ => None,
    }
}

/// Text from the kernel as a terminal can bear it.
fn harmless(attribute: Attribute<'_>) -> String {
    let bytes = attribute.bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
