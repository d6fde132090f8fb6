//! Address translation, and ports that lead elsewhere.

use super::find::{command, interfaces, is_switch, namespace};
use super::{NatOptions, Refused, Words, end_of_line, expected, name, one, typed};
use crate::lab::check::did_you_mean;
use crate::lab::{At, Forward, Lab, Nat, NatLike, Publish};
use crate::name::IfName;
use crate::problem::Problem;

/// What becomes of another way of translation that is there already?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// It stays, and that is told.
    Stays,
    /// It goes.
    Goes,
}

pub(super) fn add_nat(lab: &mut Lab, words: &Words, options: &NatOptions, other: There) -> Refused<()> {
    let (first, rest) = words.split_first();
    let of = name(&first, "a switch or a namespace")?;
    end_of_line(&rest)?;
    let out: Option<At<IfName>> = options.out.as_ref().map(|word| typed::form(&word.text, word.at)).transpose()?;
    let source = typed::sources(options.source.iter().map(|word| (word.text.as_str(), word.at)))?;
    let like: Option<At<NatLike>> = options.like.as_ref().map(|word| typed::form(&word.text, word.at)).transpose()?;
    let switch = lab.switches.iter().position(|switch| switch.name == of);
    let sources = &options.source;
    let verb = if other == There::Goes { "set" } else { "add" };
    let there = if let Some(switch) = switch {
        if lab.switches[switch].gateway.is_none() {
            let gateway = command(lab, &format!("gateway {} host", of.value));
            return one(Problem::new(format!("`{}` has no gateway", of.value), of.span.clone())
                .label("what is on it cannot leave")
                .help(format!("{gateway} first: the host is the way out then")));
        }
        if let Some(like) = &like {
            return one(Problem::new(format!("`{}` is a switch", of.value), like.span.clone())
                .label("only a namespace can behave like another NAT")
                .help("make a namespace the gateway of the switch, and let that one translate"));
        }
        if let Some(source) = source.first().filter(|_| out.is_none()) {
            let with = command(lab, &format!("nat {verb} {} --out INTERFACE --source {}", of.value, source.value));
            return one(Problem::new("by which interface of the host does it leave?", source.span.clone())
                .label("this address must be there")
                .help(format!("write {with}")));
        }
        Some(&mut lab.switches[switch].nat)
    } else {
        let index = namespace(lab, &of)?;
        if out.is_none() {
            let all: Vec<String> = interfaces(lab, of.as_str())
                .iter()
                .map(|own| command(lab, &format!("nat {verb} {} --out {}", of.value, own.name)))
                .collect();
            return one(Problem::new("which interface do packets leave by?", of.span.clone())
                .label("they get the address of that one")
                .help(match all.as_slice() {
                    [] => format!("`{}` has none yet", of.value),
                    all => format!("write {}", all.join(" or ")),
                }));
        }
        lab.nodes.get_mut(index).map(|node| &mut node.nat)
    };
    let Some(there) = there else { return Ok(()) };
    let span = out.as_ref().map_or_else(|| of.span.clone(), |out| out.span.clone());
    let nat = At::new(Nat { out, source, like, ..Nat::default() }, span);
    match there {
        Some(there) if *there != nat && other == There::Goes => {
            *there = nat;
            Ok(())
        }
        Some(other) if *other != nat => {
            let problem = Problem::new(format!("`{}` translates addresses already", of.value), nat.span.clone())
                .label("in another way");
            let span = other.span.clone();
            let problem = if span.is_empty() { problem } else { problem.related(span, "so") };
            let mut set = format!("nat set {}", of.value);
            let options = [("--out", &options.out), ("--like", &options.like)];
            let options = options.into_iter().filter_map(|(name, word)| Some((name, word.as_ref()?)));
            for (option, word) in options.chain(sources.iter().map(|word| ("--source", word))) {
                set += &format!(" {option} {}", word.text);
            }
            one(problem.help(format!("{} changes it", command(lab, &set))))
        }
        Some(_) => Ok(()),
        None => {
            *there = Some(nat);
            Ok(())
        }
    }
}

pub(super) fn del_nat(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (first, rest) = words.split_first();
    let of = name(&first, "a switch or a namespace")?;
    end_of_line(&rest)?;
    let there = if is_switch(lab, &of) {
        lab.switches.iter_mut().find(|switch| switch.name == of).and_then(|switch| switch.nat.take())
    } else {
        let index = namespace(lab, &of)?;
        lab.nodes[index].nat.take()
    };
    match there {
        Some(_) => Ok(()),
        None => one(Problem::new(format!("`{}` translates no addresses", of.value), of.span.clone())
            .label("nothing to remove")
            .help("`raum show` lists who does")),
    }
}

/// The namespace, and the ports after it.
fn published(lab: &Lab, words: &Words) -> Refused<(usize, Vec<At<Publish>>)> {
    let (first, rest) = words.split_first();
    let node = name(&first, "a namespace")?;
    let index = namespace(lab, &node)?;
    expected(&rest, "a port, `8080:80`: the host's first")?;
    let mut ports = Vec::new();
    for word in rest.split() {
        ports.push(typed::form(&word.text, word.at)?);
    }
    Ok((index, ports))
}

pub(super) fn add_publish(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (node, ports) = published(lab, words)?;
    for port in ports {
        if !lab.nodes[node].publish.contains(&port) {
            lab.nodes[node].publish.push(port);
        }
    }
    Ok(())
}

/// The whole entry as it was written, or the host's port alone.
pub(super) fn del_publish(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (node, ports) = published(lab, words)?;
    for port in ports {
        let node = &mut lab.nodes[node];
        let same = |own: &At<Publish>| {
            let alone = port.ports.0 == port.target;
            let target = alone || own.target == port.target;
            (own.address, own.ports, own.proto) == (port.address, port.ports, port.proto) && target
        };
        let Some(at) = node.publish.iter().position(same) else {
            let all: Vec<String> = node.publish.iter().map(|own| own.value.to_string()).collect();
            return one(Problem::new(
                format!("`{}` has no port {} of the host", node.name.value, port.value),
                port.span.clone(),
            )
            .label("not there")
            .help(did_you_mean(&port.value.to_string(), all.iter().map(String::as_str), "it has none")));
        };
        node.publish.remove(at);
    }
    Ok(())
}

/// The text as the lab file has it: `to` is an arrow that a shell leaves alone, and as long as one.
fn arrow(words: &Words) -> Words {
    let all = words.split();
    let mut text = words.text.clone();
    if let [.., before, _] = all.as_slice()
        && before.text == "to"
    {
        let at = before.at - words.at;
        text.replace_range(at..at + 2, "->");
    }
    Words { text, at: words.at }
}

/// The router, and the forward after it.
fn router(lab: &Lab, words: &Words) -> Refused<(usize, Words)> {
    let (first, rest) = words.split_first();
    let node = name(&first, "a namespace: the router")?;
    let index = namespace(lab, &node)?;
    expected(&rest, "a port and where it leads, `wan 2222 to laptop:22`")?;
    if let Some(last) = rest.split().last().filter(|last| last.text == "-") {
        return one(Problem::new("the shell took `>` for a file to write to", last.span())
            .label("what was left of `->`")
            .help("write `to` for it, or put quotes around: \"wan 2222 -> laptop:22\"; the file can be removed"));
    }
    Ok((index, arrow(&rest)))
}

pub(super) fn add_forward(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (node, text) = router(lab, words)?;
    let forward: At<Forward> = typed::form(&text.text, text.at)?;
    namespace(lab, &forward.node)?;
    let forwards = &mut lab.nodes[node].forward;
    if !forwards.contains(&forward) {
        forwards.push(forward);
    }
    Ok(())
}

pub(super) fn del_forward(lab: &mut Lab, words: &Words) -> Refused<()> {
    let (node, typed) = router(lab, words)?;
    let node = &mut lab.nodes[node];
    let text = typed.split().iter().map(|word| word.text.clone()).collect::<Vec<_>>().join(" ");
    let before = |own: &str| own.split(" -> ").next().map(ToOwned::to_owned);
    let same = |own: &At<Forward>| {
        let own = own.value.to_string();
        let written = typed::form::<Forward>(&typed.text, typed.at).ok().map(|forward| forward.value.to_string());
        written.as_ref() == Some(&own) || before(&own).as_ref() == Some(&text)
    };
    match node.forward.iter().position(same) {
        Some(at) => {
            node.forward.remove(at);
            Ok(())
        }
        None => {
            let all: Vec<String> = node.forward.iter().map(|own| own.value.to_string()).collect();
            one(Problem::new(format!("`{}` has no such forward", node.name.value), typed.span())
                .label("not there")
                .help(did_you_mean(&text, all.iter().map(String::as_str), "it has none")))
        }
    }
}
