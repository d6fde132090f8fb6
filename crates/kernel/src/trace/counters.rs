//! Counters of a namespace that speak of loss: /proc/net/snmp, netstat and snmp6. They count everybody's packets, so what
//! grew is a hint and no proof.

use std::collections::BTreeMap;
use std::fs;

/// Those that grow when a packet is thrown away (Documentation/networking/snmp_counter.rst).
const LOSSES: &[&str] = &[
    "Ip.InHdrErrors",
    "Ip.InAddrErrors",
    "Ip.InDiscards",
    "Ip.OutDiscards",
    "Ip.OutNoRoutes",
    "Ip.FragFails",
    "IpExt.InNoRoutes",
    "TcpExt.IPReversePathFilter",
    "TcpExt.ListenOverflows",
    "TcpExt.ListenDrops",
    "Udp.NoPorts",
    "Udp.RcvbufErrors",
    "Udp.InCsumErrors",
    "Ip6InHdrErrors",
    "Ip6InTooBigErrors",
    "Ip6InNoRoutes",
    "Ip6InAddrErrors",
    "Ip6InDiscards",
    "Ip6OutDiscards",
    "Ip6OutNoRoutes",
    "Udp6NoPorts",
];

/// Reads them in the calling thread's namespace. A kernel without a file has no such counters.
pub(super) fn read() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for file in ["snmp", "netstat"] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        pairs(&text, &mut all);
    }
    let text = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
    for line in text.lines() {
        if let [name, value] = line.split_whitespace().collect::<Vec<_>>().as_slice()
            && let Ok(value) = value.parse()
        {
            all.insert((*name).to_owned(), value);
        }
    }
    all.retain(|name, _| LOSSES.contains(&name.as_str()));
    all
}

/// A line of names, and one of their values, each beginning with `Ip:`.
fn pairs(text: &str, all: &mut BTreeMap<String, u64>) {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks(2) {
        let [names, values] = pair else { continue };
        let Some((group, names)) = names.split_once(':') else { continue };
        let Some((_, values)) = values.split_once(':') else { continue };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            // some are -1 for "no limit"
            if let Ok(value) = value.parse() {
                all.insert(format!("{group}.{name}"), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_put_together() {
        let mut all = BTreeMap::new();
        pairs("Ip: Forwarding InAddrErrors\nIp: 1 7\nTcp: MaxConn\nTcp: -1\nodd\n", &mut all);
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [("Ip.Forwarding".into(), 1), ("Ip.InAddrErrors".into(), 7)]);
    }
}
