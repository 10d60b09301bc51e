//! The history of one conversation: what was received, and what was sent once it is acknowledged (egoat-files(5), HISTORY).
//!
//! ```text
//! body    kind u8 ‖ received u64 ‖ sent u64 ‖ rest
//!         1 message received: rest is its text
//!         2 message delivered: rest is key length u8 ‖ key ‖ text
//!         3 file received, 4 file delivered: rest is size u64 ‖ path
//!         5 message dropped: rest is number u64 ‖ why u8 (1 cancelled, 2 expired) ‖ text
//! ```
//!
//! `received` and `sent` are the highest message numbers of either direction up to and with this record, so the last
//! record alone says what the peer need not send again, and what needs no second entry.

use std::collections::HashSet;

use crate::error::Result;
use crate::store::log::{Appender, Log, LogId, Reader, Report};
use crate::store::outbox::QueuedMessage;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};

const RECEIVED: u8 = 1;
const SENT: u8 = 2;
const FILE_RECEIVED: u8 = 3;
const FILE_SENT: u8 = 4;
const DROPPED: u8 = 5;

/// More that is unread is not counted.
pub const MAX_UNREAD: usize = 999;

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The user took it back.
    Cancelled = 1,
    /// Its time was over.
    Expired = 2,
}

impl Dropped {
    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Dropped::Cancelled => "cancelled",
            Dropped::Expired => "expired",
        }
    }
}

/// What one record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message from the peer.
    Received {
        /// The peer's number of it.
        number: u64,
        /// Its text, raw.
        text: &'a [u8],
    },
    /// A message that the peer has on its disk.
    Sent {
        /// Our number of it: when it was queued, in µs of Unix time unless the clock went back.
        number: u64,
        /// What its sender here calls it; may be empty.
        key: &'a str,
        /// Its text.
        text: &'a [u8],
    },
    /// A message that will not be sent.
    Dropped {
        /// Our number of it.
        number: u64,
        /// Why.
        why: Dropped,
        /// Its text.
        text: &'a [u8],
    },
    /// A file from the peer is in place.
    FileReceived {
        /// Its bytes.
        size: u64,
        /// Where it is.
        path: &'a [u8],
    },
    /// The peer has the file in place.
    FileSent {
        /// Its bytes.
        size: u64,
        /// Its name in the transfer.
        path: &'a [u8],
    },
}

impl Event<'_> {
    /// Whether it came from the peer.
    pub fn is_arrival(&self) -> bool {
        matches!(self, Event::Received { .. } | Event::FileReceived { .. })
    }
}

/// Parses a record's body.
pub fn decode(body: &[u8]) -> std::result::Result<Event<'_>, Malformed> {
    let mut fields = FieldReader::new(body);
    let (kind, received, sent) = (fields.u8("kind")?, fields.u64("received")?, fields.u64("sent")?);
    Ok(match kind {
        RECEIVED => Event::Received { number: received, text: fields.rest() },
        SENT => {
            let length = fields.u8("key length")?.into();
            Event::Sent { number: sent, key: fields.text(length, "key")?, text: fields.rest() }
        }
        DROPPED => {
            let number = fields.u64("number")?;
            let why = match fields.u8("why")? {
                1 => Dropped::Cancelled,
                2 => Dropped::Expired,
                _ => return Err(Malformed("why")),
            };
            Event::Dropped { number, why, text: fields.rest() }
        }
        FILE_RECEIVED => Event::FileReceived { size: fields.u64("size")?, path: fields.rest() },
        FILE_SENT => Event::FileSent { size: fields.u64("size")?, path: fields.rest() },
        _ => return Err(Malformed("kind")),
    })
}

/// The highest numbers of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    received: u64,
    sent: u64,
}

impl Numbers {
    fn of(log: &Log) -> Numbers {
        // Only an empty log has a last record without them.
        Numbers::decode(log.last_head()).map(|(_, numbers)| numbers).unwrap_or_default()
    }

    /// The kind, and the numbers behind it.
    fn decode(body: &[u8]) -> std::result::Result<(u8, Numbers), Malformed> {
        let mut fields = FieldReader::new(body);
        let kind = fields.u8("kind")?;
        Ok((kind, Numbers { received: fields.u64("received")?, sent: fields.u64("sent")? }))
    }

    fn body(self, kind: u8) -> Vec<u8> {
        let mut body = vec![kind];
        body.put_u64(self.received);
        body.put_u64(self.sent);
        body
    }
}

/// A message and its number.
pub type NumberedMessage = (u64, Vec<u8>);

/// The history of a conversation, open for appending.
pub struct History {
    log: Log,
}

impl History {
    /// Opens or creates it.
    pub fn open(id: LogId, report: Report) -> Result<History> {
        Ok(History { log: Log::open(id, report)? })
    }

    /// Reads it from the start.
    pub fn reader(id: LogId, report: Report) -> Reader {
        Reader::new(id, report)
    }

    /// The highest number received; messages up to it need not come again. It is on disk when this returns: a node that
    /// was killed may have left it written but not synced.
    pub fn received(&mut self) -> Result<u64> {
        self.log.sync()?;
        Ok(Numbers::of(&self.log).received)
    }

    /// The highest number that the peer acknowledged.
    pub fn sent(&self) -> u64 {
        Numbers::of(&self.log).sent
    }

    /// Stores messages that arrived, but for those that are already there; on disk when it returns. Says which numbers
    /// were new.
    pub fn store_received(&mut self, messages: &[NumberedMessage]) -> Result<Vec<u64>> {
        let mut log = self.log.lock()?;
        let mut numbers = Numbers::of(log.log());
        let mut new = Vec::new();
        for (number, text) in messages {
            if *number > numbers.received {
                numbers.received = *number;
                new.push(*number);
                append(&mut log, numbers, RECEIVED, &[text])?;
            }
        }
        // Also with nothing new: what is there may not be synced yet, and is about to be acknowledged.
        log.commit(true)?;
        Ok(new)
    }

    /// Stores messages that were acknowledged, but for those that are already there: an acknowledgement may come twice
    /// when a node was killed between this and the outbox. On disk when it returns.
    pub fn store_sent<'a>(&mut self, messages: impl Iterator<Item = &'a QueuedMessage>) -> Result<()> {
        let mut log = self.log.lock()?;
        let mut numbers = Numbers::of(log.log());
        for QueuedMessage { number, draft } in messages {
            if *number > numbers.sent {
                numbers.sent = *number;
                append(
                    &mut log,
                    numbers,
                    SENT,
                    &[&[draft.key.len() as u8], draft.key.as_bytes(), &draft.text],
                )?;
            }
        }
        log.commit(true)
    }

    /// Notes that messages will not be sent.
    pub fn store_dropped(&mut self, messages: &[QueuedMessage], why: Dropped) -> Result<()> {
        let mut log = self.log.lock()?;
        let numbers = Numbers::of(log.log());
        for QueuedMessage { number, draft } in messages {
            append(&mut log, numbers, DROPPED, &[&number.to_be_bytes(), &[why as u8], &draft.text])?;
        }
        log.commit(true)
    }

    /// The number of the delivered message with this key; reads the whole history.
    pub fn find_sent(mut reader: Reader, wanted: &str) -> Result<Option<u64>> {
        while let Some(record) = reader.read()? {
            if let Ok(Event::Sent { number, key, .. }) = decode(record.body)
                && key == wanted
            {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Whether the message `number` was dropped.
    pub fn was_dropped(mut reader: Reader, wanted: u64) -> Result<bool> {
        // What became of a message is noted after it was queued.
        reader.skip_to(wanted)?;
        while let Some(record) = reader.read()? {
            if matches!(decode(record.body), Ok(Event::Dropped { number, .. }) if number == wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files that came from the peer, of records with a number of at least `since`.
    pub fn files_since(mut reader: Reader, since: u64) -> Result<HashSet<String>> {
        reader.skip_to(since)?;
        let mut paths = HashSet::new();
        while let Some(record) = reader.read()? {
            if record.seq >= since
                && let Ok(Event::FileReceived { path, .. }) = decode(record.body)
            {
                paths.insert(String::from_utf8_lossy(path).into_owned());
            }
        }
        Ok(paths)
    }

    /// What `reader` still has: how many messages and files came from the peer, and the number of the last record. It stops
    /// when there are as many as `most`.
    pub fn count_arrived(mut reader: Reader, most: usize) -> Result<(usize, Option<u64>)> {
        let (mut count, mut last) = (0, None);
        while count < most
            && let Some(record) = reader.read()?
        {
            last = Some(record.seq);
            count += usize::from(decode(record.body).is_ok_and(|event| event.is_arrival()));
        }
        Ok((count, last))
    }

    /// Notes that a file is in place, here (`received`) or with the peer.
    pub fn store_files(&mut self, received: bool, files: &[(u64, String)]) -> Result<()> {
        let mut log = self.log.lock()?;
        let numbers = Numbers::of(log.log());
        let kind = if received { FILE_RECEIVED } else { FILE_SENT };
        for (size, path) in files {
            append(&mut log, numbers, kind, &[&size.to_be_bytes(), path.as_bytes()])?;
        }
        log.commit(true)
    }
}

fn append(log: &mut Appender, numbers: Numbers, kind: u8, rest: &[&[u8]]) -> Result<()> {
    let mut body = numbers.body(kind);
    for part in rest {
        body.put(part);
    }
    log.push(log.next_seq(), &body)
}
