//! What raum remembers of a lab that it brought up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use raum_core::beside::Flow;
use raum_core::design::Design;
use raum_core::lab::{Expectation, Lab};
use raum_core::name::{LabName, NodeName, NsId};
use raum_core::state::State;
use raum_core::trace::cause::word;
use serde::{Deserialize, Serialize};

use crate::place::{FileError, Place};

/// The name of the record's file.
pub const RECORD: &str = "record.json";
/// The name of the journal's file.
pub const JOURNAL: &str = "journal.json";
/// The name of the hosts file.
pub const HOSTS: &str = "hosts";

/// A lab as it was last brought up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which lab.
    pub lab: LabName,
    /// The lab file, absolute; none for a lab that came from standard input.
    pub file: Option<PathBuf>,
    /// The lab as a lab file: what steps edit, and `export` prints. None in a record of an older raum.
    #[serde(default)]
    pub text: Option<String>,
    /// Has a step changed it since it was read from `file`?
    #[serde(default)]
    pub edited: bool,
    /// In which network namespace, by its number, raum was: the lab's host. None in a record of an older raum.
    #[serde(default)]
    pub host: Option<u64>,
    /// What was reached: what `status` compares the host with.
    pub state: State,
    /// Each node's namespace and addresses.
    pub nodes: BTreeMap<NodeName, RecordedNode>,
    /// What the host must let pass for it.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// May it open the rules of others?
    #[serde(default)]
    pub foreign_rules: bool,
    /// Did the host show bridged packets of IPv4 and of IPv6 to its rules (br_netfilter)? What a lab needs depends on it.
    #[serde(default)]
    pub bridged: Option<[bool; 2]>,
    /// What reaches what, for `raum test`.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// A node of a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedNode {
    /// Its namespace.
    pub ns: NsId,
    /// All its addresses, the first one of each family being the node's own.
    pub addresses: Vec<IpNet>,
}

impl RecordedNode {
    /// The node's own address of a family, or of any: one on a network that the other node is on too, else the first one of a
    /// family that the other has, else the first one.
    #[must_use]
    pub fn address(&self, v6: Option<bool>, from: Option<&Self>) -> Option<IpAddr> {
        let wanted = || self.addresses.iter().filter(|net| v6.is_none_or(|v6| net.addr().is_ipv6() == v6));
        let theirs = || from.into_iter().flat_map(|from| &from.addresses).map(IpNet::addr);
        let mut near = wanted().filter(|net| theirs().any(|ip| net.contains(&ip)));
        let mut both = wanted().filter(|net| theirs().any(|ip| net.addr().is_ipv6() == ip.is_ipv6()));
        near.next().or_else(|| both.next()).or_else(|| wanted().next()).map(IpNet::addr)
    }
}

impl Record {
    /// The record of a designed lab.
    #[must_use]
    pub fn of(lab: &Lab, file: Option<PathBuf>, design: &Design) -> Self {
        let nodes = design.nodes.iter().map(|(name, node)| {
            (name.clone(), RecordedNode { ns: node.ns.clone(), addresses: node.addresses.clone() })
        });
        Self {
            lab: lab.name.value.clone(),
            file,
            text: Some(lab.to_string()),
            edited: false,
            host: None,
            state: design.state.clone(),
            nodes: nodes.collect(),
            flows: design.flows.clone(),
            foreign_rules: false,
            bridged: None,
            expect: lab.expect.iter().map(|at| at.value.clone()).collect(),
        }
    }

    /// The command that brings the lab back: up with its file, if that still says what the lab is.
    #[must_use]
    pub fn repair(&self) -> String {
        let option = if self.foreign_rules { "--with-foreign-rules " } else { "" };
        match &self.file {
            Some(file) if !self.edited => format!("raum up {option}{}", word(&file.display().to_string())),
            _ => format!("raum export {} | raum up {option}-", self.lab),
        }
    }

    /// Reads the record of a lab.
    ///
    /// # Errors
    /// [`FileError`] if it is there but cannot be read.
    pub fn read(place: &Place, lab: &LabName) -> Result<Option<Self>, FileError> {
        place.read_json(lab, RECORD)
    }
}

/// Written before a change, removed after it: if it is there and no change is under way, the one that wrote it was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// What was there before.
    pub before: State,
    /// What was wanted.
    pub target: State,
}
