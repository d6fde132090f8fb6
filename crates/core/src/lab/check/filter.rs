//! Filters and groups: whom each name means, and rules that never decide anything.

use std::collections::BTreeMap;
use std::ops::Range;

use super::scene::Scene;
use super::{did_you_mean, nearest};
use crate::design::filter::{Way, Whom, way, whom};
use crate::lab::{At, Filter, FilterRule, Node, Party, Policy};
use crate::name::NodeName;
use crate::problem::Problem;

/// Words that rules have another meaning for.
const RESERVED: [&str; 5] = ["any", "tcp", "udp", "sctp", "icmp"];

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    groups(scene, problems);
    for node in scene.lab.nodes.iter().filter(|node| !node.name.is_host()) {
        if let Some(filter) = &node.filter {
            of_node(scene, node, filter, problems);
        }
    }
    if let Some(filter) = &scene.lab.filter {
        of_lab(scene, filter, problems);
    }
}

fn groups(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for group in &scene.lab.groups {
        let name = group.name.as_str();
        let problem = |message: String| Problem::new(message, group.name.span.clone());
        let taken = scene.switch(name).map(|switch| (&switch.name, "a switch"));
        let taken = taken.or_else(|| scene.node(name).map(|node| (&node.name, "a namespace")));
        if let Some((other, what)) = taken {
            problems.push(
                problem(format!("`{name}` is {what} and a group"))
                    .label("the group")
                    .related(other.span.clone(), what)
                    .help("give the group another name"),
            );
        } else if RESERVED.contains(&name) || name == "host" || name.bytes().all(|b| b.is_ascii_digit()) {
            problems.push(
                problem(format!("a group cannot be called `{name}`"))
                    .label("it means something else in a rule")
                    .help("give the group another name"),
            );
        } else if let Some(first) = seen.get(name) {
            problems.push(
                problem(format!("there are two groups `{name}`"))
                    .label("again here")
                    .related(first.clone(), "first here")
                    .help("give one of them another name"),
            );
        }
        seen.entry(name).or_insert_with(|| group.name.span.clone());
        if group.members.is_empty() {
            problems.push(
                problem(format!("nobody is in group `{name}`"))
                    .label("without members")
                    .help("write `NAME: [web, db]`, or leave it out"),
            );
        }
        for member in &group.members {
            problems.extend(known(scene, member, false));
        }
    }
}

/// The problem of a name that nobody has.
fn known(scene: &Scene<'_>, name: &At<NodeName>, groups_too: bool) -> Option<Problem> {
    let text = name.as_str();
    let is_group = scene.lab.groups.iter().any(|group| group.name.as_str() == text);
    if scene.has_node(text) || scene.switch(text).is_some() || (groups_too && is_group) {
        return None;
    }
    let groups = scene.lab.groups.iter().map(|group| group.name.as_str()).filter(|_| groups_too);
    let all: Vec<&str> = scene.nodes().chain(scene.switches()).chain(groups).collect();
    let problem = Problem::new(format!("there is no `{text}`"), name.span.clone());
    Some(if is_group {
        problem.label("a group in a group").help("write its members here")
    } else {
        let what = if groups_too { "no namespace, switch or group" } else { "no namespace or switch" };
        problem.label(what).help(did_you_mean(text, all.iter().copied(), "write it under `namespaces:`"))
    })
}

/// Whoever is named must be known, and have an address to be known by.
fn parties(scene: &Scene<'_>, rule: &FilterRule, spared: Option<&NodeName>, problems: &mut Vec<Problem>) {
    for party in [Some(&rule.from), rule.to.as_ref()].into_iter().flatten() {
        let Party::Name(name) = &party.value else { continue };
        if spared == Some(name) {
            continue;
        }
        if let Some(problem) = known(scene, &At::new(name.clone(), party.span.clone()), true) {
            problems.push(problem);
        } else if let Whom::These { hosts, nets, .. } = whom(&scene.wiring, &party.value)
            && hosts.is_empty()
            && nets.is_empty()
        {
            problems.push(
                Problem::new(format!("`{name}` has no address"), party.span.clone())
                    .label("a rule knows packets by their addresses")
                    .help(format!("give `{name}` an address or a subnet, or leave the rule out")),
            );
        }
    }
}

/// A rule that stands in both lists, and one that says what holds anyway.
fn vain(filter: &Filter, default: impl Fn(&FilterRule) -> Policy, problems: &mut Vec<Problem>) {
    for rule in &filter.allow {
        if let Some(other) = filter.deny.iter().find(|other| other.value == rule.value) {
            problems.push(
                Problem::new(format!("`{}` is allowed and denied", rule.value), rule.span.clone())
                    .label("`deny` goes first: this never decides anything")
                    .related(other.span.clone(), "denied here")
                    .help("leave out one of them"),
            );
        } else if default(&rule.value) == Policy::Allow {
            problems.push(
                Problem::new(format!("`{}` is allowed anyway", rule.value), rule.span.clone())
                    .label("what is not denied passes here")
                    .help("leave it out, or let the default be `deny`"),
            );
        }
    }
}

fn of_node(scene: &Scene<'_>, node: &Node, filter: &Filter, problems: &mut Vec<Problem>) {
    let name = &node.name.value;
    for rule in filter.allow.iter().chain(&filter.deny) {
        parties(scene, rule, Some(name), problems);
        let from_self = matches!(&rule.from.value, Party::Name(from) if from == name);
        let to_self = matches!(rule.to.as_deref(), Some(Party::Name(to)) if to == name);
        let problem = |message: String| Problem::new(message, rule.span.clone());
        if from_self && (to_self || rule.to.is_none()) {
            problems.push(problem(format!("what `{name}` sends to itself is not filtered")).label("to whom?").help(
                format!("write `{name} -> WHOM SERVICE` for what it sends; leave its name out for what comes in"),
            ));
        } else if way(node, rule) == Way::Through && !scene.wiring.forwards(node) {
            problems.push(
                problem(format!("`{name}` passes nothing on"))
                    .label("neither from it nor to it")
                    .help(format!("write the rule in the filter of who receives, or `forwarding: true` at `{name}`")),
            );
        }
    }
    let default = |rule: &FilterRule| match way(node, rule) {
        Way::Out => filter.outgoing.as_ref().map_or(Policy::Allow, |at| at.value),
        Way::In | Way::Through => filter.default.value,
    };
    vain(filter, default, problems);
}

fn of_lab(scene: &Scene<'_>, filter: &Filter, problems: &mut Vec<Problem>) {
    for rule in filter.allow.iter().chain(&filter.deny) {
        parties(scene, rule, None, problems);
        let Some(to) = &rule.to else { continue };
        let refused = match &to.value {
            Party::Name(name) if name.is_host() => Some("raum filters in the namespaces, not on the host"),
            Party::Net(_) => Some("a rule of the lab is kept by those who receive: name them"),
            _ => None,
        };
        if let Some(why) = refused {
            let close = scene.nodes().filter(|name| *name != "host");
            let help = match nearest(&to.value.to_string(), close) {
                Some(near) => format!("write `{near}`, another namespace, a switch or a group"),
                None => "write a namespace, a switch or a group".to_owned(),
            };
            problems.push(
                Problem::new(format!("`{}` cannot receive in the filter of a lab", to.value), to.span.clone())
                    .label(why)
                    .help(help),
            );
        }
    }
    vain(filter, |_| filter.default.value, problems);
}
