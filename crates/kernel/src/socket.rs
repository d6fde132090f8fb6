//! Netlink sockets: requests go out many at a time, answers are matched to them by sequence number.
//!
//! The kernel works on a request inside `send` (`netlink_unicast_kernel`, net/netlink/af_netlink.c), so when that returns
//! every answer is there already: nothing here ever waits. A socket speaks for the namespace in which it was opened, from
//! whatever thread it is used.

use std::ffi::c_int;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use raum_core::host::OpError;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
};

use crate::errno;
use crate::fault::{self, Fault};
use crate::message::{
    Answer, Answers, Attributes, HEADER, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, Requests,
    i32_at,
};

/// Level and options of netlink sockets (include/uapi/linux/netlink.h).
pub(crate) const SOL_NETLINK: c_int = 270;
const NETLINK_ADD_MEMBERSHIP: c_int = 1;
const NETLINK_CAP_ACK: c_int = 10;
const NETLINK_EXT_ACK: c_int = 11;
const NETLINK_GET_STRICT_CHK: c_int = 12;

/// In an error answer: the request is left out of it, and attributes with the kernel's words follow.
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Below it are messages of netlink itself.
const NLMSG_MIN_TYPE: u16 = 0x10;

/// The kernel makes dump messages of at most 32 kB, unless one object alone is longer.
const RECEIVE: usize = 64 << 10;
const RECEIVE_MAX: usize = 4 << 20;
/// How often an interrupted dump is begun anew. Each time means that somebody changed something within microseconds.
const DUMP_TRIES: usize = 32;

/// Which part of the kernel is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// rtnetlink: links, addresses, routes.
    Route,
    /// nfnetlink: nf_tables, conntrack.
    Netfilter,
    /// sock_diag: who listens.
    SocketDiagnosis,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Route => "route message",
            Self::Netfilter => "netfilter message",
            Self::SocketDiagnosis => "diagnosis message",
        }
    }
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    protocol: Protocol,
    sequence: u32,
}

/// A whole answer, of one or more messages.
#[derive(Debug, Default)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// The messages, in order, without acknowledgements and the end of a dump.
    #[must_use]
    pub fn answers(&self) -> Answers<'_> {
        Answers::new(&self.0)
    }
}

impl Socket {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has no such protocol, or there are too many open files.
    pub fn open(protocol: Protocol) -> Result<Self, OpError> {
        let (number, what, point) = match protocol {
            Protocol::Route => (None, "an rtnetlink socket", "route socket"),
            Protocol::Netfilter => (Some(netlink::NETFILTER), "a netfilter netlink socket", "netfilter socket"),
            Protocol::SocketDiagnosis => (Some(netlink::SOCK_DIAG), "a sock_diag netlink socket", "diagnosis socket"),
        };
        let fd = fault::point(point)
            .and_then(|()| socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number))
            .map_err(|cause| errno::at(what, cause))?;
        // All three only make answers better, and strict checking is unknown before Linux 4.20: no error if refused.
        for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
            set_option(fd.as_fd(), option, 1);
        }
        Ok(Self { fd, protocol, sequence: 0 })
    }

    /// Room for so many bytes of answers; without `CAP_NET_ADMIN` at most the system's limit (`net/core/rmem_max`). Only
    /// for requests whose refusals could be hundreds: see [`Socket::transact`].
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn receive_buffer(&self, bytes: usize) -> Result<(), OpError> {
        set_socket_recv_buffer_size_force(&self.fd, bytes)
            .or_else(|_| set_socket_recv_buffer_size(&self.fd, bytes))
            .map_err(|cause| errno::at("the receive buffer of netlink", cause))
    }

    /// Joins a group of notifications (`NFNLGRP_*`, `RTNLGRP_*`).
    ///
    /// # Errors
    /// EPERM: not everybody may listen to everything.
    pub fn join(&self, group: u32) -> Result<(), OpError> {
        // a socket that has sent nothing has no number yet, and is passed over (`do_one_broadcast`, net/netlink/af_netlink.c)
        bind(&self.fd, &netlink::SocketAddrNetlink::new(0, 0)).map_err(|cause| errno::at("netlink", cause))?;
        let group = c_int::try_from(group).unwrap_or(c_int::MAX);
        if set_option(self.fd.as_fd(), NETLINK_ADD_MEMBERSHIP, group) {
            return Ok(());
        }
        Err(errno::at_io("listening to the kernel's notifications", &std::io::Error::last_os_error()))
    }

    /// Shows the notifications that are there already, whole messages only; waits for none. Those that did not fit into the
    /// socket's buffer are lost.
    pub fn notifications(&mut self, mut tell: impl FnMut(Answer<'_>)) {
        let mut buffer = Vec::with_capacity(RECEIVE);
        loop {
            buffer.clear();
            match self.receive(&mut buffer) {
                Ok(()) => Answers::new(&buffer).for_each(&mut tell),
                // some were lost, others follow; or one was longer than any of these is
                Err(Errno::NOBUFS | Errno::MSGSIZE) => {}
                Err(_) => return,
            }
        }
    }

    /// Sends all requests at once and says for each what became of it. The kernel goes on after one that it refuses. Only
    /// the last is acknowledged when all is well: refusals come by themselves.
    ///
    /// # Errors
    /// The exchange as such failed, and what became of the requests is not known.
    pub fn run(&mut self, requests: &mut Requests) -> Result<Vec<Result<(), OpError>>, OpError> {
        self.exchange(requests, None)
    }

    /// As [`Socket::run`], for a single request.
    ///
    /// # Errors
    /// The kernel's refusal, or the exchange as such failed.
    pub fn run_one(&mut self, requests: &mut Requests) -> Result<(), OpError> {
        self.exchange(requests, None)?.into_iter().collect()
    }

    /// Asks for single objects: the messages that answer, and for each request what became of it.
    ///
    /// # Errors
    /// The exchange as such failed.
    pub fn ask(&mut self, requests: &mut Requests) -> Result<(Reply, Vec<Result<(), OpError>>), OpError> {
        let mut reply = Vec::new();
        let outcomes = self.exchange(requests, Some(&mut reply))?;
        Ok((Reply(reply), outcomes))
    }

    /// Sends an nf_tables batch, from `NFNL_MSG_BATCH_BEGIN` to `NFNL_MSG_BATCH_END`: all of it holds, or nothing. No
    /// request needs `NLM_F_ACK`.
    ///
    /// # Errors
    /// The first refusal, with the position of its request; None where the exchange as such failed.
    pub fn transact(&mut self, requests: &mut Requests) -> Result<(), (Option<usize>, OpError)> {
        let first = self.number(requests).map_err(|error| (None, error))?;
        let struck = self.strike(requests);
        if let Some((positions, Fault::Refused(cause))) = struck {
            return Err((Some(positions.start), errno::error(cause.raw_os_error(), None)));
        }
        self.send(requests).map_err(|error| (None, error))?;
        let mut buffer = Vec::with_capacity(RECEIVE);
        let mut refusal: Option<(Option<usize>, OpError)> = None;
        if let Some(cause) = missed(struck.as_ref()) {
            return Err((None, errno::at("netlink", cause)));
        }
        loop {
            buffer.clear();
            match self.receive(&mut buffer) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return refusal.map_or(Ok(()), Err),
                // more refusals than fit: the batch has failed, and the first is the one to tell
                Err(cause) => return Err(refusal.unwrap_or_else(|| (None, errno::at("netlink", cause)))),
            }
            for answer in Answers::new(&buffer).filter(|answer| answer.kind == NLMSG_ERROR) {
                let position = usize::try_from(answer.sequence.wrapping_sub(first)).ok();
                let position = position.filter(|&position| position < requests.len());
                if let (Some(position), Err(error)) = (position, acknowledgement(&answer)) {
                    refusal.get_or_insert((Some(position), error));
                }
            }
        }
    }

    /// Asks for all objects of a kind: `requests` holds one request; `NLM_F_DUMP` is added. If the kernel says that
    /// something changed meanwhile, it begins anew.
    ///
    /// # Errors
    /// The kernel's refusal, or nothing but interrupted dumps (EINTR).
    pub fn dump(&mut self, requests: &mut Requests) -> Result<Reply, OpError> {
        requests.add_flags(0, NLM_F_DUMP);
        let mut room = RECEIVE;
        let mut reply = Vec::new();
        for _ in 0..DUMP_TRIES {
            reply.clear();
            match self.dump_once(requests, &mut reply, room) {
                Ok(DumpEnd::Whole) => return Ok(Reply(reply)),
                Ok(DumpEnd::Interrupted) => {}
                Ok(DumpEnd::TooLong(needed)) => room = needed.max(room * 2).min(RECEIVE_MAX),
                Err(error) => {
                    self.clear();
                    return Err(error);
                }
            }
        }
        Err(errno::error(Errno::INTR.raw_os_error(), Some("what is being listed keeps changing")))
    }

    fn dump_once(&mut self, requests: &mut Requests, reply: &mut Vec<u8>, room: usize) -> Result<DumpEnd, OpError> {
        let sequence = self.number(requests)?;
        let struck = self.strike(requests).map(|(_, fault)| fault);
        if let Some(Fault::Refused(cause)) = struck {
            return Err(errno::error(cause.raw_os_error(), None));
        }
        self.send(requests)?;
        let mut end = match struck {
            Some(Fault::Interrupted) => DumpEnd::Interrupted,
            Some(Fault::Short) => {
                self.finish_truncated()?;
                return Ok(DumpEnd::TooLong(room));
            }
            Some(Fault::Lost) => return Err(errno::at("netlink", Errno::NOBUFS)),
            _ => DumpEnd::Whole,
        };
        loop {
            let start = reply.len();
            reply.reserve(room);
            match self.receive_into(reply).map_err(|cause| errno::at("netlink", cause))? {
                Received::Whole => {}
                Received::Truncated(needed) => {
                    reply.truncate(start);
                    // what is left of this dump must not be in the way of the next one
                    self.finish_truncated()?;
                    return Ok(DumpEnd::TooLong(needed));
                }
            }
            let mut done = false;
            let (mut own, mut stray) = (0, false);
            for answer in Answers::new(reply.get(start..).unwrap_or_default()) {
                if answer.sequence != sequence {
                    stray = true;
                    continue;
                }
                if answer.kind >= NLMSG_MIN_TYPE {
                    own += (HEADER + answer.body.len()).next_multiple_of(4);
                }
                if answer.flags & NLM_F_DUMP_INTR != 0 {
                    end = DumpEnd::Interrupted;
                }
                match answer.kind {
                    NLMSG_DONE => {
                        match i32_at(answer.body, 0) {
                            Some(code) if code < 0 => return Err(refusal(&answer, code, 4)),
                            _ => done = true,
                        };
                    }
                    NLMSG_ERROR => {
                        acknowledgement(&answer)?;
                        done = true;
                    }
                    _ => {}
                }
            }
            if stray {
                let chunk = reply.split_off(start);
                let mine = |answer: &Answer<'_>| answer.sequence == sequence && answer.kind >= NLMSG_MIN_TYPE;
                Answers::new(&chunk).filter(mine).for_each(|answer| write_answer(reply, &answer));
            } else {
                // the end of a dump is its last message
                reply.truncate(start + own);
            }
            if done {
                return Ok(end);
            }
        }
    }

    /// A dump that was cut off runs on in the kernel: takes what is left of it, so that the next one can begin (EBUSY).
    fn finish_truncated(&mut self) -> Result<(), OpError> {
        let mut buffer = Vec::with_capacity(RECEIVE);
        loop {
            buffer.clear();
            match self.receive(&mut buffer) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(cause) => return Err(errno::at("netlink", cause)),
            }
        }
    }

    /// After an exchange that failed half way: what is left of it would be in the way of the next one, or be taken for its answer.
    fn clear(&mut self) {
        let mut buffer = Vec::with_capacity(RECEIVE);
        loop {
            buffer.clear();
            match self.receive(&mut buffer) {
                // lost ones are told once, before those that are there
                Ok(()) | Err(Errno::NOBUFS | Errno::MSGSIZE) => {}
                Err(_) => return,
            }
        }
    }

    fn exchange(
        &mut self,
        requests: &mut Requests,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<Vec<Result<(), OpError>>, OpError> {
        let outcomes = self.exchange_once(requests, reply);
        if outcomes.is_err() {
            self.clear();
        }
        outcomes
    }

    fn exchange_once(
        &mut self,
        requests: &mut Requests,
        mut reply: Option<&mut Vec<u8>>,
    ) -> Result<Vec<Result<(), OpError>>, OpError> {
        let mut outcomes: Vec<Result<(), OpError>> = vec![Ok(()); requests.len()];
        let Some(last) = requests.len().checked_sub(1) else { return Ok(outcomes) };
        requests.add_flags(last, NLM_F_ACK);
        let first = self.number(requests)?;
        let struck = self.strike(requests);
        if let Some((positions, Fault::Refused(_))) = &struck {
            positions.clone().for_each(|position| requests.skip(position));
        }
        self.send(requests)?;
        if let Some(cause) = missed(struck.as_ref()) {
            return Err(errno::at("netlink", cause));
        }
        let mut buffer = Vec::with_capacity(if reply.is_some() { RECEIVE } else { RECEIVE / 8 });
        loop {
            buffer.clear();
            self.receive(&mut buffer).map_err(|cause| errno::at("netlink", cause))?;
            let mut done = false;
            for answer in Answers::new(&buffer) {
                let Ok(position) = usize::try_from(answer.sequence.wrapping_sub(first)) else { continue };
                let Some(outcome) = outcomes.get_mut(position) else { continue };
                if answer.kind == NLMSG_ERROR {
                    *outcome = acknowledgement(&answer);
                    done |= position == last;
                } else if let Some(reply) = reply.as_deref_mut() {
                    write_answer(reply, &answer);
                }
            }
            if done {
                if let Some((positions, Fault::Refused(cause))) = struck {
                    let refused = outcomes.get_mut(positions).into_iter().flatten();
                    refused.for_each(|outcome| *outcome = Err(errno::error(cause.raw_os_error(), None)));
                }
                return Ok(outcomes);
            }
        }
    }

    /// What a test wants to befall these requests, and where. Where it is the end, those before have been sent.
    fn strike(&self, requests: &Requests) -> Option<(Range<usize>, Fault)> {
        let struck = fault::points(self.protocol.name(), requests.len());
        if let Some((positions, Fault::Kill)) = &struck {
            // the kernel's answer to those matters to nobody any more
            drop(
                send(&self.fd, requests.bytes_before(positions.start), SendFlags::empty())
                    .map_err(std::io::Error::from),
            );
            fault::die();
        }
        struck
    }

    /// Gives the requests their sequence numbers; the first of them.
    fn number(&mut self, requests: &mut Requests) -> Result<u32, OpError> {
        if requests.too_long() {
            return Err(errno::error(Errno::MSGSIZE.raw_os_error(), None));
        }
        let first = self.sequence.wrapping_add(1);
        requests.number(first);
        // a batch has far fewer than 2^32 requests
        self.sequence = self.sequence.wrapping_add(u32::try_from(requests.len()).unwrap_or(u32::MAX));
        Ok(first)
    }

    fn send(&self, requests: &Requests) -> Result<(), OpError> {
        loop {
            match send(&self.fd, requests.bytes(), SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(cause) => return Err(errno::at("netlink", cause)),
            }
        }
    }

    /// Appends one datagram, which must fit.
    fn receive(&self, buffer: &mut Vec<u8>) -> Result<(), Errno> {
        match self.receive_into(buffer)? {
            Received::Whole => Ok(()),
            Received::Truncated(_) => Err(Errno::MSGSIZE),
        }
    }

    fn receive_into(&self, buffer: &mut Vec<u8>) -> Result<Received, Errno> {
        let room = buffer.capacity() - buffer.len();
        loop {
            match recv(&self.fd, spare_capacity(buffer), RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((_, length)) if length > room => return Ok(Received::Truncated(length)),
                Ok(_) => {
                    // messages begin at multiples of four
                    buffer.resize(buffer.len().next_multiple_of(4), 0);
                    return Ok(Received::Whole);
                }
                Err(Errno::INTR) => {}
                Err(cause) => return Err(cause),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

enum Received {
    Whole,
    Truncated(usize),
}

enum DumpEnd {
    Whole,
    Interrupted,
    TooLong(usize),
}

/// An answer that does not arrive whole, and is none of a dump.
fn missed(struck: Option<&(Range<usize>, Fault)>) -> Option<Errno> {
    match struck {
        Some((_, Fault::Short)) => Some(Errno::MSGSIZE),
        Some((_, Fault::Lost)) => Some(Errno::NOBUFS),
        _ => None,
    }
}

/// Puts a message, header included, at the end of a reply.
fn write_answer(reply: &mut Vec<u8>, answer: &Answer<'_>) {
    // `Answers` gave the message, so its length fits the field
    let length = u32::try_from(answer.body.len() + HEADER).unwrap_or_default();
    reply.extend_from_slice(&length.to_ne_bytes());
    reply.extend_from_slice(&answer.kind.to_ne_bytes());
    reply.extend_from_slice(&answer.flags.to_ne_bytes());
    reply.extend_from_slice(&answer.sequence.to_ne_bytes());
    reply.extend_from_slice(&[0; 4]);
    reply.extend_from_slice(answer.body);
    reply.resize(reply.len().next_multiple_of(4), 0);
}

/// What an `NLMSG_ERROR` says: `struct nlmsgerr` is the negative errno, the request's header, and, unless capped, the rest
/// of the request; then attributes.
fn acknowledgement(answer: &Answer<'_>) -> Result<(), OpError> {
    match i32_at(answer.body, 0) {
        Some(0) => Ok(()),
        Some(code) => {
            let request = if answer.flags & NLM_F_CAPPED != 0 {
                HEADER
            } else {
                let length = crate::message::u32_at(answer.body, 4).and_then(|length| usize::try_from(length).ok());
                length.unwrap_or(HEADER).max(HEADER).next_multiple_of(4)
            };
            Err(refusal(answer, code, request.saturating_add(4)))
        }
        None => Err(errno::refused("the kernel sent an error that is too short to be read")),
    }
}

/// The error for a negative errno, with the words from the attributes that begin at a place in the message.
fn refusal(answer: &Answer<'_>, code: i32, attributes: usize) -> OpError {
    let words = (answer.flags & NLM_F_ACK_TLVS != 0)
        .then(|| Attributes::new(answer.body.get(attributes..).unwrap_or_default()))
        .and_then(|attributes| attributes.find(NLMSGERR_ATTR_MSG))
        .and_then(|words| words.text());
    errno::error(code.saturating_neg(), words)
}

/// Sets an option of netlink; says whether the kernel took it.
pub(crate) fn set_option(fd: BorrowedFd<'_>, option: c_int, value: c_int) -> bool {
    // SAFETY: the descriptor is borrowed and so open; the value is an int that lives through the call, and the length is
    // an int's.
    unsafe { libc::setsockopt(fd.as_raw_fd(), SOL_NETLINK, option, (&raw const value).cast(), 4) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_message(flags: u16, code: i32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut body = code.to_ne_bytes().to_vec();
        body.extend_from_slice(rest);
        write_answer(&mut bytes, &Answer { kind: NLMSG_ERROR, flags, sequence: 1, body: &body });
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(), OpError> {
        acknowledgement(&Answers::new(bytes).next().unwrap())
    }

    #[test]
    fn the_kernels_words_are_found_behind_the_request_whether_it_is_there_or_not() {
        let words = [8, 0, 1, 0, b'n', b'o', b'!', 0];
        let capped = [&[20, 0, 0, 0][..], &[0; 12], &words].concat();
        let error = read(&error_message(NLM_F_CAPPED | NLM_F_ACK_TLVS, -22, &capped)).unwrap_err();
        assert_eq!(error.words(), "no! (EINVAL)");
        let whole = [&[20, 0, 0, 0][..], &[0; 12], &[7; 4], &words].concat();
        let error = read(&error_message(NLM_F_ACK_TLVS, -22, &whole)).unwrap_err();
        assert_eq!(error.words(), "no! (EINVAL)");
    }

    #[test]
    fn a_broken_error_message_is_an_error_without_words() {
        assert_eq!(
            read(&error_message(NLM_F_ACK_TLVS, -22, &[0xff; 20])).unwrap_err().words(),
            "Invalid argument (EINVAL)"
        );
        assert_eq!(read(&error_message(NLM_F_ACK_TLVS, i32::MIN, &[])).unwrap_err().errno, i32::MAX);
        let mut empty = Vec::new();
        write_answer(&mut empty, &Answer { kind: NLMSG_ERROR, flags: 0, sequence: 1, body: &[] });
        assert!(read(&empty).is_err());
    }
}
