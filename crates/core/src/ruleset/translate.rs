//! The rules that translate addresses, in plain words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::expr::{Expr, Verdict};
use super::load::{Change, Clause, Value, What, clauses};
use super::set::Data;
use super::value::kinds_of_type;
use super::words::{self, Phrase, phrases};
use super::xt::{self, Condition};
use super::{Chain, Family, Rule, Ruleset, Table};
use crate::name::LabName;
use crate::view::{Action, Ports, RuleChain, Translation};

impl Table {
    /// The lab whose own table this is, by its name and mark.
    #[must_use]
    pub fn lab(&self) -> Option<LabName> {
        let lab = LabName::new(self.comment.as_deref()?.strip_prefix("raum:")?).ok()?;
        (self.family == Family::Inet && self.name == format!("raum-{lab}")).then_some(lab)
    }
}

/// Every rule that translates, or spares from translation, in the kernel's order; those of labs' own tables left out.
#[must_use]
pub fn translations(ruleset: &Ruleset) -> Vec<Translation> {
    let mut found = Vec::new();
    for table in ruleset.tables.iter().filter(|table| table.lab().is_none()) {
        let mut ways = Ways::of(table);
        for chain in &table.chains {
            let first = found.len();
            let before = ways.common(chain, 0);
            for rule in &chain.rules {
                if let Some(action) = action(rule, table) {
                    found.push(Translation {
                        table: table.title(),
                        chain: chain.name.clone(),
                        handle: rule.handle,
                        comment: rule.comment.clone(),
                        matches: joined(&before, matches(rule, table)),
                        action,
                    });
                }
            }
            // an `accept` or `return` says something about NAT only among rules that translate
            let translates = |one: &Translation| one.action != Action::Spare;
            if !found.iter().skip(first).any(translates) {
                found.truncate(first);
            }
        }
    }
    found
}

/// By which jumps chains are entered: their conditions hold for the rules inside as well.
struct Ways<'t> {
    table: &'t Table,
    jumps: BTreeMap<&'t str, Vec<(&'t Chain, &'t Rule)>>,
    /// Chains that a map leads to: for which packets is not looked for.
    mapped: BTreeSet<&'t str>,
    known: BTreeMap<&'t str, Vec<String>>,
}

impl<'t> Ways<'t> {
    fn of(table: &'t Table) -> Self {
        let mut jumps: BTreeMap<&str, Vec<(&Chain, &Rule)>> = BTreeMap::new();
        for chain in &table.chains {
            for rule in &chain.rules {
                for expr in &rule.exprs {
                    if let Expr::Verdict(Verdict::Jump(to) | Verdict::Goto(to)) = expr {
                        jumps.entry(to).or_default().push((chain, rule));
                    }
                }
            }
        }
        let data = table.sets.iter().flat_map(|set| &set.elements).filter_map(|element| element.data.as_ref());
        let mapped = data.filter_map(|data| match data {
            Data::Verdict(Verdict::Jump(to) | Verdict::Goto(to)) => Some(to.as_str()),
            _ => None,
        });
        Self { table, jumps, mapped: mapped.collect(), known: BTreeMap::new() }
    }

    /// What all packets have in common that come into a chain, by whichever jump.
    fn common(&mut self, chain: &'t Chain, depth: usize) -> Vec<String> {
        // `NFT_JUMP_STACK_SIZE`
        if chain.base.is_some() || self.mapped.contains(chain.name.as_str()) || depth > 16 {
            return Vec::new();
        }
        if let Some(known) = self.known.get(chain.name.as_str()) {
            return known.clone();
        }
        let jumps = self.jumps.get(chain.name.as_str()).cloned().unwrap_or_default();
        let mut common: Option<Vec<String>> = None;
        for (from, rule) in jumps {
            let way = joined(&self.common(from, depth + 1), matches(rule, self.table));
            common = Some(match common {
                None => way,
                Some(common) => common.into_iter().filter(|one| way.contains(one)).collect(),
            });
        }
        let common = common.unwrap_or_default();
        self.known.insert(&chain.name, common.clone());
        common
    }
}

/// The conditions of both, each said once.
fn joined(before: &[String], own: Vec<String>) -> Vec<String> {
    let mut all = before.to_vec();
    let new = |one: &String| !before.contains(one);
    all.extend(own.into_iter().filter(new));
    all
}

/// Every chain whose rules do other than translate, in the kernel's order; those of labs' own tables left out, and those that
/// let everything pass without a word.
#[must_use]
pub fn chains(ruleset: &Ruleset) -> Vec<RuleChain> {
    let mut found = Vec::new();
    for table in ruleset.tables.iter().filter(|table| table.lab().is_none()) {
        for chain in &table.chains {
            let of_nat = chain.base.as_ref().is_some_and(|base| base.kind == "nat");
            let drops = chain.base.as_ref().is_some_and(|base| base.drops);
            let translates = |rule: &Rule| action(rule, table).is_some_and(|action| action != Action::Spare);
            let rules: Vec<&Rule> = chain.rules.iter().filter(|rule| !translates(rule)).collect();
            if of_nat || (rules.is_empty() && !drops) {
                continue;
            }
            found.push(RuleChain {
                table: table.title(),
                chain: chain.name.clone(),
                hook: chain.base.as_ref().map(|base| base.hook.to_string()),
                drops,
                rules: rules.into_iter().map(|rule| rule.brief(table)).collect(),
            });
        }
    }
    found
}

/// The conditions of a rule in plain words.
fn matches(rule: &Rule, table: &Table) -> Vec<String> {
    let said = phrases(rule, table).into_iter().filter_map(|phrase| match phrase {
        Phrase::If(text) if !text.is_empty() => Some(plain(&text)),
        _ => None,
    });
    said.collect()
}

/// `ip saddr 10.0.0.0/24` as `from 10.0.0.0/24`; what has no plainer words stays as nft says it.
fn plain(text: &str) -> String {
    const PLAIN: [(&str, &str); 12] = [
        ("ip saddr ", "from "),
        ("ip6 saddr ", "from "),
        ("ip daddr ", "to "),
        ("ip6 daddr ", "to "),
        ("iifname ", "in by "),
        ("oifname ", "out of "),
        ("tcp dport ", "to tcp port "),
        ("udp dport ", "to udp port "),
        ("tcp sport ", "from tcp port "),
        ("udp sport ", "from udp port "),
        ("meta l4proto ", "protocol "),
        ("ip protocol ", "protocol "),
    ];
    match text {
        "fib daddr type local" => return "to this namespace itself".to_owned(),
        "fib daddr type != local" => return "to others than this namespace".to_owned(),
        "meta nfproto ipv4" => return "IPv4".to_owned(),
        "meta nfproto ipv6" => return "IPv6".to_owned(),
        _ => {}
    }
    let Some((rest, plain)) = PLAIN.iter().find_map(|(nft, plain)| Some((text.strip_prefix(nft)?, plain))) else {
        return text.to_owned();
    };
    let (not, rest) = match rest.strip_prefix("!= ") {
        Some(rest) => ("not ", rest),
        None => ("", rest),
    };
    let rest = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
    format!("{not}{plain}{rest}")
}

/// What a rule does, if it is about translation.
fn action(rule: &Rule, table: &Table) -> Option<Action> {
    for clause in clauses(rule, table) {
        match clause {
            Clause::Nat { change, address, port, .. } => {
                return Some(translation(change, address.as_ref(), port.as_ref(), rule, table));
            }
            Clause::Verdict(Verdict::Accept | Verdict::Return) => return Some(Action::Spare),
            Clause::Plain(Expr::Target { name, revision, info }) => {
                let v6 = table.family == Family::Ip6;
                return match xt::action(&name, revision, &info, v6) {
                    Some(xt::Action::Masquerade(to)) => Some(Action::Masquerade(ports(to))),
                    Some(xt::Action::Source(to)) => Some(Action::Source(first(to), ports(to))),
                    Some(xt::Action::Destination(to)) => Some(Action::Destination(first(to), ports(to))),
                    Some(xt::Action::Redirect(to)) => Some(Action::Redirect(ports(to))),
                    None if ["NETMAP", "DNPT", "SNPT"].contains(&name.as_str()) => Some(Action::Unreadable(name)),
                    _ => None,
                };
            }
            _ => {}
        }
    }
    None
}

fn first(range: xt::Range) -> Option<IpAddr> {
    range.addresses.map(|(first, _)| first)
}

fn ports(range: xt::Range) -> Option<Ports> {
    range.ports.map(|(first, last)| Ports { first, last })
}

fn translation(
    change: Change,
    address: Option<&(Value, Value)>,
    port: Option<&(Value, Value)>,
    rule: &Rule,
    table: &Table,
) -> Action {
    let map = [address, port].into_iter().flatten().find_map(|(value, _)| match &value.what {
        What::Map { set, .. } => Some(set),
        _ => None,
    });
    if let Some(name) = map {
        let entries = table.set(name).map(|set| words::elements(set, &kinds_of_type(set.key_type))).unwrap_or_default();
        let entries = entries.into_iter().map(|entry| entry.replacen(" : ", " -> ", 1)).collect();
        return Action::Map { source: change == Change::Source, map: name.clone(), entries };
    }
    let constant = |pair: Option<&(Value, Value)>| -> Result<Option<[Vec<u8>; 2]>, ()> {
        match pair {
            None => Ok(None),
            Some((Value { what: What::Constant(first), .. }, Value { what: What::Constant(last), .. })) => {
                Ok(Some([first.clone(), last.clone()]))
            }
            Some(_) => Err(()),
        }
    };
    let (Ok(address), Ok(port)) = (constant(address), constant(port)) else {
        return Action::Unreadable(rule.brief(table));
    };
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).unwrap_or_default();
    let ports = port.map(|[first, last]| Ports { first: number(&first), last: number(&last) });
    let address = address.and_then(|[first, _]| match first.len() {
        4 => first.first_chunk::<4>().copied().map(IpAddr::from),
        16 => first.first_chunk::<16>().copied().map(IpAddr::from),
        _ => None,
    });
    match change {
        Change::Masquerade => Action::Masquerade(ports),
        Change::Redirect => Action::Redirect(ports),
        Change::Source => Action::Source(address, ports),
        Change::Destination => Action::Destination(address, ports),
    }
}

/// The comment of `-m comment` among a rule's instructions.
#[must_use]
pub fn comment(exprs: &[Expr]) -> Option<String> {
    exprs.iter().find_map(|expr| match expr {
        Expr::Match { name, revision, info } => match xt::condition(name, *revision, info)? {
            Condition::Comment(text) => Some(text),
            _ => None,
        },
        _ => None,
    })
}
