//! A running node: what its threads share, how they start, and how the roster follows the peers file and the outboxes.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::node::admission::Admission;
use crate::node::dialler;
use crate::node::doorbell::Doorbell;
use crate::node::event::Event;
use crate::node::listener::{self, Listen};
use crate::node::pairing::OwnProfile;
use crate::node::roster::{Connection, Contact, Roster};
use crate::store::home::Own;
use crate::store::node_lock::{self, NodeInfo, NodeLock};
use crate::store::peers::{self, Peers};

/// Stack of a thread in bytes (DESIGN section 5).
const STACK: usize = 256 << 10;
/// A `say` that is delivering holds the home for as long as a dial may take.
const HOLD: Duration = Duration::from_secs(15);

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
    /// Files are taken from this peer only.
    pub files_from: Option<PublicKey>,
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
    events: mpsc::Sender<Event>,
    /// The version of the peers file that the roster shows.
    peers_version: Mutex<Option<(SystemTime, u64)>>,
    /// Peers whose files are arriving.
    transfers: Mutex<Vec<PublicKey>>,
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
    let (events, receiver) = mpsc::channel();
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

/// Becomes the node of the home. A `say` that is delivering lets go of it soon; a node does not.
fn take_home(own: &Own) -> Result<NodeLock> {
    let deadline = Instant::now() + HOLD;
    loop {
        if let Some(lock) = NodeLock::take(own.home())? {
            return Ok(lock);
        }
        let serves = node_lock::running(own.home())?.is_some_and(|node| !node.listening.is_empty());
        if serves || Instant::now() >= deadline {
            return Err(Error::NodeRunning { home: own.home().dir().to_owned() });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Follows the peers file and the outboxes: woken by the doorbell, and by itself every second.
fn supervise(shared: &Arc<Shared>) {
    let mut lengths = std::collections::HashMap::new();
    loop {
        if let Err(error) = shared.refresh_roster() {
            // A typing error in a hand-edited file: the roster stays as it was, and the user is told once.
            shared.tell(Event::Trouble(error));
        }
        for contact in shared.roster.all() {
            let length =
                std::fs::metadata(shared.own.home().outbox_path(&contact.key())).map_or(0, |data| data.len());
            if lengths.insert(contact.key(), length) != Some(length) {
                contact.ring();
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
            Error::Disk { verb: "write" | "sync", path, cause } => {
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

    /// Makes the roster what the peers file says now; new peers get their threads.
    pub fn refresh_roster(self: &Arc<Self>) -> Result<()> {
        let mut shown = self.peers_version.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let version = peers::version(&self.own.home().peers_path());
        if *shown == version {
            return Ok(());
        }
        *shown = version;
        let peers = Peers::load(self.own.home())?;
        for contact in self.roster.update(peers.iter()) {
            if self.options.messages {
                let (there, its) = (Arc::clone(self), Arc::clone(&contact));
                self.spawn("push", move || dialler::push(&there, &its))?;
                let (there, its) = (Arc::clone(self), contact);
                self.spawn("pull", move || dialler::pull(&there, &its))?;
            }
        }
        Ok(())
    }

    /// Counts a connection of a peer, and tells when the first comes and the last goes.
    pub fn connect(self: &Arc<Self>, contact: &Arc<Contact>, name: &str) -> Option<Connection> {
        let (events, peer) = (self.events.clone(), name.to_owned());
        contact.connect(Arc::new(move |here| {
            let peer = peer.clone();
            let _ = events.send(if here { Event::Connected { peer } } else { Event::Disconnected { peer } });
        }))
    }

    /// A peer's turn to send files: one transfer at a time, and only from whom files are wanted.
    pub fn begin_transfer(self: &Arc<Self>, peer: &PublicKey) -> Option<Turn> {
        if self.options.files_from.is_some_and(|wanted| wanted != *peer) {
            return None;
        }
        let mut transfers = self.transfers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A one-off receiver takes one transfer in all.
        if transfers.contains(peer) || (!self.options.messages && !transfers.is_empty()) {
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
    }
}
