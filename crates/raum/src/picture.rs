//! Pictures of labs and of the whole host. What a picture holds and how it is drawn is [`raum_core::picture`]'s.

use raum_core::design::design;
use raum_core::host::Surroundings;
use raum_core::lab::{Lab, check, settle};
use raum_core::name::LabName;
use raum_core::picture::{Picture, Which, of_design, of_scene};
use raum_core::view::{Owner, Parts, Room};

use crate::error::Error;

/// What a picture shows.
const SHOWN: Parts = Parts { addresses: true, routes: true, nat: true, processes: false, ..Parts::LINKS };

/// A lab as its file says it, without looking at this host or asking for permission.
///
/// # Errors
/// [`Error::Invalid`] with all problems of the file.
pub fn of_lab(lab: &Lab) -> Result<Picture, Error> {
    let elsewhere = Surroundings { ipv6: true, ..Surroundings::default() };
    let lab = settle(lab, &elsewhere, None);
    let problems = check(&lab, &elsewhere);
    if problems.is_empty() {
        Ok(of_design(&lab.name, &design(&lab, &elsewhere)))
    } else {
        Err(Error::Invalid(problems))
    }
}

/// A lab as it is now; nothing but its name if it is not up.
///
/// # Errors
/// [`Error::Observe`]
pub fn of_running(lab: &LabName) -> Result<Picture, Error> {
    let in_it = |room: &Room| room.owner == Owner::Host || room.is_of(lab);
    let scene = raum_kernel::scene::look(SHOWN, in_it)?;
    Ok(of_scene(&scene, Which::Lab(lab)))
}

/// Every namespace of the machine.
///
/// # Errors
/// [`Error::Observe`]
pub fn of_host() -> Result<Picture, Error> {
    Ok(of_scene(&raum_kernel::scene::look(SHOWN, |_| true)?, Which::All))
}

/// All labs that are up, together.
///
/// # Errors
/// [`Error::Observe`]
pub fn of_labs() -> Result<Picture, Error> {
    let in_one = |room: &Room| room.owner == Owner::Host || (room.lab.is_some() && is_here(room));
    Ok(of_scene(&raum_kernel::scene::look(SHOWN, in_one)?, Which::Labs))
}

/// Has it its name in this host's mounts? One in those of somebody else is of another lab, which may be called the same.
fn is_here(room: &Room) -> bool {
    !room.paths.is_empty()
}
