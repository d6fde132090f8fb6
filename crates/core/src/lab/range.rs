//! Ranges of names: `n[1-100]` stands for n1, n2, … n100; `n[01-10]` keeps the zeros.

use crate::name::{NameError, NodeName};

/// The most nodes and switches of a lab, ranges expanded.
pub const NODES_MAX: u32 = 65_536;

/// A name, or a range of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRange {
    text: String,
    numbers: Option<Numbers>,
}

/// The part in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers {
    /// Bytes of the text before `[`.
    prefix: usize,
    /// Where the text goes on after `]`.
    suffix: usize,
    first: u32,
    last: u32,
    /// Digits to fill up with zeros.
    width: usize,
}

/// Why a text is neither a name nor a range of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not a name, or a name of the range would not be one.
    #[error("{0}")]
    Name(#[from] NameError),
    /// Brackets without `FIRST-LAST` between them.
    #[error("a range is written like [1-100]")]
    Form,
    /// `[` without `]`.
    #[error("the bracket is not closed")]
    Open,
    /// More than one pair of brackets.
    #[error("a name can have one range only")]
    Several,
    /// The last is less than the first.
    #[error("the range runs backwards")]
    Backwards {
        /// The range the right way round.
        turned: String,
    },
    /// `[1-010]`: how wide are the numbers?
    #[error("with leading zeros, both numbers have as many digits")]
    Width,
    /// More than [`NODES_MAX`].
    #[error("these are more than {NODES_MAX} names")]
    TooMany,
}

impl RangeError {
    /// The way out, where there is an obvious one.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            RangeError::Backwards { turned } => Some(format!("did you mean `{turned}`?")),
            _ => None,
        }
    }
}

impl NameRange {
    /// The name or range that the text stands for.
    ///
    /// # Errors
    /// [`RangeError`] says which rule it breaks. Each name of a range that was accepted is a valid node name.
    pub fn new(text: &str) -> Result<Self, RangeError> {
        let Some(open) = text.find('[') else {
            if text.contains(']') {
                return Err(RangeError::Form);
            }
            NodeName::new(text)?;
            return Ok(Self { text: text.to_owned(), numbers: None });
        };
        let (prefix, rest) = (&text[..open], &text[open + 1..]);
        let (inner, suffix) = rest.split_once(']').ok_or(RangeError::Open)?;
        if inner.contains('[') || suffix.contains(['[', ']']) {
            return Err(RangeError::Several);
        }
        let (from, to) = inner.split_once('-').ok_or(RangeError::Form)?;
        let number = |digits: &str| -> Result<u32, RangeError> {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(RangeError::Form);
            }
            digits.parse().map_err(|_| RangeError::TooMany)
        };
        let (first, last) = (number(from)?, number(to)?);
        let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
        if (padded(from) || padded(to)) && from.len() != to.len() {
            return Err(RangeError::Width);
        }
        if first > last {
            return Err(RangeError::Backwards { turned: format!("{prefix}[{to}-{from}]{suffix}") });
        }
        if last - first >= NODES_MAX {
            return Err(RangeError::TooMany);
        }
        let width = if padded(from) || padded(to) { from.len() } else { 1 };
        // the longest name: no other character than digits can differ
        NodeName::new(&format!("{prefix}{last:0width$}{suffix}"))?;
        let numbers = Numbers { prefix: open, suffix: text.len() - suffix.len(), first, last, width };
        Ok(Self { text: text.to_owned(), numbers: Some(numbers) })
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Is it a range, if only of one?
    #[must_use]
    pub fn is_range(&self) -> bool {
        self.numbers.is_some()
    }

    /// How many names it stands for; at least 1, at most [`NODES_MAX`].
    #[must_use]
    pub fn count(&self) -> u32 {
        self.numbers.as_ref().map_or(1, |n| n.last - n.first + 1)
    }

    /// The name at a place, counted from 0. A single name is at every place.
    ///
    /// # Errors
    /// None for a place below [`Self::count`]: all its names were checked when it was made.
    pub fn name(&self, at: u32) -> Result<NodeName, NameError> {
        match &self.numbers {
            None => NodeName::new(&self.text),
            Some(Numbers { prefix, suffix, first, width, .. }) => {
                let number = first.saturating_add(at);
                NodeName::new(&format!("{}{number:0width$}{}", &self.text[..*prefix], &self.text[*suffix..]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let range = NameRange::new(text).unwrap();
        (0..range.count()).map(|at| range.name(at).unwrap().to_string()).collect()
    }

    #[test]
    fn a_range_counts() {
        assert_eq!(names("n[8-11]"), ["n8", "n9", "n10", "n11"]);
        assert_eq!(names("n[08-11]x"), ["n08x", "n09x", "n10x", "n11x"]);
        assert_eq!(names("[0-1]"), ["0", "1"]);
        assert_eq!(names("web"), ["web"]);
    }

    #[test]
    fn a_wrong_range_is_refused() {
        for text in ["n[1-]", "n[1]", "n[a-b]", "n[1-2", "n1-2]", "n[1,2]", "n[1-2][3-4]", "n[[1-2]]", "n[+1-2]"] {
            assert!(NameRange::new(text).is_err(), "{text}");
        }
        assert!(matches!(NameRange::new("n[9-1]"), Err(RangeError::Backwards { turned }) if turned == "n[1-9]"));
        assert_eq!(NameRange::new("n[1-010]"), Err(RangeError::Width));
        assert_eq!(NameRange::new("n[0-65536]"), Err(RangeError::TooMany));
        assert_eq!(NameRange::new("n[0-99999999999999999999]"), Err(RangeError::TooMany));
        assert!(NameRange::new("n[0-65535]").is_ok());
        assert!(NameRange::new("_[0-1]").is_err());
    }

    #[test]
    fn the_longest_name_of_a_range_must_be_a_name() {
        let prefix = "a".repeat(61);
        assert!(NameRange::new(&format!("{prefix}[1-99]")).is_ok());
        assert!(NameRange::new(&format!("{prefix}[1-100]")).is_err());
    }
}
