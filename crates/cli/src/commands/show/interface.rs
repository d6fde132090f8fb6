//! Interfaces in rows: what each is, what it is joined to, its addresses and counters.

use raum_core::view::{Counters, Interface, Other, Room};

use super::tables::{aligned, flow, some, width};
use crate::commands::amount::bytes;
use crate::output::{BAD, CHANGED, DIM, GOOD, STRONG, paint};

/// A text as it looks, and as it is painted.
type Item = (String, String);

/// All of a namespace, with the other ends and the addresses.
pub fn lines(room: &Room, indent: usize) -> Vec<String> {
    let rows: Vec<Vec<Item>> = room.interfaces.iter().map(|link| facts(link, true)).collect();
    joined(indent, rows, room, |link| {
        let mut items = company(link, room);
        items.extend(link.addresses.iter().map(|address| plain(address.to_string())));
        items.extend(troubles(link.counters));
        items
    })
}

/// Without addresses, with counters and further names.
pub fn link_lines(room: &Room, indent: usize) -> Vec<String> {
    let rows: Vec<Vec<Item>> = room.interfaces.iter().map(|link| facts(link, true)).collect();
    joined(indent, rows, room, |link| {
        let mut items = company(link, room);
        items.extend(link.altnames.iter().map(|name| plain(format!("also {name}"))));
        items.extend(link.alias.iter().map(|alias| dim(format!("“{alias}”"))));
        if link.group != 0 {
            items.push(dim(format!("group {}", link.group)));
        }
        if let Some(counters) = link.counters {
            let told = |way: &str, count: u64, packets: u64| {
                plain(format!(
                    "{way} {} in {packets} {}",
                    bytes(count),
                    if packets == 1 { "packet" } else { "packets" }
                ))
            };
            items.push(told("received", counters.rx_bytes, counters.rx_packets));
            items.push(told("sent", counters.tx_bytes, counters.tx_packets));
        }
        items.extend(troubles(link.counters));
        items
    })
}

/// Addresses alone.
pub fn address_lines(room: &Room, indent: usize) -> Vec<String> {
    let rows: Vec<Vec<Item>> = room.interfaces.iter().map(|link| facts(link, false)).collect();
    joined(indent, rows, room, |link| link.addresses.iter().map(|address| plain(address.to_string())).collect())
}

/// The rows with a last column that takes what is left of the line.
fn joined(indent: usize, rows: Vec<Vec<Item>>, room: &Room, last: impl Fn(&Interface) -> Vec<Item>) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let widest =
        |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.0.chars().count())).max().unwrap_or(0);
    let used: usize = (0..columns).map(|column| widest(column) + 2).sum();
    let left = width().saturating_sub(indent + used).max(24);
    let rows = rows.into_iter().zip(&room.interfaces).map(|(row, link)| {
        let mut cells: Vec<String> = row.into_iter().map(|(_, painted)| painted).collect();
        cells.push(flow(&last(link), left));
        cells
    });
    aligned(indent, rows.collect())
}

fn facts(link: &Interface, hardware: bool) -> Vec<Item> {
    let state = match (link.up, link.carrier) {
        (true, true) => ("up".to_owned(), paint(GOOD, "up")),
        (true, false) => ("no carrier".to_owned(), paint(BAD, "no carrier")),
        (false, _) => ("down".to_owned(), paint(BAD, "down")),
    };
    let mut facts = vec![(link.name.clone(), paint(STRONG, &link.name)), plain(link.kind.clone()), state];
    if hardware {
        facts.push(plain(link.mtu.to_string()));
        facts.push(dim(link.mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string())));
    }
    facts
}

/// What an interface is joined to.
fn company(link: &Interface, room: &Room) -> Vec<Item> {
    let mut items = Vec::new();
    if let Some(peer) = &link.peer {
        items.push(plain(format!("↔ {}", other(peer, room))));
    }
    if let Some(lower) = &link.lower {
        items.push(plain(format!("on {}", other(lower, room))));
    }
    if let Some(master) = &link.master {
        let mut text = format!("port of {master}");
        if let Some(port) = &link.port {
            if port.state != "forwarding" {
                text += &format!(", {}", port.state);
            }
            text += if port.hairpin { ", hairpin" } else { "" };
            text += if port.isolated { ", isolated" } else { "" };
        }
        items.push(plain(text));
    }
    if link.kind == "bridge" {
        let ports = room.interfaces.iter().filter(|port| port.master.as_deref() == Some(&link.name));
        let ports: Vec<String> = ports.map(|port| port.name.clone()).collect();
        if ports.len() > 4 {
            items.push(plain(format!("{} ports", ports.len())));
        } else if !ports.is_empty() {
            items.push(plain(format!("ports {}", some(&ports, 4))));
        }
    }
    items
}

/// By name, with its namespace if that is another one.
pub fn other(other: &Other, room: &Room) -> String {
    let interface = other.interface.clone().unwrap_or_else(|| format!("interface {}", other.index));
    match &other.namespace {
        Some(namespace) if *namespace == room.namespace => interface,
        Some(namespace) => format!("{namespace}:{interface}"),
        None => format!("{interface} of a namespace out of sight"),
    }
}

/// Packets that did not get through.
fn troubles(counters: Option<Counters>) -> Vec<Item> {
    let Some(counters) = counters else { return Vec::new() };
    let told = [
        (counters.rx_errors, "bad in", true),
        (counters.tx_errors, "bad out", true),
        (counters.rx_dropped, "dropped in", false),
        (counters.tx_dropped, "dropped out", false),
    ];
    let some = told.into_iter().filter(|(count, ..)| *count > 0);
    some.map(|(count, what, bad)| {
        let text = format!("{count} {what}");
        (text.clone(), paint(if bad { BAD } else { CHANGED }, text))
    })
    .collect()
}

fn plain(text: String) -> Item {
    (text.clone(), text)
}

fn dim(text: String) -> Item {
    (text.clone(), paint(DIM, text))
}
