//! What a rule does: translate, count, limit, log, refuse.

use super::condition::said_value;
use super::iptables::{xt_match, xt_target};
use super::{Phrase, printable};
use crate::ruleset::expr::Expr;
use crate::ruleset::load::{Change, Value, What};
use crate::ruleset::names::Context;
use crate::ruleset::value::{Kind, quoted};
use crate::ruleset::{Family, Table};

pub(super) fn nat(
    change: Change,
    v6: Option<bool>,
    address: Option<&(Value, Value)>,
    port: Option<&(Value, Value)>,
    flags: u32,
    context: Context,
    table: &Table,
) -> String {
    let mut text = match change {
        Change::Source => "snat",
        Change::Destination => "dnat",
        Change::Masquerade => "masquerade",
        Change::Redirect => "redirect",
    }
    .to_owned();
    if let Some(v6) = v6.filter(|_| address.is_some()) {
        text += if v6 { " ip6" } else { " ip" };
    }
    let kind = match address {
        Some((Value { what: What::Constant(data), .. }, _)) if data.len() == 16 => Kind::Ip6,
        _ => Kind::Ip4,
    };
    let pair = |pair: Option<&(Value, Value)>, kind: Kind| {
        let (first, last) = pair?;
        let (first, last) = (said_value(first, kind, context, table), said_value(last, kind, context, table));
        Some(if first == last { first } else { format!("{first}-{last}") })
    };
    match (pair(address, kind), pair(port, Kind::Port)) {
        (Some(address), Some(port)) if kind == Kind::Ip6 => text += &format!(" to [{address}]:{port}"),
        (Some(address), Some(port)) => text += &format!(" to {address}:{port}"),
        (Some(address), None) => text += &format!(" to {address}"),
        (None, Some(port)) => text += &format!(" to :{port}"),
        (None, None) => {}
    }
    // NF_NAT_RANGE_*
    let names: Vec<&str> = [(4, "random"), (8, "persistent"), (16, "fully-random"), (64, "netmap")]
        .into_iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, name)| name)
        .collect();
    if names.is_empty() { text } else { format!("{text} {}", names.join(",")) }
}

pub(super) fn plain(expr: &Expr, table: &Table) -> Phrase {
    let v6 = table.family == Family::Ip6;
    Phrase::Do(match expr {
        Expr::Counter { packets, bytes } => {
            return Phrase::Count(format!("counter packets {packets} bytes {bytes}"), "counter");
        }
        Expr::Limit { rate, unit_s, burst, bytes, over } => {
            let unit = match unit_s {
                1 => "second",
                60 => "minute",
                3600 => "hour",
                86_400 => "day",
                _ => "week",
            };
            let over = if *over { "over " } else { "" };
            let (rate, burst) = if *bytes {
                let burst = if *burst > 0 { format!(" burst {}", amount(u64::from(*burst))) } else { String::new() };
                (amount(*rate), burst)
            } else {
                (rate.to_string(), format!(" burst {burst} packets"))
            };
            return Phrase::If(format!("limit rate {over}{rate}/{unit}{burst}"));
        }
        Expr::Quota { bytes, used, over } => {
            let over = if *over { "over " } else { "" };
            let used = if *used > 0 { format!(" used {used} bytes") } else { String::new() };
            return Phrase::If(format!("quota {over}{bytes} bytes{used}"));
        }
        Expr::Connlimit { count, over } => {
            return Phrase::If(format!("ct count {}{count}", if *over { "over " } else { "" }));
        }
        Expr::Log { prefix, group } => {
            let prefix = if prefix.is_empty() { String::new() } else { format!(" prefix {}", quoted(prefix)) };
            format!("log{prefix}{}", group.map(|group| format!(" group {group}")).unwrap_or_default())
        }
        Expr::Reject { kind, code } => reject(*kind, *code, v6),
        Expr::Queue { first, count, bypass } => {
            let last = first.saturating_add(count.saturating_sub(1));
            let bypass = if *bypass { " flags bypass" } else { "" };
            if last > *first { format!("queue{bypass} to {first}-{last}") } else { format!("queue{bypass} to {first}") }
        }
        Expr::Notrack => "notrack".to_owned(),
        Expr::Object { kind, name } => {
            let what = match kind {
                1 => "counter",
                2 => "quota",
                3 => "ct helper set",
                4 => "limit",
                6 => "tunnel",
                7 => "ct timeout set",
                8 => "meta secmark set",
                9 => "ct expectation set",
                10 => "synproxy",
                _ => "object",
            };
            format!("{what} name {}", quoted(name))
        }
        Expr::Match { name, revision, info } => return Phrase::If(xt_match(name, *revision, info)),
        Expr::Target { name, revision, info } => xt_target(name, *revision, info, v6),
        Expr::Other(name) => format!("[{}]", printable(name)),
        other => format!("[{other:?}]"),
    })
}

/// Bytes in the largest unit that needs no fraction.
fn amount(bytes: u64) -> String {
    match bytes {
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} mbytes", bytes >> 20),
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{} kbytes", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

/// `NFT_REJECT_ICMP_UNREACH`, `NFT_REJECT_TCP_RST`, `NFT_REJECT_ICMPX_UNREACH`.
fn reject(kind: u32, code: u8, v6: bool) -> String {
    let text = match (kind, v6, code) {
        (1, ..) => "tcp reset",
        (2, _, 0) => "icmpx no-route",
        (2, _, 1) => return "reject".to_owned(),
        (2, _, 2) => "icmpx host-unreachable",
        (2, _, 3) => "icmpx admin-prohibited",
        (0, false, 0) => "icmp net-unreachable",
        (0, false, 1) => "icmp host-unreachable",
        (0, false, 2) => "icmp prot-unreachable",
        (0, false, 3) => "icmp port-unreachable",
        (0, false, 9) => "icmp net-prohibited",
        (0, false, 10) => "icmp host-prohibited",
        (0, false, 13) => "icmp admin-prohibited",
        (0, true, 0) => "icmpv6 no-route",
        (0, true, 1) => "icmpv6 admin-prohibited",
        (0, true, 3) => "icmpv6 addr-unreachable",
        (0, true, 4) => "icmpv6 port-unreachable",
        _ => return format!("reject with code {code}"),
    };
    format!("reject with {text}")
}
