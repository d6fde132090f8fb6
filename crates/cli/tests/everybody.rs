//! `raum ping --all`: forty namespaces, everybody to everybody, over both families. That is more neighbours than a machine
//! remembers unless told otherwise (`gc_thresh3` is 1,024 for all namespaces together).

mod common;

use std::fs;
use std::process::Command;

use common::RAUM;
use raum_kernel::sandbox;

fn raum(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(RAUM).args(args).output().expect("raum");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn forty_reach_each_other_at_once() {
    sandbox::run(|| {
        let lab = "lab: forty\nswitches: { lan: { subnet: [10.10.0.0/24, \"fd10::/64\"] } }\nnamespaces: { \"n[1-40]\": { on: lan } }\n";
        fs::write("/run/lab.yaml", lab).expect("a lab file");
        assert_eq!(raum(&["up", "/run/lab.yaml"]).0, Some(0));
        let (code, said) = raum(&["ping", "--all", "-W", "20000"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("40 nodes, 1560 over IPv4, 1560 over IPv6"), "{said}");
        assert!(said.lines().all(|line| line.chars().count() < 80), "{said}");
    });
}
