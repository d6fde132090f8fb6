//! A real packet, watched on its way.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use raum_core::host::OpError;
use raum_core::ruleset::{Family, Place, Ruleset};
use raum_core::trace::{Counter, Facts, Flow, Probe, Reply, Seen, Sighting, Trace};

use super::drops::Drops;
use super::events::{self, Event};
use super::table::{Tap, tap};
use super::{Kernel, Sender, counters};
use crate::namespace::in_namespace;
use crate::release::OWNED_TABLES;
use crate::scene::harmless;
use crate::socket::{Protocol, Socket};

/// `NFNLGRP_NFTRACE`.
const GROUP: u32 = 9;
/// Room for what is told of one packet, also through hundreds of rules.
const RECEIVE: usize = 1 << 20;
/// Such a kernel would say "Invalid argument". No table is put in that stays when raum is killed.
const TOO_OLD: &str = "which rules the packet passes is told by Linux 5.12 and later";

/// One namespace while the packet is under way.
struct Watched {
    namespace: String,
    fd: Arc<OwnedFd>,
    before: BTreeMap<String, u64>,
    tap: Option<(Tap, Socket)>,
    packets: Vec<Seen>,
}

/// Sends the packet that was traced, watches it where it was expected, and says what was seen; and where it could not be
/// watched, and why.
pub fn probe(kernel: &mut Kernel, trace: &Trace, sender: &Sender, wait: Duration) -> (Probe, Vec<String>) {
    let mut notes = Vec::new();
    let mut watched: Vec<Watched> = Vec::new();
    for seen in &trace.seen {
        match watched.iter_mut().find(|one| one.namespace == seen.namespace) {
            Some(one) => one.packets.push(seen.clone()),
            None => match watch(kernel, seen) {
                Ok(one) => watched.push(one),
                Err(error) => notes.push(format!("{} is not watched: {}", seen.namespace, error.words())),
            },
        }
    }
    if !OWNED_TABLES.is_here() {
        notes.push(TOO_OLD.to_owned());
    }
    for one in watched.iter_mut().filter(|_| OWNED_TABLES.is_here()) {
        // the answer passes where the packet did, also where it was not expected
        let answers = one.packets.iter().filter(|seen| !seen.answer).filter_map(|seen| seen.flow.answer());
        let mut flows: Vec<Flow> = one.packets.iter().map(|seen| seen.flow).chain(answers).collect();
        flows.dedup();
        match in_namespace(one.fd.as_fd(), || listen_and_tap(&flows)).and_then(|tapped| tapped) {
            Ok(tapped) => one.tap = Some(tapped),
            Err(error) => notes.push(format!("rules are not traced in {}: {}", one.namespace, error.words())),
        }
    }
    let to = SocketAddr::new(trace.flow.destination, trace.flow.port.unwrap_or(0));
    // most may not ask for reasons: that is no loss worth a word
    let drops = Drops::listen().ok();
    let reply = sender.send(to, wait);
    let reasons = drops.map(Drops::reasons).unwrap_or_default();
    let mut probe = Probe { reply, reasons, ..Probe::default() };
    let mut sightings: Vec<Sighting> = Vec::new();
    for one in &mut watched {
        let after = in_namespace(one.fd.as_fd(), counters::read).unwrap_or_default();
        for (name, value) in after {
            let by = value.saturating_sub(one.before.get(&name).copied().unwrap_or(0));
            if by > 0 {
                probe.counters.push(Counter { namespace: one.namespace.clone(), name, by });
            }
        }
        if let Some((tap, socket)) = one.tap.as_mut() {
            let mut told = Vec::new();
            socket.notifications(|answer| told.extend(events::decode(&answer)));
            let rules = kernel.rules(&one.namespace);
            sightings.extend(say(&one.namespace, &told, &one.packets, &tap.name, &rules));
        }
    }
    // the packet first, then its answer from the far end
    let place = |sighting: &Sighting| watched.iter().position(|one| one.namespace == sighting.namespace).unwrap_or(0);
    let (there, back): (Vec<Sighting>, Vec<Sighting>) = sightings.into_iter().partition(|sighting| !sighting.answer);
    let mut back = back;
    back.sort_by_key(|sighting| std::cmp::Reverse(place(sighting)));
    probe.sightings = there.into_iter().chain(back).collect();
    if matches!(probe.reply, Reply::Refused(_)) && probe.sightings.is_empty() {
        notes.push("the packet has not left".to_owned());
    }
    (probe, notes)
}

fn watch(kernel: &mut Kernel, seen: &Seen) -> Result<Watched, OpError> {
    let fd = kernel.open(&seen.namespace)?;
    let before = in_namespace(fd.as_fd(), counters::read)?;
    Ok(Watched { namespace: seen.namespace.clone(), fd, before, tap: None, packets: vec![seen.clone()] })
}

/// Listens first, so that nothing is missed.
fn listen_and_tap(flows: &[Flow]) -> Result<(Tap, Socket), OpError> {
    let socket = Socket::open(Protocol::Netfilter)?;
    socket.receive_buffer(RECEIVE)?;
    socket.join(GROUP)?;
    Ok((tap(flows)?, socket))
}

/// Events as a person reads them: each hook that the packet has passed, and each rule that dropped it.
fn say(namespace: &str, told: &[Event], packets: &[Seen], tap: &str, rules: &Ruleset) -> Vec<Sighting> {
    let mut answers: HashMap<u32, bool> = HashMap::new();
    for event in told {
        if let Some(source) = event.source {
            let there = packets.iter().any(|seen| !seen.answer && seen.flow.source == Some(source));
            answers.entry(event.id).or_insert(!there);
        }
    }
    let mut all: Vec<Sighting> = Vec::new();
    for event in told {
        let own_chain = event.table == tap;
        if !own_chain && !event.drops() {
            continue;
        }
        let answer = answers.get(&event.id).copied().unwrap_or(false);
        let place = (!own_chain).then(|| place(event, rules));
        let own = rules.table(Family::of(event.family), &event.table).is_some_and(|table| table.lab().is_some());
        let chain = if own_chain { event.chain.clone() } else { format!("{} {}", event.table, event.chain) };
        let chain = harmless(chain.as_bytes());
        let verdict = if event.drops() { "drop" } else { "passed" };
        let sighting =
            Sighting { namespace: namespace.to_owned(), answer, chain, verdict: verdict.to_owned(), place, own };
        if all.last() != Some(&sighting) {
            all.push(sighting);
        }
    }
    all
}

fn place(event: &Event, rules: &Ruleset) -> Place {
    let family = Family::of(event.family);
    let table = rules.table(family, &event.table);
    let handle = event.rule.filter(|_| !event.policy);
    let rule = table.and_then(|table| {
        let chain = table.chain(&event.chain)?;
        chain.rules.iter().find(|rule| Some(rule.handle) == handle).map(|rule| rule.brief(table))
    });
    let words = rule.unwrap_or_else(|| if event.policy { "policy drop".to_owned() } else { "a rule".to_owned() });
    Place { family, table: event.table.clone(), chain: event.chain.clone(), rule: handle, words }
}
