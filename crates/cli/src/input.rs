//! Reading lab files: which file, how it is called, and what to say about its problems.

use std::io::Read;
use std::path::{Path, PathBuf};

use raum::Labs;
use raum_core::lab::{Lab, parse};
use raum_core::name::LabName;
use raum_core::problem::Problem;

use crate::failure::Failure;

/// A lab file bigger than this is a mistake: 1,000 nodes written out are 100 kB.
const BYTES_MAX: u64 = 1 << 20;

/// A lab file that could be read.
pub struct LabFile {
    /// As the user wrote it.
    pub shown: String,
    /// Absolute; none for standard input.
    pub path: Option<PathBuf>,
    /// Its text.
    pub text: String,
}

impl LabFile {
    /// Reads a file, or standard input for `-`.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Self::read_or(path, "name a lab file, like shop.yaml, or write raum.yaml here")
    }

    /// As [`LabFile::read`], with the way out where there is no `raum.yaml`.
    pub fn read_or(path: &Path, way_out: &str) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let fail = |error: std::io::Error| {
            let help = (error.kind() == std::io::ErrorKind::NotFound && path == Path::new("raum.yaml"))
                .then(|| way_out.to_owned());
            Failure::usage(format!("cannot read {shown}: {}", words(&error)), help)
        };
        let mut bytes = Vec::new();
        let stdin = path == Path::new("-");
        if stdin {
            std::io::stdin().lock().take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
        } else {
            let file = std::fs::File::open(path).map_err(fail)?;
            file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
        }
        if bytes.len() as u64 > BYTES_MAX {
            return Err(Failure::usage(format!("{shown} is larger than 1 MiB: that is no lab file"), None));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            Failure::usage(format!("{shown} is not text: byte {place} is not UTF-8"), None)
        })?;
        let absolute = if stdin { None } else { Some(std::path::absolute(path).map_err(fail)?) };
        let shown = if stdin { "<stdin>".to_owned() } else { shown };
        Ok(Self { shown, path: absolute, text })
    }

    /// Understands it.
    pub fn parse(&self) -> Result<Lab, Failure> {
        let name = self.fallback_name();
        parse(&self.text, &name).map_err(|problems| self.invalid(problems))
    }

    /// Problems of this file.
    pub fn invalid(&self, problems: Vec<Problem>) -> Failure {
        Failure::Problems { file: self.shown.clone(), text: self.text.clone(), problems }
    }

    /// A lab without `lab:` is called as its file, or, for raum.yaml, as the directory that it is in.
    fn fallback_name(&self) -> LabName {
        let path = self.path.as_deref();
        let stem = path.and_then(Path::file_stem).filter(|stem| *stem != "raum");
        let stem = stem.or_else(|| path.and_then(Path::parent).and_then(Path::file_name));
        let plain: String = stem
            .map(|stem| stem.to_string_lossy().to_lowercase())
            .unwrap_or_default()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .collect();
        let plain = plain.trim_start_matches(['-', '_']);
        LabName::new(plain).or_else(|_| LabName::new("lab")).unwrap_or_else(|_| unreachable!("`lab` is a name"))
    }
}

/// Where a file or a lab can be named: a file if it looks like one, or is one and no lab of that name is up.
pub fn is_file(text: &str, labs: &mut Labs) -> bool {
    let mut is_up = || labs.list().is_ok_and(|labs| labs.iter().any(|found| found.lab.as_str() == text));
    text == "-" || text.contains(['/', '.']) || (Path::new(text).is_file() && !is_up())
}

/// An I/O error without Rust's `(os error 2)`.
pub fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
