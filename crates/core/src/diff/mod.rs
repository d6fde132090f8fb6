//! `diff`: from what is to what shall be, as stages of operations. Pure.
//!
//! The same function serves `up` (observed to wanted), `down` (observed to nothing), rolling back (observed to the snapshot
//! from before) and repair. Three rules make its plans right:
//!
//! - **The kernel does things by itself.** A deleted link takes its peer, addresses, routes and sysctls along; a link that
//!   goes down loses its IPv4 routes and everything of IPv6. What disappears so is neither removed again nor forgotten where
//!   it is still wanted: `effects` keeps the account.
//! - **What stays is not interrupted.** A link that differs in an attribute is changed in place; a route is replaced, not
//!   removed and added; a bridge that is up stays up.
//! - **Order is data.** The stages of `Stages` are listed once, in the order in which they run.
//!
//! Limits: two routes with the same prefix and metric can be removed but not made (a route is always set by `replace`), and
//! a veth end whose peer is unknown ([`crate::state::LinkKind::Orphan`]) cannot be made again. Routes through no link (blackhole and its
//! like) on the host carry no mark of a lab: there they are set where wanted, but never removed.

mod conflict;
mod effects;
mod inside;
mod links;
mod rules;

use std::collections::BTreeSet;

pub use conflict::Conflict;

use crate::name::{LabName, NsId};
use crate::plan::{Op, Plan, Stage};
use crate::state::{Link, Namespace, Owner, State};

/// The operations that lead from one state of a lab to another; none if they are equal.
///
/// `lab` is whose states they are: new namespaces get its mark. Foreign objects are never touched; those of `to` are
/// not wanted, only remembered.
///
/// # Errors
/// Each wanted name that a foreign object of `from` holds.
pub fn diff(lab: &LabName, from: &State, to: &State) -> Result<Plan, Vec<Conflict>> {
    let conflicts = conflict::conflicts(lab, from, to);
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let mut stages = Stages::default();
    let pair = Pair { lab, from, to };
    let fate = links::Fate::of(&pair);
    links::remove(&pair, &fate, &mut stages);
    links::add(&pair, &fate, &mut stages);
    let nothing = Namespace::default();
    for (id, present, wanted) in pair.inside(&nothing) {
        let is_new = *id != NsId::Host && pair.present_at(id).is_none();
        let place = inside::Place { lab, id, present, wanted, is_new };
        inside::change(&place, &fate, &mut stages);
        rules::change(&place, &fate, &mut stages);
    }
    Ok(stages.plan())
}

/// The stages in the order in which they run. Within a namespace the order inside a stage holds too.
#[derive(Default)]
struct Stages {
    /// Sysctls put back, then the table that remembers what they were, then flows that followed its maps.
    old_rules: Vec<Op>,
    /// Routes, then neighbours, then addresses, then second names, then links down: of links that stay.
    old_addresses: Vec<Op>,
    /// Links that go.
    old_links: Vec<Op>,
    /// Namespaces that go, together: the kernel then cleans them up in one pass.
    old_namespaces: Vec<Op>,
    /// New namespaces.
    namespaces: Vec<Op>,
    /// Sysctls that their interfaces are born with.
    defaults: Vec<Op>,
    /// New bridges, down: ports name their bridge when they are born, perhaps from another namespace.
    bridges: Vec<Op>,
    /// New veth pairs.
    links: Vec<Op>,
    /// Changes of links and links up, then addresses, then neighbours, then routes: a gateway must be on a subnet of a link that is up.
    addresses: Vec<Op>,
    /// Tables, then the sysctls (a table remembers what its sysctls were, and filters before anything is forwarded), then
    /// flows that the old rules had decided about.
    rules: Vec<Op>,
    /// Rules in chains of others.
    openings: Vec<Op>,
    /// Bridges up, then the routes through them. Last of all: a bridge that is up floods each new port's multicast to all
    /// others, which at 1,000 ports costs 20 to 40 %.
    bridges_up: Vec<Op>,
}

impl Stages {
    fn plan(self) -> Plan {
        let stages = [
            ("old rules", self.old_rules),
            ("old addresses and routes", self.old_addresses),
            ("old links", self.old_links),
            ("old namespaces", self.old_namespaces),
            ("namespaces", self.namespaces),
            ("defaults for new interfaces", self.defaults),
            ("bridges", self.bridges),
            ("links", self.links),
            ("addresses and routes", self.addresses),
            ("rules and sysctls", self.rules),
            ("rules of others", self.openings),
            ("bridges up", self.bridges_up),
        ];
        let full = stages.into_iter().filter(|(_, ops)| !ops.is_empty());
        Plan { stages: full.map(|(title, ops)| Stage { title, ops }).collect() }
    }
}

/// Both states, seen without what is foreign.
struct Pair<'a> {
    lab: &'a LabName,
    from: &'a State,
    to: &'a State,
}

impl<'a> Pair<'a> {
    /// The lab's namespaces that exist.
    fn present(&self) -> impl Iterator<Item = (&'a NsId, &'a Namespace)> + use<'a> {
        self.from.namespaces.iter().filter(|(_, ns)| ns.owner == Owner::Lab)
    }

    /// The lab's namespaces that are wanted.
    fn wanted(&self) -> impl Iterator<Item = (&'a NsId, &'a Namespace)> + use<'a> {
        self.to.namespaces.iter().filter(|(_, ns)| ns.owner == Owner::Lab)
    }

    /// Names without a namespace that nobody wants.
    fn leftovers(&self) -> impl Iterator<Item = (&'a NsId, &'a Namespace)> + use<'a> {
        let (from, to) = (self.from, self.to);
        let left = from.namespaces.iter().filter(|(_, ns)| ns.owner == Owner::Leftover);
        left.filter(|(id, _)| !to.namespaces.contains_key(*id))
    }

    fn present_at(&self, id: &NsId) -> Option<&'a Namespace> {
        self.from.namespaces.get(id).filter(|ns| ns.owner == Owner::Lab)
    }

    /// Each namespace that shall be there in the end, with what is in it and what shall be. The host always is.
    fn inside(&self, nothing: &'a Namespace) -> Vec<(&'a NsId, &'a Namespace, &'a Namespace)> {
        let host = (!self.to.namespaces.contains_key(&NsId::Host)).then_some((&NsId::Host, nothing));
        let wanted = host.into_iter().chain(self.wanted());
        wanted.map(|(id, wanted)| (id, self.present_at(id).unwrap_or(nothing), wanted)).collect()
    }

    /// Does the namespace exist and stay?
    fn stays(&self, id: &NsId) -> bool {
        let in_both = |state: &State| state.namespaces.get(id).is_some_and(|ns| ns.owner == Owner::Lab);
        *id == NsId::Host || (in_both(self.from) && in_both(self.to))
    }
}

/// The lab's links of a namespace.
fn own_links(ns: &Namespace) -> impl Iterator<Item = (&crate::name::IfName, &Link)> {
    ns.links.iter().filter(|(_, link)| link.owner == Owner::Lab)
}

/// A link by its place.
type LinkId<'a> = (&'a NsId, &'a crate::name::IfName);

/// Some links.
type LinkIds<'a> = BTreeSet<LinkId<'a>>;
