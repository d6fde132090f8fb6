//! Down: everything that carries the lab's mark, whatever else fails.

use std::sync::Arc;

use raum_core::design::absent;
use raum_core::host::Host;
use raum_core::name::{LabName, NsId, NsName};
use raum_core::plan::Plan;
use raum_core::state::State;

use super::Labs;
use crate::error::Error;
use crate::permission;
use crate::reach::{Progress, teardown};

/// What `down` did.
#[derive(Debug)]
pub struct Removed {
    /// What was done; empty if nothing of the lab was there.
    pub plan: Plan,
    /// Namespaces that still have processes inside: they are without a name now, and gone when those end.
    pub inhabited: Vec<(NsName, Vec<u32>)>,
}

impl Labs {
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
}

/// Which processes live in the lab's namespaces.
pub(crate) fn inhabited(state: &State) -> Result<Vec<(NsName, Vec<u32>)>, Error> {
    let names = state.namespaces.iter().filter(|(_, ns)| ns.owner == raum_core::state::Owner::Lab);
    let names: Vec<NsName> = names.filter_map(|(id, _)| id.name()).cloned().collect();
    Ok(raum_kernel::processes::inside(&names))
}
