//! The kernel's refusals: errno and words.

use crate::host::OpError;

macro_rules! refusals {
    ($($function:ident $errno:literal $code:ident $usual:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($code), "`, with the kernel's own words or, if empty, the usual ones.")]
            pub(super) fn $function(message: &str) -> OpError {
                let message = if message.is_empty() { $usual } else { message };
                OpError { errno: $errno, code: stringify!($code), message: message.to_owned() }
            }
        )*
    };
}

refusals! {
    enoent 2 ENOENT "No such file or directory";
    esrch 3 ESRCH "No such process";
    ebusy 16 EBUSY "Device or resource busy";
    eexist 17 EEXIST "File exists";
    enodev 19 ENODEV "No such device";
    einval 22 EINVAL "Invalid argument";
    eloop 40 ELOOP "Too many levels of symbolic links";
    exfull 54 EXFULL "Exchange full";
    eopnotsupp 95 EOPNOTSUPP "Operation not supported";
    eaddrnotavail 99 EADDRNOTAVAIL "Cannot assign requested address";
    enetdown 100 ENETDOWN "Network is down";
    enetunreach 101 ENETUNREACH "Network is unreachable";
    enotconn 107 ENOTCONN "Transport endpoint is not connected";
    ehostunreach 113 EHOSTUNREACH "No route to host";
}
