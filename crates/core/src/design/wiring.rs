//! Wiring: which veth pairs and bridges a lab has, where each end lives, and what it is called. The rest of the design, and
//! the checks, speak of interfaces only through this.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::names::{Taken, on_host};
use crate::lab::{End, Lab, Node, Switch, Wire};
use crate::name::{IfName, LabName, NodeName, NsId};

/// A lab's interfaces.
pub(crate) struct Wiring<'a> {
    pub(crate) lab: &'a Lab,
    /// One per switch, in the order of the file.
    pub(crate) bridges: Vec<Bridge<'a>>,
    /// `on:` entries in the order of their nodes, then `links:`. What names an unknown node or switch is left out.
    pub(crate) pairs: Vec<[Side<'a>; 2]>,
    /// The interfaces of each node, as indices of pair and end: a lab has thousands.
    of_node: BTreeMap<&'a str, Vec<(usize, usize)>>,
    /// The interfaces of nodes on each switch, likewise.
    on_switch: Vec<Vec<(usize, usize)>>,
}

/// A bridge.
pub(crate) struct Bridge<'a> {
    pub(crate) switch: &'a Switch,
    pub(crate) place: Place<'a>,
    pub(crate) name: IfName,
    pub(crate) altname: Option<String>,
    /// Those of the gateway, if the gateway is where the bridge is.
    pub(crate) addresses: Vec<IpNet>,
}

/// One end of a veth pair.
pub(crate) struct Side<'a> {
    pub(crate) owner: Holder<'a>,
    pub(crate) place: Place<'a>,
    pub(crate) name: IfName,
    pub(crate) altname: Option<String>,
    /// As written; none for the switch's side of an `on:`.
    pub(crate) end: Option<&'a End>,
    /// The entry of `links:`; none for an `on:`.
    pub(crate) wire: Option<&'a Wire>,
    pub(crate) addresses: Vec<IpNet>,
}

/// Whose an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder<'a> {
    /// An interface of a node.
    Node(Place<'a>),
    /// A port of a switch, by its index in [`Wiring::bridges`].
    Switch(usize),
}

/// Where something lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place<'a> {
    /// The namespace that raum was started in.
    Host,
    /// A namespace of the lab.
    Node(&'a NodeName),
}

impl<'a> Place<'a> {
    pub(crate) fn of(name: &'a NodeName) -> Self {
        if name.is_host() { Place::Host } else { Place::Node(name) }
    }

    pub(crate) fn as_str(&self) -> &'a str {
        match self {
            Place::Host => "host",
            Place::Node(name) => name.as_str(),
        }
    }

    pub(crate) fn ns(&self, lab: &LabName) -> NsId {
        match self {
            Place::Host => NsId::Host,
            Place::Node(name) => NsId::of(lab, name),
        }
    }
}

impl Side<'_> {
    /// Is this an interface of that node?
    pub(crate) fn is_of(&self, place: Place<'_>) -> bool {
        self.owner == Holder::Node(place)
    }

    /// Is it taken down?
    pub(crate) fn is_down(&self) -> bool {
        self.end.is_some_and(End::is_down)
    }
}

/// An end whose name is still to be found.
struct Draft<'a> {
    owner: Holder<'a>,
    place: Place<'a>,
    end: Option<&'a End>,
    wire: Option<&'a Wire>,
    name: Option<IfName>,
}

impl<'a> Wiring<'a> {
    /// Finds every pair and bridge, and names them.
    ///
    /// Written names come first, then bridges, then eth0, eth1, … inside namespaces, then ports and host ends, which are
    /// called after what is at the other end: so no derived name takes a written one.
    pub(crate) fn of(lab: &'a Lab) -> Self {
        let mut drafts = drafts(lab);
        let mut taken: BTreeMap<Place<'a>, Taken> = BTreeMap::new();
        for draft in drafts.iter_mut().flatten() {
            if let Some(name) = draft.end.and_then(|end| end.interface.as_ref()) {
                taken.entry(draft.place).or_default().written(name);
                draft.name = Some(name.value.clone());
            }
        }
        let mut bridges = Vec::with_capacity(lab.switches.len());
        for switch in &lab.switches {
            let place = home(switch);
            let full = qualified(&lab.name, place, switch.name.as_str());
            let (name, altname) = taken.entry(place).or_default().derive(&full);
            bridges.push(Bridge { switch, place, name, altname, addresses: Vec::new() });
        }
        for draft in drafts.iter_mut().flatten() {
            if draft.name.is_none()
                && let Holder::Node(place @ Place::Node(_)) = draft.owner
            {
                draft.name = Some(taken.entry(place).or_default().next_eth());
            }
        }
        let pairs: Vec<_> = drafts.into_iter().map(|pair| name_pair(lab, pair, &mut taken)).collect();
        let mut of_node: BTreeMap<&'a str, Vec<(usize, usize)>> = BTreeMap::new();
        let mut on_switch = vec![Vec::new(); bridges.len()];
        for (index, pair) in pairs.iter().enumerate() {
            for (end, far) in [(0, 1), (1, 0)] {
                if let Holder::Node(place) = pair[end].owner {
                    of_node.entry(place.as_str()).or_default().push((index, end));
                    if let Holder::Switch(switch) = pair[far].owner {
                        on_switch[switch].push((index, end));
                    }
                }
            }
        }
        Self { lab, bridges, pairs, of_node, on_switch }
    }

    /// Every end with the one that it is connected to, in order.
    pub(crate) fn sides(&self) -> impl Iterator<Item = (&Side<'a>, &Side<'a>)> {
        self.pairs.iter().flat_map(|[a, b]| [(a, b), (b, a)])
    }

    /// The interfaces of a node with what is at their other ends: `on:` first, then `links:`.
    pub(crate) fn interfaces<'w>(&'w self, place: Place<'_>) -> impl Iterator<Item = (&'w Side<'a>, &'w Side<'a>)> {
        let own = self.of_node.get(place.as_str()).map_or(&[][..], Vec::as_slice);
        own.iter().map(|&(pair, end)| (&self.pairs[pair][end], &self.pairs[pair][1 - end]))
    }

    /// The interfaces of nodes on a switch, by the switch's index.
    pub(crate) fn members(&self, switch: usize) -> impl Iterator<Item = &Side<'a>> {
        self.on_switch[switch].iter().map(|&(pair, end)| &self.pairs[pair][end])
    }

    /// As [`Self::members`], to change them.
    pub(crate) fn member_mut(&mut self, switch: usize, index: usize) -> Option<&mut Side<'a>> {
        let &(pair, end) = self.on_switch[switch].get(index)?;
        Some(&mut self.pairs[pair][end])
    }

    /// The bridges whose interface is the host's own, as gateway of their members.
    pub(crate) fn host_gateways(&self) -> impl Iterator<Item = (usize, &Bridge<'a>)> {
        self.bridges.iter().enumerate().filter(|(_, b)| b.place == Place::Host && b.is_gateway())
    }

    /// The interfaces with addresses that a node has in the lab: its own, then bridges that live with it.
    pub(crate) fn addressed<'w>(&'w self, place: Place<'_>) -> impl Iterator<Item = (&'w IfName, &'w [IpNet])> {
        let own = self.interfaces(place).map(|(side, _)| (&side.name, side.addresses.as_slice()));
        let bridges = self.bridges.iter().filter(move |b| b.place == place);
        own.chain(bridges.map(|b| (&b.name, b.addresses.as_slice()))).filter(|(_, addresses)| !addresses.is_empty())
    }

    /// Is the node the gateway of a switch?
    pub(crate) fn is_gateway(&self, node: &Node) -> bool {
        self.lab.switches.iter().any(|s| s.gateway.as_ref().is_some_and(|g| g.value == node.name.value))
    }

    /// Does the node pass packets on, by its own word or because something else needs it?
    pub(crate) fn forwards(&self, node: &Node) -> bool {
        let implied = || self.is_gateway(node) || node.nat.is_some() || !node.forward.is_empty();
        node.forwarding.as_ref().map_or_else(implied, |f| f.value)
    }
}

impl Bridge<'_> {
    /// Are its members kept apart?
    pub(crate) fn is_isolated(&self) -> bool {
        self.switch.isolated.as_ref().is_some_and(|isolated| isolated.value)
    }

    /// Does the gateway live where the bridge does, so that the bridge's own interface is the gateway's?
    pub(crate) fn is_gateway(&self) -> bool {
        self.switch.gateway.as_ref().is_some_and(|gateway| Place::of(gateway) == self.place)
    }
}

/// Where a switch lives.
pub(crate) fn home(switch: &Switch) -> Place<'_> {
    switch.place.as_ref().map_or(Place::Host, |place| Place::of(place))
}

/// A derived name is the lab's on the host, and bare inside a namespace.
fn qualified(lab: &LabName, place: Place<'_>, rest: &str) -> String {
    if place == Place::Host { on_host(lab, rest) } else { rest.to_owned() }
}

fn drafts<'a>(lab: &'a Lab) -> Vec<[Draft<'a>; 2]> {
    let nodes: BTreeSet<&str> = lab.nodes.iter().map(|n| n.name.as_str()).chain(["host"]).collect();
    let mut switches: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, switch) in lab.switches.iter().enumerate() {
        switches.entry(switch.name.as_str()).or_insert(index);
    }
    let port = |index: usize, end, wire| {
        let place = home(&lab.switches[index]);
        Draft { owner: Holder::Switch(index), place, end, wire, name: None }
    };
    let mut pairs = Vec::new();
    for node in &lab.nodes {
        let place = Place::of(&node.name);
        for end in &node.on {
            if let Some(&index) = switches.get(end.to.as_str()) {
                let own = Draft { owner: Holder::Node(place), place, end: Some(end), wire: None, name: None };
                pairs.push([own, port(index, None, None)]);
            }
        }
    }
    for wire in &lab.links {
        let side = |end: &'a End| {
            let to = &end.to;
            let wire = Some(wire);
            if nodes.contains(to.as_str()) {
                let place = Place::of(to);
                Some(Draft { owner: Holder::Node(place), place, end: Some(end), wire, name: None })
            } else {
                switches.get(to.as_str()).map(|&index| port(index, Some(end), wire))
            }
        };
        let [a, b] = &wire.ends;
        if let (Some(a), Some(b)) = (side(a), side(b)) {
            pairs.push([a, b]);
        }
    }
    pairs
}

/// Names what is still without a name, after the other end.
fn name_pair<'a>(lab: &Lab, [a, b]: [Draft<'a>; 2], taken: &mut BTreeMap<Place<'a>, Taken>) -> [Side<'a>; 2] {
    let tags = [tag(lab, &a, &b), tag(lab, &b, &a)];
    let mut finish = |draft: Draft<'a>, tag: &str| {
        let (name, altname) = match draft.name {
            Some(name) => (name, None),
            None => taken.entry(draft.place).or_default().derive(&qualified(&lab.name, draft.place, tag)),
        };
        let Draft { owner, place, end, wire, .. } = draft;
        Side { owner, place, name, altname, end, wire, addresses: Vec::new() }
    };
    [finish(a, &tags[0]), finish(b, &tags[1])]
}

/// What a port or host end is called, but for the lab: `NODE-IF` of the other end; where that is no node, by what it joins.
fn tag(lab: &Lab, near: &Draft<'_>, far: &Draft<'_>) -> String {
    match (near.owner, far.owner, &far.name) {
        (_, Holder::Node(Place::Node(node)), Some(name)) => format!("{node}-{name}"),
        (Holder::Switch(near), Holder::Switch(far), _) => {
            format!("{}-{}", lab.switches[far].name.value, lab.switches[near].name.value)
        }
        (Holder::Switch(switch), _, _) | (_, Holder::Switch(switch), _) => {
            format!("host-{}", lab.switches[switch].name.value)
        }
        _ => "host-host".to_owned(),
    }
}
