//! A running node: what its threads share, how they start, and how the roster follows the peers file and the outboxes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, Verb};
use crate::net::local;
use crate::node::admission::Admission;
use crate::node::dialler;
use crate::node::doorbell::Doorbell;
use crate::node::event::Event;
use crate::node::hooks::{Bell, Hooks, Programs};
use crate::node::limits::Limits;
use crate::node::listener::{self, Listen, TurnedAway};
use crate::node::pairing::OwnProfile;
use crate::node::pipe::Pipe;
use crate::node::queued;
use crate::node::roster::{Connection, Contact, Roster, Via};
use crate::node::transfers::Transfers;
use crate::store::attempts;
use crate::store::cancel::cancel;
use crate::store::home::Own;
use crate::store::node_lock::{self, NodeInfo, NodeLock};
use crate::store::peers::{self, Peer, Peers};
use crate::store::presence::{self, Presence};
use crate::store::queued_files::Listed;

/// Stack of a thread in bytes (DESIGN section 5).
pub const STACK: usize = 256 << 10;
/// Events that wait to be told; more hold up what they come from, rather than fill the memory. Each may have a message.
const EVENTS: usize = 64;
/// The machine's own addresses are compared this often.
const NETWORK: Duration = Duration::from_secs(5);
/// Those who were turned away are told of this often at most.
const COUNT: Duration = Duration::from_secs(60);
/// Those who deliver without a node let go within this.
const HOLD: Duration = Duration::from_secs(30);

/// What a node is to do.
pub struct Options {
    /// Where to listen; empty for the default port everywhere.
    pub listen: Vec<Listen>,
    /// Where files land.
    pub files_to: FilesTo,
    /// The most bytes of one transfer, if the rules of the peers file hold; else everything is taken.
    pub max_bytes: Option<u64>,
    /// Files that are there already are replaced.
    pub overwrite: bool,
    /// There is a user to ask.
    pub asks: bool,
    /// How many connections are taken.
    pub limits: Limits,
    /// Strangers become peers on first use.
    pub accept_new: bool,
    /// Messages are exchanged, and the peers are dialled: not by a one-off receiver.
    pub messages: bool,
    /// Whose files are taken.
    pub files_from: FilesFrom,
    /// What is run for what arrives.
    pub programs: Programs,
}

/// Where files land.
pub enum FilesTo {
    /// In this directory, in a folder for each peer.
    Folders(PathBuf),
    /// In this directory itself.
    Flat(PathBuf),
    /// On stdout, one file.
    Pipe(Pipe),
}

/// Whose files a node takes.
pub enum FilesFrom {
    /// All peers'.
    Peers,
    /// Those of one peer.
    Peer(PublicKey),
    /// Those of whoever used the invite with this id in base32.
    Invited(String),
}

impl FilesFrom {
    /// Whether these are `peer`'s.
    pub fn includes(&self, peer: &Peer) -> bool {
        match self {
            FilesFrom::Peers => true,
            FilesFrom::Peer(key) => peer.key == *key,
            FilesFrom::Invited(id) => peer.used_invite(id),
        }
    }
}

impl Options {
    /// The folder for a peer's files.
    pub fn landing(&self, peer: &str) -> PathBuf {
        match &self.files_to {
            FilesTo::Folders(dir) => dir.join(peer),
            FilesTo::Flat(dir) => dir.clone(),
            FilesTo::Pipe(_) => PathBuf::new(),
        }
    }
}

/// What all threads of a node share.
pub struct Shared {
    own: Own,
    options: Options,
    roster: Roster,
    admission: Arc<Admission>,
    turned_away: mpsc::SyncSender<TurnedAway>,
    doorbell: Doorbell,
    hooks: Option<Bell>,
    listening_port: u16,
    events: mpsc::SyncSender<Event>,
    /// The version of the peers file that was read last.
    peers_version: Mutex<Option<(SystemTime, u64)>>,
    transfers: Arc<Transfers>,
    /// Peers whose threads could not be started.
    undialled: Mutex<Vec<(Arc<Contact>, Via)>>,
    _lock: Option<NodeLock>,
}

/// Starts a node, which runs until the process ends; what happens comes out of the channel.
pub fn start(own: Own, mut options: Options) -> Result<Receiver<Event>> {
    let lock = if options.messages { Some(take_home(&own)?) } else { None };
    let hooks = Hooks::open(&own, std::mem::take(&mut options.programs))?;
    let listeners = match listener::bind(&options.listen) {
        // A one-off receiver beside a running node takes any port.
        Err(_) if !options.messages && options.listen.is_empty() => listener::bind_everywhere(0)?,
        bound => bound?,
    };
    let addresses = listener::local_addresses(&listeners);
    let doorbell = Doorbell::hang()?;
    let (events, receiver) = mpsc::sync_channel(EVENTS);
    for address in &addresses {
        // The receiver is still here.
        let _ = events.send(Event::Listening(*address));
    }
    if let Some(lock) = &lock {
        lock.publish(own.home(), &NodeInfo { doorbell: doorbell.port(), listening: addresses.clone() })?;
    }
    let limits = options.limits;
    let (turn_away, turned_away) = mpsc::sync_channel(limits.pending);
    let shared = Arc::new(Shared {
        own,
        options,
        roster: Roster::default(),
        admission: Arc::new(Admission::new(limits)),
        turned_away: turn_away,
        doorbell,
        hooks: hooks.as_ref().map(Hooks::bell),
        listening_port: addresses.first().map_or(0, |address| address.port()),
        events,
        peers_version: Mutex::new(None),
        transfers: Arc::default(),
        undialled: Mutex::default(),
        _lock: lock,
    });
    shared.refresh_roster()?;
    shared.spawn("turned away", move || listener::close_later(&turned_away))?;
    if let Some(hooks) = hooks {
        let there = Arc::clone(&shared);
        shared.spawn("hooks", move || hooks.run(&there))?;
    }
    for listener in listeners {
        let there = Arc::clone(&shared);
        shared.spawn("listener", move || listener::accept(&there, &listener))?;
    }
    let there = Arc::clone(&shared);
    shared.spawn("supervisor", move || supervise(&there))?;
    Ok(receiver)
}

/// Becomes the node of the home. A `say` that is delivering is waited for; a node is not.
fn take_home(own: &Own) -> Result<NodeLock> {
    let deadline = Instant::now() + HOLD;
    loop {
        if let Some(lock) = NodeLock::take(own.home())? {
            return Ok(lock);
        }
        if node_lock::running(own.home())?.is_some() {
            return Err(Error::NodeRunning { home: own.home().dir().to_owned() });
        }
        if Instant::now() >= deadline {
            return Err(Error::failed("another egoat is still delivering from this home"));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Follows the peers file and the outboxes: woken by the doorbell, and by itself every second.
fn supervise(shared: &Arc<Shared>) {
    let mut followed = Followed::default();
    let mut present = presence::load(shared.own.home());
    // Of those who were here when another node ended, nobody knows how long they stayed.
    present.values_mut().for_each(|one| one.is_here = false);
    presence::save(shared.own.home(), &present);
    let mut addresses = local::outward_ips();
    let mut compared = Instant::now();
    let mut counted: Option<Instant> = None;
    loop {
        match shared.refresh_roster() {
            // Too few file descriptors for a moment, most likely: it is tried again in a second.
            Ok(()) | Err(Error::Disk { .. }) => {}
            Err(error) => shared.tell(Event::Trouble(error)),
        }
        let again = std::mem::take(&mut *shared.undialled());
        shared.start_dialling(again);
        shared.transfers.close_unless(|peer| shared.roster.get(peer).is_some_and(|one| one.is_welcome()));
        followed.forget_others(&shared.roster);
        for contact in shared.roster.all() {
            followed.look_at(shared, &contact);
        }
        note_presence(shared, &mut present);
        // Another network: who could not be reached may be now.
        if compared.elapsed() > NETWORK {
            compared = Instant::now();
            let now = local::outward_ips();
            if std::mem::replace(&mut addresses, now.clone()) != now {
                shared.roster.all().iter().for_each(|contact| contact.ring());
            }
        }
        if counted.is_none_or(|counted| counted.elapsed() > COUNT) && shared.tell_refusals() {
            counted = Some(Instant::now());
        }
        shared.doorbell.wait();
    }
}

/// What the supervisor has seen of each contact.
#[derive(Default)]
struct Followed {
    /// Of the outboxes for messages and for files.
    lengths: HashMap<PublicKey, (u64, u64)>,
    files: HashMap<PublicKey, Listed>,
    /// Blocked, and the queue dropped.
    blocked: HashSet<PublicKey>,
}

impl Followed {
    /// Forgets those who are no contacts any more; the logs that were read for them are closed.
    fn forget_others(&mut self, roster: &Roster) {
        self.lengths.retain(|key, _| roster.get(key).is_some());
        self.files.retain(|key, _| roster.get(key).is_some());
        self.blocked.retain(|key| roster.get(key).is_some());
    }

    /// Wakes who sends to a contact when there is something to send or to try again.
    fn look_at(&mut self, shared: &Arc<Shared>, contact: &Arc<Contact>) {
        let (home, key) = (shared.own.home(), contact.key());
        let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
        let now = (length(home.outbox_path(&key)), length(home.queued_files_path(&key)));
        let has_grown = self.lengths.insert(key, now) != Some(now);
        // Somebody took the note of the failure away: `egoat outbox retry`.
        let is_wanted = contact.has_failed() && !home.attempts_path(&key).exists();
        if is_wanted {
            contact.set_failed(false);
        }
        if has_grown || is_wanted {
            contact.ring();
        }
        if contact.is_welcome() {
            self.blocked.remove(&key);
        } else if self.blocked.insert(key) || has_grown {
            // Nothing waits for a peer who is blocked. After a failure the next change of the queue tries again.
            if let Err(error) = cancel(&shared.own, &key, |_| true) {
                shared.tell(Event::Trouble(error));
            }
        }
        let listed = self.files.entry(key).or_insert_with(|| shared.own.read_queued_files(&key));
        // What is damaged is told by those who list it.
        if listed.has_waiting().unwrap_or(false) {
            shared.send_files(contact);
        }
    }
}

/// Tells front-ends who is here, when that has changed.
fn note_presence(shared: &Shared, present: &mut HashMap<PublicKey, Presence>) {
    let known = present.len();
    present.retain(|key, _| shared.roster.get(key).is_some());
    let mut has_changed = present.len() != known;
    for contact in shared.roster.all() {
        let Some(now) = contact.presence() else { continue };
        let before = present.insert(contact.key(), now);
        // Who is here is not noted again with each connection.
        has_changed |=
            before.is_none_or(|before| before.is_here != now.is_here || (!now.is_here && before != now));
    }
    if has_changed {
        presence::save(shared.own.home(), present);
        shared.doorbell.ring_back();
    }
}

impl Shared {
    /// The home and its keys.
    pub fn own(&self) -> &Own {
        &self.own
    }
    /// What the node is to do.
    pub fn options(&self) -> &Options {
        &self.options
    }
    /// The peers.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }
    /// The doorman.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
    /// Takes those who are turned away.
    pub fn turned_away(&self) -> &mpsc::SyncSender<TurnedAway> {
        &self.turned_away
    }
    /// The transfers that come in.
    pub fn transfers(&self) -> &Arc<Transfers> {
        &self.transfers
    }
    /// The bell.
    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// Something has arrived and is in the history of the peer: front-ends and hooks are to look.
    pub fn ring_arrival(&self, peer: &PublicKey) {
        self.doorbell.ring_back();
        if let Some(hooks) = &self.hooks {
            hooks.ring(peer);
        }
    }

    /// Who this node says that it is.
    pub fn profile(&self) -> Result<OwnProfile> {
        OwnProfile::at_port(&self.own, self.listening_port)
    }

    /// Tells whoever runs the node.
    pub fn tell(&self, event: Event) {
        // Nobody listens any more when the process is about to end.
        let _ = self.events.send(event);
    }

    /// Tells of those who were turned away; says whether there were any. What is remembered of them has an end, too.
    fn tell_refusals(&self) -> bool {
        self.admission.sweep();
        let refusals = self.admission.take_refusals();
        let any = refusals.total() > 0;
        if any {
            self.tell(Event::Refusals(refusals));
        }
        any
    }

    /// Tells of an error that the node survives. A lost connection is told as a peer that is away.
    pub fn trouble(&self, error: Error) {
        match error {
            Error::Lost { .. } => {}
            error => self.tell(Event::Trouble(error)),
        }
    }

    /// Ends the node for an error of a history or outbox that could not be written: what is on the disk then is unknown,
    /// so nothing more may be acknowledged. Other errors of a log stop the flow that met them.
    pub fn logged<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            Error::Disk { verb, path, cause } if verb.may_lose_bytes() => {
                let lost = Error::failed(format!("{} could not be written", path.display()));
                self.tell(Event::Fatal(Error::Disk { verb: Verb::Write, path, cause }));
                lost
            }
            other => other,
        })
    }

    /// Starts a thread. Not being able to is an error of that one thing only.
    pub fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let started = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(work);
        started.map(drop).map_err(|cause| Error::failed(format!("no thread could be started: {cause}")))
    }

    /// Runs `work` in a thread of its own and waits for it; in this one if there is no other to be had.
    pub fn run_apart<T: Send>(&self, work: impl Fn() -> T + Sync) -> T {
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, &work);
            match thread.map(|thread| thread.join()) {
                Ok(Ok(done)) => done,
                _ => work(),
            }
        })
    }

    /// Makes the roster what the peers file says now; new peers get their threads. A file that cannot be understood is
    /// told once, and not read again before it changes; other failures are tried again.
    pub fn refresh_roster(self: &Arc<Self>) -> Result<()> {
        let mut read = self.peers_version.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let version = peers::version(&self.own.home().peers_path());
        if *read == version {
            return Ok(());
        }
        let peers = match Peers::load(self.own.home()) {
            Err(error @ Error::Disk { .. }) => return Err(error),
            loaded => {
                *read = version;
                loaded?
            }
        };
        self.admission.expect(peers.iter().filter(|peer| !peer.is_blocked()).flat_map(Peer::ips));
        for contact in self.roster.update(peers.iter()) {
            if self.options.messages {
                self.start_dialling([(Arc::clone(&contact), Via::Push), (contact, Via::Pull)]);
            }
        }
        Ok(())
    }

    /// Starts threads that dial. Those that cannot be had now are tried again; their peer may dial us meanwhile.
    fn start_dialling(self: &Arc<Self>, dialling: impl IntoIterator<Item = (Arc<Contact>, Via)>) {
        let mut later = Vec::new();
        for (contact, via) in dialling {
            let (there, its) = (Arc::clone(self), Arc::clone(&contact));
            let started = match via {
                Via::Push => self.spawn("push", move || dialler::push(&there, &its)),
                Via::Pull => self.spawn("pull", move || dialler::pull(&there, &its)),
            };
            later.extend(started.is_err().then_some((contact, via)));
        }
        self.undialled().extend(later);
    }

    fn undialled(&self) -> MutexGuard<'_, Vec<(Arc<Contact>, Via)>> {
        self.undialled.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Has a thread send what is queued for the contact, unless one does.
    fn send_files(self: &Arc<Self>, contact: &Arc<Contact>) {
        if !contact.is_welcome() {
            return;
        }
        let Some(turn) = contact.begin_files() else { return };
        let (there, its) = (Arc::clone(self), Arc::clone(contact));
        // Without a thread it is tried again in a second.
        let _ = self.spawn("files", move || queued::run(&there, &its, &turn));
    }

    /// The peer was reached: what is noted of failures is over, and whoever waits to try again, for messages or
    /// files, tries now.
    pub fn reached(&self, contact: &Contact) -> Result<()> {
        let had_failed = contact.set_failed(false);
        attempts::clear(self.own.home(), &contact.key())?;
        if had_failed {
            contact.ring();
        }
        Ok(())
    }

    /// Counts a connection of a peer, and tells when the first comes and the last goes.
    pub fn connect(
        self: &Arc<Self>,
        contact: &Arc<Contact>,
        name: &str,
        peer_dialled: bool,
    ) -> Option<Connection> {
        let (events, its, called) = (self.events.clone(), Arc::clone(contact), name.to_owned());
        let told = move |here| {
            let peer = its.name(&called);
            let _ = events.send(if here { Event::Connected { peer } } else { Event::Disconnected { peer } });
        };
        contact.connect(peer_dialled, Box::new(told))
    }
}
