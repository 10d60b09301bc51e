//! Room for the messages that peers send: how much of the home's disk they may fill (egoat(1), ROOM ON THE DISK). Some of
//! it is kept free for everything else, and one peer gets a share of the rest, so that a peer who floods this node costs
//! the others nothing. It leaves out files: see `files::inbound`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Verb};
use crate::store::space::KeepFree;
use crate::text;

/// What one peer may fill in a day of the room that there was: this part of it ...
const SHARE: u64 = 8;
/// ... or so many bytes, where that is more: a log that somebody pastes fits on a small disk, too.
const LEAST_SHARE: u64 = 16 << 20;
/// How long what a peer has filled counts against its share.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an answer of the system counts, since other programs fill the disk as well: when there is room, and when
/// there is none.
const ROOM_LASTS: Duration = Duration::from_secs(10);
const SHORTAGE_LASTS: Duration = Duration::from_secs(1);
/// The system is asked again when this part of the room has been filled.
const LOOK_AFTER_PART: u64 = 4;

/// The room on the disk of one directory, shared by all threads that store messages there.
pub struct Room {
    dir: PathBuf,
    keep_free: KeepFree,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes beyond what is kept free, when the system was asked last; `None` where it cannot tell.
    found: Option<u64>,
    asked: Option<Instant>,
    /// Bytes that were given away since.
    given: u64,
    peers: HashMap<PublicKey, Taker>,
    /// The user knows that the disk is short of room.
    is_told: bool,
}

/// What one peer has got.
struct Taker {
    since: Instant,
    bytes: u64,
    /// The bytes that it was refused last; 0 when it got what it wanted.
    refused: u64,
    /// The user knows that its share is used up.
    is_told: bool,
}

/// There is no room, and this is new to the user.
pub type News = Option<Error>;

/// Why there is no room.
enum Shortage {
    Disk,
    Share,
}

impl Room {
    /// The room on the disk of `dir`, of which so much is kept free.
    pub fn new(dir: &Path, keep_free: KeepFree) -> Room {
        let room = Room { dir: dir.to_owned(), keep_free, state: Mutex::default() };
        room.ask_after(ROOM_LASTS);
        room
    }

    /// A thread that panicked left the state as it was between two statements, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives room for so many bytes to a peer; if there is none, what the user does not know yet of that.
    pub fn take(&self, peer: &PublicKey, name: &str, bytes: u64) -> Result<(), News> {
        self.judge(peer, name, bytes)?;
        let mut state = self.state();
        state.given = state.given.saturating_add(bytes);
        let taker = state.taker(peer);
        (taker.bytes, taker.refused) = (taker.bytes.saturating_add(bytes), 0);
        Ok(())
    }

    /// Whether there is room for the peer, be it for what it was refused last: it would send the same again.
    pub fn check(&self, peer: &PublicKey, name: &str) -> Result<(), News> {
        let wanted = self.state().peers.get(peer).map_or(1, |taker| taker.refused.max(1));
        self.judge(peer, name, wanted)
    }

    fn judge(&self, peer: &PublicKey, name: &str, wanted: u64) -> Result<(), News> {
        self.ask_after(ROOM_LASTS);
        if self.state().shortage(peer, wanted).is_some() {
            self.ask_after(SHORTAGE_LASTS);
        }
        let mut state = self.state();
        let Some(shortage) = state.shortage(peer, wanted) else {
            state.is_told = false;
            return Ok(());
        };
        let taker = state.taker(peer);
        let bytes = taker.bytes;
        taker.refused = wanted;
        let is_told = match shortage {
            Shortage::Disk => &mut state.is_told,
            Shortage::Share => &mut taker.is_told,
        };
        let is_news = !std::mem::replace(is_told, true);
        Err(is_news.then(|| self.error(&shortage, name, bytes)))
    }

    /// Asks the system how much room there is, unless it was asked so lately.
    fn ask_after(&self, lasts: Duration) {
        {
            let mut state = self.state();
            let is_spent = state.found.is_some_and(|found| state.given > found / LOOK_AFTER_PART);
            if !is_spent && state.asked.is_some_and(|asked| asked.elapsed() < lasts) {
                return;
            }
            // From now on, so that other threads go by what is known meanwhile and do not all ask.
            state.asked = Some(Instant::now());
            state.found = state.left();
            state.given = 0;
        }
        let found = self.keep_free.room(&self.dir);
        self.state().found = found;
    }

    fn error(&self, shortage: &Shortage, name: &str, bytes: u64) -> Error {
        match shortage {
            Shortage::Disk => short_of(&self.dir),
            Shortage::Share => Error::failed(format!(
                "the messages of {name} have filled {} in a day, which is their share of this disk; the rest waits with \
                 {name}",
                text::size(bytes)
            )),
        }
    }
}

/// There is no more room at `path` than what is kept free.
pub fn short_of(path: &Path) -> Error {
    let cause = io::Error::new(io::ErrorKind::StorageFull, "there is no more room than what is kept free");
    Error::Disk { verb: Verb::Write, path: path.to_owned(), cause }
}

impl State {
    fn left(&self) -> Option<u64> {
        self.found.map(|found| found.saturating_sub(self.given))
    }

    fn taker(&mut self, peer: &PublicKey) -> &mut Taker {
        let new = || Taker { since: Instant::now(), bytes: 0, refused: 0, is_told: false };
        let taker = self.peers.entry(*peer).or_insert_with(new);
        if taker.since.elapsed() > DAY {
            *taker = new();
        }
        taker
    }

    /// Why the peer gets no room for so many bytes.
    fn shortage(&mut self, peer: &PublicKey, wanted: u64) -> Option<Shortage> {
        let left = self.left()?;
        let taken = self.taker(peer).bytes;
        let share = (left.saturating_add(taken) / SHARE).max(LEAST_SHARE);
        if wanted > left {
            Some(Shortage::Disk)
        } else if taken.saturating_add(wanted) > share {
            Some(Shortage::Share)
        } else {
            None
        }
    }
}
