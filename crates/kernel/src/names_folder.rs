//! `/run/netns` itself: what it was before raum, and putting that back.
//!
//! As `ip netns` does, raum makes the folder and a shared mount of it. `ip` leaves both for ever; raum takes away what was
//! not there before, once nobody has a name in it.

use raum_core::host::OpError;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::directory::PATH;
use crate::errno;
use crate::fault::point;

/// What `/run/netns` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesFolder {
    /// Not there.
    Absent,
    /// A folder of the file system that `/run` is.
    Folder,
    /// A mount of its own.
    Mount,
}

impl NamesFolder {
    /// Looks.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn now() -> Result<Self, OpError> {
        let look = || statx(CWD, PATH, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
        match point("stat /run/netns").and_then(|()| look()) {
            Err(Errno::NOENT) => Ok(Self::Absent),
            Err(cause) => Err(errno::at(PATH, cause)),
            // the attribute is told since Linux 5.8
            Ok(found) if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) => Ok(Self::Mount),
            Ok(_) => Ok(Self::Folder),
        }
    }

    /// Makes it what it was. Where somebody has a namespace in it, or has it open, it stays as it is.
    ///
    /// # Errors
    /// The kernel's refusal for another reason.
    pub fn put_back(self) -> Result<(), OpError> {
        let at = |cause| errno::at(PATH, cause);
        if self == Self::Mount {
            return Ok(());
        }
        if Self::now()? == Self::Mount {
            // files are the same with and without it; namespaces are mounts themselves, and keep it (EBUSY)
            match point("unmount").and_then(|()| unmount(PATH, UnmountFlags::NOFOLLOW)) {
                Ok(()) => {}
                Err(Errno::BUSY) => return Ok(()),
                Err(cause) => return Err(at(cause)),
            }
        }
        if self == Self::Absent {
            match point("rmdir").and_then(|()| rustix::fs::rmdir(PATH)) {
                Ok(()) | Err(Errno::BUSY | Errno::NOTEMPTY | Errno::NOENT) => {}
                Err(cause) => return Err(at(cause)),
            }
        }
        Ok(())
    }
}
