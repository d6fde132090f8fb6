//! What design promises whatever the lab. Whole states are cases under `tests/cases/design`.

use std::collections::BTreeMap;

use super::*;
use crate::lab::{Address, At, End, Nat, Node, Proto, Publish, Switch};
use crate::name::IfName;
use crate::state::Sysctl;

fn at<T>(value: T) -> At<T> {
    At::nowhere(value)
}

fn name(text: &str) -> At<NodeName> {
    at(text.parse().unwrap())
}

fn end(to: &str) -> End {
    End { to: name(to), interface: None, addresses: Vec::new(), mtu: None, mac: None, down: None }
}

fn node(text: &str, on: Vec<End>) -> Node {
    Node {
        name: name(text),
        on,
        gateways: Vec::new(),
        routes: Vec::new(),
        forwarding: None,
        nat: None,
        publish: Vec::new(),
        forward: Vec::new(),
        filter: None,
    }
}

fn switch(text: &str, subnets: &[&str]) -> Switch {
    Switch {
        name: name(text),
        subnets: subnets.iter().map(|net| at(net.parse().unwrap())).collect(),
        chosen: None,
        gateway: Some(name("host")),
        nat: Some(at(Nat::default())),
        place: None,
        mtu: None,
        mac: None,
        isolated: None,
    }
}

/// examples/shop.yaml
fn shop() -> Lab {
    let mut web = node("web", vec![end("lan")]);
    web.publish.push(at(Publish { address: None, ports: (8080, 8080), target: 80, proto: Proto::Tcp }));
    let mut db = end("lan");
    db.addresses.push(at(Address { ip: "10.10.0.20".parse().unwrap(), prefix_len: None }));
    Lab {
        name: at("shop".parse().unwrap()),
        switches: vec![switch("lan", &["10.10.0.0/24"])],
        nodes: vec![web, node("db", vec![db])],
        links: Vec::new(),
        groups: Vec::new(),
        filter: None,
        expect: Vec::new(),
    }
}

fn laptop() -> Surroundings {
    let route = |to: &str, dev: &str| (to.parse().unwrap(), dev.parse().unwrap());
    let sysctl = |key: &str, value: &str| (Sysctl::new(key).unwrap(), value.to_owned());
    Surroundings {
        routes: vec![route("0.0.0.0/0", "wlan0"), route("::/0", "wlan0"), route("192.168.7.0/24", "wlan0")],
        sysctls: BTreeMap::from([
            sysctl("net/ipv4/conf/wlan0/forwarding", "0"),
            sysctl("net/ipv6/conf/all/forwarding", "0"),
            sysctl("net/ipv6/conf/wlan0/accept_ra", "1"),
        ]),
        ipv6: true,
        ..Surroundings::default()
    }
}

fn addresses(design: &Design, node: &str) -> Vec<String> {
    design.nodes[&node.parse::<NodeName>().unwrap()].addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn the_shop() {
    let design = design(&shop(), &laptop());
    let ns: NsId = "shop-web".parse().unwrap();
    let web = &design.state.namespaces[&ns];
    let routes: Vec<String> = web.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["default via 10.10.0.1 dev eth0"]);
    assert_eq!(addresses(&design, "db"), ["10.10.0.20/24"]);
    assert_eq!(addresses(&design, "host"), ["10.10.0.1/24"]);
    let host = &design.state.namespaces[&NsId::Host];
    let links: Vec<&str> = host.links.keys().map(IfName::as_str).collect();
    assert_eq!(links, ["shop-db-eth0", "shop-lan", "shop-web-eth0"]);
    assert!(design.hosts.contains("\n10.10.0.20 db\n"), "{}", design.hosts);
}

#[test]
fn other_nodes_keep_their_addresses_when_one_comes_or_goes() {
    let mut lab = shop();
    lab.switches[0].subnets[0] = at("10.10.0.0/16".parse().unwrap());
    for i in 0..20 {
        lab.nodes.push(node(&format!("n{i}"), vec![end("lan")]));
    }
    let before = design(&lab, &laptop());
    let gone = lab.nodes.remove(5).name.value;
    lab.nodes.insert(0, node("new", vec![end("lan")]));
    let after = design(&lab, &laptop());
    for (name, node) in &before.nodes {
        if *name != gone {
            assert_eq!(after.nodes[name], *node, "{name}");
        }
    }
}

#[test]
fn a_second_design_after_up_is_the_same() {
    let mut lab = shop();
    lab.switches[0].subnets.push(at("fd01::/64".parse().unwrap()));
    let before = laptop();
    let first = design(&lab, &before);
    assert_eq!(design(&lab, &after_up(&before, &first)), first);
}

/// The surroundings once the state is there.
fn after_up(before: &Surroundings, design: &Design) -> Surroundings {
    let host = &design.state.namespaces[&NsId::Host];
    let mut around = before.clone();
    for (key, value) in &host.sysctls {
        around.sysctls.entry(key.clone()).and_modify(|v| value.clone_into(v));
    }
    if let Some(table) = &host.table {
        around.was.insert(table.lab.clone(), table.was.clone());
    }
    around
}

#[test]
fn sysctls_go_back_when_the_last_lab_goes() {
    let (first, mut second) = (shop(), shop());
    second.name = at("mall".parse().unwrap());
    second.switches[0].subnets[0] = at("10.20.0.0/24".parse().unwrap());
    second.nodes[1].on[0].addresses.clear();
    let around = laptop();
    let around = after_up(&around, &design(&first, &around));
    let around = after_up(&around, &design(&second, &around));
    let key = Sysctl::new("net/ipv4/conf/wlan0/forwarding").unwrap();
    assert_eq!(around.sysctls[&key], "1");
    assert_eq!(around.was[&second.name.value][&key], "0", "the value from before the first lab");

    assert_eq!(absent(&first.name, &around), State::default(), "the second lab still needs it");
    let mut alone = around.clone();
    alone.was.remove(&first.name.value);
    let gone = absent(&second.name, &alone);
    assert_eq!(gone.namespaces[&NsId::Host].sysctls, BTreeMap::from([(key.clone(), "0".to_owned())]));

    // and when the lab stays, but without what needed it
    let mut quiet = second.clone();
    quiet.switches[0].nat = None;
    quiet.nodes[0].publish.clear();
    let host = &design(&quiet, &alone).state.namespaces[&NsId::Host];
    assert_eq!(host.sysctls.get(&key).map(String::as_str), Some("0"));
    assert!(host.table.as_ref().unwrap().was.is_empty());
}

#[test]
fn an_old_kernel_forwards_ipv6_as_a_whole_and_keeps_taking_router_advertisements() {
    let mut lab = shop();
    lab.switches[0].subnets.push(at("fd01::/64".parse().unwrap()));
    let host = |around: &Surroundings| design(&lab, around).state.namespaces[&NsId::Host].sysctls.clone();
    let keys = |around: &Surroundings| -> Vec<String> {
        let v6 =
            |(key, value): (Sysctl, String)| key.as_str().starts_with("net/ipv6").then(|| format!("{key}={value}"));
        host(around).into_iter().filter_map(v6).collect()
    };
    assert_eq!(
        keys(&laptop()),
        ["net/ipv6/conf/all/forwarding=1", "net/ipv6/conf/shop-lan/accept_dad=0", "net/ipv6/conf/wlan0/accept_ra=2"]
    );
    let mut new = laptop();
    new.sysctls.insert(Sysctl::new("net/ipv6/conf/wlan0/force_forwarding").unwrap(), "0".into());
    assert_eq!(
        keys(&new),
        [
            "net/ipv6/conf/shop-lan/accept_dad=0",
            "net/ipv6/conf/shop-lan/force_forwarding=1",
            "net/ipv6/conf/wlan0/force_forwarding=1"
        ]
    );
}

#[test]
fn what_the_shop_needs_of_the_hosts_rules() {
    let design = design(&shop(), &laptop());
    let named = |name: &Option<IfName>| name.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let told = design
        .flows
        .iter()
        .map(|flow| format!("{} {} > {}: {}", flow.hook, named(&flow.input), named(&flow.output), flow.what));
    let wanted = [
        "forward shop-lan > shop-lan: between members of lan",
        "input shop-lan > -: pings from lan to the host",
        "output - > shop-lan: from the host to lan",
        "input shop-lan > -: answers from the host to lan",
        "forward shop-lan > wlan0: from lan out by wlan0",
        "forward wlan0 > shop-lan: answers to lan in by wlan0",
        "forward wlan0 > shop-lan: from outside by wlan0 to published ports in lan",
        "output - > shop-lan: from the host to published ports in lan",
        "prerouting wlan0 > -: from outside by wlan0 to port 8080/tcp of the host",
    ];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
}

#[test]
fn two_switches_need_each_other_and_a_lab_without_the_host_needs_nothing() {
    let mut two = shop();
    two.switches.push(switch("dmz", &["10.20.0.0/24", "fd20::/64"]));
    two.nodes.push(node("mail", vec![end("dmz")]));
    let flows = design(&two, &laptop()).flows;
    let whats: Vec<&str> = flows.iter().map(|flow| flow.what.as_str()).collect();
    for what in ["from lan to dmz", "from dmz to lan", "questions of dmz for the gateway's hardware address"] {
        assert!(whats.contains(&what), "{whats:?}");
    }
    let mut alone = shop();
    alone.switches.clear();
    alone.nodes = vec![node("a", Vec::new()), node("b", Vec::new())];
    assert_eq!(design(&alone, &laptop()).flows, []);
}

#[test]
fn the_limit_of_neighbours_is_raised_once_and_put_back() {
    let name = "forty".parse().unwrap();
    let text = "switches: { lan: { subnet: 10.10.0.0/24 } }\nnamespaces: { \"n[1-40]\": { on: lan } }\n";
    let lab = crate::lab::parse(text, &name).unwrap();
    let key = crate::state::Sysctl::new("net/ipv4/neigh/default/gc_thresh3").unwrap();
    let wanted = |around: &Surroundings| {
        let state = design(&lab, around).state;
        let host = state.namespaces.get(&NsId::Host).cloned().unwrap_or_default();
        (host.sysctls.get(&key).cloned(), host.table.and_then(|table| table.was.get(&key).cloned()))
    };
    let with =
        |limit: &str| Surroundings { sysctls: [(key.clone(), limit.to_owned())].into(), ..Surroundings::default() };
    let raised = (Some("1048576".to_owned()), Some("1024".to_owned()));
    assert_eq!(wanted(&with("1024")), raised);
    assert_eq!(wanted(&with("4096")), (None, None), "there is room");
    assert_eq!(wanted(&Surroundings::default()), (None, None), "no such limit here");
    // it is up: the same again, whoever else wants it, and the old value when it goes
    let mut around = with("1048576");
    around.was.insert(name.clone(), [(key.clone(), "1024".to_owned())].into());
    assert_eq!(wanted(&around), raised);
    let left = |around: &Surroundings| {
        absent(&name, around).namespaces.get(&NsId::Host).and_then(|host| host.sysctls.get(&key).cloned())
    };
    assert_eq!(left(&around), Some("1024".to_owned()));
    around.was.insert("other".parse().unwrap(), [(key.clone(), "1024".to_owned())].into());
    assert_eq!(left(&around), None, "another lab needs it");
}
