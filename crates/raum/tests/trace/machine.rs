//! Limits that all namespaces of the machine share, reached on purpose. They are set in its first namespace, and only where
//! `RAUM_OWN_MACHINE` says that the machine is the tests' own: a virtual one, which nobody else uses. Each such test runs while
//! no other does, and puts back what was set, also when it fails.

use std::fs::File;
use std::process::{Command, Output};
use std::sync::{PoisonError, RwLock};

use raum_core::trace::Code;
use raum_kernel::message::Requests;
use raum_kernel::namespace::in_namespace;
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};

use super::faults::{connect, index, listen, open, sysctl};
use super::{BOTH, Row, sandboxed};

const OWN_MACHINE: &str = "RAUM_OWN_MACHINE";
const TRACKED: &str = "net/netfilter/nf_conntrack_max";
const NEIGHBOURS: [&str; 2] = ["net/ipv4/neigh/default/gc_thresh3", "net/ipv6/neigh/default/gc_thresh3"];

// include/uapi/linux/rtnetlink.h, neighbour.h
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_REACHABLE: u8 = 2;
const CREATE: u16 = 0x400;

/// Who needs the machine has it alone.
static TURN: RwLock<()> = RwLock::new(());

pub fn is_own() -> bool {
    std::env::var_os(OWN_MACHINE).is_some()
}

/// Runs a test that touches nothing but its sandbox.
pub fn beside_others<F: FnOnce()>(test: F) {
    // the sandbox is another process, started by one that has the turn already
    let _turn = (!sandbox::inside()).then(|| TURN.read().unwrap_or_else(PoisonError::into_inner));
    sandbox::run(test);
}

/// Runs a test that sets what the whole machine shares, if it may.
fn alone<F: FnOnce()>(test: F) {
    if !is_own() {
        return;
    }
    if sandbox::inside() {
        return sandbox::run(test);
    }
    let _turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
    let _kept = Kept::now();
    sandbox::run(test);
}

/// Does something in the first namespace, which alone has the limits of all.
fn in_the_first<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let first = File::open("/proc/1/ns/net").expect("the first namespace: who has the machine is root");
    in_namespace(first, act).expect("inside")
}

fn limit(key: &str, value: &str) {
    let path = format!("/proc/sys/{key}");
    in_the_first(|| std::fs::write(&path, value)).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// A command that a cause names: limits of the machine are those of its first namespace.
pub fn shell(command: &str) -> Output {
    let run = || Command::new("sh").args(["-c", command]).output().expect("a shell");
    let shared = [NEIGHBOURS[0], NEIGHBOURS[1], TRACKED].map(|key| key.replace('/', "."));
    let of_machine = is_own() && shared.iter().any(|key| command.starts_with(&format!("sysctl -w {key}=")));
    if of_machine { in_the_first(run) } else { run() }
}

/// The limits as they were, which come back at the end.
struct Kept(Vec<(&'static str, String)>);

impl Kept {
    fn now() -> Self {
        // the limit of tracked connections comes with a module
        let read = |key| Some((key, std::fs::read_to_string(format!("/proc/sys/{key}")).ok()?));
        Self(in_the_first(|| [NEIGHBOURS[0], NEIGHBOURS[1], TRACKED].into_iter().filter_map(read).collect()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for (key, value) in &self.0 {
            limit(key, value.trim());
        }
    }
}

/// `struct ndmsg`: family, index, state.
fn ndmsg(v6: bool, index: u32, state: u8) -> [u8; 12] {
    let [a, b, c, d] = index.to_ne_bytes();
    [if v6 { 10 } else { 2 }, 0, 0, 0, a, b, c, d, state, 0, 0, 0]
}

/// Forgets all neighbours of a namespace.
fn forget(place: &str, v6: bool) {
    let mut socket = in_namespace(open(place), || Socket::open(Protocol::Route)).expect("inside").expect("a socket");
    let (mut list, mut gone) = (Requests::new(), Requests::new());
    list.request(RTM_GETNEIGH, 0, &ndmsg(v6, 0, 0));
    for answer in socket.dump(&mut list).expect("neighbours").answers() {
        let Some((header, attributes)) = answer.split(12) else { continue };
        if let Some(to) = attributes.find(NDA_DST) {
            gone.request(RTM_DELNEIGH, 0, header).attribute(NDA_DST, to.bytes);
        }
    }
    // some go by themselves meanwhile
    drop(socket.run(&mut gone).expect("a socket"));
}

/// Fills the table of neighbours with such as the kernel may not let go of for a new one: those that it takes for reachable
/// are held by their timer (`neigh_forced_gc`, `neigh_add_timer`, net/core/neighbour.c).
fn fill_neighbours(v6: bool) {
    let thief = "street-thief";
    let family = ["ipv4", "ipv6"][usize::from(v6)];
    sysctl(thief, &format!("net/{family}/neigh/eth0/base_reachable_time_ms"), "3600000");
    for place in ["host", "street-router", "street-laptop", "street-server", thief] {
        forget(place, v6);
    }
    limit(NEIGHBOURS[usize::from(v6)], "16");
    let eth0 = index(thief, "eth0");
    let mut socket = in_namespace(open(thief), || Socket::open(Protocol::Route)).expect("inside").expect("a socket");
    for number in 0..u8::MAX {
        let mut one = Requests::new();
        let octets = if v6 { [&[0xfd; 15][..], &[number]].concat() } else { vec![10, 0, 0, number] };
        one.request(RTM_NEWNEIGH, CREATE, &ndmsg(v6, eth0, NUD_REACHABLE))
            .attribute(NDA_DST, &octets)
            .attribute(NDA_LLADDR, &[2, 0, 0, 0, 1, number]);
        match socket.run_one(&mut one) {
            Ok(()) => {}
            Err(error) if error.code == "ENOBUFS" => return,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the table is not full");
}

/// Connections that are answered, which the kernel does not let go of for a new one (`early_drop`,
/// net/netfilter/nf_conntrack_core.c); as many as there may be.
fn fill_connections(v6: bool) {
    listen("street-server", "[::]:9000");
    for _ in 0..4 {
        connect("street-laptop", ["203.0.113.1:9000", "[2001:db8::1]:9000"][usize::from(v6)]);
    }
    limit(TRACKED, "4");
}

impl Row {
    fn test_alone(&self) {
        for v6 in self.families {
            sandboxed(|| {
                let _kept = Kept::now();
                self.one(*v6);
            });
        }
    }
}

#[test]
fn neighbour_table_full() {
    let row = Row {
        fault: fill_neighbours,
        families: BOTH,
        cause: Code::NeighbourTableFull,
        says: "16 allowed",
        ..Row::STREET
    };
    alone(|| row.test_alone());
}

#[test]
fn conntrack_full() {
    let row =
        Row { fault: fill_connections, families: BOTH, cause: Code::ConntrackFull, says: "is full", ..Row::STREET };
    alone(|| row.test_alone());
}
