//! What a rule asks, and the values that it asks for or sets: `ip saddr 10.0.0.0/8`, `tcp dport @web`.

use super::{elements, printable};
use crate::ruleset::Table;
use crate::ruleset::expr::Comparison;
use crate::ruleset::load::{Is, Test, Value, What};
use crate::ruleset::names::{self, Context, Part};
use crate::ruleset::value::{self, Kind};

pub(super) fn left(of: &[Value], context: Context) -> String {
    let names = of.iter().flat_map(|value| {
        let parts = names::parts(value, context);
        let mask = value.mask.as_ref().map(|mask| masked(mask, parts.first()));
        parts.into_iter().map(move |part| part.name + mask.as_deref().unwrap_or_default())
    });
    names.collect::<Vec<_>>().join(" . ")
}

fn masked(mask: &[u8], part: Option<&Part>) -> String {
    format!(" & {}", value::show(mask_kind(part), mask))
}

/// Masks of addresses read like addresses, others like numbers.
fn mask_kind(part: Option<&Part>) -> Kind {
    match part.map(|part| part.kind) {
        Some(kind @ (Kind::Ip4 | Kind::Ip6 | Kind::Mark)) => kind,
        Some(Kind::Host) => Kind::Mark,
        _ => Kind::Bytes,
    }
}

/// `{ tcp, udp }`, or `@name`.
pub(super) fn set_words(name: &str, of: &[Value], context: Context, table: &Table) -> String {
    match table.set(name) {
        Some(set) if set.anonymous => {
            let mut kinds: Vec<Kind> =
                of.iter().flat_map(|value| names::parts(value, context)).map(|part| part.kind).collect();
            let typed = value::kinds_of_type(set.key_type);
            if typed.len() == kinds.len() {
                // the type knows where the name does not
                let or = |(kind, typed)| if matches!(kind, Kind::Bytes | Kind::Number) { typed } else { kind };
                kinds = kinds.into_iter().zip(typed).map(or).collect();
            }
            format!("{{ {} }}", elements(set, &kinds).join(", "))
        }
        _ => format!("@{}", printable(name)),
    }
}

/// What a test is about and how it reads: the left side, the operator with its space, the right side.
pub(super) fn say_test(test: &Test, context: Context, table: &Table) -> Vec<String> {
    let not = |not: bool| if not { "!= " } else { "" };
    match &test.is {
        Is::In { not: negative, set } => {
            let right = set_words(set, &test.of, context, table);
            vec![format!("{} {}{right}", left(&test.of, context), not(*negative))]
        }
        Is::Between { not: negative, low, high } => {
            let kind = single(test, context).map_or(Kind::Number, |part| part.kind);
            let (low, high) = (own_order(test, kind, low), own_order(test, kind, high));
            vec![format!("{} {}{}", left(&test.of, context), not(*negative), value::range(kind, &low, &high))]
        }
        Is::Compared(how, data) => compared(test, *how, data, context),
    }
}

fn single(test: &Test, context: Context) -> Option<Part> {
    let [value] = test.of.as_slice() else { return None };
    let mut parts = names::parts(value, context);
    (parts.len() == 1).then(|| parts.remove(0))
}

/// `!= ` and so on; nothing for equality.
fn operator(how: Comparison) -> &'static str {
    match how {
        Comparison::Equal => "",
        Comparison::Differs => "!= ",
        Comparison::Less => "< ",
        Comparison::AtMost => "<= ",
        Comparison::Greater => "> ",
        Comparison::AtLeast => ">= ",
    }
}

fn compared(test: &Test, how: Comparison, data: &[u8], context: Context) -> Vec<String> {
    let op = operator(how);
    let [value] = test.of.as_slice() else {
        return vec![format!("{} {op}{}", left(&test.of, context), value::show(Kind::Bytes, data))];
    };
    let parts = names::parts(value, context);
    let [part] = parts.as_slice() else {
        // two conditions that nft has put into one comparison
        let each = parts.iter().map(|part| {
            let cut = data.get(part.at.clone()).unwrap_or_default();
            format!("{} {op}{}", part.name, right(part, cut))
        });
        return each.collect();
    };
    let data = &own_order(test, part.kind, data);
    let Some(mask) = &value.mask else { return vec![format!("{} {op}{}", part.name, right(part, data))] };
    let zero = data.iter().all(|byte| *byte == 0);
    let text = match (part.kind, how) {
        (Kind::CtState | Kind::CtStatus | Kind::TcpFlags, Comparison::Differs) if zero => {
            format!("{} {}", part.name, value::show(part.kind, mask))
        }
        (Kind::CtState | Kind::CtStatus | Kind::TcpFlags, Comparison::Equal) if zero => {
            format!("{} ! {}", part.name, value::show(part.kind, mask))
        }
        (Kind::TcpFlags, _) => {
            format!("{} {op}{} / {}", part.name, value::show(part.kind, data), value::show(part.kind, mask))
        }
        (Kind::Ip4 | Kind::Ip6, _) if value::prefix_length(mask).is_some() => {
            let length = value::prefix_length(mask).unwrap_or(0);
            format!("{} {op}{}/{length}", part.name, value::show(part.kind, data))
        }
        (kind, _) => {
            let op = if how == Comparison::Equal { "== " } else { op };
            format!("{}{} {op}{}", part.name, masked(mask, Some(part)), value::show(kind, data))
        }
    };
    vec![text]
}

/// A number of the machine's own that was compared in the network's order, in its own order again.
fn own_order(test: &Test, kind: Kind, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let own = matches!(kind, Kind::Host | Kind::Mark | Kind::CtState | Kind::CtStatus);
    if own && cfg!(target_endian = "little") && test.of.iter().any(|value| value.turned) {
        data.reverse();
    }
    data
}

/// A value, or the prefix whose bytes were loaded.
fn right(part: &Part, data: &[u8]) -> String {
    if data.len() < part.whole && matches!(part.kind, Kind::Ip4 | Kind::Ip6) {
        let mut bytes = data.to_vec();
        bytes.resize(part.whole, 0);
        return format!("{}/{}", value::show(part.kind, &bytes), data.len() * 8);
    }
    value::show(part.kind, data)
}

/// What a register is set to: a constant, something of the packet, bits of either.
pub(super) fn said_value(value: &Value, kind: Kind, context: Context, table: &Table) -> String {
    let base = match &value.what {
        What::Constant(data) => return value::show(kind, data),
        What::Map { key, set } => format!("{} map {}", left(key, context), set_words(set, key, context, table)),
        _ => names::parts(value, context).into_iter().map(|part| part.name).collect::<Vec<_>>().join(" . "),
    };
    let mask = value.mask.as_ref().filter(|mask| mask.iter().any(|byte| *byte != 0xff));
    let mask = mask.map(|mask| format!(" & {}", value::show(kind, mask))).unwrap_or_default();
    let xor = value.xor.as_ref().map(|xor| format!(" ^ {}", value::show(kind, xor))).unwrap_or_default();
    base + &mask + &xor
}
