//! The interface of a program, as virtual machines and VPNs have one: what is sent by it, the program reads, and what the program
//! writes comes in by it.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use raum_core::host::OpError;
use raum_core::name::IfName;
use rustix::io::Errno;

use crate::errno;

// include/uapi/linux/if_tun.h
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;

/// Makes a tap in the calling thread's namespace. The file gives and takes Ethernet frames, one at a time, and does not wait. When
/// it is closed the interface stays, and has no carrier any more (drivers/net/tun.c).
///
/// # Errors
/// There is no `/dev/net/tun`, or the kernel's refusal.
pub fn tap(name: &IfName) -> Result<File, OpError> {
    const DEVICE: &str = "/dev/net/tun";
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(DEVICE);
    let file = opened.map_err(|cause| errno::at_io(DEVICE, &cause))?;
    // struct ifreq: a name that a zero ends, then its union, here with the flags
    let mut request = [0_u8; 40];
    request.iter_mut().zip(name.as_str().bytes().take(15)).for_each(|(to, byte)| *to = byte);
    let [low, high] = (IFF_TAP | IFF_NO_PI).to_ne_bytes();
    (request[16], request[17]) = (low, high);
    // SAFETY: TUNSETIFF reads and writes a struct ifreq, which is no longer than the 40 bytes of this array.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    // SAFETY: TUNSETPERSIST takes its argument as a number.
    if made < 0 || unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETPERSIST, 1) } < 0 {
        let cause = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
        return Err(errno::at(name.as_str(), cause));
    }
    Ok(file)
}
