//! NAT and port forwards in plain words.

use std::collections::HashSet;
use std::net::IpAddr;

use raum_core::nft::{PortKey, Table, Verdict, door};
use raum_core::view::Room;

use crate::output::{BAD, DIM, paint};

/// With a heading for each table.
pub fn sections(room: &Room) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for (table, line) in all(room) {
        if table != last {
            text += &format!("  NAT and forwards  {}\n", paint(DIM, &table));
            last = table;
        }
        text += &format!("    {line}\n");
    }
    text
}

/// One line each.
pub fn lines(room: &Room, indent: usize) -> Vec<String> {
    let lead = " ".repeat(indent);
    all(room).into_iter().map(|(table, line)| format!("{lead}{line}  {}\n", paint(DIM, format!("({table})")))).collect()
}

/// Each with its table: those of labs first.
fn all(room: &Room) -> Vec<(String, String)> {
    let of_labs = room.tables.iter().flat_map(|table| {
        let name = format!("table inet {}", table.name);
        in_words(table).into_iter().map(move |line| (name.clone(), line))
    });
    let others = room.nat.iter().map(|rule| {
        let comment = rule.comment.as_ref().map(|comment| paint(DIM, format!("  “{comment}”"))).unwrap_or_default();
        (format!("table {}", rule.table), format!("{rule}{comment}"))
    });
    of_labs.chain(others).collect()
}

/// A table's rules in plain words, where they translate or forward; each once, though a forward takes a rule for packets
/// that come in and one for the host's own.
fn in_words(table: &Table) -> Vec<String> {
    let mut told = HashSet::new();
    let rules = table.chains.values().flat_map(|chain| &chain.rules);
    let forwards = rules.flat_map(|rule| match &rule.verdict {
        Verdict::DnatMap { map } => {
            let entries = table.maps.get(map).into_iter().flat_map(|map| &map.entries);
            entries.map(|(key, target)| forward_in_words(*key, *target)).collect()
        }
        Verdict::Unknown(text) => vec![format!("{} {text}", paint(BAD, "foreign rule"))],
        _ => door(rule).into_iter().collect::<Vec<_>>(),
    });
    let sources = table.sources().into_iter().chain(table.hairpins()).map(|source| source.to_string());
    sources.chain(forwards).filter(|line| told.insert(line.clone())).collect()
}

fn forward_in_words(key: PortKey, (ip, port): (IpAddr, u16)) -> String {
    let at = key.address.map(|address| format!("{address} ")).unwrap_or_default();
    let target = std::net::SocketAddr::new(ip, port);
    format!("{at}{}/{} -> {target}", key.port, key.proto)
}
