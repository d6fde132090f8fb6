//! What crashed labs left, by raum's files and by the marks on the kernel's objects.

use std::collections::BTreeSet;

use raum_core::lab::link_group;

use super::{Finding, Topic};
use crate::labs::{Found, Labs};
use crate::record::{RECORD, Record};

pub(super) fn examine(labs: &mut Labs) -> Vec<Finding> {
    let mut findings = Vec::new();
    let unseen = |error: &dyn std::fmt::Display| {
        let effect = "what crashed labs left was not examined";
        Finding::note(Topic::Leftovers, "unseen", error.to_string(), effect, "run `raum doctor` again")
    };
    let found = match labs.list() {
        Ok(found) => found,
        Err(error) => return vec![unseen(&error)],
    };
    for lab in &found {
        let record = Record::read(labs.place(), &lab.lab).map(|record| record.is_some());
        findings.extend(match record {
            Ok(_) => of_lab(lab, labs.place().file(&lab.lab, RECORD).exists()),
            Err(error) => Some(Finding::problem(
                Topic::Leftovers,
                "record",
                format!("raum's record of lab `{}` cannot be read: {error}", lab.lab),
                "`raum status` and names of its nodes do not work",
                format!("raum down {}", lab.lab),
            )),
        });
    }
    let groups: BTreeSet<u32> = found.iter().map(|found| link_group(&found.lab)).collect();
    match labs.host().strays(&groups) {
        Ok(strays) => {
            for name in strays.names {
                findings.push(Finding::problem(
                    Topic::Leftovers,
                    "name",
                    format!("/run/netns/{name} is a name without a namespace"),
                    format!("`ip netns exec {name}` fails, and `ip netns add {name}` finds it taken"),
                    format!("rm /run/netns/{name}"),
                ));
            }
            let groups: BTreeSet<u32> = strays.links.iter().map(|(_, group)| *group).collect();
            for group in groups {
                let names = strays.links.iter().filter(|(_, of)| *of == group).map(|(name, _)| name.as_str());
                findings.push(Finding::problem(
                    Topic::Leftovers,
                    "links",
                    format!("interfaces of a lab that is gone: {}", listed(names)),
                    "their names are taken, and their addresses and routes may be in the way",
                    format!("ip link del group {group}"),
                ));
            }
        }
        Err(error) => findings.push(unseen(&error)),
    }
    if findings.is_empty() {
        findings.push(Finding::ok(Topic::Leftovers, "none", "nothing is left of any crashed lab"));
    }
    findings
}

fn of_lab(found: &Found, recorded: bool) -> Option<Finding> {
    let lab = &found.lab;
    let problem = |code, what: String, effect: &str| {
        Some(Finding::problem(Topic::Leftovers, code, what, effect, format!("raum down {lab}")))
    };
    if found.interrupted {
        let what = format!("a change of lab `{lab}` was begun and not ended");
        problem("interrupted", what, "it is half of what it was and half of what it should be")
    } else if !recorded {
        let what = format!("lab `{lab}` has {} and no record", counted(found.namespaces));
        problem("unrecorded", what, "its names, addresses and rules are taken, and `raum status` cannot compare it")
    } else {
        None
    }
}

/// The first few, and how many more.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let names: Vec<&str> = names.collect();
    match names.get(SHOWN..).filter(|more| !more.is_empty()) {
        Some(more) => format!("{} and {} more", names[..SHOWN].join(", "), more.len()),
        None => names.join(", "),
    }
}

fn counted(namespaces: usize) -> String {
    if namespaces == 1 { "1 namespace".to_owned() } else { format!("{namespaces} namespaces") }
}
