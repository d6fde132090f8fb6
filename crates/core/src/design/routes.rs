//! Routes: what the file says, and default routes by the gateways of switches.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::addresses::{same_family, with_prefix};
use super::rules::publications;
use super::wiring::{Holder, Place, Wiring};
use crate::host::Surroundings;
use crate::lab::{Node, RouteSpec, stable_hash};
use crate::name::{IfName, NsId};
use crate::state::{Route, RouteKind, State};

/// Adds the routes of every node. A route that leads nowhere (the checks tell of it) is left out.
pub(super) fn add(wiring: &Wiring<'_>, around: &Surroundings, state: &mut State) {
    for node in &wiring.lab.nodes {
        let place = Place::of(&node.name);
        let mut routes: Vec<Route> = node.routes.iter().flat_map(|spec| written(wiring, place, spec)).collect();
        for v6 in [false, true] {
            let default = default_route(v6);
            if routes.iter().all(|r| r.to != default) {
                routes.extend(to_gateway(wiring, node, v6));
            }
        }
        // the kernel has no routes through what is down
        let is_down = |dev: &IfName| wiring.interfaces(place).any(|(side, _)| side.name == *dev && side.is_down());
        routes.retain(|route| !route.dev.as_ref().is_some_and(is_down));
        if !routes.is_empty() {
            state.entry(&NsId::of(&wiring.lab.name, &node.name)).routes.extend(routes);
        }
    }
    if !around.bridged_v6_meets_rules() {
        to_loopback(wiring, state);
    }
}

/// What lets the answers to the host's own clients of ::1 in, where a port is published at it.
///
/// A packet for ::1 may be delivered only by a route through the interface that it came in by (`rt6_need_strict`,
/// net/ipv6/route.c), and the answer comes in by the bridge: after it has been translated back it is for ::1. Nobody else gets
/// in by this: a packet that already comes with ::1 is dropped before (`ip6_rcv_core`, net/ipv6/ip6_input.c). All labs share
/// the destination, so each bridge has a metric of its own.
fn to_loopback(wiring: &Wiring<'_>, state: &mut State) {
    let to = with_prefix(Ipv6Addr::LOCALHOST.into(), 128);
    let lab = &wiring.lab.name.value;
    let published = publications(wiring).filter(|p| p.v6 && p.by_localhost());
    for bridge in published.map(|p| p.bridge).collect::<BTreeSet<_>>() {
        let hash = stable_hash(&["loopback", lab.as_str(), bridge.as_str()]);
        let metric = 0x1000_0000 | u32::try_from(hash & 0x0fff_ffff).unwrap_or_default();
        let dev = Some(bridge.clone());
        let route = Route { to, metric, kind: RouteKind::Local, via: None, dev };
        state.entry(&NsId::Host).routes.insert(route);
    }
}

/// `0.0.0.0/0` or `::/0`.
pub(crate) fn default_route(v6: bool) -> IpNet {
    let any = if v6 { IpAddr::from(Ipv6Addr::UNSPECIFIED) } else { Ipv4Addr::UNSPECIFIED.into() };
    with_prefix(any, 0)
}

/// The interface of a node by which an address is reached without a router.
pub(crate) fn on_link<'w>(wiring: &'w Wiring<'_>, place: Place<'_>, address: IpAddr) -> Option<&'w IfName> {
    wiring.addressed(place).find(|(_, nets)| nets.iter().any(|net| net.contains(&address))).map(|(name, _)| name)
}

/// The destinations of a written route: one, or the default of each family that it can mean.
pub(crate) fn destinations(wiring: &Wiring<'_>, place: Place<'_>, spec: &RouteSpec) -> Vec<IpNet> {
    match (spec.to, spec.via, &spec.dev) {
        (Some(to), _, _) => vec![to.trunc()],
        (None, Some(via), _) => vec![default_route(via.is_ipv6())],
        (None, None, Some(dev)) => {
            let has = |v6: bool| {
                let mut own = wiring.addressed(place).filter(|(name, _)| *name == dev).flat_map(|(_, nets)| nets);
                own.any(|net| net.addr().is_ipv6() == v6)
            };
            [false, true].into_iter().filter(|&v6| has(v6)).map(default_route).collect()
        }
        (None, None, None) => vec![default_route(false), default_route(true)],
    }
}

fn written(wiring: &Wiring<'_>, place: Place<'_>, spec: &RouteSpec) -> Vec<Route> {
    let unicast = spec.kind == RouteKind::Unicast;
    let dev = match (&spec.dev, spec.via) {
        _ if !unicast => None,
        (Some(dev), _) => Some(dev.clone()),
        (None, Some(via)) => on_link(wiring, place, via).cloned(),
        (None, None) => None,
    };
    if unicast && dev.is_none() {
        return Vec::new();
    }
    let route = |to: IpNet| Route {
        to,
        metric: spec.metric.unwrap_or_else(|| Route::usual_metric(to)),
        kind: spec.kind,
        via: spec.via.filter(|_| unicast),
        dev: dev.clone(),
    };
    destinations(wiring, place, spec).into_iter().map(route).collect()
}

/// The default route of one family: by the node's own `gateway:`, else by the gateway of the first of its switches that has
/// one with an address of this family.
fn to_gateway(wiring: &Wiring<'_>, node: &Node, v6: bool) -> Option<Route> {
    let place = Place::of(&node.name);
    if let Some(gateway) = node.gateways.iter().find(|g| g.is_ipv6() == v6) {
        // `gateway: none`
        if gateway.is_unspecified() {
            return None;
        }
        let dev = on_link(wiring, place, gateway.value)?;
        return Some(Route::unicast(default_route(v6), Some(gateway.value), dev.clone()));
    }
    // the host has its own way out, and its lab interfaces are nobody's business but the lab's
    if place == Place::Host {
        return None;
    }
    wiring.interfaces(place).find_map(|(side, far)| {
        let Holder::Switch(index) = far.owner else { return None };
        let via = gateway_address(wiring, index, v6)?;
        let own = side.addresses.iter().find(|net| same_family(net.addr(), via))?;
        let is_itself = wiring.bridges[index].switch.gateway.as_ref().is_some_and(|g| Place::of(g) == place);
        (!is_itself && own.contains(&via)).then(|| Route::unicast(default_route(v6), Some(via), side.name.clone()))
    })
}

/// The address by which a switch's members reach their gateway.
pub(crate) fn gateway_address(wiring: &Wiring<'_>, switch: usize, v6: bool) -> Option<IpAddr> {
    let bridge = &wiring.bridges[switch];
    let gateway = Place::of(bridge.switch.gateway.as_ref()?);
    let addresses = if bridge.is_gateway() {
        &bridge.addresses
    } else {
        let mut own = wiring.interfaces(gateway);
        &own.find(|(_, far)| far.owner == Holder::Switch(switch))?.0.addresses
    };
    let subnet = |address: IpAddr| bridge.switch.subnets.iter().any(|net| net.contains(&address));
    addresses.iter().map(IpNet::addr).find(|a| a.is_ipv6() == v6 && subnet(*a))
}
