//! A folder of raum's own, open: whatever is in it is reached from the descriptor, by a plain name.
//!
//! What raum reads here it acts on with the rights of root, so whoever can write here could make it do anything. A folder or
//! file counts only if it is this user's, nobody else may write to it, and no symbolic link or mount is on the way
//! (openat2(2)). A folder that is not so is an error, not a folder without files.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use raum_kernel::fault::point;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fchmod, fstat, mkdirat, openat, openat2, renameat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// A record of a lab of 4,000 namespaces has 6 MB.
const FILE_MAX: u64 = 256 << 20;

/// A file to be written.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// A plain name.
    pub name: &'a str,
    /// Permissions.
    pub mode: u32,
    /// All of it.
    pub content: &'a [u8],
}

/// An open folder that only this user can write to.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
}

impl Folder {
    /// Opens a folder by its path; NotFound if there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::opened(open_below(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS))
    }

    /// The same, made if it is not there.
    pub fn make(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
            std::fs::create_dir_all(parent)?;
        }
        make(CWD, path)?;
        Self::open(path)
    }

    /// A folder in this one.
    pub fn sub(&self, name: &str) -> io::Result<Self> {
        Self::opened(open_below(self.fd.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY, inside()))
    }

    /// The same, made if it is not there.
    pub fn make_sub(&self, name: &str) -> io::Result<Self> {
        make(self.fd.as_fd(), name)?;
        self.sub(name)
    }

    fn opened(result: io::Result<OwnedFd>) -> io::Result<Self> {
        let fd = result?;
        ours(&fstat(&fd)?)?;
        Ok(Self { fd })
    }

    /// Opens a file to hold on to, made if it is not there.
    pub fn keep(&self, name: &str) -> io::Result<OwnedFd> {
        point("open file")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        regular(&fstat(&fd)?)?;
        Ok(fd)
    }

    /// Is that open file the one of that name?
    pub fn has(&self, fd: &OwnedFd, name: &str) -> bool {
        let there = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        match (fstat(fd), there) {
            (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }

    /// A file's content.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        point("read file")?;
        // non-blocking: a pipe that somebody put there must not hold us up
        let fd = open_below(self.fd.as_fd(), name, OFlags::RDONLY | OFlags::NONBLOCK, inside())?;
        let found = fstat(&fd)?;
        regular(&found)?;
        if u64::try_from(found.st_size).is_ok_and(|size| size > FILE_MAX) {
            return Err(io::Error::other("it is far too long to be raum's"));
        }
        let mut content = Vec::new();
        std::fs::File::from(fd).take(FILE_MAX).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Writes files so that each is there whole or not at all, with its mode whatever the umask. All are written before the
    /// first takes the place of an old one: on a full disk all stay as they were.
    pub fn write(&self, files: &[New<'_>]) -> io::Result<()> {
        let new = |file: &New<'_>| format!("{}.new", file.name);
        let write = || -> io::Result<()> {
            files.iter().try_for_each(|file| self.create(&new(file), file.mode, file.content))?;
            files.iter().try_for_each(|file| {
                point("rename file")?;
                Ok(renameat(&self.fd, new(file).as_str(), &self.fd, file.name)?)
            })
        };
        let result = write();
        if result.is_err() {
            // the error is what matters; what could not be removed is written over by the next one, or goes with the folder
            files.iter().for_each(|file| drop(self.remove(&new(file))));
        }
        result
    }

    fn create(&self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        gone(self.remove(name))?;
        let mut file = self.create_new(name)?;
        let mode = Mode::from_raw_mode(mode);
        fchmod(&file, mode)?;
        point("write file")?;
        file.write_all(content)
    }

    /// An empty file, 0600; AlreadyExists if there is one of that name.
    pub fn create_new(&self, name: &str) -> io::Result<std::fs::File> {
        point("create file")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        point("remove file")?;
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub fn remove_sub(&self, name: &str) -> io::Result<()> {
        point("remove directory")?;
        Ok(unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes a folder with what is in it: files, and folders down to a depth that raum itself never reaches.
    pub fn remove_all(&self, name: &str) -> io::Result<()> {
        self.remove_tree(name, 4)
    }

    fn remove_tree(&self, name: &str, depth: usize) -> io::Result<()> {
        let sub = self.sub(name)?;
        for entry in sub.names()? {
            let Some(entry) = entry.to_str() else {
                return Err(io::Error::other(format!("{} is not raum's", entry.display())));
            };
            match sub.remove(entry) {
                Err(error) if error.kind() == ErrorKind::IsADirectory && depth > 0 => {
                    sub.remove_tree(entry, depth - 1)?
                }
                result => gone(result)?,
            }
        }
        self.remove_sub(name)
    }

    /// What is in it, in no order.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        point("list directory")?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }
}

/// Below one of our folders: no way out of it, and nothing mounted over it.
fn inside() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV
}

fn open_below(
    folder: impl AsFd,
    path: impl rustix::path::Arg + Copy,
    flags: OFlags,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    point("open")?;
    let flags = flags | OFlags::CLOEXEC;
    let opened = match openat2(folder.as_fd(), path, flags, Mode::empty(), resolve) {
        // older than Linux 5.6, or forbidden by a filter that does not know it
        Err(Errno::NOSYS | Errno::PERM) => openat(folder.as_fd(), path, flags | OFlags::NOFOLLOW, Mode::empty()),
        other => other,
    };
    opened.map_err(|errno| match errno {
        Errno::LOOP => io::Error::other("it is a symbolic link, or behind one, and none is followed; remove it"),
        Errno::XDEV => io::Error::other("something is mounted over it; unmount it"),
        errno => errno.into(),
    })
}

fn make(folder: impl AsFd, path: impl rustix::path::Arg) -> io::Result<()> {
    point("mkdir")?;
    match mkdirat(folder, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn regular(found: &Stat) -> io::Result<()> {
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no ordinary file; remove it"));
    }
    ours(found)
}

/// Nobody else wrote it, nobody else can.
fn ours(found: &Stat) -> io::Result<()> {
    if found.st_uid != geteuid().as_raw() {
        let words = format!("it belongs to user {}, not to this one; remove it or move it away", found.st_uid);
        return Err(io::Error::other(words));
    }
    if found.st_mode & 0o022 != 0 {
        let mode = found.st_mode & 0o7777;
        return Err(io::Error::other(format!("others may write to it (mode {mode:04o}); remove it or move it away")));
    }
    Ok(())
}

/// Nothing to remove is fine.
pub(super) fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
