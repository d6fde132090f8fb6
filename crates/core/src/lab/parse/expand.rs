//! From the file as written to the lab: ranges expanded, names unique, `host` in its place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use super::file::{FilterFile, LabFile, LabFilterFile, LinkEndFile, LinkFile, NamespaceFile, OnFile, SwitchFile};
use super::form::{Expect, LinkEnd, Names, OnEnd, RawEnd, RawParty, Subnet};
use super::general::Either;
use super::read::Reader;
use super::tree::PROBLEMS_MAX;
use crate::lab::expect::{Party, Receiver};
use crate::lab::range::NODES_MAX;
use crate::lab::{At, End, Expectation, Filter, Group, Lab, Node, Switch, Wire};
use crate::name::{LabName, NodeName};
use crate::problem::Problem;

/// The most interfaces, addresses, routes and ports of a lab, ranges expanded: what fits into memory easily.
const THINGS_MAX: u64 = 1 << 20;

/// The most expectations of a lab, ranges expanded: each is tried with packets of its own.
const EXPECT_MAX: usize = 1 << 16;

/// The lab of a file.
pub(super) fn lab(file: LabFile, fallback_name: &LabName, reader: &mut Reader) -> Option<Lab> {
    let name = file.lab.unwrap_or_else(|| At::nowhere(fallback_name.clone()));
    let mut room = Room { reader, nodes: 0, things: 0, names: HashMap::new() };
    let switches = room.switches(file.switches.map(|named| named.0).unwrap_or_default())?;
    let mut nodes = room.nodes(file.namespaces.map(|named| named.0).unwrap_or_default())?;
    let links = room.links(file.links.map(|list| list.0).unwrap_or_default())?;
    if !nodes.iter().any(|node| node.name.is_host())
        && let Some(end) = links.iter().flat_map(|link| &link.ends).find(|end| end.to.is_host())
    {
        nodes.push(Node::new(end.to.clone()));
    }
    let groups = room.groups(file.groups.map(|named| named.0).unwrap_or_default())?;
    let filter = file.filter.and_then(lab_filter);
    let expect = room.expectations(file.expect.map(|list| list.0).unwrap_or_default())?;
    Some(Lab { name, switches, nodes, links, groups, filter, expect })
}

fn lab_filter(file: LabFilterFile) -> Option<Filter> {
    let (allow, deny) = (file.allow.unwrap_or_default(), file.deny.unwrap_or_default());
    Some(Filter { default: file.default?, outgoing: None, allow, deny })
}

fn node_filter(file: FilterFile) -> Option<Filter> {
    let (allow, deny) = (file.allow.unwrap_or_default(), file.deny.unwrap_or_default());
    Some(Filter { default: file.default?, outgoing: file.outgoing, allow, deny })
}

/// Counts, and knows the names that are taken.
struct Room<'r> {
    reader: &'r mut Reader,
    nodes: u32,
    things: u64,
    /// Name, what it is, where.
    names: HashMap<NodeName, (&'static str, Range<usize>)>,
}

impl Room<'_> {
    /// Room for the names of an entry, each with so many things; none if the lab becomes too big.
    fn take(&mut self, names: &At<Names>, things: usize) -> Option<()> {
        self.nodes = self.nodes.saturating_add(names.0.count());
        let things = u64::try_from(things).unwrap_or(u64::MAX);
        self.things = self.things.saturating_add(things.saturating_mul(u64::from(names.0.count())));
        if self.nodes > NODES_MAX {
            self.reader.report(
                Problem::new(format!("the lab has more than {NODES_MAX} namespaces and switches"), names.span.clone())
                    .label("too many with these"),
            );
            return None;
        }
        self.enough_things(&names.span)
    }

    fn enough_things(&mut self, span: &Range<usize>) -> Option<()> {
        if self.things > THINGS_MAX {
            self.reader.report(
                Problem::new(
                    format!("the lab has more than {THINGS_MAX} interfaces, addresses, routes and ports"),
                    span.clone(),
                )
                .label("too many with these"),
            );
            return None;
        }
        Some(())
    }

    /// The names of an entry that are not taken yet; reports the others.
    fn names(&mut self, names: &At<Names>, what: &'static str) -> Vec<(u32, At<NodeName>)> {
        let mut good = Vec::new();
        for at in 0..names.0.count() {
            if self.reader.problems.len() >= PROBLEMS_MAX {
                break;
            }
            let name = match names.0.name(at) {
                Ok(name) => At::new(name, names.span.clone()),
                Err(error) => {
                    self.reader.report(Problem::new(error.to_string(), names.span.clone()));
                    break;
                }
            };
            if let Some((other, place)) = self.names.get(&name.value) {
                let (message, here, there) = if *other == what {
                    (format!("{what} `{}` stands here twice", *name), "again here", "first here")
                } else {
                    (format!("`{}` is a switch and a namespace", *name), "the namespace", "the switch")
                };
                self.reader.report(
                    Problem::new(message, name.span)
                        .label(here)
                        .related(place.clone(), there)
                        .help("each name stands for one switch or namespace of the lab"),
                );
                // one problem for a range, not one for each of its names
                break;
            }
            self.names.insert(name.value.clone(), (what, names.span.clone()));
            good.push((at, name));
        }
        good
    }

    fn switches(&mut self, files: Vec<(At<Names>, SwitchFile)>) -> Option<Vec<Switch>> {
        let mut switches = Vec::new();
        for (names, file) in files {
            let (subnets, chosen) = Subnet::apart(file.subnet.as_deref().unwrap_or_default());
            self.take(&names, 1 + subnets.len())?;
            if names.0.as_str() == "host" {
                self.reader.report(
                    Problem::new("`host` cannot be a switch", names.span.clone())
                        .label("reserved for the machine itself")
                        .help("give the switch another name"),
                );
                continue;
            }
            self.one_of_each_family(&subnets, |net| net.addr(), "subnet");
            if names.0.count() > 1 {
                self.not_for_many(&names, subnets.first().map(|at| at.span.clone()), "a subnet");
                self.not_for_many(&names, file.mac.as_ref().map(|at| at.span.clone()), "a hardware address");
            }
            for (_, name) in self.names(&names, "switch") {
                switches.push(Switch {
                    name,
                    subnets: subnets.clone(),
                    chosen: chosen.clone(),
                    gateway: file.gateway.clone(),
                    nat: file.nat.clone().and_then(|nat| nat.0),
                    place: file.place.clone().filter(|place| !place.is_host()),
                    mtu: file.mtu.as_ref().map(|at| At::new(at.value.value, at.span.clone())),
                    mac: file.mac.clone(),
                    isolated: file.isolated.clone(),
                });
            }
        }
        Some(switches)
    }

    fn groups(&mut self, files: Vec<(At<Names>, Vec<At<Names>>)>) -> Option<Vec<Group>> {
        let mut groups = Vec::new();
        for (names, members) in files {
            let count: u64 = members.iter().map(|at| u64::from(at.0.count())).sum();
            self.things = self.things.saturating_add(count);
            self.enough_things(&names.span)?;
            if names.0.is_range() {
                self.reader.report(
                    Problem::new("a group has one name", names.span.clone())
                        .label("a range")
                        .help("write the range as a member: `groups: { many: \"n[1-9]\" }`"),
                );
                continue;
            }
            let name_at = |at: u32, of: &At<Names>| of.0.name(at).ok().map(|name| At::new(name, of.span.clone()));
            let Some(name) = name_at(0, &names) else { continue };
            let members = members.iter().flat_map(|of| (0..of.0.count()).filter_map(move |at| name_at(at, of)));
            groups.push(Group { name, members: members.collect() });
        }
        Some(groups)
    }

    fn nodes(&mut self, files: Vec<(At<Names>, NamespaceFile)>) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        for (names, file) in files {
            if names.0.as_str() == "host" {
                self.host(&file);
            }
            let on: Vec<RawEnd> = file.on.clone().unwrap_or_default().into_iter().filter_map(on_end).collect();
            let gateways = gateways(file.gateway.as_deref().unwrap_or_default());
            let routes = file.routes.unwrap_or_default();
            let publish = file.publish.unwrap_or_default();
            let forward = file.forward.unwrap_or_default();
            let things = 1
                + on.iter().map(|end| 1 + end.addresses.len()).sum::<usize>()
                + gateways.len()
                + routes.len()
                + publish.len()
                + forward.len()
                + file.filter.iter().flat_map(|f| [&f.allow, &f.deny]).flatten().map(Vec::len).sum::<usize>();
            self.take(&names, things)?;
            self.one_of_each_family(&gateways, |ip| *ip, "gateway");
            let many = names.0.count() > 1;
            if many {
                self.not_for_many(&names, publish.first().map(|at| at.span.clone()), "a port of the host");
            }
            let mut fits = true;
            for end in &on {
                fits &= self.on_fits(&names, end);
            }
            let filter = file.filter.and_then(node_filter);
            let nat = file.nat.and_then(|nat| nat.nat(self.reader));
            let all = self.names(&names, "namespace");
            if !fits {
                continue;
            }
            for (at, name) in all {
                nodes.push(Node {
                    on: on.iter().filter_map(|end| one_end(end, at)).collect(),
                    gateways: gateways.clone(),
                    routes: routes.clone(),
                    forwarding: file.forwarding.clone(),
                    nat: nat.clone(),
                    publish: publish.clone(),
                    forward: forward.clone(),
                    filter: filter.clone(),
                    ..Node::new(name)
                });
            }
        }
        Some(nodes)
    }

    /// `host` under `namespaces:` has routes only.
    fn host(&mut self, file: &NamespaceFile) {
        for (key, span) in file.places.iter().filter(|(key, _)| *key != "routes") {
            let help = match *key {
                "on" => "a switch with `gateway: host` has the host on it",
                "filter" => "raum filters in the namespaces; what comes in to the host is the host's business",
                "publish" => "`publish` stands at the namespace that the port leads to",
                "forward" => "write `publish` at the namespace that the port leads to",
                "forwarding" | "nat" => "`gateway: host` and `nat` at a switch do what is needed on the host",
                _ => "leave it out",
            };
            self.reader.report(
                Problem::new(format!("`host` can have `routes` only, not `{key}`"), span.clone())
                    .label("not for the host")
                    .help(help),
            );
        }
    }

    fn one_of_each_family<T>(&mut self, all: &[At<T>], ip: impl Fn(&T) -> IpAddr, what: &str) {
        for (at, second) in all.iter().enumerate() {
            let v4 = ip(second).is_ipv4();
            if let Some(first) = all[..at].iter().find(|first| ip(first).is_ipv4() == v4) {
                let family = if v4 { "IPv4" } else { "IPv6" };
                self.reader.report(
                    Problem::new(format!("a second {what} of {family}"), second.span.clone())
                        .label(format!("one {what} of each family is possible"))
                        .related(first.span.clone(), format!("the first {what} of {family}"))
                        .help(if what == "subnet" {
                            "it needs a switch, or a link, of its own"
                        } else {
                            "write the other one under `routes`, with a metric"
                        }),
                );
            }
        }
    }

    /// Reports what only one of the names of a range can have.
    fn not_for_many(&mut self, names: &At<Names>, span: Option<Range<usize>>, what: &str) {
        if let Some(span) = span {
            self.reader.report(
                Problem::new(format!("{what} cannot belong to all of `{}`", names.0.as_str()), span)
                    .label("for one only")
                    .related(names.span.clone(), "the range")
                    .help("leave it out, or write the names one by one"),
            );
        }
    }

    /// Does an attachment make sense for each of these names?
    fn on_fits(&mut self, names: &At<Names>, end: &RawEnd) -> bool {
        let (count, switches) = (names.0.count(), end.to.0.count());
        if switches > 1 && switches != count {
            self.reader.report(
                Problem::new(
                    format!("`{}` cannot be put on `{}`, one by one", names.0.as_str(), end.to.0.as_str()),
                    end.to.span.clone(),
                )
                .label(format!("{switches} switches"))
                .related(
                    names.span.clone(),
                    if count == 1 { "one namespace".to_owned() } else { format!("{count} namespaces") },
                )
                .help("for pairs, both ranges have the same length; for several switches, write a list"),
            );
            return false;
        }
        if count > 1 {
            self.not_for_many(names, end.addresses.first().map(|at| at.span.clone()), "an address");
            self.not_for_many(names, end.mac.as_ref().map(|at| at.span.clone()), "a hardware address");
        }
        true
    }

    fn links(&mut self, files: Vec<LinkFile>) -> Option<Vec<Wire>> {
        let mut links = Vec::new();
        for file in files {
            let Some(ends) = file.ends else { continue };
            let [Some(left), Some(right)] = ends.0.map(link_end) else { continue };
            let (a, b) = (left.to.0.count(), right.to.0.count());
            if a != b && a > 1 && b > 1 {
                self.reader.report(
                    Problem::new(format!("{a} ends cannot be linked with {b} ends"), right.to.span.clone())
                        .label(format!("{b} ends"))
                        .related(left.to.span.clone(), format!("{a} ends"))
                        .help("for pairs, both ranges have the same length"),
                );
                continue;
            }
            let count = a.max(b);
            let (subnets, chosen) = Subnet::apart(file.subnet.as_deref().unwrap_or_default());
            self.one_of_each_family(&subnets, |net| net.addr(), "subnet");
            let things = u64::try_from(2 + left.addresses.len() + right.addresses.len()).unwrap_or(u64::MAX);
            self.things = self.things.saturating_add(things.saturating_mul(u64::from(count)));
            self.enough_things(&left.to.span)?;
            if count > 1 {
                let range = if a > 1 { &left.to } else { &right.to };
                self.not_for_many(range, subnets.first().map(|at| at.span.clone()), "a subnet");
                for end in [&left, &right] {
                    self.not_for_many(range, end.addresses.first().map(|at| at.span.clone()), "an address");
                    self.not_for_many(range, end.mac.as_ref().map(|at| at.span.clone()), "a hardware address");
                    if end.to.0.count() == 1 {
                        self.not_for_many(range, end.interface.as_ref().map(|at| at.span.clone()), "one interface");
                    }
                }
            }
            for at in 0..count {
                let (Some(left), Some(right)) = (one_end(&left, at), one_end(&right, at)) else { break };
                links.push(Wire {
                    ends: [left, right],
                    subnets: subnets.clone(),
                    chosen: chosen.clone(),
                    mtu: file.mtu.as_ref().map(|at| At::new(at.value.value, at.span.clone())),
                    span: file.span.clone(),
                });
            }
        }
        Some(links)
    }
}

impl Room<'_> {
    /// Each pair of the names in ranges; nobody with himself, unless that is all that is written.
    fn expectations(&mut self, all: Vec<At<Expect>>) -> Option<Vec<At<Expectation>>> {
        let mut expectations = Vec::new();
        for At { value: expect, span } in all {
            let (from, to) = (parties(&RawParty::Names(expect.from.value.clone())), parties(&expect.to.value));
            let pairs = from.len().saturating_mul(to.len()).saturating_mul(if expect.each_other { 2 } else { 1 });
            if pairs.saturating_add(expectations.len()) > EXPECT_MAX {
                self.reader.report(
                    Problem::new(format!("the lab has more than {EXPECT_MAX} expectations"), span)
                        .label("too many with these pairs"),
                );
                return None;
            }
            let many = from.len() > 1 || to.len() > 1;
            for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (a, b))) {
                if many && a == b {
                    continue;
                }
                let ways = if expect.each_other { vec![(a, b), (b, a)] } else { vec![(a, b)] };
                for (from, to) in ways {
                    let Party::Node(from) = from else { continue };
                    let one = Expectation {
                        from: At::new(from.clone(), expect.from.span.clone()),
                        reaches: expect.reaches,
                        to: At::new(to.clone(), expect.to.span.clone()),
                        service: expect.service,
                        receiver: expect.receiver.as_ref().and_then(|at| {
                            let party = parties(&at.value.0).into_iter().next()?;
                            Some(At::new(Receiver { party, port: at.value.1 }, at.span.clone()))
                        }),
                        source: expect
                            .source
                            .as_ref()
                            .and_then(|at| Some(At::new(parties(&at.value).into_iter().next()?, at.span.clone()))),
                        over_v6: expect.over_v6,
                    };
                    expectations.push(At::new(one, span.clone()));
                }
            }
        }
        Some(expectations)
    }
}

/// Each name of a range.
fn parties(raw: &RawParty) -> Vec<Party> {
    match raw {
        RawParty::Address(ip) => vec![Party::Address(*ip)],
        RawParty::Names(names) => {
            (0..names.0.count()).filter_map(|at| names.0.name(at).ok()).map(Party::Node).collect()
        }
    }
}

fn on_end(either: Either<OnEnd, OnFile>) -> Option<RawEnd> {
    match either {
        Either::Short(at) => Some(at.value.0),
        Either::Long(file) => Some(RawEnd {
            to: file.switch?,
            interface: file.interface,
            addresses: file.address.unwrap_or_default(),
            mtu: file.mtu.map(|at| At::new(at.value.value, at.span)),
            mac: file.mac,
            down: file.down,
        }),
    }
}

fn link_end(either: Either<LinkEnd, LinkEndFile>) -> Option<RawEnd> {
    match either {
        Either::Short(at) => Some(at.value.0),
        Either::Long(file) => Some(RawEnd {
            to: file.node?,
            interface: file.interface,
            addresses: file.address.unwrap_or_default(),
            mtu: file.mtu.map(|at| At::new(at.value.value, at.span)),
            mac: file.mac,
            down: file.down,
        }),
    }
}

/// Those that are written; then, for `none`, the unspecified address of each family that none of them is of.
fn gateways(written: &[At<super::form::Gateway>]) -> Vec<At<IpAddr>> {
    let mut found: Vec<At<IpAddr>> = written
        .iter()
        .filter(|at| !at.value.0.is_unspecified())
        .map(|at| At::new(at.value.0, at.span.clone()))
        .collect();
    if let Some(none) = written.iter().find(|at| at.value.0.is_unspecified()) {
        for any in [IpAddr::from(std::net::Ipv4Addr::UNSPECIFIED), std::net::Ipv6Addr::UNSPECIFIED.into()] {
            if found.iter().all(|known| known.is_ipv6() != any.is_ipv6()) {
                found.push(At::new(any, none.span.clone()));
            }
        }
    }
    found
}

/// The end of one of the names of a range.
pub(super) fn one_end(end: &RawEnd, at: u32) -> Option<End> {
    let name = end.to.0.name(if end.to.0.count() == 1 { 0 } else { at }).ok()?;
    Some(End {
        to: At::new(name, end.to.span.clone()),
        interface: end.interface.clone(),
        addresses: end.addresses.clone(),
        mtu: end.mtu.clone(),
        mac: end.mac.clone(),
        down: end.down.clone(),
    })
}
