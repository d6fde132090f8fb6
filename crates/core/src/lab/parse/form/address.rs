//! Addresses, subnets, gateways.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::{Form, Text};
use crate::lab::parse::read::Reader;
use crate::lab::parse::scalar::decimal;
use crate::lab::{Address, At};

/// An IP address; a wrong one with the reason.
pub(super) fn ip(text: Text<'_>, reader: &mut Reader) -> Option<IpAddr> {
    match text.text.parse() {
        Ok(ip) => Some(ip),
        Err(_) => {
            let problem = text.problem(format!("`{}` is not an IP address", text.text));
            reader.report(match reason(text.text) {
                Some((label, help)) if help.is_empty() => problem.label(label),
                Some((label, help)) => problem.label(label).help(help),
                None => problem.help("addresses look like 10.0.0.1 or fd00::1"),
            });
            None
        }
    }
}

/// Why a text is no address, if it nearly is one, and the way out.
fn reason(text: &str) -> Option<(String, String)> {
    if let Some((address, zone)) = text.split_once('%') {
        return address.parse::<IpAddr>().ok().map(|ip| {
            (format!("`%{zone}` names an interface"), format!("write {ip} alone: the end says which interface"))
        });
    }
    if let Some((address, _)) = text.split_once('/') {
        return address
            .parse::<IpAddr>()
            .ok()
            .map(|ip| ("a prefix length is not possible here".into(), format!("write {ip}")));
    }
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() != 4 {
        return Some((format!("an IPv4 address has four numbers, this has {}", parts.len()), String::new()));
    }
    let part = parts.iter().find(|part| part.parse::<u8>().is_err() || decimal(part).is_none())?;
    if part.is_empty() {
        return Some(("a number is missing between the dots".into(), String::new()));
    }
    match part.parse::<u64>() {
        Ok(number) if number <= 255 => {
            let plain: Vec<String> =
                parts.iter().map(|p| p.parse::<u64>().map_or_else(|_| (*p).into(), |n| n.to_string())).collect();
            Some((
                format!("`{part}` has a leading zero: some programs take it for octal"),
                format!("did you mean {}?", plain.join(".")),
            ))
        }
        _ => Some((format!("{part} is more than 255"), String::new())),
    }
}

/// `/LEN` of an address of this family.
fn prefix_len(ip: IpAddr, text: Text<'_>, reader: &mut Reader) -> Option<u8> {
    let max: u8 = if ip.is_ipv4() { 32 } else { 128 };
    match decimal(text.text).and_then(|len| u8::try_from(len).ok()).filter(|len| *len <= max) {
        Some(len) => Some(len),
        None => {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let problem = if text.text.is_empty() {
                text.problem("no prefix length stands after `/`")
            } else {
                text.problem(format!("`{}` cannot be a prefix length", text.text))
            };
            let problem = problem.label(format!("{family} has 0 to {max}"));
            let mask = text.text.parse().ok().and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
            reader.report(
                match mask.or_else(|| text.text.trim_start_matches('0').parse().ok().filter(|len| *len <= max)) {
                    Some(len) => problem.help(format!("did you mean {ip}/{len}?")),
                    None => problem,
                },
            );
            None
        }
    }
}

/// An address with or without prefix length, as part of a text.
pub(super) fn address(text: Text<'_>, reader: &mut Reader) -> Option<At<Address>> {
    let (ip, prefix_len) = match text.split_once("/") {
        None => (ip(text, reader)?, None),
        Some((before, after)) => {
            let ip = ip(before, reader)?;
            (ip, Some(prefix_len(ip, after, reader)?))
        }
    };
    Some(At::new(Address { ip, prefix_len }, text.span()))
}

/// A prefix as part of a text; host bits must be zero. Without length it is a single address if `single`.
pub(super) fn net(text: Text<'_>, single: bool, reader: &mut Reader) -> Option<IpNet> {
    let Some((before, after)) = text.split_once("/") else {
        let ip = ip(text, reader)?;
        if !single {
            let usual = if ip.is_ipv4() { 24 } else { 64 };
            let help = IpNet::new(ip, usual).map(|net| net.trunc().to_string()).unwrap_or_default();
            reader.report(
                text.problem(format!("`{}` has no prefix length", text.text))
                    .label("an address, not a subnet")
                    .help(format!("a subnet is written like {help}")),
            );
            return None;
        }
        return Some(IpNet::from(ip));
    };
    let ip = ip(before, reader)?;
    let len = prefix_len(ip, after, reader)?;
    let net = IpNet::new(ip, len).ok()?;
    if net.trunc() != net {
        reader.report(
            text.problem(format!("`{}` is an address in a subnet, not a subnet", text.text))
                .label(format!("bits beyond /{len} are not zero"))
                .help(format!("did you mean {}?", net.trunc())),
        );
        return None;
    }
    Some(net)
}

impl Form for Address {
    const DEF: &'static str = "address";
    const WHAT: &'static str = "an address";
    const HELP: &'static str =
        "an address with its prefix length (10.0.0.1/24, fd00::1/64); without where a subnet gives one";
    const PATTERN: &'static str = "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(/[0-9]{1,3})?$";
    const EXAMPLES: &'static [&'static str] = &["10.0.0.1/24", "10.10.0.20", "fd00::1/64"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        address(text, reader).map(|at| at.value)
    }
}

/// The subnet of a switch or a link: written, or raum is to choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) enum Subnet {
    /// This one; host bits are zero.
    Written(IpNet),
    /// `auto`
    Chosen,
}

impl Subnet {
    /// Those that are written, and where it is said that raum is to choose.
    pub(in crate::lab) fn apart(all: &[At<Subnet>]) -> (Vec<At<IpNet>>, Option<At<()>>) {
        let written = all.iter().filter_map(|at| match at.value {
            Subnet::Written(net) => Some(At::new(net, at.span.clone())),
            Subnet::Chosen => None,
        });
        let chosen = all.iter().find(|at| at.value == Subnet::Chosen).map(|at| At::new((), at.span.clone()));
        (written.collect(), chosen)
    }
}

impl Form for Subnet {
    const DEF: &'static str = "subnet";
    const WHAT: &'static str = "a subnet";
    const HELP: &'static str = "a subnet is written like 10.10.0.0/24 or fd01::/64; for `auto` raum chooses";
    const PATTERN: &'static str = "^(([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)/[0-9]{1,3}|auto)$";
    const EXAMPLES: &'static [&'static str] = &["10.10.0.0/24", "fd01::/64", "auto"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        match text.text {
            "auto" => Some(Subnet::Chosen),
            _ => net(text, false, reader).map(Subnet::Written),
        }
    }
}

/// The next hop of the default route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) struct Gateway(pub IpAddr);

impl Form for Gateway {
    const DEF: &'static str = "gateway";
    const WHAT: &'static str = "the address of a gateway";
    const HELP: &'static str = "the gateway of a namespace is an address like 10.0.0.1 or fd00::1, or `none`; who routes for \
                                a whole switch is said by the switch's `gateway`";
    const PATTERN: &'static str = "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*|none)$";
    const EXAMPLES: &'static [&'static str] = &["10.0.0.1", "fd00::1", "none"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        // 0.0.0.0, as `route -n` shows it
        if text.text == "none" {
            return Some(Gateway(Ipv4Addr::UNSPECIFIED.into()));
        }
        if crate::name::NodeName::new(text.text).is_ok() && !text.text.bytes().all(|b| b.is_ascii_digit()) {
            reader.report(
                text.problem(format!("the gateway of a namespace is an address, not the name `{}`", text.text))
                    .label("a name")
                    .help("write the gateway's address, or leave it out: the switch's `gateway` is the way out then"),
            );
            return None;
        }
        let ip = ip(text, reader)?;
        if ip.is_unspecified() {
            reader.report(
                text.problem(format!("{ip} is nobody's address"))
                    .label("every address")
                    .help("for a namespace without a default route write `gateway: none`"),
            );
            return None;
        }
        Some(Gateway(ip))
    }
}

/// The source address of what leaves a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab::parse) struct Source(pub IpAddr);

impl Form for Source {
    const DEF: &'static str = "source";
    const WHAT: &'static str = "a source address";
    const HELP: &'static str = "the source address is one address, like 203.0.113.7 or 2001:db8::7";
    const PATTERN: &'static str = "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$";
    const EXAMPLES: &'static [&'static str] = &["203.0.113.7", "2001:db8::7"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let ip = ip(text, reader)?;
        if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
            reader.report(
                text.problem(format!("{ip} cannot be a source address"))
                    .label("no answer would come back to it")
                    .help(Self::HELP),
            );
            return None;
        }
        Some(Source(ip))
    }
}
