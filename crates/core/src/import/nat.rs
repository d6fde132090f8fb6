//! NAT: rules that translate, whoever wrote them, as `nat:`, `publish:` and `forward:`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Maker;
use super::wire::{Net, wished};
use crate::lab::{At, Forward, Nat, Proto, Publish};
use crate::name::{IfName, NodeName};
use crate::view::{Action, Translation};

/// The conditions of a rule, as far as a lab can say them.
#[derive(Debug, Default)]
struct When {
    from: Option<IpNet>,
    to: Option<IpAddr>,
    came_by: Option<String>,
    not_came_by: Option<String>,
    out_by: Option<String>,
    not_out_by: Option<String>,
    ports: Option<(Proto, u16, u16)>,
    proto: Option<Proto>,
    /// One that a lab has no word for.
    other: Option<String>,
}

impl When {
    /// From the words of [`Translation::matches`].
    fn of(rule: &Translation) -> Self {
        let mut when = Self::default();
        for text in &rule.matches {
            if !when.read(text) {
                when.other = Some(text.clone());
            }
        }
        when
    }

    fn read(&mut self, text: &str) -> bool {
        let prefix = |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let after = |start: &str| text.strip_prefix(start);
        if let Some(ports) = after("to tcp port ") {
            self.ports = range(ports).map(|(first, last)| (Proto::Tcp, first, last));
            self.ports.is_some()
        } else if let Some(ports) = after("to udp port ") {
            self.ports = range(ports).map(|(first, last)| (Proto::Udp, first, last));
            self.ports.is_some()
        } else if let Some(net) = after("from ") {
            self.from = prefix(net);
            self.from.is_some()
        } else if let Some(name) = after("out of ") {
            self.out_by = Some(name.to_owned());
            true
        } else if let Some(name) = after("not out of ") {
            self.not_out_by = Some(name.to_owned());
            true
        } else if let Some(name) = after("in by ") {
            self.came_by = Some(name.to_owned());
            true
        } else if let Some(name) = after("not in by ") {
            self.not_came_by = Some(name.to_owned());
            true
        } else if let Some(name) = after("protocol ") {
            self.proto = match name {
                "tcp" => Some(Proto::Tcp),
                "udp" => Some(Proto::Udp),
                _ => None,
            };
            self.proto.is_some()
        } else if matches!(text, "to this namespace itself" | "IPv4" | "IPv6") {
            true
        } else if matches!(text, "not to 224.0.0.0/4" | "not to ff00::/8") {
            // multicast, which no lab translates (Podman says so)
            true
        } else if let Some(address) = after("to ") {
            self.to = address.parse().ok();
            self.to.is_some()
        } else {
            false
        }
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
        None => text.parse().ok().map(|port| (port, port)),
    }
}

/// Adds what can be said of them; the others are told.
pub(super) fn add(maker: &mut Maker<'_>, net: &Net) {
    for room in maker.names.keys().copied().collect::<Vec<_>>() {
        let there = &maker.rooms[room];
        for rule in &there.nat {
            let done = match &rule.action {
                Action::Spare => Ok(()),
                _ if maker.is_host(room) => on_host(maker, net, rule),
                _ => on_router(maker, room, rule),
            };
            if let Err(why) = done {
                // rules of the host that have nothing to do with what is imported are its own business
                if !maker.is_host(room) || why.concerns {
                    maker.note(&*there.namespace, format!("{rule} ({}): {}", rule.place(), why.text));
                }
            }
        }
        if !maker.is_host(room) {
            tell_forwarding(maker, room);
        }
    }
}

/// In a lab whoever translates passes packets on.
fn tell_forwarding(maker: &mut Maker<'_>, room: usize) {
    let off = maker.rooms[room].forwards.is_some_and(|forwards| !forwards.v4 && !forwards.v6);
    let translates = maker.node(room).is_some_and(|node| node.nat.is_some() || !node.forward.is_empty());
    if off && translates {
        let place = maker.rooms[room].namespace.clone();
        maker.note(place, "translates, and passes nothing on: in a lab it does");
    }
}

/// Why a rule is not said.
struct Why {
    text: String,
    /// It is about what is imported.
    concerns: bool,
}

fn why(text: &str) -> Why {
    Why { text: text.to_owned(), concerns: true }
}

fn foreign() -> Why {
    Why { text: "it is of other networks".to_owned(), concerns: false }
}

/// Why a rule of the host for a wire is not said.
const BARE: &str = "at the end of a wire that is on no switch: a lab translates for switches with `gateway: host`";

/// The namespaces at the end of a wire between them and the host, that is on no switch, whose packets a rule of the host
/// translates when they leave. Docker's rules for who calls himself by a published port are no way out.
fn at_bare_wires(maker: &Maker<'_>, net: &Net, when: &When) -> Vec<String> {
    let mut found = Vec::new();
    for [a, b] in &net.pairs {
        for (near, far) in [(a, b), (b, a)] {
            let (Some(here), Some(there)) = (maker.interface(*near), maker.interface(*far)) else { continue };
            let is_bare = maker.is_host(near.0) && !maker.is_host(far.0) && !net.ports.contains_key(near);
            let is_meant = match when.from {
                Some(from) => wished(there).any(|own| from.contains(&own.addr())),
                None => when.out_by.is_some() || when.not_out_by.is_some(),
            };
            // what goes to the namespace itself does not go out
            let goes_out = when.to.is_none() && when.out_by.as_ref().is_none_or(|name| *name != here.name);
            if is_bare && is_meant && goes_out {
                found.extend(maker.names.get(&far.0).map(|name| format!("`{name}`")));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn on_host(maker: &mut Maker<'_>, net: &Net, rule: &Translation) -> Result<(), Why> {
    let when = When::of(rule);
    let bare = at_bare_wires(maker, net, &when);
    match &rule.action {
        Action::Masquerade(ports) => {
            let ours: Vec<usize> = maker
                .lab
                .switches
                .iter()
                .enumerate()
                .filter(|(_, switch)| switch.gateway.as_ref().is_some_and(|gateway| gateway.is_host()))
                .filter(|(_, switch)| match when.from {
                    Some(from) => {
                        switch.subnets.iter().any(|subnet| subnet.value == from || from.contains(&subnet.value))
                    }
                    None => when.out_by.is_some() || when.not_out_by.is_some(),
                })
                .map(|(number, _)| number)
                .collect();
            if ours.is_empty() {
                let inside = |from: IpNet| {
                    net.switches.iter().any(|(place, _)| {
                        maker
                            .interface(*place)
                            .is_some_and(|bridge| wished(bridge).any(|own| from.contains(&own.addr())))
                    })
                };
                let concerns = when.from.is_some_and(inside) || !bare.is_empty();
                let text = match bare.as_slice() {
                    [] => "no switch here has the host as its gateway for these".to_owned(),
                    bare => format!("{}, {BARE}", bare.join(", ")),
                };
                return Err(Why { text, concerns });
            }
            if when.other.is_some() || when.to.is_some() || when.ports.is_some() || ports.is_some() {
                return Err(why("a lab translates all that leaves a switch's subnet"));
            }
            let out = match &when.out_by {
                Some(name) => Some(At::nowhere(IfName::new(name).map_err(|_| why("that is no interface's name"))?)),
                None => None,
            };
            if !bare.is_empty() {
                let text = format!("{rule} ({}): left out for {}, {BARE}", rule.place(), bare.join(", "));
                maker.note("host", text);
            }
            for number in ours {
                let nat = &mut maker.lab.switches[number].nat;
                if nat.is_none() || out.is_none() {
                    *nat = Some(At::nowhere(Nat { out: out.clone(), ..Nat::default() }));
                }
            }
            Ok(())
        }
        Action::Destination(to, ports) => {
            let (node, proto, from, target) = led(maker, &when, *to, *ports)?;
            // those on the bridge itself go there without the host
            let own = |name: &String| {
                net.switches.iter().any(|(place, _)| maker.interface(*place).is_some_and(|bridge| bridge.name == *name))
            };
            let narrowed = when.not_came_by.as_ref().is_some_and(|name| !own(name));
            if when.came_by.is_some() || narrowed || when.from.is_some() || when.other.is_some() {
                return Err(why("a published port is open to all who reach the host's address"));
            }
            let publish = Publish { address: when.to, ports: from, target, proto };
            let reachable = net.pairs.iter().flatten().any(|place| {
                maker.names.get(&place.0) == Some(&node)
                    && net.switch_of(*place).is_some_and(|switch| {
                        let gateway = maker.lab.switches[switch].gateway.as_ref();
                        gateway.is_some_and(|gateway| gateway.is_host())
                    })
            });
            if !reachable {
                return Err(why("a published port leads to a namespace on a switch whose gateway is the host"));
            }
            let node = maker.lab.nodes.iter_mut().find(|known| known.name.value == node);
            if let Some(node) = node.filter(|node| !node.publish.iter().any(|known| known.value == publish)) {
                node.publish.push(At::nowhere(publish));
            }
            Ok(())
        }
        Action::Source(Some(source), None) => {
            let Some(number) = maker.lab.switches.iter().position(|switch| {
                let by_host = switch.gateway.as_ref().is_some_and(|gateway| gateway.is_host());
                by_host && when.from.is_some_and(|from| switch.subnets.iter().any(|subnet| subnet.value == from))
            }) else {
                return Err(if bare.is_empty() { foreign() } else { why(&format!("{}, {BARE}", bare.join(", "))) });
            };
            let out = leaves_by(&when)?;
            if when.other.is_some() || when.to.is_some() || when.ports.is_some() || when.proto.is_some() {
                return Err(why("a lab translates all that leaves a switch's subnet"));
            }
            give_source(&mut maker.lab.switches[number].nat, out, *source)
        }
        _ => Err(foreign()),
    }
}

/// The one interface that a rule is for.
fn leaves_by(when: &When) -> Result<IfName, Why> {
    let name = when.out_by.as_ref().ok_or_else(|| why("a lab gives an address to what leaves by one interface"))?;
    IfName::new(name).map_err(|_| why("that is no interface's name"))
}

/// Adds `source:`, one of each family, where nothing else is said of the same packets.
fn give_source(nat: &mut Option<At<Nat>>, out: IfName, source: IpAddr) -> Result<(), Why> {
    let there = nat.get_or_insert_with(|| At::nowhere(Nat { out: Some(At::nowhere(out.clone())), ..Nat::default() }));
    let same_family = |other: &At<IpAddr>| other.is_ipv4() == source.is_ipv4();
    if there.out.as_ref().is_none_or(|known| known.value != out) || there.source.iter().any(same_family) {
        return Err(why("a lab translates in one way"));
    }
    there.value.source.push(At::nowhere(source));
    Ok(())
}

/// Does an earlier rule of the same family masquerade by the same interface, so that this one has no say?
fn is_late(maker: &Maker<'_>, room: usize, rule: &Translation, when: &When) -> bool {
    let before = maker.rooms[room].nat.iter().take_while(|other| *other != rule);
    let same = |other: &Translation| {
        other.table == rule.table
            && matches!(other.action, Action::Masquerade(_))
            && When::of(other).out_by == when.out_by
    };
    before.into_iter().any(same)
}

fn on_router(maker: &mut Maker<'_>, room: usize, rule: &Translation) -> Result<(), Why> {
    let when = When::of(rule);
    match &rule.action {
        Action::Masquerade(None) => {
            let Some(out) = &when.out_by else {
                return Err(why("a router of a lab translates what leaves by one interface: `nat: { out: … }`"));
            };
            if when.other.is_some() || when.from.is_some() || when.to.is_some() || when.ports.is_some() {
                return Err(why("a router of a lab translates all that leaves by an interface"));
            }
            let out = IfName::new(out).map_err(|_| why("that is no interface's name"))?;
            let node = maker.node(room).ok_or_else(foreign)?;
            if node.nat.as_ref().is_some_and(|nat| nat.out.as_ref().is_none_or(|known| known.value != out)) {
                return Err(why("a router of a lab translates at one interface"));
            }
            node.nat = Some(At::nowhere(Nat { out: Some(At::nowhere(out)), ..Nat::default() }));
            // that it passes packets on follows
            node.forwarding = node.forwarding.take().filter(|forwarding| !forwarding.value);
            Ok(())
        }
        Action::Destination(to, ports) => {
            let (target_node, proto, from, target) = led(maker, &when, *to, *ports)?;
            if when.from.is_some() || when.not_came_by.is_some() || when.other.is_some() {
                return Err(why("a forwarded port is open to all"));
            }
            let interface = match &when.came_by {
                Some(name) => Some(At::nowhere(IfName::new(name).map_err(|_| why("that is no interface's name"))?)),
                None => None,
            };
            let node = At::nowhere(target_node);
            let forward = Forward { interface, address: when.to, ports: from, proto, node, target };
            let router = maker.node(room).ok_or_else(foreign)?;
            router.forward.push(At::nowhere(forward));
            router.forwarding = router.forwarding.take().filter(|forwarding| !forwarding.value);
            Ok(())
        }
        Action::Source(Some(source), None) => {
            let out = leaves_by(&when)?;
            let narrowed = when.other.is_some() || when.from.is_some() || when.to.is_some() || when.ports.is_some();
            if narrowed || when.proto.is_some() {
                return Err(why("a router of a lab translates all that leaves by an interface"));
            }
            if is_late(maker, room, rule, &when) {
                return Err(why("an earlier rule masquerades the same"));
            }
            let node = maker.node(room).ok_or_else(foreign)?;
            give_source(&mut node.nat, out, *source)?;
            node.forwarding = node.forwarding.take().filter(|forwarding| !forwarding.value);
            Ok(())
        }
        _ => Err(why("a lab masquerades, gives an address, and leads ports to nodes")),
    }
}

/// Where a rule leads: the node, the protocol, the ports, the first of the node's.
fn led(
    maker: &Maker<'_>,
    when: &When,
    to: Option<IpAddr>,
    ports: Option<crate::view::Ports>,
) -> Result<(NodeName, Proto, (u16, u16), u16), Why> {
    let owner = to.and_then(|to| {
        let has =
            |room: &usize| maker.rooms[*room].interfaces.iter().any(|one| wished(one).any(|net| net.addr() == to));
        maker.names.iter().find(|(room, name)| !name.is_host() && has(room)).map(|(_, name)| name.clone())
    });
    let node = owner.ok_or_else(|| Why { text: "no namespace here has that address".to_owned(), concerns: false })?;
    let (proto, first, last) = when.ports.ok_or_else(|| why("a lab leads single ports and ranges, not everything"))?;
    let target = ports.map_or((first, last), |ports| (ports.first, ports.last));
    if target.1 - target.0.min(target.1) != last - first.min(last) {
        return Err(why("a lab leads each port to one of as many"));
    }
    Ok((node, proto, (first, last), target.0))
}
