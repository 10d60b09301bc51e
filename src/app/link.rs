//! The node that serves this home, in this process or beside it: the same control connection leads to either. Front-ends
//! append to the logs, ring, wait until the node has done something, and see what lives only while it runs.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::app::settings;
use crate::crypto::keys::{PublicKey, Seed};
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::loopback::{self, Local};
use crate::node::{mapping, supervisor, threads};
use crate::store::home::{Home, Own};
use crate::store::node_lock;
use crate::wire::control::{Down, MAX_BODY, Path, Up};

pub mod bell;

pub use crate::node::door::admission::{Cause, Refusals};
pub use crate::node::door::limits::Limits;
pub use crate::node::door::listen::Listen;
pub use crate::node::event::{Decision, NodeEvent, Offered};
pub use crate::node::hooks::program::{Program, RunOutcome};
pub use crate::node::hooks::programs::{Programs, RunReport};
pub use crate::node::options::{FilesTo, Options};
pub use crate::node::outside::{MapState, Mapped, Mapping};
pub use crate::node::threads::LOG_POLL_INTERVAL;
pub use crate::store::node_lock::NodeInfo;
pub use crate::store::space::KeepFree;
pub use crate::wire::control::{
    JobOutcome, JobReport, PendingOffer, SendMode, Transfer, TransferWay, UNKNOWN,
};

/// Longest path in bytes, as the system has it.
const MAX_PATH: usize = 4096;
/// How long an answer of the node may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the node that runs on this home says of itself; `None` when none runs.
pub fn node(own: &Own) -> Result<Option<NodeInfo>> {
    node_lock::running(own.home())
}

/// Rings once for the node, about a peer or about anything else that has changed; returns whether a node runs.
pub fn ring(own: &Own, peer: Option<&PublicKey>) -> Result<bool> {
    let Some(info) = node_lock::running(own.home())? else { return Ok(false) };
    // A node that is just starting has no port yet, and looks at everything when it has.
    if let Some((port, secret)) = &info.control {
        // A node that does not hear it looks within a second.
        let _ = loopback::dial(*port, secret, &[version(), Up::Ring(peer.copied()).encode()].concat());
    }
    Ok(true)
}

/// Asks the node for the seed of a sealed identity; `None` when no node runs that would give it.
pub fn unsealed(home: &Home) -> Option<Seed> {
    match ask_about_seed(&node_lock::running(home).ok()??, &Up::Unseal)? {
        Down::Seed(seed) => Some(Seed::from_bytes(seed)),
        _ => None,
    }
}

/// Has the node give the seed to nobody any more. Returns whether a node runs.
pub fn forget(home: &Home) -> Result<bool> {
    let Some(info) = node_lock::running(home)? else { return Ok(false) };
    match ask_about_seed(&info, &Up::Forget) {
        Some(Down::Forgotten) => Ok(true),
        _ => Err(Error::Failed {
            what: "the node here did not answer, and may give the key to other commands still".into(),
            hint: Some("try again, or restart the node".into()),
        }),
    }
}

/// The answer to UNSEAL or FORGET; `None` if there is none.
fn ask_about_seed(node: &NodeInfo, question: &Up) -> Option<Down> {
    let (port, secret) = node.control.as_ref()?;
    let local = loopback::dial(*port, secret, &[version(), question.encode()].concat()).ok()?;
    let deadline = Deadline::after(ANSWER_TIMEOUT);
    let mut body = Vec::new();
    loop {
        let kind = local.read_within(deadline.remaining()?, &mut body).ok()?;
        let answer = kind.and_then(|kind| Down::decode(kind, &body).ok());
        if matches!(answer, Some(Down::Seed(_) | Down::Forgotten)) {
            return answer;
        }
    }
}

fn version() -> Vec<u8> {
    Up::Version(env!("CARGO_PKG_VERSION").to_owned()).encode()
}

/// A peer that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedPeer {
    /// Since when, in seconds of Unix time.
    pub since: u64,
    /// The way that the connection took.
    pub path: Path,
    /// The address at its other end.
    pub address: String,
    /// The peer fetches its messages from the node, and collects files when it is told that some wait.
    pub collects: bool,
}

/// What lives only while the node runs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which connection it is of: another node may give its numbers to other things.
    pub connection: u64,
    /// The node has told all of it.
    pub is_whole: bool,
    /// Who is connected.
    pub here: HashMap<PublicKey, ConnectedPeer>,
    /// What is on its way, by number.
    pub transfers: BTreeMap<u64, Transfer>,
    /// What waits for an answer, by number.
    pub offers: BTreeMap<u64, PendingOffer>,
    /// Where the node listens.
    pub addresses: Vec<String>,
}

impl Snapshot {
    fn apply(&mut self, message: Down) {
        match message {
            Down::Ready => self.is_whole = true,
            Down::Peer { key, is_here: true, collects, since, path, address } => {
                drop(self.here.insert(key, ConnectedPeer { since, path, address, collects }))
            }
            Down::Peer { key, .. } => drop(self.here.remove(&key)),
            Down::Transfer(transfer) => drop(self.transfers.insert(transfer.number, transfer)),
            Down::Ended(number) => drop(self.transfers.remove(&number)),
            Down::Offer(offer) => drop(self.offers.insert(offer.number, offer)),
            Down::Decided(number) => drop(self.offers.remove(&number)),
            Down::Address(address) => self.addresses.push(address),
            Down::Version(_) | Down::Look | Down::Job(_) | Down::Seed(_) | Down::Forgotten => {}
            Down::Digits { .. } | Down::Paired(_) | Down::Unpaired { .. } | Down::Tried { .. } => {}
        }
    }
}

#[derive(Default)]
struct State {
    connection: Option<Local>,
    /// Counts the connections, so that the end of an old one is not taken for that of a new one.
    connections: u64,
    /// Rises when there is something to look at.
    news: u64,
    /// What the waiting thread has seen of that.
    seen: u64,
    live: Snapshot,
    /// The jobs of this connection that have not ended.
    open_jobs: BTreeMap<u64, SendMode>,
    /// Reports of jobs that have ended, until the front-end asks for them.
    jobs: VecDeque<JobReport>,
    /// The user waits for somebody with whom to compare digits.
    waits: bool,
    /// What the node has told of that, until the front-end asks for it.
    pairing: VecDeque<Down>,
    /// When the node was dialled last.
    dialled: Option<Instant>,
    /// The version of a node that is another than this program.
    other_version: Option<String>,
}

struct Shared {
    home: Home,
    /// A person can answer offers here.
    asks: bool,
    /// Held while the node is dialled, and not `state`: that may take two seconds, which no view waits for.
    dialling: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

/// A front-end's link to the node, whether one runs or not. Clones are the same link; it ends with the last of them.
#[derive(Clone)]
pub struct NodeLink {
    shared: Arc<Shared>,
    _end: Arc<CloseOnDrop>,
}

/// Ends the connection when the last clone of a link is gone; the thread that reads it ends then.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.state().connection.take() {
            connection.close();
        }
    }
}

impl Shared {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes what the node tells until the connection ends.
    fn read(&self, connection: &Local, number: u64) {
        let mut body = Vec::new();
        while let Ok(kind) = connection.read(&mut body) {
            let Ok(message) = Down::decode(kind, &body) else { break };
            let mut state = self.state();
            if state.connections != number {
                return;
            }
            match message {
                Down::Version(version) if version != env!("CARGO_PKG_VERSION") => {
                    state.other_version = Some(version);
                    break;
                }
                Down::Version(_) => {
                    state.other_version = None;
                    continue;
                }
                Down::Job(job) => {
                    state.open_jobs.remove(&job.number);
                    state.jobs.push_back(job);
                }
                Down::Paired(_) | Down::Unpaired { .. } => {
                    state.waits = false;
                    state.pairing.push_back(message);
                }
                Down::Digits { .. } | Down::Tried { .. } => state.pairing.push_back(message),
                message => state.live.apply(message),
            }
            state.news += 1;
            drop(state);
            self.changed.notify_all();
        }
        connection.close();
        self.end(number);
    }

    /// The connection of this number is over, and with it all that the node had told.
    fn end(&self, number: u64) {
        let mut state = self.state();
        if state.connections != number || state.connection.take().is_none() {
            return;
        }
        state.live = Snapshot { connection: number, ..Snapshot::default() };
        if std::mem::take(&mut state.waits) {
            let (why, hint) = ("the node here has ended, and waits for nobody".into(), String::new());
            state.pairing.push_back(Down::Unpaired { why, hint });
        }
        for (number, mode) in std::mem::take(&mut state.open_jobs) {
            let why = "the node here has ended before the files were sent".into();
            let hint = match mode {
                SendMode::Queue => "they go on when one runs again, if /outbox lists them",
                _ => "send them again",
            };
            let outcome = JobOutcome::Failed { why, hint: hint.into(), status: 69 };
            state.jobs.push_back(JobReport::without_count(number, outcome));
        }
        state.news += 1;
        drop(state);
        self.changed.notify_all();
    }
}

impl NodeLink {
    /// A link to the node of this home. The connection is made now, or when a node has started, and again when it was lost.
    /// With `asks`, a person can answer offers here.
    pub fn open(home: &Home, asks: bool) -> Result<NodeLink> {
        let shared = Shared {
            home: home.clone(),
            asks,
            dialling: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let shared = Arc::new(shared);
        let link = NodeLink { _end: Arc::new(CloseOnDrop(Arc::clone(&shared))), shared };
        link.connect(&[])?;
        Ok(link)
    }

    /// Rings for the node about a peer, if it is connected. Otherwise the node finds what is new within a second, and a view
    /// does not wait for a node that cannot be dialled.
    pub fn ring(&self, peer: &PublicKey) {
        self.write(&Up::Ring(Some(*peer)).encode());
    }

    /// Sends a message to the node, if one hears it.
    fn tell(&self, message: &Up) -> Result<()> {
        let bytes = message.encode();
        if self.write(&bytes) { Ok(()) } else { self.connect(&bytes) }
    }

    /// Writes to the connection; returns whether there is one that takes it. One that does not is over.
    fn write(&self, bytes: &[u8]) -> bool {
        let (connection, number) = {
            let state = self.shared.state();
            (state.connection.clone(), state.connections)
        };
        let Some(connection) = connection else { return false };
        let is_written = connection.write(bytes).is_ok();
        if !is_written {
            connection.close();
            self.shared.end(number);
        }
        is_written
    }

    /// Connects and sends a message, if a node runs. One that is just starting has no port yet, and one that cannot be
    /// reached now is dialled again with the next message or wait.
    fn connect(&self, message: &[u8]) -> Result<()> {
        let _dialling = self.shared.dialling.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Another thread may have been faster.
        if self.write(message) {
            return Ok(());
        }
        let Some(info) = node_lock::running(&self.shared.home)? else { return Ok(()) };
        let Some((port, secret)) = &info.control else { return Ok(()) };
        self.shared.state().dialled = Some(Instant::now());
        let opening = [&version()[..], &Up::Watch { asks: self.shared.asks }.encode(), message].concat();
        let Ok(connection) = loopback::dial(*port, secret, &opening) else { return Ok(()) };
        let mut state = self.shared.state();
        state.connections += 1;
        state.live = Snapshot { connection: state.connections, ..Snapshot::default() };
        let (shared, reader, number) = (Arc::clone(&self.shared), connection.clone(), state.connections);
        let read = move || shared.read(&reader, number);
        // Without a thread nobody hears the node, so it is dialled again.
        if threads::spawn("link", read).is_ok() {
            state.connection = Some(connection);
        }
        Ok(())
    }

    /// Waits until there is something to look at, at most `wait` and at most a second. Connects if a node has started, but
    /// not more than once a second: a node of another version, or one that is short of threads, closes each connection.
    pub fn wait(&self, wait: Duration) -> Result<()> {
        let is_due = {
            let state = self.shared.state();
            let is_rested = state.dialled.is_none_or(|dialled| dialled.elapsed() >= LOG_POLL_INTERVAL);
            state.connection.is_none() && is_rested
        };
        if is_due {
            self.connect(&[])?;
        }
        let deadline = Instant::now() + wait.min(LOG_POLL_INTERVAL);
        let mut state = self.shared.state();
        while state.news == state.seen {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        state.seen = state.news;
        Ok(())
    }

    /// Ends the wait of another thread: it has something to look at.
    pub fn nudge(&self) {
        self.shared.state().news += 1;
        self.shared.changed.notify_all();
    }

    /// The live state as the node has told it; empty without a node.
    pub fn live(&self) -> Snapshot {
        self.shared.state().live.clone()
    }

    /// Waits until the node has told all of its live state; an error if it does not.
    pub fn whole(&self) -> Result<Snapshot> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while Instant::now() < deadline {
            let state = self.shared.state();
            if let Some(version) = &state.other_version {
                return Err(Error::Failed {
                    what: format!("the node that runs here is egoat {version}, and this is another version"),
                    hint: Some("restart the node".into()),
                });
            }
            if state.live.is_whole {
                return Ok(state.live.clone());
            }
            drop(state);
            self.wait(Duration::from_millis(50))?;
        }
        Err(Error::TimedOut {
            what: format!("the node here did not answer within {} s", ANSWER_TIMEOUT.as_secs()),
        })
    }

    /// Has the node wait for somebody with whom the user compares digits; returns whether a node hears it.
    pub fn wait_nearby(&self) -> Result<bool> {
        // Before it is told: the answer may come at once.
        self.shared.state().waits = true;
        self.tell(&Up::Nearby { waits: true })?;
        let mut state = self.shared.state();
        state.waits &= state.connection.is_some();
        Ok(state.connection.is_some())
    }

    /// Says whether both ends show the same digits; returns whether the node still waits for that.
    pub fn say_same(&self, is_same: bool) -> Result<bool> {
        let waits = self.shared.state().waits;
        self.tell(&Up::Same(is_same)).map(|()| waits)
    }

    /// What the node has told of pairing since this was asked last.
    pub fn pairing_news(&self) -> Vec<Down> {
        self.shared.state().pairing.drain(..).collect()
    }

    /// The jobs of this front-end that have ended since this was asked last.
    pub fn ended_jobs(&self) -> Vec<JobReport> {
        self.shared.state().jobs.drain(..).collect()
    }

    /// Decides an offer.
    pub fn decide(&self, number: u64, decision: Decision) -> Result<()> {
        if !self.shared.state().live.offers.contains_key(&number) {
            return Err(Error::failed("no such offer waits any more"));
        }
        let dir = |dir: PathBuf| dir.to_string_lossy().into_owned();
        self.tell(&match decision {
            Decision::Accept { dir: to } => Up::Accept { offer: number, dir: to.map(dir) },
            Decision::Refuse => Up::Refuse(number),
        })
    }

    /// Ends a transfer.
    pub fn stop(&self, number: u64) -> Result<()> {
        self.tell(&Up::Stop(number))
    }

    /// Hands a job to the node; returns whether the node hears it. `name` is what the only file or directory is called on
    /// the way, if not by its own name.
    pub fn send(
        &self,
        job: u64,
        peer: PublicKey,
        mode: SendMode,
        name: Option<&str>,
        paths: Vec<PathBuf>,
    ) -> Result<bool> {
        let longest = paths.iter().map(|path| path.as_os_str().len()).max().unwrap_or_default();
        let name = name.unwrap_or_default().to_owned();
        let message = Up::Send { job, peer, mode, name, paths };
        if longest > MAX_PATH || message.encode().len() > MAX_BODY {
            return Err(Error::usage("that is too long; send a directory instead of all that is in it"));
        }
        self.tell(&message)?;
        // Noted after it was told, because a connection that ends while we tell takes the open jobs with it, and this one goes
        // to the next. If the node is done already, the note names a job that the view has forgotten.
        let mut state = self.shared.state();
        let is_heard = state.connection.is_some();
        if is_heard {
            state.open_jobs.insert(job, mode);
        }
        Ok(is_heard)
    }
}

impl NodeLink {
    /// Hands the next bytes of a job's pipe to the node, none at its end; returns whether the node takes them. Waits while
    /// the node has enough.
    pub fn send_data(&self, job: u64, bytes: Vec<u8>) -> bool {
        self.write(&Up::Data { job, bytes }.encode())
    }
}

/// Starts a node in this process, which runs until the process ends; what happens comes out of the channel.
pub fn start(own: &Endpoint, options: Options) -> Result<Receiver<NodeEvent>> {
    supervisor::start(own.clone(), options)
}

/// Has routers forget the node of this home, which ran in this process and is about to end. Takes a second at most.
pub fn withdraw_mapping(own: &Own) {
    let asked = node(own).ok().flatten().map(|info| info.mapping.state);
    if matches!(asked, Some(MapState::Works | MapState::Behind | MapState::Failed)) {
        mapping::withdraw(own.home());
    }
}

/// What a node does unless its user says otherwise: it listens at `listen`, and takes messages and files of all peers.
#[inline(never)]
pub fn default_options(listen: Vec<Listen>, downloads: PathBuf) -> Options {
    Options {
        listen,
        listens_later: false,
        files_to: FilesTo::Folders(downloads),
        max_bytes: Some(settings::MAX_FILE),
        keep_free: KeepFree::default(),
        map: false,
        overwrite: false,
        limits: Limits::default(),
        accept_new: false,
        once: None,
        share: None,
        waiting: None,
        programs: Programs::default(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::crypto::SharedSecret;
    use crate::store::node_lock::NodeLock;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(dir.path().to_str()).unwrap();
        (dir, home)
    }

    /// A node that was stopped accepts, and says nothing. Whoever dials it waits for a second; a view shows what it has.
    #[test]
    fn nobody_waits_for_a_node_that_is_being_dialled() {
        let (_dir, home) = home();
        let lock = NodeLock::take(&home).unwrap().unwrap();
        let link = NodeLink::open(&home, false).unwrap();
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let control = Some((silent.local_addr().unwrap().port(), SharedSecret::generate()));
        lock.publish(&NodeInfo { control, ..NodeInfo::default() }).unwrap();
        // Once is enough: this thread may be held up for a second itself.
        let is_free = (0..10).any(|_| {
            std::thread::scope(|scope| {
                scope.spawn(|| link.stop(1));
                let (mut dialling, _) = silent.accept().unwrap();
                dialling.read_exact(&mut [0; 16]).unwrap();
                link.live();
                link.ring(&Seed::from_bytes([1; 32]).static_keys().public());
                dialling.set_nonblocking(true).unwrap();
                dialling.read(&mut [0]).is_err_and(|cause| cause.kind() == ErrorKind::WouldBlock)
            })
        });
        assert!(is_free);
    }

    /// A message that the node would not take ends the connection, and with it other jobs.
    #[test]
    fn what_is_too_long_for_one_message_is_refused_here() {
        let (_dir, home) = home();
        let link = NodeLink::open(&home, false).unwrap();
        let peer = Seed::from_bytes([1; 32]).static_keys().public();
        assert!(!link.send(1, peer, SendMode::Queue, None, vec!["/short".into()]).unwrap(), "no node runs");
        let many = (0..5000).map(|number| PathBuf::from(format!("/a/file/{number}"))).collect();
        for paths in [many, vec![format!("/{}", "x".repeat(MAX_PATH)).into()]] {
            assert!(
                link.send(1, peer, SendMode::Queue, None, paths)
                    .unwrap_err()
                    .to_string()
                    .contains("too long")
            );
        }
    }
}
