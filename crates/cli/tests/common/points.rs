//! Every point of `up`, a changing `up` and `down` of a lab that uses everything: where the verb begins, how many points it has,
//! which of them are tried, and what must be true afterwards. The snapshots are the kernel's own words.
//!
//! Of the points an ordinary run takes a sample, another one for each fault; with `RAUM_ALL_POINTS=1` all, with
//! `RAUM_ALL_POINTS=2/8` every eighth from the third on.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::snapshot::{self, Facts};
use super::world::world;
use super::{RAUM, differences};

const LAB: &str = r#"
lab: all
switches:
  lan: { subnet: [10.20.0.0/24, "fd20::/64"], gateway: host, nat: true }
  guests: { subnet: [10.21.0.0/24, "fd21::/64"], gateway: host, isolated: true, nat: { out: up0, source: 198.51.100.2 } }
  home: { subnet: [192.168.77.0/24, "fd77:1::/64"], gateway: router, mtu: 1400 }
  a: { in: rack, subnet: 10.23.0.0/24 }
  b: { in: rack, isolated: true }
namespaces:
  host: { routes: ["10.42.0.0/16 via 10.30.0.2"] }
  web: { on: lan 10.20.0.10, publish: ["8080:80", "5353:53/udp", "3868:3868/sctp", "198.51.100.2:5000-5010:5000-5010"] }
  db: { on: lan, filter: { default: deny, allow: ["front -> 5432/tcp", "any -> icmp"], deny: [guest1], outgoing: deny } }
  "guest[1-2]": { on: guests }
  printer: { on: guests, publish: ["9100"] }
  router:
    on: home
    forwarding: true
    nat: { out: wan, like: full-cone }
    forward: ["wan 2222 -> laptop:22", "wan 5300/udp -> laptop:53"]
    filter: { default: allow, deny: ["10.66.0.0/16 -> any 25"] }
  laptop: { on: home, routes: ["blackhole 10.66.0.0/16", "fd66::/64 via fd77:1::1 metric 100"] }
  office: { on: "home 192.168.77.9 fd77:1::9", nat: { out: out, source: 203.0.113.22 } }
  server: { }
  rack:
  one: { on: { switch: a, mac: "02:00:5e:10:00:01", interface: uplink } }
  two: { on: [b 10.23.0.77/24, { switch: lan, down: true }] }
links:
  - ends: ["router:wan 203.0.113.2/30 fd77:2::2/64", "server 203.0.113.1/30 fd77:2::1/64"]
  - ends: ["office:out 203.0.113.22/30", { node: server, address: 203.0.113.21/30, mtu: 1300 }]
  - ends: ["host:mgmt 10.30.0.1/30", "server:mgmt 10.30.0.2/30"]
  - ends: [a, b]
groups: { front: [web, "guest[1-2]"] }
filter: { default: allow, deny: ["guests -> front 22"] }
expect: [laptop reaches server]
"#;

/// The same lab later: something of everything is new, gone, and changed.
fn changed() -> String {
    let mut lab = LAB.to_owned();
    for (old, new) in [
        ("10.20.0.10, publish: [\"8080:80\"", "10.20.0.11, publish: [\"8081:80\""),
        ("3868:3868/sctp", "3869:3868/sctp"),
        ("5000-5010:5000-5010", "5000-5009:5000-5009"),
        ("  db: { on: lan", "  cache: { on: lan"),
        ("5432/tcp", "5433/tcp"),
        ("guest1], outgoing: deny", "guest2]"),
        ("isolated: true, nat: { out: up0, source: 198.51.100.2 }", "nat: { out: up0 }"),
        ("b: { in: rack, isolated: true }", "b: { in: rack }"),
        ("like: full-cone", "like: home"),
        ("2222", "2223"),
        ("10.66.0.0/16", "10.67.0.0/16"),
        ("{ out: out, source: 203.0.113.22 }", "{ out: out, like: cloud }"),
        ("metric 100", "metric 200"),
        ("10.42.0.0/16", "10.43.0.0/16"),
        ("10.30.0.1/30", "10.30.0.1/30 fd30::1/64"),
        ("  laptop: { on: home,", "  laptop: { on: { switch: home, mtu: 1300 },"),
        ("02:00:5e:10:00:01", "02:00:5e:10:00:02"),
        (", { switch: lan, down: true }", ""),
        ("one: { on: { switch: a,", "one: { on: { switch: a, down: true,"),
        ("mtu: 1300 }]", "mtu: 1350 }]"),
        ("guests -> front 22", "guests -> front 23"),
        ("laptop reaches server", "server cannot reach laptop"),
    ] {
        assert!(lab.contains(old), "{old}");
        lab = lab.replace(old, new);
    }
    lab
}

pub const OLD: &str = "/run/old.test";
pub const NEW: &str = "/run/new.test";

/// Runs the command, with a fault or without.
pub fn raum(args: &[&str], fault: Option<&str>) -> Output {
    let mut command = Command::new(RAUM);
    command.args(args);
    if let Some(fault) = fault {
        command.env("RAUM_FAULT", fault);
    }
    command.output().expect("raum")
}

pub fn fine(args: &[&str], when: &str) {
    let output = raum(args, None);
    assert!(output.status.success(), "{when}: raum {args:?}: {}", said(&output));
}

pub fn said(output: &Output) -> String {
    format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr))
}

/// What is done when the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Up,
    Change,
    Down,
}

impl Verb {
    /// From a host without the lab to where the verb begins.
    pub fn prepare(self) {
        if self != Verb::Up {
            fine(&["up", OLD], "to begin with");
        }
    }

    pub fn args(self) -> [&'static str; 3] {
        match self {
            Verb::Up => ["up", "--replace", OLD],
            Verb::Change => ["up", "--replace", NEW],
            Verb::Down => ["down", "--", "all"],
        }
    }

    /// The host where the verb begins: of a lab that is up some facts change by themselves.
    pub fn look(self) -> Facts {
        if self == Verb::Up {
            return snapshot::take();
        }
        let mut facts = whole();
        snapshot::files(Path::new("/run"), &mut facts);
        facts
    }

    /// What each point is, in order.
    pub fn points(self) -> Vec<String> {
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
pub fn whole() -> Facts {
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
            // a bridge hears that a port has lost its carrier up to a second later (net/core/link_watch.c)
            if let Some(port) = interface.port.as_mut().filter(|_| !interface.carrier) {
                port.state = "disabled".into();
            }
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
pub fn begin() -> Facts {
    world();
    snapshot::wait_for_addresses();
    fs::write(OLD, LAB).expect("a lab file");
    fs::write(NEW, changed()).expect("a lab file");
    for _ in 0..2 {
        fine(&["up", "--replace", OLD], "the first time");
        fine(&["up", "--replace", NEW], "the first time");
        fine(&["down", "all"], "the first time");
    }
    snapshot::take()
}

/// Which points to try: all, or so many, spread out and beginning elsewhere for each fault.
pub fn sample(points: usize, wanted: usize, fault: usize) -> Vec<usize> {
    if let Ok(share) = std::env::var("RAUM_ALL_POINTS") {
        // most of the time is waiting for the kernel: shares can run side by side
        let share = share.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        let (first, step) = share.unwrap_or((0, 1));
        return (first..points).step_by(step).collect();
    }
    let step = points.div_ceil(wanted).max(1);
    (fault * 5 % step..points).step_by(step).collect()
}

pub const VERBS: [Verb; 3] = [Verb::Up, Verb::Change, Verb::Down];

/// All that was wrong, at whatever point; told at the end.
pub struct Judge {
    pub before: Facts,
    pub wrong: Vec<String>,
}

impl Judge {
    pub fn new(before: Facts) -> Self {
        Self { before, wrong: Vec::new() }
    }

    pub fn fine(&mut self, args: &[&str], when: &str) {
        let output = raum(args, None);
        if !output.status.success() {
            self.wrong.push(format!("{when}: then raum {args:?}: {}", said(&output)));
        }
    }

    pub fn same(&mut self, wanted: &Facts, now: &Facts, when: &str) {
        let lines = differences(wanted, now);
        if !lines.is_empty() {
            self.wrong.push(format!("{when}: the host differs\n{}", lines.join("\n")));
        }
    }

    /// After `down`. What is left is told once.
    pub fn clean(&mut self, when: &str) {
        self.fine(&["down", "all"], when);
        let now = snapshot::take();
        self.same(&self.before.clone(), &now, when);
        self.before = now;
    }

    pub fn end(self) {
        assert!(self.wrong.is_empty(), "{} times:\n{}", self.wrong.len(), self.wrong.join("\n\n"));
    }
}
