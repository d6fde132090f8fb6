//! Operations with their reason: what a teacher would say beside the command.

use ipnet::IpNet;
use serde::Serialize;

use super::command;
use crate::nft::{EntryChange, Table, Verdict};
use crate::plan::{AltnameChange, LinkChange, Op, Plan};
use crate::state::{PortFlag, Route, RouteKind, Sysctl};

/// One operation of a plan, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Why, in one line.
    pub reason: String,
    /// The lines that do the same; a table is one `nft` command with its input.
    pub commands: Vec<String>,
}

/// Every operation of the plan, in order.
#[must_use]
pub fn explain(plan: &Plan) -> Vec<Explained> {
    plan.ops().map(|op| Explained { reason: reason(op), commands: command(op) }).collect()
}

fn reason(op: &Op) -> String {
    match op {
        Op::AddNamespace { name, lab } => format!(
            "a room of its own, {name}: interfaces, addresses, routes, rules are its own; the alias of lo marks it as of lab {lab}"
        ),
        Op::DelNamespace { name } => {
            format!(
                "the name {name} goes; with the last process inside goes the rest, and each veth with its other end"
            )
        }
        Op::MarkLoopback { ns, .. } => format!("lo of {ns} up: without it {ns} does not even reach itself"),
        Op::AddBridge { name, .. } => {
            format!(
                "{name} is a switch: it learns which hardware address is behind which port; down until all are there; its \
                 MTU is changed once, for else it would follow that of its ports"
            )
        }
        Op::AddVeth { a, b, .. } => {
            let port =
                a.master.as_ref().map(|bridge| format!("; {} is a port of {bridge}", a.name)).unwrap_or_default();
            format!("a wire: what goes in at {}:{} comes out at {}:{}{port}", a.ns, a.name, b.ns, b.name)
        }
        Op::RouteSubnet { link, address, .. } => {
            format!(
                "the route to the neighbours of {} on {link}, which came with the address and was removed",
                address.addr()
            )
        }
        Op::SetLink { name, set, .. } => change(name.as_str(), set),
        Op::DelLink { name, .. } => format!("{name} goes, and with a veth its other end, with addresses and routes"),
        Op::DelGroup { .. } => {
            "all of the lab's links here at once: they carry the lab's number as their group".to_owned()
        }
        Op::AddAddress { ns, link, address } => {
            let near = address.trunc();
            match address.prefix_len() == address.max_prefix_len() {
                true => format!("{ns} answers for {} on {link}", address.addr()),
                false => format!(
                    "{ns} answers for {}; the prefix gives it a route to its neighbours, {near}",
                    address.addr()
                ),
            }
        }
        Op::DelAddress { ns, address, .. } => {
            format!(
                "{ns} no longer answers for {}; the route to {} goes with the last of them",
                address.addr(),
                address.trunc()
            )
        }
        Op::SetNeighbour { ns, link, address, mac } => format!(
            "{ns} knows for ever that {address} on {link} is {mac}: it need not ask, and the machine's limit of neighbours does \
             not count it"
        ),
        Op::DelNeighbour { ns, address, .. } => format!("{ns} asks again where {address} is"),
        Op::SetRoute { ns, route } => format!("{ns}: {}", where_to(route)),
        Op::DelRoute { ns, route } => format!("{ns} forgets: {}", where_to(route)),
        Op::SetSysctl { ns, key, value } => sysctl(&ns.to_string(), key, value),
        Op::ReplaceTable { ns, table } => rules(&ns.to_string(), table),
        Op::ChangeEntries { ns, changes, .. } => entries(&ns.to_string(), changes),
        Op::DelTable { ns, .. } => format!("{ns} has no rules of this lab any more"),
        Op::AddZone { interface, .. } => format!("firewalld lets pass what comes in by {interface}: zone trusted"),
        Op::DelZone { interface, .. } => format!("firewalld treats {interface} like any other again"),
        Op::AddOpening { opening, lab, .. } => {
            format!(
                "somebody else's chain {} drops what lab {lab} needs: a rule before that lets it pass",
                opening.chain
            )
        }
        Op::DelOpening { opening, .. } => {
            format!("the rule in somebody else's chain {} goes, found by the lab's mark", opening.chain)
        }
        Op::FlushFlows { .. } => {
            "flows that are under way follow the rules of their first packet: forgotten, they follow the new ones"
                .to_owned()
        }
    }
}

fn change(name: &str, set: &LinkChange) -> String {
    let mut parts = Vec::new();
    match set.up {
        Some(true) => parts.push(format!("{name} up: from now on it sends and receives")),
        Some(false) => parts.push(format!("{name} down: no packets, its routes go, and the other end has no carrier")),
        None => {}
    }
    if let Some(mtu) = set.mtu {
        parts.push(format!("packets of at most {mtu} bytes leave by {name}"));
    }
    if let Some(mac) = set.mac {
        parts.push(format!("{name} is {mac} to its neighbours"));
    }
    match &set.master {
        Some(Some(bridge)) => parts.push(format!("{name} becomes a port of the switch {bridge}")),
        Some(None) => parts.push(format!("{name} is a port no longer")),
        None => {}
    }
    match set.isolated {
        Some(true) => parts.push(format!("{name} passes nothing to other isolated ports of its switch")),
        Some(false) => parts.push(format!("{name} passes packets to every port of its switch again")),
        None => {}
    }
    match set.hairpin {
        Some(true) => parts.push(format!(
            "the switch may hand a packet back by {name}: who comes by its own published port gets its answer so"
        )),
        Some(false) => parts.push(format!("the switch hands no packet back by {name}, where it came from")),
        None => {}
    }
    parts.extend(set.port.iter().map(|(flag, on)| port(name, *flag, *on)));
    match set.arp {
        Some(true) => parts.push(format!("{name} asks its neighbours who has an address, and answers them")),
        Some(false) => parts.push(format!("{name} neither asks its neighbours who has an address nor answers them")),
        None => {}
    }
    if set.alias.as_ref().is_some_and(String::is_empty) {
        parts.push(format!("{name} has no alias"));
    } else if set.alias.is_some() {
        parts.push(format!("the alias of {name} marks it as the lab's"));
    }
    match &set.altname {
        Some(AltnameChange::Add(_)) => {
            parts.push("names of interfaces have 15 bytes: the full one as a second name".to_owned())
        }
        Some(AltnameChange::Del(_)) => parts.push("a second name that is no longer true".to_owned()),
        None => {}
    }
    parts.join("; ")
}

fn port(name: &str, flag: PortFlag, on: bool) -> String {
    let (when_on, when_off) = match flag {
        PortFlag::Forwarding => ("the port passes packets", "the port passes nothing"),
        PortFlag::Learning => {
            ("the switch learns who is behind the port", "the switch does not learn who is behind the port")
        }
        PortFlag::Flood => (
            "packets to those that the switch does not know go to the port too",
            "only packets to those that the switch knows there go to the port",
        ),
        PortFlag::McastFlood => (
            "multicast, as questions for neighbours of IPv6 are, goes to the port",
            "no multicast goes to the port that nobody there asked for",
        ),
        PortFlag::BcastFlood => {
            ("broadcasts, as questions for neighbours of IPv4 are, go to the port", "no broadcast goes to the port")
        }
        PortFlag::Locked => ("only whom the switch knows may come in by the port", "everybody may come in by the port"),
        PortFlag::NeighSuppress => {
            ("no questions for neighbours go to the port", "questions for neighbours go to the port")
        }
    };
    format!("{name}: {}", if on { when_on } else { when_off })
}

fn where_to(route: &Route) -> String {
    let is_default = route.to.prefix_len() == 0;
    let to = match (is_default, route.to) {
        (true, IpNet::V4(_)) => "what has no better route".to_owned(),
        (true, IpNet::V6(_)) => "IPv6 that has no better route".to_owned(),
        (false, to) => format!("packets to {to}"),
    };
    match (route.kind, route.via, &route.dev) {
        (RouteKind::Blackhole, ..) => format!("{to} are dropped without a word"),
        (RouteKind::Unreachable, ..) => format!("{to} are refused: host unreachable"),
        (RouteKind::Prohibit, ..) => format!("{to} are refused: administratively prohibited"),
        (RouteKind::Local, _, Some(dev)) => format!("{to} that come by {dev} are for the namespace itself"),
        (RouteKind::Local, _, None) => format!("{to} are for the namespace itself"),
        (RouteKind::Unicast, Some(via), _) if is_default => format!("{to} goes to {via}, the gateway"),
        (RouteKind::Unicast, Some(via), _) => format!("{to} go to {via}, who knows the way"),
        (RouteKind::Unicast, None, Some(dev)) => format!("{to} are for neighbours on {dev}"),
        (RouteKind::Unicast, None, None) => to,
    }
}

fn sysctl(ns: &str, key: &Sysctl, value: &str) -> String {
    let on = value != "0";
    let family = if key.as_str().starts_with("net/ipv6/") { "IPv6" } else { "IPv4" };
    let whose = match key.interface() {
        Some(interface) => format!("{ns}, what comes in by {interface}"),
        None => ns.to_owned(),
    };
    match key.as_str().rsplit('/').next().unwrap_or_default() {
        "forwarding" | "force_forwarding" | "ip_forward" if on => {
            format!("{whose}: {family} that is for others is passed on, as a router does")
        }
        "forwarding" | "force_forwarding" | "ip_forward" => {
            format!("{whose}: {family} that is for others is dropped, as a plain host does")
        }
        "accept_ra" => format!("{whose}: router advertisements are still heard, though it forwards"),
        "route_localnet" if on => {
            format!("{whose}: 127.0.0.1 may be translated, so that a published port works there too")
        }
        "accept_dad" => format!("{whose}: no waiting for duplicate addresses: the lab knows that there are none"),
        name => format!("{ns}: {name} as the lab needs it"),
    }
}

fn rules(ns: &str, table: &Table) -> String {
    let verdicts = || table.chains.values().flat_map(|chain| &chain.rules).map(|rule| &rule.verdict);
    let mut parts = Vec::new();
    if verdicts().any(|verdict| matches!(verdict, Verdict::Masquerade | Verdict::MasqueradeRandom)) {
        parts.push("what leaves gets the address of where it leaves (masquerade)");
    }
    if verdicts().any(|verdict| matches!(verdict, Verdict::Snat(_) | Verdict::SnatRandom(_))) {
        parts.push("what leaves gets a fixed address (snat)");
    }
    if verdicts().any(|verdict| matches!(verdict, Verdict::Learn { .. })) {
        parts.push("who has which port is learned from what leaves (maps with timeouts)");
    }
    if verdicts().any(|verdict| matches!(verdict, Verdict::DnatMap { .. })) {
        parts.push("ports lead to where they are published or forwarded (dnat by map)");
    }
    if verdicts().any(|verdict| matches!(verdict, Verdict::Drop)) {
        parts.push("nobody comes in unasked (drop)");
    }
    let what = if parts.is_empty() { "nothing to translate or to filter".to_owned() } else { parts.join(", ") };
    format!("{ns}: {what}; one table of the lab's own, replaced in one go")
}

fn entries(ns: &str, changes: &[EntryChange]) -> String {
    let (add, del) = changes.iter().fold((0, 0), |(add, del), one| (add + one.add.len(), del + one.del.len()));
    let what = match (add, del) {
        (add, 0) => format!("{add} more"),
        (0, del) => format!("{del} less"),
        (add, del) => format!("{del} go, {add} come"),
    };
    format!("{ns}: of the ports that lead somewhere, {what}; an entry of a map each, the rules stay as they are")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::design;
    use crate::diff::diff;
    use crate::host::Surroundings;
    use crate::lab::parse;
    use crate::name::LabName;
    use crate::state::State;

    #[test]
    fn every_step_has_one_line_of_reason() {
        let text = include_str!("../../../../examples/shop.yaml");
        let name = LabName::new("shop").unwrap();
        let lab = parse(text, &name).unwrap();
        let design = design(&lab, &Surroundings { ipv6: true, ..Surroundings::default() });
        for (from, to) in [(State::default(), design.state.clone()), (design.state, State::default())] {
            let plan = diff(&name, &from, &to).unwrap();
            for explained in explain(&plan) {
                assert!(explained.reason.len() > 10 && !explained.reason.contains('\n'), "{explained:?}");
                assert!(!explained.commands.is_empty(), "{explained:?}");
            }
        }
    }
}
