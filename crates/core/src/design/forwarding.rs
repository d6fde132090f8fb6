//! Forwarding: which sysctls routers and the host need, and what to put back when they are no longer needed.
//!
//! On the host as little as possible is switched on: forwarding is decided by the interface that a packet comes in on, so
//! the lab's own interfaces and the uplinks suffice for IPv4, and with `force_forwarding` (Linux 6.17) for IPv6 too.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::rules::publications;
use super::wiring::{Place, Wiring};
use super::{nats, neighbours};
use crate::host::Surroundings;
use crate::name::{IfName, LabName, NsId};
use crate::state::{State, Sysctl};

/// A router asks for its neighbours from its link-local address (RFC 4861, section 7.2.2), and drops what it should pass on
/// for one to two seconds while that one is still looked for elsewhere (RFC 4862, section 5.4; `ndisc_solicit` takes no
/// tentative source). On raum's own wires there is nobody else: addresses follow from MACs, which raum chose.
const DEFAULT_DAD: &str = "net/ipv6/conf/default/accept_dad";

/// Host sysctls that the lab changes, with the values from before.
pub(super) type Was = BTreeMap<Sysctl, String>;

/// Adds the sysctls of routers and of the host.
pub(super) fn add(wiring: &Wiring<'_>, around: &Surroundings, state: &mut State) -> Was {
    for node in wiring.lab.nodes.iter().filter(|n| !n.name.is_host()) {
        if let Some(behaviour) = node.nat.as_ref().and_then(|nat| nat.behaviour()) {
            state.entry(&NsId::of(&wiring.lab.name, &node.name)).sysctls.extend(nats::sysctls(&behaviour));
        }
        let forwards = wiring.forwards(node);
        // A new namespace inherits IPv4 forwarding from the machine's first one (net.core.devconf_inherit_init_net = 0),
        // where Docker and others switch it on: say it also where it must be off, if there is anything to forward between.
        if forwards || wiring.interfaces(Place::of(&node.name)).nth(1).is_some() {
            let value = if forwards { "1" } else { "0" };
            let sysctls = &mut state.entry(&NsId::of(&wiring.lab.name, &node.name)).sysctls;
            sysctls.extend(all_forwarding(false).map(|key| (key, value.to_owned())));
            if is_strict(around) {
                // inherited in the same way, and what comes in by another interface than its answer goes out by is dropped
                sysctls.extend(rp_filters().map(|key| (key, "0".to_owned())));
            }
            if around.ipv6 {
                sysctls.extend(all_forwarding(true).map(|key| (key, value.to_owned())));
                if forwards {
                    sysctls.extend(Sysctl::new(DEFAULT_DAD).ok().map(|key| (key, "0".to_owned())));
                }
            }
        }
    }
    let mut host = HostSysctls { around, own: own_interfaces(wiring), wanted: BTreeMap::new(), was: BTreeMap::new() };
    host.collect(wiring);
    if is_strict(around) {
        // 1, strict, for all interfaces can be overruled for one by 2, loose: the greater value counts (ip-sysctl.rst)
        let own: Vec<IfName> = host.own.keys().cloned().collect();
        host.wanted.extend(own.iter().map(|name| (Sysctl::ipv4(name, "rp_filter"), "2".to_owned())));
    }
    host.room_for_neighbours(wiring);
    let HostSysctls { wanted, was, .. } = host;
    if !wanted.is_empty() {
        state.entry(&NsId::Host).sysctls.extend(wanted);
    }
    was
}

/// Puts back the host sysctls that this lab changed, does not want any longer, and that no other lab needs. A key that is
/// gone, with its interface, is nobody's business any more.
pub(super) fn restore(lab: &LabName, around: &Surroundings, state: &mut State) {
    let Some(mine) = around.was.get(lab) else { return };
    let needed = |key: &Sysctl| around.was.iter().any(|(other, was)| other != lab && was.contains_key(key));
    let old: Vec<_> = mine
        .iter()
        .filter(|(key, _)| !needed(key) && around.sysctls.contains_key(key))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if !old.is_empty() {
        let sysctls = &mut state.entry(&NsId::Host).sysctls;
        for (key, value) in old {
            sysctls.entry(key).or_insert(value);
        }
    }
}

/// The lab's interfaces with addresses on the host, with those addresses.
pub(super) fn own_interfaces(wiring: &Wiring<'_>) -> BTreeMap<IfName, Vec<IpNet>> {
    wiring.addressed(Place::Host).map(|(name, nets)| (name.clone(), nets.to_vec())).collect()
}

/// `rp_filter` of all interfaces, and of new ones.
fn rp_filters() -> impl Iterator<Item = Sysctl> {
    ["all", "default"].into_iter().filter_map(|name| Sysctl::new(&format!("net/ipv4/conf/{name}/rp_filter")).ok())
}

/// Does the host check the sources of IPv4 packets strictly (RFC 3704, section 2.2), all of them or those of new interfaces?
fn is_strict(around: &Surroundings) -> bool {
    rp_filters().any(|key| around.sysctls.get(&key).is_some_and(|value| value == "1"))
}

fn all_forwarding(v6: bool) -> Option<Sysctl> {
    Sysctl::new(if v6 { "net/ipv6/conf/all/forwarding" } else { "net/ipv4/conf/all/forwarding" }).ok()
}

struct HostSysctls<'a> {
    around: &'a Surroundings,
    /// The lab's interfaces with addresses.
    own: BTreeMap<IfName, Vec<IpNet>>,
    wanted: BTreeMap<Sysctl, String>,
    was: Was,
}

impl HostSysctls<'_> {
    fn collect(&mut self, wiring: &Wiring<'_>) {
        if host_routes(wiring) {
            for v6 in [false, true] {
                let own: Vec<IfName> = self
                    .own
                    .iter()
                    .filter(|(_, nets)| nets.iter().any(|n| n.addr().is_ipv6() == v6))
                    .map(|(n, _)| n.clone())
                    .collect();
                let uplinks = self.uplinks(wiring, v6);
                match (own.is_empty(), v6) {
                    (true, _) => {}
                    (false, false) => self.forward_v4(&own, &uplinks),
                    (false, true) if self.around.ipv6 => self.forward_v6(wiring, &own, &uplinks),
                    (false, true) => {}
                }
            }
        }
        // the host's own clients come to a published port by 127.0.0.1
        let by_localhost = publications(wiring).filter(|p| !p.v6 && p.by_localhost());
        for bridge in by_localhost.map(|p| p.bridge).collect::<BTreeSet<_>>() {
            self.want_own(Sysctl::ipv4(bridge, "route_localnet"));
        }
    }

    /// Raises the machine's limit of neighbours where this lab alone could take half of it.
    fn room_for_neighbours(&mut self, wiring: &Wiring<'_>) {
        for v6 in [false, true] {
            let Some(key) = neighbours::limit(v6) else { continue };
            let limit = self.before(&key).and_then(|text| text.parse::<u64>().ok());
            let most = neighbours::most(wiring, v6);
            if limit.is_some_and(|limit| neighbours::is_tight(limit, most) && limit < neighbours::RAISED) {
                self.want(key, &neighbours::RAISED.to_string());
            }
        }
    }

    fn forward_v4(&mut self, own: &[IfName], uplinks: &BTreeSet<IfName>) {
        for name in own {
            self.want_own(Sysctl::ipv4(name, "forwarding"));
        }
        for name in uplinks {
            self.want(Sysctl::ipv4(name, "forwarding"), "1");
        }
    }

    /// IPv6 forwards for the whole namespace or not at all before Linux 6.17 (`conf/INTERFACE/forwarding` only makes it act
    /// as a router; Documentation/networking/ip-sysctl.rst). A host that forwards no longer takes router advertisements,
    /// and loses the default route it has by one, unless `accept_ra` is 2.
    fn forward_v6(&mut self, wiring: &Wiring<'_>, own: &[IfName], uplinks: &BTreeSet<IfName>) {
        for (_, bridge) in wiring.host_gateways().filter(|(_, bridge)| own.contains(&bridge.name)) {
            self.wanted.insert(Sysctl::ipv6(&bridge.name, "accept_dad"), "0".to_owned());
        }
        if self.around.sysctls.keys().any(|key| key.as_str().ends_with("/force_forwarding")) {
            for name in own {
                self.want_own(Sysctl::ipv6(name, "force_forwarding"));
            }
            for name in uplinks {
                self.want(Sysctl::ipv6(name, "force_forwarding"), "1");
            }
            return;
        }
        if let Some(key) = all_forwarding(true) {
            self.want(key, "1");
        }
        for name in default_route_interfaces(self.around, true).union(uplinks) {
            let key = Sysctl::ipv6(name, "accept_ra");
            if self.before(&key) == Some("1") {
                self.want(key, "2");
            }
        }
    }

    /// The host's interfaces by which the lab's packets go out or come in.
    fn uplinks(&self, wiring: &Wiring<'_>, v6: bool) -> BTreeSet<IfName> {
        let mut uplinks = BTreeSet::new();
        for (_, bridge) in wiring.host_gateways() {
            match bridge.switch.nat.as_ref().map(|nat| &nat.out) {
                Some(Some(out)) => {
                    uplinks.insert(out.value.clone());
                }
                Some(None) => uplinks.extend(default_route_interfaces(self.around, v6)),
                None => {}
            }
        }
        let published = publications(wiring).filter(|p| p.v6 == v6);
        for address in published.map(|p| p.address).collect::<BTreeSet<_>>() {
            match address {
                Some(address) if address.is_loopback() => {}
                Some(address) => {
                    let has = |(a, _): &&(_, IfName)| *a == address;
                    uplinks.extend(self.around.addresses.iter().filter(has).map(|(_, name)| name.clone()));
                }
                None => uplinks.extend(default_route_interfaces(self.around, v6)),
            }
        }
        uplinks
    }

    /// The value from before the first lab that changed it; none if this kernel has no such key.
    fn before(&self, key: &Sysctl) -> Option<&str> {
        let noted = self.around.was.values().find_map(|was| was.get(key));
        noted.or_else(|| self.around.sysctls.get(key)).map(String::as_str)
    }

    /// A sysctl of an interface that goes with the lab: there is nothing to remember.
    fn want_own(&mut self, key: Sysctl) {
        self.wanted.insert(key, "1".to_owned());
    }

    /// A sysctl of the host, remembered if it is changed.
    fn want(&mut self, key: Sysctl, value: &str) {
        let Some(before) = self.before(&key).map(str::to_owned) else { return };
        if before != value {
            self.was.insert(key.clone(), before);
        }
        self.wanted.insert(key, value.to_owned());
    }
}

/// The interfaces of the host with a default route of the family; without any, those with any route of it, for a
/// published port on a network of its own.
pub(super) fn default_route_interfaces(around: &Surroundings, v6: bool) -> BTreeSet<IfName> {
    let of_family = |(to, _): &&(IpNet, IfName)| to.addr().is_ipv6() == v6;
    let routes = || around.routes.iter().filter(of_family).filter(|(_, name)| name.as_str() != "lo");
    let default: BTreeSet<IfName> =
        routes().filter(|(to, _)| to.prefix_len() == 0).map(|(_, name)| name.clone()).collect();
    if default.is_empty() { routes().map(|(_, name)| name.clone()).collect() } else { default }
}

/// Does the host pass packets on for this lab: for NAT, for a published port, between its switches, for a node that has a
/// host end as its next hop, or because the file says so?
pub(super) fn host_routes(wiring: &Wiring<'_>) -> bool {
    let host = wiring.lab.nodes.iter().find(|n| n.name.is_host());
    if let Some(said) = host.and_then(|h| h.forwarding.as_ref()) {
        return said.value;
    }
    let nat = wiring.host_gateways().any(|(_, b)| b.switch.nat.is_some());
    let several = wiring.host_gateways().nth(1).is_some();
    let ends: BTreeSet<_> =
        wiring.interfaces(Place::Host).flat_map(|(side, _)| &side.addresses).map(IpNet::addr).collect();
    let next_hop = || {
        let nodes = wiring.lab.nodes.iter().filter(|n| !n.name.is_host());
        let hops =
            nodes.flat_map(|n| n.gateways.iter().map(|g| g.value).chain(n.routes.iter().filter_map(|route| route.via)));
        hops.into_iter().any(|via| ends.contains(&via))
    };
    let gateway_end = || {
        let by_link = |b: &super::wiring::Bridge<'_>| {
            b.place != Place::Host && b.switch.gateway.as_ref().is_some_and(|g| g.is_host())
        };
        wiring.bridges.iter().any(by_link)
    };
    nat || several || publications(wiring).next().is_some() || next_hop() || gateway_end()
}
