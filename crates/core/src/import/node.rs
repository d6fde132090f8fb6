//! Nodes: routes, gateways, forwarding, and what of a namespace cannot be said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::switch::{Gateway, is_gateway};
use super::wire::{Net, Place, wished};
use super::{Maker, filter};
use crate::lab::{At, End, Lab, RouteSpec};
use crate::name::IfName;
use crate::state::{Route, RouteKind};
use crate::view::{Interface, MAIN, Owner, Room, RouteEntry, RuleChain};

/// Routes that somebody made: not the kernel, nor a router's advertisement.
fn made(room: &Room) -> impl Iterator<Item = &RouteEntry> {
    room.routes
        .iter()
        .filter(|route| route.table == MAIN && !matches!(route.protocol.as_str(), "kernel" | "ra" | "redirect"))
}

fn is_default(route: &RouteEntry, v6: bool) -> bool {
    route.to.prefix_len() == 0 && route.to.addr().is_ipv6() == v6
}

/// The next hop of the only default route of a family.
pub(super) fn default_via(room: &Room, v6: bool) -> Option<IpAddr> {
    let mut defaults = made(room).filter(|route| is_default(route, v6));
    let one = defaults.next()?;
    if defaults.next().is_some() { None } else { one.via }
}

/// Adds what is inside the nodes.
pub(super) fn add(maker: &mut Maker<'_>, net: &Net, gateways: &[Option<Gateway>]) {
    for room in maker.names.keys().copied().collect::<Vec<_>>() {
        if !maker.is_host(room) {
            unsaid(maker, net, room);
            forwarding(maker, room);
        } else if !maker.rooms[room].chains.is_empty() && !net.pairs.is_empty() {
            let mut tables: Vec<&str> = maker.rooms[room].chains.iter().map(|chain| chain.table.as_str()).collect();
            tables.dedup();
            let text = format!("its own rules that filter stay its own: table {}", tables.join(", "));
            maker.note("host", text);
        }
        routes(maker, net, gateways, room);
    }
}

/// The interfaces of a room in the order in which the lab has them: attachments, links, then bridges.
fn in_order<'s>(maker: &Maker<'s>, net: &Net, room: usize) -> Vec<&'s Interface> {
    let own = |place: &Place| place.0 == room && !net.ports.contains_key(place);
    let ends = || net.pairs.iter().flatten().copied().filter(own);
    let attached = ends().filter(|place| is_attached(maker, place));
    let linked = ends().filter(|place| !is_attached(maker, place));
    let bridges = net.switches.iter().map(|(bridge, _)| *bridge).filter(|bridge| bridge.0 == room);
    attached.chain(linked).chain(bridges).filter_map(|place| maker.interface(place)).collect()
}

fn is_attached(maker: &Maker<'_>, place: &Place) -> bool {
    let (Some(name), Some(interface)) = (maker.names.get(&place.0), maker.interface(*place)) else { return false };
    let node = maker.lab.nodes.iter().find(|node| node.name.value == *name);
    let called = |end: &End| end.interface.as_ref().is_some_and(|own| own.as_str() == interface.name);
    node.is_some_and(|node| node.on.iter().any(called))
}

fn routes(maker: &mut Maker<'_>, net: &Net, gateways: &[Option<Gateway>], room: usize) {
    let interfaces = in_order(maker, net, room);
    let there = &maker.rooms[room];
    // what follows from a switch's gateway, and what has to be written
    let (mut implied, mut written, mut none) = (Vec::new(), Vec::new(), Vec::new());
    for v6 in [false, true] {
        if maker.is_host(room) {
            break;
        }
        let automatic = automatic(net, gateways, room, &interfaces, v6);
        let defaults: Vec<&RouteEntry> =
            made(there).filter(|route| is_default(route, v6) && is_ours(route, &interfaces)).collect();
        match (automatic, defaults.as_slice()) {
            (None, []) => {}
            (Some((via, dev)), [one]) if one.via == Some(via) && one.dev.as_deref() == Some(dev) && is_plain(one) => {
                implied.push(via);
            }
            (_, [one]) if is_plain(one) && is_found(one, &interfaces) => written.extend(one.via),
            (Some((via, _)), []) => {
                none.push(if via.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() });
            }
            (_, several) => {
                let specs: Vec<RouteSpec> = several.iter().filter_map(|route| spec(route, &interfaces)).collect();
                if let Some(node) = maker.node(room) {
                    node.routes.extend(specs.into_iter().map(At::nowhere));
                }
            }
        }
    }
    // `none` is of both families, but for those that are written
    if none.is_empty() {
        implied.clear();
    }
    if !maker.is_host(room)
        && let Some(node) = maker.node(room)
    {
        node.gateways.extend(implied.into_iter().chain(written).chain(none).map(At::nowhere));
    }
    let others = made(there).filter(|route| route.to.prefix_len() > 0 || route.kind != "unicast");
    // what a lab makes for its published ports is not anybody's wish
    let others = others.filter(|route| route.kind != "local");
    for route in others {
        if maker.is_host(room) && !is_ours(route, &interfaces) {
            continue;
        }
        match spec(route, &interfaces) {
            Some(spec) => {
                if let Some(node) = maker.node(room) {
                    node.routes.push(At::nowhere(spec));
                }
            }
            None => {
                let why = match route.more.as_slice() {
                    [] => "it leads by an interface that is not in the lab, or is of a kind that a lab has not",
                    _ => "a route of a lab has one way",
                };
                maker.note(&*there.namespace, format!("route {route}: {why}"));
            }
        }
        if let Some(source) = route.source {
            maker.note(&*there.namespace, format!("route {}: its source address {source} is left out", route.to));
        }
    }
}

/// The default route that a switch's gateway gives to its members: by the first of a node's switches that has one.
fn automatic<'s>(
    net: &Net,
    gateways: &[Option<Gateway>],
    room: usize,
    interfaces: &[&'s Interface],
    v6: bool,
) -> Option<(IpAddr, &'s str)> {
    interfaces.iter().find_map(|interface| {
        let gateway = gateways.get(net.switch_of((room, interface.index))?)?.as_ref()?;
        let via = gateway.addresses.iter().copied().find(|address| address.is_ipv6() == v6)?;
        let near = interface.up && wished(interface).any(|own| own.contains(&via));
        (gateway.room != room && near).then_some((via, interface.name.as_str()))
    })
}

/// Without anything but a next hop?
fn is_plain(route: &RouteEntry) -> bool {
    route.kind == "unicast"
        && route.more.is_empty()
        && (route.metric == Route::usual_metric(route.to) || route.metric == 0)
}

/// Does raum find its interface by its next hop?
fn is_found(route: &RouteEntry, interfaces: &[&Interface]) -> bool {
    route.via.is_some_and(|via| on_link(interfaces, via) == route.dev.as_deref())
}

/// By an interface that the lab has, or by none.
fn is_ours(route: &RouteEntry, interfaces: &[&Interface]) -> bool {
    match &route.dev {
        Some(dev) if route.kind == "unicast" => interfaces.iter().any(|interface| interface.name == *dev),
        _ => route.kind != "unicast",
    }
}

/// The interface by which raum would reach an address.
fn on_link<'s>(interfaces: &[&'s Interface], address: IpAddr) -> Option<&'s str> {
    let has = |interface: &&&Interface| wished(interface).any(|net: IpNet| net.contains(&address));
    interfaces.iter().find(has).map(|interface| interface.name.as_str())
}

/// A route as a lab file says it.
fn spec(route: &RouteEntry, interfaces: &[&Interface]) -> Option<RouteSpec> {
    let kind = match route.kind.as_str() {
        "unicast" => RouteKind::Unicast,
        "blackhole" => RouteKind::Blackhole,
        "unreachable" => RouteKind::Unreachable,
        "prohibit" => RouteKind::Prohibit,
        _ => return None,
    };
    let unicast = kind == RouteKind::Unicast;
    if !route.more.is_empty() || (unicast && !is_ours(route, interfaces)) {
        return None;
    }
    let metric = (route.metric != Route::usual_metric(route.to) && route.metric != 0).then_some(route.metric);
    let dev =
        route.dev.as_deref().filter(|_| unicast && !is_found(route, interfaces)).and_then(|dev| IfName::new(dev).ok());
    // `default` by an interface alone is of each family that the interface has: better its prefix
    let to = (route.to.prefix_len() > 0 || route.via.is_none()).then_some(route.to);
    Some(RouteSpec { to, kind, via: route.via.filter(|_| unicast), dev, metric })
}

fn forwarding(maker: &mut Maker<'_>, room: usize) {
    let there = &maker.rooms[room];
    let Some(forwards) = there.forwards else { return };
    let (v4, v6) = (forwards.v4, forwards.v6);
    // of a family that it has no addresses of it does not matter
    let has = |v6: bool| {
        let mut wires = there.interfaces.iter().filter(|interface| interface.kind != "loopback");
        wires.any(|interface| wished(interface).any(|net| net.addr().is_ipv6() == v6))
    };
    if v4 != v6 && has(v4) {
        let (on, off) = if v4 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        maker.note(&*there.namespace, format!("passes {on} on, and not {off}; raum switches both together"));
    }
    let forwards = v4 || v6;
    let Some(name) = maker.names.get(&room).cloned() else { return };
    let implied = is_gateway(&maker.lab.switches, &name);
    if forwards != implied
        && let Some(node) = maker.node(room)
    {
        node.forwarding = Some(At::nowhere(forwards));
    }
}

/// What of a namespace is not said.
fn unsaid(maker: &mut Maker<'_>, net: &Net, room: usize) {
    let there = &maker.rooms[room];
    for interface in &there.interfaces {
        let place = format!("{} {}", there.namespace, interface.name);
        match interface.kind.as_str() {
            "loopback" => {
                let own: Vec<String> =
                    wished(interface).filter(|net| !net.addr().is_loopback()).map(|net| net.to_string()).collect();
                if !own.is_empty() {
                    maker.note(&*place, format!("has {}: a lab has no addresses on lo", own.join(" ")));
                }
                if !interface.up {
                    maker.note(place, "is down: raum brings it up");
                }
            }
            _ if net.has((room, interface.index)) => {}
            // told already
            "veth" => {}
            "" => maker.note(place, "is hardware, moved in here: a lab has wires of its own only"),
            kind => {
                let text = format!("is of the kind {kind}: a lab has veth pairs and bridges only");
                maker.note(place, text);
            }
        }
    }
    let tables = there.routes.iter().filter(|route| !matches!(route.table.as_str(), MAIN | "local")).count();
    if tables > 0 {
        maker.note(
            format!("{} routes", there.namespace),
            format!("{tables} in tables other than `main`: a lab has routes in that one"),
        );
    }
    let usual = |table: Option<&str>| matches!(table, Some("local" | "main" | "default"));
    let rules = there.rules.iter().filter(|rule| !usual(rule.table.as_deref())).count();
    if rules > 0 {
        maker.note(format!("{} rules", there.namespace), format!("{rules} of policy routing: a lab has none"));
    }
    filters(maker, room);
    sysctls(maker, room);
    for missing in &there.missing {
        maker.note(&*there.namespace, format!("not seen: {missing}"));
    }
}

/// What filters: as the node's own filter where that can be the same, else told.
fn filters(maker: &mut Maker<'_>, room: usize) {
    let there = &maker.rooms[room];
    let left_out = |maker: &mut Maker<'_>, chain: &RuleChain, rule: &str| {
        let place = format!("{} table {}, chain {}", there.namespace, chain.table, chain.chain);
        maker.note(place, format!("`{rule}` is left out: write what it is for as `filter:`"));
    };
    let mut whole: Vec<&RuleChain> = there.chains.iter().collect();
    if let Some(taken) = filter::taken(there) {
        whole = taken.others;
        for (chain, rule) in taken.left {
            left_out(maker, chain, rule);
        }
        if let Some(node) = maker.node(room) {
            node.filter = Some(taken.filter);
        }
    }
    for chain in whole {
        for rule in &chain.rules {
            left_out(maker, chain, rule);
        }
        if chain.drops {
            let place = format!("{} table {}, chain {}", there.namespace, chain.table, chain.chain);
            let hook = chain.hook.as_deref().unwrap_or("its hook");
            maker.note(place, format!("drops at {hook} what no rule accepts: `filter: {{ default: deny }}`"));
        }
    }
}

/// Sysctls with another value than a namespace of a lab has: the kernel's own, or, of IPv4's `conf`, what new ones take over
/// from this host (`devconf_inherit_init_net`).
fn sysctls(maker: &mut Maker<'_>, room: usize) {
    let host = maker.rooms.iter().find(|room| room.owner == Owner::Host);
    let there = &maker.rooms[room];
    for (key, value) in &there.sysctls {
        let parts: Vec<&str> = key.split('/').collect();
        let (mut name, mut usual) = (parts.join("."), None);
        if let ["net", family, "conf", of, last] = parts.as_slice() {
            let whole = format!("net/{family}/conf/all/{last}");
            match *of {
                // what interfaces get that do not exist yet; those that do are asked themselves
                "default" => continue,
                "all" => usual = Some(whole),
                // told of the whole
                _ if there.sysctls.get(&whole) == Some(value) => continue,
                _ => usual = Some(format!("net/{family}/conf/default/{last}")),
            }
            usual.take_if(|_| *family != "ipv4");
            // names of interfaces may have dots in them
            if of.contains('.') {
                name.clone_from(key);
            }
        }
        let inherited = usual.and_then(|key| host?.sysctls.get(&key));
        if inherited != Some(value) {
            maker.note(&*there.namespace, format!("{name} is {value}: a lab leaves it as the kernel has it"));
        }
    }
}

/// Leaves out the names eth0, eth1, … where raum would give the same: in the order of attachments and links.
pub(super) fn drop_usual_names(lab: &mut Lab) {
    let names: Vec<_> = lab.nodes.iter().map(|node| node.name.value.clone()).collect();
    for name in names.into_iter().filter(|name| !name.is_host()) {
        let Lab { nodes, links, .. } = lab;
        let Some(node) = nodes.iter_mut().find(|node| node.name.value == name) else { continue };
        let linked = links.iter_mut().flat_map(|link| &mut link.ends).filter(|end| end.to.value == name);
        let mut ends: Vec<&mut End> = node.on.iter_mut().chain(linked).collect();
        let usual = ends.iter().enumerate().all(|(number, end)| {
            end.interface.as_ref().is_some_and(|interface| interface.as_str() == format!("eth{number}"))
        });
        if usual {
            ends.iter_mut().for_each(|end| end.interface = None);
        }
    }
}
