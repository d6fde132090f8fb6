//! Operations as the commands that a person would type: `ip`, `nft`, `sysctl`, `conntrack`.
//!
//! [`script`] is a POSIX shell script that does the same as the plan. Names and texts are quoted where the shell needs it,
//! and always follow a keyword (`dev`, `name`) where `ip` would else take them for an option.

mod explain;
mod link;
mod shell;

pub use explain::{Explained, explain};

use ipnet::IpNet;

use crate::beside::ZONE;
use crate::lab::{Proto, mark};
use crate::name::{IfName, NsId};
use crate::plan::{Op, Plan};
use crate::state::{Route, RouteKind};
use shell::{Command, in_namespace, ip};

/// Of what is longer than this, [`beginning`] shows so much.
const SHOWN: usize = 6;

/// [`command`] for a message: a table with a thousand ports is named by its first lines, and by how many there are more.
#[must_use]
pub fn beginning(op: &Op) -> Vec<String> {
    let mut lines = command(op);
    if lines.len() > SHOWN {
        let more = lines.len() + 1 - SHOWN;
        lines.truncate(SHOWN - 1);
        lines.push(format!("… and {more} more lines"));
    }
    lines
}

/// The lines that do the same as the operation. More than one where `ip` cannot say it in one; the lines of a table are one
/// `nft` command with the rules as its input.
#[must_use]
pub fn command(op: &Op) -> Vec<String> {
    match op {
        Op::AddNamespace { name, lab } => {
            let add = Command::new("ip").words("netns add").value(name);
            vec![add.line(), link::mark_loopback(&NsId::Named(name.clone()), lab)]
        }
        Op::DelNamespace { name } => vec![Command::new("ip").words("netns del").value(name).line()],
        Op::MarkLoopback { ns, lab } => vec![link::mark_loopback(ns, lab)],
        Op::AddBridge { ns, name, mac, mtu, group } => link::add_bridge(ns, name, *mac, *mtu, *group),
        Op::AddVeth { a, b, group } => link::add_veth(a, b, *group),
        Op::SetLink { ns, name, set } => link::set(ns, name, set),
        Op::DelLink { ns, name } => vec![ip(ns).words("link del dev").value(name).line()],
        Op::DelGroup { ns, group } => vec![ip(ns).words("link del group").value(group).line()],
        Op::AddAddress { ns, link, address } => {
            let add = ip(ns).words("address replace").value(address).words("dev").value(link);
            vec![if matches!(address, IpNet::V6(_)) { add.words("nodad").line() } else { add.line() }]
        }
        Op::DelAddress { ns, link, address } => vec![del_address(ns, link, *address)],
        Op::RouteSubnet { ns, link, address } => vec![route_subnet(ns, link, *address)],
        Op::SetNeighbour { ns, link, address, mac } => {
            let replace = ip(ns).words("neigh replace").value(address).words("lladdr").value(mac);
            vec![replace.words("dev").value(link).words("nud permanent protocol static").line()]
        }
        Op::DelNeighbour { ns, link, address } => {
            vec![ip(ns).words("neigh del").value(address).words("dev").value(link).line()]
        }
        Op::SetRoute { ns, route } => vec![set_route(ns, route)],
        Op::DelRoute { ns, route } => vec![del_route(ns, route)],
        Op::SetSysctl { ns, key, value } => vec![set_sysctl(ns, key.as_str(), value)],
        Op::ReplaceTable { ns, table } => nft(ns, &table.to_nft_replacing()),
        Op::ChangeEntries { ns, table, changes } => {
            nft(ns, &changes.iter().map(|change| change.to_nft(table)).collect::<String>())
        }
        Op::DelTable { ns, name } => vec![in_namespace(ns, "nft").words("delete table inet").value(name).line()],
        Op::AddOpening { ns, opening, lab } => {
            let insert = in_namespace(ns, "nft").words("insert rule").words(&opening.family.to_string());
            let insert = insert.value(&opening.table).value(&opening.chain);
            let comment = format!("{} comment \"{}\"", opening.words(), mark(lab));
            vec![insert.value(comment).line()]
        }
        Op::DelOpening { ns, opening, lab } => {
            // nft removes rules by their numbers alone
            let nft = |words: &str| {
                let nft = in_namespace(ns, "nft").words(words).words(&opening.family.to_string());
                nft.value(&opening.table).value(&opening.chain)
            };
            let find = |text: String| Command::new("grep -F").value(text).line();
            let way = if opening.out { "oifname" } else { "iifname" };
            let rule = find(format!("{way} \"{}\" ", opening.interface));
            let own = find(format!("comment \"{}\"", mark(lab)));
            let (list, delete) = (nft("-a list chain").line(), nft("delete rule").words("handle").line());
            vec![format!("{list} | {rule} | {own} | sed 's/.*# handle //' | xargs -rn1 {delete}")]
        }
        Op::AddZone { ns, interface } => vec![zone(ns, "add", interface)],
        Op::DelZone { ns, interface } => vec![zone(ns, "remove", interface)],
        Op::FlushFlows { ns, flows } => {
            let flush = |(proto, port): &(Proto, u16), family: &str| {
                let conntrack = in_namespace(ns, "conntrack").words("-D -f").words(family);
                conntrack.words("-p").value(proto).words("--orig-port-dst").value(port).line()
            };
            flows.iter().flat_map(|flow| [flush(flow, "ipv4"), flush(flow, "ipv6")]).collect()
        }
    }
}

fn zone(ns: &NsId, verb: &str, interface: &IfName) -> String {
    let command = in_namespace(ns, "firewall-cmd -q").words(&format!("--zone={ZONE}"));
    command.words(&format!("--{verb}-interface")).value(interface).line()
}

/// The whole plan as a shell script that stops at the first failure. It undoes nothing.
#[must_use]
pub fn script(plan: &Plan) -> String {
    let mut text = "#!/bin/sh\nset -e\n".to_owned();
    let mut removed: Vec<&Op> = Vec::new();
    for stage in &plan.stages {
        text.push_str(&format!("\n# {}\n", stage.title));
        for op in &stage.ops {
            let mut lines = command(op);
            match op {
                Op::DelAddress { .. } => {
                    if removed.iter().any(|other| is_same_subnet(other, op)) {
                        // it may have gone with the first of its subnet (unless promote_secondaries is set)
                        lines.iter_mut().for_each(|line| line.push_str(" || :"));
                    }
                    removed.push(op);
                }
                // conntrack's status is 1 if there was nothing to delete
                Op::FlushFlows { .. } => {
                    lines.iter_mut().for_each(|line| line.push_str(" || test $? -eq 1"));
                }
                _ => {}
            }
            lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        }
    }
    text
}

fn is_same_subnet(one: &Op, two: &Op) -> bool {
    match (one, two) {
        (Op::DelAddress { ns: n1, link: l1, address: a1 }, Op::DelAddress { ns: n2, link: l2, address: a2 }) => {
            n1 == n2 && l1 == l2 && matches!(a1, IpNet::V4(_)) && a1.trunc() == a2.trunc()
        }
        _ => false,
    }
}

/// As the kernel makes it. Another link may be on the same subnet, so nothing is replaced.
fn route_subnet(ns: &NsId, link: &IfName, address: IpNet) -> String {
    let v6 = matches!(address, IpNet::V6(_));
    let append = ip(ns).words(if v6 { "-6 route append" } else { "route append" }).value(address.trunc());
    let append = append.words("dev").value(link).words("proto kernel");
    let append = if v6 { append.words("metric 256") } else { append.words("scope link src").value(address.addr()) };
    append.line()
}

/// One transaction.
fn nft(ns: &NsId, rules: &str) -> Vec<String> {
    let nft = in_namespace(ns, "nft").words("-f -").line();
    let end = shell::heredoc_end(rules);
    let mut lines = vec![format!("{nft} <<'{end}'")];
    lines.extend(rules.lines().map(ToOwned::to_owned));
    lines.push(end);
    lines
}

fn del_address(ns: &NsId, link: &IfName, address: IpNet) -> String {
    ip(ns).words("address del").value(address).words("dev").value(link).line()
}

fn set_route(ns: &NsId, route: &Route) -> String {
    let mut set = route_words(ip_of_family(ns, route.to).words("route replace"), route);
    if route.kind == RouteKind::Local {
        // `ip` would put it into the table `local`, where the kernel's own are
        set = set.words("table main proto static");
    }
    let is_usual = route.metric == Route::usual_metric(route.to);
    if is_usual { set.line() } else { set.words("metric").value(route.metric).line() }
}

/// Without a metric `ip route del` takes the first that matches the rest.
fn del_route(ns: &NsId, route: &Route) -> String {
    let mut del = route_words(ip_of_family(ns, route.to).words("route del"), route);
    if route.kind == RouteKind::Local {
        del = del.words("table main");
    }
    if route.metric == 0 { del.line() } else { del.words("metric").value(route.metric).line() }
}

fn ip_of_family(ns: &NsId, to: IpNet) -> Command {
    let ip = ip(ns);
    if matches!(to, IpNet::V6(_)) { ip.words("-6") } else { ip }
}

fn route_words(command: Command, route: &Route) -> Command {
    let kind = match route.kind {
        RouteKind::Unicast => command,
        RouteKind::Blackhole => command.words("blackhole"),
        RouteKind::Unreachable => command.words("unreachable"),
        RouteKind::Prohibit => command.words("prohibit"),
        RouteKind::Local => command.words("local"),
    };
    let mut command = if route.to.prefix_len() == 0 { kind.words("default") } else { kind.value(route.to) };
    if let Some(via) = route.via {
        command = command.words("via").value(via);
    }
    match &route.dev {
        Some(dev) => command.words("dev").value(dev),
        None => command,
    }
}

fn set_sysctl(ns: &NsId, key: &str, value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if key.chars().all(is_plain) {
        return in_namespace(ns, "sysctl").words("-q -w").value(format!("{key}={value}")).line();
    }
    // sysctl would take some characters of an interface's name for its own
    let tee = in_namespace(ns, "tee").value(format!("/proc/sys/{key}")).line();
    format!("{} | {tee} > /dev/null", Command::new("printf").value("%s\\n").value(value).line())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Proto;
    use crate::nft::{PortKey, PortMap, Table};

    #[test]
    fn a_message_has_the_beginning_of_a_table_and_all_of_what_is_short() {
        let mut table = Table::empty(&"shop".parse().expect("a name"));
        let entry = |port| (PortKey { address: None, proto: Proto::Tcp, port }, ([10, 0, 0, 1].into(), 80));
        let map = PortMap { v6: false, by_address: false, entries: (1..=1000).map(entry).collect() };
        table.maps.insert("publish4".to_owned(), map);
        let op = Op::ReplaceTable { ns: NsId::Host, table };
        let (all, shown) = (command(&op), beginning(&op));
        assert_eq!(shown[..5], all[..5]);
        assert_eq!(shown[5..], [format!("… and {} more lines", all.len() - 5)]);
        let op = Op::DelTable { ns: NsId::Host, name: "raum-shop".to_owned() };
        assert_eq!(beginning(&op), command(&op));
    }
}
