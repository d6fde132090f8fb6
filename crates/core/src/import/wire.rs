//! Wires: veth pairs between what is taken, and the bridges that they lead to.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{Maker, label};
use crate::design::links::USUAL_MTU;
use crate::lab::{Address, At, End, Switch, Wire};
use crate::name::{IfName, NodeName};
use crate::view::Interface;

/// An interface, by room and number.
pub(super) type Place = (usize, u32);

/// What joins the rooms.
pub(super) struct Net {
    /// Bridges that are taken, with their names in the lab, in order.
    pub switches: Vec<(Place, NodeName)>,
    /// Pairs that are taken.
    pub pairs: Vec<[Place; 2]>,
    /// Of each port the position of its bridge in `switches`.
    pub ports: BTreeMap<Place, usize>,
}

/// Addresses that are somebody's wish: not what the kernel makes by itself.
pub(super) fn wished(interface: &Interface) -> impl Iterator<Item = IpNet> {
    interface.addresses.iter().copied().filter(|net| match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => !net.addr().is_unicast_link_local(),
    })
}

impl Net {
    /// Finds them, and says what leads elsewhere.
    pub(super) fn of(maker: &mut Maker<'_>) -> Self {
        let mut net = Self { switches: Vec::new(), pairs: Vec::new(), ports: BTreeMap::new() };
        let pairs = pairs(maker);
        net.find_switches(maker, &pairs);
        for pair in pairs {
            let inside = |place: &Place| !maker.is_host(place.0) || net.ports.contains_key(place);
            let both_ports = pair.iter().all(|place| net.ports.contains_key(place));
            let a_room = pair.iter().any(|place| !maker.is_host(place.0));
            if (a_room || both_ports) && pair.iter().any(inside) {
                net.pairs.push(pair);
            }
        }
        net
    }

    /// The bridges of all rooms, and those of the host that a room leads to.
    fn find_switches(&mut self, maker: &mut Maker<'_>, pairs: &[[Place; 2]]) {
        let mut taken: BTreeSet<String> = maker.names.values().map(ToString::to_string).collect();
        taken.insert("host".to_owned());
        for room in maker.names.keys().copied().collect::<Vec<_>>() {
            for bridge in maker.rooms[room].interfaces.iter().filter(|interface| interface.kind == "bridge") {
                let ports: Vec<&Interface> =
                    maker.rooms[room].interfaces.iter().filter(|p| p.master.as_ref() == Some(&bridge.name)).collect();
                let leads_to_a_room = |port: &&Interface| {
                    let place = (room, port.index);
                    pairs
                        .iter()
                        .any(|[a, b]| (*a == place && !maker.is_host(b.0)) || (*b == place && !maker.is_host(a.0)))
                };
                if maker.is_host(room) && !ports.iter().any(leads_to_a_room) {
                    continue;
                }
                // a lab's bridge carries its mark, and on the host the lab's name
                let lab = bridge.alias.as_deref().and_then(|alias| alias.strip_prefix("raum:"));
                let bare = lab.and_then(|lab| bridge.name.strip_prefix(lab)?.strip_prefix('-'));
                let name = label(bare.unwrap_or(&bridge.name), "br", &mut taken);
                let number = self.switches.len();
                for port in &ports {
                    self.ports.insert((room, port.index), number);
                    if port.kind != "veth" {
                        let kind = if port.kind.is_empty() { "hardware" } else { &port.kind };
                        let text = format!("is {kind} on the bridge {}: a lab has wires of its own only", bridge.name);
                        maker.note(format!("{} {}", maker.rooms[room].namespace, port.name), text);
                    }
                }
                self.switches.push(((room, bridge.index), name));
            }
        }
    }

    /// The interfaces of rooms on a switch: with their ports.
    pub(super) fn members(&self, switch: usize) -> impl Iterator<Item = (Place, Place)> {
        self.pairs
            .iter()
            .flat_map(|[a, b]| [(*a, *b), (*b, *a)])
            .filter(move |(own, far)| self.ports.get(far) == Some(&switch) && !self.ports.contains_key(own))
    }

    /// The switch that an interface of a room is on.
    pub(super) fn switch_of(&self, own: Place) -> Option<usize> {
        let far = self.pairs.iter().find_map(|[a, b]| match (*a == own, *b == own) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            _ => None,
        })?;
        self.ports.get(&far).copied()
    }

    /// Is the interface one end of a pair that is taken, or a bridge that is?
    pub(super) fn has(&self, place: Place) -> bool {
        self.pairs.iter().flatten().any(|end| *end == place) || self.switches.iter().any(|(bridge, _)| *bridge == place)
    }
}

/// Every veth pair of which both ends can be seen, each once; what leads elsewhere is told.
fn pairs(maker: &mut Maker<'_>) -> Vec<[Place; 2]> {
    let positions: BTreeMap<&str, usize> =
        maker.rooms.iter().enumerate().map(|(at, room)| (room.namespace.as_str(), at)).collect();
    let mut found = Vec::new();
    for room in maker.names.keys().copied().collect::<Vec<_>>() {
        for interface in maker.rooms[room].interfaces.iter().filter(|interface| interface.kind == "veth") {
            let own = (room, interface.index);
            let peer = interface.peer.as_ref();
            let far = peer.and_then(|peer| {
                let far = positions.get(peer.namespace.as_deref()?).copied()?;
                maker.names.contains_key(&far).then_some((far, peer.index))
            });
            match far.filter(|far| maker.interface(*far).is_some()) {
                Some(far) if own < far => found.push([own, far]),
                Some(_) => {}
                None if maker.is_host(room) => {}
                None => {
                    let name = peer.and_then(|peer| peer.namespace.clone());
                    let text = match name {
                        Some(name) => format!("leads to {name}, which is not imported"),
                        None => "leads to a namespace that cannot be seen".to_owned(),
                    };
                    let place = format!("{} {}", maker.rooms[room].namespace, interface.name);
                    maker.note(place, text);
                }
            }
        }
    }
    found
}

/// Adds attachments and links.
pub(super) fn add(maker: &mut Maker<'_>, net: &Net) {
    for [a, b] in &net.pairs {
        let (a, b) = (*a, *b);
        match (net.ports.get(&a), net.ports.get(&b)) {
            (None, Some(switch)) if is_plain_port(maker, &maker.lab.switches[*switch], b) => {
                attach(maker, net, a, *switch)
            }
            (Some(switch), None) if is_plain_port(maker, &maker.lab.switches[*switch], a) => {
                attach(maker, net, b, *switch)
            }
            _ => {
                let ends = [end(maker, net, a, b), end(maker, net, b, a)];
                let [Some(left), Some(right)] = ends else { continue };
                let mut wire = Wire { ends: [left, right], subnets: Vec::new(), chosen: None, mtu: None, span: 0..0 };
                let same = wire.ends[0].mtu.clone().filter(|mtu| Some(mtu) == wire.ends[1].mtu.as_ref());
                if same.is_some() {
                    wire.mtu = same;
                    wire.ends.iter_mut().for_each(|end| end.mtu = None);
                }
                maker.lab.links.push(wire);
            }
        }
        for place in [a, b] {
            if maker.is_host(place.0) && !net.ports.contains_key(&place) {
                // an end names it, so it is a node
                maker.node(place.0);
            }
        }
    }
}

/// What a port of an attachment by `on:` has without being asked?
fn is_plain_port(maker: &Maker<'_>, switch: &Switch, port: Place) -> bool {
    let usual = switch.mtu.as_ref().map_or(USUAL_MTU, |mtu| mtu.value);
    maker.interface(port).is_none_or(|port| port.up && port.mtu == usual)
}

fn bare(to: NodeName) -> End {
    End { to: At::nowhere(to), interface: None, addresses: Vec::new(), mtu: None, mac: None, down: None }
}

/// With prefix lengths where the switch's subnet gives another one, or none.
fn addresses(interface: &Interface, switch: Option<&Switch>) -> Vec<At<Address>> {
    let written = |net: IpNet| {
        let subnet = |switch: &&Switch| {
            switch.subnets.iter().any(|subnet| subnet.contains(&net.addr()) && subnet.prefix_len() == net.prefix_len())
        };
        let prefix_len = switch.filter(subnet).is_none().then(|| net.prefix_len());
        At::nowhere(Address { ip: net.addr(), prefix_len })
    };
    let mut found: Vec<IpNet> = wished(interface).collect();
    found.sort_by_key(|net| matches!(net, IpNet::V6(_)));
    found.into_iter().map(written).collect()
}

fn attach(maker: &mut Maker<'_>, net: &Net, own: Place, switch: usize) {
    let Some(interface) = maker.interface(own) else { return };
    let known = &maker.lab.switches[switch];
    let usual = known.mtu.as_ref().map_or(USUAL_MTU, |mtu| mtu.value);
    let end = End {
        interface: IfName::new(&interface.name).ok().map(At::nowhere),
        addresses: addresses(interface, Some(known)),
        mtu: (interface.mtu != usual).then(|| At::nowhere(interface.mtu)),
        down: (!interface.up).then(|| At::nowhere(true)),
        ..bare(net.switches[switch].1.clone())
    };
    if let Some(node) = maker.node(own.0) {
        node.on.push(end);
    }
}

/// One end of a link: of a room, or a port.
fn end(maker: &Maker<'_>, net: &Net, place: Place, far: Place) -> Option<End> {
    let interface = maker.interface(place)?;
    let port = net.ports.get(&place);
    let to = match port {
        Some(switch) => net.switches[*switch].1.clone(),
        None => maker.names.get(&place.0)?.clone(),
    };
    // its own switch's, else that of the switch at the other end, as `design` has it
    let switches = [place, far].into_iter().filter_map(|place| net.ports.get(&place));
    let usual = switches.filter_map(|switch| maker.lab.switches[*switch].mtu.as_ref()).next();
    let usual = usual.map_or(USUAL_MTU, |mtu| mtu.value);
    Some(End {
        interface: IfName::new(&interface.name).ok().map(At::nowhere).filter(|_| port.is_none()),
        addresses: if port.is_none() { addresses(interface, None) } else { Vec::new() },
        mtu: (interface.mtu != usual).then(|| At::nowhere(interface.mtu)),
        down: (!interface.up).then(|| At::nowhere(true)),
        ..bare(to)
    })
}
