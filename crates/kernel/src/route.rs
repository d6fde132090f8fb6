//! Routes in rtnetlink's words: what is asked, and what is answered. Numbers are from include/uapi/linux/rtnetlink.h.

use std::net::IpAddr;

use ipnet::IpNet;
use raum_core::state::{Route, RouteKind};

use crate::address::{AF_INET, AF_INET6, ip};
use crate::message::{
    Answer, Attribute, Attributes, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE, Request, Requests, i32_at, u16_at,
};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;

const RT_TABLE_MAIN: u8 = 254;
const RTPROT_UNSPEC: u8 = 0;
const RTPROT_KERNEL: u8 = 2;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_NOWHERE: u8 = 255;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const RTN_PROHIBIT: u8 = 8;
/// Of routes to subnets (include/net/ip6_route.h).
const IP6_RT_PRIO_ADDRCONF: u32 = 256;
const RTM_F_CLONED: u32 = 0x200;

/// One route of the main table, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// The destination.
    pub to: IpNet,
    /// The metric.
    pub metric: u32,
    /// What happens to packets.
    pub kind: RouteKind,
    /// Protocol `boot` or `static`: a person or a program wrote it; not the kernel, not a routing daemon.
    pub written: bool,
    /// The next hops, each with its interface's index; one, unless it is a multipath route. None for what is no unicast.
    pub hops: Vec<(Option<IpAddr>, u32)>,
}

/// `struct rtmsg`: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
fn rtmsg(to: IpNet, protocol: u8, scope: u8, kind: RouteKind) -> [u8; 12] {
    let family = if matches!(to, IpNet::V4(_)) { AF_INET } else { AF_INET6 };
    let kind = match kind {
        RouteKind::Unicast => RTN_UNICAST,
        RouteKind::Blackhole => RTN_BLACKHOLE,
        RouteKind::Unreachable => RTN_UNREACHABLE,
        RouteKind::Prohibit => RTN_PROHIBIT,
        RouteKind::Local => RTN_LOCAL,
    };
    [family, to.prefix_len(), 0, 0, RT_TABLE_MAIN, protocol, scope, kind, 0, 0, 0, 0]
}

fn fill(request: &mut Request<'_>, route: &Route, index: Option<u32>) {
    let address = |request: &mut Request<'_>, kind: u16, ip: IpAddr| {
        match ip {
            IpAddr::V4(ip) => request.attribute(kind, &ip.octets()),
            IpAddr::V6(ip) => request.attribute(kind, &ip.octets()),
        };
    };
    if route.to.prefix_len() > 0 {
        address(request, RTA_DST, route.to.network());
    }
    if let Some(via) = route.via {
        if via.is_ipv4() == matches!(route.to, IpNet::V4(_)) {
            address(request, RTA_GATEWAY, via);
        } else if let IpAddr::V6(via) = via {
            // IPv4 by way of an IPv6 router (RFC 5549): struct rtvia is the family and the address
            let mut content = [0; 18];
            content[..2].copy_from_slice(&u16::from(AF_INET6).to_ne_bytes());
            content[2..].copy_from_slice(&via.octets());
            request.attribute(RTA_VIA, &content);
        }
    }
    if let Some(index) = index {
        request.u32(RTA_OIF, index);
    }
    if route.metric != 0 {
        request.u32(RTA_PRIORITY, route.metric);
    }
}

/// Adds a route or puts it in the place of the one with the same prefix and metric.
pub(crate) fn set(requests: &mut Requests, route: &Route, index: Option<u32>) {
    // as ip(8) chooses it: a route without gateway leads to the link itself; IPv6 knows no scopes here
    let direct = route.kind == RouteKind::Unicast && route.via.is_none() && matches!(route.to, IpNet::V4(_));
    let scope = if direct { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
    let header = rtmsg(route.to, RTPROT_STATIC, scope, route.kind);
    fill(&mut requests.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header), route, index);
}

/// Adds the route to an address's subnet as the kernel makes it with the address (`fib_add_ifaddr`, net/ipv4/fib_frontend.c;
/// `addrconf_prefix_route`, net/ipv6/addrconf.c), so that it goes with the address. After those of other links to the same subnet.
pub(crate) fn add_subnet(requests: &mut Requests, index: u32, address: IpNet) {
    let v4 = matches!(address, IpNet::V4(_));
    let to = address.trunc();
    let metric = if v4 { 0 } else { IP6_RT_PRIO_ADDRCONF };
    let route = Route { to, metric, kind: RouteKind::Unicast, via: None, dev: None };
    let scope = if v4 { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
    let header = rtmsg(to, RTPROT_KERNEL, scope, RouteKind::Unicast);
    let mut request = requests.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, &header);
    fill(&mut request, &route, Some(index));
    if let IpAddr::V4(address) = address.addr() {
        request.attribute(RTA_PREFSRC, &address.octets());
    }
}

/// Removes a route, whoever wrote it.
pub(crate) fn delete(requests: &mut Requests, route: &Route, index: Option<u32>) {
    let header = rtmsg(route.to, RTPROT_UNSPEC, RT_SCOPE_NOWHERE, route.kind);
    fill(&mut requests.request(RTM_DELROUTE, 0, &header), route, index);
}

/// Asks for the routes of a family's main table; for a dump.
pub(crate) fn list(requests: &mut Requests, v6: bool) {
    let mut header = [0; 12];
    header[0] = if v6 { AF_INET6 } else { AF_INET };
    // in the attribute: a filter by the header's field would only be known to IPv6
    requests.request(RTM_GETROUTE, 0, &header).u32(RTA_TABLE, u32::from(RT_TABLE_MAIN));
}

/// Reads a route of the main table from an answer; None for other tables, clones, types that raum does not know, and
/// routes for one TOS.
#[must_use]
pub fn decode(answer: &Answer<'_>) -> Option<RouteInfo> {
    if answer.kind != RTM_NEWROUTE {
        return None;
    }
    let (header, attributes) = answer.split(12)?;
    let &[family, to_len, from_len, tos, table, protocol, _, kind, ..] = header else { return None };
    let kind = match kind {
        RTN_UNICAST => RouteKind::Unicast,
        RTN_BLACKHOLE => RouteKind::Blackhole,
        RTN_UNREACHABLE => RouteKind::Unreachable,
        RTN_PROHIBIT => RouteKind::Prohibit,
        RTN_LOCAL => RouteKind::Local,
        _ => return None,
    };
    let cloned = i32_at(header, 8)? & i32::try_from(RTM_F_CLONED).ok()? != 0;
    let any = ip(family, &[0; 16])?;
    let (mut to, mut metric, mut in_table) = (any, 0, u32::from(table));
    let mut hop = (None, None);
    let mut hops = Vec::new();
    for attribute in attributes {
        match attribute.kind {
            RTA_DST => to = ip(family, attribute.bytes)?,
            RTA_TABLE => in_table = attribute.u32()?,
            RTA_PRIORITY => metric = attribute.u32()?,
            RTA_OIF => hop.1 = attribute.u32(),
            RTA_GATEWAY | RTA_VIA => hop.0 = gateway(family, attribute),
            RTA_MULTIPATH => hops = multipath(family, attribute.bytes),
            _ => {}
        }
    }
    if cloned || tos != 0 || from_len != 0 || in_table != u32::from(RT_TABLE_MAIN) {
        return None;
    }
    if let (via, Some(index)) = hop {
        hops.push((via, index));
    }
    if !matches!(kind, RouteKind::Unicast | RouteKind::Local) {
        // IPv6 says `dev lo` for these
        hops.clear();
    }
    let to = IpNet::new(to, to_len).ok()?;
    Some(RouteInfo { to, metric, kind, written: matches!(protocol, RTPROT_BOOT | RTPROT_STATIC), hops })
}

fn gateway(family: u8, attribute: Attribute<'_>) -> Option<IpAddr> {
    if attribute.kind == RTA_GATEWAY {
        return ip(family, attribute.bytes);
    }
    let family = u8::try_from(u16_at(attribute.bytes, 0)?).ok()?;
    ip(family, attribute.bytes.get(2..)?)
}

/// `struct rtnexthop`: length, flags, hops (weight), index; then attributes.
fn multipath(family: u8, mut bytes: &[u8]) -> Vec<(Option<IpAddr>, u32)> {
    let mut hops = Vec::new();
    while let (Some(length), Some(index)) = (u16_at(bytes, 0), i32_at(bytes, 4)) {
        let length = usize::from(length);
        let Some(attributes) = bytes.get(8..length) else { break };
        let via = Attributes::new(attributes).find_map(|attribute| match attribute.kind {
            RTA_GATEWAY | RTA_VIA => gateway(family, attribute),
            _ => None,
        });
        if let Ok(index) = u32::try_from(index) {
            hops.push((via, index));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Answers;
    use raum_core::name::IfName;

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let eth0 = IfName::new("eth0").unwrap();
        for (to, via) in [
            ("0.0.0.0/0", Some("10.0.0.1")),
            ("10.9.0.0/16", None),
            ("::/0", Some("fd00::1")),
            ("10.8.0.0/16", Some("fe80::1")),
        ] {
            let route = Route::unicast(to.parse().unwrap(), via.map(|via| via.parse().unwrap()), eth0.clone());
            let mut requests = Requests::new();
            set(&mut requests, &route, Some(5));
            let read = decode(&Answers::new(requests.bytes()).next().unwrap()).unwrap();
            let want = RouteInfo {
                to: route.to,
                metric: route.metric,
                kind: RouteKind::Unicast,
                written: true,
                hops: vec![(route.via, 5)],
            };
            assert_eq!(read, want);
        }
    }

    #[test]
    fn garbage_is_no_route() {
        for length in 0..80 {
            for byte in [0, 1, 0xff] {
                let body = vec![byte; length];
                let read = decode(&Answer { kind: RTM_NEWROUTE, flags: 0, sequence: 0, body: &body });
                assert_eq!(read, None, "{length} times {byte}");
            }
        }
        assert!(multipath(AF_INET, &[0xff; 30]).is_empty());
        assert!(multipath(AF_INET, &[0; 30]).is_empty());
    }
}
