//! How far a transfer is: counted by the threads that move bytes, read by whoever shows it, and who may have it end. It
//! leaves out how it is shown.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::transfer::manifest::Manifest;
use crate::wire::message::UNKNOWN;

/// Bytes in a second.
pub fn per_second(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(0.001)) as u64
}

/// The count of one transfer.
#[derive(Debug)]
pub struct Tally {
    /// What is moved, in one line that is safe to show.
    pub title: String,
    /// Where each file ends among all bytes.
    ends: Vec<u64>,
    /// Bytes of all files, or [`UNKNOWN`].
    pub total: u64,
    started: Instant,
    /// When the other side had taken it, which may have had to ask a person.
    moving: OnceLock<Instant>,
    checked: AtomicU64,
    held: AtomicU64,
    moved: AtomicU64,
    lanes: AtomicU64,
    stopped: Arc<AtomicBool>,
    over: AtomicBool,
}

impl Tally {
    /// Nothing has moved.
    pub fn new(manifest: &Manifest, is_stream: bool) -> Tally {
        let files = manifest.entries().iter().enumerate().filter(|(_, entry)| !entry.is_dir);
        let zero = AtomicU64::default;
        Tally {
            title: manifest.title(),
            ends: files.map(|(index, entry)| manifest.start(index) + entry.size).collect(),
            total: if is_stream { UNKNOWN } else { manifest.bytes() },
            started: Instant::now(),
            moving: OnceLock::new(),
            checked: zero(),
            held: zero(),
            moved: zero(),
            lanes: zero(),
            stopped: Arc::default(),
            over: AtomicBool::new(false),
        }
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.ends.len()
    }

    /// How many of them are done, as if they went in order.
    pub fn files_done(&self) -> usize {
        let (done, _) = self.done();
        self.ends.partition_point(|end| *end <= done)
    }

    /// Bytes of an earlier try were compared with the other side's.
    pub fn check(&self, bytes: u64) {
        self.checked.fetch_add(bytes, Relaxed);
    }

    /// Bytes need not be moved: the receiver has them.
    pub fn hold(&self, bytes: u64) {
        self.held.fetch_add(bytes, Relaxed);
    }

    /// Bytes were moved.
    pub fn add(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Relaxed);
    }

    /// Bytes that were counted as moved have to be moved again.
    pub fn take_back(&self, bytes: u64) {
        self.moved.fetch_sub(bytes, Relaxed);
    }

    /// A connection carries bytes.
    pub fn add_lane(&self) {
        self.moving.get_or_init(Instant::now);
        self.lanes.fetch_add(1, Relaxed);
    }

    /// A transfer that is tried again counts from nothing, but goes on to have begun when it did.
    pub fn restart(&self) {
        for count in [&self.checked, &self.held, &self.moved, &self.lanes] {
            count.store(0, Relaxed);
        }
    }

    /// Takes the counts of the same transfer from whoever moves its bytes.
    pub fn set(&self, checked: u64, held: u64, moved: u64, lanes: u64) {
        let counts =
            [(&self.checked, checked), (&self.held, held), (&self.moved, moved), (&self.lanes, lanes)];
        for (count, value) in counts {
            count.store(value, Relaxed);
        }
    }

    /// Has whoever moves bytes end it before it is done.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Is set once it is to end.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }

    /// An error once it is to end.
    pub fn check_stop(&self) -> Result<()> {
        if self.stopped.load(Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// It has come to its end, good or bad.
    pub fn end(&self) {
        self.over.store(true, Relaxed);
    }

    /// Whether it has.
    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Bytes that were compared so far.
    pub fn checked(&self) -> u64 {
        self.checked.load(Relaxed)
    }

    /// Bytes that the receiver had from an earlier try.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Bytes that were moved.
    pub fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    /// Connections that carried bytes.
    pub fn lanes(&self) -> u64 {
        self.lanes.load(Relaxed)
    }

    /// Since it was offered.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Since it was taken, so that bytes can move.
    pub fn moving(&self) -> Duration {
        self.moving.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Whether it was taken.
    pub fn is_taken(&self) -> bool {
        self.moving.get().is_some()
    }

    /// Moved bytes in a second, since it was taken.
    pub fn rate(&self) -> u64 {
        per_second(self.moved(), self.moving())
    }

    /// Bytes on the other side, moved or held, and how many there are to be, if that is known.
    pub fn done(&self) -> (u64, Option<u64>) {
        (self.held() + self.moved(), (self.total != UNKNOWN).then_some(self.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::Entry;
    use crate::transfer::path::SafePath;

    #[test]
    fn time_counts_when_it_is_taken() {
        let path = SafePath::parse("a").expect("a name");
        let entry = Entry { path, is_dir: false, executable: false, modified: 0, size: 0 };
        let manifest = Manifest::new(vec![entry]).expect("one file");
        let tally = Tally::new(&manifest, true);
        tally.add(1);
        assert_eq!(tally.moving(), Duration::ZERO);
        tally.add_lane();
        let begun = tally.moving.get().copied();
        tally.add_lane();
        tally.restart();
        tally.add_lane();
        assert!(begun.is_some() && tally.moving.get().copied() == begun);
    }
}
