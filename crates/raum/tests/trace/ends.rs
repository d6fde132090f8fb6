//! Other ends than a cable's: a program that holds a tap, an interface on top of another one, a namespace out of sight.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use raum_core::trace::{Code, Reply};
use raum_kernel::message::{Requests, u32_at};
use raum_kernel::namespace::{fresh, in_namespace};
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};

use super::faults::{add_address, index, link, open, set, tell};
use super::machine::beside_others;
use super::{BOTH, ROOMS, Row, ask, up};

/// The rooms of a lab, and what each gets beside its cable.
const ENDS: [(&str, u8); 2] = [("rooms-red", 1), ("rooms-blue", 2)];
/// The addresses there of the second one.
const THERE: [&str; 2] = ["10.9.0.2", "fd09::2"];

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const CREATE: u16 = 0x400;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_PROTO_DOWN: u16 = 39;

fn give_addresses(name: &str) {
    for (place, number) in ENDS {
        set(place, name, true);
        add_address(place, name, &format!("10.9.0.{number}/24"));
        add_address(place, name, &format!("fd09::{number}/64"));
    }
}

/// A program that is a cable: it has a tap in both rooms, and writes to the one what it reads from the other.
struct Program {
    ends: &'static AtomicBool,
    thread: JoinHandle<()>,
}

static PROGRAM: Mutex<Option<Program>> = Mutex::new(None);

fn program_begins() {
    let taps = ENDS
        .map(|(place, _)| in_namespace(open(place), || sandbox::tap(&link("tap0"))).expect("inside").expect("a tap"));
    let ends: &AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let thread = std::thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            let moved = carry(&taps[0], &taps[1]) | carry(&taps[1], &taps[0]);
            if !moved {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    *PROGRAM.lock().expect("a lock") = Some(Program { ends, thread });
    give_addresses("tap0");
}

/// One frame, if there is one.
fn carry(mut from: &File, mut to: &File) -> bool {
    let mut frame = [0; 2048];
    match from.read(&mut frame) {
        // an interface that is down takes none, and that is as with any cable
        Ok(length) => drop(to.write(&frame[..length])),
        // there is nothing, or the interface is down
        Err(_) => return false,
    }
    true
}

/// The program ends. Its taps stay, without a carrier.
fn program_ends() {
    let program = PROGRAM.lock().expect("a lock").take().expect("a program");
    program.ends.store(true, Ordering::Relaxed);
    program.thread.join().expect("its end");
}

/// Where there are taps.
fn if_taps() -> &'static [bool] {
    if OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok() { BOTH } else { &[] }
}

fn macvlan(requests: &mut Requests, lower: Option<u32>) {
    let mut request = requests.request(RTM_NEWLINK, CREATE, &[0; 16]);
    request.attribute(IFLA_IFNAME, b"mv0\0");
    if let Some(lower) = lower {
        request.u32(IFLA_LINK, lower);
    }
    request.nest(IFLA_LINKINFO, |info| {
        info.attribute(IFLA_INFO_KIND, b"macvlan\0");
    });
}

/// Both rooms get a macvlan on top of their cable's end.
fn stack() {
    for (place, _) in ENDS {
        let lower = index(place, "eth0");
        tell(place, |requests| macvlan(requests, Some(lower)));
    }
    give_addresses("mv0");
}

/// Where the kernel has macvlans: else it does not even ask on top of what.
fn if_macvlans() -> &'static [bool] {
    let mut requests = Requests::new();
    macvlan(&mut requests, None);
    let refused = Socket::open(Protocol::Route).expect("a socket").run_one(&mut requests);
    if refused.is_err_and(|error| error.code == "EOPNOTSUPP") { &[] } else { BOTH }
}

/// An interface is to do as if it had no carrier.
fn protodown(place: &str, name: &str) {
    let index = index(place, name);
    tell(place, |requests| {
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        requests.request(RTM_NEWLINK, 0, &header).u8(IFLA_PROTO_DOWN, 1);
    });
}

/// What holds a namespace that nothing else leads into.
static HIDDEN: Mutex<Option<Socket>> = Mutex::new(None);

/// Moves the blue room's end of the cable into a namespace without a name, a process or a descriptor: a socket alone keeps it.
fn out_of_sight() {
    let hidden = fresh().expect("a namespace");
    let mut inside = in_namespace(&hidden, || Socket::open(Protocol::Route)).expect("inside").expect("a socket");
    let index = index("rooms-blue", "eth0");
    tell("rooms-blue", |requests| {
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        let fd = u32::try_from(hidden.as_raw_fd()).expect("a descriptor");
        requests.request(RTM_NEWLINK, 0, &header).u32(IFLA_NET_NS_FD, fd);
    });
    drop(hidden);
    let mut up = Requests::new();
    let mut header = [0; 16];
    // IFF_UP, in the flags and their mask
    header[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    header[12..16].copy_from_slice(&1_u32.to_ne_bytes());
    up.request(RTM_NEWLINK, 0, &header).attribute(IFLA_IFNAME, b"eth0\0");
    inside.run_one(&mut up).expect("up");
    *HIDDEN.lock().expect("a lock") = Some(inside);
}

rows! {
    no_carrier_of_a_tap: Row { to: THERE, before: |_| program_begins(), fault: |_| program_ends(), families: if_taps(),
        cause: Code::NoCarrier, says: "tap0 in rooms-red has no carrier", ..Row::ROOMS },
    no_carrier_on_top: Row { to: THERE, before: |_| stack(), fault: |_| protodown("rooms-red", "mv0"),
        families: if_macvlans(), cause: Code::NoCarrier, says: "mv0 in rooms-red has no carrier", ..Row::ROOMS },
    interface_down_below: Row { to: THERE, before: |_| stack(), fault: |_| set("rooms-blue", "eth0", false),
        families: if_macvlans(), cause: Code::InterfaceDown, says: "eth0 in rooms-blue is down", ..Row::ROOMS },
    peer_out_of_sight: Row { fault: |_| out_of_sight(), cause: Code::PeerMissing, says: "nowhere that can be seen",
        ..Row::ROOMS },
}

#[test]
fn who_is_out_of_sight_may_answer_all_the_same() {
    beside_others(|| {
        up(ROOMS);
        out_of_sight();
        let mut hidden = HIDDEN.lock().expect("a lock");
        let inside = hidden.as_mut().expect("a namespace");
        for (to, v6) in [("10.0.0.130", false), ("fd00::130", true)] {
            // struct ifaddrmsg: family, prefix, IFA_F_NODAD, scope, the index that the link took along
            let [a, b, c, d] = index_inside(inside).to_ne_bytes();
            let (header, octets) = match to.parse().expect("an address") {
                IpAddr::V4(ip) => ([2, 24, 0, 0, a, b, c, d], ip.octets().to_vec()),
                IpAddr::V6(ip) => ([10, 64, 2, 0, a, b, c, d], ip.octets().to_vec()),
            };
            let mut add = Requests::new();
            add.request(RTM_NEWADDR, CREATE, &header).attribute(IFA_LOCAL, &octets).attribute(IFA_ADDRESS, &octets);
            inside.run_one(&mut add).expect("an address");
            let delivered = (0..5).any(|_| {
                let report = ask("red", to, v6);
                report.delivered && report.probe.reply == Reply::Answered
            });
            assert!(delivered, "{:#?}", ask("red", to, v6));
        }
    });
}

fn index_inside(socket: &mut Socket) -> u32 {
    let mut list = Requests::new();
    list.request(RTM_GETLINK, 0, &[0; 16]).attribute(IFLA_IFNAME, b"eth0\0");
    let (reply, _) = socket.ask(&mut list).expect("the link");
    let index = reply.answers().find_map(|answer| u32_at(answer.split(16)?.0, 4));
    index.expect("its index")
}
