//! Aligned columns, and lines no longer than the terminal is wide.

use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

use crate::output::colour_length;

/// Columns of a terminal that is none.
const WIDTH: usize = 100;

/// How long a line may be.
pub fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return WIDTH;
    }
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| usize::from(width.0).clamp(60, 160))
}

/// How many columns a text takes, paint left out.
pub fn columns(text: &str) -> usize {
    let mut columns = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let paint = colour_length(rest);
        rest = &rest[paint..];
        // up to the next sequence; an escape that begins none is a character like others
        let plain = rest.match_indices('\x1b').map(|(at, _)| at).find(|at| *at > 0).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(plain);
        columns += if part.is_ascii() { part.len() } else { part.width() };
        rest = behind;
    }
    columns
}

/// Rows in columns of equal width, with so many spaces before each line. A cell of several lines is allowed.
pub fn aligned(indent: usize, rows: Vec<Vec<String>>) -> Vec<String> {
    // each line of a cell with how wide it is, measured once
    let measured =
        |cell: &String| -> Vec<(String, usize)> { cell.lines().map(|line| (line.to_owned(), columns(line))).collect() };
    let rows: Vec<Vec<Vec<(String, usize)>>> = rows.iter().map(|row| row.iter().map(measured).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.iter().map(|(_, width)| *width).max().unwrap_or(0).max(*width);
        }
    }
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        for at in 0..row.iter().map(Vec::len).max().unwrap_or(0) {
            let mut line = " ".repeat(indent);
            let mut gap = 0;
            for (cell, width) in row.iter().zip(&widths) {
                let (part, used) = cell.get(at).map_or(("", 0), |(part, used)| (part.as_str(), *used));
                if !part.is_empty() {
                    line.extend(std::iter::repeat_n(' ', gap));
                    line.push_str(part);
                    gap = 0;
                }
                // no blanks behind the last word of a line
                gap += width - used + if *width > 0 { 2 } else { 0 };
            }
            line.push('\n');
            lines.push(line);
        }
    }
    lines
}

/// Puts items beside each other, as many as fit into a width, into lines of one cell. Each comes as it looks and as it is
/// painted.
pub fn flow(items: &[(String, String)], width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for (plain, painted) in items {
        let length = plain.width();
        if used > 0 && used + 2 + length > width {
            text.push('\n');
            used = 0;
        }
        if used > 0 {
            text.push_str("  ");
            used += 2;
        }
        text.push_str(painted);
        used += length;
    }
    text
}

/// A list in words, not longer than so many items.
pub fn some(items: &[String], most: usize) -> String {
    match items.len() {
        count if count > most => format!("{} and {} more", items[..most].join(", "), count - most),
        _ => items.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_seen() {
        let row = |cells: [&str; 3]| cells.map(ToOwned::to_owned).to_vec();
        let lines = aligned(1, vec![row(["\x1b[1mab\x1b[0m", "", "x\ny"]), row(["a", "", "z"])]);
        assert_eq!(lines, [" \x1b[1mab\x1b[0m  x\n", "     y\n", " a   z\n"]);
    }

    #[test]
    fn items_flow_into_lines_that_fit() {
        let items: Vec<_> = ["aaa", "bbb", "ccccccc"].map(|text| (text.to_owned(), text.to_owned())).to_vec();
        assert_eq!(flow(&items, 8), "aaa  bbb\nccccccc");
        assert_eq!(flow(&items, 2), "aaa\nbbb\nccccccc");
        assert_eq!(flow(&[], 2), "");
    }
}
