//! The operations of one namespace: as many as can be in one message to the kernel, in their order.
//!
//! A batch ends where an operation speaks of a link that the same batch makes, so that its index can be learned, and so
//! that nothing is done to a link of that name if it turns out to be somebody else's. It ends before sysctls and rules.

use std::os::fd::AsFd;

use raum_core::host::{OpError, Outcome};
use raum_core::lab::mark;
use raum_core::name::IfName;
use raum_core::plan::{LinkChange, Op, VethEnd};
use raum_core::state::Route;
use rustix::io::Errno;

use super::{Learned, Peers};
use crate::link::{self, LOOPBACK};
use crate::message::Requests;
use crate::nft::{self, conntrack};
use crate::socket::{Protocol, Socket};
use crate::space::Space;
use crate::{address, errno, firewalld, neighbours, route, sysctl};

/// What a bridge has that nobody gave another one (`ether_setup`, net/ethernet/eth.c), in bytes.
const BRIDGE_MTU: u32 = 1500;

/// Requests in one message. The answers to all of them must fit the socket's buffer if all are refused.
const REQUESTS: usize = 64;
/// Bytes in one message.
const SIZE: usize = 32 << 10;

/// What became of a namespace's operations.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// By position in the stage. Those that are missing were not run.
    pub outcomes: Vec<(usize, Outcome)>,
    /// The other ends of new veths.
    pub learned: Learned,
    /// Nothing failed.
    pub well: bool,
}

impl Report {
    /// Nothing could be done.
    pub fn failed(ops: &[(usize, &Op)], error: &OpError) -> Self {
        let first = ops.first().map(|(position, _)| (*position, Outcome::Failed(error.clone())));
        Self { outcomes: first.into_iter().collect(), learned: Vec::new(), well: false }
    }
}

/// Must the thread be in the namespace, because no socket is there for it yet or because it is a file?
pub(super) fn needs_thread_inside(op: &Op) -> bool {
    matches!(
        op,
        Op::SetSysctl { .. }
            | Op::ReplaceTable { .. }
            | Op::ChangeEntries { .. }
            | Op::DelTable { .. }
            | Op::AddOpening { .. }
            | Op::DelOpening { .. }
            | Op::AddZone { .. }
            | Op::DelZone { .. }
            | Op::FlushFlows { .. }
    )
}

/// Runs operations in order, until one fails. `inside` says that the calling thread is in the namespace, which those need
/// of which [`needs_thread_inside`] says so.
pub(super) fn run(space: &mut Space, ops: &[(usize, &Op)], peers: &Peers, inside: bool) -> Report {
    let mut batch = Batch {
        space,
        peers,
        inside,
        netfilter: None,
        requests: Requests::new(),
        positions: Vec::new(),
        born: Vec::new(),
        report: Report { well: true, ..Report::default() },
    };
    for (position, op) in ops {
        if (batch.full() || batch.waits(op)) && !batch.flush() {
            break;
        }
        if let Err(error) = batch.take(*position, op) {
            // those before it may fail on their own, and then they are what is told
            if batch.flush() {
                batch.report.outcomes.push((*position, Outcome::Failed(error)));
                batch.report.well = false;
            }
        }
        if !batch.report.well {
            break;
        }
    }
    batch.flush();
    batch.report
}

struct Batch<'a> {
    space: &'a mut Space,
    peers: &'a Peers,
    inside: bool,
    netfilter: Option<Socket>,
    requests: Requests,
    /// For each request, its operation's position in the stage.
    positions: Vec<Awaited>,
    /// Links that the batch makes: the name here, and for a veth the other end.
    born: Vec<(&'a IfName, Option<&'a VethEnd>)>,
    report: Report,
}

impl<'a> Batch<'a> {
    fn full(&self) -> bool {
        self.requests.len() >= REQUESTS || self.requests.size() >= SIZE
    }

    /// Does the operation speak of a link that is being made?
    fn waits(&self, op: &Op) -> bool {
        if self.born.is_empty() {
            return false;
        }
        let here = |name: &IfName| {
            let in_this = |end: &&VethEnd| !self.peers.contains_key(&end.ns) && end.name == *name;
            self.born.iter().any(|(born, other)| *born == name || other.as_ref().is_some_and(in_this))
        };
        match op {
            Op::SetLink { name, set, .. } => {
                here(name) || set.master.as_ref().is_some_and(|m| m.as_ref().is_some_and(here))
            }
            Op::DelLink { name, .. } | Op::AddBridge { name, .. } => here(name),
            Op::AddVeth { a, b, .. } => here(&a.name) || here(&b.name) || a.master.as_ref().is_some_and(here),
            Op::AddAddress { link, .. }
            | Op::DelAddress { link, .. }
            | Op::RouteSubnet { link, .. }
            | Op::SetNeighbour { link, .. }
            | Op::DelNeighbour { link, .. } => here(link),
            Op::SetRoute { route, .. } | Op::DelRoute { route, .. } => route.dev.as_ref().is_some_and(here),
            // a group may have links of this batch
            Op::DelGroup { .. } => true,
            _ => false,
        }
    }

    /// Writes the operation's requests; those that are none of rtnetlink's are done at once, after what came before.
    fn take(&mut self, position: usize, op: &'a Op) -> Result<(), OpError> {
        let before = self.requests.len();
        match op {
            Op::AddNamespace { .. } | Op::DelNamespace { .. } => {
                return Err(errno::refused("a namespace is no matter of the inside of one"));
            }
            Op::MarkLoopback { lab, .. } => {
                let mark = mark(lab);
                let set = link::Set { up: Some(true), alias: Some(&mark), ..link::Set::default() };
                link::set(&mut self.requests, LOOPBACK, set);
                self.space.mark = Some(mark);
            }
            Op::AddBridge { name, mac, mtu, group, .. } => {
                self.space.indices.remove(name);
                // A bridge takes the smallest MTU of its ports until somebody changes its own (br_mtu_auto_adjust,
                // net/bridge/br_if.c; br_change_mtu, net/bridge/br_device.c): it is born with another one, and gets this.
                let other = if *mtu == BRIDGE_MTU { BRIDGE_MTU + 1 } else { BRIDGE_MTU };
                link::add_bridge(&mut self.requests, name, *mac, other, *group);
                link::set_mtu(&mut self.requests, name, *mtu);
                self.born.push((name, None));
            }
            Op::AddVeth { a, b, group } => self.add_veth(a, b, *group)?,
            Op::SetLink { name, set, .. } => self.set_link(name, set)?,
            Op::DelLink { name, .. } => {
                self.space.indices.remove(name);
                link::delete(&mut self.requests, name);
            }
            Op::DelGroup { group, .. } => {
                self.space.indices.clear();
                link::delete_group(&mut self.requests, *group);
            }
            Op::AddAddress { link, address, .. } => {
                let index = self.space.index(link)?;
                address::add(&mut self.requests, index, *address);
            }
            Op::DelAddress { link, address, .. } => {
                let index = self.space.index(link)?;
                address::delete(&mut self.requests, index, *address);
            }
            Op::RouteSubnet { link, address, .. } => {
                let index = self.space.index(link)?;
                route::add_subnet(&mut self.requests, index, *address);
            }
            Op::SetNeighbour { link, address, mac, .. } => {
                let index = self.space.index(link)?;
                neighbours::set(&mut self.requests, index, *address, *mac);
            }
            Op::DelNeighbour { link, address, .. } => {
                let index = self.space.index(link)?;
                neighbours::delete(&mut self.requests, index, *address);
            }
            Op::SetRoute { route, .. } => {
                let index = self.route_index(route)?;
                route::set(&mut self.requests, route, index);
            }
            Op::DelRoute { route, .. } => {
                let index = self.route_index(route)?;
                route::delete(&mut self.requests, route, index);
            }
            Op::SetSysctl { .. }
            | Op::ReplaceTable { .. }
            | Op::ChangeEntries { .. }
            | Op::DelTable { .. }
            | Op::AddOpening { .. }
            | Op::DelOpening { .. }
            | Op::AddZone { .. }
            | Op::DelZone { .. }
            | Op::FlushFlows { .. } => {
                return self.take_other(position, op);
            }
        }
        let pardoned = match op {
            // An IPv4 address that is its subnet's first one takes the others along, unless `promote_secondaries` is set
            // (`__inet_del_ifa`, net/ipv4/devinet.c): what is gone is gone.
            Op::DelAddress { .. } => Some(Errno::ADDRNOTAVAIL),
            // What came back with something else is there.
            Op::RouteSubnet { .. } => Some(Errno::EXIST),
            // It may have gone with its link.
            Op::DelNeighbour { .. } => Some(Errno::NOENT),
            _ => None,
        };
        let awaited = Awaited { position, pardoned };
        self.positions.resize(self.positions.len() + self.requests.len() - before, awaited);
        Ok(())
    }

    fn take_other(&mut self, position: usize, op: &Op) -> Result<(), OpError> {
        if !self.inside {
            return Err(errno::refused("not in the namespace"));
        }
        if !self.flush() {
            return Ok(());
        }
        match op {
            Op::SetSysctl { key, value, .. } => sysctl::write(key, value)?,
            Op::ReplaceTable { table, .. } => nft::replace(self.netfilter()?, table)?,
            Op::ChangeEntries { table, changes, .. } => nft::change_entries(self.netfilter()?, table, changes)?,
            Op::DelTable { name, .. } => nft::delete(self.netfilter()?, name)?,
            Op::AddOpening { opening, lab, .. } => nft::open(self.netfilter()?, opening, lab)?,
            Op::DelOpening { opening, lab, .. } => nft::close(self.netfilter()?, opening, lab)?,
            Op::AddZone { interface, .. } => firewalld::add(interface)?,
            Op::DelZone { interface, .. } => firewalld::remove(interface)?,
            Op::FlushFlows { flows, .. } => conntrack::flush(self.netfilter()?, flows)?,
            _ => {}
        }
        self.report.outcomes.push((position, Outcome::Done));
        Ok(())
    }

    fn netfilter(&mut self) -> Result<&mut Socket, OpError> {
        if self.netfilter.is_none() {
            self.netfilter = Some(Socket::open(Protocol::Netfilter)?);
        }
        self.netfilter.as_mut().ok_or_else(|| errno::refused("no netfilter socket"))
    }

    fn add_veth(&mut self, a: &'a VethEnd, b: &'a VethEnd, group: u32) -> Result<(), OpError> {
        let master = a.master.as_ref().map(|master| self.space.index(master)).transpose()?;
        let b_ns = match self.peers.get(&b.ns) {
            Some(Ok(fd)) => Some(fd.as_fd()),
            Some(Err(error)) => return Err(error.clone()),
            None => None,
        };
        self.space.indices.remove(&a.name);
        if b_ns.is_some() {
            self.report.learned.push((b.ns.clone(), b.name.clone(), None));
        } else {
            self.space.indices.remove(&b.name);
        }
        link::add_veth(&mut self.requests, a, master, b, b_ns, group);
        self.born.push((&a.name, Some(b)));
        Ok(())
    }

    fn set_link(&mut self, name: &IfName, set: &LinkChange) -> Result<(), OpError> {
        let index = self.space.index(name)?;
        let master = match &set.master {
            None => None,
            Some(None) => Some(0),
            Some(Some(master)) => Some(self.space.index(master)?),
        };
        let alias = set.alias.as_deref();
        let change = link::Set { up: set.up, mtu: set.mtu, mac: set.mac, arp: set.arp, master, alias };
        if let Some(altname) = &set.altname {
            link::set_altname(&mut self.requests, index, altname);
        }
        let is_port = set.isolated.is_some() || set.hairpin.is_some() || !set.port.is_empty();
        if (set.altname.is_none() && !is_port) || change != link::Set::default() {
            link::set(&mut self.requests, index, change);
        }
        if is_port {
            link::set_port(&mut self.requests, index, set);
        }
        Ok(())
    }

    fn route_index(&mut self, route: &Route) -> Result<Option<u32>, OpError> {
        route.dev.as_ref().map(|dev| self.space.index(dev)).transpose()
    }

    /// Sends what is there; false if anything failed, then or before.
    fn flush(&mut self) -> bool {
        if self.requests.is_empty() {
            return self.report.well;
        }
        let outcomes = if self.born.is_empty() {
            self.space.route.run(&mut self.requests)
        } else {
            self.space.route.ask(&mut self.requests).map(|(reply, outcomes)| {
                for link in reply.answers().filter_map(|answer| link::decode(&answer)) {
                    learn(self.space, &mut self.report.learned, &self.born, self.peers, &link);
                }
                outcomes
            })
        };
        match outcomes {
            Ok(outcomes) => {
                for (awaited, outcome) in self.positions.iter().zip(outcomes) {
                    let outcome = awaited.judged(outcome);
                    self.report.well &= outcome.is_ok();
                    note(&mut self.report.outcomes, awaited.position, outcome);
                }
            }
            // what became of them is not known: none is told as done
            Err(error) => {
                self.report.well = false;
                for awaited in &self.positions {
                    note(&mut self.report.outcomes, awaited.position, Err(error.clone()));
                }
            }
        }
        self.requests.clear();
        self.positions.clear();
        self.born.clear();
        self.report.well
    }
}

/// A request that was written and not yet answered.
#[derive(Clone, Copy)]
struct Awaited {
    /// Its operation's place in the stage.
    position: usize,
    /// What the kernel says where there is nothing left to do.
    pardoned: Option<Errno>,
}

impl Awaited {
    fn judged(self, outcome: Result<(), OpError>) -> Result<(), OpError> {
        match outcome {
            Err(error) if self.pardoned.is_some_and(|errno| error.errno == errno.raw_os_error()) => Ok(()),
            outcome => outcome,
        }
    }
}

/// An operation of several requests has failed with the first that has.
fn note(outcomes: &mut Vec<(usize, Outcome)>, position: usize, outcome: Result<(), OpError>) {
    let again = outcomes.last().is_some_and(|(last, _)| *last == position);
    match (outcomes.last_mut(), outcome) {
        (Some((_, last)), Err(error)) if again => {
            if *last == Outcome::Done {
                *last = Outcome::Failed(error);
            }
        }
        (Some(_), Ok(())) if again => {}
        (_, Ok(())) => outcomes.push((position, Outcome::Done)),
        (_, Err(error)) => outcomes.push((position, Outcome::Failed(error))),
    }
}

/// Keeps the index of a new link, and of a veth's other end.
fn learn(
    space: &mut Space,
    learned: &mut Learned,
    born: &[(&IfName, Option<&VethEnd>)],
    peers: &Peers,
    link: &link::LinkInfo,
) {
    let Some((name, other)) = born.iter().find(|(name, _)| name.as_str() == link.name) else { return };
    space.indices.insert((*name).clone(), link.index);
    match (other, link.peer) {
        (Some(other), Some(peer)) if peers.contains_key(&other.ns) => {
            learned.push((other.ns.clone(), other.name.clone(), Some(peer)));
        }
        (Some(other), Some(peer)) => {
            space.indices.insert(other.name.clone(), peer);
        }
        _ => {}
    }
}
