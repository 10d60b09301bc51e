//! What this node shares (egoat-protocol(7), GET): who may fetch which share, and how many do so at once. It leaves out the
//! log of shares (`store::shares`) and the sessions by which others fetch (`sharing`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::{InviteToken, PublicKey};
use crate::error::Result;
use crate::store::home::Own;
use crate::store::shares::{ListedShares, Share};
use crate::wire::message::{Kind, Refusal};
use crate::wire::shares::{ShareId, SharedFiles};

/// Sessions that fetch by links, and as many by name.
const MAX_SESSIONS: usize = 16;
/// Lanes of all sessions that fetch by links: three each, as egoat dials.
const MAX_LANES: usize = 48;

/// Where the shares are.
enum Origin {
    /// In the home's log.
    Log(Own, Box<ListedShares>),
    /// In this process alone, which serves nothing else: this one, and whether it is used up.
    Alone(Box<Share>, bool),
    /// A one-off receiver has none.
    Nowhere,
}

/// Whether somebody may fetch a share, and why not.
type Welcome = std::result::Result<(), Refusal>;

/// A session that fetches.
#[derive(Clone, PartialEq, Eq)]
struct Fetcher {
    share: ShareId,
    key: PublicKey,
    by_link: bool,
}

#[derive(Default)]
struct State {
    fetchers: Vec<Fetcher>,
    /// Lanes of those who fetch by links.
    lanes: usize,
    /// Who last lost a connection while fetching a share that is meant for one, and when.
    lost: HashMap<ShareId, (PublicKey, Instant)>,
}

/// How long a share that is meant for one waits for whoever lost the connection.
const HELD_FOR: Duration = Duration::from_secs(60);

/// All shares of a node.
pub struct Shares {
    origin: Mutex<Origin>,
    state: Mutex<State>,
    /// No more than so many sessions by links, and by name.
    most: usize,
}

impl Shares {
    /// Those of a node that has so many seats: the ones in the log, or `alone` if that is all that this process is for.
    pub fn new(own: &Own, has_messages: bool, alone: Option<Share>, seats: usize) -> Shares {
        let origin = match alone {
            Some(share) => Origin::Alone(Box::new(share), false),
            None if has_messages => Origin::Log(own.clone(), Box::new(own.read_shares())),
            None => Origin::Nowhere,
        };
        Shares { origin: Mutex::new(origin), state: Mutex::default(), most: MAX_SESSIONS.min(seats) }
    }

    fn origin(&self) -> MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Looks at the share with this id, and whether it is used up; `None` if there is none.
    fn look<T>(&self, id: &ShareId, look: impl FnOnce(&Share, bool) -> T) -> Result<Option<T>> {
        Ok(match &mut *self.origin() {
            Origin::Log(_, listed) => listed.find(id)?.map(|share| look(share, share.is_used_up())),
            Origin::Alone(share, used) => (share.id == *id).then(|| look(share, *used)),
            Origin::Nowhere => None,
        })
    }

    /// Whether this process is there for one share, and nothing else.
    pub fn is_alone(&self) -> bool {
        matches!(*self.origin(), Origin::Alone(..))
    }

    /// The token of the share that is linked by this id, also if it has ended.
    pub fn token(&self, id: &ShareId) -> Option<InviteToken> {
        self.look(id, |share, _| share.has_link().then(|| share.token.clone())).ok()??
    }

    /// What this peer may fetch.
    pub fn told_to(&self, peer: &PublicKey) -> Result<Vec<SharedFiles>> {
        let Origin::Log(_, listed) = &mut *self.origin() else { return Ok(Vec::new()) };
        let shares = listed.all()?.iter().filter(|share| share.is_open() && share.to.contains(peer));
        Ok(shares.map(Share::told).collect())
    }

    /// Decides about a session of this kind by the link of a share.
    pub fn judge(
        self: &Arc<Self>,
        id: &ShareId,
        kind: Kind,
        key: PublicKey,
    ) -> Result<std::result::Result<Fetching, Refusal>> {
        self.begin_if(Fetcher { share: *id, key, by_link: true }, &|share, is_used_up| {
            if kind != Kind::Get || !share.has_link() {
                Err(Refusal::Unsupported)
            } else if is_used_up {
                Err(Refusal::InviteUsed)
            } else if share.is_over() {
                Err(Refusal::InviteExpired)
            } else {
                Ok(())
            }
        })
    }

    /// Begins a session by which this peer fetches a share by name; `None` if it may not, or not now.
    pub fn fetch(self: &Arc<Self>, id: &ShareId, key: PublicKey) -> Result<Option<Fetching>> {
        let begun = self.begin_if(Fetcher { share: *id, key, by_link: false }, &|share, is_used_up| {
            let is_for_it = share.to.contains(&key) && !share.is_over();
            if is_for_it && !is_used_up { Ok(()) } else { Err(Refusal::Unsupported) }
        })?;
        Ok(begun.ok())
    }

    /// Begins a session if the share `is_welcome` for that, and there is a place.
    fn begin_if(
        self: &Arc<Self>,
        fetcher: Fetcher,
        is_welcome: &dyn Fn(&Share, bool) -> Welcome,
    ) -> Result<std::result::Result<Fetching, Refusal>> {
        let id = fetcher.share;
        let judge =
            || self.look(&id, |share, is_used_up| is_welcome(share, is_used_up).map(|()| share.clone()));
        let judged = judge()?.unwrap_or(Err(Refusal::Unsupported));
        let begun = judged.and_then(|share| self.begin(share, fetcher).ok_or(Refusal::Busy));
        // Another key may have used it up before this one had its place. None does so from then on.
        Ok(match (begun, judge()?) {
            (Ok(_), Some(Err(refusal))) => Err(refusal),
            (begun, _) => begun,
        })
    }

    fn begin(self: &Arc<Self>, share: Share, fetcher: Fetcher) -> Option<Fetching> {
        let mut state = self.state();
        let others = state.fetchers.iter().filter(|other| other.by_link == fetcher.by_link).count();
        let is_taken = |other: &Fetcher| other.share == fetcher.share && other.key != fetcher.key;
        state.lost.retain(|_, (_, since)| since.elapsed() < HELD_FOR);
        let is_held = state.lost.get(&share.id).is_some_and(|(key, _)| *key != fetcher.key);
        if others >= self.most || (share.is_once && (is_held || state.fetchers.iter().any(is_taken))) {
            return None;
        }
        state.fetchers.push(fetcher.clone());
        Some(Fetching { shares: Arc::clone(self), share, fetcher })
    }

    /// Whether somebody with this key fetches by a link now.
    pub fn has_guest(&self, key: &PublicKey) -> bool {
        self.state().fetchers.iter().any(|fetcher| fetcher.by_link && fetcher.key == *key)
    }

    /// A place for a lane of somebody who fetches by a link.
    pub fn begin_lane(self: &Arc<Self>) -> Option<GuestLane> {
        let mut state = self.state();
        if state.lanes >= MAX_LANES.min(3 * self.most) {
            return None;
        }
        state.lanes += 1;
        Some(GuestLane(Arc::clone(self)))
    }
}

/// A session that fetches a share, until it is dropped.
pub struct Fetching {
    shares: Arc<Shares>,
    /// What is fetched.
    pub share: Share,
    fetcher: Fetcher,
}

impl Fetching {
    /// Whether the share was stopped since.
    pub fn is_stopped(&self) -> bool {
        // A log that cannot be read stops nothing.
        self.shares.look(&self.share.id, |share, _| share.is_stopped()).is_ok_and(|found| found == Some(true))
    }

    /// Notes that all of it is with whoever fetches, which ends a share that is meant for one; durable when it returns.
    pub fn use_up(&self) -> Result<()> {
        if !self.share.is_once {
            return Ok(());
        }
        let own = match &mut *self.shares.origin() {
            Origin::Log(own, _) => own.clone(),
            Origin::Alone(_, used) => {
                *used = true;
                return Ok(());
            }
            Origin::Nowhere => return Ok(()),
        };
        own.shares()?.use_up(&self.share.id, &self.fetcher.key).map(drop)
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        if let Some(index) = state.fetchers.iter().position(|fetcher| *fetcher == self.fetcher) {
            state.fetchers.swap_remove(index);
        }
        if self.share.is_once {
            state.lost.insert(self.share.id, (self.fetcher.key, Instant::now()));
        }
    }
}

/// A place among the lanes of those who fetch by links, until it is dropped.
pub struct GuestLane(Arc<Shares>);

impl Drop for GuestLane {
    fn drop(&mut self) {
        self.0.state().lanes -= 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn what_is_meant_for_one_waits_for_who_lost_the_connection() {
        let mut share = Share::new(Vec::new(), (0, 0));
        share.is_once = true;
        let (id, origin) = (share.id, Mutex::new(Origin::Alone(Box::new(share), false)));
        let shares = Arc::new(Shares { origin, state: Mutex::default(), most: MAX_SESSIONS });
        let judged = |number| {
            let key = Seed::from_bytes([number; 32]).static_keys().public();
            shares.judge(&id, Kind::Get, key).unwrap().map(drop)
        };
        assert_eq!((judged(1), judged(2), judged(1)), (Ok(()), Err(Refusal::Busy), Ok(())));
        // A minute passes.
        shares.state().lost.values_mut().for_each(|(_, since)| *since -= HELD_FOR);
        assert_eq!((judged(2), judged(1)), (Ok(()), Err(Refusal::Busy)));
    }

    /// One looks at the share, and before it takes its place the other has all of it: too seldom to be seen each time.
    #[test]
    fn what_is_meant_for_one_goes_to_one_whoever_is_faster() {
        for _ in 0..2000 {
            let mut share = Share::new(Vec::new(), (0, 0));
            share.is_once = true;
            let (id, origin) = (share.id, Mutex::new(Origin::Alone(Box::new(share), false)));
            let shares = Arc::new(Shares { origin, state: Mutex::default(), most: MAX_SESSIONS });
            let ready = Barrier::new(2);
            let has_it = |number| {
                let key = Seed::from_bytes([number; 32]).static_keys().public();
                ready.wait();
                let judged = shares.judge(&id, Kind::Get, key).unwrap();
                judged.inspect(|fetching| fetching.use_up().unwrap()).is_ok()
            };
            let both = thread::scope(|scope| {
                let other = scope.spawn(|| has_it(1));
                (has_it(2), other.join().unwrap())
            });
            assert!(both != (true, true));
        }
    }
}
