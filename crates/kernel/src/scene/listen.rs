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
/// `TCP_LISTEN`, which SCTP has too, and for UDP `TCP_CLOSE`: bound, and not connected to somebody.
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
    for (proto, number, states) in [(Proto::Tcp, 6, LISTEN), (Proto::Udp, 17, UNCONNECTED), (Proto::Sctp, 132, LISTEN)]
    {
        for family in [AF_INET, AF_INET6] {
            let mut header = [0; REQUEST];
            header[0] = family;
            header[1] = number;
            header[4..8].copy_from_slice(&states.to_ne_bytes());
            let mut requests = Requests::new();
            requests.request(SOCK_DIAG_BY_FAMILY, 0, &header);
            match socket.dump(&mut requests) {
                // tcp_diag or udp_diag is a module that is not there; nor is sctp_diag while nobody has used SCTP
                Err(error) if error.errno == Errno::NOENT.raw_os_error() => {}
                reply => {
                    let reply = reply?;
                    let meant = reply.answers().filter(|answer| is_in(answer, states));
                    found.extend(meant.filter_map(|answer| decode(&answer, proto, names)));
                }
            }
        }
    }
    found.sort_by_key(|(listener, inode)| (listener.proto, listener.port, listener.address, *inode));
    Ok(found)
}

/// Is a socket in one of these states? Of SCTP the kernel shows those that are bound only, too (`sctp_ep_dump`,
/// net/sctp/diag.c).
fn is_in(answer: &Answer<'_>, states: u32) -> bool {
    let state = answer.split(MESSAGE).and_then(|(message, _)| message.get(1).copied());
    state.and_then(|state| states.checked_shr(state.into())).is_some_and(|states| states & 1 == 1)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// `struct inet_diag_msg` of an IPv4 socket in a state, at 0.0.0.0:3868.
    fn socket(state: u8) -> Vec<u8> {
        let mut message = vec![0; MESSAGE];
        message[..2].copy_from_slice(&[AF_INET, state]);
        message[4..6].copy_from_slice(&3868_u16.to_be_bytes());
        message
    }

    #[test]
    fn what_is_only_bound_listens_in_udp_alone() {
        for (state, listens, receives) in [(10, true, false), (7, false, true), (1, false, false), (255, false, false)]
        {
            let body = socket(state);
            let answer = Answer { kind: SOCK_DIAG_BY_FAMILY, flags: 0, sequence: 1, body: &body };
            assert_eq!((is_in(&answer, LISTEN), is_in(&answer, UNCONNECTED)), (listens, receives), "{state}");
            let (listener, _) = decode(&answer, Proto::Sctp, &Names::new()).expect("a socket");
            assert_eq!((listener.proto, listener.port), (Proto::Sctp, 3868));
        }
        let cut = Answer { kind: SOCK_DIAG_BY_FAMILY, flags: 0, sequence: 1, body: &[AF_INET, 10] };
        assert!(!is_in(&cut, LISTEN));
    }

    /// SCTP sockets are a module that many kernels come without: then nobody listens, and that is no error.
    #[test]
    fn who_listens_on_sctp_is_told_where_the_kernel_has_it() {
        use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, ipproto, listen, socket};
        crate::sandbox::run(|| {
            let made = || socket(AddressFamily::INET, SocketType::SEQPACKET, Some(ipproto::SCTP));
            let ports = || -> Vec<u16> {
                let all = list(&Names::new()).expect("listeners");
                all.into_iter().filter(|(one, _)| one.proto == Proto::Sctp).map(|(one, _)| one.port).collect()
            };
            assert_eq!(ports(), [0_u16; 0]);
            let (Ok(ear), Ok(mute)) = (made(), made()) else { return println!("this kernel has no SCTP sockets") };
            for (socket, port) in [(&ear, 3868), (&mute, 3869)] {
                bind(socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)).expect("a port");
            }
            listen(&ear, 1).expect("a listener");
            assert_eq!(ports(), [3868]);
        });
    }
}
