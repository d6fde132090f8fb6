//! A table to the kernel: one batch, which holds as a whole or not at all.

use raum_core::host::OpError;
use raum_core::lab::mark;
use raum_core::nft::{Chain, EntryChange, Table};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};

use super::rule::Keys;
use super::set::{self, Element, Shape};
use super::{HEADER, INET, Message, SUBSYSTEM, comment, hook, is_missing, read, rule};
use crate::errno;
use crate::message::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, Requests};
use crate::release::Release;
use crate::socket::Socket;

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// Elements in one message; their list is one attribute, which can have 65,535 bytes, and an element has less than 128.
const ELEMENTS: usize = 400;
/// As many entries as there are ports.
const LEARNED_MAX: u32 = 65_535;
/// What a socket's buffer must hold besides the message (`netlink_sendmsg`), and below what it always does.
const SPARE: usize = 4 << 10;
const ROOM: usize = 128 << 10;

/// Makes the lab's table be exactly this, in one transaction: no packet meets a half of it.
///
/// # Errors
/// The kernel's refusal, with the part that it refuses; EEXIST if a table of this name is not the lab's. Nothing has
/// changed then.
pub fn replace(socket: &mut Socket, table: &Table) -> Result<(), OpError> {
    let there = match read::owner(socket, &table.name)? {
        None => false,
        Some(owner) if owner == mark(&table.lab) => true,
        Some(_) => {
            let text = format!("table inet {} is there and is not the lab's", table.name);
            return Err(errno::error(Errno::EXIST.raw_os_error(), Some(&text)));
        }
    };
    let mut batch = Batch::new(&table.name);
    if there {
        batch.del_table();
    }
    batch.table(table);
    batch.send(socket)
}

/// Changes entries of a table's maps, in one transaction.
///
/// # Errors
/// The kernel's refusal, with the map: ENOENT if it, or an entry that goes, is not there. Nothing has changed then.
pub fn change_entries(socket: &mut Socket, table: &str, changes: &[EntryChange]) -> Result<(), OpError> {
    let mut batch = Batch::new(table);
    for change in changes {
        let keys: Vec<Element> = change.del.iter().map(|(key, to)| (set::entry(key, *to).0, None)).collect();
        batch.elements(&change.map, Message::DelSetElem, 0, &keys);
        let entries: Vec<Element> = change.add.iter().map(|(key, to)| set::entry(key, *to)).collect();
        batch.elements(&change.map, Message::NewSetElem, NLM_F_CREATE, &entries);
    }
    batch.send(socket)
}

/// Removes a table of family `inet`.
///
/// # Errors
/// The kernel's refusal: ENOENT if there is none.
pub fn delete(socket: &mut Socket, name: &str) -> Result<(), OpError> {
    let mut batch = Batch::new(name);
    batch.del_table();
    batch.send(socket)
}

/// A table with every kind of part, as messages.
#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let lab = "sample".parse().unwrap_or_else(|_| unreachable!());
    // the simplest of all states that have a table
    let mut numbers = (0..=u8::MAX).cycle();
    let mut die = |n: u8| numbers.next().map_or(0, |number| (number / 3) % n.max(1));
    let tables = (0..40).flat_map(|_| raum_core::model::imagine::state(&lab, &mut die).namespaces.into_values());
    let Some(table) = tables.filter_map(|ns| ns.table).max_by_key(|table| format!("{table:?}").len()) else {
        return Vec::new();
    };
    let mut batch = Batch::new(&table.name);
    batch.table(&table);
    batch.requests.bytes().to_vec()
}

/// Requests, with a name for each, to say which one was refused.
struct Batch<'t> {
    name: &'t str,
    requests: Requests,
    what: Vec<String>,
    sets: u32,
}

impl<'t> Batch<'t> {
    fn new(name: &'t str) -> Self {
        let mut batch = Self { name, requests: Requests::new(), what: Vec::new(), sets: 0 };
        batch.bound(BATCH_BEGIN);
        batch
    }

    /// The first or last message: its header's resource is the subsystem, in network byte order.
    fn bound(&mut self, kind: u16) {
        let [high, low] = SUBSYSTEM.to_be_bytes();
        self.requests.request(kind, 0, &[0, 0, high, low]);
        self.what.push("nf_tables".to_owned());
    }

    fn request(&mut self, what: String, message: Message, flags: u16) -> crate::message::Request<'_> {
        self.what.push(what);
        let mut request = self.requests.request(message.kind(), flags, &HEADER);
        request.text(1, self.name);
        request
    }

    fn del_table(&mut self) {
        self.request(format!("table inet {}", self.name), Message::DelTable, 0);
    }

    /// All of a table: what is spoken of comes before who speaks of it.
    fn table(&mut self, table: &Table) {
        let what = format!("table inet {}", self.name);
        // NFTA_TABLE_FLAGS, NFTA_TABLE_USERDATA
        self.request(what, Message::NewTable, NLM_F_CREATE | NLM_F_EXCL)
            .be32(2, 0)
            .attribute(6, &comment(&mark(&table.lab)));
        for (name, members) in &table.sets {
            self.set(name, set::IFNAMES, None, &members.iter().map(set::ifname).collect::<Vec<_>>());
        }
        for (name, found) in &table.addresses {
            self.set(name, set::addresses(found.v6), None, &found.members.iter().map(set::host).collect::<Vec<_>>());
        }
        for (name, what) in &table.learned {
            self.sets += 1;
            let number = self.sets;
            let mut request = self.request(format!("set {name}"), Message::NewSet, NLM_F_CREATE);
            request.text(2, name).be32(10, number);
            set::learned(*what).write(&mut request);
            request.nest(9, |nest| {
                nest.be32(1, LEARNED_MAX);
            });
        }
        for (name, map) in &table.maps {
            let entries: Vec<Element> = map.entries.iter().map(|(key, to)| set::entry(key, *to)).collect();
            self.set(name, set::ports(map.v6, map.by_address), map.room(), &entries);
        }
        for (number, (key, value)) in table.was.iter().enumerate() {
            let name = format!("was-{number}");
            let note = comment(&format!("{key}={value}"));
            self.request(format!("chain {name}"), Message::NewChain, NLM_F_CREATE).text(3, &name).attribute(12, &note);
        }
        for (name, chain) in &table.chains {
            self.chain(name, chain);
        }
        let keys = Keys::of(Release::running());
        for (name, chain) in &table.chains {
            for (number, wanted) in chain.rules.iter().enumerate() {
                let what = format!("rule {} of chain {name}", number + 1);
                let exprs = rule::lower(wanted, table, keys);
                let mut request = self.request(what, Message::NewRule, NLM_F_CREATE | NLM_F_APPEND);
                // NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS
                request.text(2, name).nest(4, |list| exprs.iter().for_each(|expr| expr.write(list)));
            }
        }
    }

    fn chain(&mut self, name: &str, chain: &Chain) {
        let mut request = self.request(format!("chain {name}"), Message::NewChain, NLM_F_CREATE);
        request.text(3, name);
        if let Some(place) = chain.hook {
            let (kind, number, priority) = hook(place);
            // NFTA_CHAIN_TYPE, _POLICY (NF_ACCEPT), _HOOK
            request.text(7, kind).be32(5, 1).nest(4, |nest| {
                nest.be32(1, number).attribute(2, &priority.to_be_bytes());
            });
        }
    }

    fn set(&mut self, name: &str, shape: Shape, room: Option<usize>, elements: &[Element]) {
        self.sets += 1;
        let number = self.sets;
        let mut request = self.request(format!("set {name}"), Message::NewSet, NLM_F_CREATE);
        // NFTA_SET_NAME, NFTA_SET_ID
        request.text(2, name).be32(10, number);
        shape.write(&mut request);
        let room = room.or_else(|| (elements.len() > ELEMENTS).then_some(elements.len()));
        if let Some(room) = room {
            // NFTA_SET_DESC_SIZE: a table of fixed size. One that grows does so after the transaction, and whoever lists
            // it meanwhile misses elements (`nft_rhash_walk`, net/netfilter/nft_set_hash.c).
            let size = u32::try_from(room).unwrap_or(u32::MAX);
            request.nest(9, |nest| {
                nest.be32(1, size);
            });
        }
        self.elements(name, Message::NewSetElem, NLM_F_CREATE, elements);
    }

    fn elements(&mut self, name: &str, message: Message, flags: u16, elements: &[Element]) {
        for part in elements.chunks(ELEMENTS) {
            let mut request = self.request(format!("elements of set {name}"), message, flags);
            request.text(2, name).nest(3, |list| {
                for (key, data) in part {
                    list.nest(1, |element| {
                        element.nest(1, |value| {
                            value.attribute(1, key);
                        });
                        if let Some(data) = data {
                            element.nest(2, |value| {
                                value.attribute(1, data);
                            });
                        }
                    });
                }
            });
        }
    }

    fn send(mut self, socket: &mut Socket) -> Result<(), OpError> {
        self.bound(BATCH_END);
        let size = self.requests.size();
        if size > ROOM {
            // the whole batch is one datagram; without CAP_NET_ADMIN on the host, up to net/core/wmem_max
            set_socket_send_buffer_size_force(&*socket, size + SPARE)
                .or_else(|_| set_socket_send_buffer_size(&*socket, size + SPARE))
                .map_err(|cause| errno::at("the send buffer of netlink", cause))?;
        }
        let Err((position, error)) = socket.transact(&mut self.requests) else { return Ok(()) };
        // the whole batch is refused where there is no subsystem, at its first message
        if position == Some(0) && is_missing(&error) {
            let text = "the kernel has no nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)";
            return Err(errno::error(error.errno, Some(text)));
        }
        let what = position.and_then(|position| self.what.get(position)).map_or("nf_tables", String::as_str);
        let lacks = what.starts_with("rule") && error.errno == Errno::NOENT.raw_os_error();
        let hint = if lacks { "; does the kernel have nft_nat, nft_masq, nft_fib_inet and nft_ct?" } else { "" };
        Err(OpError { message: format!("{what}: {}{hint}", error.message), ..error })
    }
}

/// A request for one table, by name.
pub(super) fn get_table(name: &str) -> Requests {
    let mut requests = Requests::new();
    requests.request(Message::GetTable.kind(), 0, &[INET, 0, 0, 0]).text(1, name);
    requests
}
