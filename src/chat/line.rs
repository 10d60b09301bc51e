//! One event of a history as a line for people (egoat(1), LOG) or as a JSON object. Everything that a peer wrote is
//! cleaned here; continuation lines are indented, so that no message can look like another line.

use crate::store::history::Event;
use crate::text::{self, json::Object};
use crate::time::Zone;

/// An event with its peer's name and the time to show, in µs of Unix time.
pub struct Line<'a> {
    /// The peer.
    pub peer: &'a str,
    /// When: received here, or said here.
    pub micros: u64,
    /// What.
    pub event: Event<'a>,
}

impl<'a> Line<'a> {
    /// The line of a record that was appended at `seq`. A message of ours is shown with the time at which it was said,
    /// which is its number; all else with the time at which it was noted here: a peer's clock is not trusted.
    pub fn new(peer: &'a str, seq: u64, event: Event<'a>) -> Line<'a> {
        let micros = match event {
            Event::Sent { number, .. } | Event::Dropped { number, .. } => number,
            _ => seq,
        };
        Line { peer, micros, event }
    }

    /// For people, without the newline at the end.
    pub fn text(&self, zone: &Zone) -> String {
        let (time, peer) = (zone.format(self.micros), self.peer);
        let body = |raw: &[u8]| text::indent(&text::clean_bytes(raw)).into_owned();
        let path = |raw: &[u8]| text::clean_line(&String::from_utf8_lossy(raw));
        match self.event {
            Event::Received { text, .. } => format!("{time} {peer}: {}", body(text)),
            Event::Sent { text, .. } => format!("{time} -> {peer}: {}", body(text)),
            Event::Dropped { why, text, .. } => {
                format!("{time} -> {peer} ({}): {}", why.word(), body(text))
            }
            Event::FileReceived { size, path: at } => {
                format!("{time} * {peer} sent {} ({})", path(at), text::size(size))
            }
            Event::FileSent { size, path: at } => {
                format!("{time} * {peer} has {} ({})", path(at), text::size(size))
            }
        }
    }

    /// For programs.
    pub fn json(&self) -> Object {
        let raw = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let object = |event: &str| Object::event(event).text("peer", self.peer).number("time", self.micros);
        match self.event {
            Event::Received { number, text } => {
                object("received").number("number", number).text("text", &raw(text))
            }
            Event::Sent { number, key, text } => {
                object("delivered").number("number", number).text("key", key).text("text", &raw(text))
            }
            Event::Dropped { number, why, text } => {
                object(why.word()).number("number", number).text("text", &raw(text))
            }
            Event::FileReceived { size, path } => {
                object("file-received").number("size", size).text("path", &raw(path))
            }
            Event::FileSent { size, path } => {
                object("file-delivered").number("size", size).text("path", &raw(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Line::new("bob", 1_000_000, Event::Received { number: 5, text: text.as_bytes() }).text(&Zone::utc())
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
    fn what_we_said_has_the_time_at_which_we_said_it() {
        let line = Line::new("bob", 9_000_000, Event::Sent { number: 2_000_000, key: "", text: b"x" });
        assert_eq!(line.text(&Zone::utc()), "1970-01-01 00:00:02 -> bob: x");
    }
}
