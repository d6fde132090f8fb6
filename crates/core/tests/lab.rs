//! Labs as people write them, one folder each: under `cases/check` what is wrong with them (`problems.txt`), under
//! `cases/design` what a host gets of them (`state.txt`, `hosts.txt`). The host they are on is `cases/around.json`, or the
//! folder's own `around.json`. `UPDATE_CASES=1 cargo test` rewrites the expected texts.

use std::fs;
use std::path::{Path, PathBuf};

use raum_core::design::design;
use raum_core::host::Surroundings;
use raum_core::lab::{self, Lab};
use raum_core::name::LabName;
use raum_core::problem::render;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

struct Case {
    folder: PathBuf,
    text: String,
    lab: Lab,
    around: Surroundings,
}

fn cases(kind: &str) -> Vec<Case> {
    let mut folders: Vec<_> = fs::read_dir(root().join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no cases of {kind}");
    let case = |folder: PathBuf| {
        let text = fs::read_to_string(folder.join("lab.yaml")).unwrap();
        let lab = lab::parse(&text, &LabName::new("case").unwrap())
            .unwrap_or_else(|problems| panic!("{}\n{}", folder.display(), render(&problems, "lab.yaml", &text, false)));
        let own = folder.join("around.json");
        let around = fs::read_to_string(if own.exists() { own } else { root().join("around.json") }).unwrap();
        let around = serde_json::from_str(&around).unwrap();
        Case { text, lab: lab::settle(&lab, &around, None), around, folder }
    };
    folders.into_iter().map(case).collect()
}

/// Compares with the file, or writes it.
fn expect(case: &Case, file: &str, found: &str, wrong: &mut Vec<String>) {
    let path = case.folder.join(file);
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(path, found).unwrap();
    } else if fs::read_to_string(&path).ok().as_deref() != Some(found) {
        wrong.push(format!("{}: now\n{found}", path.display()));
    }
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} texts differ; UPDATE_CASES=1 rewrites them\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn check_cases() {
    let mut wrong = Vec::new();
    for case in cases("check") {
        let problems = lab::check(&case.lab, &case.around);
        for problem in &problems {
            assert!(problem.help.as_ref().is_some_and(|h| !h.is_empty()), "no way out: {}", problem.message);
            assert!(!problem.span.is_empty(), "no place in the file: {}", problem.message);
        }
        // not to panic is part of it: other programs may design without checking
        drop(design(&case.lab, &case.around));
        expect(&case, "problems.txt", &render(&problems, "lab.yaml", &case.text, false), &mut wrong);
    }
    report(&wrong);
}

#[test]
fn design_cases() {
    let mut wrong = Vec::new();
    for case in cases("design") {
        let problems = lab::check(&case.lab, &case.around);
        assert!(problems.is_empty(), "{}\n{}", case.folder.display(), render(&problems, "lab.yaml", &case.text, false));
        let design = design(&case.lab, &case.around);
        expect(&case, "state.txt", &design.state.to_string(), &mut wrong);
        expect(&case, "hosts.txt", &design.hosts, &mut wrong);
    }
    report(&wrong);
}

#[test]
fn the_reference_in_the_documentation_is_that_of_the_reader() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lab-file.md");
    let page = fs::read_to_string(&path).unwrap();
    let marker = "<!-- from here on generated";
    let written_by_hand = page.split_inclusive('\n').take_while(|line| !line.starts_with(marker));
    let mut wanted: String = written_by_hand.collect();
    wanted +=
        &format!("{marker}: UPDATE_CASES=1 cargo test -p raum-core --test lab -->\n\n{}", lab::reference().trim_end());
    wanted += "\n";
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(path, wanted).unwrap();
    } else {
        assert!(page == wanted, "docs/lab-file.md is not what the reader says; UPDATE_CASES=1 rewrites it");
    }
}
