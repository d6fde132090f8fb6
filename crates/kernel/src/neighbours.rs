//! Neighbours in rtnetlink's words: writing them down, and forgetting those that were learned. What a namespace has learned of
//! others counts against one limit of the whole machine (`gc_thresh3`, Documentation/networking/ip-sysctl.rst): who speaks to very
//! many lets go of those that he is done with, or has them written down, which does not count (`exempt_from_gc`,
//! net/core/neighbour.c, since Linux 5.0).

use std::net::IpAddr;

use raum_core::host::OpError;
use raum_core::name::Mac;
use rustix::io::Errno;

use crate::address::{AF_INET, AF_INET6, ip};
use crate::message::{Answer, Attribute, NLM_F_CREATE, NLM_F_REPLACE, Requests, i32_at, u16_at, u32_at};
use crate::socket::{Protocol, Socket};

// include/uapi/linux/rtnetlink.h, neighbour.h
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETNEIGHTBL: u16 = 66;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_PROTOCOL: u16 = 12;
const NDTA_NAME: u16 = 1;
const NDTA_THRESH3: u16 = 4;
const NDTA_CONFIG: u16 = 5;
/// `RTPROT_STATIC`: by this those that raum wrote are told from those of others.
const STATIC: u8 = 4;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
const FAMILIES: [u8; 2] = [AF_INET, AF_INET6];
/// Requests in one message.
const BATCH: usize = 256;

/// A neighbour that raum wrote down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// The link's index.
    pub index: u32,
    pub address: IpAddr,
    pub mac: Mac,
}

/// `struct ndmsg`: family, padding, index, state, flags, type.
fn ndmsg(family: u8, index: u32, state: u16) -> [u8; 12] {
    let ([a, b, c, d], [e, f]) = (index.to_ne_bytes(), state.to_ne_bytes());
    [family, 0, 0, 0, a, b, c, d, e, f, 0, 0]
}

fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    }
}

/// Writes a neighbour down, whatever was known of him.
pub(crate) fn set(requests: &mut Requests, index: u32, address: IpAddr, mac: Mac) {
    let (family, address) = octets(address);
    let header = ndmsg(family, index, NUD_PERMANENT);
    let mut request = requests.request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header);
    request.attribute(NDA_DST, &address).attribute(NDA_LLADDR, &mac.0).u8(NDA_PROTOCOL, STATIC);
}

/// Forgets a neighbour.
pub(crate) fn delete(requests: &mut Requests, index: u32, address: IpAddr) {
    let (family, address) = octets(address);
    requests.request(RTM_DELNEIGH, 0, &ndmsg(family, index, 0)).attribute(NDA_DST, &address);
}

/// Those that raum wrote down in a socket's namespace.
pub(crate) fn written(socket: &mut Socket) -> Result<Vec<Written>, OpError> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let mut list = Requests::new();
        list.request(RTM_GETNEIGH, 0, &ndmsg(family, 0, 0));
        found.extend(socket.dump(&mut list)?.answers().filter_map(|answer| decode(&answer)));
    }
    Ok(found)
}

/// None if it is no neighbour, or none that raum wrote.
fn decode(answer: &Answer<'_>) -> Option<Written> {
    if answer.kind != RTM_NEWNEIGH {
        return None;
    }
    let (header, attributes) = answer.split(12)?;
    let (&family, state) = (header.first()?, u16_at(header, 8)?);
    if state & NUD_PERMANENT == 0 || attributes.find(NDA_PROTOCOL).and_then(Attribute::u8) != Some(STATIC) {
        return None;
    }
    Some(Written {
        index: u32::try_from(i32_at(header, 4)?).ok()?,
        address: ip(family, attributes.find(NDA_DST)?.bytes)?,
        mac: Mac(attributes.find(NDA_LLADDR)?.array()?),
    })
}

/// How many neighbours of a family there are in all namespaces together, those that do not count too, and how many that count
/// there may be; None if the kernel does not tell.
pub(crate) fn room(socket: &mut Socket, v6: bool) -> Result<Option<(u32, u32)>, OpError> {
    let mut requests = Requests::new();
    requests.request(RTM_GETNEIGHTBL, 0, &[0; 4]);
    let wanted = if v6 { "ndisc_cache" } else { "arp_cache" };
    Ok(socket.dump(&mut requests)?.answers().find_map(|answer| decode_table(&answer, wanted)))
}

/// None for another table.
fn decode_table(answer: &Answer<'_>, wanted: &str) -> Option<(u32, u32)> {
    let (_, attributes) = answer.split(4)?;
    if attributes.find(NDTA_NAME)?.text()? != wanted {
        return None;
    }
    // struct ndt_config: two lengths of two bytes, then the entries
    let entries = u32_at(attributes.find(NDTA_CONFIG)?.bytes, 4)?;
    Some((entries, attributes.find(NDTA_THRESH3).and_then(Attribute::u32)?))
}

/// For tests: how many readers of this file take a message for one of theirs.
pub(crate) fn understood(answer: &Answer<'_>) -> usize {
    usize::from(decode(answer).is_some()) + usize::from(decode_table(answer, "arp_cache").is_some())
}

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

    /// The addresses of those that raum wrote down.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn written(&mut self) -> Result<Vec<IpAddr>, OpError> {
        Ok(written(&mut self.socket)?.into_iter().map(|found| found.address).collect())
    }

    /// Forgets everybody who was learned; what somebody wrote down (`permanent`) stays. Who is needed again is asked again.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn forget(&mut self) -> Result<(), OpError> {
        for family in FAMILIES {
            let mut list = Requests::new();
            list.request(RTM_GETNEIGH, 0, &ndmsg(family, 0, 0));
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

/// How many neighbours of a family the whole machine may have; None if the kernel does not tell.
///
/// # Errors
/// The kernel's refusal.
pub fn limit(v6: bool) -> Result<Option<u32>, OpError> {
    Ok(room(&mut Socket::open(Protocol::Route)?, v6)?.map(|(_, limit)| limit))
}
