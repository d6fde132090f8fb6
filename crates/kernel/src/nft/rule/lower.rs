//! A rule's expressions, as `nft` would write them for the same words.

use std::net::IpAddr;

use ipnet::IpNet;
use raum_core::nft::{InterfaceRef, Interfaces, Learned, Match, PortMap, Rule, Table, Verdict};

use super::super::wire::{
    BASE_NETWORK, BASE_TRANSPORT, CT_DIRECTION, CT_DST_IP, CT_DST_IP6, CT_PROTO_SRC, CT_SRC_IP, CT_SRC_IP6, CT_STATE,
    CT_STATUS, Expr, FIB_ADDRTYPE, FIB_DADDR, META_IIFNAME, META_L4PROTO, META_NFPROTO, META_OIFNAME, VERDICT_ACCEPT,
    VERDICT_DROP, VERDICT_JUMP,
};
use super::{
    DST_NAT, ESTABLISHED_RELATED, IPV4, IPV6, Keys, LINK_WORK, LOCAL, behind_key, icmp, number, padded, place, words,
};

/// A rule's expressions. Its maps must be in the table; an unknown one gives a lookup that the kernel refuses.
pub(in crate::nft) fn lower(rule: &Rule, table: &Table, keys: Keys) -> Vec<Expr> {
    let mut out = Vec::new();
    for condition in &rule.matches {
        lower_match(condition, keys, &mut out);
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

pub(super) fn lower_match(condition: &Match, keys: Keys, out: &mut Vec<Expr>) {
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
            // what it leads to is read over it where it must be
            let to = (keys == Keys::Led).then_some(0);
            out.push(Expr::Lookup { set: Learned::address_map(*v6).to_owned(), from: 0, to, not: false });
        }
        Match::FromPeer { v6 } => {
            lower_key(true, 0, out);
            let (offset, length) = place(*v6, false);
            out.push(Expr::Payload { base: BASE_NETWORK, offset, length, to: 2 });
            out.push(Expr::Lookup { set: Learned::peers(*v6).to_owned(), from: 0, to: None, not: false });
        }
    }
}

/// From the first to the last, as one expression (Linux 4.9).
pub(super) fn range(first: Vec<u8>, last: Vec<u8>) -> Expr {
    if first == last { equal(first) } else { Expr::Range { from: 0, first, last } }
}

fn lower_in(destination: bool, v6: bool, set: &str, out: &mut Vec<Expr>) {
    let (offset, length) = place(v6, destination);
    out.push(Expr::Payload { base: BASE_NETWORK, offset, length, to: 0 });
    out.push(Expr::Lookup { set: set.to_owned(), from: 0, to: None, not: false });
}

pub(super) fn equal(data: Vec<u8>) -> Expr {
    Expr::Cmp { from: 0, not: false, data }
}

fn lower_interfaces(key: u32, interfaces: &Interfaces, out: &mut Vec<Expr>) {
    out.push(Expr::Meta { key, to: 0 });
    out.push(match &interfaces.which {
        InterfaceRef::Name(name) => Expr::Cmp { from: 0, not: interfaces.not, data: padded(name) },
        InterfaceRef::Set(set) => Expr::Lookup { set: set.clone(), from: 0, to: None, not: interfaces.not },
    });
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

pub(super) fn lower_dnat(name: &str, map: Option<&PortMap>, out: &mut Vec<Expr>) {
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

pub(super) fn lower_update(into: Learned, v6: bool, timeout_s: u32, data_at: u32, out: &mut Vec<Expr>) {
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
pub(super) enum Port {
    Random,
    /// The one that the sender has already.
    Mapped {
        by_remote: bool,
    },
}

pub(super) fn lower_snat(to: IpAddr, port: Option<Port>, out: &mut Vec<Expr>) {
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

pub(super) fn lower_dnat_learned(v6: bool, out: &mut Vec<Expr>) {
    for (map, at) in [(Learned::address_map(v6), 0), (Learned::port_map(v6), 4)] {
        lower_key(true, at, out);
        out.push(Expr::Lookup { set: map.to_owned(), from: at, to: Some(at), not: false });
    }
    out.push(Expr::Dnat { family: u32::from(if v6 { IPV6 } else { IPV4 }), address: 0, port: 4 });
}
