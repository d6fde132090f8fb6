//! What others have put beside a lab, where no lab says anything: it may bend the way of packets, but it is not raum's to take
//! away. `status` tells it as a note, with the command that removes it.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::{Mac, NsId};
use crate::state::{Namespace, State};
use crate::trace::cause::word;
use crate::view::{Neighbour, PolicyRule, RouteEntry};

/// What one namespace holds of such things, whoever made them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inside {
    /// All of `ip rule`.
    pub rules: Vec<PolicyRule>,
    /// Routes of all tables.
    pub routes: Vec<RouteEntry>,
    /// The ARP and ND tables.
    pub neighbours: Vec<Neighbour>,
    /// Tables of nf_tables that are no lab's: `inet fw`.
    pub tables: Vec<String>,
}

/// One thing of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Where.
    pub namespace: NsId,
    /// What.
    pub kind: Kind,
    /// In words, as `ip` and `nft` have them.
    pub what: String,
    /// The command that takes it away.
    pub remove: String,
}

/// Kinds of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A rule of the routing policy.
    Rule,
    /// A route of another table than the main one, of a routing daemon, or of the host into a subnet of the lab.
    Route,
    /// A permanent neighbour that is not who has the address in the lab.
    Neighbour,
    /// A table of nf_tables.
    Table,
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Rule => "ip rule",
            Kind::Route => "route",
            Kind::Neighbour => "neighbour",
            Kind::Table => "table",
        };
        write!(f, "{}: {kind} {}", self.namespace, self.what)
    }
}

/// The guests of a namespace of the lab's, or, of the host, the routes that lead away what is for the lab. `lab` is what should
/// be.
#[must_use]
pub fn guests(id: &NsId, inside: &Inside, lab: &State) -> Vec<Guest> {
    let Some(own) = lab.namespaces.get(id) else { return Vec::new() };
    let guest = |kind, what: String, remove: String| Guest { namespace: id.clone(), kind, what, remove };
    let routes = inside.routes.iter().filter(|route| !route.is_implied() && is_guest(id, own, route));
    let routes = routes.map(|route| guest(Kind::Route, route.to_string(), delete_route(id, route)));
    if *id == NsId::Host {
        return routes.collect();
    }
    let rules = inside.rules.iter().filter(|rule| !rule.is_usual()).map(|rule| {
        let family = if rule.v6 { "-6 " } else { "" };
        guest(Kind::Rule, rule.to_string(), format!("{} {family}rule del priority {}", ip(id), rule.priority))
    });
    let wrong = inside.neighbours.iter().filter(|entry| entry.state == "permanent" && entry.mac.is_some());
    let wrong = wrong.filter(|entry| known(lab, entry).is_none_or(|mac| Some(mac) != entry.mac)).map(|entry| {
        let mac = entry.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let real = known(lab, entry).map(|mac| format!(", but in the lab {mac} has it")).unwrap_or_default();
        let (address, dev) = (entry.address, &entry.dev);
        let remove = format!("{} neigh del {address} dev {}", ip(id), word(dev));
        guest(Kind::Neighbour, format!("{address} dev {dev} lladdr {mac} permanent{real}"), remove)
    });
    let tables = inside.tables.iter().map(|table| {
        // what nft would take for more than a name is left to the reader
        let name = table.split(' ').map(word).collect::<Vec<_>>().join(" ");
        guest(Kind::Table, table.clone(), format!("ip netns exec {id} nft delete table {name}"))
    });
    rules.chain(routes).chain(wrong).chain(tables).collect()
}

fn ip(id: &NsId) -> String {
    id.name().map_or_else(|| "ip".to_owned(), |name| format!("ip -n {name}"))
}

/// Is a route none of those that are compared (`State::routes`), nor one of the kernel's?
fn is_guest(id: &NsId, own: &Namespace, route: &RouteEntry) -> bool {
    let by_own = route.dev.as_ref().is_some_and(|dev| own.links.keys().any(|link| link.as_str() == dev));
    if *id == NsId::Host {
        let subnets = || own.links.values().flat_map(|link| &link.addresses).map(IpNet::trunc);
        let inside = |subnet: IpNet| subnet.contains(&route.to) && subnet.prefix_len() < route.to.prefix_len();
        return !by_own && route.table == crate::view::MAIN && subnets().any(inside);
    }
    let is_compared = matches!(route.protocol.as_str(), "boot" | "static") && route.table == crate::view::MAIN;
    let by_kernel = matches!(route.protocol.as_str(), "kernel" | "ra" | "redirect");
    !by_kernel && (!is_compared || (!by_own && route.dev.is_some()))
}

fn delete_route(id: &NsId, route: &RouteEntry) -> String {
    let mut command = ip(id);
    if matches!(route.to, IpNet::V6(_)) {
        command += " -6";
    }
    command += " route del";
    if route.kind != "unicast" {
        command += &format!(" {}", route.kind);
    }
    command += &format!(" {}", route.to);
    if let (Some(dev), "unicast") = (&route.dev, route.kind.as_str()) {
        command += &format!(" dev {}", word(dev));
    }
    if route.metric != 0 {
        command += &format!(" metric {}", route.metric);
    }
    if route.table != crate::view::MAIN {
        command += &format!(" table {}", word(&route.table));
    }
    command
}

/// The hardware address of who has a neighbour's address in the lab.
fn known(lab: &State, entry: &Neighbour) -> Option<Mac> {
    let mut links = lab.namespaces.values().flat_map(|ns| ns.links.values());
    let found = links.find(|link| link.addresses.iter().any(|own| own.addr() == entry.address))?;
    Some(found.mac)
}
