//! Faults, made by the kernel's own interfaces in namespaces by name; `host` is the one that the test is in.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use raum_core::host::{Host, Outcome};
use raum_core::lab::mark;
use raum_core::name::{IfName, LabName, NsId};
use raum_core::nft::{Chain, Hook, Rule, Table, Verdict};
use raum_core::plan::{LinkChange, Op};
use raum_core::state::{Route, RouteKind, Sysctl};
use raum_core::view::Parts;
use raum_kernel::message::Requests;
use raum_kernel::namespace::{in_namespace, named, present};
use raum_kernel::socket::{Protocol, Socket};
use raum_kernel::{Linux, ruleset, scene};

fn ns(name: &str) -> NsId {
    name.parse().expect("a name")
}

pub fn link(name: &str) -> IfName {
    IfName::new(name).expect("a name")
}

#[track_caller]
fn run(op: Op) {
    let outcome = Linux::new().expect("the kernel").run(std::slice::from_ref(&op)).pop();
    assert_eq!(outcome, Some(Outcome::Done), "{op:?}");
}

pub fn open(name: &str) -> OwnedFd {
    match ns(name) {
        NsId::Host => present().expect("here"),
        NsId::Named(name) => named(&name).expect("a namespace"),
    }
}

/// One message of rtnetlink inside a namespace.
#[track_caller]
pub fn tell(place: &str, fill: impl FnOnce(&mut Requests) + Send) {
    let told = in_namespace(open(place), || {
        let mut requests = Requests::new();
        fill(&mut requests);
        Socket::open(Protocol::Route)?.run_one(&mut requests)
    });
    told.expect("inside").expect("done");
}

pub fn index(place: &str, name: &str) -> u32 {
    let text = in_namespace(open(place), || std::fs::read_to_string("/proc/thread-self/net/dev_snmp6").is_ok());
    drop(text);
    let path = name.to_owned();
    let scene = scene::look(Parts::LINKS, |room| room.namespace == place).expect("a scene");
    scene.namespaces[0].interface(&path).expect("an interface").index
}

pub fn set(place: &str, name: &str, up: bool) {
    run(Op::SetLink { ns: ns(place), name: link(name), set: LinkChange { up: Some(up), ..LinkChange::default() } });
}

pub fn mtu(name: &str, mtu: u32) {
    run(Op::SetLink { ns: NsId::Host, name: link(name), set: LinkChange { mtu: Some(mtu), ..LinkChange::default() } });
}

pub fn inside_mtu(place: &str, name: &str, mtu: u32) {
    run(Op::SetLink { ns: ns(place), name: link(name), set: LinkChange { mtu: Some(mtu), ..LinkChange::default() } });
}

pub fn master(name: &str, master: Option<&str>) {
    let master = Some(master.map(link));
    run(Op::SetLink { ns: NsId::Host, name: link(name), set: LinkChange { master, ..LinkChange::default() } });
}

/// The host's end of a namespace's eth0.
pub fn port_of(place: &str) -> String {
    let scene = scene::look(Parts::LINKS, |room| room.namespace == place).expect("a scene");
    let peer = scene.namespaces[0].interface("eth0").and_then(|eth0| eth0.peer.clone()).expect("a peer");
    peer.interface.expect("its name")
}

pub fn add_address(place: &str, name: &str, address: &str) {
    run(Op::AddAddress { ns: ns(place), link: link(name), address: address.parse().expect("an address") });
}

pub fn without_address(place: &str, name: &str, address: &str) {
    run(Op::DelAddress { ns: ns(place), link: link(name), address: address.parse().expect("an address") });
}

/// Gives an address a prefix that its neighbour is not in.
pub fn narrow(place: &str, name: &str, v6: bool, addresses: [&str; 2]) {
    let (address, wide, tight) = if v6 { (addresses[1], 64, 126) } else { (addresses[0], 24, 30) };
    without_address(place, name, &format!("{address}/{wide}"));
    add_address(place, name, &format!("{address}/{tight}"));
}

pub fn route(place: &str, to: &str, via: &str, dev: &str) {
    let route = Route::unicast(to.parse().expect("a prefix"), Some(via.parse().expect("an address")), link(dev));
    run(Op::SetRoute { ns: ns(place), route });
}

pub fn route_on_link(place: &str, to: &str, dev: &str) {
    let route = Route::unicast(to.parse().expect("a prefix"), None, link(dev));
    run(Op::SetRoute { ns: ns(place), route });
}

pub fn forbid(place: &str, to: &str) {
    let to = to.parse().expect("a prefix");
    let route = Route { to, metric: Route::usual_metric(to), kind: RouteKind::Unreachable, via: None, dev: None };
    run(Op::SetRoute { ns: ns(place), route });
}

/// Takes the default route away.
pub fn no_default(place: &str, v6: bool) {
    // struct rtmsg: family, lengths, TOS, table main, any protocol, scope nowhere, any type
    let family = if v6 { 10 } else { 2 };
    tell(place, |requests| {
        requests.request(25, 0, &[family, 0, 0, 0, 254, 0, 255, 0, 0, 0, 0, 0]);
    });
}

/// Takes the route to a network away that came with an address.
pub fn no_network(place: &str, network: &str) {
    let network: ipnet::IpNet = network.parse().expect("a network");
    let (family, octets) = match network.addr() {
        std::net::IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        std::net::IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    };
    tell(place, |requests| {
        let header = [family, network.prefix_len(), 0, 0, 254, 0, 255, 0, 0, 0, 0, 0];
        requests.request(25, 0, &header).attribute(1, &octets);
    });
}

/// The default route by another gateway, `onlink`: taken on trust.
pub fn default_via(place: &str, dev: &str, gateway: &str, onlink: bool) {
    const RTNH_F_ONLINK: u32 = 4;
    let gateway: std::net::IpAddr = gateway.parse().expect("an address");
    no_default(place, gateway.is_ipv6());
    let index = index(place, dev);
    let (family, octets) = match gateway {
        std::net::IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        std::net::IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    };
    let [a, b, c, d] = if onlink { RTNH_F_ONLINK } else { 0 }.to_ne_bytes();
    tell(place, |requests| {
        // table main, protocol static, scope universe, unicast
        let header = [family, 0, 0, 0, 254, 4, 0, 1, a, b, c, d];
        requests.request(24, 0x400, &header).attribute(5, &octets).u32(4, index);
    });
}

pub fn sysctl(place: &str, key: &str, value: &str) {
    run(Op::SetSysctl { ns: ns(place), key: Sysctl::new(key).expect("a key"), value: value.to_owned() });
}

pub fn sysctl_if_there(place: &str, key: &str, value: &str) {
    let (path, value) = (format!("/proc/sys/{key}"), value.to_owned());
    let written =
        in_namespace(open(place), || !std::path::Path::new(&path).exists() || std::fs::write(&path, value).is_ok());
    assert!(written.expect("inside"), "{key}");
}

/// A permanent neighbour entry with nobody's hardware address.
pub fn permanent(place: &str, dev: &str, address: &str) {
    let index = index(place, dev);
    let (family, octets) = match address.parse().expect("an address") {
        std::net::IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        std::net::IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    };
    tell(place, |requests| {
        let [a, b, c, d] = index.to_ne_bytes();
        // struct ndmsg: family, index, NUD_PERMANENT; NLM_F_CREATE | NLM_F_REPLACE
        let header = [family, 0, 0, 0, a, b, c, d, 0x80, 0, 0, 0];
        requests.request(28, 0x500, &header).attribute(1, &octets).attribute(2, &[2, 0, 0, 0, 0xde, 0xad]);
    });
}

/// Sets something of a bridge's port: `IFLA_BRPORT_STATE` (1), `IFLA_BRPORT_MODE` (4: hairpin), `IFLA_BRPORT_ISOLATED` (33).
pub fn bridge_port(name: &str, attribute: u16, value: u8) {
    let index = index("host", name);
    tell("host", |requests| {
        let mut header = [0; 16];
        // AF_BRIDGE
        header[0] = 7;
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        requests.request(19, 0, &header).nest(12, |info| {
            info.u8(attribute, value);
        });
    });
}

pub fn no_table(place: &str, name: &str) {
    run(Op::DelTable { ns: ns(place), name: name.to_owned() });
}

/// The lab's own table, dropping everything that is forwarded.
pub fn own_drop(place: &str, lab: &str) {
    let lab = LabName::new(lab).expect("a name");
    let rule = Rule { matches: Vec::new(), verdict: Verdict::Drop };
    let chain = Chain { hook: Some(Hook::FilterForward), rules: vec![rule] };
    let name = format!("raum-{lab}");
    assert!(mark(&lab).contains(lab.as_str()));
    let table = Table {
        name,
        lab,
        was: Default::default(),
        sets: Default::default(),
        addresses: Default::default(),
        learned: Default::default(),
        maps: Default::default(),
        chains: [("forward".to_owned(), chain)].into(),
    };
    run(Op::ReplaceTable { ns: ns(place), table });
}

/// Somebody is connected to somebody who listens there, until the test ends.
pub fn connect(place: &str, to: &str) {
    let to = to.to_owned();
    let stream = in_namespace(open(place), || std::net::TcpStream::connect(to)).expect("inside").expect("a connection");
    std::mem::forget(stream);
}

/// Somebody listens there, until the test ends.
pub fn listen(place: &str, address: &str) {
    let address = address.to_owned();
    let listener = in_namespace(open(place), || TcpListener::bind(address)).expect("inside").expect("a listener");
    std::mem::forget(listener);
}

/// Somebody sends datagrams back, until the test ends.
pub fn echo(place: &str, address: &str) {
    let address = address.to_owned();
    let socket = in_namespace(open(place), || UdpSocket::bind(address)).expect("inside").expect("a socket");
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if socket.send_to(&buffer[..length], from).is_err() {
                return;
            }
        }
    });
}

/// Takes a namespace's name away, as a crash or `umount` does.
pub fn unname(name: &str) {
    let path = format!("/run/netns/{name}");
    rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    std::fs::remove_file(path).expect("removed");
}

/// A rule of the routing policy for all packets of a family: asks a table, or prohibits.
pub fn policy(place: &str, v6: bool, priority: u32, table: Option<u8>) {
    // include/uapi/linux/fib_rules.h, struct fib_rule_hdr
    const RTM_NEWRULE: u16 = 32;
    const FRA_PRIORITY: u16 = 6;
    const CREATE: u16 = 0x400;
    let (lookup, prohibit) = (1, 8);
    let action = if table.is_some() { lookup } else { prohibit };
    let header = [if v6 { 10 } else { 2 }, 0, 0, 0, table.unwrap_or(0), 0, 0, action, 0, 0, 0, 0];
    tell(place, |requests| {
        requests.request(RTM_NEWRULE, CREATE, &header).u32(FRA_PRIORITY, priority);
    });
}

/// A rule of the routing policy that refuses what comes from an address: 6 drops it, 7 says unreachable, 8 prohibited.
pub fn refuse_from(place: &str, source: &str, action: u8) {
    const RTM_NEWRULE: u16 = 32;
    const FRA_SRC: u16 = 2;
    const FRA_PRIORITY: u16 = 6;
    let (family, octets) = match source.parse().expect("an address") {
        std::net::IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        std::net::IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    };
    let bits = if family == 10 { 128 } else { 32 };
    tell(place, |requests| {
        let header = [family, 0, bits, 0, 0, 0, 0, action, 0, 0, 0, 0];
        requests.request(RTM_NEWRULE, 0x400, &header).attribute(FRA_SRC, &octets).u32(FRA_PRIORITY, 50);
    });
}

/// A port that learns nobody and gets nothing for those whom the bridge does not know; and what it had learned is forgotten.
pub fn deafen(name: &str) {
    bridge_port(name, 8, 0);
    bridge_port(name, 9, 0);
    set("host", name, false);
    set("host", name, true);
    // until the kernel has told the bridge that there is a carrier again the port is disabled (net/core/link_watch.c)
    let passes_on = || {
        let scene = scene::look(Parts::LINKS, |room| room.namespace == "host").expect("a scene");
        let port = scene.namespaces[0].interface(name).and_then(|one| one.port.clone());
        port.expect("a port").state == "forwarding"
    };
    assert!(
        (0..1000).any(|_| passes_on() || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            false
        }),
        "{name} stays disabled"
    );
}

pub fn arp_off(place: &str, name: &str) {
    run(Op::SetLink { ns: ns(place), name: link(name), set: LinkChange { arp: Some(false), ..LinkChange::default() } });
}

/// An interface's queue has no room for a single packet (`tc qdisc replace dev … root pfifo limit 0`).
pub fn no_queue(place: &str, dev: &str) {
    const RTM_NEWQDISC: u16 = 36;
    const TCA_KIND: u16 = 1;
    const TCA_OPTIONS: u16 = 2;
    let index = index(place, dev);
    tell(place, |requests| {
        let mut header = [0; 20];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        // struct tcmsg: family, index, handle, TC_H_ROOT, info
        header[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
        let mut request = requests.request(RTM_NEWQDISC, 0x500, &header);
        request.attribute(TCA_KIND, b"pfifo\0").u32(TCA_OPTIONS, 0);
    });
}

/// Loads rules with `nft`.
pub fn nft(place: &str, text: &str) {
    let text = text.to_owned();
    let loaded = in_namespace(open(place), || {
        let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("nft reads");
        child.wait().expect("nft ends").success()
    });
    assert!(loaded.expect("inside"), "nft refuses {place}'s rules");
}

/// No table of a trace is left anywhere.
pub fn no_tap_is_left() {
    let mut names: Vec<String> = vec!["host".to_owned()];
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    for name in names {
        let rules = in_namespace(open(&name), ruleset::read_here).expect("inside").expect("rules");
        let left = rules.tables.iter().find(|table| table.name.starts_with("raum-trace"));
        assert_eq!(left.map(|table| &table.name), None, "left in {name}");
    }
}

/// Binds a namespace over another file, too.
pub fn bind(name: &str, path: &str) {
    use std::os::fd::AsRawFd;
    let (fd, path) = (open(name), std::path::Path::new(path));
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::File::create(path).expect("a file");
    rustix::mount::mount_bind(format!("/proc/self/fd/{}", fd.as_raw_fd()), path).expect("a mount");
}
