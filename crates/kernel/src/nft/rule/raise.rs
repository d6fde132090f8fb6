//! The rule of expressions, whether raum wrote them or `nft`.

use std::collections::BTreeMap;

use ipnet::IpNet;
use raum_core::nft::{InterfaceRef, Interfaces, Lesson, Match, PortMap, Rule, Verdict};

use super::super::wire::{
    BASE_NETWORK, BASE_TRANSPORT, CT_DIRECTION, Expr, FIB_ADDRTYPE, FIB_DADDR, META_IIFNAME, META_L4PROTO,
    META_NFPROTO, META_OIFNAME, VERDICT_ACCEPT, VERDICT_DROP, VERDICT_JUMP,
};
use super::lower::{Port, lower_dnat, lower_dnat_learned, lower_match, lower_snat, lower_update};
use super::{
    IFNAMSIZ, IPV4, IPV6, Keys, LINK_WORK, LOCAL, address, behind_key, icmp, key_words, place, proto, unpadded,
};

/// The rule of these expressions.
pub(in crate::nft) fn raise(exprs: &[Expr]) -> Rule {
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
                let map = PortMap { v6: *family == u32::from(IPV6), by_address, entries: BTreeMap::new() };
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
            let written =
                known.into_iter().flatten().flat_map(|known| [(known.clone(), Keys::Alone), (known, Keys::Led)]);
            written.into_iter().find_map(|(condition, keys)| {
                let mut wanted = Vec::new();
                lower_match(&condition, keys, &mut wanted);
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
                lower_match(&condition, Keys::Alone, &mut wanted);
                (exprs.get(..3) == Some(wanted.as_slice())).then_some((condition, 3))
            })
        }
        _ => None,
    }
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
