//! Gateways, routes, NAT: whether each next hop can be reached and each interface is there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::scene::{Scene, moved};
use super::{did_you_mean, family};
use crate::design::routes::{destinations, gateway_address};
use crate::design::wiring::{Place, home};
use crate::lab::{At, Nat, Node, RouteSpec, Switch};
use crate::name::IfName;
use crate::problem::Problem;
use crate::state::{Route, RouteKind};

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for switch in &scene.lab.switches {
        problems.extend(switch_gateway(scene, switch));
        problems.extend(switch_nat(scene, switch));
    }
    for node in &scene.lab.nodes {
        for (index, gateway) in node.gateways.iter().enumerate() {
            if !gateway.is_unspecified() {
                problems.extend(next_hop(scene, node, "gateway", gateway.value, None, &gateway.span));
            }
            if let Some(first) = node.gateways[..index].iter().find(|g| g.is_ipv6() == gateway.is_ipv6()) {
                let family = family(gateway.is_ipv6());
                problems.push(
                    Problem::new(format!("`{}` has two {family} gateways", node.name.value), gateway.span.clone())
                        .label("one of each family is possible")
                        .related(first.span.clone(), "the first one")
                        .help("write the other one under `routes`, with a metric"),
                );
            }
        }
        routes(scene, node, problems);
        problems.extend(router_nat(scene, node));
    }
}

fn switch_gateway(scene: &Scene<'_>, switch: &Switch) -> Option<Problem> {
    let gateway = switch.gateway.as_ref()?;
    let (name, of) = (gateway.as_str(), switch.name.as_str());
    if !scene.has_node(name) {
        let known = scene.nodes();
        return Some(
            Problem::new(format!("there is no namespace `{name}`"), gateway.span.clone())
                .label("`gateway` wants a namespace or `host`")
                .help(did_you_mean(name, known, "write `gateway: host`")),
        );
    }
    if switch.subnets.is_empty() {
        return Some(
            Problem::new(format!("`{of}` has a gateway and no subnet"), gateway.span.clone())
                .label("which address should it have?")
                .help("give the switch a `subnet`, like 10.10.0.0/24"),
        );
    }
    let place = Place::of(gateway);
    let on = home(switch) == place || scene.interfaces(name).any(|a| a.switch.is_some_and(|s| s.name == switch.name));
    if !on {
        let help = match place {
            Place::Host => format!("leave out `in`, or link the host to it: `links: [{{ ends: [host, {of}] }}]`"),
            Place::Node(_) => format!("write `on: {of}` at `{name}`"),
        };
        return Some(
            Problem::new(format!("`{name}` is the gateway of `{of}`, but not on it"), gateway.span.clone())
                .label("its members could not reach it")
                .help(help),
        );
    }
    None
}

fn switch_nat(scene: &Scene<'_>, switch: &Switch) -> Option<Problem> {
    let nat = switch.nat.as_ref()?;
    let of = switch.name.as_str();
    if home(switch) != Place::Host || switch.gateway.as_ref().is_none_or(|g| !g.is_host()) {
        let help = match (&switch.place, &switch.gateway) {
            (Some(place), _) => {
                format!("leave it out here, and write `nat: {{ out: INTERFACE }}` at `{}`", place.value)
            }
            (None, Some(router)) => {
                format!(
                    "write `gateway: host`, or leave it out here and write `nat: {{ out: INTERFACE }}` at `{}`",
                    router.value
                )
            }
            (None, None) => "write `gateway: host` as well".to_owned(),
        };
        return Some(
            Problem::new(format!("`{of}` has `nat`, but the host is not its gateway"), nat.span.clone())
                .label("`nat` at a switch is the host's work")
                .help(help),
        );
    }
    let out = nat.out.as_ref()?;
    if let Some(problem) = source(scene, None, nat) {
        return Some(problem);
    }
    let mut known = scene.host_interfaces().chain(scene.interfaces("host").map(|a| a.name.as_str()));
    // nothing at all is known of the host: the file is checked alone
    if scene.host_interfaces().next().is_none() || known.any(|name| name == out.as_str()) {
        return None;
    }
    Some(
        Problem::new(format!("the host has no interface `{}` with an address or route", out.value), out.span.clone())
            .label("packets could not leave by it")
            .help(did_you_mean(
                out.as_str(),
                outward(scene).iter().copied(),
                "write `nat: true`: packets then leave by any",
            )),
    )
}

/// The host's interfaces but the loopback, each once.
fn outward<'a>(scene: &Scene<'a>) -> std::collections::BTreeSet<&'a str> {
    scene.host_interfaces().filter(|name| *name != "lo").collect()
}

fn router_nat(scene: &Scene<'_>, node: &Node) -> Option<Problem> {
    let nat = node.nat.as_ref().filter(|_| !node.name.is_host())?;
    let known = || scene.interfaces(node.name.as_str()).map(|a| a.name.as_str());
    match &nat.out {
        None => Some(
            Problem::new(format!("which way is out of `{}`?", node.name.value), nat.span.clone())
                .label("`nat` of a namespace needs the interface")
                .help(did_you_mean("", known(), "write `nat: { out: INTERFACE }`")),
        ),
        Some(out) if !known().any(|name| name == out.as_str()) => Some(
            Problem::new(format!("`{}` has no interface `{}`", node.name.value, out.value), out.span.clone())
                .label("packets could not leave by it")
                .help(did_you_mean(out.as_str(), known(), "put it on a switch, or link it to something")),
        ),
        Some(out) => source(scene, Some(node), nat).or_else(|| behaviour(scene, node, nat, out)),
    }
}

/// A NAT of a kind gives an address that it must know beforehand, to let others in by it.
fn behaviour(scene: &Scene<'_>, node: &Node, nat: &Nat, out: &At<IfName>) -> Option<Problem> {
    nat.behaviour()?;
    let mut own = scene.wiring.addressed(Place::of(&node.name));
    let has_none = nat.source.is_empty() && !own.any(|(name, _)| *name == out.value);
    has_none.then(|| {
        Problem::new(format!("`{}` of `{}` has no address", out.value, node.name.value), out.span.clone())
            .label("whose address would packets get?")
            .help(format!("give `{}` an address", out.value))
    })
}

/// A source address on a network of `out` that is nobody's: whoever wants to answer asks for its neighbour in vain. One on no
/// network of it may be routed here.
fn source(scene: &Scene<'_>, node: Option<&Node>, nat: &Nat) -> Option<Problem> {
    let out = nat.out.as_ref()?;
    let (who, own): (&str, Vec<IpNet>) = match node {
        Some(node) => (node.name.as_str(), scene.addresses(node.name.as_str()).map(|(_, net)| net).collect()),
        None => {
            let own = scene.around.addresses.iter().map(|(ip, _)| IpNet::from(*ip));
            ("host", own.chain(scene.addresses("host").map(|(_, net)| net)).collect())
        }
    };
    let networks: Vec<IpNet> = match node {
        Some(node) => scene
            .wiring
            .addressed(Place::of(&node.name))
            .filter(|(name, _)| **name == out.value)
            .flat_map(|(_, nets)| nets)
            .copied()
            .collect(),
        None => scene
            .around
            .routes
            .iter()
            .filter(|(to, name)| *name == out.value && to.prefix_len() > 0)
            .map(|(to, _)| *to)
            .collect(),
    };
    let is_wrong =
        |ip: &IpAddr| networks.iter().any(|net| net.contains(ip)) && !own.iter().any(|net| net.addr() == *ip);
    let wrong = nat.source.iter().find(|at| is_wrong(&at.value))?;
    let known = networks.iter().filter_map(|net| own.iter().find(|own| net.contains(&own.addr())));
    let known = known.filter(|net| net.addr().is_ipv6() == wrong.is_ipv6()).map(|net| net.addr().to_string());
    Some(
        Problem::new(format!("`{who}` has no address {}", wrong.value), wrong.span.clone())
            .label(format!("on the network of `{}`, where nobody would answer for it", out.value))
            .help(match super::list(known) {
                Some(known) => format!("it has {known} there; or give it this address as well"),
                None => "give it this address as well".to_owned(),
            }),
    )
}

/// The problem of a next hop, if the node cannot reach it directly.
fn next_hop(
    scene: &Scene<'_>,
    node: &Node,
    what: &str,
    via: IpAddr,
    dev: Option<&IfName>,
    span: &Range<usize>,
) -> Option<Problem> {
    let name = node.name.as_str();
    if super::addresses::is_link_local(via) && via.is_ipv6() {
        return dev.is_none().then(|| {
            Problem::new(format!("{what} {via} is on every link"), span.clone())
                .label("which one is meant?")
                .help(format!("write a route with the interface: `default via {via} dev eth0`"))
        });
    }
    if let Some((at, _)) = scene.addresses(name).find(|(_, net)| net.addr() == via) {
        let other = suggestion(scene, name, via);
        return Some(
            Problem::new(format!("{what} {via} is an address of `{name}` itself"), span.clone())
                .label(format!("it is on {}", at.name))
                .help(match other {
                    Some(other) => format!("did you mean {other}?"),
                    None => "write the address of the next router, or leave it out".to_owned(),
                }),
        );
    }
    let mut on: Vec<&IfName> =
        scene.addresses(name).filter(|(_, net)| net.contains(&via)).map(|(at, _)| &at.name).collect();
    on.dedup();
    match (on.as_slice(), dev) {
        ([], Some(dev)) if covered(node, via, dev) => None,
        ([], _) => {
            let label = match scene.networks_of(name, via.is_ipv6()) {
                Some(nets) => format!("`{name}` has {nets}"),
                None => format!("`{name}` has no {} address", family(via.is_ipv6())),
            };
            Some(Problem::new(format!("{what} {via} is on no subnet of `{name}`"), span.clone()).label(label).help(
                match suggestion(scene, name, via) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("give `{name}` an interface on the network of {via}"),
                },
            ))
        }
        (on, Some(dev)) if !on.contains(&dev) => Some(
            Problem::new(format!("{what} {via} is not to be reached by {dev}"), span.clone())
                .label(format!("it is on {}", on[0]))
                .help(format!("did you mean `dev {}`?", on[0])),
        ),
        _ => None,
    }
}

/// Does another route of the node say that the next hop is right behind the interface?
fn covered(node: &Node, via: IpAddr, dev: &IfName) -> bool {
    let mut direct = node.routes.iter().filter(|r| r.via.is_none() && r.dev.as_ref() == Some(dev));
    direct.any(|r| r.to.is_some_and(|to| to.contains(&via)))
}

/// A next hop that somebody near has: the wrong one's host part in a network of the node, the gateway of a switch, or the
/// other end of a link.
fn suggestion(scene: &Scene<'_>, node: &str, wrong: IpAddr) -> Option<IpAddr> {
    let v6 = wrong.is_ipv6();
    let own = || scene.addresses(node).filter(move |(_, net)| net.addr().is_ipv6() == v6);
    let neighbours = |segment: usize| {
        let others = scene.attachments.iter().filter(move |a| a.segment == segment && a.place.as_str() != node);
        others.flat_map(|a| &a.addresses).map(|p| p.net.addr()).filter(move |a| a.is_ipv6() == v6)
    };
    let same_host_part = own().find_map(|(at, net)| {
        let near = moved(wrong, net)?;
        neighbours(at.segment).find(|other| *other == near)
    });
    let gateway = || {
        own().find_map(|(at, net)| {
            let index = scene.lab.switches.iter().position(|s| at.switch.is_some_and(|on| on.name == s.name))?;
            gateway_address(&scene.wiring, index, v6).filter(|a| net.contains(a) && net.addr() != *a)
        })
    };
    let other_end = || {
        own().find_map(|(at, net)| {
            let linked = at.switch.is_none();
            neighbours(at.segment).find(|other| linked && net.contains(other))
        })
    };
    same_host_part.or_else(gateway).or_else(other_end)
}

fn routes(scene: &Scene<'_>, node: &Node, problems: &mut Vec<Problem>) {
    let name = node.name.as_str();
    let place = Place::of(&node.name);
    let mut seen: BTreeMap<(IpNet, u32), Range<usize>> = BTreeMap::new();
    for gateway in node.gateways.iter().filter(|gateway| !gateway.is_unspecified()) {
        let to = crate::design::routes::default_route(gateway.is_ipv6());
        seen.insert((to, Route::usual_metric(to)), gateway.span.clone());
    }
    for route in &node.routes {
        let spec: &RouteSpec = route;
        if let Some(problem) = route_form(spec, &route.span) {
            problems.push(problem);
            continue;
        }
        if let Some(dev) = &spec.dev
            && !scene.interfaces(name).any(|a| a.name == *dev)
        {
            let known = scene.interfaces(name).map(|a| a.name.as_str());
            problems.push(
                Problem::new(format!("`{name}` has no interface `{dev}`"), route.span.clone())
                    .label("the route leaves by it")
                    .help(did_you_mean(dev.as_str(), known, "put it on a switch, or link it to something")),
            );
            continue;
        }
        if let Some(via) = spec.via {
            problems.extend(next_hop(scene, node, "next hop", via, spec.dev.as_ref(), &route.span));
        }
        let targets = destinations(&scene.wiring, place, spec);
        if targets.is_empty() {
            problems.push(
                Problem::new("a default route by an interface without addresses", route.span.clone())
                    .label("of IPv4 or of IPv6?")
                    .help("write 0.0.0.0/0 or ::/0 instead of `default`"),
            );
        }
        if place == Place::Host && targets.iter().any(|to| to.prefix_len() <= 1) {
            problems.push(
                Problem::new("the host's default route is not the lab's to change", route.span.clone())
                    .label("everything that leaves the host would go into the lab")
                    .help("write a route to the networks behind the lab only"),
            );
        }
        for to in targets {
            let metric = spec.metric.unwrap_or_else(|| Route::usual_metric(to));
            if let Some(first) = seen.get(&(to, metric)) {
                problems.push(
                    Problem::new(format!("`{name}` has two routes to {}", destination(to)), route.span.clone())
                        .label("the same destination and metric")
                        .related(first.clone(), "the first one")
                        .help("leave one out, or give it another `metric`: the lower one is used"),
                );
            }
            seen.insert((to, metric), route.span.clone());
            let direct = scene.addresses(name).find(|(_, net)| net.trunc() == to && spec.kind == RouteKind::Unicast);
            if let (Some((at, _)), None) = (direct, spec.metric) {
                problems.push(
                    Problem::new(format!("`{name}` has a route to {to} by its address"), route.span.clone())
                        .label(format!("it is directly on {}", at.name))
                        .help("leave the route out, or give it a `metric`"),
                );
            }
        }
    }
}

/// What the reader of files sees to, for labs that do not come from one.
fn route_form(spec: &RouteSpec, span: &Range<usize>) -> Option<Problem> {
    let problem = |message: &str, help: &str| Some(Problem::new(message, span.clone()).help(help));
    let unicast = spec.kind == RouteKind::Unicast;
    match (spec.to, spec.via, &spec.dev) {
        (_, None, None) if unicast => problem("the route leads nowhere", "give it a next hop or an interface"),
        (_, Some(_), _) | (_, _, Some(_)) if !unicast => {
            problem("a route that stops packets has neither next hop nor interface", "leave them out")
        }
        (Some(to), Some(via), _) if to.addr().is_ipv6() != via.is_ipv6() => problem(
            "destination and next hop are of different families",
            "write a next hop of the destination's family",
        ),
        _ => None,
    }
}

fn destination(to: IpNet) -> String {
    if to.prefix_len() == 0 { format!("all of {}", family(to.addr().is_ipv6())) } else { to.to_string() }
}
