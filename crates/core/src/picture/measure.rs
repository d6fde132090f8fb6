//! How wide a text will be, without having its font.
//!
//! Estimates are those of DejaVu Sans and DejaVu Sans Mono, the widest of the usual fonts, so that in any other a text is
//! shorter than the place that is kept for it.

use unicode_width::UnicodeWidthChar;

/// A font, with its size in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Font {
    /// Bold, proportional.
    Title(f64),
    /// Proportional.
    Plain(f64),
    /// All characters the same width.
    Mono(f64),
}

impl Font {
    /// Its size in pixels.
    pub(super) fn size(self) -> f64 {
        match self {
            Font::Title(size) | Font::Plain(size) | Font::Mono(size) => size,
        }
    }

    /// The width of a text in pixels, rounded up.
    pub(super) fn width(self, text: &str) -> f64 {
        let ems: f64 = text
            .chars()
            .map(|c| match (self, c.width().unwrap_or(1)) {
                (_, 0) => 0.0,
                (_, 2..) => 1.25,
                (Font::Mono(_), _) => 0.605,
                (Font::Plain(_), _) => proportional(c),
                (Font::Title(_), _) => proportional(c) * 1.13,
            })
            .sum();
        (ems * self.size()).ceil()
    }
}

/// In ems.
fn proportional(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | '!' => 0.36,
        'f' | 'r' | 't' | '-' | '/' | '(' | ')' | '[' | ']' | '"' => 0.43,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 1.0,
        'A'..='Z' | '→' | '…' | '#' | '+' | '=' => 0.84,
        'a'..='z' | '0'..='9' => 0.64,
        _ => 0.9,
    }
}

/// A text no longer than so many characters, cut in its middle where both its ends tell something.
pub(super) fn cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head = most.saturating_sub(1) * 2 / 3;
    let tail = most.saturating_sub(1) - head;
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}
