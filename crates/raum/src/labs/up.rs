//! Up, and changed: journal, [`crate::reach`], record; or everything as it was.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use raum_core::lab::Lab;
use raum_core::name::LabName;
use raum_core::plan::{Op, Plan};
use raum_core::state::State;
use raum_kernel::names_folder::{self, NamesFolder};
use raum_kernel::namespace;

use super::{Labs, Prepared};
use crate::error::Error;
use crate::permission;
use crate::place::{FileError, New};
use crate::reach::{Failure, Progress, reach, take_back};
use crate::record::{HOSTS, JOURNAL, Journal, RECORD, Record};

impl Labs {
    /// Brings a lab up, or changes it to what its file says now. All or nothing.
    ///
    /// # Errors
    /// As [`Labs::prepare`]; [`Error::NotReached`] after everything was taken back; [`Error::File`] before anything was done.
    pub fn up(
        &mut self,
        lab: Lab,
        file: Option<PathBuf>,
        stop: &AtomicBool,
        progress: &mut Progress<'_>,
    ) -> Result<Prepared, Error> {
        if permission::check().is_err() {
            return self.prepare(lab, file);
        }
        let lock = self.lock_unless(stop)?;
        // prepared under the lock: what was seen is still so when it is acted on
        let result = self.plan(lab, file).and_then(|prepared| self.bring(prepared, false, stop, progress));
        if result.is_err() {
            // a folder without labs that cannot be removed is nothing beside the error that there is to tell
            drop(self.leave(lock));
        }
        result
    }

    /// Does what is prepared, under the lock. `edited`: the lab is no longer what its file says.
    pub(crate) fn bring(
        &mut self,
        prepared: Prepared,
        edited: bool,
        stop: &AtomicBool,
        progress: &mut Progress<'_>,
    ) -> Result<Prepared, Error> {
        let name = prepared.lab.name.value.clone();
        let record = Record {
            edited,
            host: Some(namespace::number().map_err(|error| Error::Kernel(error.words()))?),
            foreign_rules: self.foreign_rules,
            bridged: Some(prepared.bridged),
            ..Record::of(&prepared.lab, prepared.file.clone(), &prepared.design)
        };
        let failed = |failure| Error::NotReached { lab: name.clone(), failure: Box::new(failure) };
        if !prepared.plan.is_empty() {
            names_will_last(&prepared.plan)?;
            let journal = Journal { before: prepared.before.clone(), target: prepared.design.state.clone() };
            if let Err(error) = self.announce(&name, &journal) {
                // nothing was done, and a lab that is not there has no files
                if prepared.before.is_bare() {
                    drop(self.place.forget(&name));
                }
                return Err(error);
            }
            let scope = &prepared.design.scope;
            let reached = reach(&mut self.host, scope, &prepared.before, &prepared.design.state, stop, progress);
            if let Err(failure) = reached {
                self.after_failure(&name, &prepared.before, &failure);
                return Err(failed(failure));
            }
        }
        let files = [HOSTS, RECORD].map(|file| self.place.read(&name, file));
        if let Err(error) = self.remember(&name, &record, &prepared.design.hosts) {
            let scope = &prepared.design.scope;
            let failure = take_back(&mut self.host, scope, &prepared.before, &prepared.plan, error.to_string());
            self.as_before(&name, files);
            self.after_failure(&name, &prepared.before, &failure);
            return Err(failed(failure));
        }
        Ok(prepared)
    }

    /// Notes what is about to be done.
    fn announce(&self, lab: &LabName, journal: &Journal) -> Result<(), Error> {
        let folder = NamesFolder::now().map_err(|error| Error::Kernel(error.words()))?;
        self.place.note_names_folder(folder)?;
        Ok(self.place.write_json(lab, JOURNAL, journal)?)
    }

    fn remember(&self, lab: &LabName, record: &Record, hosts: &str) -> Result<(), Error> {
        let record = self.place.encode(lab, RECORD, record)?;
        let record = New { name: RECORD, mode: 0o600, content: &record };
        // readable: commands inside need not be root's
        let hosts = New { name: HOSTS, mode: 0o644, content: hosts.as_bytes() };
        self.place.write_all(lab, &[record, hosts])?;
        Ok(self.place.remove(lab, JOURNAL)?)
    }

    /// Puts back what [`Labs::remember`] wrote over; one that could not be read stays as it is. If even that fails, then
    /// `down` does without, and `status` says so.
    fn as_before(&self, lab: &LabName, [hosts, record]: [Result<Option<Vec<u8>>, FileError>; 2]) {
        for (file, mode, content) in [(HOSTS, 0o644, hosts), (RECORD, 0o600, record)] {
            let Ok(content) = content else { continue };
            let now = self.place.read(lab, file).ok().flatten();
            drop(match content {
                content if content == now => Ok(()),
                Some(content) => self.place.write(lab, file, mode, &content),
                None => self.place.remove(lab, file),
            });
        }
    }

    /// The journal has done its work if all is as before; a lab that was not there before leaves no files. If the journal
    /// cannot be removed, `ls` shows the lab as interrupted, and the next `up` or `down` removes it: what is to be told now
    /// is the first error.
    fn after_failure(&self, lab: &LabName, before: &State, failure: &Failure) {
        if failure.left.is_empty() {
            drop(if before.is_bare() { self.place.forget(lab) } else { self.place.remove(lab, JOURNAL) });
        }
    }
}

/// Refuses to make namespaces where nobody would find them again.
fn names_will_last(plan: &Plan) -> Result<(), Error> {
    if !plan.ops().any(|op| matches!(op, Op::AddNamespace { .. })) {
        return Ok(());
    }
    match names_folder::inside().map_err(|error| Error::Kernel(error.words()))? {
        Some(name) => Err(Error::Inside(name)),
        None => Ok(()),
    }
}
