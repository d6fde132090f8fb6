//! Addresses in rtnetlink's words: what is asked, and what is answered. Numbers are from include/uapi/linux/if_addr.h.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::message::{Answer, NLM_F_CREATE, NLM_F_REPLACE, Requests, u32_at};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
/// Of IPv6 the same bit means a temporary one.
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_PERMANENT: u32 = 0x80;
/// By the kernel itself, from a router advertisement, or link-local (`IFAPROT_KERNEL_…`, Linux 5.18).
const IFAPROT_KERNEL_LAST: u8 = 3;
const RT_SCOPE_LINK: u8 = 253;

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;

/// One address, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressInfo {
    /// The link's index.
    pub index: u32,
    /// The address with its prefix length.
    pub address: IpNet,
    /// Somebody gave it, for ever; not the kernel (link-local), a router's advertisement or a DHCP client.
    pub given: bool,
    /// Its IPv4 subnet had one already on this link.
    pub secondary: bool,
}

/// `struct ifaddrmsg`: family, prefix length, flags, scope, index.
fn ifaddrmsg(family: u8, prefix_len: u8, index: u32) -> [u8; 8] {
    let [a, b, c, d] = index.to_ne_bytes();
    [family, prefix_len, 0, 0, a, b, c, d]
}

fn octets(ip: IpAddr) -> ([u8; 16], usize, u8) {
    let mut bytes = [0; 16];
    match ip {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            (bytes, 4, AF_INET)
        }
        IpAddr::V6(ip) => (ip.octets(), 16, AF_INET6),
    }
}

fn request(requests: &mut Requests, kind: u16, flags: u16, index: u32, address: IpNet, ifa_flags: u32) {
    let (bytes, length, family) = octets(address.addr());
    let mut request = requests.request(kind, flags, &ifaddrmsg(family, address.prefix_len(), index));
    request.attribute(IFA_LOCAL, &bytes[..length]).attribute(IFA_ADDRESS, &bytes[..length]);
    if family == AF_INET6 && ifa_flags != 0 {
        request.u32(IFA_FLAGS, ifa_flags);
    }
}

/// Adds an address, or leaves the same one there; IPv6 without duplicate address detection. As `ip address add … nodad` does, no broadcast address is
/// set: the kernel makes the prefix's broadcast route all the same (`fib_add_ifaddr`, net/ipv4/fib_frontend.c).
pub(crate) fn add(requests: &mut Requests, index: u32, address: IpNet) {
    request(requests, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, address, IFA_F_NODAD);
}

/// Removes an address.
pub(crate) fn delete(requests: &mut Requests, index: u32, address: IpNet) {
    request(requests, RTM_DELADDR, 0, index, address, 0);
}

/// Asks for all addresses of a family; for a dump.
pub(crate) fn list_all(requests: &mut Requests, v6: bool) {
    let family = if v6 { AF_INET6 } else { AF_INET };
    requests.request(RTM_GETADDR, 0, &ifaddrmsg(family, 0, 0));
}

/// Reads an address from an answer; None if the answer is none.
#[must_use]
pub fn decode(answer: &Answer<'_>) -> Option<AddressInfo> {
    if answer.kind != RTM_NEWADDR {
        return None;
    }
    let (header, attributes) = answer.split(8)?;
    let &[family, prefix_len, flags, scope, ..] = header else { return None };
    let mut flags = u32::from(flags);
    let (mut local, mut address, mut by_kernel) = (None, None, false);
    for attribute in attributes {
        match attribute.kind {
            IFA_LOCAL => local = ip(family, attribute.bytes),
            IFA_ADDRESS => address = ip(family, attribute.bytes),
            // all flags: the header has room for eight
            IFA_FLAGS => flags = attribute.u32().unwrap_or(flags),
            IFA_PROTO => by_kernel = (1..=IFAPROT_KERNEL_LAST).contains(&attribute.u8().unwrap_or_default()),
            _ => {}
        }
    }
    // on point-to-point links IFA_ADDRESS is the other side; for IPv6 without a peer there is no IFA_LOCAL
    let ip = local.or(address)?;
    let link_local = ip.is_ipv6() && scope == RT_SCOPE_LINK;
    Some(AddressInfo {
        index: u32_at(header, 4)?,
        address: IpNet::new(ip, prefix_len).ok()?,
        secondary: ip.is_ipv4() && flags & IFA_F_SECONDARY != 0,
        given: flags & IFA_F_PERMANENT != 0 && !by_kernel && !link_local,
    })
}

/// An address of a family from bytes.
pub(crate) fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        AF_INET6 => bytes.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Answers;

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        for text in ["10.0.0.1/24", "192.0.2.1/32", "fd00::1/64"] {
            let mut requests = Requests::new();
            add(&mut requests, 7, text.parse().unwrap());
            let read = decode(&Answers::new(requests.bytes()).next().unwrap()).unwrap();
            assert_eq!((read.index, read.address.to_string().as_str()), (7, text));
        }
    }

    #[test]
    fn the_prefix_length_must_fit_the_family() {
        let body = [&[AF_INET, 33, 0x80, 0, 1, 0, 0, 0][..], &[8, 0, 2, 0, 10, 0, 0, 1]].concat();
        assert_eq!(decode(&Answer { kind: RTM_NEWADDR, flags: 0, sequence: 0, body: &body }), None);
    }

    #[test]
    fn garbage_is_no_address() {
        for length in 0..60 {
            for byte in [0, 1, 0xff] {
                let body = vec![byte; length];
                assert_eq!(decode(&Answer { kind: RTM_NEWADDR, flags: 0, sequence: 0, body: &body }), None);
            }
        }
    }
}
