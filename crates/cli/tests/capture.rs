//! `raum capture`: what is written is what passed, at each place, in the order of its times, and nothing that the filter does
//! not take. The filter as the kernel runs it is held against the interpreter, and against tcpdump where that is installed.

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::RAUM;
use raum_core::capture::machine::run;
use raum_core::capture::{compile, parse};
use raum_kernel::namespace::in_namespace;
use raum_kernel::sandbox;
use rustix::process::{Pid, Signal, kill_process};

const LAB: &str =
    "lab: two\nnamespaces: { a: , b: }\nlinks:\n  - ends: [a 10.0.0.1/24 fd00::1/64, b 10.0.0.2/24 fd00::2/64]\n";

fn up() {
    fs::write("/run/lab.yaml", LAB).expect("a lab file");
    assert!(Command::new(RAUM).args(["up", "/run/lab.yaml"]).output().expect("raum").status.success());
}

fn within<T: Send>(ns: &str, f: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{ns}")).expect("the namespace");
    in_namespace(file.as_fd(), f).expect("a thread inside")
}

/// A capture that has begun.
struct Capture {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Capture {
    fn begin(args: &[&str]) -> Self {
        let mut command = Command::new(RAUM);
        command.arg("capture").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("raum");
        let mut said = BufReader::new(child.stderr.take().expect("standard error"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert!(line.contains("capturing at"), "{line}");
        Self { child, said }
    }

    fn interrupt(mut self) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("a signal");
        self.end()
    }

    fn end(&mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("standard error");
        (self.child.wait().expect("an end"), said)
    }
}

/// A packet of a pcapng file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Packet {
    interface: usize,
    time: u64,
    bytes: Vec<u8>,
}

fn number(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"))).expect("a number")
}

/// Names of interfaces, and packets.
fn read(path: &str) -> (Vec<String>, Vec<Packet>) {
    let file = fs::read(path).expect("a file");
    let (mut names, mut packets, mut rest) = (Vec::new(), Vec::new(), &file[..]);
    while !rest.is_empty() {
        let (kind, length) = (number(rest, 0), number(rest, 4));
        let body = &rest[8..length - 4];
        match kind {
            // the first option is the name
            1 => {
                let length = usize::from(u16::from_le_bytes([body[10], body[11]]));
                names.push(String::from_utf8_lossy(&body[12..12 + length]).into_owned());
            }
            6 => packets.push(Packet {
                interface: number(body, 0),
                time: u64::try_from(number(body, 4)).expect("a time") << 32
                    | u64::try_from(number(body, 8)).expect("a time"),
                bytes: body[20..20 + number(body, 12)].to_vec(),
            }),
            _ => {}
        }
        rest = &rest[length..];
    }
    (names, packets)
}

/// Several kinds of packets between both, in both families.
fn talk() {
    let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    for (from, to) in [("10.0.0.1", "10.0.0.2"), ("[fd00::1]", "[fd00::2]")] {
        let receiver = within("two-b", || UdpSocket::bind(at(&format!("{to}:53")))).expect("a socket");
        let sender = within("two-a", || UdpSocket::bind(at(&format!("{from}:5000")))).expect("a socket");
        let listener = within("two-b", || TcpListener::bind(at(&format!("{to}:80")))).expect("a listener");
        for length in [1, 100, 1400, 4000] {
            sender.send_to(&vec![7; length], at(&format!("{to}:53"))).expect("sent");
            receiver.recv(&mut [0; 4096]).expect("received");
        }
        // nobody is there
        sender.send_to(b"?", at(&format!("{to}:54"))).expect("sent");
        drop(within("two-a", || TcpStream::connect(at(&format!("{to}:80")))).expect("a connection"));
        drop(listener);
    }
    for family in ["-4", "-6"] {
        let ping = Command::new(RAUM).args(["ping", "a", "b", "-c", "2", family]).output().expect("raum");
        assert!(ping.status.success());
    }
}

#[test]
fn what_passes_is_written_at_each_place_in_order() {
    sandbox::run(|| {
        up();
        fs::write("/run/old.pcapng", "old").expect("a file");
        let capture = Capture::begin(&["a", "b:eth0", "-w", "/run/x.pcapng", "udp", "port", "53"]);
        talk();
        let (status, said) = capture.interrupt();
        assert!(status.success() && said.contains("none lost"), "{said}");
        assert_eq!(fs::metadata("/run/x.pcapng").expect("a file").permissions().mode() & 0o777, 0o600);
        let (names, packets) = read("/run/x.pcapng");
        assert_eq!(names, ["two-a:eth0", "two-b:eth0"]);
        assert!(packets.is_sorted_by_key(|packet| packet.time));
        // the largest is sent in three fragments: of IPv4 only the first one has ports, of IPv6 none is taken
        for interface in [0, 1] {
            let of = packets.iter().filter(|packet| packet.interface == interface);
            let mut lengths: Vec<usize> = of.map(|packet| packet.bytes.len()).collect();
            lengths.sort_unstable();
            assert_eq!(lengths, [43, 63, 142, 162, 1442, 1462, 1514], "at {interface}");
        }
        let seen = |interface: usize| -> Vec<&Vec<u8>> {
            packets.iter().filter(|packet| packet.interface == interface).map(|packet| &packet.bytes).collect()
        };
        assert_eq!(seen(0), seen(1), "a wire changes nothing");
    });
}

#[test]
fn the_kernel_takes_what_the_filter_says_and_tcpdump_agrees() {
    sandbox::run(|| {
        up();
        let filters = [
            "tcp",
            "udp and not port 53",
            "icmp or icmp6",
            "arp",
            "ip6",
            "host 10.0.0.2 and not tcp",
            "src net fd00::/64 and portrange 50-60",
            "dst port 80 and ip",
            "not (ip or ip6)",
            "ether multicast",
            "greater 1000",
            "less 60",
            "tcp src port 80 or udp dst port 54",
            "ip proto 17",
            "src host fd00::1 and dst host fd00::2",
        ];
        let path = |number: usize| format!("/run/{number}.pcapng");
        let all = Capture::begin(&["a", "-w", "/run/all.pcapng"]);
        let some: Vec<Capture> =
            filters.iter().enumerate().map(|(at, text)| Capture::begin(&["a", "-w", &path(at), text])).collect();
        talk();
        for capture in some {
            assert!(capture.interrupt().0.success());
        }
        assert!(all.interrupt().0.success());
        let (_, everything) = read("/run/all.pcapng");
        assert!(everything.len() > 30);
        let tcpdump = Command::new("tcpdump").arg("--version").output().is_ok();
        for (at, text) in filters.iter().enumerate() {
            let filter = parse(text, &|_| Vec::new()).expect("a filter");
            let program = compile(filter.as_ref(), 1).expect("a program");
            let (_, taken) = read(&path(at));
            assert!(!taken.is_empty(), "nothing is `{text}`");
            // each began a moment later and ended a moment earlier than the one of everything, and has times of its own
            let bytes = |packets: &[Packet]| packets.iter().map(|packet| packet.bytes.clone()).collect::<Vec<_>>();
            let (taken, all) = (bytes(&taken), bytes(&everything));
            let meant: Vec<Vec<u8>> = all.into_iter().filter(|packet| run(&program, packet) > 0).collect();
            let found = meant.windows(taken.len()).any(|part| part == taken);
            assert!(found, "`{text}` took {} of {} packets", taken.len(), meant.len());
            if tcpdump {
                let output =
                    Command::new("tcpdump").args(["-nn", "-r", "/run/all.pcapng", text]).output().expect("tcpdump");
                // root of a user namespace it takes for root, and cannot become somebody else: no judge here
                if String::from_utf8_lossy(&output.stderr).contains("Couldn't change to") {
                    continue;
                }
                let lines = String::from_utf8_lossy(&output.stdout)
                    .lines()
                    .filter(|line| !line.starts_with([' ', '\t']))
                    .count();
                let interpreted = everything.iter().filter(|packet| run(&program, &packet.bytes) > 0).count();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                assert_eq!(lines, interpreted, "tcpdump on `{text}`");
            }
        }
    });
}

#[test]
fn it_ends_when_it_should() {
    sandbox::run(|| {
        up();
        let mut counted = Capture::begin(&["a", "-w", "/run/c.pcapng", "-c", "3", "udp"]);
        talk();
        let (status, said) = counted.end();
        assert!(status.success() && said.contains("3 packets"), "{said}");
        assert_eq!(read("/run/c.pcapng").1.len(), 3);
        // 0 is no limit, as for `raum ping`
        let endless = Capture::begin(&["a", "-c", "0", "-w", "/run/e.pcapng", "udp"]);
        talk();
        let (status, said) = endless.interrupt();
        assert!(status.success(), "{said}");
        assert!(read("/run/e.pcapng").1.len() > 3, "{said}");
        let (status, said) = Capture::begin(&["a", "--duration", "0.1", "udp"]).end();
        assert!(status.success() && said.contains("0 packets, none lost"), "{said}");
        // whoever reads has had enough
        let mut piped = Capture::begin(&["a", "-w", "-"]);
        drop(piped.child.stdout.take());
        let begin = Instant::now();
        while piped.child.try_wait().expect("a child").is_none() && begin.elapsed() < Duration::from_secs(60) {
            talk();
        }
        assert!(piped.end().0.success());
        let mut orphan = Capture::begin(&["b"]);
        assert!(Command::new(RAUM).args(["down", "two"]).output().expect("raum").status.success());
        let (status, said) = orphan.end();
        assert!(status.success() && said.contains("two-b:eth0 went away"), "{said}");
    });
}

#[test]
fn lines_for_people_and_for_programs() {
    sandbox::run(|| {
        up();
        let mut text = Capture::begin(&["a", "icmp", "-c", "2"]);
        let mut json = Capture::begin(&["a", "--json", "icmp6", "and", "host", "b", "-c", "2"]);
        for family in ["-4", "-6"] {
            Command::new(RAUM).args(["ping", "a", "b", "-c", "1", family]).output().expect("raum");
        }
        let lines = |capture: &mut Capture| {
            let mut said = String::new();
            capture.child.stdout.take().expect("standard output").read_to_string(&mut said).expect("text");
            said
        };
        let said = lines(&mut text);
        assert!(said.contains("two-a:eth0 out 10.0.0.1 → 10.0.0.2 ICMP echo request"), "{said}");
        assert!(said.contains("two-a:eth0 in  10.0.0.2 → 10.0.0.1 ICMP echo reply"), "{said}");
        let said = lines(&mut json);
        assert_eq!(said.lines().count(), 3, "{said}");
        assert!(said.lines().all(|line| line.starts_with('{') && line.contains("two-a:eth0")), "{said}");
        assert!(text.end().0.success() && json.end().0.success());
    });
}
