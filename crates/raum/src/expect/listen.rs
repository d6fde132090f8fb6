//! raum's own listeners in the receiving namespaces, where no program listens: they answer each probe with its mark.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use raum_core::lab::Proto;
use rustix::io::{Errno, read, write};
use rustix::net::sockopt::{set_ip_freebind, set_ipv6_freebind, set_socket_reuseaddr};
use rustix::net::{RecvFlags, SocketFlags, SocketType, accept_with, bind, listen, recvfrom};

use super::ears::{send, socket};
use super::wire::{MARK, Run};

/// Connections that the kernel keeps for us to accept.
const BACKLOG: i32 = 1024;

/// Where raum listens, or found somebody who does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// Index of the place.
    pub place: usize,
    pub proto: Proto,
    pub address: SocketAddr,
}

/// A socket of raum's own.
#[derive(Debug)]
pub(super) struct Listener {
    pub spot: Spot,
    pub fd: OwnedFd,
}

/// A connection that was accepted.
#[derive(Debug)]
pub(super) struct Connection {
    pub spot: Spot,
    pub peer: IpAddr,
    pub fd: OwnedFd,
    got: Vec<u8>,
}

/// A probe that came to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivered {
    pub trial: u32,
    pub spot: Spot,
    pub from: IpAddr,
}

impl Listener {
    /// Listens, in the calling thread's namespace; None if somebody does already.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn open(spot: Spot) -> Result<Option<Self>, Errno> {
        let v6 = spot.address.is_ipv6();
        let kind = match spot.proto {
            Proto::Tcp => SocketType::STREAM,
            Proto::Udp => SocketType::DGRAM,
            Proto::Sctp => return Err(Errno::PROTONOSUPPORT),
        };
        let fd = socket(v6, kind, None)?;
        // an address that is missing is found out by what does not arrive at it
        if v6 {
            set_ipv6_freebind(&fd, true)?;
        } else {
            set_ip_freebind(&fd, true)?;
        }
        if spot.proto == Proto::Tcp {
            // connections of an earlier run that are being forgotten; who listens is in the way all the same
            set_socket_reuseaddr(&fd, true)?;
        }
        match bind(&fd, &spot.address).and_then(|()| match spot.proto {
            Proto::Tcp => listen(&fd, BACKLOG),
            Proto::Udp | Proto::Sctp => Ok(()),
        }) {
            Ok(()) => Ok(Some(Self { spot, fd })),
            Err(Errno::ADDRINUSE) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Takes what has come: datagrams are answered, connections are kept.
    pub fn take(&self, run: &Run, connections: &mut VecDeque<Connection>, delivered: &mut dyn FnMut(Delivered)) {
        loop {
            if self.spot.proto == Proto::Tcp {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let fd = match accept_with(&self.fd, flags) {
                    Ok(fd) => fd,
                    Err(Errno::INTR | Errno::CONNABORTED) => continue,
                    Err(_) => return,
                };
                let peer = rustix::net::getpeername(&fd).ok().and_then(|peer| SocketAddr::try_from(peer?).ok());
                // gone again: the SYN that a raw socket sent was reset
                let Some(peer) = peer else { continue };
                connections.push_back(Connection { spot: self.spot, peer: peer.ip(), fd, got: Vec::new() });
                continue;
            }
            let mut buffer = [0; 64];
            let (length, from) = match recvfrom(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _, Some(from))) => (length, from),
                Ok(_) | Err(Errno::INTR | Errno::CONNREFUSED) => continue,
                Err(_) => return,
            };
            let Ok(from) = SocketAddr::try_from(from) else { continue };
            if let Some((trial, false)) = buffer.get(..length).and_then(|bytes| run.marked(bytes)) {
                delivered(Delivered { trial, spot: self.spot, from: from.ip() });
                // an answer that cannot be sent is one that does not come: the asking side tells
                send(&self.fd, &run.mark(trial, true), from).unwrap_or_default();
            }
        }
    }
}

impl Connection {
    /// Reads and answers. False once it is over.
    pub fn serve(&mut self, run: &Run, delivered: &mut dyn FnMut(Delivered)) -> bool {
        let mut buffer = [0; 64];
        loop {
            match read(&self.fd, &mut buffer[..]) {
                Ok(0) => return false,
                Ok(length) => self.got.extend(buffer.iter().take(length)),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
            if self.got.len() == MARK
                && let Some((trial, false)) = run.marked(&self.got)
            {
                delivered(Delivered { trial, spot: self.spot, from: self.peer });
                // 13 bytes fit into an empty buffer; if not, the asking side tells
                write(&self.fd, &run.mark(trial, true)).unwrap_or_default();
            }
            if self.got.len() > MARK {
                return false;
            }
        }
    }
}
