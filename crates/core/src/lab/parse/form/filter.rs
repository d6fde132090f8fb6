//! Filter rules: who may reach whom, by which service.

use super::address::net;
use super::port::ports;
use super::{Form, Text};
use crate::lab::parse::meant::nearest;
use crate::lab::parse::read::Reader;
use crate::lab::{At, FilterRule, Party, Policy, Proto, Service};
use crate::name::NodeName;

impl Form for Policy {
    const DEF: &'static str = "policy";
    const WHAT: &'static str = "allow or deny";
    const HELP: &'static str = "write `allow` or `deny`";
    const PATTERN: &'static str = "^(allow|deny)$";
    const EXAMPLES: &'static [&'static str] = &["allow", "deny"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        match text.text {
            "allow" => Some(Policy::Allow),
            "deny" => Some(Policy::Deny),
            other => {
                let help = match other.to_ascii_lowercase().as_str() {
                    "drop" | "reject" | "block" | "no" => "did you mean `deny`?",
                    "accept" | "permit" | "yes" => "did you mean `allow`?",
                    other => match nearest(other, ["allow", "deny"].into_iter()) {
                        Some("allow") => "did you mean `allow`?",
                        Some(_) => "did you mean `deny`?",
                        None => Self::HELP,
                    },
                };
                reader.report(text.problem(format!("expected allow or deny, found `{other}`")).help(help));
                None
            }
        }
    }
}

impl Form for FilterRule {
    const DEF: &'static str = "filterRule";
    const WHAT: &'static str = "a filter rule";
    const HELP: &'static str = "write `FROM -> [TO] SERVICE`, like \"web -> 5432/tcp\", \"lan -> server 80-90\", \
                                \"10.0.0.0/8 -> icmp\", or `FROM` alone for everything from there";
    const PATTERN: &'static str = "^\\s*[^\\s]+(\\s*->\\s*[^\\s]+(\\s+[^\\s]+)?)?\\s*$";
    const EXAMPLES: &'static [&'static str] =
        &["web -> 5432/tcp", "any -> icmp", "front -> back 8000-8010/tcp", "10.0.0.0/8 -> 53/udp", "admin"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text, None),
        };
        let mut froms = left.words().into_iter();
        let Some(from) = froms.next() else {
            reader.report(
                text.problem("who sends is missing").label("expected a name, a prefix or `any`").help(Self::HELP),
            );
            return None;
        };
        if let Some(more) = froms.next() {
            reader.report(more.problem(format!("`{}` is one word too many", more.text)).help(Self::HELP));
            return None;
        }
        let from = party(from, reader);
        let Some(right) = right else {
            return Some(FilterRule { from: from?, to: None, service: Service::All });
        };
        let (to, service) = match right.words().as_slice() {
            [] => {
                reader.report(
                    right.problem("nothing stands after `->`").label("expected a name or a service").help(Self::HELP),
                );
                return None;
            }
            [one] if is_service(one.text) => (None, self::service(*one, reader)),
            [one] => (Some(party(*one, reader)), Some(Service::All)),
            [to, service] => (Some(party(*to, reader)), self::service(*service, reader)),
            [_, _, third, ..] => {
                reader.report(third.problem(format!("`{}` is one word too many", third.text)).help(Self::HELP));
                return None;
            }
        };
        let to = match to {
            Some(to) => Some(to?),
            None => None,
        };
        Some(FilterRule { from: from?, to, service: service? })
    }
}

/// Is a single word after the arrow a service? A number is a port, not a name.
fn is_service(text: &str) -> bool {
    let port = text.split_once('/').map_or(text, |(port, _)| port);
    let is_number =
        port.starts_with(|c: char| c.is_ascii_digit()) && port.chars().all(|c| c.is_ascii_digit() || c == '-');
    is_number || ["icmp", "tcp", "udp", "sctp"].contains(&text)
}

fn service(text: Text<'_>, reader: &mut Reader) -> Option<Service> {
    match text.text {
        "icmp" => return Some(Service::Icmp),
        "tcp" => return Some(Service::Proto(Proto::Tcp)),
        "udp" => return Some(Service::Proto(Proto::Udp)),
        "sctp" => return Some(Service::Proto(Proto::Sctp)),
        _ => {}
    }
    let (port, proto) = super::port::proto(text, reader)?;
    if !port.text.starts_with(|c: char| c.is_ascii_digit()) {
        reader.report(
            text.problem(format!("`{}` is no service", text.text))
                .label("expected a port, like 80 or 53/udp, a protocol, or icmp")
                .help(FilterRule::HELP),
        );
        return None;
    }
    let (first, last) = ports(port, reader)?;
    Some(Service::Ports(proto, first, last))
}

fn party(text: Text<'_>, reader: &mut Reader) -> Option<At<Party>> {
    if text.text == "any" {
        return Some(At::new(Party::Any, text.span()));
    }
    if text.text.contains(['.', ':', '/']) {
        return net(text, true, reader).map(|net| At::new(Party::Net(net), text.span()));
    }
    match NodeName::new(text.text) {
        Ok(name) => Some(At::new(Party::Name(name), text.span())),
        Err(error) => {
            let problem = text.problem(format!("`{}` is no name and no prefix", text.text)).label(error.to_string());
            reader.report(if text.text.contains('[') {
                problem.help("give the range a name under `groups:`")
            } else {
                problem.help(FilterRule::HELP)
            });
            None
        }
    }
}
