//! Who lives in a namespace: processes whose network namespace is the one bound under a name.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use raum_core::name::NsName;

use crate::directory::PATH;

/// The processes inside each of these namespaces, those without any left out. Processes that this user may not look at are
/// not seen.
#[must_use]
pub fn inside(names: &[NsName]) -> Vec<(NsName, Vec<u32>)> {
    // device and inode of the nsfs file are the namespace's identity (man 7 namespaces)
    let identity = |path: &str| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let wanted: HashMap<(u64, u64), &NsName> =
        names.iter().filter_map(|name| Some((identity(&format!("{PATH}/{name}"))?, name))).collect();
    let mut found: HashMap<&NsName, Vec<u32>> = HashMap::new();
    if !wanted.is_empty() {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            if let Some(name) = identity(&format!("/proc/{pid}/ns/net")).and_then(|id| wanted.get(&id)) {
                found.entry(name).or_default().push(pid);
            }
        }
    }
    let mut found: Vec<(NsName, Vec<u32>)> = found.into_iter().map(|(name, pids)| (name.clone(), pids)).collect();
    found.iter_mut().for_each(|(_, pids)| pids.sort_unstable());
    found.sort();
    found
}
