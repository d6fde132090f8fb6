//! Finds every network namespace of the machine: those bound over files, in any mount namespace, those of processes and of
//! single threads, and those that are only held open.
//!
//! A namespace is the same iff its inode on nsfs is (namespaces(7)); mountinfo and the links under /proc/PID/ns tell it
//! without entering anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use raum_core::host::OpError;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat, readlinkat_raw, stat};
use rustix::io::Errno;

use crate::errno;
use crate::workers::spread;

/// A namespace, and how to get at it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files over which it is bound, as this process sees them.
    pub paths: Vec<PathBuf>,
    /// If none: a file as another process sees it, who has mounts of his own.
    pub elsewhere: Option<(u32, PathBuf)>,
    /// Files by which it can be opened, the best first.
    pub ways: Vec<PathBuf>,
    /// Processes whose first thread, or another one, is inside.
    pub pids: Vec<u32>,
}

/// All of them by inode, and for how many processes that could not be told.
pub(super) struct House {
    pub namespaces: BTreeMap<u64, Found>,
    pub unseen: usize,
}

/// What there is to know of one process.
struct Seen {
    pid: u32,
    net: Vec<(u64, PathBuf)>,
    mount: Option<u64>,
    /// It may not be looked at.
    hidden: bool,
}

/// Processes for each thread, below which another is not worth its start.
const WORTH: usize = 200;

/// Looks everywhere.
///
/// # Errors
/// `/proc` is not there.
pub(super) fn find() -> Result<House, OpError> {
    let mut house = House { namespaces: BTreeMap::new(), unseen: 0 };
    let own = fs::read("/proc/self/mountinfo").map_err(|cause| errno::at_io("/proc/self/mountinfo", &cause))?;
    for (inode, path) in bound(&own).into_iter().filter(|(inode, path)| leads_to(path, *inode)) {
        let found = house.namespaces.entry(inode).or_default();
        if !found.paths.contains(&path) {
            found.ways.push(path.clone());
            found.paths.push(path);
        }
    }
    let processes = spread(pids()?, WORTH, process)?;
    let mut mounts: HashSet<u64> = link_inode(Path::new("/proc/self/ns/mnt")).into_iter().collect();
    let mut elsewhere: Vec<u32> = Vec::new();
    for seen in processes.into_iter().flatten() {
        house.unseen += usize::from(seen.hidden);
        if seen.mount.is_some_and(|mount| mounts.insert(mount)) {
            elsewhere.push(seen.pid);
        }
        for (inode, way) in seen.net {
            let found = house.namespaces.entry(inode).or_default();
            if found.pids.last() != Some(&seen.pid) {
                found.pids.push(seen.pid);
            }
            if found.ways.len() < 4 {
                found.ways.push(way);
            }
        }
    }
    // whoever has mounts of his own can have bound namespaces there: containers in containers, Podman without root
    for pid in elsewhere {
        let Ok(mountinfo) = fs::read(format!("/proc/{pid}/mountinfo")) else { continue };
        for (inode, path) in bound(&mountinfo) {
            let found = house.namespaces.entry(inode).or_default();
            if let Ok(inside) = path.strip_prefix("/") {
                found.ways.push(Path::new("/proc").join(pid.to_string()).join("root").join(inside));
            }
            if found.paths.is_empty() && found.elsewhere.is_none() {
                found.elsewhere = Some((pid, path));
            }
        }
    }
    Ok(house)
}

/// Does a mount point still show what was mounted there? Something else can be mounted over it, or over a folder above: whoever
/// gets a `/run` of his own inherits the mounts of everybody's `/run/netns`, which nothing leads to any more. Where that
/// cannot be found out, it does.
fn leads_to(path: &Path, inode: u64) -> bool {
    match stat(path) {
        Ok(found) => found.st_ino == inode,
        Err(cause) => !matches!(cause, Errno::NOENT | Errno::NOTDIR),
    }
}

/// The number of every process.
///
/// # Errors
/// `/proc` is not there.
pub(super) fn pids() -> Result<Vec<u32>, OpError> {
    let entries = fs::read_dir("/proc").map_err(|cause| errno::at_io("/proc", &cause))?;
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// None if the process is gone. A zombie is: its first thread is in no namespace any more.
fn process(pid: u32) -> Option<Seen> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let way = folder.join("ns/net");
    let mut seen = Seen { pid, net: Vec::new(), mount: None, hidden: false };
    match link_text(&way) {
        Ok(inode) => seen.net.extend(inode.map(|inode| (inode, way))),
        Err(Errno::ACCESS | Errno::PERM) => {
            seen.hidden = true;
            return Some(seen);
        }
        // gone, or dead and not buried: it is in none
        Err(_) => return None,
    }
    seen.mount = link_inode(&folder.join("ns/mnt"));
    // `.`, `..`, and one for each thread: a thread can be elsewhere than its process
    let tasks = folder.join("task");
    if stat(&tasks).is_ok_and(|tasks| tasks.st_nlink > 3) {
        let mut known: HashSet<u64> = seen.net.iter().map(|(inode, _)| *inode).collect();
        for thread in fs::read_dir(&tasks).into_iter().flatten().flatten() {
            let way = thread.path().join("ns/net");
            if let Some(inode) = link_inode(&way).filter(|inode| known.insert(*inode)) {
                seen.net.push((inode, way));
            }
        }
    }
    Some(seen)
}

/// The inode out of a link's text: `net:[4026531840]`.
fn link_inode(path: &Path) -> Option<u64> {
    link_text(path).ok().flatten()
}

fn link_text(path: &Path) -> Result<Option<u64>, Errno> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 64];
    let (text, _) = readlinkat_raw(CWD, path, &mut buffer)?;
    Ok(bracketed(text))
}

/// The number in `net:[4026531840]`, `socket:[4711]`.
pub(super) fn bracketed(text: &[u8]) -> Option<u64> {
    let start = text.iter().position(|byte| *byte == b'[')? + 1;
    let end = text.iter().position(|byte| *byte == b']')?;
    std::str::from_utf8(text.get(start..end)?).ok()?.parse().ok()
}

/// Processes by the inode of a socket that they have open.
pub(super) type Holders = HashMap<u64, Vec<u32>>;

/// Which process has which sockets open, and the network namespaces that somebody holds open, with a way to them. Files of
/// processes of other users cannot be seen.
///
/// # Errors
/// `/proc` is not there.
pub(super) fn open_files() -> Result<(Holders, Vec<(u64, PathBuf)>), OpError> {
    let files = spread(pids()?, WORTH, |pid| {
        let mut held: Vec<u64> = Vec::new();
        let mut namespaces: Vec<(u64, PathBuf)> = Vec::new();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 64];
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok((text, _)) = readlinkat_raw(CWD, &path, &mut buffer) else { continue };
            if text.starts_with(b"socket:[") {
                held.extend(bracketed(text));
            } else if text.starts_with(b"net:[") {
                namespaces.extend(bracketed(text).map(|inode| (inode, path)));
            }
        }
        held.sort_unstable();
        held.dedup();
        (pid, held, namespaces)
    })?;
    let mut holders = Holders::new();
    let mut namespaces = Vec::new();
    for (pid, held, open) in files {
        for inode in held {
            holders.entry(inode).or_default().push(pid);
        }
        namespaces.extend(open);
    }
    Ok((holders, namespaces))
}

impl Found {
    /// Opens it.
    ///
    /// # Errors
    /// The last refusal, if nothing leads there any more.
    pub fn open(&self, inode: u64, nsfs: u64) -> Result<OwnedFd, OpError> {
        let mut refusal = errno::error(Errno::NOENT.raw_os_error(), None);
        for way in &self.ways {
            // non-blocking: what was a namespace a moment ago can be a pipe now
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            match openat(CWD, way, flags, Mode::empty()) {
                Ok(fd) if fstat(&fd).is_ok_and(|found| (found.st_dev, found.st_ino) == (nsfs, inode)) => return Ok(fd),
                Ok(_) => {}
                Err(cause) => refusal = errno::at(&way.display().to_string(), cause),
            }
        }
        Err(refusal)
    }
}

/// The network namespaces in a `mountinfo` (proc_pid_mountinfo(5)), with their mount points.
fn bound(mountinfo: &[u8]) -> Vec<(u64, PathBuf)> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let read = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let root = fields.next()?;
        let inode = root.starts_with(b"net:[").then(|| bracketed(root))??;
        Some((inode, PathBuf::from(OsString::from_vec(unescape(fields.next()?)))))
    };
    lines.filter_map(read).collect()
}

/// `\040` is a space: mangle_path in fs/seq_file.c.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let octal = |digits: &[u8]| {
            let digits = digits.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)))?;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
        };
        match (*first, octal(rest)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                text = rest.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                text = rest;
            }
        }
    }
    bytes
}

/// A path as a terminal can bear it.
pub(super) fn shown(path: &Path) -> String {
    super::harmless(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_in_mountinfo_are_found_with_strange_paths() {
        let text = b"1 2 0:4 net:[4026532] /run/netns/red rw shared:1 - nsfs nsfs rw\n\
                     3 2 0:4 / /run rw - tmpfs tmpfs rw\n\
                     4 2 0:4 net:[77] /tmp/a\\040b\\134c rw - nsfs nsfs rw\n\
                     5 2 0:4 mnt:[78] /tmp/m rw - nsfs nsfs rw\n\
                     6 2 0:4 net:[ /tmp/m rw";
        let wanted = [(4_026_532, PathBuf::from("/run/netns/red")), (77, PathBuf::from("/tmp/a b\\c"))];
        assert_eq!(bound(text), wanted);
    }

    #[test]
    fn garbage_is_no_mount() {
        for text in ["", "\n\n", "net:[1] ", "a b c net:[x] /y", "a b c net:[1]", "a b c net:]1[ /y"] {
            assert!(bound(text.as_bytes()).is_empty(), "{text:?}");
        }
        assert_eq!(unescape(br"a\999\04"), br"a\999\04");
    }
}
