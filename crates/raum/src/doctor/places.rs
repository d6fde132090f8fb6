//! `/run/netns`, where namespaces have their names, and `/run/raum`, where raum keeps its records.

use std::fs;
use std::os::unix::fs::MetadataExt;

use raum_kernel::errno;
use rustix::fs::{Access, access};

use super::{Finding, Topic};
use crate::place::Place;

/// What `/run/netns` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Absent,
    Empty,
    /// No mount of its own, and there are names.
    Plain,
    /// A mount that is not shared, and there are names.
    Private,
    Shared,
    /// A file, or a symbolic link.
    Odd,
}

pub(super) fn examine(place: &Place) -> Vec<Finding> {
    // a mount point can have any bytes in its name
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    vec![names(look(&String::from_utf8_lossy(&mounts))), records(place)]
}

fn look(mounts: &str) -> Names {
    match fs::symlink_metadata("/run/netns") {
        Err(_) => return Names::Absent,
        Ok(found) if !found.is_dir() => return Names::Odd,
        Ok(_) => {}
    }
    match shared(mounts, "/run/netns") {
        Some(true) => Names::Shared,
        mounted => match (fs::read_dir("/run/netns").map(|mut names| names.next().is_some()), mounted) {
            (Ok(false), _) => Names::Empty,
            (_, Some(_)) => Names::Private,
            (_, None) => Names::Plain,
        },
    }
}

/// Whether the topmost mount at a path is shared; None if there is none. The fields after the sixth, up to `-`, say it
/// (proc_pid_mountinfo(5)).
fn shared(mounts: &str, path: &str) -> Option<bool> {
    let here = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(path))?;
    let mut tags = here.split(' ').skip(6).take_while(|field| *field != "-");
    Some(tags.any(|tag| tag.starts_with("shared:")))
}

fn names(names: Names) -> Finding {
    let code = "netns";
    let ok = |what: &str| Finding::ok(Topic::Places, code, what);
    let effect = "a removed namespace lives on in other mount namespaces (services, containers), and new ones are not seen there";
    match names {
        Names::Absent => ok("/run/netns is not there; raum makes it, and removes it with the last lab"),
        Names::Empty => ok("/run/netns is empty; raum makes it a shared mount while there are labs"),
        Names::Shared => ok("/run/netns is a shared mount"),
        Names::Plain => Finding::note(
            Topic::Places,
            code,
            "/run/netns has names and is no mount of its own",
            effect,
            "mount --bind /run/netns /run/netns && mount --make-shared /run/netns",
        ),
        Names::Private => Finding::note(
            Topic::Places,
            code,
            "/run/netns has names and is not a shared mount",
            effect,
            "mount --make-shared /run/netns",
        ),
        Names::Odd => Finding::problem(
            Topic::Places,
            code,
            "/run/netns is no directory",
            "no lab can be brought up: names of namespaces are files in it",
            "mv /run/netns /run/netns.old",
        ),
    }
}

fn records(place: &Place) -> Finding {
    let root = place.root();
    let (code, shown) = ("records", root.display());
    let problem = |what: String, remedy: String| {
        Finding::problem(Topic::Places, code, what, "no lab can be brought up or removed", remedy)
    };
    match fs::symlink_metadata(root) {
        Err(_) => match root.parent().map(|above| (above, access(above, Access::WRITE_OK))) {
            // not over everybody's: what others have there would be hidden from them
            Some((above, Err(cause))) => problem(
                format!(
                    "{} cannot be written to: {}",
                    above.display(),
                    errno::error(cause.raw_os_error(), None).words()
                ),
                format!("unshare --mount sh -c 'mount -t tmpfs tmpfs {} && exec sh'", above.display()),
            ),
            _ => Finding::ok(Topic::Places, code, format!("{shown} can be made")),
        },
        Ok(found) if !found.is_dir() => problem(format!("{shown} is no directory"), format!("mv {shown} {shown}.old")),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => problem(
            format!("{shown} belongs to user {}", found.uid()),
            format!("chown -R {} {shown}", rustix::process::geteuid().as_raw()),
        ),
        // who may write in it could make raum believe anything
        Ok(found) if found.mode() & 0o022 != 0 => {
            problem(format!("{shown} can be written to by others"), format!("chmod 700 {shown}"))
        }
        Ok(_) => Finding::ok(Topic::Places, code, format!("{shown} is this user's alone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_counts() {
        let private = "60 30 0:20 /netns /run/netns rw,nosuid - tmpfs tmpfs rw\n";
        let shared_one = "61 60 0:20 /netns /run/netns rw shared:7 master:1 - tmpfs tmpfs rw\n";
        assert_eq!(shared(private, "/run/netns"), Some(false));
        assert_eq!(shared(&format!("{private}{shared_one}"), "/run/netns"), Some(true));
        assert_eq!(shared(&format!("{shared_one}{private}"), "/run/netns"), Some(false));
        assert_eq!(shared("1 2 0:1 / /run/netns/shared: rw - x x rw\n", "/run/netns"), None);
        assert_eq!(shared("1 2 0:1 / /run/netns rw - shared:1 x rw\n", "/run/netns"), Some(false));
    }
}
