//! The host around labs as the kernel has it: what must be the same before and after.
#![allow(dead_code, reason = "each test file uses some of it")]

pub mod firewalld;
pub mod foreign;
pub mod points;
pub mod sctp;
pub mod snapshot;
pub mod traffic;
pub mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use raum_core::name::NsId;

pub const RAUM: &str = env!("CARGO_BIN_EXE_raum");

/// Each fact with where it was read. Not what changes by itself: neighbours, counters, numbers of interfaces, and link-local
/// addresses, which come when the kernel finds the time.
pub fn host_side() -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let host = raum_kernel::view::view(&NsId::Host).expect("the host's view");
    for mut interface in host.interfaces {
        interface.index = 0;
        interface.peer_index = None;
        interface.addresses.retain(|address| !is_link_local(&address.to_string()));
        facts.insert(format!("interface {}", interface.name), format!("{interface:?}"));
    }
    let routes = host.routes.iter().map(ToString::to_string).filter(|route| !is_link_local(route));
    for (number, route) in routes.enumerate() {
        facts.insert(format!("route {number}"), route);
    }
    for folder in ["net/ipv4/conf", "net/ipv6/conf", "net/bridge"] {
        read_all(&Path::new("/proc/sys").join(folder), &mut facts);
    }
    for file in ["net/ipv4/ip_forward", "net/ipv4/ip_local_reserved_ports", "user/max_net_namespaces"] {
        read_all(&Path::new("/proc/sys").join(file), &mut facts);
    }
    for folder in ["/run/netns", "/run/raum", "/etc/netns"] {
        list_all(Path::new(folder), &mut facts);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with("/run/")) {
        facts.insert(format!("mount {point}"), String::new());
    }
    for (program, arguments) in [("nft", ["list", "ruleset"]), ("ip", ["rule", "show"])] {
        if let Ok(output) = Command::new(program).args(arguments).output() {
            facts.insert(program.to_owned(), String::from_utf8_lossy(&output.stdout).into_owned());
        }
    }
    facts
}

fn is_link_local(text: &str) -> bool {
    text.starts_with("fe80:")
}

fn read_all(path: &Path, facts: &mut BTreeMap<String, String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            read_all(&entry.path(), facts);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        facts.insert(path.display().to_string(), text);
    }
}

/// Files and folders. An empty /run/netns is as good as none: `ip` makes it too, and leaves it.
fn list_all(path: &Path, facts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        facts.insert(entry.path().display().to_string(), "a file".to_owned());
        if entry.path().is_dir() {
            list_all(&entry.path(), facts);
        }
    }
}

/// Fails with what differs, not with thousands of facts.
pub fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>, when: &str) {
    let lines = differences(before, after);
    assert!(lines.is_empty(), "{when}: the host differs\n{}", lines.join("\n"));
}

/// What is no more, and what is new.
pub fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let gone = before.iter().filter(|(key, value)| after.get(*key) != Some(value));
    let new = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    gone.map(|(k, v)| format!("- {k}: {v}")).chain(new.map(|(k, v)| format!("+ {k}: {v}"))).collect()
}
