//! Killed anywhere, refused anywhere: `up`, a changing `up` and `down` of a lab that uses everything, with a fault at each
//! netlink message and each file operation in turn.
//!
//! The points are counted first, in an undisturbed run. Of them an ordinary run takes a sample, another one for each fault;
//! with `RAUM_ALL_POINTS=1` all, with `RAUM_ALL_POINTS=2/8` every eighth from the third on. The snapshots are the kernel's own words.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use common::snapshot::{self, Facts};
use common::world::world;
use common::{RAUM, differences};
use raum_kernel::sandbox;

const LAB: &str = r#"
lab: all
switches:
  lan: { subnet: [10.20.0.0/24, "fd20::/64"], gateway: host, nat: true }
  home: { subnet: [192.168.77.0/24, "fd77:1::/64"], gateway: router }
namespaces:
  web: { on: lan 10.20.0.10, publish: ["8080:80", "5353:53/udp"] }
  db: { on: lan }
  router: { on: home, forwarding: true, nat: { out: wan }, forward: ["wan 2222 -> laptop:22", "wan 5300/udp -> laptop:53"] }
  laptop: { on: home }
  server: { }
links:
  - ends: ["router:wan 203.0.113.2/30 fd77:2::2/64", "server 203.0.113.1/30 fd77:2::1/64"]
  - ends: ["host:mgmt 10.30.0.1/30", "server:mgmt 10.30.0.2/30"]
"#;

/// The same lab later: something of everything is new, gone, and changed.
fn changed() -> String {
    LAB.replace("10.20.0.10, publish: [\"8080:80\"", "10.20.0.11, publish: [\"8081:80\"")
        .replace("  db: { on: lan }\n", "  cache: { on: lan }\n")
        .replace("2222", "2223")
        .replace("10.30.0.1/30", "10.30.0.1/30 fd30::1/64")
        .replace("  laptop: { on: home }", "  laptop: { on: { switch: home, mtu: 1400 } }")
}

const OLD: &str = "/run/old.test";
const NEW: &str = "/run/new.test";

/// Runs the command, with a fault or without.
fn raum(args: &[&str], fault: Option<&str>) -> Output {
    let mut command = Command::new(RAUM);
    command.args(args);
    if let Some(fault) = fault {
        command.env("RAUM_FAULT", fault);
    }
    command.output().expect("raum")
}

fn fine(args: &[&str], when: &str) {
    let output = raum(args, None);
    assert!(output.status.success(), "{when}: raum {args:?}: {}", said(&output));
}

fn said(output: &Output) -> String {
    format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr))
}

/// What is done when the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Up,
    Change,
    Down,
}

impl Verb {
    /// From a host without the lab to where the verb begins.
    fn prepare(self) {
        if self != Verb::Up {
            fine(&["up", OLD], "to begin with");
        }
    }

    fn args(self) -> [&'static str; 2] {
        match self {
            Verb::Up => ["up", OLD],
            Verb::Change => ["up", NEW],
            Verb::Down => ["down", "all"],
        }
    }

    /// The host where the verb begins: of a lab that is up some facts change by themselves.
    fn look(self) -> Facts {
        if self == Verb::Up {
            return snapshot::take();
        }
        let mut facts = whole();
        snapshot::files(Path::new("/run"), &mut facts);
        facts
    }

    /// What each point is, in order.
    fn points(self) -> Vec<String> {
        self.prepare();
        let log = "/run/points.test";
        let output = Command::new(RAUM).args(self.args()).env("RAUM_POINTS", log).output().expect("raum");
        assert!(output.status.success(), "{}", said(&output));
        let points = fs::read_to_string(log).expect("points");
        fs::remove_file(log).expect("removed");
        fine(&["down", "all"], "after counting");
        points.lines().map(str::to_owned).collect()
    }
}

/// What is in the host and in each namespace, without what the kernel makes in its own time.
fn whole() -> Facts {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = names.map(|name| name.file_name().into_string().expect("a name"));
    let mut facts = Facts::new();
    for name in names.chain(["host".to_owned()]) {
        let mut view = raum_kernel::view::view(&name.parse().expect("a name")).expect("a view");
        let by_itself = |text: String| text.starts_with("fe80:");
        for interface in &mut view.interfaces {
            interface.index = 0;
            interface.peer_index = None;
            interface.addresses.retain(|address| !by_itself(address.to_string()));
            interface.addresses.sort();
            facts.insert(format!("{name} interface {}", interface.name), format!("{interface:?}"));
        }
        for route in view.routes.iter().map(ToString::to_string).filter(|route| !by_itself(route.clone())) {
            facts.insert(format!("{name} route {route}"), String::new());
        }
        for table in &view.tables {
            facts.insert(format!("{name} table {}", table.name), format!("{table:?}"));
        }
    }
    for key in ["net/ipv4/conf/up0/forwarding", "net/ipv6/conf/up0/forwarding", "net/ipv4/conf/all-lan/forwarding"] {
        facts.insert(key.to_owned(), fs::read_to_string(format!("/proc/sys/{key}")).unwrap_or_default());
    }
    facts
}

/// The host before the lab, after everything that the kernel makes once only has been made.
fn begin() -> Facts {
    world();
    snapshot::wait_for_addresses();
    fs::write(OLD, LAB).expect("a lab file");
    fs::write(NEW, changed()).expect("a lab file");
    for _ in 0..2 {
        fine(&["up", OLD], "the first time");
        fine(&["up", NEW], "the first time");
        fine(&["down", "all"], "the first time");
    }
    snapshot::take()
}

/// Which points to try: all, or so many, spread out and beginning elsewhere for each fault.
fn sample(points: usize, wanted: usize, fault: usize) -> Vec<usize> {
    if let Ok(share) = std::env::var("RAUM_ALL_POINTS") {
        // most of the time is waiting for the kernel: shares can run side by side
        let share = share.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        let (first, step) = share.unwrap_or((0, 1));
        return (first..points).step_by(step).collect();
    }
    let step = points.div_ceil(wanted).max(1);
    (fault * 5 % step..points).step_by(step).collect()
}

const VERBS: [Verb; 3] = [Verb::Up, Verb::Change, Verb::Down];

/// All that was wrong, at whatever point; told at the end.
struct Judge {
    before: Facts,
    wrong: Vec<String>,
}

impl Judge {
    fn new(before: Facts) -> Self {
        Self { before, wrong: Vec::new() }
    }

    fn fine(&mut self, args: &[&str], when: &str) {
        let output = raum(args, None);
        if !output.status.success() {
            self.wrong.push(format!("{when}: then raum {args:?}: {}", said(&output)));
        }
    }

    fn same(&mut self, wanted: &Facts, now: &Facts, when: &str) {
        let lines = differences(wanted, now);
        if !lines.is_empty() {
            self.wrong.push(format!("{when}: the host differs\n{}", lines.join("\n")));
        }
    }

    /// After `down`. What is left is told once.
    fn clean(&mut self, when: &str) {
        self.fine(&["down", "all"], when);
        let now = snapshot::take();
        self.same(&self.before.clone(), &now, when);
        self.before = now;
    }

    fn end(self) {
        assert!(self.wrong.is_empty(), "{} times:\n{}", self.wrong.len(), self.wrong.join("\n\n"));
    }
}

/// The command dies at that point, or, where the threads' order left it out, ends well.
fn killed(verb: Verb, point: usize, when: &str, judge: &mut Judge) {
    verb.prepare();
    let output = raum(&verb.args(), Some(&format!("kill@{point}")));
    if output.status.signal() != Some(9) && !output.status.success() {
        judge.wrong.push(format!("{when}: {}", said(&output)));
    }
}

#[test]
fn killed_anywhere_down_leaves_nothing() {
    sandbox::run(|| {
        let mut judge = Judge::new(begin());
        for (number, verb) in VERBS.into_iter().enumerate() {
            let points = verb.points();
            let tried = sample(points.len(), 12, number);
            for point in &tried {
                let when = format!("{verb:?} killed at {}", points[*point]);
                killed(verb, *point, &when, &mut judge);
                judge.clean(&when);
            }
            println!("{verb:?}: killed at {} of {} points", tried.len(), points.len());
        }
        judge.end();
    });
}

#[test]
fn killed_anywhere_up_reaches_the_wanted_state() {
    sandbox::run(|| {
        let mut judge = Judge::new(begin());
        fine(&["up", NEW], "undisturbed");
        let wanted = whole();
        judge.clean("undisturbed");
        for (number, verb) in VERBS.into_iter().enumerate() {
            let points = verb.points();
            let tried = sample(points.len(), 12, number + 1);
            for point in &tried {
                let when = format!("{verb:?} killed at {}", points[*point]);
                killed(verb, *point, &when, &mut judge);
                judge.fine(&["up", NEW], &when);
                judge.fine(&["status", "all"], &when);
                judge.same(&wanted, &whole(), &when);
                judge.clean(&when);
            }
            println!("{verb:?}: killed at {} of {} points", tried.len(), points.len());
        }
        judge.end();
    });
}

const FAULTS: [&str; 9] = ["EBUSY", "ENOMEM", "ENOSPC", "EEXIST", "ENODEV", "EPERM", "interrupted", "short", "lost"];

#[test]
fn refused_anywhere_it_is_done_or_undone_or_what_is_left_is_listed() {
    sandbox::run(|| {
        let mut judge = Judge::new(begin());
        for verb in VERBS {
            let points = verb.points();
            let (mut tried, mut statuses) = (0, [0; 4]);
            for (number, fault) in FAULTS.into_iter().enumerate() {
                for point in sample(points.len(), 3, number) {
                    let when = format!("{verb:?} with {fault} at {}", points[point]);
                    verb.prepare();
                    let at_first = verb.look();
                    let output = raum(&verb.args(), Some(&format!("{fault}@{point}")));
                    let when = format!("{when}: {}", said(&output));
                    tried += 1;
                    match (output.status.code(), verb) {
                        (Some(0), Verb::Down) => judge.same(&judge.before.clone(), &snapshot::take(), &when),
                        (Some(0), _) => judge.fine(&["status", "all"], &when),
                        (Some(1), Verb::Down) if when.contains("error: ") => {}
                        // a lock that was not got must stay where it is: another one may have it
                        (Some(1), _) if when.contains("cannot lock /run/raum: ") => {}
                        (Some(1), _) => judge.same(&at_first, &verb.look(), &when),
                        (Some(3), _) if when.contains("these are still to be done:\n  ") => {}
                        _ => judge.wrong.push(when.clone()),
                    }
                    let code = output.status.code().and_then(|code| usize::try_from(code).ok()).expect("a status");
                    statuses[code] += 1;
                    judge.clean(&when);
                }
            }
            println!("{verb:?}: {tried} faults; statuses 0, 1, 3: {}, {}, {}", statuses[0], statuses[1], statuses[3]);
        }
        judge.end();
    });
}
