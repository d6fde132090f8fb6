//! `raum down`: removes labs, by file or by name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use raum::Labs;
use raum_core::lab::nearest;
use raum_core::name::LabName;
use serde::Serialize;

use super::up::{progress, told_former, wipe};
use crate::failure::Failure;
use crate::input::{LabFile, is_file};
use crate::output::{Exit, Look, STRONG, answer, answer_json, complain, paint};
use crate::stop;

/// `--json`: one lab.
#[derive(Serialize)]
struct Report {
    lab: String,
    removed: bool,
    operations: usize,
}

pub fn run(what: &[String], all: bool, look: Look) -> Result<Exit, Failure> {
    // Ctrl-C ends the waiting for another command; what is begun goes on: half a teardown helps nobody
    let stop = stop::on_signal()?;
    let mut labs = Labs::open()?;
    labs.wait_unless(stop);
    let mut files: Vec<(LabName, PathBuf)> = Vec::new();
    let names = if all {
        labs.list()?.into_iter().map(|found| found.lab).collect()
    } else if what.is_empty() {
        BTreeSet::from([lab_of("raum.yaml", &mut labs, &mut files)?])
    } else {
        what.iter().map(|what| lab_of(what, &mut labs, &mut files)).collect::<Result<BTreeSet<_>, _>>()?
    };
    let mut worst = Exit::Done;
    let mut reports = Vec::new();
    // one that cannot be removed does not keep the others
    for lab in names {
        let result = labs.down(&lab, &mut progress(look));
        wipe(look);
        match result {
            Ok(removed) => {
                let operations = removed.plan.ops().count();
                if !look.json {
                    let word = if operations == 0 { "is not up, nothing to remove" } else { "is down" };
                    let near = if operations == 0 { meant(&mut labs, &lab)? } else { String::new() };
                    answer(&format!("{} {word}{near}\n", paint(STRONG, &lab)));
                }
                for (ns, pids) in &removed.inhabited {
                    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
                    complain(&format!(
                        "warning: processes still run in what was {ns}, without a network now: {}\n",
                        pids.join(" ")
                    ));
                }
                reports.push(Report { lab: lab.to_string(), removed: operations > 0, operations });
            }
            Err(error) => worst = Failure::from(error).report(look),
        }
    }
    let mut former: BTreeSet<LabName> = files.iter().flat_map(|(lab, file)| labs.former(lab, file)).collect();
    former.retain(|lab| !reports.iter().any(|report: &Report| report.lab == lab.as_str()));
    complain(&told_former(&former));
    if look.json {
        answer_json(&reports);
    }
    Ok(worst)
}

/// Another lab that is there, with a name like this one. It stays: to remove it by a slip of the finger is worse than not to.
fn meant(labs: &mut Labs, lab: &LabName) -> Result<String, Failure> {
    let there = labs.list()?;
    let near = nearest(lab.as_str(), there.iter().map(|found| found.lab.as_str()));
    Ok(near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())
}

/// The lab of a file, or of that name.
fn lab_of(text: &str, labs: &mut Labs, files: &mut Vec<(LabName, PathBuf)>) -> Result<LabName, Failure> {
    if is_file(text, labs) {
        let file = LabFile::read_or(Path::new(text), "name a lab, or its file; `raum ls` lists those that are up")?;
        let name = file.parse()?.name.value;
        files.extend(file.path.map(|path| (name.clone(), path)));
        return Ok(name);
    }
    LabName::new(text)
        .map_err(|error| Failure::usage(format!("`{text}` is neither a lab file nor a lab: {error}"), None))
}
