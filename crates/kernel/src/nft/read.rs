//! A table out of the kernel. What raum never writes is no error: it is told as a rule that is never wanted, and so is
//! drift.

use std::collections::{BTreeMap, BTreeSet};

use raum_core::host::OpError;
use raum_core::lab::mark;
use raum_core::name::LabName;
use raum_core::nft::{AddressSet, Chain, Hook, PortMap, Rule, Table, Verdict};
use raum_core::state::{Owner, Sysctl};
use rustix::io::Errno;

use super::set::{self, Shape};
use super::wire::Expr;
use super::{HEADER, HOOKS, Message, hook, is_missing, read_comment, rule, write};
use crate::message::{Answer, Attribute, Attributes, Requests};
use crate::ruleset::of_one_generation;
use crate::socket::{Reply, Socket};

/// Reads the table of a lab (`raum-LAB`), and whose it is by its comment.
///
/// # Errors
/// The kernel's refusal. No table is no error, nor is a kernel without nf_tables.
pub fn observe(socket: &mut Socket, lab: &LabName) -> Result<Option<(Table, Owner)>, OpError> {
    let name = Table::name_of(lab);
    // most namespaces have none, and are asked once
    if owner(socket, &name)?.is_none() {
        return Ok(None);
    }
    of_one_generation(socket, |socket| {
        let Some(owner) = owner(socket, &name)? else { return Ok(None) };
        let owner = if owner == mark(lab) { Owner::Lab } else { Owner::Foreign };
        Ok(Some((read(socket, lab)?, owner)))
    })
}

/// The labs that have a table with their mark.
///
/// # Errors
/// The kernel's refusal. A kernel without nf_tables has none.
pub fn labs(socket: &mut Socket) -> Result<BTreeSet<LabName>, OpError> {
    let reply = match dump(socket, Message::GetTable, None, None) {
        Err(error) if is_missing(&error) => return Ok(BTreeSet::new()),
        reply => reply?,
    };
    let mut labs: BTreeSet<LabName> = BTreeSet::new();
    for attributes in reply.answers().filter_map(attributes) {
        let lab = userdata(attributes, 6).and_then(|comment| comment.strip_prefix("raum:"));
        let lab = lab.and_then(|lab| LabName::new(lab).ok());
        let name = attributes.find(1).and_then(Attribute::text);
        labs.extend(lab.filter(|lab| name == Some(&Table::name_of(lab))));
    }
    Ok(labs)
}

/// Reads all tables that carry a lab's mark.
///
/// # Errors
/// As [`labs`].
pub fn observe_all(socket: &mut Socket) -> Result<Vec<Table>, OpError> {
    of_one_generation(socket, |socket| labs(socket)?.iter().map(|lab| read(socket, lab)).collect())
}

/// What one lab must know of a lab's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Whose table.
    pub lab: LabName,
    /// As [`Table::was`].
    pub was: BTreeMap<Sysctl, String>,
    /// As the values of [`Table::maps`].
    pub maps: Vec<PortMap>,
}

/// What `own` must know of all labs: their notes, and the ports that the others have. Its own may be ten thousand, and
/// nobody asks for them here.
///
/// # Errors
/// As [`labs`].
pub fn noted(socket: &mut Socket, own: &LabName) -> Result<Vec<Noted>, OpError> {
    of_one_generation(socket, |socket| labs(socket)?.into_iter().map(|lab| note_of(socket, lab, own)).collect())
}

fn note_of(socket: &mut Socket, lab: LabName, own: &LabName) -> Result<Noted, OpError> {
    let mut table = Table::empty(&lab);
    if lab != *own {
        read_sets(socket, &mut table)?;
    }
    read_chains(socket, &mut table)?;
    Ok(Noted { lab, was: table.was, maps: table.maps.into_values().collect() })
}

/// The comment of a table of family `inet`, empty if it has none; None if there is no such table.
pub(super) fn owner(socket: &mut Socket, name: &str) -> Result<Option<String>, OpError> {
    let (reply, outcomes) = socket.ask(&mut write::get_table(name))?;
    match outcomes.into_iter().collect::<Result<(), OpError>>() {
        Err(error) if error.errno == Errno::NOENT.raw_os_error() || is_missing(&error) => return Ok(None),
        outcome => outcome?,
    }
    let comment = reply.answers().filter_map(attributes).find_map(|attributes| userdata(attributes, 6));
    Ok(Some(comment.unwrap_or_default().to_owned()))
}

fn read_sets(socket: &mut Socket, table: &mut Table) -> Result<(), OpError> {
    let sets = dump(socket, Message::GetSet, Some(&table.name), None)?;
    sets.answers().filter_map(attributes).try_for_each(|found| read_set(socket, table, found))
}

fn read_chains(socket: &mut Socket, table: &mut Table) -> Result<(), OpError> {
    // the kernel takes no table's name as a filter for chains before Linux 6.1
    for found in dump(socket, Message::GetChain, Some(&table.name), None)?.answers().filter_map(attributes) {
        if found.find(1).and_then(Attribute::text) == Some(&table.name) {
            read_chain(table, found);
        }
    }
    Ok(())
}

fn read(socket: &mut Socket, lab: &LabName) -> Result<Table, OpError> {
    let mut table = Table::empty(lab);
    read_sets(socket, &mut table)?;
    read_chains(socket, &mut table)?;
    for found in dump(socket, Message::GetRule, Some(&table.name), None)?.answers().filter_map(attributes) {
        let own = found.find(1).and_then(Attribute::text) == Some(&table.name);
        let Some(chain) = found.find(2).and_then(Attribute::text).filter(|_| own) else { continue };
        let list = found.find(4).map(Attribute::nested).unwrap_or_default();
        let exprs: Vec<Expr> = list.map(Expr::read).collect();
        table.chains.entry(chain.to_owned()).or_default().rules.push(rule::raise(&exprs));
    }
    Ok(table)
}

/// For tests: how many parts of a message are understood, read as a rule, a set's elements, a chain, whatever it says it is.
pub(crate) fn understood(answer: &Answer<'_>) -> usize {
    let Some(found) = attributes(*answer) else { return 0 };
    let exprs: Vec<Expr> = found.find(4).map(Attribute::nested).unwrap_or_default().map(Expr::read).collect();
    let rule = usize::from(!matches!(rule::raise(&exprs).verdict, Verdict::Unknown(_)));
    let number = |kind| found.find(kind).and_then(Attribute::be32).unwrap_or(0);
    let shape = Shape {
        flags: number(3),
        key_type: number(4),
        key_length: number(5),
        data_type: number(6),
        data_length: number(7),
    };
    let maps = [false, true].map(|v6| set::ports(v6, true).port_map()).into_iter().flatten().chain(shape.port_map());
    let value = |element: Attributes<'_>, kind| Some(element.find(kind)?.nested().find(1)?.bytes.to_vec());
    let elements: Vec<_> = found.find(3).map(Attribute::nested).unwrap_or_default().map(Attribute::nested).collect();
    let (mut names, mut entries) = (0, 0);
    for element in &elements {
        names += usize::from(value(*element, 1).and_then(|key| set::read_ifname(&key)).is_some());
    }
    for map in maps {
        entries += elements
            .iter()
            .filter_map(|element| set::read_entry(&map, &value(*element, 1)?, &value(*element, 2)?))
            .count();
    }
    let Ok(lab) = LabName::new("x") else { return 0 };
    let mut table = Table::empty(&lab);
    read_chain(&mut table, found);
    rule + names + entries + table.chains.len() + table.was.len()
}

/// `request` for all objects of a kind, of one table, of one set.
fn dump(socket: &mut Socket, message: Message, table: Option<&str>, set: Option<&str>) -> Result<Reply, OpError> {
    let mut requests = Requests::new();
    let mut request = requests.request(message.kind(), 0, &HEADER);
    for (kind, text) in [(1, table), (2, set)] {
        if let Some(text) = text {
            request.text(kind, text);
        }
    }
    socket.dump(&mut requests)
}

fn attributes(answer: Answer<'_>) -> Option<Attributes<'_>> {
    answer.split(HEADER.len()).map(|(_, attributes)| attributes)
}

fn userdata<'a>(attributes: Attributes<'a>, kind: u16) -> Option<&'a str> {
    read_comment(attributes.find(kind)?.bytes)
}

/// A thing that raum never makes.
fn foreign(table: &mut Table, what: String) {
    let rule = Rule { matches: Vec::new(), verdict: Verdict::Unknown(what.clone()) };
    table.chains.insert(what, Chain { hook: None, rules: vec![rule] });
}

fn read_set(socket: &mut Socket, table: &mut Table, found: Attributes<'_>) -> Result<(), OpError> {
    let Some(name) = found.find(2).and_then(Attribute::text) else { return Ok(()) };
    let number = |kind| found.find(kind).and_then(Attribute::be32).unwrap_or(0);
    let shape = Shape {
        flags: number(3),
        key_type: number(4),
        key_length: number(5),
        data_type: number(6),
        data_length: number(7),
    };
    if let Some(learned) = set::LEARNED.into_iter().find(|learned| shape == set::learned(*learned)) {
        table.learned.insert(name.to_owned(), learned);
        return Ok(());
    }
    let map = shape.port_map();
    let family = [false, true].into_iter().find(|v6| shape == set::addresses(*v6));
    if shape != set::IFNAMES && map.is_none() && family.is_none() {
        foreign(table, format!("set {name}"));
        return Ok(());
    }
    let reply = dump(socket, Message::GetSetElem, Some(&table.name), Some(name))?;
    let lists = reply.answers().filter_map(attributes).filter_map(|attributes| attributes.find(3));
    let elements = lists.flat_map(Attribute::nested).map(Attribute::nested);
    let value = |element: Attributes<'_>, kind| Some(element.find(kind)?.nested().find(1)?.bytes.to_vec());
    let mut odd = false;
    if let Some(mut map) = map {
        for element in elements {
            let key = value(element, 1).unwrap_or_default();
            match set::read_entry(&map, &key, &value(element, 2).unwrap_or_default()) {
                Some((key, to)) => drop(map.entries.insert(key, to)),
                None => odd = true,
            }
        }
        // NFTA_SET_DESC, _SIZE: one with less room than raum gives it would not take what is added to it
        let size = found.find(9).and_then(|nest| nest.nested().find(1)).and_then(Attribute::be32);
        let size = size.and_then(|size| usize::try_from(size).ok());
        if size.is_some_and(|size| size < map.room().unwrap_or(usize::MAX)) {
            foreign(table, format!("the size of set {name}"));
        }
        table.maps.insert(name.to_owned(), map);
    } else if let Some(v6) = family {
        let mut members = BTreeSet::new();
        for element in elements {
            match value(element, 1).and_then(|key| rule::address(v6, &key)) {
                Some(member) => drop(members.insert(member)),
                None => odd = true,
            }
        }
        table.addresses.insert(name.to_owned(), AddressSet { v6, members });
    } else {
        let mut members = BTreeSet::new();
        for element in elements {
            match value(element, 1).and_then(|key| set::read_ifname(&key)) {
                Some(member) => drop(members.insert(member)),
                None => odd = true,
            }
        }
        table.sets.insert(name.to_owned(), members);
    }
    if odd {
        foreign(table, format!("an element of set {name}"));
    }
    Ok(())
}

fn read_chain(table: &mut Table, found: Attributes<'_>) {
    let Some(name) = found.find(3).and_then(Attribute::text) else { return };
    let place = found.find(4).map(Attribute::nested);
    if place.is_none()
        && let Some((key, value)) = note(name, userdata(found, 12))
    {
        table.was.insert(key, value);
        return;
    }
    let known = place.and_then(|place| read_hook(place, found));
    // NF_ACCEPT
    let accepts = found.find(5).and_then(Attribute::be32).is_none_or(|policy| policy == 1);
    if !accepts || (place.is_some() && known.is_none()) {
        foreign(table, format!("the hook or policy of chain {name}"));
    }
    table.chains.entry(name.to_owned()).or_default().hook = known;
}

/// A sysctl's value from before: the chain `was-N` with the comment `KEY=VALUE`.
fn note(chain: &str, comment: Option<&str>) -> Option<(Sysctl, String)> {
    chain.strip_prefix("was-")?;
    let (key, value) = comment?.split_once('=')?;
    Some((Sysctl::new(key).ok()?, value.to_owned()))
}

fn read_hook(place: Attributes<'_>, chain: Attributes<'_>) -> Option<Hook> {
    let number = place.find(1)?.be32()?;
    let priority = place.find(2)?.array().map(i32::from_be_bytes)?;
    let kind = chain.find(7)?.text()?;
    HOOKS.into_iter().find(|known| hook(*known) == (kind, number, priority))
}
