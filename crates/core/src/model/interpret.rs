//! The operations, one by one: what must hold before, and what holds after. Each checks first and changes then: one that
//! fails has changed nothing.

use ipnet::IpNet;

use super::Kernel;
use super::refusal::{
    eaddrnotavail, ebusy, eexist, einval, eloop, enodev, enoent, enotconn, eopnotsupp, esrch, exfull,
};
use super::room::{Iface, Kind, MTU_MIN_V6, Room, is_v4};
use crate::host::OpError;
use crate::name::{IfName, Mac, NsId};
use crate::nft::{EntryChange, InterfaceRef, Learned, Lesson, Match, Table, Verdict};
use crate::plan::{AltnameChange, LinkChange, Op, VethEnd};
use crate::state::{Route, Sysctl};

/// Of veths and bridges (`ETH_MIN_MTU`, `ETH_MAX_MTU`).
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;

/// `BR_MAX_PORTS` without port 0.
const PORTS_MAX: usize = 1023;

type Done = Result<(), OpError>;

impl Kernel {
    /// Runs one operation; if it fails, nothing has changed.
    pub(super) fn run(&mut self, op: &Op) -> Done {
        match op {
            Op::AddNamespace { name, lab } => {
                let id = NsId::Named(name.clone());
                if self.rooms.contains_key(&id) {
                    return Err(eexist(""));
                }
                let promote_secondaries = self.rooms.get(&NsId::Host).is_some_and(|host| host.promote_secondaries);
                self.rooms.insert(id, Room { promote_secondaries, ..Room::new(Some(lab.clone())) });
                Ok(())
            }
            Op::DelNamespace { name } => self.del_namespace(&NsId::Named(name.clone())),
            Op::AddVeth { a, b, group } => self.add_veth(a, b, *group),
            Op::DelLink { ns, name } => {
                if name.as_str() == "lo" {
                    return Err(eopnotsupp(""));
                }
                self.room(ns)?.links.get(name).ok_or_else(|| enodev(""))?;
                self.del_link(ns, name);
                Ok(())
            }
            Op::DelGroup { ns, group } => {
                let links = &self.room(ns)?.links;
                let names: Vec<_> = links.iter().filter(|(_, i)| i.group == *group).map(|(n, _)| n.clone()).collect();
                if names.is_empty() {
                    return Err(enodev(""));
                }
                names.iter().for_each(|name| self.del_link(ns, name));
                Ok(())
            }
            // the rest concerns one namespace only
            _ => self.room(op.ns())?.run(op),
        }
    }

    fn room(&mut self, id: &NsId) -> Result<&mut Room, OpError> {
        self.rooms.get_mut(id).ok_or_else(|| enoent(""))
    }

    fn del_namespace(&mut self, id: &NsId) -> Done {
        let names: Vec<IfName> = self.room(id)?.links.keys().cloned().collect();
        names.iter().for_each(|name| self.del_link(id, name));
        self.rooms.remove(id);
        Ok(())
    }

    fn del_link(&mut self, ns: &NsId, name: &IfName) {
        let iface = self.rooms.get_mut(ns).and_then(|room| room.drop_link(name));
        if let Some(Iface { kind: Kind::Veth { peer_ns, peer }, .. }) = iface
            && let Some(room) = self.rooms.get_mut(&peer_ns)
        {
            room.drop_link(&peer);
        }
    }

    fn add_veth(&mut self, a: &VethEnd, b: &VethEnd, group: u32) -> Done {
        if b.up {
            return Err(enotconn(""));
        }
        if b.master.is_some() {
            return Err(einval("the peer of a veth cannot be born as a port"));
        }
        for end in [a, b] {
            let room = self.room(&end.ns)?;
            check_mtu(end.mtu)?;
            check_mac(end.mac)?;
            if room.is_taken(end.name.as_str()) || (a.ns == b.ns && a.name == b.name) {
                return Err(eexist(""));
            }
        }
        if let Some(master) = &a.master {
            self.room(&a.ns)?.check_bridge(master)?;
        }
        for (end, other) in [(a, b), (b, a)] {
            let kind = Kind::Veth { peer_ns: other.ns.clone(), peer: other.name.clone() };
            let mut iface = Iface::new(kind, end.mac, end.mtu, group);
            (iface.up, iface.master) = (end.up, end.master.clone());
            let room = self.room(&end.ns)?;
            room.inherit_sysctls(&end.name);
            room.links.insert(end.name.clone(), iface);
        }
        Ok(())
    }

    /// `ip route append …`
    pub(super) fn append_route(&mut self, ns: &NsId, route: &Route) -> Done {
        let room = self.room(ns)?;
        room.check_route(route)?;
        if room.routes.contains(route) {
            return Err(eexist(""));
        }
        room.routes.push(route.clone());
        Ok(())
    }

    /// `ip link set … netns …`
    pub(super) fn move_link(&mut self, ns: &NsId, name: &IfName, to: &NsId) -> Done {
        if self.room(to)?.is_taken(name.as_str()) {
            return Err(eexist(""));
        }
        let mut iface = self.room(ns)?.drop_link(name).ok_or_else(|| enodev(""))?;
        (iface.up, iface.master, iface.isolated, iface.hairpin) = (false, None, false, false);
        iface.unusual.clear();
        iface.addresses.clear();
        iface.unrouted.clear();
        if let Kind::Veth { peer_ns, peer } = &iface.kind
            && let Some(other) = self.room(peer_ns)?.links.get_mut(peer)
        {
            other.kind = Kind::Veth { peer_ns: to.clone(), peer: name.clone() };
        }
        self.room(to)?.links.insert(name.clone(), iface);
        Ok(())
    }
}

impl Room {
    fn run(&mut self, op: &Op) -> Done {
        match op {
            Op::MarkLoopback { lab, .. } => {
                self.mark = Some(lab.clone());
                self.loopback_up = true;
                Ok(())
            }
            Op::AddBridge { name, mac, mtu, group, .. } => {
                check_mtu(*mtu)?;
                check_mac(*mac)?;
                if self.is_taken(name.as_str()) {
                    return Err(eexist(""));
                }
                self.inherit_sysctls(name);
                self.links.insert(name.clone(), Iface::new(Kind::Bridge, *mac, *mtu, *group));
                Ok(())
            }
            Op::SetLink { name, set, .. } if name.as_str() == "lo" => self.set_loopback(set),
            Op::SetLink { name, set, .. } => self.set_link(name, set),
            Op::AddAddress { link, address, .. } => {
                let iface = self.links.get_mut(link).ok_or_else(|| enodev(""))?;
                if !is_v4(address) {
                    if iface.mtu < MTU_MIN_V6 {
                        return Err(einval(""));
                    }
                    if address.addr().is_multicast() || address.addr().is_unspecified() {
                        return Err(eaddrnotavail(""));
                    }
                }
                // IPv6 has an address only once on a link, whatever the prefix length (`ipv6_get_ifaddr`)
                let is_same = |own: &IpNet| own == address || (!is_v4(address) && own.addr() == address.addr());
                if !iface.addresses.iter().any(is_same) {
                    iface.addresses.push(*address);
                }
                Ok(())
            }
            Op::DelAddress { link, address, .. } => {
                let iface = self.links.get(link).ok_or_else(|| enodev(""))?;
                if iface.addresses.contains(address) {
                    self.drop_address(link, *address);
                }
                Ok(())
            }
            Op::RouteSubnet { link, address, .. } => {
                let iface = self.links.get_mut(link).ok_or_else(|| enodev(""))?;
                iface.unrouted.remove(address);
                Ok(())
            }
            Op::SetNeighbour { link, address, mac, .. } => {
                let iface = self.links.get_mut(link).ok_or_else(|| enodev(""))?;
                if address.is_ipv6() && iface.mtu < MTU_MIN_V6 {
                    return Err(einval("IPv6 is disabled on this device"));
                }
                iface.neighbours.insert(*address, *mac);
                Ok(())
            }
            Op::DelNeighbour { link, address, .. } => {
                self.links.get_mut(link).ok_or_else(|| enodev(""))?.neighbours.remove(address);
                Ok(())
            }
            Op::SetRoute { route, .. } => self.set_route(route),
            Op::DelRoute { route, .. } => {
                if route.dev.as_ref().is_some_and(|dev| !self.links.contains_key(dev)) {
                    return Err(enodev(""));
                }
                // metric 0 is not asked for, and IPv4 takes the lowest that is there (`fib_table_delete`); nor is a next hop
                // that is not given (`fib_nh_match`, net/ipv4/fib_semantics.c; `ip6_route_del`, net/ipv6/route.c)
                let any = is_v4(&route.to) && route.metric == 0;
                let is_it = |other: &Route| {
                    let metric = if any { 0 } else { other.metric };
                    let via = route.via.and(other.via);
                    Route { metric, via, ..other.clone() } == *route
                };
                let found = self.routes.iter().enumerate().filter(|(_, other)| is_it(other));
                let (at, _) = found.min_by_key(|(_, other)| other.metric).ok_or_else(|| esrch(""))?;
                self.routes.remove(at);
                Ok(())
            }
            Op::SetSysctl { key, value, .. } => self.set_sysctl(key, value),
            Op::ReplaceTable { table, .. } => {
                if self.tables.get(&table.name).is_some_and(|other| other.lab != table.lab) {
                    return Err(eexist(""));
                }
                check_table(table)?;
                self.tables.insert(table.name.clone(), table.clone());
                Ok(())
            }
            Op::ChangeEntries { table, changes, .. } => {
                let table = self.tables.get_mut(table).ok_or_else(|| enoent(""))?;
                let mut changed = table.clone();
                changes.iter().try_for_each(|change| change_entries(&mut changed, change))?;
                *table = changed;
                Ok(())
            }
            Op::DelTable { name, .. } => self.tables.remove(name).map(|_| ()).ok_or_else(|| enoent("")),
            Op::AddOpening { opening, lab, .. } => {
                self.openings.entry(lab.clone()).or_default().insert(opening.clone());
                Ok(())
            }
            Op::DelOpening { opening, lab, .. } => {
                self.openings.entry(lab.clone()).or_default().remove(opening);
                Ok(())
            }
            Op::AddZone { interface, .. } => {
                self.zones.insert(interface.clone());
                Ok(())
            }
            Op::DelZone { interface, .. } => {
                self.zones.remove(interface);
                Ok(())
            }
            // flows are not modelled; none to forget is fine
            Op::FlushFlows { .. } => Ok(()),
            Op::AddNamespace { .. }
            | Op::DelNamespace { .. }
            | Op::AddVeth { .. }
            | Op::DelLink { .. }
            | Op::DelGroup { .. } => Err(einval("not an operation of one namespace")),
        }
    }

    fn set_loopback(&mut self, set: &LinkChange) -> Done {
        if *set != (LinkChange { up: set.up, ..LinkChange::default() }) {
            return Err(eopnotsupp(""));
        }
        match set.up {
            Some(true) => self.loopback_up = true,
            Some(false) => self.loopback_down(),
            None => {}
        }
        Ok(())
    }

    fn set_link(&mut self, name: &IfName, set: &LinkChange) -> Done {
        let iface = self.links.get(name).ok_or_else(|| enodev(""))?;
        let is_bridge = iface.kind == Kind::Bridge;
        let has = |altname: &String| iface.altnames.contains(altname);
        match &set.altname {
            Some(AltnameChange::Add(altname)) if self.is_taken(altname) => return Err(eexist("")),
            Some(AltnameChange::Del(altname)) if !has(altname) => return Err(enoent("")),
            _ => {}
        }
        set.mtu.map_or(Ok(()), check_mtu)?;
        set.mac.map_or(Ok(()), check_mac)?;
        if let Some(Some(master)) = &set.master {
            self.check_bridge(master)?;
            if is_bridge {
                return Err(eloop("Can not enslave a bridge to a bridge"));
            }
        }
        let master = set.master.as_ref().unwrap_or(&iface.master);
        if (set.isolated.is_some() || set.hairpin.is_some() || !set.port.is_empty()) && master.is_none() {
            return Err(eopnotsupp(""));
        }
        // nothing can fail from here on
        if let Some(mtu) = set.mtu {
            self.set_mtu(name, mtu);
        }
        if set.up == Some(false) {
            self.take_down(name);
        }
        let Some(iface) = self.links.get_mut(name) else { return Err(enodev("")) };
        iface.up = set.up.unwrap_or(iface.up);
        if let Some(mac) = set.mac {
            iface.mac = mac;
            iface.neighbours.clear();
        }
        if let Some(master) = &set.master {
            iface.isolated &= iface.master == *master;
            iface.hairpin &= iface.master == *master;
            if iface.master != *master {
                iface.unusual.clear();
            }
            iface.master = master.clone();
        }
        iface.isolated = set.isolated.unwrap_or(iface.isolated);
        iface.hairpin = set.hairpin.unwrap_or(iface.hairpin);
        for (flag, on) in &set.port {
            if *on == flag.is_usual() {
                iface.unusual.remove(flag);
            } else {
                iface.unusual.insert(*flag);
            }
        }
        if set.arp.is_some_and(|arp| arp != iface.arp) {
            iface.arp = !iface.arp;
            iface.neighbours.clear();
        }
        if let Some(alias) = &set.alias {
            iface.alias = Some(alias.clone()).filter(|alias| !alias.is_empty());
        }
        match &set.altname {
            Some(AltnameChange::Add(altname)) => {
                iface.altnames.insert(altname.clone());
            }
            Some(AltnameChange::Del(altname)) => {
                iface.altnames.remove(altname);
            }
            None => {}
        }
        Ok(())
    }

    fn check_bridge(&self, name: &IfName) -> Done {
        match self.links.get(name) {
            None => Err(enodev("")),
            Some(iface) if iface.kind != Kind::Bridge => Err(eopnotsupp("")),
            Some(_) if self.links.values().filter(|port| port.master.as_ref() == Some(name)).count() >= PORTS_MAX => {
                Err(exfull(""))
            }
            Some(_) => Ok(()),
        }
    }

    /// `ip route replace`: the oldest with the same prefix and metric makes room.
    fn set_route(&mut self, route: &Route) -> Done {
        self.check_route(route)?;
        let same_key = |other: &Route| (other.to, other.metric) == (route.to, route.metric);
        match self.routes.iter_mut().find(|other| same_key(other)) {
            Some(other) => *other = route.clone(),
            None => self.routes.push(route.clone()),
        }
        Ok(())
    }

    /// Writing `forwarding` for all writes it for each interface and for those to come.
    fn set_sysctl(&mut self, key: &Sysctl, value: &str) -> Done {
        if !self.has_sysctl(key) {
            return Err(enoent(""));
        }
        self.sysctls.insert(key.clone(), value.to_owned());
        for family in ["ipv4", "ipv6"] {
            let is_for_all = key.as_str() == format!("net/{family}/conf/all/forwarding")
                || (family == "ipv4" && key.as_str() == "net/ipv4/ip_forward");
            if is_for_all {
                let names: Vec<String> = self.links.keys().map(ToString::to_string).collect();
                for name in names.iter().map(String::as_str).chain(["all", "default", "lo"]) {
                    if let Ok(each) = Sysctl::new(&format!("net/{family}/conf/{name}/forwarding")) {
                        self.sysctls.insert(each, value.to_owned());
                    }
                }
                if let (true, Ok(other)) = (family == "ipv4", Sysctl::new("net/ipv4/ip_forward")) {
                    self.sysctls.insert(other, value.to_owned());
                }
            }
        }
        Ok(())
    }

    /// A new interface has what `conf/default` says.
    fn inherit_sysctls(&mut self, name: &IfName) {
        let mut new = Vec::new();
        for (key, value) in &self.sysctls {
            let own = key.as_str().replacen("/conf/default/", &format!("/conf/{name}/"), 1);
            if let (true, Ok(own)) = (own != key.as_str(), Sysctl::new(&own)) {
                new.push((own, value.clone()));
            }
        }
        self.sysctls.extend(new);
    }
}

fn check_mtu(mtu: u32) -> Done {
    match mtu {
        _ if MTU.contains(&mtu) => Ok(()),
        0..68 => Err(einval("mtu less than device minimum")),
        _ => Err(einval("mtu greater than device maximum")),
    }
}

fn check_mac(mac: Mac) -> Done {
    if mac.0[0] & 1 == 1 || mac.0 == [0; 6] { Err(eaddrnotavail("")) } else { Ok(()) }
}

/// What goes must be there, whatever it leads to; what comes may be there if it is the same (`nft_add_set_elem`,
/// net/netfilter/nf_tables_api.c).
fn change_entries(table: &mut Table, change: &EntryChange) -> Done {
    let map = table.maps.get_mut(&change.map).ok_or_else(|| enoent(""))?;
    for (key, _) in &change.del {
        map.entries.remove(key).ok_or_else(|| enoent(""))?;
    }
    for (key, to) in &change.add {
        if *map.entries.entry(*key).or_insert(*to) != *to {
            return Err(ebusy(""));
        }
    }
    Ok(())
}

/// Everything that a rule names must be in the table.
fn check_table(table: &Table) -> Done {
    let learns = |what: Learned, v6: bool| table.learned.get(what.name(v6)) == Some(&what);
    for rule in table.chains.values().flat_map(|chain| &chain.rules) {
        let is_there = match &rule.verdict {
            Verdict::Jump(chain) => table.chains.get(chain).is_some_and(|chain| chain.hook.is_none()),
            Verdict::DnatMap { map } => table.maps.contains_key(map),
            Verdict::Unknown(_) => return Err(einval("")),
            Verdict::Learn { what, v6, .. } => what.learned(*v6).into_iter().all(|into| learns(into, *v6)),
            Verdict::DnatLearned { v6 } => Lesson::Owner.learned(*v6).into_iter().all(|from| learns(from, *v6)),
            Verdict::SnatMapped { to, by_remote } => {
                learns(Learned::Mapping { v6: to.is_ipv6(), by_remote: *by_remote }, to.is_ipv6())
            }
            Verdict::Accept
            | Verdict::Drop
            | Verdict::Masquerade
            | Verdict::MasqueradeRandom
            | Verdict::Snat(_)
            | Verdict::SnatRandom(_) => true,
        };
        let mut sets = rule.matches.iter().filter_map(|one| match one {
            Match::Iif(interfaces) | Match::Oif(interfaces) => match &interfaces.which {
                InterfaceRef::Set(set) => Some(set),
                InterfaceRef::Name(_) => None,
            },
            _ => None,
        });
        let known = |one: &Match| match one {
            Match::SaddrIn { set, .. } | Match::DaddrIn { set, .. } => table.addresses.contains_key(set),
            Match::PortTaken { v6 } => learns(Learned::Address { v6: *v6 }, *v6),
            Match::FromPeer { v6 } => learns(Learned::Peer { v6: *v6 }, *v6),
            _ => true,
        };
        if !rule.matches.iter().all(known) {
            return Err(enoent(""));
        }
        if !is_there || sets.any(|set| !table.sets.contains_key(set)) {
            return Err(enoent(""));
        }
    }
    Ok(())
}
