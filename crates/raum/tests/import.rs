//! A network that others made is imported, removed, and brought up by raum: the same is there again.
//!
//! The same is: namespaces, interfaces with their names, kinds, states, MTUs and addresses, who is at the other end, routes
//! of the main table that somebody made, forwarding. Not the same may be what raum chooses: hardware addresses, and the
//! names of bridge ports. In the lab `default` namespaces and bridges keep their names.

#[path = "../../kernel/tests/bare/mod.rs"]
mod bare;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use raum::Labs;
use raum_core::name::LabName;
use raum_core::view::{Interface, Owner, Parts, Room, Scene};
use raum_kernel::namespace::present;
use raum_kernel::{sandbox, scene};

/// The host and whatever has a name under this test's own /run/netns.
fn look() -> Scene {
    let ours = |room: &Room| room.owner == Owner::Host || room.paths.iter().any(|path| path.starts_with("/run/netns/"));
    scene::look(Parts::ALL, ours).expect("a scene")
}

/// Who is at the other end: an interface, or the bridge that it is a port of.
fn far(scene: &Scene, interface: &Interface) -> Option<String> {
    let peer = interface.peer.as_ref()?;
    let room = scene.namespaces.iter().find(|room| Some(&room.namespace) == peer.namespace.as_ref())?;
    let far = room.interfaces.iter().find(|far| far.index == peer.index)?;
    Some(format!("{} {}", room.namespace, far.master.as_ref().unwrap_or(&far.name)))
}

fn facts(scene: &Scene) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for room in &scene.namespaces {
        let ns = &room.namespace;
        for interface in room.interfaces.iter().filter(|interface| interface.name != "lo" && interface.master.is_none())
        {
            let Interface { name, kind, up, mtu, .. } = interface;
            let mut addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
            addresses.retain(|address| !address.starts_with("fe80:"));
            addresses.sort();
            let far = far(scene, interface).unwrap_or_default();
            facts.insert(format!("{ns} {name} {kind} up {up} mtu {mtu} {addresses:?} to {far}"));
        }
        for route in room.routes.iter().filter(|route| route.table == "main" && route.protocol != "kernel") {
            let via = route.via.map(|via| via.to_string()).unwrap_or_default();
            facts.insert(format!("{ns} {} {} via {via} dev {:?}", route.kind, route.to, route.dev));
        }
        if room.owner != Owner::Host {
            facts.insert(format!("{ns} forwards {:?}", room.forwards.map(|forwards| forwards.v4)));
        }
    }
    facts
}

/// A default route, of `RTPROT_STATIC`.
fn default_route(ns: &OwnedFd, index: u32, via: [u8; 4]) {
    bare::tell(ns, |requests| {
        let header = [2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        requests.request(24, 0x600, &header).attribute(5, &via).u32(4, index);
    });
}

fn remove_link(ns: &OwnedFd, index: u32) {
    bare::tell(ns, |requests| {
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        requests.request(17, 0, &header);
    });
}

fn remove(names: &[&str]) {
    for name in names {
        let path = format!("/run/netns/{name}");
        rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).expect("a mount");
        std::fs::remove_file(path).expect("a file");
    }
}

/// Waits until the kernel has taken away what was in namespaces that are gone, which it does when it likes.
fn wait_until_gone(interface: &str) {
    for _ in 0..500 {
        let scene = scene::look(Parts::LINKS, |room| room.owner == Owner::Host).expect("a scene");
        if scene.namespaces[0].interface(interface).is_none() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{interface} is still there");
}

fn up(text: &str) -> Labs {
    let name: LabName = "default".parse().expect("a name");
    let lab = raum_core::lab::parse(text, &name).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    let mut labs = Labs::open().expect("the kernel");
    labs.up(lab, None, &AtomicBool::new(false), &mut |_, _, _| {}).unwrap_or_else(|error| panic!("{error}\n{text}"));
    labs
}

/// What is there, as a lab file.
fn imported(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let import = raum::import::of_host(&"default".parse().expect("a name"), &names).expect("an import");
    assert!(import.notes.is_empty(), "{import}");
    import.to_string()
}

/// Brings it up once what was there is gone: the same is there again.
fn comes_back(text: &str, before: &BTreeSet<String>) {
    wait_until_gone("vred");
    wait_until_gone("vblue");
    up(text);
    let after = facts(&look());
    let lost: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(before).collect();
    assert!(lost.is_empty() && new.is_empty(), "lost {lost:#?}\nnew {new:#?}\n{text}");
}

/// Runs a script of the classic commands.
fn shell(script: &str) {
    let done = Command::new("sh").args(["-c", script]).output().expect("a shell");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Is one of these programs not there to do it with?
fn lacks(programs: &[&str]) -> bool {
    programs.iter().any(|program| Command::new(program).arg("-V").output().is_err())
}

#[test]
fn what_was_made_by_bare_messages_comes_back() {
    sandbox::run(|| {
        let host = present().expect("here");
        let rooms: Vec<OwnedFd> = ["red", "blue", "far"].map(|name| bare::bound(&format!("/run/netns/{name}"))).into();
        let [red, blue, far] = &rooms[..] else { unreachable!("three") };
        bare::bridge(&host, "br0", 40);
        bare::address(&host, 40, [172, 20, 0, 1], 24);
        for (room, port, number) in [(red, "vred", 2), (blue, "vblue", 3)] {
            bare::up(room, 1);
            bare::wire((&host, port, 40 + number), (room, "eth0", 10));
            bare::enslave(&host, 40 + number, 40);
            let last = u8::try_from(number).expect("small");
            bare::address(room, 10, [172, 20, 0, last], 24);
            // one of them has no way out, and shall have none afterwards
            if number == 2 {
                default_route(room, 10, [172, 20, 0, 1]);
            }
        }
        bare::up(far, 1);
        bare::wire((blue, "x", 20), (far, "wan", 21));
        bare::address(blue, 20, [10, 9, 0, 1], 30);
        bare::address(far, 21, [10, 9, 0, 2], 30);
        default_route(far, 21, [10, 9, 0, 1]);
        let before = facts(&look());
        let text = imported(&["red", "blue", "far"]);
        drop(rooms);
        remove(&["red", "blue", "far"]);
        remove_link(&host, 40);
        comes_back(&text, &before);
    });
}

/// As people type it.
const CLASSIC: &str = "
set -e
ip netns add red; ip netns add blue; ip netns add router
ip link add br0 type bridge
ip addr add 172.21.0.1/24 dev br0
ip link set br0 up
for n in red blue; do
  ip -n $n link set lo up
  ip link add v$n type veth peer name eth0
  ip link set eth0 netns $n
  ip link set v$n master br0 up
  ip -n $n link set eth0 up
done
ip -n red addr add 172.21.0.2/24 dev eth0
ip -n red route add default via 172.21.0.1
ip -n red route add blackhole 10.66.0.0/16
ip -n blue addr add 172.21.0.3/24 dev eth0
ip -n router link set lo up
ip -n blue link add toward type veth peer name wan netns router
ip -n blue link set toward mtu 1400 up
ip -n router link set wan mtu 1400 up
ip -n blue addr add 10.9.0.1/30 dev toward
ip -n router addr add 10.9.0.2/30 dev wan
ip -n router route add 172.21.0.0/24 via 10.9.0.1
ip -n router route add 192.0.2.0/24 via 10.9.0.1 metric 50
ip netns exec router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
";

const GONE: &str = "for n in red blue router; do ip netns del $n; done; ip link del br0";

#[test]
fn what_was_made_by_the_classic_commands_comes_back() {
    if lacks(&["ip"]) {
        return;
    }
    sandbox::run(|| {
        shell(CLASSIC);
        let before = facts(&look());
        let text = imported(&["red", "blue", "router"]);
        assert!(text.contains("    forwarding: true\n"), "{text}");
        shell(GONE);
        comes_back(&text, &before);
    });
}

/// NAT and a published port as people type them, on the host and in a router; members that do not reach each other; and a
/// filter, for which a person must find the words.
const RULES: &str = "
set -e
nft 'table ip nat { chain post { type nat hook postrouting priority 100; ip saddr 172.21.0.0/24 oifname != br0 masquerade; }
chain pre { type nat hook prerouting priority -100; tcp dport 8080 dnat to 172.21.0.2:80; }; }'
ip netns exec blue nft 'table ip nat { chain post { type nat hook postrouting priority 100; oifname eth0 snat to 172.21.0.3; }
chain pre { type nat hook prerouting priority -100; iifname eth0 udp dport 53 dnat to 10.9.0.2; }; }'
ip netns exec red nft 'table inet mine { chain in { type filter hook input priority 0; policy drop; tcp dport 80 accept; }; }'
ip netns exec blue sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
ip netns exec red sh -c 'cd /proc/sys/net; echo 1 > ipv4/icmp_echo_ignore_all; echo 1 > ipv4/conf/eth0/proxy_arp'
ip netns exec red sh -c 'cd /proc/sys/net; echo 1 > ipv4/conf/all/accept_local; echo 1 > ipv4/conf/eth0/accept_local'
ip link set vred type bridge_slave isolated on
ip link set vblue type bridge_slave isolated on
";

#[test]
fn rules_that_nft_made_are_said_in_the_lab() {
    if lacks(&["ip", "nft"]) {
        return;
    }
    sandbox::run(|| {
        shell(&format!("{CLASSIC}ip -n blue route add default via 172.21.0.1\n{RULES}"));
        let before = facts(&look());
        let names = ["red", "blue", "router"].map(ToOwned::to_owned);
        let text = raum::import::of_host(&"default".parse().expect("a name"), &names).expect("an import").to_string();
        for line in [
            "    nat: true",
            "    isolated: true",
            "    publish: \"8080:80\"",
            "    nat: { out: eth0, source: [172.21.0.3] }",
            "    forward: \"eth0 53/udp -> router\"",
            "# - red table inet mine, chain in: `tcp dport 80 accept` is left out: write what it is for as `filter:`",
            "# - red table inet mine, chain in: drops at input what no rule accepts: `filter: { default: deny }`",
            "# - red: net.ipv4.conf.all.accept_local is 1: a lab leaves it as the kernel has it",
            "# - red: net.ipv4.conf.eth0.proxy_arp is 1: a lab leaves it as the kernel has it",
            "# - red: net.ipv4.icmp_echo_ignore_all is 1: a lab leaves it as the kernel has it",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("# - ")).count(), 5, "{text}");
        shell(&format!("{GONE}\nnft flush ruleset"));
        comes_back(&text, &before);
        // what was said is so again
        let again = look();
        let is_isolated = |port: &Interface| port.port.as_ref().is_some_and(|port| port.isolated);
        let ports: Vec<_> = again.namespaces[0].interfaces.iter().filter(|port| port.master.is_some()).collect();
        assert!(ports.len() == 2 && ports.into_iter().all(is_isolated));
        assert!(
            again.namespaces.iter().any(|room| room.tables.iter().any(|table| !table.chains.is_empty())),
            "no rules"
        );
    });
}

/// What people type into a namespace that serves one port.
const FILTER: &str = "
ip netns exec red nft 'table inet mine { chain in { type filter hook input priority 0; policy drop; ct state established,related accept; \
iif lo accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; ip saddr 10.9.0.0/16 drop; tcp dport { 80, 443 } accept; }; }'";

#[test]
fn a_filter_that_nft_made_is_the_labs_own_and_lets_the_same_in() {
    if lacks(&["ip", "nft"]) {
        return;
    }
    sandbox::run(|| {
        let reached = || {
            let knock = |port: u16| {
                let address = (std::net::Ipv4Addr::new(172, 21, 0, 2), port).into();
                let patience = std::time::Duration::from_millis(1500);
                std::net::TcpStream::connect_timeout(&address, patience).map_err(|error| error.kind())
            };
            // nobody listens: refused is let through
            [80, 443, 81].map(|port| knock(port).is_err_and(|kind| kind == std::io::ErrorKind::ConnectionRefused))
        };
        shell(&format!("{CLASSIC}{FILTER}"));
        assert_eq!(reached(), [true, true, false], "before");
        let before = facts(&look());
        let text = imported(&["red", "blue", "router"]);
        let line =
            "    filter: { default: deny, allow: [\"any -> 80/tcp\", \"any -> 443/tcp\"], deny: [10.9.0.0/16] }\n";
        assert!(text.contains(line), "{text}");
        shell(GONE);
        comes_back(&text, &before);
        assert_eq!(reached(), [true, true, false], "afterwards");
    });
}
