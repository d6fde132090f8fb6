//! Many at once: of different labs, of the same lab, beside a stranger who changes the same host all the time, with readers
//! that go away. Whatever one alone would have done is done; nothing is left, nobody waits for ever.
//!
//! An ordinary run is a taste; `RAUM_ROUNDS=N` gives so many rounds with 64 at once.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{RAUM, assert_same, host_side};
use raum_kernel::message::{NLM_F_CREATE, Requests};
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::process::{Pid, Signal, kill_process};

fn rounds(usually: usize) -> usize {
    std::env::var("RAUM_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usually)
}

/// How many at once.
fn many() -> usize {
    if std::env::var_os("RAUM_ROUNDS").is_some() { 64 } else { 16 }
}

/// A lab whose interfaces are called by cut names on the host, and whose addresses nobody wrote.
fn lab(number: usize) -> String {
    let (high, low) = (number / 250, number % 250);
    format!(
        "lab: raced-{number}\n\
         switches: {{ a-rather-long-lan: {{ subnet: [10.{high}.{low}.0/24, 'fd00:{number}::/64'], gateway: host, nat: true }} }}\n\
         namespaces: {{ frontend: {{ on: a-rather-long-lan, publish: ['{}:80'] }}, backend: {{ on: a-rather-long-lan }} }}\n",
        20_000 + number
    )
}

fn file(number: usize) -> String {
    format!("/run/raced-{number}.yaml")
}

fn start(args: &[&str]) -> Child {
    let mut command = Command::new(RAUM);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("raum")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    format!("{}\n{}", output.status, String::from_utf8_lossy(&text))
}

fn fine(args: &[&str]) -> String {
    let output = start(args).wait_with_output().expect("raum");
    assert!(output.status.success(), "raum {args:?}: {}", said(&output));
    said(&output)
}

/// Runs them all at once; each must succeed.
fn all_fine(commands: &[Vec<String>]) {
    let children: Vec<(&Vec<String>, Child)> =
        commands.iter().map(|args| (args, start(&args.iter().map(String::as_str).collect::<Vec<_>>()))).collect();
    for (args, child) in children {
        let output = child.wait_with_output().expect("raum");
        assert!(output.status.success(), "raum {args:?}: {}", said(&output));
    }
}

fn replacing(file: &str) -> Vec<String> {
    ["up", "--replace", file].map(ToOwned::to_owned).to_vec()
}

fn command(verb: &str, what: String) -> Vec<String> {
    vec![verb.to_owned(), what]
}

#[test]
fn many_labs_at_once_go_up_and_down() {
    sandbox::run(|| {
        let (before, many) = (host_side(), many());
        for number in 0..many {
            fs::write(file(number), lab(number)).expect("a lab file");
        }
        for _ in 0..rounds(1) {
            let ups: Vec<_> = (0..many).map(|number| command("up", file(number))).collect();
            all_fine(&ups);
            fine(&["status"]);
            // what was chosen for each is its own
            let host = raum_kernel::view::view(&raum_core::name::NsId::Host).expect("the host");
            let macs: BTreeSet<_> = host.interfaces.iter().filter_map(|interface| interface.mac).collect();
            let names: BTreeSet<_> = host.interfaces.iter().flat_map(|i| i.altnames.iter().chain([&i.name])).collect();
            // a bridge and two ends for each lab, and lo
            assert_eq!(host.interfaces.len(), 3 * many + 1);
            assert_eq!(macs.len(), 3 * many);
            assert!(names.len() > 3 * many);
            // half go, a quarter of them come again at the same time, and those that stay are looked at
            let mixed: Vec<_> = (0..many)
                .map(|number| match number % 4 {
                    0 | 1 => command("down", format!("raced-{number}")),
                    2 => command("up", file(number)),
                    _ => command("status", format!("raced-{number}")),
                })
                .collect();
            all_fine(&mixed);
            let downs: Vec<_> = (0..many).map(|number| command("down", format!("raced-{number}"))).collect();
            all_fine(&downs);
            assert_same(&before, &host_side(), "after a round");
        }
        println!("{} commands of {many} labs in each of {} rounds", 3 * many, rounds(1));
    });
}

#[test]
fn many_commands_at_once_on_the_same_lab() {
    sandbox::run(|| {
        let (before, many) = (host_side(), many());
        fs::write("/run/one.yaml", lab(1)).expect("a lab file");
        fs::write("/run/two.yaml", lab(1).replace("backend", "store").replace("20001", "20002")).expect("a lab file");
        for round in 0..rounds(1) {
            let commands: Vec<_> = (0..many)
                .map(|number| match (number + round) % 4 {
                    0 => replacing("/run/one.yaml"),
                    1 => replacing("/run/two.yaml"),
                    2 => command("down", "raced-1".to_owned()),
                    _ => vec!["ls".to_owned()],
                })
                .collect();
            all_fine(&commands);
            // whoever was last: the lab is whole, or gone
            let listed = fine(&["ls"]);
            if listed.contains("raced-1") {
                fine(&["status", "raced-1"]);
            }
            fine(&["down", "raced-1"]);
            assert_same(&before, &host_side(), "after a round");
        }
        println!("{many} commands in each of {} rounds", rounds(1));
    });
}

/// Adds and removes links, addresses, namespaces, and policy rules, some with names that could be the lab's; says how often.
fn meddle(stop: &AtomicBool) -> usize {
    /// rtnetlink's types, and `struct ifinfomsg`, `fib_rule_hdr` (include/uapi/linux/rtnetlink.h, fib_rules.h).
    const NEWLINK: u16 = 16;
    const DELLINK: u16 = 17;
    const NEWRULE: u16 = 32;
    const DELRULE: u16 = 33;
    const RULE: [u8; 12] = [2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0];
    let attribute = |kind: u16, bytes: &[u8]| {
        let mut out = u16::try_from(bytes.len() + 4).expect("short").to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let link = |name: &str| {
        let mut body = vec![0; 16];
        body.extend(attribute(3, &[name.as_bytes(), b"\0"].concat()));
        body.extend(attribute(18, &attribute(1, b"bridge")));
        body
    };
    // FRA_PRIORITY
    let rule = |number: u32| [&RULE[..], &attribute(6, &(20_000 + number).to_ne_bytes())].concat();
    // as `ip netns` does
    let add = |name: &&str| {
        let path = format!("/run/netns/{name}");
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(CWD, &path, flags, Mode::empty()).expect("a file");
        let fresh = raum_kernel::namespace::fresh().expect("a namespace");
        mount_bind(format!("/proc/self/fd/{}", fresh.as_raw_fd()), path).expect("a name");
    };
    let del = |name: &&str| {
        let path = format!("/run/netns/{name}");
        unmount(&path, UnmountFlags::DETACH).expect("unmounted");
        fs::remove_file(path).expect("removed");
    };
    let mut socket = Socket::open(Protocol::Route).expect("a socket");
    let mut send = |kind, flags, body: &[u8]| {
        let mut requests = Requests::new();
        requests.request(kind, flags, body);
        socket.run_one(&mut requests).expect("what was asked");
    };
    let names = ["raced-0-stranger", "stranger", "raced-00"];
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        for number in 0..4 {
            send(NEWLINK, NLM_F_CREATE, &link(&format!("foreign{number}")));
            send(NEWRULE, NLM_F_CREATE, &rule(number));
        }
        names.iter().for_each(add);
        for number in 0..4 {
            send(DELLINK, 0, &link(&format!("foreign{number}"))[..]);
            send(DELRULE, 0, &rule(number));
        }
        names.iter().for_each(del);
        times += 1;
    }
    times
}

#[test]
fn a_stranger_who_changes_the_host_meanwhile_is_in_nobodys_way() {
    sandbox::run(|| {
        fs::write("/run/one.yaml", lab(0)).expect("a lab file");
        fs::write("/run/two.yaml", lab(0).replace("backend", "store")).expect("a lab file");
        fs::create_dir("/run/netns").expect("a folder");
        mount_bind("/run/netns", "/run/netns").expect("a mount");
        mount_change("/run/netns", MountPropagationFlags::SHARED).expect("a shared mount");
        let before = host_side();
        let stop = AtomicBool::new(false);
        let done = AtomicUsize::new(0);
        let times = thread::scope(|scope| {
            let stranger = scope.spawn(|| meddle(&stop));
            // if a command fails the stranger must end, or nobody would hear of it
            let commands = scope.spawn(|| {
                for _ in 0..rounds(6) {
                    for args in [
                        &["up", "--replace", "/run/one.yaml"][..],
                        &["up", "--replace", "/run/two.yaml"],
                        &["status", "raced-0"],
                        &["down", "raced-0"],
                    ] {
                        fine(args);
                        fine(&["show"]);
                        done.fetch_add(2, Ordering::Relaxed);
                    }
                }
            });
            let result = commands.join();
            stop.store(true, Ordering::Relaxed);
            let times = stranger.join().expect("the stranger");
            result.map(|()| times).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        assert!(times > 0);
        // the stranger's /run/netns is as he left it
        let after: std::collections::BTreeMap<_, _> = host_side()
            .into_iter()
            .filter(|(key, _)| before.contains_key(key) || !key.contains("/run/netns"))
            .collect();
        assert_same(&before, &after, "at the end");
        println!("{} commands, {times} times something else changed meanwhile", done.into_inner());
    });
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    sandbox::run(|| {
        let before = host_side();
        fs::write("/run/one.yaml", lab(1)).expect("a lab file");
        // gone before the first byte, and after it
        for read in [0, 1] {
            for args in [
                &["up", "/run/one.yaml"][..],
                &["show"],
                &["show", "host"],
                &["ls"],
                &["plan", "/run/one.yaml"],
                &["schema"],
                &["--json", "show"],
            ] {
                let mut child = start(args);
                let mut out = child.stdout.take().expect("a pipe");
                out.read_exact(&mut vec![0; read]).unwrap_or_default();
                drop(out);
                let output = child.wait_with_output().expect("raum");
                assert!(output.status.success() && output.stderr.is_empty(), "raum {args:?}: {}", said(&output));
            }
            fine(&["status", "raced-1"]);
            let mut child = start(&["down", "raced-1"]);
            drop((child.stdout.take(), child.stderr.take()));
            assert!(child.wait().expect("raum").success());
            assert_same(&before, &host_side(), "after down");
        }
        // closed from the beginning: what is opened next must not become the standard output
        let shell = |line: &str| {
            Command::new("sh").args(["-c", line]).env("RAUM", RAUM).stdin(Stdio::null()).output().expect("a shell")
        };
        for closed in [">&-", "2>&-", "<&-", "<&- >&- 2>&-"] {
            for line in ["up /run/one.yaml", "show", "status raced-1", "down raced-1"] {
                let output = shell(&format!("exec \"$RAUM\" {line} {closed}"));
                assert!(output.status.success(), "{line} {closed}: {}", said(&output));
            }
            assert_same(&before, &host_side(), closed);
        }
        // a full disk is not a reader that has gone: what was not written must not be taken for whole
        if Path::new("/dev/full").exists() {
            let output = shell("exec \"$RAUM\" schema >/dev/full");
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            assert!(said(&output).contains("cannot write the answer: No space left on device"), "{}", said(&output));
        }
    });
}

#[test]
fn whoever_waits_for_another_command_can_be_stopped() {
    sandbox::run(|| {
        fs::write("/run/one.yaml", lab(1)).expect("a lab file");
        fine(&["up", "/run/one.yaml"]);
        let lock = fs::OpenOptions::new().write(true).open("/run/raum/lock").expect("the lock");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("locked");
        let before = host_side();
        for args in [&["up", "/run/one.yaml"][..], &["down", "raced-1"], &["ns", "add", "raced-1/late"]] {
            for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
                let child = start(args);
                let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
                // until it has opened the lock, which it does after it has begun to listen to signals
                let descriptors = format!("/proc/{}/fd", child.id());
                let has_opened = || {
                    let open = fs::read_dir(&descriptors).into_iter().flatten().flatten();
                    open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path == Path::new("/run/raum/lock"))
                };
                while !has_opened() {
                    thread::sleep(std::time::Duration::from_millis(2));
                }
                kill_process(pid, signal).expect("a signal");
                let output = child.wait_with_output().expect("raum");
                assert_eq!(output.status.code(), Some(1), "{args:?} {signal:?}: {}", said(&output));
                assert!(said(&output).contains("another raum is at work"), "{args:?} {signal:?}: {}", said(&output));
                assert_same(&before, &host_side(), "stopped while waiting");
            }
        }
        drop(lock);
        fine(&["down", "raced-1"]);
    });
}

#[test]
fn whoever_reads_the_folder_of_names_does_not_keep_it() {
    sandbox::run(|| {
        let before = host_side();
        fs::write("/run/one.yaml", lab(1)).expect("a lab file");
        fine(&["up", "/run/one.yaml"]);
        let reader = fs::File::open("/run/netns").expect("the folder");
        let log = "/run/points.test";
        let mut command = Command::new(RAUM);
        command.args(["down", "raced-1"]).env("RAUM_POINTS", log).stdin(Stdio::null());
        let mut child = command.spawn().expect("raum");
        // it has tried more than once, and will again
        let tried =
            || fs::read_to_string(log).unwrap_or_default().lines().filter(|line| line.ends_with(" unmount")).count();
        while tried() < 2 && child.try_wait().expect("raum").is_none() {
            thread::sleep(std::time::Duration::from_millis(2));
        }
        drop(reader);
        assert!(child.wait().expect("raum").success());
        assert_same(&before, &host_side(), "after the reader has gone");
    });
}

#[test]
fn two_labs_whose_marks_are_the_same_are_not_beside_each_other() {
    sandbox::run(|| {
        let mut groups = std::collections::BTreeMap::new();
        let mut twins = (0..100_000).filter_map(|number| {
            let name = format!("l{number}");
            let group = raum_core::lab::link_group(&name.parse().expect("a name"));
            groups.insert(group, name.clone()).map(|other| (other, name))
        });
        let (one, other) = twins.next().expect("two of many");
        for lab in [&one, &other] {
            let text =
                format!("lab: {lab}\nnamespaces: {{ a: , b: }}\nlinks: [ ends: [a 10.0.0.1/24, b 10.0.0.2/24] ]\n");
            fs::write(format!("/run/{lab}.yaml"), text).expect("a lab file");
        }
        fine(&["up", &format!("/run/{one}.yaml")]);
        let output = start(&["up", &format!("/run/{other}.yaml")]).wait_with_output().expect("raum");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(&format!("lab `{other}` cannot be beside lab `{one}`")), "{}", said(&output));
        fine(&["status", &one]);
        fine(&["down", &one]);
        fine(&["up", &format!("/run/{other}.yaml")]);
        fine(&["down", &other]);
    });
}
