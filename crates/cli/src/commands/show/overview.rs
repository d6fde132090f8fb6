//! Every namespace in a line or two: whose it is, who is inside, and how it is joined to others.

use std::net::IpAddr;

use ipnet::IpNet;
use raum_core::view::{Interface, Owner, Room, Scene};

use super::interface::other;
use super::missing;
use super::tables::{aligned, flow, some, width};
use crate::output::{BAD, DIM, STRONG, paint};

pub fn text(scene: &Scene) -> String {
    let heads = ["NAMESPACE", "OWNER", "PROCESSES", "INTERFACES"];
    let first = |room: &Room| [room.namespace.clone(), room.owner.to_string(), processes(room)];
    let cells: Vec<[String; 3]> = scene.namespaces.iter().map(first).collect();
    let used: usize = (0..3)
        .map(|column| {
            let widths = cells.iter().map(|row| row[column].chars().count());
            widths.chain([heads[column].len()]).max().unwrap_or(0) + 2
        })
        .sum();
    let left = width().saturating_sub(used).max(30);
    let mut rows = vec![heads.map(|head| paint(DIM, head)).to_vec()];
    for ([name, owner, processes], room) in cells.into_iter().zip(&scene.namespaces) {
        let joined = flow(&items(room), left);
        let seen = if room.interfaces.is_empty() && !room.missing.is_empty() { paint(BAD, "not seen") } else { joined };
        rows.push(vec![paint(STRONG, name), owner, processes, seen]);
    }
    let mut text = aligned(0, rows).concat();
    let mut told = Vec::new();
    for room in &scene.namespaces {
        for one in &room.missing {
            match told.iter_mut().find(|(what, _)| *what == one) {
                Some((_, names)) => names,
                None => {
                    told.push((one, Vec::new()));
                    &mut told.last_mut().expect("just pushed").1
                }
            }
            .push(room.namespace.clone());
        }
    }
    for (what, names) in told {
        text += &missing(&format!("{}: ", some(&names, 3)), std::slice::from_ref(what));
    }
    text
}

fn processes(room: &Room) -> String {
    match (room.processes.as_slice(), &room.owner) {
        ([], _) => "-".to_owned(),
        ([one], Owner::Process(_)) => one.pid.to_string(),
        ([one], _) => one.to_string(),
        (many, _) => many.len().to_string(),
    }
}

/// What joins it to others: not lo, nor the ports of bridges, which the bridge stands for.
fn items(room: &Room) -> Vec<(String, String)> {
    let worth =
        |link: &&Interface| link.kind != "loopback" && (link.master.is_none() || link.addresses.iter().any(is_worth));
    let mut items: Vec<(String, String)> = room.interfaces.iter().filter(worth).map(|link| item(link, room)).collect();
    let most = 12;
    if items.len() > most {
        let more = format!("and {} more", items.len() - most);
        items.truncate(most);
        items.push((more.clone(), paint(DIM, more)));
    }
    items
}

/// Link-local addresses say nothing here.
fn is_worth(net: &IpNet) -> bool {
    match net.addr() {
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        IpAddr::V4(_) => true,
    }
}

fn item(link: &Interface, room: &Room) -> (String, String) {
    let mut text = link.name.clone();
    for address in link.addresses.iter().filter(|net| is_worth(net)) {
        text += &format!(" {address}");
    }
    let ports = room.interfaces.iter().filter(|port| port.master.as_deref() == Some(&link.name)).count();
    if ports > 0 {
        text += &format!(" ({ports} {})", if ports == 1 { "port" } else { "ports" });
    }
    if let Some(peer) = &link.peer {
        text += &format!(" ↔ {}", other(peer, room));
    }
    let state = match (link.up, link.carrier) {
        (true, true) => "",
        (true, false) => " no carrier",
        (false, _) => " down",
    };
    (format!("{text}{state}"), format!("{text}{}", paint(BAD, state)))
}
