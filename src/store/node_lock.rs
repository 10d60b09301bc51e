//! node.lock: held by the one node that runs on a home, for its life (egoat-files(5), NODE.LOCK).
//!
//! ```text
//! control PORT TOKEN
//! listening ADDRESS
//! mapped BY pinhole|port ADDRESS
//! mapping STATE GATEWAY DETAIL
//! ```
//!
//! The lock is the system's, so it is gone with its holder, however that ended; the text tells front-ends how to reach the
//! node, and where it listens. window.lock is the same for the process of the window.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::crypto::SharedSecret;
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::store::lock::{self, Lockable};
use crate::store::mapping::{By, MapState, Mapped, Mapping};

/// Held while a node runs, or a window.
pub struct NodeLock {
    file: Lockable,
    path: PathBuf,
}

/// What a running node says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeInfo {
    /// The port and the secret of its control connection, unless it is just starting.
    pub control: Option<(u16, SharedSecret)>,
    /// Where it listens.
    pub listening: Vec<SocketAddr>,
    /// What it knows of its routers.
    pub mapping: Mapping,
}

impl NodeLock {
    /// Becomes the node of this home; `None` if there is one.
    pub fn take(home: &Home) -> Result<Option<NodeLock>> {
        NodeLock::take_at(home.node_lock_path())
    }

    /// Becomes what holds this lock; `None` if something does.
    pub fn take_at(path: PathBuf) -> Result<Option<NodeLock>> {
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {
                // What a killed node left behind is not true any more.
                file.set_len(0).map_err(Error::disk(Verb::Write, &path))?;
                Ok(Some(NodeLock { file, path }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(Error::disk(Verb::Lock, &path)(cause)),
        }
    }

    /// Tells front-ends where to ring.
    pub fn publish(&self, info: &NodeInfo) -> Result<()> {
        let mut text = String::new();
        if let Some((port, secret)) = &info.control {
            text.push_str(&format!("control {port} {}\n", secret.to_base32()));
        }
        for address in &info.listening {
            text.push_str(&format!("listening {address}\n"));
        }
        if info.mapping != Mapping::default() {
            text.push_str(&mapping_lines(&info.mapping));
        }
        // The end is cut off last: a front-end that reads meanwhile finds the node, and at worst a line that it ignores.
        file::write_all_at(&self.file, text.as_bytes(), 0).map_err(Error::disk(Verb::Write, &self.path))?;
        self.file.set_len(text.len() as u64).map_err(Error::disk(Verb::Write, &self.path))
    }
}

impl Drop for NodeLock {
    fn drop(&mut self) {
        // What it says is not true any more; closing the file releases the lock.
        let _ = self.file.set_len(0);
    }
}

/// The word of a node that it wants to start: whoever delivers without a node gives way to it. Held until the node has
/// [`NodeLock`].
pub struct StartingLock {
    _file: File,
}

impl StartingLock {
    /// `None` while another node wants to start, or somebody looks whether one does.
    pub fn take(home: &Home) -> Result<Option<StartingLock>> {
        Ok(try_lock(&home.starting_lock_path())?.map(|file| StartingLock { _file: file }))
    }
}

/// Whether a node wants to start.
pub fn is_starting(home: &Home) -> Result<bool> {
    let path = home.starting_lock_path();
    match File::open(&path) {
        Ok(file) => Ok(!taken(file.try_lock_shared(), &path)?),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(Error::disk(Verb::Open, &path)(cause)),
    }
}

/// The right to deliver to one peer, while no node does. It is in the way of no node that starts.
pub struct DeliveryLock {
    _peer: File,
}

impl DeliveryLock {
    /// `None` while a node runs or wants to start, or another process delivers to this peer.
    pub fn take(home: &Home, peer: &PublicKey) -> Result<Option<DeliveryLock>> {
        if NoNodeLock::take(home)?.is_none() {
            return Ok(None);
        }
        let peer = try_lock(&home.delivery_lock_path(peer))?;
        Ok(peer.map(|peer| DeliveryLock { _peer: peer }))
    }
}

/// The process that delivers to the peer, where the system tells.
pub fn deliverer(home: &Home, peer: &PublicKey) -> Option<u32> {
    lock::holder(&File::open(home.delivery_lock_path(peer)).ok()?)
}

/// The process that sends the queued files of the peer, where the system tells.
pub fn files_sender(home: &Home, peer: &PublicKey) -> Option<u32> {
    lock::holder(&File::open(home.files_lock_path(peer)).ok()?)
}

/// Keeps a node from starting while messages flow without one. Whoever holds it lets go as soon as [`is_starting`].
pub struct NoNodeLock {
    _node: Lockable,
}

impl NoNodeLock {
    /// `None` while a node runs or wants to start.
    pub fn take(home: &Home) -> Result<Option<NoNodeLock>> {
        if is_starting(home)? {
            return Ok(None);
        }
        let path = home.node_lock_path();
        let node = open(&path)?;
        let is_taken = taken(node.try_lock_shared(), &path)?;
        Ok(is_taken.then_some(NoNodeLock { _node: node }))
    }
}

/// The right to send the queued files of one peer, for a node and for others. It is in the way of no message, and of no
/// node that starts: a transfer may take hours.
pub struct FilesLock {
    _file: File,
}

impl FilesLock {
    /// `None` while another process sends them.
    pub fn take(home: &Home, peer: &PublicKey) -> Result<Option<FilesLock>> {
        Ok(try_lock(&home.files_lock_path(peer))?.map(|file| FilesLock { _file: file }))
    }
}

/// The right to collect from one peer without a node: the peer serves one connection for that, and the last one that comes.
pub struct FetchLock {
    _file: File,
}

impl FetchLock {
    /// `None` while another process collects.
    pub fn take(home: &Home, peer: &PublicKey) -> Result<Option<FetchLock>> {
        Ok(try_lock(&home.fetch_lock_path(peer))?.map(|file| FetchLock { _file: file }))
    }
}

/// The process that collects from the peer, where the system tells.
pub fn fetcher(home: &Home, peer: &PublicKey) -> Option<u32> {
    lock::holder(&File::open(home.fetch_lock_path(peer)).ok()?)
}

/// Locks a file that is there for nothing else.
fn try_lock(path: &Path) -> Result<Option<File>> {
    let opened = file::private().write(true).create(true).truncate(false).open(path);
    let file = opened.map_err(Error::disk(Verb::Open, path))?;
    Ok(taken(file.try_lock(), path)?.then_some(file))
}

fn taken(locked: std::result::Result<(), TryLockError>, path: &Path) -> Result<bool> {
    match locked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(cause)) => Err(Error::disk(Verb::Lock, path)(cause)),
    }
}

/// The error of a node that cannot start because others do not give way.
pub fn held(home: &Home) -> Result<Error> {
    let path = home.node_lock_path();
    Ok(Error::Locked { holder: open(&path)?.holder(), path })
}

/// The node that runs on this home now, if any. Nothing is written for that, as there may be no room, or no right to.
pub fn running(home: &Home) -> Result<Option<NodeInfo>> {
    running_at(&home.node_lock_path())
}

/// What holds this lock now, if anything does.
pub fn running_at(path: &Path) -> Result<Option<NodeInfo>> {
    let locked = match File::open(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        // It is locked itself, where it has no guard; and where that cannot be written, no node can lock it.
        Ok(file) => open(path).map_or_else(|_| file.try_lock_shared(), |lock| lock.try_lock_shared()),
        Err(cause) => return Err(Error::disk(Verb::Open, path)(cause)),
    };
    if taken(locked, path)? {
        return Ok(None);
    }
    let text = file::read_text(path, 4096).map_err(Error::disk(Verb::Read, path))?.unwrap_or_default();
    let mut info = NodeInfo::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("control", rest)) => info.control = parse_control(rest),
            Some(("listening", address)) => info.listening.extend(address.parse::<SocketAddr>()),
            Some(("mapped", rest)) => info.mapping.mapped.extend(parse_mapped(rest)),
            Some(("mapping", rest)) => parse_mapping(rest, &mut info.mapping),
            _ => {}
        }
    }
    Ok(Some(info))
}

fn parse_control(text: &str) -> Option<(u16, SharedSecret)> {
    let (port, secret) = text.split_once(' ')?;
    Some((port.parse().ok()?, SharedSecret::from_base32(secret)?))
}

fn mapping_lines(mapping: &Mapping) -> String {
    let mapped = mapping.mapped.iter().map(|one| {
        let what = if one.is_pinhole { PINHOLE } else { PORT };
        format!("mapped {} {what} {}\n", one.by.word(), one.address)
    });
    let gateway = mapping.gateway.map_or_else(|| "-".to_owned(), |gateway| gateway.to_string());
    let last = format!("mapping {} {gateway} {}\n", mapping.state.word(), mapping.detail);
    mapped.chain([last]).collect()
}

const PINHOLE: &str = "pinhole";
const PORT: &str = "port";

fn parse_mapped(text: &str) -> Option<Mapped> {
    let mut words = text.split(' ');
    let (by, what, address) = (By::of_word(words.next()?)?, words.next()?, words.next()?.parse().ok()?);
    [PINHOLE, PORT].contains(&what).then_some(Mapped { address, by, is_pinhole: what == PINHOLE })
}

fn parse_mapping(text: &str, mapping: &mut Mapping) {
    let mut words = text.splitn(3, ' ');
    mapping.state = words.next().and_then(MapState::of_word).unwrap_or_default();
    mapping.gateway = words.next().and_then(|gateway| gateway.parse().ok());
    mapping.detail = words.next().unwrap_or_default().to_owned();
}

fn open(path: &Path) -> Result<Lockable> {
    Lockable::open(path).map_err(Error::disk(Verb::Open, path))
}
