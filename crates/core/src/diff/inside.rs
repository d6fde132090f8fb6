//! Inside one namespace: links that change in place, addresses, neighbours and routes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::effects::Account;
use super::links::{Fate, altname, as_born, link_change};
use super::{Stages, own_links};
use crate::name::{IfName, LabName, NsId};
use crate::plan::{AltnameChange, LinkChange, Op};
use crate::state::{Link, LinkKind, Namespace, Route};

/// A namespace that shall be there in the end.
pub(super) struct Place<'a> {
    pub lab: &'a LabName,
    pub id: &'a NsId,
    /// What is in it; a fresh namespace if it is not there.
    pub present: &'a Namespace,
    pub wanted: &'a Namespace,
    /// It is made by this plan.
    pub is_new: bool,
}

pub(super) fn change(place: &Place<'_>, fate: &Fate<'_>, stages: &mut Stages) {
    if place.present == place.wanted && !fate.touched.contains(place.id) {
        return;
    }
    let mut now = Account {
        links: own_links(place.present).map(|(name, link)| (name.clone(), link.clone())).collect(),
        routes: place.present.routes.clone(),
    };
    for (_, name) in fate.going.iter().filter(|(id, _)| *id == place.id) {
        now.link_deleted(name);
    }
    remove_routes(place, &mut now, &mut stages.old_addresses);
    remove_neighbours(place, &mut now, &mut stages.old_addresses);
    remove_addresses(place, &mut now, &mut stages.old_addresses);
    set_down(place, &mut now, &mut stages.old_addresses);

    loopback(place, &mut now, &mut stages.addresses);
    let late = set_links(place, fate, &mut now, stages);
    add_addresses(place, &now, &mut stages.addresses);
    route_subnets(place, &now, &mut stages.addresses);
    add_neighbours(place, &now, &late, stages);
    add_routes(place, &now, &late, stages);
}

/// Routes that are not wanted, unless a wanted one will take the place.
fn remove_routes(place: &Place<'_>, now: &mut Account, ops: &mut Vec<Op>) {
    let key = |route: &Route| (route.to, route.metric);
    let wanted: BTreeSet<_> = place.wanted.routes.iter().map(key).collect();
    let mut present: BTreeMap<_, usize> = BTreeMap::new();
    for route in &now.routes {
        *present.entry(key(route)).or_default() += 1;
    }
    let unmarked = |route: &Route| *place.id == NsId::Host && route.dev.is_none();
    let replaced = |route: &Route| wanted.contains(&key(route)) && present.get(&key(route)) == Some(&1);
    let mut going: Vec<_> = now.routes.difference(&place.wanted.routes).cloned().collect();
    going.retain(|route| !unmarked(route) && !replaced(route));
    // Asked to remove a route without next hop, the kernel takes one with a next hop as well (`fib_nh_match`,
    // net/ipv4/fib_semantics.c; `ip6_route_del`, net/ipv6/route.c): these go before, or are asserted again if they are wanted.
    going.sort_by_key(|route| route.via.is_none());
    for route in going {
        now.routes.remove(&route);
        if route.via.is_none() {
            let is_same =
                |other: &Route| key(other) == key(&route) && (&other.dev, other.kind) == (&route.dev, route.kind);
            now.routes.retain(|other| !is_same(other));
        }
        ops.push(Op::DelRoute { ns: place.id.clone(), route });
    }
}

/// Those that are not wanted; one with another hardware address is replaced.
fn remove_neighbours(place: &Place<'_>, now: &mut Account, ops: &mut Vec<Op>) {
    for (name, wanted) in own_links(place.wanted) {
        let Some(link) = now.links.get_mut(name) else { continue };
        link.neighbours.retain(|address, _| {
            let stays = wanted.neighbours.contains_key(address);
            if !stays {
                ops.push(Op::DelNeighbour { ns: place.id.clone(), link: name.clone(), address: *address });
            }
            stays
        });
    }
}

fn remove_addresses(place: &Place<'_>, now: &mut Account, ops: &mut Vec<Op>) {
    for (name, present) in own_links(place.present) {
        let (Some(_), Some(wanted)) = (now.links.get(name), place.wanted.links.get(name)) else { continue };
        for &address in present.addresses.difference(&wanted.addresses) {
            now.address_deleted(name, address);
            ops.push(Op::DelAddress { ns: place.id.clone(), link: name.clone(), address });
        }
    }
}

/// Second names that go, so that they are free for others, and links that go down.
fn set_down(place: &Place<'_>, now: &mut Account, ops: &mut Vec<Op>) {
    let names: Vec<IfName> = now.links.keys().cloned().collect();
    for name in names {
        let (Some(link), Some(wanted)) = (now.links.get_mut(&name), place.wanted.links.get(&name)) else { continue };
        let mut set = LinkChange::default();
        if link.altname != wanted.altname
            && let Some(old) = link.altname.take()
        {
            set = altname(AltnameChange::Del(old));
        }
        if link.up && !wanted.up {
            set.up = Some(false);
            now.link_down(&name);
        }
        push_change(place, &name, set, ops);
    }
}

fn loopback(place: &Place<'_>, now: &mut Account, ops: &mut Vec<Op>) {
    match (place.present.loopback_up, place.wanted.loopback_up, IfName::new("lo")) {
        (false, true, _) => ops.push(Op::MarkLoopback { ns: place.id.clone(), lab: place.lab.clone() }),
        (true, false, Ok(lo)) => {
            now.loopback_down();
            push_change(place, &lo, LinkChange { up: Some(false), ..LinkChange::default() }, ops);
        }
        _ => {}
    }
}

/// Attributes of links, old and new, and links up; bridges that come up late are returned.
fn set_links<'a>(place: &Place<'a>, fate: &Fate<'_>, now: &mut Account, stages: &mut Stages) -> Vec<&'a IfName> {
    let mut late = Vec::new();
    for (name, wanted) in own_links(place.wanted) {
        let id = (place.id, name);
        let link: Link = if fate.born.contains(&id) {
            as_born(wanted, fate.first.contains(&id))
        } else if let Some(link) = now.links.get(name) {
            link.clone()
        } else {
            continue;
        };
        let mut set = link_change(&link, wanted);
        if link.altname != wanted.altname {
            set.altname = wanted.altname.clone().map(AltnameChange::Add);
        }
        if wanted.kind == LinkKind::Bridge && set.up.take() == Some(true) {
            late.push(name);
            let up = LinkChange { up: Some(true), ..LinkChange::default() };
            push_change(place, name, up, &mut stages.bridges_up);
        }
        let mut link = link;
        if set.mac.is_some() || set.arp.is_some() {
            Account::face_changed(&mut link);
        }
        now.links.insert(name.clone(), link);
        push_change(place, name, set, &mut stages.addresses);
    }
    late
}

fn add_addresses(place: &Place<'_>, now: &Account, ops: &mut Vec<Op>) {
    for (name, wanted) in own_links(place.wanted) {
        let Some(link) = now.links.get(name) else { continue };
        for &address in wanted.addresses.difference(&link.addresses) {
            ops.push(Op::AddAddress { ns: place.id.clone(), link: name.clone(), address });
        }
    }
}

/// Routes that the kernel had made. A written route through the link to the same subnet does as well, and of IPv4 any with the
/// same metric is there in its place.
fn route_subnets(place: &Place<'_>, now: &Account, ops: &mut Vec<Op>) {
    for (name, wanted) in own_links(place.wanted).filter(|(_, wanted)| wanted.up) {
        let Some(link) = now.links.get(name) else { continue };
        let missing = link.unrouted.difference(&wanted.unrouted).filter(|address| wanted.addresses.contains(address));
        for &address in missing {
            let does_as_well = |route: &Route| {
                let is_direct = route.dev.as_ref() == Some(name) && route.via.is_none();
                let is_instead = matches!(route.to, IpNet::V4(_)) && route.metric == 0;
                route.to == address.trunc() && (is_direct || is_instead)
            };
            if !place.wanted.routes.iter().any(does_as_well) {
                ops.push(Op::RouteSubnet { ns: place.id.clone(), link: name.clone(), address });
            }
        }
    }
}

/// Of a bridge that comes up late when it is up, like its routes.
fn add_neighbours(place: &Place<'_>, now: &Account, late: &[&IfName], stages: &mut Stages) {
    for (name, wanted) in own_links(place.wanted) {
        let Some(link) = now.links.get(name) else { continue };
        let ops = if late.contains(&name) { &mut stages.bridges_up } else { &mut stages.addresses };
        for (&address, &mac) in
            wanted.neighbours.iter().filter(|(address, mac)| link.neighbours.get(address) != Some(mac))
        {
            ops.push(Op::SetNeighbour { ns: place.id.clone(), link: name.clone(), address, mac });
        }
    }
}

/// Routes through a link first: a gateway may be reached by one of them (`ip route add 10.9.0.1/32 dev eth0`).
fn add_routes(place: &Place<'_>, now: &Account, late: &[&IfName], stages: &mut Stages) {
    let missing: Vec<&Route> = place.wanted.routes.difference(&now.routes).collect();
    let (direct, via): (Vec<&Route>, Vec<&Route>) = missing.into_iter().partition(|route| route.via.is_none());
    for route in direct.into_iter().chain(via) {
        let op = Op::SetRoute { ns: place.id.clone(), route: route.clone() };
        let is_late = route.dev.as_ref().is_some_and(|dev| late.contains(&dev));
        if is_late { stages.bridges_up.push(op) } else { stages.addresses.push(op) }
    }
}

fn push_change(place: &Place<'_>, name: &IfName, set: LinkChange, ops: &mut Vec<Op>) {
    if set != LinkChange::default() {
        ops.push(Op::SetLink { ns: place.id.clone(), name: name.clone(), set });
    }
}
