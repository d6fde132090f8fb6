//! State: network objects, as wanted, as observed, or as they were before. One type for all three.
//!
//! A `State` is always *about one lab*: it holds what carries that lab's mark, and, so that conflicts can be told, foreign
//! objects that hold a name the lab wants ([`Owner::Foreign`]). The rest of the machine is not in it.
//!
//! What an observer leaves out, because the kernel makes it by itself (that a subnet's route is missing is told: [`Link::unrouted`]): `lo`'s 127.0.0.1/8 and ::1/128, IPv6 link-local and
//! otherwise dynamic addresses, routes of protocol `kernel` or `ra`, routes of routing daemons (any protocol but `boot` and
//! `static`), tables other than `main`, interfaces without the lab's group.

mod link;
mod route;
mod sysctl;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use link::{Link, LinkKind, PortFlag};
pub use route::{DEFAULT_METRIC_V6, Route, RouteKind};
pub use sysctl::{Sysctl, SysctlError};

use crate::beside::Opening;
use crate::name::{IfName, NsId};
use crate::nft::Table;

/// To whom an object belongs, as its mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// It carries the mark of the lab that this state is about.
    #[default]
    Lab,
    /// It carries another mark or none: never touched.
    Foreign,
    /// A name without a namespace: the file is left of one that was being made or removed when the process was killed.
    /// It can be removed, and a new namespace can take its place.
    Leftover,
}

/// The network objects of one lab, by namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Each namespace that exists; [`NsId::Host`] is always thought of as existing, whether listed or not.
    pub namespaces: BTreeMap<NsId, Namespace>,
}

/// What is inside one network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Whose it is. The host is always [`Owner::Lab`]: its objects have owners of their own.
    #[serde(default)]
    pub owner: Owner,
    /// `lo` of a lab's namespace is up and carries the mark (interface alias `raum:LAB`) from the moment that the namespace
    /// has a name; false when somebody took it down since. Always true for the host.
    #[serde(default = "yes")]
    pub loopback_up: bool,
    /// The lab's interfaces, `lo` not among them.
    #[serde(default)]
    pub links: BTreeMap<IfName, Link>,
    /// Routes of the main table through the lab's links or through none (blackhole and its like).
    #[serde(default)]
    pub routes: BTreeSet<Route>,
    /// The sysctls that the lab cares about, with their values. In a wanted state those that must hold; in an observed one
    /// the present values of the same keys.
    #[serde(default)]
    pub sysctls: BTreeMap<Sysctl, String>,
    /// The lab's nf_tables table in this namespace, if it has one.
    #[serde(default)]
    pub table: Option<Table>,
    /// The lab's rules in chains of others, by their marks. Only on the host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub openings: BTreeSet<Opening>,
    /// The lab's interfaces that raum took into firewalld's zone `trusted`. Only on the host; the lab's table remembers them, too
    /// ([`crate::beside::ZONE_SET`]).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<IfName>,
    /// A table of the wanted name without the lab's mark.
    #[serde(default)]
    pub table_owner: Owner,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_yes(yes: &bool) -> bool {
    *yes
}

impl State {
    /// The namespace's content, made empty if it was not there.
    pub fn entry(&mut self, id: &NsId) -> &mut Namespace {
        self.namespaces.entry(id.clone()).or_default()
    }

    /// Is there no object of the lab at all? Sysctls do not count: they exist without any lab.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.namespaces.iter().all(|(id, ns)| {
            let foreign = ns.owner == Owner::Foreign;
            let empty = ns.links.values().all(|l| l.owner == Owner::Foreign)
                && ns.routes.is_empty()
                && ns.table.is_none()
                && ns.openings.is_empty();
            foreign || (*id == NsId::Host && empty)
        })
    }
}

impl Default for Namespace {
    /// A fresh namespace of the lab: `lo` up and nothing else.
    fn default() -> Self {
        Self {
            owner: Owner::Lab,
            loopback_up: true,
            links: BTreeMap::new(),
            routes: BTreeSet::new(),
            sysctls: BTreeMap::new(),
            table: None,
            openings: BTreeSet::new(),
            zones: BTreeSet::new(),
            table_owner: Owner::Lab,
        }
    }
}
