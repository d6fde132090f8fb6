//! Switches: bridges, with the subnets and the gateway that their members live by.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Maker;
use super::node::default_via;
use super::wire::{Net, Place, wished};
use crate::design::addresses::Usable;
use crate::design::links::USUAL_MTU;
use crate::lab::{At, Switch};
use crate::name::NodeName;
use crate::view::Interface;

/// The gateway of each switch that has one: who, and by which addresses.
pub(super) struct Gateway {
    pub room: usize,
    pub addresses: Vec<IpAddr>,
}

/// Adds the switches; says the gateway of each.
pub(super) fn add(maker: &mut Maker<'_>, net: &Net) -> Vec<Option<Gateway>> {
    let mut gateways = Vec::new();
    for number in 0..net.switches.len() {
        let (place, name) = net.switches[number].clone();
        let Some(bridge) = maker.interface(place) else { continue };
        let mut switch = Switch {
            name: At::nowhere(name.clone()),
            subnets: Vec::new(),
            chosen: None,
            gateway: None,
            nat: None,
            place: maker.names.get(&place.0).filter(|name| !name.is_host()).cloned().map(At::nowhere),
            mtu: mtu(maker, net, number, bridge).map(At::nowhere),
            mac: None,
            isolated: None,
        };
        let isolated = isolated(maker, net, number);
        let home = format!("{} {}", maker.rooms[place.0].namespace, bridge.name);
        if !bridge.up {
            maker.note(&*home, "is down: raum's switches are up");
        }
        let gateway = match wished(bridge).count() {
            0 => of_member(maker, net, number),
            _ => of_bridge(maker, net, number, bridge),
        };
        if gateway.is_none() && wished(bridge).count() > 0 {
            let own: Vec<String> = wished(bridge).map(|net| net.to_string()).collect();
            let text = format!(
                "its own {} is left out: a bridge of a lab has the first address of its subnet, and then every member has one",
                own.join(" ")
            );
            maker.note(&*home, text);
        }
        if let Some((room, nets)) = &gateway {
            switch.gateway = maker.names.get(room).cloned().map(At::nowhere);
            switch.subnets = nets.iter().map(|net| At::nowhere(net.trunc())).collect();
        }
        let is_gateway = |place: &Place| gateway.as_ref().is_some_and(|(room, _)| *room == place.0);
        let mut others = isolated.iter().filter(|(member, _)| !is_gateway(member)).map(|(_, isolated)| *isolated);
        // what is isolated reaches the gateway, and the gateway everybody
        if gateway.is_some() && others.clone().count() > 0 && others.all(|isolated| isolated) {
            let own = isolated.iter().any(|(member, isolated)| is_gateway(member) && *isolated);
            if own {
                maker.note(&*home, "the port of the gateway is isolated, too: in a lab it is not");
            }
            switch.isolated = Some(At::nowhere(true));
        } else {
            for (member, _) in isolated.iter().filter(|(_, isolated)| *isolated) {
                let place = format!("{home} {}", maker.names.get(&member.0).map_or("", |name| name.as_str()));
                maker.note(
                    place,
                    "its port is isolated: a lab isolates all members of a switch with a gateway, or none",
                );
            }
        }
        gateways.push(gateway.map(|(room, nets)| Gateway { room, addresses: nets.iter().map(IpNet::addr).collect() }));
        maker.lab.switches.push(switch);
    }
    gateways
}

/// Each member of a switch, and whether its port is isolated.
fn isolated(maker: &Maker<'_>, net: &Net, switch: usize) -> Vec<(Place, bool)> {
    let is_isolated = |port: Place| {
        maker.interface(port).and_then(|interface| interface.port.as_ref()).is_some_and(|port| port.isolated)
    };
    net.members(switch).map(|(member, port)| (member, is_isolated(port))).collect()
}

/// The MTU that the bridge and all that is on it have, if it is not the usual one.
fn mtu(maker: &Maker<'_>, net: &Net, switch: usize, bridge: &Interface) -> Option<u32> {
    let mut all = net.members(switch).flat_map(|(own, port)| [own, port]).filter_map(|place| maker.interface(place));
    let one = all.next().map_or(bridge.mtu, |interface| interface.mtu);
    (one != USUAL_MTU && all.all(|interface| interface.mtu == one)).then_some(one)
}

/// Can a lab say these as the addresses of a gateway: one of each family, the first of its subnet?
fn as_gateway(nets: &[IpNet]) -> bool {
    let first = |net: &IpNet| {
        let usable = Usable::of(net.trunc());
        net.prefix_len() > 0 && net.addr() == usable.address(usable.first)
    };
    let of_family = |v6: bool| nets.iter().filter(|net| net.addr().is_ipv6() == v6).count();
    !nets.is_empty() && nets.iter().all(first) && of_family(false) <= 1 && of_family(true) <= 1
}

/// A subnet gives an address to every member that has none of its family: so each must have one.
fn all_have(maker: &Maker<'_>, net: &Net, switch: usize, nets: &[IpNet]) -> bool {
    let has = |member: Place, v6: bool| {
        maker.interface(member).is_some_and(|interface| wished(interface).any(|net| net.addr().is_ipv6() == v6))
    };
    nets.iter().all(|one| net.members(switch).all(|(member, _)| has(member, one.addr().is_ipv6())))
}

/// The namespace that the bridge is in, if the bridge has addresses that a lab can say.
fn of_bridge(maker: &Maker<'_>, net: &Net, switch: usize, bridge: &Interface) -> Option<(usize, Vec<IpNet>)> {
    let own: Vec<IpNet> = wished(bridge).collect();
    is_sayable(maker, net, switch, &own).then(|| (net.switches[switch].0.0, own))
}

/// Can the bridge's own addresses be said as those of a gateway?
fn is_sayable(maker: &Maker<'_>, net: &Net, switch: usize, own: &[IpNet]) -> bool {
    as_gateway(own) && all_have(maker, net, switch, own)
}

/// The member by which all others go out, if it has the first address of the subnet.
fn of_member(maker: &Maker<'_>, net: &Net, switch: usize) -> Option<(usize, Vec<IpNet>)> {
    let members: Vec<Place> = net.members(switch).map(|(member, _)| member).collect();
    members.iter().copied().find_map(|candidate| {
        let own: Vec<IpNet> = wished(maker.interface(candidate)?).collect();
        let others = || members.iter().filter(|other| other.0 != candidate.0);
        let all_go_by = |net: &IpNet| {
            others().all(|other| default_via(&maker.rooms[other.0], net.addr().is_ipv6()) == Some(net.addr()))
        };
        let is_first = members.iter().find(|member| member.0 == candidate.0) == Some(&candidate);
        let is_room = !maker.is_host(candidate.0);
        let is_gateway = is_first && is_room && others().count() > 0 && own.iter().all(all_go_by);
        (is_gateway && is_sayable(maker, net, switch, &own)).then_some((candidate.0, own))
    })
}

/// Is the node the gateway of a switch?
pub(super) fn is_gateway(switches: &[Switch], node: &NodeName) -> bool {
    switches.iter().any(|switch| switch.gateway.as_ref().is_some_and(|gateway| gateway.value == *node))
}
