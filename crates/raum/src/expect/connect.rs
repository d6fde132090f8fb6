//! TCP connections of a run: tried by a few threads, for the kernel's own handshake is what has to be seen, and that waits.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use raum_kernel::{errno, namespace};
use rustix::io::Errno;

use super::verdict::Connected;
use super::wire::{MARK, Run};
use crate::ping::refusal;

/// A TCP connection to be tried.
pub(super) struct Try {
    /// Its trial.
    pub trial: u32,
    /// Index of the place that connects.
    pub from: usize,
    pub to: SocketAddr,
    /// raum itself listens there, and gets a mark.
    pub own: bool,
}

/// Takes connections off the list and tries them, each from its own namespace, until there are none.
pub(super) fn connect_all(
    work: &Mutex<VecDeque<Try>>,
    namespaces: &BTreeMap<usize, OwnedFd>,
    run: &Run,
    patience: Duration,
    stop: &AtomicBool,
    told: &Sender<(u32, Connected)>,
) {
    loop {
        let next = work.lock().map_or(None, |mut work| work.pop_front());
        let Some(next) = next.filter(|_| !stop.load(Ordering::Relaxed)) else { return };
        let result = match namespaces.get(&next.from).map(|fd| namespace::enter(fd.as_fd())) {
            Some(Ok(())) => connect(&next, run, patience),
            Some(Err(cause)) => Connected::Failed(cause.words()),
            None => Connected::Failed("its namespace is gone".to_owned()),
        };
        if told.send((next.trial, result)).is_err() {
            return;
        }
    }
}

/// Connects, and if raum listens there, has the mark answered.
fn connect(next: &Try, run: &Run, patience: Duration) -> Connected {
    let words = |cause: &std::io::Error| errno::at_io("", cause).words();
    let mut stream = match TcpStream::connect_timeout(&next.to, patience) {
        Ok(stream) => stream,
        Err(cause) if cause.kind() == std::io::ErrorKind::TimedOut => return Connected::TimedOut,
        Err(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => return Connected::Refused,
        Err(cause) => {
            let errno = Errno::from_io_error(&cause);
            return Connected::Failed(errno.and_then(refusal).map_or_else(|| words(&cause), ToOwned::to_owned));
        }
    };
    if !next.own {
        return Connected::Open;
    }
    let mut speak = || -> std::io::Result<bool> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(&run.mark(next.trial, false))?;
        let mut answer = [0; MARK];
        stream.read_exact(&mut answer)?;
        Ok(run.marked(&answer) == Some((next.trial, true)))
    };
    match speak() {
        Ok(true) => Connected::Answered,
        Ok(false) => Connected::Silent("somebody else answered".to_owned()),
        Err(cause) => Connected::Silent(words(&cause)),
    }
}

/// No more than those that are under way.
pub(super) fn stop_work(work: &Mutex<VecDeque<Try>>) {
    if let Ok(mut work) = work.lock() {
        work.clear();
    }
}
