//! One record of a conversation as people and programs get it. Everything that a peer wrote is cleaned here, and further
//! lines are indented, so that no message can look like another line.

use crate::app::inbox::pattern::Pattern;
use crate::store::history::Dropped;
use crate::text::{self, json::Object};
use crate::time;

pub use crate::store::history::{Event, Times};

/// A record and its place in the history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryEntry<'a> {
    /// The number of the record.
    pub seq: u64,
    /// When it was noted, and when it was said.
    pub times: Times,
    /// What it says.
    pub event: Event<'a>,
}

/// An entry in words; what differs between views is how they are put together.
pub enum Words {
    /// A message.
    Message {
        /// From whom, and what became of it.
        way: MessageStatus,
        /// Its text, cleaned, with further lines indented.
        text: String,
    },
    /// A file or directory.
    File {
        /// What the peer did: "sent" or "has".
        verb: &'static str,
        /// Its path and size, cleaned.
        what: String,
    },
}

/// From whom a message is, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// The peer said it.
    Received,
    /// We said it, and the peer has it on its disk.
    Delivered,
    /// We said it, and it was not sent for this reason.
    Dropped(Dropped),
}

impl HistoryEntry<'_> {
    /// The time to show, in µs of Unix time, if it is known. For a message of ours it is when it was said; for all else when
    /// it was noted here, because a peer's clock is not trusted.
    pub fn time(&self) -> Option<u64> {
        match self.event {
            Event::Sent { .. } | Event::Dropped { .. } => self.said().or(self.noted()),
            _ => self.noted(),
        }
    }

    /// When it was noted here, in µs of Unix time, if that is known.
    pub fn noted(&self) -> Option<u64> {
        time::believed(self.times.noted)
    }

    /// When the message was queued by its sender, in µs of Unix time, if that is known. For one that was received it is what
    /// the peer says.
    fn said(&self) -> Option<u64> {
        time::believed(self.times.said)
    }

    /// The entry in words.
    pub fn words(&self) -> Words {
        let message = |way, raw: &[u8]| Words::Message {
            way,
            text: text::indent(&text::clean_bytes(raw)).into_owned(),
        };
        let file = |verb, path: &[u8], size| {
            let path = text::clean_line(&String::from_utf8_lossy(path));
            Words::File { verb, what: format!("{path} ({})", text::size(size)) }
        };
        match self.event {
            Event::Received { text, .. } => message(MessageStatus::Received, text),
            Event::Sent { text, .. } => message(MessageStatus::Delivered, text),
            Event::Dropped { why, text, .. } => message(MessageStatus::Dropped(why), text),
            Event::FileReceived { size, path } => file("sent", path, size),
            Event::FileSent { size, path } => file("has", path, size),
        }
    }

    /// The entry as an object for programs; `peer` is the name of the peer.
    pub fn object(&self, peer: &str) -> Object {
        let raw = String::from_utf8_lossy(self.event.raw());
        let object = Object::event(self.event.word()).text("peer", peer).optional_number("time", self.time());
        match self.event {
            Event::Received { number, .. } => {
                object.number("number", number).optional_number("said", self.said()).text("text", &raw)
            }
            Event::Sent { number, key, .. } => {
                object.number("number", number).text("key", key).text("text", &raw)
            }
            Event::Dropped { number, .. } => object.number("number", number).text("text", &raw),
            Event::FileReceived { size, .. } | Event::FileSent { size, .. } => {
                object.number("size", size).text("path", &raw)
            }
        }
    }

    /// Searches the raw text or path for a pattern.
    pub fn contains(&self, wanted: &Pattern) -> bool {
        wanted.is_in(self.event.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_ours_has_the_time_at_which_it_was_said() {
        let entry = |event| HistoryEntry { seq: 9, times: Times { noted: 8, said: 7 }, event };
        assert_eq!(entry(Event::Sent { number: 2, key: "", text: b"x" }).time(), Some(7));
        assert_eq!(entry(Event::Dropped { number: 3, why: Dropped::Expired, text: b"x" }).time(), Some(7));
        assert_eq!(entry(Event::Received { number: 2, text: b"x" }).time(), Some(8));
        assert_eq!(entry(Event::FileSent { size: 2, path: b"x" }).time(), Some(8));
    }

    #[test]
    fn a_time_that_cannot_be_is_not_shown() {
        let event = Event::Sent { number: u64::MAX, key: "", text: b"x" };
        let ahead = time::now_micros() + 2 * 3_600_000_000;
        let shown = |noted, said| HistoryEntry { seq: u64::MAX, times: Times { noted, said }, event }.time();
        assert_eq!(shown(5, ahead), Some(5));
        assert_eq!(shown(5, 0), Some(5));
        assert_eq!(shown(ahead, ahead), None);
    }

    #[test]
    fn texts_and_paths_are_searched() {
        let entry = |event| HistoryEntry { seq: 1, times: Times::default(), event };
        let has = |entry: &HistoryEntry, wanted| entry.contains(&Pattern::new(wanted));
        let message = entry(Event::Received { number: 1, text: b"hello bob" });
        assert!(has(&message, "lo b") && has(&message, "") && !has(&message, "lob"));
        let sent = entry(Event::FileSent { size: 1, path: b"a/b.txt" });
        assert!(has(&sent, "/b.") && !has(&sent, "c"));
    }
}
