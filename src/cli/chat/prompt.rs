//! The line being typed, as a machine: keys in; what it says, and what of it is seen, out.
//!
//! It is one row whatever its length, so that anything can be printed above it: of what does not fit the part
//! around the cursor is seen.
//!
//! Touches: nothing. Bounds: [`LINE_CHARS_MAX`], [`HISTORY_MAX`]. Proved by: the tests below.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::VecDeque;
use unicode_width::UnicodeWidthChar;

/// Characters of a line. Beyond, keys do nothing: a message is written, not poured.
const LINE_CHARS_MAX: usize = 16 * 1024;

/// Lines that can be called back.
const HISTORY_MAX: usize = 500;

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Nothing,
    /// The line is another, or the cursor elsewhere.
    Changed,
    /// The line is finished; a new one begins.
    Line(String),
    /// To leave, by Ctrl-C, or Ctrl-D on an empty line.
    Leave,
    /// To draw everything anew.
    Redraw,
}

/// The line.
#[derive(Default)]
pub(super) struct Line {
    text: Vec<char>,
    /// The cursor is before this character.
    at: usize,
    history: VecDeque<Vec<char>>,
    /// How many lines back we are; 0 is the new one, which is kept meanwhile.
    back: usize,
    kept: Vec<char>,
}

impl Line {
    /// What is typed so far.
    pub(super) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Typed {
        if key.kind == KeyEventKind::Release {
            return Typed::Nothing;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let (text, at) = (self.text.len(), self.at);
        match key.code {
            KeyCode::Char('c') if control => return Typed::Leave,
            KeyCode::Char('d') if control && self.text.is_empty() => return Typed::Leave,
            KeyCode::Char('l') if control => return Typed::Redraw,
            KeyCode::Char('a') if control => self.at = 0,
            KeyCode::Char('e') if control => self.at = text,
            KeyCode::Char('b') if control => self.at = at.saturating_sub(1),
            KeyCode::Char('f') if control => self.at = text.min(at + 1),
            KeyCode::Char('d') if control => self.delete(at, at + 1),
            KeyCode::Char('h') if control => self.delete(at.saturating_sub(1), at),
            KeyCode::Char('u') if control => self.delete(0, at),
            KeyCode::Char('k') if control => self.delete(at, text),
            KeyCode::Char('w') if control => self.delete(self.word_before(), at),
            KeyCode::Char('p') if control => self.recall(self.back + 1),
            KeyCode::Char('n') if control => self.recall(self.back.wrapping_sub(1)),
            // A line feed by itself comes as Ctrl-J.
            KeyCode::Char('j') if control => return self.finish(),
            KeyCode::Enter => return self.finish(),
            KeyCode::Char(c) if !control && !alt => self.insert(c),
            KeyCode::Tab => self.insert(' '),
            KeyCode::Backspace if alt => self.delete(self.word_before(), at),
            KeyCode::Backspace => self.delete(at.saturating_sub(1), at),
            KeyCode::Delete => self.delete(at, at + 1),
            KeyCode::Left if control || alt => self.at = self.word_before(),
            KeyCode::Right if control || alt => self.at = self.word_after(),
            KeyCode::Left => self.at = at.saturating_sub(1),
            KeyCode::Right => self.at = text.min(at + 1),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = text,
            KeyCode::Up => self.recall(self.back + 1),
            KeyCode::Down => self.recall(self.back.wrapping_sub(1)),
            KeyCode::Esc => self.delete(0, text),
            _ => return Typed::Nothing,
        }
        Typed::Changed
    }

    fn insert(&mut self, c: char) {
        if !c.is_control() && self.text.len() < LINE_CHARS_MAX {
            self.text.insert(self.at, c);
            self.at += 1;
        }
    }

    fn delete(&mut self, from: usize, to: usize) {
        self.text.drain(from..to.min(self.text.len()));
        self.at = from;
    }

    fn word_before(&self) -> usize {
        let before = &self.text[..self.at];
        let end = before.iter().rposition(|c| *c != ' ').map_or(0, |last| last + 1);
        before[..end].iter().rposition(|c| *c == ' ').map_or(0, |space| space + 1)
    }

    fn word_after(&self) -> usize {
        let after = &self.text[self.at..];
        let start = after.iter().position(|c| *c != ' ').unwrap_or(after.len());
        let length = after[start..].iter().position(|c| *c == ' ').unwrap_or(after.len() - start);
        self.at + start + length
    }

    fn recall(&mut self, back: usize) {
        // One step before the new line wraps around to a number that no history has.
        if back > self.history.len() {
            return;
        }
        if self.back == 0 {
            self.kept = std::mem::take(&mut self.text);
        }
        self.back = back;
        self.text = match back {
            0 => std::mem::take(&mut self.kept),
            _ => self.history[self.history.len() - back].clone(),
        };
        self.at = self.text.len();
    }

    fn finish(&mut self) -> Typed {
        let line = std::mem::take(&mut self.text);
        (self.at, self.back) = (0, 0);
        self.kept.clear();
        if !line.is_empty() && self.history.back() != Some(&line) {
            if self.history.len() == HISTORY_MAX {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        Typed::Line(line.into_iter().collect())
    }

    /// What is seen in so many columns, and the column of the cursor in it.
    pub(super) fn seen(&self, columns: usize) -> (String, usize) {
        let width = |c: &char| c.width().unwrap_or(0);
        let total = |chars: &[char]| chars.iter().map(width).sum::<usize>();
        // The cursor behind the last character wants a column too.
        let columns = columns.max(4) - 1;
        let mut start = 0;
        if total(&self.text) > columns {
            let mut before = total(&self.text[..self.at]);
            let room = columns * 3 / 4;
            while before > room {
                before -= width(&self.text[start]);
                start += 1;
            }
        }
        let mut seen = String::new();
        let mut used = 0;
        for c in &self.text[start..] {
            used += width(c);
            if used > columns {
                break;
            }
            seen.push(*c);
        }
        (seen, total(&self.text[start..self.at]))
    }
}

/// What of a text fits into so many columns, and how many it takes; nothing of one that would be cut to less
/// than a name.
pub(super) fn fitting(text: &str, columns: usize) -> (String, usize) {
    let mut seen = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width > columns {
            return if used < 8 { (String::new(), 0) } else { (seen, used) };
        }
        used += width;
        seen.push(c);
    }
    (seen, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(line: &mut Line, code: KeyCode) -> Typed {
        line.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn control(line: &mut Line, c: char) -> Typed {
        line.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
    }

    fn typed(line: &mut Line, text: &str) {
        for c in text.chars() {
            assert_eq!(press(line, KeyCode::Char(c)), Typed::Changed);
        }
    }

    #[test]
    fn a_line_is_edited_and_finished() {
        let mut line = Line::default();
        typed(&mut line, "hello wörld");
        press(&mut line, KeyCode::Backspace);
        press(&mut line, KeyCode::Home);
        typed(&mut line, "Oh, ");
        press(&mut line, KeyCode::Delete);
        typed(&mut line, "H");
        press(&mut line, KeyCode::End);
        press(&mut line, KeyCode::Left);
        press(&mut line, KeyCode::Right);
        typed(&mut line, "t");
        assert_eq!(line.text(), "Oh, Hello wörlt");
        assert_eq!(press(&mut line, KeyCode::Enter), Typed::Line("Oh, Hello wörlt".to_string()));
        assert_eq!(line.text(), "");
        assert_eq!(press(&mut line, KeyCode::Enter), Typed::Line(String::new()));
    }

    #[test]
    fn words_and_ends_are_cut_off() {
        let mut line = Line::default();
        typed(&mut line, "one two  three ");
        control(&mut line, 'w');
        assert_eq!(line.text(), "one two  ");
        line.key(KeyEvent::new(KeyCode::Left, KeyModifiers::CONTROL));
        control(&mut line, 'k');
        assert_eq!(line.text(), "one ");
        control(&mut line, 'a');
        line.key(KeyEvent::new(KeyCode::Right, KeyModifiers::ALT));
        typed(&mut line, "x");
        assert_eq!(line.text(), "onex ");
        control(&mut line, 'u');
        assert_eq!(line.text(), " ");
        press(&mut line, KeyCode::Esc);
        assert_eq!(line.text(), "");
        assert_eq!((control(&mut line, 'w'), control(&mut line, 'h')), (Typed::Changed, Typed::Changed));
        assert_eq!(press(&mut line, KeyCode::Delete), Typed::Changed);
    }

    #[test]
    fn it_is_left_by_the_keys_that_leave() {
        let mut line = Line::default();
        assert_eq!((control(&mut line, 'd'), control(&mut line, 'c')), (Typed::Leave, Typed::Leave));
        typed(&mut line, "ab");
        press(&mut line, KeyCode::Left);
        assert_eq!(control(&mut line, 'd'), Typed::Changed);
        assert_eq!((line.text().as_str(), control(&mut line, 'l')), ("a", Typed::Redraw));
        assert_eq!(press(&mut line, KeyCode::F(1)), Typed::Nothing);
        assert_eq!(control(&mut line, 'j'), Typed::Line("a".to_string()));
    }

    #[test]
    fn lines_before_are_called_back_and_the_new_one_is_kept() {
        let mut line = Line::default();
        for text in ["one", "two", "two"] {
            typed(&mut line, text);
            press(&mut line, KeyCode::Enter);
        }
        typed(&mut line, "new");
        let mut seen = Vec::new();
        for code in [KeyCode::Up, KeyCode::Up, KeyCode::Up, KeyCode::Down, KeyCode::Down, KeyCode::Down] {
            press(&mut line, code);
            seen.push(line.text());
        }
        assert_eq!(seen, ["two", "one", "one", "two", "new", "new"]);
        for n in 0..HISTORY_MAX + 10 {
            typed(&mut line, &n.to_string());
            press(&mut line, KeyCode::Enter);
        }
        assert_eq!(line.history.len(), HISTORY_MAX);
    }

    #[test]
    fn of_a_long_line_the_part_around_the_cursor_is_seen() {
        let mut line = Line::default();
        typed(&mut line, "0123456789");
        assert_eq!(line.seen(20), ("0123456789".to_string(), 10));
        assert_eq!(line.seen(11), ("0123456789".to_string(), 10));
        let (seen, cursor) = line.seen(9);
        assert!("0123456789".ends_with(&seen) && cursor == seen.len() && cursor < 9, "{seen} {cursor}");
        press(&mut line, KeyCode::Home);
        assert_eq!(line.seen(9), ("01234567".to_string(), 0));
        // Wide characters take two columns, and combining ones none.
        let mut line = Line::default();
        typed(&mut line, "漢字e\u{301}漢字漢字");
        assert_eq!(line.seen(80).1, 13);
        for columns in 0..20 {
            for _ in 0..8 {
                let (seen, cursor) = line.seen(columns);
                let wide: usize = seen.chars().map(|c| c.width().unwrap()).sum();
                assert!(wide < columns.max(4) && cursor < columns.max(4), "{columns}: {seen:?} {cursor}");
                press(&mut line, KeyCode::Left);
            }
            press(&mut line, KeyCode::End);
        }
    }

    #[test]
    fn a_text_beside_the_prompt_is_cut_to_what_fits() {
        assert_eq!(fitting("bob is typing", 40), ("bob is typing".to_string(), 13));
        assert_eq!(fitting("bob is typing", 10), ("bob is typ".to_string(), 10));
        assert_eq!(fitting("漢字漢字漢字", 9), ("漢字漢字".to_string(), 8));
        assert_eq!(fitting("bob is typing", 4), (String::new(), 0));
    }

    #[test]
    fn nothing_that_commands_a_terminal_is_taken_and_there_is_an_end() {
        // SEC-09
        let mut line = Line::default();
        press(&mut line, KeyCode::Char('\u{1b}'));
        press(&mut line, KeyCode::Char('\u{9b}'));
        press(&mut line, KeyCode::Tab);
        assert_eq!(line.text(), " ");
        for _ in 0..=LINE_CHARS_MAX {
            press(&mut line, KeyCode::Char('x'));
        }
        assert_eq!(line.text.len(), LINE_CHARS_MAX);
        let mut release = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        release.kind = KeyEventKind::Release;
        assert_eq!(line.key(release), Typed::Nothing);
    }
}
