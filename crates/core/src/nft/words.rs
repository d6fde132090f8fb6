//! What a lab's table translates, in plain words; for everybody who tells it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Chain, Hook, InterfaceRef, Interfaces, Match, Rule, Table, Verdict};

/// A new source for what leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceChange {
    /// Whose packets; None is everybody's.
    pub from: Option<IpNet>,
    /// By which interface they leave.
    pub out: Option<Interfaces>,
    /// The source they get; None is the address of that interface.
    pub to: Option<IpAddr>,
    /// What is said of their ports.
    pub ports: Option<&'static str>,
    /// Only what somebody inside sends to a port that somebody inside has, and that comes back by the NAT (RFC 4787, REQ-9).
    pub turned: bool,
}

impl Table {
    /// New sources, in the order of the rules, without those that forwards need.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceChange> {
        let rules = self.chains.values().filter(|chain| chain.hook == Some(Hook::SnatPostrouting));
        let rules = rules.flat_map(|chain| &chain.rules).filter(|rule| match rule.verdict {
            Verdict::Masquerade | Verdict::Jump(_) => !rule.is_part_of_a_forward(),
            _ => true,
        });
        rules.filter_map(|rule| self.source(rule)).collect()
    }

    /// New sources for what turns back inside.
    #[must_use]
    pub fn hairpins(&self) -> Vec<SourceChange> {
        let rules = self.chains.values().filter(|chain| chain.hook == Some(Hook::SnatPostrouting));
        let turns = |rule: &&Rule| matches!(rule.verdict, Verdict::Jump(_)) && rule.matches.contains(&Match::Dnatted);
        let found = rules.flat_map(|chain| &chain.rules).filter(turns).filter_map(|rule| self.source(rule));
        found.map(|change| SourceChange { turned: true, ..change }).collect()
    }

    fn source(&self, rule: &Rule) -> Option<SourceChange> {
        let random = Some("each flow with a port by chance");
        let (to, ports) = match &rule.verdict {
            Verdict::Masquerade => (None, None),
            Verdict::MasqueradeRandom => (None, random),
            Verdict::Snat(to) => (Some(*to), None),
            Verdict::SnatRandom(to) => (Some(*to), random),
            Verdict::Jump(chain) => {
                let v6 = rule.matches.iter().find_map(|found| match found {
                    Match::Family { v6 } => Some(*v6),
                    _ => None,
                })?;
                mapped(self.chains.get(chain)?, v6)?
            }
            _ => return None,
        };
        let from = rule.matches.iter().find_map(|found| match found {
            Match::Saddr { prefix, not: false } => Some(*prefix),
            _ => None,
        });
        let out = rule.matches.iter().find_map(|found| match found {
            Match::Oif(interfaces) => Some(interfaces.clone()),
            _ => None,
        });
        Some(SourceChange { from, out, to, ports, turned: false })
    }
}

/// What a chain gives that knows who has which port.
fn mapped(chain: &Chain, v6: bool) -> Option<(Option<IpAddr>, Option<&'static str>)> {
    let rules = || chain.rules.iter().filter(|rule| rule.matches.contains(&Match::Family { v6 }));
    let by_remote = rules().find_map(|rule| match rule.verdict {
        Verdict::SnatMapped { by_remote, .. } => Some(by_remote),
        _ => None,
    });
    let (to, kept) = match rules().next_back()?.verdict {
        Verdict::Snat(to) => (to, true),
        Verdict::SnatRandom(to) => (to, false),
        _ => return None,
    };
    let ports = match (by_remote, kept) {
        (Some(false), true) => "each port kept where it is free, the same for all destinations",
        (Some(false), false) => "each port by chance, the same for all destinations",
        (Some(true), true) => "each port kept where it is free, another one for each address",
        (Some(true), false) => "each port by chance, another one for each address",
        (None, true) => "each port kept where it is free, another one for each destination",
        (None, false) => "each flow with a port by chance",
    };
    Some((Some(to), Some(ports)))
}

/// Who is let in to a port that somebody inside has, if this rule leads there.
#[must_use]
pub fn door(rule: &Rule) -> Option<String> {
    let Verdict::DnatLearned { v6 } = rule.verdict else { return None };
    let family = if v6 { "IPv6" } else { "IPv4" };
    let not_in_by = |found: &Match| matches!(found, Match::Iif(Interfaces { not: true, .. }));
    let who = if rule.matches.contains(&Match::FromPeer { v6 }) {
        "from whom it has spoken to"
    } else if rule.matches.iter().any(not_in_by) {
        "from inside"
    } else {
        "from anybody"
    };
    Some(format!("{family} to a port that somebody inside has -> who has it, {who}"))
}

fn interfaces(of: &Interfaces) -> String {
    match (&of.which, of.not) {
        (InterfaceRef::Name(name), false) => name.to_string(),
        (InterfaceRef::Name(name), true) => format!("any interface but {name}"),
        (InterfaceRef::Set(_), false) => "the lab's interfaces".to_owned(),
        (InterfaceRef::Set(_), true) => "any interface not of the lab".to_owned(),
    }
}

impl fmt::Display for SourceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.map_or_else(|| "everything".to_owned(), |from| from.to_string());
        let out = self.out.as_ref().map(|out| format!(" out of {}", interfaces(out))).unwrap_or_default();
        match self.to {
            Some(to) if self.turned => write!(f, "source of what goes from inside to a port inside becomes {to}")?,
            None => write!(f, "masquerade {from}{out}")?,
            Some(to) => write!(f, "source of {from}{out} becomes {to}")?,
        }
        self.ports.map_or(Ok(()), |ports| write!(f, ", {ports}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::design::design;
    use crate::host::Surroundings;
    use crate::lab::parse;
    use crate::name::LabName;

    #[test]
    fn a_hairpin_is_told_as_what_it_is() {
        let text = "
lab: cone
switches: { home: { subnet: 192.168.1.0/24, gateway: router } }
namespaces:
  router: { on: home, forwarding: true, nat: { out: up, like: full-cone } }
  server: { }
links: [ { ends: [\"router:up 203.0.113.2/30\", \"server 203.0.113.1/30\"] } ]
";
        let lab = parse(text, &LabName::new("cone").expect("a name")).expect("a lab");
        let state = design(&lab, &Surroundings::default()).state;
        let table = state.namespaces.values().find_map(|ns| ns.table.as_ref()).expect("a table");
        let said: Vec<String> = table.hairpins().iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("source of what goes from inside to a port inside becomes 203.0.113.2, "),
            "{said:?}"
        );
        assert!(!table.sources().iter().any(|source| source.turned));
    }
}
