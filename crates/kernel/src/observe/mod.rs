//! Looks: what of a lab is there, as a [`State`]. Changes nothing.

mod peers;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

use raum_core::beside::{Opening, ZONE_SET};
use raum_core::host::{ObserveError, OpError, Scope};
use raum_core::lab::{link_group, mark};
use raum_core::name::{DEFAULT_LAB, IfName, LabName, NsId, NsName};
use raum_core::nft::Table;
use raum_core::state::{Namespace, Owner, State, Sysctl};
use rustix::io::Errno;

use crate::directory::{Directory, Entry};
use crate::linux::Linux;
use crate::socket::{Protocol, Socket};
use crate::space::Space;
use crate::workers::spread;
use crate::{firewalld, namespace, nft, sysctl};
use read::Seen;

pub(crate) use read::links;

/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 32;

fn error(what: impl Into<String>, cause: OpError) -> ObserveError {
    ObserveError { what: what.into(), cause }
}

/// See [`raum_core::host::Host::observe`].
pub(crate) fn observe(linux: &mut Linux, scope: &Scope) -> Result<State, ObserveError> {
    let wants = Wants::new(scope);
    let host = look_at_host(linux, &wants)?;
    let named = look_at_namespaces(linux, &wants)?;
    let mut all = BTreeMap::from([(NsId::Host, host)]);
    all.extend(named.into_iter().map(|(name, seen)| (NsId::Named(name), seen)));
    peers::find(linux, &mut all).map_err(|cause| error("the ends of veth pairs", cause))?;
    Ok(State { namespaces: all.into_iter().map(|(id, seen)| (id, seen.namespace)).collect() })
}

/// The scope, put so that each namespace can be looked at by itself.
struct Wants<'a> {
    scope: &'a Scope,
    group: u32,
    mark: String,
    sysctls: BTreeMap<&'a NsId, Vec<&'a Sysctl>>,
    nowhere: BTreeSet<IfName>,
}

impl<'a> Wants<'a> {
    fn new(scope: &'a Scope) -> Self {
        let mut sysctls: BTreeMap<&NsId, Vec<&Sysctl>> = BTreeMap::new();
        for (ns, key) in &scope.sysctls {
            sysctls.entry(ns).or_default().push(key);
        }
        Self { scope, group: link_group(&scope.lab), mark: mark(&scope.lab), sysctls, nowhere: BTreeSet::new() }
    }

    /// Could a namespace of this name be the lab's? Of the lab `default` any could.
    fn could_be(&self, name: &NsName) -> bool {
        let lab = self.scope.lab.as_str();
        lab == DEFAULT_LAB
            || self.scope.namespaces.contains(name)
            || name.as_str().strip_prefix(lab).is_some_and(|rest| rest.starts_with('-'))
    }
}

fn look_at_host(linux: &mut Linux, wants: &Wants<'_>) -> Result<Seen, ObserveError> {
    let host = &mut linux.host;
    let mut seen = read::inside(host, wants.group, &wants.scope.host_links, true, wants.scope.neighbours)?;
    seen.namespace.loopback_up = true;
    let fd = std::sync::Arc::clone(&host.fd);
    let keys = wants.sysctls.get(&NsId::Host).map_or(&[][..], Vec::as_slice);
    let files = namespace::in_namespace(&*fd, || files(&NsId::Host, &wants.scope.lab, keys));
    files.map_err(|cause| error("the host", cause))??.give_to(&mut seen.namespace);
    let marked = seen.namespace.table.iter().filter_map(|table| table.sets.get(ZONE_SET)).flatten();
    let zones = firewalld::in_zone(marked).map_err(|cause| error("zones of firewalld", cause))?;
    seen.namespace.zones.extend(zones);
    Ok(seen)
}

fn look_at_namespaces(linux: &mut Linux, wants: &Wants<'_>) -> Result<Vec<(NsName, Seen)>, ObserveError> {
    let listing = |cause| error("the namespaces", cause);
    let Some(directory) = linux.directory().map_err(listing)? else {
        linux.spaces.clear();
        return Ok(Vec::new());
    };
    let names = directory.names().map_err(listing)?;
    // whoever's name is gone shall not be kept alive
    linux.spaces.retain(|name, _| names.binary_search(name).is_ok());
    let names: Vec<NsName> = names.into_iter().filter(|name| wants.could_be(name)).collect();
    let room = linux.room(names.len());
    let mut seen = Vec::with_capacity(names.len());
    for part in names.chunks(room) {
        linux.keep_for(names.len(), room);
        let work: Vec<_> = part.iter().map(|name| (name, linux.spaces.remove(name))).collect();
        let looked = spread(work, WORTH, |(name, space)| (name, look_at(&directory, name, space, wants)));
        for (name, looked) in looked.map_err(listing)? {
            let Some((space, here)) = looked? else { continue };
            linux.spaces.extend(space.map(|space| (name.clone(), space)));
            seen.extend(here.map(|here| (name.clone(), here)));
        }
    }
    Ok(seen)
}

/// What came of looking at a name: the space to keep, and what is there if it is the lab's business; None if it is none.
type Looked = Option<(Option<Space>, Option<Seen>)>;

fn without_content(owner: Owner) -> Seen {
    Seen { namespace: Namespace { owner, ..Namespace::default() }, ends: Vec::new() }
}

/// Looks at one namespace, on a worker's thread.
fn look_at(
    directory: &Directory,
    name: &NsName,
    known: Option<Space>,
    wants: &Wants<'_>,
) -> Result<Looked, ObserveError> {
    let wanted = wants.scope.namespaces.contains(name);
    let foreign = || without_content(Owner::Foreign);
    let of = |what: &str, cause| error(format!("{what}{name}"), cause);
    let inode = match directory.entry(name).map_err(|cause| of("namespace ", cause))? {
        Some(Entry::Namespace(inode)) => inode,
        // of the lab `default` only names that it is known to have
        Some(Entry::Leftover) if wanted || wants.scope.lab.as_str() != DEFAULT_LAB => {
            return Ok(Some((None, Some(without_content(Owner::Leftover)))));
        }
        // somebody's file or link: the name is taken
        Some(Entry::Other) if wanted => return Ok(Some((None, Some(foreign())))),
        _ => return Ok(None),
    };
    let mut space = match known.filter(|space| space.inode == inode) {
        Some(space) => {
            namespace::enter(space.fd.as_fd()).map_err(|cause| of("entering ", cause))?;
            space
        }
        None => match directory.namespace(name).map_err(|cause| of("namespace ", cause))?.map(Space::enter) {
            None => return Ok(None),
            // made by another user, who lets nobody in: at any rate it is not ours
            Some(Err(cause)) if cause.errno == Errno::PERM.raw_os_error() => {
                return Ok(Some((None, wanted.then(foreign))));
            }
            Some(space) => space.map_err(|cause| of("entering ", cause))?,
        },
    };
    if !wants.scope.inside {
        let mark = space.read_mark().map_err(|cause| of("interfaces of ", cause))?;
        let seen = if mark.as_deref() == Some(&wants.mark) {
            Some(Seen { namespace: Namespace::default(), ends: Vec::new() })
        } else {
            wanted.then(foreign)
        };
        return Ok(Some((Some(space), seen)));
    }
    let mut seen = read::inside(&mut space, wants.group, &wants.nowhere, false, wants.scope.neighbours)
        .map_err(|cause| ObserveError { what: cause.what.replace("the host", name.as_str()), ..cause })?;
    if space.mark.as_deref() != Some(&wants.mark) {
        return Ok(Some((Some(space), wanted.then(foreign))));
    }
    let id = NsId::Named(name.clone());
    let keys = wants.sysctls.get(&id).map_or(&[][..], Vec::as_slice);
    files(&id, &wants.scope.lab, keys)?.give_to(&mut seen.namespace);
    Ok(Some((Some(space), Some(seen))))
}

/// The lab's table with its owner, and the lab's rules in other tables.
type Rules = (Option<(Table, Owner)>, BTreeSet<Opening>);

/// What is read from inside, by the thread that is there: sysctls, and the lab's table.
struct Files {
    openings: BTreeSet<Opening>,
    sysctls: BTreeMap<Sysctl, String>,
    table: Option<(Table, Owner)>,
}

impl Files {
    fn give_to(self, namespace: &mut Namespace) {
        namespace.sysctls = self.sysctls;
        namespace.openings = self.openings;
        if let Some((table, owner)) = self.table {
            namespace.table = Some(table);
            namespace.table_owner = owner;
        }
    }
}

fn files(ns: &NsId, lab: &LabName, keys: &[&Sysctl]) -> Result<Files, ObserveError> {
    let mut sysctls = BTreeMap::new();
    for key in keys {
        let value = sysctl::read(key).map_err(|cause| error(format!("sysctls of {ns}"), cause))?;
        sysctls.extend(value.map(|value| ((*key).clone(), value)));
    }
    let (table, openings) = rules(ns, lab).map_err(|cause| error(format!("nf_tables of {ns}"), cause))?;
    Ok(Files { openings, sysctls, table })
}

/// The lab's table, and, on the host, its rules in tables of others.
fn rules(ns: &NsId, lab: &LabName) -> Result<Rules, OpError> {
    match Socket::open(Protocol::Netfilter) {
        // a kernel without it has no tables, and labs without rules work there
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => Ok((None, BTreeSet::new())),
        socket => {
            let mut socket = socket?;
            let table = nft::observe(&mut socket, lab)?;
            let on_host = *ns == NsId::Host;
            let openings = if on_host { nft::openings(&mut socket, lab)? } else { BTreeSet::new() };
            Ok((table, openings))
        }
    }
}
