//! Steps done to labs: what comes of them, what is said of wrong ones, and properties of random sequences.

use proptest::prelude::*;

use super::*;
use crate::design::design;
use crate::host::Surroundings;
use crate::lab::{check, parse, settle};
use crate::name::LabName;
use crate::problem::{Sheet, render_sheets};

fn around() -> Surroundings {
    Surroundings { ipv6: true, ..Surroundings::default() }
}

fn lab() -> Lab {
    Lab::empty(LabName::new("default").unwrap())
}

/// As the command line has it, with `--force`, `--none`, `--nat` and options with a value at its end.
fn read(typed: &str) -> (Line, Edit) {
    let words: Vec<&str> = typed.split(' ').collect();
    let verbs = match words[0] {
        "connect" | "disconnect" | "attach" | "detach" | "gateway" | "forwarding" => 1,
        _ => 2,
    };
    let verb = words[..verbs.min(words.len())].join(" ");
    let options = words.iter().position(|word| word.starts_with("--")).unwrap_or(words.len());
    let mut line = Line::new(&format!("raum {verb}"));
    let rest = line.words(&words[verb.split(' ').count()..options]);
    let (mut force, mut none, mut nat, mut isolated, mut source) = (Force::No, false, None, None, Vec::new());
    let mut addresses = Addresses::Chosen;
    let mut value = std::collections::BTreeMap::new();
    let mut options = words[options..].iter();
    while let Some(option) = options.next() {
        match *option {
            "--force" => force = Force::Yes,
            "--none" => none = true,
            "--no-addresses" => addresses = Addresses::None,
            "--nat" => nat = Some(line.flag("--nat")),
            "--isolated" if verb == "switch add" => isolated = Some(line.flag("--isolated")),
            "--source" => source.push(line.option("--source", options.next().unwrap())),
            name => drop(value.insert(name, line.option(name, options.next().unwrap()))),
        }
    }
    let mut value = |name: &str| value.remove(name);
    let edit = match verb.as_str() {
        "ns add" => Edit::AddNamespaces(rest),
        "ns del" => Edit::DelNamespaces(rest, force),
        "switch add" => Edit::AddSwitch(
            rest,
            SwitchOptions {
                gateway: value("--gateway"),
                nat,
                place: value("--in"),
                mtu: value("--mtu"),
                mac: value("--mac"),
                isolated,
            },
        ),
        "switch del" => Edit::DelSwitches(rest, force),
        "connect" => Edit::Connect(rest, addresses),
        "disconnect" => Edit::Disconnect(rest, force),
        "attach" => Edit::Attach(rest),
        "detach" => Edit::Detach(rest, force),
        "addr add" => Edit::AddAddresses(rest),
        "addr del" => Edit::DelAddresses(rest, force),
        "route add" => Edit::AddRoute(rest),
        "route del" => Edit::DelRoute(rest),
        "gateway" if none => Edit::DelGateway(rest),
        "gateway" => Edit::SetGateway(rest),
        "forwarding" => Edit::Forwarding(rest),
        "nat add" | "nat set" => {
            let edit = if verb == "nat set" { Edit::SetNat } else { Edit::AddNat };
            edit(rest, NatOptions { out: value("--out"), source, like: value("--like") })
        }
        "nat del" => Edit::DelNat(rest),
        "publish add" => Edit::AddPublish(rest),
        "publish del" => Edit::DelPublish(rest),
        "forward add" => Edit::AddForward(rest),
        "forward del" => Edit::DelForward(rest),
        "filter add" => Edit::AddFilterRule(rest, value("--in")),
        "filter del" => Edit::DelFilterRule(rest, value("--in")),
        "filter default" => {
            Edit::FilterDefault(rest, FilterOptions { place: value("--in"), outgoing: value("--outgoing") })
        }
        "filter off" => Edit::DelFilter(rest, value("--in")),
        "group add" => Edit::AddGroup(rest),
        "group del" => Edit::DelGroup(rest, force),
        "link up" => Edit::LinkUp(rest),
        "link down" => Edit::LinkDown(rest),
        "link set" => {
            Edit::SetLink(rest, LinkOptions { mtu: value("--mtu"), mac: value("--mac"), isolated: value("--isolated") })
        }
        other => panic!("no such command: {other}"),
    };
    (line, edit)
}

/// Does one step as the library does: on the text of the lab, checked.
fn step(lab: &mut Lab, typed: &str) -> Result<(), String> {
    let text = lab.to_string();
    let mut edited = if lab.is_empty() { lab.clone() } else { parse(&text, &lab.name).expect("its own text") };
    let (line, edit) = read(typed);
    let done = edit.apply(&mut edited).and_then(|()| {
        edited = settle(&edited, &around(), Some(lab));
        let problems = check(&edited, &around());
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    });
    let sheets =
        [Sheet { name: "lab", text: &text, at: 0 }, Sheet { name: "command line", text: line.as_str(), at: LINE_AT }];
    done.map_err(|problems| render_sheets(&problems, &sheets, false))?;
    *lab = edited;
    Ok(())
}

/// A link's place is all that two equal labs may differ in.
fn without_places(lab: &Lab) -> Lab {
    let mut lab = lab.clone();
    lab.links.iter_mut().for_each(|link| link.span = 0..0);
    lab
}

fn after(steps: &[&str]) -> Lab {
    let mut lab = lab();
    for typed in steps {
        if let Err(said) = step(&mut lab, typed) {
            panic!("{typed}\n{said}");
        }
    }
    lab
}

/// The sessions of `tests/cases/edit.txt`: what is typed, what is said, and the lab in the end.
#[test]
fn sessions() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/edit.txt");
    let written = std::fs::read_to_string(&path).unwrap();
    let mut found = String::new();
    let mut now = lab();
    for text in written.lines() {
        if let Some(title) = text.strip_prefix("# ") {
            found += &format!("{}# {title}\n", if found.is_empty() { "" } else { "\n" });
            now = lab();
        } else if text == "$ export" {
            found += &format!("$ export\n{now}");
        } else if let Some(typed) = text.strip_prefix("$ ") {
            let said = step(&mut now, typed).err().unwrap_or_default();
            found += &format!("$ {typed}\n{said}");
        }
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(path, found).unwrap();
    } else {
        assert!(written == found, "UPDATE_CASES=1 rewrites it; now\n{found}");
    }
}

#[test]
fn a_lab_stays_small_enough_to_be_read() {
    let mut lab = after(&["ns add red"]);
    let (_, edit) = read("ns add a-rather-long-name-of-a-namespace-of-which-there-are-many-[1-20000]");
    let problems = edit.apply(&mut lab).unwrap_err();
    assert!(problems[0].message.contains("too big"), "{problems:?}");
    assert_eq!(lab.nodes.len(), 1);
}

#[test]
fn steps_that_add_can_be_done_twice() {
    let steps = [
        "ns add red blue router n[1-3]",
        "switch add lan 10.1.0.0/24 fd01::/64 --gateway router",
        "switch add lan 10.1.0.0/24",
        "attach n[1-3] lan",
    ];
    let more = [
        "attach router:lan0 lan 10.1.0.1",
        "gateway lan router",
        "connect router:wan 203.0.113.2/30 red 203.0.113.1/30",
        "connect red blue",
        "addr add blue 10.9.0.2/24",
        "addr add red:eth1 10.9.0.1/24 fd09::1/64",
        "route add red 10.1.0.0/24 via 203.0.113.2",
        "gateway blue 10.9.0.1",
        "forwarding red on",
        "nat add router --out wan",
        "switch add dmz 10.3.0.0/24 --gateway host --nat",
        "attach n1 dmz",
        "publish add n1 8080:80 127.0.0.1:53:53/udp",
        "forward add router wan 2222 to n2:22",
        "link down red:eth1",
        "link up red:eth1",
        "link down blue",
        "link set red:eth0 --mtu 1400 --mac 02:00:00:00:00:01",
        "link set lan --mtu 9000",
        "link set lan --isolated on",
        "link set lan --isolated off",
        "switch add guests 10.4.0.0/24 --gateway host --isolated",
        "group add front n1 n[2-3] lan",
        "filter add deny lan to front 22",
        "filter default deny --in red --outgoing deny",
        "filter add allow front to 80-90/tcp --in red",
        "filter add allow red to any icmp --in red",
        "filter default allow",
    ];
    let mut lab = after(&["ns add red blue router n[1-3]", "switch add lan 10.1.0.0/24 fd01::/64"]);
    for typed in steps[2..].iter().chain(&more) {
        for _ in 0..2 {
            step(&mut lab, typed).unwrap_or_else(|said| panic!("{typed}\n{said}"));
        }
        let once = lab.to_string();
        step(&mut lab, typed).unwrap_or_else(|said| panic!("{typed}\n{said}"));
        assert_eq!(lab.to_string(), once, "{typed}");
    }
}

#[test]
fn what_stays_keeps_its_names_and_addresses() {
    let text = "lab: default\nswitches: { lan: { subnet: 10.1.0.0/24 }, dmz: { subnet: 10.2.0.0/24 } }\n\
                namespaces: { red: { on: lan }, blue: }\nlinks:\n  - ends: [red 10.0.0.1/24, blue 10.0.0.2/24]\n";
    let lab = parse(text, &LabName::new("default").unwrap()).unwrap();
    let around = around();
    let before = design(&lab, &around).state;
    for typed in ["attach red dmz", "connect red blue:x", "attach blue lan"] {
        let mut edited = lab.clone();
        step(&mut edited, typed).unwrap();
        let state = design(&edited, &around).state;
        for (id, ns) in before.namespaces.iter().filter(|(id, _)| id.name().is_some()) {
            for (name, link) in &ns.links {
                assert_eq!(state.namespaces[id].links.get(name), Some(link), "{typed}: {id} {name}");
            }
        }
    }
    let mut edited = lab.clone();
    step(&mut edited, "detach red lan").unwrap();
    let red = design(&edited, &around).state.namespaces[&"red".parse().unwrap()].clone();
    assert_eq!(red.links.keys().map(ToString::to_string).collect::<Vec<_>>(), ["eth1"]);
}

/// Commands with few names, so that many of them mean something.
fn typed() -> impl Strategy<Value = String> {
    let node = || prop_oneof![8 => "[abcd]", 1 => Just("host".to_owned()), 1 => Just("lan".to_owned()), 1 => Just("a[1-3]".to_owned())];
    let switch = || prop_oneof![6 => Just("lan".to_owned()), 2 => Just("dmz".to_owned()), 1 => "[ab]"];
    let ifname = || prop_oneof![4 => Just(String::new()), 1 => Just(":eth0".to_owned()), 1 => Just(":eth1".to_owned()), 1 => Just(":wan".to_owned())];
    let end = move || (node(), ifname()).prop_map(|(node, ifname)| node + &ifname);
    let ip = || {
        prop_oneof![
            (0u8..3, 1u8..4).prop_map(|(net, host)| format!("10.0.{net}.{host}")),
            (0u8..3, 1u8..4).prop_map(|(net, host)| format!("fd00:{net}::{host}"))
        ]
    };
    let address = move || {
        (ip(), any::<bool>()).prop_map(|(ip, len)| {
            if !len {
                ip
            } else if ip.contains(':') {
                ip + "/64"
            } else {
                ip + "/24"
            }
        })
    };
    let few = move || {
        prop::collection::vec(address(), 0..3).prop_map(|all| all.iter().map(|a| format!(" {a}")).collect::<String>())
    };
    let force = || prop_oneof![Just(""), Just(" --force")];
    let subnet = || prop_oneof![Just(""), Just(" 10.0.0.0/24"), Just(" 10.0.1.0/24 fd00:1::/64"), Just(" fd00:2::/64")];
    let port = || (1u16..4, 1u16..4).prop_map(|(a, b)| format!("808{a}:{b}"));
    let route = move || {
        prop_oneof![
            ip().prop_map(|ip| format!("default via {ip}")),
            ip().prop_map(|ip| format!("172.16.0.0/12 via {ip}")),
            Just("blackhole 192.0.2.0/24".to_owned()),
            Just("10.7.0.0/16 dev eth0".to_owned()),
            Just("default".to_owned())
        ]
    };
    let party = move || prop_oneof![2 => node(), 1 => Just("any".to_owned()), 1 => Just("g".to_owned()), 1 => Just("10.0.0.0/8".to_owned())];
    let rule = move || {
        (party(), party(), prop_oneof![Just(""), Just(" 80"), Just(" icmp")])
            .prop_map(|(a, b, s)| format!("{a} to {b}{s}"))
    };
    let of = move || prop_oneof![Just(String::new()), node().prop_map(|n| format!(" --in {n}"))];
    prop_oneof![
        6 => node().prop_map(|n| format!("ns add {n}")),
        1 => (node(), force()).prop_map(|(n, f)| format!("ns del {n}{f}")),
        3 => (switch(), subnet(), prop_oneof![Just(""), Just(" --gateway host"), Just(" --gateway host --nat"), Just(" --in a"), Just(" --mtu 9000")]).prop_map(|(n, s, o)| format!("switch add {n}{s}{o}")),
        1 => (switch(), force()).prop_map(|(n, f)| format!("switch del {n}{f}")),
        4 => (end(), few(), end(), few()).prop_map(|(a, x, b, y)| format!("connect {a}{x} {b}{y}")),
        1 => (end(), end(), force()).prop_map(|(a, b, f)| format!("disconnect {a} {b}{f}")),
        5 => (end(), switch(), few()).prop_map(|(a, s, x)| format!("attach {a} {s}{x}")),
        1 => (end(), switch(), force()).prop_map(|(a, s, f)| format!("detach {a} {s}{f}")),
        3 => (end(), address()).prop_map(|(a, x)| format!("addr add {a} {x}")),
        1 => (end(), address(), force()).prop_map(|(a, x, f)| format!("addr del {a} {x}{f}")),
        3 => (node(), route()).prop_map(|(a, r)| format!("route add {a} {r}")),
        1 => (node(), route()).prop_map(|(a, r)| format!("route del {a} {r}")),
        1 => (switch(), node()).prop_map(|(a, r)| format!("gateway {a} {r}")),
        1 => (node(), ip()).prop_map(|(a, r)| format!("gateway {a} {r}")),
        1 => (node()).prop_map(|a| format!("gateway {a} --none")),
        1 => node().prop_map(|a| format!("forwarding {a} on")),
        2 => (node(), prop_oneof![Just(""), Just(" --out eth0"), Just(" --out wan")]).prop_map(|(a, o)| format!("nat add {a}{o}")),
        1 => node().prop_map(|a| format!("nat del {a}")),
        2 => (node(), port()).prop_map(|(a, p)| format!("publish add {a} {p}")),
        1 => (node(), port()).prop_map(|(a, p)| format!("publish del {a} {p}")),
        2 => (node(), port(), node()).prop_map(|(a, p, b)| format!("forward add {a} {} to {b}", p.split(':').next().unwrap_or_default())),
        1 => (node(), port()).prop_map(|(a, p)| format!("forward del {a} {}", p.split(':').next().unwrap_or_default())),
        2 => (prop_oneof![Just("add"), Just("del")], prop_oneof![Just("allow"), Just("deny")], rule(), of()).prop_map(|(v, p, r, i)| format!("filter {v} {p} {r}{i}")),
        1 => (prop_oneof![Just("allow"), Just("deny")], of(), prop_oneof![Just(""), Just(" --outgoing deny")]).prop_map(|(p, i, o)| format!("filter default {p}{i}{o}")),
        1 => of().prop_map(|i| format!("filter off{i}")),
        2 => (prop_oneof![Just("add"), Just("del")], node()).prop_map(|(v, n)| format!("group {v} g {n}")),
        1 => any::<bool>().prop_map(|on| format!("link set lan --isolated {}", if on { "on" } else { "off" })),
        1 => (end(), any::<bool>()).prop_map(|(a, up)| format!("link {} {a}", if up { "up" } else { "down" })),
        1 => (end(), prop_oneof![Just("--mtu 1400"), Just("--mac 02:00:00:00:00:09"), Just("--mtu 1000")]).prop_map(|(a, o)| format!("link set {a} {o}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    /// Whatever is typed: the lab that comes of it can be written, read back and designed; a refusal has words; a step that
    /// adds something changes nothing the second time.
    #[test]
    fn random_steps_keep_the_lab_whole(steps in prop::collection::vec(typed(), 1..40)) {
        let mut lab = lab();
        for typed in &steps {
            let before = lab.to_string();
            match step(&mut lab, typed) {
                Err(said) => {
                    prop_assert!(said.starts_with("error: ") && said.contains("command line:1:") || said.contains("--> lab:"), "{}\n{}", typed, said);
                    prop_assert_eq!(&lab.to_string(), &before);
                }
                Ok(()) if lab.is_empty() => {}
                Ok(()) => {
                    let text = lab.to_string();
                    let again = parse(&text, &lab.name).map_err(|p| TestCaseError::fail(format!("{typed}\n{text}{p:?}")))?;
                    prop_assert_eq!(&without_places(&again), &without_places(&lab), "{}", typed);
                    let around = around();
                    prop_assert_eq!(design(&again, &around), design(&lab, &around));
                    if [" add ", "attach", "connect", "gateway", "forwarding", "link "].iter().any(|verb| format!(" {typed}").contains(&format!(" {}", verb.trim_start()))) && !typed.starts_with("dis") {
                        prop_assert_eq!(step(&mut lab, typed), Ok(()), "{} the second time", typed);
                        prop_assert_eq!(lab.to_string(), text, "{}", typed);
                    }
                }
            }
        }
    }

    /// A lab that somebody wrote, and any step: no panic, and what others refer to does not dangle.
    #[test]
    fn unchecked_labs_can_be_edited(words in prop::collection::vec(typed(), 1..12)) {
        let mut lab = lab();
        for typed in &words {
            let (_, edit) = read(typed);
            drop(edit.apply(&mut lab));
            drop(check(&lab, &around()));
            drop(design(&lab, &around()));
        }
    }
}
