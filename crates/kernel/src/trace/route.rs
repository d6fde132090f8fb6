//! Which way a packet goes: the kernel's own decision (`RTM_GETROUTE`), and the route behind it.

use raum_core::host::OpError;
use raum_core::trace::{Choice, Flow, Proto, Question};

use super::octets;
use crate::errno;
use crate::message::{Answer, Attribute, Requests};
use crate::scene::route::{self, Names};
use crate::scene::{AF_INET, AF_INET6, ip};
use crate::socket::Socket;

const RTM_GETROUTE: u16 = 26;
/// Say which table the answer is from; answer with the route itself.
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;
const RTM_F_FIB_MATCH: u32 = 0x2000;
/// RTA_*
const DST: u16 = 1;
const SRC: u16 = 2;
const IIF: u16 = 3;
const OIF: u16 = 4;
const PREFSRC: u16 = 7;
const MARK: u16 = 16;
const IP_PROTO: u16 = 27;
const SPORT: u16 = 28;
const DPORT: u16 = 29;

/// Asks for the way of a packet that comes in by an interface, or is made here.
pub(super) fn ask(
    socket: &mut Socket,
    question: &Question,
    input: Option<u32>,
    names: &Names,
) -> Result<Choice, OpError> {
    let mut requests = Requests::new();
    // IPv6 tells the table unasked, and takes no such flag
    let table = if question.flow.v6() { 0 } else { RTM_F_LOOKUP_TABLE };
    for flags in [table, table | RTM_F_FIB_MATCH] {
        write(&mut requests, &question.flow, input, question.mark, flags);
    }
    let (reply, outcomes) = socket.ask(&mut requests)?;
    let mut outcomes = outcomes.into_iter();
    outcomes.next().unwrap_or(Ok(()))?;
    let first = requests.first_sequence();
    let at = |wanted: u32| reply.answers().find(move |answer| answer.sequence.wrapping_sub(first) == wanted);
    let found = at(0).and_then(|answer| decode(&answer, names));
    let mut choice = found.ok_or_else(|| errno::refused("the kernel's answer about a route cannot be read"))?;
    if let Some(route) = at(1).and_then(|answer| route::decode(&answer, names)) {
        choice.table.clone_from(&route.table);
        choice.route = route.to_string();
    }
    Ok(choice)
}

fn write(requests: &mut Requests, flow: &Flow, input: Option<u32>, mark: u32, flags: u32) {
    let v6 = flow.v6();
    let bits = if v6 { 128 } else { 32 };
    let mut header = [if v6 { AF_INET6 } else { AF_INET }, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[2] = if flow.source.is_some() { bits } else { 0 };
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    let mut request = requests.request(RTM_GETROUTE, 0, &header);
    request.attribute(DST, &octets(flow.destination));
    if let Some(source) = flow.source {
        request.attribute(SRC, &octets(source));
    }
    if let Some(index) = input {
        request.u32(IIF, index);
    }
    if mark != 0 {
        request.u32(MARK, mark);
    }
    request.u8(IP_PROTO, flow.proto.number(v6));
    if flow.proto != Proto::Icmp {
        for (kind, port) in [(SPORT, flow.source_port), (DPORT, flow.port)] {
            if let Some(port) = port {
                request.be16(kind, port);
            }
        }
    }
}

/// Reads the answer; None if the message is none.
pub(super) fn decode(answer: &Answer<'_>, names: &Names) -> Option<Choice> {
    let (header, attributes) = answer.split(12)?;
    let kind = match header.get(7)? {
        1 => "unicast",
        2 => "local",
        3 => "broadcast",
        5 => "multicast",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        _ => "other",
    };
    let device = |index: u32| names.get(&index).cloned().unwrap_or_else(|| index.to_string());
    let dev = attributes.find(OIF).and_then(Attribute::u32).map(device);
    let via = route::gateway(attributes);
    let source = attributes.find(PREFSRC).and_then(ip);
    let to = attributes.find(DST).and_then(ip).map(|ip| ip.to_string()).unwrap_or_default();
    let via_text = via.map(|via| format!(" via {via}")).unwrap_or_default();
    let dev_text = dev.as_ref().map(|dev| format!(" dev {dev}")).unwrap_or_default();
    let route = format!("{to}{via_text}{dev_text}");
    Some(Choice { kind: kind.to_owned(), dev, via, source, table: String::new(), route })
}
