//! Everything in one namespace, for a person to look at: what `ip link`, `addr`, `route` and `neigh` would list there.

use raum_core::host::{ObserveError, OpError};
use raum_core::name::NsId;
use raum_core::view::View;

use crate::namespace;
use crate::nft;
use crate::scene::{lab, link, neighbour, route};
use crate::socket::{Protocol, Socket};

/// Looks into a namespace.
///
/// # Errors
/// It does not exist, may not be entered, or a list is refused. Without nf_tables there are simply no tables.
pub fn view(ns: &NsId) -> Result<View, ObserveError> {
    let told = |cause| ObserveError { what: format!("namespace {ns}"), cause };
    match ns {
        NsId::Host => read(ns).map_err(told),
        NsId::Named(name) => namespace::named(name)
            .and_then(|fd| namespace::in_namespace(fd, || read(ns)))
            .and_then(|view| view)
            .map_err(told),
    }
}

fn read(ns: &NsId) -> Result<View, OpError> {
    let mut socket = Socket::open(Protocol::Route)?;
    let (mut links, names) = link::named(link::list(&mut socket, None, false)?);
    link::add_addresses(&mut socket, &mut links)?;
    let routes = route::list(&mut socket, &names, false)?;
    let neighbours = neighbour::list(&mut socket, &names)?;
    // a kernel without nf_tables, or a user without the permission: the rest is still worth showing
    let tables =
        Socket::open(Protocol::Netfilter).and_then(|mut socket| nft::observe_all(&mut socket)).unwrap_or_default();
    let interfaces: Vec<_> = links.into_iter().map(|link| link.interface).collect();
    let mark = interfaces.first().filter(|lo| lo.index == crate::link::LOOPBACK).and_then(|lo| lo.alias.as_deref());
    Ok(View { namespace: ns.clone(), lab: mark.and_then(lab), interfaces, routes, neighbours, tables })
}
