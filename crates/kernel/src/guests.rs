//! Looks for what others have put into namespaces beside a lab: rules, routes, neighbours, tables.

use raum_core::beside::Inside;
use raum_core::host::{ObserveError, OpError};
use raum_core::name::NsId;
use rustix::io::Errno;

use crate::scene::{link, neighbour, route};
use crate::socket::{Protocol, Socket};
use crate::workers::spread;
use crate::{namespace, ruleset};

/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 32;

/// Looks into each of these namespaces; one that is gone, or has left its name's file behind, has nothing in it.
///
/// # Errors
/// The kernel's refusal.
pub fn look(places: &[NsId]) -> Result<Vec<(NsId, Inside)>, ObserveError> {
    let told = |id: &NsId, cause| ObserveError { what: format!("what others have put into {id}"), cause };
    let seen = spread(places.to_vec(), WORTH, |id| {
        let seen = open(&id).and_then(|fd| namespace::in_namespace(fd, read)).and_then(|seen| seen);
        (id, seen)
    });
    let seen = seen.map_err(|cause| told(&NsId::Host, cause))?;
    let there = seen.into_iter().filter(|(_, seen)| !matches!(seen, Err(error) if namespace::is_gone(error)));
    there.map(|(id, seen)| seen.map_err(|cause| told(&id, cause)).map(|seen| (id.clone(), seen))).collect()
}

fn open(id: &NsId) -> Result<std::os::fd::OwnedFd, OpError> {
    match id {
        NsId::Host => namespace::present(),
        NsId::Named(name) => namespace::named(name),
    }
}

fn read() -> Result<Inside, OpError> {
    let mut socket = Socket::open(Protocol::Route)?;
    let (_, names) = link::named(link::list(&mut socket, None, false)?);
    let routes = route::list(&mut socket, &names, true)?;
    let rules = route::rules(&mut socket)?;
    let neighbours = neighbour::list(&mut socket, &names)?;
    let tables = match Socket::open(Protocol::Netfilter) {
        // a kernel without it has no tables
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => Vec::new(),
        socket => ruleset::read_foreign(&mut socket?)?.tables.iter().map(|table| table.title()).collect(),
    };
    // a packet that is traced at this moment
    let tables = tables.into_iter().filter(|table: &String| !table.contains(" raum-trace")).collect();
    Ok(Inside { rules, routes, neighbours, tables })
}
