//! From what a person types to a namespace: `shop-web`, `web` where one lab alone has such a node, or `host`.
//!
//! Made of file names alone, no lab is read: `raum exec` is used in loops and must cost nothing.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use raum_core::host::ObserveError;
use raum_core::name::{DEFAULT_LAB, LabName, NodeName, NsId, NsName};
use raum_core::view::Interface;

use crate::place::Place;
use crate::record::{HOSTS, Record, RecordedNode};

/// Where namespaces have their names, as iproute2 has it.
pub const NETNS_DIR: &str = "/run/netns";

/// A namespace that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The namespace.
    pub ns: NsId,
    /// The lab that it is of, if it is of one.
    pub lab: Option<LabName>,
    /// The node in that lab.
    pub node: Option<NodeName>,
}

/// The text leads to no namespace or address, or to several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// None is called so.
    #[error("no namespace is called `{0}`")]
    Unknown(String),
    /// It is there, but has no address of the wanted family.
    #[error("`{text}` has no {} address", family(*v6))]
    NoAddress {
        /// As typed.
        text: String,
        /// The wanted family; None for any.
        v6: Option<bool>,
    },
    /// It could not be looked at.
    #[error("cannot look at `{text}`: {error}")]
    Observe {
        /// As typed.
        text: String,
        /// Why.
        error: ObserveError,
    },
    /// Several labs have such a node.
    #[error("`{text}` is ambiguous: {}", names.join(", "))]
    Ambiguous {
        /// As typed.
        text: String,
        /// The namespaces it could be.
        names: Vec<String>,
    },
}

impl Resolved {
    /// The lab's hosts file, for `exec`.
    #[must_use]
    pub fn hosts(&self, place: &Place) -> Option<PathBuf> {
        let lab = self.lab.as_ref()?;
        // one that is not raum's own is not shown to anybody
        place.read(lab, HOSTS).ok().flatten().map(|_| place.file(lab, HOSTS))
    }
}

/// Finds the namespace.
///
/// # Errors
/// [`ResolveError`]
pub fn resolve(place: &Place, text: &str) -> Result<Resolved, ResolveError> {
    if text == "host" {
        return Ok(Resolved { ns: NsId::Host, lab: None, node: None });
    }
    let labs = place.labs();
    let unknown = || ResolveError::Unknown(text.to_owned());
    if let Ok(name) = NsName::new(text)
        && exists(&name)
    {
        let (lab, node) = lab_of(place, &labs, &name).unzip();
        return Ok(Resolved { ns: name.into(), lab, node });
    }
    let node = NodeName::new(text).map_err(|_| unknown())?;
    let mut found: Vec<(NsName, LabName)> = labs
        .into_iter()
        .filter_map(|lab| Some((NsName::new(&format!("{lab}-{node}")).ok()?, lab)))
        .filter(|(name, _)| exists(name))
        .collect();
    match (found.pop(), found.len()) {
        (Some((name, lab)), 0) => Ok(Resolved { ns: name.into(), lab: Some(lab), node: Some(node) }),
        (Some(last), _) => {
            let mut names: Vec<String> = found.iter().chain([&last]).map(|(name, _)| name.to_string()).collect();
            names.sort();
            Err(ResolveError::Ambiguous { text: text.to_owned(), names })
        }
        (None, _) => Err(unknown()),
    }
}

/// The address that is meant by a text: an address, or a node's own one: of `from`'s lab, else of any namespace that
/// [`resolve`] finds, else `localhost`. Of several, one on a network that `from` is on too, else one of a family that `from` has, then IPv4 before
/// IPv6, unless a family is asked for.
///
/// # Errors
/// [`ResolveError`]
pub fn address(place: &Place, from: &Resolved, text: &str, v6: Option<bool>) -> Result<IpAddr, ResolveError> {
    let none = || ResolveError::NoAddress { text: text.to_owned(), v6 };
    if let Ok(address) = text.parse::<IpAddr>() {
        return if v6.is_none_or(|v6| v6 == address.is_ipv6()) { Ok(address) } else { Err(none()) };
    }
    let look = |ns: &NsId| raum_kernel::view::view(ns).map(|view| of_interfaces(ns, &view.interfaces));
    let theirs = recorded(place, from.lab.as_ref(), from.node.as_ref()).or_else(|| look(&from.ns).ok());
    let found = recorded(place, from.lab.as_ref(), NodeName::new(text).ok().as_ref());
    let found = match found {
        Some(found) => found,
        None => {
            let to = match resolve(place, text) {
                Err(ResolveError::Unknown(_)) if text == "localhost" => return Ok(loopback(v6)),
                found => found?,
            };
            let observe = |error| ResolveError::Observe { text: text.to_owned(), error };
            match recorded(place, to.lab.as_ref(), to.node.as_ref()) {
                Some(found) => found,
                None => look(&to.ns).map_err(observe)?,
            }
        }
    };
    found.address(v6, theirs.as_ref()).ok_or_else(none)
}

/// `localhost`, as /etc/hosts has it in every namespace: the sender's own.
fn loopback(v6: Option<bool>) -> IpAddr {
    if v6 == Some(true) { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
}

/// What no record tells: a namespace's addresses as they are, IPv4 first.
pub(crate) fn of_interfaces(ns: &NsId, interfaces: &[Interface]) -> RecordedNode {
    let all = interfaces.iter().flat_map(|interface| &interface.addresses).copied();
    let mut addresses: Vec<IpNet> = all.filter(|net| !net.addr().is_loopback() && !is_link_local(net.addr())).collect();
    addresses.sort_by_key(|net| net.addr().is_ipv6());
    RecordedNode { ns: ns.clone(), addresses }
}

/// The namespace of a name that leads to a node or namespace, as a scene calls it; None for an address.
pub(crate) fn named(place: &Place, from: &Resolved, text: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let found = recorded(place, from.lab.as_ref(), NodeName::new(text).ok().as_ref()).map(|node| node.ns);
    found.or_else(|| resolve(place, text).ok().map(|to| to.ns)).map(|ns| in_scene(&ns))
}

/// What a scene calls a namespace.
pub(crate) fn in_scene(ns: &NsId) -> String {
    match ns {
        NsId::Host => "host".to_owned(),
        NsId::Named(name) => name.to_string(),
    }
}

fn recorded(place: &Place, lab: Option<&LabName>, node: Option<&NodeName>) -> Option<RecordedNode> {
    Record::read(place, lab?).ok()??.nodes.remove(node?)
}

/// An address that says nothing without an interface.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn family(v6: Option<bool>) -> &'static str {
    match v6 {
        None => "IP",
        Some(false) => "IPv4",
        Some(true) => "IPv6",
    }
}

/// Every name under [`NETNS_DIR`], in order; what cannot be the name of a namespace is passed over.
#[must_use]
pub fn names() -> Vec<NsName> {
    let Ok(entries) = fs::read_dir(NETNS_DIR) else { return Vec::new() };
    let mut names: Vec<NsName> =
        entries.flatten().filter_map(|entry| NsName::new(entry.file_name().to_str()?).ok()).collect();
    names.sort();
    names
}

fn exists(name: &NsName) -> bool {
    fs::symlink_metadata(Path::new(NETNS_DIR).join(name.as_str())).is_ok()
}

/// The lab whose name the namespace begins with. Where two could be meant (`a` with node `b-c`, `a-b` with node `c`), or
/// none shows (lab `default`), the records tell.
fn lab_of(place: &Place, labs: &[LabName], ns: &NsName) -> Option<(LabName, NodeName)> {
    let split = |lab: &LabName| {
        let node = ns.as_str().strip_prefix(lab.as_str())?.strip_prefix('-')?;
        Some((lab.clone(), NodeName::new(node).ok()?))
    };
    let bare = labs.iter().filter(|lab| lab.as_str() == DEFAULT_LAB);
    let bare = bare.filter_map(|lab| Some((lab.clone(), NodeName::new(ns.as_str()).ok()?)));
    let mut named: Vec<_> = labs.iter().filter_map(split).chain(bare).collect();
    // of the lab `default` any name could be, and only its record tells
    if named.len() == 1 && named.iter().all(|(lab, _)| lab.as_str() != DEFAULT_LAB) {
        return named.pop();
    }
    named.into_iter().find(|(lab, node)| {
        let record = Record::read(place, lab).ok().flatten();
        record.is_some_and(|record| record.nodes.get(node).is_some_and(|known| known.ns.name() == Some(ns)))
    })
}
