//! Who may take up a thread: caps on the connections whose handshake is not done, in all and per address, with early drops
//! at random in between; a rate for each address, with penalties for handshakes that fail; and caps on the connections of
//! peers. So a flood cannot keep friends out.
//!
//! Strangers can have as many addresses as they like, so caps and drops alone would hit friends as well. A quarter of the
//! places is therefore kept for addresses from which a peer has come before. These are held to no rate, since strangers
//! may share them; when their places are taken, those give way who wait longest without a good first message.
//!
//! It leaves out who is a friend.

mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::crypto::random_array;
use crate::error::Error;
use crate::net::transport::{Closer, Stream};
use crate::node::door::admission::source::{Source, SourceTable};
use crate::node::door::limits::Limits;

/// Connections of one IPv4 address or IPv6 /64 that are not yet authenticated, if no peer has come from there.
const MAX_PER_SOURCE: usize = 4;
/// One place in so many is kept for addresses of peers.
const RESERVED_PART: usize = 4;
/// But that may be too few for anybody, if there are not many.
const FEWEST_RESERVED: usize = 4;
/// One stranger in so many is let in before any is dropped: above a third of the most strangers, a newcomer is dropped
/// with a chance that rises to one at all of them.
const EARLY_PART: usize = 3;
/// Connections of one peer: 4 for messages, 4 transfers and 8 lanes.
const MAX_PER_PEER: usize = 16;
/// A friend's first message comes right behind its connection, and the last a round trip later. Who takes longer gives
/// way to others from the same places, first those without a first message.
const FIRST_GRACE_DELAY: Duration = Duration::from_millis(20);
const GRACE_DELAY: Duration = Duration::from_millis(100);
/// Strangers who can be noted at once, and then another one after each of these.
const NOTES: u32 = 16;
const NOTE_INTERVAL: Duration = Duration::from_secs(4);

/// Why a connection was turned away, or came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// All seats are taken, or the system gives no more files or threads.
    Full,
    /// Too many unknowns at once, in all or of one address.
    Crowd,
    /// Too many handshakes of one address in too short a time.
    Rate,
    /// Its address is kept out for handshakes that failed.
    Penalty,
    /// No handshake came of it.
    Handshake,
    /// A stranger, whose request was noted or who is blocked.
    Stranger,
}

/// A connection that was turned away, and when to close it.
pub type TurnedAway = (Instant, Stream);

/// How many were turned away, for each cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; 6]);

impl Refusals {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those for one cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }
}

/// A connection that is not yet authenticated.
struct Guest {
    number: u64,
    source: Source,
    /// It has one of the places for addresses of peers.
    is_friendly: bool,
    since: Instant,
    /// Its first message was good: it knows our key, at least.
    has_begun: bool,
    /// To end it.
    closer: Option<Closer>,
}

/// When the system ran short of something, and how many had to do then.
#[derive(Clone, Copy)]
struct Shortage {
    strangers: usize,
    friendly: usize,
    since: Instant,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    guests: Vec<Guest>,
    last_number: u64,
    /// Guests that were put out, and whose threads have not ended yet.
    leaving: usize,
    sources: SourceTable,
    shortage: Option<Shortage>,
    seats: usize,
    by_peer: HashMap<PublicKey, usize>,
    /// When all notes of strangers can be made again.
    noted: Option<Instant>,
}

/// The doorman.
pub struct Admission {
    limits: Limits,
    state: Mutex<State>,
    refused: [AtomicU64; 6],
}

impl Admission {
    /// With these limits.
    pub fn new(limits: Limits) -> Admission {
        Admission { limits, state: Mutex::default(), refused: Default::default() }
    }

    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Lets a connection begin its handshake, by its origin; `None` turns it away.
    pub fn admit(self: &Arc<Self>, stream: &Stream) -> Option<PendingSlot> {
        self.admit_at(stream.origin().into(), Some(stream.closer()), Instant::now())
    }

    fn admit_at(
        self: &Arc<Self>,
        source: Source,
        closer: Option<Closer>,
        now: Instant,
    ) -> Option<PendingSlot> {
        match self.enter(source, closer, now) {
            Ok(number) => Some(PendingSlot { admission: Arc::clone(self), number, source }),
            Err(cause) => {
                self.count(cause);
                None
            }
        }
    }

    /// Counts a newcomer among the guests; gives its number.
    fn enter(&self, source: Source, closer: Option<Closer>, now: Instant) -> Result<u64, Cause> {
        let mut state = self.state();
        let reserved = reserved(self.limits.pending);
        let is_friendly = reserved > 0 && state.sources.is_friendly(&source);
        if is_friendly {
            let gone = state.make_room(reserved, now)?;
            self.refused[Cause::Crowd as usize].fetch_add(gone, Ordering::Relaxed);
        } else {
            state.check_stranger(source, self.limits.pending - reserved, now)?;
        }
        state.last_number += 1;
        let number = state.last_number;
        state.guests.push(Guest { number, source, is_friendly, since: now, has_begun: false, closer });
        Ok(number)
    }

    /// The system gives no more threads or files, or no more memory: fewer have to do, for as many seconds as they are
    /// fewer, and those who have waited longest go.
    pub fn run_short(&self) {
        self.run_short_at(Instant::now());
    }

    fn run_short_at(&self, now: Instant) {
        self.count(Cause::Full);
        let mut state = self.state();
        let fewer = |all: usize| (all * 3 / 4).max(1);
        let (strangers, friendly) = (fewer(state.here(false)), fewer(state.here(true)));
        state.shortage = Some(Shortage { strangers, friendly, since: now });
        while state.here(false) > strangers {
            let longest = state.longest(|guest| !guest.is_friendly);
            longest.into_iter().for_each(|index| state.put_out(index));
        }
        state.shed_friendly(friendly, now);
    }

    /// Whether one more stranger may be noted on disk.
    pub fn may_note(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let noted = state.noted.map_or(now, |end| end.max(now)) + NOTE_INTERVAL;
        let may = noted <= now + NOTE_INTERVAL * NOTES;
        if may {
            state.noted = Some(noted);
        }
        may
    }

    /// Peers are expected to come from these addresses.
    pub fn expect(&self, addresses: impl Iterator<Item = IpAddr>) {
        let now = Instant::now();
        let mut state = self.state();
        addresses.for_each(|address| state.sources.expect(Source::of(address), now));
    }

    /// Counts one that was turned away, or came to nothing.
    fn count(&self, cause: Cause) {
        self.refused[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts since this was asked last.
    pub fn take_refusals(&self) -> Refusals {
        let mut counts = Refusals::default();
        for (count, refused) in counts.0.iter_mut().zip(&self.refused) {
            *count = refused.swap(0, Ordering::Relaxed);
        }
        counts
    }

    /// Gives back memory that is of no use any more.
    pub fn sweep(&self) {
        self.state().sources.sweep(Instant::now());
    }
}

/// Of so many places, those that are kept for addresses of peers.
fn reserved(pending: usize) -> usize {
    (pending / RESERVED_PART).max(FEWEST_RESERVED.min(pending / 2))
}

impl State {
    /// How many are here from addresses of peers, or from others.
    fn here(&self, is_friendly: bool) -> usize {
        self.guests.iter().filter(|guest| guest.is_friendly == is_friendly).count()
    }

    /// How many may be here, of so many usually.
    fn places(&self, limit: usize, is_friendly: bool, now: Instant) -> usize {
        let Some(Shortage { strangers, friendly, since }) = self.shortage else { return limit };
        let fewer = if is_friendly { friendly } else { strangers };
        limit.min(fewer.saturating_add(now.saturating_duration_since(since).as_secs() as usize))
    }

    /// Whether a stranger may come in, of whom there may be so many.
    fn check_stranger(&mut self, source: Source, limit: usize, now: Instant) -> Result<(), Cause> {
        let (strangers, most) = (self.here(false), self.places(limit, false, now));
        let of_source = self.guests.iter().filter(|guest| guest.source == source).count();
        let standing = self.sources.standing(source, now);
        if standing.is_barred() {
            Err(Cause::Penalty)
        } else if of_source >= MAX_PER_SOURCE || is_early_drop(strangers, most, || random_array::<1>()[0]) {
            Err(Cause::Crowd)
        } else if !standing.take_token() {
            Err(Cause::Rate)
        } else {
            Ok(())
        }
    }

    /// Makes room in the places for addresses of peers, of which there are so many; says how many had to go.
    fn make_room(&mut self, limit: usize, now: Instant) -> Result<u64, Cause> {
        let places = self.places(limit, true, now);
        let gone = if self.leaving < limit { self.shed_friendly(places - 1, now) } else { 0 };
        if self.here(true) < places { Ok(gone) } else { Err(Cause::Crowd) }
    }

    /// Puts those out who keep friends waiting, while there are more than so many; says how many there were.
    fn shed_friendly(&mut self, most: usize, now: Instant) -> u64 {
        let mut gone = 0;
        while self.here(true) > most {
            // Where strangers share the address of one friend, the others are to notice nothing.
            let friendly = || self.guests.iter().filter(|guest| guest.is_friendly);
            let share = |of: &&Guest| friendly().filter(|guest| guest.source == of.source).count();
            let crowded = friendly().max_by_key(share).map(|guest| guest.source);
            let longest = self.longest(|guest| {
                let grace = if guest.has_begun { GRACE_DELAY } else { FIRST_GRACE_DELAY };
                guest.is_friendly
                    && crowded == Some(guest.source)
                    && now.saturating_duration_since(guest.since) > grace
            });
            let Some(longest) = longest else { break };
            self.put_out(longest);
            gone += 1;
        }
        gone
    }

    /// Of some guests the one that has waited longest, first without a good first message.
    fn longest(&self, of: impl Fn(&Guest) -> bool) -> Option<usize> {
        let guests = self.guests.iter().enumerate().filter(|(_, guest)| of(guest));
        guests.min_by_key(|(_, guest)| guest.has_begun).map(|(index, _)| index)
    }

    /// Its thread sees the end of the stream, and ends.
    fn put_out(&mut self, index: usize) {
        let guest = self.guests.remove(index);
        self.leaving += 1;
        guest.closer.iter().for_each(Closer::close);
    }

    fn guest(&mut self, number: u64) -> Option<&mut Guest> {
        self.guests.iter_mut().find(|guest| guest.number == number)
    }
}

/// Whether the next connection is dropped while `all` of at most `most` are there; `dice` is uniform.
fn is_early_drop(all: usize, most: usize, dice: impl FnOnce() -> u8) -> bool {
    let early = most / EARLY_PART;
    let over = all.saturating_sub(early) * 256;
    all >= most || over > 0 && usize::from(dice()) < over / (most - early).max(1)
}

/// A place among all connections of peers, until it is dropped.
pub struct Seat {
    admission: Arc<Admission>,
    peer: PublicKey,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.seats -= 1;
        if let Some(count) = state.by_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                state.by_peer.remove(&self.peer);
            }
        }
    }
}

/// A place among the connections of unknowns, until it is dropped.
pub struct PendingSlot {
    admission: Arc<Admission>,
    number: u64,
    source: Source,
}

impl PendingSlot {
    /// Its first message was good.
    pub fn begin(&self) {
        if let Some(guest) = self.admission.state().guest(self.number) {
            guest.has_begun = true;
        }
    }

    /// It is a peer: it takes a seat, if there is one, and others may come from where it came from.
    pub fn seat(self, peer: PublicKey) -> std::result::Result<Seat, PendingSlot> {
        let admission = Arc::clone(&self.admission);
        let mut state = admission.state();
        state.sources.remember_peer(self.source, Instant::now());
        let of_peer = state.by_peer.get(&peer).copied().unwrap_or(0);
        if state.seats >= admission.limits.seats || of_peer >= MAX_PER_PEER {
            admission.count(Cause::Full);
            return Err(self);
        }
        state.seats += 1;
        state.by_peer.insert(peer, of_peer + 1);
        drop(state);
        Ok(Seat { admission, peer })
    }

    /// Its handshake failed. A connection that was lost may have been a friend's, and is held to the rate alone; so is one
    /// from where a peer has come before, since it may be that one's neighbour who fails.
    pub fn fail(self, error: &Error) {
        let mut state = self.admission.state();
        let Some(guest) = state.guest(self.number) else {
            // It was put out, and counted then.
            return;
        };
        let is_friendly = guest.is_friendly;
        self.admission.count(Cause::Handshake);
        if !is_friendly && !matches!(error, Error::Lost { .. }) {
            let now = Instant::now();
            state.sources.standing(self.source, now).penalize(now);
        }
    }

    /// It proved a key that is no peer's, or of one who is blocked. It keeps its place while it is told.
    pub fn turn_away(&self, is_blocked: bool) {
        self.admission.count(Cause::Stranger);
        if is_blocked {
            self.admission.state().sources.forget_peer(&self.source);
        }
    }
}

impl Drop for PendingSlot {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        match state.guests.iter().position(|guest| guest.number == self.number) {
            Some(index) => drop(state.guests.remove(index)),
            None => state.leaving -= 1,
        }
    }
}
