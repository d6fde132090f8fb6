//! `raum capture`: packets at interfaces of several namespaces, as pcapng for Wireshark or as lines for people.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use raum::capture::{Capture, CaptureError, Limits, Packet, Point, Totals, addresses, now_ns, points};
use raum::place::Place;
use raum::resolve::{ResolveError, resolve};
use raum_core::capture::pcapng::{self, Direction};
use raum_core::capture::{compile, parse, summary};
use raum_core::name::LabName;
use serde::Serialize;

use super::inside::explain;
use crate::failure::Failure;
use crate::input::words;
use crate::output::{BAD, DIM, Exit, GOOD, Look, complain, paint};
use crate::stop;

/// Larger than any packet of Linux.
const WHOLE: u32 = 262_144;

/// What was typed.
pub struct Asked {
    /// Points, then words of the filter.
    pub what: Vec<String>,
    /// Behind `--`: words of the filter only.
    pub filter: Vec<String>,
    pub write: Option<String>,
    pub count: Option<u64>,
    /// Seconds.
    pub duration: Option<f64>,
    /// Bytes of each packet.
    pub snap: Option<u32>,
}

/// `--json`: a packet, each on a line of its own.
#[derive(Serialize)]
struct Line<'a> {
    time_ns: u64,
    point: &'a str,
    out: bool,
    length: u32,
    summary: String,
}

/// `--json`: the last lines, one for each point.
#[derive(Serialize)]
struct End<'a> {
    point: &'a str,
    received: u64,
    lost: u64,
}

pub fn run(asked: &Asked, look: Look) -> Result<Exit, Failure> {
    let stop = stop::on_signal()?;
    let place = Place::default();
    let (points, text) = understand(&place, asked)?;
    let labs: Vec<LabName> = points.iter().filter_map(|point| point.lab.clone()).collect();
    let filter = parse(&text, &|name| addresses(&place, &labs, name)).map_err(|problem| Failure::Problems {
        file: "filter".to_owned(),
        text: text.clone(),
        problems: vec![*problem],
    })?;
    let bytes = asked.snap.unwrap_or(WHOLE);
    let program = compile(filter.as_ref(), bytes).map_err(|error| Failure::usage(error.to_string(), None))?;
    let duration = match asked.duration.map(Duration::try_from_secs_f64) {
        Some(Err(_)) => return Err(Failure::usage("the duration is no number of seconds".to_owned(), None)),
        duration => duration.and_then(Result::ok),
    };
    // 0 is none, as for `raum ping`
    let limits = Limits { count: asked.count.filter(|count| *count > 0), duration };
    let mut out = Output::open(asked.write.as_deref(), look)?;
    let mut capture = Capture::open(&points, &program).map_err(|error| failed(&error))?;
    out.begin(&points, bytes, (!text.is_empty()).then_some(text.as_str())).map_err(|error| unwritten(&error))?;
    let names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
    complain(&format!("{}\n", paint(DIM, format!("capturing at {}; Ctrl-C ends it", shown(&names)))));
    let totals =
        capture.run(limits, &stop, &mut |packets| out.packets(&names, packets)).map_err(|error| failed(&error))?;
    // a reader who has gone has had enough
    match out.end(&names, &totals) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(unwritten(&error)),
        _ => {}
    }
    complain(&conclusion(out.told, &names, &totals));
    Ok(Exit::Done)
}

/// Words that begin a filter, wherever a point could still stand: `web host 10.0.0.1` is no capture on the host, `web host:eth0`
/// and `host web` are.
const FILTER: [&str; 24] = [
    "host",
    "net",
    "port",
    "portrange",
    "src",
    "dst",
    "ether",
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "proto",
    "not",
    "!",
    "(",
    "broadcast",
    "multicast",
    "less",
    "greater",
    "vlan",
];

/// Which words are points, and which ones the filter: words that lead to a namespace are points, until one does not.
fn understand(place: &Place, asked: &Asked) -> Result<(Vec<Point>, String), Failure> {
    let node = |word: &str| word.split(':').next().unwrap_or(word).to_owned();
    let leads = |word: &str| !matches!(resolve(place, &node(word)), Err(ResolveError::Unknown(_)));
    let is_point = |(at, word): &(usize, &String)| *at == 0 || (!FILTER.contains(&word.as_str()) && leads(word));
    let count = asked.what.iter().enumerate().take_while(is_point).count();
    let (at, rest) = asked.what.split_at(count);
    let mut found: Vec<Point> = Vec::new();
    for text in at {
        for point in points(place, text).map_err(|error| failed(&error))? {
            if !found.contains(&point) {
                found.push(point);
            }
        }
    }
    let words: Vec<&str> = rest.iter().chain(&asked.filter).map(String::as_str).collect();
    Ok((found, words.join(" ")))
}

fn failed(error: &CaptureError) -> Failure {
    if let (CaptureError::Observe(_), Err(missing)) = (error, raum::permission::check()) {
        return missing.into();
    }
    match error {
        CaptureError::Resolve(error) => explain(error),
        CaptureError::Refused { cause, .. } if matches!(cause.code, "EPERM" | "EACCES") => {
            Failure::refused(error.to_string(), Some("run it with sudo: packet sockets need CAP_NET_RAW".to_owned()))
        }
        CaptureError::NoInterface { .. } | CaptureError::OnlyLoopback(_) => Failure::usage(error.to_string(), None),
        CaptureError::Write(error) => unwritten(error),
        _ => Failure::refused(error.to_string(), None),
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::refused(format!("cannot write the packets: {}", words(error)), None)
}

fn shown(names: &[&str]) -> String {
    match names {
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        all => all.join(", "),
    }
}

/// Where packets go, and how.
struct Output {
    to: Box<dyn Write>,
    form: Form,
    buffer: Vec<u8>,
    /// So many packets.
    told: u64,
    /// When the first one came: the others are told by their distance from it.
    first_ns: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Pcapng,
    Json,
    Text,
}

impl Output {
    fn open(write: Option<&str>, look: Look) -> Result<Self, Failure> {
        let (to, form): (Box<dyn Write>, Form) = match write {
            Some("-") if io::stdout().is_terminal() => {
                return Err(Failure::usage(
                    "packets are no text for a terminal".to_owned(),
                    Some(
                        "pipe them: raum capture web -w - | wireshark -k -i -; or leave `-w` out to read them here"
                            .to_owned(),
                    ),
                ));
            }
            Some("-") => (Box::new(io::stdout()), Form::Pcapng),
            Some(path) => {
                let mut options = OpenOptions::new();
                // what passes may be secret: nobody else reads it
                options.write(true).create(true).truncate(true).mode(0o600);
                let file = options.open(Path::new(path));
                let fail = |error| Failure::refused(format!("cannot write {path}: {}", words(&error)), None);
                (Box::new(file.map_err(fail)?), Form::Pcapng)
            }
            None => (Box::new(anstream::stdout()), if look.json { Form::Json } else { Form::Text }),
        };
        Ok(Self { to, form, buffer: Vec::new(), told: 0, first_ns: None })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        self.to.flush()
    }

    fn begin(&mut self, points: &[Point], bytes: u32, filter: Option<&str>) -> io::Result<()> {
        if self.form == Form::Pcapng {
            self.buffer = pcapng::section(&format!("raum {}", env!("CARGO_PKG_VERSION")));
            for point in points {
                let about = format!("{} of namespace {}", point.interface, point.ns);
                self.buffer.extend(pcapng::interface(&point.name, &about, bytes, filter));
            }
        }
        self.flush()
    }

    fn packets(&mut self, names: &[&str], packets: &[Packet<'_>]) -> io::Result<()> {
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for packet in packets {
            let name = names.get(packet.point).copied().unwrap_or_default();
            self.told += 1;
            match self.form {
                Form::Pcapng => {
                    let point = u32::try_from(packet.point).unwrap_or(0);
                    let Packet { time_ns, direction, bytes, length, .. } = *packet;
                    pcapng::packet(&mut self.buffer, point, time_ns, direction, bytes, length);
                }
                Form::Json => {
                    let line = Line {
                        time_ns: packet.time_ns,
                        point: name,
                        out: packet.direction == Direction::Out,
                        length: packet.length,
                        summary: summary::line(packet.bytes),
                    };
                    self.buffer.extend(serde_json::to_vec(&line)?);
                    self.buffer.push(b'\n');
                }
                Form::Text => {
                    let first = *self.first_ns.get_or_insert(packet.time_ns);
                    let since = packet.time_ns.saturating_sub(first);
                    let way = match packet.direction {
                        Direction::In => paint(GOOD, "in "),
                        Direction::Out => paint(DIM, "out"),
                    };
                    let time = format!("{:>4}.{:06}", since / 1_000_000_000, since % 1_000_000_000 / 1000);
                    let text = summary::line(packet.bytes);
                    writeln!(self.buffer, "{} {name:width$} {way} {text}", paint(DIM, time))?;
                }
            }
        }
        self.flush()
    }

    fn end(&mut self, names: &[&str], totals: &[Totals]) -> io::Result<()> {
        for (point, (name, totals)) in (0_u32..).zip(names.iter().zip(totals)) {
            match self.form {
                Form::Pcapng => {
                    self.buffer.extend(pcapng::statistics(point, now_ns(), totals.received, totals.lost));
                }
                Form::Json => {
                    let end = End { point: name, received: totals.received, lost: totals.lost };
                    self.buffer.extend(serde_json::to_vec(&end)?);
                    self.buffer.push(b'\n');
                }
                Form::Text => {}
            }
        }
        self.flush()
    }
}

fn conclusion(told: u64, names: &[&str], totals: &[Totals]) -> String {
    let lost: u64 = totals.iter().map(|totals| totals.lost).sum();
    let mut text = format!("{told} packet{}, ", if told == 1 { "" } else { "s" });
    text += &match lost {
        0 => "none lost\n".to_owned(),
        lost => format!("{}\n", paint(BAD, format!("{lost} lost: they came faster than they were taken"))),
    };
    for (name, totals) in names.iter().zip(totals) {
        if totals.lost > 0 && names.len() > 1 {
            text += &format!("  {name}: {} of {} lost\n", totals.lost, totals.received);
        }
        if totals.gone {
            text += &format!("  {name} went away\n");
        }
    }
    text
}
