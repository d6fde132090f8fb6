//! NAT and forwards of a room in a few words, with the names of those whom they lead to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Note, NoteKind};
use crate::lab::Proto;
use crate::nft::{InterfaceRef, Match, PortMap, Rule, Table, Verdict};
use crate::view::{Action, Translation};

/// Whose an address is.
pub(super) type Names = BTreeMap<IpAddr, String>;

/// What a lab's table does.
pub(super) fn of_table(table: &Table, names: &Names) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    let sources = table.sources().into_iter().map(|source| {
        let from = source.from.map(|from| format!(" {from}")).unwrap_or_default();
        let out = match source.out.as_ref().map(|out| (&out.which, out.not)) {
            Some((InterfaceRef::Name(name), false)) => format!(" out of {name}"),
            Some((InterfaceRef::Name(name), true)) => format!(" not out of {name}"),
            _ => String::new(),
        };
        let to = source.to.map(|to| format!(" as {to}")).unwrap_or_default();
        Note { kind: NoteKind::Nat, text: format!("NAT{from}{out}{to}") }
    });
    let rules = table.chains.values().flat_map(|chain| &chain.rules);
    let forwards = rules.filter_map(|rule| match &rule.verdict {
        Verdict::DnatMap { map } => Some(ports(table.maps.get(map)?, came_in_by(rule), names)),
        _ => None,
    });
    for note in sources.chain(forwards.flatten()) {
        // a forward has a rule for each family, and another for the host's own packets
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn came_in_by(rule: &Rule) -> Option<&str> {
    rule.matches.iter().find_map(|found| match found {
        Match::Iif(by) if !by.not => match &by.which {
            InterfaceRef::Name(name) => Some(name.as_str()),
            InterfaceRef::Set(_) => None,
        },
        _ => None,
    })
}

/// Ports that follow each other and lead to ports that follow each other.
struct Run {
    address: Option<IpAddr>,
    proto: Proto,
    first: u16,
    last: u16,
    to: IpAddr,
    target: u16,
}

fn ports(map: &PortMap, interface: Option<&str>, names: &Names) -> Vec<Note> {
    let mut runs: Vec<Run> = Vec::new();
    for (key, (to, target)) in &map.entries {
        if let Some(run) = runs.last_mut()
            && (run.address, run.proto, run.to) == (key.address, key.proto, *to)
            && run.last.checked_add(1) == Some(key.port)
            && run.target.checked_add(key.port - run.first) == Some(*target)
        {
            run.last = key.port;
            continue;
        }
        let (first, last) = (key.port, key.port);
        runs.push(Run { address: key.address, proto: key.proto, first, last, to: *to, target: *target });
    }
    let note = |run: Run| {
        let by = interface.map(|name| format!("{name} ")).unwrap_or_default();
        let at = match run.address {
            Some(IpAddr::V6(ip)) => format!("[{ip}]:"),
            Some(ip) => format!("{ip}:"),
            None => String::new(),
        };
        let range = |first: u16| match run.last - run.first {
            0 => first.to_string(),
            more => format!("{first}-{}", first.saturating_add(more)),
        };
        let node = match (names.get(&run.to), run.to) {
            (Some(name), _) => name.clone(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
            (None, ip) => ip.to_string(),
        };
        let text = format!("{by}{at}{}/{} → {node}:{}", range(run.first), run.proto, range(run.target));
        Note { kind: NoteKind::Port, text }
    };
    runs.into_iter().map(note).collect()
}

/// What somebody else's rule does, if it does something that a picture is to tell.
pub(super) fn of_foreign(rule: &Translation) -> Option<Note> {
    let kind = match &rule.action {
        Action::Masquerade(_) | Action::Source(..) | Action::Map { source: true, .. } => NoteKind::Nat,
        Action::Destination(..) | Action::Redirect(_) | Action::Map { source: false, .. } => NoteKind::Port,
        Action::Spare | Action::Unreadable(_) => return None,
    };
    Some(Note { kind, text: rule.to_string().replace(" -> ", " → ") })
}
