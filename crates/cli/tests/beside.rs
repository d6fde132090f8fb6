//! Labs beside the rules of Docker, ufw, firewalld and others: raum says who drops what before a packet is lost, and where it
//! is told to, opens the way and closes it again. Each claim is asked of packets, in both families.

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use common::firewalld::{self, Zones};
use common::foreign::{self, IP, IP6};
use common::snapshot::{self, Facts};
use common::world::world;
use common::{RAUM, assert_same};
use raum_kernel::namespace::in_namespace;
use raum_kernel::sandbox;

const PATIENCE: Duration = Duration::from_secs(5);
/// For what must not arrive.
const IMPATIENCE: Duration = Duration::from_millis(300);

const SHOP: &str = "
lab: shop
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"], gateway: host, nat: true }
namespaces:
  web: { on: lan 10.10.0.10 fd10:10::10, publish: [\"8080:80\"] }
  db:  { on: lan 10.10.0.20 fd10:10::20 }
";

fn raum(args: &[&str]) -> (bool, String) {
    let output = Command::new(RAUM).args(args).output().expect("raum");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

fn up(args: &[&str]) -> String {
    fs::write("/run/lab.yaml", SHOP).expect("a lab file");
    let (fine, said) = raum(&[&["up"], args, &["/run/lab.yaml"]].concat());
    assert!(fine, "{said}");
    said
}

fn within<T: Send>(ns: &str, f: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{ns}")).expect("the namespace");
    in_namespace(file.as_fd(), f).expect("a thread inside")
}

/// Does a connection from one place get to a listener at another, under this address?
fn reaches(from: &str, to: &str, at: (&str, &str), patience: Duration) -> bool {
    let (ns, bound) = at;
    let (to, bound): (SocketAddr, SocketAddr) = (to.parse().expect("an address"), bound.parse().expect("an address"));
    let server = within(ns, || TcpListener::bind(bound).expect("a listener"));
    let Ok(mut client) = within(from, || TcpStream::connect_timeout(&to, patience)) else { return false };
    let (mut accepted, _) = server.accept().expect("accepted");
    accepted.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.write_all(b"hello").expect("written");
    let mut got = [0; 5];
    accepted.read_exact(&mut got).is_ok() && &got == b"hello"
}

/// Out through NAT, in through the published port, from neighbour to neighbour: which of them pass, by family.
fn passes(patience: Duration) -> [[bool; 3]; 2] {
    let way = |out: &str, published: &str, neighbour: &str, any: &str| {
        [
            reaches("shop-web", out, ("world-net", out), patience),
            reaches("world-net", published, ("shop-web", &format!("{any}:80")), patience),
            reaches("shop-db", neighbour, ("shop-web", neighbour), patience),
        ]
    };
    [
        way("198.51.100.1:9000", "198.51.100.2:8080", "10.10.0.10:81", "0.0.0.0"),
        way("[fd51::1]:9000", "[fd51::2]:8080", "[fd10:10::10]:81", "[::]"),
    ]
}

/// All of it passes, all at once. Who asked for a neighbour while the way was closed may give up only after it was opened.
#[track_caller]
fn assert_all_pass(when: &str) {
    let mut now = NONE;
    for _ in 0..4 {
        now = passes(PATIENCE);
        if now == ALL {
            return;
        }
    }
    panic!("{when}: {now:?}");
}

const ALL: [[bool; 3]; 2] = [[true; 3]; 2];
const NONE: [[bool; 3]; 2] = [[false; 3]; 2];

fn bridge_filter(on: bool) -> bool {
    let value = if on { "1" } else { "0" };
    let keys = ["iptables", "ip6tables"].map(|key| format!("/proc/sys/net/bridge/bridge-nf-call-{key}"));
    keys.iter().all(|key| fs::write(key, value).is_ok())
}

/// The facts of a host with the rules of others, but for what is counted in them.
fn facts() -> Facts {
    snapshot::take()
}

/// Beside some rules: nothing passes and raum says why; opened, all passes; the rest is as before when the lab is gone.
fn opened_and_closed(rules: fn(), places: &[&str], commands: &[&str]) {
    world();
    let bridged = bridge_filter(true);
    rules();
    let before = common::host_side();
    let chains = foreign_rules();
    let said = up(&[]);
    for word in places.iter().chain(commands) {
        assert!(said.contains(word), "{word} is not told:\n{said}");
    }
    let (fine, status) = raum(&["status", "shop"]);
    assert!(fine && places.iter().all(|place| status.contains(place)), "{status}");
    let mut shut = NONE;
    if !bridged {
        shut.iter_mut().for_each(|family| family[2] = true);
    }
    assert_eq!(passes(IMPATIENCE), shut);

    let said = up(&["--with-foreign-rules"]);
    assert!(!said.contains("note"), "{said}");
    assert_all_pass("open");
    let (fine, status) = raum(&["status", "shop"]);
    assert!(fine && !status.contains("note"), "{status}");
    assert!(up(&["--with-foreign-rules"]).contains("nothing to change"));

    // without the option they are closed again
    up(&[]);
    assert_eq!(foreign_rules(), chains);
    assert_eq!(passes(IMPATIENCE), shut);

    // by their marks alone
    up(&["--with-foreign-rules"]);
    fs::remove_dir_all("/run/raum").expect("removed");
    let (fine, said) = raum(&["down", "shop"]);
    assert!(fine, "{said}");
    assert_eq!(foreign_rules(), chains);
    fs::remove_file("/run/lab.yaml").expect("removed");
    assert_same(&before, &common::host_side(), "after down");
}

/// All rules but those of labs' own tables, in words, without counters.
fn foreign_rules() -> Vec<String> {
    let rules = raum_kernel::ruleset::read_here().expect("rules");
    let foreign = rules.tables.iter().filter(|table| table.lab().is_none());
    let chains = foreign.flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
    chains
        .flat_map(|(table, chain)| {
            chain.rules.iter().map(|rule| format!("{} {}: {}", table.title(), chain.name, rule.brief(table)))
        })
        .collect()
}

#[test]
fn beside_docker() {
    sandbox::run(|| {
        opened_and_closed(
            foreign::docker,
            &["ip filter FORWARD (Docker: policy drop) drops", "ip6 filter FORWARD (Docker: policy drop) drops"],
            &[
                "    iptables -I DOCKER-USER -i shop-lan -j ACCEPT\n",
                "    ip6tables -I DOCKER-USER -o shop-lan -j ACCEPT\n",
            ],
        );
    });
}

#[test]
fn beside_ufw() {
    sandbox::run(|| {
        opened_and_closed(
            foreign::ufw,
            &["ip filter FORWARD (ufw: policy drop) drops", "ip6 filter FORWARD (ufw: policy drop) drops"],
            &["    ufw route allow in on shop-lan\n", "    ufw route allow out on shop-lan\n"],
        );
    });
}

#[test]
fn beside_rules_of_somebody() {
    sandbox::run(|| {
        opened_and_closed(
            foreign::strict,
            &["inet mine through (nftables: policy drop) drops", "inet mine way-in (nftables: policy drop) drops"],
            &["    nft insert rule inet mine through iifname shop-lan accept\n"],
        );
    });
}

#[test]
fn without_its_bus_firewalld_is_left_to_its_own_program() {
    sandbox::run(|| {
        world();
        foreign::firewalld();
        let rules = foreign_rules();
        for option in [&[][..], &["--with-foreign-rules"]] {
            let said = up(option);
            assert!(said.contains("inet firewalld filter_FWD_public (firewalld: reject"), "{said}");
            assert!(said.contains("\n    firewall-cmd --zone=trusted --add-interface=shop-lan\n"), "{said}");
            assert!(!said.contains("--with-foreign-rules"), "raum cannot do it: {said}");
            assert_eq!(foreign_rules(), rules);
        }
        assert!(!reaches("shop-web", "198.51.100.1:9000", ("world-net", "198.51.100.1:9000"), IMPATIENCE));
    });
}

#[test]
fn a_published_port_that_others_turn_elsewhere_is_told() {
    sandbox::run(|| {
        world();
        // the container's port, not the host's
        foreign::docker_port(80);
        assert!(!up(&[]).contains("note"));
        foreign::docker_port(8080);
        for said in [up(&[]), up(&["--with-foreign-rules"]), raum(&["status"]).1] {
            for (family, to) in [("ip", "172.17.0.2"), ("ip6", "fd17::2")] {
                let note = format!(
                    "note: {family} nat DOCKER (Docker: tcp dport 8080 dnat to {to}) turns packets for this lab elsewhere:\n    \
                     from outside by up0 to port 8080/tcp of the host\n"
                );
                assert!(said.contains(&note), "{note}{said}");
            }
            assert!(said.contains("\n    docker ps --filter publish=8080\n"), "{said}");
        }
        foreign::flush();
        assert!(!up(&[]).contains("note"));
    });
}

#[test]
fn a_host_without_rules_of_others_says_nothing_and_passes_all() {
    sandbox::run(|| {
        world();
        let said = up(&["--with-foreign-rules"]);
        assert!(!said.contains("note"), "{said}");
        assert_all_pass("open");
    });
}

#[test]
fn between_members_of_a_switch_the_hosts_rules_are_asked_only_where_br_netfilter_is_on() {
    sandbox::run(|| {
        world();
        if !bridge_filter(true) {
            println!("no br_netfilter in this kernel");
            return;
        }
        // raum's own rules let them pass in any case
        up(&[]);
        assert_all_pass("open");
        foreign::docker();
        let (_, said) = raum(&["status", "shop"]);
        assert!(said.contains("    between members of lan\n"), "{said}");
        assert_eq!(passes(IMPATIENCE), NONE);
        assert!(bridge_filter(false));
        let (_, said) = raum(&["status", "shop"]);
        assert!(!said.contains("between members") && said.contains("    from lan out by up0\n"), "{said}");
        assert_eq!(passes(IMPATIENCE).map(|family| family[2]), [true, true]);
    });
}

#[test]
fn trace_names_the_place_that_a_firewall_has_for_rules_of_others() {
    sandbox::run(|| {
        for (rules, out, back) in [
            (foreign::docker as fn(), "tables -I DOCKER-USER -i shop-lan -j ACCEPT", "-o shop-lan -j ACCEPT"),
            (foreign::ufw, "ufw route allow in on shop-lan", "ufw route allow out on shop-lan"),
            (foreign::firewalld, "firewall-cmd --zone=trusted --add-interface=shop-lan", "--add-interface=shop-lan"),
        ] {
            if fs::metadata("/run/netns/world-net").is_err() {
                world();
            }
            rules();
            up(&[]);
            for to in ["198.51.100.1:9000", "[fd51::1]:9000"] {
                let (fine, said) = raum(&["trace", "shop-web", to]);
                assert!(!fine && said.contains("not delivered") && said.contains(out), "{to}: {said}");
            }
            for to in ["198.51.100.2:8080", "[fd51::2]:8080"] {
                let (fine, said) = raum(&["trace", "world-net", to]);
                assert!(!fine && said.contains(back), "{to}: {said}");
            }
            assert!(raum(&["down", "shop"]).0);
            foreign::flush();
        }
    });
}

#[test]
fn a_br_netfilter_that_is_switched_later_is_drift() {
    sandbox::run(|| {
        world();
        if !bridge_filter(false) {
            println!("no br_netfilter in this kernel");
            return;
        }
        for on in [true, false] {
            assert!(bridge_filter(!on));
            up(&[]);
            assert!(raum(&["status", "shop"]).0);
            assert!(bridge_filter(on));
            let (fine, said) = raum(&["status", "shop"]);
            assert!(!fine && said.contains("rules, table raum-shop"), "{on}: {said}");
            assert!(up(&[]).contains("is changed"));
            let (fine, said) = raum(&["status", "shop"]);
            assert!(fine, "{on}: {said}");
            assert_all_pass("open");
        }
        assert!(raum(&["down", "shop"]).0);
    });
}

#[test]
fn a_flushed_ruleset_is_seen_and_repaired() {
    sandbox::run(|| {
        world();
        foreign::docker();
        let before = facts();
        up(&["--with-foreign-rules"]);
        foreign::flush();
        let (fine, said) = raum(&["status", "shop"]);
        assert!(!fine && said.contains("rules, table raum-shop"), "{said}");
        assert!(said.contains("raum up --with-foreign-rules /run/lab.yaml"), "{said}");
        // nobody closes the way any more, so there is nothing to open
        assert!(!said.contains("DOCKER"), "{said}");
        up(&["--with-foreign-rules"]);
        assert!(raum(&["status", "shop"]).0);
        assert_all_pass("open");
        let (fine, said) = raum(&["down", "shop"]);
        assert!(fine, "{said}");
        foreign::docker();
        let sysctls = |facts: &Facts| -> Facts {
            facts.iter().filter(|(key, _)| key.starts_with("/proc")).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        assert_same(&sysctls(&before), &sysctls(&facts()), "after a flush, an up and a down");
    });
}

#[test]
fn a_reloaded_firewall_is_seen_and_opened_again() {
    sandbox::run(|| {
        world();
        foreign::ufw();
        up(&["--with-foreign-rules"]);
        foreign::empty(IP, "filter", "ufw-user-forward");
        foreign::empty(IP6, "filter", "ufw6-user-forward");
        let (fine, said) = raum(&["status", "shop"]);
        assert!(!fine, "{said}");
        assert!(said.contains("+ rule of others: ip6 filter ufw6-user-forward: iifname \"shop-lan\""), "{said}");
        up(&["--with-foreign-rules"]);
        assert!(raum(&["status", "shop"]).0);
        assert_all_pass("open");
    });
}

#[test]
fn what_is_opened_for_one_lab_opens_no_other_and_lets_nobody_in() {
    sandbox::run(|| {
        world();
        foreign::docker();
        up(&["--with-foreign-rules"]);
        let other = SHOP.replace("lab: shop", "lab: other").replace("10.10", "10.11").replace("fd10:10:", "fd10:11:");
        fs::write("/run/other.yaml", other.replace("8080", "8081")).expect("a lab file");
        let (fine, said) = raum(&["up", "/run/other.yaml"]);
        assert!(fine && said.contains("-i other-lan"), "{said}");
        assert!(!reaches("other-web", "198.51.100.1:9000", ("world-net", "198.51.100.1:9000"), IMPATIENCE));
        // a neighbour of the host who routes into the lab on purpose: raum's own rules are still asked
        let route = common::world::route("world-net", "eth0", "10.10.0.0/24", "198.51.100.2");
        common::world::done(&mut raum_kernel::Linux::new().expect("the kernel"), &[route]);
        assert!(!reaches("world-net", "10.10.0.10:80", ("shop-web", "0.0.0.0:80"), IMPATIENCE));
        assert!(raum(&["down", "other"]).0);
        assert_all_pass("open");
    });
}

#[test]
fn strict_and_loose_source_checks_are_no_obstacle() {
    sandbox::run(|| {
        world();
        for value in ["0", "1", "2"] {
            for interface in ["all", "default", "up0"] {
                fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), value).expect("a sysctl");
            }
            up(&[]);
            assert_all_pass(&format!("rp_filter {value}"));
            // by localhost, by the host's own addresses, and from a neighbour (hairpin)
            let server = within("shop-web", || TcpListener::bind("0.0.0.0:80").expect("a listener"));
            for to in ["127.0.0.1:8080", "198.51.100.2:8080", "10.10.0.1:8080"] {
                let to: SocketAddr = to.parse().expect("an address");
                TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|e| panic!("rp_filter {value}: {to}: {e}"));
                let seen: IpAddr = server.accept().expect("accepted").1.ip();
                assert!(seen.is_ipv4());
            }
            let to: SocketAddr = "10.10.0.1:8080".parse().expect("an address");
            assert!(within("shop-db", || TcpStream::connect_timeout(&to, PATIENCE)).is_ok(), "rp_filter {value}");
            drop(server);
            assert!(raum(&["down", "shop"]).0);
        }
    });
}

/// Two ways between the same two: what goes by one is answered by the other.
const TWO_WAYS: &str = "
lab: ways
namespaces:
  a: { routes: [\"10.9.9.9/32 via 10.0.1.2\"] }
  b: { routes: [\"10.8.8.8/32 via 10.0.2.1\"] }
links:
  - ends: [a 10.0.1.1/24, b 10.0.1.2/24]
  - ends: [a 10.0.2.1/24, b 10.0.2.2/24]
  - ends: [host 10.0.3.1/24, a 10.0.3.2/24]
";

#[test]
fn a_strict_host_makes_no_strict_lab() {
    sandbox::run(|| {
        sandbox::loopback_up().expect("lo");
        // new namespaces inherit these from the machine's first one, which is the host for most
        for interface in ["all", "default"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "1").expect("a sysctl");
        }
        fs::write("/run/ways.yaml", TWO_WAYS).expect("a lab file");
        let (fine, said) = raum(&["up", "/run/ways.yaml"]);
        assert!(fine, "{said}");
        let read = |interface: &str| {
            fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter")).expect("a sysctl")
        };
        for ns in ["ways-a", "ways-b"] {
            assert_eq!(within(ns, || ["all", "eth0", "eth1"].map(read)), ["0\n"; 3]);
        }
        assert_eq!([read("all"), read("ways-a-eth2")], ["1\n", "2\n"]);
        // they are wanted so, whatever was inherited
        within("ways-b", || fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").expect("a sysctl"));
        let (fine, said) = raum(&["status", "ways"]);
        assert!(!fine && said.contains("ways-b: net/ipv4/conf/all/rp_filter = 0"), "{said}");
        assert!(raum(&["up", "/run/ways.yaml"]).0);
        let add = |ns: &str, address: &str| raum_core::plan::Op::AddAddress {
            ns: ns.parse().expect("a name"),
            link: raum_core::name::IfName::new("eth0").expect("a name"),
            address: address.parse().expect("an address"),
        };
        let ops = [add("ways-a", "10.8.8.8/32"), add("ways-b", "10.9.9.9/32")];
        common::world::done(&mut raum_kernel::Linux::new().expect("the kernel"), &ops);
        let echo = || {
            let socket = |at: &str| {
                let socket = std::net::UdpSocket::bind(at).expect("a socket");
                socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                socket
            };
            let (a, b) = (within("ways-a", || socket("10.8.8.8:7")), within("ways-b", || socket("10.9.9.9:7")));
            let mut buffer = [0; 4];
            a.send_to(b"ping", "10.9.9.9:7").expect("sent");
            let (_, from) = b.recv_from(&mut buffer).expect("it comes in by the one way");
            b.send_to(b"pong", from).expect("sent");
            a.recv_from(&mut buffer).expect("and is answered by the other");
            buffer
        };
        assert_eq!(&echo(), b"pong");
        assert!(raum(&["down", "ways"]).0);
        assert_eq!(read("all"), "1\n");
    });
}

#[test]
fn firewalld_is_asked_over_its_bus() {
    sandbox::run(|| {
        world();
        foreign::firewalld();
        let zones = firewalld::start();
        let zone = |zones: &Zones| zones.lock().expect("zones").get("shop-lan").cloned();
        let rules = foreign_rules();
        let said = up(&[]);
        assert!(said.contains("raum up --with-foreign-rules /run/lab.yaml"), "{said}");
        assert_eq!(zone(&zones), None);
        let said = up(&["--with-foreign-rules"]);
        assert!(said.contains("+ firewalld: shop-lan in zone trusted") && !said.contains("note"), "{said}");
        assert_eq!(zone(&zones).as_deref(), Some("trusted"));
        assert!(up(&["--with-foreign-rules"]).contains("nothing to change"));

        // a reload forgets what was said at run time
        zones.lock().expect("zones").clear();
        let (fine, said) = raum(&["status", "shop"]);
        assert!(!fine && said.contains("+ firewalld: shop-lan in zone trusted"), "{said}");
        up(&["--with-foreign-rules"]);
        assert_eq!(zone(&zones).as_deref(), Some("trusted"));

        // without the option; by the mark in the lab's table; by the record, when the rules were flushed
        up(&[]);
        assert_eq!(zone(&zones), None);
        up(&["--with-foreign-rules"]);
        fs::remove_dir_all("/run/raum").expect("removed");
        assert!(raum(&["down", "shop"]).0);
        assert_eq!(zone(&zones), None);
        up(&["--with-foreign-rules"]);
        foreign::flush();
        up(&["--with-foreign-rules"]);
        assert_eq!(zone(&zones).as_deref(), Some("trusted"));
        foreign::flush();
        assert!(raum(&["down", "shop"]).0);
        assert_eq!(zone(&zones), None);

        // who put it into another zone meant it: told, and nothing is done
        foreign::firewalld();
        assert_eq!(foreign_rules(), rules);
        zones.lock().expect("zones").insert("shop-lan".to_owned(), "dmz".to_owned());
        let (fine, said) = raum(&["up", "--with-foreign-rules", "/run/lab.yaml"]);
        assert!(!fine && said.contains("ZONE_CONFLICT") && said.contains("the host is as before"), "{said}");
        assert_eq!(zone(&zones).as_deref(), Some("dmz"));
    });
}
