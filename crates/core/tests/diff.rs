//! `diff`: what a plan does, in which order, and what it leaves alone.

use std::collections::{BTreeMap, BTreeSet};

use raum_core::beside::Opening;
use raum_core::diff::{Conflict, diff};
use raum_core::lab::{Proto, link_group, mark};
use raum_core::name::{IfName, LabName, Mac, NsId};
use raum_core::nft::{PortKey, PortMap, Table};
use raum_core::plan::{LinkChange, Op, Plan};
use raum_core::render::command;
use raum_core::ruleset::Family;
use raum_core::state::{Link, LinkKind, Namespace, Owner, Route, RouteKind, State, Sysctl};

fn lab() -> LabName {
    LabName::new("shop").unwrap()
}

fn ns(name: &str) -> NsId {
    name.parse().unwrap()
}

fn ifname(name: &str) -> IfName {
    name.parse().unwrap()
}

fn link(kind: LinkKind, last: u8) -> Link {
    Link {
        owner: Owner::Lab,
        kind,
        up: true,
        mtu: 1500,
        mac: Mac([2, 0, 0, 0, 0, last]),
        master: None,
        isolated: false,
        hairpin: false,
        unusual: BTreeSet::new(),
        arp: true,
        group: link_group(&lab()),
        alias: None,
        altname: None,
        addresses: BTreeSet::new(),
        unrouted: BTreeSet::new(),
        secondary: BTreeSet::new(),
        neighbours: BTreeMap::new(),
    }
}

fn add_veth(state: &mut State, a: (&str, &str), b: (&str, &str), last: u8) {
    for (i, (this, other)) in [(a, b), (b, a)].into_iter().enumerate() {
        let kind = LinkKind::Veth { peer_ns: ns(other.0), peer: ifname(other.1) };
        let last = last + u8::from(i == 1);
        state.entry(&ns(this.0)).links.insert(ifname(this.1), link(kind, last));
    }
}

fn at<'a>(state: &'a mut State, place: &str, name: &str) -> &'a mut Link {
    state.entry(&ns(place)).links.get_mut(&ifname(name)).unwrap()
}

/// Two namespaces on a bridge of the host.
fn shop() -> State {
    let mut state = State::default();
    let mut bridge = link(LinkKind::Bridge, 1);
    bridge.alias = Some(mark(&lab()));
    bridge.addresses.insert("10.0.0.1/24".parse().unwrap());
    state.entry(&NsId::Host).links.insert(ifname("lan"), bridge);
    for (i, node) in ["db", "web"].into_iter().enumerate() {
        let place = format!("shop-{node}");
        let port = format!("lan-{node}");
        let last = u8::try_from(i).unwrap() * 2 + 10;
        add_veth(&mut state, ("host", &port), (&place, "eth0"), last);
        at(&mut state, "host", &port).master = Some(ifname("lan"));
        let address = format!("10.0.0.{last}/24").parse().unwrap();
        at(&mut state, &place, "eth0").addresses.insert(address);
        let default = Route::unicast("0.0.0.0/0".parse().unwrap(), "10.0.0.1".parse().ok(), ifname("eth0"));
        state.entry(&ns(&place)).routes.insert(default);
    }
    state
}

fn table() -> Table {
    let (sets, maps, chains) = Default::default();
    Table {
        name: "raum-shop".into(),
        lab: lab(),
        was: BTreeMap::new(),
        sets,
        addresses: BTreeMap::new(),
        learned: BTreeMap::new(),
        maps,
        chains,
    }
}

fn plan(from: &State, to: &State) -> Plan {
    diff(&lab(), from, to).unwrap()
}

fn titles(plan: &Plan) -> Vec<&str> {
    plan.stages.iter().map(|stage| stage.title).collect()
}

#[test]
fn equal_states_need_nothing() {
    assert!(plan(&shop(), &shop()).is_empty());
}

#[test]
fn up_brings_the_bridge_up_last() {
    let plan = plan(&State::default(), &shop());
    assert_eq!(titles(&plan), ["namespaces", "bridges", "links", "addresses and routes", "bridges up"]);
    assert_eq!(plan.stages[4].ops.len(), 1);
    let Op::AddVeth { a, b, .. } = &plan.stages[2].ops[0] else { panic!("{:?}", plan.stages[2]) };
    assert_eq!((a.ns.clone(), a.master.clone(), a.up), (NsId::Host, Some(ifname("lan")), true));
    assert_eq!((b.master.clone(), b.up), (None, false));
}

#[test]
fn down_deletes_the_host_side_as_a_group_and_the_namespaces_together() {
    let plan = plan(&shop(), &State::default());
    assert_eq!(titles(&plan), ["old links", "old namespaces"]);
    let down = LinkChange { up: Some(false), ..LinkChange::default() };
    let bridge_down = Op::SetLink { ns: NsId::Host, name: ifname("lan"), set: down };
    assert_eq!(plan.stages[0].ops, [bridge_down, Op::DelGroup { ns: NsId::Host, group: link_group(&lab()) }]);
    assert_eq!(plan.stages[1].ops.len(), 2);
}

#[test]
fn a_changed_mtu_touches_nothing_else() {
    let mut to = shop();
    at(&mut to, "shop-web", "eth0").mtu = 1400;
    let plan = plan(&shop(), &to);
    let [op] = &plan.ops().collect::<Vec<_>>()[..] else { panic!("{plan:?}") };
    let Op::SetLink { name, set, .. } = op else { panic!("{plan:?}") };
    assert_eq!((name.as_str(), set.mtu, set.up), ("eth0", Some(1400), None));
}

#[test]
fn a_link_taken_down_by_hand_comes_up_with_its_routes() {
    let mut from = shop();
    at(&mut from, "shop-web", "eth0").up = false;
    from.entry(&ns("shop-web")).routes.clear();
    let plan = plan(&from, &shop());
    let ops: Vec<_> = plan.ops().collect();
    assert!(matches!(ops[..], [Op::SetLink { .. }, Op::SetRoute { .. }]), "{ops:?}");
}

#[test]
fn a_new_address_brings_the_default_route_back() {
    let mut to = shop();
    at(&mut to, "shop-web", "eth0").addresses = BTreeSet::from(["10.0.0.99/24".parse().unwrap()]);
    let plan = plan(&shop(), &to);
    let ops: Vec<_> = plan.ops().collect();
    assert!(matches!(ops[..], [Op::DelAddress { .. }, Op::AddAddress { .. }, Op::SetRoute { .. }]), "{ops:?}");
}

#[test]
fn foreign_names_are_conflicts_only_where_they_are_wanted() {
    let mut from = State::default();
    from.namespaces.insert(ns("shop-web"), Namespace { owner: Owner::Foreign, ..Namespace::default() });
    from.namespaces.insert(ns("shop-old"), Namespace { owner: Owner::Foreign, ..Namespace::default() });
    let mut foreign = link(LinkKind::Other("dummy".into()), 9);
    foreign.owner = Owner::Foreign;
    from.entry(&NsId::Host).links.insert(ifname("lan"), foreign);
    let conflicts = diff(&lab(), &from, &shop()).unwrap_err();
    assert_eq!(conflicts.len(), 2);
    assert!(matches!(&conflicts[0], Conflict::Link { name, .. } if name.as_str() == "lan"));
    assert!(matches!(&conflicts[1], Conflict::Namespace { name, .. } if name.as_str() == "shop-web"));
    assert!(plan(&from, &State::default()).is_empty());
}

#[test]
fn a_name_left_by_a_crash_is_removed_or_taken_over() {
    let mut from = State::default();
    for name in ["shop-web", "shop-old"] {
        from.namespaces.insert(ns(name), Namespace { owner: Owner::Leftover, ..Namespace::default() });
    }
    let removed: Vec<Op> = plan(&from, &State::default()).ops().cloned().collect();
    let del = |name: &str| Op::DelNamespace { name: ns(name).name().unwrap().clone() };
    assert_eq!(removed, [del("shop-old"), del("shop-web")]);
    let over = plan(&from, &shop());
    let add = |op: &Op| matches!(op, Op::AddNamespace { name, .. } if name.as_str() == "shop-web");
    assert!(over.ops().any(add) && over.ops().any(|op| *op == del("shop-old")));
    assert!(!over.ops().any(|op| *op == del("shop-web")));
    // going back to it is nothing: nobody misses it
    assert!(plan(&State::default(), &from).is_empty());
}

#[test]
fn a_sysctl_for_all_interfaces_is_written_before_those_of_single_ones() {
    let mut from = State::default();
    add_veth(&mut from, ("shop-a", "a0"), ("shop-a", "b0"), 1);
    let mut to = from.clone();
    let key = |name: &str| Sysctl::new(&format!("net/ipv4/conf/{name}/forwarding")).unwrap();
    from.entry(&ns("shop-a")).sysctls = BTreeMap::from([(key("a0"), "0".into()), (key("all"), "0".into())]);
    to.entry(&ns("shop-a")).sysctls = BTreeMap::from([(key("a0"), "0".into()), (key("all"), "1".into())]);
    let plan = plan(&from, &to);
    let keys = plan.ops().map(|op| match op {
        Op::SetSysctl { key, value, .. } => (key.clone(), value.as_str()),
        _ => panic!("{op:?}"),
    });
    // a0 holds already, but writing `all` changes it
    assert_eq!(keys.collect::<Vec<_>>(), [(key("all"), "1"), (key("a0"), "0")]);
}

#[test]
fn routes_through_no_link_of_ipv6_are_made_again_when_lo_goes_down() {
    let mut from = State::default();
    let to = "fd99::/64".parse().unwrap();
    let blackhole = Route { to, metric: 1024, kind: RouteKind::Blackhole, via: None, dev: None };
    from.entry(&ns("shop-a")).routes.insert(blackhole);
    let mut down = from.clone();
    down.entry(&ns("shop-a")).loopback_up = false;
    let plan = plan(&from, &down);
    let ops: Vec<_> = plan.ops().collect();
    assert!(matches!(ops[..], [Op::SetLink { .. }, Op::SetRoute { .. }]), "{ops:?}");
}

#[test]
fn a_sysctl_goes_back_before_the_table_that_remembers_it_and_changes_after_it() {
    let key = Sysctl::new("net/ipv4/conf/eno1/forwarding").unwrap();
    let mut up = State::default();
    let was = BTreeMap::from([(key.clone(), "0".to_owned())]);
    up.entry(&NsId::Host).table = Some(Table { was, ..table() });
    up.entry(&NsId::Host).sysctls.insert(key.clone(), "1".into());
    let mut bare = State::default();
    bare.entry(&NsId::Host).sysctls.insert(key, "0".into());
    let (there, back) = (plan(&bare, &up), plan(&up, &bare));
    let (there, back): (Vec<_>, Vec<_>) = (there.ops().collect(), back.ops().collect());
    assert!(matches!(there[..], [Op::ReplaceTable { .. }, Op::SetSysctl { .. }]), "{there:?}");
    assert!(matches!(back[..], [Op::SetSysctl { .. }, Op::DelTable { .. }]), "{back:?}");
}

#[test]
fn flows_are_flushed_for_udp_ports_that_lead_elsewhere() {
    let with = |entries: &[(Proto, u16, u16)]| {
        let entries = entries.iter().map(|&(proto, port, target)| {
            (PortKey { address: None, proto, port }, ("10.0.0.9".parse().unwrap(), target))
        });
        let map = PortMap { v6: false, by_address: false, entries: entries.collect() };
        let mut state = State::default();
        let maps = BTreeMap::from([("publish4".to_owned(), map)]);
        state.entry(&NsId::Host).table = Some(Table { maps, ..table() });
        state
    };
    let from = with(&[(Proto::Udp, 53, 53), (Proto::Udp, 54, 53), (Proto::Tcp, 80, 80)]);
    let to = with(&[(Proto::Udp, 53, 53), (Proto::Udp, 54, 99), (Proto::Udp, 55, 53), (Proto::Tcp, 80, 8080)]);
    let plan = plan(&from, &to);
    let flows = plan.ops().filter_map(|op| match op {
        Op::FlushFlows { flows, .. } => Some(flows.iter().copied().collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(flows.collect::<Vec<_>>(), [vec![(Proto::Udp, 54), (Proto::Udp, 55)]]);
}

#[test]
fn the_rules_of_others_are_opened_behind_the_labs_own_filter_and_closed_before_it_goes() {
    let opening = Opening {
        family: Family::Ip,
        table: "filter".to_owned(),
        chain: "DOCKER-USER".to_owned(),
        interface: "shop-lan".parse().unwrap(),
        out: false,
    };
    let mut up = State::default();
    up.entry(&NsId::Host).table = Some(table());
    up.entry(&NsId::Host).openings.insert(opening);
    let (there, back) = (plan(&State::default(), &up), plan(&up, &State::default()));
    let words = |plan: &Plan| plan.ops().map(|op| command(op).remove(0)).collect::<Vec<_>>();
    assert_eq!(
        words(&there)[1..],
        [r#"nft insert rule ip filter DOCKER-USER 'iifname "shop-lan" counter accept comment "raum:shop"'"#]
    );
    assert!(matches!(there.ops().next(), Some(Op::ReplaceTable { .. })), "{there:?}");
    let back: Vec<_> = back.ops().collect();
    assert!(matches!(back[..], [Op::DelOpening { .. }, Op::DelTable { .. }]), "{back:?}");
}

#[test]
fn one_port_more_is_one_entry_while_the_map_has_room() {
    let with = |count: u16, target: u16| {
        let key = |port| PortKey { address: None, proto: Proto::Tcp, port };
        let entries = (0..count).map(|port| (key(port), ("10.0.0.9".parse().unwrap(), target)));
        let map = PortMap { v6: false, by_address: false, entries: entries.collect() };
        let mut state = State::default();
        let maps = BTreeMap::from([("publish4".to_owned(), map)]);
        state.entry(&NsId::Host).table = Some(Table { maps, ..table() });
        state
    };
    let lines = |from: &State, to: &State| plan(from, to).ops().flat_map(command).collect::<Vec<_>>();
    let added = "add element inet raum-shop publish4 { tcp . 2 : 10.0.0.9 . 80 }";
    assert_eq!(lines(&with(2, 80), &with(3, 80)), ["nft -f - <<'END'", added, "END"]);
    let deleted = "delete element inet raum-shop publish4 { tcp . 2 }";
    assert_eq!(lines(&with(3, 80), &with(2, 80)), ["nft -f - <<'END'", deleted, "END"]);
    let elsewhere = lines(&with(1, 80), &with(1, 81));
    assert_eq!(elsewhere.len(), 4, "one transaction: {elsewhere:?}");
    let is_new = |from: u16, to: u16| {
        let plan = plan(&with(from, 80), &with(to, 80));
        plan.ops().any(|op| matches!(op, Op::ReplaceTable { .. }))
    };
    assert_eq!(
        [(399, 400), (400, 401), (511, 512), (512, 513), (10_000, 10_001)].map(|(a, b)| is_new(a, b)),
        [false, true, false, true, false]
    );
    assert_eq!([(400, 399), (401, 400), (513, 512)].map(|(a, b)| is_new(a, b)), [false, true, true]);
}
