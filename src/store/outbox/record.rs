//! The records of an outbox, as egoat-files(5), OUTBOX, has them. Pure.
//!
//! ```text
//! body    kind u8 ‖ queued u64 ‖ settled u64 ‖ dropped u32 ‖ rest
//!         5 queued:  expires u64 ‖ said u64 ‖ key length u8 ‖ key ‖ text; the record's seq is the message's number
//!         1 queued:  the same without said, from earlier versions
//!         2 settled: everything up to `settled` is done with
//!         3 afresh:  the first record of a log that was started again; times u32 ‖ last u64 if that was to renumber
//!         4 dropped: number u64 of a message that is not to be sent
//!         6 sent:    number u64; what is queued up to it, and not dropped before, was on its way
//! ```
//!
//! `queued` is the highest number given out and `settled` the highest one that is done with, up to and with this record:
//! the last record alone says whether something waits. Messages are acknowledged in order, so two numbers are enough;
//! `dropped` counts the exceptions in this file.
//!
//! An entry of kind 6 is what tells a message that was dropped on its way from one that never went out: the receiver's
//! HELD covers both.

use crate::error::{Error, Result};
use crate::store::log::Log;
use crate::time::now_micros;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};
use crate::wire::message::MAX_TEXT;

/// Longest key of a message in bytes.
pub const MAX_KEY: usize = 128;

const QUEUED_UNTIMED: u8 = 1;
const SETTLED: u8 = 2;
const AFRESH: u8 = 3;
const DROPPED: u8 = 4;
const QUEUED: u8 = 5;
const SENT: u8 = 6;

/// What all records of an outbox say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub queued: u64,
    pub settled: u64,
    pub dropped: u32,
}

impl Counters {
    /// Those of the last record of a log; an empty log has none.
    pub fn of(log: &Log) -> Counters {
        Counters::of_record(log.last_head()).unwrap_or_default()
    }

    /// Those of one record, whatever its kind.
    pub fn of_record(body: &[u8]) -> std::result::Result<Counters, Malformed> {
        Counters::take(&mut FieldReader::new(body)).map(|(_, counters)| counters)
    }

    fn take(fields: &mut FieldReader) -> std::result::Result<(u8, Counters), Malformed> {
        let kind = fields.u8("kind")?;
        let (queued, settled) = (fields.u64("queued")?, fields.u64("settled")?);
        Ok((kind, Counters { queued, settled, dropped: fields.u32("dropped")? }))
    }

    /// The record of a message that was queued at `said`.
    pub fn queued(self, said: u64, draft: &Draft) -> Vec<u8> {
        let mut body = self.body(QUEUED);
        body.put_u64(draft.expires);
        body.put_u64(said);
        body.put_u8(draft.key.len() as u8);
        body.put(draft.key.as_bytes());
        body.put(&draft.text);
        body
    }

    pub fn settled(self) -> Vec<u8> {
        self.body(SETTLED)
    }

    /// The first record of a log that is started again because nothing waits.
    pub fn afresh(self) -> Vec<u8> {
        self.body(AFRESH)
    }

    /// The first record of a log that is started again with new numbers.
    pub fn renumbered(self, renumbering: Renumbering) -> Vec<u8> {
        let mut body = self.body(AFRESH);
        body.put_u32(renumbering.times);
        body.put_u64(renumbering.last);
        body
    }

    pub fn dropped(self, number: u64) -> Vec<u8> {
        let mut body = self.body(DROPPED);
        body.put_u64(number);
        body
    }

    pub fn sent(self, number: u64) -> Vec<u8> {
        let mut body = self.body(SENT);
        body.put_u64(number);
        body
    }

    fn body(self, kind: u8) -> Vec<u8> {
        let mut body = vec![kind];
        body.put_u64(self.queued);
        body.put_u64(self.settled);
        body.put_u32(self.dropped);
        body
    }
}

/// What one record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A message; its number is that of the record.
    Queued {
        /// When it was queued, in µs of Unix time; `None` where the record has no time but its number.
        said: Option<u64>,
        draft: Draft,
    },
    Settled,
    Afresh(Renumbering),
    Dropped(u64),
    Sent(u64),
}

/// How often the log was started afresh with new numbers since nothing waited, and when it was the last time, in µs of Unix
/// time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Renumbering {
    pub times: u32,
    pub last: u64,
}

impl Entry {
    /// Parses a record's body. Old records of messages have no time but their number.
    pub fn decode(body: &[u8]) -> std::result::Result<Entry, Malformed> {
        let mut fields = FieldReader::new(body);
        let (kind, _) = Counters::take(&mut fields)?;
        Ok(match kind {
            QUEUED | QUEUED_UNTIMED => {
                let expires = fields.u64("expires")?;
                let said = if kind == QUEUED { Some(fields.u64("said")?) } else { None };
                let length = fields.u8("key length")?.into();
                let key = fields.text(length, "key")?.to_owned();
                Entry::Queued { said, draft: Draft { expires, key, text: fields.rest().to_vec() } }
            }
            SETTLED => Entry::Settled,
            AFRESH if fields.is_empty() => Entry::Afresh(Renumbering::default()),
            AFRESH => Entry::Afresh(Renumbering { times: fields.u32("times")?, last: fields.u64("last")? }),
            DROPPED => Entry::Dropped(fields.u64("number")?),
            SENT => Entry::Sent(fields.u64("number")?),
            _ => return Err(Malformed("kind")),
        })
    }

    /// The same for a record that is no message, without a copy of the text of one that is.
    pub fn decode_mark(body: &[u8]) -> Option<Entry> {
        if matches!(body.first(), Some(&(QUEUED | QUEUED_UNTIMED))) { None } else { Entry::decode(body).ok() }
    }
}

/// A message as it goes into an outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// What is said.
    pub text: Vec<u8>,
    /// Names it for whoever queued it; may be empty.
    pub key: String,
    /// Not sent after this time, in µs of Unix time; 0 for never.
    pub expires: u64,
}

impl Draft {
    /// A message without a key that waits for as long as it takes.
    pub fn new(text: &[u8]) -> Draft {
        Draft { text: text.to_vec(), ..Draft::default() }
    }

    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        self.expires != 0 && now_micros() >= self.expires
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.key.len() > MAX_KEY {
            return Err(Error::usage(format!("a message's id has at most {MAX_KEY} bytes")));
        }
        if self.text.len() > MAX_TEXT {
            return Err(Error::Usage {
                // Who reads it may have stopped a little behind the limit.
                what: format!("the message has more than {MAX_TEXT} bytes"),
                hint: Some("send it as a file: `egoat send PEER FILE`".into()),
            });
        }
        Ok(())
    }
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Its number.
    pub number: u64,
    /// When it was queued, in µs of Unix time by the clock as it was then; 0 where that is not known.
    pub said: u64,
    /// What it is.
    pub draft: Draft,
}

impl QueuedMessage {
    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        self.draft.is_expired()
    }
}
