//! How fast a connection is, and how slow it may be: the length of records that a path is given, and how long an end waits
//! for one.

use std::io;
use std::time::{Duration, Instant};

use crate::net::session::{DEAD_AFTER, MAX_IN_RECORD};

/// Bytes of the first records, and of those on the slowest paths: about a second at 7 kbit/s.
const SHORTEST: usize = 1 << 10;
/// Bytes over which the rate is measured. The kernel takes the first ones at once, however slow the path is: Linux about
/// 90 KB on a connection whose window has not grown.
const SAMPLE: usize = 256 << 10;
/// A sample that has taken this long already shortens the records.
const LONG_SAMPLE: Duration = Duration::from_secs(2);
/// Bytes a second at the least of a record that is under way: a record of the largest size arrives within ten minutes, and
/// an end that trickles bytes is cut off in little more than a minute.
const SLOWEST: f64 = 128.0;

/// Chooses how long records are: about as many bytes as the path takes in a second.
pub struct Pace {
    record: usize,
    bytes: usize,
    time: Duration,
    has_measured: bool,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { record: SHORTEST, bytes: 0, time: Duration::ZERO, has_measured: false }
    }
}

impl Pace {
    /// Bytes of a record at the most.
    pub fn record(&self) -> usize {
        self.record
    }

    /// Whether more bytes were taken than the kernel keeps by itself: so some must have arrived.
    pub fn has_measured(&self) -> bool {
        self.has_measured
    }

    /// The kernel took so many bytes in this time; gives the length of records from here on.
    pub fn note(&mut self, bytes: usize, time: Duration) -> usize {
        self.bytes += bytes;
        self.time += time;
        let in_a_second = (self.bytes as f64 / self.time.as_secs_f64().max(1e-6)) as usize;
        let fitting = in_a_second.clamp(SHORTEST, MAX_IN_RECORD);
        if self.bytes >= SAMPLE {
            *self = Pace { record: fitting, has_measured: true, ..Pace::default() };
        } else if self.time >= LONG_SAMPLE {
            self.record = self.record.min(fitting);
        }
        self.record
    }
}

/// How long an end waits for the next record. It ends after [`DEAD_AFTER`] without a byte. A record whose bytes arrive gets
/// more time, but for no fewer than [`SLOWEST`] of them in a second: somebody who sends a byte a minute holds nothing.
pub struct Patience {
    records: u64,
    since: Instant,
    arrived: usize,
    heard: Instant,
}

impl Patience {
    /// Begins when `records` have arrived.
    pub fn new(records: u64) -> Patience {
        let now = Instant::now();
        Patience { records, since: now, arrived: 0, heard: now }
    }

    /// What is left, when `records` have arrived and `arrived` bytes of the next one.
    pub fn left(&mut self, records: u64, arrived: usize) -> io::Result<Duration> {
        let now = Instant::now();
        if records != self.records {
            *self = Patience::new(records);
        }
        if arrived != self.arrived {
            (self.arrived, self.heard) = (arrived, now);
        }
        let end = self.since + DEAD_AFTER + Duration::from_secs_f64(arrived as f64 / SLOWEST);
        let end = end.min(self.heard + DEAD_AFTER);
        let left = end.checked_duration_since(now).filter(|left| !left.is_zero());
        // A socket keeps its timeout: on a fast path nobody changes it for each read.
        let whole = Duration::from_secs(1);
        left.map(|left| if left + whole > DEAD_AFTER { DEAD_AFTER } else { left })
            .ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_are_short_until_the_path_is_known_and_on_a_slow_one() {
        let mut pace = Pace::default();
        assert_eq!(pace.note(SAMPLE - 1, Duration::from_millis(1)), SHORTEST);
        assert_eq!(pace.note(1, Duration::ZERO), MAX_IN_RECORD);
        // It has become slow.
        assert_eq!(pace.note(10_000, LONG_SAMPLE), 5_000);
        assert_eq!(pace.note(SAMPLE, Duration::from_secs(300)), SHORTEST);
    }

    /// Time passes by moving the beginning back.
    fn after(seconds: u64, arrived: usize, heard: u64) -> io::Result<Duration> {
        let now = Instant::now();
        let [since, heard] = [seconds, heard].map(|ago| now - Duration::from_secs(ago));
        Patience { records: 0, since, arrived, heard }.left(0, arrived)
    }

    #[test]
    fn a_slow_record_gets_time_and_a_trickled_one_does_not() {
        assert!(after(61, 875 * 61, 0).is_ok());
        assert!(after(300, 875 * 60, 0).is_ok());
        assert!(after(59, 2, 1).is_ok());
        assert!(after(61, 2, 1).is_err(), "a byte each 30 s");
        assert!(after(120, 64 << 10, 61).is_err(), "no more bytes");
        let longest = 60 + (64 << 10) / 128;
        assert!(after(longest + 1, 64 << 10, 0).is_err());
    }
}
