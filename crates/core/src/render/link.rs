//! Links as `ip link` commands.

use std::collections::BTreeMap;

use super::shell::{Command, bridge, ip};
use crate::lab::mark;
use crate::name::{IfName, LabName, Mac, NsId};
use crate::plan::{AltnameChange, LinkChange, VethEnd};

pub(super) fn mark_loopback(ns: &NsId, lab: &LabName) -> String {
    ip(ns).words("link set dev lo up alias").value(mark(lab)).line()
}

/// A bridge takes the smallest MTU of its ports until its own has been changed once (`br_mtu_auto_adjust`,
/// net/bridge/br_if.c), so it is made with another one than it shall have.
pub(super) fn add_bridge(ns: &NsId, name: &IfName, mac: Mac, mtu: u32, group: u32) -> Vec<String> {
    let add = ip(ns).words("link add name").value(name).words("address").value(mac);
    let add = if mtu == 1500 { add.words("mtu 1501") } else { add };
    let set = ip(ns).words("link set dev").value(name).words("mtu").value(mtu);
    vec![add.words("group").value(group).words("type bridge").line(), set.line()]
}

/// One command in the namespace of one end, with the other end's namespace as an argument. `ip` looks up a master where it
/// runs, and has no name for the host inside a namespace: if `a` is a port in a namespace and `b` is on the host, the port
/// is made by a second command.
pub(super) fn add_veth(a: &VethEnd, b: &VethEnd, group: u32) -> Vec<String> {
    let must_turn = b.ns == NsId::Host && a.ns != NsId::Host;
    let (first, second) = if must_turn { (b, a) } else { (a, b) };
    let mut add = end(ip(&first.ns).words("link add name"), first, group);
    if let Some(master) = first.master.as_ref() {
        add = add.words("master").value(master);
    }
    if first.up {
        add = add.words("up");
    }
    add = add.words("type veth peer name");
    add = end(add, second, group);
    if let Some(netns) = second.ns.name().filter(|_| second.ns != first.ns) {
        add = add.words("netns").value(netns);
    }
    let mut lines = vec![add.line()];
    let rest = LinkChange {
        up: second.up.then_some(true),
        master: second.master.is_some().then(|| second.master.clone()),
        ..LinkChange::default()
    };
    lines.extend(set(&second.ns, &second.name, &rest));
    lines
}

fn end(command: Command, end: &VethEnd, group: u32) -> Command {
    let command = command.value(&end.name).words("address").value(end.mac).words("mtu").value(end.mtu);
    command.words("group").value(group)
}

pub(super) fn set(ns: &NsId, name: &IfName, set: &LinkChange) -> Vec<String> {
    let mut words = ip(ns).words("link set dev").value(name);
    if let Some(mac) = set.mac {
        words = words.words("address").value(mac);
    }
    if let Some(mtu) = set.mtu {
        words = words.words("mtu").value(mtu);
    }
    words = match &set.master {
        Some(Some(master)) => words.words("master").value(master),
        Some(None) => words.words("nomaster"),
        None => words,
    };
    if let Some(alias) = &set.alias {
        words = words.words("alias").value(alias);
    }
    words = match set.arp {
        Some(on) => words.words(if on { "arp on" } else { "arp off" }),
        None => words,
    };
    words = match set.up {
        Some(true) => words.words("up"),
        Some(false) => words.words("down"),
        None => words,
    };
    let property = |what: &str, altname: &String| {
        let command = ip(ns).words("link property").words(what).words("dev").value(name);
        command.words("altname").value(altname).line()
    };
    let is_more = LinkChange { altname: None, isolated: None, hairpin: None, port: BTreeMap::new(), ..set.clone() }
        != LinkChange::default();
    let mut lines = Vec::new();
    if let Some(AltnameChange::Del(altname)) = &set.altname {
        lines.push(property("del", altname));
    }
    if is_more {
        lines.push(words.line());
    }
    if set.isolated.is_some() || set.hairpin.is_some() {
        let mut port = ip(ns).words("link set dev").value(name).words("type bridge_slave");
        for (what, flag) in [("isolated", set.isolated), ("hairpin", set.hairpin)] {
            if let Some(flag) = flag {
                port = port.words(what).words(if flag { "on" } else { "off" });
            }
        }
        lines.push(port.line());
    }
    if !set.port.is_empty() {
        let port = bridge(ns).words("link set dev").value(name);
        lines.push(set.port.iter().fold(port, |port, (flag, on)| port.words(&flag.words(*on))).line());
    }
    if let Some(AltnameChange::Add(altname)) = &set.altname {
        lines.push(property("add", altname));
    }
    lines
}
