//! Whose turn it is: one queue for each program and peer, at most one run in a queue at a time, and a few in all. Nothing
//! here runs a program or reads a history: see `runner`.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::node::hooks::programs::HookKind;
use crate::node::retry::Backoff;
use crate::node::threads::LOG_POLL_INTERVAL;
use crate::store::file;
use crate::store::home::Own;

/// How many programs run at a time.
const MAX_PROGRAMS: usize = 4;

/// What wakes the thread of the hooks.
pub enum HookSignal {
    /// Something has arrived from this peer.
    Arrived(PublicKey),
    /// A turn is over.
    Over(HookQueue, TurnEnd),
}

/// How a turn ended.
pub enum TurnEnd {
    /// The program has dealt with all that the history had in this state.
    Dry(HistoryState),
    /// There may be more.
    More,
    /// The key is not a peer any more.
    Gone,
    /// Something failed. The queue pauses until then; the backoff gives the pause after that.
    Failed(Instant, Backoff),
}

/// One program and one peer. The arrivals of a queue are dealt with in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HookQueue {
    /// Which program.
    pub what: HookKind,
    /// Whose messages or files.
    pub peer: PublicKey,
}

/// Wakes the thread of the hooks. Threads that store messages or files ring it.
pub struct Bell(pub SyncSender<HookSignal>);

impl Bell {
    /// Reports an arrival from this peer. Never blocks.
    pub fn ring(&self, peer: &PublicKey) {
        // If the channel is full, the runner sees the arrival at its next look, within a second.
        let _ = self.0.try_send(HookSignal::Arrived(*peer));
    }
}

/// Whose turn it is.
#[derive(Default)]
pub struct HookQueues {
    /// The state in which a history holds nothing to do; `None` while it holds something, or may.
    dry: HashMap<HookQueue, Option<HistoryState>>,
    /// Queues that wait for a turn.
    ready: VecDeque<(HookQueue, Backoff)>,
    /// Queues that wait for the end of a pause.
    paused: Vec<(Instant, HookQueue, Backoff)>,
    running: usize,
}

impl HookQueues {
    /// Gives a turn to the queues of a peer whose history has changed.
    pub fn look_at(&mut self, own: &Own, programs: impl Iterator<Item = HookKind>, peer: PublicKey) {
        let state = HistoryState::now(own, &peer);
        for what in programs {
            let queue = HookQueue { what, peer };
            let dry = self.dry.entry(queue).or_insert(Some(HistoryState::default()));
            if dry.is_some_and(|dry| dry != state) {
                *dry = None;
                self.ready.push_back((queue, Backoff::default()));
            }
        }
    }

    /// The queue whose turn it is, if a slot is free.
    pub fn take_next(&mut self) -> Option<(HookQueue, Backoff)> {
        if self.running >= MAX_PROGRAMS {
            return None;
        }
        let now = Instant::now();
        let over = self.paused.extract_if(.., |(until, ..)| *until <= now);
        self.ready.extend(over.map(|(_, queue, backoff)| (queue, backoff)));
        let next = self.ready.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// Notes the end of a turn.
    pub fn end(&mut self, queue: HookQueue, end: TurnEnd) {
        self.running -= 1;
        match end {
            TurnEnd::Dry(state) => drop(self.dry.insert(queue, Some(state))),
            TurnEnd::More => self.ready.push_back((queue, Backoff::default())),
            TurnEnd::Gone => drop(self.dry.remove(&queue)),
            TurnEnd::Failed(until, backoff) => self.paused.push((until, queue, backoff)),
        }
    }

    /// How long to wait for a signal before [`take_next`](HookQueues::take_next) may give a queue.
    pub fn patience(&self) -> Duration {
        // All slots are busy. The end of a run wakes us, so no timer is needed.
        if self.running >= MAX_PROGRAMS {
            return LOG_POLL_INTERVAL;
        }
        let next =
            self.paused.iter().map(|(until, ..)| until.saturating_duration_since(Instant::now())).min();
        next.unwrap_or(LOG_POLL_INTERVAL).clamp(Duration::from_millis(1), LOG_POLL_INTERVAL)
    }
}

/// What changes with each change of a history. The length alone may be the same again after a deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryState {
    length: u64,
    inode: u64,
}

impl HistoryState {
    /// The state of a peer's history now; zeros if there is none.
    pub fn now(own: &Own, peer: &PublicKey) -> HistoryState {
        let data = std::fs::metadata(own.home().history_path((*peer).into()));
        data.map_or_else(
            |_| HistoryState::default(),
            |data| HistoryState { length: data.len(), inode: file::inode(&data) },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_over_is_no_reason_to_spin_while_no_other_can_run() {
        let queue = HookQueue {
            what: HookKind::Message,
            peer: crate::crypto::keys::StaticKeys::from_secret([1; 32]).public(),
        };
        let mut queues = HookQueues { running: MAX_PROGRAMS, ..HookQueues::default() };
        queues.paused.push((Instant::now(), queue, Backoff::default()));
        assert!(queues.take_next().is_none());
        assert_eq!(queues.patience(), LOG_POLL_INTERVAL);
        queues.running -= 1;
        assert!(queues.patience() < LOG_POLL_INTERVAL && queues.take_next().is_some());
    }
}
