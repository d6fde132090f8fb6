//! `/run/netns` itself: what it was before raum, and putting that back.
//!
//! As `ip netns` does, raum makes the folder and a shared mount of it. `ip` leaves both for ever; raum takes away what was
//! not there before, once nobody has a name in it.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use raum_core::host::OpError;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::directory::PATH;
use crate::errno;
use crate::fault::point;

/// Between two looks whether a reader has gone, and how many looks: three seconds, for whoever sits in the folder stays there.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSES: usize = 300;

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

    /// Makes it what it was. Where somebody has a namespace in it, it stays as it is; and where somebody has it open for longer
    /// than those do who only read it.
    ///
    /// # Errors
    /// The kernel's refusal for another reason.
    pub fn put_back(self) -> Result<(), OpError> {
        let at = |cause| errno::at(PATH, cause);
        if self == Self::Mount {
            return Ok(());
        }
        if Self::now()? == Self::Mount {
            // files are the same with and without it; namespaces are mounts themselves, and keep it (EBUSY), as readers do
            let mut pauses = 0..PAUSES;
            loop {
                match point("unmount").and_then(|()| unmount(PATH, UnmountFlags::NOFOLLOW)) {
                    Ok(()) => break,
                    Err(Errno::BUSY) if !has_mounts() && pauses.next().is_some() => std::thread::sleep(PAUSE),
                    Err(Errno::BUSY) => return Ok(()),
                    Err(cause) => return Err(at(cause)),
                }
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

/// Is something mounted in the folder, as namespaces are?
fn has_mounts() -> bool {
    let device = |path: &std::path::Path| std::fs::symlink_metadata(path).map(|found| found.dev()).ok();
    let own = device(PATH.as_ref());
    std::fs::read_dir(PATH).into_iter().flatten().flatten().any(|entry| device(&entry.path()) != own)
}
