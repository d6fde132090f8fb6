//! Short ways to say operations, and to look at the kernel without raum's own readers.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use raum_core::host::{Host, Outcome, Scope};
use raum_core::lab::link_group;
use raum_core::name::{IfName, LabName, Mac, NsId, NsName};
use raum_core::plan::{LinkChange, Op, VethEnd};
use raum_core::state::{Route, RouteKind, State, Sysctl};
use raum_kernel::Linux;
use raum_kernel::namespace::in_namespace;

pub fn lab() -> LabName {
    LabName::new("shop").unwrap()
}

pub fn group() -> u32 {
    link_group(&lab())
}

pub fn ns(name: &str) -> NsId {
    name.parse().unwrap()
}

pub fn ifname(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

pub fn add_ns(name: &str) -> Op {
    Op::AddNamespace { name: NsName::new(name).unwrap(), lab: lab() }
}

pub fn del_ns(name: &str) -> Op {
    Op::DelNamespace { name: NsName::new(name).unwrap() }
}

pub fn mac(last: u16) -> Mac {
    let [a, b] = last.to_be_bytes();
    Mac([2, 0, 0, 0, a, b])
}

pub fn bridge(place: &str, name: &str) -> Op {
    Op::AddBridge { ns: ns(place), name: ifname(name), mac: mac(0xbbbb), mtu: 1500, group: group() }
}

pub fn end(place: &str, name: &str, last: u16) -> VethEnd {
    VethEnd { ns: ns(place), name: ifname(name), mac: mac(last), mtu: 1500, master: None, up: false }
}

pub fn veth(a: VethEnd, b: VethEnd) -> Op {
    Op::AddVeth { a, b, group: group() }
}

pub fn port(name: &str, bridge: &str, last: u16) -> VethEnd {
    VethEnd { master: Some(ifname(bridge)), up: true, ..end("host", name, last) }
}

pub fn set(place: &str, name: &str, set: LinkChange) -> Op {
    Op::SetLink { ns: ns(place), name: ifname(name), set }
}

pub fn up(place: &str, name: &str) -> Op {
    set(place, name, LinkChange { up: Some(true), ..LinkChange::default() })
}

pub fn address(place: &str, link: &str, address: &str) -> Op {
    Op::AddAddress { ns: ns(place), link: ifname(link), address: address.parse().unwrap() }
}

pub fn del_address(place: &str, link: &str, address: &str) -> Op {
    Op::DelAddress { ns: ns(place), link: ifname(link), address: address.parse().unwrap() }
}

pub fn via(to: &str, via: &str, dev: &str) -> Route {
    Route::unicast(to.parse().unwrap(), Some(via.parse().unwrap()), ifname(dev))
}

pub fn nowhere(kind: RouteKind, to: &str) -> Route {
    let to = to.parse().unwrap();
    Route { to, metric: Route::usual_metric(to), kind, via: None, dev: None }
}

pub fn route(place: &str, route: Route) -> Op {
    Op::SetRoute { ns: ns(place), route }
}

pub fn del_route(place: &str, route: Route) -> Op {
    Op::DelRoute { ns: ns(place), route }
}

pub fn sysctl(place: &str, key: &str, value: &str) -> Op {
    Op::SetSysctl { ns: ns(place), key: Sysctl::new(key).unwrap(), value: value.to_owned() }
}

/// Runs a stage that must do all.
#[track_caller]
pub fn done(linux: &mut Linux, stage: &[Op]) {
    for (op, outcome) in stage.iter().zip(linux.run(stage)) {
        assert_eq!(outcome, Outcome::Done, "{op:?}");
    }
}

/// Runs one operation that must be refused, and says in what words.
#[track_caller]
pub fn refused(linux: &mut Linux, op: Op) -> String {
    match linux.run(std::slice::from_ref(&op)).pop() {
        Some(Outcome::Failed(error)) => error.words(),
        other => panic!("{op:?}: {other:?}"),
    }
}

pub fn scope() -> Scope {
    Scope::of(&lab())
}

pub fn seen(linux: &mut Linux) -> State {
    linux.observe(&scope()).unwrap()
}

/// Does something inside a namespace that has a name.
pub fn inside<T: Send>(name: &str, act: impl FnOnce() -> T + Send) -> T {
    let file = File::open(Path::new("/run/netns").join(name)).unwrap();
    in_namespace(&file, act).unwrap()
}

/// The interfaces that `/proc` knows in the calling thread's namespace.
pub fn interfaces() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// What a program prints, where it is installed.
pub fn judge(program: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program).args(arguments).output().ok()?;
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
