//! How much room there is for files that come in: bytes, and files that the file system can still have. It leaves out quotas,
//! which are among the rules for a peer (`verdict`), and the room for messages (`node::room`).

use std::path::Path;

use crate::error::Result;
use crate::node::context::Context;
use crate::node::files::transfers::Turn;
use crate::node::room;
use crate::store::partial::{self, Partial};
use crate::store::space::{self, KeepFree, Usage};
use crate::store::staged;
use crate::transfer::receive::Offer;
use crate::transfer::staging::MAX_CHUNKS;
use crate::transfer::stream::{FileSink, Sink};
use crate::wire::message::{CHUNK, Declined};

/// A stream asks how much room there is again when it has filled this part of it: others fill the disk as well.
const ASK_AFTER_PART: u64 = 16;

/// Of the files that a file system can have, one in so many stays free.
const KEPT_ENTRIES: u64 = 20;

/// What each path at the top costs in the note of a transfer and in the history, beside its bytes.
const PER_NOTED_PATH: u64 = 256;

/// Why there is no room for what is offered, if there is none; else the turn is given what it needs.
pub fn lacking(context: &Context, offer: &Offer, note: &Partial, turn: &Turn) -> Option<Declined> {
    if offer.manifest.chunks() > MAX_CHUNKS {
        return Some(Declined::TooLarge);
    }
    has_no_entries(offer, note, turn).or_else(|| has_no_bytes(context, offer, note, turn))
}

/// A file system without inodes takes no file of anybody, however much room it has. So some stay free, whatever the peer
/// may send.
fn has_no_entries(offer: &Offer, note: &Partial, turn: &Turn) -> Option<Declined> {
    let _alone = turn.weigh();
    // Ahead of what is free: what others make meanwhile counts twice then, rather than not at all.
    let others = turn.entries_beside(&note.dir);
    let (total, free) = space::entry_limits(&note.dir)?;
    let count = offer.manifest.usage().entries;
    let wanted = count.saturating_sub(note.usage().entries).saturating_add(others);
    if wanted.saturating_add(total / KEPT_ENTRIES) > free {
        return Some(Declined::Full);
    }
    turn.take_entries(note.clone(), count);
    None
}

fn has_no_bytes(context: &Context, offer: &Offer, note: &Partial, turn: &Turn) -> Option<Declined> {
    let (home, keep_free) = (context.own().home(), context.options().keep_free);
    // By the map: a file with holes is longer than what it fills. Of a stream, nobody knows yet what else is to come.
    let held = note.held(CHUNK as u64).map_or(0, |(held, _)| held);
    let bytes = offer.bytes().map_or(0, |bytes| bytes.saturating_sub(held));
    if held > 0 && offer.bytes().is_some_and(|bytes| bytes <= held) {
        return None;
    }
    let noted = noted_at_home(offer, &note.dir);
    let is_at_home = space::disk_id(home.dir()) == space::disk_id(&note.dir);
    if !is_at_home && keep_free.room(home.dir()).is_some_and(|room| noted > room) {
        return Some(Declined::Full);
    }
    let room = keep_free.room(&note.dir)?;
    let staged = partial::staged(home, &note.dir, &note.id).entries;
    let entries = offer.manifest.usage().entries.saturating_sub(staged);
    let names = Usage { bytes: 0, entries }.weight().saturating_add(if is_at_home { noted } else { 0 });
    (!turn.take_room(&note.dir, bytes.saturating_add(names), room)).then_some(Declined::Full)
}

/// About what the home notes of a transfer: where all that is at the top has landed, in the note of the transfer, which escapes
/// what is not ASCII, and in the history.
fn noted_at_home(offer: &Offer, dir: &Path) -> u64 {
    let length = |name: &str| staged::escape(Path::new(name)).len() + dir.as_os_str().len() + name.len();
    offer.manifest.tops().iter().map(|(name, ..)| length(name) as u64 + PER_NOTED_PATH).sum()
}

/// A stream on its way to a disk of which some room is kept free: it says how long it is when it is there.
pub struct StreamRoom<'a> {
    sink: &'a mut FileSink,
    dir: &'a Path,
    keep_free: KeepFree,
    turn: &'a Turn,
    /// Bytes that may come before the system is asked again.
    left: u64,
}

impl StreamRoom<'_> {
    /// For a stream to `sink`, which lands in `dir`.
    pub fn new<'a>(
        sink: &'a mut FileSink,
        dir: &'a Path,
        keep_free: KeepFree,
        turn: &'a Turn,
    ) -> StreamRoom<'a> {
        StreamRoom { sink, dir, keep_free, turn, left: 0 }
    }
}

impl Sink for StreamRoom<'_> {
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        if length > self.left {
            let room = self.keep_free.room(self.dir).unwrap_or(u64::MAX);
            let room = room.saturating_sub(self.turn.expected_beside(self.dir));
            if length > room {
                return Err(room::short_of(self.dir));
            }
            self.left = (room / ASK_AFTER_PART).max(length);
        }
        self.left -= length;
        self.sink.write(at, bytes)
    }

    fn store(&mut self, end: u64) -> Result<()> {
        self.sink.store(end)
    }
}
