//! A terminal for tests, as different as terminals are: some take four columns for a flag and do not join emoji. It breaks
//! lines itself at the last column, and when it becomes narrower.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{LiveArea, Screen};
use crate::ui::width::{clusters, columns};
use crate::ui::wrap;

/// A character with what joins it, and its columns.
type Cell = (String, usize);

#[derive(Clone, Default)]
struct Row {
    cells: Vec<Cell>,
    /// The row below belongs to the same line.
    is_broken: bool,
}

struct Emulator {
    width: usize,
    rows: Vec<Row>,
    row: usize,
    column: usize,
    /// It takes two columns for each part of an emoji.
    is_wide: bool,
}

fn width_of(cells: &[Cell]) -> usize {
    cells.iter().map(|(_, columns)| columns).sum()
}

impl Emulator {
    fn new(width: usize, is_wide: bool) -> Emulator {
        Emulator { width, rows: vec![Row::default()], row: 0, column: 0, is_wide }
    }

    fn write(&mut self, mut text: &str) {
        while let Some(first) = text.chars().next() {
            if let Some(sequence) = text.strip_prefix("\x1b[") {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                self.control(sequence[..end].parse().unwrap_or(0), &sequence[end..=end]);
                text = &sequence[end + 1..];
                continue;
            }
            match first {
                '\r' => self.column = 0,
                '\n' => {
                    self.row += 1;
                    if self.row == self.rows.len() {
                        self.rows.push(Row::default());
                    }
                }
                _ if self.is_wide => self.put(first.to_string(), columns_alone(first)),
                _ => {
                    let cluster = clusters(text).next().unwrap();
                    self.put(cluster.text.to_owned(), cluster.columns);
                    text = &text[cluster.text.len()..];
                    continue;
                }
            }
            text = &text[first.len_utf8()..];
        }
    }

    fn control(&mut self, count: usize, name: &str) {
        match name {
            "A" => self.row = self.row.saturating_sub(count),
            "B" => self.row = (self.row + count).min(self.rows.len() - 1),
            "C" => self.column = (self.column + count).min(self.width - 1),
            "K" => self.erase(self.row),
            "J" => {
                self.erase(self.row);
                self.rows.truncate(self.row + 1);
            }
            other => panic!("{other}"),
        }
    }

    fn erase(&mut self, row: usize) {
        let kept = self.cells_before(row, self.column);
        self.rows[row].cells.truncate(kept);
        self.rows[row].is_broken = false;
    }

    fn cells_before(&self, row: usize, column: usize) -> usize {
        let mut taken = 0;
        let cells = self.rows[row].cells.iter().take_while(|(_, columns)| {
            taken += columns;
            taken <= column
        });
        cells.count()
    }

    fn put(&mut self, text: String, columns: usize) {
        if columns == 0 {
            let before = self.cells_before(self.row, self.column);
            match before.checked_sub(1).map(|last| &mut self.rows[self.row].cells[last]) {
                Some((cell, _)) if !cell.ends_with(&text) => cell.push_str(&text),
                _ => {}
            }
            return;
        }
        if self.column + columns > self.width {
            self.rows[self.row].is_broken = true;
            (self.row, self.column) = (self.row + 1, 0);
            if self.row == self.rows.len() {
                self.rows.push(Row::default());
            }
        }
        let at = self.cells_before(self.row, self.column);
        let behind = self.cells_before(self.row, self.column + columns);
        let is_half = width_of(&self.rows[self.row].cells[at..behind]) < columns;
        let cells = &mut self.rows[self.row].cells;
        // What is overwritten in part is a blank from then on.
        let cut = usize::from(is_half && behind < cells.len());
        let rest = width_of(&cells[at..behind + cut]).saturating_sub(columns);
        cells.splice(
            at..behind + cut,
            [(text, columns)].into_iter().chain((0..rest).map(|_| (" ".into(), 1))),
        );
        self.column += columns;
    }

    /// The lines, each with the columns that stand before the cursor if it is in it.
    fn lines(&self) -> Vec<(Vec<Cell>, Option<usize>)> {
        let mut lines = vec![(Vec::new(), None)];
        for (at, row) in self.rows.iter().enumerate() {
            let (cells, cursor) = lines.last_mut().unwrap();
            if at == self.row {
                *cursor = Some(width_of(cells) + self.column);
            }
            cells.extend(row.cells.iter().cloned());
            if !row.is_broken {
                lines.push((Vec::new(), None));
            }
        }
        lines.pop();
        lines
    }

    fn resize(&mut self, width: usize) {
        let lines = self.lines();
        self.width = width;
        self.rows.clear();
        for (cells, cursor) in lines {
            self.rows.push(Row::default());
            let (mut passed, is_empty) = (0, cells.is_empty());
            for (text, columns) in cells {
                if width_of(&self.rows.last().unwrap().cells) + columns > width {
                    self.rows.last_mut().unwrap().is_broken = true;
                    self.rows.push(Row::default());
                }
                if cursor == Some(passed) {
                    (self.row, self.column) =
                        (self.rows.len() - 1, width_of(&self.rows.last().unwrap().cells));
                }
                self.rows.last_mut().unwrap().cells.push((text, columns));
                passed += columns;
            }
            if cursor.is_some_and(|cursor| cursor >= passed || is_empty) {
                (self.row, self.column) = (self.rows.len() - 1, width_of(&self.rows.last().unwrap().cells));
            }
        }
    }

    fn shown(&self) -> Vec<String> {
        let text = |cells: &[Cell]| cells.iter().map(|(text, _)| text.as_str()).collect::<String>();
        self.lines().iter().map(|(cells, _)| text(cells).trim_end().to_owned()).collect()
    }

    fn before_cursor(&self) -> String {
        let cells = &self.rows[self.row].cells[..self.cells_before(self.row, self.column)];
        cells.iter().map(|(text, _)| text.as_str()).collect()
    }
}

fn columns_alone(c: char) -> usize {
    let is_emoji = matches!(c, '\u{1F000}'..='\u{1FAFF}');
    if is_emoji { 2 } else { columns(c.encode_utf8(&mut [0; 4])) }
}

/// What happens to a chat.
#[derive(Clone, Debug)]
enum Step {
    Type(&'static str),
    Delete,
    Left,
    Print(&'static str),
    /// Several sizes, one after the other, before anything is drawn.
    Resize(Vec<usize>),
}

const FLAG: &str = "\u{1f1e9}\u{1f1ea}";

const TEXTS: [&str; 10] = [
    "a",
    "word ",
    "  ",
    FLAG,
    "\u{6f22}",
    "e\u{301}",
    "\u{5e9}\u{5dc}",
    "\u{1f44d}\u{1f3fd}",
    "\n",
    "0123456789abcdef",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::sample::select(&TEXTS[..]).prop_map(Step::Type),
        6 => Just(Step::Delete),
        2 => Just(Step::Left),
        2 => prop::sample::select(&["bob: hello", "bob: some words that are more than a row", ""][..]).prop_map(Step::Print),
        2 => prop::collection::vec(14_usize..60, 1..4).prop_map(Step::Resize),
    ]
}

proptest! {
    #[test]
    fn nothing_stale_stays_on_any_terminal(steps in prop::collection::vec(step(), 1..60), is_wide: bool) {
        // Terminals that do not join emoji are resized by people as well, but then break rows where we do not expect it.
        let mut emulator = Emulator::new(40, is_wide);
        let mut screen = Screen::new((40, 90));
        let (mut text, mut cursor, mut printed) = (String::new(), 0, Vec::new());
        for step in steps {
            let mut above = String::new();
            match step {
                Step::Type(typed) => {
                    text.insert_str(cursor, typed);
                    cursor += typed.len();
                }
                Step::Delete | Step::Left => {
                    let length = clusters(&text[..cursor]).last().map_or(0, |last| last.text.len());
                    cursor -= length;
                    if matches!(step, Step::Delete) {
                        text.replace_range(cursor..cursor + length, "");
                    }
                }
                Step::Print(line) => above = format!("{line}\n"),
                Step::Resize(_) if is_wide => {}
                Step::Resize(sizes) => {
                    for width in sizes {
                        emulator.resize(width);
                        screen.resize((width, 90));
                    }
                }
            }
            let live = LiveArea { prompt: "bob> ".into(), text: text.clone(), cursor, ..LiveArea::default() };
            emulator.write(&screen.draw(&above, &live));
            printed.extend(above.lines().flat_map(|line| wrap::rows(line, screen.room())));
            let rows: Vec<String> = printed.iter().chain(&screen.shown.rows).map(|row| row.trim_end().to_owned()).collect();
            prop_assert_eq!(emulator.shown(), rows);
            prop_assert_eq!(emulator.before_cursor(), screen.shown.before());
        }
    }
}
