//! `raum test` against faults made on purpose: it must see what really arrives, not what a client believes.

mod common;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;

use common::RAUM;
use raum_kernel::namespace::in_namespace;
use raum_kernel::sandbox;

/// A way from left to right, and none back: right knows its own networks only.
const ONE_WAY: &str = "
lab: way
namespaces:
  left: { gateway: [10.1.0.1, \"fd01::1\"] }
  router: { forwarding: true }
  right:
links:
  - ends: [left 10.1.0.2/24 fd01::2/64, router 10.1.0.1/24 fd01::1/64]
  - ends: [router 10.2.0.1/24 fd02::1/64, right 10.2.0.2/24 fd02::2/64]
expect:
";

/// Runs `raum test` in a lab with these expectations; its lines, and whether all was as expected.
fn tested(lab: &str, expect: &[&str]) -> (bool, String) {
    let lines: String = expect.iter().map(|line| format!("  - \"{line}\"\n")).collect();
    fs::write("/run/lab.yaml", format!("{lab}{lines}")).expect("a lab file");
    let up = Command::new(RAUM).args(["up", "/run/lab.yaml"]).output().expect("raum");
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let output = Command::new(RAUM).args(["test", "/run/lab.yaml", "--quiet", "300"]).output().expect("raum");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code < 2), "{said}");
    (output.status.success(), said)
}

fn within<T: Send>(ns: &str, f: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{ns}")).expect("the namespace");
    in_namespace(file.as_fd(), f).expect("a thread inside")
}

#[test]
fn what_arrives_and_cannot_answer_is_not_taken_for_unreachable() {
    sandbox::run(|| {
        // a client alone would pass all of these: it never gets an answer
        let all = ["left cannot reach right", "left cannot reach right:80/tcp", "left cannot reach right:53/udp"];
        let (fine, said) = tested(ONE_WAY, &all);
        assert!(!fine, "{said}");
        for (ip, of) in [("10.1.0.2", "10.2.0.2"), ("fd01::2", "fd02::2")] {
            assert!(
                said.contains(&format!("left cannot reach right ({of})\n        arrived at right from {ip} (left)")),
                "{said}"
            );
            for service in ["80", "53"] {
                assert!(said.contains(&format!("arrived at right:{service} from {ip} (left)")), "{said}");
            }
        }
        assert!(said.contains("6 of 6 failed"), "{said}");
    });
}

#[test]
fn what_arrives_and_cannot_answer_is_not_taken_for_reached() {
    sandbox::run(|| {
        let (fine, said) = tested(
            ONE_WAY,
            &["left reaches right", "left reaches right:80/tcp", "left reaches right:53/udp", "left reaches router"],
        );
        assert!(!fine && said.contains("6 of 8 failed"), "{said}");
        assert_eq!(said.matches("arrived at right from 10.1.0.2 (left), but no answer came back").count(), 1, "{said}");
        assert_eq!(
            said.matches("arrived at right:80 from fd01::2 (left), but its answer did not come back").count(),
            1,
            "{said}"
        );
        assert_eq!(
            said.matches("arrived at right:53 from 10.1.0.2 (left), but no answer came back").count(),
            1,
            "{said}"
        );
    });
}

#[test]
fn what_does_not_arrive_is_proven_and_its_cause_told() {
    sandbox::run(|| {
        let lab = ONE_WAY.replace("right:\n", "right: { gateway: [10.2.0.1, \"fd02::1\"] }\n");
        let (fine, said) =
            tested(&lab, &["left and right reach each other", "left and right reach each other at 80/tcp"]);
        assert!(fine, "{said}");
        // the router does not pass on any longer, or says no
        let shut = lab.replace("router: { forwarding: true }", "router: { forwarding: false }");
        let (fine, said) = tested(
            &shut,
            &["left cannot reach right", "left cannot reach right:80/tcp", "left cannot reach right:1/udp"],
        );
        assert!(fine && said.contains("6 tried"), "{said}");
        let prohibited = lab.replace(
            "router: { forwarding: true }",
            "router: { forwarding: true, routes: [\"prohibit 10.2.0.2/32\", \"prohibit fd02::2/128\"] }",
        );
        let (fine, said) = tested(&prohibited, &["left reaches right:80/tcp", "left reaches right:53/udp"]);
        assert!(!fine, "{said}");
        // one of each family at least: a router does not complain of every packet (icmp_ratelimit)
        for why in
            ["10.1.0.1 (router) says administratively prohibited", "fd01::1 (router) says administratively prohibited"]
        {
            assert!(said.contains(why), "{said}");
        }
    });
}

#[test]
fn a_program_that_listens_is_used_and_left_alone() {
    sandbox::run(|| {
        let lab = "lab: two\nnamespaces: { a: , b: }\nlinks:\n  - ends: [a 10.0.0.1/24 fd00::1/64, b 10.0.0.2/24 fd00::2/64]\nexpect:\n";
        tested(lab, &["a reaches b"]);
        let address: SocketAddr = "[::]:80".parse().expect("an address");
        let tcp = within("two-b", || TcpListener::bind(address)).expect("a listener");
        let udp = within("two-b", || UdpSocket::bind(address)).expect("a socket");
        let (fine, said) =
            tested(lab, &["a reaches b:80/tcp from a", "a reaches b:80/udp from a", "a reaches b:81/tcp"]);
        assert!(fine, "{said}");
        assert_eq!(said.matches("with the program that listens there").count(), 4, "{said}");
        // each of two connections was opened and closed without a byte, besides those that were only begun
        tcp.set_nonblocking(true).expect("a listener");
        let mut whole = 0;
        loop {
            match tcp.accept() {
                Ok((mut client, _)) => {
                    client.set_nonblocking(false).expect("a connection");
                    match client.read(&mut [0; 1]) {
                        Ok(0) => whole += 1,
                        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                        other => panic!("{other:?}"),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(whole, 2);
        let mut got = [0; 64];
        assert_eq!(udp.recv(&mut got).expect("a datagram"), 13);
    });
}

#[test]
fn many_at_once() {
    sandbox::run(|| {
        let lab = "lab: many\nswitches: { lan: { subnet: [10.10.0.0/24, \"fd10::/64\"] } }\nnamespaces: { \"n[1-12]\": { on: lan }, far: }\nexpect:\n";
        let (fine, said) = tested(
            lab,
            &["n[1-12] reaches n[1-12]:80/tcp", "n[1-12] reaches n[1-12]:53/udp", "n[1-12] reaches 10.10.0.99"],
        );
        assert!(!fine && said.contains("12 of 540 failed"), "{said}");
    });
}
