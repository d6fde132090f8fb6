//! Probes as bytes, and what raw sockets hear as probes again. Pure: any bytes at all may come in.
//!
//! A probe must be known again behind any translation of addresses and ports. ICMP and UDP carry a mark in their payload; a
//! TCP SYN has none, so its sequence number is the mark: NAT leaves it alone.

use std::net::IpAddr;

use raum_core::network_order::{u16_at, u32_at, v4_at};

use crate::ping::icmp::{self, checksum, why_v4, why_v6};

/// Protocol numbers of IPv4 and IPv6 (IANA).
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// Of the payload: the run's random number, the trial's, and which way it goes.
pub(super) const MARK: usize = 13;
const ASK: u8 = b'?';
const ANSWER: u8 = b'!';
/// Flags of a TCP header (RFC 9293, section 3.1).
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What all probes of a run have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// In the payload of each.
    pub number: u64,
    /// Sequence number of the first trial's SYN; the others follow.
    pub sequence: u32,
    /// How many trials there are.
    pub trials: u32,
}

/// A probe that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// Whose.
    pub trial: u32,
    /// What of it.
    pub what: What,
    /// The sender's address; None where the socket tells it.
    pub from: Option<IpAddr>,
    /// The address that it arrived at; None where the socket does not tell.
    pub to: Option<IpAddr>,
}

/// What a heard packet is to its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The probe itself, at this port.
    Probe {
        /// 0 for ICMP.
        port: u16,
    },
    /// An answer of whoever got it.
    Answer,
    /// A TCP reset: somebody says that nobody listens there.
    Reset,
    /// Somebody on the way says that it will not arrive.
    Complaint {
        /// In words.
        why: &'static str,
    },
}

impl Run {
    /// The mark of a probe, or of its answer.
    pub fn mark(&self, trial: u32, answer: bool) -> [u8; MARK] {
        let mut mark = [0; MARK];
        mark[..8].copy_from_slice(&self.number.to_be_bytes());
        mark[8..12].copy_from_slice(&trial.to_be_bytes());
        mark[12] = if answer { ANSWER } else { ASK };
        mark
    }

    /// The trial that a payload begins with the mark of, and whether it is an answer.
    pub fn marked(&self, payload: &[u8]) -> Option<(u32, bool)> {
        let mark = payload.get(..MARK)?;
        let trial = u32::from_be_bytes(mark.get(8..12)?.try_into().ok()?);
        let answer = match mark[12] {
            ASK => false,
            ANSWER => true,
            _ => return None,
        };
        (mark[..8] == self.number.to_be_bytes() && trial < self.trials).then_some((trial, answer))
    }

    fn sequence_of(&self, trial: u32) -> u32 {
        self.sequence.wrapping_add(trial)
    }

    fn trial_of(&self, sequence: u32) -> Option<u32> {
        let trial = sequence.wrapping_sub(self.sequence);
        (trial < self.trials).then_some(trial)
    }

    /// An echo request, for a raw ICMP socket.
    pub fn echo(&self, trial: u32, v6: bool) -> Vec<u8> {
        let [a, b, c, d] = trial.to_be_bytes();
        let mark = self.mark(trial, false);
        icmp::request(
            v6,
            &icmp::Echo {
                id: u16::from_be_bytes([a, b]).wrapping_add(0x7261),
                seq: u16::from_be_bytes([c, d]),
                payload: &mark,
            },
        )
    }

    /// A SYN, for a raw TCP socket: the kernel writes the IP header only, and the sum covers its addresses (RFC 9293, 3.1).
    pub fn syn(&self, trial: u32, from: (IpAddr, u16), to: (IpAddr, u16)) -> Vec<u8> {
        let mut segment = Vec::with_capacity(24);
        segment.extend(from.1.to_be_bytes());
        segment.extend(to.1.to_be_bytes());
        segment.extend(self.sequence_of(trial).to_be_bytes());
        segment.extend([0; 4]);
        // six words of header, then the window
        segment.extend([0x60, SYN, 0xff, 0xff, 0, 0, 0, 0]);
        // MSS 1220: what every link of IPv6 can carry
        segment.extend([2, 4, 0x04, 0xc4]);
        let sum = checksum(&[pseudo_header(from.0, to.0, segment.len()), segment.clone()].concat()).to_be_bytes();
        segment[16..18].copy_from_slice(&sum);
        segment
    }

    /// What a raw IPv4 socket gives: an IP packet.
    pub fn hear_v4(&self, packet: &[u8]) -> Option<Heard> {
        let (header, body) = icmp::split_v4(packet)?;
        let (from, to) = (v4_at(header, 12)?, v4_at(header, 16)?);
        let (trial, what) = self.hear(header[9], body)?;
        Some(Heard { trial, what, from: Some(from.into()), to: Some(to.into()) })
    }

    /// What a raw IPv6 socket of a protocol gives: what follows the IP header.
    pub fn hear_v6(&self, protocol: u8, body: &[u8]) -> Option<Heard> {
        let (trial, what) = self.hear(protocol, body)?;
        Some(Heard { trial, what, from: None, to: None })
    }

    fn hear(&self, protocol: u8, body: &[u8]) -> Option<(u32, What)> {
        match protocol {
            TCP => self.hear_tcp(body),
            UDP => {
                let (trial, answer) = self.marked(body.get(8..)?)?;
                Some((trial, if answer { What::Answer } else { What::Probe { port: u16_at(body, 2)? } }))
            }
            ICMP => match (*body.first()?, *body.get(1)?) {
                (8, 0) => Some((self.marked(body.get(8..)?)?.0, What::Probe { port: 0 })),
                (0, 0) => Some((self.marked(body.get(8..)?)?.0, What::Answer)),
                (kind, code) => {
                    let why = why_v4(kind, code)?;
                    let (header, quoted) = icmp::split_v4(body.get(8..)?)?;
                    let first = u16_at(header, 6)? & 0x1fff == 0;
                    Some((self.quoted(header[9], quoted).filter(|_| first)?, What::Complaint { why }))
                }
            },
            ICMPV6 => match (*body.first()?, *body.get(1)?) {
                (128, 0) => Some((self.marked(body.get(8..)?)?.0, What::Probe { port: 0 })),
                (129, 0) => Some((self.marked(body.get(8..)?)?.0, What::Answer)),
                (kind, code) => {
                    let why = why_v6(kind, code)?;
                    let packet = body.get(8..)?;
                    Some((self.quoted(*packet.get(6)?, packet.get(40..)?)?, What::Complaint { why }))
                }
            },
            _ => None,
        }
    }

    fn hear_tcp(&self, segment: &[u8]) -> Option<(u32, What)> {
        let flags = segment.get(13)? & (SYN | RST | ACK);
        let (sequence, acknowledged) = (u32_at(segment, 4)?, u32_at(segment, 8)?);
        let answered = || self.trial_of(acknowledged.wrapping_sub(1));
        match flags {
            SYN => Some((self.trial_of(sequence)?, What::Probe { port: u16_at(segment, 2)? })),
            flags if flags == SYN | ACK => Some((answered()?, What::Answer)),
            flags if flags == RST | ACK => Some((answered()?, What::Reset)),
            _ => None,
        }
    }

    /// Whose probe an ICMP error quotes: of TCP eight bytes are sure to be there, of the others the mark is by Linux.
    fn quoted(&self, protocol: u8, body: &[u8]) -> Option<u32> {
        match protocol {
            TCP => self.trial_of(u32_at(body, 4)?),
            UDP | ICMP | ICMPV6 => self.marked(body.get(8..)?).map(|(trial, _)| trial),
            _ => None,
        }
    }
}

/// RFC 9293, section 3.1; RFC 8200, section 8.1.
fn pseudo_header(from: IpAddr, to: IpAddr, length: usize) -> Vec<u8> {
    let mut header = Vec::new();
    let length = u16::try_from(length).unwrap_or(0).to_be_bytes();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend(from.octets());
            header.extend(to.octets());
            header.extend([0, TCP]);
            header.extend(length);
        }
        (from, to) => {
            for ip in [from, to] {
                match ip {
                    IpAddr::V4(ip) => header.extend(ip.to_ipv6_mapped().octets()),
                    IpAddr::V6(ip) => header.extend(ip.octets()),
                }
            }
            header.extend([0, 0]);
            header.extend(length);
            header.extend([0, 0, 0, TCP]);
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUN: Run = Run { number: 0x0102_0304_0506_0708, sequence: u32::MAX - 1, trials: 10 };

    fn v4(protocol: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(body);
        packet
    }

    #[test]
    fn a_probe_is_known_again_in_both_families() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for trial in [0, 3, 9] {
            let probe = |port| Some(What::Probe { port });
            let heard =
                |protocol, body: &[u8]| RUN.hear_v4(&v4(protocol, body)).filter(|h| h.trial == trial).map(|h| h.what);
            assert_eq!(heard(ICMP, &RUN.echo(trial, false)), probe(0));
            assert_eq!(heard(TCP, &RUN.syn(trial, (a, 9), (b, 80))), probe(80));
            assert_eq!(
                RUN.hear_v6(ICMPV6, &RUN.echo(trial, true)).map(|h| (h.trial, h.what)),
                Some((trial, What::Probe { port: 0 }))
            );
            let datagram = [&[0, 9, 0, 53, 0, 21, 0, 0][..], &RUN.mark(trial, false)].concat();
            assert_eq!(heard(UDP, &datagram), probe(53));
            let answer = [&[0, 53, 0, 9, 0, 21, 0, 0][..], &RUN.mark(trial, true)].concat();
            assert_eq!(heard(UDP, &answer), Some(What::Answer));
        }
        assert_eq!(RUN.hear_v4(&v4(ICMP, &RUN.echo(10, false))), None, "not of this run");
    }

    #[test]
    fn the_sum_of_a_syn_is_right() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let segment = RUN.syn(1, (a, 1024), (b, 80));
        assert_eq!(checksum(&[pseudo_header(a, b, segment.len()), segment].concat()), 0);
    }

    #[test]
    fn an_error_is_about_the_quoted_probe() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for (protocol, body) in [(ICMP, RUN.echo(4, false)), (TCP, RUN.syn(4, (a, 9), (b, 80))[..8].to_vec())] {
            let error = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &v4(protocol, &body)].concat();
            let heard = RUN.hear_v4(&v4(ICMP, &error)).expect("heard");
            assert_eq!((heard.trial, heard.what), (4, What::Complaint { why: "host unreachable" }));
        }
    }

    #[test]
    fn answers_to_a_syn_acknowledge_it() {
        let mut segment = vec![0, 80, 0, 9, 1, 2, 3, 4];
        segment.extend(RUN.sequence_of(5).wrapping_add(1).to_be_bytes());
        segment.extend([0x50, SYN | ACK, 0, 0, 0, 0, 0, 0]);
        assert_eq!(RUN.hear(TCP, &segment), Some((5, What::Answer)));
        segment[13] = RST | ACK;
        assert_eq!(RUN.hear(TCP, &segment), Some((5, What::Reset)));
    }

    proptest! {
        #[test]
        fn any_bytes_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..200), protocol in any::<u8>()) {
            RUN.hear_v4(&bytes);
            RUN.hear_v6(protocol, &bytes);
        }
    }
}
