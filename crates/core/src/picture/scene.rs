//! From a scene to its picture: which interfaces are wires, what they join, and what is said of each room.

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

use super::nat::{self, Names};
use super::{End, Kind, Note, Picture, Wire};
use crate::name::{DEFAULT_LAB, LabName};
use crate::natural::natural;
use crate::nft::{InterfaceRef, SourceChange, Table};
use crate::view::{Interface, Missing, Other, Owner, Room, RouteEntry, Scene};

/// What of a scene is to be in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// Everything.
    All,
    /// The rooms of all labs, and of the host what is theirs.
    Labs,
    /// The rooms of one lab under the names that they have there, and of the host what is the lab's.
    Lab(&'a LabName),
}

impl Which<'_> {
    fn takes(self, lab: Option<&LabName>) -> bool {
        match self {
            Which::All => true,
            Which::Labs => lab.is_some(),
            Which::Lab(one) => lab == Some(one),
        }
    }
}

/// The picture of a scene.
#[must_use]
pub fn of_scene(scene: &Scene, which: Which<'_>) -> Picture {
    let taken = |room: &&Room| room.owner == Owner::Host || which.takes(room.lab.as_ref());
    let mut rooms: Vec<Room> = scene.namespaces.iter().filter(taken).cloned().collect();
    rooms.sort_by(|a, b| {
        let host = |room: &Room| room.owner != Owner::Host;
        host(a).cmp(&host(b)).then_with(|| natural(&a.namespace, &b.namespace))
    });
    if which != Which::All {
        keep_of_host(&mut rooms, which);
    }
    let lab = match which {
        Which::Lab(lab) => Some(lab),
        Which::All | Which::Labs => None,
    };
    let mut maker =
        Maker { which, lab, picture: Picture::default(), of_room: HashMap::new(), switches: HashMap::new() };
    maker.picture.title = match which {
        Which::All => "this host".to_owned(),
        Which::Labs => "the labs of this host".to_owned(),
        Which::Lab(lab) => lab.to_string(),
    };
    maker.rooms(&rooms);
    maker.wires(&rooms);
    maker.notes(&rooms);
    let told = |missing: &Missing, room: Option<&Room>| match room {
        Some(room) => format!("{}: {missing}", room.namespace),
        None => missing.to_string(),
    };
    let of_rooms = rooms.iter().flat_map(|room| room.missing.iter().map(move |missing| told(missing, Some(room))));
    // a lab's rooms have names by which they are all found
    let of_all = scene.missing.iter().filter(|_| matches!(which, Which::All));
    maker.picture.missing = of_all.map(|missing| told(missing, None)).chain(of_rooms).collect();
    let mut picture = maker.picture.without_idle(Kind::Outside);
    if which != Which::All {
        picture = picture.without_idle(Kind::Host);
    }
    picture.oriented()
}

/// Of the host what is the lab's: its switches, their ports, the ends of veths that lead into its rooms.
fn keep_of_host(rooms: &mut [Room], which: Which<'_>) {
    let inside: Vec<String> =
        rooms.iter().filter(|room| room.owner != Owner::Host).map(|room| room.namespace.clone()).collect();
    let Some(host) = rooms.iter_mut().find(|room| room.owner == Owner::Host) else { return };
    let is_ours = |alias: &String| {
        let lab = alias.strip_prefix("raum:").and_then(|name| LabName::new(name).ok());
        lab.is_some() && which.takes(lab.as_ref())
    };
    let switches: Vec<String> = host
        .interfaces
        .iter()
        .filter(|interface| interface.kind == "bridge" && interface.alias.as_ref().is_some_and(is_ours))
        .map(|interface| interface.name.clone())
        .collect();
    host.interfaces.retain(|interface| {
        let leads_inside = |other: &Other| other.namespace.as_ref().is_some_and(|name| inside.contains(name));
        switches.contains(&interface.name)
            || interface.master.as_ref().is_some_and(|master| switches.contains(master))
            || interface.peer.as_ref().is_some_and(leads_inside)
    });
    host.tables.retain(|table| which.takes(Some(&table.lab)));
    host.nat.clear();
}

/// What the kernel gives by itself is not worth a line.
fn worth_telling(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => !net.addr().is_loopback(),
        IpNet::V6(net) => !net.addr().is_loopback() && !net.addr().is_unicast_link_local(),
    }
}

fn addresses(interface: &Interface) -> Vec<String> {
    interface.addresses.iter().filter(|net| worth_telling(net)).map(ToString::to_string).collect()
}

/// Does a default route lead out by this interface, or is what leaves by it translated?
fn is_way_out(room: &Room, interface: &str) -> bool {
    let by_route = |route: &RouteEntry| route.to.prefix_len() == 0 && route.dev.as_deref() == Some(interface);
    let by_nat = |source: SourceChange| match source.out.map(|out| (out.which, out.not)) {
        Some((InterfaceRef::Name(name), _)) => name.as_str() == interface,
        _ => false,
    };
    room.routes.iter().any(by_route) || room.tables.iter().flat_map(Table::sources).any(by_nat)
}

struct Maker<'a> {
    which: Which<'a>,
    lab: Option<&'a LabName>,
    picture: Picture,
    /// The thing of each room, by name.
    of_room: HashMap<String, usize>,
    /// The thing of each bridge, by room and name.
    switches: HashMap<(String, String), usize>,
}

impl Maker<'_> {
    /// The name that something has in the lab.
    fn bare<'n>(&self, name: &'n str) -> &'n str {
        let Some(lab) = self.lab.filter(|lab| lab.as_str() != DEFAULT_LAB) else { return name };
        name.strip_prefix(lab.as_str()).and_then(|rest| rest.strip_prefix('-')).unwrap_or(name)
    }

    fn rooms(&mut self, rooms: &[Room]) {
        for room in rooms {
            let (kind, mut details) = match &room.owner {
                Owner::Host => (Kind::Host, Vec::new()),
                Owner::Lab(_) if self.lab.is_some() => (Kind::Room, Vec::new()),
                owner => (Kind::Room, vec![owner.to_string()]),
            };
            // a name that says it all already
            details.retain(|detail| *detail != room.namespace && detail != "ip netns");
            let name = self.bare(&room.namespace).to_owned();
            let thing = self.picture.thing(kind, &name, details);
            self.of_room.insert(room.namespace.clone(), thing);
        }
        for room in rooms {
            for bridge in room.interfaces.iter().filter(|interface| interface.kind == "bridge") {
                let full = bridge.altnames.iter().find(|name| self.bare(name) != name.as_str());
                let name = self.bare(full.unwrap_or(&bridge.name)).to_owned();
                let mut details = subnets(bridge, rooms, room);
                if room.owner != Owner::Host {
                    details.push(format!("in {}", self.bare(&room.namespace)));
                }
                let thing = self.picture.thing(Kind::Switch, &name, details);
                self.switches.insert((room.namespace.clone(), bridge.name.clone()), thing);
            }
        }
    }

    /// Where an interface is: a port is the switch's.
    fn end(&self, room: &Room, interface: &Interface) -> Option<End> {
        let of_room = self.of_room.get(&room.namespace).copied()?;
        let master = interface.master.as_ref();
        let switch = master.and_then(|name| self.switches.get(&(room.namespace.clone(), name.clone())));
        Some(End {
            thing: switch.copied().unwrap_or(of_room),
            interface: switch.is_none().then(|| interface.name.clone()),
            addresses: addresses(interface),
            up: interface.up,
            way_out: switch.is_none() && is_way_out(room, &interface.name),
        })
    }

    fn wires(&mut self, rooms: &[Room]) {
        for room in rooms {
            for interface in &room.interfaces {
                let Some(end) = self.end(room, interface) else { continue };
                let is_port = end.interface.is_none();
                if interface.kind == "bridge" {
                    let switch = self.switches.get(&(room.namespace.clone(), interface.name.clone())).copied();
                    if let Some(switch) = switch.filter(|_| !end.addresses.is_empty()) {
                        self.wire(end, End::bare(switch));
                    }
                } else if let Some(other) = interface.peer.as_ref().or(interface.lower.as_ref()) {
                    self.join_other(rooms, room, interface, end, other);
                } else if interface.kind.is_empty() && (interface.up || !end.addresses.is_empty()) {
                    let outside = self.picture.outside();
                    let name = is_port.then(|| interface.name.clone());
                    self.wire(end, End { interface: name, ..End::bare(outside) });
                } else if !is_port && interface.kind == "loopback" && end.addresses.is_empty() {
                    // every room has one
                } else if is_port {
                    let of_room = self.of_room.get(&room.namespace).copied().unwrap_or_default();
                    self.wire(End { interface: Some(interface.name.clone()), ..End::bare(of_room) }, end);
                } else {
                    self.loose(interface, &end, "");
                }
            }
        }
    }

    fn join_other(&mut self, rooms: &[Room], room: &Room, interface: &Interface, end: End, other: &Other) {
        let far_name = other.namespace.as_deref();
        let far_room = rooms.iter().find(|room| Some(room.namespace.as_str()) == far_name);
        let far = far_room.and_then(|far| {
            let interface = far.interfaces.iter().find(|interface| interface.index == other.index)?;
            Some((far, interface))
        });
        let is_pair = interface.peer.is_some();
        if let Some((far_room, far)) = far {
            let here = (&room.namespace, interface.index);
            if is_pair && (&far_room.namespace, far.index) < here && far.peer.is_some() {
                // told by the other end
                return;
            }
            let Some(mut far_end) = self.end(far_room, far) else { return };
            if far_end.thing == end.thing {
                let sort = if is_pair { "to" } else { "on" };
                self.loose(interface, &end, &format!(" {sort} {}", far.name));
            } else {
                if !is_pair {
                    // the interface below has a wire of its own, and its addresses there
                    far_end.addresses.clear();
                }
                self.wire(end, far_end);
            }
            return;
        }
        let name = far_name.unwrap_or("another namespace");
        let known = self.of_room.get(name).copied();
        let thing = known.unwrap_or_else(|| {
            let thing = self.picture.thing(Kind::Unseen, name, vec!["not looked into".to_owned()]);
            self.of_room.insert(name.to_owned(), thing);
            thing
        });
        self.wire(end, End { interface: other.interface.clone(), ..End::bare(thing) });
    }

    fn wire(&mut self, a: End, b: End) {
        let up = a.up && b.up;
        self.picture.wires.push(Wire { ends: [a, b], up });
    }

    fn loose(&mut self, interface: &Interface, end: &End, other: &str) {
        let mut words = vec![format!("{} {}{other}", interface.name, interface.kind)];
        words.extend(end.addresses.iter().cloned());
        if !interface.up {
            words.push("down".to_owned());
        }
        if let Some(thing) = self.picture.things.get_mut(end.thing) {
            thing.loose.push(words.join(" "));
        }
    }

    fn notes(&mut self, rooms: &[Room]) {
        let mut names: Names = BTreeMap::new();
        for room in rooms {
            for net in room.interfaces.iter().flat_map(|interface| &interface.addresses).filter(|n| worth_telling(n)) {
                names.entry(net.addr()).or_insert_with(|| self.bare(&room.namespace).to_owned());
            }
        }
        for room in rooms {
            let Some(thing) = self.of_room.get(&room.namespace).copied() else { continue };
            let mut notes: Vec<Note> = Vec::new();
            for note in room
                .tables
                .iter()
                .flat_map(|table| nat::of_table(table, &names))
                .chain(room.nat.iter().filter_map(nat::of_foreign))
            {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            // a lab's NAT and ports on the host lead out, by whichever of its interfaces
            let leads_out = self.which != Which::All && room.owner == Owner::Host && !notes.is_empty();
            if let Some(thing) = self.picture.things.get_mut(thing) {
                thing.notes = notes;
            }
            if leads_out {
                let outside = self.picture.outside();
                self.wire(End::bare(thing), End::bare(outside));
            }
        }
    }
}

/// The subnets of a switch: those of the bridge's own addresses, else those that most of its members are in.
fn subnets(bridge: &Interface, rooms: &[Room], room: &Room) -> Vec<String> {
    let own = || bridge.addresses.iter().filter(|net| worth_telling(net)).map(IpNet::trunc);
    let ports: Vec<u32> = room
        .interfaces
        .iter()
        .filter(|port| port.master.as_ref() == Some(&bridge.name))
        .map(|port| port.index)
        .collect();
    let is_member = |interface: &&Interface| {
        let peer = interface.peer.as_ref();
        peer.is_some_and(|peer| {
            peer.namespace.as_ref() == Some(&room.namespace) && ports.binary_search(&peer.index).is_ok()
        })
    };
    let mut found = Vec::new();
    for v6 in [false, true] {
        let of_family = |net: &IpNet| net.addr().is_ipv6() == v6 && net.prefix_len() > 0;
        let mut members: BTreeMap<IpNet, usize> = BTreeMap::new();
        let mine: Vec<IpNet> = own().filter(of_family).collect();
        if mine.is_empty() {
            let interfaces = rooms.iter().flat_map(|room| &room.interfaces).filter(is_member);
            for net in interfaces.flat_map(|interface| &interface.addresses).filter(|net| worth_telling(net)) {
                if of_family(net) {
                    *members.entry(net.trunc()).or_default() += 1;
                }
            }
        }
        let most = members.into_iter().max_by_key(|(net, count)| (*count, std::cmp::Reverse(*net)));
        found.extend(mine.first().copied().or(most.map(|(net, _)| net)).map(|net| net.to_string()));
    }
    found
}
