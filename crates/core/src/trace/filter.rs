//! What rules do to a packet at one hook.

use std::net::IpAddr;

use super::cause::{Cause, Code, nft};
use super::{Flow, Layer, Proto, Step, has};
use crate::beside;
use crate::name::IfName;
use crate::ruleset::packet::{ESTABLISHED, LOCAL, NEW, UNICAST};
use crate::ruleset::{End, Family, Fate, Hook, Packet, Place, Ruleset};
use crate::view::{Interface, Owner, Room};

/// A packet in a namespace, with where it came in and goes out.
pub(super) struct Passing<'a> {
    pub room: &'a Room,
    pub flow: Flow,
    pub input: Option<&'a Interface>,
    pub output: Option<&'a Interface>,
    /// It is the answer: its connection is known, and NAT rules are not asked again.
    pub answer: bool,
    pub dnatted: bool,
    /// Of an answer: where it goes once its destination is changed back, which chains before that do not see.
    pub restored: Option<(IpAddr, Option<u16>)>,
    pub mark: u32,
    /// It is an ICMP message of this type, and not an echo.
    pub icmp: Option<u8>,
}

/// What came out of it.
#[derive(Default)]
pub(super) struct Passed {
    pub steps: Vec<Step>,
    pub cause: Option<Cause>,
    /// Translations that are certain, and who did them.
    pub nat: Vec<(crate::ruleset::Nat, Place, bool)>,
}

impl Passing<'_> {
    fn packet(&self) -> Packet {
        let flow = self.flow;
        let unspecified = if flow.v6() { [0u8; 16].into() } else { [0u8; 4].into() };
        let source = flow.source.unwrap_or(unspecified);
        let mut packet = Packet::new(source, flow.destination, Some(flow.proto.number(flow.v6())));
        let interface =
            |one: Option<&Interface>| Some(one.map_or((String::new(), 0), |one| (one.name.clone(), one.index)));
        (packet.input, packet.output) = (interface(self.input), interface(self.output));
        packet.mark = Some(self.mark);
        packet.ct_state = Some(if self.answer { ESTABLISHED } else { NEW });
        packet.ct_reply = Some(self.answer);
        packet.ct_status = if self.answer { None } else { Some(if self.dnatted { 32 } else { 0 }) };
        let kind = |ip| if has(self.room, ip) { LOCAL } else { UNICAST };
        packet.source_type = flow.source.map(kind);
        packet.destination_type = Some(kind(flow.destination));
        packet.restored = self.restored.map(|(ip, port)| (ip, port, kind(ip)));
        match flow.proto {
            Proto::Icmp => packet.set_icmp(match (self.icmp, flow.v6(), self.answer) {
                (Some(kind), ..) => kind,
                (None, false, false) => 8,
                (None, false, true) => 0,
                (None, true, false) => 128,
                (None, true, true) => 129,
            }),
            Proto::Tcp | Proto::Udp => packet.set_ports(flow.source_port, flow.port),
        }
        if flow.proto == Proto::Tcp && !self.answer {
            packet.set_syn();
        }
        packet
    }

    /// A rule's conditions for packets like this one.
    fn described(&self) -> String {
        let interface = |word: &str, one: Option<&Interface>| one.map(|one| format!("{word} {} ", one.name));
        let mut words = interface("iifname", self.input).unwrap_or_default();
        words += &interface("oifname", self.output).unwrap_or_default();
        match (self.flow.proto, self.flow.port.filter(|_| !self.answer)) {
            (Proto::Tcp | Proto::Udp, Some(port)) => words += &format!("{} dport {port} ", self.flow.proto),
            _ if self.answer => words += "ct state established ",
            _ => {}
        }
        words
    }

    /// Asks the chains of a hook.
    pub(super) fn through(&self, hook: Hook, rules: &Ruleset) -> Passed {
        let mut passed = Passed::default();
        for ends in rules.fates(hook, &self.packet()) {
            match ends.as_slice() {
                [end] if end.certain => self.certain(end, hook, rules, &mut passed),
                ends => self.possible(ends, hook, &mut passed),
            }
            if passed.cause.is_some() {
                break;
            }
        }
        passed
    }

    fn step(&self, layer: Layer, text: String, passed: &mut Passed) {
        passed.steps.push(Step { namespace: self.room.namespace.clone(), layer, text });
    }

    fn certain(&self, end: &End, hook: Hook, rules: &Ruleset, passed: &mut Passed) {
        let own = rules.table(end.place.family, &end.place.table).is_some_and(|table| table.lab().is_some());
        match &end.fate {
            Fate::Dropped | Fate::Rejected => {
                let mut cause = dropped(self.room, &end.place, &end.fate, own, &self.described());
                if let Some(mend) = self.in_its_place(hook, rules, end).filter(|_| !own) {
                    cause.mend = Some(mend);
                }
                passed.cause = Some(cause);
            }
            Fate::Translated(nat) => {
                let text = format!("{} ({})", end.place.words, name(&end.place));
                self.step(Layer::Nat, text, passed);
                passed.nat.push((nat.clone(), end.place.clone(), own));
            }
            Fate::Accepted if end.place.rule.is_some() => {
                self.step(Layer::Filter, format!("{hook}: {} ({})", end.place.words, name(&end.place)), passed);
            }
            Fate::Accepted => {}
            Fate::Queued | Fate::Unknown => {
                let text = format!("{hook}: perhaps not: {} ({})", end.place.words, name(&end.place));
                self.step(Layer::Filter, text, passed);
            }
        }
    }

    /// What opens a firewall of the host's for this lab, in the place that it has for rules of others: it opens an interface, so
    /// that must be a lab's own switch.
    fn in_its_place(&self, hook: Hook, rules: &Ruleset, end: &End) -> Option<String> {
        let of_lab = |one: &&Interface| one.alias.as_deref().is_some_and(|alias| alias.starts_with("raum:"));
        let name = |one: &Interface| IfName::new(&one.name).ok();
        let flow = self.flow;
        let mut needed = beside::Flow {
            what: String::new(),
            hook,
            input: self.input.filter(of_lab).and_then(name),
            output: None,
            source: flow.source,
            destination: Ok(flow.destination),
            proto: flow.proto.number(flow.v6()),
            port: flow.port.filter(|_| !self.answer),
            icmp: self.icmp,
            answer: self.answer,
            dnatted: self.dnatted,
            bridged: false,
        };
        if needed.input.is_none() || self.answer || self.dnatted {
            needed.output = self.output.filter(of_lab).and_then(name);
            needed.input = needed.input.filter(|_| needed.output.is_none());
        }
        let concerns = self.room.owner == Owner::Host && (needed.input.is_some() || needed.output.is_some());
        concerns.then(|| beside::in_its_place(rules, &needed, &end.place)).flatten()
    }

    fn possible(&self, ends: &[End], hook: Hook, passed: &mut Passed) {
        for end in ends.iter().filter(|end| end.fate.is_end()) {
            let text = format!("{hook}: perhaps dropped: {} ({})", end.place.words, name(&end.place));
            self.step(Layer::Filter, text, passed);
        }
    }
}

/// `ip filter FORWARD`
pub(super) fn name(place: &Place) -> String {
    shown(place.family, &place.table, &place.chain)
}

fn shown(family: Family, table: &str, chain: &str) -> String {
    let name = format!("{family} {table} {chain}");
    // a name is whatever somebody gave it
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Chains of others that see packets where the walk does not ask: frames in a bridge or of one interface, and ARP.
pub(super) fn not_asked(rules: &Ruleset) -> Vec<String> {
    let elsewhere = |family, hook| {
        matches!(family, Family::Bridge | Family::Netdev | Family::Arp) || matches!(hook, Hook::Ingress | Hook::Egress)
    };
    let others = rules.tables.iter().filter(|table| !table.dormant && table.lab().is_none());
    let chains = others.flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
    let may_drop = chains.filter(|(table, chain)| {
        let base = chain.base.as_ref().filter(|base| elsewhere(table.family, base.hook));
        base.is_some_and(|base| base.drops || !chain.rules.is_empty())
    });
    may_drop.map(|(table, chain)| shown(table.family, &table.name, &chain.name)).collect()
}

/// A rule that drops, as a cause; `like` are the conditions of a rule that would let the packet through.
pub(super) fn dropped(room: &Room, place: &Place, fate: &Fate, own: bool, like: &str) -> Cause {
    let does = if *fate == Fate::Rejected { "rejects" } else { "drops" };
    let chain = name(place);
    let Some(handle) = place.rule else {
        let what = format!("the policy of chain {chain} in {} drops it", room.namespace);
        let mend = nft(room, &format!("insert rule {chain} {like}accept"));
        return Cause::new(Code::FilterPolicy, &room.namespace, what, mend);
    };
    let code = if own { Code::FilterOwn } else { Code::FilterForeign };
    let what = format!("the rule `{}` of chain {chain} in {} {does} it", place.words, room.namespace);
    // what a lab's file says is changed there
    let mend = if own {
        Some("publish or forward the port in the lab file, then raum up".to_owned())
    } else {
        nft(room, &format!("delete rule {chain} handle {handle}"))
    };
    Cause::new(code, &room.namespace, what, mend)
}
