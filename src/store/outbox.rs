//! The outbox of one peer: what waits to be delivered (egoat-files(5), OUTBOX).
//!
//! ```text
//! body    kind u8 ‖ queued u64 ‖ settled u64 ‖ dropped u32 ‖ rest
//!         1 queued:  expires u64 ‖ key length u8 ‖ key ‖ text; the record's seq is the message's number
//!         2 settled: everything up to `settled` is done with
//!         3 afresh:  the first record of a log that was started again
//!         4 dropped: number u64 of a message that is not to be sent
//! ```
//!
//! `queued` is the highest number given out and `settled` the highest one that is done with, up to and with this record:
//! the last record alone says whether something waits. Messages are acknowledged in order, so two numbers are enough;
//! `dropped` counts the exceptions in this file.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::store::log::{COMPACT_ABOVE, Log, LogId, MAX_SEQ, Reader, Report};
use crate::time::now_micros;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};
use crate::wire::message::MAX_TEXT;

const QUEUED: u8 = 1;
const SETTLED: u8 = 2;
const AFRESH: u8 = 3;
const DROPPED: u8 = 4;

/// Longest key of a message in bytes.
pub const MAX_KEY: usize = 128;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    queued: u64,
    settled: u64,
    dropped: u32,
}

impl Counters {
    /// Of the last record of a log; only an empty log has none.
    fn of(log: &Log) -> Counters {
        Counters::read(&mut FieldReader::new(log.last_head())).map(|(_, numbers)| numbers).unwrap_or_default()
    }

    fn read(fields: &mut FieldReader) -> std::result::Result<(u8, Counters), Malformed> {
        let kind = fields.u8("kind")?;
        let (queued, settled) = (fields.u64("queued")?, fields.u64("settled")?);
        Ok((kind, Counters { queued, settled, dropped: fields.u32("dropped")? }))
    }

    fn body(self, kind: u8, rest: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(21 + rest.len());
        body.put_u8(kind);
        body.put_u64(self.queued);
        body.put_u64(self.settled);
        body.put_u32(self.dropped);
        body.put(rest);
        body
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

    fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(9 + self.key.len() + self.text.len());
        rest.put_u64(self.expires);
        rest.put_u8(self.key.len() as u8);
        rest.put(self.key.as_bytes());
        rest.put(&self.text);
        rest
    }

    fn decode(fields: &mut FieldReader) -> std::result::Result<Draft, Malformed> {
        let expires = fields.u64("expires")?;
        let length = fields.u8("key length")?.into();
        let key = fields.text(length, "key")?.to_owned();
        Ok(Draft { expires, key, text: fields.rest().to_vec() })
    }

    fn check(&self) -> Result<()> {
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
    /// What it is.
    pub draft: Draft,
}

impl QueuedMessage {
    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        self.draft.expires != 0 && now_micros() >= self.draft.expires
    }
}

/// A peer's outbox.
pub struct Outbox {
    id: LogId,
    log: Log,
}

impl Outbox {
    /// Opens or creates it.
    pub fn open(id: LogId, report: Report) -> Result<Outbox> {
        Ok(Outbox { log: Log::open(id.clone(), report)?, id })
    }

    /// Queues messages; on disk when it returns. Gives the number of the last one.
    pub fn queue(&mut self, drafts: &[Draft]) -> Result<u64> {
        drafts.iter().try_for_each(Draft::check)?;
        let mut log = self.log.lock()?;
        let mut numbers = Counters::of(log.log());
        for draft in drafts {
            numbers.queued = log.next_seq();
            log.push(numbers.queued, &numbers.body(QUEUED, &draft.encode()))?;
        }
        log.commit(true)?;
        Ok(numbers.queued)
    }

    /// Queues a message unless one with its key is there already, waiting or done with; gives the number of either, and
    /// whether it is new. One that was dropped does not count, nor one that will be because its time is over. `is_done`
    /// tells of those that are no longer here: it is asked while nothing can move from here to the history.
    pub fn queue_once(
        &mut self,
        draft: &Draft,
        is_done: impl FnOnce() -> Result<Option<u64>>,
    ) -> Result<(u64, bool)> {
        draft.check()?;
        let mut log = self.log.lock()?;
        let settled = Counters::of(log.log()).settled;
        let mut reader = log.log().reader();
        let (mut known, mut dropped) = (Vec::new(), HashSet::new());
        while let Some(record) = reader.read()? {
            match queued(record.body) {
                Some((_, other)) if other.key == draft.key => {
                    let other = QueuedMessage { number: record.seq, draft: other };
                    if other.number <= settled || !other.is_expired() {
                        known.push(other.number);
                    }
                }
                Some(_) => {}
                None => dropped.extend(dropped_number(record.body)),
            }
        }
        known.retain(|number| !dropped.contains(number));
        if let Some(number) = known.pop().map_or_else(is_done, |number| Ok(Some(number)))? {
            // Whoever queued it may have been killed before it was synced.
            log.commit(true)?;
            return Ok((number, false));
        }
        let number = log.next_seq();
        let numbers = Counters { queued: number, ..Counters::of(log.log()) };
        log.push(number, &numbers.body(QUEUED, &draft.encode()))?;
        log.commit(true)?;
        Ok((number, true))
    }

    /// Takes messages out that wait: they are not sent any more. On disk when it returns. Says which of `wanted` waited.
    pub fn drop_messages(&mut self, wanted: impl Fn(&QueuedMessage) -> bool) -> Result<Vec<QueuedMessage>> {
        let mut log = self.log.lock()?;
        let mut numbers = Counters::of(log.log());
        let reader = log.log().reader();
        let mut pending = Pending::new(reader, log.log().reader_of_news(), numbers);
        let mut dropped = Vec::new();
        while let Some(waiting) = pending.read()? {
            if wanted(&waiting) {
                numbers.dropped = numbers.dropped.saturating_add(1);
                let seq = log.next_seq();
                log.push(seq, &numbers.body(DROPPED, &waiting.number.to_be_bytes()))?;
                dropped.push(waiting);
            }
        }
        if !dropped.is_empty() {
            log.commit(true)?;
        }
        Ok(dropped)
    }

    /// Notes that everything up to `number` is acknowledged. Not synced: if it is lost, the message goes out again, and
    /// the receiver knows it by its number. Starts the log afresh when nothing waits and it has grown.
    pub fn settle(&mut self, number: u64) -> Result<()> {
        let mut log = self.log.lock()?;
        let before = Counters::of(log.log());
        let numbers = Counters { settled: number.min(before.queued), ..before };
        if numbers.settled <= before.settled {
            return Ok(());
        }
        let seq = log.next_seq();
        if numbers.settled == numbers.queued && log.log().len() > COMPACT_ABOVE {
            let first = (seq, Counters { dropped: 0, ..numbers }.body(AFRESH, &[]));
            if Log::shorten(&mut log, &mut std::iter::once(Ok(first))) {
                return Ok(());
            }
        }
        log.push(seq, &numbers.body(SETTLED, &[]))?;
        log.commit(false)
    }

    /// Notes that nothing waits, if what was queued last is dropped, and so is all else that is not settled.
    pub fn settle_dropped(&mut self) -> Result<()> {
        self.log.refresh()?;
        let numbers = Counters::of(&self.log);
        if numbers.dropped == 0 || numbers.settled == numbers.queued || self.pending().read()?.is_some() {
            return Ok(());
        }
        // What was queued since has a higher number, and is not settled by this.
        self.settle(numbers.queued)
    }

    /// Whether the message `number` is done with, as far as the log says now.
    pub fn is_settled(&mut self, number: u64) -> Result<bool> {
        self.log.refresh()?;
        Ok(Counters::of(&self.log).settled >= number)
    }

    /// Whether the message `number` was taken out. `None` when nothing is known of it here any more.
    pub fn is_dropped(&mut self, number: u64) -> Result<Option<bool>> {
        self.log.refresh()?;
        let mut reader = self.log.reader();
        let mut is_first = true;
        while let Some(record) = reader.read()? {
            if std::mem::take(&mut is_first) && record.seq > number {
                // The log was started afresh since.
                return Ok(None);
            }
            if dropped_number(record.body) == Some(number) {
                return Ok(Some(true));
            }
            // Most often nothing was.
            if Counters::of(&self.log).dropped == 0 {
                break;
            }
        }
        Ok(Some(false))
    }

    /// How many messages of this file were taken out. While there are no more, [`Outbox::is_dropped`] says the same.
    pub fn count_dropped(&mut self) -> Result<u32> {
        self.log.refresh()?;
        Ok(Counters::of(&self.log).dropped)
    }

    /// Whether something waits, as far as the log says now; what is dropped may count until the next contact.
    pub fn has_pending(&mut self) -> Result<bool> {
        self.log.refresh()?;
        let numbers = Counters::of(&self.log);
        Ok(numbers.settled < numbers.queued)
    }

    /// Whether this outbox gave out `number`, as far as it still knows: it is queued here, or settled with all before it.
    /// One that was restored from a backup may know higher numbers, but not those that it gave out before it was restored.
    pub fn has_issued(&self, number: u64) -> Result<bool> {
        // Damage is told by those who read what waits.
        let mut reader = Reader::new(self.id.clone(), Arc::new(|_: &str| ()));
        while let Some(record) = reader.read()? {
            let Ok((kind, numbers)) = Counters::read(&mut FieldReader::new(record.body)) else { continue };
            let is_known = match kind {
                QUEUED => record.seq == number,
                // What it begins with was given out before, or is held by the peer as if it had been.
                AFRESH => record.seq >= number,
                _ => false,
            };
            if is_known || numbers.settled >= number {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives everything that waits a number above `held`, which the receiver holds but this outbox never gave out: it was
    /// restored from a backup, and the receiver would take new messages for old ones.
    pub fn reissue_above(&mut self, held: u64) -> Result<()> {
        // The number is the peer's word. Half of all are far in the future, and the rest is left for what comes after.
        if held > MAX_SEQ / 2 {
            return Err(Error::failed(format!(
                "the peer says that it holds message {held}, which no clock gives"
            )));
        }
        let mut log = self.log.lock()?;
        // Under the lock, so that nothing is left out and nothing is acknowledged meanwhile.
        let reader = log.log().reader();
        let mut waiting = Pending::new(reader, log.log().reader_of_news(), Counters::of(log.log()));
        // What was settled stays as it is, so that nobody who waits for an old number takes it for delivered.
        let settled = Counters::of(log.log()).settled;
        let mut number = held.max(log.next_seq());
        let first = (number, Counters { queued: settled, settled, dropped: 0 }.body(AFRESH, &[]));
        let mut renumbered = std::iter::from_fn(|| {
            let next = waiting.read().transpose()?;
            number += 1;
            let numbers = Counters { queued: number, settled, dropped: 0 };
            Some(next.map(|waiting| (number, numbers.body(QUEUED, &waiting.draft.encode()))))
        });
        Log::start_afresh(&mut log, &mut std::iter::once(Ok(first)).chain(&mut renumbered))
    }

    /// Waits until what was read so far is on the disk: who queues keeps the lock until it is. A message that goes out
    /// earlier, and is lost here in a power cut, makes the home look like one that was restored from a backup.
    pub fn wait_for_disk(&mut self) -> Result<()> {
        self.log.lock().map(drop)
    }

    /// Reads what waits, oldest first, and what was done with since this outbox was last looked at.
    pub fn pending(&self) -> Pending {
        let reader = self.log.reader();
        Pending::new(reader, self.log.reader_of_news(), Counters::of(&self.log))
    }
}

/// A queued message's numbers and content.
fn queued(body: &[u8]) -> Option<(Counters, Draft)> {
    let mut fields = FieldReader::new(body);
    match Counters::read(&mut fields) {
        Ok((QUEUED, numbers)) => Some((numbers, Draft::decode(&mut fields).ok()?)),
        _ => None,
    }
}

/// The number of the message that a record takes out.
fn dropped_number(body: &[u8]) -> Option<u64> {
    let mut fields = FieldReader::new(body);
    match Counters::read(&mut fields) {
        Ok((DROPPED, _)) => fields.u64("number").ok(),
        _ => None,
    }
}

/// A reader of what waits; at the end it can be asked again later.
pub struct Pending {
    reader: Reader,
    settled: u64,
    dropped: HashSet<u64>,
    /// Reads ahead for what is dropped: its records stand behind the messages.
    ahead: Reader,
    /// `ahead` has to look before the next message is given.
    is_stale: bool,
}

impl Pending {
    /// `news` begins behind the record with `numbers`, and `reader` at the start.
    fn new(reader: Reader, news: Option<Reader>, numbers: Counters) -> Pending {
        let ahead = news.filter(|_| numbers.dropped == 0).unwrap_or_else(|| reader.again());
        Pending { reader, settled: numbers.settled, dropped: HashSet::new(), ahead, is_stale: true }
    }

    /// The next message that waits. What others drop is seen when it is asked for the first time, after the end, and
    /// after [`Pending::look_again`].
    pub fn read(&mut self) -> Result<Option<QueuedMessage>> {
        if std::mem::take(&mut self.is_stale) {
            while let Some(record) = self.ahead.read()? {
                self.dropped.extend(dropped_number(record.body));
            }
        }
        while let Some(record) = self.reader.read()? {
            let number = record.seq;
            let Ok((kind, numbers)) = Counters::read(&mut FieldReader::new(record.body)) else { continue };
            self.settled = self.settled.max(numbers.settled);
            if kind == QUEUED
                && number > self.settled
                && !self.dropped.contains(&number)
                && let Some((_, draft)) = queued(record.body)
            {
                return Ok(Some(QueuedMessage { number, draft }));
            }
        }
        self.is_stale = true;
        Ok(None)
    }

    /// Sees to it that what was dropped until now is not given.
    pub fn look_again(&mut self) {
        self.is_stale = true;
    }
}
