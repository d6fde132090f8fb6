//! Namespaces come and go: made on several threads at once, released together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use raum_core::host::{OpError, Outcome};
use raum_core::lab::mark;
use raum_core::name::{LabName, NsName};

use crate::directory::{Directory, Entry};
use crate::errno;
use crate::link::{self, LOOPBACK};
use crate::linux::Linux;
use crate::message::Requests;
use crate::namespace::enter_fresh;
use crate::space::Space;
use crate::workers::spread;

/// Namespaces for each thread, below which another is not worth its start: one takes 0.3 ms to make.
const WORTH: usize = 4;

/// What became of one: None if it was not tried; the space only where there is room to keep it.
type Made = Option<Result<Option<Space>, OpError>>;

/// Makes namespaces.
///
/// # Errors
/// No thread can be made.
pub(super) fn add(directory: &Directory, wanted: &[(&NsName, &LabName)], room: usize) -> Result<Vec<Made>, OpError> {
    let stop = AtomicBool::new(false);
    let kept = AtomicUsize::new(0);
    spread(wanted.to_vec(), WORTH, |(name, lab)| {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let made = make(directory, name, lab);
        if made.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        Some(made.map(|space| (kept.fetch_add(1, Ordering::Relaxed) < room).then_some(space)))
    })
}

/// Makes one, on a worker's thread. The name comes last: whatever has it is marked and up, and where anything fails before
/// the kernel takes the rest away by itself.
fn make(directory: &Directory, name: &NsName, lab: &LabName) -> Result<Space, OpError> {
    enter_fresh()?;
    let mut space = Space::present()?;
    let mark = mark(lab);
    let mut requests = Requests::new();
    link::set(&mut requests, LOOPBACK, link::Set { up: Some(true), alias: Some(&mark), ..link::Set::default() });
    space.route.run_one(&mut requests)?;
    space.mark = Some(mark);
    directory.bind(name)?;
    Ok(space)
}

/// Takes names away, and lets go of the namespaces all at once after that: the kernel takes down in one pass what is
/// released while it is busy with the first (`cleanup_net`, net/core/net_namespace.c).
pub(super) fn delete(linux: &mut Linux, directory: &Directory, names: &[&NsName]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(names.len());
    let mut released = Vec::with_capacity(names.len());
    for name in names {
        let outcome = match ours(linux, directory, name).and_then(|()| directory.unbind(name)) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        };
        if outcome == Outcome::Done {
            released.extend(linux.spaces.remove(*name));
        }
        let failed = outcome != Outcome::Done;
        outcomes.push(outcome);
        if failed {
            outcomes.resize(names.len(), Outcome::NotRun);
            break;
        }
    }
    drop(released);
    outcomes
}

/// Refuses to take away what has no lab's mark. What was looked at already, and is still the same, is not entered again.
fn ours(linux: &Linux, directory: &Directory, name: &NsName) -> Result<(), OpError> {
    let marked = |mark: Option<&str>| mark.is_some_and(|mark| mark.starts_with("raum:"));
    let inode = match directory.entry(name)? {
        Some(Entry::Namespace(inode)) => inode,
        // told by `unbind`, or a leftover
        _ => return Ok(()),
    };
    if linux.spaces.get(name).is_some_and(|space| space.inode == inode && marked(space.mark.as_deref())) {
        return Ok(());
    }
    let mark = match directory.namespace(name)? {
        Some(fd) => read_mark(fd)?,
        None => return Ok(()),
    };
    if marked(mark.as_deref()) {
        Ok(())
    } else {
        Err(errno::refused(format!("namespace {name} carries no lab's mark: it was not made by raum")))
    }
}

/// The alias of `lo`.
fn read_mark(fd: std::os::fd::OwnedFd) -> Result<Option<String>, OpError> {
    let read = spread(vec![fd], 1, |fd| {
        let mut space = Space::enter(fd)?;
        space.read_mark()
    })?;
    read.into_iter().next().unwrap_or(Ok(None))
}
