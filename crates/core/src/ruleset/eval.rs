//! What becomes of a packet: the instructions run on what is known of it.
//!
//! Each condition is yes, no or perhaps. A chain so has one end that is certain, or several that are possible; the first that
//! is certain closes the list.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::expr::Verdict;
use super::machine::{Effect, run};
use super::packet::{DNATTED, NEW, Packet, SNATTED};
use super::{Chain, Family, Hook, Rule, Ruleset, Table};

/// Where something was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule, by its number; None for the chain's policy.
    pub rule: Option<u64>,
    /// The rule in words, without counters; of a policy, `policy drop`.
    pub words: String,
}

/// A translation, as it will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// The source changes, else the destination.
    pub source: bool,
    /// To the address of the interface: `masquerade`, or `redirect`.
    pub own: bool,
    /// The new address; None if it stays, is the interface's own, or is not known.
    pub address: Option<IpAddr>,
    /// The new port.
    pub port: Option<u16>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It goes on.
    Accepted,
    /// It goes on with another address.
    Translated(Nat),
    /// It is gone.
    Dropped,
    /// It is gone, and the sender is told.
    Rejected,
    /// A program decides.
    Queued,
    /// Something decides that cannot be read.
    Unknown,
}

impl Fate {
    /// The packet goes no further.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Dropped | Self::Rejected)
    }
}

/// A possible end of a packet's way through one base chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What becomes of it.
    pub fate: Fate,
    /// Who decides.
    pub place: Place,
    /// That is known, not only possible.
    pub certain: bool,
}

/// Rules that are looked at before a ruleset is called too deep to be understood.
const STEPS: usize = 200_000;
/// Where connections get their old destinations back: `NF_IP_PRI_NAT_DST`.
const NAT_DST: i32 = -100;
/// `NFT_JUMP_STACK_SIZE`.
const DEPTH: usize = 16;

impl Ruleset {
    /// The possible ends in each chain of a hook, in the kernel's order; behind a chain that certainly drops the packet
    /// none is asked.
    #[must_use]
    pub fn fates(&self, hook: Hook, packet: &Packet) -> Vec<Vec<End>> {
        let mut packet = packet.clone();
        let mut all = Vec::new();
        for (table, chain, base) in self.called(hook, packet.v6) {
            // only the first packet of a connection is shown to NAT rules (`nf_nat_inet_fn`, net/netfilter/nf_nat_core.c)
            if base.kind == "nat" && packet.ct_state.is_some_and(|state| state != NEW) {
                continue;
            }
            if !base.devices.is_empty() && !packet.input.as_ref().is_none_or(|(name, _)| base.devices.contains(name)) {
                continue;
            }
            if base.priority >= NAT_DST
                && let Some((ip, port, kind)) = packet.restored.take()
            {
                packet.set_destination(ip);
                packet.destination_type = Some(kind);
                if let Some(port) = port.filter(|_| packet.port(false).is_some()) {
                    packet.set_ports(packet.port(true), Some(port));
                }
            }
            let mut walk = Walk { table, base: chain, ends: Vec::new(), certain: true, steps: 0 };
            if walk.chain(chain, &mut packet, 0) == Flow::Through {
                let fate = if base.drops { Fate::Dropped } else { Fate::Accepted };
                walk.end(fate, chain, None, true);
            }
            if let [End { fate: Fate::Translated(nat), certain: true, .. }] = walk.ends.as_slice() {
                translate(&mut packet, nat);
            }
            let over = walk.ends.iter().any(|end| end.certain && end.fate.is_end());
            all.push(walk.ends);
            if over {
                break;
            }
        }
        all
    }

    /// Who drops or may drop a packet at a hook, most certain first.
    #[must_use]
    pub fn drops(&self, hook: Hook, packet: &Packet) -> Vec<End> {
        let mut ends: Vec<End> =
            self.fates(hook, packet).into_iter().flatten().filter(|end| end.fate.is_end()).collect();
        ends.sort_by_key(|end| !end.certain);
        ends
    }
}

/// What later chains see of a packet that was translated.
fn translate(packet: &mut Packet, nat: &Nat) {
    if nat.source {
        nat.address.into_iter().for_each(|ip| packet.set_source(ip));
        packet.ct_status = packet.ct_status.map(|status| status | SNATTED);
        packet.source_type = None;
        return;
    }
    nat.address.into_iter().for_each(|ip| packet.set_destination(ip));
    if let Some(port) = nat.port.or_else(|| packet.port(false)) {
        packet.set_ports(packet.port(true), Some(port));
    }
    packet.ct_status = packet.ct_status.map(|status| status | DNATTED);
    packet.destination_type = None;
}

#[derive(PartialEq, Eq)]
enum Flow {
    Ended,
    Through,
}

struct Walk<'t> {
    table: &'t Table,
    base: &'t Chain,
    ends: Vec<End>,
    /// All that led here was certain.
    certain: bool,
    steps: usize,
}

impl Walk<'_> {
    fn end(&mut self, fate: Fate, chain: &Chain, rule: Option<&Rule>, certain: bool) {
        let words = match rule {
            Some(rule) => rule.brief(self.table),
            None if fate == Fate::Dropped => "policy drop".to_owned(),
            None => "policy accept".to_owned(),
        };
        let chain = if rule.is_none() { self.base } else { chain };
        let place = Place {
            family: self.table.family,
            table: self.table.name.clone(),
            chain: chain.name.clone(),
            rule: rule.map(|rule| rule.handle),
            words,
        };
        self.ends.push(End { fate, place, certain: certain && self.certain });
        self.certain &= certain;
    }

    fn chain(&mut self, chain: &Chain, packet: &mut Packet, depth: usize) -> Flow {
        // after a `return` that was only possible, what follows is only possible, too
        let mut left: Option<(bool, usize)> = None;
        for rule in &chain.rules {
            self.steps += 1;
            if self.steps > STEPS || depth > DEPTH {
                self.end(Fate::Unknown, chain, Some(rule), false);
                return Flow::Ended;
            }
            let (answer, effect) = run(rule, self.table, packet);
            if answer == Some(false) {
                continue;
            }
            let sure = answer == Some(true);
            let verdicts = match effect {
                Effect::Nothing => continue,
                Effect::Fate(fate) => {
                    self.end(fate, chain, Some(rule), sure);
                    if sure {
                        return if left.is_some() { Flow::Through } else { Flow::Ended };
                    }
                    continue;
                }
                Effect::Verdict(verdict) => vec![verdict],
                Effect::Any(verdicts) => verdicts,
            };
            for verdict in verdicts {
                match self.verdict(&verdict, sure, chain, rule, packet, depth) {
                    Step::Next => {}
                    Step::Perhaps => {
                        left.get_or_insert((self.certain, self.ends.len()));
                        self.certain = false;
                    }
                    // or it has left before, and goes on behind
                    Step::Leave(_) if left.is_some() => return Flow::Through,
                    Step::Leave(flow) => return flow,
                }
            }
        }
        if let Some((certain, ends)) = left
            && ends == self.ends.len()
        {
            self.certain = certain;
        }
        Flow::Through
    }

    fn verdict(
        &mut self,
        verdict: &Verdict,
        sure: bool,
        chain: &Chain,
        rule: &Rule,
        packet: &mut Packet,
        depth: usize,
    ) -> Step {
        let fate = match verdict {
            Verdict::Accept => Fate::Accepted,
            Verdict::Drop => Fate::Dropped,
            Verdict::Queue => Fate::Queued,
            Verdict::Other(_) => Fate::Unknown,
            Verdict::Continue => return Step::Next,
            Verdict::Return if sure => return Step::Leave(Flow::Through),
            Verdict::Return => return Step::Perhaps,
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let Some(target) = self.table.chain(name) else { return Step::Next };
                let goes = matches!(verdict, Verdict::Goto(_));
                if sure {
                    let flow = self.chain(target, packet, depth + 1);
                    return if goes || flow == Flow::Ended { Step::Leave(flow) } else { Step::Next };
                }
                let (certain, ends) = (self.certain, self.ends.len());
                self.certain = false;
                // marks set on the way are as uncertain as the way
                self.chain(target, &mut packet.clone(), depth + 1);
                if ends == self.ends.len() && !goes {
                    self.certain = certain;
                    return Step::Next;
                }
                return if goes { Step::Perhaps } else { Step::Next };
            }
        };
        self.end(fate, chain, Some(rule), sure);
        if sure { Step::Leave(Flow::Ended) } else { Step::Next }
    }
}

enum Step {
    Next,
    /// The rest of the chain is only possible.
    Perhaps,
    Leave(Flow),
}

#[cfg(test)]
mod tests {
    use super::super::expr::{Comparison, Expr};
    use super::super::{Base, Family};
    use super::*;

    fn rule(handle: u64, exprs: Vec<Expr>) -> Rule {
        Rule { handle, comment: None, exprs }
    }

    #[test]
    fn matches_of_iptables_on_icmp_and_hops_are_known() {
        let held = |name: &str, info: &[u8], packet: &Packet| {
            let rule = rule(1, vec![Expr::Match { name: name.to_owned(), revision: 0, info: info.to_vec() }]);
            let table = Table {
                family: Family::Ip,
                name: "t".to_owned(),
                handle: 1,
                dormant: false,
                comment: None,
                sets: Vec::new(),
                chains: Vec::new(),
            };
            run(&rule, &table, &mut packet.clone()).0
        };
        let mut ping = Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Some(1));
        assert_eq!(held("icmp", &[8, 0, 255, 0], &ping), None, "the type is not known");
        ping.set_icmp(8);
        assert_eq!(held("icmp", &[8, 0, 255, 0], &ping), Some(true));
        assert_eq!(held("icmp", &[8, 0, 255, 1], &ping), Some(false), "inverted");
        assert_eq!(held("icmp", &[3, 0, 255, 0], &ping), Some(false));
        assert_eq!(held("icmp", &[255, 0, 255, 0], &ping), Some(true), "any");
        assert_eq!(held("icmp6", &[8, 0, 255, 0], &ping), Some(false), "another protocol");
        assert_eq!(held("ttl", &[0, 64], &ping), None);
        ping.network[8] = Some(64);
        assert_eq!([0, 1, 2, 3].map(|mode| held("ttl", &[mode, 64], &ping)), [true, false, false, false].map(Some));
        assert_eq!(held("ttl", &[2, 65], &ping), Some(true));
        assert_eq!(held("ttl", &[], &ping), None, "too short");
    }

    /// A condition on the destination port.
    fn port(port: u16) -> [Expr; 2] {
        let data = port.to_be_bytes().to_vec();
        [Expr::Payload { base: 2, offset: 2, length: 2, to: 0 }, Expr::Cmp { from: 0, how: Comparison::Equal, data }]
    }

    fn end(verdict: Verdict) -> Expr {
        Expr::Verdict(verdict)
    }

    fn ruleset(drops: bool, rules: Vec<Rule>, other: Vec<Rule>) -> Ruleset {
        let base = Base { kind: "filter".into(), hook: Hook::Forward, devices: vec![], priority: 0, drops };
        let chain = |name: &str, base, rules| Chain { name: name.to_owned(), handle: 1, base, comment: None, rules };
        let chains = vec![chain("forward", Some(base), rules), chain("other", None, other)];
        let (name, comment) = ("t".to_owned(), None);
        let table = Table { family: Family::Inet, name, handle: 1, dormant: false, comment, sets: vec![], chains };
        Ruleset { tables: vec![table] }
    }

    fn ends(ruleset: &Ruleset, port: Option<u16>) -> Vec<(Fate, Option<u64>, bool)> {
        let mut packet = Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Some(6));
        packet.set_ports(None, port);
        let fates = ruleset.fates(Hook::Forward, &packet).into_iter().flatten();
        fates.map(|end| (end.fate, end.place.rule, end.certain)).collect()
    }

    #[test]
    fn what_is_not_known_leads_to_several_ends() {
        let [load, is] = port(80);
        let rules = ruleset(true, vec![rule(1, vec![load, is, end(Verdict::Accept)])], vec![]);
        assert_eq!(ends(&rules, Some(80)), [(Fate::Accepted, Some(1), true)]);
        assert_eq!(ends(&rules, Some(81)), [(Fate::Dropped, None, true)]);
        assert_eq!(ends(&rules, None), [(Fate::Accepted, Some(1), false), (Fate::Dropped, None, false)]);
    }

    #[test]
    fn jumps_come_back_and_gotos_do_not() {
        let there = || vec![rule(7, vec![end(Verdict::Return)]), rule(8, vec![end(Verdict::Drop)])];
        let after = || rule(2, vec![end(Verdict::Drop)]);
        let jump = rule(1, vec![end(Verdict::Jump("other".to_owned()))]);
        assert_eq!(ends(&ruleset(false, vec![jump, after()], there()), None), [(Fate::Dropped, Some(2), true)]);
        let goto = rule(1, vec![end(Verdict::Goto("other".to_owned()))]);
        assert_eq!(ends(&ruleset(false, vec![goto, after()], there()), None), [(Fate::Accepted, None, true)]);
    }

    #[test]
    fn a_possible_return_makes_uncertain_only_what_is_behind_it_in_its_chain() {
        let [load, is] = port(80);
        let maybe = rule(7, vec![load, is, end(Verdict::Return)]);
        let jump = || rule(1, vec![end(Verdict::Jump("other".to_owned()))]);
        let rules = ruleset(true, vec![jump()], vec![maybe.clone()]);
        assert_eq!(ends(&rules, None), [(Fate::Dropped, None, true)]);
        let rules = ruleset(true, vec![jump()], vec![maybe, rule(8, vec![end(Verdict::Accept)])]);
        assert_eq!(ends(&rules, None), [(Fate::Accepted, Some(8), false), (Fate::Dropped, None, false)]);
    }

    #[test]
    fn an_unknown_instruction_is_a_perhaps_and_a_loop_ends() {
        let odd = vec![Expr::Other("quantum".to_owned()), end(Verdict::Drop)];
        let rules = ruleset(false, vec![rule(1, odd)], vec![]);
        assert_eq!(ends(&rules, None), [(Fate::Dropped, Some(1), false), (Fate::Accepted, None, false)]);
        let rules = ruleset(
            false,
            vec![rule(1, vec![end(Verdict::Jump("other".to_owned()))])],
            vec![rule(2, vec![end(Verdict::Jump("other".to_owned()))])],
        );
        assert_eq!(ends(&rules, None).first().map(|end| end.2), Some(false));
    }
}
