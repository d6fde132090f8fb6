//! What else is on the host: its own networks, listeners and sysctls around a lab, and which labs there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use raum_core::host::{ObserveError, OpError, Surroundings};
use raum_core::lab::{Proto, link_group, mark};
use raum_core::name::{IfName, LabName, NsName};
use raum_core::state::{RouteKind, Sysctl};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::directory::{Directory, Entry};
use crate::linux::Linux;
use crate::message::Requests;
use crate::nft::Noted;
use crate::observe::links;
use crate::scene::listen;
use crate::scene::route::Names;
use crate::socket::{Protocol, Socket};
use crate::space::Space;
use crate::workers::spread;
use crate::{address, link, namespace, neighbours, nft, route, sysctl};

/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 32;
/// Questions in one message: each is answered by a message of its own.
const QUESTIONS: usize = 64;

/// A lab that has left its mark somewhere on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabFound {
    /// Its name.
    pub name: LabName,
    /// How many namespaces carry its mark.
    pub namespaces: usize,
}

impl Linux {
    /// What the host has besides a lab: its routes, addresses, listeners, and the sysctls that forwarding may need.
    ///
    /// # Errors
    /// The kernel's refusal, with what was being read.
    pub fn surroundings(&mut self, lab: &LabName) -> Result<Surroundings, ObserveError> {
        let of = |what: &str| {
            let what = format!("{what} of the host");
            move |cause: OpError| ObserveError { what, cause }
        };
        let socket = &mut self.host.route;
        let (mut found_addresses, mut found_routes) = (Vec::new(), Vec::new());
        for v6 in [false, true] {
            found_addresses.extend(addresses(socket, v6).map_err(of("addresses"))?);
            found_routes.extend(routes(socket, v6).map_err(of("routes"))?);
        }
        let indices =
            found_addresses.iter().map(|(_, index)| *index).chain(found_routes.iter().map(|(_, index)| *index));
        let names = names(socket, link_group(lab), indices.collect()).map_err(of("interfaces"))?;
        let limits = [false, true].map(|v6| neighbours::room(socket, v6));
        let [v4, v6] = limits.map(|room| room.map(|room| room.map(|(_, limit)| limit)));
        let limits = [v4.map_err(of("neighbours"))?, v6.map_err(of("neighbours"))?];
        let mut around = Surroundings { addresses: named(found_addresses, &names), ..Surroundings::default() };
        around.routes = named(found_routes, &names);
        let fd = Arc::clone(&self.host.fd);
        let read = namespace::in_namespace(&*fd, || {
            around.listening = listening()?;
            let tables = match noted(lab) {
                // to check a file takes no permission; to act on the answer does
                Err(error) if error.errno == Errno::PERM.raw_os_error() => Vec::new(),
                tables => tables?,
            };
            for table in tables {
                if table.lab != *lab {
                    around.published.insert(table.lab.clone(), table.maps);
                }
                around.was.insert(table.lab, table.was);
            }
            around.ipv6 = has_ipv6()?;
            around.sysctls = sysctls(&around)?;
            around.fixed_neighbours = fixed(limits, &around.sysctls);
            Ok(around)
        });
        read.and_then(|read| read).map_err(of("sysctls, rules or sockets"))
    }

    /// The labs whose mark is on this host: on a namespace, on an interface of the host, or on a table of its rules.
    ///
    /// # Errors
    /// The kernel's refusal, with what was being read.
    pub fn labs(&mut self) -> Result<Vec<LabFound>, ObserveError> {
        let of = |what: &str| {
            let what = what.to_owned();
            move |cause: OpError| ObserveError { what, cause }
        };
        let mut found: BTreeMap<LabName, usize> = BTreeMap::new();
        for link in links(&mut self.host.route).map_err(of("interfaces of the host"))? {
            if let Some(lab) = link.alias.as_deref().and_then(lab_of) {
                found.entry(lab).or_default();
            }
        }
        let fd = Arc::clone(&self.host.fd);
        let tables = namespace::in_namespace(&*fd, tables).and_then(|labs| labs);
        for lab in tables.map_err(of("rules of the host"))? {
            found.entry(lab).or_default();
        }
        let fd = Arc::clone(&self.host.fd);
        let opened = namespace::in_namespace(&*fd, opened).and_then(|opened| opened);
        for lab in opened.map_err(of("rules of the host"))? {
            found.entry(lab).or_default();
        }
        for lab in self.marks().map_err(of("the namespaces"))? {
            *found.entry(lab).or_default() += 1;
        }
        Ok(found.into_iter().map(|(name, namespaces)| LabFound { name, namespaces }).collect())
    }

    /// The lab of each namespace that has one.
    fn marks(&mut self) -> Result<Vec<LabName>, OpError> {
        let Some(directory) = self.directory()? else { return Ok(Vec::new()) };
        let names = directory.names()?;
        let looked = spread(names, WORTH, |name| mark_of(&directory, &name))?;
        Ok(looked.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

/// TCP, UDP and SCTP ports that somebody listens on in the calling thread's namespace. A socket for all addresses of both
/// families is there once for each.
fn listening() -> Result<BTreeSet<(Proto, IpAddr, u16)>, OpError> {
    let mut found = BTreeSet::new();
    for (listener, _) in listen::list(&Names::new())? {
        found.insert((listener.proto, listener.address, listener.port));
        if listener.both {
            found.insert((listener.proto, Ipv4Addr::UNSPECIFIED.into(), listener.port));
        }
    }
    Ok(found)
}

/// The lab of a mark.
fn lab_of(alias: &str) -> Option<LabName> {
    let name = LabName::new(alias.strip_prefix("raum:")?).ok()?;
    (mark(&name) == alias).then_some(name)
}

/// On a thread of its own. Who cannot be entered is nobody's of ours.
fn mark_of(directory: &Directory, name: &NsName) -> Result<Option<LabName>, OpError> {
    let Some(Entry::Namespace(_)) = directory.entry(name)? else { return Ok(None) };
    let Some(fd) = directory.namespace(name)? else { return Ok(None) };
    match Space::enter(fd) {
        Ok(mut space) => Ok(space.read_mark()?.as_deref().and_then(lab_of)),
        Err(error) if error.errno == Errno::PERM.raw_os_error() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Addresses with the index of their link. Not those that every link gives itself: nobody routes them elsewhere, and a host
/// has one for each port of its bridges.
fn addresses(socket: &mut Socket, v6: bool) -> Result<Vec<(IpAddr, u32)>, OpError> {
    let mut requests = Requests::new();
    address::list_all(&mut requests, v6);
    let reply = socket.dump(&mut requests)?;
    let read = reply.answers().filter_map(|answer| address::decode(&answer));
    Ok(read.map(|found| (found.address.addr(), found.index)).filter(|(ip, _)| !is_link_local(*ip)).collect())
}

/// Unicast routes of the main table with the index of their link, one for each next hop.
fn routes(socket: &mut Socket, v6: bool) -> Result<Vec<(IpNet, u32)>, OpError> {
    let mut requests = Requests::new();
    route::list(&mut requests, v6);
    let reply = match socket.dump(&mut requests) {
        // the table is made with its first route
        Err(error) if error.errno == Errno::NOENT.raw_os_error() => return Ok(Vec::new()),
        reply => reply?,
    };
    let mut found = Vec::new();
    for info in reply.answers().filter_map(|answer| route::decode(&answer)) {
        if info.kind == RouteKind::Unicast && !is_link_local(info.to.addr()) {
            found.extend(info.hops.iter().map(|(_, index)| (info.to, *index)));
        }
    }
    Ok(found)
}

/// fe80::/10 (RFC 4291, section 2.5.6).
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The names of links that are not of this group, by index. Asked one by one: a list of all links is slow where thousands
/// are in bridges.
fn names(socket: &mut Socket, group: u32, indices: BTreeSet<u32>) -> Result<HashMap<u32, IfName>, OpError> {
    let mut names = HashMap::new();
    for part in indices.into_iter().collect::<Vec<_>>().chunks(QUESTIONS) {
        let mut requests = Requests::new();
        for index in part {
            link::get_at(&mut requests, *index, None);
        }
        let (reply, outcomes) = socket.ask(&mut requests)?;
        // gone meanwhile
        let is_gone = |error: &OpError| error.errno == Errno::NODEV.raw_os_error();
        if let Some(error) = outcomes.into_iter().filter_map(Result::err).find(|error| !is_gone(error)) {
            return Err(error);
        }
        for link in reply.answers().filter_map(|answer| link::decode(&answer)).filter(|link| link.group != group) {
            names.extend(IfName::new(&link.name).ok().map(|name| (link.index, name)));
        }
    }
    Ok(names)
}

/// With names instead of indices, sorted; without what is on other links.
fn named<T: Ord>(found: Vec<(T, u32)>, names: &HashMap<u32, IfName>) -> Vec<(T, IfName)> {
    let with_names = found.into_iter().filter_map(|(what, index)| Some((what, names.get(&index)?.clone())));
    let mut all: Vec<_> = with_names.collect();
    all.sort();
    all
}

fn noted(own: &LabName) -> Result<Vec<Noted>, OpError> {
    asked(|socket| nft::noted(socket, own))
}

/// Labs with a table of their own.
fn tables() -> Result<BTreeSet<LabName>, OpError> {
    asked(nft::labs)
}

/// Labs with rules in tables of others.
fn opened() -> Result<BTreeSet<LabName>, OpError> {
    asked(nft::labs_with_openings)
}

/// A kernel without netfilter has no tables.
fn asked<T: Default>(question: impl FnOnce(&mut Socket) -> Result<T, OpError>) -> Result<T, OpError> {
    match Socket::open(Protocol::Netfilter) {
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => Ok(T::default()),
        socket => question(&mut socket?),
    }
}

/// Whether new interfaces get IPv6: it may be left out of the kernel, or disabled for all.
fn has_ipv6() -> Result<bool, OpError> {
    let key = |name: &str| Sysctl::new(&format!("net/ipv6/conf/{name}/disable_ipv6"));
    match (key("all"), key("default")) {
        (Ok(all), Ok(default)) => {
            let on = |value: Option<String>| value.as_deref() == Some("0");
            Ok(on(sysctl::read(&all)?) && on(sysctl::read(&default)?))
        }
        _ => Ok(false),
    }
}

/// `gc_thresh3` of a family. Only the machine's first network namespace has it.
fn limit_of_neighbours(v6: bool) -> String {
    format!("net/{}/neigh/default/gc_thresh3", if v6 { "ipv6" } else { "ipv4" })
}

/// Those of the limits that cannot be changed.
fn fixed(limits: [Option<u32>; 2], changeable: &BTreeMap<Sysctl, String>) -> [Option<u32>; 2] {
    let is_fixed = |v6| !changeable.keys().any(|key| key.as_str() == limit_of_neighbours(v6));
    let [v4, v6] = limits;
    [v4.filter(|_| is_fixed(false)), v6.filter(|_| is_fixed(true))]
}

fn sysctls(around: &Surroundings) -> Result<BTreeMap<Sysctl, String>, OpError> {
    let all = IfName::new("all").ok();
    let names = around.routes.iter().map(|(_, name)| name).chain(around.addresses.iter().map(|(_, name)| name));
    let names: BTreeSet<&IfName> = names.chain(&all).collect();
    let mut keys: BTreeSet<Sysctl> = around.was.values().flat_map(|was| was.keys().cloned()).collect();
    for name in names {
        keys.insert(Sysctl::ipv4(name, "forwarding"));
        if name.as_str() == "all" {
            keys.insert(Sysctl::ipv4(name, "rp_filter"));
        }
        keys.extend(["forwarding", "force_forwarding", "accept_ra"].map(|key| Sysctl::ipv6(name, key)));
    }
    keys.extend(Sysctl::new("net/ipv4/conf/default/rp_filter").ok());
    let bridged = ["iptables", "ip6tables"].map(|what| Sysctl::new(&format!("net/bridge/bridge-nf-call-{what}")));
    keys.extend(bridged.into_iter().flatten());
    // only the machine's first network namespace has them; where they may not be written, labs do without
    for path in [false, true].map(limit_of_neighbours) {
        if access(format!("/proc/sys/{path}"), Access::WRITE_OK).is_ok() {
            keys.extend(Sysctl::new(&path));
        }
    }
    let mut values = BTreeMap::new();
    for key in keys {
        if let Some(value) = sysctl::read(&key)? {
            values.insert(key, value);
        }
    }
    Ok(values)
}
