//! How much of it: limits that a lab of a certain size runs into.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::{Finding, Topic, number};

/// Each is None where it cannot be seen: some belong to the whole machine and are hidden in namespaces.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    /// `net.ipv4.neigh.default.gc_thresh3` and its IPv6 twin.
    neighbours: [Option<u64>; 2],
    /// Neighbours of all namespaces now (`/proc/net/stat/arp_cache`, `ndisc_cache`).
    neighbours_now: [Option<u64>; 2],
    /// `user.max_net_namespaces` of this user namespace.
    namespaces: Option<u64>,
    /// Namespaces with names now.
    named: u64,
    /// The hard limit of open files; None without limit.
    files: Option<u64>,
    /// `net.netfilter.nf_conntrack_max`
    flows: Option<u64>,
    /// `net.netfilter.nf_conntrack_count`
    flows_now: Option<u64>,
}

pub(super) fn examine() -> Vec<Finding> {
    let of_family = |path: &dyn Fn(&str) -> String| ["ipv4", "ipv6"].map(|family| number(&path(family)));
    judge(&Limits {
        neighbours: of_family(&|family| format!("/proc/sys/net/{family}/neigh/default/gc_thresh3")),
        neighbours_now: ["arp_cache", "ndisc_cache"].map(neighbours),
        namespaces: number("/proc/sys/user/max_net_namespaces"),
        named: fs::read_dir("/run/netns").map_or(0, |names| u64::try_from(names.count()).unwrap_or(u64::MAX)),
        files: getrlimit(Resource::Nofile).maximum,
        flows: number("/proc/sys/net/netfilter/nf_conntrack_max"),
        flows_now: number("/proc/sys/net/netfilter/nf_conntrack_count"),
    })
}

/// The first column of the second line, hexadecimal: entries in the table, of all namespaces (`neigh_stat_seq_show`,
/// net/core/neighbour.c).
fn neighbours(table: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/net/stat/{table}")).ok()?;
    u64::from_str_radix(text.lines().nth(1)?.split_whitespace().next()?, 16).ok()
}

fn judge(limits: &Limits) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (family, (limit, now)) in ["ipv4", "ipv6"].iter().zip(limits.neighbours.iter().zip(limits.neighbours_now)) {
        findings.extend(limit.map(|limit| neighbour_table(family, limit, now.unwrap_or(0))));
    }
    findings.extend(limits.namespaces.map(|limit| namespaces(limit, limits.named)));
    findings.push(open_files(limits.files));
    findings.extend(limits.flows.map(|limit| flows(limit, limits.flows_now.unwrap_or(0))));
    findings
}

/// The table is one for all namespaces; where each of n talks to each, it has n × (n - 1) entries.
fn neighbour_table(family: &str, limit: u64, now: u64) -> Finding {
    let code = if family == "ipv6" { "neighbours6" } else { "neighbours" };
    let (thresh2, thresh3) = (8_192, 16_384);
    let remedy = format!(
        "sysctl -w net.{family}.neigh.default.gc_thresh3={thresh3} net.{family}.neigh.default.gc_thresh2={thresh2}"
    );
    let room = limit.saturating_sub(now);
    let fit = (1..).take_while(|n: &u64| n * (n - 1) <= room).last().unwrap_or(1);
    let what =
        format!("the {family} neighbour table of all namespaces together has room for {limit}, {now} are in use");
    let effect = format!(
        "in a network of more than {fit} nodes that all talk to one another packets get lost (Neighbour table overflow)"
    );
    if room < limit / 10 {
        Finding::problem(Topic::Limits, code, what, effect, remedy)
    } else if limit < 4_096 {
        Finding::note(Topic::Limits, code, what, effect, remedy)
    } else {
        Finding::ok(Topic::Limits, code, what)
    }
}

fn namespaces(limit: u64, named: u64) -> Finding {
    let what = format!("{limit} network namespaces may be made, {named} have a name now");
    let (code, remedy) = ("namespaces", "sysctl -w user.max_net_namespaces=15000");
    let effect = format!("a lab of more than {} namespaces is refused (ENOSPC)", limit.saturating_sub(named));
    match limit.saturating_sub(named) {
        0..8 => Finding::problem(Topic::Limits, code, what, effect, remedy),
        8..256 => Finding::note(Topic::Limits, code, what, effect, remedy),
        _ => Finding::ok(Topic::Limits, code, what),
    }
}

fn open_files(hard: Option<u64>) -> Finding {
    let code = "open-files";
    let Some(hard) = hard else { return Finding::ok(Topic::Limits, code, "any number of files may be open") };
    let what = format!("{hard} files may be open");
    // two for each namespace, and some hundred besides
    if hard < 256 {
        let effect = "labs of more than a few namespaces are refused (EMFILE)";
        return Finding::problem(Topic::Limits, code, what, effect, "ulimit -n 65536");
    }
    if hard < 2_176 {
        let effect = format!("labs of more than {} namespaces take longer to bring up", (hard - 128) / 2);
        return Finding::note(Topic::Limits, code, what, effect, "ulimit -n 65536");
    }
    Finding::ok(Topic::Limits, code, what)
}

fn flows(limit: u64, now: u64) -> Finding {
    let what = format!("{limit} connections can be tracked, {now} are");
    let (code, remedy) = ("connections", "sysctl -w net.netfilter.nf_conntrack_max=262144");
    // 0 is no limit
    if limit != 0 && now >= limit - limit / 10 {
        let effect = "new connections through NAT, published ports and filters are dropped (table full)";
        return Finding::problem(Topic::Limits, code, what, effect, remedy);
    }
    if limit != 0 && limit < 8_192 {
        let effect = "new connections are dropped when the table is full";
        return Finding::note(Topic::Limits, code, what, effect, remedy);
    }
    Finding::ok(Topic::Limits, code, what)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    const ROOMY: Limits = Limits {
        neighbours: [Some(16_384); 2],
        neighbours_now: [Some(10); 2],
        namespaces: Some(15_000),
        named: 4,
        files: Some(1_048_576),
        flows: Some(262_144),
        flows_now: Some(100),
    };

    fn worst(limits: &Limits) -> Vec<(&'static str, Level)> {
        judge(limits).into_iter().filter(|f| f.level != Level::Ok).map(|f| (f.code, f.level)).collect()
    }

    #[test]
    fn a_roomy_host_is_well_and_hidden_limits_are_passed_over() {
        assert_eq!(worst(&ROOMY), []);
        assert_eq!(worst(&Limits::default()), []);
    }

    #[test]
    fn each_limit_is_told_before_it_is_reached() {
        let cases = [
            (Limits { neighbours: [Some(1_024), Some(16_384)], ..ROOMY }, ("neighbours", Level::Note)),
            (
                Limits { neighbours: [Some(16_384), Some(1_024)], neighbours_now: [None, Some(1_000)], ..ROOMY },
                ("neighbours6", Level::Problem),
            ),
            (Limits { namespaces: Some(100), ..ROOMY }, ("namespaces", Level::Note)),
            (Limits { namespaces: Some(4), ..ROOMY }, ("namespaces", Level::Problem)),
            (Limits { files: Some(1_024), ..ROOMY }, ("open-files", Level::Note)),
            (Limits { files: Some(64), ..ROOMY }, ("open-files", Level::Problem)),
            (Limits { flows: Some(4_096), ..ROOMY }, ("connections", Level::Note)),
            (Limits { flows_now: Some(262_000), ..ROOMY }, ("connections", Level::Problem)),
        ];
        for (limits, wanted) in cases {
            assert_eq!(worst(&limits), [wanted], "{limits:?}");
        }
    }

    #[test]
    fn the_neighbour_table_says_how_many_nodes_fit() {
        let told = neighbour_table("ipv4", 1_024, 0);
        assert!(told.effect.contains("more than 32 nodes"), "{}", told.effect);
    }
}
