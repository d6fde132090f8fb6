//! What somebody changes by hand in a lab that is up: packets stop, `raum status` tells, `raum up` mends, packets pass. IPv4 and
//! IPv6 alike.

mod common;

use std::net::Ipv6Addr;
use std::process::Command;

use common::traffic::{is_closed, listen, raum, tcp, up, within};
use common::world::{done, route, world};
use raum_core::name::{IfName, NsId};
use raum_core::plan::{LinkChange, Op};
use raum_core::state::{PortFlag, Route};
use raum_kernel::message::Requests;
use raum_kernel::release::LOCKED_PORTS;
use raum_kernel::socket::{Protocol, Socket};
use raum_kernel::{Linux, sandbox};

const LAB: &str = "
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"] }
namespaces:
  web: { on: lan 10.10.0.10 fd10:10::10 }
  db:  { on: lan 10.10.0.20 fd10:10::20 }
";

fn ns(name: &str) -> NsId {
    name.parse().expect("a name")
}

fn link(name: &str) -> IfName {
    IfName::new(name).expect("a name")
}

fn set(place: &str, name: &str, set: LinkChange) -> Op {
    Op::SetLink { ns: ns(place), name: link(name), set }
}

fn address(place: &str, address: &str) -> Op {
    Op::AddAddress { ns: ns(place), link: link("eth0"), address: address.parse().expect("an address") }
}

fn lose(place: &str, to: &str, metric: u32) -> Op {
    let route = Route { metric, ..Route::unicast(to.parse().expect("a prefix"), None, link("eth0")) };
    Op::DelRoute { ns: ns(place), route }
}

/// Does web get through to db, by IPv4 and by IPv6, as it should? What should pass has time for a second try.
fn passes(should: [bool; 2], when: &str) {
    for (to, should) in ["10.10.0.20:80", "[fd10:10::20]:80"].into_iter().zip(should) {
        let server = listen("shop-db", to);
        if should {
            assert!(tcp(Some("shop-web"), to, &server).is_ok(), "{when}: {to}");
        } else {
            assert!(is_closed(Some("shop-web"), to), "{when}: {to}");
        }
    }
}

/// Brings the lab up, does something to it, and has raum tell and mend it: in as many steps, with these words.
fn drift(what: &str, by_hand: &[Op], passing: [bool; 2], steps: &[&str]) {
    up(LAB);
    passes([true; 2], &format!("{what}: before"));
    let mut host = Linux::new().expect("the kernel");
    by_hand.iter().for_each(|op| done(&mut host, std::slice::from_ref(op)));
    passes(passing, what);
    let (fine, said) = raum(&["status", "shop"]);
    assert!(!fine && said.contains("has changed"), "{what}: {said}");
    let told: Vec<&str> = said.lines().filter(|line| line.starts_with("  ") && !line.contains("raum up")).collect();
    assert_eq!(told.len(), steps.len(), "{what}: {said}");
    for step in steps {
        assert!(said.contains(step), "{what}: `{step}` is not in\n{said}");
    }
    up(LAB);
    let (fine, said) = raum(&["status", "shop"]);
    assert!(fine, "{what}: {said}");
    passes([true; 2], &format!("{what}: afterwards"));
    assert!(raum(&["down", "shop"]).0);
}

#[test]
fn a_subnets_route_that_was_removed_comes_back() {
    sandbox::run(|| {
        drift(
            "IPv4",
            &[lose("shop-web", "10.10.0.0/24", 0)],
            [false, true],
            &["+ shop-web: route 10.10.0.0/24 dev eth0, of 10.10.0.10/24"],
        );
        drift(
            "IPv6",
            &[lose("shop-web", "fd10:10::/64", 256)],
            [true, false],
            &["+ shop-web: route fd10:10::/64 dev eth0, of fd10:10::10/64"],
        );
        // replaced by one that leads nowhere, which takes the kernel's place
        let instead = Route::unicast(
            "10.10.0.0/24".parse().expect("a prefix"),
            Some("10.10.0.99".parse().expect("an address")),
            link("eth0"),
        );
        drift(
            "replaced",
            &[Op::SetRoute { ns: ns("shop-web"), route: instead }],
            [false, true],
            &["- shop-web: route 10.10.0.0/24 via 10.10.0.99 dev eth0", "+ shop-web: route 10.10.0.0/24 dev eth0"],
        );
    });
}

#[test]
fn the_route_that_came_back_goes_with_its_address() {
    sandbox::run(|| {
        up(LAB);
        let mut host = Linux::new().expect("the kernel");
        for (place, to, metric) in [("shop-web", "10.10.0.0/24", 0), ("shop-web", "fd10:10::/64", 256)] {
            done(&mut host, &[lose(place, to, metric)]);
        }
        up(LAB);
        up(&LAB.replace("10.10.0.10 fd10:10::10", "10.10.0.11 fd10:10::11"));
        let routes = raum_kernel::view::view(&ns("shop-web")).expect("a view").routes;
        let direct: Vec<String> = routes
            .iter()
            .map(ToString::to_string)
            .filter(|route| route.contains("/24 ") || route.starts_with("fd10:10::/64 "))
            .collect();
        assert_eq!(direct.len(), 2, "{direct:?}");
        let (fine, said) = raum(&["status", "shop"]);
        assert!(fine, "{said}");
    });
}

#[test]
fn arp_that_is_off_comes_on() {
    sandbox::run(|| {
        let off = LinkChange { arp: Some(false), ..LinkChange::default() };
        drift("arp off", &[set("shop-web", "eth0", off)], [false; 2], &["~ shop-web: eth0 arp on"]);
    });
}

#[test]
fn a_port_of_a_switch_becomes_as_it_was() {
    sandbox::run(|| {
        let port =
            |flags: &[(PortFlag, bool)]| LinkChange { port: flags.iter().copied().collect(), ..LinkChange::default() };
        let is = |up| LinkChange { up: Some(up), ..LinkChange::default() };
        // one that is not locked lets its own questions in
        let locked = LOCKED_PORTS.is_here();
        // down and up, so that what was learned is forgotten
        drift(
            "nobody is learned there, and nothing flooded",
            &[
                set("host", "shop-web-eth0", port(&[(PortFlag::Learning, false), (PortFlag::Flood, false)])),
                set("host", "shop-web-eth0", is(false)),
                set("host", "shop-web-eth0", is(true)),
            ],
            [false; 2],
            &["~ host: shop-web-eth0 port learning on, port flood on"],
        );
        drift(
            "disabled",
            &[set("host", "shop-web-eth0", port(&[(PortFlag::Forwarding, false)]))],
            [false; 2],
            &["~ host: shop-web-eth0 port state 3"],
        );
        drift(
            "no questions by broadcast or multicast",
            &[
                set("host", "shop-web-eth0", port(&[(PortFlag::BcastFlood, false), (PortFlag::McastFlood, false)])),
                set("host", "shop-web-eth0", port(if locked { &[(PortFlag::Locked, true)] } else { &[] })),
                set("host", "shop-web-eth0", is(false)),
                set("host", "shop-web-eth0", is(true)),
            ],
            [!locked; 2],
            &[if locked {
                "~ host: shop-web-eth0 port mcast_flood on, port bcast_flood on, port locked off"
            } else {
                "~ host: shop-web-eth0 port mcast_flood on, port bcast_flood on"
            }],
        );
    });
}

#[test]
fn a_second_address_of_a_subnet_is_one_step() {
    sandbox::run(|| {
        let more = [address("shop-web", "10.10.0.99/24"), address("shop-web", "fd10:10::99/64")];
        drift(
            "more addresses",
            &more,
            [true; 2],
            &["- shop-web: 10.10.0.99/24 on eth0", "- shop-web: fd10:10::99/64 on eth0"],
        );
    });
}

/// One message of rtnetlink inside a namespace.
fn tell(place: &str, fill: impl FnOnce(&mut Requests) + Send) {
    within(place, || {
        let mut requests = Requests::new();
        fill(&mut requests);
        Socket::open(Protocol::Route).expect("a socket").run_one(&mut requests).expect("done");
    });
}

#[test]
fn what_others_put_beside_a_lab_is_told_and_left_alone() {
    sandbox::run(|| {
        up(LAB);
        assert!(!raum(&["status", "shop"]).1.contains("note"));
        let eth0 = within("shop-web", || {
            let path = "/proc/thread-self/net/dev_mcast";
            let text = std::fs::read_to_string(path).expect("interfaces");
            let line = text.lines().find(|line| line.contains("eth0")).expect("eth0").to_owned();
            line.split_whitespace().next().and_then(|index| index.parse::<u32>().ok()).expect("a number")
        });
        let [a, b, c, d] = eth0.to_ne_bytes();
        for (family, bits, octets) in [
            (2, 32, vec![10, 10, 0, 20]),
            (10, 128, "fd10:10::20".parse::<Ipv6Addr>().expect("an address").octets().to_vec()),
        ] {
            tell("shop-web", |requests| {
                // a rule that prohibits: FRA_PRIORITY
                requests.request(32, 0x400, &[family, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]).u32(6, 40_000);
            });
            tell("shop-web", |requests| {
                // a permanent neighbour with nobody's hardware address
                let header = [family, 0, 0, 0, a, b, c, d, 0x80, 0, 0, 0];
                requests.request(28, 0x500, &header).attribute(1, &octets).attribute(2, &[2, 0, 0, 0, 0xde, 0xad]);
            });
            tell("shop-web", |requests| {
                // a blackhole in a table of its own
                requests.request(24, 0x400, &[family, bits, 0, 0, 100, 4, 0, 6, 0, 0, 0, 0]).attribute(1, &octets);
            });
        }
        let mut expected = vec![
            "shop-web: ip rule 40000: from all prohibit\n      remove it with  ip -n shop-web rule del priority 40000",
            "ip -n shop-web -6 rule del priority 40000",
            "shop-web: neighbour 10.10.0.20 dev eth0 lladdr 02:00:00:00:de:ad permanent, but in the lab 02:",
            "shop-web: neighbour fd10:10::20 dev eth0 lladdr 02:00:00:00:de:ad permanent, but in the lab 02:",
            "remove it with  ip -n shop-web neigh del fd10:10::20 dev eth0",
            "shop-web: route blackhole 10.10.0.20/32 proto static table 100",
            "ip -n shop-web -6 route del blackhole fd10:10::20/128",
        ];
        if within("shop-web", || Command::new("nft").args(["add", "table", "inet", "fw"]).status().is_ok()) {
            expected
                .push("shop-web: table inet fw\n      remove it with  ip netns exec shop-web nft delete table inet fw");
        }
        let (fine, said) = raum(&["status", "shop"]);
        assert!(fine && said.contains("shop is as it should be"), "{said}");
        for words in &expected {
            assert!(said.contains(words), "`{words}` is not in\n{said}");
        }
        // it stays what raum says of it, and its own commands take it away
        up(LAB);
        assert_eq!(raum(&["status", "shop"]).1, said);
        let json: serde_json::Value = serde_json::from_str(&raum(&["status", "shop", "--json"]).1).expect("JSON");
        let guests = json[0]["beside"].as_array().expect("guests");
        assert!(guests.len() >= 6, "{json}");
        if Command::new("ip").arg("-V").output().is_ok() {
            for guest in guests {
                let remove = guest["remove"].as_str().expect("a command");
                assert!(Command::new("sh").args(["-c", remove]).status().expect("a shell").success(), "{remove}");
            }
            assert!(!raum(&["status", "shop"]).1.contains("note"), "{}", raum(&["status", "shop"]).1);
        }
    });
}

#[test]
fn a_route_of_the_host_into_a_labs_subnet_is_told() {
    sandbox::run(|| {
        world();
        up(&LAB.replace("] }\nname", "], gateway: host }\nname"));
        let mut host = Linux::new().expect("the kernel");
        for (to, via) in [("10.10.0.20/32", "198.51.100.1"), ("fd10:10::/80", "fd51::1")] {
            done(&mut host, &[route("host", "up0", to, via)]);
        }
        let (fine, said) = raum(&["status", "shop"]);
        assert!(fine, "{said}");
        for words in [
            "host: route 10.10.0.20/32 via 198.51.100.1 dev up0 proto static",
            "ip route del 10.10.0.20/32 dev up0",
            "ip -6 route del fd10:10::/80 dev up0",
        ] {
            assert!(said.contains(words), "`{words}` is not in\n{said}");
        }
    });
}
