//! Faults on purpose: every netlink message and every file operation is a numbered point, and a test says at which of them
//! this process is killed, or gets an error instead of having its way.
//!
//! Only with the feature `harness`, which no released build has: without it all functions here are empty and inlined away.
//! Cargo turns it on for `cargo test` alone, where the tests of `raum-cli` ask for it.
//!
//! Two environment variables, read once, at the first point:
//!
//! - `RAUM_POINTS=FILE`: appends a line to the file at each point, `17 rename`, so that a test learns how many there are.
//! - `RAUM_FAULT=WHAT@POINT` or `WHAT@POINT+MORE`: what happens at a point, counted from 0, and at so many after it;
//!   `WHAT@NAME` at all points of that name: what this kernel does not have (`EPROTONOSUPPORT@netfilter socket`). `kill`
//!   is SIGKILL before the operation; within a message of several requests, those before it are sent. An errno's name
//!   (`EBUSY`, `ENOMEM`, `ENOSPC`, `EEXIST`, `ENODEV`, `EPERM`) is the answer instead of the operation. `interrupted` marks
//!   the answer to a dump with `NLM_F_DUMP_INTR`, `short` gives an answer too little room, `lost` reports an answer that the
//!   kernel had no room for (ENOBUFS), though the request was carried out. The last three do nothing to operations without
//!   answers. `SIGINT`, `SIGTERM` and `SIGHUP` come from outside just then, and `pipe` lets whoever reads the standard output
//!   and the standard error go away; the operation has its way. `panic` is a panic there.

use std::ops::Range;

use rustix::io::Errno;

/// What befalls an exchange of netlink messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "harness"), expect(dead_code, reason = "nothing befalls a released build"))]
pub(crate) enum Fault {
    /// SIGKILL.
    Kill,
    /// An error instead.
    Refused(Errno),
    /// A dump that was interrupted.
    Interrupted,
    /// An answer cut off.
    Short,
    /// An answer that did not come.
    Lost,
}

#[cfg(feature = "harness")]
pub use armed::point;
#[cfg(feature = "harness")]
pub(crate) use armed::{die, points};

/// A file operation is about to be tried.
///
/// # Errors
/// What a test wants to have happened instead.
#[cfg(not(feature = "harness"))]
#[inline(always)]
pub fn point(_: &str) -> Result<(), Errno> {
    Ok(())
}

/// So many messages are about to be sent: what befalls which of them.
#[cfg(not(feature = "harness"))]
#[inline(always)]
pub(crate) fn points(_: &str, _: usize) -> Option<(Range<usize>, Fault)> {
    None
}

/// Never happens without the feature.
#[cfg(not(feature = "harness"))]
#[inline(always)]
pub(crate) fn die() {}

#[cfg(feature = "harness")]
mod armed {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};
    use rustix::stdio::{dup2_stderr, dup2_stdout};

    use super::{Fault, Range};

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static PLAN: OnceLock<Plan> = OnceLock::new();

    struct Plan {
        log: Option<File>,
        event: Option<(Event, Place)>,
    }

    /// What happens at a point.
    #[derive(Clone, Copy)]
    enum Event {
        /// To the operation.
        Fault(Fault),
        /// To this process.
        Signal(Signal),
        /// To the readers of what this process says.
        ClosedPipe,
        /// To whoever relies on this process ending in good order.
        Panic,
    }

    enum Place {
        Numbers(Range<usize>),
        Name(String),
    }

    fn plan() -> &'static Plan {
        PLAN.get_or_init(|| {
            let log = std::env::var_os("RAUM_POINTS");
            let log = log.map(|path| OpenOptions::new().create(true).append(true).open(path).expect("RAUM_POINTS"));
            let event = std::env::var("RAUM_FAULT").ok();
            Plan { log, event: event.map(|text| parse(&text).expect("RAUM_FAULT=WHAT@POINT[+MORE]")) }
        })
    }

    fn parse(text: &str) -> Option<(Event, Place)> {
        let (what, at) = text.split_once('@')?;
        let event = match what {
            "SIGINT" => Event::Signal(Signal::INT),
            "SIGTERM" => Event::Signal(Signal::TERM),
            "SIGHUP" => Event::Signal(Signal::HUP),
            "pipe" => Event::ClosedPipe,
            "panic" => Event::Panic,
            fault => Event::Fault(parse_fault(fault)?),
        };
        if !at.starts_with(|c: char| c.is_ascii_digit()) {
            return Some((event, Place::Name(at.to_owned())));
        }
        let (from, more) = at.split_once('+').unwrap_or((at, "0"));
        let from: usize = from.parse().ok()?;
        let more: usize = more.parse().ok()?;
        Some((event, Place::Numbers(from..from.saturating_add(more).saturating_add(1))))
    }

    fn parse_fault(what: &str) -> Option<Fault> {
        Some(match what {
            "kill" => Fault::Kill,
            "interrupted" => Fault::Interrupted,
            "short" => Fault::Short,
            "lost" => Fault::Lost,
            "EBUSY" => Fault::Refused(Errno::BUSY),
            "ENOMEM" => Fault::Refused(Errno::NOMEM),
            "ENOSPC" => Fault::Refused(Errno::NOSPC),
            "EEXIST" => Fault::Refused(Errno::EXIST),
            "ENODEV" => Fault::Refused(Errno::NODEV),
            "EPERM" => Fault::Refused(Errno::PERM),
            "EPROTONOSUPPORT" => Fault::Refused(Errno::PROTONOSUPPORT),
            _ => return None,
        })
    }

    /// A file operation is about to be tried.
    ///
    /// # Errors
    /// What a test wants to have happened instead.
    pub fn point(what: &str) -> Result<(), Errno> {
        match points(what, 1) {
            Some((_, Fault::Kill)) => die(),
            Some((_, Fault::Refused(errno))) => return Err(errno),
            _ => {}
        }
        Ok(())
    }

    /// So many messages are about to be sent: what befalls which of them.
    pub(crate) fn points(what: &str, count: usize) -> Option<(Range<usize>, Fault)> {
        let plan = plan();
        let first = NEXT.fetch_add(count, Ordering::SeqCst);
        if let Some(mut log) = plan.log.as_ref() {
            // one write: lines of several threads do not mix
            let lines: String = (first..first + count).map(|number| format!("{number} {what}\n")).collect();
            log.write_all(lines.as_bytes()).expect("RAUM_POINTS");
        }
        let (event, place) = plan.event.as_ref()?;
        let struck = match place {
            Place::Numbers(range) => {
                let (start, end) = (first.max(range.start), (first + count).min(range.end));
                (start < end).then(|| start - first..end - first)
            }
            Place::Name(name) => (name == what).then_some(0..count),
        }?;
        match *event {
            Event::Fault(fault) => return Some((struck, fault)),
            Event::Signal(signal) => kill_process(getpid(), signal).expect("a signal"),
            Event::Panic => panic!("on purpose, at {what}"),
            Event::ClosedPipe => {
                let (_, nobody_reads) = std::io::pipe().expect("a pipe");
                dup2_stdout(&nobody_reads).and_then(|()| dup2_stderr(&nobody_reads)).expect("standard streams");
            }
        }
        None
    }

    /// SIGKILL, as from elsewhere: nothing is tidied up, other threads may take another step.
    pub(crate) fn die() {
        kill_process(getpid(), Signal::KILL).expect("to be able to die");
        loop {
            std::thread::park();
        }
    }
}
