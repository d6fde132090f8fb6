//! Routes of all tables, and the rules that say which table is asked. Numbers are from include/uapi/linux/rtnetlink.h and
//! fib_rules.h.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use raum_core::host::OpError;
use raum_core::view::{Forwards, Hop, MAIN, PolicyRule, RouteEntry};

use super::{AF_INET, AF_INET6, dump, harmless, ip};
use crate::message::{Answer, Attribute, Attributes, Requests, u16_at, u32_at};
use crate::socket::Socket;

const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;
const RTM_GETNETCONF: u16 = 82;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;
const NETCONFA_IFINDEX_ALL: i32 = -1;
const RT_TABLE_MAIN: u32 = 254;
/// An entry of a cache.
const RTM_F_CLONED: u32 = 0x200;

/// The names of links by index.
pub(crate) type Names = BTreeMap<u32, String>;

/// Lists the routes of the main table, or of all.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn list(socket: &mut Socket, names: &Names, all: bool) -> Result<Vec<RouteEntry>, OpError> {
    let mut routes = Vec::new();
    for family in [AF_INET, AF_INET6] {
        // rtmsg: family, lengths, tos, table, …: strict checking lets the kernel give only the main table
        let table = if all { 0 } else { 254 };
        let header = [family, 0, 0, 0, table, 0, 0, 0, 0, 0, 0, 0];
        match dump(socket, RTM_GETROUTE, &header) {
            Ok(reply) => routes.extend(
                reply.answers().filter_map(|answer| decode(&answer, names)).filter(|found| all || found.table == MAIN),
            ),
            // the table is made with its first route ("ipv4: FIB table does not exist")
            Err(error) if error.code == "ENOENT" => {}
            // a kernel without IPv6
            Err(error) if family == AF_INET6 && error.code == "EOPNOTSUPP" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(routes)
}

/// Asks whether packets are passed on: `conf/all/forwarding` of each family (include/uapi/linux/netconf.h).
///
/// # Errors
/// The kernel's refusal.
pub(super) fn forwards(socket: &mut Socket) -> Result<Forwards, OpError> {
    let mut on = |family: u8| {
        let mut requests = Requests::new();
        requests
            .request(RTM_GETNETCONF, 0, &[family, 0, 0, 0])
            .attribute(NETCONFA_IFINDEX, &NETCONFA_IFINDEX_ALL.to_ne_bytes());
        let (reply, outcomes) = socket.ask(&mut requests)?;
        outcomes.into_iter().collect::<Result<(), OpError>>()?;
        let told = reply.answers().filter_map(|answer| answer.split(4)?.1.find(NETCONFA_FORWARDING)?.i32()).next();
        Ok(told == Some(1))
    };
    let v4 = on(AF_INET)?;
    let v6 = match on(AF_INET6) {
        // a kernel without IPv6
        Err(error) if ["EOPNOTSUPP", "EAFNOSUPPORT", "EINVAL"].contains(&error.code) => false,
        asked => asked?,
    };
    Ok(Forwards { v4, v6 })
}

/// Lists the rules.
///
/// # Errors
/// The kernel's refusal. One that is built without rules has none.
pub(crate) fn rules(socket: &mut Socket) -> Result<Vec<PolicyRule>, OpError> {
    let mut rules = Vec::new();
    for family in [AF_INET, AF_INET6] {
        match dump(socket, RTM_GETRULE, &[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) {
            Ok(reply) => rules.extend(reply.answers().filter_map(|answer| decode_rule(&answer))),
            Err(error) if ["EOPNOTSUPP", "EAFNOSUPPORT"].contains(&error.code) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rules)
}

/// Reads a route; None if the message is none, or an entry of a cache.
pub(crate) fn decode(answer: &Answer<'_>, names: &Names) -> Option<RouteEntry> {
    let (header, attributes) = answer.split(12)?;
    let (family, length, kind) = (*header.first()?, *header.get(1)?, *header.get(7)?);
    let table =
        attributes.find(15).and_then(Attribute::u32).unwrap_or_else(|| header.get(4).map_or(0, |t| u32::from(*t)));
    if u32_at(header, 8)? & RTM_F_CLONED != 0 {
        return None;
    }
    let to = attributes.find(1).and_then(ip).unwrap_or_else(|| any(family));
    let device = |index: u32| names.get(&index).cloned().unwrap_or_else(|| index.to_string());
    let mut more: Vec<Hop> = attributes.find(9).map(|hops| multipath(hops.bytes, &device)).unwrap_or_default();
    let mut via = gateway(attributes);
    let mut dev = attributes.find(4).and_then(Attribute::u32).map(device);
    if dev.is_none() && via.is_none() && !more.is_empty() {
        let first = more.remove(0);
        (via, dev) = (first.via, first.dev);
    }
    Some(RouteEntry {
        to: IpNet::new(to, length).ok()?,
        kind: route_kind(kind).to_owned(),
        via,
        dev,
        source: attributes.find(7).and_then(ip),
        metric: attributes.find(6).and_then(Attribute::u32).unwrap_or(0),
        protocol: protocol(*header.get(5)?),
        table: table_name(table),
        more,
    })
}

fn any(family: u8) -> IpAddr {
    if family == AF_INET { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

/// `RTA_GATEWAY`, or `RTA_VIA`: IPv4 by way of an IPv6 router (RFC 5549).
pub(crate) fn gateway(attributes: Attributes<'_>) -> Option<IpAddr> {
    let through = |attribute: Attribute<'_>| ip(Attribute { kind: 0, bytes: attribute.bytes.get(2..)? });
    attributes.find(5).and_then(ip).or_else(|| attributes.find(18).and_then(through))
}

/// `struct rtnexthop`: length, flags, hops (weight), index; then attributes.
fn multipath(mut bytes: &[u8], device: &impl Fn(u32) -> String) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let (Some(length), Some(index)) = (u16_at(bytes, 0), u32_at(bytes, 4)) {
        let length = usize::from(length);
        let Some(attributes) = bytes.get(8..length) else { break };
        hops.push(Hop { via: gateway(Attributes::new(attributes)), dev: Some(device(index)) });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

/// As /etc/iproute2/rt_tables calls those that everybody has.
fn table_name(number: u32) -> String {
    match number {
        253 => "default".to_owned(),
        RT_TABLE_MAIN => MAIN.to_owned(),
        255 => "local".to_owned(),
        other => other.to_string(),
    }
}

fn route_kind(kind: u8) -> &'static str {
    // RTN_*
    match kind {
        1 => "unicast",
        2 => "local",
        3 => "broadcast",
        4 => "anycast",
        5 => "multicast",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        9 => "throw",
        10 => "nat",
        _ => "unknown",
    }
}

/// RTPROT_*, as /etc/iproute2/rt_protos calls them.
fn protocol(number: u8) -> String {
    let name = match number {
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        9 => "ra",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        _ => return number.to_string(),
    };
    name.to_owned()
}

/// Reads a rule: `struct fib_rule_hdr` is family, lengths of destination and source, TOS, table, two reserved, action, flags.
pub(super) fn decode_rule(answer: &Answer<'_>) -> Option<PolicyRule> {
    /// `FIB_RULE_INVERT`.
    const INVERT: u32 = 2;
    let (header, attributes) = answer.split(12)?;
    let &[family, to_length, from_length, tos, table, _, _, action, ..] = header else { return None };
    let flags = u32_at(header, 8)?;
    let mut rule = PolicyRule {
        v6: family == AF_INET6,
        priority: 0,
        not: flags & INVERT != 0,
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        others: Vec::new(),
        action: String::new(),
        table: None,
    };
    let (mut number, mut mark, mut mask) = (u32::from(table), None, u32::MAX);
    for attribute in attributes {
        match attribute.kind {
            1 => rule.to = IpNet::new(ip(attribute)?, to_length).ok(),
            2 => rule.from = IpNet::new(ip(attribute)?, from_length).ok(),
            3 => rule.iif = Some(harmless(attribute.bytes)),
            6 => rule.priority = attribute.u32()?,
            10 => mark = attribute.u32(),
            15 => number = attribute.u32()?,
            16 => mask = attribute.u32()?,
            17 => rule.oif = Some(harmless(attribute.bytes)),
            // who made it (FRA_PROTOCOL), padding, and the suppressors when they say that nothing is suppressed
            21 | 18 => {}
            13 | 14 if attribute.u32() == Some(u32::MAX) => {}
            other => rule.others.push(other),
        }
    }
    rule.mark = mark.filter(|mark| *mark != 0 || mask != u32::MAX).map(|mark| (mark, mask));
    // FRA_DSCP is newer than the field of the header
    if tos != 0 {
        rule.others.push(0);
    }
    let action = match action {
        1 => "lookup",
        2 => "goto",
        3 => "nop",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        _ => "unknown",
    };
    rule.action = action.to_owned();
    rule.table = (action == "lookup").then(|| table_name(number));
    Some(rule)
}
