//! Puts together what belongs together across namespaces.

use std::collections::{BTreeSet, HashMap};

use raum_core::host::OpError;
use raum_core::view::{Missing, Other, Owner, Parts, Room};

use super::vantage::Vantage;
use super::{AT_ONCE, Place, Seen, link};
use crate::message::Requests;

/// A link by the number of its namespace and its own there.
type End = (i32, u32);

/// Looks at namespaces that nothing led to but a link: held by a socket, or bound where this process cannot see. The kernel
/// gave them numbers of its own, from `known` on, when it told of the link. Of these only interfaces can be read.
pub(super) fn out_of_sight(
    vantage: &Vantage,
    known: usize,
    parts: Parts,
    choose: &dyn Fn(&Room) -> bool,
    seen: &mut HashMap<usize, Seen>,
) -> Result<(), OpError> {
    let mut asked: BTreeSet<usize> = BTreeSet::new();
    loop {
        let numbers = seen.values().flat_map(|seen| &seen.links).filter_map(|link| usize::try_from(link.nsid?).ok());
        let new: Vec<usize> = numbers.filter(|number| *number >= known && asked.insert(*number)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for number in new {
            let mut room = Room::new(format!("unseen-{}", number + 1 - known), 0, Owner::Unknown);
            if !choose(&room) {
                continue;
            }
            let nsid = i32::try_from(number).unwrap_or(i32::MAX);
            let listed = vantage.with(|socket| link::list(socket, Some(nsid), parts.counters));
            let (links, _) = link::named(listed.unwrap_or_default());
            room.missing.push(Missing {
                what: "all but its interfaces".to_owned(),
                why: "nothing that this process can see leads into it".to_owned(),
            });
            seen.insert(number, Seen { room, links, sockets: Vec::new() });
        }
    }
}

/// Gives every room its interfaces, with the other end of each by name.
pub(super) fn join(
    vantage: Option<&Vantage>,
    places: &[Place],
    seen: &mut HashMap<usize, Seen>,
) -> Result<(), OpError> {
    let mut names: HashMap<End, String> = HashMap::new();
    let mut wanted: BTreeSet<End> = BTreeSet::new();
    for (number, seen) in &*seen {
        let Ok(number) = i32::try_from(*number) else { continue };
        for link in &seen.links {
            names.insert((number, link.interface.index), link.interface.name.clone());
            if let Some(index) = link.link {
                wanted.insert((link.nsid.unwrap_or(number), index));
            }
        }
    }
    if let Some(vantage) = vantage {
        let unknown: Vec<End> = wanted.into_iter().filter(|end| end.0 >= 0 && !names.contains_key(end)).collect();
        for part in unknown.chunks(AT_ONCE) {
            ask(vantage, part, &mut names)?;
        }
    }
    let rooms: HashMap<i32, String> = seen
        .iter()
        .map(|(number, seen)| (*number, &seen.room))
        .chain(places.iter().enumerate().map(|(number, place)| (number, &place.room)))
        .filter_map(|(number, room)| Some((i32::try_from(number).ok()?, room.namespace.clone())))
        .collect();
    for (number, seen) in seen {
        let Ok(own) = i32::try_from(*number) else { continue };
        for mut link in std::mem::take(&mut seen.links) {
            if let Some(index) = link.link {
                let number = link.nsid.unwrap_or(own);
                let other = Other {
                    namespace: rooms.get(&number).cloned(),
                    interface: names.get(&(number, index)).cloned(),
                    index,
                };
                match link.interface.kind.as_str() {
                    "veth" | "netkit" => link.interface.peer = Some(other),
                    _ => link.interface.lower = Some(other),
                }
            }
            seen.room.interfaces.push(link.interface);
        }
    }
    Ok(())
}

/// The names of links in namespaces that nobody looked into.
fn ask(vantage: &Vantage, ends: &[End], names: &mut HashMap<End, String>) -> Result<(), OpError> {
    let mut requests = Requests::new();
    for (number, index) in ends {
        link::ask(&mut requests, *index, Some(*number), false);
    }
    // what is refused is gone, or another user's
    let (reply, _) = vantage.with(|socket| socket.ask(&mut requests))?;
    let first = requests.first_sequence();
    for answer in reply.answers() {
        let at = usize::try_from(answer.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
        if let (Some(end), Some(link)) = (ends.get(at), link::decode(&answer)) {
            names.insert(*end, link.interface.name);
        }
    }
    Ok(())
}
