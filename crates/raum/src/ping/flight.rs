//! Which requests are in the air: each is settled once, by a reply, an error or its time, whatever comes after.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Requests that are remembered, half of what the 16 bits of a sequence number tell apart.
const MOST: usize = 1 << 15;

/// What a reply is to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first, in time.
    First,
    /// One more.
    Again,
    /// After the request was told as lost or failed.
    Late,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Answered,
    Lost,
}

/// The latest requests.
#[derive(Debug)]
pub(super) struct Flight {
    timeout: Duration,
    /// The number of the latest request; the first is 1.
    last: u32,
    /// The latest requests in order, the last one being `last`.
    requests: VecDeque<(Instant, Fate)>,
    /// So many of them, from the front, are settled.
    settled: usize,
    waiting: u32,
}

impl Flight {
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, last: 0, requests: VecDeque::new(), settled: 0, waiting: 0 }
    }

    /// The number of the next request.
    pub fn next(&self) -> u32 {
        self.last.wrapping_add(1)
    }

    /// The next request is on its way.
    pub fn sent(&mut self, now: Instant) {
        self.last = self.next();
        self.requests.push_back((now, Fate::Waiting));
        self.waiting += 1;
    }

    /// So many wait for an answer.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// When the time of the oldest waiting request is over.
    pub fn deadline(&mut self) -> Option<Instant> {
        while let Some((sent, fate)) = self.requests.get(self.settled) {
            if *fate == Fate::Waiting {
                return Some(*sent + self.timeout);
            }
            self.settled += 1;
        }
        None
    }

    /// A request whose time is over, oldest first; call it until there is none. When far too many are in the air, the
    /// oldest is given up before its time.
    pub fn expired(&mut self, now: Instant) -> Option<u32> {
        let over = self.deadline()? <= now || self.requests.len() - self.settled > MOST;
        let lost = over.then(|| {
            let seq = self.number(self.settled);
            self.settle(self.settled, Fate::Lost);
            seq
        });
        while self.requests.len() > MOST && self.settled > 0 {
            self.requests.pop_front();
            self.settled -= 1;
        }
        lost
    }

    /// A reply came: its number, the time it took, and whether it counts. None if there was no such request.
    pub fn replied(&mut self, wire: u16, now: Instant) -> Option<(u32, Duration, Answer)> {
        let index = self.index(wire)?;
        let (sent, fate) = *self.requests.get(index)?;
        let answer = match fate {
            Fate::Waiting => Answer::First,
            Fate::Answered => Answer::Again,
            Fate::Lost => Answer::Late,
        };
        self.settle(index, Fate::Answered);
        Some((self.number(index), now.saturating_duration_since(sent), answer))
    }

    /// An error came: the number of the request, if it still waits.
    pub fn failed(&mut self, wire: u16) -> Option<u32> {
        let index = self.index(wire)?;
        let (_, fate) = *self.requests.get(index)?;
        self.settle(index, Fate::Lost);
        (fate == Fate::Waiting).then(|| self.number(index))
    }

    /// The latest request with these 16 bits.
    fn index(&self, wire: u16) -> Option<usize> {
        let back = low(self.last).wrapping_sub(wire);
        self.requests.len().checked_sub(usize::from(back) + 1)
    }

    fn number(&self, index: usize) -> u32 {
        let back = u32::try_from(self.requests.len() - 1 - index).unwrap_or(0);
        self.last.wrapping_sub(back)
    }

    fn settle(&mut self, index: usize, to: Fate) {
        if let Some((_, fate)) = self.requests.get_mut(index) {
            if *fate == Fate::Waiting {
                self.waiting -= 1;
                *fate = to;
            } else if to == Fate::Answered {
                *fate = to;
            }
        }
    }
}

/// The part of a number that is sent along.
pub(super) fn low(seq: u32) -> u16 {
    let [_, _, a, b] = seq.to_be_bytes();
    u16::from_be_bytes([a, b])
}

/// What is known of the times of replies, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    count: u32,
    sum: u128,
    squares: u128,
    least: u128,
    most: u128,
}

impl Times {
    pub fn add(&mut self, time: Duration) {
        let nanos = time.as_nanos();
        self.least = if self.count == 0 { nanos } else { self.least.min(nanos) };
        self.most = self.most.max(nanos);
        self.sum += nanos;
        self.squares = self.squares.saturating_add(nanos.saturating_mul(nanos));
        self.count += 1;
    }

    /// Least, mean, most, and standard deviation (the "mdev" of other pings); None if nothing came.
    pub fn summary(&self) -> Option<[Duration; 4]> {
        let count = u128::from(self.count);
        let mean = self.sum.checked_div(count)?;
        let deviation = (self.squares / count).saturating_sub(mean.saturating_mul(mean)).isqrt();
        let duration = |nanos: u128| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some([self.least, mean, self.most, deviation].map(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_request_is_settled_once() {
        let start = Instant::now();
        let mut flight = Flight::new(SECOND);
        for _ in 0..4 {
            flight.sent(start);
        }
        assert_eq!(flight.replied(2, start + SECOND / 2), Some((2, SECOND / 2, Answer::First)));
        assert_eq!(flight.replied(2, start + SECOND), Some((2, SECOND, Answer::Again)));
        assert_eq!(flight.failed(2), None);
        assert_eq!(flight.failed(3), Some(3));
        assert_eq!(flight.failed(3), None);
        assert_eq!(flight.expired(start + SECOND / 2), None);
        assert_eq!(flight.waiting(), 2);
        let over = start + SECOND;
        assert_eq!([flight.expired(over), flight.expired(over), flight.expired(over)], [Some(1), Some(4), None]);
        assert_eq!(flight.replied(1, start + SECOND * 2), Some((1, SECOND * 2, Answer::Late)));
        assert_eq!(flight.replied(5, over), None);
        assert_eq!(flight.replied(0, over), None);
        assert_eq!((flight.waiting(), flight.deadline()), (0, None));
    }

    #[test]
    fn numbers_go_on_past_sixteen_bits_and_memory_does_not_grow() {
        let start = Instant::now();
        let mut flight = Flight::new(SECOND);
        for seq in 1..=200_000_u32 {
            flight.sent(start);
            if seq % 3 == 0 {
                assert_eq!(flight.replied(low(seq), start), Some((seq, Duration::ZERO, Answer::First)));
            }
            while flight.expired(start).is_some() {}
        }
        assert!(flight.requests.len() <= MOST + 1);
        assert!(usize::try_from(flight.waiting()).is_ok_and(|waiting| waiting <= MOST));
        assert_eq!(flight.replied(low(199_999), start), Some((199_999, Duration::ZERO, Answer::First)));
    }

    #[test]
    fn times_are_summed_up() {
        assert_eq!(Times::default().summary(), None);
        let mut times = Times::default();
        for millis in [2, 4, 4, 4, 5, 5, 7, 9] {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!(times.summary(), Some([2, 5, 9, 2].map(Duration::from_millis)));
    }

    proptest! {
        #[test]
        fn the_waiting_are_counted(steps in proptest::collection::vec((0u8..4, 0u16..20), 0..200)) {
            let start = Instant::now();
            let mut flight = Flight::new(SECOND);
            let mut now = start;
            for (step, seq) in steps {
                match step {
                    0 => flight.sent(now),
                    1 => drop(flight.replied(seq, now)),
                    2 => drop(flight.failed(seq)),
                    _ => {
                        now += SECOND / 3;
                        while flight.expired(now).is_some() {}
                    }
                }
                let waiting = flight.requests.iter().filter(|(_, fate)| *fate == Fate::Waiting).count();
                prop_assert_eq!(usize::try_from(flight.waiting()).ok(), Some(waiting));
                prop_assert_eq!(flight.deadline().is_some(), waiting > 0);
            }
        }
    }
}
