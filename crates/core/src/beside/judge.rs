//! Who drops what.

use std::collections::BTreeSet;

use serde::Serialize;

use super::remedy::{Firewall, Remedy};
use super::{Flow, Opening, foreign};
use crate::name::IfName;
use crate::ruleset::{End, Ruleset};

/// A foreign chain, and the lab's packets that it drops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The chain that decides: `ip filter FORWARD`.
    pub chain: String,
    /// The rule or policy in words: `policy drop`.
    pub words: String,
    /// It drops them for sure; else it may, depending on things that are not known beforehand.
    pub certain: bool,
    /// Which packets, in words.
    pub flows: Vec<String>,
    /// Whose chain it is.
    pub firewall: Firewall,
    /// Commands that open the way, for a root shell.
    pub commands: Vec<String>,
    /// The rules that `--with-foreign-rules` adds; empty where only the firewall's own program can open it.
    pub openings: BTreeSet<Opening>,
    /// The lab's interfaces that must be in firewalld's zone `trusted`, which `--with-foreign-rules` asks it for.
    pub zones: BTreeSet<IfName>,
}

impl Obstacle {
    /// Can raum open it by itself?
    #[must_use]
    pub fn can_be_opened(&self) -> bool {
        !self.openings.is_empty() || !self.zones.is_empty()
    }
}

/// Finds who drops flows of a lab. `bridged` says whether frames inside bridges meet rules, IPv4 and IPv6
/// (`net.bridge.bridge-nf-call-iptables`). Rules of labs are not looked at.
#[must_use]
pub fn obstacles(rules: &Ruleset, flows: &[Flow], bridged: [bool; 2]) -> Vec<Obstacle> {
    let rules = foreign(rules);
    let mut found: Vec<Obstacle> = Vec::new();
    for flow in flows.iter().filter(|flow| !flow.bridged || bridged[usize::from(flow.is_v6())]) {
        // one table says it once; another may stop the packet as well
        let mut tables = BTreeSet::new();
        for ends in rules.fates(flow.hook, &flow.packet()) {
            let Some(end) = decisive(ends).filter(|end| tables.insert((end.place.family, end.place.table.clone())))
            else {
                continue;
            };
            let remedy = Remedy::of(&rules, flow, &end.place);
            let chain = format!("{} {} {}", end.place.family, end.place.table, end.place.chain);
            let same = |other: &&mut Obstacle| {
                (&other.chain, &other.words, other.certain) == (&chain, &end.place.words, end.certain)
            };
            let obstacle = match found.iter_mut().find(same) {
                Some(obstacle) => obstacle,
                None => {
                    found.push(Obstacle {
                        chain,
                        words: end.place.words,
                        certain: end.certain,
                        flows: Vec::new(),
                        firewall: remedy.firewall,
                        commands: Vec::new(),
                        openings: BTreeSet::new(),
                        zones: BTreeSet::new(),
                    });
                    let last = found.len() - 1;
                    &mut found[last]
                }
            };
            if !obstacle.flows.contains(&flow.what) {
                obstacle.flows.push(flow.what.clone());
            }
            if !obstacle.commands.contains(&remedy.command) {
                obstacle.commands.push(remedy.command);
            }
            obstacle.openings.extend(remedy.opening);
            obstacle.zones.extend(remedy.zone);
        }
    }
    found.sort_by_key(|obstacle| !obstacle.certain);
    found
}

/// Where a chain drops the packet. If it is gone whichever of several ends it finds, that is certain, and the last is the one to
/// tell: it is there for all that nobody decided on.
fn decisive(ends: Vec<End>) -> Option<End> {
    if ends.iter().all(|end| end.fate.is_end()) {
        return ends.into_iter().next_back().map(|end| End { certain: true, ..end });
    }
    ends.into_iter().find(|end| end.fate.is_end())
}
