//! At the limits of the kernel and of the host: either the work is done, or there is the one right message and nothing is left.
//!
//! `RAUM_HEAVY=1` for those that take minutes: as many ports and namespaces as can be, a full table of connections.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use common::{RAUM, assert_same, host_side};
use raum_kernel::message::{NLM_F_CREATE, Requests};
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Status, and all that is said, with the lab on standard input.
fn raum(args: &[&str], lab: &str, fault: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(RAUM);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(fault.map(|fault| ("RAUM_FAULT", fault)));
    let mut child = command.spawn().expect("raum");
    // one that refuses to run does not read
    drop(child.stdin.take().expect("a pipe").write_all(lab.as_bytes()));
    let output = child.wait_with_output().expect("raum");
    (output.status.code(), said(&output))
}

fn fine(args: &[&str], lab: &str) -> String {
    let (code, said) = raum(args, lab, None);
    assert_eq!(code, Some(0), "raum {args:?}: {said}");
    said
}

/// With this status and these words, and nothing on the host has changed.
fn refused(lab: &str, fault: Option<&str>, status: i32, words: &[&str]) {
    let before = host_side();
    let (code, said) = raum(&["up", "-"], lab, fault);
    assert_eq!(code, Some(status), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in\n{said}");
    }
    assert_same(&before, &host_side(), &said);
}

fn heavy() -> bool {
    std::env::var_os("RAUM_HEAVY").is_some()
}

fn full_switch(ports: usize) -> String {
    format!(
        "lab: wide\nswitches: {{ lan: {{ subnet: 10.10.0.0/16, gateway: host }} }}\n\
         namespaces: {{ \"n[1-{ports}]\": {{ on: lan }} }}\n"
    )
}

/// Each with wires to the two beside it.
fn row(length: usize) -> String {
    let links: String = (1..length).map(|n| format!("  - ends: [n{n}, n{}]\n", n + 1)).collect();
    format!("lab: wide\nnamespaces: {{ \"n[1-{length}]\": }}\nlinks:\n{links}")
}

#[test]
fn a_switch_has_1023_ports_and_no_more() {
    sandbox::run(|| {
        fine(&["check", "-"], &full_switch(1023));
        refused(&full_switch(1024), None, 2, &["`lan` has 1024 ports", "1023"]);
        if heavy() {
            let before = host_side();
            fine(&["up", "-"], &full_switch(1023));
            fine(&["status", "wide"], "");
            fine(&["ping", "-c1", "wide-n1", "n1023"], "");
            fine(&["down", "wide"], "");
            assert_same(&before, &host_side(), "1,023 ports");
            println!("1,023 ports: up, status, a ping from the first to the last, down");
        }
    });
}

#[test]
fn four_thousand_namespaces() {
    sandbox::run(|| {
        let many = if heavy() { 1000 } else { 40 };
        let mut lab = "lab: crowd\nswitches:\n".to_owned();
        for switch in 1..=4 {
            writeln!(lab, "  s{switch}: {{ subnet: 10.{switch}.0.0/16 }}").expect("a text");
        }
        lab += "namespaces:\n";
        for switch in 1..=4 {
            writeln!(lab, "  \"n{switch}x[1-{many}]\": {{ on: s{switch} }}").expect("a text");
        }
        let before = host_side();
        fine(&["up", "-"], &lab);
        fine(&["status", "crowd"], "");
        fine(&["up", "-"], &lab);
        fine(&["down", "crowd"], "");
        assert_same(&before, &host_side(), "at the end");
        println!("{} namespaces: up, status, up again, down", 4 * many);
    });
}

#[test]
fn a_name_of_15_bytes_is_taken_and_of_16_told() {
    sandbox::run(|| {
        let lab = |name: &str| {
            format!(
                "lab: names\nnamespaces: {{ a: , b: }}\nlinks: [ {{ ends: ['a:{name} 10.0.0.1/24', 'b 10.0.0.2/24'] }} ]\n"
            )
        };
        let fifteen = "abcdefghijklmno";
        fine(&["up", "-"], &lab(fifteen));
        assert!(fine(&["show", "names-a"], "").contains(fifteen));
        fine(&["down", "names"], "");
        refused(&lab("abcdefghijklmnop"), None, 2, &["this has 16 bytes; at most 15 are possible"]);
        // in bytes, not in letters
        refused(&lab("ääääääää"), None, 2, &["this has 16 bytes; at most 15 are possible"]);
        // a lab and a node of 63: names on the host are cut
        let (lab, node) = ("l".repeat(63), "n".repeat(63));
        let text = format!(
            "lab: {lab}\nswitches: {{ lan: {{ subnet: 10.0.0.0/24 }} }}\nnamespaces: {{ {node}: {{ on: lan }} }}\n"
        );
        fine(&["up", "-"], &text);
        fine(&["status", &lab], "");
        fine(&["down", &lab], "");
    });
}

#[test]
fn with_few_files_that_may_be_open_the_work_is_done_in_parts() {
    sandbox::run(|| {
        // a few at a time, and so many that a second part meets the first
        let mut all = vec![(40, full_switch(120)), (256, full_switch(130)), (256, row(130))];
        if heavy() {
            all.extend([(1024, full_switch(1000)), (1024, row(1000))]);
        }
        for (limit, lab) in all {
            fs::write("/run/wide.yaml", &lab).expect("a lab file");
            let before = host_side();
            for line in ["up /run/wide.yaml", "status wide", "up /run/wide.yaml", "down wide"] {
                let line = format!("ulimit -n {limit}; exec \"$RAUM\" {line}");
                let output = Command::new("sh").args(["-c", &line]).env("RAUM", RAUM).stdin(Stdio::null()).output();
                let output = output.expect("a shell");
                assert!(output.status.success(), "{limit} files: {line}: {}", said(&output));
            }
            assert_same(&before, &host_side(), "at the end");
        }
    });
}

#[test]
fn with_fewer_files_than_a_change_needs_nothing_is_begun() {
    sandbox::run(|| {
        let many = full_switch(120);
        let all_kinds = full_switch(5).replace("10.10.0.0/16,", "[10.10.0.0/16, 'fd10::/64'], nat: true,");
        let labs = if heavy() { vec![many, all_kinds] } else { vec![all_kinds] };
        let run = |limit: u32, line: &str| {
            let line = format!("ulimit -n {limit}; exec \"$RAUM\" {line}");
            let output = Command::new("sh").args(["-c", &line]).env("RAUM", RAUM).stdin(Stdio::null()).output();
            let output = output.expect("a shell");
            (output.status.code(), said(&output))
        };
        for lab in &labs {
            fs::write("/run/wide.yaml", lab).expect("a lab file");
            let before = host_side();
            let mut refused = 0;
            // the loader of the C library needs one itself
            for limit in (4..44).step_by(if heavy() { 1 } else { 3 }) {
                let (code, told) = run(limit, "up /run/wide.yaml");
                match code {
                    Some(0) => assert!(limit > 20, "{limit}: {told}"),
                    code => {
                        assert_eq!(code, Some(1), "{limit}: {told}");
                        let words = ["Too many open files (EMFILE)", "ulimit -n"];
                        assert!(words.iter().all(|word| limit == 4 || told.contains(word)), "{limit}: {told}");
                        assert_same(&before, &host_side(), &format!("{limit} files"));
                        fine(&["up", "-"], lab);
                        refused += 1;
                    }
                }
                // the same of steps, and of `down`
                let whole = host_side();
                for verb in ["ns del --lab wide n1", "ns add --lab wide late", "down wide"] {
                    let (code, told) = run(limit, verb);
                    assert!(matches!(code, Some(0 | 1)), "{limit}: {verb}: {told}");
                    if code == Some(1) {
                        assert_same(&whole, &host_side(), &format!("{limit} files: {verb}"));
                    }
                }
                fine(&["down", "wide"], "");
                assert_same(&before, &host_side(), &format!("{limit} files"));
            }
            assert!(refused > 0);
            println!("refused with {refused} of the limits");
        }
    });
}

const DUAL: &str = "lab: dual\nswitches: { lan: { subnet: [10.0.0.0/24, 'fd00::/64'], gateway: host } }\nnamespaces: { a: { on: lan } }\n";
const NAT: &str = "lab: translated\nswitches: { lan: { subnet: 10.0.0.0/24, gateway: host, nat: true } }\nnamespaces: { a: { on: lan } }\n";
const PLAIN: &str = "lab: plain\nnamespaces: { a: , b: }\nlinks: [ { ends: [a 10.0.0.1/24, b 10.0.0.2/24] } ]\n";

#[test]
fn without_ipv6_a_lab_that_needs_it_is_told_and_others_work() {
    sandbox::run(|| {
        if fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n").is_err() {
            return println!("no IPv6 to switch off");
        }
        fine(&["up", "-"], PLAIN);
        fine(&["down", "plain"], "");
        refused(DUAL, None, 2, &["fd00::/64", "IPv6"]);
    });
}

#[test]
fn without_nf_tables_a_lab_that_needs_rules_is_told_and_others_work() {
    sandbox::run(|| {
        let missing = Some("EPROTONOSUPPORT@netfilter socket");
        let (code, said) = raum(&["up", "-"], PLAIN, missing);
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = raum(&["status", "plain"], PLAIN, missing);
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = raum(&["down", "plain"], PLAIN, missing);
        assert_eq!(code, Some(0), "{said}");
        refused(NAT, missing, 1, &["netfilter", "Protocol not supported (EPROTONOSUPPORT)", "as before"]);
    });
}

#[test]
fn a_full_table_of_connections_is_in_nobodys_way() {
    if !heavy() {
        return;
    }
    sandbox::run(|| {
        fine(&["up", "-"], NAT);
        let max: usize = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max")
            .expect("a limit")
            .trim()
            .parse()
            .expect("a number");
        let mut socket = Socket::open(Protocol::Netfilter).expect("a socket");
        let mut made = 0;
        // each with other addresses, until there is no more room
        'full: for high in 0..=u16::MAX {
            let mut requests = Requests::new();
            for low in 0..64_u8 {
                connection(&mut requests, high, low);
            }
            for outcome in socket.run(&mut requests).expect("answers") {
                match outcome {
                    Ok(()) => made += 1,
                    Err(error) => {
                        assert_eq!(error.code, "ENOMEM", "{error}");
                        break 'full;
                    }
                }
            }
        }
        println!("{made} connections fill the table of {max}");
        fine(&["up", "-"], &NAT.replace("a: {", "b: {"));
        fine(&["status", "translated"], "");
        fine(&["show"], "");
        fine(&["down", "translated"], "");
    });
}

/// A UDP connection for an hour: `IPCTNL_MSG_CT_NEW` (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
fn connection(requests: &mut Requests, high: u16, low: u8) {
    let attribute = |kind: u16, bytes: &[u8]| {
        let mut out = u16::try_from(bytes.len() + 4).expect("short").to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let nested = |kind: u16, parts: &[Vec<u8>]| attribute(kind | 0x8000, &parts.concat());
    let [a, b] = high.to_be_bytes();
    let (from, to) = ([10, a, b, low], [11, a, b, low]);
    let tuple = |kind, from: &[u8], to: &[u8]| {
        let ip = nested(1, &[attribute(1, from), attribute(2, to)]);
        let ports = nested(2, &[attribute(1, &[17]), attribute(2, &[0, 53]), attribute(3, &[0, 53])]);
        nested(kind, &[ip, ports])
    };
    let mut body = vec![2, 0, 0, 0];
    body.extend(tuple(1, &from, &to));
    body.extend(tuple(2, &to, &from));
    body.extend(attribute(7, &3600_u32.to_be_bytes()));
    requests.request(1 << 8, NLM_F_CREATE, &body);
}
