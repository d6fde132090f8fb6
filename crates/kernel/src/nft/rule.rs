//! Rules to expressions and back.
//!
//! `lower` writes what `nft` would write for the same words, and `raise` reads both: so a table made by
//! `raum plan --as ip | sh` is the same table. What raum never writes becomes [`Verdict::Unknown`].

use std::net::IpAddr;

use ipnet::IpNet;
use raum_core::lab::Proto;
use raum_core::name::IfName;
use raum_core::nft::{InterfaceRef, Interfaces, Learned, Lesson, Match, PortMap, Rule, Table, Verdict};

use super::wire::{
    BASE_NETWORK, BASE_TRANSPORT, CT_DIRECTION, CT_DST_IP, CT_DST_IP6, CT_PROTO_SRC, CT_SRC_IP, CT_SRC_IP6, CT_STATE,
    CT_STATUS, Expr, FIB_ADDRTYPE, FIB_DADDR, META_IIFNAME, META_L4PROTO, META_NFPROTO, META_OIFNAME, VERDICT_ACCEPT,
    VERDICT_DROP, VERDICT_JUMP,
};

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
pub(super) const IFNAMSIZ: usize = 16;

/// IP protocol numbers.
pub(super) fn number(proto: Proto) -> u8 {
    match proto {
        Proto::Tcp => 6,
        Proto::Udp => 17,
        Proto::Sctp => 132,
    }
}

/// The protocol of a number, if raum speaks of it.
pub(super) fn proto(number: u8) -> Option<Proto> {
    match number {
        6 => Some(Proto::Tcp),
        17 => Some(Proto::Udp),
        132 => Some(Proto::Sctp),
        _ => None,
    }
}

/// An interface name as it is in a register: filled up with NULs.
pub(super) fn padded(name: &IfName) -> Vec<u8> {
    let mut bytes = name.as_str().as_bytes().to_vec();
    bytes.resize(IFNAMSIZ, 0);
    bytes
}

/// The interface name in a register.
pub(super) fn unpadded(bytes: &[u8]) -> Option<IfName> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    IfName::new(std::str::from_utf8(bytes.get(..end)?).ok()?).ok()
}

/// A rule's expressions. Its maps must be in the table; an unknown one gives a lookup that the kernel refuses.
pub(super) fn lower(rule: &Rule, table: &Table) -> Vec<Expr> {
    let mut out = Vec::new();
    for condition in &rule.matches {
        lower_match(condition, &mut out);
    }
    match &rule.verdict {
        Verdict::Accept => out.push(Expr::Verdict { code: VERDICT_ACCEPT, chain: None }),
        Verdict::Drop => out.push(Expr::Verdict { code: VERDICT_DROP, chain: None }),
        Verdict::Jump(chain) => out.push(Expr::Verdict { code: VERDICT_JUMP, chain: Some(chain.clone()) }),
        Verdict::Masquerade => out.push(Expr::Masquerade),
        Verdict::MasqueradeRandom => out.push(Expr::MasqueradeRandom),
        Verdict::Learn { what, v6, timeout_s } => {
            for into in what.learned(*v6) {
                lower_update(into, *v6, *timeout_s, behind_key(into), &mut out);
            }
        }
        Verdict::DnatLearned { v6 } => lower_dnat_learned(*v6, &mut out),
        Verdict::Snat(to) => lower_snat(*to, None, &mut out),
        Verdict::SnatRandom(to) => lower_snat(*to, Some(Port::Random), &mut out),
        Verdict::SnatMapped { to, by_remote: by } => lower_snat(*to, Some(Port::Mapped { by_remote: *by }), &mut out),
        Verdict::DnatMap { map } => lower_dnat(map, table.maps.get(map), &mut out),
        // never wanted; said so by the kernel if it ever comes here
        Verdict::Unknown(text) => out.push(Expr::Other(text.clone())),
    }
    out
}

fn lower_match(condition: &Match, out: &mut Vec<Expr>) {
    let family = |v6: bool| [Expr::Meta { key: META_NFPROTO, to: 0 }, equal(vec![if v6 { IPV6 } else { IPV4 }])];
    match condition {
        Match::Iif(interfaces) => lower_interfaces(META_IIFNAME, interfaces, out),
        Match::Oif(interfaces) => lower_interfaces(META_OIFNAME, interfaces, out),
        Match::Saddr { prefix, not } => {
            out.extend(family(matches!(prefix, IpNet::V6(_))));
            lower_prefix(false, *prefix, *not, out);
        }
        Match::Daddr { prefix, not } => {
            out.extend(family(matches!(prefix, IpNet::V6(_))));
            lower_prefix(true, *prefix, *not, out);
        }
        Match::Family { v6 } => out.extend(family(*v6)),
        Match::ToLocal => {
            out.push(Expr::Fib { to: 0, result: FIB_ADDRTYPE, flags: FIB_DADDR });
            out.push(equal(LOCAL.to_ne_bytes().to_vec()));
        }
        Match::Established => lower_bits(CT_STATE, ESTABLISHED_RELATED, out),
        Match::Dnatted => lower_bits(CT_STATUS, DST_NAT, out),
        Match::Original => {
            out.push(Expr::Ct { key: CT_DIRECTION, to: 0 });
            // IP_CT_DIR_ORIGINAL
            out.push(equal(vec![0]));
        }
        Match::Proto(proto) => {
            out.push(Expr::Meta { key: META_L4PROTO, to: 0 });
            out.push(equal(vec![number(*proto)]));
        }
        Match::Ports { proto, first, last } => {
            out.push(Expr::Meta { key: META_L4PROTO, to: 0 });
            out.push(equal(vec![number(*proto)]));
            // the destination port
            out.push(Expr::Payload { base: BASE_TRANSPORT, offset: 2, length: 2, to: 0 });
            out.push(range(first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec()));
        }
        Match::Icmp { v6 } => {
            out.push(Expr::Meta { key: META_L4PROTO, to: 0 });
            out.push(equal(vec![icmp(*v6)]));
        }
        Match::LinkWork => {
            out.push(Expr::Meta { key: META_L4PROTO, to: 0 });
            out.push(equal(vec![icmp(true)]));
            // the type
            out.push(Expr::Payload { base: BASE_TRANSPORT, offset: 0, length: 1, to: 0 });
            out.push(range(vec![LINK_WORK.0], vec![LINK_WORK.1]));
        }
        Match::SaddrIn { v6, set } => {
            out.extend(family(*v6));
            lower_in(false, *v6, set, out);
        }
        Match::DaddrIn { v6, set } => {
            out.extend(family(*v6));
            lower_in(true, *v6, set, out);
        }
        Match::PortTaken { v6 } => {
            lower_key(false, 0, out);
            out.push(Expr::Lookup { set: Learned::address_map(*v6).to_owned(), from: 0, to: None, not: false });
        }
        Match::FromPeer { v6 } => {
            lower_key(true, 0, out);
            let (offset, length) = place(*v6, false);
            out.push(Expr::Payload { base: BASE_NETWORK, offset, length, to: 2 });
            out.push(Expr::Lookup { set: Learned::peers(*v6).to_owned(), from: 0, to: None, not: false });
        }
    }
}

/// The protocol number of ICMP or ICMPv6.
fn icmp(v6: bool) -> u8 {
    if v6 { 58 } else { 1 }
}

/// From the first to the last, as one expression (Linux 4.9).
fn range(first: Vec<u8>, last: Vec<u8>) -> Expr {
    if first == last { equal(first) } else { Expr::Range { from: 0, first, last } }
}

fn lower_in(destination: bool, v6: bool, set: &str, out: &mut Vec<Expr>) {
    let (offset, length) = place(v6, destination);
    out.push(Expr::Payload { base: BASE_NETWORK, offset, length, to: 0 });
    out.push(Expr::Lookup { set: set.to_owned(), from: 0, to: None, not: false });
}

fn raise_in(v6: bool, exprs: &[Expr]) -> Option<(Match, usize)> {
    let [
        Expr::Payload { base: BASE_NETWORK, offset, length, to: 0 },
        Expr::Lookup { set, from: 0, to: None, not: false },
        ..,
    ] = exprs
    else {
        return None;
    };
    let destination = [false, true].into_iter().find(|destination| place(v6, *destination) == (*offset, *length))?;
    let set = set.clone();
    Some((if destination { Match::DaddrIn { v6, set } } else { Match::SaddrIn { v6, set } }, 2))
}

/// Ports or ICMPv6 types after the question for the protocol.
fn raise_transport(number: u8, exprs: &[Expr]) -> Option<(Match, usize)> {
    let [Expr::Payload { base: BASE_TRANSPORT, offset, length, to: 0 }, rest @ ..] = exprs else { return None };
    // nft writes a range as two comparisons or as one, by its version
    let (first, last, used) = match rest {
        [Expr::Cmp { from: 0, not: false, data }, ..] => (data, data, 2),
        [Expr::Range { from: 0, first, last }, ..] => (first, last, 2),
        [Expr::Bound { from: 0, least: true, data: first }, Expr::Bound { from: 0, least: false, data: last }, ..] => {
            (first, last, 3)
        }
        _ => return None,
    };
    match (*offset, *length, first.as_slice(), last.as_slice()) {
        (2, 2, [a, b], [c, d]) => {
            let (first, last) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            Some((Match::Ports { proto: proto(number)?, first, last }, used))
        }
        (0, 1, [first], [last]) if number == icmp(true) && (*first, *last) == LINK_WORK => {
            Some((Match::LinkWork, used))
        }
        _ => None,
    }
}

fn equal(data: Vec<u8>) -> Expr {
    Expr::Cmp { from: 0, not: false, data }
}

fn lower_interfaces(key: u32, interfaces: &Interfaces, out: &mut Vec<Expr>) {
    out.push(Expr::Meta { key, to: 0 });
    out.push(match &interfaces.which {
        InterfaceRef::Name(name) => Expr::Cmp { from: 0, not: interfaces.not, data: padded(name) },
        InterfaceRef::Set(set) => Expr::Lookup { set: set.clone(), from: 0, to: None, not: interfaces.not },
    });
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

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn lower_prefix(destination: bool, prefix: IpNet, not: bool, out: &mut Vec<Expr>) {
    let (offset, length) = place(matches!(prefix, IpNet::V6(_)), destination);
    let mut data = octets(prefix.trunc().addr());
    let bits = prefix.prefix_len();
    if bits.is_multiple_of(8) && bits > 0 {
        // whole bytes need no mask: only those are loaded
        let bytes = bits / 8;
        data.truncate(usize::from(bytes));
        out.push(Expr::Payload { base: BASE_NETWORK, offset, length: u32::from(bytes), to: 0 });
    } else {
        out.push(Expr::Payload { base: BASE_NETWORK, offset, length, to: 0 });
        let mask = octets(prefix.netmask());
        out.push(Expr::Bitwise { from: 0, to: 0, xor: vec![0; mask.len()], mask });
    }
    out.push(Expr::Cmp { from: 0, not, data });
}

fn lower_bits(key: u32, bits: u32, out: &mut Vec<Expr>) {
    out.push(Expr::Ct { key, to: 0 });
    out.push(Expr::Bitwise { from: 0, to: 0, mask: bits.to_ne_bytes().to_vec(), xor: vec![0; 4] });
    out.push(Expr::Cmp { from: 0, not: true, data: vec![0; 4] });
}

fn lower_dnat(name: &str, map: Option<&PortMap>, out: &mut Vec<Expr>) {
    let (v6, by_address) = map.map_or((false, false), |map| (map.v6, map.by_address));
    let words = if v6 { 4 } else { 1 };
    let mut at = 0;
    if by_address {
        let (offset, length) = place(v6, true);
        out.push(Expr::Payload { base: BASE_NETWORK, offset, length, to: 0 });
        at = words;
    }
    out.push(Expr::Meta { key: META_L4PROTO, to: at });
    // the destination port, at the same place in TCP (RFC 9293), UDP (RFC 768) and SCTP (RFC 9260)
    out.push(Expr::Payload { base: BASE_TRANSPORT, offset: 2, length: 2, to: at + 1 });
    out.push(Expr::Lookup { set: name.to_owned(), from: 0, to: Some(0), not: false });
    out.push(Expr::Dnat { family: u32::from(if v6 { IPV6 } else { IPV4 }), address: 0, port: words });
}

/// The protocol and a port (the source's is first, the destination's behind it) into two registers.
fn lower_key(destination: bool, to: u32, out: &mut Vec<Expr>) {
    out.push(Expr::Meta { key: META_L4PROTO, to });
    let offset = if destination { 2 } else { 0 };
    out.push(Expr::Payload { base: BASE_TRANSPORT, offset, length: 2, to: to + 1 });
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

fn lower_update(into: Learned, v6: bool, timeout_s: u32, data_at: u32, out: &mut Vec<Expr>) {
    let (source, destination) = if v6 { (CT_SRC_IP6, CT_DST_IP6) } else { (CT_SRC_IP, CT_DST_IP) };
    let mut data = Some(data_at);
    match into {
        Learned::Address { .. } => {
            lower_key(false, 0, out);
            out.push(Expr::CtOriginal { key: source, to: data_at });
        }
        Learned::Port => {
            lower_key(false, 0, out);
            out.push(Expr::CtOriginal { key: CT_PROTO_SRC, to: data_at });
        }
        Learned::Peer { .. } => {
            lower_key(false, 0, out);
            out.push(Expr::CtOriginal { key: destination, to: 2 });
            data = None;
        }
        Learned::Mapping { by_remote, .. } => {
            out.push(Expr::Meta { key: META_L4PROTO, to: 0 });
            out.push(Expr::CtOriginal { key: source, to: 1 });
            out.push(Expr::CtOriginal { key: CT_PROTO_SRC, to: 1 + words(v6) });
            if by_remote {
                out.push(Expr::CtOriginal { key: destination, to: 2 + words(v6) });
            }
            out.push(Expr::Payload { base: BASE_TRANSPORT, offset: 0, length: 2, to: data_at });
        }
    }
    let timeout_ms = u64::from(timeout_s) * 1000;
    out.push(Expr::Update { map: into.name(v6).to_owned(), key: 0, data, timeout_ms });
}

/// Which port a new source has, if the rule says so.
#[derive(Clone, Copy)]
enum Port {
    Random,
    /// The one that the sender has already.
    Mapped {
        by_remote: bool,
    },
}

fn lower_snat(to: IpAddr, port: Option<Port>, out: &mut Vec<Expr>) {
    let v6 = to.is_ipv6();
    out.push(Expr::Immediate { to: 0, data: octets(to) });
    let mut from = None;
    if let Some(Port::Mapped { by_remote }) = port {
        // before translation, the packet itself has the source
        let (offset, length) = place(v6, false);
        out.push(Expr::Meta { key: META_L4PROTO, to: 4 });
        out.push(Expr::Payload { base: BASE_NETWORK, offset, length, to: 5 });
        out.push(Expr::Payload { base: BASE_TRANSPORT, offset: 0, length: 2, to: 5 + words(v6) });
        if by_remote {
            let key = if v6 { CT_DST_IP6 } else { CT_DST_IP };
            out.push(Expr::CtOriginal { key, to: 6 + words(v6) });
        }
        out.push(Expr::Lookup { set: Learned::mappings(v6).to_owned(), from: 4, to: Some(4), not: false });
        from = Some(4);
    }
    let family = u32::from(if v6 { IPV6 } else { IPV4 });
    out.push(Expr::Snat { family, address: 0, port: from, random: matches!(port, Some(Port::Random)) });
}

fn lower_dnat_learned(v6: bool, out: &mut Vec<Expr>) {
    for (map, at) in [(Learned::address_map(v6), 0), (Learned::port_map(v6), 4)] {
        lower_key(true, at, out);
        out.push(Expr::Lookup { set: map.to_owned(), from: at, to: Some(at), not: false });
    }
    out.push(Expr::Dnat { family: u32::from(if v6 { IPV6 } else { IPV4 }), address: 0, port: 4 });
}

/// The rule of these expressions.
pub(super) fn raise(exprs: &[Expr]) -> Rule {
    let mut matches = Vec::new();
    let mut rest = exprs;
    while !rest.is_empty() {
        if let Some(verdict) = raise_verdict(rest) {
            return Rule { matches, verdict };
        }
        // nft leaves out a question for the family that the rule has asked already
        let bare = known_family(&matches).and_then(|v6| raise_in(v6, rest).or_else(|| raise_prefix(v6, rest)));
        let Some((condition, used)) = bare.or_else(|| raise_match(rest)) else { break };
        matches.push(condition);
        rest = rest.get(used..).unwrap_or_default();
    }
    Rule { matches: Vec::new(), verdict: Verdict::Unknown(format!("{exprs:?}")) }
}

/// IPv6, by a condition of the rule so far?
fn known_family(matches: &[Match]) -> Option<bool> {
    matches.iter().find_map(|condition| match condition {
        Match::Family { v6 } => Some(*v6),
        Match::Saddr { prefix, .. } | Match::Daddr { prefix, .. } => Some(prefix.addr().is_ipv6()),
        Match::SaddrIn { v6, .. } | Match::DaddrIn { v6, .. } => Some(*v6),
        _ => None,
    })
}

fn raise_verdict(exprs: &[Expr]) -> Option<Verdict> {
    match exprs {
        [Expr::Verdict { code: VERDICT_ACCEPT, chain: None }] => Some(Verdict::Accept),
        [Expr::Verdict { code: VERDICT_DROP, chain: None }] => Some(Verdict::Drop),
        [Expr::Verdict { code: VERDICT_JUMP, chain: Some(chain) }] => Some(Verdict::Jump(chain.clone())),
        [Expr::Masquerade] => Some(Verdict::Masquerade),
        [Expr::MasqueradeRandom] => Some(Verdict::MasqueradeRandom),
        [.., Expr::Update { timeout_ms, .. }] => raise_learn(exprs, u32::try_from(timeout_ms / 1000).ok()?),
        [Expr::Immediate { to: 0, data }, .., Expr::Snat { family, .. }] => {
            let to = address(*family == u32::from(IPV6), data)?;
            let mapped = [false, true]
                .map(|by_remote| (Verdict::SnatMapped { to, by_remote }, Some(Port::Mapped { by_remote })));
            let random = (Verdict::SnatRandom(to), Some(Port::Random));
            let all = [(Verdict::Snat(to), None), random].into_iter().chain(mapped);
            let same = |port| {
                let mut wanted = Vec::new();
                lower_snat(to, port, &mut wanted);
                wanted == exprs
            };
            all.into_iter().find_map(|(verdict, port)| same(port).then_some(verdict))
        }
        [.., Expr::Lookup { set, to: Some(_), .. }, Expr::Dnat { family, .. }] => {
            for v6 in [false, true] {
                let mut wanted = Vec::new();
                lower_dnat_learned(v6, &mut wanted);
                if wanted == exprs {
                    return Some(Verdict::DnatLearned { v6 });
                }
            }
            // of the four shapes that raum writes, is it one?
            [false, true].into_iter().find_map(|by_address| {
                let map =
                    PortMap { v6: *family == u32::from(IPV6), by_address, entries: std::collections::BTreeMap::new() };
                let mut wanted = Vec::new();
                lower_dnat(set, Some(&map), &mut wanted);
                (wanted == exprs).then(|| Verdict::DnatMap { map: set.clone() })
            })
        }
        _ => None,
    }
}

fn raise_learn(exprs: &[Expr], timeout_s: u32) -> Option<Verdict> {
    let lessons =
        [Lesson::Owner, Lesson::Peer, Lesson::Mapping { by_remote: false }, Lesson::Mapping { by_remote: true }];
    let all = lessons.into_iter().flat_map(|what| [false, true].map(|v6| (what, v6)));
    let same = |(what, v6): &(Lesson, bool)| {
        // as this nft writes it, or a newer one
        [behind_key, key_words].iter().any(|data_at| {
            let mut wanted = Vec::new();
            for into in what.learned(*v6) {
                lower_update(into, *v6, timeout_s, data_at(into), &mut wanted);
            }
            wanted == exprs
        })
    };
    all.into_iter().find(same).map(|(what, v6)| Verdict::Learn { what, v6, timeout_s })
}

/// The first condition, and how many expressions it is.
fn raise_match(exprs: &[Expr]) -> Option<(Match, usize)> {
    match exprs {
        [Expr::Meta { key, to: 0 }, Expr::Cmp { from: 0, not, data }, rest @ ..] => {
            match (*key, not, data.as_slice()) {
                (META_IIFNAME, not, name) => Some((Match::Iif(named(name, *not)?), 2)),
                (META_OIFNAME, not, name) => Some((Match::Oif(named(name, *not)?), 2)),
                (META_NFPROTO, false, [family @ (IPV4 | IPV6)]) => {
                    let v6 = *family == IPV6;
                    let prefix = raise_in(v6, rest).or_else(|| raise_prefix(v6, rest));
                    let prefix = prefix.map(|(condition, used)| (condition, used + 2));
                    Some(prefix.unwrap_or((Match::Family { v6 }, 2)))
                }
                (META_L4PROTO, false, [number]) => {
                    if let Some((condition, used)) = raise_transport(*number, rest) {
                        return Some((condition, used + 2));
                    }
                    let found = [false, true].into_iter().find(|v6| icmp(*v6) == *number);
                    Some((
                        found.map(|v6| Match::Icmp { v6 }).map_or_else(|| Some(Match::Proto(proto(*number)?)), Some)?,
                        2,
                    ))
                }
                _ => None,
            }
        }
        [Expr::Meta { key, to: 0 }, Expr::Lookup { set, from: 0, to: None, not }, ..] => {
            let interfaces = Interfaces { which: InterfaceRef::Set(set.clone()), not: *not };
            match *key {
                META_IIFNAME => Some((Match::Iif(interfaces), 2)),
                META_OIFNAME => Some((Match::Oif(interfaces), 2)),
                _ => None,
            }
        }
        [Expr::Meta { key: META_L4PROTO, to: 0 }, Expr::Payload { to: 1, .. }, ..] => {
            let known = [false, true].map(|v6| [Match::PortTaken { v6 }, Match::FromPeer { v6 }]);
            known.into_iter().flatten().find_map(|condition| {
                let mut wanted = Vec::new();
                lower_match(&condition, &mut wanted);
                exprs.starts_with(&wanted).then_some((condition, wanted.len()))
            })
        }
        [Expr::Fib { to: 0, result: FIB_ADDRTYPE, flags: FIB_DADDR }, Expr::Cmp { from: 0, not: false, data }, ..]
            if *data == LOCAL.to_ne_bytes() =>
        {
            Some((Match::ToLocal, 2))
        }
        [Expr::Ct { key: CT_DIRECTION, to: 0 }, Expr::Cmp { from: 0, not: false, data }, ..] if *data == [0] => {
            Some((Match::Original, 2))
        }
        [Expr::Ct { .. }, Expr::Bitwise { .. }, Expr::Cmp { .. }, ..] => {
            [Match::Established, Match::Dnatted].into_iter().find_map(|condition| {
                let mut wanted = Vec::new();
                lower_match(&condition, &mut wanted);
                (exprs.get(..3) == Some(wanted.as_slice())).then_some((condition, 3))
            })
        }
        _ => None,
    }
}

fn named(name: &[u8], not: bool) -> Option<Interfaces> {
    // shorter than IFNAMSIZ is a prefix match (`eth*`)
    (name.len() == IFNAMSIZ).then_some(())?;
    Some(Interfaces { which: InterfaceRef::Name(unpadded(name)?), not })
}

fn raise_prefix(v6: bool, exprs: &[Expr]) -> Option<(Match, usize)> {
    let [Expr::Payload { base: BASE_NETWORK, offset, length, to: 0 }, rest @ ..] = exprs else { return None };
    let destination = [false, true].into_iter().find(|destination| place(v6, *destination).0 == *offset)?;
    let whole = place(v6, destination).1;
    let (not, data, bits, used) = match rest {
        [Expr::Cmp { from: 0, not, data }, ..] => (*not, data, u8::try_from(length.checked_mul(8)?).ok()?, 2),
        [Expr::Bitwise { from: 0, to: 0, mask, xor }, Expr::Cmp { from: 0, not, data }, ..]
            if *length == whole && xor.iter().all(|byte| *byte == 0) =>
        {
            let mask = address(v6, mask)?;
            (*not, data, ipnet::ip_mask_to_prefix(mask).ok()?, 3)
        }
        _ => return None,
    };
    let mut bytes = data.clone();
    bytes.resize(usize::try_from(whole).ok()?, 0);
    let prefix = IpNet::new(address(v6, &bytes)?, bits).ok()?;
    Some((if destination { Match::Daddr { prefix, not } } else { Match::Saddr { prefix, not } }, used))
}

/// An address out of a register.
pub(super) fn address(v6: bool, bytes: &[u8]) -> Option<IpAddr> {
    if v6 {
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    } else {
        <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from)
    }
}

#[cfg(test)]
mod tests {
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
                    assert_eq!(raise(&lower(&rule, &table)), rule);
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
