//! Cables and bridges: who is on the same wire, and what is in the way.

use std::collections::{HashSet, VecDeque};

use super::cause::{Cause, Code, ip};
use super::{is_hidden, is_link_local, room};
use crate::view::{Interface, Other, Room, Scene};

/// Interfaces on top of each other. More is a loop.
const DEPTH: usize = 8;

/// An interface on the same wire, and the way there.
pub(super) struct Reached<'s> {
    pub room: &'s Room,
    pub interface: &'s Interface,
    /// Cables and ports in words, in order: each with the namespace that it is in.
    pub way: Vec<(String, String)>,
    /// What keeps packets from getting there.
    pub obstacle: Option<Cause>,
    /// A cable whose ends disagree: who sends, what it can send, who receives, what it takes.
    pub narrow: Option<Narrow>,
    /// Bridges on the way, each with its namespace.
    pub bridges: Vec<(&'s Room, &'s Interface)>,
    /// The port by which the last bridge was entered.
    pub port: Option<&'s Interface>,
}

/// A cable whose ends disagree about the size of packets: the longer ones vanish without a word.
#[derive(Clone)]
pub(super) struct Narrow {
    pub room: String,
    pub interface: String,
    pub takes: u32,
    pub sent: u32,
    pub mend: String,
}

/// What is known at the end of a way while looking for others.
#[derive(Clone)]
struct At<'s> {
    room: &'s Room,
    interface: &'s Interface,
    /// It is looked at from the bridge: on the way out by this port. Else on the way in.
    out: bool,
    way: Vec<(String, String)>,
    obstacle: Option<Cause>,
    narrow: Option<Narrow>,
    bridges: Vec<(&'s Room, &'s Interface)>,
    port: Option<&'s Interface>,
}

/// What of a wire cannot be seen.
pub(super) struct Wire<'s> {
    pub reached: Vec<Reached<'s>>,
    /// The wire leads out of what raum can see: to hardware, or into a hidden namespace.
    pub open: bool,
    /// It would, if this were not in the way.
    pub shut: Option<Cause>,
    /// An end that leads nowhere.
    pub loose: Option<Cause>,
}

/// Everybody who can be on the wire of an interface.
pub(super) fn wire<'s>(scene: &'s Scene, from: &'s Room, interface: &'s Interface) -> Wire<'s> {
    let start = At {
        room: from,
        interface,
        out: true,
        way: Vec::new(),
        obstacle: None,
        narrow: None,
        bridges: Vec::new(),
        port: None,
    };
    let mut wire = Wire { reached: Vec::new(), open: false, shut: None, loose: None };
    let mut seen: HashSet<(String, u32, bool)> = HashSet::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        if !seen.insert((at.room.namespace.clone(), at.interface.index, at.out)) {
            continue;
        }
        if at.out { outward(scene, at, &mut wire, &mut queue) } else { inward(at, &mut wire, &mut queue) }
    }
    // who can be reached without an obstacle comes first
    wire.reached.sort_by_key(|reached| reached.obstacle.is_some());
    wire
}

fn down(room: &Room, interface: &Interface) -> Option<Cause> {
    (!interface.up).then(|| {
        let what = format!("{} in {} is down", interface.name, room.namespace);
        let mend = ip(room, &format!("link set dev {} up", interface.name));
        Cause::new(Code::InterfaceDown, &room.namespace, what, Some(mend))
    })
}

/// The interface that another one belongs to, and where it is.
fn other<'s>(scene: &'s Scene, other: &Other) -> Option<(&'s Room, &'s Interface)> {
    let there = room(scene, other.namespace.as_deref()?)?;
    Some((there, there.interfaces.iter().find(|one| one.index == other.index)?))
}

/// Why an interface that is up has no carrier: what it sits on has none, or is down, and so on down to a cable's other end; or
/// nobody is there.
fn no_carrier(scene: &Scene, room: &Room, interface: &Interface) -> Option<Cause> {
    // the kernel tells what is on top a second later (net/core/link_watch.c)
    let on_top = |one: &Interface| ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"].contains(&one.kind.as_str());
    let (mut room, mut interface) = (room, interface);
    for _ in 0..DEPTH {
        let below = interface.lower.as_ref().filter(|_| on_top(interface) || !interface.carrier);
        let below = below.or(interface.peer.as_ref().filter(|_| !interface.carrier));
        let Some((there, below)) = below.and_then(|below| other(scene, below)) else { break };
        if let Some(cause) = down(there, below) {
            return Some(cause);
        }
        if below.carrier && !on_top(below) {
            break;
        }
        (room, interface) = (there, below);
    }
    if interface.carrier {
        return None;
    }
    let name = &interface.name;
    let mend = match interface.kind.as_str() {
        // whoever holds it gives it its carrier (drivers/net/tun.c)
        "tun" => Some(format!("start the program that {name} in {} belongs to", room.namespace)),
        "macvlan" | "macvtap" | "vxlan" => Some(ip(room, &format!("link set dev {name} protodown off"))),
        _ => None,
    };
    let what = format!("{name} in {} has no carrier", room.namespace);
    Some(Cause::new(Code::NoCarrier, &room.namespace, what, mend))
}

/// Out by an interface: of a bridge by its ports, of a cable to its other end.
fn outward<'s>(scene: &'s Scene, mut at: At<'s>, wire: &mut Wire<'s>, queue: &mut VecDeque<At<'s>>) {
    let (from, interface) = (at.room, at.interface);
    at.obstacle = at.obstacle.take().or_else(|| down(from, interface));
    if interface.kind == "bridge" {
        at.bridges.push((from, interface));
        for port in ports(from, &interface.name) {
            queue.push_back(through(&at, port, None));
        }
        if at.obstacle.is_none() && ports(from, &interface.name).count() == 0 {
            let what = format!("bridge {} in {} has no ports", interface.name, from.namespace);
            let mend = ip(from, &format!("link set dev <port> master {}", interface.name));
            wire.loose = Some(Cause::new(Code::NoCarrier, &from.namespace, what, Some(mend)));
        }
        return;
    }
    let Some(peer) = &interface.peer else {
        // a VLAN or macvlan sits on another interface, a program has a tap, hardware leads to the world
        if interface.kind == "veth" {
            wire.loose = wire.loose.take().or_else(|| Some(missing(from, interface)));
        } else if interface.kind != "dummy" && interface.kind != "loopback" {
            let obstacle = at.obstacle.take().or_else(|| no_carrier(scene, from, interface));
            wire.open |= obstacle.is_none();
            wire.shut = wire.shut.take().or(obstacle);
        }
        return;
    };
    let Some((there, end)) = other(scene, peer) else {
        let there = peer.namespace.as_deref().and_then(|name| room(scene, name));
        wire.open |= peer.namespace.is_none() || there.is_some_and(|there| !there.missing.is_empty());
        wire.loose = wire.loose.take().or_else(|| Some(missing(from, interface)));
        return;
    };
    at.obstacle = at.obstacle.take().or_else(|| down(there, end));
    if at.obstacle.is_none() && !interface.carrier {
        let what = format!("{} in {} has no carrier", interface.name, from.namespace);
        let mend = ip(there, &format!("link set dev {} carrier on", end.name));
        at.obstacle = Some(Cause::new(Code::NoCarrier, &from.namespace, what, Some(mend)));
    }
    if at.narrow.is_none() && end.mtu < interface.mtu {
        at.narrow = Some(Narrow {
            room: there.namespace.clone(),
            interface: end.name.clone(),
            takes: end.mtu,
            sent: interface.mtu,
            mend: ip(there, &format!("link set dev {} mtu {}", end.name, interface.mtu)),
        });
    }
    if is_hidden(there) {
        // who has which address there cannot be seen, nor what becomes of a packet
        match at.obstacle {
            Some(obstacle) => wire.shut = wire.shut.take().or(Some(obstacle)),
            None => {
                wire.open = true;
                wire.loose = wire.loose.take().or_else(|| Some(missing(from, interface)));
            }
        }
        return;
    }
    at.way.push((from.namespace.clone(), format!("{} -> {} in {}", interface.name, end.name, there.namespace)));
    queue.push_back(At { room: there, interface: end, out: false, ..at });
}

/// Has it an address that somebody gave it? Link-local ones every interface gives itself.
pub(super) fn speaks(interface: &Interface) -> bool {
    interface.addresses.iter().any(|own| !is_link_local(own.addr()))
}

fn missing(room: &Room, interface: &Interface) -> Cause {
    let what = format!("the other end of {} in {} is nowhere that can be seen", interface.name, room.namespace);
    Cause::new(Code::PeerMissing, &room.namespace, what, None)
}

/// In by an interface: into its bridge, or to whoever is there.
fn inward<'s>(mut at: At<'s>, wire: &mut Wire<'s>, queue: &mut VecDeque<At<'s>>) {
    let (here, interface) = (at.room, at.interface);
    let bridge = interface.master.as_deref().and_then(|name| here.interface(name)).filter(|one| one.kind == "bridge");
    let Some(bridge) = bridge else {
        if !speaks(interface) && interface.master.is_none() && at.obstacle.is_none() && interface.up {
            let what = format!("{} in {} is in no bridge and has no address", interface.name, here.namespace);
            let mend = ip(here, &format!("link set dev {} master <bridge>", interface.name));
            wire.loose.get_or_insert(Cause::new(Code::PeerMissing, &here.namespace, what, Some(mend)));
        }
        wire.reached.push(at.into());
        return;
    };
    // whoever is not known there gets no answers, the one who has the next address to begin with
    let port = || port_state(here, interface, &bridge.name).or_else(|| deaf(here, interface, &bridge.name));
    at.obstacle = at.obstacle.take().or_else(|| down(here, bridge)).or_else(port);
    at.bridges.push((here, bridge));
    let itself = At { port: Some(interface), interface: bridge, ..at.clone() };
    wire.reached.push(itself.into());
    for port in ports(here, &bridge.name).filter(|port| port.index != interface.index) {
        queue.push_back(through(&at, port, Some(interface)));
    }
}

/// Through a bridge and out by a port.
fn through<'s>(at: &At<'s>, port: &'s Interface, input: Option<&'s Interface>) -> At<'s> {
    let mut next = at.clone();
    let bridge = port.master.clone().unwrap_or_default();
    next.way.push((at.room.namespace.clone(), format!("bridge {bridge}, port {}", port.name)));
    let isolated = |port: &Interface| port.port.as_ref().is_some_and(|port| port.isolated);
    let apart = input.filter(|input| isolated(input) && isolated(port)).map(|input| {
        let what = format!("{} and {} are isolated ports of {bridge} in {}", input.name, port.name, at.room.namespace);
        let mend = inside_bridge(at.room, &port.name, "isolated off");
        Cause::new(Code::PortIsolated, &at.room.namespace, what, Some(mend))
    });
    next.obstacle = next
        .obstacle
        .or_else(|| down(at.room, port))
        .or_else(|| port_state(at.room, port, &bridge))
        .or(apart)
        .or_else(|| deaf(at.room, port, &bridge));
    At { interface: port, out: true, ..next }
}

/// `bridge link set` inside a namespace.
pub(super) fn inside_bridge(room: &Room, port: &str, rest: &str) -> String {
    let all = ip(room, &format!("link set dev {port} {rest}"));
    // `bridge` is called as `ip` is, and takes `-n` as well
    match all.strip_prefix("ip ") {
        Some(rest) => format!("bridge {rest}"),
        None => all.replacen(" ip ", " bridge ", 1),
    }
}

fn port_state(room: &Room, port: &Interface, bridge: &str) -> Option<Cause> {
    let state = port.port.as_ref()?.state.as_str();
    // without a carrier every port is disabled: that is told as what it is
    let odd = port.up && port.carrier && !matches!(state, "forwarding" | "unknown");
    odd.then(|| {
        let what = format!("port {} of bridge {bridge} in {} is {state}", port.name, room.namespace);
        Cause::new(Code::PortDown, &room.namespace, what, Some(inside_bridge(room, &port.name, "state forwarding")))
    })
}

/// Nobody behind the port is known, nor will be: nothing that is for them goes there.
fn deaf(room: &Room, port: &Interface, bridge: &str) -> Option<Cause> {
    let used = port.port.as_ref().filter(|used| !used.learning && !used.flood)?;
    // entries of the port's own address say nothing
    let known = room.forwarding.iter().any(|entry| entry.port == port.name && entry.state != "permanent");
    (!known && used.state == "forwarding").then(|| {
        let what = format!(
            "port {} of bridge {bridge} in {} learns nobody and gets nothing that is for somebody unknown",
            port.name, room.namespace
        );
        let mend = inside_bridge(room, &port.name, "learning on flood on");
        Cause::new(Code::PortDeaf, &room.namespace, what, Some(mend))
    })
}

fn ports<'s>(room: &'s Room, bridge: &str) -> impl Iterator<Item = &'s Interface> {
    let bridge = bridge.to_owned();
    room.interfaces.iter().filter(move |port| port.master.as_deref() == Some(bridge.as_str()))
}

impl<'s> From<At<'s>> for Reached<'s> {
    fn from(at: At<'s>) -> Self {
        Self {
            room: at.room,
            interface: at.interface,
            way: at.way,
            obstacle: at.obstacle,
            narrow: at.narrow,
            bridges: at.bridges,
            port: at.port,
        }
    }
}
