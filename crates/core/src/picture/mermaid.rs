//! Mermaid: for Markdown on a forge, which draws it.
//!
//! All texts are in quotes, as entities where Mermaid or the HTML that it makes would take them for something else
//! (<https://mermaid.js.org/syntax/flowchart.html>, "Entity codes to escape characters").

use super::{End, Kind, Picture, Thing};

/// Draws it.
#[must_use]
pub fn mermaid(picture: &Picture) -> String {
    let mut out = String::from("flowchart TB\n");
    for (index, thing) in picture.things.iter().enumerate() {
        let label = label(thing);
        out += &match thing.kind {
            Kind::Outside => format!("  t{index}([\"{label}\"])\n"),
            Kind::Switch => format!("  t{index}[[\"{label}\"]]\n"),
            Kind::Host => format!("  t{index}{{{{\"{label}\"}}}}\n"),
            Kind::Room => format!("  t{index}[\"{label}\"]\n"),
            Kind::Unseen => format!("  t{index}(\"{label}\")\n"),
        };
    }
    for wire in &picture.wires {
        let [a, b] = &wire.ends;
        let words: Vec<String> = [a, b].into_iter().filter_map(end).collect();
        let line = if wire.up { "---" } else { "-.-" };
        let text = if words.is_empty() { String::new() } else { format!("|\"{}\"|", words.join("<br/>")) };
        out += &format!("  t{} {line}{text} t{}\n", a.thing, b.thing);
    }
    out
}

fn label(thing: &Thing) -> String {
    let lines = std::iter::once(&thing.name).chain(&thing.details).chain(&thing.loose);
    let lines: Vec<String> = lines.chain(thing.notes.iter().map(|note| &note.text)).map(|text| plain(text)).collect();
    lines.join("<br/>")
}

fn end(end: &End) -> Option<String> {
    let words: Vec<String> = end.interface.iter().chain(&end.addresses).map(|text| plain(text)).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Letters, digits, and what stands in names and addresses; all else by its number.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            c if c.is_control() || super::svg::is_direction(c) => out.push('\u{fffd}'),
            '.' | ':' | '/' | '-' | '_' | ' ' | '→' | '…' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => out += &format!("#{};", u32::from(c)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_quotes_or_begins_a_tag() {
        assert_eq!(plain("a\"]; click x"), "a#34;#93;#59; click x");
        assert_eq!(plain("<img src=x>#35;"), "#60;img src#61;x#62;#35;35#59;");
        assert_eq!(plain("10.0.0.1/24 fd00::1/64"), "10.0.0.1/24 fd00::1/64");
    }
}
