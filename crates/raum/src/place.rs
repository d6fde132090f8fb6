//! Files: `/run/raum`, what raum remembers between two commands, and the lock that keeps two of them apart.
//!
//! ```text
//! /run/raum/            0700
//!   lock                one command at a time changes the host
//!   labs/shop/
//!     record.json       the lab as it was last brought up: what `status` compares with
//!     journal.json      there only while a change is under way, or after a crash
//!     hosts             /etc/hosts inside the lab's namespaces
//! ```
//!
//! None of it is needed to take a lab down: ownership is on the kernel's objects. All of it is gone after a reboot, as the
//! network is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use raum_core::name::LabName;
use raum_kernel::errno;
use raum_kernel::fault::point;
use raum_kernel::names_folder::NamesFolder;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// The note of what `/run/netns` was.
const NAMES_FOLDER: &str = "names-folder";

/// The directory of raum's own files.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
}

/// Held while a command changes the host; let go when dropped, by the kernel if the process dies.
#[derive(Debug)]
pub struct Lock {
    // only kept open: closing it unlocks
    _file: File,
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

    /// Waits until no other command changes the host, then keeps others waiting.
    ///
    /// # Errors
    /// [`FileError`] if the directory cannot be made or belongs to somebody else.
    pub fn lock(&self) -> Result<Lock, FileError> {
        let path = self.root.join("lock");
        let wrap = |cause| FileError { action: "lock", path: path.clone(), cause };
        loop {
            self.prepare(&self.root)?;
            let open = || -> io::Result<File> {
                point("open lock")?;
                OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)
            };
            let file = open().map_err(wrap)?;
            match point("flock").and_then(|()| flock(&file, FlockOperation::LockExclusive)) {
                // the one before us may have been the last lab's `down`, which removes the lock with the directory
                Ok(()) if same_file(&file, &path) => return Ok(Lock { _file: file }),
                Ok(()) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(wrap(errno.into())),
            }
        }
    }

    /// Removes the directory and the lock, if no lab has files any more: raum leaves nothing behind.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn leave(&self, lock: Lock) -> Result<(), FileError> {
        if !self.is_empty() {
            return Ok(());
        }
        let path = self.root.join("lock");
        gone(remove_file(&path)).map_err(|cause| FileError { action: "remove", path, cause })?;
        drop(lock);
        match remove_dir(&self.root) {
            // somebody waits for the lock and has already made a new one, or keeps own files there
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            result => gone(result).map_err(|cause| FileError { action: "remove", path: self.root.clone(), cause }),
        }
    }

    /// Notes what `/run/netns` was before the first lab; a note that is there already stays.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn note_names_folder(&self, was: NamesFolder) -> Result<(), FileError> {
        let path = self.root.join(NAMES_FOLDER);
        let word = match was {
            NamesFolder::Absent => "absent",
            NamesFolder::Folder => "folder",
            NamesFolder::Mount => return Ok(()),
        };
        let write = point("create note").map_err(io::Error::from);
        let write = write.and_then(|()| OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path));
        match write.and_then(|mut file| file.write_all(word.as_bytes())) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(|cause| FileError { action: "write", path, cause }),
        }
    }

    /// What `/run/netns` was, if raum has made it more than that; the note is removed.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn take_names_folder(&self) -> Result<Option<NamesFolder>, FileError> {
        let path = self.root.join(NAMES_FOLDER);
        let was = match read_to_string(&path) {
            Ok(word) if word == "absent" => Some(NamesFolder::Absent),
            Ok(word) if word == "folder" => Some(NamesFolder::Folder),
            _ => None,
        };
        gone(remove_file(&path)).map_err(|cause| FileError { action: "remove", path, cause })?;
        Ok(was)
    }

    /// Have no labs files here any more?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.root.join("labs").exists()
    }

    /// Makes a directory that is ours alone. One that somebody else prepared is refused: who may write in it could make
    /// raum believe anything.
    fn prepare(&self, path: &Path) -> Result<(), FileError> {
        let wrap = |action, cause| FileError { action, path: path.to_owned(), cause };
        let create = || -> io::Result<()> {
            point("mkdir")?;
            DirBuilder::new().recursive(true).mode(0o700).create(path)
        };
        create().map_err(|e| wrap("create", e))?;
        let found = fs::symlink_metadata(path).map_err(|e| wrap("look at", e))?;
        let own = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !own || found.mode() & 0o022 != 0 {
            let cause = io::Error::other("it is not a directory that only this user can write to; move it away");
            return Err(wrap("use", cause));
        }
        Ok(())
    }

    /// Writes a lab's file so that it is there whole or not at all.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn write(&self, lab: &LabName, file: &str, mode: u32, content: &[u8]) -> Result<(), FileError> {
        self.prepare(&self.root)?;
        self.prepare(&self.lab(lab))?;
        let (path, new) = (self.file(lab, file), self.file(lab, &format!("{file}.new")));
        let write = || -> io::Result<()> {
            point("create file")?;
            let mut out = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&new)?;
            point("write file")?;
            out.write_all(content)?;
            point("rename file")?;
            fs::rename(&new, &path)
        };
        write().map_err(|cause| FileError { action: "write", path: path.clone(), cause })
    }

    /// Writes a value as JSON, 0600.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn write_json(&self, lab: &LabName, file: &str, value: &impl Serialize) -> Result<(), FileError> {
        let bytes = serde_json::to_vec(value).map_err(|error| FileError {
            action: "encode",
            path: self.file(lab, file),
            cause: error.into(),
        })?;
        self.write(lab, file, 0o600, &bytes)
    }

    /// Reads a value back; none if there is no such file.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read or is not what raum wrote.
    pub fn read_json<T: DeserializeOwned>(&self, lab: &LabName, file: &str) -> Result<Option<T>, FileError> {
        let path = self.file(lab, file);
        let read = || -> io::Result<Vec<u8>> {
            point("read file")?;
            fs::read(&path)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(FileError { action: "read", path, cause }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(FileError { action: "understand", path, cause: error.into() }),
        }
    }

    /// Removes one of a lab's files; none to remove is fine.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn remove(&self, lab: &LabName, file: &str) -> Result<(), FileError> {
        let path = self.file(lab, file);
        gone(remove_file(&path)).map_err(|cause| FileError { action: "remove", path, cause })
    }

    /// Removes all of a lab's files, and the directories above that are then empty.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn forget(&self, lab: &LabName) -> Result<(), FileError> {
        let path = self.lab(lab);
        gone(remove_all(&path)).map_err(|cause| FileError { action: "remove", path, cause })?;
        let labs = self.root.join("labs");
        match remove_dir(&labs) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
            Err(cause) => Err(FileError { action: "remove", path: labs, cause }),
        }
    }

    /// The labs that have files here, in order; unreadable or strange names are passed over.
    #[must_use]
    pub fn labs(&self) -> Vec<LabName> {
        let Ok(entries) = fs::read_dir(self.root.join("labs")) else { return Vec::new() };
        let mut labs: Vec<LabName> =
            entries.flatten().filter_map(|entry| LabName::new(entry.file_name().to_str()?).ok()).collect();
        labs.sort();
        labs
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    point("remove file")?;
    fs::remove_file(path)
}

/// A folder of files.
fn remove_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        remove_file(&entry?.path())?;
    }
    remove_dir(path)
}

fn remove_dir(path: &Path) -> io::Result<()> {
    point("remove directory")?;
    fs::remove_dir(path)
}

fn read_to_string(path: &Path) -> io::Result<String> {
    point("read file")?;
    fs::read_to_string(path)
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
