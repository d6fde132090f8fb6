//! Packet filters, of the lab and in namespaces, and the groups that their rules name.

use super::find::{command, is_switch, namespace};
use super::refer::{self, Before};
use super::{FilterOptions, Force, Refused, Words, end_of_line, expected, name, one, typed};
use crate::lab::check::did_you_mean;
use crate::lab::{At, Filter, FilterRule, Group, Lab, Party, Policy};
use crate::name::NodeName;
use crate::problem::Problem;

/// The lab's filter (None), or that of a node by its index.
type Place = Option<usize>;

fn place(lab: &Lab, words: Option<&Words>) -> Refused<Place> {
    let Some(words) = words else { return Ok(None) };
    let node = name(words, "a namespace")?;
    namespace(lab, &node).map(Some)
}

fn filter(lab: &mut Lab, place: Place) -> &mut Option<Filter> {
    match place {
        None => &mut lab.filter,
        Some(node) => &mut lab.nodes[node].filter,
    }
}

/// Whose filter it is, for a person.
fn whose(lab: &Lab, place: Place) -> String {
    match place {
        None => format!("lab `{}`", lab.name.value),
        Some(node) => format!("`{}`", lab.nodes[node].name.value),
    }
}

/// What is typed behind a command to mean that filter.
fn option(lab: &Lab, place: Place) -> String {
    place.map(|node| format!(" --in {}", lab.nodes[node].name.value)).unwrap_or_default()
}

/// `allow|deny RULE`. The word `to` is an arrow that a shell leaves alone, and as long as one.
fn rule(words: &Words) -> Refused<(At<Policy>, At<FilterRule>)> {
    let (policy, rest) = words.split_first();
    expected(&policy, "`allow` or `deny`")?;
    let policy: At<Policy> = typed::form(&policy.text, policy.at)?;
    expected(&rest, "a rule, `FROM to TO 80/tcp`")?;
    let all = rest.split();
    let mut text = rest.text.clone();
    match all.get(1) {
        Some(word) if word.text == "to" => {
            let at = word.at - rest.at;
            text.replace_range(at..at + 2, "->");
        }
        Some(word) if word.text == "-" => {
            return one(Problem::new("the shell took `>` for a file to write to", word.span())
                .label("what was left of `->`")
                .help("write `to` for it, or put quotes around: \"lan -> web 80/tcp\"; the file can be removed"));
        }
        _ => {}
    }
    Ok((policy, typed::form(&text, rest.at)?))
}

fn empty(default: At<Policy>) -> Filter {
    Filter { default, outgoing: None, allow: Vec::new(), deny: Vec::new() }
}

fn rules(filter: &mut Filter, policy: Policy) -> &mut Vec<At<FilterRule>> {
    match policy {
        Policy::Allow => &mut filter.allow,
        Policy::Deny => &mut filter.deny,
    }
}

/// A rule that denies makes a filter that lets all else through. One that allows has nothing to except from without one.
pub(super) fn add(lab: &mut Lab, words: &Words, of: Option<&Words>) -> Refused<()> {
    let (policy, rule) = rule(words)?;
    let place = place(lab, of)?;
    if filter(lab, place).is_none() {
        if policy.value == Policy::Allow {
            let first = command(lab, &format!("filter default deny{}", option(lab, place)));
            return one(Problem::new(format!("{} has no filter", whose(lab, place)), policy.span)
                .label("everything is let through already")
                .help(format!("{first} first: then only what is allowed passes")));
        }
        *filter(lab, place) = Some(empty(At::new(Policy::Allow, policy.span.clone())));
    }
    if let Some(filter) = filter(lab, place) {
        let rules = rules(filter, policy.value);
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    Ok(())
}

pub(super) fn del(lab: &mut Lab, words: &Words, of: Option<&Words>) -> Refused<()> {
    let (policy, rule) = rule(words)?;
    let place = place(lab, of)?;
    let there = filter(lab, place).as_mut().map(|filter| rules(filter, policy.value));
    let all: Vec<String> = there.iter().flat_map(|rules| rules.iter()).map(|own| own.value.to_string()).collect();
    if let Some(rules) = there
        && let Some(at) = rules.iter().position(|own| *own == rule)
    {
        rules.remove(at);
        return Ok(());
    }
    let help = did_you_mean(&rule.value.to_string(), all.iter().map(String::as_str), "it has none of the kind");
    one(Problem::new(format!("{} has no such rule", whose(lab, place)), rule.span).label("not there").help(help))
}

pub(super) fn default(lab: &mut Lab, words: &Words, options: &FilterOptions) -> Refused<()> {
    let (first, rest) = words.split_first();
    expected(&first, "`allow` or `deny`")?;
    let policy: At<Policy> = typed::form(&first.text, first.at)?;
    end_of_line(&rest)?;
    let outgoing: Option<At<Policy>> =
        options.outgoing.as_ref().map(|word| typed::form(&word.text, word.at)).transpose()?;
    let place = place(lab, options.place.as_ref())?;
    if let Some(outgoing) = outgoing.as_ref().filter(|_| place.is_none()) {
        return one(Problem::new("the filter of a lab is kept by those who receive", outgoing.span.clone())
            .label("only a namespace has a say in what it sends")
            .help("name it with --in"));
    }
    let filter = filter(lab, place).get_or_insert_with(|| empty(policy.clone()));
    if filter.default != policy {
        filter.default = policy;
    }
    if outgoing.is_some() && filter.outgoing != outgoing {
        filter.outgoing = outgoing;
    }
    Ok(())
}

pub(super) fn off(lab: &mut Lab, words: &Words, of: Option<&Words>) -> Refused<()> {
    let place = place(lab, of)?;
    match filter(lab, place).take() {
        Some(_) => Ok(()),
        None => one(Problem::new(format!("{} has no filter", whose(lab, place)), of.unwrap_or(words).span())
            .label("nothing to remove")
            .help("`raum export` prints the lab")),
    }
}

/// The group, and who stands behind it.
fn group(words: &Words) -> Refused<(At<NodeName>, Vec<At<NodeName>>)> {
    let (first, rest) = words.split_first();
    let of = name(&first, "the name of a group")?;
    let mut members = Vec::new();
    for word in rest.split() {
        members.extend(typed::names(&word.text, word.at)?);
    }
    Ok((of, members))
}

pub(super) fn add_group(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (of, members) = group(words)?;
    if members.is_empty() {
        expected(
            &Words { text: String::new(), at: words.at + words.text.len() },
            "who is in it: namespaces, switches",
        )?;
    }
    for member in &members {
        if !member.is_host() && !is_switch(lab, member) {
            namespace(lab, member)?;
        }
    }
    let at = match lab.groups.iter().position(|group| group.name == of) {
        Some(at) => at,
        None => {
            lab.groups.push(Group { name: of, members: Vec::new() });
            lab.groups.len() - 1
        }
    };
    let there = &mut lab.groups[at].members;
    for member in members {
        if !there.contains(&member) {
            there.push(member);
        }
    }
    Ok(())
}

/// With its last member a group goes; rules that name it refer to it.
pub(super) fn del_group(lab: &mut Lab, words: &Words, force: Force) -> Refused<()> {
    let (of, members) = group(words)?;
    let before = Before::of(lab);
    let Some(at) = lab.groups.iter().position(|group| group.name == of) else {
        let known = lab.groups.iter().map(|group| group.name.as_str());
        return one(Problem::new(format!("lab `{}` has no group `{}`", lab.name.value, of.value), of.span.clone())
            .label("not there")
            .help(did_you_mean(of.as_str(), known, "it has none")));
    };
    let there = &mut lab.groups[at].members;
    for member in &members {
        let Some(position) = there.iter().position(|own| own == member) else {
            let known: Vec<&str> = there.iter().map(|own| own.as_str()).collect();
            return one(Problem::new(format!("`{}` is not in `{}`", member.value, of.value), member.span.clone())
                .label("not there")
                .help(did_you_mean(member.as_str(), known.into_iter(), "")));
        };
        there.remove(position);
    }
    if members.is_empty() || there.is_empty() {
        lab.groups.remove(at);
    }
    refer::settle(lab, &before, words, force)
}

/// The names of a rule.
pub(super) fn names(rule: &FilterRule) -> impl Iterator<Item = &NodeName> {
    [Some(&rule.from), rule.to.as_ref()].into_iter().flatten().filter_map(|party| match &party.value {
        Party::Name(name) => Some(name),
        Party::Any | Party::Net(_) => None,
    })
}
