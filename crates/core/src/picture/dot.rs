//! DOT: for Graphviz and whatever else reads it (<https://graphviz.org/doc/info/lang.html>).

use super::svg::{escaped, is_direction};
use super::{End, Kind, Picture, Thing};

/// Draws it.
#[must_use]
pub fn dot(picture: &Picture) -> String {
    let mut out = format!("graph {} {{\n", quoted(&picture.title));
    out += "  graph [rankdir=TB, nodesep=0.4, ranksep=0.9]\n";
    out += "  node [fontname=\"sans-serif\", fontsize=11, shape=box, style=rounded]\n";
    out += "  edge [fontname=\"monospace\", fontsize=9]\n";
    for (index, thing) in picture.things.iter().enumerate() {
        let shape = match thing.kind {
            Kind::Outside => "shape=ellipse, style=dashed",
            Kind::Host => "shape=house, style=solid",
            Kind::Room => "shape=box",
            Kind::Switch => "shape=box, style=filled, fillcolor=\"#dbeafe\"",
            Kind::Unseen => "shape=box, style=\"rounded,dashed\"",
        };
        out += &format!("  t{index} [label={}, {shape}]\n", label(thing));
    }
    for wire in &picture.wires {
        let [a, b] = &wire.ends;
        let style = if wire.up { "" } else { ", style=dashed" };
        let tail = quoted(&end(a));
        let head = quoted(&end(b));
        out += &format!("  t{} -- t{} [taillabel={tail}, headlabel={head}{style}]\n", a.thing, b.thing);
    }
    out + "}\n"
}

/// In the form that is like HTML, so that the name can be bold: there `&`, `<` and `>` are all that matters.
fn label(thing: &Thing) -> String {
    let lines = thing.details.iter().chain(&thing.loose).chain(thing.notes.iter().map(|note| &note.text));
    let lines: String = lines.map(|text| format!("<br/>{}", escaped(text))).collect();
    format!("<<b>{}</b>{lines}>", escaped(&thing.name))
}

fn end(end: &End) -> String {
    let words: Vec<&str> = end.interface.iter().chain(&end.addresses).map(String::as_str).collect();
    words.join("\n")
}

/// A text in quotes. A backslash begins an escape of labels (`\N` is the node's name), so it is doubled.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // entities are read in every label
            '&' => out.push_str("&amp;"),
            c if c.is_control() || is_direction(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_quotes() {
        assert_eq!(quoted("a\"]; evil [x=\""), "\"a\\\"]; evil [x=\\\"\"");
        assert_eq!(quoted("\\"), "\"\\\\\"");
    }
}
