//! Plans: what is to be done, so exactly that nothing is left to choose when it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::beside::Opening;
use crate::lab::Proto;
use crate::name::{IfName, LabName, Mac, NsId, NsName};
use crate::nft::{EntryChange, Table};
use crate::state::{PortFlag, Route, Sysctl};

/// The smallest thing that a host can be asked to do: one or two messages to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Op {
    /// A namespace under `/run/netns`, `lo` up and marked with `lab` before the name appears. Fails if the name exists.
    AddNamespace {
        /// The name under `/run/netns`.
        name: NsName,
        /// The lab of the mark.
        lab: LabName,
    },
    /// Takes the name away; the kernel removes the rest once no process is left inside.
    DelNamespace {
        /// The name under `/run/netns`.
        name: NsName,
    },
    /// Brings `lo` of a lab's namespace up (again) and renews the mark.
    MarkLoopback {
        /// Where.
        ns: NsId,
        /// The lab of the mark.
        lab: LabName,
    },
    /// A bridge, down. Fails if the name exists. Its MTU stays what it is when ports come and go: the kernel would else make
    /// it the smallest of theirs, which it does until the MTU has once been *changed* (`br_mtu_auto_adjust`,
    /// net/bridge/br_if.c); being created with it does not count.
    AddBridge {
        /// Where.
        ns: NsId,
        /// Its name.
        name: IfName,
        /// Its hardware address.
        mac: Mac,
        /// Its MTU in bytes.
        mtu: u32,
        /// The lab's mark.
        group: u32,
    },
    /// A veth pair, each end born where it stays; both down. Fails if either name exists.
    AddVeth {
        /// One end.
        a: VethEnd,
        /// The other.
        b: VethEnd,
        /// The lab's mark, on both.
        group: u32,
    },
    /// Changes a link in place; `None` leaves as is.
    SetLink {
        /// Where.
        ns: NsId,
        /// Which.
        name: IfName,
        /// What changes.
        set: LinkChange,
    },
    /// Removes a link (and the other end of a veth).
    DelLink {
        /// Where.
        ns: NsId,
        /// Which.
        name: IfName,
    },
    /// Removes all links of a group in one message: hundreds in the time of one (the kernel waits for RCU once, not for
    /// each). The planner asks for it only where all links of that group are known and go.
    DelGroup {
        /// Where.
        ns: NsId,
        /// The lab's mark.
        group: u32,
    },
    /// Adds an address, without duplicate address detection (`nodad`): the planner knows that it is alone. Done as well if
    /// the link has it (`ip address replace`): the planner cannot always know what went with another address.
    AddAddress {
        /// Where.
        ns: NsId,
        /// On which link.
        link: IfName,
        /// With its prefix length.
        address: IpNet,
    },
    /// Removes an address. The kernel takes routes along: those with it as source, and for the last IPv4 address all. Done as
    /// well if the link has not got it (EADDRNOTAVAIL): it may have gone with the primary address of its subnet.
    DelAddress {
        /// Where.
        ns: NsId,
        /// From which link.
        link: IfName,
        /// With its prefix length.
        address: IpNet,
    },
    /// Makes the route to an address's subnet again, which the kernel made with the address and somebody removed. Done as well
    /// if it is there.
    RouteSubnet {
        /// Where.
        ns: NsId,
        /// The link that has the address, up.
        link: IfName,
        /// With its prefix length; of IPv4 the subnet's first one.
        address: IpNet,
    },
    /// Writes a neighbour down for ever, in the place of what was known of it (`ip neigh replace … nud permanent`).
    SetNeighbour {
        /// Where.
        ns: NsId,
        /// Behind which link.
        link: IfName,
        /// Who.
        address: IpAddr,
        /// The hardware address.
        mac: Mac,
    },
    /// Forgets a neighbour. Done as well if there is none (ENOENT): it may have gone with its link.
    DelNeighbour {
        /// Where.
        ns: NsId,
        /// Behind which link.
        link: IfName,
        /// Who.
        address: IpAddr,
    },
    /// Adds a route, or puts it in the place of the one with the same prefix and metric (`ip route replace`).
    SetRoute {
        /// Where.
        ns: NsId,
        /// The route.
        route: Route,
    },
    /// Removes exactly this route.
    DelRoute {
        /// Where.
        ns: NsId,
        /// The route.
        route: Route,
    },
    /// Writes a sysctl.
    SetSysctl {
        /// Where.
        ns: NsId,
        /// The key.
        key: Sysctl,
        /// The value as text, without newline.
        value: String,
    },
    /// Makes the lab's table be exactly this, in one transaction: there is no moment without rules.
    ReplaceTable {
        /// Where.
        ns: NsId,
        /// The whole table.
        table: Table,
    },
    /// Changes entries of the table's maps, in one transaction; all else in it stays as it is.
    ChangeEntries {
        /// Where.
        ns: NsId,
        /// The table's name, in family `inet`.
        table: String,
        /// By map.
        changes: Vec<EntryChange>,
    },
    /// Removes the lab's table.
    DelTable {
        /// Where.
        ns: NsId,
        /// Its name, in family `inet`.
        name: String,
    },
    /// Inserts a rule at the head of a foreign chain, with the lab's mark as comment.
    AddOpening {
        /// Where.
        ns: NsId,
        /// The rule.
        opening: Opening,
        /// The lab of the mark.
        lab: LabName,
    },
    /// Removes that rule, found by its mark. None to remove is fine: its firewall may have written its rules anew meanwhile.
    DelOpening {
        /// Where.
        ns: NsId,
        /// The rule.
        opening: Opening,
        /// The lab of the mark.
        lab: LabName,
    },
    /// Asks firewalld to take an interface into its zone `trusted`.
    AddZone {
        /// Where.
        ns: NsId,
        /// The interface.
        interface: IfName,
    },
    /// Asks firewalld to take it out again. One that is not in it is fine.
    DelZone {
        /// Where.
        ns: NsId,
        /// The interface.
        interface: IfName,
    },
    /// Forgets tracked flows to published ports, so that they follow the new rules at once. None to forget is fine.
    FlushFlows {
        /// Where.
        ns: NsId,
        /// Protocol and published port, the original direction's destination. Only UDP today: a TCP flow ends by itself.
        flows: BTreeSet<(Proto, u16)>,
    },
}

/// One end of a veth pair to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VethEnd {
    /// Where it is born.
    pub ns: NsId,
    /// Its name.
    pub name: IfName,
    /// Its hardware address.
    pub mac: Mac,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The bridge it is a port of from the start, in the same namespace. Only for `a` (the kernel takes it for no peer).
    pub master: Option<IfName>,
    /// Up from the start. Only possible for `a`: the kernel refuses a peer that is born up (ENOTCONN).
    pub up: bool,
}

/// What of a link changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LinkChange {
    /// Up or down. Down takes the routes through the link along, and its IPv6 addresses.
    pub up: Option<bool>,
    /// The MTU in bytes.
    pub mtu: Option<u32>,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// `Some(None)` takes it out of its bridge.
    pub master: Option<Option<IfName>>,
    /// As a port: apart from other isolated ports. After `master`: a port that changes its bridge forgets it.
    pub isolated: Option<bool>,
    /// As a port: hands packets back. After `master`, like `isolated`.
    pub hairpin: Option<bool>,
    /// As a port: what is to be on or off. After `master`, like `isolated`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub port: BTreeMap<PortFlag, bool>,
    /// Asks who has an address, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arp: Option<bool>,
    /// The interface alias; an empty text removes it.
    pub alias: Option<String>,
    /// `Some(None)` removes the present one.
    pub altname: Option<AltnameChange>,
}

/// A second name comes or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AltnameChange {
    /// `ip link property add … altname`.
    Add(String),
    /// `ip link property del … altname`.
    Del(String),
}

/// Operations that may run in any order between namespaces, and in the order given within one. Later stages need earlier
/// ones. A stage is also the unit of batching and of progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// What a person sees while it runs: `namespaces`, `links`, `addresses and routes`.
    pub title: &'static str,
    /// The operations.
    pub ops: Vec<Op>,
}

/// Everything that leads from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// In this order; none is empty.
    pub stages: Vec<Stage>,
}

impl Plan {
    /// Nothing to do?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// All operations in order.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.stages.iter().flat_map(|stage| &stage.ops)
    }
}

impl Op {
    /// The namespace whose socket the operation is sent through. A new namespace and a veth pair are the host's business.
    #[must_use]
    pub fn ns(&self) -> &NsId {
        match self {
            Op::AddNamespace { .. } | Op::DelNamespace { .. } | Op::AddVeth { .. } => &NsId::Host,
            Op::MarkLoopback { ns, .. }
            | Op::AddBridge { ns, .. }
            | Op::SetLink { ns, .. }
            | Op::DelLink { ns, .. }
            | Op::DelGroup { ns, .. }
            | Op::AddAddress { ns, .. }
            | Op::DelAddress { ns, .. }
            | Op::RouteSubnet { ns, .. }
            | Op::SetNeighbour { ns, .. }
            | Op::DelNeighbour { ns, .. }
            | Op::SetRoute { ns, .. }
            | Op::DelRoute { ns, .. }
            | Op::SetSysctl { ns, .. }
            | Op::ReplaceTable { ns, .. }
            | Op::ChangeEntries { ns, .. }
            | Op::DelTable { ns, .. }
            | Op::AddOpening { ns, .. }
            | Op::DelOpening { ns, .. }
            | Op::AddZone { ns, .. }
            | Op::DelZone { ns, .. }
            | Op::FlushFlows { ns, .. } => ns,
        }
    }
}
