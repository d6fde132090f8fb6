//! `plan --as ip`: the script, run by a shell on an empty host, leads to the state that `up` leads to. Needs `ip`, `nft`,
//! `sysctl` and `conntrack`; where one is missing, what needs it is not judged, unless `RAUM_NO_SKIP` is set.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use raum_core::design::{Design, absent, design};
use raum_core::diff::diff;
use raum_core::host::Host;
use raum_core::lab::{self, Lab};
use raum_core::name::LabName;
use raum_core::plan::{Op, Plan};
use raum_core::render::script;
use raum_core::state::State;
use raum_kernel::{Linux, sandbox};

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    assert!(found || std::env::var_os("RAUM_NO_SKIP").is_none(), "{program} is not installed");
    if !found {
        println!("{program} is not installed: not judged");
    }
    found
}

fn parsed(text: &str) -> Lab {
    lab::parse(text, &LabName::new("written").unwrap()).unwrap()
}

fn plan(linux: &mut Linux, lab: &Lab) -> (Design, Plan) {
    let mut around = linux.surroundings(&lab.name).unwrap();
    // small labs with all neighbours written down, and of a big one none: each is a command
    around.fixed_neighbours = [Some(1).filter(|_| lab.nodes.len() < 20); 2];
    assert_eq!(lab::check(lab, &around), []);
    let design = design(lab, &around);
    let from = linux.observe(&design.scope).unwrap();
    let plan = diff(&lab.name, &from, &design.state).unwrap();
    (design, plan)
}

fn run(plan: &Plan) {
    let script = script(plan);
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{script}");
}

/// Brings the lab up by its script, and compares with what `up` would lead to.
fn bring_up(linux: &mut Linux, lab: &Lab) -> State {
    let (design, plan) = plan(linux, lab);
    run(&plan);
    let reached = linux.observe(&design.scope).unwrap();
    let rest = diff(&lab.name, &reached, &design.state).unwrap();
    assert!(rest.is_empty(), "after\n{}\nis\n{reached}\nand not\n{}", script(&plan), design.state);
    reached
}

fn take_down(linux: &mut Linux, lab: &Lab) {
    let around = linux.surroundings(&lab.name).unwrap();
    let (design, _) = plan(linux, lab);
    let from = linux.observe(&design.scope).unwrap();
    let plan = diff(&lab.name, &from, &absent(&lab.name, &around)).unwrap();
    run(&plan);
    assert!(linux.observe(&design.scope).unwrap().is_bare());
}

#[test]
fn scripts_of_the_examples_lead_where_up_leads() {
    sandbox::run(|| {
        if !["ip", "nft", "sysctl"].into_iter().all(has) {
            return;
        }
        let mut linux = Linux::new().unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut files: Vec<_> = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 3);
        for file in files {
            let lab = parsed(&fs::read_to_string(file).unwrap());
            bring_up(&mut linux, &lab);
            take_down(&mut linux, &lab);
        }
    });
}

#[test]
fn a_script_of_a_change_leads_there_too() {
    const BEFORE: &str = r#"
lab: changing
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, nat: true }
  far: { subnet: 10.11.0.0/24, gateway: router }
namespaces:
  a: { on: "lan 10.10.0.5 10.10.0.6 fd10::5", publish: ["8080:80", "53:53/udp"] }
  b: { on: lan }
  router: { on: [lan, far], routes: ["10.99.0.0/16 via 10.10.0.5", "blackhole 10.98.0.0/16"] }
  c: { on: far }
links:
  - ends: ["a:wire 192.0.2.1/30", "c:wire 192.0.2.2/30"]
"#;
    const AFTER: &str = r#"
lab: changing
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, mtu: 1400 }
  far: { subnet: 10.11.0.0/24, gateway: router }
namespaces:
  a: { on: "lan 10.10.0.7", publish: ["8081:80", "53:5353/udp"] }
  router: { on: [lan, far], routes: ["10.99.0.0/16 via 10.10.0.7 metric 7", "unreachable fd98::/64"], nat: { out: eth0 } }
  c: { on: far }
  a-name-longer-than-an-interface: { on: lan }
"#;
    sandbox::run(|| {
        if !["ip", "nft", "sysctl", "conntrack"].into_iter().all(has) {
            return;
        }
        let mut linux = Linux::new().unwrap();
        let (before, after) = (parsed(BEFORE), parsed(AFTER));
        let first = bring_up(&mut linux, &before);
        let changed = bring_up(&mut linux, &after);
        assert_ne!(first, changed);
        let (_, back) = plan(&mut linux, &before);
        let kinds: BTreeSet<String> = back.ops().map(kind).collect();
        assert!(kinds.len() >= 10, "too few kinds of operations to say much: {kinds:?}");
        assert_eq!(bring_up(&mut linux, &before), first);
        take_down(&mut linux, &before);
    });
}

fn kind(op: &Op) -> String {
    format!("{op:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
