//! What opens a foreign chain: each firewall has a place for rules of others, and a command to put them there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::judge::Obstacle;
use super::{Flow, Opening};
use crate::name::IfName;
use crate::ruleset::{Chain, Expr, Family, Hook, Place, Ruleset, Table, Verdict};

/// Whose rules they are, as far as names tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firewall {
    /// Docker: DOCKER-USER is asked before its own rules (docs.docker.com/engine/network/packet-filtering-firewalls).
    Docker,
    /// ufw: ufw-user-forward and its like hold what `ufw route` and `ufw allow` add (ufw-framework(8)).
    Ufw,
    /// firewalld owns its table and writes it anew at each reload: it is asked by its own program.
    Firewalld,
    /// `iptables`, whoever ran it.
    Iptables,
    /// `nft`, whoever ran it.
    Nftables,
}

impl Firewall {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Ufw => "ufw",
            Self::Firewalld => "firewalld",
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

/// What opens one chain for one flow.
pub(super) struct Remedy {
    pub firewall: Firewall,
    pub command: String,
    pub opening: Option<Opening>,
    pub zone: Option<IfName>,
}

impl Remedy {
    pub fn of(rules: &Ruleset, flow: &Flow, place: &Place) -> Self {
        let (interface, out) = interface(flow);
        let name = interface.map_or_else(|| "INTERFACE".to_owned(), ToString::to_string);
        let table = rules.table(place.family, &place.table);
        let base = table.and_then(|table| base(table, flow.hook, &place.chain));
        let opening = |chain: &str| {
            let interface = interface?.clone();
            Some(Opening { family: place.family, table: place.table.clone(), chain: chain.to_owned(), interface, out })
        };
        let works = |opening: &Option<Opening>| opening.as_ref().is_some_and(|opening| opens(rules, flow, opening));
        let way = if out { "out" } else { "in" };
        let option = if out { "-o" } else { "-i" };
        let program = if place.family == Family::Ip6 { "ip6tables" } else { "iptables" };
        if place.family == Family::Inet && place.table == "firewalld" {
            let command = format!("firewall-cmd --zone=trusted --add-interface={name}");
            return Self { firewall: Firewall::Firewalld, command, opening: None, zone: interface.cloned() };
        }
        let has = |chain: &str| table.is_some_and(|table| table.chain(chain).is_some());
        if flow.hook == Hook::Forward && has("DOCKER-USER") {
            let opening = opening("DOCKER-USER");
            if works(&opening) {
                let command = format!("{program} -I DOCKER-USER {option} {name} -j ACCEPT");
                return Self { firewall: Firewall::Docker, command, opening, zone: None };
            }
        }
        let ufw = format!("ufw{}-user-{}", if place.family == Family::Ip6 { "6" } else { "" }, flow.hook);
        if has(&ufw) {
            let opening = opening(&ufw);
            if works(&opening) {
                let route = if flow.hook == Hook::Forward { "route " } else { "" };
                let command = format!("ufw {route}allow {way} on {name}");
                return Self { firewall: Firewall::Ufw, command, opening, zone: None };
            }
        }
        let opening = base.and_then(|base| opening(&base.name)).filter(|opening| opens(rules, flow, opening));
        let chain = base.map_or(place.chain.as_str(), |base| base.name.as_str());
        let by_iptables = place.table == "filter" && matches!(place.family, Family::Ip | Family::Ip6);
        if by_iptables && ["INPUT", "FORWARD", "OUTPUT"].contains(&chain) {
            let command = format!("{program} -I {chain} {option} {name} -j ACCEPT");
            // who has no place for rules of others there is still whose policy it is
            let firewall = match () {
                () if has("DOCKER") => Firewall::Docker,
                () if has(&ufw) => Firewall::Ufw,
                () => Firewall::Iptables,
            };
            return Self { firewall, command, opening, zone: None };
        }
        let words = if out { "oifname" } else { "iifname" };
        let command = format!("nft insert rule {} {} {chain} {words} {name} accept", place.family, place.table);
        Self { firewall: Firewall::Nftables, command, opening, zone: None }
    }
}

/// The command that opens the place which a firewall has for rules of others, if the chain is of one that has such a place.
pub(crate) fn in_its_place(rules: &Ruleset, flow: &Flow, place: &Place) -> Option<String> {
    let remedy = Remedy::of(&super::foreign(rules), flow, place);
    matches!(remedy.firewall, Firewall::Docker | Firewall::Ufw | Firewall::Firewalld).then_some(remedy.command)
}

/// The lab's interface of a flow, and whether the packets go out by it. Of two the one that they come in by is asked: whoever
/// opens both ways has both flows.
fn interface(flow: &Flow) -> (Option<&IfName>, bool) {
    match (flow.lab_is_output(), &flow.input, &flow.output) {
        (true, _, Some(output)) => (Some(output), true),
        (false, Some(input), _) => (Some(input), false),
        (_, input, output) => (input.as_ref().or(output.as_ref()), input.is_none()),
    }
}

impl Flow {
    /// Do they go to the lab, and not come from it?
    fn lab_is_output(&self) -> bool {
        self.hook == Hook::Output || self.answer && self.hook == Hook::Forward || self.dnatted
    }
}

/// The base chain of a table that leads to a chain.
fn base<'t>(table: &'t Table, hook: Hook, chain: &str) -> Option<&'t Chain> {
    let called = || table.chains.iter().filter(|chain| chain.base.as_ref().is_some_and(|base| base.hook == hook));
    called().find(|base| leads(table, base, chain, 0)).or_else(|| called().next())
}

fn leads(table: &Table, from: &Chain, to: &str, depth: usize) -> bool {
    let next = |expr: &Expr| match expr {
        Expr::Verdict(Verdict::Jump(name) | Verdict::Goto(name)) => table.chain(name),
        _ => None,
    };
    // `NFT_JUMP_STACK_SIZE`
    let within = || {
        let mut targets = from.rules.iter().flat_map(|rule| &rule.exprs).filter_map(next);
        targets.any(|target| leads(table, target, to, depth + 1))
    };
    from.name == to || (depth < 16 && within())
}

/// Would the packets pass this table with the opening?
fn opens(rules: &Ruleset, flow: &Flow, opening: &Opening) -> bool {
    let mut opened = Ruleset::default();
    opened.tables.extend(rules.table(opening.family, &opening.table).cloned());
    for chain in opened.tables.iter_mut().flat_map(|table| &mut table.chains) {
        if chain.name == opening.chain {
            chain.rules.insert(0, opening.rule());
        }
    }
    !opened.fates(flow.hook, &flow.packet()).iter().any(|ends| ends.iter().all(|end| end.fate.is_end()))
}

/// All rules that open all obstacles, as far as they can be opened so.
#[must_use]
pub fn openings(obstacles: &[Obstacle]) -> BTreeSet<Opening> {
    obstacles.iter().flat_map(|obstacle| &obstacle.openings).cloned().collect()
}

/// All interfaces that firewalld must be asked for.
#[must_use]
pub fn zones(obstacles: &[Obstacle]) -> BTreeSet<IfName> {
    obstacles.iter().flat_map(|obstacle| &obstacle.zones).cloned().collect()
}
