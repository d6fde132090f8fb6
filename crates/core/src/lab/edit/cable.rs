//! Cables: from namespace to namespace (`connect`), from namespace to switch (`attach`), and out again.

use ipnet::IpNet;

use super::find::{self, Interface, Slot, interfaces, is_switch, node_or_switch, pin};
use super::refer::{self, Before};
use super::{Addresses, Force, Refused, Words, end_of_line, expected, name, one, typed};
use crate::lab::{Address, At, End, Lab, Wire};
use crate::name::NodeName;
use crate::problem::Problem;

/// The words of both ends: the second begins with the first word that is no address of the first.
fn two_ends(words: &Words) -> Refused<[Words; 2]> {
    let all = words.split();
    let is_address = |word: &Words| {
        let before = word.text.split('/').next().unwrap_or_default();
        word.text.contains('/') || before.contains('.') || before.matches(':').count() > 1
    };
    let second = all.iter().skip(1).position(|word| !is_address(word)).map_or(all.len(), |at| at + 1);
    expected(words, "the end of a link, `NAME` or `NAME:INTERFACE 10.0.0.1/24`")?;
    let (near, far) = all.split_at(second);
    let [near, far] = [words.join(near), words.join(far)];
    expected(&far, "the other end")?;
    Ok([near, far])
}

fn single(words: &Words) -> Refused<End> {
    let ends = typed::ends(&words.text, words.at)?;
    match <[End; 1]>::try_from(ends) {
        Ok([end]) => Ok(end),
        Err(_) => one(Problem::new(format!("`{}` are many", words.text), words.span())
            .label("one at a time here")
            .help("`raum attach` takes ranges")),
    }
}

/// Does the typed end mean this interface, as far as it says?
fn means(end: &End, interface: &Interface) -> bool {
    end.interface.as_ref().is_none_or(|name| name.value == interface.name)
}

/// Has the interface every address that is typed?
fn has_all(end: &End, interface: &Interface) -> bool {
    let has = |typed: &At<Address>| {
        let same = |net: &&IpNet| net.addr() == typed.ip && typed.prefix_len.is_none_or(|len| len == net.prefix_len());
        interface.addresses.iter().find(same).is_some()
    };
    end.addresses.iter().all(has)
}

/// The links between two ends, each as the interfaces of both.
fn between(lab: &Lab, near: &End, far: &End) -> Vec<[Interface; 2]> {
    let others = interfaces(lab, far.to.as_str());
    let own = interfaces(lab, near.to.as_str()).into_iter().filter(|own| means(near, own) && own.far == far.to.value);
    own.filter_map(|own| {
        let Slot::Wire(link, end) = own.slot else { return None };
        let other = others.iter().find(|other| other.slot == Slot::Wire(link, 1 - end))?;
        means(far, other).then(|| [own, other.clone()])
    })
    .collect()
}

pub(super) fn connect(lab: &mut Lab, words: &Words, addresses: Addresses) -> Refused<()> {
    let [near, far] = two_ends(words)?;
    let (near, far) = (single(&near)?, single(&far)?);
    for end in [&near, &far] {
        node_or_switch(lab, &end.to)?;
    }
    let mixed = match (is_switch(lab, &near.to), is_switch(lab, &far.to)) {
        (true, false) => Some((&far, &near)),
        (false, true) => Some((&near, &far)),
        _ => None,
    };
    if let Some((node, switch)) = mixed.filter(|(node, _)| !node.to.is_host()) {
        return one(Problem::new(format!("`{}` is a switch", switch.to.value), switch.to.span.clone())
            .label("links join namespaces, or switches")
            .help(
                find::command(lab, &format!("attach {} {}", node.to.value, switch.to.value)) + " puts it on the switch",
            ));
    }
    let there = between(lab, &near, &far);
    if there.iter().any(|[a, b]| has_all(&near, a) && has_all(&far, b)) {
        return Ok(());
    }
    if let Some([a, b]) = there.first() {
        let add = format!("addr add {}:{} ADDRESS/LEN", near.to.value, a.name);
        let problem = Problem::new(
            format!("`{}` and `{}` are connected already, by {} and {}", near.to.value, far.to.value, a.name, b.name),
            words.span(),
        )
        .label("with other addresses")
        .help(format!(
            "{} adds one; with names of interfaces that are free this makes a second link",
            find::command(lab, &add)
        ));
        return one(related(problem, &a.slot.end(lab).to.span, "this link"));
    }
    let is_bare = [&near, &far].iter().all(|end| end.addresses.is_empty() && !is_switch(lab, &end.to));
    let chosen = (is_bare && addresses == Addresses::Chosen).then(|| At::new((), words.span()));
    if chosen.is_some() && near.to.value == far.to.value {
        // whatever would be chosen for both could not be told apart there
        return one(Problem::new(format!("both ends of this wire are at `{}`", far.to.value), far.to.span.clone())
            .label("where is the other end?")
            .help("name another namespace; `--no-addresses` makes a wire from a namespace to itself"));
    }
    let owners = [near.to.clone(), far.to.clone()];
    owners.iter().for_each(|owner| pin(lab, owner));
    lab.links.push(Wire { ends: [near, far], subnets: Vec::new(), chosen, mtu: None, span: words.span() });
    // the new ends get their names as well
    owners.iter().for_each(|owner| pin(lab, owner));
    Ok(())
}

fn related(problem: Problem, span: &std::ops::Range<usize>, words: &str) -> Problem {
    if span.is_empty() { problem } else { problem.related(span.clone(), words) }
}

pub(super) fn disconnect(lab: &mut Lab, words: &Words, force: Force) -> Refused<()> {
    let [near, far] = two_ends(words)?;
    let (near, far) = (single(&near)?, single(&far)?);
    for end in [&near, &far] {
        node_or_switch(lab, &end.to)?;
        without_addresses(end)?;
    }
    let mut found = between(lab, &near, &far);
    let (Some([own, other]), 0) = (found.pop(), found.len()) else {
        let count = between(lab, &near, &far).len();
        return one(which(lab, &near, &far, count, words));
    };
    let before = Before::of(lab);
    for end in [&near, &far] {
        pin(lab, &end.to);
    }
    if let (Slot::Wire(link, _), Slot::Wire(..)) = (own.slot, other.slot) {
        lab.links.remove(link);
    }
    refer::settle(lab, &before, words, force)
}

fn without_addresses(end: &End) -> Refused<()> {
    match end.addresses.first() {
        None => Ok(()),
        Some(address) => one(Problem::new("an address says nothing here", address.span.clone())
            .help("leave it out: what goes is told by the names of the ends")),
    }
}

/// None or several: what there is.
fn which(lab: &Lab, near: &End, far: &End, count: usize, words: &Words) -> Problem {
    let loose = |end: &End| End { interface: None, ..end.clone() };
    let (near_name, far_name) = (&near.to.value, &far.to.value);
    let mut all: Vec<String> = between(lab, &loose(near), &loose(far))
        .iter()
        .map(|[a, b]| format!("`{near_name}:{} {far_name}:{}`", a.name, b.name))
        .collect();
    if count == 0 && all.is_empty() {
        let own = interfaces(lab, near_name.as_str());
        let on = own.iter().find(|own| own.far == *far_name && matches!(own.slot, Slot::On(..)));
        return Problem::new(format!("no link joins `{near_name}` and `{far_name}`"), words.span()).help(match on {
            Some(_) => find::command(lab, &format!("detach {near_name} {far_name}")) + " takes it off the switch",
            None => "`raum show` lists the links".to_owned(),
        });
    }
    all.truncate(5);
    let message = match count {
        0 => format!("no such link joins `{near_name}` and `{far_name}`"),
        count => format!("{count} links join `{near_name}` and `{far_name}`"),
    };
    Problem::new(message, words.span()).label("which one?").help(format!("write {}", all.join(" or ")))
}

/// Each node of a range gets an interface.
pub(super) fn attach(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (first, rest) = words.split_first();
    expected(&first, "a namespace")?;
    let (second, addresses) = rest.split_first();
    expected(&second, "a switch")?;
    let nodes = typed::ends(&first.text, first.at)?;
    if let (Some(node), Ok(name)) = (nodes.first(), NodeName::new(&second.text))
        && is_switch(lab, &node.to)
        && !is_switch(lab, &name)
    {
        return one(Problem::new("the namespace comes first, then the switch", first.span())
            .label("a switch")
            .help(find::command(lab, &format!("attach {name} {}", node.to.value))));
    }
    let switch = switch(lab, &second, &first)?;
    let mut typed_addresses = Vec::new();
    for word in addresses.split() {
        typed_addresses.push(typed::address(&word.text, word.at)?);
    }
    if let (Some(address), true) = (typed_addresses.first(), nodes.len() > 1) {
        return one(Problem::new(format!("an address cannot belong to all of `{}`", first.text), address.span.clone())
            .label("for one only")
            .help("leave it out, or attach the namespaces one by one"));
    }
    let there = find::all_interfaces(lab);
    let mut new = Vec::new();
    for node in nodes {
        let node = End { addresses: typed_addresses.clone(), ..node };
        if is_new(lab, &node, &switch, there.get(&node.to.value).map_or(&[], Vec::as_slice))? {
            new.push(node);
        }
    }
    let owners: Vec<NodeName> = new.iter().map(|node| node.to.value.clone()).collect();
    find::pin_all(lab, &owners);
    let mut slots = Vec::new();
    for node in new {
        let index = find::namespace(lab, &node.to)?;
        lab.nodes[index].on.push(End { to: switch.clone(), ..node });
        slots.push(Slot::On(index, lab.nodes[index].on.len() - 1));
    }
    // the new ones get their names and addresses as well
    find::pin_all(lab, &owners);
    super::address::pin(lab, &slots);
    Ok(())
}

/// The switch; an interface's name belongs to the namespace.
fn switch(lab: &Lab, word: &Words, node: &Words) -> Refused<At<NodeName>> {
    if let Some((name, ifname)) = word.text.split_once(':').filter(|(name, _)| NodeName::new(name).is_ok()) {
        let node = node.text.split(':').next().unwrap_or_default();
        return one(Problem::new(format!("`{ifname}` is an interface of the namespace"), word.span())
            .label("a switch has no names for its ports")
            .help(format!("write `{node}:{ifname} {name}`")));
    }
    let name = name(word, "a switch")?;
    find::switch(lab, &name)?;
    Ok(name)
}

/// Is the namespace to get an interface on the switch? Not if it has the one that is typed.
fn is_new(lab: &Lab, node: &End, switch: &At<NodeName>, own: &[Interface]) -> Refused<bool> {
    let owner = node.to.clone();
    if owner.is_host() {
        return one(Problem::new("the host is not attached to a switch", owner.span).label("the machine itself").help(
            find::command(lab, &format!("gateway {} host", switch.value)) + " gives it an address on the switch",
        ));
    }
    find::namespace(lab, &owner)?;
    let on = |own: &Interface| own.far == switch.value && matches!(own.slot, Slot::On(..)) && means(node, own);
    let mut there = own.iter().filter(|own| on(own)).peekable();
    if there.clone().any(|own| has_all(node, own)) {
        return Ok(false);
    }
    if let Some(own) = there.peek() {
        let problem =
            Problem::new(format!("`{}` is on `{}` already, by {}", owner.value, switch.value, own.name), owner.span)
                .label("with other addresses")
                .help(format!(
                    "{} adds one; with a name of an interface that is free this makes a second one",
                    find::command(lab, &format!("addr add {}:{} ADDRESS", owner.value, own.name))
                ));
        return one(related(problem, &own.slot.end(lab).to.span, "this one"));
    }
    Ok(true)
}

pub(super) fn detach(lab: &mut Lab, words: &Words, force: Force) -> Refused<()> {
    let (first, rest) = words.split_first();
    expected(&first, "a namespace")?;
    let (second, rest) = rest.split_first();
    expected(&second, "a switch")?;
    let node = single(&first)?;
    let index = find::namespace(lab, &node.to)?;
    let switch = switch(lab, &second, &first)?;
    end_of_line(&rest)?;
    let on = |own: &Interface| own.far == switch.value && matches!(own.slot, Slot::On(..));
    let all: Vec<Interface> = interfaces(lab, node.to.as_str()).into_iter().filter(on).collect();
    let mut meant: Vec<&Interface> = all.iter().filter(|own| means(&node, own)).collect();
    let (Some(own), 0) = (meant.pop(), meant.len()) else {
        let names: Vec<String> = all.iter().map(|own| format!("`{}:{}`", node.to.value, own.name)).collect();
        let problem = Problem::new(
            match meant.len() {
                0 => format!("`{}` is not on `{}`", first.text, switch.value),
                more => format!("`{}` is on `{}` {} times", node.to.value, switch.value, more + 1),
            },
            node.to.span.clone(),
        );
        return one(match names.is_empty() {
            true => problem.help(
                find::command(lab, &format!("disconnect {} {}", node.to.value, switch.value)) + " takes a link away",
            ),
            false => problem.label("which one?").help(format!("write {}", names.join(" or "))),
        });
    };
    let before = Before::of(lab);
    let slot = own.slot;
    pin(lab, &node.to);
    if let Slot::On(_, on) = slot {
        lab.nodes[index].on.remove(on);
    }
    refer::settle(lab, &before, words, force)
}
