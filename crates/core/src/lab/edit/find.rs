//! What a typed name means in a lab: namespaces, switches, interfaces; and what to say if it means nothing.

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

use super::{Refused, one};
use crate::design::addresses;
use crate::design::wiring::{Holder, Wiring};
use crate::lab::check::did_you_mean;
use crate::lab::{At, End, Lab, Node};
use crate::name::{DEFAULT_LAB, IfName, NodeName};
use crate::problem::Problem;

/// Where an end stands in the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// `on:` of a node: the node, and which.
    On(usize, usize),
    /// An entry of `links:`, and which of its ends.
    Wire(usize, usize),
}

/// An interface with an end in the lab.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    pub slot: Slot,
    /// As the kernel knows it.
    pub name: IfName,
    /// All of them, chosen ones too.
    pub addresses: Vec<IpNet>,
    /// The node or switch at the other end.
    pub far: NodeName,
}

impl Slot {
    pub fn end(self, lab: &Lab) -> &End {
        match self {
            Slot::On(node, on) => &lab.nodes[node].on[on],
            Slot::Wire(link, end) => &lab.links[link].ends[end],
        }
    }

    pub fn end_mut(self, lab: &mut Lab) -> &mut End {
        match self {
            Slot::On(node, on) => &mut lab.nodes[node].on[on],
            Slot::Wire(link, end) => &mut lab.links[link].ends[end],
        }
    }
}

/// A command that goes with a problem, for the same lab.
pub(super) fn command(lab: &Lab, words: &str) -> String {
    match lab.name.as_str() {
        DEFAULT_LAB => format!("`raum {words}`"),
        name => format!("`raum {words} --lab {name}`"),
    }
}

fn namespaces(lab: &Lab) -> impl Iterator<Item = &str> + Clone {
    lab.nodes.iter().map(|node| node.name.as_str()).filter(|name| *name != "host")
}

fn switches(lab: &Lab) -> impl Iterator<Item = &str> + Clone {
    lab.switches.iter().map(|switch| switch.name.as_str())
}

pub(super) fn is_switch(lab: &Lab, name: &NodeName) -> bool {
    switches(lab).any(|switch| switch == name.as_str())
}

/// A namespace of the lab; not the host.
pub(super) fn namespace(lab: &Lab, name: &At<NodeName>) -> Refused<usize> {
    if let Some(index) = lab.nodes.iter().position(|node| node.name == *name && !name.is_host()) {
        return Ok(index);
    }
    let span = name.span.clone();
    if name.is_host() {
        return one(Problem::new("this is not possible for `host`", span)
            .label("the machine itself")
            .help("name a namespace of the lab"));
    }
    if is_switch(lab, name) {
        return one(Problem::new(format!("`{}` is a switch, not a namespace", name.value), span)
            .label("expected a namespace")
            .help(did_you_mean("", namespaces(lab), &command(lab, "ns add NAME"))));
    }
    let make = format!("{} makes it", command(lab, &format!("ns add {}", name.value)));
    one(Problem::new(format!("lab `{}` has no namespace `{}`", lab.name.value, name.value), span)
        .label("not there")
        .help(did_you_mean(name.as_str(), namespaces(lab), &make)))
}

/// A namespace of the lab, or the host, which gets a place in the lab for it.
pub(super) fn namespace_or_host(lab: &mut Lab, name: &At<NodeName>) -> Refused<usize> {
    if !name.is_host() {
        return namespace(lab, name);
    }
    if let Some(index) = lab.nodes.iter().position(|node| node.name.is_host()) {
        return Ok(index);
    }
    lab.nodes.push(Node::new(name.clone()));
    Ok(lab.nodes.len() - 1)
}

/// A switch of the lab.
pub(super) fn switch(lab: &Lab, name: &At<NodeName>) -> Refused<usize> {
    if let Some(index) = lab.switches.iter().position(|switch| switch.name == *name) {
        return Ok(index);
    }
    let span = name.span.clone();
    if namespaces(lab).any(|namespace| namespace == name.as_str()) || name.is_host() {
        return one(Problem::new(format!("`{}` is a namespace, not a switch", name.value), span)
            .label("expected a switch")
            .help(format!("{} joins two namespaces", command(lab, "connect A B"))));
    }
    let make = format!("{} makes it", command(lab, &format!("switch add {}", name.value)));
    one(Problem::new(format!("lab `{}` has no switch `{}`", lab.name.value, name.value), span)
        .label("not there")
        .help(did_you_mean(name.as_str(), switches(lab), &make)))
}

/// Whatever may be at the end of a link.
pub(super) fn node_or_switch(lab: &mut Lab, name: &At<NodeName>) -> Refused<()> {
    if is_switch(lab, name) {
        return Ok(());
    }
    if name.is_host() || namespaces(lab).any(|namespace| namespace == name.as_str()) {
        return namespace_or_host(lab, name).map(|_| ());
    }
    let make = format!("{} makes it", command(lab, &format!("ns add {}", name.value)));
    one(Problem::new(
        format!("lab `{}` has no namespace or switch `{}`", lab.name.value, name.value),
        name.span.clone(),
    )
    .label("not there")
    .help(did_you_mean(name.as_str(), namespaces(lab).chain(switches(lab)), &make)))
}

fn owner<'a>(lab: &'a Lab, holder: Holder<'a>) -> &'a str {
    match holder {
        Holder::Node(place) => place.as_str(),
        Holder::Switch(index) => lab.switches[index].name.as_str(),
    }
}

/// The interfaces of a node that stand in the lab; of a switch, its ports on links.
pub(super) fn interfaces(lab: &Lab, of: &str) -> Vec<Interface> {
    let mut wiring = Wiring::of(lab);
    addresses::assign(&mut wiring);
    let own = wiring.sides().filter(|(side, _)| owner(lab, side.owner) == of);
    let found = own.filter_map(|(side, far)| {
        Some(Interface {
            slot: slot(lab, side.end?)?,
            name: side.name.clone(),
            addresses: side.addresses.clone(),
            far: NodeName::new(owner(lab, far.owner)).ok()?,
        })
    });
    found.collect()
}

fn slot(lab: &Lab, end: &End) -> Option<Slot> {
    let is_it = |other: &End| std::ptr::eq(other, end);
    let on = lab.nodes.iter().enumerate().find_map(|(node, has)| Some(Slot::On(node, has.on.iter().position(is_it)?)));
    on.or_else(|| {
        let mut links = lab.links.iter().enumerate();
        links.find_map(|(link, has)| Some(Slot::Wire(link, has.ends.iter().position(is_it)?)))
    })
}

/// The interface that `NODE[:INTERFACE]` means; without a name the only one.
pub(super) fn interface(lab: &Lab, to: &At<NodeName>, name: Option<&At<IfName>>) -> Refused<Interface> {
    if !to.is_host() && !is_switch(lab, to) {
        namespace(lab, to)?;
    }
    let mut all = interfaces(lab, to.as_str());
    let Some(name) = name else {
        let words: Vec<String> = all.iter().map(|found| format!("`{}:{}`", to.value, found.name)).collect();
        return match (all.pop(), words.len()) {
            (Some(found), 1) => Ok(found),
            (None, _) => one(none(lab, to, to.span.clone())),
            _ => one(Problem::new(format!("which interface of `{}`?", to.value), to.span.clone())
                .label(format!("it has {}", words.len()))
                .help(format!("write {}", words.join(" or ")))),
        };
    };
    if let Some(at) = all.iter().position(|found| found.name == name.value) {
        return Ok(all.swap_remove(at));
    }
    if all.is_empty() {
        return one(none(lab, to, name.span.clone()));
    }
    let known: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
    one(Problem::new(format!("`{}` has no interface `{}`", to.value, name.value), name.span.clone())
        .label("not there")
        .help(did_you_mean(name.as_str(), known.into_iter(), "")))
}

fn none(lab: &Lab, to: &At<NodeName>, span: std::ops::Range<usize>) -> Problem {
    Problem::new(format!("`{}` has no interface that the lab gives it", to.value), span).help(format!(
        "{} or {} gives it one",
        command(lab, &format!("connect {} OTHER", to.value)),
        command(lab, &format!("attach {} SWITCH", to.value))
    ))
}

/// A gateway must be on the switch already.
pub(super) fn on_switch(lab: &Lab, gateway: &At<NodeName>, switch: &At<NodeName>) -> Refused<()> {
    namespace(lab, gateway)?;
    if interfaces(lab, gateway.as_str()).iter().any(|own| own.far == switch.value) {
        return Ok(());
    }
    let first = command(lab, &format!("attach {} {}", gateway.value, switch.value));
    let then = command(lab, &format!("gateway {} {}", switch.value, gateway.value));
    one(Problem::new(format!("`{}` is not on `{}`", gateway.value, switch.value), gateway.span.clone())
        .label("its members could not reach it")
        .help(format!("{first}, then {then}")))
}

/// The interfaces of every node, as [`interfaces`]: for steps that concern many at once.
pub(super) fn all_interfaces(lab: &Lab) -> BTreeMap<NodeName, Vec<Interface>> {
    let mut slots: HashMap<*const End, Slot> = HashMap::new();
    for (node, has) in lab.nodes.iter().enumerate() {
        slots.extend(has.on.iter().enumerate().map(|(on, end)| (std::ptr::from_ref(end), Slot::On(node, on))));
    }
    for (link, has) in lab.links.iter().enumerate() {
        slots.extend(has.ends.iter().enumerate().map(|(at, end)| (std::ptr::from_ref(end), Slot::Wire(link, at))));
    }
    let mut wiring = Wiring::of(lab);
    addresses::assign(&mut wiring);
    let mut all: BTreeMap<NodeName, Vec<Interface>> = BTreeMap::new();
    for (side, far) in wiring.sides().filter(|(side, _)| matches!(side.owner, Holder::Node(_))) {
        let slot = side.end.and_then(|end| slots.get(&std::ptr::from_ref(end)).copied());
        let names = (NodeName::new(owner(lab, side.owner)), NodeName::new(owner(lab, far.owner)));
        if let (Some(slot), (Ok(own), Ok(far))) = (slot, names) {
            let (name, addresses) = (side.name.clone(), side.addresses.clone());
            all.entry(own).or_default().push(Interface { slot, name, addresses, far });
        }
    }
    all
}

/// Writes down the names of a node's interfaces, so that they stay as they are when ends come or go.
pub(super) fn pin(lab: &mut Lab, owner: &NodeName) {
    pin_all(lab, std::slice::from_ref(owner));
}

/// As [`pin`], for many nodes.
pub(super) fn pin_all(lab: &mut Lab, owners: &[NodeName]) {
    let mut all = all_interfaces(lab);
    // what the host's ends are called follows from the other end, not from the order of the file
    for found in owners.iter().filter(|owner| !owner.is_host()).flat_map(|owner| all.remove(owner).unwrap_or_default())
    {
        let end = found.slot.end_mut(lab);
        let span = end.to.span.clone();
        end.interface.get_or_insert_with(|| At::new(found.name, span));
    }
}
