//! Plans and states in a few words for people. The exact words are `raum plan --as ip`'s.

use raum_core::name::NsId;
use raum_core::plan::{AltnameChange, LinkChange, Op, Plan};
use raum_core::state::{LinkKind, State};

use crate::output::{BAD, CHANGED, DIM, GOOD, paint};

/// `3 namespaces, 1 switch, 3 links`.
pub fn inventory(state: &State) -> String {
    let namespaces = state.namespaces.keys().filter(|id| **id != NsId::Host).count();
    let links = || state.namespaces.values().flat_map(|ns| ns.links.values());
    let bridges = links().filter(|link| link.kind == LinkKind::Bridge).count();
    let ends = links().filter(|link| matches!(link.kind, LinkKind::Veth { .. })).count();
    let ports: usize = state
        .namespaces
        .values()
        .filter_map(|ns| ns.table.as_ref())
        .flat_map(|table| table.maps.values())
        .filter(|map| !map.v6)
        .map(|map| map.entries.len())
        .sum();
    let mut parts = vec![counted(namespaces, "namespace")];
    for (count, what) in [(bridges, "switch"), (ends / 2, "link"), (ports, "forwarded port")] {
        if count > 0 {
            parts.push(counted(count, what));
        }
    }
    parts.join(", ")
}

/// `1 switch`, `2 switches`.
pub fn counted(count: usize, what: &str) -> String {
    match (count, what) {
        (1, _) => format!("1 {what}"),
        (_, "switch") => format!("{count} switches"),
        _ => format!("{count} {what}s"),
    }
}

/// `12 steps`.
pub fn count(plan: &Plan) -> String {
    counted(plan.ops().count(), "step")
}

/// One line per operation, at most `limit` of them (0 is all).
pub fn plan(plan: &Plan, limit: usize) -> String {
    let all = plan.ops().count();
    let shown = if limit == 0 || all <= limit { all } else { limit - 1 };
    let mut text: String = plan.ops().take(shown).map(|op| format!("  {}\n", operation(op))).collect();
    if shown < all {
        text += &format!("  {}\n", paint(DIM, format!("… and {} more steps", all - shown)));
    }
    text
}

fn operation(op: &Op) -> String {
    let plus = paint(GOOD, '+');
    let minus = paint(BAD, '-');
    let tilde = paint(CHANGED, '~');
    match op {
        Op::AddNamespace { name, .. } => format!("{plus} namespace {name}"),
        Op::DelNamespace { name } => format!("{minus} namespace {name}"),
        Op::MarkLoopback { ns, .. } => format!("{tilde} {ns}: lo up"),
        Op::AddBridge { ns, name, .. } => format!("{plus} {ns}: switch {name}"),
        Op::AddVeth { a, b, .. } => format!("{plus} link {}:{} to {}:{}", a.ns, a.name, b.ns, b.name),
        Op::SetLink { ns, name, set } => format!("{tilde} {ns}: {name} {}", change(set)),
        Op::DelLink { ns, name } => format!("{minus} {ns}: {name}"),
        Op::DelGroup { ns, .. } => format!("{minus} {ns}: all links of the lab"),
        Op::AddAddress { ns, link, address } => format!("{plus} {ns}: {address} on {link}"),
        Op::DelAddress { ns, link, address } => format!("{minus} {ns}: {address} on {link}"),
        Op::RouteSubnet { ns, link, address } => {
            format!("{plus} {ns}: route {} dev {link}, of {address}", address.trunc())
        }
        Op::SetNeighbour { ns, link, address, mac } => format!("{plus} {ns}: neighbour {address} is {mac} on {link}"),
        Op::DelNeighbour { ns, link, address } => format!("{minus} {ns}: neighbour {address} on {link}"),
        Op::SetRoute { ns, route } => format!("{plus} {ns}: route {route}"),
        Op::DelRoute { ns, route } => format!("{minus} {ns}: route {route}"),
        Op::SetSysctl { ns, key, value } => format!("{tilde} {ns}: {key} = {value}"),
        Op::ReplaceTable { ns, table } => format!("{tilde} {ns}: rules, table {}", table.name),
        Op::ChangeEntries { ns, table, .. } => format!("{tilde} {ns}: rules, table {table}"),
        Op::DelTable { ns, name } => format!("{minus} {ns}: rules, table {name}"),
        Op::AddOpening { opening, .. } => format!("{plus} rule of others: {opening}"),
        Op::DelOpening { opening, .. } => format!("{minus} rule of others: {opening}"),
        Op::AddZone { interface, .. } => format!("{plus} firewalld: {interface} in zone trusted"),
        Op::DelZone { interface, .. } => format!("{minus} firewalld: {interface} in zone trusted"),
        Op::FlushFlows { ns, flows } => {
            let ports: Vec<String> = flows.iter().map(|(proto, port)| format!("{port}/{proto}")).collect();
            format!("{tilde} {ns}: forget flows to {}", ports.join(", "))
        }
    }
}

fn change(set: &LinkChange) -> String {
    let mut parts = Vec::new();
    if let Some(up) = set.up {
        parts.push(if up { "up".to_owned() } else { "down".to_owned() });
    }
    if let Some(mtu) = set.mtu {
        parts.push(format!("mtu {mtu}"));
    }
    if let Some(mac) = set.mac {
        parts.push(format!("address {mac}"));
    }
    match &set.master {
        Some(Some(master)) => parts.push(format!("on switch {master}")),
        Some(None) => parts.push("on no switch".to_owned()),
        None => {}
    }
    match set.isolated {
        Some(true) => parts.push("isolated from other such ports".to_owned()),
        Some(false) => parts.push("isolated no longer".to_owned()),
        None => {}
    }
    match set.hairpin {
        Some(true) => parts.push("hands packets back (hairpin)".to_owned()),
        Some(false) => parts.push("hands no packets back (hairpin off)".to_owned()),
        None => {}
    }
    parts.extend(set.port.iter().map(|(flag, on)| format!("port {}", flag.words(*on))));
    match set.arp {
        Some(true) => parts.push("arp on".to_owned()),
        Some(false) => parts.push("arp off".to_owned()),
        None => {}
    }
    match set.alias.as_deref() {
        Some("") => parts.push("no alias".to_owned()),
        Some(alias) => parts.push(format!("alias {alias}")),
        None => {}
    }
    match &set.altname {
        Some(AltnameChange::Add(name)) => parts.push(format!("also called {name}")),
        Some(AltnameChange::Del(name)) => parts.push(format!("no longer called {name}")),
        None => {}
    }
    parts.join(", ")
}
