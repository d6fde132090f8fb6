//! Lab files and what the reader says of them, one folder each: `lab.yaml` and `lab.txt` (a good file, as
//! understood: ranges expanded, the long way where it says more) or
//! `problems.txt` (a bad one, as shown on a terminal). `UPDATE_CASES=1 cargo test` rewrites the expected texts.

use std::fs;
use std::path::Path;

use raum_core::lab;
use raum_core::name::LabName;
use raum_core::problem::render;

#[test]
fn cases() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/parse");
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut folders: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let text = fs::read_to_string(folder.join("lab.yaml")).unwrap();
        let (name, other, found) = match lab::parse(&text, &LabName::new("case").unwrap()) {
            Ok(lab) => ("lab.txt", "problems.txt", lab.to_string()),
            Err(problems) => ("problems.txt", "lab.txt", render(&problems, "lab.yaml", &text, false)),
        };
        count += 1;
        if update {
            fs::write(folder.join(name), &found).unwrap();
            if folder.join(other).exists() {
                fs::remove_file(folder.join(other)).unwrap();
            }
        } else if fs::read_to_string(folder.join(name)).ok().as_deref() != Some(&found) {
            wrong.push(format!("{}/{name}: now\n{found}", folder.display()));
        }
    }
    assert!(count > 0, "no cases in {}", root.display());
    assert!(
        wrong.is_empty(),
        "{} of {count} cases differ; UPDATE_CASES=1 rewrites them\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
