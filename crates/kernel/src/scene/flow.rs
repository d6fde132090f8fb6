//! Tracked connections with what went through them, by conntrack's netlink (include/uapi/linux/netfilter/
//! nfnetlink_conntrack.h).

use std::net::{IpAddr, SocketAddr};

use raum_core::host::OpError;
use raum_core::view::Flow;
use rustix::io::Errno;

use super::ip;
use crate::message::{Answer, Attribute, Attributes, Requests};
use crate::socket::{Protocol, Socket};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_COUNTERS_ORIG: u16 = 9;
const CTA_COUNTERS_REPLY: u16 = 10;
const CTA_ID: u16 = 12;

/// Lists the connections of the calling thread's namespace. A kernel that tracks none has none.
///
/// # Errors
/// The kernel's refusal.
pub(super) fn list() -> Result<Vec<Flow>, OpError> {
    let mut socket = match Socket::open(Protocol::Netfilter) {
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => return Ok(Vec::new()),
        socket => socket?,
    };
    let mut requests = Requests::new();
    // family AF_UNSPEC: both
    requests.request(GET, 0, &[0; 4]);
    match socket.dump(&mut requests) {
        // nf_conntrack_netlink is not there
        Err(error) if error.errno == Errno::INVAL.raw_os_error() => Ok(Vec::new()),
        reply => Ok(reply?.answers().filter_map(|answer| decode(&answer)).collect()),
    }
}

/// Reads a connection.
pub(super) fn decode(answer: &Answer<'_>) -> Option<Flow> {
    let (_, flow) = answer.split(4)?;
    let (proto, from, to) = tuple(flow.find(CTA_TUPLE_ORIG)?.nested())?;
    let reply = flow.find(CTA_TUPLE_REPLY).and_then(|reply| tuple(reply.nested()));
    let answered_by = reply.map(|(_, answerer, _)| answerer).filter(|answerer| *answerer != to);
    let bytes = |kind| flow.find(kind).and_then(|counters| counters.nested().find(2)).and_then(Attribute::be64);
    let both = match (bytes(CTA_COUNTERS_ORIG), bytes(CTA_COUNTERS_REPLY)) {
        (None, None) => None,
        (there, back) => Some(there.unwrap_or(0).saturating_add(back.unwrap_or(0))),
    };
    Some(Flow { id: flow.find(CTA_ID)?.be32()?, proto, from, to, answered_by, bytes: both })
}

/// `CTA_TUPLE_IP` 1 and `CTA_TUPLE_PROTO` 2.
fn tuple(tuple: Attributes<'_>) -> Option<(u8, SocketAddr, SocketAddr)> {
    let addresses = tuple.find(1)?.nested();
    let address = |v4, v6| -> Option<IpAddr> { addresses.find(v4).or_else(|| addresses.find(v6)).and_then(ip) };
    let proto = tuple.find(2)?.nested();
    let port = |kind| proto.find(kind).and_then(Attribute::be16).unwrap_or(0);
    let from = SocketAddr::new(address(1, 3)?, port(2));
    let to = SocketAddr::new(address(2, 4)?, port(3));
    Some((proto.find(1)?.u8()?, from, to))
}
