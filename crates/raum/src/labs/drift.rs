//! What is missing of a lab that is up, and what others have put beside it.

use raum_core::beside::{Guest, guests, openings};
use raum_core::design::design;
use raum_core::diff::diff;
use raum_core::host::{Host, Surroundings};
use raum_core::name::{LabName, NsId};
use raum_core::plan::Plan;
use raum_core::state::State;
use raum_kernel::firewalld;

use super::Labs;
use crate::error::Error;
use crate::permission;
use crate::record::{JOURNAL, Record};

impl Labs {
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
