//! A table of wrong lab files, each with what is said of it: read as a person would who has nothing but the answer to mend the
//! file by. `UPDATE_CASES=1 cargo test` rewrites the answers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use raum_core::host::Surroundings;
use raum_core::lab;
use raum_core::name::LabName;
use raum_core::problem::render;

const CASE: &str = "\n=====\n";
const ANSWER: &str = "\n-----\n";

/// What is said of a file; empty if nothing is wrong with it.
fn answer(text: &str, around: &Surroundings) -> String {
    let problems = match lab::parse(text, &LabName::new("case").unwrap()) {
        Ok(lab) => lab::check(&lab::settle(&lab, around, None), around),
        Err(problems) => problems,
    };
    for problem in &problems {
        assert!(text.get(problem.span.clone()).is_some(), "{text}: {problem:?}");
        assert!(!problem.message.is_empty(), "{text}: {problem:?}");
        // without a way out there must at least be a cause
        assert!(problem.help.as_ref().is_some_and(|help| !help.is_empty()) || !problem.label.is_empty(), "{problem:?}");
    }
    render(&problems, "lab.yaml", text, false)
}

#[test]
fn every_wrong_file_has_an_answer_to_mend_it_by() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let around = fs::read_to_string(folder.join("around.json")).unwrap();
    let around: Surroundings = serde_json::from_str(&around).unwrap();
    let table = fs::read_to_string(folder.join("bad.txt")).unwrap();
    let mut cases = table.split(CASE);
    let mut now = cases.next().unwrap().to_owned();
    let (mut texts, mut wrong) = (BTreeSet::new(), Vec::new());
    for case in cases {
        let (text, expected) = case.split_once(ANSWER).unwrap_or_else(|| panic!("no answer to\n{case}"));
        assert!(texts.insert(text), "twice:\n{text}");
        let found = answer(text, &around);
        if found.is_empty() {
            wrong.push(format!("nothing is wrong with\n{text}\n"));
        } else if found.trim_end() != expected.trim_end() {
            wrong.push(format!("{text}\n{found}"));
        }
        now += &format!("{CASE}{text}{ANSWER}{}\n", found.trim_end());
    }
    assert!(texts.len() >= 200, "{}", texts.len());
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(folder.join("bad.txt"), now).unwrap();
    } else {
        assert!(wrong.is_empty(), "{} answers differ; UPDATE_CASES=1 rewrites them\n{}", wrong.len(), wrong.join("\n"));
    }
}
