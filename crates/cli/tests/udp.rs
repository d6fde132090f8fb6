//! UDP flows that go on while ports are published and forwarded, moved and taken back: each next packet of the same flow goes
//! where the lab now says. A tracked flow by itself would be translated as its first packet was, for ever.

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use common::traffic::{IMPATIENCE, PATIENCE, address, datagram, udp, up};
use common::world::world;
use raum_kernel::sandbox;

const SHOP: &str = "
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"], gateway: host, nat: true }
namespaces:
  web: { on: lan 10.10.0.10 fd10:10::10, publish: [WEB] }
  db:  { on: lan 10.10.0.20 fd10:10::20, publish: [DB] }
";

const STREET: &str = "
lab: street
switches:
  home: { subnet: [192.168.77.0/24, \"fd77:1::/64\"], gateway: router }
namespaces:
  router: { on: home, nat: { out: wan }, forward: [FORWARD] }
  laptop: { on: home 192.168.77.10 fd77:1::10 }
  phone: { on: home 192.168.77.11 fd77:1::11 }
  server: { }
links:
  - ends: [\"router:wan 203.0.113.2/30 fd77:2::2/64\", \"server 203.0.113.1/30 fd77:2::1/64\"]
";

/// A client that never changes its port, and those who may hear it.
struct Ends {
    client: UdpSocket,
    to: &'static str,
    hearers: Vec<UdpSocket>,
}

impl Ends {
    fn new(client: (&str, &str), to: &'static str, hearers: [(&str, &str); 3]) -> Self {
        let hearers = hearers.iter().map(|(ns, at)| udp(Some(ns), at)).collect();
        Self { client: udp(Some(client.0), client.1), to, hearers }
    }

    /// Sends once, and asks who has heard it: this one, and nobody else.
    fn heard_by(&self, wanted: Option<usize>, step: &str) {
        let first = &self.hearers[wanted.unwrap_or(0)];
        let wait = if wanted.is_some() { PATIENCE } else { IMPATIENCE };
        let seen = datagram(&self.client, self.to, first, wait);
        let own: SocketAddr = self.client.local_addr().expect("an address");
        assert_eq!(seen, wanted.map(|_| own), "{step}: heard at {first:?}, with the client's address");
        for (number, other) in self.hearers.iter().enumerate().filter(|(number, _)| Some(*number) != wanted) {
            other.set_nonblocking(true).expect("a flag");
            assert!(other.recv(&mut [0; 16]).is_err(), "{step}: heard by {number}");
            other.set_nonblocking(false).expect("a flag");
        }
        if wanted.is_some() {
            // an answer, so that the flow counts as one of both sides
            assert!(datagram(first, &own.to_string(), &self.client, PATIENCE).is_some(), "{step}: the answer");
        }
    }
}

/// Brings up each lab in turn; in it, that one hears the client.
fn follow(steps: &[(&str, String, Option<usize>)], ends: impl FnOnce() -> Vec<Ends>) {
    let (_, lab, _) = &steps[0];
    up(lab);
    let ends = ends();
    for (step, lab, wanted) in steps {
        up(lab);
        for end in &ends {
            let family = if matches!(address(end.to).ip(), IpAddr::V4(_)) { "IPv4" } else { "IPv6" };
            end.heard_by(*wanted, &format!("{step}, {family}"));
        }
    }
}

#[test]
fn a_published_udp_port_follows_each_change_at_once() {
    sandbox::run(|| {
        world();
        let lab = |web: &str, db: &str| SHOP.replace("WEB", web).replace("DB", db);
        let (port, other) = ("\"5353:53/udp\"", "\"5353:54/udp\"");
        let steps = [
            ("not published", lab("", ""), None),
            ("added", lab(port, ""), Some(0)),
            ("another target port", lab(other, ""), Some(1)),
            ("moved to another namespace", lab("", port), Some(2)),
            ("back", lab(port, ""), Some(0)),
            ("removed", lab("", ""), None),
            ("added again", lab("", port), Some(2)),
        ];
        follow(&steps, || {
            let ends = |client, to, [one, two, three]: [&str; 3]| {
                Ends::new(("world-net", client), to, [("shop-web", one), ("shop-web", two), ("shop-db", three)])
            };
            vec![
                ends("198.51.100.1:4444", "198.51.100.2:5353", ["10.10.0.10:53", "10.10.0.10:54", "10.10.0.20:53"]),
                ends("[fd51::1]:4444", "[fd51::2]:5353", ["[fd10:10::10]:53", "[fd10:10::10]:54", "[fd10:10::20]:53"]),
            ]
        });
    });
}

#[test]
fn a_forwarded_udp_port_follows_each_change_at_once() {
    sandbox::run(|| {
        let lab = |forward: &str| STREET.replace("FORWARD", forward);
        let steps = [
            ("not forwarded", lab(""), None),
            ("added", lab("\"wan 5300/udp -> laptop:53\""), Some(0)),
            ("another target port", lab("\"wan 5300/udp -> laptop:54\""), Some(1)),
            ("moved to another namespace", lab("\"5300/udp -> phone:53\""), Some(2)),
            ("back", lab("\"wan 5300/udp -> laptop:53\""), Some(0)),
            ("removed", lab(""), None),
            ("added again", lab("\"wan 5300/udp -> phone:53\""), Some(2)),
        ];
        follow(&steps, || {
            let ends = |client, to, [one, two, three]: [&str; 3]| {
                let hearers = [("street-laptop", one), ("street-laptop", two), ("street-phone", three)];
                Ends::new(("street-server", client), to, hearers)
            };
            vec![
                ends(
                    "203.0.113.1:4444",
                    "203.0.113.2:5300",
                    ["192.168.77.10:53", "192.168.77.10:54", "192.168.77.11:53"],
                ),
                ends("[fd77:2::1]:4444", "[fd77:2::2]:5300", ["[fd77:1::10]:53", "[fd77:1::10]:54", "[fd77:1::11]:53"]),
            ]
        });
    });
}
