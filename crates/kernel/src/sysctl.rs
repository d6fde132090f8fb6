//! Sysctls: files under `/proc/sys`, which shows the network namespace of the thread that opens them.

use std::fs;
use std::io::{ErrorKind, Write};

use raum_core::host::OpError;
use raum_core::state::Sysctl;

use crate::errno;
use crate::fault::point;

fn path(key: &Sysctl) -> String {
    format!("/proc/sys/{key}")
}

/// Writes a value, in the calling thread's namespace.
///
/// # Errors
/// ENOENT if the kernel has no such key (or its interface is gone), EACCES, EROFS in a container, EINVAL for the value; the
/// path is in the message.
pub(crate) fn write(key: &Sysctl, value: &str) -> Result<(), OpError> {
    let path = path(key);
    // without create or truncate: it is no ordinary file. One write: the kernel takes each as a whole value.
    let open = || -> std::io::Result<fs::File> {
        point("write sysctl")?;
        fs::OpenOptions::new().write(true).open(&path)
    };
    open()
        .and_then(|mut file| file.write_all(format!("{value}\n").as_bytes()))
        .map_err(|cause| errno::at_io(&path, &cause))
}

/// Reads a value, in the calling thread's namespace; None if there is no such key.
///
/// # Errors
/// The kernel's refusal, with the path in the message.
pub(crate) fn read(key: &Sysctl) -> Result<Option<String>, OpError> {
    let path = path(key);
    let read = || -> std::io::Result<String> {
        point("read sysctl")?;
        fs::read_to_string(&path)
    };
    match read() {
        Ok(text) => Ok(Some(text.trim_end_matches('\n').to_owned())),
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(cause) => Err(errno::at_io(&path, &cause)),
    }
}
