//! Two tables that differ in entries of port maps and in nothing else: what goes and what comes, so that one port more among
//! 10,000 is one element, not a new table.

use std::net::IpAddr;

use serde::Serialize;

use super::{PortKey, PortMap, Table};

/// Up to this many entries a map is made for any number.
const SMALL: usize = 400;

/// A key, and where it leads.
pub type Entry = (PortKey, (IpAddr, u16));

/// What changes in one map. One that leads elsewhere both goes and comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryChange {
    /// A key of [`Table::maps`].
    pub map: String,
    /// Entries that go; each is there.
    pub del: Vec<Entry>,
    /// Entries that come.
    pub add: Vec<Entry>,
}

impl PortMap {
    /// For how many entries the map is made; none for a small one, which takes any number. It is a power of two, so that
    /// a map of many entries is made anew only when it has twice as many, or half.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        (self.entries.len() > SMALL).then(|| self.entries.len().next_power_of_two())
    }

    /// The entries that the other one does not have. Both are in order: it is one walk through the two.
    fn beyond(&self, other: &Self) -> Vec<Entry> {
        let mut rest = other.entries.iter().peekable();
        let entries = self.entries.iter().filter(|entry| {
            while rest.next_if(|(key, _)| *key < entry.0).is_some() {}
            rest.peek() != Some(entry)
        });
        entries.map(|(key, to)| (*key, *to)).collect()
    }

    fn takes(&self, other: &Self) -> bool {
        (self.v6, self.by_address, self.room()) == (other.v6, other.by_address, other.room())
    }
}

impl Table {
    /// The changes that make `wanted` of this table; None where entries are not all that differs, or where a map has no room
    /// for them.
    #[must_use]
    pub fn entry_changes(&self, wanted: &Table) -> Option<Vec<EntryChange>> {
        // named one by one: whoever adds a part must say here that it is compared
        let Table { name, lab, was, sets, addresses, learned, maps, chains } = self;
        let is_else_equal = (name, lab, was, sets, addresses, learned, chains)
            == (
                &wanted.name,
                &wanted.lab,
                &wanted.was,
                &wanted.sets,
                &wanted.addresses,
                &wanted.learned,
                &wanted.chains,
            );
        if !is_else_equal || !maps.keys().eq(wanted.maps.keys()) {
            return None;
        }
        let mut changes = Vec::new();
        for ((name, old), new) in maps.iter().zip(wanted.maps.values()) {
            if !old.takes(new) {
                return None;
            }
            let change = EntryChange { map: name.clone(), del: old.beyond(new), add: new.beyond(old) };
            if !(change.del.is_empty() && change.add.is_empty()) {
                changes.push(change);
            }
        }
        Some(changes)
    }
}
