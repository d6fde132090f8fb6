//! Words that are no key, and what was probably meant: keys of other mappings, words of other tools, misspelt ones.

use super::file::{self, NamespaceFile, OnFile};
use super::read::{About, Reader};
use super::tree::Scalar;
use crate::problem::Problem;

/// Reports a key that the mapping does not have.
pub(super) fn unknown_key(key: &Scalar, about: &About, reader: &mut Reader) {
    let name = key.text.as_str();
    if let Some((_, help)) = about.not_yet.iter().find(|(later, _)| *later == name) {
        reader.report(
            Problem::new(format!("`{name}` is not implemented yet"), key.span.clone())
                .label("known, but raum cannot do it yet")
                .help(*help),
        );
        return;
    }
    let problem = Problem::new(format!("`{name}` is no key of {}", about.what), key.span.clone()).label("unknown key");
    let known = || about.keys.iter().map(|about| about.key);
    let elsewhere: Vec<_> = file::ALL
        .iter()
        .filter(|other| other.keys.iter().any(|about| about.key == name))
        .map(|other| other.what)
        .collect();
    let help = if name == "<<" {
        "merge keys are not possible in a lab file; write the keys out".to_owned()
    } else if let Some(near) = synonym(name, known()) {
        format!("did you mean `{near}`?")
    } else if about.what == NamespaceFile::ABOUT.what && elsewhere.contains(&OnFile::ABOUT.what) {
        format!("`{name}` belongs to an interface: `on: {{ switch: …, {name}: … }}`")
    } else if !elsewhere.is_empty() {
        format!("`{name}` is a key of {}", elsewhere.join(", "))
    } else if let Some(near) = nearest(name, known()) {
        format!("did you mean `{near}`?")
    } else {
        format!("{} has the keys {}", about.what, about.key_list())
    };
    reader.report(problem.help(help));
}

/// Words of other tools, and what they are called here.
const SYNONYMS: [(&str, &str); 27] = [
    ("switch", "node"),
    ("namespace", "node"),
    ("host", "node"),
    ("node", "switch"),
    ("bridge", "switch"),
    ("addresses", "address"),
    ("addr", "address"),
    ("ip", "address"),
    ("ips", "address"),
    ("bridges", "switches"),
    ("networks", "switches"),
    ("nodes", "namespaces"),
    ("hosts", "namespaces"),
    ("netns", "namespaces"),
    ("services", "namespaces"),
    ("containers", "namespaces"),
    ("wires", "links"),
    ("name", "lab"),
    ("endpoints", "ends"),
    ("ports", "publish"),
    ("subnets", "subnet"),
    ("cidr", "subnet"),
    ("masquerade", "nat"),
    ("iface", "interface"),
    ("ifname", "interface"),
    ("ip_forward", "forwarding"),
    ("networks", "on"),
];

fn synonym<'k>(word: &str, mut known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_ascii_lowercase();
    known.find(|key| SYNONYMS.contains(&(lower.as_str(), key)))
}

/// The known word nearest to a wrong one, if any is near.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    if let Some(key) = synonym(word, known.clone()) {
        return Some(key);
    }
    if word.len() > 40 {
        return None; // the distance costs the product of both lengths
    }
    let lower = word.to_ascii_lowercase();
    known
        .map(|key| (strsim::damerau_levenshtein(&lower, key), key))
        .filter(|&(distance, key)| distance <= 1 + key.len() / 4 && distance < key.len())
        .min()
        .map(|(_, key)| key)
}
