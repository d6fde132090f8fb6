//! Written addresses: each where it can be, and once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::family;
use super::scene::{Attachment, Scene, moved};
use crate::design::addresses::Usable;
use crate::design::wiring::{Holder, Side};
use crate::lab::{Address, At, Switch};
use crate::problem::Problem;
use crate::state::RouteKind;

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for (side, far) in scene.wiring.sides() {
        let switch = match far.owner {
            Holder::Switch(index) => Some(scene.lab.switches.get(index)).flatten(),
            Holder::Node(_) => None,
        };
        for address in side.end.into_iter().flat_map(|end| &end.addresses) {
            problems.extend(match side.owner {
                Holder::Switch(_) => Some(
                    Problem::new("the port of a switch has no address", address.span.clone())
                        .label("this end is a switch")
                        .help("write it at the other end; `gateway:` gives the switch's own interface an address"),
                ),
                Holder::Node(_) => one(address, switch, far),
            });
        }
    }
    twice(scene, problems);
    strangers(scene, problems);
}

/// RFC 3927 and RFC 4291, section 2.5.6.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

/// The problem of one address, if it has one.
fn one(address: &At<Address>, switch: Option<&Switch>, far: &Side<'_>) -> Option<Problem> {
    let Address { ip, prefix_len } = address.value;
    let problem = |message: String| Problem::new(message, address.span.clone());
    let v6 = ip.is_ipv6();
    let subnet = switch.and_then(|s| s.subnets.iter().find(|net| net.addr().is_ipv6() == v6));
    let instead = |help: &str| match subnet {
        Some(_) => "leave it out: one of the subnet is chosen then".to_owned(),
        None => help.to_owned(),
    };
    let why = if ip.is_unspecified() {
        Some("it means no address at all")
    } else if ip.is_multicast() {
        Some("it is for multicast")
    } else if ip.is_loopback() {
        Some("it is the loopback's")
    } else if is_link_local(ip) {
        Some("it is for a single link; the kernel makes such addresses itself")
    } else if ip == IpAddr::from(std::net::Ipv4Addr::BROADCAST) {
        Some("it means all at once")
    } else {
        None
    };
    if let Some(why) = why {
        return problem(format!("no interface can have {ip}"))
            .label(why)
            .help(instead("take one for private use, like 10.0.0.1/24 or fd00::1/64"))
            .into();
    }
    let longest = if v6 { 128 } else { 32 };
    if prefix_len.is_some_and(|len| len > longest) {
        return problem(format!("{ip} has a prefix length that {} does not have", family(v6)))
            .label(format!("0 to {longest} is possible"))
            .help(format!("/{} is usual", if v6 { 64 } else { 24 }))
            .into();
    }
    match (prefix_len, subnet, switch) {
        (None, None, Some(switch)) => {
            let usual = IpNet::new(ip, if v6 { 64 } else { 24 }).map_or(String::new(), |net| net.to_string());
            return problem(format!("{ip} has no prefix length, and `{}` no {} subnet", switch.name.value, family(v6)))
                .label("how big is its network?")
                .help(format!("write it with the length, like {usual}, or give the switch a `subnet`"))
                .into();
        }
        (None, None, None) => {
            let other = far.addresses.iter().find(|net| net.addr().is_ipv6() == v6 && net.prefix_len() < longest);
            let len = other.map_or(if v6 { 64 } else { 24 }, IpNet::prefix_len);
            return problem(format!("{ip} has no prefix length"))
                .label("on a link there is no subnet to take it from")
                .help(format!("did you mean {ip}/{len}?"))
                .into();
        }
        (_, Some(subnet), Some(switch)) if !subnet.contains(&ip) => {
            let near = moved(ip, subnet.value).filter(|near| named(*near, subnet.value).is_none());
            return problem(format!("{ip} is outside of the subnet of `{}`", switch.name.value))
                .label(format!("`{}` has {}", switch.name.value, subnet.value))
                .related(subnet.span.clone(), "the subnet")
                .help(match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => instead(""),
                })
                .into();
        }
        _ => {}
    }
    let net = match (prefix_len, subnet) {
        (Some(len), _) => IpNet::new(ip, len).ok()?,
        (None, Some(subnet)) => subnet.value,
        (None, None) => return None,
    };
    let what = named(ip, net).or_else(|| named(ip, subnet?.value))?;
    let usable = Usable::of(net.trunc());
    let (first, last) = (usable.address(usable.first), usable.address(usable.last));
    // of a large network raum itself chooses from the beginning, while a person may take any
    let possible = if v6 && net.max_prefix_len() - net.prefix_len() > 16 {
        format!("any other of {} is possible, like {first}", net.trunc())
    } else {
        format!("{first} to {last} are possible")
    };
    problem(format!("{ip} is the {what} of {}", net.trunc())).label("no interface can have it").help(possible).into()
}

/// What an address of a network means, if not an interface.
fn named(ip: IpAddr, net: IpNet) -> Option<&'static str> {
    // both addresses of a /31 or /127 are interfaces' (RFC 3021, RFC 6164)
    if net.max_prefix_len() - net.prefix_len() < 2 {
        return None;
    }
    match net {
        IpNet::V4(net) if ip == net.network() => Some("network address"),
        IpNet::V4(net) if ip == net.broadcast() => Some("broadcast address"),
        IpNet::V6(net) if ip == net.network() => Some("subnet-router anycast address"),
        _ => None,
    }
}

/// One address for two interfaces of a network, or of a node.
fn twice(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    type Key<'s> = (Option<usize>, Option<&'s str>, IpAddr);
    let mut seen: HashMap<Key<'_>, (&Attachment<'_>, Range<usize>)> = HashMap::new();
    // those that the file gives, then those that were chosen: the caret shall stand under what somebody wrote
    let all = || scene.attachments.iter().flat_map(|a| a.addresses.iter().map(move |p| (a, p)));
    for (at, placed) in all().filter(|(_, p)| !p.written).chain(all().filter(|(_, p)| p.written)) {
        let ip = placed.net.addr();
        let (network, node) = ((Some(at.segment), None, ip), (None, Some(at.place.as_str()), ip));
        if let Some((first, span)) = seen.get(&network).or_else(|| seen.get(&node)) {
            let of = |at: &Attachment<'_>| format!("{} of `{}`", at.name, at.place.as_str());
            let label = format!("{} has it", of(first));
            problems.push(
                Problem::new(format!("{ip} is given twice: to {} and to {}", of(first), of(at)), placed.span.clone())
                    .label(label)
                    .related(span.clone(), "first here")
                    .help(match at.switch.is_some_and(|s| s.subnets.iter().any(|net| net.contains(&ip))) {
                        true => "choose another one, or leave it out: a free one is chosen then",
                        false => "choose another one",
                    }),
            );
            continue;
        }
        seen.insert(network, (at, placed.span.clone()));
        seen.insert(node, (at, placed.span.clone()));
    }
}

/// The two ends of a link on different networks cannot speak to each other, unless a route says so.
fn strangers(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for [a, b] in &scene.wiring.pairs {
        let (Holder::Node(one), Holder::Node(other)) = (a.owner, b.owner) else { continue };
        if one == other {
            // who is both ends may want two networks
            continue;
        }
        for v6 in [false, true] {
            let nets = |side: &Side<'_>| -> Vec<IpNet> {
                side.addresses.iter().filter(|net| net.addr().is_ipv6() == v6).copied().collect()
            };
            let (near, far) = (nets(a), nets(b));
            let (Some(first), Some(second)) = (near.first(), far.first()) else { continue };
            let full = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
            let meets = |x: &[IpNet], y: &[IpNet]| x.iter().any(|x| y.iter().any(|y| x.contains(&y.addr())));
            let by_route = |side: &Side<'_>, to: &[IpNet]| {
                let routes = scene.node(side.place.as_str()).into_iter().flat_map(|node| &node.routes);
                let mut direct = routes.filter(|r| r.kind == RouteKind::Unicast && r.dev.as_ref() == Some(&side.name));
                direct.any(|r| to.iter().any(|y| r.to.is_none_or(|to| to.contains(&y.addr()))))
            };
            let all_full = near.iter().chain(&far).any(full);
            if all_full || meets(&near, &far) || meets(&far, &near) || by_route(a, &far) || by_route(b, &near) {
                continue;
            }
            let span = |side: &Side<'_>, net: &IpNet| {
                let written = side.end.and_then(|end| end.addresses.iter().find(|x| x.ip == net.addr()));
                written.map_or(0..0, |x| x.span.clone())
            };
            let near = moved(second.addr(), *first)
                .filter(|ip| *ip != first.addr() && named(*ip, *first).is_none())
                .map(|ip| format!("did you mean {ip}/{}?", first.prefix_len()));
            problems.push(
                Problem::new(format!("{first} and {second} are on different networks"), span(b, second))
                    .label("the two ends of this link could not speak to each other")
                    .related(span(a, first), "the other end")
                    .help(near.unwrap_or_else(|| format!("take another address of {}", first.trunc()))),
            );
        }
    }
}
