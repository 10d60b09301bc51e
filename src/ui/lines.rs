//! An entry of a conversation as one line, or with its further lines indented (egoat(1), LOG); and how such lines are printed.

use std::io::{self, IsTerminal};

use crate::app::inbox::entry::{HistoryEntry, MessageStatus, Words};
use crate::error::Result;
use crate::time::Zone;
use crate::ui::output::{self, Output};
use crate::ui::stty::TerminalWidth;
use crate::ui::typed::ACTION;
use crate::ui::wrap;

/// Prints entries on standard output. On a terminal long lines are broken, so that no part of one looks like another.
pub struct EntryPrinter {
    out: Output,
    zone: Zone,
    terminal: Option<TerminalWidth>,
    shows_actions: bool,
}

impl EntryPrinter {
    /// In local time.
    pub fn new(out: Output) -> EntryPrinter {
        let is_drawn = !out.json && io::stdout().is_terminal();
        let terminal = is_drawn.then(TerminalWidth::default);
        EntryPrinter { out, zone: Zone::local(), terminal, shows_actions: false }
    }

    /// For a person who chats: what somebody does, by `/me`, is told as such.
    pub fn showing_actions(self, shows_actions: bool) -> EntryPrinter {
        EntryPrinter { shows_actions, ..self }
    }

    /// The entry as it is printed where lines have any length.
    pub fn line(&self, peer: &str, entry: &HistoryEntry) -> String {
        match self.out.json {
            true => entry.object(peer).line(),
            false => self.action(peer, entry).unwrap_or_else(|| line(&self.zone, peer, entry)),
        }
    }

    fn action(&self, peer: &str, entry: &HistoryEntry) -> Option<String> {
        let Words::Message { way, text } = entry.words() else { return None };
        let action = text.strip_prefix(ACTION).filter(|_| self.shows_actions)?;
        let time = self.zone.format_known(entry.time());
        Some(match way {
            MessageStatus::Received => format!("{time} ~ {peer} {action}"),
            MessageStatus::Delivered => format!("{time} -> {peer} ~ {action}"),
            MessageStatus::Dropped(why) => format!("{time} -> {peer} ({}) ~ {action}", why.word()),
        })
    }

    /// Prints a line that [`EntryPrinter::line`] made.
    pub fn print(&mut self, line: &str) -> Result<()> {
        let Some(terminal) = &mut self.terminal else { return output::print(line) };
        // Some terminals go on at once after the last column.
        let room = terminal.columns(io::stdout()).saturating_sub(1);
        let rows: Vec<String> = line.split('\n').flat_map(|line| wrap::rows(line, room)).collect();
        output::print(&rows.join("\n"))
    }
}

/// The line of an entry with the peer of this name, without the newline at the end.
pub fn line(zone: &Zone, peer: &str, entry: &HistoryEntry) -> String {
    let time = zone.format_known(entry.time());
    match entry.words() {
        Words::Message { way: MessageStatus::Received, text } => format!("{time} {peer}: {text}"),
        Words::Message { way: MessageStatus::Delivered, text } => format!("{time} -> {peer}: {text}"),
        Words::Message { way: MessageStatus::Dropped(why), text } => {
            format!("{time} -> {peer} ({}): {text}", why.word())
        }
        Words::File { verb, what } => format!("{time} * {peer} {verb} {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::inbox::entry::{Event, Times};

    fn shown(text: &str) -> String {
        let event = Event::Received { number: 5, text: text.as_bytes() };
        line(&Zone::utc(), "bob", &HistoryEntry { seq: 1, times: Times { noted: 1_000_000, said: 0 }, event })
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        assert_eq!(shown("hi"), "1970-01-01 00:00:01 bob: hi");
        assert_eq!(
            shown("hi\n1970-01-01 00:00:02 carol: no"),
            "1970-01-01 00:00:01 bob: hi\n    1970-01-01 00:00:02 carol: no"
        );
        for evil in ["a\rb", "a\x1b[1Ab", "a\u{85}b", "a\u{2028}b", "a\u{b}b", "a\u{c}b"] {
            let line = shown(evil);
            assert!(!line.chars().any(|c| c.is_control()) && line.lines().count() == 1, "{line:?}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_is_as_long_as_others() {
        let event = Event::Received { number: 5, text: b"hi" };
        let times = Times { noted: u64::MAX, said: 0 };
        let line = line(&Zone::utc(), "bob", &HistoryEntry { seq: 1, times, event });
        assert_eq!(line, "????-??-?? ??:??:?? bob: hi");
    }

    #[test]
    fn a_message_of_ours_names_its_receiver() {
        let event = Event::Sent { number: 1, key: "", text: b"x" };
        let times = Times { noted: 9_000_000, said: 2_000_000 };
        let line = line(&Zone::utc(), "bob", &HistoryEntry { seq: 2, times, event });
        assert_eq!(line, "1970-01-01 00:00:02 -> bob: x");
    }
}
