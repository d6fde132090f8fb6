//! The entries of a port map as a file has them: ten thousand ports that lead to one place are one line, not ten thousand.
//! Records and journals are written before and after each change, and read by every command.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PortKey;
use crate::lab::Proto;

type Entries = BTreeMap<PortKey, (IpAddr, u16)>;

/// So many entries are read, whatever a file says: a line of it can mean 65,536.
const MOST: usize = 1 << 22;

/// Ports next to each other that lead to one address.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    proto: Proto,
    /// The first and the last.
    ports: (u16, u16),
    to: IpAddr,
    /// Where the first one leads.
    target: u16,
    /// Does the second one lead to the port after that, and so on? Else all lead to the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    along: bool,
}

/// What is read: raum before 2026-11-28 wrote one by one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Run(Run),
    One((PortKey, (IpAddr, u16))),
}

impl Run {
    fn of(key: PortKey, (to, target): (IpAddr, u16)) -> Self {
        Self { address: key.address, proto: key.proto, ports: (key.port, key.port), to, target, along: false }
    }

    /// Takes the next entry in, if it goes on like this.
    fn takes(&mut self, next: PortKey, (to, target): (IpAddr, u16)) -> bool {
        let (first, last) = self.ports;
        let along = u32::from(target) == u32::from(self.target) + u32::from(last - first) + 1;
        let stays = target == self.target;
        let is_next = (next.address, next.proto, to) == (self.address, self.proto, self.to)
            && last.checked_add(1) == Some(next.port);
        if !is_next || !(if first == last { along || stays } else { along == self.along && (along || stays) }) {
            return false;
        }
        self.along = along;
        self.ports.1 = next.port;
        true
    }

    fn entries(&self) -> impl Iterator<Item = (PortKey, (IpAddr, u16))> {
        let Run { address, proto, ports: (first, last), to, target, along } = *self;
        // a target beyond the last port: nothing that raum wrote
        let targets =
            (0..=last.saturating_sub(first)).map_while(move |n| target.checked_add(if along { n } else { 0 }));
        (first..=last).zip(targets).map(move |(port, target)| (PortKey { address, proto, port }, (to, target)))
    }
}

pub(super) fn serialize<S: Serializer>(entries: &Entries, serializer: S) -> Result<S::Ok, S::Error> {
    let mut runs: Vec<Run> = Vec::new();
    for (key, to) in entries {
        if !runs.last_mut().is_some_and(|run| run.takes(*key, *to)) {
            runs.push(Run::of(*key, *to));
        }
    }
    runs.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
    let mut entries = Entries::new();
    let mut count = 0;
    for line in Vec::<Line>::deserialize(deserializer)? {
        match line {
            Line::One((key, to)) => entries.extend([(key, to)]),
            Line::Run(run) => {
                count += usize::from(run.ports.1.saturating_sub(run.ports.0)) + 1;
                if count > MOST {
                    return Err(D::Error::custom(format!("more than {MOST} ports")));
                }
                entries.extend(run.entries());
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PortMap;
    use super::*;

    fn map(entries: Entries) -> PortMap {
        PortMap { v6: false, by_address: false, entries }
    }

    fn key(port: u16) -> PortKey {
        PortKey { address: None, proto: Proto::Tcp, port }
    }

    fn read(text: &str) -> Result<Entries, serde_json::Error> {
        let text = format!(r#"{{"v6":false,"by_address":false,"entries":{text}}}"#);
        serde_json::from_str::<PortMap>(&text).map(|map| map.entries)
    }

    #[test]
    fn ports_that_go_on_alike_are_one_line() {
        let to = IpAddr::from([10, 0, 0, 1]);
        let one_place = (1000..=60_000).map(|port| (key(port), (to, 80)));
        let along = (60_001..=65_535).map(|port| (key(port), (to, port - 50_000)));
        let text = serde_json::to_string(&map(one_place.chain(along).collect())).expect("JSON");
        assert_eq!(text.matches("ports").count(), 2, "{text}");
    }

    #[test]
    fn what_was_written_one_by_one_is_read_as_well() {
        let old = r#"[[{"address":null,"proto":"tcp","port":8080},["10.0.0.1",80]]]"#;
        assert_eq!(read(old).expect("entries"), Entries::from([(key(8080), (IpAddr::from([10, 0, 0, 1]), 80))]));
    }

    #[test]
    fn no_line_is_more_than_its_ports_and_no_file_more_than_memory() {
        let backwards = read(r#"[{"proto":"tcp","ports":[9,3],"to":"10.0.0.1","target":80}]"#);
        assert_eq!(backwards.expect("entries"), Entries::new());
        let beyond = read(r#"[{"proto":"tcp","ports":[1,65535],"to":"10.0.0.1","target":65534,"along":true}]"#);
        assert_eq!(beyond.expect("entries").len(), 2);
        let line = |n: u16| {
            format!(
                r#"{{"address":"10.0.{}.{}","proto":"tcp","ports":[0,65535],"to":"10.0.0.1","target":80}}"#,
                n / 256,
                n % 256
            )
        };
        let many: Vec<String> = (0..100).map(line).collect();
        assert!(read(&format!("[{}]", many.join(","))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            ports in prop::collection::btree_map(
                (prop::option::of(0..2u8), 0..3usize, prop_oneof![0..30u16, 65_500..=65_535u16]),
                (0..2u8, prop_oneof![Just(80u16), 0..30u16, 65_500..=65_535u16]),
                0..120,
            ),
            along in any::<bool>(),
        ) {
            let proto = [Proto::Tcp, Proto::Udp, Proto::Sctp];
            let entry = |((address, kind, port), (to, target)): ((Option<u8>, usize, u16), (u8, u16))| {
                let key = PortKey { address: address.map(|n| [10, 0, 1, n].into()), proto: proto[kind], port };
                (key, (IpAddr::from([10, 0, 0, to]), if along { port } else { target }))
            };
            let wanted = map(ports.into_iter().map(entry).collect());
            let text = serde_json::to_string(&wanted).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<PortMap>(&text).expect("a map"), wanted);
        }
    }
}
