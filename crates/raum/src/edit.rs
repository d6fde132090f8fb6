//! Steps: a lab that is up, edited and brought to what it is then. What a lab is, is in its record, as text.
//!
//! A step goes the way of `up`: read, edit, check, design, [`reach`](crate::reach); all of it under the lock, so that of two
//! steps at once both take effect. A lab that has nothing left is taken down.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use raum_core::beside::Obstacle;
use raum_core::design::absent;
use raum_core::diff::{Conflict, diff};
use raum_core::host::Host;
use raum_core::lab::edit::Edit;
use raum_core::lab::{Lab, parse};
use raum_core::name::{LabName, NsId, NsName};
use raum_core::plan::Plan;

use crate::error::Error;
use crate::labs::{Labs, Prepared, inhabited};
use crate::permission;
use crate::reach::Progress;
use crate::record::{JOURNAL, Journal, Record};

/// A namespace, and the processes in it.
pub type Inhabited = (NsName, Vec<u32>);

/// What a step did, or would do.
#[derive(Debug)]
pub struct Edited {
    /// The lab as it is now.
    pub lab: Lab,
    /// What was done; empty if all was so already.
    pub plan: Plan,
    /// What has become of the lab.
    pub fate: Fate,
    /// The file that the lab was brought up from: it says something else now, if the step changed something.
    pub file: Option<PathBuf>,
    /// Whose rules are in the way of its packets.
    pub obstacles: Vec<Obstacle>,
    /// Namespaces that are gone and still have processes inside.
    pub inhabited: Vec<Inhabited>,
}

/// What a step makes of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was not there before.
    Up,
    /// It is another one than before.
    Changed,
    /// It is as it was.
    Same,
    /// Nothing is left of it.
    Gone,
}

/// Told what will be done, before it is.
pub type Announce<'a> = dyn FnMut(&Plan) + 'a;

/// A lab before a step.
struct Stored {
    lab: Lab,
    /// As a lab file; what problems of it point at.
    text: String,
    file: Option<PathBuf>,
    /// Is it no longer what the file says?
    is_edited: bool,
    is_new: bool,
}

/// What a step comes to.
enum Step {
    /// Nothing is left of the lab: it is taken down.
    Remove {
        lab: Box<Lab>,
        plan: Plan,
        inhabited: Vec<Inhabited>,
    },
    Change(Box<Prepared>),
}

impl Labs {
    /// The lab file of a lab that is up, whoever wrote it: a file, or steps.
    ///
    /// # Errors
    /// [`Error::NoLab`], or [`Error::NoRecord`] or [`Error::Interrupted`] if it is there but nobody knows what it should be.
    pub fn text(&mut self, lab: &LabName) -> Result<String, Error> {
        match Record::read(self.place(), lab)?.and_then(|record| record.text) {
            Some(text) => Ok(text),
            None if self.place().has(lab, JOURNAL) => Err(Error::Interrupted(lab.clone())),
            None if self.is_there(lab)? => Err(Error::NoRecord(lab.clone())),
            None => Err(Error::NoLab(lab.to_string())),
        }
    }

    fn is_there(&mut self, lab: &LabName) -> Result<bool, Error> {
        permission::check()?;
        Ok(self.host().labs()?.iter().any(|found| found.name == *lab))
    }

    /// Does a step to a lab, and brings it to what it is then. All or nothing. `lab` need not be there.
    ///
    /// # Errors
    /// [`Error::Step`] with what is wrong; else as [`Labs::up`] and [`Labs::down`].
    pub fn edit(
        &mut self,
        lab: &LabName,
        edit: &Edit,
        announce: &mut Announce<'_>,
        stop: &AtomicBool,
        progress: &mut Progress<'_>,
    ) -> Result<Edited, Error> {
        if permission::check().is_err() {
            return self.prepare_edit(lab, edit, announce);
        }
        let lock = self.lock_unless(stop)?;
        let result = self.edit_locked(lab, edit, announce, stop, progress);
        let left = self.leave(lock);
        // what the step says of itself matters more than a folder that cannot be removed
        if result.is_ok() {
            left?;
        }
        result
    }

    /// What a step would do. Changes nothing.
    ///
    /// # Errors
    /// As [`Labs::edit`], without those of doing it.
    pub fn prepare_edit(&mut self, lab: &LabName, edit: &Edit, announce: &mut Announce<'_>) -> Result<Edited, Error> {
        Ok(match self.step(lab, edit, announce)? {
            (stored, Step::Remove { lab, plan, inhabited }) => outcome(stored, *lab, plan, Vec::new(), inhabited),
            (stored, Step::Change(prepared)) => {
                outcome(stored, prepared.lab, prepared.plan, prepared.obstacles, Vec::new())
            }
        })
    }

    fn edit_locked(
        &mut self,
        lab: &LabName,
        edit: &Edit,
        announce: &mut Announce<'_>,
        stop: &AtomicBool,
        progress: &mut Progress<'_>,
    ) -> Result<Edited, Error> {
        Ok(match self.step(lab, edit, announce)? {
            (stored, Step::Remove { lab: edited, plan, inhabited }) => {
                self.remove_locked(lab, progress)?;
                outcome(stored, *edited, plan, Vec::new(), inhabited)
            }
            (stored, Step::Change(prepared)) => {
                let is_edited = stored.is_edited || stored.text != prepared.lab.to_string();
                let inhabited = self.inhabited_by(&prepared.plan);
                let prepared = self.bring(*prepared, is_edited, stop, progress)?;
                outcome(stored, prepared.lab, prepared.plan, prepared.obstacles, inhabited)
            }
        })
    }

    /// Edits the lab as it is remembered, and announces what that comes to.
    fn step(&mut self, lab: &LabName, edit: &Edit, announce: &mut Announce<'_>) -> Result<(Stored, Step), Error> {
        let stored = self.stored(lab)?;
        foreign(&stored.lab, edit)?;
        let edited = edited(&stored, edit)?;
        if edited.is_empty() {
            let (plan, inhabited) = self.removal(lab)?;
            announce(&plan);
            return Ok((stored, Step::Remove { lab: Box::new(edited), plan, inhabited }));
        }
        let prepared = self.prepare(edited, stored.file.clone()).map_err(|error| of_step(error, &stored))?;
        announce(&prepared.plan);
        Ok((stored, Step::Change(Box::new(prepared))))
    }

    /// The lab as it was last brought up; an empty one if there is none.
    fn stored(&mut self, lab: &LabName) -> Result<Stored, Error> {
        let Some(record) = Record::read(self.place(), lab)? else {
            // a first step that was killed leaves a journal: it began with nothing
            let journal = self.place().read_json::<Journal>(lab, JOURNAL)?;
            let began_with_nothing = journal.is_some_and(|journal| journal.before.is_bare());
            if !began_with_nothing && permission::check().is_ok() && self.is_there(lab)? {
                return Err(Error::NoRecord(lab.clone()));
            }
            return Ok(Stored {
                lab: Lab::empty(lab.clone()),
                text: String::new(),
                file: None,
                is_edited: false,
                is_new: true,
            });
        };
        // what `up` was allowed is allowed to the steps after it
        self.open_foreign_rules(record.foreign_rules);
        let text = record.text.ok_or_else(|| Error::NoRecord(lab.clone()))?;
        let parsed =
            parse(&text, lab).map_err(|problems| Error::Step { lab: lab.clone(), text: text.clone(), problems })?;
        Ok(Stored { lab: parsed, text, file: record.file, is_edited: record.edited, is_new: false })
    }

    /// What taking the lab down does.
    fn removal(&mut self, lab: &LabName) -> Result<(Plan, Vec<Inhabited>), Error> {
        permission::check()?;
        let (known, around, mut scope) = self.survey(lab)?;
        scope.inside = false;
        let mut before = self.host().observe(&scope)?;
        before.entry(&NsId::Host).zones.extend(known.zones(lab));
        let plan = diff(lab, &before, &absent(lab, &around)).unwrap_or_default();
        Ok((plan, inhabited(&before)?))
    }

    fn inhabited_by(&self, plan: &Plan) -> Vec<Inhabited> {
        let gone = plan.ops().filter_map(|op| match op {
            raum_core::plan::Op::DelNamespace { name } => Some(name.clone()),
            _ => None,
        });
        let gone: Vec<NsName> = gone.collect();
        if gone.is_empty() { Vec::new() } else { raum_kernel::processes::inside(&gone) }
    }
}

/// Somebody else's namespaces of the names that are to go: theirs to remove, and not to be added.
fn foreign(lab: &Lab, edit: &Edit) -> Result<(), Error> {
    let name = &lab.name.value;
    let known = |ns: &NsName| std::fs::symlink_metadata(format!("{}/{ns}", crate::resolve::NETNS_DIR)).is_ok();
    let there = edit.foreign_to(lab).into_iter().map(|node| NsName::of(name, &node)).filter(known);
    let conflicts: Vec<Conflict> = there.map(|ns| Conflict::Namespace { lab: name.clone(), name: ns }).collect();
    if conflicts.is_empty() { Ok(()) } else { Err(Error::Conflicts(conflicts)) }
}

fn edited(stored: &Stored, edit: &Edit) -> Result<Lab, Error> {
    let mut lab = stored.lab.clone();
    let step = |problems| Error::Step { lab: stored.lab.name.value.clone(), text: stored.text.clone(), problems };
    edit.apply(&mut lab).map_err(step)?;
    Ok(lab)
}

/// Problems of the lab as edited are the step's.
fn of_step(error: Error, stored: &Stored) -> Error {
    match error {
        Error::Invalid(problems) => {
            Error::Step { lab: stored.lab.name.value.clone(), text: stored.text.clone(), problems }
        }
        other => other,
    }
}

fn outcome(stored: Stored, lab: Lab, plan: Plan, obstacles: Vec<Obstacle>, inhabited: Vec<Inhabited>) -> Edited {
    let fate = match (lab.is_empty(), plan.is_empty()) {
        _ if stored.text == lab.to_string() && plan.is_empty() => Fate::Same,
        (true, true) if stored.is_new => Fate::Same,
        (true, _) => Fate::Gone,
        _ if stored.is_new => Fate::Up,
        _ => Fate::Changed,
    };
    Edited { lab, plan, fate, file: stored.file, obstacles, inhabited }
}
