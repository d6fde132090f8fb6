//! YAML text as a tree in which every part knows its bytes.
//!
//! Owns what YAML may be used for here: one document of mappings, lists and scalars. Anchors, aliases, tags and merge keys are
//! refused, nesting and size are bounded, a key stands once. What the parts mean is decided elsewhere.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::syntax;
use crate::problem::Problem;

/// The deepest nesting of mappings and lists. A lab needs five.
pub(super) const DEPTH_MAX: usize = 32;

/// As many problems of one file are told; who has more has given the wrong file.
pub(super) const PROBLEMS_MAX: usize = 1000;

/// A value of the file.
#[derive(Debug)]
pub(super) struct Tree {
    /// Its bytes in the file; for a mapping or list in lines, up to the end of its last part.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of values.
#[derive(Debug)]
pub(super) enum Kind {
    /// No text at all, `~` or `null`.
    Nothing,
    /// Text, in quotes or not.
    Scalar(Scalar),
    /// `[a, b]` or lines with `-`.
    List(Vec<Tree>),
    /// `{ a: b }` or lines with `key: value`, in the order of the file, each key once.
    Map(Vec<(Scalar, Tree)>),
}

/// Text of the file.
#[derive(Debug)]
pub(super) struct Scalar {
    /// The text, escapes and line folding resolved.
    pub text: String,
    /// Is it without quotes? Then it may look like a number to somebody.
    pub plain: bool,
    /// Its bytes in the file, with quotes.
    pub span: Range<usize>,
    /// Where `text` itself begins in the file, if it stands there byte for byte.
    pub verbatim: Option<usize>,
}

/// A mapping or list that is not complete yet.
struct Open {
    start: usize,
    what: Container,
}

enum Container {
    List(Vec<Tree>),
    Map { entries: Vec<(Scalar, Tree)>, places: HashMap<String, Range<usize>>, key: Option<Key> },
}

enum Key {
    Good(Scalar),
    /// Told already; its value is read and dropped.
    Bad,
}

/// The file's tree; none if it is no YAML at all or nothing is in it. Problems are added to the list.
pub(super) fn build(source: &str, problems: &mut Vec<Problem>) -> Option<Tree> {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    let places = Places::new(source, source.len() - text.len());
    let mut builder = Builder { source, problems, open: Vec::new(), root: None };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let at = places.byte(error.marker().index());
                builder.problems.push(syntax::problem(source, at, error.info()));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let span = places.bytes(span);
                builder.problems.push(
                    Problem::new("a second document begins here", span)
                        .label("a lab file is one document")
                        .help("put each lab in a file of its own"),
                );
                return None;
            }
        }
        if !builder.event(event, places.bytes(span)) || builder.problems.len() >= PROBLEMS_MAX {
            return None;
        }
    }
    builder.root
}

/// Where the anchor (`&`) or tag (`!`) of a value stands. The parser does not say: the value begins with it or after it.
fn property(source: &str, value: usize, sign: char) -> Range<usize> {
    let (before, after) = (source.get(..value).unwrap_or_default(), source.get(value..).unwrap_or_default());
    let mut start = value;
    for word in after.split_inclusive(char::is_whitespace).take_while(|word| word.starts_with(['&', '!'])) {
        if word.starts_with(sign) {
            return start..start + word.trim_end().len();
        }
        start += word.len();
    }
    let start = before.rfind(sign).unwrap_or(value);
    let start = before.get(..start).map_or(start, |before| before.trim_end_matches(sign).len());
    let rest = source.get(start..).unwrap_or_default();
    start..start + rest.find(|c: char| c.is_whitespace() || ",[]{}".contains(c)).unwrap_or(rest.len())
}

/// From the parser's indices, which count characters, to bytes of the file.
struct Places {
    /// Byte of each character; empty if all are single bytes.
    table: Vec<usize>,
    /// Bytes before the text: a byte order mark.
    skipped: usize,
    end: usize,
}

impl Places {
    fn new(source: &str, skipped: usize) -> Self {
        let table = if source.is_ascii() {
            Vec::new()
        } else {
            source.char_indices().map(|(at, _)| at).filter(|&at| at >= skipped).collect()
        };
        Self { table, skipped, end: source.len() }
    }

    fn byte(&self, index: usize) -> usize {
        if self.table.is_empty() {
            (index + self.skipped).min(self.end)
        } else {
            self.table.get(index).copied().unwrap_or(self.end)
        }
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }
}

struct Builder<'a> {
    source: &'a str,
    problems: &'a mut Vec<Problem>,
    open: Vec<Open>,
    root: Option<Tree>,
}

impl Builder<'_> {
    /// Takes one event; false if nothing sensible can follow.
    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> bool {
        match event {
            Event::Alias(_) => {
                self.problems.push(
                    Problem::new("aliases (`*name`) are not possible in a lab file", span.clone())
                        .label("an alias")
                        .help("write the value out; ranges like `n[1-100]` say the same thing for many"),
                );
                self.complete(Tree { span, kind: Kind::Nothing });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(&span, anchor, tag.is_some());
                let scalar = self.scalar(text.into_owned(), style, span.clone());
                let nothing = scalar.plain && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL");
                if nothing && !self.key_is_next() {
                    self.complete(Tree { span, kind: Kind::Nothing });
                } else {
                    self.complete(Tree { span, kind: Kind::Scalar(scalar) });
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(&span, anchor, tag.is_some());
                return self.enter(span, Container::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(&span, anchor, tag.is_some());
                let map = Container::Map { entries: Vec::new(), places: HashMap::new(), key: None };
                return self.enter(span, map);
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(span),
            _ => {}
        }
        true
    }

    fn scalar(&self, text: String, style: ScalarStyle, span: Range<usize>) -> Scalar {
        let quotes = usize::from(style != ScalarStyle::Plain);
        let begin = span.start + quotes;
        let verbatim = self.source.get(begin..).is_some_and(|rest| rest.starts_with(&text)).then_some(begin);
        Scalar { plain: style == ScalarStyle::Plain, span, verbatim, text }
    }

    fn refuse_properties(&mut self, span: &Range<usize>, anchor: usize, tag: bool) {
        let place = |sign| property(self.source, span.start, sign);
        if anchor > 0 {
            self.problems.push(
                Problem::new("anchors (`&name`) are not possible in a lab file", place('&'))
                    .label("an anchor")
                    .help("write the value out where it is needed"),
            );
        }
        if tag {
            self.problems.push(
                Problem::new("tags (`!name`) are not possible in a lab file", place('!'))
                    .label("a tag")
                    .help("leave it out; for text that begins with `!`, put it in quotes"),
            );
        }
    }

    fn enter(&mut self, span: Range<usize>, what: Container) -> bool {
        if self.open.len() >= DEPTH_MAX {
            self.problems.push(
                Problem::new(format!("mappings and lists are nested more than {DEPTH_MAX} deep"), span)
                    .label("one too many begins here"),
            );
            return false;
        }
        self.open.push(Open { start: span.start, what });
        true
    }

    fn leave(&mut self, end: Range<usize>) {
        let Some(open) = self.open.pop() else { return };
        let last = match &open.what {
            Container::List(items) => items.last().map(|item| item.span.end),
            Container::Map { entries, .. } => entries.last().map(|(key, value)| value.span.end.max(key.span.end)),
        };
        // the end of a container in lines is an empty span wherever the next token begins
        let end = if end.is_empty() { last.unwrap_or(open.start) } else { end.end };
        let span = open.start..end.max(open.start);
        let kind = match open.what {
            Container::List(items) => Kind::List(items),
            Container::Map { entries, .. } => Kind::Map(entries),
        };
        self.complete(Tree { span, kind });
    }

    /// Does the next value become a key?
    fn key_is_next(&self) -> bool {
        matches!(self.open.last(), Some(Open { what: Container::Map { key: None, .. }, .. }))
    }

    /// Puts a complete value where it belongs.
    fn complete(&mut self, tree: Tree) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(tree);
            return;
        };
        let (entries, places, key) = match &mut open.what {
            Container::List(items) => {
                items.push(tree);
                return;
            }
            Container::Map { entries, places, key } => (entries, places, key),
        };
        match key.take() {
            Some(Key::Good(name)) => entries.push((name, tree)),
            Some(Key::Bad) => {}
            None => match tree.kind {
                Kind::Scalar(scalar) => match places.get(&scalar.text) {
                    Some(first) => {
                        self.problems.push(
                            Problem::new(format!("`{}` stands here twice", scalar.text), scalar.span)
                                .label("again here")
                                .related(first.clone(), "first here")
                                .help("keep one of them, or put both together"),
                        );
                        *key = Some(Key::Bad);
                    }
                    None => {
                        places.insert(scalar.text.clone(), scalar.span.clone());
                        *key = Some(Key::Good(scalar));
                    }
                },
                kind => {
                    let (found, help) = match kind {
                        Kind::List(_) => {
                            ("a list", "write one entry for each; text that begins with `[` is put in quotes")
                        }
                        _ => ("a mapping", "text that begins with `{` is put in quotes"),
                    };
                    self.problems.push(
                        Problem::new(format!("expected a key, found {found}"), tree.span)
                            .label("keys are text")
                            .help(help),
                    );
                    *key = Some(Key::Bad);
                }
            },
        }
    }
}
