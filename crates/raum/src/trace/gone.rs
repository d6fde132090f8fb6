//! A node of a lab whose namespace is not there: a trace from it, or to it, has nowhere to go, and says so. A name means here what it
//! means where namespaces are there: two labs may have a node of it.

use raum_core::name::{NodeName, NsName};
use raum_core::trace::{Cause, Code};
use raum_kernel::namespace;

use crate::place::Place;
use crate::record::Record;
use crate::resolve::{ResolveError, Resolved, resolve};

/// The cause, if what was found is a lab's node, and no namespace.
pub(super) fn at(place: &Place, found: &Resolved) -> Option<Cause> {
    let record = Record::read(place, found.lab.as_ref()?).ok()??;
    let name = found.node.as_ref()?;
    let ns = record.nodes.get(name)?.ns.name()?;
    is_gone(ns).then(|| cause(&record, name, ns))
}

/// The cause, if a name that leads to no namespace is of a lab's node, or of its namespace.
///
/// # Errors
/// [`ResolveError::Ambiguous`] if it is of several.
pub(super) fn called(place: &Place, text: &str) -> Result<Option<Cause>, ResolveError> {
    let mut causes = Vec::new();
    let mut names = Vec::new();
    for record in place.labs().iter().filter_map(|lab| Record::read(place, lab).ok().flatten()) {
        for (name, node) in &record.nodes {
            let Some(ns) = node.ns.name().filter(|ns| name.as_str() == text || ns.as_str() == text) else { continue };
            if is_gone(ns) {
                causes.push(cause(&record, name, ns));
                names.push(ns.to_string());
            }
        }
    }
    names.sort();
    match causes.len() {
        0 | 1 => Ok(causes.pop()),
        _ => Err(ResolveError::Ambiguous { text: text.to_owned(), names }),
    }
}

/// The cause, if a target is such a node: of the sender's lab first, as [`crate::resolve::address`] looks for it.
///
/// # Errors
/// As [`called`].
pub(super) fn target(place: &Place, from: Option<&Resolved>, text: &str) -> Result<Option<Cause>, ResolveError> {
    if let Some(lab) = from.and_then(|from| from.lab.clone())
        && let Ok(node) = NodeName::new(text)
        && let Some(record) = Record::read(place, &lab).ok().flatten()
        && let Some(known) = record.nodes.get(&node)
    {
        let own = Resolved { ns: known.ns.clone(), lab: Some(lab), node: Some(node) };
        return Ok(at(place, &own));
    }
    match resolve(place, text) {
        Ok(found) => Ok(at(place, &found)),
        Err(ResolveError::Unknown(text)) => called(place, &text),
        // told where its address is asked for
        Err(_) => Ok(None),
    }
}

fn is_gone(ns: &NsName) -> bool {
    namespace::named(ns).is_err_and(|refusal| namespace::is_gone(&refusal))
}

fn cause(record: &Record, name: &NodeName, ns: &NsName) -> Cause {
    let what = format!("the namespace {ns} of node {name} is gone, though lab {} should have it", record.lab);
    Cause::new(Code::NamespaceGone, ns.as_str(), what, Some(record.repair()))
}
