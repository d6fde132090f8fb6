//! Ends: what attachments and links join, and whether the kernel can have it so.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::did_you_mean;
use super::scene::{Groups, Scene};
use crate::design::links::mtu;
use crate::design::wiring::{Holder, Place, Side};
use crate::name::Mac;
use crate::problem::Problem;

/// How many ports a Linux bridge has: `BR_MAX_PORTS - 1` (net/bridge/br_private.h; port numbers begin at 1).
const PORTS_MAX: usize = 1023;

/// The smallest and largest MTU of veth and bridge (`ETH_MIN_MTU`, `ETH_MAX_MTU`, include/uapi/linux/if_ether.h).
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;

/// Below this the kernel has no IPv6 on an interface (RFC 8200, section 5; `IPV6_MIN_MTU`).
const MTU_V6: u32 = 1280;

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    unknown(scene, problems);
    interfaces(scene, problems);
    switches(scene, problems);
    mtus(scene, problems);
    macs(scene, problems);
}

fn unknown(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for node in &scene.lab.nodes {
        for end in node.on.iter().filter(|end| scene.switch(end.to.as_str()).is_none()) {
            let is_node = scene.has_node(end.to.as_str());
            let message = match is_node {
                true => format!("`{}` is a namespace, not a switch", end.to.value),
                false => format!("there is no switch `{}`", end.to.value),
            };
            let otherwise = format!("write it under `switches:`: `{}: {{ }}`", end.to.value);
            problems.push(Problem::new(message, end.to.span.clone()).label("`on` wants a switch").help(
                match is_node {
                    true => format!(
                        "two namespaces are joined by a link: `links: [{{ ends: [{}, {}] }}]`",
                        node.name.value, end.to.value
                    ),
                    false => did_you_mean(end.to.as_str(), scene.switches(), &otherwise),
                },
            ));
        }
    }
    for end in scene.lab.links.iter().flat_map(|wire| &wire.ends) {
        let name = end.to.as_str();
        if scene.switch(name).is_none() && !scene.has_node(name) {
            problems.push(
                Problem::new(format!("there is no namespace or switch `{name}`"), end.to.span.clone())
                    .label("a link wants two of them")
                    .help(did_you_mean(name, scene.nodes().chain(scene.switches()), "write it under `namespaces:`")),
            );
        }
    }
    for place in scene.lab.switches.iter().filter_map(|s| s.place.as_ref()) {
        let name = place.as_str();
        if !scene.has_node(name) {
            let is_switch = scene.switch(name).is_some();
            let message = match is_switch {
                true => format!("`{name}` is a switch, not a namespace"),
                false => format!("there is no namespace `{name}`"),
            };
            problems.push(Problem::new(message, place.span.clone()).label("`in` wants a namespace").help(
                match is_switch {
                    true => "two switches are joined by a link: `links: [{ ends: [A, B] }]`".to_owned(),
                    false => did_you_mean(name, scene.nodes(), "write it under `namespaces:`, or leave `in` out"),
                },
            ));
        }
    }
}

/// Names of interfaces, each once in its namespace.
fn interfaces(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<(Place<'_>, &str), Range<usize>> = BTreeMap::new();
    for bridge in &scene.wiring.bridges {
        seen.insert((bridge.place, bridge.name.as_str()), bridge.switch.name.span.clone());
    }
    for bridge in scene.wiring.bridges.iter().filter(|b| b.place != Place::Host) {
        // the bridge gave way to an interface of its name
        seen.insert((bridge.place, bridge.switch.name.as_str()), bridge.switch.name.span.clone());
    }
    for side in scene.wiring.pairs.iter().flatten() {
        let Some(name) = side.end.and_then(|end| end.interface.as_ref()) else { continue };
        let place = side.place.as_str();
        if let Some(first) = seen.get(&(side.place, name.as_str())) {
            problems.push(
                Problem::new(format!("`{place}` has two interfaces `{}`", name.value), name.span.clone())
                    .label("again here")
                    .related(first.clone(), "first here")
                    .help("choose another name, or leave it out: the next free of eth0, eth1, … is taken then"),
            );
        }
        seen.insert((side.place, name.as_str()), name.span.clone());
        if side.place == Place::Host && scene.host_interfaces().any(|n| n == name.as_str()) {
            problems.push(
                Problem::new(format!("the host has an interface `{}` already", name.value), name.span.clone())
                    .label("not the lab's")
                    .help("choose another name, or leave it out: one with the lab's name in it is taken then"),
            );
        }
    }
}

fn switches(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut ports = vec![0_usize; scene.wiring.bridges.len()];
    let mut joined = Groups::new(scene.wiring.bridges.len());
    for pair in &scene.wiring.pairs {
        let span = pair[0].wire.map_or(0..0, |wire| wire.span.clone());
        for side in pair {
            if let Holder::Switch(index) = side.owner {
                ports[index] += 1;
            }
        }
        match (pair[0].owner, pair[1].owner) {
            (Holder::Switch(a), Holder::Switch(b)) if !joined.join(a, b) => {
                let (a, b) = (&scene.lab.switches[a].name.value, &scene.lab.switches[b].name.value);
                problems.push(
                    Problem::new(format!("this link from `{a}` to `{b}` closes a loop"), span)
                        .label("the two are one network already; frames would go round for ever")
                        .help("leave the link out"),
                );
            }
            (Holder::Switch(index), Holder::Node(Place::Host)) | (Holder::Node(Place::Host), Holder::Switch(index))
                if scene.wiring.bridges[index].place == Place::Host =>
            {
                problems.push(
                    Problem::new(
                        format!(
                            "the host is linked to `{}`, which is on the host",
                            scene.lab.switches[index].name.value
                        ),
                        span,
                    )
                    .label("no link is needed")
                    .help("write `gateway: host` at the switch: its bridge has the host's address then"),
                );
            }
            (Holder::Switch(index), Holder::Node(place)) | (Holder::Node(place), Holder::Switch(index))
                if scene.wiring.bridges[index].place == place && scene.wiring.bridges[index].is_gateway() =>
            {
                problems.push(on_its_own(scene.lab.switches[index].name.as_str(), place, pair));
            }
            _ => {}
        }
    }
    for (switch, ports) in scene.lab.switches.iter().zip(ports).filter(|(_, ports)| *ports > PORTS_MAX) {
        problems.push(
            Problem::new(format!("switch `{}` has {ports} ports", switch.name.value), switch.name.span.clone())
                .label(format!("a Linux bridge has at most {PORTS_MAX}"))
                .help("make two switches of it and join them by a link: `links: [{ ends: [A, B] }]`"),
        );
    }
}

/// A gateway that the switch is in has the bridge's own interface there: one more would be a second one in the same subnet.
fn on_its_own(switch: &str, place: Place<'_>, [a, b]: &[Side<'_>; 2]) -> Problem {
    let name = place.as_str();
    let (what, span) = match a.wire {
        Some(wire) => ("the link".to_owned(), wire.span.clone()),
        None => {
            let end = a.end.or(b.end);
            (format!("`on: {switch}` at `{name}`"), end.map_or(0..0, |end| end.to.span.clone()))
        }
    };
    Problem::new(format!("`{name}` is on `{switch}` already: the switch is in it, and has it as gateway"), span)
        .label("a second interface of it in one subnet")
        .help(format!("leave {what} out: the bridge has `{name}`'s address; or leave `in: {name}` out at `{switch}`"))
}

fn mtus(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let ends = scene.wiring.pairs.iter().flatten().filter_map(|side| side.end?.mtu.as_ref());
    let wires = scene.lab.links.iter().filter_map(|wire| wire.mtu.as_ref());
    let switches = scene.lab.switches.iter().filter_map(|switch| switch.mtu.as_ref());
    for mtu in ends.chain(wires).chain(switches).filter(|mtu| !MTU.contains(&mtu.value)) {
        problems.push(
            Problem::new(format!("an MTU of {} is not possible", mtu.value), mtu.span.clone())
                .label(format!("{} to {} bytes are", MTU.start(), MTU.end()))
                .help("1500 is usual; leave it out to have that"),
        );
    }
    let mut small = |what: String, bytes: u32, span: Range<usize>| {
        if bytes < MTU_V6 && MTU.contains(&bytes) {
            problems.push(
                Problem::new(format!("an MTU of {bytes} is too small for IPv6"), span)
                    .label(format!("{what} has IPv6 addresses; they need {MTU_V6} bytes"))
                    .help(format!("write at least {MTU_V6}, or leave the IPv6 addresses out")),
            );
        }
    };
    let v6 = |side: &Side<'_>| side.addresses.iter().any(|net| net.addr().is_ipv6());
    for (side, far) in scene.wiring.sides().filter(|(side, _)| v6(side)) {
        let of_end = side.end.and_then(|end| end.mtu.as_ref());
        let of_wire = side.wire.and_then(|wire| wire.mtu.as_ref());
        let of_switch = match far.owner {
            Holder::Switch(index) => scene.lab.switches[index].mtu.as_ref(),
            Holder::Node(_) => None,
        };
        let span = of_end.or(of_wire).or(of_switch).map_or(0..0, |mtu| mtu.span.clone());
        small(format!("{} of `{}`", side.name, side.place.as_str()), mtu(&scene.wiring, side, far), span);
    }
    for bridge in scene.wiring.bridges.iter().filter(|b| b.addresses.iter().any(|net| net.addr().is_ipv6())) {
        if let Some(mtu) = &bridge.switch.mtu {
            small(format!("the gateway on `{}`", bridge.switch.name.value), mtu.value, mtu.span.clone());
        }
    }
}

/// Written hardware addresses, each once in its network.
fn macs(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<(usize, Mac), Range<usize>> = HashMap::new();
    let mut see = |segment: usize, mac: &crate::lab::At<Mac>| {
        if let Some(first) = seen.get(&(segment, mac.value)) {
            problems.push(
                Problem::new(format!("two interfaces of one network have the address {}", mac.value), mac.span.clone())
                    .label("again here")
                    .related(first.clone(), "first here")
                    .help("choose another one, or leave it out: raum gives each interface its own"),
            );
        }
        seen.insert((segment, mac.value), mac.span.clone());
    };
    for (index, switch) in scene.lab.switches.iter().enumerate() {
        if let Some(mac) = &switch.mac {
            see(scene.segments[index], mac);
        }
    }
    for (index, pair) in scene.wiring.pairs.iter().enumerate() {
        let switch = pair.iter().find_map(|side| match side.owner {
            Holder::Switch(switch) => Some(scene.segments[switch]),
            Holder::Node(_) => None,
        });
        for mac in pair.iter().filter_map(|side| side.end?.mac.as_ref()) {
            see(switch.unwrap_or(scene.segments.len() + index), mac);
        }
    }
}
