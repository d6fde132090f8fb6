//! Every cause that `raum trace` tells apart, built on purpose in a real network: the cause is named, and where the command
//! that mends it can be run, it mends it.
//!
//! Each row: the lab, what is asked, the fault, the cause. Faults are made by the kernel's own interfaces; those that need
//! somebody else's rules are made with `nft`, and left out where it is not installed. Limits that the whole machine shares are in
//! `machine.rs`, and only reached where the machine is the tests' own.

/// One test for each row, so that they run side by side.
macro_rules! rows {
    ($($name:ident: $row:expr),* $(,)?) => {
        $(#[test]
        fn $name() {
            $crate::machine::beside_others(|| $row.test());
        })*
    };
}

mod ends;
mod faults;
mod machine;
mod verdicts;

use std::process::Command;
use std::sync::atomic::AtomicBool;

use faults::*;
use raum::Labs;
use raum::place::Place;
use raum::resolve::ResolveError;
use raum::trace::{Report, TraceError, run};
use raum_core::name::LabName;
use raum_core::trace::Code;
use raum_kernel::release::OWNED_TABLES;
use raum_kernel::sandbox;

/// A home behind a router with NAT, and a server outside.
const STREET: &str = r#"
lab: street
switches:
  home: { subnet: [192.168.1.0/24, "fd01::/64"], gateway: router }
namespaces:
  router: { on: home, forwarding: true, nat: { out: wan }, forward: ["wan 2222 -> laptop:22"] }
  laptop: { on: home 192.168.1.20 fd01::20 }
  thief: { on: home 192.168.1.30 fd01::30 }
  server: { }
links:
  - ends: ["router:wan 203.0.113.2/30 2001:db8::2/64", "server 203.0.113.1/30 2001:db8::1/64"]
"#;

/// Two networks with a router between them, and no NAT.
const PLAIN: &str = r#"
lab: plain
switches:
  a: { subnet: [10.1.0.0/24, "fd0a::/64"], gateway: router }
  b: { subnet: [10.2.0.0/24, "fd0b::/64"], gateway: router }
namespaces:
  router: { on: [a 10.1.0.1 fd0a::1, b 10.2.0.1 fd0b::1], forwarding: true }
  left: { on: a 10.1.0.2 fd0a::2 }
  right: { on: b 10.2.0.2 fd0b::2 }
"#;

/// One cable.
const ROOMS: &str = r#"
lab: rooms
namespaces: { red: , blue: }
links:
  - ends: ["red 10.0.0.1/24 fd00::1/64", "blue 10.0.0.130/24 fd00::130/64"]
"#;

/// A switch on the host, and a published port.
const SHOP: &str = r#"
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, nat: true }
namespaces:
  web: { on: lan 10.10.0.20 fd10::20, publish: ["8080:80"] }
"#;

fn up(text: &str) {
    let lab = raum_core::lab::parse(text, &LabName::new("t").expect("a name")).expect("no problems");
    let mut labs = Labs::open().expect("labs");
    labs.up(lab, None, &AtomicBool::new(false), &mut |_, _, _| {}).expect("up");
}

#[track_caller]
fn ask(from: &str, to: &str, v6: bool) -> Report {
    run(&Place::default(), from, &to.parse().expect("a target"), Some(v6)).expect("a trace")
}

/// Runs the command that a cause names, if it can be run here.
fn mended(report: &Report, lab: &str) -> bool {
    let Some(mend) = report.trace.cause.as_ref().and_then(|cause| cause.mend.as_deref()) else { return false };
    let (first, repair) = mend.split_once(" && raum ").map_or((mend, None), |(first, rest)| (first, Some(rest)));
    if let Some(repair) = repair.or_else(|| mend.strip_prefix("raum ")).filter(|repair| repair.contains(" up ")) {
        let fine = first.starts_with("raum ") || machine::shell(first).status.success();
        assert!(fine, "{first}, before {repair}");
        up(lab);
        return true;
    }
    let Some(program) = mend.split(' ').next().filter(|program| ["ip", "sysctl", "bridge", "nft"].contains(program))
    else {
        return false;
    };
    if mend.contains(['<', '…']) || Command::new(program).arg("-V").output().is_err() {
        return false;
    }
    let output = machine::shell(mend);
    assert!(output.status.success(), "{mend}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

/// What a row says.
struct Row {
    lab: &'static str,
    from: &'static str,
    to: [&'static str; 2],
    /// Which families.
    families: &'static [bool],
    /// It arrives before the fault; not so where the fault is to ask for somebody who is not there.
    arrives: bool,
    /// What is there beside the lab.
    before: fn(v6: bool),
    fault: fn(v6: bool),
    cause: Code,
    /// The answer is lost, not the packet.
    answer: bool,
    /// What the sentence must say.
    says: &'static str,
}

const BOTH: &[bool] = &[false, true];
const V4: &[bool] = &[false];
const V6: &[bool] = &[true];

impl Row {
    const STREET: Self = Self {
        lab: STREET,
        from: "laptop",
        to: ["203.0.113.1", "2001:db8::1"],
        families: BOTH,
        arrives: true,
        before: |_| {},
        fault: |_| {},
        cause: Code::Unexplained,
        answer: false,
        says: "",
    };
    const PLAIN: Self = Self { lab: PLAIN, from: "left", to: ["10.2.0.2", "fd0b::2"], ..Self::STREET };
    const ROOMS: Self = Self { lab: ROOMS, from: "red", to: ["10.0.0.130", "fd00::130"], ..Self::STREET };
    const SHOP: Self = Self { lab: SHOP, from: "host", to: ["10.10.0.20", "fd10::20"], ..Self::STREET };

    fn test(&self) {
        for v6 in self.families {
            sandboxed(|| self.one(*v6));
        }
    }

    fn one(&self, v6: bool) {
        up(self.lab);
        (self.before)(v6);
        let to = self.to[usize::from(v6)];
        if self.arrives {
            // on a busy machine an answer may come too late
            let arrives = (0..5).any(|_| ask(self.from, to, v6).delivered);
            assert!(arrives, "without a fault: {:#?}", ask(self.from, to, v6));
        }
        (self.fault)(v6);
        let report = ask(self.from, to, v6);
        let Some(cause) = &report.trace.cause else { panic!("delivered: {report:#?}") };
        assert_eq!((cause.code, cause.answer), (self.cause, self.answer), "v6 {v6}: {report:#?}");
        assert!(cause.what.contains(self.says), "{}", cause.what);
        no_tap_is_left();
        if mended(&report, self.lab) {
            let after = ask(self.from, to, v6);
            let now = after.trace.cause.as_ref().map(|cause| cause.code);
            assert_ne!(now, Some(self.cause), "{:?} did not mend it: {after:#?}", report.trace.cause);
        }
    }
}

/// Both families one after the other: in a namespace each, so that the second finds nothing of the first.
fn sandboxed(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| {
            raum_kernel::namespace::enter_fresh().expect("a namespace");
            sandbox::loopback_up().expect("lo");
            test();
            down_all();
        });
        if let Err(panic) = ran.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn down_all() {
    let mut labs = Labs::open().expect("labs");
    for found in labs.list().expect("labs") {
        labs.down(&found.lab, &mut |_, _, _| {}).expect("down");
    }
}

rows! {
    interface_down_here: Row { fault: |_| set("street-laptop", "eth0", false), cause: Code::InterfaceDown,
        says: "eth0 in street-laptop is down", ..Row::STREET },
    interface_down_there: Row { fault: |_| set("street-server", "eth0", false), cause: Code::InterfaceDown,
        says: "eth0 in street-server is down", ..Row::STREET },
    peer_missing: Row { fault: |_| master(&port_of("street-laptop"), None), cause: Code::PeerMissing,
        says: "in no bridge", ..Row::STREET },
    no_carrier: Row { fault: |_| master(&port_of("shop-web"), None), cause: Code::NoCarrier,
        says: "has no ports", ..Row::SHOP },
    no_address: Row { fault: |v6| without_address("street-laptop", "eth0", ["192.168.1.20/24", "fd01::20/64"][usize::from(v6)]),
        cause: Code::NoAddress, says: "street-laptop has no IPv", ..Row::STREET },
    // as it is once the kernel has seen that nobody else has it
    no_address_but_a_link_local_one: Row { families: V6, fault: |_| {
            add_address("street-laptop", "eth0", "fe80::20/64");
            without_address("street-laptop", "eth0", "fd01::20/64");
        }, cause: Code::NoAddress, says: "which is link-local: street-router passes nothing on", ..Row::STREET },
    wrong_prefix_here: Row { fault: |v6| narrow("rooms-red", "eth0", v6, ["10.0.0.1", "fd00::1"]), cause: Code::WrongPrefix,
        says: "is on the wire of eth0", ..Row::ROOMS },
    wrong_prefix_there: Row { fault: |v6| narrow("rooms-blue", "eth0", v6, ["10.0.0.130", "fd00::130"]),
        cause: Code::WrongPrefix, answer: true, ..Row::ROOMS },
    duplicate_address: Row { fault: |v6| add_address("street-thief", "eth0", ["192.168.1.1/24", "fd01::1/64"][usize::from(v6)]),
        cause: Code::DuplicateAddress, says: "street-thief", ..Row::STREET },
    duplicate_address_of_its_own: Row { from: "laptop", to: ["thief", "thief"],
        fault: |v6| add_address("street-laptop", "lo", ["192.168.1.30/32", "fd01::30/128"][usize::from(v6)]),
        cause: Code::DuplicateAddress, says: "of street-thief itself, on lo", ..Row::STREET },
    duplicate_address_of_its_own_on_a_cable: Row { from: "laptop", to: ["thief", "thief"],
        fault: |v6| add_address("street-laptop", "eth0", ["192.168.1.30/24", "fd01::30/64"][usize::from(v6)]),
        cause: Code::DuplicateAddress, says: "of street-thief itself, on eth0", ..Row::STREET },
    duplicate_address_of_a_router: Row { to: ["server", "server"],
        fault: |v6| add_address("street-router", "lo", ["203.0.113.1/32", "2001:db8::1/128"][usize::from(v6)]),
        cause: Code::DuplicateAddress, says: "street-router has the address", ..Row::STREET },
    no_route: Row { fault: |v6| no_default("street-laptop", v6), cause: Code::NoRoute, ..Row::STREET },
    no_route_to_its_own_network: Row { fault: |v6| no_network("host", ["10.10.0.0/24", "fd10::/64"][usize::from(v6)]),
        cause: Code::NoRoute, says: "but not the route to", ..Row::SHOP },
    route_to_oneself: Row { fault: |v6| route_on_link("plain-router", ["10.2.0.2/32", "fd0b::2/128"][usize::from(v6)], "lo"),
        cause: Code::NoRoute, says: "to lo, where nobody else is", ..Row::PLAIN },
    route_forbids: Row { fault: |v6| forbid("street-laptop", ["203.0.113.0/24", "2001:db8::/48"][usize::from(v6)]),
        cause: Code::RouteForbids, says: "unreachable", arrives: true, to: ["203.0.113.1", "2001:db8::1"], ..Row::STREET },
    rule_forbids: Row { fault: |v6| policy("street-laptop", v6, 77, None), cause: Code::RuleForbids,
        says: "the rule `77: from all prohibit`", ..Row::STREET },
    rule_of_a_source_forbids: Row { to: ["203.0.113.1:80", ""], families: V4,
        before: |_| listen("street-server", "0.0.0.0:80"), fault: |_| refuse_from("street-laptop", "192.168.1.20", 6),
        cause: Code::RuleForbids, says: "blackhole", ..Row::STREET },
    rule_of_a_router_forbids: Row { fault: |v6| refuse_from("plain-router", ["10.1.0.2", "fd0a::2"][usize::from(v6)], 7),
        cause: Code::RuleForbids, says: "unreachable` in plain-router", ..Row::PLAIN },
    rule_of_the_target_forbids: Row { fault: |v6| refuse_from("plain-right", ["10.2.0.2", "fd0b::2"][usize::from(v6)], 8),
        cause: Code::RuleForbids, answer: true, says: "prohibit` in plain-right", ..Row::PLAIN },
    arp_off_here: Row { fault: |_| arp_off("street-laptop", "eth0"), cause: Code::ArpOff, says: "asks nobody who has",
        ..Row::STREET },
    arp_off_there: Row { fault: |_| arp_off("street-server", "eth0"), cause: Code::ArpOff, says: "does not answer for",
        ..Row::STREET },
    ipv6_off_here: Row { fault: |_| sysctl("street-laptop", "net/ipv6/conf/eth0/disable_ipv6", "1"), families: V6,
        cause: Code::Ipv6Off, says: "for eth0 in street-laptop", ..Row::STREET },
    ipv6_off_there: Row { fault: |_| sysctl("street-server", "net/ipv6/conf/all/disable_ipv6", "1"), families: V6,
        cause: Code::Ipv6Off, says: "for eth0 in street-server", ..Row::STREET },
    wrong_gateway: Row { fault: |v6| default_via("street-laptop", "eth0", ["192.168.1.77", "fd01::77"][usize::from(v6)], false),
        cause: Code::WrongGateway, ..Row::STREET },
    gateway_unreachable: Row { fault: |v6| default_via("street-laptop", "eth0", ["203.0.113.1", "2001:db8::1"][usize::from(v6)], true),
        cause: Code::GatewayUnreachable, says: "street-server", ..Row::STREET },
    no_return_route: Row { fault: |v6| no_default("plain-right", v6), cause: Code::NoReturnRoute, answer: true, ..Row::PLAIN },
    forwarding_off: Row { fault: |v6| sysctl("street-router", if v6 { "net/ipv6/conf/all/forwarding" } else {
            "net/ipv4/conf/eth0/forwarding" }, "0"), cause: Code::ForwardingOff, ..Row::STREET },
    rp_filter: Row { fault: |_| { sysctl("plain-router", "net/ipv4/conf/all/rp_filter", "1");
            route("plain-router", "10.1.0.2/32", "10.2.0.99", "eth1"); }, families: V4, cause: Code::RpFilter, ..Row::PLAIN },
    rp_filter_of_the_target: Row { fault: |_| { sysctl("plain-right", "net/ipv4/conf/all/rp_filter", "1");
            route_on_link("plain-right", "10.1.0.2/32", "lo"); }, families: V4, cause: Code::RpFilter,
        says: "in plain-right", ..Row::PLAIN },
    neighbour_failed: Row { to: ["192.168.1.99", "fd01::99"], arrives: false, cause: Code::NeighbourFailed, ..Row::STREET },
    static_neighbour: Row { fault: |v6| permanent("street-laptop", "eth0", ["192.168.1.1", "fd01::1"][usize::from(v6)]),
        cause: Code::StaticNeighbour, ..Row::STREET },
    port_down: Row { fault: |_| bridge_port(&port_of("street-router"), 1, 0), cause: Code::PortDown, says: "is disabled",
        ..Row::STREET },
    port_deaf: Row { fault: |_| deafen(&port_of("street-router")), cause: Code::PortDeaf, says: "learns nobody",
        ..Row::STREET },
    port_deaf_of_the_sender: Row { fault: |_| deafen(&port_of("street-laptop")), cause: Code::PortDeaf, says: "learns nobody",
        ..Row::STREET },
    port_isolated: Row { fault: |_| { bridge_port(&port_of("street-router"), 33, 1);
            bridge_port(&port_of("street-laptop"), 33, 1); }, cause: Code::PortIsolated, ..Row::STREET },
    hairpin_off: Row { from: "web", to: ["10.10.0.1:8080", "[fd10::1]:8080"], families: if_br_netfilter(),
        before: |_| { bridged_packets_meet_the_rules(); listen("shop-web", "[::]:80"); },
        fault: |_| bridge_port(&port_of("shop-web"), 4, 0), cause: Code::HairpinOff, says: "may not send out what came in",
        ..Row::SHOP },
    mtu_black_hole: Row { fault: |_| mtu(&port_of("street-laptop"), 1300), cause: Code::MtuBlackHole, says: "1300",
        ..Row::STREET },
    nat_missing: Row { fault: |_| no_table("street-router", "raum-street"), cause: Code::NatMissing, answer: true,
        ..Row::STREET },
    dnat_dead: Row { from: "server", to: ["203.0.113.2:2222", "[2001:db8::2]:2222"],
        fault: |v6| without_address("street-laptop", "eth0", ["192.168.1.20/24", "fd01::20/64"][usize::from(v6)]), arrives: false,
        cause: Code::DnatDead, ..Row::STREET },
    nobody_listens: Row { to: ["203.0.113.1:80", "[2001:db8::1]:80"], arrives: false, cause: Code::NobodyListens,
        ..Row::STREET },
    nobody_takes_a_datagram: Row { to: ["203.0.113.1:53/udp", "[2001:db8::1]:53/udp"], arrives: false,
        cause: Code::NobodyListens, ..Row::STREET },
    listens_elsewhere: Row { to: ["203.0.113.1:80", "[2001:db8::1]:80"], arrives: false,
        fault: |v6| listen("street-server", if v6 { "[::1]:80" } else { "127.0.0.1:80" }), cause: Code::ListensElsewhere,
        ..Row::STREET },
    filter_own: Row { fault: |_| own_drop("street-router", "street"), cause: Code::FilterOwn, says: "raum-street",
        ..Row::STREET },
    echo_ignored: Row { fault: |v6| sysctl("street-server", if v6 { "net/ipv6/icmp/echo_ignore_all" } else {
            "net/ipv4/icmp_echo_ignore_all" }, "1"), cause: Code::EchoIgnored, ..Row::STREET },
    // nobody asks what is queued
    unexplained: Row { fault: |_| no_queue("street-router", "wan"), cause: Code::Unexplained, says: "last seen in street-router",
        families: if_followed(), ..Row::STREET },
    namespace_gone: Row { to: ["server", "server"], fault: |_| unname("street-server"), cause: Code::NamespaceGone,
        says: "street-server", ..Row::STREET },
}

/// Rows that need rules of others.
macro_rules! foreign {
    ($($name:ident: $row:expr),* $(,)?) => {
        $(#[test]
        fn $name() {
            machine::beside_others(|| {
                if Command::new("nft").arg("--version").output().is_ok() {
                    $row.test();
                }
            });
        })*
    };
}

foreign! {
    filter_foreign: Row { fault: |_| nft("street-router", "table inet fw {
        chain f { type filter hook forward priority 5; policy accept;
        meta l4proto { icmp, ipv6-icmp } drop comment \"no pings\"
        }\n}"),
        cause: Code::FilterForeign, says: "no pings", ..Row::STREET },
    filter_policy: Row { fault: |_| nft("street-router", "table inet fw {
        chain f { type filter hook forward priority 5; policy drop;
        ct state established accept
        }\n}"),
        cause: Code::FilterPolicy, says: "policy of chain inet fw f", ..Row::STREET },
    // a rule that cannot be judged beforehand: the kernel's own trace tells
    filter_seen_only_by_the_packet: Row { fault: |_| nft("street-router", "table inet fw {
        chain f { type filter hook forward priority 5; policy accept;
        meta cpu < 4096 drop
        }\n}"),
        families: if_followed(), cause: Code::FilterForeign, says: "meta cpu < 4096", ..Row::STREET },
    filter_of_the_answer: Row { fault: |_| nft("street-router", "table inet fw {
        chain f { type filter hook forward priority 5; policy accept;
        iifname \"wan\" drop
        }\n}"),
        cause: Code::FilterForeign, answer: true, ..Row::STREET },
    mtu_black_hole_of_a_mute_router: Row { fault: |_| {
            inside_mtu("street-router", "wan", 1300);
            inside_mtu("street-server", "eth0", 1300);
            nft("street-router", "table inet fw {
                chain o { type filter hook output priority 5; policy accept;
                icmp type destination-unreachable drop
                icmpv6 type packet-too-big drop
                }\n}");
        },
        cause: Code::MtuBlackHole, says: "may not tell", ..Row::STREET },
    unexplained_beside_rules_of_a_bridge: Row { fault: |_| nft("host", "table bridge fw {
        chain f { type filter hook forward priority 5; policy drop;
        }\n}"),
        families: if_nft("table bridge t { chain c { type filter hook forward priority 5; }; }"),
        cause: Code::Unexplained, says: "chain bridge fw f in host may drop it", ..Row::STREET },
    unexplained_beside_rules_of_an_interface: Row { fault: |_| nft("street-router", "table netdev fw {
        chain f { type filter hook ingress device eth0 priority 5; policy accept;
        ip protocol icmp drop
        ip6 nexthdr icmpv6 icmpv6 type echo-request drop
        }\n}"),
        families: if_nft("table netdev t { chain c { type filter hook ingress device lo priority 5; }; }"),
        cause: Code::Unexplained, says: "chain netdev fw f in street-router may drop it", ..Row::STREET },
    nat_foreign: Row { fault: |v6| nft("street-router", if v6 { "table ip6 other {
        chain p { type nat hook prerouting priority -110; policy accept;
        ip6 daddr 2001:db8::1 dnat to fd01::30
        }\n}" } else { "table ip other {
        chain p { type nat hook prerouting priority -110; policy accept;
        ip daddr 203.0.113.1 dnat to 192.168.1.30
        }\n}" }),
        cause: Code::NatForeign, says: "chain ip", ..Row::STREET },
    br_netfilter: Row { fault: |_| {
            bridged_packets_meet_the_rules();
            nft("host", "table inet fw {
                chain f { type filter hook forward priority 5; policy drop;
                }\n}");
        },
        families: if_br_netfilter(), cause: Code::BrNetfilter, says: "br_netfilter", ..Row::STREET },
}

/// Where the kernel takes such rules.
fn if_nft(rules: &str) -> &'static [bool] {
    let tried = Command::new("nft").args(["--check", rules]).output().expect("nft");
    if tried.status.success() { BOTH } else { &[] }
}

/// An older kernel does not tell which rules a packet passes.
fn if_followed() -> &'static [bool] {
    if OWNED_TABLES.is_here() { BOTH } else { &[] }
}

/// A kernel without `br_netfilter` never shows bridged packets to the IP rules.
fn if_br_netfilter() -> &'static [bool] {
    let there = std::path::Path::new("/proc/sys/net/bridge").exists();
    assert!(there || !machine::is_own(), "the module br_netfilter is to be loaded where the machine is the tests' own");
    if there { BOTH } else { &[] }
}

fn bridged_packets_meet_the_rules() {
    sysctl_if_there("host", "net/bridge/bridge-nf-call-iptables", "1");
    sysctl_if_there("host", "net/bridge/bridge-nf-call-ip6tables", "1");
}

#[test]
fn namespaces_of_others_are_traced_by_the_name_that_a_scene_gives_them() {
    machine::beside_others(|| {
        up(STREET);
        bind("street-server", "/run/docker/netns/0a1b2c3d4e5f");
        unname("street-server");
        for (from, to) in [("laptop", "docker:0a1b2c3d4e5f"), ("docker:0a1b2c3d4e5f", "203.0.113.2")] {
            let target =
                raum_core::trace::Target { to: to.to_owned(), proto: raum_core::trace::Proto::Icmp, port: None };
            let report = run(&Place::default(), from, &target, Some(false)).expect("a trace");
            assert!(report.delivered, "{report:#?}");
        }
    });
}

#[test]
fn the_rule_that_chose_the_table_is_told_where_it_is_not_a_usual_one() {
    machine::beside_others(|| {
        up(STREET);
        for (to, v6) in [("203.0.113.1", false), ("2001:db8::1", true)] {
            let said = |report: &Report| -> Vec<String> {
                let steps = report.trace.there.iter().filter(|step| step.namespace == "street-router");
                steps.map(|step| step.text.clone()).filter(|text| text.contains("by the rule")).collect()
            };
            let report = ask("laptop", to, v6);
            assert!(report.delivered && said(&report).is_empty(), "{report:#?}");
            // the table main, asked earlier than usual
            policy("street-router", v6, 50, Some(254));
            let report = ask("laptop", to, v6);
            assert!(report.delivered, "{report:#?}");
            assert!(
                said(&report).iter().any(|text| text.ends_with("by the rule `50: from all lookup main`")),
                "{report:#?}"
            );
        }
    });
}

/// A name that two labs have means the same whether a namespace of it is there or not.
#[test]
fn the_lab_that_is_meant_is_blamed() {
    machine::beside_others(|| {
        for (lab, net) in [("one", 1), ("two", 2)] {
            up(&format!(
                "lab: {lab}\nnamespaces: {{ web: {{ on: lan }}, box: {{ on: lan }} }}\n\
                 switches: {{ lan: {{ subnet: 10.90.{net}.0/24, gateway: host }} }}\n"
            ));
        }
        let trace = |from: &str, to: &str| {
            let target =
                raum_core::trace::Target { to: to.to_owned(), proto: raum_core::trace::Proto::Icmp, port: None };
            run(&Place::default(), from, &target, Some(false))
        };
        let ambiguous = |from: &str, to: &str| match trace(from, to) {
            Err(TraceError::Resolve(ResolveError::Ambiguous { names, .. })) => names,
            other => panic!("{from} to {to}: {other:#?}"),
        };
        let blamed = |from: &str, to: &str| {
            let cause = trace(from, to).expect("a trace").trace.cause;
            cause.map(|cause| (cause.code, cause.namespace))
        };
        let gone = |ns: &str| Some((Code::NamespaceGone, ns.to_owned()));
        unname("one-web");
        // the other one is there, and has this name alone now
        assert_eq!([blamed("host", "web"), blamed("web", "two-box")], [None, None]);
        assert_eq!(blamed("one-box", "web"), gone("one-web"), "the sender's lab comes first");
        assert_eq!(blamed("two-box", "web"), None);
        assert_eq!(blamed("host", "one-web"), gone("one-web"));
        unname("two-web");
        assert_eq!(ambiguous("host", "web"), ["one-web", "two-web"]);
        assert_eq!(ambiguous("web", "host"), ["one-web", "two-web"]);
        assert_eq!(blamed("two-box", "web"), gone("two-web"));
        // somebody's namespace of that name is nobody's node
        bind("two-box", "/run/netns/web");
        unname("two-box");
        assert_eq!([blamed("web", "10.90.2.1"), blamed("host", "web")], [None, None]);
    });
}

#[test]
fn a_kernel_that_does_not_follow_packets_through_rules_is_told_of_once() {
    machine::beside_others(|| {
        up(STREET);
        let too_old = |report: &Report| report.notes.iter().filter(|note| note.contains("Linux 5.12")).count();
        let report = ask("laptop", "203.0.113.1", false);
        assert_eq!(too_old(&report), usize::from(!OWNED_TABLES.is_here()), "{report:#?}");
        sandbox::say_an_older_release().expect("another personality");
        let report = ask("laptop", "203.0.113.1", false);
        assert!(report.delivered && report.probe.sightings.is_empty(), "{report:#?}");
        assert_eq!((too_old(&report), report.notes.len()), (1, 1), "{report:#?}");
        own_drop("street-router", "street");
        let report = ask("laptop", "203.0.113.1", false);
        assert_eq!(report.trace.cause.map(|cause| cause.code), Some(Code::FilterOwn));
        no_tap_is_left();
    });
}

#[test]
fn what_cannot_be_followed_is_said() {
    machine::beside_others(|| {
        up(STREET);
        for (to, v6, says) in [
            ("192.168.1.255", false, "a packet to many"),
            ("224.0.0.1", false, "a packet to many"),
            ("198.51.100.1", false, "no route to"),
            ("::ffff:203.0.113.1", true, ""),
        ] {
            let target =
                raum_core::trace::Target { to: to.to_owned(), proto: raum_core::trace::Proto::Icmp, port: None };
            let report = run(&Place::default(), "laptop", &target, Some(v6)).expect("a trace");
            let what = report.trace.cause.map(|cause| cause.what).unwrap_or_default();
            assert!(what.contains(says), "{to}: {what}");
        }
        assert!(run(&Place::default(), "nobody", &"server".parse().expect("a target"), None).is_err());
        no_tap_is_left();
    });
}

/// Root on the host alone may ask for the kernel's reasons, and only where tracefs is: then they are the right ones.
#[test]
fn the_kernels_own_reason_is_told_to_who_may_ask() {
    machine::beside_others(|| {
        up(STREET);
        own_drop("street-router", "street");
        // under load the kernel may pass the packet on in another thread, which is not listened to
        let told: Vec<Vec<String>> = (0..5)
            .map(|_| ask("laptop", "203.0.113.1", false).probe.reasons.into_keys().collect())
            .filter(|reasons: &Vec<String>| !reasons.is_empty())
            .collect();
        if !told.is_empty() {
            assert!(told.iter().flatten().any(|reason| reason == "NETFILTER_DROP"), "{told:?}");
        }
    });
}
