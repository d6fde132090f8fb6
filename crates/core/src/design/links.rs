//! Links: bridges and veth ends with MTU, hardware address and marks.

use std::collections::{BTreeMap, BTreeSet};

use super::wiring::{Holder, Place, Side, Wiring};
use crate::host::Surroundings;
use crate::lab::{At, Lab, link_group, mark, stable_hash};
use crate::name::Mac;
use crate::state::{Link, LinkKind, Owner, State};

/// What an interface has unless told else, in bytes (RFC 894).
pub(crate) const USUAL_MTU: u32 = 1500;

/// Adds every bridge and both ends of every pair.
pub(super) fn add(wiring: &Wiring<'_>, around: &Surroundings, state: &mut State) {
    let lab = &wiring.lab.name.value;
    let group = link_group(lab);
    let mut macs = Macs::new(wiring);
    for (index, bridge) in wiring.bridges.iter().enumerate() {
        let pinned = bridge.switch.mac.as_ref();
        let link = Link {
            owner: Owner::Lab,
            kind: LinkKind::Bridge,
            up: true,
            mtu: bridge_mtu(wiring, index),
            mac: macs.choose(wiring.lab, bridge.place.as_str(), bridge.name.as_str(), pinned),
            master: None,
            isolated: false,
            hairpin: false,
            unusual: BTreeSet::new(),
            arp: true,
            group,
            alias: Some(mark(lab)),
            altname: bridge.altname.clone(),
            addresses: bridge.addresses.iter().copied().collect(),
            unrouted: BTreeSet::new(),
            secondary: BTreeSet::new(),
            neighbours: BTreeMap::new(),
        };
        state.entry(&bridge.place.ns(lab)).links.insert(bridge.name.clone(), link);
    }
    let publishing = wiring.lab.nodes.iter().filter(|n| around.bridged_meets_rules() && !n.publish.is_empty());
    let published: BTreeSet<Place<'_>> = publishing.map(|n| Place::of(&n.name)).collect();
    for (side, far) in wiring.sides() {
        let pinned = side.end.and_then(|end| end.mac.as_ref());
        let master = match side.owner {
            Holder::Switch(index) => Some(wiring.bridges[index].name.clone()),
            Holder::Node(_) => None,
        };
        let link = Link {
            owner: Owner::Lab,
            kind: LinkKind::Veth { peer_ns: far.place.ns(lab), peer: far.name.clone() },
            up: !side.is_down(),
            mtu: mtu(wiring, side, far),
            mac: macs.choose(wiring.lab, side.place.as_str(), side.name.as_str(), pinned),
            master,
            isolated: is_isolated(wiring, side, far),
            hairpin: is_published(wiring, &published, side, far),
            unusual: BTreeSet::new(),
            arp: true,
            group,
            alias: None,
            altname: side.altname.clone(),
            addresses: side.addresses.iter().copied().collect(),
            unrouted: BTreeSet::new(),
            secondary: BTreeSet::new(),
            neighbours: BTreeMap::new(),
        };
        state.entry(&side.place.ns(lab)).links.insert(side.name.clone(), link);
    }
}

/// A port that the host leads to: where bridged packets meet the rules, a member that comes by its own published port is not
/// routed back to it but bridged (`br_nf_pre_routing_finish`, net/bridge/br_netfilter_hooks.c), by the port it came from.
fn is_published(wiring: &Wiring<'_>, published: &BTreeSet<Place<'_>>, side: &Side<'_>, far: &Side<'_>) -> bool {
    let (Holder::Switch(index), Holder::Node(node)) = (side.owner, far.owner) else { return false };
    let bridge = &wiring.bridges[index];
    bridge.place == Place::Host && bridge.is_gateway() && published.contains(&node)
}

/// A port of an isolated switch, unless the gateway is behind it: everybody must reach that.
pub(crate) fn is_isolated(wiring: &Wiring<'_>, side: &Side<'_>, far: &Side<'_>) -> bool {
    let Holder::Switch(index) = side.owner else { return false };
    let switch = wiring.bridges[index].switch;
    let has_gateway = || match far.owner {
        Holder::Node(place) => switch.gateway.as_ref().is_some_and(|gateway| Place::of(gateway) == place),
        // the link to another switch is the way to everybody there
        Holder::Switch(_) => true,
    };
    wiring.bridges[index].is_isolated() && !has_gateway()
}

/// The end's own, else the link's, else the switch's, else the usual one.
pub(crate) fn mtu(wiring: &Wiring<'_>, side: &Side<'_>, far: &Side<'_>) -> u32 {
    let own = side.end.and_then(|end| end.mtu.as_ref());
    let wire = side.wire.and_then(|wire| wire.mtu.as_ref());
    let of_switch = [side, far].into_iter().find_map(|s| match s.owner {
        Holder::Switch(index) => wiring.bridges[index].switch.mtu.as_ref(),
        Holder::Node(_) => None,
    });
    own.or(wire).or(of_switch).map_or(USUAL_MTU, |mtu| mtu.value)
}

/// The smallest of its ports': the kernel sees to that itself whenever a port comes or goes (`br_mtu_auto_adjust`,
/// net/bridge/br_if.c), so another wish would be drift at once. Without ports, what the file says.
fn bridge_mtu(wiring: &Wiring<'_>, index: usize) -> u32 {
    let ports = wiring.sides().filter(|(side, _)| side.owner == Holder::Switch(index));
    let written = || wiring.bridges[index].switch.mtu.as_ref().map_or(USUAL_MTU, |mtu| mtu.value);
    ports.map(|(side, far)| mtu(wiring, side, far)).min().unwrap_or_else(written)
}

/// Hardware addresses given so far.
struct Macs(BTreeSet<Mac>);

impl Macs {
    fn new(wiring: &Wiring<'_>) -> Self {
        let bridges = wiring.bridges.iter().filter_map(|b| b.switch.mac.as_ref());
        let ends = wiring.pairs.iter().flatten().filter_map(|side| side.end?.mac.as_ref());
        Self(bridges.chain(ends).map(|mac| mac.value).collect())
    }

    /// The written one, else one of the locally administered unicast range (IEEE 802, section 8.2: the second bit) that no
    /// other interface of the lab has.
    fn choose(&mut self, lab: &Lab, place: &str, interface: &str, pinned: Option<&At<Mac>>) -> Mac {
        if let Some(mac) = pinned {
            return mac.value;
        }
        let mut hash = stable_hash(&[lab.name.as_str(), place, interface]);
        loop {
            let [.., a, b, c, d, e] = hash.to_be_bytes();
            let mac = Mac([0x02, a, b, c, d, e]);
            if self.0.insert(mac) {
                return mac;
            }
            hash = hash.wrapping_add(1);
        }
    }
}
