//! The machine that runs a rule's instructions, on registers of which each byte is known or not.

use std::net::IpAddr;

use super::condition::matches;
use super::eval::{Fate, Nat};
use super::expr::{Comparison, Expr, Register, Verdict};
use super::packet::{DNATTED, NEW, Packet};
use super::set::{Data, Set};
use super::xt::{self, Action};
use super::{Rule, Table};

/// Yes, no, or None: perhaps.
pub(super) type Answer = Option<bool>;

/// What a rule leads to when its conditions hold.
pub(super) enum Effect {
    Nothing,
    Fate(Fate),
    Verdict(Verdict),
    /// One of these.
    Any(Vec<Verdict>),
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
pub(super) fn run(rule: &Rule, table: &Table, packet: &mut Packet) -> (Answer, Effect) {
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
