//! Interfaces: pulled out, plugged in, their MTU and hardware address.

use super::find::{interface, is_switch, switch};
use super::{LinkOptions, Refused, Words, end_of_line, expected, on_or_off, one, typed};
use crate::lab::{At, End, Lab};
use crate::problem::Problem;

fn end(word: &Words) -> Refused<End> {
    expected(word, "an interface, `NAME:INTERFACE`")?;
    let ends = typed::ends(&word.text, word.at)?;
    <[End; 1]>::try_from(ends)
        .map(|[end]| end)
        .map_err(|_| vec![Problem::new(format!("`{}` are many", word.text), word.span()).label("one at a time here")])
}

/// Pulls the cables of these interfaces out, or plugs them in.
pub(super) fn plug(lab: &mut Lab, words: &Words, up: bool) -> Refused<()> {
    expected(words, "an interface, `NAME:INTERFACE`")?;
    for word in words.split() {
        let end = end(&word)?;
        if is_switch(lab, &end.to) && end.interface.is_none() {
            return one(Problem::new(format!("`{}` is a switch", end.to.value), end.to.span)
                .label("a switch stays up")
                .help("pull the cable at the namespace: `NAME:INTERFACE`"));
        }
        let found = interface(lab, &end.to, end.interface.as_ref())?;
        let end = found.slot.end_mut(lab);
        if end.is_down() == up {
            end.down = (!up).then(|| At::new(true, word.span()));
        }
    }
    Ok(())
}

/// Members of a switch reach each other, or not.
fn isolate(lab: &mut Lab, end: &End, word: &Words) -> Refused<()> {
    let on = on_or_off(word)?;
    if let Some(interface) = &end.interface {
        return one(Problem::new(format!("`{}` is one interface", interface.value), interface.span.clone())
            .label("a switch is isolated as a whole")
            .help("write the name of a switch"));
    }
    let index = switch(lab, &end.to)?;
    let there = &mut lab.switches[index].isolated;
    if there.as_ref().is_some_and(|there| there.value) != on {
        *there = on.then(|| At::new(true, word.span()));
    }
    Ok(())
}

pub(super) fn set(lab: &mut Lab, words: &Words, options: &LinkOptions) -> Refused<()> {
    let (first, rest) = words.split_first();
    let end = end(&first)?;
    end_of_line(&rest)?;
    let mtu = options.mtu.as_ref().map(|word| typed::mtu(&word.text, word.at)).transpose()?;
    let mac = options.mac.as_ref().map(|word| typed::form(&word.text, word.at)).transpose()?;
    if let Some(word) = &options.isolated {
        isolate(lab, &end, word)?;
        if mtu.is_none() && mac.is_none() {
            return Ok(());
        }
    }
    if mtu.is_none() && mac.is_none() {
        return one(
            Problem::new("nothing to set", first.span()).help("--mtu 1400 or --mac 02:00:5e:10:00:01 says what")
        );
    }
    let (own_mtu, own_mac) =
        match lab.switches.iter().position(|switch| switch.name == end.to && end.interface.is_none()) {
            Some(index) => {
                let switch = &mut lab.switches[index];
                (&mut switch.mtu, &mut switch.mac)
            }
            None => {
                let found = interface(lab, &end.to, end.interface.as_ref())?;
                let end = found.slot.end_mut(lab);
                (&mut end.mtu, &mut end.mac)
            }
        };
    if mtu.is_some() && *own_mtu != mtu {
        *own_mtu = mtu;
    }
    if mac.is_some() && *own_mac != mac {
        *own_mac = mac;
    }
    Ok(())
}
