//! Who may take up a thread, and processor time: caps on the connections whose handshake is not done, in all and per
//! address; a rate for each address, with penalties for handshakes that fail; a rate of first messages that are answered;
//! and caps on the connections of peers. So a flood cannot keep friends out, nor the processor busy.
//!
//! When all places are taken, a newcomer gets that of the connection that has waited longest without a good first message:
//! those of a flood that says nothing are worth nothing so. Strangers can have as many addresses as they like, and can say
//! something as well, so a quarter of the places is kept for addresses from which a peer has come before. These have no
//! penalties, since strangers may share them.
//!
//! It leaves out who is a friend.

mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::crypto::noise::DH_LEN;
use crate::error::Error;
use crate::net::transport::{Closer, Stream};
use crate::node::allowance::{Allowance, Rate};
use crate::node::door::admission::source::{Source, SourceTable};
use crate::node::door::limits::Limits;
use crate::node::door::recent::RecentKeys;

/// Connections of one IPv4 address or IPv6 /64 that are not yet authenticated, if no peer has come from there.
const MAX_PER_SOURCE: usize = 4;
/// One place in so many is kept for addresses of peers.
const RESERVED_PART: usize = 4;
/// But that may be too few for anybody, if there are not many.
const FEWEST_RESERVED: usize = 4;
/// Connections of one peer: 4 for messages, 4 transfers and 8 lanes.
const MAX_PER_PEER: usize = 16;
/// A dialler's first message arrives right after its connection. One that takes longer gives way to newcomers, and so does
/// one that waits to hear that it is not welcome.
const FIRST_GRACE_DELAY: Duration = Duration::from_millis(20);
/// Its last message arrives a round trip later. One that takes longer gives way if all others have begun as well.
const GRACE_DELAY: Duration = Duration::from_millis(100);
/// Requests of strangers that are noted on disk.
const NOTES: Rate = Rate { at_once: 16, interval: Duration::from_secs(4) };
/// Strangers who are made peers unasked.
const ADDITIONS: Rate = Rate { at_once: 8, interval: Duration::from_secs(20) };
/// First messages of strangers that are looked at, good or bad: that costs a key agreement, 0.06 ms of a processor, measured
/// in 2026.
const STRANGE_LOOKS: Rate = Rate { at_once: 256, interval: Duration::from_millis(1) };
/// The same for addresses of peers. A flood from a friend's own address competes with the friend for these: two processors
/// send about 10,000 first messages a second, so the friend gets most of its tries. Costs half a processor at most.
const FRIENDLY_LOOKS: Rate = Rate { at_once: 256, interval: Duration::from_micros(125) };
/// First messages of strangers that are answered because they are good. Each costs 0.4 ms of a processor.
const STRANGE_ANSWERS: Rate = Rate { at_once: 128, interval: Duration::from_millis(10) };
/// First messages from addresses of peers that are answered, if no peer proves itself after them.
const FRIENDLY_ANSWERS: Rate = Rate { at_once: 256, interval: Duration::from_millis(2) };

/// How long a first message waits for its answer where others have used up the rate: so friends get their turn among
/// neighbours who come again as soon as they are refused. All 16 places for addresses of peers wait 48 ms at most.
const PATIENCE: Duration = Duration::from_millis(50);

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

/// How far a connection is: the first to go stand first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It is not welcome, and is being told.
    Refused,
    /// It has sent no good first message yet.
    Silent,
    /// Its first message is good, and waits for its turn.
    Waiting,
    /// Its first message was good: it knows our key, at least.
    Begun,
}

impl Stage {
    /// How long a connection may be there before it gives way to a newcomer.
    fn grace(self) -> Duration {
        match self {
            Stage::Refused | Stage::Silent => FIRST_GRACE_DELAY,
            Stage::Waiting | Stage::Begun => GRACE_DELAY,
        }
    }
}

/// A connection that is not yet authenticated.
struct Guest {
    number: u64,
    source: Source,
    /// It has one of the places for addresses of peers.
    is_friendly: bool,
    since: Instant,
    stage: Stage,
    /// Its first message took one of the answers.
    is_answered: bool,
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
    /// Guests that were put out, and whose threads have not ended yet: strangers, and those from addresses of peers.
    leaving: [usize; 2],
    sources: SourceTable,
    answered: RecentKeys,
    /// First messages that were looked at: of strangers, and of addresses of peers.
    looks: [Allowance; 2],
    /// Answers to first messages: to strangers, and to addresses of peers.
    answers: [Allowance; 2],
    shortage: Option<Shortage>,
    seats: usize,
    by_peer: HashMap<PublicKey, usize>,
    notes: Allowance,
    additions: Allowance,
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
            Ok((number, is_friendly)) => {
                Some(PendingSlot { admission: Arc::clone(self), number, source, is_friendly })
            }
            Err(cause) => {
                self.count(cause);
                None
            }
        }
    }

    /// Counts a newcomer among the guests; gives its number, and whether it has a place for addresses of peers.
    fn enter(&self, source: Source, closer: Option<Closer>, now: Instant) -> Result<(u64, bool), Cause> {
        let mut state = self.state();
        let reserved = reserved(self.limits.pending);
        let is_friendly = reserved > 0 && state.sources.is_friendly(&source);
        if !is_friendly {
            state.check_stranger(source, now)?;
        }
        let limit = if is_friendly { reserved } else { self.limits.pending - reserved };
        let gone = state.make_room(is_friendly, limit, now)?;
        self.refused[Cause::Crowd as usize].fetch_add(gone, Ordering::Relaxed);
        state.last_number += 1;
        let number = state.last_number;
        let stage = Stage::Silent;
        state.guests.push(Guest {
            number,
            source,
            is_friendly,
            since: now,
            stage,
            is_answered: false,
            closer,
        });
        Ok((number, is_friendly))
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
        state.shed(true, friendly, now);
    }

    /// Whether one more stranger may be noted on disk.
    pub fn may_note(&self) -> bool {
        self.state().notes.take(NOTES, Instant::now())
    }

    /// Peers are expected to come from these addresses.
    pub fn await_peers(&self, addresses: impl Iterator<Item = (IpAddr, PublicKey)>) {
        let now = Instant::now();
        let mut state = self.state();
        addresses.for_each(|(address, peer)| state.sources.await_peer(Source::of(address), peer, now));
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

    /// Whether a stranger may come from there, if there is a place.
    fn check_stranger(&mut self, source: Source, now: Instant) -> Result<(), Cause> {
        let of_source = self.guests.iter().filter(|guest| guest.source == source).count();
        let standing = self.sources.standing(source, now);
        if standing.is_barred() {
            Err(Cause::Penalty)
        } else if of_source >= MAX_PER_SOURCE {
            Err(Cause::Crowd)
        } else if !standing.take_handshake(now) {
            Err(Cause::Rate)
        } else {
            Ok(())
        }
    }

    /// Makes room in the places for strangers or for addresses of peers, of which there are so many; says how many had to go.
    fn make_room(&mut self, is_friendly: bool, limit: usize, now: Instant) -> Result<u64, Cause> {
        let places = self.places(limit, is_friendly, now);
        // Threads that were told to end take up files and memory until they have.
        let is_slow = self.leaving[usize::from(is_friendly)] >= limit;
        let gone = if is_slow { 0 } else { self.shed(is_friendly, places - 1, now) };
        if self.here(is_friendly) < places { Ok(gone) } else { Err(Cause::Crowd) }
    }

    /// Puts those out who keep newcomers waiting, while there are more than so many; says how many there were.
    fn shed(&mut self, is_friendly: bool, most: usize, now: Instant) -> u64 {
        let mut gone = 0;
        while self.here(is_friendly) > most {
            // Where strangers share the address of one friend, the others are to notice nothing.
            let guests = || self.guests.iter().filter(|guest| guest.is_friendly == is_friendly);
            let share = |of: &Guest| guests().filter(|guest| guest.source == of.source).count();
            let largest = guests().map(share).max();
            let longest = self.longest(|guest| {
                guest.is_friendly == is_friendly
                    && now.saturating_duration_since(guest.since) > guest.stage.grace()
                    && Some(share(guest)) == largest
            });
            let Some(longest) = longest else { break };
            self.put_out(longest);
            gone += 1;
        }
        gone
    }

    /// Of some guests the one that has waited longest, of those that are the first to go.
    fn longest(&self, of: impl Fn(&Guest) -> bool) -> Option<usize> {
        let guests = self.guests.iter().enumerate().filter(|(_, guest)| of(guest));
        guests.min_by_key(|(_, guest)| guest.stage).map(|(index, _)| index)
    }

    /// Its thread sees the end of the stream, and ends.
    fn put_out(&mut self, index: usize) {
        let guest = self.guests.remove(index);
        self.leaving[usize::from(guest.is_friendly)] += 1;
        guest.closer.iter().for_each(Closer::close);
    }

    /// Takes one of the answers that its source gets, and one of those for all such sources; says how long to wait for both.
    fn reserve_answer(&mut self, source: &Source, is_friendly: bool, now: Instant) -> Option<Duration> {
        let all = &mut self.answers[usize::from(is_friendly)];
        if !is_friendly {
            return all.reserve(STRANGE_ANSWERS, now, PATIENCE);
        }
        let of_source = self.sources.reserve_answer(source, now, PATIENCE)?;
        let of_all = all.reserve(FRIENDLY_ANSWERS, now, PATIENCE);
        if of_all.is_none() {
            self.sources.give_back_answer(source);
        }
        of_all.map(|wait| wait.max(of_source))
    }

    /// Gives it back.
    fn give_back_answer(&mut self, source: &Source, is_friendly: bool) {
        let all = &mut self.answers[usize::from(is_friendly)];
        if is_friendly {
            self.sources.give_back_answer(source);
            all.give_back(FRIENDLY_ANSWERS);
        } else {
            all.give_back(STRANGE_ANSWERS);
        }
    }

    fn guest(&mut self, number: u64) -> Option<&mut Guest> {
        self.guests.iter_mut().find(|guest| guest.number == number)
    }
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
    is_friendly: bool,
}

impl PendingSlot {
    /// Whether its first message, with this ephemeral key, is to be looked at, which costs a key agreement. One that was
    /// answered before is a recording; and looks have a rate.
    pub fn may_look(&self, ephemeral: &[u8; DH_LEN]) -> bool {
        let mut state = self.admission.state();
        let Some(index) = state.guests.iter().position(|guest| guest.number == self.number) else {
            return false;
        };
        if state.answered.contains(ephemeral) {
            return false;
        }
        let rate = if self.is_friendly { FRIENDLY_LOOKS } else { STRANGE_LOOKS };
        let may_look = state.looks[usize::from(self.is_friendly)].take(rate, Instant::now());
        if !may_look {
            state.put_out(index);
            self.admission.count(Cause::Rate);
        }
        may_look
    }

    /// Whether its first message, which is good, is to be answered, which costs two more key agreements and those of ML-KEM.
    /// Answers have a rate, for which it waits here a little. Whoever is put out meanwhile gets none.
    pub fn may_answer(&self, ephemeral: &[u8; DH_LEN]) -> bool {
        let Some(wait) = self.reserve_answer_at(ephemeral, Instant::now()) else { return false };
        thread::sleep(wait);
        self.begin();
        wait.is_zero() || self.admission.state().guest(self.number).is_some()
    }

    /// How long it has to wait for its answer.
    fn reserve_answer_at(&self, ephemeral: &[u8; DH_LEN], now: Instant) -> Option<Duration> {
        let mut state = self.admission.state();
        let index = state.guests.iter().position(|guest| guest.number == self.number)?;
        // The same may have come twice at once.
        if state.answered.contains(ephemeral) {
            return None;
        }
        let wait = state.reserve_answer(&self.source, self.is_friendly, now);
        if wait.is_some() {
            state.answered.note(ephemeral);
            state.guests[index].is_answered = true;
            state.guests[index].stage = Stage::Waiting;
        } else {
            state.put_out(index);
            self.admission.count(Cause::Rate);
        }
        wait
    }

    /// Whether one more stranger, who comes from there, may be made a peer unasked.
    pub fn may_add(&self) -> bool {
        let (mut state, now) = (self.admission.state(), Instant::now());
        // What one address has too many is not taken from those of the others, nor the other way round.
        let mut additions = state.additions;
        let may_add = additions.take(ADDITIONS, now) && state.sources.take_addition(self.source, now);
        if may_add {
            state.additions = additions;
        }
        may_add
    }

    /// Its first message was good.
    pub fn begin(&self) {
        self.set_stage(Stage::Begun);
    }

    fn set_stage(&self, stage: Stage) {
        if let Some(guest) = self.admission.state().guest(self.number) {
            guest.stage = stage;
        }
    }

    /// It is a peer: it takes a seat, if there is one, and others may come from where it came from.
    pub fn seat(self, peer: PublicKey) -> std::result::Result<Seat, PendingSlot> {
        let admission = Arc::clone(&self.admission);
        let mut state = admission.state();
        if state.guest(self.number).is_some_and(|guest| guest.is_answered) {
            state.give_back_answer(&self.source, self.is_friendly);
        }
        state.sources.remember_peer(self.source, peer, Instant::now());
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
        if state.guest(self.number).is_none() {
            // It was put out, and counted then.
            return;
        }
        self.admission.count(Cause::Handshake);
        if !self.is_friendly && !matches!(error, Error::Lost { .. }) {
            let now = Instant::now();
            state.sources.standing(self.source, now).penalize(now);
        }
    }

    /// It proved a key that is no peer's, or of one who is blocked. It keeps its place while it is told, unless a newcomer
    /// needs it.
    pub fn turn_away(&self, blocked: Option<&PublicKey>) {
        self.admission.count(Cause::Stranger);
        self.set_stage(Stage::Refused);
        blocked.into_iter().for_each(|peer| self.admission.state().sources.forget_peer(&self.source, peer));
    }
}

impl Drop for PendingSlot {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        match state.guests.iter().position(|guest| guest.number == self.number) {
            Some(index) => drop(state.guests.remove(index)),
            None => state.leaving[usize::from(self.is_friendly)] -= 1,
        }
    }
}
