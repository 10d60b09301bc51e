//! Records of a log: sealed, opened, and found among other bytes (egoat-files(5), LOGS). Pure but for the reads of
//! [`Window`] and [`next_good`]. It leaves out who may append, and what to do about damage.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::crypto::keys::{PublicKey, Seed};
use crate::crypto::random_array;
use crate::crypto::seal::LogKey;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::wire::message::{MAX_NUMBER, MAX_TEXT};

/// Longest body in bytes: a text message and the fields before it.
pub const MAX_BODY: usize = MAX_TEXT + 1024;
/// Highest number of a record: messages have the numbers of their records in the outbox. A search for records need not try
/// to open bytes whose number is above it, or zero as in blocks that were never written.
pub const MAX_SEQ: u64 = MAX_NUMBER;
const MAGIC: [u8; 8] = *b"E-GOATLG";
const VERSION: u8 = 1;
pub(super) const HEADER: u64 = 16;
pub(super) const TAG: usize = 16;
const NONCE: usize = 24;
/// Before the ciphertext: length, seq, nonce.
const PREFIX: usize = 4 + 8 + NONCE;
/// A record but for its body.
const OVERHEAD: usize = PREFIX + TAG + TAG;
pub(super) const MAX_RECORD: usize = OVERHEAD + MAX_BODY;
/// Bytes a reader asks the system for at once.
pub(super) const READ: usize = 64 << 10;

/// Which log of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was received and what was delivered.
    History = 1,
    /// What waits to be delivered.
    Outbox = 2,
    /// What files wait to be sent.
    Files = 3,
    /// What the chat keeps; about this node itself.
    Notes = 4,
    /// What is shared; about this node itself.
    Shares = 5,
}

/// What names a log and opens it.
#[derive(Clone)]
pub struct LogId {
    pub(super) path: PathBuf,
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

    pub(super) fn header(&self) -> [u8; HEADER as usize] {
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
    pub(super) fn seal(
        &self,
        out: &mut Vec<u8>,
        seq: u64,
        previous: &[u8; TAG],
        body: &[u8],
    ) -> Result<[u8; TAG]> {
        let refused = || self.corrupt("a record cannot be sealed".into());
        if body.len() > MAX_BODY || !(1..=MAX_SEQ).contains(&seq) {
            return Err(refused());
        }
        let length = body.len() as u32;
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
    pub(super) fn open(&self, bytes: &mut [u8]) -> Option<OpenedRecord> {
        let total = record_len(bytes)?;
        let (prefix, sealed) = bytes.get_mut(..total)?.split_at_mut(PREFIX);
        let length = u32::from_be_bytes(*prefix.first_chunk()?);
        let seq = u64::from_be_bytes(*prefix[4..].first_chunk()?);
        let nonce: [u8; NONCE] = *prefix[12..].first_chunk()?;
        let (text, tag) = sealed.split_at_mut(sealed.len() - TAG);
        let tag: [u8; TAG] = *tag.first_chunk()?;
        self.key.open_in_place(&nonce, &self.aad(seq, length), text, &tag).ok()?;
        Some(OpenedRecord { seq, tag, previous: *text.first_chunk()?, total })
    }

    pub(super) fn corrupt(&self, what: String) -> Error {
        Error::Corrupt { path: self.path.clone(), what }
    }
}

/// Bytes of the record whose prefix is at the front of `bytes`, `None` when its length or number is missing or
/// impossible.
pub(super) fn record_len(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let seq = u64::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    (length <= MAX_BODY && (1..=MAX_SEQ).contains(&seq)).then_some(OVERHEAD + length)
}

/// A record that was opened in its place.
pub(super) struct OpenedRecord {
    pub seq: u64,
    pub tag: [u8; TAG],
    pub previous: [u8; TAG],
    /// Bytes of the whole record.
    pub total: usize,
}

/// The first place from `from` on at which a good record starts.
pub(super) fn next_good(id: &LogId, file: &File, from: u64, length: u64) -> Result<Option<u64>> {
    // What came behind `length` since is left for another search: a record in progress then may be whole by now.
    let rest = length.saturating_sub(from);
    let read =
        |bytes: &mut [u8], at| file::read_at(file, bytes, at).map_err(Error::disk(Verb::Read, &id.path));
    // Nearly always a record starts, and ends, within the first few KiB. A buffer for the longest would stay with each
    // thread that ever needed one: the allocator keeps what is that large.
    let mut bytes = vec![0; rest.min(READ as u64) as usize];
    let got = read(&mut bytes, from)?;
    if let Some(start) = first_good(id, &mut bytes[..got], got) {
        return Ok(Some(from + start as u64));
    }
    bytes.resize(rest.min(2 * MAX_RECORD as u64) as usize, 0);
    let mut base = from;
    while base + OVERHEAD as u64 <= length {
        let got = read(&mut bytes, base)?;
        let at_end = got < bytes.len() || base + got as u64 >= length;
        // A record that starts in the first half is whole in the window, or never.
        let starts = if at_end { got } else { bytes.len() / 2 };
        if let Some(start) = first_good(id, &mut bytes[..got], starts) {
            return Ok(Some(base + start as u64));
        }
        if at_end {
            break;
        }
        base += starts as u64;
    }
    Ok(None)
}

/// The tag of the record that ends at `end`; something else when none does.
pub(super) fn tag_before(id: &LogId, file: &File, end: u64) -> Result<[u8; TAG]> {
    let mut tag = [0; TAG];
    file::read_at(file, &mut tag, end - TAG as u64).map_err(Error::disk(Verb::Read, &id.path))?;
    Ok(tag)
}

/// Where in `bytes` the first good record starts, of those that start before `starts` and are whole.
fn first_good(id: &LogId, bytes: &mut [u8], starts: usize) -> Option<usize> {
    (0..starts).find(|start| {
        let found = record_len(&bytes[*start..]).and_then(|total| bytes.get_mut(*start..start + total));
        // In place: what does not open stays as it was.
        found.is_some_and(|record| id.open(record).is_some())
    })
}

/// A window that moves over the file and opens one record after the other.
pub(super) struct Window {
    /// Where in the file the next record starts.
    pub offset: u64,
    /// The file's bytes from `offset` on are at `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    pub fn at(offset: u64) -> Window {
        Window { offset, buffer: Vec::new(), start: 0, end: 0 }
    }

    /// Opens the record at `offset` and moves behind it; `None` and no move if there is no whole, good one.
    pub fn open_next(&mut self, id: &LogId, file: &File) -> Result<Option<OpenedRecord>> {
        let found = if self.fill(id, file)? { id.open(&mut self.buffer[self.start..self.end]) } else { None };
        match &found {
            Some(found) => {
                self.start += found.total;
                self.offset += found.total as u64;
            }
            // What is there may be finished, or cut, until it is looked at again. That may take long: the buffer goes.
            None => *self = Window::at(self.offset),
        }
        Ok(found)
    }

    /// The body of the record that was found last.
    pub fn body(&self, found: &OpenedRecord) -> &[u8] {
        &self.buffer[self.start - found.total + PREFIX + TAG..self.start - TAG]
    }

    /// Sees to it that the window holds a whole record; says whether it does.
    fn fill(&mut self, id: &LogId, file: &File) -> Result<bool> {
        let whole = |bytes: &[u8]| record_len(bytes).is_some_and(|total| total <= bytes.len());
        if whole(&self.buffer[self.start..self.end]) {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        self.read_to(READ, id, file)?;
        // The first read may have shown the length of a record that is longer.
        if let Some(total) = record_len(&self.buffer[..self.end]).filter(|total| *total > self.end) {
            self.read_to(total, id, file)?;
        }
        Ok(whole(&self.buffer[..self.end]))
    }

    fn read_to(&mut self, length: usize, id: &LogId, file: &File) -> Result<()> {
        self.buffer.resize(self.buffer.len().max(length), 0);
        let place = self.offset + self.end as u64;
        self.end += file::read_at(file, &mut self.buffer[self.end..], place)
            .map_err(Error::disk(Verb::Read, &id.path))?;
        Ok(())
    }
}
