//! Packets of an interface as they pass: a packet socket with a ring that kernel and process share (packet(7), Linux:
//! Documentation/networking/packet_mmap.rst, `TPACKET_V3`).
//!
//! The kernel fills blocks, and gives each to the process by its status word; the process gives it back the same way. Nothing is
//! copied by system calls, and where the process is too slow the kernel counts what it had to drop.

use std::ffi::c_int;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use raum_core::capture::machine::Instruction;
use raum_core::host::OpError;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::errno;

/// Of a ring: what is handed over at once. Larger than any packet that is left to a card to be cut up.
const BLOCK: usize = 256 * 1024;
/// Milliseconds after which a block is handed over though it is not full: how late a packet is shown.
const RETIRE_MS: u32 = 20;
/// For `TPACKET_V3` only a lower limit; 16 divides it, and it divides a block.
const FRAME: usize = 2048;
/// `ETH_P_ALL`.
const EVERYTHING: u16 = 3;
/// include/uapi/linux/if_packet.h.
const PACKET_OUTGOING: u8 = 4;
const STATUS_KERNEL: u32 = 0;
const STATUS_USER: u32 = 1;
const STATUS_VLAN: u32 = 1 << 4;
const STATUS_VLAN_TPID: u32 = 1 << 6;
/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK`: what has Ethernet headers.
const ETHERNET: [u16; 2] = [1, 772];
/// Offsets in `struct tpacket_block_desc`.
const BLOCK_STATUS: usize = 8;
const BLOCK_PACKETS: usize = 12;
const BLOCK_FIRST: usize = 16;

/// A packet in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// On the wire; `bytes` may be fewer.
    pub length: u32,
    /// The namespace sent it, or else got it.
    pub outgoing: bool,
    /// From the Ethernet header on.
    pub bytes: &'a [u8],
    /// A VLAN tag that was taken out of it: type and content.
    pub vlan: Option<(u16, u16)>,
}

/// Packets since the last time this was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those that passed the filter, lost ones included.
    pub received: u32,
    /// Of them those for which there was no room.
    pub lost: u32,
}

/// A packet socket with its ring.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
    ring: Ring,
    /// The block that the kernel hands over next.
    next: usize,
}

#[derive(Debug)]
struct Ring {
    start: ptr::NonNull<u8>,
    blocks: usize,
}

// SAFETY: the mapping belongs to this value alone, and is not tied to a thread.
unsafe impl Send for Ring {}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no frame outlives the borrow of the tap that it came from.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.blocks * BLOCK) };
        debug_assert!(unmapped.is_ok(), "an own mapping");
    }
}

impl Tap {
    /// Begins to take what passes an interface of the calling thread's namespace and the filter, into a ring of about so many
    /// bytes.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW`; ENODEV without such an interface; ENOMEM; an interface without Ethernet headers.
    pub fn open(index: u32, filter: &[Instruction], bytes: usize) -> Result<Self, OpError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // of no protocol yet: nothing arrives before the filter is there
        let fd = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
            .map_err(|cause| errno::at("a packet socket", cause))?;
        attach(&fd, filter).map_err(|cause| errno::at("the filter", cause))?;
        let blocks = (bytes / BLOCK).max(2);
        let version: c_int = 2; // TPACKET_V3 in enum tpacket_versions
        // SAFETY: the option takes an int.
        unsafe { set(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, &version) }
            .map_err(|cause| errno::at("TPACKET_V3", cause))?;
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let request: [u32; 7] =
            [number(BLOCK), number(blocks), number(FRAME), number(BLOCK / FRAME * blocks), RETIRE_MS, 0, 0];
        // SAFETY: the option takes a struct tpacket_req3, which is seven unsigned ints.
        unsafe { set(&fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request) }
            .map_err(|cause| errno::at("a ring for packets", cause))?;
        // SAFETY: a new mapping where the kernel likes, of the ring that was just made.
        let start = unsafe {
            mmap(ptr::null_mut(), blocks * BLOCK, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)
        };
        let start = start.map_err(|cause| errno::at("mapping a ring for packets", cause))?;
        let start = ptr::NonNull::new(start.cast()).ok_or_else(|| errno::refused("a ring at no address"))?;
        let tap = Self { fd, ring: Ring { start, blocks }, next: 0 };
        bind(&tap.fd, index).map_err(|cause| errno::at("listening to the interface", cause))?;
        let address = own_address(&tap.fd).map_err(|cause| errno::at("the interface", cause))?;
        if !ETHERNET.contains(&address.sll_hatype) {
            let kind = address.sll_hatype;
            return Err(errno::refused(format!("packets of this interface have no Ethernet headers (ARPHRD {kind})")));
        }
        Ok(tap)
    }

    /// Every packet that has been handed over.
    pub fn take(&mut self, each: &mut dyn FnMut(Frame<'_>)) {
        // once around at most: whoever fills faster than we read must not hold us here
        for _ in 0..self.ring.blocks {
            // SAFETY: the block is inside the ring; its status word is aligned, and written by the kernel atomically.
            let (block, status) = unsafe {
                let block = self.ring.start.as_ptr().add(self.next * BLOCK);
                (block, AtomicU32::from_ptr(block.add(BLOCK_STATUS).cast()))
            };
            if status.load(Ordering::Acquire) & STATUS_USER == 0 {
                return;
            }
            // SAFETY: the kernel leaves the block alone until its status is given back; the slice does not live longer. The
            // status word itself is not read through it.
            let bytes = unsafe { slice::from_raw_parts(block.cast_const(), BLOCK) };
            frames(bytes, each);
            status.store(STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % self.ring.blocks;
        }
    }

    /// What has come since the last time, and what of it was lost.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn counts(&self) -> Result<Counts, OpError> {
        // struct tpacket_stats_v3: packets, drops, freezes
        let mut counts = [0_u32; 3];
        get(&self.fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut counts)
            .map_err(|cause| errno::at("counting packets", cause))?;
        Ok(Counts { received: counts[0], lost: counts[1] })
    }

    /// Is the interface gone? One that is merely down may come up again. Takes the socket's error, which would wake up whoever
    /// waits for packets again and again.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        // which error it is says nothing: going down and going away are the same one
        drop(socket_error(&self.fd).map_err(std::io::Error::from));
        own_address(&self.fd).is_ok_and(|address| address.sll_ifindex <= 0)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The packets of a block.
fn frames(block: &[u8], each: &mut dyn FnMut(Frame<'_>)) {
    let number = |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(block.get(at..at + 4)?.try_into().ok()?)) };
    let short = |at: usize| -> Option<u16> { Some(u16::from_ne_bytes(block.get(at..at + 2)?.try_into().ok()?)) };
    let index = |number: u32| usize::try_from(number).ok();
    let mut read = || -> Option<()> {
        let mut at = index(number(BLOCK_FIRST)?)?;
        for _ in 0..number(BLOCK_PACKETS)? {
            // struct tpacket3_hdr, and after its 48 bytes struct sockaddr_ll
            let (seconds, nanoseconds) = (number(at + 4)?, number(at + 8)?);
            let (captured, length, status) = (number(at + 12)?, number(at + 16)?, number(at + 20)?);
            let start = at + usize::from(short(at + 24)?);
            let vlan = (status & STATUS_VLAN != 0).then(|| {
                let kind = if status & STATUS_VLAN_TPID != 0 { short(at + 36) } else { None };
                let content = number(at + 32).and_then(|tci| u16::try_from(tci & 0xffff).ok());
                (kind.unwrap_or(0x8100), content.unwrap_or(0))
            });
            each(Frame {
                time_ns: u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds),
                length,
                outgoing: *block.get(at + 58)? == PACKET_OUTGOING,
                bytes: block.get(start..start.checked_add(index(captured)?)?)?,
                vlan,
            });
            at = at.checked_add(index(number(at)?)?)?;
        }
        Some(())
    };
    // the kernel's own numbers: nothing else comes
    let whole = read();
    debug_assert!(whole.is_some(), "a block of packets");
}

fn attach(fd: &OwnedFd, filter: &[Instruction]) -> Result<(), Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut().cast() };
    // SAFETY: the option takes a struct sock_fprog; what that points to lives through the call, as many as it says, each laid out
    // as struct sock_filter.
    unsafe { set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program) }
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn checked(result: c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)) }
}

/// # Safety
/// The option takes a value of this type, and whatever that points to lives through the call.
unsafe fn set<T>(fd: &OwnedFd, level: c_int, option: c_int, value: &T) -> Result<(), Errno> {
    // SAFETY: the pointer and the length are those of a living value; the caller answers for its type.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, ptr::from_ref(value).cast(), length_of::<T>()) })
}

fn get<const N: usize>(fd: &OwnedFd, level: c_int, option: c_int, value: &mut [u32; N]) -> Result<(), Errno> {
    let mut length = length_of::<[u32; N]>();
    // SAFETY: the kernel writes no more than `length` bytes, which are those of the array; any bits are numbers.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, ptr::from_mut(value).cast(), &mut length) })
}

fn bind(fd: &OwnedFd, index: u32) -> Result<(), Errno> {
    let index = c_int::try_from(index).map_err(|_| Errno::NODEV)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::sa_family_t::try_from(libc::AF_PACKET).unwrap_or(17),
        sll_protocol: EVERYTHING.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer and the length are those of a living address.
    checked(unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), length_of::<libc::sockaddr_ll>()) })
}

fn own_address(fd: &OwnedFd) -> Result<libc::sockaddr_ll, Errno> {
    let mut address = libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut length = length_of::<libc::sockaddr_ll>();
    // SAFETY: the kernel writes no more than `length` bytes, which are those of the address.
    checked(unsafe { libc::getsockname(fd.as_raw_fd(), ptr::from_mut(&mut address).cast(), &mut length) })?;
    Ok(address)
}
