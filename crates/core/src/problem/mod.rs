//! Problems of a lab file: what is wrong, where, and what would be right.
//!
//! Parse, checks and design all speak of a file in this one form; how it looks on a terminal is decided here too, so that
//! library users, tests and the command show the same.

mod render;

use std::ops::Range;

pub use render::{Sheet, render, render_sheets, visible};

/// One problem of a lab file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in one line, with names in backquotes: ``gateway 10.1.0.1 is on no subnet of `web` ``.
    pub message: String,
    /// Where: bytes of the file.
    pub span: Range<usize>,
    /// What stands under the caret: the cause. May be empty.
    pub label: String,
    /// Other places that have to do with it, each with its own words: `first published here`.
    pub related: Vec<(Range<usize>, String)>,
    /// The way out: `did you mean 10.2.0.1?`
    pub help: Option<String>,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span, label: String::new(), related: Vec::new(), help: None }
    }

    /// With words under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
