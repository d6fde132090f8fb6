//! Labs on this host: bringing them up, changing, comparing and removing them.
//!
//! Each verb is the same three lines: what is there, what should be there, [`reach`]. What differs is where the target comes
//! from: the lab file (`up`), nothing (`down`), the record of the last `up` (`status`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use raum_core::beside::{Guest, Obstacle, ZONE_SET, guests, openings, zones};
use raum_core::design::{Design, absent, design};
use raum_core::diff::diff;
use raum_core::host::{Host, Scope, Surroundings};
use raum_core::lab::{Lab, check, link_group};
use raum_core::name::{IfName, LabName, NsId, NsName};
use raum_core::plan::{Op, Plan};
use raum_core::problem::Problem;
use raum_core::state::State;
use raum_core::view::View;
use raum_kernel::names_folder::{self, NamesFolder};
use raum_kernel::{Linux, firewalld};

use crate::error::Error;
use crate::known::Known;
use crate::permission;
use crate::place::{FileError, Lock, New, Place};
use crate::reach::{Cause, Failure, Left, Progress, reach, take_back, teardown};
use crate::record::{HOSTS, JOURNAL, Journal, RECORD, Record};

/// A lab file that passed all checks against this host, with everything decided.
#[derive(Debug)]
pub struct Prepared {
    /// The lab as written.
    pub lab: Lab,
    /// Where it was read from, absolute.
    pub file: Option<PathBuf>,
    /// The wanted state, names, hosts file.
    pub design: Design,
    /// What of it is there now.
    pub before: State,
    /// From there to the wanted state.
    pub plan: Plan,
    /// Whose rules are in the way of its packets; those that it opens are left out.
    pub obstacles: Vec<Obstacle>,
    /// Labs that were brought up from this file under another name, and are still there.
    pub former: Vec<LabName>,
    /// Does the host show bridged packets of IPv4 and of IPv6 to its rules?
    pub bridged: [bool; 2],
}

/// What `down` did.
#[derive(Debug)]
pub struct Removed {
    /// What was done; empty if nothing of the lab was there.
    pub plan: Plan,
    /// Namespaces that still have processes inside: they are without a name now, and gone when those end.
    pub inhabited: Vec<(NsName, Vec<u32>)>,
}

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
        let host = Linux::new().map_err(|error| Error::Kernel(error.to_string()))?;
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

    /// Checks a lab against this host, designs it, and compares with what is there. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems, [`Error::Conflicts`], or [`Error::Observe`].
    pub fn prepare(&mut self, lab: Lab, file: Option<PathBuf>) -> Result<Prepared, Error> {
        let known = Known::read(&self.place);
        self.prepare_among(&known, lab, file)
    }

    /// As [`Labs::prepare`], and refuses what [`Labs::up`] would refuse: a second file of a lab's name.
    ///
    /// # Errors
    /// As [`Labs::prepare`]; [`Error::OtherFile`].
    pub fn plan(&mut self, lab: Lab, file: Option<PathBuf>) -> Result<Prepared, Error> {
        let known = Known::read(&self.place);
        if !self.replace {
            known.refuse_other_file(&lab, file.as_deref())?;
        }
        self.prepare_among(&known, lab, file)
    }

    /// Labs that were brought up from this file under another name than this, and are still there.
    #[must_use]
    pub fn former(&self, now: &LabName, file: &Path) -> Vec<LabName> {
        Known::read(&self.place).former(now, file)
    }

    /// Was a change of a lab begun that has not ended? It was interrupted, or is under way.
    #[must_use]
    pub fn is_unfinished(&self, lab: &LabName) -> bool {
        self.place.has(lab, JOURNAL)
    }

    fn prepare_among(&mut self, known: &Known, lab: Lab, file: Option<PathBuf>) -> Result<Prepared, Error> {
        let around = self.around(&lab.name, known)?;
        let lab = known.settled(lab, &around);
        let problems = problems(&lab, &around, known);
        // a file's problems can be told to everybody
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        permission::check()?;
        let former = file.as_deref().map(|file| known.former(&lab.name, file)).unwrap_or_default();
        let mut design = design(&lab, &around);
        let mut obstacles = self.obstacles(&design.flows)?;
        let mut before = self.host.observe(&design.scope)?;
        let mut zones = known.zones(&lab.name);
        if self.foreign_rules {
            if !zones.is_empty() && !firewalld::is_reachable() {
                zones.clear();
            }
            zones.extend(before.namespaces.get(&NsId::Host).into_iter().flat_map(|host| host.zones.iter().cloned()));
            open(&mut design, &obstacles, &zones);
            obstacles.retain(|obstacle| !obstacle.can_be_opened());
        } else if !zones.is_empty() {
            before.entry(&NsId::Host).zones.extend(zones);
        }
        let plan = diff(&lab.name, &before, &design.state).map_err(Error::Conflicts)?;
        Ok(Prepared { lab, file, design, before, plan, obstacles, former, bridged: around.bridged() })
    }

    /// All checks of a lab against this host, and nothing else.
    ///
    /// # Errors
    /// [`Error::Observe`]
    pub fn check(&mut self, lab: &Lab) -> Result<Vec<Problem>, Error> {
        let known = Known::read(&self.place);
        let around = self.around(&lab.name, &known)?;
        Ok(problems(&known.settled(lab.clone(), &around), &around, &known))
    }

    /// The host around a lab.
    fn around(&mut self, lab: &LabName, known: &Known) -> Result<Surroundings, Error> {
        let mut around = self.host.surroundings(lab)?;
        known.complete(&mut around, lab);
        Ok(around)
    }

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
        let result = self.up_locked(lab, file, stop, progress);
        if result.is_err() {
            // a folder without labs that cannot be removed is nothing beside the error that there is to tell
            drop(self.leave(lock));
        }
        result
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

    fn up_locked(
        &mut self,
        lab: Lab,
        file: Option<PathBuf>,
        stop: &AtomicBool,
        progress: &mut Progress<'_>,
    ) -> Result<Prepared, Error> {
        // prepared under the lock: what was seen is still so when it is acted on
        let prepared = self.plan(lab, file)?;
        self.bring(prepared, false, stop, progress)
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

    /// Removes everything of a lab, and puts back the sysctls that it changed. Goes on after errors.
    ///
    /// # Errors
    /// [`Error::Leftovers`] with everything that is still there.
    pub fn down(&mut self, lab: &LabName, progress: &mut Progress<'_>) -> Result<Removed, Error> {
        permission::check()?;
        let impatience = Arc::clone(&self.impatience);
        let lock = self.lock_unless(&impatience)?;
        let removed = self.remove_locked(lab, progress);
        let left = self.leave(lock);
        // what is left of a lab matters more than a folder that cannot be removed
        if removed.is_ok() {
            left?;
        }
        removed
    }

    pub(crate) fn remove_locked(&mut self, lab: &LabName, progress: &mut Progress<'_>) -> Result<Removed, Error> {
        let (known, around, mut scope) = self.survey(lab)?;
        scope.inside = false;
        let target = absent(lab, &around);
        let mut before = self.host.observe(&scope)?;
        let zones = known.zones(lab);
        if !zones.is_empty() {
            before.entry(&NsId::Host).zones.extend(zones);
        }
        let inhabited = inhabited(&before)?;
        let (plan, left) = teardown(&mut self.host, &scope, &before, &target, progress)?;
        if !left.is_empty() {
            return Err(Error::Leftovers { lab: lab.clone(), left });
        }
        self.place.forget(lab)?;
        Ok(Removed { plan, inhabited })
    }

    /// What is remembered, what is around a lab, and what must be looked at of it.
    pub(crate) fn survey(&mut self, lab: &LabName) -> Result<(Known, Surroundings, Scope), Error> {
        let known = Known::read(&self.place);
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

    /// What is missing of a lab, compared with its last `up`: the plan that would repair it.
    ///
    /// # Errors
    /// [`Error::NoLab`], or [`Error::NoRecord`] or [`Error::Interrupted`] if there is nothing to compare with.
    pub fn drift(&mut self, lab: &LabName) -> Result<(Record, Plan), Error> {
        permission::check()?;
        let Some(record) = Record::read(&self.place, lab)? else {
            if self.place.has(lab, JOURNAL) {
                return Err(Error::Interrupted(lab.clone()));
            }
            let is_there = self.host.labs()?.iter().any(|found| found.name == *lab);
            return Err(if is_there { Error::NoRecord(lab.clone()) } else { Error::NoLab(lab.to_string()) });
        };
        let (_, around, mut scope) = self.survey(lab)?;
        let mut target = wanted_now(&record, &around);
        for (ns, content) in &target.namespaces {
            scope.sysctls.extend(content.sysctls.keys().map(|key| (ns.clone(), key.clone())));
        }
        let now = self.host.observe(&scope)?;
        if record.foreign_rules {
            // what must be open depends on what others have closed meanwhile
            let obstacles = self.obstacles(&record.flows)?;
            target.entry(&NsId::Host).openings = openings(&obstacles);
            let zones = &mut target.entry(&NsId::Host).zones;
            if !zones.is_empty() && !firewalld::is_reachable() {
                zones.clear();
            }
        }
        let plan = diff(lab, &now, &target).map_err(Error::Conflicts)?;
        Ok((record, plan))
    }

    /// What others have put beside a lab: into its namespaces, and on the host into its subnets. It is not raum's, and is told
    /// only.
    ///
    /// # Errors
    /// [`Error::Observe`]
    pub fn guests(&self, record: &Record) -> Result<Vec<Guest>, Error> {
        let places: Vec<NsId> = record.state.namespaces.keys().cloned().collect();
        let seen = raum_kernel::guests::look(&places)?;
        Ok(seen.iter().flat_map(|(id, inside)| guests(id, inside, &record.state)).collect())
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

/// All that is wrong with a lab on this host. Links are marked with a number made of the lab's name. Two names that make the
/// same one are rare, and each lab would take the other's links for its own.
fn problems(lab: &Lab, around: &Surroundings, known: &Known) -> Vec<Problem> {
    let name = &lab.name.value;
    let group = link_group(name);
    let others: BTreeSet<&LabName> = known.labs().chain(around.was.keys()).collect();
    let twins = others.into_iter().filter(|other| *other != name && link_group(other) == group);
    let twins = twins.map(|other| {
        Problem::new(format!("lab `{name}` cannot be beside lab `{other}`"), lab.name.span.clone())
            .label(format!("links of both would be in group {group}"))
            .help("give one of them another name")
    });
    check(lab, around).into_iter().chain(twins).collect()
}

/// What a lab needs: what was reached, unless somebody has switched br_netfilter since. That changes what rules and ports must be
/// like, and not what is there, so nothing else would tell.
fn wanted_now(record: &Record, around: &Surroundings) -> State {
    let switched = record.bridged.is_some_and(|bridged| bridged != around.bridged());
    let text = record.text.as_ref().filter(|_| switched);
    let Some(lab) = text.and_then(|text| raum_core::lab::parse(text, &record.lab).ok()) else {
        return record.state.clone();
    };
    let mut state = design(&lab, around).state;
    if let Some(before) = record.state.namespaces.get(&NsId::Host) {
        let host = state.entry(&NsId::Host);
        (host.openings, host.zones) = (before.openings.clone(), before.zones.clone());
    }
    state
}

/// Adds to a design what opens the rules of others. What is in firewalld's zone by raum's doing stays there: its rules show no
/// obstacle for that any more.
fn open(design: &mut Design, obstacles: &[Obstacle], zones_now: &BTreeSet<IfName>) {
    let (openings, zones) = (openings(obstacles), zones(obstacles));
    let host = NsId::Host;
    let Some(room) = design.state.namespaces.get_mut(&host) else { return };
    room.openings = openings;
    if let Some(table) = &mut room.table {
        let own = room.links.keys();
        let zones: BTreeSet<IfName> =
            own.filter(|name| zones.contains(*name) || zones_now.contains(*name)).cloned().collect();
        if !zones.is_empty() {
            table.sets.insert(ZONE_SET.to_owned(), zones.clone());
            room.zones = zones;
        }
    }
}

/// Which processes live in the lab's namespaces.
pub(crate) fn inhabited(state: &State) -> Result<Vec<(NsName, Vec<u32>)>, Error> {
    let names = state.namespaces.iter().filter(|(_, ns)| ns.owner == raum_core::state::Owner::Lab);
    let names: Vec<NsName> = names.filter_map(|(id, _)| id.name()).cloned().collect();
    Ok(raum_kernel::processes::inside(&names))
}

/// For rendering: the operations that are left, and why.
#[must_use]
pub fn left_lines(left: &[Left]) -> Vec<String> {
    left.iter()
        .map(|left| {
            let command = raum_core::render::command(&left.op).join("; ");
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
