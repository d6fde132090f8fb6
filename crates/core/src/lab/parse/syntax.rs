//! What is wrong with text that is no YAML, in words for who wrote it.
//!
//! The parser says where it could not go on, which is often far behind the slip. The usual slips are looked for in the text:
//! a quote or bracket that is not closed, a space missing after a colon, a tab, brackets and colons that want quotes.

use std::ops::Range;

use super::file;
use crate::problem::Problem;

/// Characters that YAML does not have (YAML 1.2.2, production 1, `c-printable`). The parser takes NUL for the end of the
/// file, so what follows would be ignored in silence.
pub(super) fn unprintable(source: &str) -> Option<Problem> {
    let printable = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let (at, character) = source.char_indices().find(|&(_, c)| !printable(c))?;
    let code = u32::from(character);
    let problem =
        Problem::new(format!("the character U+{code:04X} cannot be in a lab file"), at..at + character.len_utf8());
    Some(match character {
        '\0' => problem.label("NUL").help("is this a text file in UTF-8?"),
        _ => problem.label("a control character").help("remove it"),
    })
}

/// The problem of the parser's message `info` about the byte `at`.
pub(super) fn problem(source: &str, at: usize, info: &str) -> Problem {
    unclosed_quote(source, at, info)
        .or_else(|| missing_space(source, at))
        .or_else(|| wants_quotes(source, at))
        .or_else(|| unclosed_bracket(source, at, info))
        .unwrap_or_else(|| {
            let (message, label, help) = words(info);
            let problem = Problem::new(message, character(source, at)).label(label);
            if help.is_empty() { problem } else { problem.help(help) }
        })
}

/// The character at a byte.
fn character(source: &str, at: usize) -> Range<usize> {
    at..at + source.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

/// The line around a byte, without its end.
fn line(source: &str, at: usize) -> Range<usize> {
    let at = at.min(source.len());
    let start = source.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let end = source.get(at..).and_then(|after| after.find('\n')).map_or(source.len(), |end| at + end);
    start..end
}

/// What is open at a byte: the quote, and the brackets that are not closed. Close to what YAML does, good enough to explain.
fn open_at(source: &str, at: usize) -> (Option<usize>, Vec<(usize, char)>) {
    let mut quote: Option<(usize, char)> = None;
    let mut brackets = Vec::new();
    let mut before = '\n';
    let mut comment = false;
    let mut skip = false;
    for (place, c) in source.get(..at).unwrap_or(source).char_indices() {
        match (quote, c) {
            _ if skip => skip = false,
            (_, '\n') if comment => comment = false,
            _ if comment => {}
            (Some((_, '"')), '\\') => skip = true,
            (Some((_, sign)), _) if sign == c => quote = None,
            (Some(_), _) => {}
            (None, '#') if before.is_whitespace() => comment = true,
            (None, '"' | '\'') if before.is_whitespace() || ",[{:-".contains(before) => quote = Some((place, c)),
            (None, '[' | '{') => brackets.push((place, c)),
            (None, ']' | '}') => {
                brackets.pop();
            }
            _ => {}
        }
        before = c;
    }
    (quote.map(|(place, _)| place), brackets)
}

/// Quotes that do not end on their line, or at all.
fn unclosed_quote(source: &str, at: usize, info: &str) -> Option<Problem> {
    let here = source.get(at..)?.chars().next();
    let start = match here {
        Some(sign @ ('"' | '\'')) => {
            let rest = source.get(at + 1..line(source, at).end)?;
            (!rest.contains(sign)).then_some(at)
        }
        None if info.contains("quoted") => open_at(source, at).0,
        _ => None,
    }?;
    Some(
        Problem::new("the text in quotes does not end", start..line(source, start).end)
            .label("the quotes are not closed")
            .help("close them at the end of the text"),
    )
}

/// `gateway:host`, here or on the line before.
fn missing_space(source: &str, at: usize) -> Option<Problem> {
    let here = line(source, at);
    let before = source.get(..here.start.saturating_sub(1)).map(|before| line(source, before.trim_end().len()));
    [Some(here), before].into_iter().flatten().find_map(|line| {
        let text = source.get(line.clone())?;
        let bare = text.trim_start_matches([' ', '-']);
        let (key, value) = bare.split_once(':')?;
        if value.is_empty() || value.starts_with([' ', '\t', '\r']) || !is_key(key) {
            return None;
        }
        let start = line.start + (text.len() - bare.len());
        Some(
            Problem::new(format!("a space is missing after `{key}:`"), start..start + key.len() + 1)
                .label("without it this is no key")
                .help(format!("write `{key}: {}`", value.trim_end())),
        )
    })
}

/// Is this a key somewhere in a lab file?
pub(super) fn is_key(word: &str) -> bool {
    file::ALL.iter().any(|about| about.keys.iter().any(|about| about.key == word))
}

/// Ranges and IPv6 addresses within brackets.
fn wants_quotes(source: &str, at: usize) -> Option<Problem> {
    let line = line(source, at);
    let delimiter = |c: char| c.is_whitespace() || ",{}\"'".contains(c);
    let start = source.get(line.start..at)?.rfind(delimiter).map_or(line.start, |before| line.start + before + 1);
    let word = source.get(start..line.end)?.split(delimiter).next()?;
    let bracketed =
        word.find(']').and_then(|end| word.get(..=end)).filter(|_| word.contains('[') && !word.starts_with('['));
    let colons = word.trim_matches(['[', ']']);
    let (word, label) = match bracketed {
        Some(range) => (range, "a bracket begins a list here"),
        None if colons.ends_with(':') && colons.matches(':').count() > 1 => (colons, "the last colon makes it a key"),
        None => return None,
    };
    let start = source.get(start..line.end)?.find(word)? + start;
    Some(
        Problem::new(format!("`{word}` is not one text"), start..start + word.len())
            .label(label)
            .help(format!("put it in quotes: \"{word}\"")),
    )
}

/// A bracket that is not closed where its content ends.
fn unclosed_bracket(source: &str, at: usize, info: &str) -> Option<Problem> {
    let here = source.get(at..)?.chars().next();
    let (start, open) = *open_at(source, at).1.last()?;
    let close = if open == '[' { ']' } else { '}' };
    let earlier = start < line(source, at).start;
    let mismatch = matches!(here, Some(']' | '}')) && here != Some(close);
    let flow = ["',' or", "flow", "end of stream", "eof"].iter().any(|word| info.contains(word));
    if !earlier && !mismatch && (!flow || here.is_some_and(|c| !c.is_whitespace())) {
        return None;
    }
    let problem = Problem::new(format!("this `{open}` is not closed"), start..start + 1)
        .label(format!("expected a `{close}` after it"));
    Some(match here {
        Some(_) => problem.related(character(source, at), "before this at the latest"),
        None => problem,
    })
}

fn words(info: &str) -> (String, &'static str, &'static str) {
    let has = |part: &str| info.contains(part);
    if has("unknown anchor") {
        return (
            "aliases (`*name`) are not possible in a lab file".into(),
            "an alias",
            "write the value out; for text that begins with `*`, put it in quotes",
        );
    }
    if has("tab") && (has("indentation") || has("disallowed")) {
        return ("a tab cannot indent a line".into(), "a tab", "indent with spaces");
    }
    if has("found unknown escape character") {
        return (
            "there is no such escape in a text in double quotes".into(),
            "this text",
            "write a backslash as `\\\\`, or use single quotes",
        );
    }
    if has("mapping values are not allowed") || has("illegal placement of ':'") {
        return (
            "a `:` cannot stand here".into(),
            "a second `key: value` on this line",
            "begin a new line, or put the value in quotes or braces",
        );
    }
    if has("',' or '}'") || has("',' or ']'") {
        return (
            "something is wrong here, or just before".into(),
            "expected a comma or the closing bracket",
            "text that holds one of `,[]{}` is put in quotes",
        );
    }
    if has("misplaced bracket") {
        return (
            "this bracket closes nothing".into(),
            "one too many",
            "text that holds one of `[]{}` is put in quotes",
        );
    }
    if has("did not find expected key") || has("simple key expect") || has("invalid indentation") {
        return (
            "this line fits nowhere".into(),
            "expected `key: value`, indented like the lines before",
            "compare its indentation with that of the lines before",
        );
    }
    if has("did not find expected '-'") {
        return (
            "this line fits nowhere".into(),
            "expected `- entry`, indented like the entries before",
            "compare its indentation with that of the lines before",
        );
    }
    if has("recursion limit") {
        return ("mappings and lists are nested too deep".into(), "one too many begins here", "");
    }
    if has("trailing content") {
        return ("something follows the text in quotes".into(), "this", "put all of it between the quotes");
    }
    if has("unexpected character") {
        return ("no value can begin with this character".into(), "reserved by YAML", "put the text in quotes");
    }
    (format!("this is no YAML: {info}"), "", "")
}
