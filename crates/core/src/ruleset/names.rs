//! What nft calls the things that rules look at.

use super::load::{Value, What};
use super::value::Kind;

/// What earlier conditions of the rule, and its table, tell of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Context {
    /// IPv6, else IPv4.
    pub v6: Option<bool>,
    /// The protocol above it, by number.
    pub proto: Option<u8>,
}

/// A part of what was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// `ip saddr`
    pub name: String,
    pub kind: Kind,
    /// Its bytes in the loaded value.
    pub at: std::ops::Range<usize>,
    /// Only the first bytes of it were loaded: so many it has.
    pub whole: usize,
}

impl Part {
    fn of(name: impl Into<String>, kind: Kind, length: usize) -> Self {
        Self { name: name.into(), kind, at: 0..length, whole: length }
    }
}

/// The named parts of a value: usually one, two where nft has put two conditions into one.
pub(super) fn parts(value: &Value, context: Context) -> Vec<Part> {
    match &value.what {
        What::Meta(key) => vec![meta(*key)],
        What::Ct { key, reply } => {
            let (name, kind) = ct(*key);
            let direction = match reply {
                None => "",
                Some(false) => "original ",
                Some(true) => "reply ",
            };
            vec![Part::of(format!("ct {direction}{name}"), kind, super::value::width(kind))]
        }
        What::Fib { result, flags } => vec![fib(*result, *flags)],
        What::Payload { base, offset, length } => {
            let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
            let length = usize::try_from(*length).unwrap_or(0);
            payload(*base, offset, length, context).unwrap_or_else(|| {
                let layer = match base {
                    0 => "ll",
                    1 => "nh",
                    2 => "th",
                    3 => "ih",
                    _ => "?",
                };
                // as nft writes what it has no name for: in bits
                let name = format!("@{layer},{},{}", offset.saturating_mul(8), length.saturating_mul(8));
                vec![Part::of(name, Kind::Number, length)]
            })
        }
        What::Constant(bytes) => vec![Part::of(super::value::show(Kind::Bytes, bytes), Kind::Bytes, bytes.len())],
        What::Map { key, set } => {
            let names: Vec<String> = key.iter().flat_map(|value| parts(value, context)).map(|part| part.name).collect();
            vec![Part::of(format!("{} map @{set}", names.join(" . ")), Kind::Bytes, 0)]
        }
        What::Other(name) => vec![Part::of(name.clone(), Kind::Bytes, 0)],
    }
}

/// `NFT_META_*`.
pub(super) fn meta(key: u32) -> Part {
    let (name, kind) = match key {
        0 => ("meta length", Kind::Host),
        1 => ("meta protocol", Kind::EtherType),
        2 => ("meta priority", Kind::Mark),
        3 => ("meta mark", Kind::Mark),
        4 => ("iif", Kind::Host),
        5 => ("oif", Kind::Host),
        6 => ("iifname", Kind::Name),
        7 => ("oifname", Kind::Name),
        8 => ("iiftype", Kind::Host),
        9 => ("oiftype", Kind::Host),
        10 => ("meta skuid", Kind::Host),
        11 => ("meta skgid", Kind::Host),
        12 => ("meta nftrace", Kind::Host),
        13 => ("meta rtclassid", Kind::Host),
        15 => ("meta nfproto", Kind::NfProto),
        16 => ("meta l4proto", Kind::Proto),
        17 => ("meta ibrname", Kind::Name),
        18 => ("meta obrname", Kind::Name),
        19 => ("meta pkttype", Kind::PacketType),
        20 => ("meta cpu", Kind::Host),
        21 => ("iifgroup", Kind::Host),
        22 => ("oifgroup", Kind::Host),
        23 => ("meta cgroup", Kind::Host),
        24 => ("meta random", Kind::Mark),
        25 => ("meta ipsec", Kind::Host),
        26 => ("meta iifkind", Kind::Text),
        27 => ("meta oifkind", Kind::Text),
        30 => ("meta time", Kind::Bytes),
        31 => ("meta day", Kind::Host),
        32 => ("meta hour", Kind::Host),
        33 => ("meta sdif", Kind::Host),
        34 => ("meta sdifname", Kind::Name),
        other => return Part::of(format!("meta key-{other}"), Kind::Bytes, 0),
    };
    Part::of(name, kind, super::value::width(kind))
}

/// `NFT_CT_*`.
pub(super) fn ct(key: u32) -> (String, Kind) {
    let (name, kind) = match key {
        0 => ("state", Kind::CtState),
        1 => ("direction", Kind::CtDirection),
        2 => ("status", Kind::CtStatus),
        3 => ("mark", Kind::Mark),
        5 => ("expiration", Kind::Host),
        6 => ("helper", Kind::Text),
        7 => ("l3proto", Kind::NfProto),
        8 => ("saddr", Kind::Bytes),
        9 => ("daddr", Kind::Bytes),
        10 => ("protocol", Kind::Proto),
        11 => ("proto-src", Kind::Port),
        12 => ("proto-dst", Kind::Port),
        13 => ("label", Kind::Bytes),
        14 => ("packets", Kind::Bytes),
        15 => ("bytes", Kind::Bytes),
        16 => ("avgpkt", Kind::Bytes),
        17 => ("zone", Kind::Host),
        19 => ("ip saddr", Kind::Ip4),
        20 => ("ip daddr", Kind::Ip4),
        21 => ("ip6 saddr", Kind::Ip6),
        22 => ("ip6 daddr", Kind::Ip6),
        23 => ("id", Kind::Host),
        other => return (format!("key-{other}"), Kind::Bytes),
    };
    (name.to_owned(), kind)
}

/// `NFT_FIB_RESULT_*` of `NFTA_FIB_F_*`.
fn fib(result: u32, flags: u32) -> Part {
    let names = [(1, "saddr"), (2, "daddr"), (4, "mark"), (8, "iif"), (16, "oif")];
    let of: Vec<&str> = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    let of = of.join(" . ");
    match result {
        1 => Part::of(format!("fib {of} oif"), Kind::Host, 4),
        2 => Part::of(format!("fib {of} oifname"), Kind::Name, 16),
        3 => Part::of(format!("fib {of} type"), Kind::AddressType, 4),
        other => Part::of(format!("fib {of} result-{other}"), Kind::Bytes, 0),
    }
}

type Field = (usize, usize, &'static str, Kind);

/// Offset and length in the Ethernet header; nft's names.
const ETHER: &[Field] =
    &[(0, 6, "ether daddr", Kind::Mac), (6, 6, "ether saddr", Kind::Mac), (12, 2, "ether type", Kind::EtherType)];
/// RFC 791, section 3.1.
const IP: &[Field] = &[
    (1, 1, "ip tos", Kind::Number),
    (2, 2, "ip length", Kind::Number),
    (4, 2, "ip id", Kind::Number),
    (6, 2, "ip frag-off", Kind::Number),
    (8, 1, "ip ttl", Kind::Number),
    (9, 1, "ip protocol", Kind::Proto),
    (10, 2, "ip checksum", Kind::Number),
    (12, 4, "ip saddr", Kind::Ip4),
    (16, 4, "ip daddr", Kind::Ip4),
];
/// RFC 8200, section 3.
const IP6: &[Field] = &[
    (4, 2, "ip6 length", Kind::Number),
    (6, 1, "ip6 nexthdr", Kind::Proto),
    (7, 1, "ip6 hoplimit", Kind::Number),
    (8, 16, "ip6 saddr", Kind::Ip6),
    (24, 16, "ip6 daddr", Kind::Ip6),
];
/// What all transport protocols with ports have in common.
const TRANSPORT: &[Field] = &[(0, 2, "th sport", Kind::Port), (2, 2, "th dport", Kind::Port)];
/// RFC 9293, section 3.1.
const TCP: &[Field] = &[
    (0, 2, "tcp sport", Kind::Port),
    (2, 2, "tcp dport", Kind::Port),
    (4, 4, "tcp sequence", Kind::Number),
    (8, 4, "tcp ackseq", Kind::Number),
    (13, 1, "tcp flags", Kind::TcpFlags),
    (14, 2, "tcp window", Kind::Number),
];
/// RFC 768.
const UDP: &[Field] = &[
    (0, 2, "udp sport", Kind::Port),
    (2, 2, "udp dport", Kind::Port),
    (4, 2, "udp length", Kind::Number),
    (6, 2, "udp checksum", Kind::Number),
];
/// RFC 9260, section 3.1.
const SCTP: &[Field] = &[(0, 2, "sctp sport", Kind::Port), (2, 2, "sctp dport", Kind::Port)];
/// RFC 792.
const ICMP: &[Field] = &[(0, 1, "icmp type", Kind::IcmpType), (1, 1, "icmp code", Kind::Number)];
/// RFC 4443, section 2.1.
const ICMP6: &[Field] = &[(0, 1, "icmpv6 type", Kind::Icmp6Type), (1, 1, "icmpv6 code", Kind::Number)];

/// The fields that a load covers one after another without a gap.
fn payload(base: u32, offset: usize, length: usize, context: Context) -> Option<Vec<Part>> {
    let fields = match base {
        0 => ETHER,
        1 => match context.v6 {
            Some(true) => IP6,
            Some(false) => IP,
            // addresses are told by their length
            None if length >= 16 && offset >= 8 => IP6,
            None => IP,
        },
        2 => match context.proto {
            Some(6) => TCP,
            Some(17) => UDP,
            Some(132) => SCTP,
            Some(1) => ICMP,
            Some(58) => ICMP6,
            _ => TRANSPORT,
        },
        _ => return None,
    };
    let mut parts = Vec::new();
    let mut at = 0;
    while at < length {
        let (_, field, name, kind) = fields.iter().find(|(start, ..)| Some(*start) == offset.checked_add(at))?;
        let end = (at + field).min(length);
        if end - at < *field && !matches!(kind, Kind::Ip4 | Kind::Ip6) {
            return None;
        }
        parts.push(Part { name: (*name).to_owned(), kind: *kind, at: at..end, whole: *field });
        at = end;
    }
    (!parts.is_empty()).then_some(parts)
}
