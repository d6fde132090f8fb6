//! The Linux behind the door [`Host`]: what is kept between calls, and the way to each namespace.

use std::collections::HashMap;

use raum_core::host::{Host, ObserveError, OpError, Outcome, Scope};
use raum_core::name::NsName;
use raum_core::plan::Op;
use raum_core::state::State;
use rustix::fs::fstat;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::directory::Directory;
use crate::space::Space;
use crate::{errno, observe, run};

/// Descriptors that are not for namespaces: standard streams, lock and journal files, sockets in passing.
const OTHER_DESCRIPTORS: usize = 128;
/// Never more than this, however many descriptors the system allows.
const SPACES_MAX: usize = 16_384;

/// So many at once are always tried: with six descriptors for each and the few others they fit into 40.
const FEWEST: usize = 3;

/// Whoever begins a change must be able to open so many files, or it could neither be done nor be taken back: [`FEWEST`] namespaces
/// with three each, sockets for rules, journal and record, a folder on the way to each. Twenty were the fewest with which every
/// lab that was tried went up; the rest is for kernels and labs that were not.
const SPARE: u32 = 30;

/// The kernel this process runs on, seen from the namespace that it was in when this was made: the host.
///
/// Keeps one descriptor and one socket for each namespace that it has seen, and so keeps a namespace alive whose name
/// somebody else takes away, until the next [`Host::observe`].
#[derive(Debug)]
pub struct Linux {
    pub(crate) host: Space,
    pub(crate) spaces: HashMap<NsName, Space>,
    nsfs: u64,
    /// The limit of open files from before, if it was raised.
    limit_before: Option<Rlimit>,
}

/// The kernel cannot be spoken to at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot speak to the kernel: {0}")]
pub struct OpenError(pub OpError);

/// Too few files can be opened to begin with anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a change needs {needed} more open files, and this process may not have as many: {cause}", cause = .cause.words())]
pub struct TooFewFiles {
    /// So many are needed.
    pub needed: u32,
    /// The kernel's words: it is the limit of this process, or that of the system.
    pub cause: OpError,
}

impl Linux {
    /// Opens a socket in the calling thread's network namespace, which is the host from now on.
    ///
    /// # Errors
    /// No netlink, no `/proc`.
    pub fn new() -> Result<Self, OpenError> {
        let host = Space::present().map_err(OpenError)?;
        let stat = fstat(&*host.fd).map_err(|cause| OpenError(errno::at("the network namespace", cause)))?;
        Ok(Self { host, spaces: HashMap::new(), nsfs: stat.st_dev, limit_before: None })
    }

    /// `/run/netns`, if it is there.
    pub(crate) fn directory(&self) -> Result<Option<Directory>, OpError> {
        Directory::open(self.nsfs)
    }

    /// `/run/netns`, made if need be.
    pub(crate) fn prepared_directory(&self) -> Result<Directory, OpError> {
        Directory::prepare(self.nsfs)
    }

    /// Makes sure that a change that is begun can be finished or taken back with the files that may be open; raises the soft limit
    /// if that helps.
    ///
    /// # Errors
    /// [`TooFewFiles`]; it holds none of them then.
    pub fn spare_files(&mut self) -> Result<(), TooFewFiles> {
        let Err(cause) = self.try_files() else { return Ok(()) };
        let limit = getrlimit(Resource::Nofile);
        if cause == Errno::MFILE && limit.current != limit.maximum {
            let wanted = limit.current.map(|current| current.saturating_add(u64::from(SPARE)));
            let current = wanted.map(|wanted| limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
            if setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum }).is_ok() {
                self.limit_before.get_or_insert(limit);
            }
        }
        self.try_files().map_err(|cause| TooFewFiles { needed: SPARE, cause: errno::error(cause.raw_os_error(), None) })
    }

    /// Opens so many, and closes them.
    fn try_files(&self) -> Result<(), Errno> {
        (0..SPARE).map(|_| fcntl_dupfd_cloexec(&*self.host.fd, 0)).collect::<Result<Vec<_>, Errno>>().map(drop)
    }

    /// How many of so many namespaces can be worked on at a time: raises the soft limit of open files if it must. Each takes two
    /// descriptors. Where not all fit, a third part of the room is for those that are worked on, another for those that are kept
    /// from before ([`Linux::keep_for`]), and the last for the other ends of their links.
    pub(crate) fn room(&mut self, wanted: usize) -> usize {
        let fit = |limit: Rlimit| {
            let files = limit.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
            (files.saturating_sub(OTHER_DESCRIPTORS) / 2).min(SPACES_MAX)
        };
        let limit = getrlimit(Resource::Nofile);
        let needed = self.spaces.len() + wanted;
        if fit(limit) < needed && limit.current != limit.maximum {
            let target = u64::try_from((needed.min(SPACES_MAX) + OTHER_DESCRIPTORS) * 2).unwrap_or(u64::MAX);
            let current = limit.maximum.map_or(target, |maximum| maximum.min(target));
            if setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).is_ok() {
                self.limit_before.get_or_insert(limit);
            }
        }
        match fit(getrlimit(Resource::Nofile)) {
            room if room >= needed => wanted.max(FEWEST),
            // a limit that could not be raised makes it slower, not wrong: fewer are kept
            room => (room / 3).max(FEWEST),
        }
    }

    /// Before so many at a time of all that are wanted: where not all fit, lets go of spaces beyond that; which ones does not
    /// matter.
    pub(crate) fn keep_for(&mut self, wanted: usize, room: usize) {
        if wanted <= room {
            return;
        }
        let beyond: Vec<NsName> = self.spaces.keys().skip(room).cloned().collect();
        for name in beyond {
            self.spaces.remove(&name);
        }
    }
}

impl Drop for Linux {
    /// Programs that use `select` cannot take descriptors over 1,023: what this process starts has the limit that it had.
    fn drop(&mut self) {
        self.spaces.clear();
        if let Some(before) = self.limit_before.take() {
            // lowering the soft limit cannot be refused
            drop(setrlimit(Resource::Nofile, before).map_err(std::io::Error::from));
        }
    }
}

impl Host for Linux {
    fn observe(&mut self, scope: &Scope) -> Result<State, ObserveError> {
        observe::observe(self, scope)
    }

    fn run(&mut self, stage: &[Op]) -> Vec<Outcome> {
        run::run(self, stage)
    }
}
