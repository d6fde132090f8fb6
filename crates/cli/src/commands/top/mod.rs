//! `raum top`: what goes through every interface of every namespace, on the whole screen, again and again.

mod keys;
mod model;
mod screen;
mod terminal;

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::widgets::TableState;
use raum::Watcher;
use raum_core::host::ObserveError;
use serde::Serialize;

use super::clock;
use crate::failure::Failure;
use crate::output::{Exit, Look, is_read, wrote_json};
use crate::stop;
use keys::Input;
use model::{Model, Row};
use terminal::Terminal;

/// How long a signal may go unnoticed.
const PAUSE: Duration = Duration::from_millis(50);

/// What was asked for.
pub struct Asked {
    /// Only this namespace.
    pub what: Option<String>,
    /// Seconds between two pictures.
    pub interval_s: f64,
    /// End after so many.
    pub count: Option<u64>,
}

/// `--json`: a line.
#[derive(Serialize)]
struct Sampled<'a> {
    time: String,
    interfaces: &'a [Row],
}

pub fn run(asked: &Asked, look: Look) -> Result<Exit, Failure> {
    let interval =
        Duration::try_from_secs_f64(asked.interval_s).ok().filter(|pause| *pause >= Duration::from_millis(100));
    let interval =
        interval.ok_or_else(|| Failure::usage("`--interval` takes seconds, 0.1 or more".to_owned(), None))?;
    if !look.json && !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "`raum top` needs a terminal".to_owned(),
            Some("`raum top --json` prints a line for each look; `raum show --all links` the counters once".to_owned()),
        ));
    }
    let stop = stop::on_signal()?;
    let mut top =
        Top { watcher: Watcher::open().map_err(|error| refused(&error))?, model: Model::new(), asked, interval };
    if look.json {
        return top.lines(&stop);
    }
    // a signal, a panic and an error give it back, too
    let mut terminal = Terminal::take(&stop).map_err(|cause| broken(&cause))?;
    let done = top.screen(&mut terminal, &stop);
    let restored = terminal.give_back();
    // whoever is told to end has no use for what the terminal says while it is gone
    if stop.load(Ordering::Relaxed) {
        return Ok(Exit::Done);
    }
    done?;
    restored.map_err(|cause| broken(&cause))?;
    Ok(Exit::Done)
}

struct Top<'a> {
    watcher: Watcher,
    model: Model,
    asked: &'a Asked,
    interval: Duration,
}

impl Top<'_> {
    fn sample(&mut self) -> Result<(), Failure> {
        // what has come and gone meanwhile
        self.watcher.wait(Duration::ZERO).map_err(|error| refused(&error))?;
        let wanted = |name: &str| self.asked.what.as_deref().is_none_or(|text| text == name);
        let samples = self.watcher.sample(wanted).map_err(|error| refused(&error))?;
        self.model.sample(samples, Instant::now());
        Ok(())
    }

    /// Who talks in the namespace under the cursor.
    fn talkers(&mut self) {
        let Some(row) = self.model.selected().filter(|_| self.model.talkers_shown) else { return };
        match self.watcher.flows(row.inode) {
            Ok(flows) => self.model.flows(row.inode, flows, Instant::now()),
            Err(error) => {
                self.model.flows(row.inode, Vec::new(), Instant::now());
                self.model.silence = Some(error.to_string());
            }
        }
    }

    fn is_enough(&self, pictures: u64) -> bool {
        self.asked.count.is_some_and(|count| pictures >= count)
    }

    fn screen(&mut self, terminal: &mut Terminal, stop: &AtomicBool) -> Result<(), Failure> {
        let mut input = Input::default();
        let mut state = TableState::default();
        let mut pictures = 0;
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() >= next {
                next = Instant::now() + self.interval;
                if !self.model.paused {
                    self.sample()?;
                    self.talkers();
                }
                pictures += 1;
            }
            terminal
                .drawn()
                .draw(|frame| screen::draw(frame, &self.model, &input, &mut state))
                .map_err(|cause| broken(&cause))?;
            if self.is_enough(pictures) {
                break;
            }
            // a key, or the time of the next picture
            while !stop.load(Ordering::Relaxed) && Instant::now() < next {
                // of a terminal that is gone there are no more keys, and waiting for them does not end
                if !is_read() {
                    return Ok(());
                }
                if !event::poll(PAUSE.min(next.saturating_duration_since(Instant::now())))
                    .map_err(|cause| broken(&cause))?
                {
                    continue;
                }
                let before = self.model.selected().map(|row| row.inode);
                match event::read().map_err(|cause| broken(&cause))? {
                    Event::Key(key) if is_ctrl_z(key) => terminal.suspend().map_err(|cause| broken(&cause))?,
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        let page = usize::from(terminal.drawn().size().map_or(24, |size| size.height)) / 2;
                        if !input.press(key, &mut self.model, page) {
                            return Ok(());
                        }
                    }
                    Event::Resize(..) => {}
                    _ => continue,
                }
                if self.model.selected().map(|row| row.inode) != before {
                    self.talkers();
                }
                break;
            }
        }
        Ok(())
    }

    /// A line of JSON for each look, from the second on: one alone has no rates.
    fn lines(&mut self, stop: &AtomicBool) -> Result<Exit, Failure> {
        self.sample()?;
        let mut printed = 0;
        while !self.is_enough(printed) {
            let until = Instant::now() + self.interval;
            while Instant::now() < until {
                if stop.load(Ordering::Relaxed) || !is_read() {
                    return Ok(Exit::Done);
                }
                std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
            }
            self.sample()?;
            let line = Sampled { time: clock::rfc3339(Timestamp::now()), interfaces: self.model.rows() };
            let text = serde_json::to_string(&line)
                .map_err(|error| Failure::refused(format!("cannot write this as JSON: {error}"), None))?;
            if !wrote_json(&(text + "\n")) {
                break;
            }
            printed += 1;
        }
        Ok(Exit::Done)
    }
}

fn is_ctrl_z(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('z') && key.kind == KeyEventKind::Press
}

fn refused(error: &ObserveError) -> Failure {
    Failure::refused(error.to_string(), None)
}

fn broken(cause: &std::io::Error) -> Failure {
    Failure::refused(format!("the terminal: {cause}"), None)
}
