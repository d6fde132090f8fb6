//! Does a packet match a condition of iptables?

use super::machine::Answer;
use super::packet::Packet;
use super::xt::Condition;

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

pub(super) fn matches(condition: &Condition, packet: &Packet) -> Answer {
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
