//! Echo requests as bytes, and what comes back from bytes: replies, and errors that quote a request. RFC 792 for IPv4,
//! RFC 4443 for IPv6. Pure: any bytes at all may come in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use raum_core::network_order::{u16_at, v4_at};

// RFC 792
const V4_ECHO_REPLY: u8 = 0;
const V4_UNREACHABLE: u8 = 3;
const V4_ECHO: u8 = 8;
const V4_TIME_EXCEEDED: u8 = 11;
const V4_PARAMETER_PROBLEM: u8 = 12;
// RFC 4443
const V6_UNREACHABLE: u8 = 1;
const V6_TOO_BIG: u8 = 2;
const V6_TIME_EXCEEDED: u8 = 3;
const V6_PARAMETER_PROBLEM: u8 = 4;
const V6_ECHO: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;
/// Protocol numbers: ICMP, ICMPv6, and IPv6's fragment header (RFC 8200, section 4.5).
const PROTOCOL_V4: u8 = 1;
const PROTOCOL_V6: u8 = 58;
const FRAGMENT: u8 = 44;
/// Of an ICMP header, in bytes; an error quotes the packet after it.
const HEADER: usize = 8;

/// What an echo request and its reply have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo<'a> {
    /// Of the pinging process.
    pub id: u16,
    /// Of the request.
    pub seq: u16,
    /// What was sent along. Of a quoted request only the beginning is sure to be there, and other things may follow it (RFC
    /// 4884).
    pub payload: &'a [u8],
}

/// A message that may be about a request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// The answer to a request.
    Reply(Echo<'a>),
    /// A request did not arrive.
    Failed {
        /// The ICMP type and code in words.
        why: &'static str,
        /// Where the request was going.
        to: IpAddr,
        /// The request, as quoted.
        request: Echo<'a>,
    },
}

/// An IPv4 packet as a raw socket gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// From its header.
    pub from: Ipv4Addr,
    /// As it arrived.
    pub ttl: u8,
    /// The ICMP message in it.
    pub message: Message<'a>,
}

/// An echo request from its type field on. For IPv6 the kernel writes the checksum, which covers addresses, too.
pub(crate) fn request(v6: bool, echo: &Echo<'_>) -> Vec<u8> {
    let mut bytes = vec![if v6 { V6_ECHO } else { V4_ECHO }, 0, 0, 0];
    bytes.extend(echo.id.to_be_bytes());
    bytes.extend(echo.seq.to_be_bytes());
    bytes.extend(echo.payload);
    if !v6 {
        let sum = checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    }
    bytes
}

/// The Internet checksum (RFC 1071): of bytes that hold a right one it is 0.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    // twice the 16-bit words of a packet are far from 64 bits; folding adds the carries
    while let Err(_more) = u16::try_from(sum) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Reads a packet from an IPv4 raw socket: the IP header comes first. None if it is damaged or about something else.
pub(super) fn read_v4(packet: &[u8]) -> Option<Packet<'_>> {
    let (header, body) = split_v4(packet)?;
    if header[9] != PROTOCOL_V4 || checksum(body) != 0 {
        return None;
    }
    let message = match (*body.first()?, *body.get(1)?) {
        (V4_ECHO_REPLY, 0) => Message::Reply(echo(body)?),
        (kind, code) => {
            let why = why_v4(kind, code)?;
            let (quoted, request) = split_v4(body.get(HEADER..)?)?;
            // only the first fragment has the header of the request (RFC 791, section 3.1)
            let first = u16_at(quoted, 6)? & 0x1fff == 0;
            if quoted[9] != PROTOCOL_V4 || !first || request.get(..2)? != [V4_ECHO, 0] {
                return None;
            }
            Message::Failed { why, to: v4_at(quoted, 16)?.into(), request: echo(request)? }
        }
    };
    Some(Packet { from: v4_at(header, 12)?, ttl: header[8], message })
}

/// Reads a message from an ICMPv6 raw socket: it begins with the type, and the kernel has checked its sum.
pub(super) fn read_v6(body: &[u8]) -> Option<Message<'_>> {
    let (kind, code) = (*body.first()?, *body.get(1)?);
    if (kind, code) == (V6_ECHO_REPLY, 0) {
        return echo(body).map(Message::Reply);
    }
    let why = why_v6(kind, code)?;
    let quoted = body.get(HEADER..)?;
    if quoted.first()? >> 4 != 6 {
        return None;
    }
    let to: [u8; 16] = quoted.get(24..40)?.try_into().ok()?;
    let (mut next, mut request) = (quoted[6], quoted.get(40..)?);
    if next == FRAGMENT {
        if u16_at(request, 2)? >> 3 != 0 {
            return None;
        }
        (next, request) = (*request.first()?, request.get(8..)?);
    }
    if next != PROTOCOL_V6 || request.get(..2)? != [V6_ECHO, 0] {
        return None;
    }
    Some(Message::Failed { why, to: Ipv6Addr::from(to).into(), request: echo(request)? })
}

/// The header, of 20 bytes at least, and what follows it.
pub(crate) fn split_v4(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *packet.first()?;
    let length = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || length < 20 { None } else { packet.split_at_checked(length) }
}

fn echo(body: &[u8]) -> Option<Echo<'_>> {
    Some(Echo { id: u16_at(body, 4)?, seq: u16_at(body, 6)?, payload: body.get(HEADER..)? })
}

/// RFC 792; codes from 6 on: RFC 1122, section 3.2.2.1, and RFC 1812, section 5.2.7.1. None if it is no error.
pub(crate) fn why_v4(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (V4_UNREACHABLE, 0) => "network unreachable",
        (V4_UNREACHABLE, 1) => "host unreachable",
        (V4_UNREACHABLE, 2) => "protocol unreachable",
        (V4_UNREACHABLE, 3) => "port unreachable",
        (V4_UNREACHABLE, 4) => "packet too big for a link on the way, and not to be fragmented",
        (V4_UNREACHABLE, 5) => "source route failed",
        (V4_UNREACHABLE, 6) => "network unknown",
        (V4_UNREACHABLE, 7) => "host unknown",
        (V4_UNREACHABLE, 8) => "source host isolated",
        (V4_UNREACHABLE, 9) => "network administratively prohibited",
        (V4_UNREACHABLE, 10) => "host administratively prohibited",
        (V4_UNREACHABLE, 11) => "network unreachable for this type of service",
        (V4_UNREACHABLE, 12) => "host unreachable for this type of service",
        (V4_UNREACHABLE, 13) => "administratively prohibited",
        (V4_UNREACHABLE, 14) => "host precedence violation",
        (V4_UNREACHABLE, 15) => "precedence cutoff",
        (V4_UNREACHABLE, _) => "destination unreachable",
        (V4_TIME_EXCEEDED, 0) => "time to live exceeded on the way",
        (V4_TIME_EXCEEDED, _) => "not all fragments arrived in time",
        (V4_PARAMETER_PROBLEM, _) => "parameter problem in the header",
        _ => return None,
    })
}

/// RFC 4443, sections 3.1 to 3.4. None if it is no error.
pub(crate) fn why_v6(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (V6_UNREACHABLE, 0) => "no route to destination",
        (V6_UNREACHABLE, 1) => "administratively prohibited",
        (V6_UNREACHABLE, 2) => "beyond the scope of the source address",
        (V6_UNREACHABLE, 3) => "address unreachable",
        (V6_UNREACHABLE, 4) => "port unreachable",
        (V6_UNREACHABLE, 5) => "source address failed a policy",
        (V6_UNREACHABLE, 6) => "rejected by a route",
        (V6_UNREACHABLE, _) => "destination unreachable",
        (V6_TOO_BIG, _) => "packet too big for a link on the way",
        (V6_TIME_EXCEEDED, 0) => "hop limit exceeded on the way",
        (V6_TIME_EXCEEDED, _) => "not all fragments arrived in time",
        (V6_PARAMETER_PROBLEM, _) => "parameter problem in the header",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An IPv4 header without checksum, with `extra` words of options.
    fn header_v4(protocol: u8, ttl: u8, extra: u8) -> Vec<u8> {
        let mut header = vec![0x45 + extra, 0, 0, 0, 0, 0, 0x40, 0, ttl, protocol, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1];
        header.resize(20 + usize::from(extra) * 4, 0);
        header
    }

    fn error_v4(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
        let mut body = vec![kind, code, 0, 0, 0, 0, 0, 0];
        body.extend(quoted);
        let sum = checksum(&body).to_be_bytes();
        body[2..4].copy_from_slice(&sum);
        [header_v4(PROTOCOL_V4, 61, 0), body].concat()
    }

    fn header_v6(next: u8) -> Vec<u8> {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        header.extend([0xfd; 16]);
        header.extend(Ipv6Addr::LOCALHOST.octets());
        header
    }

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[]), 0xffff);
        // an odd byte stands for itself and a zero
        assert_eq!(checksum(&[0xab]), checksum(&[0xab, 0]));
    }

    #[test]
    fn only_the_first_fragment_is_ours() {
        let request = request(false, &Echo { id: 1, seq: 2, payload: &[] });
        let quoted = |offset| {
            let mut header = header_v4(PROTOCOL_V4, 1, 0);
            header[7] = offset;
            error_v4(V4_TIME_EXCEEDED, 0, &[header, request.clone()].concat())
        };
        assert!(read_v4(&quoted(0)).is_some());
        assert!(read_v4(&quoted(1)).is_none());
        let v6 = |offset| {
            let fragment = vec![PROTOCOL_V6, 0, 0, offset, 0, 0, 0, 1];
            let echo = super::request(true, &Echo { id: 1, seq: 2, payload: &[] });
            let header = vec![V6_TIME_EXCEEDED, 0, 0, 0, 0, 0, 0, 0];
            [header, header_v6(FRAGMENT), fragment, echo].concat()
        };
        assert!(read_v6(&v6(1)).is_some());
        assert!(read_v6(&v6(8)).is_none());
    }

    #[test]
    fn another_protocols_packet_is_not_ours() {
        let quoted = [header_v4(17, 1, 0), vec![V4_ECHO, 0, 0, 0, 0, 1, 0, 2]].concat();
        assert_eq!(read_v4(&error_v4(V4_UNREACHABLE, 3, &quoted)), None);
        // a request from elsewhere, as it passes by
        let packet = [header_v4(PROTOCOL_V4, 1, 0), request(false, &Echo { id: 1, seq: 2, payload: &[] })].concat();
        assert_eq!(read_v4(&packet), None);
    }

    proptest! {
        #[test]
        fn garbage_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read_v4(&bytes);
            read_v6(&bytes);
            // past the checksum, too
            read_v4(&error_v4(bytes.first().copied().unwrap_or(3), 0, &bytes));
        }

        #[test]
        fn damage_is_garbage_too(at in 0usize..120, value: u8, cut in 0usize..120, v6: bool) {
            let request = request(v6, &Echo { id: 7, seq: 9, payload: &[1; 40] });
            let mut bytes = if v6 {
                [vec![V6_UNREACHABLE, 0, 0, 0, 0, 0, 0, 0], header_v6(PROTOCOL_V6), request].concat()
            } else {
                error_v4(V4_UNREACHABLE, 1, &[header_v4(PROTOCOL_V4, 1, 2), request].concat())
            };
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(cut);
            read_v4(&bytes);
            read_v6(&bytes);
        }

        #[test]
        fn a_reply_is_read_back(id: u16, seq: u16, ttl: u8, options in 0u8..=10, payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let echo = Echo { id, seq, payload: &payload };
            let mut v4 = request(false, &echo);
            v4[0] = V4_ECHO_REPLY;
            v4[2..4].fill(0);
            let sum = checksum(&v4).to_be_bytes();
            v4[2..4].copy_from_slice(&sum);
            let packet = [header_v4(PROTOCOL_V4, ttl, options), v4].concat();
            let expected = Packet { from: Ipv4Addr::new(10, 0, 0, 2), ttl, message: Message::Reply(echo) };
            prop_assert_eq!(read_v4(&packet), Some(expected));
            let mut v6 = request(true, &echo);
            v6[0] = V6_ECHO_REPLY;
            prop_assert_eq!(read_v6(&v6), Some(Message::Reply(echo)));
        }

        #[test]
        fn a_quoted_request_is_read_back(id: u16, seq: u16, options in 0u8..=10, code in 0u8..20, payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let echo = Echo { id, seq, payload: &payload };
            let quoted = [header_v4(PROTOCOL_V4, 1, options), request(false, &echo)].concat();
            let packet = error_v4(V4_UNREACHABLE, code, &quoted);
            let (to, why) = (Ipv4Addr::new(10, 0, 0, 1).into(), why_v4(V4_UNREACHABLE, code).unwrap_or_default());
            prop_assert_eq!(read_v4(&packet).map(|packet| packet.message), Some(Message::Failed { why, to, request: echo }));
            let header = vec![V6_UNREACHABLE, code, 0, 0, 0, 0, 0, 0];
            let message = [header, header_v6(PROTOCOL_V6), request(true, &echo)].concat();
            let (to, why) = (Ipv6Addr::LOCALHOST.into(), why_v6(V6_UNREACHABLE, code).unwrap_or_default());
            prop_assert_eq!(read_v6(&message), Some(Message::Failed { why, to, request: echo }));
        }

        #[test]
        fn a_request_has_a_right_checksum(id: u16, seq: u16, payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(checksum(&request(false, &Echo { id, seq, payload: &payload })), 0);
        }
    }
}
