//! The views of a single kind: their lines, their JSON, and what must be looked at for them.

use raum_core::name::LabName;
use raum_core::nft::Table;
use raum_core::view::{
    Forwarding, Interface, Listener, Missing, Neighbour, Owner, Parts, PolicyRule, Process, Room, RouteEntry,
    RuleChain, Scene, Translation,
};
use serde::Serialize;

use super::tables::{aligned, some};
use super::{filter, interface, missing, nat, room};
use crate::args::Part;
use crate::output::{BAD, DIM, GOOD, paint};

/// How much of a namespace is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A line each.
    Overview,
    /// Everything.
    All,
    /// One kind.
    Part(Part),
}

/// What must be looked at.
pub fn needed(part: Part) -> Parts {
    let none = Parts::LINKS;
    match part {
        Part::Links => Parts { addresses: true, counters: true, ..none },
        Part::Addrs => Parts { addresses: true, ..none },
        Part::Routes | Part::Rules => Parts { routes: true, ..none },
        Part::Neigh => Parts { neighbours: true, ..none },
        Part::Fdb => Parts { forwarding: true, ..none },
        Part::Nat | Part::Filter => Parts { nat: true, ..none },
        Part::Sockets => Parts { listeners: true, ..none },
        Part::Ps => Parts { processes: true, ..none },
    }
}

/// The lines of one kind; `all` also of what the kernel makes by itself.
pub fn lines(room: &Room, part: Part, all: bool) -> Vec<String> {
    let indent = if all { 0 } else { 4 };
    indented(room, part, all, indent)
}

/// With the namespace's name before it; None if there is nothing to show.
pub fn under_heading(room: &Room, part: Part) -> Option<String> {
    let lines = indented(room, part, true, 2);
    let missing = missing("  ", &room.missing);
    (!lines.is_empty() || !missing.is_empty()).then(|| room::heading(room) + &lines.concat() + &missing)
}

fn indented(room: &Room, part: Part, all: bool, indent: usize) -> Vec<String> {
    let lead = " ".repeat(indent);
    match part {
        Part::Links => interface::link_lines(room, indent),
        Part::Addrs => interface::address_lines(room, indent),
        Part::Routes => room.routes.iter().map(|route| format!("{lead}{route}\n")).collect(),
        Part::Rules => room.rules.iter().map(|found| rule(found, indent)).collect(),
        Part::Neigh => neighbours(room, indent),
        Part::Fdb => forwarding(room, all, indent),
        Part::Nat => nat::lines(room, indent),
        Part::Filter => filter::lines(room, indent),
        Part::Sockets => listeners(room, indent),
        Part::Ps => {
            let rows = room.processes.iter().map(|process| vec![process.pid.to_string(), process.command.clone()]);
            aligned(indent, rows.collect())
        }
    }
}

/// One routing rule.
pub fn rule(rule: &PolicyRule, indent: usize) -> String {
    let family = if rule.v6 { paint(DIM, "  (IPv6)") } else { String::new() };
    format!("{}{rule}{family}\n", " ".repeat(indent))
}

fn neighbours(room: &Room, indent: usize) -> Vec<String> {
    let rows = room.neighbours.iter().map(|neighbour| {
        let mac = neighbour.mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string());
        let state = match neighbour.state.as_str() {
            "failed" | "incomplete" => paint(BAD, &neighbour.state),
            "reachable" | "permanent" => paint(GOOD, &neighbour.state),
            other => other.to_owned(),
        };
        let router = if neighbour.router { "router" } else { "" };
        vec![neighbour.address.to_string(), neighbour.dev.clone(), mac, state, router.to_owned()]
    });
    aligned(indent, rows.collect())
}

/// What bridges know; unless all, what they have learned or were told, not the ports' own addresses.
pub fn forwarding(room: &Room, all: bool, indent: usize) -> Vec<String> {
    let rows = room.forwarding.iter().filter(|entry| all || entry.state != "permanent").map(|entry| {
        let vlan = entry.vlan.map(|vlan| format!("VLAN {vlan}")).unwrap_or_default();
        let port = if entry.port == entry.bridge {
            format!("{} itself", entry.bridge)
        } else {
            format!("{} of {}", entry.port, entry.bridge)
        };
        vec![entry.mac.to_string(), port, entry.state.clone(), vlan]
    });
    aligned(indent, rows.collect())
}

fn listeners(room: &Room, indent: usize) -> Vec<String> {
    let rows = room.listeners.iter().map(|listener| {
        let holders: Vec<String> = listener.holders.iter().map(Process::to_string).collect();
        let who = if holders.is_empty() {
            paint(DIM, format!("user {}, process not seen", listener.uid))
        } else {
            some(&holders, 3)
        };
        vec![listener.proto.to_string(), local(listener), who]
    });
    aligned(indent, rows.collect())
}

/// `10.0.0.1:80`, `*:80` for all addresses of both families.
fn local(listener: &Listener) -> String {
    let device = listener.interface.as_ref().map(|name| format!("%{name}")).unwrap_or_default();
    if listener.both {
        return format!("*{device}:{}", listener.port);
    }
    match listener.address {
        std::net::IpAddr::V4(ip) => format!("{ip}{device}:{}", listener.port),
        std::net::IpAddr::V6(ip) => format!("[{ip}{device}]:{}", listener.port),
    }
}

/// A scene as JSON: of a view of a single kind only what was looked at, so that an empty list means that there is nothing.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Told<'a> {
    /// Everything.
    All(&'a Scene),
    /// Some of it.
    Some {
        /// Each.
        namespaces: Vec<Narrow<'a>>,
        /// What could not be seen.
        #[serde(skip_serializing_if = "<[Missing]>::is_empty")]
        missing: &'a [Missing],
    },
}

/// A [`Room`] with some of its lists.
#[derive(Serialize)]
pub struct Narrow<'a> {
    namespace: &'a str,
    inode: u64,
    owner: &'a Owner,
    lab: Option<&'a LabName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<&'a [Process]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interfaces: Option<&'a [Interface]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<&'a [RouteEntry]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a [PolicyRule]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<&'a [Neighbour]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarding: Option<&'a [Forwarding]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nat: Option<&'a [Translation]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<&'a [Table]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chains: Option<&'a [RuleChain]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listeners: Option<&'a [Listener]>,
    #[serde(skip_serializing_if = "<[Missing]>::is_empty")]
    missing: &'a [Missing],
}

/// As JSON.
pub fn told(scene: &Scene, shown: Shown) -> Told<'_> {
    match shown {
        Shown::All => Told::All(scene),
        _ => Told::Some {
            namespaces: scene.namespaces.iter().map(|room| narrow(room, shown)).collect(),
            missing: &scene.missing,
        },
    }
}

fn narrow(room: &Room, shown: Shown) -> Narrow<'_> {
    let overview = shown == Shown::Overview;
    let is = |part: Part| shown == Shown::Part(part);
    Narrow {
        namespace: &room.namespace,
        inode: room.inode,
        owner: &room.owner,
        lab: room.lab.as_ref(),
        paths: overview.then_some(&room.paths),
        processes: (overview || is(Part::Ps)).then_some(&room.processes),
        interfaces: (overview || is(Part::Links) || is(Part::Addrs)).then_some(&room.interfaces),
        routes: is(Part::Routes).then_some(&room.routes),
        rules: is(Part::Rules).then_some(&room.rules),
        neighbours: is(Part::Neigh).then_some(&room.neighbours),
        forwarding: is(Part::Fdb).then_some(&room.forwarding),
        nat: is(Part::Nat).then_some(&room.nat),
        tables: is(Part::Nat).then_some(&room.tables),
        chains: is(Part::Filter).then_some(&room.chains),
        listeners: is(Part::Sockets).then_some(&room.listeners),
        missing: &room.missing,
    }
}
