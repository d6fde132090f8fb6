//! Expectations, as one would say them: `server reaches router:2222/tcp as laptop:22`.

use std::net::IpAddr;

use super::name::{Names, names};
use super::port::port;
use super::{Form, Text, address};
use crate::lab::expect::Service;
use crate::lab::parse::meant::nearest;
use crate::lab::parse::read::Reader;
use crate::lab::{At, Proto};

/// An expectation whose names may still be ranges.
#[derive(Debug, Clone)]
pub(in crate::lab::parse) struct Expect {
    pub from: At<Names>,
    pub reaches: bool,
    pub to: At<RawParty>,
    /// The other way round as well.
    pub each_other: bool,
    pub service: Option<Service>,
    pub receiver: Option<At<(RawParty, Option<u16>)>>,
    pub source: Option<At<RawParty>>,
    pub over_v6: Option<bool>,
}

/// A name, perhaps a range of them, or an address.
#[derive(Debug, Clone)]
pub(in crate::lab::parse) enum RawParty {
    Names(Names),
    Address(IpAddr),
}

impl Form for Expect {
    const DEF: &'static str = "expect";
    const WHAT: &'static str = "an expectation";
    const HELP: &'static str = "write `web reaches db`, `web reaches db:5432/tcp`, `db cannot reach web`, `a and b reach each \
                                other`; then, if it matters, `as NODE:PORT` (who really gets it), `from NODE` (whom it sees), \
                                `over ipv6`";
    const PATTERN: &'static str = "^\\s*[^\\s]+\\s+((reaches|cannot\\s+reach)\\s+[^\\s]+(\\s+(as|from|over)\\s+[^\\s]+)*|and\\s+[^\\s]+\\s+(cannot\\s+)?reach\\s+each\\s+other(\\s+(at|over)\\s+[^\\s]+)*)\\s*$";
    const EXAMPLES: &'static [&'static str] = &[
        "laptop reaches server",
        "server reaches router:2222/tcp as laptop:22",
        "laptop reaches server:80/tcp from router over ipv4",
        "\"n[1-9]\" reaches [fd00::1]:53/udp",
        "server cannot reach laptop",
        "red and blue reach each other at 80/tcp",
    ];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let words = text.words();
        let mut words = words.as_slice();
        let from = next(&mut words).or_else(|| {
            reader.report(text.problem("nothing is between the quotes").help(Self::HELP));
            None
        })?;
        match words.first().map(|word| word.text) {
            Some("and") => each_other(from, words, text, reader),
            _ => one_way(from, words, text, reader),
        }
    }
}

fn next<'a>(words: &mut &[Text<'a>]) -> Option<Text<'a>> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    Some(*first)
}

/// Everything after `FROM`.
fn one_way(from: Text<'_>, mut words: &[Text<'_>], whole: Text<'_>, reader: &mut Reader) -> Option<Expect> {
    let from = from_name(from, reader);
    let reaches = verb(&mut words, "reaches", whole, reader)?;
    let Some(to) = next(&mut words) else {
        reader.report(whole.problem("whom?").label("expected a name or an address at the end").help(Expect::HELP));
        return None;
    };
    let to = target(to, reader);
    let mut tail = Tail::default();
    tail.read(words, &["as", "from", "over"], reader)?;
    let (to, service) = to?;
    if !reaches && let Some(word) = tail.source.as_ref().map(|(word, _)| word) {
        reader.report(
            word.problem("what does not arrive has no sender")
                .label("not possible after `cannot reach`")
                .help("leave it out"),
        );
        return None;
    }
    if let Some((word, receiver)) = &tail.receiver
        && service.is_none()
        && receiver.1.is_some()
    {
        reader.report(
            word.problem("an ICMP echo request arrives at no port")
                .label("a port")
                .help("write the port and the protocol that is spoken to as well: `a reaches b:80/tcp as c:8080`"),
        );
        return None;
    }
    Some(Expect {
        from: from?,
        reaches,
        to,
        each_other: false,
        service,
        receiver: tail.receiver.map(|(word, party)| At::new(party, word.span())),
        source: tail.source.map(|(word, party)| At::new(party, word.span())),
        over_v6: tail.over_v6,
    })
}

/// `A and B reach each other`, from `and` on.
fn each_other(from: Text<'_>, mut words: &[Text<'_>], whole: Text<'_>, reader: &mut Reader) -> Option<Expect> {
    let from = from_name(from, reader);
    next(&mut words);
    let Some(second) = next(&mut words) else {
        reader.report(whole.problem("nobody stands after `and`").help(Expect::HELP));
        return None;
    };
    let to = from_name(second, reader).map(|at| At::new(RawParty::Names(at.value), at.span));
    let reaches = verb(&mut words, "reach", whole, reader)?;
    for expected in ["each", "other"] {
        match next(&mut words) {
            Some(word) if word.text == expected => {}
            other => {
                let place = other.unwrap_or(whole);
                reader.report(
                    place
                        .problem("after two names stands `each other`")
                        .label(format!("expected `{expected}`"))
                        .help("write `a and b reach each other`, or one line for each way"),
                );
                return None;
            }
        }
    }
    let mut tail = Tail::default();
    tail.read(words, &["at", "over"], reader)?;
    Some(Expect {
        from: from?,
        reaches,
        to: to?,
        each_other: true,
        service: tail.service.map(|(_, service)| service),
        receiver: None,
        source: None,
        over_v6: tail.over_v6,
    })
}

/// `reaches` or `cannot reach`, taken off: is it expected?
fn verb(words: &mut &[Text<'_>], positive: &str, whole: Text<'_>, reader: &mut Reader) -> Option<bool> {
    let Some(word) = next(words) else {
        reader.report(whole.problem("an expectation says what reaches what").help(Expect::HELP));
        return None;
    };
    if word.text == positive {
        return Some(true);
    }
    if word.text == "cannot" {
        return match next(words) {
            Some(reach) if reach.text == "reach" => Some(false),
            other => {
                let place = other.unwrap_or(word);
                reader.report(place.problem("`cannot` what?").label("expected `reach`").help(Expect::HELP));
                None
            }
        };
    }
    let problem = word.problem(format!("expected `{positive}` or `cannot reach`, found `{}`", word.text));
    let negative = ["can't", "cant", "not", "doesn't", "does", "never", "can"];
    reader.report(if negative.contains(&word.text) {
        problem.help("the two ways to say it are `a reaches b` and `a cannot reach b`")
    } else {
        match nearest(word.text, [positive, "cannot"].into_iter()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(Expect::HELP),
        }
    });
    None
}

fn from_name(text: Text<'_>, reader: &mut Reader) -> Option<At<Names>> {
    let name = text.split_once(":").map_or(text, |(name, _)| name);
    if text.text.parse::<IpAddr>().is_ok() || (name.text.len() < text.text.len()) {
        reader.report(
            text.problem(format!("expected the name of a namespace, found `{}`", text.text))
                .label("who speaks is a namespace, without port")
                .help("write the name of who has this address, or `host`"),
        );
        return None;
    }
    names(text, reader)
}

/// `NODE[:PORT[/PROTO]]`, or an address in its place.
fn target(text: Text<'_>, reader: &mut Reader) -> Option<(At<RawParty>, Option<Service>)> {
    let Some((rest, after)) = text.rsplit_once("/") else {
        let (party, port_text) = party(text, reader)?;
        let service = match port_text {
            Some(text) => Some(Service { port: port(text, reader)?, proto: Proto::Tcp }),
            None => None,
        };
        return Some((party, service));
    };
    let proto = proto(after, reader)?;
    let (party, port_text) = party(rest, reader)?;
    let Some(port_text) = port_text else {
        reader.report(
            text.problem("a port is missing")
                .label(format!("expected `:PORT/{proto}`"))
                .help("without port and protocol, ICMP echo is tried"),
        );
        return None;
    };
    Some((party, Some(Service { port: port(port_text, reader)?, proto })))
}

/// A protocol with ports.
fn proto(text: Text<'_>, reader: &mut Reader) -> Option<Proto> {
    match text.text {
        "tcp" => Some(Proto::Tcp),
        "udp" => Some(Proto::Udp),
        "icmp" => {
            reader.report(
                text.problem("ICMP has no ports").label("not needed").help("write the name alone: ICMP echo is tried"),
            );
            None
        }
        other => {
            let problem =
                text.problem(format!("`{other}` is no protocol that can be tried")).label("expected tcp or udp");
            reader.report(match nearest(other, ["tcp", "udp"].into_iter()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(Expect::HELP),
            });
            None
        }
    }
}

/// A name or an address, and what stands after its colon.
fn party<'a>(text: Text<'a>, reader: &mut Reader) -> Option<(At<RawParty>, Option<Text<'a>>)> {
    let at_address = |part: Text<'_>, reader: &mut Reader| {
        let ip = address::ip(part, reader)?;
        if ip.is_unspecified() || ip.is_multicast() {
            let help = "write the address of one host";
            reader.report(part.problem(format!("`{ip}` is nobody's address")).help(help));
            return None;
        }
        Some(At::new(RawParty::Address(ip), part.span()))
    };
    if let Some((inside, after)) = text.split_once("]")
        && let Some(inner) = inside.text.strip_prefix('[')
        && inner.contains(':')
    {
        let address = at_address(inside.part(1..inside.text.len()), reader)?;
        return match (after.text, after.text.strip_prefix(':')) {
            ("", _) => Some((address, None)),
            (_, Some(_)) => Some((address, Some(after.part(1..after.text.len())))),
            _ => {
                reader.report(after.problem("expected `:PORT` after the bracket").help(Expect::HELP));
                None
            }
        };
    }
    if text.text.parse::<IpAddr>().is_ok() {
        return Some((at_address(text, reader)?, None));
    }
    if text.text.matches(':').count() > 1 {
        reader.report(
            text.problem(format!("`{}` is not an address and a port", text.text))
                .label("where does the address end?")
                .help("put an IPv6 address in brackets: `[fd00::1]:53/udp`"),
        );
        return None;
    }
    let (name, after) = text.split_once(":").map_or((text, None), |(name, after)| (name, Some(after)));
    if name.text.contains('.') {
        return Some((at_address(name, reader)?, after));
    }
    let names = names(name, reader)?;
    Some((At::new(RawParty::Names(names.value), names.span), after))
}

/// What stands after the sentence.
#[derive(Default)]
struct Tail<'a> {
    receiver: Option<(Text<'a>, (RawParty, Option<u16>))>,
    source: Option<(Text<'a>, RawParty)>,
    service: Option<(Text<'a>, Service)>,
    over_v6: Option<bool>,
}

impl<'a> Tail<'a> {
    fn read(&mut self, mut words: &[Text<'a>], known: &[&str], reader: &mut Reader) -> Option<()> {
        while let Some(word) = next(&mut words) {
            if !known.contains(&word.text) {
                let list = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
                let problem = word
                    .problem(format!("`{}` does not belong into an expectation", word.text))
                    .label(format!("expected {list} or the end"));
                reader.report(match nearest(word.text, known.iter().copied()) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help(Expect::HELP),
                });
                return None;
            }
            let Some(value) = next(&mut words) else {
                reader.report(word.problem(format!("nothing stands after `{}`", word.text)).help(Expect::HELP));
                return None;
            };
            let twice = match word.text {
                "as" => {
                    let (party, port_text) = one_party(value, reader)?;
                    let port = match port_text {
                        Some(text) => Some(port(text, reader)?),
                        None => None,
                    };
                    self.receiver.replace((value, (party, port))).is_some()
                }
                "from" => {
                    let (party, port_text) = one_party(value, reader)?;
                    if let Some(port) = port_text {
                        let help = "write the name or the address alone";
                        reader.report(port.problem("the port of the sender is not looked at").help(help));
                        return None;
                    }
                    self.source.replace((value, party)).is_some()
                }
                "at" => self.service.replace((value, service(value, reader)?)).is_some(),
                _ => self.over_v6.replace(family(value, reader)?).is_some(),
            };
            if twice {
                reader.report(word.problem(format!("`{}` stands twice", word.text)).label("again here"));
                return None;
            }
        }
        Some(())
    }
}

/// A party that is one.
fn one_party<'a>(text: Text<'a>, reader: &mut Reader) -> Option<(RawParty, Option<Text<'a>>)> {
    let text = text.split_once("/").map_or(text, |(before, after)| {
        reader.report(after.problem("the protocol stands once, after the first port").help("leave it out here"));
        before
    });
    let (party, port) = party(text, reader)?;
    if let RawParty::Names(names) = &party.value
        && names.0.count() > 1
    {
        reader.report(text.problem("several names cannot stand here").label("expected one"));
        return None;
    }
    Some((party.value, port))
}

/// `PORT[/PROTO]`.
fn service(text: Text<'_>, reader: &mut Reader) -> Option<Service> {
    let (number, proto) = match text.rsplit_once("/") {
        Some((number, name)) => (number, proto(name, reader)?),
        None => (text, Proto::Tcp),
    };
    Some(Service { port: port(number, reader)?, proto })
}

fn family(text: Text<'_>, reader: &mut Reader) -> Option<bool> {
    match text.text.to_ascii_lowercase().as_str() {
        "ipv4" => Some(false),
        "ipv6" => Some(true),
        _ => {
            reader.report(
                text.problem(format!("`{}` is no family of addresses", text.text)).label("expected ipv4 or ipv6"),
            );
            None
        }
    }
}
