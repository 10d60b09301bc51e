//! The line that is being typed: a text, a cursor, what was killed, earlier lines. Pure: keys go in, and the owner asks
//! for the text and the cursor to draw them. It leaves out what a line means, and completion but for its last step.

use crate::app::messages::MAX_TEXT;
use crate::ui::terminal::keys::Key;
use crate::ui::typed::saying;
use crate::ui::width::{clusters, first_len, last_len};

/// Bytes of a line: those of a message. What does not fit is not put in; yanking again and again would double it each time.
const MAX_LINE: usize = MAX_TEXT;
/// Earlier lines that are kept.
const MAX_EARLIER_LINES: usize = 500;
/// Longest earlier line that is kept, in bytes.
const MAX_EARLIER_LINE: usize = 8 << 10;

/// What a key asks of the owner; all else is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but to draw.
    Edit,
    /// The line is done: [`Editor::take`] it.
    Submit,
    /// Ctrl-C on an empty line.
    Interrupt,
    /// Ctrl-D on an empty line.
    Leave,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Redraw,
    /// Tab: see [`Editor::complete`].
    Complete,
    /// There is no room for what was pasted; none of it is in the line.
    TooLong,
    /// Alt-1 to Alt-9: 0 to 8.
    Switch(usize),
    /// Alt-a.
    NextUnread,
}

/// A line that is typed.
#[derive(Default)]
pub struct Editor {
    text: String,
    /// In bytes, between characters.
    cursor: usize,
    /// It begins with something that was pasted, which is never a command.
    is_pasted: bool,
    killed: String,
    /// The last key killed too: what this one kills is added.
    is_killing: bool,
    /// Earlier lines, oldest first.
    lines: Vec<String>,
    recall: Option<Recall>,
    search: Option<Search>,
}

/// An earlier line is shown.
struct Recall {
    /// Which.
    at: usize,
    /// What it begins with: what stood before the cursor.
    prefix: usize,
    /// What was typed.
    typed: String,
}

/// Ctrl-R: an earlier line is searched.
struct Search {
    query: String,
    /// The line that has it, if any.
    at: Option<usize>,
    typed: (String, usize),
}

impl Editor {
    /// The line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The cursor, in bytes.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// What is searched for with Ctrl-R, while it is.
    pub fn query(&self) -> Option<&str> {
        self.search.as_ref().map(|search| search.query.as_str())
    }

    /// The line as it would have to be typed, which is what is kept of it: what was pasted is said, and never done.
    pub fn typed(&self) -> String {
        if self.is_pasted { saying(&self.text) } else { self.text.clone() }
    }

    /// Goes on with the line as if it had been typed.
    fn settle(&mut self) {
        let typed = self.typed();
        self.cursor += typed.len() - self.text.len();
        self.text = typed;
        self.is_pasted = false;
    }

    /// Puts a line in the place of this one.
    pub fn set(&mut self, text: &str) {
        self.replace(text.to_owned());
        self.is_pasted = false;
        (self.recall, self.search) = (None, None);
    }

    /// Takes the line out, and keeps it among the earlier ones.
    pub fn take(&mut self) -> String {
        let text = self.typed();
        self.remember(&text);
        self.set("");
        text
    }

    /// Whether Up brings this line back, which was just taken.
    pub fn recalls(&self, line: &str) -> bool {
        self.lines.last().is_some_and(|last| last == line)
    }

    /// Adds an earlier line.
    pub fn remember(&mut self, line: &str) {
        if line.trim().is_empty()
            || line.len() > MAX_EARLIER_LINE
            || self.lines.last().is_some_and(|last| last == line)
        {
            return;
        }
        if self.lines.len() == MAX_EARLIER_LINES {
            self.lines.remove(0);
        }
        self.lines.push(line.to_owned());
    }

    /// Puts `text` in the place of what is between `start` and the cursor.
    pub fn complete(&mut self, start: usize, text: &str) {
        self.text.replace_range(start..self.cursor, text);
        self.cursor = start + text.len();
    }

    fn replace(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
    }

    /// Does what a key does.
    pub fn key(&mut self, key: &Key) -> Action {
        if self.search.is_some() && self.search_key(key) {
            return Action::Edit;
        }
        let was_killing = std::mem::take(&mut self.is_killing);
        if !matches!(key, Key::Up | Key::Down) {
            self.recall = None;
        }
        match key {
            Key::Enter => return Action::Submit,
            Key::Tab => return Action::Complete,
            Key::Ctrl('c') if self.text.is_empty() => return Action::Interrupt,
            Key::Ctrl('d') if self.text.is_empty() => return Action::Leave,
            Key::Ctrl('z') => return Action::Suspend,
            Key::Ctrl('l') => return Action::Redraw,
            Key::Alt('a') => return Action::NextUnread,
            Key::Alt(digit @ '1'..='9') => return Action::Switch(*digit as usize - '1' as usize),
            Key::Ctrl('c') => self.set(""),
            Key::Ctrl('r') => self.start_search(),
            Key::Up | Key::Ctrl('p') => self.up(),
            Key::Down | Key::Ctrl('n') => self.down(),
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Key::AltEnter | Key::Ctrl('j') => self.insert("\n"),
            Key::LongPaste => return Action::TooLong,
            Key::Paste(text) if self.text.len() + text.len() > MAX_LINE => return Action::TooLong,
            Key::Paste(text) => {
                self.is_pasted |= self.cursor == 0 && !text.is_empty();
                self.insert(text);
            }
            Key::Ctrl('y') => self.insert(&self.killed.clone()),
            _ => self.move_or_delete(key, was_killing),
        }
        if self.text.is_empty() {
            self.is_pasted = false;
        }
        Action::Edit
    }

    fn insert(&mut self, text: &str) {
        if self.text.len() + text.len() > MAX_LINE {
            return;
        }
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
    }

    fn move_or_delete(&mut self, key: &Key, was_killing: bool) {
        // What is killed may come back in another line.
        if self.text.starts_with('/')
            && matches!(key, Key::Ctrl('w' | 'u' | 'k') | Key::AltBackspace | Key::Alt('d'))
        {
            self.settle();
        }
        match key {
            Key::Left | Key::Ctrl('b') => self.cursor = self.before(),
            Key::Right | Key::Ctrl('f') => self.cursor = self.behind(),
            Key::WordLeft | Key::Alt('b') => self.cursor = self.word_start(),
            Key::WordRight | Key::Alt('f') => self.cursor = self.word_end(),
            Key::Home | Key::Ctrl('a') => self.cursor = self.line_start(),
            Key::End | Key::Ctrl('e') => self.cursor = self.line_end(),
            Key::Backspace => self.delete(self.before(), self.cursor),
            Key::Delete | Key::Ctrl('d') => self.delete(self.cursor, self.behind()),
            Key::Ctrl('w') => self.kill(self.space_before(), self.cursor, was_killing),
            Key::AltBackspace => self.kill(self.word_start(), self.cursor, was_killing),
            Key::Alt('d') => self.kill(self.cursor, self.word_end(), was_killing),
            Key::Ctrl('u') => self.kill(self.line_start(), self.cursor, was_killing),
            Key::Ctrl('k') => self.kill(self.cursor, self.line_end(), was_killing),
            _ => {}
        }
    }

    fn delete(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn kill(&mut self, from: usize, to: usize, was_killing: bool) {
        let killed = self.text[from..to].to_owned();
        if !was_killing {
            self.killed.clear();
        }
        if to == self.cursor && from < to {
            self.killed.insert_str(0, &killed);
        } else {
            self.killed.push_str(&killed);
        }
        self.is_killing = true;
        self.delete(from, to);
    }

    fn before(&self) -> usize {
        self.cursor - last_len(&self.text[..self.cursor])
    }

    fn behind(&self) -> usize {
        self.cursor + first_len(&self.text[self.cursor..])
    }

    fn line_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |end| end + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.cursor..].find('\n').map_or(self.text.len(), |length| self.cursor + length)
    }

    fn word_start(&self) -> usize {
        let before = self.text[..self.cursor].trim_end_matches(|c: char| !c.is_alphanumeric());
        before.trim_end_matches(char::is_alphanumeric).len()
    }

    fn word_end(&self) -> usize {
        let behind = self.text[self.cursor..].trim_start_matches(|c: char| !c.is_alphanumeric());
        self.text.len() - behind.trim_start_matches(char::is_alphanumeric).len()
    }

    /// The start of what stands between the cursor and the space before it.
    fn space_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before.trim_end_matches(|c: char| !c.is_whitespace()).len()
    }

    /// To the line above, else to an earlier line that begins as this one does up to the cursor.
    fn up(&mut self) {
        if self.recall.is_none() && self.line_start() > 0 {
            return self.go_to_line(self.line_start() - 1);
        }
        self.settle();
        let (before, prefix) = match &self.recall {
            Some(recall) => (recall.at, recall.prefix),
            None => (self.lines.len(), self.cursor),
        };
        let begin = self.text[..prefix].to_owned();
        let found =
            self.lines[..before].iter().rposition(|line| line.starts_with(&begin) && *line != self.text);
        if let Some(at) = found {
            let typed = match self.recall.take() {
                Some(recall) => recall.typed,
                None => std::mem::take(&mut self.text),
            };
            self.recall = Some(Recall { at, prefix, typed });
            self.replace(self.lines[at].clone());
        }
    }

    fn down(&mut self) {
        let Some(recall) = self.recall.take() else {
            if self.line_end() < self.text.len() {
                self.go_to_line(self.line_end() + 1);
            }
            return;
        };
        let begin = &self.text[..recall.prefix];
        let later = self.lines.iter().skip(recall.at + 1);
        match later.into_iter().position(|line| line.starts_with(begin) && *line != self.text) {
            Some(further) => {
                let at = recall.at + 1 + further;
                self.replace(self.lines[at].clone());
                self.recall = Some(Recall { at, ..recall });
            }
            None => self.replace(recall.typed),
        }
    }

    /// To the same place, as far as it has one, in the line that `inside` is in.
    fn go_to_line(&mut self, inside: usize) {
        let characters = self.text[self.line_start()..self.cursor].chars().count();
        self.cursor = inside;
        let (start, end) = (self.line_start(), self.line_end());
        let line = &self.text[start..end];
        self.cursor = start + line.char_indices().nth(characters).map_or(line.len(), |(at, _)| at);
        // Not into the middle of a character.
        let mut boundary = start;
        for cluster in clusters(&self.text[start..end]) {
            if boundary >= self.cursor {
                break;
            }
            boundary += cluster.text.len();
        }
        self.cursor = boundary;
    }

    fn start_search(&mut self) {
        self.settle();
        let typed = (self.text.clone(), self.cursor);
        self.search = Some(Search { query: String::new(), at: None, typed });
    }

    /// Whether the key belongs to the search; any other ends it, and does what it does.
    fn search_key(&mut self, key: &Key) -> bool {
        let Some(search) = &mut self.search else { return false };
        match key {
            Key::Char(c) => search.query.push(*c),
            Key::Backspace => {
                search.query.pop();
                search.at = None;
            }
            Key::Ctrl('r') => {}
            Key::Ctrl('c' | 'g') | Key::Escape => {
                let (text, cursor) = std::mem::take(&mut search.typed);
                self.search = None;
                (self.text, self.cursor) = (text, cursor);
                return true;
            }
            // The line is taken, but not sent: it is looked at first.
            Key::Enter => {
                self.search = None;
                return true;
            }
            _ => {
                self.search = None;
                return false;
            }
        }
        let is_again = *key == Key::Ctrl('r');
        let before = match search.at {
            Some(at) if is_again => at,
            Some(at) => at + 1,
            None => self.lines.len(),
        };
        let query = search.query.clone();
        let found = self.lines[..before].iter().rposition(|line| !query.is_empty() && line.contains(&query));
        if let Some(at) = found {
            search.at = Some(at);
            let line = self.lines[at].clone();
            let cursor = line.find(&query).unwrap_or_default();
            (self.text, self.cursor) = (line, cursor);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::terminal::keys::Keyboard;

    /// Types bytes, with a pause after each paste; gives the line with `|` at the cursor.
    fn typed(editor: &mut Editor, bytes: &str) -> String {
        let mut keyboard = Keyboard::default();
        for piece in bytes.split_inclusive("\x1b[201~") {
            let keys = keyboard.push(piece.as_bytes());
            for key in keys.into_iter().chain(keyboard.give_up()) {
                if editor.key(&key) == Action::Submit {
                    editor.take();
                }
            }
        }
        let (before, behind) = editor.text.split_at(editor.cursor);
        format!("{before}|{behind}")
    }

    fn check(cases: &[(&str, &str)]) {
        for (bytes, expected) in cases {
            let mut editor = Editor::default();
            for line in ["git pull", "make", "git push", "echo ok"] {
                editor.remember(line);
            }
            assert_eq!(typed(&mut editor, bytes), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn keys_move_and_delete() {
        check(&[
            ("abc\x1b[D\x1b[Dx", "ax|bc"),
            ("abc\x01x\x05y", "xabcy|"),
            ("abc\x7f", "ab|"),
            ("abc\x1b[H\x1b[3~", "|bc"),
            ("\x7f\x1b[D\x1b[C\x1b[3~", "|"),
            ("one two-three\x1bb", "one two-|three"),
            ("one two\x1b[1;5D\x1b[1;5D\x1b[1;5C", "one| two"),
            ("one two-three\x17", "one |"),
            ("one two-three\x1b\x7f", "one two-|"),
            ("one two\x01\x1bd", "| two"),
            ("one two\x1bb\x0b", "one |"),
            ("one two\x1bb\x15", "|two"),
            ("e\u{301}x\x02\x02", "|e\u{301}x"),
            ("a\u{1f468}\u{200d}\u{1f469}\x7f", "a|"),
            ("\u{6f22}\u{5b57}\x02\x7f", "|\u{5b57}"),
        ]);
    }

    #[test]
    fn what_was_killed_comes_back() {
        check(&[
            ("one two three\x17\x17\x19", "one two three|"),
            ("one two\x1bb\x0b\x01\x19", "two|one "),
            ("one\x15two\x15\x19", "two|"),
            ("abc def\x1bb\x15\x0b\x19", "abc def|"),
        ]);
    }

    #[test]
    fn a_line_has_no_more_than_a_message() {
        let mut editor = Editor::default();
        editor.key(&Key::Paste("x".repeat(MAX_LINE - 1)));
        typed(&mut editor, "yz");
        assert!(editor.text().len() == MAX_LINE && editor.text().ends_with('y'));
        // It doubles, as often as there is room.
        typed(&mut editor, "\x03ab");
        for _ in 0..100 {
            typed(&mut editor, "\x15\x19\x19");
        }
        assert_eq!(editor.text().len(), MAX_LINE);
        editor.take();
        assert_eq!(typed(&mut editor, "\x1b[A"), "|", "a long line is not kept");
    }

    #[test]
    fn earlier_lines_come_by_what_they_begin_with() {
        check(&[
            ("\x1b[A", "echo ok|"),
            ("\x1b[A\x1b[A", "git push|"),
            ("git\x1b[A\x1b[A", "git pull|"),
            ("git\x1b[A\x1b[A\x1b[A", "git pull|"),
            ("git\x1b[A\x1b[A\x1b[B", "git push|"),
            ("git\x1b[A\x1b[A\x1b[B\x1b[B", "git|"),
            ("nothing\x1b[A", "nothing|"),
            ("x\r\x1b[A", "x|"),
            ("\x1b[A\x1b[A!", "git push!|"),
        ]);
    }

    #[test]
    fn ctrl_r_searches() {
        check(&[
            ("\x12git", "|git push"),
            ("\x12git\x12", "|git pull"),
            ("\x12git\x12\x12", "|git pull"),
            ("\x12ul\r", "git p|ull"),
            ("typed\x12git\x07", "typed|"),
            ("typed\x12git\x1b[C", "g|it push"),
            ("\x12gitx\x7f\x7f", "|git push"),
            ("\x12zzz", "|"),
        ]);
    }

    #[test]
    fn several_lines_are_one_text() {
        check(&[
            ("one\x1b\rtwo", "one\ntwo|"),
            ("one\x0atwo\x01", "one\n|two"),
            ("one\x1b\rtwo\x1b[A", "one|\ntwo"),
            ("one\x1b\rlonger\x1b[A\x1b[B", "one\nlon|ger"),
            ("one\x1b\rtwo\x1b[A\x1b[A", "one|\ntwo"),
            ("\x1b[200~a\rb\x1b[201~c", "a\nbc|"),
        ]);
    }

    #[test]
    fn what_was_pasted_is_no_command() {
        let mut editor = Editor::default();
        let paste = "\x1b[200~/forget bob\x1b[201~";
        // However it is kept, moved or brought back.
        for keys in ["", "\x15\x19", "\x17\x19", "\x01\x0b\x19", "\x01\x1bd\x19", "\r\x1b[A", "\r\x12bob\r"] {
            typed(&mut editor, &format!("{paste}{keys}"));
            assert_eq!(editor.take(), "//forget bob", "{keys:?}");
        }
        typed(&mut editor, &format!("{paste}\x1b[A\x1b[B"));
        assert_eq!((editor.typed(), editor.take()), ("//forget bob".into(), "//forget bob".into()));
        // What is typed is, and so is what is typed first.
        for keys in [
            "/to \x1b[200~bob\x1b[201~",
            &format!("{paste}\x15/to bob"),
            "/to bob\r\x1b[A",
            "/to bob\x15\x19",
        ] {
            typed(&mut editor, keys);
            assert_eq!(editor.take(), "/to bob", "{keys:?}");
        }
        typed(&mut editor, &format!("/to bob\r{paste}\x15\x1b[A"));
        assert_eq!(editor.take(), "/to bob");
    }

    #[test]
    fn some_keys_are_for_the_owner() {
        let mut editor = Editor::default();
        for (key, expected) in [
            (Key::Ctrl('c'), Action::Interrupt),
            (Key::Ctrl('d'), Action::Leave),
            (Key::Ctrl('z'), Action::Suspend),
            (Key::Ctrl('l'), Action::Redraw),
            (Key::Tab, Action::Complete),
            (Key::LongPaste, Action::TooLong),
            (Key::Paste("x".repeat(MAX_LINE + 1)), Action::TooLong),
            (Key::Enter, Action::Submit),
            (Key::Alt('a'), Action::NextUnread),
            (Key::Alt('9'), Action::Switch(8)),
            (Key::Char('x'), Action::Edit),
            (Key::Ctrl('d'), Action::Edit),
            (Key::Ctrl('c'), Action::Edit),
            (Key::Ctrl('c'), Action::Interrupt),
        ] {
            assert_eq!(editor.key(&key), expected, "{key:?}");
        }
    }

    #[test]
    fn completion_replaces_what_stands_before_the_cursor() {
        let mut editor = Editor::default();
        typed(&mut editor, "/to bo now\x1bb\x02");
        editor.complete(4, "bob");
        assert_eq!(typed(&mut editor, ""), "/to bob| now");
    }
}
