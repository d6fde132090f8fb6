//! A table in the kernel is the one that was meant: read back, beside what `nft` says where it is installed, and by packets.

mod common;

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use common::judge;
use raum_core::lab::Proto;
use raum_core::name::{IfName, LabName};
use raum_core::nft::{Chain, Hook, InterfaceRef, Interfaces, Learned, Match, PortKey, PortMap, Rule, Table, Verdict};
use raum_core::state::{Owner, Sysctl};
use raum_kernel::nft::{self, Noted, conntrack};
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};

fn lab() -> LabName {
    LabName::new("t").unwrap()
}

fn empty() -> Table {
    Table::empty(&lab())
}

fn socket() -> Socket {
    Socket::open(Protocol::Netfilter).unwrap()
}

fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

fn rule(matches: Vec<Match>, verdict: Verdict) -> Rule {
    Rule { matches, verdict }
}

fn chain(hook: Hook, rules: Vec<Rule>) -> Chain {
    Chain { hook: Some(hook), rules }
}

fn own(not: bool) -> Interfaces {
    Interfaces { which: InterfaceRef::Set("lab".to_owned()), not }
}

fn one(text: &str) -> Interfaces {
    Interfaces { which: InterfaceRef::Name(name(text)), not: false }
}

fn saddr(text: &str) -> Match {
    Match::Saddr { prefix: text.parse().unwrap(), not: false }
}

fn port_map(v6: bool, at: Option<&str>, ports: &[(Proto, u16, &str, u16)]) -> PortMap {
    let address = at.map(|at| at.parse().unwrap());
    let entries = ports
        .iter()
        .map(|&(proto, port, to, target)| (PortKey { address, proto, port }, (to.parse::<IpAddr>().unwrap(), target)));
    PortMap { v6, by_address: at.is_some(), entries: entries.collect() }
}

/// The same as in [`WORDS`].
fn rich() -> Table {
    let mut table = empty();
    table.was.insert(Sysctl::new("net/ipv4/conf/eth0/forwarding").unwrap(), "0".to_owned());
    table.was.insert(Sysctl::new("net/ipv6/conf/eth0.5/accept_ra").unwrap(), "1".to_owned());
    table.sets.insert("lab".to_owned(), [name("br0"), name("123456789012345")].into());
    let tcp = [(Proto::Tcp, 80, "10.0.0.2", 8080), (Proto::Udp, 53, "10.0.0.3", 53)];
    table.maps.insert("publish4".to_owned(), port_map(false, None, &tcp));
    table.maps.insert("publish4-at".to_owned(), port_map(false, Some("1.2.3.4"), &tcp));
    table.maps.insert("publish6".to_owned(), port_map(true, None, &[(Proto::Tcp, 80, "fd00::2", 8080)]));
    table.maps.insert("publish6-at".to_owned(), port_map(true, Some("::1"), &[(Proto::Udp, 80, "fd00::2", 1)]));
    let translate =
        |v6, map: &str| rule(vec![Match::Family { v6 }, Match::ToLocal], Verdict::DnatMap { map: map.to_owned() });
    let maps = vec![
        translate(false, "publish4-at"),
        translate(false, "publish4"),
        translate(true, "publish6-at"),
        translate(true, "publish6"),
    ];
    table.chains.insert("prerouting".to_owned(), chain(Hook::DnatPrerouting, maps.clone()));
    table.chains.insert("output".to_owned(), chain(Hook::DnatOutput, maps));
    let masquerade = vec![
        rule(vec![saddr("10.0.0.0/8"), Match::Oif(own(true))], Verdict::Masquerade),
        rule(vec![Match::Oif(one("br0")), saddr("10.128.0.0/9"), Match::Dnatted], Verdict::Masquerade),
        rule(vec![saddr("fd00::/64"), Match::Oif(own(true))], Verdict::Masquerade),
    ];
    table.chains.insert("postrouting".to_owned(), chain(Hook::SnatPostrouting, masquerade));
    let forward = vec![
        rule(vec![Match::Established], Verdict::Accept),
        rule(vec![Match::Iif(own(false)), Match::Proto(Proto::Tcp)], Verdict::Jump("more".to_owned())),
        rule(vec![Match::Oif(own(false))], Verdict::Drop),
    ];
    table.chains.insert("forward".to_owned(), chain(Hook::FilterForward, forward));
    let localhost = Match::Daddr { prefix: "127.0.0.0/8".parse().unwrap(), not: false };
    let raw = vec![rule(vec![Match::Iif(one("br0")), localhost], Verdict::Drop)];
    table.chains.insert("raw".to_owned(), chain(Hook::RawPrerouting, raw));
    table.chains.insert("more".to_owned(), Chain::default());
    table.chains.insert("input".to_owned(), chain(Hook::FilterInput, Vec::new()));
    table
}

const WORDS: &str = r#"table inet raum-t {
    comment "raum:t"
    set lab { type ifname; elements = { "br0", "123456789012345" }
    }
    map publish4 { type inet_proto . inet_service : ipv4_addr . inet_service
        elements = { tcp . 80 : 10.0.0.2 . 8080, udp . 53 : 10.0.0.3 . 53 }
    }
    map publish4-at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
        elements = { 1.2.3.4 . tcp . 80 : 10.0.0.2 . 8080, 1.2.3.4 . udp . 53 : 10.0.0.3 . 53 }
    }
    map publish6 { type inet_proto . inet_service : ipv6_addr . inet_service
        elements = { tcp . 80 : fd00::2 . 8080 }
    }
    map publish6-at { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
        elements = { ::1 . udp . 80 : fd00::2 . 1 }
    }
    chain was-0 { comment "net/ipv4/conf/eth0/forwarding=0"
    }
    chain was-1 { comment "net/ipv6/conf/eth0.5/accept_ra=1"
    }
    chain more {
    }
    chain raw { type filter hook prerouting priority -300
        iifname "br0" ip daddr 127.0.0.0/8 drop
    }
    chain prerouting { type nat hook prerouting priority -100
        meta nfproto ipv4 fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @publish4-at
        meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @publish4
        meta nfproto ipv6 fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish6-at
        meta nfproto ipv6 fib daddr type local dnat ip6 to meta l4proto . th dport map @publish6
    }
    chain output { type nat hook output priority -100
        meta nfproto ipv4 fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @publish4-at
        meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @publish4
        meta nfproto ipv6 fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish6-at
        meta nfproto ipv6 fib daddr type local dnat ip6 to meta l4proto . th dport map @publish6
    }
    chain postrouting { type nat hook postrouting priority 100
        ip saddr 10.0.0.0/8 oifname != @lab masquerade
        oifname "br0" ip saddr 10.128.0.0/9 ct status dnat masquerade
        ip6 saddr fd00::/64 oifname != @lab masquerade
    }
    chain forward { type filter hook forward priority 0
        ct state established,related accept
        iifname @lab meta l4proto tcp jump more
        oifname @lab drop
    }
    chain input { type filter hook input priority 0
    }
}
"#;

fn observed() -> Table {
    let (table, owner) = nft::observe(&mut socket(), &lab()).unwrap().expect("a table");
    assert_eq!(owner, Owner::Lab);
    table
}

#[test]
fn what_was_written_is_read() {
    sandbox::run(written_is_read);
}

#[test]
fn what_is_written_for_an_older_kernel_is_read() {
    sandbox::run(|| {
        sandbox::say_an_older_release().unwrap();
        written_is_read();
        // keys of maps that are looked for, and not what they lead to
        let learned = [Learned::Address { v6: false }, Learned::Port, Learned::Peer { v6: false }];
        let asks = rule(vec![Match::PortTaken { v6: false }, Match::FromPeer { v6: false }], Verdict::Accept);
        let table = Table {
            learned: learned.map(|into| (into.name(false).to_owned(), into)).into(),
            chains: [("input".to_owned(), chain(Hook::FilterInput, vec![asks]))].into(),
            ..empty()
        };
        nft::replace(&mut socket(), &table).unwrap();
        assert_eq!(observed(), table);
    });
}

fn written_is_read() {
    assert_eq!(nft::observe(&mut socket(), &lab()), Ok(None));
    nft::replace(&mut socket(), &rich()).unwrap();
    assert_eq!(observed(), rich());
    assert_eq!(nft::observe_all(&mut socket()), Ok(vec![rich()]));
    let noted = |maps| Noted { lab: lab(), was: rich().was, maps };
    let other = LabName::new("other").unwrap();
    assert_eq!(nft::noted(&mut socket(), &other), Ok(vec![noted(rich().maps.into_values().collect())]));
    assert_eq!(nft::noted(&mut socket(), &lab()), Ok(vec![noted(vec![])]), "one's own ports are not read");
    nft::replace(&mut socket(), &empty()).unwrap();
    assert_eq!(observed(), empty());
    nft::delete(&mut socket(), "raum-t").unwrap();
    assert_eq!(nft::observe(&mut socket(), &lab()), Ok(None));
    assert_eq!(nft::delete(&mut socket(), "raum-t").unwrap_err().code, "ENOENT");
}

#[test]
fn nft_sees_and_makes_the_same_table() {
    sandbox::run(|| {
        nft::replace(&mut socket(), &rich()).unwrap();
        let Some(ours) = judge("nft", &["-s", "list", "ruleset"]) else { return };
        nft::delete(&mut socket(), "raum-t").unwrap();
        std::fs::write("/run/words.nft", WORDS).unwrap();
        judge("nft", &["-f", "/run/words.nft"]).unwrap();
        assert_eq!(observed(), rich());
        let theirs = judge("nft", &["-s", "list", "ruleset"]).unwrap();
        // the chains are in another order, and so are the elements
        let sorted = |text: &str| {
            let mut words: Vec<String> =
                text.lines().map(|line| line.trim().trim_end_matches(',').to_owned()).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(&ours).len(), sorted(&theirs).len(), "{ours}\n{theirs}");
        assert_eq!(sorted(&ours), sorted(&theirs));
    });
}

#[test]
fn what_others_did_to_the_table_is_drift() {
    sandbox::run(|| {
        nft::replace(&mut socket(), &rich()).unwrap();
        for change in [
            "add rule inet raum-t forward counter accept",
            "add rule inet raum-t input tcp dport 22 accept",
            "add rule inet raum-t forward iifname \"br*\" drop",
            "add element inet raum-t lab { \"x\" }",
            "add element inet raum-t publish4 { sctp . 80 : 10.0.0.1 . 1 }",
            "add set inet raum-t other { type ipv4_addr; }",
            "add chain inet raum-t more2",
            "add chain inet raum-t forward { policy drop; }",
            "add chain inet raum-t late { type filter hook forward priority 7; }",
            "flush chain inet raum-t postrouting",
        ] {
            if judge("nft", &[change]).is_none() {
                return;
            }
            assert_ne!(observed(), rich(), "{change}");
            nft::replace(&mut socket(), &rich()).unwrap();
            assert_eq!(observed(), rich(), "{change}");
        }
    });
}

#[test]
fn a_foreign_table_is_told_and_untouched() {
    sandbox::run(|| {
        let foreign = Table { lab: LabName::new("other").unwrap(), ..rich() };
        nft::replace(&mut socket(), &foreign).unwrap();
        let (_, owner) = nft::observe(&mut socket(), &lab()).unwrap().unwrap();
        assert_eq!(owner, Owner::Foreign);
        let error = nft::replace(&mut socket(), &rich()).unwrap_err();
        assert_eq!(error.words(), "table inet raum-t is there and is not the lab's (EEXIST)");
        assert_eq!(nft::observe_all(&mut socket()), Ok(vec![]));
        assert_eq!(nft::labs(&mut socket()), Ok([].into()));
    });
}

#[test]
fn a_refused_table_leaves_the_old_one_and_says_which_part() {
    sandbox::run(|| {
        nft::replace(&mut socket(), &rich()).unwrap();
        let mut wrong = rich();
        let nowhere = rule(Vec::new(), Verdict::Jump("nowhere".to_owned()));
        wrong.chains.get_mut("forward").unwrap().rules.push(nowhere);
        let error = nft::replace(&mut socket(), &wrong).unwrap_err();
        assert!(error.message.starts_with("rule 4 of chain forward: "), "{error}");
        assert_eq!(observed(), rich());
    });
}

#[test]
fn thousands_of_ports_are_one_transaction() {
    sandbox::run(|| {
        // in a user namespace the socket's buffer ends at net/core/wmem_max
        let count =
            if std::fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295") { 65_535 } else { 2000 };
        let ports: Vec<_> = (1..=count).map(|port| (Proto::Tcp, port, "10.0.0.2", port)).collect();
        let mut table = empty();
        table.maps.insert("publish4".to_owned(), port_map(false, None, &ports));
        nft::replace(&mut socket(), &table).unwrap();
        // no assert_eq: nobody could read what that prints
        assert!(observed() == table);
    });
}

/// A UDP service on a port of localhost.
fn service(address: &str, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((address, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn receives(service: &UdpSocket) -> String {
    let mut buffer = [0; 64];
    let length = service.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_flow_meets_the_new_rules_once_it_was_forgotten() {
    sandbox::run(|| {
        sandbox::loopback_up().unwrap();
        for (v6, localhost) in [(false, "127.0.0.1"), (true, "::1")] {
            let (first, second) = (service(localhost, 6001), service(localhost, 6002));
            let to = |target| {
                let mut table = empty();
                let entry = [(Proto::Udp, 5000, localhost, target)];
                table.maps.insert("publish".to_owned(), port_map(v6, None, &entry));
                let matches = vec![Match::Family { v6 }, Match::ToLocal];
                let rules = vec![rule(matches, Verdict::DnatMap { map: "publish".to_owned() })];
                table.chains.insert("output".to_owned(), chain(Hook::DnatOutput, rules));
                nft::replace(&mut socket(), &table).unwrap();
            };
            let client = UdpSocket::bind((localhost, 0)).unwrap();
            client.connect((localhost, 5000)).unwrap();
            to(6001);
            client.send(b"a").unwrap();
            assert_eq!(receives(&first), "a");
            to(6002);
            conntrack::flush(&mut socket(), &[(Proto::Udp, 4999), (Proto::Tcp, 5000)].into()).unwrap();
            client.send(b"b").unwrap();
            assert_eq!(receives(&first), "b", "flows of other ports were forgotten");
            conntrack::flush(&mut socket(), &[(Proto::Udp, 5000)].into()).unwrap();
            client.send(b"c").unwrap();
            assert_eq!(receives(&second), "c");
        }
    });
}

#[test]
fn entries_come_and_go_in_a_table_that_stays() {
    sandbox::run(|| {
        for count in [3, 500] {
            let map = |ports: std::ops::Range<u16>, target: u16| PortMap {
                v6: true,
                by_address: true,
                entries: ports.map(|port| (entry_key(port), ("fd00::2".parse().unwrap(), target))).collect(),
            };
            let with = |map: PortMap| Table { maps: BTreeMap::from([("m".to_owned(), map)]), ..empty() };
            let (old, new) = (with(map(1..count, 80)), with(map(1..count + 1, 80)));
            let mut elsewhere = new.clone();
            elsewhere.maps.insert("m".to_owned(), map(2..count + 1, 81));
            nft::replace(&mut socket(), &old).unwrap();
            for (from, to) in [(&old, &new), (&new, &elsewhere), (&elsewhere, &old)] {
                let changes = from.entry_changes(to).expect("only entries");
                nft::change_entries(&mut socket(), "raum-t", &changes).unwrap();
                assert_eq!(observed(), *to);
            }
            // what goes must be there, and then nothing of it is done
            let changes = new.entry_changes(&elsewhere).expect("only entries");
            let error = nft::change_entries(&mut socket(), "raum-t", &changes).unwrap_err();
            assert_eq!(error.code, "ENOENT", "{error:?}");
            assert_eq!(observed(), old);
        }
    });
}

fn entry_key(port: u16) -> PortKey {
    PortKey { address: Some("fd00::1".parse().unwrap()), proto: Proto::Udp, port }
}
