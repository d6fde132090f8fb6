//! A place from which every namespace has a number.
//!
//! rtnetlink names a veth's other namespace by a number of the namespace that asks (`IFLA_LINK_NETNSID`), and takes such
//! numbers for whom to ask (`IFLA_TARGET_NETNSID`). So a fresh namespace is made, all others get a number there
//! (`RTM_NEWNSID`), and links are asked for from there: each other end is then told with a number that we gave. Nothing of
//! any namespace that is looked at changes, nor is it kept alive, and the numbers go with the fresh namespace.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use raum_core::host::OpError;
use rustix::fs::fstat;
use rustix::io::Errno;

use super::QUESTIONS;
use crate::errno;
use crate::message::{Attribute, Requests};
use crate::namespace::{fresh, in_namespace};
use crate::socket::{Protocol, Socket};

const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
/// The kernel is to choose.
const ANY: i32 = -1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// The fresh namespace: it lives as long as a socket of it does.
pub(crate) struct Vantage {
    fd: std::os::fd::OwnedFd,
    /// Sockets that nobody uses at the moment.
    idle: Mutex<Vec<Socket>>,
}

impl Vantage {
    /// Makes the fresh namespace.
    ///
    /// # Errors
    /// EPERM without `CAP_SYS_ADMIN`; ENOSPC at the limit of namespaces.
    pub fn new() -> Result<Self, OpError> {
        Ok(Self { fd: fresh()?, idle: Mutex::new(Vec::new()) })
    }

    /// Does something with a socket of the fresh namespace, from whatever thread.
    ///
    /// # Errors
    /// No socket can be opened, or what the act says.
    pub fn with<T>(&self, act: impl FnOnce(&mut Socket) -> Result<T, OpError>) -> Result<T, OpError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut socket = match idle {
            Some(socket) => socket,
            None => self.socket()?,
        };
        let done = act(&mut socket);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
        done
    }

    /// The fresh namespace's own number on nsfs: nobody wants to see it among the others.
    pub fn inode(&self) -> Option<u64> {
        fstat(&self.fd).ok().map(|stat| stat.st_ino)
    }

    /// The fresh namespace itself.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives namespaces numbers from `next` on, if they have none; says which.
    ///
    /// # Errors
    /// The exchange failed.
    pub fn numbers(&self, namespaces: &[BorrowedFd<'_>], next: &mut i32) -> Result<Vec<Option<i32>>, OpError> {
        let mut numbers = Vec::with_capacity(namespaces.len());
        for part in namespaces.chunks(QUESTIONS) {
            let (mut give, mut ask) = (Requests::new(), Requests::new());
            for fd in part {
                let fd = fd.as_raw_fd().to_ne_bytes();
                let request = &mut give.request(RTM_NEWNSID, 0, &[0; 4]);
                request.attribute(NETNSA_NSID, &next.to_ne_bytes()).attribute(NETNSA_FD, &fd);
                // when all are used up, the kernel chooses
                *next = if *next == ANY { ANY } else { next.checked_add(1).unwrap_or(ANY) };
                ask.request(RTM_GETNSID, 0, &[0; 4]).attribute(NETNSA_FD, &fd);
            }
            // whoever has one already is refused another (EEXIST)
            self.with(|socket| socket.run(&mut give))?;
            let (reply, _) = self.with(|socket| socket.ask(&mut ask))?;
            let mut found = vec![None; part.len()];
            let first = ask.first_sequence();
            for answer in reply.answers() {
                let at = usize::try_from(answer.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let number = answer.split(4).and_then(|(_, all)| all.find(NETNSA_NSID)).and_then(Attribute::i32);
                if let Some(place) = found.get_mut(at) {
                    *place = number.filter(|number| *number >= 0);
                }
            }
            numbers.append(&mut found);
        }
        Ok(numbers)
    }

    /// A socket of the fresh namespace.
    ///
    /// # Errors
    /// Too many open files.
    pub fn socket(&self) -> Result<Socket, OpError> {
        in_namespace(&self.fd, || Socket::open(Protocol::Route))?
    }

    /// Gives namespaces their numbers; says which of them have theirs now.
    ///
    /// # Errors
    /// The exchange failed.
    pub fn number(&self, namespaces: &[(i32, BorrowedFd<'_>)]) -> Result<Vec<bool>, OpError> {
        let mut done = Vec::with_capacity(namespaces.len());
        for part in namespaces.chunks(256) {
            let mut requests = Requests::new();
            for (number, fd) in part {
                requests
                    .request(RTM_NEWNSID, 0, &[0; 4])
                    .attribute(NETNSA_NSID, &number.to_ne_bytes())
                    .attribute(NETNSA_FD, &fd.as_raw_fd().to_ne_bytes());
            }
            let outcomes = self.with(|socket| socket.run(&mut requests))?;
            for outcome in outcomes {
                done.push(match outcome {
                    Ok(()) => true,
                    // the number was given to another one meanwhile, as the other end of a link
                    Err(error) if error.errno == Errno::EXIST.raw_os_error() => false,
                    Err(error) if error.errno == Errno::NOSPC.raw_os_error() => false,
                    Err(error) => return Err(errno::refused(format!("numbers of namespaces: {}", error.words()))),
                });
            }
        }
        Ok(done)
    }
}
