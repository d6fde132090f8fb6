//! Printing: one stream for answers, one for errors; colour only where a terminal wants it; a closed pipe is no error.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::args::Args;

/// How things are to look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// JSON instead of text.
    pub json: bool,
    /// Colour on standard error.
    pub colour: bool,
    /// Is standard error a terminal, so that progress can be shown and wiped away?
    pub live: bool,
}

/// Exit statuses. The whole list; nothing else exits. A command that `exec` starts replaces this process: its own status it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As asked.
    Done,
    /// Refused and taken back, or the host differs from what it should be, or no answer to a ping.
    Refused,
    /// Wrong usage or an invalid lab file.
    Usage,
    /// Something was left behind; it has been listed.
    LeftBehind,
    /// What `exec` says of a command that does not run: as a shell, 127 if it is not found, 126 if it cannot be run.
    Command(u8),
}

impl Exit {
    /// The status for the shell.
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::LeftBehind => 3,
            Exit::Command(code) => code,
        })
    }
}

impl Look {
    /// What the arguments, the terminal and `NO_COLOR` ask for.
    pub fn of(args: &Args) -> Self {
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        Self { json: args.json, colour, live: io::stderr().is_terminal() }
    }
}

/// Bold, for the word that matters in a line.
pub const STRONG: Style = Style::new().bold();
/// For what is added or well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// For what is removed or wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// For what changes.
pub const CHANGED: Style = AnsiColor::Yellow.on_default();
/// For what is beside the point.
pub const DIM: Style = Style::new().dimmed();

/// Text in a style; the styles are taken out again where nobody can see them.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints an answer.
pub fn answer(text: &str) {
    let mut out = anstream::stdout().lock();
    ignore_closed_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// As [`answer`], for what goes on for long: false once nobody reads any more.
pub fn wrote(text: &str) -> bool {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Does anybody still read what is printed? A pipe says so before anything is written to it.
pub fn is_read() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let done = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    done.is_err() || !polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Prints an answer as JSON.
pub fn answer_json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => answer(&format!("{text}\n")),
        Err(error) => complain(&format!("error: cannot write this as JSON: {error}\n")),
    }
}

/// Prints to standard error.
pub fn complain(text: &str) {
    let mut err = anstream::stderr().lock();
    ignore_closed_pipe(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}

/// Whoever closed the pipe has read enough; there is nobody left to tell about other failures either.
fn ignore_closed_pipe(result: io::Result<()>) {
    drop(result);
}
