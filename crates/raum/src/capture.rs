//! Capturing at several interfaces of several namespaces at once: one stream of packets in the order of their times.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use raum_core::capture::machine::Instruction;
use raum_core::capture::pcapng::Direction;
use raum_core::host::OpError;
use raum_core::name::{LabName, NodeName, NsId};
use raum_kernel::tap::{Frame, Tap};
use raum_kernel::{errno, namespace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::place::Place;
use crate::record::Record;
use crate::resolve::{ResolveError, Resolved, resolve};

/// How soon a stop or a missing interface is noticed.
const SLICE: Duration = Duration::from_millis(50);
/// A ring hands packets over that late at most, loaded machines aside: before that, an older one may come from another ring.
const LATE: Duration = Duration::from_millis(60);
/// For each ring, and for all of them together.
const RING: usize = 4 << 20;
const RINGS: usize = 256 << 20;

/// An interface to capture at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// `shop-web:eth0`.
    pub name: String,
    /// The namespace.
    pub ns: NsId,
    /// The lab that it is of.
    pub lab: Option<LabName>,
    /// The interface's name.
    pub interface: String,
    index: u32,
}

/// Nothing can be captured there.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No such namespace.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The namespace could not be looked at.
    #[error(transparent)]
    Observe(#[from] raum_core::host::ObserveError),
    /// No such interface.
    #[error("`{ns}` has no interface `{interface}`; it has {}", list(has))]
    NoInterface {
        /// Where.
        ns: NsId,
        /// As typed.
        interface: String,
        /// Those that there are.
        has: Vec<String>,
    },
    /// No interface but the loopback.
    #[error("`{0}` has no interface but `lo`; `{0}:lo` captures there")]
    OnlyLoopback(NsId),
    /// The kernel refuses.
    #[error("cannot capture at {point}: {}", cause.words())]
    Refused {
        /// Where.
        point: String,
        /// The kernel's answer.
        cause: OpError,
    },
    /// The packets could not be written.
    #[error("{0}")]
    Write(io::Error),
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What `NODE[:INTERFACE]` stands for: that interface, or all of the namespace but `lo`.
///
/// # Errors
/// [`CaptureError`]
pub fn points(place: &Place, text: &str) -> Result<Vec<Point>, CaptureError> {
    let (node, interface) = text.split_once(':').map_or((text, None), |(node, interface)| (node, Some(interface)));
    let Resolved { ns, lab, .. } = resolve(place, node)?;
    let view = raum_kernel::view::view(&ns)?;
    let wanted = |name: &str| interface.map_or(name != "lo", |wanted| wanted == name);
    let found: Vec<Point> = view
        .interfaces
        .iter()
        .filter(|found| wanted(&found.name))
        .map(|found| Point {
            name: format!("{ns}:{}", found.name),
            ns: ns.clone(),
            lab: lab.clone(),
            interface: found.name.clone(),
            index: found.index,
        })
        .collect();
    match (found.is_empty(), interface) {
        (false, _) => Ok(found),
        (true, None) => Err(CaptureError::OnlyLoopback(ns)),
        (true, Some(interface)) => Err(CaptureError::NoInterface {
            ns,
            interface: interface.to_owned(),
            has: view.interfaces.into_iter().map(|interface| interface.name).collect(),
        }),
    }
}

/// The addresses of a node of one of these labs: what a filter means by its name.
#[must_use]
pub fn addresses(place: &Place, labs: &[LabName], name: &str) -> Vec<IpAddr> {
    let Ok(name) = NodeName::new(name) else { return Vec::new() };
    let nodes = labs.iter().filter_map(|lab| Record::read(place, lab).ok().flatten()?.nodes.remove(&name));
    nodes.flat_map(|node| node.addresses).map(|net: IpNet| net.addr()).collect()
}

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

/// Packets that were taken out of the rings, and are not told yet.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    packets: Vec<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    point: usize,
    time_ns: u64,
    direction: Direction,
    length: u32,
    bytes: Range<usize>,
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
        loop {
            let over = stop.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
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
                if self.totals.iter().all(|totals| totals.gone) {
                    self.pending.tell(u64::MAX, &mut left, told).map_err(CaptureError::Write)?;
                    break;
                }
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

impl Pending {
    fn hold(&mut self, point: usize, frame: Frame<'_>) {
        let start = self.bytes.len();
        match frame.vlan {
            // back to where it was on the wire
            Some((kind, content)) if frame.bytes.len() >= 12 => {
                self.bytes.extend(&frame.bytes[..12]);
                self.bytes.extend(kind.to_be_bytes());
                self.bytes.extend(content.to_be_bytes());
                self.bytes.extend(&frame.bytes[12..]);
            }
            _ => self.bytes.extend(frame.bytes),
        }
        let added = self.bytes.len() - start - frame.bytes.len();
        self.packets.push(Held {
            point,
            time_ns: frame.time_ns,
            direction: if frame.outgoing { Direction::Out } else { Direction::In },
            length: frame.length.saturating_add(u32::try_from(added).unwrap_or(0)),
            bytes: start..self.bytes.len(),
        });
    }

    /// Tells what is not younger, `left` packets at most.
    fn tell(
        &mut self,
        horizon: u64,
        left: &mut u64,
        told: &mut dyn FnMut(&[Packet<'_>]) -> io::Result<()>,
    ) -> io::Result<()> {
        // stable: packets of one interface stay as they came
        self.packets.sort_by_key(|packet| packet.time_ns);
        let ready = self.packets.partition_point(|packet| packet.time_ns <= horizon);
        let most = usize::try_from(*left).unwrap_or(usize::MAX).min(ready);
        *left -= u64::try_from(most).unwrap_or(u64::MAX).min(*left);
        let packets: Vec<Packet<'_>> = self.packets[..most]
            .iter()
            .map(|held| Packet {
                point: held.point,
                time_ns: held.time_ns,
                direction: held.direction,
                length: held.length,
                bytes: self.bytes.get(held.bytes.clone()).unwrap_or_default(),
            })
            .collect();
        if !packets.is_empty() {
            told(&packets)?;
        }
        let kept = self.packets.split_off(ready);
        let mut bytes = Vec::new();
        self.packets = kept;
        for held in &mut self.packets {
            let start = bytes.len();
            bytes.extend(self.bytes.get(held.bytes.clone()).unwrap_or_default());
            held.bytes = start..bytes.len();
        }
        if bytes.is_empty() {
            self.bytes.clear();
        } else {
            self.bytes = bytes;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(time_ns: u64, bytes: &[u8], vlan: Option<(u16, u16)>) -> Frame<'_> {
        Frame { time_ns, length: 100, outgoing: false, bytes, vlan }
    }

    #[test]
    fn packets_are_told_in_the_order_of_their_times() {
        let mut pending = Pending::default();
        pending.hold(0, frame(5, b"five", None));
        pending.hold(1, frame(3, b"three", None));
        pending.hold(1, frame(9, b"nine", None));
        let mut all = Vec::new();
        let mut left = u64::MAX;
        let mut tell = |pending: &mut Pending, horizon| {
            pending
                .tell(horizon, &mut left, &mut |packets| {
                    all.extend(
                        packets.iter().map(|packet| (packet.point, String::from_utf8_lossy(packet.bytes).into_owned())),
                    );
                    Ok(())
                })
                .expect("told");
        };
        tell(&mut pending, 6);
        pending.hold(0, frame(7, b"seven", None));
        tell(&mut pending, u64::MAX);
        let expected = [(1, "three"), (0, "five"), (0, "seven"), (1, "nine")];
        assert_eq!(all, expected.map(|(point, text)| (point, text.to_owned())));
        assert!(pending.bytes.is_empty() && pending.packets.is_empty());
    }

    #[test]
    fn a_vlan_tag_is_put_back() {
        let mut pending = Pending::default();
        let bytes = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0, 0x45];
        pending.hold(0, frame(1, &bytes, Some((0x8100, 5))));
        assert_eq!(pending.bytes, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x81, 0, 0, 5, 8, 0, 0x45]);
        assert_eq!(pending.packets[0].length, 104);
    }
}
