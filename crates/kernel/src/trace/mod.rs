//! What `raum trace` asks the kernel: facts for the walk of [`raum_core::trace`], and a real packet that is watched.

mod counters;
mod drops;
mod events;
mod probe;
mod route;
mod send;
mod table;

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use raum_core::host::OpError;
use raum_core::ruleset::Ruleset;
use raum_core::trace::{Choice, Facts, Question};
use raum_core::view::{Owner, Room, Scene};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};

use crate::message::Answer;
use crate::namespace::{self, in_namespace};
use crate::socket::{Protocol, Socket};
use crate::{errno, neighbours, ruleset, scene};

pub use probe::probe;
pub use send::Sender;

/// One namespace while it is asked.
struct Asked {
    fd: Arc<OwnedFd>,
    route: Socket,
    rules: Option<Rc<Ruleset>>,
}

/// The live kernel, as the walk wants to know it.
pub struct Kernel {
    scene: Scene,
    asked: HashMap<String, Asked>,
}

impl Kernel {
    /// Over a scene that was looked at a moment ago.
    #[must_use]
    pub fn new(scene: Scene) -> Self {
        Self { scene, asked: HashMap::new() }
    }

    /// The descriptor of a namespace.
    ///
    /// # Errors
    /// It is gone, or may not be entered.
    pub fn open(&mut self, namespace: &str) -> Result<Arc<OwnedFd>, OpError> {
        Ok(Arc::clone(&self.asked(namespace)?.fd))
    }

    fn asked(&mut self, namespace: &str) -> Result<&mut Asked, OpError> {
        if !self.asked.contains_key(namespace) {
            let room = self.scene.namespaces.iter().find(|room| room.namespace == namespace);
            let room = room.ok_or_else(|| errno::refused(format!("there is no namespace {namespace}")))?;
            let fd = open(room)?;
            let route = in_namespace(&fd, || Socket::open(Protocol::Route))??;
            self.asked.insert(namespace.to_owned(), Asked { fd: Arc::new(fd), route, rules: None });
        }
        self.asked.get_mut(namespace).ok_or_else(|| errno::refused("there is no such namespace"))
    }

    /// The index of an interface.
    fn index(&self, namespace: &str, name: &str) -> Option<u32> {
        let room = self.scene.namespaces.iter().find(|room| room.namespace == namespace)?;
        room.interface(name).map(|interface| interface.index)
    }

    fn names(&self, namespace: &str) -> scene::route::Names {
        let room = self.scene.namespaces.iter().find(|room| room.namespace == namespace);
        let interfaces = room.into_iter().flat_map(|room| &room.interfaces);
        interfaces.map(|interface| (interface.index, interface.name.clone())).collect()
    }

    fn read_rules(&mut self, namespace: &str) -> Result<Rc<Ruleset>, OpError> {
        let asked = self.asked(namespace)?;
        if let Some(rules) = &asked.rules {
            return Ok(Rc::clone(rules));
        }
        let rules = Rc::new(in_namespace(asked.fd.as_fd(), ruleset::read_here)??);
        asked.rules = Some(Rc::clone(&rules));
        Ok(rules)
    }
}

/// Opens a namespace by what leads to it, and looks whether it is still the same.
fn open(room: &Room) -> Result<OwnedFd, OpError> {
    if room.owner == Owner::Host {
        return namespace::present();
    }
    let processes = room.processes.iter().map(|process| format!("/proc/{}/ns/net", process.pid));
    let mut refusal = errno::refused(format!("nothing leads into {}", room.namespace));
    for path in room.paths.iter().cloned().chain(processes) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(fd) if fstat(&fd).is_ok_and(|stat| stat.st_ino == room.inode) => return Ok(fd),
            Ok(_) => {}
            Err(cause) => refusal = errno::at(&path, cause),
        }
    }
    Err(refusal)
}

impl Facts for Kernel {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn rules(&mut self, namespace: &str) -> Rc<Ruleset> {
        // what cannot be read decides nothing here; the real packet will tell
        self.read_rules(namespace).unwrap_or_default()
    }

    fn route(&mut self, question: &Question) -> Result<Choice, OpError> {
        let input = question.input.as_deref().and_then(|name| self.index(&question.namespace, name));
        let names = self.names(&question.namespace);
        route::ask(&mut self.asked(&question.namespace)?.route, question, input, &names)
    }

    fn sysctl(&mut self, namespace: &str, key: &str) -> Option<String> {
        let fd = self.open(namespace).ok()?;
        let path = format!("/proc/sys/{key}");
        in_namespace(fd.as_fd(), || std::fs::read_to_string(path).ok()).ok()?
    }

    fn neighbour_room(&mut self, v6: bool) -> Option<(u32, u32)> {
        let first = self.scene.namespaces.first()?.namespace.clone();
        let socket = &mut self.asked(&first).ok()?.route;
        let (entries, limit) = neighbours::room(socket, v6).ok()??;
        // those that are written down are among the entries, and not among those that are limited
        let all = self.scene.namespaces.iter().flat_map(|room| &room.neighbours);
        let written = all.filter(|entry| entry.state == "permanent" && entry.address.is_ipv6() == v6).count();
        Some((entries.saturating_sub(u32::try_from(written).unwrap_or(u32::MAX)), limit))
    }
}

/// For tests: how many readers of this folder take a message for one of theirs.
pub(crate) fn understood(answer: &Answer<'_>) -> usize {
    let names = scene::route::Names::new();
    let read = [route::decode(answer, &names).is_some(), events::decode(answer).is_some()];
    read.into_iter().filter(|read| *read).count()
}

/// The bytes of an address.
fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
