//! A raw ICMP socket in a namespace. Root in a network namespace may always open one; it gets a copy of every ICMP message
//! that arrives there, so what is somebody else's is sorted out by the reader.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use raum_core::host::OpError;
use raum_core::name::NsId;
use raum_kernel::{errno, namespace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ip_ttl, set_ipv6_unicast_hops};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto, socket_with,
};

/// The largest IP packet, in bytes.
const PACKET_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in a namespace; it stays there, whichever thread uses it.
    ///
    /// # Errors
    /// No such namespace; EPERM without `CAP_NET_RAW` there; EAFNOSUPPORT without IPv6.
    pub fn open(ns: &NsId, v6: bool, ttl: Option<u8>) -> Result<Self, OpError> {
        let fd = match ns {
            NsId::Host => socket(v6, ttl)?,
            NsId::Named(name) => namespace::in_namespace(namespace::named(name)?, || socket(v6, ttl))??,
        };
        Ok(Self { fd, buffer: vec![0; PACKET_MAX] })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The kernel's refusal: there is no route, a rule forbids it, the message is too long.
    pub fn send(&self, message: &[u8], to: IpAddr) -> Result<(), Errno> {
        loop {
            match sendto(&self.fd, message, SendFlags::empty(), &SocketAddr::new(to, 0)) {
                Err(Errno::INTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// Waits until something can be received, for at most so long; a signal ends it early.
    ///
    /// # Errors
    /// The kernel is out of memory.
    pub fn wait(&self, most: Duration) -> Result<(), OpError> {
        let most = Timespec::try_from(most).map_err(|_| errno::refused("a time too long to wait"))?;
        match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&most)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(cause) => Err(errno::at("waiting for an ICMP message", cause)),
        }
    }

    /// The next message that is there already, with its sender.
    ///
    /// # Errors
    /// ENETDOWN when the interface went away under it; it can be tried again.
    pub fn receive(&mut self) -> Result<Option<(&[u8], IpAddr)>, OpError> {
        loop {
            match recvfrom(&self.fd, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((length, _, Some(from))) => {
                    let from = SocketAddr::try_from(from).map_err(|cause| errno::at("an ICMP message", cause))?;
                    return Ok(self.buffer.get(..length).map(|message| (message, from.ip())));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(cause) => return Err(errno::at("receiving ICMP", cause)),
            }
        }
    }
}

/// A socket in the calling thread's namespace.
fn socket(v6: bool, ttl: Option<u8>) -> Result<OwnedFd, OpError> {
    let (family, protocol) =
        if v6 { (AddressFamily::INET6, ipproto::ICMPV6) } else { (AddressFamily::INET, ipproto::ICMP) };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(family, SocketType::RAW, flags, Some(protocol))
        .map_err(|cause| errno::at("opening a raw ICMP socket", cause))?;
    if let Some(ttl) = ttl {
        let set = if v6 { set_ipv6_unicast_hops(fd.as_fd(), Some(ttl)) } else { set_ip_ttl(fd.as_fd(), ttl.into()) };
        set.map_err(|cause| errno::at(&format!("a time to live of {ttl}"), cause))?;
    }
    Ok(fd)
}
