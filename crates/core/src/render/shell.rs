//! Command lines for a POSIX shell.

use std::fmt::Display;

use crate::name::NsId;

/// A command line as it grows.
pub(super) struct Command(String);

impl Command {
    pub fn new(program: &str) -> Self {
        Self(program.to_owned())
    }

    /// Words of ours: nothing in them needs quotes.
    pub fn words(mut self, words: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(words);
        self
    }

    /// One word that comes from outside.
    pub fn value(self, value: impl Display) -> Self {
        self.words(&quoted(&value.to_string()))
    }

    pub fn line(self) -> String {
        self.0
    }
}

/// `ip`, in that namespace.
pub(super) fn ip(ns: &NsId) -> Command {
    inside(ns, "ip")
}

/// `bridge`, in that namespace.
pub(super) fn bridge(ns: &NsId) -> Command {
    inside(ns, "bridge")
}

fn inside(ns: &NsId, program: &str) -> Command {
    let command = Command::new(program);
    match ns.name() {
        None => command,
        Some(name) => command.words("-n").value(name),
    }
}

/// A program that runs in that namespace.
pub(super) fn in_namespace(ns: &NsId, program: &str) -> Command {
    match ns.name() {
        None => Command::new(program),
        Some(name) => Command::new("ip").words("netns exec").value(name).words(program),
    }
}

/// A word for the shell: as it is where every character is harmless, else in single quotes (POSIX.1-2017, XCU 2.2.2).
fn quoted(text: &str) -> String {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(is_harmless) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A line that is not among those of the text.
pub(super) fn heredoc_end(text: &str) -> String {
    let mut end = "END".to_owned();
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_would_read_is_quoted() {
        assert_eq!(quoted("10.0.0.1/24"), "10.0.0.1/24");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a;b"), "'a;b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("~$x"), "'~$x'");
    }

    #[test]
    fn a_heredoc_ends_where_it_shall() {
        assert_eq!(heredoc_end("a\nb\n"), "END");
        assert_eq!(heredoc_end("a\nEND\n"), "END_");
    }
}
