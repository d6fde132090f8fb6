//! Published and forwarded ports: free, once, and leading somewhere.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use super::scene::Scene;
use super::{did_you_mean, family, list};
use crate::design::rules::{target, way_from_host};
use crate::design::wiring::Place;
use crate::lab::{At, Forward, Node, Proto, Publish};
use crate::name::LabName;
use crate::problem::Problem;

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut taken = Taken::default();
    let elsewhere = Elsewhere::of(scene);
    for node in scene.lab.nodes.iter().filter(|n| !n.name.is_host()) {
        for (number, publish) in node.publish.iter().enumerate() {
            problems.extend(range(publish.ports, publish.target, &publish.span));
            problems.extend(way(scene, node, publish, number == 0));
            problems.extend(listener(scene, &elsewhere, publish));
            problems.extend(elsewhere.conflict(scene, node, publish));
            let (address, ports) = (publish.address.filter(|a| !a.is_unspecified()), publish.ports);
            if let Some((port, first)) = taken.take(None, address, publish.proto, ports, &publish.span) {
                problems.push(twice(
                    scene,
                    &elsewhere,
                    "published",
                    (publish.proto, port),
                    publish.span.clone(),
                    first,
                ));
            }
        }
        let mut taken = Taken::default();
        for forward in &node.forward {
            problems.extend(range(forward.ports, forward.target, &forward.span));
            problems.extend(leads(scene, node, forward));
            let interface = forward.interface.as_ref().map(|i| i.as_str());
            let (address, ports) = (forward.address, forward.ports);
            if let Some((port, first)) = taken.take(interface, address, forward.proto, ports, &forward.span) {
                problems.push(twice(
                    scene,
                    &elsewhere,
                    "forwarded",
                    (forward.proto, port),
                    forward.span.clone(),
                    first,
                ));
            }
        }
    }
}

/// Ports that are given away.
#[derive(Default)]
struct Taken<'a>(HashMap<(Proto, u16), Vec<Holder<'a>>>);

/// By which interface, at which address (none is all), and where the file says so.
type Holder<'a> = (Option<&'a str>, Option<IpAddr>, Range<usize>);

impl<'a> Taken<'a> {
    /// Takes a range of ports; the first that somebody has, and where.
    fn take(
        &mut self,
        interface: Option<&'a str>,
        address: Option<IpAddr>,
        proto: Proto,
        (first, last): (u16, u16),
        span: &Range<usize>,
    ) -> Option<(u16, Range<usize>)> {
        let meets = |a: &Option<IpAddr>| a.is_none() || address.is_none() || *a == address;
        let on = |i: &Option<&str>| i.is_none() || interface.is_none() || *i == interface;
        let mut conflict = None;
        for port in first..=last {
            let all = self.0.entry((proto, port)).or_default();
            if conflict.is_none() {
                conflict = all.iter().find(|(i, a, _)| on(i) && meets(a)).map(|(.., span)| (port, span.clone()));
            }
            all.push((interface, address, span.clone()));
        }
        conflict
    }
}

fn twice(
    scene: &Scene<'_>,
    elsewhere: &Elsewhere<'_>,
    what: &str,
    (proto, port): (Proto, u16),
    span: Range<usize>,
    first: Range<usize>,
) -> Problem {
    let free = match what {
        "published" => free_port(scene, elsewhere, proto, port).map(|free| format!("{free} is free")),
        _ => None,
    };
    Problem::new(format!("port {port}/{proto} is {what} twice"), span)
        .label("again here")
        .related(first, "first here")
        .help(free.unwrap_or_else(|| "choose another port".to_owned()))
}

/// The next port that neither the lab nor the host nor another lab uses.
fn free_port(scene: &Scene<'_>, elsewhere: &Elsewhere<'_>, proto: Proto, after: u16) -> Option<u16> {
    let published = scene.lab.nodes.iter().flat_map(|n| &n.publish).filter(|p| p.proto == proto);
    let published: Vec<(u16, u16)> = published.map(|p| p.ports).collect();
    let listening: BTreeSet<u16> =
        scene.around.listening.iter().filter(|(p, ..)| *p == proto).map(|(.., port)| *port).collect();
    let is_taken = |port: &u16| listening.contains(port) || elsewhere.0.contains_key(&(proto, *port));
    let is_free = |port: &u16| !is_taken(port) && !published.iter().any(|(a, b)| (*a..=*b).contains(port));
    (after..=u16::MAX).skip(1).find(is_free)
}

/// As many target ports as there are ports.
fn range((first, last): (u16, u16), target: u16, span: &Range<usize>) -> Option<Problem> {
    let problem = |message: String| Problem::new(message, span.clone());
    if first == 0 || target == 0 {
        return Some(
            problem("there is no port 0".to_owned()).label("1 to 65535 are possible").help("choose another port"),
        );
    }
    if first > last {
        let help = format!("did you mean {last}-{first}?");
        return Some(problem("the range of ports runs backwards".to_owned()).label("first more than last").help(help));
    }
    let more = last - first;
    if target.checked_add(more).is_none() {
        return Some(
            problem(format!("the target of port {last} would be {}", u32::from(target) + u32::from(more)))
                .label(format!("{} ports from {target} on; 65535 is the last", u32::from(more) + 1))
                .help(format!("let the target begin at {} or before", u16::MAX - more)),
        );
    }
    None
}

/// Can the host reach the node, in the family of the published address? Where it cannot at all, the first port says so for all.
fn way(scene: &Scene<'_>, node: &Node, publish: &At<Publish>, is_first: bool) -> Option<Problem> {
    let name = node.name.as_str();
    let leads = |v6: bool| way_from_host(&scene.wiring, &node.name, v6).is_some();
    let problem = |message: String| Problem::new(message, publish.span.clone());
    if !leads(false) && !leads(true) {
        let ways = scene.wiring.host_gateways().map(|(_, b)| format!("`{}`", b.switch.name.value));
        let problem = problem(format!("the host has no way to `{name}`"))
            .label("a published port leads from the host to it")
            .help(match list(ways) {
                Some(ways) => format!("put `{name}` on a switch with `gateway: host`: {ways}"),
                None => format!("put `{name}` on a switch with `gateway: host` and a `subnet`"),
            });
        return is_first.then_some(problem);
    }
    let address = publish.address.filter(|a| !a.is_unspecified())?;
    if address == IpAddr::from(Ipv6Addr::LOCALHOST) && scene.around.bridged_v6_meets_rules() {
        return problem("nothing can be published at ::1 on this host".to_owned())
            .label("bridged packets meet the rules (br_netfilter), and the kernel drops the answer")
            .help("publish at 127.0.0.1, or set net.bridge.bridge-nf-call-ip6tables to 0")
            .into();
    }
    if !leads(address.is_ipv6()) {
        let (has, lacks) = (family(address.is_ipv4()), family(address.is_ipv6()));
        return problem(format!("`{name}` has no {lacks} address to lead {address} to"))
            .label(format!("the host reaches it by {has} only"))
            .help(format!("publish at an {has} address, or give the switch an {lacks} subnet as well"))
            .into();
    }
    let own = scene.addresses("host").any(|(_, net)| net.addr() == address);
    let has = &scene.around.addresses;
    if has.is_empty() || own || address.is_loopback() || has.iter().any(|(a, _)| *a == address) {
        return None;
    }
    let known = has.iter().map(|(a, _)| *a).filter(|a| a.is_ipv6() == address.is_ipv6() && !a.is_loopback());
    problem(format!("the host has no address {address}"))
        .label("nothing would arrive there")
        .help(match list(known.map(|a| a.to_string())) {
            Some(known) => format!("it has {known}; without an address, the port is published at all of them"),
            None => "leave the address out: the port is published at all addresses then".to_owned(),
        })
        .into()
}

/// Does a program of the host listen there? It would not be reached any more.
fn listener(scene: &Scene<'_>, elsewhere: &Elsewhere<'_>, publish: &At<Publish>) -> Option<Problem> {
    let wanted = publish.address.filter(|a| !a.is_unspecified());
    let (first, last) = publish.ports;
    let (_, at, port) = scene.around.listening.iter().find(|(proto, at, port)| {
        let meets = wanted.is_none_or(|wanted| wanted == *at || at.is_unspecified());
        *proto == publish.proto && (first..=last).contains(port) && meets
    })?;
    let proto = publish.proto;
    let at = if at.is_ipv6() { format!("[{at}]:{port}") } else { format!("{at}:{port}") };
    Some(
        Problem::new(format!("the host itself listens on port {port}/{proto}"), publish.span.clone())
            .label(format!("a program listens on {at}"))
            .help(match free_port(scene, elsewhere, proto, last) {
                Some(free) if first == last => format!("publish another port, like \"{free}:{}\"", publish.target),
                Some(free) => format!("publish other ports, from {free} on"),
                None => "publish another port".to_owned(),
            }),
    )
}

/// Ports of this host that other labs publish.
struct Elsewhere<'a>(HashMap<(Proto, u16), Vec<Publisher<'a>>>);

/// Which lab, in IPv6, and at which address (none is all).
type Publisher<'a> = (&'a LabName, bool, Option<IpAddr>);

impl<'a> Elsewhere<'a> {
    fn of(scene: &Scene<'a>) -> Self {
        let mut all: HashMap<(Proto, u16), Vec<Publisher<'a>>> = HashMap::new();
        // a lab that publishes nothing need not know
        if scene.lab.nodes.iter().any(|node| !node.publish.is_empty()) {
            let own = &scene.lab.name.value;
            for (lab, map) in scene
                .around
                .published
                .iter()
                .filter(|(lab, _)| *lab != own)
                .flat_map(|(lab, maps)| maps.iter().map(move |map| (lab, map)))
            {
                for key in map.entries.keys() {
                    all.entry((key.proto, key.port)).or_default().push((lab, map.v6, key.address));
                }
            }
        }
        Self(all)
    }

    /// Does another lab publish it? All packets would go to one of the two, and nobody could say to which.
    fn conflict(&self, scene: &Scene<'_>, node: &Node, publish: &At<Publish>) -> Option<Problem> {
        let wanted = publish.address.filter(|a| !a.is_unspecified());
        let (proto, (first, last)) = (publish.proto, publish.ports);
        let leads = |v6: bool| {
            publish.address.is_none_or(|a| a.is_ipv6() == v6) && way_from_host(&scene.wiring, &node.name, v6).is_some()
        };
        let meets = |(_, v6, address): &Publisher<'_>| {
            (address.is_none() || wanted.is_none() || *address == wanted) && leads(*v6)
        };
        let mut all = (first..=last).filter_map(|port| Some((port, self.0.get(&(proto, port))?)));
        let (port, lab) = all.find_map(|(port, all)| Some((port, all.iter().find(|one| meets(one))?.0)))?;
        let way_out = match free_port(scene, self, proto, last) {
            Some(free) if first == last => format!("publish another port, like \"{free}:{}\"", publish.target),
            Some(free) => format!("publish other ports, from {free} on"),
            None => "publish another port".to_owned(),
        };
        Some(
            Problem::new(
                format!("lab `{lab}` publishes port {port}/{proto} of this host already"),
                publish.span.clone(),
            )
            .label("it can lead to one of the two only")
            .help(format!("{way_out}; or take the other lab away: raum down {lab}")),
        )
    }
}

fn leads(scene: &Scene<'_>, node: &Node, forward: &At<Forward>) -> Option<Problem> {
    let (router, to) = (node.name.as_str(), forward.node.as_str());
    if let Some(interface) = &forward.interface
        && !scene.interfaces(router).any(|a| a.name == interface.value)
    {
        let known = scene.interfaces(router).map(|a| a.name.as_str());
        return Problem::new(format!("`{router}` has no interface `{}`", interface.value), interface.span.clone())
            .label("nothing would come in by it")
            .help(did_you_mean(interface.as_str(), known, "put it on a switch, or link it to something"))
            .into();
    }
    let problem = |message: String| Problem::new(message, forward.node.span.clone());
    if !scene.has_node(to) {
        return problem(format!("there is no namespace `{to}`"))
            .label("the port leads to it")
            .help(did_you_mean(to, scene.nodes(), "write it under `namespaces:`"))
            .into();
    }
    if to == router {
        return problem(format!("`{router}` forwards a port to itself"))
            .label("the router")
            .help("leave it out: a program of the router can listen on the port itself")
            .into();
    }
    let reach = |v6: bool| target(&scene.wiring, Place::of(&node.name), &forward.node, v6).is_some();
    if !reach(false) && !reach(true) {
        return problem(format!("`{to}` has no address"))
            .label("the port leads to it")
            .help(format!("put `{to}` on a switch with a subnet, or write its address at a link"))
            .into();
    }
    let address = forward.address?;
    let problem = |message: String| Problem::new(message, forward.span.clone());
    if !reach(address.is_ipv6()) {
        let lacks = family(address.is_ipv6());
        return problem(format!("`{to}` has no {lacks} address to lead {address} to"))
            .label(format!("it has {} only", family(address.is_ipv4())))
            .help(format!("give it an {lacks} address as well"))
            .into();
    }
    if scene.addresses(router).any(|(_, net)| net.addr() == address) {
        return None;
    }
    let known = scene.addresses(router).map(|(_, net)| net.addr()).filter(|a| a.is_ipv6() == address.is_ipv6());
    problem(format!("`{router}` has no address {address}"))
        .label("nothing would arrive there")
        .help(match list(known.map(|a| a.to_string())) {
            Some(known) => format!("it has {known}"),
            None => "leave the address out: every one of the router is meant then".to_owned(),
        })
        .into()
}
