//! Import. Cases are folders under `cases/import`: what is there (`scene.json`), the lab file that is made of it (`lab.yaml`,
//! `UPDATE_CASES=1` rewrites it). And what raum itself would build is imported and built again: the same must come of it.

use std::fs;
use std::path::Path;

use raum_core::design::design;
use raum_core::host::Surroundings;
use raum_core::import::import;
use raum_core::lab;
use raum_core::name::{LabName, NsId};
use raum_core::picture::as_scene;
use raum_core::state::State;
use raum_core::view::Scene;

fn around() -> Surroundings {
    Surroundings { ipv6: true, ..Surroundings::default() }
}

/// Links and routes of all, and sysctls of rooms: what an import takes over. Rules are compared by what they say.
fn taken_over(mut state: State) -> String {
    for (id, namespace) in &mut state.namespaces {
        namespace.table = None;
        if *id == NsId::Host {
            namespace.sysctls.clear();
        }
        // the times of a router's NAT go with its rules
        namespace.sysctls.retain(|key, _| !key.as_str().starts_with("net/netfilter/"));
    }
    // hardware addresses are raum's choice; so are those that a file pinned
    let mac = |word: &str| word.len() == 17 && word.matches(':').count() == 5;
    let lines = state.to_string();
    // a route of the host's published ports goes with their rules
    let lines = lines
        .lines()
        .filter(|line| !line.starts_with("host: route local "))
        .map(|line| line.split(' ').filter(|word| !mac(word)).collect::<Vec<_>>().join(" "));
    lines.map(|line| line + "\n").collect()
}

#[test]
fn what_raum_builds_is_imported_and_built_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases =
        fs::read_dir(root.join("tests/cases/design")).unwrap().map(|entry| entry.unwrap().path().join("lab.yaml"));
    let examples = fs::read_dir(root.join("../../examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = cases.chain(examples).collect();
    files.sort();
    let mut same = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lab = lab::parse(&text, &LabName::new("case").unwrap()).unwrap();
        let first = design(&lab, &around());
        let imported = import(&as_scene(&lab.name, &first), &lab.name, |_| true);
        let written = imported.to_string();
        let again = lab::parse(&written, &lab.name)
            .unwrap_or_else(|problems| panic!("{}: {problems:?}\n{written}", file.display()));
        assert_eq!(again.to_string(), imported.lab.to_string(), "{}", file.display());
        let second = design(&again, &around());
        let (a, b) = (taken_over(first.state), taken_over(second.state));
        assert_eq!(a, b, "{}\n{written}", file.display());
        same += 1;
    }
    assert!(same >= 12, "the cases are lost");
}

#[test]
fn import_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/import");
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        let scene: Scene = serde_json::from_str(&fs::read_to_string(folder.join("scene.json")).unwrap()).unwrap();
        let found = import(&scene, &LabName::new("imported").unwrap(), |_| true).to_string();
        let path = folder.join("lab.yaml");
        if std::env::var_os("UPDATE_CASES").is_some() {
            fs::write(path, found).unwrap();
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&found) {
            wrong.push(format!("{}: now\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
