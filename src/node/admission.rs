//! Who may take up a thread: caps on all accepted connections, and on those whose handshake is not done, in all and per
//! address, with early drops at random in between, so that a flood cannot keep friends out (DESIGN section 5).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::crypto::random_array;

/// Accepted connections in all, if the system lets a process have files enough.
const MOST_SEATS: usize = 1024;
/// Connections that are not yet authenticated, in all.
const MOST: usize = 64;
/// Of one IPv4 address or IPv6 /64.
const MOST_PER_SOURCE: usize = 4;
/// Above this many, a newcomer is dropped with a chance that rises to one at [`MOST`].
const EARLY: usize = 16;

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

#[derive(Default)]
struct Pending {
    all: usize,
    by_source: HashMap<Source, usize>,
}

/// The doorman.
pub struct Admission {
    pending: Mutex<Pending>,
    seats: AtomicUsize,
    most_seats: usize,
}

impl Default for Admission {
    /// Half of the files that this process may open are left for dialling, for logs and for received files.
    fn default() -> Admission {
        let most_seats = MOST_SEATS.min(descriptor_limit().unwrap_or(256) / 2);
        Admission { pending: Mutex::default(), seats: AtomicUsize::new(0), most_seats }
    }
}

/// The soft limit on open files, where the system tells it in /proc.
fn descriptor_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

impl Admission {
    /// Lets a connection from `address` begin its handshake; `None` turns it away.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Ticket> {
        let seat = self.seat()?;
        let source = Source::of(address);
        let mut pending = self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let from_source = pending.by_source.get(&source).copied().unwrap_or(0);
        if from_source >= MOST_PER_SOURCE || is_early_drop(pending.all, random_array::<1>()[0]) {
            return None;
        }
        pending.all += 1;
        pending.by_source.insert(source, from_source + 1);
        Some(Ticket { _pending: PendingPlace { admission: Arc::clone(self), source }, seat })
    }

    fn seat(self: &Arc<Self>) -> Option<Seat> {
        let taken = self.seats.fetch_add(1, Ordering::Relaxed);
        // Dropped, and so given back, when it is one too many.
        let seat = Seat(Arc::clone(self));
        (taken < self.most_seats).then_some(seat)
    }
}

/// Whether the next connection is dropped while `all` are pending; `dice` is uniform.
fn is_early_drop(all: usize, dice: u8) -> bool {
    let over = all.saturating_sub(EARLY) * 256;
    usize::from(dice) < over / (MOST - EARLY)
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
    _pending: PendingPlace,
    seat: Seat,
}

impl Ticket {
    /// It is known by now: it keeps its seat, and is no longer counted among those that are not.
    pub fn into_seat(self) -> Seat {
        self.seat
    }
}

/// A place among the connections of unknowns, until it is dropped.
struct PendingPlace {
    admission: Arc<Admission>,
    source: Source,
}

impl Drop for PendingPlace {
    fn drop(&mut self) {
        let mut pending = self.admission.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        pending.all -= 1;
        if let Some(count) = pending.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
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

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = Arc::new(Admission::default());
        let tickets: Vec<_> = (0..MOST_PER_SOURCE).filter_map(|_| admission.admit(ip("10.0.0.1"))).collect();
        assert_eq!(tickets.len(), MOST_PER_SOURCE);
        assert!(admission.admit(ip("10.0.0.1")).is_none());
        assert!(admission.admit(ip("::ffff:10.0.0.1")).is_none(), "the mapped form is the same address");
        assert!(admission.admit(ip("10.0.0.2")).is_some());
        drop(tickets);
        assert!(admission.admit(ip("10.0.0.1")).is_some());
        assert!(admission.pending.lock().expect("lock").by_source.is_empty());
        assert_eq!(admission.seats.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn those_who_are_known_keep_a_seat_until_they_leave() {
        let admission = Arc::new(Admission { most_seats: 2, ..Admission::default() });
        let seats: Vec<Seat> =
            (0..2).filter_map(|_| admission.admit(ip("10.0.0.1"))).map(Ticket::into_seat).collect();
        assert_eq!(seats.len(), 2);
        assert_eq!(admission.pending.lock().expect("lock").all, 0);
        assert!(admission.admit(ip("10.0.0.2")).is_none(), "all seats are taken");
        drop(seats);
        assert!(admission.admit(ip("10.0.0.2")).is_some());
    }

    #[test]
    fn one_ipv6_customer_is_one_source() {
        let admission = Arc::new(Admission::default());
        let tickets: Vec<_> =
            (0..8).filter_map(|host| admission.admit(ip(&format!("2001:db8::{host}")))).collect();
        assert_eq!(tickets.len(), MOST_PER_SOURCE);
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn drops_begin_above_the_early_mark_and_are_certain_at_the_cap() {
        assert!((0..=255).all(|dice| !is_early_drop(EARLY, dice)));
        assert!((0..=255).all(|dice| is_early_drop(MOST, dice)));
        let half = (0..=255).filter(|dice| is_early_drop((EARLY + MOST) / 2, *dice)).count();
        assert_eq!(half, 128);
    }
}
