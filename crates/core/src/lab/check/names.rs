//! Names: each for one thing, and none that the kernel or raum means otherwise.

use std::collections::BTreeMap;
use std::ops::Range;

use super::scene::Scene;
use crate::design::wiring::Place;
use crate::lab::Switch;
use crate::name::DEFAULT_LAB;
use crate::problem::Problem;

/// Interface names with another meaning: the loopback of every namespace, and the directories under
/// `/proc/sys/net/ipv4/conf` that stand for all interfaces and for new ones.
const RESERVED: [&str; 3] = ["lo", "all", "default"];

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    twice(scene, problems);
    reserved(scene, problems);
    the_host(scene, problems);
}

fn twice(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let switches = scene.lab.switches.iter().map(|s| (&s.name, "switch"));
    let nodes = scene.lab.nodes.iter().map(|n| (&n.name, "namespace"));
    let mut seen: BTreeMap<&str, (&str, Range<usize>)> = BTreeMap::new();
    for (name, what) in switches.chain(nodes) {
        if let Some((other, first)) = seen.get(name.as_str()) {
            let message = if *other == what {
                format!("there are two of the name `{}`: {what} and {other}", name.value)
            } else {
                format!("`{}` is a switch and a namespace", name.value)
            };
            problems.push(
                Problem::new(message, name.span.clone())
                    .label("again here")
                    .related(first.clone(), "first here")
                    .help("each name stands for one switch or namespace of the lab: choose another one"),
            );
        } else {
            seen.insert(name.as_str(), (what, name.span.clone()));
        }
    }
}

fn reserved(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for bridge in &scene.wiring.bridges {
        let Switch { name, .. } = bridge.switch;
        if name.is_host() {
            problems.push(
                Problem::new("a switch cannot be called `host`", name.span.clone())
                    .label("reserved for the machine itself")
                    .help("give the switch another name"),
            );
        }
        let bare = bridge.place != Place::Host || scene.lab.name.as_str() == DEFAULT_LAB;
        if bare && RESERVED.contains(&name.as_str()) {
            problems.push(
                Problem::new(format!("the bridge of switch `{}` cannot have this name", name.value), name.span.clone())
                    .label("no interface but the kernel's own can be called so")
                    .help("give the switch another name"),
            );
        }
    }
    let on = scene.lab.nodes.iter().flat_map(|n| &n.on);
    for name in on.chain(scene.lab.links.iter().flat_map(|w| &w.ends)).filter_map(|end| end.interface.as_ref()) {
        if RESERVED.contains(&name.as_str()) {
            problems.push(
                Problem::new(format!("an interface cannot be called `{}`", name.value), name.span.clone())
                    .label(match name.as_str() {
                        "lo" => "the loopback of every namespace has this name",
                        _ => "sysctls use it for all interfaces, or for new ones",
                    })
                    .help("choose another name, or leave it out: eth0, eth1, … is taken then"),
            );
        }
    }
}

/// The host takes part by `gateway: host`, by links, and with routes; the rest of it is not the lab's.
fn the_host(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let Some(host) = scene.node("host") else { return };
    let mut refuse = |what: &str, span: &Range<usize>, help: &str| {
        problems.push(
            Problem::new(format!("`host` can have `routes` only, not `{what}`"), span.clone())
                .label("not for the host")
                .help(help),
        );
    };
    for end in &host.on {
        refuse("on", &end.to.span, "a switch with `gateway: host` has the host on it");
    }
    for gateway in &host.gateways {
        refuse("gateway", &gateway.span, "leave it out: the host keeps its own way out");
    }
    if let Some(nat) = &host.nat {
        refuse("nat", &nat.span, "write `nat: true` at a switch with `gateway: host`");
    }
    for publish in &host.publish {
        refuse("publish", &publish.span, "`publish` stands at the namespace that the port leads to");
    }
    for forward in &host.forward {
        refuse("forward", &forward.span, "write `publish` at the namespace that the port leads to");
    }
    if let Some(filter) = &host.filter {
        refuse("filter", &filter.default.span, "raum filters in the namespaces, not on the host");
    }
    if let Some(forwarding) = &host.forwarding {
        refuse("forwarding", &forwarding.span, "leave it out: the host forwards for the lab where the lab needs it");
    }
}
