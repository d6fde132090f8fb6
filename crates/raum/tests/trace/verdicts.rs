//! What works is said to work, and it is asked in a family that can work.

use std::process::Command;

use raum::place::Place;
use raum::trace::{Report, run};
use raum_core::trace::Code;
use raum_kernel::sandbox;

use super::faults::*;
use super::{STREET, ask, machine, sandboxed, up};

/// A shop on the host with published ports, and a client outside.
const SHOP: &str = r#"
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, nat: true }
namespaces:
  web: { on: lan, publish: ["8080:80", "5353:53/udp"] }
  db: { on: lan 10.10.0.20 fd10::20 }
  out: { gateway: [203.0.113.1, "2001:db8::1"] }
links:
  - ends: ["host:up0 203.0.113.1/24 2001:db8::1/64", "out 203.0.113.2/24 2001:db8::2/64"]
"#;

/// One end has IPv6 only, and the other both.
const MIXED: &str = r#"
lab: mixed
switches:
  six: { subnet: fd77::/64, gateway: r }
namespaces:
  r: { on: six, forwarding: true }
  c: { on: six }
  d: { gateway: "fd88::1" }
links:
  - ends: ["r:up fd88::1/64 10.9.0.1/24", "d fd88::2/64 10.9.0.2/24"]
"#;

/// On a busy machine an answer may come too late.
#[track_caller]
fn delivered(asked: impl Fn() -> Report) -> Report {
    let mut last = asked();
    for _ in 0..5 {
        if last.delivered {
            return last;
        }
        last = asked();
    }
    panic!("{last:#?}");
}

#[test]
fn an_answer_to_localhost_is_followed_to_its_end() {
    machine::beside_others(|| {
        up(SHOP);
        listen("shop-web", "0.0.0.0:80");
        let report = ask("host", "127.0.0.1:8080", false);
        let mend = report.trace.cause.as_ref().and_then(|cause| cause.mend.as_deref());
        assert_eq!(mend, Some("ip link set dev lo up"), "{report:#?}");
        sandbox::loopback_up().expect("lo");
        let report = delivered(|| ask("host", "127.0.0.1:8080", false));
        // rules before NAT see the answer on its way to the bridge's address, which `127.0.0.0/8 drop` is not about
        let back = report.trace.back.last().map(|step| format!("{} {}", step.namespace, step.text));
        assert_eq!(back.as_deref(), Some("host local 127.0.0.1"), "{report:#?}");
    });
}

#[test]
fn published_ports_work_from_everywhere() {
    machine::beside_others(|| {
        for bridged in ["0", "1"] {
            sandboxed(|| {
                for family in ["ip", "ip6"] {
                    sysctl_if_there("host", &format!("net/bridge/bridge-nf-call-{family}tables"), bridged);
                }
                up(SHOP);
                listen("shop-web", "[::]:80");
                echo("shop-web", "[::]:53");
                for (from, addresses) in [
                    ("db", ["10.10.0.1", "[fd10::1]"]),
                    ("web", ["10.10.0.1", "[fd10::1]"]),
                    ("out", ["203.0.113.1", "[2001:db8::1]"]),
                    ("host", ["127.0.0.1", "[2001:db8::1]"]),
                ] {
                    for (address, v6) in addresses.iter().zip([false, true]) {
                        for port in ["8080", "5353/udp"] {
                            let report = delivered(|| ask(from, &format!("{address}:{port}"), v6));
                            assert_eq!(report.trace.arrives.as_deref(), Some("shop-web"), "{report:#?}");
                        }
                    }
                }
                no_tap_is_left();
            });
        }
    });
}

#[test]
fn a_family_is_chosen_that_both_have() {
    machine::beside_others(|| {
        up(MIXED);
        let report = delivered(|| run(&Place::default(), "c", &"d".parse().expect("a target"), None).expect("a trace"));
        assert_eq!(report.trace.flow.destination.to_string(), "fd88::2");
        let back = delivered(|| run(&Place::default(), "d", &"c".parse().expect("a target"), None).expect("a trace"));
        assert!(back.trace.flow.v6());
        let four = delivered(|| run(&Place::default(), "r", &"d".parse().expect("a target"), None).expect("a trace"));
        assert!(!four.trace.flow.v6(), "IPv4 before IPv6 where both have both");
        // one that is there without a lab
        let host = run(&Place::default(), "host", &"d".parse().expect("a target"), None).expect("a trace");
        assert!(!host.delivered);
    });
}

/// The command that is to mend it.
#[track_caller]
fn mend(report: &Report) -> &str {
    let cause = report.trace.cause.as_ref().unwrap_or_else(|| panic!("delivered: {report:#?}"));
    cause.mend.as_deref().unwrap_or_else(|| panic!("no mend: {cause:#?}"))
}

#[test]
fn what_a_lab_has_lost_comes_back_with_its_own_up() {
    let lost: [fn(bool); 4] = [
        |_| no_table("street-router", "raum-street"),
        |v6| no_default("street-laptop", v6),
        |v6| without_address("street-laptop", "eth0", ["192.168.1.20/24", "fd01::20/64"][usize::from(v6)]),
        |v6| without_address("street-router", "eth0", ["192.168.1.1/24", "fd01::1/64"][usize::from(v6)]),
    ];
    machine::beside_others(|| {
        for (lose, v6) in lost.into_iter().flat_map(|lose| [(lose, false), (lose, true)]) {
            sandboxed(|| {
                up(STREET);
                lose(v6);
                let to = ["203.0.113.1", "2001:db8::1"][usize::from(v6)];
                let report = ask("laptop", to, v6);
                assert_eq!(mend(&report), "raum export street | raum up -", "{report:#?}");
                up(STREET);
                delivered(|| ask("laptop", to, v6));
            });
        }
    });
}

#[test]
fn what_somebody_put_into_a_labs_own_table_goes_with_its_up() {
    machine::beside_others(|| {
        if Command::new("nft").arg("--version").output().is_err() {
            return;
        }
        up(SHOP);
        listen("shop-web", "[::]:80");
        for (to, v6) in [("10.10.0.1:8080", false), ("[fd10::1]:8080", true)] {
            nft("host", "insert rule inet raum-shop forward tcp dport 80 drop");
            let report = ask("db", to, v6);
            assert_eq!(report.trace.cause.as_ref().map(|cause| cause.code), Some(Code::FilterOwn), "{report:#?}");
            assert_eq!(mend(&report), "raum export shop | raum up -");
            up(SHOP);
            delivered(|| ask("db", to, v6));
        }
    });
}

#[test]
fn a_labs_own_link_of_the_host_is_named_at_its_switch() {
    machine::beside_others(|| {
        let lab = SHOP.replace("gateway: [203.0.113.1, \"2001:db8::1\"]", "");
        for (to, v6) in [("203.0.113.2", false), ("2001:db8::2", true)] {
            up(&lab);
            let report = ask("db", to, v6);
            assert_eq!(report.trace.cause.as_ref().map(|cause| cause.code), Some(Code::NatMissing), "{report:#?}");
            assert_eq!(mend(&report), "nat: { out: up0 } at the switch in the lab file, then raum up");
            up(&lab.replace("nat: true", "nat: { out: up0 }"));
            delivered(|| ask("db", to, v6));
        }
    });
}
