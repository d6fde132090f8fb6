//! Looking at namespaces, whoever made them: all of the machine, those of a lab, or a single one.

use raum_core::host::ObserveError;
use raum_core::name::LabName;
use raum_core::view::{Owner, Parts, Room, Scene, SelectError, Selected, select};

use crate::place::Place;

/// Nothing can be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// The text leads to nothing, or to several.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Nothing at all can be seen.
    #[error(transparent)]
    Observe(#[from] ObserveError),
}

/// Looks at all namespaces, or at those that a text means (see [`select`]). What cannot be seen is told in the scene.
///
/// # Errors
/// [`LookError`]
pub fn look(place: &Place, text: Option<&str>, parts: Parts) -> Result<Scene, LookError> {
    let found = raum_kernel::scene::find()?;
    let Some(text) = text else { return Ok(found.look(parts, |_| true)?) };
    let rooms: Vec<&Room> = found.rooms().collect();
    match meant(place, &rooms, text)? {
        Selected::Room(name) => Ok(found.look(parts, |room| room.namespace == name)?),
        Selected::Lab(lab) => {
            let mut scene = found.look(parts, |room| room.owner == Owner::Host || room.is_of(&lab))?;
            scene.only(&lab);
            Ok(scene)
        }
    }
}

/// Which of all namespaces and labs a text means.
///
/// # Errors
/// [`LookError`]
pub fn find(place: &Place, text: &str) -> Result<Selected, LookError> {
    let found = raum_kernel::scene::find()?;
    let rooms: Vec<&Room> = found.rooms().collect();
    Ok(meant(place, &rooms, text)?)
}

fn meant(place: &Place, rooms: &[&Room], text: &str) -> Result<Selected, SelectError> {
    match select(rooms, text) {
        // of a lab without namespaces only raum's records know the name
        Err(unknown @ SelectError::Unknown { .. }) => {
            let lab = LabName::new(text).ok().filter(|lab| place.labs().contains(lab));
            Ok(Selected::Lab(lab.ok_or(unknown)?))
        }
        selected => selected,
    }
}

/// Does a text mean a namespace or a lab?
///
/// # Errors
/// There is no `/proc`.
pub fn is_one(text: &str) -> Result<bool, ObserveError> {
    let found = raum_kernel::scene::find()?;
    let rooms: Vec<&Room> = found.rooms().collect();
    Ok(!matches!(select(&rooms, text), Err(SelectError::Unknown { .. })))
}
