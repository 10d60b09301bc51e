//! Reading a log while others append to it, without a lock. It leaves out what the bodies say.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::log::Report;
use crate::store::log::record::{HEADER, LogId, TAG, Window, next_good, tag_before};

/// A record as a reader gives it out.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record's number: a hybrid clock in µs, rising within the log.
    pub seq: u64,
    /// What was appended.
    pub body: &'a [u8],
}

/// A place in a log, behind a record, that stays what it is for as long as the log is the same one: it is known by its first
/// record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the log's first record.
    pub first: u64,
    /// The number of the record.
    pub seq: u64,
}

/// Bytes that are read through rather than searched.
const NEAR: u64 = 64 << 10;
/// Bytes at the end of a log that are searched first.
const TAIL_SEARCH: u64 = 4 << 10;

/// Reads a log from its start, while others append.
pub struct Reader {
    id: LogId,
    file: Option<File>,
    window: Window,
    /// The tag of the record before, `None` behind damage.
    previous: Option<[u8; TAG]>,
    /// The file's length when no good record was found further on: no need to search again before it grows.
    searched: u64,
    /// The number of the first record, once it was asked for.
    first: Option<u64>,
    /// Records up to this number are passed over.
    behind: u64,
    /// The number of the last record that was read.
    last: u64,
    report: Report,
}

impl Reader {
    /// Starts before the first record; the log need not exist yet.
    pub fn new(id: LogId, report: Report) -> Reader {
        let window = Window::at(HEADER);
        Reader {
            id,
            file: None,
            window,
            previous: Some([0; TAG]),
            searched: 0,
            first: None,
            behind: 0,
            last: 0,
            report,
        }
    }

    /// Another reader of the same log, before its first record.
    pub fn again(&self) -> Reader {
        Reader::new(self.id.clone(), Arc::clone(&self.report))
    }

    /// Starts in an open file, behind the record that ends at `place` and has this tag.
    pub(super) fn behind(self, file: File, place: u64, tag: [u8; TAG]) -> Reader {
        Reader { file: Some(file), window: Window::at(place), previous: Some(tag), ..self }
    }

    /// Moves so that about the first record with a number of at least `seq` is next: a few earlier ones may be given
    /// still. Numbers rise, so it is found by bisection, of the end first: that is where it mostly is.
    pub fn skip_to(&mut self, seq: u64) -> Result<()> {
        let Some(length) = self.length()? else { return Ok(()) };
        let (mut low, mut high) = (HEADER, length);
        let mut back = TAIL_SEARCH;
        while let Some(from) = length.checked_sub(back).filter(|from| *from > HEADER) {
            match self.first_after(from, length)? {
                Some((place, found)) if found < seq => {
                    low = place;
                    break;
                }
                _ => high = from,
            }
            back *= 4;
        }
        while high - low > NEAR {
            let middle = low + (high - low) / 2;
            match self.first_after(middle, length)? {
                Some((place, found)) if found < seq => low = place,
                _ => high = middle,
            }
        }
        self.go_to(low);
        Ok(())
    }

    /// Moves so that the first record with a higher number than `seq` is next.
    pub fn skip_behind(&mut self, seq: u64) -> Result<()> {
        self.skip_to(seq.saturating_add(1))?;
        self.behind = seq;
        Ok(())
    }

    /// Moves behind the record of a position; stays at the start of a log that was started anew since.
    pub fn resume(&mut self, position: Position) -> Result<()> {
        if self.first()? == Some(position.first) { self.skip_behind(position.seq) } else { Ok(()) }
    }

    /// The position of the record `seq`; `None` when there is no record at all.
    pub fn position(&mut self, seq: u64) -> Result<Option<Position>> {
        Ok(self.first()?.map(|first| Position { first, seq }))
    }

    /// The number of the first record; of the first good one, should it be damaged.
    fn first(&mut self) -> Result<Option<u64>> {
        if self.first.is_none()
            && let Some(length) = self.length()?
            && let Some(file) = &self.file
        {
            let found = Window::at(HEADER).open_next(&self.id, file)?.map(|found| found.seq);
            self.first = match found {
                None => self.first_after(HEADER, length)?.map(|(_, seq)| seq),
                found => found,
            };
        }
        Ok(self.first)
    }

    /// Moves so that the last `count` records are next, or all if there are fewer; some more may come first.
    pub fn skip_to_last(&mut self, count: usize) -> Result<()> {
        self.skip_to_last_before(count, u64::MAX)
    }

    /// The same for the last `count` records with a lower number than `seq`.
    pub fn skip_to_last_before(&mut self, count: usize, seq: u64) -> Result<()> {
        let Some(length) = self.length()? else { return Ok(()) };
        let mut end = length;
        if seq < u64::MAX {
            self.skip_to(seq)?;
            end = self.window.offset;
        }
        let mut back = NEAR;
        loop {
            let from = end.saturating_sub(back).max(HEADER);
            if from == HEADER {
                self.go_to(HEADER);
                return Ok(());
            }
            // None is there when the last record is longer than that, or still being written.
            if let Some((place, _)) = self.first_after(from, length)?
                && self.count_from(place, seq)? >= count
            {
                self.go_to(place);
                return Ok(());
            }
            back *= 4;
        }
    }

    /// Whether the record that was read last is still where it was: a writer that failed to sync one takes it back.
    pub fn stands(&self) -> Result<bool> {
        match (&self.file, self.previous) {
            (Some(file), Some(tag)) if self.window.offset > HEADER => {
                Ok(tag_before(&self.id, file, self.window.offset)? == tag)
            }
            _ => Ok(true),
        }
    }

    /// The file's length; `None` when there is no log.
    fn length(&mut self) -> Result<Option<u64>> {
        if self.file.is_none() && !self.reopen()? {
            return Ok(None);
        }
        let Some(file) = &self.file else { return Ok(None) };
        let length = file.metadata().map_err(Error::disk(Verb::Read, &self.id.path))?.len();
        Ok(Some(length).filter(|length| *length > HEADER))
    }

    /// Where the first good record behind `from` starts, and its number.
    fn first_after(&self, from: u64, length: u64) -> Result<Option<(u64, u64)>> {
        let Some(file) = &self.file else { return Ok(None) };
        let Some(place) = next_good(&self.id, file, from, length)? else { return Ok(None) };
        let found = Window::at(place).open_next(&self.id, file)?;
        Ok(found.map(|found| (place, found.seq)))
    }

    /// Counts the records from a place on, up to that of a number.
    fn count_from(&self, place: u64, seq: u64) -> Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let mut window = Window::at(place);
        let mut count = 0;
        while window.open_next(&self.id, file)?.is_some_and(|found| found.seq < seq) {
            count += 1;
        }
        Ok(count)
    }

    fn go_to(&mut self, place: u64) {
        self.window = Window::at(place);
        self.previous = (place == HEADER).then_some([0; TAG]);
    }

    /// The next record, or `None` at the end for now: later calls go on there. Damaged stretches are skipped, and told.
    /// A log that was started afresh is read from its start again, unless it begins with the number with which it began
    /// before: then only its beginning was deleted.
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
                self.last = self.last.max(found.seq);
                if found.seq <= self.behind {
                    continue;
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
        let length = file.metadata().map_err(Error::disk(Verb::Read, &self.id.path))?.len();
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
            self.go_to(next);
        }
        Ok(true)
    }

    fn tell(&self, what: &str) {
        (self.report)(&format!("{}: {what}", self.id.path.display()));
    }

    fn was_replaced(&mut self) -> Result<bool> {
        match &self.file {
            Some(file) if file::is_at(file, &self.id.path).unwrap_or(true) => return Ok(false),
            _ => {}
        }
        let place = self.position(self.last.max(self.behind))?;
        let is_open = self.reopen()?;
        if is_open && let Some(place) = place {
            self.resume(place)?;
        }
        Ok(is_open)
    }

    fn reopen(&mut self) -> Result<bool> {
        match File::open(&self.id.path) {
            Ok(file) => {
                (self.file, self.window) = (Some(file), Window::at(HEADER));
                (self.previous, self.searched) = (Some([0; TAG]), 0);
                (self.first, self.behind, self.last) = (None, 0, 0);
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(Error::disk(Verb::Open, &self.id.path)(cause)),
        }
    }
}
