//! What the kernel tells of a packet that is traced (`NFT_MSG_TRACE`, group `NFNLGRP_NFTRACE`).

use std::net::IpAddr;

use crate::message::{Answer, Attribute, Attributes};

const SUBSYSTEM: u16 = 10;
const TRACE: u16 = 17;

/// One thing that happened to a traced packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// The packet's number: the same in all that is told of it in this namespace.
    pub id: u32,
    /// The table's family.
    pub family: u8,
    pub table: String,
    pub chain: String,
    /// The rule; None for a chain's policy.
    pub rule: Option<u64>,
    /// It is the chain's policy.
    pub policy: bool,
    /// `NF_*` or `NFT_*`.
    pub verdict: Option<i32>,
    /// Source of the packet: only in what is told of it first.
    pub source: Option<IpAddr>,
}

impl Event {
    /// The packet is gone.
    pub fn drops(&self) -> bool {
        self.verdict.is_some_and(|verdict| verdict & 0xff == 0)
    }
}

/// Reads an event; None if the message is none.
pub(super) fn decode(answer: &Answer<'_>) -> Option<Event> {
    if answer.kind != SUBSYSTEM << 8 | TRACE {
        return None;
    }
    let (header, found) = answer.split(4)?;
    let text = |kind| found.find(kind).and_then(Attribute::text).unwrap_or_default().to_owned();
    // NFT_TRACETYPE_POLICY, _RETURN, _RULE
    let kind = found.find(4)?.be32()?;
    let code = |found: Attributes<'_>| found.find(1).and_then(Attribute::array).map(i32::from_be_bytes);
    let policy = found.find(16).and_then(Attribute::array).map(i32::from_be_bytes);
    let verdict = found.find(5).map(Attribute::nested).and_then(code);
    Some(Event {
        id: found.find(6)?.be32()?,
        family: *header.first()?,
        table: text(1),
        chain: text(2),
        rule: found.find(3).and_then(Attribute::be64),
        policy: kind == 1,
        verdict: if kind == 1 { policy.or(verdict) } else { verdict },
        source: found.find(8).and_then(|header| source(header.bytes)),
    })
}

/// The source address of an IP header.
fn source(header: &[u8]) -> Option<IpAddr> {
    match header.first()? >> 4 {
        4 => header.get(12..16)?.first_chunk::<4>().copied().map(IpAddr::from),
        6 => header.get(8..24)?.first_chunk::<16>().copied().map(IpAddr::from),
        _ => None,
    }
}
