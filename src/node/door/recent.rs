//! First messages that were answered of late, so that one that was recorded and sent again costs no key agreement. It leaves
//! out what becomes of the connection.

use std::collections::{HashSet, VecDeque};

use crate::crypto::noise::DH_LEN;

/// How many are known. Replays get no answer, so they push none out; at the highest rate of answers, 600 a second, one is
/// known for 13 s.
const MOST: usize = 8192;

/// The ephemeral keys of first messages, which an honest dialler uses once.
#[derive(Default)]
pub struct RecentKeys {
    oldest_first: VecDeque<u64>,
    known: HashSet<u64>,
}

impl RecentKeys {
    /// Whether a first message with this key was noted.
    pub fn contains(&self, ephemeral: &[u8; DH_LEN]) -> bool {
        self.known.contains(&beginning(ephemeral))
    }

    /// Notes a first message, and forgets the oldest if there are too many.
    pub fn note(&mut self, ephemeral: &[u8; DH_LEN]) {
        if self.known.insert(beginning(ephemeral)) {
            self.oldest_first.push_back(beginning(ephemeral));
        }
        if self.oldest_first.len() > MOST {
            self.oldest_first.pop_front().map(|oldest| self.known.remove(&oldest));
        }
    }
}

/// Enough of a key to know it by: nobody can choose one that begins as a key does that somebody else is yet to make.
fn beginning(ephemeral: &[u8; DH_LEN]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *ephemeral;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> [u8; DH_LEN] {
        let mut key = [7; DH_LEN];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn the_latest_are_known_and_the_others_forgotten() {
        let mut recent = RecentKeys::default();
        for number in 0..2 * MOST as u64 {
            assert!(!recent.contains(&key(number)));
            recent.note(&key(number));
            recent.note(&key(number));
            assert!(recent.contains(&key(number)));
        }
        assert_eq!((recent.oldest_first.len(), recent.known.len()), (MOST, MOST));
        assert!(!recent.contains(&key(0)) && recent.contains(&key(MOST as u64 + 1)));
    }
}
