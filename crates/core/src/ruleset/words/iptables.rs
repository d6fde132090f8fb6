//! Matches and targets of iptables inside nf_tables rules, in nft's words where those say the same.

use crate::ruleset::value::{self, Kind, quoted};
use crate::ruleset::xt::{self, Action, Condition};

fn port_range(low: u16, high: u16) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

pub(super) fn xt_match(name: &str, revision: u32, info: &[u8]) -> String {
    let sign = |not: bool| if not { "!= " } else { "" };
    let Some(condition) = xt::condition(name, revision, info) else { return format!("xt match {}", quoted(name)) };
    let mut words: Vec<String> = Vec::new();
    match condition {
        // told as the rule's comment
        Condition::Comment(_) => {}
        Condition::Connection { state, status, more } => {
            let show = |kind, bits: u32| value::show(kind, &bits.to_ne_bytes());
            if let Some((bits, not)) = state {
                words.push(format!("ct state {}{}", sign(not), show(Kind::CtState, bits)));
            }
            if let Some((bits, not)) = status {
                words.push(format!("ct status {}{}", sign(not), show(Kind::CtStatus, bits)));
            }
            if more {
                words.push("-m conntrack …".to_owned());
            }
        }
        Condition::AddressType { source, destination, limited } => {
            for (what, asked) in [("saddr", source), ("daddr", destination)] {
                if let Some((types, not)) = asked {
                    let names: Vec<String> =
                        (0..16).filter(|bit| types & 1 << bit != 0).map(value::address_type).collect();
                    let limited = if limited { " . iif" } else { "" };
                    words.push(format!("fib {what}{limited} type {}{}", sign(not), names.join(",")));
                }
            }
        }
        Condition::Ports { proto, source, destination, more } => {
            let proto = value::proto(proto);
            for (what, asked) in [("sport", source), ("dport", destination)] {
                if let Some((low, high, not)) = asked {
                    words.push(format!("{proto} {what} {}{}", sign(not), port_range(low, high)));
                }
            }
            if more {
                words.push(format!("-m {proto} …"));
            }
        }
        Condition::Multiport { source, destination, ports, not } => {
            let what = match (source, destination) {
                (true, true) => "port",
                (true, false) => "sport",
                _ => "dport",
            };
            let ports: Vec<String> = ports.into_iter().map(|(low, high)| port_range(low, high)).collect();
            words.push(format!("th {what} {}{{ {} }}", sign(not), ports.join(", ")));
        }
        Condition::Mark { mark, mask, not } => {
            let mask = if mask == u32::MAX { String::new() } else { format!(" & 0x{mask:08x}") };
            let equal = if not {
                "!="
            } else if mask.is_empty() {
                ""
            } else {
                "=="
            };
            let equal = if equal.is_empty() { String::new() } else { format!("{equal} ") };
            words.push(format!("meta mark{mask} {equal}0x{mark:08x}"));
        }
        Condition::Set { index, parts, not } => {
            words.push(format!("-m set {}--match-set #{index} {parts}", if not { "! " } else { "" }));
        }
        Condition::Icmp { v6, kind, codes, not } => {
            let (program, not) = (if v6 { "icmpv6" } else { "icmp" }, if not { "! " } else { "" });
            let code = if codes == (0, 255) { String::new() } else { format!("/{}", codes.0) };
            let kind = kind.map_or_else(|| "any".to_owned(), |kind| kind.to_string());
            words.push(format!("-m {program} {not}--{program}-type {kind}{code}"));
        }
        Condition::Hops { v6, mode, hops } => {
            let name = if v6 { "hl" } else { "ttl" };
            let way = match mode {
                0 | 1 => "eq",
                2 => "lt",
                _ => "gt",
            };
            let not = if mode == 1 { "! " } else { "" };
            words.push(format!("-m {name} {not}--{name}-{way} {hops}"));
        }
        Condition::Port { input, output, not } => {
            let not = if not { "! " } else { "" };
            for (option, name) in [("--physdev-in", input), ("--physdev-out", output)] {
                if let Some(name) = name {
                    words.push(format!("-m physdev {not}{option} {name}"));
                }
            }
        }
    }
    words.join(" ")
}

pub(super) fn xt_target(name: &str, revision: u32, info: &[u8], v6: bool) -> String {
    let to = |range: xt::Range| {
        let address = range
            .addresses
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
        let port = range.ports.map(|(low, high)| port_range(low, high));
        match (address, port) {
            (Some(address), Some(port)) if v6 => format!(" to [{address}]:{port}"),
            (Some(address), Some(port)) => format!(" to {address}:{port}"),
            (Some(address), None) => format!(" to {address}"),
            (None, Some(port)) => format!(" to :{port}"),
            (None, None) => String::new(),
        }
    };
    match xt::action(name, revision, info, v6) {
        Some(Action::Masquerade(range)) => format!("masquerade{}", to(range)),
        Some(Action::Source(range)) => format!("snat{}", to(range)),
        Some(Action::Destination(range)) => format!("dnat{}", to(range)),
        Some(Action::Redirect(range)) => format!("redirect{}", to(range)),
        Some(Action::Log(prefix)) => format!("log prefix {}", quoted(&prefix)),
        Some(Action::Reject(with)) => format!("reject with {with}"),
        Some(Action::GoesOn) | None => format!("xt target {}", quoted(name)),
    }
}
