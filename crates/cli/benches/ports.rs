//! What a published port costs: `cargo bench --bench ports [-- N …]`.
//!
//! For each number of published ports: connections per second from outside to a namespace, through ports spread over all of
//! them; the time of one port more or less, as `raum up` of the changed file and as the kernel's part alone (the transaction
//! that `raum up` sends); the same with one iptables rule for each port, where iptables is installed. Everything happens in
//! namespaces of its own.

#[path = "../tests/common/world.rs"]
mod world;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use raum_core::lab::Proto;
use raum_core::name::NsId;
use raum_core::nft::{EntryChange, PortKey};
use raum_core::plan::Op;
use raum_kernel::Linux;
use raum_kernel::namespace::in_namespace;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

const RAUM: &str = env!("CARGO_BIN_EXE_raum");
const INSIDE: &str = "RAUM_BENCH_INSIDE";
/// Connections in one round, and rounds.
const CONNECTIONS: u16 = 1000;
const ROUNDS: usize = 9;
/// Before each change. The kernel frees what a transaction removed after a grace period, and lets the next one wait for that.
const PAUSE: Duration = Duration::from_millis(50);
/// The first published port.
const FIRST: u16 = 20_000;

fn main() {
    let sizes: Vec<u16> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1, 100, 10_000] } else { sizes };
    if std::env::var_os(INSIDE).is_none() {
        return outside();
    }
    must(fs::create_dir_all("/run/netns"));
    world::world();
    let iptables = Command::new("iptables").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    println!("| published ports | by | connections/s | change of one ms | in the kernel ms |");
    println!("|---:|---|---:|---:|---:|");
    for n in sizes {
        let Figures { rate, change, kernel } = by_raum(n);
        println!("| {n} | raum | {rate:.0} | {change:.1} | {kernel:.2} |");
        if iptables {
            let (rate, change) = by_iptables(n);
            println!("| {n} | iptables | {rate:.0} | {change:.1} | - |");
        }
    }
}

/// Starts this program again in fresh network and mount namespaces (and a user namespace, when not root).
fn outside() {
    let root = fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    let user = if root { Vec::new() } else { vec!["--user", "--map-root-user"] };
    let error = Command::new("unshare")
        .args(user)
        .args(["--net", "--mount", "sh", "-c", "mount -t tmpfs bench /run && exec \"$0\" \"$@\""])
        .arg(must(std::env::current_exe()))
        .args(std::env::args().skip(1))
        .env(INSIDE, "1")
        .exec();
    eprintln!("cannot start unshare (util-linux): {error}");
}

/// Medians of raum.
struct Figures {
    /// Connections per second.
    rate: f64,
    /// Milliseconds of `raum up`.
    change: f64,
    /// Milliseconds of the transaction alone.
    kernel: f64,
}

fn by_raum(n: u16) -> Figures {
    up(FIRST, n);
    let rate = rate(n);
    let kernel = in_the_kernel(n);
    let mut changes = Vec::new();
    for round in 0..ROUNDS {
        // one more, one less, in turns
        sleep(PAUSE);
        changes.push(up(FIRST, if round % 2 == 0 { n + 1 } else { n }));
    }
    down();
    Figures { rate, change: median(changes), kernel }
}

/// One element more, one less, in turns, as `raum up` sends them.
fn in_the_kernel(n: u16) -> f64 {
    let mut host = must(Linux::new());
    let entry =
        (PortKey { address: None, proto: Proto::Tcp, port: FIRST + n }, (std::net::IpAddr::from([10, 10, 0, 10]), 80));
    let mut times = Vec::new();
    for round in 0..ROUNDS * 2 {
        let (del, add) = if round % 2 == 0 { (vec![], vec![entry]) } else { (vec![entry], vec![]) };
        let changes = vec![EntryChange { map: "publish4".to_owned(), del, add }];
        let op = Op::ChangeEntries { ns: NsId::Host, table: "raum-bench".to_owned(), changes };
        sleep(PAUSE);
        let begin = Instant::now();
        world::done(&mut host, &[op]);
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    median(times)
}

fn by_iptables(n: u16) -> (f64, f64) {
    // one port by raum, so that it lets translated packets in
    up(9, 1);
    let mut rules = "*nat\n".to_owned();
    for port in FIRST..FIRST + n {
        must(writeln!(
            rules,
            "-A PREROUTING -d 198.51.100.2 -p tcp --dport {port} -j DNAT --to-destination 10.10.0.10:80"
        ));
    }
    rules.push_str("COMMIT\n");
    let mut child = must(Command::new("iptables-restore").stdin(Stdio::piped()).spawn());
    if let Some(mut stdin) = child.stdin.take() {
        must(stdin.write_all(rules.as_bytes()));
    }
    assert!(must(child.wait()).success(), "iptables-restore");
    let rate = rate(n);
    let mut changes = Vec::new();
    for round in 0..ROUNDS {
        let verb = if round % 2 == 0 { "-A" } else { "-D" };
        let port = (FIRST + n).to_string();
        let rule =
            ["-d", "198.51.100.2", "-p", "tcp", "--dport", &port, "-j", "DNAT", "--to-destination", "10.10.0.10:80"];
        sleep(PAUSE);
        changes.push(timed(Command::new("iptables").args(["-t", "nat", verb, "PREROUTING"]).args(rule)));
    }
    timed(Command::new("iptables").args(["-t", "nat", "-F"]));
    down();
    (rate, median(changes))
}

fn up(first: u16, n: u16) -> f64 {
    let ports: Vec<String> = (first..first + n).map(|port| format!("\"{port}:80\"")).collect();
    let lab = format!(
        "lab: bench\nswitches:\n  lan: {{ subnet: 10.10.0.0/24, gateway: host }}\nnamespaces:\n  web: {{ on: lan 10.10.0.10, publish: [{}] }}\n",
        ports.join(", ")
    );
    must(fs::write("/run/bench.yaml", lab));
    timed(Command::new(RAUM).args(["up", "/run/bench.yaml"]))
}

fn down() {
    timed(Command::new(RAUM).args(["down", "bench"]));
}

/// Connections per second, one after the other, each to another of the ports. Each has a source port that none had shortly
/// before, and ends at once: after translation all lead to one port, and a tuple that the server or the table of connections
/// still remembers would be waited for.
fn rate(n: u16) -> f64 {
    static SOURCE: AtomicU16 = AtomicU16::new(0);
    let web = must(File::open("/run/netns/bench-web"));
    let net = must(File::open("/run/netns/world-net"));
    let server = must(must(in_namespace(web.as_fd(), || TcpListener::bind("0.0.0.0:80")).map_err(|e| e.words())));
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let client = || {
            let begin = Instant::now();
            for number in 0..CONNECTIONS {
                // spread, and not in the order of the rules
                let port = FIRST + must(u16::try_from((u32::from(number) * 7919 + 13) % u32::from(n)));
                let source = 1024 + SOURCE.fetch_add(1, Ordering::Relaxed) % 60_000;
                let stream = must(socket(AddressFamily::INET, SocketType::STREAM, None));
                must(bind(&stream, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, source)));
                must(set_socket_linger(&stream, Some(Duration::ZERO)));
                must(connect(&stream, &SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 2), port)));
                drop((stream, must(server.accept())));
            }
            begin.elapsed().as_secs_f64()
        };
        let seconds = must(in_namespace(net.as_fd(), client).map_err(|e| e.words()));
        // the first one warms up
        if round > 0 {
            rates.push(f64::from(CONNECTIONS) / seconds);
        }
    }
    median(rates)
}

/// Milliseconds.
fn timed(command: &mut Command) -> f64 {
    let begin = Instant::now();
    let output = must(command.output());
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    begin.elapsed().as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}
