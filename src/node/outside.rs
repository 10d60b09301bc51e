//! What a node knows of the addresses at which everybody can dial it: those that routers mapped for it. `node::mapping` finds
//! out, the supervisor tells front-ends.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use crate::store::mapping::{By, MapState, Mapped, Mapping};

#[derive(Default)]
struct State {
    mapping: Mapping,
    /// Something has changed by which routers may answer otherwise.
    is_rung: bool,
}

/// The outside of a node, shared by all of its threads.
#[derive(Default)]
pub struct Outside {
    state: Mutex<State>,
    rung: Condvar,
}

impl Outside {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The addresses at which everybody can dial the node, as routers say.
    pub fn mapped(&self) -> Vec<Mapped> {
        self.state().mapping.mapped.clone()
    }

    /// The same, with the state of asking.
    pub fn mapping(&self) -> Mapping {
        self.state().mapping.clone()
    }

    /// Notes what routers say; returns whether that is news.
    pub fn set(&self, mapping: Mapping) -> bool {
        let mut state = self.state();
        let is_news = state.mapping != mapping;
        state.mapping = mapping;
        is_news
    }

    /// The network is another, or the node listens somewhere else.
    pub fn ring(&self) {
        self.state().is_rung = true;
        self.rung.notify_all();
    }

    /// Waits for a ring, but no longer than `wait`; returns whether there was one since the last call.
    pub fn wait(&self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        let mut state = self.state();
        while !state.is_rung {
            let Some(left) = end.checked_duration_since(Instant::now()) else { break };
            state = self.rung.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        std::mem::take(&mut state.is_rung)
    }
}
