//! `raum ping --all`: who reaches whom in a lab, everybody to everybody at once, as a matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use raum::Labs;
use raum::expect::{Limits, Suite, Verdict};
use raum::record::Record;
use raum_core::name::{LabName, NodeName};
use raum_core::natural::natural;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{BAD, CHANGED, DIM, Exit, GOOD, Look, STRONG, answer, answer_json, paint};
use crate::stop;

/// A matrix of more columns does not fit into a terminal of 80 columns.
const COLUMNS_MAX: usize = 60;
/// Names in front of its rows are cut to this.
const NAME_MAX: usize = 15;
/// What is wrong is told one by one up to here.
const TOLD: usize = 20;

/// `--json`: one way between two nodes, over one family.
#[derive(Serialize)]
struct Way<'a> {
    from: &'a NodeName,
    to: &'a NodeName,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

/// `--json`.
#[derive(Serialize)]
struct Report<'a> {
    lab: &'a LabName,
    passed: bool,
    ways: Vec<Way<'a>>,
}

pub fn run(lab: Option<&str>, timeout: u64, v6: Option<bool>, look: Look) -> Result<Exit, Failure> {
    let stop = stop::on_signal()?;
    let mut labs = Labs::open()?;
    raum::permission::check()?;
    let record = find(&mut labs, lab)?;
    let (suite, pairs) = Suite::everybody(&record.nodes, v6);
    if suite.is_empty() {
        return Err(Failure::usage(
            format!("no two nodes of lab `{}` have addresses of the same family", record.lab),
            None,
        ));
    }
    let patience = Duration::from_millis(timeout);
    let verdicts = suite
        .run(Limits { patience, quiet: Duration::ZERO }, &stop)
        .map_err(|error| Failure::refused(error.to_string(), None))?;
    let passed = verdicts.iter().all(|verdict| verdict.passed);
    let ways = verdicts.iter().map(|verdict| Way {
        from: &pairs[verdict.expectation].0,
        to: &pairs[verdict.expectation].1,
        verdict,
    });
    let mut ways: Vec<Way<'_>> = ways.collect();
    let v6 = |way: &Way<'_>| way.verdict.to.is_some_and(|to| to.is_ipv6());
    let order = |a: &NodeName, b: &NodeName| natural(a.as_str(), b.as_str());
    ways.sort_by(|a, b| order(a.from, b.from).then_with(|| order(a.to, b.to)).then_with(|| v6(a).cmp(&v6(b))));
    if look.json {
        answer_json(&Report { lab: &record.lab, passed, ways });
    } else {
        answer(&text(&record.lab, &ways));
    }
    Ok(if passed { Exit::Done } else { Exit::Refused })
}

/// The lab that is meant; the only one if none is named.
fn find(labs: &mut Labs, lab: Option<&str>) -> Result<Record, Failure> {
    let name = match lab {
        Some(text) => {
            LabName::new(text).map_err(|error| Failure::usage(format!("`{text}` is no lab: {error}"), None))?
        }
        None => {
            let mut all: Vec<LabName> = labs.list()?.into_iter().map(|found| found.lab).collect();
            match (all.pop(), all.len()) {
                (Some(only), 0) => only,
                (None, _) => return Err(Failure::usage("no lab is up on this host".to_owned(), None)),
                (Some(last), _) => {
                    let names: Vec<String> = all.iter().chain([&last]).map(ToString::to_string).collect();
                    let message = format!("which lab? There are {}", names.join(", "));
                    return Err(Failure::usage(message, Some(format!("raum ping --all {last}"))));
                }
            }
        }
    };
    let record = Record::read(labs.place(), &name).map_err(raum::Error::from)?;
    record.ok_or_else(|| raum::Error::NoLab(name.to_string()).into())
}

/// What reaches over which family, of one way.
#[derive(Default, Clone, Copy)]
struct Cell {
    tried: [bool; 2],
    passed: [bool; 2],
}

impl Cell {
    fn shown(self) -> String {
        match (self.tried, self.passed) {
            ([false, false], _) => " ".to_owned(),
            (tried, passed) if tried == passed => paint(GOOD, "."),
            (_, [true, false]) => paint(CHANGED, "4"),
            (_, [false, true]) => paint(CHANGED, "6"),
            _ => paint(BAD, "x"),
        }
    }
}

fn text(lab: &LabName, ways: &[Way<'_>]) -> String {
    let names: BTreeSet<&NodeName> = ways.iter().flat_map(|way| [way.from, way.to]).collect();
    let mut names: Vec<&NodeName> = names.into_iter().collect();
    names.sort_by(|a, b| natural(a.as_str(), b.as_str()));
    let mut text = String::new();
    if names.len() <= COLUMNS_MAX {
        text += &matrix(&names, ways);
    }
    let failed: Vec<&Way<'_>> = ways.iter().filter(|way| !way.verdict.passed).collect();
    for way in failed.iter().take(TOLD) {
        let to = way.verdict.to.map(|to| format!(" ({to})")).unwrap_or_default();
        text += &format!("  {} → {}{to}: {}\n", way.from, way.to, way.verdict.seen);
    }
    if failed.len() > TOLD {
        text += &format!("  … and {} more; `--json` has all of them\n", failed.len() - TOLD);
    }
    let v6 = ways.iter().filter(|way| way.verdict.to.is_some_and(|to| to.is_ipv6())).count();
    let counts = [(ways.len() - v6, "IPv4"), (v6, "IPv6")];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, family)| format!("{count} over {family}")).collect();
    let lab = paint(STRONG, lab);
    let nodes = names.len();
    text += &match failed.len() {
        0 => format!("{lab}: {} of {nodes} nodes, {}\n", paint(GOOD, "everybody reaches everybody"), counts.join(", ")),
        failed => format!("{lab}: {} of {} failed, {nodes} nodes\n", paint(BAD, failed), ways.len()),
    };
    text
}

/// Rows send, columns receive; columns have the numbers of the rows.
fn matrix(names: &[&NodeName], ways: &[Way<'_>]) -> String {
    let mut cells: BTreeMap<(&NodeName, &NodeName), Cell> = BTreeMap::new();
    for way in ways {
        let cell = cells.entry((way.from, way.to)).or_default();
        let family = usize::from(way.verdict.to.is_some_and(|to| to.is_ipv6()));
        cell.tried[family] = true;
        cell.passed[family] = way.verdict.passed;
    }
    let short = |name: &NodeName| match name.as_str() {
        name if name.len() > NAME_MAX => format!("{}…", &name[..NAME_MAX - 1]),
        name => name.to_owned(),
    };
    let width = names.iter().map(|name| short(name).chars().count()).max().unwrap_or(0);
    // wide where that fits: easier to follow with the eye
    let gap = if names.len() <= COLUMNS_MAX / 2 { " " } else { "" };
    let digits = |of: &dyn Fn(usize) -> String| {
        let columns: Vec<String> = (1..=names.len()).map(of).collect();
        format!("  {:width$}     {}\n", "", paint(DIM, columns.join(gap)))
    };
    let mut text = String::new();
    if names.len() > 9 {
        text += &digits(&|number| if number < 10 { " ".to_owned() } else { (number / 10).to_string() });
    }
    text += &digits(&|number| (number % 10).to_string());
    for (number, from) in names.iter().enumerate() {
        let cell = |to: &&NodeName| match cells.get(&(*from, *to)) {
            Some(cell) => cell.shown(),
            None => " ".to_owned(),
        };
        let row: Vec<String> = names.iter().map(cell).collect();
        let row = format!("  {:width$} {} {}", short(from), paint(DIM, format!("{:>3}", number + 1)), row.join(gap));
        text += &format!("{}\n", row.trim_end());
    }
    text
}
