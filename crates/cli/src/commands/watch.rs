//! `raum watch`: what happens in all namespaces, a line each, as it happens.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use raum::Watcher;
use raum::place::Place;
use raum::scene::{LookError, find};
use raum_core::view::{Change, Event, SelectError, Selected, What};
use serde::Serialize;

use super::clock;
use crate::args::Kind;
use crate::failure::Failure;
use crate::output::{BAD, CHANGED, DIM, Exit, GOOD, Look, STRONG, complain, is_read, paint, wrote, wrote_json};
use crate::stop;

/// Columns for a namespace's name, so that what follows stays in its column.
const NAME: usize = 16;
/// How long Ctrl-C or a closed pipe may go unnoticed.
const PAUSE: Duration = Duration::from_millis(100);

/// `--json`: a line.
#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339.
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

pub fn run(what: Option<&str>, only: &[Kind], look: Look) -> Result<Exit, Failure> {
    let stop = stop::on_signal()?;
    let mut watcher = Watcher::open().map_err(|error| refused(&error))?;
    // after the watcher: what comes in between is seen by both
    let what = what.map(meant).transpose()?;
    let what = what.as_deref();
    let mut told = 0;
    tell_missing(&watcher, &mut told);
    if look.live && !look.json {
        let count = watcher.count();
        let told = if count == 1 { "one namespace".to_owned() } else { format!("{count} namespaces") };
        complain(&format!("{}\n", paint(DIM, format!("watching {told}; Ctrl-C ends"))));
    }
    while !stop.load(Ordering::Relaxed) && is_read() {
        let events = watcher.wait(PAUSE).map_err(|error| refused(&error))?;
        tell_missing(&watcher, &mut told);
        let now = Timestamp::now();
        let mut lines = String::new();
        for event in events.iter().filter(|event| is_wanted(event, what, only)) {
            if look.json {
                let line = Line { time: clock::rfc3339(now), event };
                lines += &serde_json::to_string(&line)
                    .map_err(|error| Failure::refused(format!("cannot write this as JSON: {error}"), None))?;
                lines.push('\n');
            } else {
                lines += &line(event, now);
            }
        }
        let write = if look.json { wrote_json } else { wrote };
        if !lines.is_empty() && !write(&lines) {
            break;
        }
    }
    Ok(Exit::Done)
}

/// The name that its events will have. One that is not here yet may come: that it is waited for is said.
fn meant(text: &str) -> Result<String, Failure> {
    match find(&Place::default(), text) {
        Ok(Selected::Room(name)) => Ok(name),
        Ok(Selected::Lab(lab)) => Ok(lab.to_string()),
        Err(LookError::Select(SelectError::Unknown { nearest, .. })) => {
            // one that is called so, and that nothing here leads to, is no hint
            let like = nearest.filter(|nearest| nearest != text).map(|nearest| format!(" (there is `{nearest}`)"));
            let like = like.unwrap_or_default();
            complain(&format!("waiting for `{text}`: no namespace or lab is called so yet{like}; Ctrl-C ends\n"));
            Ok(text.to_owned())
        }
        Err(error) => Err(super::show::explain(&error)),
    }
}

/// What cannot be seen, and was not told yet.
fn tell_missing(watcher: &Watcher, told: &mut usize) {
    for missing in watcher.missing().iter().skip(*told) {
        complain(&format!("{}: {missing}\n", paint(CHANGED, "not seen")));
    }
    *told = watcher.missing().len();
}

fn refused(error: &raum_core::host::ObserveError) -> Failure {
    Failure::refused(error.to_string(), Some("is /proc mounted?".to_owned()))
}

fn is_wanted(event: &Event, what: Option<&str>, only: &[Kind]) -> bool {
    // that something was missed concerns everybody
    matches!(event.what, What::Overrun)
        || (what.is_none_or(|text| event.is_of(text))
            && (only.is_empty() || only.iter().any(|kind| kind.name() == event.what.kind())))
}

fn line(event: &Event, now: Timestamp) -> String {
    let style = match event.change {
        Change::Added => GOOD,
        Change::Changed => CHANGED,
        Change::Removed | Change::Missed => BAD,
    };
    format!(
        "{}  {}  {} {}\n",
        paint(DIM, clock::time(now)),
        paint(STRONG, format!("{:<NAME$}", event.namespace)),
        paint(style, event.change.sign()),
        event.what,
    )
}
