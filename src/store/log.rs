//! A sealed, append-only log: egoat-files(5), LOGS, which this file implements byte for byte.
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
//! appends are refused. It leaves out what the bodies say (`store::history`, `store::outbox`), rotation, and an
//! index: the last record is found from the end of the file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::crypto::keys::{PublicKey, Seed};
use crate::crypto::random_array;
use crate::crypto::seal::LogKey;
use crate::error::{Error, Result};
use crate::store::file;
use crate::time::now_micros;
use crate::wire::message::MAX_TEXT;

/// Longest body in bytes: a text message and the fields before it.
pub const MAX_BODY: usize = MAX_TEXT + 1024;
/// The start of the last body that is kept in memory: enough for the fixed fields of both kinds of log.
const HEAD: usize = 32;

const MAGIC: [u8; 8] = *b"E-GOATLG";
const VERSION: u8 = 1;
const HEADER: u64 = 16;
const TAG: usize = 16;
const NONCE: usize = 24;
/// Before the ciphertext: length, seq, nonce.
const PREFIX: usize = 4 + 8 + NONCE;
/// A record but for its body.
const OVERHEAD: usize = PREFIX + TAG + TAG;
/// Bytes a reader asks the system for at once.
const READ: usize = 64 << 10;

/// Which log of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was received and what was delivered.
    History = 1,
    /// What waits to be delivered.
    Outbox = 2,
}

/// What names a log and opens it.
#[derive(Clone)]
pub struct LogId {
    path: PathBuf,
    kind: Kind,
    id: [u8; 33],
    key: std::sync::Arc<LogKey>,
}

impl LogId {
    /// The log of `kind` about `peer` at `path`, sealed for the owner of `seed`.
    pub fn new(path: PathBuf, kind: Kind, peer: &PublicKey, seed: &Seed) -> LogId {
        let mut id = [kind as u8; 33];
        id[1..].copy_from_slice(peer.as_bytes());
        LogId { path, kind, id, key: std::sync::Arc::new(seed.log_key(&id)) }
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn header(&self) -> [u8; HEADER as usize] {
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(&MAGIC);
        (header[8], header[9]) = (VERSION, self.kind as u8);
        header
    }

    fn aad(&self, seq: u64, length: u32) -> [u8; 45] {
        let mut aad = [0; 45];
        aad[..33].copy_from_slice(&self.id);
        aad[33..41].copy_from_slice(&seq.to_be_bytes());
        aad[41..].copy_from_slice(&length.to_be_bytes());
        aad
    }

    /// Seals `body` behind the record whose tag is `previous`; appends the record to `out` and returns its tag.
    fn seal(&self, out: &mut Vec<u8>, seq: u64, previous: &[u8; TAG], body: &[u8]) -> Result<[u8; TAG]> {
        let refused = || self.corrupt("a record cannot be sealed".into());
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY).ok_or_else(refused)?;
        let nonce: [u8; NONCE] = random_array();
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&seq.to_be_bytes());
        out.extend_from_slice(&nonce);
        let sealed_from = out.len();
        out.extend_from_slice(previous);
        out.extend_from_slice(body);
        let tag = self
            .key
            .seal_in_place(&nonce, &self.aad(seq, length), &mut out[sealed_from..])
            .map_err(|_| refused())?;
        out.extend_from_slice(&tag);
        Ok(tag)
    }

    /// Opens the record at the front of `bytes` in place. `None` if there is no whole, good record.
    fn open<'a>(&self, bytes: &'a mut [u8]) -> Option<Opened<'a>> {
        let total = record_len(bytes)?;
        let (prefix, sealed) = bytes.get_mut(..total)?.split_at_mut(PREFIX);
        let length = u32::from_be_bytes(*prefix.first_chunk()?);
        let seq = u64::from_be_bytes(*prefix[4..].first_chunk()?);
        let nonce: [u8; NONCE] = *prefix[12..].first_chunk()?;
        let (text, tag) = sealed.split_at_mut(sealed.len() - TAG);
        let tag: [u8; TAG] = *tag.first_chunk()?;
        self.key.open_in_place(&nonce, &self.aad(seq, length), text, &tag).ok()?;
        let (previous, body) = text.split_first_chunk::<TAG>()?;
        Some(Opened { seq, tag, previous: *previous, body, total })
    }

    fn corrupt(&self, what: String) -> Error {
        Error::Corrupt { path: self.path.clone(), what }
    }
}

/// Bytes of the record whose prefix is at the front of `bytes`, `None` when the length is missing or impossible.
fn record_len(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    (length <= MAX_BODY).then_some(OVERHEAD + length)
}

struct Opened<'a> {
    seq: u64,
    tag: [u8; TAG],
    previous: [u8; TAG],
    body: &'a [u8],
    total: usize,
}

/// A record as a reader gives it out.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record's number: a hybrid clock in µs, rising within the log.
    pub seq: u64,
    /// What was appended.
    pub body: &'a [u8],
}

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
    fn after(&self, record: &Opened) -> Tail {
        let head = record.body[..record.body.len().min(HEAD)].to_vec();
        Tail { end: self.end + record.total as u64, tag: record.tag, seq: record.seq, head }
    }
}

/// A log open for appending.
pub struct Log {
    id: LogId,
    file: File,
    tail: Tail,
    poisoned: bool,
    report: fn(&str),
}

impl Log {
    /// Opens the log, creating it if needed; a torn tail is repaired and told to `report`.
    pub fn open(id: LogId, report: fn(&str)) -> Result<Log> {
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
            self.file.lock().map_err(Error::disk("lock", &self.id.path))?;
            match file::is_at(&self.file, &self.id.path) {
                Ok(true) => break,
                // It was started afresh or moved away while we waited for the lock.
                _ => {
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

    /// The number of the last record, 0 in an empty log.
    pub fn last_seq(&self) -> u64 {
        self.tail.seq
    }

    /// The first bytes of the last record's body, empty in an empty log.
    pub fn last_head(&self) -> &[u8] {
        &self.tail.head
    }

    /// Bytes of the good part.
    pub fn len(&self) -> u64 {
        self.tail.end
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.tail.end == HEADER
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
    /// number and body. The caller holds the lock through `appender`.
    pub fn start_afresh(
        appender: Appender,
        records: &mut dyn Iterator<Item = Result<(u64, Vec<u8>)>>,
    ) -> Result<()> {
        let id = &appender.log.id;
        let temporary = id.path.with_extension("new");
        let disk = |verb| Error::disk(verb, &temporary);
        let new = file::private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(disk("create"))?;
        let mut bytes = id.header().to_vec();
        let (mut tag, mut written) = ([0; TAG], 0);
        for record in records {
            let (seq, body) = record?;
            tag = id.seal(&mut bytes, seq, &tag, &body)?;
            if bytes.len() >= READ {
                file::write_all_at(&new, &bytes, written).map_err(disk("write"))?;
                written += bytes.len() as u64;
                bytes.clear();
            }
        }
        file::write_all_at(&new, &bytes, written).map_err(disk("write"))?;
        new.sync_all().map_err(disk("sync"))?;
        std::fs::rename(&temporary, &id.path).map_err(disk("rename"))?;
        file::sync_dir(parent(&id.path)).map_err(Error::disk("sync", parent(&id.path)))
    }

    /// A new log has a header before anything else; a torn header is that of a log without records.
    fn ensure_header(&mut self) -> Result<()> {
        let path = &self.id.path;
        let header = self.id.header();
        let mut found = [0; HEADER as usize];
        let got = file::read_at(&self.file, &mut found, 0).map_err(Error::disk("read", path))?;
        if found == header {
            return Ok(());
        }
        let torn = header.starts_with(&found[..got]) || found.iter().all(|byte| *byte == 0);
        if self.file_len()? > HEADER || !torn {
            return Err(self.id.corrupt("it does not start as a log of this version and kind".into()));
        }
        file::write_all_at(&self.file, &header, 0).map_err(Error::disk("write", path))?;
        self.file.sync_all().map_err(Error::disk("sync", path))?;
        file::sync_dir(parent(path)).map_err(Error::disk("sync", parent(path)))
    }

    fn file_len(&self) -> Result<u64> {
        self.file.metadata().map(|data| data.len()).map_err(Error::disk("read", &self.id.path))
    }

    /// Moves `tail` to the last good record. With `repair`, under the lock, what is behind it is a torn tail or
    /// corruption.
    fn catch_up(&mut self, repair: bool) -> Result<()> {
        let length = self.file_len()?;
        if length < self.tail.end && repair {
            return Err(self.id.corrupt("it has become shorter".into()));
        }
        if self.tail.end == HEADER && length > HEADER {
            if let Some(tail) = find_tail(&self.id, &self.file, length)? {
                self.tail = tail;
                return Ok(());
            }
        }
        if length <= self.tail.end {
            return Ok(());
        }
        let mut reader = Window::new(&self.id, &self.file, self.tail.end);
        while let Some(record) = reader.open_next()? {
            if record.previous != self.tail.tag {
                return Err(self.id.corrupt(format!("a record is missing before byte {}", self.tail.end)));
            }
            self.tail = self.tail.after(&record);
        }
        if repair && length > self.tail.end { self.repair(length) } else { Ok(()) }
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
        let mut torn = vec![0; (length - from) as usize];
        let got = file::read_at(&self.file, &mut torn, from).map_err(Error::disk("read", &self.id.path))?;
        file::replace(&aside, &torn[..got]).map_err(Error::disk("write", &aside))?;
        self.file.set_len(from).map_err(Error::disk("truncate", &self.id.path))?;
        self.file.sync_all().map_err(Error::disk("sync", &self.id.path))?;
        (self.report)(&format!(
            "{}: an unfinished record of {got} bytes at its end was cut off and kept as {}",
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
        let total = (self.records.len() - start) as u64;
        let head = body[..body.len().min(HEAD)].to_vec();
        self.tail = Tail { end: self.tail.end + total, tag, seq, head };
        Ok(())
    }

    /// Writes what was pushed in one go; durable when it returns, if `sync`. After a failure the log takes nothing more:
    /// what a failed write or sync left on the disk is unknown.
    pub fn commit(self, sync: bool) -> Result<()> {
        let Log { id, file, tail, poisoned, .. } = &mut *self.log;
        let written =
            file::write_all_at(file, &self.records, tail.end).map_err(Error::disk("write", &id.path));
        let synced = written.and_then(|()| {
            if sync { file.sync_data().map_err(Error::disk("sync", &id.path)) } else { Ok(()) }
        });
        match synced {
            Ok(()) => *tail = self.tail.clone(),
            Err(_) => {
                *poisoned = true;
                // Part of a record may be there; nobody was told that it is, so it may go at once.
                let _ = file.set_len(tail.end);
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

fn open_for_append(id: &LogId) -> Result<File> {
    file::private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&id.path)
        .map_err(Error::disk("open", &id.path))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// The last record, found from the end: the earliest place in a window before the end from which lengths lead exactly to
/// the end is a record's start, and the last record of that chain proves itself by its tag. `None` when there is no such
/// place, as with a torn tail.
fn find_tail(id: &LogId, file: &File, length: u64) -> Result<Option<Tail>> {
    for window in [READ as u64, (MAX_BODY + 2 * OVERHEAD) as u64] {
        let from = length.saturating_sub(window).max(HEADER);
        let mut bytes = vec![0; (length - from) as usize];
        let got = file::read_at(file, &mut bytes, from).map_err(Error::disk("read", &id.path))?;
        bytes.truncate(got);
        for start in 0..bytes.len() {
            let Some(last) = last_of_chain(&bytes, start) else { continue };
            let before = Tail { end: from + last as u64, ..EMPTY };
            if let Some(record) = id.open(&mut bytes[last..].to_vec()) {
                return Ok(Some(before.after(&record)));
            }
        }
        if from == HEADER {
            break;
        }
    }
    Ok(None)
}

/// The start of the last record, if the lengths of records from `start` on lead exactly to the end.
fn last_of_chain(bytes: &[u8], start: usize) -> Option<usize> {
    let mut place = start;
    loop {
        let next = place + record_len(&bytes[place..])?;
        match next.cmp(&bytes.len()) {
            std::cmp::Ordering::Less => place = next,
            std::cmp::Ordering::Equal => return Some(place),
            std::cmp::Ordering::Greater => return None,
        }
    }
}

/// The first place from `from` on at which a good record starts.
fn next_good(id: &LogId, file: &File, from: u64, length: u64) -> Result<Option<u64>> {
    let mut bytes = vec![0; 2 * (MAX_BODY + OVERHEAD)];
    let mut base = from;
    while base + OVERHEAD as u64 <= length {
        let got = file::read_at(file, &mut bytes, base).map_err(Error::disk("read", &id.path))?;
        let at_end = got < bytes.len();
        // A record that starts in the first half is whole in the window, or never.
        let starts = if at_end { got } else { bytes.len() / 2 };
        for start in 0..starts {
            let Some(total) = record_len(&bytes[start..got]).filter(|total| start + total <= got) else {
                continue;
            };
            if id.open(&mut bytes[start..start + total].to_vec()).is_some() {
                return Ok(Some(base + start as u64));
            }
        }
        if at_end {
            break;
        }
        base += starts as u64;
    }
    Ok(None)
}

/// A moving window over the file that opens one record after the other.
struct Window<'a> {
    id: &'a LogId,
    file: &'a File,
    offset: u64,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Window<'a> {
    fn new(id: &'a LogId, file: &'a File, offset: u64) -> Window<'a> {
        Window { id, file, offset, buffer: Vec::new(), start: 0, end: 0 }
    }

    fn open_next(&mut self) -> Result<Option<Opened<'_>>> {
        if !fill_record(self.id, self.file, self.offset, &mut self.buffer, &mut self.start, &mut self.end)? {
            return Ok(None);
        }
        let Some(record) = self.id.open(&mut self.buffer[self.start..self.end]) else { return Ok(None) };
        self.start += record.total;
        self.offset += record.total as u64;
        Ok(Some(record))
    }
}

/// Sees to it that `buffer[*start..*end]`, the file's bytes from `offset` on, holds a whole record; says whether it does.
fn fill_record(
    id: &LogId,
    file: &File,
    offset: u64,
    buffer: &mut Vec<u8>,
    start: &mut usize,
    end: &mut usize,
) -> Result<bool> {
    let whole = |bytes: &[u8]| record_len(bytes).is_some_and(|total| total <= bytes.len());
    if whole(&buffer[*start..*end]) {
        return Ok(true);
    }
    buffer.copy_within(*start..*end, 0);
    (*start, *end) = (0, *end - *start);
    let wanted = record_len(&buffer[..*end]).unwrap_or(0).max(READ);
    buffer.resize(wanted, 0);
    *end += file::read_at(file, &mut buffer[*end..], offset + *end as u64)
        .map_err(Error::disk("read", &id.path))?;
    // The first read may have shown the length of a record that is longer than the buffer.
    if let Some(total) = record_len(&buffer[..*end]).filter(|total| *total > buffer.len()) {
        buffer.resize(total, 0);
        *end += file::read_at(file, &mut buffer[*end..], offset + *end as u64)
            .map_err(Error::disk("read", &id.path))?;
    }
    Ok(whole(&buffer[..*end]))
}

/// Reads a log from its start, while others append.
pub struct Reader {
    id: LogId,
    file: Option<File>,
    offset: u64,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    report: fn(&str),
}

impl Reader {
    /// Starts before the first record; the log need not exist yet.
    pub fn new(id: LogId, report: fn(&str)) -> Reader {
        Reader { id, file: None, offset: HEADER, buffer: Vec::new(), start: 0, end: 0, report }
    }

    /// The next record, or `None` at the end for now: later calls go on there. Damaged stretches are skipped, and told.
    /// A log that was started afresh is read from its start again.
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        if self.file.is_none() && !self.reopen()? {
            return Ok(None);
        }
        loop {
            let Some(file) = &self.file else { return Ok(None) };
            let good =
                fill_record(&self.id, file, self.offset, &mut self.buffer, &mut self.start, &mut self.end)?;
            // Opened in a copy only when damaged: a good record is opened once, in place.
            let found = if good {
                self.id.open(&mut self.buffer[self.start..self.end]).map(|r| (r.seq, r.total))
            } else {
                None
            };
            if let Some((seq, total)) = found {
                let body = self.start + PREFIX + TAG..self.start + total - TAG;
                self.start += total;
                self.offset += total as u64;
                return Ok(Some(Record { seq, body: &self.buffer[body] }));
            }
            if !self.skip_damage()? && !self.was_replaced()? {
                return Ok(None);
            }
        }
    }

    /// There is no good record here: at the end, in a record that is still being written, or in damage. Only behind
    /// damage there is another good one.
    fn skip_damage(&mut self) -> Result<bool> {
        (self.start, self.end) = (0, 0);
        let Some(file) = &self.file else { return Ok(false) };
        let length = file.metadata().map_err(Error::disk("read", &self.id.path))?.len();
        if length <= self.offset {
            return Ok(false);
        }
        let Some(next) = next_good(&self.id, file, self.offset + 1, length)? else { return Ok(false) };
        (self.report)(&format!(
            "{}: bytes {} to {next} are damaged and were skipped",
            self.id.path.display(),
            self.offset
        ));
        self.offset = next;
        Ok(true)
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
                (self.file, self.offset, self.start, self.end) = (Some(file), HEADER, 0, 0);
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(Error::disk("open", &self.id.path)(cause)),
        }
    }

    /// Gives the buffer back; for when nothing more is expected soon.
    pub fn release_memory(&mut self) {
        (self.buffer, self.start, self.end) = (Vec::new(), 0, 0);
    }
}
