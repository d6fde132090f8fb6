//! Everybody to everybody on one switch, over both families: more neighbours than a machine remembers unless told otherwise
//! (`gc_thresh3` is 1,024 for all namespaces together). A test is never in the machine's first network namespace, where that
//! could be raised: here neighbours are written down.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use common::traffic::{PATIENCE, within};
use common::{RAUM, assert_same, host_side};
use raum_kernel::{neighbours, sandbox};

fn output(args: &[&str], fault: Option<&str>) -> Output {
    let mut command = Command::new(RAUM);
    command.args(args);
    if let Some(fault) = fault {
        command.env("RAUM_FAULT", fault);
    }
    command.output().expect("raum")
}

fn raum(args: &[&str]) -> (Option<i32>, String) {
    let output = output(args, None);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

fn fine(args: &[&str]) -> String {
    let (code, said) = raum(args);
    assert_eq!(code, Some(0), "raum {args:?}: {said}");
    said
}

/// A lab of so many, on a switch without a gateway; written to the file that `up` is given.
fn lab(count: usize) -> &'static str {
    let lab = format!(
        "lab: many\nswitches: {{ lan: {{ subnet: [10.10.0.0/24, \"fd10::/64\"] }} }}\nnamespaces: {{ \"n[1-{count}]\": {{ on: lan }} }}\n"
    );
    fs::write("/run/lab.yaml", lab).expect("a lab file");
    "/run/lab.yaml"
}

fn node(number: usize) -> String {
    format!("many-n{number}")
}

/// The permanent neighbours that the kernel has for a namespace: address and hardware address.
fn known(ns: &str) -> BTreeSet<(IpAddr, String)> {
    let view = raum_kernel::view::view(&ns.parse().expect("a name")).expect("a view");
    let permanent = view.neighbours.into_iter().filter(|entry| entry.state == "permanent");
    permanent.map(|entry| (entry.address, entry.mac.expect("a hardware address").to_string())).collect()
}

/// Each node's addresses and hardware address, as the kernel has them.
fn places(count: usize) -> Vec<BTreeSet<(IpAddr, String)>> {
    let place = |number| {
        let view = raum_kernel::view::view(&node(number).parse().expect("a name")).expect("a view");
        let eth0 = view.interfaces.into_iter().find(|one| one.name == "eth0").expect("eth0");
        let mac = eth0.mac.expect("a hardware address").to_string();
        let global = eth0.addresses.iter().map(|net| net.addr()).filter(|ip| !ip.to_string().starts_with("fe80:"));
        global.map(|ip| (ip, mac.clone())).collect()
    };
    (1..=count).map(place).collect()
}

/// Everybody knows all others, and nobody else.
fn assert_known(count: usize, when: &str) {
    let places = places(count);
    for (at, own) in places.iter().enumerate() {
        let others: BTreeSet<_> = places.iter().flatten().filter(|one| !own.contains(*one)).cloned().collect();
        assert_eq!(others.len(), (count - 1) * 2, "{when}");
        assert_eq!(known(&node(at + 1)), others, "{when}: node {}", at + 1);
    }
}

/// A datagram from everybody to everybody, and who got none of whom.
fn missing(count: usize) -> Vec<String> {
    let mut sockets: Vec<(SocketAddr, UdpSocket)> = Vec::new();
    for (at, own) in places(count).iter().enumerate() {
        for (ip, _) in own {
            let address = SocketAddr::new(*ip, 7000);
            let socket = within(&node(at + 1), || UdpSocket::bind(address)).expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            sockets.push((address, socket));
        }
    }
    let others = |own: SocketAddr| {
        let all: Vec<SocketAddr> = sockets.iter().map(|(address, _)| *address).collect();
        all.into_iter().filter(move |other| *other != own && other.is_ipv4() == own.is_ipv4())
    };
    let mut missing = Vec::new();
    for (own, socket) in &sockets {
        for other in others(*own) {
            if let Err(error) = socket.send_to(b"here", other) {
                missing.push(format!("{own} to {other}: {error}"));
            }
        }
    }
    for (own, socket) in &sockets {
        let mut awaited: BTreeSet<SocketAddr> = others(*own).collect();
        while !awaited.is_empty() {
            let Ok((_, from)) = socket.recv_from(&mut [0; 8]) else { break };
            awaited.remove(&from);
        }
        missing.extend(awaited.iter().map(|other| format!("{own} did not hear {other}")));
    }
    missing
}

/// Is the machine's limit one that these labs do not fit into?
fn is_tight() -> bool {
    [false, true].into_iter().all(|v6| neighbours::limit(v6).expect("an answer").is_some_and(|limit| limit <= 1024))
}

#[test]
fn forty_reach_each_other_at_once() {
    sandbox::run(|| {
        fine(&["up", lab(40)]);
        if is_tight() {
            assert_known(40, "up");
            let missing = missing(40);
            assert!(missing.is_empty(), "{} of 3,120 lost: {:?}", missing.len(), &missing[..missing.len().min(5)]);
        }
        let said = fine(&["ping", "--all", "-W", "20000"]);
        assert!(said.contains("40 nodes, 1560 over IPv4, 1560 over IPv6"), "{said}");
        assert!(said.lines().all(|line| line.chars().count() < 80), "{said}");
    });
}

#[test]
fn who_is_whose_neighbour_follows_the_lab() {
    sandbox::run(|| {
        if !is_tight() {
            return;
        }
        let before = host_side();
        fine(&["up", lab(24)]);
        assert_known(24, "up");
        assert!(fine(&["plan", "/run/lab.yaml"]).contains("nothing to change"));
        // by somebody else: one gone, one wrong, one more, which is not raum's
        let all: Vec<_> = known("many-n1").into_iter().collect();
        let by_hand = |ip: IpAddr, mac: Option<[u8; 6]>| {
            let (ns, link) = ("many-n1".parse().expect("a name"), "eth0".parse().expect("a name"));
            let op = match mac {
                Some(mac) => {
                    raum_core::plan::Op::SetNeighbour { ns, link, address: ip, mac: raum_core::name::Mac(mac) }
                }
                None => raum_core::plan::Op::DelNeighbour { ns, link, address: ip },
            };
            let mut linux = raum_kernel::Linux::new().expect("the kernel");
            assert_eq!(raum_core::host::Host::run(&mut linux, &[op]), [raum_core::host::Outcome::Done]);
        };
        by_hand(all[0].0, None);
        by_hand(all[40].0, Some([2, 0, 0, 0, 0, 9]));
        let (code, said) = raum(&["status", "many"]);
        assert_eq!(code, Some(1), "{said}");
        for (ip, mac) in [&all[0], &all[40]] {
            assert!(said.contains(&format!("  + many-n1: neighbour {ip} is {mac} on eth0")), "{said}");
        }
        let script = fine(&["plan", "--as", "ip", "/run/lab.yaml"]);
        let command = |node: &str, (ip, mac): &(IpAddr, String)| {
            format!("ip -n {node} neigh replace {ip} lladdr {mac} dev eth0 nud permanent protocol static")
        };
        assert!(script.contains(&command("many-n1", &all[0])), "{script}");
        fine(&["up", "/run/lab.yaml"]);
        assert_known(24, "repaired");
        // an interface that goes down forgets everybody, and so does one with another hardware address
        fine(&["link", "down", "--lab", "many", "n2:eth0"]);
        let third = places(3).into_iter().nth(2).and_then(|third| third.into_iter().next()).expect("an address");
        let explained = fine(&["link", "up", "--lab", "many", "n2:eth0", "--explain"]);
        assert!(explained.contains(&command("many-n2", &third)), "{explained}");
        assert!(
            explained.contains(&format!("many-n2 knows for ever that {} on eth0 is {}", third.0, third.1)),
            "{explained}"
        );
        assert_known(24, "down and up");
        fine(&["up", "--replace", lab(26)]);
        assert_known(26, "two more");
        fine(&["up", lab(25)]);
        assert_known(25, "one less");
        fine(&["up", lab(10)]);
        assert!((1..=10).all(|number| known(&node(number)).is_empty()), "few enough to ask");
        fine(&["up", lab(24)]);
        fine(&["down", "many"]);
        assert_same(&before, &host_side(), "down");
    });
}

/// Killed or refused while neighbours are written down: finished or undone by the next command.
#[test]
fn killed_and_refused_on_the_way() {
    sandbox::run(|| {
        if !is_tight() {
            return;
        }
        let before = host_side();
        let mut struck = 0;
        for number in 0..4 {
            for (from, to) in [(None, 24), (Some(24), 26), (Some(26), 24)] {
                for fault in ["kill", "ENOMEM"] {
                    if let Some(from) = from {
                        fine(&["up", lab(from)]);
                    }
                    // the last quarter of a change is where neighbours are
                    let points = points(to, from);
                    let point = points - 1 - (number * points / 6).min(points - 1);
                    let file = lab(to);
                    let done = output(&["up", file], Some(&format!("{fault}@{point}")));
                    let when = format!("{from:?} to {to}, {fault}@{point}: {}", String::from_utf8_lossy(&done.stderr));
                    struck += usize::from(!done.status.success());
                    match (fault, from, done.status.code()) {
                        ("kill", ..) => assert!(done.status.success() || done.status.signal() == Some(9), "{when}"),
                        (_, None, Some(1)) => assert_same(&before, &host_side(), &when),
                        (_, Some(from), Some(1)) => assert_known(from, &when),
                        (_, _, code) => assert_eq!(code, Some(0), "{when}"),
                    }
                    fine(&["up", file]);
                    assert_known(to, &when);
                    fine(&["down", "many"]);
                    assert_same(&before, &host_side(), &when);
                }
            }
        }
        assert!(struck > 12, "{struck}");
    });
}

/// How many points `up` has from here, undisturbed; it ends where it began.
fn points(to: usize, from: Option<usize>) -> usize {
    let file = lab(to);
    let log = "/run/points.test";
    let done = Command::new(RAUM).args(["up", file]).env("RAUM_POINTS", log).output().expect("raum");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let points = fs::read_to_string(log).expect("points").lines().count();
    fs::remove_file(log).expect("removed");
    match from {
        Some(from) => fine(&["up", lab(from)]),
        None => fine(&["down", "many"]),
    };
    points
}
