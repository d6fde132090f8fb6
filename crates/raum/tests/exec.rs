//! A command inside a namespace: it sees that namespace and nothing of it is seen outside.
//!
//! As the process is replaced, this executable is started again with the test [`as_a_command`] alone, which becomes what its
//! environment says. What libtest prints before comes out, too, so the commands put a mark before their own output.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use raum::exec::{Exec, ExecError};
use raum_core::host::{Host, Outcome};
use raum_core::name::{LabName, NsName};
use raum_core::plan::Op;
use raum_kernel::{Linux, sandbox};
use rustix::mount::{MountFlags, mount, mount_bind};

const MARK: &str = "@@";

fn red() -> NsName {
    NsName::new("red").expect("a name")
}

/// Not a test: becomes `ARGUMENTS` (separated by newlines) in `red`, or ends with the error's code.
#[test]
#[ignore = "a helper of the other tests"]
fn as_a_command() {
    let Some(arguments) = std::env::var_os("EXEC_ARGUMENTS") else { return };
    let argv = arguments.to_str().expect("text").split('\n').map(OsString::from).collect();
    let hosts = std::env::var_os("EXEC_HOSTS").map(PathBuf::from);
    let error = Exec { ns: red(), hosts, argv }.run();
    println!("{MARK}{error}");
    std::process::exit(error.exit_code().into());
}

fn execute(argv: &[&str], hosts: Option<&Path>) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    command.args(["as_a_command", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("EXEC_ARGUMENTS", argv.join("\n"));
    if let Some(hosts) = hosts {
        command.env("EXEC_HOSTS", hosts);
    }
    command.output().expect("a process")
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, said) = text.split_once(MARK).unwrap_or_else(|| panic!("no mark: {output:?}"));
    said.trim().to_owned()
}

fn shell(script: &str, hosts: Option<&Path>) -> String {
    let output = execute(&["sh", "-c", &format!("printf {MARK}; {script}")], hosts);
    assert!(output.status.success(), "{output:?}");
    said(&output)
}

/// Namespace `red` with a bridge in it, and a private `/etc` that can be written to.
fn prepare() {
    let lab = LabName::new("shop").expect("a name");
    let bridge = Op::AddBridge {
        ns: red().into(),
        name: "br-red".parse().expect("a name"),
        mac: raum_core::name::Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        group: 7,
    };
    let mut linux = Linux::new().expect("the kernel");
    for op in [Op::AddNamespace { name: red(), lab }, bridge] {
        assert_eq!(linux.run(&[op]), [Outcome::Done]);
    }
    let etc = Path::new("/run/etc");
    fs::create_dir(etc).expect("/run/etc");
    for file in ["passwd", "nsswitch.conf"] {
        if let Ok(content) = fs::read(Path::new("/etc").join(file)) {
            fs::write(etc.join(file), content).expect("a copy");
        }
    }
    fs::write(etc.join("hosts"), "127.0.0.1 localhost\n").expect("hosts");
    fs::write(etc.join("resolv.conf"), "nameserver 192.0.2.1\n").expect("resolv.conf");
    mount_bind(etc, "/etc").expect("/etc");
}

fn write_hosts() -> PathBuf {
    let hosts = PathBuf::from("/run/lab-hosts");
    fs::write(&hosts, "10.9.8.7 shop-database\n").expect("a hosts file");
    hosts
}

#[test]
fn it_sees_the_interfaces_of_its_namespace() {
    sandbox::run(|| {
        prepare();
        assert!(shell("cat /proc/self/net/dev", None).contains("br-red"));
        assert!(!fs::read_to_string("/proc/thread-self/net/dev").expect("/proc").contains("br-red"));
        let inode = |output: String| output.trim().to_owned();
        let own = inode(shell("readlink /proc/self/ns/net", None));
        assert_ne!(own, fs::read_link("/proc/thread-self/ns/net").expect("a link").to_string_lossy());
        assert_eq!(own, inode(shell("readlink /proc/self/ns/net", None)));
    });
}

#[test]
fn its_sys_is_that_of_its_namespace() {
    sandbox::run(|| {
        prepare();
        // a container may refuse any sysfs: then the command runs with the host's, as is said in `Skipped`
        fs::create_dir_all("/run/sys").expect("a folder");
        if mount("probe", "/run/sys", "sysfs", MountFlags::empty(), None).is_err() {
            return assert_eq!(shell("echo here", None), "here");
        }
        let before = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let seen = shell("ls /sys/class/net", None);
        assert_eq!(seen.split_whitespace().filter(|name| *name == "br-red" || *name == "lo").count(), 2, "{seen}");
        assert_eq!(fs::read_to_string("/proc/self/mountinfo").expect("mounts"), before);
    });
}

#[test]
fn control_groups_are_still_there() {
    sandbox::run(|| {
        prepare();
        let listed = |folder: &str| {
            let entries = fs::read_dir(folder).map(|entries| entries.flatten().count());
            entries.unwrap_or(0)
        };
        let before = listed("/sys/fs/cgroup");
        assert_eq!(shell("ls -A /sys/fs/cgroup 2>/dev/null | wc -l", None), before.to_string());
    });
}

#[test]
fn the_labs_names_resolve_inside_and_only_there() {
    sandbox::run(|| {
        prepare();
        let hosts = write_hosts();
        assert_eq!(shell("cat /etc/hosts", Some(&hosts)), "10.9.8.7 shop-database");
        assert_eq!(fs::read_to_string("/etc/hosts").expect("hosts"), "127.0.0.1 localhost\n");
        if Command::new("getent").arg("--version").output().is_ok_and(|output| output.status.success()) {
            assert!(shell("getent hosts shop-database", Some(&hosts)).starts_with("10.9.8.7"));
        }
        let output = execute(&["true"], Some(Path::new("/run/no-such-file")));
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("/run/no-such-file cannot be shown as /etc/hosts"), "{output:?}");
    });
}

#[test]
fn files_for_the_namespace_cover_those_of_the_host() {
    sandbox::run(|| {
        prepare();
        let own = Path::new("/etc/netns/red");
        fs::create_dir_all(own).expect("a folder");
        fs::write(own.join("resolv.conf"), "nameserver 192.0.2.2\n").expect("a file");
        fs::write(own.join("not-on-the-host"), "").expect("a file");
        let hosts = write_hosts();
        assert_eq!(shell("cat /etc/resolv.conf", Some(&hosts)), "nameserver 192.0.2.2");
        assert_eq!(shell("cat /etc/hosts", Some(&hosts)), "10.9.8.7 shop-database");
        // a hosts file made for the namespace wins over the lab's
        fs::write(own.join("hosts"), "10.1.1.1 by-hand\n").expect("a file");
        assert_eq!(shell("cat /etc/hosts", Some(&hosts)), "10.1.1.1 by-hand");
        let exec = Exec { ns: red(), hosts: None, argv: vec!["true".into()] };
        let skipped = std::thread::spawn(move || exec.enter()).join().expect("no panic").expect("entered");
        let words = skipped.iter().map(ToString::to_string).find(|words| words.contains("not-on-the-host"));
        let expected = "/etc/netns/red/not-on-the-host is not seen as /etc/not-on-the-host: \
                        No such file or directory (ENOENT)";
        assert_eq!(words.as_deref(), Some(expected));
        assert_eq!(fs::read_to_string("/etc/resolv.conf").expect("a file"), "nameserver 192.0.2.1\n");
    });
}

#[test]
fn status_and_signals_are_the_commands() {
    sandbox::run(|| {
        prepare();
        assert_eq!(execute(&["sh", "-c", "exit 42"], None).status.code(), Some(42));
        assert_eq!(execute(&["sh", "-c", "kill -TERM $$"], None).status.signal(), Some(15));
        // Rust programs ignore SIGPIPE; the command must not
        assert_eq!(execute(&["sh", "-c", "kill -PIPE $$"], None).status.signal(), Some(13));
    });
}

#[test]
fn commands_that_cannot_run_are_told_as_a_shell_would() {
    sandbox::run(|| {
        prepare();
        let told = |argv: &[&str]| {
            let output = execute(argv, None);
            (output.status.code(), said(&output))
        };
        assert_eq!(told(&["no-such-command"]), (Some(127), "`no-such-command` is not found in PATH".to_owned()));
        assert_eq!(told(&["/no/such"]), (Some(127), "`/no/such` is not found".to_owned()));
        fs::write("/run/plain", "#!/bin/sh\n").expect("a file");
        let (code, words) = told(&["/run/plain"]);
        assert_eq!(code, Some(126));
        assert!(words.starts_with("`/run/plain` cannot be run: Permission denied (EACCES); is it"), "{words}");
        fs::write("/run/script", "#!/no/such/interpreter\n").expect("a file");
        fs::set_permissions("/run/script", fs::Permissions::from_mode(0o755)).expect("permissions");
        let (code, words) = told(&["/run/script"]);
        assert_eq!(code, Some(126));
        assert!(words.ends_with("interpreter or loader that it names is not"), "{words}");
    });
}

#[test]
fn what_is_no_namespace_is_told() {
    sandbox::run(|| {
        let told = || {
            let output = execute(&["true"], None);
            (output.status.code(), said(&output))
        };
        let (code, words) = told();
        assert_eq!(code, Some(2));
        assert!(words.starts_with("there is no namespace `red`"), "{words}");
        fs::create_dir_all("/run/netns").expect("a folder");
        fs::write("/run/netns/red", "").expect("a file");
        assert!(told().1.starts_with("/run/netns/red is no network namespace"));
        fs::remove_file("/run/netns/red").expect("removed");
        // even to a namespace no link is followed
        std::os::unix::fs::symlink("/proc/self/ns/net", "/run/netns/red").expect("a link");
        let (code, words) = told();
        assert_eq!((code, words.contains("ELOOP")), (Some(1), true), "{words}");
    });
}

#[test]
fn nothing_is_entered_without_a_command() {
    let error = Exec { ns: red(), hosts: None, argv: Vec::new() }.run();
    assert!(matches!(error, ExecError::NoCommand));
}
