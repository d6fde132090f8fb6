//! `/run/netns` itself: what it was before raum, and putting that back.
//!
//! As `ip netns` does, raum makes the folder and a shared mount of it. `ip` leaves both for ever; raum takes away what was
//! not there before, once nobody has a name in it.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use raum_core::host::OpError;
use raum_core::name::NsName;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, stat, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::directory::PATH;
use crate::fault::point;
use crate::{errno, namespace};

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

/// The named namespace that this thread is in with mounts of its own, as `raum exec` and `ip netns exec` go in; None elsewhere. A
/// name that is given here is seen by nobody outside, and gone with the last process inside.
///
/// # Errors
/// `/proc` is not there.
pub fn inside() -> Result<Option<NsName>, OpError> {
    const MOUNTS: &str = "/proc/thread-self/mountinfo";
    let present = namespace::number()?;
    let mounts = std::fs::read(MOUNTS).map_err(|cause| errno::at_io(MOUNTS, &cause))?;
    // with a /run of one's own the mounts of before are listed as well, and lead nowhere
    let leads_here = |name: &NsName| stat(format!("{PATH}/{name}")).is_ok_and(|found| found.st_ino == present);
    Ok(inside_by(&String::from_utf8_lossy(&mounts), present).filter(leads_here))
}

/// By a `mountinfo` (proc_pid_mountinfo(5)): number, parent, device, root, mount point, options, optional fields, `-`.
fn inside_by(mounts: &str, present: u64) -> Option<NsName> {
    let present = format!("net:[{present}]");
    let (mut is_slave, mut name) = (false, None);
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
        if point == PATH {
            // the last one is on top; what is mounted here goes nowhere, if mounts come from elsewhere
            is_slave = fields.skip(1).take_while(|field| *field != "-").any(|field| field.starts_with("master:"));
        } else if root == present {
            let here = point.strip_prefix(PATH).and_then(|rest| NsName::new(rest.strip_prefix('/')?).ok());
            name = here.or(name);
        }
    }
    name.filter(|_| is_slave)
}

/// Is something mounted in the folder, as namespaces are?
fn has_mounts() -> bool {
    let device = |path: &std::path::Path| std::fs::symlink_metadata(path).map(|found| found.dev()).ok();
    let own = device(PATH.as_ref());
    std::fs::read_dir(PATH).into_iter().flatten().flatten().any(|entry| device(&entry.path()) != own)
}

#[cfg(test)]
mod tests {
    use super::inside_by;

    #[test]
    fn one_is_inside_where_mounts_come_from_elsewhere_and_the_namespace_has_a_name() {
        let exec = "249 248 0:45 /netns /run/netns rw,relatime master:51 - tmpfs t rw\n\
                    250 249 0:4 net:[77] /run/netns/a rw master:52 - nsfs nsfs rw\n\
                    251 249 0:4 net:[78] /run/netns/b rw master:52 - nsfs nsfs rw\n";
        let told = |mounts: &str, present| inside_by(mounts, present).map(|name| name.to_string());
        assert_eq!(told(exec, 78), Some("b".to_owned()));
        assert_eq!(told(exec, 79), None);
        // entered without mounts of one's own
        assert_eq!(told(&exec.replace("master:51", "shared:51"), 78), None);
        // what is mounted over it counts
        assert_eq!(told(&format!("{exec}260 255 0:46 /netns /run/netns rw shared:60 - tmpfs t rw\n"), 78), None);
        assert_eq!(told("garbage\n1 2 3 /run/netns\n\n", 78), None);
    }
}
