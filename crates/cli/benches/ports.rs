//! What a published port costs: `cargo bench --bench ports [-- N …]`.
//!
//! For each number of published ports: connections per second from outside to a namespace, through ports spread over all of
//! them, and the time of `raum up` for one port more; the same with one iptables rule for each port, where iptables is
//! installed. Everything happens in namespaces of its own.

#[path = "../tests/common/world.rs"]
mod world;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use raum_kernel::namespace::in_namespace;

const RAUM: &str = env!("CARGO_BIN_EXE_raum");
const INSIDE: &str = "RAUM_BENCH_INSIDE";
/// Connections in one round, and rounds.
const CONNECTIONS: u16 = 2000;
const ROUNDS: usize = 7;
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
    println!("| published ports | by | connections/s | change of one ms |");
    println!("|---:|---|---:|---:|");
    for n in sizes {
        let (rate, change) = by_raum(n);
        println!("| {n} | raum | {rate:.0} | {change:.1} |");
        if iptables {
            let (rate, change) = by_iptables(n);
            println!("| {n} | iptables | {rate:.0} | {change:.1} |");
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

fn by_raum(n: u16) -> (f64, f64) {
    up(FIRST, n);
    let rate = rate(n);
    let mut changes = Vec::new();
    for round in 0..ROUNDS {
        // one more, one less, in turns
        changes.push(up(FIRST, if round % 2 == 0 { n + 1 } else { n }));
    }
    down();
    (rate, median(changes))
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

/// Connections per second, one after the other, each to another of the ports.
fn rate(n: u16) -> f64 {
    let web = must(File::open("/run/netns/bench-web"));
    let net = must(File::open("/run/netns/world-net"));
    let server = must(must(in_namespace(web.as_fd(), || TcpListener::bind("0.0.0.0:80")).map_err(|e| e.words())));
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let client = || {
            let begin = Instant::now();
            for number in 0..CONNECTIONS {
                // spread, and not in the order of the rules
                let port = FIRST + u16::try_from((u32::from(number) * 7919 + 13) % u32::from(n)).unwrap_or(0);
                let stream = must(TcpStream::connect((Ipv4Addr::new(198, 51, 100, 2), port)));
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
