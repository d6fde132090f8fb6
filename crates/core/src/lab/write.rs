//! A lab back as text: what [`parse`](super::parse) reads, with ranges expanded, one value per line, in the order of the
//! lab. Comments and blank lines of the file it came from are not in it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::parse::needs_quotes;
use super::{
    Address, At, End, Filter, Forward, Lab, Nat, NatKeys, NatTimeouts, Node, Proto, Publish, RouteSpec, Switch, Wire,
};
use crate::problem::visible;
use crate::state::RouteKind;

impl fmt::Display for Lab {
    /// As a lab file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lab: {}", text(self.name.as_str()))?;
        if !self.switches.is_empty() {
            f.write_str("switches:\n")?;
            self.switches.iter().try_for_each(|switch| write_switch(f, switch))?;
        }
        if !self.nodes.is_empty() {
            f.write_str("namespaces:\n")?;
            self.nodes.iter().try_for_each(|node| write_node(f, node))?;
        }
        if !self.links.is_empty() {
            f.write_str("links:\n")?;
            self.links.iter().try_for_each(|link| write_link(f, link))?;
        }
        if !self.groups.is_empty() {
            f.write_str("groups:\n")?;
            for group in &self.groups {
                writeln!(
                    f,
                    "  {}: {}",
                    text(group.name.as_str()),
                    list(group.members.iter().map(|at| at.value.to_string()))
                )?;
            }
        }
        if let Some(one) = &self.filter {
            writeln!(f, "filter: {}", filter(one))?;
        }
        if !self.expect.is_empty() {
            f.write_str("expect:\n")?;
            self.expect.iter().try_for_each(|expect| writeln!(f, "  - {}", text(&expect.to_string())))?;
        }
        Ok(())
    }
}

fn write_switch(f: &mut fmt::Formatter<'_>, switch: &Switch) -> fmt::Result {
    writeln!(f, "  {}:", text(switch.name.as_str()))?;
    write_few(f, "subnet", subnets(&switch.subnets, switch.chosen.is_some()))?;
    write_key(f, "gateway", switch.gateway.as_ref().map(|at| text(at.as_str())))?;
    write_key(f, "nat", switch.nat.as_ref().map(nat))?;
    write_key(f, "in", switch.place.as_ref().map(|at| text(at.as_str())))?;
    write_key(f, "mtu", switch.mtu.as_ref().map(|at| at.to_string()))?;
    write_key(f, "mac", switch.mac.as_ref().map(|at| text(&at.to_string())))?;
    write_key(f, "isolated", switch.isolated.as_ref().map(|at| at.to_string()))
}

fn write_node(f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
    writeln!(f, "  {}:", text(node.name.as_str()))?;
    write_few(f, "on", node.on.iter().map(|at| end(at, "switch")))?;
    let none = node.gateways.iter().any(|at| at.is_unspecified()).then(|| "none".to_owned());
    let gateways = node.gateways.iter().filter(|at| !at.is_unspecified()).map(|at| text(&at.to_string()));
    write_few(f, "gateway", gateways.chain(none))?;
    write_few(f, "routes", node.routes.iter().map(|at| text(&at.to_string())))?;
    write_key(f, "forwarding", node.forwarding.as_ref().map(|at| at.to_string()))?;
    write_key(f, "nat", node.nat.as_ref().map(nat))?;
    write_few(f, "publish", node.publish.iter().map(|at| text(&at.to_string())))?;
    write_few(f, "forward", node.forward.iter().map(|at| text(&at.to_string())))?;
    write_key(f, "filter", node.filter.as_ref().map(filter))
}

fn filter(filter: &Filter) -> String {
    let mut parts = vec![format!("default: {}", *filter.default)];
    parts.extend(filter.outgoing.as_ref().map(|policy| format!("outgoing: {}", **policy)));
    for (key, rules) in [("allow", &filter.allow), ("deny", &filter.deny)] {
        if !rules.is_empty() {
            parts.push(format!("{key}: {}", list(rules.iter().map(|at| at.to_string()))));
        }
    }
    format!("{{ {} }}", parts.join(", "))
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.map(|value| text(&value)).collect::<Vec<_>>().join(", "))
}

fn write_link(f: &mut fmt::Formatter<'_>, link: &Wire) -> fmt::Result {
    let [left, right] = &link.ends;
    writeln!(f, "  - ends: [{}, {}]", end(left, "node"), end(right, "node"))?;
    write_few(f, "subnet", subnets(&link.subnets, link.chosen.is_some()))?;
    write_key(f, "mtu", link.mtu.as_ref().map(|at| at.to_string()))
}

fn subnets(written: &[At<IpNet>], chosen: bool) -> impl Iterator<Item = String> {
    written.iter().map(|at| text(&at.to_string())).chain(chosen.then(|| "auto".to_owned()))
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &str, value: Option<String>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(f, "    {key}: {value}"))
}

fn write_few(f: &mut fmt::Formatter<'_>, key: &str, values: impl Iterator<Item = String>) -> fmt::Result {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [] => Ok(()),
        [one] => writeln!(f, "    {key}: {one}"),
        many => writeln!(f, "    {key}: [{}]", many.join(", ")),
    }
}

fn nat(nat: &At<Nat>) -> String {
    let Some(out) = &nat.out else { return "true".to_owned() };
    let mut parts = vec![format!("out: {}", text(out.as_str()))];
    let source: Vec<String> = nat.source.iter().map(|at| text(&at.to_string())).collect();
    if !source.is_empty() {
        parts.push(format!("source: [{}]", source.join(", ")));
    }
    parts.extend(nat.like.as_ref().map(|like| format!("like: {}", **like)));
    let NatKeys { mapping, filtering, ports, hairpin, timeouts } = &nat.keys;
    parts.extend(mapping.as_ref().map(|at| format!("mapping: {}", at.word())));
    parts.extend(filtering.as_ref().map(|at| format!("filtering: {}", at.word())));
    parts.extend(ports.as_ref().map(|at| format!("ports: {}", at.word())));
    parts.extend(hairpin.as_ref().map(|at| format!("hairpin: {}", **at)));
    let NatTimeouts { udp, udp_stream, tcp, icmp } = timeouts;
    let seconds = [("udp", udp), ("udp-stream", udp_stream), ("tcp", tcp), ("icmp", icmp)];
    let seconds: Vec<String> =
        seconds.iter().filter_map(|(key, at)| Some(format!("{key}: {}", **at.as_ref()?))).collect();
    if !seconds.is_empty() {
        parts.push(format!("timeouts: {{ {} }}", seconds.join(", ")));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// The short way, if that can say it; else a mapping with the name under `key`.
fn end(end: &End, key: &str) -> String {
    if end.mtu.is_none() && end.mac.is_none() && end.down.is_none() {
        return text(&end.to_string());
    }
    let mut parts = vec![format!("{key}: {}", text(end.to.as_str()))];
    parts.extend(end.interface.as_ref().map(|at| format!("interface: {}", text(at.as_str()))));
    if !end.addresses.is_empty() {
        let addresses: Vec<String> = end.addresses.iter().map(|at| text(&at.to_string())).collect();
        parts.push(format!("address: [{}]", addresses.join(", ")));
    }
    parts.extend(end.mtu.as_ref().map(|at| format!("mtu: {}", **at)));
    parts.extend(end.mac.as_ref().map(|at| format!("mac: {}", text(&at.to_string()))));
    parts.extend(end.down.as_ref().map(|at| format!("down: {}", **at)));
    format!("{{ {} }}", parts.join(", "))
}

/// A text as a YAML scalar, in quotes where somebody could take it for something else.
fn text(text: &str) -> String {
    if !needs_quotes(text) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if is_shown(c) => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// Letters and digits of all languages are written as they are. Whatever else is not ASCII could hide, move the text about or
/// be taken for something else; so could the letters without a shape of their own (Unicode, `Default_Ignorable_Code_Point`).
fn is_shown(c: char) -> bool {
    const WITHOUT_SHAPE: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];
    c.is_alphanumeric() && visible(c) == c && !WITHOUT_SHAPE.contains(&c)
}

impl fmt::Display for End {
    /// The short way: `router:wan 203.0.113.2/30`. MTU, hardware address and `down` are not in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self.to)?;
        if let Some(interface) = &self.interface {
            write!(f, ":{}", **interface)?;
        }
        self.addresses.iter().try_for_each(|address| write!(f, " {}", **address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ip)?;
        self.prefix_len.map_or(Ok(()), |len| write!(f, "/{len}"))
    }
}

impl fmt::Display for RouteSpec {
    /// As `ip route` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RouteKind::Unicast => "",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
            RouteKind::Local => "local ",
        })?;
        match self.to {
            None => f.write_str("default")?,
            Some(to) => write!(f, "{to}")?,
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        self.metric.map_or(Ok(()), |metric| write!(f, " metric {metric}"))
    }
}

/// `[ADDRESS:]PORT[-PORT]`.
fn write_ports(f: &mut fmt::Formatter<'_>, address: Option<IpAddr>, ports: (u16, u16)) -> fmt::Result {
    match address {
        Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
        Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
        None => {}
    }
    write_range(f, ports)
}

fn write_range(f: &mut fmt::Formatter<'_>, (first, last): (u16, u16)) -> fmt::Result {
    if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
}

/// The ports of the target, as many as are taken in.
fn write_target(f: &mut fmt::Formatter<'_>, ports: (u16, u16), target: u16) -> fmt::Result {
    if ports.0 == target {
        return Ok(());
    }
    f.write_str(":")?;
    write_range(f, (target, target.saturating_add(ports.1.saturating_sub(ports.0))))
}

fn write_proto(f: &mut fmt::Formatter<'_>, proto: Proto) -> fmt::Result {
    match proto {
        Proto::Tcp => Ok(()),
        Proto::Udp | Proto::Sctp => write!(f, "/{proto}"),
    }
}

impl fmt::Display for Publish {
    /// As in a lab file; TCP and a port that stays the same are not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ports(f, self.address, self.ports)?;
        write_target(f, self.ports, self.target)?;
        write_proto(f, self.proto)
    }
}

impl fmt::Display for Forward {
    /// As in a lab file; TCP and a port that stays the same are not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(interface) = &self.interface {
            write!(f, "{} ", **interface)?;
        }
        write_ports(f, self.address, self.ports)?;
        write_proto(f, self.proto)?;
        write!(f, " -> {}", *self.node)?;
        write_target(f, self.ports, self.target)
    }
}
