//! Ports: `publish` on the host and `forward` on a router.

use std::net::IpAddr;

use super::name::interface;
use super::{Form, Text, address};
use crate::lab::parse::meant::nearest;
use crate::lab::parse::read::Reader;
use crate::lab::parse::scalar::decimal;
use crate::lab::{At, Forward, Proto, Publish};
use crate::name::NodeName;

/// The protocol at the end, taken off; TCP without one.
pub(super) fn proto<'a>(text: Text<'a>, reader: &mut Reader) -> Option<(Text<'a>, Proto)> {
    let Some((before, after)) = text.rsplit_once("/") else { return Some((text, Proto::Tcp)) };
    match after.text {
        "tcp" => Some((before, Proto::Tcp)),
        "udp" => Some((before, Proto::Udp)),
        "sctp" => Some((before, Proto::Sctp)),
        other => {
            let problem = after.problem(format!("`{other}` cannot be forwarded")).label("expected tcp, udp or sctp");
            reader.report(match nearest(other, ["tcp", "udp", "sctp"].into_iter()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help("the protocols with ports are tcp, which need not be written, udp and sctp"),
            });
            None
        }
    }
}

/// A port or a range of them: first and last.
pub(super) fn ports(text: Text<'_>, reader: &mut Reader) -> Option<(u16, u16)> {
    match text.split_once("-") {
        None => port(text, reader).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (port(first, reader), port(last, reader));
            let (first, last) = (first?, last?);
            if first > last {
                reader.report(
                    text.problem("the range of ports runs backwards")
                        .label(format!("{first} is more than {last}"))
                        .help(format!("did you mean {last}-{first}?")),
                );
                return None;
            }
            Some((first, last))
        }
    }
}

pub(super) fn port(text: Text<'_>, reader: &mut Reader) -> Option<u16> {
    match decimal(text.text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) {
        Some(port) => Some(port),
        None => {
            let message = if text.text.is_empty() {
                "a port is missing".to_owned()
            } else {
                format!("`{}` cannot be a port", text.text)
            };
            reader.report(text.problem(message).label("ports are 1 to 65535"));
            None
        }
    }
}

/// As many ports of the target as are taken in.
fn same_length(from: (u16, u16), to: (u16, u16), text: Text<'_>, reader: &mut Reader) -> Option<u16> {
    let (from_count, to_count) = (from.1 - from.0, to.1 - to.0);
    if from_count == to_count {
        return Some(to.0);
    }
    let problem = text
        .problem(match from_count {
            0 => format!("one port cannot lead to {}", u32::from(to_count) + 1),
            more => format!("{} ports cannot lead to {}", u32::from(more) + 1, u32::from(to_count) + 1),
        })
        .label("as many are needed here");
    reader.report(match to.0.checked_add(from_count) {
        Some(last) if from_count > 0 => problem.help(format!("did you mean {}-{last}?", to.0)),
        Some(_) => problem.help(format!("did you mean {}?", to.0)),
        None => problem,
    });
    None
}

/// `ADDRESS:` before ports, taken off. `[::1]:` for IPv6.
fn address_before<'a>(text: Text<'a>, reader: &mut Reader) -> Option<(Option<IpAddr>, Text<'a>)> {
    if text.text.starts_with('[') {
        let Some((inside, after)) = text.part(1..text.text.len()).split_once("]") else {
            reader.report(text.problem("the bracket is not closed").label("expected `[ADDRESS]:PORT`"));
            return None;
        };
        let ip = address::ip(inside, reader)?;
        if !after.text.starts_with(':') {
            reader.report(after.problem("a port is missing").label("expected `:PORT` after the address"));
            return None;
        }
        return some_address(ip, inside, reader).map(|ip| (Some(ip), after.part(1..after.text.len())));
    }
    let colons = text.text.bytes().filter(|&b| b == b':').count();
    if text.text.contains("::") || colons > 2 {
        reader.report(
            text.problem(format!("`{}` is not an address and a port", text.text))
                .label("where does the address end?")
                .help("put an IPv6 address in brackets: `[::1]:53`"),
        );
        return None;
    }
    match text.split_once(":") {
        Some((before, after)) if before.text.contains('.') => {
            let ip = address::ip(before, reader)?;
            some_address(ip, before, reader).map(|ip| (Some(ip), after))
        }
        None if text.text.contains('.') => {
            reader.report(text.problem("a port is missing").label("an address alone").help("write `ADDRESS:PORT`"));
            None
        }
        _ => Some((None, text)),
    }
}

fn some_address(ip: IpAddr, text: Text<'_>, reader: &mut Reader) -> Option<IpAddr> {
    if ip.is_unspecified() {
        reader.report(
            text.problem(format!("nothing arrives at `{ip}`"))
                .label("not needed")
                .help("leave the address out: all addresses of the host are meant then"),
        );
        return None;
    }
    Some(ip)
}

impl Form for Publish {
    const DEF: &'static str = "publish";
    const WHAT: &'static str = "a port to publish";
    const HELP: &'static str = "write \"8080:80\" (the host's port first), \"127.0.0.1:8080:80\", \"[::1]:53:53/udp\" or \
                                \"8000-8010:8000-8010\"";
    const PATTERN: &'static str = "^((\\[[0-9a-fA-F:.]+\\]|[0-9]{1,3}(\\.[0-9]{1,3}){3}):)?[0-9]+(-[0-9]+)?(:[0-9]+(-[0-9]+)?)?(/(tcp|udp|sctp))?$";
    const EXAMPLES: &'static [&'static str] =
        &["8080:80", "80", "127.0.0.1:8080:80/udp", "[::1]:53:53/udp", "3868:3868/sctp", "8000-8010:8000-8010"];
    const NUMBER: bool = true;

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let (rest, proto) = proto(text, reader)?;
        let (address, rest) = address_before(rest, reader)?;
        let (host, target) = rest.split_once(":").unwrap_or((rest, rest));
        if target.text.contains(':') {
            reader.report(
                rest.problem(format!("`{}` has a part too many", rest.text))
                    .label("expected HOST-PORT:PORT")
                    .help(Self::HELP),
            );
            return None;
        }
        let ports_in = ports(host, reader);
        if host.text == rest.text {
            let ports = ports_in?;
            return Some(Publish { address, ports, target: ports.0, proto });
        }
        let ports_out = ports(target, reader);
        let (ports, ports_out) = (ports_in?, ports_out?);
        let target = same_length(ports, ports_out, target, reader)?;
        Some(Publish { address, ports, target, proto })
    }
}

impl Form for Forward {
    const DEF: &'static str = "forward";
    const WHAT: &'static str = "a port to forward";
    const HELP: &'static str =
        "write \"wan 2222 -> laptop:22\", \"53/udp -> dns\" or \"203.0.113.2:8000-8010 -> web:8000-8010\"";
    const PATTERN: &'static str = "^\\s*([^/:%\\s]{1,15}\\s+)?((\\[[0-9a-fA-F:.]+\\]|[0-9]{1,3}(\\.[0-9]{1,3}){3}):)?[0-9]+(-[0-9]+)?(/(tcp|udp|sctp))?\\s*->\\s*[A-Za-z0-9][A-Za-z0-9_-]*(:[0-9]+(-[0-9]+)?)?\\s*$";
    const EXAMPLES: &'static [&'static str] =
        &["wan 2222 -> laptop:22", "53/udp -> dns", "203.0.113.2:8000-8010 -> web:8000-8010"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let Some((left, right)) = text.rsplit_once("->") else {
            reader.report(
                text.problem(format!("`{}` leads nowhere", text.text))
                    .label("expected `-> NODE` in it")
                    .help(Self::HELP),
            );
            return None;
        };
        let from = from(left, text, reader);
        let right = right.trim();
        let (name, target) = right.split_once(":").map_or((right, None), |(name, port)| (name, Some(port)));
        let node = match NodeName::new(name.text) {
            Ok(node) => Some(At::new(node, name.span())),
            Err(error) => {
                let problem =
                    name.problem(format!("`{}` cannot be the name of a namespace", name.text)).label(error.to_string());
                reader.report(if name.text.contains('.') {
                    problem.help("write the name of the namespace, not its address")
                } else if name.text.is_empty() {
                    problem.help(Self::HELP)
                } else {
                    problem
                });
                None
            }
        };
        let target_ports = match target {
            Some(target) => Some((target, ports(target, reader)?)),
            None => None,
        };
        let (interface, address, ports, proto) = from?;
        let target = match target_ports {
            None => ports.0,
            Some((text, to)) => same_length(ports, to, text, reader)?,
        };
        Some(Forward { interface, address, ports, proto, node: node?, target })
    }
}

type From = (Option<At<crate::name::IfName>>, Option<IpAddr>, (u16, u16), Proto);

/// What stands before the arrow.
fn from(left: Text<'_>, whole: Text<'_>, reader: &mut Reader) -> Option<From> {
    let words = left.words();
    let (ifname, ports_text) = match words.as_slice() {
        [ports] => (None, *ports),
        [ifname, ports] => (Some(*ifname), *ports),
        [] => {
            reader.report(whole.problem("no port stands before `->`").label("expected a port").help(Forward::HELP));
            return None;
        }
        [_, _, third, ..] => {
            reader.report(third.problem(format!("`{}` is one word too many", third.text)).help(Forward::HELP));
            return None;
        }
    };
    let interface = match ifname {
        Some(ifname) => Some(interface(ifname, reader)?),
        None => None,
    };
    let (rest, proto) = proto(ports_text, reader)?;
    let (address, rest) = address_before(rest, reader)?;
    Some((interface, address, ports(rest, reader)?, proto))
}
