//! What a namespace lets in, taken over as its `filter:`: chains at `input` whose rules, as nft writes them, say what a lab's
//! rules say as well.
//!
//! A lab's filter lets through what belongs to a flow, what comes by `lo`, and neighbour discovery, and asks `deny` before `allow`
//! ([`crate::design`], filter). Where a chain differs in that, it is not the same filter, and all of it is told instead; a single
//! rule that has no words here is told alone.

use ipnet::IpNet;

use super::wire::wished;
use crate::lab::{At, Filter, FilterRule, Party, Policy, Proto, Service};
use crate::view::{Room, RuleChain};

/// A filter, and what of it had to be left out.
pub(super) struct Taken<'r> {
    pub filter: Filter,
    /// Chains and rules that are not in it.
    pub left: Vec<(&'r RuleChain, &'r str)>,
    /// Chains of which nothing is in it.
    pub others: Vec<&'r RuleChain>,
}

/// Which packets a table sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Both,
    V4,
    V6,
}

/// What a rule says.
enum Said {
    /// What a lab's filter does without being told: answers, `lo`, neighbours.
    Answers,
    Loopback,
    Neighbours,
    /// Let through or not.
    Decides(Policy, Vec<(Party, Service)>),
}

/// The filter of a namespace, if a lab's can be the same.
pub(super) fn taken(room: &Room) -> Option<Taken<'_>> {
    let is_input = |chain: &&RuleChain| chain.hook.as_deref() == Some("input");
    let (chains, others): (Vec<&RuleChain>, Vec<&RuleChain>) = room.chains.iter().partition(is_input);
    let families: Vec<Family> = chains.iter().map(|chain| family(chain)).collect::<Option<_>>()?;
    // each packet meets one chain
    let met = |v6: bool| families.iter().filter(|family| family.sees(v6)).count();
    if chains.is_empty() || met(false) > 1 || met(true) > 1 {
        return None;
    }
    let drops = chains.iter().any(|chain| chain.drops);
    let passes_on = room.forwards.is_some_and(|forwards| forwards.v4 || forwards.v6);
    // a default of a namespace is for what passes through it, too
    if drops && passes_on {
        return None;
    }
    let (mut allow, mut deny, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (chain, family) in chains.iter().zip(&families) {
        read(chain, *family, room, (&mut allow, &mut deny), &mut left)?;
        if drops && !chain.drops {
            allow.push((family.everybody(), Service::All));
        }
    }
    for v6 in [false, true] {
        if drops && met(v6) == 0 {
            allow.push(((if v6 { Family::V6 } else { Family::V4 }).everybody(), Service::All));
        }
    }
    let rules = |rules| together(rules).into_iter().map(rule).collect();
    let default = At::nowhere(if drops { Policy::Deny } else { Policy::Allow });
    let filter = Filter { default, outgoing: None, allow: rules(allow), deny: rules(deny) };
    let says = drops || !filter.deny.is_empty();
    says.then_some(Taken { filter, left, others })
}

fn family(chain: &RuleChain) -> Option<Family> {
    match chain.table.split(' ').next()? {
        "inet" => Some(Family::Both),
        "ip" => Some(Family::V4),
        "ip6" => Some(Family::V6),
        _ => None,
    }
}

impl Family {
    fn sees(self, v6: bool) -> bool {
        self == Family::Both || (self == Family::V6) == v6
    }

    fn everybody(self) -> Party {
        match self {
            Family::Both => Party::Any,
            Family::V4 => Party::Net(IpNet::V4(ipnet::Ipv4Net::default())),
            Family::V6 => Party::Net(IpNet::V6(ipnet::Ipv6Net::default())),
        }
    }
}

type Rules = Vec<(Party, Service)>;

/// Reads one chain. None if it is not a lab's filter.
fn read<'r>(
    chain: &'r RuleChain,
    family: Family,
    room: &Room,
    (allow, deny): (&mut Rules, &mut Rules),
    left: &mut Vec<(&'r RuleChain, &'r str)>,
) -> Option<()> {
    let (mut answers, mut loopback, mut neighbours, mut decided) = (false, false, false, false);
    for text in &chain.rules {
        match said(text, family) {
            Some(Said::Answers) => answers = true,
            Some(Said::Loopback) => loopback = true,
            Some(Said::Neighbours) => neighbours = true,
            // a lab's filter would drop an answer here as little as the chain, if that was asked before
            Some(Said::Decides(Policy::Deny, rules)) if answers && !decided => deny.extend(rules),
            // what nobody let through is dropped all the same
            Some(Said::Decides(Policy::Deny, _)) if chain.drops && answers => left.push((chain, text)),
            Some(Said::Decides(Policy::Deny, _)) => return None,
            Some(Said::Decides(Policy::Allow, rules)) => {
                let icmp = |(party, service): &(Party, Service)| {
                    *service == Service::Icmp && (*party == Party::Any || *party == Family::V6.everybody())
                };
                neighbours |= rules.iter().any(icmp);
                decided = true;
                allow.extend(rules);
            }
            None => left.push((chain, text)),
        }
    }
    let mut wires = room.interfaces.iter().filter(|interface| interface.kind != "loopback");
    let has_v6 = wires.any(|interface| wished(interface).any(|net| net.addr().is_ipv6()));
    let is_lost = family.sees(true) && has_v6 && !neighbours;
    (!chain.drops || (answers && loopback && !is_lost)).then_some(())
}

/// What a rule says, if that has words in a lab.
fn said(text: &str, family: Family) -> Option<Said> {
    let words: Vec<&str> = text.split(' ').filter(|word| *word != "counter").collect();
    match words[..] {
        ["ct", "state", "established,related" | "related,established", "accept"] => return Some(Said::Answers),
        ["iif", "1" | "lo" | "\"lo\"", "accept"] | ["iifname", "\"lo\"", "accept"] => return Some(Said::Loopback),
        ["icmpv6", "type", .., "accept"] => {
            let types = words[2..words.len() - 1].iter().map(|word| word.trim_end_matches(','));
            let mut types = types.filter(|word| !matches!(*word, "{" | "}"));
            return types.all(|word| word.starts_with("nd-")).then_some(Said::Neighbours);
        }
        _ => {}
    }
    let (verdict, mut words) = words.split_last()?;
    let policy = match *verdict {
        "accept" => Policy::Allow,
        "drop" => Policy::Deny,
        _ => return None,
    };
    let mut from = family.everybody();
    if let [of @ ("ip" | "ip6"), "saddr", net, rest @ ..] = words {
        let net: IpNet = net.parse().ok().or_else(|| Some(IpNet::from(net.parse::<std::net::IpAddr>().ok()?)))?;
        if net.addr().is_ipv6() != (*of == "ip6") || !family.sees(net.addr().is_ipv6()) {
            return None;
        }
        (from, words) = (Party::Net(net.trunc()), rest);
    }
    let of = |v6: bool| match &from {
        Party::Net(net) => (net.addr().is_ipv6() == v6).then(|| from.clone()),
        _ => Some((if v6 { Family::V6 } else { Family::V4 }).everybody()),
    };
    let rules = match words {
        [] => vec![(from, Service::All)],
        ["meta", "l4proto", "{", "icmp,", "ipv6-icmp", "}"] => vec![(from, Service::Icmp)],
        ["meta", "l4proto", "icmp"] | ["ip", "protocol", "icmp"] => vec![(of(false)?, Service::Icmp)],
        ["meta", "l4proto", "ipv6-icmp"] | ["ip6", "nexthdr", "ipv6-icmp"] => vec![(of(true)?, Service::Icmp)],
        ["meta", "l4proto", name] => vec![(from, Service::Proto(proto(name)?))],
        [name, "dport", "{", ports @ .., "}"] => {
            let services = ports.iter().map(|port| service(name, port.trim_end_matches(',')));
            services.map(|service| Some((from.clone(), service?))).collect::<Option<_>>()?
        }
        [name, "dport", port] => vec![(from, service(name, port)?)],
        _ => return None,
    };
    Some(Said::Decides(policy, rules))
}

fn proto(name: &str) -> Option<Proto> {
    [Proto::Tcp, Proto::Udp, Proto::Sctp].into_iter().find(|proto| proto.to_string() == name)
}

fn service(name: &str, ports: &str) -> Option<Service> {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some(Service::Ports(proto(name)?, first, last))
}

/// What is said of everybody in IPv4 and in IPv6 is said of any; nothing twice.
fn together(rules: Rules) -> Rules {
    let [v4, v6] = [Family::V4.everybody(), Family::V6.everybody()];
    let both = |service: Service| [&v4, &v6].iter().all(|party| rules.contains(&((*party).clone(), service)));
    let mut told: Rules = Vec::new();
    for (party, service) in &rules {
        let party = if (*party == v4 || *party == v6) && both(*service) { Party::Any } else { party.clone() };
        if !told.contains(&(party.clone(), *service)) {
            told.push((party, *service));
        }
    }
    told
}

fn rule((from, service): (Party, Service)) -> At<FilterRule> {
    At::nowhere(FilterRule { from: At::nowhere(from), to: None, service })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Owner;

    fn room(chains: Vec<(&str, bool, &[&str])>) -> Room {
        let mut room = Room::new("web".to_owned(), 1, Owner::Named);
        room.chains = chains
            .into_iter()
            .map(|(table, drops, rules)| RuleChain {
                table: table.to_owned(),
                chain: "input".to_owned(),
                hook: Some("input".to_owned()),
                drops,
                rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            })
            .collect();
        room
    }

    /// `default; deny …; allow …; left …`, or nothing.
    fn told(chains: Vec<(&str, bool, &[&str])>) -> String {
        let room = room(chains);
        let Some(taken) = taken(&room) else { return "nothing".to_owned() };
        let list = |rules: &[At<FilterRule>]| rules.iter().map(|rule| rule.to_string()).collect::<Vec<_>>().join(", ");
        let left: Vec<&str> = taken.left.iter().map(|(_, rule)| *rule).collect();
        format!(
            "{}; deny {}; allow {}; left {}",
            *taken.filter.default,
            list(&taken.filter.deny),
            list(&taken.filter.allow),
            left.join(", ")
        )
    }

    const BEGIN: [&str; 2] = ["ct state established,related accept", "iif 1 accept"];

    #[test]
    fn what_has_words_is_taken_over_and_the_rest_told() {
        let rules = [
            &BEGIN[..],
            &[
                "ct state invalid drop",
                "ip saddr 10.9.0.0/16 drop",
                "meta l4proto { icmp, ipv6-icmp } accept",
                "tcp dport { 80, 443 } counter accept",
                "ip saddr 10.0.0.5 udp dport 53-54 accept",
                "ip6 saddr fd00::/64 accept",
                "tcp dport 23 drop",
                "limit rate 5/second accept",
            ],
        ]
        .concat();
        assert_eq!(
            told(vec![("inet filter", true, &rules)]),
            "deny; deny 10.9.0.0/16; allow any -> icmp, any -> 80/tcp, any -> 443/tcp, 10.0.0.5/32 -> 53-54/udp, fd00::/64; \
             left ct state invalid drop, tcp dport 23 drop, limit rate 5/second accept"
        );
    }

    #[test]
    fn tables_of_one_family_are_of_that_family() {
        let rules = [&BEGIN[..], &["tcp dport 22 accept"]].concat();
        assert_eq!(
            told(vec![("ip filter", true, &rules)]),
            "deny; deny ; allow 0.0.0.0/0 -> 22/tcp, ::/0; left ",
            "IPv6 stays open"
        );
        assert_eq!(
            told(vec![("ip filter", true, &rules), ("ip6 filter", true, &rules)]),
            "deny; deny ; allow any -> 22/tcp; left "
        );
    }

    #[test]
    fn what_is_another_kind_of_filter_is_not_taken_over() {
        // without state, without lo
        assert_eq!(told(vec![("inet filter", true, &["tcp dport 22 accept"])]), "nothing");
        assert_eq!(told(vec![("inet filter", true, &BEGIN[..1])]), "nothing");
        assert_eq!(told(vec![("inet filter", false, &["tcp dport 22 drop"])]), "nothing");
        // deny comes before allow in a lab
        let rules = [&BEGIN[..], &["tcp dport 22 accept", "ip saddr 10.0.0.0/8 drop"]].concat();
        assert_eq!(told(vec![("inet filter", false, &rules)]), "nothing");
        // who asks twice
        assert_eq!(told(vec![("inet a", true, &BEGIN), ("ip b", true, &BEGIN)]), "nothing");
        assert_eq!(told(vec![("inet filter", false, &BEGIN)]), "nothing", "it drops nothing");
    }
}
