//! Transfers that come in just now: whose turn it is, and what room they were promised. It leaves out the bytes: see
//! `inbound`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::crypto::keys::PublicKey;
use crate::net::session::Session;
use crate::net::transport::Closer;
use crate::store::partial::Partial;
use crate::store::space;
use crate::transfer::receive::{Inbound, MAX_MANIFESTS};
use crate::transfer::tally::Tally;

/// Transfers of one peer at a time: its connections.
const MAX_TRANSFERS: usize = 4;
/// How long a sender that reconnects waits for the end of its last connection, which may not be noticed yet.
const RECONNECT_WAIT: Duration = Duration::from_secs(3);

struct Running {
    number: u64,
    peer: PublicKey,
    /// What it is, once the offer was read: see `transfer::landing::TransferId`.
    id: Option<String>,
    /// Bytes of its manifest.
    manifest: usize,
    /// Ends its session.
    closer: Closer,
    /// What has come, once it has begun to come.
    tally: Option<Arc<Tally>>,
    /// What was promised to it, until that is there.
    promise: Option<Promise>,
    /// The room that it was given.
    room: Option<GivenRoom>,
    /// The files and directories that it may make, until they are there.
    entries: Option<GivenEntries>,
}

/// Room on a disk.
struct GivenRoom {
    disk: Option<u64>,
    bytes: u64,
}

/// Files and directories on a disk.
#[derive(Clone)]
struct GivenEntries {
    disk: Option<u64>,
    count: u64,
    /// Those that are there wait in the folder of this.
    note: Partial,
}

impl Running {
    /// Bytes that are still to come to the disk.
    fn expected(&self, disk: Option<u64>) -> u64 {
        let room = self.room.as_ref().filter(|room| room.disk == disk).map_or(0, |room| room.bytes);
        room.saturating_sub(self.tally.as_ref().map_or(0, |tally| tally.moved()))
    }
}

/// What may still come to a folder with a quota.
#[derive(Clone)]
struct Promise {
    dir: PathBuf,
    id: String,
    /// As [`crate::store::space::Usage::weight`] counts.
    weight: u64,
}

#[derive(Default)]
struct State {
    running: Vec<Running>,
    last_number: u64,
}

/// All of them.
#[derive(Default)]
pub struct Transfers {
    state: Mutex<State>,
    over: Condvar,
    /// Held while one offer is weighed against a quota and promised its room.
    weighing: Mutex<()>,
}

/// Files that come in, as the threads of the session and of its lanes share them.
pub struct IncomingTransfer {
    /// The files.
    pub inbound: Inbound,
    // Given up after the files, so that who comes next finds their folder unlocked.
    turn: Arc<Turn>,
}

impl IncomingTransfer {
    /// The turn lasts until the last thread is done with the files.
    pub fn new(inbound: Inbound, turn: Arc<Turn>) -> Arc<IncomingTransfer> {
        Arc::new(IncomingTransfer { inbound, turn })
    }

    /// The turn of the transfer.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }
}

impl Transfers {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits a moment for `is_free`, which is tried again whenever a transfer ends.
    fn wait(&self, mut is_free: impl FnMut(&mut State) -> bool) -> Option<MutexGuard<'_, State>> {
        let waited = self.over.wait_timeout_while(self.state(), RECONNECT_WAIT, |state| !is_free(state));
        let (state, waited) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        (!waited.timed_out()).then_some(state)
    }

    /// A turn to send files, at most four of a peer and, if it is the `only_one`, one in all. A peer that comes again to
    /// a one-off receiver has lost its first connection.
    pub fn begin(self: &Arc<Self>, session: &Session, only_one: bool) -> Option<Turn> {
        let peer = session.peer();
        let mut state = self.wait(|state| {
            if only_one {
                close(state.running.iter().filter(|one| one.peer == peer));
                return state.running.is_empty();
            }
            state.running.iter().filter(|one| one.peer == peer).count() < MAX_TRANSFERS
        })?;
        state.last_number += 1;
        let number = state.last_number;
        state.running.push(Running {
            number,
            peer,
            id: None,
            manifest: 0,
            closer: session.closer(),
            tally: None,
            promise: None,
            room: None,
            entries: None,
        });
        Some(Turn { transfers: Arc::clone(self), number })
    }

    /// Ends the transfers of those who are not welcome any more.
    pub fn close_unless(&self, is_welcome: impl Fn(&PublicKey) -> bool) {
        close(self.state().running.iter().filter(|one| !is_welcome(&one.peer)));
    }
}

fn close<'a>(running: impl Iterator<Item = &'a Running>) {
    for one in running {
        one.closer.close();
    }
}

/// A turn, until it is dropped.
pub struct Turn {
    transfers: Arc<Transfers>,
    number: u64,
}

impl Turn {
    /// Notes how long its manifest is so far; `false` when those of this peer are more than may be kept at a time.
    pub fn may_keep(&self, bytes: usize) -> bool {
        let mut state = self.transfers.state();
        let Some(own) = state.running.iter_mut().find(|one| one.number == self.number) else { return false };
        own.manifest = bytes;
        let peer = own.peer;
        let of_peer = state.running.iter().filter(|one| one.peer == peer);
        of_peer.map(|one| one.manifest).sum::<usize>() <= MAX_MANIFESTS
    }

    /// Says what comes in. The same on another connection is ended and waited for if nothing moves there: that one must be
    /// dead by now. `false` when it does not end, or when something moves: two senders of the same would end each other
    /// for ever.
    pub fn claim(&self, id: &str) -> bool {
        let same = |one: &&Running| one.id.as_deref() == Some(id) && one.number != self.number;
        let moved = || {
            let state = self.transfers.state();
            let tallies = state.running.iter().filter(same).filter_map(|one| one.tally.as_ref());
            tallies.map(|tally| tally.checked() + tally.held() + tally.moved()).reduce(|sum, one| sum + one)
        };
        let is_free = |state: &mut State| !state.running.iter().any(|one| same(&one));
        // Twice, for it may have been cut off in between.
        let is_alive = (0..2).all(|_| {
            let before = moved();
            before.is_some() && self.transfers.wait(is_free).is_none() && moved() != before
        });
        if is_alive {
            return false;
        }
        close(self.transfers.state().running.iter().filter(same));
        let Some(mut state) = self.transfers.wait(is_free) else { return false };
        for one in state.running.iter_mut().filter(|one| one.number == self.number) {
            one.id = Some(id.to_owned());
        }
        true
    }

    /// It begins to come.
    pub fn follow(&self, tally: &Arc<Tally>) {
        for one in self.transfers.state().running.iter_mut().filter(|one| one.number == self.number) {
            one.tally = Some(Arc::clone(tally));
        }
    }

    /// Takes so many bytes of the room on the disk of `dir`, unless others that come in need it.
    pub fn take_room(&self, dir: &Path, bytes: u64, room: u64) -> bool {
        let disk = space::disk_id(dir);
        let mut state = self.transfers.state();
        let left = room.saturating_sub(self.expected_by_others(&state, disk));
        if left == 0 || bytes > left {
            return false;
        }
        for one in state.running.iter_mut().filter(|one| one.number == self.number) {
            one.room = Some(GivenRoom { disk, bytes });
        }
        true
    }

    /// Files and directories that others may still make on the disk of `dir`.
    pub fn entries_beside(&self, dir: &Path) -> u64 {
        let disk = space::disk_id(dir);
        let state = self.transfers.state();
        let others = state.running.iter().filter(|one| one.number != self.number);
        let given: Vec<GivenEntries> = others.filter_map(|one| one.entries.clone()).collect();
        drop(state);
        let to_come = |one: &GivenEntries| one.count.saturating_sub(one.note.usage().entries);
        given.iter().filter(|one| one.disk == disk).fold(0, |sum, one| sum.saturating_add(to_come(one)))
    }

    /// Notes that this one, of which that is the note, may make so many.
    pub fn take_entries(&self, note: Partial, count: u64) {
        let disk = space::disk_id(&note.dir);
        let mut state = self.transfers.state();
        if let Some(own) = state.running.iter_mut().find(|one| one.number == self.number) {
            own.entries = Some(GivenEntries { disk, count, note });
        }
    }

    /// Bytes that others are still to bring to the disk of `dir`.
    pub fn expected_beside(&self, dir: &Path) -> u64 {
        self.expected_by_others(&self.transfers.state(), space::disk_id(dir))
    }

    fn expected_by_others(&self, state: &State, disk: Option<u64>) -> u64 {
        let others = state.running.iter().filter(|one| one.number != self.number);
        others.fold(0, |sum, one| sum.saturating_add(one.expected(disk)))
    }

    /// No other offer is weighed against a quota, or the files that a disk can have, before this is dropped.
    pub fn weigh(&self) -> MutexGuard<'_, ()> {
        self.transfers.weighing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The weight of what others may still bring to `dir`; the same transfer on another connection, which must be dead,
    /// brings nothing. `staged` gives the weight of what is there of a transfer.
    pub fn promised_beside(&self, dir: &Path, id: &str, staged: impl Fn(&str) -> u64) -> u64 {
        let state = self.transfers.state();
        let others = state.running.iter().filter(|one| one.number != self.number);
        let promises: Vec<Promise> = others.filter_map(|one| one.promise.clone()).collect();
        drop(state);
        let open = promises.iter().filter(|one| one.dir == dir && one.id != id);
        open.fold(0, |sum, one| sum.saturating_add(one.weight.saturating_sub(staged(&one.id))))
    }

    /// Notes what this one may bring.
    pub fn promise(&self, dir: &Path, id: &str, weight: u64) {
        self.set_promise(Some(Promise { dir: dir.to_owned(), id: id.to_owned(), weight }));
    }

    /// All of it is there, or no more comes.
    pub fn end_promise(&self) {
        self.set_promise(None);
        if let Some(own) = self.transfers.state().running.iter_mut().find(|one| one.number == self.number) {
            own.entries = None;
        }
    }

    fn set_promise(&self, promise: Option<Promise>) {
        let mut state = self.transfers.state();
        for one in state.running.iter_mut().filter(|one| one.number == self.number) {
            one.promise.clone_from(&promise);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.transfers.state().running.retain(|one| one.number != self.number);
        self.transfers.over.notify_all();
    }
}
