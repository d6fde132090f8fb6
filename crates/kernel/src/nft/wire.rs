//! nf_tables expressions: the kernel's own instructions, one by one, to bytes and back.
//!
//! Numbers are from include/uapi/linux/netfilter/nf_tables.h. Registers are counted in words of four bytes from the first;
//! the kernel knows the same places under two names (`NFT_REG_1` is `NFT_REG32_00`), and uses the wide one where it can.

use crate::message::{Attribute, Attributes, Request};

pub(super) const META_IIFNAME: u32 = 6;
pub(super) const META_OIFNAME: u32 = 7;
pub(super) const META_NFPROTO: u32 = 15;
pub(super) const META_L4PROTO: u32 = 16;
pub(super) const CT_STATE: u32 = 0;
pub(super) const CT_DIRECTION: u32 = 1;
pub(super) const CT_STATUS: u32 = 2;
pub(super) const CT_PROTO_SRC: u32 = 11;
pub(super) const CT_SRC_IP: u32 = 19;
pub(super) const CT_DST_IP: u32 = 20;
pub(super) const CT_SRC_IP6: u32 = 21;
pub(super) const CT_DST_IP6: u32 = 22;
pub(super) const BASE_NETWORK: u32 = 1;
pub(super) const BASE_TRANSPORT: u32 = 2;
pub(super) const FIB_ADDRTYPE: u32 = 3;
pub(super) const FIB_DADDR: u32 = 2;
/// `NF_DROP`, `NF_ACCEPT`, `NFT_JUMP`.
pub(super) const VERDICT_DROP: i32 = 0;
pub(super) const VERDICT_ACCEPT: i32 = 1;
pub(super) const VERDICT_JUMP: i32 = -3;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    /// Loads something about the packet.
    Meta { key: u32, to: u32 },
    /// Goes on only if the register has (or has not) this content.
    Cmp { from: u32, not: bool, data: Vec<u8> },
    /// Goes on only if the register, read as a big number, is not less (or not more) than this.
    Bound { from: u32, least: bool, data: Vec<u8> },
    /// Goes on only if the register, read as a big number, is in this range.
    Range { from: u32, first: Vec<u8>, last: Vec<u8> },
    /// Loads bytes of the packet.
    Payload { base: u32, offset: u32, length: u32, to: u32 },
    /// `(register & mask) ^ xor`.
    Bitwise { from: u32, to: u32, mask: Vec<u8>, xor: Vec<u8> },
    /// Goes on only if the register's content is in the set; loads what it maps to.
    Lookup { set: String, from: u32, to: Option<u32>, not: bool },
    /// Asks the routing table.
    Fib { to: u32, result: u32, flags: u32 },
    /// Loads something about the connection.
    Ct { key: u32, to: u32 },
    /// Ends the rule.
    Verdict { code: i32, chain: Option<String> },
    /// Source address of the interface that the packet leaves by.
    Masquerade,
    /// The same with a port by chance (`NF_NAT_RANGE_PROTO_RANDOM_FULLY`).
    MasqueradeRandom,
    /// Loads something about the connection's first direction.
    CtOriginal { key: u32, to: u32 },
    /// Puts what is in registers into a map, or a set.
    Update { map: String, key: u32, data: Option<u32>, timeout_ms: u64 },
    /// Loads a constant.
    Immediate { to: u32, data: Vec<u8> },
    /// New source out of registers; `random`: with a port by chance.
    Snat { family: u32, address: u32, port: Option<u32>, random: bool },
    /// New destination out of registers.
    Dnat { family: u32, address: u32, port: u32 },
    /// Counts, and changes nothing for the packet.
    Counter,
    /// Anything else, by name.
    Other(String),
}

/// The kernel's number of a register.
fn register(word: u32) -> u32 {
    if word.is_multiple_of(4) { word / 4 + 1 } else { word + 8 }
}

fn word(register: u32) -> Option<u32> {
    match register {
        1..=4 => Some((register - 1) * 4),
        8..=23 => Some(register - 8),
        _ => None,
    }
}

/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY` (include/uapi/linux/netfilter/nf_nat.h).
const RANDOM_FULLY: u32 = 1 << 4;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

impl Expr {
    fn name(&self) -> &str {
        match self {
            Expr::Meta { .. } => "meta",
            Expr::Cmp { .. } | Expr::Bound { .. } => "cmp",
            Expr::Range { .. } => "range",
            Expr::Payload { .. } => "payload",
            Expr::Bitwise { .. } => "bitwise",
            Expr::Lookup { .. } => "lookup",
            Expr::Fib { .. } => "fib",
            Expr::Ct { .. } => "ct",
            Expr::Verdict { .. } | Expr::Immediate { .. } => "immediate",
            Expr::Masquerade | Expr::MasqueradeRandom => "masq",
            Expr::CtOriginal { .. } => "ct",
            Expr::Update { .. } => "dynset",
            Expr::Dnat { .. } | Expr::Snat { .. } => "nat",
            Expr::Counter => "counter",
            Expr::Other(name) => name,
        }
    }

    /// Writes the expression as an element of a rule's list.
    pub(super) fn write(&self, list: &mut Request<'_>) {
        list.nest(1, |element| {
            element.text(1, self.name());
            element.nest(2, |data| self.write_data(data));
        });
    }

    fn write_data(&self, data: &mut Request<'_>) {
        match self {
            Expr::Meta { key, to } => {
                data.be32(2, *key).be32(1, register(*to));
            }
            Expr::Cmp { from, not, data: value } => {
                data.be32(1, register(*from)).be32(2, u32::from(*not)).nest(3, |nest| {
                    nest.attribute(DATA_VALUE, value);
                });
            }
            Expr::Bound { from, least, data: value } => {
                // NFT_CMP_GTE, NFT_CMP_LTE
                data.be32(1, register(*from)).be32(2, if *least { 5 } else { 3 }).nest(3, |nest| {
                    nest.attribute(DATA_VALUE, value);
                });
            }
            Expr::Range { from, first, last } => {
                // NFT_RANGE_EQ
                data.be32(1, register(*from)).be32(2, 0);
                for (kind, value) in [(3, first), (4, last)] {
                    data.nest(kind, |nest| {
                        nest.attribute(DATA_VALUE, value);
                    });
                }
            }
            Expr::Payload { base, offset, length, to } => {
                data.be32(1, register(*to)).be32(2, *base).be32(3, *offset).be32(4, *length);
            }
            Expr::Bitwise { from, to, mask, xor } => {
                let length = u32::try_from(mask.len()).unwrap_or_default();
                data.be32(1, register(*from)).be32(2, register(*to)).be32(3, length);
                data.nest(4, |nest| {
                    nest.attribute(DATA_VALUE, mask);
                });
                data.nest(5, |nest| {
                    nest.attribute(DATA_VALUE, xor);
                });
            }
            Expr::Lookup { set, from, to, not } => {
                data.text(1, set).be32(2, register(*from));
                if let Some(to) = to {
                    data.be32(3, register(*to));
                }
                if *not {
                    data.be32(5, 1);
                }
            }
            Expr::Fib { to, result, flags } => {
                data.be32(1, register(*to)).be32(2, *result).be32(3, *flags);
            }
            Expr::Ct { key, to } => {
                data.be32(2, *key).be32(1, register(*to));
            }
            Expr::Verdict { code, chain } => {
                // NFT_REG_VERDICT
                data.be32(1, 0).nest(2, |nest| {
                    nest.nest(DATA_VERDICT, |verdict| {
                        verdict.attribute(1, &code.to_be_bytes());
                        if let Some(chain) = chain {
                            verdict.text(2, chain);
                        }
                    });
                });
            }
            Expr::MasqueradeRandom => {
                data.be32(1, RANDOM_FULLY);
            }
            Expr::CtOriginal { key, to } => {
                // IP_CT_DIR_ORIGINAL
                data.be32(2, *key).be32(1, register(*to)).attribute(3, &[0]);
            }
            Expr::Update { map, key, data: value, timeout_ms } => {
                // NFT_DYNSET_OP_UPDATE
                data.text(1, map).be32(3, 1).be32(4, register(*key));
                if let Some(value) = value {
                    data.be32(5, register(*value));
                }
                data.attribute(6, &timeout_ms.to_be_bytes());
            }
            Expr::Immediate { to, data: value } => {
                data.be32(1, register(*to)).nest(2, |nest| {
                    nest.attribute(DATA_VALUE, value);
                });
            }
            Expr::Snat { family, address, port, random } => {
                // NFT_NAT_SNAT
                data.be32(1, 0).be32(2, *family).be32(3, register(*address));
                if let Some(port) = port {
                    data.be32(5, register(*port));
                }
                if *random {
                    data.be32(7, RANDOM_FULLY);
                }
            }
            Expr::Dnat { family, address, port } => {
                // NFT_NAT_DNAT
                data.be32(1, 1).be32(2, *family).be32(3, register(*address)).be32(5, register(*port));
            }
            Expr::Masquerade | Expr::Counter | Expr::Other(_) => {}
        }
    }

    /// Reads an element of a rule's list.
    pub(super) fn read(element: Attribute<'_>) -> Self {
        let attributes = element.nested();
        let name = attributes.find(1).and_then(Attribute::text).unwrap_or_default();
        let data = attributes.find(2).map(Attribute::nested).unwrap_or_default();
        Self::read_data(name, data).unwrap_or_else(|| Expr::Other(name.to_owned()))
    }

    fn read_data(name: &str, data: Attributes<'_>) -> Option<Self> {
        let number = |kind| data.find(kind).and_then(Attribute::be32);
        let at = |kind| number(kind).and_then(word);
        let value = |kind| Some(data.find(kind)?.nested().find(DATA_VALUE)?.bytes.to_vec());
        Some(match name {
            "meta" => Expr::Meta { key: number(2)?, to: at(1)? },
            "cmp" if matches!(number(2), Some(3 | 5)) => {
                Expr::Bound { from: at(1)?, least: number(2) == Some(5), data: value(3)? }
            }
            "cmp" => {
                let not = match number(2)? {
                    0 => false,
                    1 => true,
                    _ => return None,
                };
                Expr::Cmp { from: at(1)?, not, data: value(3)? }
            }
            "range" if number(2)? == 0 => Expr::Range { from: at(1)?, first: value(3)?, last: value(4)? },
            "payload" => Expr::Payload { base: number(2)?, offset: number(3)?, length: number(4)?, to: at(1)? },
            // NFTA_BITWISE_OP 0 is mask and xor; shifts have another
            "bitwise" if number(6).unwrap_or(0) == 0 => {
                Expr::Bitwise { from: at(1)?, to: at(2)?, mask: value(4)?, xor: value(5)? }
            }
            "lookup" => {
                let set = data.find(1)?.text()?.to_owned();
                Expr::Lookup { set, from: at(2)?, to: at(3), not: number(5).unwrap_or(0) & 1 == 1 }
            }
            "fib" => Expr::Fib { to: at(1)?, result: number(2)?, flags: number(3)? },
            // with a direction it is another question
            "ct" if data.find(3).is_none() => Expr::Ct { key: number(2)?, to: at(1)? },
            "immediate" if number(1)? == 0 => {
                let verdict = data.find(2)?.nested().find(DATA_VERDICT)?.nested();
                let code = verdict.find(1)?.array().map(i32::from_be_bytes)?;
                let chain = verdict.find(2).and_then(Attribute::text).map(str::to_owned);
                Expr::Verdict { code, chain }
            }
            "immediate" => Expr::Immediate { to: at(1)?, data: value(2)? },
            "ct" if data.find(3).and_then(Attribute::u8) == Some(0) => Expr::CtOriginal { key: number(2)?, to: at(1)? },
            "dynset" if number(3)? == 1 => Expr::Update {
                map: data.find(1)?.text()?.to_owned(),
                key: at(4)?,
                data: match number(5) {
                    Some(number) => Some(word(number)?),
                    None => None,
                },
                timeout_ms: data.find(6)?.array().map(u64::from_be_bytes)?,
            },
            "masq" if number(1) == Some(RANDOM_FULLY) && number(2).is_none() => Expr::MasqueradeRandom,
            // flags (random, persistent) or a port range make it another one
            "masq" if [1, 2, 3].iter().all(|kind| number(*kind).unwrap_or(0) == 0) => Expr::Masquerade,
            // the kernel itself adds the flags that there is an address (`NF_NAT_RANGE_MAP_IPS`) and a port
            // (`NF_NAT_RANGE_PROTO_SPECIFIED`); with others it is another expression
            "nat" if number(1)? == 0 && number(7).unwrap_or(0) & !(3 | RANDOM_FULLY) == 0 => {
                let same = |min, max| at(max).is_none_or(|max| Some(max) == at(min));
                (same(3, 4) && same(5, 6)).then_some(())?;
                let random = number(7).unwrap_or(0) & RANDOM_FULLY != 0;
                Expr::Snat { family: number(2)?, address: at(3)?, port: at(5), random }
            }
            "nat" if number(1)? == 1 => {
                let same = |min, max| at(max).is_none_or(|max| Some(max) == at(min));
                if !same(3, 4) || !same(5, 6) {
                    return None;
                }
                Expr::Dnat { family: number(2)?, address: at(3)?, port: at(5)? }
            }
            "counter" => Expr::Counter,
            _ => return None,
        })
    }
}
