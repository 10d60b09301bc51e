//! Looking for a message by its key in an outbox. The bulk is read without the lock, and under it only what was appended
//! meanwhile: a long queue must not keep the lock from others.

use std::collections::HashSet;

use crate::error::Result;
use crate::store::log::{Log, Reader};
use crate::store::outbox::record::{Counters, Draft, Entry};

/// The messages with one key, as far as the outbox was read.
pub(super) struct KeySearch {
    reader: Reader,
    /// The number of the log's first record: a log that is started afresh has a higher one, and new numbers for all
    /// messages.
    first: Option<u64>,
    key: String,
    /// Their numbers, and when they expire.
    queued: Vec<(u64, Draft)>,
    dropped: HashSet<u64>,
}

impl KeySearch {
    pub fn new(log: &Log, key: &str) -> Result<KeySearch> {
        let mut reader = log.reader();
        reader.skip_behind(Counters::of(log).settled)?;
        let first = first_of(&mut reader)?;
        Ok(KeySearch { reader, first, key: key.to_owned(), queued: Vec::new(), dropped: HashSet::new() })
    }

    /// The number of the message that waits, by all that `log` knows; a later call reads what was appended since.
    pub fn find(&mut self, log: &Log) -> Result<Option<u64>> {
        if first_of(&mut log.reader())? != self.first || !self.reader.stands()? {
            *self = KeySearch::new(log, &self.key)?;
        }
        while let Some(record) = self.reader.read()? {
            match Entry::decode(record.body) {
                Ok(Entry::Queued { draft, .. }) if draft.key == self.key => {
                    self.queued.push((record.seq, Draft { text: Vec::new(), ..draft }));
                }
                Ok(Entry::Dropped(number)) => {
                    self.dropped.insert(number);
                }
                _ => {}
            }
        }
        let settled = Counters::of(log).settled;
        let waits = |(number, draft): &&(u64, Draft)| {
            *number > settled && !self.dropped.contains(number) && !draft.is_expired()
        };
        Ok(self.queued.iter().rfind(waits).map(|(number, _)| *number))
    }
}

fn first_of(reader: &mut Reader) -> Result<Option<u64>> {
    Ok(reader.position(0)?.map(|position| position.first))
}
