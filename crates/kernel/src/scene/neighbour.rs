//! Neighbours, and what bridges have learned. Numbers are from include/uapi/linux/neighbour.h.

use raum_core::host::OpError;
use raum_core::name::Mac;
use raum_core::view::{Forwarding, Neighbour};

use super::route::Names;
use super::{AF_INET, AF_INET6, dump, ip};
use crate::message::{Answer, Attribute, i32_at, u16_at};
use crate::socket::Socket;

const RTM_GETNEIGH: u16 = 30;
/// `PF_BRIDGE`: the forwarding tables of bridges instead of neighbours.
const PF_BRIDGE: u8 = 7;
const NUD_REACHABLE: u16 = 0x02;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
const NTF_ROUTER: u8 = 0x80;
const NTF_EXT_LEARNED: u8 = 0x10;

/// Lists the ARP and ND tables.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn list(socket: &mut Socket, names: &Names) -> Result<Vec<Neighbour>, OpError> {
    let mut neighbours = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let reply = dump(socket, RTM_GETNEIGH, &ndmsg(family))?;
        neighbours.extend(reply.answers().filter_map(|answer| decode(&answer, names)));
    }
    neighbours.sort_by(|a, b| (&a.dev, a.address).cmp(&(&b.dev, b.address)));
    Ok(neighbours)
}

/// Lists the forwarding tables of all bridges.
///
/// # Errors
/// The kernel's refusal.
pub(super) fn forwarding(socket: &mut Socket, names: &Names) -> Result<Vec<Forwarding>, OpError> {
    let reply = dump(socket, RTM_GETNEIGH, &ndmsg(PF_BRIDGE))?;
    let mut all: Vec<Forwarding> = reply.answers().filter_map(|answer| decode_forwarding(&answer, names)).collect();
    all.sort_by(|a, b| (&a.bridge, &a.port, a.mac, a.vlan).cmp(&(&b.bridge, &b.port, b.mac, b.vlan)));
    Ok(all)
}

/// `struct ndmsg`: family, padding, index, state, flags, type.
fn ndmsg(family: u8) -> [u8; 12] {
    [family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Reads a neighbour; None if the message is none, or one that nobody ever resolved: multicast, broadcast, loopback.
pub(crate) fn decode(answer: &Answer<'_>, names: &Names) -> Option<Neighbour> {
    let (header, attributes) = answer.split(12)?;
    let state = match u16_at(header, 8)? {
        0x01 => "incomplete",
        NUD_REACHABLE => "reachable",
        0x04 => "stale",
        0x08 => "delay",
        0x10 => "probe",
        0x20 => "failed",
        NUD_PERMANENT => "permanent",
        _ => return None,
    };
    let index = u32::try_from(i32_at(header, 4)?).ok()?;
    Some(Neighbour {
        address: ip(attributes.find(1)?)?,
        mac: attributes.find(2).and_then(Attribute::array).map(Mac),
        dev: names.get(&index).cloned().unwrap_or_else(|| index.to_string()),
        state: state.to_owned(),
        router: header.get(10)? & NTF_ROUTER != 0,
    })
}

/// Reads an entry of a bridge's table. None for the multicast filters of single interfaces, which come in the same list.
pub(super) fn decode_forwarding(answer: &Answer<'_>, names: &Names) -> Option<Forwarding> {
    let (header, attributes) = answer.split(12)?;
    if *header.first()? != PF_BRIDGE {
        return None;
    }
    // NDA_MASTER: of a bridge, by the index of that
    let bridge = names.get(&attributes.find(9)?.u32()?)?.clone();
    let index = u32::try_from(i32_at(header, 4)?).ok()?;
    let (state, flags) = (u16_at(header, 8)?, *header.get(10)?);
    let state = match state {
        state if state & NUD_PERMANENT != 0 => "permanent",
        state if state & NUD_NOARP != 0 => "static",
        _ if flags & NTF_EXT_LEARNED != 0 => "offload",
        _ => "learned",
    };
    Some(Forwarding {
        bridge,
        mac: Mac(attributes.find(2)?.array()?),
        port: names.get(&index).cloned().unwrap_or_else(|| index.to_string()),
        vlan: attributes.find(5).and_then(Attribute::u16),
        state: state.to_owned(),
    })
}
