//! The packet filter: rules by name become rules by address, in the table of the namespace that they protect.
//!
//! ```text
//! input    what comes in      established -> lo, neighbours -> deny -> allow -> default
//! forward  what passes        established -> deny -> forwarded ports -> allow -> default
//! output   what it sends      established -> lo, neighbours -> deny -> allow -> outgoing
//! ```
//!
//! A rule of the whole lab is kept at each of those who receive: it holds whatever way the packet comes. A name stands for the
//! addresses that it has in the lab; several of one family are a set, so that a group of a hundred is one rule.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::wiring::{Holder, Place, Side, Wiring};
use crate::lab::{At, Filter, FilterRule, Node, Party, Policy, Service};
use crate::name::{IfName, NodeName};
use crate::nft::{AddressSet, Chain, Hook, InterfaceRef, Interfaces, Match, Rule, Table, Verdict};

/// Who a party is, by address.
pub(crate) enum Whom {
    /// Everybody.
    Any,
    /// These.
    These {
        /// What the rules call it.
        name: String,
        /// Addresses of namespaces.
        hosts: BTreeSet<IpAddr>,
        /// Subnets of switches, and prefixes as written.
        nets: BTreeSet<IpNet>,
    },
}

/// Who a party is; nobody if the lab does not know the name.
pub(crate) fn whom(wiring: &Wiring<'_>, party: &Party) -> Whom {
    let (mut hosts, mut nets) = (BTreeSet::new(), BTreeSet::new());
    let name = match party {
        Party::Any => return Whom::Any,
        Party::Net(net) => {
            nets.insert(*net);
            String::new()
        }
        Party::Name(name) => {
            for member in members(wiring, name) {
                match wiring.bridges.iter().find(|bridge| bridge.switch.name.value == *member) {
                    Some(bridge) => nets.extend(bridge.switch.subnets.iter().map(|at| at.value)),
                    None => {
                        hosts.extend(wiring.addressed(Place::of(member)).flat_map(|(_, nets)| nets).map(IpNet::addr))
                    }
                }
            }
            name.to_string()
        }
    };
    Whom::These { name, hosts, nets }
}

/// The namespaces and switches that a name stands for: itself, unless it is a group's.
pub(crate) fn members<'w>(wiring: &'w Wiring<'_>, name: &'w NodeName) -> Vec<&'w NodeName> {
    match wiring.lab.groups.iter().find(|group| group.name.value == *name) {
        Some(group) => group.members.iter().map(|at| &at.value).collect(),
        None => vec![name],
    }
}

/// Where a namespace's own rule belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Through,
    Out,
}

/// Which way the packets go that the rule of a namespace speaks of.
pub(crate) fn way(node: &Node, rule: &FilterRule) -> Way {
    let is_self = |party: &Party| matches!(party, Party::Name(name) if *name == node.name.value);
    match &rule.to {
        None => Way::In,
        Some(to) if is_self(to) => Way::In,
        Some(_) if is_self(&rule.from) => Way::Out,
        Some(_) => Way::Through,
    }
}

/// Is a rule of the lab one that this node keeps?
pub(crate) fn concerns(wiring: &Wiring<'_>, node: &Node, rule: &FilterRule) -> bool {
    match rule.to.as_deref() {
        None | Some(Party::Any) => true,
        Some(Party::Name(name)) => members(wiring, name).iter().any(|member| {
            let is_on = |far: &Side<'_>| match far.owner {
                Holder::Switch(index) => wiring.bridges[index].switch.name.value == **member,
                Holder::Node(_) => false,
            };
            **member == node.name.value || wiring.interfaces(Place::of(&node.name)).any(|(_, far)| is_on(far))
        }),
        Some(Party::Net(_)) => false,
    }
}

/// Does the node have a filter, by itself or by the lab?
pub(super) fn has(wiring: &Wiring<'_>, node: &Node) -> bool {
    node.filter.is_some() || wiring.lab.filter.is_some()
}

/// Adds the filter's chains to the node's table.
pub(super) fn add(wiring: &Wiring<'_>, node: &Node, table: &mut Table) {
    let (own, lab) = (node.filter.as_ref(), wiring.lab.filter.as_ref());
    let of = |filter: Option<&Filter>, deny: bool, way: Way| -> Vec<FilterRule> {
        let rules = filter.into_iter().flat_map(|f| if deny { &f.deny } else { &f.allow });
        rules.map(|at| at.value.clone()).filter(|rule| self::way(node, rule) == way).collect()
    };
    let of_lab = |deny: bool| -> Vec<FilterRule> {
        let rules = lab.into_iter().flat_map(|f| if deny { &f.deny } else { &f.allow });
        rules.map(|at| &at.value).filter(|rule| concerns(wiring, node, rule)).cloned().collect()
    };
    let policy = |at: Option<&At<Policy>>| at.map_or(Policy::Allow, |at| at.value);

    let mut chain = Filling { wiring, table, chain: "input", hook: Hook::FilterInput };
    let (deny, allow) =
        ([of(own, true, Way::In), of_lab(true)].concat(), [of(own, false, Way::In), of_lab(false)].concat());
    let default = policy(own.or(lab).map(|filter| &filter.default));
    if default == Policy::Deny || !deny.is_empty() {
        chain.always(true);
        chain.rules(&deny, Way::In, &Verdict::Drop);
        chain.rules(&allow, Way::In, &Verdict::Accept);
        chain.rest(default);
    }
    let (deny, allow) = (of(own, true, Way::Through), of(own, false, Way::Through));
    let default = policy(own.map(|filter| &filter.default));
    // what does not forward has nothing to pass through
    if wiring.forwards(node) && (default == Policy::Deny || !deny.is_empty()) {
        let mut chain = Filling { chain: "forward", hook: Hook::FilterForward, ..chain.again() };
        chain.push(vec![Match::Established], Verdict::Accept);
        chain.rules(&deny, Way::Through, &Verdict::Drop);
        if !node.forward.is_empty() {
            chain.push(vec![Match::Dnatted], Verdict::Accept);
        }
        chain.rules(&allow, Way::Through, &Verdict::Accept);
        chain.rest(default);
    }
    let (deny, allow) = (of(own, true, Way::Out), of(own, false, Way::Out));
    let default = policy(own.and_then(|filter| filter.outgoing.as_ref()));
    if default == Policy::Deny || !deny.is_empty() {
        let mut chain = Filling { chain: "send", hook: Hook::FilterOutput, ..chain.again() };
        chain.always(false);
        chain.rules(&deny, Way::Out, &Verdict::Drop);
        chain.rules(&allow, Way::Out, &Verdict::Accept);
        chain.rest(default);
    }
}

/// A chain that is being filled.
struct Filling<'f, 'w> {
    wiring: &'f Wiring<'w>,
    table: &'f mut Table,
    chain: &'static str,
    hook: Hook,
}

impl<'w> Filling<'_, 'w> {
    fn again(&mut self) -> Filling<'_, 'w> {
        Filling { wiring: self.wiring, table: self.table, chain: self.chain, hook: self.hook }
    }

    fn push(&mut self, matches: Vec<Match>, verdict: Verdict) {
        let empty = Chain { hook: Some(self.hook), rules: Vec::new() };
        self.table.chains.entry(self.chain.to_owned()).or_insert(empty).rules.push(Rule { matches, verdict });
    }

    /// Flows that began by another rule, the namespace with itself, and what a link needs to work at all.
    fn always(&mut self, comes_in: bool) {
        self.push(vec![Match::Established], Verdict::Accept);
        if let Ok(lo) = IfName::new("lo") {
            let lo = Interfaces { which: InterfaceRef::Name(lo), not: false };
            self.push(vec![if comes_in { Match::Iif(lo) } else { Match::Oif(lo) }], Verdict::Accept);
        }
        self.push(vec![Match::LinkWork], Verdict::Accept);
    }

    fn rest(&mut self, policy: Policy) {
        if policy == Policy::Deny {
            self.push(Vec::new(), Verdict::Drop);
        }
    }

    /// One rule for each family and prefix, and one for all addresses of a name together.
    fn rules(&mut self, rules: &[FilterRule], way: Way, verdict: &Verdict) {
        for rule in rules {
            // whoever the chain is of stands for itself
            let from = if way == Way::Out { Whom::Any } else { whom(self.wiring, &rule.from) };
            let to = match &rule.to {
                Some(to) if way != Way::In => whom(self.wiring, to),
                _ => Whom::Any,
            };
            if let (Whom::Any, Whom::Any, false) = (&from, &to, rule.service == Service::Icmp) {
                self.push(service(rule.service, false), verdict.clone());
                continue;
            }
            for v6 in [false, true] {
                let (from, to) = (self.conditions(&from, v6, true), self.conditions(&to, v6, false));
                for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))) {
                    let matches = [from.clone(), to.clone(), service(rule.service, v6)].concat();
                    self.push(matches, verdict.clone());
                }
            }
        }
    }

    /// Each of these alone is enough; none if nobody is meant in this family.
    fn conditions(&mut self, whom: &Whom, v6: bool, source: bool) -> Vec<Vec<Match>> {
        let Whom::These { name, hosts, nets } = whom else { return vec![Vec::new()] };
        let is_of = |ip: &IpAddr| ip.is_ipv6() == v6;
        let prefix = |prefix: IpNet| {
            if source { Match::Saddr { prefix, not: false } } else { Match::Daddr { prefix, not: false } }
        };
        let hosts: BTreeSet<IpAddr> = hosts.iter().copied().filter(is_of).collect();
        let mut found: Vec<Vec<Match>> = Vec::new();
        if let (Some(only), 1) = (hosts.first(), hosts.len()) {
            found.push(vec![prefix(IpNet::from(*only))]);
        } else if !hosts.is_empty() {
            let set = format!("of-{name}{}", if v6 { 6 } else { 4 });
            self.table.addresses.entry(set.clone()).or_insert(AddressSet { v6, members: hosts });
            found.push(vec![if source { Match::SaddrIn { v6, set } } else { Match::DaddrIn { v6, set } }]);
        }
        found.extend(nets.iter().filter(|net| is_of(&net.addr())).map(|net| vec![prefix(*net)]));
        found
    }
}

fn service(service: Service, v6: bool) -> Vec<Match> {
    match service {
        Service::All => Vec::new(),
        Service::Icmp => vec![Match::Icmp { v6 }],
        Service::Proto(proto) => vec![Match::Proto(proto)],
        Service::Ports(proto, first, last) => vec![Match::Ports { proto, first, last }],
    }
}
