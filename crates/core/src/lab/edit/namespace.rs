//! Namespaces come and go.

use std::collections::BTreeSet;

use super::find::{all_interfaces, is_switch, namespace, pin_all};
use super::refer::{self, Before};
use super::{Force, Refused, Words, expected, one, typed};
use crate::lab::{At, Lab, Node};
use crate::name::NodeName;
use crate::problem::Problem;

/// The names of all words, ranges one by one.
pub(super) fn names(words: &Words) -> Refused<Vec<At<NodeName>>> {
    expected(words, "the name of a namespace")?;
    let mut names = Vec::new();
    for word in words.split() {
        names.extend(typed::names(&word.text, word.at)?);
    }
    Ok(names)
}

/// Those that are there stay as they are.
pub(super) fn add(lab: &mut Lab, words: &Words) -> Refused<()> {
    let mut there: BTreeSet<NodeName> = lab.nodes.iter().map(|node| node.name.value.clone()).collect();
    for name in names(words)? {
        if name.is_host() {
            return one(Problem::new("`host` is there already", name.span)
                .label("the namespace that raum was started in")
                .help("choose another name"));
        }
        if is_switch(lab, &name) {
            let there = lab.switches.iter().find(|switch| switch.name == name).map(|switch| switch.name.span.clone());
            let problem = Problem::new(format!("`{}` is a switch", name.value), name.span.clone())
                .label("each name stands for one thing of the lab")
                .help("choose another name");
            return one(match there.filter(|span| !span.is_empty()) {
                Some(span) => problem.related(span, "the switch"),
                None => problem,
            });
        }
        if there.insert(name.value.clone()) {
            lab.nodes.push(Node::new(name));
        }
    }
    Ok(())
}

/// Their links go with them, as the kernel has it.
pub(super) fn del(lab: &mut Lab, words: &Words, force: Force) -> Refused<()> {
    let before = Before::of(lab);
    let names = names(words)?;
    for name in &names {
        namespace(lab, name)?;
    }
    let going: BTreeSet<&NodeName> = names.iter().map(|name| &name.value).collect();
    let all = all_interfaces(lab);
    let ends = going.iter().filter_map(|name| all.get(*name)).flatten();
    let neighbours: BTreeSet<NodeName> = ends.map(|end| end.far.clone()).collect();
    pin_all(lab, &neighbours.into_iter().collect::<Vec<_>>());
    lab.nodes.retain(|node| !going.contains(&node.name.value));
    lab.links.retain(|link| !link.ends.iter().any(|end| going.contains(&end.to.value)));
    refer::settle(lab, &before, words, force)
}
