//! What else is on the host: its own networks, listeners and sysctls around a lab, and which labs there are.

mod diag;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use raum_core::host::{ObserveError, OpError, Surroundings};
use raum_core::lab::{link_group, mark};
use raum_core::name::{IfName, LabName, NsName};
use raum_core::nft::Table;
use raum_core::state::{RouteKind, Sysctl};
use rustix::io::Errno;

use crate::directory::{Directory, Entry};
use crate::linux::Linux;
use crate::message::Requests;
use crate::observe::links;
use crate::socket::{Protocol, Socket};
use crate::space::Space;
use crate::workers::spread;
use crate::{address, namespace, nft, route, sysctl};

/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 32;

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
        let own = link_group(lab);
        let socket = &mut self.host.route;
        let names: HashMap<u32, IfName> = links(socket)
            .map_err(of("interfaces"))?
            .into_iter()
            .filter(|link| link.group != own)
            .filter_map(|link| Some((link.index, IfName::new(&link.name).ok()?)))
            .collect();
        let mut around = Surroundings::default();
        for v6 in [false, true] {
            around.addresses.extend(addresses(socket, v6, &names).map_err(of("addresses"))?);
            around.routes.extend(routes(socket, v6, &names).map_err(of("routes"))?);
        }
        around.addresses.sort();
        around.routes.sort();
        let fd = Arc::clone(&self.host.fd);
        let read = namespace::in_namespace(&*fd, || {
            around.listening = diag::listening()?;
            for table in marked_tables()? {
                around.was.insert(table.lab, table.was);
            }
            around.ipv6 = has_ipv6()?;
            around.sysctls = sysctls(&around)?;
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
        let tables = namespace::in_namespace(&*fd, marked_tables).and_then(|tables| tables);
        for table in tables.map_err(of("rules of the host"))? {
            found.entry(table.lab).or_default();
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

fn addresses(
    socket: &mut Socket,
    v6: bool,
    names: &HashMap<u32, IfName>,
) -> Result<Vec<(std::net::IpAddr, IfName)>, OpError> {
    let mut requests = Requests::new();
    address::list_all(&mut requests, v6);
    let reply = socket.dump(&mut requests)?;
    let read = reply.answers().filter_map(|answer| address::decode(&answer));
    Ok(read.filter_map(|found| Some((found.address.addr(), names.get(&found.index)?.clone()))).collect())
}

fn routes(socket: &mut Socket, v6: bool, names: &HashMap<u32, IfName>) -> Result<Vec<(ipnet::IpNet, IfName)>, OpError> {
    let mut requests = Requests::new();
    route::list(&mut requests, v6);
    let reply = match socket.dump(&mut requests) {
        // the table is made with its first route
        Err(error) if error.errno == Errno::NOENT.raw_os_error() => return Ok(Vec::new()),
        reply => reply?,
    };
    let mut found = Vec::new();
    for info in reply.answers().filter_map(|answer| route::decode(&answer)) {
        if info.kind == RouteKind::Unicast {
            found.extend(info.hops.iter().filter_map(|(_, index)| Some((info.to, names.get(index)?.clone()))));
        }
    }
    Ok(found)
}

fn marked_tables() -> Result<Vec<Table>, OpError> {
    match Socket::open(Protocol::Netfilter) {
        // a kernel without it has no tables
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => Ok(Vec::new()),
        socket => nft::observe_all(&mut socket?),
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

fn sysctls(around: &Surroundings) -> Result<BTreeMap<Sysctl, String>, OpError> {
    let all = IfName::new("all").ok();
    let names = around.routes.iter().map(|(_, name)| name).chain(around.addresses.iter().map(|(_, name)| name));
    let names: BTreeSet<&IfName> = names.chain(&all).collect();
    let mut keys: BTreeSet<Sysctl> = around.was.values().flat_map(|was| was.keys().cloned()).collect();
    for name in names {
        keys.insert(Sysctl::ipv4(name, "forwarding"));
        keys.extend(["forwarding", "force_forwarding", "accept_ra"].map(|key| Sysctl::ipv6(name, key)));
    }
    let mut values = BTreeMap::new();
    for key in keys {
        if let Some(value) = sysctl::read(&key)? {
            values.insert(key, value);
        }
    }
    Ok(values)
}
