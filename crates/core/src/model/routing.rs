//! Which routes the kernel takes: a gateway must be a neighbour.

use std::net::IpAddr;

use ipnet::IpNet;

use super::refusal::{ehostunreach, einval, enetdown, enetunreach, enodev};
use super::room::{Iface, MTU_MIN_V6, Room, is_v4};
use crate::host::OpError;
use crate::name::IfName;
use crate::state::{Route, RouteKind};

impl Room {
    /// Would the kernel take the route now?
    pub(super) fn check_route(&self, route: &Route) -> Result<(), OpError> {
        if route.to != route.to.trunc() {
            return Err(einval("Invalid prefix for given prefix length"));
        }
        if route.via.is_some_and(|via| via.is_ipv4() != is_v4(&route.to)) {
            return Err(einval("Gateway address family does not match route"));
        }
        let (name, iface) = match (route.kind, &route.dev) {
            (RouteKind::Unicast | RouteKind::Local, Some(dev)) => (dev, self.links.get(dev).ok_or_else(|| enodev(""))?),
            (RouteKind::Unicast | RouteKind::Local, None) => return Err(einval("a route without interface")),
            (_, None) if route.via.is_none() => return Ok(()),
            _ => return Err(einval("Nexthop specified for a route that rejects")),
        };
        if !is_v4(&route.to) && iface.mtu < MTU_MIN_V6 {
            return Err(enodev(""));
        }
        if !iface.up {
            return Err(match route.via {
                Some(IpAddr::V4(_)) => enetunreach("Nexthop has invalid gateway"),
                Some(IpAddr::V6(_)) => enetdown("Nexthop device is not up"),
                None => enetdown("Device for nexthop is not up"),
            });
        }
        match route.via {
            None => Ok(()),
            Some(via @ IpAddr::V4(_)) => self.check_gateway_v4(name, iface, via),
            Some(via @ IpAddr::V6(_)) => self.check_gateway_v6(name, iface, via),
        }
    }

    /// `fib_check_nh_v4_gw`, net/ipv4/fib_semantics.c: a route of link scope through the interface leads to it. An own
    /// address of the interface will do, a broadcast address will not.
    fn check_gateway_v4(&self, name: &IfName, iface: &Iface, via: IpAddr) -> Result<(), OpError> {
        let words = "Nexthop has invalid gateway";
        let is_broadcast = |net: &&IpNet| net.prefix_len() < 31 && net.broadcast() == via;
        if iface.addresses.iter().find(is_broadcast).is_some() {
            return Err(einval(words));
        }
        let is_connected = iface.addresses.iter().any(|net| net.contains(&via));
        let mut direct = self.routes.iter().filter(|route| route.dev.as_ref() == Some(name) && route.via.is_none());
        if is_connected || direct.any(|route| route.to.contains(&via)) { Ok(()) } else { Err(enetunreach(words)) }
    }

    /// `ip6_validate_gw`, net/ipv6/route.c: not an own address, and the best route to it through the interface has no
    /// gateway itself.
    fn check_gateway_v6(&self, name: &IfName, iface: &Iface, via: IpAddr) -> Result<(), OpError> {
        if self.links.values().any(|iface| iface.addresses.iter().any(|own| own.addr() == via)) {
            return Err(einval("Gateway can not be a local address"));
        }
        let is_link_local = matches!(via, IpAddr::V6(via) if via.is_unicast_link_local());
        let connected = iface.addresses.iter().map(|net| (net.trunc(), 256, false));
        let through = self.routes.iter().filter(|route| route.dev.as_ref() == Some(name));
        let made = through.map(|route| (route.to, route.metric, route.via.is_some()));
        let matching = connected.chain(made).filter(|(net, ..)| net.contains(&via));
        let best = matching.min_by_key(|(net, metric, _)| (u8::MAX - net.prefix_len(), *metric));
        match best {
            _ if is_link_local => Ok(()),
            Some((_, _, false)) => Ok(()),
            _ => Err(ehostunreach("")),
        }
    }
}
