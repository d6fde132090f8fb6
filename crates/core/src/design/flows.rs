//! What the host must let pass for a lab to work: asked of other people's rules ([`crate::beside`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::forwarding::{default_route_interfaces, host_routes};
use super::rules::publications;
use super::wiring::{Holder, Place, Wiring};
use crate::beside::{Family, Flow};
use crate::host::Surroundings;
use crate::name::IfName;
use crate::ruleset::Hook;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

/// So many published ports are asked about one by one: each of them meets every rule of others that translates.
const PORTS_MAX: usize = 256;

/// Somewhere in the Internet: an address for which no rule is made, as far as one can tell. Nothing is ever sent there.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)), IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe))];

/// An interface of the lab on the host.
struct Door<'w> {
    name: &'w IfName,
    /// As the lab calls what is behind it: a switch, or a node.
    label: String,
    /// The host's own addresses there.
    own: Vec<IpAddr>,
    /// Addresses behind it.
    behind: Vec<IpAddr>,
    /// A bridge with at least two members.
    shared: bool,
    /// Where it goes out, translated: the interfaces by family; none where it has no NAT.
    out: [Option<BTreeSet<IfName>>; 2],
}

/// All flows of a lab through the host's rules, one for each kind, family and interface.
pub(super) fn flows(wiring: &Wiring<'_>, around: &Surroundings) -> Vec<Flow> {
    let mut doors = doors(wiring, around);
    doors.sort_by_key(|door| door.name);
    let mut flows = Vec::new();
    let routes = host_routes(wiring);
    for v6 in [false, true] {
        let of_family: Vec<&Door<'_>> =
            doors.iter().filter(|door| door.behind.iter().any(|ip| ip.is_ipv6() == v6)).collect();
        for door in &of_family {
            inside(door, v6, &mut flows);
            host(door, v6, &mut flows);
            out(door, v6, &mut flows);
        }
        if routes {
            // from each to the next one, in a circle: every door is asked both ways
            let owned: Vec<_> = of_family.iter().filter(|door| first(&door.own, v6).is_some()).collect();
            for (from, to) in owned.iter().zip(owned.iter().cycle().skip(1)).filter(|_| owned.len() > 1) {
                let flow = Flow { input: Some(from.name.clone()), output: Some(to.name.clone()), ..blank(v6) };
                let what = format!("from {} to {}", from.label, to.label);
                flows.push(with_ends(Flow { what, ..flow }, first(&from.behind, v6), first(&to.behind, v6)));
            }
        }
    }
    flows.extend(published(wiring, around, &doors));
    flows.extend(arriving(wiring, around));
    flows
}

/// The first packet of a TCP connection that the host forwards, of which nothing is known.
fn blank(v6: bool) -> Flow {
    Flow {
        what: String::new(),
        hook: Hook::Forward,
        input: None,
        output: None,
        source: None,
        destination: Err(if v6 { Family::Ipv6 } else { Family::Ipv4 }),
        proto: TCP,
        port: None,
        icmp: None,
        answer: false,
        dnatted: false,
        bridged: false,
    }
}

fn with_ends(flow: Flow, source: Option<IpAddr>, destination: Option<IpAddr>) -> Flow {
    let destination = destination.map_or(flow.destination, Ok);
    Flow { source, destination, ..flow }
}

fn first(addresses: &[IpAddr], v6: bool) -> Option<IpAddr> {
    addresses.iter().copied().find(|ip| ip.is_ipv6() == v6)
}

/// Between members of one switch: where br_netfilter is on, the host's rules are asked.
fn inside(door: &Door<'_>, v6: bool, flows: &mut Vec<Flow>) {
    let mut members = door.behind.iter().copied().filter(|ip| ip.is_ipv6() == v6);
    if let (true, Some(a), Some(b)) = (door.shared, members.next(), members.next()) {
        let through = || Some(door.name.clone());
        let what = format!("between members of {}", door.label);
        let flow = Flow { what, input: through(), output: through(), bridged: true, ..blank(v6) };
        flows.push(with_ends(flow, Some(a), Some(b)));
    }
}

/// Between members and the host: a ping of the gateway, and for IPv6 the question for its hardware address, without which
/// nothing goes through it (RFC 4861).
fn host(door: &Door<'_>, v6: bool, flows: &mut Vec<Flow>) {
    let (Some(own), Some(member)) = (first(&door.own, v6), first(&door.behind, v6)) else { return };
    let (proto, request, reply) = if v6 { (ICMPV6, 128, 129) } else { (ICMP, 8, 0) };
    let input = || Flow { hook: Hook::Input, input: Some(door.name.clone()), proto, ..blank(v6) };
    if let IpAddr::V6(ip) = own {
        let what = format!("questions of {} for the gateway's hardware address", door.label);
        let flow = Flow { what, icmp: Some(135), ..input() };
        flows.push(with_ends(flow, Some(member), Some(solicited(ip).into())));
    }
    let what = format!("pings from {} to the host", door.label);
    flows.push(with_ends(Flow { what, icmp: Some(request), ..input() }, Some(member), Some(own)));
    let from_host = format!("from the host to {}", door.label);
    let output = Flow { hook: Hook::Output, input: None, output: Some(door.name.clone()), ..input() };
    flows.push(with_ends(Flow { what: from_host.clone(), icmp: Some(request), ..output }, Some(own), Some(member)));
    let what = format!("answers {from_host}");
    let flow = Flow { what, icmp: Some(reply), answer: true, ..input() };
    flows.push(with_ends(flow, Some(member), Some(own)));
}

/// The multicast group of the nodes whose address ends so (RFC 4291, section 2.7.1).
fn solicited(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Out through NAT, and the answers.
fn out(door: &Door<'_>, v6: bool, flows: &mut Vec<Flow>) {
    let Some(uplinks) = &door.out[usize::from(v6)] else { return };
    let member = first(&door.behind, v6);
    // without a route out of the host, whatever will be one
    let ways: Vec<Option<&IfName>> = if uplinks.is_empty() { vec![None] } else { uplinks.iter().map(Some).collect() };
    for uplink in ways {
        let by = uplink.map_or_else(String::new, |uplink| format!(" by {uplink}"));
        let flow = Flow { input: Some(door.name.clone()), output: uplink.cloned(), ..blank(v6) };
        let what = format!("from {} out{by}", door.label);
        flows.push(with_ends(Flow { what, ..flow.clone() }, member, Some(ELSEWHERE[usize::from(v6)])));
        let what = format!("answers to {} in{by}", door.label);
        let back = Flow { what, input: flow.output, output: flow.input, answer: true, ..blank(v6) };
        flows.push(with_ends(back, None, member));
    }
}

/// From outside, and from the host itself, to published ports; one of each node and protocol.
fn published(wiring: &Wiring<'_>, around: &Surroundings, doors: &[Door<'_>]) -> Vec<Flow> {
    let mut seen = BTreeSet::new();
    let mut flows = Vec::new();
    for p in publications(wiring) {
        if !seen.insert((p.to, p.number())) {
            continue;
        }
        let label = doors.iter().find(|door| door.name == p.bridge).map_or("", |door| door.label.as_str());
        let known = Flow { output: Some(p.bridge.clone()), proto: p.number(), dnatted: true, ..blank(p.v6) };
        let known = with_ends(Flow { port: Some(p.target()), ..known }, None, Some(p.to));
        if !p.address.is_some_and(|address| address.is_loopback()) {
            for uplink in uplinks(around, p.address, p.v6) {
                let what = format!("from outside by {uplink} to published ports in {label}");
                flows.push(Flow { what, input: Some(uplink), ..known.clone() });
            }
        }
        let what = format!("from the host to published ports in {label}");
        flows.push(Flow { what, hook: Hook::Output, ..known });
    }
    flows
}

/// The same before the host has led them to a node: somebody else may have a use of the port, too.
fn arriving(wiring: &Wiring<'_>, around: &Surroundings) -> Vec<Flow> {
    let mut flows = Vec::new();
    for p in publications(wiring).filter(|p| !p.address.is_some_and(|address| address.is_loopback())) {
        let uplinks = uplinks(around, p.address, p.v6);
        let ways: Vec<(&IfName, Option<IpAddr>)> = uplinks
            .iter()
            .map(|uplink| {
                let own = around.addresses.iter().find(|(ip, name)| name == uplink && ip.is_ipv6() == p.v6);
                (uplink, p.address.or(own.map(|(ip, _)| *ip)))
            })
            .collect();
        for port in p.ports.0..=p.ports.1 {
            for (uplink, to) in &ways {
                if flows.len() == PORTS_MAX {
                    return flows;
                }
                let what = format!("from outside by {uplink} to port {port}/{} of the host", p.proto);
                let input = Some((*uplink).clone());
                let hook = Hook::Prerouting;
                let flow = Flow { what, hook, input, proto: p.number(), port: Some(port), ..blank(p.v6) };
                flows.push(with_ends(flow, None, *to));
            }
        }
    }
    flows
}

/// The host's interfaces by which others come to a published address.
fn uplinks(around: &Surroundings, address: Option<IpAddr>, v6: bool) -> BTreeSet<IfName> {
    match address {
        Some(address) => {
            around.addresses.iter().filter(|(own, _)| *own == address).map(|(_, name)| name.clone()).collect()
        }
        None => default_route_interfaces(around, v6),
    }
}

fn doors<'w>(wiring: &'w Wiring<'_>, around: &Surroundings) -> Vec<Door<'w>> {
    let own: BTreeMap<&IfName, &[IpNet]> = wiring.addressed(Place::Host).collect();
    let addresses = |nets: &[IpNet]| nets.iter().map(IpNet::addr).collect::<Vec<_>>();
    let mut doors = Vec::new();
    for (index, bridge) in wiring.bridges.iter().enumerate().filter(|(_, bridge)| bridge.place == Place::Host) {
        let members = || wiring.members(index).filter(|side| !side.is_of(Place::Host));
        let nat = bridge.switch.nat.as_ref().filter(|_| bridge.is_gateway());
        let out = [false, true].map(|v6| {
            nat.map(|nat| match &nat.out {
                Some(out) => BTreeSet::from([out.value.clone()]),
                None => default_route_interfaces(around, v6),
            })
        });
        doors.push(Door {
            name: &bridge.name,
            label: bridge.switch.name.to_string(),
            own: own.get(&bridge.name).map(|nets| addresses(nets)).unwrap_or_default(),
            behind: members().flat_map(|side| addresses(&side.addresses)).collect(),
            shared: members().nth(1).is_some(),
            out,
        });
    }
    for (side, far) in wiring.interfaces(Place::Host) {
        if let Holder::Node(place @ Place::Node(_)) = far.owner {
            doors.push(Door {
                name: &side.name,
                label: place.as_str().to_owned(),
                own: addresses(&side.addresses),
                behind: addresses(&far.addresses),
                shared: false,
                out: [None, None],
            });
        }
    }
    doors
}
