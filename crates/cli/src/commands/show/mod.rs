//! `raum show`: what is there, whoever made it: an overview of all namespaces, or all of one, of a lab, or of everything; or
//! a single kind of thing, for whoever knows what to look for.

mod filter;
mod interface;
mod nat;
mod overview;
mod part;
mod room;
mod tables;

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::thread::{available_parallelism, scope, sleep};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use raum::place::Place;
use raum::resolve::ResolveError;
use raum::scene::{LookError, is_one, look};
use raum_core::view::{Missing, Parts, Room, Scene, SelectError};

use crate::args::Part;
use crate::failure::Failure;
use crate::output::{
    CHANGED, Exit, Look, STRONG, answer, answer_json, can_be_moved_about, is_read, paint, redraw, wrote, wrote_json,
};
use crate::stop;

/// What was asked for.
pub struct Asked {
    /// A namespace or lab.
    pub what: Option<String>,
    /// Only this of it.
    pub part: Option<Part>,
    /// Every namespace.
    pub all: bool,
    /// Seconds between two looks, if it is to be followed.
    pub watch_s: Option<f64>,
}

pub fn run(mut asked: Asked, look: Look) -> Result<Exit, Failure> {
    understand(&mut asked)?;
    match asked.watch_s {
        Some(seconds) => watch(&asked, seconds, look),
        None => {
            let scene = seen(&asked)?;
            if look.json {
                answer_json(&part::told(&scene, shown(&asked)))
            } else {
                answer(&text(&scene, &asked))
            }
            Ok(Exit::Done)
        }
    }
}

/// `raum show routes` is `raum show host routes`, unless a namespace or lab is called `routes`.
fn understand(asked: &mut Asked) -> Result<(), Failure> {
    let Some(text) = asked.what.as_deref().filter(|_| asked.part.is_none()) else {
        return if asked.all && asked.what.is_some() { Err(both()) } else { Ok(()) };
    };
    let part = Part::from_str(text, true).ok();
    if part.is_some() && (asked.all || !is_one(text).map_err(|error| explain(&error.into()))?) {
        asked.part = part;
        asked.what = (!asked.all).then(|| "host".to_owned());
        return Ok(());
    }
    if asked.all { Err(both()) } else { Ok(()) }
}

fn both() -> Failure {
    Failure::usage(
        "`--all` shows every namespace: name none".to_owned(),
        Some("`raum show --all routes`, `raum show red routes`".to_owned()),
    )
}

/// The parts of JSON and text: all, a single one, or those of the overview.
fn shown(asked: &Asked) -> part::Shown {
    match asked.part {
        Some(part) => part::Shown::Part(part),
        None if asked.what.is_none() && !asked.all => part::Shown::Overview,
        None => part::Shown::All,
    }
}

fn seen(asked: &Asked) -> Result<Scene, Failure> {
    let parts = match shown(asked) {
        part::Shown::Part(part) => part::needed(part),
        part::Shown::Overview => Parts { addresses: true, processes: true, ..Parts::LINKS },
        part::Shown::All => Parts::ALL,
    };
    let mut scene = look(&Place::default(), asked.what.as_deref(), parts).map_err(|error| explain(&error))?;
    // processes that hide their namespace matter to whoever wants all of those; a listener without one says so itself
    if asked.what.is_some() {
        scene.missing.clear();
    }
    Ok(scene)
}

/// A name that leads nowhere, and what would lead somewhere.
pub fn explain(error: &LookError) -> Failure {
    match error {
        LookError::Select(SelectError::Unknown { text, nearest: None }) => {
            super::inside::explain(&ResolveError::Unknown(text.clone()))
        }
        LookError::Select(SelectError::Unknown { nearest: Some(nearest), .. }) => Failure::usage(
            error.to_string(),
            Some(format!("did you mean `{nearest}`? `raum show` lists what is there")),
        ),
        LookError::Select(SelectError::Ambiguous { .. }) => {
            Failure::usage(error.to_string(), Some("write the whole name of the namespace".to_owned()))
        }
        LookError::Observe(_) => Failure::refused(error.to_string(), Some("is /proc mounted?".to_owned())),
    }
}

fn text(scene: &Scene, asked: &Asked) -> String {
    let mut text = match shown(asked) {
        part::Shown::Overview => overview::text(scene),
        part::Shown::All => rooms(&scene.namespaces),
        // one namespace by name needs no heading: it was asked for
        part::Shown::Part(part) => match scene.namespaces.as_slice() {
            [room] if !asked.all => part::lines(room, part, true).join("") + &missing("", &room.missing),
            rooms => {
                let each = rooms.iter().filter_map(|room| part::under_heading(room, part));
                each.collect::<Vec<_>>().join("\n")
            }
        },
    };
    text += &missing("", &scene.missing);
    text
}

/// Namespaces for each thread, below which another is not worth its start.
const WORTH: usize = 100;

/// All of each, with a blank line between them; many on as many threads as there are processors.
fn rooms(rooms: &[Room]) -> String {
    let written = |rooms: &[Room]| rooms.iter().map(room::text).collect::<Vec<_>>().join("\n");
    let threads = available_parallelism().map_or(1, usize::from).min(rooms.len() / WORTH).max(1);
    if threads == 1 {
        return written(rooms);
    }
    let parts: Vec<String> = scope(|scope| {
        let parts = rooms.chunks(rooms.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || written(part))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    parts.join("\n")
}

/// What could not be seen, one line each.
fn missing(indent: &str, missing: &[Missing]) -> String {
    missing.iter().map(|missing| format!("{indent}{}: {missing}\n", paint(CHANGED, "not seen"))).collect()
}

/// Looks again and again, until Ctrl-C or until nobody reads any more. On a terminal each picture takes the place of the
/// one before; elsewhere, and as JSON one line each, it is printed when it has changed.
fn watch(asked: &Asked, seconds: f64, style: Look) -> Result<Exit, Failure> {
    let stop = stop::on_signal()?;
    let screen = !style.json && can_be_moved_about(&std::io::stdout());
    let pause = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|pause| *pause >= Duration::from_millis(50))
        .ok_or_else(|| Failure::usage("`--watch` takes seconds, 0.05 or more".to_owned(), None))?;
    let mut before = String::new();
    while !stop.load(Ordering::Relaxed) && is_read() {
        let scene = seen(asked)?;
        let now = if style.json { one_line(&part::told(&scene, shown(asked)))? } else { text(&scene, asked) };
        if now != before {
            let written = match (style.json, screen) {
                (true, _) => wrote_json(&now),
                (false, true) => redraw(&now, before.is_empty()),
                (false, false) => {
                    wrote(&format!("{}\n{now}\n", paint(STRONG, super::clock::time(jiff::Timestamp::now()))))
                }
            };
            if !written {
                break;
            }
            before = now;
        }
        let until = Instant::now() + pause;
        while !stop.load(Ordering::Relaxed) && is_read() && Instant::now() < until {
            sleep(Duration::from_millis(20).min(pause));
        }
    }
    Ok(Exit::Done)
}

fn one_line(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::refused(format!("cannot write this as JSON: {error}"), None))?;
    Ok(text + "\n")
}
