//! What is captured at: interfaces by the names that people type, and what a filter means by a node's name.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use raum_core::host::OpError;
use raum_core::name::{LabName, NodeName, NsId};

use crate::place::Place;
use crate::record::Record;
use crate::resolve::{ResolveError, Resolved, resolve};

/// An interface to capture at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// `shop-web:eth0`.
    pub name: String,
    /// The namespace.
    pub ns: NsId,
    /// The lab that it is of.
    pub lab: Option<LabName>,
    /// The interface's name.
    pub interface: String,
    pub(super) index: u32,
}

/// Nothing can be captured there.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No such namespace.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The namespace could not be looked at.
    #[error(transparent)]
    Observe(#[from] raum_core::host::ObserveError),
    /// No such interface.
    #[error("`{ns}` has no interface `{interface}`; it has {}", list(has))]
    NoInterface {
        /// Where.
        ns: NsId,
        /// As typed.
        interface: String,
        /// Those that there are.
        has: Vec<String>,
    },
    /// No interface but the loopback.
    #[error("`{0}` has no interface but `lo`; `{0}:lo` captures there")]
    OnlyLoopback(NsId),
    /// The kernel refuses.
    #[error("cannot capture at {point}: {}", cause.words())]
    Refused {
        /// Where.
        point: String,
        /// The kernel's answer.
        cause: OpError,
    },
    /// The packets could not be written.
    #[error("{0}")]
    Write(io::Error),
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What `NODE[:INTERFACE]` stands for: that interface, or all of the namespace but `lo`.
///
/// # Errors
/// [`CaptureError`]
pub fn points(place: &Place, text: &str) -> Result<Vec<Point>, CaptureError> {
    let (node, interface) = text.split_once(':').map_or((text, None), |(node, interface)| (node, Some(interface)));
    let Resolved { ns, lab, .. } = resolve(place, node)?;
    let view = raum_kernel::view::view(&ns)?;
    let wanted = |name: &str| interface.map_or(name != "lo", |wanted| wanted == name);
    let found: Vec<Point> = view
        .interfaces
        .iter()
        .filter(|found| wanted(&found.name))
        .map(|found| Point {
            name: format!("{ns}:{}", found.name),
            ns: ns.clone(),
            lab: lab.clone(),
            interface: found.name.clone(),
            index: found.index,
        })
        .collect();
    match (found.is_empty(), interface) {
        (false, _) => Ok(found),
        (true, None) => Err(CaptureError::OnlyLoopback(ns)),
        (true, Some(interface)) => Err(CaptureError::NoInterface {
            ns,
            interface: interface.to_owned(),
            has: view.interfaces.into_iter().map(|interface| interface.name).collect(),
        }),
    }
}

/// The addresses of a node of one of these labs: what a filter means by its name.
#[must_use]
pub fn addresses(place: &Place, labs: &[LabName], name: &str) -> Vec<IpAddr> {
    let Ok(name) = NodeName::new(name) else { return Vec::new() };
    let nodes = labs.iter().filter_map(|lab| Record::read(place, lab).ok().flatten()?.nodes.remove(&name));
    nodes.flat_map(|node| node.addresses).map(|net: IpNet| net.addr()).collect()
}
