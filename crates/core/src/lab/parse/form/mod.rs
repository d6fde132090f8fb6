//! Text forms: values that are one short text with a grammar of its own, such as a subnet, a route or the end of a link.
//!
//! Each form says what it is, its grammar as a pattern for the JSON Schema, examples, and how it is read. Parts of a form
//! keep their place in the file, so that the caret stands under the wrong part, not under the whole.

mod address;
mod end;
mod expect;
mod filter;
mod name;
mod nat;
mod port;
mod route;

use std::ops::Range;

use serde_json::{Map, Value, json};

pub(super) use address::Source;
pub(in crate::lab) use address::{Gateway, Subnet};
pub(super) use end::{LinkEnd, OnEnd, RawEnd};
pub(super) use expect::{Expect, RawParty};
pub(super) use name::Names;

use super::read::{Reader, plain};
use super::tree::Scalar;
use crate::problem::Problem;

/// A text with a grammar.
pub(in crate::lab) trait Form: Sized {
    /// Its name in the JSON Schema's definitions.
    const DEF: &'static str;
    /// What it is, with its article: `a route`.
    const WHAT: &'static str;
    /// How it is written, as a sentence for help.
    const HELP: &'static str;
    /// Its grammar as a regular expression (ECMA-262, as JSON Schema has it); may take more than is valid, never less.
    const PATTERN: &'static str;
    /// Examples, all valid.
    const EXAMPLES: &'static [&'static str];
    /// May it be a plain number in the file?
    const NUMBER: bool = false;

    /// The value, or none and at least one problem.
    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self>;

    /// Puts its definition into the schema; returns the reference to it.
    fn define(defs: &mut Map<String, Value>) -> Value {
        let text = json!({ "type": "string", "pattern": Self::PATTERN });
        let mut schema = if Self::NUMBER {
            json!({ "anyOf": [text, { "type": "integer", "minimum": 1, "maximum": 65535 }] })
        } else {
            text
        };
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), json!(plain(Self::HELP)));
            schema.insert("examples".to_owned(), json!(Self::EXAMPLES));
        }
        defs.insert(Self::DEF.to_owned(), schema);
        json!({ "$ref": format!("#/$defs/{}", Self::DEF) })
    }
}

/// A text or a part of it, with its place in the file.
#[derive(Debug, Clone, Copy)]
pub(in crate::lab) struct Text<'a> {
    /// The text.
    pub text: &'a str,
    start: usize,
    end: usize,
    /// Does it stand in the file byte for byte? If not (escapes, folded lines) its parts have the place of the whole.
    verbatim: bool,
}

impl<'a> Text<'a> {
    /// The text of a scalar.
    pub(in crate::lab::parse) fn of(scalar: &'a Scalar) -> Self {
        match scalar.verbatim {
            Some(start) => Text { text: &scalar.text, start, end: start + scalar.text.len(), verbatim: true },
            None => Text { text: &scalar.text, start: scalar.span.start, end: scalar.span.end, verbatim: false },
        }
    }

    /// A text that stands at a place, byte for byte.
    pub fn typed(text: &'a str, start: usize) -> Self {
        Text { text, start, end: start + text.len(), verbatim: true }
    }

    /// Its bytes in the file.
    pub fn span(self) -> Range<usize> {
        self.start..self.end
    }

    /// A part; the whole text if `range` is none of it.
    pub fn part(self, range: Range<usize>) -> Text<'a> {
        match self.text.get(range.clone()) {
            Some(text) if self.verbatim => {
                Text { text, start: self.start + range.start, end: self.start + range.end, verbatim: true }
            }
            Some(text) => Text { text, ..self },
            None => self,
        }
    }

    /// Both sides of the first `separator`.
    pub fn split_once(self, separator: &str) -> Option<(Text<'a>, Text<'a>)> {
        let at = self.text.find(separator)?;
        Some((self.part(0..at), self.part(at + separator.len()..self.text.len())))
    }

    /// Both sides of the last `separator`.
    pub fn rsplit_once(self, separator: &str) -> Option<(Text<'a>, Text<'a>)> {
        let at = self.text.rfind(separator)?;
        Some((self.part(0..at), self.part(at + separator.len()..self.text.len())))
    }

    /// The words between spaces and tabs.
    pub fn words(self) -> Vec<Text<'a>> {
        let mut words = Vec::new();
        let mut begin = None;
        for (at, c) in self.text.char_indices().chain([(self.text.len(), ' ')]) {
            match (c.is_ascii_whitespace(), begin) {
                (true, Some(start)) => {
                    words.push(self.part(start..at));
                    begin = None;
                }
                (false, None) => begin = Some(at),
                _ => {}
            }
        }
        words
    }

    /// Without spaces around.
    pub fn trim(self) -> Text<'a> {
        let start = self.text.len() - self.text.trim_start().len();
        self.part(start..start + self.text.trim().len())
    }

    /// A problem here.
    pub fn problem(self, message: impl Into<String>) -> Problem {
        Problem::new(message, self.span())
    }
}
