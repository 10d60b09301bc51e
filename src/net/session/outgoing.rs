//! The sending half of a session: plaintext that is sealed where it lies, and how far the other end has got with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::crypto::noise::TAG_LEN;
use crate::crypto::record::Sealer;
use crate::net::pace::Pace;
use crate::net::session::SMALL;
use crate::wire::codec::FieldWriter;

/// How much of what one end has sent the other one has confirmed; any thread may look.
#[derive(Clone)]
pub struct Progress {
    sent: Arc<AtomicU64>,
    confirmed: Arc<AtomicU64>,
}

impl Progress {
    /// Bytes of the stream that were queued or sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of the stream that the other end has.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Bytes of which nothing is known.
    pub fn unconfirmed(&self) -> u64 {
        self.sent().saturating_sub(self.confirmed())
    }
}

/// Plaintext laid out as records, each with room for its length and tag, so that sealing happens in place.
pub(super) struct Outgoing {
    sealer: Sealer,
    /// Records are at `bytes[..end]`; what is behind was used before, and is not cleared.
    bytes: Vec<u8>,
    pub end: usize,
    /// Where the record starts that more may be added to.
    open: Option<usize>,
    /// Most bytes that a record is given.
    pub most: usize,
    /// Bytes of the stream so far.
    pub stream: Arc<AtomicU64>,
}

impl FieldWriter for Outgoing {
    fn put(&mut self, mut bytes: &[u8]) {
        self.count(bytes.len());
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.open_record(1).min(bytes.len()));
            self.space(now.len()).copy_from_slice(now);
            bytes = later;
        }
    }
}

impl Outgoing {
    pub fn new(sealer: Sealer) -> Outgoing {
        Outgoing {
            sealer,
            bytes: Vec::new(),
            end: 0,
            open: None,
            most: Pace::default().record(),
            stream: Arc::default(),
        }
    }

    pub fn count(&self, length: usize) {
        self.stream.fetch_add(length as u64, Ordering::Relaxed);
    }

    pub fn progress(&self, confirmed: &Arc<AtomicU64>) -> Progress {
        Progress { sent: Arc::clone(&self.stream), confirmed: Arc::clone(confirmed) }
    }

    /// Makes sure that the open record has room for `wanted` bytes, and says how many it has.
    pub fn open_record(&mut self, wanted: usize) -> usize {
        let full = 2 + self.most;
        let room = |start: usize, end: usize| start + full - end;
        if self.open.is_some_and(|start| room(start, self.end) < wanted) {
            self.close_record();
        }
        let start = *self.open.get_or_insert(self.end);
        if start == self.end {
            self.space(2);
        }
        room(start, self.end)
    }

    fn close_record(&mut self) {
        let Some(start) = self.open.take() else { return };
        self.space(TAG_LEN);
        let length = (self.end - start - 2) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// The next `length` bytes.
    pub fn space(&mut self, length: usize) -> &mut [u8] {
        let start = self.end;
        self.end += length;
        if self.end > self.bytes.len() {
            self.bytes.resize(self.end, 0);
        }
        &mut self.bytes[start..self.end]
    }

    /// Seals every record; `None` when the cipher has no nonces left.
    pub fn seal(&mut self) -> Option<&[u8]> {
        self.close_record();
        let mut rest = &mut self.bytes[..self.end];
        while let Some((length, sealed)) = rest.split_first_chunk_mut::<2>() {
            let (record, behind) = sealed.split_at_mut(u16::from_be_bytes(*length).into());
            let (text, tag) = record.split_at_mut(record.len() - TAG_LEN);
            tag.copy_from_slice(&self.sealer.seal(text).ok()?);
            rest = behind;
        }
        Some(&self.bytes[..self.end])
    }

    /// What was there is on its way.
    pub fn clear(&mut self) {
        self.end = 0;
    }

    /// Gives the buffer back, but for what is queued.
    pub fn release_memory(&mut self) {
        self.bytes.truncate(self.end.max(SMALL));
        self.bytes.shrink_to_fit();
    }
}
