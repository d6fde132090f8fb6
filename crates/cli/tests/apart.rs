//! What is kept apart, with real packets in both families: labs from each other, and everybody's localhost from all others. And
//! how labs are joined.

mod common;

use std::net::TcpStream;
use std::time::Duration;

use common::traffic::{
    IMPATIENCE, PATIENCE, address, bridged, datagram, heard, is_closed, listen, raum, sent, tcp, udp, up, within,
};
use common::world::{done, route, world};
use raum_core::name::{IfName, Mac, NsId};
use raum_core::plan::{LinkChange, Op, VethEnd};
use raum_core::state::Sysctl;
use raum_kernel::{Linux, sandbox};

const LEFT: &str = "
lab: left
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"], gateway: host, nat: true }
namespaces:
  a: { on: lan 10.10.0.10 fd10:10::10, publish: [\"8080:80\", \"5353:53/udp\"] }
";

const RIGHT: &str = "
lab: right
switches:
  lan: { subnet: [10.20.0.0/24, \"fd10:20::/64\"], gateway: host, nat: true }
  other: { subnet: [10.21.0.0/24, \"fd10:21::/64\"], gateway: host }
namespaces:
  b: { on: lan 10.20.0.10 fd10:20::10 }
  c: { on: other 10.21.0.10 fd10:21::10 }
";

fn is_settled(lab: &str) {
    let (fine, said) = raum(&["status", lab]);
    assert!(fine, "{said}");
}

fn ifname(name: &str) -> IfName {
    IfName::new(name).expect("a name")
}

fn ns(name: &str) -> NsId {
    name.parse().expect("a name")
}

fn sysctl(place: &str, key: &str, value: &str) -> Op {
    Op::SetSysctl { ns: ns(place), key: Sysctl::new(key).expect("a key"), value: value.to_owned() }
}

/// What gets from one namespace to the addresses of another in this time: connections, datagrams, echoes; IPv4 and IPv6.
fn passing(from: &str, to: &str, addresses: [&str; 2], wait: Duration) -> Vec<String> {
    let mut passed = Vec::new();
    for (bracketed, any) in addresses.into_iter().zip(["0.0.0.0", "[::]"]) {
        let at = format!("{bracketed}:81");
        let server = listen(to, &format!("{any}:81"));
        if within(from, || TcpStream::connect_timeout(&address(&at), wait)).is_ok() {
            passed.push(format!("TCP {from} to {bracketed}"));
        }
        drop(server);
        let (client, receiver) = (udp(Some(from), &format!("{any}:0")), udp(Some(to), &format!("{any}:81")));
        if datagram(&client, &at, &receiver, wait).is_some() {
            passed.push(format!("UDP {from} to {bracketed}"));
        }
        let bare = bracketed.trim_matches(['[', ']']);
        if raum(&["ping", "-c", "1", "-W", &wait.as_millis().to_string(), from, bare]).0 {
            passed.push(format!("ICMP {from} to {bracketed}"));
        }
    }
    passed
}

/// All of it passes; a link that has just come up takes its time, and on a loaded machine everything does.
fn assert_passes(from: &str, to: &str, addresses: [&str; 2]) {
    let mut passed = Vec::new();
    for _ in 0..5 {
        passed = passing(from, to, addresses, PATIENCE);
        if passed.len() == 6 {
            return;
        }
    }
    panic!("only {passed:?} of {from} to {to}");
}

const A: [&str; 2] = ["10.10.0.10", "[fd10:10::10]"];
const B: [&str; 2] = ["10.20.0.10", "[fd10:20::10]"];
const C: [&str; 2] = ["10.21.0.10", "[fd10:21::10]"];

#[test]
fn labs_are_separate() {
    sandbox::run(|| {
        world();
        up(LEFT);
        up(RIGHT);
        // within a lab the host passes packets on, and out to the world
        assert_passes("right-b", "right-c", C);
        // whoever else switches forwarding on, and whatever way a neighbour knows
        let mut host = Linux::new().expect("the kernel");
        done(
            &mut host,
            &[sysctl("host", "net/ipv4/conf/all/forwarding", "1"), sysctl("host", "net/ipv6/conf/all/forwarding", "1")],
        );
        let ways = [("10.10.0.0/24", "198.51.100.2"), ("10.20.0.0/24", "198.51.100.2"), ("fd10::/16", "fd51::2")];
        done(&mut host, &ways.map(|(to, via)| route("world-net", "eth0", to, via)));
        for (from, to, addresses) in [
            ("left-a", "right-b", B),
            ("left-a", "right-c", C),
            ("right-b", "left-a", A),
            ("right-c", "left-a", A),
            ("world-net", "left-a", A),
            ("world-net", "right-b", B),
        ] {
            assert_eq!(passing(from, to, addresses, IMPATIENCE), Vec::<String>::new());
        }
    });
}

#[test]
fn labs_are_joined_by_what_they_publish() {
    sandbox::run(|| {
        world();
        up(LEFT);
        up(RIGHT);
        let server = listen("left-a", "[::]:80");
        for at in ["10.20.0.1:8080", "[fd10:20::1]:8080", "198.51.100.2:8080", "[fd51::2]:8080"] {
            assert_eq!(tcp(Some("right-b"), at, &server).map(|_| ()), Ok(()), "{at}");
            // who has no way out has none to there either
            assert!(is_closed(Some("right-c"), &at.replace("20", "21")), "{at}");
        }
        for (any, at) in [("0.0.0.0", "10.20.0.1:5353"), ("[::]", "[fd10:20::1]:5353")] {
            let receiver = udp(Some("left-a"), &format!("{any}:53"));
            let client = udp(Some("right-b"), &format!("{any}:0"));
            assert!(heard(&client, at, &receiver).is_some(), "{at}");
            // and nothing beside it
            assert_eq!(datagram(&client, &at.replace("5353", "5354"), &receiver, IMPATIENCE), None);
        }
    });
}

/// A veth pair of nobody's between namespaces of two labs.
fn wire() {
    let end = |place: &str, last| VethEnd {
        ns: ns(place),
        name: ifname("between"),
        mac: Mac([2, 0, 0, 0, 9, last]),
        mtu: 1500,
        master: None,
        up: last == 1,
    };
    let address = |place: &str, address: &str| Op::AddAddress {
        ns: ns(place),
        link: ifname("between"),
        address: address.parse().expect("an address"),
    };
    let set = LinkChange { up: Some(true), ..LinkChange::default() };
    let mut host = Linux::new().expect("the kernel");
    done(&mut host, &[Op::AddVeth { a: end("left-a", 1), b: end("right-b", 2), group: 0 }]);
    done(
        &mut host,
        &[
            Op::SetLink { ns: ns("right-b"), name: ifname("between"), set },
            address("left-a", "192.0.2.1/30"),
            address("left-a", "fd92::1/64"),
            address("right-b", "192.0.2.2/30"),
            address("right-b", "fd92::2/64"),
        ],
    );
}

#[test]
fn labs_are_joined_by_a_wire_that_is_somebody_elses() {
    sandbox::run(|| {
        world();
        up(LEFT);
        up(RIGHT);
        wire();
        assert_passes("left-a", "right-b", ["192.0.2.2", "[fd92::2]"]);
        assert_passes("right-b", "left-a", ["192.0.2.1", "[fd92::1]"]);
        for lab in [LEFT, RIGHT] {
            up(lab);
        }
        is_settled("left");
        is_settled("right");
        assert_passes("left-a", "right-b", ["192.0.2.2", "[fd92::2]"]);
        // the other ways stay closed
        assert_eq!(passing("left-a", "right-c", C, IMPATIENCE), Vec::<String>::new());
        assert!(raum(&["down", "left"]).0);
        is_settled("right");
    });
}

/// In the namespace 127.0.0.0/8 and ::1 are others': what is sent there leaves by the interface.
fn loopback_leads_out(place: &str, via: [&str; 2]) {
    let own = "127.0.0.1/8".parse().expect("an address");
    let down = LinkChange { up: Some(false), ..LinkChange::default() };
    let mut host = Linux::new().expect("the kernel");
    done(
        &mut host,
        &[
            Op::DelAddress { ns: ns(place), link: ifname("lo"), address: own },
            Op::SetLink { ns: ns(place), name: ifname("lo"), set: down },
            sysctl(place, "net/ipv4/conf/eth0/route_localnet", "1"),
            route(place, "eth0", "127.0.0.0/8", via[0]),
            route(place, "eth0", "::1/128", via[1]),
        ],
    );
    for (any, to) in [("0.0.0.0:0", "127.0.0.1:9"), ("0.0.0.0:0", "127.0.0.2:9"), ("[::]:0", "[::1]:9")] {
        let socket = udp(Some(place), any);
        socket.connect(to).expect("a route");
        assert!(!socket.local_addr().expect("an address").ip().is_loopback(), "{to} does not lead out of {place}");
    }
}

/// To somebody else's localhost: from a member of the lab, of another lab, and from the host's network.
#[test]
fn nobody_reaches_anothers_localhost() {
    sandbox::run(|| localhost_is_ones_own("0"));
}

/// Bridged packets are translated before the kernel looks at where they come from.
#[test]
fn nobody_reaches_anothers_localhost_where_bridged_packets_meet_the_rules() {
    sandbox::run(|| localhost_is_ones_own("1"));
}

fn localhost_is_ones_own(meets: &str) {
    world();
    bridged(meets);
    up(LEFT);
    up(RIGHT);
    let (own4, own6) = (udp(None, "127.0.0.1:7777"), udp(None, "[::1]:7777"));
    let (any4, any6) = (udp(None, "0.0.0.0:7778"), udp(None, "[::]:7779"));
    let published = udp(Some("left-a"), "[::]:53");
    for (place, via) in [
        ("left-a", ["10.10.0.1", "fd10:10::1"]),
        ("right-b", ["10.20.0.1", "fd10:20::1"]),
        ("world-net", ["198.51.100.2", "fd51::2"]),
    ] {
        loopback_leads_out(place, via);
        for (to, at) in [
            ("127.0.0.1:7777", &own4),
            ("127.0.0.2:7778", &any4),
            ("127.0.0.1:5353", &published),
            ("[::1]:7777", &own6),
            ("[::1]:7779", &any6),
            ("[::1]:5353", &published),
        ] {
            let intruder = udp(Some(place), if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" });
            sent(&intruder, to, PATIENCE).unwrap_or_else(|error| panic!("{place} to {to}: {error}"));
            assert_eq!(datagram(&intruder, to, at, IMPATIENCE), None, "{place} to {to}");
        }
    }
}

/// From localhost: nobody sees a client who seems to be on his own machine.
#[test]
fn nobody_is_taken_for_localhost() {
    sandbox::run(|| {
        world();
        up(LEFT);
        up(RIGHT);
        let mut host = Linux::new().expect("the kernel");
        let any = udp(None, "0.0.0.0:7778");
        let published = udp(Some("left-a"), "0.0.0.0:53");
        for (place, host_address) in [("left-a", "10.10.0.1"), ("right-b", "10.20.0.1"), ("world-net", "198.51.100.2")]
        {
            done(&mut host, &[sysctl(place, "net/ipv4/conf/eth0/route_localnet", "1")]);
            if place == "world-net" {
                done(
                    &mut host,
                    &[Op::SetLink {
                        ns: ns(place),
                        name: ifname("lo"),
                        set: LinkChange { up: Some(true), ..LinkChange::default() },
                    }],
                );
            }
            // 127.0.0.1 is an address of the host's own, the others are not
            for source in ["127.0.0.1:0", "127.0.0.2:0", "127.9.9.9:0"] {
                let intruder = udp(Some(place), source);
                for (port, at) in [(7778, &any), (5353, &published)] {
                    let to = format!("{host_address}:{port}");
                    sent(&intruder, &to, PATIENCE).unwrap_or_else(|error| panic!("{place} to {to}: {error}"));
                    assert_eq!(datagram(&intruder, &to, at, IMPATIENCE), None, "{place} as {source} to {to}");
                }
            }
        }
        // the host's own programs, to its labs: never with that source
        for (source, to, at) in
            [("127.0.0.1:0", "10.10.0.10:53", "0.0.0.0:53"), ("[::1]:0", "[fd10:10::10]:54", "[::]:54")]
        {
            let receiver = if at == "0.0.0.0:53" { None } else { Some(udp(Some("left-a"), at)) };
            let seen = datagram(&udp(None, source), to, receiver.as_ref().unwrap_or(&published), IMPATIENCE);
            assert!(seen.is_none_or(|seen| !seen.ip().is_loopback()), "{source}: {seen:?}");
        }
        // and a lab's own, to the host and to another namespace: IPv6 does not even leave
        for (place, to) in [("left-a", "[fd10:10::1]:7779"), ("right-b", "[fd10:21::10]:7779")] {
            let receiver = if place == "left-a" { udp(None, "[::]:7779") } else { udp(Some("right-c"), "[::]:7779") };
            let from = udp(Some(place), "[::1]:0");
            assert!(datagram(&from, to, &receiver, IMPATIENCE).is_none(), "{place} to {to}");
        }
    });
}
