//! Routes, gateways, forwarding.

use std::net::IpAddr;

use ipnet::IpNet;

use super::find::{command, interfaces, is_switch, namespace, namespace_or_host, on_switch};
use super::{Refused, Words, end_of_line, expected, name, on_or_off, one, typed};
use crate::design::routes::default_route;
use crate::lab::parse::form::Gateway;
use crate::lab::{At, Lab, RouteSpec, Switch};
use crate::name::NodeName;
use crate::problem::Problem;
use crate::state::RouteKind;

/// The node, and the route after it.
fn node_and_route(lab: &mut Lab, words: &Words) -> Refused<(usize, Words)> {
    let (first, rest) = words.split_first();
    let node = name(&first, "a namespace")?;
    let index = namespace_or_host(lab, &node)?;
    expected(&rest, "a route, `default via 10.0.0.1`")?;
    Ok((index, rest))
}

pub(super) fn add(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (node, route) = node_and_route(lab, words)?;
    let route: At<RouteSpec> = typed::form(&route.text, route.at)?;
    let routes = &mut lab.nodes[node].routes;
    if !routes.contains(&route) {
        routes.push(route);
    }
    Ok(())
}

/// What is typed of a route that goes: the destination, and as much more as tells it from others.
struct Pattern {
    kind: Option<RouteKind>,
    /// None is `default` of any family.
    to: Option<IpNet>,
    via: Option<IpAddr>,
    dev: Option<String>,
    metric: Option<String>,
}

impl Pattern {
    fn read(words: &Words) -> Refused<Self> {
        let mut words = words.split().into_iter().peekable();
        let kind = match words.peek().map(|word| word.text.as_str()) {
            Some("blackhole") => Some(RouteKind::Blackhole),
            Some("unreachable") => Some(RouteKind::Unreachable),
            Some("prohibit") => Some(RouteKind::Prohibit),
            _ => None,
        };
        if kind.is_some() {
            words.next();
        }
        let Some(to) = words.next() else { return Ok(Self { kind, to: None, via: None, dev: None, metric: None }) };
        let mut pattern = Self { kind, to: None, via: None, dev: None, metric: None };
        if to.text != "default" {
            let net = to.text.parse::<IpNet>().or_else(|_| to.text.parse::<IpAddr>().map(IpNet::from));
            let wrong = || {
                Problem::new(format!("`{}` cannot be a destination", to.text), to.span())
                    .label("expected a prefix or `default`")
                    .help("write `default` or a prefix like 10.0.0.0/8")
            };
            pattern.to = Some(net.map_err(|_| vec![wrong()])?);
        }
        while let Some(word) = words.next() {
            let value = words.next();
            match (word.text.as_str(), value) {
                ("via", Some(via)) => pattern.via = Some(typed::form::<Gateway>(&via.text, via.at)?.value.0),
                ("dev", Some(dev)) => pattern.dev = Some(dev.text),
                ("metric", Some(metric)) => pattern.metric = Some(metric.text),
                _ => {
                    return one(Problem::new(format!("`{}` does not belong here", word.text), word.span())
                        .label("expected via, dev or metric, and a value")
                        .help("the destination is enough where only one route has it"));
                }
            }
        }
        Ok(pattern)
    }

    fn matches(&self, route: &RouteSpec) -> bool {
        let is_default = |net: &IpNet| *net == default_route(net.addr().is_ipv6());
        let to = match (&self.to, &route.to) {
            (Some(typed), Some(to)) => typed.trunc() == to.trunc(),
            (Some(typed), None) => {
                is_default(typed) && route.via.is_none_or(|via| via.is_ipv6() == typed.addr().is_ipv6())
            }
            (None, to) => to.as_ref().is_none_or(is_default),
        };
        to && self.kind.is_none_or(|kind| kind == route.kind)
            && (self.via.is_none() || self.via == route.via)
            && self.dev.as_ref().is_none_or(|dev| route.dev.as_ref().is_some_and(|own| own.as_str() == dev))
            && self.metric.as_ref().is_none_or(|metric| route.metric.is_some_and(|own| own.to_string() == *metric))
    }
}

pub(super) fn del(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (node, typed) = node_and_route(lab, words)?;
    let pattern = Pattern::read(&typed)?;
    let node = &mut lab.nodes[node];
    let name = &node.name.value;
    let all: Vec<String> = node.routes.iter().map(|route| format!("`{}`", route.value)).collect();
    let meant: Vec<usize> = (0..node.routes.len()).filter(|&at| pattern.matches(&node.routes[at])).collect();
    match meant.as_slice() {
        [at] => {
            node.routes.remove(*at);
            Ok(())
        }
        [] => {
            let problem =
                Problem::new(format!("`{name}` has no such route in the lab"), typed.span()).label("not there");
            let is_gateway = typed.text == "default" && !node.gateways.is_empty();
            one(match all.as_slice() {
                _ if is_gateway => {
                    let words = format!("gateway {name} --none");
                    problem
                        .help(format!("its default route is that of its gateway: {} removes it", command(lab, &words)))
                }
                [] => problem.help("it has none: those by a gateway or to neighbours are not listed here"),
                all => problem.help(format!("there is {}", all.join(", "))),
            })
        }
        _ => {
            let these: Vec<&str> = meant.iter().map(|&at| all[at].as_str()).collect();
            one(Problem::new(format!("`{name}` has {} such routes", these.len()), typed.span())
                .label("which one?")
                .help(format!("write {}", these.join(" or "))))
        }
    }
}

/// Of a switch a node, of a node an address of each family.
pub(super) fn set_gateway(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (first, rest) = words.split_first();
    let of = name(&first, "a switch or a namespace")?;
    if is_switch(lab, &of) {
        let (gateway, more) = rest.split_first();
        expected(&gateway, "who is the gateway: a namespace, or `host`")?;
        let gateway: At<NodeName> = typed::form(&gateway.text, gateway.at)?;
        end_of_line(&more)?;
        let lives_there = |switch: &&Switch| switch.name == of && switch.place.as_ref() == Some(&gateway);
        if !gateway.is_host() && lab.switches.iter().find(lives_there).is_none() {
            on_switch(lab, &gateway, &of)?;
        }
        for switch in lab.switches.iter_mut().filter(|switch| switch.name == of) {
            if switch.gateway.as_ref() != Some(&gateway) {
                switch.gateway = Some(gateway.clone());
            }
        }
        return Ok(());
    }
    let index = namespace(lab, &of)?;
    expected(&rest, "the address of a gateway, 10.0.0.1 or fd00::1")?;
    for word in rest.split() {
        if let Some(problem) = is_a_name(lab, &of, &word) {
            return one(problem);
        }
        let gateway: At<Gateway> = typed::form(&word.text, word.at)?;
        let gateway = At::new(gateway.value.0, gateway.span);
        let gateways = &mut lab.nodes[index].gateways;
        if !gateways.contains(&gateway) {
            gateways.retain(|other| other.is_ipv4() != gateway.is_ipv4());
            gateways.push(gateway);
        }
    }
    Ok(())
}

/// A node's name in the place of its address: the address, if both are on one network.
fn is_a_name(lab: &Lab, of: &At<NodeName>, word: &Words) -> Option<Problem> {
    let node = lab.nodes.iter().find(|node| node.name.as_str() == word.text && word.text != "host")?;
    let own: Vec<IpNet> = interfaces(lab, of.as_str()).into_iter().flat_map(|own| own.addresses).collect();
    let theirs = interfaces(lab, node.name.as_str()).into_iter().flat_map(|own| own.addresses);
    let near = theirs.map(|net| net.addr()).find(|ip| own.iter().any(|net| net.contains(ip)));
    let problem = Problem::new("the gateway of a namespace is an address", word.span()).label("a name");
    Some(match near {
        Some(ip) => problem.help(format!("did you mean {ip}?")),
        None => problem.help(format!("`{}` has no address on a network that both are on", node.name.value)),
    })
}

pub(super) fn del_gateway(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (first, rest) = words.split_first();
    let of = name(&first, "a switch or a namespace")?;
    end_of_line(&rest)?;
    if is_switch(lab, &of) {
        lab.switches.iter_mut().filter(|switch| switch.name == of).for_each(|switch| switch.gateway = None);
    } else {
        let index = namespace(lab, &of)?;
        lab.nodes[index].gateways.clear();
    }
    Ok(())
}

pub(super) fn forwarding(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (first, rest) = words.split_first();
    let of = name(&first, "a namespace")?;
    let index = namespace(lab, &of)?;
    let (value, rest) = rest.split_first();
    end_of_line(&rest)?;
    let on = on_or_off(&value)?;
    lab.nodes[index].forwarding = Some(At::new(on, value.span()));
    Ok(())
}
