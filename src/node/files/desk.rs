//! Where a thread that has files for a peer waits for the peer to collect them, because this node cannot dial it. The
//! sender of messages to the peer sees that somebody waits here, and says so to the peer; the door hands over the
//! connection by which the peer collects. It leaves out both ends of that connection.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::node::files::outbound::Outgoing;

#[derive(Default)]
struct State {
    /// Sessions over which the peer can be told that files wait.
    attending: usize,
    /// Threads that wait.
    waiting: usize,
    /// How many have come here to wait, in all.
    calls: u64,
    /// Handed over, and not yet taken.
    handed: Option<Outgoing>,
}

/// The desk of one peer.
#[derive(Default)]
pub struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

impl Desk {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Until the guard is dropped, the peer can be told that files wait.
    pub fn attend(self: &Arc<Self>) -> Attendance {
        self.state().attending += 1;
        Attendance(Arc::clone(self))
    }

    /// Waits at most `patience` for the peer to collect; `None` when it does not come, at once if nobody can tell it to.
    /// `call` makes the threads look that tell it.
    pub fn wait(&self, patience: Duration, call: impl FnOnce()) -> Option<Outgoing> {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        if state.attending == 0 {
            return None;
        }
        state.waiting += 1;
        state.calls += 1;
        drop(state);
        call();
        let mut state = self.state();
        while state.handed.is_none() && state.attending > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        state.waiting -= 1;
        state.handed.take()
    }

    /// The number of the last call, while somebody waits: the peer is told of each once.
    pub fn call(&self) -> Option<u64> {
        let state = self.state();
        (state.waiting > 0).then_some(state.calls)
    }

    /// Hands a connection to a thread that waits; gives it back when there is none.
    pub fn hand_over(&self, outgoing: Outgoing) -> Option<Outgoing> {
        let mut state = self.state();
        if state.waiting == 0 || state.handed.is_some() {
            return Some(outgoing);
        }
        state.handed = Some(outgoing);
        self.changed.notify_all();
        None
    }
}

/// A session over which the peer can be told that files wait, until this is dropped.
pub struct Attendance(Arc<Desk>);

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.state().attending -= 1;
        self.0.changed.notify_all();
    }
}
