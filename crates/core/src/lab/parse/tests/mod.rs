//! Properties of the reader: it never panics, its places are in the file, a lab that is written is read back, and the JSON
//! Schema takes what the reader takes.

mod labs;
mod schema;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use proptest::prelude::*;

use super::parse;
use crate::lab::Lab;
use crate::name::LabName;
use crate::problem::{Problem, render};

/// Every case file of this crate, by the name of its folder.
fn cases() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/parse");
    let mut cases: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|folder| {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(folder.join("lab.yaml")).unwrap())
        })
        .collect();
    cases.sort();
    cases
}

fn read(text: &str) -> Result<Lab, Vec<Problem>> {
    parse(text, &LabName::new("fallback").unwrap())
}

/// Reads any text and checks what holds for every text.
fn probe(text: &str) {
    let inside = |span: &Range<usize>| text.get(span.clone()).is_some();
    match read(text) {
        Ok(lab) => {
            for node in &lab.nodes {
                assert!(inside(&node.name.span), "{text:?} {:?}", node.name);
            }
            for link in &lab.links {
                assert!(inside(&link.span) && link.ends.iter().all(|end| inside(&end.to.span)), "{text:?} {link:?}");
            }
            let written = lab.to_string();
            let again = read(&written).unwrap_or_else(|p| panic!("{text:?}\n{}", render(&p, "again", &written, false)));
            assert_eq!(again.to_string(), written, "{text:?}");
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "{text:?}");
            for problem in &problems {
                assert!(inside(&problem.span), "{text:?} {problem:?}");
                assert!(problem.related.iter().all(|(span, _)| inside(span)), "{text:?} {problem:?}");
                assert!(!problem.message.is_empty(), "{text:?} {problem:?}");
            }
            assert!(render(&problems, "lab.yaml", text, false).starts_with("error: "), "{text:?}");
        }
    }
}

/// Text that looks like a lab file at least in its parts.
fn yamlish() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("lab: a\n".to_owned()),
        Just("switches:\n  ".to_owned()),
        Just("namespaces:\n  ".to_owned()),
        Just("links:\n  - ends: ".to_owned()),
        Just("on: ".to_owned()),
        Just("routes: ".to_owned()),
        Just("publish: ".to_owned()),
        Just("\"n[1-3]\": ".to_owned()),
        Just("10.0.0.0/24".to_owned()),
        Just("[fd00::1]:80-90".to_owned()),
        Just(" -> ".to_owned()),
        Just("default via ".to_owned()),
        "[\\[\\]{}:,\\-#&*!|>'\"%@`\n \t?~]{1,4}",
        "[a-z0-9.:/ ]{1,8}",
        "\\PC{1,3}",
        "(?s).",
    ];
    proptest::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in yamlish()) {
        probe(&text);
    }

    #[test]
    fn a_damaged_case_is_read_or_refused(
        which: prop::sample::Index, from: prop::sample::Index, length in 0usize..20, with in "(?s).{0,4}",
    ) {
        let cases = cases();
        let (_, text) = &cases[which.index(cases.len())];
        let mut chars: Vec<char> = text.chars().collect();
        let start = from.index(chars.len() + 1);
        let end = (start + length).min(chars.len());
        chars.splice(start..end, with.chars());
        probe(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn a_valid_lab_is_read_and_written_and_read(lab in labs::lab()) {
        for text in [lab.to_string(), format!("{lab:#}")] {
            if let Err(problems) = read(&text) {
                panic!("{}", render(&problems, "lab.json", &text, false));
            }
            probe(&text);
        }
    }

    #[test]
    fn the_schema_takes_every_valid_lab(lab in labs::lab()) {
        schema::validate(&lab).unwrap();
    }
}

#[test]
fn every_case_has_its_places_in_the_file() {
    for (_, text) in cases() {
        probe(&text);
    }
}

#[test]
fn the_place_of_a_name_is_the_name() {
    let text = "switches: {lan: }\nnamespaces: {\"web\": {on: ['lan:e0 10.0.0.1']}, äh: }\n";
    assert!(read(text).is_err());
    let text = "# ä\nswitches: {lan: }\nnamespaces: {\"web\": {on: ['lan:e0 10.0.0.1']}, 'db': }\n";
    let lab = read(text).unwrap();
    let at = |span: &Range<usize>| text.get(span.clone()).unwrap();
    assert_eq!(at(&lab.switches[0].name.span), "lan");
    assert_eq!(at(&lab.nodes[0].name.span), "\"web\"");
    assert_eq!(at(&lab.nodes[0].on[0].to.span), "lan");
    assert_eq!(at(&lab.nodes[0].on[0].interface.as_ref().unwrap().span), "e0");
    assert_eq!(at(&lab.nodes[0].on[0].addresses[0].span), "10.0.0.1");
    assert_eq!(at(&lab.nodes[1].name.span), "'db'");
}

#[test]
fn letters_are_written_as_they_are_and_what_could_deceive_is_not() {
    for (name, written) in [
        ("é", "é"),
        ("büro0", "büro0"),
        ("漢字", "漢字"),
        ("сеть", "сеть"),
        ("a\u{202e}b", "a\\U0000202eb"),
        ("a\u{200b}b", "a\\U0000200bb"),
        ("a\u{ad}b", "a\\U000000adb"),
        ("a\u{3164}b", "a\\U00003164b"),
        ("a\u{fe0f}b", "a\\U0000fe0fb"),
        ("e\u{301}", "e\\U00000301"),
    ] {
        let escaped: String = name.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
        let text = format!("switches: {{ lan: }}\nnamespaces: {{ web: {{ on: \"lan:{escaped}\" }} }}\n");
        let lab = read(&text).unwrap();
        assert_eq!(lab.nodes[0].on[0].interface.as_ref().unwrap().as_str(), name);
        let again = lab.to_string();
        assert!(again.contains(&format!("on: \"lan:{written}\"\n")), "{again}");
        assert_eq!(read(&again).unwrap().to_string(), again);
        let interface = read(&again).unwrap().nodes[0].on[0].interface.clone();
        assert_eq!(interface.unwrap().as_str(), name, "{again}");
    }
}

#[test]
fn a_file_of_problems_is_told_in_bounds() {
    let text = format!("namespaces:\n{}", "  x y:\n".repeat(50_000));
    let problems = read(&text).unwrap_err();
    assert!(problems.len() <= 1000, "{}", problems.len());
    let text = "#".repeat(super::FILE_MAX + 1);
    assert_eq!(read(&text).unwrap_err().len(), 1);
}
