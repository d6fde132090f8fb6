//! May this process change networks, and if not: how could it?

use rustix::process::geteuid;

use super::{Finding, Topic, number};
use crate::error::Error;
use crate::permission;

/// How everybody gets networks of his own (unshare(1), user_namespaces(7)).
const OWN: &str = "unshare --user --map-root-user --net --mount sh -c 'mount -t tmpfs tmpfs /run && exec sh'";

/// What decides about user namespaces of people who are not root.
struct Users {
    root: bool,
    /// `user.max_user_namespaces`
    max: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian, Arch)
    clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu 23.10 and later)
    apparmor: Option<u64>,
}

pub(super) fn examine() -> Vec<Finding> {
    let Err(error) = permission::check() else {
        return vec![Finding::ok(Topic::Permission, "capabilities", "this process may change networks")];
    };
    let missing = match error {
        Error::Permission { missing } => missing,
        other => other.to_string(),
    };
    judge(
        &missing,
        &Users {
            root: geteuid().is_root(),
            max: number("/proc/sys/user/max_user_namespaces"),
            clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        },
    )
}

fn judge(missing: &str, users: &Users) -> Vec<Finding> {
    let blocked = if users.max == Some(0) {
        Some(("user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000"))
    } else if users.clone == Some(0) {
        Some(("kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"))
    } else if users.apparmor == Some(1) {
        Some((
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ))
    } else {
        None
    };
    let remedy = match (users.root, blocked) {
        // root without capabilities: a container
        (true, _) => {
            "run the container with more rights: docker run --cap-add NET_ADMIN --cap-add SYS_ADMIN".to_owned()
        }
        (false, None) => format!("sudo raum …, or in networks of your own: {OWN}"),
        (false, Some(_)) => "sudo raum …".to_owned(),
    };
    let mut findings = vec![Finding::problem(
        Topic::Permission,
        "capabilities",
        format!("this process has not got {missing}"),
        "raum can check files, and nothing else; the kernel and what labs left were not examined",
        remedy,
    )];
    if let Some((what, remedy)) = blocked.filter(|_| !users.root) {
        findings.push(Finding::note(
            Topic::Permission,
            "user-namespaces",
            what,
            "without root there are no networks of one's own",
            remedy,
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(users: &Users) -> Vec<(&'static str, String)> {
        judge("CAP_SYS_ADMIN", users).into_iter().map(|f| (f.code, f.remedy)).collect()
    }

    #[test]
    fn the_way_out_depends_on_who_asks_and_what_the_kernel_allows() {
        let free = Users { root: false, max: Some(1000), clone: None, apparmor: Some(0) };
        let findings = told(&free);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].1.contains("sudo") && findings[0].1.contains("unshare --user"));
        for (users, key) in [
            (Users { max: Some(0), ..free }, "user.max_user_namespaces"),
            (Users { root: false, clone: Some(0), max: None, apparmor: None }, "unprivileged_userns_clone"),
            (Users { root: false, clone: None, max: None, apparmor: Some(1) }, "apparmor_restrict"),
        ] {
            let findings = told(&users);
            assert!(!findings[0].1.contains("unshare"), "it would be refused");
            assert!(findings[1].0 == "user-namespaces" && findings[1].1.contains(key), "{findings:?}");
        }
        let container = told(&Users { root: true, max: Some(0), clone: None, apparmor: None });
        assert!(container.len() == 1 && container[0].1.contains("SYS_ADMIN"));
    }
}
