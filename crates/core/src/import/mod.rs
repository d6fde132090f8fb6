//! Import: a lab file out of namespaces that exist already, whoever made them.
//!
//! What a lab file can say is said; what it cannot is a [`Note`] with the reason, and a comment in the file. What raum
//! chooses for itself is not taken over: hardware addresses, names of bridge ports and of bridges on the host, and the name
//! of a namespace outside (`LAB-NODE`; in the lab `default` it stays what it was). All else is the same after `raum up` on an
//! empty host: namespaces, interfaces with names, MTU and state, who is at the other end, addresses, routes of the main table,
//! forwarding, NAT and ports that lead elsewhere.

mod filter;
mod nat;
mod node;
mod switch;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::host::Surroundings;
use crate::lab::{At, Lab, Node, check};
use crate::name::{LABEL_MAX, LabName, NodeName};
use crate::view::{Interface, Owner, Room, Scene};

/// A lab, and what is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The lab.
    pub lab: Lab,
    /// What could not be expressed, or is different.
    pub notes: Vec<Note>,
}

/// Something that is not in the lab as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Note {
    /// Where: a namespace, with an interface or a rule.
    pub place: String,
    /// What, and why it is not as it was.
    pub text: String,
}

impl fmt::Display for Import {
    /// As a lab file, the notes as comments before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.notes.is_empty() {
            f.write_str("# Not taken over, or different:\n")?;
        }
        for note in &self.notes {
            // a comment is one line, whatever somebody called an interface
            let line: String = format!("{}: {}", note.place, note.text).split(char::is_control).collect();
            writeln!(f, "# - {line}")?;
        }
        write!(f, "{}", self.lab)
    }
}

/// Makes a lab of the namespaces that `choose` takes; of the host what leads to them.
#[must_use]
pub fn import(scene: &Scene, name: &LabName, choose: impl Fn(&Room) -> bool) -> Import {
    let mut maker =
        Maker { rooms: &scene.namespaces, names: BTreeMap::new(), notes: Vec::new(), lab: Lab::empty(name.clone()) };
    maker.name_rooms(&choose);
    let net = wire::Net::of(&mut maker);
    let gateways = switch::add(&mut maker, &net);
    wire::add(&mut maker, &net);
    node::add(&mut maker, &net, &gateways);
    nat::add(&mut maker, &net);
    node::drop_usual_names(&mut maker.lab);
    maker.check();
    let Maker { lab, mut notes, .. } = maker;
    notes.sort();
    notes.dedup();
    Import { lab, notes }
}

struct Maker<'s> {
    rooms: &'s [Room],
    /// The node of each room that is taken, by its position; `host` too.
    names: BTreeMap<usize, NodeName>,
    notes: Vec<Note>,
    lab: Lab,
}

impl<'s> Maker<'s> {
    fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.notes.push(Note { place: place.into(), text: text.into() });
    }

    /// Gives each room that is taken a name that a node can have.
    fn name_rooms(&mut self, choose: &dyn Fn(&Room) -> bool) {
        let mut taken: BTreeSet<String> = BTreeSet::from(["host".to_owned()]);
        for (at, room) in self.rooms.iter().enumerate() {
            if room.owner == Owner::Host {
                self.names.extend(NodeName::new("host").ok().map(|name| (at, name)));
                continue;
            }
            if !choose(room) {
                continue;
            }
            let in_lab = room
                .lab
                .as_ref()
                .and_then(|lab| room.namespace.strip_prefix(lab.as_str()).and_then(|rest| rest.strip_prefix('-')));
            let called = in_lab.unwrap_or_else(|| called(room));
            let name = label(called, "ns", &mut taken);
            if name.as_str() != called {
                self.note(&*room.namespace, format!("is called `{name}` here"));
            }
            if let Some(lab) = &room.lab {
                let text = format!("is of the lab `{lab}`: `raum export {lab}` writes its file as it was");
                self.note(&*room.namespace, text);
            }
            self.lab.nodes.push(Node::new(At::nowhere(name.clone())));
            self.names.insert(at, name);
        }
    }

    fn is_host(&self, room: usize) -> bool {
        self.rooms.get(room).is_some_and(|room| room.owner == Owner::Host)
    }

    /// The node of a room; for the host it is made when it is needed.
    fn node(&mut self, room: usize) -> Option<&mut Node> {
        let name = self.names.get(&room)?.clone();
        if !self.lab.nodes.iter().any(|node| node.name.value == name) {
            self.lab.nodes.insert(0, Node::new(At::nowhere(name.clone())));
        }
        self.lab.nodes.iter_mut().find(|node| node.name.value == name)
    }

    fn interface(&self, (room, index): (usize, u32)) -> Option<&'s Interface> {
        self.rooms.get(room)?.interfaces.iter().find(|interface| interface.index == index)
    }

    /// What `raum check` has against it, for whoever reads the file.
    fn check(&mut self) {
        let around = Surroundings { ipv6: true, ..Surroundings::default() };
        for problem in check(&self.lab, &around) {
            let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
            self.note("raum check", format!("{}{help}", problem.message));
        }
    }
}

/// What a namespace is called; a container without its engine's name before its own, if it has one.
fn called(room: &Room) -> &str {
    match (&room.owner, room.namespace.split_once(':')) {
        (Owner::Docker(id) | Owner::Podman(id), Some((_, name))) if !id.starts_with(name) => name,
        _ => &room.namespace,
    }
}

/// A name that a node or switch can have, as near as can be to what something is called, and free.
fn label(text: &str, fallback: &str, taken: &mut BTreeSet<String>) -> NodeName {
    let text = text.rsplit('/').next().unwrap_or(text);
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let text: String = text.chars().map(plain).collect();
    let text = text.trim_matches(['-', '_']);
    let text = if text.is_empty() { fallback } else { text };
    for number in 1_u64.. {
        let tail = if number == 1 { String::new() } else { format!("-{number}") };
        let head: String = text.chars().take(LABEL_MAX - tail.len()).collect();
        let name = format!("{head}{tail}");
        if let Ok(label) = NodeName::new(&name)
            && taken.insert(name)
        {
            return label;
        }
    }
    unreachable!("there are more numbers than names")
}
