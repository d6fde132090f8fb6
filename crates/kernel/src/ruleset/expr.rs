//! Expressions out of messages: every kind that the kernel has, the unknown by their names.

use raum_core::ruleset::{Comparison, Expr, Register};

use super::decode::verdict;
use crate::message::{Attribute, Attributes};

const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
/// Rules have at most 128 expressions (`NFT_RULE_MAXEXPRS`).
const MOST: usize = 128;

/// The expressions of a rule or an element.
pub(super) fn list(found: Attribute<'_>) -> Vec<Expr> {
    found.nested().take(MOST).map(one).collect()
}

/// One expression: its name, and its operands.
pub(super) fn one(element: Attribute<'_>) -> Expr {
    read(element, 0)
}

fn read(element: Attribute<'_>, depth: usize) -> Expr {
    let attributes = element.nested();
    let name = attributes.find(1).and_then(Attribute::text).unwrap_or_default();
    let data = attributes.find(2).map(Attribute::nested).unwrap_or_default();
    operands(name, data, depth).unwrap_or_else(|| Expr::Other(name.to_owned()))
}

/// A register's place, counted in words: `NFT_REG_1` to `NFT_REG_4` are four words each, `NFT_REG32_00` and on are one.
fn word(register: u32) -> Option<Register> {
    let word = match register {
        1..=4 => (register - 1) * 4,
        8..=23 => register - 8,
        _ => return None,
    };
    Register::try_from(word).ok()
}

fn operands(name: &str, data: Attributes<'_>, depth: usize) -> Option<Expr> {
    let number = |kind| data.find(kind).and_then(Attribute::be32);
    let long = |kind| data.find(kind).and_then(Attribute::be64);
    let short = |kind| data.find(kind).and_then(Attribute::be16);
    let at = |kind| number(kind).and_then(word);
    let text = |kind| data.find(kind).and_then(Attribute::text).map(str::to_owned);
    let value = |kind| Some(data.find(kind)?.nested().find(DATA_VALUE)?.bytes.to_vec());
    // from … to; where only one is given they are the same
    let pair = |first, last| at(first).map(|first| (first, at(last).unwrap_or(first)));
    Some(match name {
        "meta" => match (at(1), at(3)) {
            (Some(to), _) => Expr::Meta { key: number(2)?, to },
            (None, from) => Expr::SetMeta { key: number(2)?, from: from? },
        },
        "ct" => match (at(1), at(4)) {
            (Some(to), _) => {
                let reply = data.find(3).and_then(Attribute::u8).map(|direction| direction == 1);
                Expr::Ct { key: number(2)?, reply, to }
            }
            (None, from) => Expr::SetCt { key: number(2)?, from: from? },
        },
        "payload" => {
            let (base, offset, length) = (number(2)?, number(3)?, number(4)?);
            match (at(1), at(5)) {
                (Some(to), _) => Expr::Payload { base, offset, length, to },
                (None, from) => Expr::SetPayload { base, offset, length, from: from? },
            }
        }
        "cmp" => Expr::Cmp { from: at(1)?, how: comparison(number(2)?)?, data: value(3)? },
        "range" => Expr::Range { from: at(1)?, not: number(2)? == 1, low: value(3)?, high: value(4)? },
        // NFTA_BITWISE_OP 0 is mask and xor
        "bitwise" if number(6).unwrap_or(0) == 0 => {
            Expr::Bitwise { from: at(1)?, to: at(2)?, mask: value(4)?, xor: value(5)? }
        }
        "bitwise" => Expr::Load { name: "shifted bits".to_owned(), to: at(2)? },
        "byteorder" => Expr::Byteorder { from: at(1)?, to: at(2)?, length: number(4)?, size: number(5)? },
        "lookup" => Expr::Lookup { set: text(1)?, from: at(2)?, to: at(3), not: number(5).unwrap_or(0) & 1 == 1 },
        "fib" => Expr::Fib { to: at(1)?, result: number(2)?, flags: number(3)? },
        "immediate" if number(1)? == 0 => Expr::Verdict(verdict(data.find(2)?.nested().find(DATA_VERDICT)?.nested())?),
        "immediate" => Expr::Immediate { to: at(1)?, data: value(2)? },
        // what else loads: routing, sockets, header options, random numbers, hashes, IPsec, tunnels
        "rt" | "exthdr" | "numgen" | "xfrm" | "tunnel" | "osf" if at(1).is_some() => {
            Expr::Load { name: name.to_owned(), to: at(1)? }
        }
        "hash" | "socket" => Expr::Load { name: name.to_owned(), to: at(2)? },
        "counter" => Expr::Counter { bytes: long(1)?, packets: long(2)? },
        "limit" => Expr::Limit {
            rate: long(1)?,
            unit_s: long(2)?,
            burst: number(3).unwrap_or(0),
            bytes: number(4) == Some(1),
            over: number(5).unwrap_or(0) & 1 == 1,
        },
        "quota" => Expr::Quota { bytes: long(1)?, over: number(2).unwrap_or(0) & 1 == 1, used: long(4).unwrap_or(0) },
        "connlimit" => Expr::Connlimit { count: number(1)?, over: number(2).unwrap_or(0) & 1 == 1 },
        "log" => Expr::Log { prefix: text(2).unwrap_or_default(), group: short(1) },
        "masq" => Expr::Masquerade { flags: number(1).unwrap_or(0), ports: pair(2, 3) },
        "redir" => Expr::Redirect { port: pair(1, 2), flags: number(3).unwrap_or(0) },
        "nat" => Expr::Nat {
            source: number(1)? == 0,
            v6: number(2)? == 10,
            address: pair(3, 4),
            port: pair(5, 6),
            flags: number(7).unwrap_or(0),
        },
        "reject" => Expr::Reject { kind: number(1)?, code: data.find(2).and_then(Attribute::u8).unwrap_or(0) },
        "queue" => Expr::Queue {
            first: short(1).unwrap_or(0),
            count: short(2).unwrap_or(1),
            bypass: short(3).unwrap_or(0) & 1 == 1,
        },
        "notrack" => Expr::Notrack,
        "dynset" => {
            let inner = data.find(10).map(Attribute::nested).unwrap_or_default().chain(data.find(7));
            // an expression in a set holds no further sets
            let exprs = if depth > 1 { Vec::new() } else { inner.take(MOST).map(|one| read(one, depth + 1)).collect() };
            Expr::Dynset { set: text(1)?, update: number(3)? == 1, key: at(4)?, exprs }
        }
        "match" => Expr::Match { name: text(1)?, revision: number(2).unwrap_or(0), info: data.find(3)?.bytes.to_vec() },
        "target" => {
            Expr::Target { name: text(1)?, revision: number(2).unwrap_or(0), info: data.find(3)?.bytes.to_vec() }
        }
        "objref" => Expr::Object { kind: number(1)?, name: text(2)? },
        _ => return None,
    })
}

fn comparison(number: u32) -> Option<Comparison> {
    Some(match number {
        0 => Comparison::Equal,
        1 => Comparison::Differs,
        2 => Comparison::Less,
        3 => Comparison::AtMost,
        4 => Comparison::Greater,
        5 => Comparison::AtLeast,
        _ => return None,
    })
}
