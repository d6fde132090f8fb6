//! How problems look on a terminal: the message, the line, a caret under the place, the way out.
//!
//! Whatever the file holds is shown, never executed: control characters, terminal escapes and characters that reorder or
//! hide others are replaced by visible ones. Very long lines are cut around the place.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Problem;

/// Columns of a line that are shown; longer ones are cut around the place. Fixed, so that the text does not depend on the
/// terminal.
const WIDTH: usize = 120;
/// Columns that are shown before the place in a line that is cut.
const BEFORE: usize = 40;
const TAB: usize = 4;
/// Characters of a message, label or help that are shown.
const SENTENCE_MAX: usize = 400;

/// The problems as a terminal shows them, in the order of the file, with a blank line between them.
///
/// ```text
/// error: gateway 10.1.0.1 is on no subnet of `web`
///   --> lab.yaml:14:16
/// 14 |       gateway: 10.1.0.1
///    |                ^^^^^^^^ `web` has 10.2.0.0/24 on eth0
/// help: did you mean 10.2.0.1?
/// ```
///
/// `file` is the name to show, `text` the file that the spans belong to. A span that does not fit it is moved to where it
/// does; one that covers several lines is shown on its first; 0..0 is no place, only the file is named then.
#[must_use]
pub fn render(problems: &[Problem], file: &str, text: &str, colour: bool) -> String {
    render_sheets(problems, &[Sheet { name: file, text, at: 0 }], colour)
}

/// One of several texts that problems can point at.
#[derive(Debug, Clone, Copy)]
pub struct Sheet<'a> {
    /// The name to show.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// The number by which spans know its first byte.
    pub at: usize,
}

/// As [`render`], where the places are on several sheets, in the order of where they begin. What stands on another sheet
/// than the problem itself follows with that sheet's name.
#[must_use]
pub fn render_sheets(problems: &[Problem], sheets: &[Sheet<'_>], colour: bool) -> String {
    let style = if colour { &COLOUR } else { &PLAIN };
    let pages = sheets.iter().map(|sheet| Page {
        file: sentence(sheet.name),
        at: sheet.at,
        text: sheet.text,
        starts: line_starts(sheet.text),
        style,
    });
    let pages: Vec<Page<'_>> = pages.collect();
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by(|a, b| (a.span.start, a.span.end, &a.message).cmp(&(b.span.start, b.span.end, &b.message)));
    sorted.dedup();
    let shown: Vec<String> = sorted.into_iter().map(|problem| on_pages(problem, &pages)).collect();
    shown.join("\n")
}

/// The page that a span is on: the last one that begins before it.
fn page_of(pages: &[Page<'_>], span: &Range<usize>) -> usize {
    pages.iter().rposition(|page| page.at <= span.start).unwrap_or(0)
}

fn on_pages(problem: &Problem, pages: &[Page<'_>]) -> String {
    let own = page_of(pages, &problem.span);
    let Some(page) = pages.get(own) else { return String::new() };
    let local =
        |page: &Page<'_>, span: &Range<usize>| span.start.saturating_sub(page.at)..span.end.saturating_sub(page.at);
    let related = |at: usize, page: &Page<'_>| -> Vec<Related> {
        let here = problem.related.iter().filter(|(span, _)| page_of(pages, span) == at);
        here.map(|(span, label)| (local(page, span), label.clone())).collect()
    };
    let here = Problem { span: local(page, &problem.span), related: related(own, page), ..problem.clone() };
    let others = pages.iter().enumerate().filter(|(at, _)| *at != own);
    let others: Vec<_> = others.map(|(at, page)| (page, related(at, page))).collect();
    page.problem(&here, &others)
}

/// Select Graphic Rendition (ECMA-48, 8.3.117) before and after each part.
struct Style {
    error: &'static str,
    message: &'static str,
    frame: &'static str,
    caret: &'static str,
    related: &'static str,
    help: &'static str,
    off: &'static str,
}

const PLAIN: Style = Style { error: "", message: "", frame: "", caret: "", related: "", help: "", off: "" };
const COLOUR: Style = Style {
    error: "\u{1b}[1;31m",
    message: "\u{1b}[1m",
    frame: "\u{1b}[1;34m",
    caret: "\u{1b}[1;31m",
    related: "\u{1b}[1;34m",
    help: "\u{1b}[1;36m",
    off: "\u{1b}[0m",
};

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// A place and what is said there, as [`Problem::related`] has them.
type Related = (Range<usize>, String);

/// A file to point at.
struct Page<'a> {
    file: String,
    /// Its first byte as spans know it.
    at: usize,
    text: &'a str,
    /// First byte of each line.
    starts: Vec<usize>,
    style: &'a Style,
}

/// A place within one line.
struct Mark<'a> {
    /// From 0.
    line: usize,
    /// Bytes of the line.
    span: Range<usize>,
    label: &'a str,
    primary: bool,
}

impl Page<'_> {
    /// `others` are places on other pages.
    fn problem(&self, problem: &Problem, others: &[(&Page<'_>, Vec<Related>)]) -> String {
        let Style { error, message, help, off, .. } = self.style;
        let mut out = format!("{error}error{off}{message}: {}{off}\n", sentence(&problem.message));
        let mut marks = Vec::new();
        if problem.span != (0..0) && !self.text.trim().is_empty() {
            marks.push(self.mark(&problem.span, &problem.label, true));
        }
        marks.extend(problem.related.iter().map(|(span, label)| self.mark(span, label, false)));
        let is_placed = marks.first().is_some_and(|mark| mark.primary);
        self.places(&mut out, &marks, is_placed);
        for (page, related) in others.iter().filter(|(_, related)| !related.is_empty()) {
            let marks: Vec<Mark<'_>> = related.iter().map(|(span, label)| page.mark(span, label, false)).collect();
            page.places(&mut out, &marks, true);
        }
        if let Some(text) = &problem.help {
            writeln!(out, "{help}help{off}: {}", sentence(text)).unwrap_or_default();
        }
        out
    }

    /// Where: the file and the place of the first mark, if that is to be told, and the lines with their marks.
    fn places(&self, out: &mut String, marks: &[Mark<'_>], is_placed: bool) {
        let Style { frame, off, .. } = self.style;
        let width = marks.iter().map(|mark| (mark.line + 1).to_string().len()).max().unwrap_or(1);
        // writing to a String cannot fail
        match marks.first().filter(|_| is_placed) {
            Some(mark) => {
                let column = self.line(mark.line).get(..mark.span.start).map_or(0, |before| before.chars().count()) + 1;
                writeln!(out, "{:width$}{frame}-->{off} {}:{}:{column}", "", self.file, mark.line + 1)
            }
            None => writeln!(out, "{:width$}{frame}-->{off} {}", "", self.file),
        }
        .unwrap_or_default();
        let lines: BTreeSet<usize> = marks.iter().map(|mark| mark.line).collect();
        let mut before = None;
        for &line in &lines {
            if before.is_some_and(|before| before + 1 < line) {
                writeln!(out, "{frame}...{off}").unwrap_or_default();
            }
            before = Some(line);
            let here: Vec<&Mark<'_>> = marks.iter().filter(|mark| mark.line == line).collect();
            self.lines(out, line, &here, width);
        }
    }

    /// A line with its marks under it.
    fn lines(&self, out: &mut String, line: usize, marks: &[&Mark<'_>], width: usize) {
        let Style { frame, caret, related, off, .. } = self.style;
        let text = self.line(line);
        let window = window(text, marks.first().map_or(0, |mark| mark.span.start));
        let cut = |at: usize, left: bool| if left { at > 0 } else { at < text.len() };
        let (before, after) = (cut(window.start, true), cut(window.end, false));
        let shown = text.get(window.clone()).unwrap_or_default();
        let shown = format!("{}{}{}", if before { "…" } else { "" }, clean(shown), if after { "…" } else { "" });
        let shown = shown.trim_end();
        let space = if shown.is_empty() { "" } else { " " };
        writeln!(out, "{frame}{:>width$} |{off}{space}{shown}", line + 1).unwrap_or_default();
        for mark in marks {
            let start = mark.span.start.clamp(window.start, window.end);
            let end = mark.span.end.clamp(start, window.end);
            let columns = |range: Range<usize>| clean(text.get(range).unwrap_or_default()).width();
            let indent = usize::from(before) + columns(window.start..start);
            let (colour, sign) = if mark.primary { (caret, "^") } else { (related, "-") };
            let line = sign.repeat(columns(start..end).max(1));
            let label = sentence(mark.label);
            let space = if label.is_empty() { "" } else { " " };
            writeln!(out, "{frame}{:width$} |{off} {:indent$}{colour}{line}{space}{label}{off}", "", "")
                .unwrap_or_default();
        }
    }

    /// Where a span is, whatever it is: clipped to the text, to whole characters and to its first line.
    fn mark<'l>(&self, span: &Range<usize>, label: &'l str, primary: bool) -> Mark<'l> {
        let mut start = span.start.min(self.text.len());
        if start == self.text.len() {
            // the end of the file is shown where its last line ends
            start = self.text.trim_end().len();
        }
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        let line = self.starts.partition_point(|&first| first <= start).saturating_sub(1);
        let first = self.starts.get(line).copied().unwrap_or(0);
        let length = self.line(line).len();
        let start = (start - first).min(length);
        Mark { line, span: start..(end - first).clamp(start, length), label, primary }
    }

    /// A line without its end.
    fn line(&self, line: usize) -> &str {
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let end = self.starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let line = self.text.get(start..end).unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }
}

/// The bytes of a line that are shown so that the byte `at` is among them: all, or [`WIDTH`] columns.
fn window(line: &str, at: usize) -> Range<usize> {
    let columns = |c: char| clean_width(c);
    // no more than so many characters fit; looking at all of a line of a megabyte for each problem would take its time
    let fits = line.len() <= 4 * WIDTH && line.chars().map(columns).sum::<usize>() <= WIDTH;
    if fits {
        return 0..line.len();
    }
    let mut start = at;
    let mut used = 0;
    for (place, c) in line.get(..at).unwrap_or_default().char_indices().rev() {
        used += columns(c);
        if used > BEFORE {
            break;
        }
        start = place;
    }
    let mut end = start;
    let mut used = 0;
    // zero-width characters take no columns: count at least one for each two of them
    for (number, c) in line.get(start..).unwrap_or_default().chars().enumerate() {
        used += columns(c);
        if used.max(number / 2) > WIDTH {
            break;
        }
        end += c.len_utf8();
    }
    start..end
}

fn clean_width(c: char) -> usize {
    match c {
        '\t' => TAB,
        _ => visible(c).width().unwrap_or(1),
    }
}

/// The text with everything visible that a terminal would obey.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.extend(std::iter::repeat_n(' ', TAB)),
            _ => out.push(visible(c)),
        }
    }
    out
}

/// A message, label or help. It may quote a text of the file that is as long as the file.
fn sentence(text: &str) -> String {
    match text.char_indices().nth(SENTENCE_MAX) {
        None => clean(text),
        Some((end, _)) => clean(text.get(..end).unwrap_or_default()) + "…",
    }
}

/// A character as it can be shown to anybody: control characters become their pictures (U+2400 and following); others that
/// have no shape of their own, reorder the text or hide become U+FFFD.
#[must_use]
pub fn visible(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => '\u{fffd}',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str, span: Range<usize>) -> String {
        render(&[Problem::new("wrong", span).label("here").help("right")], "lab.yaml", text, false)
    }

    #[test]
    fn a_problem_points_at_its_place() {
        assert_eq!(
            one("a: 1\nb: täg: x\n", 8..12),
            "error: wrong\n --> lab.yaml:2:4\n2 | b: täg: x\n  |    ^^^ here\nhelp: right\n"
        );
    }

    #[test]
    fn related_places_are_in_the_order_of_the_file() {
        let problem = Problem::new("twice", 12..13).label("again").related(0..1, "first");
        assert_eq!(
            render(&[problem], "f", "a: 1\nb: 1\nc:\na: 2\n", false).lines().collect::<Vec<_>>(),
            ["error: twice", " --> f:3:3", "1 | a: 1", "  | - first", "...", "3 | c:", "  |   ^ again"]
        );
    }

    #[test]
    fn the_end_of_the_file_is_where_the_last_line_ends() {
        assert_eq!(
            one("a: \"b\n\n", 7..7),
            "error: wrong\n --> lab.yaml:1:6\n1 | a: \"b\n  |      ^ here\nhelp: right\n"
        );
    }

    #[test]
    fn no_place_names_the_file_alone() {
        assert_eq!(one("a: b", 0..0), "error: wrong\n --> lab.yaml\nhelp: right\n");
        assert_eq!(one("\n", 0..1), "error: wrong\n --> lab.yaml\nhelp: right\n");
    }

    #[test]
    fn a_place_on_another_sheet_has_that_sheets_name() {
        let line = Sheet { name: "command line", text: "raum addr add red 10.0.0.1/24", at: 100 };
        let lab = Sheet { name: "lab", text: "a: 1\nb: 10.0.0.1\n", at: 0 };
        let problem = Problem::new("twice", 118..129).label("again").related(8..16, "first").help("another");
        assert_eq!(
            render_sheets(&[problem], &[lab, line], false).lines().collect::<Vec<_>>(),
            [
                "error: twice",
                " --> command line:1:19",
                "1 | raum addr add red 10.0.0.1/24",
                "  |                   ^^^^^^^^^^^ again",
                " --> lab:2:4",
                "2 | b: 10.0.0.1",
                "  |    -------- first",
                "help: another"
            ]
        );
    }

    #[test]
    fn escapes_are_shown_and_carets_stay_under_their_place() {
        assert_eq!(
            one("\t\u{1b}[31mx\u{202e}: 漢字 y", 19..20),
            "error: wrong\n --> lab.yaml:1:14\n1 |     ␛[31mx\u{fffd}: 漢字 y\n  |                   ^ here\nhelp: right\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(500_000), "b".repeat(500_000));
        let shown = one(&text, 500_000..500_004);
        assert!(shown.lines().all(|line| line.width() < 140), "{shown}");
        assert!(shown.contains("aHEREb") && shown.contains(":1:500001"), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let column = |line: &str, part: &str| line.find(part).map(|at| line[..at].width());
        assert_eq!(column(lines[2], "HERE"), column(lines[3], "^^^^"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_text_and_any_span_can_be_shown(text in "(?s).{0,300}", spans in proptest::collection::vec((0usize..400, 0usize..400), 1..5), colour: bool) {
            let mut problem = Problem::new(text.clone(), 0..0).help(text.clone());
            for (start, end) in spans {
                problem.span = start..end;
                problem.related.push((end..start, text.clone()));
            }
            let shown = render(&[problem], &text, &text, colour);
            let shown = ["31", "34", "36"].iter().fold(shown, |shown, sgr| shown.replace(&format!("\u{1b}[1;{sgr}m"), ""));
            let shown = shown.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
            prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", shown);
        }
    }
}
