//! Inside one namespace: the table, the sysctls, and UDP flows that followed the old rules.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::inside::Place;
use super::links::Fate;
use super::{Stages, own_links};
use crate::lab::Proto;
use crate::name::IfName;
use crate::nft::{PortKey, Table};
use crate::plan::Op;
use crate::state::{Owner, Sysctl};

pub(super) fn change(place: &Place<'_>, fate: &Fate<'_>, stages: &mut Stages) {
    let (present, wanted) = (place.present, place.wanted);
    openings(place, stages);
    if present.table == wanted.table && present.sysctls == wanted.sysctls && !fate.touched.contains(place.id) {
        return;
    }
    let ns = place.id;
    let old = present.table.as_ref().filter(|_| present.table_owner == Owner::Lab);
    let new = wanted.table.as_ref().filter(|_| wanted.table_owner == Owner::Lab);

    let set =
        |(key, value): (&Sysctl, &String)| Op::SetSysctl { ns: ns.clone(), key: key.clone(), value: value.clone() };
    let (defaults, others): (Vec<_>, Vec<_>) =
        sysctls(place, fate).into_iter().partition(|(key, _)| place.is_new && rank(key) == Rank::Default);
    stages.defaults.extend(defaults.into_iter().map(set));

    // a sysctl goes back to what it was while the table that remembers it is still there
    let (back, on): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(key, _)| remembered(old, key) && !remembered(new, key));
    stages.old_rules.extend(back.into_iter().map(set));

    let ports = if place.is_new { BTreeSet::new() } else { changed_udp_ports(old, new) };
    let flows: BTreeSet<(Proto, u16)> = ports.into_iter().map(|port| (Proto::Udp, port)).collect();
    let flush = (!flows.is_empty()).then(|| Op::FlushFlows { ns: ns.clone(), flows });
    match (old, new) {
        (Some(old), None) => {
            stages.old_rules.push(Op::DelTable { ns: ns.clone(), name: old.name.clone() });
            stages.old_rules.extend(flush);
            stages.rules.extend(on.into_iter().map(set));
        }
        (old, Some(new)) => {
            if Some(new) != old {
                stages.rules.push(match old.and_then(|old| old.entry_changes(new)) {
                    Some(changes) => Op::ChangeEntries { ns: ns.clone(), table: new.name.clone(), changes },
                    None => Op::ReplaceTable { ns: ns.clone(), table: new.clone() },
                });
            }
            if let Some(old) = old.filter(|old| old.name != new.name) {
                stages.rules.push(Op::DelTable { ns: ns.clone(), name: old.name.clone() });
            }
            stages.rules.extend(on.into_iter().map(set));
            stages.rules.extend(flush);
        }
        (None, None) => stages.rules.extend(on.into_iter().map(set)),
    }
}

/// Rules in chains of others. The way through them is opened when the lab's own table filters already, and closed before it
/// goes.
fn openings(place: &Place<'_>, stages: &mut Stages) {
    let (present, wanted) = (&place.present.openings, &place.wanted.openings);
    let (ns, lab) = (place.id, place.lab);
    let old = present.difference(wanted).cloned();
    stages.old_rules.extend(old.map(|opening| Op::DelOpening { ns: ns.clone(), opening, lab: lab.clone() }));
    let old = place.present.zones.difference(&place.wanted.zones).cloned();
    stages.old_rules.extend(old.map(|interface| Op::DelZone { ns: ns.clone(), interface }));
    let zones = place.wanted.zones.difference(&place.present.zones).cloned();
    stages.openings.extend(zones.map(|interface| Op::AddZone { ns: ns.clone(), interface }));
    let new = wanted.difference(present).cloned();
    stages.openings.extend(new.map(|opening| Op::AddOpening { ns: ns.clone(), opening, lab: lab.clone() }));
}

fn remembered(table: Option<&Table>, key: &Sysctl) -> bool {
    table.is_some_and(|table| table.was.contains_key(key))
}

/// The sysctls to be written, in order of [`rank`].
fn sysctls<'a>(place: &Place<'a>, fate: &Fate<'_>) -> Vec<(&'a Sysctl, &'a String)> {
    let own = |name: &IfName| own_links(place.wanted).any(|(own, _)| own == name);
    let mut keys: Vec<_> = place.wanted.sysctls.iter().collect();
    keys.sort_by_key(|(key, _)| rank(key));
    let mut written_for_all = BTreeSet::new();
    keys.retain(|(key, value)| {
        let name = key.interface().and_then(|name| IfName::new(name).ok());
        let link = name.as_ref().map(|name| (place.id, name));
        if link.is_some_and(|id| fate.going.contains(&id)) && !name.as_ref().is_some_and(own) {
            return false;
        }
        let is_fresh = link.is_some_and(|id| fate.born.contains(&id));
        // somebody else's interface that is no more: another lab's bridge, a network card that was pulled out
        if name.as_ref().is_some_and(|name| !own(name)) && !is_fresh && !place.present.sysctls.contains_key(*key) {
            return false;
        }
        let is_changed = is_fresh || place.present.sysctls.get(key) != Some(value);
        let of = family_and_last(key);
        if is_changed && rank(key) == Rank::All {
            written_for_all.extend(of);
        }
        is_changed || of.is_some_and(|of| written_for_all.contains(&of))
    });
    keys
}

/// Writing a sysctl for all interfaces may write it for each and for new ones (`forwarding` does: `inet_forward_change`,
/// net/ipv4/devinet.c; `addrconf_fixup_forwarding`, net/ipv6/addrconf.c), so it comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    All,
    Default,
    Interface,
    Other,
}

fn rank(key: &Sysctl) -> Rank {
    let for_all = |key: &str| key == "net/ipv4/ip_forward" || key.split('/').nth(3) == Some("all");
    match key.as_str() {
        _ if key.interface().is_some() => Rank::Interface,
        key if for_all(key) => Rank::All,
        key if key.split('/').nth(3) == Some("default") => Rank::Default,
        _ => Rank::Other,
    }
}

/// `net/ipv4/conf/all/forwarding` is `("ipv4", "forwarding")`, and so is its other name `net/ipv4/ip_forward`.
fn family_and_last(key: &Sysctl) -> Option<(&str, &str)> {
    if key.as_str() == "net/ipv4/ip_forward" {
        return Some(("ipv4", "forwarding"));
    }
    let mut parts = key.as_str().split('/').skip(1);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(family), Some("conf"), Some(_), Some(last)) => Some((family, last)),
        _ => None,
    }
}

/// Published UDP ports whose entries differ: a tracked flow would go on to the old target, or past the new one.
fn changed_udp_ports(old: Option<&Table>, new: Option<&Table>) -> BTreeSet<u16> {
    let (old, new) = (udp_entries(old), udp_entries(new));
    old.symmetric_difference(&new).map(|(_, key, _)| key.port).collect()
}

fn udp_entries(table: Option<&Table>) -> BTreeSet<(&str, PortKey, (IpAddr, u16))> {
    let maps = table.into_iter().flat_map(|table| &table.maps);
    let all = maps.flat_map(|(name, map)| map.entries.iter().map(move |(key, to)| (name.as_str(), *key, *to)));
    all.filter(|(_, key, _)| key.proto == Proto::Udp).collect()
}
