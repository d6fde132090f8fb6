//! What is around a host: a neighbour on its own network, who is also its way out.

use std::net::IpAddr;

use raum_core::host::{Host, Outcome};
use raum_core::name::{IfName, LabName, Mac, NsId, NsName};
use raum_core::plan::{LinkChange, Op, VethEnd};
use raum_core::state::Route;
use raum_kernel::{Linux, sandbox};

/// A neighbour on the host's own network, who is also its way out: `world-net` with 198.51.100.1 and fd51::1, and `up0` of
/// the host with 198.51.100.2 and fd51::2. No lab, so that no rules come with it.
pub fn world() {
    sandbox::loopback_up().expect("lo");
    let mut host = Linux::new().expect("the kernel");
    let name = |name: &str| IfName::new(name).expect("a name");
    let net: NsId = "world-net".parse().expect("a name");
    let lab = LabName::new("world").expect("a name");
    let end = |ns: &NsId, name: IfName, last| VethEnd {
        ns: ns.clone(),
        name,
        mac: Mac([2, 0, 0, 0, 0, last]),
        mtu: 1500,
        master: None,
        up: true,
    };
    let address = |ns: &NsId, link: &str, address: &str| Op::AddAddress {
        ns: ns.clone(),
        link: name(link),
        address: address.parse().expect("an address"),
    };
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    for stage in [
        vec![Op::AddNamespace { name: NsName::new("world-net").expect("a name"), lab }],
        vec![Op::AddVeth { a: end(&net, name("eth0"), 1), b: end(&NsId::Host, name("up0"), 2), group: 0 }],
        vec![
            address(&net, "eth0", "198.51.100.1/24"),
            address(&net, "eth0", "fd51::1/64"),
            address(&NsId::Host, "up0", "198.51.100.2/24"),
            address(&NsId::Host, "up0", "fd51::2/64"),
            Op::SetLink { ns: NsId::Host, name: name("up0"), set: up },
            route("host", "up0", "0.0.0.0/0", "198.51.100.1"),
            route("host", "up0", "::/0", "fd51::1"),
        ],
    ] {
        done(&mut host, &stage);
    }
}

pub fn route(ns: &str, dev: &str, to: &str, via: &str) -> Op {
    let dev = IfName::new(dev).expect("a name");
    let via: IpAddr = via.parse().expect("an address");
    let route = Route::unicast(to.parse().expect("a prefix"), Some(via), dev);
    Op::SetRoute { ns: ns.parse().expect("a name"), route }
}

pub fn done(host: &mut Linux, stage: &[Op]) {
    for (op, outcome) in stage.iter().zip(host.run(stage)) {
        assert_eq!(outcome, Outcome::Done, "{op:?}");
    }
}
