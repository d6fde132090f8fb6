//! From a tree to declared types: the trait, and the `mapping!` macro that declares a file type once.
//!
//! A reader never stops at the first problem. A value that cannot be read is `None` and a problem is in the list.

use serde_json::{Map, Value, json};

use super::meant::nearest;
use super::scalar;
use super::tree::{Kind, PROBLEMS_MAX, Scalar, Tree};
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
                        _ => $crate::lab::parse::meant::unknown_key(key, &Self::ABOUT, reader),
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
    pub(super) fn key_list(&self) -> String {
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
