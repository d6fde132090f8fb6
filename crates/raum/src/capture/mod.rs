//! Capturing at several interfaces of several namespaces at once: one stream of packets in the order of their times.

mod pending;
mod points;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use raum_core::capture::machine::Instruction;
use raum_core::capture::pcapng::Direction;
use raum_core::name::NsId;
use raum_kernel::tap::Tap;
use raum_kernel::{errno, namespace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use pending::Pending;
pub use points::{CaptureError, Point, addresses, points};

/// How soon a stop or a missing interface is noticed.
const SLICE: Duration = Duration::from_millis(50);
/// A ring hands packets over that late at most, loaded machines aside: before that, an older one may come from another ring.
const LATE: Duration = Duration::from_millis(60);
/// For each ring, and for all of them together.
const RING: usize = 4 << 20;
const RINGS: usize = 256 << 20;

/// When to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// After so many packets.
    pub count: Option<u64>,
    /// After so long.
    pub duration: Option<Duration>,
}

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The index of its point.
    pub point: usize,
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Out of the namespace or into it.
    pub direction: Direction,
    /// Bytes on the wire.
    pub length: u32,
    /// The frame, or its beginning.
    pub bytes: &'a [u8],
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Packets that passed the filter.
    pub received: u64,
    /// Those of them that the kernel had to drop because there was no room.
    pub lost: u64,
    /// The interface went away meanwhile.
    pub gone: bool,
}

/// Interfaces that are captured at, from now on.
#[derive(Debug)]
pub struct Capture {
    taps: Vec<Tap>,
    totals: Vec<Totals>,
    names: Vec<String>,
    pending: Pending,
}

impl Capture {
    /// Begins.
    ///
    /// # Errors
    /// [`CaptureError::Refused`]
    pub fn open(points: &[Point], filter: &[Instruction]) -> Result<Self, CaptureError> {
        let ring = (RINGS / points.len().max(1)).min(RING);
        let mut taps = Vec::with_capacity(points.len());
        for point in points {
            let open = || Tap::open(point.index, filter, ring);
            let tap = match &point.ns {
                NsId::Host => open(),
                NsId::Named(name) => namespace::named(name).and_then(|fd| namespace::in_namespace(fd, open)?),
            };
            taps.push(tap.map_err(|cause| CaptureError::Refused { point: point.name.clone(), cause })?);
        }
        Ok(Self {
            totals: vec![Totals::default(); taps.len()],
            names: points.iter().map(|point| point.name.clone()).collect(),
            taps,
            pending: Pending::default(),
        })
    }

    /// Tells packets in the order of their times until a limit is reached, `stop` is set, all interfaces are gone, or whoever
    /// is told wants no more (an error; a closed pipe is none that is worth a word).
    ///
    /// # Errors
    /// [`CaptureError`]
    pub fn run(
        &mut self,
        limits: Limits,
        stop: &AtomicBool,
        told: &mut dyn FnMut(&[Packet<'_>]) -> io::Result<()>,
    ) -> Result<Vec<Totals>, CaptureError> {
        let end = limits.duration.and_then(|duration| Instant::now().checked_add(duration));
        let mut left = limits.count.unwrap_or(u64::MAX);
        let mut next_look = Instant::now() + SLICE;
        let mut all_gone = false;
        loop {
            let over = all_gone || stop.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
            if over {
                // what passed before is in blocks that the kernel hands over in a moment
                std::thread::sleep(LATE);
            }
            self.take();
            let horizon = if over || self.taps.len() == 1 { u64::MAX } else { now_ns().saturating_sub(nanos(LATE)) };
            match self.pending.tell(horizon, &mut left, told) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                other => other.map_err(CaptureError::Write)?,
            }
            if over || left == 0 {
                break;
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + SLICE;
                self.count()?;
                all_gone = self.totals.iter().all(|totals| totals.gone);
            }
            if all_gone {
                continue;
            }
            self.wait(end)?;
        }
        self.count()?;
        Ok(self.totals.clone())
    }

    fn take(&mut self) {
        let pending = &mut self.pending;
        for (point, tap) in self.taps.iter_mut().enumerate() {
            tap.take(&mut |frame| pending.hold(point, frame));
        }
    }

    /// Adds up the kernel's counters, before they run over, and sees who is gone.
    fn count(&mut self) -> Result<(), CaptureError> {
        for ((tap, totals), name) in self.taps.iter().zip(&mut self.totals).zip(&self.names) {
            let counts = tap.counts().map_err(|cause| CaptureError::Refused { point: name.clone(), cause })?;
            totals.received += u64::from(counts.received);
            totals.lost += u64::from(counts.lost);
            totals.gone = totals.gone || tap.is_gone();
        }
        Ok(())
    }

    /// Until there are packets.
    fn wait(&mut self, end: Option<Instant>) -> Result<(), CaptureError> {
        let most = end.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()).min(SLICE));
        let there = self.taps.iter().zip(&self.totals).filter(|(_, totals)| !totals.gone);
        let mut fds: Vec<PollFd<'_>> = there.map(|(tap, _)| PollFd::new(tap, PollFlags::IN)).collect();
        let Ok(most) = Timespec::try_from(most) else { return Ok(()) };
        match poll(&mut fds, Some(&most)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(cause) => {
                let point = self.names.first().cloned().unwrap_or_default();
                return Err(CaptureError::Refused { point, cause: errno::at("waiting for packets", cause) });
            }
        }
        // an interface that is down wakes us up each time until its error is taken
        if fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR)) {
            drop(fds);
            for (tap, totals) in self.taps.iter().zip(&mut self.totals) {
                totals.gone = totals.gone || tap.is_gone();
            }
        }
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Now, by the clock that packets are stamped with.
#[must_use]
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
}
