//! Switches come and go.

use super::refer::{self, Before};
use super::{Force, Refused, SwitchOptions, Words, expected, find, name, one, typed};
use crate::lab::parse::form::Subnet;
use crate::lab::{At, Lab, Nat, Switch};
use crate::name::NodeName;
use crate::problem::Problem;

/// One that is there must be the same.
pub(super) fn add(lab: &mut Lab, words: &Words, options: &SwitchOptions) -> Refused<()> {
    let (first, rest) = words.split_first();
    let name = name(&first, "the name of a switch")?;
    let mut typed_subnets: Vec<At<Subnet>> = Vec::new();
    for word in rest.split() {
        typed_subnets.push(typed::form(&word.text, word.at)?);
    }
    let (subnets, chosen) = Subnet::apart(&typed_subnets);
    for (at, subnet) in subnets.iter().enumerate() {
        if let Some(first) = subnets[..at].iter().find(|first| first.addr().is_ipv4() == subnet.addr().is_ipv4()) {
            return one(Problem::new("a switch has at most one subnet of a family", subnet.span.clone())
                .label("the second one")
                .related(first.span.clone(), "the first one")
                .help("make a second switch for it"));
        }
    }
    let switch = Switch {
        name,
        subnets,
        chosen,
        gateway: options.gateway.as_ref().map(|word| typed::form(&word.text, word.at)).transpose()?,
        nat: options.nat.as_ref().map(|word| At::new(Nat::default(), word.span())),
        place: options.place.as_ref().map(|word| typed::form(&word.text, word.at)).transpose()?,
        mtu: options.mtu.as_ref().map(|word| typed::mtu(&word.text, word.at)).transpose()?,
        mac: options.mac.as_ref().map(|word| typed::form(&word.text, word.at)).transpose()?,
        isolated: options.isolated.as_ref().map(|word| At::new(true, word.span())),
    };
    if switch.name.is_host() || lab.nodes.iter().any(|node| node.name == switch.name) {
        let what = if switch.name.is_host() { "the machine itself" } else { "a namespace" };
        return one(Problem::new(format!("`{}` is {what}", switch.name.value), switch.name.span.clone())
            .label("each name stands for one thing of the lab")
            .help("choose another name"));
    }
    match lab.switches.iter().find(|there| there.name == switch.name) {
        None => {
            if let Some(gateway) = switch.gateway.as_ref().filter(|gateway| !gateway.is_host())
                && switch.place.as_ref() != Some(gateway)
            {
                find::on_switch(lab, gateway, &switch.name)?;
            }
            lab.switches.push(switch);
        }
        // what is not typed need not be the same
        Some(there) if is_covered(&switch, there) => {}
        Some(there) => {
            let changes = changes(&switch, there, options);
            let help = match changes.as_slice() {
                // its subnets, or where it is
                [] => format!(
                    "{} removes it with what is on it",
                    find::command(lab, &format!("switch del {} --force", switch.name.value))
                ),
                [one] => format!("{} changes it", find::command(lab, one)),
                some => {
                    let some: Vec<String> = some.iter().map(|one| find::command(lab, one)).collect();
                    format!("{} change it", some.join(" and "))
                }
            };
            let problem =
                Problem::new(format!("switch `{}` is there, but not like this", switch.name.value), words.span())
                    .help(help);
            return one(match there.name.span.is_empty() {
                true => problem,
                false => problem.related(there.name.span.clone(), "what is there"),
            });
        }
    }
    Ok(())
}

/// The commands that make what is there like what is typed; none if there are none.
fn changes(typed: &Switch, there: &Switch, options: &SwitchOptions) -> Vec<String> {
    let name = &typed.name.value;
    let mut rest = Switch { gateway: None, nat: None, mtu: None, mac: None, isolated: None, ..typed.clone() };
    rest.name.clone_from(&there.name);
    let mut commands = Vec::new();
    if !is_covered(&rest, there) {
        return commands;
    }
    if let Some(gateway) = options.gateway.as_ref().filter(|_| typed.gateway != there.gateway) {
        commands.push(format!("gateway {name} {}", gateway.text));
    }
    if typed.nat.is_some() && typed.nat != there.nat {
        commands.push(format!("nat {} {name}", if there.nat.is_some() { "set" } else { "add" }));
    }
    let mut set = String::new();
    if let Some(mtu) = options.mtu.as_ref().filter(|_| typed.mtu != there.mtu) {
        set += &format!(" --mtu {}", mtu.text);
    }
    if let Some(mac) = options.mac.as_ref().filter(|_| typed.mac != there.mac) {
        set += &format!(" --mac {}", mac.text);
    }
    if typed.isolated.is_some() && typed.isolated != there.isolated {
        set += " --isolated on";
    }
    if !set.is_empty() {
        commands.push(format!("link set {name}{set}"));
    }
    commands
}

/// Is everything that is typed so already?
fn is_covered(typed: &Switch, there: &Switch) -> bool {
    let same = |typed: bool, equal: bool| !typed || equal;
    typed.subnets.iter().all(|subnet| there.subnets.contains(subnet))
        && same(typed.chosen.is_some(), !there.subnets.is_empty())
        && same(typed.gateway.is_some(), typed.gateway == there.gateway)
        && same(typed.nat.is_some(), typed.nat == there.nat)
        && same(typed.place.is_some(), typed.place == there.place)
        && same(typed.mtu.is_some(), typed.mtu == there.mtu)
        && same(typed.mac.is_some(), typed.mac == there.mac)
        && same(typed.isolated.is_some(), typed.isolated == there.isolated)
}

/// What is on them refers to them.
pub(super) fn del(lab: &mut Lab, words: &Words, force: Force) -> Refused<()> {
    expected(words, "the name of a switch")?;
    let before = Before::of(lab);
    for word in words.split() {
        let name = name(&word, "the name of a switch")?;
        let index = find::switch(lab, &name)?;
        let on = lab.nodes.iter().filter(|node| node.on.iter().any(|end| end.to == name));
        let owners: Vec<NodeName> = on.map(|node| node.name.value.clone()).collect();
        find::pin_all(lab, &owners);
        lab.switches.remove(index);
    }
    refer::settle(lab, &before, words, force)
}
