//! Aligned columns, and lines no longer than the terminal is wide.

use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

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
    anstream::adapter::strip_str(text).to_string().width()
}

/// Rows in columns of equal width, with so many spaces before each line. A cell of several lines is allowed.
pub fn aligned(indent: usize, rows: Vec<Vec<String>>) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.lines().map(columns).max().unwrap_or(0).max(*width);
        }
    }
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        for at in 0..row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0) {
            let mut line = " ".repeat(indent);
            let mut gap = 0;
            for (cell, width) in row.iter().zip(&widths) {
                let part = cell.lines().nth(at).unwrap_or_default();
                if !part.is_empty() {
                    line.extend(std::iter::repeat_n(' ', gap));
                    line.push_str(part);
                    gap = 0;
                }
                // no blanks behind the last word of a line
                gap += width - columns(part) + if *width > 0 { 2 } else { 0 };
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
