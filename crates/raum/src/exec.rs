//! Becoming a command inside a namespace, as `ip netns exec` does: with that namespace's network, its `/sys`, its files of
//! `/etc/netns/NAME` over those of `/etc`, and the lab's names in `/etc/hosts`.
//!
//! The calling thread moves first, then the process is replaced: no process of raum's stands between the command and its
//! signals, its terminal and its exit status.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use raum_core::host::OpError;
use raum_core::name::NsName;
use raum_kernel::{errno, namespace};
use rustix::fs::{CWD, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, move_mount, open_tree};
use rustix::process::getuid;

/// Where files for single namespaces are (ip-netns(8)): each is seen over the one of its name in [`ETC`].
const NETNS_ETC: &str = "/etc/netns";
const ETC: &str = "/etc";
const HOSTS: &str = "hosts";
const SYS: &str = "/sys";
const CGROUP: &str = "/sys/fs/cgroup";
/// `SYSFS_MAGIC` (include/uapi/linux/magic.h).
const SYSFS_MAGIC: u64 = 0x6265_6572;

/// A command and the namespace that it shall run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The namespace, by its name under `/run/netns`.
    pub ns: NsName,
    /// The file to be seen as `/etc/hosts`, unless there is an `/etc/netns/NAME/hosts`.
    pub hosts: Option<PathBuf>,
    /// The command, looked for in `PATH`, and its arguments.
    pub argv: Vec<OsString>,
}

/// Something that the command will not see as it should; it runs all the same, as with `ip netns exec`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct Skipped {
    /// What, in words: `/etc/netns/red/resolv.conf is not seen as /etc/resolv.conf`.
    pub what: String,
    /// The kernel's answer.
    pub cause: OpError,
}

/// Why a command does not run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// Nothing to run.
    #[error("no command was given")]
    NoCommand,
    /// No namespace of that name.
    #[error("there is no namespace `{0}`: /run/netns/{0} does not exist; `raum ls` shows which there are")]
    NoNamespace(NsName),
    /// A file that is no network namespace: left over from a reboot, or somebody's.
    #[error("/run/netns/{0} is no network namespace; `raum up` or `ip netns add` makes one, once that file is removed")]
    NotANamespace(NsName),
    /// Something may not be done by this user.
    #[error("{0}: this needs root (CAP_SYS_ADMIN); try it with sudo")]
    Permission(OpError),
    /// The namespace, or mounts of its own, could not be entered.
    #[error("{0}")]
    Enter(OpError),
    /// The hosts file could not be put over `/etc/hosts`: names of the lab would not resolve.
    #[error("{} cannot be shown as /etc/hosts: {cause}; both must exist", hosts.display())]
    Hosts {
        /// The file.
        hosts: PathBuf,
        /// The kernel's answer.
        cause: OpError,
    },
    /// No such command.
    #[error("`{}` is not found{}", command.to_string_lossy(), place(command))]
    NotFound {
        /// As given.
        command: OsString,
    },
    /// The command is there, but cannot be run.
    #[error("`{}` cannot be run: {cause}{}", command.to_string_lossy(), way_out(*interpreter, cause))]
    NotExecutable {
        /// As given.
        command: OsString,
        /// Is it the interpreter in its first line, or its loader, that is missing?
        interpreter: bool,
        /// The kernel's answer.
        cause: OpError,
    },
}

impl ExecError {
    /// As a shell's: 127 if the command is not found, 126 if it cannot be run; 2 if there is no command or namespace, as
    /// wrong usage, 1 if it was not even tried for another reason.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ExecError::NotFound { .. } => 127,
            ExecError::NotExecutable { .. } => 126,
            ExecError::NoCommand | ExecError::NoNamespace(_) => 2,
            _ => 1,
        }
    }
}

fn place(command: &OsStr) -> &'static str {
    if command.as_bytes().contains(&b'/') { "" } else { " in PATH" }
}

fn way_out(interpreter: bool, cause: &OpError) -> &'static str {
    if interpreter {
        "; it is there, but the interpreter or loader that it names is not"
    } else if cause.code == "EACCES" {
        "; is it a file with execute permission (chmod +x), on a mount without noexec?"
    } else {
        ""
    }
}

impl Exec {
    /// Enters the namespace and becomes the command; returns only on failure. What cannot be shown inside is passed over:
    /// [`Exec::enter`] and [`Exec::replace`] tell it.
    pub fn run(self) -> ExecError {
        match self.enter() {
            Ok(_) => self.replace(),
            Err(error) => error,
        }
    }

    /// Moves the calling thread into the namespace, with mounts of its own. It cannot come back, and after an error it may be
    /// half way: the process should end then, or have done this on a thread that ends. Says what is not as it should be.
    ///
    /// # Errors
    /// No such namespace, no permission, or names would not resolve.
    pub fn enter(&self) -> Result<Vec<Skipped>, ExecError> {
        if self.argv.is_empty() {
            return Err(ExecError::NoCommand);
        }
        let fd = namespace::named(&self.ns).map_err(|cause| match cause.code {
            "ENOENT" => ExecError::NoNamespace(self.ns.clone()),
            "EINVAL" => ExecError::NotANamespace(self.ns.clone()),
            _ => refused(cause),
        })?;
        namespace::enter(fd.as_fd()).map_err(|cause| match cause.code {
            "EINVAL" => ExecError::NotANamespace(self.ns.clone()),
            _ => refused(cause),
        })?;
        namespace::enter_own_mounts().map_err(refused)?;
        let mut skipped = Vec::new();
        self.show_sys(&mut skipped);
        let has_hosts = self.show_etc(&mut skipped);
        if let Some(hosts) = self.hosts.as_ref().filter(|_| !has_hosts) {
            mount_bind(hosts, Path::new(ETC).join(HOSTS))
                .map_err(|cause| ExecError::Hosts { hosts: hosts.clone(), cause: error(cause) })?;
        }
        Ok(skipped)
    }

    /// Becomes the command, where the calling thread is: [`become_command`].
    pub fn replace(self) -> ExecError {
        become_command(self.argv)
    }

    /// A `/sys` with this namespace's interfaces (`/sys/class/net`), over the host's. It is not unmounted first as ip does: if
    /// the new one is refused, as in some containers, the old one is still there. Control groups stay where they were.
    fn show_sys(&self, skipped: &mut Vec<Skipped>) {
        let cgroup = control_groups();
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let sysfs = |flags| mount(self.ns.as_str(), SYS, "sysfs", flags, None);
        // a read-only one must not be covered by a writable one in a user namespace (mnt_already_visible, fs/namespace.c)
        let done = sysfs(flags).or_else(|cause| match cause {
            Errno::PERM => sysfs(flags | MountFlags::RDONLY),
            cause => Err(cause),
        });
        if let Err(cause) = done {
            let what = "/sys is still the host's, /sys/class/net too".to_owned();
            return skipped.push(Skipped { what, cause: error(cause) });
        }
        if let Some(tree) = cgroup
            && let Err(cause) = move_mount(&tree, "", CWD, CGROUP, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        {
            skipped.push(Skipped { what: format!("{CGROUP} is empty"), cause: error(cause) });
        }
    }

    /// Puts each file of `/etc/netns/NAME` over the one in `/etc`. Is there a hosts file among them?
    fn show_etc(&self, skipped: &mut Vec<Skipped>) -> bool {
        let folder = Path::new(NETNS_ETC).join(self.ns.as_str());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return false,
            Err(cause) => {
                let what = format!("{} is not seen", folder.display());
                skipped.push(Skipped { what, cause: errno::at_io("reading it", &cause) });
                return false;
            }
        };
        let mut hosts = false;
        for entry in entries {
            let (file, done) = match entry {
                Ok(entry) => {
                    let target = Path::new(ETC).join(entry.file_name());
                    hosts |= entry.file_name() == HOSTS;
                    (entry.path(), mount_bind(entry.path(), &target))
                }
                Err(cause) => (folder.clone(), Err(Errno::from_io_error(&cause).unwrap_or(Errno::IO))),
            };
            if let Err(cause) = done {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let what = format!("{} is not seen as {ETC}/{name}", file.display());
                skipped.push(Skipped { what, cause: error(cause) });
            }
        }
        hosts
    }
}

/// The present tree of control groups, if one is mounted: programs that start scopes or read their limits need it.
fn control_groups() -> Option<OwnedFd> {
    let magic = u64::try_from(statfs(CGROUP).ok()?.f_type).ok()?;
    if magic == SYSFS_MAGIC {
        return None;
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    // older than Linux 5.2: /sys/fs/cgroup is empty then, as with ip
    open_tree(CWD, CGROUP, flags).ok()
}

fn error(cause: Errno) -> OpError {
    errno::error(cause.raw_os_error(), None)
}

fn refused(cause: OpError) -> ExecError {
    if matches!(cause.code, "EPERM" | "EACCES") { ExecError::Permission(cause) } else { ExecError::Enter(cause) }
}

/// Replaces this process by the command, where the calling thread is; returns only on failure. SIGPIPE has its default action and no signal is blocked.
#[must_use]
pub fn become_command(argv: Vec<OsString>) -> ExecError {
    let Some((command, arguments)) = argv.split_first() else { return ExecError::NoCommand };
    // std resets SIGPIPE and the signal mask before it replaces the process
    let cause = Command::new(command).args(arguments).exec();
    let there = exists(command);
    // with a folder in PATH that may not be searched the kernel's answer is EACCES, and yet it is nowhere
    let missing = match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => true,
        io::ErrorKind::PermissionDenied => !command.as_bytes().contains(&b'/'),
        _ => false,
    };
    if missing && !there {
        return ExecError::NotFound { command: command.clone() };
    }
    let interpreter = there && cause.kind() == io::ErrorKind::NotFound;
    let cause = Errno::from_io_error(&cause).map_or_else(|| errno::refused(cause.to_string()), error);
    ExecError::NotExecutable { command: command.clone(), interpreter, cause }
}

/// Is there a file that exec would have tried? Only asked to word an error.
fn exists(command: &OsStr) -> bool {
    if command.as_bytes().contains(&b'/') {
        return Path::new(command).exists();
    }
    !command.is_empty()
        && env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(command).is_file()))
}

/// The shell of the person who asks: `$SHELL`, else that of `/etc/passwd`, else `/bin/sh`.
#[must_use]
pub fn shell_command() -> Vec<OsString> {
    let set = env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let known = || passwd_shell(&fs::read("/etc/passwd").ok()?, getuid().as_raw());
    vec![set.or_else(known).unwrap_or_else(|| OsString::from("/bin/sh"))]
}

/// The last of the seven fields of the user's line (passwd(5)); an empty one means `/bin/sh`.
fn passwd_shell(passwd: &[u8], uid: u32) -> Option<OsString> {
    let uid = uid.to_string();
    let shell = passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        match fields[..] {
            [_, _, id, _, _, _, shell] if id == uid.as_bytes() => Some(shell),
            _ => None,
        }
    })?;
    (!shell.is_empty()).then(|| OsString::from_vec(shell.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_the_last_field_of_the_users_line() {
        let passwd = b"root:x:0:0:root:/root:/bin/zsh\n# odd\nann:x:10:10::/home/ann:\nbob:x:100:1:B,,:/:/bin/fish";
        assert_eq!(passwd_shell(passwd, 0), Some("/bin/zsh".into()));
        assert_eq!(passwd_shell(passwd, 10), None);
        assert_eq!(passwd_shell(passwd, 100), Some("/bin/fish".into()));
        assert_eq!(passwd_shell(passwd, 1), None);
    }

    #[test]
    fn codes_are_those_of_a_shell() {
        let command = OsString::from("x");
        assert_eq!(ExecError::NotFound { command: command.clone() }.exit_code(), 127);
        let cause = error(Errno::ACCESS);
        assert_eq!(ExecError::NotExecutable { command, interpreter: false, cause }.exit_code(), 126);
        assert_eq!(ExecError::NoCommand.exit_code(), 2);
    }
}
