//! What can be found out about a host by trying, where nobody sees it, and what a crash may have left on it.
//!
//! Trying is better than asking for versions: distributions leave features out, containers forbid them.

use std::collections::BTreeSet;

use raum_core::host::{ObserveError, OpError};
use raum_core::name::{IfName, NsName};
use rustix::fs::fstat;
use rustix::mount::{MountFlags, mount};

use crate::directory::{Directory, Entry};
use crate::linux::Linux;
use crate::observe::links;
use crate::{errno, namespace};

/// Gives a fresh namespace a name and takes it away, as raum does, in a `/run` that only this thread sees.
///
/// # Errors
/// The kernel's refusal: a container may be allowed namespaces but no mounts.
pub fn naming() -> Result<(), OpError> {
    namespace::on_a_thread(|| {
        namespace::enter_fresh()?;
        namespace::enter_own_mounts()?;
        mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755"))
            .map_err(|cause| errno::at("mounting over /run", cause))?;
        let present = namespace::present()?;
        let nsfs = fstat(&present).map_err(|cause| errno::at("the network namespace", cause))?.st_dev;
        let directory = Directory::prepare(nsfs)?;
        let name = NsName::new("probe").map_err(|error| errno::refused(error.to_string()))?;
        directory.bind(&name)?;
        directory.unbind(&name)
    })
}

/// What looks like raum's and belongs to no lab that can be named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strays {
    /// Names under `/run/netns` without a namespace: empty files that a crash left.
    pub names: Vec<NsName>,
    /// Interfaces of the host in a link group of raum's, with the group.
    pub links: Vec<(IfName, u32)>,
}

impl Linux {
    /// Looks for what is left of labs that are not among these link groups ([`raum_core::lab::link_group`]).
    ///
    /// # Errors
    /// The kernel's refusal, with what was being read.
    pub fn strays(&mut self, groups: &BTreeSet<u32>) -> Result<Strays, ObserveError> {
        let of = |what: &'static str| move |cause: OpError| ObserveError { what: what.to_owned(), cause };
        let mut strays = Strays::default();
        for link in links(&mut self.host.route).map_err(of("interfaces of the host"))? {
            // 24 bits of the group are a lab's name, the highest byte is raum's own
            if link.group >> 24 == 0x72 && !groups.contains(&link.group) {
                strays.links.extend(IfName::new(&link.name).ok().map(|name| (name, link.group)));
            }
        }
        strays.links.sort();
        let directory = self.directory().map_err(of("/run/netns"))?;
        if let Some(directory) = directory {
            for name in directory.names().map_err(of("/run/netns"))? {
                if directory.entry(&name).map_err(of("/run/netns"))? == Some(Entry::Leftover) {
                    strays.names.push(name);
                }
            }
        }
        Ok(strays)
    }
}
