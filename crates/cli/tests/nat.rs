//! Address translation with real packets, IPv4 and IPv6: fixed sources, SCTP, localhost, and what must not get through.

mod common;

use std::net::IpAddr;

use common::sctp::{Came, INIT, INIT_ACK, Raw};
use common::traffic::{PATIENCE, address, bridged, datagram, ip, is_closed, listen, raum, tcp, udp, up, within};
use common::world::{done, route, world};
use raum_core::name::{IfName, NsId};
use raum_core::plan::Op;
use raum_kernel::{Linux, sandbox};

const SHOP: &str = "
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"], gateway: host, nat: true }
namespaces:
  web: { on: lan 10.10.0.10 fd10:10::10, publish: [\"8080:80\", \"5353:53/udp\", \"3868:3869/sctp\", \"9000-9009:9100-9109\"] }
  db:  { on: lan 10.10.0.20 fd10:10::20 }
";

const STREET: &str = "
lab: street
switches:
  home: { subnet: [192.168.77.0/24, \"fd77:1::/64\"], gateway: router }
namespaces:
  router: { on: home, nat: { out: wan }, forward: [\"wan 3868/sctp -> laptop:3869\"] }
  laptop: { on: home 192.168.77.10 fd77:1::10 }
  server: { }
links:
  - ends: [\"router:wan 203.0.113.2/29 203.0.113.3/29 fd77:2::2/64 fd77:2::3/64\", \"server 203.0.113.1/29 fd77:2::1/64\"]
";

fn ifname(name: &str) -> IfName {
    IfName::new(name).expect("a name")
}

/// A second `up` has nothing to do.
fn is_settled(lab: &str) {
    let (fine, said) = raum(&["status", lab]);
    assert!(fine, "{said}");
}

fn give_host(addresses: &[&str]) {
    let add = |address: &&str| Op::AddAddress {
        ns: NsId::Host,
        link: ifname("up0"),
        address: address.parse().expect("an address"),
    };
    done(&mut Linux::new().expect("the kernel"), &addresses.iter().map(add).collect::<Vec<_>>());
}

#[test]
fn what_leaves_the_host_has_the_fixed_source() {
    sandbox::run(|| {
        world();
        give_host(&["198.51.100.9/24", "fd51::9/64"]);
        let lab = SHOP.replace("nat: true", "nat: { out: up0, source: [198.51.100.9, \"fd51::9\"] }");
        up(&lab);
        is_settled("shop");
        for (at, seen) in [("198.51.100.1:9000", "198.51.100.9"), ("[fd51::1]:9000", "fd51::9")] {
            let server = listen("world-net", at);
            assert_eq!(tcp(Some("shop-web"), at, &server), Ok(ip(seen)));
        }
        // of one family only: the other is masqueraded
        up(&lab.replace("source: [198.51.100.9, \"fd51::9\"]", "source: \"fd51::9\""));
        for (at, seen) in [("198.51.100.1:9000", "198.51.100.2"), ("[fd51::1]:9000", "fd51::9")] {
            let server = listen("world-net", at);
            assert_eq!(tcp(Some("shop-web"), at, &server), Ok(ip(seen)));
        }
    });
}

#[test]
fn what_leaves_a_router_has_the_fixed_source() {
    sandbox::run(|| {
        up(&STREET.replace("{ out: wan }", "{ out: wan, source: [203.0.113.3, \"fd77:2::3\"] }"));
        is_settled("street");
        for (at, seen) in [("203.0.113.1:9000", "203.0.113.3"), ("[fd77:2::1]:9000", "fd77:2::3")] {
            let server = listen("street-server", at);
            assert_eq!(tcp(Some("street-laptop"), at, &server), Ok(ip(seen)));
        }
        // of one family only: the other is masqueraded, by an address of the kernel's choice
        up(&STREET.replace("{ out: wan }", "{ out: wan, source: 203.0.113.3 }"));
        let server = listen("street-server", "203.0.113.1:9000");
        assert_eq!(tcp(Some("street-laptop"), "203.0.113.1:9000", &server), Ok(ip("203.0.113.3")));
        let server = listen("street-server", "[fd77:2::1]:9000");
        let seen = tcp(Some("street-laptop"), "[fd77:2::1]:9000", &server).expect("connected");
        assert!([ip("fd77:2::2"), ip("fd77:2::3")].contains(&seen), "{seen}");
    });
}

/// An association's first two packets: in by the published port, answered, the answer from that port again.
fn associate(client: (&str, &str), published: &str, server: (&str, &str)) {
    let from = within(client.0, || Raw::open(address(client.1)));
    let to = within(server.0, || Raw::open(address(server.1)));
    from.send(address(client.1).port(), address(published), INIT);
    let port = address(client.1).port();
    let came = to.receive(PATIENCE).expect("the server hears");
    assert_eq!(came, Came { from_port: port, to_port: address(server.1).port(), chunk: INIT });
    // the client's address is kept: the answer goes there
    to.send(address(server.1).port(), address(client.1), INIT_ACK);
    let came = from.receive(PATIENCE).expect("the client hears");
    assert_eq!(came, Came { from_port: address(published).port(), to_port: port, chunk: INIT_ACK });
}

#[test]
fn sctp_is_published_on_the_host() {
    sandbox::run(|| {
        world();
        up(SHOP);
        is_settled("shop");
        associate(("world-net", "198.51.100.1:4444"), "198.51.100.2:3868", ("shop-web", "10.10.0.10:3869"));
        associate(("world-net", "[fd51::1]:4444"), "[fd51::2]:3868", ("shop-web", "[fd10:10::10]:3869"));
    });
}

#[test]
fn sctp_is_forwarded_by_a_router() {
    sandbox::run(|| {
        up(STREET);
        is_settled("street");
        let (four, six) = ("192.168.77.10:3869", "[fd77:1::10]:3869");
        associate(("street-server", "203.0.113.1:4444"), "203.0.113.2:3868", ("street-laptop", four));
        associate(("street-server", "[fd77:2::1]:4444"), "[fd77:2::2]:3868", ("street-laptop", six));
    });
}

#[test]
fn a_range_of_ports_leads_to_as_many() {
    sandbox::run(|| {
        world();
        up(SHOP);
        for (at, to) in [
            ("0.0.0.0:9100", "198.51.100.2:9000"),
            ("[::]:9109", "[fd51::2]:9009"),
            ("0.0.0.0:9109", "198.51.100.2:9009"),
        ] {
            let server = listen("shop-web", at);
            assert!(tcp(Some("world-net"), to, &server).is_ok(), "{to}");
        }
        assert!(is_closed(Some("world-net"), "198.51.100.2:9010"));
    });
}

#[test]
fn localhost_leads_to_a_published_port_in_both_families() {
    sandbox::run(|| {
        world();
        bridged("0");
        up(SHOP);
        let server = listen("shop-web", "[::]:80");
        let v4 = |text: &str| {
            IpAddr::from(match ip(text) {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            })
        };
        assert_eq!(tcp(None, "127.0.0.1:8080", &server), Ok(v4("10.10.0.1")));
        assert_eq!(tcp(None, "[::1]:8080", &server), Ok(ip("fd10:10::1")));
        let listening = udp(Some("shop-web"), "[::]:53");
        for (from, to) in [("127.0.0.1:0", "127.0.0.1:5353"), ("[::1]:0", "[::1]:5353")] {
            let client = udp(None, from);
            let seen = datagram(&client, to, &listening, PATIENCE).expect("heard");
            listening.send_to(b"an answer", seen).expect("sent");
            let mut buffer = [0; 16];
            let (length, answered) = client.recv_from(&mut buffer).expect("answered");
            assert_eq!((&buffer[..length], answered), (&b"an answer"[..], address(to)));
        }
        // nothing but the published port is meant
        assert!(is_closed(None, "[::1]:8081"));
        // a second lab has a way of its own, and the first keeps its when that one goes
        up(&SHOP
            .replace("lab: shop", "lab: other")
            .replace("10.10", "10.11")
            .replace("fd10:10:", "fd10:11:")
            .replace("8080", "8081")
            .replace("5353", "5354")
            .replace("3868", "3867")
            .replace("9000-9009", "9010-9019"));
        let other = listen("other-web", "[::]:80");
        assert_eq!(tcp(None, "[::1]:8081", &other), Ok(ip("fd10:11::1")));
        assert_eq!(tcp(None, "[::1]:8080", &server), Ok(ip("fd10:10::1")));
        assert!(raum(&["down", "other"]).0);
        assert_eq!(tcp(None, "[::1]:8080", &server), Ok(ip("fd10:10::1")));
    });
}

#[test]
fn where_localhost_cannot_lead_by_ipv6_it_is_refused_at_once() {
    sandbox::run(|| {
        world();
        bridged("1");
        up(SHOP);
        is_settled("shop");
        let server = listen("shop-web", "[::]:80");
        assert!(tcp(None, "127.0.0.1:8080", &server).is_ok());
        if std::path::Path::new("/proc/sys/net/bridge/bridge-nf-call-ip6tables").exists() {
            let refused = std::net::TcpStream::connect_timeout(&address("[::1]:8080"), PATIENCE);
            assert_eq!(refused.expect_err("refused").kind(), std::io::ErrorKind::ConnectionRefused);
            let lab = SHOP.replace("publish: [", "publish: [\"[::1]:81:81\", ");
            std::fs::write("/run/at.yaml", lab).expect("a file");
            let (fine, said) = raum(&["check", "/run/at.yaml"]);
            assert!(!fine && said.contains("br_netfilter"), "{said}");
        }
    });
}

#[test]
fn published_at_localhost_only_is_closed_to_everybody_else() {
    sandbox::run(|| {
        world();
        bridged("0");
        up("
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"], gateway: host }
namespaces:
  web: { on: lan, publish: [\"127.0.0.1:8080:80\", \"[::1]:8080:80\"] }
  db: { on: lan }
");
        is_settled("shop");
        let server = listen("shop-web", "[::]:80");
        assert!(tcp(None, "127.0.0.1:8080", &server).is_ok());
        assert!(tcp(None, "[::1]:8080", &server).is_ok());
        for from in ["world-net", "shop-db"] {
            for to in ["198.51.100.2:8080", "[fd51::2]:8080", "10.10.0.1:8080", "[fd10:10::1]:8080"] {
                assert!(is_closed(Some(from), to), "{from} reached {to}");
            }
        }
    });
}

#[test]
fn members_of_an_isolated_switch_reach_the_gateway_only() {
    sandbox::run(|| {
        world();
        // else a packet for a published port is bridged to the other member, not routed (br_nf_pre_routing_finish)
        bridged("0");
        let lab = SHOP.replace("nat: true", "nat: true, isolated: true");
        assert_ne!(lab, SHOP);
        up(&lab);
        is_settled("shop");
        let routes = |to: &str, via: &str| route("shop-db", "eth0", to, via);
        for (at, direct) in [("0.0.0.0:80", "10.10.0.10:80"), ("[::]:80", "[fd10:10::10]:80")] {
            let server = listen("shop-web", at);
            assert!(is_closed(Some("shop-db"), direct), "{direct} was reached");
            // what is published is for everybody
            let published = if direct.starts_with('[') { "[fd10:10::1]:8080" } else { "10.10.0.1:8080" };
            assert!(tcp(Some("shop-db"), published, &server).is_ok());
            assert!(tcp(None, direct, &server).is_ok(), "the host itself reaches its members");
        }
        for at in ["198.51.100.1:9000", "[fd51::1]:9000"] {
            let server = listen("world-net", at);
            assert!(tcp(Some("shop-db"), at, &server).is_ok(), "the way out is open");
        }
        // by way of the gateway, on purpose
        let around = [routes("10.10.0.10/32", "10.10.0.1"), routes("fd10:10::10/128", "fd10:10::1")];
        done(&mut Linux::new().expect("the kernel"), &around);
        for (at, direct) in [("0.0.0.0:81", "10.10.0.10:81"), ("[::]:81", "[fd10:10::10]:81")] {
            let server = listen("shop-web", at);
            assert!(tcp(None, direct, &server).is_ok());
            assert!(is_closed(Some("shop-db"), direct), "{direct} was reached by way of the gateway");
        }
        // together again
        up(SHOP);
        let server = listen("shop-web", "0.0.0.0:80");
        assert!(tcp(Some("shop-db"), "10.10.0.10:80", &server).is_ok());
    });
}

#[test]
fn isolated_behind_a_router_as_well() {
    sandbox::run(|| {
        let lab = STREET
            .replace("gateway: router }", "gateway: router, isolated: true }")
            .replace("  server: { }", "  server: { }\n  phone: { on: home 192.168.77.11 fd77:1::11 }");
        up(&lab);
        is_settled("street");
        let around = [("192.168.77.10/32", "192.168.77.1"), ("fd77:1::10/128", "fd77:1::1")]
            .map(|(to, via)| route("street-phone", "eth0", to, via));
        for by_gateway in [false, true] {
            if by_gateway {
                done(&mut Linux::new().expect("the kernel"), &around);
            }
            for (at, to, out) in [
                ("0.0.0.0:80", "192.168.77.10:80", "203.0.113.1:9000"),
                ("[::]:80", "[fd77:1::10]:80", "[fd77:2::1]:9000"),
            ] {
                let server = listen("street-laptop", at);
                assert!(tcp(Some("street-router"), to, &server).is_ok());
                assert!(is_closed(Some("street-phone"), to), "{to}, by gateway: {by_gateway}");
                let server = listen("street-server", out);
                assert!(tcp(Some("street-phone"), out, &server).is_ok());
            }
        }
    });
}

#[test]
fn a_namespace_reaches_itself_by_its_published_port() {
    sandbox::run(|| {
        world();
        for meets in ["0", "1"] {
            bridged(meets);
            up(SHOP);
            let server = listen("shop-web", "[::]:80");
            for to in ["198.51.100.2:8080", "10.10.0.1:8080", "[fd51::2]:8080", "[fd10:10::1]:8080"] {
                assert!(tcp(Some("shop-web"), to, &server).is_ok(), "{to}, br_netfilter: {meets}");
            }
        }
    });
}

#[test]
fn a_host_behind_a_router_reaches_itself_and_its_neighbour_by_the_forwarded_port() {
    sandbox::run(|| {
        let lab = STREET
            .replace("forward: [", "forward: [\"2222 -> laptop:22\", ")
            .replace("  server: { }", "  server: { }\n  phone: { on: home 192.168.77.11 fd77:1::11 }");
        for meets in ["0", "1"] {
            bridged(meets);
            up(&lab);
            let server = listen("street-laptop", "[::]:22");
            for from in ["street-laptop", "street-phone", "street-server"] {
                for to in ["203.0.113.2:2222", "[fd77:2::2]:2222"] {
                    assert!(tcp(Some(from), to, &server).is_ok(), "{from} to {to}, br_netfilter: {meets}");
                }
            }
        }
    });
}
