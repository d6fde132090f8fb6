//! Real packets through every kind of connection in a lab file, IPv4 and IPv6, before and after changes.
//!
//! The labs are brought up by the real command in a sandbox; who speaks to whom is then asked of sockets inside the
//! namespaces, and what address the other side saw.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use common::traffic::{IMPATIENCE, PATIENCE, address, ip, is_closed, listen, raum, tcp, up, within};
use common::world::{done, route, world};
use raum_kernel::{Linux, sandbox};

const SHOP: &str = "
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"], gateway: host, nat: true }
namespaces:
  web: { on: lan 10.10.0.10 fd10:10::10, publish: [\"8080:80\", \"5353:53/udp\"] }
  db:  { on: lan 10.10.0.20 fd10:10::20 }
";

const STREET: &str = "
lab: street
switches:
  home: { subnet: [192.168.77.0/24, \"fd77:1::/64\"], gateway: router }
namespaces:
  router: { on: home, forwarding: true, nat: { out: wan }, forward: [\"wan 2222 -> laptop:22\", \"wan 5300/udp -> laptop:53\"] }
  laptop: { on: home 192.168.77.10 fd77:1::10 }
  server: { }
links:
  - ends: [\"router:wan 203.0.113.2/30 fd77:2::2/64\", \"server 203.0.113.1/30 fd77:2::1/64\"]
";

#[test]
fn a_lab_gets_out_under_the_hosts_address() {
    sandbox::run(|| {
        world();
        up(SHOP);
        for (at, seen) in [("198.51.100.1:9000", "198.51.100.2"), ("[fd51::1]:9000", "fd51::2")] {
            let server = listen("world-net", at);
            assert_eq!(tcp(Some("shop-web"), at, &server), Ok(ip(seen)));
        }
    });
}

#[test]
fn a_published_port_is_reached_from_everywhere_and_keeps_the_clients_address() {
    sandbox::run(|| {
        world();
        up(SHOP);
        let four = listen("shop-web", "0.0.0.0:80");
        assert_eq!(tcp(Some("world-net"), "198.51.100.2:8080", &four), Ok(ip("198.51.100.1")));
        // from the host itself, by its own address and by localhost
        assert!(tcp(None, "198.51.100.2:8080", &four).is_ok());
        assert!(tcp(None, "10.10.0.1:8080", &four).is_ok());
        assert_eq!(tcp(None, "127.0.0.1:8080", &four), Ok(ip("10.10.0.1")));
        // from the neighbour in the lab
        assert!(tcp(Some("shop-db"), "10.10.0.1:8080", &four).is_ok());
        assert!(tcp(Some("shop-db"), "198.51.100.2:8080", &four).is_ok());
        drop(four);
        let six = listen("shop-web", "[::]:80");
        assert_eq!(tcp(Some("world-net"), "[fd51::2]:8080", &six), Ok(ip("fd51::1")));
        assert!(tcp(None, "[fd51::2]:8080", &six).is_ok());
        assert!(tcp(Some("shop-db"), "[fd10:10::1]:8080", &six).is_ok());
    });
}

#[test]
fn what_is_not_published_is_not_reachable_from_the_hosts_network() {
    sandbox::run(|| {
        world();
        up(SHOP);
        // the neighbour routes into the lab on purpose
        let routes = [("10.10.0.0/24", "198.51.100.2"), ("fd10:10::/64", "fd51::2")];
        let routes = routes.map(|(to, via)| route("world-net", "eth0", to, via));
        done(&mut Linux::new().expect("the kernel"), &routes);
        for (at, to) in [("0.0.0.0:80", "10.10.0.10:80"), ("[::]:81", "[fd10:10::10]:81")] {
            let server = listen("shop-web", at);
            assert!(tcp(Some("shop-db"), to, &server).is_ok(), "the listener must be there for its own");
            let to = address(to);
            let tried = within("world-net", || TcpStream::connect_timeout(&to, IMPATIENCE));
            assert!(tried.is_err(), "{to} was reached from outside");
        }
    });
}

#[test]
fn two_labs_do_not_reach_each_other() {
    sandbox::run(|| {
        world();
        up(SHOP);
        up(&SHOP
            .replace("lab: shop", "lab: other")
            .replace("10.10", "10.11")
            .replace("fd10:10:", "fd10:11:")
            .replace("8080", "8081")
            .replace("5353", "5354"));
        for (at, to, own) in
            [("0.0.0.0:80", "10.10.0.10:80", "10.11.0.10:80"), ("[::]:81", "[fd10:10::10]:81", "[fd10:11::10]:81")]
        {
            for (server, to, neighbour, stranger) in
                [("shop-web", to, "shop-db", "other-web"), ("other-web", own, "other-db", "shop-web")]
            {
                let server = listen(server, at);
                assert!(tcp(Some(neighbour), to, &server).is_ok());
                assert!(is_closed(Some(stranger), to), "{stranger} reached {to}");
            }
        }
        // what is published is for everybody
        let server = listen("shop-web", "0.0.0.0:80");
        assert!(tcp(Some("other-web"), "198.51.100.2:8080", &server).is_ok());
    });
}

#[test]
fn a_router_translates_and_forwards_ports() {
    sandbox::run(|| {
        up(STREET);
        for (at, seen) in [("203.0.113.1:9000", "203.0.113.2"), ("[fd77:2::1]:9000", "fd77:2::2")] {
            let server = listen("street-server", at);
            assert_eq!(tcp(Some("street-laptop"), at, &server), Ok(ip(seen)));
        }
        let four = listen("street-laptop", "0.0.0.0:22");
        assert_eq!(tcp(Some("street-server"), "203.0.113.2:2222", &four), Ok(ip("203.0.113.1")));
        drop(four);
        let six = listen("street-laptop", "[::]:22");
        assert_eq!(tcp(Some("street-server"), "[fd77:2::2]:2222", &six), Ok(ip("fd77:2::1")));
    });
}

#[test]
fn a_connection_survives_a_change_elsewhere() {
    sandbox::run(|| {
        world();
        up(SHOP);
        let server = listen("shop-web", "0.0.0.0:80");
        let mut client =
            within("world-net", || TcpStream::connect_timeout(&address("198.51.100.2:8080"), PATIENCE)).expect("in");
        let (mut accepted, _) = server.accept().expect("accepted");
        accepted.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut speak = |word: &[u8; 4]| {
            client.write_all(word).expect("written");
            let mut got = [0; 4];
            accepted.read_exact(&mut got).expect("read");
            assert_eq!(&got, word);
        };
        speak(b"one.");
        // a node more, a port more, another node's address and MTU
        let changed = SHOP.replace(
            "db:  { on: lan 10.10.0.20 fd10:10::20 }",
            "db: { on: lan 10.10.0.30 }\n  new: { on: lan, publish: [\"9:9\"] }",
        );
        assert_ne!(changed, SHOP);
        up(&changed);
        speak(b"two.");
        up(SHOP);
        speak(b"tri.");
    });
}

#[test]
fn damage_by_hand_is_seen_and_repaired() {
    sandbox::run(|| {
        world();
        up(SHOP);
        assert!(raum(&["status", "shop"]).0);
        // as `ip netns del shop-db` would
        rustix::mount::unmount("/run/netns/shop-db", rustix::mount::UnmountFlags::DETACH).expect("unmounted");
        fs::remove_file("/run/netns/shop-db").expect("unlinked");
        let (fine, said) = raum(&["status", "shop"]);
        assert!(!fine && said.contains("shop-db"), "{said}");
        up(SHOP);
        assert!(raum(&["status", "shop"]).0);
        let server = listen("shop-db", "0.0.0.0:80");
        assert!(tcp(Some("shop-web"), "10.10.0.20:80", &server).is_ok());
    });
}

#[test]
fn two_labs_share_a_sysctl_and_the_last_one_puts_it_back() {
    sandbox::run(|| {
        world();
        let forwarding = || fs::read_to_string("/proc/sys/net/ipv4/conf/up0/forwarding").expect("a sysctl");
        assert_eq!(forwarding(), "0\n");
        up(SHOP);
        up(&SHOP
            .replace("lab: shop", "lab: other")
            .replace("10.10", "10.11")
            .replace("fd10:10:", "fd10:11:")
            .replace("8080", "8081")
            .replace("5353", "5354"));
        assert_eq!(forwarding(), "1\n");
        // what raum remembers in files is gone: the kernel's own objects must be enough
        fs::remove_dir_all("/run/raum").expect("removed");
        assert!(raum(&["down", "shop"]).0);
        assert_eq!(forwarding(), "1\n");
        assert!(raum(&["down", "other"]).0);
        assert_eq!(forwarding(), "0\n");
    });
}
