//! What becomes of a packet: the instructions run on what is known of it.
//!
//! Each condition is yes, no or perhaps. A chain so has one end that is certain, or several that are possible; the first that
//! is certain closes the list.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::expr::{Comparison, Expr, Register, Verdict};
use super::packet::{DNATTED, NEW, Packet, SNATTED};
use super::set::{Data, Set};
use super::xt::{self, Action, Condition};
use super::{Chain, Family, Hook, Rule, Ruleset, Table};

/// Where something was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule, by its number; None for the chain's policy.
    pub rule: Option<u64>,
    /// The rule in words, without counters; of a policy, `policy drop`.
    pub words: String,
}

/// A translation, as it will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// The source changes, else the destination.
    pub source: bool,
    /// To the address of the interface: `masquerade`, or `redirect`.
    pub own: bool,
    /// The new address; None if it stays, is the interface's own, or is not known.
    pub address: Option<IpAddr>,
    /// The new port.
    pub port: Option<u16>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It goes on.
    Accepted,
    /// It goes on with another address.
    Translated(Nat),
    /// It is gone.
    Dropped,
    /// It is gone, and the sender is told.
    Rejected,
    /// A program decides.
    Queued,
    /// Something decides that cannot be read.
    Unknown,
}

impl Fate {
    /// The packet goes no further.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Dropped | Self::Rejected)
    }
}

/// A possible end of a packet's way through one base chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What becomes of it.
    pub fate: Fate,
    /// Who decides.
    pub place: Place,
    /// That is known, not only possible.
    pub certain: bool,
}

/// Yes, no, or None: perhaps.
type Answer = Option<bool>;

/// Rules that are looked at before a ruleset is called too deep to be understood.
const STEPS: usize = 200_000;
/// `NFT_JUMP_STACK_SIZE`.
const DEPTH: usize = 16;

impl Ruleset {
    /// The possible ends in each chain of a hook, in the kernel's order; behind a chain that certainly drops the packet
    /// none is asked.
    #[must_use]
    pub fn fates(&self, hook: Hook, packet: &Packet) -> Vec<Vec<End>> {
        let mut packet = packet.clone();
        let mut all = Vec::new();
        for (table, chain, base) in self.called(hook, packet.v6) {
            // only the first packet of a connection is shown to NAT rules (`nf_nat_inet_fn`, net/netfilter/nf_nat_core.c)
            if base.kind == "nat" && packet.ct_state.is_some_and(|state| state != NEW) {
                continue;
            }
            if !base.devices.is_empty() && !packet.input.as_ref().is_none_or(|(name, _)| base.devices.contains(name)) {
                continue;
            }
            let mut walk = Walk { table, base: chain, ends: Vec::new(), certain: true, steps: 0 };
            if walk.chain(chain, &mut packet, 0) == Flow::Through {
                let fate = if base.drops { Fate::Dropped } else { Fate::Accepted };
                walk.end(fate, chain, None, true);
            }
            if let [End { fate: Fate::Translated(nat), certain: true, .. }] = walk.ends.as_slice() {
                translate(&mut packet, nat);
            }
            let over = walk.ends.iter().any(|end| end.certain && end.fate.is_end());
            all.push(walk.ends);
            if over {
                break;
            }
        }
        all
    }

    /// Who drops or may drop a packet at a hook, most certain first.
    #[must_use]
    pub fn drops(&self, hook: Hook, packet: &Packet) -> Vec<End> {
        let mut ends: Vec<End> =
            self.fates(hook, packet).into_iter().flatten().filter(|end| end.fate.is_end()).collect();
        ends.sort_by_key(|end| !end.certain);
        ends
    }
}

/// What later chains see of a packet that was translated.
fn translate(packet: &mut Packet, nat: &Nat) {
    if nat.source {
        nat.address.into_iter().for_each(|ip| packet.set_source(ip));
        packet.ct_status = packet.ct_status.map(|status| status | SNATTED);
        packet.source_type = None;
        return;
    }
    nat.address.into_iter().for_each(|ip| packet.set_destination(ip));
    if let Some(port) = nat.port.or_else(|| packet.port(false)) {
        packet.set_ports(packet.port(true), Some(port));
    }
    packet.ct_status = packet.ct_status.map(|status| status | DNATTED);
    packet.destination_type = None;
}

#[derive(PartialEq, Eq)]
enum Flow {
    Ended,
    Through,
}

/// What a rule leads to when its conditions hold.
enum Effect {
    Nothing,
    Fate(Fate),
    Verdict(Verdict),
    /// One of these.
    Any(Vec<Verdict>),
}

struct Walk<'t> {
    table: &'t Table,
    base: &'t Chain,
    ends: Vec<End>,
    /// All that led here was certain.
    certain: bool,
    steps: usize,
}

impl Walk<'_> {
    fn end(&mut self, fate: Fate, chain: &Chain, rule: Option<&Rule>, certain: bool) {
        let words = match rule {
            Some(rule) => rule.brief(self.table),
            None if fate == Fate::Dropped => "policy drop".to_owned(),
            None => "policy accept".to_owned(),
        };
        let chain = if rule.is_none() { self.base } else { chain };
        let place = Place {
            family: self.table.family,
            table: self.table.name.clone(),
            chain: chain.name.clone(),
            rule: rule.map(|rule| rule.handle),
            words,
        };
        self.ends.push(End { fate, place, certain: certain && self.certain });
        self.certain &= certain;
    }

    fn chain(&mut self, chain: &Chain, packet: &mut Packet, depth: usize) -> Flow {
        // after a `return` that was only possible, what follows is only possible, too
        let mut left: Option<(bool, usize)> = None;
        for rule in &chain.rules {
            self.steps += 1;
            if self.steps > STEPS || depth > DEPTH {
                self.end(Fate::Unknown, chain, Some(rule), false);
                return Flow::Ended;
            }
            let (answer, effect) = run(rule, self.table, packet);
            if answer == Some(false) {
                continue;
            }
            let sure = answer == Some(true);
            let verdicts = match effect {
                Effect::Nothing => continue,
                Effect::Fate(fate) => {
                    self.end(fate, chain, Some(rule), sure);
                    if sure {
                        return if left.is_some() { Flow::Through } else { Flow::Ended };
                    }
                    continue;
                }
                Effect::Verdict(verdict) => vec![verdict],
                Effect::Any(verdicts) => verdicts,
            };
            for verdict in verdicts {
                match self.verdict(&verdict, sure, chain, rule, packet, depth) {
                    Step::Next => {}
                    Step::Perhaps => {
                        left.get_or_insert((self.certain, self.ends.len()));
                        self.certain = false;
                    }
                    // or it has left before, and goes on behind
                    Step::Leave(_) if left.is_some() => return Flow::Through,
                    Step::Leave(flow) => return flow,
                }
            }
        }
        if let Some((certain, ends)) = left
            && ends == self.ends.len()
        {
            self.certain = certain;
        }
        Flow::Through
    }

    fn verdict(
        &mut self,
        verdict: &Verdict,
        sure: bool,
        chain: &Chain,
        rule: &Rule,
        packet: &mut Packet,
        depth: usize,
    ) -> Step {
        let fate = match verdict {
            Verdict::Accept => Fate::Accepted,
            Verdict::Drop => Fate::Dropped,
            Verdict::Queue => Fate::Queued,
            Verdict::Other(_) => Fate::Unknown,
            Verdict::Continue => return Step::Next,
            Verdict::Return if sure => return Step::Leave(Flow::Through),
            Verdict::Return => return Step::Perhaps,
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let Some(target) = self.table.chain(name) else { return Step::Next };
                let goes = matches!(verdict, Verdict::Goto(_));
                if sure {
                    let flow = self.chain(target, packet, depth + 1);
                    return if goes || flow == Flow::Ended { Step::Leave(flow) } else { Step::Next };
                }
                let (certain, ends) = (self.certain, self.ends.len());
                self.certain = false;
                // marks set on the way are as uncertain as the way
                self.chain(target, &mut packet.clone(), depth + 1);
                if ends == self.ends.len() && !goes {
                    self.certain = certain;
                    return Step::Next;
                }
                return if goes { Step::Perhaps } else { Step::Next };
            }
        };
        self.end(fate, chain, Some(rule), sure);
        if sure { Step::Leave(Flow::Ended) } else { Step::Next }
    }
}

enum Step {
    Next,
    /// The rest of the chain is only possible.
    Perhaps,
    Leave(Flow),
}

/// The registers: each byte as far as it is known.
struct Registers([Option<u8>; 64]);

impl Registers {
    fn put(&mut self, to: Register, bytes: &[Option<u8>]) {
        let start = to.saturating_mul(4);
        let padded = bytes.len().next_multiple_of(4);
        for at in 0..padded {
            if let Some(place) = self.0.get_mut(start.saturating_add(at)) {
                // the rest of the last word is zero
                *place = bytes.get(at).copied().unwrap_or(Some(0));
            }
        }
    }

    fn known(&mut self, to: Register, bytes: &[u8]) {
        self.put(to, &bytes.iter().copied().map(Some).collect::<Vec<_>>());
    }

    fn get(&self, from: Register, length: usize) -> Vec<Option<u8>> {
        let start = from.saturating_mul(4);
        (0..length).map(|at| self.0.get(start.saturating_add(at)).copied().flatten()).collect()
    }

    /// All bytes, if all are known.
    fn all(&self, from: Register, length: usize) -> Option<Vec<u8>> {
        self.get(from, length).into_iter().collect()
    }
}

/// Do the rule's conditions hold, and what then?
fn run(rule: &Rule, table: &Table, packet: &mut Packet) -> (Answer, Effect) {
    let mut registers = Registers([None; 64]);
    let mut answer = Some(true);
    for expr in &rule.exprs {
        let held = match step(expr, table, packet, &mut registers, answer) {
            Done::Held(held) => held,
            Done::Effect(effect) => return (answer, effect),
        };
        match held {
            Some(true) => {}
            Some(false) => return (Some(false), Effect::Nothing),
            None => answer = None,
        }
    }
    (answer, Effect::Nothing)
}

enum Done {
    Held(Answer),
    Effect(Effect),
}

const ON: Done = Done::Held(Some(true));

fn step(expr: &Expr, table: &Table, packet: &mut Packet, registers: &mut Registers, so_far: Answer) -> Done {
    let address = |registers: &Registers, pair: Option<(Register, Register)>, v6: bool| -> Option<IpAddr> {
        let at = pair?.0;
        if v6 {
            Some(IpAddr::from(*registers.all(at, 16)?.first_chunk::<16>()?))
        } else {
            Some(IpAddr::from(*registers.all(at, 4)?.first_chunk::<4>()?))
        }
    };
    let port = |registers: &Registers, pair: Option<(Register, Register)>| {
        registers.all(pair?.0, 2).and_then(|bytes| Some(u16::from_be_bytes(*bytes.first_chunk()?)))
    };
    let translated =
        |source, own, address, port| Done::Effect(Effect::Fate(Fate::Translated(Nat { source, own, address, port })));
    match expr {
        Expr::Meta { key, to } => registers.put(*to, &meta(*key, packet)),
        Expr::Ct { key, reply, to } => registers.put(*to, &ct(*key, *reply, packet)),
        Expr::Payload { base, offset, length, to } => {
            registers.put(*to, &payload(*base, *offset, *length, packet));
        }
        Expr::Immediate { to, data } => registers.known(*to, data),
        Expr::Fib { to, result, flags } => {
            let kind = match (result, flags & 3) {
                (3, 1) => packet.source_type,
                (3, 2) => packet.destination_type,
                _ => None,
            };
            // limited to an interface it is another question
            let kind = kind.filter(|_| flags & 24 == 0).map(u32::to_ne_bytes);
            registers.put(*to, &(0..4).map(|at| kind.map(|kind| kind[at])).collect::<Vec<_>>());
        }
        Expr::Load { to, .. } => registers.put(*to, &[None; 4]),
        Expr::Bitwise { from, to, mask, xor } => {
            let value = registers.get(*from, mask.len());
            let each = value.iter().zip(mask).zip(xor.iter().chain(std::iter::repeat(&0)));
            let out: Vec<Option<u8>> = each
                .map(|((value, mask), xor)| match (value, mask) {
                    // what is masked away need not be known
                    (_, 0) => Some(*xor),
                    (value, mask) => value.map(|value| value & mask ^ xor),
                })
                .collect();
            registers.put(*to, &out);
        }
        Expr::Byteorder { from, to, length, size } => {
            let (length, size) = (usize::try_from(*length).unwrap_or(0).min(64), usize::try_from(*size).unwrap_or(1));
            let mut bytes = registers.get(*from, length);
            if cfg!(target_endian = "little") && size > 0 {
                bytes.chunks_mut(size).for_each(<[Option<u8>]>::reverse);
            }
            registers.put(*to, &bytes);
        }
        Expr::Cmp { from, how, data } => return Done::Held(compare(&registers.get(*from, data.len()), *how, data)),
        Expr::Range { from, not, low, high } => {
            let value = registers.all(*from, low.len());
            return Done::Held(value.map(|value| (*low <= value && value <= *high) != *not));
        }
        Expr::Lookup { set, from, to, not } => return lookup(table.set(set), *from, *to, *not, registers),
        Expr::Verdict(verdict) => return Done::Effect(Effect::Verdict(verdict.clone())),
        Expr::Nat { source, v6, address: at, port: port_at, .. } => {
            if *v6 != packet.v6 {
                return Done::Held(Some(false));
            }
            return translated(*source, false, address(registers, *at, *v6), port(registers, *port_at));
        }
        Expr::Masquerade { ports, .. } => return translated(true, true, None, port(registers, *ports)),
        Expr::Redirect { port: at, .. } => return translated(false, true, None, port(registers, *at)),
        Expr::Reject { .. } => return Done::Effect(Effect::Fate(Fate::Rejected)),
        Expr::Queue { .. } => return Done::Effect(Effect::Fate(Fate::Queued)),
        Expr::SetMeta { key: 3, from } => {
            let mark = registers.all(*from, 4).and_then(|bytes| Some(u32::from_ne_bytes(*bytes.first_chunk()?)));
            packet.mark = mark.filter(|_| so_far == Some(true));
        }
        Expr::SetCt { key: 3, from } => {
            let mark = registers.all(*from, 4).and_then(|bytes| Some(u32::from_ne_bytes(*bytes.first_chunk()?)));
            packet.ct_mark = mark.filter(|_| so_far == Some(true));
        }
        Expr::Notrack => packet.ct_state = (so_far == Some(true)).then_some(64),
        Expr::Limit { .. } | Expr::Connlimit { .. } => return Done::Held(None),
        Expr::Quota { bytes, used, over } => return Done::Held(Some((used >= bytes) == *over)),
        Expr::Match { name, revision, info } => {
            return Done::Held(xt::condition(name, *revision, info).and_then(|condition| matches(&condition, packet)));
        }
        Expr::Target { name, revision, info } => {
            let range = |source, own, range: xt::Range| {
                translated(source, own, range.addresses.map(|(first, _)| first), range.ports.map(|(first, _)| first))
            };
            return match xt::action(name, *revision, info, packet.v6) {
                Some(Action::Masquerade(to)) => range(true, true, to),
                Some(Action::Source(to)) => range(true, false, to),
                Some(Action::Destination(to)) => range(false, false, to),
                Some(Action::Redirect(to)) => range(false, true, to),
                Some(Action::Reject(_)) => Done::Effect(Effect::Fate(Fate::Rejected)),
                Some(Action::GoesOn) if name.contains("MARK") => {
                    (packet.mark, packet.ct_mark) = (None, None);
                    ON
                }
                Some(Action::Log(_) | Action::GoesOn) => ON,
                None => Done::Held(None),
            };
        }
        Expr::Object { kind: 1 | 3 | 7 | 8 | 9, .. } => {}
        Expr::Object { .. } | Expr::Other(_) => return Done::Held(None),
        // no condition, and nothing that later conditions could see
        Expr::SetMeta { .. }
        | Expr::SetCt { .. }
        | Expr::SetPayload { .. }
        | Expr::Counter { .. }
        | Expr::Log { .. }
        | Expr::Dynset { .. } => {}
    }
    ON
}

fn lookup(set: Option<&Set>, from: Register, to: Option<Register>, not: bool, registers: &mut Registers) -> Done {
    let Some(set) = set else { return Done::Held(None) };
    let key = registers.all(from, set.key_length);
    let found = key.as_ref().map(|key| set.find(key));
    match (found, to) {
        (Some(None), _) => Done::Held(Some(not)),
        (Some(Some(element)), None) => match &element.data {
            Some(Data::Verdict(verdict)) => Done::Effect(Effect::Verdict(verdict.clone())),
            _ => Done::Held(Some(!not)),
        },
        (Some(Some(element)), Some(to)) => {
            match &element.data {
                Some(Data::Value(bytes)) => registers.known(to, bytes),
                _ => registers.put(to, &vec![None; set.data_length.min(64)]),
            }
            Done::Held(Some(true))
        }
        (None, _) if set.elements.is_empty() && !set.dynamic => Done::Held(Some(not)),
        (None, None) if set.map => {
            let data = set.elements.iter().filter_map(|element| match &element.data {
                Some(Data::Verdict(verdict)) => Some(verdict.clone()),
                _ => None,
            });
            let mut verdicts: Vec<Verdict> = Vec::new();
            for verdict in data {
                if !verdicts.contains(&verdict) {
                    verdicts.push(verdict);
                }
            }
            Done::Effect(Effect::Any(verdicts))
        }
        (None, Some(to)) => {
            registers.put(to, &vec![None; set.data_length.min(64)]);
            Done::Held(None)
        }
        (None, None) => Done::Held(None),
    }
}

fn compare(value: &[Option<u8>], how: Comparison, data: &[u8]) -> Answer {
    let all: Option<Vec<u8>> = value.iter().copied().collect();
    let Some(value) = all else {
        // one byte that is known to differ is enough
        let differs = value.iter().zip(data).any(|(value, data)| value.is_some_and(|value| value != *data));
        return match how {
            Comparison::Equal if differs => Some(false),
            Comparison::Differs if differs => Some(true),
            _ => None,
        };
    };
    // as memcmp does
    let order = value.as_slice().cmp(data);
    Some(match how {
        Comparison::Equal => order.is_eq(),
        Comparison::Differs => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::AtLeast => order.is_ge(),
    })
}

fn word(value: Option<u32>) -> Vec<Option<u8>> {
    match value {
        Some(value) => value.to_ne_bytes().into_iter().map(Some).collect(),
        None => vec![None; 4],
    }
}

fn byte(value: Option<u8>) -> Vec<Option<u8>> {
    vec![value, Some(0), Some(0), Some(0)]
}

fn name(interface: Option<&(String, u32)>) -> Vec<Option<u8>> {
    let Some((name, _)) = interface else { return vec![None; 16] };
    (0..16).map(|at| Some(name.as_bytes().get(at).copied().unwrap_or(0))).collect()
}

fn meta(key: u32, packet: &Packet) -> Vec<Option<u8>> {
    match key {
        1 => {
            let number: [u8; 2] = if packet.v6 { [0x86, 0xdd] } else { [8, 0] };
            vec![Some(number[0]), Some(number[1]), Some(0), Some(0)]
        }
        3 => word(packet.mark),
        4 => word(packet.input.as_ref().map(|(_, index)| *index)),
        5 => word(packet.output.as_ref().map(|(_, index)| *index)),
        6 => name(packet.input.as_ref()),
        7 => name(packet.output.as_ref()),
        15 => byte(Some(if packet.v6 { 10 } else { 2 })),
        16 => byte(packet.proto),
        17 | 18 | 26 | 27 | 34 => vec![None; 16],
        _ => vec![None; 4],
    }
}

fn ct(key: u32, reply: Option<bool>, packet: &Packet) -> Vec<Option<u8>> {
    // of the first packet of a connection the original direction is its own
    let own = packet.ct_state == Some(NEW) && reply != Some(true);
    let part = |at: usize, length: usize| -> Vec<Option<u8>> {
        if own { packet.network.get(at..at + length).map(<[_]>::to_vec) } else { None }
            .unwrap_or_else(|| vec![None; length])
    };
    match key {
        0 => word(packet.ct_state),
        1 => byte(packet.ct_reply.map(u8::from)),
        2 => word(packet.ct_status),
        3 => word(packet.ct_mark),
        7 => byte(Some(if packet.v6 { 10 } else { 2 })),
        10 => byte(packet.proto),
        // a destination that was translated is not the original one any more
        19 if !packet.v6 => part(12, 4),
        20 if !packet.v6 && packet.ct_status.is_some_and(|status| status & DNATTED == 0) => part(16, 4),
        21 if packet.v6 => part(8, 16),
        22 if packet.v6 && packet.ct_status.is_some_and(|status| status & DNATTED == 0) => part(24, 16),
        8 | 9 | 21 | 22 => vec![None; 16],
        _ => vec![None; 4],
    }
}

fn payload(base: u32, offset: u32, length: u32, packet: &Packet) -> Vec<Option<u8>> {
    let (offset, length) =
        (usize::try_from(offset).unwrap_or(usize::MAX), usize::try_from(length).unwrap_or(0).min(64));
    let header: &[Option<u8>] = match base {
        1 => &packet.network,
        2 => &packet.transport,
        _ => &[],
    };
    (0..length).map(|at| header.get(offset.saturating_add(at)).copied().flatten()).collect()
}

/// All of several conditions.
fn all(answers: impl IntoIterator<Item = Answer>) -> Answer {
    let mut sum = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => sum = None,
        }
    }
    sum
}

fn matches(condition: &Condition, packet: &Packet) -> Answer {
    let bits = |known: Option<u32>, asked: Option<(u32, bool)>| match asked {
        None => Some(true),
        Some((bits, not)) => known.map(|known| (known & bits != 0) != not),
    };
    let open = |more: bool| if more { None } else { Some(true) };
    let port = |source: bool, asked: Option<(u16, u16, bool)>| match asked {
        None => Some(true),
        Some((low, high, not)) => packet.port(source).map(|port| ((low..=high).contains(&port)) != not),
    };
    match condition {
        Condition::Comment(_) => Some(true),
        Condition::Connection { state, status, more } => {
            all([bits(packet.ct_state, *state), bits(packet.ct_status, *status), open(*more)])
        }
        Condition::AddressType { source, destination, limited } => {
            let types = |known: Option<u32>| known.map(|known| 1u32.checked_shl(known).unwrap_or(0));
            all([
                bits(types(packet.source_type), *source),
                bits(types(packet.destination_type), *destination),
                open(*limited),
            ])
        }
        Condition::Ports { proto, source, destination, more } => {
            if packet.proto.is_some_and(|known| known != *proto) {
                return Some(false);
            }
            all([port(true, *source), port(false, *destination), open(*more || packet.proto.is_none())])
        }
        Condition::Multiport { source, destination, ports, not } => {
            let one = |source: bool| {
                let port = packet.port(source)?;
                Some(ports.iter().any(|(low, high)| (*low..=*high).contains(&port)))
            };
            let sides: Vec<Answer> = [(true, *source), (false, *destination)]
                .into_iter()
                .filter(|(_, asked)| *asked)
                .map(|(source, _)| one(source))
                .collect();
            let any = if sides.contains(&Some(true)) {
                Some(true)
            } else if sides.contains(&None) {
                None
            } else {
                Some(false)
            };
            any.map(|any| any != *not)
        }
        Condition::Mark { mark, mask, not } => packet.mark.map(|known| (known & mask == *mark) != *not),
        Condition::Icmp { v6, kind, codes, not } => {
            if packet.proto.is_some_and(|known| known != if *v6 { 58 } else { 1 }) {
                return Some(false);
            }
            let byte = |at: usize| packet.transport.get(at).copied().flatten().filter(|_| packet.proto.is_some());
            let kind = kind.map_or(Some(true), |kind| byte(0).map(|known| known == kind));
            let code =
                if *codes == (0, 255) { Some(true) } else { byte(1).map(|known| (codes.0..=codes.1).contains(&known)) };
            all([kind, code]).map(|same| same != *not)
        }
        Condition::Hops { v6, mode, hops } => {
            let known = packet.network.get(if *v6 { 7 } else { 8 }).copied().flatten()?;
            match mode {
                0 => Some(known == *hops),
                1 => Some(known != *hops),
                2 => Some(known < *hops),
                3 => Some(known > *hops),
                _ => None,
            }
        }
        Condition::Set { .. } | Condition::Port { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Base;
    use super::*;

    fn rule(handle: u64, exprs: Vec<Expr>) -> Rule {
        Rule { handle, comment: None, exprs }
    }

    #[test]
    fn matches_of_iptables_on_icmp_and_hops_are_known() {
        let held = |name: &str, info: &[u8], packet: &Packet| {
            let rule = rule(1, vec![Expr::Match { name: name.to_owned(), revision: 0, info: info.to_vec() }]);
            let table = Table {
                family: Family::Ip,
                name: "t".to_owned(),
                handle: 1,
                dormant: false,
                comment: None,
                sets: Vec::new(),
                chains: Vec::new(),
            };
            run(&rule, &table, &mut packet.clone()).0
        };
        let mut ping = Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Some(1));
        assert_eq!(held("icmp", &[8, 0, 255, 0], &ping), None, "the type is not known");
        ping.set_icmp(8);
        assert_eq!(held("icmp", &[8, 0, 255, 0], &ping), Some(true));
        assert_eq!(held("icmp", &[8, 0, 255, 1], &ping), Some(false), "inverted");
        assert_eq!(held("icmp", &[3, 0, 255, 0], &ping), Some(false));
        assert_eq!(held("icmp", &[255, 0, 255, 0], &ping), Some(true), "any");
        assert_eq!(held("icmp6", &[8, 0, 255, 0], &ping), Some(false), "another protocol");
        assert_eq!(held("ttl", &[0, 64], &ping), None);
        ping.network[8] = Some(64);
        assert_eq!([0, 1, 2, 3].map(|mode| held("ttl", &[mode, 64], &ping)), [true, false, false, false].map(Some));
        assert_eq!(held("ttl", &[2, 65], &ping), Some(true));
        assert_eq!(held("ttl", &[], &ping), None, "too short");
    }

    /// A condition on the destination port.
    fn port(port: u16) -> [Expr; 2] {
        let data = port.to_be_bytes().to_vec();
        [Expr::Payload { base: 2, offset: 2, length: 2, to: 0 }, Expr::Cmp { from: 0, how: Comparison::Equal, data }]
    }

    fn end(verdict: Verdict) -> Expr {
        Expr::Verdict(verdict)
    }

    fn ruleset(drops: bool, rules: Vec<Rule>, other: Vec<Rule>) -> Ruleset {
        let base = Base { kind: "filter".into(), hook: Hook::Forward, devices: vec![], priority: 0, drops };
        let chain = |name: &str, base, rules| Chain { name: name.to_owned(), handle: 1, base, comment: None, rules };
        let chains = vec![chain("forward", Some(base), rules), chain("other", None, other)];
        let (name, comment) = ("t".to_owned(), None);
        let table = Table { family: Family::Inet, name, handle: 1, dormant: false, comment, sets: vec![], chains };
        Ruleset { tables: vec![table] }
    }

    fn ends(ruleset: &Ruleset, port: Option<u16>) -> Vec<(Fate, Option<u64>, bool)> {
        let mut packet = Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Some(6));
        packet.set_ports(None, port);
        let fates = ruleset.fates(Hook::Forward, &packet).into_iter().flatten();
        fates.map(|end| (end.fate, end.place.rule, end.certain)).collect()
    }

    #[test]
    fn what_is_not_known_leads_to_several_ends() {
        let [load, is] = port(80);
        let rules = ruleset(true, vec![rule(1, vec![load, is, end(Verdict::Accept)])], vec![]);
        assert_eq!(ends(&rules, Some(80)), [(Fate::Accepted, Some(1), true)]);
        assert_eq!(ends(&rules, Some(81)), [(Fate::Dropped, None, true)]);
        assert_eq!(ends(&rules, None), [(Fate::Accepted, Some(1), false), (Fate::Dropped, None, false)]);
    }

    #[test]
    fn jumps_come_back_and_gotos_do_not() {
        let there = || vec![rule(7, vec![end(Verdict::Return)]), rule(8, vec![end(Verdict::Drop)])];
        let after = || rule(2, vec![end(Verdict::Drop)]);
        let jump = rule(1, vec![end(Verdict::Jump("other".to_owned()))]);
        assert_eq!(ends(&ruleset(false, vec![jump, after()], there()), None), [(Fate::Dropped, Some(2), true)]);
        let goto = rule(1, vec![end(Verdict::Goto("other".to_owned()))]);
        assert_eq!(ends(&ruleset(false, vec![goto, after()], there()), None), [(Fate::Accepted, None, true)]);
    }

    #[test]
    fn a_possible_return_makes_uncertain_only_what_is_behind_it_in_its_chain() {
        let [load, is] = port(80);
        let maybe = rule(7, vec![load, is, end(Verdict::Return)]);
        let jump = || rule(1, vec![end(Verdict::Jump("other".to_owned()))]);
        let rules = ruleset(true, vec![jump()], vec![maybe.clone()]);
        assert_eq!(ends(&rules, None), [(Fate::Dropped, None, true)]);
        let rules = ruleset(true, vec![jump()], vec![maybe, rule(8, vec![end(Verdict::Accept)])]);
        assert_eq!(ends(&rules, None), [(Fate::Accepted, Some(8), false), (Fate::Dropped, None, false)]);
    }

    #[test]
    fn an_unknown_instruction_is_a_perhaps_and_a_loop_ends() {
        let odd = vec![Expr::Other("quantum".to_owned()), end(Verdict::Drop)];
        let rules = ruleset(false, vec![rule(1, odd)], vec![]);
        assert_eq!(ends(&rules, None), [(Fate::Dropped, Some(1), false), (Fate::Accepted, None, false)]);
        let rules = ruleset(
            false,
            vec![rule(1, vec![end(Verdict::Jump("other".to_owned()))])],
            vec![rule(2, vec![end(Verdict::Jump("other".to_owned()))])],
        );
        assert_eq!(ends(&rules, None).first().map(|end| end.2), Some(false));
    }
}
