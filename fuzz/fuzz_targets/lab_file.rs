//! Any bytes as a lab file: the reader must not panic, hang or point outside the file, and what it reads it must be able to
//! write and read again. `cargo +nightly fuzz run lab_file crates/core/tests/cases/parse` from the root of the repository.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raum_core::lab::parse;
use raum_core::name::LabName;
use raum_core::problem::render;

fuzz_target!(|text: &str| {
    let name = LabName::new("fuzz").expect("a name");
    match parse(text, &name) {
        Ok(lab) => {
            // a few bytes can stand for many nodes; writing them all would only be slow
            if lab.nodes.len() + lab.links.len() < 1000 {
                let written = lab.to_string();
                if written.len() <= raum_core::lab::FILE_MAX {
                    let again = parse(&written, &name).expect("what was written is read");
                    assert_eq!(again.to_string(), written);
                }
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                assert!(text.get(problem.span.clone()).is_some());
            }
            assert!(!render(&problems, "lab.yaml", text, true).is_empty());
        }
    }
});
