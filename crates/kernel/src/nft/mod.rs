//! nf_tables: a lab's table to the kernel and back.
//!
//! `write` sends a table as one transaction, `read` tells what is there, `rule` and `wire` know the expressions, `set` the
//! types and elements. [`conntrack`] forgets flows. All functions take a [`Socket`] of protocol netfilter, opened in the
//! namespace that is meant.

pub mod conntrack;
mod opening;
mod read;
mod rule;
mod set;
mod wire;
mod write;

pub use opening::{close, labs_with_openings, open, openings};
pub(crate) use read::understood;
pub use read::{Noted, labs, noted, observe, observe_all};
#[cfg(test)]
pub(crate) use write::sample;
pub use write::{change_entries, delete, replace};

use raum_core::host::OpError;
use raum_core::nft::Hook;
use rustix::io::Errno;

#[cfg(doc)]
use crate::socket::Socket;

/// `NFNL_SUBSYS_NFTABLES` (include/uapi/linux/netfilter/nfnetlink.h), in the upper byte of a message's type.
const SUBSYSTEM: u16 = 10;
/// `NFPROTO_INET`: both families in one table.
const INET: u8 = 1;

/// Message types (`enum nf_tables_msg_types`, include/uapi/linux/netfilter/nf_tables.h).
#[derive(Clone, Copy)]
enum Message {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    GetChain = 4,
    NewRule = 6,
    GetRule = 7,
    DelRule = 8,
    NewSet = 9,
    GetSet = 10,
    NewSetElem = 12,
    GetSetElem = 13,
    DelSetElem = 14,
}

impl Message {
    fn kind(self) -> u16 {
        SUBSYSTEM << 8 | self as u16
    }
}

/// `struct nfgenmsg`: family, version, resource.
const HEADER: [u8; 4] = [INET, 0, 0, 0];

/// The type, hook number and priority of a base chain.
fn hook(hook: Hook) -> (&'static str, u32, i32) {
    match hook {
        Hook::RawPrerouting => ("filter", 0, -300),
        Hook::DnatPrerouting => ("nat", 0, -100),
        Hook::DnatOutput => ("nat", 3, -100),
        Hook::SnatPostrouting => ("nat", 4, 100),
        Hook::Learn => ("filter", 4, 101),
        Hook::FilterForward => ("filter", 2, 0),
        Hook::FilterInput => ("filter", 1, 0),
        Hook::FilterOutput => ("filter", 3, 0),
    }
}

/// All of them, to find one by what the kernel says.
const HOOKS: [Hook; 8] = [
    Hook::RawPrerouting,
    Hook::DnatPrerouting,
    Hook::DnatOutput,
    Hook::SnatPostrouting,
    Hook::Learn,
    Hook::FilterForward,
    Hook::FilterInput,
    Hook::FilterOutput,
];

/// A comment as `nft` keeps it: user data, one entry of type 0, its length, the text with its NUL (libnftnl, `udata.h`).
fn comment(text: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend(text.bytes().take(usize::from(u8::MAX) - 1));
    bytes.push(0);
    bytes
}

/// The comment in user data.
fn read_comment(mut data: &[u8]) -> Option<&str> {
    while let [kind, length, rest @ ..] = data {
        let (value, after) = rest.split_at_checked(usize::from(*length))?;
        if *kind == 0 {
            return std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok();
        }
        data = after;
    }
    None
}

/// A kernel without nf_tables answers so to its subsystem's number: to a request (`nfnetlink_rcv_msg`) and to a batch.
fn is_missing(error: &OpError) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].iter().any(|missing| error.errno == missing.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::{comment, read_comment};

    #[test]
    fn a_comment_is_found_again_also_behind_other_data() {
        assert_eq!(comment("raum:t"), [0, 7, b'r', b'a', b'u', b'm', b':', b't', 0]);
        assert_eq!(read_comment(&comment("raum:t")), Some("raum:t"));
        let behind = [&[1, 2, 9, 9][..], &comment("x")].concat();
        assert_eq!(read_comment(&behind), Some("x"));
        assert_eq!(read_comment(&comment(&"x".repeat(400))).map(str::len), Some(254));
    }

    #[test]
    fn garbage_has_no_comment() {
        assert_eq!(read_comment(&[0, 200, b'x']), None);
        assert_eq!(read_comment(&[1]), None);
        assert_eq!(read_comment(&[0, 2, 0xff, 0]), None);
    }
}
