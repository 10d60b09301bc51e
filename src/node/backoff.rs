//! How long to wait before a peer is tried again.

use std::time::Duration;

use crate::crypto::random_array;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Pauses that double, with a quarter of jitter, so that a thousand nodes do not come back at one moment.
pub struct Backoff {
    last: Option<Duration>,
    next: Duration,
}

impl Default for Backoff {
    /// The first pause is next.
    fn default() -> Backoff {
        Backoff { last: None, next: FIRST_PAUSE }
    }
}

impl Backoff {
    /// Whether there was no pause yet.
    pub fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// How long to wait now.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.last = Some(pause);
        self.next = (pause * 2).min(LONGEST_PAUSE);
        let jitter = i32::from(random_array::<1>()[0]) - 128;
        pause.mul_f64(1.0 + f64::from(jitter) / 512.0)
    }

    /// The pause was not waited out, since there was news: the next one is no longer. Else who is talked to much while
    /// away is not tried for minutes when it is back.
    pub fn cut_short(&mut self) {
        self.next = self.last.unwrap_or(FIRST_PAUSE);
    }
}
