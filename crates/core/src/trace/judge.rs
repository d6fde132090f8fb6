//! What was expected, weighed against what became of a real packet. The packet is right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::cause::{Cause, Code, inside};
use super::filter::not_asked;
use super::walk::seen_to_drop;
use super::{Facts, Trace, room};
use crate::ruleset::Place;

/// What came of a real packet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Probe {
    /// What came back.
    pub reply: Reply,
    /// Where it and its answer were seen, in the order of the way.
    pub sightings: Vec<Sighting>,
    /// Counters of the kernel that grew meanwhile and speak of loss.
    pub counters: Vec<Counter>,
    /// The kernel's reasons (`enum skb_drop_reason`) for what it dropped while it sent the packet on, with how often; empty
    /// where nobody may ask for them.
    pub reasons: BTreeMap<String, u64>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// No packet was sent.
    #[default]
    NotSent,
    /// The kernel did not let it go, in its words.
    Refused(String),
    /// An answer.
    Answered,
    /// The other side is there, and says that nobody listens.
    Closed,
    /// Somebody on the way says that it will not arrive, in words.
    Unreachable(String),
    /// Nothing. Of a datagram that says little: nobody has to answer it.
    Silence,
}

/// A packet was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Where.
    pub namespace: String,
    /// It was the answer.
    pub answer: bool,
    /// By which chain.
    pub chain: String,
    /// `accept`, `drop`, …
    pub verdict: String,
    /// The rule that decided, if it dropped the packet.
    pub place: Option<Place>,
    /// The rule is of a lab's own table.
    pub own: bool,
}

/// A counter of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Of which namespace.
    pub namespace: String,
    /// Its name in /proc/net/snmp, netstat or snmp6: `IpExt.InNoRoutes`, or of an interface.
    pub name: String,
    /// By how much it grew.
    pub by: u64,
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} +{}", self.namespace, self.name, self.by)
    }
}

/// Puts what the packet told in the place of what was only expected.
pub fn judge(facts: &mut dyn Facts, trace: &mut Trace, probe: &Probe) {
    let arrived = matches!(probe.reply, Reply::Answered | Reply::Closed);
    match (&trace.cause, arrived) {
        // small packets pass all the same, and somebody else may answer
        (Some(cause), true) if cause.code == Code::MtuBlackHole || cause.astray => {}
        (Some(cause), true)
            if probe.reply == Reply::Closed && matches!(cause.code, Code::NobodyListens | Code::ListensElsewhere) => {}
        (Some(_), true) => {
            trace.cause = None;
            refused(trace, probe);
        }
        (Some(_), false) => {}
        (None, true) => refused(trace, probe),
        (None, false) => trace.cause = lost(facts, trace, probe),
    }
}

/// Somebody is there, and nobody listens.
fn refused(trace: &mut Trace, probe: &Probe) {
    if probe.reply != Reply::Closed {
        return;
    }
    let at = trace.arrives.clone().unwrap_or_else(|| trace.flow.destination.to_string());
    let what = format!("nobody at {at} listens on {} port {}", trace.flow.proto, trace.flow.port.unwrap_or(0));
    let mend = Some("start the program that should listen there".to_owned());
    trace.cause = Some(Cause::new(Code::NobodyListens, &at, what, mend));
}

/// Nothing was expected to be wrong, and nothing came back.
fn lost(facts: &mut dyn Facts, trace: &Trace, probe: &Probe) -> Option<Cause> {
    if probe.reply == Reply::NotSent {
        return None;
    }
    let scene = facts.scene().clone();
    if let Some(sighting) = probe.sightings.iter().find(|sighting| sighting.place.is_some())
        && let (Some(place), Some(room)) = (&sighting.place, room(&scene, &sighting.namespace))
    {
        let mut cause = seen_to_drop(room, place, sighting.own);
        cause.answer = sighting.answer;
        return Some(cause);
    }
    if let Some(counter) = probe.counters.iter().find(|counter| counter.name.contains("IPReversePathFilter"))
        && let Some(room) = room(&scene, &counter.namespace)
    {
        let what = format!("the reverse path filter in {} dropped it", counter.namespace);
        let mend = inside(room, "sysctl -w net.ipv4.conf.all.rp_filter=0");
        return Some(Cause::new(Code::RpFilter, &counter.namespace, what, Some(mend)));
    }
    // nobody has to answer a datagram that arrived
    let last = probe.sightings.last();
    let there = |sighting: &Sighting| Some(&sighting.namespace) == trace.arrives.as_ref();
    if trace.flow.proto == super::Proto::Udp
        && probe.reply == Reply::Silence
        && probe.sightings.iter().any(|sighting| there(sighting) && sighting.chain == "input")
    {
        return None;
    }
    let (namespace, mut what) = match (last, &probe.reply) {
        (_, Reply::Refused(why)) => (trace.from.clone(), format!("{} does not send it: {why}", trace.from)),
        (_, Reply::Unreachable(why)) => (trace.from.clone(), why.clone()),
        (Some(last), _) => {
            let packet = if last.answer { "the answer" } else { "it" };
            (last.namespace.clone(), format!("{packet} was last seen in {} ({})", last.namespace, last.chain))
        }
        (None, _) => (trace.from.clone(), "there is no answer, and nothing on the way says why".to_owned()),
    };
    if !probe.reasons.is_empty() {
        let reasons: Vec<&str> = probe.reasons.keys().map(String::as_str).collect();
        what += &format!("; the kernel dropped it for {}", reasons.join(", "));
    }
    if !probe.counters.is_empty() {
        let counters: Vec<String> = probe.counters.iter().map(ToString::to_string).collect();
        what += &format!("; {}", counters.join(", "));
    }
    let on_the_way: BTreeSet<&String> = trace.there.iter().chain(&trace.back).map(|step| &step.namespace).collect();
    for namespace in on_the_way {
        for chain in not_asked(&facts.rules(namespace)) {
            what += &format!("; chain {chain} in {namespace} may drop it, which trace does not ask");
        }
    }
    let mut cause = Cause::new(Code::Unexplained, &namespace, what, None);
    cause.answer = last.is_some_and(|last| last.answer);
    Some(cause)
}
