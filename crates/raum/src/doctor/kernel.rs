//! Has the kernel what raum uses? Each part is made once, in a namespace without a name that goes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use raum_core::host::{Host, OpError, Outcome};
use raum_core::lab::Proto;
use raum_core::name::{IfName, LabName, Mac, NsId};
use raum_core::nft::{Chain, Hook, InterfaceRef, Interfaces, Match, PortKey, PortMap, Rule, Table, Verdict};
use raum_core::plan::{AltnameChange, LinkChange, Op, VethEnd};
use raum_kernel::release::OWNED_TABLES;
use raum_kernel::{Linux, namespace, probe};
use rustix::io::Errno;

use super::{Finding, Topic};
use crate::labs::Labs;

/// A part of the kernel, and what it takes to use it.
struct Probe {
    code: &'static str,
    what: &'static str,
    /// What raum does with it.
    uses: &'static str,
    /// The module that has it; empty if it is built in.
    module: &'static str,
    op: Op,
}

pub(super) fn examine(labs: &mut Labs) -> Vec<Finding> {
    let mut findings = vec![names()];
    let space = match namespace::fresh() {
        Ok(space) => space,
        Err(error) => return vec![no_namespaces(&error)],
    };
    findings.insert(0, Finding::ok(Topic::Kernel, "namespaces", "network namespaces can be made"));
    let lab = match LabName::new("probe") {
        Ok(lab) => lab,
        Err(_) => return findings,
    };
    let tried = namespace::in_namespace(&space, || {
        let mut host = Linux::new().map_err(|error| error.0)?;
        Ok::<_, OpError>(probes(&lab).into_iter().map(|probe| try_one(&mut host, probe)).collect::<Vec<_>>())
    });
    match tried.and_then(|tried| tried) {
        Ok(tried) => findings.extend(tried),
        Err(error) => findings.push(Finding::problem(
            Topic::Kernel,
            "netlink",
            format!("rtnetlink cannot be spoken to in a new namespace: {}", error.words()),
            "nothing can be made",
            "look whether a container or a security module forbids netlink sockets",
        )),
    }
    findings.extend(around(labs, &lab));
    findings
}

fn no_namespaces(error: &OpError) -> Finding {
    let remedy = if error.errno == Errno::NOSPC.raw_os_error() {
        "sysctl -w user.max_net_namespaces=15000"
    } else {
        "look whether a container or a security module forbids it; a kernel without CONFIG_NET_NS cannot"
    };
    let what = format!("no network namespace can be made: {}", error.words());
    Finding::problem(Topic::Kernel, "namespaces", what, "no lab can be brought up", remedy)
}

fn names() -> Finding {
    match probe::naming() {
        Ok(()) => Finding::ok(Topic::Kernel, "mounts", "namespaces can be given names under /run/netns"),
        Err(error) => Finding::problem(
            Topic::Kernel,
            "mounts",
            format!("a namespace cannot be given a name: {}", error.words()),
            "no lab can be brought up: a name is a mount under /run/netns",
            "a container needs more rights for mounts: docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined",
        ),
    }
}

fn try_one(host: &mut Linux, probe: Probe) -> Finding {
    match host.run(&[probe.op]).into_iter().next() {
        Some(Outcome::Done) => Finding::ok(Topic::Kernel, probe.code, probe.what),
        Some(Outcome::Failed(error)) => refused(probe.code, probe.what, probe.uses, probe.module, &error),
        Some(Outcome::NotRun) | None => Finding::note(
            Topic::Kernel,
            probe.code,
            format!("{}: could not be tried", probe.what),
            format!("perhaps not: {}", probe.uses),
            "run `raum doctor` again",
        ),
    }
}

fn refused(code: &'static str, what: &str, uses: &str, module: &str, error: &OpError) -> Finding {
    let remedy = if module.is_empty() {
        "a newer kernel, or one with this feature".to_owned()
    } else {
        format!("modprobe {module}")
    };
    Finding::problem(Topic::Kernel, code, format!("{what}: not here: {}", error.words()), uses, remedy)
}

/// What is read, not made: other networks, sockets, sysctls.
fn around(labs: &mut Labs, lab: &LabName) -> Vec<Finding> {
    let around = match labs.host().surroundings(lab) {
        Ok(around) => around,
        Err(error) => {
            return vec![Finding::problem(
                Topic::Kernel,
                "looking",
                format!("the host's networks cannot be read: {error}"),
                "lab files cannot be checked against them, and no lab can be brought up",
                "modprobe -a tcp_diag udp_diag inet_diag",
            )];
        }
    };
    let mut findings = vec![Finding::ok(Topic::Kernel, "looking", "the host's networks and sockets can be read")];
    if !around.ipv6 {
        findings.push(Finding::note(
            Topic::Kernel,
            "ipv6",
            "IPv6 is switched off or not in the kernel",
            "labs with IPv6 addresses cannot be brought up",
            "sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0",
        ));
    } else if !around.sysctls.keys().any(|key| key.as_str().ends_with("/force_forwarding"))
        && !around.sysctls.is_empty()
    {
        findings.push(Finding::note(
            Topic::Kernel,
            "ipv6-forwarding",
            "IPv6 can only be forwarded by the whole host or not at all (before Linux 6.17)",
            "a lab with NAT or published ports in IPv6 sets net.ipv6.conf.all.forwarding while it is up",
            "nothing to do: raum keeps the host's default route (accept_ra 2), and sets all back at `raum down`",
        ));
    } else {
        findings.push(Finding::ok(Topic::Kernel, "ipv6", "IPv6, forwarded interface by interface"));
    }
    findings.push(if OWNED_TABLES.is_here() {
        Finding::ok(Topic::Kernel, "trace", "packets can be followed through the rules")
    } else {
        Finding::note(
            Topic::Kernel,
            "trace",
            "packets cannot be followed through the rules (before Linux 5.12)",
            "raum trace says what the rules say, and whether the real packet arrives, and not how far it came",
            "a newer kernel; all else works",
        )
    });
    findings
}

/// In an order in which each can use those before it.
fn probes(lab: &LabName) -> Vec<Probe> {
    let host = || NsId::Host;
    let mut probes = Vec::new();
    let mut probe = |code, what, uses, module, op| probes.push(Probe { code, what, uses, module, op });
    if let [Some(bridge), Some(a), Some(b)] = ["bridge", "a", "b"].map(|name| IfName::new(name).ok()) {
        let add = Op::AddBridge { ns: host(), name: bridge.clone(), mac: Mac([2, 0, 0, 0, 0, 1]), mtu: 1500, group: 0 };
        probe("bridge", "bridges", "switches cannot be made", "bridge", add);
        let end = |name: IfName, last, up| {
            let mac = Mac([2, 0, 0, 0, 0, last]);
            VethEnd { ns: NsId::Host, name, mac, mtu: 1500, master: None, up }
        };
        let veth = Op::AddVeth { a: end(a, 2, true), b: end(b, 3, false), group: 0 };
        probe("veth", "veth pairs", "links cannot be made", "veth", veth);
        let altname = Some(AltnameChange::Add("a-name-longer-than-fifteen".to_owned()));
        let set = LinkChange { altname, ..LinkChange::default() };
        let op = Op::SetLink { ns: host(), name: bridge, set };
        probe("altname", "second names of interfaces (Linux 5.5)", "names longer than 15 bytes cannot be kept", "", op);
    }
    let table = |fill: &dyn Fn(&mut Table)| {
        let mut table = Table::empty(lab);
        fill(&mut table);
        Op::ReplaceTable { ns: NsId::Host, table }
    };
    let rule = |hook: Hook, matches: Vec<Match>, verdict: Verdict| {
        move |table: &mut Table| {
            let rules = vec![Rule { matches: matches.clone(), verdict: verdict.clone() }];
            table.chains.insert("chain".to_owned(), Chain { hook: Some(hook), rules });
        }
    };
    let rules = "a lab with the host as gateway, NAT or published ports cannot be brought up";
    probe("nf_tables", "nf_tables, for IPv4 and IPv6 in one table", rules, "nf_tables", table(&|_| {}));
    let forward = Hook::FilterForward;
    probe("filter", "nf_tables: filters", rules, "nf_tables", table(&rule(forward, vec![], Verdict::Drop)));
    let op = table(&rule(forward, vec![Match::Established], Verdict::Accept));
    probe("conntrack", "nf_tables: states of connections", rules, "nft_ct", op);
    let op = table(&rule(Hook::DnatPrerouting, vec![Match::ToLocal], Verdict::Accept));
    probe("nat", "nf_tables: NAT, and questions to the routing table", rules, "-a nft_chain_nat nft_fib_inet", op);
    let op = table(&rule(Hook::SnatPostrouting, vec![], Verdict::Masquerade));
    probe("masquerade", "nf_tables: masquerading", "`nat:` does not work", "-a nft_chain_nat nft_masq", op);
    let set = |table: &mut Table| {
        table.sets.insert("lab".to_owned(), IfName::new("eth0").into_iter().collect::<BTreeSet<_>>());
        let own = Interfaces { which: InterfaceRef::Set("lab".to_owned()), not: false };
        rule(forward, vec![Match::Iif(own)], Verdict::Accept)(table);
    };
    probe("sets", "nf_tables: sets", rules, "nf_tables", table(&set));
    let ports = |v6: bool| {
        move |table: &mut Table| {
            let ip = if v6 { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
            let key = PortKey { address: Some(ip), proto: Proto::Tcp, port: 80 };
            let map = PortMap { v6, by_address: true, entries: BTreeMap::from([(key, (ip, 80))]) };
            table.maps.insert("ports".to_owned(), map);
            let matches = vec![Match::Family { v6 }];
            rule(Hook::DnatPrerouting, matches, Verdict::DnatMap { map: "ports".to_owned() })(table);
        }
    };
    let uses = "`publish:` and `forward:` do not work";
    probe("dnat", "nf_tables: DNAT through maps, IPv4", uses, "-a nft_chain_nat nft_nat", table(&ports(false)));
    probe("dnat6", "nf_tables: DNAT through maps, IPv6", uses, "-a nft_chain_nat nft_nat", table(&ports(true)));
    let op = Op::FlushFlows { ns: host(), flows: BTreeSet::from([(Proto::Udp, 9)]) };
    let uses = "a change of published UDP ports is only seen by new flows";
    probe("ctnetlink", "connections can be listed and forgotten", uses, "nf_conntrack_netlink", op);
    probes
}
