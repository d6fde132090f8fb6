//! Reads all nf_tables rules of a namespace, whoever made them, into [`raum_core::ruleset`].
//!
//! ```no_run
//! use raum_core::ruleset::translations;
//! use raum_kernel::{ruleset, socket::{Protocol, Socket}};
//! let rules = ruleset::read(&mut Socket::open(Protocol::Netfilter)?)?;
//! print!("{rules}"); // as `nft list ruleset`
//! for translation in translations(&rules) {
//!     println!("{translation}");
//! }
//! # Ok::<(), raum_core::host::OpError>(())
//! ```

mod decode;
mod expr;

use std::collections::HashMap;

use raum_core::host::OpError;
use raum_core::ruleset::{Family, Rule, Ruleset, Table};
use rustix::io::Errno;

use crate::errno;
use crate::message::{Answer, Attribute, Attributes, Requests};
use crate::socket::{Protocol, Reply, Socket};

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 10;
/// `enum nf_tables_msg_types` (include/uapi/linux/netfilter/nf_tables.h).
const GET_TABLE: u16 = 1;
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const GET_SET: u16 = 10;
const GET_ELEMENTS: u16 = 13;
const GET_GENERATION: u16 = 16;
/// `struct nfgenmsg`: family, version, resource.
const HEADER: usize = 4;
/// How often reading begins anew when somebody changed the rules meanwhile.
const TRIES: usize = 16;

/// Reads the rules of the namespace that the socket (of protocol netfilter) was opened in: all of one generation.
///
/// # Errors
/// The kernel's refusal; EINTR if the rules change each time that they are read. A kernel without nf_tables has none.
pub fn read(socket: &mut Socket) -> Result<Ruleset, OpError> {
    read_tables(socket, |_| true)
}

/// As [`read`], without the tables of labs: a lab with ten thousand published ports costs nobody else anything.
///
/// # Errors
/// As [`read`].
pub fn read_foreign(socket: &mut Socket) -> Result<Ruleset, OpError> {
    read_tables(socket, |table| table.lab().is_none())
}

fn read_tables(socket: &mut Socket, choose: impl Fn(&Table) -> bool) -> Result<Ruleset, OpError> {
    of_one_generation(socket, |socket| read_once(socket, &choose))
}

/// What is read by several dumps, all of the same rules: begins anew when somebody changed them meanwhile. The default on a
/// kernel without nf_tables.
///
/// # Errors
/// As [`read`].
pub(crate) fn of_one_generation<T: Default>(
    socket: &mut Socket,
    mut read: impl FnMut(&mut Socket) -> Result<T, OpError>,
) -> Result<T, OpError> {
    for _ in 0..TRIES {
        let before = match generation(socket) {
            Err(error) if is_missing(&error) => return Ok(T::default()),
            before => before?,
        };
        match read(socket) {
            // a set that was listed has gone
            Err(error) if error.errno == Errno::NOENT.raw_os_error() => continue,
            Err(error) if error.errno == Errno::INTR.raw_os_error() => continue,
            Err(error) => return Err(error),
            Ok(found) if generation(socket)? == before => return Ok(found),
            Ok(_) => {}
        }
    }
    Err(errno::error(Errno::INTR.raw_os_error(), Some("the nf_tables rules change each time that they are read")))
}

/// Reads the rules of the calling thread's namespace.
///
/// # Errors
/// As [`read`]; a kernel without netfilter has no rules.
pub fn read_here() -> Result<Ruleset, OpError> {
    match Socket::open(Protocol::Netfilter) {
        Err(error) if error.errno == Errno::PROTONOSUPPORT.raw_os_error() => Ok(Ruleset::default()),
        socket => read(&mut socket?),
    }
}

/// A kernel without nf_tables answers so to its subsystem's number.
fn is_missing(error: &OpError) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].iter().any(|missing| error.errno == missing.raw_os_error())
}

/// The number of the present rules: it grows with each change.
fn generation(socket: &mut Socket) -> Result<Option<u32>, OpError> {
    let mut requests = Requests::new();
    requests.request(SUBSYSTEM << 8 | GET_GENERATION, 0, &[0; HEADER]);
    let (reply, outcomes) = socket.ask(&mut requests)?;
    outcomes.into_iter().collect::<Result<(), OpError>>()?;
    Ok(reply.answers().filter_map(split).find_map(|(_, found)| found.find(1)?.be32()))
}

fn read_once(socket: &mut Socket, choose: &dyn Fn(&Table) -> bool) -> Result<Ruleset, OpError> {
    let mut ruleset = Ruleset::default();
    for (family, found) in dump(socket, GET_TABLE, 0, &[])?.answers().filter_map(split) {
        ruleset.tables.extend(decode::table(family, found).filter(choose));
    }
    if ruleset.tables.is_empty() {
        return Ok(ruleset);
    }
    for (family, found) in dump(socket, GET_SET, 0, &[])?.answers().filter_map(split) {
        let Some(mut set) = decode::set(found) else { continue };
        let Some(table) = owner(&mut ruleset, family, found) else { continue };
        let reply = dump(socket, GET_ELEMENTS, family, &[(1, &table.name), (2, &set.name)])?;
        let lists = reply.answers().filter_map(split).filter_map(|(_, found)| found.find(3));
        set.fill(lists.flat_map(Attribute::nested).map(decode::element).collect());
        table.sets.push(set);
    }
    for (family, found) in dump(socket, GET_CHAIN, 0, &[])?.answers().filter_map(split) {
        let chain = decode::chain(Family::of(family), found);
        if let (Some(chain), Some(table)) = (chain, owner(&mut ruleset, family, found)) {
            table.chains.push(chain);
        }
    }
    // by their chains first: a node of Kubernetes has ten thousand chains, and no rule looks through all of them
    let mut rules: HashMap<(u8, String, String), Vec<Rule>> = HashMap::new();
    for (family, found) in dump(socket, GET_RULE, 0, &[])?.answers().filter_map(split) {
        let text = |kind| found.find(kind).and_then(Attribute::text).map(str::to_owned);
        if let (Some(table), Some(chain), Some(rule)) = (text(1), text(2), decode::rule(found)) {
            rules.entry((family, table, chain)).or_default().push(rule);
        }
    }
    for table in &mut ruleset.tables {
        for chain in &mut table.chains {
            let place = (table.family.number(), table.name.clone(), chain.name.clone());
            chain.rules = rules.remove(&place).unwrap_or_default();
        }
    }
    Ok(ruleset)
}

/// The table of a chain, rule or set: each has its name as the first attribute.
fn owner<'a>(ruleset: &'a mut Ruleset, family: u8, found: Attributes<'_>) -> Option<&'a mut Table> {
    let name = found.find(1).and_then(Attribute::text)?;
    ruleset.tables.iter_mut().find(|table| table.family.number() == family && table.name == name)
}

fn dump(socket: &mut Socket, message: u16, family: u8, texts: &[(u16, &str)]) -> Result<Reply, OpError> {
    let mut requests = Requests::new();
    let mut request = requests.request(SUBSYSTEM << 8 | message, 0, &[family, 0, 0, 0]);
    for (kind, text) in texts {
        request.text(*kind, text);
    }
    socket.dump(&mut requests)
}

fn split(answer: Answer<'_>) -> Option<(u8, Attributes<'_>)> {
    let (header, attributes) = answer.split(HEADER)?;
    Some((*header.first()?, attributes))
}

/// For tests: reads a message as everything that it could be, and makes words of it. How much is understood.
pub(crate) fn understood(answer: &Answer<'_>) -> usize {
    let Some((family, found)) = split(*answer) else { return 0 };
    let mut table = decode::table(family, found).unwrap_or_else(|| Table {
        family: Family::of(family),
        name: String::new(),
        handle: 0,
        dormant: false,
        comment: None,
        sets: Vec::new(),
        chains: Vec::new(),
    });
    if let Some(mut set) = decode::set(found) {
        let list = found.find(3).map(Attribute::nested).unwrap_or_default();
        set.fill(list.map(decode::element).collect());
        table.sets.push(set);
    }
    table.chains.extend(decode::chain(table.family, found));
    let rule = decode::rule(found);
    let understood = usize::from(rule.is_some()) + table.sets.len() + table.chains.len();
    if let Some(rule) = rule {
        let base = raum_core::ruleset::Base {
            kind: "filter".to_owned(),
            hook: raum_core::ruleset::Hook::Forward,
            devices: Vec::new(),
            priority: 0,
            drops: false,
        };
        let chain = raum_core::ruleset::Chain {
            name: "c".to_owned(),
            handle: 1,
            base: Some(base),
            comment: None,
            rules: vec![rule],
        };
        table.chains.push(chain);
    }
    let ruleset = Ruleset { tables: vec![table] };
    let packet = raum_core::ruleset::Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Some(6));
    let fates = ruleset.fates(raum_core::ruleset::Hook::Forward, &packet).len();
    let words = usize::from(ruleset.to_string().is_empty()) + raum_core::ruleset::translations(&ruleset).len();
    // none of the last is more than the message's own parts
    understood + fates.min(1) + words.min(1)
}
