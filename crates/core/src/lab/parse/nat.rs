//! `nat` of a switch: true, false, or the interface of the host that packets leave by.

use serde_json::{Map, Value, json};

use std::net::IpAddr;

use super::file::{RouterNat, Seconds, SwitchNat};
use super::form::Source;
use super::general::Number;
use super::read::{FileType, Reader, wrong_kind};
use super::tree::{Kind, Tree};
use crate::lab::{At, Nat, NatKeys, NatTimeouts};
use crate::name::IfName;
use crate::problem::Problem;

/// What stands after `nat:` of a switch; `None` is `false`.
#[derive(Debug, Clone)]
pub(super) struct SwitchNatValue(pub Option<At<Nat>>);

impl FileType for SwitchNatValue {
    fn what() -> String {
        "true, false or { out: INTERFACE }".to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        match &tree.kind {
            Kind::Map(_) => {
                let nat = SwitchNat::read(tree, reader)?;
                let source = sources(nat.source, reader);
                Some(Self(Some(At::new(Nat { out: Some(nat.out?), source, ..Nat::default() }, nat.span))))
            }
            Kind::Scalar(text) if text.text.len() > 3 && IfName::new(&text.text).is_ok() && !is_bool(&text.text) => {
                reader.report(wrong_kind(&Self::what(), tree).help(format!("write `{{ out: {} }}`", text.text)));
                None
            }
            Kind::Scalar(_) => {
                let on = At::<bool>::read(tree, reader)?;
                Some(Self(on.value.then(|| At::new(Nat::default(), on.span))))
            }
            _ => {
                reader.report(wrong_kind(&Self::what(), tree));
                None
            }
        }
    }

    fn schema(defs: &mut Map<String, Value>) -> Value {
        let long = SwitchNat::schema(defs);
        json!({ "anyOf": [{ "type": "boolean" }, long] })
    }
}

/// One of each family.
pub(super) fn sources(all: Option<Vec<At<Source>>>, reader: &mut Reader) -> Vec<At<IpAddr>> {
    let all: Vec<_> = all.unwrap_or_default().into_iter().map(|at| At::new(at.value.0, at.span)).collect();
    for (index, second) in all.iter().enumerate() {
        if let Some(first) = all[..index].iter().find(|first| first.is_ipv4() == second.is_ipv4()) {
            let family = if second.is_ipv4() { "IPv4" } else { "IPv6" };
            reader.report(
                Problem::new(format!("a second source address of {family}"), second.span.clone())
                    .label("one of each family is possible")
                    .related(first.span.clone(), "the first one")
                    .help("leave one of them out"),
            );
        }
    }
    all
}

fn is_bool(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "false")
}

impl RouterNat {
    /// As the lab has it.
    pub fn nat(self, reader: &mut Reader) -> Option<At<Nat>> {
        let source = sources(self.source, reader);
        let written = self.timeouts.unwrap_or_default();
        let of = |key: Option<At<Number<Seconds>>>| key.map(|at| At::new(at.value.value, at.span));
        let timeouts = NatTimeouts {
            udp: of(written.udp),
            udp_stream: of(written.udp_stream),
            tcp: of(written.tcp),
            icmp: of(written.icmp),
        };
        let keys = NatKeys {
            mapping: self.mapping,
            filtering: self.filtering,
            ports: self.ports,
            hairpin: self.hairpin,
            timeouts,
        };
        Some(At::new(Nat { out: Some(self.out?), source, like: self.like, keys }, self.span))
    }
}
