//! Kernel names of interfaces that the user did not name: spelled out where they fit, cut with a hash where not.

use std::collections::BTreeSet;

use crate::lab::stable_hash;
use crate::name::{DEFAULT_LAB, INTERFACE_NAME_MAX, IfName, LabName};

/// The longest altname in bytes: `ALTIFNAMSIZ - 1` (include/uapi/linux/if.h).
const ALTNAME_MAX: usize = 127;

/// How many characters of a hash stand in a cut name: 30 bits.
const HASH_CHARS: usize = 6;

/// The names that are taken in one namespace, altnames among them: the kernel has one table for both.
#[derive(Default)]
pub(super) struct Taken(BTreeSet<String>);

impl Taken {
    /// Takes a name that was written by the user, whoever else has it: duplicates are the checks' business.
    pub(super) fn written(&mut self, name: &IfName) {
        self.0.insert(name.as_str().to_owned());
    }

    /// The first free of eth0, eth1, …
    pub(super) fn next_eth(&mut self) -> IfName {
        let mut number = 0_u64;
        loop {
            let text = format!("eth{number}");
            if let Ok(name) = IfName::new(&text)
                && self.0.insert(text)
            {
                return name;
            }
            number += 1;
        }
    }

    /// A name for `full`: itself if it fits and is free; else its first bytes and a hash, and `full` as altname if that is
    /// free.
    pub(super) fn derive(&mut self, full: &str) -> (IfName, Option<String>) {
        if let Ok(name) = IfName::new(full)
            && self.0.insert(full.to_owned())
        {
            return (name, None);
        }
        let altname = Some(cut(full, ALTNAME_MAX, 0)).filter(|a| a.len() > INTERFACE_NAME_MAX);
        let altname = altname.filter(|a| self.0.insert(a.clone()));
        let mut salt = 0_u64;
        loop {
            // a full name that fits but is taken is to be told from its namesake: cut it as well
            let text = shorten(full, INTERFACE_NAME_MAX, salt);
            if let Ok(name) = IfName::new(&text)
                && self.0.insert(text)
            {
                return (name, altname);
            }
            salt += 1;
        }
    }
}

/// The name that something of a lab has on the host.
pub(super) fn on_host(lab: &LabName, rest: &str) -> String {
    if lab.as_str() == DEFAULT_LAB { rest.to_owned() } else { format!("{lab}-{rest}") }
}

/// `full` if it fits, else cut.
fn cut(full: &str, max: usize, salt: u64) -> String {
    if full.len() <= max { full.to_owned() } else { shorten(full, max, salt) }
}

/// As many of the first bytes as fit before `-` and the hash.
fn shorten(full: &str, max: usize, salt: u64) -> String {
    let hash = match salt {
        0 => stable_hash(&[full]),
        _ => stable_hash(&[full, &salt.to_string()]),
    };
    let head = max - 1 - HASH_CHARS;
    let head = (0..=head.min(full.len())).rev().find(|&i| full.is_char_boundary(i)).unwrap_or(0);
    format!("{}-{}", &full[..head], base32(hash))
}

/// The lowest 30 bits in the alphabet of RFC 4648, section 6, in lower case: no `0`, `1`, `8`, `9` to misread.
fn base32(hash: u64) -> String {
    const ALPHABET: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
        'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
    ];
    (0..HASH_CHARS).filter_map(|i| usize::try_from((hash >> (5 * i)) & 31).ok()).map(|digit| ALPHABET[digit]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fits_stays() {
        assert_eq!(Taken::default().derive("shop-web-eth0").0.as_str(), "shop-web-eth0");
        assert_eq!(Taken::default().derive("123456789012345").0.as_str(), "123456789012345");
    }

    #[test]
    fn a_long_name_is_cut_and_kept_as_altname() {
        let (name, altname) = Taken::default().derive("warehouse-frontend-eth0");
        assert_eq!(name.as_str().len(), 15);
        assert!(name.as_str().starts_with("warehous-"), "{name}");
        assert_eq!(altname.as_deref(), Some("warehouse-frontend-eth0"));
    }

    #[test]
    fn namesakes_get_different_names() {
        // lab `a`: node `b-c` with interface `d`, and node `b` with interface `c-d`
        for full in ["a-b-c-d", "a-rather-long-name-b-c-d"] {
            let mut taken = Taken::default();
            let (first, _) = taken.derive(full);
            let (second, altname) = taken.derive(full);
            let (third, _) = taken.derive(full);
            assert_eq!(BTreeSet::from([&first, &second, &third]).len(), 3);
            assert_eq!(altname, None, "the altname is taken by the first");
        }
    }

    #[test]
    fn no_altname_is_longer_than_the_kernel_takes() {
        let (_, altname) = Taken::default().derive(&"x".repeat(140));
        assert_eq!(altname.map(|a| a.len()), Some(ALTNAME_MAX));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let (name, _) = Taken::default().derive("nodeabcä-ööööööööö");
        assert!(name.as_str().starts_with("nodeabc-"), "{name}");
    }
}
