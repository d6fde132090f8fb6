//! What `--json` prints is JSON that every reader reads alike: no object has a name twice (RFC 8259, section 4), of which some
//! readers take the first, some the last, and some none.

mod common;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::process::{Command, Stdio};

use common::RAUM;
use raum_kernel::sandbox;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Any JSON in which no object has a name twice.
struct Plain;

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(|()| Plain)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let Plain = map.next_value().map_err(|error| A::Error::custom(format!("{name}: {error}")))?;
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("`{name}` stands there twice")));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(Plain) = list.next_element()? {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Fails unless the text is one JSON value, or one on each line.
fn assert_plain(what: &str, text: &str) {
    let parts: Vec<&str> = match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => vec![text],
        Err(_) => text.lines().collect(),
    };
    assert!(!parts.is_empty(), "{what} prints nothing");
    for part in parts {
        if let Err(error) = serde_json::from_str::<Plain>(part) {
            panic!("{what}: {error}\n{part}");
        }
    }
}

const LAB: &str = "
lab: home
switches:
  lan: { subnet: [192.168.77.0/24, \"fd77:1::/64\"], gateway: router }
namespaces:
  router: { on: lan, nat: { out: wan }, forward: [\"wan 2222 -> laptop:22\"] }
  laptop: { on: lan }
  server:
links:
  - ends: [\"router:wan 203.0.113.2/30 fd77:2::2/64\", \"server 203.0.113.1/30 fd77:2::1/64\"]
expect:
  - laptop reaches server:80/tcp from router
";

#[test]
fn no_object_has_a_name_twice() {
    sandbox::run(|| {
        fs::write("/run/home.yaml", LAB).expect("a lab file");
        let all: &[&[&str]] = &[
            &["check", "/run/home.yaml"],
            &["plan", "/run/home.yaml"],
            &["up", "/run/home.yaml"],
            &["ls"],
            &["status"],
            &["show"],
            &["show", "home"],
            &["show", "host", "sockets"],
            &["graph"],
            &["ping", "laptop", "server", "-c", "1"],
            &["ping", "--all", "home"],
            &["ping", "--all", "home", "-6"],
            &["trace", "laptop", "server"],
            &["trace", "laptop", "server:80"],
            &["test", "home"],
            &["top", "--count", "1", "--interval", "0.2"],
            &["doctor"],
            &["export", "home"],
            &["import", "home-laptop", "home-router"],
            &["ns", "list"],
            &["ns", "add", "red", "--explain"],
            &["attach", "red", "nowhere"],
            &["down", "home"],
        ];
        for arguments in all {
            let output = Command::new(RAUM).args(*arguments).arg("--json").output().expect("raum");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_plain(&format!("{arguments:?}"), &said);
        }
        watched();
    });
}

/// `raum watch`, until it has told of a namespace, of a link, of a route.
fn watched() {
    let log = File::create("/run/log").expect("a file");
    let mut watch =
        Command::new(RAUM).args(["watch", "--json"]).stdout(log).stderr(Stdio::null()).spawn().expect("raum");
    let said = || fs::read_to_string("/run/log").expect("a file");
    while !["\"itself\"", "\"link\"", "\"route\"", "\"address\""].iter().all(|kind| said().contains(kind)) {
        for arguments in [["up", "/run/home.yaml"], ["down", "home"]] {
            let done = Command::new(RAUM).args(arguments).output().expect("raum");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }
    kill_process(Pid::from_child(&watch), Signal::INT).expect("it is there");
    assert!(watch.wait().expect("it ends").success());
    assert_plain("watch", &said());
}
