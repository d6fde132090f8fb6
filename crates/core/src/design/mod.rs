//! Design: from a lab to the state that a host shall have. Every choice that the user left open is made here, so that
//! nothing downstream chooses: names, hardware addresses, addresses, routes, sysctls, rules.
//!
//! ```text
//! Lab -wiring-> veth pairs, bridges, their names -addresses-> -links, neighbours, routes, sysctls, rules-> State
//! ```
//!
//! All choices follow from names by [`crate::lab::stable_hash`], never from chance, the clock or what was there before:
//! the same lab in the same surroundings gives the same state for ever, and a second design after `up` gives it again.

pub(crate) mod addresses;
pub(crate) mod filter;
mod flows;
mod forwarding;
mod hosts;
pub(crate) mod links;
mod names;
pub(crate) mod nats;
mod neighbours;
pub(crate) mod routes;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
pub(crate) mod wiring;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::beside::Flow;
use crate::host::{Scope, Surroundings};
use crate::lab::Lab;
use crate::name::{LabName, NodeName, NsId};
use crate::state::State;

/// A lab with every choice made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Design {
    /// What the host shall have.
    pub state: State,
    /// What an observer must look at to compare.
    pub scope: Scope,
    /// Each node of the lab, and `host` where it has an address in the lab.
    pub nodes: BTreeMap<NodeName, DesignedNode>,
    /// What the host must let pass for it.
    pub flows: Vec<Flow>,
    /// hosts(5) for the inside of the lab's namespaces.
    pub hosts: String,
}

/// Where a node is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesignedNode {
    /// Its namespace.
    pub ns: NsId,
    /// All of its addresses in the lab, with their prefix lengths; those of its first interface first, IPv4 first.
    pub addresses: Vec<IpNet>,
}

/// Makes every choice. Only for a lab that [`crate::lab::check`] passed: for another one it does not panic, but leaves out
/// what makes no sense.
#[must_use]
pub fn design(lab: &Lab, around: &Surroundings) -> Design {
    let mut wiring = wiring::Wiring::of(lab);
    addresses::assign(&mut wiring);
    let mut state = State::default();
    for node in lab.nodes.iter().filter(|n| !n.name.is_host()) {
        state.entry(&NsId::of(&lab.name, &node.name));
    }
    links::add(&wiring, around, &mut state);
    neighbours::add(&wiring, around, &mut state);
    routes::add(&wiring, around, &mut state);
    let was = forwarding::add(&wiring, around, &mut state);
    rules::add(&wiring, around, was, &mut state);
    forwarding::restore(&lab.name, around, &mut state);
    let nodes = hosts::nodes(&wiring);
    let flows = flows::flows(&wiring, around);
    Design { scope: scope(&lab.name, around, &state), flows, hosts: hosts::text(lab, &nodes), nodes, state }
}

/// What `down` leads to: no object at all, and those host sysctls put back that no other lab needs.
#[must_use]
pub fn absent(lab: &LabName, around: &Surroundings) -> State {
    let mut state = State::default();
    forwarding::restore(lab, around, &mut state);
    state
}

/// Everything that the state speaks of.
fn scope(lab: &LabName, around: &Surroundings, state: &State) -> Scope {
    let sysctls = |(id, ns): (&NsId, &crate::state::Namespace)| {
        ns.sysctls.keys().map(|key| (id.clone(), key.clone())).collect::<Vec<_>>()
    };
    Scope {
        lab: lab.clone(),
        namespaces: state.namespaces.keys().filter_map(|id| id.name().cloned()).collect(),
        host_links: state
            .namespaces
            .get(&NsId::Host)
            .map_or_else(BTreeSet::new, |host| host.links.keys().cloned().collect()),
        sysctls: state.namespaces.iter().flat_map(sysctls).collect(),
        inside: true,
        neighbours: around.writes_neighbours(),
    }
}
