//! What somebody changes by hand in a lab that is up: packets stop, `raum status` tells, `raum up` mends, packets pass. IPv4 and
//! IPv6 alike.

mod common;

use common::traffic::{is_closed, listen, raum, tcp, up};
use common::world::done;
use raum_core::name::{IfName, NsId};
use raum_core::plan::{LinkChange, Op};
use raum_core::state::{PortFlag, Route};
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
                set("host", "shop-web-eth0", port(&[(PortFlag::Locked, true)])),
                set("host", "shop-web-eth0", is(false)),
                set("host", "shop-web-eth0", is(true)),
            ],
            [false; 2],
            &["~ host: shop-web-eth0 port mcast_flood on, port bcast_flood on, port locked off"],
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
