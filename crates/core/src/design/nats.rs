//! NATs as found in the field: what makes a router behave like one of them. docs/nat.md has the terms and sources.
//!
//! | like | mapping | filtering | how |
//! |---|---|---|---|
//! | home | endpoint-independent, keeps the port | address and port | `masquerade`, as Linux does it |
//! | corporate, cloud | address and port | address and port | `masquerade fully-random` |
//! | full-cone, carrier-grade | endpoint-independent | endpoint-independent | `masquerade`, and maps that learn who has a port |

use std::net::IpAddr;

use ipnet::IpNet;

use super::wiring::{Place, Wiring};
use crate::lab::{NatLike, Proto};
use crate::name::IfName;
use crate::nft::{Chain, Hook, InterfaceRef, Interfaces, Learned, Match, Rule, Table, Verdict};
use crate::state::Sysctl;

/// How long flows are remembered after their last packet, in seconds.
struct Timeouts {
    /// UDP of which only one side has been heard.
    udp: u32,
    /// UDP of which both have.
    udp_stream: u32,
    /// TCP that is established.
    tcp: u32,
}

/// Of each kind; sources in docs/nat.md.
fn timeouts(like: NatLike) -> Timeouts {
    match like {
        NatLike::Home => Timeouts { udp: 60, udp_stream: 180, tcp: 7440 },
        NatLike::Corporate => Timeouts { udp: 120, udp_stream: 120, tcp: 3600 },
        NatLike::FullCone | NatLike::CarrierGrade => Timeouts { udp: 300, udp_stream: 300, tcp: 7440 },
        NatLike::Cloud => Timeouts { udp: 350, udp_stream: 350, tcp: 350 },
    }
}

/// The router's sysctls.
pub(super) fn sysctls(like: NatLike) -> impl Iterator<Item = (Sysctl, String)> {
    let Timeouts { udp, udp_stream, tcp } = timeouts(like);
    let keys = [("udp_timeout", udp), ("udp_timeout_stream", udp_stream), ("tcp_timeout_established", tcp)];
    let key = |(name, seconds): (&str, u32)| {
        Some((Sysctl::new(&format!("net/netfilter/nf_conntrack_{name}")).ok()?, seconds.to_string()))
    };
    keys.into_iter().filter_map(key)
}

/// Adds the rules for what leaves by `out`, and for what comes in by it.
pub(super) fn add(wiring: &Wiring<'_>, router: Place<'_>, out: &IfName, like: NatLike, table: &mut Table) {
    match like {
        NatLike::Home => push(table, "postrouting", Hook::SnatPostrouting, vec![oif(out, false)], Verdict::Masquerade),
        NatLike::Corporate | NatLike::Cloud => {
            push(table, "postrouting", Hook::SnatPostrouting, vec![oif(out, false)], Verdict::MasqueradeRandom);
        }
        NatLike::FullCone | NatLike::CarrierGrade => cone(wiring, router, out, like, table),
    }
    // whoever is outside and routes into the network on purpose
    let comes = || vec![iif(out, false)];
    push(table, "shield", Hook::FilterForward, [comes(), vec![Match::Established]].concat(), Verdict::Accept);
    push(table, "shield", Hook::FilterForward, [comes(), vec![Match::Dnatted]].concat(), Verdict::Accept);
    push(table, "shield", Hook::FilterForward, comes(), Verdict::Drop);
}

/// The flow that leaves tells which port of the router is whose; what comes to that port, from wherever, is theirs.
fn cone(wiring: &Wiring<'_>, router: Place<'_>, out: &IfName, like: NatLike, table: &mut Table) {
    let Timeouts { udp_stream, tcp, .. } = timeouts(like);
    let own = wiring.addressed(router).filter(|(name, _)| *name == out).flat_map(|(_, nets)| nets);
    let own: Vec<IpAddr> = own.map(IpNet::addr).collect();
    for v6 in [false, true] {
        // one address of each family: a pool would need paired pooling (RFC 4787, REQ-2)
        let Some(outside) = own.iter().copied().find(|ip| ip.is_ipv6() == v6) else { continue };
        table.learned.insert(Learned::address_map(v6).to_owned(), Learned::Address { v6 });
        table.learned.insert(Learned::port_map(v6).to_owned(), Learned::Port);
        let prefix = IpNet::from(outside);
        let to_outside = Match::Daddr { prefix, not: false };
        push(table, "prerouting", Hook::DnatPrerouting, vec![to_outside], Verdict::DnatLearned { v6 });
        // hairpins have the outer address as source (RFC 4787, REQ-9)
        let inside = vec![iif(out, true), oif(out, true), Match::Family { v6 }, Match::Dnatted];
        push(table, "postrouting", Hook::SnatPostrouting, inside, Verdict::Snat(outside));
        push(
            table,
            "postrouting",
            Hook::SnatPostrouting,
            vec![oif(out, false), Match::Family { v6 }],
            Verdict::Snat(outside),
        );
        for (proto, timeout_s) in [(Proto::Udp, udp_stream), (Proto::Tcp, tcp)] {
            let leaves = vec![oif(out, false), Match::Family { v6 }, Match::Original, Match::Proto(proto)];
            push(table, "learn", Hook::Learn, leaves, Verdict::Learn { v6, timeout_s });
        }
    }
}

fn push(table: &mut Table, chain: &str, hook: Hook, matches: Vec<Match>, verdict: Verdict) {
    let empty = Chain { hook: Some(hook), rules: Vec::new() };
    table.chains.entry(chain.to_owned()).or_insert(empty).rules.push(Rule { matches, verdict });
}

fn iif(name: &IfName, not: bool) -> Match {
    Match::Iif(Interfaces { which: InterfaceRef::Name(name.clone()), not })
}

fn oif(name: &IfName, not: bool) -> Match {
    Match::Oif(Interfaces { which: InterfaceRef::Name(name.clone()), not })
}
