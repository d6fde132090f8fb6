//! Steps by hand, judged by the kernel: none is lost beside another, what they built can be exported and brought up again,
//! and with the last thing nothing is left.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use common::{RAUM, assert_same, host_side};
use raum_core::name::LabName;
use raum_core::state::State;
use raum_kernel::sandbox;

fn raum(typed: &str) -> String {
    let output = Command::new(RAUM).args(typed.split(' ')).output().expect("raum");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "raum {typed}\n{said}");
    said
}

fn state(lab: &str) -> State {
    let name = LabName::new(lab).expect("a name");
    raum::Labs::open().expect("the kernel").state(&name).expect("its state")
}

/// Steps of every kind, with both families.
const STEPS: [&str; 24] = [
    "ns add red blue router server n[1-3]",
    "connect red 10.0.0.1/24 fd00::1/64 blue 10.0.0.2/24 fd00::2/64",
    "connect red:spare 10.0.9.1/24 blue:spare 10.0.9.2/24",
    "route add red default via 10.0.0.2",
    "route add blue blackhole 192.0.2.0/24",
    "link set red:eth0 --mtu 1400 --mac 02:00:5e:10:00:01",
    "link down red:spare",
    "switch add lan 10.1.0.0/24 fd01::/64 --gateway host --nat",
    "attach n[1-3] lan",
    "attach red:lan0 lan 10.1.0.77",
    "publish add n1 8080:80 127.0.0.1:5353:53/udp",
    "switch add home 192.168.1.0/24",
    "attach router home 192.168.1.1",
    "attach n2 home",
    "connect router:wan 203.0.113.2/30 server 203.0.113.1/30",
    "gateway home router",
    "nat add router --out wan",
    "forward add router wan 2222 to n2:22",
    "gateway server 203.0.113.2",
    "forwarding blue on",
    "connect host 10.3.0.1/30 server:mgmt 10.3.0.2/30",
    "route add host 10.44.0.0/16 via 10.3.0.2",
    "switch add inner --in blue --mtu 1300",
    "addr add server:mgmt fd03::2/64",
];

#[test]
fn what_steps_built_is_exported_and_comes_up_the_same() {
    sandbox::run(|| {
        let before = host_side();
        for typed in STEPS {
            raum(typed);
            assert!(raum(typed).contains("nothing to change"), "{typed} twice");
        }
        assert!(raum("status").contains("as it should be"));
        let (built, file) = (state("default"), raum("export"));
        fs::write("/run/again.yaml", &file).expect("a file");
        raum("down default");
        assert_same(&before, &host_side(), "after down");
        raum("up /run/again.yaml");
        let again = state("default");
        assert!(built == again, "by steps:\n{built}\nfrom the file:\n{again}");
        assert_eq!(raum("export"), file);
        raum("down default");
    });
}

/// Of a lab from a file as well; and what a step adds and takes away leaves the others alone.
#[test]
fn a_lab_of_a_file_is_exported_the_same() {
    sandbox::run(|| {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
        for lab in ["shop", "street", "rooms"] {
            raum(&format!("up {examples}/{lab}.yaml"));
            let built = state(lab);
            let file = raum(&format!("export {lab}"));
            raum(&format!("ns add passer-by --lab {lab}"));
            raum(&format!("ns del passer-by --lab {lab}"));
            assert_eq!(raum(&format!("export {lab}")), file);
            assert_eq!(state(lab).to_string(), built.to_string());
            raum(&format!("down {lab}"));
            fs::write("/run/again.yaml", &file).expect("a file");
            raum("up /run/again.yaml");
            assert_eq!(state(lab).to_string(), built.to_string());
            raum(&format!("down {lab}"));
        }
    });
}

#[test]
fn steps_at_the_same_time_all_take_effect() {
    sandbox::run(|| {
        raum("switch add lan 10.1.0.0/24");
        let step = |number: usize| {
            let name = format!("n{number}");
            Command::new(RAUM)
                .args(["ns", "add", &name])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("raum")
        };
        for child in (0..8).map(step).collect::<Vec<_>>() {
            let output = child.wait_with_output().expect("its end");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let wanted: BTreeSet<String> = (0..8).map(|number| format!("n{number}")).collect();
        let names = fs::read_dir("/run/netns").expect("names").flatten();
        let found: BTreeSet<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(found, wanted);
        let file = raum("export");
        assert!(wanted.iter().all(|name| file.contains(&format!("  {name}:\n"))), "{file}");
        raum("down default");
    });
}

#[test]
fn with_the_last_thing_everything_is_gone() {
    sandbox::run(|| {
        let before = host_side();
        for last in ["ns del red", "switch del lan", "ns del red blue"] {
            match last {
                "ns del red" => drop(raum("ns add red")),
                "switch del lan" => drop(raum("switch add lan 10.1.0.0/24 --gateway host --nat")),
                _ => {
                    raum("ns add red blue");
                    raum("connect red 10.0.0.1/24 blue 10.0.0.2/24");
                    raum("connect red:up 10.9.0.1/24 host 10.9.0.2/24");
                    raum("route add host 10.77.0.0/16 via 10.9.0.1");
                    raum("disconnect red:up host --force");
                }
            }
            assert!(raum(last).contains("is down"));
            assert_same(&before, &host_side(), last);
        }
    });
}

/// Nothing is done, and nothing is left, by what only looks or is refused.
#[test]
fn a_dry_run_and_a_refusal_leave_nothing() {
    sandbox::run(|| {
        let before = host_side();
        raum("ns add red --dry-run --explain");
        raum("switch add lan 10.1.0.0/24 --gateway host --nat -n --json");
        let refused = Command::new(RAUM).args(["connect", "red", "blue"]).output().expect("raum");
        assert_eq!(refused.status.code(), Some(2));
        assert_same(&before, &host_side(), "after nothing was done");
    });
}

/// Killed at any moment, the step can be typed again; the second time it does what was left to do.
#[test]
fn a_step_that_was_killed_is_typed_again() {
    sandbox::run(|| {
        let before = host_side();
        for (after, first) in (0..48).step_by(6).zip([true, false].into_iter().cycle()) {
            if !first {
                raum("switch add lan 10.1.0.0/24 --gateway host");
            }
            let mut child =
                Command::new(RAUM).args(["ns", "add", "n[1-60]"]).stdout(Stdio::null()).spawn().expect("raum");
            std::thread::sleep(std::time::Duration::from_millis(after));
            child.kill().expect("to kill it");
            child.wait().expect("its end");
            raum("ns add n[1-60]");
            assert!(raum("status").contains("as it should be"));
            raum("ns del n[1-60]");
            if !first {
                raum("switch del lan");
            }
            assert_same(&before, &host_side(), &format!("killed after {after} ms"));
        }
    });
}
