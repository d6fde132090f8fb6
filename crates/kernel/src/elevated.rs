//! Has this program got more rights than whoever started it? Then its environment, arguments and open files are of somebody
//! who may less, and must not steer it.

/// Was this program set-user-ID, set-group-ID, or given file capabilities, and started by somebody without them? The kernel says
/// so (`secureexec` in security/commoncap.c); sudo and its like, ambient capabilities and user namespaces are not meant.
#[must_use]
pub fn elevated() -> bool {
    // SAFETY: getauxval reads what the kernel left on the stack at exec, and takes any number.
    (unsafe { libc::getauxval(libc::AT_SECURE) }) != 0
}
