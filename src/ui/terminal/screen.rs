//! What is written to the terminal. Conversations scroll by in its own scrollback; below them stands the live part: a few
//! lines on what goes on, and the line that is typed. Pure: it makes bytes, to be written at once, and as few as will do.
//!
//! It leaves out where the text comes from, which must be clean. No row ever fills the last column, so that no terminal wraps
//! it, but for a word that is longer than a row: it is to be copied whole.

use std::fmt::Write;

use crate::ui::width::{clusters, columns, fit, is_certain, most_columns_of};
use crate::ui::wrap::{self, LongWord};

/// Continues what is typed in a further row.
const INDENT: &str = "  ";

/// The live part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveArea {
    /// Lines above the input; cut to the width, between words.
    pub lines: Vec<String>,
    /// What stands before the input.
    pub prompt: String,
    /// What is typed.
    pub text: String,
    /// The cursor in it, in bytes.
    pub cursor: usize,
}

/// The rows of the live part, and the cursor among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layout {
    rows: Vec<String>,
    row: usize,
    /// How much of its row stands before the cursor, in bytes.
    at: usize,
}

impl Layout {
    /// What stands before the cursor in its row.
    fn before(&self) -> &str {
        self.rows.get(self.row).map_or("", |row| &row[..self.at])
    }
}

/// What a terminal shows.
pub struct Screen {
    width: usize,
    height: usize,
    shown: Layout,
    /// The terminal has another size than that for which this was laid out.
    is_stale: bool,
    /// The live part begins in the first row.
    is_at_top: bool,
}

impl Screen {
    /// Of a terminal with so many columns and rows; nothing is shown.
    pub fn new((width, height): (usize, usize)) -> Screen {
        let (width, height) = (width.max(4), height.max(2));
        Screen { width, height, shown: Layout::default(), is_stale: false, is_at_top: false }
    }

    /// The columns that a line of the live part may have.
    pub fn room(&self) -> usize {
        self.width - 1
    }

    /// The terminal has this size now; returns whether it had another before.
    pub fn resize(&mut self, (width, height): (usize, usize)) -> bool {
        let before = (self.width, self.height);
        (self.width, self.height) = (width.max(4), height.max(2));
        self.is_stale = true;
        before != (self.width, self.height)
    }

    /// Takes the live part away; what is printed next stands in its place.
    pub fn clear(&mut self) -> String {
        let mut out = String::new();
        up(&mut out, self.rows_above());
        // A screen that is erased from its very beginning goes to the scrollback of tmux, and the prompt with it.
        out.push_str(if self.is_at_top { "\r\x1b[2K\x1b[B\x1b[J\x1b[A" } else { "\r\x1b[J" });
        self.shown = Layout::default();
        out
    }

    /// Empties the terminal. The live part goes first: what is there then stays in the scrollback of many terminals.
    pub fn empty(&mut self) -> String {
        let out = self.clear() + "\x1b[H\x1b[2J";
        self.is_at_top = true;
        out
    }

    /// The rows of the live part above the cursor. Most terminals that become narrower break the rows that they show.
    fn rows_above(&self) -> usize {
        let Layout { rows, row, at } = &self.shown;
        let (true, Some(own)) = (self.is_stale, rows.get(*row)) else { return *row };
        // The cursor is where the next character is, but does not leave its line for that.
        let next = clusters(&own[*at..]).next().map_or(0, |next| next.text.len());
        let before = rows.iter().take(*row).map(|row| broken_rows(row, self.width)).sum::<usize>();
        before + broken_rows(&own[..at + next], self.width) - 1
    }

    /// Forgets what is shown: the terminal was cleared, or something else was on it.
    pub fn forget(&mut self) {
        self.shown = Layout::default();
    }

    /// Prints whole lines above the live part, if there are any, and shows the live part as it is now.
    pub fn draw(&mut self, above: &str, live: &LiveArea) -> String {
        let layout = self.lay_out(live);
        let is_alike = !self.is_stale && above.is_empty() && layout.rows.len() == self.shown.rows.len();
        let mut out = String::new();
        if is_alike {
            self.change_rows(&mut out, &layout);
        } else {
            out = self.clear();
            self.is_at_top &= above.is_empty();
            for row in above.lines().flat_map(|line| wrap::rows(line, self.room())) {
                let _ = write!(out, "{row}\r\n");
            }
            out.push_str(&layout.rows.join("\r\n"));
            up(&mut out, layout.rows.len() - 1 - layout.row);
            move_behind(&mut out, layout.before());
        }
        self.shown = layout;
        self.is_stale = false;
        out
    }

    /// Writes what is different in rows that stay where they are.
    fn change_rows(&self, out: &mut String, layout: &Layout) {
        // The row of the cursor, and what stands before it there.
        let mut cursor = (self.shown.row, self.shown.before());
        for (at, (old, new)) in self.shown.rows.iter().zip(&layout.rows).enumerate() {
            if old == new {
                continue;
            }
            let (same, changed) = new.split_at(common(old, new));
            vertical(out, cursor.0, at);
            if cursor != (at, same) {
                move_behind(out, same);
            }
            out.push_str(changed);
            let is_longer =
                same == old || (columns(new) >= columns(old) && is_certain(old) && is_certain(new));
            if !is_longer {
                out.push_str("\x1b[K");
            }
            cursor = (at, new);
        }
        vertical(out, cursor.0, layout.row);
        if cursor != (layout.row, layout.before()) {
            move_behind(out, layout.before());
        }
    }

    fn lay_out(&self, live: &LiveArea) -> Layout {
        // On a low screen there is room for the last of them, and for what is typed.
        let lines = &live.lines[live.lines.len().saturating_sub(self.height - 2)..];
        let mut input = lay_out_input(&live.prompt, &live.text, live.cursor, self.room());
        // A window on what is typed, so that all of it is on the screen.
        let most = self.height - 1 - lines.len();
        if input.rows.len() > most {
            let first = (input.row + 1).saturating_sub(most);
            input.rows = input.rows[first..first + most].to_vec();
            input.row -= first;
        }
        let mut rows: Vec<String> = lines.iter().map(|line| wrap::cut(line, self.room())).collect();
        let row = rows.len() + input.row;
        rows.append(&mut input.rows);
        Layout { rows, row, at: input.at }
    }
}

/// Breaks prompt and text into rows of at most `room` columns.
fn lay_out_input(prompt: &str, text: &str, cursor: usize, room: usize) -> Layout {
    // Some of the row is for what is typed.
    let mut layout = Layout { rows: vec![fit(prompt, room * 2 / 3).to_owned()], row: 0, at: 0 };
    let mut at = 0;
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            layout.rows.push(INDENT.to_owned());
        }
        let column = layout.rows.last().map_or(0, |row| most_columns_of(row));
        let breaks = wrap::breaks(line, column, room, INDENT.len(), LongWord::Cut);
        let mut start = 0;
        for (part, end) in breaks.into_iter().chain([line.len()]).enumerate() {
            if part > 0 {
                layout.rows.push(INDENT.to_owned());
            }
            let row = layout.rows.len() - 1;
            // At a break the cursor is where the text goes on.
            if (at + start..=at + end).contains(&cursor) {
                layout.row = row;
                layout.at = layout.rows[row].len() + cursor - at - start;
            }
            layout.rows[row].push_str(&line[start..end]);
            start = end;
        }
        at += line.len() + 1;
    }
    layout
}

/// The bytes at the front of both that are whole characters of both, with nothing behind that would join them.
fn common(old: &str, new: &str) -> usize {
    let pairs = clusters(old).zip(clusters(new));
    pairs.take_while(|(old, new)| old == new).map(|(old, _)| old.text.len()).sum()
}

fn up(out: &mut String, rows: usize) {
    if rows > 0 {
        let _ = write!(out, "\x1b[{rows}A");
    }
}

fn vertical(out: &mut String, from: usize, to: usize) {
    up(out, from.saturating_sub(to));
    if to > from {
        let _ = write!(out, "\x1b[{}B", to - from);
    }
}

/// Moves the cursor behind what its row begins with. Where terminals differ over the columns of that, it is written once
/// more, so that each terminal counts for itself.
fn move_behind(out: &mut String, before: &str) {
    out.push('\r');
    if !is_certain(before) {
        out.push_str(before);
    } else if !before.is_empty() {
        let _ = write!(out, "\x1b[{}C", columns(before));
    }
}

/// The rows that a terminal of this width makes of a row that was written when it was wider.
fn broken_rows(row: &str, width: usize) -> usize {
    let (mut rows, mut column) = (1, 0);
    for cluster in clusters(row) {
        column += cluster.columns;
        if column > width {
            (rows, column) = (rows + 1, cluster.columns);
        }
    }
    rows
}

#[cfg(test)]
mod emulator;

#[cfg(test)]
mod tests {
    use super::*;

    fn live(text: &str) -> LiveArea {
        LiveArea { prompt: "bob> ".into(), text: text.into(), cursor: text.len(), ..LiveArea::default() }
    }

    fn screen() -> Screen {
        let mut screen = Screen::new((20, 6));
        screen.draw("", &live(""));
        screen
    }

    #[test]
    fn typing_writes_what_is_typed_and_no_more() {
        let mut screen = screen();
        assert_eq!(screen.draw("", &live("h")), "h");
        assert_eq!(screen.draw("", &live("hi")), "i");
        assert_eq!(screen.draw("", &live("hi")), "");
        assert_eq!(screen.draw("", &live("h")), "\r\x1b[6C\x1b[K");
        assert_eq!(screen.draw("", &LiveArea { cursor: 0, ..live("h") }), "\r\x1b[5C");
        assert_eq!(screen.draw("", &LiveArea { cursor: 1, ..live("ah") }), "ah\r\x1b[6C");
    }

    #[test]
    fn each_key_writes_what_it_changes() {
        use crate::ui::terminal::editor::Editor;
        use crate::ui::terminal::keys::Keyboard;
        let (mut screen, mut editor, mut keyboard) = (screen(), Editor::default(), Keyboard::default());
        // The key, the line with its cursor, and what is written.
        for (key, line, written) in [
            ("a", "a|", "a"),
            ("b", "ab|", "b"),
            ("\x1b[D", "a|b", "\r\x1b[6C"),
            ("x", "ax|b", "xb\r\x1b[7C"),
            ("\x01", "|axb", "\r\x1b[5C"),
            ("\x05", "axb|", "\r\x1b[8C"),
            ("\x7f", "ax|", "\r\x1b[7C\x1b[K"),
            ("\x15", "|", "\r\x1b[5C\x1b[K"),
            ("\x19", "ax|", "ax"),
            ("\x1b\r", "ax\n|", "\r\x1b[Jbob> ax\r\n  \r\x1b[2C"),
            ("y", "ax\ny|", "y"),
            ("\x1b[A", "a|x\ny", "\x1b[1A\r\x1b[6C"),
        ] {
            for key in keyboard.push(key.as_bytes()) {
                editor.key(&key);
            }
            let (before, behind) = editor.text().split_at(editor.cursor());
            assert_eq!(format!("{before}|{behind}"), line, "{key:?}");
            let live = LiveArea { cursor: editor.cursor(), ..live(editor.text()) };
            assert_eq!(screen.draw("", &live), written, "{key:?}");
        }
    }

    #[test]
    fn what_comes_in_stands_above_what_is_typed() {
        let mut screen = screen();
        screen.draw("", &live("draft"));
        assert_eq!(
            screen.draw("bob: hello\nbob: there\n", &live("draft")),
            "\r\x1b[Jbob: hello\r\nbob: there\r\nbob> draft\r\x1b[10C"
        );
    }

    #[test]
    fn long_input_goes_on_below_and_nothing_fills_the_last_column() {
        let mut screen = screen();
        let written = screen.draw("", &live("0123456789abcdefgh"));
        assert_eq!(written, "\r\x1b[Jbob> 0123456789abcd\r\n  efgh\r\x1b[6C");
        assert_eq!(screen.draw("", &live("0123456789abcdefghi")), "i");
        assert_eq!(screen.draw("x\n", &live("")), "\x1b[1A\r\x1b[Jx\r\nbob> \r\x1b[5C");
    }

    #[test]
    fn the_cursor_is_where_the_text_goes_on() {
        for (text, cursor, expected) in [
            ("0123456789abcdefgh", 14, (1, 2)),
            ("0123456789abcdefgh", 13, (0, 18)),
            // A word for which a row has room, such as a link, stays whole.
            ("0123456789abcdef", 14, (1, 16)),
            ("one\ntwo", 3, (0, 8)),
            ("one\ntwo", 4, (1, 2)),
            ("one\n", 4, (1, 2)),
            ("\u{6f22}\u{5b57}", 3, (0, 7)),
            ("0123456789abc\u{6f22}", 13, (1, 2)),
            ("one two three four", 14, (1, 2)),
            ("one two three four", 13, (0, 18)),
            ("one two three four", 16, (1, 4)),
        ] {
            let layout = lay_out_input("bob> ", text, cursor, 19);
            assert_eq!((layout.row, columns(layout.before())), expected, "{text:?} at {cursor}");
            assert!(layout.rows.iter().all(|row| columns(row) < 20), "{layout:?}");
        }
    }

    #[test]
    fn more_than_the_screen_holds_is_seen_through_a_window() {
        let mut screen = screen();
        let text: String = (0..30).map(|line| format!("line {line}\n")).collect();
        let layout = screen.lay_out(&LiveArea { lines: vec!["status".into()], ..live(&text) });
        assert_eq!((layout.rows.len(), layout.row), (5, 4));
        assert_eq!(layout.rows[3], "  line 29");
        let written = screen.draw("", &LiveArea { cursor: 0, ..live(&text) });
        assert!(written.contains("line 0") && written.contains("line 4") && !written.contains("line 5"));
    }

    #[test]
    fn a_low_terminal_holds_all_of_the_live_part() {
        let lines = (0..9).map(|line| format!("status {line}")).collect();
        let live = LiveArea { lines, ..live("one\ntwo\nthree") };
        for height in 2..14 {
            let layout = Screen::new((20, height)).lay_out(&live);
            assert!(layout.rows.len() < height && layout.rows[layout.row] == "  three", "{layout:?}");
        }
        assert_eq!(Screen::new((20, 3)).lay_out(&live).rows, ["status 8", "  three"]);
    }

    #[test]
    fn a_narrow_terminal_wraps_what_is_there() {
        let mut screen = screen();
        screen.draw("", &live("0123456789"));
        screen.resize((8, 6));
        // 15 columns are two rows of 8, and the cursor is in the second.
        assert!(screen.draw("", &live("0123456789")).starts_with("\x1b[1A\r\x1b[Jbob>"));
        for width in 0..40 {
            screen.resize((width, 2));
            screen.draw(
                "",
                &LiveArea { lines: vec!["a status that is long".into()], ..live("some text\nmore") },
            );
        }
    }

    #[test]
    fn a_character_that_grows_is_drawn_anew() {
        let mut screen = screen();
        screen.draw("", &live("e"));
        assert_eq!(screen.draw("", &live("e\u{301}")), "\r\x1b[5Ce\u{301}\x1b[K");
    }

    #[test]
    fn an_empty_screen_takes_no_prompt_to_the_scrollback() {
        let mut screen = screen();
        screen.draw("", &LiveArea { lines: vec!["one".into()], ..live("x") });
        assert_eq!(screen.empty(), "\x1b[1A\r\x1b[J\x1b[H\x1b[2J");
        screen.draw("", &live("x"));
        assert!(screen.draw("", &live("x\n")).starts_with("\r\x1b[2K\x1b[B\x1b[J\x1b[Abob>"));
        screen.draw("bob: hello\n", &live("x"));
        assert!(screen.draw("", &live("x\n")).starts_with("\r\x1b[Jbob>"));
    }

    #[test]
    fn clearing_leaves_the_conversation() {
        let mut screen = screen();
        screen.draw("", &LiveArea { lines: vec!["one".into(), "two".into()], ..live("x") });
        assert_eq!(screen.clear(), "\x1b[2A\r\x1b[J");
        assert_eq!(screen.clear(), "\r\x1b[J");
    }
}
