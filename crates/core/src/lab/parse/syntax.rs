//! What the YAML parser says of text that is no YAML, in words for who wrote it.

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
        _ => problem.label("a control character").help("remove it; in double quotes it can be written `\\u…`"),
    })
}

/// The parser's message as a problem at a byte of the file.
pub(super) fn problem(source: &str, at: usize, info: &str) -> Problem {
    let place = |from: usize| {
        let rest = source.get(from..).unwrap_or_default();
        from..from + rest.chars().next().map_or(0, char::len_utf8)
    };
    let (message, label, help) = words(info);
    let problem = Problem::new(message, place(at)).label(label);
    if help.is_empty() { problem } else { problem.help(help) }
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
    if has("unexpected end of stream") {
        return ("a quoted text does not end".into(), "the file ends inside the quotes", "close the quotes");
    }
    if has("found unknown escape character") {
        return (
            "there is no such escape in a text in double quotes".into(),
            "",
            "write a backslash as `\\\\`, or use single quotes",
        );
    }
    if has("mapping values are not allowed") || has("illegal placement of ':'") {
        return (
            "a `:` cannot stand here".into(),
            "a second `key: value` on one line",
            "begin a new line, or put text that holds `: ` in quotes",
        );
    }
    if has("did not find expected ',' or '}'") {
        return (
            "this mapping in braces goes wrong here".into(),
            "expected `,` or `}`",
            "entries are separated by commas; text that holds one of `,[]{}` is put in quotes",
        );
    }
    if has("expected ',' or ']'") {
        return (
            "this list in brackets goes wrong here".into(),
            "expected `,` or `]`",
            "entries are separated by commas; text that holds one of `,[]{}` is put in quotes",
        );
    }
    if has("misplaced bracket") {
        return (
            "this bracket closes nothing".into(),
            "",
            "text that holds one of `[]{}` is put in quotes: \"n[1-3]\"",
        );
    }
    if has("did not find expected key") || has("simple key expect") || has("invalid indentation") {
        return (
            "this line fits nowhere".into(),
            "expected `key: value`, indented like the lines before",
            "compare the indentation with the lines before; after a key comes `:` and a space",
        );
    }
    if has("did not find expected '-'") {
        return (
            "this line fits nowhere".into(),
            "expected `- entry`, indented like the entries before",
            "compare the indentation with the lines before",
        );
    }
    if has("unexpected character") {
        return ("no value can begin with this character".into(), "", "put the text in quotes");
    }
    (format!("this is no YAML: {info}"), "", "")
}
