//! Address translation in plain words, whoever wrote the rule.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// One rule of nf_tables that translates addresses, or that stands among such rules and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Translation {
    /// Family and name: `ip nat`.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The kernel's number of the rule, as `nft -a list ruleset` prints it.
    pub handle: u64,
    /// The comment that somebody gave it.
    pub comment: Option<String>,
    /// For which packets, in words: `from 10.0.0.0/24`, `out of eth0`, `to tcp port 8080`.
    pub matches: Vec<String>,
    /// What becomes of them.
    pub action: Action,
}

/// What a translating rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The source becomes the address of the interface that the packet leaves by.
    Masquerade(Option<Ports>),
    /// The source becomes this.
    Source(Option<IpAddr>, Option<Ports>),
    /// The destination becomes this.
    Destination(Option<IpAddr>, Option<Ports>),
    /// The destination becomes this namespace itself.
    Redirect(Option<Ports>),
    /// The packet is not translated by later rules of the chain.
    Spare,
    /// One of so many targets that a map holds, by what the packet has; each `KEY -> VALUE`.
    Map {
        /// The source, else the destination.
        source: bool,
        /// The map's name.
        map: String,
        /// What it holds, in words.
        entries: Vec<String>,
    },
    /// Not understood: what it is made of.
    Unreadable(String),
}

/// A chain of nf_tables whose rules do other than translate: they filter, mark, count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChain {
    /// Family and name of the table: `ip filter`.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Where the kernel calls it, as nft says it; None for one that is only jumped to.
    pub hook: Option<String>,
    /// What no rule decides on is dropped.
    pub drops: bool,
    /// The rules, as nft writes them.
    pub rules: Vec<String>,
}

/// One port or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last; the same for one port.
    pub last: u16,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// `10.0.0.2:80`, `[fd00::2]:80-90`, `10.0.0.2`, `port 80`.
fn target(address: Option<IpAddr>, ports: Option<Ports>) -> String {
    match (address, ports) {
        (Some(ip), Some(ports)) if ports.first == ports.last => SocketAddr::new(ip, ports.first).to_string(),
        (Some(IpAddr::V6(ip)), Some(ports)) => format!("[{ip}]:{ports}"),
        (Some(ip), Some(ports)) => format!("{ip}:{ports}"),
        (Some(ip), None) => ip.to_string(),
        (None, Some(ports)) if ports.first == ports.last => format!("port {ports}"),
        (None, Some(ports)) => format!("ports {ports}"),
        (None, None) => "something that the rule does not say".to_owned(),
    }
}

impl Translation {
    /// Who will have written it, judged by where it is: `iptables` for the tables that it alone uses.
    #[must_use]
    pub fn place(&self) -> String {
        format!("table {}, chain {}, handle {}", self.table, self.chain, self.handle)
    }
}

impl fmt::Display for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.matches.is_empty() { "everything".to_owned() } else { self.matches.join(", ") };
        let and_ports = |ports: &Option<Ports>| match ports {
            Some(ports) => format!(", source ports {ports}"),
            None => String::new(),
        };
        match &self.action {
            Action::Masquerade(ports) => write!(f, "masquerade {who}{}", and_ports(ports)),
            Action::Source(address, ports) => write!(f, "{who}: source becomes {}", target(*address, *ports)),
            Action::Destination(address, ports) => write!(f, "{who} -> {}", target(*address, *ports)),
            Action::Redirect(None) => write!(f, "{who} -> this namespace itself"),
            Action::Redirect(Some(ports)) => {
                write!(f, "{who} -> this namespace itself, {}", target(None, Some(*ports)))
            }
            Action::Spare => write!(f, "{who}: not translated"),
            Action::Map { source, map, entries } => {
                let what = if *source { "source becomes what" } else { "goes where" };
                write!(f, "{who}: {what} map {map} says")?;
                if entries.is_empty() {
                    f.write_str(" (which is empty)")
                } else {
                    write!(f, " ({})", entries.join("; "))
                }
            }
            Action::Unreadable(what) => {
                write!(f, "a rule raum cannot read")?;
                if !self.matches.is_empty() {
                    write!(f, ": {}", self.matches.join(", "))?;
                }
                if what.is_empty() { Ok(()) } else { write!(f, " [{what}]") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(matches: &[&str], action: Action) -> String {
        let matches = matches.iter().map(|text| (*text).to_owned()).collect();
        let rule = Translation {
            table: "ip nat".to_owned(),
            chain: "POSTROUTING".to_owned(),
            handle: 7,
            comment: None,
            matches,
            action,
        };
        rule.to_string()
    }

    #[test]
    fn rules_read_as_a_person_would_say_them() {
        let ports = |first, last| Some(Ports { first, last });
        let ip = |text: &str| text.parse().ok();
        let said = rule(&["from 10.0.0.0/24", "out of eth0"], Action::Masquerade(None));
        assert_eq!(said, "masquerade from 10.0.0.0/24, out of eth0");
        assert_eq!(
            rule(&["tcp port 80"], Action::Destination(ip("10.0.0.2"), ports(8080, 8080))),
            "tcp port 80 -> 10.0.0.2:8080"
        );
        let six = rule(&[], Action::Destination(ip("fd00::2"), ports(1, 9)));
        assert_eq!(six, "everything -> [fd00::2]:1-9");
        let dark = rule(&["tcp port 80"], Action::Unreadable("hash".to_owned()));
        assert_eq!(dark, "a rule raum cannot read: tcp port 80 [hash]");
    }
}
