//! Subnets that raum chooses, on a real host: no two labs get the same, and a lab keeps its own. The kernel is asked.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Output, Stdio};

use common::RAUM;
use raum_kernel::sandbox;

fn start(args: &[&str]) -> Child {
    let mut command = Command::new(RAUM);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("raum")
}

fn fine(child: Child) -> String {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("waited for");
    let (said, wrong) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{said}{wrong}");
    said.into_owned()
}

/// Destination and mask of each interface's own IPv4 network, in network order, from the kernel's routing table.
fn networks() -> BTreeMap<String, (u32, u32)> {
    let table = fs::read_to_string("/proc/net/route").expect("routes");
    let number = |word: &str| u32::from_str_radix(word, 16).expect("a number").swap_bytes();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].to_owned(), (number(words[1]), number(words[7])))
    };
    table.lines().skip(1).map(line).collect()
}

/// The first 64 bits of each interface's own IPv6 network.
fn networks_v6() -> BTreeMap<String, String> {
    let table = fs::read_to_string("/proc/net/if_inet6").expect("addresses");
    let global = table.lines().filter(|line| line.starts_with("fd"));
    let line = |line: &str| (line.split_whitespace().last().unwrap_or_default().to_owned(), line[..16].to_owned());
    global.map(line).collect()
}

#[test]
fn labs_that_come_at_once_get_networks_of_their_own() {
    sandbox::run(|| {
        let labs = 0..12;
        for n in labs.clone() {
            let text = "switches:\n  lan: { subnet: auto, gateway: host }\n  dmz: { subnet: auto, gateway: host }\n\
                        namespaces:\n  a: { on: [lan, dmz] }\n";
            fs::write(format!("/run/l{n}.yaml"), text).expect("written");
        }
        let all: Vec<Child> = labs.clone().map(|n| start(&["up", &format!("/run/l{n}.yaml")])).collect();
        all.into_iter().for_each(|child| drop(fine(child)));
        let (found, found_v6) = (networks(), networks_v6());
        let own: Vec<_> = found.iter().filter(|(name, _)| name.ends_with("-lan") || name.ends_with("-dmz")).collect();
        assert_eq!(own.len(), 24, "{found:?}");
        for (at, (name, (net, mask))) in own.iter().enumerate() {
            for (other, (net2, mask2)) in &own[..at] {
                assert_ne!(net & mask & mask2, net2 & mask & mask2, "{name} and {other}");
            }
        }
        let mut v6: Vec<_> = found_v6.values().collect();
        v6.sort();
        v6.dedup();
        assert_eq!(v6.len(), 24, "{found_v6:?}");
        fine(start(&["down", "--all"]));
        assert_eq!(networks(), BTreeMap::new());
    });
}

#[test]
fn a_lab_keeps_the_network_that_it_has() {
    sandbox::run(|| {
        let first = (u32::from_be_bytes([10, 143, 48, 0]), u32::from_be_bytes([255, 255, 255, 0]));
        let write = |path: &str, subnet: &str| {
            let text = format!(
                "switches:\n  lan: {{ subnet: {subnet}, gateway: host }}\nnamespaces:\n  a: {{ on: lan }}\n  b: {{ on: lan }}\n\
                 links:\n  - {{ ends: [a, b], subnet: auto }}\n"
            );
            fs::write(path, text).expect("written");
        };
        // somebody has what this lab would get
        write("/run/taker.yaml", "10.143.48.0/24");
        write("/run/chosen.yaml", "auto");
        fine(start(&["up", "/run/taker.yaml"]));
        fine(start(&["up", "/run/chosen.yaml"]));
        let other = networks()["chosen-lan"];
        assert_ne!(other, first);
        fine(start(&["ping", "chosen-a", "b", "-c", "1", "-W", "5000"]));
        // the better place is free now, but nobody is moved
        fine(start(&["down", "taker"]));
        assert!(fine(start(&["up", "/run/chosen.yaml"])).contains("nothing to change"));
        assert_eq!(networks()["chosen-lan"], other);
        fine(start(&["status", "chosen"]));
        // a step leaves the others as they are
        fine(start(&["ns", "add", "c", "--lab", "chosen"]));
        fine(start(&["attach", "c", "lan", "--lab", "chosen"]));
        assert_eq!(networks()["chosen-lan"], other);
        // a lab that comes anew begins anew
        fine(start(&["down", "chosen"]));
        fine(start(&["up", "/run/chosen.yaml"]));
        assert_eq!(networks()["chosen-lan"], first);
    });
}
