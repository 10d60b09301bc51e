//! The state as pages follow it: all objects, and then each that changes, with a number. The last changes are kept, so that a
//! page whose connection was lost goes on where it was; one that missed more begins anew.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::app::window::state::Objects;
use crate::text::json::Object;

/// Changes that are kept, and their bytes.
const MAX_CHANGES: usize = 512;
const MAX_BYTES: usize = 256 << 10;
/// Pages that follow at a time. A browser has six connections to a host, and a page needs one for everything else.
const MAX_FOLLOWERS: usize = 5;
/// How long a page that was just opened waits for the state.
const FIRST_LOOK: Duration = Duration::from_secs(10);

struct State {
    objects: Objects,
    /// The last changes, as lines, the newest with the number `last`.
    changes: Vec<Arc<str>>,
    bytes: usize,
    last: u64,
    followers: usize,
    /// The objects are those of now: somebody looks.
    is_current: bool,
    /// When a page was last seen.
    seen: Instant,
}

/// The state of a window, and its followers.
pub struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

/// A page that follows.
pub struct Follower {
    feed: Arc<Feed>,
    /// The number of the last change that the page has, if it has the state.
    after: Option<u64>,
}

fn line(object: Object) -> Arc<str> {
    (object.line() + "\n").into()
}

impl Feed {
    /// Nothing is known yet. Numbers begin at a random one, so that those of an earlier process are not taken for these.
    pub fn new(first: u32) -> Feed {
        let state = State {
            objects: Objects::default(),
            changes: Vec::new(),
            bytes: 0,
            last: first.into(),
            followers: 0,
            is_current: false,
            seen: Instant::now(),
        };
        Feed { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the state as it is now, and tells what is different.
    pub fn publish(&self, objects: Objects) {
        let mut state = self.state();
        let mut lines = Vec::new();
        for (place, new) in objects.0.iter().enumerate() {
            if state.objects.like(new, place).is_none_or(|old| old.object != new.object) {
                lines.push(new.object.clone());
            }
        }
        for (place, old) in state.objects.0.iter().enumerate() {
            if objects.like(old, place).is_none() {
                lines.push(Object::event("gone").text("of", old.event).text("id", &old.id));
            }
        }
        let was_current = std::mem::replace(&mut state.is_current, true);
        state.objects = objects;
        if was_current && lines.is_empty() {
            return;
        }
        for line in lines {
            state.last += 1;
            let line = self::line(line.number("n", state.last));
            state.bytes += line.len();
            state.changes.push(line);
        }
        let mut old = 0;
        while state.changes.len() - old > MAX_CHANGES || state.bytes > MAX_BYTES {
            state.bytes -= state.changes[old].len();
            old += 1;
        }
        state.changes.drain(..old);
        drop(state);
        self.changed.notify_all();
    }

    /// Nobody looks any more: the next page waits for a look.
    pub fn rest(&self) {
        self.state().is_current = false;
    }

    /// Whether pages follow.
    pub fn is_followed(&self) -> bool {
        self.state().followers > 0
    }

    /// Waits until a page follows, at most so long.
    pub fn wait_for_follower(&self, wait: Duration) {
        let state = self.state();
        let followed = self.changed.wait_timeout_while(state, wait, |state| state.followers == 0);
        drop(followed);
    }

    /// A page was here just now.
    pub fn see(&self) {
        self.state().seen = Instant::now();
    }

    /// For how long no page was here.
    pub fn unseen(&self) -> Duration {
        let state = self.state();
        if state.followers > 0 { Duration::ZERO } else { state.seen.elapsed() }
    }

    /// Wakes all that wait, to look whether they may go on.
    pub fn wake(&self) {
        self.changed.notify_all();
    }

    /// A page begins to follow, after the change of this number if it has the state; `None` if too many do. It waits for the
    /// next look.
    pub fn follow(self: &Arc<Feed>, after: Option<u64>) -> Option<Follower> {
        let mut state = self.state();
        if state.followers >= MAX_FOLLOWERS {
            return None;
        }
        state.followers += 1;
        // What it is told first is of now, and not of the last look.
        state.is_current = false;
        drop(state);
        self.changed.notify_all();
        Some(Follower { feed: Arc::clone(self), after })
    }
}

impl Follower {
    /// What the page is to get next, as lines; nothing after `wait`, or when all were woken.
    pub fn next(&mut self, wait: Duration) -> Vec<Arc<str>> {
        let feed = Arc::clone(&self.feed);
        let state = feed.state();
        let is_gap =
            |state: &State, after: u64| after > state.last || state.last - after > state.changes.len() as u64;
        let after = self.after.filter(|after| !is_gap(&state, *after));
        let Some(after) = after else { return self.whole(&feed, state) };
        let waits = |state: &State| state.last == after;
        let mut state = if waits(&state) {
            // Once, and not until there is something: whoever is woken looks whether it may go on.
            let woken = feed.changed.wait_timeout(state, wait);
            woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0
        } else {
            state
        };
        if is_gap(&state, after) {
            return self.whole(&feed, state);
        }
        state.seen = Instant::now();
        self.after = Some(state.last);
        let first = state.changes.len() - (state.last - after) as usize;
        state.changes.iter().skip(first).cloned().collect()
    }

    /// All of the state, once it is that of now.
    fn whole(&mut self, feed: &Feed, state: MutexGuard<State>) -> Vec<Arc<str>> {
        let looked = feed.changed.wait_timeout_while(state, FIRST_LOOK, |state| !state.is_current);
        let state = looked.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        self.after = Some(state.last);
        let live = Object::event("live").number("n", state.last);
        let mut lines = vec![line(Object::event("state"))];
        lines.extend(state.objects.0.iter().map(|entry| line(entry.object.clone())));
        lines.push(line(live));
        lines
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.feed.state();
        state.followers -= 1;
        state.seen = Instant::now();
    }
}
