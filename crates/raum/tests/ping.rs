//! Echo requests between real namespaces: `left` - `router` - `right`, each link an IPv4 and an IPv6 network.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raum::ping::{Event, Ping, Summary};
use raum_core::host::{Host, Outcome};
use raum_core::name::{IfName, LabName, Mac, NsId, NsName};
use raum_core::plan::{LinkChange, Op, VethEnd};
use raum_core::state::{Route, RouteKind, Sysctl};
use raum_kernel::{Linux, sandbox};

const NEAR: [&str; 2] = ["10.1.0.1", "fd01::1"];
const FAR: [&str; 2] = ["10.2.0.2", "fd02::2"];

fn ns(name: &str) -> NsId {
    name.parse().expect("a name")
}

fn link(name: &str) -> IfName {
    IfName::new(name).expect("a name")
}

fn via(to: &str, via: &str, dev: &str) -> Route {
    Route::unicast(to.parse().expect("a prefix"), Some(via.parse().expect("an address")), link(dev))
}

fn set(place: &str, name: &str, up: bool) -> Op {
    Op::SetLink { ns: ns(place), name: link(name), set: LinkChange { up: Some(up), ..LinkChange::default() } }
}

fn address(place: &str, name: &str, address: &str) -> Op {
    Op::AddAddress { ns: ns(place), link: link(name), address: address.parse().expect("an address") }
}

fn end(place: &str, name: &str, last: u8) -> VethEnd {
    let mac = Mac([2, 0, 0, 0, 0, last]);
    VethEnd { ns: ns(place), name: link(name), mac, mtu: 1500, master: None, up: false }
}

#[track_caller]
fn done(linux: &mut Linux, stage: &[Op]) {
    for (op, outcome) in stage.iter().zip(linux.run(stage)) {
        assert_eq!(outcome, Outcome::Done, "{op:?}");
    }
}

/// Runs a test with the three namespaces.
fn in_a_lab(test: impl FnOnce(&mut Linux)) {
    let mut linux = Linux::new().expect("the kernel");
    let lab = LabName::new("pings").expect("a name");
    let add = |name: &str| Op::AddNamespace { name: NsName::new(name).expect("a name"), lab: lab.clone() };
    let veth = |a, b| Op::AddVeth { a, b, group: 7 };
    let places = ["left", "router", "right"];
    done(&mut linux, &places.map(add));
    // a router asks for neighbours from its link-local address, which is otherwise checked for duplicates for two seconds
    let no_waiting = |place| {
        let key = Sysctl::new("net/ipv6/conf/default/accept_dad").expect("a key");
        Op::SetSysctl { ns: ns(place), key, value: "0".to_owned() }
    };
    done(&mut linux, &places.map(no_waiting));
    done(
        &mut linux,
        &[
            veth(end("left", "eth0", 1), end("router", "one", 2)),
            veth(end("router", "two", 3), end("right", "eth0", 4)),
        ],
    );
    let mut inside = Vec::new();
    for (place, name, addresses) in [
        ("left", "eth0", ["10.1.0.2/24", "fd01::2/64"]),
        ("router", "one", ["10.1.0.1/24", "fd01::1/64"]),
        ("router", "two", ["10.2.0.1/24", "fd02::1/64"]),
        ("right", "eth0", ["10.2.0.2/24", "fd02::2/64"]),
    ] {
        inside.extend([set(place, "lo", true), set(place, name, true)]);
        inside.extend(addresses.map(|text| address(place, name, text)));
    }
    for (place, gateways) in [("left", NEAR), ("right", ["10.2.0.1", "fd02::1"])] {
        for (to, gateway) in ["0.0.0.0/0", "::/0"].into_iter().zip(gateways) {
            inside.push(Op::SetRoute { ns: ns(place), route: via(to, gateway, "eth0") });
        }
    }
    for key in ["net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding"] {
        let key = Sysctl::new(key).expect("a key");
        inside.push(Op::SetSysctl { ns: ns("router"), key, value: "1".to_owned() });
    }
    done(&mut linux, &inside);
    test(&mut linux);
}

fn ping(to: &str) -> Ping {
    Ping {
        to: to.parse().expect("an address"),
        count: Some(3),
        interval: Duration::from_millis(1),
        timeout: Duration::from_secs(20),
        size: 56,
        ttl: None,
    }
}

#[track_caller]
fn run(ping: &Ping) -> (Summary, Vec<Event>) {
    let mut events = Vec::new();
    let summary = ping.run(&ns("left"), &AtomicBool::new(false), &mut |event| events.push(event));
    (summary.expect("a run"), events)
}

/// What each event says, without times.
#[track_caller]
fn told(ping: &Ping) -> Vec<String> {
    let words = |event| match event {
        Event::Reply { seq, from, .. } => format!("{seq} {from}"),
        Event::Lost { seq } => format!("{seq} lost"),
        Event::Unreachable { seq, from: Some(from), why } => format!("{seq} {from}: {why}"),
        Event::Unreachable { seq, from: None, why } => format!("{seq} {why}"),
        other => panic!("{other:?}"),
    };
    run(ping).1.into_iter().map(words).collect()
}

#[test]
fn replies_come_from_near_and_far_and_from_oneself() {
    sandbox::run(|| {
        in_a_lab(|_| {
            for to in NEAR.into_iter().chain(FAR).chain(["10.1.0.2", "fd01::2", "127.0.0.1", "::1"]) {
                let (summary, events) = run(&ping(to));
                assert_eq!((summary.sent, summary.received, summary.lost(), summary.waiting), (3, 3, 0, 0), "{to}");
                assert!(summary.times.is_some_and(|times| times.min <= times.avg && times.avg <= times.max));
                let replies: BTreeSet<_> = events
                    .iter()
                    .map(|event| match event {
                        Event::Reply { seq, from, ttl, bytes: 64, time } if !time.is_zero() => (*seq, *from, *ttl),
                        other => panic!("{to}: {other:?}"),
                    })
                    .collect();
                let from: IpAddr = to.parse().expect("an address");
                let ttl = from.is_ipv4().then(|| if FAR.contains(&to) { 63 } else { 64 });
                assert_eq!(replies, BTreeSet::from([1, 2, 3].map(|seq| (seq, from, ttl))));
            }
        });
    });
}

#[test]
fn sizes_from_nothing_to_many_fragments_come_back() {
    sandbox::run(|| {
        in_a_lab(|_| {
            for to in FAR {
                for size in [0, 1, 9, 1472, 1500, 20_000] {
                    let (summary, events) = run(&Ping { size, count: Some(1), ..ping(to) });
                    assert_eq!(summary.received, 1, "{to} {size}: {events:?}");
                }
            }
            let never = AtomicBool::new(false);
            let error = Ping { size: u16::MAX, ..ping(FAR[0]) }.run(&ns("left"), &never, &mut |_| {});
            assert_eq!(error.map_err(|error| error.code), Err("EMSGSIZE"));
        });
    });
}

#[test]
fn what_is_swallowed_on_the_way_is_lost() {
    sandbox::run(|| {
        in_a_lab(|linux| {
            for (prefix, address) in [("10.3.0.0/24", "10.3.0.1"), ("fd03::/64", "fd03::1")] {
                let to = prefix.parse().expect("a prefix");
                let kind = RouteKind::Blackhole;
                let route = Route { to, metric: Route::usual_metric(to), kind, via: None, dev: None };
                done(linux, &[Op::SetRoute { ns: ns("router"), route }]);
                let lost = Ping { count: Some(2), timeout: Duration::from_millis(5), ..ping(address) };
                assert_eq!(told(&lost), ["1 lost", "2 lost"]);
                assert_eq!(run(&lost).0.lost(), 2);
            }
        });
    });
}

#[test]
fn a_neighbour_that_is_down_is_unreachable() {
    sandbox::run(|| {
        in_a_lab(|linux| {
            // ask once and wait 10 ms for a neighbour's answer, not three times and three seconds
            for (family, key) in ["ipv4", "ipv6"]
                .into_iter()
                .flat_map(|family| [("mcast_solicit", "1"), ("retrans_time_ms", "10")].map(|key| (family, key)))
            {
                let name = format!("net/{family}/neigh/eth0/{}", key.0);
                let op = Op::SetSysctl { ns: ns("left"), key: Sysctl::new(&name).expect("a key"), value: key.1.into() };
                done(linux, &[op]);
            }
            done(linux, &[set("router", "one", false)]);
            assert_eq!(told(&Ping { count: Some(1), ..ping(NEAR[0]) }), ["1 10.1.0.2: host unreachable"]);
            assert_eq!(told(&Ping { count: Some(1), ..ping(NEAR[1]) }), ["1 fd01::2: address unreachable"]);
        });
    });
}

#[test]
fn what_the_own_kernel_refuses_is_told() {
    sandbox::run(|| {
        in_a_lab(|linux| {
            let gone = |to: &str, via: &str| Op::DelRoute { ns: ns("left"), route: self::via(to, via, "eth0") };
            done(linux, &[gone("0.0.0.0/0", NEAR[0]), gone("::/0", NEAR[1])]);
            for to in FAR {
                let (summary, _) = run(&ping(to));
                assert_eq!((summary.sent, summary.received, summary.lost(), summary.times), (3, 0, 3, None));
                assert_eq!(told(&Ping { count: Some(1), ..ping(to) }), ["1 no route to this address (ENETUNREACH)"]);
            }
            for (kind, word) in [
                (RouteKind::Unreachable, "unreachable"),
                (RouteKind::Prohibit, "prohibit"),
                (RouteKind::Blackhole, "blackhole"),
            ] {
                for to in ["0.0.0.0/0", "::/0"] {
                    let to = to.parse().expect("a prefix");
                    let route = Route { to, metric: Route::usual_metric(to), kind, via: None, dev: None };
                    done(linux, &[Op::SetRoute { ns: ns("left"), route }]);
                }
                for to in FAR {
                    let told = told(&Ping { count: Some(1), ..ping(to) });
                    assert!(told[0].contains(&format!("`{word}` route")), "{to} {told:?}");
                }
            }
        });
    });
}

#[test]
fn routers_say_why_they_do_not_forward() {
    sandbox::run(|| {
        in_a_lab(|linux| {
            for (to, router, why) in
                [(FAR[0], NEAR[0], "time to live exceeded"), (FAR[1], NEAR[1], "hop limit exceeded")]
            {
                let told = told(&Ping { count: Some(1), ttl: Some(1), ..ping(to) });
                assert_eq!(told, [format!("1 {router}: {why} on the way")]);
                // one more is enough
                assert_eq!(run(&Ping { ttl: Some(2), ..ping(to) }).0.received, 3);
            }
            for (to, router, why) in
                [("10.3.0.1", NEAR[0], "network unreachable"), ("fd03::1", NEAR[1], "no route to destination")]
            {
                assert_eq!(told(&Ping { count: Some(1), ..ping(to) }), [format!("1 {router}: {why}")]);
            }
            for prefix in ["10.3.0.0/24", "fd03::/64"] {
                let to = prefix.parse().expect("a prefix");
                let kind = RouteKind::Prohibit;
                let route = Route { to, metric: Route::usual_metric(to), kind, via: None, dev: None };
                done(linux, &[Op::SetRoute { ns: ns("router"), route }]);
            }
            for to in ["10.3.0.1", "fd03::1"] {
                let told = told(&Ping { count: Some(1), ..ping(to) });
                assert!(told[0].ends_with(": administratively prohibited"), "{told:?}");
            }
        });
    });
}

#[test]
fn parallel_pings_do_not_mix() {
    sandbox::run(|| {
        in_a_lab(|_| {
            std::thread::scope(|scope| {
                let runs: Vec<_> = (0..12_usize)
                    .map(|number| {
                        let to = [NEAR, FAR][number / 2 % 2][number % 2];
                        scope.spawn(move || (to, run(&Ping { count: Some(40), size: 16, ..ping(to) })))
                    })
                    .collect();
                for run in runs {
                    let (to, (summary, events)) = run.join().expect("no panic");
                    assert_eq!((summary.received, events.len()), (40, 40), "{to}");
                    let strange = events
                        .iter()
                        .find(|event| !matches!(event, Event::Reply { from, .. } if to.parse() == Ok(*from)));
                    assert_eq!(strange, None);
                }
            });
        });
    });
}

#[test]
fn it_can_be_stopped() {
    sandbox::run(|| {
        in_a_lab(|_| {
            let stop = AtomicBool::new(false);
            let mut replies = 0;
            let endless = Ping { count: None, ..ping(NEAR[0]) };
            let summary = endless.run(&ns("left"), &stop, &mut |_| {
                replies += 1;
                // several replies may come in one burst
                stop.store(replies >= 5, Ordering::Relaxed);
            });
            let summary = summary.expect("a run");
            assert!(summary.received >= 5 && summary.lost() == 0, "{summary:?}");
            assert_eq!(summary.sent, summary.received + summary.waiting);
        });
    });
}

#[test]
fn what_cannot_be_begun_is_an_error() {
    sandbox::run(|| {
        let never = AtomicBool::new(false);
        let error = ping(NEAR[0]).run(&ns("nowhere"), &never, &mut |_| {}).expect_err("no namespace");
        assert_eq!(error.words(), "/run/netns/nowhere: No such file or directory (ENOENT)");
        let (summary, _) = {
            sandbox::loopback_up().expect("lo");
            let mut events = Vec::new();
            let longest = Ping { timeout: Duration::MAX, interval: Duration::MAX, count: Some(1), ..ping("::1") };
            (longest.run(&NsId::Host, &never, &mut |event| events.push(event)).expect("a run"), events)
        };
        assert_eq!(summary.received, 1);
    });
}

#[test]
fn events_and_summaries_are_plain_in_json() {
    let time = Duration::from_micros(1234);
    let from: IpAddr = "10.0.0.1".parse().expect("an address");
    let reply = Event::Reply { seq: 1, from, ttl: Some(64), bytes: 64, time };
    let json = |value: serde_json::Result<String>| value.expect("JSON");
    assert_eq!(
        json(serde_json::to_string(&reply)),
        r#"{"event":"reply","seq":1,"from":"10.0.0.1","ttl":64,"bytes":64,"time_us":1234}"#
    );
    let summary = Summary { sent: 2, received: 0, waiting: 1, times: None };
    assert_eq!(json(serde_json::to_string(&summary)), r#"{"sent":2,"received":0,"waiting":1}"#);
}
