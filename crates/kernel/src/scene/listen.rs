//! Who listens in a namespace, as `ss` asks for it: sock_diag(7), include/uapi/linux/inet_diag.h.

use raum_core::host::OpError;
use raum_core::lab::Proto;
use raum_core::view::Listener;
use rustix::io::Errno;

use super::route::Names;
use super::{AF_INET, AF_INET6};
use crate::address::ip;
use crate::message::{Answer, Attribute, Requests, u32_at};
use crate::socket::{Protocol, Socket};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const REQUEST: usize = 56;
const MESSAGE: usize = 72;
const INET_DIAG_SKV6ONLY: u16 = 11;
/// `TCP_LISTEN`, and for UDP `TCP_CLOSE`: bound, and not connected to somebody.
const LISTEN: u32 = 1 << 10;
const UNCONNECTED: u32 = 1 << 7;

/// Listeners of the calling thread's namespace, each with the inode of its socket.
///
/// # Errors
/// The kernel's refusal. One without sock_diag for a protocol tells of no listeners.
pub(crate) fn list(names: &Names) -> Result<Vec<(Listener, u64)>, OpError> {
    let mut socket = match Socket::open(Protocol::SocketDiagnosis) {
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => return Ok(Vec::new()),
        socket => socket?,
    };
    let mut found = Vec::new();
    for (proto, number, states) in [(Proto::Tcp, 6, LISTEN), (Proto::Udp, 17, UNCONNECTED)] {
        for family in [AF_INET, AF_INET6] {
            let mut header = [0; REQUEST];
            header[0] = family;
            header[1] = number;
            header[4..8].copy_from_slice(&states.to_ne_bytes());
            let mut requests = Requests::new();
            requests.request(SOCK_DIAG_BY_FAMILY, 0, &header);
            match socket.dump(&mut requests) {
                // tcp_diag or udp_diag is a module that is not there
                Err(error) if error.errno == Errno::NOENT.raw_os_error() => {}
                reply => found.extend(reply?.answers().filter_map(|answer| decode(&answer, proto, names))),
            }
        }
    }
    found.sort_by_key(|(listener, inode)| (listener.proto, listener.port, listener.address, *inode));
    Ok(found)
}

/// Reads a socket: `struct inet_diag_msg` is family, state, timer, retransmits; ports, addresses, interface and cookie; then
/// expiry, queues, user and inode.
pub(super) fn decode(answer: &Answer<'_>, proto: Proto, names: &Names) -> Option<(Listener, u64)> {
    let (message, attributes) = answer.split(MESSAGE)?;
    let family = *message.first()?;
    let port = u16::from_be_bytes(*message.get(4..)?.first_chunk()?);
    let address = ip(family, message.get(8..24)?)?;
    let only_v6 = attributes.find(INET_DIAG_SKV6ONLY).and_then(Attribute::u8) != Some(0);
    let device = |index: u32| names.get(&index).cloned().unwrap_or_else(|| index.to_string());
    let listener = Listener {
        proto,
        address,
        port,
        both: address.is_ipv6() && address.is_unspecified() && !only_v6,
        interface: u32_at(message, 40).filter(|index| *index != 0).map(device),
        uid: u32_at(message, 64)?,
        holders: Vec::new(),
    };
    Some((listener, u64::from(u32_at(message, 68)?)))
}
