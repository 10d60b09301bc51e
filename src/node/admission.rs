//! Who may take up a thread: caps on all accepted connections, and on those whose handshake is not done, in all and per
//! address, with early drops at random in between; and a rate for each address, with penalties for handshakes that fail.
//! So a flood cannot keep friends out (DESIGN section 5). It leaves out who is a friend.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::random_array;
use crate::error::Error;

/// Accepted connections in all, if the system lets a process have files enough.
const MOST_SEATS: usize = 1024;
/// Connections that are not yet authenticated, in all.
pub const MOST_PENDING: usize = 64;
/// Of one IPv4 address or IPv6 /64.
const MOST_PER_SOURCE: usize = 4;
/// One newcomer in so many is let in before any is dropped: above a quarter of the most pending, a newcomer is dropped
/// with a chance that rises to one at all of them.
const EARLY_PART: usize = 4;
/// Handshakes of a source at once, and then in a second.
const BURST: f64 = 10.0;
const RATE: f64 = 2.0;
/// A handshake that fails keeps its source out for this long, once that has added up to so much, but no longer than that.
const PENALTY: Duration = Duration::from_secs(5);
const ENFORCED: Duration = Duration::from_secs(15);
const LONGEST_PENALTY: Duration = Duration::from_secs(600);
/// Sources that are remembered; what comes from more is held to the caps alone.
const MOST_SOURCES: usize = 16 << 10;

/// One household: an IPv4 address, or the /64 that one IPv6 customer has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Source {
    fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(v4) => Source::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Source::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// What is remembered of a source.
struct Standing {
    pending: usize,
    /// Handshakes that it may begin at `counted`.
    tokens: f64,
    counted: Instant,
    /// When its penalties are over.
    penalty: Option<Instant>,
    /// They added up to enough to be enforced.
    barred: bool,
}

impl Standing {
    fn new(now: Instant) -> Standing {
        Standing { pending: 0, tokens: BURST, counted: now, penalty: None, barred: false }
    }

    fn catch_up(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.counted = now;
        if self.penalty.is_some_and(|end| end <= now) {
            self.penalty = None;
            self.barred = false;
        }
    }

    fn punish(&mut self, now: Instant) {
        let end = self.penalty.map_or(now, |end| end.max(now)) + PENALTY;
        self.penalty = Some(end.min(now + LONGEST_PENALTY));
        // Those that came within a second count as if they came at once.
        self.barred |= end + Duration::from_secs(1) > now + ENFORCED;
    }

    /// As good as one that was never seen.
    fn is_blank(&self) -> bool {
        self.pending == 0 && self.tokens >= BURST && self.penalty.is_none()
    }
}

/// Why a connection was turned away, or came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// All seats are taken.
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

/// The limits that the user may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub seats: usize,
    /// Connections that are not yet authenticated.
    pub pending: usize,
}

impl Default for Limits {
    /// Half of the files that this process may open are left for dialling, for logs and for received files.
    fn default() -> Limits {
        let seats = MOST_SEATS.min(descriptor_limit().unwrap_or(256) / 2);
        Limits { seats, pending: MOST_PENDING.min(seats.div_ceil(2)) }
    }
}

/// The soft limit on open files, where the system tells it in /proc.
fn descriptor_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[derive(Default)]
struct Pending {
    all: usize,
    by_source: HashMap<Source, Standing>,
}

/// The doorman.
pub struct Admission {
    limits: Limits,
    pending: Mutex<Pending>,
    seats: AtomicUsize,
    refused: [AtomicU64; 6],
}

impl Admission {
    /// With these limits.
    pub fn new(limits: Limits) -> Admission {
        let pending = Mutex::default();
        Admission { limits, pending, seats: AtomicUsize::new(0), refused: Default::default() }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Lets a connection from `address` begin its handshake; `None` turns it away.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Ticket> {
        self.admit_at(address, Instant::now())
    }

    fn admit_at(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Ticket> {
        let source = Source::of(address);
        let admitted = self.seat().ok_or(Cause::Full).and_then(|seat| {
            self.enter(source, now)?;
            Ok(Ticket { pending: PendingPlace { admission: Arc::clone(self), source }, seat })
        });
        admitted.map_err(|cause| self.count(cause)).ok()
    }

    /// Counts a newcomer among the pending.
    fn enter(&self, source: Source, now: Instant) -> Result<(), Cause> {
        let mut pending = self.pending();
        let is_crowded = is_early_drop(pending.all, self.limits.pending, random_array::<1>()[0]);
        if pending.by_source.len() >= MOST_SOURCES {
            pending.forget_blank(now);
        }
        let standing = pending.by_source.entry(source).or_insert_with(|| Standing::new(now));
        standing.catch_up(now);
        if standing.barred {
            return Err(Cause::Penalty);
        }
        if standing.pending >= MOST_PER_SOURCE || is_crowded {
            return Err(Cause::Crowd);
        }
        if standing.tokens < 1.0 {
            return Err(Cause::Rate);
        }
        standing.tokens -= 1.0;
        standing.pending += 1;
        pending.all += 1;
        Ok(())
    }

    fn seat(self: &Arc<Self>) -> Option<Seat> {
        let taken = self.seats.fetch_add(1, Ordering::Relaxed);
        // Dropped, and so given back, when it is one too many.
        let seat = Seat(Arc::clone(self));
        (taken < self.limits.seats).then_some(seat)
    }

    /// Counts one that was turned away, or came to nothing.
    pub fn count(&self, cause: Cause) {
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
}

impl Pending {
    /// Makes room for a new source. If all are of interest, those that are not pending go: then the caps alone hold.
    fn forget_blank(&mut self, now: Instant) {
        self.by_source.retain(|_, standing| {
            standing.catch_up(now);
            !standing.is_blank()
        });
        if self.by_source.len() >= MOST_SOURCES {
            self.by_source.retain(|_, standing| standing.pending > 0);
        }
    }
}

/// Whether the next connection is dropped while `all` of at most `most` are pending; `dice` is uniform.
fn is_early_drop(all: usize, most: usize, dice: u8) -> bool {
    let early = most / EARLY_PART;
    let over = all.saturating_sub(early) * 256;
    all >= most || usize::from(dice) < over / (most - early).max(1)
}

/// A place among all connections, until it is dropped.
pub struct Seat(Arc<Admission>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection of somebody unknown.
pub struct Ticket {
    pending: PendingPlace,
    seat: Seat,
}

impl Ticket {
    /// It is known by now: it keeps its seat, is no longer counted among those that are not, and its handshake counts
    /// for nothing.
    pub fn into_seat(self) -> Seat {
        self.pending.standing(|standing| standing.tokens = (standing.tokens + 1.0).min(BURST));
        self.seat
    }

    /// Its handshake failed. A connection that was lost may have been a friend's, and is held to the rate alone.
    pub fn fail(self, error: &Error) {
        self.pending.admission.count(Cause::Handshake);
        if !matches!(error, Error::Lost { .. }) {
            self.pending.standing(|standing| standing.punish(Instant::now()));
        }
    }

    /// It proved a key that is no peer's, or of one who is blocked.
    pub fn turn_away(self) {
        self.pending.admission.count(Cause::Stranger);
    }
}

/// A place among the connections of unknowns, until it is dropped.
struct PendingPlace {
    admission: Arc<Admission>,
    source: Source,
}

impl PendingPlace {
    fn standing(&self, change: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.admission.pending().by_source.get_mut(&self.source) {
            change(standing);
        }
    }
}

impl Drop for PendingPlace {
    fn drop(&mut self) {
        let mut pending = self.admission.pending();
        pending.all -= 1;
        if let Some(standing) = pending.by_source.get_mut(&self.source) {
            standing.pending -= 1;
            if standing.is_blank() {
                pending.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("literal")
    }

    fn admission() -> Arc<Admission> {
        Arc::new(Admission::new(Limits { seats: 100, pending: MOST_PENDING }))
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = admission();
        let tickets: Vec<_> = (0..MOST_PER_SOURCE).filter_map(|_| admission.admit(ip("10.0.0.1"))).collect();
        assert_eq!(tickets.len(), MOST_PER_SOURCE);
        assert!(admission.admit(ip("10.0.0.1")).is_none());
        assert!(admission.admit(ip("::ffff:10.0.0.1")).is_none(), "the mapped form is the same address");
        assert!(admission.admit(ip("10.0.0.2")).is_some());
        drop(tickets);
        assert!(admission.admit(ip("10.0.0.1")).is_some());
        assert_eq!(admission.pending().all, 0);
        assert_eq!(admission.seats.load(Ordering::Relaxed), 0);
        assert_eq!(admission.take_refusals().of(Cause::Crowd), 2);
        assert_eq!(admission.take_refusals().total(), 0);
    }

    #[test]
    fn those_who_are_known_keep_a_seat_until_they_leave() {
        let admission = Arc::new(Admission::new(Limits { seats: 2, pending: MOST_PENDING }));
        let seats: Vec<Seat> =
            (0..2).filter_map(|_| admission.admit(ip("10.0.0.1"))).map(Ticket::into_seat).collect();
        assert_eq!(seats.len(), 2);
        assert_eq!(admission.pending().all, 0);
        assert!(admission.pending().by_source.is_empty(), "nothing is remembered of friends");
        assert!(admission.admit(ip("10.0.0.2")).is_none(), "all seats are taken");
        drop(seats);
        assert!(admission.admit(ip("10.0.0.2")).is_some());
        assert_eq!(admission.take_refusals().of(Cause::Full), 1);
    }

    #[test]
    fn one_ipv6_customer_is_one_source() {
        let admission = admission();
        let tickets: Vec<_> =
            (0..8).filter_map(|host| admission.admit(ip(&format!("2001:db8::{host}")))).collect();
        assert_eq!(tickets.len(), MOST_PER_SOURCE);
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn an_address_has_a_burst_and_then_a_rate() {
        let (admission, start) = (admission(), Instant::now());
        let taken = |at: f64, tries: usize| {
            let now = start + Duration::from_secs_f64(at);
            (0..tries).filter(|_| admission.admit_at(ip("10.0.0.1"), now).is_some()).count()
        };
        assert_eq!(taken(0.0, 30), 10);
        assert_eq!(taken(0.4, 5), 0);
        assert_eq!(taken(1.0, 5), 2);
        assert_eq!(taken(61.0, 30), 10);
        assert!(admission.admit_at(ip("10.0.0.2"), start).is_some());
    }

    #[test]
    fn the_handshakes_of_friends_do_not_count() {
        let admission = admission();
        for _ in 0..1000 {
            drop(admission.admit(ip("10.0.0.1")).expect("welcome").into_seat());
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
        let try_at = |at: u64| admission.admit_at(ip("10.0.0.1"), start + Duration::from_secs(at));
        for _ in 0..2 {
            try_at(0).expect("two mistakes are nothing").fail(&bad());
        }
        try_at(0).expect("lines are cut").fail(&lost());
        try_at(0).expect("the third is the last one").fail(&bad());
        assert!(try_at(1).is_none() && try_at(14).is_none());
        assert_eq!(admission.take_refusals().of(Cause::Penalty), 2);
        assert!(try_at(17).is_some(), "three times five seconds are over");
    }

    #[test]
    fn a_penalty_has_an_end() {
        let now = Instant::now();
        let mut standing = Standing::new(now);
        for _ in 0..1000 {
            standing.punish(now);
        }
        standing.catch_up(now + LONGEST_PENALTY - Duration::from_secs(1));
        assert!(standing.barred);
        standing.catch_up(now + LONGEST_PENALTY);
        assert!(!standing.barred);
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let admission = admission();
        let now = Instant::now();
        for number in 0..3 * MOST_SOURCES as u32 {
            let ticket = admission.admit_at(IpAddr::from(number.to_be_bytes()), now);
            drop(ticket.expect("each is a new address"));
        }
        assert!(admission.pending().by_source.len() <= MOST_SOURCES);
    }

    #[test]
    fn drops_begin_above_the_early_mark_and_are_certain_at_the_cap() {
        let early = MOST_PENDING / EARLY_PART;
        assert!((0..=255).all(|dice| !is_early_drop(early, MOST_PENDING, dice)));
        assert!((0..=255).all(|dice| is_early_drop(MOST_PENDING, MOST_PENDING, dice)));
        let half = |dice: &u8| is_early_drop((early + MOST_PENDING) / 2, MOST_PENDING, *dice);
        assert_eq!((0..=255).filter(half).count(), 128);
        assert!(is_early_drop(1, 1, 255) && !is_early_drop(0, 1, 0));
    }
}
