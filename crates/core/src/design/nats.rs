//! NATs as found in the field: what makes a router behave like one of them. docs/nat.md has the terms and sources.
//!
//! | mapping, filtering, ports, hairpin | how |
//! |---|---|
//! | endpoint-independent, address and port, preserved, no | `masquerade`, as Linux does it |
//! | address and port, address and port, random, no | `masquerade fully-random` |
//! | all others | maps that learn who has which port, and whom he spoke to |

use std::net::IpAddr;

use ipnet::IpNet;

use super::wiring::{Place, Wiring};
use crate::lab::{Behaviour, Dependence, Nat, NatTimeouts, PortChoice, Proto};
use crate::name::IfName;
use crate::nft::{Chain, Hook, InterfaceRef, Interfaces, Learned, Lesson, Match, Rule, Table, Verdict};
use crate::state::Sysctl;

/// Chain for what is to leave with another source, and chain for what is written down of it afterwards.
const SOURCE: &str = "source";
const NOTE: &str = "note";
/// How long a UDP mapping is remembered where neither the file nor the preset says it: RFC 4787, REQ-5 c.
const UDP_S: u32 = 300;
/// The same for TCP: RFC 5382, REQ-5.
const TCP_S: u32 = 7440;

/// The router's sysctls.
pub(super) fn sysctls(behaviour: &Behaviour) -> impl Iterator<Item = (Sysctl, String)> + use<> {
    let NatTimeouts { udp, udp_stream, tcp, icmp } = behaviour.timeouts;
    let keys = [
        ("udp_timeout", udp),
        ("udp_timeout_stream", udp_stream),
        ("tcp_timeout_established", tcp),
        ("icmp_timeout", icmp),
        ("icmpv6_timeout", icmp),
    ];
    let key = |(name, seconds): (&str, Option<u32>)| {
        Some((Sysctl::new(&format!("net/netfilter/nf_conntrack_{name}")).ok()?, seconds?.to_string()))
    };
    keys.into_iter().filter_map(key)
}

/// Adds the rules for what leaves by the NAT's interface, and for what comes in by it.
pub(super) fn add(wiring: &Wiring<'_>, router: Place<'_>, nat: &Nat, behaviour: &Behaviour, table: &mut Table) {
    let Some(out) = nat.out.as_ref().map(|out| &out.value) else { return };
    let outside = |v6: bool| {
        let fixed = nat.source.iter().map(|at| at.value).find(|ip| ip.is_ipv6() == v6);
        // one address of each family: a pool would need paired pooling (RFC 4787, REQ-2)
        let own = wiring.addressed(router).filter(|(name, _)| *name == out).flat_map(|(_, nets)| nets);
        fixed.or_else(|| own.map(IpNet::addr).find(|ip| ip.is_ipv6() == v6))
    };
    let is_linux = |b: &Behaviour| (b.mapping, b.ports) == (Dependence::Endpoint, PortChoice::Preserve);
    let is_symmetric = |b: &Behaviour| (b.mapping, b.ports) == (Dependence::AddressAndPort, PortChoice::Random);
    let is_plain = behaviour.filtering == Dependence::AddressAndPort && !behaviour.hairpin;
    if is_plain && (is_linux(behaviour) || is_symmetric(behaviour)) {
        plain(nat, out, is_symmetric(behaviour), table);
    } else {
        for outside in [false, true].into_iter().filter_map(outside) {
            learning(out, outside, behaviour, table);
        }
    }
    // whoever is outside and routes into the network on purpose
    let comes = || vec![iif(out, false)];
    push(table, "shield", Hook::FilterForward, [comes(), vec![Match::Established]].concat(), Verdict::Accept);
    push(table, "shield", Hook::FilterForward, [comes(), vec![Match::Dnatted]].concat(), Verdict::Accept);
    push(table, "shield", Hook::FilterForward, comes(), Verdict::Drop);
}

/// What Linux does by itself.
fn plain(nat: &Nat, out: &IfName, random: bool, table: &mut Table) {
    let mut translate = |matches: Vec<Match>, verdict| {
        let matches = [vec![oif(out, false)], matches].concat();
        push(table, "postrouting", Hook::SnatPostrouting, matches, verdict);
    };
    for fixed in nat.source.iter().map(|at| at.value) {
        let verdict = if random { Verdict::SnatRandom(fixed) } else { Verdict::Snat(fixed) };
        translate(vec![Match::Family { v6: fixed.is_ipv6() }], verdict);
    }
    if nat.source.len() < 2 {
        translate(Vec::new(), if random { Verdict::MasqueradeRandom } else { Verdict::Masquerade });
    }
}

/// The flow that leaves tells which port of the router is whose; what comes to that port is theirs, as far as the filter lets it.
fn learning(out: &IfName, outside: IpAddr, behaviour: &Behaviour, table: &mut Table) {
    let v6 = outside.is_ipv6();
    let family = || Match::Family { v6 };
    let to_outside = || Match::Daddr { prefix: IpNet::from(outside), not: false };

    let mut comes_in = |matches: Vec<Match>| {
        push(table, "prerouting", Hook::DnatPrerouting, matches, Verdict::DnatLearned { v6 });
    };
    match (behaviour.filtering, behaviour.hairpin) {
        (Dependence::Endpoint, true) => comes_in(vec![to_outside()]),
        (Dependence::Endpoint, false) => comes_in(vec![iif(out, false), to_outside()]),
        (Dependence::Address, _) => comes_in(vec![iif(out, false), to_outside(), Match::FromPeer { v6 }]),
        // connection tracking does that by itself
        (Dependence::AddressAndPort, _) => {}
    }
    if behaviour.hairpin && behaviour.filtering != Dependence::Endpoint {
        comes_in(vec![iif(out, true), to_outside()]);
    }

    let mut leaves = vec![vec![oif(out, false)]];
    if behaviour.hairpin {
        // with the outer address as source (RFC 4787, REQ-9)
        leaves.push(vec![iif(out, true), oif(out, true), Match::Dnatted]);
    }
    for matches in leaves {
        let matches = [matches, vec![family()]].concat();
        let leaving = [matches.clone(), vec![Match::Original]].concat();
        push(table, "postrouting", Hook::SnatPostrouting, matches, Verdict::Jump(SOURCE.to_owned()));
        push(table, "learn", Hook::Learn, leaving, Verdict::Jump(NOTE.to_owned()));
    }

    // one sender's next destination
    let by_remote = behaviour.mapping == Dependence::Address;
    let is_mapped = behaviour.mapping != Dependence::AddressAndPort;
    let NatTimeouts { udp_stream, tcp, .. } = behaviour.timeouts;
    let protocols = [(Proto::Udp, udp_stream.unwrap_or(UDP_S)), (Proto::Tcp, tcp.unwrap_or(TCP_S))];
    if is_mapped {
        for (proto, _) in protocols {
            let matches = vec![family(), Match::Proto(proto)];
            aside(table, SOURCE, matches, Verdict::SnatMapped { to: outside, by_remote });
        }
    }
    match behaviour.ports {
        PortChoice::Random => aside(table, SOURCE, vec![family()], Verdict::SnatRandom(outside)),
        PortChoice::Preserve => {
            let taken = vec![family(), Match::PortTaken { v6 }];
            aside(table, SOURCE, taken, Verdict::SnatRandom(outside));
            aside(table, SOURCE, vec![family()], Verdict::Snat(outside));
        }
    }

    let mut lessons = vec![Lesson::Owner];
    lessons.extend(is_mapped.then_some(Lesson::Mapping { by_remote }));
    lessons.extend((behaviour.filtering == Dependence::Address).then_some(Lesson::Peer));
    for what in lessons {
        table.learned.extend(what.learned(v6).into_iter().map(|into: Learned| (into.name(v6).to_owned(), into)));
        for (proto, timeout_s) in protocols {
            let matches = vec![family(), Match::Proto(proto)];
            aside(table, NOTE, matches, Verdict::Learn { what, v6, timeout_s });
        }
    }
}

fn push(table: &mut Table, chain: &str, hook: Hook, matches: Vec<Match>, verdict: Verdict) {
    let empty = Chain { hook: Some(hook), rules: Vec::new() };
    table.chains.entry(chain.to_owned()).or_insert(empty).rules.push(Rule { matches, verdict });
}

/// Adds a rule to a chain that is jumped to.
fn aside(table: &mut Table, chain: &str, matches: Vec<Match>, verdict: Verdict) {
    table.chains.entry(chain.to_owned()).or_default().rules.push(Rule { matches, verdict });
}

fn iif(name: &IfName, not: bool) -> Match {
    Match::Iif(Interfaces { which: InterfaceRef::Name(name.clone()), not })
}

fn oif(name: &IfName, not: bool) -> Match {
    Match::Oif(Interfaces { which: InterfaceRef::Name(name.clone()), not })
}
