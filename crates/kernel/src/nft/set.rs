//! Sets of interface names and port maps: their types, keys and values as bytes.

use std::net::IpAddr;

use raum_core::name::IfName;
use raum_core::nft::{Learned, PortKey, PortMap};

use super::rule::{IFNAMSIZ, address, number, padded, proto, unpadded};
use crate::message::Request;

// Data types of nft (include/datatype.h there): the kernel keeps the number for whoever lists the set.
const TYPE_IPADDR: u32 = 7;
const TYPE_IP6ADDR: u32 = 8;
const TYPE_INET_PROTOCOL: u32 = 12;
const TYPE_INET_SERVICE: u32 = 13;
const TYPE_IFNAME: u32 = 41;
/// Bits of each part in the number of a concatenation.
const TYPE_BITS: u32 = 6;
/// `NFT_SET_MAP`.
const MAP: u32 = 8;
/// `NFT_SET_TIMEOUT`, `NFT_SET_EVAL`: entries that end, and that rules make.
const TIMEOUT: u32 = 0x10;
const EVAL: u32 = 0x20;
/// User data of a set (libnftnl, `udata.h`): key in the byte order of the host, which `nft` wants to know to print names.
const KEY_BYTE_ORDER_HOST: [u8; 6] =
    if cfg!(target_endian = "little") { [0, 4, 1, 0, 0, 0] } else { [0, 4, 0, 0, 0, 1] };

/// What a set is made of, as in `NFTA_SET_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) flags: u32,
    pub(super) key_type: u32,
    pub(super) key_length: u32,
    pub(super) data_type: u32,
    pub(super) data_length: u32,
}

/// `type ifname`.
pub(super) const IFNAMES: Shape =
    Shape { flags: 0, key_type: TYPE_IFNAME, key_length: 16, data_type: 0, data_length: 0 };

/// `type ipv4_addr` or `type ipv6_addr`.
pub(super) fn addresses(v6: bool) -> Shape {
    let (key_type, key_length) = if v6 { (TYPE_IP6ADDR, 16) } else { (TYPE_IPADDR, 4) };
    Shape { flags: 0, key_type, key_length, data_type: 0, data_length: 0 }
}

/// A map or a set that rules fill.
pub(super) fn learned(what: Learned) -> Shape {
    let port = (TYPE_INET_SERVICE, 2);
    let (key, data): (&[(u32, u32)], _) = match what {
        Learned::Address { v6 } => (&[PROTOCOL, SERVICE], Some(address_type(v6))),
        Learned::Port => (&[PROTOCOL, SERVICE], Some(port)),
        Learned::Peer { v6 } => (&[PROTOCOL, SERVICE, address_type(v6)], None),
        Learned::Mapping { v6, by_remote: false } => (&[PROTOCOL, address_type(v6), SERVICE], Some(port)),
        Learned::Mapping { v6, by_remote: true } => {
            (&[PROTOCOL, address_type(v6), SERVICE, address_type(v6)], Some(port))
        }
    };
    let (data_type, data_length) = data.unwrap_or_default();
    Shape {
        flags: TIMEOUT | EVAL | if data.is_some() { MAP } else { 0 },
        key_type: key.iter().fold(0, |all, (of, _)| all << TYPE_BITS | of),
        key_length: key.iter().map(|(_, length)| length).sum(),
        data_type,
        data_length,
    }
}

/// Parts of a key: type, and bytes in whole registers.
const PROTOCOL: (u32, u32) = (TYPE_INET_PROTOCOL, 4);
const SERVICE: (u32, u32) = (TYPE_INET_SERVICE, 4);

const fn address_type(v6: bool) -> (u32, u32) {
    if v6 { (TYPE_IP6ADDR, 16) } else { (TYPE_IPADDR, 4) }
}

/// All of them.
pub(super) const LEARNED: [Learned; 9] = [
    Learned::Address { v6: false },
    Learned::Address { v6: true },
    Learned::Port,
    Learned::Peer { v6: false },
    Learned::Peer { v6: true },
    Learned::Mapping { v6: false, by_remote: false },
    Learned::Mapping { v6: false, by_remote: true },
    Learned::Mapping { v6: true, by_remote: false },
    Learned::Mapping { v6: true, by_remote: true },
];

/// The element of an address.
pub(super) fn host(ip: &IpAddr) -> Element {
    (octets(*ip), None)
}

/// The shape of a port map. Every part of a concatenation takes whole registers of four bytes.
pub(super) fn ports(v6: bool, by_address: bool) -> Shape {
    let (address, length) = if v6 { (TYPE_IP6ADDR, 16) } else { (TYPE_IPADDR, 4) };
    let port = TYPE_INET_PROTOCOL << TYPE_BITS | TYPE_INET_SERVICE;
    Shape {
        flags: MAP,
        key_type: if by_address { address << (2 * TYPE_BITS) | port } else { port },
        key_length: if by_address { length + 8 } else { 8 },
        data_type: address << TYPE_BITS | TYPE_INET_SERVICE,
        data_length: length + 4,
    }
}

impl Shape {
    /// Writes the attributes of `NFT_MSG_NEWSET` that say it.
    pub(super) fn write(self, request: &mut Request<'_>) {
        request.be32(3, self.flags).be32(4, self.key_type).be32(5, self.key_length);
        if self.flags & MAP != 0 {
            request.be32(6, self.data_type).be32(7, self.data_length);
        } else if self == IFNAMES {
            request.attribute(13, &KEY_BYTE_ORDER_HOST);
        }
    }

    /// The empty map of this shape; None for anything but raum's port maps.
    pub(super) fn port_map(self) -> Option<PortMap> {
        [(false, false), (false, true), (true, false), (true, true)].into_iter().find_map(|(v6, by_address)| {
            (self == ports(v6, by_address)).then(|| PortMap {
                v6,
                by_address,
                entries: std::collections::BTreeMap::new(),
            })
        })
    }
}

/// An element's key and, in a map, what it leads to.
pub(super) type Element = (Vec<u8>, Option<Vec<u8>>);

/// The element of an interface name.
pub(super) fn ifname(name: &IfName) -> Element {
    (padded(name), None)
}

/// The interface name of an element.
pub(super) fn read_ifname(key: &[u8]) -> Option<IfName> {
    (key.len() == IFNAMSIZ).then(|| unpadded(key)).flatten()
}

/// The element of a map's entry.
pub(super) fn entry(key: &PortKey, (to, target): (IpAddr, u16)) -> Element {
    let mut bytes = key.address.map(octets).unwrap_or_default();
    bytes.extend([number(key.proto), 0, 0, 0]);
    bytes.extend(service(key.port));
    let mut data = octets(to);
    data.extend(service(target));
    (bytes, Some(data))
}

/// The entry of an element.
pub(super) fn read_entry(map: &PortMap, key: &[u8], data: &[u8]) -> Option<(PortKey, (IpAddr, u16))> {
    let length = if map.v6 { 16 } else { 4 };
    let (own, rest) = key.split_at_checked(if map.by_address { length } else { 0 })?;
    let [number, _, _, _, port @ ..] = rest else { return None };
    let (to, target) = data.split_at_checked(length)?;
    let key = PortKey {
        address: if map.by_address { Some(address(map.v6, own)?) } else { None },
        proto: proto(*number)?,
        port: read_service(port)?,
    };
    Some((key, (address(map.v6, to)?, read_service(target)?)))
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A port in a register.
fn service(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn read_service(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|port| u16::from_be_bytes(*port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use raum_core::lab::Proto;

    #[test]
    fn the_types_are_those_that_nft_gives() {
        // as `nft --debug=mnl` (1.0.6) sends them
        assert_eq!((ports(false, false).key_type, ports(false, false).data_type), (0x30d, 0x1cd));
        assert_eq!((ports(false, true).key_type, ports(true, true).key_type), (0x730d, 0x830d));
        assert_eq!((ports(true, true).key_length, ports(true, true).data_length), (24, 20));
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (v6, to) in [(false, "10.0.0.2"), (true, "fd00::2")] {
            for by_address in [false, true] {
                let map = ports(v6, by_address).port_map().expect("a shape of ours");
                let to: IpAddr = to.parse().expect("an address");
                let key = PortKey { address: by_address.then_some(to), proto: Proto::Udp, port: 5353 };
                let (bytes, data) = entry(&key, (to, 53));
                let data = data.expect("a map");
                assert_eq!(u32::try_from(bytes.len()), Ok(ports(v6, by_address).key_length));
                assert_eq!(u32::try_from(data.len()), Ok(ports(v6, by_address).data_length));
                assert_eq!(read_entry(&map, &bytes, &data), Some((key, (to, 53))));
                assert_eq!(read_entry(&map, &bytes[1..], &data), None);
            }
        }
    }
}
