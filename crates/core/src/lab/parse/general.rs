//! The general types of a lab file: a text form, true or false, lists, pairs, names as keys, short or long, numbers.

use std::marker::PhantomData;

use serde_json::{Map, Value, json};

use super::form::{Form, Names, Text};
use super::read::{FileType, Reader, wrong_kind};
use super::scalar;
use super::tree::{Kind, Scalar, Tree};
use crate::lab::At;
use crate::problem::Problem;

/// A text form.
impl<F: Form> FileType for At<F> {
    fn what() -> String {
        F::WHAT.to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        let Kind::Scalar(text) = &tree.kind else {
            let problem = wrong_kind(F::WHAT, tree);
            reader.report(if problem.help.is_some() { problem } else { problem.help(F::HELP) });
            return None;
        };
        form::<F>(text, reader)
    }

    fn schema(defs: &mut Map<String, Value>) -> Value {
        F::define(defs)
    }
}

/// A scalar as a text form, if nobody can take it for something else.
pub(super) fn form<F: Form>(scalar: &Scalar, reader: &mut Reader) -> Option<At<F>> {
    if let Some(problem) = scalar::surprise::<F>(scalar) {
        reader.report(problem);
        return None;
    }
    let before = reader.problems.len();
    let value = F::parse(Text::of(scalar), reader)?;
    (reader.problems.len() == before).then(|| At::new(value, scalar.span.clone()))
}

/// True or false.
impl FileType for At<bool> {
    fn what() -> String {
        "true or false".to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        if let Kind::Scalar(Scalar { text, plain: true, .. }) = &tree.kind {
            match text.as_str() {
                "true" => return Some(At::new(true, tree.span.clone())),
                "false" => return Some(At::new(false, tree.span.clone())),
                _ => {}
            }
        }
        let mut problem = wrong_kind("true or false", tree);
        if matches!(&tree.kind, Kind::Scalar(scalar) if scalar::reading(scalar) == scalar::Reading::Bool) {
            problem.label = "written in small letters here".to_owned();
        }
        let meant = match &tree.kind {
            Kind::Scalar(scalar) => match scalar.text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "y" | "1" => Some("write `true`"),
                "false" | "no" | "off" | "n" | "0" => Some("write `false`"),
                _ => None,
            },
            _ => None,
        };
        reader.report(match meant {
            Some(help) => problem.help(help),
            None => problem,
        });
        None
    }

    fn schema(_: &mut Map<String, Value>) -> Value {
        json!({ "type": "boolean" })
    }
}

/// One, or a list of them.
impl<T: FileType> FileType for Vec<T> {
    fn what() -> String {
        format!("{}, or a list of them", T::what())
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        match &tree.kind {
            Kind::List(items) => Some(items.iter().filter_map(|item| T::read(item, reader)).collect()),
            _ => T::read(tree, reader).map(|one| vec![one]),
        }
    }

    fn schema(defs: &mut Map<String, Value>) -> Value {
        let one = T::schema(defs);
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// A list, even if of one.
#[derive(Debug, Clone)]
pub(super) struct List<T>(pub Vec<T>);

impl<T: FileType> FileType for List<T> {
    const NOTHING: bool = true;

    fn what() -> String {
        "a list".to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        match &tree.kind {
            Kind::List(items) => Some(List(items.iter().filter_map(|item| T::read(item, reader)).collect())),
            Kind::Nothing => Some(List(Vec::new())),
            _ => {
                reader.report(wrong_kind("a list", tree).help("begin each entry with `- `"));
                None
            }
        }
    }

    fn schema(defs: &mut Map<String, Value>) -> Value {
        let one = T::schema(defs);
        json!({ "type": ["array", "null"], "items": one })
    }
}

/// A list of exactly two.
#[derive(Debug, Clone)]
pub(super) struct Pair<T>(pub [T; 2]);

impl<T: FileType> FileType for Pair<T> {
    fn what() -> String {
        "a list of two".to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        let Kind::List(items) = &tree.kind else {
            reader.report(wrong_kind("a list of two", tree).help("write `[red, blue]`"));
            return None;
        };
        let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, reader)).collect();
        match <[Option<T>; 2]>::try_from(read) {
            Ok([first, second]) => Some(Pair([first?, second?])),
            Err(read) => {
                let help = if read.len() < 2 {
                    "the other end is a namespace, a switch or `host`"
                } else {
                    "to join more than two, make a switch and put the namespaces `on` it"
                };
                reader.report(
                    Problem::new(format!("expected two ends, found {}", read.len()), tree.span.clone())
                        .label("a link has two ends")
                        .help(help),
                );
                None
            }
        }
    }

    fn schema(defs: &mut Map<String, Value>) -> Value {
        let one = T::schema(defs);
        json!({ "type": "array", "items": one, "minItems": 2, "maxItems": 2 })
    }
}

/// Names, each with what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Named<T>(pub Vec<(At<Names>, T)>);

impl<T: FileType + Default> FileType for Named<T> {
    const NOTHING: bool = true;

    fn what() -> String {
        "a mapping of names".to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        let entries = match &tree.kind {
            Kind::Map(entries) => entries,
            Kind::Nothing => return Some(Named(Vec::new())),
            _ => {
                reader.report(
                    wrong_kind("a mapping of names", tree).help("write `name: { … }` for each, or `name:` alone"),
                );
                return None;
            }
        };
        let mut named = Vec::new();
        for (key, value) in entries {
            let name = form::<Names>(key, reader);
            let value = match value.kind {
                Kind::Nothing => Some(T::default()),
                _ => T::read(value, reader),
            };
            if let (Some(name), Some(value)) = (name, value) {
                named.push((name, value));
            }
        }
        Some(Named(named))
    }

    fn schema(defs: &mut Map<String, Value>) -> Value {
        let one = T::schema(defs);
        let names = Names::define(defs);
        json!({
            "type": ["object", "null"], "propertyNames": names,
            "additionalProperties": { "anyOf": [one, { "type": "null" }] },
        })
    }
}

/// The short way as text, or the long way as a mapping.
#[derive(Debug, Clone)]
pub(super) enum Either<F, M> {
    Short(At<F>),
    Long(M),
}

impl<F: Form, M: FileType> FileType for Either<F, M> {
    fn what() -> String {
        F::WHAT.to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        match &tree.kind {
            Kind::Map(_) => M::read(tree, reader).map(Either::Long),
            Kind::Scalar(_) => At::<F>::read(tree, reader).map(Either::Short),
            _ => {
                reader.report(wrong_kind(&Self::what(), tree).help(F::HELP));
                None
            }
        }
    }

    fn schema(defs: &mut Map<String, Value>) -> Value {
        let short = F::define(defs);
        let long = M::schema(defs);
        json!({ "anyOf": [short, long] })
    }
}

/// A whole number of which the type `L` says the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number<L> {
    pub value: u32,
    limits: PhantomData<L>,
}

/// The limits of a number.
pub(super) trait Limits {
    /// What it is, with its article.
    const WHAT: &'static str;
    /// The least and the greatest.
    const RANGE: (u32, u32);
    /// Why, as a clause under the caret.
    const WHY: &'static str;
}

impl<L: Limits> FileType for At<Number<L>> {
    fn what() -> String {
        L::WHAT.to_owned()
    }

    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self> {
        let number = match &tree.kind {
            Kind::Scalar(scalar) if scalar.plain => scalar::decimal(&scalar.text),
            _ => None,
        };
        let (least, greatest) = L::RANGE;
        let Some(number) = number else {
            let mut problem = wrong_kind(L::WHAT, tree);
            let mut help = format!("write a number from {least} to {greatest}");
            if let Kind::Scalar(scalar) = &tree.kind {
                if scalar::reading(scalar) == scalar::Reading::Number {
                    problem.label = format!("possible are {least} to {greatest}");
                }
                if let Some(meant) = scalar::meant_number(&scalar.text) {
                    help = format!("write {meant}");
                }
            }
            reader.report(problem.help(help));
            return None;
        };
        match u32::try_from(number) {
            Ok(value) if (least..=greatest).contains(&value) => {
                Some(At::new(Number { value, limits: PhantomData }, tree.span.clone()))
            }
            _ => {
                reader.report(
                    Problem::new(format!("`{number}` cannot be {}", L::WHAT), tree.span.clone())
                        .label(format!("possible are {least} to {greatest}"))
                        .help(L::WHY),
                );
                None
            }
        }
    }

    fn schema(_: &mut Map<String, Value>) -> Value {
        let (least, greatest) = L::RANGE;
        json!({ "type": "integer", "minimum": least, "maximum": greatest })
    }
}
