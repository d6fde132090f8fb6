//! Diagnoses from described facts: what cannot be built in a test without filling what the whole machine shares.

use std::collections::BTreeMap;
use std::rc::Rc;

use ipnet::IpNet;

use super::*;
use crate::name::Mac;
use crate::ruleset::{Base, Chain, Expr, Family, Hook, Rule, Table};
use crate::view::{Interface, Other, Owner, Port};

/// A machine in words: two rooms on a bridge of the host.
struct Described {
    scene: Scene,
    rules: BTreeMap<String, Rc<Ruleset>>,
    sysctls: BTreeMap<(String, String), String>,
    neighbours: Option<(u32, u32)>,
}

fn interface(index: u32, name: &str, kind: &str, addresses: &[&str]) -> Interface {
    Interface {
        index,
        name: name.to_owned(),
        kind: kind.to_owned(),
        up: true,
        carrier: true,
        arp: true,
        ipv6: true,
        mtu: 1500,
        mac: Some(Mac([2, 0, 0, 0, 0, u8::try_from(index).unwrap_or(0)])),
        master: None,
        group: 0,
        peer_index: None,
        alias: None,
        altnames: Vec::new(),
        addresses: addresses.iter().map(|text| text.parse::<IpNet>().expect("an address")).collect(),
        peer: None,
        lower: None,
        port: None,
        counters: None,
    }
}

fn port(index: u32, name: &str, to: &str) -> Interface {
    let port = Port { state: "forwarding".to_owned(), hairpin: false, isolated: false, learning: true, flood: true };
    let peer = Other { namespace: Some(to.to_owned()), interface: Some("eth0".to_owned()), index: 2 };
    Interface {
        master: Some("br0".to_owned()),
        peer: Some(peer),
        port: Some(port),
        ..interface(index, name, "veth", &[])
    }
}

fn end(at: u32, host: u32, addresses: &[&str]) -> Interface {
    let peer = Other { namespace: Some("host".to_owned()), interface: None, index: host };
    let mac = Some(Mac([2, 0, 0, 0, 1, u8::try_from(at).unwrap_or(0)]));
    Interface { peer: Some(peer), mac, ..interface(2, "eth0", "veth", addresses) }
}

fn described() -> Described {
    let mut host = Room::new("host".to_owned(), 1, Owner::Host);
    host.interfaces = vec![
        interface(2, "br0", "bridge", &["10.0.0.1/24", "fd00::1/64"]),
        port(3, "to-web", "web"),
        port(4, "to-db", "db"),
    ];
    let mut web = Room::new("web".to_owned(), 2, Owner::Named);
    web.paths = vec!["/run/netns/web".to_owned()];
    web.interfaces = vec![end(2, 3, &["10.0.0.2/24", "fd00::2/64"])];
    let mut db = Room::new("db".to_owned(), 3, Owner::Named);
    db.interfaces = vec![end(3, 4, &["10.0.0.3/24", "fd00::3/64"])];
    let scene = Scene { namespaces: vec![host, web, db], missing: Vec::new() };
    Described { scene, rules: BTreeMap::new(), sysctls: BTreeMap::new(), neighbours: Some((10, 1024)) }
}

impl Facts for Described {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn rules(&mut self, namespace: &str) -> Rc<Ruleset> {
        self.rules.get(namespace).cloned().unwrap_or_default()
    }

    /// Everybody has the one wire, and nothing else.
    fn route(&mut self, question: &Question) -> Result<Choice, OpError> {
        let here = room(&self.scene, &question.namespace).expect("a room");
        let to = question.flow.destination;
        let dev = &here.interfaces[0];
        let kind = if has(here, to) { "local" } else { "unicast" };
        let source = dev.addresses.iter().map(IpNet::addr).find(|ip| ip.is_ipv6() == to.is_ipv6());
        let route = format!("{to} dev {}", dev.name);
        Ok(Choice {
            kind: kind.to_owned(),
            dev: Some(dev.name.clone()),
            via: None,
            source,
            table: "main".into(),
            route,
        })
    }

    fn sysctl(&mut self, namespace: &str, key: &str) -> Option<String> {
        self.sysctls.get(&(namespace.to_owned(), key.to_owned())).cloned()
    }

    fn neighbour_room(&mut self, _v6: bool) -> Option<(u32, u32)> {
        self.neighbours
    }
}

fn flow(to: &str, proto: Proto, port: Option<u16>) -> Flow {
    let destination = to.parse().expect("an address");
    Flow { source: None, destination, proto, source_port: Some(40_000), port }
}

/// The cause of an echo request from web to db, in both families.
fn causes(facts: &mut Described) -> Vec<Option<Code>> {
    let ask = |to: &&str| trace(facts, "web", flow(to, Proto::Icmp, None), None).cause.map(|cause| cause.code);
    ["10.0.0.3", "fd00::3"].iter().map(ask).collect()
}

fn set(facts: &mut Described, namespace: &str, key: &str, value: &str) {
    facts.sysctls.insert((namespace.to_owned(), key.to_owned()), value.to_owned());
}

#[test]
fn without_a_fault_it_arrives() {
    assert_eq!(causes(&mut described()), [None, None]);
}

#[test]
fn a_full_neighbour_table_is_told_unless_the_neighbour_is_known_already() {
    let mut facts = described();
    facts.neighbours = Some((1024, 1024));
    assert_eq!(causes(&mut facts), [Some(Code::NeighbourTableFull); 2]);
    let traced = trace(&mut facts, "web", flow("10.0.0.3", Proto::Icmp, None), None).cause.expect("a cause");
    assert_eq!(traced.mend.as_deref(), Some("sysctl -w net.ipv4.neigh.default.gc_thresh3=4096"));
    for room in &mut facts.scene.namespaces {
        room.neighbours = ["10.0.0.2", "10.0.0.3", "fd00::2", "fd00::3"]
            .map(|address| crate::view::Neighbour {
                address: address.parse().expect("an address"),
                mac: None,
                dev: "eth0".to_owned(),
                state: "reachable".to_owned(),
                router: false,
            })
            .to_vec();
    }
    assert_eq!(causes(&mut facts), [None, None]);
}

#[test]
fn a_full_connection_table_is_told_where_it_is() {
    let mut facts = described();
    for (key, value) in [("count", "262144"), ("max", "262144")] {
        set(&mut facts, "db", &format!("net/netfilter/nf_conntrack_{key}"), value);
    }
    assert_eq!(causes(&mut facts), [Some(Code::ConntrackFull); 2]);
    set(&mut facts, "db", "net/netfilter/nf_conntrack_max", "0");
    assert_eq!(causes(&mut facts), [None, None], "0 is no limit");
}

fn rules(hook: Hook, kind: &str, drops: bool, exprs: Vec<Expr>) -> Rc<Ruleset> {
    let base = Base { kind: kind.to_owned(), hook, devices: Vec::new(), priority: 0, drops };
    let rules = if exprs.is_empty() { Vec::new() } else { vec![Rule { handle: 2, comment: None, exprs }] };
    let chain = Chain { name: "c".to_owned(), handle: 1, base: Some(base), comment: None, rules };
    let (name, comment) = ("t".to_owned(), None);
    let table =
        Table { family: Family::Inet, name, handle: 1, dormant: false, comment, sets: Vec::new(), chains: vec![chain] };
    Rc::new(Ruleset { tables: vec![table] })
}

#[test]
fn rules_of_the_host_touch_bridged_packets_only_with_br_netfilter() {
    let mut facts = described();
    facts.rules.insert("host".to_owned(), rules(Hook::Forward, "filter", true, Vec::new()));
    assert_eq!(causes(&mut facts), [None, None]);
    set(&mut facts, "host", "net/bridge/bridge-nf-call-iptables", "1");
    assert_eq!(causes(&mut facts), [Some(Code::BrNetfilter), None]);
    set(&mut facts, "host", "net/bridge/bridge-nf-call-ip6tables", "1");
    assert_eq!(causes(&mut facts), [Some(Code::BrNetfilter); 2]);
}

#[test]
fn a_published_port_of_ones_own_needs_hairpin_where_bridges_filter() {
    let mut facts = described();
    let dnat = |address: [u8; 4]| {
        vec![
            Expr::Immediate { to: 0, data: address.to_vec() },
            Expr::Nat { source: false, v6: false, address: Some((0, 0)), port: None, flags: 0 },
        ]
    };
    facts.rules.insert("host".to_owned(), rules(Hook::Prerouting, "nat", false, dnat([10, 0, 0, 2])));
    let ask = |facts: &mut Described| {
        let cause = trace(facts, "web", flow("10.0.0.1", Proto::Icmp, None), None).cause;
        cause.map(|cause| cause.code)
    };
    set(&mut facts, "host", "net/bridge/bridge-nf-call-iptables", "1");
    assert_eq!(ask(&mut facts), Some(Code::HairpinOff));
    for interface in &mut facts.scene.namespaces[0].interfaces {
        interface.port.iter_mut().for_each(|port| port.hairpin = true);
    }
    assert_ne!(ask(&mut facts), Some(Code::HairpinOff));
}

#[test]
fn a_veth_without_carrier_and_a_peer_out_of_sight_are_told() {
    let mut facts = described();
    facts.scene.namespaces[1].interfaces[0].carrier = false;
    assert_eq!(causes(&mut facts), [Some(Code::NoCarrier); 2]);
    let mut facts = described();
    facts.scene.namespaces[1].interfaces[0].peer = None;
    assert_eq!(causes(&mut facts), [Some(Code::PeerMissing); 2]);
}

/// A tap of the host's on the bridge: a program's, whose addresses nobody knows.
fn with_tap(carrier: bool) -> Described {
    let mut facts = described();
    let tap = Interface { kind: "tun".to_owned(), peer: None, carrier, ..port(5, "tap0", "") };
    facts.scene.namespaces[0].interfaces.push(tap);
    facts
}

#[test]
fn whoever_is_behind_a_tap_is_out_of_sight_while_it_has_a_carrier() {
    let ask = |facts: &mut Described, to| trace(facts, "web", flow(to, Proto::Icmp, None), None).cause;
    let code = |cause: Option<Cause>| cause.map(|cause| cause.code);
    for to in ["10.0.0.77", "fd00::77"] {
        assert_eq!(code(ask(&mut with_tap(true), to)), None);
        let cause = ask(&mut with_tap(false), to).expect("a cause");
        assert_eq!((cause.code, cause.what.as_str()), (Code::NoCarrier, "tap0 in host has no carrier"));
        let mut down = with_tap(false);
        down.scene.namespaces[0].interfaces[3].up = false;
        assert_eq!(code(ask(&mut down, to)), Some(Code::InterfaceDown));
        // without a tap nobody can be there
        assert_eq!(code(ask(&mut described(), to)), Some(Code::NeighbourFailed));
    }
    assert_eq!(causes(&mut with_tap(false)), [None, None], "who is elsewhere is not behind it");
}

#[test]
fn what_an_interface_sits_on_takes_its_carrier_away() {
    let on = |namespace: &str, index| Other { namespace: Some(namespace.to_owned()), interface: None, index };
    let top = |carrier| {
        let mut facts = described();
        let rooms = &mut facts.scene.namespaces;
        rooms[1].interfaces[0].addresses.clear();
        let mut vlan = interface(7, "eth0.5", "vlan", &["10.0.0.2/24", "fd00::2/64"]);
        (vlan.carrier, vlan.lower) = (carrier, Some(on("web", 2)));
        rooms[1].interfaces.insert(0, vlan);
        rooms[1].interfaces[1].carrier = carrier;
        rooms[2].interfaces[0].addresses.clear();
        facts
    };
    let ask = |facts: &mut Described| trace(facts, "web", flow("10.0.0.77", Proto::Icmp, None), None).cause;
    assert_eq!(ask(&mut top(true)), None);
    // the cable below: its other end is down
    let mut facts = top(false);
    facts.scene.namespaces[0].interfaces[1].up = false;
    let cause = ask(&mut facts).expect("a cause");
    assert_eq!((cause.code, cause.what.as_str()), (Code::InterfaceDown, "to-web in host is down"));
    // the kernel has not told what is on top yet
    facts.scene.namespaces[1].interfaces[0].carrier = true;
    assert_eq!(ask(&mut facts).map(|cause| cause.code), Some(Code::InterfaceDown));
    // itself alone
    let mut facts = top(false);
    facts.scene.namespaces[1].interfaces[1].carrier = true;
    let cause = ask(&mut facts).expect("a cause");
    assert_eq!((cause.code, cause.what.as_str()), (Code::NoCarrier, "eth0.5 in web has no carrier"));
    // one that sits on itself is no endless way
    facts.scene.namespaces[1].interfaces[0].lower = Some(on("web", 7));
    assert_eq!(ask(&mut facts).map(|cause| cause.code), Some(Code::NoCarrier));
}

#[test]
fn of_a_namespace_that_nothing_leads_into_it_is_not_said_that_it_has_no_addresses() {
    let mut facts = described();
    let hidden = Interface {
        master: None,
        addresses: Vec::new(),
        peer: Some(Other { namespace: Some("web".to_owned()), interface: None, index: 2 }),
        ..interface(3, "to-web", "veth", &[])
    };
    facts.scene.namespaces[0].interfaces = Vec::new();
    let mut room = Room::new("unseen-1".to_owned(), 0, Owner::Unknown);
    room.interfaces = vec![hidden];
    facts.scene.namespaces.push(room);
    let cable = &mut facts.scene.namespaces[1].interfaces[0];
    cable.peer = Some(Other { namespace: Some("unseen-1".to_owned()), interface: None, index: 3 });
    let ask = |facts: &mut Described| trace(facts, "web", flow("10.0.0.77", Proto::Icmp, None), None).cause;
    let cause = ask(&mut facts).expect("a cause");
    assert_eq!(cause.code, Code::PeerMissing);
    assert_eq!(cause.what, "the other end of eth0 in web is nowhere that can be seen");
    facts.scene.namespaces[3].interfaces[0].up = false;
    assert_eq!(ask(&mut facts).map(|cause| cause.code), Some(Code::InterfaceDown));
}

#[test]
fn the_packet_is_right() {
    let mut facts = described();
    let mut found = trace(&mut facts, "web", flow("10.0.0.3", Proto::Icmp, None), None);
    judge(&mut facts, &mut found, &Probe { reply: Reply::Silence, ..Probe::default() });
    assert_eq!(found.cause.as_ref().map(|cause| cause.code), Some(Code::Unexplained));
    judge(&mut facts, &mut found, &Probe { reply: Reply::Answered, ..Probe::default() });
    assert_eq!(found.cause, None);
}
