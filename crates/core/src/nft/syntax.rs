//! A table in the language of `nft`: what a person reads, and what `nft -f` makes the same table of.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Chain, EntryChange, Hook, InterfaceRef, Interfaces, Learned, Match, PortKey, PortMap, Rule, Table, Verdict,
};
use crate::lab::mark;

impl EntryChange {
    /// Lines for `nft -f` that make the change in a table.
    #[must_use]
    pub fn to_nft(&self, table: &str) -> String {
        let line = |verb: &str, entries: Vec<String>| match entries.is_empty() {
            true => String::new(),
            false => format!("{verb} element inet {table} {} {{ {} }}\n", self.map, entries.join(", ")),
        };
        let keys = self.del.iter().map(|(key, _)| map_key(key)).collect();
        let entries = self.add.iter().map(|(key, to)| map_element((key, to))).collect();
        line("delete", keys) + &line("add", entries)
    }
}

impl Table {
    /// The table as `table inet NAME { … }`, as `nft -f` reads it. Where the table exists already it must be deleted before, in the
    /// same file, so that it is replaced and not added to: [`Table::to_nft_replacing`].
    ///
    /// An interface whose name has a `"` cannot be written in this language: nft refuses the result, it does not do something
    /// else. A rule that raum does not know ([`Verdict::Unknown`]) becomes a comment.
    #[must_use]
    pub fn to_nft(&self) -> String {
        let mut blocks = vec![format!("\tcomment {}\n", quoted(&mark(&self.lab)))];
        for (n, (key, value)) in self.was.iter().enumerate() {
            blocks.push(format!("\tchain was-{n} {{\n\t\tcomment {}\n\t}}\n", quoted(&format!("{key}={value}"))));
        }
        for (name, interfaces) in &self.sets {
            let elements: Vec<_> = interfaces.iter().map(|name| interface(name.as_str())).collect();
            blocks.push(block("set", name, "ifname", &elements));
        }
        for (name, set) in &self.addresses {
            let elements: Vec<_> = set.members.iter().map(ToString::to_string).collect();
            blocks.push(block("set", name, if set.v6 { "ipv6_addr" } else { "ipv4_addr" }, &elements));
        }
        for (name, learned) in &self.learned {
            let (what, of) = learned_type(*learned);
            blocks
                .push(format!("\t{what} {name} {{\n\t\ttype {of}\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t}}\n"));
        }
        for (name, map) in &self.maps {
            blocks.push(block("map", name, &map_type(map), &map_elements(map)));
        }
        blocks.extend(self.chains.iter().map(|(name, chain)| self.chain(name, chain)));
        format!("table inet {} {{\n{}}}\n", self.name, blocks.join("\n"))
    }

    /// A file for `nft -f` after which the table is exactly this, whatever it was; nft runs a file as one transaction.
    #[must_use]
    pub fn to_nft_replacing(&self) -> String {
        // the first line makes the second one possible where there is no table
        format!("table inet {0} {{ }}\ndelete table inet {0}\n{1}", self.name, self.to_nft())
    }

    fn chain(&self, name: &str, chain: &Chain) -> String {
        let mut text = format!("\tchain {name} {{\n");
        if let Some(hook) = chain.hook {
            text.push_str(&format!("\t\ttype {}; policy accept;\n", hook_text(hook)));
        }
        for rule in &chain.rules {
            text.push_str(&format!("\t\t{}\n", self.rule(rule)));
        }
        text + "\t}\n"
    }

    fn rule(&self, rule: &Rule) -> String {
        let mut words: Vec<String> = rule.matches.iter().map(condition).collect();
        words.push(match &rule.verdict {
            Verdict::Accept => "accept".to_owned(),
            Verdict::Drop => "drop".to_owned(),
            Verdict::Jump(chain) => format!("jump {chain}"),
            Verdict::Masquerade => "masquerade".to_owned(),
            Verdict::MasqueradeRandom => "masquerade fully-random".to_owned(),
            Verdict::Learn { what, v6, timeout_s } => {
                let updates: Vec<String> =
                    what.learned(*v6).into_iter().map(|into| update(into, *v6, *timeout_s)).collect();
                updates.join(" ")
            }
            Verdict::DnatLearned { v6 } => {
                let (family, key) = (if *v6 { "ip6" } else { "ip" }, "meta l4proto . th dport map");
                let (address, port) = (Learned::address_map(*v6), Learned::port_map(*v6));
                format!("dnat {family} to {key} @{address} : {key} @{port}")
            }
            Verdict::Snat(to) => format!("snat {} to {to}", ip(to.is_ipv6())),
            Verdict::SnatRandom(to) => format!("snat {} to {to} fully-random", ip(to.is_ipv6())),
            Verdict::SnatMapped { to, by_remote } => {
                let (family, map) = (ip(to.is_ipv6()), Learned::mappings(to.is_ipv6()));
                let remote = if *by_remote { format!(" . ct original {family} daddr") } else { String::new() };
                format!("snat {family} to {to} : meta l4proto . {family} saddr . th sport{remote} map @{map}")
            }
            Verdict::DnatMap { map } => {
                let family = |map: &PortMap| if map.v6 { "ip6" } else { "ip" };
                let by_address = |map: &PortMap| map.by_address.then(|| format!("{} daddr . ", family(map)));
                let (to, address) = self.maps.get(map).map_or(("ip", None), |map| (family(map), by_address(map)));
                format!("dnat {to} to {}meta l4proto . th dport map @{map}", address.unwrap_or_default())
            }
            Verdict::Unknown(text) => return format!("# not raum's: {}", one_line(text)),
        });
        words.join(" ")
    }
}

fn ip(v6: bool) -> &'static str {
    if v6 { "ip6" } else { "ip" }
}

/// `map` or `set`, and its type.
fn learned_type(learned: Learned) -> (&'static str, String) {
    let address = |v6: bool| if v6 { "ipv6_addr" } else { "ipv4_addr" };
    match learned {
        Learned::Address { v6 } => ("map", format!("inet_proto . inet_service : {}", address(v6))),
        Learned::Port => ("map", "inet_proto . inet_service : inet_service".to_owned()),
        Learned::Peer { v6 } => ("set", format!("inet_proto . inet_service . {}", address(v6))),
        Learned::Mapping { v6, by_remote } => {
            let remote = if by_remote { format!(" . {}", address(v6)) } else { String::new() };
            ("map", format!("inet_proto . {} . inet_service{remote} : inet_service", address(v6)))
        }
    }
}

/// What writes into it, with what the packet has.
fn update(into: Learned, v6: bool, timeout_s: u32) -> String {
    let family = ip(v6);
    let outer = "meta l4proto . th sport";
    let (key, data) = match into {
        Learned::Address { .. } => (outer.to_owned(), format!(" : ct original {family} saddr")),
        Learned::Port => (outer.to_owned(), " : ct original proto-src".to_owned()),
        Learned::Peer { .. } => (format!("{outer} . ct original {family} daddr"), String::new()),
        Learned::Mapping { by_remote, .. } => {
            let remote = if by_remote { format!(" . ct original {family} daddr") } else { String::new() };
            let sender = format!("meta l4proto . ct original {family} saddr . ct original proto-src");
            (format!("{sender}{remote}"), " : th sport".to_owned())
        }
    };
    format!("update @{} {{ {key} timeout {timeout_s}s{data} }}", into.name(v6))
}

fn block(what: &str, name: &str, of: &str, elements: &[String]) -> String {
    let mut text = format!("\t{what} {name} {{\n\t\ttype {of}\n");
    if !elements.is_empty() {
        text.push_str(&format!("\t\telements = {{ {} }}\n", elements.join(",\n\t\t\t     ")));
    }
    text + "\t}\n"
}

fn map_type(map: &PortMap) -> String {
    let address = if map.v6 { "ipv6_addr" } else { "ipv4_addr" };
    let key = if map.by_address { format!("{address} . ") } else { String::new() };
    format!("{key}inet_proto . inet_service : {address} . inet_service")
}

fn map_elements(map: &PortMap) -> Vec<String> {
    map.entries.iter().map(map_element).collect()
}

fn map_element((key, (address, port)): (&PortKey, &(IpAddr, u16))) -> String {
    format!("{} : {address} . {port}", map_key(key))
}

fn map_key(key: &PortKey) -> String {
    let address = key.address.map(|address| format!("{address} . ")).unwrap_or_default();
    format!("{address}{} . {}", key.proto, key.port)
}

fn hook_text(hook: Hook) -> &'static str {
    match hook {
        Hook::RawPrerouting => "filter hook prerouting priority -300",
        Hook::DnatPrerouting => "nat hook prerouting priority -100",
        Hook::DnatOutput => "nat hook output priority -100",
        Hook::SnatPostrouting => "nat hook postrouting priority 100",
        Hook::Learn => "filter hook postrouting priority 101",
        Hook::FilterForward => "filter hook forward priority 0",
        Hook::FilterInput => "filter hook input priority 0",
        Hook::FilterOutput => "filter hook output priority 0",
    }
}

fn condition(one: &Match) -> String {
    match one {
        Match::Iif(interfaces) => format!("iifname {}", which(interfaces)),
        Match::Oif(interfaces) => format!("oifname {}", which(interfaces)),
        Match::Saddr { prefix, not } => address("saddr", *prefix, *not),
        Match::Daddr { prefix, not } => address("daddr", *prefix, *not),
        Match::Family { v6 } => format!("meta nfproto ipv{}", if *v6 { 6 } else { 4 }),
        Match::ToLocal => "fib daddr type local".to_owned(),
        Match::Established => "ct state established,related".to_owned(),
        Match::Dnatted => "ct status dnat".to_owned(),
        Match::Original => "ct direction original".to_owned(),
        Match::Proto(proto) => format!("meta l4proto {proto}"),
        Match::Ports { proto, first, last } if first == last => format!("{proto} dport {first}"),
        Match::Ports { proto, first, last } => format!("{proto} dport {first}-{last}"),
        Match::Icmp { v6 } => format!("meta l4proto {}", if *v6 { "ipv6-icmp" } else { "icmp" }),
        Match::LinkWork => "icmpv6 type 130-143".to_owned(),
        Match::SaddrIn { v6, set } => format!("{} saddr @{set}", if *v6 { "ip6" } else { "ip" }),
        Match::DaddrIn { v6, set } => format!("{} daddr @{set}", if *v6 { "ip6" } else { "ip" }),
        Match::PortTaken { v6 } => format!("meta l4proto . th sport @{}", Learned::address_map(*v6)),
        Match::FromPeer { v6 } => format!("meta l4proto . th dport . {} saddr @{}", ip(*v6), Learned::peers(*v6)),
    }
}

fn which(interfaces: &Interfaces) -> String {
    let which = match &interfaces.which {
        InterfaceRef::Name(name) => interface(name.as_str()),
        InterfaceRef::Set(set) => format!("@{set}"),
    };
    format!("{}{which}", negation(interfaces.not))
}

fn address(field: &str, prefix: IpNet, not: bool) -> String {
    let family = if matches!(prefix, IpNet::V6(_)) { "ip6" } else { "ip" };
    let is_host = prefix.prefix_len() == prefix.max_prefix_len();
    let value = if is_host { prefix.addr().to_string() } else { prefix.trunc().to_string() };
    format!("{family} {field} {}{value}", negation(not))
}

fn negation(not: bool) -> &'static str {
    if not { "!= " } else { "" }
}

/// An interface's name; a `*` at its end would else mean every name that begins so.
fn interface(name: &str) -> String {
    match name.strip_suffix('*') {
        Some(stem) => quoted(&format!("{stem}\\*")),
        None => quoted(name),
    }
}

/// A text in quotes. The language has no way to write a quote inside: then the result is no valid text at all.
fn quoted(text: &str) -> String {
    if text.contains('"') { format!("<{}: a quote cannot be written>", one_line(text)) } else { format!("\"{text}\"") }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
