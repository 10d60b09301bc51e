//! Reading a log while others append to it, without a lock. It leaves out what the bodies say.

use std::fs::File;
use std::io;

use crate::error::{Error, Result};
use crate::store::file;
use crate::store::log::record::{HEADER, LogId, TAG, Window, next_good};

/// A record as a reader gives it out.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record's number: a hybrid clock in µs, rising within the log.
    pub seq: u64,
    /// What was appended.
    pub body: &'a [u8],
}

/// Reads a log from its start, while others append.
pub struct Reader {
    id: LogId,
    file: Option<File>,
    window: Window,
    /// The tag of the record before, `None` behind damage.
    previous: Option<[u8; TAG]>,
    /// The file's length when no good record was found further on: no need to search again before it grows.
    searched: u64,
    report: fn(&str),
}

impl Reader {
    /// Starts before the first record; the log need not exist yet.
    pub fn new(id: LogId, report: fn(&str)) -> Reader {
        Reader { id, file: None, window: Window::at(HEADER), previous: Some([0; TAG]), searched: 0, report }
    }

    /// Another reader of the same log, before its first record.
    pub fn again(&self) -> Reader {
        Reader::new(self.id.clone(), self.report)
    }

    /// The next record, or `None` at the end for now: later calls go on there. Damaged stretches are skipped, and told.
    /// A log that was started afresh is read from its start again.
    pub fn read(&mut self) -> Result<Option<Record<'_>>> {
        if self.file.is_none() && !self.reopen()? {
            return Ok(None);
        }
        loop {
            let Some(file) = &self.file else { return Ok(None) };
            let place = self.window.offset;
            if let Some(found) = self.window.open_next(&self.id, file)? {
                if self.previous.replace(found.tag).is_some_and(|known| known != found.previous) {
                    self.tell(&format!("a record is missing before byte {place}"));
                }
                return Ok(Some(Record { seq: found.seq, body: self.window.body(&found) }));
            }
            if !self.skip_damage()? && !self.was_replaced()? {
                return Ok(None);
            }
        }
    }

    /// There is no good record here: at the end, in a record that is still being written, or in damage. Only behind
    /// damage there is another good one.
    fn skip_damage(&mut self) -> Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let length = file.metadata().map_err(Error::disk("read", &self.id.path))?.len();
        if length <= self.window.offset || length == self.searched {
            return Ok(false);
        }
        // From here and not the next byte on: the record may have been finished since it was looked at.
        let Some(next) = next_good(&self.id, file, self.window.offset, length)? else {
            self.searched = length;
            return Ok(false);
        };
        if next > self.window.offset {
            self.tell(&format!("bytes {} to {next} are damaged and were skipped", self.window.offset));
            (self.window, self.previous) = (Window::at(next), None);
        }
        Ok(true)
    }

    fn tell(&self, what: &str) {
        (self.report)(&format!("{}: {what}", self.id.path.display()));
    }

    fn was_replaced(&mut self) -> Result<bool> {
        match &self.file {
            Some(file) if file::is_at(file, &self.id.path).unwrap_or(true) => Ok(false),
            _ => self.reopen(),
        }
    }

    fn reopen(&mut self) -> Result<bool> {
        match File::open(&self.id.path) {
            Ok(file) => {
                (self.file, self.window) = (Some(file), Window::at(HEADER));
                (self.previous, self.searched) = (Some([0; TAG]), 0);
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(Error::disk("open", &self.id.path)(cause)),
        }
    }

    /// Gives the buffer back; for when nothing more is expected soon.
    pub fn release_memory(&mut self) {
        self.window.release_memory();
    }
}
