//! Looking for a delivered message by its key.

use crate::error::Result;
use crate::store::history::{Event, KEYS_REMEMBERED, decode, deletion};
use crate::store::log::Reader;

/// A search for the delivered message with one key. It can be repeated: a later call reads what was appended since.
pub struct KeySearch {
    reader: Reader,
    key: String,
    has_begun: bool,
}

impl KeySearch {
    /// A search in the history that `reader` reads.
    pub fn new(reader: Reader, key: &str) -> KeySearch {
        KeySearch { reader, key: key.to_owned(), has_begun: false }
    }

    /// The number of the delivered message, if it is among the last [`KEYS_REMEMBERED`] records.
    pub fn find(&mut self) -> Result<Option<u64>> {
        // What was deleted counts as well, also what was deleted since the last call.
        let mut start = self.reader.again();
        if let Some(number) = start.read()?.and_then(|first| deletion::find_key(first.body, &self.key)) {
            return Ok(Some(number));
        }
        if !self.has_begun || !self.reader.stands()? {
            self.reader = start;
            self.reader.skip_to_last(KEYS_REMEMBERED)?;
            self.has_begun = true;
        }
        while let Some(record) = self.reader.read()? {
            if let Ok(Event::Sent { number, key, .. }) = decode(record.body)
                && key == self.key
            {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}
