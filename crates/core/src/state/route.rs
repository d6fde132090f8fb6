//! Routes of the main table.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::IfName;

/// The metric that the kernel gives to an IPv6 route made without one (`IP6_RT_PRIO_USER`, include/net/ip6_route.h). For
/// IPv4 it is 0. A [`Route`] always carries the effective metric.
pub const DEFAULT_METRIC_V6: u32 = 1024;

/// What happens to a packet that the route matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    /// It is sent on.
    #[default]
    Unicast,
    /// Dropped in silence.
    Blackhole,
    /// Answered with ICMP host unreachable.
    Unreachable,
    /// Answered with ICMP administratively prohibited.
    Prohibit,
    /// Its destination is the namespace itself, for packets by one interface: `local ::1` lets answers to a client of ::1 in
    /// (see [`crate::design`]). A lab file cannot ask for it.
    Local,
}

/// One route. Two routes with the same prefix and metric are alternatives: the kernel takes only one of them by `replace`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The destination, host bits zero; `0.0.0.0/0` and `::/0` are the default routes.
    pub to: IpNet,
    /// Lower wins; 0 for IPv4 and [`DEFAULT_METRIC_V6`] for IPv6 unless asked otherwise.
    pub metric: u32,
    /// Unicast, or why not.
    #[serde(default)]
    pub kind: RouteKind,
    /// The next hop, of the family of `to`.
    #[serde(default)]
    pub via: Option<IpAddr>,
    /// The interface it leaves by; always there for unicast and local, in wanted states as in observed ones. None
    /// otherwise.
    #[serde(default)]
    pub dev: Option<IfName>,
}

impl Route {
    /// A unicast route with the family's usual metric.
    #[must_use]
    pub fn unicast(to: IpNet, via: Option<IpAddr>, dev: IfName) -> Self {
        Self { to, metric: Self::usual_metric(to), kind: RouteKind::Unicast, via, dev: Some(dev) }
    }

    /// What the kernel gives to a route of this family made without a metric.
    #[must_use]
    pub fn usual_metric(to: IpNet) -> u32 {
        if matches!(to, IpNet::V6(_)) { DEFAULT_METRIC_V6 } else { 0 }
    }
}

impl fmt::Display for Route {
    /// As `ip route` prints it: `default via 10.1.0.1 dev eth0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast => {}
            RouteKind::Blackhole => f.write_str("blackhole ")?,
            RouteKind::Unreachable => f.write_str("unreachable ")?,
            RouteKind::Prohibit => f.write_str("prohibit ")?,
            RouteKind::Local => f.write_str("local ")?,
        }
        if self.to.prefix_len() == 0 {
            f.write_str("default")?
        } else {
            write!(f, "{}", self.to)?
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        if self.metric != Self::usual_metric(self.to) {
            write!(f, " metric {}", self.metric)?;
        }
        Ok(())
    }
}
