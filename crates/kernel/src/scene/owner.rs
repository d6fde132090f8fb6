//! Whose a namespace is, judged by where it is bound and by the control group of its processes.

use std::fs;
use std::path::Path;

use raum_core::view::{Owner, Process};

use super::engine::Engines;
use super::find::{Found, shown};

/// A machine has some hundred threads of the kernel's before its first program.
const PROGRAMS: usize = 2000;

/// How to call a namespace, and whose it is; the lab's mark is not known here.
pub(super) fn of(found: &Found, engines: &Engines) -> (String, Owner) {
    let (name, owner) = bare(found);
    let known = match &owner {
        // the name that it has under another's /run/netns leads nowhere here, and says whose that is
        _ if found.paths.is_empty() && found.elsewhere.is_some() => None,
        Owner::Docker(_) => engines.name(&owner).map(|name| format!("docker:{name}")),
        Owner::Podman(_) => engines.name(&owner).map(|name| format!("podman:{name}")),
        _ => None,
    };
    (known.unwrap_or(name), owner)
}

/// Without what engines know.
fn bare(found: &Found) -> (String, Owner) {
    let group = found.pids.first().and_then(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok());
    let group = group.as_deref().and_then(of_group);
    for path in &found.paths {
        if let Some(told) = of_path(path, group.as_ref()) {
            return told;
        }
    }
    if let Some((pid, path)) = &found.elsewhere
        && let Some((name, owner)) = of_path(path, group.as_ref())
    {
        return (format!("{name}@{pid}"), owner);
    }
    let path = found.paths.first().or(found.elsewhere.as_ref().map(|(_, path)| path));
    match (group, found.pids.first(), path) {
        (Some(owner), ..) => (name_of(&owner), owner),
        (None, Some(pid), _) => {
            // a person knows programs, not the kernel's threads, which come first where the machine began
            let program = found.pids.iter().take(PROGRAMS).find_map(|pid| user_process(*pid));
            let process = program.unwrap_or_else(|| process(*pid));
            (format!("pid:{}", process.pid), Owner::Process(process))
        }
        (None, None, Some(path)) => (shown(path), Owner::File),
        (None, None, None) => (String::new(), Owner::Unknown),
    }
}

fn name_of(owner: &Owner) -> String {
    let id = |id: &str| id.get(..12).unwrap_or(id).to_owned();
    match owner {
        Owner::Docker(of) => format!("docker:{}", id(of)),
        Owner::Podman(of) => format!("podman:{}", id(of)),
        Owner::Container(of) => format!("container:{}", id(of)),
        Owner::Systemd(unit) => format!("systemd:{unit}"),
        other => other.to_string(),
    }
}

/// By the file that it is bound over; a container is better known by its processes' group.
fn of_path(path: &Path, group: Option<&Owner>) -> Option<(String, Owner)> {
    let file = shown(Path::new(path.file_name()?));
    let folder = path.parent()?.to_str()?;
    let or = |known: Owner| {
        let same = group.filter(|group| std::mem::discriminant(*group) == std::mem::discriminant(&known));
        same.cloned().unwrap_or(known)
    };
    if folder == "/run/docker/netns" || folder == "/var/run/docker/netns" {
        let owner = or(Owner::Docker(file));
        return Some((name_of(&owner), owner));
    }
    if folder == "/run/netns" || folder == "/var/run/netns" {
        // names that container engines give (containers/common, pkg/netns; containernetworking/plugins, pkg/testutils)
        let owner = match file.as_str() {
            name if name.starts_with("netns-") && is_uuid(&name[6..]) => or(Owner::Podman(file.clone())),
            name if name.starts_with("cni-") && is_uuid(&name[4..]) => match group {
                Some(owner @ (Owner::Podman(_) | Owner::Container(_) | Owner::Docker(_))) => owner.clone(),
                _ => Owner::Container(file.clone()),
            },
            _ => Owner::Named,
        };
        return Some((file, owner));
    }
    // Podman without root: $XDG_RUNTIME_DIR/netns
    let rootless = folder.strip_prefix("/run/user/").and_then(|rest| rest.strip_suffix("/netns"));
    if rootless.is_some_and(|user| !user.contains('/')) {
        let owner = or(Owner::Podman(file));
        return Some((name_of(&owner), owner));
    }
    None
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// By the control groups of a process (cgroups(7)): all hierarchies of version 1, or the one of version 2.
fn of_group(text: &str) -> Option<Owner> {
    let paths = || text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths().find_map(container).or_else(|| paths().find_map(unit))
}

/// A container's id is 64 hexadecimal digits: `/docker/ID`, `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope`.
fn container(path: &str) -> Option<Owner> {
    let mut folder = "";
    for part in path.split('/') {
        let bare = part.strip_suffix(".scope").unwrap_or(part);
        let (kind, id) = bare.rsplit_once('-').unwrap_or(("", bare));
        if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return match (kind, folder) {
                ("docker", _) | ("", "docker") => Some(Owner::Docker(id.to_owned())),
                ("libpod", _) => Some(Owner::Podman(id.to_owned())),
                ("libpod-conmon", _) => None,
                _ => Some(Owner::Container(id.to_owned())),
            };
        }
        folder = part;
    }
    None
}

/// The service, if the process is of one: not what a person started in a session.
fn unit(path: &str) -> Option<Owner> {
    let service = path.split('/').rfind(|part| part.ends_with(".service"))?;
    (!service.starts_with("user@")).then(|| Owner::Systemd(super::harmless(service.as_bytes())))
}

/// A process by number; its name is empty if it is gone.
pub(super) fn process(pid: u32) -> Process {
    let command = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    Process { pid, command: super::harmless(command.strip_suffix(b"\n").unwrap_or(&command)) }
}

/// As [`process`]; None for a thread of the kernel, and for one that is gone.
pub(super) fn user_process(pid: u32) -> Option<Process> {
    /// `PF_KTHREAD` (include/linux/sched.h).
    const KTHREAD: u64 = 0x0020_0000;
    // proc_pid_stat(5): PID (NAME) STATE PPID PGRP SESSION TTY TPGID FLAGS …; the name can hold anything
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let flags: u64 = rest.split_whitespace().nth(6)?.parse().ok()?;
    (flags & KTHREAD == 0).then(|| Process { pid, command: super::harmless(stat.get(open + 1..close).unwrap_or(&[])) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn control_groups_tell_container_engines_and_units() {
        let cases = [
            (format!("0::/system.slice/docker-{ID}.scope"), Some(Owner::Docker(ID.into()))),
            (format!("12:cpu:/\n4:pids:/docker/{ID}\n0::/"), Some(Owner::Docker(ID.into()))),
            (format!("0::/docker/{ID}/docker/a"), Some(Owner::Docker(ID.into()))),
            (format!("0::/machine.slice/libpod-{ID}.scope/container"), Some(Owner::Podman(ID.into()))),
            (format!("0::/machine.slice/libpod-conmon-{ID}.scope"), None),
            (
                format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
                Some(Owner::Container(ID.into())),
            ),
            ("0::/system.slice/nginx.service".into(), Some(Owner::Systemd("nginx.service".into()))),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service".into(),
                Some(Owner::Systemd("x.service".into())),
            ),
            ("0::/user.slice/user-1000.slice/session-1.scope".into(), None),
            ("0::/user.slice/user-1000.slice/user@1000.service/init.scope".into(), None),
            ("".into(), None),
            ("::::".into(), None),
        ];
        for (text, owner) in cases {
            assert_eq!(of_group(&text), owner, "{text}");
        }
    }

    #[test]
    fn files_tell_names_and_engines() {
        let uuid = "netns-12345678-1234-1234-1234-123456789abc";
        let told = |path: &str, group: Option<Owner>| of_path(Path::new(path), group.as_ref());
        assert_eq!(told("/run/netns/red", None), Some(("red".into(), Owner::Named)));
        assert_eq!(told(&format!("/run/netns/{uuid}"), None), Some((uuid.into(), Owner::Podman(uuid.into()))));
        let docker = told("/run/docker/netns/0a1b2c3d4e5f", Some(Owner::Docker(ID.into())));
        assert_eq!(docker, Some(("docker:0123456789ab".into(), Owner::Docker(ID.into()))));
        let bare = told("/run/docker/netns/0a1b2c3d4e5f", None);
        assert_eq!(bare, Some(("docker:0a1b2c3d4e5f".into(), Owner::Docker("0a1b2c3d4e5f".into()))));
        assert!(told("/run/user/1000/netns/netns-1", None).is_some_and(|(name, _)| name == "podman:netns-1"));
        assert_eq!(told("/tmp/somewhere", None), None);
    }
}
