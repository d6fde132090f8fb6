//! Hostile neighbours: names that are paths or commands, names that are terminal escapes, a raum that somebody made set-user-ID.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{RAUM, assert_same, host_side};
use raum_kernel::message::{NLM_F_CREATE, Requests};
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};
use rustix::fs::XattrFlags;
use rustix::mount::{MountFlags, mount};

const LAB: &str = r#"
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, nat: true }
namespaces:
  web: { on: lan, publish: ["8080:80"] }
  db: { on: lan }
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

/// rtnetlink: a dummy or bridge of any name and alias; numbers of include/uapi/linux/if_link.h.
fn link(name: &[u8], alias: &[u8]) {
    let attribute = |kind: u16, bytes: &[u8]| {
        let mut out = u16::try_from(bytes.len() + 4).expect("short").to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let mut body = vec![0; 16];
    body.extend(attribute(3, &[name, b"\0"].concat()));
    body.extend(attribute(20, alias));
    body.extend(attribute(18, &attribute(1, b"bridge")));
    let mut requests = Requests::new();
    requests.request(16, NLM_F_CREATE, &body);
    Socket::open(Protocol::Route).expect("a socket").run_one(&mut requests).expect("a link");
}

#[test]
fn escapes_in_foreign_names_are_shown_and_not_obeyed() {
    sandbox::run(|| {
        up();
        // a colour, a title, C1, and one that deletes the line before
        link(b"\x1b[31mred", b"\x1b]0;title\x07");
        link("\u{9b}31m".as_bytes(), "\u{202e}txt.exe".as_bytes());
        link(b"\x08\x08\x7f", b"\x1b[1A\x1b[2K");
        // and processes, one in the lab's namespace that calls itself so, with such arguments
        let script = "printf '\\033[31mevil' >/proc/self/comm; read wait";
        let mut child = Command::new(RAUM);
        child.args(["exec", "shop-web", "sh", "-c", script, "\u{1b}]0;arguments\u{7}"]);
        let mut child = child.stdin(Stdio::piped()).spawn().expect("a process");
        let comm = format!("/proc/{}/comm", child.id());
        while !fs::read_to_string(&comm).expect("its name").contains("evil") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for args in SHOWING {
            for json in [&[][..], &["--json"][..]] {
                let args = [args, json].concat();
                let output = raum(&args);
                let told = said(&output);
                assert_eq!(obeyed(&told), None, "raum {args:?}: {told:?}");
                assert!(!told.contains("panicked"), "raum {args:?}: {told}");
                if !json.is_empty() && output.status.success() {
                    serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON");
                }
            }
        }
        let host = said(&raum(&["show", "host"]));
        assert!(host.contains("[31mred"), "{host}");
        drop(child.stdin.take());
        child.wait().expect("its end");
        let told = said(&raum(&["down", "shop"]));
        assert_eq!(obeyed(&told), None, "{told:?}");
    });
}

const SHOWING: &[&[&str]] = &[
    &["ls"],
    &["show"],
    &["show", "host"],
    &["show", "shop"],
    &["show", "shop-web"],
    &["status"],
    &["plan", FILE],
    &["check", FILE],
];

/// `security.capability`, version 2 (include/uapi/linux/capability.h): `CAP_NET_ADMIN` and `CAP_SYS_ADMIN` permitted, and
/// effective at once.
fn capabilities() -> Vec<u8> {
    [0x0200_0001_u32, 1 << 12 | 1 << 21, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn set_user_id_or_with_file_capabilities_it_refuses_to_run() {
    /// nobody
    const ORDINARY: u32 = 65534;
    sandbox::run(|| {
        let before = host_side();
        // not the sandbox's /run: set-user-ID is off there
        fs::create_dir("/run/suid.test").expect("a folder");
        mount("suid", "/run/suid.test", "tmpfs", MountFlags::empty(), Some(c"mode=0755")).expect("a disk");
        let program = Path::new("/run/suid.test/raum");
        fs::write(program, fs::read(RAUM).expect("raum")).expect("a copy");
        fs::write(FILE, LAB).expect("a lab file");
        let run = |args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).uid(ORDINARY).gid(ORDINARY).stdin(Stdio::null());
            command.output()
        };
        let mode = |mode| fs::set_permissions(program, fs::Permissions::from_mode(mode)).expect("a mode");
        mode(0o755);
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
        rustix::mount::unmount("/run/suid.test", rustix::mount::UnmountFlags::DETACH).expect("unmounted");
        fs::remove_dir("/run/suid.test").expect("removed");
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
