//! How long to wait before a peer is tried again.

use std::time::Duration;

use crate::crypto::random_array;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Pauses that double, with a quarter of jitter, so that a thousand nodes do not come back at one moment.
pub struct Backoff(Duration);

impl Default for Backoff {
    /// The first pause is next.
    fn default() -> Backoff {
        Backoff(FIRST_PAUSE)
    }
}

impl Backoff {
    /// Whether there was no pause yet.
    pub fn is_new(&self) -> bool {
        self.0 == FIRST_PAUSE
    }

    /// How long to wait now.
    pub fn pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        let jitter = i32::from(random_array::<1>()[0]) - 128;
        pause.mul_f64(1.0 + f64::from(jitter) / 512.0)
    }
}
