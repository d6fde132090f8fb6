//! Boxes: the host, rooms, and what is outside, with their interfaces at the edge that their wires leave by.

use super::super::measure::cut;
use super::super::{End, Kind, NoteKind, Picture};
use super::{Area, Drawing, Label, Role, float};

/// More letters than this in a line are cut.
const LINE_MAX: usize = 46;
/// More lines of a sort than this are counted.
const LINES_MAX: usize = 8;
/// Free inside a box.
const PAD: f64 = 12.0;
/// From base line to base line.
const STEP: f64 = 15.0;
/// The height of the gable of the house.
pub(in super::super) const ROOF: f64 = 16.0;
/// The least width.
const WIDTH_MIN: f64 = 96.0;

/// Lines of text, one below the other.
#[derive(Debug, Clone, Default)]
struct Stack(Vec<(Role, String)>);

impl Stack {
    fn add(&mut self, role: Role, text: &str) {
        self.0.push((role, cut(text, LINE_MAX)));
    }

    fn many<'t>(&mut self, lines: impl ExactSizeIterator<Item = (Role, &'t str)>) {
        let count = lines.len();
        let shown = if count > LINES_MAX { LINES_MAX - 1 } else { count };
        for (role, text) in lines.take(shown) {
            self.add(role, text);
        }
        if shown < count {
            self.add(Role::Detail, &format!("and {} more", count - shown));
        }
    }

    fn width(&self) -> f64 {
        self.0.iter().map(|(role, text)| role.font().width(text)).fold(0.0, f64::max)
    }

    fn height(&self) -> f64 {
        self.0.iter().map(|(role, _)| step(*role)).sum()
    }

    /// Writes the lines into a column, in its middle or from its left edge on.
    fn write(&self, into: &mut Vec<Label>, area: usize, (x, y): (f64, f64), width: Option<f64>) {
        let mut bottom = y;
        for (role, text) in &self.0 {
            bottom += step(*role);
            let own = role.font().width(text);
            let x = width.map_or(x, |width| x + (width - own) / 2.0);
            let size = role.font().size();
            let (text, role, centred) = (text.clone(), *role, width.is_some());
            into.push(Label { x, y: bottom - 4.0, width: own, size, text, role, centred, area });
        }
    }
}

fn step(role: Role) -> f64 {
    if role == Role::Title { STEP + 5.0 } else { STEP }
}

/// An interface at the edge of a box.
#[derive(Debug, Clone)]
struct Chip {
    wire: usize,
    lines: Stack,
}

impl Chip {
    fn width(&self) -> f64 {
        self.lines.width() + PAD
    }
}

/// A box, with what is to be written into it.
#[derive(Debug, Clone)]
pub(super) struct Boxed {
    thing: usize,
    body: Stack,
    /// Interfaces whose wires lead up.
    top: Vec<Chip>,
    /// Interfaces whose wires lead down.
    bottom: Vec<Chip>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// The height of its gable, if it is the house.
    roof: f64,
}

fn interface(end: &End) -> Stack {
    let mut lines = Stack::default();
    if let Some(name) = &end.interface {
        let down = if end.up { "" } else { " down" };
        lines.add(Role::Interface, &format!("{name}{down}"));
    }
    lines.many(end.addresses.iter().map(|address| (Role::Address, address.as_str())));
    lines
}

fn body(picture: &Picture, thing: usize) -> Stack {
    let mut lines = Stack::default();
    let thing = &picture.things[thing];
    lines.add(Role::Title, &thing.name);
    lines.many(thing.details.iter().map(|text| (Role::Detail, text.as_str())));
    lines.many(thing.loose.iter().map(|text| (Role::Interface, text.as_str())));
    lines.many(thing.notes.iter().map(|note| {
        let role = if note.kind == NoteKind::Nat { Role::Nat } else { Role::Port };
        (role, note.text.as_str())
    }));
    lines
}

impl Boxed {
    /// The box of a thing, with the wires that leave it upwards and downwards: each by its number and its end here. A
    /// bundle is so many wires, and one of them by its number.
    pub(super) fn new(
        picture: &Picture,
        thing: usize,
        up: &[(usize, usize)],
        down: &[(usize, usize)],
        bundle: Option<(usize, usize)>,
    ) -> Self {
        let chip = |&(wire, side): &(usize, usize)| Chip { wire, lines: interface(&picture.wires[wire].ends[side]) };
        let top: Vec<Chip> = up.iter().map(chip).collect();
        let mut bottom: Vec<Chip> = down.iter().map(chip).collect();
        if let Some((count, wire)) = bundle {
            let mut lines = Stack::default();
            lines.add(Role::Interface, &format!("{count} wires"));
            bottom.push(Chip { wire, lines });
        }
        let body = body(picture, thing);
        let row = |chips: &[Chip]| chips.iter().map(Chip::width).sum::<f64>();
        let width = (body.width() + PAD).max(row(&top)).max(row(&bottom)) + PAD;
        let roof = if picture.things[thing].kind == Kind::Host { ROOF } else { 0.0 };
        let height = roof + 2.0 * PAD + height(&top) + body.height() + height(&bottom);
        Self { thing, body, top, bottom, width: width.max(WIDTH_MIN), height, roof }
    }

    /// A room that is on one wire alone: the interface is a part of its text, and, with `both`, the one at the other end.
    pub(super) fn card(picture: &Picture, thing: usize, ends: Option<[&End; 2]>, both: bool) -> Self {
        let mut body = body(picture, thing);
        if let Some([own, far]) = ends {
            let at = 1 + picture.things[thing].details.len().min(LINES_MAX);
            let mut lines = interface(own).0;
            if both && let Some(name) = &far.interface {
                lines.push((Role::Detail, cut(&format!("to {name}"), LINE_MAX)));
                lines.extend(interface(&End { interface: None, ..far.clone() }).0);
            }
            let at = at.min(body.0.len());
            body.0.splice(at..at, lines);
        }
        let (width, height) = ((body.width() + 2.0 * PAD).max(WIDTH_MIN), body.height() + 1.5 * PAD);
        Self { thing, body, top: Vec::new(), bottom: Vec::new(), width, height, roof: 0.0 }
    }

    /// Puts the interfaces in the order in which what they lead to lies from left to right.
    pub(super) fn order(&mut self, place: impl Fn(usize) -> f64) {
        for chips in [&mut self.top, &mut self.bottom] {
            chips.sort_by(|a, b| place(a.wire).total_cmp(&place(b.wire)));
        }
    }

    /// Where each wire leaves the box, counted from its left edge.
    pub(super) fn plugs(&self) -> Vec<(usize, f64)> {
        [&self.top, &self.bottom]
            .into_iter()
            .flat_map(|chips| self.row(chips))
            .map(|(chip, x)| (chip.wire, x))
            .collect()
    }

    /// The chips of one edge, each with its middle.
    fn row<'c>(&self, chips: &'c [Chip]) -> Vec<(&'c Chip, f64)> {
        let used: f64 = chips.iter().map(Chip::width).sum();
        let free = (self.width - used) / float(chips.len() + 1);
        let mut x = 0.0;
        let place = |chip: &'c Chip| {
            let middle = x + free + chip.width() / 2.0;
            x += free + chip.width();
            (chip, middle)
        };
        chips.iter().map(place).collect()
    }

    /// How far below the top of the box its upper edge is, so far from its left edge: a gable is highest in the middle.
    pub(super) fn edge_at(&self, x: f64) -> f64 {
        let half = self.width / 2.0;
        self.roof * ((x - half).abs() / half).min(1.0)
    }

    /// Draws it with its upper left corner at a place. With `centred` its text is in its middle.
    pub(super) fn draw(&self, into: &mut Drawing, (x, y): (f64, f64), (width, centred): (f64, bool)) {
        let area = into.areas.len();
        into.areas.push(Area { x, y, width, height: self.height, thing: self.thing, hue: None });
        let is_card = self.top.is_empty() && self.bottom.is_empty();
        let pad = if is_card { 0.75 * PAD } else { PAD };
        let body_y = y + self.roof + pad + height(&self.top);
        let column = centred.then_some(width - 2.0 * PAD);
        self.body.write(&mut into.labels, area, (x + PAD, body_y), column);
        for (chip, middle) in self.row(&self.top) {
            let width = chip.width();
            chip.lines.write(&mut into.labels, area, (x + middle - width / 2.0, y + self.roof + 6.0), Some(width));
        }
        for (chip, middle) in self.row(&self.bottom) {
            let width = chip.width();
            let top = y + self.height - 6.0 - chip.lines.height();
            chip.lines.write(&mut into.labels, area, (x + middle - width / 2.0, top), Some(width));
        }
    }
}

fn height(chips: &[Chip]) -> f64 {
    chips.iter().map(|chip| chip.lines.height()).fold(0.0, f64::max)
}
