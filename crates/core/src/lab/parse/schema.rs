//! What an editor and a reader of the documentation need: JSON Schema and reference, from the declarations in `file`.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::file::{ALL, LabFile};
use super::form::{Expect, Form, Gateway, LinkEnd, Names, OnEnd, Subnet};
use super::read::{FileType, KeyAbout, plain};
use crate::lab::{Address, Dependence, FilterRule, Forward, NatLike, PortChoice, Publish, RouteSpec};
use crate::name::{IfName, LabName, Mac};

/// The JSON Schema of lab files (draft 2020-12). It takes every valid file, and some that the reader refuses.
#[must_use]
pub fn schema() -> Value {
    let mut defs = Map::new();
    let root = LabFile::schema(&mut defs);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "raum lab file",
        "description": plain(LabFile::ABOUT.doc),
    });
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, root) {
        schema.extend(root);
        schema.insert("$defs".to_owned(), Value::Object(defs));
    }
    schema
}

/// Every mapping and text form of the lab file, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for about in ALL {
        // writing to a String cannot fail
        writeln!(text, "### {}\n\n{}\n", heading(about.what), plain(about.doc)).unwrap_or_default();
        text.push_str("| key | value | meaning |\n|---|---|---|\n");
        for KeyAbout { key, doc, what } in about.keys {
            writeln!(text, "| `{key}` | {} | {} |", what(), plain(doc).replace('|', "\\|")).unwrap_or_default();
        }
        if !about.not_yet.is_empty() {
            let later: Vec<_> = about.not_yet.iter().map(|(key, _)| format!("`{key}`")).collect();
            writeln!(text, "\nReserved, and refused until it is implemented: {}.", later.join(", "))
                .unwrap_or_default();
        }
        text.push('\n');
    }
    text.push_str("### Text forms\n\n| form | written | examples |\n|---|---|---|\n");
    form::<LabName>(&mut text);
    form::<Names>(&mut text);
    form::<IfName>(&mut text);
    form::<Mac>(&mut text);
    form::<Subnet>(&mut text);
    form::<Address>(&mut text);
    form::<Gateway>(&mut text);
    form::<OnEnd>(&mut text);
    form::<LinkEnd>(&mut text);
    form::<RouteSpec>(&mut text);
    form::<Publish>(&mut text);
    form::<Forward>(&mut text);
    form::<FilterRule>(&mut text);
    form::<NatLike>(&mut text);
    form::<Dependence>(&mut text);
    form::<PortChoice>(&mut text);
    form::<Expect>(&mut text);
    text
}

fn heading(what: &str) -> String {
    let bare = what.strip_prefix("a ").or(what.strip_prefix("an ")).or(what.strip_prefix("the ")).unwrap_or(what);
    let mut chars = bare.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn form<F: Form>(text: &mut String) {
    let examples: Vec<_> = F::EXAMPLES.iter().map(|example| format!("`{example}`")).collect();
    writeln!(text, "| {} | {} | {} |", F::WHAT, F::HELP, examples.join(", ")).unwrap_or_default();
}
