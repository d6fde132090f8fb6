//! Keys, as htop has them.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::Model;

/// All of them, for the help.
pub const KEYS: [(&str, &str); 14] = [
    ("↑ ↓ k j", "move"),
    ("PgUp PgDn", "move by a page"),
    ("Home End", "to the first, the last"),
    ("F3 /", "search for a namespace or an interface; n goes on"),
    ("F4 \\", "show only what has a text in its name"),
    ("F6 > <", "sort by the next column, by the one before"),
    ("I", "invert the order"),
    ("a", "show or hide interfaces through which nothing goes"),
    ("b", "bits or bytes"),
    ("t Enter", "show or hide who talks most in the namespace"),
    ("Z p", "pause"),
    ("Ctrl-Z", "leave it for the shell until `fg`"),
    ("F1 h ?", "this help"),
    ("F10 q Ctrl-C", "quit"),
];

/// A text that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typing {
    Filter(String),
    Search(String),
}

/// What keys mean at the moment.
#[derive(Debug, Default)]
pub struct Input {
    pub typing: Option<Typing>,
    pub help: bool,
    /// What was searched for last.
    searched: String,
}

impl Input {
    /// Does what a key says; false to end.
    pub fn press(&mut self, key: KeyEvent, model: &mut Model, page: usize) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return false;
        }
        if self.help {
            self.help = false;
            return true;
        }
        if let Some(typing) = self.typing.take() {
            self.typing = self.type_in(typing, key.code, model);
            return true;
        }
        let page = isize::try_from(page.max(1)).unwrap_or(isize::MAX);
        match key.code {
            KeyCode::F(10) | KeyCode::Char('q') => return false,
            KeyCode::F(1) | KeyCode::Char('h' | '?') => self.help = true,
            KeyCode::F(3) | KeyCode::Char('/') => self.typing = Some(Typing::Search(String::new())),
            KeyCode::F(4) | KeyCode::Char('\\') => self.typing = Some(Typing::Filter(model.filter.clone())),
            KeyCode::Char('n') => {
                model.go(1);
                model.search(&self.searched);
            }
            KeyCode::F(6) | KeyCode::Char('>' | '.') => model.order_by(true),
            KeyCode::Char('<' | ',') => model.order_by(false),
            KeyCode::Char('I') => model.inverted = !model.inverted,
            KeyCode::Char('a') => model.idle = !model.idle,
            KeyCode::Char('b') => model.bits = !model.bits,
            KeyCode::Char('t') | KeyCode::Enter => model.talkers_shown = !model.talkers_shown,
            KeyCode::Char('Z' | 'p') => model.paused = !model.paused,
            KeyCode::Up | KeyCode::Char('k') => model.go(-1),
            KeyCode::Down | KeyCode::Char('j') => model.go(1),
            KeyCode::PageUp => model.go(-page),
            KeyCode::PageDown => model.go(page),
            KeyCode::Home => model.go(isize::MIN),
            KeyCode::End => model.go(isize::MAX),
            _ => {}
        }
        true
    }

    fn type_in(&mut self, typing: Typing, key: KeyCode, model: &mut Model) -> Option<Typing> {
        let (Typing::Filter(text) | Typing::Search(text)) = &typing;
        let mut text = text.clone();
        match key {
            KeyCode::Enter => return None,
            KeyCode::Esc => {
                if matches!(typing, Typing::Filter(_)) {
                    model.filter.clear();
                }
                return None;
            }
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char(letter) => text.push(letter),
            _ => return Some(typing),
        }
        match typing {
            Typing::Filter(_) => {
                model.filter.clone_from(&text);
                Some(Typing::Filter(text))
            }
            Typing::Search(_) => {
                model.search(&text);
                self.searched.clone_from(&text);
                Some(Typing::Search(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, model: &mut Model, codes: &[KeyCode]) -> bool {
        codes.iter().all(|code| input.press(KeyEvent::new(*code, KeyModifiers::NONE), model, 10))
    }

    #[test]
    fn keys_type_into_a_filter_and_mean_themselves_again_afterwards() {
        let (mut input, mut model) = (Input::default(), Model::new());
        let q = KeyCode::Char('q');
        assert!(press(&mut input, &mut model, &[KeyCode::F(4), q, KeyCode::Char('x'), KeyCode::Backspace]));
        assert_eq!(model.filter, "q");
        assert!(press(&mut input, &mut model, &[KeyCode::Enter, KeyCode::Char('I'), KeyCode::F(1), q]));
        assert!(model.inverted && !input.help && model.filter == "q");
        assert!(press(&mut input, &mut model, &[KeyCode::F(4), KeyCode::Esc]) && model.filter.is_empty());
        assert!(!press(&mut input, &mut model, &[q]));
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        input.typing = Some(Typing::Search(String::new()));
        assert!(!input.press(ctrl_c, &mut model, 10));
    }
}
