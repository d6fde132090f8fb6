//! Tables, chains, rules and sets out of messages. Numbers of attributes are from
//! include/uapi/linux/netfilter/nf_tables.h.

use raum_core::ruleset::{self, Base, Chain, Data, Element, Family, Hook, RawElement, Rule, Set, Table, Verdict};

use super::expr;
use crate::message::{Attribute, Attributes};

/// `enum nft_set_flags`.
const ANONYMOUS: u32 = 1;
const INTERVAL: u32 = 4;
const MAP: u32 = 8;
const EVAL: u32 = 0x20;
/// `enum nft_set_elem_flags`.
const INTERVAL_END: u32 = 1;
const CATCHALL: u32 = 2;

pub(super) fn table(family: u8, found: Attributes<'_>) -> Option<Table> {
    Some(Table {
        family: Family::of(family),
        name: found.find(1)?.text()?.to_owned(),
        handle: found.find(4).and_then(Attribute::be64).unwrap_or(0),
        dormant: found.find(2).and_then(Attribute::be32).unwrap_or(0) & 1 != 0,
        comment: userdata(found, 6, 0),
        sets: Vec::new(),
        chains: Vec::new(),
    })
}

pub(super) fn chain(family: Family, found: Attributes<'_>) -> Option<Chain> {
    let base = found.find(4).map(Attribute::nested).and_then(|place| {
        let devices = place.find(4).map(Attribute::nested).unwrap_or_default();
        Some(Base {
            kind: found.find(7).and_then(Attribute::text).unwrap_or("filter").to_owned(),
            hook: Hook::of(family, place.find(1)?.be32()?),
            devices: place.find(3).into_iter().chain(devices).filter_map(Attribute::text).map(str::to_owned).collect(),
            priority: place.find(2)?.array().map(i32::from_be_bytes)?,
            // NF_DROP
            drops: found.find(5).and_then(Attribute::be32) == Some(0),
        })
    });
    let base = base.map(|mut base| {
        // with one device the kernel tells it twice
        base.devices.dedup();
        base
    });
    Some(Chain {
        name: found.find(3)?.text()?.to_owned(),
        handle: found.find(2).and_then(Attribute::be64).unwrap_or(0),
        base,
        comment: userdata(found, 12, 0),
        rules: Vec::new(),
    })
}

pub(super) fn rule(found: Attributes<'_>) -> Option<Rule> {
    let exprs = expr::list(found.find(4)?);
    Some(Rule {
        handle: found.find(3).and_then(Attribute::be64)?,
        comment: userdata(found, 7, 0).or_else(|| ruleset::comment(&exprs)),
        exprs,
    })
}

pub(super) fn set(found: Attributes<'_>) -> Option<Set> {
    let number = |kind| found.find(kind).and_then(Attribute::be32).unwrap_or(0);
    let length = |kind| usize::try_from(number(kind)).unwrap_or(0).min(64);
    let flags = number(3);
    let fields = found.find(9).and_then(|desc| desc.nested().find(2)).map(Attribute::nested).unwrap_or_default();
    let fields = fields.filter_map(|field| field.nested().find(1)?.be32()).filter_map(|length| length.try_into().ok());
    Some(Set {
        name: found.find(2)?.text()?.to_owned(),
        anonymous: flags & ANONYMOUS != 0,
        map: flags & MAP != 0,
        interval: flags & INTERVAL != 0,
        key_type: number(4),
        key_length: length(5),
        data_type: number(6),
        data_length: length(7),
        fields: fields.filter(|length| (1..=64).contains(length)).take(16).collect(),
        dynamic: flags & EVAL != 0,
        // NFTNL_UDATA_SET_COMMENT
        comment: userdata(found, 13, 7),
        elements: Vec::new(),
    })
}

pub(super) fn element(found: Attribute<'_>) -> RawElement {
    let found = found.nested();
    let flags = found.find(3).and_then(Attribute::be32).unwrap_or(0);
    let value = |kind| found.find(kind).and_then(|data| data.nested().find(1)).map(|value| value.bytes.to_vec());
    let data = found.find(2).map(Attribute::nested).and_then(|data| match data.find(1) {
        Some(value) => Some(Data::Value(value.bytes.to_vec())),
        None => verdict(data.find(2)?.nested()).map(Data::Verdict),
    });
    let object = || found.find(9).and_then(Attribute::text).map(|name| Data::Object(name.to_owned()));
    let several = found.find(11).map(expr::list);
    let exprs = several.unwrap_or_else(|| found.find(7).map(|one| vec![expr::one(one)]).unwrap_or_default());
    RawElement {
        element: Element {
            key: value(1).unwrap_or_default(),
            to: value(10),
            rest: flags & CATCHALL != 0,
            data: data.or_else(object),
            comment: userdata(found, 6, 0),
            exprs,
        },
        end: flags & INTERVAL_END != 0,
    }
}

pub(super) fn verdict(found: Attributes<'_>) -> Option<Verdict> {
    let code = found.find(1)?.array().map(i32::from_be_bytes)?;
    Some(Verdict::of(code, found.find(2).and_then(Attribute::text)))
}

/// The text of a kind in user data: entries of type, length and value (libnftnl, `udata.h`).
fn userdata(found: Attributes<'_>, attribute: u16, wanted: u8) -> Option<String> {
    let mut data = found.find(attribute)?.bytes;
    while let [kind, length, rest @ ..] = data {
        let (value, after) = rest.split_at_checked(usize::from(*length))?;
        if *kind == wanted {
            let text = std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()?;
            return Some(text.to_owned());
        }
        data = after;
    }
    None
}
