//! The way there and back.

mod blame;
mod inside;
mod out;

use serde::{Deserialize, Serialize};

use super::cause::{Cause, Code};
use super::filter::dropped;
use super::wire::Narrow;
use super::{Facts, Flow, Layer, Step, room};
use crate::ruleset::{Fate, Place};
use crate::view::{Room, Scene};

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

impl Trace {
    /// Before the first step.
    #[must_use]
    pub fn new(from: &str, flow: Flow) -> Self {
        Self {
            from: from.to_owned(),
            flow,
            there: Vec::new(),
            back: Vec::new(),
            arrives: None,
            seen: Vec::new(),
            cause: None,
        }
    }
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
    let mut trace = Trace::new(from, flow);
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
}

/// For `judge`: a rule that was seen to drop.
pub(super) fn seen_to_drop(room: &Room, place: &Place, own: bool) -> Cause {
    dropped(room, place, &Fate::Dropped, own, "<match> ")
}
