//! Files: `/run/raum`, what raum remembers between two commands, and the lock that keeps two of them apart.
//!
//! ```text
//! /run/raum/            0700
//!   lock                one command at a time changes the host
//!   boot                which run of the kernel the rest belongs to
//!   labs/shop/
//!     record.json       the lab as it was last brought up: what `status` compares with
//!     journal.json      there only while a change is under way, or after a crash
//!     hosts             /etc/hosts inside the lab's namespaces
//! ```
//!
//! None of it is needed to take a lab down: ownership is on the kernel's objects. All of it is gone after a reboot, as the
//! network is; where `/run` outlives one, what is from before counts as not there, and goes with the next change.

mod folder;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use raum_core::name::LabName;
use raum_kernel::errno;
use raum_kernel::fault::point;
use raum_kernel::names_folder::NamesFolder;
use rustix::fs::{AtFlags, CWD, FlockOperation, StatxAttributes, StatxFlags, flock, statx};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use folder::New;
use folder::{Folder, gone};

/// A file or directory of raum's own that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", errno::at_io(&path.display().to_string(), cause).words())]
pub struct FileError {
    /// What was tried: `write`, `create`, `lock`.
    pub action: &'static str,
    /// Where.
    pub path: PathBuf,
    /// The kernel's words.
    pub cause: io::Error,
}

/// Between two looks at a lock that somebody else has: a small lab takes a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(3);
/// The note of what `/run/netns` was.
const NAMES_FOLDER: &str = "names-folder";
/// The folder of labs' folders.
const LABS: &str = "labs";
/// The file that is locked.
const LOCK: &str = "lock";
/// The file that says from which run of the kernel the others are, in the words of [`BOOT_ID`].
const BOOT: &str = "boot";
/// Another text for each run of the kernel (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The directory of raum's own files.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
}

/// Held while a command changes the host; let go when dropped, by the kernel if the process dies.
#[derive(Debug)]
pub struct Lock {
    // only kept open: closing it unlocks
    _file: OwnedFd,
}

impl Default for Place {
    fn default() -> Self {
        Self { root: PathBuf::from("/run/raum") }
    }
}

impl Place {
    /// Another directory than `/run/raum`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a lab's file is.
    #[must_use]
    pub fn file(&self, lab: &LabName, file: &str) -> PathBuf {
        self.lab(lab).join(file)
    }

    fn lab(&self, lab: &LabName) -> PathBuf {
        self.root.join("labs").join(lab.as_str())
    }

    fn error(&self, action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> FileError {
        move |cause| FileError { action, path, cause }
    }

    /// Waits until no other command changes the host, then keeps others waiting; unless somebody wants to wait no longer.
    ///
    /// # Errors
    /// [`FileError`] if the directory cannot be made or belongs to somebody else; of the kind `Interrupted` after waiting.
    pub fn lock_unless(&self, stop: &AtomicBool) -> Result<Lock, FileError> {
        let wrap = self.error("lock", self.root.clone());
        loop {
            let opened = Folder::make(&self.root).and_then(|root| match root.keep(LOCK) {
                Ok(file) => Ok((root, file)),
                Err(error) => {
                    // a folder made just now is not left behind; any other is not empty
                    drop(fs::remove_dir(&self.root));
                    Err(error)
                }
            });
            let (root, file) = match opened {
                Ok(opened) => opened,
                // the one before us has removed the directory since it was made
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(wrap(error)),
            };
            match point("flock").and_then(|()| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
                // the one before us may have been the last lab's `down`, which removes the lock with the directory
                // it can only be gone together with its name, and the directory after that
                Ok(()) if root.has(&file, LOCK) => {
                    let lock = Lock { _file: file };
                    return match self.begin(&root) {
                        Ok(()) => Ok(lock),
                        Err(error) => {
                            drop(self.leave(lock));
                            Err(error)
                        }
                    };
                }
                Ok(()) | Err(Errno::INTR) => {}
                // looked at again and again: a handler of signals does not end a call that waits (SA_RESTART)
                Err(Errno::AGAIN) if stop.load(Ordering::Relaxed) => {
                    let words = "another raum is at work, and this one was interrupted while it waited";
                    return Err(wrap(io::Error::new(ErrorKind::Interrupted, words)));
                }
                Err(Errno::AGAIN) => thread::sleep(PATIENCE),
                Err(errno) => return Err(wrap(errno.into())),
            }
        }
    }

    /// Sweeps out what is from before a reboot, and notes which run of the kernel this is.
    fn begin(&self, root: &Folder) -> Result<(), FileError> {
        let written = root.read(BOOT);
        let Ok(now) = fs::read(BOOT_ID) else { return Ok(()) };
        match written {
            Ok(then) if then == now => return Ok(()),
            Ok(_) => {
                gone(root.remove_all(LABS)).map_err(self.error("remove", self.root.join(LABS)))?;
                gone(root.remove(NAMES_FOLDER)).map_err(self.error("remove", self.root.join(NAMES_FOLDER)))?;
            }
            Err(_) => {}
        }
        root.write(&[New { name: BOOT, mode: 0o600, content: &now }]).map_err(self.error("write", self.root.join(BOOT)))
    }

    /// The directory, if what is in it is from this run of the kernel; NotFound else.
    fn open(&self) -> io::Result<Folder> {
        let root = Folder::open(&self.root)?;
        match (root.read(BOOT), fs::read(BOOT_ID)) {
            (Ok(then), Ok(now)) if then != now => Err(ErrorKind::NotFound.into()),
            _ => Ok(root),
        }
    }

    fn open_lab(&self, lab: &LabName) -> io::Result<Folder> {
        self.open()?.sub(LABS)?.sub(lab.as_str())
    }

    /// Removes the directory and the lock, if no lab has files any more: raum leaves nothing behind.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn leave(&self, lock: Lock) -> Result<(), FileError> {
        if !self.is_empty() {
            return Ok(());
        }
        let root = Folder::open(&self.root).map_err(self.error("look at", self.root.clone()))?;
        // the lock last: whoever waits for it must find all else as it will be
        for file in [BOOT, LOCK] {
            gone(root.remove(file)).map_err(self.error("remove", self.root.join(file)))?;
        }
        drop(lock);
        match point("remove directory").map_err(io::Error::from).and_then(|()| fs::remove_dir(&self.root)) {
            // somebody waits for the lock and has already made a new one, or keeps own files there
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            // whoever mounted something there may keep the folder
            Err(error) if error.kind() == ErrorKind::ResourceBusy && is_mount(&self.root) => Ok(()),
            result => gone(result).map_err(self.error("remove", self.root.clone())),
        }
    }

    /// Notes what `/run/netns` was before the first lab; a note that is there already stays.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn note_names_folder(&self, was: NamesFolder) -> Result<(), FileError> {
        let word = match was {
            NamesFolder::Absent => "absent",
            NamesFolder::Folder => "folder",
            NamesFolder::Mount => return Ok(()),
        };
        let write = self.open().and_then(|root| root.create_new(NAMES_FOLDER));
        match write.and_then(|mut file| file.write_all(word.as_bytes())) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(self.error("write", self.root.join(NAMES_FOLDER))),
        }
    }

    /// What `/run/netns` was, if raum has made it more than that; the note is removed.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn take_names_folder(&self) -> Result<Option<NamesFolder>, FileError> {
        let wrap = || self.error("remove", self.root.join(NAMES_FOLDER));
        let root = match self.open() {
            Ok(root) => root,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrap()(error)),
        };
        let was = match root.read(NAMES_FOLDER) {
            Ok(word) if word == b"absent" => Some(NamesFolder::Absent),
            Ok(word) if word == b"folder" => Some(NamesFolder::Folder),
            _ => None,
        };
        gone(root.remove(NAMES_FOLDER)).map_err(wrap())?;
        Ok(was)
    }

    /// Have no labs files here any more?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.root.join(LABS).exists()
    }

    /// Writes a lab's file so that it is there whole or not at all. Only under the lock.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn write(&self, lab: &LabName, file: &str, mode: u32, content: &[u8]) -> Result<(), FileError> {
        self.write_all(lab, &[New { name: file, mode, content }])
    }

    /// Writes several: all are written before the first takes its place, so that only an error of the renaming itself leaves some
    /// of them new.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn write_all(&self, lab: &LabName, files: &[New<'_>]) -> Result<(), FileError> {
        let folder = || self.open()?.make_sub(LABS)?.make_sub(lab.as_str());
        let path = || files.first().map_or_else(|| self.lab(lab), |file| self.file(lab, file.name));
        folder().and_then(|folder| folder.write(files)).map_err(self.error("write", path()))
    }

    /// A lab's file as it is; none if there is no such file.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read.
    pub fn read(&self, lab: &LabName, file: &str) -> Result<Option<Vec<u8>>, FileError> {
        match self.open_lab(lab).and_then(|folder| folder.read(file)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(FileError { action: "read", path: self.file(lab, file), cause }),
        }
    }

    /// Is there such a file of a lab's?
    #[must_use]
    pub fn has(&self, lab: &LabName, file: &str) -> bool {
        // what cannot be read is there
        self.read(lab, file).map_or(true, |content| content.is_some())
    }

    /// Writes a value as JSON, 0600.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn write_json(&self, lab: &LabName, file: &str, value: &impl Serialize) -> Result<(), FileError> {
        self.write(lab, file, 0o600, &self.encode(lab, file, value)?)
    }

    /// A value as [`Place::write_json`] writes it.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn encode(&self, lab: &LabName, file: &str, value: &impl Serialize) -> Result<Vec<u8>, FileError> {
        let error = |error: serde_json::Error| self.error("encode", self.file(lab, file))(error.into());
        serde_json::to_vec(value).map_err(error)
    }

    /// Reads a value back; none if there is no such file.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read or is not what raum wrote.
    pub fn read_json<T: DeserializeOwned>(&self, lab: &LabName, file: &str) -> Result<Option<T>, FileError> {
        let Some(bytes) = self.read(lab, file)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| FileError {
            action: "understand",
            path: self.file(lab, file),
            cause: error.into(),
        })
    }

    /// Removes one of a lab's files; none to remove is fine.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn remove(&self, lab: &LabName, file: &str) -> Result<(), FileError> {
        let removed = self.open_lab(lab).and_then(|folder| folder.remove(file));
        gone(removed).map_err(self.error("remove", self.file(lab, file)))
    }

    /// Removes all of a lab's files, and the directory above if it is then empty.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn forget(&self, lab: &LabName) -> Result<(), FileError> {
        let labs = match self.open().and_then(|root| Ok((root.sub(LABS)?, root))) {
            Ok((labs, root)) => {
                gone(labs.remove_all(lab.as_str())).map_err(self.error("remove", self.lab(lab)))?;
                root.remove_sub(LABS)
            }
            Err(error) => Err(error),
        };
        match labs {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            result => gone(result).map_err(self.error("remove", self.root.join(LABS))),
        }
    }

    /// The labs that have files here, in order; unreadable or strange names are passed over.
    #[must_use]
    pub fn labs(&self) -> Vec<LabName> {
        let names = self.open().and_then(|root| root.sub(LABS)).and_then(|labs| labs.names());
        let names = names.unwrap_or_default();
        let mut labs: Vec<LabName> = names.iter().filter_map(|name| LabName::new(name.to_str()?).ok()).collect();
        labs.sort();
        labs
    }
}

/// Is something mounted at this path (statx(2), Linux 5.8)?
fn is_mount(path: &Path) -> bool {
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
