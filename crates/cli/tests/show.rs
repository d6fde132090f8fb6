//! What `raum show` says of namespaces that raum did not make, held against what the kernel was told, and, where they are
//! installed, against `ip -j`, `bridge -j` and `ss`, field by field.

#[path = "../../kernel/tests/bare/mod.rs"]
mod bare;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use raum_kernel::namespace::{enter, present};
use raum_kernel::sandbox;
use serde_json::Value;

const RAUM: &str = env!("CARGO_BIN_EXE_raum");

fn raum(args: &[&str]) -> Value {
    let output = Command::new(RAUM).arg("--json").arg("show").args(args).output().expect("raum");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// One namespace.
fn room(name: &str) -> Value {
    raum(&[name])["namespaces"][0].clone()
}

/// What another program says as JSON inside a namespace; None where it is not installed.
fn theirs(ns: &OwnedFd, program: &str, args: &[&str]) -> Option<Vec<Value>> {
    let output = std::thread::scope(|scope| {
        let start = || {
            enter(ns.as_fd()).expect("inside");
            Command::new(program).args(args).output()
        };
        scope.spawn(start).join().expect("a thread")
    });
    let output = output.map_err(|_| println!("`{program}` is not installed: no judge")).ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let found: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{program} {args:?}: {error}\n{text}"));
    Some(found.as_array().cloned().unwrap_or_default())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list<'a>(room: &'a Value, key: &str) -> &'a Vec<Value> {
    room[key].as_array().unwrap_or_else(|| panic!("no {key} in {room}"))
}

/// A house as Docker and `ip netns` make it: a bridge on the host with two containers, whose namespaces are bound elsewhere;
/// and two named namespaces with a wire.
struct House {
    host: OwnedFd,
    red: OwnedFd,
    blue: OwnedFd,
    nginx: OwnedFd,
    server: Child,
}

impl House {
    fn build() -> Self {
        let host = present().expect("here");
        sandbox::loopback_up().expect("lo");
        let red = bare::bound("/run/netns/red");
        let blue = bare::bound("/run/netns/blue");
        let nginx = bare::bound("/run/docker/netns/0a1b2c3d4e5f");
        bare::bridge(&host, "docker0", 20);
        bare::address(&host, 20, [172, 17, 0, 1], 16);
        bare::wire((&host, "veth1a2b3c4", 21), (&nginx, "eth0", 22));
        bare::enslave(&host, 21, 20);
        bare::address(&nginx, 22, [172, 17, 0, 2], 16);
        bare::wire((&red, "eth0", 5), (&blue, "eth0", 5));
        bare::address(&red, 5, [10, 0, 0, 1], 24);
        bare::address(&blue, 5, [10, 0, 0, 2], 24);
        bare::neighbour(&red, 5, [10, 0, 0, 77], [2, 0, 0, 0, 0, 77]);
        bare::default_route(&nginx, 22, [172, 17, 0, 1]);
        let server = std::thread::scope(|scope| {
            let start = || {
                enter(red.as_fd()).expect("inside");
                let listener = std::net::TcpListener::bind(("10.0.0.1", 8080)).expect("a listener");
                let udp = std::net::UdpSocket::bind(("::", 5353)).expect("a socket");
                // the child has both as its own
                let fds = [listener.as_fd(), udp.as_fd()].map(|fd| fd.try_clone_to_owned().expect("a descriptor"));
                let [listener, udp] = fds.map(Stdio::from);
                Command::new("sleep").arg("60").stdin(listener).stdout(udp).spawn().expect("sleep")
            };
            scope.spawn(start).join().expect("a thread")
        });
        Self { host, red, blue, nginx, server }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.server.kill().expect("sleep ends");
        self.server.wait().expect("sleep ends");
    }
}

#[test]
fn owners_wires_ports_routes_neighbours_and_sockets_are_as_they_were_made() {
    sandbox::run(|| {
        let house = House::build();
        let red = room("red");
        assert_eq!((&red["owner"], &red["paths"][0]), (&"named".into(), &"/run/netns/red".into()));
        let eth0 = &red["interfaces"][1];
        let wire = serde_json::json!({ "namespace": "blue", "interface": "eth0", "index": 5 });
        assert_eq!((&eth0["name"], &eth0["kind"], &eth0["up"]), (&"eth0".into(), &"veth".into(), &true.into()));
        assert_eq!(eth0["peer"], wire);
        assert_eq!(eth0["addresses"][0], "10.0.0.1/24");
        assert_eq!(red["neighbours"][0]["address"], "10.0.0.77");
        assert_eq!(red["neighbours"][0]["mac"], "02:00:00:00:00:4d");
        assert_eq!(red["neighbours"][0]["state"], "permanent");
        let pids: Vec<&Value> = list(&red, "processes").iter().map(|process| &process["pid"]).collect();
        assert_eq!(pids, [&Value::from(house.server.id())]);
        let sockets: Vec<(String, String, u64)> = list(&red, "listeners")
            .iter()
            .map(|one| (text(&one["proto"]), text(&one["address"]), one["port"].as_u64().expect("a port")))
            .collect();
        assert_eq!(sockets, [("tcp".into(), "10.0.0.1".into(), 8080), ("udp".into(), "::".into(), 5353)]);
        for listener in list(&red, "listeners") {
            assert_eq!(listener["holders"][0]["pid"], house.server.id(), "{listener}");
        }
        let output = Command::new(RAUM).args(["ns", "list"]).output().expect("raum");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(rows.contains(&vec!["red", "-", "10.0.0.1/24"]), "{said}");
        let nginx = room("docker:0a1b2c3d4e5f");
        assert_eq!(nginx["owner"]["docker"], "0a1b2c3d4e5f");
        let cable = serde_json::json!({ "namespace": "host", "interface": "veth1a2b3c4", "index": 21 });
        assert_eq!(nginx["interfaces"][1]["peer"], cable);
        let default = list(&nginx, "routes").iter().find(|route| route["to"] == "0.0.0.0/0").expect("a default route");
        assert_eq!((&default["via"], &default["dev"]), (&"172.17.0.1".into(), &"eth0".into()));
        let host = room("host");
        let port = list(&host, "interfaces").iter().find(|link| link["name"] == "veth1a2b3c4").expect("the port");
        assert_eq!((&port["master"], &port["peer"]["namespace"]), (&"docker0".into(), &"docker:0a1b2c3d4e5f".into()));
        assert_eq!(port["port"]["state"], "forwarding");
        let permanent = |entry: &&Value| entry["port"] == "veth1a2b3c4" && entry["state"] == "permanent";
        assert_eq!(list(&host, "forwarding").iter().find(permanent).expect("its own")["mac"], port["mac"]);
    });
}

#[test]
fn other_programs_say_the_same() {
    sandbox::run(|| {
        let house = House::build();
        let rooms =
            [("host", &house.host), ("red", &house.red), ("blue", &house.blue), ("docker:0a1b2c3d4e5f", &house.nginx)];
        // the kernel gives link-local addresses, with their routes, a little later
        for (_, ns) in rooms {
            bare::settled(ns);
        }
        for (name, ns) in rooms {
            let compare = || {
                let ours = room(name);
                links(name, &ours, ns);
                routes(name, &ours, ns);
                rules(name, &ours, ns);
                neighbours(name, &ours, ns);
                forwarding(name, &ours, ns);
                sockets(name, &ours, ns);
            };
            // a packet between the two looks can teach a bridge or a neighbour table something
            if (0..5).all(|_| std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare)).is_err()) {
                compare();
            }
        }
    });
}

fn links(name: &str, ours: &Value, ns: &OwnedFd) {
    let Some(theirs) = theirs(ns, "ip", &["-j", "-d", "-s", "addr"]) else { return };
    assert_eq!(theirs.len(), list(ours, "interfaces").len(), "{name}");
    for (link, own) in theirs.iter().zip(list(ours, "interfaces")) {
        let flags: Vec<String> = link["flags"].as_array().expect("flags").iter().map(text).collect();
        let flag = |flag: &str| Value::from(flags.iter().any(|known| known == flag));
        assert_eq!(own["index"], link["ifindex"], "{name}");
        assert_eq!(own["name"], link["ifname"], "{name}");
        assert_eq!(own["mtu"], link["mtu"], "{name}");
        assert_eq!(own["up"], flag("UP"), "{name} {link}");
        assert_eq!(own["carrier"], flag("LOWER_UP"), "{name} {link}");
        assert_eq!(own["master"], link["master"], "{name}");
        if own["kind"] == "loopback" {
            assert_eq!(link["link_type"], "loopback");
        } else {
            assert_eq!(own["mac"], link["address"], "{name}");
            assert_eq!(own["kind"], link["linkinfo"]["info_kind"], "{name}");
        }
        if let Some(state) = link["linkinfo"]["info_slave_data"]["state"].as_str() {
            assert_eq!(own["port"]["state"], state, "{name}");
        }
        if link["link_index"].is_u64() {
            assert_eq!(own["peer"]["index"], link["link_index"], "{name}");
        }
        let all: Vec<String> = link["addr_info"]
            .as_array()
            .expect("addresses")
            .iter()
            .map(|address| format!("{}/{}", text(&address["local"]), address["prefixlen"]))
            .collect();
        assert_eq!(list(own, "addresses").iter().map(text).collect::<Vec<_>>(), all, "{name}");
    }
}

/// A route in one line, made of the same fields on both sides.
type Line = [String; 7];

fn routes(name: &str, ours: &Value, ns: &OwnedFd) {
    let mut all: BTreeSet<Line> = BTreeSet::new();
    for family in ["-4", "-6"] {
        let Some(theirs) = theirs(ns, "ip", &["-j", "-d", family, "route", "show", "table", "all"]) else { return };
        all.extend(theirs.iter().map(|route| {
            let default = if family == "-4" { "0.0.0.0/0" } else { "::/0" };
            let host = if family == "-4" { "/32" } else { "/128" };
            let to = match text(&route["dst"]) {
                to if to == "default" => default.to_owned(),
                to if to.contains('/') => to,
                to => to + host,
            };
            let or = |key: &str, default: &str| match &route[key] {
                Value::Null => default.to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            [
                to,
                or("type", "unicast"),
                or("gateway", ""),
                or("dev", ""),
                or("protocol", ""),
                or("table", "main"),
                or("metric", "0"),
            ]
        }));
    }
    let own: BTreeSet<Line> = list(ours, "routes")
        .iter()
        .map(|route| {
            let [to, kind, via, dev, protocol, table] =
                ["to", "kind", "via", "dev", "protocol", "table"].map(|key| text(&route[key]));
            [to, kind, via, dev, protocol, table, route["metric"].to_string()]
        })
        .collect();
    assert_eq!(own, all, "{name}");
}

fn rules(name: &str, ours: &Value, ns: &OwnedFd) {
    let mut all = Vec::new();
    for family in ["-4", "-6"] {
        let Some(theirs) = theirs(ns, "ip", &["-j", family, "rule"]) else { return };
        all.extend(theirs.iter().map(|rule| (rule["priority"].clone(), text(&rule["table"]))));
    }
    let own = list(ours, "rules").iter().map(|rule| (rule["priority"].clone(), text(&rule["table"])));
    assert_eq!(own.collect::<Vec<_>>(), all, "{name}");
}

fn neighbours(name: &str, ours: &Value, ns: &OwnedFd) {
    let Some(theirs) = theirs(ns, "ip", &["-j", "neigh", "show"]) else { return };
    let all: BTreeSet<[String; 4]> = theirs
        .iter()
        .map(|entry| {
            let state = text(&entry["state"][0]).to_lowercase();
            [text(&entry["dst"]), text(&entry["dev"]), text(&entry["lladdr"]), state]
        })
        .collect();
    let line = |entry: &Value| ["address", "dev", "mac", "state"].map(|key| text(&entry[key]));
    assert_eq!(list(ours, "neighbours").iter().map(line).collect::<BTreeSet<_>>(), all, "{name}");
}

fn forwarding(name: &str, ours: &Value, ns: &OwnedFd) {
    let Some(theirs) = theirs(ns, "bridge", &["-j", "fdb", "show"]) else { return };
    // `bridge` also lists the multicast filters of single interfaces
    let of_bridges = theirs.iter().filter(|entry| entry["master"].is_string());
    let all: BTreeSet<[String; 4]> = of_bridges
        .map(|entry| {
            let state = Some(text(&entry["state"])).filter(|state| !state.is_empty());
            let state = state.unwrap_or_else(|| "learned".to_owned());
            let vlan = if entry["vlan"].is_u64() { entry["vlan"].to_string() } else { String::new() };
            [text(&entry["mac"]), text(&entry["ifname"]), state, vlan]
        })
        .collect();
    let own = list(ours, "forwarding").iter().map(|entry| {
        let vlan = if entry["vlan"].is_u64() { entry["vlan"].to_string() } else { String::new() };
        [text(&entry["mac"]), text(&entry["port"]), text(&entry["state"]), vlan]
    });
    assert_eq!(own.collect::<BTreeSet<_>>(), all, "{name}");
}

/// `ss` has no JSON: its columns are protocol, state, queues, local address.
fn sockets(name: &str, ours: &Value, ns: &OwnedFd) {
    let output = std::thread::scope(|scope| {
        let start = || {
            enter(ns.as_fd()).expect("inside");
            Command::new("ss").args(["-H", "-l", "-n", "-t", "-u"]).output()
        };
        scope.spawn(start).join().expect("a thread")
    });
    let Ok(output) = output else { return println!("`ss` is not installed: no judge") };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let all: BTreeSet<(String, String)> = said
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let proto = words.next()?.to_owned();
            Some((proto, words.nth(3)?.to_owned()))
        })
        .collect();
    let own = list(ours, "listeners").iter().map(|one| {
        let (address, port) = (text(&one["address"]), &one["port"]);
        let local = match (one["both"] == true, address.contains(':')) {
            (true, _) => format!("*:{port}"),
            (false, true) => format!("[{address}]:{port}"),
            (false, false) => format!("{address}:{port}"),
        };
        (text(&one["proto"]), local)
    });
    assert_eq!(own.collect::<BTreeSet<_>>(), all, "{name}");
}

/// As iptables-nft and people write them.
const RULES: &str = "table ip nat {
    chain PREROUTING { type nat hook prerouting priority -100; tcp dport 8080 counter dnat to 172.17.0.2:80; }
    chain POSTROUTING { type nat hook postrouting priority 100; ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade; }
}";

/// Lets nft write rules here; false where it is not installed.
fn written(rules: &str) -> bool {
    let Ok(mut child) = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn() else {
        println!("`nft` is not installed: nobody writes rules");
        return false;
    };
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, rules.as_bytes()).expect("rules");
    drop(input);
    assert!(child.wait().expect("nft").success());
    true
}

/// The conditions of a rule as nft tells them, in a form that both sides can be brought to: what is compared, how, with what.
fn conditions(rule: &Value) -> Vec<String> {
    let of = |expression: &Value| {
        let found = &expression["match"];
        let left = &found["left"];
        let what = match (&left["payload"], &left["meta"]) {
            (Value::Null, meta) => text(&meta["key"]),
            (payload, _) => format!("{} {}", text(&payload["protocol"]), text(&payload["field"])),
        };
        let right = &found["right"];
        let value = match &right["prefix"] {
            Value::Null => right.as_str().map_or_else(|| right.to_string(), str::to_owned),
            prefix => format!("{}/{}", text(&prefix["addr"]), prefix["len"]),
        };
        let not = if found["op"] == "!=" { "not " } else { "" };
        // raum's plain words for the same
        let what = match what.as_str() {
            "ip saddr" | "ip6 saddr" => "from",
            "ip daddr" | "ip6 daddr" => "to",
            "oifname" => "out of",
            "iifname" => "in by",
            "tcp dport" => "to tcp port",
            "udp dport" => "to udp port",
            other => panic!("{other}"),
        };
        format!("{not}{what} {value}")
    };
    let all = rule["expr"].as_array().expect("expressions").iter();
    all.filter(|expression| !expression["match"].is_null()).map(of).collect()
}

/// What a rule does as nft tells it, as `raum show --json` has it.
fn action(rule: &Value) -> Value {
    let all = rule["expr"].as_array().expect("expressions");
    let found = |key: &str| all.iter().find(|one| one.as_object().is_some_and(|one| one.contains_key(key)));
    let ports = |value: &Value| match value["port"].as_u64() {
        Some(port) => serde_json::json!({ "first": port, "last": port }),
        None => Value::Null,
    };
    if let Some(to) = found("dnat") {
        return serde_json::json!({ "destination": [to["dnat"]["addr"], ports(&to["dnat"])] });
    }
    if let Some(to) = found("snat") {
        return serde_json::json!({ "source": [to["snat"]["addr"], ports(&to["snat"])] });
    }
    if let Some(to) = found("redirect") {
        return serde_json::json!({ "redirect": ports(&to["redirect"]) });
    }
    assert!(found("masquerade").is_some(), "{rule}");
    serde_json::json!({ "masquerade": null })
}

/// As people write them: every kind of translation, in both families.
const TRANSLATIONS: &str = "table ip nat {
    chain in { type nat hook prerouting priority -100; tcp dport 8080 dnat to 172.17.0.2:80; ip daddr 192.0.2.1 dnat to 10.0.0.9; udp dport 53 redirect to :5353; }
    chain out { type nat hook postrouting priority 100; ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade; ip saddr 10.0.0.0/24 snat to 203.0.113.7; }
}
table ip6 six {
    chain in { type nat hook prerouting priority -100; iifname \"wan\" tcp dport 443 dnat to [fd00::2]:8443; }
    chain out { type nat hook postrouting priority 100; ip6 saddr fd00::/64 masquerade; }
}";

#[test]
fn nft_says_the_same_of_translations_field_by_field() {
    sandbox::run(|| {
        if !written(TRANSLATIONS) {
            return;
        }
        let output = Command::new("nft").args(["-j", "list", "ruleset"]).output().expect("nft");
        let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rules = list(&all, "nftables").iter().map(|one| &one["rule"]).filter(|rule| !rule.is_null());
        let theirs: Vec<(String, Value, Vec<String>)> = rules
            .map(|rule| {
                let table = format!("{} {}", text(&rule["family"]), text(&rule["table"]));
                (table, action(rule), conditions(rule))
            })
            .collect();
        let room = raum(&["host", "nat"])["namespaces"][0].clone();
        let ours: Vec<(String, Value, Vec<String>)> = list(&room, "nat")
            .iter()
            .map(|rule| {
                let conditions = list(rule, "matches").iter().map(text).collect();
                (text(&rule["table"]), rule["action"].clone(), conditions)
            })
            .collect();
        assert_eq!(theirs.len(), 7, "{all}");
        assert_eq!(ours, theirs);
    });
}

/// A firewall as people write it.
const FIREWALL: &str = "table ip filter {
    chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; jump admin; }
    chain admin { ip saddr 10.0.0.0/8 accept; }
}";

#[test]
fn what_filters_is_told() {
    sandbox::run(|| {
        if !written(FIREWALL) {
            return;
        }
        let said = |args: &[&str]| {
            let output = Command::new(RAUM).arg("show").args(args).output().expect("raum");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let filter = said(&["host", "filter"]);
        let lines: Vec<&str> = filter.lines().collect();
        let wanted = [
            "input: what no rule accepts is dropped  (table ip filter)",
            "  tcp dport 22 accept",
            "  jump admin",
            "admin, only by a jump  (table ip filter)",
            "  ip saddr 10.0.0.0/8 accept",
        ];
        assert!(wanted.iter().all(|line| lines.contains(line)), "{filter}");
        let whole = said(&["host"]);
        assert!(lines.iter().all(|line| whole.contains(line)) && whole.contains("  filters\n"), "{whole}");
        assert_eq!(list(&raum(&["host", "filter"])["namespaces"][0], "chains").len(), 2);
    });
}

#[test]
fn nat_rules_of_others_are_told_in_plain_words() {
    sandbox::run(|| {
        if !written(RULES) {
            return;
        }
        let output = Command::new(RAUM).args(["show", "host", "nat"]).output().expect("raum");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("not seen")).collect();
        let forward = lines.iter().find(|line| line.contains("172.17.0.2:80")).unwrap_or_else(|| panic!("{said}"));
        assert!(forward.contains("tcp port 8080") && forward.contains("(table ip nat)"), "{said}");
        let masquerade = lines.iter().find(|line| line.contains("masquerade")).unwrap_or_else(|| panic!("{said}"));
        assert!(masquerade.contains("172.17.0.0/16") && masquerade.contains("docker0"), "{said}");
        assert_eq!(lines.len(), 2, "{said}");
        let nat = room("host");
        assert_eq!(list(&nat, "nat").len(), 2);
    });
}
