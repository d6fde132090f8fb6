//! How much goes through, of two looks at counters.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Counters, Interface};

/// Per second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Bytes received.
    pub rx_bytes: f64,
    /// Bytes sent.
    pub tx_bytes: f64,
    /// Packets received.
    pub rx_packets: f64,
    /// Packets sent.
    pub tx_packets: f64,
    /// Packets thrown away, in both directions.
    pub dropped: f64,
    /// Bad packets, in both directions.
    pub errors: f64,
}

impl Rates {
    /// Between two looks, so many seconds apart. A counter that has become less was begun anew: what it has is new.
    #[must_use]
    pub fn between(before: &Counters, now: &Counters, seconds: f64) -> Self {
        let rate = |before: u64, now: u64| per_second(before, now, seconds);
        Self {
            rx_bytes: rate(before.rx_bytes, now.rx_bytes),
            tx_bytes: rate(before.tx_bytes, now.tx_bytes),
            rx_packets: rate(before.rx_packets, now.rx_packets),
            tx_packets: rate(before.tx_packets, now.tx_packets),
            dropped: rate(before.rx_dropped, now.rx_dropped) + rate(before.tx_dropped, now.tx_dropped),
            errors: rate(before.rx_errors, now.rx_errors) + rate(before.tx_errors, now.tx_errors),
        }
    }
}

/// How much a counter grows.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a rate of more than 2^53 in a second is none")]
pub fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    let more = now.checked_sub(before).unwrap_or(now);
    if seconds > 0.0 { more as f64 / seconds } else { 0.0 }
}

/// Counters of all interfaces of a namespace at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The [`super::Room::namespace`].
    pub namespace: String,
    /// The kernel's number of it.
    pub inode: u64,
    /// Its interfaces, with counters, without addresses.
    pub interfaces: Vec<Interface>,
}

/// A tracked connection (conntrack), with what went through it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flow {
    /// The kernel's number of it.
    pub id: u32,
    /// IP protocol number: 6 is TCP, 17 UDP.
    pub proto: u8,
    /// Who began; port 0 where the protocol has none.
    pub from: SocketAddr,
    /// To whom, before any translation.
    pub to: SocketAddr,
    /// Who really answers, if that is another one: the destination was translated.
    pub answered_by: Option<SocketAddr>,
    /// Bytes of both directions; None if the kernel does not count (`net.netfilter.nf_conntrack_acct`).
    pub bytes: Option<u64>,
}

impl Flow {
    /// `tcp`, `udp`, `icmp`, …, or the number.
    #[must_use]
    pub fn proto_name(&self) -> String {
        match self.proto {
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            33 => "dccp".to_owned(),
            47 => "gre".to_owned(),
            58 => "icmp6".to_owned(),
            132 => "sctp".to_owned(),
            other => other.to_string(),
        }
    }
}

/// `10.0.0.1:80`, or the address alone where there is no port.
#[must_use]
pub fn end(address: SocketAddr) -> String {
    match (address.port(), address.ip()) {
        (0, IpAddr::V4(ip)) => ip.to_string(),
        (0, IpAddr::V6(ip)) => ip.to_string(),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_differences_by_time_and_survive_counters_that_begin_anew() {
        let before = Counters { rx_bytes: 1000, tx_packets: 50, rx_dropped: 1, ..Counters::default() };
        let now = Counters { rx_bytes: 3000, tx_packets: 10, rx_dropped: 2, tx_dropped: 3, ..Counters::default() };
        let rates = Rates::between(&before, &now, 2.0);
        assert_eq!((rates.rx_bytes, rates.tx_packets, rates.dropped), (1000.0, 5.0, 2.0));
        assert_eq!(Rates::between(&before, &now, 0.0), Rates::default());
    }
}
