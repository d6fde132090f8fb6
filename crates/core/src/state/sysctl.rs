//! Sysctl keys: files under `/proc/sys/net`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::IfName;

/// A sysctl of the network, as a path under `/proc/sys` with slashes (`net/ipv4/conf/eth0/forwarding`): with dots an
/// interface called `eth0.5` could not be told apart. `sysctl -w` takes this form too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sysctl(String);

/// Why a text is no sysctl key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no sysctl of the network: `net/…` is expected, without empty parts, `.` or `..`")]
pub struct SysctlError(pub String);

impl Sysctl {
    /// Checks the form; whether the kernel has such a key is not known here.
    ///
    /// # Errors
    /// [`SysctlError`] if it does not begin with `net/` or has a part that is no plain file name.
    pub fn new(path: &str) -> Result<Self, SysctlError> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control());
        if path.starts_with("net/") && path.split('/').all(plain) {
            Ok(Self(path.to_owned()))
        } else {
            Err(SysctlError(path.to_owned()))
        }
    }

    /// `net/ipv4/conf/INTERFACE/KEY`.
    #[must_use]
    pub fn ipv4(interface: &IfName, key: &'static str) -> Self {
        Self(format!("net/ipv4/conf/{interface}/{key}"))
    }

    /// `net/ipv6/conf/INTERFACE/KEY`.
    #[must_use]
    pub fn ipv6(interface: &IfName, key: &'static str) -> Self {
        Self(format!("net/ipv6/conf/{interface}/{key}"))
    }

    /// The path under `/proc/sys`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The interface that the key belongs to, if it belongs to one: it comes and goes with that interface.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        let mut parts = self.0.split('/').skip(2);
        match (parts.next(), parts.next()) {
            (Some("conf" | "neigh"), Some(name)) if name != "all" && name != "default" => Some(name),
            _ => None,
        }
    }
}

impl FromStr for Sysctl {
    type Err = SysctlError;
    fn from_str(text: &str) -> Result<Self, SysctlError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Sysctl {
    type Error = SysctlError;
    fn try_from(text: String) -> Result<Self, SysctlError> {
        Self::new(&text)
    }
}

impl From<Sysctl> for String {
    fn from(key: Sysctl) -> String {
        key.0
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
