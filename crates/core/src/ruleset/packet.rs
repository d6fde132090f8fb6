//! A packet as far as it is known: what is not known is asked about in vain, and the answer is "perhaps".

use std::net::IpAddr;

/// A packet at one point of its way. What is None nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// IPv6, else IPv4.
    pub v6: bool,
    /// The protocol above it, by number.
    pub proto: Option<u8>,
    /// The interface it came in by; `("", 0)` for none.
    pub input: Option<(String, u32)>,
    /// The interface it goes out by.
    pub output: Option<(String, u32)>,
    /// The IP header, byte by byte.
    pub network: Vec<Option<u8>>,
    /// What follows it.
    pub transport: Vec<Option<u8>>,
    /// Its mark.
    pub mark: Option<u32>,
    /// The state of its connection, one bit as `ct state` has it (8 is new, 2 established).
    pub ct_state: Option<u32>,
    /// `IPS_*` bits of its connection (32: the destination was translated).
    pub ct_status: Option<u32>,
    /// In the direction of the answer.
    pub ct_reply: Option<bool>,
    /// The mark of its connection.
    pub ct_mark: Option<u32>,
    /// What its source is for this namespace, by `RTN_*` (2 is local).
    pub source_type: Option<u32>,
    /// What its destination is.
    pub destination_type: Option<u32>,
    /// Of an answer to what was translated here: where it goes once that is undone, with the `RTN_*` of that.
    pub restored: Option<(IpAddr, Option<u16>, u32)>,
}

/// `ct state` bits.
pub const ESTABLISHED: u32 = 2;
/// The first packet of a connection.
pub const NEW: u32 = 8;
/// `RTN_LOCAL`.
pub const LOCAL: u32 = 2;
/// `RTN_UNICAST`.
pub const UNICAST: u32 = 1;
/// `IPS_DST_NAT`.
pub const DNATTED: u32 = 32;
/// `IPS_SRC_NAT`.
pub const SNATTED: u32 = 16;

impl Packet {
    /// The first packet of a connection from here to there; the source's family is not looked at.
    #[must_use]
    pub fn new(source: IpAddr, destination: IpAddr, proto: Option<u8>) -> Self {
        let v6 = destination.is_ipv6();
        let mut packet = Self {
            v6,
            proto,
            input: None,
            output: None,
            network: vec![None; if v6 { 40 } else { 20 }],
            transport: vec![None; 20],
            mark: Some(0),
            ct_state: Some(NEW),
            ct_status: Some(0),
            ct_reply: Some(false),
            ct_mark: Some(0),
            source_type: None,
            destination_type: None,
            restored: None,
        };
        let next = if v6 { 6 } else { 9 };
        packet.network[next] = proto;
        packet.set_source(source);
        packet.set_destination(destination);
        packet
    }

    fn put(bytes: &mut [Option<u8>], at: usize, value: &[u8]) {
        for (place, byte) in bytes.iter_mut().skip(at).zip(value) {
            *place = Some(*byte);
        }
    }

    fn put_address(&mut self, address: IpAddr, four: usize, six: usize) {
        match address {
            IpAddr::V4(ip) if !self.v6 => Self::put(&mut self.network, four, &ip.octets()),
            IpAddr::V6(ip) if self.v6 => Self::put(&mut self.network, six, &ip.octets()),
            _ => {}
        }
    }

    /// Changes the source address.
    pub fn set_source(&mut self, address: IpAddr) {
        self.put_address(address, 12, 8);
    }

    /// Changes the destination address.
    pub fn set_destination(&mut self, address: IpAddr) {
        self.put_address(address, 16, 24);
    }

    /// Changes the ports; None for one that is not known.
    pub fn set_ports(&mut self, source: Option<u16>, destination: Option<u16>) {
        for (at, port) in [(0, source), (2, destination)] {
            let bytes = port.map(u16::to_be_bytes);
            for (offset, place) in self.transport.iter_mut().skip(at).take(2).enumerate() {
                *place = bytes.and_then(|bytes| bytes.get(offset).copied());
            }
        }
    }

    /// Makes it an ICMP message of this type and code 0.
    pub fn set_icmp(&mut self, kind: u8) {
        Self::put(&mut self.transport, 0, &[kind, 0]);
    }

    /// Makes it the first segment of a TCP connection.
    pub fn set_syn(&mut self) {
        Self::put(&mut self.transport, 12, &[0xa0, 2]);
    }

    /// A port, if it is known: the source's, or the destination's.
    #[must_use]
    pub fn port(&self, source: bool) -> Option<u16> {
        if !matches!(self.proto, Some(6 | 17 | 33 | 132 | 136)) {
            return None;
        }
        let at = if source { 0 } else { 2 };
        Some(u16::from_be_bytes([(*self.transport.get(at)?)?, (*self.transport.get(at + 1)?)?]))
    }
}
