//! A sealed, append-only log: egoat-files(5), LOGS, which this file and `record` implement byte for byte.
//!
//! ```text
//! header   "E-GOATLG" ‖ version u8 = 1 ‖ kind u8 ‖ zero[6]
//! record   length u32 ‖ seq u64 ‖ nonce[24] ‖ XChaCha20-Poly1305(previous tag[16] ‖ body[length]) ‖ tag[16]
//!          AAD = kind u8 ‖ peer key[32] ‖ seq ‖ length; the previous tag of the first record is zero
//! ```
//!
//! Appends of several processes are serialised by a lock on the file; readers never lock, and take a record that is
//! still being written for the end. What was not whole when its writer died is a torn tail: it is copied aside, cut
//! and reported. A damaged record with a good one behind it is corruption: it is never cut, readers skip it, and
//! appends are refused.
//!
//! There is no index, and opening for an append does not read a long log: it goes over the last 64 KiB and a bit, from
//! a record that proves itself by its tag. Older damage is found by readers alone. Left out too are rotation and what
//! the bodies say (`store::history`, `store::outbox`, `store::queued_files`).

mod reader;
mod record;

use std::fs::File;
use std::sync::Arc;

pub use crate::store::log::reader::{Position, Reader, Record};
pub use crate::store::log::record::{Kind, LogId, MAX_BODY, MAX_SEQ};

use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::lock::Lockable;
use crate::store::log::record::{HEADER, MAX_RECORD, READ, TAG, Window, next_good, record_len, tag_before};
use crate::time::now_micros;

/// Who is told what is no error: that something was repaired, skipped or kept aside.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// A queue's log in which nothing waits any more is started afresh when it has more bytes than this.
pub const COMPACT_ABOVE: u64 = 1 << 20;

/// The start of the last body that is kept in memory: enough for the fixed fields of a history and an outbox.
const HEAD: usize = 32;

/// Bytes at the end that opening goes over at the least. A power cut during a sync can leave any part of what was
/// written and not the rest, so an append that is longer makes each piece of about this length durable before it writes
/// the next.
const PROVEN: usize = 64 << 10;

/// What is known of the last good record.
#[derive(Clone, Debug)]
struct Tail {
    end: u64,
    tag: [u8; TAG],
    seq: u64,
    head: Vec<u8>,
}

const EMPTY: Tail = Tail { end: HEADER, tag: [0; TAG], seq: 0, head: Vec::new() };

impl Tail {
    fn after(&self, seq: u64, tag: [u8; TAG], total: usize, body: &[u8]) -> Tail {
        Tail { end: self.end + total as u64, tag, seq, head: body[..body.len().min(HEAD)].to_vec() }
    }
}

/// A log open for appending.
pub struct Log {
    id: LogId,
    file: Lockable,
    tail: Tail,
    poisoned: bool,
    report: Report,
}

impl Log {
    /// Opens the log, creating it if needed; a torn tail is repaired and told to `report`.
    pub fn open(id: LogId, report: Report) -> Result<Log> {
        let file = open_for_append(&id)?;
        let mut log = Log { id, file, tail: EMPTY, poisoned: false, report };
        drop(log.lock()?);
        Ok(log)
    }

    /// Takes the lock, and catches up with what other processes appended.
    pub fn lock(&mut self) -> Result<Appender<'_>> {
        if self.poisoned {
            return Err(self.id.corrupt("an earlier write failed; restart to go on".into()));
        }
        loop {
            self.file.lock(&self.id.path)?;
            match file::is_at(&self.file, &self.id.path) {
                Ok(true) => break,
                // It was started afresh or moved away while we waited for the lock.
                _ => {
                    // A reader of news may keep the old file open, or there is no new one to be had; others wait for its
                    // lock.
                    let _ = self.file.unlock();
                    self.file = open_for_append(&self.id)?;
                    self.tail = EMPTY;
                }
            }
        }
        // From here on `appender` unlocks when it is dropped, also on the way out with an error.
        let mut appender = Appender { records: Vec::new(), tail: EMPTY, log: self };
        appender.log.ensure_header()?;
        appender.log.catch_up(true)?;
        appender.tail = appender.log.tail.clone();
        Ok(appender)
    }

    /// The first bytes of the last record's body, empty in an empty log.
    pub fn last_head(&self) -> &[u8] {
        &self.tail.head
    }

    /// A reader of all of it.
    pub fn reader(&self) -> Reader {
        Reader::new(self.id.clone(), Arc::clone(&self.report))
    }

    /// A reader of what comes behind all that is known here; `None` when there are too many open files.
    pub fn reader_of_news(&self) -> Option<Reader> {
        let file = self.file.try_clone().ok()?;
        Some(self.reader().behind(file, self.tail.end, self.tail.tag))
    }

    /// Bytes of the good part.
    pub fn len(&self) -> u64 {
        self.tail.end
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.tail.end == HEADER
    }

    /// Makes durable what others may have written and not synced when they died.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(Error::disk(Verb::Sync, &self.id.path))
    }

    /// Catches up without the lock, for those who only look: a tail in progress is left alone.
    pub fn refresh(&mut self) -> Result<()> {
        if !file::is_at(&self.file, &self.id.path).unwrap_or(false) {
            self.file = open_for_append(&self.id)?;
            self.tail = EMPTY;
        }
        self.catch_up(false)
    }

    /// Puts `records` in the place of everything there is: a new file that takes the old one's name. Each record is its
    /// number and body. The caller holds the lock through `appender`, which is of no use then, unless this fails: the log
    /// stays as it was, or is as it was to be.
    pub fn start_afresh(
        appender: &mut Appender,
        records: &mut dyn Iterator<Item = Result<(u64, Vec<u8>)>>,
    ) -> Result<()> {
        let id = &appender.log.id;
        let temporary = id.path.with_extension("new");
        let disk = |verb| Error::disk(verb, &temporary);
        let new = file::create_afresh(&temporary).map_err(disk(Verb::Create))?;
        // Held until the name is durable: what others append to the new file must not be lost with it.
        appender.log.file.lock_successor(&new, &temporary)?;
        let mut bytes = id.header().to_vec();
        let (mut tag, mut written) = ([0; TAG], 0);
        for record in records {
            let (seq, body) = record?;
            tag = id.seal(&mut bytes, seq, &tag, &body)?;
            if bytes.len() >= READ {
                file::write_all_at(&new, &bytes, written).map_err(disk(Verb::Write))?;
                written += bytes.len() as u64;
                bytes.clear();
            }
        }
        file::write_all_at(&new, &bytes, written).map_err(disk(Verb::Write))?;
        new.sync_all().map_err(disk(Verb::Sync))?;
        appender.log.keep_damaged()?;
        std::fs::rename(&temporary, &id.path).map_err(disk(Verb::Rename))?;
        file::sync_dir(file::parent(&id.path)).map_err(Error::disk(Verb::Sync, file::parent(&id.path)))
    }

    /// The same to save room. Says whether it was done: a log that cannot be replaced now, as on a full disk, or where
    /// nobody may have it open for that, goes on as it is.
    pub fn shorten(
        appender: &mut Appender,
        records: &mut dyn Iterator<Item = Result<(u64, Vec<u8>)>>,
    ) -> bool {
        let done = Log::start_afresh(appender, records);
        if let Err(cause) = &done {
            let log = &appender.log;
            (log.report)(&format!(
                "{}: it grows on, since it was not shortened: {cause}",
                log.id.path.display()
            ));
        }
        done.is_ok()
    }

    /// Gives a log that has damage a second name: it is about to lose its own, and nothing is deleted because it could
    /// not be read.
    fn keep_damaged(&self) -> Result<()> {
        let mut window = Window::at(HEADER);
        while window.open_next(&self.id, &self.file)?.is_some() {}
        if window.offset >= self.tail.end {
            return Ok(());
        }
        let aside = self.id.path.with_extension(format!("damaged-{}", now_micros()));
        std::fs::hard_link(&self.id.path, &aside).map_err(Error::disk(Verb::Create, &aside))?;
        (self.report)(&format!(
            "{}: it is damaged and was kept as {}",
            self.id.path.display(),
            aside.display()
        ));
        Ok(())
    }

    /// A new log has a header before anything else; a torn header is that of a log without records.
    fn ensure_header(&mut self) -> Result<()> {
        let path = &self.id.path;
        let header = self.id.header();
        let mut found = [0; HEADER as usize];
        let got = file::read_at(&self.file, &mut found, 0).map_err(Error::disk(Verb::Read, path))?;
        // A header ends in zeros: the bytes that were not read look as it does.
        let whole = got == header.len() && found == header;
        let has_records = self.file_len()? > HEADER;
        if whole && has_records {
            return Ok(());
        }
        let same = found.iter().zip(header).take_while(|(found, wanted)| **found == *wanted).count();
        let torn = found[same..].iter().all(|byte| *byte == 0);
        if has_records || !torn {
            return Err(self.id.corrupt("it does not start as a log of this version and kind".into()));
        }
        // The name first: who finds a header takes it that the file has its name for good.
        let dir = file::parent(path);
        // Too many open files are no failure to write, which would be the end of a node.
        let names = file::open_dir(dir).map_err(Error::disk(Verb::Open, dir))?;
        names.map_or(Ok(()), |names| names.sync_all()).map_err(Error::disk(Verb::Sync, dir))?;
        // Also when it is whole: whoever wrote it may have died before it was durable.
        if !whole {
            file::write_all_at(&self.file, &header, 0).map_err(Error::disk(Verb::Write, path))?;
        }
        let synced = self.file.sync_all();
        if synced.is_err() && !has_records {
            // Whoever comes next writes it anew, rather than believe what is in memory alone.
            self.file.set_len(0).map_err(Error::disk(Verb::Truncate, path))?;
        }
        synced.map_err(Error::disk(Verb::Sync, path))
    }

    fn file_len(&self) -> Result<u64> {
        self.file.metadata().map(|data| data.len()).map_err(Error::disk(Verb::Read, &self.id.path))
    }

    /// Moves `tail` to the last good record. With `repair`, under the lock, what is behind it is a torn tail or
    /// corruption.
    fn catch_up(&mut self, repair: bool) -> Result<()> {
        if !self.tail_stands()? {
            self.tail = EMPTY;
        }
        let length = self.file_len()?;
        if length <= self.tail.end {
            return Ok(());
        }
        let mut tail = self.tail.clone();
        if tail.end == HEADER
            && let Some(place) = near_end(&self.id, &self.file, length)?
        {
            tail = place;
        }
        let mut window = Window::at(tail.end);
        while let Some(found) = window.open_next(&self.id, &self.file)? {
            if found.previous != tail.tag {
                return Err(self.id.corrupt(format!("a record is missing before byte {}", tail.end)));
            }
            tail = tail.after(found.seq, found.tag, found.total, window.body(&found));
        }
        // Zero when the record that was found near the end is gone again: taken back by its writer.
        if tail.seq > 0 {
            self.tail = tail;
        }
        if repair && length > self.tail.end { self.repair(length) } else { Ok(()) }
    }

    /// Whether the file still has the record at which `tail` ends: it may have been seen before its writer failed to
    /// sync it and took it back.
    fn tail_stands(&self) -> Result<bool> {
        if self.tail.end == HEADER {
            return Ok(true);
        }
        Ok(tag_before(&self.id, &self.file, self.tail.end)? == self.tail.tag)
    }

    /// The bytes behind the tail are no good record. If one is further on, this is corruption, and nothing is touched.
    fn repair(&mut self, length: u64) -> Result<()> {
        let from = self.tail.end;
        if let Some(next) = next_good(&self.id, &self.file, from + 1, length)? {
            return Err(self
                .id
                .corrupt(format!("bytes {from} to {next} are no record, and good ones follow")));
        }
        let aside = self.id.path.with_extension(format!("torn-{from}-{}", now_micros()));
        let kept = file::copy_from(&self.file, from, &aside).map_err(Error::disk(Verb::Write, &aside))?;
        self.file.set_len(from).map_err(Error::disk(Verb::Truncate, &self.id.path))?;
        self.file.sync_all().map_err(Error::disk(Verb::Sync, &self.id.path))?;
        (self.report)(&format!(
            "{}: an unfinished record of {kept} bytes at its end was cut off and kept as {}",
            self.id.path.display(),
            aside.display()
        ));
        Ok(())
    }
}

/// The right to append, until it is dropped.
pub struct Appender<'a> {
    log: &'a mut Log,
    records: Vec<u8>,
    /// The tail once `records` are written.
    tail: Tail,
}

impl Appender<'_> {
    /// The log as it is now that the lock is held, without what was pushed.
    pub fn log(&self) -> &Log {
        self.log
    }

    /// The number that the next record gets at the least.
    pub fn next_seq(&self) -> u64 {
        (self.tail.seq + 1).max(now_micros())
    }

    /// Adds a record, to be written by [`Appender::commit`]; returns its number.
    pub fn push(&mut self, seq: u64, body: &[u8]) -> Result<()> {
        let start = self.records.len();
        let tag = self.log.id.seal(&mut self.records, seq, &self.tail.tag, body)?;
        self.tail = self.tail.after(seq, tag, self.records.len() - start, body);
        Ok(())
    }

    /// Writes what was pushed; durable when it returns, if `sync`. After a failure the log takes nothing more:
    /// what a failed write or sync left on the disk is unknown.
    pub fn commit(self, sync: bool) -> Result<()> {
        let Log { id, file, tail, poisoned, .. } = &mut *self.log;
        let mut place = tail.end;
        let mut write = |piece: &[u8]| {
            file::write_all_at(file, piece, place).map_err(Error::disk(Verb::Write, &id.path))?;
            place += piece.len() as u64;
            if sync { file.sync_data().map_err(Error::disk(Verb::Sync, &id.path)) } else { Ok(()) }
        };
        let mut rest = &self.records[..];
        let synced = loop {
            // With nothing to write it is synced all the same.
            let (piece, behind) = rest.split_at(piece_len(rest));
            let written = write(piece);
            if written.is_err() || behind.is_empty() {
                break written;
            }
            rest = behind;
        };
        match synced {
            Ok(()) => *tail = self.tail.clone(),
            Err(_) => {
                *poisoned = true;
                // Part of a record may be there; nobody was told that it is, so it may go at once. If it cannot, a reader
                // may take for durable what a failed sync left in memory alone: that is worse than a disk that is full.
                file.set_len(tail.end).map_err(Error::disk(Verb::Truncate, &id.path))?;
            }
        }
        synced
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        // Closing the file would release it too.
        let _ = self.log.file.unlock();
    }
}

fn open_for_append(id: &LogId) -> Result<Lockable> {
    Lockable::open(&id.path).map_err(Error::disk(Verb::Open, &id.path))
}

/// Bytes at the front of `records` that are written at once: whole records within [`PROVEN`], or a longer one alone. A
/// power cut in that one leaves no good record behind a hole.
fn piece_len(records: &[u8]) -> usize {
    let mut end = 0;
    while let Some(total) = record_len(&records[end..]).filter(|total| end == 0 || end + total <= PROVEN) {
        end += total;
    }
    end
}

/// A good record near the end, given as the tail before it; `None` when the log's start is as near, or there is none.
fn near_end(id: &LogId, file: &File, length: u64) -> Result<Option<Tail>> {
    for back in [2 * PROVEN, PROVEN + MAX_RECORD] {
        let Some(from) = length.checked_sub(back as u64).filter(|from| *from > HEADER) else { break };
        let found = next_good(id, file, from, length)?;
        if let Some(end) = found.filter(|end| *end <= length - PROVEN as u64) {
            return Ok(Some(Tail { end, tag: tag_before(id, file, end)?, ..EMPTY }));
        }
    }
    Ok(None)
}
