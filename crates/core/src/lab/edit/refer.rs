//! What refers to something that goes: told, or removed with it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

use super::find::interfaces;
use super::{Force, Refused, Words, filter, one};
use crate::design::addresses;
use crate::design::routes::on_link;
use crate::design::rules::way_from_host;
use crate::design::wiring::{Holder, Place, Wiring};
use crate::lab::{At, FilterRule, Lab, Node, RouteSpec};
use crate::name::{IfName, NodeName};
use crate::problem::Problem;
use crate::state::RouteKind;

/// The lab before something goes: what was wrong already is not this step's doing.
pub(super) struct Before(Lab);

/// Something that refers to what is not there.
struct Reference {
    span: Range<usize>,
    what: String,
}

impl Before {
    pub fn of(lab: &Lab) -> Self {
        Self(lab.clone())
    }
}

/// Removes what refers to things that are gone, if it is to go too; else says what it is.
pub(super) fn settle(lab: &mut Lab, before: &Before, words: &Words, force: Force) -> Refused<()> {
    let mut found = Vec::new();
    // a switch that goes takes attachments along, and these the routes through them
    loop {
        let more = prune(lab, before);
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    if found.is_empty() || force == Force::Yes {
        return Ok(());
    }
    let list: Vec<&str> = found.iter().map(|reference| reference.what.as_str()).take(5).collect();
    let more = if found.len() > list.len() { format!(" and {} more", found.len() - list.len()) } else { String::new() };
    let mut problem = Problem::new(format!("still in use: {}{more}", list.join(", ")), words.span())
        .label("not removed")
        .help("change those first, or let them go too with --force");
    for reference in found.iter().filter(|reference| !reference.span.is_empty()).take(5) {
        problem = problem.related(reference.span.clone(), "here");
    }
    one(problem)
}

fn prune(lab: &mut Lab, before: &Before) -> Vec<Reference> {
    let mut found = Vec::new();
    places(lab, &mut found);
    attachments(lab, &mut found);
    switch_gateways(lab, &mut found);
    next_hops(lab, &before.0, &mut found);
    named_interfaces(lab, &before.0, &mut found);
    forwards(lab, &mut found);
    published(lab, &before.0, &mut found);
    groups(lab, &mut found);
    filters(lab, &mut found);
    found
}

fn has_node(lab: &Lab, name: &NodeName) -> bool {
    name.is_host() || lab.nodes.iter().any(|node| node.name.value == *name)
}

/// Switches in namespaces that are gone.
fn places(lab: &mut Lab, found: &mut Vec<Reference>) {
    let nodes: Vec<NodeName> = lab.nodes.iter().map(|node| node.name.value.clone()).collect();
    lab.switches.retain(|switch| match &switch.place {
        Some(place) if !place.is_host() && !nodes.contains(&place.value) => {
            let what = format!("switch `{}` lives in it", switch.name.value);
            found.push(Reference { span: switch.name.span.clone(), what });
            false
        }
        _ => true,
    });
}

/// `on:` a switch, and links to one, that is gone.
fn attachments(lab: &mut Lab, found: &mut Vec<Reference>) {
    let switches: Vec<NodeName> = lab.switches.iter().map(|switch| switch.name.value.clone()).collect();
    for node in &mut lab.nodes {
        let name = &node.name.value;
        node.on.retain(|end| {
            let is_there = switches.contains(&end.to.value);
            if !is_there {
                found.push(Reference { span: end.to.span.clone(), what: format!("`{name}` is on `{}`", end.to.value) });
            }
            is_there
        });
    }
    let nodes: Vec<NodeName> = lab.nodes.iter().map(|node| node.name.value.clone()).collect();
    lab.links.retain(|link| {
        let gone = link
            .ends
            .iter()
            .find(|end| !end.to.is_host() && !nodes.contains(&end.to.value) && !switches.contains(&end.to.value));
        let Some(end) = gone else { return true };
        let [a, b] = &link.ends;
        let what = format!("a link joins `{}` and `{}`", a.to.value, b.to.value);
        found.push(Reference { span: end.to.span.clone(), what });
        false
    });
}

/// The gateway of a switch must be on it.
fn switch_gateways(lab: &mut Lab, found: &mut Vec<Reference>) {
    for index in 0..lab.switches.len() {
        let switch = &lab.switches[index];
        let Some(gateway) = &switch.gateway else { continue };
        let home = switch.place.as_ref().map_or(Place::Host, |place| Place::of(place));
        let is_on = || interfaces(lab, gateway.as_str()).iter().any(|own| own.far == switch.name.value);
        if home == Place::of(gateway) || (has_node(lab, gateway) && is_on()) {
            continue;
        }
        let what = format!("`{}` is the gateway of `{}`", gateway.value, switch.name.value);
        found.push(Reference { span: gateway.span.clone(), what });
        lab.switches[index].gateway = None;
    }
}

/// Gateways and routes of nodes whose next hop or interface is no longer there.
fn next_hops(lab: &mut Lab, before: &Lab, found: &mut Vec<Reference>) {
    let (old, new) = (reach(before), reach(lab));
    let lost = |node: &Node, via: IpAddr| {
        let place = Place::of(&node.name);
        on_link(&old, place, via).is_some() && on_link(&new, place, via).is_none()
    };
    let lost_dev =
        |node: &Node, dev: &IfName| has_interface(&old, &node.name, dev) && !has_interface(&new, &node.name, dev);
    let lost_route = |node: &Node, route: &RouteSpec| {
        let dev = route.dev.as_ref().is_some_and(|dev| lost_dev(node, dev));
        let via = route.via.filter(|_| route.kind == RouteKind::Unicast).is_some_and(|via| lost(node, via));
        dev || via
    };
    let mut gone: Vec<(usize, Vec<IpAddr>, Vec<RouteSpec>)> = Vec::new();
    for (index, node) in lab.nodes.iter().enumerate() {
        let gateways = node.gateways.iter().filter(|via| lost(node, via.value));
        let routes = node.routes.iter().filter(|route| lost_route(node, route));
        let name = &node.name.value;
        found.extend(gateways.clone().map(|via| Reference {
            span: via.span.clone(),
            what: format!("{} is the gateway of `{name}`", via.value),
        }));
        found.extend(routes.clone().map(|route| Reference {
            span: route.span.clone(),
            what: format!("`{name}` has the route {}", route.value),
        }));
        gone.push((index, gateways.map(|via| via.value).collect(), routes.map(|route| route.value.clone()).collect()));
    }
    for (index, gateways, routes) in gone {
        lab.nodes[index].gateways.retain(|via| !gateways.contains(&via.value));
        lab.nodes[index].routes.retain(|route| !routes.contains(&route.value));
    }
}

fn reach(lab: &Lab) -> Wiring<'_> {
    let mut wiring = Wiring::of(lab);
    addresses::assign(&mut wiring);
    wiring
}

fn has_interface(wiring: &Wiring<'_>, node: &NodeName, dev: &IfName) -> bool {
    let place = Place::of(node);
    let bridges = wiring.bridges.iter().any(|bridge| bridge.place == place && bridge.name == *dev);
    bridges || wiring.sides().any(|(side, _)| side.owner == Holder::Node(place) && side.name == *dev)
}

/// Interfaces of routers that NAT and forwards name.
fn named_interfaces(lab: &mut Lab, before: &Lab, found: &mut Vec<Reference>) {
    let (old, new) = (reach(before), reach(lab));
    let lost = |node: &NodeName, dev: &IfName| has_interface(&old, node, dev) && !has_interface(&new, node, dev);
    let mut gone: Vec<(usize, bool, Vec<bool>)> = Vec::new();
    for (index, node) in lab.nodes.iter().enumerate() {
        let name = &node.name.value;
        let out = node.nat.as_ref().and_then(|nat| nat.out.as_ref()).filter(|out| lost(name, &out.value));
        found.extend(out.iter().map(|out| Reference {
            span: out.span.clone(),
            what: format!("`{name}` translates what leaves by {}", out.value),
        }));
        let kept = node.forward.iter().map(|forward| {
            let interface = forward.interface.as_ref().filter(|interface| lost(name, &interface.value));
            found.extend(interface.iter().map(|interface| Reference {
                span: interface.span.clone(),
                what: format!("`{name}` forwards {}", forward.value),
            }));
            interface.is_none()
        });
        let kept: Vec<bool> = kept.collect();
        gone.push((index, out.is_some(), kept));
    }
    for (index, nat, kept) in gone {
        let node = &mut lab.nodes[index];
        if nat {
            node.nat = None;
        }
        let mut kept = kept.into_iter();
        node.forward.retain(|_| kept.next().unwrap_or(true));
    }
}

/// Ports that lead to a namespace that is gone.
fn forwards(lab: &mut Lab, found: &mut Vec<Reference>) {
    let nodes: Vec<NodeName> = lab.nodes.iter().map(|node| node.name.value.clone()).collect();
    for node in &mut lab.nodes {
        let name = &node.name.value;
        node.forward.retain(|forward| {
            let is_there = forward.node.is_host() || nodes.contains(&forward.node.value);
            if !is_there {
                let what = format!("`{name}` forwards {}", forward.value);
                found.push(Reference { span: forward.node.span.clone(), what });
            }
            is_there
        });
    }
}

/// Published ports to which the host has no way any more.
fn published(lab: &mut Lab, before: &Lab, found: &mut Vec<Reference>) {
    let (old, new) = (reach(before), reach(lab));
    let has_way = |wiring: &Wiring<'_>, name: &NodeName| {
        [false, true].into_iter().any(|v6| way_from_host(wiring, name, v6).is_some())
    };
    let lost = |node: &&Node| has_way(&old, &node.name) && !has_way(&new, &node.name);
    let nodes: Vec<NodeName> = lab.nodes.iter().filter(lost).map(|node| node.name.value.clone()).collect();
    for node in lab.nodes.iter_mut().filter(|node| nodes.contains(&node.name.value)) {
        let name = &node.name.value;
        found.extend(node.publish.iter().map(|port| Reference {
            span: port.span.clone(),
            what: format!("`{name}` has the port {} of the host", port.value),
        }));
        node.publish.clear();
    }
}

/// Members of groups that are gone; nobody left in a group is no group.
fn groups(lab: &mut Lab, found: &mut Vec<Reference>) {
    let known = known(lab);
    for group in &mut lab.groups {
        let name = &group.name.value;
        group.members.retain(|member| {
            let is_there = known.contains(&member.value);
            if !is_there {
                let what = format!("`{}` is in group `{name}`", member.value);
                found.push(Reference { span: member.span.clone(), what });
            }
            is_there
        });
    }
    lab.groups.retain(|group| !group.members.is_empty());
}

/// Namespaces and switches.
fn known(lab: &Lab) -> BTreeSet<NodeName> {
    let nodes = lab.nodes.iter().map(|node| &node.name.value);
    let all = nodes.chain(lab.switches.iter().map(|switch| &switch.name.value)).cloned();
    all.chain(NodeName::new("host")).collect()
}

/// Filter rules that name what is gone.
fn filters(lab: &mut Lab, found: &mut Vec<Reference>) {
    let mut known = known(lab);
    known.extend(lab.groups.iter().map(|group| group.name.value.clone()));
    let mut keep = |rule: &At<FilterRule>| {
        let is_whole = filter::names(rule).all(|name| known.contains(name));
        if !is_whole {
            found.push(Reference { span: rule.span.clone(), what: format!("the filter rule {}", rule.value) });
        }
        is_whole
    };
    let filters = lab.nodes.iter_mut().filter_map(|node| node.filter.as_mut()).chain(&mut lab.filter);
    for filter in filters {
        filter.allow.retain(&mut keep);
        filter.deny.retain(&mut keep);
    }
}
