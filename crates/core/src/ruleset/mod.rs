//! Any nf_tables ruleset, whoever wrote it: what `nft list ruleset` shows, as data.
//!
//! [`crate::nft`] is the model of what raum writes; this is the model of what it may meet: tables of Docker, firewalld, ufw,
//! `iptables-nft`. It holds the kernel's own instructions ([`Expr`]), of which two things are made here: words ([`Rule::words`], and
//! [`translations`] for NAT in plain ones), and an answer to what becomes of a packet ([`Ruleset::fates`]), where "cannot be
//! known" is an answer, too. Nothing here asks a kernel; the reader is `raum_kernel::ruleset`.

mod condition;
pub mod eval;
mod expr;
mod load;
mod machine;
mod names;
pub mod packet;
mod set;
mod translate;
mod value;
mod words;
pub mod xt;

pub use eval::{End, Fate, Nat, Place};
pub use expr::{Comparison, Expr, Register, Verdict};
pub use packet::Packet;
pub use set::{Data, Element, RawElement, Set};
pub use translate::{chains, comment, translations};

use std::fmt;

use serde::{Deserialize, Serialize};

/// All tables of a namespace, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ruleset {
    /// The tables.
    pub tables: Vec<Table>,
}

/// For which packets a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// ARP.
    Arp,
    /// Frames in a bridge.
    Bridge,
    /// All of an interface.
    Netdev,
    /// One that this program does not know, by `NFPROTO_*`.
    Other(u8),
}

impl Family {
    /// Of `NFPROTO_*` (include/uapi/linux/netfilter.h).
    #[must_use]
    pub fn of(number: u8) -> Self {
        match number {
            1 => Self::Inet,
            2 => Self::Ip,
            3 => Self::Arp,
            5 => Self::Netdev,
            7 => Self::Bridge,
            10 => Self::Ip6,
            other => Self::Other(other),
        }
    }

    /// `NFPROTO_*`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
            Self::Other(number) => number,
        }
    }

    /// Do its chains see IP packets of this version?
    #[must_use]
    pub fn sees(self, v6: bool) -> bool {
        self == Self::Inet || self == if v6 { Self::Ip6 } else { Self::Ip }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
            Self::Other(number) => return write!(f, "family-{number}"),
        })
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// For which packets.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// The kernel's number.
    pub handle: u64,
    /// Switched off: its chains are not called.
    pub dormant: bool,
    /// The comment somebody gave it; raum's mark.
    pub comment: Option<String>,
    /// Sets and maps, anonymous ones too.
    pub sets: Vec<Set>,
    /// The chains, in the kernel's order.
    pub chains: Vec<Chain>,
}

impl Table {
    /// The set or map of a name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }

    /// The chain of a name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// `ip nat`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.family, self.name)
    }
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// The kernel's number.
    pub handle: u64,
    /// Where the kernel calls it; None for one that is only jumped to.
    pub base: Option<Base>,
    /// The comment somebody gave it.
    pub comment: Option<String>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// Where and how the kernel calls a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// Where.
    pub hook: Hook,
    /// For these interfaces only (`netdev`, and `ingress` of `inet`).
    pub devices: Vec<String>,
    /// Lower is called first.
    pub priority: i32,
    /// What becomes of a packet that no rule decides on: dropped, else accepted.
    pub drops: bool,
}

/// A point on a packet's way where chains are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Has come in; not routed yet.
    Prerouting,
    /// Is for this namespace.
    Input,
    /// Is for somebody else.
    Forward,
    /// Comes from this namespace.
    Output,
    /// Will go out.
    Postrouting,
    /// Has come in on an interface, before all else.
    Ingress,
    /// Goes out on an interface, after all else.
    Egress,
    /// Another one, by number.
    Other(u32),
}

impl Hook {
    /// Of the number that the kernel gives (`NF_INET_*`, `NF_ARP_*`, `NF_NETDEV_*`).
    #[must_use]
    pub fn of(family: Family, number: u32) -> Self {
        match (family, number) {
            (Family::Netdev, 0) | (Family::Inet, 5) => Self::Ingress,
            (Family::Netdev, 1) => Self::Egress,
            (Family::Arp, 0) => Self::Input,
            (Family::Arp, 1) => Self::Output,
            (Family::Arp, 2) => Self::Forward,
            (_, 0) => Self::Prerouting,
            (_, 1) => Self::Input,
            (_, 2) => Self::Forward,
            (_, 3) => Self::Output,
            (_, 4) => Self::Postrouting,
            (_, other) => Self::Other(other),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Other(number) => return write!(f, "hook-{number}"),
        })
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The kernel's number, as `nft -a list ruleset` prints it.
    pub handle: u64,
    /// The comment somebody gave it, in nft's way or in that of iptables.
    pub comment: Option<String>,
    /// The instructions, in order.
    pub exprs: Vec<Expr>,
}

impl Ruleset {
    /// The chains that the kernel calls at a hook for IP packets of this version, in its order.
    #[must_use]
    pub fn called(&self, hook: Hook, v6: bool) -> Vec<(&Table, &Chain, &Base)> {
        // of the same priority the kernel calls first what was made last (`nf_hook_entries_grow`, net/netfilter/core.c)
        let tables = self.tables.iter().rev().filter(|table| !table.dormant && table.family.sees(v6));
        let all = tables.flat_map(|table| table.chains.iter().rev().map(move |chain| (table, chain)));
        let mut called: Vec<_> = all
            .filter_map(|(table, chain)| Some((table, chain, chain.base.as_ref()?)))
            .filter(|(_, _, base)| base.hook == hook)
            .collect();
        called.sort_by_key(|(_, _, base)| base.priority);
        called
    }

    /// The table of a family and name.
    #[must_use]
    pub fn table(&self, family: Family, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.family == family && table.name == name)
    }
}
