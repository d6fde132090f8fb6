//! Any ruleset is read: beside what `nft list ruleset` says where it is installed, and what raum itself wrote where not.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::judge;
use raum_core::ruleset::packet::{ESTABLISHED, LOCAL, UNICAST};
use raum_core::ruleset::{Fate, Hook, Packet, Ruleset, translations};
use raum_kernel::{ruleset, sandbox};

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

fn load(text: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("nft reads");
    assert!(child.wait().expect("nft ends").success(), "nft refuses {text}");
}

fn read() -> Ruleset {
    ruleset::read_here().expect("rules")
}

/// Lines of rules and elements, with white space made one.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

/// Rules as nft itself prints them.
const RULES: &[&str] = &[
    "ip saddr 10.0.0.0/8 accept",
    "ip saddr 10.1.0.0/17 drop",
    "ip daddr != 192.0.2.1 counter packets 0 bytes 0 accept",
    "ip6 saddr fd00::/64 ip6 daddr fd00::1 drop",
    "ip protocol icmp accept",
    "ip saddr 10.0.0.1 ip daddr 10.0.0.2 tcp sport 1024-65535 tcp dport 80 accept",
    "iifname \"eth0\" oifname != \"eth1\" accept",
    "iifname \"veth*\" drop",
    "iif \"lo\" accept",
    "meta l4proto { tcp, udp } th dport 53 accept",
    "tcp dport { 22, 80-90, 443 } accept",
    "tcp dport != 22 drop",
    "udp dport 53 counter packets 0 bytes 0 drop",
    "tcp flags syn / fin,syn,rst,ack drop",
    "ct state established,related accept",
    "ct state vmap { invalid : drop, established : accept, related : accept }",
    "ct status dnat accept",
    "ct direction original accept",
    "ct mark 0x00000007 drop",
    "meta mark 0x00000001 drop",
    "meta mark set 0x00000002",
    "ct mark set meta mark",
    "fib daddr type local accept",
    "icmp type echo-request accept",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    "ip saddr @four drop",
    "ip saddr . tcp dport @pair accept",
    "iifname @names accept",
    "ip daddr vmap @where",
    "ip saddr { 10.0.0.0/24, 10.0.2.1-10.0.2.9, 192.0.2.7 } drop",
    "limit rate 10/second burst 5 packets accept",
    "limit rate over 1 mbytes/second drop",
    "quota over 1000 bytes drop",
    "log prefix \"gone: \" drop",
    "reject with tcp reset",
    "reject with icmpx admin-prohibited",
    "reject",
    "jump other",
    "goto other",
    "return",
    "ip daddr 10.9.9.9 drop comment \"nobody there\"",
];

/// What nft prints differently, and how raum does.
const OTHERWISE: &[(&str, &str)] =
    &[("iif \"lo\" accept", "iif 1 accept"), ("reject with tcp reset", "meta l4proto tcp reject with tcp reset")];

#[test]
fn rules_read_as_nft_prints_them() {
    sandbox::run(|| {
        if !installed("nft") {
            return;
        }
        let mut text = "table inet t {\n comment \"a table\"\n\
            set four { type ipv4_addr; flags interval; elements = { 10.0.0.0/24, 10.0.1.5, 10.0.2.0-10.0.2.7 }; }\n\
            set pair { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/24 . 80-90, 10.0.1.1 . 443 }; }\n\
            set names { type ifname; elements = { \"eth0\", \"eth1\" }; }\n\
            map where { type ipv4_addr : verdict; elements = { 10.0.0.1 : accept, 10.0.0.2 : jump other }; }\n\
            chain other { }\n chain c { type filter hook forward priority 5; policy drop;\n"
            .to_owned();
        for rule in RULES {
            text += &format!("{rule}\n");
        }
        text += "}\n}\n";
        load(&text);
        let ruleset = read();
        let table = &ruleset.tables[0];
        let chain = table.chain("c").expect("the chain");
        assert_eq!(chain.rules.len(), RULES.len());
        for (rule, nft) in chain.rules.iter().zip(RULES) {
            let wanted = OTHERWISE.iter().find(|(theirs, _)| theirs == nft).map_or(*nft, |(_, ours)| ours);
            assert_eq!(rule.words(table), wanted);
        }
        assert_eq!(table.comment.as_deref(), Some("a table"));
        let listed = judge("nft", &["list", "ruleset"]).expect("nft");
        let ours = lines(&ruleset.to_string());
        let elements = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| line.contains("elements =") || line.starts_with("10.")).cloned().collect()
        };
        assert_eq!(elements(&ours).join(" "), elements(&lines(&listed)).join(" "));
    });
}

/// Docker's rules, as its documentation and `iptables-save` show them, with firewalld's way of saying no.
const DOCKER: &str = "table ip nat {
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local counter jump DOCKER
  }
  chain OUTPUT { type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER
  }
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept;
    ip saddr 172.17.0.0/16 oifname != \"docker0\" counter masquerade
  }
  chain DOCKER {
    iifname \"docker0\" counter return
    iifname != \"docker0\" tcp dport 8080 counter dnat to 172.17.0.2:80
    udp dport 53 counter redirect to :5353
  }
}
table ip6 nat {
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept;
    ip6 saddr fd00::/64 snat to 2001:db8::1
    ip6 daddr fd01::1 tcp dport 1-9 dnat to [fd00::2]:80
  }
}
table ip filter {
  chain FORWARD { type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    ct state related,established counter accept
    oifname \"docker0\" counter jump DOCKER
    iifname \"docker0\" counter accept
  }
  chain DOCKER-USER { }
  chain DOCKER { iifname != \"docker0\" oifname \"docker0\" ip daddr 172.17.0.2 tcp dport 80 counter accept
  }
}
";

#[test]
fn what_drops_a_forwarded_packet_is_found_in_foreign_rules() {
    sandbox::run(|| {
        if !installed("nft") {
            return;
        }
        load(&DOCKER.replace("ip6 daddr fd01::1 tcp dport 1-9 dnat to [fd00::2]:80", ""));
        let ruleset = read();
        let mut packet = Packet::new([10, 0, 0, 2].into(), [198, 51, 100, 1].into(), Some(6));
        packet.input = Some(("br0".to_owned(), 3));
        packet.output = Some(("eth0".to_owned(), 2));
        packet.set_ports(None, Some(443));
        let drops = ruleset.drops(Hook::Forward, &packet);
        assert_eq!(drops.len(), 1);
        assert!(drops[0].certain);
        assert_eq!(drops[0].fate, Fate::Dropped);
        assert_eq!((drops[0].place.table.as_str(), drops[0].place.chain.as_str()), ("filter", "FORWARD"));
        assert_eq!((drops[0].place.rule, drops[0].place.words.as_str()), (None, "policy drop"));
        // its answer would go through, and so would what is published
        packet.ct_state = Some(ESTABLISHED);
        assert_eq!(ruleset.drops(Hook::Forward, &packet), []);
        packet.ct_state = None;
        assert_eq!(ruleset.drops(Hook::Forward, &packet).iter().map(|end| end.certain).collect::<Vec<_>>(), [false]);
        packet.ct_state = Some(8);
        packet.output = Some(("docker0".to_owned(), 4));
        packet.set_destination([172, 17, 0, 2].into());
        packet.set_ports(None, Some(80));
        assert_eq!(ruleset.drops(Hook::Forward, &packet), []);
        packet.input = None;
        assert!(!ruleset.drops(Hook::Forward, &packet)[0].certain);
        // where a published port leads
        let mut outside = Packet::new([192, 0, 2, 9].into(), [192, 0, 2, 1].into(), Some(6));
        outside.input = Some(("eth0".to_owned(), 2));
        outside.set_ports(Some(40_000), Some(8080));
        outside.destination_type = Some(LOCAL);
        let fates = ruleset.fates(Hook::Prerouting, &outside);
        let Fate::Translated(nat) = &fates[0][0].fate else { panic!("{fates:?}") };
        assert_eq!((nat.source, nat.address, nat.port), (false, Some([172, 17, 0, 2].into()), Some(80)));
        outside.destination_type = Some(UNICAST);
        assert_eq!(ruleset.fates(Hook::Prerouting, &outside)[0][0].fate, Fate::Accepted);
        let said: Vec<String> = translations(&ruleset).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "masquerade from 172.17.0.0/16, not out of docker0",
                "to this namespace itself, in by docker0: not translated",
                "to this namespace itself, not in by docker0, to tcp port 8080 -> 172.17.0.2:80",
                "to this namespace itself, to udp port 53 -> this namespace itself, port 5353",
                "from fd00::/64: source becomes 2001:db8::1",
            ]
        );
    });
}

#[test]
fn the_rules_of_iptables_are_read() {
    sandbox::run(|| {
        if !installed("iptables-nft") || !installed("ip6tables-nft") {
            return;
        }
        for (program, line) in [
            ("iptables-nft", "-t nat -A POSTROUTING -s 10.0.0.0/24 ! -o br0 -j MASQUERADE"),
            (
                "iptables-nft",
                "-t nat -A PREROUTING -p tcp --dport 80 -m addrtype --dst-type LOCAL -j DNAT --to-destination 10.0.0.2:8080",
            ),
            ("iptables-nft", "-t nat -A PREROUTING -p udp --dport 53 -j REDIRECT --to-ports 5353"),
            ("iptables-nft", "-t nat -A POSTROUTING -d 10.0.0.9 -j SNAT --to-source 192.0.2.1"),
            ("iptables-nft", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
            ("iptables-nft", "-A FORWARD -m comment --comment private -m mark --mark 0x1 -j DROP"),
            ("iptables-nft", "-A FORWARD -p tcp -m multiport --dports 80,443,1000:1010 -j REJECT"),
            ("iptables-nft", "-A FORWARD -j LOG --log-prefix gone:"),
            ("iptables-nft", "-P FORWARD DROP"),
            ("ip6tables-nft", "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080"),
        ] {
            judge(program, &line.split_whitespace().collect::<Vec<_>>());
        }
        let ruleset = read();
        let all = ruleset.to_string();
        for words in [
            "ct state established,related",
            "fib daddr type local",
            "dnat to 10.0.0.2:8080",
            "redirect to :5353",
            "snat to 192.0.2.1",
            "comment \"private\"",
            "meta mark 0x00000001",
            "th dport { 80, 443, 1000-1010 }",
            "log prefix \"gone:\"",
            "dnat to [fd00::2]:8080",
            "policy drop",
        ] {
            assert!(all.contains(words), "{words} is not in {all}");
        }
        let mut packet = Packet::new([10, 0, 0, 2].into(), [198, 51, 100, 1].into(), Some(6));
        packet.set_ports(Some(40_000), Some(1005));
        let drops = ruleset.drops(Hook::Forward, &packet);
        assert_eq!(drops[0].fate, Fate::Rejected, "{drops:?}");
        packet.set_ports(Some(40_000), Some(1011));
        assert_eq!(ruleset.drops(Hook::Forward, &packet)[0].place.words, "policy drop");
        packet.mark = Some(1);
        assert!(ruleset.drops(Hook::Forward, &packet)[0].place.words.contains("meta mark"));
        packet.ct_state = Some(ESTABLISHED);
        assert_eq!(ruleset.drops(Hook::Forward, &packet), []);
        let said: Vec<String> = translations(&ruleset).iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|said| said.contains("-> 10.0.0.2:8080")), "{said:?}");
        assert!(said.iter().any(|said| said.contains("from 10.0.0.0/24")), "{said:?}");
    });
}

/// As Podman 4.3 with netavark 1.4 writes them: a chain for each network and each container, where the jump to it says for whom.
#[test]
fn conditions_of_jumps_hold_inside_the_chains_too() {
    sandbox::run(|| {
        if !installed("nft") {
            return;
        }
        load(
            "table ip nat {
                chain POSTROUTING { type nat hook postrouting priority 100;
                    ip saddr 10.88.0.0/16 jump NETWORK
                    ip saddr 10.99.0.0/16 oifname a jump BOTH
                    ip saddr 10.99.0.0/16 oifname b jump BOTH; }
                chain NETWORK { ip daddr 10.88.0.0/16 accept; ip daddr != 224.0.0.0/4 masquerade; }
                chain BOTH { ip daddr 192.0.2.1 goto DEEPER; }
                chain DEEPER { masquerade; }
                chain MAPPED { meta l4proto udp redirect to :9; }
                chain PREROUTING { type nat hook prerouting priority -100;
                    tcp dport vmap { 7 : jump MAPPED };
                    udp dport 7 jump MAPPED
                    tcp dport 8088 jump PORT; }
                chain PORT { tcp dport 8088 dnat to 10.88.0.2:80; }
            }",
        );
        let said: Vec<String> = translations(&read()).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "from 10.88.0.0/16, to 10.88.0.0/16: not translated",
                "masquerade from 10.88.0.0/16, not to 224.0.0.0/4",
                "masquerade from 10.99.0.0/16, to 192.0.2.1",
                "protocol udp -> this namespace itself, port 9",
                "to tcp port 8088 -> 10.88.0.2:80",
            ]
        );
    });
}

#[test]
fn without_rules_there_are_none() {
    sandbox::run(|| assert_eq!(read(), Ruleset::default()));
}

/// What raum itself writes, read by this reader: a judge that is installed everywhere.
#[test]
fn a_labs_table_is_read_as_it_was_written() {
    use raum_core::model::imagine;
    use raum_core::name::LabName;
    use raum_kernel::nft;
    use raum_kernel::socket::{Protocol, Socket};
    sandbox::run(|| {
        let lab = LabName::new("sample").expect("a name");
        let mut numbers = (0..=u8::MAX).cycle();
        let mut die = |n: u8| numbers.next().map_or(0, |number| (number / 3) % n.max(1));
        let states = (0..40).map(|_| imagine::state(&lab, &mut die));
        let tables: Vec<_> =
            states.flat_map(|state| state.namespaces.into_values()).filter_map(|ns| ns.table).collect();
        assert!(!tables.is_empty());
        let mut socket = Socket::open(Protocol::Netfilter).expect("a socket");
        for wanted in tables {
            nft::replace(&mut socket, &wanted).expect("a table");
            let ruleset = ruleset::read(&mut socket).expect("rules");
            let [table] = ruleset.tables.as_slice() else { panic!("{ruleset:?}") };
            assert_eq!(table.lab().as_ref(), Some(&lab));
            // rules as `to_nft` writes them, but that a question for the family may be implied
            let words = |line: &String| {
                line.replace("meta nfproto ipv4 ip ", "ip ")
                    .replace("meta nfproto ipv6 ip6 ", "ip6 ")
                    .replace("meta nfproto ipv4 meta l4proto . th dport . ip ", "meta l4proto . th dport . ip ")
                    .replace("meta nfproto ipv6 meta l4proto . th dport . ip6 ", "meta l4proto . th dport . ip6 ")
                    .replace("mld-listener-query-mld2-listener-report", "130-143")
                    .replace(" : ", ":")
            };
            let rule = |line: &String| {
                [" accept", " drop", " masquerade", "dnat ", "jump "].iter().any(|end| line.contains(end))
                    && !line.starts_with("type")
            };
            let ours: Vec<String> = lines(&table.to_string()).iter().filter(|line| rule(line)).map(words).collect();
            let theirs: Vec<String> = lines(&wanted.to_nft()).iter().filter(|line| rule(line)).map(words).collect();
            let sorted = |mut lines: Vec<String>| {
                lines.sort();
                lines
            };
            assert_eq!(sorted(ours), sorted(theirs));
        }
    });
}
