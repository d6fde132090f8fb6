//! Looks at all network namespaces of the machine, whoever made them, and at what joins them.
//!
//! `find` tells which there are, `owner` whose they are, `vantage` gives each a number by which links name each other's;
//! then a few threads go through them and read what is asked for, and `join` puts the two ends of each veth together.

mod find;
mod join;
pub(crate) mod link;
mod listen;
pub(crate) mod neighbour;
mod owner;
pub(crate) mod route;
mod vantage;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use raum_core::host::{ObserveError, OpError};
use raum_core::lab::mark;
use raum_core::name::LabName;
use raum_core::ruleset::translations;
use raum_core::view::{Listener, Missing, Owner, Parts, Room, Scene};
use rustix::fs::fstat;
use rustix::io::Errno;

use crate::message::{Answer, Attribute, Requests};
use crate::socket::{Protocol, Reply, Socket};
use crate::workers::spread;
use crate::{errno, namespace, nft};
use find::{Found, Holders};
use link::Link;
use vantage::Vantage;

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;
/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 8;
/// Namespaces that are open at once to get their numbers, and questions in one message.
/// Few enough that all answers are in the socket's buffer at once: a hundred links are not.
const AT_ONCE: usize = 32;

/// A namespace before anybody looked inside.
struct Place {
    inode: u64,
    found: Found,
    room: Room,
}

/// What was read of one.
struct Seen {
    room: Room,
    links: Vec<Link>,
    /// With the inodes of their sockets, as the room's listeners.
    sockets: Vec<u64>,
}

/// Everything that is needed to look.
struct Eye {
    /// The namespace that is called host.
    host: OwnedFd,
    host_inode: u64,
    nsfs: u64,
    vantage: Option<Arc<Vantage>>,
    parts: Parts,
}

/// Looks at the namespaces that `choose` takes: it is shown each with its name, owner, lab, files and the numbers of its
/// processes. What cannot be seen is told in the scene.
///
/// # Errors
/// There is no `/proc`, or no thread can be made.
pub fn look(parts: Parts, choose: impl Fn(&Room) -> bool) -> Result<Scene, ObserveError> {
    scene(parts, &choose).map_err(|cause| ObserveError { what: "the network namespaces".to_owned(), cause })
}

fn scene(parts: Parts, choose: &dyn Fn(&Room) -> bool) -> Result<Scene, OpError> {
    let host = namespace::present()?;
    let stat = fstat(&host).map_err(|cause| errno::at("the network namespace", cause))?;
    let mut eye = Eye { host, host_inode: stat.st_ino, nsfs: stat.st_dev, vantage: None, parts };
    let mut scene = Scene::default();
    let (mut places, holders) = eye.places(&mut scene)?;
    match Vantage::new() {
        Ok(vantage) => {
            let vantage = Arc::new(vantage);
            eye.number(&vantage, &places)?;
            eye.vantage = Some(vantage);
            eye.labs(&mut places)?;
        }
        // alone on the machine nothing is missing
        Err(_) if places.len() < 2 => {}
        Err(cause) => scene.missing.push(missing("which interfaces of different namespaces belong together", &cause)),
    }
    let work: Vec<(usize, &Place)> = places.iter().enumerate().filter(|(_, place)| choose(&place.room)).collect();
    let seen = spread(work, WORTH, |(number, place)| (number, eye.read(number, place)))?;
    let mut seen: HashMap<usize, Seen> = seen.into_iter().collect();
    if let Some(vantage) = &eye.vantage {
        join::out_of_sight(vantage, places.len(), parts, &choose, &mut seen)?;
    }
    join::join(eye.vantage.as_deref(), &places, &mut seen)?;
    let mut numbers: Vec<usize> = seen.keys().copied().collect();
    numbers.sort_unstable();
    scene.namespaces =
        numbers.into_iter().filter_map(|number| seen.remove(&number)).map(|seen| held(seen, &holders)).collect();
    // a namespace that is gone since it was found was not there
    scene
        .namespaces
        .retain(|room| !(room.interfaces.is_empty() && room.missing.iter().any(|missing| missing.what == GONE)));
    scene.namespaces.sort_by(|a, b| {
        let key = |room: &Room| (room.owner != Owner::Host, room.namespace.clone());
        key(a).cmp(&key(b))
    });
    Ok(scene)
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

impl Eye {
    /// Every namespace there is, the host first, each with a name of its own; and who holds which sockets.
    fn places(&self, scene: &mut Scene) -> Result<(Vec<Place>, Holders), OpError> {
        let mut house = find::find()?;
        let (holders, held) = find::open_files()?;
        for (inode, way) in held {
            house.namespaces.entry(inode).or_default().ways.push(way);
        }
        if house.unseen > 0 {
            scene.missing.push(Missing {
                what: format!("the namespaces of {} processes of other users", house.unseen),
                why: "they may not be looked at (EACCES)".to_owned(),
            });
        }
        let host = house.namespaces.remove(&self.host_inode).unwrap_or_default();
        let mut room = Room::new("host".to_owned(), self.host_inode, Owner::Host);
        room.paths = host.paths.iter().map(|path| find::shown(path)).collect();
        let mut places = vec![Place { inode: self.host_inode, found: host, room }];
        let mut names: HashSet<String> = HashSet::from(["host".to_owned()]);
        let found: Vec<(u64, Found)> = house.namespaces.into_iter().collect();
        let told = spread(found, 64, |(inode, found)| (owner::of(&found), inode, found))?;
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
        Ok((places, holders))
    }

    fn open(&self, place: &Place) -> Result<OwnedFd, OpError> {
        if place.inode == self.host_inode {
            return self.host.try_clone().map_err(|cause| errno::at_io("the network namespace", &cause));
        }
        place.found.open(place.inode, self.nsfs)
    }

    /// Gives every place its number: its position.
    fn number(&self, vantage: &Vantage, places: &[Place]) -> Result<(), OpError> {
        for (part, chunk) in places.chunks(AT_ONCE).enumerate() {
            let opened: Vec<(i32, OwnedFd)> = chunk
                .iter()
                .enumerate()
                .filter_map(|(at, place)| Some((i32::try_from(part * AT_ONCE + at).ok()?, self.open(place).ok()?)))
                .collect();
            let borrowed: Vec<(i32, BorrowedFd<'_>)> = opened.iter().map(|(at, fd)| (*at, fd.as_fd())).collect();
            vantage.number(&borrowed)?;
        }
        Ok(())
    }

    /// Reads the labs' marks: the alias of each `lo`.
    fn labs(&self, places: &mut [Place]) -> Result<(), OpError> {
        let Some(vantage) = &self.vantage else { return Ok(()) };
        for (part, chunk) in places.chunks_mut(AT_ONCE).enumerate() {
            let mut requests = Requests::new();
            for at in 0..chunk.len() {
                let number = i32::try_from(part * AT_ONCE + at).ok();
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

    /// Reads one namespace, on a worker's thread.
    fn read(&self, number: usize, place: &Place) -> Seen {
        let mut seen = Seen { room: place.room.clone(), links: Vec::new(), sockets: Vec::new() };
        let room = &mut seen.room;
        if self.parts.processes {
            room.processes = place.found.pids.iter().filter_map(|pid| owner::user_process(*pid)).collect();
        }
        let inside = self.open(place).and_then(|fd| match namespace::enter(fd.as_fd()) {
            // whoever may not move is where he was
            Err(error) if error.errno == Errno::PERM.raw_os_error() && place.inode == self.host_inode => Ok(()),
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
        seen.links = links;
        self.inside(&mut socket, &names, &mut seen);
        seen
    }

    /// By its number from outside, or, without one, from inside.
    fn links(&self, number: usize, socket: &mut Socket) -> Result<Vec<Link>, OpError> {
        if let (Some(vantage), Ok(number)) = (&self.vantage, i32::try_from(number))
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
            let read = Socket::open(Protocol::Netfilter).and_then(|mut socket| {
                let tables = nft::observe_all(&mut socket)?;
                Ok((tables, crate::ruleset::read(&mut socket)?))
            });
            match read {
                Ok((tables, ruleset)) => {
                    room.tables = tables;
                    room.nat = translations(&ruleset);
                }
                // a kernel without nf_tables has no rules
                Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => {}
                Err(error) => tell("NAT rules", &error),
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
