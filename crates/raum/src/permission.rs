//! Whether this process may do what raum does, asked before anything is tried: half of it would work without.

use rustix::thread::{CapabilitySet, capabilities};

use crate::error::Error;

pub use raum_kernel::elevated::elevated;

/// What raum needs, and for what: interfaces, addresses, routes, rules; namespaces and their mounts (capabilities(7)).
const NEEDED: [(CapabilitySet, &str); 2] =
    [(CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"), (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN")];

/// May this process change networks?
///
/// # Errors
/// [`Error::Permission`] with the capabilities that are missing.
pub fn check() -> Result<(), Error> {
    // a kernel that does not tell is asked by trying
    let Ok(sets) = capabilities(None) else { return Ok(()) };
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(one, _)| !sets.effective.contains(*one)).map(|(_, name)| *name).collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Permission { missing: missing.join(" and ") }) }
}
