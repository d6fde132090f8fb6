//! Sets and maps: what is in them, and whether something is.

use serde::{Deserialize, Serialize};

use super::expr::{Expr, Verdict};

/// A set, or a map.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Set {
    /// Its name; `__set0` for one that is written inside a rule.
    pub name: String,
    /// Written inside a rule.
    pub anonymous: bool,
    /// It leads from keys to values.
    pub map: bool,
    /// Elements are from … to.
    pub interval: bool,
    /// nft's number of the key's type: six bits for each part of a concatenation.
    pub key_type: u32,
    /// Bytes of a key, as it is in registers.
    pub key_length: usize,
    /// nft's number of the value's type, or `NFT_DATA_VERDICT`.
    pub data_type: u32,
    /// Bytes of a value.
    pub data_length: usize,
    /// Bytes of each part of a concatenation, without padding; empty if the kernel does not say.
    pub fields: Vec<usize>,
    /// Packets add to it: what is in it now says little about later.
    pub dynamic: bool,
    /// The comment somebody gave it.
    pub comment: Option<String>,
    /// What is in it, in order.
    pub elements: Vec<Element>,
}

/// An element of a set: a key, or all from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// The key, or the first.
    pub key: Vec<u8>,
    /// The last, if it is more than one.
    pub to: Option<Vec<u8>>,
    /// `*`: whatever is not in the set else.
    pub rest: bool,
    /// Of a map.
    pub data: Option<Data>,
    /// The comment somebody gave it.
    pub comment: Option<String>,
    /// What is done for each packet that is found so: a counter, usually.
    pub exprs: Vec<Expr>,
}

/// What a map leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// A value.
    Value(Vec<u8>),
    /// A verdict: `vmap`.
    Verdict(Verdict),
    /// A named object.
    Object(String),
}

/// An element as the kernel tells it: intervals come as where they begin, and where what is not in the set begins again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawElement {
    /// The element.
    pub element: Element,
    /// `NFT_SET_ELEM_INTERVAL_END`: here the gap begins.
    pub end: bool,
}

impl Set {
    /// Puts in what the kernel tells, with intervals put together.
    pub fn fill(&mut self, raw: Vec<RawElement>) {
        let whole = |raw: &RawElement| raw.element.to.is_some() || raw.element.rest;
        // with a concatenation each element tells both its ends
        if !self.interval || self.fields.len() > 1 {
            self.elements = raw.into_iter().filter(|raw| !raw.end).map(|raw| raw.element).collect();
        } else {
            let (mut whole, mut points): (Vec<_>, Vec<_>) = raw.into_iter().partition(whole);
            // an end and a beginning at the same place: the end is that of the one before
            points.sort_by(|a, b| (&a.element.key, !a.end).cmp(&(&b.element.key, !b.end)));
            let mut points = points.into_iter().peekable();
            while let Some(point) = points.next() {
                if point.end {
                    continue;
                }
                let mut element = point.element;
                element.to = match points.peek() {
                    Some(next) => before(&next.element.key),
                    None => Some(vec![0xff; element.key.len()]),
                };
                if element.to.as_ref() == Some(&element.key) {
                    element.to = None;
                }
                self.elements.push(element);
            }
            self.elements.extend(whole.drain(..).map(|raw| raw.element));
        }
        self.elements.sort_by(|a, b| (a.rest, &a.key, &a.to).cmp(&(b.rest, &b.key, &b.to)));
    }

    /// The element that a key falls into.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&Element> {
        let found = self.elements.iter().find(|element| !element.rest && self.holds(element, key));
        found.or_else(|| self.elements.iter().find(|element| element.rest))
    }

    fn holds(&self, element: &Element, key: &[u8]) -> bool {
        let Some(to) = &element.to else { return element.key == key };
        let parts = self.parts(key.len());
        parts.iter().all(|part| {
            let at = |bytes: &'_ [u8]| bytes.get(part.clone()).map(<[u8]>::to_vec);
            match (at(&element.key), at(key), at(to)) {
                (Some(low), Some(value), Some(high)) => low <= value && value <= high,
                _ => false,
            }
        })
    }

    /// Where the parts of a concatenation are in a key: each begins at a multiple of four.
    #[must_use]
    pub fn parts(&self, length: usize) -> Vec<std::ops::Range<usize>> {
        if self.fields.is_empty() {
            return std::iter::once(0..length).collect();
        }
        let mut at = 0;
        let mut parts = Vec::new();
        for field in &self.fields {
            let end = at + field;
            parts.push(at..end.min(length).max(at.min(length)));
            at = end.next_multiple_of(4);
        }
        parts
    }
}

/// The number before this one, in network byte order; None before 0.
fn before(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (less, borrow) = byte.overflowing_sub(1);
        *byte = less;
        if !borrow {
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(key: &[u8], end: bool) -> RawElement {
        let element =
            Element { key: key.to_vec(), to: None, rest: false, data: None, comment: None, exprs: Vec::new() };
        RawElement { element, end }
    }

    #[test]
    fn intervals_are_put_together_in_whatever_order_they_come() {
        let mut set = Set { interval: true, ..Set::default() };
        // 0.0: the gap at the beginning; 1.0-1.255; 2.0-2.5 right after it; 255.0 to the end
        let mut all = vec![
            raw(&[0, 0], true),
            raw(&[1, 0], false),
            raw(&[2, 0], true),
            raw(&[2, 0], false),
            raw(&[2, 6], true),
            raw(&[255, 0], false),
        ];
        all.reverse();
        set.fill(all);
        let ranges: Vec<_> = set.elements.iter().map(|e| (e.key.clone(), e.to.clone())).collect();
        let range = |low: [u8; 2], high: [u8; 2]| (low.to_vec(), Some(high.to_vec()));
        assert_eq!(ranges, [range([1, 0], [1, 255]), range([2, 0], [2, 5]), range([255, 0], [255, 255])]);
        for (key, there) in [([1, 9], true), ([2, 5], true), ([2, 6], false), ([0, 0], false), ([255, 255], true)] {
            assert_eq!(set.find(&key).is_some(), there, "{key:?}");
        }
    }

    #[test]
    fn each_part_of_a_concatenation_has_its_own_interval() {
        let mut set = Set { interval: true, fields: vec![4, 2], ..Set::default() };
        let mut element = raw(&[10, 0, 0, 0, 0, 80, 0, 0], false);
        element.element.to = Some(vec![10, 0, 0, 255, 0, 90, 0, 0]);
        set.fill(vec![element]);
        assert!(set.find(&[10, 0, 0, 7, 0, 85, 0, 0]).is_some());
        assert!(set.find(&[10, 0, 0, 7, 0, 91, 0, 0]).is_none());
        assert!(set.find(&[10, 0, 1, 0, 0, 85, 0, 0]).is_none());
    }
}
