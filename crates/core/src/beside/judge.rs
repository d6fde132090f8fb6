//! Who drops what, and who turns it elsewhere.

use std::collections::BTreeSet;

use serde::Serialize;

use super::remedy::{Firewall, Remedy};
use super::{Flow, Opening, foreign};
use crate::name::IfName;
use crate::ruleset::{End, Family, Fate, Hook, Place, Ruleset};

/// A foreign chain, and the lab's packets that it drops, or turns elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The chain that decides: `ip filter FORWARD`.
    pub chain: String,
    /// The rule or policy in words: `policy drop`.
    pub words: String,
    /// It drops them for sure; else it may, depending on things that are not known beforehand.
    pub certain: bool,
    /// It does not drop them, but gives them another destination: a port that the lab publishes is somebody else's, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub turns: bool,
    /// Which packets, in words.
    pub flows: Vec<String>,
    /// Whose chain it is.
    pub firewall: Firewall,
    /// Commands that open the way, for a root shell; of packets that are turned elsewhere, one that shows by whom.
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
        if flow.hook == Hook::Prerouting {
            turned(&rules, flow, &mut found);
            continue;
        }
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
                        turns: false,
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

/// Who gives a packet for a published port another destination. A connection gets one only (`nf_nat_setup_info`): of two that would,
/// the one that the kernel asks first has it, and at the same priority that is whose table was made last.
fn turned(rules: &Ruleset, flow: &Flow, found: &mut Vec<Obstacle>) {
    let turns = |end: &End| matches!(&end.fate, Fate::Translated(nat) if !nat.source);
    for ends in rules.fates(flow.hook, &flow.packet()) {
        let Some(end) = ends.into_iter().find(turns) else { continue };
        let (place, certain) = (end.place, end.certain);
        let chain = format!("{} {} {}", place.family, place.table, place.chain);
        let same = |other: &&mut Obstacle| {
            (&other.chain, &other.words, other.certain, other.turns) == (&chain, &place.words, certain, true)
        };
        match found.iter_mut().find(same) {
            Some(obstacle) => obstacle.flows.push(flow.what.clone()),
            None => {
                let (firewall, command) = whose(&place, flow);
                let (openings, zones) = Default::default();
                let (flows, commands) = (vec![flow.what.clone()], vec![command]);
                let words = place.words;
                found.push(Obstacle { chain, words, certain, turns: true, flows, firewall, commands, openings, zones });
            }
        }
        return;
    }
}

/// Whose translation it is, and the command that tells more.
fn whose(place: &Place, flow: &Flow) -> (Firewall, String) {
    let program = if place.family == Family::Ip6 { "ip6tables" } else { "iptables" };
    let by_iptables = place.table == "nat" && matches!(place.family, Family::Ip | Family::Ip6);
    match flow.port {
        Some(port) if by_iptables && place.chain == "DOCKER" => {
            (Firewall::Docker, format!("docker ps --filter publish={port}"))
        }
        _ if by_iptables => (Firewall::Iptables, format!("{program} -t nat -S {}", place.chain)),
        _ => {
            let owner = if place.table == "firewalld" { Firewall::Firewalld } else { Firewall::Nftables };
            (owner, format!("nft -a list chain {} {} {}", place.family, place.table, place.chain))
        }
    }
}

/// Where a chain drops the packet. If it is gone whichever of several ends it finds, that is certain, and the last is the one to
/// tell: it is there for all that nobody decided on.
fn decisive(ends: Vec<End>) -> Option<End> {
    if ends.iter().all(|end| end.fate.is_end()) {
        return ends.into_iter().next_back().map(|end| End { certain: true, ..end });
    }
    ends.into_iter().find(|end| end.fate.is_end())
}
