//! Room for neighbours: the kernel remembers no more than `gc_thresh3` of each family for all namespaces of the machine
//! together (Documentation/networking/ip-sysctl.rst), and refuses packets to further ones. Forty hosts on a switch that all
//! speak to each other are 1,560; the usual limit is 1,024.

use super::wiring::{Holder, Wiring};
use crate::state::Sysctl;

/// What a lab raises the limit to: a million, enough for a thousand namespaces that all know each other. The same one for all
/// labs, so that no two of them want different ones. It is a limit and takes no memory by itself.
pub(super) const RAISED: u64 = 1 << 20;

/// The limit of a family. Only the machine's first network namespace has it.
pub(super) fn limit(v6: bool) -> Option<Sysctl> {
    Sysctl::new(if v6 { "net/ipv6/neigh/default/gc_thresh3" } else { "net/ipv4/neigh/default/gc_thresh3" }).ok()
}

/// How many neighbours there are of a family when everybody speaks to everybody on his networks.
pub(super) fn most(wiring: &Wiring<'_>, v6: bool) -> u64 {
    let has = |nets: &[ipnet::IpNet]| nets.iter().any(|net| net.addr().is_ipv6() == v6);
    let mut networks: Vec<usize> = (0..wiring.bridges.len()).collect();
    for [a, b] in &wiring.pairs {
        if let (Holder::Switch(a), Holder::Switch(b)) = (a.owner, b.owner) {
            // switches that a link joins are one network
            let (one, other) = (networks[a], networks[b]);
            networks.iter_mut().filter(|network| **network == other).for_each(|network| *network = one);
        }
    }
    let mut members = vec![0_u64; wiring.bridges.len()];
    let mut all = 0_u64;
    for (index, bridge) in wiring.bridges.iter().enumerate() {
        members[networks[index]] += u64::from(has(&bridge.addresses));
    }
    for [a, b] in &wiring.pairs {
        match (a.owner, b.owner) {
            (Holder::Node(_), Holder::Node(_)) => all += if has(&a.addresses) && has(&b.addresses) { 2 } else { 0 },
            (Holder::Node(_), Holder::Switch(switch)) => members[networks[switch]] += u64::from(has(&a.addresses)),
            (Holder::Switch(switch), Holder::Node(_)) => members[networks[switch]] += u64::from(has(&b.addresses)),
            (Holder::Switch(_), Holder::Switch(_)) => {}
        }
    }
    all + members.iter().map(|count| count * count.saturating_sub(1)).sum::<u64>()
}
