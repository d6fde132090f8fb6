//! An imagined host: the operations, interpreted in memory with Linux's preconditions and side effects.
//!
//! It is no recorder: an operation that Linux refuses is refused here with the same errno, and what the kernel does by
//! itself happens here too (a deleted link takes its peer, a link down loses its routes). An operation that fails changes
//! nothing. `raum-kernel` has a test that runs the same random plans here
//! and on Linux and compares; where they differ, this is what is wrong.
//!
//! It holds whole namespaces, with several labs' objects and unmarked ones in them; whose they are is decided by their marks
//! when they are observed, as on Linux.

pub mod imagine;
mod interpret;
mod observe;
mod refusal;
mod room;
mod routing;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::host::{Host, ObserveError, OpError, Outcome, Scope};
use crate::name::{IfName, NsId};
use crate::plan::Op;
use crate::state::{Route, State};
use room::Room;

/// In which order the namespaces of a stage have their turn: a right plan does not care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As the operations stand in the stage.
    #[default]
    Given,
    /// The last namespace first, each in its own order.
    Backwards,
}

/// An imagined host.
#[derive(Debug, Clone, Default)]
pub struct ModelHost {
    kernel: Kernel,
    order: Order,
    run_so_far: usize,
    fault: Option<(usize, OpError)>,
}

/// What the kernel holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kernel {
    rooms: BTreeMap<NsId, Room>,
}

impl Default for Kernel {
    /// A host with `lo` and nothing else.
    fn default() -> Self {
        Self { rooms: BTreeMap::from([(NsId::Host, Room::new(None))]) }
    }
}

impl ModelHost {
    /// A host with nothing on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The operation that comes as `n`th from now, counted from 0, fails with this error and changes nothing.
    pub fn fail_at(&mut self, n: usize, error: OpError) {
        self.fault = Some((self.run_so_far.saturating_add(n), error));
    }

    /// Sets the order between namespaces.
    pub fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    /// `net.ipv4.conf.all.promote_secondaries`, on every namespace of now and of later (as systemd sets it): an address
    /// whose subnet's primary one goes is promoted, not removed.
    pub fn promote_secondaries(&mut self, yes: bool) {
        for room in self.kernel.rooms.values_mut() {
            room.promote_secondaries = yes;
        }
    }

    /// Does something by hand, as a person at the machine would: no fault is injected, nothing is counted. An object of
    /// another lab or of group 0 made so is foreign.
    ///
    /// # Errors
    /// As the kernel would answer.
    pub fn by_hand(&mut self, op: &Op) -> Result<(), OpError> {
        self.kernel.run(op)
    }

    /// Moves an interface to another namespace by hand (`ip link set NAME netns NS`): it arrives down and bare.
    ///
    /// # Errors
    /// As the kernel would answer.
    pub fn move_by_hand(&mut self, ns: &NsId, name: &IfName, to: &NsId) -> Result<(), OpError> {
        self.kernel.move_link(ns, name, to)
    }

    /// Adds a route beside others with the same prefix and metric (`ip route append`).
    ///
    /// # Errors
    /// As the kernel would answer.
    pub fn append_route_by_hand(&mut self, ns: &NsId, route: &Route) -> Result<(), OpError> {
        self.kernel.append_route(ns, route)
    }

    /// Removes the route to an address's subnet, which the kernel made (`ip route del`).
    pub fn lose_subnet_by_hand(&mut self, ns: &NsId, link: &IfName, address: IpNet) {
        if let Some(iface) = self.kernel.rooms.get_mut(ns).and_then(|room| room.links.get_mut(link)) {
            let secondary = iface.secondary();
            if iface.up && iface.addresses.contains(&address) && !secondary.contains(&address) {
                iface.unrouted.insert(address);
            }
        }
    }

    fn run_one(&mut self, op: &Op) -> Result<(), OpError> {
        let n = self.run_so_far;
        self.run_so_far = n.saturating_add(1);
        match &self.fault {
            Some((at, error)) if *at == n => Err(error.clone()),
            _ => self.kernel.run(op),
        }
    }
}

impl Host for ModelHost {
    fn observe(&mut self, scope: &Scope) -> Result<State, ObserveError> {
        Ok(self.kernel.observe(scope))
    }

    /// After a failure the other namespaces go on: that is the harder case for whoever rolls back.
    fn run(&mut self, stage: &[Op]) -> Vec<Outcome> {
        let mut turns: Vec<&NsId> = Vec::new();
        for op in stage {
            if !turns.contains(&op.ns()) {
                turns.push(op.ns());
            }
        }
        if self.order == Order::Backwards {
            turns.reverse();
        }
        let mut outcomes = vec![Outcome::NotRun; stage.len()];
        let mut failed = BTreeSet::new();
        for turn in turns {
            for (op, outcome) in stage.iter().zip(&mut outcomes).filter(|(op, _)| op.ns() == turn) {
                if failed.contains(turn) {
                    break;
                }
                *outcome = match self.run_one(op) {
                    Ok(()) => Outcome::Done,
                    Err(error) => {
                        failed.insert(turn);
                        Outcome::Failed(error)
                    }
                };
            }
        }
        outcomes
    }
}
