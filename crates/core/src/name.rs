//! Names: what a lab, a node, a namespace and an interface may be called.
//!
//! Each is a type of its own that cannot hold a wrong value, so nothing downstream checks again. No name is ever a path:
//! none can hold `/`, NUL, whitespace or control characters, or be `.` or `..`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest interface name in bytes: `IFNAMSIZ - 1` (include/uapi/linux/if.h).
pub const INTERFACE_NAME_MAX: usize = 15;

/// The longest lab or node name in bytes, as for a DNS label (RFC 1035, section 2.3.4): node names are host names inside.
pub const LABEL_MAX: usize = 63;

/// The lab of commands that name none. Its namespaces have bare names: node `red` is `/run/netns/red`.
pub const DEFAULT_LAB: &str = "default";

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between the quotes.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than the kernel or DNS takes.
    #[error("`{name}` has {length} bytes; at most {max} are possible")]
    TooLong {
        /// The text as given.
        name: String,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A character that such a name cannot hold.
    #[error("`{}` is not possible here; {allowed}", character.escape_debug())]
    Character {
        /// The first offending character.
        character: char,
        /// The rule, as a sentence.
        allowed: &'static str,
    },
    /// A name that means something else.
    #[error("`{0}` is reserved")]
    Reserved(String),
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name, if the text can be one.
            ///
            /// # Errors
            /// [`NameError`] says which rule it breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// The name of a lab: letters, digits, `-` and `_`, first a letter or digit, at most [`LABEL_MAX`] bytes.
    LabName,
    check_label
);
name_type!(
    /// The name of a node or switch in a lab file, as [`LabName`]. `host` is a node like any other here; that no namespace
    /// may be called so is a check of the lab.
    NodeName,
    check_label
);
name_type!(
    /// The name of a network namespace: a file directly under `/run/netns`. At most 255 bytes (`NAME_MAX`).
    NsName,
    check_namespace
);
name_type!(
    /// The name of an interface as the kernel takes it (`dev_valid_name`, net/core/dev.c): 1 to 15 bytes, not `.` or `..`,
    /// no `/`, `:` or whitespace; and no `%`, for the kernel makes `eth7` of `eth%d`, and nothing of others
    /// (`__dev_alloc_name`). Control characters are refused too, though the kernel would take them.
    IfName,
    check_interface
);

impl NsName {
    /// The namespace of a lab's node: `LAB-NODE`, so that two labs with a `web` live side by side; of the lab
    /// [`DEFAULT_LAB`] the bare node. Labels are namespace names, and 63 + 1 + 63 bytes are below 255: it always fits.
    #[must_use]
    pub fn of(lab: &LabName, node: &NodeName) -> Self {
        Self(if lab.as_str() == DEFAULT_LAB { node.0.clone() } else { format!("{lab}-{node}") })
    }
}

impl NodeName {
    /// Is this the reserved node `host`?
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.0 == "host"
    }
}

fn check_length(text: &str, max: usize) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        length if length > max => Err(NameError::TooLong { name: text.to_owned(), length, max }),
        _ => Ok(()),
    }
}

fn check_label(text: &str) -> Result<(), NameError> {
    check_length(text, LABEL_MAX)?;
    let first = |c: char| c.is_ascii_alphanumeric();
    let rest = |c: char| first(c) || c == '-' || c == '_';
    match text.chars().enumerate().find(|&(i, c)| if i == 0 { !first(c) } else { !rest(c) }) {
        Some((0, character)) => {
            Err(NameError::Character { character, allowed: "a name begins with a letter or a digit" })
        }
        Some((_, character)) => {
            Err(NameError::Character { character, allowed: "a name has letters, digits, `-` and `_`" })
        }
        None => Ok(()),
    }
}

fn check_namespace(text: &str) -> Result<(), NameError> {
    check_length(text, 255)?;
    check_file_name(text, &['/'])
}

fn check_interface(text: &str) -> Result<(), NameError> {
    check_length(text, INTERFACE_NAME_MAX)?;
    check_file_name(text, &['/', ':'])?;
    match text.find('%') {
        Some(_) => Err(NameError::Character { character: '%', allowed: "the kernel puts a number in its place" }),
        None => Ok(()),
    }
}

fn check_file_name(text: &str, also: &[char]) -> Result<(), NameError> {
    if text == "." || text == ".." {
        return Err(NameError::Reserved(text.to_owned()));
    }
    match text.chars().find(|c| c.is_whitespace() || c.is_control() || also.contains(c)) {
        Some(character) => {
            Err(NameError::Character { character, allowed: "such a name has no `/`, `:`, space or control character" })
        }
        None => Ok(()),
    }
}

/// A network namespace as raum speaks of it.
///
/// Text form: `host`, or the name under `/run/netns`. A namespace that is really called `host` cannot be spoken of; a lab
/// cannot make one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NsId {
    /// The namespace that raum was started in.
    Host,
    /// A namespace bound under `/run/netns`.
    Named(NsName),
}

impl NsId {
    /// Where a lab's node lives: the host for the node `host`, else the namespace [`NsName::of`].
    #[must_use]
    pub fn of(lab: &LabName, node: &NodeName) -> Self {
        if node.is_host() { NsId::Host } else { NsId::Named(NsName::of(lab, node)) }
    }

    /// The name under `/run/netns`; none for the host.
    #[must_use]
    pub fn name(&self) -> Option<&NsName> {
        match self {
            NsId::Host => None,
            NsId::Named(name) => Some(name),
        }
    }
}

impl From<NsName> for NsId {
    fn from(name: NsName) -> Self {
        NsId::Named(name)
    }
}

impl FromStr for NsId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "host" { Ok(NsId::Host) } else { NsName::new(text).map(NsId::Named) }
    }
}

impl TryFrom<String> for NsId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<NsId> for String {
    fn from(id: NsId) -> String {
        id.to_string()
    }
}

impl fmt::Display for NsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NsId::Host => f.pad("host"),
            NsId::Named(name) => fmt::Display::fmt(name, f),
        }
    }
}

/// A hardware address (EUI-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// Why a text cannot be a hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// Not six hexadecimal bytes with colons.
    #[error("`{0}` is no hardware address: six bytes are written like 02:00:5e:10:00:01")]
    Form(String),
    /// Multicast or all zero: the kernel refuses it (`is_valid_ether_addr`).
    #[error("`{0}` cannot be an interface's address: it is a multicast address or zero")]
    NotUnicast(String),
}

impl FromStr for Mac {
    type Err = MacError;
    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().unwrap_or_default();
            let hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            *byte = match u8::from_str_radix(part, 16) {
                Ok(value) if hex => value,
                _ => return Err(MacError::Form(text.to_owned())),
            };
        }
        if parts.next().is_some() {
            return Err(MacError::Form(text.to_owned()));
        }
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(MacError::NotUnicast(text.to_owned()));
        }
        Ok(Mac(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;
    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_path() {
        for text in ["", ".", "..", "../x", "a/b", "a\0b", "a b", "a\nb", "\u{1b}[31m"] {
            assert!(LabName::new(text).is_err(), "{text:?}");
            assert!(NsName::new(text).is_err(), "{text:?}");
            assert!(IfName::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_interface_name_has_15_bytes_at_most() {
        assert!(IfName::new("abcdefghijklmno").is_ok());
        assert!(IfName::new("abcdefghijklmnop").is_err());
    }

    #[test]
    fn an_interface_name_is_no_pattern() {
        for text in ["%", "eth%d", "a%%b"] {
            assert!(IfName::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn multicast_is_no_interface_address() {
        assert_eq!("02:00:5e:10:00:01".parse(), Ok(Mac([2, 0, 0x5e, 0x10, 0, 1])));
        assert!("01:00:5e:10:00:01".parse::<Mac>().is_err());
        assert!("00:00:00:00:00:00".parse::<Mac>().is_err());
        assert!("+2:00:5e:10:00:01".parse::<Mac>().is_err());
    }
}
