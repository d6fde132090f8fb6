//! Subnets: which there can be, how many fit, and that no two are the same to somebody who must tell them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use ipnet::IpNet;

use super::family;
use super::scene::{Attachment, Groups, Scene, overlap};
use crate::design::addresses::Usable;
use crate::design::wiring::Place;
use crate::lab::At;
use crate::problem::Problem;

/// How many neighbours are looked at for a free subnet.
const TRIES: u128 = 4096;

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    undecided(scene, problems);
    kinds(scene, problems);
    sizes(scene, problems);
    overlaps(scene, problems);
    host(scene, problems);
    ipv6(scene, problems);
}

/// What [`settle`](crate::lab::settle) had to leave open.
fn undecided(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let none_free = |chosen: &At<()>, of: &str| {
        Problem::new(format!("no subnet is free for {of}"), chosen.span.clone())
            .label("all for private use are taken (RFC 1918)")
            .help("write one yourself, like 10.10.0.0/24")
    };
    for switch in &scene.lab.switches {
        problems.extend(switch.chosen.as_ref().map(|at| none_free(at, &format!("`{}`", switch.name.value))));
    }
    for link in &scene.lab.links {
        let of = format!("the link of `{}` and `{}`", link.ends[0].to.value, link.ends[1].to.value);
        let first = link.subnets.iter().map(|at| &at.span).chain(link.chosen.iter().map(|at| &at.span)).next();
        if let Some(switch) = link.ends.iter().find_map(|end| scene.switch(end.to.as_str())) {
            problems.extend(first.map(|span| {
                Problem::new(format!("{of} has no subnet of its own"), span.clone())
                    .label("everything on a switch has the switch's subnet")
                    .related(switch.name.span.clone(), "the switch")
                    .help(format!("leave it out here, and write `subnet` at `{}`", switch.name.value))
            }));
            continue;
        }
        problems.extend(link.chosen.as_ref().map(|at| none_free(at, &of)));
        problems.extend(link.subnets.iter().map(|subnet| {
            Problem::new(format!("{} is too small for the two ends of a link", subnet.value), subnet.span.clone())
                .label(format!("{} of its addresses can be given", Usable::of(subnet.value).count()))
                .help(if subnet.addr().is_ipv4() { "a /30 has room" } else { "a /64 has room" })
        }));
    }
}

fn kinds(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for switch in &scene.lab.switches {
        for (index, subnet) in switch.subnets.iter().enumerate() {
            let v6 = subnet.addr().is_ipv6();
            if let Some(first) = switch.subnets[..index].iter().find(|s| s.addr().is_ipv6() == v6) {
                problems.push(
                    Problem::new(
                        format!("`{}` has two {} subnets", switch.name.value, family(v6)),
                        subnet.span.clone(),
                    )
                    .label("one of each family is possible")
                    .related(first.span.clone(), "the first one")
                    .help("make a second switch for it"),
                );
            }
            if let Some(why) = unusable(subnet) {
                let usual = if v6 { "fd01::/64" } else { "10.10.0.0/24" };
                problems.push(
                    Problem::new(format!("{} cannot be a subnet", subnet.value), subnet.span.clone())
                        .label(why)
                        .help(format!("take one for private use, like {usual}")),
                );
            }
        }
    }
}

/// Why no interfaces can have addresses of this network.
fn unusable(net: &IpNet) -> Option<&'static str> {
    let address = net.network();
    if net.prefix_len() == 0 {
        Some("this is every address that there is")
    } else if address.is_multicast() {
        Some("these addresses are for multicast")
    } else if address.is_loopback() || net.contains(&IpAddr::from(Ipv4Addr::LOCALHOST)) {
        Some("these addresses are for the loopback")
    } else if super::addresses::is_link_local(address) {
        Some("these addresses are for a single link, and the kernel makes them itself")
    } else if address == IpAddr::from(Ipv4Addr::BROADCAST) {
        Some("this is the address of all")
    } else {
        None
    }
}

/// An interface that got no address from its switch's subnet found it full.
fn sizes(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for (index, switch) in scene.lab.switches.iter().enumerate() {
        for subnet in &switch.subnets {
            let of_family = |net: &&IpNet| net.addr().is_ipv6() == subnet.addr().is_ipv6();
            let members = || scene.wiring.members(index);
            if members().all(|side| side.addresses.iter().any(|net| of_family(&net))) {
                continue;
            }
            let gateway = usize::from(scene.wiring.bridges[index].is_gateway());
            let count = members().count() + gateway;
            let usable = Usable::of(subnet.value);
            let room = (0..=subnet.prefix_len()).rev().find_map(|len| {
                let bigger = IpNet::new(subnet.network(), len).ok()?.trunc();
                (Usable::of(bigger).count() > u128::try_from(count).ok()?).then_some(bigger)
            });
            problems.push(
                Problem::new(
                    format!("{} is too small for the {count} interfaces on `{}`", subnet.value, switch.name.value),
                    subnet.span.clone(),
                )
                .label(format!("{} of its addresses can be given", usable.count()))
                .help(match room {
                    Some(room) => format!("a /{} has room, like {room}", room.prefix_len()),
                    None => "put some of them on another switch".to_owned(),
                }),
            );
        }
    }
}

/// One network as somebody sees it.
#[derive(Clone)]
struct Seen<'s> {
    net: IpNet,
    at: &'s Attachment<'s>,
    span: Range<usize>,
}

/// Two networks with common addresses are a problem where somebody would have to tell them apart: in one namespace, or in
/// several that routers join without translating. Two homes behind NAT may both have 192.168.1.0/24.
fn overlaps(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let domains = domains(scene);
    let mut groups: BTreeMap<(bool, usize), Vec<Seen<'_>>> = BTreeMap::new();
    let mut places: BTreeMap<Place<'_>, usize> = BTreeMap::new();
    for (index, attachment) in scene.attachments.iter().enumerate() {
        let count = places.len();
        let place = *places.entry(attachment.place).or_insert(count);
        for placed in &attachment.addresses {
            // a full-length prefix is no network: one address may stand on several interfaces of a node, or on several nodes
            if placed.net.prefix_len() < placed.net.max_prefix_len() {
                let seen = Seen {
                    net: placed.net.trunc(),
                    at: attachment,
                    span: network_span(attachment, placed.net, &placed.span),
                };
                groups.entry((false, place)).or_default().push(seen.clone());
                groups.entry((true, domains[index])).or_default().push(seen);
            }
        }
    }
    let mut told = BTreeSet::new();
    for ((routed, _), group) in groups {
        for (a, b) in conflicts(group) {
            if !told.insert((a.at.segment.min(b.at.segment), a.at.segment.max(b.at.segment), a.net.addr().is_ipv6())) {
                continue;
            }
            let who = if routed && a.at.place != b.at.place {
                "routers join both, and could not tell them apart".to_owned()
            } else {
                format!("`{}` is on both, and could not tell them apart", a.at.place.as_str())
            };
            let (first, second) = if a.span.start <= b.span.start { (a, b) } else { (b, a) };
            let mut problem = Problem::new(
                format!(
                    "{} of {} overlaps {} of {}",
                    second.net,
                    network_name(second.at),
                    first.net,
                    network_name(first.at)
                ),
                second.span.clone(),
            )
            .label(who)
            .help(match free(scene, second.net) {
                Some(net) => format!("{net} is free"),
                None => "choose another one".to_owned(),
            });
            if first.span != second.span {
                problem = problem.related(first.span, "the other one");
            }
            problems.push(problem);
        }
    }
}

/// The switch's subnet if it is that, else the address.
fn network_span(at: &Attachment<'_>, net: IpNet, address: &Range<usize>) -> Range<usize> {
    let subnet = at.switch.and_then(|s| s.subnets.iter().find(|s| s.value == net.trunc()));
    subnet.map_or_else(|| address.clone(), |s| s.span.clone())
}

fn network_name(at: &Attachment<'_>) -> String {
    match at.switch {
        Some(switch) => format!("`{}`", switch.name.value),
        None => format!("{} at `{}`", at.name, at.place.as_str()),
    }
}

/// For each attachment the set of networks between which packets pass untranslated.
fn domains(scene: &Scene<'_>) -> Vec<usize> {
    let count = scene.attachments.len();
    let mut groups = Groups::new(count);
    let mut by_segment: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, attachment) in scene.attachments.iter().enumerate() {
        groups.join(*by_segment.entry(attachment.segment).or_insert(index), index);
    }
    let forwards: BTreeMap<&str, _> =
        scene.lab.nodes.iter().map(|n| (n.name.as_str(), (scene.wiring.forwards(n), n))).collect();
    let mut first: BTreeMap<Place<'_>, usize> = BTreeMap::new();
    for (index, attachment) in scene.attachments.iter().enumerate() {
        let joins = match forwards.get(attachment.place.as_str()) {
            _ if attachment.place == Place::Host => true,
            Some((forwards, node)) => {
                let out = node.nat.as_ref().and_then(|nat| nat.out.as_ref());
                *forwards && out.is_none_or(|out| out.value != attachment.name)
            }
            None => false,
        };
        if joins {
            groups.join(*first.entry(attachment.place).or_insert(index), index);
        }
    }
    (0..count).map(|index| groups.of(index)).collect()
}

/// The pairs of a group that overlap and are different networks. Sorted, prefixes are nested like brackets: each has to be
/// compared with those around it only.
fn conflicts(mut group: Vec<Seen<'_>>) -> Vec<(Seen<'_>, Seen<'_>)> {
    group.sort_by_key(|seen| (seen.net.network(), seen.net.prefix_len(), seen.at.segment));
    group.dedup_by_key(|seen| (seen.net, seen.at.segment));
    let mut open: Vec<Seen<'_>> = Vec::new();
    let mut found = Vec::new();
    for seen in group {
        while open.last().is_some_and(|last| !last.net.contains(&seen.net)) {
            open.pop();
        }
        match open.iter().find(|around| around.at.segment != seen.at.segment) {
            Some(around) => found.push((around.clone(), seen)),
            None => open.push(seen),
        }
    }
    found
}

/// Networks that the host would route into the lab, though it routes them elsewhere now.
fn host(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut told = BTreeSet::new();
    for attachment in scene.interfaces("host") {
        for placed in &attachment.addresses {
            let net = placed.net.trunc();
            if !told.insert((attachment.segment, net)) {
                continue;
            }
            let span = network_span(attachment, placed.net, &placed.span);
            problems.extend(elsewhere(scene, net, &network_name(attachment), span));
        }
    }
    for route in scene.node("host").into_iter().flat_map(|host| &host.routes) {
        // a default route is routing's affair
        if let Some(to) = route.to.filter(|to| to.prefix_len() > 0) {
            problems.extend(elsewhere(scene, to, "this route", route.span.clone()));
        }
    }
}

/// The problem with a network that is already in use on the host.
fn elsewhere(scene: &Scene<'_>, net: IpNet, of: &str, span: Range<usize>) -> Option<Problem> {
    let route = routes(scene).find(|(to, _)| overlap(to, &net));
    let address = || scene.around.addresses.iter().find(|(address, _)| net.contains(address));
    let label = match (route, address()) {
        (_, Some((address, name))) => format!("the host has {address} on {name}"),
        (Some((to, name)), None) => format!("the host routes {to} by {name}"),
        (None, None) => return None,
    };
    let problem = Problem::new(format!("{net} of {of} is already in use on this host"), span).label(label);
    Some(problem.help(match free(scene, net) {
        Some(net) => format!("{net} is free"),
        None => "choose another one".to_owned(),
    }))
}

/// The host's routes but for default ones, in one or in two halves (VPNs), and link-local ones, which every link has.
fn routes<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = &'s (IpNet, crate::name::IfName)> {
    let default = |to: &IpNet| to.prefix_len() <= if to.addr().is_ipv6() { 3 } else { 1 };
    scene.around.routes.iter().filter(move |(to, _)| !default(to) && !super::addresses::is_link_local(to.network()))
}

/// A network of the same size that nobody uses, near the wanted one.
pub(super) fn free(scene: &Scene<'_>, wanted: IpNet) -> Option<IpNet> {
    let mut used: Vec<IpNet> = scene.lab.switches.iter().flat_map(|s| &s.subnets).map(|s| s.value).collect();
    used.extend(scene.attachments.iter().flat_map(|a| &a.addresses).map(|p| p.net.trunc()));
    used.extend(routes(scene).map(|(to, _)| *to));
    used.extend(scene.around.addresses.iter().map(|(address, _)| IpNet::from(*address)));
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
    let private: Vec<IpNet> = private.iter().filter_map(|net| net.parse().ok()).collect();
    let home = private.iter().find(|home| home.contains(&wanted));
    let home = home.or_else(|| private.iter().find(|p| p.addr().is_ipv6() == wanted.addr().is_ipv6()))?;
    if wanted.prefix_len() < home.prefix_len() {
        return None;
    }
    let bits = wanted.max_prefix_len() - wanted.prefix_len();
    let home_bits = home.max_prefix_len() - home.prefix_len();
    let start = if home.contains(&wanted) { number(wanted) - number(*home) } else { 0 };
    (1..=TRIES).find_map(|step| {
        let offset = (start + (step << bits)) & ((1 << home_bits) - 1);
        let net = IpNet::new(address(number(*home) + offset, wanted.addr().is_ipv6())?, wanted.prefix_len()).ok()?;
        (!used.iter().any(|other| overlap(other, &net))).then_some(net)
    })
}

fn number(net: IpNet) -> u128 {
    match net.network() {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

fn address(number: u128, v6: bool) -> Option<IpAddr> {
    match v6 {
        true => Some(IpAddr::V6(number.into())),
        false => Some(IpAddr::V4(u32::try_from(number).ok()?.into())),
    }
}

fn ipv6(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    if scene.around.ipv6 {
        return;
    }
    let subnets = scene.lab.switches.iter().flat_map(|s| &s.subnets).filter(|s| s.addr().is_ipv6());
    let written = scene.attachments.iter().flat_map(|a| &a.addresses);
    let written = written.filter(|p| p.written && p.net.addr().is_ipv6()).map(|p| &p.span);
    let mut spans = subnets.map(|s| &s.span).chain(written);
    if let Some(first) = spans.next() {
        let mut problem = Problem::new("this host has no IPv6", first.clone())
            .label("an IPv6 address")
            .help("switch it on (kernel parameter ipv6.disable=0), or leave the lab's IPv6 addresses out");
        if let Some(second) = spans.next() {
            problem = problem.related(second.clone(), "and here");
        }
        problems.push(problem);
    }
}
