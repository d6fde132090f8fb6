//! Reads the links, addresses and routes of one namespace, over its socket.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use raum_core::host::{ObserveError, OpError};
use raum_core::name::{IfName, Mac, NsId};
use raum_core::state::{Link, LinkKind, Namespace, Owner, PortFlag, Route};

use rustix::io::Errno;

use crate::link::{self, LOOPBACK, LinkInfo};
use crate::message::Requests;
use crate::socket::{Reply, Socket};
use crate::space::Space;
use crate::{address, neighbours, route};

/// Questions for links in one message: each answer takes up to 4 KiB of the receive buffer of 208 KiB (`net.core.rmem_default`),
/// and the kernel answers all of them before anybody can read one.
const QUESTIONS: usize = 32;

/// A namespace, and what is needed to find out which veth ends belong together.
pub(super) struct Seen {
    pub namespace: Namespace,
    pub ends: Vec<End>,
}

/// One end of a veth pair, of the lab.
pub(super) struct End {
    pub name: IfName,
    pub index: u32,
    /// The other end's index, where it is.
    pub peer: u32,
    /// What this namespace calls the other end's; None if it is this one.
    pub peer_nsid: Option<i32>,
}

/// Reads a namespace: the links of the group, and those of these names whoever has them. `host`: it is the host, where a
/// route without a link cannot be told to be the lab's. `neighbours`: and neighbours that raum wrote down.
pub(super) fn inside(
    space: &mut Space,
    group: u32,
    names: &BTreeSet<IfName>,
    host: bool,
    neighbours: bool,
) -> Result<Seen, ObserveError> {
    let of = |what: &str| {
        let what = format!("{what} of the host");
        move |cause: OpError| ObserveError { what, cause }
    };
    let mut namespace = Namespace { loopback_up: false, ..Namespace::default() };
    let mut ends = Vec::new();
    let links = links(&mut space.route).map_err(of("interfaces"))?;
    settle(&mut space.route, &links, group).map_err(of("interfaces"))?;
    space.indices.clear();
    let mut by_index: HashMap<u32, IfName> = HashMap::with_capacity(links.len());
    for info in &links {
        // a name that raum could not have given (a control character) belongs to somebody else
        if let Ok(name) = IfName::new(&info.name) {
            space.indices.insert(name.clone(), info.index);
            by_index.insert(info.index, name);
        }
    }
    // what passes no packets for a reason: STP decides, the bridge is down
    let idle: BTreeSet<u32> = links.iter().filter(|link| link.stp || !link.up).map(|link| link.index).collect();
    space.mark = None;
    let mut ours: BTreeMap<u32, IfName> = BTreeMap::new();
    for mut info in links {
        if info.index == LOOPBACK {
            namespace.loopback_up = info.up;
            space.mark = info.alias;
            continue;
        }
        let Some(name) = by_index.get(&info.index) else { continue };
        let owner = if info.group == group { Owner::Lab } else { Owner::Foreign };
        if owner == Owner::Foreign && !names.contains(name) {
            continue;
        }
        if owner == Owner::Lab {
            ours.insert(info.index, name.clone());
            if let (Some(peer), "veth") = (info.peer, info.kind.as_str()) {
                ends.push(End { name: name.clone(), index: info.index, peer, peer_nsid: info.peer_nsid });
            }
        }
        if !info.up || !info.running || info.master.is_some_and(|bridge| idle.contains(&bridge)) {
            info.unusual.remove(&PortFlag::Forwarding);
        }
        let link = link_of(info, owner, &by_index);
        namespace.links.insert(name.clone(), link);
    }
    if !host || !namespace.links.is_empty() {
        addresses(&mut space.route, &by_index, &mut namespace).map_err(of("addresses"))?;
        routes(&mut space.route, &ours, host, &mut namespace).map_err(of("routes"))?;
    }
    if neighbours && !ours.is_empty() {
        written(&mut space.route, &ours, &mut namespace).map_err(of("neighbours"))?;
    }
    Ok(Seen { namespace, ends })
}

/// All links of a socket's namespace.
pub(crate) fn links(socket: &mut Socket) -> Result<Vec<LinkInfo>, OpError> {
    let mut requests = Requests::new();
    link::list(&mut requests);
    Ok(socket.dump(&mut requests)?.answers().filter_map(|answer| link::decode(&answer)).collect())
}

/// Has the kernel act upon carriers that have just come. It does so in its own time (net/core/link_watch.c), and until then a
/// link that is up sends nothing, and a bridge's port passes nothing on; on a busy machine that takes long enough to lose
/// the first packets. Whoever asks for one link is answered after that (`linkwatch_sync_dev` in `rtnl_getlink`, since Linux
/// 6.8; before, asking does no harm). Ports before their bridges, which have a carrier when a port has.
fn settle(socket: &mut Socket, links: &[LinkInfo], group: u32) -> Result<(), OpError> {
    let mut pending: Vec<&LinkInfo> =
        links.iter().filter(|link| link.group == group && link.up && !link.running).collect();
    if pending.is_empty() {
        return Ok(());
    }
    pending.sort_by_key(|link| link.kind == "bridge");
    for part in pending.chunks(QUESTIONS) {
        let mut requests = Requests::new();
        for link in part {
            link::get_at(&mut requests, link.index, None);
        }
        // a link that is gone since needs no carrier
        socket.ask(&mut requests)?;
    }
    Ok(())
}

fn link_of(info: LinkInfo, owner: Owner, names: &HashMap<u32, IfName>) -> Link {
    let kind = match info.kind.as_str() {
        "bridge" => LinkKind::Bridge,
        // until the other end is found
        "veth" => LinkKind::Orphan,
        _ => LinkKind::Other(info.kind),
    };
    Link {
        owner,
        kind,
        up: info.up,
        mtu: info.mtu,
        mac: Mac(info.mac),
        master: info.master.and_then(|index| names.get(&index).cloned()),
        isolated: info.isolated,
        hairpin: info.hairpin,
        unusual: info.unusual,
        arp: !info.noarp,
        group: info.group,
        alias: info.alias,
        altname: info.altname,
        addresses: BTreeSet::new(),
        unrouted: BTreeSet::new(),
        secondary: BTreeSet::new(),
        neighbours: BTreeMap::new(),
    }
}

fn dump(socket: &mut Socket, v6: bool, list: fn(&mut Requests, bool)) -> Result<Reply, OpError> {
    let mut requests = Requests::new();
    list(&mut requests, v6);
    socket.dump(&mut requests)
}

/// The addresses that somebody gave to links.
fn addresses(socket: &mut Socket, names: &HashMap<u32, IfName>, into: &mut Namespace) -> Result<(), OpError> {
    for v6 in [false, true] {
        let reply = dump(socket, v6, address::list_all)?;
        for found in reply.answers().filter_map(|answer| address::decode(&answer)).filter(|found| found.given) {
            if let Some(link) = names.get(&found.index).and_then(|name| into.links.get_mut(name)) {
                link.addresses.insert(found.address);
                if found.secondary {
                    link.secondary.insert(found.address);
                }
            }
        }
    }
    Ok(())
}

/// The neighbours that raum wrote down behind these links.
fn written(socket: &mut Socket, ours: &BTreeMap<u32, IfName>, into: &mut Namespace) -> Result<(), OpError> {
    for found in neighbours::written(socket)? {
        if let Some(link) = ours.get(&found.index).and_then(|name| into.links.get_mut(name)) {
            link.neighbours.insert(found.address, found.mac);
        }
    }
    Ok(())
}

/// The routes that somebody wrote through these links or, where it is no host, through none; and which addresses have lost
/// theirs.
fn routes(socket: &mut Socket, ours: &BTreeMap<u32, IfName>, host: bool, into: &mut Namespace) -> Result<(), OpError> {
    let mut subnets: BTreeSet<(u32, IpNet)> = BTreeSet::new();
    for v6 in [false, true] {
        let reply = match dump(socket, v6, route::list) {
            // a namespace in which nobody ever had an address has no table yet
            Err(error) if error.errno == Errno::NOENT.raw_os_error() => continue,
            reply => reply?,
        };
        for found in reply.answers().filter_map(|answer| route::decode(&answer)) {
            if !found.written {
                let direct = found.hops.iter().filter(|(via, _)| via.is_none());
                subnets.extend(direct.map(|(_, index)| (*index, found.to)));
                continue;
            }
            let route = |via, dev| Route { to: found.to, metric: found.metric, kind: found.kind, via, dev };
            if found.hops.is_empty() && !host {
                into.routes.insert(route(None, None));
            }
            for (via, index) in &found.hops {
                if let Some(name) = ours.get(index) {
                    into.routes.insert(route(*via, Some(name.clone())));
                }
            }
        }
    }
    for (index, name) in ours {
        let Some(link) = into.links.get_mut(name).filter(|link| link.up) else { continue };
        let mut without: BTreeMap<IpNet, IpNet> = BTreeMap::new();
        for address in link.addresses.difference(&link.secondary).filter(|address| has_subnet(address)) {
            if !subnets.contains(&(*index, address.trunc())) {
                without.entry(address.trunc()).or_insert(*address);
            }
        }
        link.unrouted.extend(without.into_values());
    }
    Ok(())
}

/// Does the kernel make a route with the address? For one alone it needs none, and of 0.0.0.0/8 there is none
/// (`fib_add_ifaddr`, net/ipv4/fib_frontend.c).
fn has_subnet(address: &IpNet) -> bool {
    let is_zero = matches!(address.trunc(), IpNet::V4(net) if net.network().octets()[0] == 0);
    address.prefix_len() < address.max_prefix_len() && !is_zero
}

impl Seen {
    /// Says that an end's other end is known.
    pub(super) fn marry(&mut self, name: &IfName, peer_ns: NsId, peer: IfName) {
        if let Some(link) = self.namespace.links.get_mut(name) {
            link.kind = LinkKind::Veth { peer_ns, peer };
        }
    }
}
