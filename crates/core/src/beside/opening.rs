//! A rule of a lab in somebody else's chain.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::IfName;
use crate::ruleset::{Comparison, Expr, Family, Rule, Verdict};

/// `NFT_META_IIFNAME` and `NFT_META_OIFNAME`.
const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
/// The length of an interface's name in a register.
const IFNAMSIZ: usize = 16;

/// The zone of firewalld whose packets pass.
pub const ZONE: &str = "trusted";

/// The set in the lab's table that remembers which interfaces raum took into that zone: firewalld has no place for a mark.
pub const ZONE_SET: &str = "firewalld-trusted";

/// A rule at the head of a foreign chain that accepts what comes in, or goes out, by one interface of the lab. Its comment is
/// the lab's mark: by it the rule is found again. What may enter a lab at all is still for the lab's own table to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opening {
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The lab's interface.
    pub interface: IfName,
    /// What goes out by it, else what comes in.
    pub out: bool,
}

impl Opening {
    /// The rule as the kernel would have it, without comment.
    #[must_use]
    pub fn rule(&self) -> Rule {
        let mut name = self.interface.as_str().as_bytes().to_vec();
        name.resize(IFNAMSIZ, 0);
        let key = if self.out { OIFNAME } else { IIFNAME };
        let exprs = vec![
            Expr::Meta { key, to: 0 },
            Expr::Cmp { from: 0, how: Comparison::Equal, data: name },
            Expr::Counter { packets: 0, bytes: 0 },
            Expr::Verdict(Verdict::Accept),
        ];
        Rule { handle: 0, comment: None, exprs }
    }

    /// `iifname "shop-lan" counter accept`, in nft's words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} \"{}\" counter accept", if self.out { "oifname" } else { "iifname" }, self.interface)
    }
}

impl fmt::Display for Opening {
    /// `ip filter DOCKER-USER: iifname "shop-lan" counter accept`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.family, self.table, self.chain, self.words())
    }
}
