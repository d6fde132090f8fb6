//! Room for neighbours: the kernel remembers no more than `gc_thresh3` of each family for all namespaces of the machine
//! together (Documentation/networking/ip-sysctl.rst), and refuses packets to further ones. Forty hosts on a switch that all
//! speak to each other are 1,560; the usual limit is 1,024.
//!
//! Where the limit may be raised, it is ([`super::forwarding`]). Where not, everybody has his neighbours written down: those do
//! not count (`exempt_from_gc`, net/core/neighbour.c, since Linux 5.0), and raum knows them, since it chose all hardware addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::links::is_isolated;
use super::wiring::{Holder, Place, Side, Wiring};
use crate::host::Surroundings;
use crate::name::{IfName, Mac};
use crate::state::{State, Sysctl};

/// What a lab raises the limit to: a million, enough for a thousand namespaces that all know each other. The same one for all
/// labs, so that no two of them want different ones. It is a limit and takes no memory by itself.
pub(super) const RAISED: u64 = 1 << 20;

/// The limit of a family. Only the machine's first network namespace has it.
pub(super) fn limit(v6: bool) -> Option<Sysctl> {
    Sysctl::new(if v6 { "net/ipv6/neigh/default/gc_thresh3" } else { "net/ipv4/neigh/default/gc_thresh3" }).ok()
}

/// As many of a family are written down, and no more: they are as many operations, and a thousand namespaces would make a million.
/// A lab of more has to do with the limit.
const WRITTEN_MAX: u64 = 1 << 14;

/// Could a lab with so many neighbours take half of the limit alone? The other half is everybody else's.
pub(super) fn is_tight(limit: u64, most: u64) -> bool {
    limit < most.saturating_mul(2)
}

/// Somebody with addresses on a network.
struct Seat<'a> {
    place: Place<'a>,
    name: &'a IfName,
    addresses: &'a [IpNet],
    mac: Mac,
    /// The switch that keeps him apart from others whom it keeps apart.
    apart: Option<usize>,
}

/// Writes down who is whose neighbour, where the limit is tight and cannot be raised.
pub(super) fn add(wiring: &Wiring<'_>, around: &Surroundings, state: &mut State) {
    let is_needed = |v6: bool| {
        let most = most(wiring, v6);
        around.fixed_neighbours[usize::from(v6)].is_some_and(|limit| is_tight(limit.into(), most))
            && most <= WRITTEN_MAX
    };
    let needed = [is_needed(false), is_needed(true)];
    if needed == [false, false] {
        return;
    }
    let lab = &wiring.lab.name.value;
    let mut written: Vec<(Place<'_>, &IfName, IpAddr, Mac)> = Vec::new();
    for network in networks(wiring, state) {
        for (at, own) in network.iter().enumerate() {
            for (_, other) in network.iter().enumerate().filter(|(other, _)| *other != at) {
                let is_apart = own.apart.is_some() && own.apart == other.apart;
                let near = |ip: &IpAddr| own.addresses.iter().any(|net| net.contains(ip) && net.addr() != *ip);
                let theirs = other.addresses.iter().map(IpNet::addr).filter(near);
                for ip in theirs.filter(|ip| needed[usize::from(ip.is_ipv6())] && !is_apart) {
                    written.push((own.place, own.name, ip, other.mac));
                }
            }
        }
    }
    for (place, name, ip, mac) in written {
        if let Some(link) = state.entry(&place.ns(lab)).links.get_mut(name) {
            // of two with one address the first
            link.neighbours.entry(ip).or_insert(mac);
        }
    }
}

/// Who is on a network with whom: on switches, which may be joined, and at both ends of a wire. Without those who are down: they
/// know nobody, and answer nobody.
fn networks<'w>(wiring: &'w Wiring<'_>, state: &State) -> Vec<Vec<Seat<'w>>> {
    let lab = &wiring.lab.name.value;
    let mac = |place: &Place<'_>, name: &IfName| {
        state.namespaces.get(&place.ns(lab)).and_then(|ns| ns.links.get(name)).map(|link| link.mac)
    };
    let seat = |side: &'w Side<'_>, apart: Option<usize>| {
        let mac = mac(&side.place, &side.name).filter(|_| !side.is_down())?;
        Some(Seat { place: side.place, name: &side.name, addresses: &side.addresses, mac, apart })
    };
    let network_of = joined(wiring);
    let mut networks: Vec<Vec<Seat<'_>>> = wiring.bridges.iter().map(|_| Vec::new()).collect();
    for (index, bridge) in wiring.bridges.iter().enumerate() {
        if let Some(mac) = mac(&bridge.place, &bridge.name) {
            let addresses = &bridge.addresses;
            networks[network_of[index]].push(Seat {
                place: bridge.place,
                name: &bridge.name,
                addresses,
                mac,
                apart: None,
            });
        }
    }
    let mut wires = Vec::new();
    for [a, b] in &wiring.pairs {
        match (a.owner, b.owner) {
            (Holder::Node(_), Holder::Node(_)) => {
                wires.push([seat(a, None), seat(b, None)].into_iter().flatten().collect())
            }
            (Holder::Node(_), Holder::Switch(switch)) => {
                networks[network_of[switch]].extend(seat(a, Some(switch).filter(|_| is_isolated(wiring, b, a))));
            }
            (Holder::Switch(switch), Holder::Node(_)) => {
                networks[network_of[switch]].extend(seat(b, Some(switch).filter(|_| is_isolated(wiring, a, b))));
            }
            (Holder::Switch(_), Holder::Switch(_)) => {}
        }
    }
    networks.extend(wires);
    networks
}

/// The network of each switch: switches that a link joins are one.
fn joined(wiring: &Wiring<'_>) -> Vec<usize> {
    let mut networks: Vec<usize> = (0..wiring.bridges.len()).collect();
    for [a, b] in &wiring.pairs {
        if let (Holder::Switch(a), Holder::Switch(b)) = (a.owner, b.owner) {
            let (one, other) = (networks[a], networks[b]);
            networks.iter_mut().filter(|network| **network == other).for_each(|network| *network = one);
        }
    }
    networks
}

/// How many neighbours there are of a family when everybody speaks to everybody on his networks.
pub(super) fn most(wiring: &Wiring<'_>, v6: bool) -> u64 {
    let has = |nets: &[IpNet]| nets.iter().any(|net| net.addr().is_ipv6() == v6);
    let networks = joined(wiring);
    let mut members = vec![0_u64; wiring.bridges.len()];
    let mut all = 0_u64;
    for (index, bridge) in wiring.bridges.iter().enumerate() {
        members[networks[index]] += u64::from(has(&bridge.addresses));
    }
    for [a, b] in &wiring.pairs {
        match (a.owner, b.owner) {
            (Holder::Node(_), Holder::Node(_)) => all += if has(&a.addresses) && has(&b.addresses) { 2 } else { 0 },
            (Holder::Node(_), Holder::Switch(switch)) => members[networks[switch]] += u64::from(has(&a.addresses)),
            (Holder::Switch(switch), Holder::Node(_)) => members[networks[switch]] += u64::from(has(&b.addresses)),
            (Holder::Switch(_), Holder::Switch(_)) => {}
        }
    }
    all + members.iter().map(|count| count * count.saturating_sub(1)).sum::<u64>()
}
