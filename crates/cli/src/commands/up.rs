//! `raum up`: brings a lab up, and says what to do next.

use std::path::Path;

use raum::Labs;
use raum::labs::Prepared;
use raum_core::beside::Obstacle;
use raum_core::name::{LabName, NsId};
use raum_core::plan::Op;
use serde::Serialize;

use super::{beside, describe};
use crate::failure::Failure;
use crate::input::LabFile;
use crate::output::{CHANGED, DIM, Exit, GOOD, Look, STRONG, answer, answer_json, complain, live, paint};
use crate::stop;

/// `--json`: what `up` did.
#[derive(Serialize)]
struct Report<'a> {
    lab: &'a str,
    changed: bool,
    operations: Vec<&'a Op>,
    #[serde(skip_serializing_if = "<[Obstacle]>::is_empty")]
    in_the_way: &'a [Obstacle],
    /// Labs that were brought up from this file under another name, and are still there.
    #[serde(skip_serializing_if = "<[LabName]>::is_empty")]
    former: &'a [LabName],
}

pub fn run(file: &Path, foreign_rules: bool, replace: bool, look: Look) -> Result<Exit, Failure> {
    let file = LabFile::read(file)?;
    let lab = file.parse()?;
    let stop = stop::on_signal()?;
    let mut labs = Labs::open()?;
    labs.open_foreign_rules(foreign_rules);
    labs.replace(replace);
    let result = labs.up(lab, file.path.clone(), &stop, &mut progress(look));
    wipe(look);
    let prepared = result.map_err(|error| match error {
        raum::Error::Invalid(problems) => file.invalid(problems),
        other => other.into(),
    })?;
    if look.json {
        answer_json(&Report {
            lab: prepared.lab.name.as_str(),
            changed: !prepared.plan.is_empty(),
            operations: prepared.plan.ops().collect(),
            in_the_way: &prepared.obstacles,
            former: &prepared.former,
        });
    } else {
        answer(&said(&prepared));
        complain(&told_former(&prepared.former));
        complain(&beside::notes(&prepared.obstacles, &prepared.lab.name, prepared.file.as_deref(), false));
    }
    Ok(Exit::Done)
}

/// Who gives a lab file another name has another lab; the one before stays.
pub fn told_former<'l>(former: impl IntoIterator<Item = &'l LabName>) -> String {
    let note = paint(CHANGED.bold(), "note");
    let told = former
        .into_iter()
        .map(|lab| format!("{note}: lab `{lab}`, which this file was before, is still up: raum down {lab}\n"));
    told.collect()
}

/// A line on the terminal that is written over; nothing where standard error is no terminal.
pub fn progress(look: Look) -> impl FnMut(&'static str, usize, usize) {
    move |title, done, of| {
        // below that, it is done before one could read it
        if look.live && of > 500 {
            live(&format!("\r\x1b[K{} {done}/{of}", paint(DIM, title)));
        }
    }
}

/// Wipes the progress line.
pub fn wipe(look: Look) {
    if look.live {
        live("\r\x1b[K");
    }
}

fn said(prepared: &Prepared) -> String {
    let lab = prepared.lab.name.as_str();
    if prepared.plan.is_empty() {
        return format!("{} is up, nothing to change\n", paint(STRONG, lab));
    }
    let fresh = prepared.before.is_bare();
    let mut text = if fresh {
        format!("{} is {}: {}\n", paint(STRONG, lab), paint(GOOD, "up"), describe::inventory(&prepared.design.state))
    } else {
        format!("{} is {}: {}\n", paint(STRONG, lab), paint(GOOD, "changed"), describe::count(&prepared.plan))
    };
    if fresh {
        text += &next_steps(prepared);
    } else {
        text += &describe::plan(&prepared.plan, 20);
    }
    text
}

/// Three commands that a newcomer wants, with this lab's own names.
fn next_steps(prepared: &Prepared) -> String {
    let nodes: Vec<_> =
        prepared.lab.nodes.iter().filter_map(|node| prepared.design.nodes.get_key_value(&node.name.value)).collect();
    let namespaces: Vec<_> = nodes.iter().filter(|(_, node)| node.ns != NsId::Host).collect();
    let Some((name, first)) = namespaces.first() else { return String::new() };
    let mut rows = Vec::new();
    if let Some((other, _)) = namespaces.get(1).filter(|(_, node)| !node.addresses.is_empty()) {
        rows.push((format!("raum ping {} {other}", first.ns), format!("does {name} reach {other}?")));
    }
    rows.push((format!("raum shell {}", first.ns), format!("go into {name}")));
    rows.push((format!("raum show {}", prepared.lab.name.as_str()), "see all of it".to_owned()));
    rows.push((format!("raum down {}", prepared.lab.name.as_str()), "remove all of it".to_owned()));
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    rows.iter().map(|(command, why)| format!("  {command:width$}   {}\n", paint(DIM, why))).collect()
}
