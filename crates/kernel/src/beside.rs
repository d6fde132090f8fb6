//! What other people's rules are on the host, beside those of labs.

use std::fs;
use std::sync::Arc;

use raum_core::host::{ObserveError, OpError};
use raum_core::ruleset::Ruleset;
use raum_core::state::Sysctl;
use rustix::io::Errno;

use crate::linux::Linux;
use crate::socket::{Protocol, Socket};
use crate::{namespace, ruleset, sysctl};

/// Rules of others, and whether frames in bridges meet them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Others {
    /// All tables of nf_tables but those of labs.
    pub rules: Ruleset,
    /// Do frames inside bridges meet them: IPv4, IPv6 (`net.bridge.bridge-nf-call-iptables`)?
    pub bridged: [bool; 2],
    /// Tables of the old iptables, IPv4 and IPv6, which netlink does not show: `filter`. A program that only looks makes them, too.
    pub legacy: [Vec<String>; 2],
}

impl Linux {
    /// Reads the rules of the host that are not of labs.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn others(&mut self) -> Result<Others, ObserveError> {
        let fd = Arc::clone(&self.host.fd);
        let read = namespace::in_namespace(&*fd, read).and_then(|read| read);
        read.map_err(|cause| ObserveError { what: "rules of the host".to_owned(), cause })
    }
}

fn read() -> Result<Others, OpError> {
    let rules = match Socket::open(Protocol::Netfilter) {
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => Ruleset::default(),
        socket => ruleset::read_foreign(&mut socket?)?,
    };
    let mut bridged = [false; 2];
    for (on, key) in bridged.iter_mut().zip(["ip", "ip6"]) {
        if let Ok(key) = Sysctl::new(&format!("net/bridge/bridge-nf-call-{key}tables")) {
            *on = sysctl::read(&key)?.as_deref() == Some("1");
        }
    }
    // not there without the module; not readable for root of a user namespace before Linux 5.7
    let legacy = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"]
        .map(|path| fs::read_to_string(path).unwrap_or_default().lines().map(ToOwned::to_owned).collect());
    Ok(Others { rules, bridged, legacy })
}
