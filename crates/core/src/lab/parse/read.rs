//! From a tree to declared types: the trait, the `mapping!` macro that declares a file type once, and the general types
//! (lists, pairs, names as keys, true or false).
//!
//! A reader never stops at the first problem. A value that cannot be read is `None` and a problem is in the list.

use std::marker::PhantomData;

use serde_json::{Map, Value, json};

use super::file::{NamespaceFile, OnFile};
use super::form::{Form, Names, Text};
use super::scalar;
use super::tree::{Kind, PROBLEMS_MAX, Scalar, Tree};
use crate::lab::At;
use crate::problem::Problem;

/// Collects the problems of a file.
#[derive(Debug)]
pub(in crate::lab) struct Reader {
    pub problems: Vec<Problem>,
}

impl Reader {
    pub fn report(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

/// The problem `expected …, found …`.
pub(super) fn wrong_kind(what: &str, tree: &Tree) -> Problem {
    let (found, label) = match &tree.kind {
        Kind::Nothing => ("nothing".to_owned(), String::new()),
        Kind::List(_) => ("a list".to_owned(), "this is a list".to_owned()),
        Kind::Map(_) => ("a mapping".to_owned(), "this is a mapping".to_owned()),
        Kind::Scalar(scalar) if scalar.text.is_empty() => ("empty quotes".to_owned(), String::new()),
        Kind::Scalar(scalar) if scalar.text.len() > 60 => ("text".to_owned(), "this is text".to_owned()),
        Kind::Scalar(scalar) => (format!("`{}`", scalar.text), scalar::description(scalar)),
    };
    let problem = Problem::new(format!("expected {what}, found {found}"), tree.span.clone()).label(label);
    match colons_for_a_mapping(tree) {
        Some(text) => problem.help(format!("put it in quotes: \"{text}\"")),
        None => problem,
    }
}

/// `[fd01::]`: YAML takes the last colon for that of a mapping.
fn colons_for_a_mapping(tree: &Tree) -> Option<String> {
    match &tree.kind {
        Kind::Map(entries) => match entries.as_slice() {
            [(key, Tree { kind: Kind::Nothing, .. })] if key.plain && key.text.contains(':') => {
                Some(format!("{}:", key.text))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A type that stands in a lab file: how it is read, and its JSON Schema.
pub(super) trait FileType: Sized {
    /// May it be left empty (`red:`)?
    const NOTHING: bool = false;

    /// What is expected, with its article: `a list`.
    fn what() -> String;

    /// The value, or none and at least one problem.
    fn read(tree: &Tree, reader: &mut Reader) -> Option<Self>;

    /// Its JSON Schema; `defs` gets the definitions that it refers to.
    fn schema(defs: &mut Map<String, Value>) -> Value;
}

/// What is known of a mapping type without an instance: for messages, schema and reference.
pub(super) struct About {
    /// With its article: `a switch`.
    pub what: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// Its keys, in the order of the declaration.
    pub keys: &'static [KeyAbout],
    /// Keys that are known but not implemented, and what they will do.
    pub not_yet: &'static [(&'static str, &'static str)],
}

/// What is known of a key.
pub(super) struct KeyAbout {
    pub key: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// What stands there.
    pub what: fn() -> String,
}

/// Declares a mapping of the lab file once; gives the struct, its reader, its JSON Schema and [`About`].
///
/// Every field is optional; `required` keys are reported when absent. `span` is the whole mapping, `places` are the keys
/// that are there.
macro_rules! mapping {
    (
        $(#[doc = $doc:literal])*
        $name:ident is $what:literal in $def:literal {
            $( $(#[doc = $field_doc:literal])* $key:literal $field:ident: $type:ty, )*
        }
        required { $($required:literal),* }
        not yet { $($later:literal: $later_help:literal),* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Default)]
        pub(super) struct $name {
            $( $(#[doc = $field_doc])* pub $field: Option<$type>, )*
            /// The whole mapping.
            #[allow(dead_code, reason = "not every mapping is asked for its place")]
            pub span: std::ops::Range<usize>,
            /// The keys that are there, each with its place.
            #[allow(dead_code, reason = "not every mapping is asked for its keys")]
            pub places: Vec<(&'static str, std::ops::Range<usize>)>,
        }

        impl $name {
            /// Keys and documentation.
            pub const ABOUT: $crate::lab::parse::read::About = $crate::lab::parse::read::About {
                what: $what,
                doc: concat!($($doc, "\n"),*),
                keys: &[$($crate::lab::parse::read::KeyAbout {
                    key: $key,
                    doc: concat!($($field_doc, "\n"),*),
                    what: <$type as $crate::lab::parse::read::FileType>::what,
                }),*],
                not_yet: &[$(($later, $later_help)),*],
            };
        }

        impl $crate::lab::parse::read::FileType for $name {
            fn what() -> String {
                "a mapping".to_owned()
            }

            fn read(tree: &$crate::lab::parse::tree::Tree, reader: &mut $crate::lab::parse::read::Reader) -> Option<Self> {
                let entries = $crate::lab::parse::read::entries(tree, &Self::ABOUT, &[$($required),*], reader)?;
                let mut file = Self { span: tree.span.clone(), ..Self::default() };
                for (key, value) in entries {
                    match key.text.as_str() {
                        $( $key => {
                            file.places.push(($key, key.span.clone()));
                            file.$field = $crate::lab::parse::read::value::<$type>(key, value, reader);
                        } )*
                        _ => $crate::lab::parse::read::unknown_key(key, &Self::ABOUT, reader),
                    }
                }
                Some(file)
            }

            fn schema(defs: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                if !defs.contains_key($def) {
                    defs.insert($def.to_owned(), serde_json::Value::Null);
                    let schemas = vec![$( <$type as $crate::lab::parse::read::FileType>::schema(defs) ),*];
                    let schema = $crate::lab::parse::read::mapping_schema(&Self::ABOUT, &[$($required),*], schemas);
                    defs.insert($def.to_owned(), schema);
                }
                serde_json::json!({ "$ref": concat!("#/$defs/", $def) })
            }
        }
    };
}
pub(super) use mapping;

/// The entries of a mapping; reports another kind of value and required keys that are absent.
pub(super) fn entries<'t>(
    tree: &'t Tree,
    about: &About,
    required: &[&str],
    reader: &mut Reader,
) -> Option<&'t [(Scalar, Tree)]> {
    let Kind::Map(entries) = &tree.kind else {
        let glued = match &tree.kind {
            Kind::Scalar(scalar) => {
                scalar.text.split_once(':').filter(|(key, _)| about.keys.iter().any(|k| k.key == *key))
            }
            _ => None,
        };
        reader.report(wrong_kind(about.what, tree).help(match (glued, about.keys) {
            (Some((key, value)), _) => format!("write `{key}: {value}`, with a space after the colon"),
            (None, [key]) => format!("write `{{ {}: … }}`", key.key),
            (None, _) => format!("{} is a mapping with the keys {}", about.what, about.key_list()),
        }));
        return None;
    };
    for &key in required {
        // a misspelt key is told where it stands, and once is enough
        let there = |name: &str| name == key || nearest(name, about.keys.iter().map(|about| about.key)) == Some(key);
        if !entries.iter().any(|(name, _)| there(&name.text)) {
            reader.report(
                Problem::new(format!("{} needs `{key}`", about.what), tree.span.clone())
                    .label(format!("`{key}` is missing here")),
            );
        }
    }
    Some(entries)
}

impl About {
    /// The keys as a sentence has them.
    fn key_list(&self) -> String {
        self.keys.iter().map(|about| format!("`{}`", about.key)).collect::<Vec<_>>().join(", ")
    }
}

/// The value of a key.
pub(super) fn value<T: FileType>(key: &Scalar, tree: &Tree, reader: &mut Reader) -> Option<T> {
    if matches!(tree.kind, Kind::Nothing) && !T::NOTHING {
        reader.report(
            Problem::new(format!("`{}` has no value", key.text), key.span.clone())
                .label(format!("expected {}", T::what()))
                .help("write a value, or leave the key out"),
        );
        return None;
    }
    T::read(tree, reader)
}

/// Reports a key that the mapping does not have.
pub(super) fn unknown_key(key: &Scalar, about: &About, reader: &mut Reader) {
    let name = key.text.as_str();
    if let Some((_, help)) = about.not_yet.iter().find(|(later, _)| *later == name) {
        reader.report(
            Problem::new(format!("`{name}` is not implemented yet"), key.span.clone())
                .label("known, but raum cannot do it yet")
                .help(*help),
        );
        return;
    }
    let problem = Problem::new(format!("`{name}` is no key of {}", about.what), key.span.clone()).label("unknown key");
    let known = || about.keys.iter().map(|about| about.key);
    let elsewhere: Vec<_> = super::file::ALL
        .iter()
        .filter(|other| other.keys.iter().any(|about| about.key == name))
        .map(|other| other.what)
        .collect();
    let help = if name == "<<" {
        "merge keys are not possible in a lab file; write the keys out".to_owned()
    } else if let Some(near) = synonym(name, known()) {
        format!("did you mean `{near}`?")
    } else if about.what == NamespaceFile::ABOUT.what && elsewhere.contains(&OnFile::ABOUT.what) {
        format!("`{name}` belongs to an interface: `on: {{ switch: …, {name}: … }}`")
    } else if !elsewhere.is_empty() {
        format!("`{name}` is a key of {}", elsewhere.join(", "))
    } else if let Some(near) = nearest(name, known()) {
        format!("did you mean `{near}`?")
    } else {
        format!("{} has the keys {}", about.what, about.key_list())
    };
    reader.report(problem.help(help));
}

/// Words of other tools, and what they are called here.
const SYNONYMS: [(&str, &str); 27] = [
    ("switch", "node"),
    ("namespace", "node"),
    ("host", "node"),
    ("node", "switch"),
    ("bridge", "switch"),
    ("addresses", "address"),
    ("addr", "address"),
    ("ip", "address"),
    ("ips", "address"),
    ("bridges", "switches"),
    ("networks", "switches"),
    ("nodes", "namespaces"),
    ("hosts", "namespaces"),
    ("netns", "namespaces"),
    ("services", "namespaces"),
    ("containers", "namespaces"),
    ("wires", "links"),
    ("name", "lab"),
    ("endpoints", "ends"),
    ("ports", "publish"),
    ("subnets", "subnet"),
    ("cidr", "subnet"),
    ("masquerade", "nat"),
    ("iface", "interface"),
    ("ifname", "interface"),
    ("ip_forward", "forwarding"),
    ("networks", "on"),
];

fn synonym<'k>(word: &str, mut known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_ascii_lowercase();
    known.find(|key| SYNONYMS.contains(&(lower.as_str(), key)))
}

/// The known word nearest to a wrong one, if any is near.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    if let Some(key) = synonym(word, known.clone()) {
        return Some(key);
    }
    if word.len() > 40 {
        return None; // the distance costs the product of both lengths
    }
    let lower = word.to_ascii_lowercase();
    known
        .map(|key| (strsim::damerau_levenshtein(&lower, key), key))
        .filter(|&(distance, key)| distance <= 1 + key.len() / 4 && distance < key.len())
        .min()
        .map(|(_, key)| key)
}

/// The schema of a mapping with the schemas of its keys' values, in the order of the keys.
pub(super) fn mapping_schema(about: &About, required: &[&str], schemas: Vec<Value>) -> Value {
    let mut properties = Map::new();
    for (KeyAbout { key, doc, .. }, mut schema) in about.keys.iter().zip(schemas) {
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), json!(plain(doc)));
        }
        properties.insert((*key).to_owned(), schema);
    }
    let mut schema = json!({
        "description": plain(about.doc), "type": "object", "properties": properties, "additionalProperties": false,
    });
    if let (Value::Object(schema), false) = (&mut schema, required.is_empty()) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// Documentation as one paragraph.
pub(super) fn plain(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

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
