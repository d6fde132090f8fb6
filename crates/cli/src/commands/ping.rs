//! `raum ping`: does one node reach another?

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raum::ping::{Event, Ping, Summary};
use raum::place::Place;
use raum::resolve::address;
use serde::Serialize;

use super::inside::{explain, find};
use crate::failure::Failure;
use crate::output::{BAD, CHANGED, Exit, GOOD, Look, STRONG, answer, answer_json, paint, wrote};
use crate::stop;

/// What was typed.
pub struct Asked {
    pub from: String,
    pub to: String,
    pub count: u32,
    /// Milliseconds.
    pub interval: u64,
    /// Milliseconds.
    pub timeout: u64,
    pub v6: Option<bool>,
}

/// `--json`: all of it at the end.
#[derive(Serialize)]
struct Report<'a> {
    from: &'a str,
    to: &'a str,
    address: IpAddr,
    events: &'a [Event],
    summary: Summary,
}

pub fn run(asked: &Asked, look: Look) -> Result<Exit, Failure> {
    let place = Place::default();
    let from = find(&place, &asked.from)?;
    let to = address(&place, &from, &asked.to, asked.v6).map_err(|error| explain(&error))?;
    let stop = stop::on_signal()?;
    let ping = Ping {
        to,
        count: (asked.count > 0).then_some(asked.count),
        interval: Duration::from_millis(asked.interval),
        timeout: Duration::from_millis(asked.timeout),
        size: 56,
        ttl: None,
    };
    if !look.json {
        let address = if asked.to == to.to_string() { String::new() } else { format!(" ({to})") };
        answer(&format!("{} → {}{address}\n", paint(STRONG, &asked.from), paint(STRONG, &asked.to)));
    }
    let mut events = Vec::new();
    let mut event = |event: Event| {
        if look.json {
            events.push(event);
        } else if !wrote(&format!("  {}\n", line(&event))) {
            // whoever reads no more wants no more
            stop.store(true, Ordering::Relaxed);
        }
    };
    let summary = ping.run(&from.ns, &stop, &mut event).map_err(|error| {
        let message = format!("cannot ping from {}: {}", asked.from, error.words());
        // the namespace went between its name and here
        let exit = if error.code == "ENOENT" { Exit::Usage } else { Exit::Refused };
        Failure::Plain { message, help: way_out(error.code, to), exit }
    })?;
    if look.json {
        answer_json(&Report { from: &asked.from, to: &asked.to, address: to, events: &events, summary });
    } else {
        answer(&format!("{}\n", conclusion(&summary)));
    }
    // as ping(8): one answer is enough
    Ok(if summary.received > 0 { Exit::Done } else { Exit::Refused })
}

fn way_out(code: &str, to: IpAddr) -> Option<String> {
    match code {
        "EPERM" | "EACCES" => Some("run it with sudo: raw sockets need CAP_NET_RAW".to_owned()),
        "ENOENT" => Some("`raum ls` shows which labs there are, `raum up` brings one up".to_owned()),
        "EINVAL" => Some("`raum status` says what of a lab is gone, `raum up` makes it anew".to_owned()),
        "EAFNOSUPPORT" if to.is_ipv6() => Some("this kernel has IPv6 switched off".to_owned()),
        _ => None,
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::Reply { seq, from, ttl, time, .. } => {
            let ttl = ttl.map(|ttl| format!("  ttl {ttl}")).unwrap_or_default();
            format!("{seq:>3}  {} from {from}{ttl}  {}", paint(GOOD, "reply"), millis(*time))
        }
        Event::Lost { seq } => format!("{seq:>3}  {}", paint(BAD, "no answer")),
        Event::Unreachable { seq, from: Some(from), why } => format!("{seq:>3}  {}: says {from}", paint(BAD, why)),
        Event::Unreachable { seq, from: None, why } => format!("{seq:>3}  {}: not sent", paint(BAD, why)),
        Event::Duplicate { seq, from, time } => {
            format!("{seq:>3}  {} from {from}  {}", paint(CHANGED, "one more reply"), millis(*time))
        }
        Event::Late { seq, from, time } => {
            format!("{seq:>3}  {} from {from}  {}", paint(CHANGED, "too late"), millis(*time))
        }
    }
}

fn conclusion(summary: &Summary) -> String {
    let mut text = format!("{} of {} answered", summary.received, summary.sent);
    if let Some(times) = summary.times {
        let times = [times.min, times.avg, times.max].map(millis).join(" / ");
        text += &format!(", round trip min / avg / max {times}");
    }
    text
}

fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}
