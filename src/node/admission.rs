//! Who may take up a thread: caps on the connections whose handshake is not done, in all and per address, with early drops
//! at random in between; a rate for each address, with penalties for handshakes that fail; and caps on the connections of
//! peers. So a flood cannot keep friends out (DESIGN section 5).
//!
//! Strangers can have as many addresses as they like, so caps and drops alone would hit friends as well. A quarter of the
//! places is therefore kept for addresses from which a peer has come before. These are held to no rate, since strangers
//! may share them; when their places are taken, those give way who wait longest without a good first message.
//!
//! It leaves out who is a friend.

mod source;

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::crypto::random_array;
use crate::error::Error;
use crate::node::admission::source::{Source, Sources};
use crate::node::limits::Limits;

/// Connections of one IPv4 address or IPv6 /64 that are not yet authenticated, if no peer has come from there.
const MOST_PER_SOURCE: usize = 4;
/// One place in so many is kept for addresses of peers.
const RESERVED_PART: usize = 4;
/// One stranger in so many is let in before any is dropped: above a third of the most strangers, a newcomer is dropped
/// with a chance that rises to one at all of them.
const EARLY_PART: usize = 3;
/// Connections of one peer: 4 for messages, 4 transfers and 8 lanes.
const MOST_PER_PEER: usize = 16;
/// A friend's first message comes right behind its connection, and the last a round trip later. Who takes longer gives
/// way to others from the same places, first those without a first message.
const FIRST_GRACE: Duration = Duration::from_millis(20);
const GRACE: Duration = Duration::from_millis(100);
/// Strangers who can be noted at once, and then another one after each of these.
const NOTES: u32 = 16;
const NOTE: Duration = Duration::from_secs(4);

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
    stream: Option<Arc<TcpStream>>,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    guests: Vec<Guest>,
    last_number: u64,
    /// Guests that were put out, and whose threads have not ended yet.
    leaving: usize,
    sources: Sources,
    /// So few strangers had to do when the system ran short of something, and when that was.
    shortage: Option<(usize, Instant)>,
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

    /// Lets a connection from `address` begin its handshake; `None` turns it away.
    pub fn admit(self: &Arc<Self>, address: IpAddr, stream: &Arc<TcpStream>) -> Option<Ticket> {
        self.admit_at(address, Some(Arc::clone(stream)), Instant::now())
    }

    fn admit_at(
        self: &Arc<Self>,
        address: IpAddr,
        stream: Option<Arc<TcpStream>>,
        now: Instant,
    ) -> Option<Ticket> {
        let source = Source::of(address);
        match self.enter(source, stream, now) {
            Ok(number) => Some(Ticket { admission: Arc::clone(self), number, source }),
            Err(cause) => {
                self.count(cause);
                None
            }
        }
    }

    /// Counts a newcomer among the guests; gives its number.
    fn enter(&self, source: Source, stream: Option<Arc<TcpStream>>, now: Instant) -> Result<u64, Cause> {
        let mut state = self.state();
        let reserved = self.limits.pending / RESERVED_PART;
        let is_friendly = reserved > 0 && state.sources.is_friendly(&source);
        if is_friendly {
            if state.make_room(reserved, now)? {
                self.count(Cause::Crowd);
            }
        } else {
            state.check_stranger(source, self.limits.pending - reserved, now)?;
        }
        state.last_number += 1;
        let number = state.last_number;
        state.guests.push(Guest { number, source, is_friendly, since: now, has_begun: false, stream });
        Ok(number)
    }

    /// The system gives no more threads or files, or no more memory: strangers get fewer places, for as many seconds as
    /// there are fewer, and those who have waited longest go.
    pub fn run_short(&self) {
        self.run_short_at(Instant::now());
    }

    fn run_short_at(&self, now: Instant) {
        self.count(Cause::Full);
        let mut state = self.state();
        let strangers = state.strangers();
        let fewer = (strangers * 3 / 4).max(1);
        state.shortage = Some((fewer, now));
        for _ in fewer..strangers {
            let longest = state.longest(|guest| !guest.is_friendly);
            longest.into_iter().for_each(|index| state.put_out(index));
        }
    }

    /// Whether one more stranger may be noted on disk.
    pub fn may_note(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let noted = state.noted.map_or(now, |end| end.max(now)) + NOTE;
        let may = noted <= now + NOTE * NOTES;
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

impl State {
    fn strangers(&self) -> usize {
        self.guests.iter().filter(|guest| !guest.is_friendly).count()
    }

    /// Whether a stranger may come in, of whom there may be so many.
    fn check_stranger(&mut self, source: Source, most: usize, now: Instant) -> Result<(), Cause> {
        let most = match self.shortage {
            Some((fewer, since)) => {
                most.min(fewer.saturating_add(now.saturating_duration_since(since).as_secs() as usize))
            }
            None => most,
        };
        let strangers = self.strangers();
        let theirs = self.guests.iter().filter(|guest| guest.source == source).count();
        let standing = self.sources.standing(source, now);
        if standing.is_barred() {
            Err(Cause::Penalty)
        } else if theirs >= MOST_PER_SOURCE || is_early_drop(strangers, most, || random_array::<1>()[0]) {
            Err(Cause::Crowd)
        } else if !standing.take_token() {
            Err(Cause::Rate)
        } else {
            Ok(())
        }
    }

    /// Makes room in the places for addresses of peers, of which there are so many; says whether somebody had to go.
    fn make_room(&mut self, places: usize, now: Instant) -> Result<bool, Cause> {
        if self.guests.iter().filter(|guest| guest.is_friendly).count() < places {
            return Ok(false);
        }
        // Where strangers share the address of one friend, the others are to notice nothing.
        let share = |of: &Guest| {
            self.guests.iter().filter(|guest| guest.is_friendly && guest.source == of.source).count()
        };
        let crowded = self.guests.iter().filter(|guest| guest.is_friendly).max_by_key(|guest| share(guest));
        let crowded = crowded.map(|guest| guest.source);
        let longest = self.longest(|guest| {
            let grace = if guest.has_begun { GRACE } else { FIRST_GRACE };
            guest.is_friendly
                && crowded == Some(guest.source)
                && now.saturating_duration_since(guest.since) > grace
        });
        match longest {
            Some(index) if self.leaving < places => {
                self.put_out(index);
                Ok(true)
            }
            _ => Err(Cause::Crowd),
        }
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
        // One that is gone already needs no end.
        let _ = guest.stream.map(|stream| stream.shutdown(Shutdown::Both));
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
pub struct Ticket {
    admission: Arc<Admission>,
    number: u64,
    source: Source,
}

impl Ticket {
    /// Its first message was good.
    pub fn begin(&self) {
        if let Some(guest) = self.admission.state().guest(self.number) {
            guest.has_begun = true;
        }
    }

    /// It is a peer: it takes a seat, if there is one, and others may come from where it came from.
    pub fn seat(self, peer: PublicKey) -> std::result::Result<Seat, Ticket> {
        let admission = Arc::clone(&self.admission);
        let mut state = admission.state();
        state.sources.befriend(self.source, Instant::now());
        let its = state.by_peer.get(&peer).copied().unwrap_or(0);
        if state.seats >= admission.limits.seats || its >= MOST_PER_PEER {
            admission.count(Cause::Full);
            return Err(self);
        }
        state.seats += 1;
        state.by_peer.insert(peer, its + 1);
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
            state.sources.standing(self.source, now).punish(now);
        }
    }

    /// It proved a key that is no peer's, or of one who is blocked. It keeps its place while it is told.
    pub fn turn_away(&self, is_blocked: bool) {
        self.admission.count(Cause::Stranger);
        if is_blocked {
            self.admission.state().sources.end_friendship(&self.source);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        match state.guests.iter().position(|guest| guest.number == self.number) {
            Some(index) => drop(state.guests.remove(index)),
            None => state.leaving -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    const PENDING: usize = 64;
    const RESERVED: usize = PENDING / RESERVED_PART;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("literal")
    }

    fn admission() -> Arc<Admission> {
        Arc::new(Admission::new(Limits { seats: 100, pending: PENDING }))
    }

    fn key() -> PublicKey {
        Seed::generate().static_keys().public()
    }

    impl Admission {
        fn try_at(self: &Arc<Self>, address: &str, at: Instant) -> Option<Ticket> {
            self.admit_at(ip(address), None, at)
        }

        fn try_now(self: &Arc<Self>, address: &str) -> Option<Ticket> {
            self.try_at(address, Instant::now())
        }

        fn guests_and_leaving(&self) -> (usize, usize) {
            let state = self.state();
            (state.guests.len(), state.leaving)
        }

        /// As many as come in at one moment, each from an address of its own.
        fn fill_with_strangers(self: &Arc<Self>, now: Instant) -> Vec<Ticket> {
            (0..10_000_u32)
                .filter_map(|number| self.admit_at(IpAddr::from(number.to_be_bytes()), None, now))
                .collect()
        }
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = admission();
        let tickets: Vec<_> = (0..MOST_PER_SOURCE).filter_map(|_| admission.try_now("10.0.0.1")).collect();
        assert_eq!(tickets.len(), MOST_PER_SOURCE);
        assert!(admission.try_now("10.0.0.1").is_none());
        assert!(admission.try_now("::ffff:10.0.0.1").is_none(), "the mapped form is the same address");
        assert!(admission.try_now("10.0.0.2").is_some());
        drop(tickets);
        assert!(admission.try_now("10.0.0.1").is_some());
        assert!(admission.state().guests.is_empty());
        assert_eq!(admission.take_refusals().of(Cause::Crowd), 2);
        assert_eq!(admission.take_refusals().total(), 0);
    }

    #[test]
    fn peers_have_seats_until_they_leave() {
        let admission = Arc::new(Admission::new(Limits { seats: 2, pending: PENDING }));
        let sit = || admission.try_now("10.0.0.1").expect("a place").seat(key());
        let seats: Vec<Seat> = (0..2).filter_map(|_| sit().ok()).collect();
        assert_eq!(seats.len(), 2);
        assert!(admission.state().guests.is_empty());
        let refused = sit();
        assert!(refused.is_err(), "all seats are taken");
        assert_eq!(admission.state().guests.len(), 1, "its place is kept while it is told");
        drop((seats, refused));
        assert!(sit().is_ok());
        let state = admission.state();
        assert_eq!((state.guests.len(), state.seats, state.by_peer.len()), (0, 0, 0));
        assert_eq!(admission.take_refusals().of(Cause::Full), 1);
    }

    #[test]
    fn one_peer_does_not_take_all_seats() {
        let admission = admission();
        let peer = key();
        let seats: Vec<Seat> = (0..MOST_PER_PEER + 5)
            .filter_map(|_| admission.try_now("10.0.0.1").expect("a place").seat(peer).ok())
            .collect();
        assert_eq!(seats.len(), MOST_PER_PEER);
        assert!(admission.try_now("10.0.0.1").expect("a place").seat(key()).is_ok());
    }

    #[test]
    fn one_ipv6_customer_is_one_source() {
        let admission = admission();
        let tickets: Vec<_> =
            (0..8).filter_map(|host| admission.try_now(&format!("2001:db8::{host}"))).collect();
        assert_eq!(tickets.len(), MOST_PER_SOURCE);
        assert!(admission.try_now("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn an_address_has_a_burst_and_then_a_rate() {
        let (admission, start) = (admission(), Instant::now());
        let taken = |at: f64, tries: usize| {
            let now = start + Duration::from_secs_f64(at);
            (0..tries).filter(|_| admission.try_at("10.0.0.1", now).is_some()).count()
        };
        assert_eq!(taken(0.0, 30), 10);
        assert_eq!(taken(0.4, 5), 0);
        assert_eq!(taken(1.0, 5), 2);
        assert_eq!(taken(61.0, 30), 10);
        assert!(admission.try_at("10.0.0.2", start).is_some());
    }

    #[test]
    fn the_handshakes_of_friends_do_not_count() {
        let admission = admission();
        for _ in 0..1000 {
            drop(admission.try_now("10.0.0.1").expect("welcome").seat(key()));
        }
    }

    fn bad() -> Error {
        Error::Protocol { peer: "a stranger".into(), what: "nonsense".into() }
    }

    fn lost() -> Error {
        Error::Lost { peer: "a stranger".into(), during: "the handshake".into() }
    }

    #[test]
    fn failures_add_up_until_their_source_is_kept_out() {
        let (admission, start) = (admission(), Instant::now());
        let try_at = |at: u64| admission.try_at("10.0.0.1", start + Duration::from_secs(at));
        for _ in 0..2 {
            try_at(0).expect("two mistakes are nothing").fail(&bad());
        }
        try_at(0).expect("lines are cut").fail(&lost());
        try_at(0).expect("the third is the last one").fail(&bad());
        assert!(try_at(1).is_none() && try_at(14).is_none());
        let refusals = admission.take_refusals();
        assert_eq!((refusals.of(Cause::Penalty), refusals.of(Cause::Handshake)), (2, 4));
        assert!(try_at(17).is_some(), "three times five seconds are over");
    }

    #[test]
    fn a_friend_comes_in_whatever_its_neighbours_did() {
        let admission = admission();
        drop(admission.try_now("10.0.0.1").expect("a place").seat(key()));
        for _ in 0..100 {
            admission.try_now("10.0.0.1").expect("never kept out").fail(&bad());
        }
        admission.expect([ip("10.0.0.2")].into_iter());
        for _ in 0..100 {
            admission.try_now("10.0.0.2").expect("never too often").fail(&bad());
        }
        admission.try_now("10.0.0.2").expect("a place").turn_away(true);
        assert!((0..100).filter_map(|_| admission.try_now("10.0.0.2")).count() < 100, "it is blocked now");
    }

    #[test]
    fn strangers_leave_places_for_friends() {
        let admission = admission();
        admission.expect([ip("10.0.0.1")].into_iter());
        let strangers = admission.fill_with_strangers(Instant::now());
        assert_eq!(strangers.len(), PENDING - RESERVED);
        let friends: Vec<_> = (0..RESERVED).filter_map(|_| admission.try_now("10.0.0.1")).collect();
        assert_eq!(friends.len(), RESERVED);
        assert!(admission.try_now("10.0.0.1").is_none(), "nobody has waited long enough to go");
    }

    #[test]
    fn who_keeps_friends_waiting_gives_way() {
        let (admission, start) = (admission(), Instant::now());
        let later = |millis: u64| start + Duration::from_millis(millis);
        admission.expect([ip("10.0.0.1"), ip("10.0.0.2")].into_iter());
        let friend = admission.try_at("10.0.0.2", start).expect("a place");
        let mut tickets: Vec<_> =
            (1..RESERVED as u64).filter_map(|at| admission.try_at("10.0.0.1", later(at))).collect();
        assert_eq!(tickets.len(), RESERVED - 1);
        tickets[0].begin();
        let is_here = |number: u64| admission.state().guest(number).is_some();
        assert!(admission.try_at("10.0.0.2", later(20)).is_none());
        tickets.extend(admission.try_at("10.0.0.2", later(30)));
        // The oldest one has begun, and the next one goes; who has an address alone stays.
        assert!(is_here(tickets[0].number) && !is_here(tickets[1].number) && is_here(friend.number));
        tickets.iter().for_each(Ticket::begin);
        assert!(admission.try_at("10.0.0.1", later(60)).is_none());
        tickets.extend(admission.try_at("10.0.0.1", later(200)));
        assert!(!is_here(tickets[0].number) && is_here(tickets[2].number) && is_here(friend.number));
        assert_eq!(admission.guests_and_leaving(), (RESERVED, 2));
        drop((tickets, friend));
        assert_eq!(admission.guests_and_leaving(), (0, 0));
    }

    #[test]
    fn those_who_were_put_out_are_counted_once() {
        let (admission, start) = (admission(), Instant::now());
        admission.expect([ip("10.0.0.1")].into_iter());
        let old: Vec<_> = (0..RESERVED).filter_map(|_| admission.try_at("10.0.0.1", start)).collect();
        let _new: Vec<_> = (0..RESERVED)
            .filter_map(|_| admission.try_at("10.0.0.1", start + Duration::from_secs(1)))
            .collect();
        old.into_iter().for_each(|ticket| ticket.fail(&lost()));
        let refusals = admission.take_refusals();
        assert_eq!((refusals.of(Cause::Crowd), refusals.of(Cause::Handshake)), (RESERVED as u64, 0));
    }

    #[test]
    fn strangers_get_fewer_places_when_the_system_runs_short() {
        let (admission, now) = (admission(), Instant::now());
        let strangers = admission.fill_with_strangers(now);
        admission.run_short_at(now);
        let left = (PENDING - RESERVED) * 3 / 4;
        assert_eq!(admission.state().guests.len(), left);
        drop(strangers);
        assert_eq!(admission.fill_with_strangers(now).len(), left);
        let later = now + Duration::from_secs(PENDING as u64);
        let again = admission.fill_with_strangers(later);
        assert_eq!(again.len(), PENDING - RESERVED, "it is over by then");
        for _ in 0..50 {
            admission.run_short_at(later);
        }
        assert_eq!(admission.state().guests.len(), 1);
    }

    #[test]
    fn notes_of_strangers_have_a_rate() {
        let admission = admission();
        assert_eq!((0..1000).filter(|_| admission.may_note()).count(), NOTES as usize);
    }

    #[test]
    fn drops_begin_above_the_early_mark_and_are_certain_at_the_cap() {
        let most = PENDING - RESERVED;
        let early = most / EARLY_PART;
        assert_eq!((early, most), (16, 48));
        assert!((0..=255).all(|dice| !is_early_drop(early, most, || dice)));
        assert!((0..=255).all(|dice| is_early_drop(most, most, || dice)));
        let half = |dice: &u8| is_early_drop((early + most) / 2, most, || *dice);
        assert_eq!((0..=255).filter(half).count(), 128);
        assert!(is_early_drop(1, 1, || 255) && !is_early_drop(0, 1, || 0));
    }
}
