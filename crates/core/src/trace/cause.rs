//! What can be wrong, each with its name, a sentence, and the command that mends it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::view::{Owner, Room};

/// The causes that are told apart. docs/trace.md is the table of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// An interface on the way is down.
    InterfaceDown,
    /// A cable leads to nothing: its other end is out of sight, or is in no bridge and has no address.
    PeerMissing,
    /// An interface has no carrier, though all that can be seen of it is up.
    NoCarrier,
    /// An interface neither asks for neighbours nor answers them (`arp off`).
    ArpOff,
    /// An interface takes no IPv6 (`disable_ipv6`).
    Ipv6Off,
    /// There is no address to send from.
    NoAddress,
    /// Both are on one wire, but a prefix says otherwise.
    WrongPrefix,
    /// Two have the same address.
    DuplicateAddress,
    /// There is no route.
    NoRoute,
    /// A route forbids it (`unreachable`, `prohibit`, `blackhole`).
    RouteForbids,
    /// A rule of the routing policy forbids it (`ip rule … prohibit`).
    RuleForbids,
    /// Nobody has the gateway's address.
    WrongGateway,
    /// The gateway is there, but cannot be reached this way.
    GatewayUnreachable,
    /// There is no route for the answer.
    NoReturnRoute,
    /// A namespace on the way passes nothing on.
    ForwardingOff,
    /// The reverse path filter drops it.
    RpFilter,
    /// Nobody answers for an address.
    NeighbourFailed,
    /// The kernel's neighbour table is full.
    NeighbourTableFull,
    /// A permanent neighbour entry has another hardware address than who is there.
    StaticNeighbour,
    /// A bridge's port does not pass packets.
    PortDown,
    /// A bridge's port gets only what is for those whom the bridge knows there, and it learns nobody.
    PortDeaf,
    /// Two isolated ports of a bridge.
    PortIsolated,
    /// A packet must leave a bridge where it came in.
    HairpinOff,
    /// Large packets vanish.
    MtuBlackHole,
    /// A private source goes out untranslated, and nobody can answer it.
    NatMissing,
    /// A foreign rule translated what was not meant for it.
    NatForeign,
    /// A forward leads to nobody.
    DnatDead,
    /// Nobody listens.
    NobodyListens,
    /// Somebody listens, but on another address.
    ListensElsewhere,
    /// A rule of a lab's own table drops it.
    FilterOwn,
    /// A rule of somebody else's table drops it.
    FilterForeign,
    /// A chain's policy drops it.
    FilterPolicy,
    /// The connection tracking table is full.
    ConntrackFull,
    /// A bridge's packets go through the rules of its namespace, and are dropped there.
    BrNetfilter,
    /// Echo requests are ignored there.
    EchoIgnored,
    /// A namespace is gone.
    NamespaceGone,
    /// It is dropped, and nothing that raum knows explains it.
    Unexplained,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the word of the JSON
        let text = serde_json::to_value(self).ok();
        f.write_str(text.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unexplained"))
    }
}

/// Why a packet does not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Which one.
    pub code: Code,
    /// In which namespace.
    pub namespace: String,
    /// One sentence, without a full stop.
    pub what: String,
    /// The command that mends it; with `<…>` where only the user can know.
    pub mend: Option<String>,
    /// It befalls the answer.
    pub answer: bool,
    /// Somebody else may get the packet than who is meant: that it is answered says nothing against it.
    #[serde(skip)]
    pub astray: bool,
}

impl Cause {
    /// A cause on the way there.
    #[must_use]
    pub fn new(code: Code, namespace: &str, what: impl Into<String>, mend: Option<String>) -> Self {
        Self { code, namespace: namespace.to_owned(), what: what.into(), mend, answer: false, astray: false }
    }

    /// Somebody else may get the packet.
    #[must_use]
    pub(super) fn astray(self) -> Self {
        Self { astray: true, ..self }
    }
}

/// Where only the user can know.
const BLANKS: [&str; 8] =
    ["<gateway>", "<address>", "<length>", "<port>", "<bridge>", "<match>", "<out>", "<namespace>"];

/// Nothing that a shell or nft would take for more than a word? Names are other people's.
fn is_plain(text: &str) -> bool {
    let text = BLANKS.iter().fold(text.to_owned(), |text, blank| text.replace(blank, ""));
    text.chars().all(|c| c.is_ascii_alphanumeric() || "._:/@%+,=-".contains(c))
}

/// A word for a shell.
#[must_use]
pub fn word(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn words(text: &str) -> String {
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `ip` inside a namespace.
#[must_use]
pub fn ip(room: &Room, rest: &str) -> String {
    let rest = words(rest);
    if room.owner == Owner::Host {
        return format!("ip {rest}");
    }
    match named(room) {
        Some(name) => format!("ip -n {} {rest}", word(name)),
        None => format!("{} ip {rest}", enter(room)),
    }
}

/// Any other command inside a namespace.
#[must_use]
pub fn inside(room: &Room, command: &str) -> String {
    let command = words(command);
    if room.owner == Owner::Host {
        return command;
    }
    match named(room) {
        Some(name) => format!("ip netns exec {} {command}", word(name)),
        None => format!("{} {command}", enter(room)),
    }
}

/// `nft` inside a namespace; None if a name in it would be more than a name for nft, which reads its arguments as one text.
#[must_use]
pub fn nft(room: &Room, rest: &str) -> Option<String> {
    rest.split(' ').all(is_plain).then(|| inside(room, &format!("nft {rest}")))
}

fn named(room: &Room) -> Option<&str> {
    let name = room.paths.iter().find_map(|path| path.strip_prefix("/run/netns/"))?;
    (!name.contains('/')).then_some(name)
}

fn enter(room: &Room) -> String {
    match (room.paths.first(), room.processes.first()) {
        (Some(path), _) => format!("nsenter {}", word(&format!("--net={path}"))),
        (None, Some(process)) => format!("nsenter --net --target {}", process.pid),
        (None, None) => "nsenter --net=<namespace>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_peoples_names_are_words_and_nothing_else() {
        let mut room = Room::new("x".to_owned(), 1, Owner::Named);
        room.paths = vec!["/run/netns/a;b".to_owned()];
        assert_eq!(ip(&room, "link set $(reboot) up"), "ip -n 'a;b' link set '$(reboot)' up");
        assert_eq!(ip(&room, "link set it's up"), "ip -n 'a;b' link set 'it'\\''s' up");
        assert_eq!(ip(&room, "route add default via <gateway>"), "ip -n 'a;b' route add default via <gateway>");
        assert_eq!(nft(&room, "delete rule ip nat x;flush handle 3"), None);
        assert_eq!(
            nft(&room, "delete rule ip nat x handle 3"),
            Some("ip netns exec 'a;b' nft delete rule ip nat x handle 3".to_owned())
        );
    }
}
