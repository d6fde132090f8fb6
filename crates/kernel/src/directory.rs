//! `/run/netns`, where namespaces have their names: a file for each, with the namespace bound over it.
//!
//! It is made and used as iproute2 does (ip/ipnetns.c), so that each sees the other's. No symbolic link is followed on the
//! way to the folder or in it.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use raum_core::host::OpError;
use raum_core::name::NsName;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RawDir, ResolveFlags, flock, mkdirat, openat, openat2,
    statat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change, unmount};
use rustix::process::geteuid;

use crate::errno;
use crate::fault::point;
use crate::namespace::PRESENT;

/// The folder.
pub const PATH: &str = "/run/netns";

/// The mode of the files that raum binds namespaces over, which nobody sees as long as they are bound. `ip netns add` makes
/// its with mode 0: one that is empty may be about to be bound.
const OWN: Mode = Mode::WUSR;

/// How long others are waited for who mount the folder just now; `ip netns add` takes less than a millisecond for it.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The folder, open.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    /// The device of the kernel's namespace files: what has another is no namespace.
    nsfs: u64,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A namespace, by its inode: the kernel gives each another.
    Namespace(u64),
    /// An empty file of ours ([`OWN`]) with nothing bound over it: left by a crash, or by a machine that lost its mounts.
    Leftover,
    /// A file of somebody's, a folder, a symbolic link.
    Other,
}

fn path_of(name: &NsName) -> String {
    format!("{PATH}/{name}")
}

impl Directory {
    /// Opens the folder; None if there is none. `nsfs` is the device of any namespace file.
    ///
    /// # Errors
    /// It is no folder, or a symbolic link is on the way.
    pub fn open(nsfs: u64) -> Result<Option<Self>, OpError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || openat2(CWD, PATH, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        let opened = match point("open /run/netns").and_then(|()| open()) {
            // older than Linux 5.6, or forbidden by a filter that does not know it
            Err(Errno::NOSYS | Errno::PERM) => openat(CWD, PATH, flags | OFlags::NOFOLLOW, Mode::empty()),
            other => other,
        };
        match opened {
            Ok(fd) => Ok(Some(Self { fd, nsfs })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(errno::refused(format!(
                "{PATH} is a symbolic link, or behind one, and none is followed; remove it"
            ))),
            Err(cause) => Err(errno::at(PATH, cause)),
        }
    }

    /// Makes the folder, if need be, and a shared mount of it: so a name made in one mount namespace is seen, and can be
    /// taken away, in all of them.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn prepare(nsfs: u64) -> Result<Self, OpError> {
        let at = |cause| errno::at(PATH, cause);
        match point("mkdir").and_then(|()| mkdirat(CWD, PATH, Mode::from_raw_mode(0o755))) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(cause) => return Err(at(cause)),
        }
        let gone = || errno::error(Errno::NOENT.raw_os_error(), None);
        let before = Self::open(nsfs)?.ok_or_else(gone)?;
        // two at once would bind it twice; released when closed. Whoever holds it for long (anybody may, who can read the
        // folder) is not waited for: a second mount there does less harm than no network
        let end = Instant::now() + LOCK_PATIENCE;
        loop {
            match point("flock").and_then(|()| flock(&before.fd, FlockOperation::NonBlockingLockExclusive)) {
                Err(Errno::WOULDBLOCK) if Instant::now() < end => thread::sleep(LOCK_PAUSE),
                Ok(()) | Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => {}
                Err(cause) => return Err(at(cause)),
            }
        }
        let share = || {
            point("mount shared")?;
            mount_change(PATH, MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        };
        match share() {
            Ok(()) => {}
            Err(Errno::INVAL) => {
                point("mount").and_then(|()| mount_bind_recursive(PATH, PATH)).map_err(at)?;
                share().map_err(at)?;
            }
            Err(cause) => return Err(at(cause)),
        }
        Self::open(nsfs)?.ok_or_else(gone)
    }

    /// All names that raum can speak of, sorted.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn names(&self) -> Result<Vec<NsName>, OpError> {
        let at = |cause| errno::at(PATH, cause);
        // a descriptor of its own, so that reading begins at the beginning
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || openat(&self.fd, ".", flags, Mode::empty());
        let fd = point("list /run/netns").and_then(|()| open()).map_err(at)?;
        let mut buffer = Vec::new();
        buffer.resize_with(32 << 10, MaybeUninit::uninit);
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(at)?;
            names.extend(entry.file_name().to_str().ok().and_then(|name| NsName::new(name).ok()));
        }
        names.sort();
        Ok(names)
    }

    /// What a name stands for; None if it is not there.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn entry(&self, name: &NsName) -> Result<Option<Entry>, OpError> {
        let look = || statat(&self.fd, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = match point("stat name").and_then(|()| look()) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(cause) => return Err(errno::at(&path_of(name), cause)),
        };
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(Some(if regular && stat.st_dev == self.nsfs {
            Entry::Namespace(stat.st_ino)
        } else if regular
            && stat.st_size == 0
            && stat.st_uid == geteuid().as_raw()
            && Mode::from_raw_mode(stat.st_mode) == OWN
        {
            Entry::Leftover
        } else {
            Entry::Other
        }))
    }

    /// A descriptor of the namespace; None if there is none of that name.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn namespace(&self, name: &NsName) -> Result<Option<OwnedFd>, OpError> {
        if !matches!(self.entry(name)?, Some(Entry::Namespace(_))) {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match point("open name").and_then(|()| openat(&self.fd, name.as_str(), flags, Mode::empty())) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(cause) => Err(errno::at(&path_of(name), cause)),
        }
    }

    /// Gives the calling thread's namespace a name.
    ///
    /// # Errors
    /// EEXIST if the name is taken; the kernel's refusal. Nothing is left behind then.
    pub fn bind(&self, name: &NsName) -> Result<(), OpError> {
        let at = |cause| errno::at(&path_of(name), cause);
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(&self.fd, name.as_str(), flags, OWN);
        let file = match point("create name").and_then(|()| create()) {
            Ok(file) => file,
            Err(Errno::EXIST) if self.entry(name)? == Some(Entry::Leftover) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(&self.fd, name.as_str(), flags, Mode::empty()).map_err(at)?
            }
            Err(cause) => return Err(at(cause)),
        };
        // by descriptor: whatever happens to the name meanwhile, this is the file that was made
        let target = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        point("bind name").and_then(|()| mount_bind(PRESENT, target.as_str())).map_err(|cause| {
            match point("unlink name").and_then(|()| unlinkat(&self.fd, name.as_str(), AtFlags::empty())) {
                Ok(()) | Err(Errno::NOENT) => at(cause),
                Err(also) => {
                    errno::refused(format!("{}; and the empty file could not be removed: {also}", at(cause).words()))
                }
            }
        })
    }

    /// Takes a namespace's name away, or a leftover.
    ///
    /// # Errors
    /// ENOENT if there is none; EINVAL if it is no namespace; the kernel's refusal.
    pub fn unbind(&self, name: &NsName) -> Result<(), OpError> {
        let at = |cause| errno::at(&path_of(name), cause);
        // `ip netns add` in two mount namespaces, or a shared parent, can have bound it more than once
        for _ in 0..16 {
            match self.entry(name)? {
                None => return Err(at(Errno::NOENT)),
                Some(Entry::Other) => {
                    return Err(errno::error(
                        Errno::INVAL.raw_os_error(),
                        Some(&format!("{} is no network namespace", path_of(name))),
                    ));
                }
                Some(Entry::Namespace(_)) => {
                    let target = format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd());
                    let unmount = || unmount(target.as_str(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
                    point("unbind name").and_then(|()| unmount()).map_err(at)?;
                }
                Some(Entry::Leftover) => {}
            }
            match point("unlink name").and_then(|()| unlinkat(&self.fd, name.as_str(), AtFlags::empty())) {
                Ok(()) => return Ok(()),
                Err(Errno::BUSY) => {}
                Err(cause) => return Err(at(cause)),
            }
        }
        Err(at(Errno::BUSY))
    }
}
