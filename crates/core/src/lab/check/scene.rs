//! The scene that the checks look at: a lab wired up as far as it can be, who has which addresses, and which networks are
//! one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use crate::design::addresses;
use crate::design::wiring::{Holder, Place, Wiring};
use crate::host::Surroundings;
use crate::lab::{Lab, Node, Switch};
use crate::name::IfName;

pub(super) struct Scene<'a> {
    pub(super) lab: &'a Lab,
    pub(super) around: &'a Surroundings,
    pub(super) wiring: Wiring<'a>,
    /// Every interface of a node, and every bridge that is a gateway.
    pub(super) attachments: Vec<Attachment<'a>>,
    /// Indices into `attachments` by the node's name.
    of_node: BTreeMap<&'a str, Vec<usize>>,
    /// Switches that links join are one network: for each the first of them.
    pub(super) segments: Vec<usize>,
    nodes: BTreeMap<&'a str, &'a Node>,
    switches: BTreeMap<&'a str, &'a Switch>,
}

/// An interface of a node.
pub(super) struct Attachment<'a> {
    pub(super) place: Place<'a>,
    pub(super) name: IfName,
    pub(super) addresses: Vec<Placed>,
    /// Which network it is on: equal numbers hear each other.
    pub(super) segment: usize,
    /// The switch it is on, if it is on one.
    pub(super) switch: Option<&'a Switch>,
}

/// An address and where it comes from.
pub(super) struct Placed {
    pub(super) net: IpNet,
    pub(super) span: Range<usize>,
    /// Written in the file, not chosen.
    pub(super) written: bool,
}

impl<'a> Scene<'a> {
    pub(super) fn of(lab: &'a Lab, around: &'a Surroundings) -> Self {
        let mut wiring = Wiring::of(lab);
        addresses::assign(&mut wiring);
        let segments = segments(&wiring);
        let attachments = attachments(&wiring, &segments);
        let mut of_node: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, attachment) in attachments.iter().enumerate() {
            of_node.entry(attachment.place.as_str()).or_default().push(index);
        }
        let nodes = lab.nodes.iter().map(|n| (n.name.as_str(), n)).collect();
        let switches = lab.switches.iter().map(|s| (s.name.as_str(), s)).collect();
        Self { lab, around, wiring, attachments, of_node, segments, nodes, switches }
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        self.nodes.get(name).copied()
    }

    pub(super) fn switch(&self, name: &str) -> Option<&'a Switch> {
        self.switches.get(name).copied()
    }

    /// Is there such a namespace? `host` is always there.
    pub(super) fn has_node(&self, name: &str) -> bool {
        name == "host" || self.nodes.contains_key(name)
    }

    /// The names of switches.
    pub(super) fn switches(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.lab.switches.iter().map(|s| s.name.as_str())
    }

    /// The names of namespaces, `host` first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        ["host"].into_iter().chain(self.lab.nodes.iter().map(|n| n.name.as_str()).filter(|n| *n != "host"))
    }

    /// The interfaces of a node.
    pub(super) fn interfaces(&self, node: &str) -> impl Iterator<Item = &Attachment<'a>> + Clone {
        self.of_node.get(node).into_iter().flatten().map(|&index| &self.attachments[index])
    }

    /// All addresses of a node with their interfaces.
    pub(super) fn addresses(&self, node: &str) -> impl Iterator<Item = (&Attachment<'a>, IpNet)> {
        self.interfaces(node).flat_map(|a| a.addresses.iter().map(move |p| (a, p.net)))
    }

    /// The interfaces that the host has besides the lab, as far as they have addresses or routes.
    pub(super) fn host_interfaces(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let routes = self.around.routes.iter().map(|(_, name)| name.as_str());
        routes.chain(self.around.addresses.iter().map(|(_, name)| name.as_str()))
    }

    /// `10.2.0.0/24 on eth0`, for each address of a node in a family.
    pub(super) fn networks_of(&self, node: &str, v6: bool) -> Option<String> {
        let nets = self.addresses(node).filter(|(_, net)| net.addr().is_ipv6() == v6);
        super::list(nets.map(|(at, net)| format!("{} on {}", net.trunc(), at.name)))
    }
}

/// Which switches are one network, because links join them.
fn segments(wiring: &Wiring<'_>) -> Vec<usize> {
    let mut groups = Groups::new(wiring.bridges.len());
    for [a, b] in &wiring.pairs {
        if let (Holder::Switch(a), Holder::Switch(b)) = (a.owner, b.owner) {
            groups.join(a, b);
        }
    }
    (0..wiring.bridges.len()).map(|index| groups.of(index)).collect()
}

fn attachments<'a>(wiring: &Wiring<'a>, segments: &[usize]) -> Vec<Attachment<'a>> {
    let mut found = Vec::new();
    for (index, pair) in wiring.pairs.iter().enumerate() {
        for (side, far) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let (Holder::Node(place), Some(end)) = (side.owner, side.end) else { continue };
            let (segment, switch) = match far.owner {
                Holder::Switch(switch) => (segments[switch], Some(wiring.bridges[switch].switch)),
                // to itself: for the node it is two networks, as if something were between them
                Holder::Node(other) if other == place && std::ptr::eq(side, &pair[1]) => {
                    (segments.len() + wiring.pairs.len() + index, None)
                }
                Holder::Node(_) => (segments.len() + index, None),
            };
            let placed = |net: &IpNet| {
                let written = end.addresses.iter().find(|a| a.ip == net.addr());
                let span = written.map_or_else(|| end.to.span.clone(), |a| a.span.clone());
                Placed { net: *net, span, written: written.is_some() }
            };
            found.push(Attachment {
                place,
                name: side.name.clone(),
                addresses: side.addresses.iter().map(placed).collect(),
                segment,
                switch,
            });
        }
    }
    for (index, bridge) in wiring.bridges.iter().enumerate().filter(|(_, b)| b.is_gateway()) {
        let switch = bridge.switch;
        let span = switch.gateway.as_ref().map_or_else(|| switch.name.span.clone(), |g| g.span.clone());
        let placed = |net: &IpNet| Placed { net: *net, span: span.clone(), written: false };
        found.push(Attachment {
            place: bridge.place,
            name: bridge.name.clone(),
            addresses: bridge.addresses.iter().map(placed).collect(),
            segment: segments[index],
            switch: Some(switch),
        });
    }
    found
}

/// Disjoint sets of numbers.
pub(super) struct Groups(Vec<usize>);

impl Groups {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The number that stands for the set of this one.
    pub(super) fn of(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// Makes one set of two; false if it was one already.
    pub(super) fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b)] = a.min(b);
        a != b
    }
}

/// The address in `net` with the host part of another one.
pub(super) fn moved(address: IpAddr, net: IpNet) -> Option<IpAddr> {
    match (address, net) {
        (IpAddr::V4(a), IpNet::V4(n)) => {
            let host = u32::from(n.hostmask());
            Some(IpAddr::V4((u32::from(n.network()) | (u32::from(a) & host)).into()))
        }
        (IpAddr::V6(a), IpNet::V6(n)) => {
            let host = u128::from(n.hostmask());
            Some(IpAddr::V6((u128::from(n.network()) | (u128::from(a) & host)).into()))
        }
        _ => None,
    }
}

/// Do two prefixes share an address?
pub(in crate::lab) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}
