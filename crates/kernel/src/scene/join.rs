//! Puts together what belongs together across namespaces.

use std::collections::{BTreeSet, HashMap};

use raum_core::host::OpError;
use raum_core::view::{Missing, Other, Owner, Parts, Room};

use super::vantage::Vantage;
use super::{QUESTIONS, Seen, link};
use crate::message::Requests;

/// A link by the number of its namespace and its own there.
type End = (i32, u32);

/// Looks at namespaces that nothing led to but a link: held by a socket, or bound where this process cannot see. The kernel
/// gave them numbers of its own, none of the `known`, when it told of the link. Of these only interfaces can be read.
pub(super) fn out_of_sight(
    vantage: &Vantage,
    known: &HashMap<i32, String>,
    parts: Parts,
    choose: &dyn Fn(&Room) -> bool,
    seen: &mut HashMap<usize, Seen>,
) -> Result<(), OpError> {
    let mut asked: BTreeSet<i32> = BTreeSet::new();
    loop {
        let numbers = seen.values().flat_map(|seen| &seen.links).filter_map(|link| link.nsid);
        let new: BTreeSet<i32> =
            numbers.filter(|number| *number >= 0 && !known.contains_key(number) && !asked.contains(number)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for nsid in new {
            asked.insert(nsid);
            let mut room = Room::new(format!("unseen-{}", asked.len()), 0, Owner::Unknown);
            let Ok(number) = usize::try_from(nsid) else { continue };
            if !choose(&room) {
                continue;
            }
            let listed = vantage.with(|socket| link::list(socket, Some(nsid), parts.counters));
            let (links, _) = link::named(listed.unwrap_or_default());
            room.missing.push(Missing {
                what: "all but its interfaces".to_owned(),
                why: "nothing that this process can see leads into it".to_owned(),
            });
            seen.entry(number).or_insert(Seen { room, links, sockets: Vec::new() });
        }
    }
}

/// Gives every room its interfaces, with the other end of each by name.
pub(super) fn join(
    vantage: Option<&Vantage>,
    mut rooms: HashMap<i32, String>,
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
        for part in unknown.chunks(QUESTIONS) {
            ask(vantage, part, &mut names)?;
        }
    }
    for (number, seen) in &*seen {
        if let Ok(number) = i32::try_from(*number) {
            rooms.entry(number).or_insert_with(|| seen.room.namespace.clone());
        }
    }
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
