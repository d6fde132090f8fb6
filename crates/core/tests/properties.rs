//! Properties of `diff` on the imagined host, for random pairs of states: the plan reaches its target, a second one is empty,
//! a fault at any operation rolls back exactly, damage is repaired, and what is foreign stays as it is.

use std::collections::BTreeSet;

use proptest::prelude::*;
use raum_core::diff::diff;
use raum_core::host::{Host, OpError, Outcome, Scope};
use raum_core::model::{ModelHost, Order, imagine};
use raum_core::name::{IfName, LabName, Mac, NsId};
use raum_core::nft::EntryChange;
use raum_core::plan::{LinkChange, Op, Plan};
use raum_core::state::{Link, LinkKind, Owner, PortFlag, Route, State};

fn lab() -> LabName {
    LabName::new("mine").unwrap()
}

fn other_lab() -> LabName {
    LabName::new("other").unwrap()
}

/// A die that shows these numbers, and then always 0: so a test library that shrinks numbers shrinks states.
fn die(numbers: &[u8]) -> impl FnMut(u8) -> u8 + '_ {
    let mut numbers = numbers.iter();
    move |n| numbers.next().map_or(0, |number| number % n)
}

fn numbers() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..250)
}

/// Numbers for a second state: some of the first's changed, so that most of it stays; or all others.
fn change(numbers: &[u8], edits: &[(u8, u8)]) -> Vec<u8> {
    let mut changed = numbers.to_vec();
    for &(at, number) in edits {
        if let Some(place) = changed.get_mut(usize::from(at)) {
            *place = number;
        }
    }
    changed
}

fn edits() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec(any::<(u8, u8)>(), 1..8)
}

/// Two states of the lab.
fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let similar = (numbers(), edits()).prop_map(|(a, edits)| (change(&a, &edits), a));
    prop_oneof![(numbers(), numbers()), similar]
}

fn imagined(lab: &LabName, numbers: &[u8]) -> State {
    imagine::state(lab, &mut die(numbers))
}

/// A host with an uplink of its own and another lab on it.
fn host(other: &State) -> ModelHost {
    let mut host = ModelHost::new();
    let uplink = Op::AddBridge {
        ns: NsId::Host,
        name: IfName::new(imagine::UPLINK).unwrap(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        group: 0,
    };
    host.by_hand(&uplink).unwrap();
    let plan = diff(&other_lab(), &State::default(), other).unwrap();
    apply(&mut host, &plan).unwrap();
    host
}

/// Runs the stages until one fails.
fn apply(host: &mut ModelHost, plan: &Plan) -> Result<(), Box<(Op, OpError)>> {
    for stage in &plan.stages {
        let outcomes = host.run(&stage.ops);
        assert_eq!(outcomes.len(), stage.ops.len());
        for (op, outcome) in stage.ops.iter().zip(outcomes) {
            if let Outcome::Failed(error) = outcome {
                return Err(Box::new((op.clone(), error)));
            }
        }
    }
    Ok(())
}

fn listing(plan: &Plan) -> String {
    plan.ops().map(|op| format!("{op:?}\n")).collect()
}

fn reach(host: &mut ModelHost, scope: &Scope, to: &State) {
    let from = host.observe(scope).unwrap();
    let plan = diff(&lab(), &from, to).unwrap();
    if let Err(refused) = apply(host, &plan) {
        panic!("{refused:?}\nin {}", listing(&plan));
    }
    let reached = host.observe(scope).unwrap();
    assert_eq!(as_wanted(&reached, to), as_wanted(to, to), "by {}", listing(&plan));
    assert_eq!(diff(&lab(), &reached, to), Ok(Plan::default()));
}

/// The state without what is foreign and what makes no difference, and with those sysctls only that `wanted` speaks of.
fn as_wanted(state: &State, wanted: &State) -> State {
    let mut state = state.clone();
    state.entry(&NsId::Host);
    state.namespaces.retain(|_, ns| ns.owner == Owner::Lab);
    for (id, ns) in &mut state.namespaces {
        ns.links.retain(|_, link| link.owner == Owner::Lab);
        ns.links.values_mut().for_each(|link| link.secondary.clear());
        let wanted = wanted.namespaces.get(id);
        ns.sysctls.retain(|key, _| wanted.is_some_and(|ns| ns.sysctls.contains_key(key)));
    }
    state
}

fn others(host: &mut ModelHost) -> State {
    let mut scope = Scope::of(&other_lab());
    scope.host_links.insert(IfName::new(imagine::UPLINK).unwrap());
    host.observe(&scope).unwrap()
}

fn fault() -> OpError {
    OpError { errno: 12, code: "ENOMEM", message: "Cannot allocate memory".into() }
}

/// Something that a person may do to a lab; not all of it succeeds.
fn damage(host: &mut ModelHost, seen: &State, die: &mut dyn FnMut(u8) -> u8) {
    let mut ops: Vec<Op> = Vec::new();
    let set = |ns: &NsId, name: &IfName, set: LinkChange| Op::SetLink { ns: ns.clone(), name: name.clone(), set };
    for (id, ns) in &seen.namespaces {
        let id = id.clone();
        if let NsId::Named(name) = &id {
            ops.push(Op::DelNamespace { name: name.clone() });
            let lo = IfName::new("lo").unwrap();
            ops.push(set(&id, &lo, LinkChange { up: Some(false), ..LinkChange::default() }));
        }
        for (name, link) in ns.links.iter().filter(|(_, link)| link.owner == Owner::Lab) {
            let change = match die(7) {
                0 => LinkChange { up: Some(false), ..LinkChange::default() },
                1 => LinkChange { up: Some(true), mtu: Some(2000), ..LinkChange::default() },
                2 => LinkChange { mtu: Some(100), ..LinkChange::default() },
                3 => LinkChange { master: Some(None), ..LinkChange::default() },
                4 => LinkChange { arp: Some(false), ..LinkChange::default() },
                5 => {
                    let flag = PortFlag::ALL[usize::from(die(7))];
                    LinkChange { port: [(flag, !flag.is_usual())].into(), ..LinkChange::default() }
                }
                _ => {
                    LinkChange { mac: Some(Mac([2, 9, 9, 9, 9, 9])), alias: Some("x".into()), ..LinkChange::default() }
                }
            };
            ops.push(set(&id, name, change));
            ops.push(Op::DelLink { ns: id.clone(), name: name.clone() });
            let address = format!("10.{}.0.77/24", die(4)).parse().unwrap();
            ops.push(Op::AddAddress { ns: id.clone(), link: name.clone(), address });
            let route = Route::unicast("172.16.1.0/24".parse().unwrap(), None, name.clone());
            ops.push(Op::SetRoute { ns: id.clone(), route });
            for &address in &link.addresses {
                ops.push(Op::DelAddress { ns: id.clone(), link: name.clone(), address });
            }
            if link.kind == LinkKind::Bridge && die(2) == 1 {
                // a bridge becomes a veth end of the same name
                ops.push(Op::DelLink { ns: id.clone(), name: name.clone() });
            }
        }
        ops.extend(ns.routes.iter().map(|route| Op::DelRoute { ns: id.clone(), route: route.clone() }));
        for key in ns.sysctls.keys() {
            ops.push(Op::SetSysctl { ns: id.clone(), key: key.clone(), value: "1".into() });
        }
        if let Some(table) = &ns.table {
            let mut changed = table.clone();
            changed.chains.clear();
            ops.push(Op::ReplaceTable { ns: id.clone(), table: changed });
            ops.push(Op::DelTable { ns: id.clone(), name: table.name.clone() });
            for (map, found) in &table.maps {
                let gone = found.entries.first_key_value().map(|(key, to)| (*key, *to));
                let change = EntryChange { map: map.clone(), del: gone.into_iter().collect(), add: Vec::new() };
                ops.push(Op::ChangeEntries { ns: id.clone(), table: table.name.clone(), changes: vec![change] });
            }
        }
    }
    for _ in 0..1 + die(6) {
        let count = u8::try_from(ops.len()).unwrap_or(u8::MAX);
        if count > 0 {
            let op = ops.swap_remove(usize::from(die(count)));
            // what is gone already cannot be damaged
            drop(host.by_hand(&op));
        }
    }
    for (id, name, link) in
        seen.namespaces.iter().flat_map(|(id, ns)| ns.links.iter().map(move |(name, link)| (id, name, link)))
    {
        if let Some(address) = link.addresses.first().filter(|_| die(4) == 1) {
            host.lose_subnet_by_hand(id, name, *address);
        }
    }
    let routes: Vec<_> =
        seen.namespaces.iter().flat_map(|(id, ns)| ns.routes.iter().map(move |one| (id, one))).collect();
    if die(3) == 1 && !routes.is_empty() {
        let (id, route) = routes[usize::from(die(u8::try_from(routes.len()).unwrap()))];
        let beside = Route { via: None, ..route.clone() };
        drop(host.append_route_by_hand(id, &beside));
    }
    let links: Vec<_> =
        seen.namespaces.iter().flat_map(|(id, ns)| ns.links.keys().map(move |name| (id, name))).collect();
    let places: Vec<_> = seen.namespaces.keys().collect();
    if die(3) == 1 && !links.is_empty() {
        let (id, name) = links[usize::from(die(u8::try_from(links.len()).unwrap()))];
        let to = places[usize::from(die(u8::try_from(places.len()).unwrap()))];
        drop(host.move_by_hand(id, name, to));
    }
}

/// Can a plan lead back here? A veth end that has lost its peer cannot be made again, nor a route whose gateway is on no
/// subnet any more, nor two routes with one prefix and metric.
fn can_be_restored(state: &State) -> bool {
    state.namespaces.values().all(|ns| {
        let is_direct = |route: &Route| {
            let Some(via) = route.via else { return true };
            let link = route.dev.as_ref().and_then(|dev| ns.links.get(dev));
            let direct = |other: &Route| other.dev == route.dev && other.via.is_none() && other.to.contains(&via);
            link.is_some_and(|link| link.addresses.iter().any(|net| net.contains(&via))) || ns.routes.iter().any(direct)
        };
        let has_peer = |link: &Link| link.owner == Owner::Foreign || link.kind != LinkKind::Orphan;
        let keys: BTreeSet<_> = ns.routes.iter().map(|route| (route.to, route.metric)).collect();
        keys.len() == ns.routes.len() && ns.routes.iter().all(is_direct) && ns.links.values().all(has_peer)
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_plan_reaches_its_target_and_the_next_is_empty(
        (a, b) in pair(), other in numbers(), backwards: bool, promote: bool,
    ) {
        let (a, b) = (imagined(&lab(), &a), imagined(&lab(), &b));
        let mut host = host(&imagined(&other_lab(), &other));
        host.promote_secondaries(promote);
        host.set_order(if backwards { Order::Backwards } else { Order::Given });
        let before = others(&mut host);
        let scope = imagine::scope(&lab(), &[&a, &b]);
        for to in [&a, &b, &State::default()] {
            reach(&mut host, &scope, to);
        }
        prop_assert!(host.observe(&scope).unwrap().is_bare());
        prop_assert_eq!(others(&mut host), before);
    }

    #[test]
    fn damage_by_hand_is_repaired(
        a in numbers(), numbers in numbers(), other in numbers(), promote: bool,
    ) {
        let a = imagined(&lab(), &a);
        let mut host = host(&imagined(&other_lab(), &other));
        host.promote_secondaries(promote);
        let before = others(&mut host);
        let scope = imagine::scope(&lab(), &[&a]);
        reach(&mut host, &scope, &a);
        let seen = host.observe(&scope).unwrap();
        damage(&mut host, &seen, &mut die(&numbers));
        let damaged = host.clone();
        reach(&mut host, &scope, &a);
        prop_assert_eq!(others(&mut host), before.clone());
        let mut host = damaged;
        reach(&mut host, &scope, &State::default());
        prop_assert_eq!(others(&mut host), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..config() })]

    #[test]
    fn a_fault_at_every_operation_rolls_back_exactly(
        (a, b) in pair(), numbers in numbers(), backwards: bool, promote: bool,
    ) {
        let (a, b) = (imagined(&lab(), &a), imagined(&lab(), &b));
        let mut host = host(&State::default());
        host.promote_secondaries(promote);
        host.set_order(if backwards { Order::Backwards } else { Order::Given });
        let scope = imagine::scope(&lab(), &[&a, &b]);
        reach(&mut host, &scope, &a);
        if numbers.len() % 2 == 1 {
            let seen = host.observe(&scope).unwrap();
            damage(&mut host, &seen, &mut die(&numbers));
        }
        let snapshot = host.observe(&scope).unwrap();
        prop_assume!(can_be_restored(&snapshot));
        let plan = diff(&lab(), &snapshot, &b).unwrap();
        for n in 0..plan.ops().count() {
            let mut host = host.clone();
            host.fail_at(n, fault());
            prop_assert_eq!(apply(&mut host, &plan).map_err(|refused| refused.1), Err(fault()));
            let now = host.observe(&scope).unwrap();
            let back = diff(&lab(), &now, &snapshot).unwrap();
            if let Err(refused) = apply(&mut host, &back) {
                panic!("{refused:?}\nin {}", listing(&back));
            }
            let settled = |state: State| {
                let mut state = state;
                for link in state.namespaces.values_mut().flat_map(|ns| ns.links.values_mut()) {
                    link.secondary.clear();
                    // what came back on the way stays
                    link.unrouted.clear();
                }
                state
            };
            prop_assert_eq!(settled(host.observe(&scope).unwrap()), settled(snapshot.clone()), "fault {} of {}\nback {}", n, listing(&plan), listing(&back));
        }
    }
}

#[test]
fn the_imagined_states_are_worth_it() {
    let mut seen = BTreeSet::new();
    for seed in 0..200_u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let numbers: Vec<u8> = std::iter::repeat_with(|| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_be_bytes()[1]
        })
        .take(250)
        .collect();
        let state = imagine::state(&lab(), &mut die(&numbers));
        for ns in state.namespaces.values() {
            seen.extend(ns.table.iter().map(|_| "table"));
            seen.extend(ns.sysctls.iter().map(|_| "sysctl"));
            for link in ns.links.values() {
                seen.insert(if link.kind == LinkKind::Bridge { "bridge" } else { "veth" });
                seen.extend(link.master.iter().map(|_| "port"));
                seen.extend(link.altname.iter().map(|_| "altname"));
            }
            seen.extend(ns.routes.iter().map(|route| match (route.via, &route.dev) {
                (Some(via), _) if via.is_ipv4() => "gateway of IPv4",
                (Some(_), _) => "gateway of IPv6",
                (None, Some(_)) => "direct route",
                (None, None) => "blackhole",
            }));
        }
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}
