//! Layers: whatever leads out is on top, and each thing below that by which it is reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dagre::graph::{Graph, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, RankAlign};

use super::super::{Kind, Picture};
use super::block::{Block, Head, can_be_leaf};
use super::boxes::Boxed;
use super::{Drawing, route};

/// Between two layers, for the wires.
const LAYER_GAP: f64 = 56.0;
/// Between boxes of a layer.
const BOX_GAP: f64 = 30.0;

/// More wires than this between the boxes of a part, or more layers than this that they cross all together, are told in
/// words. Above it dagre's time explodes: 800 wires at random take 1 to 2 s, 1,600 take 20 s; 435 of each of 30 rooms to
/// each other cross 4,500 layers in 2 s, twice as many 20,000 in 30 s. And nobody follows one wire among so many.
const WIRES_MAX: usize = 800;
const CROSSED_MAX: usize = 4000;

/// More rooms than this that have a wire of their own to the same room are drawn as one block.
const BUNDLE: usize = 6;

/// A box or a block in a layer.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Boxed(Boxed),
    Block(Block),
}

/// One of them, with its place.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) thing: usize,
    pub(super) shape: Shape,
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Placed {
    pub(super) fn size(&self) -> (f64, f64) {
        match &self.shape {
            Shape::Boxed(boxed) => (boxed.width, boxed.height),
            Shape::Block(block) => (block.width, block.height),
        }
    }
}

/// A wire between two of them, from the upper to the lower.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) wire: usize,
    pub(super) upper: usize,
    pub(super) lower: usize,
    /// Where it passes the layers between, from above.
    pub(super) through: Vec<f64>,
}

/// What hangs on what.
struct Split {
    /// The wires on each thing, each with the end that is on it.
    on: Vec<Vec<(usize, usize)>>,
    /// Is it drawn on the block of the one thing that it is on?
    leaf: Vec<bool>,
    /// What hangs together, leaves left out.
    connected: Vec<Vec<usize>>,
    /// Rooms on nothing.
    alone: Vec<usize>,
}

/// `told` are wires that are not drawn.
fn split(picture: &Picture, told: &BTreeSet<usize>) -> Split {
    let mut on = picture.on_things();
    on.iter_mut().for_each(|on| on.retain(|(wire, _)| !told.contains(wire)));
    let far = |(wire, side): (usize, usize)| picture.wires[wire].ends[1 - side].thing;
    let is_switch = |thing: usize| picture.things[thing].kind == Kind::Switch;
    let hangs_on = |thing: usize| match on[thing].as_slice() {
        [one] if can_be_leaf(picture.things[thing].kind) && far(*one) != thing => Some(far(*one)),
        _ => None,
    };
    let mut hanging = vec![0_usize; picture.things.len()];
    for thing in (0..picture.things.len()).filter_map(hangs_on) {
        hanging[thing] += 1;
    }
    let is_leaf = |thing: usize| hangs_on(thing).is_some_and(|on| is_switch(on) || hanging[on] > BUNDLE);
    let leaf: Vec<bool> = (0..picture.things.len()).map(is_leaf).collect();
    let is_alone = |thing: usize| on[thing].is_empty() && can_be_leaf(picture.things[thing].kind);
    let mut left: BTreeSet<usize> =
        (0..picture.things.len()).filter(|thing| !leaf[*thing] && !is_alone(*thing)).collect();
    let mut connected = Vec::new();
    while let Some(first) = left.first().copied() {
        let mut members = vec![first];
        left.remove(&first);
        let mut next = 0;
        while let Some(thing) = members.get(next).copied() {
            next += 1;
            let new: Vec<usize> = on[thing].iter().map(|end| far(*end)).filter(|far| left.remove(far)).collect();
            members.extend(new);
        }
        members.sort_unstable();
        connected.push(members);
    }
    let alone = (0..picture.things.len()).filter(|thing| is_alone(*thing)).collect();
    Split { on, leaf, connected, alone }
}

/// The wires of those parts that are too much to be laid out.
pub(super) fn too_many(picture: &Picture) -> BTreeSet<usize> {
    let none = BTreeSet::new();
    let Split { on, leaf, connected, .. } = split(picture, &none);
    let parts = connected.into_iter().map(|members| Part { picture, hues: &[], on: &on, members });
    parts.flat_map(|part| part.too_many(&|thing| leaf[thing])).collect()
}

/// What of the picture hangs together, each laid out for itself; what hangs on nothing is the last. `told` are wires that
/// are not drawn.
pub(super) fn parts(picture: &Picture, hues: &[Option<usize>], told: &BTreeSet<usize>) -> Vec<Drawing> {
    let Split { on, leaf, connected, alone } = split(picture, told);
    let parts = connected.into_iter().map(|members| Part { picture, hues, on: &on, members });
    let mut drawings: Vec<Drawing> = parts.map(|part| part.draw(&|thing| leaf[thing])).collect();
    if !alone.is_empty() {
        let alone: Vec<(usize, Option<(usize, usize)>)> = alone.into_iter().map(|thing| (thing, None)).collect();
        let block = Block::new(picture, Head::Nothing, &alone, 0);
        let mut drawing = Drawing { width: block.width, height: block.height, ..Drawing::default() };
        block.draw(picture, &mut drawing, (0.0, 0.0));
        drawings.push(drawing);
    }
    drawings
}

struct Part<'p> {
    picture: &'p Picture,
    hues: &'p [Option<usize>],
    on: &'p [Vec<(usize, usize)>],
    /// Things that are boxes and blocks of their own.
    members: Vec<usize>,
}

impl Part<'_> {
    fn far(&self, (wire, side): (usize, usize)) -> usize {
        self.picture.wires[wire].ends[1 - side].thing
    }

    /// The wires between its members, if they are too many.
    fn too_many(&self, is_leaf: &dyn Fn(usize) -> bool) -> BTreeSet<usize> {
        let wires = |thing: usize| self.on[thing].iter().filter(move |end| !is_leaf(self.far(**end)));
        let all: BTreeSet<usize> = self.members.iter().flat_map(|thing| wires(*thing)).map(|end| end.0).collect();
        if all.len() > WIRES_MAX {
            return all;
        }
        let height = self.heights(is_leaf);
        let mut order: Vec<(Option<&usize>, usize)> =
            self.members.iter().map(|thing| (height.get(thing), *thing)).collect();
        order.sort_unstable();
        // a layer further down than the lowest above it, as dagre begins
        let (mut rank, mut crossed) = (BTreeMap::<usize, usize>::new(), 0);
        for (_, thing) in order {
            let above: Vec<usize> = wires(thing).filter_map(|end| rank.get(&self.far(*end)).copied()).collect();
            let own = above.iter().max().map_or(0, |lowest| lowest + 1);
            crossed += above.iter().map(|above| own - above).sum::<usize>();
            rank.insert(thing, own);
        }
        if crossed > CROSSED_MAX { all } else { BTreeSet::new() }
    }

    fn draw(&self, is_leaf: &dyn Fn(usize) -> bool) -> Drawing {
        let height = self.heights(is_leaf);
        let is_above = |a: usize, b: usize| (height.get(&a), a) < (height.get(&b), b);
        let mut edges = Vec::new();
        let (mut placed, mut bundles) = (Vec::new(), Vec::new());
        for (index, thing) in self.members.iter().copied().enumerate() {
            let outer = self.on[thing].iter().filter(|end| !is_leaf(self.far(**end)) && self.far(**end) != thing);
            let (up, down): (Vec<_>, Vec<_>) = outer.copied().partition(|end| is_above(self.far(*end), thing));
            for end in &down {
                let lower = self.members.binary_search(&self.far(*end)).unwrap_or_default();
                edges.push(Edge { wire: end.0, upper: index, lower, through: Vec::new() });
            }
            let mut leaves: Vec<_> = self.on[thing]
                .iter()
                .filter(|end| is_leaf(self.far(**end)))
                .map(|&(wire, side)| (self.far((wire, side)), Some((wire, 1 - side))))
                .collect();
            leaves.sort_unstable();
            let shape = if self.picture.things[thing].kind == Kind::Switch {
                let head = Head::Switch(thing, self.hues[thing]);
                Shape::Block(Block::new(self.picture, head, &leaves, down.len()))
            } else {
                let bundle = leaves.first().and_then(|(_, on)| on.map(|(wire, _)| (leaves.len(), wire)));
                if let Some((_, wire)) = bundle {
                    let shape = Shape::Block(Block::new(self.picture, Head::Bundle, &leaves, 0));
                    let lower = self.members.len() + bundles.len();
                    edges.push(Edge { wire, upper: index, lower, through: Vec::new() });
                    bundles.push(Placed { thing, shape, x: 0.0, y: 0.0 });
                }
                Shape::Boxed(Boxed::new(self.picture, thing, &up, &down, bundle))
            };
            placed.push(Placed { thing, shape, x: 0.0, y: 0.0 });
        }
        placed.append(&mut bundles);
        // where it makes no difference to dagre, things keep their order
        edges.sort_by_key(|edge| (edge.upper, edge.lower, edge.wire));
        lay_out(&mut placed, &mut edges);
        route::draw(self.picture, self.hues, placed, &edges)
    }

    /// How many wires each member is away from that which leads out: what is outside, else the host, else where most of
    /// the others' default routes lead to.
    fn heights(&self, is_leaf: &dyn Fn(usize) -> bool) -> BTreeMap<usize, usize> {
        let of_kind = |kind: Kind| self.members.iter().copied().find(|thing| self.picture.things[*thing].kind == kind);
        let root = of_kind(Kind::Outside).or_else(|| of_kind(Kind::Host)).or_else(|| self.most_upstream());
        let mut height = BTreeMap::new();
        let mut queue = VecDeque::new();
        if let Some(root) = root {
            height.insert(root, 0);
            queue.push_back(root);
        }
        while let Some(thing) = queue.pop_front() {
            let next = height[&thing] + 1;
            for end in &self.on[thing] {
                let far = self.far(*end);
                if !is_leaf(far) && !height.contains_key(&far) {
                    height.insert(far, next);
                    queue.push_back(far);
                }
            }
        }
        height
    }

    /// The member that most others reach by their ways out.
    fn most_upstream(&self) -> Option<usize> {
        // beyond that many it does not matter, and takes the square of them
        const WORTH: usize = 300;
        if self.members.len() > WORTH {
            return self.members.first().copied();
        }
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        for start in &self.members {
            let mut seen = BTreeSet::from([*start]);
            let mut queue = vec![*start];
            while let Some(thing) = queue.pop() {
                for end in &self.on[thing] {
                    let far = self.far(*end);
                    if self.leads_out(*end) && self.members.binary_search(&far).is_ok() && seen.insert(far) {
                        queue.push(far);
                        *reached.entry(far).or_default() += 1;
                    }
                }
            }
        }
        // a chain begins at one of its ends
        let inner = |thing: usize| {
            let far: BTreeSet<usize> = self.on[thing].iter().map(|end| self.far(*end)).collect();
            far.into_iter().filter(|far| self.members.binary_search(far).is_ok()).count()
        };
        let is_chain = self.members.iter().all(|thing| inner(*thing) <= 2);
        let ends: Vec<usize> = self.members.iter().copied().filter(|thing| is_chain && inner(*thing) == 1).collect();
        let worth = |thing: &usize| (reached.get(thing).copied().unwrap_or(0), std::cmp::Reverse(*thing));
        let candidates = if ends.is_empty() { &self.members } else { &ends };
        candidates.iter().copied().max_by_key(worth)
    }

    /// Is it the way out of what this end is on? From a switch to whoever is on it and has another way out, or none,
    /// where the others go out by the switch.
    fn leads_out(&self, (wire, side): (usize, usize)) -> bool {
        let ends = &self.picture.wires[wire].ends;
        let thing = ends[side].thing;
        if self.picture.things[thing].kind != Kind::Switch {
            return ends[side].way_out;
        }
        let others_do = || self.on[thing].iter().any(|(wire, side)| self.picture.wires[*wire].ends[1 - side].way_out);
        !ends[1 - side].way_out && self.picture.things[ends[1 - side].thing].kind != Kind::Switch && others_do()
    }
}

/// Gives each its place. All edges lead from above to below, so that there is no circle.
fn lay_out(placed: &mut [Placed], edges: &mut [Edge]) {
    let mut graph: Graph<NodeLabel, EdgeLabel> =
        Graph::with_options(GraphOptions { directed: true, multigraph: true, compound: false });
    for (index, item) in placed.iter().enumerate() {
        let (width, height) = item.size();
        graph.set_node(index.to_string(), Some(NodeLabel { width, height, ..NodeLabel::default() }));
    }
    for edge in edges.iter() {
        let (upper, lower) = (edge.upper.to_string(), edge.lower.to_string());
        graph.set_edge(upper, lower, Some(EdgeLabel::default()), Some(&edge.wire.to_string()));
    }
    let options = LayoutOptions {
        nodesep: BOX_GAP,
        edgesep: BOX_GAP,
        // dagre doubles the layers, to have place for labels on wires
        ranksep: LAYER_GAP,
        // where it makes no difference, things keep their order
        tie_keep_first: true,
        rank_align: RankAlign::Top,
        ..LayoutOptions::default()
    };
    dagre::layout(&mut graph, Some(options));
    for (index, item) in placed.iter_mut().enumerate() {
        let (width, height) = item.size();
        let label = graph.node(&index.to_string());
        let middle = label.and_then(|label| Some((label.x?, label.y?))).unwrap_or_default();
        (item.x, item.y) = (middle.0 - width / 2.0, middle.1 - height / 2.0);
    }
    let tops = route::layers(placed);
    for edge in edges {
        let label = graph.edge(&edge.upper.to_string(), &edge.lower.to_string(), Some(&edge.wire.to_string()));
        let points = label.map_or(&[][..], |label| label.points.as_slice());
        let (from, to) = (placed[edge.upper].y, placed[edge.lower].y);
        let between = tops.iter().filter(|(top, _)| *top > from + 1.0 && *top < to - 1.0);
        edge.through = between
            .map(|(top, bottom)| {
                let inside = points.iter().find(|point| point.y >= top - 1.0 && point.y <= bottom + 1.0);
                inside.map_or(placed[edge.lower].x, |point| point.x)
            })
            .collect();
    }
}
