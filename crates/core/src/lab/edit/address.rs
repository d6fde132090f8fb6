//! Addresses of interfaces.

use ipnet::IpNet;

use super::find::{Interface, Slot, all_interfaces, interface, interfaces};
use super::refer::{self, Before};
use super::{Force, Refused, Words, expected, one, typed};
use crate::lab::{Address, At, End, Lab};
use crate::problem::Problem;

/// The interface, and the addresses after it.
fn words(lab: &Lab, words: &Words) -> Refused<(Interface, Vec<At<Address>>)> {
    let (first, rest) = words.split_first();
    expected(&first, "an interface, `NAME:INTERFACE`")?;
    let ends = typed::ends(&first.text, first.at)?;
    let [end] = <[End; 1]>::try_from(ends).map_err(|_| {
        vec![Problem::new(format!("`{}` are many", first.text), first.span()).label("one at a time here")]
    })?;
    let found = interface(lab, &end.to, end.interface.as_ref())?;
    expected(&rest, "an address")?;
    let mut addresses = Vec::new();
    for word in rest.split() {
        if word.text == "dev" {
            return one(Problem::new("expected an address, found `dev`", word.span())
                .help(format!("an interface's name follows a colon: `{}:INTERFACE`", end.to.value)));
        }
        addresses.push(typed::address(&word.text, word.at)?);
    }
    Ok((found, addresses))
}

fn is(net: &IpNet, typed: &Address) -> bool {
    net.addr() == typed.ip && typed.prefix_len.is_none_or(|len| len == net.prefix_len())
}

/// Writes down the addresses that interfaces have from their switches' subnets.
pub(super) fn pin(lab: &mut Lab, slots: &[Slot]) {
    let found = all_interfaces(lab).into_values().flatten();
    for found in found.filter(|found| slots.contains(&found.slot)).collect::<Vec<_>>() {
        pin_one(lab, &found);
    }
}

fn pin_one(lab: &mut Lab, found: &Interface) {
    let switch = lab.switches.iter().find(|switch| switch.name.value == found.far);
    let is_of_subnet = |net: &IpNet| {
        let mut subnets = switch.into_iter().flat_map(|switch| &switch.subnets);
        subnets.any(|subnet| subnet.prefix_len() == net.prefix_len() && subnet.contains(&net.addr()))
    };
    let written =
        |net: &IpNet| Address { ip: net.addr(), prefix_len: Some(net.prefix_len()).filter(|_| !is_of_subnet(net)) };
    let own = &found.slot.end(lab).addresses;
    let chosen = found.addresses.iter().filter(|net| !own.iter().any(|own| own.ip == net.addr()));
    let chosen: Vec<Address> = chosen.map(written).collect();
    let end = found.slot.end_mut(lab);
    let span = end.to.span.clone();
    end.addresses.extend(chosen.into_iter().map(|address| At::new(address, span.clone())));
}

pub(super) fn add(lab: &mut Lab, typed: &Words) -> Refused<()> {
    let (found, addresses) = words(lab, typed)?;
    let new = addresses.into_iter().filter(|address| !found.addresses.iter().any(|net| is(net, address)));
    let new: Vec<At<Address>> = new.collect();
    if !new.is_empty() {
        // else the first one that is written would take the place of the chosen one
        pin_one(lab, &found);
        found.slot.end_mut(lab).addresses.extend(new);
    }
    Ok(())
}

pub(super) fn del(lab: &mut Lab, typed: &Words, force: Force) -> Refused<()> {
    let (found, addresses) = words(lab, typed)?;
    let before = Before::of(lab);
    pin_one(lab, &found);
    for address in &addresses {
        if !found.addresses.iter().any(|net| is(net, address)) {
            let all: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
            return one(Problem::new(format!("{} has no address {}", found.name, address.value), address.span.clone())
                .label("not there")
                .help(match all.as_slice() {
                    [] => "it has none at all".to_owned(),
                    all => format!("it has {}", all.join(", ")),
                }));
        }
        found.slot.end_mut(lab).addresses.retain(|own| own.ip != address.ip);
    }
    let owner = match found.slot {
        Slot::On(node, _) => lab.nodes[node].name.value.clone(),
        Slot::Wire(..) => found.slot.end(lab).to.value.clone(),
    };
    let after = interfaces(lab, owner.as_str()).into_iter().find(|after| after.slot == found.slot);
    let chosen = after
        .iter()
        .flat_map(|after| &after.addresses)
        .find(|net| !found.slot.end(lab).addresses.iter().any(|own| own.ip == net.addr()));
    if let (Some(net), Some(address)) = (chosen, addresses.first()) {
        return one(Problem::new(
            format!("{} cannot be without an address of {}", found.name, net.trunc()),
            address.span.clone(),
        )
        .label(format!("`{}` would give it {}", found.far, net.addr()))
        .help("add another address first, or detach it from the switch"));
    }
    refer::settle(lab, &before, typed, force)
}
