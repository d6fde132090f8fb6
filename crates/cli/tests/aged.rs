//! Aged: up, change and down again and again, in one process and as processes. Nothing grows: descriptors, threads, memory,
//! mounts, links, files, tracked connections.
//!
//! `RAUM_ROUNDS=1000` for as many rounds; an ordinary run has a few.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use common::{RAUM, assert_same, host_side};
use raum::Labs;
use raum_core::lab::parse;
use raum_kernel::sandbox;

const LAB: &str = r#"
lab: aged
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, nat: true }
namespaces:
  web: { on: lan, publish: ["8080:80", "5353:53/udp"] }
  db: { on: lan }
  router: { on: lan, forwarding: true, nat: { out: wan }, forward: ["wan 2222 -> server:22"] }
  server: { }
links:
  - ends: ["router:wan 203.0.113.2/30", "server 203.0.113.1/30"]
"#;

fn changed() -> String {
    LAB.replace("8080", "8081").replace("5353", "5354").replace("  db:", "  cache:").replace("2222", "2223")
}

fn rounds(usually: usize) -> usize {
    std::env::var("RAUM_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usually)
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).expect(folder).count()
}

/// What must not grow, of this process and of the host around it; memory apart. Of tracked connections a few are the kernel's
/// own, which reports multicast groups for half a minute: only tens of them count.
fn sizes() -> BTreeMap<&'static str, usize> {
    let lines = |path: &str| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let tracked = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or_default();
    BTreeMap::from([
        ("descriptors", count("/proc/self/fd")),
        ("threads", count("/proc/self/task")),
        ("mounts", lines("/proc/self/mountinfo")),
        ("links", lines("/proc/self/net/dev")),
        ("files in /run", count("/run")),
        ("tens of tracked connections", tracked.trim().parse().unwrap_or(0) / 32),
    ])
}

/// Resident memory of this process in kB, after what is free has been counted as such.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn in_one_process_nothing_grows() {
    sandbox::run(|| {
        let before = host_side();
        let mut labs = Labs::open().expect("the kernel");
        let name = "aged".parse().expect("a name");
        let mut round = || {
            for text in [LAB, &changed(), LAB] {
                let lab = parse(text, &name).expect("a lab");
                labs.up(lab, None, &AtomicBool::new(false), &mut |_, _, _| {}).expect("up");
            }
            labs.drift(&name).expect("a record").1.is_empty().then_some(()).expect("no drift");
            labs.list().expect("labs");
            labs.down(&name, &mut |_, _, _| {}).expect("down");
        };
        let rounds = rounds(12);
        // caches of this process fill in the first rounds
        (0..rounds / 4).for_each(|_| round());
        let (first, memory_then) = (sizes(), memory());
        for number in rounds / 4 + 1..=rounds {
            round();
            if number % 100 == 0 {
                println!("{number} rounds in one process: {} kB", memory());
            }
        }
        assert_eq!(first, sizes());
        let grown = memory().saturating_sub(memory_then);
        println!("{rounds} rounds in one process: {grown} kB more than {memory_then} kB; {first:?}");
        // an object of each round that is kept would be 100 bytes at least, and 1,000 rounds give 75 kB: the allocator needs more
        assert!(grown < 2048, "{grown} kB more");
        drop(labs);
        assert_same(&before, &host_side(), "at the end");
    });
}

#[test]
fn as_processes_nothing_grows() {
    sandbox::run(|| {
        fs::write("/run/aged.yaml", LAB).expect("a lab file");
        fs::write("/run/changed.yaml", changed()).expect("a lab file");
        let before = host_side();
        let run = |args: &[&str]| {
            let output = Command::new(RAUM).args(args).stdin(Stdio::null()).output().expect("raum");
            assert!(output.status.success(), "raum {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let first = sizes();
        let rounds = rounds(6);
        for number in 1..=rounds {
            run(&["up", "--replace", "/run/aged.yaml"]);
            run(&["up", "--replace", "/run/changed.yaml"]);
            run(&["status", "aged"]);
            run(&["down", "aged"]);
            assert_eq!(first, sizes());
            if number % 100 == 0 {
                println!("{number} rounds as processes");
            }
        }
        assert_same(&before, &host_side(), "at the end");
        println!("{rounds} rounds as processes: {first:?}");
    });
}
