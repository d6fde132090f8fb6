//! How fast, against what: `cargo bench --bench networks [-- N …]`.
//!
//! For each number of namespaces, in one run and taking turns: `raum up`, `raum up` again, `raum down` as whole processes;
//! the same network by raw netlink (`floor.c`, in-process times: what the kernel alone needs); and, where `ip` is installed,
//! by `ip -batch` and by the shell scripts that people write (`ip -n NS …`, and `ip netns exec NS ip …`). Everything happens in namespaces of its own. Prints the medians
//! and their ratios, as the table of docs/performance.md.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const RAUM: &str = env!("CARGO_BIN_EXE_raum");
const INSIDE: &str = "RAUM_BENCH_INSIDE";

/// What was measured of one program for one size, a value per round.
#[derive(Default)]
struct Times {
    up_ms: Vec<f64>,
    again_ms: Vec<f64>,
    down_ms: Vec<f64>,
    peak_kib: Vec<f64>,
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10, 100, 300, 1000] } else { sizes };
    if std::env::var_os(INSIDE).is_none() {
        return outside();
    }
    let place = PathBuf::from("/run/bench");
    must(fs::create_dir_all(&place));
    must(fs::create_dir_all("/run/netns"));
    let floor = compile_floor(&place);
    if floor.is_none() {
        println!("no C compiler: the floor is left out");
    }
    let ip = found("ip");
    println!("| namespaces | program | up ms | ÷ floor | again ms | ÷ up | down ms | ÷ floor | peak MiB |");
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for n in sizes {
        measure(n, &place, floor.as_deref(), ip);
    }
    exec_ratio(&place, ip);
}

/// Starts this program again in fresh network and mount namespaces (and a user namespace, when not root).
fn outside() {
    let user = if unprivileged() { vec!["--user", "--map-root-user"] } else { Vec::new() };
    let me = must(std::env::current_exe());
    let error = Command::new("unshare")
        .args(user)
        .args(["--net", "--mount", "sh", "-c", "mount -t tmpfs bench /run && exec \"$0\" \"$@\""])
        .arg(me)
        .args(std::env::args().skip(1))
        .env(INSIDE, "1")
        .exec();
    eprintln!("cannot start unshare (util-linux): {error}");
}

fn unprivileged() -> bool {
    fs::metadata("/proc/self").map(|found| std::os::unix::fs::MetadataExt::uid(&found) != 0).unwrap_or(true)
}

fn compile_floor(place: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c");
    let target = place.join("floor");
    let done = Command::new("cc").args(["-O2", "-o"]).arg(&target).arg(source).status();
    done.is_ok_and(|status| status.success()).then_some(target)
}

fn measure(n: usize, place: &Path, floor: Option<&Path>, ip: bool) {
    let rounds = match n {
        0..=100 => 9,
        101..=300 => 7,
        _ => 3,
    };
    let lab = place.join(format!("bench-{n}.yaml"));
    must(fs::write(&lab, lab_file(n)));
    let batch = Batch::write(place, n);
    let (mut raum, mut kernel, mut batched, mut script, mut classic) =
        (Times::default(), Times::default(), Times::default(), Times::default(), Times::default());
    for round in 0..rounds {
        let (up, peak) = timed(Command::new(RAUM).arg("up").arg(&lab));
        raum.up_ms.push(up);
        raum.peak_kib.push(peak);
        let again = timed(Command::new(RAUM).arg("up").arg(&lab)).0;
        raum.again_ms.push(again);
        raum.down_ms.push(timed(Command::new(RAUM).args(["down", "bench"])).0);
        settle(n);
        if let Some(floor) = floor {
            let (up, down) = run_floor(floor, n, again);
            kernel.up_ms.push(up);
            kernel.down_ms.push(down);
            settle(n);
        }
        // the slow ones need fewer rounds
        if ip && round < 3 {
            batched.up_ms.push(timed(Command::new("sh").arg(&batch.up)).0);
            batched.down_ms.push(timed(Command::new("sh").arg(&batch.down)).0);
            settle(n);
        }
        if ip && round < 3 && (n <= 300 || round == 0) {
            script.up_ms.push(timed(Command::new("sh").arg(&batch.script)).0);
            script.down_ms.push(timed(Command::new("sh").arg(&batch.down)).0);
            settle(n);
            classic.up_ms.push(timed(Command::new("sh").arg(&batch.classic)).0);
            classic.down_ms.push(timed(Command::new("sh").arg(&batch.down)).0);
            settle(n);
        }
    }
    for (name, times) in [
        ("floor", &kernel),
        ("raum", &raum),
        ("ip -batch", &batched),
        ("ip script", &script),
        ("ip netns exec script", &classic),
    ] {
        if !times.up_ms.is_empty() {
            row(n, name, times, &kernel, &raum);
        }
    }
}

fn row(n: usize, name: &str, times: &Times, floor: &Times, raum: &Times) {
    let ratio = |a: &[f64], b: &[f64]| match (median(a), median(b)) {
        (Some(a), Some(b)) => format!("{:.2}", a / b),
        _ => "-".to_owned(),
    };
    let value = |a: &[f64], scale: f64| median(a).map_or("-".to_owned(), |v| format!("{:.1}", v / scale));
    println!(
        "| {n} | {name} | {} | {} | {} | {} | {} | {} | {} |",
        value(&times.up_ms, 1.0),
        ratio(&times.up_ms, &floor.up_ms),
        value(&times.again_ms, 1.0),
        if name == "raum" { ratio(&raum.again_ms, &raum.up_ms) } else { "-".to_owned() },
        value(&times.down_ms, 1.0),
        ratio(&times.down_ms, &floor.down_ms),
        value(&times.peak_kib, 1024.0),
    );
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// `raum exec NS -- true` against `ip netns exec NS true`, a hundred times each, in turn.
fn exec_ratio(place: &Path, ip: bool) {
    let lab = place.join("exec.yaml");
    must(fs::write(&lab, "lab: exec\nnamespaces: { a: }\n"));
    timed(Command::new(RAUM).arg("up").arg(&lab));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        ours.push(timed(Command::new(RAUM).args(["exec", "exec-a", "--", "true"])).0);
        if ip {
            theirs.push(timed(Command::new("ip").args(["netns", "exec", "exec-a", "true"])).0);
        }
    }
    timed(Command::new(RAUM).args(["down", "exec"]));
    if let (Some(ours), Some(theirs)) = (median(&ours), median(&theirs)) {
        println!(
            "\nraum exec NS -- true: {ours:.2} ms; ip netns exec NS true: {theirs:.2} ms; ratio {:.2}",
            ours / theirs
        );
    }
}

fn lab_file(n: usize) -> String {
    format!(
        "lab: bench\nswitches:\n  lan: {{ subnet: 10.77.0.0/16, gateway: host, nat: true }}\n\
         namespaces:\n  \"n[1-{n}]\": {{ on: lan }}\n"
    )
}

/// The same network in `ip` commands.
struct Batch {
    up: PathBuf,
    down: PathBuf,
    script: PathBuf,
    classic: PathBuf,
}

impl Batch {
    fn write(place: &Path, n: usize) -> Self {
        let nat = "command -v nft >/dev/null && nft 'table ip bench { chain post { type nat hook postrouting priority 100; \
                   ip saddr 10.77.0.0/16 oifname != \"benchbr\" masquerade; }; }'\n";
        let sysctl = "echo 1 > /proc/sys/net/ipv4/conf/benchbr/forwarding\n";
        let mut host = String::from("link add benchbr type bridge\naddr add 10.77.0.1/16 dev benchbr\n");
        let mut inside = String::new();
        let mut script = String::from("ip link add benchbr type bridge\nip addr add 10.77.0.1/16 dev benchbr\n");
        let mut classic = script.clone();
        let mut down = String::from("link del benchbr\n");
        for i in 0..n {
            let address = format!("10.77.{}.{}/16", i / 250, i % 250 + 2);
            must(write!(
                host,
                "netns add b{i}\nlink add v{i} type veth peer name eth0 netns b{i}\nlink set v{i} master benchbr up\n"
            ));
            must(write!(
                inside,
                "ip -n b{i} -batch - <<'EOF'\nlink set lo up\nlink set eth0 up\naddr add {address} dev eth0\n\
                 route add default via 10.77.0.1\nEOF\n"
            ));
            let commands = format!(
                "ip netns add b{i}\nip link add v{i} type veth peer name eth0 netns b{i}\nip link set v{i} master benchbr\n\
                 ip link set v{i} up\nip -n b{i} link set lo up\nip -n b{i} link set eth0 up\n\
                 ip -n b{i} addr add {address} dev eth0\nip -n b{i} route add default via 10.77.0.1\n"
            );
            classic += &commands.replace(&format!("ip -n b{i}"), &format!("ip netns exec b{i} ip"));
            script += &commands;
            must(writeln!(down, "netns del b{i}"));
        }
        let end = format!("ip link set benchbr up\n{sysctl}{nat}");
        let file = |name: &str, text: String| {
            let path = place.join(format!("{name}-{n}"));
            must(fs::write(&path, text));
            path
        };
        let host = file("host", host);
        let down_batch = file("down-batch", down);
        Self {
            up: file("up", format!("ip -batch {}\n{inside}{end}", host.display())),
            down: file(
                "down",
                format!(
                    "ip -batch {}\ncommand -v nft >/dev/null && nft delete table ip bench\ntrue\n",
                    down_batch.display()
                ),
            ),
            classic: file("classic", classic + &end),
            script: file("script", script + &end),
        }
    }
}

/// The floor's own figures: milliseconds up and down, with so many between them as raum's second `up` takes.
fn run_floor(floor: &Path, n: usize, pause: f64) -> (f64, f64) {
    let output = must(Command::new(floor).args([n.to_string(), format!("{pause:.0}")]).output());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |key: &str| {
        let word = text.split_whitespace().find_map(|word| word.strip_prefix(key));
        word.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("floor said: {text}"))
    };
    (value("up="), value("down="))
}

/// Wall milliseconds and peak resident KiB of a whole process; its output is thrown away, its failure ends the benchmark.
fn timed(command: &mut Command) -> (f64, f64) {
    let begin = Instant::now();
    let child = must(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn());
    let (status, usage) = must(wait4::Wait4::wait4(child).map(|done| (done.status, done.rusage)));
    let ms = begin.elapsed().as_secs_f64() * 1e3;
    assert!(status.success(), "{command:?}: {status}");
    // the crate gives bytes
    #[allow(clippy::cast_precision_loss)]
    (ms, usage.maxrss as f64 / 1024.0)
}

/// The kernel takes namespaces down in the background; the next measurement must not pay for that.
fn settle(n: usize) {
    sleep(Duration::from_millis(200 + n as u64 * 2));
}

fn found(program: &str) -> bool {
    Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
