//! NATs as found in the field, examined from inside as STUN does (RFC 5780): two addresses with two ports each outside. Which
//! mapping do they see, who of them gets back in, do neighbours meet by their outer addresses, does the port stay?

mod common;

use std::net::{SocketAddr, UdpSocket};

use common::traffic::{IMPATIENCE, PATIENCE, datagram, is_closed, listen, raum, tcp, udp, up, within};
use common::world::{done, route};
use raum_kernel::{Linux, sandbox};

const LAB: &str = "
lab: field
switches:
  home: { subnet: [192.168.77.0/24, \"fd77:1::/64\"], gateway: router }
namespaces:
  router: { on: home, nat: { out: wan, like: KIND }, forward: [\"wan 8080 -> laptop:80\"] }
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
#[derive(Debug, PartialEq, Eq)]
enum Dependence {
    Endpoint,
    Address,
    AddressAndPort,
}

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
        assert_eq!(heard, phone_outside, "with the outer address and port (REQ-9)");
        assert!(datagram(&fresh, &heard.to_string(), &phone, PATIENCE).is_some(), "and back");
    }
    Behaviour {
        mapping,
        filtering,
        keeps_port: first.port() == 5000 && mapped.port() == 5001,
        hairpin: heard.is_some(),
    }
}

fn examine(kind: &str, expected: &Behaviour, seconds: [&str; 3]) {
    up(&LAB.replace("KIND", kind));
    let (fine, said) = raum(&["status", "field"]);
    assert!(fine, "{said}");
    let keys = ["udp_timeout", "udp_timeout_stream", "tcp_timeout_established"];
    for (key, seconds) in keys.into_iter().zip(seconds) {
        let file = format!("/proc/sys/net/netfilter/nf_conntrack_{key}");
        let found = within("field-router", || std::fs::read_to_string(&file)).expect("a sysctl");
        assert_eq!(found.trim(), seconds, "{key}");
    }
    for place in &PLACES {
        assert_eq!(&probe(place), expected, "{kind}, {}", place.laptop);
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
    sandbox::run(|| examine("home", &expected, ["60", "180", "7440"]));
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
    sandbox::run(|| examine("corporate", &expected, ["120", "120", "3600"]));
}

#[test]
fn like_cloud() {
    let expected = Behaviour {
        mapping: Dependence::AddressAndPort,
        filtering: Dependence::AddressAndPort,
        keeps_port: false,
        hairpin: false,
    };
    sandbox::run(|| examine("cloud", &expected, ["350", "350", "350"]));
}

#[test]
fn like_full_cone() {
    let expected =
        Behaviour { mapping: Dependence::Endpoint, filtering: Dependence::Endpoint, keeps_port: true, hairpin: true };
    sandbox::run(|| examine("full-cone", &expected, ["300", "300", "7440"]));
}

#[test]
fn like_carrier_grade() {
    let expected =
        Behaviour { mapping: Dependence::Endpoint, filtering: Dependence::Endpoint, keeps_port: true, hairpin: true };
    sandbox::run(|| examine("carrier-grade", &expected, ["300", "300", "7440"]));
}

/// ICMP errors and queries find their way through every kind (RFC 5508, REQ-1 to REQ-6).
#[test]
fn icmp_passes_every_kind() {
    sandbox::run(|| {
        for kind in ["home", "corporate", "full-cone", "carrier-grade", "cloud"] {
            up(&LAB.replace("KIND", kind));
            let (fine, said) = raum(&["ping", "-c", "1", "-W", "5", "field-laptop", "server"]);
            assert!(fine, "{kind}: {said}");
            for place in &PLACES {
                // nobody listens there: the server's ICMP error must come back to the very socket
                let client = udp(Some("field-laptop"), &format!("{}:0", place.laptop));
                client.connect(format!("{}:9", place.servers[0])).expect("connected");
                client.send(b"x").expect("sent");
                let refused = client.recv(&mut [0; 8]).expect_err("no answer").kind();
                assert_eq!(refused, std::io::ErrorKind::ConnectionRefused, "{kind}, {}", place.laptop);
            }
        }
    });
}
