//! Links in rtnetlink's words: what is asked, and what is answered.
//!
//! Numbers are from include/uapi/linux/{rtnetlink,if_link,veth}.h. All functions write to, or read from, bytes only.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd};

use raum_core::name::{IfName, Mac};
use raum_core::plan::{AltnameChange, LinkChange, VethEnd};
use raum_core::state::PortFlag;

use crate::message::{Answer, Attribute, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, Request, Requests, i32_at, u32_at};

pub(crate) const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BRPORT_STATE: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
/// The attribute of each, where one has one byte for on and off.
const PORT_FLAGS: [(PortFlag, u16); 6] = [
    (PortFlag::Learning, 8),
    (PortFlag::Flood, 9),
    (PortFlag::McastFlood, 27),
    (PortFlag::BcastFlood, 30),
    (PortFlag::NeighSuppress, 32),
    (PortFlag::Locked, 39),
];
const BR_STATE_DISABLED: u8 = 0;
const BR_STATE_FORWARDING: u8 = 3;
const VETH_INFO_PEER: u16 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
/// Leaves the counters out of answers: a third of the bytes.
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const AF_BRIDGE: u8 = 7;
const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 1 << 6;
const IFF_NOARP: u32 = 1 << 7;

/// `lo` has this index in every namespace (`LOOPBACK_IFINDEX`).
pub(crate) const LOOPBACK: u32 = 1;

/// One link, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkInfo {
    /// The kernel's number of it in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth`, …; empty for hardware and `lo`.
    pub kind: String,
    /// `IFF_UP`.
    pub up: bool,
    /// `IFF_RUNNING`: up, with a carrier, and the kernel has acted on both.
    pub running: bool,
    /// Bytes.
    pub mtu: u32,
    /// The hardware address; zero where it has none of six bytes.
    pub mac: [u8; 6],
    /// The index of its bridge.
    pub master: Option<u32>,
    /// As a port, apart from other isolated ones.
    pub isolated: bool,
    /// As a port, hands packets back.
    pub hairpin: bool,
    /// As a bridge: decides by STP what its ports do.
    pub stp: bool,
    /// As a port, what is not as with a new one. Of one without a carrier, [`PortFlag::Forwarding`] too.
    pub unusual: BTreeSet<PortFlag>,
    /// `IFF_NOARP`.
    pub noarp: bool,
    /// Its group; 0 unless given.
    pub group: u32,
    /// Its alias.
    pub alias: Option<String>,
    /// The first of its second names.
    pub altname: Option<String>,
    /// Of a veth, the other end's index there.
    pub peer: Option<u32>,
    /// Of a veth whose other end is in another namespace: what this one calls that.
    pub peer_nsid: Option<i32>,
}

/// `struct ifinfomsg`: family, padding, type, index, flags, mask of flags to change.
fn ifinfomsg(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// A bridge, down. The kernel sends it back ([`decode`]), with its index (Linux 6.2; before, nothing comes).
pub(crate) fn add_bridge(requests: &mut Requests, name: &IfName, mac: Mac, mtu: u32, group: u32) {
    let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO;
    requests
        .request(RTM_NEWLINK, flags, &ifinfomsg(0, 0, 0))
        .text(IFLA_IFNAME, name.as_str())
        .attribute(IFLA_ADDRESS, &mac.0)
        .u32(IFLA_MTU, mtu)
        .u32(IFLA_GROUP, group)
        .nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "bridge");
        });
}

/// A veth pair in one message, sent in the namespace of `a`; `b` is born in its own. The kernel sends `a` back, with both
/// indices, as for [`add_bridge`].
pub(crate) fn add_veth(
    requests: &mut Requests,
    a: &VethEnd,
    master: Option<u32>,
    b: &VethEnd,
    b_ns: Option<BorrowedFd<'_>>,
    group: u32,
) {
    let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO;
    let up = if a.up { IFF_UP } else { 0 };
    let mut request = requests.request(RTM_NEWLINK, flags, &ifinfomsg(0, up, up));
    end(&mut request, a, group);
    if let Some(master) = master {
        request.u32(IFLA_MASTER, master);
    }
    request.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                // not up: the kernel refuses a peer that is born up (ENOTCONN) after a wait of 16 ms
                peer.raw(&ifinfomsg(0, 0, 0));
                end(peer, b, group);
                if let Some(ns) = b_ns {
                    peer.attribute(IFLA_NET_NS_FD, &ns.as_raw_fd().to_ne_bytes());
                }
            });
        });
    });
}

fn end(request: &mut Request<'_>, end: &VethEnd, group: u32) {
    request
        .text(IFLA_IFNAME, end.name.as_str())
        .attribute(IFLA_ADDRESS, &end.mac.0)
        .u32(IFLA_MTU, end.mtu)
        .u32(IFLA_GROUP, group);
}

/// What changes on a link, with its master's index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Set<'a> {
    pub up: Option<bool>,
    pub mtu: Option<u32>,
    pub mac: Option<Mac>,
    pub arp: Option<bool>,
    /// 0 takes it out of its bridge.
    pub master: Option<u32>,
    pub alias: Option<&'a str>,
}

/// Changes a link in place, in one message.
pub(crate) fn set(requests: &mut Requests, index: u32, set: Set<'_>) {
    let flag = |bit, on| if on { bit } else { 0 };
    let flags = flag(IFF_UP, set.up == Some(true)) | flag(IFF_NOARP, set.arp == Some(false));
    let change = flag(IFF_UP, set.up.is_some()) | flag(IFF_NOARP, set.arp.is_some());
    let mut request = requests.request(RTM_SETLINK, 0, &ifinfomsg(index, flags, change));
    if let Some(mac) = set.mac {
        request.attribute(IFLA_ADDRESS, &mac.0);
    }
    if let Some(mtu) = set.mtu {
        request.u32(IFLA_MTU, mtu);
    }
    if let Some(master) = set.master {
        request.u32(IFLA_MASTER, master);
    }
    if let Some(alias) = set.alias {
        request.attribute(IFLA_IFALIAS, alias.as_bytes());
    }
}

/// Changes what concerns a port of a bridge, for which `RTM_SETLINK` has no ear (`do_setlink`, net/core/rtnetlink.c).
pub(crate) fn set_port(requests: &mut Requests, index: u32, set: &LinkChange) {
    requests.request(RTM_NEWLINK, 0, &ifinfomsg(index, 0, 0)).nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_SLAVE_KIND, "bridge").nest(IFLA_INFO_SLAVE_DATA, |data| {
            for (kind, flag) in [(IFLA_BRPORT_ISOLATED, set.isolated), (IFLA_BRPORT_MODE, set.hairpin)] {
                if let Some(flag) = flag {
                    data.attribute(kind, &[u8::from(flag)]);
                }
            }
            for (kind, flag) in PORT_FLAGS.iter().filter_map(|(flag, kind)| Some((*kind, *set.port.get(flag)?))) {
                data.attribute(kind, &[u8::from(flag)]);
            }
        });
    });
    if let Some(on) = set.port.get(&PortFlag::Forwarding) {
        // as `bridge link set` does: a port disabled by the request above is enabled by the news of that very request
        // (`br_port_carrier_check`, net/bridge/br_if.c)
        let mut header = ifinfomsg(index, 0, 0);
        header[0] = AF_BRIDGE;
        requests.request(RTM_SETLINK, 0, &header).nest(IFLA_PROTINFO, |port| {
            port.attribute(IFLA_BRPORT_STATE, &[if *on { BR_STATE_FORWARDING } else { BR_STATE_DISABLED }]);
        });
    }
}

/// Changes the MTU of a link that has been asked for in the same message train, and has no known index yet.
pub(crate) fn set_mtu(requests: &mut Requests, name: &IfName, mtu: u32) {
    requests.request(RTM_SETLINK, 0, &ifinfomsg(0, 0, 0)).text(IFLA_IFNAME, name.as_str()).u32(IFLA_MTU, mtu);
}

/// Adds or removes a second name.
pub(crate) fn set_altname(requests: &mut Requests, index: u32, change: &AltnameChange) {
    let (kind, flags, name) = match change {
        AltnameChange::Add(name) => (RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL, name),
        AltnameChange::Del(name) => (RTM_DELLINKPROP, 0, name),
    };
    requests.request(kind, flags, &ifinfomsg(index, 0, 0)).nest(IFLA_PROP_LIST, |list| {
        list.text(IFLA_ALT_IFNAME, name);
    });
}

/// Removes a link by name.
pub(crate) fn delete(requests: &mut Requests, name: &IfName) {
    requests.request(RTM_DELLINK, 0, &ifinfomsg(0, 0, 0)).text(IFLA_IFNAME, name.as_str());
}

/// Removes all links of a group at once. The kernel says ENODEV if there is none.
pub(crate) fn delete_group(requests: &mut Requests, group: u32) {
    requests.request(RTM_DELLINK, 0, &ifinfomsg(0, 0, 0)).u32(IFLA_GROUP, group);
}

/// Asks for one link by name.
pub(crate) fn get(requests: &mut Requests, name: &str) {
    requests
        .request(RTM_GETLINK, 0, &ifinfomsg(0, 0, 0))
        .u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
        .text(IFLA_IFNAME, name);
}

/// Asks for one link by index, here or in the namespace that this one calls by a number.
pub(crate) fn get_at(requests: &mut Requests, index: u32, nsid: Option<i32>) {
    let mut request = requests.request(RTM_GETLINK, 0, &ifinfomsg(index, 0, 0));
    request.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if let Some(nsid) = nsid {
        request.attribute(IFLA_TARGET_NETNSID, &nsid.to_ne_bytes());
    }
}

/// Asks for all links; for a dump.
pub(crate) fn list(requests: &mut Requests) {
    requests.request(RTM_GETLINK, 0, &ifinfomsg(0, 0, 0)).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

/// Asks what number the socket's namespace has for another.
pub(crate) fn get_nsid(requests: &mut Requests, ns: BorrowedFd<'_>) {
    requests.request(RTM_GETNSID, 0, &[0; 4]).attribute(NETNSA_FD, &ns.as_raw_fd().to_ne_bytes());
}

/// The answer to `get_nsid`; None if it has none.
#[must_use]
pub fn decode_nsid(answer: &Answer<'_>) -> Option<i32> {
    if answer.kind != RTM_NEWNSID {
        return None;
    }
    // struct rtgenmsg is one byte
    answer.split(1)?.1.find(NETNSA_NSID)?.i32().filter(|id| *id >= 0)
}

/// Reads a link from an answer; None if the answer is none or has no name.
#[must_use]
pub fn decode(answer: &Answer<'_>) -> Option<LinkInfo> {
    if answer.kind != RTM_NEWLINK {
        return None;
    }
    let (header, attributes) = answer.split(16)?;
    let index = u32::try_from(i32_at(header, 4)?).ok()?;
    let flags = u32_at(header, 8)?;
    let mut link = LinkInfo {
        index,
        up: flags & IFF_UP != 0,
        noarp: flags & IFF_NOARP != 0,
        running: flags & IFF_RUNNING != 0,
        ..LinkInfo::default()
    };
    for attribute in attributes {
        decode_attribute(&mut link, attribute);
    }
    (!link.name.is_empty()).then_some(link)
}

fn decode_attribute(link: &mut LinkInfo, attribute: Attribute<'_>) {
    let text = |attribute: Attribute<'_>| attribute.text().map(str::to_owned);
    match attribute.kind {
        IFLA_IFNAME => link.name = text(attribute).unwrap_or_default(),
        IFLA_ADDRESS => {
            link.mac = if attribute.bytes.len() == 6 { attribute.array() } else { None }.unwrap_or_default()
        }
        IFLA_MTU => link.mtu = attribute.u32().unwrap_or_default(),
        IFLA_LINK => link.peer = attribute.u32(),
        IFLA_MASTER => link.master = attribute.u32().filter(|index| *index != 0),
        IFLA_GROUP => link.group = attribute.u32().unwrap_or_default(),
        IFLA_IFALIAS => link.alias = text(attribute).filter(|alias| !alias.is_empty()),
        IFLA_LINK_NETNSID => link.peer_nsid = attribute.i32(),
        IFLA_LINKINFO => {
            let info = attribute.nested();
            link.kind = info.find(IFLA_INFO_KIND).and_then(text).unwrap_or_default();
            let bridge = info.find(IFLA_INFO_DATA).filter(|_| link.kind == "bridge").map(Attribute::nested);
            let stp = bridge.and_then(|bridge| bridge.find(IFLA_BR_STP_STATE)).and_then(Attribute::u32);
            link.stp = stp.is_some_and(|stp| stp != 0);
            let is_port = info.find(IFLA_INFO_SLAVE_KIND).and_then(Attribute::text) == Some("bridge");
            let port = info.find(IFLA_INFO_SLAVE_DATA).filter(|_| is_port).map(Attribute::nested).unwrap_or_default();
            let flag = |kind| port.find(kind).and_then(Attribute::u8).is_some_and(|flag| flag != 0);
            (link.isolated, link.hairpin) = (flag(IFLA_BRPORT_ISOLATED), flag(IFLA_BRPORT_MODE));
            // what this kernel does not know is as it always was
            let on = |kind| port.find(kind).and_then(Attribute::u8).map(|flag| flag != 0);
            let unusual = PORT_FLAGS.iter().filter(|(flag, kind)| on(*kind).is_some_and(|on| on != flag.is_usual()));
            link.unusual = unusual.map(|(flag, _)| *flag).collect();
            if port.find(IFLA_BRPORT_STATE).and_then(Attribute::u8).is_some_and(|state| state != BR_STATE_FORWARDING) {
                link.unusual.insert(PortFlag::Forwarding);
            }
        }
        IFLA_PROP_LIST => link.altname = attribute.nested().find(IFLA_ALT_IFNAME).and_then(text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Answers;

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let mut requests = Requests::new();
        let name = IfName::new("lan").unwrap();
        add_bridge(&mut requests, &name, Mac([2, 0, 0, 0, 0, 1]), 1400, 7);
        let link = decode(&Answers::new(requests.bytes()).next().unwrap()).unwrap();
        let want = LinkInfo {
            name: "lan".into(),
            kind: "bridge".into(),
            mtu: 1400,
            mac: [2, 0, 0, 0, 0, 1],
            group: 7,
            ..LinkInfo::default()
        };
        assert_eq!(link, want);
    }

    #[test]
    fn garbage_is_no_link() {
        for length in 0..80 {
            for byte in [0, 1, 0xff] {
                let body = vec![byte; length];
                assert_eq!(decode(&Answer { kind: RTM_NEWLINK, flags: 0, sequence: 0, body: &body }), None);
            }
        }
    }
}
