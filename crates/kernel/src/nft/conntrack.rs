//! Connection tracking: forgetting flows that follow old rules.

use raum_core::host::OpError;
use raum_core::lab::Proto;
use rustix::io::Errno;

use crate::errno;
use crate::socket::Socket;

/// Forgets all tracked flows of a protocol whose original destination is this port, of both families.
///
/// # Errors
/// The kernel's refusal. None to forget is no error.
pub fn flush(_socket: &mut Socket, _proto: Proto, _port: u16) -> Result<(), OpError> {
    Err(errno::error(Errno::NOSYS.raw_os_error(), None))
}
