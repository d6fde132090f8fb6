//! What is kept of each namespace from one call to the next: a descriptor, a socket, and the numbers of its links.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use raum_core::host::OpError;
use raum_core::name::IfName;
use rustix::fs::fstat;

use crate::errno;
use crate::link;
use crate::message::Requests;
use crate::namespace;
use crate::socket::{Protocol, Socket};

/// Room for the answers of a batch: 64 new links answer with 1.7 kB each.
const RECEIVE: usize = 1 << 20;

/// A namespace that has been entered once. Keeping it keeps the namespace alive, so it is dropped when its name goes.
#[derive(Debug)]
pub(crate) struct Space {
    /// The namespace.
    pub fd: Arc<OwnedFd>,
    /// The inode of the namespace: the same name may stand for another one later.
    pub inode: u64,
    /// A socket that was opened inside.
    pub route: Socket,
    /// Indices of links, as far as they are known. A link that was made anew by somebody else has another index: the kernel
    /// then says ENODEV.
    pub indices: HashMap<IfName, u32>,
    /// The alias of `lo`, as it was last read or written.
    pub mark: Option<String>,
}

impl Space {
    /// Of the namespace that the calling thread is in.
    ///
    /// # Errors
    /// The kernel's refusal: too many open files.
    pub fn present() -> Result<Self, OpError> {
        Self::of_this_thread(namespace::present()?)
    }

    /// Moves the calling thread into a namespace and opens a socket there.
    ///
    /// # Errors
    /// As [`namespace::enter`], or too many open files.
    pub fn enter(fd: OwnedFd) -> Result<Self, OpError> {
        namespace::enter(fd.as_fd())?;
        Self::of_this_thread(fd)
    }

    fn of_this_thread(fd: OwnedFd) -> Result<Self, OpError> {
        let inode = fstat(&fd).map_err(|cause| errno::at("a network namespace", cause))?.st_ino;
        let route = Socket::open(Protocol::Route)?;
        route.receive_buffer(RECEIVE)?;
        Ok(Self { fd: Arc::new(fd), inode, route, indices: HashMap::new(), mark: None })
    }

    /// The index of a link: asks the kernel if it is not known.
    ///
    /// # Errors
    /// ENODEV if there is no such link.
    pub fn index(&mut self, name: &IfName) -> Result<u32, OpError> {
        if let Some(index) = self.indices.get(name) {
            return Ok(*index);
        }
        let mut requests = Requests::new();
        link::get(&mut requests, name.as_str());
        let (reply, outcomes) = self.route.ask(&mut requests)?;
        let named = |mut error: OpError| {
            error.message = format!("{name}: {}", error.message);
            error
        };
        outcomes.into_iter().collect::<Result<(), OpError>>().map_err(named)?;
        let link = reply.answers().find_map(|answer| link::decode(&answer));
        let index = link.ok_or_else(|| errno::refused(format!("the kernel's answer for {name} cannot be read")))?.index;
        self.indices.insert(name.clone(), index);
        Ok(index)
    }

    /// Reads the alias of `lo`: the lab's mark.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn read_mark(&mut self) -> Result<Option<String>, OpError> {
        let mut requests = Requests::new();
        link::get_at(&mut requests, link::LOOPBACK, None);
        let (reply, outcomes) = self.route.ask(&mut requests)?;
        outcomes.into_iter().collect::<Result<(), OpError>>()?;
        self.mark = reply.answers().find_map(|answer| link::decode(&answer)).and_then(|link| link.alias);
        Ok(self.mark.clone())
    }
}
