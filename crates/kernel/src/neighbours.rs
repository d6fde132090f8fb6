//! Forgetting neighbours: what a namespace has learned of others counts against one limit of the whole machine (`gc_thresh3`,
//! Documentation/networking/ip-sysctl.rst), so who speaks to very many lets go of those that he is done with.

use raum_core::host::OpError;
use rustix::io::Errno;

use crate::message::{Requests, u16_at};
use crate::socket::{Protocol, Socket};

// include/uapi/linux/rtnetlink.h, neighbour.h
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
/// Requests in one message.
const BATCH: usize = 256;

/// The neighbours of one namespace.
#[derive(Debug)]
pub struct Neighbours {
    socket: Socket,
}

impl Neighbours {
    /// Of the namespace that the calling thread is in.
    ///
    /// # Errors
    /// The kernel's refusal: too many open files.
    pub fn open() -> Result<Self, OpError> {
        Ok(Self { socket: Socket::open(Protocol::Route)? })
    }

    /// Forgets everybody who was learned; what somebody wrote down (`permanent`) stays. Who is needed again is asked again.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn forget(&mut self) -> Result<(), OpError> {
        for family in FAMILIES {
            let mut list = Requests::new();
            list.request(RTM_GETNEIGH, 0, &[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            let reply = self.socket.dump(&mut list)?;
            let mut forget = Vec::new();
            for answer in reply.answers() {
                let Some((header, attributes)) = answer.split(12) else { continue };
                let learned = u16_at(header, 8).is_some_and(|state| state & (NUD_PERMANENT | NUD_NOARP) == 0);
                if let (true, Some(to)) = (learned, attributes.find(NDA_DST)) {
                    forget.push((header.to_vec(), to.bytes.to_vec()));
                }
            }
            for part in forget.chunks(BATCH) {
                let mut requests = Requests::new();
                for (header, to) in part {
                    requests.request(RTM_DELNEIGH, 0, header).attribute(NDA_DST, to);
                }
                for outcome in self.socket.run(&mut requests)? {
                    // gone by itself meanwhile
                    outcome.or_else(
                        |error| if error.errno == Errno::NOENT.raw_os_error() { Ok(()) } else { Err(error) },
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// How many neighbours of a family the whole machine may have; None where only the machine's first namespace would tell.
#[must_use]
pub fn limit(v6: bool) -> Option<usize> {
    let family = if v6 { "ipv6" } else { "ipv4" };
    let text = std::fs::read_to_string(format!("/proc/sys/net/{family}/neigh/default/gc_thresh3")).ok()?;
    text.trim().parse().ok()
}
