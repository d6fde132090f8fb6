//! The lab file: every mapping, every key, once. Readers, JSON Schema and reference all come from these declarations.

use super::form::{Expect, Gateway, LinkEnd, Names, OnEnd, Source, Subnet};
use super::general::{Either, Limits, List, Named, Number, Pair};
use super::read::{About, mapping};
use crate::lab::{Address, At, Dependence, FilterRule, Forward, NatLike, Policy, PortChoice, Publish, RouteSpec};
use crate::name::{IfName, LabName, Mac, NodeName};

/// Every mapping type of the file.
pub(super) const ALL: [&About; 11] = [
    &LabFile::ABOUT,
    &SwitchFile::ABOUT,
    &NamespaceFile::ABOUT,
    &LinkFile::ABOUT,
    &OnFile::ABOUT,
    &LinkEndFile::ABOUT,
    &RouterNat::ABOUT,
    &NatTimeoutsFile::ABOUT,
    &SwitchNat::ABOUT,
    &FilterFile::ABOUT,
    &LabFilterFile::ABOUT,
];

mapping! {
    /// A lab: namespaces, the switches they are on, the links between them.
    LabFile is "a lab file" in "lab" {
        /// The lab's name; without it, the name of the file. It is part of the names of namespaces (`LAB-NODE`).
        "lab" lab: At<LabName>,
        /// Switches (Linux bridges) by name.
        "switches" switches: Named<SwitchFile>,
        /// Namespaces by name. `host` stands for the namespace raum was started in, and can have routes only.
        "namespaces" namespaces: Named<NamespaceFile>,
        /// Links (veth pairs) between two namespaces, or a namespace and a switch.
        "links" links: List<LinkFile>,
        /// Names for several namespaces and switches, for filters.
        "groups" groups: Named<Vec<At<Names>>>,
        /// A packet filter between all namespaces, kept at each that receives.
        "filter" filter: LabFilterFile,
        /// What reaches what, and what must not: `raum test` tries it with packets.
        "expect" expect: List<At<Expect>>,
    }
    required { }
    not yet { }
}

mapping! {
    /// A switch: a Linux bridge.
    SwitchFile is "a switch" in "switch" {
        /// The subnet of everything on this switch, at most one of IPv4 and one of IPv6. Addresses that are not written are
        /// chosen from it, the same ones every time. `auto`: raum chooses a free one of each family, or of the family that is
        /// not written.
        "subnet" subnet: Vec<At<Subnet>>,
        /// Who has the first address of the subnet and routes for the others: `host`, or a namespace on this switch.
        "gateway" gateway: At<NodeName>,
        /// Translate the addresses of what leaves the host; only with `gateway: host`. `true`: to wherever it leaves,
        /// but by the lab's own links of the host: those are named. `{ out: eth0 }`: only what leaves by that interface of the
        /// host. `{ out: eth0, source: 203.0.113.7 }`: with this address, not that of the interface.
        "nat" nat: SwitchNatValue,
        /// The namespace the bridge lives in; without it, the host.
        "in" place: At<NodeName>,
        /// MTU in bytes of the bridge and of every interface on it that has none of its own.
        "mtu" mtu: At<Number<Mtu>>,
        /// Hardware address of the bridge interface.
        "mac" mac: At<Mac>,
        /// `true`: members reach the gateway, and what is behind it, but not each other.
        "isolated" isolated: At<bool>,
    }
    required { }
    not yet {
        "delay": "leave it out for now: links have no delay",
        "loss": "leave it out for now: links lose nothing",
        "rate": "leave it out for now: links have no limit"
    }
}

mapping! {
    /// A namespace: a node of the lab.
    NamespaceFile is "a namespace" in "namespace" {
        /// The switches it is on. Each gives it an interface.
        "on" on: Vec<Either<OnEnd, OnFile>>,
        /// Address of the default route's next hop, at most one of IPv4 and one of IPv6; overrides the switch's.
        /// `none`: no default route, or none but by the address beside it.
        "gateway" gateway: Vec<At<Gateway>>,
        /// Further routes, in the words of `ip route`.
        "routes" routes: Vec<At<RouteSpec>>,
        /// Does it pass packets on? Without it: yes if it is the gateway of a switch, translates or forwards ports.
        "forwarding" forwarding: At<bool>,
        /// Translate the addresses of what leaves by one of its interfaces.
        "nat" nat: RouterNat,
        /// Ports of the host that lead to this namespace.
        "publish" publish: Vec<At<Publish>>,
        /// Ports of this namespace, a router, that lead to others.
        "forward" forward: Vec<At<Forward>>,
        /// A packet filter for what comes in, passes through and goes out.
        "filter" filter: FilterFile,
    }
    required { }
    not yet {
        "run": "leave it out for now, and start the program with `raum exec NAMESPACE -- COMMAND`"
    }
}

mapping! {
    /// A link: a veth pair.
    LinkFile is "a link" in "link" {
        /// Its two ends: namespaces, `host`, or one namespace and one switch.
        "ends" ends: Pair<Either<LinkEnd, LinkEndFile>>,
        /// Where two namespaces get addresses from, at most one subnet of IPv4 and one of IPv6: each end that has none of it
        /// gets the next one. `auto`: raum chooses a free one of each family, or of the family that is not written.
        "subnet" subnet: Vec<At<Subnet>>,
        /// MTU in bytes of both ends that have none of their own.
        "mtu" mtu: At<Number<Mtu>>,
    }
    required { "ends" }
    not yet {
        "delay": "leave it out for now: links have no delay",
        "loss": "leave it out for now: links lose nothing",
        "rate": "leave it out for now: links have no limit"
    }
}

mapping! {
    /// The long way to put a namespace on a switch.
    OnFile is "an attachment to a switch" in "attachment" {
        /// The switch.
        "switch" switch: At<Names>,
        /// The interface's name inside the namespace; eth0, eth1, … without it.
        "interface" interface: At<IfName>,
        /// Addresses of the interface. The prefix length is the subnet's where none is written.
        "address" address: Vec<At<Address>>,
        /// MTU in bytes.
        "mtu" mtu: At<Number<Mtu>>,
        /// Hardware address.
        "mac" mac: At<Mac>,
        /// `true`: taken down, as a cable that is pulled out. There are no routes through it, and its other end has no carrier.
        "down" down: At<bool>,
    }
    required { "switch" }
    not yet {
        "delay": "leave it out for now: links have no delay",
        "loss": "leave it out for now: links lose nothing",
        "rate": "leave it out for now: links have no limit"
    }
}

mapping! {
    /// The long way to say the end of a link.
    LinkEndFile is "the end of a link" in "end" {
        /// The namespace, `host`, or the switch.
        "node" node: At<Names>,
        /// The interface's name inside the namespace; eth0, eth1, … without it.
        "interface" interface: At<IfName>,
        /// Addresses of the interface, with prefix length.
        "address" address: Vec<At<Address>>,
        /// MTU in bytes.
        "mtu" mtu: At<Number<Mtu>>,
        /// Hardware address.
        "mac" mac: At<Mac>,
        /// `true`: taken down, as a cable that is pulled out. There are no routes through it, and its other end has no carrier.
        "down" down: At<bool>,
    }
    required { "node" }
    not yet {
        "delay": "leave it out for now: links have no delay",
        "loss": "leave it out for now: links lose nothing",
        "rate": "leave it out for now: links have no limit"
    }
}

mapping! {
    /// Source address translation in a router namespace.
    RouterNat is "the `nat` of a namespace" in "routerNat" {
        /// The interface that packets leave by: they get its address.
        "out" out: At<IfName>,
        /// The address they get instead, at most one of IPv4 and one of IPv6.
        "source" source: Vec<At<Source>>,
        /// The NAT of this kind as found in the field: `home`, `corporate`, `full-cone`, `restricted`, `port-restricted`,
        /// `carrier-grade` or `cloud`. The keys below say one thing each, and differently.
        "like" like: At<NatLike>,
        /// For which destinations a sender has the same outer port: `endpoint-independent` (all), `address-dependent`,
        /// `address-and-port-dependent` (RFC 4787, section 4.1).
        "mapping" mapping: At<Dependence>,
        /// Who gets in by that port: `endpoint-independent` (all), `address-dependent` (addresses spoken to),
        /// `address-and-port-dependent` (RFC 4787, section 5).
        "filtering" filtering: At<Dependence>,
        /// Which port it is: `preserve` (the sender's own, if it is free) or `random`.
        "ports" ports: At<PortChoice>,
        /// `true`: those inside reach each other by their outer addresses and ports.
        "hairpin" hairpin: At<bool>,
        /// How long flows are remembered.
        "timeouts" timeouts: NatTimeoutsFile,
    }
    required { "out" }
    not yet { }
}

mapping! {
    /// How long a NAT remembers flows after their last packet, in seconds.
    NatTimeoutsFile is "the `timeouts` of a `nat`" in "natTimeouts" {
        /// UDP of which only one side has been heard.
        "udp" udp: At<Number<Seconds>>,
        /// UDP of which both have, and the mapping and the filter of a port.
        "udp-stream" udp_stream: At<Number<Seconds>>,
        /// TCP that is established, and the mapping and the filter of a port.
        "tcp" tcp: At<Number<Seconds>>,
        /// Queries of ICMP.
        "icmp" icmp: At<Number<Seconds>>,
    }
    required { }
    not yet { }
}

mapping! {
    /// Source address translation on the host.
    SwitchNat is "the `nat` of a switch" in "switchNat" {
        /// The interface of the host that packets leave by: they get its address.
        "out" out: At<IfName>,
        /// The address they get instead, at most one of IPv4 and one of IPv6.
        "source" source: Vec<At<Source>>,
    }
    required { "out" }
    not yet { }
}

mapping! {
    /// A packet filter of a namespace. What belongs to a flow that was let through always passes; of the rest first `deny`
    /// decides, then `allow`, then the default.
    FilterFile is "the `filter` of a namespace" in "filter" {
        /// What happens to what comes in or passes through, where no rule speaks of it.
        "default" default: At<Policy>,
        /// What happens to what the namespace itself sends, where no rule speaks of it; `allow` if absent.
        "outgoing" outgoing: At<Policy>,
        /// What is let through. `FROM` and `TO` are namespaces, switches, groups, prefixes or `any`. Without `TO`, or with this
        /// namespace as `TO`: what comes in. With this namespace as `FROM`: what it sends. Else: what passes through.
        "allow" allow: Vec<At<FilterRule>>,
        /// What is dropped, even if `allow` has it too.
        "deny" deny: Vec<At<FilterRule>>,
    }
    required { "default" }
    not yet { }
}

mapping! {
    /// A packet filter between the namespaces of a lab.
    LabFilterFile is "the `filter` of a lab" in "labFilter" {
        /// What happens to what comes in to a namespace that has no `filter` of its own, where no rule speaks of it.
        "default" default: At<Policy>,
        /// What is let through. Without `TO`: to everybody.
        "allow" allow: Vec<At<FilterRule>>,
        /// What is dropped, even if `allow` has it too, here or in the namespace.
        "deny" deny: Vec<At<FilterRule>>,
    }
    required { "default" }
    not yet { }
}

pub(super) use super::nat::SwitchNatValue;

/// Limits of a timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds;

impl Limits for Seconds {
    const WHAT: &'static str = "a time in seconds";
    // INT_MAX / HZ with HZ = 1000 (`proc_dointvec_jiffies`, kernel/time/jiffies.c)
    const RANGE: (u32, u32) = (1, 2_147_483);
    const WHY: &'static str = "the kernel takes whole seconds, at most 24 days";
}

/// Limits of an MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mtu;

impl Limits for Mtu {
    const WHAT: &'static str = "an MTU";
    // ETH_MIN_MTU and ETH_MAX_MTU (include/uapi/linux/if_ether.h), what veth and bridges take
    const RANGE: (u32, u32) = (68, 65535);
    const WHY: &'static str = "these are the limits of veth and bridges in bytes; 1500 is usual";
}
