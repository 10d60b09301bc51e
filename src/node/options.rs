//! What whoever starts a node wants from it. This file only names the choices; nothing here acts on them.

use std::path::PathBuf;

use crate::crypto::keys::PublicKey;
use crate::node::door::limits::Limits;
use crate::node::door::listen::Listen;
use crate::node::files::pipe::StdoutPipe;
use crate::node::hooks::programs::Programs;
use crate::store::peers::Peer;
use crate::store::space::KeepFree;

/// The choices for one node.
pub struct Options {
    /// Where to listen. Empty means the default port on all addresses.
    pub listen: Vec<Listen>,
    /// Where received files go.
    pub files_to: FilesTo,
    /// The largest transfer in bytes that the node accepts without a question; `max-file=` in the peers file overrides it.
    /// `None` accepts every offer, whatever the peers file says.
    pub max_bytes: Option<u64>,
    /// How much room peers leave free.
    pub keep_free: KeepFree,
    /// A received file replaces one of the same name.
    pub overwrite: bool,
    /// How many connections the listeners serve at a time.
    pub limits: Limits,
    /// A stranger who connects becomes a peer (trust on first use).
    pub accept_new: bool,
    /// The node dials peers and exchanges messages. A one-off receiver of files does neither, and needs no lock on the
    /// home.
    pub messages: bool,
    /// Whose files the node accepts.
    pub files_from: FilesFrom,
    /// The hooks.
    pub programs: Programs,
}

/// Where received files go.
pub enum FilesTo {
    /// Into this directory, in one folder for each peer.
    Folders(PathBuf),
    /// Into this directory itself.
    Flat(PathBuf),
    /// To stdout: one file.
    Pipe(StdoutPipe),
}

/// Whose files a node accepts.
pub enum FilesFrom {
    /// Every peer's.
    Peers,
    /// One peer's.
    Peer(PublicKey),
    /// Those of the peer that used the invite with this id (base32).
    Invited(String),
}

impl FilesFrom {
    /// Whether the node accepts files from `peer`.
    pub fn includes(&self, peer: &Peer) -> bool {
        match self {
            FilesFrom::Peers => true,
            FilesFrom::Peer(key) => peer.key == *key,
            FilesFrom::Invited(id) => peer.used_invite(id),
        }
    }
}

impl Options {
    /// The folder for the files of the peer with this name.
    pub fn landing(&self, peer: &str) -> PathBuf {
        match &self.files_to {
            FilesTo::Folders(dir) => dir.join(peer),
            FilesTo::Flat(dir) => dir.clone(),
            FilesTo::Pipe(_) => PathBuf::new(),
        }
    }
}
