//! Numbers and addresses out of packets, where the most significant byte comes first; None behind the end of a short one.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Two bytes.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// Four bytes.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// An address of IPv4.
#[must_use]
pub fn v4_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    array::<4>(bytes, at).map(Ipv4Addr::from)
}

/// An address of IPv6.
#[must_use]
pub fn v6_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    array::<16>(bytes, at).map(Ipv6Addr::from)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_has_no_number() {
        let bytes = [1, 2, 3, 4, 5];
        assert_eq!((u16_at(&bytes, 3), u16_at(&bytes, 4)), (Some(0x0405), None));
        assert_eq!((u32_at(&bytes, 1), u32_at(&bytes, 2)), (Some(0x0203_0405), None));
        assert_eq!((v4_at(&bytes, 0), v4_at(&bytes, usize::MAX)), (Some(Ipv4Addr::new(1, 2, 3, 4)), None));
        assert_eq!((v6_at(&[0; 16], 0), v6_at(&[0; 16], 1)), (Some(Ipv6Addr::UNSPECIFIED), None));
    }
}
