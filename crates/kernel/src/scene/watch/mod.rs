//! What happens in all namespaces of the machine, while it happens.
//!
//! One socket hears of all (`ear`), since every namespace has a number at the vantage. The kernel says when one is gone; new
//! ones are looked for when mounts change, and every second for those that only processes have. `book` remembers what was
//! there, so that a message that changes nothing is no event.

mod book;
mod ear;

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use raum_core::host::{ObserveError, OpError};
use raum_core::view::{Event, Flow, Missing, Sample};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::vantage::Vantage;
use crate::errno;
use crate::message::Answers;
use crate::namespace::in_namespace;
use book::Book;
use ear::{Ear, Heard};

/// How often processes are looked through for namespaces without a name.
const AGAIN: Duration = Duration::from_secs(1);
/// Datagrams that are read before what they say is handed out.
const AT_ONCE: usize = 4096;
/// The kernel keeps so much for us; without `CAP_NET_ADMIN` on the host it is less.
const BUFFER: usize = 32 << 20;

/// Watches.
pub struct Watcher {
    ear: Ear,
    /// Says when something is mounted or unmounted.
    mounts: File,
    looked: Instant,
    /// Something was mounted or unmounted since.
    mounted: bool,
    book: Book,
}

impl Watcher {
    /// Begins. What is there now is no event.
    ///
    /// # Errors
    /// There is no `/proc`, or no socket can be opened.
    pub fn open() -> Result<Self, ObserveError> {
        Self::with_buffer(BUFFER)
    }

    /// As [`Watcher::open`]; the kernel keeps at most so many bytes of what was not read yet.
    ///
    /// # Errors
    /// As [`Watcher::open`].
    pub fn with_buffer(bytes: usize) -> Result<Self, ObserveError> {
        Self::begin(bytes).map_err(told)
    }

    fn begin(buffer: usize) -> Result<Self, OpError> {
        let vantage = Vantage::new();
        let ear = match &vantage {
            Ok(vantage) => in_namespace(vantage.namespace(), || Ear::open(true, buffer))??,
            Err(_) => Ear::open(false, buffer)?,
        };
        let path = "/proc/self/mountinfo";
        let mounts = File::open(path).map_err(|cause| errno::at_io(path, &cause))?;
        let mut watcher = Self { ear, mounts, looked: Instant::now(), mounted: false, book: Book::new(vantage)? };
        watcher.book.look(true)?;
        Ok(watcher)
    }

    /// What cannot be seen.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.book.missing
    }

    /// How many namespaces are watched.
    #[must_use]
    pub fn count(&self) -> usize {
        self.book.count()
    }

    /// The counters of all interfaces, at this moment, in order of the namespaces' names, the host first.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn sample(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Sample>, ObserveError> {
        self.book.sample(&wanted).map_err(told)
    }

    /// The tracked connections of a namespace.
    ///
    /// # Errors
    /// It is gone or may not be entered; the kernel's refusal.
    pub fn flows(&self, inode: u64) -> Result<Vec<Flow>, ObserveError> {
        self.book.flows(inode).map_err(told)
    }

    /// Waits for events, not longer than so long; may return without any before.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn wait(&mut self, longest: Duration) -> Result<Vec<Event>, ObserveError> {
        self.listen(longest).map_err(told)?;
        Ok(std::mem::take(&mut self.book.events))
    }

    fn listen(&mut self, longest: Duration) -> Result<(), OpError> {
        let pause = longest.min(AGAIN.saturating_sub(self.looked.elapsed()));
        let timeout = Timespec::try_from(pause).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut polled = [
            PollFd::from_borrowed_fd(self.ear.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.mounts.as_fd(), PollFlags::PRI),
        ];
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) => {}
            // a signal: whoever waits knows what it means
            Err(Errno::INTR) => return Ok(()),
            Err(cause) => return Err(errno::at("poll", cause)),
        }
        // told once by the kernel, so remembered until it was looked
        self.mounted |= !polled[1].revents().is_empty();
        // only when all was heard: what is gone must be known before what has come, which may have its inode
        if self.drain()? && (self.mounted || self.looked.elapsed() >= AGAIN) {
            self.book.look(false)?;
            self.mounted = false;
            self.looked = Instant::now();
        }
        Ok(())
    }

    /// Whether all was heard that there is for now.
    fn drain(&mut self) -> Result<bool, OpError> {
        let (mut overrun, mut silent) = (false, false);
        for _ in 0..AT_ONCE {
            match self.ear.hear()? {
                Heard::Silence => {
                    silent = true;
                    break;
                }
                Heard::Overrun => overrun = true,
                Heard::Messages(number, bytes) => {
                    Answers::new(bytes).for_each(|answer| self.book.note(number, &answer));
                }
            }
        }
        if overrun {
            self.book.compare();
        }
        Ok(silent)
    }
}

fn told(cause: OpError) -> ObserveError {
    ObserveError { what: "events of network namespaces".to_owned(), cause }
}
