//! Before anything is done: a lab is checked against this host, designed, and compared with what is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use raum_core::beside::{Obstacle, ZONE_SET, openings, zones};
use raum_core::design::{Design, design};
use raum_core::diff::diff;
use raum_core::host::{Host, Surroundings};
use raum_core::lab::{Lab, check, link_group};
use raum_core::name::{IfName, LabName, NsId};
use raum_core::plan::Plan;
use raum_core::problem::Problem;
use raum_core::state::State;
use raum_kernel::firewalld;

use super::Labs;
use crate::error::Error;
use crate::known::Known;
use crate::permission;
use crate::record::JOURNAL;

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

impl Labs {
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
        known.refuse_elsewhere(&lab.name)?;
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
            open_rules_of_others(&mut design, &obstacles, &zones);
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

/// Adds to a design what opens the rules of others. What is in firewalld's zone by raum's doing stays there: its rules show no
/// obstacle for that any more.
fn open_rules_of_others(design: &mut Design, obstacles: &[Obstacle], zones_now: &BTreeSet<IfName>) {
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
