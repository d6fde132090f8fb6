//! One real packet, and what comes back.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use raum_core::host::OpError;
use raum_core::trace::{Proto, Reply};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, getsockname, ipproto, recvfrom, send,
    sendto, socket_with,
};

use crate::errno;
use crate::namespace::in_namespace;

/// A socket in the sending namespace, with the port (of ICMP the identifier) that the packet will come from.
pub struct Sender {
    fd: OwnedFd,
    proto: Proto,
    v6: bool,
    /// The port or identifier.
    pub port: u16,
}

impl Sender {
    /// Opens it in a namespace; nothing is sent yet.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW` for ICMP; EAFNOSUPPORT without IPv6.
    pub fn open(namespace: BorrowedFd<'_>, proto: Proto, v6: bool) -> Result<Self, OpError> {
        in_namespace(namespace, || Self::open_here(proto, v6))?
            .map_err(|cause| errno::at("a socket to send from", cause))
    }

    fn open_here(proto: Proto, v6: bool) -> Result<Self, Errno> {
        let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let (kind, protocol) = match proto {
            Proto::Icmp => (SocketType::RAW, Some(if v6 { ipproto::ICMPV6 } else { ipproto::ICMP })),
            Proto::Tcp => (SocketType::STREAM, None),
            Proto::Udp => (SocketType::DGRAM, None),
        };
        let fd = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)?;
        let port = if proto == Proto::Icmp {
            // std seeds its hash maps from the kernel's random numbers
            u16::try_from(RandomState::new().hash_one(()) & 0xffff).unwrap_or(1)
        } else {
            let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
            bind(&fd, &SocketAddr::new(any, 0))?;
            SocketAddr::try_from(getsockname(&fd)?)?.port()
        };
        Ok(Self { fd, proto, v6, port })
    }

    /// Sends, and waits for an answer so long at most.
    pub fn send(&self, to: SocketAddr, wait: Duration) -> Reply {
        let sent = match self.proto {
            Proto::Icmp => sendto(&self.fd, &self.echo(), SendFlags::empty(), &SocketAddr::new(to.ip(), 0)).map(drop),
            Proto::Tcp => connect(&self.fd, &to),
            Proto::Udp => {
                connect(&self.fd, &to).and_then(|()| send(&self.fd, b"raum trace\n", SendFlags::empty()).map(drop))
            }
        };
        match sent {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(Errno::CONNREFUSED) => return Reply::Closed,
            Err(cause) => return Reply::Refused(errno::error(cause.raw_os_error(), None).words()),
        }
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(most) = Timespec::try_from(left) else { return Reply::Silence };
            let wanted = if self.proto == Proto::Tcp { PollFlags::OUT } else { PollFlags::IN };
            match poll(&mut [PollFd::new(&self.fd, wanted)], Some(&most)) {
                Ok(0) => return Reply::Silence,
                Err(Errno::INTR) => {}
                Err(cause) => return Reply::Refused(errno::error(cause.raw_os_error(), None).words()),
                Ok(_) => {
                    if let Some(reply) = self.read(to.ip()) {
                        return reply;
                    }
                }
            }
            if left.is_zero() {
                return Reply::Silence;
            }
        }
    }

    /// What has come; None if it is not about this packet.
    fn read(&self, to: IpAddr) -> Option<Reply> {
        let failed = |cause: Errno| match cause {
            Errno::CONNREFUSED => Some(Reply::Closed),
            Errno::AGAIN | Errno::INTR => None,
            other => Some(Reply::Unreachable(errno::error(other.raw_os_error(), None).words())),
        };
        match self.proto {
            Proto::Tcp => match socket_error(&self.fd) {
                Ok(Ok(())) => Some(Reply::Answered),
                Ok(Err(cause)) | Err(cause) => failed(cause),
            },
            Proto::Udp | Proto::Icmp => {
                let mut buffer = [0u8; 2048];
                match recvfrom(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                    Err(cause) => failed(cause),
                    Ok(_) if self.proto == Proto::Udp => Some(Reply::Answered),
                    Ok((length, _, from)) => {
                        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).map(|from| from.ip());
                        self.icmp(buffer.get(..length)?, from?, to)
                    }
                }
            }
        }
    }

    /// An echo request: type, code, checksum, identifier, number; a few bytes. The kernel writes the checksum of ICMPv6.
    fn echo(&self) -> Vec<u8> {
        let [high, low] = self.port.to_be_bytes();
        let mut message = vec![if self.v6 { 128 } else { 8 }, 0, 0, 0, high, low, 0, 1];
        message.extend(b"raum trace\n\0");
        if !self.v6 {
            let [high, low] = checksum(&message).to_be_bytes();
            (message[2], message[3]) = (high, low);
        }
        message
    }

    /// An ICMP message: ours, answered or refused?
    fn icmp(&self, packet: &[u8], from: IpAddr, to: IpAddr) -> Option<Reply> {
        let message = if self.v6 { packet } else { packet.get(header_length(packet)?..)? };
        let (reply, unreachable, exceeded) = if self.v6 { (129, 1, 3) } else { (0, 3, 11) };
        let kind = *message.first()?;
        if kind == reply {
            let id = u16::from_be_bytes(*message.get(4..)?.first_chunk()?);
            return (id == self.port && from == to).then_some(Reply::Answered);
        }
        if kind != unreachable && kind != exceeded {
            return None;
        }
        // the packet that failed follows: its IP header, and the identifier of the echo
        let quoted = message.get(8..)?;
        let inner = quoted.get(if self.v6 { 40 } else { header_length(quoted)? }..)?;
        let id = u16::from_be_bytes(*inner.get(4..)?.first_chunk()?);
        let why = if kind == exceeded { "its time to live ran out" } else { "it is unreachable" };
        (id == self.port)
            .then(|| Reply::Unreachable(format!("{from} says that {why} (code {})", message.get(1).unwrap_or(&0))))
    }
}

/// Of an IPv4 packet.
fn header_length(packet: &[u8]) -> Option<usize> {
    Some(usize::from(packet.first()? & 0xf) * 4)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
