//! Matches and targets of iptables inside nf_tables, as `iptables-nft` writes them: structs of the kernel's headers
//! (include/uapi/linux/netfilter/xt_*.h), in the machine's byte order but for addresses and ports. Of the many that there
//! are, those are read that decide about reaching and being reached.

use std::net::IpAddr;

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `-m comment`: always true.
    Comment(String),
    /// `-m conntrack`, `-m state`.
    Connection {
        /// Bits as in `ct state` of nf_tables, and whether none of them may be set.
        state: Option<(u32, bool)>,
        /// `IPS_*`, likewise.
        status: Option<(u32, bool)>,
        /// It asks for more than these.
        more: bool,
    },
    /// `-m addrtype`: bits are `1 << RTN_*`; whether none of them may be.
    AddressType {
        /// Of the source.
        source: Option<(u32, bool)>,
        /// Of the destination.
        destination: Option<(u32, bool)>,
        /// Only of one interface's addresses.
        limited: bool,
    },
    /// `-m tcp`, `-m udp`.
    Ports {
        /// By number.
        proto: u8,
        /// The source port: from, to, and whether it may not be so.
        source: Option<(u16, u16, bool)>,
        /// The destination port.
        destination: Option<(u16, u16, bool)>,
        /// It asks for flags or options, too.
        more: bool,
    },
    /// `-m multiport`.
    Multiport {
        /// The source port may be it.
        source: bool,
        /// The destination port may be it.
        destination: bool,
        /// From … to.
        ports: Vec<(u16, u16)>,
        /// None of them.
        not: bool,
    },
    /// `-m mark`.
    Mark {
        /// The value.
        mark: u32,
        /// Of these bits.
        mask: u32,
        /// Not it.
        not: bool,
    },
    /// `-m set`: an ipset, of which the rule knows only the number.
    Set {
        /// The number.
        index: u16,
        /// `src,dst`: for each part of the key.
        parts: String,
        /// Not in it.
        not: bool,
    },
    /// `-p icmp --icmp-type`, `-p icmpv6 --icmpv6-type`.
    Icmp {
        /// ICMPv6.
        v6: bool,
        /// The type; None for any.
        kind: Option<u8>,
        /// The code: from, to.
        codes: (u8, u8),
        /// Not so.
        not: bool,
    },
    /// `-m ttl`, `-m hl`: hops that are left, equal (0), not equal (1), less (2) or more (3) than this.
    Hops {
        /// Of IPv6.
        v6: bool,
        /// How they compare.
        mode: u8,
        /// With what.
        hops: u8,
    },
    /// `-m physdev`: the port of a bridge.
    Port {
        /// Where it came in.
        input: Option<String>,
        /// Where it goes out.
        output: Option<String>,
        /// Not so.
        not: bool,
    },
}

/// What a target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `MASQUERADE`.
    Masquerade(Range),
    /// `SNAT`.
    Source(Range),
    /// `DNAT`.
    Destination(Range),
    /// `REDIRECT`.
    Redirect(Range),
    /// `LOG`, `NFLOG`.
    Log(String),
    /// `REJECT`, with what.
    Reject(&'static str),
    /// `MARK`, `CONNMARK`, `CT`, …: the packet goes on.
    GoesOn,
}

/// To what a source or destination changes (`struct nf_nat_range`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// The first and the last address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// The first and the last port.
    pub ports: Option<(u16, u16)>,
}

fn u8_at(info: &[u8], at: usize) -> Option<u8> {
    info.get(at).copied()
}

fn u16_at(info: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*info.get(at..)?.first_chunk()?))
}

fn u32_at(info: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk()?))
}

fn text_at(info: &[u8], at: usize, length: usize) -> String {
    let bytes = info.get(at..).map(|rest| rest.get(..length).unwrap_or(rest)).unwrap_or_default();
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Reads a match; None if it is not one of the known.
#[must_use]
pub fn condition(name: &str, revision: u32, info: &[u8]) -> Option<Condition> {
    match (name, revision) {
        ("comment", 0) => Some(Condition::Comment(text_at(info, 0, 256))),
        ("conntrack", 2 | 3) => {
            let (flags, inverted) = (u16_at(info, 146)?, u16_at(info, 148)?);
            let asked = |bit: u16, value: u32| (flags & bit != 0).then_some((value, inverted & bit != 0));
            let state = states(u32::from(u16_at(info, 150)?));
            Some(Condition::Connection {
                // what SNAT and DNAT did is a status for nf_tables
                state: state.and_then(|(state, status)| asked(1, state).filter(|_| status == 0)),
                status: asked(1 << 6, u32::from(u16_at(info, 152)?))
                    .or_else(|| state.and_then(|(state, status)| asked(1, status).filter(|_| state == 0))),
                more: flags & !(1 | 1 << 6 | 1 << 13) != 0
                    || (flags & 1 != 0 && state.is_none_or(|(state, status)| (state != 0) == (status != 0))),
            })
        }
        ("state", 0) => {
            let (state, status) = states(u32_at(info, 0)?)?;
            Some(Condition::Connection { state: Some((state, false)), status: None, more: status != 0 })
        }
        // struct ipt_icmp and ip6t_icmp; 255 is any type of IPv4 alone
        ("icmp" | "icmp6", 0) => Some(Condition::Icmp {
            v6: name == "icmp6",
            kind: u8_at(info, 0).filter(|kind| *kind != 255 || name == "icmp6"),
            codes: (u8_at(info, 1)?, u8_at(info, 2)?),
            not: u8_at(info, 3)? & 1 != 0,
        }),
        ("ttl" | "hl", 0) => Some(Condition::Hops { v6: name == "hl", mode: u8_at(info, 0)?, hops: u8_at(info, 1)? }),
        ("addrtype", 1) => {
            let (source, destination, flags) = (u16_at(info, 0)?, u16_at(info, 2)?, u32_at(info, 4)?);
            let asked = |types: u16, bit: u32| (types != 0).then_some((u32::from(types), flags & bit != 0));
            Some(Condition::AddressType {
                source: asked(source, 1),
                destination: asked(destination, 2),
                limited: flags & 12 != 0,
            })
        }
        ("tcp", 0) => {
            let inverted = u8_at(info, 11)?;
            let more = u8_at(info, 8)? != 0 || u8_at(info, 9)? != 0;
            ports(6, info, inverted, more)
        }
        ("udp", 0) => ports(17, info, u8_at(info, 8)?, false),
        ("multiport", 1) => {
            let (which, count) = (u8_at(info, 0)?, usize::from(u8_at(info, 1)?.min(15)));
            let mut found = Vec::new();
            let mut at = 0;
            while at < count {
                let port = u16_at(info, 2 + 2 * at)?;
                let ranged = u8_at(info, 32 + at)? != 0;
                let last = if ranged { u16_at(info, 4 + 2 * at)? } else { port };
                found.push((port, last));
                at += if ranged { 2 } else { 1 };
            }
            let not = u8_at(info, 47)? != 0;
            Some(Condition::Multiport { source: which != 1, destination: which != 0, ports: found, not })
        }
        ("mark", 1) => {
            Some(Condition::Mark { mark: u32_at(info, 0)?, mask: u32_at(info, 4)?, not: u8_at(info, 8)? != 0 })
        }
        ("set", 1..=4) => {
            let (index, dimensions, flags) = (u16_at(info, 0)?, u8_at(info, 2)?, u8_at(info, 3)?);
            let part = |at: u8| if flags & 1 << at != 0 { "src" } else { "dst" };
            let parts: Vec<&str> = (1..=dimensions.min(6)).map(part).collect();
            // IPSET_INV_MATCH is the lowest bit
            Some(Condition::Set { index, parts: parts.join(","), not: flags & 1 != 0 })
        }
        ("physdev", 0) => {
            let (inverted, asked) = (u8_at(info, 64)?, u8_at(info, 65)?);
            Some(Condition::Port {
                input: (asked & 2 != 0).then(|| text_at(info, 0, 16)),
                output: (asked & 8 != 0).then(|| text_at(info, 32, 16)),
                not: inverted & 10 != 0,
            })
        }
        _ => None,
    }
}

/// Bits of `XT_CONNTRACK_STATE` as `ct state` and `ct status` of nf_tables have them; None if there are others.
fn states(bits: u32) -> Option<(u32, u32)> {
    // invalid, established, related, new are the same bits; then SNAT, DNAT, untracked
    let known = 0b1111 | 1 << 6 | 1 << 7 | 1 << 8;
    let state = bits & 0b1111 | if bits & 1 << 8 != 0 { 64 } else { 0 };
    let status = if bits & 1 << 6 != 0 { 16 } else { 0 } | if bits & 1 << 7 != 0 { 32 } else { 0 };
    (bits & !known == 0).then_some((state, status))
}

fn ports(proto: u8, info: &[u8], inverted: u8, more: bool) -> Option<Condition> {
    let range = |at: usize, bit: u8| {
        let (low, high) = (u16_at(info, at)?, u16_at(info, at + 2)?);
        Some(((low, high) != (0, u16::MAX) || inverted & bit != 0).then_some((low, high, inverted & bit != 0)))
    };
    Some(Condition::Ports { proto, source: range(0, 1)?, destination: range(4, 2)?, more })
}

/// Reads a target; None if it is not one of the known.
#[must_use]
pub fn action(name: &str, revision: u32, info: &[u8], v6: bool) -> Option<Action> {
    match (name, revision) {
        ("MASQUERADE", 0) => range(info, v6, !v6).map(Action::Masquerade),
        ("SNAT", 0) => range(info, v6, true).map(Action::Source),
        ("SNAT", 1 | 2) => range(info, v6, false).map(Action::Source),
        ("DNAT", 0) => range(info, v6, true).map(Action::Destination),
        ("DNAT", 1 | 2) => range(info, v6, false).map(Action::Destination),
        ("REDIRECT", 0) => range(info, v6, !v6).map(Action::Redirect),
        ("LOG", 0) => Some(Action::Log(text_at(info, 2, 30))),
        ("NFLOG", 0) => Some(Action::Log(text_at(info, 12, 64))),
        ("REJECT", 0) => Some(Action::Reject(reject(u32_at(info, 0)?, v6))),
        ("MARK" | "CONNMARK" | "CT" | "NOTRACK" | "TCPMSS" | "CHECKSUM" | "CLASSIFY" | "SET" | "TRACE", _) => {
            Some(Action::GoesOn)
        }
        _ => None,
    }
}

/// `struct nf_nat_ipv4_multi_range_compat` (old), or `struct nf_nat_range`.
fn range(info: &[u8], v6: bool, old: bool) -> Option<Range> {
    let (flags_at, first, last, port) = if old { (4, 8, 12, 16) } else { (0, 4, 20, 36) };
    let flags = u32_at(info, flags_at)?;
    let address = |at: usize| -> Option<IpAddr> {
        if v6 && !old {
            Some(IpAddr::from(*info.get(at..)?.first_chunk::<16>()?))
        } else {
            Some(IpAddr::from(*info.get(at..)?.first_chunk::<4>()?))
        }
    };
    let number = |at: usize| Some(u16::from_be_bytes(*info.get(at..)?.first_chunk()?));
    let addresses = if flags & 1 != 0 { Some((address(first)?, address(last)?)) } else { None };
    let ports = if flags & 2 != 0 { Some((number(port)?, number(port + 2)?)) } else { None };
    Some(Range { addresses, ports })
}

/// `enum ipt_reject_with`, `enum ip6t_reject_with`.
fn reject(number: u32, v6: bool) -> &'static str {
    if v6 {
        return match number {
            0 => "icmp6-no-route",
            1 => "icmp6-adm-prohibited",
            2 => "icmp6-not-neighbour",
            3 => "icmp6-addr-unreachable",
            4 => "icmp6-port-unreachable",
            6 => "tcp-reset",
            _ => "icmp6",
        };
    }
    match number {
        0 => "icmp-net-unreachable",
        1 => "icmp-host-unreachable",
        2 => "icmp-proto-unreachable",
        3 => "icmp-port-unreachable",
        5 => "icmp-net-prohibited",
        6 => "icmp-host-prohibited",
        7 => "tcp-reset",
        8 => "icmp-admin-prohibited",
        _ => "icmp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_nothing() {
        for name in ["comment", "conntrack", "state", "addrtype", "tcp", "udp", "multiport", "mark", "set", "physdev"] {
            for length in 0..200 {
                for byte in [0, 1, 0xff] {
                    let info = vec![byte; length];
                    for revision in 0..5 {
                        drop(condition(name, revision, &info));
                    }
                }
            }
        }
        for name in ["MASQUERADE", "SNAT", "DNAT", "REDIRECT", "LOG", "NFLOG", "REJECT"] {
            for length in 0..100 {
                for revision in 0..3 {
                    drop(action(name, revision, &vec![0xff; length], length % 2 == 0));
                }
            }
        }
    }
}
