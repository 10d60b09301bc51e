//! Retries: how long a thread that dials a peer waits after a failure, what it notes of that, and what cuts the wait short.

use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::random_array;
use crate::error::Error;
use crate::node::roster::Contact;
use crate::store::attempts;
use crate::store::home::Own;

/// Shortest time between two dials of a peer, however much news there is.
const MIN_BACKOFF: Duration = Duration::from_millis(200);

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Pauses that double, with a quarter of jitter, so that a thousand nodes do not come back at one moment.
pub struct Backoff {
    last: Option<Duration>,
    next: Duration,
}

impl Default for Backoff {
    /// The first pause is next.
    fn default() -> Backoff {
        Backoff { last: None, next: FIRST_BACKOFF }
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
        self.next = (pause * 2).min(MAX_BACKOFF);
        let jitter = i32::from(random_array::<1>()[0]) - 128;
        pause.mul_f64(1.0 + f64::from(jitter) / 512.0)
    }

    /// The pause was not waited out, since there was news: the next one is no longer. Else who is talked to much while
    /// away is not tried for minutes when it is back.
    pub fn cut_short(&mut self) {
        self.next = self.last.unwrap_or(FIRST_BACKOFF);
    }
}

/// The retries of one thread that dials a contact's peer.
pub struct Retry {
    backoff: Backoff,
    /// The news of the contact that the thread has seen.
    pub seen: u64,
    began: Instant,
    /// The user knows of no failure yet.
    is_news: bool,
}

impl Retry {
    /// Nothing has failed yet. `seen` is the contact's count of news that the thread has acted on.
    pub fn new(seen: u64) -> Retry {
        Retry { backoff: Backoff::default(), seen, began: Instant::now(), is_news: true }
    }

    /// A try begins.
    pub fn begin(&mut self) {
        self.began = Instant::now();
        self.is_news = self.backoff.is_new();
    }

    /// Whether the try before failed.
    pub fn has_failed(&self) -> bool {
        !self.is_news
    }

    /// The peer was reached: the next failure is a first one.
    pub fn reset(&mut self) {
        self.backoff = Backoff::default();
    }

    /// How long to wait after this try.
    pub fn pause(&mut self) -> Duration {
        self.backoff.pause()
    }

    /// Whether the user should hear of a failure of this try: of the first in a row, not of each while a peer is away for
    /// a week.
    pub fn is_news(&self) -> bool {
        self.is_news
    }

    /// Waits for news, at most as long as the pause.
    pub fn wait(&mut self, contact: &Contact, pause: Duration) {
        if contact.wait_for_news(&mut self.seen, pause) {
            self.backoff.cut_short();
        }
    }

    /// Sees to it that the next try does not follow too soon.
    pub fn end(&self) {
        thread::sleep(MIN_BACKOFF.saturating_sub(self.began.elapsed()));
    }
}

/// Notes for `egoat outbox` why a try did not reach the contact's peer, and how long the thread pauses before the next.
pub fn note_failure(own: &Own, contact: &Contact, error: &Error, pause: Duration) {
    attempts::note(own.home(), &contact.key(), error, pause);
    contact.set_failed(true);
}
