//! Who has which address: for people, for the library's callers, and as hosts(5) for the inside of namespaces.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::DesignedNode;
use super::wiring::{Place, Wiring};
use crate::lab::Lab;
use crate::name::{NodeName, NsId};

/// Every node of the lab with its addresses; `host` if it has any.
pub(super) fn nodes(wiring: &Wiring<'_>) -> BTreeMap<NodeName, DesignedNode> {
    let named = wiring.lab.nodes.iter().map(|n| n.name.value.clone());
    let nodes = named.chain(NodeName::new("host")).map(|name| {
        let addresses = wiring.addressed(Place::of(&name)).flat_map(|(_, nets)| nets).copied().collect();
        let node = DesignedNode { ns: NsId::of(&wiring.lab.name, &name), addresses };
        (name, node)
    });
    nodes.filter(|(name, node)| !name.is_host() || !node.addresses.is_empty()).collect()
}

/// The lines that every Linux host has, then the nodes in the order of the file, `host` last.
pub(super) fn text(lab: &Lab, nodes: &BTreeMap<NodeName, DesignedNode>) -> String {
    let mut text = "127.0.0.1 localhost\n\
                    ::1 localhost ip6-localhost ip6-loopback\n\
                    ff02::1 ip6-allnodes\n\
                    ff02::2 ip6-allrouters\n"
        .to_owned();
    let in_order = lab.nodes.iter().map(|n| n.name.value.clone()).filter(|n| !n.is_host());
    for name in in_order.chain(NodeName::new("host")) {
        for address in nodes.get(&name).into_iter().flat_map(|node| &node.addresses) {
            // writing to a String cannot fail
            writeln!(text, "{} {name}", address.addr()).unwrap_or_default();
        }
    }
    text
}
