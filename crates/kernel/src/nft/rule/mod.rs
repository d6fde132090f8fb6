//! Rules to expressions and back.
//!
//! `lower` writes what `nft` would write for the same words, and `raise` reads both: so a table made by
//! `raum plan --as ip | sh` is the same table. What raum never writes becomes [`Verdict::Unknown`].

mod lower;
mod raise;

use std::net::IpAddr;

use raum_core::lab::Proto;
use raum_core::name::IfName;
use raum_core::nft::Learned;

use crate::release::{MAPS_AS_SETS, Release};

pub(super) use lower::lower;
pub(super) use raise::raise;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;

const IPV6: u8 = 10;

/// `RTN_LOCAL`, as `fib … type` gives it.
const LOCAL: u32 = 2;

/// `NF_CT_STATE_BIT` of established and related; `IPS_DST_NAT`.
const ESTABLISHED_RELATED: u32 = 6;

const DST_NAT: u32 = 32;

/// ICMPv6 types from multicast listener query (RFC 2710) to version 2 report (RFC 3810), with those of neighbours (RFC 4861).
const LINK_WORK: (u8, u8) = (130, 143);

/// The length of an interface name in a register: `IFNAMSIZ`.
pub(in crate::nft) const IFNAMSIZ: usize = 16;

/// How a key of a map is asked for, where what it leads to does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nft) enum Keys {
    /// As in a set, and so `nft list` shows it: [`MAPS_AS_SETS`].
    Alone,
    /// With what it leads to, which nobody reads. Older kernels refuse it otherwise (EINVAL).
    Led,
}

impl Keys {
    /// As a kernel of this release takes it.
    pub(in crate::nft) fn of(release: Release) -> Self {
        if release < MAPS_AS_SETS { Self::Led } else { Self::Alone }
    }
}

/// IP protocol numbers.
pub(in crate::nft) fn number(proto: Proto) -> u8 {
    match proto {
        Proto::Tcp => 6,
        Proto::Udp => 17,
        Proto::Sctp => 132,
    }
}

/// The protocol of a number, if raum speaks of it.
pub(in crate::nft) fn proto(number: u8) -> Option<Proto> {
    match number {
        6 => Some(Proto::Tcp),
        17 => Some(Proto::Udp),
        132 => Some(Proto::Sctp),
        _ => None,
    }
}

/// An interface name as it is in a register: filled up with NULs.
pub(in crate::nft) fn padded(name: &IfName) -> Vec<u8> {
    let mut bytes = name.as_str().as_bytes().to_vec();
    bytes.resize(IFNAMSIZ, 0);
    bytes
}

/// The interface name in a register.
pub(in crate::nft) fn unpadded(bytes: &[u8]) -> Option<IfName> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    IfName::new(std::str::from_utf8(bytes.get(..end)?).ok()?).ok()
}

/// The protocol number of ICMP or ICMPv6.
fn icmp(v6: bool) -> u8 {
    if v6 { 58 } else { 1 }
}

/// Where an address is in its header, and how long it is: RFC 791, section 3.1; RFC 8200, section 3.
fn place(v6: bool, destination: bool) -> (u32, u32) {
    match (v6, destination) {
        (false, false) => (12, 4),
        (false, true) => (16, 4),
        (true, false) => (8, 16),
        (true, true) => (24, 16),
    }
}

/// Words of registers that an address takes.
fn words(v6: bool) -> u32 {
    if v6 { 4 } else { 1 }
}

/// Words of registers that a key takes.
fn key_words(into: Learned) -> u32 {
    match into {
        Learned::Address { .. } | Learned::Port => 2,
        Learned::Peer { v6 } | Learned::Mapping { v6, by_remote: false } => 2 + words(v6),
        Learned::Mapping { v6, by_remote: true } => 2 + 2 * words(v6),
    }
}

/// Where nft puts what a map is to hold: behind the key. Before 1.0.9 it takes a key for four words long.
fn behind_key(into: Learned) -> u32 {
    key_words(into).max(4)
}

/// An address out of a register.
pub(in crate::nft) fn address(v6: bool, bytes: &[u8]) -> Option<IpAddr> {
    if v6 {
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    } else {
        <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from)
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use raum_core::nft::{InterfaceRef, Interfaces, Lesson, Match, PortMap, Rule, Table, Verdict};

    use super::super::wire::{Expr, VERDICT_ACCEPT};
    use super::*;

    fn shapes() -> Vec<Match> {
        let net = |text: &str| text.parse::<IpNet>().expect("a prefix");
        let name = || InterfaceRef::Name(IfName::new("eth0").expect("a name"));
        let mut all = vec![Match::ToLocal, Match::Established, Match::Dnatted, Match::Original];
        for not in [false, true] {
            for which in [name(), InterfaceRef::Set("lab".to_owned())] {
                all.push(Match::Iif(Interfaces { which: which.clone(), not }));
                all.push(Match::Oif(Interfaces { which, not }));
            }
            for prefix in
                ["10.0.0.0/8", "10.1.2.0/23", "10.1.2.3/32", "fd00::/64", "fd00::/61", "fd00::1/128", "128.0.0.0/1"]
            {
                all.push(Match::Saddr { prefix: net(prefix), not });
                all.push(Match::Daddr { prefix: net(prefix), not });
            }
        }
        all.extend([Match::Family { v6: false }, Match::Family { v6: true }]);
        all.extend([Proto::Tcp, Proto::Udp, Proto::Sctp].map(Match::Proto));
        all.extend([(80, 80), (80, 90)].map(|(first, last)| Match::Ports { proto: Proto::Sctp, first, last }));
        all.extend([false, true].map(|v6| Match::Icmp { v6 }));
        all.push(Match::LinkWork);
        for v6 in [false, true] {
            all.push(Match::SaddrIn { v6, set: "of-some".to_owned() });
            all.push(Match::DaddrIn { v6, set: "of-some".to_owned() });
            all.extend([Match::PortTaken { v6 }, Match::FromPeer { v6 }]);
        }
        all
    }

    fn table() -> Table {
        let map = |v6, by_address| PortMap { v6, by_address, entries: std::collections::BTreeMap::new() };
        let maps = [("a", map(false, false)), ("b", map(false, true)), ("c", map(true, false)), ("d", map(true, true))];
        Table {
            name: "raum-t".to_owned(),
            lab: "t".parse().expect("a name"),
            was: std::collections::BTreeMap::new(),
            sets: std::collections::BTreeMap::new(),
            addresses: std::collections::BTreeMap::new(),
            learned: std::collections::BTreeMap::new(),
            maps: maps.into_iter().map(|(name, map)| (name.to_owned(), map)).collect(),
            chains: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn every_pair_of_conditions_with_every_verdict_is_read_back_as_written() {
        let table = table();
        let mut verdicts = vec![Verdict::Accept, Verdict::Drop, Verdict::Masquerade, Verdict::Jump("x".to_owned())];
        verdicts.push(Verdict::MasqueradeRandom);
        for what in
            [Lesson::Owner, Lesson::Peer, Lesson::Mapping { by_remote: false }, Lesson::Mapping { by_remote: true }]
        {
            verdicts.extend([false, true].map(|v6| Verdict::Learn { what, v6, timeout_s: 300 }));
        }
        for to in ["10.0.0.9", "fd00::9"].map(|to| to.parse().expect("an address")) {
            verdicts.push(Verdict::SnatRandom(to));
            verdicts.extend([false, true].map(|by_remote| Verdict::SnatMapped { to, by_remote }));
        }
        verdicts.extend([false, true].map(|v6| Verdict::DnatLearned { v6 }));
        verdicts.extend(["10.0.0.9", "fd00::9"].map(|to| Verdict::Snat(to.parse().expect("an address"))));
        verdicts.extend(table.maps.keys().map(|map| Verdict::DnatMap { map: map.clone() }));
        for first in shapes() {
            for second in shapes() {
                for verdict in &verdicts {
                    let rule = Rule { matches: vec![first.clone(), second.clone()], verdict: verdict.clone() };
                    for keys in [Keys::Alone, Keys::Led] {
                        assert_eq!(raise(&lower(&rule, &table, keys)), rule);
                    }
                }
            }
        }
    }

    #[test]
    fn a_rule_with_something_else_in_it_is_unknown() {
        let exprs = [Expr::Counter, Expr::Verdict { code: VERDICT_ACCEPT, chain: None }];
        assert!(matches!(raise(&exprs).verdict, Verdict::Unknown(_)));
    }
}
