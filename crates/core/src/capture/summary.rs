//! A packet as a line for people: who to whom, and what. Pure; any bytes may come.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::expr::{ARP, FRAGMENT, ICMP, ICMPV6, IPV4, IPV6, SCTP, TCP, UDP};
use crate::name::Mac;
use crate::network_order::{u16_at, u32_at, v4_at, v6_at};

/// An EtherType that says: there is a VLAN tag (IEEE 802.1Q).
const VLAN: u16 = 0x8100;
/// The port of DNS, and that of its multicast form.
const DNS: [u16; 2] = [53, 5353];
/// Labels of a name that are read, so that a ring of pointers ends.
const LABELS_MAX: usize = 64;

/// The line of an Ethernet frame.
#[must_use]
pub fn line(frame: &[u8]) -> String {
    ethernet(frame).unwrap_or_else(|| format!("{} bytes, too short to be read", frame.len()))
}

fn ethernet(frame: &[u8]) -> Option<String> {
    let mut kind = u16_at(frame, 12)?;
    let mut packet = frame.get(14..)?;
    let mut tag = String::new();
    if kind == VLAN {
        tag = format!("vlan {} ", u16_at(packet, 0)? & 0xfff);
        kind = u16_at(packet, 2)?;
        packet = packet.get(4..)?;
    }
    let text = match kind {
        IPV4 => ipv4(packet, Told::Frame),
        IPV6 => ipv6(packet, Told::Frame),
        ARP => arp(packet),
        0..0x600 => Some(format!("{} → {} IEEE 802.3, length {kind}", mac(frame, 6)?, mac(frame, 0)?)),
        kind => Some(format!("{} → {} EtherType 0x{kind:04x}", mac(frame, 6)?, mac(frame, 0)?)),
    };
    let text = text.unwrap_or_else(|| format!("cut off, {} bytes", frame.len()));
    Some(tag + &text)
}

/// Where a packet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// In a frame.
    Frame,
    /// In an ICMP error. An error about an error is not allowed (RFC 1122, section 3.2.2), and is not looked into: there may be
    /// thousands within each other.
    Quoted,
}

fn ipv4(packet: &[u8], told: Told) -> Option<String> {
    // RFC 791, section 3.1: five words at least
    let header = usize::from(packet.first()? & 0xf) * 4;
    if header < 20 {
        return None;
    }
    let (from, to) = (v4_at(packet, 12)?, v4_at(packet, 16)?);
    let total = usize::from(u16_at(packet, 2)?);
    let fragment = u16_at(packet, 6)? & 0x1fff;
    if fragment != 0 {
        return Some(format!("{from} → {to} fragment at byte {}", u32::from(fragment) * 8));
    }
    // what follows the packet's end fills the frame up; large ones leave their length to the card
    let end = if total < header || total > packet.len() { packet.len() } else { total };
    let length = total.saturating_sub(header);
    transport(*packet.get(9)?, [from.into(), to.into()], packet.get(header..end)?, length, told)
}

fn ipv6(packet: &[u8], told: Told) -> Option<String> {
    let (from, to) = (v6_at(packet, 8)?, v6_at(packet, 24)?);
    let length = usize::from(u16_at(packet, 4)?);
    let (mut next, mut body) = (*packet.get(6)?, packet.get(40..)?);
    body = body.get(..length).unwrap_or(body);
    // extension headers (RFC 8200, section 4): hop-by-hop, routing, destination options
    for _ in 0..8 {
        match next {
            0 | 43 | 60 => {
                let length = (usize::from(*body.get(1)?) + 1) * 8;
                (next, body) = (*body.first()?, body.get(length..)?);
            }
            FRAGMENT => {
                let offset = u16_at(body, 2)? & !7;
                if offset != 0 {
                    return Some(format!("{from} → {to} fragment at byte {offset}"));
                }
                (next, body) = (*body.first()?, body.get(8..)?);
            }
            _ => break,
        }
    }
    transport(next, [from.into(), to.into()], body, body.len(), told)
}

fn transport(protocol: u8, [from, to]: [IpAddr; 2], body: &[u8], length: usize, told: Told) -> Option<String> {
    let ports = || -> Option<(SocketAddr, SocketAddr)> {
        Some((SocketAddr::new(from, u16_at(body, 0)?), SocketAddr::new(to, u16_at(body, 2)?)))
    };
    Some(match protocol {
        TCP => {
            let (from, to) = ports()?;
            format!("{from} → {to} TCP {}", tcp(body, length)?)
        }
        UDP => {
            let (from, to) = ports()?;
            let payload = body.get(8..).unwrap_or_default();
            let about = if DNS.contains(&from.port()) || DNS.contains(&to.port()) { dns(payload) } else { None };
            let about = about.unwrap_or_else(|| format!("{} bytes", length.saturating_sub(8)));
            format!("{from} → {to} UDP {about}")
        }
        SCTP => {
            let (from, to) = ports()?;
            format!("{from} → {to} SCTP")
        }
        ICMP => format!("{from} → {to} ICMP {}", icmp(body, told)?),
        ICMPV6 => format!("{from} → {to} ICMPv6 {}", icmpv6(body, told)?),
        other => format!("{from} → {to} IP protocol {other}, {length} bytes"),
    })
}

fn tcp(segment: &[u8], length: usize) -> Option<String> {
    let flags = *segment.get(13)?;
    let header = usize::from(segment.get(12)? >> 4) * 4;
    // RFC 9293, section 3.1
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> =
        names.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| *name).collect();
    let mut text = if set.is_empty() { "no flags".to_owned() } else { set.join(" ") };
    text += &format!(" seq {}", u32_at(segment, 4)?);
    if flags & 0x10 != 0 {
        text += &format!(" ack {}", u32_at(segment, 8)?);
    }
    text += &format!(" win {}", u16_at(segment, 14)?);
    match length.saturating_sub(header) {
        0 => {}
        bytes => text += &format!(" {bytes} bytes"),
    }
    Some(text)
}

fn icmp(body: &[u8], told: Told) -> Option<String> {
    let (kind, code) = (*body.first()?, *body.get(1)?);
    let echo = || Some(format!("id {} seq {}", u16_at(body, 4)?, u16_at(body, 6)?));
    let about = || match body.get(8..).filter(|_| told == Told::Frame).and_then(|packet| ipv4(packet, Told::Quoted)) {
        Some(quoted) => format!(": {quoted}"),
        None => String::new(),
    };
    Some(match (kind, code) {
        (0, _) => format!("echo reply {}", echo()?),
        (8, _) => format!("echo request {}", echo()?),
        (3, 0) => format!("network unreachable{}", about()),
        (3, 1) => format!("host unreachable{}", about()),
        (3, 2) => format!("protocol unreachable{}", about()),
        (3, 3) => format!("port unreachable{}", about()),
        (3, 4) => format!("too big, MTU {}{}", u16_at(body, 6)?, about()),
        (3, 9 | 10 | 13) => format!("administratively prohibited{}", about()),
        (3, _) => format!("unreachable, code {code}{}", about()),
        (5, _) => format!("redirect to {}{}", v4_at(body, 4)?, about()),
        (11, _) => format!("time exceeded{}", about()),
        _ => format!("type {kind} code {code}"),
    })
}

/// RFC 4443 and RFC 4861.
fn icmpv6(body: &[u8], told: Told) -> Option<String> {
    let (kind, code) = (*body.first()?, *body.get(1)?);
    let echo = || Some(format!("id {} seq {}", u16_at(body, 4)?, u16_at(body, 6)?));
    let about = || match body.get(8..).filter(|_| told == Told::Frame).and_then(|packet| ipv6(packet, Told::Quoted)) {
        Some(quoted) => format!(": {quoted}"),
        None => String::new(),
    };
    Some(match (kind, code) {
        (1, 0) => format!("no route{}", about()),
        (1, 1) => format!("administratively prohibited{}", about()),
        (1, 3) => format!("address unreachable{}", about()),
        (1, 4) => format!("port unreachable{}", about()),
        (1, _) => format!("unreachable, code {code}{}", about()),
        (2, _) => format!("too big, MTU {}{}", u32_at(body, 4)?, about()),
        (3, _) => format!("time exceeded{}", about()),
        (128, _) => format!("echo request {}", echo()?),
        (129, _) => format!("echo reply {}", echo()?),
        (130 | 131 | 132 | 143, _) => "multicast listeners".to_owned(),
        (133, _) => "router solicitation".to_owned(),
        (134, _) => "router advertisement".to_owned(),
        (135, _) => format!("who has {}?", v6_at(body, 8)?),
        (136, _) => format!("{} is here", v6_at(body, 8)?),
        (137, _) => "redirect".to_owned(),
        _ => format!("type {kind} code {code}"),
    })
}

/// RFC 826, for Ethernet and IPv4.
fn arp(packet: &[u8]) -> Option<String> {
    if packet.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return Some("ARP of other networks than Ethernet and IPv4".to_owned());
    }
    let (from, about) = (v4_at(packet, 14)?, v4_at(packet, 24)?);
    Some(match u16_at(packet, 6)? {
        1 if from == about => format!("ARP {from} is at {} (announced)", mac(packet, 8)?),
        1 if from.is_unspecified() => format!("ARP does anybody have {about}?"),
        1 => format!("ARP who has {about}? tell {from}"),
        2 => format!("ARP {from} is at {}", mac(packet, 8)?),
        other => format!("ARP operation {other}"),
    })
}

/// A question and what becomes of it (RFC 1035, section 4.1).
fn dns(message: &[u8]) -> Option<String> {
    let flags = u16_at(message, 2)?;
    let (questions, answers) = (u16_at(message, 4)?, u16_at(message, 6)?);
    if questions == 0 && answers == 0 {
        return None;
    }
    let mut about = String::new();
    if questions > 0 {
        let (name, end) = name(message, 12)?;
        let kind = match u16_at(message, end)? {
            1 => "A".to_owned(),
            2 => "NS".to_owned(),
            5 => "CNAME".to_owned(),
            6 => "SOA".to_owned(),
            12 => "PTR".to_owned(),
            15 => "MX".to_owned(),
            16 => "TXT".to_owned(),
            28 => "AAAA".to_owned(),
            33 => "SRV".to_owned(),
            65 => "HTTPS".to_owned(),
            255 => "ANY".to_owned(),
            other => format!("type {other}"),
        };
        about = format!(" {kind} {name}");
    }
    Some(if flags & 0x8000 == 0 {
        format!("DNS query{about}")
    } else {
        let said = match flags & 0xf {
            0 => format!("{answers} answer{}", if answers == 1 { "" } else { "s" }),
            1 => "format error".to_owned(),
            2 => "server failure".to_owned(),
            3 => "no such name".to_owned(),
            5 => "refused".to_owned(),
            other => format!("error {other}"),
        };
        format!("DNS answer{about}: {said}")
    })
}

/// A name, and where the message goes on after it. Other people's bytes: only printable ASCII is shown.
fn name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut text) = (start, None, String::new());
    for _ in 0..LABELS_MAX {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => {
                if text.is_empty() {
                    text.push('.');
                }
                return Some((text, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                if !text.is_empty() {
                    text.push('.');
                }
                for byte in message.get(at + 1..at + 1 + length)? {
                    match byte {
                        b'!'..=b'~' => text.push(char::from(*byte)),
                        byte => write!(text, "\\{byte:03}").ok()?,
                    }
                }
                at += 1 + length;
            }
            0xc0.. => {
                end = end.or(Some(at + 2));
                at = usize::from(u16_at(message, at)? & 0x3fff);
            }
            _ => return None,
        }
    }
    None
}

fn mac(bytes: &[u8], at: usize) -> Option<Mac> {
    Some(Mac(bytes.get(at..at + 6)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u16, packet: &[u8]) -> Vec<u8> {
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind.to_be_bytes(), packet].concat()
    }

    #[test]
    fn an_error_in_an_error_is_not_looked_into() {
        let mut packet = v4(17, &[0, 53, 0, 53, 0, 8, 0, 0]);
        for _ in 0..1000 {
            packet.truncate(20 + 28 * 2000);
            packet = v4(1, &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &packet].concat());
        }
        let line = line(&frame(IPV4, &packet));
        assert_eq!(line, "10.0.0.1 → 10.0.0.2 ICMP host unreachable: 10.0.0.1 → 10.0.0.2 ICMP host unreachable");
    }

    fn v4(protocol: u8, body: &[u8]) -> Vec<u8> {
        let total = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
        let header = [0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        // padding of a short frame is no payload
        [&header[..], body, &[0; 10]].concat()
    }

    #[test]
    fn what_people_read() {
        let syn = [4, 210, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0];
        assert_eq!(line(&frame(IPV4, &v4(TCP, &syn))), "10.0.0.1:1234 → 10.0.0.2:80 TCP SYN seq 7 win 65535");
        let data = [4, 210, 0, 80, 0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x18, 1, 0, 0, 0, 0, 0, b'h', b'i'];
        assert_eq!(
            line(&frame(IPV4, &v4(TCP, &data))),
            "10.0.0.1:1234 → 10.0.0.2:80 TCP PSH ACK seq 7 ack 9 win 256 2 bytes"
        );
        let echo = [8, 0, 0, 0, 0, 1, 0, 2];
        assert_eq!(line(&frame(IPV4, &v4(ICMP, &echo))), "10.0.0.1 → 10.0.0.2 ICMP echo request id 1 seq 2");
        let unreachable = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &v4(UDP, &[0, 9, 0, 53, 0, 9, 0, 0, 1])].concat();
        assert_eq!(
            line(&frame(IPV4, &v4(ICMP, &unreachable))),
            "10.0.0.1 → 10.0.0.2 ICMP port unreachable: 10.0.0.1:9 → 10.0.0.2:53 UDP 1 bytes"
        );
        let arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2];
        assert_eq!(line(&frame(ARP, &arp)), "ARP who has 10.0.0.2? tell 10.0.0.1");
    }

    #[test]
    fn dns_is_read_and_its_names_are_foreign() {
        let mut query = vec![0, 9, 0, 53, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x03www\x07ex\x1bmple\x00\x00\x1c\x00\x01");
        assert_eq!(line(&frame(IPV4, &v4(UDP, &query))), "10.0.0.1:9 → 10.0.0.2:53 UDP DNS query AAAA www.ex\\027mple");
        // a pointer to itself ends
        let ring = [0, 9, 0, 53, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1];
        assert!(line(&frame(IPV4, &v4(UDP, &ring))).ends_with("UDP 18 bytes"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_one_printable_line(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_usize..4) {
            let kinds = [IPV4, IPV6, ARP, VLAN];
            for text in [line(&bytes), line(&frame(kinds[kind], &bytes))] {
                prop_assert!(!text.is_empty() && !text.contains(char::is_control), "{text}");
            }
        }
    }
}
