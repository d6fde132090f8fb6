//! Who answers for the next address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cause::{Cause, Code, ip};
use super::route::ipv6_off;
use super::wire::{Reached, speaks, wire};
use super::{Facts, has, is_link_local, together};
use crate::view::{Interface, Room, Scene};

/// Where a packet goes that is sent to an address on a wire.
pub(super) enum Next<'s> {
    /// To somebody who can be seen.
    Reached(Box<Reached<'s>>, String),
    /// Out of sight.
    Open(String),
}

/// Finds who has the next address, `via` if it is a gateway's.
pub(super) fn next<'s>(
    scene: &'s Scene,
    room: &'s Room,
    dev: &'s Interface,
    hop: IpAddr,
    via: bool,
    full: Option<(u32, u32)>,
) -> Result<Next<'s>, Cause> {
    let mut wire = wire(scene, room, dev);
    let entry = room.neighbours.iter().find(|entry| entry.dev == dev.name && entry.address == hop);
    let asked = entry.is_none_or(|entry| entry.state != "permanent");
    if asked && is_mute(dev) {
        let what = format!("{} in {} asks nobody who has {hop}: arp is off there", dev.name, room.namespace);
        return Err(mute(room, dev, what));
    }
    let others = |reached: &Reached<'_>| reached.room.namespace != room.namespace || has(reached.room, hop);
    let owns = |reached: &Reached<'_>| others(reached) && owns(reached, hop);
    let owners: BTreeSet<&str> = wire
        .reached
        .iter()
        .filter(|reached| owns(reached) && reached.obstacle.is_none())
        .map(|reached| reached.room.namespace.as_str())
        .collect();
    if owners.len() > 1 {
        let list: Vec<&str> = owners.iter().copied().collect();
        let what = format!("{hop} is the address of {} on the wire of {}", list.join(" and of "), dev.name);
        let last =
            wire.reached.iter().find(|reached| owns(reached) && Some(&reached.room.namespace.as_str()) == list.last());
        let mend = last
            .map(|last| ip(last.room, &format!("address del {hop}/{} dev {}", length(last, hop), last.interface.name)));
        return Err(Cause::new(Code::DuplicateAddress, &room.namespace, what, mend).astray());
    }
    let at = wire.reached.iter().position(|reached| owns(reached) && reached.obstacle.is_none());
    if let Some(entry) = entry.filter(|entry| entry.state == "permanent")
        && let Some(found) = at.and_then(|at| wire.reached.get(at))
        && let (Some(said), Some(real)) = (entry.mac, found.interface.mac)
        && said != real
    {
        let what = format!(
            "a permanent neighbour entry in {} says that {hop} is {said}, but {} has {real}",
            room.namespace, found.room.namespace
        );
        let mend = ip(room, &format!("neigh del {hop} dev {}", dev.name));
        return Err(Cause::new(Code::StaticNeighbour, &room.namespace, what, Some(mend)));
    }
    if let Some(found) = at.and_then(|at| wire.reached.get(at)).filter(|found| asked && is_mute(found.interface)) {
        let (name, there) = (&found.interface.name, found.room);
        let what = format!("{name} in {} does not answer for {hop}: arp is off there", there.namespace);
        return Err(mute(there, found.interface, what));
    }
    if let Some((entries, limit)) = full.filter(|(entries, limit)| entry.is_none() && entries >= limit) {
        let family = if hop.is_ipv6() { "ipv6" } else { "ipv4" };
        let what =
            format!("the kernel's neighbour table is full: {entries} entries of all namespaces, {limit} allowed");
        let mend = format!("sysctl -w net.{family}.neigh.default.gc_thresh3={}", limit.saturating_mul(4));
        return Err(Cause::new(Code::NeighbourTableFull, &room.namespace, what, Some(mend)));
    }
    if let Some(at) = at {
        let found = wire.reached.swap_remove(at);
        let state = entry.map_or("not asked yet", |entry| entry.state.as_str());
        let mac = found.interface.mac.map(|mac| format!(" is {mac}")).unwrap_or_default();
        let text = format!("{hop}{mac}, {} in {} ({state})", found.interface.name, found.room.namespace);
        return Ok(Next::Reached(Box::new(found), text));
    }
    // somebody has it, and something is in the way
    if let Some(obstacle) = wire.reached.iter().find(|reached| owns(reached)).and_then(|found| found.obstacle.clone()) {
        return Err(obstacle);
    }
    // IPv6 loses its addresses with the interface: whoever is down may be the one
    let lost = |reached: &&Reached<'_>| others(reached) && !reached.interface.up;
    if let Some(down) = wire.reached.iter().find(lost).filter(|_| hop.is_ipv6())
        && let Some(obstacle) = &down.obstacle
    {
        return Err(obstacle.clone());
    }
    if let Some(off) = wire.reached.iter().find(|reached| others(reached) && hop.is_ipv6() && !reached.interface.ipv6) {
        return Err(ipv6_off(off.room, off.interface));
    }
    let alone = wire.reached.iter().all(|end| !speaks(end.interface));
    if let Some(loose) = wire.loose.take().filter(|_| alone) {
        return Err(loose);
    }
    if wire.open {
        return Ok(Next::Open(format!("{hop} is behind {}, out of sight", dev.name)));
    }
    // out of sight is somebody, unless he is known to be elsewhere
    if let Some(shut) = wire.shut.take().filter(|_| alone || owner(scene, room, hop).is_none()) {
        return Err(shut);
    }
    Err(nobody(scene, room, dev, hop, via, &wire.reached))
}

/// An interface of a kind that asks for neighbours, and does not.
fn is_mute(interface: &Interface) -> bool {
    let asks = ["", "veth", "bridge", "macvlan", "vlan", "bond"].contains(&interface.kind.as_str());
    asks && interface.mac.is_some() && interface.up && !interface.arp
}

fn mute(room: &Room, interface: &Interface, what: String) -> Cause {
    let mend = ip(room, &format!("link set dev {} arp on", interface.name));
    Cause::new(Code::ArpOff, &room.namespace, what, Some(mend))
}

/// Is it an address of this end? For IPv4 a namespace answers for all of its addresses, whatever the interface.
fn owns(reached: &Reached<'_>, hop: IpAddr) -> bool {
    reached.interface.addresses.iter().any(|own| own.addr() == hop)
        || (hop.is_ipv4() && !reached.interface.addresses.is_empty() && has(reached.room, hop))
}

fn length(reached: &Reached<'_>, ip: IpAddr) -> u8 {
    let own = reached.interface.addresses.iter().find(|own| own.addr() == ip);
    own.map_or(if ip.is_ipv6() { 128 } else { 32 }, ipnet::IpNet::prefix_len)
}

/// Another namespace that has the address, on whatever wire.
fn owner<'s>(scene: &'s Scene, room: &Room, hop: IpAddr) -> Option<&'s Room> {
    together(scene, room).into_iter().find(|other| other.namespace != room.namespace && has(other, hop))
}

/// Nobody on the wire has the address: why somebody may have thought so.
fn nobody(scene: &Scene, room: &Room, dev: &Interface, hop: IpAddr, via: bool, on: &[Reached<'_>]) -> Cause {
    let elsewhere = owner(scene, room, hop);
    let here = &room.namespace;
    if dev.kind == "loopback" {
        let what = format!("a route in {here} leads {hop} to {}, where nobody else is", dev.name);
        let length = if hop.is_ipv6() { 128 } else { 32 };
        let mut routes = room.routes.iter().filter(|route| route.kind == "unicast" && route.to.contains(&hop));
        let route = routes.find(|route| route.dev.as_ref() == Some(&dev.name));
        let to = route.map_or_else(|| format!("{hop}/{length}"), |route| route.to.to_string());
        return Cause::new(Code::NoRoute, here, what, Some(ip(room, &format!("route del {to} dev {}", dev.name))));
    }
    match (via, elsewhere.filter(|_| !is_link_local(hop))) {
        (true, Some(other)) => {
            let what = format!(
                "the gateway {hop} is in {}, which is not on the wire of {} in {here}",
                other.namespace, dev.name
            );
            Cause::new(Code::GatewayUnreachable, here, what, router(room, dev, on, hop))
        }
        (true, None) => {
            let what = format!("the gateway {hop} of {here} is nobody's address");
            Cause::new(Code::WrongGateway, here, what, router(room, dev, on, hop))
        }
        (false, Some(other)) => {
            let prefix = dev.addresses.iter().find(|own| own.contains(&hop));
            let prefix = prefix.map(|own| own.trunc().to_string()).unwrap_or_default();
            let what = format!(
                "{here} takes {hop} for a neighbour on {} ({prefix}), but it is in {}, which is not on that wire",
                dev.name, other.namespace
            );
            let mend = dev.addresses.iter().find(|own| own.contains(&hop)).map(|own| {
                let (own, name) = (own.addr(), &dev.name);
                ip(room, &format!("address change {own}/<length> dev {name}"))
            });
            Cause::new(Code::WrongPrefix, here, what, mend)
        }
        (false, None) => {
            let what = format!("nobody on the wire of {} in {here} answers for {hop}", dev.name);
            Cause::new(Code::NeighbourFailed, here, what, None)
        }
    }
}

/// The default route by somebody on the wire who passes packets on, by his address in our prefix.
fn router(room: &Room, dev: &Interface, on: &[Reached<'_>], wrong: IpAddr) -> Option<String> {
    let gateway = gateway(dev, on, wrong.is_ipv6())?;
    Some(ip(room, &format!("route replace default via {gateway} dev {}", dev.name)))
}

/// The address of somebody on the wire who is on other wires, too.
pub(super) fn gateway(dev: &Interface, on: &[Reached<'_>], v6: bool) -> Option<IpAddr> {
    let ours = |ip: &IpAddr| dev.addresses.iter().any(|own| own.contains(ip) && own.addr() != *ip);
    let wires =
        |room: &Room| room.interfaces.iter().filter(|one| one.kind != "loopback" && !one.addresses.is_empty()).count();
    let routers = on.iter().filter(|end| wires(end.room) > 1);
    let addresses = routers.flat_map(|end| &end.interface.addresses).map(ipnet::IpNet::addr);
    addresses.filter(|ip| ip.is_ipv6() == v6 && !is_link_local(*ip)).find(ours)
}

/// As many neighbours as there may be?
pub(super) fn table(facts: &mut dyn Facts, v6: bool) -> Option<(u32, u32)> {
    facts.neighbour_room(v6)
}
