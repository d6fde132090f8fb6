//! The kernel's own reasons for drops: the tracepoint `skb:kfree_skb`, through perf_event_open(2).
//!
//! Only what happens while this thread runs is told: sending a packet through veths and bridges is work that the kernel does
//! within `send`, up to the far end, so that is this packet and what it sets off, and hardly anybody else's. Nothing is
//! configured for others, and all of it goes with the descriptor. It needs root (`CAP_PERFMON`) and tracefs.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_long, c_ulong};
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use raum_core::host::OpError;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::mount::{MountFlags, mount};

use crate::{errno, namespace};

/// Where tracefs is, and where it is put for a moment if it is nowhere.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const EVENT: &str = "events/skb/kfree_skb/format";
/// Pages of the ring buffer, without the first one, which says how far it is filled.
const PAGES: usize = 8;
/// `struct perf_event_mmap_page`: where the filled part ends (include/uapi/linux/perf_event.h).
const DATA_HEAD: usize = 1024;
/// `PERF_RECORD_SAMPLE`.
const SAMPLE: u32 = 9;
/// Reasons that are none: the packet was used up, or nobody cared to say.
const NO_REASONS: [&str; 3] = ["NOT_SPECIFIED", "CONSUMED", "NOT_DROPPED_YET"];

/// `PERF_EVENT_IOC_ENABLE`, `PERF_EVENT_IOC_DISABLE`.
const ENABLE: c_ulong = 0x2400;
const DISABLE: c_ulong = 0x2401;

/// The number of perf_event_open(2), where it is known.
const PERF_EVENT_OPEN: Option<c_long> = if cfg!(target_arch = "x86_64") {
    Some(298)
} else if cfg!(any(target_arch = "aarch64", target_arch = "riscv64")) {
    Some(241)
} else {
    None
};

/// What the event looks like on this kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Format {
    id: u64,
    /// Where the reason is in the record.
    reason: usize,
    names: BTreeMap<u32, String>,
}

/// Listens, from now until it is asked.
pub(super) struct Drops {
    fd: OwnedFd,
    ring: Ring,
    format: Format,
}

/// The mapped buffer.
struct Ring {
    start: NonNull<u8>,
    page: usize,
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the same range that was mapped, which nobody refers to any more.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), (PAGES + 1) * self.page) };
        drop(unmapped.map_err(std::io::Error::from));
    }
}

impl Drops {
    /// Begins to listen for drops in this thread.
    ///
    /// # Errors
    /// No permission, no tracefs, a kernel without perf events.
    pub fn listen() -> Result<Self, OpError> {
        let format = format()?;
        let number = PERF_EVENT_OPEN.ok_or_else(|| errno::refused("perf events are not known for this processor"))?;
        // struct perf_event_attr, version 5 (112 bytes): type tracepoint, size, config, sample period, sample type raw;
        // flags: disabled
        let mut attr = [0u64; 14];
        attr[0] = 2 | 112 << 32;
        attr[1] = format.id;
        attr[2] = 1;
        attr[3] = 1 << 10;
        attr[5] = 1;
        /// `PERF_FLAG_FD_CLOEXEC`
        const CLOEXEC: c_ulong = 8;
        let (here, any_cpu, no_group): (c_int, c_int, c_int) = (0, -1, -1);
        // SAFETY: the attributes are an array of the size that they name, which lives through the call; the rest are
        // numbers.
        let fd = unsafe { libc::syscall(number, attr.as_ptr(), here, any_cpu, no_group, CLOEXEC) };
        let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0);
        let fd = fd.ok_or_else(|| errno::at_io("perf events", &std::io::Error::last_os_error()))?;
        // SAFETY: the kernel has just given this descriptor to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let page = rustix::param::page_size();
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at a place that the kernel chooses; it is unmapped when `Ring` goes.
        let start = unsafe { mmap(std::ptr::null_mut(), (PAGES + 1) * page, protection, flags, &fd, 0) };
        let start = start.map_err(|cause| errno::at("perf events", cause))?;
        let start = NonNull::new(start.cast::<u8>()).ok_or_else(|| errno::refused("perf events are mapped nowhere"))?;
        let drops = Self { fd, ring: Ring { start, page }, format };
        drops.control(ENABLE)?;
        Ok(drops)
    }

    fn control(&self, request: c_ulong) -> Result<(), OpError> {
        // SAFETY: the descriptor is open; these requests take a number only.
        if unsafe { libc::ioctl(self.fd.as_raw_fd(), request, 0) } == 0 {
            return Ok(());
        }
        Err(errno::at_io("perf events", &std::io::Error::last_os_error()))
    }

    /// The reasons for drops since, each with how often; those that say nothing left out.
    pub fn reasons(self) -> BTreeMap<String, u64> {
        // without it a few more are seen
        drop(self.control(DISABLE));
        let mut all = BTreeMap::new();
        for reason in reasons(&self.ring.bytes(), self.format.reason) {
            let name = self.format.names.get(&reason).cloned().unwrap_or_else(|| reason.to_string());
            if !NO_REASONS.contains(&name.as_str()) {
                *all.entry(name).or_insert(0) += 1;
            }
        }
        all
    }
}

impl Ring {
    /// What has been written. It does not wrap: when it is full the kernel throws away what is newer.
    fn bytes(&self) -> Vec<u8> {
        // SAFETY: the first page is mapped, and holds an aligned u64 there that the kernel writes atomically.
        let head = unsafe { &*self.start.as_ptr().add(DATA_HEAD).cast::<AtomicU64>() };
        let length = usize::try_from(head.load(Ordering::Acquire)).unwrap_or(0).min(PAGES * self.page);
        // SAFETY: the pages after the first are mapped; the kernel has written up to `length`, and, since nothing is ever
        // marked as read, does not write there again.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(self.page), length) }.to_vec()
    }
}

/// The reasons in a buffer of records: a header of type, misc and size; of a sample the length of its raw data, and that.
fn reasons(mut bytes: &[u8], at: usize) -> Vec<u32> {
    let u32_at = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let mut found = Vec::new();
    while let (Some(kind), Some(size)) = (u32_at(bytes, 0), bytes.get(6..8)) {
        let size = usize::from(u16::from_ne_bytes([size[0], size[1]]));
        if size < 8 {
            break;
        }
        if kind == SAMPLE
            && let Some(reason) = bytes.get(12..size).and_then(|raw| u32_at(raw, at))
        {
            found.push(reason);
        }
        bytes = bytes.get(size..).unwrap_or_default();
    }
    found
}

/// Reads what the event looks like. Where tracefs is not mounted it is, for a thread of its own, which nobody else sees.
fn format() -> Result<Format, OpError> {
    let read = || PLACES.iter().find_map(|place| fs::read_to_string(format!("{place}/{EVENT}")).ok());
    let text = match read() {
        Some(text) => text,
        None => mounted(PLACES[0])?,
    };
    parse(&text).ok_or_else(|| errno::refused("the kernel's description of skb:kfree_skb cannot be read"))
}

fn mounted(place: &'static str) -> Result<String, OpError> {
    let look = move || {
        namespace::enter_own_mounts()?;
        mount("tracefs", place, "tracefs", MountFlags::RDONLY, None).map_err(|cause| errno::at("tracefs", cause))?;
        fs::read_to_string(format!("{place}/{EVENT}")).map_err(|cause| errno::at_io("tracefs", &cause))
    };
    let thread = std::thread::Builder::new().spawn(look).map_err(|cause| errno::at_io("a thread", &cause))?;
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// `ID: 2310`, `field:enum skb_drop_reason reason; offset:36; …`, `{ 2, "NOT_SPECIFIED" }, …`.
fn parse(text: &str) -> Option<Format> {
    let id = text.lines().find_map(|line| line.strip_prefix("ID: "))?.trim().parse().ok()?;
    let field = text.lines().find(|line| line.contains(" reason;"))?;
    let reason = field.split("offset:").nth(1)?.split(';').next()?.parse().ok()?;
    let mut names = BTreeMap::new();
    for pair in text.split("{ ").skip(1) {
        let Some((number, rest)) = pair.split_once(", \"") else { continue };
        if let (Ok(number), Some(name)) = (number.parse(), rest.split('"').next()) {
            names.insert(number, name.to_owned());
        }
    }
    Some(Format { id, reason, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_and_the_records_are_read() {
        let text = "name: kfree_skb\nID: 2310\nformat:\n\tfield:unsigned short protocol;\toffset:32;\tsize:2;\n\
                    \tfield:enum skb_drop_reason reason;\toffset:36;\tsize:4;\tsigned:0;\n\n\
                    print fmt: \"reason: %s\", __print_symbolic(REC->reason, { 2, \"NOT_SPECIFIED\" }, { 12, \"NETFILTER_DROP\" })";
        let format = parse(text).expect("a format");
        assert_eq!((format.id, format.reason, format.names.len()), (2310, 36, 2));
        assert_eq!(format.names.get(&12).map(String::as_str), Some("NETFILTER_DROP"));
        let mut record = 9u32.to_ne_bytes().to_vec();
        record.extend([0, 0, 56, 0]);
        record.extend(44u32.to_ne_bytes());
        record.resize(12 + 36, 0);
        record.extend(12u32.to_ne_bytes());
        record.resize(56, 0);
        assert_eq!(reasons(&[record.clone(), record.clone()].concat(), 36), [12, 12]);
        for length in 0..record.len() {
            assert!(reasons(&record[..length], 36).is_empty(), "{length}");
        }
        assert_eq!(parse("ID: x"), None);
    }
}
