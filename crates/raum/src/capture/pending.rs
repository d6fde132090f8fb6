//! Packets of several rings in one order: each ring has its own, and hands them over a little late.

use std::io;
use std::ops::Range;

use raum_core::capture::pcapng::Direction;
use raum_kernel::tap::Frame;

use super::Packet;

/// Packets that were taken out of the rings, and are not told yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
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

impl Pending {
    /// Keeps a packet until no older one can come.
    pub fn hold(&mut self, point: usize, frame: Frame<'_>) {
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
    pub fn tell(
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
