//! A picture of a network: rooms, switches, wires, the way out; and four ways to draw it.
//!
//! [`of_scene`] and [`of_design`] make a [`Picture`]: what there is to be seen, with all texts as they will be read, and
//! nothing of where it goes. [`svg`], [`mermaid`], [`dot`] and [`text`] draw it. The same picture gives the same drawing,
//! byte for byte.
//!
//! A bar is a switch, a box with a roof the host, other boxes are namespaces; the plugs on their edges are interfaces.

mod arrange;
mod dot;
mod measure;
mod mermaid;
mod nat;
mod scene;
mod svg;
mod text;
mod wanted;

use serde::Serialize;

pub use arrange::{Area, Drawing, Label, Line, Role, arrange};
pub use dot::dot;
pub use mermaid::mermaid;
pub use scene::{Which, of_scene};
pub use svg::svg;
pub use text::{Glyphs, text};
pub use wanted::{as_scene, of_design};

/// What is to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Picture {
    /// What it shows: the lab's name, or `this host`.
    pub title: String,
    /// In the order in which they were found.
    pub things: Vec<Thing>,
    /// What joins them.
    pub wires: Vec<Wire>,
    /// What could not be seen, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// Something that wires lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Thing {
    /// Room, switch, …
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Whose it is, where it is, its subnets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Interfaces that no wire of this picture is on, in words: `wg0 wireguard 10.9.0.1/24`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loose: Vec<String>,
    /// What it does with packets, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// What a [`Thing`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Whatever is beyond the machine.
    Outside,
    /// The namespace that raum was started in: the house.
    Host,
    /// Another namespace.
    Room,
    /// A bridge.
    Switch,
    /// A namespace that cannot be looked into.
    Unseen,
}

/// What a room does with packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Of which sort.
    pub kind: NoteKind,
    /// In words.
    pub text: String,
}

/// The sort of a [`Note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// It translates source addresses.
    Nat,
    /// A port of it leads elsewhere.
    Port,
}

/// A wire between two things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wire {
    /// Its ends.
    pub ends: [End; 2],
    /// Both ends are up.
    pub up: bool,
}

/// One end of a wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// An index of [`Picture::things`].
    pub thing: usize,
    /// The interface; none where it has no name that anybody would ask for.
    pub interface: Option<String>,
    /// Its addresses, link-local ones left out.
    pub addresses: Vec<String>,
    /// It is up.
    pub up: bool,
    /// A default route leads out by it, or what leaves by it is translated.
    pub way_out: bool,
}

impl Picture {
    /// Adds a thing, and says which it is.
    fn thing(&mut self, kind: Kind, name: &str, details: Vec<String>) -> usize {
        self.things.push(Thing { kind, name: name.to_owned(), details, loose: Vec::new(), notes: Vec::new() });
        self.things.len() - 1
    }

    /// The one outside, made if it is not there.
    fn outside(&mut self) -> usize {
        match self.things.iter().position(|thing| thing.kind == Kind::Outside) {
            Some(there) => there,
            None => self.thing(Kind::Outside, "outside", Vec::new()),
        }
    }

    /// The wires on each thing, each with the end that is on it.
    fn on_things(&self) -> Vec<Vec<(usize, usize)>> {
        let mut on = vec![Vec::new(); self.things.len()];
        for (index, wire) in self.wires.iter().enumerate() {
            for (side, end) in wire.ends.iter().enumerate() {
                if let Some(on) = on.get_mut(end.thing) {
                    on.push((index, side));
                }
            }
        }
        on
    }

    /// Turns each wire so that its first end is nearer to the way out: there Mermaid and Graphviz draw what is on top.
    fn oriented(mut self) -> Self {
        let mut is_left_by = vec![false; self.things.len()];
        for [a, b] in self.wires.iter().map(|wire| &wire.ends) {
            for (end, far) in [(a, b), (b, a)] {
                is_left_by[far.thing] |= end.way_out;
            }
        }
        let things = &self.things;
        let depth = |end: &End, far: &End| match things[end.thing].kind {
            Kind::Outside => 0,
            Kind::Host => 1,
            Kind::Switch => 3,
            Kind::Room | Kind::Unseen if end.way_out => 4,
            // whoever is on a switch that others leave by, and does not leave by it himself, is their gateway
            Kind::Room | Kind::Unseen if is_left_by[far.thing] => 2,
            Kind::Room | Kind::Unseen if things[far.thing].kind == Kind::Switch => 4,
            Kind::Room | Kind::Unseen => 3,
        };
        for wire in &mut self.wires {
            let [a, b] = &wire.ends;
            if depth(a, b) > depth(b, a) {
                wire.ends.reverse();
            }
        }
        self
    }

    /// Leaves out things of a kind that nothing is known of and nothing leads to.
    fn without_idle(mut self, kind: Kind) -> Self {
        let on = self.on_things();
        let idle: Vec<bool> = self
            .things
            .iter()
            .zip(&on)
            .map(|(thing, on)| thing.kind == kind && on.is_empty() && thing.loose.is_empty() && thing.notes.is_empty())
            .collect();
        let mut kept = 0;
        let moved: Vec<usize> = idle
            .iter()
            .map(|idle| {
                let place = kept;
                kept += usize::from(!idle);
                place
            })
            .collect();
        let mut flags = idle.iter();
        self.things.retain(|_| !flags.next().copied().unwrap_or(false));
        for end in self.wires.iter_mut().flat_map(|wire| &mut wire.ends) {
            end.thing = moved.get(end.thing).copied().unwrap_or_default();
        }
        self
    }
}

impl End {
    /// An end without a name.
    fn bare(thing: usize) -> Self {
        Self { thing, interface: None, addresses: Vec::new(), up: true, way_out: false }
    }
}
