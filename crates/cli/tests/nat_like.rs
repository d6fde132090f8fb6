//! NATs as found in the field, examined from inside as STUN does (RFC 5780): two addresses with two ports each outside. Which
//! mapping do they see, who of them gets back in, do neighbours meet by their outer addresses, does the port stay? Presets, and
//! all combinations of the keys.

mod common;

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use common::traffic::{IMPATIENCE, PATIENCE, address, datagram, is_closed, listen, raum, tcp, udp, up, within};
use common::world::{done, route};
use raum_kernel::{Linux, sandbox};
use rustix::net::sockopt::{Timeout, set_socket_reuseaddr, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType, bind, connect};

const LAB: &str = "
lab: field
switches:
  home: { subnet: [192.168.77.0/24, \"fd77:1::/64\"], gateway: router }
namespaces:
  router: { on: home, nat: { out: wan, KIND }, forward: [\"wan 8080 -> laptop:80\"] }
  laptop: { on: home 192.168.77.10 fd77:1::10 }
  phone: { on: home 192.168.77.11 fd77:1::11 }
  server: { }
links:
  - ends: [\"router:wan 203.0.113.2/29 fd77:2::2/64\", \"server 203.0.113.3/29 203.0.113.4/29 fd77:2::3/64 fd77:2::4/64\"]
";

/// One family's addresses: inside, outside, the router's outer one.
struct Place {
    laptop: &'static str,
    phone: &'static str,
    servers: [&'static str; 2],
}

const PLACES: [Place; 2] = [
    Place { laptop: "192.168.77.10", phone: "192.168.77.11", servers: ["203.0.113.3", "203.0.113.4"] },
    Place { laptop: "[fd77:1::10]", phone: "[fd77:1::11]", servers: ["[fd77:2::3]", "[fd77:2::4]"] },
];

/// Whom a mapping, or a filter, tells apart (RFC 4787, sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dependence {
    Endpoint,
    Address,
    AddressAndPort,
}

const ALL: [(Dependence, &str); 3] = [
    (Dependence::Endpoint, "endpoint-independent"),
    (Dependence::Address, "address-dependent"),
    (Dependence::AddressAndPort, "address-and-port-dependent"),
];

/// What a probe finds.
#[derive(Debug, PartialEq, Eq)]
struct Behaviour {
    mapping: Dependence,
    filtering: Dependence,
    keeps_port: bool,
    hairpin: bool,
}

/// Asks the servers, and lets them ask back.
fn probe(place: &Place) -> Behaviour {
    let server = |address: &str, port: u16| udp(Some("field-server"), &format!("{address}:{port}"));
    let at = |address: &str, port: u16| format!("{address}:{port}");
    let [a, b] = place.servers;
    let (a1, a2, b1, b2) = (server(a, 3478), server(a, 3479), server(b, 3478), server(b, 3479));

    // mapping: one socket, three destinations (RFC 5780, section 4.3)
    let client = udp(Some("field-laptop"), &at(place.laptop, 5000));
    let seen = |to: &UdpSocket, address: &str, port: u16| -> SocketAddr {
        datagram(&client, &at(address, port), to, PATIENCE).expect("out")
    };
    let (first, other_port, other_address) = (seen(&a1, a, 3478), seen(&a2, a, 3479), seen(&b1, b, 3478));
    let mapping = match (first == other_port, first == other_address) {
        (true, true) => Dependence::Endpoint,
        (true, false) => Dependence::Address,
        _ => Dependence::AddressAndPort,
    };

    // filtering: a fresh socket that has asked one server only (section 4.4)
    let fresh = udp(Some("field-laptop"), &at(place.laptop, 5001));
    let mapped = datagram(&fresh, &at(a, 3478), &a1, PATIENCE).expect("out");
    let mapped_text = mapped.to_string();
    assert!(datagram(&a1, &mapped_text, &fresh, PATIENCE).is_some(), "an answer comes in");
    let back = |from: &UdpSocket| datagram(from, &mapped_text, &fresh, IMPATIENCE).is_some();
    let filtering = match (back(&a2), back(&b2)) {
        (true, true) => Dependence::Endpoint,
        (true, false) => Dependence::Address,
        _ => Dependence::AddressAndPort,
    };

    // hairpin: the neighbour speaks to the outer address (RFC 4787, section 6)
    let phone = udp(Some("field-phone"), &at(place.phone, 6000));
    let phone_outside = datagram(&phone, &at(a, 3478), &a1, PATIENCE).expect("out");
    let heard = datagram(&phone, &mapped_text, &fresh, IMPATIENCE);
    if let Some(heard) = heard {
        assert_eq!(heard.ip(), phone_outside.ip(), "with the outer address (REQ-9)");
        if mapping == Dependence::Endpoint {
            assert_eq!(heard, phone_outside, "and port");
        }
        assert!(datagram(&fresh, &heard.to_string(), &phone, PATIENCE).is_some(), "and back");
    }
    if keeps_port(&first, &mapped) {
        // two of them with the same port and different destinations: it is the first one's, for the whole world
        let rival = udp(Some("field-phone"), &at(place.phone, 5000));
        let theirs = datagram(&rival, &at(b, 3479), &b2, PATIENCE).expect("out");
        if heard.is_some() || filtering != Dependence::AddressAndPort {
            assert_ne!(theirs, first, "nobody else gets a port that is taken");
        }
        let reply = datagram(&b2, &theirs.to_string(), &rival, PATIENCE);
        assert!(reply.is_some(), "the rival has its answer");
    }
    Behaviour { mapping, filtering, keeps_port: keeps_port(&first, &mapped), hairpin: heard.is_some() }
}

fn keeps_port(first: &SocketAddr, second: &SocketAddr) -> bool {
    first.port() == 5000 && second.port() == 5001
}

/// TCP: a listener on the port of a connection, as for simultaneous opens (RFC 5382, REQ-1 and REQ-3). Who gets in?
fn tcp_filtering(place: &Place) -> Dependence {
    let [a, b] = place.servers;
    let (web, from) = (listen("field-server", &format!("{a}:80")), format!("{}:5500", place.laptop));
    let first = within("field-laptop", || from_port(&from, &format!("{a}:80"), PATIENCE)).expect("out");
    let (_kept, outer) = web.accept().expect("a connection");
    let door = listen("field-laptop", &from);
    let gets_in = |server: &str| {
        let to = outer.to_string();
        let came = within("field-server", || from_port(&format!("{server}:81"), &to, IMPATIENCE));
        came.is_some_and(|client| {
            let (_, seen) = door.accept().expect("the same connection");
            seen == client.local_addr().expect("an address")
        })
    };
    let filtering = match (gets_in(a), gets_in(b)) {
        (true, true) => Dependence::Endpoint,
        (true, false) => Dependence::Address,
        _ => Dependence::AddressAndPort,
    };
    drop(first);
    filtering
}

/// A connection from a port that others may listen at.
fn from_port(from: &str, to: &str, patience: Duration) -> Option<TcpStream> {
    let (from, to): (SocketAddr, SocketAddr) = (address(from), address(to));
    let family = if from.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket(family, SocketType::STREAM, None).expect("a socket");
    set_socket_reuseaddr(&socket, true).expect("an option");
    set_socket_timeout(&socket, Timeout::Send, Some(patience)).expect("an option");
    bind(&socket, &from).expect("a port");
    connect(&socket, &to).ok()?;
    Some(socket.into())
}

fn examine(kind: &str, expected: &Behaviour, seconds: [&str; 4]) {
    up(&LAB.replace("KIND", kind));
    let (fine, said) = raum(&["status", "field"]);
    assert!(fine, "{said}");
    let [udp, stream, tcp_seconds, icmp] = seconds;
    let keys = [
        ("udp_timeout", udp),
        ("udp_timeout_stream", stream),
        ("tcp_timeout_established", tcp_seconds),
        ("icmp_timeout", icmp),
        ("icmpv6_timeout", icmp),
    ];
    for (key, seconds) in keys {
        let file = format!("/proc/sys/net/netfilter/nf_conntrack_{key}");
        let found = within("field-router", || std::fs::read_to_string(&file)).expect("a sysctl");
        assert_eq!(found.trim(), seconds, "{key}");
    }
    for place in &PLACES {
        assert_eq!(&probe(place), expected, "{kind}, {}", place.laptop);
        assert_eq!(tcp_filtering(place), expected.filtering, "{kind}, TCP, {}", place.laptop);
    }
    // a forwarded port is open in any case, what is not forwarded is closed, also by the inner address
    let routes = [("192.168.77.0/24", "203.0.113.2"), ("fd77:1::/64", "fd77:2::2")];
    done(&mut Linux::new().expect("the kernel"), &routes.map(|(to, via)| route("field-server", "eth0", to, via)));
    for (any, outer, inner) in [("0.0.0.0", "203.0.113.2", "192.168.77.10"), ("[::]", "[fd77:2::2]", "[fd77:1::10]")] {
        let web = listen("field-laptop", &format!("{any}:80"));
        assert!(tcp(Some("field-server"), &format!("{outer}:8080"), &web).is_ok());
        assert!(tcp(Some("field-router"), &format!("{inner}:80"), &web).is_ok());
        assert!(is_closed(Some("field-server"), &format!("{inner}:80")), "{kind}: in by the inner address");
    }
}

#[test]
fn like_home() {
    let expected = Behaviour {
        mapping: Dependence::Endpoint,
        filtering: Dependence::AddressAndPort,
        keeps_port: true,
        hairpin: false,
    };
    sandbox::run(|| examine("like: home", &expected, ["60", "180", "7440", "30"]));
}

/// "Symmetric".
#[test]
fn like_corporate() {
    let expected = Behaviour {
        mapping: Dependence::AddressAndPort,
        filtering: Dependence::AddressAndPort,
        keeps_port: false,
        hairpin: false,
    };
    sandbox::run(|| examine("like: corporate", &expected, ["120", "120", "3600", "2"]));
}

#[test]
fn like_cloud() {
    let expected = Behaviour {
        mapping: Dependence::AddressAndPort,
        filtering: Dependence::AddressAndPort,
        keeps_port: false,
        hairpin: false,
    };
    sandbox::run(|| examine("like: cloud", &expected, ["350", "350", "350", "350"]));
}

#[test]
fn like_full_cone() {
    let expected =
        Behaviour { mapping: Dependence::Endpoint, filtering: Dependence::Endpoint, keeps_port: true, hairpin: true };
    sandbox::run(|| examine("like: full-cone", &expected, ["300", "300", "7440", "60"]));
}

#[test]
fn like_carrier_grade() {
    let expected =
        Behaviour { mapping: Dependence::Endpoint, filtering: Dependence::Endpoint, keeps_port: true, hairpin: true };
    sandbox::run(|| examine("like: carrier-grade", &expected, ["300", "300", "7440", "60"]));
}

#[test]
fn like_restricted() {
    let expected =
        Behaviour { mapping: Dependence::Endpoint, filtering: Dependence::Address, keeps_port: true, hairpin: true };
    sandbox::run(|| examine("like: restricted", &expected, ["300", "300", "7440", "60"]));
}

#[test]
fn like_port_restricted() {
    let expected = Behaviour {
        mapping: Dependence::Endpoint,
        filtering: Dependence::AddressAndPort,
        keeps_port: true,
        hairpin: true,
    };
    sandbox::run(|| examine("like: port-restricted", &expected, ["300", "300", "7440", "60"]));
}

/// Single keys override a preset; what the preset does not say either is the kernel's.
#[test]
fn keys_override_a_preset() {
    let expected =
        Behaviour { mapping: Dependence::Address, filtering: Dependence::Endpoint, keeps_port: false, hairpin: false };
    let keys =
        "like: full-cone, mapping: address-dependent, ports: random, hairpin: false, timeouts: { udp: 45, icmp: 7 }";
    sandbox::run(|| examine(keys, &expected, ["45", "300", "7440", "7"]));
}

/// Every filtering, choice of ports and hairpin, with one mapping, in both families.
fn combinations((mapping, word): (Dependence, &str)) {
    sandbox::run(|| {
        for (filtering, filter) in ALL {
            for (keeps_port, ports) in [(true, "preserve"), (false, "random")] {
                for hairpin in [false, true] {
                    let keys = format!("mapping: {word}, filtering: {filter}, ports: {ports}, hairpin: {hairpin}");
                    up(&LAB.replace("KIND", &keys));
                    let (fine, said) = raum(&["status", "field"]);
                    assert!(fine, "{keys}: {said}");
                    for place in &PLACES {
                        let expected = Behaviour { mapping, filtering, keeps_port, hairpin };
                        assert_eq!(probe(place), expected, "{keys}, {}", place.laptop);
                    }
                    let (fine, said) = raum(&["down", "field"]);
                    assert!(fine, "{keys}: {said}");
                }
            }
        }
    });
}

#[test]
fn endpoint_independent_mapping_with_everything() {
    combinations(ALL[0]);
}

#[test]
fn address_dependent_mapping_with_everything() {
    combinations(ALL[1]);
}

#[test]
fn address_and_port_dependent_mapping_with_everything() {
    combinations(ALL[2]);
}

/// A fixed source on a routed network, whatever the NAT is like.
#[test]
fn a_fixed_source_behaves_as_the_interface_s_own() {
    sandbox::run(|| {
        for kind in ["home", "corporate", "restricted"] {
            up(&LAB.replace("KIND", &format!("source: [198.51.100.7, \"fd77:9::7\"], like: {kind}")));
            let routes = [("198.51.100.7/32", "203.0.113.2"), ("fd77:9::7/128", "fd77:2::2")];
            done(
                &mut Linux::new().expect("the kernel"),
                &routes.map(|(to, via)| route("field-server", "eth0", to, via)),
            );
            for (place, source) in PLACES.iter().zip(["198.51.100.7", "fd77:9::7"]) {
                let server = udp(Some("field-server"), &format!("{}:3478", place.servers[0]));
                let client = udp(Some("field-laptop"), &format!("{}:5000", place.laptop));
                let to = format!("{}:3478", place.servers[0]);
                let seen = datagram(&client, &to, &server, PATIENCE).expect("out");
                assert_eq!(seen.ip().to_string(), source, "{kind}");
                assert!(datagram(&server, &seen.to_string(), &client, PATIENCE).is_some(), "{kind}: and back");
                let other = udp(Some("field-server"), &format!("{}:3479", place.servers[0]));
                let comes = datagram(&other, &seen.to_string(), &client, IMPATIENCE).is_some();
                assert_eq!(comes, kind == "restricted", "{kind}: from another port");
            }
            let (fine, said) = raum(&["down", "field"]);
            assert!(fine, "{said}");
        }
    });
}

/// ICMP errors and queries find their way through every kind (RFC 5508, REQ-1 to REQ-6).
#[test]
fn icmp_passes_every_kind() {
    sandbox::run(|| {
        for kind in ["home", "corporate", "full-cone", "restricted", "port-restricted", "carrier-grade", "cloud"] {
            up(&LAB.replace("KIND", &format!("like: {kind}")));
            let (fine, said) = raum(&["ping", "-c", "1", "-W", "5000", "field-laptop", "server"]);
            assert!(fine, "{kind}: {said}");
            for place in &PLACES {
                // nobody listens there: the server's ICMP error must come back to the very socket
                let client = udp(Some("field-laptop"), &format!("{}:0", place.laptop));
                client.connect(format!("{}:9", place.servers[0])).expect("connected");
                client.send(b"x").expect("sent");
                let refused = client.recv(&mut [0; 8]).expect_err("no answer").kind();
                assert_eq!(refused, std::io::ErrorKind::ConnectionRefused, "{kind}, {}", place.laptop);
            }
            // a kernel sends six such errors in a row to one address (`icmp_ratelimit`): the next kind gets a new one
            let (fine, said) = raum(&["down", "field"]);
            assert!(fine, "{said}");
        }
    });
}
