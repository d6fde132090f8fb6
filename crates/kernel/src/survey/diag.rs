//! Listening sockets, as `ss` asks for them: sock_diag(7), include/uapi/linux/inet_diag.h.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use raum_core::host::OpError;
use raum_core::lab::Proto;
use rustix::io::Errno;

use crate::address::{AF_INET, AF_INET6, ip};
use crate::message::{Answer, Attribute, Requests};
use crate::socket::{Protocol, Socket};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const REQUEST: usize = 56;
const MESSAGE: usize = 72;
const INET_DIAG_SKV6ONLY: u16 = 11;
/// `TCP_LISTEN`, and for UDP `TCP_CLOSE`: bound, and not connected to somebody.
const LISTEN: u32 = 1 << 10;
const UNCONNECTED: u32 = 1 << 7;

/// TCP and UDP ports that somebody listens on in the calling thread's namespace. A socket for all addresses of both
/// families is there once for each.
///
/// # Errors
/// The kernel's refusal. One without sock_diag for a protocol tells of no listeners.
pub(super) fn listening() -> Result<BTreeSet<(Proto, IpAddr, u16)>, OpError> {
    let mut socket = match Socket::open(Protocol::SocketDiagnosis) {
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => return Ok(BTreeSet::new()),
        socket => socket?,
    };
    let mut found = BTreeSet::new();
    for family in [AF_INET, AF_INET6] {
        for (proto, number, states) in [(Proto::Tcp, 6, LISTEN), (Proto::Udp, 17, UNCONNECTED)] {
            let mut header = [0; REQUEST];
            header[0] = family;
            header[1] = number;
            header[4..8].copy_from_slice(&states.to_ne_bytes());
            let mut requests = Requests::new();
            requests.request(SOCK_DIAG_BY_FAMILY, 0, &header);
            let reply = match socket.dump(&mut requests) {
                // tcp_diag or udp_diag is a module that is not there
                Err(error) if error.errno == Errno::NOENT.raw_os_error() => continue,
                reply => reply?,
            };
            for (address, port, both) in reply.answers().filter_map(|answer| decode(&answer)) {
                found.insert((proto, address, port));
                if both {
                    found.insert((proto, Ipv4Addr::UNSPECIFIED.into(), port));
                }
            }
        }
    }
    Ok(found)
}

/// Address, port, and whether an IPv6 socket takes IPv4 as well.
pub(super) fn decode(answer: &Answer<'_>) -> Option<(IpAddr, u16, bool)> {
    let (message, attributes) = answer.split(MESSAGE)?;
    let family = *message.first()?;
    // inet_diag_sockid: source port and destination port in network byte order, then the addresses
    let port = u16::from_be_bytes(*message.get(4..)?.first_chunk()?);
    let address = ip(family, message.get(8..24)?)?;
    let only_v6 = attributes.find(INET_DIAG_SKV6ONLY).and_then(Attribute::u8) != Some(0);
    Some((address, port, address.is_ipv6() && address.is_unspecified() && !only_v6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_no_listener() {
        for length in 0..100 {
            for byte in [0, 1, 0xff] {
                let body = vec![byte; length];
                let read = decode(&Answer { kind: SOCK_DIAG_BY_FAMILY, flags: 0, sequence: 0, body: &body });
                assert_eq!(read, None, "{length} times {byte}");
            }
        }
    }
}
