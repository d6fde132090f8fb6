//! `raum ns list`: the named namespaces of this host, whoever made them, and what raum knows of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use comfy_table::{Table, presets};
use ipnet::IpNet;
use raum::Labs;
use raum::place::Place;
use raum::record::Record;
use raum::resolve::{NETNS_DIR, names};
use raum::scene::look;
use raum_core::name::{LabName, NodeName};
use raum_core::natural::natural;
use raum_core::view::{Parts, Room};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Exit, Look, answer, answer_json};

/// `--json`: one namespace.
#[derive(Debug, Serialize)]
struct Row {
    namespace: String,
    lab: Option<LabName>,
    node: Option<NodeName>,
    addresses: Vec<String>,
}

pub fn run(lab: Option<&str>, look: Look) -> Result<Exit, Failure> {
    let lab = lab.map(LabName::new).transpose().map_err(|error| Failure::usage(error.to_string(), None))?;
    let labs = Labs::open()?;
    let place = labs.place();
    let mut known = BTreeMap::new();
    for lab in place.labs() {
        for (node, at) in
            Record::read(place, &lab).map_err(raum::Error::from)?.into_iter().flat_map(|record| record.nodes)
        {
            known.extend(at.ns.name().cloned().map(|name| (name, (lab.clone(), node, at.addresses))));
        }
    }
    let mut names = names();
    names.sort_by(|a, b| natural(a.as_str(), b.as_str()));
    // what raum made it knows by heart; others are looked into
    let foreign = lab.is_none() && names.iter().any(|name| !known.contains_key(name));
    let mut seen = if foreign { addresses(place)? } else { BTreeMap::new() };
    let rows = names.into_iter().map(|name| match known.remove(&name) {
        Some((lab, node, addresses)) => Row {
            namespace: name.to_string(),
            lab: Some(lab),
            node: Some(node),
            addresses: addresses.iter().map(ToString::to_string).collect(),
        },
        None => {
            let addresses = seen.remove(&format!("{NETNS_DIR}/{name}")).unwrap_or_default();
            Row { namespace: name.to_string(), lab: None, node: None, addresses }
        }
    });
    let rows: Vec<Row> = rows.filter(|row| lab.is_none() || row.lab == lab).collect();
    if look.json {
        answer_json(&rows);
    } else if rows.is_empty() {
        answer("no namespace is here\n");
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["NAMESPACE", "LAB", "ADDRESSES"]);
        for row in &rows {
            let lab = row.lab.as_ref().map_or("-", LabName::as_str);
            let addresses = if row.addresses.is_empty() { "-".to_owned() } else { row.addresses.join(" ") };
            table.add_row([row.namespace.as_str(), lab, &addresses]);
        }
        let lines = table.lines().map(|line| line.trim().to_owned() + "\n");
        answer(&lines.collect::<String>());
    }
    Ok(Exit::Done)
}

/// What there is inside, by the files of the namespaces: not what every namespace has (`127.0.0.1`, `fe80::`).
fn addresses(place: &Place) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let parts = Parts { addresses: true, ..Parts::LINKS };
    let scene = look(place, None, parts).map_err(|error| super::show::explain(&error))?;
    let inside = |room: &Room| {
        let all = room.interfaces.iter().flat_map(|link| &link.addresses);
        all.filter(|net| is_worth(net)).map(ToString::to_string).collect::<Vec<_>>()
    };
    let of_room = |room: &Room| room.paths.iter().map(|path| (path.clone(), inside(room))).collect::<Vec<_>>();
    Ok(scene.namespaces.iter().flat_map(of_room).collect())
}

fn is_worth(net: &IpNet) -> bool {
    match net.addr() {
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        IpAddr::V4(ip) => !ip.is_loopback(),
    }
}
