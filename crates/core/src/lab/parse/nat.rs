//! `nat` of a switch: true, false, or the interface of the host that packets leave by.

use serde_json::{Map, Value, json};

use super::file::{RouterNat, SwitchNat};
use super::read::{FileType, Reader, wrong_kind};
use super::tree::{Kind, Tree};
use crate::lab::{At, Nat};
use crate::name::IfName;

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
                Some(Self(Some(At::new(Nat { out: Some(nat.out?) }, nat.span))))
            }
            Kind::Scalar(text) if text.text.len() > 3 && IfName::new(&text.text).is_ok() && !is_bool(&text.text) => {
                reader.report(wrong_kind(&Self::what(), tree).help(format!("write `{{ out: {} }}`", text.text)));
                None
            }
            Kind::Scalar(_) => {
                let on = At::<bool>::read(tree, reader)?;
                Some(Self(on.value.then(|| At::new(Nat { out: None }, on.span))))
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

fn is_bool(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "false")
}

impl RouterNat {
    /// As the lab has it.
    pub fn nat(self) -> Option<At<Nat>> {
        Some(At::new(Nat { out: Some(self.out?) }, self.span))
    }
}
