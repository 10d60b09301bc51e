//! A running node: what its threads share, how they start, and how the roster follows the peers file and the outboxes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::local;
use crate::node::admission::Admission;
use crate::node::dialler;
use crate::node::doorbell::Doorbell;
use crate::node::event::Event;
use crate::node::listener::{self, Listen};
use crate::node::pairing::OwnProfile;
use crate::node::roster::{Connection, Contact, Roster};
use crate::store::home::Own;
use crate::store::node_lock::{self, NodeInfo, NodeLock};
use crate::store::peers::{self, Peer, Peers};

/// Stack of a thread in bytes (DESIGN section 5).
const STACK: usize = 256 << 10;
/// Events that wait to be told; more hold up what they come from, rather than fill the memory.
const EVENTS: usize = 256;
/// The machine's own addresses are compared this often.
const NETWORK: Duration = Duration::from_secs(5);
/// Those who deliver without a node let go within this.
const HOLD: Duration = Duration::from_secs(30);
/// A sender that was told that all is stored may come again before its last connection is closed and noted here.
const WIND_UP: Duration = Duration::from_secs(3);

/// What a node is to do.
pub struct Options {
    /// Where to listen; empty for the default port everywhere.
    pub listen: Vec<Listen>,
    /// Where files land, in a folder for each peer.
    pub downloads: PathBuf,
    /// Files land in `downloads` itself.
    pub flat: bool,
    /// The most bytes of one transfer.
    pub max_bytes: u64,
    /// Strangers become peers on first use.
    pub accept_new: bool,
    /// Messages are exchanged, and the peers are dialled: not by a one-off receiver.
    pub messages: bool,
    /// Whose files are taken.
    pub files_from: FilesFrom,
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
        if self.flat { self.downloads.clone() } else { self.downloads.join(peer) }
    }
}

/// What all threads of a node share.
pub struct Shared {
    own: Own,
    options: Options,
    roster: Roster,
    admission: Arc<Admission>,
    doorbell: Doorbell,
    listening_port: u16,
    events: mpsc::SyncSender<Event>,
    /// The version of the peers file that was read last.
    peers_version: Mutex<Option<(SystemTime, u64)>>,
    /// Peers whose files are arriving.
    transfers: Mutex<Vec<PublicKey>>,
    /// A transfer is over.
    transfer_over: Condvar,
    _lock: Option<NodeLock>,
}

/// Starts a node, which runs until the process ends; what happens comes out of the channel.
pub fn start(own: Own, options: Options) -> Result<Receiver<Event>> {
    let lock = if options.messages { Some(take_home(&own)?) } else { None };
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
    let shared = Arc::new(Shared {
        own,
        options,
        roster: Roster::default(),
        admission: Arc::default(),
        doorbell,
        listening_port: addresses.first().map_or(0, |address| address.port()),
        events,
        peers_version: Mutex::new(None),
        transfers: Mutex::default(),
        transfer_over: Condvar::new(),
        _lock: lock,
    });
    shared.refresh_roster()?;
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
    let mut lengths = HashMap::new();
    let mut addresses = local::outward_ips();
    let mut compared = Instant::now();
    loop {
        match shared.refresh_roster() {
            // Too few file descriptors for a moment, most likely: it is tried again in a second.
            Ok(()) | Err(Error::Disk { .. }) => {}
            Err(error) => shared.tell(Event::Trouble(error)),
        }
        let home = shared.own.home();
        for contact in shared.roster.all() {
            let length = std::fs::metadata(home.outbox_path(&contact.key())).map_or(0, |data| data.len());
            let has_grown = lengths.insert(contact.key(), length) != Some(length);
            // Somebody took the note of the failure away: `egoat outbox retry`.
            let is_wanted = contact.has_failed() && !home.attempts_path(&contact.key()).exists();
            if is_wanted {
                contact.set_failed(false);
            }
            if has_grown || is_wanted {
                contact.ring();
            }
        }
        // Another network: who could not be reached may be now.
        if compared.elapsed() > NETWORK {
            compared = Instant::now();
            let now = local::outward_ips();
            if std::mem::replace(&mut addresses, now.clone()) != now {
                shared.roster.all().iter().for_each(|contact| contact.ring());
            }
        }
        shared.doorbell.wait();
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
    /// The bell.
    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// Who this node says that it is.
    pub fn profile(&self) -> Result<OwnProfile> {
        OwnProfile::at_port(self.own.home(), self.listening_port)
    }

    /// Tells whoever runs the node.
    pub fn tell(&self, event: Event) {
        // Nobody listens any more when the process is about to end.
        let _ = self.events.send(event);
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
            Error::Disk { verb: "write" | "sync" | "truncate", path, cause } => {
                let lost = Error::failed(format!("{} could not be written", path.display()));
                self.tell(Event::Fatal(Error::Disk { verb: "write", path, cause }));
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
        for contact in self.roster.update(peers.iter()) {
            if self.options.messages && self.start_dialling(&contact).is_err() {
                // Without its threads it is as good as not there.
                self.roster.forget(&contact.key());
                *read = None;
            }
        }
        Ok(())
    }

    fn start_dialling(self: &Arc<Self>, contact: &Arc<Contact>) -> Result<()> {
        let (there, its) = (Arc::clone(self), Arc::clone(contact));
        self.spawn("push", move || dialler::push(&there, &its))?;
        let (there, its) = (Arc::clone(self), Arc::clone(contact));
        self.spawn("pull", move || dialler::pull(&there, &its))
    }

    /// Counts a connection of a peer, and tells when the first comes and the last goes.
    pub fn connect(
        self: &Arc<Self>,
        contact: &Arc<Contact>,
        name: &str,
        peer_dialled: bool,
    ) -> Option<Connection> {
        let (events, peer) = (self.events.clone(), name.to_owned());
        let told = move |here| {
            let peer = peer.clone();
            let _ = events.send(if here { Event::Connected { peer } } else { Event::Disconnected { peer } });
        };
        contact.connect(peer_dialled, Box::new(told))
    }

    /// A peer's turn to send files: one transfer at a time. Waits a moment for one that is about to end.
    pub fn begin_transfer(self: &Arc<Self>, peer: &PublicKey) -> Option<Turn> {
        // A one-off receiver takes one transfer in all.
        let is_taken = |transfers: &mut Vec<PublicKey>| {
            transfers.contains(peer) || (!self.options.messages && !transfers.is_empty())
        };
        let transfers = self.transfers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let waited = self.transfer_over.wait_timeout_while(transfers, WIND_UP, is_taken);
        let (mut transfers, waited) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        if waited.timed_out() {
            return None;
        }
        transfers.push(*peer);
        Some(Turn { shared: Arc::clone(self), peer: *peer })
    }
}

/// A peer's turn, until it is dropped.
pub struct Turn {
    shared: Arc<Shared>,
    peer: PublicKey,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut transfers = self.shared.transfers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        transfers.retain(|peer| *peer != self.peer);
        self.shared.transfer_over.notify_all();
    }
}
