//! What was known of each namespace, and what a message of the kernel changes in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use ipnet::IpNet;
use raum_core::host::OpError;
use raum_core::name::{LabName, Mac};
use raum_core::view::{Change, Event, Flow, Forwarding, Interface, Missing, Owner, Sample, What, differences};
use rustix::fs::fstat;
use rustix::io::Errno;

use super::super::engine::Engines;
use super::super::vantage::Vantage;
use super::super::{AT_ONCE, find, flow, lab, link, neighbour, owner, route};
use crate::message::{Answer, Attribute, NLM_F_REPLACE};
use crate::namespace;
use crate::socket::{Protocol, Socket};
use crate::workers::spread;
use crate::{errno, link::LOOPBACK};

const PF_BRIDGE: u8 = 7;
/// Ours begin here: the kernel gives the lowest that are free to those that nobody has found, but links lead to.
const FIRST: i32 = 1 << 20;
/// The number of the own namespace where there is no vantage.
const HOME: i32 = -1;

/// Everything that is watched.
pub(super) struct Book {
    vantage: Option<Vantage>,
    host_inode: u64,
    nsfs: u64,
    rooms: BTreeMap<i32, Known>,
    inodes: HashMap<u64, i32>,
    /// The number that the next one gets: none is used again, so that a late message about one that is gone means no other.
    next: i32,
    /// Who has which name: a search through all rooms for each new one would take seconds where there are thousands.
    called: HashMap<String, u64>,
    /// What has happened and was not handed out.
    pub events: Vec<Event>,
    pub missing: Vec<Missing>,
}

/// One namespace as it was last.
struct Known {
    inode: u64,
    name: String,
    owner: Owner,
    lab: Option<LabName>,
    /// From which its name was made.
    traces: Traces,
    /// How to get into it.
    ways: find::Found,
    links: BTreeMap<u32, Interface>,
    names: route::Names,
    addresses: BTreeSet<(u32, IpNet)>,
    neighbours: HashMap<(String, IpAddr), (Option<Mac>, String)>,
    /// What is inside could not be listed, and is to be at the next look.
    unread: Option<Unread>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// Never was: what is there then is where one begins.
    Ever,
    /// Not since events were missed: what differs then has happened meanwhile.
    Since,
}

/// Links, and addresses with the indices of their links.
type Listed = (Vec<link::Link>, Vec<(u32, IpNet)>);

#[derive(PartialEq, Eq)]
struct Traces {
    paths: Vec<PathBuf>,
    elsewhere: Option<(u32, PathBuf)>,
    first: Option<u32>,
}

impl Traces {
    fn of(found: &find::Found) -> Self {
        Self { paths: found.paths.clone(), elsewhere: found.elsewhere.clone(), first: found.pids.first().copied() }
    }
}

impl Book {
    pub fn new(vantage: Result<Vantage, OpError>) -> Result<Self, OpError> {
        let here = namespace::present()?;
        let stat = fstat(&here).map_err(|cause| errno::at("the network namespace", cause))?;
        let mut book = Self {
            vantage: None,
            host_inode: stat.st_ino,
            nsfs: stat.st_dev,
            rooms: BTreeMap::new(),
            inodes: HashMap::new(),
            next: FIRST,
            called: HashMap::new(),
            events: Vec::new(),
            missing: Vec::new(),
        };
        match vantage {
            Ok(vantage) => book.vantage = Some(vantage),
            Err(error) => book
                .missing
                .push(Missing { what: "events of all namespaces but this one".to_owned(), why: error.words() }),
        }
        Ok(book)
    }

    pub fn count(&self) -> usize {
        self.rooms.len()
    }

    /// Looks for namespaces that are new, or are called otherwise now. At the beginning what is there is no event.
    pub fn look(&mut self, beginning: bool) -> Result<(), OpError> {
        let mut house = find::find()?;
        if beginning {
            for (inode, way) in find::open_files()?.1 {
                house.namespaces.entry(inode).or_default().ways.push(way);
            }
        }
        if let Some(own) = self.vantage.as_ref().and_then(Vantage::inode) {
            house.namespaces.remove(&own);
        }
        house.namespaces.entry(self.host_inode).or_default();
        // asked once at most for all that are met in this look
        let engines = Engines::default();
        let mut new: Vec<(u64, find::Found)> = Vec::new();
        for (inode, found) in house.namespaces {
            match self.inodes.get(&inode).and_then(|number| self.rooms.get(number)) {
                Some(known) if known.traces == Traces::of(&found) => {}
                Some(_) => self.rename(inode, found, &engines),
                None => new.push((inode, found)),
            }
        }
        if self.vantage.is_none() {
            new.retain(|(inode, _)| *inode == self.host_inode);
        }
        while !new.is_empty() {
            let part = new.split_off(new.len().saturating_sub(AT_ONCE));
            self.take(part, beginning, &engines)?;
        }
        self.read_unread();
        Ok(())
    }

    fn named(&self, inode: u64, found: &find::Found, engines: &Engines) -> (String, Owner) {
        if inode == self.host_inode {
            return ("host".to_owned(), Owner::Host);
        }
        let (name, owner) = owner::of(found, engines);
        let is_taken = |name: &str| self.called.get(name).is_some_and(|owner| *owner != inode);
        let name = if name.is_empty() { format!("net:[{inode}]") } else { name };
        (if is_taken(&name) || name == "host" { format!("{name}#{inode}") } else { name }, owner)
    }

    fn rename(&mut self, inode: u64, found: find::Found, engines: &Engines) {
        // without a name and a process it keeps what it was called until the kernel says that it is gone
        if found.paths.is_empty() && found.elsewhere.is_none() && found.pids.is_empty() {
            return;
        }
        let (name, owner) = self.named(inode, &found, engines);
        let Some(known) = self.inodes.get(&inode).and_then(|number| self.rooms.get_mut(number)) else { return };
        known.traces = Traces::of(&found);
        known.ways = found;
        if known.name == name {
            return;
        }
        known.owner = known.lab.clone().map_or(owner, Owner::Lab);
        let what = What::Namespace { name: name.clone(), owner: known.owner.clone() };
        self.events.push(known.event(Change::Changed, what));
        self.called.remove(&known.name);
        self.called.insert(name.clone(), inode);
        known.name = name;
    }

    /// Gives new ones their numbers, and notes what is in them.
    fn take(&mut self, new: Vec<(u64, find::Found)>, beginning: bool, engines: &Engines) -> Result<(), OpError> {
        let mut opened: Vec<(u64, find::Found, OwnedFd)> = Vec::new();
        for (inode, found) in new {
            let fd = if inode == self.host_inode { namespace::present() } else { found.open(inode, self.nsfs) };
            // what cannot be opened is gone, or another user's
            opened.extend(fd.ok().map(|fd| (inode, found, fd)));
        }
        let borrowed: Vec<BorrowedFd<'_>> = opened.iter().map(|(_, _, fd)| fd.as_fd()).collect();
        let numbers = match &self.vantage {
            Some(vantage) => vantage.numbers(&borrowed, &mut self.next)?,
            None => vec![Some(HOME); borrowed.len()],
        };
        for ((inode, found, _), number) in opened.into_iter().zip(numbers) {
            let Some(number) = number else { continue };
            let (name, owner) = self.named(inode, &found, engines);
            let traces = Traces::of(&found);
            let mut known = Known {
                inode,
                name,
                owner,
                lab: None,
                traces,
                ways: found,
                links: BTreeMap::new(),
                names: route::Names::new(),
                addresses: BTreeSet::new(),
                neighbours: HashMap::new(),
                unread: None,
            };
            let mut inside = Vec::new();
            match self.list(number) {
                Ok((links, addresses)) => known.compare(links, addresses, &mut inside),
                // the kernel's message that it is gone is on its way
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    known.unread = Some(Unread::Ever);
                    self.not_listed(&known.name, &error);
                }
            }
            // a number of the kernel's choice was another's, of whose end nothing was heard
            self.gone(number);
            if !beginning {
                let what = What::Namespace { name: known.name.clone(), owner: known.owner.clone() };
                self.events.push(known.event(Change::Added, what));
                // what every namespace has is not worth a line
                self.events.extend(inside.into_iter().filter(|event| !of_loopback(&event.what)));
            }
            self.inodes.insert(inode, number);
            self.called.insert(known.name.clone(), inode);
            self.rooms.insert(number, known);
        }
        Ok(())
    }

    fn list(&self, number: i32) -> Result<Listed, OpError> {
        let both = |socket: &mut Socket, nsid| Ok((link::list(socket, nsid, false)?, link::addresses(socket, nsid)?));
        match &self.vantage {
            Some(vantage) => vantage.with(|socket| both(socket, Some(number))),
            None => both(&mut Socket::open(Protocol::Route)?, None),
        }
    }

    /// After events were missed: says so, and what is different now.
    pub fn compare(&mut self) {
        self.events.push(Event {
            namespace: "host".to_owned(),
            lab: None,
            change: Change::Missed,
            what: What::Overrun,
        });
        let numbers: Vec<i32> = self.rooms.keys().copied().collect();
        for number in numbers {
            self.list_anew(number);
        }
    }

    /// Looks into those that could not be listed before.
    fn read_unread(&mut self) {
        let unread = self.rooms.iter().filter(|(_, known)| known.unread.is_some());
        for number in unread.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.list_anew(number);
        }
    }

    /// Says what is different in one. Only a number that nobody has means that it is gone: whatever else is refused, it is
    /// kept, and listed at the next look.
    fn list_anew(&mut self, number: i32) {
        let listed = self.list(number);
        let Some(known) = self.rooms.get_mut(&number) else { return };
        match listed {
            Ok((links, addresses)) => {
                let mut now = Vec::new();
                known.compare(links, addresses, &mut now);
                if known.unread.take() != Some(Unread::Ever) {
                    self.events.append(&mut now);
                }
            }
            Err(error) if is_gone(&error) => self.gone(number),
            Err(error) => {
                known.unread.get_or_insert(Unread::Since);
                let name = known.name.clone();
                self.not_listed(&name, &error);
            }
        }
    }

    fn not_listed(&mut self, name: &str, error: &OpError) {
        let missing = Missing { what: format!("for now, what is in {name}"), why: error.words() };
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
    }

    pub fn sample(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Sample>, OpError> {
        let rooms: Vec<(i32, &Known)> = self
            .rooms
            .iter()
            .map(|(number, known)| (*number, known))
            .filter(|(_, known)| wanted(&known.name))
            .collect();
        let read = |(number, known): (i32, &Known)| {
            let links = match &self.vantage {
                Some(vantage) => vantage.with(|socket| link::list(socket, Some(number), true)),
                None => link::list(&mut Socket::open(Protocol::Route)?, None, true),
            };
            let (links, _) = link::named(links?);
            let interfaces = links.into_iter().map(|link| link.interface).collect();
            Ok::<_, OpError>(Sample { namespace: known.name.clone(), inode: known.inode, interfaces })
        };
        // what is refused has gone this moment
        let read = spread(rooms, 64, read)?;
        let mut samples: Vec<Sample> = read.into_iter().flatten().collect();
        samples.sort_by(|a, b| (a.namespace != "host", &a.namespace).cmp(&(b.namespace != "host", &b.namespace)));
        Ok(samples)
    }

    pub fn flows(&self, inode: u64) -> Result<Vec<Flow>, OpError> {
        if inode == self.host_inode {
            return flow::list();
        }
        let known = self.inodes.get(&inode).and_then(|number| self.rooms.get(number));
        let fd = known.map(|known| known.ways.open(inode, self.nsfs));
        let fd = fd.unwrap_or_else(|| Err(errno::refused("it is gone")))?;
        namespace::in_namespace(fd, flow::list)?
    }

    fn gone(&mut self, number: i32) {
        let Some(known) = self.rooms.remove(&number) else { return };
        self.inodes.remove(&known.inode);
        self.called.remove(&known.name);
        let what = What::Namespace { name: known.name.clone(), owner: known.owner.clone() };
        self.events.push(known.event(Change::Removed, what));
    }

    /// A message of the kernel, and the number of the namespace that it is about.
    pub fn note(&mut self, number: Option<i32>, answer: &Answer<'_>) {
        /// `RTM_DELNSID`, `NETNSA_NSID`.
        const DELNSID: u16 = 89;
        if self.vantage.is_some() && number.is_none() {
            // of the vantage itself: only which numbers are no more
            if answer.kind == DELNSID
                && let Some(gone) = answer.split(4).and_then(|(_, all)| all.find(1)).and_then(Attribute::i32)
            {
                self.gone(gone);
            }
            return;
        }
        if let Some(known) = self.rooms.get_mut(&number.unwrap_or(HOME)) {
            self.events.extend(known.note(answer));
        }
    }
}

impl Known {
    fn event(&self, change: Change, what: What) -> Event {
        Event { namespace: self.name.clone(), lab: self.lab.clone(), change, what }
    }

    /// Takes what is there now for known, and says what is different.
    fn compare(&mut self, links: Vec<link::Link>, addresses: Vec<(u32, IpNet)>, events: &mut Vec<Event>) {
        let (links, _) = link::named(links);
        let there: BTreeSet<u32> = links.iter().map(|link| link.interface.index).collect();
        let gone = self.links.keys().copied().filter(|index| !there.contains(index));
        for index in gone.collect::<Vec<_>>() {
            events.extend(self.link_gone(index));
        }
        for link in links {
            events.extend(self.link(link));
        }
        let now: BTreeSet<(u32, IpNet)> = addresses.into_iter().collect();
        for (index, address) in self.addresses.difference(&now).copied().collect::<Vec<_>>() {
            events.extend(self.address_gone(index, address));
        }
        for (index, address) in now {
            events.extend(self.address(index, address));
        }
    }

    /// RTM_* of include/uapi/linux/rtnetlink.h. None for what changes nothing, or is no event.
    fn note(&mut self, answer: &Answer<'_>) -> Option<Event> {
        let of_bridge = answer.body.first() == Some(&PF_BRIDGE);
        match answer.kind {
            // of a bridge: what its port is like, which the link's own message says, too
            16 if !of_bridge => self.link(link::decode(answer)?),
            17 if !of_bridge => self.link_gone(link::decode(answer)?.interface.index),
            20 | 21 => {
                let (index, address) = link::address(answer)?;
                if answer.kind == 20 { self.address(index, address) } else { self.address_gone(index, address) }
            }
            24 | 25 => {
                let found = route::decode(answer, &self.names).filter(|found| !found.is_implied())?;
                let change = match answer.kind {
                    25 => Change::Removed,
                    _ if answer.flags & NLM_F_REPLACE != 0 => Change::Changed,
                    _ => Change::Added,
                };
                Some(self.event(change, What::Route(found)))
            }
            28 | 29 if of_bridge => self.forwarding(answer),
            28 | 29 => self.neighbour(answer),
            32 => Some(self.event(Change::Added, What::Rule(route::decode_rule(answer)?))),
            33 => Some(self.event(Change::Removed, What::Rule(route::decode_rule(answer)?))),
            _ => None,
        }
    }

    fn link(&mut self, found: link::Link) -> Option<Event> {
        let mut now = found.interface;
        let index = now.index;
        now.counters = None;
        now.master = found.master.map(|master| self.names.get(&master).cloned().unwrap_or_else(|| master.to_string()));
        if index == LOOPBACK {
            self.lab = now.alias.as_deref().and_then(lab);
            if let Some(lab) = self.lab.clone().filter(|_| self.owner != Owner::Host) {
                self.owner = Owner::Lab(lab);
            }
        }
        self.names.insert(index, now.name.clone());
        let before = self.links.insert(index, now.clone());
        let (change, differs) = match before {
            None => (Change::Added, Vec::new()),
            Some(before) => (Change::Changed, differences(&before, &now)),
        };
        if change == Change::Changed && differs.is_empty() {
            return None;
        }
        Some(self.event(change, What::Link { interface: Box::new(now), differs }))
    }

    fn link_gone(&mut self, index: u32) -> Option<Event> {
        let was = self.links.remove(&index)?;
        self.names.remove(&index);
        self.addresses.retain(|(of, _)| *of != index);
        self.neighbours.retain(|(dev, _), _| *dev != was.name);
        Some(self.event(Change::Removed, What::Link { interface: Box::new(was), differs: Vec::new() }))
    }

    fn dev(&self, index: u32) -> String {
        self.names.get(&index).cloned().unwrap_or_else(|| index.to_string())
    }

    fn address(&mut self, index: u32, address: IpNet) -> Option<Event> {
        let new = self.addresses.insert((index, address));
        new.then(|| self.event(Change::Added, What::Address { dev: self.dev(index), address }))
    }

    fn address_gone(&mut self, index: u32, address: IpNet) -> Option<Event> {
        let was = self.addresses.remove(&(index, address));
        was.then(|| self.event(Change::Removed, What::Address { dev: self.dev(index), address }))
    }

    /// Which neighbours there were at the beginning is not known: none is called new.
    fn neighbour(&mut self, answer: &Answer<'_>) -> Option<Event> {
        let found = neighbour::decode(answer, &self.names)?;
        let key = (found.dev.clone(), found.address);
        if answer.kind == 29 {
            self.neighbours.remove(&key);
            return Some(self.event(Change::Removed, What::Neighbour(found)));
        }
        let now = (found.mac, found.state.clone());
        let before = self.neighbours.insert(key, now.clone());
        (before != Some(now)).then(|| self.event(Change::Changed, What::Neighbour(found)))
    }

    /// Not the ports' own addresses, which come and go with them.
    fn forwarding(&self, answer: &Answer<'_>) -> Option<Event> {
        let found: Forwarding = neighbour::decode_forwarding(answer, &self.names)?;
        let change = if answer.kind == 29 { Change::Removed } else { Change::Added };
        (found.state != "permanent").then(|| self.event(change, What::Forwarding(found)))
    }
}

/// No namespace has the number (`rtnl_get_net_ns_capable`, net/core/rtnetlink.c).
fn is_gone(error: &OpError) -> bool {
    error.errno == Errno::INVAL.raw_os_error()
}

fn of_loopback(what: &What) -> bool {
    match what {
        What::Link { interface, .. } => interface.index == LOOPBACK,
        What::Address { address, .. } => address.addr().is_loopback(),
        _ => false,
    }
}
