//! Printing: one stream for answers, one for errors; colour only where a terminal wants it; a closed pipe is no error.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use raum_core::problem::visible;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::args::Args;
use crate::input::words;

/// How things are to look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// JSON instead of text.
    pub json: bool,
    /// Colour on standard error.
    pub colour: bool,
    /// Is standard error a terminal on which progress can be shown and wiped away?
    pub live: bool,
}

/// Exit statuses. The whole list; nothing else exits. A command that `exec` starts replaces this process: its own status it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As asked.
    Done,
    /// Refused and taken back, or the host differs from what it should be, or no answer to a ping.
    Refused,
    /// Wrong usage, an invalid lab file, or a lab, namespace or file that is not there.
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
    /// Before anything was asked for.
    pub fn plain() -> Self {
        Self { json: false, colour: false, live: false }
    }

    /// What the arguments, the terminal and `NO_COLOR` ask for.
    pub fn of(args: &Args) -> Self {
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        Self { json: args.json, colour, live: can_be_moved_about(&io::stderr()) }
    }
}

/// Is it a terminal that goes to the beginning of a line, or of all? One without a name (`TERM`), or called dumb, does not.
pub fn can_be_moved_about(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb")
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

/// What raum's own colours carry as their first number until they are printed, another one in each process: nobody who gives a
/// file or an interface its name can know it. The colours of others are shown as what they are.
static MARK: LazyLock<String> =
    LazyLock::new(|| format!("\x1b[{:010};", RandomState::new().build_hasher().finish() >> 32));

/// Text in a style; the styles are taken out again where nobody can see them. In the text itself there may be anything.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    let (on, off) = (style.render().to_string(), style.render_reset().to_string());
    format!("{}{text}{}", own(&on), own(&off))
}

/// Colours of a text that has been made harmless already.
pub fn own(text: &str) -> String {
    text.replace("\x1b[", &MARK)
}

/// Set when an answer could not be written, other than for want of a reader.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Could an answer not be written? Whoever redirected it to a full disk must not take it for whole.
pub fn unwritten() -> bool {
    UNWRITTEN.load(Ordering::Relaxed)
}

/// Prints an answer.
pub fn answer(text: &str) {
    print(&harmless(text));
}

/// As [`answer`], for what goes on for long: false once nobody reads any more, or it cannot be written.
pub fn wrote(text: &str) -> bool {
    print(&harmless(text))
}

/// As [`wrote`], for lines of JSON.
pub fn wrote_json(lines: &str) -> bool {
    print(&escaped(lines))
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
        Ok(mut text) => {
            text.push('\n');
            print(&escaped(&text));
        }
        Err(error) => complain(&format!("error: cannot write this as JSON: {error}\n")),
    }
}

/// Puts a text in the place of the one before, on the terminal that standard output is; says whether it was written.
pub fn redraw(text: &str, is_first: bool) -> bool {
    let clear = if is_first { "\x1b[2J" } else { "" };
    // home, the text, and nothing of the old one behind its lines and its end
    let lines = harmless(text).replace('\n', "\x1b[K\n");
    let mut out = io::stdout().lock();
    let shown = as_wanted(&lines, &out);
    let written = out.write_all(format!("{clear}\x1b[H{shown}\x1b[J").as_bytes()).and_then(|()| out.flush());
    was_written(&written)
}

/// Says whether it was written.
fn print(text: &str) -> bool {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    was_written(&written)
}

fn was_written(written: &io::Result<()>) -> bool {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            UNWRITTEN.store(true, Ordering::Relaxed);
            complain(&format!("error: cannot write the answer: {}\n", words(error)));
        }
        // whoever closed the pipe has read enough
        Ok(()) | Err(_) => {}
    }
    written.is_ok()
}

/// Prints to standard error.
pub fn complain(text: &str) {
    let mut err = anstream::stderr().lock();
    // there is nobody left to tell
    drop(err.write_all(harmless(text).as_bytes()).and_then(|()| err.flush()));
}

/// Prints to the terminal that standard error is, for what moves on it. Nothing of others may be in it.
pub fn live(text: &str) {
    let mut err = io::stderr().lock();
    let shown = as_wanted(&text.replace(MARK.as_str(), "\x1b["), &err).into_owned();
    // there is nobody left to tell
    drop(err.write_all(shown.as_bytes()).and_then(|()| err.flush()));
}

/// Without colours where somebody wants none (`NO_COLOR`): the terminal is still to be moved about, which is left out, too, by
/// what takes colours out of text for files.
fn as_wanted<'t>(text: &'t str, stream: &impl anstream::stream::RawStream) -> Cow<'t, str> {
    if anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let length = colour_length(&rest[at..]);
        // what moves stays
        plain.push_str(&rest[..at + usize::from(length == 0)]);
        rest = &rest[at + length.max(1)..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Text for people: names, comments and arguments in it can be anybody's, and a terminal would obey what they hold. Only
/// line ends and raum's own colours ([`paint`]) stay as they are.
fn harmless(text: &str) -> Cow<'_, str> {
    if plain_length(text) == text.len() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let plain = plain_length(rest);
        out.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { break };
        let colour = colour_length(rest);
        if let Some(numbers) = rest[..colour].strip_prefix(MARK.as_str()) {
            out.push_str("\x1b[");
            out.push_str(numbers);
            rest = &rest[colour..];
        } else {
            out.push(if c == '\t' { c } else { visible(c) });
            rest = &rest[c.len_utf8()..];
        }
    }
    Cow::Owned(out)
}

/// How many bytes at the beginning are printable ASCII or line ends: most of what is printed, and to be had at once.
fn plain_length(text: &str) -> usize {
    text.bytes().position(|byte| !matches!(byte, b' '..=b'~' | b'\n')).unwrap_or(text.len())
}

/// The length of the colour sequence (`ESC [ 1;31 m`, ECMA-48 SGR) that the text begins with, or 0.
pub fn colour_length(text: &str) -> usize {
    let Some(numbers) = text.strip_prefix("\x1b[") else { return 0 };
    let length = numbers.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if numbers.as_bytes().get(length) == Some(&b'm') { length + 3 } else { 0 }
}

/// JSON in which whatever a terminal would obey, or a reader not see, is escaped; outside of its texts there is no such thing.
fn escaped(json: &str) -> Cow<'_, str> {
    if plain_length(json) == json.len() {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    loop {
        let plain = plain_length(rest);
        out.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { break };
        if visible(c) == c {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_colours_and_nothing_else() {
        assert_eq!(harmless(&format!("{}\n", paint(BAD, "red"))), "\x1b[31mred\x1b[0m\n");
        // not those that are in somebody's name, painted or not
        assert_eq!(harmless(&paint(BAD, "\x1b[8mx\x1b[0m")), "\x1b[31m␛[8mx␛[0m\x1b[0m");
        assert_eq!(harmless("\x1b[8mx"), "␛[8mx");
        assert_eq!(harmless("\x1b[2Jx\x1b]0;title\x07\r"), "␛[2Jx␛]0;title␇␍");
        assert_eq!(harmless("\u{9b}31m \u{202e}abc \x1b[1"), "\u{fffd}31m \u{fffd}abc ␛[1");
    }

    #[test]
    fn json_says_the_same_with_all_of_that_escaped() {
        for text in ["\u{9b}31m", "\u{202e}abc", "\u{7f}", "\u{e0041}", "\x1b[1m", "plain ä 漢"] {
            let json = serde_json::to_string(text).expect("JSON");
            let json = escaped(&json);
            assert!(json.chars().all(|c| visible(c) == c), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }
}
