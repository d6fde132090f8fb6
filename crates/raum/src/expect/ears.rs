//! Raw sockets in each namespace: they hear what a namespace takes in, and speak for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use raum_core::host::OpError;
use raum_core::lab::Proto;
use raum_kernel::errno;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, getsockname, ipproto,
    recvfrom, sendto, socket_with,
};

use super::wire::{Heard, Run, TCP, UDP};

/// Room for what arrives while all the others are being read.
const RECEIVE: usize = 4 << 20;
/// Larger than any probe and than what an ICMP error quotes.
const PACKET: usize = 2048;
/// The discard port (RFC 863): only named to choose a source address, never sent to.
const ANY_PORT: u16 = 9;

/// A raw socket of one protocol in one namespace.
#[derive(Debug)]
pub(super) struct Ear {
    /// Index of the place.
    pub place: usize,
    pub v6: bool,
    /// None for ICMP.
    pub proto: Option<Proto>,
    pub fd: OwnedFd,
}

impl Ear {
    /// Opens one in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel's refusal: no permission for raw sockets, too many open files.
    pub fn open(place: usize, v6: bool, proto: Option<Proto>) -> Result<Self, OpError> {
        let protocol = match (proto, v6) {
            (Some(Proto::Tcp), _) => ipproto::TCP,
            (Some(Proto::Udp), _) => ipproto::UDP,
            // the lab file has no word for it: `raum test` speaks TCP and UDP
            (Some(Proto::Sctp), _) => return Err(errno::at("a raw socket for SCTP", Errno::PROTONOSUPPORT)),
            (None, false) => ipproto::ICMP,
            (None, true) => ipproto::ICMPV6,
        };
        let fd = socket(v6, SocketType::RAW, Some(protocol)).map_err(|cause| errno::at("a raw socket", cause))?;
        // beyond the limit of the host where that is allowed, else up to it
        if set_socket_recv_buffer_size_force(&fd, RECEIVE).is_err() {
            set_socket_recv_buffer_size(&fd, RECEIVE).map_err(|cause| errno::at("a raw socket's buffer", cause))?;
        }
        Ok(Self { place, v6, proto, fd })
    }

    /// Everything that has arrived and is about this run.
    pub fn listen(&self, run: &Run, heard: &mut dyn FnMut(Heard)) {
        let mut buffer = [0; PACKET];
        loop {
            let (length, from) = match recvfrom(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _, Some(from))) => (length, SocketAddr::try_from(from).ok().map(|from| from.ip())),
                Ok(_) | Err(Errno::INTR) => continue,
                // nothing more; an interface that went down is told once and heals
                Err(_) => return,
            };
            let Some(bytes) = buffer.get(..length) else { continue };
            let known = if self.v6 {
                let protocol = match self.proto {
                    Some(Proto::Tcp) => TCP,
                    Some(Proto::Udp) => UDP,
                    Some(Proto::Sctp) => return,
                    None => 58,
                };
                run.hear_v6(protocol, bytes)
            } else {
                run.hear_v4(bytes)
            };
            if let Some(mut known) = known {
                known.from = known.from.or(from);
                heard(known);
            }
        }
    }

    /// Sends what follows the IP header.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn speak(&self, bytes: &[u8], to: IpAddr) -> Result<(), Errno> {
        send(&self.fd, bytes, SocketAddr::new(to, 0))
    }
}

/// What a namespace speaks by besides: a UDP port, a TCP port that is kept from others, and the kernel's choice of a source.
#[derive(Debug)]
pub(super) struct Mouth {
    pub place: usize,
    pub v6: bool,
    udp: OwnedFd,
    /// Kept open and unused: an answer to a SYN meets no socket, and the kernel resets the connection.
    _reserved: OwnedFd,
    reserved_port: u16,
    chooser: OwnedFd,
}

impl Mouth {
    /// In the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn open(place: usize, v6: bool) -> Result<Self, OpError> {
        let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let make = || -> Result<Self, Errno> {
            let udp = socket(v6, SocketType::DGRAM, None)?;
            bind(&udp, &SocketAddr::new(any, 0))?;
            let reserved = socket(v6, SocketType::STREAM, None)?;
            bind(&reserved, &SocketAddr::new(any, 0))?;
            let reserved_port = SocketAddr::try_from(getsockname(&reserved)?)?.port();
            let chooser = socket(v6, SocketType::DGRAM, None)?;
            Ok(Self { place, v6, udp, _reserved: reserved, reserved_port, chooser })
        };
        make().map_err(|cause| errno::at("sockets to send from", cause))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn datagram(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Errno> {
        send(&self.udp, bytes, to)
    }

    /// The address and port that a SYN to there has.
    ///
    /// # Errors
    /// There is no way to there.
    pub fn source(&self, to: IpAddr) -> Result<(IpAddr, u16), Errno> {
        connect(&self.chooser, &SocketAddr::new(to, ANY_PORT))?;
        let own = SocketAddr::try_from(getsockname(&self.chooser)?)?;
        Ok((own.ip(), self.reserved_port))
    }
}

/// A socket that never waits, in the calling thread's namespace.
pub(super) fn socket(v6: bool, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd, Errno> {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)
}

/// Sends, whatever signals come.
pub(super) fn send(fd: &OwnedFd, bytes: &[u8], to: SocketAddr) -> Result<(), Errno> {
    // an ICMP error about an earlier packet is told by the next call: that says nothing about this one
    for _ in 0..3 {
        match sendto(fd, bytes, SendFlags::empty(), &to) {
            Err(Errno::INTR | Errno::CONNREFUSED) => {}
            other => return other.map(drop),
        }
    }
    Ok(())
}
