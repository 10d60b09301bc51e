//! What lives only while a node runs, for front-ends to see: who is here, transfers of both directions, offers that wait for
//! an answer. Threads of the node change it; a thread for each front-end waits for changes and tells them. Because a front-end
//! is told the state and not its history, one that is slow misses nothing and holds nobody up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::node::event::Decision;
use crate::time::now_micros;
use crate::transfer::tally::Tally;
use crate::wire::control::{Down, Path, PendingOffer, Transfer, TransferWay};

/// Shortest time between two reports on one transfer to a front-end.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// How long after the start of the node an offer waits for somebody to answer. A chat looks for a node once a second.
const ASKER_PATIENCE: Duration = Duration::from_secs(3);

/// A peer that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Connected {
    /// The clock of the day may be set meanwhile.
    since: Instant,
    path: Path,
    address: String,
    /// Connections by which it would learn that files wait for it.
    collectors: usize,
}

/// A transfer that is under way.
struct LiveTransfer {
    peer: String,
    is_outgoing: bool,
    /// The front-end whose job it is.
    owner: Option<u64>,
    tally: Arc<Tally>,
}

struct OpenOffer {
    offer: PendingOffer,
    answer: SyncSender<Decision>,
}

#[derive(Default)]
struct State {
    /// Rises with every change.
    version: u64,
    /// Rises when a log has grown.
    looks: u64,
    here: HashMap<PublicKey, Connected>,
    transfers: BTreeMap<u64, LiveTransfer>,
    offers: BTreeMap<u64, OpenOffer>,
    addresses: Vec<SocketAddr>,
    /// Front-ends at which a person can answer offers.
    askers: usize,
    last_transfer: u64,
    last_offer: u64,
}

/// The state, shared by all threads of a node.
pub struct Live {
    state: Mutex<State>,
    changed: Condvar,
    started: Instant,
}

impl Default for Live {
    fn default() -> Live {
        Live { state: Mutex::default(), changed: Condvar::new(), started: Instant::now() }
    }
}

impl Live {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        state.version += 1;
        drop(state);
        self.changed.notify_all();
        changed
    }

    /// The node listens here.
    pub fn listen(&self, addresses: &[SocketAddr]) {
        self.change(|state| state.addresses = addresses.to_vec());
    }

    /// Where the node listens.
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.state().addresses.clone()
    }

    /// The port on which the node listens; 0 while there is none.
    pub fn listening_port(&self) -> u16 {
        self.state().addresses.first().map_or(0, SocketAddr::port)
    }

    /// A log has grown.
    pub fn look(&self) {
        self.change(|state| state.looks += 1);
    }

    /// A peer is connected by this path and address, or is not any more. `is_here` is asked under the lock, so that of two threads which
    /// tell of the same peer the later one has the last word.
    pub fn note_peer(&self, peer: PublicKey, path: Path, address: &str, is_here: impl FnOnce() -> bool) {
        self.change(|state| {
            if is_here() {
                let since = Instant::now();
                state.here.entry(peer).or_insert_with(|| Connected {
                    since,
                    path,
                    address: address.to_owned(),
                    collectors: 0,
                });
            } else {
                state.here.remove(&peer);
            }
        });
    }

    /// Shows that a connected peer would collect files, until the guard is dropped.
    pub fn begin_collecting(self: &Arc<Self>, peer: PublicKey) -> CollectorGuard {
        self.change(|state| {
            if let Some(here) = state.here.get_mut(&peer) {
                here.collectors += 1;
            }
        });
        CollectorGuard { live: Arc::clone(self), peer }
    }

    /// Shows a transfer until the guard is dropped. `owner` is the front-end whose job it is.
    pub fn begin(
        self: &Arc<Self>,
        peer: &str,
        is_outgoing: bool,
        owner: Option<u64>,
        tally: &Arc<Tally>,
    ) -> TransferGuard {
        let transfer = LiveTransfer { peer: peer.to_owned(), is_outgoing, owner, tally: Arc::clone(tally) };
        let number = self.change(|state| {
            state.last_transfer += 1;
            state.transfers.insert(state.last_transfer, transfer);
            state.last_transfer
        });
        TransferGuard { live: Arc::clone(self), number }
    }

    /// Ends a transfer, if it is still under way.
    pub fn stop(&self, number: u64) {
        if let Some(transfer) = self.state().transfers.get(&number) {
            transfer.tally.stop();
        }
    }

    /// Ends the transfers that are jobs of a front-end.
    pub fn stop_jobs(&self, owner: u64) {
        let state = self.state();
        state.transfers.values().filter(|one| one.owner == Some(owner)).for_each(|one| one.tally.stop());
    }

    /// Waits until somebody is there to answer, for as long as the chats of an earlier node may take to find this one.
    pub fn wait_for_asker(&self) {
        let patience = ASKER_PATIENCE.saturating_sub(self.started.elapsed());
        drop(self.changed.wait_timeout_while(self.state(), patience, |state| state.askers == 0));
    }

    /// Asks the front-ends about an offer, whose number is filled in here. `None` when nobody is there to answer. The
    /// answer never comes if the last of them goes. The guard takes the offer back.
    pub fn offer(self: &Arc<Self>, mut offer: PendingOffer) -> Option<(Receiver<Decision>, OfferGuard)> {
        let (answer, decided) = sync_channel(1);
        let number = self.change(|state| {
            if state.askers == 0 {
                return None;
            }
            state.last_offer += 1;
            offer.number = state.last_offer;
            state.offers.insert(offer.number, OpenOffer { offer, answer });
            Some(state.last_offer)
        })?;
        Some((decided, OfferGuard { live: Arc::clone(self), number }))
    }

    /// Decides an offer, unless it was decided before.
    pub fn decide(&self, number: u64, decision: Decision) {
        if let Some(open_offer) = self.change(|state| state.offers.remove(&number)) {
            // Its sender may be gone.
            let _ = open_offer.answer.try_send(decision);
        }
    }

    /// A person can answer offers until the guard is dropped.
    pub fn begin_asking(self: &Arc<Self>) -> AskerGuard {
        self.change(|state| state.askers += 1);
        AskerGuard(Arc::clone(self))
    }

    /// Waits up to `wait` for a change that `subscription` has not seen, and returns what to send.
    pub fn wait(&self, subscription: &mut Subscription, wait: Duration) -> Vec<Down> {
        let deadline = Instant::now() + wait;
        let mut state = self.state();
        while state.version == subscription.version {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        subscription.catch_up(&state)
    }

    /// Wakes all who wait.
    pub fn wake(&self) {
        self.change(|_| ());
    }

    /// Whether something moves: then how far it is changes without a word.
    pub fn is_moving(&self) -> bool {
        !self.state().transfers.is_empty()
    }
}

/// A peer would collect files, until it is dropped: before the connection is.
pub struct CollectorGuard {
    live: Arc<Live>,
    peer: PublicKey,
}

impl Drop for CollectorGuard {
    fn drop(&mut self) {
        self.live.change(|state| {
            if let Some(here) = state.here.get_mut(&self.peer) {
                here.collectors = here.collectors.saturating_sub(1);
            }
        });
    }
}

/// A transfer that front-ends see, until it is dropped.
pub struct TransferGuard {
    live: Arc<Live>,
    number: u64,
}

impl Drop for TransferGuard {
    fn drop(&mut self) {
        self.live.change(|state| state.transfers.remove(&self.number));
    }
}

/// An offer that front-ends see, until it is dropped.
pub struct OfferGuard {
    live: Arc<Live>,
    number: u64,
}

impl Drop for OfferGuard {
    fn drop(&mut self) {
        self.live.change(|state| state.offers.remove(&self.number));
    }
}

/// A person can answer, until it is dropped. When the last one is, open offers end without an answer.
pub struct AskerGuard(Arc<Live>);

impl Drop for AskerGuard {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.askers -= 1;
            if state.askers == 0 {
                state.offers.clear();
            }
        });
    }
}

/// What a front-end has been sent of the live state, to find what is new.
pub struct Subscription {
    /// The number of the front-end.
    owner: u64,
    /// It wants to know the state, and not just that a log has grown.
    is_watching: bool,
    is_ready: bool,
    version: u64,
    looks: u64,
    here: HashMap<PublicKey, Connected>,
    /// As last sent, and when.
    transfers: BTreeMap<u64, (Transfer, Instant)>,
    offers: BTreeSet<u64>,
    addresses: usize,
}

impl Subscription {
    /// The subscription of a front-end that has just connected. It is told to look once: a log may have grown since it
    /// looked last.
    pub fn new(owner: u64) -> Subscription {
        Subscription {
            owner,
            is_watching: false,
            is_ready: false,
            version: 0,
            looks: 0,
            here: HashMap::new(),
            transfers: BTreeMap::new(),
            offers: BTreeSet::new(),
            addresses: 0,
        }
    }

    /// From here on the front-end is told the state, all of it at once.
    pub fn watch(&mut self) {
        if !std::mem::replace(&mut self.is_watching, true) {
            // There is something to tell, even if nothing changes any more.
            self.version = u64::MAX;
        }
    }

    /// Whether it is told the state.
    pub fn is_watching(&self) -> bool {
        self.is_watching
    }

    /// What is different now.
    fn catch_up(&mut self, state: &State) -> Vec<Down> {
        let mut news = Vec::new();
        self.version = state.version;
        if std::mem::replace(&mut self.looks, state.looks) != state.looks {
            news.push(Down::Look);
        }
        if !self.is_watching {
            return news;
        }
        news.extend(state.addresses.iter().skip(self.addresses).map(|at| Down::Address(at.to_string())));
        self.addresses = state.addresses.len();
        self.tell_peers(state, &mut news);
        self.tell_transfers(state, &mut news);
        self.tell_offers(state, &mut news);
        if !std::mem::replace(&mut self.is_ready, true) {
            news.push(Down::Ready);
        }
        news
    }

    fn tell_peers(&mut self, state: &State, news: &mut Vec<Down>) {
        let now = now_micros() / 1_000_000;
        for (key, here) in &state.here {
            if self.here.get(key) != Some(here) {
                let Connected { since, path, address, collectors } = here.clone();
                let since = now.saturating_sub(since.elapsed().as_secs());
                let collects = collectors > 0;
                news.push(Down::Peer { key: *key, is_here: true, collects, since, path, address });
            }
        }
        for key in self.here.keys().filter(|key| !state.here.contains_key(key)) {
            news.push(Down::Peer {
                key: *key,
                is_here: false,
                collects: false,
                since: now,
                path: Path::default(),
                address: String::new(),
            });
        }
        self.here.clone_from(&state.here);
    }

    fn tell_transfers(&mut self, state: &State, news: &mut Vec<Down>) {
        let gone: Vec<u64> =
            self.transfers.keys().filter(|number| !state.transfers.contains_key(number)).copied().collect();
        for number in gone {
            self.transfers.remove(&number);
            news.push(Down::Ended(number));
        }
        for (number, transfer) in &state.transfers {
            let (done, total) = transfer.tally.done();
            let transfer = Transfer {
                number: *number,
                peer: transfer.peer.clone(),
                way: match transfer.owner {
                    _ if !transfer.is_outgoing => TransferWay::In,
                    Some(owner) if owner == self.owner => TransferWay::Own,
                    _ => TransferWay::Out,
                },
                title: transfer.tally.title.clone(),
                total: total.unwrap_or(crate::wire::control::UNKNOWN),
                done,
                checked: transfer.tally.checked(),
                rate: transfer.tally.rate(),
                is_taken: !transfer.is_outgoing || transfer.tally.is_taken(),
            };
            let is_due = self
                .transfers
                .get(number)
                .is_none_or(|(sent, when)| *sent != transfer && when.elapsed() >= PROGRESS_INTERVAL);
            if is_due {
                self.transfers.insert(*number, (transfer.clone(), Instant::now()));
                news.push(Down::Transfer(transfer));
            }
        }
    }

    fn tell_offers(&mut self, state: &State, news: &mut Vec<Down>) {
        for (number, open_offer) in &state.offers {
            if self.offers.insert(*number) {
                news.push(Down::Offer(open_offer.offer.clone()));
            }
        }
        self.offers.retain(|number| {
            let waits = state.offers.contains_key(number);
            if !waits {
                news.push(Down::Decided(*number));
            }
            waits
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn offer() -> PendingOffer {
        let (peer, title, dots) = ("bob".into(), "a".into(), String::new());
        let (held, place) = (0, "/a".into());
        PendingOffer { number: 0, peer, title, files: 1, bytes: 2, until: 3, dots, held, place }
    }

    #[test]
    fn an_offer_needs_somebody_to_answer_and_is_decided_once() {
        let live = Arc::new(Live::default());
        assert!(live.offer(offer()).is_none());
        let asking = live.begin_asking();
        let (decided, _asked) = live.offer(offer()).unwrap();
        let mut subscription = Subscription::new(1);
        subscription.watch();
        let news = live.wait(&mut subscription, Duration::ZERO);
        let [Down::Offer(shown), Down::Ready] = &news[..] else { panic!("{news:?}") };
        live.decide(shown.number, Decision::Refuse);
        live.decide(shown.number, Decision::Accept { dir: None });
        assert_eq!(decided.recv(), Ok(Decision::Refuse));
        assert_eq!(live.wait(&mut subscription, Duration::ZERO), [Down::Decided(shown.number)]);
        let (decided, _asked) = live.offer(offer()).unwrap();
        drop(asking);
        assert!(decided.recv().is_err(), "the last one who could answer is gone");
    }

    #[test]
    fn a_front_end_is_told_what_is_different() {
        let live = Live::default();
        let peer = crate::crypto::keys::Seed::from_bytes([1; 32]).static_keys().public();
        let mut subscription = Subscription::new(1);
        live.look();
        live.look();
        live.note_peer(peer, Path::Direct, "192.0.2.1:1", || true);
        assert_eq!(live.wait(&mut subscription, Duration::ZERO), [Down::Look]);
        subscription.watch();
        assert_eq!(
            live.wait(&mut subscription, Duration::from_secs(60)).len(),
            2,
            "the peer, and that this is all"
        );
        assert_eq!(live.wait(&mut subscription, Duration::ZERO), []);
        live.note_peer(peer, Path::Direct, "", || false);
        let news = live.wait(&mut subscription, Duration::ZERO);
        assert!(matches!(news[..], [Down::Peer { is_here: false, .. }]), "{news:?}");
    }
}
