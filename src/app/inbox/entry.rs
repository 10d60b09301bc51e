//! One record of a conversation as people and programs get it. Everything that a peer wrote is cleaned here, and further
//! lines are indented, so that no message can look like another line.

use crate::store::history::Dropped;
use crate::text::{self, json::Object};

pub use crate::store::history::Event;

/// A record and its place in the history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryEntry<'a> {
    /// The number of the record: when it was appended here, in µs of Unix time unless the clock went back.
    pub seq: u64,
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
    /// The time to show, in µs of Unix time. For a message of ours it is when it was said, which is its number; for all
    /// else when it was noted here, because a peer's clock is not trusted.
    pub fn micros(&self) -> u64 {
        match self.event {
            Event::Sent { number, .. } | Event::Dropped { number, .. } => number,
            _ => self.seq,
        }
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
        let raw = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let object = |event: &str| Object::event(event).text("peer", peer).number("time", self.micros());
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

    /// Whether the raw text or path contains `wanted`.
    pub fn contains(&self, wanted: &[u8]) -> bool {
        let raw = match self.event {
            Event::Received { text, .. } | Event::Sent { text, .. } | Event::Dropped { text, .. } => text,
            Event::FileReceived { path, .. } | Event::FileSent { path, .. } => path,
        };
        wanted.is_empty() || raw.windows(wanted.len()).any(|window| window == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_ours_has_the_time_at_which_it_was_said() {
        let entry = |event| HistoryEntry { seq: 9, event };
        assert_eq!(entry(Event::Sent { number: 2, key: "", text: b"x" }).micros(), 2);
        assert_eq!(entry(Event::Dropped { number: 3, why: Dropped::Expired, text: b"x" }).micros(), 3);
        assert_eq!(entry(Event::Received { number: 2, text: b"x" }).micros(), 9);
        assert_eq!(entry(Event::FileSent { size: 2, path: b"x" }).micros(), 9);
    }

    #[test]
    fn texts_and_paths_are_searched() {
        let message = HistoryEntry { seq: 1, event: Event::Received { number: 1, text: b"hello bob" } };
        assert!(message.contains(b"lo b") && message.contains(b"") && !message.contains(b"lob"));
        let sent = HistoryEntry { seq: 1, event: Event::FileSent { size: 1, path: b"a/b.txt" } };
        assert!(sent.contains(b"/b.") && !sent.contains(b"c"));
    }
}
