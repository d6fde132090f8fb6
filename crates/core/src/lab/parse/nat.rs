//! `nat` of a switch: true, false, or the interface of the host that packets leave by.

use serde_json::{Map, Value, json};

use super::file::{RouterNat, SwitchNat};
use super::read::{FileType, Reader, wrong_kind};
use super::tree::{Kind, Tree};
use crate::lab::{At, Nat};

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

impl RouterNat {
    /// As the lab has it.
    pub fn nat(self) -> Option<At<Nat>> {
        Some(At::new(Nat { out: Some(self.out?) }, self.span))
    }
}
