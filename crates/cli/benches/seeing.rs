//! How long it takes to see everything: `cargo bench --bench seeing [-- N …]`.
//!
//! N namespaces in a row, each with lo and both ends of its wires to the next ones, bound under /run/netns as `ip netns` has
//! them. `raum show --all`, `raum show`, and `raum show --all --json` as whole processes, against the floor: the same dumps of the kernel,
//! raw, on as many threads, in one process that knows beforehand where everything is and decodes nothing. Everything
//! happens in namespaces of its own, where no other process of the machine is seen. Prints the medians, as in docs/performance.md.

#[path = "../../kernel/tests/bare/mod.rs"]
mod bare;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use raum_kernel::message::Requests;
use raum_kernel::namespace::enter;
use raum_kernel::socket::{Protocol, Socket};

const RAUM: &str = env!("CARGO_BIN_EXE_raum");
const INSIDE: &str = "RAUM_BENCH_INSIDE";
const ROUNDS: usize = 7;

/// What `raum show --all` asks rtnetlink for in each namespace: links, addresses, routes, rules and neighbours of both
/// families.
const DUMPS: [(u16, &[u8]); 8] = [
    (18, &[0; 16]),
    (22, &[0; 8]),
    (26, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (26, &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (34, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (34, &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (30, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (30, &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
];

fn main() {
    if std::env::var_os(INSIDE).is_none() {
        return outside();
    }
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 1000] } else { sizes };
    println!("| namespaces | what | ms | beyond the floor | ms of processors | beyond the floor | peak MiB |");
    println!("|---:|---|---:|---:|---:|---:|---:|");
    let mut all: Vec<OwnedFd> = Vec::new();
    for n in sizes {
        while all.len() < n {
            let at = all.len();
            let new = bare::bound(&format!("/run/netns/b{at:04}"));
            if let Some(last) = all.last() {
                bare::wire((last, "right", 11), (&new, "left", 10));
                bare::address(&new, 10, [10, byte(at / 250), byte(at % 250), 1], 24);
            }
            all.push(new);
        }
        measure(n, &all);
    }
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).expect("fewer namespaces")
}

fn measure(n: usize, all: &[OwnedFd]) {
    let whats: [(&str, &[&str]); 3] = [
        ("raum show --all", &["show", "--all"]),
        ("raum show", &["show"]),
        ("raum show --all --json", &["show", "--all", "--json"]),
    ];
    let mut floors = [const { Vec::new() }; 2];
    let mut times = [const { [const { Vec::new() }; 2] }; 3];
    let mut peaks = [0.0f64; 3];
    for _ in 0..ROUNDS {
        let (ms, busy) = floor(all);
        floors[0].push(ms);
        floors[1].push(busy);
        for (at, (_, args)) in whats.iter().enumerate() {
            let (ms, busy, peak) = timed(args);
            times[at][0].push(ms);
            times[at][1].push(busy);
            peaks[at] = peaks[at].max(peak);
        }
    }
    let [floor, floor_busy] = floors.map(|all| median(&all));
    println!("| {n} | floor: the same dumps, raw | {floor:.0} | - | {floor_busy:.0} | - | - |");
    for (at, (what, _)) in whats.iter().enumerate() {
        let [ms, busy] = [median(&times[at][0]), median(&times[at][1])];
        let (more, more_busy) = (ms - floor, busy - floor_busy);
        println!("| {n} | {what} | {ms:.0} | {more:.0} | {busy:.0} | {more_busy:.0} | {:.1} |", peaks[at] / 1024.0);
    }
}

/// Milliseconds that this process has had of all processors.
fn busy_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0)).as_secs_f64() * 1e3
}

/// Milliseconds for all dumps, on the wall and of processors, on two threads, as raum has them on two processors.
fn floor(all: &[OwnedFd]) -> (f64, f64) {
    let before = busy_ms();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(threads)) {
            scope.spawn(move || {
                for ns in part {
                    enter(ns.as_fd()).expect("inside");
                    dump_all();
                }
            });
        }
    });
    (begin.elapsed().as_secs_f64() * 1e3, busy_ms() - before)
}

fn dump_all() {
    let mut socket = Socket::open(Protocol::Route).expect("a socket");
    for (kind, header) in DUMPS {
        dump(&mut socket, kind, header);
    }
    // tables, chains, rules and sets of nf_tables
    let mut socket = Socket::open(Protocol::Netfilter).expect("a socket");
    for kind in [1, 4, 7, 10] {
        dump(&mut socket, 10 << 8 | kind, &[0; 4]);
    }
    // listening sockets: TCP and UDP of both families, `struct inet_diag_req_v2`
    let mut socket = Socket::open(Protocol::SocketDiagnosis).expect("a socket");
    for (proto, states) in [(6u8, 1u32 << 10), (17, 1 << 7)] {
        for family in [2, 10] {
            let mut header = [0; 56];
            header[0] = family;
            header[1] = proto;
            header[4..8].copy_from_slice(&states.to_ne_bytes());
            dump(&mut socket, 20, &header);
        }
    }
}

/// What is refused (no table yet) has cost its time as well.
fn dump(socket: &mut Socket, kind: u16, header: &[u8]) {
    let mut requests = Requests::new();
    requests.request(kind, 0, header);
    drop(socket.dump(&mut requests));
}

/// Milliseconds on the wall and of processors, and peak resident KiB of a whole process.
fn timed(args: &[&str]) -> (f64, f64, f64) {
    let begin = Instant::now();
    let child = Command::new(RAUM).args(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("raum");
    let done = wait4::Wait4::wait4(child).expect("raum");
    let ms = begin.elapsed().as_secs_f64() * 1e3;
    assert!(done.status.success(), "{args:?}: {}", done.status);
    // the crate gives bytes
    #[allow(clippy::cast_precision_loss)]
    (ms, (done.rusage.utime + done.rusage.stime).as_secs_f64() * 1e3, done.rusage.maxrss as f64 / 1024.0)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Starts this program again in fresh network and mount namespaces (and a user namespace, when not root).
fn outside() {
    let root = fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    let user = if root { Vec::new() } else { vec!["--user", "--map-root-user"] };
    let error = Command::new("unshare")
        .args(user)
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "sh",
            "-c",
            "mount -t tmpfs bench /run && ulimit -n 4096 && exec \"$0\" \"$@\"",
        ])
        .arg(std::env::current_exe().expect("this program"))
        .args(std::env::args().skip(1))
        .env(INSIDE, "1")
        .exec();
    eprintln!("cannot start unshare (util-linux): {error}");
}
