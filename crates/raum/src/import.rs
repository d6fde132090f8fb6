//! Lab files out of namespaces that exist already. What can be said in one is [`raum_core::import`]'s business.

use raum_core::import::{Import, import};
use raum_core::name::LabName;
use raum_core::view::{Owner, Parts, Room};

use crate::error::Error;
use crate::permission;

/// What is to be known of a namespace to import it.
const KNOWN: Parts = Parts { addresses: true, routes: true, nat: true, sysctls: true, processes: true, ..Parts::LINKS };

/// Imports the namespaces of these names; without any, all that are no lab's. `host` among them says nothing new: of it what
/// leads to the others is there anyway.
///
/// # Errors
/// [`Error::Permission`]; [`Error::NoNamespace`] for a name that nobody has; [`Error::NothingToImport`]; [`Error::Observe`].
pub fn of_host(lab: &LabName, names: &[String]) -> Result<Import, Error> {
    permission::check()?;
    let all = names.is_empty();
    let names: Vec<&String> = names.iter().filter(|name| *name != "host").collect();
    let scene = raum_kernel::scene::look(KNOWN, |_| true)?;
    let has = |name: &str| scene.namespaces.iter().any(|room| room.namespace == name && room.owner != Owner::Host);
    if let Some(unknown) = names.iter().find(|name| !has(name)) {
        return Err(Error::NoNamespace((*unknown).clone()));
    }
    // without names: what somebody gave a name to here, or a container has; not every sandbox of a service, nor names in the
    // mounts of others
    let is_somebodys = |room: &Room| match room.owner {
        Owner::Named | Owner::File => !room.paths.is_empty(),
        Owner::Docker(_) | Owner::Podman(_) | Owner::Container(_) => true,
        Owner::Host | Owner::Lab(_) | Owner::Systemd(_) | Owner::Process(_) | Owner::Unknown => false,
    };
    let is_meant = |room: &Room| if all { is_somebodys(room) } else { names.contains(&&room.namespace) };
    if !all && names.is_empty() {
        return Err(Error::NothingToImport);
    }
    Ok(import(&scene, lab, is_meant))
}
