//! How long a command goes on when a peer is away: as long as its user waits. Nobody can read a pipe twice, so a pipe outlasts
//! a lost connection of a minute, however short that wait; so does a fetch, unless its user says how long to wait.

use std::time::{Duration, Instant};

use crate::error::Error;

/// How long the connection of a pipe or a fetch may be lost.
const LOST_WAIT: Duration = Duration::from_secs(60);

/// How long to go on.
pub struct Patience {
    deadline: Instant,
    /// For this long at least after a connection was lost.
    after_loss: Duration,
    /// A first connection that is lost before the peer was found counts as lost, too.
    counts_first: bool,
    /// The peer was connected, and that is not known to have ended.
    is_connected: bool,
    /// When the last connection was lost.
    lost: Option<Instant>,
}

impl Patience {
    /// As long as the user waits.
    pub fn new(wait: Duration) -> Patience {
        Patience {
            deadline: Instant::now() + wait,
            after_loss: Duration::ZERO,
            counts_first: true,
            is_connected: false,
            lost: None,
        }
    }

    /// The same for a pipe.
    pub fn for_pipe(wait: Duration) -> Patience {
        Patience { after_loss: LOST_WAIT, ..Patience::new(wait) }
    }

    /// The same for a fetch, of which nothing can be lost before it has begun. Without a `wait`, whoever cannot be found is not
    /// waited for.
    pub fn for_fetch(wait: Option<Duration>) -> Patience {
        let after_loss = wait.unwrap_or(LOST_WAIT);
        Patience { after_loss, counts_first: false, ..Patience::new(wait.unwrap_or_default()) }
    }

    /// The peer is connected: a loss from here on is a new one. One that cuts each handshake is away.
    pub fn found(&mut self) {
        self.is_connected = true;
    }

    /// Until when to try again after this error; `None` for one that does not pass.
    pub fn until(&mut self, error: &Error) -> Option<Instant> {
        let is_new = std::mem::take(&mut self.is_connected) || (self.counts_first && self.lost.is_none());
        if is_new && matches!(error, Error::Lost { .. }) {
            self.lost = Some(Instant::now());
        }
        let lost_until = self.lost.map(|lost| lost + self.after_loss);
        // A router in front of a peer that is away may answer in its place, with anything.
        let is_away = !self.after_loss.is_zero() && lost_until.is_some();
        let passes = may_pass(error) || (is_away && matches!(error, Error::Protocol { .. }));
        passes.then(|| lost_until.map_or(self.deadline, |until| until.max(self.deadline)))
    }
}

/// A later try may succeed, also after a changed key: another node may have an old address of the peer, and the peer a new
/// one.
fn may_pass(error: &Error) -> bool {
    error.is_passing() || matches!(error, Error::ChangedKey { .. })
}
