//! The host as the kernel tells it, byte by byte, read without any of raum's own decoding: what must be the same before and
//! after, if nothing is lost and nothing left.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use raum_kernel::message::{Answer, Requests};
use raum_kernel::socket::{Protocol, Socket};

use super::RAUM;

/// Each fact with where it was read.
pub type Facts = BTreeMap<String, String>;

/// A list of rtnetlink: its name, request, fixed header, and the attributes that change by themselves.
type List = (&'static str, u16, &'static [u8], &'static [u16]);

/// include/uapi/linux/rtnetlink.h and its neighbours. Left out: statistics, times, carrier changes, and `IFLA_AF_SPEC`, which
/// repeats sysctls and counters.
const LISTS: [List; 7] = [
    ("link", 18, &[0; 16], &[7, 23, 26, 35, 47, 48]),
    ("address", 22, &[0; 8], &[6]),
    ("IPv4 route", 26, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[12]),
    ("IPv6 route", 26, &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[12, 23]),
    ("IPv4 rule", 34, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]),
    ("IPv6 rule", 34, &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]),
    ("neighbour", 30, &[0; 12], &[3, 4]),
];

/// nf_tables of all families: tables, chains, rules, sets (`enum nf_tables_msg_types`).
const RULES: [(&str, u16); 4] = [("table", 1), ("chain", 4), ("rule", 7), ("set", 10)];

/// All of it.
pub fn take() -> Facts {
    let mut facts = Facts::new();
    netlink(&mut facts);
    for folder in ["net/ipv4", "net/ipv6", "net/bridge", "net/netfilter", "net/core"] {
        sysctls(&Path::new("/proc/sys").join(folder), &mut facts);
    }
    files(Path::new("/run"), &mut facts);
    mounts(&mut facts);
    processes(&mut facts);
    facts
}

/// Waits until the host's interfaces have link-local addresses, and the kernel has found that nobody else has those.
pub fn wait_for_addresses() {
    /// `IFA_F_TENTATIVE` in `ifa_flags`
    const TENTATIVE: u8 = 0x40;
    loop {
        let mut requests = Requests::new();
        requests.request(22, 0, &[0; 8]);
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        let reply = socket.dump(&mut requests).expect("addresses");
        let tentative = |answer: Answer<'_>| answer.body.get(2).is_some_and(|flags| flags & TENTATIVE != 0);
        // ifa_scope: RT_SCOPE_LINK
        let has_own = reply.answers().any(|answer| answer.body.get(3) == Some(&253));
        if has_own && !reply.answers().any(tentative) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn netlink(facts: &mut Facts) {
    let mut socket = Socket::open(Protocol::Route).expect("a socket");
    for (what, kind, header, volatile) in LISTS {
        let mut requests = Requests::new();
        requests.request(kind, 0, header);
        let Ok(reply) = socket.dump(&mut requests) else { continue };
        // NUD_NOARP (0x40) in ndm_state: multicast, made and forgotten by the kernel
        let lasting = |answer: &Answer<'_>| kind != 30 || answer.body.get(8).is_none_or(|state| state & 0x40 == 0);
        for (number, answer) in reply.answers().filter(lasting).enumerate() {
            // the state of a neighbour changes by itself
            let fixed = if kind == 30 { 8 } else { header.len() };
            // the end of a dump has none
            let Some((_, attributes)) = answer.split(header.len()) else { continue };
            let fact: Vec<(u16, &[u8])> =
                attributes.filter(|part| !volatile.contains(&part.kind)).map(|part| (part.kind, part.bytes)).collect();
            facts.insert(format!("{what} {number}"), format!("{:?} {fact:?}", &answer.body[..fixed]));
        }
    }
    let Ok(mut socket) = Socket::open(Protocol::Netfilter) else { return };
    for (what, kind) in RULES {
        let mut requests = Requests::new();
        requests.request(10 << 8 | kind, 0, &[0; 4]);
        let Ok(reply) = socket.dump(&mut requests) else { continue };
        for (number, answer) in reply.answers().enumerate() {
            // the header has the number of the last transaction
            facts.insert(format!("nf_tables {what} {number}"), format!("{:?}", answer.body.get(4..)));
        }
    }
}

fn sysctls(path: &Path, facts: &mut Facts) {
    // what the kernel counts
    if path.ends_with("nf_conntrack_count") || path.ends_with("netfilter/nf_conntrack_buckets") {
        return;
    }
    if path.is_dir() {
        fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| sysctls(&entry.path(), facts));
    } else if let Ok(text) = fs::read_to_string(path) {
        facts.insert(path.display().to_string(), text);
    }
}

/// Everything under a folder, with owner, mode and content, as one sees it through all mounts; not the tests' own files.
pub fn files(path: &Path, facts: &mut Facts) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if path.extension().is_some_and(|end| end == "test") {
            continue;
        }
        let content = if found.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let content = String::from_utf8_lossy(&content).into_owned();
        let fact = format!("mode {:o} of {}:{} {content}", found.mode(), found.uid(), found.gid());
        facts.insert(path.display().to_string(), fact);
        if found.is_dir() {
            files(&path, facts);
        }
    }
}

/// Mounts without the numbers that each gets anew.
fn mounts(facts: &mut Facts) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    for (number, line) in mounts.lines().enumerate() {
        let fields: Vec<&str> = line.split(' ').skip(2).filter(|field| !field.starts_with("shared:")).collect();
        facts.insert(format!("mount {number}"), fields.join(" "));
    }
}

/// Processes of raum's in this sandbox.
fn processes(facts: &mut Facts) {
    let here = fs::read_link("/proc/self/ns/mnt").expect("a mount namespace");
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let at = |what| fs::read_link(entry.path().join(what));
        if at("exe").is_ok_and(|exe| exe == Path::new(RAUM)) && at("ns/mnt").is_ok_and(|there| there == here) {
            facts.insert(format!("process {}", entry.file_name().display()), String::new());
        }
    }
}
