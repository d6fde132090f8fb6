//! Text: for a terminal. A tree from that which leads out, in which each switch is a bar and what was told before is only
//! named.
//!
//! ```text
//! outside
//! └─ host
//!    │  NAT 10.10.0.0/24
//!    │  8080/tcp → web:80
//!    └─ shop-lan 10.10.0.1/24 ══ lan  (10.10.0.0/24)
//!       ├─ db eth0 10.10.0.20/24
//!       └─ web eth0 10.10.0.157/24
//! ```

use std::collections::{BTreeSet, VecDeque};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::svg::is_direction;
use super::{End, Kind, Picture};

/// With what lines are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyphs {
    /// Box drawing characters.
    Lines,
    /// For terminals that have nothing else.
    Ascii,
}

impl Glyphs {
    /// Branch, last branch, passing by, wire to a room, wire to a switch, arrow, what was told before.
    fn all(self) -> [&'static str; 7] {
        match self {
            Glyphs::Lines => ["├─ ", "└─ ", "│  ", "─", "═", "→", "…"],
            Glyphs::Ascii => ["|- ", "`- ", "|  ", "-", "=", "->", "..."],
        }
    }
}

/// Draws it, at most so many columns wide.
#[must_use]
pub fn text(picture: &Picture, columns: usize, glyphs: Glyphs) -> String {
    let mut tree = Tree::new(picture, glyphs);
    while let Some(root) = tree.roots.pop_front() {
        tree.thing(root, None, "", "");
    }
    tree.lines.iter().map(|line| format!("{}\n", fitted(line, columns, glyphs))).collect()
}

/// Cut to the width of the terminal, and without what a terminal would obey.
fn fitted(line: &str, columns: usize, glyphs: Glyphs) -> String {
    let foreign = |c: char| c.is_control() || is_direction(c) || (glyphs == Glyphs::Ascii && !c.is_ascii());
    let line: String = match glyphs {
        Glyphs::Lines => line.to_owned(),
        Glyphs::Ascii => line.replace('→', "->").replace('…', "..."),
    };
    let line: String = line.trim_end().chars().map(|c| if foreign(c) { '?' } else { c }).collect();
    if line.width() <= columns {
        return line;
    }
    let more = glyphs.all()[6];
    let mut kept = String::new();
    for c in line.chars() {
        if kept.width() + c.width().unwrap_or(0) + more.width() > columns {
            break;
        }
        kept.push(c);
    }
    kept + more
}

/// An interface with its addresses.
fn words(end: &End) -> String {
    let mut words: Vec<&str> = end.interface.iter().chain(&end.addresses).map(String::as_str).collect();
    if !end.up {
        words.push("down");
    }
    words.join(" ")
}

/// Deeper than so many columns the tree goes on at the left edge.
const DEEP: usize = 30;

struct Tree<'p> {
    picture: &'p Picture,
    /// What is still to be begun with.
    roots: VecDeque<usize>,
    /// The wires that are drawn below each thing, each with its end there, and whether the other end's thing is drawn there
    /// in full, else only named.
    below: Vec<Vec<(usize, usize, bool)>>,
    glyphs: Glyphs,
    lines: Vec<String>,
}

impl<'p> Tree<'p> {
    /// Finds for each thing where it is drawn: as near to a root as can be.
    fn new(picture: &'p Picture, glyphs: Glyphs) -> Self {
        let mut on = picture.on_things();
        // what is on a switch, by its name and not by its port; interfaces have an order of their own
        for (wires, _) in on.iter_mut().zip(&picture.things).filter(|(_, thing)| thing.kind == Kind::Switch) {
            wires.sort_by_key(|&(wire, side)| picture.wires[wire].ends[1 - side].thing);
        }
        let mut below = vec![Vec::new(); picture.things.len()];
        let (mut told, mut drawn) = (BTreeSet::new(), BTreeSet::new());
        let mut roots = VecDeque::new();
        for root in in_order(picture, &on) {
            if !told.insert(root) {
                continue;
            }
            roots.push_back(root);
            let mut queue = VecDeque::from([root]);
            while let Some(thing) = queue.pop_front() {
                for &(wire, side) in &on[thing] {
                    if drawn.insert(wire) {
                        let far = picture.wires[wire].ends[1 - side].thing;
                        let is_new = told.insert(far);
                        below[thing].push((wire, side, is_new));
                        queue.extend(is_new.then_some(far));
                    }
                }
            }
        }
        Self { picture, roots, below, glyphs, lines: Vec::new() }
    }

    /// Draws a thing, after the words on its wire, and what it leads to.
    fn thing(&mut self, thing: usize, by: Option<(&str, &End)>, first: &str, rest: &str) {
        let item = &self.picture.things[thing];
        let line = format!("{first}{}", self.named(thing, by));
        let details = if item.details.is_empty() { String::new() } else { format!("  ({})", item.details.join(", ")) };
        self.lines.push(line + &details);
        let below = std::mem::take(&mut self.below[thing]);
        let [branch, end, pass, ..] = self.glyphs.all();
        let bar = if below.is_empty() { "   " } else { pass };
        for text in item.loose.iter().chain(item.notes.iter().map(|note| &note.text)) {
            self.lines.push(format!("{rest}{bar}{text}"));
        }
        let last = below.len().saturating_sub(1);
        for (index, (wire, side, is_new)) in below.into_iter().enumerate() {
            let (branch, pass) = if index == last { (end, "   ") } else { (branch, pass) };
            let ends = &self.picture.wires[wire].ends;
            let (near, far) = (words(&ends[side]), &ends[1 - side]);
            let by = Some((near.as_str(), far));
            let is_deep = rest.chars().count() > DEEP;
            if is_new && is_deep {
                self.roots.push_back(far.thing);
            }
            if is_new && !is_deep {
                self.thing(far.thing, by, &format!("{rest}{branch}"), &format!("{rest}{pass}"));
            } else {
                let more = self.glyphs.all()[6];
                let line = format!("{rest}{branch}{} {more}", self.named(far.thing, by));
                self.lines.push(line);
            }
        }
    }

    /// `eth0 10.0.0.1/24 ── red eth0 10.0.0.2/24`: the near end, the wire, what it leads to, the far end; without the first
    /// two where the near end is a port without a name.
    fn named(&self, thing: usize, by: Option<(&str, &End)>) -> String {
        let item = &self.picture.things[thing];
        let Some((near, far)) = by else { return item.name.clone() };
        let wire = if item.kind == Kind::Switch { self.glyphs.all()[4] } else { self.glyphs.all()[3] };
        let wire = if near.is_empty() { String::new() } else { wire.repeat(2) };
        let mut words_of_it = vec![near.to_owned(), wire, item.name.clone(), words(far)];
        words_of_it.retain(|words| !words.is_empty());
        words_of_it.join(" ")
    }
}

/// Where to begin: outside, the host, then rooms that no way out leads from, then all others.
fn in_order(picture: &Picture, on: &[Vec<(usize, usize)>]) -> Vec<usize> {
    let rank = |thing: usize| match picture.things[thing].kind {
        Kind::Outside => 0,
        Kind::Host => 1,
        _ if on[thing].iter().any(|&(wire, side)| picture.wires[wire].ends[side].way_out) => 3,
        Kind::Room => 2,
        Kind::Switch | Kind::Unseen => 4,
    };
    let mut order: Vec<usize> = (0..picture.things.len()).collect();
    order.sort_by_key(|thing| (rank(*thing), *thing));
    order
}
