//! What the kernel does by itself when something is removed or taken down: the account that `diff` keeps of a namespace's
//! links and routes while it plans.
//!
//! The account is a pessimist: what may be lost is struck off, and asserted again if it is wanted. That is harmless, since
//! adding an address that is there and setting a route that is there change nothing.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::name::IfName;
use crate::state::{Link, PortFlag, Route};

/// The links and routes of a namespace at one moment of the plan.
pub(super) struct Account {
    pub links: BTreeMap<IfName, Link>,
    pub routes: BTreeSet<Route>,
}

impl Account {
    /// A link is deleted: its routes go, its ports are free.
    pub fn link_deleted(&mut self, name: &IfName) {
        self.links.remove(name);
        self.routes.retain(|route| route.dev.as_ref() != Some(name));
        for link in self.links.values_mut().filter(|link| link.master.as_ref() == Some(name)) {
            link.master = None;
            (link.isolated, link.hairpin) = (false, false);
            link.unusual.clear();
        }
    }

    /// A link goes down: IPv4 keeps its addresses but no routes, IPv6 nothing (`fib_disable_ip`, net/ipv4/fib_frontend.c;
    /// `addrconf_ifdown`, net/ipv6/addrconf.c; it keeps addresses if `keep_addr_on_down` is set). Neighbours go, permanent
    /// ones too (`neigh_ifdown`, net/core/neighbour.c).
    pub fn link_down(&mut self, name: &IfName) {
        self.routes.retain(|route| route.dev.as_ref() != Some(name));
        if let Some(link) = self.links.get_mut(name) {
            link.up = false;
            link.addresses.retain(|address| matches!(address, IpNet::V4(_)));
            // with the link, the subnets of the addresses that it kept come back
            link.unrouted.clear();
            link.unusual.remove(&PortFlag::Forwarding);
            link.neighbours.clear();
        }
    }

    /// A link's hardware address changes, or `arp`: its neighbours, permanent ones too, are forgotten (`neigh_changeaddr`, called by
    /// `arp_netdev_event`, net/ipv4/arp.c, and `ndisc_netdev_event`, net/ipv6/ndisc.c).
    pub fn face_changed(link: &mut Link) {
        link.neighbours.clear();
    }

    /// `lo` goes down: IPv6 routes through no link, which the kernel hangs on `lo`, go.
    pub fn loopback_down(&mut self) {
        self.routes.retain(|route| route.dev.is_some() || matches!(route.to, IpNet::V4(_)));
    }

    /// An address is deleted. An IPv4 address that is no secondary one takes the others of its subnet along unless
    /// `promote_secondaries` is set (`__inet_del_ifa`, net/ipv4/devinet.c). With the last IPv4 address go all IPv4 routes
    /// through the link, and its IPv4 neighbours (`fib_inetaddr_event`, `fib_disable_ip`, net/ipv4/fib_frontend.c). IPv6 knows
    /// neither.
    pub fn address_deleted(&mut self, name: &IfName, address: IpNet) {
        let Some(link) = self.links.get_mut(name) else { return };
        link.addresses.remove(&address);
        link.unrouted.remove(&address);
        if matches!(address, IpNet::V6(_)) || link.secondary.contains(&address) {
            return;
        }
        link.addresses.retain(|other| other.trunc() != address.trunc());
        if !link.addresses.iter().any(|address| matches!(address, IpNet::V4(_))) {
            link.neighbours.retain(|address, _| address.is_ipv6());
            let is_v4 = |route: &Route| matches!(route.to, IpNet::V4(_));
            self.routes.retain(|route| route.dev.as_ref() != Some(name) || !is_v4(route));
        }
    }
}
