//! From what a person types to namespaces, among all that the machine has.

use crate::lab::link_group;
use crate::name::LabName;

use super::{Owner, Room, Scene};

/// What was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// One namespace, by [`Room::namespace`].
    Room(String),
    /// All of a lab, and of the host what is the lab's.
    Lab(LabName),
}

/// A text that leads nowhere, or to several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Nothing is called so.
    #[error("no namespace is called `{text}`")]
    Unknown {
        /// As typed.
        text: String,
        /// What it is most like.
        nearest: Option<String>,
    },
    /// Several could be meant.
    #[error("`{text}` is ambiguous: {}", names.join(", "))]
    Ambiguous {
        /// As typed.
        text: String,
        /// The namespaces it could be.
        names: Vec<String>,
    },
}

/// Finds what is meant: the name of a namespace, a lab, a node that only one lab has, a process (`pid:1234`, `1234`), the
/// kernel's number (`net:[4026531840]`), a file, a container's name or the beginning of its id.
///
/// # Errors
/// [`SelectError`]
pub fn select(rooms: &[&Room], text: &str) -> Result<Selected, SelectError> {
    let of = |room: &Room| Selected::Room(room.namespace.clone());
    if let Some(room) = rooms.iter().find(|room| room.namespace == text) {
        return Ok(of(room));
    }
    let mut labs = rooms.iter().filter_map(|room| room.lab.as_ref().filter(|lab| room.is_of(lab)));
    if let Some(lab) = labs.find(|lab| lab.as_str() == text) {
        return Ok(Selected::Lab(lab.clone()));
    }
    let one = |found: Vec<&Room>| match found.as_slice() {
        [] => None,
        [room] => Some(Ok(of(room))),
        many => {
            let mut names: Vec<String> = many.iter().map(|room| room.namespace.clone()).collect();
            names.sort();
            Some(Err(SelectError::Ambiguous { text: text.to_owned(), names }))
        }
    };
    let which = |test: &dyn Fn(&Room) -> bool| one(rooms.iter().copied().filter(|room| test(room)).collect());
    let node = |room: &Room| {
        let lab = room.lab.as_ref().filter(|lab| room.is_of(lab));
        let rest = lab.and_then(|lab| room.namespace.strip_prefix(lab.as_str()));
        rest.and_then(|rest| rest.strip_prefix('-')) == Some(text)
    };
    let path = text.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(text);
    let pid = text.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/ns/net"));
    let pid = pid.or(text.strip_prefix("pid:")).unwrap_or(text).parse::<u32>().ok();
    let id = |room: &Room| match &room.owner {
        Owner::Docker(id) | Owner::Podman(id) | Owner::Container(id) => Some(id.clone()),
        _ => None,
    };
    // as its engine calls it, without saying which engine; and by the file's name, where the engine knows a better one
    let called = |room: &Room| {
        let name = room.namespace.split_once(':').filter(|_| id(room).is_some());
        name.is_some_and(|(_, name)| name == text)
            || room.paths.iter().any(|path| path.strip_prefix("/run/netns/") == Some(text))
    };
    let begins = |room: &Room| {
        let Some(id) = id(room) else { return false };
        let wanted = text.split_once(':').map_or(text, |(_, id)| id);
        wanted.len() >= 3 && id.starts_with(wanted)
    };
    which(&node)
        .or_else(|| which(&called))
        .or_else(|| which(&|room| room.paths.iter().any(|known| known == path)))
        .or_else(|| which(&|room| pid.is_some_and(|pid| room.processes.iter().any(|process| process.pid == pid))))
        .or_else(|| which(&|room| room.inode != 0 && format!("net:[{}]", room.inode) == text))
        .or_else(|| which(&begins))
        .unwrap_or_else(|| Err(SelectError::Unknown { text: text.to_owned(), nearest: nearest(rooms, text) }))
}

/// The name that is so like the text that it will have been meant.
fn nearest(rooms: &[&Room], text: &str) -> Option<String> {
    let names = rooms.iter().flat_map(|room| {
        let lab = room.lab.as_ref().map(|lab| lab.as_str());
        let node = lab.and_then(|lab| room.namespace.strip_prefix(lab)?.strip_prefix('-'));
        [Some(room.namespace.as_str()), lab, node].into_iter().flatten()
    });
    let near = names.map(|name| (strsim::damerau_levenshtein(name, text), name)).min()?;
    (near.0 <= 2 && near.0 * 2 < text.chars().count()).then(|| near.1.to_owned())
}

impl Scene {
    /// Leaves only what is a lab's: its namespaces, and of the host its interfaces, what goes by them, and its tables.
    pub fn only(&mut self, lab: &LabName) {
        let group = link_group(lab);
        let mark = crate::lab::mark(lab);
        for host in self.namespaces.iter_mut().filter(|room| room.owner == Owner::Host) {
            host.interfaces.retain(|link| link.group == group || link.alias.as_deref() == Some(&mark));
            let names: Vec<String> = host.interfaces.iter().map(|link| link.name.clone()).collect();
            let ours = |name: &str| names.iter().any(|known| known == name);
            host.routes.retain(|route| route.dev.as_deref().is_some_and(ours));
            host.neighbours.retain(|neighbour| ours(&neighbour.dev));
            host.forwarding.retain(|entry| ours(&entry.bridge));
            host.tables.retain(|table| table.lab == *lab);
            host.rules.clear();
            host.nat.clear();
            host.listeners.clear();
            host.processes.clear();
        }
        self.namespaces.retain(|room| match room.owner {
            Owner::Host => room.is_of(lab) || !room.interfaces.is_empty() || !room.tables.is_empty(),
            _ => room.is_of(lab),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Process;

    fn rooms() -> Vec<Room> {
        let lab = |name: &str, lab: &str| {
            let mut room = Room::new(name.to_owned(), 1, Owner::Named);
            room.give_to(LabName::new(lab).expect("a name"));
            room.paths.push(format!("/run/netns/{name}"));
            room
        };
        let id = "0123456789abcdef".repeat(4);
        let mut docker = Room::new("docker:0123456789ab".to_owned(), 77, Owner::Docker(id));
        docker.paths.push("/run/docker/netns/x".to_owned());
        docker.processes.push(Process { pid: 4711, command: "nginx".to_owned() });
        let mut podman = Room::new("podman:cache".to_owned(), 78, Owner::Podman("fedc".repeat(16)));
        podman.paths.push("/run/netns/netns-1".to_owned());
        let red = Room::new("red".to_owned(), 5, Owner::Named);
        // of somebody else's lab of the same name
        let mut elsewhere = Room::new("shop-db@99".to_owned(), 6, Owner::Named);
        elsewhere.give_to(LabName::new("shop").expect("a name"));
        vec![elsewhere, lab("shop-web", "shop"), lab("shop-db", "shop"), lab("two-web", "two"), docker, podman, red]
    }

    #[test]
    fn names_labs_nodes_processes_files_and_ids_lead_to_namespaces() {
        let rooms = rooms();
        let rooms: Vec<&Room> = rooms.iter().collect();
        let room = |name: &str| Ok(Selected::Room(name.to_owned()));
        for (text, found) in [
            ("red", room("red")),
            ("db", room("shop-db")),
            ("shop-web", room("shop-web")),
            ("shop", Ok(Selected::Lab(LabName::new("shop").expect("a name")))),
            ("4711", room("docker:0123456789ab")),
            ("pid:4711", room("docker:0123456789ab")),
            ("/proc/4711/ns/net", room("docker:0123456789ab")),
            ("/var/run/docker/netns/x", room("docker:0123456789ab")),
            ("net:[77]", room("docker:0123456789ab")),
            ("012345", room("docker:0123456789ab")),
            ("docker:0123", room("docker:0123456789ab")),
            ("cache", room("podman:cache")),
            ("netns-1", room("podman:cache")),
            ("fedc", room("podman:cache")),
        ] {
            assert_eq!(select(&rooms, text), found, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_clear_is_said() {
        let rooms = rooms();
        let rooms: Vec<&Room> = rooms.iter().collect();
        let said = |text: &str| select(&rooms, text).expect_err("nothing");
        assert_eq!(said("web").to_string(), "`web` is ambiguous: shop-web, two-web");
        assert_eq!(said("rde"), SelectError::Unknown { text: "rde".to_owned(), nearest: Some("red".to_owned()) });
        let near = SelectError::Unknown { text: "shop-wbe".to_owned(), nearest: Some("shop-web".to_owned()) };
        assert_eq!(said("shop-wbe"), near);
        for text in ["", "nosuch", "12", "net:[1", "/", "pid:"] {
            assert!(matches!(said(text), SelectError::Unknown { nearest: None, .. }), "{text}");
        }
    }
}
