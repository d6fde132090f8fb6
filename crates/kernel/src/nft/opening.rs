//! Rules of labs in chains of others: each has the lab's mark as its comment, and is found by that alone.

use std::collections::BTreeSet;

use raum_core::beside::Opening;
use raum_core::host::OpError;
use raum_core::lab::mark;
use raum_core::name::LabName;
use raum_core::ruleset::Family;
use rustix::io::Errno;

use super::wire::{Expr, META_IIFNAME, META_OIFNAME, VERDICT_ACCEPT};
use super::{HEADER, Message, SUBSYSTEM, comment, is_missing, read_comment, rule};
use crate::errno;
use crate::message::{Answer, Attribute, NLM_F_CREATE, Requests};
use crate::socket::Socket;

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// A rule with the kernel's number.
struct Found {
    opening: Opening,
    handle: u64,
    lab: LabName,
}

/// The rules of a lab in chains of others.
///
/// # Errors
/// The kernel's refusal. A kernel without nf_tables has none.
pub fn openings(socket: &mut Socket, lab: &LabName) -> Result<BTreeSet<Opening>, OpError> {
    Ok(all(socket)?.into_iter().filter(|found| found.lab == *lab).map(|found| found.opening).collect())
}

/// The labs that have such rules.
///
/// # Errors
/// As [`openings`].
pub fn labs_with_openings(socket: &mut Socket) -> Result<BTreeSet<LabName>, OpError> {
    Ok(all(socket)?.into_iter().map(|found| found.lab).collect())
}

/// Inserts a rule at the head of its chain.
///
/// # Errors
/// ENOENT if there is no such chain; EPERM where the table has an owner who lets nobody else write (`owner` flag).
pub fn open(socket: &mut Socket, opening: &Opening, lab: &LabName) -> Result<(), OpError> {
    let key = if opening.out { META_OIFNAME } else { META_IIFNAME };
    let exprs = [
        Expr::Meta { key, to: 0 },
        Expr::Cmp { from: 0, not: false, data: rule::padded(&opening.interface) },
        Expr::Counter,
        Expr::Verdict { code: VERDICT_ACCEPT, chain: None },
    ];
    change(socket, opening, |requests| {
        // without NLM_F_APPEND it becomes the first
        let mut request = requests.request(Message::NewRule.kind(), NLM_F_CREATE, &header(opening.family));
        request.text(1, &opening.table).text(2, &opening.chain);
        request.nest(4, |list| exprs.iter().for_each(|expr| expr.write(list))).attribute(7, &comment(&mark(lab)));
    })
}

/// Removes a rule, however often it is there.
///
/// # Errors
/// The kernel's refusal. None to remove is fine.
pub fn close(socket: &mut Socket, opening: &Opening, lab: &LabName) -> Result<(), OpError> {
    for found in all(socket)?.into_iter().filter(|found| found.opening == *opening && found.lab == *lab) {
        let closed = change(socket, opening, |requests| {
            let mut request = requests.request(Message::DelRule.kind(), 0, &header(opening.family));
            request.text(1, &opening.table).text(2, &opening.chain).be64(3, found.handle);
        });
        match closed {
            // its firewall was faster
            Err(error) if error.errno == Errno::NOENT.raw_os_error() => {}
            closed => closed?,
        }
    }
    Ok(())
}

/// `struct nfgenmsg` of a family.
fn header(family: Family) -> [u8; 4] {
    [family.number(), 0, 0, 0]
}

fn change(socket: &mut Socket, opening: &Opening, write: impl FnOnce(&mut Requests)) -> Result<(), OpError> {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    let mut requests = Requests::new();
    requests.request(BATCH_BEGIN, 0, &[0, 0, high, low]);
    write(&mut requests);
    requests.request(BATCH_END, 0, &[0, 0, high, low]);
    socket.transact(&mut requests).map_err(|(_, error)| {
        let place = format!("chain {} {} {}", opening.family, opening.table, opening.chain);
        errno::error(error.errno, Some(&format!("{place}: {}", error.message)))
    })
}

/// All rules of all tables whose comment is a lab's mark, and that are such as raum writes into chains of others.
fn all(socket: &mut Socket) -> Result<Vec<Found>, OpError> {
    let mut requests = Requests::new();
    // AF_UNSPEC: of all families
    requests.request(Message::GetRule.kind(), 0, &[0; HEADER.len()]);
    match socket.dump(&mut requests) {
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        reply => Ok(reply?.answers().filter_map(|answer| read(&answer)).collect()),
    }
}

fn read(answer: &Answer<'_>) -> Option<Found> {
    let (header, attributes) = answer.split(HEADER.len())?;
    let text = read_comment(attributes.find(7)?.bytes)?;
    let lab = LabName::new(text.strip_prefix("raum:")?).ok().filter(|lab| mark(lab) == text)?;
    let exprs: Vec<Expr> = attributes.find(4)?.nested().map(Expr::read).collect();
    let [
        Expr::Meta { key, to: 0 },
        Expr::Cmp { from: 0, not: false, data },
        Expr::Counter,
        Expr::Verdict { code: VERDICT_ACCEPT, chain: None },
    ] = exprs.as_slice()
    else {
        return None;
    };
    let out = match *key {
        META_IIFNAME => false,
        META_OIFNAME => true,
        _ => return None,
    };
    let opening = Opening {
        family: Family::of(*header.first()?),
        table: attributes.find(1).and_then(Attribute::text)?.to_owned(),
        chain: attributes.find(2).and_then(Attribute::text)?.to_owned(),
        interface: rule::unpadded(data)?,
        out,
    };
    Some(Found { opening, handle: attributes.find(3)?.be64()?, lab })
}
