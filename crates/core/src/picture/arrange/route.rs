//! Wires: down from a plug to the end of its layer, in a curve to where it passes the next one, down through that, and so
//! on. Only between layers do wires cross each other, and there are no boxes.

use std::collections::BTreeMap;

use super::super::Picture;
use super::layers::{Edge, Placed, Shape};
use super::{Drawing, Line};

/// From the end of a bar to the first wire on it, and between wires on it.
const BAR_PAD: f64 = 16.0;
/// How far a bar stays away from its neighbours.
const BAR_FREE: f64 = 30.0;

/// The layers from above: where each begins and ends.
pub(super) fn layers(placed: &[Placed]) -> Vec<(f64, f64)> {
    let mut layers: Vec<(f64, f64)> = Vec::new();
    let mut boxes: Vec<(f64, f64)> = placed.iter().map(|item| (item.y, item.y + item.size().1)).collect();
    boxes.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (top, bottom) in boxes {
        match layers.last_mut() {
            Some(layer) if (layer.0 - top).abs() < 1.0 => layer.1 = layer.1.max(bottom),
            _ => layers.push((top, bottom)),
        }
    }
    layers
}

/// Draws a part.
pub(super) fn draw(picture: &Picture, hues: &[Option<usize>], mut placed: Vec<Placed>, edges: &[Edge]) -> Drawing {
    order_plugs(&mut placed, edges);
    let layers = layers(&placed);
    let plugs = plugs(&placed);
    stretch_bars(&mut placed, edges, &plugs, &layers);
    let (upper_x, lower_x) = bar_plugs(&placed, edges, plugs);
    let mut drawing = Drawing::default();
    for (number, edge) in edges.iter().enumerate() {
        let (upper, lower) = (&placed[edge.upper], &placed[edge.lower]);
        let start = match &upper.shape {
            Shape::Block(block) => upper.y + block.bar_height(),
            Shape::Boxed(boxed) => upper.y + boxed.height,
        };
        // on the roof of the house
        let below = match &lower.shape {
            Shape::Boxed(boxed) => boxed.edge_at(lower_x[number] - lower.x),
            Shape::Block(_) => 0.0,
        };
        let mut points = vec![(upper_x[number], start)];
        let between = layers.iter().filter(|(top, _)| *top > upper.y + 1.0 && *top < lower.y - 1.0);
        let own = layers.iter().find(|(top, _)| (*top - upper.y).abs() <= 1.0);
        points.push((upper_x[number], own.map_or(start, |(_, bottom)| *bottom)));
        for (x, (top, bottom)) in edge.through.iter().zip(between) {
            points.extend([(*x, *top), (*x, *bottom)]);
        }
        points.extend([(lower_x[number], lower.y), (lower_x[number], lower.y + below)]);
        let wire = &picture.wires[edge.wire];
        let is_box = |item: &Placed| matches!(item.shape, Shape::Boxed(_));
        drawing.lines.push(Line {
            points,
            hue: hues[upper.thing].or(hues[lower.thing]),
            up: wire.up || is_bundle(lower),
            plugs: [is_box(upper), is_box(lower)],
            // a bundle is more than the one that stands for it
            wire: (!is_bundle(lower)).then_some(edge.wire),
        });
    }
    for item in &placed {
        match &item.shape {
            Shape::Boxed(boxed) => boxed.draw(&mut drawing, (item.x, item.y), (boxed.width, true)),
            Shape::Block(block) => block.draw(picture, &mut drawing, (item.x, item.y)),
        }
    }
    let points = || drawing.lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    let left = drawing.areas.iter().map(|area| area.x).chain(points()).fold(f64::INFINITY, f64::min);
    let right = drawing.areas.iter().map(|area| area.x + area.width).chain(points()).fold(0.0, f64::max);
    let bottom = placed.iter().map(|item| item.y + item.size().1).fold(0.0, f64::max);
    drawing.shift(-left, 0.0);
    (drawing.width, drawing.height) = (right - left, bottom);
    drawing
}

fn is_bundle(item: &Placed) -> bool {
    matches!(&item.shape, Shape::Block(block) if !block.is_switch())
}

/// Puts the interfaces of each box in the order of what they lead to, so that their wires do not cross.
fn order_plugs(placed: &mut [Placed], edges: &[Edge]) {
    let middles: Vec<f64> = placed.iter().map(|item| item.x + item.size().0 / 2.0).collect();
    let mut seen_from: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for edge in edges {
        seen_from.insert((edge.upper, edge.wire), edge.through.first().copied().unwrap_or(middles[edge.lower]));
        seen_from.insert((edge.lower, edge.wire), edge.through.last().copied().unwrap_or(middles[edge.upper]));
    }
    for (index, item) in placed.iter_mut().enumerate() {
        if let Shape::Boxed(boxed) = &mut item.shape {
            boxed.order(|wire| seen_from.get(&(index, wire)).copied().unwrap_or_default());
        }
    }
}

/// Where wires leave boxes, by box and wire.
type Plugs = BTreeMap<(usize, usize), f64>;

fn plugs(placed: &[Placed]) -> Plugs {
    let mut found = BTreeMap::new();
    for (index, item) in placed.iter().enumerate() {
        if let Shape::Boxed(boxed) = &item.shape {
            found.extend(boxed.plugs().into_iter().map(|(wire, x)| ((index, wire), item.x + x)));
        }
    }
    found
}

/// Where an edge is when it comes to one of its ends, seen from the other.
fn comes_from(edge: &Edge, to_upper: bool, placed: &[Placed], plugs: &Plugs) -> f64 {
    let (far, near_through) =
        if to_upper { (edge.lower, edge.through.first()) } else { (edge.upper, edge.through.last()) };
    let middle = || placed[far].x + placed[far].size().0 / 2.0;
    near_through.copied().or_else(|| plugs.get(&(far, edge.wire)).copied()).unwrap_or_else(middle)
}

/// Makes each bar as wide as what is on it, as far as there is place in its layer.
fn stretch_bars(placed: &mut [Placed], edges: &[Edge], plugs: &Plugs, layers: &[(f64, f64)]) {
    for index in 0..placed.len() {
        let is_switch = matches!(&placed[index].shape, Shape::Block(block) if block.is_switch());
        if !is_switch {
            continue;
        }
        let own = (placed[index].x, placed[index].x + placed[index].size().0);
        let mut wanted = own;
        for edge in edges.iter().filter(|edge| edge.upper == index || edge.lower == index) {
            let x = comes_from(edge, edge.upper == index, placed, plugs);
            wanted = (wanted.0.min(x - BAR_PAD), wanted.1.max(x + BAR_PAD));
        }
        let top = placed[index].y;
        let beside = placed.iter().enumerate().filter(|(other, item)| *other != index && (item.y - top).abs() < 1.0);
        let mut taken: Vec<(f64, f64)> = beside
            .map(|(_, item)| match &item.shape {
                Shape::Block(block) => {
                    let right = (item.x + block.bar.1).max(item.x + block.width);
                    ((item.x + block.bar.0).min(item.x), right)
                }
                Shape::Boxed(boxed) => (item.x, item.x + boxed.width),
            })
            .collect();
        for edge in edges {
            let between =
                layers.iter().filter(|(top, _)| *top > placed[edge.upper].y + 1.0 && *top < placed[edge.lower].y - 1.0);
            let here = edge.through.iter().zip(between).filter(|(_, layer)| (layer.0 - top).abs() < 1.0);
            taken.extend(here.map(|(x, _)| (*x, *x)));
        }
        for (left, right) in taken {
            if right <= own.0 {
                wanted.0 = wanted.0.max((right + BAR_FREE).min(own.0));
            }
            if left >= own.1 {
                wanted.1 = wanted.1.min((left - BAR_FREE).max(own.1));
            }
        }
        let x = placed[index].x;
        if let Shape::Block(block) = &mut placed[index].shape {
            block.bar = (wanted.0 - x, wanted.1 - x);
        }
    }
}

/// Where each edge leaves its upper end and comes to its lower one.
fn bar_plugs(placed: &[Placed], edges: &[Edge], plugs: Plugs) -> (Vec<f64>, Vec<f64>) {
    let mut upper: Vec<f64> =
        edges.iter().map(|edge| plugs.get(&(edge.upper, edge.wire)).copied().unwrap_or_default()).collect();
    let mut lower: Vec<f64> =
        edges.iter().map(|edge| plugs.get(&(edge.lower, edge.wire)).copied().unwrap_or_default()).collect();
    for (index, item) in placed.iter().enumerate() {
        let Shape::Block(block) = &item.shape else { continue };
        let pad = if block.is_switch() { BAR_PAD } else { 0.0 };
        let bar = (item.x + block.bar.0 + pad, item.x + block.bar.1 - pad);
        let from_above: Vec<(usize, f64)> = edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.lower == index)
            .map(|(number, edge)| (number, comes_from(edge, false, placed, &plugs)))
            .collect();
        for (number, x) in spread(from_above, bar) {
            lower[number] = x;
        }
        let mut below: Vec<(usize, f64)> = edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.upper == index)
            .map(|(number, edge)| (number, comes_from(edge, true, placed, &plugs)))
            .collect();
        if block.is_bare() {
            for (number, x) in spread(below, bar) {
                upper[number] = x;
            }
        } else {
            below.sort_by(|a, b| a.1.total_cmp(&b.1));
            for (lane, (number, _)) in below.into_iter().enumerate() {
                upper[number] = item.x + block.lane(lane);
            }
        }
    }
    (upper, lower)
}

/// Each as near as can be to where it wants to be, inside the bar, and none on another.
fn spread(mut wanted: Vec<(usize, f64)>, (from, to): (f64, f64)) -> Vec<(usize, f64)> {
    wanted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let step = ((to - from).max(0.0) / super::float(wanted.len())).min(BAR_PAD);
    let mut least = from;
    for (_, x) in &mut wanted {
        *x = x.clamp(from, to.max(from)).max(least);
        least = *x + step;
    }
    let mut most = to.max(from);
    for (_, x) in wanted.iter_mut().rev() {
        *x = x.min(most);
        most = *x - step;
    }
    wanted
}
