//! A switch with the rooms that are on it alone: a bar, and below it one row of them, or a grid with a trunk for each column.

use super::super::measure::{Font, cut};
use super::super::{Kind, Picture};
use super::boxes::Boxed;
use super::{Area, Drawing, Label, Line, Role, float};

/// The height of a bar.
pub(super) const BAR: f64 = 30.0;
/// Between a bar and the first row.
const DROP: f64 = 24.0;
/// Between cards.
const SPACE: f64 = 14.0;
/// From a trunk to the cards on it.
const TWIG: f64 = 14.0;
/// From the end of a bar to the first trunk.
const END: f64 = 10.0;
/// Between wires that pass by a grid.
pub(super) const LANE: f64 = 18.0;
/// So many cards are one row.
const ROW_MAX: usize = 4;

/// What joins the rooms of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// A switch, with its colour.
    Switch(usize, Option<usize>),
    /// Nothing but that each has a wire of its own to the same other room: they are drawn as one bundle.
    Bundle,
    /// Nothing.
    Nothing,
}

/// Rooms in a grid, below a switch, at a bundle of wires, or alone.
#[derive(Debug, Clone)]
pub(super) struct Block {
    head: Head,
    cards: Vec<(Boxed, Option<usize>)>,
    columns: usize,
    /// Wires that leave it downwards, by the right of the grid.
    lanes: usize,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Where the bar is: it may be wider than what is below it.
    pub(super) bar: (f64, f64),
    caption: Vec<(Role, String)>,
}

impl Block {
    /// `leaves` are the rooms, each with its only wire and its end there.
    pub(super) fn new(picture: &Picture, head: Head, leaves: &[(usize, Option<(usize, usize)>)], lanes: usize) -> Self {
        let card = |&(thing, on): &(usize, Option<(usize, usize)>)| {
            let ends = on.map(|(wire, side)| [&picture.wires[wire].ends[side], &picture.wires[wire].ends[1 - side]]);
            (Boxed::card(picture, thing, ends, head == Head::Bundle), on.map(|(wire, _)| wire))
        };
        let cards: Vec<_> = leaves.iter().map(card).collect();
        let mut caption = Vec::new();
        if let Head::Switch(switch, _) = head {
            caption.push((Role::Title, cut(&picture.things[switch].name, 40)));
            caption.extend(picture.things[switch].details.iter().map(|text| (Role::Address, cut(text, 46))));
        }
        let mut block = Self { head, cards, columns: 1, lanes, width: 0.0, height: 0.0, bar: (0.0, 0.0), caption };
        block.columns = block.choose_columns();
        let (grid_width, grid_height) = block.grid(block.columns);
        let lanes = float(lanes) * LANE;
        block.width = (grid_width + lanes).max(block.caption_width() + 28.0);
        block.height = grid_height + block.bar_height();
        block.bar = match head {
            // from the first trunk to the last
            Head::Bundle => (END, grid_width - block.cell().0 - TWIG),
            Head::Switch(..) | Head::Nothing => (0.0, block.width),
        };
        block
    }

    /// Below its upper edge its trunks begin.
    pub(super) fn bar_height(&self) -> f64 {
        if self.is_switch() { BAR } else { 0.0 }
    }

    pub(super) fn is_switch(&self) -> bool {
        matches!(self.head, Head::Switch(..))
    }

    /// Is there nothing below its bar?
    pub(super) fn is_bare(&self) -> bool {
        self.cards.is_empty()
    }

    fn caption_width(&self) -> f64 {
        self.caption.iter().map(|(role, text)| role.font().width(text) + 12.0).sum()
    }

    fn is_row(&self) -> bool {
        self.cards.len() <= ROW_MAX
    }

    fn cell(&self) -> (f64, f64) {
        let most = |size: fn(&Boxed) -> f64| self.cards.iter().map(|(card, _)| size(card)).fold(0.0, f64::max);
        (most(|card| card.width), most(|card| card.height))
    }

    /// Width and height of so many columns.
    fn grid(&self, columns: usize) -> (f64, f64) {
        if self.cards.is_empty() {
            return (0.0, 0.0);
        }
        let (width, height) = self.cell();
        let rows = self.cards.len().div_ceil(columns);
        let twig = self.twig();
        let drop = if self.head == Head::Nothing { 0.0 } else { DROP };
        let wide = float(columns) * (width + twig + SPACE) - SPACE;
        (wide, drop + float(rows) * (height + SPACE) - SPACE)
    }

    /// What a column takes besides its card.
    fn twig(&self) -> f64 {
        if self.has_trunks() { END + TWIG } else { 0.0 }
    }

    fn has_trunks(&self) -> bool {
        match self.head {
            Head::Switch(..) => !self.is_row(),
            Head::Bundle => true,
            Head::Nothing => false,
        }
    }

    /// Twice as wide as high, and the last row as full as can be.
    fn choose_columns(&self) -> usize {
        let count = self.cards.len();
        if self.is_row() {
            return count.max(1);
        }
        let worth = |columns: usize| {
            let (width, height) = self.grid(columns);
            let empty = columns * count.div_ceil(columns) - count;
            (width / height / 2.0).ln().abs() + 0.5 * float(empty) / float(columns)
        };
        (2..=count).min_by(|a, b| worth(*a).total_cmp(&worth(*b))).unwrap_or(1)
    }

    /// Where a wire that leaves it downwards passes its lower edge, counted from the left edge.
    pub(super) fn lane(&self, number: usize) -> f64 {
        let back = float(self.lanes - number.min(self.lanes));
        self.width - back * LANE + LANE / 2.0
    }

    /// Draws it with its upper left corner at a place.
    pub(super) fn draw(&self, picture: &Picture, into: &mut Drawing, (x, y): (f64, f64)) {
        let mut hue = None;
        if let Head::Switch(thing, colour) = self.head {
            hue = colour;
            self.draw_bar(into, (x + self.bar.0, y), thing, hue);
        }
        if self.head == Head::Bundle {
            let points = vec![(x + self.bar.0, y), (x + self.bar.1, y)];
            into.lines.push(Line { points, hue, up: true, plugs: [false, false], wire: None });
        }
        let from = y + self.bar_height();
        let top = if self.cards.is_empty() || self.head == Head::Nothing { from } else { from + DROP };
        let (width, height) = self.cell();
        let twig = self.twig();
        let indent = if self.is_row() { ((self.width - self.grid(self.columns).0) / 2.0).max(0.0) } else { 0.0 };
        // wires that pass by keep the right side
        let indent = if self.lanes == 0 { indent } else { 0.0 };
        let mut trunks: Vec<(f64, f64)> = Vec::new();
        for (index, (card, wire)) in self.cards.iter().enumerate() {
            let (row, column) = (index / self.columns, index % self.columns);
            let left = x + indent + float(column) * (width + twig + SPACE) + twig;
            let upper = top + float(row) * (height + SPACE);
            let up = wire.is_none_or(|wire| picture.wires[wire].up);
            card.draw(into, (left, upper), (width, !self.has_trunks()));
            if self.has_trunks() {
                let trunk = left - TWIG;
                let middle = upper + 20.0;
                let points = vec![(trunk, middle), (left, middle)];
                into.lines.push(Line { points, hue, up, plugs: [false, true], wire: *wire });
                trunks.retain(|(at, _)| *at != trunk);
                trunks.push((trunk, middle));
            } else if self.head != Head::Nothing {
                let middle = left + width / 2.0;
                let points = vec![(middle, from), (middle, upper)];
                into.lines.push(Line { points, hue, up, plugs: [false, true], wire: *wire });
            }
        }
        for (trunk, bottom) in trunks {
            let points = vec![(trunk, from), (trunk, bottom)];
            into.lines.push(Line { points, hue, up: true, plugs: [false, false], wire: None });
        }
    }

    fn draw_bar(&self, into: &mut Drawing, (x, y): (f64, f64), thing: usize, hue: Option<usize>) {
        let area = into.areas.len();
        let width = self.bar.1 - self.bar.0;
        into.areas.push(Area { x, y, width, height: BAR, thing, hue });
        let mut at = x + 14.0;
        for (role, text) in &self.caption {
            let font: Font = role.font();
            let width = font.width(text);
            let label = Label {
                x: at,
                y: y + BAR / 2.0 + 4.5,
                width,
                size: font.size(),
                text: text.clone(),
                role: *role,
                centred: false,
                area,
            };
            into.labels.push(label);
            at += width + 12.0;
        }
    }
}

/// Is it a room that can be a card on a block?
pub(super) fn can_be_leaf(kind: Kind) -> bool {
    matches!(kind, Kind::Room | Kind::Unseen)
}
