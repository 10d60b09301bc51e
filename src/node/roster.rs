//! The peers of a running node, and what the threads that serve one peer know of each other: who sends, who receives,
//! and that there is news. It leaves out the peers file itself: see `store::peers`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::net::transport::Closer;
use crate::node::allowance::{Allowance, Rate};
use crate::node::files::desk::Desk;
use crate::store::peers::{Peer, Place};
use crate::store::presence::Presence;
use crate::time::now_micros;
use crate::wire::address::Address;

/// Connections of one peer, however many it opens.
const MAX_CONNECTIONS: usize = 4;
/// How often it is told that one peer comes or goes: each time of a peer that does so now and then.
const ANNOUNCEMENTS: Rate = Rate { at_once: 20, interval: Duration::from_secs(60) };
/// How often another address of one peer is noted on disk, which costs a sync of the peers file and of the home.
const MOVES: Rate = Rate { at_once: 3, interval: Duration::from_secs(300) };

/// How often a peer that was heard in this network is dialled for that: whoever has recorded its beacon can repeat it elsewhere.
const FINDINGS: Rate = Rate { at_once: 1, interval: Duration::from_secs(60) };
/// How long that can wait for the thread that dials; the peer may be elsewhere by then, and calls again within 75 s.
const FOUND_FOR: Duration = Duration::from_secs(90);
/// How often one peer may have us dial it for files that it does not have.
const VAIN_CALLS: Rate = Rate { at_once: 8, interval: Duration::from_secs(10) };

/// Which way the sending thread came to its socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// We dialled the peer.
    Push,
    /// The peer dialled us to collect.
    Pull,
}

#[derive(Default)]
struct State {
    /// `None` once the peer has left the peers file.
    peer: Option<Peer>,
    /// Rises with every ring.
    news: u64,
    /// The last attempt to reach the peer failed, and a note of it was written.
    failed: bool,
    /// The thread that sends, and a handle to end its connection.
    sending: Option<(u64, Via, Option<Closer>)>,
    /// The highest number that the peer has acknowledged to this node, and when it did.
    acknowledged: Option<(u64, Instant)>,
    /// Gives each sending thread a number.
    senders: u64,
    receiving: usize,
    /// Connections by their numbers, with handles to end them.
    connections: Vec<(u64, Closer)>,
    last_connection: u64,
    /// When a connection last came or went, in seconds of Unix time.
    seen: Option<u64>,
    /// A thread sends queued files.
    files: bool,
    /// Threads that are about to queue a job which they send themselves, and the jobs that such threads have queued.
    holders: usize,
    held_jobs: HashSet<u64>,
    /// The peer has said that files wait for us.
    files_wait: bool,
    /// A thread collects them.
    collects: bool,
    vain: Allowance,
    /// It was told that the peer is connected, and not since that it is not.
    is_announced: bool,
    announcements: Allowance,
    moves: Allowance,
    findings: Allowance,
    /// Where it was heard in this network, and when.
    found: Option<(Address, Instant)>,
}

impl State {
    /// The peer, with where it was heard of late as the first place.
    fn places(&self) -> Option<(Peer, Vec<Place>)> {
        let peer = self.peer.clone()?;
        let found = self.found.as_ref().filter(|(_, when)| when.elapsed() < FOUND_FOR);
        let places = peer.places_near(found.map(|(address, _)| address));
        Some((peer, places))
    }
}

/// Called when a peer has connected or disconnected.
pub type PresenceListener = Box<dyn Fn() + Send>;

/// A peer as its threads share it.
pub struct Contact {
    key: PublicKey,
    desk: Arc<Desk>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Contact {
    fn new(peer: Peer) -> Contact {
        let key = peer.key;
        Contact {
            key,
            desk: Arc::default(),
            state: Mutex::new(State { peer: Some(peer), ..State::default() }),
            changed: Condvar::new(),
        }
    }

    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, wait: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, wait).unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// The peer's key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Where files wait until the peer collects them.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Whether messages go to the peer over a connection that it has dialled: most likely we cannot dial it.
    pub fn dials_in(&self) -> bool {
        matches!(self.state().sending, Some((_, Via::Pull, _)))
    }

    /// Whether messages may pass: it is a peer, and not blocked.
    pub fn is_welcome(&self) -> bool {
        self.state().peer.as_ref().is_some_and(|peer| !peer.is_blocked())
    }

    /// Whether it is connected.
    pub fn is_here(&self) -> bool {
        !self.state().connections.is_empty()
    }

    /// Whether it is connected, and since when or until when; `None` if it never was.
    pub fn presence(&self) -> Option<Presence> {
        let state = self.state();
        state.seen.map(|seconds| Presence { is_here: !state.connections.is_empty(), seconds })
    }

    /// Whether it is to be told now that the peer has come (`true`) or gone; `None` when that was told, or is to wait. A peer
    /// that does nothing but come and go is told of once an `ANNOUNCEMENTS` interval, and then as it is.
    pub fn take_announcement(&self, now: Instant) -> Option<bool> {
        let mut state = self.state();
        let is_here = !state.connections.is_empty();
        let is_due = state.is_announced != is_here && state.announcements.take(ANNOUNCEMENTS, now);
        if is_due {
            state.is_announced = is_here;
        }
        is_due.then_some(is_here)
    }

    /// Whether another address of the peer may be noted on disk now.
    pub fn may_move(&self) -> bool {
        self.state().moves.take(MOVES, Instant::now())
    }

    /// Notes where the peer was heard in this network, and has it dialled there. That is left out if it was dialled for the same
    /// reason less than a minute ago.
    pub fn find_near(&self, address: Address) {
        let (mut state, now) = (self.state(), Instant::now());
        if state.connections.is_empty() && state.findings.take(FINDINGS, now) {
            state.found = Some((address, now));
            state.news += 1;
            self.changed.notify_all();
        }
    }

    /// Where to push to the peer now, best first. Where it was heard in this network is tried once.
    pub fn take_places(&self) -> Vec<Place> {
        let mut state = self.state();
        let places = state.places();
        state.found = None;
        places.map_or_else(Vec::new, |(_, places)| places)
    }

    fn set_peer(&self, peer: Option<Peer>) {
        let mut state = self.state();
        if state.peer != peer {
            state.peer = peer;
            state.news += 1;
            self.changed.notify_all();
        }
    }

    /// Wakes those who send: the outbox has grown, or the peer has come back.
    pub fn ring(&self) {
        self.state().news += 1;
        self.changed.notify_all();
    }

    /// Notes whether the last attempt to reach the peer failed; says whether the one before did.
    pub fn set_failed(&self, failed: bool) -> bool {
        std::mem::replace(&mut self.state().failed, failed)
    }

    /// Whether it failed.
    pub fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Whether a thread sends to it.
    pub fn is_served(&self) -> bool {
        self.state().sending.is_some()
    }

    /// The count of news so far.
    pub fn news(&self) -> u64 {
        self.state().news
    }

    /// The peer as the peers file has it now.
    pub fn peer(&self) -> Option<Peer> {
        self.state().peer.clone()
    }

    /// What it is called now; what it was `called` when its connection began, if it has been removed since.
    pub fn name(&self, called: &str) -> String {
        self.state().peer.as_ref().map_or(called, |peer| &peer.name).to_owned()
    }

    /// For a thread that is about to queue a job, and sends it itself.
    pub fn hold_job(self: &Arc<Self>) -> JobHold {
        self.state().holders += 1;
        JobHold { contact: Arc::clone(self), number: None }
    }

    /// Whether another thread sends this job, or may be about to. Ask after the queue was read: what is in it then, and is
    /// held, shows here.
    pub fn holds_job(&self, number: u64) -> bool {
        let state = self.state();
        state.holders > 0 || state.held_jobs.contains(&number)
    }

    /// Claims the sending of queued files to this peer.
    pub fn begin_files(self: &Arc<Self>) -> Option<FilesTurn> {
        let before = std::mem::replace(&mut self.state().files, true);
        (!before).then(|| FilesTurn(Arc::clone(self)))
    }

    /// Notes that the peer has files for us.
    pub fn note_files_wait(&self) {
        self.state().files_wait = true;
    }

    /// Claims the collecting of files from this peer, if it has said that some wait and nobody collects.
    pub fn begin_collecting(self: &Arc<Self>) -> Option<CollectTurn> {
        let mut state = self.state();
        if state.collects || !std::mem::take(&mut state.files_wait) {
            return None;
        }
        state.collects = true;
        Some(CollectTurn(Arc::clone(self)))
    }

    /// Whether it may call us to collect once more when there was nothing to collect.
    pub fn may_call_in_vain(&self) -> bool {
        self.state().vain.take(VAIN_CALLS, Instant::now())
    }

    /// Waits for news since `seen`, at most `wait`; says whether there was any.
    pub fn wait_for_news(&self, seen: &mut u64, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        let mut state = self.state();
        while state.news == *seen {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            state = self.wait(state, left);
        }
        *seen = state.news;
        true
    }

    /// Waits until the peer has an address and nobody sends; `None` when the peer has left.
    pub fn wait_for_push(&self) -> Option<Peer> {
        self.wait_until(|state| state.sending.is_none())
    }

    /// Waits until we push, so that the peer can be dialled, but nothing has come from it for a moment: then it cannot
    /// dial us, and has to be pulled from. `None` when the peer has left.
    pub fn wait_for_pull(&self, moment: Duration) -> Option<Peer> {
        let one_way =
            |state: &State| matches!(state.sending, Some((_, Via::Push, _))) && state.receiving == 0;
        loop {
            self.wait_until(one_way)?;
            let deadline = Instant::now() + moment;
            let mut state = self.state();
            while one_way(&state) {
                let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                    return state.peer.clone();
                };
                state = self.wait(state, left);
            }
        }
    }

    fn wait_until(&self, wanted: impl Fn(&State) -> bool) -> Option<Peer> {
        let mut state = self.state();
        loop {
            let (peer, places) = state.places()?;
            if wanted(&state) && !places.is_empty() && !peer.is_blocked() {
                return Some(peer);
            }
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Claims the sending of messages to this peer: only one thread does it at a time. A pull replaces an earlier pull,
    /// whose connection must be dead, since a home has one node.
    pub fn begin_sending(self: &Arc<Self>, via: Via, closer: Option<Closer>) -> Option<SendClaim> {
        let mut state = self.state();
        match &state.sending {
            Some((_, Via::Pull, Some(old))) if via == Via::Pull => old.close(),
            Some(_) => return None,
            None => {}
        }
        state.senders += 1;
        let id = state.senders;
        state.sending = Some((id, via, closer));
        self.changed.notify_all();
        Some(SendClaim { contact: Arc::clone(self), id })
    }

    /// Ends the connections that go out from an address that this machine has no more, so that their threads dial again.
    pub fn close_cut_off(&self) {
        let closers: Vec<Closer> =
            self.state().connections.iter().map(|(_, closer)| closer.clone()).collect();
        closers.iter().filter(|closer| closer.is_cut_off()).for_each(Closer::close);
    }

    /// Notes that the peer has acknowledged the messages up to `number`.
    pub fn note_acknowledged(&self, number: u64) {
        self.state().acknowledged = Some((number, Instant::now()));
    }

    /// The highest number that the peer has acknowledged, if it did so after `since`; else 0.
    pub fn acknowledged_since(&self, since: Instant) -> u64 {
        self.state().acknowledged.map_or(0, |(number, when)| if when > since { number } else { 0 })
    }

    /// Notes that a thread receives from this peer.
    pub fn begin_receiving(self: &Arc<Self>) -> ReceiveGuard {
        self.state().receiving += 1;
        self.changed.notify_all();
        ReceiveGuard(Arc::clone(self))
    }

    /// Counts a connection; `None` when there are too many. That the peer dialled us is news for the sending thread.
    /// Calls `listener` when the first connection is there, and later when the last one is gone.
    pub fn connect(
        self: &Arc<Self>,
        closer: Closer,
        peer_dialled: bool,
        listener: PresenceListener,
    ) -> Option<Connection> {
        let (number, is_first) = {
            let mut state = self.state();
            if state.connections.len() >= MAX_CONNECTIONS {
                return None;
            }
            state.last_connection += 1;
            let number = state.last_connection;
            state.connections.push((number, closer));
            state.seen = Some(now_seconds());
            if peer_dialled {
                state.news += 1;
                self.changed.notify_all();
            }
            (number, state.connections.len() == 1)
        };
        // Not under the lock: telling may have to wait for somebody who reads slowly.
        if is_first {
            listener();
        }
        Some(Connection { contact: Arc::clone(self), number, listener })
    }
}

fn now_seconds() -> u64 {
    now_micros() / 1_000_000
}

/// The claim to send, until it is dropped.
pub struct SendClaim {
    contact: Arc<Contact>,
    id: u64,
}

impl Drop for SendClaim {
    fn drop(&mut self) {
        let mut state = self.contact.state();
        if matches!(state.sending, Some((id, ..)) if id == self.id) {
            state.sending = None;
            self.contact.changed.notify_all();
        }
    }
}

/// The claim to send queued files, until it is dropped.
pub struct FilesTurn(Arc<Contact>);

impl Drop for FilesTurn {
    fn drop(&mut self) {
        self.0.state().files = false;
    }
}

/// A job that one thread queues and sends, and that of all who send queued files no other one takes, until this is dropped.
pub struct JobHold {
    contact: Arc<Contact>,
    number: Option<u64>,
}

impl JobHold {
    /// The job has this number.
    pub fn note(&mut self, number: u64) {
        self.number = Some(number);
        let mut state = self.contact.state();
        state.holders -= 1;
        state.held_jobs.insert(number);
    }
}

impl Drop for JobHold {
    fn drop(&mut self) {
        let mut state = self.contact.state();
        match self.number {
            Some(number) => drop(state.held_jobs.remove(&number)),
            None => state.holders -= 1,
        }
    }
}

/// The claim to collect files, until it is dropped.
pub struct CollectTurn(Arc<Contact>);

impl Drop for CollectTurn {
    fn drop(&mut self) {
        self.0.state().collects = false;
    }
}

/// A receiving thread, until it is dropped.
pub struct ReceiveGuard(Arc<Contact>);

impl Drop for ReceiveGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.receiving -= 1;
        // The sending thread is to see whether its own connection still stands.
        state.news += 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

/// A connection of the peer, until it is dropped.
pub struct Connection {
    contact: Arc<Contact>,
    number: u64,
    listener: PresenceListener,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let is_last = {
            let mut state = self.contact.state();
            state.connections.retain(|(number, _)| *number != self.number);
            state.seen = Some(now_seconds());
            state.connections.is_empty()
        };
        if is_last {
            (self.listener)();
        }
    }
}

/// All peers of a running node.
#[derive(Default)]
pub struct Roster {
    contacts: Mutex<HashMap<PublicKey, Arc<Contact>>>,
}

impl Roster {
    fn contacts(&self) -> MutexGuard<'_, HashMap<PublicKey, Arc<Contact>>> {
        self.contacts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The contact with this key.
    pub fn get(&self, key: &PublicKey) -> Option<Arc<Contact>> {
        self.contacts().get(key).cloned()
    }

    /// All contacts.
    pub fn all(&self) -> Vec<Arc<Contact>> {
        self.contacts().values().cloned().collect()
    }

    /// Makes the roster what the peers file says; gives the contacts that are new, for whom threads are to be started.
    pub fn update<'a>(&self, peers: impl Iterator<Item = &'a Peer>) -> Vec<Arc<Contact>> {
        let mut contacts = self.contacts();
        let mut gone = std::mem::take(&mut *contacts);
        let mut new = Vec::new();
        for peer in peers {
            let contact = match gone.remove(&peer.key) {
                Some(contact) => {
                    contact.set_peer(Some(peer.clone()));
                    contact
                }
                None => {
                    let contact = Arc::new(Contact::new(peer.clone()));
                    new.push(Arc::clone(&contact));
                    contact
                }
            };
            contacts.insert(peer.key, contact);
        }
        for contact in gone.values() {
            contact.set_peer(None);
        }
        new
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    use crate::crypto::keys::Seed;
    use crate::net::transport::{Origin, Stream};

    #[test]
    fn a_peer_that_comes_and_goes_is_told_of_at_a_rate_and_then_as_it_is() {
        let key = Seed::generate().static_keys().public();
        let contact = Arc::new(Contact::new(Peer::new("bob".into(), key, Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let closer = Stream::new(stream, Origin::Direct([127, 0, 0, 1].into())).closer();
        let start = Instant::now();
        let told = || contact.take_announcement(start);
        let mut count = 0;
        for _ in 0..100 {
            let connection = contact.connect(closer.clone(), true, Box::new(|| {})).unwrap();
            count += usize::from(told() == Some(true));
            drop(connection);
            count += usize::from(told() == Some(false));
        }
        assert_eq!(count, ANNOUNCEMENTS.at_once as usize);
        let _connection = contact.connect(closer.clone(), true, Box::new(|| {})).unwrap();
        assert_eq!(told(), None);
        let later = start + ANNOUNCEMENTS.interval;
        assert_eq!(contact.take_announcement(later), Some(true));
        assert_eq!(contact.take_announcement(later + ANNOUNCEMENTS.interval), None, "it was told");
    }
}
