//! `TO[:PORT[/PROTO]]`, as a person types it.

use std::net::IpAddr;
use std::str::FromStr;

use super::Proto;

/// How names begin that a scene gives to namespaces without a name of their own.
const SCENE_NAMES: [&str; 6] = ["docker:", "podman:", "container:", "systemd:", "pid:", "net:"];

/// Where a packet is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A node's name or an address.
    pub to: String,
    /// What the packet carries: an echo request if no port is given, else TCP.
    pub proto: Proto,
    /// The port.
    pub port: Option<u16>,
}

/// What is typed is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not TO[:PORT[/PROTO]]: {1}")]
pub struct NoTarget(String, &'static str);

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let no = |why| NoTarget(text.to_owned(), why);
        let (rest, proto) = match text.rsplit_once('/') {
            None => (text, None),
            Some((rest, "tcp")) => (rest, Some(Proto::Tcp)),
            Some((rest, "udp")) => (rest, Some(Proto::Udp)),
            Some((rest, "icmp")) => (rest, Some(Proto::Icmp)),
            Some(_) => return Err(no("the protocol is tcp, udp or icmp")),
        };
        // an IPv6 address has colons of its own: with a port it is in brackets
        let (to, port) = if rest.parse::<IpAddr>().is_ok() {
            (rest, None)
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (address, port) = inner.split_once(']').ok_or_else(|| no("a bracket is not closed"))?;
            (address, port.strip_prefix(':'))
        } else {
            // some namespaces have a colon in the name that a scene gives them
            let named = SCENE_NAMES.iter().find(|prefix| rest.starts_with(**prefix)).map_or(0, |prefix| prefix.len());
            let colon = rest.get(named..).and_then(|tail| tail.find(':')).map(|at| named + at);
            colon.map_or((rest, None), |at| (&rest[..at], rest.get(at + 1..)))
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(no("a port is a number from 1 to 65535")),
        };
        if to.is_empty() {
            return Err(no("where to?"));
        }
        if to.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err(no("this means no address at all"));
        }
        let proto = match (proto, port) {
            (Some(Proto::Tcp | Proto::Udp), None) => return Err(no("tcp and udp need a port")),
            (Some(Proto::Icmp), Some(_)) => return Err(no("icmp has no ports")),
            (Some(proto), _) => proto,
            (None, Some(_)) => Proto::Tcp,
            (None, None) => Proto::Icmp,
        };
        Ok(Self { to: to.to_owned(), proto, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let read = |text: &str| text.parse::<Target>().map(|target| (target.to, target.proto, target.port));
        let ok = |to: &str, proto, port| Ok((to.to_owned(), proto, port));
        assert_eq!(read("web"), ok("web", Proto::Icmp, None));
        assert_eq!(read("web:80"), ok("web", Proto::Tcp, Some(80)));
        assert_eq!(read("10.0.0.1:53/udp"), ok("10.0.0.1", Proto::Udp, Some(53)));
        assert_eq!(read("fd00::1"), ok("fd00::1", Proto::Icmp, None));
        assert_eq!(read("[fd00::1]:443"), ok("fd00::1", Proto::Tcp, Some(443)));
        assert_eq!(read("docker:0a1b2c3d4e5f"), ok("docker:0a1b2c3d4e5f", Proto::Icmp, None));
        assert_eq!(read("pid:1234:80"), ok("pid:1234", Proto::Tcp, Some(80)));
        assert_eq!(read("web/icmp"), ok("web", Proto::Icmp, None));
        for wrong in [
            "",
            ":80",
            "web:",
            "web:0",
            "web:x",
            "web:80/sctp",
            "web/tcp",
            "web:1/icmp",
            "[fd00::1",
            "web:70000",
            "::",
            "0.0.0.0:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
