//! Network namespaces as descriptors: the present one, fresh ones, and how to do something inside one.

use std::fs::read_dir;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use raum_core::host::OpError;
use raum_core::name::NsName;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat, openat2, stat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::{directory, errno, fault};

/// The network namespace of the calling thread (not of the process: its other threads may be elsewhere).
pub const PRESENT: &str = "/proc/thread-self/ns/net";

/// A descriptor of the calling thread's network namespace.
///
/// # Errors
/// `/proc` is not there, or there are too many open files.
pub fn present() -> Result<OwnedFd, OpError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = fault::point("open own namespace").and_then(|()| openat(CWD, PRESENT, flags, Mode::empty()));
    opened.map_err(|cause| errno::at(PRESENT, cause))
}

/// The number of the namespace that this thread is in: its inode on nsfs (namespaces(7)), the same for as long as it lives.
///
/// # Errors
/// `/proc` is not there.
pub fn number() -> Result<u64, OpError> {
    stat(PRESENT).map(|found| found.st_ino).map_err(|cause| errno::at(PRESENT, cause))
}

/// A path that leads into the namespace of a number: a name, or a process that lives there. None if it is gone, or nobody
/// whom this user may look at is inside.
#[must_use]
pub fn way_to(number: u64) -> Option<PathBuf> {
    let leads = |path: &PathBuf| stat(path).is_ok_and(|found| found.st_ino == number);
    let entries = |folder: &str| {
        let mut entries: Vec<PathBuf> = read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        entries.sort();
        entries
    };
    let named = entries(directory::PATH).into_iter().find(leads);
    named.or_else(|| entries("/proc").into_iter().map(|process| process.join("ns/net")).find(leads))
}

/// A descriptor of the namespace that has a name. No symbolic link is followed on the way. Whether it is a network namespace,
/// and not one of another sort, [`enter`] finds out.
///
/// # Errors
/// ENOENT if there is none of that name; EINVAL if it is somebody's file, or one that has lost its namespace (`umount`); ELOOP at
/// a symbolic link; the kernel's refusal.
pub fn named(name: &NsName) -> Result<OwnedFd, OpError> {
    let path = format!("{}/{name}", directory::PATH);
    // non-blocking: a pipe that somebody put there must not hold us up
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = match openat2(CWD, &path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // older than Linux 5.6, or forbidden by a filter that does not know it
        Err(Errno::NOSYS | Errno::PERM) => openat(CWD, &path, flags, Mode::empty()),
        other => other,
    };
    let fd = opened.map_err(|cause| errno::at(&path, cause))?;
    // include/uapi/linux/magic.h
    const NSFS_MAGIC: u32 = 0x6e73_6673;
    let system = fstatfs(&fd).map_err(|cause| errno::at(&path, cause))?.f_type;
    if u32::try_from(system) != Ok(NSFS_MAGIC) {
        let words = format!("{path} is no network namespace");
        return Err(errno::error(Errno::INVAL.raw_os_error(), Some(&words)));
    }
    Ok(fd)
}

/// Does a refusal of [`named`] or [`enter`] mean that no network namespace has the name?
#[must_use]
pub fn is_gone(refusal: &OpError) -> bool {
    [Errno::NOENT, Errno::INVAL].iter().any(|gone| refusal.errno == gone.raw_os_error())
}

/// Moves the calling thread into a namespace.
///
/// # Errors
/// The descriptor is no network namespace (EINVAL), or the caller may not enter it (EPERM). Where it is already, everybody
/// may be.
pub fn enter(namespace: BorrowedFd<'_>) -> Result<(), OpError> {
    let enter = || move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network));
    match fault::point("setns").and_then(|()| enter()) {
        Err(Errno::PERM) if is_present(namespace) => Ok(()),
        other => other.map_err(|cause| errno::at("entering a network namespace", cause)),
    }
}

fn is_present(namespace: BorrowedFd<'_>) -> bool {
    let same = || {
        let (here, there) = (fstat(present().ok()?).ok()?, fstat(namespace).ok()?);
        Some((here.st_dev, here.st_ino) == (there.st_dev, there.st_ino))
    };
    same().unwrap_or(false)
}

/// Moves the calling thread into a fresh namespace.
///
/// # Errors
/// The kernel refuses: EPERM without `CAP_SYS_ADMIN`, ENOSPC at the limit (`/proc/sys/user/max_net_namespaces`).
pub fn enter_fresh() -> Result<(), OpError> {
    // SAFETY: only the network namespace changes; descriptors stay shared with the other threads.
    let unshare = || unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    fault::point("unshare").and_then(|()| unshare()).map_err(|cause| errno::at("a new network namespace", cause))
}

/// Gives the calling thread a copy of all mounts: what it mounts from now on nobody else sees, while mounts and unmounts of
/// others still reach it. Its working directory, root and umask are its own from now on, too.
///
/// # Errors
/// The kernel refuses: EPERM without `CAP_SYS_ADMIN`, ENOSPC at the limit (`/proc/sys/user/max_mnt_namespaces`), EINVAL in a
/// root directory that is no mount (chroot): there mounts could not be kept from others.
pub fn enter_own_mounts() -> Result<(), OpError> {
    // SAFETY: only mounts, working directory, root and umask part from the other threads; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|cause| errno::at("a new mount namespace", cause))?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|cause| errno::at("keeping mounts from others", cause))
}

/// Does something in a namespace, on a thread of its own: the calling thread stays where it is. A panic goes on in the
/// calling thread.
///
/// # Errors
/// As [`enter`], or no thread can be made.
pub fn in_namespace<T: Send>(namespace: impl AsFd, act: impl FnOnce() -> T + Send) -> Result<T, OpError> {
    let namespace = namespace.as_fd();
    on_a_thread(move || enter(namespace).map(|()| act()))
}

/// A fresh namespace without a name: it lives as long as the descriptor.
///
/// # Errors
/// As [`enter_fresh`].
pub fn fresh() -> Result<OwnedFd, OpError> {
    on_a_thread(|| enter_fresh().and_then(|()| present()))
}

/// Does something that changes the calling thread, on one that ends with it.
pub(crate) fn on_a_thread<T: Send>(act: impl FnOnce() -> Result<T, OpError> + Send) -> Result<T, OpError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("raum-namespace".to_owned())
            .spawn_scoped(scope, act)
            .map_err(|cause| errno::at_io("a thread", &cause))?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
