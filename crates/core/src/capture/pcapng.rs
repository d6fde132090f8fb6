//! Packets as pcapng (draft-ietf-opsawg-pcapng): one section, an interface block for each place that is captured at, enhanced
//! packet blocks with nanoseconds, and statistics at the end. Little endian, whatever the machine.

/// Ethernet (`LINKTYPE_ETHERNET`).
const ETHERNET: u16 = 1;
/// Block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const STATISTICS: u32 = 5;
/// Options: their codes.
const END: u16 = 0;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_RESOLUTION: u16 = 9;
const IF_FILTER: u16 = 11;
const SECTION_APPLICATION: u16 = 4;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_DROPPED: u16 = 5;

/// Which way a packet went through the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// In.
    In,
    /// Out.
    Out,
}

/// The beginning of a file.
#[must_use]
pub fn section(application: &str) -> Vec<u8> {
    // byte order, version 1.0, unknown length
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend(1_u16.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    body.extend(u64::MAX.to_le_bytes());
    option(&mut body, SECTION_APPLICATION, application.as_bytes());
    end(&mut body);
    block(SECTION, &body)
}

/// An interface, by its name; they are numbered from 0 in the order of their blocks.
#[must_use]
pub fn interface(name: &str, description: &str, bytes_max: u32, filter: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(ETHERNET.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    body.extend(bytes_max.to_le_bytes());
    option(&mut body, IF_NAME, name.as_bytes());
    option(&mut body, IF_DESCRIPTION, description.as_bytes());
    // 10^-9 s
    option(&mut body, IF_RESOLUTION, &[9]);
    if let Some(filter) = filter {
        // 0: a text
        option(&mut body, IF_FILTER, &[&[0], filter.as_bytes()].concat());
    }
    end(&mut body);
    block(INTERFACE, &body)
}

/// Appends a packet: when, in nanoseconds since 1970, and its length on the wire.
pub fn packet(out: &mut Vec<u8>, interface: u32, time_ns: u64, direction: Direction, bytes: &[u8], length: u32) {
    let padding = bytes.len().next_multiple_of(4) - bytes.len();
    let total = u32::try_from(bytes.len() + padding + 32 + 12).unwrap_or(u32::MAX);
    out.extend(PACKET.to_le_bytes());
    out.extend(total.to_le_bytes());
    out.extend(interface.to_le_bytes());
    let [low, high] = [time_ns & 0xffff_ffff, time_ns >> 32].map(|half| u32::try_from(half).unwrap_or(0));
    out.extend(high.to_le_bytes());
    out.extend(low.to_le_bytes());
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(bytes);
    out.extend(&[0; 4][..padding]);
    let flags: u32 = match direction {
        Direction::In => 1,
        Direction::Out => 2,
    };
    option(out, PACKET_FLAGS, &flags.to_le_bytes());
    end(out);
    out.extend(total.to_le_bytes());
}

/// What became of an interface: packets that passed the filter, and those of them that were lost.
#[must_use]
pub fn statistics(interface: u32, time_ns: u64, received: u64, dropped: u64) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(interface.to_le_bytes());
    let [low, high] = [time_ns & 0xffff_ffff, time_ns >> 32].map(|half| u32::try_from(half).unwrap_or(0));
    body.extend(high.to_le_bytes());
    body.extend(low.to_le_bytes());
    option(&mut body, STATISTICS_RECEIVED, &received.to_le_bytes());
    option(&mut body, STATISTICS_DROPPED, &dropped.to_le_bytes());
    end(&mut body);
    block(STATISTICS, &body)
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let total = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    [&kind.to_le_bytes(), &total, body, &total].concat()
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    // a text beyond 64 kB is cut: no name is that long
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    let value = value.get(..length.into()).unwrap_or(value);
    out.extend(code.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(value);
    out.extend(&[0; 4][..value.len().next_multiple_of(4) - value.len()]);
}

fn end(out: &mut Vec<u8>) {
    out.extend(END.to_le_bytes());
    out.extend(0_u16.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> usize {
        usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
    }

    /// The blocks of a file; each has its length at both ends.
    fn blocks(mut file: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let mut all = Vec::new();
        while !file.is_empty() {
            let length = u32_at(file, 4);
            assert_eq!(length % 4, 0);
            assert_eq!(u32_at(file, length - 4), length);
            all.push((u32_at(file, 0), file[8..length - 4].to_vec()));
            file = &file[length..];
        }
        all
    }

    #[test]
    fn a_file_is_blocks_that_end_as_they_begin() {
        let mut file = section("raum 0");
        file.extend(interface("shop-web:eth0", "eth0 of web", 65535, Some("tcp port 80")));
        for length in [0, 1, 2, 3, 4, 60, 1514] {
            packet(&mut file, 0, 0x0102_0304_0506_0708, Direction::Out, &vec![7; length], 2000);
        }
        file.extend(statistics(0, 9, 7, 1));
        let all = blocks(&file);
        let kinds: Vec<usize> = all.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 6, 6, 6, 6, 6, 6, 5]);
        let (_, packet) = &all[3];
        assert_eq!([u32_at(packet, 4), u32_at(packet, 8)], [0x0102_0304, 0x0506_0708]);
        assert_eq!([u32_at(packet, 12), u32_at(packet, 16)], [1, 2000]);
    }
}
