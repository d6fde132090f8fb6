//! Rules in nft's words.
//!
//! As `nft list ruleset` prints them, near enough that nobody has to translate; what `iptables-nft` wrote is in nft's words
//! where those say the same, and in those of iptables where not.

mod action;
mod condition;
mod iptables;
mod table;

use action::{nat, plain};
use condition::{left, said_value, say_test, set_words};
pub(super) use table::elements;

use super::expr::{Comparison, Verdict};
use super::load::{Clause, Is, Test, Value, What, clauses};
use super::names::{self, Context};
use super::value::{Kind, quoted};
use super::{Family, Rule, Table};

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
