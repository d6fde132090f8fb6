//! How many packets a second `raum capture -w` takes without losing any: `cargo bench --bench capture`.
//!
//! Two namespaces and a wire; datagrams of 100 bytes are sent at a pace for three seconds, and captured at the receiving end into
//! a file in memory. What was lost is what the kernel counted. Everything happens in namespaces of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use raum_kernel::namespace::in_namespace;
use rustix::process::{Pid, Signal, kill_process};

const RAUM: &str = env!("CARGO_BIN_EXE_raum");
const INSIDE: &str = "RAUM_BENCH_INSIDE";
const LAB: &str = "lab: two\nnamespaces: { a: , b: }\nlinks:\n  - ends: [a 10.0.0.1/24, b 10.0.0.2/24]\n";
const SECONDS: u64 = 3;

fn main() {
    if std::env::var_os(INSIDE).is_none() {
        let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
        let mut command = Command::new("unshare");
        command.args(user).args(["--net", "--mount", "sh", "-c", "mount -t tmpfs bench /run && exec \"$0\""]);
        let error = command.arg(std::env::current_exe().expect("this program")).env(INSIDE, "1").exec();
        panic!("cannot start unshare (util-linux): {error}");
    }
    fs::write("/run/lab.yaml", LAB).expect("a lab file");
    assert!(Command::new(RAUM).args(["up", "/run/lab.yaml"]).output().expect("raum").status.success());
    println!("| sent a second | captured a second | lost |");
    println!("|---:|---:|---:|");
    for pace in [50_000, 100_000, 200_000, u64::MAX] {
        measure(pace);
    }
}

fn measure(pace: u64) {
    let mut command = Command::new(RAUM);
    command.args(["capture", "b", "-w", "/run/x.pcapng", "udp"]).stderr(Stdio::piped());
    let mut capture = command.spawn().expect("raum");
    let mut said = BufReader::new(capture.stderr.take().expect("standard error"));
    let mut line = String::new();
    said.read_line(&mut line).expect("capturing");
    let within = |ns: &str, at: &str| {
        let file = File::open(format!("/run/netns/{ns}")).expect("the namespace");
        in_namespace(file.as_fd(), || UdpSocket::bind(at).expect("a socket")).expect("a thread inside")
    };
    // its buffer fills up, and that is all: no errors come back
    let _receiver = within("two-b", "10.0.0.2:9");
    let sender = within("two-a", "10.0.0.1:9");
    let start = Instant::now();
    let mut sent = 0_u64;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let due = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_mul(pace) / 1_000_000;
        if pace == u64::MAX || sent < due {
            for _ in 0..32 {
                sender.send_to(&[7; 100], "10.0.0.2:9").expect("sent");
            }
            sent += 32;
        } else {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    kill_process(Pid::from_child(&capture), Signal::INT).expect("a signal");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("an end");
    assert!(capture.wait().expect("an end").success());
    let first = rest.lines().next().unwrap_or_default();
    let (captured, lost) = first.split_once(" packets, ").unwrap_or(("?", first));
    let captured = captured.parse::<u64>().map_or(0, |count| count / SECONDS);
    println!("| {} | {captured} | {} |", sent / SECONDS, lost.split(' ').next().unwrap_or_default());
}
