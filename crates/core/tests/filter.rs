//! Capture filters: what is taken, against a matcher that knows packets and no bytes; what is refused, with its place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;
use raum_core::capture::machine::run;
use raum_core::capture::{compile, parse};
use raum_core::problem::render;

/// A packet as people think of it.
#[derive(Debug, Clone)]
struct Packet {
    macs: [[u8; 6]; 2],
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Arp { from: Ipv4Addr, about: Ipv4Addr },
    Ip { from: IpAddr, to: IpAddr, options: usize, fragment: bool, protocol: u8, ports: [u16; 2] },
}

impl Packet {
    fn frame(&self) -> Vec<u8> {
        let mut frame = [self.macs[1], self.macs[0]].concat();
        match &self.body {
            Body::Arp { from, about } => {
                frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
                frame.extend(self.macs[0]);
                frame.extend(from.octets());
                frame.extend([0; 6]);
                frame.extend(about.octets());
            }
            Body::Ip { from: IpAddr::V4(from), to: IpAddr::V4(to), options, fragment, protocol, ports } => {
                frame.extend([8, 0, 0x45 + u8::try_from(*options).unwrap(), 0, 0, 60, 0, 0]);
                frame.extend(if *fragment { [0x20, 9] } else { [0x40, 0] });
                frame.extend([64, *protocol, 0, 0]);
                frame.extend(from.octets());
                frame.extend(to.octets());
                frame.extend(vec![1; options * 4]);
                frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            }
            Body::Ip { from: IpAddr::V6(from), to: IpAddr::V6(to), protocol, ports, .. } => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, *protocol, 64]);
                frame.extend(from.octets());
                frame.extend(to.octets());
                frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            }
            Body::Ip { .. } => unreachable!("one family"),
        }
        // nothing is refused because a frame is short
        frame.resize(frame.len().max(100), 0);
        frame
    }
}

/// A test as text, and as what it means.
#[derive(Debug, Clone)]
enum Test {
    Protocol(&'static str),
    Net(Option<&'static str>, &'static str, IpNet),
    Port(Option<&'static str>, &'static str, u16, u16),
    Mac(&'static str, [u8; 6]),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
}

fn sided(side: &str, holds: [bool; 2]) -> bool {
    match side {
        "src " => holds[0],
        "dst " => holds[1],
        "src and dst " => holds[0] && holds[1],
        _ => holds[0] || holds[1],
    }
}

impl Test {
    fn text(&self) -> String {
        let before = |protocol: &Option<&str>| protocol.map(|name| format!("{name} ")).unwrap_or_default();
        match self {
            Test::Protocol(name) => (*name).to_owned(),
            Test::Net(protocol, side, net) if net.prefix_len() == net.max_prefix_len() => {
                format!("{}{side}host {}", before(protocol), net.addr())
            }
            Test::Net(protocol, side, net) => format!("{}{side}net {net}", before(protocol)),
            Test::Port(protocol, side, first, last) if first == last => {
                format!("{}{side}port {first}", before(protocol))
            }
            Test::Port(protocol, side, first, last) => format!("{}{side}portrange {first}-{last}", before(protocol)),
            Test::Mac(side, mac) => {
                let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("ether {side}host {}", mac.join(":"))
            }
            Test::Not(inner) => format!("not ({})", inner.text()),
            Test::And(a, b) => format!("({}) and ({})", a.text(), b.text()),
            Test::Or(a, b) => format!("({}) or ({})", a.text(), b.text()),
        }
    }

    fn holds(&self, packet: &Packet) -> bool {
        match (self, &packet.body) {
            (Test::Not(inner), _) => !inner.holds(packet),
            (Test::And(a, b), _) => a.holds(packet) && b.holds(packet),
            (Test::Or(a, b), _) => a.holds(packet) || b.holds(packet),
            (Test::Mac(side, mac), _) => sided(side, packet.macs.map(|own| own == *mac)),
            (Test::Protocol(name), Body::Arp { .. }) => *name == "arp",
            (Test::Protocol(name), Body::Ip { from, protocol, .. }) => match *name {
                "ip" => from.is_ipv4(),
                "ip6" => from.is_ipv6(),
                "tcp" => *protocol == 6,
                "udp" => *protocol == 17,
                "icmp" => from.is_ipv4() && *protocol == 1,
                "icmp6" => from.is_ipv6() && *protocol == 58,
                _ => false,
            },
            (Test::Net(protocol, side, net), Body::Arp { from, about }) => {
                matches!(protocol, None | Some("arp"))
                    && sided(side, [*from, *about].map(|ip| net.contains(&IpAddr::V4(ip))))
            }
            (Test::Net(protocol, side, net), Body::Ip { from, to, .. }) => {
                let family = match protocol {
                    Some("ip") => from.is_ipv4(),
                    Some("ip6") => from.is_ipv6(),
                    Some(_) => false,
                    None => true,
                };
                family && sided(side, [*from, *to].map(|ip| net.contains(&ip)))
            }
            (Test::Port(..), Body::Arp { .. }) => false,
            (Test::Port(named, side, first, last), Body::Ip { fragment, protocol, ports, from, .. }) => {
                let kind = match named {
                    Some("tcp") => *protocol == 6,
                    Some(_) => *protocol == 17,
                    None => [6, 17, 132].contains(protocol),
                };
                let whole = from.is_ipv6() || !fragment;
                kind && whole && sided(side, ports.map(|port| (*first..=*last).contains(&port)))
            }
        }
    }
}

/// Few different values, so that tests meet packets.
fn v4() -> impl Strategy<Value = Ipv4Addr> + Clone {
    (0_u8..2, 0_u8..3).prop_map(|(net, host)| Ipv4Addr::new(10, net, 0, host))
}

fn v6() -> impl Strategy<Value = Ipv6Addr> + Clone {
    (0_u16..2, 0_u16..3).prop_map(|(net, host)| Ipv6Addr::new(0xfd00, net, 0, 0, 0, 0, 0, host))
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![Just(0), Just(22), Just(53), Just(80), Just(81), Just(65535)]
}

fn mac() -> impl Strategy<Value = [u8; 6]> {
    (0_u8..2, 0_u8..2).prop_map(|(a, b)| [2, a, 0, 0, 0, b])
}

fn packet() -> impl Strategy<Value = Packet> {
    let protocol = || prop_oneof![Just(1_u8), Just(6), Just(17), Just(58), Just(132)];
    let arp = (v4(), v4()).prop_map(|(from, about)| Body::Arp { from, about });
    let four = (v4(), v4(), 0_usize..3, any::<bool>(), protocol(), [port(), port()]).prop_map(
        |(from, to, options, fragment, protocol, ports)| Body::Ip {
            from: from.into(),
            to: to.into(),
            options,
            fragment,
            protocol,
            ports,
        },
    );
    let six = (v6(), v6(), protocol(), [port(), port()]).prop_map(|(from, to, protocol, ports)| Body::Ip {
        from: from.into(),
        to: to.into(),
        options: 0,
        fragment: false,
        protocol,
        ports,
    });
    ([mac(), mac()], prop_oneof![arp, four, six]).prop_map(|(macs, body)| Packet { macs, body })
}

fn test() -> impl Strategy<Value = Test> {
    let side = || prop_oneof![Just(""), Just("src "), Just("dst "), Just("src or dst "), Just("src and dst ")];
    let protocol =
        prop_oneof![Just("ip"), Just("ip6"), Just("arp"), Just("tcp"), Just("udp"), Just("icmp"), Just("icmp6")];
    let four = (
        prop_oneof![Just(None), Just(Some("ip")), Just(Some("arp"))],
        side(),
        v4(),
        prop_oneof![Just(32_u8), Just(16), Just(8), Just(0)],
    )
        .prop_map(|(protocol, side, ip, len)| Test::Net(protocol, side, IpNet::new(ip.into(), len).unwrap().trunc()));
    let six = (
        prop_oneof![Just(None), Just(Some("ip6"))],
        side(),
        v6(),
        prop_oneof![Just(128_u8), Just(64), Just(33), Just(16), Just(0)],
    )
        .prop_map(|(protocol, side, ip, len)| Test::Net(protocol, side, IpNet::new(ip.into(), len).unwrap().trunc()));
    let ports = (prop_oneof![Just(None), Just(Some("tcp")), Just(Some("udp"))], side(), port(), port())
        .prop_map(|(protocol, side, a, b)| Test::Port(protocol, side, a.min(b), a.max(b)));
    let one = prop_oneof![
        protocol.prop_map(Test::Protocol),
        four,
        six,
        ports,
        (side(), mac()).prop_map(|(side, mac)| Test::Mac(side, mac)),
    ];
    one.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Test::Not(Box::new(inner))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Test::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Test::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn nobody(_: &str) -> Vec<IpAddr> {
    Vec::new()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_filter_takes_what_it_says(test in test(), packets in proptest::collection::vec(packet(), 1..20)) {
        let filter = parse(&test.text(), &nobody).map_err(|problem| TestCaseError::fail(format!("{}: {problem:?}", test.text())))?;
        let program = compile(filter.as_ref(), 96).expect("short enough");
        for packet in packets {
            let taken = run(&program, &packet.frame());
            prop_assert_eq!(taken, if test.holds(&packet) { 96 } else { 0 }, "{} of {:?}", test.text(), packet);
        }
    }

    #[test]
    fn any_text_is_a_filter_or_has_a_place(text in "[a-z0-9 ().:/!&|-]{0,60}") {
        match parse(&text, &nobody) {
            Ok(filter) => { compile(filter.as_ref(), 1).expect("short enough"); }
            Err(problem) => prop_assert!(text.get(problem.span.clone()).is_some(), "{:?}", problem),
        }
    }
}

#[test]
fn long_jumps_lead_where_short_ones_would() {
    let hosts: Vec<String> = (0..200).map(|last| format!("host 10.0.0.{last}")).collect();
    let text = hosts.join(" or ");
    let program = compile(parse(&text, &nobody).unwrap().as_ref(), 64).expect("a program");
    assert!(program.len() > 1000);
    for (last, taken) in [(0, 64), (100, 64), (199, 64), (200, 0)] {
        let from = Ipv4Addr::new(10, 0, 0, last);
        let body = Body::Ip {
            from: from.into(),
            to: Ipv4Addr::new(9, 9, 9, 9).into(),
            options: 0,
            fragment: false,
            protocol: 6,
            ports: [1, 2],
        };
        assert_eq!(run(&program, &Packet { macs: [[2; 6]; 2], body }.frame()), taken);
    }
    let text = (0..4000).map(|port| format!("port {port}")).collect::<Vec<_>>().join(" or ");
    let longer = parse(text[..16_000].rsplit_once(" or ").unwrap().0, &nobody).unwrap();
    assert!(compile(longer.as_ref(), 1).is_err());
}

#[test]
fn names_are_those_of_nodes() {
    let nodes = |name: &str| match name {
        "web" => vec![IpAddr::from([10, 0, 0, 1]), "fd00::1".parse().unwrap()],
        _ => Vec::new(),
    };
    let same = |a: &str, b: &str| assert_eq!(parse(a, &nodes).unwrap(), parse(b, &nodes).unwrap(), "{a} / {b}");
    same("host web", "host 10.0.0.1 or host fd00::1");
    same("src web", "src host 10.0.0.1 or src host fd00::1");
    same("web", "host web");
    same("ip host web", "ip host 10.0.0.1");
    same("port 80 or 443", "port 80 or port 443");
    same("tcp src port 80 or 443", "tcp src port 80 or tcp src port 443");
    same("host web and not arp", "host web && ! arp");
    assert_eq!(parse("  ", &nodes).unwrap(), None);
}

/// What is said of each, in `cases/filters.txt`; `UPDATE_CASES=1 cargo test` rewrites it.
#[test]
fn what_is_refused_has_its_place() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/filters.txt");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let all = [
        "tcp prot 80",
        "port",
        "port http",
        "port 80-90",
        "portrange 90-80",
        "port 70000",
        "host nobody",
        "host 10.0.0.0/8",
        "net 10.0.0.1/8",
        "net 10",
        "vlan 5",
        "tcp[13] & 2 != 0",
        "(tcp",
        "tcp)",
        "tcp udp",
        "and tcp",
        "not",
        "tcp or",
        "icmp port 80",
        "ether host 10.0.0.1",
        "tcp host 10.0.0.1",
        "ip host fd00::1",
        "greater x",
        "ip proto 300",
        "src proto 6",
        "hots 10.0.0.1",
        "web",
        "inbound and tcp",
        "gateway 10.0.0.1",
        "ether port 80",
    ];
    let mut now = String::new();
    for text in all {
        let problem = parse(text, &nobody).expect_err(text);
        now += &format!("{}\n", render(&[*problem], "filter", text, false));
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(path, now).unwrap();
    } else {
        assert_eq!(now, before);
    }
}
