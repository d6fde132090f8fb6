//! Looking at the imagined host as at Linux: by marks.

use std::collections::BTreeMap;

use super::Kernel;
use super::room::{Iface, Kind, Room};
use crate::beside::ZONE_SET;
use crate::host::Scope;
use crate::lab::link_group;
use crate::name::{IfName, NsId};
use crate::state::{Link, LinkKind, Namespace, Owner, State, Sysctl};

impl Kernel {
    pub(super) fn observe(&self, scope: &Scope) -> State {
        let mut state = State::default();
        for (id, room) in &self.rooms {
            if *id == NsId::Host || room.mark.as_ref() == Some(&scope.lab) {
                let is_seen = *id == NsId::Host || scope.inside;
                let seen = if is_seen { self.observe_room(id, room, scope) } else { Namespace::default() };
                state.namespaces.insert(id.clone(), seen);
            } else if id.name().is_some_and(|name| scope.namespaces.contains(name)) {
                let foreign = Namespace { owner: Owner::Foreign, ..Namespace::default() };
                state.namespaces.insert(id.clone(), foreign);
            }
        }
        state
    }

    fn observe_room(&self, id: &NsId, room: &Room, scope: &Scope) -> Namespace {
        let group = link_group(&scope.lab);
        let mut ns = Namespace { loopback_up: *id == NsId::Host || room.loopback_up, ..Namespace::default() };
        for (name, iface) in &room.links {
            // in a namespace of the lab every name may be wanted, on the host only these
            let is_told = *id != NsId::Host || scope.host_links.contains(name);
            if iface.group == group || is_told {
                ns.links.insert(name.clone(), self.observe_link(iface, group, scope.neighbours));
            }
        }
        let is_own = |name: &IfName| room.links.get(name).is_some_and(|iface| iface.group == group);
        ns.routes = room.routes.iter().filter(|route| route.dev.as_ref().is_none_or(is_own)).cloned().collect();
        for (_, key) in scope.sysctls.iter().filter(|(ns, key)| ns == id && room.has_sysctl(key)) {
            ns.sysctls.insert(key.clone(), room.sysctl(key));
        }
        ns.openings = room.openings.get(&scope.lab).cloned().unwrap_or_default();
        if let Some(table) = room.tables.get(&crate::nft::Table::name_of(&scope.lab)) {
            if table.lab == scope.lab {
                let marked = table.sets.get(ZONE_SET).into_iter().flatten();
                ns.zones = marked.filter(|name| room.zones.contains(*name)).cloned().collect();
                ns.table = Some(table.clone());
            } else {
                ns.table_owner = Owner::Foreign;
            }
        }
        ns
    }

    fn observe_link(&self, iface: &Iface, group: u32, neighbours: bool) -> Link {
        let is_own = iface.group == group;
        let told = is_own && neighbours;
        let kind = match &iface.kind {
            Kind::Bridge => LinkKind::Bridge,
            Kind::Veth { peer_ns, peer } => {
                let other = self.rooms.get(peer_ns).and_then(|room| room.links.get(peer));
                if other.is_some_and(|other| other.group == iface.group) {
                    LinkKind::Veth { peer_ns: peer_ns.clone(), peer: peer.clone() }
                } else {
                    LinkKind::Orphan
                }
            }
        };
        Link {
            owner: if is_own { Owner::Lab } else { Owner::Foreign },
            kind,
            up: iface.up,
            mtu: iface.mtu,
            mac: iface.mac,
            master: iface.master.clone(),
            isolated: iface.isolated,
            hairpin: iface.hairpin,
            unusual: iface.unusual.clone(),
            arp: iface.arp,
            group: iface.group,
            alias: iface.alias.clone(),
            altname: iface.altnames.first().cloned(),
            addresses: iface.addresses.iter().copied().collect(),
            unrouted: iface.unrouted.clone(),
            secondary: iface.secondary(),
            neighbours: if told { iface.neighbours.clone() } else { BTreeMap::new() },
        }
    }
}

impl Room {
    /// What reading it gives; 0 if it has never been written.
    fn sysctl(&self, key: &Sysctl) -> String {
        self.sysctls.get(key).cloned().unwrap_or_else(|| "0".to_owned())
    }
}
