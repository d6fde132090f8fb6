//! Why the kernel does not route a packet on.

use std::net::IpAddr;

use super::cause::{Cause, Code, inside, ip};
use super::neighbour::gateway;
use super::wire::wire;
use super::{Facts, Flow, Question, has, is_link_local, policy};
use crate::host::OpError;
use crate::view::{Interface, Room, RouteEntry, Scene};

/// The cause behind a refusal.
pub(super) fn refused(facts: &mut dyn Facts, room: &Room, question: &Question, error: &OpError) -> Cause {
    let flow = question.flow;
    let scene = facts.scene().clone();
    if let Some(rule) = policy::forbidding(room, question) {
        let what = format!("the rule `{rule}` in {} refuses {}", room.namespace, flow.destination);
        let family = if rule.v6 { "-6 " } else { "" };
        let mend = ip(room, &format!("{family}rule del priority {}", rule.priority));
        return Cause::new(Code::RuleForbids, &room.namespace, what, Some(mend));
    }
    if let Some(route) = forbidding(room, flow.destination) {
        let what = format!("the route `{route}` in {} refuses {}", room.namespace, flow.destination);
        let mend = ip(room, &format!("route del {} {}", route.kind, route.to));
        return Cause::new(Code::RouteForbids, &room.namespace, what, Some(mend));
    }
    let known = ["ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EXDEV", "EINVAL", "EACCES"].contains(&error.code);
    if !known || (error.code == "EINVAL" && question.input.is_none()) {
        let what = format!("the kernel of {} routes {flow} nowhere: {}", room.namespace, error.words());
        return Cause::new(Code::Unexplained, &room.namespace, what, None);
    }
    match &question.input {
        None => no_route(&scene, room, flow.destination),
        Some(input) => not_passed_on(facts, &scene, room, flow, input, error),
    }
}

/// The route that forbids a destination, if the best one does.
fn forbidding(room: &Room, to: IpAddr) -> Option<&RouteEntry> {
    let all = room.routes.iter().filter(|route| route.to.contains(&to) && route.table != "local");
    let best = all.max_by_key(|route| (route.to.prefix_len(), std::cmp::Reverse(route.metric)))?;
    ["unreachable", "prohibit", "blackhole"].contains(&best.kind.as_str()).then_some(best)
}

fn outer(room: &Room) -> impl Iterator<Item = &Interface> {
    room.interfaces.iter().filter(|one| one.kind != "loopback")
}

fn usable(interface: &Interface, v6: bool) -> bool {
    interface.up && addressed(interface, v6)
}

fn addressed(interface: &Interface, v6: bool) -> bool {
    interface.addresses.iter().any(|own| own.addr().is_ipv6() == v6 && !is_link_local(own.addr()))
}

/// There is no address to send from.
pub(super) fn no_address(room: &Room, v6: bool, dev: Option<&str>) -> Cause {
    let here = &room.namespace;
    let family = if v6 { "IPv6" } else { "IPv4" };
    // a socket for IPv6 alone has none to send from where every interface is without
    if let Some(off) = outer(room).find(|one| v6 && one.up && !one.ipv6 && dev.is_none_or(|dev| dev == one.name)) {
        return ipv6_off(room, off);
    }
    let mend = dev.map(|dev| ip(room, &format!("address add <address>/<length> dev {dev}")));
    Cause::new(Code::NoAddress, here, format!("{here} has no {family} address"), mend)
}

/// An interface takes no IPv6, and so has none of its addresses any more.
pub(super) fn ipv6_off(room: &Room, interface: &Interface) -> Cause {
    let here = &room.namespace;
    let what = format!("IPv6 is switched off for {} in {here} (disable_ipv6)", interface.name);
    let on = format!("sysctl -w net.ipv6.conf.{}.disable_ipv6=0", interface.name.replace('.', "/"));
    // its addresses do not come back by themselves
    let add = ip(room, &format!("address add <address>/<length> dev {}", interface.name));
    Cause::new(Code::Ipv6Off, here, what, Some(format!("{} && {add}", inside(room, &on))))
}

/// There is no route from here.
fn no_route(scene: &Scene, room: &Room, to: IpAddr) -> Cause {
    let here = &room.namespace;
    let v6 = to.is_ipv6();
    let off = |one: &Interface| {
        let what = format!("{} in {here} is down", one.name);
        Cause::new(Code::InterfaceDown, here, what, Some(ip(room, &format!("link set dev {} up", one.name))))
    };
    if let Some(lo) = room.interface("lo").filter(|lo| to.is_loopback() && !lo.up) {
        return off(lo);
    }
    let down = || outer(room).filter(|one| !one.up);
    // IPv6 loses its addresses with the interface
    let would = |one: &&Interface| one.addresses.iter().any(|own| own.contains(&to));
    if let Some(one) = down().find(would) {
        return off(one);
    }
    if !outer(room).any(|one| usable(one, v6)) {
        if let Some(one) = down().find(|one| addressed(one, v6)).or_else(|| down().find(|one| one.peer.is_some())) {
            return off(one);
        }
        return no_address(room, v6, outer(room).next().map(|one| one.name.as_str()));
    }
    if let Some(cause) = own_network(room, to) {
        return cause;
    }
    let mut suggested = None;
    for dev in outer(room).filter(|one| usable(one, v6)) {
        let wire = wire(scene, room, dev);
        let owner = wire.reached.iter().find(|end| end.interface.addresses.iter().any(|own| own.addr() == to));
        if let Some(theirs) = owner.and_then(|end| end.interface.addresses.iter().find(|own| own.addr() == to))
            && let Some(ours) = dev.addresses.iter().find(|own| theirs.contains(&own.addr()))
        {
            let what = format!(
                "{to}/{} is on the wire of {}, but the prefix of {ours} in {here} does not contain it",
                theirs.prefix_len(),
                dev.name
            );
            let add = ip(room, &format!("address add {}/{} dev {}", ours.addr(), theirs.prefix_len(), dev.name));
            // IPv6 has an address once, whatever its prefix
            let mend = match v6 {
                true => format!("{} && {add}", ip(room, &format!("address del {ours} dev {}", dev.name))),
                false => add,
            };
            return Cause::new(Code::WrongPrefix, here, what, Some(mend));
        }
        suggested = suggested.or_else(|| gateway(dev, &wire.reached, v6).map(|via| (via, dev.name.clone())));
    }
    if let Some(one) = down().find(|one| addressed(one, v6)) {
        return off(one);
    }
    let command = if v6 { "-6 route add default via" } else { "route add default via" };
    let mend = match suggested {
        Some((via, dev)) => ip(room, &format!("{command} {via} dev {dev}")),
        None => ip(room, &format!("{command} <gateway>")),
    };
    Cause::new(Code::NoRoute, here, format!("{here} has no route to {to}"), Some(mend))
}

/// The route to a network of its own, which comes with an address, is gone.
fn own_network(room: &Room, to: IpAddr) -> Option<Cause> {
    let here = &room.namespace;
    let up = outer(room).filter(|one| one.up).flat_map(|one| one.addresses.iter().map(move |own| (one, own)));
    let mut around = up.filter(|(_, own)| own.contains(&to) && own.addr() != to && !is_link_local(own.addr()));
    let (dev, own) = around.find(|(dev, own)| {
        let same = |route: &RouteEntry| route.to == own.trunc() && route.dev.as_ref() == Some(&dev.name);
        !room.routes.iter().any(same)
    })?;
    let network = own.trunc();
    let what = format!("{here} has the address {own} on {}, but not the route to {network}", dev.name);
    // as the kernel made it
    let rest = match own.addr() {
        IpAddr::V4(own) => format!("route add {network} dev {} proto kernel scope link src {own}", dev.name),
        IpAddr::V6(_) => format!("-6 route add {network} dev {} proto kernel metric 256", dev.name),
    };
    Some(Cause::new(Code::NoRoute, here, what, Some(ip(room, &rest))))
}

/// It came in, and goes nowhere.
fn not_passed_on(facts: &mut dyn Facts, scene: &Scene, room: &Room, flow: Flow, input: &str, error: &OpError) -> Cause {
    let here = &room.namespace;
    if let Some(own) = flow.source.filter(|ip| has(room, *ip)) {
        let what = format!("{here} has the address {own} itself, and takes no packets from it");
        let mend = room.interfaces.iter().find_map(|one| {
            let found = one.addresses.iter().find(|known| known.addr() == own)?;
            Some(ip(room, &format!("address del {found} dev {}", one.name)))
        });
        return Cause::new(Code::DuplicateAddress, here, what, mend);
    }
    // what is for this namespace is not passed on
    let stays = has(room, flow.destination);
    if let Some(cause) = (!stays).then(|| forwarding(facts, room, flow.v6(), input)).flatten() {
        return cause;
    }
    if let Some(cause) = reverse_path(facts, room, flow, input, error) {
        return cause;
    }
    if matches!(error.code, "ENETUNREACH" | "EHOSTUNREACH" | "ENETDOWN") {
        return no_route(scene, room, flow.destination);
    }
    let what = format!("{here} does not take {flow} from {input}: {}", error.words());
    Cause::new(Code::Unexplained, here, what, None)
}

/// The reverse path filter (RFC 3704): with 1 answers must leave where the packet came in, with 2 by any interface. Older
/// kernels say EXDEV, newer ones EINVAL, as for much else.
fn reverse_path(facts: &mut dyn Facts, room: &Room, flow: Flow, input: &str, error: &OpError) -> Option<Cause> {
    let here = &room.namespace;
    let source = flow.source.filter(|ip| ip.is_ipv4() && matches!(error.code, "EXDEV" | "EINVAL"))?;
    let mut value = |name: &str| {
        let value = facts.sysctl(here, &format!("net/ipv4/conf/{name}/rp_filter"));
        value.and_then(|value| value.trim().parse::<u8>().ok()).unwrap_or(0)
    };
    let filter = value("all").max(value(input));
    let back = Flow { source: None, destination: source, source_port: None, port: None, ..flow };
    let question = Question { namespace: here.clone(), flow: back, input: None, mark: 0 };
    let way = facts.route(&question).ok().and_then(|choice| choice.dev);
    let lost = match filter {
        0 => false,
        1 => way.as_deref() != Some(input),
        _ => way.is_none(),
    };
    if !lost && error.code != "EXDEV" {
        return None;
    }
    let way = way.map_or_else(|| "have no way".to_owned(), |dev| format!("leave by {dev}"));
    let what = format!("the reverse path filter of {input} in {here} drops it: answers to {source} {way}");
    let mend = format!("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{}.rp_filter=0", input.replace('.', "/"));
    Some(Cause::new(Code::RpFilter, here, what, Some(inside(room, &mend))))
}

/// Does this namespace pass on what comes in by an interface? net/ipv4/route.c asks the interface, net/ipv6/ip6_output.c
/// the namespace, unless the interface has `force_forwarding`.
pub(super) fn forwarding(facts: &mut dyn Facts, room: &Room, v6: bool, input: &str) -> Option<Cause> {
    let here = &room.namespace;
    let dotted = input.replace('.', "/");
    let mut is_off = |key: &str| facts.sysctl(here, key).is_some_and(|value| value.trim() == "0");
    let (off, key, family) = if v6 {
        let all = is_off("net/ipv6/conf/all/forwarding");
        let forced = facts.sysctl(here, &format!("net/ipv6/conf/{input}/force_forwarding"));
        let forced = forced.is_some_and(|value| value.trim() == "1");
        (all && !forced, "net.ipv6.conf.all.forwarding=1".to_owned(), "IPv6")
    } else {
        let off = is_off(&format!("net/ipv4/conf/{input}/forwarding"));
        (off, format!("net.ipv4.conf.{dotted}.forwarding=1"), "IPv4")
    };
    off.then(|| {
        let what = format!("{here} does not forward {family} that comes in by {input}");
        Cause::new(Code::ForwardingOff, here, what, Some(inside(room, &format!("sysctl -w {key}"))))
    })
}
