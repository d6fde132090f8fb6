//! What a filter says, as a tree of comparisons with bytes of an Ethernet frame.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::Mac;

/// EtherTypes (IANA IEEE 802 numbers).
pub const IPV4: u16 = 0x0800;
/// IPv6.
pub const IPV6: u16 = 0x86dd;
/// ARP.
pub const ARP: u16 = 0x0806;
/// Protocol numbers (IANA).
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// SCTP.
pub const SCTP: u8 = 132;
/// ICMPv6.
pub const ICMPV6: u8 = 58;
/// IPv6's fragment header (RFC 8200, section 4.5).
pub const FRAGMENT: u8 = 44;
/// Where the packet begins in a frame.
pub const PACKET: u32 = 14;

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Both.
    And(Box<Expr>, Box<Expr>),
    /// One at least.
    Or(Box<Expr>, Box<Expr>),
    /// The contrary.
    Not(Box<Expr>),
    /// A comparison.
    Is(Test),
}

/// A number of the frame compared with a constant. A frame that is too short for it is refused as a whole, as the kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// Which bytes.
    pub load: Load,
    /// These bits of them.
    pub mask: u32,
    /// How.
    pub compare: Compare,
    /// With what.
    pub value: u32,
}

/// Bytes of a frame as a number, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// At an offset into the frame; 1, 2 or 4 bytes.
    At {
        /// From the beginning.
        offset: u32,
        /// 1, 2 or 4.
        bytes: u8,
    },
    /// At an offset behind the IPv4 header, whatever its length.
    BehindIpv4 {
        /// From the end of the header.
        offset: u32,
        /// 1, 2 or 4.
        bytes: u8,
    },
    /// The length of the whole frame on the wire.
    Length,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Equal,
    /// Greater or equal.
    AtLeast,
}

/// Which side of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The sender.
    Source,
    /// The receiver.
    Destination,
    /// One of them.
    Either,
    /// Both of them.
    Both,
}

impl Side {
    /// What holds of the sides that are meant.
    fn of(self, source: Expr, destination: Expr) -> Expr {
        match self {
            Side::Source => source,
            Side::Destination => destination,
            Side::Either => source.or(destination),
            Side::Both => source.and(destination),
        }
    }
}

impl Expr {
    /// Both.
    #[must_use]
    pub fn and(self, other: Expr) -> Expr {
        Expr::And(Box::new(self), Box::new(other))
    }

    /// One at least.
    #[must_use]
    pub fn or(self, other: Expr) -> Expr {
        Expr::Or(Box::new(self), Box::new(other))
    }

    /// The contrary.
    #[must_use]
    pub fn inverted(self) -> Expr {
        Expr::Not(Box::new(self))
    }

    fn equal(offset: u32, bytes: u8, value: u32) -> Expr {
        Expr::masked(offset, bytes, u32::MAX, value)
    }

    fn masked(offset: u32, bytes: u8, mask: u32, value: u32) -> Expr {
        Expr::Is(Test { load: Load::At { offset, bytes }, mask, compare: Compare::Equal, value })
    }

    /// Frames of an EtherType.
    #[must_use]
    pub fn ether_type(kind: u16) -> Expr {
        Expr::equal(12, 2, kind.into())
    }

    /// IPv4 packets of a protocol.
    #[must_use]
    pub fn ipv4_protocol(protocol: u8) -> Expr {
        Expr::ether_type(IPV4).and(Expr::equal(PACKET + 9, 1, protocol.into()))
    }

    /// IPv6 packets of a protocol, right behind the header or behind a fragment header, as tcpdump takes it.
    #[must_use]
    pub fn ipv6_protocol(protocol: u8) -> Expr {
        let next = |offset, kind: u8| Expr::equal(PACKET + offset, 1, kind.into());
        let fragment = next(6, FRAGMENT).and(next(40, protocol));
        Expr::ether_type(IPV6).and(next(6, protocol).or(fragment))
    }

    /// Frames from or to a hardware address.
    #[must_use]
    pub fn ether_host(side: Side, mac: Mac) -> Expr {
        let [a, b, c, d, e, f] = mac.0;
        let at = |offset| {
            let low = Expr::equal(offset + 2, 4, u32::from_be_bytes([c, d, e, f]));
            low.and(Expr::equal(offset, 2, u16::from_be_bytes([a, b]).into()))
        };
        side.of(at(6), at(0))
    }

    /// IP packets from or to addresses of a network.
    #[must_use]
    pub fn ip_net(side: Side, net: IpNet) -> Expr {
        match net.addr() {
            IpAddr::V4(_) => Expr::ether_type(IPV4).and(side.of(prefix(PACKET + 12, net), prefix(PACKET + 16, net))),
            IpAddr::V6(_) => Expr::ether_type(IPV6).and(side.of(prefix(PACKET + 8, net), prefix(PACKET + 24, net))),
        }
    }

    /// ARP about addresses of an IPv4 network (RFC 826: sender and target).
    #[must_use]
    pub fn arp_net(side: Side, net: IpNet) -> Expr {
        Expr::ether_type(ARP).and(side.of(prefix(PACKET + 14, net), prefix(PACKET + 24, net)))
    }

    /// Packets from or to ports of a protocol; not later fragments, which have none.
    #[must_use]
    pub fn ports(side: Side, protocol: u8, (first, last): (u16, u16)) -> Expr {
        let within = |load: Load| {
            let test = |compare, value: u32| Expr::Is(Test { load, mask: u32::MAX, compare, value });
            if first == last {
                return test(Compare::Equal, first.into());
            }
            test(Compare::AtLeast, first.into()).and(test(Compare::AtLeast, u32::from(last) + 1).inverted())
        };
        let behind = |offset| within(Load::BehindIpv4 { offset, bytes: 2 });
        let at = |offset| within(Load::At { offset: PACKET + 40 + offset, bytes: 2 });
        let whole = Expr::masked(PACKET + 6, 2, 0x1fff, 0);
        let v4 = Expr::ipv4_protocol(protocol).and(whole).and(side.of(behind(0), behind(2)));
        let v6 = Expr::ether_type(IPV6).and(Expr::equal(PACKET + 6, 1, protocol.into())).and(side.of(at(0), at(2)));
        v4.or(v6)
    }

    /// Frames to everybody.
    #[must_use]
    pub fn broadcast() -> Expr {
        Expr::equal(2, 4, u32::MAX).and(Expr::equal(0, 2, 0xffff))
    }

    /// Frames to a group, everybody included.
    #[must_use]
    pub fn multicast() -> Expr {
        Expr::masked(0, 1, 1, 1)
    }

    /// Frames of so many bytes at least.
    #[must_use]
    pub fn at_least(bytes: u32) -> Expr {
        Expr::Is(Test { load: Load::Length, mask: u32::MAX, compare: Compare::AtLeast, value: bytes })
    }
}

/// Addresses at an offset, by as many words as the prefix has.
fn prefix(offset: u32, net: IpNet) -> Expr {
    let (bits, mask): (Vec<u8>, Vec<u8>) = match net {
        IpNet::V4(net) => (net.network().octets().to_vec(), net.netmask().octets().to_vec()),
        IpNet::V6(net) => (net.network().octets().to_vec(), net.netmask().octets().to_vec()),
    };
    let word = |bytes: &[u8]| bytes.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    let mut all: Option<Expr> = None;
    for ((at, bits), mask) in (0_u32..).step_by(4).zip(bits.chunks(4)).zip(mask.chunks(4)) {
        // a word without bits says nothing, but one test there must be
        if word(mask) == 0 && all.is_some() {
            break;
        }
        let test = Expr::masked(offset + at, 4, word(mask), word(bits));
        all = Some(match all {
            None => test,
            Some(before) => before.and(test),
        });
    }
    all.unwrap_or_else(|| Expr::masked(offset, 1, 0, 0))
}
