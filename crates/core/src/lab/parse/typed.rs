//! Values of the lab file that are typed on a command line: the same forms, the same problems.

use std::net::IpAddr;

use super::expand;
use super::file::Mtu;
use super::form::{Form, LinkEnd, Names, Source, Text};
use super::general::Limits;
use super::nat;
use super::read::Reader;
use super::scalar::decimal;
use crate::lab::{Address, At, End};
use crate::name::NodeName;
use crate::problem::Problem;

/// A value or its problems.
pub(in crate::lab) type Typed<T> = Result<T, Vec<Problem>>;

fn with<T>(read: impl FnOnce(&mut Reader) -> Option<T>) -> Typed<T> {
    let mut reader = Reader { problems: Vec::new() };
    match read(&mut reader) {
        Some(value) if reader.problems.is_empty() => Ok(value),
        _ => Err(reader.problems),
    }
}

/// Any text form; `at` is the place of its first byte.
pub(in crate::lab) fn form<F: Form>(text: &str, at: usize) -> Typed<At<F>> {
    let text = Text::typed(text, at);
    with(|reader| F::parse(text, reader).map(|value| At::new(value, text.span())))
}

/// A name, or the names of a range.
pub(in crate::lab) fn names(text: &str, at: usize) -> Typed<Vec<At<NodeName>>> {
    let names = form::<Names>(text, at)?;
    let one = |number| {
        let name = names.0.name(number).map_err(|error| vec![Problem::new(error.to_string(), names.span.clone())])?;
        Ok(At::new(name, names.span.clone()))
    };
    (0..names.0.count()).map(one).collect()
}

/// An end, `NODE[:INTERFACE] [ADDRESS/LEN …]`, or those of a range of nodes.
pub(in crate::lab) fn ends(text: &str, at: usize) -> Typed<Vec<End>> {
    let raw = form::<LinkEnd>(text, at)?.value.0;
    Ok((0..raw.to.0.count()).filter_map(|number| expand::one_end(&raw, number)).collect())
}

/// An address with or without prefix length.
pub(in crate::lab) fn address(text: &str, at: usize) -> Typed<At<Address>> {
    form::<Address>(text, at)
}

/// Source addresses, at most one of each family; each text with the place of its first byte.
pub(in crate::lab) fn sources<'a>(texts: impl Iterator<Item = (&'a str, usize)>) -> Typed<Vec<At<IpAddr>>> {
    let all = texts.map(|(text, at)| form::<Source>(text, at)).collect::<Typed<Vec<_>>>()?;
    with(|reader| Some(nat::sources(Some(all), reader)))
}

/// An MTU in bytes.
pub(in crate::lab) fn mtu(text: &str, at: usize) -> Typed<At<u32>> {
    let (least, greatest) = Mtu::RANGE;
    let mtu = decimal(text).and_then(|mtu| u32::try_from(mtu).ok()).filter(|mtu| (least..=greatest).contains(mtu));
    match mtu {
        Some(mtu) => Ok(At::new(mtu, at..at + text.len())),
        None => Err(vec![
            Problem::new(format!("`{text}` cannot be {}", Mtu::WHAT), at..at + text.len())
                .label(format!("possible are {least} to {greatest}"))
                .help(Mtu::WHY),
        ]),
    }
}
