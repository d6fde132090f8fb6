//! Conflicts: foreign objects that hold a name which the lab wants.

use super::own_links;
use crate::name::{IfName, LabName, NsId, NsName};
use crate::state::{Owner, State};

/// A wanted name that belongs to something without the lab's mark. It is left as it is; nothing of the plan is begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A namespace.
    #[error("namespace `{name}` exists and is not of lab `{lab}`; it is left untouched")]
    Namespace {
        /// The lab that wants the name.
        lab: LabName,
        /// The name under `/run/netns`.
        name: NsName,
    },
    /// An interface.
    #[error("interface `{name}` exists {} and is not of lab `{lab}`; it is left untouched", place(ns))]
    Link {
        /// The lab that wants the name.
        lab: LabName,
        /// Where.
        ns: NsId,
        /// The interface.
        name: IfName,
    },
    /// An nf_tables table.
    #[error("table `inet {name}` exists {} and is not of lab `{lab}`; it is left untouched", place(ns))]
    Table {
        /// The lab that wants the name.
        lab: LabName,
        /// Where.
        ns: NsId,
        /// The table's name, in family `inet`.
        name: String,
    },
}

impl Conflict {
    /// The way out, as a command where there is one.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Conflict::Namespace { name, .. } => {
                format!(
                    "if nobody needs it, remove it: ip netns del {name}; else choose another name for the lab or node"
                )
            }
            Conflict::Link { ns, name, .. } => {
                let ip = ns.name().map_or_else(|| "ip".to_owned(), |ns| format!("ip -n {ns}"));
                format!(
                    "if nobody needs it, remove it: {ip} link del {name}; else give the interface or lab another name"
                )
            }
            Conflict::Table { ns, name, .. } => {
                let nft = ns.name().map_or_else(|| "nft".to_owned(), |ns| format!("ip netns exec {ns} nft"));
                format!(
                    "if nobody needs it, remove it: {nft} delete table inet {name}; else choose another name for the lab"
                )
            }
        }
    }
}

fn place(ns: &NsId) -> String {
    ns.name().map_or_else(|| "on the host".to_owned(), |name| format!("in namespace `{name}`"))
}

pub(super) fn conflicts(lab: &LabName, from: &State, to: &State) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for (id, wanted) in to.namespaces.iter().filter(|(_, ns)| ns.owner == Owner::Lab) {
        let Some(present) = from.namespaces.get(id) else { continue };
        if let (Owner::Foreign, NsId::Named(name)) = (present.owner, id) {
            conflicts.push(Conflict::Namespace { lab: lab.clone(), name: name.clone() });
            continue;
        }
        for (name, _) in own_links(wanted) {
            if present.links.get(name).is_some_and(|link| link.owner == Owner::Foreign) {
                conflicts.push(Conflict::Link { lab: lab.clone(), ns: id.clone(), name: name.clone() });
            }
        }
        if let (Owner::Foreign, Some(table)) = (present.table_owner, &wanted.table)
            && wanted.table_owner == Owner::Lab
        {
            conflicts.push(Conflict::Table { lab: lab.clone(), ns: id.clone(), name: table.name.clone() });
        }
    }
    conflicts
}
