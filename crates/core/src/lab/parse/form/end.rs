//! Ends of links: `NODE[:INTERFACE] [ADDRESS/LEN …]`, `SWITCH[:INTERFACE] [ADDRESS …]`.

use super::name::{Names, interface, names};
use super::{Form, Text, address};
use crate::lab::parse::read::Reader;
use crate::lab::{Address, At};
use crate::name::{IfName, Mac};

/// An end whose names may still be a range.
#[derive(Debug, Clone)]
pub(in crate::lab::parse) struct RawEnd {
    pub to: At<Names>,
    pub interface: Option<At<IfName>>,
    pub addresses: Vec<At<Address>>,
    pub mtu: Option<At<u32>>,
    pub mac: Option<At<Mac>>,
    pub down: Option<At<bool>>,
}

fn end(text: Text<'_>, reader: &mut Reader) -> Option<RawEnd> {
    let words = text.words();
    let Some((&first, rest)) = words.split_first() else {
        reader.report(text.problem("nothing is between the quotes").label("expected a name"));
        return None;
    };
    let (name, ifname) = match first.split_once(":") {
        Some((name, ifname)) if first.text.parse::<std::net::IpAddr>().is_err() => (name, Some(ifname)),
        _ => (first, None),
    };
    if address_like(first.text) {
        reader.report(
            first
                .problem(format!("expected a name, found the address `{}`", first.text))
                .label("an end begins with the name of what it is an end of")
                .help(format!("write `NAME {}`", first.text)),
        );
        return None;
    }
    let to = names(name, reader);
    let ifname = match ifname {
        None => Some(None),
        Some(ifname) if ifname.text.is_empty() => {
            reader.report(
                first
                    .problem(format!("no interface stands after `{}`", first.text))
                    .label("expected NAME or NAME:INTERFACE"),
            );
            None
        }
        Some(ifname) => interface(ifname, reader).map(Some),
    };
    let mut addresses = Vec::new();
    let mut rest = rest.iter().copied().peekable();
    while let Some(word) = rest.next() {
        if word.text == "dev"
            && let Some(ifname) = rest.next_if(|next| IfName::new(next.text).is_ok() && !address_like(next.text))
        {
            reader.report(
                word.problem("expected an address, found `dev`")
                    .label("not needed")
                    .help(format!("an interface's name follows a colon: `{}:{}`", name.text, ifname.text)),
            );
            continue;
        }
        if !address_like(word.text) {
            let problem = word.problem(format!("`{}` is not an IP address", word.text)).label("expected an address");
            reader.report(if IfName::new(word.text).is_ok() {
                problem.help(format!("an interface's name follows a colon: `{}:{}`", name.text, word.text))
            } else {
                problem.help("an end is written `NAME:INTERFACE ADDRESS/LEN …`")
            });
            continue;
        }
        addresses.extend(address::address(word, reader));
    }
    Some(RawEnd { to: to?, interface: ifname?, addresses, mtu: None, mac: None, down: None })
}

/// Does somebody who writes this mean an address, be it a wrong one?
fn address_like(word: &str) -> bool {
    let hex = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let before = word.split(['/', '%']).next().unwrap_or_default();
    let digits = |b: u8| b.is_ascii_digit();
    (before.bytes().filter(|&b| b == b'.').count() >= 2 && before.bytes().all(|b| digits(b) || b == b'.'))
        || (before.bytes().filter(|&b| b == b':').count() >= 2 && before.bytes().all(hex))
        || (word.contains('/') && before.bytes().all(hex))
}

/// An end in `links:`.
#[derive(Debug, Clone)]
pub(in crate::lab::parse) struct LinkEnd(pub RawEnd);

impl Form for LinkEnd {
    const DEF: &'static str = "linkEnd";
    const WHAT: &'static str = "the end of a link";
    const HELP: &'static str = "an end is written `NODE`, `NODE:INTERFACE` or `NODE:INTERFACE 10.0.0.1/24 fd00::1/64`";
    const PATTERN: &'static str = "^[A-Za-z0-9_\\[\\]-]+(:[^/:%\\s]{1,15})?(\\s+[0-9a-fA-F:.]+(/[0-9]{1,3})?)*$";
    const EXAMPLES: &'static [&'static str] = &["red", "red 10.0.0.1/24", "router:wan 203.0.113.2/30 2001:db8::2/64"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        end(text, reader).map(LinkEnd)
    }
}

/// An attachment to a switch, in `on:`.
#[derive(Debug, Clone)]
pub(in crate::lab::parse) struct OnEnd(pub RawEnd);

impl Form for OnEnd {
    const DEF: &'static str = "onEnd";
    const WHAT: &'static str = "a switch";
    const HELP: &'static str = "write `SWITCH`, `SWITCH:INTERFACE` or `SWITCH:INTERFACE 10.10.0.20`";
    const PATTERN: &'static str = "^[A-Za-z0-9_\\[\\]-]+(:[^/:%\\s]{1,15})?(\\s+[0-9a-fA-F:.]+(/[0-9]{1,3})?)*$";
    const EXAMPLES: &'static [&'static str] = &["lan", "lan 10.10.0.20", "lan:uplink 10.10.0.20 fd01::20"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        end(text, reader).map(OnEnd)
    }
}
