//! Reading what waits in an outbox, while others queue, drop and settle.

use std::collections::HashSet;

use crate::error::Result;
use crate::store::log::Reader;
use crate::store::outbox::record::{Counters, Entry, QueuedMessage};

/// A reader of what waits; at the end it can be asked again later.
pub struct Pending {
    reader: Reader,
    settled: u64,
    dropped: HashSet<u64>,
    /// Dropped on their way, and held by the receiver, unless something is sent after they were dropped: then a higher number
    /// that the receiver holds says nothing of them.
    held_all_the_same: Vec<u64>,
    /// Reads ahead for what is dropped: its records stand after the messages.
    ahead: Reader,
    /// `ahead` has to look before the next message is given.
    is_stale: bool,
    /// The receiver has everything up to this number that was on its way.
    held: u64,
    /// What is queued up to this number, and was not dropped before, was on its way.
    sent: u64,
}

impl Pending {
    /// `news` begins after the record with `counters`, and `reader` at the start. What the receiver has of what is `held`
    /// waits for its acknowledgement to be noted, also if it was dropped on its way.
    pub(super) fn new(reader: Reader, news: Option<Reader>, counters: Counters, held: u64) -> Pending {
        // Where nothing was dropped as yet, the receiver has all that is held.
        let (ahead, sent) = match news {
            Some(news) if counters.dropped == 0 => (news, held),
            _ => (reader.again(), 0),
        };
        Pending {
            reader,
            settled: counters.settled,
            dropped: HashSet::new(),
            held_all_the_same: Vec::new(),
            ahead,
            is_stale: true,
            held,
            sent,
        }
    }

    /// The next message that waits. What others drop is seen when it is asked for the first time, after the end, and
    /// after [`Pending::look_again`].
    pub fn read(&mut self) -> Result<Option<QueuedMessage>> {
        if std::mem::take(&mut self.is_stale) {
            self.catch_up()?;
        }
        while let Some(record) = self.reader.read()? {
            let number = record.seq;
            let Ok(counters) = Counters::of_record(record.body) else { continue };
            self.settled = self.settled.max(counters.settled);
            if number > self.settled
                && !self.dropped.contains(&number)
                && let Ok(Entry::Queued { said, draft }) = Entry::decode(record.body)
            {
                return Ok(Some(QueuedMessage { number, said: said.unwrap_or(number), draft }));
            }
        }
        self.is_stale = true;
        Ok(None)
    }

    /// Reads what was dropped since the last time.
    fn catch_up(&mut self) -> Result<()> {
        while let Some(record) = self.ahead.read()? {
            match Entry::decode_mark(record.body) {
                Some(Entry::Dropped(number)) if number > self.held.min(self.sent) => {
                    self.dropped.insert(number);
                }
                Some(Entry::Dropped(number)) => self.held_all_the_same.push(number),
                Some(Entry::Sent(number)) => {
                    self.sent = self.sent.max(number);
                    self.dropped.extend(self.held_all_the_same.drain(..));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes those out of `messages` that are dropped by now. The caller holds the lock of the outbox.
    pub(super) fn retain_waiting(&mut self, messages: &mut Vec<QueuedMessage>) -> Result<()> {
        self.catch_up()?;
        messages.retain(|message| !self.dropped.contains(&message.number));
        Ok(())
    }

    /// Sees to it that what was dropped until now is not given.
    pub fn look_again(&mut self) {
        self.is_stale = true;
    }
}
