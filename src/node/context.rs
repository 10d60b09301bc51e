//! The context: what all threads of one node share, and the small things that each of them does with it. The context
//! starts no thread. Whatever needs a new one is noted here, and the supervisor is woken.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, Verb};
use crate::net::endpoint::Endpoint;
use crate::net::session::Session;
use crate::net::telling::{Exchange, OwnAddresses};
use crate::net::transport::route::Route;
use crate::node::door::admission::{Admission, TurnedAway};
use crate::node::event::NodeEvent;
use crate::node::files::lanes::Lanes;
use crate::node::files::shares::Shares;
use crate::node::files::transfers::Transfers;
use crate::node::hooks::turns::Bell;
use crate::node::live::Live;
use crate::node::options::Options;
use crate::node::outside::Outside;
use crate::node::pairing::OwnProfile;
use crate::node::pairing::waiting::Waiting;
use crate::node::room::{News, Room};
use crate::node::roster::{Connection, Contact, Roster};
use crate::store::attempts;
use crate::store::node_lock::{NodeInfo, NodeLock};
use crate::store::peers::{self, Peers};
use crate::wire::address::Address;
use crate::wire::told::ToldAddresses;

/// How long a user who was told that a disk is full is not told again: each peer that tries meets it.
const FULL_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The channels to the threads of the node, and to whoever runs it.
pub struct Channels {
    /// To whoever runs the node.
    pub events: SyncSender<NodeEvent>,
    /// To the thread that closes connections after a delay.
    pub turned_away: SyncSender<TurnedAway>,
    /// To the supervisor. One waiting signal is enough, so the capacity is 1.
    pub wake: SyncSender<()>,
    /// To the hooks, if there are any.
    pub hooks: Option<Bell>,
}

/// What the supervisor is to look at.
#[derive(Default)]
pub struct PendingRings {
    /// Everything.
    pub all: bool,
    /// What waits for these peers.
    pub peers: HashSet<PublicKey>,
}

/// What [`peers::version`] says of the peers file.
type PeersVersion = Option<(SystemTime, u64)>;

/// What all threads of a node share.
pub struct Context {
    own: Endpoint,
    options: Options,
    roster: Roster,
    admission: Arc<Admission>,
    transfers: Arc<Transfers>,
    lanes: Arc<Lanes>,
    live: Arc<Live>,
    own_addresses: Arc<OwnAddresses>,
    outside: Outside,
    shares: Arc<Shares>,
    waiting: Mutex<Option<Arc<Waiting>>>,
    /// Where the messages of peers go.
    room: Room,
    /// When the user was told last that a disk is full.
    told_full: Mutex<Option<Instant>>,
    /// No front-end gets the seed any more.
    keeps_seed: AtomicBool,
    /// Why the peers file could not be read when that was told last, and what had changed the file last.
    told_peers: Mutex<Option<(String, PeersVersion)>>,
    channels: Channels,
    /// The version of the peers file that the roster shows.
    peers_version: Mutex<PeersVersion>,
    /// What front-ends have rung for since the supervisor looked last.
    rings: Mutex<PendingRings>,
    /// Contacts for which the supervisor has not yet started threads.
    new_contacts: Mutex<Vec<Arc<Contact>>>,
    /// Until the last thread of the node has ended, no other node may start on this home.
    lock: Option<NodeLock>,
}

impl Context {
    /// The context of a node that holds `lock`, with an empty roster.
    pub fn new(own: Endpoint, options: Options, channels: Channels, lock: Option<NodeLock>) -> Context {
        let seats = options.limits.seats;
        let shares = Arc::new(Shares::new(&own, options.has_messages(), options.share.clone(), seats));
        Context {
            admission: Arc::new(Admission::new(options.limits)),
            room: Room::new(own.home().dir(), options.keep_free),
            told_full: Mutex::new(None),
            waiting: Mutex::new(options.waiting.clone()),
            keeps_seed: AtomicBool::new(false),
            told_peers: Mutex::new(None),
            own,
            options,
            roster: Roster::default(),
            transfers: Arc::default(),
            lanes: Arc::default(),
            live: Arc::default(),
            own_addresses: Arc::default(),
            outside: Outside::default(),
            shares,
            rings: Mutex::default(),
            channels,
            peers_version: Mutex::new(None),
            new_contacts: Mutex::default(),
            lock,
        }
    }

    /// The home, its keys, and the way out.
    pub fn own(&self) -> &Endpoint {
        &self.own
    }
    /// The seed of the identity for a front-end, unless [`Context::forget_seed`] was called.
    pub fn seed(&self) -> Option<[u8; 32]> {
        (!self.keeps_seed.load(Ordering::Relaxed)).then(|| *self.own.seed())
    }
    /// Gives the seed to no front-end any more.
    pub fn forget_seed(&self) {
        self.keeps_seed.store(true, Ordering::Relaxed);
    }
    /// What whoever started the node wants from it.
    pub fn options(&self) -> &Options {
        &self.options
    }
    /// The peers.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }
    /// Who may connect.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
    /// The transfers that are being received.
    pub fn transfers(&self) -> &Arc<Transfers> {
        &self.transfers
    }
    /// The lanes that peers dial.
    pub fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }
    /// Where peers are told that this node can be dialled.
    pub fn own_addresses(&self) -> &Arc<OwnAddresses> {
        &self.own_addresses
    }

    /// The part of a session with the contact that exchanges addresses. What the peer tells is noted as often as
    /// [`Contact::may_move`] lets it.
    pub fn exchange(self: &Arc<Self>, contact: &Arc<Contact>) -> Exchange {
        let (context, contact) = (Arc::clone(self), Arc::clone(contact));
        let learn = move |told: &ToldAddresses| {
            let is_news = contact.peer().is_some_and(|mut peer| peer.note_told(told));
            if is_news && !contact.may_move() {
                return false;
            }
            let note = |peers: &mut Peers| {
                Ok(peers.by_key_mut(&contact.key()).is_some_and(|peer| peer.note_told(told)))
            };
            // A note that cannot be written is tried again later.
            !is_news || Peers::edit(context.own().home(), note).and_then(|_| context.refresh_roster()).is_ok()
        };
        Exchange::new(&self.own_addresses, Box::new(learn))
    }

    /// Somebody whose user compares digits, as long as that is not over.
    pub fn waiting(&self) -> Option<Arc<Waiting>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// From here on this one waits; false if another one does.
    pub fn begin_waiting(&self, waiting: &Arc<Waiting>) -> bool {
        let mut other = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_free = other.as_ref().is_none_or(|other| other.is_idle());
        if is_free {
            *other = Some(Arc::clone(waiting));
        }
        is_free
    }

    /// What front-ends see of the node.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }
    /// What the node knows of its outside addresses.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }
    /// What others may fetch here.
    pub fn shares(&self) -> &Arc<Shares> {
        &self.shares
    }
    /// Takes connections that were turned away, to close them after a delay.
    pub fn turned_away(&self) -> &SyncSender<TurnedAway> {
        &self.channels.turned_away
    }

    /// Makes the supervisor look at what waits for a peer, or at everything. Never blocks.
    pub fn ring(&self, peer: Option<PublicKey>) {
        {
            let mut rings = self.rings();
            match peer {
                Some(peer) => drop(rings.peers.insert(peer)),
                None => rings.all = true,
            }
        }
        self.wake_supervisor();
    }

    fn rings(&self) -> MutexGuard<'_, PendingRings> {
        self.rings.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes what was rung for since the last call.
    pub fn take_rings(&self) -> PendingRings {
        std::mem::take(&mut *self.rings())
    }

    /// Wakes the supervisor. Never blocks.
    fn wake_supervisor(&self) {
        // A full channel means that the supervisor has not yet seen an earlier signal; that one is enough.
        let _ = self.channels.wake.try_send(());
    }

    /// Makes front-ends and hooks look at the history of this peer, where something has just been stored.
    pub fn ring_arrival(&self, peer: &PublicKey) {
        self.live.look();
        if let Some(hooks) = &self.channels.hooks {
            hooks.ring(peer);
        }
    }

    /// Tells front-ends how to reach the node, if it has the home.
    pub fn publish(&self, info: &NodeInfo) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.publish(info))
    }

    /// The profile that this node sends to others. The port of a one-off receiver is gone in a moment, so it tells that of the
    /// node beside it, if there is one.
    pub fn profile(&self) -> Result<OwnProfile> {
        if !self.options.has_messages() {
            return OwnProfile::new(&self.own);
        }
        OwnProfile::at_port(&self.own, self.live.listening_port())
    }

    /// Sends an event to whoever runs the node. Blocks while the channel is full.
    pub fn tell(&self, event: NodeEvent) {
        // The receiver is gone when the process is about to end.
        let _ = self.channels.events.send(event);
    }

    /// Reports an error that the node survives. A lost connection is no trouble: the peer shows as away.
    pub fn trouble(&self, error: Error) {
        match error {
            Error::Lost { .. } => {}
            error if error.is_disk_full() && !self.is_full_news() => {}
            error if !self.is_peers_news(&error) => {}
            error => self.tell(NodeEvent::Trouble(error)),
        }
    }

    /// A peers file that cannot be read is met by every look and every stranger, until it changes.
    fn is_peers_news(&self, error: &Error) -> bool {
        let file = self.own.home().peers_path();
        if !matches!(error, Error::Disk { path, .. } if *path == file) {
            return true;
        }
        let new = Some((error.to_string(), peers::version(&file)));
        let mut told = self.told_peers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_news = *told != new;
        *told = new;
        is_news
    }

    fn is_full_news(&self) -> bool {
        let mut told = self.told_full.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_news = told.is_none_or(|told| told.elapsed() > FULL_REPORT_INTERVAL);
        if is_news {
            *told = Some(Instant::now());
        }
        is_news
    }

    /// Ends the node if `result` says that a history or an outbox could not be written: what is on the disk then is
    /// unknown, so the node must not acknowledge anything more. Other errors of a log stop the flow that met them, and so
    /// does a disk that is full, where the log was cut back to what it had.
    pub fn logged<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            // A log that could not be cut back may show what the disk does not have.
            error if error.is_disk_full() && !matches!(error, Error::Disk { verb: Verb::Truncate, .. }) => {
                error
            }
            Error::Disk { verb, path, cause } if verb.may_lose_bytes() => {
                let lost = Error::failed(format!("{} could not be written", path.display()));
                self.tell(NodeEvent::Fatal(Error::Disk { verb: Verb::Write, path, cause }));
                lost
            }
            other => other,
        })
    }

    /// Whether there is room for so many bytes of messages of the peer. The user hears of it when there is none.
    pub fn may_store(&self, contact: &Contact, bytes: usize) -> bool {
        self.has_room(self.room.take(&contact.key(), &contact.name("a peer"), bytes as u64))
    }

    /// Whether the peer may send messages: there is room for what it was refused last.
    pub fn may_send(&self, contact: &Contact) -> bool {
        self.has_room(self.room.check(&contact.key(), &contact.name("a peer")))
    }

    fn has_room(&self, answer: std::result::Result<(), News>) -> bool {
        if let Err(Some(news)) = answer {
            self.trouble(news);
            return false;
        }
        answer.is_ok()
    }

    /// Brings the roster up to date with the peers file, and notes new contacts for the supervisor. A peers file that
    /// cannot be parsed is an error once, and is not read again before it changes; after another error the next call
    /// retries.
    pub fn refresh_roster(&self) -> Result<()> {
        let mut shown = self.peers_version.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let version = peers::version(&self.own.home().peers_path());
        if *shown == version {
            return Ok(());
        }
        let peers = match Peers::load(self.own.home()) {
            Err(error @ Error::Disk { .. }) => return Err(error),
            loaded => {
                *shown = version;
                loaded?
            }
        };
        let welcome = peers.iter().filter(|peer| !peer.is_blocked());
        self.admission.await_peers(welcome.flat_map(|peer| peer.ips().map(|ip| (ip, peer.key))));
        let new = self.roster.update(peers.iter());
        if self.options.has_messages() && !new.is_empty() {
            self.new_contacts().extend(new);
            self.ring(None);
        }
        Ok(())
    }

    fn new_contacts(&self) -> MutexGuard<'_, Vec<Arc<Contact>>> {
        self.new_contacts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the contacts that are new since the last call. Their threads are still to be started.
    pub fn take_new_contacts(&self) -> Vec<Arc<Contact>> {
        std::mem::take(&mut *self.new_contacts())
    }

    /// Notes that a connection to the peer works: clears the failure that `egoat outbox` shows, and wakes the threads
    /// that wait to retry, for messages or files.
    pub fn reached(&self, contact: &Contact) -> Result<()> {
        let had_failed = contact.set_failed(false);
        attempts::clear(self.own.home(), &contact.key())?;
        if had_failed {
            contact.ring();
        }
        Ok(())
    }

    /// Tells that a peer has come or gone, if that is still to be told and is due.
    pub fn tell_presence(&self, contact: &Contact) {
        let Some(peer) = contact.peer() else { return };
        presence_event(contact, &peer.name).into_iter().for_each(|event| self.tell(event));
    }

    /// Counts a connection of a peer until the result is dropped; `None` if the peer has too many. Sends an event with
    /// the first connection and with the end of the last, as often as [`Contact::take_announcement`] lets it.
    pub fn connect(
        &self,
        contact: &Arc<Contact>,
        session: &Session,
        peer_dialled: bool,
    ) -> Option<Connection> {
        let (events, named) = (self.channels.events.clone(), Arc::clone(contact));
        let (live, name) = (Arc::clone(&self.live), session.label().to_owned());
        let address = session.remote_address().map_or_else(String::new, |at| Address::from(at).to_string());
        let path = session.route().map_or_else(|| session.path_here(), Route::path);
        let report = move || {
            live.note_peer(named.key(), path, &address, || named.is_here());
            let _ = presence_event(&named, &name).is_none_or(|event| events.send(event).is_ok());
        };
        contact.connect(session.closer(), peer_dialled, Box::new(report))
    }
}

/// What is to be told of whether a peer is here; `called` is its name, if it has been removed since.
fn presence_event(contact: &Contact, called: &str) -> Option<NodeEvent> {
    let is_here = contact.take_announcement(Instant::now())?;
    let peer = contact.name(called);
    Some(if is_here { NodeEvent::Connected { peer } } else { NodeEvent::Disconnected { peer } })
}
