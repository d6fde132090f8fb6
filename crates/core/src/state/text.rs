//! A state as text: one line per object, in the words of `ip`, `sysctl` and `nft`, always in the same order. For people,
//! for the expected states of tests, and for bug reports; the program itself never reads it.
//!
//! ```text
//! host: link shop-lan type bridge up mtu 1500 address 02:… group 0x72… alias raum:shop
//! host: address 10.10.0.1/24 dev shop-lan
//! host: sysctl net/ipv4/conf/shop-lan/forwarding = 1
//! host: table raum-shop chain forward: ct state established,related accept
//! netns shop-web
//! shop-web: route default via 10.10.0.1 dev eth0
//! ```

use std::fmt::{self, Display, Formatter};

use super::{Link, LinkKind, Namespace, Owner, State};
use crate::beside::ZONE;
use crate::name::{IfName, NsId};
use crate::nft::{Chain, Hook, InterfaceRef, Interfaces, Learned, Match, PortKey, PortMap, Rule, Table, Verdict};

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (id, namespace) in &self.namespaces {
            if *id != NsId::Host {
                let down = if namespace.loopback_up { "" } else { " lo down" };
                writeln!(f, "netns {id}{down}{}", foreign(namespace.owner))?;
            }
            write_namespace(f, id, namespace)?;
        }
        Ok(())
    }
}

fn write_namespace(f: &mut Formatter<'_>, id: &NsId, namespace: &Namespace) -> fmt::Result {
    for (name, link) in &namespace.links {
        writeln!(f, "{id}: link {name} {link}")?;
        for address in &link.addresses {
            let route = if link.unrouted.contains(address) { " without its subnet's route" } else { "" };
            writeln!(f, "{id}: address {address} dev {name}{route}")?;
        }
        for (address, mac) in &link.neighbours {
            writeln!(f, "{id}: neighbour {address} lladdr {mac} dev {name}")?;
        }
    }
    for route in &namespace.routes {
        writeln!(f, "{id}: route {route}")?;
    }
    for (key, value) in &namespace.sysctls {
        writeln!(f, "{id}: sysctl {key} = {value}")?;
    }
    if let Some(table) = &namespace.table {
        write_table(f, id, table, namespace.table_owner)?;
    }
    for opening in &namespace.openings {
        writeln!(f, "{id}: opening {opening}")?;
    }
    for interface in &namespace.zones {
        writeln!(f, "{id}: firewalld zone {ZONE}: {interface}")?;
    }
    Ok(())
}

fn write_table(f: &mut Formatter<'_>, id: &NsId, table: &Table, owner: Owner) -> fmt::Result {
    let name = &table.name;
    writeln!(f, "{id}: table {name}{}", foreign(owner))?;
    for (key, value) in &table.was {
        writeln!(f, "{id}: table {name} was: {key} = {value}")?;
    }
    for (set, interfaces) in &table.sets {
        let interfaces: Vec<&str> = interfaces.iter().map(IfName::as_str).collect();
        writeln!(f, "{id}: table {name} set {set}: {}", interfaces.join(", "))?;
    }
    for (set, addresses) in &table.addresses {
        let members: Vec<String> = addresses.members.iter().map(ToString::to_string).collect();
        writeln!(f, "{id}: table {name} set {set}: {}", members.join(", "))?;
    }
    for (map, what) in &table.learned {
        let kind = if matches!(what, Learned::Peer { .. }) { "set" } else { "map" };
        writeln!(f, "{id}: table {name} {kind} {map}: learned")?;
    }
    for (map, PortMap { entries, .. }) in &table.maps {
        for (PortKey { address, proto, port }, (to, target)) in entries {
            write!(f, "{id}: table {name} map {map}: ")?;
            if let Some(address) = address {
                write!(f, "{address} . ")?;
            }
            writeln!(f, "{proto} . {port} : {to} . {target}")?;
        }
    }
    for (chain, Chain { hook, rules }) in &table.chains {
        if let Some(hook) = hook {
            writeln!(f, "{id}: table {name} chain {chain}: {hook}")?;
        }
        for rule in rules {
            writeln!(f, "{id}: table {name} chain {chain}: {rule}")?;
        }
    }
    Ok(())
}

fn foreign(owner: Owner) -> &'static str {
    match owner {
        Owner::Lab => "",
        Owner::Foreign => " (foreign)",
        Owner::Leftover => " (leftover)",
    }
}

impl Display for Link {
    /// `type bridge up mtu 1500 address 02:… group 0x72…`, without name and addresses.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LinkKind::Bridge => write!(f, "type bridge")?,
            LinkKind::Veth { peer_ns, peer } => write!(f, "type veth peer {peer} netns {peer_ns}")?,
            LinkKind::Orphan => write!(f, "type veth without peer")?,
            LinkKind::Other(kind) if kind.is_empty() => write!(f, "type hardware")?,
            LinkKind::Other(kind) => write!(f, "type {kind}")?,
        }
        if let Some(master) = &self.master {
            write!(f, " master {master}")?;
        }
        if self.isolated {
            write!(f, " isolated")?;
        }
        if self.hairpin {
            write!(f, " hairpin")?;
        }
        for flag in &self.unusual {
            write!(f, " {}", flag.words(!flag.is_usual()))?;
        }
        if !self.arp {
            write!(f, " arp off")?;
        }
        let flag = if self.up { "up" } else { "down" };
        write!(f, " {flag} mtu {} address {} group {:#x}", self.mtu, self.mac, self.group)?;
        if let Some(alias) = &self.alias {
            write!(f, " alias {alias}")?;
        }
        if let Some(altname) = &self.altname {
            write!(f, " altname {altname}")?;
        }
        f.write_str(foreign(self.owner))
    }
}

impl Display for Hook {
    /// As in a chain of `nft list ruleset`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hook::RawPrerouting => "type filter hook prerouting priority raw",
            Hook::DnatPrerouting => "type nat hook prerouting priority dstnat",
            Hook::DnatOutput => "type nat hook output priority dstnat",
            Hook::SnatPostrouting => "type nat hook postrouting priority srcnat",
            Hook::Learn => "type filter hook postrouting priority 101",
            Hook::FilterForward => "type filter hook forward priority filter",
            Hook::FilterInput => "type filter hook input priority filter",
            Hook::FilterOutput => "type filter hook output priority filter",
        })
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for m in &self.matches {
            write!(f, "{m} ")?;
        }
        write!(f, "{}", self.verdict)
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ip = |prefix: &ipnet::IpNet| if prefix.addr().is_ipv6() { "ip6" } else { "ip" };
        let unequal = |not: bool| if not { "!= " } else { "" };
        match self {
            Match::Iif(interfaces) => write!(f, "iifname {interfaces}"),
            Match::Oif(interfaces) => write!(f, "oifname {interfaces}"),
            Match::Saddr { prefix, not } => write!(f, "{} saddr {}{prefix}", ip(prefix), unequal(*not)),
            Match::Daddr { prefix, not } => write!(f, "{} daddr {}{prefix}", ip(prefix), unequal(*not)),
            Match::Family { v6: false } => f.write_str("meta nfproto ipv4"),
            Match::Family { v6: true } => f.write_str("meta nfproto ipv6"),
            Match::ToLocal => f.write_str("fib daddr type local"),
            Match::Established => f.write_str("ct state established,related"),
            Match::Dnatted => f.write_str("ct status dnat"),
            Match::Original => f.write_str("ct direction original"),
            Match::Proto(proto) => write!(f, "meta l4proto {proto}"),
            Match::Ports { proto, first, last } if first == last => write!(f, "{proto} dport {first}"),
            Match::Ports { proto, first, last } => write!(f, "{proto} dport {first}-{last}"),
            Match::Icmp { v6 } => write!(f, "meta l4proto {}", if *v6 { "ipv6-icmp" } else { "icmp" }),
            Match::LinkWork => f.write_str("icmpv6 type 130-143"),
            Match::SaddrIn { v6, set } => write!(f, "{} saddr @{set}", if *v6 { "ip6" } else { "ip" }),
            Match::DaddrIn { v6, set } => write!(f, "{} daddr @{set}", if *v6 { "ip6" } else { "ip" }),
            Match::PortTaken { v6 } => write!(f, "source port taken in @{}", Learned::address_map(*v6)),
            Match::FromPeer { v6 } => write!(f, "sender and port in @{}", Learned::peers(*v6)),
        }
    }
}

impl Display for Interfaces {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let not = if self.not { "!= " } else { "" };
        match &self.which {
            InterfaceRef::Name(name) => write!(f, "{not}\"{name}\""),
            InterfaceRef::Set(set) => write!(f, "{not}@{set}"),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Masquerade => f.write_str("masquerade"),
            Verdict::MasqueradeRandom => f.write_str("masquerade fully-random"),
            Verdict::Learn { what, v6, timeout_s } => {
                let into = what.learned(*v6).into_iter().next().map_or("", |into| into.name(*v6));
                write!(f, "learn in @{into} for {timeout_s}s")
            }
            Verdict::DnatLearned { v6 } => write!(f, "dnat to @{}", Learned::address_map(*v6)),
            Verdict::Snat(to) => write!(f, "snat to {to}"),
            Verdict::SnatRandom(to) => write!(f, "snat to {to} fully-random"),
            Verdict::SnatMapped { to, by_remote } => {
                let by = if *by_remote { " by destination" } else { "" };
                write!(f, "snat to {to} with the port in @{}{by}", Learned::mappings(to.is_ipv6()))
            }
            Verdict::DnatMap { map } => write!(f, "dnat to @{map}"),
            Verdict::Unknown(text) => write!(f, "# not raum's: {text}"),
        }
    }
}
