//! Every operation really does what it says, and says it when the kernel refuses.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use common::*;
use raum_core::host::{Host, Outcome};
use raum_core::plan::{AltnameChange, LinkChange, Op};
use raum_core::state::{LinkKind, Owner, PortFlag, Route, RouteKind};
use raum_kernel::message::Requests;
use raum_kernel::release::LOCKED_PORTS;
use raum_kernel::socket::{Protocol, Socket};
use raum_kernel::{Linux, sandbox};

#[test]
fn a_namespace_appears_marked_and_with_lo_up_and_goes() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        let names: Vec<String> = (0..20).map(|n| format!("shop-n{n}")).collect();
        done(&mut linux, &names.iter().map(|name| add_ns(name)).collect::<Vec<_>>());
        for name in &names {
            let lo_answers = inside(name, || std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
            assert!(lo_answers, "{name}");
        }
        if let Some(text) = judge("ip", &["-n", "shop-n3", "link", "show", "lo"]) {
            assert!(text.contains("alias raum:shop"), "{text}");
        }
        if let Some(text) = judge("ip", &["netns", "list"]) {
            assert_eq!(text.lines().count(), 20, "{text}");
        }
        let state = seen(&mut linux);
        assert_eq!(state.namespaces.len(), 21);
        assert!(state.namespaces[&ns("shop-n7")].loopback_up);
        done(&mut linux, &names.iter().map(|name| del_ns(name)).collect::<Vec<_>>());
        assert_eq!(fs::read_dir("/run/netns").unwrap().count(), 0);
        assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains("shop-n"));
        assert!(seen(&mut linux).is_bare());
    });
}

/// A link that is up and has a carrier sends nothing until the kernel has acted on both.
#[test]
fn what_has_been_looked_at_carries_packets() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        let names: Vec<String> = (0..60).map(|n| format!("shop-n{n}")).collect();
        done(&mut linux, &names.iter().map(|name| add_ns(name)).collect::<Vec<_>>());
        done(&mut linux, &[bridge("host", "lan")]);
        let wires = names.iter().zip(0..).map(|(name, n)| veth(port(name, "lan", n), end(name, "eth0", n + 1000)));
        done(&mut linux, &wires.collect::<Vec<_>>());
        let up = LinkChange { up: Some(true), ..LinkChange::default() };
        let set = |place: &str, name: &str| Op::SetLink { ns: ns(place), name: ifname(name), set: up.clone() };
        let ups = names.iter().map(|name| set(name, "eth0")).chain([set("host", "lan")]);
        done(&mut linux, &ups.collect::<Vec<_>>());
        seen(&mut linux);
        let at_rest = || {
            let mut requests = Requests::new();
            // RTM_GETLINK
            requests.request(18, 0, &[0; 16]);
            let reply = Socket::open(Protocol::Route).unwrap().dump(&mut requests).unwrap();
            let flags = reply.answers().filter_map(|answer| answer.body.get(8..12)?.try_into().ok());
            // IFF_UP without IFF_RUNNING
            flags.map(u32::from_ne_bytes).filter(|flags| flags & 0x41 == 1).count()
        };
        assert_eq!(at_rest(), 0);
        for name in &names {
            assert_eq!(inside(name, at_rest), 0, "{name}");
        }
    });
}

#[test]
fn a_taken_name_is_refused_and_untouched() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a")]);
        let inode = fs::metadata("/run/netns/shop-a").unwrap().ino();
        assert_eq!(refused(&mut linux, add_ns("shop-a")), "/run/netns/shop-a: File exists (EEXIST)");
        assert_eq!(fs::metadata("/run/netns/shop-a").unwrap().ino(), inode);
        fs::write("/run/netns/shop-b", "somebody's").unwrap();
        assert_eq!(refused(&mut linux, add_ns("shop-b")), "/run/netns/shop-b: File exists (EEXIST)");
        assert_eq!(refused(&mut linux, del_ns("shop-b")), "/run/netns/shop-b is no network namespace (EINVAL)");
        assert_eq!(fs::read_to_string("/run/netns/shop-b").unwrap(), "somebody's");
        assert_eq!(refused(&mut linux, del_ns("shop-c")), "/run/netns/shop-c: No such file or directory (ENOENT)");
    });
}

#[test]
fn an_empty_file_left_by_a_crash_is_no_namespace_and_is_in_nobodys_way() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        fs::create_dir("/run/netns").unwrap();
        for name in ["shop-a", "shop-b", "shop-c", "another-a"] {
            fs::write(format!("/run/netns/{name}"), "").unwrap();
        }
        // as raum makes them; one as `ip netns add` does, who may be about to bind a namespace over it
        for (name, mode) in [("shop-a", 0o200), ("shop-b", 0o200), ("shop-c", 0), ("another-a", 0o200)] {
            let path = format!("/run/netns/{name}");
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let owner = |linux: &mut Linux, name: &str| Some(seen(linux).namespaces.get(&ns(name))?.owner);
        assert_eq!(owner(&mut linux, "shop-a"), Some(Owner::Leftover));
        assert_eq!(owner(&mut linux, "another-a"), None);
        assert_eq!(owner(&mut linux, "shop-c"), None);
        done(&mut linux, &[add_ns("shop-a"), del_ns("shop-b")]);
        assert_eq!(owner(&mut linux, "shop-a"), Some(Owner::Lab));
        assert!(!fs::exists("/run/netns/shop-b").unwrap());
    });
}

#[test]
fn no_symbolic_link_is_followed() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a")]);
        symlink("/run/netns/shop-a", "/run/netns/shop-b").unwrap();
        assert_eq!(refused(&mut linux, del_ns("shop-b")), "/run/netns/shop-b is no network namespace (EINVAL)");
        assert!(refused(&mut linux, add_ns("shop-b")).ends_with("(EEXIST)"));
        assert_eq!(seen(&mut linux).namespaces.len(), 2);
    });
}

#[test]
fn a_symbolic_link_in_the_place_of_the_folder_is_not_followed() {
    sandbox::run(|| {
        fs::create_dir("/run/elsewhere").unwrap();
        symlink("/run/elsewhere", "/run/netns").unwrap();
        let mut linux = Linux::new().unwrap();
        assert!(refused(&mut linux, add_ns("shop-a")).starts_with("/run/netns is a symbolic link"));
        assert_eq!(fs::read_dir("/run/elsewhere").unwrap().count(), 0);
    });
}

#[test]
fn a_namespace_without_the_mark_is_not_taken_away() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a")]);
        // somebody else's, under a name of the lab's
        fs::write("/run/netns/shop-b", "").unwrap();
        std::thread::scope(|scope| {
            let work = || {
                raum_kernel::namespace::enter_fresh().unwrap();
                rustix::mount::mount_bind("/proc/thread-self/ns/net", "/run/netns/shop-b").unwrap();
            };
            scope.spawn(work).join().unwrap();
        });
        let words = refused(&mut linux, del_ns("shop-b"));
        assert_eq!(words, "namespace shop-b carries no lab's mark: it was not made by raum");
        assert!(fs::exists("/run/netns/shop-b").unwrap());
    });
}

#[test]
fn the_folder_of_names_is_a_shared_mount_as_iproute2_makes_it() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a")]);
        done(&mut linux, &[add_ns("shop-b")]);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let of = |path: &str| mounts.lines().filter(|line| line.split(' ').nth(4) == Some(path)).collect::<Vec<_>>();
        assert_eq!(of("/run/netns").len(), 1, "{mounts}");
        assert!(of("/run/netns")[0].contains(" shared:"), "{mounts}");
        assert_eq!(of("/run/netns/shop-a").len(), 1);
    });
}

#[test]
fn both_ends_of_a_veth_are_born_where_they_stay() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a"), add_ns("shop-b"), bridge("host", "lan")]);
        let mut a = port("va", "lan", 1);
        a.mtu = 1400;
        let stage = [
            veth(a, end("shop-a", "eth0", 2)),
            veth(end("shop-a", "eth1", 3), end("shop-b", "eth0", 4)),
            veth(end("shop-b", "x", 5), end("shop-b", "y", 6)),
            veth(end("shop-b", "eth1", 7), end("host", "vb", 8)),
        ];
        done(&mut linux, &stage);
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
        let only = |mut set: std::collections::BTreeSet<String>| {
            // modules of tunnels put one of theirs into every namespace
            let theirs = ["tun", "sit", "gre", "erspan", "tnl", "vti"];
            set.retain(|name| !theirs.iter().any(|part| name.contains(part)));
            set
        };
        assert_eq!(only(inside("shop-a", interfaces)), names(&["lo", "eth0", "eth1"]));
        assert_eq!(only(inside("shop-b", interfaces)), names(&["lo", "eth0", "eth1", "x", "y"]));
        assert_eq!(only(interfaces()), names(&["lo", "lan", "va", "vb"]));
        let state = seen(&mut linux);
        let link = |place: &str, name: &str| state.namespaces[&ns(place)].links[&ifname(name)].clone();
        let va = link("host", "va");
        assert_eq!((va.mtu, va.mac, va.up, va.master), (1400, mac(1), true, Some(ifname("lan"))));
        assert_eq!(va.group, group());
        assert_eq!(va.kind, LinkKind::Veth { peer_ns: ns("shop-a"), peer: ifname("eth0") });
        assert_eq!(link("shop-a", "eth0").kind, LinkKind::Veth { peer_ns: ns("host"), peer: ifname("va") });
        assert_eq!(link("shop-a", "eth1").kind, LinkKind::Veth { peer_ns: ns("shop-b"), peer: ifname("eth0") });
        assert_eq!(link("shop-b", "x").kind, LinkKind::Veth { peer_ns: ns("shop-b"), peer: ifname("y") });
        assert_eq!(link("shop-b", "eth1").kind, LinkKind::Veth { peer_ns: ns("host"), peer: ifname("vb") });
        assert_eq!((link("shop-b", "y").mac, link("shop-b", "y").group), (mac(6), group()));
    });
}

/// Kernels before 6.2 do not tell the index of what they make.
#[test]
fn a_veth_made_anew_is_known_by_its_new_numbers() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a"), add_ns("shop-b")]);
        for (a, b) in [("host", "shop-a"), ("shop-a", "shop-b"), ("shop-b", "shop-b"), ("shop-a", "host")] {
            for mac in [1, 3] {
                done(&mut linux, &[veth(end(a, "x", mac), end(b, "y", mac + 1))]);
                done(&mut linux, &[up(a, "x"), up(b, "y")]);
                done(&mut linux, &[Op::DelLink { ns: ns(a), name: ifname("x") }]);
            }
        }
    });
}

#[test]
fn a_link_changes_in_place() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[bridge("host", "lan"), veth(end("host", "a", 1), end("host", "b", 2))]);
        let change = LinkChange {
            up: Some(true),
            mtu: Some(1300),
            mac: Some(mac(9)),
            master: Some(Some(ifname("lan"))),
            isolated: Some(true),
            hairpin: Some(true),
            port: [(PortFlag::Learning, false), (PortFlag::Locked, true)].into(),
            arp: Some(false),
            alias: Some("a port".into()),
            altname: Some(AltnameChange::Add("a-very-long-name-indeed".into())),
        };
        done(&mut linux, &[set("host", "a", change)]);
        let a = seen(&mut linux).namespaces[&ns("host")].links[&ifname("a")].clone();
        assert_eq!((a.up, a.mtu, a.mac, a.master), (true, 1300, mac(9), Some(ifname("lan"))));
        assert!(a.isolated && a.hairpin && !a.arp);
        let locked = LOCKED_PORTS.is_here().then_some(PortFlag::Locked);
        assert_eq!(a.unusual, locked.into_iter().chain([PortFlag::Learning]).collect());
        assert_eq!(a.alias.as_deref(), Some("a port"));
        assert_eq!(a.altname.as_deref(), Some("a-very-long-name-indeed"));
        let back = LinkChange {
            up: Some(false),
            mtu: None,
            mac: None,
            master: Some(None),
            isolated: None,
            hairpin: None,
            port: BTreeMap::new(),
            arp: Some(true),
            alias: Some(String::new()),
            altname: Some(AltnameChange::Del("a-very-long-name-indeed".into())),
        };
        done(&mut linux, &[set("host", "a", back)]);
        let a = seen(&mut linux).namespaces[&ns("host")].links[&ifname("a")].clone();
        assert_eq!((a.up, a.mtu, a.mac, a.master), (false, 1300, mac(9), None));
        assert_eq!((a.alias, a.altname, a.isolated, a.arp), (None, None, false, true));
        assert_eq!(a.unusual, [].into());
        assert_eq!(refused(&mut linux, up("host", "nobody")), "nobody: No such device (ENODEV)");
        let huge = LinkChange { mtu: Some(70_000), ..LinkChange::default() };
        assert_eq!(refused(&mut linux, set("host", "a", huge)), "mtu greater than device maximum (EINVAL)");
    });
}

#[test]
fn links_go_by_name_and_by_group() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        let pairs: Vec<Op> = (0u16..70)
            .map(|n| veth(end("host", &format!("a{n}"), 2 * n), end("host", &format!("b{n}"), 2 * n + 1)))
            .collect();
        done(&mut linux, &pairs);
        done(&mut linux, &[Op::DelLink { ns: ns("host"), name: ifname("a0") }]);
        let left = interfaces();
        assert!(!left.contains("a0") && !left.contains("b0") && left.contains("a69"));
        let gone = Op::DelLink { ns: ns("host"), name: ifname("b0") };
        assert_eq!(refused(&mut linux, gone), "No such device (ENODEV)");
        done(&mut linux, &[Op::DelGroup { ns: ns("host"), group: group() }]);
        assert!(seen(&mut linux).is_bare());
        assert!(!interfaces().contains("a69"));
    });
}

#[test]
fn addresses_and_routes_come_and_go() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a")]);
        done(&mut linux, &[veth(end("shop-a", "eth0", 1), end("host", "va", 2))]);
        let routes = [
            via("0.0.0.0/0", "10.0.0.1", "eth0"),
            via("::/0", "fd00::1", "eth0"),
            Route { metric: 50, ..via("10.9.0.0/16", "10.0.0.9", "eth0") },
            Route { via: None, ..via("10.8.0.0/16", "10.0.0.1", "eth0") },
            nowhere(RouteKind::Blackhole, "10.7.0.0/16"),
            nowhere(RouteKind::Unreachable, "fd07::/64"),
            nowhere(RouteKind::Prohibit, "10.6.0.0/16"),
        ];
        let mut stage = vec![
            up("host", "va"),
            up("shop-a", "eth0"),
            address("shop-a", "eth0", "10.0.0.2/24"),
            address("shop-a", "eth0", "fd00::2/64"),
            address("shop-a", "eth0", "192.0.2.1/32"),
        ];
        stage.extend(routes.iter().cloned().map(|r| route("shop-a", r)));
        done(&mut linux, &stage);
        let here = |linux: &mut Linux| seen(linux).namespaces.remove(&ns("shop-a")).unwrap();
        let found = here(&mut linux);
        assert_eq!(found.routes, routes.iter().cloned().collect());
        let addresses: Vec<String> = found.links[&ifname("eth0")].addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.2/24", "192.0.2.1/32", "fd00::2/64"]);
        if let Some(text) = judge("ip", &["-n", "shop-a", "route"]) {
            assert!(text.contains("default via 10.0.0.1 dev eth0 proto static"), "{text}");
            assert!(text.contains("10.8.0.0/16 dev eth0 proto static scope link"), "{text}");
        }
        // without waiting for duplicates: usable at once
        if let Some(text) = judge("ip", &["-n", "shop-a", "-6", "address", "show", "dev", "eth0"]) {
            assert!(text.contains("fd00::2/64 scope global nodad") && !text.contains("fd00::2/64 scope global tent"));
        }
        // another gateway in the place of the first
        done(&mut linux, &[route("shop-a", via("0.0.0.0/0", "10.0.0.254", "eth0"))]);
        assert!(here(&mut linux).routes.contains(&via("0.0.0.0/0", "10.0.0.254", "eth0")));
        assert!(!here(&mut linux).routes.contains(&routes[0]));
        let mut stage: Vec<Op> = routes[1..].iter().cloned().map(|r| del_route("shop-a", r)).collect();
        stage.push(del_address("shop-a", "eth0", "fd00::2/64"));
        stage.push(del_address("shop-a", "eth0", "192.0.2.1/32"));
        done(&mut linux, &stage);
        let found = here(&mut linux);
        assert_eq!(found.routes, [via("0.0.0.0/0", "10.0.0.254", "eth0")].into());
        assert_eq!(found.links[&ifname("eth0")].addresses.len(), 1);
        // there already, gone already: as wanted
        done(&mut linux, &[address("shop-a", "eth0", "10.0.0.2/24"), del_address("shop-a", "eth0", "10.0.0.3/24")]);
        assert_eq!(here(&mut linux).links[&ifname("eth0")].addresses.len(), 1);
        let unreachable = refused(&mut linux, route("shop-a", via("10.5.0.0/16", "172.16.0.1", "eth0")));
        assert_eq!(unreachable, "Nexthop has invalid gateway (ENETUNREACH)");
        let gone = refused(&mut linux, del_route("shop-a", via("10.5.0.0/16", "10.0.0.1", "eth0")));
        assert!(gone.ends_with("(ESRCH)"), "{gone}");
    });
}

#[test]
fn sysctls_are_written_in_their_namespace_only() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a")]);
        let key = "net/ipv4/conf/all/forwarding";
        let read = || fs::read_to_string(format!("/proc/sys/{key}")).unwrap();
        let before = read();
        let other = if before.trim() == "1" { "0" } else { "1" };
        done(&mut linux, &[sysctl("shop-a", key, other)]);
        assert_eq!(inside("shop-a", read).trim(), other);
        assert_eq!(read(), before);
        done(&mut linux, &[sysctl("host", key, other)]);
        assert_eq!(read().trim(), other);
        let words = refused(&mut linux, sysctl("shop-a", "net/ipv4/conf/eth9/forwarding", "1"));
        assert_eq!(words, "/proc/sys/net/ipv4/conf/eth9/forwarding: No such file or directory (ENOENT)");
        let words = refused(&mut linux, sysctl("shop-a", key, "many"));
        assert!(words.ends_with("(EINVAL)"), "{words}");
    });
}

#[test]
fn the_mark_on_lo_is_renewed() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        done(&mut linux, &[add_ns("shop-a")]);
        let down = LinkChange { up: Some(false), ..LinkChange::default() };
        done(&mut linux, &[set("shop-a", "lo", down)]);
        assert!(!seen(&mut linux).namespaces[&ns("shop-a")].loopback_up);
        done(&mut linux, &[Op::MarkLoopback { ns: ns("shop-a"), lab: lab() }]);
        assert!(seen(&mut linux).namespaces[&ns("shop-a")].loopback_up);
    });
}

#[test]
fn after_a_failure_the_rest_of_that_namespace_is_not_begun_by_name() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        // somebody else's bridge of that name
        done(&mut linux, &[Op::AddBridge { ns: ns("host"), name: ifname("lan"), mac: mac(1), mtu: 1500, group: 0 }]);
        let mut linux = Linux::new().unwrap();
        let outcomes = linux.run(&[bridge("host", "lan"), up("host", "lan")]);
        assert!(matches!(&outcomes[0], Outcome::Failed(error) if error.code == "EEXIST"), "{outcomes:?}");
        assert_eq!(outcomes[1], Outcome::NotRun);
        let flags = fs::read_to_string("/sys/class/net/lan/flags").ok();
        assert!(flags.is_none_or(|flags| !flags.trim().ends_with('3')), "the foreign bridge was brought up");
    });
}

#[test]
fn a_namespace_that_is_gone_is_an_error_with_its_name() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        let words = refused(&mut linux, up("shop-a", "eth0"));
        assert_eq!(words, "/run/netns/shop-a: No such file or directory (ENOENT)");
        let words = refused(&mut linux, veth(end("host", "a", 1), end("shop-a", "eth0", 2)));
        assert_eq!(words, "/run/netns/shop-a: No such file or directory (ENOENT)");
        assert!(!interfaces().contains("a"));
    });
}

#[test]
fn hundreds_of_namespaces_work_with_few_descriptors() {
    sandbox::run(|| {
        let few = rustix::process::Rlimit { current: Some(200), maximum: Some(200) };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
        let mut linux = Linux::new().unwrap();
        let names: Vec<String> = (0..150).map(|n| format!("shop-n{n}")).collect();
        let stage = |each: &dyn Fn(usize, &str) -> Op| -> Vec<Op> {
            names.iter().enumerate().map(|(n, name)| each(n, name)).collect()
        };
        done(&mut linux, &stage(&|_, name| add_ns(name)));
        let last = |n: usize| u16::try_from(n).unwrap();
        done(
            &mut linux,
            &stage(&|n, name| veth(end("host", &format!("v{n}"), last(n)), end(name, "eth0", last(n + 500)))),
        );
        done(&mut linux, &stage(&|_, name| up(name, "eth0")));
        let state = seen(&mut linux);
        assert_eq!(state.namespaces.len(), 151);
        let kind = LinkKind::Veth { peer_ns: ns("shop-n149"), peer: ifname("eth0") };
        assert_eq!(state.namespaces[&ns("host")].links[&ifname("v149")].kind, kind);
        done(&mut linux, &stage(&|_, name| del_ns(name)));
    });
}
