//! The kernel's refusals in words: an errno, its name, and the extended ack or the usual text.

use raum_core::host::OpError;
use rustix::io::Errno;

/// Those that netlink, mounts, namespaces and files under `/proc/sys` answer with; name and the usual text.
const KNOWN: &[(Errno, &str, &str)] = &[
    (Errno::PERM, "EPERM", "Operation not permitted"),
    (Errno::NOENT, "ENOENT", "No such file or directory"),
    (Errno::SRCH, "ESRCH", "No such process"),
    (Errno::INTR, "EINTR", "Interrupted system call"),
    (Errno::IO, "EIO", "Input/output error"),
    (Errno::NXIO, "ENXIO", "No such device or address"),
    (Errno::TOOBIG, "E2BIG", "Argument list too long"),
    (Errno::BADF, "EBADF", "Bad file descriptor"),
    (Errno::AGAIN, "EAGAIN", "Resource temporarily unavailable"),
    (Errno::NOMEM, "ENOMEM", "Cannot allocate memory"),
    (Errno::ACCESS, "EACCES", "Permission denied"),
    (Errno::FAULT, "EFAULT", "Bad address"),
    (Errno::BUSY, "EBUSY", "Device or resource busy"),
    (Errno::EXIST, "EEXIST", "File exists"),
    (Errno::XDEV, "EXDEV", "Invalid cross-device link"),
    (Errno::NODEV, "ENODEV", "No such device"),
    (Errno::NOTDIR, "ENOTDIR", "Not a directory"),
    (Errno::ISDIR, "EISDIR", "Is a directory"),
    (Errno::INVAL, "EINVAL", "Invalid argument"),
    (Errno::NFILE, "ENFILE", "Too many open files in system"),
    (Errno::MFILE, "EMFILE", "Too many open files"),
    (Errno::FBIG, "EFBIG", "File too large"),
    (Errno::NOSPC, "ENOSPC", "No space left on device"),
    (Errno::ROFS, "EROFS", "Read-only file system"),
    (Errno::MLINK, "EMLINK", "Too many links"),
    (Errno::RANGE, "ERANGE", "Numerical result out of range"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG", "File name too long"),
    (Errno::NOSYS, "ENOSYS", "Function not implemented"),
    (Errno::NOTEMPTY, "ENOTEMPTY", "Directory not empty"),
    (Errno::LOOP, "ELOOP", "Too many levels of symbolic links"),
    (Errno::NODATA, "ENODATA", "No data available"),
    (Errno::OVERFLOW, "EOVERFLOW", "Value too large for defined data type"),
    (Errno::BADMSG, "EBADMSG", "Bad message"),
    (Errno::USERS, "EUSERS", "Too many users"),
    (Errno::MSGSIZE, "EMSGSIZE", "Message too long"),
    (Errno::PROTONOSUPPORT, "EPROTONOSUPPORT", "Protocol not supported"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP", "Operation not supported"),
    (Errno::PFNOSUPPORT, "EPFNOSUPPORT", "Protocol family not supported"),
    (Errno::AFNOSUPPORT, "EAFNOSUPPORT", "Address family not supported by protocol"),
    (Errno::ADDRINUSE, "EADDRINUSE", "Address already in use"),
    (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL", "Cannot assign requested address"),
    (Errno::NETDOWN, "ENETDOWN", "Network is down"),
    (Errno::NETUNREACH, "ENETUNREACH", "Network is unreachable"),
    (Errno::NOBUFS, "ENOBUFS", "No buffer space available"),
    (Errno::NOTCONN, "ENOTCONN", "Transport endpoint is not connected"),
    (Errno::TIMEDOUT, "ETIMEDOUT", "Connection timed out"),
    (Errno::CONNREFUSED, "ECONNREFUSED", "Connection refused"),
    (Errno::HOSTUNREACH, "EHOSTUNREACH", "No route to host"),
    (Errno::ALREADY, "EALREADY", "Operation already in progress"),
    (Errno::STALE, "ESTALE", "Stale file handle"),
    (Errno::DQUOT, "EDQUOT", "Disk quota exceeded"),
    (Errno::CANCELED, "ECANCELED", "Operation canceled"),
];

/// The error for an errno, with the kernel's own words if it gave any.
#[must_use]
pub fn error(errno: i32, kernels_words: Option<&str>) -> OpError {
    let known = KNOWN.iter().find(|(known, ..)| known.raw_os_error() == errno);
    let usual = || match known {
        Some((_, _, text)) => (*text).to_owned(),
        None => std::io::Error::from_raw_os_error(errno).to_string(),
    };
    OpError {
        errno,
        code: known.map_or("", |(_, code, _)| code),
        message: kernels_words.map_or_else(usual, str::to_owned),
    }
}

/// The error of a system call on something that can be named: `/run/netns/red: Permission denied (EACCES)`.
#[must_use]
pub fn at(what: &str, errno: Errno) -> OpError {
    let mut error = error(errno.raw_os_error(), None);
    error.message = format!("{what}: {}", error.message);
    error
}

/// The same for errors that come through std.
#[must_use]
pub fn at_io(what: &str, cause: &std::io::Error) -> OpError {
    match Errno::from_io_error(cause) {
        Some(errno) => at(what, errno),
        None => refused(format!("{what}: {cause}")),
    }
}

/// What raum itself refuses, or cannot understand: errno 0.
#[must_use]
pub fn refused(message: impl Into<String>) -> OpError {
    OpError { errno: 0, code: "", message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_come_before_the_usual_text() {
        assert_eq!(error(101, None).words(), "Network is unreachable (ENETUNREACH)");
        let words = error(101, Some("Nexthop has invalid gateway")).words();
        assert_eq!(words, "Nexthop has invalid gateway (ENETUNREACH)");
    }

    #[test]
    fn the_table_says_what_the_c_library_says() {
        for (errno, code, text) in KNOWN {
            let std = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
            // musl words some differently; the GNU library is what people know from `ip`
            if cfg!(target_env = "gnu") {
                assert!(std.starts_with(text), "{code}: {std}");
            }
        }
    }
}
