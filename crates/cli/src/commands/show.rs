//! `raum show`: what is there, in one namespace or in all of a lab, whoever made it.

use std::collections::HashSet;
use std::net::IpAddr;

use comfy_table::{Table, presets};
use raum::Labs;
use raum::place::Place;
use raum::resolve::resolve;
use raum_core::name::{IfName, LabName, NsId};
use raum_core::nft::{InterfaceRef, Match, PortKey, Rule, Verdict};
use raum_core::state::Owner;
use raum_core::view::View;

use super::inside::find;
use crate::failure::Failure;
use crate::output::{BAD, DIM, Exit, GOOD, Look, STRONG, answer, answer_json, paint};

pub fn run(what: Option<&str>, look: Look) -> Result<Exit, Failure> {
    let mut labs = Labs::open()?;
    let views = match what {
        None => all(&mut labs)?,
        Some(text) => match lab_named(&mut labs, text)? {
            Some(lab) => of_lab(&mut labs, &lab)?,
            None => vec![labs.view(&find(&Place::default(), text)?.ns)?],
        },
    };
    if look.json {
        answer_json(&views);
    } else if views.is_empty() {
        answer("no lab is up on this host; `raum show host` shows the host\n");
    } else {
        let parts: Vec<String> = views.iter().map(text).collect();
        answer(&parts.join("\n"));
    }
    Ok(Exit::Done)
}

/// A lab of that name, unless a namespace is called exactly so.
fn lab_named(labs: &mut Labs, text: &str) -> Result<Option<LabName>, Failure> {
    if resolve(&Place::default(), text).is_ok_and(|found| found.ns.to_string() == text) {
        return Ok(None);
    }
    let Ok(name) = LabName::new(text) else { return Ok(None) };
    Ok(labs.list()?.into_iter().map(|found| found.lab).find(|lab| *lab == name))
}

fn all(labs: &mut Labs) -> Result<Vec<View>, Failure> {
    let mut views = Vec::new();
    for found in labs.list()? {
        views.extend(of_lab(labs, &found.lab)?);
    }
    Ok(views)
}

/// The lab's namespaces, and of the host what is the lab's.
fn of_lab(labs: &mut Labs, lab: &LabName) -> Result<Vec<View>, Failure> {
    let state = labs.state(lab)?;
    let mut views = Vec::new();
    for (id, content) in state.namespaces.iter().filter(|(_, ns)| ns.owner == Owner::Lab) {
        let mut view = labs.view(id)?;
        if *id == NsId::Host {
            let ours = |name: &str| IfName::new(name).is_ok_and(|name| content.links.contains_key(&name));
            view.interfaces.retain(|interface| ours(&interface.name));
            view.routes.retain(|route| route.dev.as_deref().is_some_and(ours));
            view.neighbours.retain(|neighbour| ours(&neighbour.dev));
            view.tables.retain(|table| table.lab == *lab);
            if view.interfaces.is_empty() && view.tables.is_empty() {
                continue;
            }
        }
        views.push(view);
    }
    Ok(views)
}

fn text(view: &View) -> String {
    let of = view.lab.as_ref().map(|lab| format!("  {}", paint(DIM, format!("lab {lab}")))).unwrap_or_default();
    let mut text = format!("{}{of}\n", paint(STRONG, &view.namespace));
    text += &interfaces(view);
    if !view.routes.is_empty() {
        text += &heading("routes");
        text += &view.routes.iter().map(|route| format!("    {route}\n")).collect::<String>();
    }
    if !view.neighbours.is_empty() {
        text += &heading("neighbours");
        let rows = view.neighbours.iter().map(|neighbour| {
            let mac = neighbour.mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string());
            let state = if neighbour.state == "failed" { paint(BAD, "failed") } else { neighbour.state.clone() };
            vec![neighbour.address.to_string(), neighbour.dev.clone(), mac, state]
        });
        text += &aligned(rows.collect());
    }
    for table in &view.tables {
        let lines = in_words(table);
        if !lines.is_empty() {
            text += &heading(&format!("NAT and forwards  {}", paint(DIM, format!("table inet {}", table.name))));
            text += &lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
        }
    }
    text
}

fn heading(title: &str) -> String {
    format!("  {title}\n")
}

fn interfaces(view: &View) -> String {
    let rows = view.interfaces.iter().map(|interface| {
        let state = match (interface.up, interface.carrier) {
            (true, true) => paint(GOOD, "up"),
            (true, false) => paint(BAD, "no carrier"),
            (false, _) => paint(BAD, "down"),
        };
        let mac = interface.mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string());
        let mut addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
        if let Some(master) = &interface.master {
            addresses.insert(0, format!("on {master}"));
        }
        let mtu = interface.mtu.to_string();
        vec![interface.name.clone(), interface.kind.clone(), state, mac, mtu, addresses.join(" ")]
    });
    heading("interfaces") + &aligned(rows.collect())
}

fn aligned(rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for row in rows {
        table.add_row(row);
    }
    table.lines().map(|line| format!("   {}\n", line.trim_end())).collect()
}

/// A table's rules in plain words, where they translate or forward; each once, though a forward takes a rule for packets
/// that come in and one for the host's own.
fn in_words(table: &raum_core::nft::Table) -> Vec<String> {
    let mut told = HashSet::new();
    let rules = table.chains.values().flat_map(|chain| &chain.rules);
    rules.flat_map(|rule| rule_in_words(rule, table)).filter(|line| told.insert(line.clone())).collect()
}

/// Not the masquerading that forwards need for clients on the host itself or beside the target: it is a part of those.
fn is_part_of_a_forward(rule: &Rule) -> bool {
    rule.matches.iter().any(|found| match found {
        Match::Dnatted => true,
        Match::Saddr { prefix, not: false } => prefix.addr().is_loopback(),
        _ => false,
    })
}

fn rule_in_words(rule: &Rule, table: &raum_core::nft::Table) -> Vec<String> {
    let source = rule.matches.iter().find_map(|found| match found {
        Match::Saddr { prefix, not: false } => Some(prefix.to_string()),
        _ => None,
    });
    let interface = rule.matches.iter().find_map(|found| match found {
        Match::Oif(interfaces) | Match::Iif(interfaces) => Some(match (&interfaces.which, interfaces.not) {
            (InterfaceRef::Name(name), false) => name.to_string(),
            (InterfaceRef::Name(name), true) => format!("any interface but {name}"),
            (InterfaceRef::Set(_), false) => "the lab's interfaces".to_owned(),
            (InterfaceRef::Set(_), true) => "any interface not of the lab".to_owned(),
        }),
        _ => None,
    });
    match &rule.verdict {
        Verdict::Masquerade if is_part_of_a_forward(rule) => Vec::new(),
        Verdict::Masquerade => {
            let from = source.unwrap_or_else(|| "everything".to_owned());
            let out = interface.map(|name| format!(" out of {name}")).unwrap_or_default();
            vec![format!("masquerade {from}{out}")]
        }
        Verdict::DnatMap { map } => {
            let entries = table.maps.get(map).into_iter().flat_map(|map| &map.entries);
            entries.map(|(key, target)| forward_in_words(*key, *target)).collect()
        }
        Verdict::Unknown(text) => vec![format!("{} {text}", paint(BAD, "foreign rule"))],
        Verdict::Accept | Verdict::Drop | Verdict::Jump(_) => Vec::new(),
    }
}

fn forward_in_words(key: PortKey, (ip, port): (IpAddr, u16)) -> String {
    let at = key.address.map(|address| format!("{address} ")).unwrap_or_default();
    let target = std::net::SocketAddr::new(ip, port);
    format!("{at}{}/{} -> {target}", key.port, key.proto)
}
