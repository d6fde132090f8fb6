//! A table that makes the kernel tell what becomes of one packet: `meta nftrace set 1` for exactly that, before all other
//! rules, and empty chains behind them, so that each hook says that the packet has passed it.
//!
//! The table belongs to its socket (`NFT_TABLE_F_OWNER`): when that is closed, by whatever end of this process, the kernel
//! removes the table. Nothing is left behind even after SIGKILL.

use raum_core::host::OpError;
use raum_core::trace::{Flow, Proto};

use super::octets;
use crate::message::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, Request, Requests};
use crate::socket::{Protocol, Socket};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NFT_TABLE_F_OWNER`: [`crate::release::OWNED_TABLES`].
const OWNER: u32 = 2;
/// The chains: name, hook, priority. Those that mark come before `raw`, the others behind everything.
const CHAINS: [(&str, u32, i32); 5] =
    [("prerouting", 0, -500), ("output", 3, -500), ("input", 1, 500), ("forward", 2, 500), ("postrouting", 4, 500)];
/// Chains that mark.
const MARKING: [&str; 2] = ["prerouting", "output"];

/// The table, as long as its socket lives.
pub(super) struct Tap {
    /// Keeps the table there.
    _socket: Socket,
    pub name: String,
}

/// Puts the table into the calling thread's namespace, with a rule for each packet that is to be watched.
///
/// # Errors
/// The kernel's refusal: no nf_tables, no permission, a kernel before 5.12.
pub(super) fn tap(packets: &[Flow]) -> Result<Tap, OpError> {
    let name = format!("raum-trace-{}", std::process::id());
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let mut requests = Requests::new();
    let [high, low] = SUBSYSTEM.to_be_bytes();
    requests.request(BATCH_BEGIN, 0, &[0, 0, high, low]);
    message(&mut requests, NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, &name).be32(2, OWNER);
    for (chain, hook, priority) in CHAINS {
        let mut request = message(&mut requests, NEW_CHAIN, NLM_F_CREATE, &name);
        request.text(3, chain).text(7, "filter").be32(5, 1).nest(4, |nest| {
            nest.be32(1, hook).attribute(2, &priority.to_be_bytes());
        });
    }
    for chain in MARKING {
        for flow in packets {
            let mut request = message(&mut requests, NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, &name);
            request.text(2, chain).nest(4, |list| rule(list, flow));
        }
    }
    requests.request(BATCH_END, 0, &[0, 0, high, low]);
    socket.transact(&mut requests).map_err(|(_, error)| error)?;
    Ok(Tap { _socket: socket, name })
}

fn message<'r>(requests: &'r mut Requests, kind: u16, flags: u16, table: &str) -> Request<'r> {
    let mut request = requests.request(SUBSYSTEM << 8 | kind, flags, &[INET, 0, 0, 0]);
    request.text(1, table);
    request
}

/// The register that is used for everything, and the data in it.
const REGISTER: u32 = 1;

fn expr(list: &mut Request<'_>, name: &str, fill: impl FnOnce(&mut Request<'_>)) {
    list.nest(1, |element| {
        element.text(1, name).nest(2, fill);
    });
}

fn equal(list: &mut Request<'_>, data: &[u8]) {
    expr(list, "cmp", |cmp| {
        cmp.be32(1, REGISTER).be32(2, 0).nest(3, |value| {
            value.attribute(1, data);
        });
    });
}

fn meta(list: &mut Request<'_>, key: u32) {
    expr(list, "meta", |meta| {
        meta.be32(2, key).be32(1, REGISTER);
    });
}

fn payload(list: &mut Request<'_>, base: u32, offset: u32, length: u32) {
    expr(list, "payload", |payload| {
        payload.be32(1, REGISTER).be32(2, base).be32(3, offset).be32(4, length);
    });
}

/// Exactly this packet: family, protocol, addresses, ports or identifier; then `meta nftrace set 1`.
fn rule(list: &mut Request<'_>, flow: &Flow) {
    let v6 = flow.v6();
    meta(list, 15);
    equal(list, &[if v6 { 10 } else { 2 }]);
    meta(list, 16);
    equal(list, &[flow.proto.number(v6)]);
    let (source, destination, length) = if v6 { (8, 24, 16) } else { (12, 16, 4) };
    if let Some(ip) = flow.source {
        payload(list, 1, source, length);
        equal(list, &octets(ip));
    }
    payload(list, 1, destination, length);
    equal(list, &octets(flow.destination));
    match (flow.proto, flow.source_port, flow.port) {
        // the identifier of an echo, which the answer has, too: RFC 792, RFC 4443
        (Proto::Icmp, Some(id), _) | (Proto::Icmp, None, Some(id)) => {
            payload(list, 2, 4, 2);
            equal(list, &id.to_be_bytes());
        }
        (Proto::Icmp, None, None) => {}
        (_, source, destination) => {
            for (offset, port) in [(0, source), (2, destination)] {
                if let Some(port) = port {
                    payload(list, 2, offset, 2);
                    equal(list, &port.to_be_bytes());
                }
            }
        }
    }
    expr(list, "immediate", |immediate| {
        immediate.be32(1, REGISTER).nest(2, |data| {
            data.attribute(1, &[1]);
        });
    });
    expr(list, "meta", |set| {
        set.be32(2, 12).be32(3, REGISTER);
    });
}
