//! How often addresses are dialled that only the peer has named: few times, because they may be a third party's
//! (egoat-protocol(7), Addresses).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::store::peers::Place;
use crate::wire::address::Address;

/// At most so many tries of one address ...
const TRIES: u8 = 8;
/// ... within this time.
const WINDOW: Duration = Duration::from_secs(3600);
/// Such addresses of one peer that are dialled at a time.
const AT_A_TIME: usize = 2;

struct Tried {
    since: Instant,
    count: u8,
    last: Instant,
}

/// The tries of the last hour, for all threads of a process.
#[derive(Default)]
pub struct Tries(Mutex<HashMap<(PublicKey, Address), Tried>>);

impl Tries {
    fn lock(&self) -> MutexGuard<'_, HashMap<(PublicKey, Address), Tried>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Leaves out those of a peer's places that may not be dialled now, and counts a try of each that stays. Of those that only
    /// the peer has named, the ones whose last try is the longest ago stay.
    pub fn choose(&self, peer: PublicKey, places: &mut Vec<Place>, now: Instant) {
        let mut tried = self.lock();
        tried.retain(|_, tried| now.saturating_duration_since(tried.since) < WINDOW);
        let last =
            |place: &Place| tried.get(&(peer, place.address.clone())).map(|tried| (tried.last, tried.count));
        let mut hearsay: Vec<_> = places
            .iter()
            .filter(|place| place.is_hearsay())
            .map(|place| (last(place), place.address.clone()))
            .collect();
        hearsay.retain(|(last, _)| last.is_none_or(|(_, count)| count < TRIES));
        hearsay.sort_by_key(|(last, _)| last.map(|(last, _)| last));
        hearsay.truncate(AT_A_TIME);
        for (_, address) in &hearsay {
            let tried =
                tried.entry((peer, address.clone())).or_insert(Tried { since: now, count: 0, last: now });
            (tried.count, tried.last) = (tried.count + 1, now);
        }
        places.retain(|place| {
            !place.is_hearsay() || hearsay.iter().any(|(_, chosen)| *chosen == place.address)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;
    use crate::store::peers::Peer;

    fn places(line: &str) -> Vec<Place> {
        let key = Seed::from_bytes([1; 32]).static_keys().public();
        Peer::parse(&format!("bob {key} {line}")).expect("a line").places()
    }

    /// The addresses that are dialled `times` one after the other.
    fn dialled(tries: &Tries, line: &str, times: usize, now: Instant) -> Vec<Vec<String>> {
        let key = Seed::from_bytes([1; 32]).static_keys().public();
        let once = || {
            let mut places = places(line);
            tries.choose(key, &mut places, now);
            places.iter().map(|place| place.address.to_string()).collect()
        };
        (0..times).map(|_| once()).collect()
    }

    #[test]
    fn what_the_peer_names_is_dialled_two_at_a_time_and_eight_times_an_hour() {
        let (tries, now) = (Tries::default(), Instant::now());
        let line = "u:1 told=192.0.2.1:1024 told=192.0.2.2:1024 told=192.0.2.3:1024";
        let first = dialled(&tries, line, 100, now);
        assert_eq!(first[0], ["u:1", "192.0.2.1:1024", "192.0.2.2:1024"]);
        for told in ["192.0.2.1:1024", "192.0.2.2:1024", "192.0.2.3:1024"] {
            assert_eq!(first.iter().flatten().filter(|dialled| *dialled == told).count(), 8, "{told}");
        }
        assert!(first.iter().all(|once| once[0] == "u:1" && once.len() <= 3));
        assert_eq!(dialled(&tries, line, 1, now + WINDOW)[0].len(), 3, "an hour later it begins anew");
    }

    #[test]
    fn an_address_that_has_worked_is_not_counted() {
        let line = "- told=192.0.2.1:1024 worked=192.0.2.1:1024@2999-01-01";
        assert!(dialled(&Tries::default(), line, 50, Instant::now()).iter().all(|once| once.len() == 1));
    }
}
