//! Tables, chains and sets, laid out as `nft list ruleset` does.

use std::fmt;

use super::printable;
use crate::ruleset::set::Set;
use crate::ruleset::value::{self, Kind, quoted};
use crate::ruleset::{Chain, Ruleset, Table};

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
pub(in crate::ruleset) fn elements(set: &Set, kinds: &[Kind]) -> Vec<String> {
    let data = value::kinds_of_type(if set.data_type == 0xffff_ff00 { 0 } else { set.data_type });
    set.elements.iter().map(|element| value::element(kinds, &data, set, element)).collect()
}
