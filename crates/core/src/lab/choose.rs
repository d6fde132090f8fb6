//! Subnets that raum is to choose (`subnet: auto`): free ones, and the same ones every time.
//!
//! A choice is made before anything else looks at the lab: [`settle`] gives a lab in which everything is written down. It
//! follows from the names, so that the same file has the same networks on another machine; what is in use already is
//! passed over; and what the lab has now it keeps, even where a better place became free meanwhile.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::check::overlap;
use super::{Address, At, End, Lab, Switch, Wire, stable_hash};
use crate::design::addresses::Usable;
use crate::host::Surroundings;

/// Where IPv4 networks are looked for, one after the other (RFC 1918): first where people, Docker (172.17.0.0/16 and on)
/// and routers at home (192.168.0.0/16) are seldom.
const POOLS: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(10, 128, 0, 0), 9), (Ipv4Addr::new(172, 16, 0, 0), 12), (Ipv4Addr::new(192, 168, 0, 0), 16)];
/// Each network begins where the last number of an address is 0, so that people can read it.
const STEP: u8 = 24;
/// Of a link: the two ends, and what IPv4 takes for itself.
const LINK: u8 = 30;
/// IPv6 subnets (RFC 4291, section 2.5.1).
const STEP_V6: u8 = 64;
/// So many are tried for IPv6: there, the first one is free.
const TRIES_V6: u64 = 64;

/// The lab with every subnet decided that `lab` leaves to raum. `before` is what is up now, if anything is.
///
/// What cannot be decided (no free network, a subnet without room for both ends) stays as it is; [`check`](super::check)
/// tells.
#[must_use]
pub fn settle(lab: &Lab, around: &Surroundings, before: Option<&Lab>) -> Lab {
    let mut lab = lab.clone();
    if is_settled(&lab) {
        return lab;
    }
    let mut search = Search { lab: lab.name.as_str().to_owned(), taken: taken(&lab, around), ipv6: around.ipv6 };
    // first all that the lab has now, or somebody new could get it
    if let Some(before) = before {
        search.keep(&mut lab, before);
    }
    lab.switches.iter_mut().for_each(|switch| search.switch(switch));
    for link in between_namespaces(&mut lab) {
        search.link(link);
    }
    lab
}

/// Does the lab leave no subnet to raum? Most do not, and [`settle`] need not know what was before.
#[must_use]
pub fn is_settled(lab: &Lab) -> bool {
    lab.switches.iter().all(|switch| switch.chosen.is_none())
        && lab.links.iter().all(|link| link.chosen.is_none() && link.subnets.is_empty())
}

/// Links whose ends are on no switch: what is on one has the switch's subnets.
fn between_namespaces(lab: &mut Lab) -> impl Iterator<Item = &mut Wire> {
    let switches = &lab.switches;
    let is_switch = |end: &End| switches.iter().any(|switch| switch.name == end.to);
    lab.links.iter_mut().filter(move |link| !link.ends.iter().any(is_switch))
}

/// Is it the same link, as far as the file says?
fn same_ends(link: &Wire, was: &Wire) -> bool {
    link.ends.iter().zip(&was.ends).all(|(end, was)| {
        let same = end.interface.as_ref().zip(was.interface.as_ref()).is_none_or(|(name, was)| name == was);
        end.to == was.to && same
    })
}

/// Every network that is in use: written in the lab, or on the host.
fn taken(lab: &Lab, around: &Surroundings) -> Vec<IpNet> {
    let ends = lab.nodes.iter().flat_map(|node| &node.on).chain(lab.links.iter().flat_map(|link| &link.ends));
    let addresses = ends.flat_map(|end| &end.addresses).map(|at| net(at.value));
    let written = lab.switches.iter().flat_map(|switch| &switch.subnets);
    let written = written.chain(lab.links.iter().flat_map(|link| &link.subnets)).map(|at| at.value);
    // a default route leads everywhere, and takes nothing
    let routes = around.routes.iter().map(|(to, _)| *to).filter(|to| to.prefix_len() > 0);
    let own = around.addresses.iter().map(|(address, _)| IpNet::from(*address));
    addresses.chain(written).chain(routes).chain(own).collect()
}

/// The network of an address; itself alone where no length is written.
fn net(address: Address) -> IpNet {
    let full = IpNet::from(address.ip);
    address.prefix_len.and_then(|len| IpNet::new(address.ip, len).ok()).map_or(full, |net| net.trunc())
}

struct Search {
    lab: String,
    taken: Vec<IpNet>,
    ipv6: bool,
}

impl Search {
    /// Of every network that is left to raum, the one that it was before.
    fn keep(&mut self, lab: &mut Lab, before: &Lab) {
        for switch in &mut lab.switches {
            let Some(chosen) = &switch.chosen else { continue };
            let was = before.switches.iter().find(|was| was.name == switch.name);
            for v6 in self.open(&switch.subnets, &[]) {
                let nets = was.iter().flat_map(|was| &was.subnets).map(|at| at.value);
                let kept = self.take(nets.filter(|net| net.addr().is_ipv6() == v6));
                switch.subnets.extend(kept.map(|net| At::new(net, chosen.span.clone())));
            }
        }
        // several links between the same two are told apart by their order
        let mut used: Vec<&Wire> = Vec::new();
        for link in between_namespaces(lab) {
            let alike = |was: &&Wire| same_ends(link, was) && !used.iter().any(|used| std::ptr::eq(*used, *was));
            let Some(was) = before.links.iter().find(alike) else { continue };
            used.push(was);
            let Some(chosen) = &link.chosen else { continue };
            for v6 in self.open(&link.subnets, &link.ends) {
                let [near, far] = was.ends.each_ref().map(|end| end.addresses.iter().map(|at| net(at.value)));
                let far: Vec<IpNet> = far.collect();
                let kept = self.take(near.filter(|net| net.addr().is_ipv6() == v6 && far.contains(net)));
                link.subnets.extend(kept.map(|net| At::new(net, chosen.span.clone())));
            }
        }
    }

    fn switch(&mut self, switch: &mut Switch) {
        let Some(chosen) = switch.chosen.clone() else { return };
        for v6 in self.open(&switch.subnets, &[]) {
            let Some(net) = self.free(v6, STEP, &[switch.name.as_str()]) else { return };
            switch.subnets.push(At::new(net, chosen.span.clone()));
        }
        switch.subnets.sort_by_key(|subnet| subnet.addr().is_ipv6());
        switch.chosen = None;
    }

    fn link(&mut self, link: &mut Wire) {
        if let Some(chosen) = link.chosen.clone() {
            for v6 in self.open(&link.subnets, &link.ends) {
                let names = link.ends.each_ref().map(|end| end.to.as_str());
                let Some(net) = self.free(v6, LINK, &names) else { return };
                link.subnets.push(At::new(net, chosen.span.clone()));
            }
            link.subnets.sort_by_key(|subnet| subnet.addr().is_ipv6());
            link.chosen = None;
        }
        link.subnets.retain(|subnet| !give(&mut link.ends, subnet));
    }

    /// The families (IPv6 or not) of which nothing is written.
    fn open(&self, subnets: &[At<IpNet>], ends: &[End]) -> Vec<bool> {
        let is_written = |v6: bool| {
            let mut addresses = ends.iter().flat_map(|end| &end.addresses);
            subnets.iter().any(|at| at.addr().is_ipv6() == v6) || addresses.any(|at| at.ip.is_ipv6() == v6)
        };
        [false, true].into_iter().filter(|v6| (!v6 || self.ipv6) && !is_written(*v6)).collect()
    }

    /// The first of what the lab had, if nobody else has it.
    fn take(&mut self, mut nets: impl Iterator<Item = IpNet>) -> Option<IpNet> {
        let net = nets.next().filter(|net| net.prefix_len() > 0 && self.is_free(*net))?;
        self.taken.push(net);
        Some(net)
    }

    fn free(&mut self, v6: bool, len: u8, names: &[&str]) -> Option<IpNet> {
        let words: Vec<&str> = ["subnet", &self.lab].into_iter().chain(names.iter().copied()).collect();
        let hash = stable_hash(&words);
        let net = if v6 { self.free_v6(hash) } else { self.free_v4(hash, len) }?;
        self.taken.push(net);
        Some(net)
    }

    fn free_v4(&self, hash: u64, len: u8) -> Option<IpNet> {
        POOLS.iter().find_map(|(first, pool)| {
            let count = 1_u64 << (STEP - pool);
            let mut tried = 0;
            while tried < count {
                let number = u32::try_from((hash.wrapping_add(tried)) % count).ok()?;
                let network = u32::from(*first).checked_add(number << (32 - STEP))?;
                // the whole step, so that people can tell networks apart
                let step = Ipv4Net::new(network.into(), STEP).ok()?;
                match self.taken_by(step.into()) {
                    None => return Ipv4Net::new(network.into(), len).ok().map(IpNet::V4),
                    // to its end at once: half of the pool may be somebody's
                    Some(IpNet::V4(other)) => {
                        let rest = u32::from(other.broadcast()).saturating_sub(network) >> (32 - STEP);
                        tried += u64::from(rest) + 1;
                    }
                    Some(IpNet::V6(_)) => tried += 1,
                }
            }
            None
        })
    }

    /// `fd`, 40 bits by chance, subnet 0 (RFC 4193, section 3.1).
    fn free_v6(&self, hash: u64) -> Option<IpNet> {
        (0..TRIES_V6).find_map(|step| {
            let global = u128::from(hash.wrapping_add(step) & 0xff_ffff_ffff);
            let network = (0xfd_u128 << 120) | (global << 80);
            let net = IpNet::V6(Ipv6Net::new(Ipv6Addr::from(network), STEP_V6).ok()?);
            self.is_free(net).then_some(net)
        })
    }

    fn is_free(&self, net: IpNet) -> bool {
        self.taken_by(net).is_none()
    }

    fn taken_by(&self, net: IpNet) -> Option<IpNet> {
        self.taken.iter().copied().find(|taken| overlap(taken, &net))
    }
}

/// Gives the first addresses of a subnet to the ends that have none of it. False if there are not enough.
fn give(ends: &mut [End; 2], subnet: &At<IpNet>) -> bool {
    let usable = Usable::of(subnet.value);
    let has = |end: &End| end.addresses.iter().any(|at| subnet.contains(&at.ip));
    let written: Vec<IpAddr> = ends.iter().flat_map(|end| &end.addresses).map(|at| at.ip).collect();
    let free = (usable.first..=usable.last).map(|number| usable.address(number)).filter(|ip| !written.contains(ip));
    let needed = ends.iter().filter(|end| !has(end)).count();
    let mut free = free.take(needed).collect::<Vec<_>>().into_iter();
    if free.len() < needed {
        return false;
    }
    for end in ends.iter_mut().filter(|end| !has(end)) {
        let prefix_len = Some(subnet.prefix_len());
        end.addresses.extend(free.next().map(|ip| At::new(Address { ip, prefix_len }, subnet.span.clone())));
    }
    true
}
