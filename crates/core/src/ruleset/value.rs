//! Values as nft writes them, by what they are.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::set::{Data, Element, Set};

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ip4,
    Ip6,
    Port,
    Proto,
    /// The name of an interface, filled up with NULs.
    Name,
    /// A text of that kind that is no interface.
    Text,
    /// A number in the machine's order, in hexadecimal.
    Mark,
    /// A number in the machine's order.
    Host,
    /// A number in the network's order.
    Number,
    CtState,
    CtStatus,
    CtDirection,
    NfProto,
    AddressType,
    PacketType,
    IcmpType,
    Icmp6Type,
    TcpFlags,
    Mac,
    EtherType,
    Bytes,
}

/// Bits of `NF_CT_STATE_BIT` (include/uapi/linux/netfilter/nf_conntrack_common.h).
const CT_STATES: [(u32, &str); 5] = [(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")];
/// `IPS_*`, as nft calls them.
const CT_STATUSES: [(u32, &str); 9] = [
    (1, "expected"),
    (2, "seen-reply"),
    (4, "assured"),
    (8, "confirmed"),
    (16, "snat"),
    (32, "dnat"),
    (128, "snat-done"),
    (256, "dnat-done"),
    (512, "dying"),
];
/// RFC 9293, section 3.1.
const TCP_FLAGS: [(u32, &str); 8] =
    [(1, "fin"), (2, "syn"), (4, "rst"), (8, "psh"), (16, "ack"), (32, "urg"), (64, "ecn"), (128, "cwr")];

/// The kinds of a set's key, by nft's numbers of types: six bits for each part (`TYPE_BITS`, nft's datatype.h).
pub(super) fn kinds_of_type(mut number: u32) -> Vec<Kind> {
    let mut kinds = Vec::new();
    while number != 0 {
        kinds.push(kind_of_type(number & 0x3f));
        number >>= 6;
    }
    kinds.reverse();
    kinds
}

fn kind_of_type(number: u32) -> Kind {
    match number {
        2 => Kind::NfProto,
        4 => Kind::Number,
        7 => Kind::Ip4,
        8 => Kind::Ip6,
        9 => Kind::Mac,
        10 => Kind::EtherType,
        12 => Kind::Proto,
        13 => Kind::Port,
        14 => Kind::IcmpType,
        15 => Kind::TcpFlags,
        19 => Kind::Mark,
        20 | 24 | 25 | 35 => Kind::Host,
        26 => Kind::CtState,
        27 => Kind::CtDirection,
        28 => Kind::CtStatus,
        29 => Kind::Icmp6Type,
        31 => Kind::PacketType,
        38 => Kind::AddressType,
        41 => Kind::Name,
        _ => Kind::Bytes,
    }
}

/// nft's name of a type, for a set's declaration.
pub(super) fn type_name(number: u32) -> &'static str {
    match number {
        2 => "nf_proto",
        5 => "string",
        6 => "ll_addr",
        7 => "ipv4_addr",
        8 => "ipv6_addr",
        9 => "ether_addr",
        10 => "ether_type",
        12 => "inet_proto",
        13 => "inet_service",
        14 => "icmp_type",
        15 => "tcp_flag",
        18 => "time",
        19 => "mark",
        20 => "iface_index",
        24 => "uid",
        25 => "gid",
        26 => "ct_state",
        27 => "ct_dir",
        28 => "ct_status",
        29 => "icmpv6_type",
        31 => "pkt_type",
        35 => "devgroup",
        36 => "dscp",
        38 => "fib_addrtype",
        41 => "ifname",
        _ => "integer",
    }
}

/// A number in the machine's order, of up to four bytes.
pub(super) fn host(bytes: &[u8]) -> u32 {
    match bytes {
        [a] => u32::from(*a),
        [a, b] => u32::from(u16::from_ne_bytes([*a, *b])),
        [a, b, c, d] => u32::from_ne_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// A number in the network's order.
fn number(bytes: &[u8]) -> String {
    let meaning = bytes.get(bytes.len().saturating_sub(8)..).unwrap_or_default();
    if meaning.len() < bytes.len() && bytes.iter().take(bytes.len() - meaning.len()).any(|byte| *byte != 0) {
        return hex(bytes);
    }
    meaning.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Text in quotes, without what a terminal would act on, or what would end the quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "'").chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>())
}

fn named(code: u32, names: &[(u32, &str)], or: impl FnOnce() -> String) -> String {
    names.iter().find(|(known, _)| *known == code).map_or_else(or, |(_, name)| (*name).to_owned())
}

/// The names of the bits that are set, with commas.
fn bits(value: u32, names: &[(u32, &str)]) -> String {
    let known: Vec<&str> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    let rest = names.iter().fold(value, |rest, (bit, _)| rest & !bit);
    match (known.is_empty(), rest) {
        (true, rest) => format!("0x{rest:x}"),
        (false, 0) => known.join(","),
        (false, rest) => format!("{},0x{rest:x}", known.join(",")),
    }
}

/// A protocol by its number (IANA).
pub(super) fn proto(number: u8) -> String {
    let name = match number {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// `RTN_*`, as nft calls them.
pub(super) fn address_type(number: u32) -> String {
    let names = [
        (0, "unspec"),
        (1, "unicast"),
        (2, "local"),
        (3, "broadcast"),
        (4, "anycast"),
        (5, "multicast"),
        (6, "blackhole"),
        (7, "unreachable"),
        (8, "prohibit"),
    ];
    named(number, &names, || number.to_string())
}

fn icmp_type(v6: bool, number: u8) -> String {
    let four: &[(u32, &str)] = &[
        (0, "echo-reply"),
        (3, "destination-unreachable"),
        (4, "source-quench"),
        (5, "redirect"),
        (8, "echo-request"),
        (9, "router-advertisement"),
        (10, "router-solicitation"),
        (11, "time-exceeded"),
        (12, "parameter-problem"),
        (13, "timestamp-request"),
        (14, "timestamp-reply"),
    ];
    let six: &[(u32, &str)] = &[
        (1, "destination-unreachable"),
        (2, "packet-too-big"),
        (3, "time-exceeded"),
        (4, "parameter-problem"),
        (128, "echo-request"),
        (129, "echo-reply"),
        (130, "mld-listener-query"),
        (131, "mld-listener-report"),
        (132, "mld-listener-done"),
        (133, "nd-router-solicit"),
        (134, "nd-router-advert"),
        (135, "nd-neighbor-solicit"),
        (136, "nd-neighbor-advert"),
        (137, "nd-redirect"),
        (143, "mld2-listener-report"),
    ];
    named(u32::from(number), if v6 { six } else { four }, || number.to_string())
}

/// A value.
pub(super) fn show(kind: Kind, bytes: &[u8]) -> String {
    let first = bytes.first().copied().unwrap_or_default();
    match kind {
        Kind::Ip4 => match bytes.first_chunk::<4>() {
            Some(octets) => Ipv4Addr::from(*octets).to_string(),
            None => hex(bytes),
        },
        Kind::Ip6 => match bytes.first_chunk::<16>() {
            Some(octets) => Ipv6Addr::from(*octets).to_string(),
            None => hex(bytes),
        },
        Kind::Port | Kind::Number => number(bytes),
        Kind::Proto => proto(first),
        Kind::Name | Kind::Text => text(bytes),
        Kind::Mark => format!("0x{:08x}", host(bytes)),
        Kind::Host => host(bytes).to_string(),
        Kind::CtState => bits(host(bytes), &CT_STATES),
        Kind::CtStatus => bits(host(bytes), &CT_STATUSES),
        Kind::TcpFlags => bits(u32::from(first), &TCP_FLAGS),
        Kind::CtDirection => named(u32::from(first), &[(0, "original"), (1, "reply")], || first.to_string()),
        Kind::NfProto => named(u32::from(first), &[(2, "ipv4"), (10, "ipv6")], || first.to_string()),
        Kind::AddressType => address_type(host(bytes)),
        Kind::PacketType => {
            let names = [(0, "host"), (1, "broadcast"), (2, "multicast"), (3, "other")];
            named(u32::from(first), &names, || first.to_string())
        }
        Kind::IcmpType => icmp_type(false, first),
        Kind::Icmp6Type => icmp_type(true, first),
        Kind::Mac => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
        Kind::EtherType => match bytes {
            [8, 0] => "ip".to_owned(),
            [8, 6] => "arp".to_owned(),
            [0x86, 0xdd] => "ip6".to_owned(),
            [0x81, 0] => "8021q".to_owned(),
            other => hex(other),
        },
        Kind::Bytes => hex(bytes),
    }
}

/// A name in a register. Without a NUL at its end it is the beginning of names: `eth*`.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let known = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let mut text = String::from_utf8_lossy(known).into_owned();
    if text.ends_with('*') {
        text.insert(text.len() - 1, '\\');
    }
    if end.is_none() && bytes.len() < 16 {
        text.push('*');
    }
    quoted(&text)
}

/// How many bits of a mask are set from the left, if then none is.
pub(super) fn prefix_length(mask: &[u8]) -> Option<usize> {
    let ones = mask.iter().map(|byte| byte.leading_ones()).take_while(|ones| *ones > 0);
    let mut length = 0usize;
    for ones in ones {
        length += usize::try_from(ones).ok()?;
        if ones < 8 {
            break;
        }
    }
    let all: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    (usize::try_from(all).ok()? == length).then_some(length)
}

/// All from one value to another; a prefix where that is the same.
pub(super) fn range(kind: Kind, low: &[u8], high: &[u8]) -> String {
    if low == high {
        return show(kind, low);
    }
    if matches!(kind, Kind::Ip4 | Kind::Ip6) && low.len() == high.len() {
        let same: Vec<u8> = low.iter().zip(high).map(|(low, high)| !(low ^ high)).collect();
        let host_bits = low.iter().zip(&same).all(|(low, same)| low & !same == 0);
        let ones = high.iter().zip(&same).all(|(high, same)| high | same == 0xff);
        if let (Some(length), true, true) = (prefix_length(&same), host_bits, ones) {
            return format!("{}/{length}", show(kind, low));
        }
    }
    format!("{}-{}", show(kind, low), show(kind, high))
}

/// A value of several parts, each beginning at a multiple of four.
pub(super) fn parts(kinds: &[Kind], set: &Set, low: &[u8], high: Option<&[u8]>) -> String {
    let ranges = set.parts(low.len());
    let kind = |at: usize| {
        if ranges.len() == kinds.len() { kinds.get(at).copied().unwrap_or(Kind::Bytes) } else { Kind::Bytes }
    };
    let part = |(at, part): (usize, &std::ops::Range<usize>)| {
        let cut = |bytes: &'_ [u8]| bytes.get(part.clone()).unwrap_or_default().to_vec();
        let low = cut(low);
        range(kind(at), &low, &high.map_or_else(|| low.clone(), cut))
    };
    ranges.iter().enumerate().map(part).collect::<Vec<_>>().join(" . ")
}

/// An element as nft writes it in a list.
pub(super) fn element(kinds: &[Kind], data: &[Kind], set: &Set, element: &Element) -> String {
    let mut text = if element.rest { "*".to_owned() } else { parts(kinds, set, &element.key, element.to.as_deref()) };
    if let Some(comment) = &element.comment {
        text += &format!(" comment {}", quoted(comment));
    }
    match &element.data {
        Some(value) => format!("{text} : {}", datum(data, value)),
        None => text,
    }
}

fn datum(kinds: &[Kind], data: &Data) -> String {
    match data {
        Data::Verdict(verdict) => super::words::verdict(verdict),
        Data::Object(name) => quoted(name),
        Data::Value(bytes) => {
            // of a value the kernel tells no lengths of parts: they follow from the kinds
            let fields = kinds.iter().map(|kind| width(*kind)).collect::<Vec<_>>();
            let known = fields.iter().all(|width| *width > 0) && fields.len() > 1;
            let shape = Set { fields: if known { fields } else { Vec::new() }, ..Set::default() };
            parts(kinds, &shape, bytes, None)
        }
    }
}

/// Bytes of a value; 0 if that varies.
pub(super) fn width(kind: Kind) -> usize {
    match kind {
        Kind::Ip4 | Kind::Mark | Kind::Host | Kind::CtState | Kind::CtStatus | Kind::AddressType => 4,
        Kind::Ip6 | Kind::Name | Kind::Text => 16,
        Kind::Port | Kind::EtherType => 2,
        Kind::Proto
        | Kind::CtDirection
        | Kind::NfProto
        | Kind::PacketType
        | Kind::IcmpType
        | Kind::Icmp6Type
        | Kind::TcpFlags => 1,
        Kind::Mac => 6,
        Kind::Number | Kind::Bytes => 0,
    }
}
