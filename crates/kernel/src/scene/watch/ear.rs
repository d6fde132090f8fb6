//! A socket that hears what happens in every namespace that has a number where it was opened (`NETLINK_LISTEN_ALL_NSID`).
//!
//! One for all, not one in each: a socket keeps its namespace alive, and one that is removed while somebody watches must go.

use std::ffi::{c_int, c_void};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use raum_core::host::OpError;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::errno;
use crate::socket::{SOL_NETLINK, set_option};

const NETLINK_LISTEN_ALL_NSID: c_int = 8;
/// `RTNLGRP_*` of include/uapi/linux/rtnetlink.h: links, neighbours, addresses, routes and rules of both families, numbers.
const GROUPS: [u32; 9] = [1, 3, 5, 7, 8, 9, 11, 19, 28];
/// No notification is longer, but for links with hundreds of virtual functions.
const DATAGRAM: usize = 64 << 10;
const MSG_DONTWAIT: c_int = 0x40;
const MSG_TRUNC: c_int = 0x20;

/// The socket.
pub(super) struct Ear {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

/// What was heard.
pub(super) enum Heard<'a> {
    /// Nothing more for now.
    Silence,
    /// Some messages, and the number of their namespace; none for the socket's own.
    Messages(Option<i32>, &'a [u8]),
    /// More than would be kept.
    Overrun,
}

impl Ear {
    /// Opens it in the namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn open(everywhere: bool, buffer: usize) -> Result<Self, OpError> {
        let told = |cause| errno::at("an rtnetlink socket", cause);
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).map_err(told)?;
        let grown =
            set_socket_recv_buffer_size_force(&fd, buffer).or_else(|_| set_socket_recv_buffer_size(&fd, buffer));
        grown.map_err(told)?;
        if everywhere && !set_option(fd.as_fd(), NETLINK_LISTEN_ALL_NSID, 1) {
            return Err(errno::refused("the kernel does not tell of other namespaces (NETLINK_LISTEN_ALL_NSID)"));
        }
        let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (group - 1));
        bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(told)?;
        Ok(Self { fd, buffer: vec![0; DATAGRAM] })
    }

    /// The next datagram, if there is one.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn hear(&mut self) -> Result<Heard<'_>, OpError> {
        /// `CMSG_SPACE` of an int, for the 64-bit header; 32-bit ones are shorter.
        const CONTROL: usize = 24;
        let mut control = [0u64; CONTROL / 8];
        let mut vector = Vector { base: self.buffer.as_mut_ptr().cast(), length: self.buffer.len() };
        let mut message = Message {
            name: ptr::null_mut(),
            name_length: 0,
            vectors: &raw mut vector,
            vector_count: 1,
            control: control.as_mut_ptr().cast(),
            control_length: CONTROL,
            flags: 0,
        };
        // SAFETY: the descriptor is open; `message` and all that it points to live through the call, with the lengths that
        // it says; the kernel writes within them.
        let length = unsafe { recvmsg(self.fd.as_raw_fd(), &raw mut message, MSG_DONTWAIT) };
        let Ok(length) = usize::try_from(length) else {
            return match std::io::Error::last_os_error() {
                error if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => Ok(Heard::Silence),
                error if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => Ok(Heard::Silence),
                error if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => Ok(Heard::Overrun),
                error => Err(errno::at_io("netlink", &error)),
            };
        };
        // what was cut off is lost as well
        if message.flags & MSG_TRUNC != 0 {
            return Ok(Heard::Overrun);
        }
        let bytes: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let number = number(bytes.get(..message.control_length.min(CONTROL)).unwrap_or_default());
        Ok(Heard::Messages(number, self.buffer.get(..length).unwrap_or_default()))
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The number of a namespace in control data: `struct cmsghdr` is length (`size_t`), level, type; then an int.
fn number(control: &[u8]) -> Option<i32> {
    let word = |at: usize| control.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes);
    let head = size_of::<usize>();
    (word(head)? == SOL_NETLINK && word(head + 4)? == NETLINK_LISTEN_ALL_NSID).then(|| word(head + 8))?
}

/// `struct iovec`.
#[repr(C)]
struct Vector {
    base: *mut c_void,
    length: usize,
}

/// `struct msghdr` as glibc and the kernel have it; musl has an int and padding in the places of the two counts, which comes
/// to the same bytes for counts this small.
#[repr(C)]
struct Message {
    name: *mut c_void,
    name_length: u32,
    vectors: *mut Vector,
    vector_count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}

unsafe extern "C" {
    /// POSIX, from the C library that std links already; rustix gives no control data of netlink.
    fn recvmsg(fd: c_int, message: *mut Message, flags: c_int) -> isize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_data_of_netlink_is_read_and_other_is_not() {
        let head = |level: i32, kind: i32| {
            let length = (size_of::<usize>() + 12).to_ne_bytes();
            [&length[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), &7i32.to_ne_bytes()].concat()
        };
        assert_eq!(number(&head(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID)), Some(7));
        assert_eq!(number(&head(1, NETLINK_LISTEN_ALL_NSID)), None);
        for length in 0..head(0, 0).len() {
            assert_eq!(number(&head(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID)[..length]), None);
        }
    }
}
