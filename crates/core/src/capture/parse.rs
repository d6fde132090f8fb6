//! Filters as tcpdump and Wireshark's capture dialogue have them (pcap-filter(7)): the part of that language that speaks of
//! Ethernet, ARP, IPv4, IPv6, ICMP, TCP, UDP and SCTP without looking into their bytes.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::expr::{self, Expr, Side};
use crate::name::Mac;
use crate::problem::Problem;

/// Longer filters are mistakes.
const BYTES_MAX: usize = 16 * 1024;
/// Brackets and `not` within each other.
const DEPTH_MAX: usize = 200;
/// Of the whole language, what is not possible here, and why.
const REFUSED: [(&str, &str); 14] = [
    ("vlan", "frames come here without their VLAN tags"),
    ("mpls", "MPLS is not looked into"),
    ("pppoes", "PPPoE is not looked into"),
    ("gateway", "write `ether host MAC and not host ADDRESS`"),
    ("mask", "write a prefix length: `net 10.0.0.0/8`"),
    ("inbound", "the direction is told of each packet, and not filtered by"),
    ("outbound", "the direction is told of each packet, and not filtered by"),
    ("ifname", "name the interface in front of the filter: `NODE:INTERFACE`"),
    ("protochain", "a protocol is looked for behind the IP header only"),
    ("rarp", "RARP is of the past; `ether proto 0x8035` is not possible either"),
    ("wlan", "these are Ethernet frames"),
    ("link", "write `ether`"),
    ("igmp", "write `ip proto 2`"),
    ("esp", "write `ip proto 50`"),
];

/// The filter that a text says; None if it says nothing. `addresses` are those of a name: a node of the lab.
///
/// # Errors
/// The first problem, with its place in the text.
pub fn parse(text: &str, addresses: &dyn Fn(&str) -> Vec<IpAddr>) -> Result<Option<Expr>, Box<Problem>> {
    if text.len() > BYTES_MAX {
        return Err(Box::new(Problem::new(
            format!("a filter of {} bytes; {BYTES_MAX} are possible", text.len()),
            0..0,
        )));
    }
    let words = words(text);
    if words.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { words, at: 0, end: text.len(), depth: 0, addresses, last: None };
    let filter = parser.either()?;
    match parser.peek() {
        None => Ok(Some(filter)),
        Some(word) => Err(Box::new(
            word.problem(format!("`{}` cannot follow here", word.text))
                .label("expected `and`, `or` or the end")
                .help("tests are joined by words: `tcp and port 80`"),
        )),
    }
}

#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    start: usize,
}

impl Word<'_> {
    fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn problem(&self, message: String) -> Problem {
        Problem::new(message, self.span())
    }
}

/// Words, brackets and `!`, `&&`, `||`.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut begin = None;
    let mut skip = 0;
    for (at, c) in text.char_indices() {
        if at < skip {
            continue;
        }
        let double = text[at..].starts_with("&&") || text[at..].starts_with("||");
        let own = matches!(c, '(' | ')' | '!') || double;
        if own || c.is_whitespace() {
            if let Some(start) = begin.take() {
                words.push(Word { text: &text[start..at], start });
            }
            if own {
                let length = if double { 2 } else { 1 };
                words.push(Word { text: &text[at..at + length], start: at });
                skip = at + length;
            }
        } else if begin.is_none() {
            begin = Some(at);
        }
    }
    if let Some(start) = begin {
        words.push(Word { text: &text[start..], start });
    }
    words
}

/// What kind of thing an identifier names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Protocol,
}

/// What stands before an identifier, and is understood before the next one if nothing does: `port 80 or 443`.
#[derive(Debug, Clone, Copy)]
struct Qualifiers<'a> {
    protocol: Option<Word<'a>>,
    side: Option<Side>,
    kind: Kind,
}

struct Parser<'a> {
    words: Vec<Word<'a>>,
    at: usize,
    /// Of the text.
    end: usize,
    depth: usize,
    addresses: &'a dyn Fn(&str) -> Vec<IpAddr>,
    last: Option<Qualifiers<'a>>,
}

type Parsed<T> = Result<T, Box<Problem>>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.text == text);
        self.at += usize::from(found);
        found
    }

    fn ends(&self, expected: &str) -> Box<Problem> {
        let last = self.words.last().map_or(0..0, Word::span);
        let place = if last.is_empty() { 0..self.end } else { last };
        Box::new(
            Problem::new("the filter ends too early".to_owned(), place)
                .label(format!("expected {expected} after this")),
        )
    }

    /// `and` and `or` bind equally, from the left (pcap-filter(7)).
    fn either(&mut self) -> Parsed<Expr> {
        let mut filter = self.one()?;
        loop {
            if self.take("and") || self.take("&&") {
                filter = filter.and(self.one()?);
            } else if self.take("or") || self.take("||") {
                filter = filter.or(self.one()?);
            } else {
                return Ok(filter);
            }
        }
    }

    fn one(&mut self) -> Parsed<Expr> {
        let Some(word) = self.peek() else { return Err(self.ends("a test")) };
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Box::new(word.problem(format!("more than {DEPTH_MAX} brackets within each other"))));
        }
        let filter = if self.take("not") || self.take("!") {
            self.one()?.inverted()
        } else if self.take("(") {
            let inner = self.either()?;
            if !self.take(")") {
                return Err(Box::new(match self.peek() {
                    Some(other) => other
                        .problem(format!("`{}` cannot follow here", other.text))
                        .label("expected `and`, `or` or `)`"),
                    None => word.problem("the bracket is not closed".to_owned()).label("opened here"),
                }));
            }
            inner
        } else {
            self.primitive()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn primitive(&mut self) -> Parsed<Expr> {
        let Some(first) = self.peek() else { return Err(self.ends("a test")) };
        if let Some((_, why)) = REFUSED.iter().find(|(word, _)| *word == first.text) {
            return Err(Box::new(first.problem(format!("`{}` is not possible here", first.text)).help(*why)));
        }
        if first.text.contains('[') {
            return Err(Box::new(
                first
                    .problem(format!("`{}`: bytes cannot be looked at", first.text))
                    .label("not possible here")
                    .help("capture more, and filter when reading: Wireshark's display filters can do that"),
            ));
        }
        match first.text {
            "broadcast" | "multicast" | "less" | "greater" => {
                self.at += 1;
                return self.plain(first);
            }
            "and" | "or" | "&&" | "||" | ")" => {
                return Err(Box::new(
                    first.problem(format!("`{}` cannot stand here", first.text)).label("expected a test"),
                ));
            }
            _ => {}
        }
        let protocol = self.protocol();
        if protocol.is_some_and(|word| word.text == "ether")
            && let Some(word) = self.peek().filter(|word| matches!(word.text, "broadcast" | "multicast"))
        {
            self.at += 1;
            return self.plain(word);
        }
        let side = self.side()?;
        let kind = match self.peek().map(|word| word.text) {
            Some("host") => Some(Kind::Host),
            Some("net") => Some(Kind::Net),
            Some("port") => Some(Kind::Port),
            Some("portrange") => Some(Kind::PortRange),
            Some("proto") => Some(Kind::Protocol),
            _ => None,
        };
        self.at += usize::from(kind.is_some());
        if let (Some(protocol), None, None) = (protocol, side, kind) {
            // a protocol alone; what follows is `and`, `or`, a bracket or the end
            let ends = self.peek().is_none_or(|word| matches!(word.text, "and" | "or" | "&&" | "||" | ")"));
            if ends && protocol.text != "ether" {
                self.last = None;
                return Ok(protocol_alone(protocol.text));
            }
        }
        let qualifiers = match (protocol, side, kind, self.last) {
            (None, None, None, Some(last)) => last,
            _ => Qualifiers { protocol, side, kind: kind.unwrap_or(Kind::Host) },
        };
        let bare = protocol.is_none() && side.is_none() && kind.is_none();
        let Some(word) = self.next() else { return Err(self.ends(expected(qualifiers.kind))) };
        if bare && self.last.is_none() {
            let known = word.text.parse::<IpAddr>().is_ok() || !(self.addresses)(word.text).is_empty();
            if !known {
                return Err(Box::new(unknown(word)));
            }
        }
        self.last = Some(qualifiers);
        self.identified(qualifiers, word)
    }

    fn protocol(&mut self) -> Option<Word<'a>> {
        let known = ["ether", "ip", "ip6", "arp", "tcp", "udp", "sctp", "icmp", "icmp6"];
        let word = self.peek().filter(|word| known.contains(&word.text))?;
        self.at += 1;
        Some(word)
    }

    fn side(&mut self) -> Parsed<Option<Side>> {
        let Some(word) = self.peek().filter(|word| matches!(word.text, "src" | "dst")) else { return Ok(None) };
        self.at += 1;
        let other = if word.text == "src" { "dst" } else { "src" };
        let joined = |parser: &Self, by: [&str; 2]| {
            let texts =
                [parser.words.get(parser.at), parser.words.get(parser.at + 1)].map(|word| word.map(|word| word.text));
            texts[0].is_some_and(|text| by.contains(&text)) && texts[1] == Some(other)
        };
        if joined(self, ["or", "||"]) {
            self.at += 2;
            return Ok(Some(Side::Either));
        }
        if joined(self, ["and", "&&"]) {
            self.at += 2;
            return Ok(Some(Side::Both));
        }
        Ok(Some(if word.text == "src" { Side::Source } else { Side::Destination }))
    }

    /// Tests that have no protocol before them.
    fn plain(&mut self, word: Word<'a>) -> Parsed<Expr> {
        self.last = None;
        Ok(match word.text {
            "broadcast" => Expr::broadcast(),
            "multicast" => Expr::multicast(),
            text => {
                let Some(number) = self.next() else { return Err(self.ends("a length in bytes")) };
                let bytes = number.text.parse::<u32>().ok().filter(|bytes| *bytes < u32::MAX);
                let Some(bytes) = bytes else {
                    return Err(Box::new(number.problem(format!("`{}` is no length", number.text)).label("bytes")));
                };
                // `less` and `greater` include the number (pcap-filter(7))
                if text == "greater" { Expr::at_least(bytes) } else { Expr::at_least(bytes + 1).inverted() }
            }
        })
    }

    fn identified(&self, qualifiers: Qualifiers<'a>, word: Word<'a>) -> Parsed<Expr> {
        let protocol = qualifiers.protocol.map(|word| word.text);
        let side = qualifiers.side.unwrap_or(Side::Either);
        let wrong = |protocol: &str, what: &str| {
            let place = qualifiers.protocol.map_or_else(|| word.span(), |word| word.span());
            Box::new(Problem::new(format!("`{protocol}` has no {what}"), place).label("does not fit to what follows"))
        };
        match qualifiers.kind {
            Kind::Host if protocol == Some("ether") => {
                let mac: Mac = word.text.parse().map_err(|_| {
                    Box::new(
                        word.problem(format!("`{}` is no hardware address", word.text))
                            .help("it is written like 02:00:5e:10:00:01; `ether broadcast` and `ether multicast` are possible too"),
                    )
                })?;
                Ok(Expr::ether_host(side, mac))
            }
            Kind::Host => {
                let nets: Vec<IpNet> = self.addresses_of(word)?.into_iter().map(IpNet::from).collect();
                self.nets(protocol, side, &nets, word).map_err(|()| match protocol {
                    Some(protocol @ ("ip" | "ip6" | "arp")) => {
                        Box::new(word.problem(format!("`{}` has no address that `{protocol}` could have", word.text)))
                    }
                    protocol => wrong(protocol.unwrap_or_default(), "hosts"),
                })
            }
            Kind::Net => {
                let net = self.net(word)?;
                self.nets(protocol, side, &[net], word)
                    .map_err(|()| wrong(protocol.unwrap_or_default(), "such networks"))
            }
            Kind::Port | Kind::PortRange => {
                let ports = ports(word, qualifiers.kind == Kind::PortRange)?;
                let of = |number| Expr::ports(side, number, ports);
                match protocol {
                    None => Ok(of(expr::TCP).or(of(expr::UDP)).or(of(expr::SCTP))),
                    Some("tcp") => Ok(of(expr::TCP)),
                    Some("udp") => Ok(of(expr::UDP)),
                    Some("sctp") => Ok(of(expr::SCTP)),
                    Some("ip") => {
                        Ok(Expr::ether_type(expr::IPV4).and(of(expr::TCP).or(of(expr::UDP)).or(of(expr::SCTP))))
                    }
                    Some("ip6") => {
                        Ok(Expr::ether_type(expr::IPV6).and(of(expr::TCP).or(of(expr::UDP)).or(of(expr::SCTP))))
                    }
                    Some(other) => Err(wrong(other, "ports")),
                }
            }
            Kind::Protocol => {
                let number = protocol_number(word)?;
                match (protocol, qualifiers.side) {
                    (_, Some(_)) => Err(Box::new(
                        word.problem("a protocol has no side".to_owned()).help("leave `src` or `dst` out"),
                    )),
                    (Some("ip"), _) => Ok(Expr::ipv4_protocol(number)),
                    (Some("ip6"), _) => Ok(Expr::ipv6_protocol(number)),
                    (None, _) => Ok(Expr::ipv4_protocol(number).or(Expr::ipv6_protocol(number))),
                    (Some(other), _) => Err(wrong(other, "protocols that could be told")),
                }
            }
        }
    }

    /// The addresses of a host: one, or those of a node.
    fn addresses_of(&self, word: Word<'a>) -> Parsed<Vec<IpAddr>> {
        if let Ok(ip) = word.text.parse::<IpAddr>() {
            return Ok(vec![ip]);
        }
        let known = (self.addresses)(word.text);
        if !known.is_empty() {
            return Ok(known);
        }
        let problem = word.problem(format!("`{}` is no address, and no node that has one", word.text));
        Err(Box::new(if word.text.contains('/') {
            problem.help(format!("write `net {}`", word.text))
        } else {
            problem.help("names are those of the lab's nodes; nobody is asked for others")
        }))
    }

    fn net(&self, word: Word<'a>) -> Parsed<IpNet> {
        let net = word.text.parse::<IpNet>().or_else(|_| word.text.parse::<IpAddr>().map(IpNet::from));
        let Ok(net) = net else {
            let problem = word.problem(format!("`{}` is no network", word.text));
            return Err(Box::new(problem.help("write the whole of it: `net 10.0.0.0/8`, `net fd00::/16`")));
        };
        if net.trunc() != net {
            let problem = word.problem(format!("`{}` is an address in a network", word.text));
            return Err(Box::new(
                problem
                    .label(format!("bits beyond /{} are not zero", net.prefix_len()))
                    .help(format!("did you mean {}?", net.trunc())),
            ));
        }
        Ok(net)
    }

    fn nets(&self, protocol: Option<&str>, side: Side, nets: &[IpNet], _: Word<'a>) -> Result<Expr, ()> {
        let mut all: Option<Expr> = None;
        for net in nets {
            let v4 = net.addr().is_ipv4();
            let one = match (protocol, v4) {
                // pcap-filter(7): without a protocol, ARP about the address too
                (None, true) => Expr::ip_net(side, *net).or(Expr::arp_net(side, *net)),
                (None, false) | (Some("ip6"), false) | (Some("ip"), true) => Expr::ip_net(side, *net),
                (Some("arp"), true) => Expr::arp_net(side, *net),
                // a node may have addresses of the other family
                (Some("ip" | "ip6" | "arp"), _) => continue,
                (Some(_), _) => return Err(()),
            };
            all = Some(match all {
                None => one,
                Some(before) => before.or(one),
            });
        }
        all.ok_or(())
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Host => "an address or the name of a node",
        Kind::Net => "a network",
        Kind::Port => "a port",
        Kind::PortRange => "a range of ports",
        Kind::Protocol => "the number of a protocol",
    }
}

fn unknown(word: Word<'_>) -> Problem {
    let known = [
        "host",
        "net",
        "port",
        "portrange",
        "src",
        "dst",
        "tcp",
        "udp",
        "sctp",
        "icmp",
        "icmp6",
        "arp",
        "ip",
        "ip6",
        "ether",
        "not",
        "broadcast",
        "multicast",
        "less",
        "greater",
        "proto",
    ];
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word.text.chars().take(20).collect::<String>(), known), known))
        .min();
    let problem =
        word.problem(format!("`{}` is no word of a filter", word.text)).label("neither a test nor an address");
    match near {
        Some((1, near)) => problem.help(format!("did you mean `{near}`?")),
        _ => problem.help("a filter is written like `tcp port 80 and host 10.0.0.1`, `icmp or icmp6`, `not arp`"),
    }
}

fn protocol_alone(name: &str) -> Expr {
    let both = |number| Expr::ipv6_protocol(number).or(Expr::ipv4_protocol(number));
    match name {
        "ip" => Expr::ether_type(expr::IPV4),
        "ip6" => Expr::ether_type(expr::IPV6),
        "arp" => Expr::ether_type(expr::ARP),
        "udp" => both(expr::UDP),
        "sctp" => both(expr::SCTP),
        "icmp" => Expr::ipv4_protocol(expr::ICMP),
        "icmp6" => Expr::ipv6_protocol(expr::ICMPV6),
        _ => both(expr::TCP),
    }
}

fn protocol_number(word: Word<'_>) -> Parsed<u8> {
    // in pcap-filter(7) names that are keywords are written with a backslash
    match word.text.trim_start_matches('\\') {
        "icmp" => Ok(expr::ICMP),
        "tcp" => Ok(expr::TCP),
        "udp" => Ok(expr::UDP),
        "sctp" => Ok(expr::SCTP),
        "icmp6" => Ok(expr::ICMPV6),
        text => text.parse().map_err(|_| {
            Box::new(
                word.problem(format!("`{}` is no number of a protocol", word.text))
                    .label("0 to 255, or tcp, udp, sctp, icmp, icmp6"),
            )
        }),
    }
}

fn ports(word: Word<'_>, range: bool) -> Parsed<(u16, u16)> {
    let port = |text: &str| text.parse::<u16>().ok();
    let found = match (word.text.split_once('-'), range) {
        (Some((first, last)), true) => port(first).zip(port(last)),
        (None, _) => port(word.text).map(|port| (port, port)),
        (Some(_), false) => {
            return Err(Box::new(
                word.problem("a range of ports".to_owned()).help(format!("write `portrange {}`", word.text)),
            ));
        }
    };
    match found {
        Some((first, last)) if first <= last => Ok((first, last)),
        Some((first, last)) => Err(Box::new(
            word.problem("the range of ports runs backwards".to_owned()).help(format!("did you mean {last}-{first}?")),
        )),
        None => {
            let problem = word.problem(format!("`{}` cannot be a port", word.text)).label("0 to 65535");
            Err(Box::new(problem.help("names of services are not looked up: write the number")))
        }
    }
}
