//! Links and namespaces that come and go: which stay, which are deleted by what, which are made.

use std::collections::{BTreeMap, BTreeSet};

use super::{LinkId, LinkIds, Pair, Stages, own_links};
use crate::lab::link_group;
use crate::name::{IfName, NsId};
use crate::plan::{AltnameChange, LinkChange, Op, VethEnd};
use crate::state::{Link, LinkKind};

/// What becomes of each link of the lab.
#[derive(Default)]
pub(super) struct Fate<'a> {
    /// There now, and gone before anything is added.
    pub going: LinkIds<'a>,
    /// Made by the plan. A name can be in both.
    pub born: LinkIds<'a>,
    /// Those of `born` that are the first end of their veth pair.
    pub first: LinkIds<'a>,
    /// Namespaces in which links come or go.
    pub touched: BTreeSet<&'a NsId>,
}

impl<'a> Fate<'a> {
    pub(super) fn of(pair: &Pair<'a>) -> Self {
        let mut fate = Fate::default();
        for (id, ns) in pair.present() {
            let going = own_links(ns).filter(|(name, link)| !stays(pair, id, name, link)).map(|(name, _)| (id, name));
            fate.going.extend(going);
        }
        for (id, ns) in pair.wanted() {
            let present = pair.present_at(id);
            for (name, _) in own_links(ns) {
                if present.and_then(|ns| ns.links.get(name)).is_none() || fate.going.contains(&(id, name)) {
                    fate.born.insert((id, name));
                }
            }
        }
        for &(id, name) in &fate.born {
            let link = pair.to.namespaces.get(id).and_then(|ns| ns.links.get(name));
            if let Some((a, _)) = link.and_then(|link| ends(pair, (id, name), link))
                && a.0 == (id, name)
            {
                fate.first.insert(a.0);
            }
        }
        fate.touched = fate.going.iter().chain(&fate.born).map(|(id, _)| *id).collect();
        fate
    }
}

/// A link stays if its namespace does and it is wanted as the same kind; a veth end only with its other end.
fn stays(pair: &Pair<'_>, id: &NsId, name: &IfName, link: &Link) -> bool {
    let wanted_kind = |id: &NsId, name: &IfName| {
        let ns = pair.to.namespaces.get(id)?;
        own_links(ns).find(|(wanted, _)| *wanted == name).map(|(_, link)| &link.kind)
    };
    if !pair.stays(id) || wanted_kind(id, name) != Some(&link.kind) {
        return false;
    }
    let LinkKind::Veth { peer_ns, peer } = &link.kind else { return true };
    let back = LinkKind::Veth { peer_ns: id.clone(), peer: name.clone() };
    let is_there = pair.present_at(peer_ns).and_then(|ns| ns.links.get(peer)).is_some_and(|link| link.kind == back);
    is_there && wanted_kind(peer_ns, peer) == Some(&back)
}

/// Links and namespaces that go. Inside a namespace that goes nothing is removed one by one, but a veth with one end outside
/// of it is removed at that end: the kernel cleans namespaces up in its own time, and the name may be needed at once.
pub(super) fn remove(pair: &Pair<'_>, fate: &Fate<'_>, stages: &mut Stages) {
    let mut gone = LinkIds::new();
    let staying = || pair.present().filter(|(id, _)| pair.stays(id));
    // whole groups first, the host's before all. A group whose links go with another one's is left to the next loop:
    // which of the two runs first is open, and the second would find nothing
    let group = link_group(pair.lab);
    for (id, ns) in staying() {
        let goes = |(name, link): (&'_ IfName, &Link)| link.group == group && fate.going.contains(&(id, name));
        let is_free = |(name, _): (&'_ IfName, &Link)| !gone.contains(&(id, name));
        if own_links(ns).count() > 1 && own_links(ns).all(goes) && own_links(ns).all(is_free) {
            // a bridge that is up looks at all other ports when one goes: down, 1,000 ports cost a quarter less
            let working = |(_, link): &(&IfName, &Link)| link.kind == LinkKind::Bridge && link.up;
            let set = LinkChange { up: Some(false), ..LinkChange::default() };
            let bridges = own_links(ns).filter(working);
            let down =
                |(name, _): (&IfName, &Link)| Op::SetLink { ns: id.clone(), name: name.clone(), set: set.clone() };
            stages.old_links.extend(bridges.map(down));
            stages.old_links.push(Op::DelGroup { ns: id.clone(), group });
            for (name, link) in own_links(ns) {
                gone.insert((id, name));
                gone.extend(peer(link));
            }
        }
    }
    for (id, ns) in staying() {
        for (name, link) in own_links(ns).filter(|(name, _)| fate.going.contains(&(id, *name))) {
            if gone.insert((id, name)) {
                stages.old_links.push(Op::DelLink { ns: id.clone(), name: name.clone() });
                gone.extend(peer(link));
            }
        }
    }
    for (id, _) in pair.present().filter(|(id, _)| !pair.stays(id)).chain(pair.leftovers()) {
        if let NsId::Named(name) = id {
            stages.old_namespaces.push(Op::DelNamespace { name: name.clone() });
        }
    }
}

fn peer(link: &Link) -> Option<LinkId<'_>> {
    match &link.kind {
        LinkKind::Veth { peer_ns, peer } => Some((peer_ns, peer)),
        _ => None,
    }
}

/// Namespaces, bridges and veth pairs that are made. What a link cannot be born with is set
/// later: see [`as_born`].
pub(super) fn add(pair: &Pair<'_>, fate: &Fate<'_>, stages: &mut Stages) {
    for (id, _) in pair.wanted().filter(|(id, _)| pair.present_at(id).is_none()) {
        if let NsId::Named(name) = id {
            stages.namespaces.push(Op::AddNamespace { name: name.clone(), lab: pair.lab.clone() });
        }
    }
    for (id, ns) in pair.wanted() {
        for (name, link) in own_links(ns).filter(|(name, _)| fate.born.contains(&(id, *name))) {
            match &link.kind {
                LinkKind::Bridge => stages.bridges.push(Op::AddBridge {
                    ns: id.clone(),
                    name: name.clone(),
                    mac: link.mac,
                    mtu: link.mtu,
                    group: link.group,
                }),
                LinkKind::Veth { .. } => {
                    if fate.first.contains(&(id, name))
                        && let Some((a, b)) = ends(pair, (id, name), link)
                    {
                        let (a, b) = (end(a, true), end(b, false));
                        stages.links.push(Op::AddVeth { a, b, group: link.group });
                    }
                }
                // cannot be made: such a link only ever stays
                LinkKind::Orphan | LinkKind::Other(_) => {}
            }
        }
    }
}

type End<'a> = (LinkId<'a>, &'a Link);

/// Both ends of a wanted veth pair, first the one that is better born as `a`: a port, else one that is up. None if the other
/// end does not speak of this one.
fn ends<'a>(pair: &Pair<'a>, (id, name): LinkId<'a>, link: &'a Link) -> Option<(End<'a>, End<'a>)> {
    let LinkKind::Veth { peer_ns, peer } = &link.kind else { return None };
    let other = pair.to.namespaces.get(peer_ns)?.links.get(peer)?;
    if other.kind != (LinkKind::Veth { peer_ns: id.clone(), peer: name.clone() }) || (peer_ns, peer) == (id, name) {
        return None;
    }
    let (one, two): (End<'_>, End<'_>) = (((id, name), link), ((peer_ns, peer), other));
    let rank = |(id, link): &End<'a>| (link.master.is_none(), !link.up, *id);
    Some(if rank(&one) <= rank(&two) { (one, two) } else { (two, one) })
}

fn end(((ns, name), link): End<'_>, is_a: bool) -> VethEnd {
    VethEnd {
        ns: ns.clone(),
        name: name.clone(),
        mac: link.mac,
        mtu: link.mtu,
        master: link.master.clone().filter(|_| is_a),
        up: link.up && is_a,
    }
}

/// What a new link is like after [`add`]: the state from which [`super::inside`] changes it.
pub(super) fn as_born(wanted: &Link, is_a: bool) -> Link {
    Link {
        up: wanted.up && is_a,
        master: wanted.master.clone().filter(|_| is_a),
        isolated: false,
        hairpin: false,
        unusual: BTreeSet::new(),
        arp: true,
        alias: None,
        altname: None,
        addresses: BTreeSet::new(),
        unrouted: BTreeSet::new(),
        secondary: BTreeSet::new(),
        neighbours: BTreeMap::new(),
        ..wanted.clone()
    }
}

/// The change that makes `now` be `wanted`, without the second names.
pub(super) fn link_change(now: &Link, wanted: &Link) -> LinkChange {
    // a port that leaves its bridge, or comes to one, is a new one (`new_nbp`, net/bridge/br_if.c)
    let stays = now.master == wanted.master;
    let (isolated, hairpin) = (now.isolated && stays, now.hairpin && stays);
    let unusual = if stays { &now.unusual } else { &BTreeSet::new() };
    let changed = unusual.symmetric_difference(&wanted.unusual);
    LinkChange {
        up: (now.up != wanted.up).then_some(wanted.up),
        mtu: (now.mtu != wanted.mtu).then_some(wanted.mtu),
        mac: (now.mac != wanted.mac).then_some(wanted.mac),
        master: (now.master != wanted.master).then(|| wanted.master.clone()),
        isolated: (isolated != wanted.isolated).then_some(wanted.isolated),
        hairpin: (hairpin != wanted.hairpin).then_some(wanted.hairpin),
        port: changed.map(|flag| (*flag, flag.is_usual() != wanted.unusual.contains(flag))).collect(),
        arp: (now.arp != wanted.arp).then_some(wanted.arp),
        alias: (now.alias != wanted.alias).then(|| wanted.alias.clone().unwrap_or_default()),
        altname: None,
    }
}

/// A second name comes or goes, and nothing else.
pub(super) fn altname(change: AltnameChange) -> LinkChange {
    LinkChange { altname: Some(change), ..LinkChange::default() }
}
