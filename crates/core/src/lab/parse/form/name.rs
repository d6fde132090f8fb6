//! Names: of labs, nodes, interfaces, and ranges of node names.

use std::str::FromStr;

use super::{Form, Text};
use crate::lab::At;
use crate::lab::parse::read::Reader;
use crate::lab::range::NameRange;
use crate::name::{IfName, LabName, Mac, MacError, NameError, NodeName};

/// A part of a text as a value with its place; what the type says of a wrong one is the problem.
pub(super) fn value<T: FromStr>(text: Text<'_>, what: &str, reader: &mut Reader) -> Option<At<T>>
where
    T::Err: std::fmt::Display,
{
    match text.text.parse() {
        Ok(value) => Some(At::new(value, text.span())),
        Err(error) => {
            // the message has the text already
            let label = error.to_string().replace(&format!("`{}`", text.text), "this");
            reader.report(text.problem(format!("`{}` cannot be {what}", text.text)).label(label));
            None
        }
    }
}

/// An interface name; a long one gets a proposal.
pub(super) fn interface(text: Text<'_>, reader: &mut Reader) -> Option<At<IfName>> {
    match IfName::new(text.text) {
        Ok(name) => Some(At::new(name, text.span())),
        Err(error @ NameError::TooLong { .. }) => {
            reader.report(
                text.problem(format!("`{}` is too long for an interface", text.text))
                    .label(error.to_string().replace(&format!("`{}`", text.text), "this"))
                    .help("the kernel's limit is IFNAMSIZ, 16 bytes with the final zero"),
            );
            None
        }
        Err(error) => {
            reader.report(
                text.problem(format!("`{}` cannot be an interface's name", text.text)).label(error.to_string()),
            );
            None
        }
    }
}

impl Form for LabName {
    const DEF: &'static str = "labName";
    const WHAT: &'static str = "a lab's name";
    const HELP: &'static str =
        "a name has letters, digits, `-` and `_`, at most 63, and begins with a letter or a digit";
    const PATTERN: &'static str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$";
    const EXAMPLES: &'static [&'static str] = &["shop", "two-rooms"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        value(text, Self::WHAT, reader).map(|at| at.value)
    }
}

impl Form for NodeName {
    const DEF: &'static str = "nodeName";
    const WHAT: &'static str = "the name of a namespace";
    const HELP: &'static str =
        "a name has letters, digits, `-` and `_`, at most 63, and begins with a letter or a digit";
    const PATTERN: &'static str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$";
    const EXAMPLES: &'static [&'static str] = &["router", "host"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        if text.text.parse::<std::net::IpAddr>().is_ok() {
            reader.report(
                text.problem(format!("expected the name of a namespace, found the address `{}`", text.text))
                    .label("an address")
                    .help("write the name of who has this address, or `host`"),
            );
            return None;
        }
        value(text, Self::WHAT, reader).map(|at| at.value)
    }
}

impl Form for IfName {
    const DEF: &'static str = "interfaceName";
    const WHAT: &'static str = "an interface's name";
    const HELP: &'static str = "an interface's name has 1 to 15 bytes, and no `/`, `:`, `%` or space";
    const PATTERN: &'static str = "^[^/:%\\s]{1,15}$";
    const EXAMPLES: &'static [&'static str] = &["eth0", "wan"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        interface(text, reader).map(|at| at.value)
    }
}

impl Form for Mac {
    const DEF: &'static str = "mac";
    const WHAT: &'static str = "a hardware address";
    const HELP: &'static str = "a hardware address is written like 02:00:5e:10:00:01";
    const PATTERN: &'static str = "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$";
    const EXAMPLES: &'static [&'static str] = &["02:00:5e:10:00:01"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let (label, help) = match text.text.parse() {
            Ok(mac) => return Some(mac),
            Err(MacError::NotUnicast(_)) => {
                let first = text.text.get(..2).and_then(|byte| u8::from_str_radix(byte, 16).ok()).unwrap_or(0);
                match text.text.get(2..) {
                    // the lowest bit says so; the next one, that nobody has bought the address (IEEE 802)
                    Some(rest) if first != 0 => {
                        let own = format!("{:02x}{rest}", (first & 0xfe) | 0x02);
                        ("the address of a group, not of one interface", format!("did you mean {own}?"))
                    }
                    _ => ("no interface can have zero", Self::HELP.to_owned()),
                }
            }
            Err(MacError::Form(_)) => match text.text.replace(['-', '.'], ":").parse::<Mac>() {
                Ok(mac) => ("the bytes are separated by colons", format!("did you mean {mac}?")),
                Err(_) => ("six bytes are needed", Self::HELP.to_owned()),
            },
        };
        reader.report(text.problem(format!("`{}` cannot be a hardware address", text.text)).label(label).help(help));
        None
    }
}

/// A name of a node or switch, or of many: `n[1-100]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lab::parse) struct Names(pub NameRange);

impl Form for Names {
    const DEF: &'static str = "names";
    const WHAT: &'static str = "a name";
    const HELP: &'static str = "a name has letters, digits, `-` and `_`; a range in it stands for many: \"n[1-100]\"";
    const PATTERN: &'static str =
        "^([A-Za-z0-9][A-Za-z0-9_-]*|([A-Za-z0-9][A-Za-z0-9_-]*)?\\[[0-9]+-[0-9]+\\][A-Za-z0-9_-]*)$";
    const EXAMPLES: &'static [&'static str] = &["web", "n[1-100]", "rack[01-12]-a"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        names(text, reader).map(|at| at.value)
    }
}

/// A name or a range of names as a part of a text.
pub(super) fn names(text: Text<'_>, reader: &mut Reader) -> Option<At<Names>> {
    match NameRange::new(text.text) {
        Ok(range) => Some(At::new(Names(range), text.span())),
        Err(error) => {
            let problem = text.problem(format!("`{}` cannot be a name", text.text)).label(error.to_string());
            reader.report(match error.help() {
                Some(help) => problem.help(help),
                None => problem,
            });
            None
        }
    }
}
