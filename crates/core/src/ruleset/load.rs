//! What a rule says, once its registers are followed: conditions on named things, and what is done.

use std::collections::HashMap;

use super::expr::{Comparison, Expr, Register, Verdict};
use super::{Rule, Table};

/// What a register holds, as far as reading the rule tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Meta(u32),
    Ct { key: u32, reply: Option<bool> },
    Payload { base: u32, offset: u32, length: u32 },
    Fib { result: u32, flags: u32 },
    Constant(Vec<u8>),
    Map { key: Vec<Value>, set: String },
    Other(String),
}

/// The same, after masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub what: What,
    pub mask: Option<Vec<u8>>,
    pub xor: Option<Vec<u8>>,
    /// A number that was turned into the network's order, so that it can be compared.
    pub turned: bool,
}

impl Value {
    pub fn of(what: What) -> Self {
        Self { what, mask: None, xor: None, turned: false }
    }

    /// How many registers it takes.
    fn words(&self, table: &Table) -> usize {
        let bytes = match &self.what {
            // names of interfaces and their kinds
            What::Meta(6 | 7 | 17 | 18 | 26 | 27 | 34) | What::Fib { result: 2, .. } => 16,
            What::Ct { key: 21 | 22, .. } => 16,
            What::Payload { length, .. } => usize::try_from(*length).unwrap_or(4),
            What::Constant(data) => data.len(),
            What::Map { set, .. } => table.set(set).map_or(4, |set| set.data_length),
            _ => 4,
        };
        bytes.div_ceil(4).max(1)
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    /// One thing, or several as one key.
    pub of: Vec<Value>,
    pub is: Is,
}

/// What it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Is {
    Compared(Comparison, Vec<u8>),
    Between { not: bool, low: Vec<u8>, high: Vec<u8> },
    In { not: bool, set: String },
}

/// Which address changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Source,
    Destination,
    Masquerade,
    Redirect,
}

/// A part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a few of them live for a moment")]
pub(super) enum Clause {
    Test(Test),
    Verdict(Verdict),
    VerdictMap {
        of: Vec<Value>,
        set: String,
    },
    Nat {
        change: Change,
        v6: Option<bool>,
        address: Option<(Value, Value)>,
        port: Option<(Value, Value)>,
        flags: u32,
    },
    SetMeta {
        key: u32,
        value: Value,
    },
    SetCt {
        key: u32,
        value: Value,
    },
    SetPayload {
        what: What,
        value: Value,
    },
    Dynset {
        set: String,
        update: bool,
        key: Vec<Value>,
        exprs: Vec<Expr>,
    },
    /// What needs no register.
    Plain(Expr),
}

/// The registers while a rule is read.
struct Registers<'t> {
    table: &'t Table,
    held: HashMap<Register, Value>,
}

impl Registers<'_> {
    fn put(&mut self, to: Register, what: What) {
        let value = Value::of(what);
        let end = to.saturating_add(value.words(self.table));
        self.held.retain(|at, _| !(to..end).contains(at));
        self.held.insert(to, value);
    }

    fn get(&self, at: Register) -> Value {
        self.held.get(&at).cloned().unwrap_or_else(|| Value::of(What::Other("?".to_owned())))
    }

    /// What so many bytes from a register on are made of.
    fn take(&self, from: Register, bytes: usize) -> Vec<Value> {
        let end = from.saturating_add(bytes.div_ceil(4).max(1));
        let (mut at, mut values) = (from, Vec::new());
        while at < end {
            let value = self.get(at);
            at = at.saturating_add(value.words(self.table));
            values.push(value);
        }
        values
    }

    fn key(&self, from: Register, set: &str) -> Vec<Value> {
        self.take(from, self.table.set(set).map_or(4, |set| set.key_length))
    }

    /// An address or port in a register; behind the address in the same map there may be the port.
    fn pair(&self, pair: Option<(Register, Register)>) -> Option<(Value, Value)> {
        let (first, last) = pair?;
        self.held.contains_key(&first).then(|| (self.get(first), self.get(last)))
    }
}

/// What a rule says.
pub(super) fn clauses(rule: &Rule, table: &Table) -> Vec<Clause> {
    let mut registers = Registers { table, held: HashMap::new() };
    let mut all: Vec<Clause> = Vec::new();
    for clause in rule.exprs.iter().filter_map(|expr| clause(expr, &mut registers)) {
        match all.last().and_then(|last| between(last, &clause)) {
            Some(range) => {
                all.pop();
                all.push(range);
            }
            None => all.push(clause),
        }
    }
    all
}

/// At least this and at most that: nft writes ranges as two comparisons where the kernel has them.
fn between(first: &Clause, second: &Clause) -> Option<Clause> {
    let (Clause::Test(first), Clause::Test(second)) = (first, second) else { return None };
    match (&first.is, &second.is) {
        (Is::Compared(Comparison::AtLeast, low), Is::Compared(Comparison::AtMost, high)) if first.of == second.of => {
            let is = Is::Between { not: false, low: low.clone(), high: high.clone() };
            Some(Clause::Test(Test { of: first.of.clone(), is }))
        }
        _ => None,
    }
}

fn clause(expr: &Expr, registers: &mut Registers<'_>) -> Option<Clause> {
    let test = |of, is| Some(Clause::Test(Test { of, is }));
    match expr {
        Expr::Meta { key, to } => registers.put(*to, What::Meta(*key)),
        Expr::Ct { key, reply, to } => registers.put(*to, What::Ct { key: *key, reply: *reply }),
        Expr::Payload { base, offset, length, to } => {
            registers.put(*to, What::Payload { base: *base, offset: *offset, length: *length });
        }
        Expr::Immediate { to, data } => registers.put(*to, What::Constant(data.clone())),
        Expr::Fib { to, result, flags } => registers.put(*to, What::Fib { result: *result, flags: *flags }),
        Expr::Load { name, to } => registers.put(*to, What::Other(name.clone())),
        Expr::Bitwise { from, to, mask, xor } => {
            let mut value = registers.get(*from);
            value.mask = Some(mask.clone());
            value.xor = xor.iter().any(|byte| *byte != 0).then(|| xor.clone());
            registers.held.insert(*to, value);
        }
        Expr::Byteorder { from, to, .. } => {
            let mut value = registers.get(*from);
            value.turned = !value.turned;
            registers.held.insert(*to, value);
        }
        Expr::Cmp { from, how, data } => {
            return test(registers.take(*from, data.len()), Is::Compared(*how, data.clone()));
        }
        Expr::Range { from, not, low, high } => {
            let is = Is::Between { not: *not, low: low.clone(), high: high.clone() };
            return test(registers.take(*from, low.len()), is);
        }
        Expr::Lookup { set, from, to, not } => {
            let of = registers.key(*from, set);
            match to {
                Some(to) => registers.put(*to, What::Map { key: of, set: set.clone() }),
                None if registers.table.set(set).is_some_and(|set| set.map) => {
                    return Some(Clause::VerdictMap { of, set: set.clone() });
                }
                None => return test(of, Is::In { not: *not, set: set.clone() }),
            }
        }
        Expr::Verdict(verdict) => return Some(Clause::Verdict(verdict.clone())),
        Expr::Nat { source, v6, address, port, flags } => {
            let change = if *source { Change::Source } else { Change::Destination };
            let (address, port) = (registers.pair(*address), registers.pair(*port));
            return Some(Clause::Nat { change, v6: Some(*v6), address, port, flags: *flags });
        }
        Expr::Masquerade { flags, ports } => {
            let port = registers.pair(*ports);
            return Some(Clause::Nat { change: Change::Masquerade, v6: None, address: None, port, flags: *flags });
        }
        Expr::Redirect { port, flags } => {
            let port = registers.pair(*port);
            return Some(Clause::Nat { change: Change::Redirect, v6: None, address: None, port, flags: *flags });
        }
        Expr::SetMeta { key, from } => return Some(Clause::SetMeta { key: *key, value: registers.get(*from) }),
        Expr::SetCt { key, from } => return Some(Clause::SetCt { key: *key, value: registers.get(*from) }),
        Expr::SetPayload { base, offset, length, from } => {
            let what = What::Payload { base: *base, offset: *offset, length: *length };
            return Some(Clause::SetPayload { what, value: registers.get(*from) });
        }
        Expr::Dynset { set, update, key, exprs } => {
            let key = registers.key(*key, set);
            return Some(Clause::Dynset { set: set.clone(), update: *update, key, exprs: exprs.clone() });
        }
        other => return Some(Clause::Plain(other.clone())),
    }
    None
}
