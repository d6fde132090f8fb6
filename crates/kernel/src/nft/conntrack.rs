//! Connection tracking: forgetting flows that follow old rules.
//!
//! A flow is translated as its first packet was. A UDP client that goes on from the same port would reach the old target of
//! a forward for ever, so flows through a port that changed are deleted; the next packet meets the new rules.

use std::collections::BTreeSet;

use raum_core::host::OpError;
use raum_core::lab::Proto;
use rustix::io::Errno;

use super::rule::proto;
use crate::errno;
use crate::message::{Attribute, Attributes, Requests};
use crate::socket::Socket;

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`
/// (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
/// Deletions in one message to the kernel.
const PART: usize = 256;

/// Forgets all tracked flows of these protocols and original destination ports, of both families.
///
/// # Errors
/// The kernel's refusal. None to forget is no error.
pub fn flush(socket: &mut Socket, wanted: &BTreeSet<(Proto, u16)>) -> Result<(), OpError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut requests = Requests::new();
    // family AF_UNSPEC: both
    requests.request(GET, 0, &[0; 4]);
    let flows = match socket.dump(&mut requests) {
        Err(error) if error.errno == Errno::INVAL.raw_os_error() => {
            let text =
                "the kernel has no CONFIG_NF_CT_NETLINK, without which changed forwards cannot reach flows that go on";
            return Err(errno::error(error.errno, Some(text)));
        }
        flows => flows?,
    };
    requests.clear();
    for answer in flows.answers() {
        let Some((header, flow)) = answer.split(4) else { continue };
        if service(flow).is_none_or(|service| !wanted.contains(&service)) {
            continue;
        }
        let mut request = requests.request(DELETE, 0, header);
        // the number keeps a new flow of the same ends alive
        for kind in [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE] {
            if let Some(part) = flow.find(kind) {
                let nested = if kind == CTA_TUPLE_ORIG { 1 << 15 } else { 0 };
                request.attribute(kind | nested, part.bytes);
            }
        }
        if requests.len() == PART {
            delete(socket, &mut requests)?;
        }
    }
    delete(socket, &mut requests)
}

fn delete(socket: &mut Socket, requests: &mut Requests) -> Result<(), OpError> {
    for outcome in socket.run(requests)? {
        match outcome {
            // it has ended by itself
            Err(error) if error.errno == Errno::NOENT.raw_os_error() => {}
            outcome => outcome?,
        }
    }
    requests.clear();
    Ok(())
}

/// The protocol and destination port of a flow's first packet.
fn service(flow: Attributes<'_>) -> Option<(Proto, u16)> {
    let tuple = flow.find(CTA_TUPLE_ORIG)?.nested().find(CTA_TUPLE_PROTO)?.nested();
    let number = tuple.find(CTA_PROTO_NUM).and_then(Attribute::u8)?;
    Some((proto(number)?, tuple.find(CTA_PROTO_DST_PORT).and_then(Attribute::be16)?))
}
