//! Where everything goes: a picture with places, in pixels, before anybody says how it is to be drawn.
//!
//! Texts decide sizes (`boxes`). A switch and the rooms that are on it alone are one block, a bar with a grid below it
//! (`block`): sixty rooms on a switch would else be one endless row. What is left is a small graph of boxes and blocks,
//! with whatever leads out on top; `layers` has dagre lay it out, and `route` draws the wires so that none crosses a box.
//! Parts that nothing joins are laid side by side. Where a part is too much to be laid out, its boxes are laid side by
//! side, too, and each says where its wires lead.

mod block;
mod boxes;
mod layers;
mod route;

pub(super) use boxes::ROOF;

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::measure::Font;
use super::{Kind, Picture};

/// Everything in its place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drawing {
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
    /// Boxes and bars, one for each thing of the picture; none overlaps another.
    pub areas: Vec<Area>,
    /// Texts, each inside its area.
    pub labels: Vec<Label>,
    /// Wires; they go below the areas.
    pub lines: Vec<Line>,
    /// How many wires are told in words, since they are too many.
    pub told: usize,
}

/// A box, or the bar of a switch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// The width.
    pub width: f64,
    /// The height.
    pub height: f64,
    /// Which thing of the picture it is.
    pub thing: usize,
    /// Its colour, by number: switches have one each.
    pub hue: Option<usize>,
}

/// A text in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Its left edge.
    pub x: f64,
    /// Its base line.
    pub y: f64,
    /// As wide as it may get.
    pub width: f64,
    /// The size of its font.
    pub size: f64,
    /// What it says.
    pub text: String,
    /// What it is.
    pub role: Role,
    /// In the middle of its place, else at its left edge.
    pub centred: bool,
    /// Inside which of [`Drawing::areas`].
    pub area: usize,
}

/// What a [`Label`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A name.
    Title,
    /// Whose, where, which subnet.
    Detail,
    /// An interface.
    Interface,
    /// An address.
    Address,
    /// A note on translated sources.
    Nat,
    /// A note on a port that leads elsewhere.
    Port,
}

impl Role {
    pub(super) fn font(self) -> Font {
        match self {
            Role::Title => Font::Title(14.0),
            Role::Detail => Font::Plain(11.0),
            Role::Interface | Role::Address => Font::Mono(11.0),
            Role::Nat | Role::Port => Font::Plain(11.5),
        }
    }
}

/// A wire, or a piece of one: from point to point, in turns straight and in a curve whose ends are upright.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The points.
    pub points: Vec<(f64, f64)>,
    /// The colour of the switch that it is on.
    pub hue: Option<usize>,
    /// Both ends are up.
    pub up: bool,
    /// Has it plugs to be drawn at its first and last point?
    pub plugs: [bool; 2],
    /// Which wire of the picture; none for the trunk that many share.
    pub wire: Option<usize>,
}

/// Free around the whole, and between its parts.
const MARGIN: f64 = 28.0;
const GAP: f64 = 36.0;
/// Kept free above everything for the title.
const HEADING: f64 = 34.0;

impl Drawing {
    /// Moves everything.
    fn shift(&mut self, dx: f64, dy: f64) {
        for area in &mut self.areas {
            area.x += dx;
            area.y += dy;
        }
        for label in &mut self.labels {
            label.x += dx;
            label.y += dy;
        }
        for (x, y) in self.lines.iter_mut().flat_map(|line| &mut line.points) {
            *x += dx;
            *y += dy;
        }
    }

    /// Takes in another one, which lies beside what is here.
    fn take(&mut self, other: Drawing) {
        let first = self.areas.len();
        self.areas.extend(other.areas);
        self.labels.extend(other.labels.into_iter().map(|label| Label { area: label.area + first, ..label }));
        self.lines.extend(other.lines);
    }
}

/// Gives everything a place.
#[must_use]
pub fn arrange(picture: &Picture) -> Drawing {
    let hues = hues(picture);
    let told = layers::too_many(picture);
    let picture = tell(picture, &told);
    let mut drawing = pack(layers::parts(&picture, &hues, &told));
    drawing.told = told.len();
    let title = Font::Title(18.0).width(&picture.title);
    drawing.width = drawing.width.max(title) + 2.0 * MARGIN;
    drawing.height += 2.0 * MARGIN + HEADING;
    drawing.shift(MARGIN, MARGIN + HEADING);
    drawing
}

/// Each end of these wires is a line in its box: `eth0 to web eth1, 10.0.0.1/30`. A switch has no room for that; whoever is
/// on it says so.
fn tell<'p>(picture: &'p Picture, told: &BTreeSet<usize>) -> Cow<'p, Picture> {
    let mut picture = Cow::Borrowed(picture);
    for index in told {
        let [a, b] = picture.wires[*index].ends.clone();
        for (own, far) in [(&a, &b), (&b, &a)] {
            let name = picture.things[far.thing].name.clone();
            let words = own.interface.iter().map(String::as_str).chain(["to", &name]);
            let words: Vec<&str> = words.chain(far.interface.as_deref()).collect();
            let mut line = words.join(" ");
            for address in &own.addresses {
                line += &format!(", {address}");
            }
            picture.to_mut().things[own.thing].loose.push(line);
        }
    }
    picture
}

/// A colour for each switch.
fn hues(picture: &Picture) -> Vec<Option<usize>> {
    let mut next = 0..;
    picture.things.iter().map(|thing| (thing.kind == Kind::Switch).then(|| next.next().unwrap_or(0))).collect()
}

/// Side by side, in rows of a width that makes the whole one and a half times as wide as high, or as wide as its widest.
fn pack(parts: Vec<Drawing>) -> Drawing {
    let area: f64 = parts.iter().map(|part| (part.width + GAP) * (part.height + GAP)).sum();
    let widest = parts.iter().map(|part| part.width).fold(0.0, f64::max);
    let width = (area * 1.5).sqrt().max(widest);
    let mut whole = Drawing::default();
    let (mut x, mut y, mut row) = (0.0, 0.0, 0.0_f64);
    for mut part in parts {
        if x > 0.0 && x + part.width > width + 0.5 {
            (x, y, row) = (0.0, y + row + GAP, 0.0);
        }
        part.shift(x, y);
        whole.width = whole.width.max(x + part.width);
        whole.height = whole.height.max(y + part.height);
        x += part.width + GAP;
        row = row.max(part.height);
        whole.take(part);
    }
    whole
}

/// A small number, as a float.
fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
