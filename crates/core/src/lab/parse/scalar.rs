//! What a text without quotes may be taken for: by YAML 1.2 (core schema, YAML 1.2.2 section 10.3.2), or by the many readers
//! that still do as YAML 1.1 said (yes, on, 1_000, 22:22, 010).

use super::form::{Form, Text};
use super::read::Reader;
use super::tree::Scalar;
use crate::problem::Problem;

/// What a scalar is to a YAML reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Text to every reader.
    Text,
    /// `true` or `false`.
    Bool,
    /// `yes`, `on`, `n`: true or false to readers of YAML 1.1.
    OddBool,
    /// `null` or `~`.
    Null,
    /// A decimal number.
    Number,
    /// Something that readers understand as different numbers, or some not as a number: what one of them makes of it.
    OddNumber(&'static str),
}

/// What a scalar is to a YAML reader.
pub(super) fn reading(scalar: &Scalar) -> Reading {
    if !scalar.plain {
        return Reading::Text;
    }
    let text = scalar.text.as_str();
    match text {
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Reading::Bool,
        "y" | "Y" | "n" | "N" => return Reading::OddBool,
        "null" | "Null" | "NULL" | "~" => return Reading::Null,
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "yes" | "no" | "on" | "off") {
        return Reading::OddBool;
    }
    let digits = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    let all = |digits: &str, one: fn(u8) -> bool| !digits.is_empty() && digits.bytes().all(one);
    let octal = |b: u8| matches!(b, b'0'..=b'7' | b'_');
    if all(digits, |b| b.is_ascii_digit()) {
        return match digits.strip_prefix('0') {
            Some(rest) if all(rest, octal) => Reading::OddNumber("an octal number"),
            _ => Reading::Number,
        };
    }
    if let Some(rest) = digits.strip_prefix("0x")
        && all(rest, |b| b.is_ascii_hexdigit() || b == b'_')
    {
        return Reading::OddNumber("a hexadecimal number");
    }
    if let Some(rest) = digits.strip_prefix("0o")
        && all(rest, octal)
    {
        return Reading::OddNumber("an octal number");
    }
    if let Some(rest) = digits.strip_prefix("0b")
        && all(rest, |b| matches!(b, b'0' | b'1' | b'_'))
    {
        return Reading::OddNumber("a binary number");
    }
    if digits.contains('_')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && all(digits, |b| b.is_ascii_digit() || b == b'_')
    {
        return Reading::OddNumber("a number with `_` between its digits");
    }
    if sexagesimal(digits) {
        return Reading::OddNumber("a number with the base 60");
    }
    if matches!(digits, ".inf" | ".nan") || float(digits) {
        return Reading::Number;
    }
    Reading::Text
}

/// Does a text need quotes, so that every reader takes it for this text?
pub(in crate::lab) fn needs_quotes(text: &str) -> bool {
    // a character set that means nothing to YAML anywhere in a text, in brackets or not; a space only between others
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ' ');
    let harmless =
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && !text.ends_with(' ') && text.chars().all(plain);
    let scalar = Scalar { text: text.to_owned(), plain: true, span: 0..0, verbatim: None };
    !harmless || reading(&scalar) != Reading::Text
}

/// `22:22`, `1:30:00` (YAML 1.1, https://yaml.org/type/int.html): digits, then groups below 60.
fn sexagesimal(text: &str) -> bool {
    let mut groups = text.split(':');
    let first = groups.next().unwrap_or_default();
    let mut more = 0;
    let low = groups.all(|group| {
        more += 1;
        matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    });
    let first_ok = first.starts_with(|c: char| ('1'..='9').contains(&c)) && first.bytes().all(|b| b.is_ascii_digit());
    low && more > 0 && first_ok
}

/// A number with a point or an exponent (YAML 1.2.2, section 10.3.2), the sign taken off.
fn float(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once('e').map_or((text, None), |(m, e)| (m, Some(e)));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent_ok && digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
}

/// A number in plain decimal digits, without sign or leading zero.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

/// The number that somebody may have meant who wrote `1_500` or `"1500"`.
pub(super) fn meant_number(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches(['+', '0']).replace(['_', ','], "");
    decimal(text.strip_suffix(".0").unwrap_or(&text))
}

/// What a scalar is, for under the caret; nothing if it is simply text.
pub(super) fn description(scalar: &Scalar) -> String {
    match reading(scalar) {
        Reading::Text => {
            let bare = Scalar { text: scalar.text.clone(), plain: true, span: 0..0, verbatim: None };
            match reading(&bare) {
                Reading::Text => String::new(),
                _ => "in quotes this is text".to_owned(),
            }
        }
        Reading::Bool => "without quotes this is true or false".to_owned(),
        Reading::Null => "without quotes this is nothing".to_owned(),
        Reading::Number => "without quotes this is a number".to_owned(),
        Reading::OddBool => "without quotes some YAML readers take this for true or false".to_owned(),
        Reading::OddNumber(what) => format!("without quotes some YAML readers take this for {what}"),
    }
}

/// The problem of a plain scalar that somebody takes for something else than the text that is meant here.
pub(super) fn surprise<F: Form>(scalar: &Scalar) -> Option<Problem> {
    let reading = reading(scalar);
    if reading == Reading::Text || (F::NUMBER && reading == Reading::Number && decimal(&scalar.text).is_some()) {
        return None;
    }
    let problem = Problem::new(format!("expected {}, found `{}`", F::WHAT, scalar.text), scalar.span.clone())
        .label(description(scalar));
    let mut trial = Reader { problems: Vec::new() };
    let good = F::parse(Text::of(scalar), &mut trial).is_some() && trial.problems.is_empty();
    Some(match meant_number(&scalar.text) {
        _ if good => problem.help(format!("put it in quotes: \"{}\"", scalar.text)),
        Some(number) if F::NUMBER => problem.help(format!("write {number}")),
        _ => problem.help(F::HELP),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reading {
        reading(&Scalar { text: text.to_owned(), plain: true, span: 0..0, verbatim: None })
    }

    #[test]
    fn network_texts_are_text() {
        for text in [
            "lan",
            "10.0.0.1",
            "10.0.0.0/8",
            "8080:80",
            "fd00::1",
            "::1",
            "02:00:5e:10:00:01",
            "n[1-3]",
            "80/udp",
            "e1",
            "a1",
        ] {
            assert_eq!(read(text), Reading::Text, "{text}");
        }
    }

    #[test]
    fn what_some_readers_take_for_a_number_is_no_text() {
        for text in ["1_000", "010", "0x1f", "0o17", "0b11", "22:22", "1:30:00", "10:20:30:40:50:51"] {
            assert!(matches!(read(text), Reading::OddNumber(_)), "{text}");
        }
        for text in ["1", "-1", "1.5", "1e3", ".5", "1.", "+1.2e-7", ".inf", "089"] {
            assert_eq!(read(text), Reading::Number, "{text}");
        }
    }

    #[test]
    fn words_for_true_and_false() {
        for text in ["yes", "No", "ON", "off", "y", "N"] {
            assert_eq!(read(text), Reading::OddBool, "{text}");
        }
        assert_eq!(read("true"), Reading::Bool);
    }
}
