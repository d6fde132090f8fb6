//! Which veth ends belong together.
//!
//! An end tells the index of the other, and what its namespace calls the other's namespace by number (`IFLA_LINK_NETNSID`).
//! Indices alone are not enough: `eth0` has index 2 in every namespace. So the number is asked for (`RTM_GETNSID`): where a
//! namespace with number k has an end with that index, that is the one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use raum_core::host::OpError;
use raum_core::name::{IfName, Mac, NsId};

use super::read::Seen;
use crate::directory::Directory;
use crate::link;
use crate::linux::Linux;
use crate::message::Requests;
use crate::socket::Socket;
use crate::space::Space;
use crate::workers::spread;

/// With more candidates than this it is cheaper to ask first for the other end's hardware address.
const CANDIDATES: usize = 4;

/// An end: where it is and its index there.
type Place<'a> = (&'a NsId, u32);
/// An end, and the other.
type Pair = (NsId, IfName, NsId, IfName);

struct End<'a> {
    name: &'a IfName,
    mac: Option<Mac>,
    peer: u32,
    peer_nsid: Option<i32>,
}

/// Finds for each end of the lab the other one, if it is among them.
pub(super) fn find(linux: &mut Linux, all: &mut BTreeMap<NsId, Seen>) -> Result<(), OpError> {
    for (ns, name, peer_ns, peer) in pairs(linux, all)? {
        if let Some(seen) = all.get_mut(&ns) {
            seen.marry(&name, peer_ns, peer);
        }
    }
    Ok(())
}

fn pairs(linux: &mut Linux, all: &BTreeMap<NsId, Seen>) -> Result<Vec<Pair>, OpError> {
    let mut ends: BTreeMap<Place<'_>, End<'_>> = BTreeMap::new();
    // those of the same two indices: candidates for one another
    let mut alike: HashMap<(u32, u32), Vec<&NsId>> = HashMap::new();
    for (ns, seen) in all {
        for end in &seen.ends {
            let mac = seen.namespace.links.get(&end.name).map(|link| link.mac);
            ends.insert((ns, end.index), End { name: &end.name, mac, peer: end.peer, peer_nsid: end.peer_nsid });
            alike.entry((end.index, end.peer)).or_default().push(ns);
        }
    }
    let directory = linux.directory()?;
    let mut numbers = Numbers { linux, directory, known: HashMap::new() };
    let mut pairs: Vec<Pair> = Vec::new();
    let mut married: BTreeSet<Place<'_>> = BTreeSet::new();
    for (&(ns, index), end) in &ends {
        // found from the other side: a namespace knows few numbers, while the host, which may know thousands, looks for one
        // through the whole list (`__peernet2id`, net/core/net_namespace.c)
        let by_other = *ns == NsId::Host && end.peer_nsid.is_some();
        if by_other || married.contains(&(ns, index)) {
            continue;
        }
        let candidates = alike.get(&(end.peer, index)).into_iter().flatten().copied();
        let other = match end.peer_nsid {
            None => candidates.into_iter().find(|candidate| *candidate == ns),
            Some(nsid) => {
                let free = |candidate: &&NsId| *candidate != ns && !married.contains(&(*candidate, end.peer));
                let mut free: Vec<&NsId> = candidates.filter(free).collect();
                if free.len() > CANDIDATES {
                    let mac = numbers.mac_of(ns, nsid, end.peer)?;
                    free.retain(|candidate| ends.get(&(*candidate, end.peer)).is_some_and(|other| other.mac == mac));
                }
                numbers.which(ns, nsid, &free)?
            }
        };
        let Some((other, found)) = other.and_then(|other| Some((other, ends.get(&(other, end.peer))?))) else {
            continue;
        };
        pairs.push((ns.clone(), end.name.clone(), other.clone(), found.name.clone()));
        pairs.push((other.clone(), found.name.clone(), ns.clone(), end.name.clone()));
        married.insert((ns, index));
        married.insert((other, end.peer));
    }
    Ok(pairs)
}

/// What namespaces call each other.
struct Numbers<'a, 'n> {
    linux: &'a mut Linux,
    directory: Option<Directory>,
    /// In this namespace, the number of that.
    known: HashMap<(&'n NsId, &'n NsId), Option<i32>>,
}

impl<'n> Numbers<'_, 'n> {
    fn ask(&mut self, ns: &'n NsId, others: &[&'n NsId]) -> Result<(), OpError> {
        let mut fds = Vec::with_capacity(others.len());
        for other in others {
            fds.extend(self.descriptor(other)?.map(|fd| (*other, fd)));
        }
        let Some(answers) = self.with_socket(ns, |socket| numbers(socket, &fds))? else { return Ok(()) };
        self.known.extend(answers.into_iter().map(|(other, number)| ((ns, other), number)));
        Ok(())
    }

    /// The candidate that a namespace calls by this number.
    fn which(&mut self, ns: &'n NsId, nsid: i32, candidates: &[&'n NsId]) -> Result<Option<&'n NsId>, OpError> {
        for candidate in candidates {
            if !self.known.contains_key(&(ns, *candidate)) {
                self.ask(ns, &[*candidate])?;
            }
            if self.known.get(&(ns, *candidate)) == Some(&Some(nsid)) {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// The hardware address of a link in the namespace that this one calls by a number.
    fn mac_of(&mut self, ns: &NsId, nsid: i32, index: u32) -> Result<Option<Mac>, OpError> {
        let found = self.with_socket(ns, |socket| {
            let mut requests = Requests::new();
            link::get_at(&mut requests, index, Some(nsid));
            // refused if the other namespace is another user's: then it is none of ours
            let (reply, _) = socket.ask(&mut requests)?;
            Ok(reply.answers().find_map(|answer| link::decode(&answer)).map(|link| Mac(link.mac)))
        })?;
        Ok(found.flatten())
    }

    fn descriptor(&self, ns: &NsId) -> Result<Option<Arc<OwnedFd>>, OpError> {
        let name = match ns {
            NsId::Host => return Ok(Some(Arc::clone(&self.linux.host.fd))),
            NsId::Named(name) => name,
        };
        match (self.linux.spaces.get(name), &self.directory) {
            (Some(space), _) => Ok(Some(Arc::clone(&space.fd))),
            (None, Some(directory)) => Ok(directory.namespace(name)?.map(Arc::new)),
            (None, None) => Ok(None),
        }
    }

    /// Asks a namespace something; None if it is gone.
    fn with_socket<T: Send>(
        &mut self,
        ns: &NsId,
        ask: impl Fn(&mut Socket) -> Result<T, OpError> + Sync,
    ) -> Result<Option<T>, OpError> {
        let name = match ns {
            NsId::Host => return ask(&mut self.linux.host.route).map(Some),
            NsId::Named(name) => name,
        };
        match (self.linux.spaces.get_mut(name), &self.directory) {
            (Some(space), _) => ask(&mut space.route).map(Some),
            (None, None) => Ok(None),
            (None, Some(directory)) => {
                // one that was not kept, for want of descriptors
                let work: Vec<OwnedFd> = directory.namespace(name)?.into_iter().collect();
                let asked = spread(work, 1, |fd| Space::enter(fd).and_then(|mut space| ask(&mut space.route)))?;
                asked.into_iter().next().transpose()
            }
        }
    }
}

/// What a socket's namespace calls others.
fn numbers<'n>(
    socket: &mut Socket,
    others: &[(&'n NsId, Arc<OwnedFd>)],
) -> Result<Vec<(&'n NsId, Option<i32>)>, OpError> {
    let mut requests = Requests::new();
    for (_, fd) in others {
        link::get_nsid(&mut requests, fd.as_fd());
    }
    let (reply, _) = socket.ask(&mut requests)?;
    let first = requests.first_sequence();
    let mut numbers: Vec<_> = others.iter().map(|(ns, _)| (*ns, None)).collect();
    for answer in reply.answers() {
        let position = usize::try_from(answer.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
        if let Some((_, number)) = numbers.get_mut(position) {
            *number = link::decode_nsid(&answer);
        }
    }
    Ok(numbers)
}
