//! The history of one conversation: what was received, and what was sent once it is acknowledged (egoat-files(5), HISTORY).
//!
//! ```text
//! body    kind u8 ‖ received u64 ‖ sent u64 ‖ noted u64 ‖ said u64 ‖ rest
//!         17 message received: rest is its text
//!         18 message delivered: rest is key length u8 ‖ key ‖ text
//!         19 file received, 20 file delivered: rest is size u64 ‖ path
//!         21 message dropped: rest is number u64 ‖ why u8 (1 cancelled, 2 expired) ‖ text
//!         1 to 5 the same without noted and said, from earlier versions
//! body    8 u8 ‖ received u64 ‖ sent u64 ‖ last u64 ‖ keys: afresh, in the place of what was deleted, see `deletion`
//! ```
//!
//! `received` and `sent` are the highest message numbers of either direction up to and with this record, so the last
//! record alone says what the peer need not send again, and what needs no second entry.
//!
//! Numbers only rise: after a clock was ahead once, they stay ahead. So they are no times; `noted` and `said` are.

pub mod deletion;
mod keyed;

use std::collections::HashSet;

use crate::error::Result;
use crate::store::log::{Appender, Log, LogId, Reader, Report};
use crate::store::outbox::QueuedMessage;
use crate::time::now_micros;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};

pub use crate::store::history::keyed::KeySearch;

/// Set in the kinds of records with times.
const TIMED: u8 = 16;
const RECEIVED: u8 = 1;
const SENT: u8 = 2;
const FILE_RECEIVED: u8 = 3;
const FILE_SENT: u8 = 4;
const DROPPED: u8 = 5;
const AFRESH: u8 = 8;

/// A message's key is looked for in so many records at the end of the history, which takes 0.1 s of a processor; by count,
/// since a clock may have been wrong. A script that repeats itself does so at once or the next day.
pub const KEYS_REMEMBERED: usize = 100_000;

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
        /// Our number of it.
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
    /// What it is, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Event::Received { .. } => "received",
            Event::Sent { .. } => "delivered",
            Event::Dropped { why, .. } => why.word(),
            Event::FileReceived { .. } => "file-received",
            Event::FileSent { .. } => "file-delivered",
        }
    }

    /// Its text or path, raw.
    pub fn raw(&self) -> &[u8] {
        match self {
            Event::Received { text, .. } | Event::Sent { text, .. } | Event::Dropped { text, .. } => text,
            Event::FileReceived { path, .. } | Event::FileSent { path, .. } => path,
        }
    }

    /// Whether it came from the peer.
    pub fn is_arrival(&self) -> bool {
        matches!(self, Event::Received { .. } | Event::FileReceived { .. })
    }
}

/// When something happened, in µs of Unix time, by the clock as it was then; 0 where it is not known. No clock is to be
/// relied on: see [`crate::time::believed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When the record was made.
    pub noted: u64,
    /// When the message was queued by its sender.
    pub said: u64,
}

/// A record's times; `seq` is its number.
pub fn times(seq: u64, body: &[u8]) -> std::result::Result<Times, Malformed> {
    let mut fields = FieldReader::new(body);
    let (kind, numbers) = Numbers::take(&mut fields)?;
    Ok(match kind {
        AFRESH => Times::default(),
        kind if kind & TIMED != 0 => take_times(&mut fields)?,
        // Records without times have only their numbers.
        SENT => Times { noted: seq, said: numbers.sent },
        DROPPED => Times { noted: seq, said: fields.u64("number")? },
        _ => Times { noted: seq, said: 0 },
    })
}

fn take_times(fields: &mut FieldReader) -> std::result::Result<Times, Malformed> {
    Ok(Times { noted: fields.u64("noted")?, said: fields.u64("said")? })
}

/// Parses a record's body but for its times. One that stands for what was deleted is no event, and so an error.
pub fn decode(body: &[u8]) -> std::result::Result<Event<'_>, Malformed> {
    let mut fields = FieldReader::new(body);
    let (kind, Numbers { received, sent, .. }) = Numbers::take(&mut fields)?;
    if kind & TIMED != 0 {
        take_times(&mut fields)?;
    }
    Ok(match kind & !TIMED {
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
    /// The number of the last record that was deleted, in a record that stands for those; else 0. Those to come have higher
    /// ones, also when that one's clock was ahead.
    deleted: u64,
}

impl Numbers {
    fn of(log: &Log) -> Numbers {
        // Only an empty log has a last record without them.
        Numbers::of_body(log.last_head()).unwrap_or_default()
    }

    /// Those at the start of a body.
    fn of_body(body: &[u8]) -> Option<Numbers> {
        Numbers::take(&mut FieldReader::new(body)).ok().map(|(_, numbers)| numbers)
    }

    /// The kind, and the numbers after it.
    fn take(fields: &mut FieldReader) -> std::result::Result<(u8, Numbers), Malformed> {
        let kind = fields.u8("kind")?;
        let (received, sent) = (fields.u64("received")?, fields.u64("sent")?);
        let deleted = if kind == AFRESH { fields.u64("last")? } else { 0 };
        Ok((kind, Numbers { received, sent, deleted }))
    }
}

/// A message from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The peer's number of it.
    pub number: u64,
    /// When the peer queued it, as the peer says, in µs of Unix time; 0 where it does not say, or says what cannot be.
    pub said: u64,
    /// Its text, raw.
    pub text: Vec<u8>,
}

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
    pub fn store_received(&mut self, messages: &[ReceivedMessage]) -> Result<Vec<u64>> {
        let mut log = self.log.lock()?;
        let mut numbers = Numbers::of(log.log());
        let mut new = Vec::new();
        for ReceivedMessage { number, said, text } in messages {
            if *number > numbers.received {
                numbers.received = *number;
                new.push(*number);
                append(&mut log, RECEIVED, numbers, *said, 0, &[text])?;
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
        for QueuedMessage { number, said, draft } in messages {
            if *number > numbers.sent {
                numbers.sent = *number;
                let key = draft.key.as_bytes();
                append(&mut log, SENT, numbers, *said, *number, &[&[key.len() as u8], key, &draft.text])?;
            }
        }
        log.commit(true)
    }

    /// Notes that messages will not be sent, and returns them, but for those that were delivered by now. What was noted
    /// before is not noted again. On disk when it returns.
    pub fn store_dropped(
        &mut self,
        mut messages: Vec<QueuedMessage>,
        why: Dropped,
    ) -> Result<Vec<QueuedMessage>> {
        let mut log = self.log.lock()?;
        let numbers = Numbers::of(log.log());
        messages.retain(|message| message.number > numbers.sent);
        let Some(oldest) = messages.iter().map(|message| message.number).min() else { return Ok(messages) };
        let known = dropped_since(log.log().reader(), oldest)?;
        for QueuedMessage { number, said, draft } in &messages {
            if !known.contains(number) {
                let rest: [&[u8]; 3] = [&number.to_be_bytes(), &[why as u8], &draft.text];
                append(&mut log, DROPPED, numbers, *said, *number, &rest)?;
            }
        }
        log.commit(true)?;
        Ok(messages)
    }

    /// Whether the message `number` was dropped.
    pub fn was_dropped(reader: Reader, wanted: u64) -> Result<bool> {
        Ok(dropped_since(reader, wanted)?.contains(&wanted))
    }

    /// The files that came from the peer and were noted at `since` or later, in µs of Unix time.
    pub fn files_since(mut reader: Reader, since: u64) -> Result<HashSet<String>> {
        reader.skip_to(since)?;
        let mut paths = HashSet::new();
        while let Some(record) = reader.read()? {
            if times(record.seq, record.body).is_ok_and(|times| times.noted >= since)
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

    /// Notes that files from the peer are in place. On disk when it returns.
    pub fn store_files_received(&mut self, files: &[(u64, String)]) -> Result<()> {
        let mut log = self.log.lock()?;
        let numbers = Numbers::of(log.log());
        for (size, path) in files {
            append(&mut log, FILE_RECEIVED, numbers, 0, 0, &[&size.to_be_bytes(), path.as_bytes()])?;
        }
        log.commit(true)
    }

    /// Notes that the peer has the files of a transfer in place, but for those that were noted before: a sender that is
    /// killed right after this hears it once more. `transfer` is a time before this, in µs of Unix time, which no
    /// other transfer has. On disk when it returns.
    pub fn store_files_sent(&mut self, transfer: u64, files: &[(u64, String)]) -> Result<()> {
        let mut log = self.log.lock()?;
        let numbers = Numbers::of(log.log());
        let known = sent_in(log.log().reader(), transfer)?;
        for (size, path) in files.iter().filter(|(_, path)| !known.contains(path)) {
            let rest: [&[u8]; 2] = [&size.to_be_bytes(), path.as_bytes()];
            append(&mut log, FILE_SENT, numbers, transfer, transfer, &rest)?;
        }
        log.commit(true)
    }
}

/// The files of a transfer that were noted as sent.
fn sent_in(mut reader: Reader, transfer: u64) -> Result<HashSet<String>> {
    // Their records have higher numbers than the transfer.
    reader.skip_to(transfer)?;
    let mut paths = HashSet::new();
    while let Some(record) = reader.read()? {
        if times(record.seq, record.body).is_ok_and(|times| times.said == transfer)
            && let Ok(Event::FileSent { path, .. }) = decode(record.body)
        {
            paths.insert(String::from_utf8_lossy(path).into_owned());
        }
    }
    Ok(paths)
}

/// The numbers of the dropped messages from `oldest` on, and perhaps some others.
fn dropped_since(mut reader: Reader, oldest: u64) -> Result<HashSet<u64>> {
    // A record about a message of ours has a higher number than the message.
    reader.skip_to(oldest)?;
    let mut dropped = HashSet::new();
    while let Some(record) = reader.read()? {
        if let Ok(Event::Dropped { number, .. }) = decode(record.body) {
            dropped.insert(number);
        }
    }
    Ok(dropped)
}

/// Adds a record that is made now, about a message that was `said` then; its number is above `number`.
fn append(
    log: &mut Appender,
    kind: u8,
    numbers: Numbers,
    said: u64,
    number: u64,
    rest: &[&[u8]],
) -> Result<()> {
    let mut body = vec![kind | TIMED];
    for field in [numbers.received, numbers.sent, now_micros(), said] {
        body.put_u64(field);
    }
    for part in rest {
        body.put(part);
    }
    log.push(log.next_seq().max(number + 1).max(numbers.deleted + 1), &body)
}
