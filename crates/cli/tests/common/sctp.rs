//! SCTP by hand (RFC 9260): the kernel need not have it to translate it. One INIT chunk, in raw sockets.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, bind, ipproto, recv, sendto, socket};

/// INIT and INIT ACK: chunk types (RFC 9260, section 3.2).
pub const INIT: u8 = 1;
pub const INIT_ACK: u8 = 2;

/// All SCTP packets of a namespace: call it inside.
pub struct Raw(std::os::fd::OwnedFd, bool);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub struct Came {
    pub from_port: u16,
    pub to_port: u16,
    pub chunk: u8,
}

impl Raw {
    pub fn open(at: SocketAddr) -> Self {
        let family = if at.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let fd = socket(family, SocketType::RAW, Some(ipproto::SCTP)).expect("a raw socket");
        // a raw socket's "port" is its protocol, or nothing
        bind(&fd, &SocketAddr::new(at.ip(), 0)).expect("bound");
        Self(fd, at.is_ipv6())
    }

    pub fn send(&self, from_port: u16, to: SocketAddr, chunk: u8) {
        let packet = packet(from_port, to.port(), chunk);
        sendto(&self.0, &packet, SendFlags::empty(), &SocketAddr::new(to.ip(), 0)).expect("sent");
    }

    /// The next packet, with its checksum right; None if none comes in that time.
    pub fn receive(&self, wait: Duration) -> Option<Came> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(wait)).expect("a timeout");
        let mut buffer = [0; 256];
        let (length, _) = recv(&self.0, &mut buffer, RecvFlags::empty()).ok()?;
        // IPv4 comes with its header
        let sctp = &buffer[if self.1 { 0 } else { usize::from(buffer[0] & 15) * 4 }..length];
        let [a, b, c, d, _, _, _, _, s0, s1, s2, s3, chunk, ..] = *sctp else { panic!("{sctp:?}") };
        let mut blank = sctp.to_vec();
        blank[8..12].fill(0);
        assert_eq!(crc32c(&blank), u32::from_le_bytes([s0, s1, s2, s3]), "the checksum after translation");
        Some(Came { from_port: u16::from_be_bytes([a, b]), to_port: u16::from_be_bytes([c, d]), chunk })
    }
}

/// A packet of one chunk: INIT and INIT ACK have the same fields.
fn packet(from: u16, to: u16, chunk: u8) -> Vec<u8> {
    let mut packet = [from.to_be_bytes(), to.to_be_bytes()].concat();
    // the verification tag of an INIT is 0, that of the answer the one that the INIT asked for
    let tag: u32 = if chunk == INIT { 0 } else { 7 };
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([chunk, 0, 0, 20]);
    // initiate tag, receiver window, streams out and in, first sequence number
    packet.extend(7_u32.to_be_bytes());
    packet.extend(65_536_u32.to_be_bytes());
    packet.extend([0, 1, 0, 1]);
    packet.extend(1_u32.to_be_bytes());
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// RFC 9260, appendix A, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
