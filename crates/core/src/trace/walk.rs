//! The way there and back.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::cause::{Cause, Code, inside, ip, nft};
use super::filter::{Passed, Passing, dropped, name};
use super::neighbour::{Next, next, table};
use super::wire::{Narrow, Reached, inside_bridge};
use super::{
    Choice, Facts, Flow, Layer, Proto, Question, Step, arrival, has, is_link_local, policy, room, route, together,
};
use crate::ruleset::{Base, Family, Fate, Hook, Place};
use crate::view::{Interface, Owner, Room, Scene};

/// Namespaces on one way. More is a loop.
const HOPS: usize = 32;

/// A packet's way, as far as the configuration tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// From which namespace. Who asked may have called it otherwise.
    #[serde(rename = "namespace")]
    pub from: String,
    /// The packet, with the source that it gets.
    pub flow: Flow,
    /// The way there.
    pub there: Vec<Step>,
    /// The way of the answer.
    pub back: Vec<Step>,
    /// Where it arrives; None if it does not, or out of sight.
    pub arrives: Option<String>,
    /// Which namespace sees which packet, in order: for whoever watches the real one.
    #[serde(skip)]
    pub seen: Vec<Seen>,
    /// Why it does not arrive, or is not answered.
    pub cause: Option<Cause>,
}

/// A packet, as a namespace meets it: before it changes anything of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub namespace: String,
    /// The packet.
    pub flow: Flow,
    /// It is the answer.
    pub answer: bool,
}

/// A change of addresses, for the answer to be changed back.
#[derive(Debug, Clone)]
struct Changed {
    namespace: String,
    before: Flow,
    after: Flow,
    /// The rule that did it, if it is somebody else's than a lab's.
    foreign: Option<Place>,
    /// The destination changed.
    destination: bool,
}

struct Walk<'f> {
    facts: &'f mut dyn Facts,
    scene: Scene,
    steps: Vec<Step>,
    seen: Vec<Seen>,
    changed: Vec<Changed>,
    narrow: Option<Narrow>,
    /// The longest packet that all interfaces so far send.
    mtu: u32,
    /// A router on the way that may not say that a packet is too long.
    mute: Option<Cause>,
    answer: bool,
    /// Which interface of which namespace the packet went out by.
    left: Vec<(String, String)>,
    /// The namespace that the packet is for, if that was asked for and not only an address.
    meant: Option<String>,
}

/// Where a packet is.
struct Here {
    namespace: String,
    flow: Flow,
    input: Option<String>,
    /// The port of the bridge that it came in by.
    port: Option<String>,
}

/// Where a way ends.
enum End {
    Arrived(String, Flow),
    OutOfSight,
}

/// Follows a packet from a namespace, and its answer back; to a namespace, if one is meant and not only an address.
pub fn trace(facts: &mut dyn Facts, from: &str, flow: Flow, meant: Option<&str>) -> Trace {
    let scene = facts.scene().clone();
    let mut trace = Trace {
        from: from.to_owned(),
        flow,
        there: Vec::new(),
        back: Vec::new(),
        arrives: None,
        seen: Vec::new(),
        cause: None,
    };
    let mut walk = Walk {
        facts,
        scene,
        steps: Vec::new(),
        seen: Vec::new(),
        changed: Vec::new(),
        narrow: None,
        mtu: u32::MAX,
        mute: None,
        answer: false,
        left: Vec::new(),
        meant: meant.map(str::to_owned),
    };
    let there = walk.go(from, flow);
    trace.there = std::mem::take(&mut walk.steps);
    trace.flow = walk.seen.first().map_or(flow, |seen| seen.flow);
    let arrived = match there {
        Ok(End::Arrived(namespace, flow)) => Some((namespace, flow)),
        Ok(End::OutOfSight) => None,
        Err(cause) => {
            trace.cause = Some(walk.explained(cause));
            None
        }
    };
    if let Some((namespace, flow)) = arrived {
        trace.cause = walk.caught(&namespace, trace.flow.destination);
        trace.arrives = Some(namespace.clone());
        if let (None, Some(answer)) = (&trace.cause, flow.answer()) {
            walk.answer = true;
            trace.cause = walk.go(&namespace, answer).err().map(|cause| walk.answered(cause, &namespace, answer));
            trace.back = std::mem::take(&mut walk.steps);
        }
    }
    trace.seen = walk.seen;
    trace.cause = trace.cause.or(walk.mute);
    if let (None, Some(narrow)) = (&trace.cause, walk.narrow) {
        let Narrow { room, interface, takes, sent, mend } = narrow;
        let what = format!(
            "packets of more than {takes} bytes vanish at {interface} in {room}: its other end sends up to {sent}"
        );
        trace.cause = Some(Cause::new(Code::MtuBlackHole, &room, what, Some(mend)));
    }
    trace
}

impl Walk<'_> {
    fn step(&mut self, namespace: &str, layer: Layer, text: impl Into<String>) {
        self.steps.push(Step { namespace: namespace.to_owned(), layer, text: text.into() });
    }

    fn go(&mut self, from: &str, flow: Flow) -> Result<End, Cause> {
        let scene = self.scene.clone();
        let mut here = Here { namespace: from.to_owned(), flow, input: None, port: None };
        for _ in 0..HOPS {
            let Some(room) = room(&scene, &here.namespace) else {
                let what = format!("there is no namespace {}", here.namespace);
                return Err(Cause::new(Code::NamespaceGone, &here.namespace, what, Some("raum up".to_owned())));
            };
            if let Some(cause) = self.tracked(room) {
                return Err(cause);
            }
            let dev = match self.inside(room, &mut here)? {
                Some(choice) => choice,
                None => return Ok(End::Arrived(here.namespace, here.flow)),
            };
            match self.out(&scene, room, &here, &dev)? {
                Some(next) => here = next,
                None => return Ok(End::OutOfSight),
            }
        }
        let what = format!("the packet goes round and round, and is in {} again", here.namespace);
        Err(Cause::new(Code::WrongGateway, &here.namespace, what, None))
    }

    /// As many connections as may be tracked?
    fn tracked(&mut self, room: &Room) -> Option<Cause> {
        let mut number = |key: &str| self.facts.sysctl(&room.namespace, key)?.trim().parse::<u64>().ok();
        let count = number("net/netfilter/nf_conntrack_count")?;
        let most = number("net/netfilter/nf_conntrack_max").filter(|most| *most > 0 && count >= *most)?;
        let what = format!("the connection tracking table of {} is full: {count} of {most}", room.namespace);
        let mend = format!("sysctl -w net.netfilter.nf_conntrack_max={}", most.saturating_mul(4));
        Some(Cause::new(Code::ConntrackFull, &room.namespace, what, Some(mend)))
    }

    /// From coming in (or being made) to going out; None if it stays.
    fn inside(&mut self, room: &Room, here: &mut Here) -> Result<Option<Choice>, Cause> {
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
    fn stays_on_the_link(&self, router: &Room, flow: Flow) -> Option<Cause> {
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
    fn deaf(&mut self, room: &Room, flow: Flow) -> Option<Cause> {
        let key = if flow.v6() { "net/ipv6/icmp/echo_ignore_all" } else { "net/ipv4/icmp_echo_ignore_all" };
        let value = self.facts.sysctl(&room.namespace, key).filter(|_| flow.proto == Proto::Icmp)?;
        (value.trim() == "1").then(|| {
            let what = format!("{} ignores echo requests", room.namespace);
            let mend = inside(room, &format!("sysctl -w {}=0", key.replace('/', ".")));
            Cause::new(Code::EchoIgnored, &room.namespace, what, Some(mend))
        })
    }

    /// Asks the chains of a hook, and does what they say. `restored`: where an answer goes from its NAT on.
    fn hook(
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
    fn restored(&mut self, room: &Room, flow: Flow) -> Flow {
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

    fn own(&self, room: &Room, choice: &Choice, flow: Flow) -> Option<IpAddr> {
        let dev = room.interface(choice.dev.as_deref()?)?;
        let own = dev.addresses.iter().map(ipnet::IpNet::addr);
        own.filter(|ip| ip.is_ipv6() == flow.v6()).find(|ip| !is_link_local(*ip))
    }

    fn route(&mut self, room: &Room, here: &Here) -> Result<Choice, Cause> {
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

    /// With `br_netfilter` a packet that is translated back onto its own bridge is bridged, not routed
    /// (`br_nf_pre_routing_finish`, net/bridge/br_netfilter_hooks.c): out of the port where it came in, if that may be.
    fn hairpin(&mut self, room: &Room, here: &Here, choice: &Choice, input: &Interface) -> Result<(), Cause> {
        let translated = self.changed.iter().any(|changed| changed.namespace == room.namespace && changed.destination);
        if !translated || choice.dev.as_deref() != Some(&input.name) || !self.bridges_filter(room, here.flow.v6()) {
            return Ok(());
        }
        let Some(port) = here.port.as_deref().and_then(|name| room.interface(name)) else { return Ok(()) };
        let scene = self.scene.clone();
        let hop = choice.via.unwrap_or(here.flow.destination);
        let same = match next(&scene, room, input, hop, false, None) {
            Ok(Next::Reached(found, _)) => found.way.iter().any(|(namespace, text)| {
                *namespace == room.namespace && text.ends_with(&format!("port {}", port.name))
            }),
            _ => false,
        };
        if same && port.port.as_ref().is_some_and(|port| !port.hairpin) {
            let what = format!("{} in {} may not send out what came in there (hairpin)", port.name, room.namespace);
            let mend = inside_bridge(room, &port.name, "hairpin on");
            return Err(Cause::new(Code::HairpinOff, &room.namespace, what, Some(mend)));
        }
        Ok(())
    }

    fn bridges_filter(&mut self, room: &Room, v6: bool) -> bool {
        let key = if v6 { "net/bridge/bridge-nf-call-ip6tables" } else { "net/bridge/bridge-nf-call-iptables" };
        self.facts.sysctl(&room.namespace, key).is_some_and(|value| value.trim() == "1")
    }

    /// Out by an interface, to whoever has the next address.
    fn out(&mut self, scene: &Scene, room: &Room, here: &Here, choice: &Choice) -> Result<Option<Here>, Cause> {
        let Some(dev) = choice.dev.as_deref().and_then(|name| room.interface(name)) else {
            let what = format!("the route `{}` in {} has no interface", choice.route, room.namespace);
            return Err(Cause::new(Code::Unexplained, &room.namespace, what, None));
        };
        self.too_long(room, here, dev);
        if !self.answer {
            self.left.push((room.namespace.clone(), dev.name.clone()));
        }
        let hop = choice.via.unwrap_or(here.flow.destination);
        let full = table(self.facts, hop.is_ipv6());
        match next(scene, room, dev, hop, choice.via.is_some(), full)? {
            Next::Open(text) => {
                self.step(&room.namespace, Layer::Wire, text);
                Ok(None)
            }
            Next::Reached(reached, text) => {
                self.step(&room.namespace, Layer::Neighbour, text);
                for (namespace, text) in &reached.way {
                    self.step(namespace, Layer::Wire, text.clone());
                }
                self.bridged(&reached, here)?;
                if self.narrow.is_none() {
                    self.narrow = reached.narrow.clone();
                }
                Ok(Some(Here {
                    namespace: reached.room.namespace.clone(),
                    flow: here.flow,
                    input: Some(reached.interface.name.clone()),
                    port: reached.port.map(|port| port.name.clone()),
                }))
            }
        }
    }

    /// A router that has a narrower interface must tell the sender (RFC 1191, RFC 8201): may it?
    fn too_long(&mut self, room: &Room, here: &Here, dev: &Interface) {
        let narrower = dev.mtu < self.mtu;
        self.mtu = self.mtu.min(dev.mtu);
        let Some(input) = here.input.as_deref().and_then(|name| room.interface(name)) else { return };
        let (Some(sender), false, None) = (here.flow.source, self.answer, &self.mute) else { return };
        if !narrower {
            return;
        }
        let v6 = here.flow.v6();
        let own = input.addresses.iter().map(ipnet::IpNet::addr).find(|ip| ip.is_ipv6() == v6 && !is_link_local(*ip));
        let flow = Flow { source: own, destination: sender, proto: Proto::Icmp, source_port: None, port: None };
        let rules = self.facts.rules(&room.namespace);
        // "fragmentation needed", "packet too big"
        let icmp = Some(if v6 { 2 } else { 3 });
        let passing = Passing {
            room,
            flow,
            input: None,
            output: Some(input),
            answer: false,
            dnatted: false,
            restored: None,
            mark: 0,
            icmp,
        };
        let Some(cause) = passing.through(Hook::Output, &rules).cause else { return };
        let what = format!(
            "packets of more than {} bytes vanish in {}: it may not tell the sender, for {}",
            dev.mtu, room.namespace, cause.what
        );
        self.mute = Some(Cause::new(Code::MtuBlackHole, &room.namespace, what, cause.mend));
    }

    /// Bridges that show IP packets to the rules of their namespace.
    fn bridged(&mut self, reached: &Reached<'_>, here: &Here) -> Result<(), Cause> {
        let last = (reached.room.inode, reached.interface.index);
        let crossed = reached.bridges.iter().filter(|(room, bridge)| (room.inode, bridge.index) != last);
        for (room, bridge) in crossed {
            // what a namespace sends by its own bridge has been through its rules
            if room.namespace == here.namespace || !self.bridges_filter(room, here.flow.v6()) {
                continue;
            }
            let rules = self.facts.rules(&room.namespace);
            let passing = Passing {
                room,
                flow: here.flow,
                input: Some(bridge),
                output: Some(bridge),
                answer: self.answer,
                dnatted: false,
                restored: None,
                mark: 0,
                icmp: None,
            };
            if let Some(cause) = passing.through(Hook::Forward, &rules).cause {
                let what = format!(
                    "bridge {} shows its packets to the IP rules (br_netfilter), and {}",
                    bridge.name, cause.what
                );
                let family = if here.flow.v6() { "ip6tables" } else { "iptables" };
                let mend = inside(room, &format!("sysctl -w net.bridge.bridge-nf-call-{family}=0"));
                return Err(Cause::new(Code::BrNetfilter, &room.namespace, what, Some(mend)));
            }
        }
        Ok(())
    }

    /// A forward that leads to nobody is told as that.
    fn explained(&self, cause: Cause) -> Cause {
        let dead =
            matches!(cause.code, Code::NeighbourFailed | Code::NoRoute | Code::WrongPrefix | Code::InterfaceDown);
        let Some(forward) = self.changed.iter().rfind(|changed| changed.destination).filter(|_| dead) else {
            return cause;
        };
        if let Some(rule) =
            forward.foreign.as_ref().filter(|_| self.owned(forward.before.destination, &forward.namespace))
        {
            let to = forward.after.destination;
            let what = format!("{} in {} turns it to {to}", describe(rule), forward.namespace);
            let mend = self.without(rule, &forward.namespace);
            return Cause::new(Code::NatForeign, &forward.namespace, what, mend).astray();
        }
        let what = format!(
            "{} in {} is forwarded to {}, where it ends: {}",
            Endpoint(forward.before),
            forward.namespace,
            Endpoint(forward.after),
            cause.what
        );
        Cause::new(Code::DnatDead, &forward.namespace, what, cause.mend)
    }

    /// Does somebody else have the address that a packet was on its way to when it was translated?
    fn owned(&self, ip: IpAddr, here: &str) -> bool {
        let Some(here) = room(&self.scene, here).filter(|here| !has(here, ip)) else { return false };
        together(&self.scene, here).into_iter().any(|room| has(room, ip))
    }

    /// It arrived, but not where it was sent to.
    fn caught(&self, arrived: &str, destination: IpAddr) -> Option<Cause> {
        let forward = self.changed.iter().find(|changed| changed.destination && changed.foreign.is_some())?;
        let there = self.scene.namespaces.iter().any(|room| room.namespace == arrived && has(room, destination));
        if there || !self.owned(destination, &forward.namespace) {
            return None;
        }
        let rule = forward.foreign.as_ref()?;
        let what = format!(
            "{} in {} turns it to {arrived}, though it was on its way elsewhere",
            describe(rule),
            forward.namespace
        );
        Some(Cause::new(Code::NatForeign, &forward.namespace, what, self.without(rule, &forward.namespace)).astray())
    }

    /// It ended at somebody who has the address of the one who is meant.
    fn taken(&self, room: &Room, destination: IpAddr) -> Option<Cause> {
        let here = &room.namespace;
        let meant = self.meant.as_ref().filter(|meant| *meant != here)?;
        if self.changed.iter().any(|changed| changed.destination) {
            return None;
        }
        let mut all = room.interfaces.iter().flat_map(|one| one.addresses.iter().map(move |own| (one, own)));
        let (interface, own) = all.find(|(_, own)| own.addr() == destination)?;
        let what = format!("{here} has the address {destination} of {meant} itself, on {}", interface.name);
        let mend = ip(room, &format!("address del {own} dev {}", interface.name));
        Some(Cause::new(Code::DuplicateAddress, here, what, Some(mend)).astray())
    }

    /// The command that takes a rule away.
    fn without(&self, rule: &Place, namespace: &str) -> Option<String> {
        let (room, handle) = (room(&self.scene, namespace)?, rule.rule?);
        nft(room, &format!("delete rule {} handle {handle}", name(rule)))
    }

    /// How a router comes to give what leaves it its own address: in the lab's file, or in its rules.
    fn masquerade(&mut self, router: &Room, v6: bool) -> Option<String> {
        let by = self.left.iter().rev().find(|(namespace, _)| *namespace == router.namespace);
        let out = by.map_or("<out>", |(_, dev)| dev.as_str());
        let of_lab = |room: &Room| matches!(room.owner, Owner::Lab(_));
        let sender = self.seen.first().and_then(|seen| room(&self.scene, &seen.namespace));
        // that of the host is written at the switch whose gateway it is
        if router.owner == Owner::Host && sender.is_some_and(of_lab) {
            return Some(format!("nat: {{ out: {out} }} at the switch in the lab file, then raum up"));
        }
        if of_lab(router) {
            return Some(format!("nat: {{ out: {out} }} for {} in the lab file, then raum up", router.namespace));
        }
        let rules = self.facts.rules(&router.namespace);
        let family = if v6 { Family::Ip6 } else { Family::Ip };
        let is_nat = |base: &Base| base.kind == "nat" && base.hook == Hook::Postrouting;
        let fit = rules.tables.iter().filter(|table| table.family == family || table.family == Family::Inet);
        let found = fit.flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        let mut found = found.filter(|(_, chain)| chain.base.as_ref().is_some_and(is_nat));
        match found.next() {
            Some((table, chain)) => nft(
                router,
                &format!("add rule {} {} {} oifname {out} masquerade", table.family, table.name, chain.name),
            ),
            // nft takes its arguments as one text, which for a shell is one word
            None => nft(router, out).is_some().then(|| {
                let chain = "chain postrouting { type nat hook postrouting priority 100; policy accept;";
                format!("{} 'table {family} nat {{ {chain} oifname {out} masquerade; }}; }}'", inside(router, "nft"))
            }),
        }
    }

    /// What befalls the answer, said as that.
    fn answered(&mut self, mut cause: Cause, arrived: &str, answer: Flow) -> Cause {
        cause.answer = true;
        let Code::NoRoute = cause.code else { return cause };
        cause.code = Code::NoReturnRoute;
        let client = answer.destination;
        cause.what = format!("the answer does not come back: {}", cause.what);
        // a private address that has gone out to where nobody knows it
        let translates = self.changed.iter().any(|changed| !changed.destination);
        let last = self.seen.iter().rev().map(|seen| &seen.namespace).find(|namespace| *namespace != arrived).cloned();
        let outside = answer.source.is_some_and(|ip| !is_private(ip));
        if is_private(client) && outside && !translates && cause.namespace == arrived {
            cause.code = Code::NatMissing;
            cause.what = format!("{client} is private and went out untranslated: {arrived} has no way to answer it");
            let scene = self.scene.clone();
            let router = last.as_deref().and_then(|name| room(&scene, name));
            cause.mend = router.and_then(|router| self.masquerade(router, client.is_ipv6()));
        } else if let Some(there) = room(&self.scene, &cause.namespace) {
            let length = if client.is_ipv6() { 128 } else { 32 };
            cause.mend = cause.mend.or_else(|| Some(ip(there, &format!("route add {client}/{length} via <gateway>"))));
        }
        cause
    }
}

/// `203.0.113.2:80/tcp`
struct Endpoint(Flow);

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let flow = self.0;
        match (flow.destination, flow.port) {
            (IpAddr::V6(ip), Some(port)) => write!(f, "[{ip}]:{port}"),
            (ip, Some(port)) => write!(f, "{ip}:{port}"),
            (ip, None) => write!(f, "{ip}"),
        }
    }
}

/// RFC 1918, RFC 6598; RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn describe(place: &Place) -> String {
    format!("the rule `{}` of chain {}", place.words, name(place))
}

/// The refusal that stands for a route which refuses.
struct OpErrorOf;

impl OpErrorOf {
    fn host() -> crate::host::OpError {
        crate::host::OpError { errno: 113, code: "EHOSTUNREACH", message: "No route to host".to_owned() }
    }
}

/// For `judge`: a rule that was seen to drop.
pub(super) fn seen_to_drop(room: &Room, place: &Place, own: bool) -> Cause {
    dropped(room, place, &Fate::Dropped, own, "<match> ")
}
