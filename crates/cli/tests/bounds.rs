//! Whatever a lab file holds, reading it takes bounded time and memory: so much CPU time, memory and output as these processes may have,
//! and no more, set by limits of the kernel's (no clock: a busy machine only takes longer).

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::RAUM;

/// Seconds of CPU time, for an unoptimised program.
const CPU_S: u64 = 20;
/// Address space in kB.
const MEMORY_KB: u64 = 400_000;
/// All that is said.
const SAID_MAX: usize = 2 << 20;
/// The longest lab file that is read.
const FILE: usize = 1 << 20;

fn repeated(part: &str) -> String {
    part.repeat(FILE / part.len() - 1)
}

/// Every entry stands for ten of the one before.
fn laughs(merge: bool) -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        let all = vec![format!("*a{before}"); 10].join(", ");
        text += &if merge {
            format!("a{level}: &a{level} {{ <<: [{all}] }}\n")
        } else {
            format!("a{level}: &a{level} [{all}]\n")
        };
    }
    text
}

#[test]
fn any_file_is_read_in_bounded_time_and_memory() {
    let folder = std::env::temp_dir().join(format!("raum-bounds-{}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    let lines = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let line = line(number);
            if text.len() + line.len() > FILE - 100 {
                return text;
            }
            text += &line;
        }
        text
    };
    let many = |what: &str| format!("switches: {{ lan: {{ subnet: 10.0.0.0/8 }} }}\nnamespaces:\n{what}");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("10 MB", vec![b'x'; 10 << 20]),
        ("10 MB of line ends", vec![b'\n'; 10 << 20]),
        ("NULs", vec![0; FILE - 1]),
        ("a NUL in a name", b"lab: a\0b\n".to_vec()),
        ("not UTF-8", b"lab: \xff\xfe\n".to_vec()),
        ("UTF-16", "lab: shop\n".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("open lists", repeated("[").into()),
        ("open maps", repeated("{a: ").into()),
        ("open maps in lists", repeated("[{").into()),
        ("lists in lists", repeated("- ").into()),
        ("keys in keys", repeated("? ").into()),
        ("deeper and deeper", lines(&|number| format!("{}a:\n", " ".repeat(number % 1400))).into()),
        ("quotes", repeated("\"").into()),
        ("an open quote", format!("lab: \"{}", repeated("\\x41")).into()),
        ("tags", repeated("!a ").into()),
        ("anchors", repeated("&a ").into()),
        ("a cycle", b"namespaces: &a { b: *a }\n".to_vec()),
        ("a list in itself", b"links: &a [*a, *a]\n".to_vec()),
        ("aliases of aliases", laughs(false).into()),
        ("merges of merges", laughs(true).into()),
        ("documents", repeated("---\n").into()),
        ("directives", repeated("%YAML 1.2\n").into()),
        ("one long line", format!("lab: {}", repeated("a")).into()),
        ("one long key", format!("{}: 1", repeated("a")).into()),
        ("a number of a million digits", format!("switches: {{ lan: {{ mtu: {} }} }}", "9".repeat(FILE - 100)).into()),
        ("an exponent", b"switches: { lan: { mtu: 1e999999999 } }".to_vec()),
        ("a range of everything", b"namespaces: { 'n[1-99999999999999999999]': }".to_vec()),
        ("a range of a billion", b"namespaces: { 'n[1-1000000000]': }".to_vec()),
        ("ranges of ranges", b"namespaces: { 'n[1-999][1-999][1-999][1-999]': }".to_vec()),
        ("many ranges", many(&lines(&|number| format!("  'a{number}x[1-4000]': {{ on: lan }}\n"))).into()),
        ("many namespaces", many(&lines(&|number| format!("  a{number}: {{ on: lan }}\n"))).into()),
        ("the same name again and again", many(&lines(&|_| "  a: { on: lan }\n".to_owned())).into()),
        ("unknown keys", lines(&|number| format!("k{number}: 1\n")).into()),
        ("wrong addresses", many(&lines(&|number| format!("  a{number}: {{ on: lan 300.0.0.{number} }}\n"))).into()),
        ("wrong links", format!("links:\n{}", lines(&|number| format!("- ends: [a{number} 1.2.3.4, b]\n"))).into()),
        (
            "all published ports",
            format!("namespaces: {{ a: {{ publish: [{}] }} }}", lines(&|number| format!("'{number}:80',"))).into(),
        ),
        ("a port range", b"namespaces: { a: { publish: ['1-65535:1-65535'] } }".to_vec()),
    ];
    let mut wrong = Vec::new();
    for (name, content) in &cases {
        let path = folder.join("lab.yaml");
        fs::write(&path, content).expect("a lab file");
        // the one is much like the other, and takes time
        let forms = if name.contains("wrong") || name.contains("keys") { &["", "--json"][..] } else { &[""] };
        for json in forms {
            let line = format!("ulimit -t {CPU_S} -v {MEMORY_KB} -c 0; exec \"$RAUM\" check {json} \"$LAB\"");
            let mut command = Command::new("sh");
            command.args(["-c", &line]).env("RAUM", RAUM).env("LAB", &path).stdin(Stdio::null());
            let output = command.output().expect("a shell");
            let (out, err) = (output.stdout.len(), output.stderr.len());
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if !matches!(output.status.code(), Some(0..=2)) || text.contains("panicked") {
                wrong.push(format!("{name} {json}: {}\n{}", output.status, text.get(..500).unwrap_or(&text)));
            }
            if out + err > SAID_MAX {
                wrong.push(format!("{name} {json}: {} bytes are said", out + err));
            }
        }
    }
    fs::remove_dir_all(folder).expect("removed");
    println!("{} files, each: {CPU_S} s of CPU, {MEMORY_KB} kB, {SAID_MAX} bytes", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
