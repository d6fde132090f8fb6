//! Looks at all network namespaces of the machine, whoever made them, and at what joins them.
//!
//! `find` tells which there are, `owner` whose they are, `vantage` gives each a number by which links name each other's;
//! then a few threads go through them and read what is asked for, and `join` puts the two ends of each veth together.

mod engine;
mod find;
mod flow;
mod join;
pub(crate) mod link;
pub(crate) mod listen;
pub(crate) mod neighbour;
mod owner;
pub(crate) mod route;
mod vantage;
mod watch;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use raum_core::host::{ObserveError, OpError};
use raum_core::lab::mark;
use raum_core::name::LabName;
use raum_core::natural::natural;
use raum_core::nft::Table;
use raum_core::ruleset::{chains, translations};
use raum_core::view::{Listener, Missing, Owner, Parts, Room, RuleChain, Scene, Translation, telling};
use rustix::fs::fstat;
use rustix::io::Errno;

use crate::message::{Answer, Attribute, Requests};
use crate::socket::{Protocol, Reply, Socket};
use crate::workers::spread;
use crate::{errno, namespace, nft, ruleset, sysctl};
use find::Holders;
use link::Link;
use vantage::Vantage;
pub use watch::Watcher;

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;
/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 8;
/// Namespaces that are open at once to get their numbers.
const AT_ONCE: usize = 128;
/// Questions in one send. The kernel answers each with a message for which it sets aside up to 4 kB, all of them before the
/// first can be read, and a socket has room for 208 kB (`net/core/rmem_default`).
const QUESTIONS: usize = 32;

/// A namespace before anybody looked inside.
struct Place {
    inode: u64,
    found: find::Found,
    room: Room,
}

/// What was read of one.
struct Seen {
    room: Room,
    links: Vec<Link>,
    /// With the inodes of their sockets, as the room's listeners.
    sockets: Vec<u64>,
}

/// Every namespace of the machine, before anybody looked inside.
pub struct Found {
    /// The namespace that is called host.
    host: OwnedFd,
    host_inode: u64,
    nsfs: u64,
    vantage: Result<Arc<Vantage>, OpError>,
    /// Each one's position is its number at the vantage, if it got that.
    places: Vec<Place>,
    /// Which have their number.
    numbered: Vec<bool>,
    holders: Holders,
    /// What could not be found.
    missing: Vec<Missing>,
}

/// Looks at the namespaces that `choose` takes: it is shown each with its name, owner, lab, files and the numbers of its
/// processes. What cannot be seen is told in the scene.
///
/// # Errors
/// There is no `/proc`, or no thread can be made.
pub fn look(parts: Parts, choose: impl Fn(&Room) -> bool) -> Result<Scene, ObserveError> {
    find()?.look(parts, choose)
}

/// Finds all namespaces, and looks into none.
///
/// # Errors
/// There is no `/proc`, or no thread can be made.
pub fn find() -> Result<Found, ObserveError> {
    Found::now().map_err(told)
}

fn told(cause: OpError) -> ObserveError {
    ObserveError { what: "the network namespaces".to_owned(), cause }
}

impl Found {
    /// Each with its name, owner, lab, files and the numbers of its processes; the host first.
    pub fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.places.iter().map(|place| &place.room)
    }

    /// Looks into those that `choose` takes. What cannot be seen is told in the scene.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn look(self, parts: Parts, choose: impl Fn(&Room) -> bool) -> Result<Scene, ObserveError> {
        self.scene(parts, &choose).map_err(told)
    }

    fn now() -> Result<Self, OpError> {
        let host = namespace::present()?;
        let stat = fstat(&host).map_err(|cause| errno::at("the network namespace", cause))?;
        let mut found = Self {
            host,
            host_inode: stat.st_ino,
            nsfs: stat.st_dev,
            vantage: Vantage::new().map(Arc::new),
            places: Vec::new(),
            numbered: Vec::new(),
            holders: Holders::new(),
            missing: Vec::new(),
        };
        found.find_places()?;
        if let Ok(vantage) = found.vantage.clone() {
            found.number(&vantage)?;
            found.labs(&vantage)?;
        }
        Ok(found)
    }

    fn scene(self, parts: Parts, choose: &dyn Fn(&Room) -> bool) -> Result<Scene, OpError> {
        let eye = Eye { found: &self, parts };
        let work: Vec<(usize, &Place)> =
            self.places.iter().enumerate().filter(|(_, place)| choose(&place.room)).collect();
        let seen = spread(work, WORTH, |(number, place)| (number, eye.read(number, place)))?;
        let mut seen: HashMap<usize, Seen> = seen.into_iter().collect();
        let names = self.names();
        if let Ok(vantage) = &self.vantage {
            join::out_of_sight(vantage, &names, parts, &choose, &mut seen)?;
        }
        join::join(self.vantage.as_deref().ok(), names, &mut seen)?;
        let mut scene = Scene { namespaces: Vec::new(), missing: self.missing };
        scene.namespaces = seen.into_values().map(|seen| held(seen, &self.holders)).collect();
        // a namespace that is gone since it was found was not there
        scene
            .namespaces
            .retain(|room| !(room.interfaces.is_empty() && room.missing.iter().any(|missing| missing.what == GONE)));
        let rank = |room: &Room| room.owner != Owner::Host;
        scene.namespaces.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| natural(&a.namespace, &b.namespace)));
        Ok(scene)
    }

    /// What each number means at the vantage; without one, what each place is called here.
    fn names(&self) -> HashMap<i32, String> {
        let places = self.places.iter().enumerate();
        let known = |at: &usize| self.vantage.is_err() || self.numbered.get(*at) == Some(&true);
        places
            .filter(|(at, _)| known(at))
            .filter_map(|(at, place)| Some((i32::try_from(at).ok()?, place.room.namespace.clone())))
            .collect()
    }
}

/// Reads namespaces, on whatever thread.
struct Eye<'a> {
    found: &'a Found,
    parts: Parts,
}

/// Marks what went away while it was being looked at.
const GONE: &str = "gone";

/// Says who holds the sockets.
fn held(mut seen: Seen, holders: &Holders) -> Room {
    for (listener, socket) in seen.room.listeners.iter_mut().zip(&seen.sockets) {
        let pids = holders.get(socket).into_iter().flatten();
        listener.holders = pids.map(|pid| owner::process(*pid)).collect();
    }
    seen.room
}

impl Found {
    /// Every namespace there is, the host first, each with a name of its own; and who holds which sockets.
    fn find_places(&mut self) -> Result<(), OpError> {
        let mut house = find::find()?;
        let (holders, held) = find::open_files()?;
        for (inode, way) in held {
            house.namespaces.entry(inode).or_default().ways.push(way);
        }
        if let Some(own) = self.vantage.as_ref().ok().and_then(|vantage| vantage.inode()) {
            house.namespaces.remove(&own);
        }
        if house.unseen > 0 {
            self.missing.push(Missing {
                what: match house.unseen {
                    1 => "the namespace of a process of another user".to_owned(),
                    count => format!("the namespaces of {count} processes of other users"),
                },
                why: "they may not be looked at (EACCES)".to_owned(),
            });
        }
        let host = house.namespaces.remove(&self.host_inode).unwrap_or_default();
        let mut room = Room::new("host".to_owned(), self.host_inode, Owner::Host);
        room.paths = host.paths.iter().map(|path| find::shown(path)).collect();
        let mut places = vec![Place { inode: self.host_inode, found: host, room }];
        let mut names: HashSet<String> = HashSet::from(["host".to_owned()]);
        let found: Vec<(u64, find::Found)> = house.namespaces.into_iter().collect();
        let engines = engine::Engines::default();
        let told = spread(found, 64, |(inode, found)| (owner::of(&found, &engines), inode, found))?;
        for ((name, owner), inode, found) in told {
            let mut name = if name.is_empty() { format!("net:[{inode}]") } else { name };
            if !names.insert(name.clone()) {
                name = format!("{name}#{inode}");
                names.insert(name.clone());
            }
            let mut room = Room::new(name, inode, owner);
            room.paths = found.paths.iter().map(|path| find::shown(path)).collect();
            places.push(Place { inode, found, room });
        }
        for place in &mut places {
            let numbers = place.found.pids.iter();
            place.room.processes =
                numbers.map(|pid| raum_core::view::Process { pid: *pid, command: String::new() }).collect();
        }
        (self.places, self.holders) = (places, holders);
        Ok(())
    }

    fn open(&self, place: &Place) -> Result<OwnedFd, OpError> {
        if place.inode == self.host_inode {
            return self.host.try_clone().map_err(|cause| errno::at_io("the network namespace", &cause));
        }
        place.found.open(place.inode, self.nsfs)
    }

    /// Gives every place its number: its position. Those that cannot be opened come last and have none, so that no number is
    /// left out: the kernel would give it to a namespace that nobody has found.
    fn number(&mut self, vantage: &Vantage) -> Result<(), OpError> {
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        let mut places = std::mem::take(&mut self.places).into_iter().peekable();
        while places.peek().is_some() {
            let mut opened: Vec<(i32, OwnedFd)> = Vec::new();
            for place in places.by_ref().take(AT_ONCE) {
                match (i32::try_from(open.len()), self.open(&place)) {
                    (Ok(number), Ok(fd)) => {
                        opened.push((number, fd));
                        open.push(place);
                    }
                    _ => closed.push(place),
                }
            }
            let borrowed: Vec<(i32, BorrowedFd<'_>)> = opened.iter().map(|(at, fd)| (*at, fd.as_fd())).collect();
            self.numbered.extend(vantage.number(&borrowed)?);
        }
        open.append(&mut closed);
        self.places = open;
        Ok(())
    }

    /// Reads the labs' marks: the alias of each `lo`.
    fn labs(&mut self, vantage: &Vantage) -> Result<(), OpError> {
        for (part, chunk) in self.places.chunks_mut(QUESTIONS).enumerate() {
            let mut requests = Requests::new();
            for at in 0..chunk.len() {
                let number = i32::try_from(part * QUESTIONS + at).ok();
                link::ask(&mut requests, crate::link::LOOPBACK, number, false);
            }
            let (reply, _) = vantage.with(|socket| socket.ask(&mut requests))?;
            let first = requests.first_sequence();
            for answer in reply.answers() {
                let at = usize::try_from(answer.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let lab = link::decode(&answer).and_then(|lo| lab(&lo.interface.alias?));
                if let (Some(place), Some(lab)) = (chunk.get_mut(at), lab) {
                    place.room.give_to(lab);
                }
            }
        }
        Ok(())
    }
}

impl Eye<'_> {
    /// Reads one namespace, on a worker's thread.
    fn read(&self, number: usize, place: &Place) -> Seen {
        let mut seen = Seen { room: place.room.clone(), links: Vec::new(), sockets: Vec::new() };
        let room = &mut seen.room;
        if self.parts.processes {
            room.processes = place.found.pids.iter().filter_map(|pid| owner::user_process(*pid)).collect();
        }
        let inside = self.found.open(place).and_then(|fd| match namespace::enter(fd.as_fd()) {
            // whoever may not move is where he was
            Err(error) if error.errno == Errno::PERM.raw_os_error() && place.inode == self.found.host_inode => Ok(()),
            moved => moved,
        });
        let socket = inside.and_then(|()| Socket::open(Protocol::Route));
        let mut socket = match socket {
            Ok(socket) => socket,
            Err(error) if error.errno == Errno::NOENT.raw_os_error() => {
                room.missing.push(missing(GONE, &error));
                return seen;
            }
            Err(error) => {
                room.missing.push(missing("what is inside", &error));
                return seen;
            }
        };
        let mut told = |what: &str, done: Result<(), OpError>| {
            if let Err(error) = done {
                room.missing.push(missing(what, &error));
            }
        };
        let links = self.links(number, &mut socket);
        let (mut links, names) = link::named(match links {
            Ok(links) => links,
            Err(error) => {
                told("interfaces", Err(error));
                Vec::new()
            }
        });
        if self.parts.addresses {
            told("addresses", link::add_addresses(&mut socket, &mut links));
        }
        if let Err(error) = &self.found.vantage
            && links.iter().any(|link| link.nsid.is_some())
        {
            told("the other ends of its wires", Err(error.clone()));
        }
        seen.links = links;
        self.inside(&mut socket, &names, &mut seen);
        seen
    }

    /// By its number from outside, or, without one, from inside.
    fn links(&self, at: usize, socket: &mut Socket) -> Result<Vec<Link>, OpError> {
        if let (Ok(vantage), Ok(number)) = (&self.found.vantage, i32::try_from(at))
            && self.found.numbered.get(at) == Some(&true)
            && let Ok(links) = vantage.with(|socket| link::list(socket, Some(number), self.parts.counters))
        {
            return Ok(links);
        }
        let mut links = link::list(socket, None, self.parts.counters)?;
        for link in &mut links {
            // a number of that namespace's own means nothing here
            link.nsid = link.nsid.map(|_| -1);
        }
        Ok(links)
    }

    fn inside(&self, socket: &mut Socket, names: &route::Names, seen: &mut Seen) {
        let Self { parts, .. } = self;
        let room = &mut seen.room;
        let mut lost = Vec::new();
        let mut tell = |what: &str, error: &OpError| lost.push(missing(what, error));
        if parts.routes {
            match route::list(socket, names, true) {
                Ok(routes) => room.routes = routes,
                Err(error) => tell("routes", &error),
            }
            match route::rules(socket) {
                Ok(rules) => room.rules = rules,
                Err(error) => tell("routing rules", &error),
            }
            match route::forwards(socket) {
                Ok(forwards) => room.forwards = Some(forwards),
                Err(error) => tell("forwarding", &error),
            }
        }
        if parts.neighbours {
            match neighbour::list(socket, names) {
                Ok(neighbours) => room.neighbours = neighbours,
                Err(error) => tell("neighbours", &error),
            }
        }
        if parts.forwarding && seen.links.iter().any(|link| link.interface.kind == "bridge") {
            match neighbour::forwarding(socket, names) {
                Ok(forwarding) => room.forwarding = forwarding,
                Err(error) => tell("forwarding tables of bridges", &error),
            }
        }
        if parts.nat {
            match rules() {
                Ok(Rules { tables, nat, chains }) => (room.tables, room.nat, room.chains) = (tables, nat, chains),
                Err(error) => tell("NAT rules", &error),
            }
        }
        if parts.sysctls {
            let names = seen.links.iter().map(|link| link.interface.name.as_str()).filter(|name| *name != "lo");
            for (key, usual) in telling(names) {
                match sysctl::read(&key) {
                    Ok(value) => {
                        let other = value.filter(|value| value != usual);
                        room.sysctls.extend(other.map(|value| (key.to_string(), value)));
                    }
                    Err(error) => tell("sysctls", &error),
                }
            }
        }
        if parts.listeners {
            match listen::list(names) {
                Ok(found) => {
                    let (listeners, sockets): (Vec<Listener>, Vec<u64>) = found.into_iter().unzip();
                    room.listeners = listeners;
                    seen.sockets = sockets;
                }
                Err(error) => tell("listening sockets", &error),
            }
        }
        if let Some(lo) = seen.links.iter().find(|link| link.interface.index == crate::link::LOOPBACK)
            && let Some(lab) = lo.interface.alias.as_deref().and_then(lab)
        {
            room.give_to(lab);
        }
        room.missing.append(&mut lost);
    }
}

/// What there is of nf_tables.
#[derive(Default)]
struct Rules {
    tables: Vec<Table>,
    nat: Vec<Translation>,
    chains: Vec<RuleChain>,
}

/// The labs' own tables, and what others translate. A kernel without nf_tables has no rules.
fn rules() -> Result<Rules, OpError> {
    let mut socket = match Socket::open(Protocol::Netfilter) {
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => return Ok(Default::default()),
        socket => socket?,
    };
    let all = ruleset::read(&mut socket)?;
    let of_labs = all.tables.iter().any(|table| table.lab().is_some());
    let tables = if of_labs { nft::observe_all(&mut socket)? } else { Vec::new() };
    Ok(Rules { tables, nat: translations(&all), chains: chains(&all) })
}

/// How many of the readers here take a message for one of theirs.
pub(crate) fn understood(answer: &Answer<'_>) -> usize {
    let names = route::Names::new();
    let read = [
        link::decode(answer).is_some(),
        link::address(answer).is_some(),
        route::decode(answer, &names).is_some(),
        route::decode_rule(answer).is_some(),
        neighbour::decode(answer, &names).is_some(),
        neighbour::decode_forwarding(answer, &names).is_some(),
        flow::decode(answer).is_some(),
        listen::decode(answer, raum_core::lab::Proto::Tcp, &names).is_some(),
    ];
    read.into_iter().filter(|read| *read).count()
}

fn missing(what: &str, error: &OpError) -> Missing {
    Missing { what: what.to_owned(), why: error.words() }
}

/// All objects of a kind.
pub(crate) fn dump(socket: &mut Socket, kind: u16, header: &[u8]) -> Result<Reply, OpError> {
    let mut requests = Requests::new();
    requests.request(kind, 0, header);
    socket.dump(&mut requests)
}

/// The lab of a mark.
pub(crate) fn lab(alias: &str) -> Option<LabName> {
    let name = LabName::new(alias.strip_prefix("raum:")?).ok()?;
    (mark(&name) == alias).then_some(name)
}

/// An address of either family.
pub(crate) fn ip(attribute: Attribute<'_>) -> Option<IpAddr> {
    match attribute.bytes.len() {
        4 => attribute.array::<4>().map(IpAddr::from),
        16 => attribute.array::<16>().map(IpAddr::from),
        _ => None,
    }
}

/// Text from the kernel as a terminal can bear it.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    if !text.contains(char::is_control) {
        return text.into_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
