//! Rules in nft's words.
//!
//! As `nft list ruleset` prints them, near enough that nobody has to translate; what `iptables-nft` wrote is in nft's words
//! where those say the same, and in those of iptables where not.

use std::fmt;

use super::expr::{Comparison, Expr, Verdict};
use super::load::{Change, Clause, Is, Test, Value, What, clauses};
use super::names::{self, Context, Part};
use super::set::Set;
use super::value::{self, Kind, quoted};
use super::xt::{self, Action, Condition};
use super::{Chain, Family, Rule, Ruleset, Table};

impl Rule {
    /// The rule as `nft` prints it, with what its counters have counted.
    #[must_use]
    pub fn words(&self, table: &Table) -> String {
        self.said(table, true)
    }

    /// The same without what counts: `nft --stateless`.
    #[must_use]
    pub fn brief(&self, table: &Table) -> String {
        self.said(table, false)
    }

    fn said(&self, table: &Table, state: bool) -> String {
        let mut words: Vec<String> = phrases(self, table).into_iter().map(|phrase| phrase.text(state)).collect();
        words.retain(|text| !text.is_empty());
        if let Some(comment) = &self.comment {
            words.push(format!("comment {}", quoted(comment)));
        }
        words.join(" ")
    }
}

impl Chain {
    /// `type filter hook forward priority filter; policy drop;`, or nothing.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let base = self.base.as_ref()?;
        let devices = match base.devices.as_slice() {
            [] => String::new(),
            [one] => format!(" device {}", quoted(one)),
            more => format!(" devices = {{ {} }}", more.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")),
        };
        let policy = if base.drops { "drop" } else { "accept" };
        Some(format!(
            "type {} hook {}{devices} priority {}; policy {policy};",
            printable(&base.kind),
            base.hook,
            base.priority
        ))
    }
}

impl fmt::Display for Ruleset {
    /// As `nft list ruleset`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.iter().try_for_each(|table| table.fmt(f))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {{", self.family, printable(&self.name))?;
        if let Some(comment) = &self.comment {
            writeln!(f, "\tcomment {}", quoted(comment))?;
        }
        if self.dormant {
            writeln!(f, "\tflags dormant")?;
        }
        let mut first = self.comment.is_none() && !self.dormant;
        let mut apart = |f: &mut fmt::Formatter<'_>| if std::mem::take(&mut first) { Ok(()) } else { writeln!(f) };
        for set in self.sets.iter().filter(|set| !set.anonymous) {
            apart(f)?;
            write_set(f, set)?;
        }
        for chain in &self.chains {
            apart(f)?;
            writeln!(f, "\tchain {} {{", printable(&chain.name))?;
            if let Some(comment) = &chain.comment {
                writeln!(f, "\t\tcomment {}", quoted(comment))?;
            }
            if let Some(place) = chain.place() {
                writeln!(f, "\t\t{place}")?;
            }
            for rule in &chain.rules {
                writeln!(f, "\t\t{}", rule.words(self))?;
            }
            writeln!(f, "\t}}")?;
        }
        writeln!(f, "}}")
    }
}

fn write_set(f: &mut fmt::Formatter<'_>, set: &Set) -> fmt::Result {
    writeln!(f, "\t{} {} {{", if set.map { "map" } else { "set" }, printable(&set.name))?;
    let data = if set.map { format!(" : {}", data_type(set)) } else { String::new() };
    writeln!(f, "\t\ttype {}{data}", type_names(set.key_type))?;
    if let Some(comment) = &set.comment {
        writeln!(f, "\t\tcomment {}", quoted(comment))?;
    }
    let flags: Vec<&str> = [(set.interval, "interval"), (set.dynamic, "dynamic")]
        .into_iter()
        .filter(|flag| flag.0)
        .map(|flag| flag.1)
        .collect();
    if !flags.is_empty() {
        writeln!(f, "\t\tflags {}", flags.join(","))?;
    }
    if !set.elements.is_empty() {
        writeln!(
            f,
            "\t\telements = {{ {} }}",
            elements(set, &value::kinds_of_type(set.key_type)).join(",\n\t\t\t     ")
        )?;
    }
    writeln!(f, "\t}}")
}

fn type_names(mut number: u32) -> String {
    let mut names = Vec::new();
    while number != 0 {
        names.push(value::type_name(number & 0x3f));
        number >>= 6;
    }
    names.reverse();
    if names.is_empty() { "integer".to_owned() } else { names.join(" . ") }
}

fn data_type(set: &Set) -> String {
    // NFT_DATA_VERDICT
    if set.data_type == 0xffff_ff00 { "verdict".to_owned() } else { type_names(set.data_type) }
}

/// The elements of a set in words, by the kinds of its key.
pub(super) fn elements(set: &Set, kinds: &[Kind]) -> Vec<String> {
    let data = value::kinds_of_type(if set.data_type == 0xffff_ff00 { 0 } else { set.data_type });
    set.elements.iter().map(|element| value::element(kinds, &data, set, element)).collect()
}

/// Names from the kernel, harmless.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A part of a rule in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phrase {
    /// A condition.
    If(String),
    /// An action.
    Do(String),
    /// A counter or the like, and what it is without its state.
    Count(String, &'static str),
}

impl Phrase {
    fn text(self, state: bool) -> String {
        match self {
            Self::If(text) | Self::Do(text) => text,
            Self::Count(text, _) if state => text,
            Self::Count(_, stateless) => stateless.to_owned(),
        }
    }
}

/// What the table itself says of its packets.
pub(super) fn context(table: &Table) -> Context {
    let v6 = match table.family {
        Family::Ip => Some(false),
        Family::Ip6 => Some(true),
        _ => None,
    };
    Context { v6, proto: None }
}

/// The rule, part by part. A question for the family or the protocol that the next one implies is left out, as nft does.
pub(super) fn phrases(rule: &Rule, table: &Table) -> Vec<Phrase> {
    let mut context = context(table);
    let mut phrases: Vec<Option<Phrase>> = Vec::new();
    let (mut family_at, mut proto_at) = (None, None);
    for clause in clauses(rule, table) {
        let bases = bases(&clause);
        let implied = [(1, &mut family_at), (2, &mut proto_at)];
        for (base, at) in implied {
            // ICMP is of one family
            let icmp = bases.contains(&2) && matches!(context.proto, Some(1 | 58));
            let said = icmp || bases.contains(&base) && (base != 2 || context.proto.is_some_and(has_name));
            if let Some(at) = at.take_if(|_| said)
                && let Some(phrase) = phrases.get_mut::<usize>(at)
            {
                *phrase = None;
            }
        }
        if let Clause::Test(test) = &clause {
            match known(test) {
                Some((15, number)) => {
                    context.v6 = Some(number == 10);
                    family_at = Some(phrases.len());
                }
                Some((16, number)) => {
                    context.proto = Some(number);
                    proto_at = Some(phrases.len());
                }
                _ => {}
            }
        }
        let said = say(&clause, context, table);
        phrases.extend(said.into_iter().map(Some));
    }
    phrases.into_iter().flatten().collect()
}

/// Do fields of this protocol have names of their own?
fn has_name(proto: u8) -> bool {
    matches!(proto, 1 | 6 | 17 | 58 | 132)
}

/// Which headers a clause looks into.
fn bases(clause: &Clause) -> Vec<u32> {
    let of: &[Value] = match clause {
        Clause::Test(test) => &test.of,
        Clause::VerdictMap { of, .. } => of,
        Clause::Dynset { key, .. } => key,
        Clause::Nat { address: Some((Value { what: What::Map { key, .. }, .. }, _)), .. } => key,
        _ => &[],
    };
    let base = |value: &Value| match value.what {
        What::Payload { base, .. } => Some(base),
        _ => None,
    };
    of.iter().filter_map(base).collect()
}

/// The family or protocol that a condition asks for: the key, and the number. The protocol may be asked of the header, too.
fn known(test: &Test) -> Option<(u32, u8)> {
    let ([value], Is::Compared(Comparison::Equal, data)) = (test.of.as_slice(), &test.is) else { return None };
    match (&value.what, data.as_slice()) {
        (What::Meta(key @ (15 | 16)), [number]) if value.mask.is_none() => Some((*key, *number)),
        (What::Payload { base: 1, offset: 9, length: 1 }, [number]) if value.mask.is_none() => Some((16, *number)),
        _ => None,
    }
}

fn say(clause: &Clause, context: Context, table: &Table) -> Vec<Phrase> {
    vec![Phrase::Do(match clause {
        Clause::Test(test) => {
            return say_test(test, context, table).into_iter().map(Phrase::If).collect();
        }
        Clause::Plain(expr) => return vec![plain(expr, table)],
        Clause::Verdict(verdict) => self::verdict(verdict),
        Clause::VerdictMap { of, set } => format!("{} vmap {}", left(of, context), set_words(set, of, context, table)),
        Clause::Nat { change, v6, address, port, flags } => {
            let inet = *v6 != self::context(table).v6;
            nat(*change, v6.filter(|_| inet), address.as_ref(), port.as_ref(), *flags, context, table)
        }
        Clause::SetMeta { key, value } => {
            let part = names::meta(*key);
            format!("{} set {}", part.name, said_value(value, part.kind, context, table))
        }
        Clause::SetCt { key, value } => {
            let (name, kind) = names::ct(*key);
            format!("ct {name} set {}", said_value(value, kind, context, table))
        }
        Clause::SetPayload { what, value } => {
            let parts = names::parts(&Value::of(what.clone()), context);
            let name = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(" . ");
            let kind = parts.first().map_or(Kind::Bytes, |part| part.kind);
            format!("{name} set {}", said_value(value, kind, context, table))
        }
        Clause::Dynset { set, update, key, exprs } => {
            let does = if *update { "update" } else { "add" };
            let state: String = exprs.iter().map(|expr| format!(" {}", plain(expr, table).text(false))).collect();
            format!("{does} @{} {{ {}{state} }}", printable(set), left(key, context))
        }
    })]
}

/// A verdict.
pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Continue => "continue".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {}", printable(chain)),
        Verdict::Goto(chain) => format!("goto {}", printable(chain)),
        Verdict::Queue => "queue".to_owned(),
        Verdict::Other(code) => format!("verdict {code}"),
    }
}

fn left(of: &[Value], context: Context) -> String {
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
fn set_words(name: &str, of: &[Value], context: Context, table: &Table) -> String {
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
fn said_value(value: &Value, kind: Kind, context: Context, table: &Table) -> String {
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

fn nat(
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

fn plain(expr: &Expr, table: &Table) -> Phrase {
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

fn port_range(low: u16, high: u16) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

fn xt_match(name: &str, revision: u32, info: &[u8]) -> String {
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

fn xt_target(name: &str, revision: u32, info: &[u8], v6: bool) -> String {
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
