//! Inside one namespace: what its rules and routes make of the packet.

use std::net::IpAddr;

use super::{Changed, Here, Seen, Walk};
use crate::ruleset::Hook;
use crate::trace::cause::{Cause, Code, inside, ip};
use crate::trace::filter::{Passed, Passing};
use crate::trace::{Choice, Flow, Layer, Proto, Question, arrival, has, is_link_local, policy, room, route};
use crate::view::{Interface, Room};

impl Walk<'_> {
    /// From coming in (or being made) to going out; None if it stays.
    pub(super) fn inside(&mut self, room: &Room, here: &mut Here) -> Result<Option<Choice>, Cause> {
        let input = here.input.as_deref().and_then(|name| room.interface(name));
        let first = if here.input.is_some() { Hook::Prerouting } else { Hook::Output };
        let mut choice = None;
        if here.input.is_none() {
            let found = self.route(room, here)?;
            // without an address of its own IPv6 takes that of lo
            let source = found.source.filter(|ip| !ip.is_loopback() || here.flow.destination.is_loopback());
            here.flow.source = here.flow.source.or(source).or_else(|| self.own(room, &found, here.flow));
            if here.flow.source.is_none() && found.kind != "local" {
                return Err(route::no_address(room, here.flow.v6(), found.dev.as_deref()));
            }
            // whoever has chosen a source asks once more (`ip_route_connect`, include/net/route.h)
            let again = here.flow.source.is_some() && policy::asks_for_source(room, here.flow);
            choice = Some(if again { self.route(room, here)? } else { found });
        }
        let namespace = room.namespace.clone();
        self.seen.push(Seen { namespace, flow: here.flow, answer: self.answer });
        let before = here.flow.destination;
        // of an answer the destination is changed back before it is routed, the source when it has been (`nf_nat_packet`,
        // net/netfilter/nf_nat_core.c)
        let back = self.restored(room, here.flow);
        let restored = (back.destination, back.port);
        let later = (self.answer && here.input.is_some()).then_some(restored);
        if later.is_none() {
            (here.flow.destination, here.flow.port) = restored;
        }
        let output = choice.as_ref().and_then(|choice| room.interface(choice.dev.as_deref()?));
        self.hook(room, here, first, [input, output], later)?;
        (here.flow.destination, here.flow.port) = later.unwrap_or((here.flow.destination, here.flow.port));
        let choice = match choice {
            Some(choice) if here.flow.destination == before => choice,
            _ => self.route(room, here)?,
        };
        if choice.kind == "broadcast" || choice.kind == "multicast" {
            let what =
                format!("{} is a {} address: a packet to many is not followed", here.flow.destination, choice.kind);
            return Err(Cause::new(Code::Unexplained, &room.namespace, what, None));
        }
        let local = choice.kind == "local" || has(room, here.flow.destination);
        let output = choice.dev.as_deref().and_then(|name| room.interface(name));
        if local {
            self.step(&room.namespace, Layer::Route, format!("local {}", here.flow.destination));
            // what is sent to oneself comes in by lo
            let input = input.or_else(|| room.interface("lo"));
            self.hook(room, here, Hook::Input, [input, None], None)?;
            if self.answer {
                (here.flow.source, here.flow.source_port) = (back.source, back.source_port);
            } else {
                if let Some(cause) = self.taken(room, here.flow.destination).or_else(|| self.deaf(room, here.flow)) {
                    return Err(cause);
                }
                self.steps.push(arrival::arrival(room, here.flow)?);
            }
            return Ok(None);
        }
        if let Some(input) = input {
            if here.flow.v6()
                && let Some(cause) = route::forwarding(self.facts, room, true, &input.name)
            {
                return Err(cause);
            }
            self.step(&room.namespace, Layer::Route, choice.route.clone());
            if let Some(cause) = self.stays_on_the_link(room, here.flow) {
                return Err(cause);
            }
            self.hairpin(room, here, &choice, input)?;
            self.hook(room, here, Hook::Forward, [Some(input), output], None)?;
        } else {
            self.step(&room.namespace, Layer::Route, choice.route.clone());
        }
        self.hook(room, here, Hook::Postrouting, [None, output], None)?;
        if self.answer {
            (here.flow.source, here.flow.source_port) = (back.source, back.source_port);
        }
        Ok(Some(choice))
    }

    /// Who has no other IPv6 address sends from a link-local one, and that no router passes on (RFC 4291, section 2.5.6;
    /// `ip6_forward`, net/ipv6/ip6_output.c).
    pub(super) fn stays_on_the_link(&self, router: &Room, flow: Flow) -> Option<Cause> {
        let source = flow.source.filter(|ip| is_link_local(*ip))?;
        let (sender, dev) = self.left.first().filter(|_| !self.answer)?;
        let sender = room(&self.scene, sender)?;
        let what = format!(
            "{} has no IPv6 address but {source}, which is link-local: {} passes nothing on that comes from it",
            sender.namespace, router.namespace
        );
        let mend = ip(sender, &format!("address add <address>/<length> dev {dev}"));
        Some(Cause::new(Code::NoAddress, &sender.namespace, what, Some(mend)))
    }

    /// Does it answer echo requests at all?
    pub(super) fn deaf(&mut self, room: &Room, flow: Flow) -> Option<Cause> {
        let key = if flow.v6() { "net/ipv6/icmp/echo_ignore_all" } else { "net/ipv4/icmp_echo_ignore_all" };
        let value = self.facts.sysctl(&room.namespace, key).filter(|_| flow.proto == Proto::Icmp)?;
        (value.trim() == "1").then(|| {
            let what = format!("{} ignores echo requests", room.namespace);
            let mend = inside(room, &format!("sysctl -w {}=0", key.replace('/', ".")));
            Cause::new(Code::EchoIgnored, &room.namespace, what, Some(mend))
        })
    }

    /// Asks the chains of a hook, and does what they say. `restored`: where an answer goes from its NAT on.
    pub(super) fn hook(
        &mut self,
        room: &Room,
        here: &mut Here,
        hook: Hook,
        [input, output]: [Option<&Interface>; 2],
        restored: Option<(IpAddr, Option<u16>)>,
    ) -> Result<(), Cause> {
        let rules = self.facts.rules(&room.namespace);
        let dnatted = self.changed.iter().any(|changed| changed.namespace == room.namespace && changed.destination);
        let passing = Passing {
            room,
            flow: here.flow,
            input,
            output,
            answer: self.answer,
            dnatted,
            restored,
            mark: 0,
            icmp: None,
        };
        let Passed { steps, cause, nat } = passing.through(hook, &rules);
        self.steps.extend(steps);
        for (nat, place, own) in nat {
            let before = here.flow;
            let own_address = || {
                let interface = if nat.source { output } else { input };
                let addresses = interface.into_iter().flat_map(|one| &one.addresses).map(ipnet::IpNet::addr);
                let mut fit = addresses.filter(|ip| ip.is_ipv6() == before.v6() && !is_link_local(*ip));
                fit.next()
            };
            let address = nat.address.or_else(|| if nat.own { own_address() } else { None });
            let (ip, port) = if nat.source {
                (here.flow.source, here.flow.source_port)
            } else {
                (Some(here.flow.destination), here.flow.port)
            };
            let (ip, port) = (address.or(ip), nat.port.or(port));
            if nat.source {
                (here.flow.source, here.flow.source_port) = (ip, port);
            } else {
                here.flow.destination = ip.unwrap_or(here.flow.destination);
                here.flow.port = port;
            }
            let after = here.flow;
            self.step(&room.namespace, Layer::Nat, format!("{before} becomes {after}"));
            let foreign = (!own).then_some(place);
            let namespace = room.namespace.clone();
            self.changed.push(Changed { namespace, before, after, foreign, destination: !nat.source });
        }
        cause.map_or(Ok(()), Err)
    }

    /// An answer with the addresses that the question had before it was translated here; all else as it is.
    pub(super) fn restored(&mut self, room: &Room, flow: Flow) -> Flow {
        let mut back = flow;
        for changed in self.changed.iter().rev().filter(|changed| self.answer && changed.namespace == room.namespace) {
            let (Some(after), Some(before)) = (changed.after.answer(), changed.before.answer()) else { continue };
            if (back.destination, back.source) == (after.destination, after.source) {
                back = before;
            }
        }
        if back != flow {
            self.step(&room.namespace, Layer::Nat, format!("the answer {flow} becomes {back}"));
        }
        back
    }

    pub(super) fn own(&self, room: &Room, choice: &Choice, flow: Flow) -> Option<IpAddr> {
        let dev = room.interface(choice.dev.as_deref()?)?;
        let own = dev.addresses.iter().map(ipnet::IpNet::addr);
        own.filter(|ip| ip.is_ipv6() == flow.v6()).find(|ip| !is_link_local(*ip))
    }

    pub(super) fn route(&mut self, room: &Room, here: &Here) -> Result<Choice, Cause> {
        let question =
            Question { namespace: room.namespace.clone(), flow: here.flow, input: here.input.clone(), mark: 0 };
        match self.facts.route(&question) {
            Ok(choice) if ["unreachable", "prohibit", "blackhole"].contains(&choice.kind.as_str()) => {
                let error = OpErrorOf::host();
                Err(route::refused(self.facts, room, &question, &error))
            }
            Ok(mut choice) => {
                if let Some(rule) = policy::chosen(room, &question, &choice.table) {
                    choice.route = format!("{}, by the rule `{rule}`", choice.route);
                }
                Ok(choice)
            }
            Err(error) => Err(route::refused(self.facts, room, &question, &error)),
        }
    }
}

/// The refusal that stands for a route which refuses.
struct OpErrorOf;

impl OpErrorOf {
    fn host() -> crate::host::OpError {
        crate::host::OpError { errno: 113, code: "EHOSTUNREACH", message: "No route to host".to_owned() }
    }
}
