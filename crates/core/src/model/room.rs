//! What is in one namespace of the imagined host, and what the kernel does there by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::beside::Opening;
use crate::name::{IfName, LabName, Mac, NsId};
use crate::nft::Table;
use crate::state::{PortFlag, Route, Sysctl};

/// Below this a link has no IPv6 (`IPV6_MIN_MTU`).
pub(super) const MTU_MIN_V6: u32 = 1280;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    /// The alias of `lo`.
    pub mark: Option<LabName>,
    pub loopback_up: bool,
    pub links: BTreeMap<IfName, Iface>,
    /// Of the main table and not made by the kernel, oldest first.
    pub routes: Vec<Route>,
    /// Those that have ever been written.
    pub sysctls: BTreeMap<Sysctl, String>,
    pub tables: BTreeMap<String, Table>,
    /// In chains of others, which all are thought of as existing.
    pub openings: BTreeMap<LabName, BTreeSet<Opening>>,
    /// Interfaces in firewalld's zone.
    pub zones: BTreeSet<IfName>,
    pub promote_secondaries: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bridge,
    Veth { peer_ns: NsId, peer: IfName },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Iface {
    pub kind: Kind,
    pub up: bool,
    pub mtu: u32,
    pub mac: Mac,
    pub master: Option<IfName>,
    pub isolated: bool,
    pub hairpin: bool,
    pub unusual: BTreeSet<PortFlag>,
    pub arp: bool,
    pub group: u32,
    pub alias: Option<String>,
    pub altnames: BTreeSet<String>,
    /// In the order in which they came: of an IPv4 subnet the first is primary, the others are secondary.
    pub addresses: Vec<IpNet>,
    /// Those whose subnet's route somebody removed.
    pub unrouted: BTreeSet<IpNet>,
    /// Those that raum wrote down.
    pub neighbours: BTreeMap<IpAddr, Mac>,
}

impl Room {
    pub fn new(mark: Option<LabName>) -> Self {
        Self {
            mark,
            loopback_up: true,
            links: BTreeMap::new(),
            routes: Vec::new(),
            sysctls: BTreeMap::new(),
            tables: BTreeMap::new(),
            openings: BTreeMap::new(),
            zones: BTreeSet::new(),
            promote_secondaries: false,
        }
    }

    /// Has some interface this name, as its first or as another?
    pub fn is_taken(&self, name: &str) -> bool {
        let has = |(own, iface): (&IfName, &Iface)| own.as_str() == name || iface.altnames.contains(name);
        name == "lo" || self.links.iter().any(has)
    }

    /// The interface disappears with all that hangs on it; its peer is the caller's business.
    pub fn drop_link(&mut self, name: &IfName) -> Option<Iface> {
        let iface = self.links.remove(name)?;
        self.routes.retain(|route| route.dev.as_ref() != Some(name));
        self.sysctls.retain(|key, _| key.interface() != Some(name.as_str()));
        for port in self.links.values_mut().filter(|port| port.master.as_ref() == Some(name)) {
            port.master = None;
            (port.isolated, port.hairpin) = (false, false);
            port.unusual.clear();
        }
        Some(iface)
    }

    /// `NETDEV_DOWN`: IPv4 routes go (`fib_disable_ip`), of IPv6 all (`addrconf_ifdown`), and neighbours (`neigh_ifdown`).
    pub fn take_down(&mut self, name: &IfName) {
        if let Some(iface) = self.links.get_mut(name)
            && iface.up
        {
            iface.up = false;
            iface.addresses.retain(is_v4);
            // they come back when it is up again
            iface.unrouted.clear();
            iface.neighbours.clear();
            self.routes.retain(|route| route.dev.as_ref() != Some(name));
        }
    }

    /// `NETDEV_CHANGEMTU`: IPv6 comes and goes with its smallest MTU.
    pub fn set_mtu(&mut self, name: &IfName, mtu: u32) {
        if let Some(iface) = self.links.get_mut(name) {
            iface.mtu = mtu;
            if mtu < MTU_MIN_V6 {
                iface.addresses.retain(is_v4);
                iface.neighbours.retain(|address, _| address.is_ipv4());
                self.routes.retain(|route| route.dev.as_ref() != Some(name) || is_v4(&route.to));
                let is_of_v6 = |key: &Sysctl| key.as_str().starts_with("net/ipv6/");
                self.sysctls.retain(|key, _| key.interface() != Some(name.as_str()) || !is_of_v6(key));
            }
        }
    }

    /// `__inet_del_ifa` and `fib_inetaddr_event` for IPv4, `ipv6_del_addr` for IPv6.
    pub fn drop_address(&mut self, name: &IfName, address: IpNet) {
        let Some(iface) = self.links.get_mut(name) else { return };
        let same_subnet = |other: &IpNet| other.trunc() == address.trunc();
        let is_primary = iface.addresses.iter().find(|other| same_subnet(other)) == Some(&address);
        let takes_others = is_v4(&address) && is_primary && !self.promote_secondaries;
        iface.addresses.retain(|other| *other != address && !(takes_others && same_subnet(other)));
        // whoever is first now has its route from the kernel, if it is IPv4
        iface.unrouted.remove(&address);
        if is_v4(&address) && !iface.addresses.iter().any(is_v4) {
            iface.neighbours.retain(|address, _| address.is_ipv6());
            self.routes.retain(|route| route.dev.as_ref() != Some(name) || !is_v4(&route.to));
        }
    }

    /// `lo` down: IPv6 routes through no interface hang on it.
    pub fn loopback_down(&mut self) {
        self.loopback_up = false;
        self.routes.retain(|route| route.dev.is_some() || is_v4(&route.to));
    }

    /// Is there such a sysctl? Those of an interface come and go with it, of IPv6 with its MTU.
    pub fn has_sysctl(&self, key: &Sysctl) -> bool {
        match key.interface() {
            None | Some("lo") => true,
            Some(name) => {
                let iface = IfName::new(name).ok().and_then(|name| self.links.get(&name));
                iface.is_some_and(|iface| iface.mtu >= MTU_MIN_V6 || !key.as_str().starts_with("net/ipv6/"))
            }
        }
    }
}

impl Iface {
    /// Those that were not the first of their IPv4 subnet.
    pub fn secondary(&self) -> BTreeSet<IpNet> {
        let is_first =
            |at: usize, address: &IpNet| !self.addresses[..at].iter().any(|other| other.trunc() == address.trunc());
        let later = self.addresses.iter().enumerate().filter(|(at, address)| is_v4(address) && !is_first(*at, address));
        later.map(|(_, address)| *address).collect()
    }

    pub fn new(kind: Kind, mac: Mac, mtu: u32, group: u32) -> Self {
        Self {
            kind,
            up: false,
            mtu,
            mac,
            master: None,
            isolated: false,
            hairpin: false,
            unusual: BTreeSet::new(),
            arp: true,
            group,
            alias: None,
            altnames: BTreeSet::new(),
            addresses: Vec::new(),
            unrouted: BTreeSet::new(),
            neighbours: BTreeMap::new(),
        }
    }
}

pub(super) fn is_v4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}
