//! nf_tables: a lab's table to the kernel and back.
//!
//! All functions take a [`Socket`] of protocol netfilter, opened in the namespace that is meant.

pub mod conntrack;

use raum_core::host::OpError;
use raum_core::name::LabName;
use raum_core::nft::Table;
use raum_core::state::Owner;
use rustix::io::Errno;

use crate::errno;
use crate::socket::Socket;

/// Makes the lab's table be exactly this, in one transaction.
///
/// # Errors
/// The kernel's refusal; nothing has changed then.
pub fn replace(_socket: &mut Socket, _table: &Table) -> Result<(), OpError> {
    Err(errno::error(Errno::NOSYS.raw_os_error(), None))
}

/// Removes a table of family `inet`.
///
/// # Errors
/// The kernel's refusal: ENOENT if there is none.
pub fn delete(_socket: &mut Socket, _name: &str) -> Result<(), OpError> {
    Err(errno::error(Errno::NOSYS.raw_os_error(), None))
}

/// Reads the table of a lab (`raum-LAB`), and whose it is by its comment.
///
/// # Errors
/// The kernel's refusal. No table is no error.
pub fn observe(_socket: &mut Socket, _lab: &LabName) -> Result<Option<(Table, Owner)>, OpError> {
    Ok(None)
}

/// Reads all tables that carry a lab's mark.
///
/// # Errors
/// The kernel's refusal.
pub fn observe_all(_socket: &mut Socket) -> Result<Vec<Table>, OpError> {
    Ok(Vec::new())
}
