//! Addresses: written ones as they are, the others out of the switch's subnet.
//!
//! An automatic address follows from the names of switch, node and interface, so that adding or removing a node does not
//! renumber the others. Only where two fall on the same number does the order of the file decide.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::wiring::{Holder, Wiring};
use crate::lab::{Address, Switch, stable_hash};

/// The addresses of a subnet that interfaces can have, as numbers counted from the network's own address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usable {
    net: IpNet,
    /// The gateway's.
    pub(crate) first: u128,
    /// The last one that is given automatically.
    pub(crate) last: u128,
}

impl Usable {
    /// IPv4: all but network and broadcast address; both of a /31 (RFC 3021); the one of a /32. IPv6: all but the
    /// subnet-router anycast address (RFC 4291, section 2.6.1), both of a /127 (RFC 6164), and of big subnets only those
    /// with a host part of 16 bits, which people can read.
    pub(crate) fn of(net: IpNet) -> Self {
        let bits = net.max_prefix_len() - net.prefix_len();
        let (first, last) = match (bits, net) {
            (0, _) => (0, 0),
            (1, _) => (0, 1),
            (_, IpNet::V4(_)) => (1, (1_u128 << bits) - 2),
            (_, IpNet::V6(_)) => (1, (1_u128 << bits.min(16)) - 1),
        };
        Self { net, first, last }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u128 {
        self.last - self.first + 1
    }

    /// The address with this number.
    pub(crate) fn address(&self, number: u128) -> IpAddr {
        match self.net {
            // below 2^32 by construction
            IpNet::V4(net) => {
                let base = u32::from(net.network());
                Ipv4Addr::from(base.wrapping_add(u32::try_from(number).unwrap_or_default())).into()
            }
            IpNet::V6(net) => Ipv6Addr::from(u128::from(net.network()).wrapping_add(number)).into(),
        }
    }

    /// The number of an address of this subnet.
    fn number(&self, address: IpAddr) -> Option<u128> {
        match (self.net, address) {
            (IpNet::V4(net), IpAddr::V4(a)) if net.contains(&a) => {
                Some((u32::from(a) - u32::from(net.network())).into())
            }
            (IpNet::V6(net), IpAddr::V6(a)) if net.contains(&a) => Some(u128::from(a) - u128::from(net.network())),
            _ => None,
        }
    }

    fn with_prefix(&self, number: u128) -> IpNet {
        with_prefix(self.address(number), self.net.prefix_len())
    }
}

/// An address with a prefix length; a full one if that length is not possible.
pub(crate) fn with_prefix(address: IpAddr, prefix_len: u8) -> IpNet {
    IpNet::new(address, prefix_len).unwrap_or_else(|_| IpNet::from(address))
}

/// Do they have the same version of the protocol?
pub(crate) fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

/// A written address with its prefix length: its own, else that of the switch's subnet, else all bits.
fn written(address: Address, switch: Option<&Switch>) -> IpNet {
    let of_subnet = || switch?.subnets.iter().find(|s| same_family(s.network(), address.ip)).map(|s| s.prefix_len());
    match address.prefix_len.or_else(of_subnet) {
        Some(len) => with_prefix(address.ip, len),
        None => IpNet::from(address.ip),
    }
}

/// Gives every interface its addresses: those written, then what the switch's subnets give. IPv4 before IPv6.
pub(crate) fn assign(wiring: &mut Wiring<'_>) {
    let switches: Vec<&Switch> = wiring.bridges.iter().map(|b| b.switch).collect();
    for [a, b] in &mut wiring.pairs {
        let owners = [b.owner, a.owner];
        for (side, far) in [a, b].into_iter().zip(owners) {
            let switch = match far {
                Holder::Switch(index) if matches!(side.owner, Holder::Node(_)) => Some(switches[index]),
                _ => None,
            };
            side.addresses = side.end.iter().flat_map(|end| &end.addresses).map(|a| written(a.value, switch)).collect();
        }
    }
    for (index, switch) in switches.into_iter().enumerate() {
        // IPv4 first, for IPv6 follows its numbers
        let mut subnets: Vec<IpNet> = switch.subnets.iter().map(|s| s.value).collect();
        subnets.sort_by_key(|net| matches!(net, IpNet::V6(_)));
        for (done, net) in subnets.iter().enumerate() {
            assign_subnet(wiring, index, Usable::of(*net), subnets[..done].first().map(|net| Usable::of(*net)));
        }
    }
    for side in wiring.pairs.iter_mut().flatten() {
        // stable: the order of the file within a family
        side.addresses.sort_by_key(|net| matches!(net, IpNet::V6(_)));
    }
}

/// Gives the addresses of one subnet. `sibling` is the same switch's IPv4 subnet, if this one is IPv6.
fn assign_subnet(wiring: &mut Wiring<'_>, switch: usize, usable: Usable, sibling: Option<Usable>) {
    let net = usable.net;
    let in_family = |a: &IpNet| same_family(a.addr(), net.addr());
    let mut taken: BTreeSet<u128> = wiring
        .members(switch)
        .flat_map(|side| &side.addresses)
        .filter_map(|address| usable.number(address.addr()))
        .collect();

    let bridge = &mut wiring.bridges[switch];
    let mut gateway = bridge.switch.gateway.as_ref().map(|name| super::wiring::Place::of(name));
    if bridge.is_gateway() {
        bridge.addresses.push(usable.with_prefix(usable.first));
        taken.insert(usable.first);
        gateway = None;
    }
    let spare = gateway.is_none() && !bridge.is_gateway();
    let switch_name = bridge.switch.name.as_str();

    let mut open = Vec::new();
    for index in 0.. {
        let Some(side) = wiring.member_mut(switch, index) else { break };
        let is_gateway = gateway.is_some_and(|gateway| side.is_of(gateway));
        if is_gateway {
            // its second interface on the same switch is one like any other
            gateway = None;
        }
        if side.addresses.iter().any(in_family) {
            continue;
        }
        if is_gateway && taken.insert(usable.first) {
            side.addresses.push(usable.with_prefix(usable.first));
        } else {
            open.push(index);
        }
    }
    for index in open {
        let Some(side) = wiring.member_mut(switch, index) else { break };
        let hash = u128::from(stable_hash(&[switch_name, side.place.as_str(), side.name.as_str()]));
        let twin = sibling
            .and_then(|v4| side.addresses.iter().find_map(|a| v4.number(a.addr())))
            .and_then(decimal_as_hex)
            .filter(|&n| n > usable.first && n <= usable.last && !taken.contains(&n));
        if let Some(number) = twin.or_else(|| free(usable, hash, &taken, spare)) {
            taken.insert(number);
            side.addresses.push(usable.with_prefix(number));
        }
    }
}

/// The first free number from where the hash points to, going round; the gateway's own last, and only if there is none.
fn free(usable: Usable, hash: u128, taken: &BTreeSet<u128>, spare: bool) -> Option<u128> {
    let Usable { first, last, .. } = usable;
    if first < last {
        let start = first + 1 + hash % (last - first);
        if let Some(number) = (start..=last).chain(first + 1..start).find(|n| !taken.contains(n)) {
            return Some(number);
        }
    }
    (spare && !taken.contains(&first)).then_some(first)
}

/// 57 becomes 0x57, so that 10.10.0.57 is fd01::57 as well. Up to four digits.
fn decimal_as_hex(number: u128) -> Option<u128> {
    (number <= 9999).then(|| (0..4).map(|i| (number / 10_u128.pow(i) % 10) << (4 * i)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable(net: &str) -> (String, String) {
        let usable = Usable::of(net.parse().unwrap());
        (usable.address(usable.first).to_string(), usable.address(usable.last).to_string())
    }

    #[test]
    fn usable_addresses_of_a_subnet() {
        let cases = [
            ("10.0.0.0/24", "10.0.0.1", "10.0.0.254"),
            ("10.0.0.0/30", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/31", "10.0.0.0", "10.0.0.1"),
            ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"),
            ("0.0.0.0/0", "0.0.0.1", "255.255.255.254"),
            ("fd01::/64", "fd01::1", "fd01::ffff"),
            ("fd01::/120", "fd01::1", "fd01::ff"),
            ("fd01::/127", "fd01::", "fd01::1"),
            ("fd01::9/128", "fd01::9", "fd01::9"),
        ];
        for (net, first, last) in cases {
            assert_eq!(usable(net), (first.into(), last.into()), "{net}");
        }
    }

    #[test]
    fn a_full_subnet_gives_none() {
        let usable = Usable::of("10.0.0.0/30".parse().unwrap());
        assert_eq!(free(usable, 7, &BTreeSet::from([1]), false), Some(2));
        assert_eq!(free(usable, 7, &BTreeSet::from([2]), false), None, "the first is the gateway's");
        assert_eq!(free(usable, 7, &BTreeSet::from([2]), true), Some(1), "there is no gateway");
        assert_eq!(free(usable, 7, &BTreeSet::from([1, 2]), true), None);
    }

    #[test]
    fn digits_are_kept() {
        assert_eq!(decimal_as_hex(57), Some(0x57));
        assert_eq!(decimal_as_hex(9999), Some(0x9999));
        assert_eq!(decimal_as_hex(10_000), None);
    }
}
