//! Netlink messages as bytes: a writer for requests, and readers for answers that never fail on garbage.
//!
//! Nothing here knows a protocol: the fixed header after `nlmsghdr` is given as bytes, attributes by number. Numbers are in
//! the machine's byte order, as netlink has them, except where the name says `be` (nf_tables).
//!
//! ```
//! use raum_kernel::message::{Attributes, Requests};
//! let mut requests = Requests::new();
//! let mut request = requests.request(16, 0, &[0; 16]);
//! request.text(3, "eth0");
//! request.nest(18, |nest| {
//!     nest.text(1, "veth");
//! });
//! assert_eq!(Attributes::new(&[8, 0, 1, 0, 7, 0, 0, 0]).find(1).and_then(|a| a.u32()), Some(7));
//! ```

/// `struct nlmsghdr` (include/uapi/linux/netlink.h): length, type, flags, sequence number, port.
pub const HEADER: usize = 16;
/// This is a request.
pub const NLM_F_REQUEST: u16 = 1;
/// Answer even if all went well.
pub const NLM_F_ACK: u16 = 4;
/// Send the notification of a change back to who asked for it.
pub const NLM_F_ECHO: u16 = 8;
/// In answers: the dump is inconsistent, because something changed meanwhile.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
/// All objects: `NLM_F_ROOT | NLM_F_MATCH`.
pub const NLM_F_DUMP: u16 = 0x300;
/// Put it in the place of what is there.
pub const NLM_F_REPLACE: u16 = 0x100;
/// Fail if it is there.
pub const NLM_F_EXCL: u16 = 0x200;
/// Make it if it is not there.
pub const NLM_F_CREATE: u16 = 0x400;
/// Add at the end of the list.
pub const NLM_F_APPEND: u16 = 0x800;

/// Type of an acknowledgement or error.
pub const NLMSG_ERROR: u16 = 2;
/// Type of the end of a dump.
pub const NLMSG_DONE: u16 = 3;

/// Attribute type bits that are no part of the number: nested, and network byte order.
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Requests for one `send`, one after another. Sequence numbers are filled in by [`crate::socket::Socket`].
#[derive(Debug, Default)]
pub struct Requests {
    bytes: Vec<u8>,
    /// Where each request begins.
    starts: Vec<usize>,
    /// An attribute or request was longer than its length field can say; the socket refuses to send.
    too_long: bool,
}

impl Requests {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Is something in here longer than netlink can say (an attribute over 65,535 bytes)?
    #[must_use]
    pub fn too_long(&self) -> bool {
        self.too_long
    }

    /// Begins again; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
        self.too_long = false;
    }

    /// Appends a request with its fixed header (`ifinfomsg`, `nfgenmsg`, …). `NLM_F_REQUEST` is added to the flags.
    pub fn request(&mut self, kind: u16, flags: u16, header: &[u8]) -> Request<'_> {
        let start = self.bytes.len();
        self.starts.push(start);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        let mut request = Request { requests: self, start };
        request.raw(header);
        request
    }

    /// Adds flags to the request at a position, counted from 0; nothing happens if there is none.
    pub fn add_flags(&mut self, position: usize, flags: u16) {
        if let Some(field) = self.starts.get(position).and_then(|start| self.bytes.get_mut(start + 6..start + 8)) {
            let old = u16::from_ne_bytes([field[0], field[1]]);
            field.copy_from_slice(&(old | flags).to_ne_bytes());
        }
    }

    /// Numbers the requests, beginning with `first`.
    pub(crate) fn number(&mut self, first: u32) {
        let mut sequence = first;
        for start in &self.starts {
            if let Some(field) = self.bytes.get_mut(start + 8..start + 12) {
                field.copy_from_slice(&sequence.to_ne_bytes());
            }
            sequence = sequence.wrapping_add(1);
        }
    }

    /// The number of the first request, once they were sent.
    pub(crate) fn first_sequence(&self) -> u32 {
        u32_at(&self.bytes, 8).unwrap_or_default()
    }

    /// Makes the kernel pass over the request at a position: it acknowledges `NLMSG_NOOP`, and does nothing
    /// (`netlink_rcv_skb`, net/netlink/af_netlink.c).
    pub(crate) fn skip(&mut self, position: usize) {
        const NLMSG_NOOP: u16 = 1;
        if let Some(field) = self.starts.get(position).and_then(|start| self.bytes.get_mut(start + 4..start + 6)) {
            field.copy_from_slice(&NLMSG_NOOP.to_ne_bytes());
        }
    }

    /// The bytes of the requests before a position.
    pub(crate) fn bytes_before(&self, position: usize) -> &[u8] {
        self.starts.get(position).and_then(|start| self.bytes.get(..*start)).unwrap_or_default()
    }

    /// What goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The request that is being written: the last one of its [`Requests`].
#[derive(Debug)]
pub struct Request<'a> {
    requests: &'a mut Requests,
    start: usize,
}

impl Request<'_> {
    /// Appends bytes as they are, padded to four: a fixed header inside an attribute, for instance.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.requests.bytes.extend_from_slice(bytes);
        self.close()
    }

    /// An attribute with this content.
    pub fn attribute(&mut self, kind: u16, content: &[u8]) -> &mut Self {
        let length = u16::try_from(content.len() + 4).unwrap_or_else(|_| {
            self.requests.too_long = true;
            4
        });
        self.requests.bytes.extend_from_slice(&length.to_ne_bytes());
        self.requests.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(content)
    }

    /// An attribute that says all by being there.
    pub fn flag(&mut self, kind: u16) -> &mut Self {
        self.attribute(kind, &[])
    }

    /// One byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.attribute(kind, &[value])
    }

    /// Two bytes.
    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Two bytes in network byte order.
    pub fn be16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Four bytes in network byte order.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Eight bytes in network byte order.
    pub fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// A text with its final NUL.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut content = Vec::with_capacity(value.len() + 1);
        content.extend_from_slice(value.as_bytes());
        content.push(0);
        self.attribute(kind, &content)
    }

    /// An attribute that holds what `fill` writes, marked as nested.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.requests.bytes.len();
        self.attribute(kind | NLA_F_NESTED, &[]);
        fill(self);
        let length = u16::try_from(self.requests.bytes.len() - start).unwrap_or_else(|_| {
            self.requests.too_long = true;
            4
        });
        if let Some(field) = self.requests.bytes.get_mut(start..start + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        self
    }

    /// The size in bytes so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.requests.bytes.len() - self.start
    }

    /// Pads, and writes the length into the header.
    fn close(&mut self) -> &mut Self {
        let requests = &mut *self.requests;
        requests.bytes.resize(requests.bytes.len().next_multiple_of(4), 0);
        let length = u32::try_from(requests.bytes.len() - self.start).unwrap_or_else(|_| {
            requests.too_long = true;
            0
        });
        if let Some(field) = requests.bytes.get_mut(self.start..self.start + 4) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        self
    }
}

/// One message of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: that of the request; 0 in notifications.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The attributes after a fixed header of so many bytes, and that header; None if the message is shorter.
    #[must_use]
    pub fn split(&self, header: usize) -> Option<(&'a [u8], Attributes<'a>)> {
        let fixed = self.body.get(..header)?;
        Some((fixed, Attributes::new(self.body.get(header.next_multiple_of(4)..).unwrap_or_default())))
    }
}

/// The messages in a buffer. Ends at the first that does not fit.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a>(&'a [u8]);

impl<'a> Answers<'a> {
    /// Over one or more messages, each beginning at a multiple of four.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;
    fn next(&mut self) -> Option<Answer<'a>> {
        let header = self.0.get(..HEADER)?;
        let length = usize::try_from(u32_at(header, 0)?).ok()?;
        let body = self.0.get(HEADER..length)?;
        let answer = Answer { kind: u16_at(header, 4)?, flags: u16_at(header, 6)?, sequence: u32_at(header, 8)?, body };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    }
}

/// The attributes in a stretch of bytes, in order. Ends at the first that does not fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Over bytes that begin with an attribute.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The first of a kind.
    #[must_use]
    pub fn find(mut self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self, |attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;
    fn next(&mut self) -> Option<Attribute<'a>> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & NLA_TYPE_MASK;
        let bytes = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, bytes })
    }
}

/// One attribute. The readers give None where the content is too short for what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, without the flag bits.
    pub kind: u16,
    /// Its content.
    pub bytes: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes inside.
    #[must_use]
    pub fn nested(self) -> Attributes<'a> {
        Attributes(self.bytes)
    }

    /// One byte.
    #[must_use]
    pub fn u8(self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// Two bytes.
    #[must_use]
    pub fn u16(self) -> Option<u16> {
        u16_at(self.bytes, 0)
    }

    /// Four bytes.
    #[must_use]
    pub fn u32(self) -> Option<u32> {
        u32_at(self.bytes, 0)
    }

    /// Four bytes with a sign.
    #[must_use]
    pub fn i32(self) -> Option<i32> {
        self.array().map(i32::from_ne_bytes)
    }

    /// Two bytes in network byte order.
    #[must_use]
    pub fn be16(self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes in network byte order.
    #[must_use]
    pub fn be32(self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes in network byte order.
    #[must_use]
    pub fn be64(self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The text up to the first NUL or the end; None if it is not UTF-8.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        let end = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(self.bytes.len());
        std::str::from_utf8(self.bytes.get(..end)?).ok()
    }

    /// The first bytes as an array.
    #[must_use]
    pub fn array<const N: usize>(self) -> Option<[u8; N]> {
        self.bytes.first_chunk().copied()
    }
}

/// Two bytes at a place.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

/// Four bytes at a place.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// Four bytes with a sign at a place.
#[must_use]
pub fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut requests = Requests::new();
        requests.request(16, NLM_F_ACK, &[1; 16]).text(3, "eth0").nest(18, |nest| {
            nest.text(1, "veth").be32(2, 0x0102_0304);
        });
        requests.request(18, 0, &[2; 3]).u8(1, 9);
        requests.number(u32::MAX);
        let answers: Vec<Answer> = Answers::new(requests.bytes()).collect();
        assert_eq!(answers.iter().map(|a| a.sequence).collect::<Vec<_>>(), [u32::MAX, 0]);
        assert_eq!(answers[0].flags, NLM_F_REQUEST | NLM_F_ACK);
        let (header, attributes) = answers[0].split(16).unwrap();
        assert_eq!(header, [1; 16]);
        assert_eq!(attributes.find(3).and_then(Attribute::text), Some("eth0"));
        let nest = attributes.find(18).unwrap().nested();
        assert_eq!(nest.find(1).and_then(Attribute::text), Some("veth"));
        assert_eq!(nest.find(2).unwrap().bytes, [1, 2, 3, 4]);
        let (_, attributes) = answers[1].split(3).unwrap();
        assert_eq!(attributes.find(1).and_then(Attribute::u8), Some(9));
    }

    #[test]
    fn an_attribute_that_does_not_fit_its_length_field_is_told() {
        let mut requests = Requests::new();
        requests.request(1, 0, &[]).attribute(1, &[0; 65_536]);
        assert!(requests.too_long());
        requests.clear();
        requests.request(1, 0, &[]).nest(1, |nest| {
            nest.attribute(2, &[0; 40_000]).attribute(2, &[0; 40_000]);
        });
        assert!(requests.too_long());
    }

    #[test]
    fn garbage_ends_the_reading() {
        let length_too_small = [3, 0, 1, 0, 9, 9, 9, 9];
        assert_eq!(Attributes::new(&length_too_small).count(), 0);
        let length_too_big = [200, 0, 1, 0, 9, 9, 9, 9];
        assert_eq!(Attributes::new(&length_too_big).count(), 0);
        let zeros = [0; 64];
        assert_eq!(Answers::new(&zeros).count(), 0);
        assert_eq!(Attributes::new(&zeros).count(), 0);
        for length in 0..64 {
            let all_ones = vec![0xff; length];
            assert_eq!(Answers::new(&all_ones).count() + Attributes::new(&all_ones).count(), 0);
        }
    }
}
