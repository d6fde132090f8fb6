//! A network of its own for a test: the real kernel, but nothing of the real host.
//!
//! ```no_run
//! # /*
//! #[test]
//! # */
//! fn a_bridge_can_be_made() {
//!     raum_kernel::sandbox::run(|| {
//!         // an empty network namespace, /run/netns and /run/raum of its own, uid 0
//!     });
//! }
//! ```
//!
//! The test runs its own executable again, for that one test, with fresh network and mount namespaces, and a user namespace
//! where it is not root. Where the kernel forbids that, it says `skipped: why` and passes; with `RAUM_NO_SKIP` set (as in
//! CI) it fails.

mod tap;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output};

use raum_core::host::OpError;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::errno;
use crate::message::Requests;
use crate::namespace::{self, in_namespace};
use crate::socket::{Protocol, Socket};

pub use tap::tap;

/// Says to the executable that it is inside, with the test's name.
const INSIDE: &str = "RAUM_SANDBOX";
/// Makes a skip a failure.
const NO_SKIP: &str = "RAUM_NO_SKIP";
/// The last line of a test that ran to its end: an executable that runs no test at all would succeed, too.
const DONE: &str = "raum sandbox: the test has run";
/// The status of a test that cannot be run here.
const SKIPPED: i32 = 77;

/// Runs a test in a sandbox. To be called directly in a `#[test]` function.
///
/// # Panics
/// When the test fails; when it cannot run here and `RAUM_NO_SKIP` is set.
pub fn run<F: FnOnce()>(test: F) {
    if std::env::var_os(INSIDE).is_some() {
        if let Err(error) = prepare() {
            println!("{error}");
            std::process::exit(SKIPPED);
        }
        test();
        println!("{DONE}");
        return;
    }
    let name = test_name::<F>();
    match again(&name) {
        Ok(output) => judge(&name, &output),
        Err(cause) => skip(&name, &format!("no namespaces of its own: {cause}")),
    }
}

/// Am I in a sandbox?
#[must_use]
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Brings `lo` up in the calling thread's namespace.
///
/// # Errors
/// The kernel's refusal.
pub fn loopback_up() -> Result<(), OpError> {
    /// RTM_NEWLINK with a `struct ifinfomsg`: index 1, `IFF_UP` in flags and mask.
    const UP: [u8; 16] = [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    let mut requests = Requests::new();
    let up = if cfg!(target_endian = "little") { UP } else { [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1] };
    requests.request(16, 0, &up);
    Socket::open(Protocol::Route)?.run_one(&mut requests)
}

/// From now on the kernel says to this thread, and to threads and processes that it starts, that it is Linux 2.6 (`UNAME26`,
/// personality(2)): what raum does otherwise for older kernels it does then. Newer ones take that as well.
///
/// # Errors
/// The kernel's refusal.
pub fn say_an_older_release() -> Result<(), OpError> {
    /// include/uapi/linux/personality.h
    const UNAME26: libc::c_ulong = 0x0002_0000;
    // SAFETY: personality(2) takes a number and no pointer.
    match unsafe { libc::personality(UNAME26) } {
        -1 => Err(errno::at_io("personality", &io::Error::last_os_error())),
        _ => Ok(()),
    }
}

/// A second namespace beside the sandbox's, without a name and with `lo` up: the world outside.
///
/// # Errors
/// The kernel's refusal.
pub fn outside() -> Result<OwnedFd, OpError> {
    let outside = namespace::fresh()?;
    in_namespace(&outside, loopback_up)??;
    Ok(outside)
}

/// The name by which libtest knows the running test: that of its thread; else the path of the function that the closure is
/// in, without the crate.
fn test_name<F>() -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => {
            let path = std::any::type_name::<F>();
            let path = path.split("::{{closure}}").next().unwrap_or_default();
            path.split_once("::").map_or(path, |(_, path)| path).to_owned()
        }
    }
}

/// Runs this executable for one test. Root keeps its user, unless that is a root who may nothing (in a container).
fn again(name: &str) -> io::Result<Output> {
    let fresh = UnshareFlags::NEWNET | UnshareFlags::NEWNS;
    if geteuid().is_root() {
        let output = command(name, fresh, None)?.output();
        if output.is_ok() {
            return output;
        }
    }
    let maps = [format!("0 {} 1", geteuid().as_raw()), format!("0 {} 1", getegid().as_raw())];
    command(name, fresh | UnshareFlags::NEWUSER, Some(maps))?.output()
}

fn command(name: &str, fresh: UnshareFlags, maps: Option<[String; 2]>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([name, "--exact", "--nocapture", "--test-threads=1", "--include-ignored"]).env(INSIDE, name);
    let into = move || -> io::Result<()> {
        // a test that is interrupted leaves no process behind
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // SAFETY: this process has one thread, and its descriptors stay shared with nobody.
        unsafe { unshare_unsafe(fresh) }?;
        if let Some([uid, gid]) = &maps {
            // user_namespaces(7): without privilege outside, groups must be given up before gid_map can be written
            write("/proc/self/setgroups", "deny")?;
            write("/proc/self/uid_map", uid)?;
            write("/proc/self/gid_map", gid)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made: the texts were made before, paths are short enough for
    // rustix to put them on the stack, and errors are bare errnos; nothing allocates or takes a lock.
    unsafe { command.pre_exec(into) };
    Ok(command)
}

/// A system call or three, for use between fork and exec.
fn write(path: &str, text: &str) -> io::Result<()> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

/// Private mounts, and a `/run` of its own in which only what this process was started from is still there.
fn prepare() -> Result<(), OpError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|cause| errno::at("private mounts", cause))?;
    let kept = needed_of_run();
    let old = entries_of_run(&kept)?;
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755"))
        .map_err(|cause| errno::at("/run", cause))?;
    for (name, entry) in old {
        let path = Path::new("/run").join(&name);
        let done = match &entry {
            Entry::Link(target) => std::os::unix::fs::symlink(target, &path),
            Entry::Directory(fd) => {
                use std::os::fd::AsRawFd;
                let view = format!("/proc/self/fd/{}", fd.as_raw_fd());
                std::fs::create_dir(&path)
                    .and_then(|()| mount_bind_recursive(view.as_str(), &path).map_err(io::Error::from))
            }
        };
        done.map_err(|cause| errno::at_io(&path.display().to_string(), &cause))?;
    }
    Ok(())
}

enum Entry {
    Link(PathBuf),
    Directory(OwnedFd),
}

/// The first names under `/run` that this process still needs: on some systems programs or a build folder are there.
fn needed_of_run() -> BTreeSet<String> {
    let mut paths: Vec<PathBuf> = [std::env::current_exe(), std::env::current_dir()].into_iter().flatten().collect();
    paths.push(std::env::temp_dir());
    paths.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let first = |path: &PathBuf| {
        let mut parts = path.strip_prefix("/run").ok()?.components();
        match parts.next() {
            Some(Component::Normal(name)) => name.to_str().map(str::to_owned),
            _ => None,
        }
    };
    let mut names: BTreeSet<String> = paths.iter().filter_map(first).collect();
    for own in ["netns", "raum"] {
        names.remove(own);
    }
    names
}

fn entries_of_run(names: &BTreeSet<String>) -> Result<Vec<(String, Entry)>, OpError> {
    let mut entries = Vec::new();
    for name in names {
        let path = Path::new("/run").join(name);
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        let entry = if found.is_symlink() {
            std::fs::read_link(&path).map(Entry::Link)
        } else if found.is_dir() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(CWD, &path, flags, Mode::empty()).map(Entry::Directory).map_err(io::Error::from)
        } else {
            continue;
        };
        entries.push((name.clone(), entry.map_err(|cause| errno::at_io(&path.display().to_string(), &cause))?));
    }
    Ok(entries)
}

fn judge(name: &str, output: &Output) {
    let out = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(SKIPPED) {
        let why = out.lines().last().unwrap_or_default().to_owned();
        return skip(name, &why);
    }
    print!("{out}");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} failed in its sandbox: {}", output.status);
    assert!(out.contains(DONE), "{name} did not run in its sandbox: no test is called so");
}

fn skip(name: &str, why: &str) {
    assert!(std::env::var_os(NO_SKIP).is_none(), "{name} cannot run here, and {NO_SKIP} is set: {why}");
    // past libtest's capture, so that it is seen; if standard error is closed nobody is there to see it
    drop(writeln!(io::stderr(), "skipped: {name}: {why}"));
}
