//! Echo requests from one namespace to an address, and what becomes of them: raum's own ping, which needs no program inside.

mod flight;
pub(crate) mod icmp;
mod socket;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use raum_core::host::OpError;
use raum_core::name::NsId;
use raum_kernel::errno;
use rustix::io::Errno;
use serde::{Serialize, Serializer};

use flight::{Answer, Flight, Times, low};
use icmp::{Echo, Message};
use socket::Socket;

/// How soon a stop is noticed when no signal interrupts the waiting.
const SLICE: Duration = Duration::from_millis(50);
/// Messages that are read before it is time to look at the clock again.
const BURST: usize = 256;
/// Longer times would overflow the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Bytes at the beginning of the payload that only this run knows.
const TOKEN: usize = 8;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// To whom.
    pub to: IpAddr,
    /// How many requests; None until stopped.
    pub count: Option<u32>,
    /// Between two requests.
    pub interval: Duration,
    /// How long a reply is waited for.
    pub timeout: Duration,
    /// Bytes of payload, without the ICMP header of 8 bytes.
    pub size: u16,
    /// Time to live, or hop limit; None for the namespace's default.
    pub ttl: Option<u8>,
}

/// What became of a request. Each one sent is told once as a reply, lost or unreachable, unless the run is stopped before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// It was answered in time.
    Reply {
        /// The request's number, from 1.
        seq: u32,
        /// Who answered.
        from: IpAddr,
        /// Time to live of the reply as it arrived; None for IPv6.
        ttl: Option<u8>,
        /// ICMP header and payload.
        bytes: usize,
        /// From sending to receiving; in JSON as microseconds.
        #[serde(rename = "time_us", serialize_with = "micros")]
        time: Duration,
    },
    /// No answer came in time.
    Lost {
        /// The request's number.
        seq: u32,
    },
    /// It could not be sent, or somebody on the way says that it will not arrive.
    Unreachable {
        /// The request's number.
        seq: u32,
        /// Who says so; None if the sending namespace's kernel refused to send.
        from: Option<IpAddr>,
        /// In words.
        why: &'static str,
    },
    /// One more reply to a request that was answered already.
    Duplicate {
        /// The request's number.
        seq: u32,
        /// Who answered.
        from: IpAddr,
        /// From sending to receiving; in JSON as microseconds.
        #[serde(rename = "time_us", serialize_with = "micros")]
        time: Duration,
    },
    /// A reply to a request that was told as lost or unreachable; it is not counted as received.
    Late {
        /// The request's number.
        seq: u32,
        /// Who answered.
        from: IpAddr,
        /// From sending to receiving; in JSON as microseconds.
        #[serde(rename = "time_us", serialize_with = "micros")]
        time: Duration,
    },
}

/// All of it in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Requests, including those that the kernel refused to send.
    pub sent: u32,
    /// Of them answered in time.
    pub received: u32,
    /// Of them neither answered nor given up when the run was stopped: nothing can be said of them.
    pub waiting: u32,
    /// The times of replies; None if there were none.
    #[serde(flatten)]
    pub times: Option<RoundTrip>,
}

/// Times from request to reply; in JSON as microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoundTrip {
    /// The shortest.
    #[serde(rename = "min_us", serialize_with = "micros")]
    pub min: Duration,
    /// The mean.
    #[serde(rename = "avg_us", serialize_with = "micros")]
    pub avg: Duration,
    /// The longest.
    #[serde(rename = "max_us", serialize_with = "micros")]
    pub max: Duration,
    /// The standard deviation.
    #[serde(rename = "mdev_us", serialize_with = "micros")]
    pub mdev: Duration,
}

impl Summary {
    /// Requests that are known to have had no answer in time.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.sent.saturating_sub(self.received).saturating_sub(self.waiting)
    }
}

pub(crate) fn micros<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

impl Ping {
    /// Sends the requests from a namespace and tells what becomes of each, until all are settled or `stop` is set.
    ///
    /// # Errors
    /// No such namespace, no permission for raw sockets, no IPv6; a payload or TTL that the kernel does not take. What the
    /// network does with a request is no error but an [`Event`].
    pub fn run(&self, from: &NsId, stop: &AtomicBool, event: &mut dyn FnMut(Event)) -> Result<Summary, OpError> {
        let to = self.to.to_canonical();
        let mut run = Run {
            ours: Ours {
                to,
                id: low(u32::try_from(random() & 0xffff).unwrap_or(0)),
                payload: payload(self.size, random()),
            },
            socket: Socket::open(from, to.is_ipv6(), self.ttl)?,
            flight: Flight::new(self.timeout.min(LONGEST)),
            times: Times::default(),
            summary: Summary::default(),
            event,
        };
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let more = self.count.is_none_or(|count| run.summary.sent < count);
            if more && Instant::now() >= due {
                run.send()?;
                // after a long pause (a stopped process) the missed ones are not made up for
                due = (due + self.interval.min(LONGEST)).max(Instant::now());
            }
            let more = self.count.is_none_or(|count| run.summary.sent < count);
            let next = match (more.then_some(due), run.flight.deadline()) {
                (Some(a), Some(b)) => a.min(b),
                (Some(next), None) | (None, Some(next)) => next,
                (None, None) => break,
            };
            run.socket.wait(next.saturating_duration_since(Instant::now()).min(SLICE))?;
            run.receive()?;
            run.expire();
        }
        Ok(run.summary())
    }
}

/// Numbers that nobody else has: std seeds its hash maps from the kernel's random numbers.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// A token by which this run's packets are known, then bytes that count up.
fn payload(size: u16, token: u64) -> Vec<u8> {
    token.to_be_bytes().into_iter().chain((0..=u8::MAX).cycle()).take(size.into()).collect()
}

/// What this run's requests have in common.
struct Ours {
    to: IpAddr,
    id: u16,
    payload: Vec<u8>,
}

impl Ours {
    fn request(&self, seq: u32) -> Vec<u8> {
        icmp::request(self.to.is_ipv6(), &Echo { id: self.id, seq: low(seq), payload: &self.payload })
    }

    fn answered_by(&self, reply: &Echo<'_>) -> bool {
        reply.id == self.id && reply.payload == self.payload
    }

    /// Is a quoted request ours? The payload may be cut, and other things may follow it.
    fn quoted_in(&self, to: IpAddr, request: &Echo<'_>) -> bool {
        let length = TOKEN.min(self.payload.len()).min(request.payload.len());
        to == self.to && request.id == self.id && request.payload[..length] == self.payload[..length]
    }
}

struct Run<'a> {
    ours: Ours,
    socket: Socket,
    flight: Flight,
    times: Times,
    summary: Summary,
    event: &'a mut dyn FnMut(Event),
}

impl Run<'_> {
    fn send(&mut self) -> Result<(), OpError> {
        let seq = self.flight.next();
        let message = self.ours.request(seq);
        self.flight.sent(Instant::now());
        self.summary.sent += 1;
        if let Err(cause) = self.socket.send(&message, self.ours.to) {
            let why = refusal(cause).ok_or_else(|| errno::at(&format!("sending to {}", self.ours.to), cause))?;
            if let Some(seq) = self.flight.failed(low(seq)) {
                (self.event)(Event::Unreachable { seq, from: None, why });
            }
        }
        Ok(())
    }

    /// Reads what has arrived; what is not about this run's requests is passed over.
    fn receive(&mut self) -> Result<(), OpError> {
        for _ in 0..BURST {
            let Some((bytes, from)) = self.socket.receive()? else { break };
            let now = Instant::now();
            let (message, from, ttl) = if self.ours.to.is_ipv6() {
                let Some(message) = icmp::read_v6(bytes) else { continue };
                (message, from, None)
            } else {
                let Some(packet) = icmp::read_v4(bytes) else { continue };
                (packet.message, packet.from.into(), Some(packet.ttl))
            };
            match message {
                Message::Reply(echo) if self.ours.answered_by(&echo) => {
                    let Some((seq, time, answer)) = self.flight.replied(echo.seq, now) else { continue };
                    (self.event)(match answer {
                        Answer::First => {
                            self.summary.received += 1;
                            self.times.add(time);
                            Event::Reply { seq, from, ttl, bytes: echo.payload.len() + 8, time }
                        }
                        Answer::Again => Event::Duplicate { seq, from, time },
                        Answer::Late => Event::Late { seq, from, time },
                    });
                }
                Message::Failed { why, to, request } if self.ours.quoted_in(to, &request) => {
                    if let Some(seq) = self.flight.failed(request.seq) {
                        (self.event)(Event::Unreachable { seq, from: Some(from), why });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(seq) = self.flight.expired(now) {
            (self.event)(Event::Lost { seq });
        }
    }

    fn summary(&self) -> Summary {
        let times = self.times.summary().map(|[min, avg, max, mdev]| RoundTrip { min, avg, max, mdev });
        Summary { waiting: self.flight.waiting(), times, ..self.summary }
    }
}

/// Why the kernel does not send; None if that is no matter of the network (too long, no memory). Route types answer with an
/// errno each (`fib_props`, net/ipv4/fib_semantics.c; `ip6_rt_type_to_error`, net/ipv6/route.c).
pub(crate) fn refusal(cause: Errno) -> Option<&'static str> {
    Some(match cause {
        Errno::NETUNREACH => "no route to this address (ENETUNREACH)",
        Errno::HOSTUNREACH => "an `unreachable` route refuses it (EHOSTUNREACH)",
        Errno::ACCESS => "a `prohibit` route refuses it, or it is a broadcast address (EACCES)",
        Errno::INVAL => "a `blackhole` route drops it, or the kernel takes no such address (EINVAL)",
        Errno::PERM => "the sending namespace's own rules forbid it (EPERM)",
        Errno::NETDOWN => "the interface is down (ENETDOWN)",
        Errno::NODEV | Errno::NXIO => "the interface is gone (ENODEV)",
        Errno::ADDRNOTAVAIL => "the sending namespace has no address to send from (EADDRNOTAVAIL)",
        Errno::NOBUFS | Errno::AGAIN => "the interface's queue, or the kernel's table of neighbours, is full (ENOBUFS)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_own_requests_count() {
        let to = IpAddr::from([10, 0, 0, 1]);
        let ours = Ours { to, id: 7, payload: payload(56, 1) };
        let own = Echo { id: 7, seq: 1, payload: &ours.payload };
        assert!(ours.quoted_in(to, &own));
        // routers may quote no more than the header, or add something
        assert!(ours.quoted_in(to, &Echo { payload: &[], ..own }));
        assert!(ours.quoted_in(to, &Echo { payload: &[&ours.payload[..], &[1, 2]].concat(), ..own }));
        assert!(!ours.quoted_in(to, &Echo { id: 8, ..own }));
        assert!(!ours.quoted_in(to, &Echo { payload: &payload(56, 2), ..own }));
        assert!(!ours.quoted_in(IpAddr::from([10, 0, 0, 2]), &own));
    }

    #[test]
    fn two_runs_differ_and_any_size_is_filled() {
        assert_ne!(random(), random());
        for size in [0, 1, 8, 9, 300, u16::MAX] {
            assert_eq!(payload(size, 5).len(), usize::from(size));
        }
        assert_eq!(payload(10, 0x0102_0304_0506_0708), [1, 2, 3, 4, 5, 6, 7, 8, 0, 1]);
    }
}
