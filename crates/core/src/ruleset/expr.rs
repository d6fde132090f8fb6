//! The kernel's instructions, as it tells them.
//!
//! Numbers are from include/uapi/linux/netfilter/nf_tables.h.

use serde::{Deserialize, Serialize};

/// A place in the sixteen words of four bytes that a rule works with. The kernel knows some of them under two names; here
/// each has one.
pub type Register = usize;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the fields are the operands that the kernel's headers describe")]
pub enum Expr {
    /// Loads something about the packet (`NFT_META_*`).
    Meta { key: u32, to: Register },
    /// Changes something about the packet.
    SetMeta { key: u32, from: Register },
    /// Loads something about the connection (`NFT_CT_*`), of one direction where that matters.
    Ct { key: u32, reply: Option<bool>, to: Register },
    /// Changes something about the connection.
    SetCt { key: u32, from: Register },
    /// Loads bytes of the packet (`NFT_PAYLOAD_*`).
    Payload { base: u32, offset: u32, length: u32, to: Register },
    /// Changes bytes of the packet.
    SetPayload { base: u32, offset: u32, length: u32, from: Register },
    /// Loads a value.
    Immediate { to: Register, data: Vec<u8> },
    /// Ends the rule.
    Verdict(Verdict),
    /// Goes on only if the register compares so with this.
    Cmp { from: Register, how: Comparison, data: Vec<u8> },
    /// Goes on only if the register is (or is not) between these.
    Range { from: Register, not: bool, low: Vec<u8>, high: Vec<u8> },
    /// `(register & mask) ^ xor`.
    Bitwise { from: Register, to: Register, mask: Vec<u8>, xor: Vec<u8> },
    /// Turns numbers of so many bytes from the machine's order to the network's, or back: the same.
    Byteorder { from: Register, to: Register, length: u32, size: u32 },
    /// Goes on only if the register is (or is not) in the set; of a map, loads what it leads to.
    Lookup { set: String, from: Register, to: Option<Register>, not: bool },
    /// Asks the routing table (`NFT_FIB_RESULT_*`, `NFTA_FIB_F_*`).
    Fib { to: Register, result: u32, flags: u32 },
    /// Loads something else, by the name of the instruction.
    Load { name: String, to: Register },
    /// Counts.
    Counter { packets: u64, bytes: u64 },
    /// Goes on only below (or above) a rate.
    Limit { rate: u64, unit_s: u64, burst: u32, bytes: bool, over: bool },
    /// Goes on only below (or above) an amount.
    Quota { bytes: u64, used: u64, over: bool },
    /// Goes on only below (or above) a number of connections.
    Connlimit { count: u32, over: bool },
    /// Writes to the log, or to the listeners of a group.
    Log { prefix: String, group: Option<u16> },
    /// Source address of the interface that the packet leaves by.
    Masquerade { flags: u32, ports: Option<(Register, Register)> },
    /// New source or destination out of registers, each from the first to the last.
    Nat {
        source: bool,
        v6: bool,
        address: Option<(Register, Register)>,
        port: Option<(Register, Register)>,
        flags: u32,
    },
    /// New destination: this namespace itself.
    Redirect { port: Option<(Register, Register)>, flags: u32 },
    /// Drops and says so: `NFT_REJECT_*` and the ICMP code.
    Reject { kind: u32, code: u8 },
    /// Hands over to a program.
    Queue { first: u16, count: u16, bypass: bool },
    /// No connection tracking.
    Notrack,
    /// Adds to a set, or changes it there.
    Dynset { set: String, update: bool, key: Register, exprs: Vec<Expr> },
    /// A match of iptables: name, revision, its bytes.
    Match { name: String, revision: u32, info: Vec<u8> },
    /// A target of iptables.
    Target { name: String, revision: u32, info: Vec<u8> },
    /// A named counter, quota or the like.
    Object { kind: u32, name: String },
    /// Anything else, by name.
    Other(String),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Differs,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// How a rule can end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// This base chain is done with the packet; the next one is asked.
    Accept,
    /// The packet is gone.
    Drop,
    /// On with the next rule.
    Continue,
    /// Back to where the chain was jumped to from; of a base chain, its policy.
    Return,
    /// Into another chain, and back.
    Jump(String),
    /// Into another chain.
    Goto(String),
    /// To a program.
    Queue,
    /// Another one, by number.
    Other(i32),
}

impl Verdict {
    /// Of `NF_*` and `NFT_*`, with the chain where there is one.
    #[must_use]
    pub fn of(code: i32, chain: Option<&str>) -> Self {
        let chain = || chain.unwrap_or_default().to_owned();
        match code {
            0 => Self::Drop,
            1 => Self::Accept,
            -1 => Self::Continue,
            -3 => Self::Jump(chain()),
            -4 => Self::Goto(chain()),
            -5 => Self::Return,
            // the number of the queue is in the upper half
            other if other & 0xff == 3 => Self::Queue,
            // NF_DROP_ERR has an errno in the upper half
            other if other & 0xff == 0 => Self::Drop,
            other => Self::Other(other),
        }
    }
}
