//! Runs a stage: operations of one namespace in order and in as few messages as can be, those of different namespaces side
//! by side. Decides nothing.

mod batch;
mod namespaces;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raum_core::host::{OpError, Outcome};
use raum_core::name::{IfName, NsId, NsName};
use raum_core::plan::Op;

use crate::directory::Directory;
use crate::linux::Linux;
use crate::space::Space;
use crate::workers::spread;
use crate::{errno, namespace};

/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 32;
/// Operations of the host for which the other ends' namespaces are opened at once.
const PART: usize = 256;

/// The namespaces of veths' other ends.
type Peers = HashMap<NsId, Result<Arc<OwnedFd>, OpError>>;
/// Links that were made in passing, in namespaces other than the one that was spoken to: with their index, or with none where the name
/// has another one now and the kernel does not say which (NLM_F_ECHO for new links: Linux 6.2).
type Learned = Vec<(NsId, IfName, Option<u32>)>;

/// See [`raum_core::host::Host::run`].
pub(crate) fn run(linux: &mut Linux, stage: &[Op]) -> Vec<Outcome> {
    let mut run = Run { outcomes: vec![Outcome::NotRun; stage.len()], linux, stage };
    let mut groups: Vec<(&NsId, Vec<usize>)> = Vec::new();
    let mut places: HashMap<&NsId, usize> = HashMap::new();
    for (position, op) in stage.iter().enumerate() {
        let ns = place(op);
        let group = *places.entry(ns).or_insert_with(|| {
            groups.push((ns, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, positions)) = groups.get_mut(group) {
            positions.push(position);
        }
    }
    let mut named = Vec::new();
    for (ns, positions) in groups {
        match ns {
            NsId::Host => {
                if !run.host(&positions) {
                    return run.outcomes;
                }
            }
            NsId::Named(name) => named.push((name, positions)),
        }
    }
    run.named(&named);
    run.outcomes
}

/// Where an operation is sent. A veth pair is made where its first end is: older kernels look there whether the name is
/// taken (`rtnl_newlink`, before Linux 6.15), wherever the end is to be.
fn place(op: &Op) -> &NsId {
    match op {
        Op::AddVeth { a, .. } => &a.ns,
        _ => op.ns(),
    }
}

/// How the host's operations are done.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Manner {
    AddNamespaces,
    DelNamespaces,
    Messages,
}

fn manner(op: &Op) -> Manner {
    match op {
        Op::AddNamespace { .. } => Manner::AddNamespaces,
        Op::DelNamespace { .. } => Manner::DelNamespaces,
        _ => Manner::Messages,
    }
}

struct Run<'a> {
    linux: &'a mut Linux,
    stage: &'a [Op],
    outcomes: Vec<Outcome>,
}

impl<'a> Run<'a> {
    /// Those of the host, in order; false after a failure.
    fn host(&mut self, positions: &[usize]) -> bool {
        let same = |a: &usize, b: &usize| self.stage.get(*a).map(manner) == self.stage.get(*b).map(manner);
        // the other ends' namespaces that are not kept are open all at once
        let at_once = self.linux.room(PART).min(PART);
        positions.chunk_by(same).all(|part| match part.first().and_then(|first| self.stage.get(*first)).map(manner) {
            None => true,
            Some(Manner::AddNamespaces) => self.add_namespaces(part),
            Some(Manner::DelNamespaces) => self.del_namespaces(part),
            Some(Manner::Messages) => part.chunks(at_once).all(|part| self.host_messages(part)),
        })
    }

    fn ops<'p>(&self, positions: &'p [usize]) -> impl Iterator<Item = (usize, &'a Op)> + use<'a, 'p> {
        let stage = self.stage;
        positions.iter().filter_map(move |position| Some((*position, stage.get(*position)?)))
    }

    fn note(&mut self, position: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(position) {
            *slot = outcome;
        }
    }

    fn fail(&mut self, positions: &[usize], error: &OpError) -> bool {
        if let Some(first) = positions.first() {
            self.note(*first, Outcome::Failed(error.clone()));
        }
        false
    }

    fn add_namespaces(&mut self, positions: &[usize]) -> bool {
        let wanted: Vec<(&NsName, _)> = self
            .ops(positions)
            .filter_map(|(_, op)| if let Op::AddNamespace { name, lab } = op { Some((name, lab)) } else { None })
            .collect();
        let room = self.linux.room(wanted.len());
        let made =
            match self.linux.prepared_directory().and_then(|directory| namespaces::add(&directory, &wanted, room)) {
                Ok(made) => made,
                Err(error) => return self.fail(positions, &error),
            };
        let mut well = true;
        for ((position, (name, _)), made) in positions.iter().zip(&wanted).zip(made) {
            let outcome = match made {
                Some(Ok(space)) => {
                    // what was kept under this name was another namespace
                    self.linux.spaces.remove(*name);
                    self.linux.spaces.extend(space.map(|space| ((*name).clone(), space)));
                    Outcome::Done
                }
                Some(Err(error)) => Outcome::Failed(error),
                None => Outcome::NotRun,
            };
            well &= outcome == Outcome::Done;
            self.note(*position, outcome);
        }
        well
    }

    fn del_namespaces(&mut self, positions: &[usize]) -> bool {
        let names: Vec<&NsName> = self
            .ops(positions)
            .filter_map(|(_, op)| if let Op::DelNamespace { name } = op { Some(name) } else { None })
            .collect();
        let outcomes = match self.linux.directory() {
            Ok(Some(directory)) => namespaces::delete(self.linux, &directory, &names),
            Ok(None) => vec![Outcome::Failed(errno::at(crate::directory::PATH, rustix::io::Errno::NOENT))],
            Err(error) => vec![Outcome::Failed(error)],
        };
        let well = outcomes.len() == names.len() && outcomes.iter().all(|outcome| *outcome == Outcome::Done);
        for (position, outcome) in positions.iter().zip(outcomes) {
            self.note(*position, outcome);
        }
        well
    }

    fn host_messages(&mut self, positions: &[usize]) -> bool {
        let ops: Vec<(usize, &Op)> = self.ops(positions).collect();
        let peers = self.peers(ops.iter().map(|(_, op)| *op));
        let inside = ops.iter().any(|(_, op)| batch::needs_thread_inside(op));
        let host = &mut self.linux.host;
        let done = if inside {
            let fd = Arc::clone(&host.fd);
            namespace::in_namespace(&*fd, || batch::run(host, &ops, &peers, true))
        } else {
            Ok(batch::run(host, &ops, &peers, false))
        };
        match done {
            Ok(done) => self.accept(done),
            Err(error) => self.fail(positions, &error),
        }
    }

    /// Takes over what a batch has done; false after a failure.
    fn accept(&mut self, done: batch::Report) -> bool {
        for (ns, name, index) in done.learned {
            let space = match &ns {
                NsId::Host => Some(&mut self.linux.host),
                NsId::Named(ns) => self.linux.spaces.get_mut(ns),
            };
            match (space, index) {
                (Some(space), Some(index)) => drop(space.indices.insert(name, index)),
                (Some(space), None) => drop(space.indices.remove(&name)),
                (None, _) => {}
            }
        }
        for (position, outcome) in done.outcomes {
            self.note(position, outcome);
        }
        done.well
    }

    /// The namespaces in which the operations' veths have their second ends.
    fn peers<'o>(&self, ops: impl Iterator<Item = &'o Op>) -> Peers {
        let mut peers = Peers::new();
        let mut directory = None;
        for op in ops {
            let Op::AddVeth { a, b, .. } = op else { continue };
            if a.ns == b.ns || peers.contains_key(&b.ns) {
                continue;
            }
            let found = match &b.ns {
                NsId::Host => Ok(Arc::clone(&self.linux.host.fd)),
                NsId::Named(name) => match self.linux.spaces.get(name) {
                    Some(space) => Ok(Arc::clone(&space.fd)),
                    None => {
                        let directory = directory.get_or_insert_with(|| self.linux.directory());
                        opened(directory, name).map(Arc::new)
                    }
                },
            };
            peers.insert(b.ns.clone(), found);
        }
        peers
    }

    /// Those of named namespaces, side by side; the host's are done already.
    fn named(&mut self, groups: &[(&'a NsName, Vec<usize>)]) {
        let room = self.linux.room(groups.len());
        for part in groups.chunks(room) {
            self.linux.keep_for(groups.len(), room);
            let directory = self.linux.directory();
            let stop = AtomicBool::new(false);
            let work: Vec<_> = part
                .iter()
                .map(|(name, positions)| {
                    let ops: Vec<(usize, &Op)> = self.ops(positions).collect();
                    let peers = self.peers(ops.iter().map(|(_, op)| *op));
                    (*name, ops, peers)
                })
                .collect();
            let work = work.into_iter().map(|(name, ops, peers)| (name, ops, peers, self.linux.spaces.remove(name)));
            let done = spread(work.collect(), WORTH, |(name, ops, peers, space)| {
                if stop.load(Ordering::Relaxed) {
                    return (name, space, batch::Report::default());
                }
                let (space, report) = in_one(&directory, name, space, &ops, &peers);
                if !report.well {
                    stop.store(true, Ordering::Relaxed);
                }
                (name, space, report)
            });
            let done = match done {
                Ok(done) => done,
                Err(error) => {
                    if let Some((_, positions)) = part.first() {
                        self.fail(positions, &error);
                    }
                    return;
                }
            };
            let mut reports = Vec::with_capacity(done.len());
            for (name, space, report) in done {
                self.linux.spaces.extend(space.map(|space| (name.clone(), space)));
                reports.push(report);
            }
            for report in reports {
                self.accept(report);
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

fn opened(directory: &Result<Option<Directory>, OpError>, name: &NsName) -> Result<OwnedFd, OpError> {
    let found = match directory {
        Ok(Some(directory)) => directory.namespace(name)?,
        Ok(None) => None,
        Err(error) => return Err(error.clone()),
    };
    found.ok_or_else(|| errno::at(&format!("{}/{name}", crate::directory::PATH), rustix::io::Errno::NOENT))
}

/// The operations of one namespace, on a worker's thread.
fn in_one(
    directory: &Result<Option<Directory>, OpError>,
    name: &NsName,
    space: Option<Space>,
    ops: &[(usize, &Op)],
    peers: &Peers,
) -> (Option<Space>, batch::Report) {
    let inside = ops.iter().any(|(_, op)| batch::needs_thread_inside(op));
    let space = match space {
        Some(space) if !inside => Ok(space),
        Some(space) => namespace::enter(std::os::fd::AsFd::as_fd(&*space.fd)).map(|()| space),
        None => opened(directory, name).and_then(Space::enter),
    };
    match space {
        Ok(mut space) => {
            let report = batch::run(&mut space, ops, peers, inside);
            (Some(space), report)
        }
        Err(error) => (None, batch::Report::failed(ops, &error)),
    }
}
