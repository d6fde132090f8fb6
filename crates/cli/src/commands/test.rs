//! `raum test`: what reaches what, as the lab file expects it? Exit status 1 if anything differs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raum::Labs;
use raum::expect::{Limits, Suite, Verdict};
use raum::record::Record;
use raum_core::lab::Expectation;
use raum_core::name::LabName;
use serde::Serialize;

use crate::failure::Failure;
use crate::input::{LabFile, is_file, words};
use crate::output::{BAD, DIM, Exit, GOOD, Look, STRONG, answer, answer_json, paint};
use crate::stop;

/// Up to so many, what is as expected is listed too.
const LISTED: usize = 60;

/// What was typed.
pub struct Asked {
    pub what: String,
    /// Milliseconds.
    pub timeout: u64,
    /// Milliseconds.
    pub quiet: u64,
    pub junit: Option<PathBuf>,
    pub tap: bool,
}

/// An expectation over one family, and what came of it.
#[derive(Serialize)]
struct Told {
    expectation: String,
    #[serde(flatten)]
    verdict: Verdict,
}

/// `--json`.
#[derive(Serialize)]
struct Report<'a> {
    lab: &'a LabName,
    passed: bool,
    trials: &'a [Told],
}

pub fn run(asked: &Asked, look: Look) -> Result<Exit, Failure> {
    let stop = stop::on_signal()?;
    let mut labs = Labs::open()?;
    raum::permission::check()?;
    let (record, expectations) = find(&mut labs, &asked.what)?;
    if expectations.is_empty() {
        return Err(Failure::usage(
            format!("lab `{}` expects nothing", record.lab),
            Some("write what reaches what under `expect:` in its file, like `- web reaches db:5432/tcp`".to_owned()),
        ));
    }
    let suite = Suite::of(&expectations, &record.nodes).map_err(|error| {
        Failure::refused(error.to_string(), Some("`raum up` brings the lab to what its file says".to_owned()))
    })?;
    let limits = Limits { patience: Duration::from_millis(asked.timeout), quiet: Duration::from_millis(asked.quiet) };
    let verdicts = suite.run(limits, &stop).map_err(|error| Failure::refused(error.to_string(), None))?;
    let told: Vec<Told> = verdicts
        .into_iter()
        .map(|verdict| Told { expectation: expectations[verdict.expectation].to_string(), verdict })
        .collect();
    if let Some(path) = &asked.junit {
        let report = junit(record.lab.as_str(), &told);
        let fail = |error| Failure::refused(format!("cannot write {}: {}", path.display(), words(&error)), None);
        std::fs::write(path, report).map_err(fail)?;
    }
    let passed = told.iter().all(|told| told.verdict.passed);
    if look.json {
        answer_json(&Report { lab: &record.lab, passed, trials: &told });
    } else if asked.tap {
        answer(&tap(&told));
    } else {
        answer(&list(&record.lab, &told));
    }
    Ok(if passed { Exit::Done } else { Exit::Refused })
}

/// The lab as it is up, and what its file expects now, or expected when it was brought up.
fn find(labs: &mut Labs, what: &str) -> Result<(Record, Vec<Expectation>), Failure> {
    let (name, from_file) = if is_file(what, labs) {
        let file = LabFile::read_or(Path::new(what), "name a lab that is up, or its file; `raum ls` lists them")?;
        let lab = file.parse()?;
        let problems = labs.check(&lab)?;
        if !problems.is_empty() {
            return Err(file.invalid(problems));
        }
        (lab.name.value.clone(), Some(lab.expect.into_iter().map(|at| at.value).collect()))
    } else {
        let name = LabName::new(what)
            .map_err(|error| Failure::usage(format!("`{what}` is neither a lab file nor a lab: {error}"), None))?;
        (name, None)
    };
    let record = Record::read(labs.place(), &name).map_err(raum::Error::from)?;
    let Some(record) = record else {
        let help = match from_file {
            Some(_) => format!("bring it up first: raum up {what}"),
            None => "`raum ls` lists the labs that are".to_owned(),
        };
        return Err(Failure::usage(format!("lab `{name}` is not up"), Some(help)));
    };
    let expectations = from_file.unwrap_or_else(|| record.expect.clone());
    Ok((record, expectations))
}

/// The name of each: with its address where one expectation has several.
fn names(told: &[Told]) -> Vec<String> {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    told.iter().for_each(|one| *counts.entry(one.verdict.expectation).or_default() += 1);
    let name = |one: &Told| match one.verdict.to {
        Some(to) if counts.get(&one.verdict.expectation) > Some(&1) => format!("{} ({to})", one.expectation),
        _ => one.expectation.clone(),
    };
    told.iter().map(name).collect()
}

fn list(lab: &LabName, told: &[Told]) -> String {
    let mut text = String::new();
    let failed = told.iter().filter(|told| !told.verdict.passed).count();
    for (one, name) in told.iter().zip(names(told)) {
        if one.verdict.passed {
            if told.len() <= LISTED {
                let real = if one.verdict.real { "  with the program that listens there" } else { "" };
                text += &format!("  {}    {name}{}\n", paint(GOOD, "ok"), paint(DIM, real));
            }
        } else {
            text += &format!("  {}  {name}\n        {}\n", paint(BAD, "FAIL"), one.verdict.seen);
        }
    }
    let lab = paint(STRONG, lab);
    match failed {
        0 => {
            text +=
                &format!("{lab} is {}: {}\n", paint(GOOD, "as expected"), paint(DIM, format!("{} tried", told.len())))
        }
        _ => text += &format!("{lab} is {}: {failed} of {} failed\n", paint(BAD, "not as expected"), told.len()),
    }
    text
}

/// TAP, version 14 (testanything.org).
fn tap(told: &[Told]) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", told.len());
    for ((number, one), name) in told.iter().enumerate().zip(names(told)) {
        let word = if one.verdict.passed { "ok" } else { "not ok" };
        // `#` would begin a directive
        text += &format!("{word} {} - {}\n", number + 1, name.replace('#', "\\#"));
        if !one.verdict.passed {
            let seen = one.verdict.seen.replace('\'', "''");
            text += &format!("  ---\n  message: '{seen}'\n  ...\n");
        }
    }
    text
}

/// The form that Jenkins, GitLab and the others read (github.com/testmoapp/junitxml).
fn junit(lab: &str, told: &[Told]) -> String {
    let failed = told.iter().filter(|told| !told.verdict.passed).count();
    let all = told.iter().map(|told| told.verdict.time).max().unwrap_or_default().as_secs_f64();
    let lab = escaped(lab);
    let head = format!("name=\"{lab}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"{all:.3}\"", told.len());
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {head}>\n  <testsuite {head}>\n");
    for (one, name) in told.iter().zip(names(told)) {
        let time = one.verdict.time.as_secs_f64();
        text += &format!("    <testcase classname=\"{lab}\" name=\"{}\" time=\"{time:.3}\"", escaped(&name));
        if one.verdict.passed {
            text += "/>\n";
        } else {
            let seen = escaped(&one.verdict.seen);
            text += &format!(">\n      <failure message=\"{seen}\">{seen}</failure>\n    </testcase>\n");
        }
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// Text in XML; control characters cannot be in it at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
