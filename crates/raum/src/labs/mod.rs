//! Labs on this host: bringing them up, changing, comparing and removing them.
//!
//! Each verb is the same three lines: what is there, what should be there, [`crate::reach`]. What differs is where the target comes
//! from: the lab file (`up`), nothing (`down`), the record of the last `up` (`status`).

mod down;
mod drift;
mod prepare;
mod up;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use raum_core::host::{Host, Scope, Surroundings};
use raum_core::name::{LabName, NsId};
use raum_core::state::State;
use raum_core::view::View;
use raum_kernel::{Linux, OpenError};

use crate::error::Error;
use crate::known::Known;
use crate::permission;
use crate::place::{Lock, Place};
use crate::reach::{Cause, Left};
use crate::record::{JOURNAL, Journal, Record};

pub use down::Removed;
pub(crate) use down::inhabited;
pub use prepare::Prepared;

/// A lab that is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub lab: LabName,
    /// How many namespaces carry its mark.
    pub namespaces: usize,
    /// What raum remembers of it, if it does.
    pub record: Option<Record>,
    /// Was a change begun and never ended?
    pub interrupted: bool,
}

/// The labs of this host: the door of this library.
#[derive(Debug)]
pub struct Labs {
    host: Linux,
    place: Place,
    foreign_rules: bool,
    replace: bool,
    impatience: Arc<AtomicBool>,
}

impl Labs {
    /// Opens the kernel's sockets. Touches nothing.
    ///
    /// # Errors
    /// [`Error::Kernel`]
    pub fn open() -> Result<Self, Error> {
        let host = Linux::new().map_err(|OpenError(cause)| Error::Kernel(cause.words()))?;
        Ok(Self { host, place: Place::default(), foreign_rules: false, replace: false, impatience: Arc::default() })
    }

    /// Labs that are brought up from now on may open the rules of others where those are in the way, until they are taken
    /// down or brought up without this.
    pub fn open_foreign_rules(&mut self, yes: bool) {
        self.foreign_rules = yes;
    }

    /// Labs that are brought up from now on may take the place of one that another file brought up under the same name.
    pub fn replace(&mut self, yes: bool) {
        self.replace = yes;
    }

    /// While this is up, [`Labs::down`] does not wait for other commands. Once it has begun it goes on to the end all the same.
    pub fn wait_unless(&mut self, stop: Arc<AtomicBool>) {
        self.impatience = stop;
    }

    /// Where raum's own files are.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The kernel, for whoever wants to look at more than labs.
    pub fn host(&mut self) -> &mut Linux {
        &mut self.host
    }

    /// The host around a lab.
    fn around(&mut self, lab: &LabName, known: &Known) -> Result<Surroundings, Error> {
        let mut around = self.host.surroundings(lab)?;
        known.complete(&mut around, lab);
        Ok(around)
    }

    /// Takes the lock of those who change the host, and makes sure that they can end what they begin.
    pub(crate) fn lock_unless(&mut self, stop: &AtomicBool) -> Result<Lock, Error> {
        self.host.spare_files().map_err(Error::TooFewFiles)?;
        Ok(self.place.lock_unless(stop)?)
    }

    /// After the last lab: no files of raum's, and `/run/netns` as it was.
    pub(crate) fn leave(&self, lock: Lock) -> Result<(), Error> {
        if self.place.is_empty()
            && let Some(was) = self.place.take_names_folder()?
        {
            was.put_back().map_err(|error| Error::Kernel(error.words()))?;
        }
        Ok(self.place.leave(lock)?)
    }

    /// What is remembered, what is around a lab, and what must be looked at of it.
    pub(crate) fn survey(&mut self, lab: &LabName) -> Result<(Known, Surroundings, Scope), Error> {
        let known = Known::read(&self.place);
        known.refuse_elsewhere(lab)?;
        let around = self.around(lab, &known)?;
        let scope = self.scope_of(lab, &around, &known);
        Ok((known, around, scope))
    }

    /// What must be looked at to remove a lab: its marks, and, because namespaces of the default lab have no telling name,
    /// the names that the record and the journal know.
    fn scope_of(&self, lab: &LabName, around: &Surroundings, known: &Known) -> Scope {
        let mut scope = Scope { neighbours: around.writes_neighbours(), ..Scope::of(lab) };
        let journal = self.place.read_json::<Journal>(lab, JOURNAL).ok().flatten();
        let states = journal.iter().flat_map(|journal| [&journal.before, &journal.target]);
        for state in states.chain(known.record(lab).map(|record| &record.state)) {
            scope.namespaces.extend(state.namespaces.keys().filter_map(NsId::name).cloned());
            let host = state.namespaces.get(&NsId::Host);
            scope.host_links.extend(host.iter().flat_map(|ns| ns.links.keys().cloned()));
        }
        let own = around.was.get(lab).into_iter().flat_map(|was| was.keys().cloned());
        scope.sysctls = own.map(|key| (NsId::Host, key)).collect::<BTreeSet<_>>();
        scope
    }

    /// What of a lab is there, with everything that carries its mark.
    ///
    /// # Errors
    /// [`Error::Observe`]
    pub fn state(&mut self, lab: &LabName) -> Result<State, Error> {
        permission::check()?;
        let (_, _, scope) = self.survey(lab)?;
        Ok(self.host.observe(&scope)?)
    }

    /// Everything in one namespace, whoever made it.
    ///
    /// # Errors
    /// [`Error::Observe`] if it does not exist or may not be entered.
    pub fn view(&mut self, ns: &NsId) -> Result<View, Error> {
        Ok(raum_kernel::view::view(ns)?)
    }

    /// The labs of this host, by their marks and by raum's files.
    ///
    /// # Errors
    /// [`Error::Observe`]
    pub fn list(&mut self) -> Result<Vec<Found>, Error> {
        permission::check()?;
        let marked = self.host.labs()?;
        let names: BTreeSet<LabName> = marked.iter().map(|found| found.name.clone()).chain(self.place.labs()).collect();
        let found = names.into_iter().map(|lab| Found {
            namespaces: marked.iter().find(|found| found.name == lab).map_or(0, |found| found.namespaces),
            record: Record::read(&self.place, &lab).ok().flatten(),
            interrupted: self.place.has(&lab, JOURNAL),
            lab,
        });
        Ok(found.collect())
    }
}

/// For rendering: the operations that are left, and why.
#[must_use]
pub fn left_lines(left: &[Left]) -> Vec<String> {
    left.iter()
        .map(|left| {
            let command = raum_core::render::beginning(&left.op).join("; ");
            match &left.why {
                Some(error) => format!("{command}    # {}", error.words()),
                None => command,
            }
        })
        .collect()
}

/// Is this failure of the kind where something is left behind on the host?
#[must_use]
pub fn left_behind(error: &Error) -> bool {
    match error {
        Error::Leftovers { .. } => true,
        Error::NotReached { failure, .. } => !failure.left.is_empty() && !matches!(failure.cause, Cause::Conflicts(_)),
        _ => false,
    }
}
