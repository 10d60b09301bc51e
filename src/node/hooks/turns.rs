//! Whose turn it is: one lane for each program and peer, at most one run in a lane at a time, and a few in all. Nothing
//! here runs a program or reads a history: see `runner`.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::node::hooks::programs::For;
use crate::node::retry::Backoff;
use crate::node::threads::LOG_POLL_INTERVAL;
use crate::store::home::Own;

/// How many programs run at a time.
const MAX_PROGRAMS: usize = 4;

/// What wakes the thread of the hooks.
pub enum Signal {
    /// Something has arrived from this peer.
    Arrived(PublicKey),
    /// A turn is over.
    Over(Lane, End),
}

/// How a turn ended.
pub enum End {
    /// The program has dealt with all that the history had at this length in bytes.
    Dry(u64),
    /// There may be more.
    More,
    /// The key is not a peer any more.
    Gone,
    /// Something failed. The lane pauses until then; the backoff gives the pause after that.
    Failed(Instant, Backoff),
}

/// One program and one peer. The arrivals of a lane are dealt with in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Which program.
    pub what: For,
    /// Whose messages or files.
    pub peer: PublicKey,
}

/// Wakes the thread of the hooks. Threads that store messages or files ring it.
pub struct Bell(pub SyncSender<Signal>);

impl Bell {
    /// Reports an arrival from this peer. Never blocks.
    pub fn ring(&self, peer: &PublicKey) {
        // If the channel is full, the runner sees the arrival at its next look, within a second.
        let _ = self.0.try_send(Signal::Arrived(*peer));
    }
}

/// Whose turn it is.
#[derive(Default)]
pub struct Lanes {
    /// Up to which length in bytes a history holds nothing to do; `None` while it holds something, or may.
    dry: HashMap<Lane, Option<u64>>,
    /// Lanes that wait for a turn.
    ready: VecDeque<(Lane, Backoff)>,
    /// Lanes that wait for the end of a pause.
    paused: Vec<(Instant, Lane, Backoff)>,
    running: usize,
}

impl Lanes {
    /// Queues the lanes of a peer whose history has grown.
    pub fn look_at(&mut self, own: &Own, programs: impl Iterator<Item = For>, peer: PublicKey) {
        let length = length(own, &peer);
        for what in programs {
            let lane = Lane { what, peer };
            let dry = self.dry.entry(lane).or_insert(Some(0));
            if dry.is_some_and(|dry| dry != length) {
                *dry = None;
                self.ready.push_back((lane, Backoff::default()));
            }
        }
    }

    /// The lane whose turn it is, if a slot is free.
    pub fn take_next(&mut self) -> Option<(Lane, Backoff)> {
        if self.running >= MAX_PROGRAMS {
            return None;
        }
        let now = Instant::now();
        let over = self.paused.extract_if(.., |(until, ..)| *until <= now);
        self.ready.extend(over.map(|(_, lane, backoff)| (lane, backoff)));
        let next = self.ready.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// Notes the end of a turn.
    pub fn end(&mut self, lane: Lane, end: End) {
        self.running -= 1;
        match end {
            End::Dry(length) => drop(self.dry.insert(lane, Some(length))),
            End::More => self.ready.push_back((lane, Backoff::default())),
            End::Gone => drop(self.dry.remove(&lane)),
            End::Failed(until, backoff) => self.paused.push((until, lane, backoff)),
        }
    }

    /// How long to wait for a signal before [`take_next`](Lanes::take_next) may give a lane.
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

/// The length of a peer's history in bytes; 0 if there is none.
pub fn length(own: &Own, peer: &PublicKey) -> u64 {
    std::fs::metadata(own.home().history_path((*peer).into())).map_or(0, |data| data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_over_is_no_reason_to_spin_while_no_other_can_run() {
        let lane =
            Lane { what: For::Message, peer: crate::crypto::keys::StaticKeys::from_secret([1; 32]).public() };
        let mut lanes = Lanes { running: MAX_PROGRAMS, ..Lanes::default() };
        lanes.paused.push((Instant::now(), lane, Backoff::default()));
        assert!(lanes.take_next().is_none());
        assert_eq!(lanes.patience(), LOG_POLL_INTERVAL);
        lanes.running -= 1;
        assert!(lanes.patience() < LOG_POLL_INTERVAL && lanes.take_next().is_some());
    }
}
