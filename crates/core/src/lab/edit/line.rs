//! The line that was typed, as a text that problems can point at, beside the lab that it is about.

/// Where the bytes of a line begin: behind those of any lab file, so that one problem can point at both.
pub const LINE_AT: usize = usize::MAX / 2;

/// A command as it was typed, its words between single spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

/// Words of a [`Line`], with their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    pub(super) text: String,
    pub(super) at: usize,
}

impl Line {
    /// A line that begins with these words: `raum route add`.
    #[must_use]
    pub fn new(command: &str) -> Self {
        Self(command.to_owned())
    }

    /// Goes on with these words.
    pub fn words<W: AsRef<str>>(&mut self, words: &[W]) -> Words {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        self.push(&words.join(" "))
    }

    /// Goes on with an option, `--mtu 1400`; its value is returned.
    pub fn option(&mut self, name: &str, value: &str) -> Words {
        self.push(name);
        self.push(value)
    }

    /// Goes on with a flag, `--nat`.
    pub fn flag(&mut self, name: &str) -> Words {
        self.push(name)
    }

    /// The line, whose first byte problems know as [`LINE_AT`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn push(&mut self, text: &str) -> Words {
        if !text.is_empty() {
            self.0.push(' ');
        }
        let at = LINE_AT + self.0.len();
        // it is one line, whatever the shell was given
        let text = text.replace(['\n', '\r'], " ");
        self.0.push_str(&text);
        Words { text, at }
    }
}

impl Words {
    /// Their place.
    pub(super) fn span(&self) -> std::ops::Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// The words one by one.
    pub(super) fn split(&self) -> Vec<Words> {
        let mut words = Vec::new();
        let mut from = 0;
        for part in self.text.split(|c: char| c.is_ascii_whitespace()) {
            if !part.is_empty() {
                words.push(Words { text: part.to_owned(), at: self.at + from });
            }
            from += part.len() + 1;
        }
        words
    }

    /// From one word to another one as one text; `words` are of this one.
    pub(super) fn join(&self, words: &[Words]) -> Words {
        match (words.first(), words.last()) {
            (Some(first), Some(last)) => {
                let range = first.at - self.at..last.at + last.text.len() - self.at;
                Words { text: self.text.get(range).unwrap_or_default().to_owned(), at: first.at }
            }
            _ => Words { text: String::new(), at: self.at + self.text.len() },
        }
    }

    /// The first word and the rest.
    pub(super) fn split_first(&self) -> (Words, Words) {
        let words = self.split();
        let (first, rest) = words.split_at(words.len().min(1));
        (self.join(first), self.join(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_their_place_in_the_line() {
        let mut line = Line::new("raum route add");
        let words = line.words(&["red", "default via", "10.0.0.1"]);
        let lab = line.option("--lab", "shop");
        assert_eq!(line.as_str(), "raum route add red default via 10.0.0.1 --lab shop");
        for words in words.split().iter().chain([&lab]) {
            let start = words.at - LINE_AT;
            assert_eq!(&line.as_str()[start..start + words.text.len()], words.text);
        }
        let (node, route) = words.split_first();
        assert_eq!((node.text.as_str(), route.text.as_str()), ("red", "default via 10.0.0.1"));
    }
}
