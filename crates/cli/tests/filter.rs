//! The packet filter with real packets, IPv4 and IPv6: by name, prefix and port, in, through and out, and between groups.

mod common;

use std::process::Command;
use std::time::Duration;

use common::RAUM;
use common::traffic::{IMPATIENCE, PATIENCE, datagram, is_closed, listen, raum, tcp, udp, up, within};
use common::world::world;
use raum_kernel::sandbox;

fn is_settled(lab: &str) {
    let (fine, said) = raum(&["status", lab]);
    assert!(fine, "{said}");
}

fn pings(from: &str, to: &str) -> bool {
    let wait = ["-c", "1", "-W", "1000"];
    let output = Command::new(RAUM).arg("ping").args(wait).args([from, to]).output().expect("raum");
    output.status.success()
}

const OFFICE: &str = "
lab: office
switches:
  lan: { subnet: [10.40.0.0/24, \"fd40::/64\"] }
namespaces:
  db:
    on: lan 10.40.0.10 fd40::10
    filter: { default: deny, allow: [\"web -> 5432/tcp\", \"10.40.0.12 -> 53/udp\", \"fd40::12 -> 53/udp\", \"admin\", \"web -> 6000-6010\"], deny: [\"admin -> 22\"] }
  web: { on: lan 10.40.0.11 fd40::11 }
  pc: { on: lan 10.40.0.12 fd40::12 }
  admin: { on: lan 10.40.0.13 fd40::13 }
";

#[test]
fn what_comes_in_is_what_is_allowed() {
    sandbox::run(|| {
        sandbox::loopback_up().expect("lo");
        up(OFFICE);
        is_settled("office");
        for db in ["10.40.0.10", "[fd40::10]"] {
            let any = if db.starts_with('[') { "[::]" } else { "0.0.0.0" };
            let at = |port: u16| format!("{db}:{port}");
            let sql = listen("office-db", &format!("{any}:5432"));
            assert!(tcp(Some("office-web"), &at(5432), &sql).is_ok(), "{db}: by name and port");
            assert!(is_closed(Some("office-pc"), &at(5432)), "{db}: who is not named");
            assert!(tcp(Some("office-admin"), &at(5432), &sql).is_ok(), "{db}: everything from one");
            assert!(tcp(Some("office-db"), &at(5432), &sql).is_ok(), "{db}: itself");
            let ssh = listen("office-db", &format!("{any}:22"));
            assert!(is_closed(Some("office-admin"), &at(22)), "{db}: deny goes first");
            drop(ssh);
            let (low, high) =
                (listen("office-db", &format!("{any}:6010")), listen("office-db", &format!("{any}:6011")));
            assert!(tcp(Some("office-web"), &at(6010), &low).is_ok(), "{db}: the last port of a range");
            assert!(is_closed(Some("office-web"), &at(6011)), "{db}: the port after a range");
            drop((low, high));
            let dns = udp(Some("office-db"), &format!("{any}:53"));
            let (pc, web) = (udp(Some("office-pc"), &format!("{any}:0")), udp(Some("office-web"), &format!("{any}:0")));
            let seen = datagram(&pc, &at(53), &dns, PATIENCE).expect("by address, protocol and port");
            // the answer of what was let in needs no rule of its own, and what db itself begins is answered
            assert!(datagram(&dns, &seen.to_string(), &pc, PATIENCE).is_some());
            assert_eq!(datagram(&web, &at(53), &dns, IMPATIENCE), None, "{db}: another address");
            let own = listen("office-pc", &format!("{any}:80"));
            assert!(tcp(Some("office-db"), &at(80).replace("10]", "12]").replace(".10:", ".12:"), &own).is_ok());
        }
        assert!(pings("office-admin", "db") && !pings("office-pc", "db"));
        // without the filter everything is open again
        let open = OFFICE.lines().filter(|line| !line.contains("filter:")).collect::<Vec<_>>().join("\n");
        up(&open);
        let sql = listen("office-db", "0.0.0.0:5432");
        assert!(tcp(Some("office-pc"), "10.40.0.10:5432", &sql).is_ok());
    });
}

#[test]
fn what_goes_out_is_what_is_allowed() {
    sandbox::run(|| {
        sandbox::loopback_up().expect("lo");
        up(&OFFICE.replace(
            "  pc: { on: lan 10.40.0.12 fd40::12 }",
            "  pc: { on: lan 10.40.0.12 fd40::12, filter: { default: allow, outgoing: deny, allow: [\"pc -> web 80\", \"pc -> web icmp\"] } }",
        ));
        is_settled("office");
        for (any, web, pc) in [("0.0.0.0", "10.40.0.11", "10.40.0.12"), ("[::]", "[fd40::11]", "[fd40::12]")] {
            let (open, closed) =
                (listen("office-web", &format!("{any}:80")), listen("office-web", &format!("{any}:81")));
            assert!(tcp(Some("office-pc"), &format!("{web}:80"), &open).is_ok());
            assert!(is_closed(Some("office-pc"), &format!("{web}:81")));
            drop(closed);
            // answers go out
            let own = listen("office-pc", &format!("{any}:82"));
            assert!(tcp(Some("office-web"), &format!("{pc}:82"), &own).is_ok());
        }
        assert!(pings("office-pc", "web") && !pings("office-pc", "admin"));
    });
}

const CAMPUS: &str = "
lab: campus
switches:
  students: { subnet: [10.41.0.0/24, \"fd41::/64\"], gateway: router }
  staff: { subnet: [10.42.0.0/24, \"fd42::/64\"], gateway: router }
namespaces:
  router:
    on: [students, staff]
    forward: [\"8022 -> files:22\"]
    filter: { default: deny, allow: [\"students -> files 80\", \"staff -> any\"], deny: [\"staff -> s2 udp\"] }
  s1: { on: students 10.41.0.11 fd41::11 }
  s2: { on: students 10.41.0.12 fd41::12 }
  files: { on: staff 10.42.0.11 fd42::11 }
  secret: { on: staff 10.42.0.12 fd42::12 }
";

#[test]
fn what_passes_a_router_is_what_is_allowed() {
    sandbox::run(|| {
        sandbox::loopback_up().expect("lo");
        up(CAMPUS);
        is_settled("campus");
        for (any, files, secret, s1, s2, router) in [
            ("0.0.0.0", "10.42.0.11", "10.42.0.12", "10.41.0.11", "10.41.0.12", "10.41.0.1"),
            ("[::]", "[fd42::11]", "[fd42::12]", "[fd41::11]", "[fd41::12]", "[fd41::1]"),
        ] {
            let web = listen("campus-files", &format!("{any}:80"));
            assert!(tcp(Some("campus-s1"), &format!("{files}:80"), &web).is_ok(), "a switch to a name, by port");
            let other = listen("campus-files", &format!("{any}:81"));
            assert!(is_closed(Some("campus-s1"), &format!("{files}:81")), "another port");
            drop(other);
            let hidden = listen("campus-secret", &format!("{any}:80"));
            assert!(is_closed(Some("campus-s1"), &format!("{secret}:80")), "another target");
            drop(hidden);
            let student = listen("campus-s1", &format!("{any}:80"));
            assert!(tcp(Some("campus-secret"), &format!("{s1}:80"), &student).is_ok(), "the other way");
            let ssh = listen("campus-files", &format!("{any}:22"));
            assert!(tcp(Some("campus-s1"), &format!("{router}:8022"), &ssh).is_ok(), "a forwarded port is meant");
            assert!(is_closed(Some("campus-s1"), &format!("{router}:9")), "the router itself");
            let (from, to) =
                (udp(Some("campus-files"), &format!("{any}:0")), udp(Some("campus-s2"), &format!("{any}:9")));
            assert_eq!(datagram(&from, &format!("{s2}:9"), &to, IMPATIENCE), None, "denied by protocol");
        }
    });
}

const GROUPS: &str = "
lab: tiers
switches:
  lan: { subnet: [10.43.0.0/24, \"fd43::/64\"], gateway: host, nat: true }
namespaces:
  \"web[1-3]\": { on: lan }
  \"db[1-2]\": { on: lan }
  lone: { on: lan, filter: { default: allow, deny: [\"web1\"] } }
groups:
  front: [\"web[1-3]\"]
  back: [\"db[1-2]\"]
filter:
  default: deny
  allow: [\"front -> back 5432/tcp\", \"any -> icmp\", \"host -> back 5432\"]
  deny: [\"web3 -> db2\"]
";

#[test]
fn groups_reach_each_other_as_the_lab_says() {
    sandbox::run(|| {
        world();
        up(GROUPS);
        is_settled("tiers");
        let addresses = |name: &str| -> Vec<String> {
            let (_, hosts) = raum(&["exec", &format!("tiers-{name}"), "--", "cat", "/etc/hosts"]);
            let own = hosts.lines().filter(|line| line.split_whitespace().any(|word| word == name));
            own.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
        };
        for name in ["db1", "db2", "lone"] {
            let found = addresses(name);
            assert_eq!(found.len(), 2, "{found:?}");
            for ip in found {
                let (any, at) = if ip.contains(':') { ("[::]", format!("[{ip}]")) } else { ("0.0.0.0", ip) };
                let (sql, web) = (
                    listen(&format!("tiers-{name}"), &format!("{any}:5432")),
                    listen(&format!("tiers-{name}"), &format!("{any}:80")),
                );
                let (sql_at, web_at) = (format!("{at}:5432"), format!("{at}:80"));
                for (from, reaches_sql, reaches_web) in [
                    ("web1", name != "lone", false),
                    ("web3", name != "db2", name == "lone"),
                    ("db1", name == "lone" || name == "db1", name == "lone" || name == "db1"),
                ] {
                    for (open, to, server) in [(reaches_sql, &sql_at, &sql), (reaches_web, &web_at, &web)] {
                        let from = format!("tiers-{from}");
                        if open {
                            assert!(tcp(Some(&from), to, server).is_ok(), "{from} to {name} {to}");
                        } else {
                            assert!(is_closed(Some(&from), to), "{from} reached {name} {to}");
                        }
                    }
                }
                if name != "lone" {
                    assert!(tcp(None, &sql_at, &sql).is_ok(), "the host by its name");
                    assert!(is_closed(None, &web_at));
                }
            }
        }
        assert!(pings("tiers-db1", "web1") && pings("tiers-web1", "db2"));
        // what they begin themselves is answered from outside
        let server = listen("world-net", "198.51.100.1:9000");
        assert!(tcp(Some("tiers-db1"), "198.51.100.1:9000", &server).is_ok());
    });
}

#[test]
fn a_flow_that_was_let_in_outlives_the_rule() {
    sandbox::run(|| {
        sandbox::loopback_up().expect("lo");
        up(OFFICE);
        let sql = listen("office-db", "0.0.0.0:5432");
        let mut client = within("office-web", || std::net::TcpStream::connect("10.40.0.10:5432")).expect("in");
        let (mut server, _) = sql.accept().expect("accepted");
        server.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        up(&OFFICE.replace("\"web -> 5432/tcp\", ", ""));
        std::io::Write::write_all(&mut client, b"x").expect("written");
        std::io::Read::read_exact(&mut server, &mut [0]).expect("read");
        assert!(is_closed(Some("office-web"), "10.40.0.10:5432"), "a new one is not");
    });
}
