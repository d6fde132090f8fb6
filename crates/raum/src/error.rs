//! What can go wrong, as one type: each variant knows what happened to the host, so that the edge can choose the exit code.

use std::path::PathBuf;

use raum_core::diff::Conflict;
use raum_core::host::ObserveError;
use raum_core::name::{LabName, NsName};
use raum_core::problem::Problem;
use raum_kernel::TooFewFiles;

use crate::place::FileError;
use crate::reach::{Failure, Left};

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lab file is wrong. Nothing was touched.
    #[error("the lab file has {} problem{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Invalid(Vec<Problem>),
    /// A step that cannot be done, or a lab that it makes wrong. Nothing was touched.
    #[error("lab `{lab}` stays as it is: the step has {} problem{}", problems.len(), if problems.len() == 1 { "" } else { "s" })]
    Step {
        /// Which lab.
        lab: LabName,
        /// It before the step, as a lab file: problems point at it, or at the line that was typed
        /// ([`raum_core::lab::edit::LINE_AT`]).
        text: String,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// The process may not change networks. Nothing was touched.
    #[error("not permitted: raum makes and looks into namespaces, which needs {missing}")]
    Permission {
        /// The capabilities that are missing.
        missing: String,
    },
    /// The kernel layer could not be opened. Nothing was touched.
    #[error("cannot talk to the kernel: {0}")]
    Kernel(String),
    /// A change could neither be done nor be taken back with the files that may be open. Nothing was touched.
    #[error(transparent)]
    TooFewFiles(TooFewFiles),
    /// The host could not be looked at.
    #[error("cannot look at the host: {0}")]
    Observe(#[from] ObserveError),
    /// Foreign objects have wanted names. Nothing was touched.
    #[error("{} in use by somebody else", names(.0.len()))]
    Conflicts(Vec<Conflict>),
    /// Another file has brought up a lab of this name, and still says so. Nothing was touched.
    #[error("lab `{lab}` is up from another file, {}", first.display())]
    OtherFile {
        /// The name.
        lab: LabName,
        /// The file that it is up from.
        first: std::path::PathBuf,
        /// The one that wants the name now.
        file: std::path::PathBuf,
    },
    /// One of raum's own files.
    #[error(transparent)]
    File(#[from] FileError),
    /// A change was refused and taken back.
    #[error("lab `{lab}` was not brought up")]
    NotReached {
        /// Which lab.
        lab: LabName,
        /// Why, and what is left.
        failure: Box<Failure>,
    },
    /// A lab could not be removed completely.
    #[error("lab `{lab}` is not completely removed")]
    Leftovers {
        /// Which lab.
        lab: LabName,
        /// What is still there.
        left: Vec<Left>,
    },
    /// A lab is there by its marks, but what it should be is not known: raum's files are gone.
    #[error("lab `{0}` is up, but raum's record of it is gone")]
    NoRecord(LabName),
    /// The first `up` of a lab was killed half way, or is under way: what it should be was never written down.
    #[error("lab `{0}` is not up: its `raum up` was interrupted")]
    Interrupted(LabName),
    /// The lab's host is another network namespace than the one that raum is in.
    #[error("lab `{lab}` was brought up in another network namespace than this one")]
    Elsewhere {
        /// The lab.
        lab: LabName,
        /// A path that leads into its host.
        way: PathBuf,
    },
    /// New namespaces would have their names in the mounts of `raum exec` alone.
    #[error(
        "this is inside of namespace {0}, with mounts of its own: new namespaces would have no name outside, and end with this"
    )]
    Inside(NsName),
    /// No such namespace.
    #[error("there is no network namespace `{0}` on this host")]
    NoNamespace(String),
    /// The host alone.
    #[error("there is nothing to import")]
    NothingToImport,
    /// No such lab.
    #[error("no lab `{0}` is up on this host")]
    NoLab(String),
}

fn names(count: usize) -> String {
    if count == 1 { "a name is".to_owned() } else { format!("{count} names are") }
}
