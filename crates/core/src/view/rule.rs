//! Policy routing: which routing table is asked for which packet.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// One rule, as `ip rule` lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// For IPv6, else IPv4.
    pub v6: bool,
    /// Lower comes first.
    pub priority: u32,
    /// For packets that do *not* match.
    pub not: bool,
    /// From these addresses; None for all.
    pub from: Option<IpNet>,
    /// To these addresses.
    pub to: Option<IpNet>,
    /// That came in by this interface.
    pub iif: Option<String>,
    /// That leave by this interface.
    pub oif: Option<String>,
    /// With this mark under this mask.
    pub mark: Option<(u32, u32)>,
    /// Conditions that raum has no words for, by the kernel's number of the attribute (`FRA_*`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<u16>,
    /// `lookup`, `blackhole`, `unreachable`, `prohibit`, `goto`, `nop`.
    pub action: String,
    /// The table that is asked.
    pub table: Option<String>,
}

/// The rules that every namespace has: of the tables local, main and default.
const USUAL: [u32; 3] = [0, 32_766, 32_767];

impl PolicyRule {
    /// Is it one that the kernel made with the namespace?
    #[must_use]
    pub fn is_usual(&self) -> bool {
        let plain = self.from.is_none() && self.to.is_none() && self.iif.is_none() && self.oif.is_none();
        USUAL.contains(&self.priority) && plain && self.mark.is_none() && self.others.is_empty() && !self.not
    }
}

impl fmt::Display for PolicyRule {
    /// As `ip rule` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.priority)?;
        if self.not {
            f.write_str("not ")?;
        }
        match self.from {
            Some(from) => write!(f, "from {from}")?,
            None => f.write_str("from all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(iif) = &self.iif {
            write!(f, " iif {iif}")?;
        }
        if let Some(oif) = &self.oif {
            write!(f, " oif {oif}")?;
        }
        match self.mark {
            Some((mark, u32::MAX)) => write!(f, " fwmark {mark:#x}")?,
            Some((mark, mask)) => write!(f, " fwmark {mark:#x}/{mask:#x}")?,
            None => {}
        }
        for kind in &self.others {
            write!(f, " condition {kind} (which raum cannot read)")?;
        }
        write!(f, " {}", self.action)?;
        if let Some(table) = &self.table {
            write!(f, " {table}")?;
        }
        Ok(())
    }
}
