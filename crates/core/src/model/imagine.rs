//! Imagined states: consistent labs that no one wrote, for tests of hosts.
//!
//! The choices come from a die, so that the same states can be had from a shrinking test library, from a pseudo-random
//! generator, or from a list of numbers. Consistent means that a host can have the state: a route's gateway is on a subnet of
//! its link, a link without an IPv6-sized MTU has no IPv6, nothing that is down has routes. Names are few, so that two states
//! of one lab have much in common and differ in everything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::host::Scope;
use crate::lab::{Proto, link_group, mark, stable_hash};
use crate::name::{IfName, LabName, Mac, NsId};
use crate::nft::{
    AddressSet, Chain, Hook, InterfaceRef, Interfaces, Lesson, Match, PortKey, PortMap, Rule, Table, Verdict,
};
use crate::state::{Link, LinkKind, Namespace, Owner, Route, RouteKind, State, Sysctl};

/// Chooses: given `n`, one of `0..n`. Always 0 is the simplest state.
pub type Die<'a> = dyn FnMut(u8) -> u8 + 'a;

/// An interface that a test puts on the host itself, so that sysctls of it can be wanted: no lab's.
pub const UPLINK: &str = "up0";

/// A state of the lab. Its namespaces and host interfaces begin with the lab's name.
pub fn state(lab: &LabName, die: &mut Die<'_>) -> State {
    let mut state = State::default();
    state.entry(&NsId::Host);
    for i in 0..4 {
        if let (true, Ok(id)) = (die(3) > 0, format!("{lab}-n{i}").parse::<NsId>()) {
            state.entry(&id).loopback_up = die(8) < 7;
        }
    }
    let places: Vec<NsId> = state.namespaces.keys().cloned().collect();
    for id in &places {
        for i in 0..2 {
            if die(3) == 1 {
                let bridge = link(lab, LinkKind::Bridge, die);
                insert(&mut state, id, name(lab, id, "br", i), bridge);
            }
        }
    }
    for _ in 0..die(8) {
        add_veth(&mut state, lab, &places, die);
    }
    for (id, ns) in &mut state.namespaces {
        masters(ns, die);
        for (index, link) in (0_u8..).zip(ns.links.values_mut()) {
            addresses(link, index, die);
            neighbours(link, index, die);
        }
        routes(lab, id, ns, die);
        sysctls(id, ns, die);
        if die(3) == 1 {
            ns.table = Some(table(lab, id, ns, die));
        }
    }
    state
}

/// What an observer must look at to see everything that these states of the lab speak of.
#[must_use]
pub fn scope(lab: &LabName, states: &[&State]) -> Scope {
    let mut scope = Scope { neighbours: true, ..Scope::of(lab) };
    for (id, ns) in states.iter().flat_map(|state| &state.namespaces) {
        scope.namespaces.extend(id.name().cloned());
        if *id == NsId::Host {
            scope.host_links.extend(ns.links.keys().cloned());
        }
        scope.sysctls.extend(ns.sysctls.keys().map(|key| (id.clone(), key.clone())));
    }
    scope
}

/// A name of at most 7 + 3 bytes; on the host it carries the beginning of the lab's.
fn name(lab: &LabName, id: &NsId, stem: &str, i: u8) -> Option<IfName> {
    let lab: String = if *id == NsId::Host { lab.as_str().chars().take(7).collect() } else { String::new() };
    IfName::new(&format!("{lab}{stem}{i}")).ok()
}

fn insert(state: &mut State, id: &NsId, name: Option<IfName>, link: Link) {
    if let Some(name) = name {
        state.entry(id).links.insert(name, link);
    }
}

fn pick<'a, T>(die: &mut Die<'_>, from: &'a [T]) -> Option<&'a T> {
    let count = u8::try_from(from.len()).unwrap_or(u8::MAX).max(1);
    from.get(usize::from(die(count)))
}

fn link(lab: &LabName, kind: LinkKind, die: &mut Die<'_>) -> Link {
    let alias = if kind == LinkKind::Bridge { Some(mark(lab)) } else { None };
    Link {
        owner: Owner::Lab,
        kind,
        up: die(6) < 5,
        mtu: pick(die, &[1500, 1400, 1280, 9000, 1000]).copied().unwrap_or(1500),
        mac: Mac([2, 0x72, 0, die(4), die(4), die(4)]),
        master: None,
        isolated: false,
        hairpin: false,
        unusual: BTreeSet::new(),
        arp: true,
        group: link_group(lab),
        alias,
        altname: None,
        addresses: BTreeSet::new(),
        unrouted: BTreeSet::new(),
        secondary: BTreeSet::new(),
        neighbours: BTreeMap::new(),
    }
}

fn add_veth(state: &mut State, lab: &LabName, places: &[NsId], die: &mut Die<'_>) {
    let mut end = || {
        let id = pick(die, places)?.clone();
        let name = name(lab, &id, "e", die(4))?;
        Some((id, name))
    };
    let (Some(a), Some(b)) = (end(), end()) else { return };
    let mut is_taken = |(id, name): &(NsId, IfName)| state.entry(id).links.contains_key(name);
    if a == b || is_taken(&a) || is_taken(&b) {
        return;
    }
    for (this, other) in [(&a, &b), (&b, &a)] {
        let mut end = link(lab, LinkKind::Veth { peer_ns: other.0.clone(), peer: other.1.clone() }, die);
        if die(5) == 1 {
            end.altname = Some(format!("{}-of-{}-as-a-longer-name", this.1, this.0));
        }
        insert(state, &this.0, Some(this.1.clone()), end);
    }
}

fn masters(ns: &mut Namespace, die: &mut Die<'_>) {
    let is_bridge = |link: &Link| link.kind == LinkKind::Bridge;
    let bridges: Vec<IfName> = ns.links.iter().filter(|(_, l)| is_bridge(l)).map(|(name, _)| name.clone()).collect();
    for link in ns.links.values_mut().filter(|link| !is_bridge(link)) {
        if !bridges.is_empty() && die(2) == 1 {
            link.master = pick(die, &bridges).cloned();
            link.isolated = die(4) == 1;
            link.hairpin = die(4) == 1;
        }
    }
}

/// Up to four addresses of each family in up to two subnets, which no other link of the namespace has.
fn addresses(link: &mut Link, index: u8, die: &mut Die<'_>) {
    let len = if die(4) == 1 { 16 } else { 24 };
    for _ in 0..die(5) {
        let address = Ipv4Addr::new(10, index, die(2), 1 + die(4));
        link.addresses.extend(Ipv4Net::new(address, len).map(IpNet::V4));
    }
    if link.mtu >= 1280 {
        let len = if die(4) == 1 { 56 } else { 64 };
        for _ in 0..die(4) {
            let address = Ipv6Addr::new(0xfd00, 0, u16::from(index), u16::from(die(2)), 0, 0, 0, u16::from(1 + die(4)));
            link.addresses.extend(Ipv6Net::new(address, len).map(IpNet::V6));
        }
    }
}

/// Up to two of each family; of one address, the hardware address differs from state to state.
fn neighbours(link: &mut Link, index: u8, die: &mut Die<'_>) {
    for _ in 0..die(3) {
        let address = Ipv4Addr::new(10, index, 0, 201 + die(2));
        link.neighbours.insert(address.into(), Mac([2, 0x73, 0, 0, 0, die(2)]));
    }
    for _ in 0..if link.mtu >= 1280 { die(3) } else { 0 } {
        let address = Ipv6Addr::new(0xfd00, 0, u16::from(index), 0, 0, 0, 0, 0x201 + u16::from(die(2)));
        link.neighbours.insert(address.into(), Mac([2, 0x73, 0, 0, 0, die(2)]));
    }
}

fn routes(lab: &LabName, id: &NsId, ns: &mut Namespace, die: &mut Die<'_>) {
    // on the host a route without interface would be nobody's, and the default route is the host's own
    let is_host = *id == NsId::Host;
    let own = if is_host { u8::try_from(stable_hash(&[lab.as_str()]) % 15).unwrap_or_default() + 1 } else { 0 };
    let mut made: BTreeMap<(IpNet, u32), Route> = BTreeMap::new();
    let mut add = |route: Route| _ = made.entry((route.to, route.metric)).or_insert(route);
    for (index, (name, link)) in (0_u8..).zip(ns.links.iter().filter(|(_, link)| link.up)) {
        if link.mtu >= 1280
            && die(6) == 1
            && let Ok(to) = "::1/128".parse()
        {
            let metric = 0x1000_0000 + u32::from(own) * 16 + u32::from(index);
            add(Route { to, metric, kind: RouteKind::Local, via: None, dev: Some(name.clone()) });
        }
        let in_subnet = link.addresses.iter().copied();
        // a host beside the link that is on no subnet of it, reached by a route of its own
        let beside = [
            IpNet::from(IpAddr::from([10, 200 + own, index, 1])),
            v6_net(u16::from(200 + own), u16::from(index), 1, 128),
        ];
        for net in in_subnet.chain(beside) {
            let is_v6 = matches!(net, IpNet::V6(_));
            if is_v6 && link.mtu < 1280 {
                continue;
            }
            let is_beside = beside.contains(&net);
            for _ in 0..die(if is_beside { 2 } else { 3 }) {
                let Some(to) = destination(is_v6, own, die) else { continue };
                let via = if is_beside { Some(net.addr()) } else { neighbour(net).filter(|_| die(4) > 0) };
                if is_beside {
                    add(Route::unicast(net, None, name.clone()));
                }
                let metric = if die(4) == 1 { 50 } else { Route::usual_metric(to) };
                add(Route { metric, ..Route::unicast(to, via, name.clone()) });
            }
        }
    }
    for is_v6 in [false, true] {
        if !is_host
            && die(4) == 1
            && let Some(to) = destination(is_v6, own, die)
        {
            let kind = pick(die, &[RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit]);
            let kind = kind.copied().unwrap_or(RouteKind::Blackhole);
            add(Route { to, metric: Route::usual_metric(to), kind, via: None, dev: None });
        }
    }
    // a host route to a neighbour may have lost against another link's: what leads over it goes too
    let all: Vec<Route> = made.into_values().collect();
    let direct = |via: IpAddr, dev: &Option<IfName>| {
        let connected = dev.as_ref().and_then(|dev| ns.links.get(dev));
        let on_link = connected.is_some_and(|link| link.addresses.iter().any(|net| net.contains(&via)));
        on_link || all.iter().any(|other| other.to == IpNet::from(via) && other.dev == *dev)
    };
    let kept = all.iter().filter(|route| route.via.is_none_or(|via| direct(via, &route.dev)));
    ns.routes = kept.cloned().collect();
}

fn v6_net(third: u16, fourth: u16, host: u16, len: u8) -> IpNet {
    let address = Ipv6Addr::new(0xfd00, 0, third, fourth, 0, 0, 0, host);
    IpNet::from(Ipv6Net::new_assert(address, len.min(128))).trunc()
}

/// The default route or one of three networks; on the host one that no other lab takes.
fn destination(is_v6: bool, own: u8, die: &mut Die<'_>) -> Option<IpNet> {
    let text = match (is_v6, die(4)) {
        (_, 0) if own > 0 => return None,
        (false, 0) => "0.0.0.0/0".to_owned(),
        (true, 0) => "::/0".to_owned(),
        (false, n) => format!("172.{}.{n}.0/24", 16 + own),
        (true, n) => format!("fd99:{own:x}:{n}::/48"),
    };
    text.parse().ok()
}

/// An address of the subnet that no imagined link has.
fn neighbour(net: IpNet) -> Option<IpAddr> {
    match net {
        IpNet::V4(net) => {
            let [a, b, c, _] = net.addr().octets();
            Some(Ipv4Addr::new(a, b, c, 99).into())
        }
        IpNet::V6(net) => {
            let mut segments = net.addr().segments();
            segments[7] = 0x99;
            Some(Ipv6Addr::from(segments).into())
        }
    }
}

fn sysctls(id: &NsId, ns: &mut Namespace, die: &mut Die<'_>) {
    let uplink = IfName::new(UPLINK).ok().filter(|_| *id == NsId::Host);
    let links = ns.links.iter().map(|(name, link)| (name.clone(), link.mtu >= 1280));
    let mut keys = Vec::new();
    for (name, has_v6) in links.chain(uplink.map(|name| (name, true))) {
        keys.push(Sysctl::ipv4(&name, "forwarding"));
        if has_v6 {
            keys.push(Sysctl::ipv6(&name, "forwarding"));
        }
    }
    if *id != NsId::Host {
        let general = ["net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding", "net/ipv4/ip_default_ttl"];
        keys.extend(general.into_iter().filter_map(|key| Sysctl::new(key).ok()));
    }
    for key in keys {
        if die(3) == 1 {
            let value = if key.interface().is_none() && key.as_str().ends_with("ttl") { 64 + die(2) } else { die(2) };
            ns.sysctls.insert(key, value.to_string());
        }
    }
}

fn table(lab: &LabName, id: &NsId, ns: &Namespace, die: &mut Die<'_>) -> Table {
    let mut table = Table::empty(lab);
    if *id == NsId::Host {
        let noted = ns.sysctls.keys().filter(|key| key.interface() == Some(UPLINK));
        table.was = noted.map(|key| (key.clone(), die(2).to_string())).collect();
    }
    let (mut prerouting, mut sources) = (Vec::new(), Vec::new());
    for (v6, by_address) in [(false, false), (false, true), (true, false), (true, true)] {
        let entries: BTreeMap<_, _> = (0..die(3)).map(|_| entry(v6, by_address, die)).collect();
        if entries.is_empty() {
            continue;
        }
        let map = format!("{}{}", if v6 { "v6" } else { "v4" }, if by_address { "-by-address" } else { "" });
        prerouting.push(Rule { matches: vec![Match::ToLocal], verdict: Verdict::DnatMap { map: map.clone() } });
        table.maps.insert(map, PortMap { v6, by_address, entries });
    }
    let names: BTreeSet<IfName> = ns.links.keys().cloned().collect();
    let mut forward = vec![Rule { matches: vec![Match::Established], verdict: Verdict::Accept }];
    if !names.is_empty() {
        table.sets.insert("lab".to_owned(), names);
        let which = InterfaceRef::Set("lab".to_owned());
        forward.push(Rule { matches: vec![Match::Oif(Interfaces { which, not: false })], verdict: Verdict::Drop });
    }
    let v6 = die(2) == 1;
    if die(2) == 1 {
        let members = (0..die(4)).map(|_| entry(v6, true, die).1.0).collect();
        table.addresses.insert("of-some".to_owned(), AddressSet { v6, members });
        let ports = Match::Ports { proto: Proto::Tcp, first: 80, last: 80 + u16::from(die(3)) };
        let from = Match::SaddrIn { v6, set: "of-some".to_owned() };
        forward.push(Rule { matches: vec![from, ports], verdict: Verdict::Accept });
        let to = Match::DaddrIn { v6, set: "of-some".to_owned() };
        forward.push(Rule { matches: vec![to, Match::Icmp { v6 }], verdict: Verdict::Drop });
        forward.push(Rule { matches: vec![Match::LinkWork], verdict: Verdict::Accept });
    }
    if die(3) == 1 {
        let matches = vec![Match::Family { v6 }, Match::Original, Match::Proto(Proto::Udp)];
        // nft before 1.0.9 aborts where a rule writes by a key of more than 16 bytes: such are only tried in `nft/rule.rs`
        let by_remote = die(2) == 1;
        let lessons = [Lesson::Owner, Lesson::Peer, Lesson::Mapping { by_remote }];
        let lessons: Vec<Lesson> = lessons.into_iter().take(if v6 { 2 } else { 3 }).collect();
        for into in lessons.iter().flat_map(|what| what.learned(v6)) {
            table.learned.insert(into.name(v6).to_owned(), into);
        }
        let learn = |what| Rule { matches: matches.clone(), verdict: Verdict::Learn { what, v6, timeout_s: 300 } };
        let rules = lessons.iter().copied().map(learn).collect();
        table.chains.insert("learn".to_owned(), Chain { hook: Some(Hook::Learn), rules });
        let found = |matches| Rule { matches, verdict: Verdict::DnatLearned { v6 } };
        prerouting.push(found(vec![Match::Family { v6 }]));
        prerouting.push(found(vec![Match::Family { v6 }, Match::FromPeer { v6 }]));
        let to = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::new(203, 0, 113, 7).into() };
        let taken = vec![Match::Family { v6 }, Match::PortTaken { v6 }];
        sources.push(Rule { matches: taken, verdict: Verdict::SnatRandom(to) });
        if !v6 {
            let matches = vec![Match::Family { v6 }, Match::Proto(Proto::Tcp)];
            sources.push(Rule { matches, verdict: Verdict::SnatMapped { to, by_remote } });
        }
    }
    let snat = Rule {
        matches: vec![Match::Family { v6: true }],
        verdict: Verdict::Snat(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9).into()),
    };
    let masquerade = Rule { matches: vec![Match::Dnatted], verdict: Verdict::Masquerade };
    for (name, hook, rules) in [
        ("prerouting", Hook::DnatPrerouting, prerouting),
        ("forward", if die(2) == 1 { Hook::FilterForward } else { Hook::FilterOutput }, forward),
        (
            "postrouting",
            Hook::SnatPostrouting,
            [sources, vec![masquerade, snat, Rule { matches: Vec::new(), verdict: Verdict::MasqueradeRandom }]]
                .concat(),
        ),
    ] {
        if die(2) == 1 {
            table.chains.insert(name.to_owned(), Chain { hook: Some(hook), rules });
        }
    }
    table
}

fn entry(v6: bool, by_address: bool, die: &mut Die<'_>) -> (PortKey, (IpAddr, u16)) {
    let address = |host: u8| -> IpAddr {
        if v6 {
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)).into()
        } else {
            Ipv4Addr::new(10, 0, 0, host).into()
        }
    };
    let proto = [Proto::Tcp, Proto::Udp, Proto::Sctp][usize::from(die(3)) % 3];
    let key = PortKey { address: by_address.then(|| address(1 + die(2))), proto, port: 8000 + u16::from(die(3)) };
    (key, (address(1 + die(4)), 80 + u16::from(die(3))))
}
