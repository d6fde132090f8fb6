//! Hostile neighbours: names that are paths or commands, names that are terminal escapes, a raum that somebody made set-user-ID;
//! and the neighbour without any rights.

#[path = "../../kernel/tests/bare/mod.rs"]
mod bare;
mod common;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::foreign::{FORWARD, IP, Part, Table, load};
use common::{RAUM, assert_same, host_side};
use raum_kernel::message::{NLM_F_CREATE, Requests};
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};
use rustix::fs::XattrFlags;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};

const LAB: &str = r#"
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, nat: true }
namespaces:
  web: { on: lan, publish: ["8080:80"] }
  db: { on: lan }
expect: [web reaches db]
"#;
const FILE: &str = "/run/shop.yaml";

fn raum(args: &[&str]) -> Output {
    Command::new(RAUM).args(args).stdin(Stdio::null()).output().expect("raum")
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).expect("text")
}

fn up() {
    fs::write(FILE, LAB).expect("a lab file");
    let output = raum(&["up", FILE]);
    assert!(output.status.success(), "{}", said(&output));
}

/// What a terminal would obey: all but the end of a line.
fn obeyed(text: &str) -> Option<char> {
    text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c))
}

#[test]
fn a_name_is_never_a_path_an_option_or_a_command() {
    sandbox::run(|| {
        up();
        fs::create_dir_all("/run/victim.test/x").expect("a folder");
        let before = host_side();
        let long = "n".repeat(300);
        let names = [
            "../victim.test",
            "../../run/victim.test/x",
            "..",
            "/",
            "//",
            "/run/victim.test",
            "a/b",
            "a\nb",
            "a b",
            "\u{1b}[31mred",
            "$(touch /run/pwned.test)",
            "`touch /run/pwned.test`",
            ";touch /run/pwned.test",
            "|touch",
            "a\u{0}b",
            "",
            "shop-web/../../victim.test",
            "shop-web ",
            "*",
            "?",
            "~",
            "\u{202e}bew-pohs",
            "\u{ff0f}",
            "-",
            "--",
            "-h-",
            &long,
        ];
        for name in names.iter().filter(|name| !name.contains('\0')) {
            // `.` and `/` in it make it a file for `down` and `up`
            for args in [
                vec!["exec", "--", name, "true"],
                vec!["status", "--", name],
                vec!["ping", "-c1", "--", name, "shop-web"],
                vec!["ping", "-c1", "--", "shop-web", name],
                vec!["down", "--", name],
                vec!["up", "--", name],
                vec!["show", "--", name],
            ] {
                let output = raum(&args);
                let told = said(&output);
                assert!(matches!(output.status.code(), Some(1 | 2)), "raum {args:?}: {} {told}", output.status);
                assert!(!told.contains("panicked"), "raum {args:?}: {told}");
                assert_eq!(obeyed(&told), None, "raum {args:?}: {told:?}");
            }
        }
        // the same in a lab file, for everything that has a name there
        for name in names {
            let quoted = serde_json::to_string(name).expect("a text");
            for text in [
                format!("lab: {quoted}\nnamespaces: {{ a: }}\n"),
                format!("namespaces: {{ {quoted}: }}\n"),
                format!("switches: {{ {quoted}: {{ subnet: 10.0.0.0/24 }} }}\n"),
                format!("links: [ {{ ends: [ \"a:\" , {quoted} ] }} ]\nnamespaces: {{ a: }}\n"),
                format!(
                    "switches: {{ lan: {{ subnet: 10.0.0.0/24 }} }}\nnamespaces: {{ a: {{ on: {{ switch: lan, interface: {quoted} }} }} }}\n"
                ),
            ] {
                let mut child = Command::new(RAUM);
                child.args(["up", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = child.spawn().expect("raum");
                child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
                let output = child.wait_with_output().expect("raum");
                let told = said(&output);
                // of an interface most are possible: it is no file, and there is no shell
                match output.status.code() {
                    Some(0) if text.contains("interface:") => assert!(raum(&["down", "lab"]).status.success()),
                    code => assert_eq!(code, Some(2), "{text}: {told}"),
                }
                assert_eq!(obeyed(&told), None, "{text}: {told:?}");
            }
        }
        assert!(!Path::new("/run/pwned.test").exists());
        assert_same(&before, &host_side(), "after all names");
    });
}

/// rtnetlink: a bridge of any name and alias, up; numbers of include/uapi/linux/if_link.h.
fn link(index: u32, name: &[u8], alias: &[u8]) {
    let attribute = |kind: u16, bytes: &[u8]| {
        let mut out = u16::try_from(bytes.len() + 4).expect("short").to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let up = 1_u32.to_ne_bytes();
    let mut body = [[0; 4], index.to_ne_bytes(), up, up].concat();
    body.extend(attribute(3, &[name, b"\0"].concat()));
    body.extend(attribute(20, alias));
    body.extend(attribute(18, &attribute(1, b"bridge")));
    let mut requests = Requests::new();
    requests.request(16, NLM_F_CREATE, &body);
    Socket::open(Protocol::Route).expect("a socket").run_one(&mut requests).expect("a link");
}

/// The index of an interface whose name is a colour.
const RED: u32 = 7001;

/// Names that a terminal would obey, of everything that has one: interfaces and their aliases, tables and chains, a namespace.
fn hostile_names() {
    // a colour, a title, C1, and one that deletes the line before
    link(RED, b"\x1b[31mred", b"\x1b]0;title\x07");
    link(RED + 1, "\u{9b}31m".as_bytes(), "\u{202e}txt.exe".as_bytes());
    link(RED + 2, b"\x08\x08\x7f", b"\x1b[1A\x1b[2K");
    let host = File::open("/proc/self/ns/net").expect("the host").into();
    bare::address(&host, RED, [203, 0, 113, 1], 24);
    bare::neighbour(&host, RED, [203, 0, 113, 9], [2, 0, 0, 0, 0, 9]);
    bare::bound("/run/netns/\u{1b}[31mroom");
    load(&Table {
        family: IP,
        name: "\u{1b}[31mtable",
        chains: vec![("\u{1b}]0;chain\u{7}", Some((FORWARD, 10, true)))],
        rules: vec![("\u{1b}]0;chain\u{7}", vec![Part::Iif("\u{1b}[31mred"), Part::Drop])],
    });
}

#[test]
fn escapes_in_foreign_names_are_shown_and_not_obeyed() {
    sandbox::run(|| {
        sandbox::loopback_up().expect("lo");
        up();
        hostile_names();
        // and processes, one in the lab's namespace that calls itself so, with such arguments
        let script = "printf '\\033[31mevil' >/proc/self/comm; read wait";
        let mut child = Command::new(RAUM);
        child.args(["exec", "shop-web", "sh", "-c", script, "\u{1b}]0;arguments\u{7}"]);
        let mut child = child.stdin(Stdio::piped()).spawn().expect("a process");
        let comm = format!("/proc/{}/comm", child.id());
        while !fs::read_to_string(&comm).expect("its name").contains("evil") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let parts = ["links", "addrs", "routes", "rules", "neigh", "fdb", "nat", "sockets", "ps"];
        let parts = parts.iter().flat_map(|part| ["host", "shop-web"].map(|what| vec!["show", what, part]));
        for args in SHOWING.iter().map(|line| line.split(' ').collect()).chain(parts) {
            for json in [&[][..], &["--json"][..]] {
                let args = [&args, json].concat();
                let output = raum(&args);
                let told = said(&output);
                assert_eq!(obeyed(&told), None, "raum {args:?}: {told:?}");
                assert!(!told.contains("panicked"), "raum {args:?}: {told}");
                assert!(!told.contains("unexpected argument"), "raum {args:?}: {told}");
                if !json.is_empty() && output.status.success() {
                    let values = serde_json::Deserializer::from_slice(&output.stdout);
                    assert!(
                        values.into_iter::<serde_json::Value>().all(|value| value.is_ok()),
                        "raum {args:?}: {told}"
                    );
                }
            }
        }
        for args in [&["watch"][..], &["watch", "--json"], &["show", "--watch=0.05", "--all"]] {
            let told = while_watched(args);
            assert_eq!(obeyed(&told), None, "raum {args:?}: {told:?}");
        }
        // they have really been there
        for (args, name) in [
            (&["show", "host"][..], "[31mred"),
            (&["show"], "[31mroom"),
            (&["show", "shop-web", "ps"], "[31mevil"),
            (&["trace", "shop-web", "203.0.113.9"], "[31mtable"),
        ] {
            let told = said(&raum(args));
            assert!(told.contains(name), "raum {args:?}: {told}");
        }
        drop(child.stdin.take());
        child.wait().expect("its end");
        let told = said(&raum(&["down", "shop"]));
        assert_eq!(obeyed(&told), None, "{told:?}");
    });
}

/// What is said while an interface with such a name comes and goes, until that is said.
fn while_watched(args: &[&str]) -> String {
    let path = "/run/watched.test";
    let file = File::create(path).expect("a file");
    let mut child = Command::new(RAUM);
    let mut child = child.args(args).stdin(Stdio::null()).stdout(file).spawn().expect("raum");
    let told = || fs::read_to_string(path).expect("text");
    let host = File::open("/proc/self/ns/net").expect("the host").into();
    for _ in 0..3000 {
        if told().contains("[31mlate") {
            break;
        }
        link(RED + 3, b"\x1b[31mlate", b"\x07");
        std::thread::sleep(std::time::Duration::from_millis(50));
        bare::tell(&host, |requests| {
            let header = [[0; 4], (RED + 3).to_ne_bytes(), [0; 4], [0; 4]].concat();
            // RTM_DELLINK
            requests.request(17, 0, &header);
        });
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("a signal");
    child.wait().expect("raum");
    assert!(told().contains("[31mlate"), "raum {args:?}: {}", told());
    told()
}

/// What shows, or says in passing, what others have called something; beside all parts of `show`.
const SHOWING: &[&str] = &[
    "ls",
    "ns list",
    "status",
    "plan /run/shop.yaml",
    "up /run/shop.yaml",
    "check /run/shop.yaml",
    "doctor",
    "show",
    "show --all",
    "show host",
    "show shop",
    "show shop-web",
    "show nobody",
    "graph",
    "graph shop",
    "graph /run/shop.yaml",
    "graph --all",
    "graph --all --format svg",
    "graph --all --format mermaid",
    "graph --all --format dot",
    "import --all",
    "export shop",
    "top --json -n 1 -d 0.1",
    "capture host --duration 0.2",
    "capture host:nothing",
    "capture shop-web --duration 0.2",
    "ping -c1 -W 500 shop-web db",
    "ping -c1 -W 100 shop-web 203.0.113.9",
    "ping --all shop -W 500",
    "trace shop-web db",
    "trace shop-web 203.0.113.9",
    "trace host 203.0.113.9",
    "test shop",
    "test shop --tap",
];

/// Whom nothing belongs to, and who may do nothing.
const NOBODY: u32 = 65534;

/// A copy of raum that everybody may run, and that may be set-user-ID (the sandbox's /run is mounted without).
fn copy_for_everybody() -> &'static Path {
    fs::create_dir("/run/suid.test").expect("a folder");
    mount("suid", "/run/suid.test", "tmpfs", MountFlags::empty(), Some(c"mode=0755")).expect("a disk");
    let program = Path::new("/run/suid.test/raum");
    fs::write(program, fs::read(RAUM).expect("raum")).expect("a copy");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("a mode");
    program
}

fn remove_copy() {
    rustix::mount::unmount("/run/suid.test", rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    fs::remove_dir("/run/suid.test").expect("removed");
}

#[test]
fn without_rights_there_is_the_one_message_and_nothing_happens() {
    sandbox::run(|| {
        up();
        let before = host_side();
        let program = copy_for_everybody();
        let run = |line: &str| {
            let mut command = Command::new(program);
            command.args(line.split(' ')).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
            command.output()
        };
        // in a user namespace with one user there is no other
        if let Err(error) = run("schema") {
            return println!("no other user here: {error}");
        }
        for line in [
            "up /run/shop.yaml",
            "plan /run/shop.yaml",
            "down shop",
            "down /run/shop.yaml",
            "down --all",
            "status",
            "status shop",
            "ls",
            "graph shop",
            "import shop-web",
            "import --all",
            "exec shop-web true",
            "exec web true",
            "shell shop-web",
            "ping shop-web db",
            "ping --all shop",
            "ns add late",
            "ns add --dry-run late",
            "ns del --lab shop db",
            "link down --lab shop web",
            "export shop",
            "trace shop-web db",
            "test shop",
            "test /run/shop.yaml",
            "capture shop-web",
            "capture web tcp",
        ] {
            let output = run(line).expect("raum");
            let told = said(&output);
            assert_eq!(output.status.code(), Some(1), "raum {line}: {told}");
            let wanted = "error: not permitted: raum makes and looks into namespaces, which needs CAP_NET_ADMIN and \
                          CAP_SYS_ADMIN\nhelp: run it with sudo, or in namespaces of your own: unshare --user";
            assert!(told.starts_with(wanted), "raum {line}: {told}");
            assert_eq!(told.lines().count(), 2, "raum {line}: {told}");
        }
        // what needs no rights, or shows what can be seen without
        for line in
            ["check /run/shop.yaml", "graph", "graph /run/shop.yaml", "graph --all", "show", "show host", "schema"]
        {
            let output = run(line).expect("raum");
            assert!(output.status.success(), "raum {line}: {}", said(&output));
        }
        assert!(
            said(&run("doctor").expect("raum")).contains("this process has not got CAP_NET_ADMIN and CAP_SYS_ADMIN")
        );
        remove_copy();
        assert_same(&before, &host_side(), "at the end");
    });
}

/// `security.capability`, version 2 (include/uapi/linux/capability.h): `CAP_NET_ADMIN` and `CAP_SYS_ADMIN` permitted, and
/// effective at once.
fn capabilities() -> Vec<u8> {
    [0x0200_0001_u32, 1 << 12 | 1 << 21, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn set_user_id_or_with_file_capabilities_it_refuses_to_run() {
    sandbox::run(|| {
        let before = host_side();
        let program = copy_for_everybody();
        fs::write(FILE, LAB).expect("a lab file");
        let run = |args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
            command.output()
        };
        let mode = |mode| fs::set_permissions(program, fs::Permissions::from_mode(mode)).expect("a mode");
        match run(&["ls"]) {
            // as an ordinary program it says what is missing
            Ok(output) => assert!(said(&output).contains("not permitted"), "{}", said(&output)),
            // in a user namespace with one user there is no other
            Err(error) => return println!("no other user here: {error}"),
        }
        let refuses = |how: &str| {
            for args in [&["up", FILE][..], &["ls"], &["exec", "host", "id"], &["schema"], &["--help"]] {
                let output = run(args).expect("raum");
                let told = said(&output);
                assert_eq!(output.status.code(), Some(1), "{how}: raum {args:?}: {told}");
                assert!(told.contains("set-user-ID") && told.contains("sudo"), "{how}: raum {args:?}: {told}");
                assert!(output.stdout.is_empty(), "{how}: raum {args:?}: {told}");
            }
        };
        mode(0o4755);
        refuses("set-user-ID");
        mode(0o2755);
        chown(program, Some(0), Some(0)).expect("an owner");
        mode(0o2755);
        refuses("set-group-ID");
        mode(0o755);
        if rustix::fs::setxattr(program, "security.capability", &capabilities(), XattrFlags::empty()).is_ok() {
            refuses("file capabilities");
        }
        // root himself gains nothing by it, and is not kept from working
        let mut command = Command::new(program);
        assert!(command.arg("ls").status().expect("raum").success());
        remove_copy();
        assert_same(&before, &host_side(), "at the end");
    });
}

#[test]
fn a_command_inside_has_the_descriptors_that_it_was_given_and_no_others() {
    sandbox::run(|| {
        up();
        let list = "for f in /proc/$$/fd/*; do echo ${f##*/}; done";
        let output = raum(&["exec", "shop-web", "sh", "-c", list]);
        let without = Command::new("sh").args(["-c", list]).stdin(Stdio::null()).output().expect("a shell");
        assert_eq!(said(&output), said(&without));
        // no process of raum's is between: the parent is this one
        let output = raum(&["exec", "shop-web", "sh", "-c", "echo $PPID"]);
        assert_eq!(said(&output).trim(), std::process::id().to_string());
    });
}
