//! The picture of a lab that is not up: its design, told as the scene that it would be.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{Picture, Which, of_scene};
use crate::design::Design;
use crate::name::{IfName, LabName, NsId};
use crate::state::{LinkKind, Namespace, RouteKind, Sysctl};
use crate::view::{Forwards, Interface, MAIN, Other, Owner, Port, Room, RouteEntry, Scene};

/// The picture of a lab as its file says it.
#[must_use]
pub fn of_design(lab: &LabName, design: &Design) -> Picture {
    of_scene(&as_scene(lab, design), Which::Lab(lab))
}

/// What somebody would see who looked at a lab that is up: its rooms, and of the host what is the lab's.
#[must_use]
pub fn as_scene(lab: &LabName, design: &Design) -> Scene {
    let mut numbers: BTreeMap<(&NsId, &IfName), u32> = BTreeMap::new();
    for (ns, content) in &design.state.namespaces {
        for (name, index) in content.links.keys().zip(2..) {
            numbers.insert((ns, name), index);
        }
    }
    let room = |(ns, content): (&NsId, &Namespace)| {
        let owner = if *ns == NsId::Host { Owner::Host } else { Owner::Lab(lab.clone()) };
        let mut room = Room::new(ns.to_string(), 0, owner);
        room.lab = Some(lab.clone());
        room.interfaces = content.links.keys().map(|name| interface(ns, name, content, &numbers)).collect();
        room.routes = content.routes.iter().map(route).collect();
        let forwards = |key: &str| {
            Sysctl::new(key).ok().and_then(|key| content.sysctls.get(&key)).is_some_and(|value| value == "1")
        };
        room.forwards = Some(Forwards {
            v4: forwards("net/ipv4/conf/all/forwarding"),
            v6: forwards("net/ipv6/conf/all/forwarding"),
        });
        room.tables = content.table.iter().cloned().collect();
        room
    };
    let mut rooms: Vec<Room> = design.state.namespaces.iter().map(room).collect();
    rooms.sort_by_key(|room| room.owner != Owner::Host);
    Scene { namespaces: rooms, missing: Vec::new() }
}

fn interface(ns: &NsId, name: &IfName, content: &Namespace, numbers: &BTreeMap<(&NsId, &IfName), u32>) -> Interface {
    let link = &content.links[name];
    let (kind, peer) = match &link.kind {
        LinkKind::Bridge => ("bridge", None),
        LinkKind::Veth { peer_ns, peer } => {
            let index = numbers.get(&(peer_ns, peer)).copied().unwrap_or_default();
            ("veth", Some(Other { namespace: Some(peer_ns.to_string()), interface: Some(peer.to_string()), index }))
        }
        LinkKind::Orphan => ("veth", None),
        LinkKind::Other(kind) => (kind.as_str(), None),
    };
    let mut addresses: Vec<IpNet> = link.addresses.iter().copied().collect();
    addresses.sort_by_key(|net| matches!(net, IpNet::V6(_)));
    Interface {
        index: numbers.get(&(ns, name)).copied().unwrap_or_default(),
        name: name.to_string(),
        kind: kind.to_owned(),
        up: link.up,
        carrier: link.up,
        arp: link.arp,
        ipv6: true,
        mtu: link.mtu,
        mac: Some(link.mac),
        group: 0,
        master: link.master.as_ref().map(ToString::to_string),
        peer_index: peer.as_ref().map(|peer| peer.index),
        alias: link.alias.clone(),
        altnames: link.altname.iter().cloned().collect(),
        addresses,
        peer,
        lower: None,
        port: link.master.is_some().then(|| Port {
            state: "forwarding".to_owned(),
            hairpin: false,
            isolated: link.isolated,
            learning: true,
            flood: true,
        }),
        counters: None,
    }
}

fn route(route: &crate::state::Route) -> RouteEntry {
    RouteEntry {
        to: route.to,
        kind: match route.kind {
            RouteKind::Unicast => "unicast",
            RouteKind::Blackhole => "blackhole",
            RouteKind::Unreachable => "unreachable",
            RouteKind::Prohibit => "prohibit",
            RouteKind::Local => "local",
        }
        .to_owned(),
        via: route.via,
        dev: route.dev.as_ref().map(ToString::to_string),
        source: None,
        metric: route.metric,
        protocol: "static".to_owned(),
        table: MAIN.to_owned(),
        more: Vec::new(),
    }
}
