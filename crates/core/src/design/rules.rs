//! Rules: the lab's nf_tables table on the host, and those of its routers.
//!
//! The host has a table as soon as it has an address in the lab: forwarding may be on for other reasons (Docker), and a
//! neighbour on the host's LAN must not get into a lab by a route of his own. Routers have one for NAT and forwards; they
//! filter nothing but what an isolated switch keeps apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::addresses::{same_family, with_prefix};
use super::filter;
use super::forwarding::{Was, own_interfaces};
use super::nats;
use super::wiring::{Holder, Place, Wiring};
use crate::host::Surroundings;
use crate::lab::{Nat, Node, Proto};
use crate::name::{IfName, LabName, NodeName, NsId};
use crate::nft::{Chain, Hook, InterfaceRef, Interfaces, Match, PortKey, PortMap, Rule, Table, Verdict};
use crate::state::State;

/// The set of the lab's own interfaces in the host's table.
const OWN: &str = "lab";

/// Adds the tables.
pub(super) fn add(wiring: &Wiring<'_>, around: &Surroundings, was: Was, state: &mut State) {
    let lab = &wiring.lab.name.value;
    if let Some(table) = host_table(wiring, around, was) {
        state.entry(&NsId::Host).table = Some(table);
    }
    for node in wiring.lab.nodes.iter().filter(|n| !n.name.is_host()) {
        if node.nat.is_some()
            || !node.forward.is_empty()
            || !isolated(wiring, Place::of(&node.name)).is_empty()
            || filter::has(wiring, node)
        {
            let mut table = router_table(wiring, node);
            filter::add(wiring, node, &mut table);
            state.entry(&NsId::of(lab, &node.name)).table = Some(table);
        }
    }
}

/// A published port range in one family, with where it leads.
pub(super) struct Publication<'w> {
    pub(super) v6: bool,
    /// The host's address; none for all.
    pub(super) address: Option<IpAddr>,
    /// The bridge by which it is reached.
    pub(super) bridge: &'w IfName,
    pub(super) proto: Proto,
    /// The host's, the first and the last.
    pub(super) ports: (u16, u16),
    pub(super) to: IpAddr,
    target: u16,
}

impl Publication<'_> {
    /// The protocol, by its number.
    pub(super) fn number(&self) -> u8 {
        match self.proto {
            Proto::Tcp => 6,
            Proto::Udp => 17,
            Proto::Sctp => 132,
        }
    }

    /// The first port that it leads to.
    pub(super) fn target(&self) -> u16 {
        self.target
    }

    /// Do the host's own clients come to it by 127.0.0.1 or ::1?
    pub(super) fn by_localhost(&self) -> bool {
        self.address.is_none_or(|a| a.is_loopback())
    }
}

/// Every published range of the lab, in each family that both the host's address and the node have. A node may have
/// thousands: what they share is found once.
pub(super) fn publications<'w>(wiring: &'w Wiring<'_>) -> impl Iterator<Item = Publication<'w>> {
    let nodes = wiring.lab.nodes.iter().filter(|node| !node.publish.is_empty());
    nodes.flat_map(|node| {
        let ways = [false, true].map(|v6| Some((v6, way_from_host(wiring, &node.name, v6)?)));
        node.publish.iter().flat_map(move |publish| {
            let asked = |v6: bool| publish.address.is_none_or(|a| a.is_ipv6() == v6);
            let ways = ways.into_iter().flatten().filter(move |(v6, _)| asked(*v6));
            ways.map(|(v6, (bridge, to))| Publication {
                v6,
                // 0.0.0.0 and :: are every address of their family
                address: publish.address.filter(|a| !a.is_unspecified()),
                bridge,
                proto: publish.proto,
                ports: publish.ports,
                to,
                target: publish.target,
            })
        })
    })
}

/// The bridge and the node's address by which the host reaches it: on a switch of which the host is the gateway.
pub(crate) fn way_from_host<'w>(wiring: &'w Wiring<'_>, node: &NodeName, v6: bool) -> Option<(&'w IfName, IpAddr)> {
    wiring.interfaces(Place::of(node)).find_map(|(side, far)| {
        let Holder::Switch(index) = far.owner else { return None };
        let bridge = &wiring.bridges[index];
        if bridge.place != Place::Host || !bridge.is_gateway() {
            return None;
        }
        let in_subnet = |net: &&IpNet| bridge.switch.subnets.iter().any(|s| s.contains(&net.addr()));
        let address = side.addresses.iter().filter(in_subnet).find(|net| net.addr().is_ipv6() == v6)?;
        Some((&bridge.name, address.addr()))
    })
}

fn host_table(wiring: &Wiring<'_>, around: &Surroundings, was: Was) -> Option<Table> {
    let own = own_interfaces(wiring);
    if own.is_empty() && was.is_empty() {
        return None;
    }
    let mut table = Builder::new(&wiring.lab.name);
    table.0.was = was;
    table.0.sets.insert(OWN.to_owned(), own.into_keys().collect());
    let published: Vec<_> = publications(wiring).collect();
    for p in &published {
        table.map_ports("publish", None, p.v6, p.address, (p.proto, p.ports), (p.to, p.target));
    }
    table.translate("prerouting", Hook::DnatPrerouting);
    table.translate("output", Hook::DnatOutput);
    let spares_v6 = around.bridged_v6_meets_rules();
    if spares_v6 {
        spare_loopback_v6(&mut table);
    }

    let by_localhost = published.iter().filter(|p| p.by_localhost() && !(p.v6 && spares_v6));
    let local: BTreeSet<(&IfName, bool)> = by_localhost.map(|p| (p.bridge, p.v6)).collect();
    for (bridge, v6) in local {
        if !v6 {
            // route_localnet lets packets to 127/8 in from outside as well, and from there (`ip_route_input_slow`,
            // net/ipv4/route.c): only the host's own shall. The kernel sees to the same for ::1 by itself
            for localhost in [daddr(localhost(v6)), saddr(localhost(v6))] {
                table.rule("raw", Hook::RawPrerouting, vec![iif(bridge), localhost], Verdict::Drop);
            }
        }
        table.rule("postrouting", Hook::SnatPostrouting, vec![oif(bridge), saddr(localhost(v6))], Verdict::Masquerade);
    }
    for (_, bridge) in wiring.host_gateways() {
        for subnet in bridge.addresses.iter().map(IpNet::trunc) {
            let published_here = |p: &Publication<'_>| *p.bridge == bridge.name && same_family(p.to, subnet.addr());
            if published.iter().any(published_here) {
                // a member that comes by the published port must get its answer from the host, not from its neighbour
                let hairpin = vec![oif(&bridge.name), saddr(subnet), Match::Dnatted];
                table.rule("postrouting", Hook::SnatPostrouting, hairpin, Verdict::Masquerade);
            }
            if let Some(nat) = &bridge.switch.nat {
                let out = nat.out.as_ref().map_or_else(|| oif_own(true), |out| oif(out));
                let verdict = source(nat, subnet.addr().is_ipv6()).map_or(Verdict::Masquerade, Verdict::Snat);
                table.rule("postrouting", Hook::SnatPostrouting, vec![saddr(subnet), out], verdict);
            }
        }
    }
    if table.0.sets.values().any(|set| !set.is_empty()) {
        table.forward(vec![Match::Established], Verdict::Accept);
        for (_, bridge) in wiring.host_gateways().filter(|(_, b)| b.is_isolated()) {
            // by way of the gateway they would be neighbours again
            let across = || vec![iif(&bridge.name), oif(&bridge.name)];
            table.forward([across(), vec![Match::Dnatted]].concat(), Verdict::Accept);
            table.forward(across(), Verdict::Drop);
        }
        table.forward(vec![iif_own(), oif_own(false)], Verdict::Accept);
        for (_, bridge) in wiring.host_gateways() {
            if let Some(nat) = &bridge.switch.nat {
                let out = nat.out.as_ref().map_or_else(|| oif_own(true), |out| oif(out));
                table.forward(vec![iif(&bridge.name), out], Verdict::Accept);
            }
        }
        if !published.is_empty() {
            table.forward(vec![oif_own(false), Match::Dnatted], Verdict::Accept);
        }
        table.forward(vec![oif_own(false)], Verdict::Drop);
        table.forward(vec![iif_own()], Verdict::Drop);
    }
    Some(table.0)
}

/// Where bridged packets meet the rules, an answer is for ::1 again before the bridge hands it on, and the kernel drops what
/// comes from an interface for ::1 (`ip6_rcv_core`, net/ipv6/ip6_input.c). A client that tries `localhost` by IPv6 first shall
/// be refused at once, and go on to 127.0.0.1.
fn spare_loopback_v6(table: &mut Builder) {
    for rule in table.0.chains.get_mut("output").into_iter().flat_map(|chain| &mut chain.rules) {
        if rule.matches.contains(&Match::Family { v6: true }) {
            rule.matches.push(Match::Daddr { prefix: localhost(true), not: true });
        }
    }
}

/// The fixed source address of a family, if the file has one.
fn source(nat: &Nat, v6: bool) -> Option<IpAddr> {
    nat.source.iter().map(|at| at.value).find(|ip| ip.is_ipv6() == v6)
}

/// The router's interfaces by which it is the gateway of isolated switches.
fn isolated<'w>(wiring: &'w Wiring<'_>, place: Place<'_>) -> Vec<&'w IfName> {
    let bridges = || wiring.bridges.iter().filter(|b| b.is_isolated());
    let is_gateway = |b: &super::wiring::Bridge<'_>| b.switch.gateway.as_ref().is_some_and(|g| Place::of(g) == place);
    let own = bridges().filter(|b| b.place == place && is_gateway(b)).map(|b| &b.name);
    let ports = wiring.interfaces(place).filter_map(|(side, far)| {
        let Holder::Switch(index) = far.owner else { return None };
        let bridge = &wiring.bridges[index];
        (bridge.is_isolated() && is_gateway(bridge)).then_some(&side.name)
    });
    own.chain(ports).collect()
}

fn router_table(wiring: &Wiring<'_>, node: &Node) -> Table {
    let place = Place::of(&node.name);
    let mut table = Builder::new(&wiring.lab.name);
    let mut hairpins: BTreeSet<(IfName, IpNet)> = BTreeSet::new();
    for forward in &node.forward {
        for v6 in [false, true] {
            if forward.address.is_some_and(|a| a.is_ipv6() != v6) {
                continue;
            }
            if let Some(target) = target(wiring, place, &forward.node, v6) {
                let from = (forward.proto, forward.ports);
                let interface = forward.interface.as_ref().map(|i| &i.value);
                table.map_ports("forward", interface, v6, forward.address, from, (target.address, forward.target));
                hairpins.extend(target.shared);
            }
        }
    }
    table.translate("prerouting", Hook::DnatPrerouting);
    if let Some((nat, out)) = node.nat.as_ref().and_then(|nat| Some((nat, nat.out.as_ref()?))) {
        if let Some(behaviour) = nat.behaviour() {
            nats::add(wiring, place, nat, &behaviour, &mut table.0);
        } else {
            for to in [false, true].into_iter().filter_map(|v6| source(nat, v6)) {
                let matches = vec![oif(out), Match::Family { v6: to.is_ipv6() }];
                table.rule("postrouting", Hook::SnatPostrouting, matches, Verdict::Snat(to));
            }
            if source(nat, false).is_none() || source(nat, true).is_none() {
                table.rule("postrouting", Hook::SnatPostrouting, vec![oif(out)], Verdict::Masquerade);
            }
        }
    }
    // after those of a NAT with hairpins of its own
    for (interface, subnet) in &hairpins {
        let hairpin = vec![oif(interface), saddr(*subnet), Match::Dnatted];
        table.rule("postrouting", Hook::SnatPostrouting, hairpin, Verdict::Masquerade);
    }
    for name in isolated(wiring, place) {
        // by way of the gateway they would be neighbours again
        table.forward(vec![iif(name), oif(name), Match::Established], Verdict::Accept);
        table.forward(vec![iif(name), oif(name), Match::Dnatted], Verdict::Accept);
        table.forward(vec![iif(name), oif(name)], Verdict::Drop);
    }
    table.0
}

/// Where a router's forward leads.
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    /// The router's interface and network that it shares with the node, if it does.
    shared: Option<(IfName, IpNet)>,
}

/// The address of a node as a router reaches it: on a network that both are on, else the node's first.
pub(crate) fn target(wiring: &Wiring<'_>, router: Place<'_>, node: &NodeName, v6: bool) -> Option<Target> {
    let place = Place::of(node);
    let of_family = |net: &&IpNet| net.addr().is_ipv6() == v6;
    let theirs: Vec<IpNet> = wiring.addressed(place).flat_map(|(_, nets)| nets).filter(of_family).copied().collect();
    let shared = |address: IpAddr| {
        wiring.addressed(router).find_map(|(name, nets)| {
            let net = nets.iter().find(|net| net.contains(&address) && net.addr() != address)?;
            Some((name.clone(), net.trunc()))
        })
    };
    let near = theirs.iter().find_map(|net| Some((net.addr(), shared(net.addr())?)));
    match near {
        Some((address, shared)) => Some(Target { address, shared: Some(shared) }),
        None => theirs.first().map(|net| Target { address: net.addr(), shared: None }),
    }
}

/// A table in the making, and the maps to translate by: the more exact ones first.
struct Builder(Table, BTreeMap<(Option<IfName>, bool, bool), String>);

impl Builder {
    fn new(lab: &LabName) -> Self {
        let table = Table::empty(lab);
        Self(table, BTreeMap::new())
    }

    /// Appends a rule to a chain, which is made if need be.
    fn rule(&mut self, chain: &str, hook: Hook, matches: Vec<Match>, verdict: Verdict) {
        let chain = self.0.chains.entry(chain.to_owned()).or_insert(Chain { hook: Some(hook), rules: Vec::new() });
        chain.rules.push(Rule { matches, verdict });
    }

    fn forward(&mut self, matches: Vec<Match>, verdict: Verdict) {
        self.rule("forward", Hook::FilterForward, matches, verdict);
    }

    /// Adds a range of ports to the map for its interface, family and kind of key; an entry that is there already stays.
    fn map_ports(
        &mut self,
        stem: &str,
        interface: Option<&IfName>,
        v6: bool,
        address: Option<IpAddr>,
        (proto, (first, last)): (Proto, (u16, u16)),
        (to, target): (IpAddr, u16),
    ) {
        let by_address = address.is_some();
        let key = (interface.cloned(), by_address, v6);
        let name = match self.1.get(&key) {
            Some(name) => name.clone(),
            None => {
                let name = self.map_name(stem, &key);
                self.1.insert(key, name.clone());
                name
            }
        };
        let map = self.0.maps.entry(name).or_insert(PortMap { v6, by_address, entries: BTreeMap::new() });
        for (port, target) in (first..=last).zip(target..=u16::MAX) {
            map.entries.entry(PortKey { address, proto, port }).or_insert((to, target));
        }
    }

    /// `publish4`, `forward6-at`, `forward4-wan`: a word that `nft` takes, whatever the interface is called.
    fn map_name(&self, stem: &str, (interface, by_address, v6): &(Option<IfName>, bool, bool)) -> String {
        let mut name = format!("{stem}{}", if *v6 { '6' } else { '4' });
        if *by_address {
            name.push_str("-at");
        }
        if let Some(interface) = interface {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
            name.push('-');
            name.extend(interface.as_str().chars().map(plain));
        }
        while self.0.maps.contains_key(&name) {
            name.push('_');
        }
        name
    }

    /// One rule for each map. What goes through, without being for this namespace itself, is none of its business.
    fn translate(&mut self, chain: &str, hook: Hook) {
        let mut maps: Vec<_> = self.1.iter().map(|(key, name)| (key.clone(), name.clone())).collect();
        // those with an interface first, then those with an address
        maps.sort_by_key(|((interface, by_address, _), _)| (interface.is_none(), !by_address));
        for ((interface, _, v6), map) in maps {
            let mut matches: Vec<Match> = interface.as_ref().map(iif).into_iter().collect();
            matches.extend([Match::Family { v6 }, Match::ToLocal]);
            if hook == Hook::DnatPrerouting {
                // what comes by a wire for localhost is translated before the kernel sees that it should not have come
                // (`ip_route_input_slow`, net/ipv4/route.c; ::1 with br_netfilter)
                matches.push(Match::Daddr { prefix: localhost(v6), not: true });
            }
            self.rule(chain, hook, matches, Verdict::DnatMap { map });
        }
    }
}

fn interfaces(which: InterfaceRef, not: bool) -> Interfaces {
    Interfaces { which, not }
}

fn iif(name: &IfName) -> Match {
    Match::Iif(interfaces(InterfaceRef::Name(name.clone()), false))
}

fn oif(name: &IfName) -> Match {
    Match::Oif(interfaces(InterfaceRef::Name(name.clone()), false))
}

fn iif_own() -> Match {
    Match::Iif(interfaces(InterfaceRef::Set(OWN.to_owned()), false))
}

fn oif_own(not: bool) -> Match {
    Match::Oif(interfaces(InterfaceRef::Set(OWN.to_owned()), not))
}

fn saddr(prefix: IpNet) -> Match {
    Match::Saddr { prefix, not: false }
}

fn daddr(prefix: IpNet) -> Match {
    Match::Daddr { prefix, not: false }
}

/// 127.0.0.0/8 or ::1.
fn localhost(v6: bool) -> IpNet {
    if v6 { with_prefix(Ipv6Addr::LOCALHOST.into(), 128) } else { with_prefix(Ipv4Addr::new(127, 0, 0, 0).into(), 8) }
}
