//! The terminal while it is ours: what is written to it never keeps a signal waiting, and it is given back, whatever ends us.
//!
//! A write to a terminal that nobody reads (a stalled connection, a stopped terminal) blocks for ever, and a handler that only
//! raises a flag does not end it. So the terminal is opened once more, for its own `O_NONBLOCK`: that of the standard output is
//! shared with the shell.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Signal, getsid, kill_current_process_group};
use rustix::termios::{QueueSelector, tcflush, tcgetsid};

use super::PAUSE;

/// To the other screen, without what was on it (xterm's 1049).
const BEGIN: &[u8] = b"\x1b[?1049h\x1b[2J";
/// Plain text, a cursor, and back to the first screen.
const END: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";
/// How long giving back waits for somebody to read what was drawn before, until that is thrown away.
const PATIENCE: Duration = Duration::from_millis(300);

/// The whole screen.
pub struct Terminal {
    drawn: ratatui::Terminal<CrosstermBackend<BufWriter<Writer>>>,
    tty: Arc<Tty>,
}

/// What the drawing thread and a panic in any thread share.
struct Tty {
    file: File,
    /// Must a write wait for room itself, since the file is the shell's as well?
    shared: bool,
    ours: AtomicBool,
    /// Held while it is given back: the message of a second panic waits until the first screen is there.
    giving: Mutex<()>,
    stop: Arc<AtomicBool>,
}

/// Writes until it is done, told to stop, or the terminal is given back.
pub struct Writer(Arc<Tty>);

impl Terminal {
    /// Takes the terminal of the standard output.
    ///
    /// # Errors
    /// There is none, or it does not let itself be changed; then it is as it was.
    pub fn take(stop: &Arc<AtomicBool>) -> io::Result<Self> {
        let (file, shared) = open()?;
        let tty = Arc::new(Tty {
            file,
            shared,
            ours: AtomicBool::new(false),
            giving: Mutex::new(()),
            stop: Arc::clone(stop),
        });
        let on_panic = Arc::clone(&tty);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            // the message belongs on the first screen; if that cannot be had, it is still told
            drop(on_panic.give_back());
            before(what);
        }));
        let taken = Self { drawn: blank(&tty)?, tty };
        taken.tty.take()?;
        Ok(taken)
    }

    /// What draws.
    pub fn drawn(&mut self) -> &mut ratatui::Terminal<CrosstermBackend<BufWriter<Writer>>> {
        &mut self.drawn
    }

    /// Gives it back, and ends until the shell goes on with us (`fg`), as Ctrl-Z does.
    pub fn suspend(&mut self) -> io::Result<()> {
        self.tty.give_back()?;
        kill_current_process_group(Signal::TSTP)?;
        self.tty.take()?;
        // `clear` of the old one would ask the terminal where its cursor is, and wait for the answer
        self.drawn = blank(&self.tty)?;
        Ok(())
    }

    /// Gives it back.
    pub fn give_back(self) -> io::Result<()> {
        self.tty.give_back()
    }
}

/// What has drawn nothing yet.
fn blank(tty: &Arc<Tty>) -> io::Result<ratatui::Terminal<CrosstermBackend<BufWriter<Writer>>>> {
    ratatui::Terminal::new(CrosstermBackend::new(BufWriter::new(Writer(Arc::clone(tty)))))
}

impl Drop for Terminal {
    /// After an error; that is told.
    fn drop(&mut self) {
        drop(self.tty.give_back());
    }
}

impl Tty {
    fn take(&self) -> io::Result<()> {
        self.ours.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        let mut begin = BEGIN;
        while !begin.is_empty() {
            match self.write(begin)? {
                0 => self.wait(PAUSE)?,
                count => begin = &begin[count..],
            }
        }
        Ok(())
    }

    /// Writes what there is room for, possibly nothing.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) && self.ours.load(Ordering::SeqCst) {
            return Err(io::Error::other("interrupted"));
        }
        self.put(bytes)
    }

    fn put(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes = bytes;
        if self.shared {
            // there is room for a byte, or there is not: more could wait for more
            let mut polled = [PollFd::new(&self.file, PollFlags::OUT)];
            poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            if polled[0].revents().is_empty() {
                return Ok(0);
            }
            bytes = &bytes[..1];
        }
        match (&self.file).write(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            done => done,
        }
    }

    /// Waits for room, or for a signal, or for so long.
    fn wait(&self, most: Duration) -> io::Result<()> {
        let mut polled = [PollFd::new(&self.file, PollFlags::OUT)];
        let most = Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
        match poll(&mut polled, Some(&most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lines are edited again, and the first screen is back. Once.
    fn give_back(&self) -> io::Result<()> {
        let _giving = self.giving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.ours.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let modes = disable_raw_mode();
        let mut end = END;
        let until = Instant::now() + PATIENCE;
        let mut patient = true;
        while !end.is_empty() {
            match self.put(end)? {
                0 if Instant::now() < until => self.wait(PAUSE)?,
                // of a half picture nobody needs the rest; what is thrown away makes room for the way back
                0 if patient => {
                    patient = false;
                    tcflush(&self.file, QueueSelector::OFlush)?;
                }
                0 => return Err(io::Error::new(ErrorKind::TimedOut, "it takes nothing any more")),
                count => end = &end[count..],
            }
        }
        modes
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            // what comes late (the drawing ends after a panic elsewhere) would be on the shell's screen
            if bytes.is_empty() || !self.0.ours.load(Ordering::SeqCst) {
                return Ok(bytes.len());
            }
            match self.0.write(bytes)? {
                0 => self.0.wait(PAUSE)?,
                count => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal of the standard output, opened for us alone if that is possible, and whether it is not.
fn open() -> io::Result<(File, bool)> {
    let again = |path| {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        OpenOptions::new().write(true).custom_flags(i32::try_from(flags).unwrap_or(0)).open(path)
    };
    let stdout = io::stdout();
    if let Ok(file) = again("/proc/self/fd/1") {
        return Ok((file, false));
    }
    // somebody else's (after `su`), yet the one that this session is controlled by
    if tcgetsid(&stdout).is_ok_and(|session| getsid(None) == Ok(session))
        && let Ok(file) = again("/dev/tty")
    {
        return Ok((file, false));
    }
    Ok((File::from(stdout.as_fd().try_clone_to_owned()?), true))
}
