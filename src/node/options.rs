//! What whoever starts a node wants from it. This file only names the choices; nothing here acts on them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::node::door::limits::Limits;
use crate::node::door::listen::Listen;
use crate::node::files::once::OneOff;
use crate::node::files::pipe::StdoutPipe;
use crate::node::hooks::programs::Programs;
use crate::node::pairing::waiting::Waiting;
use crate::store::shares::Share;
use crate::store::space::KeepFree;

/// The choices for one node.
pub struct Options {
    /// Where to listen. Empty means the first free one of the usual ports, on all addresses.
    pub listen: Vec<Listen>,
    /// What cannot be bound of that now, as another program has the port, is bound later; the node starts all the same.
    pub listens_later: bool,
    /// Where received files go.
    pub files_to: FilesTo,
    /// The largest transfer in bytes that the node accepts without a question; `max-file=` in the peers file overrides it.
    /// `None` accepts every offer, whatever the peers file says.
    pub max_bytes: Option<u64>,
    /// How much room peers leave free.
    pub keep_free: KeepFree,
    /// Routers are asked to map the port at which the node listens.
    pub map: bool,
    /// A received file replaces one of the same name.
    pub overwrite: bool,
    /// How many connections the listeners serve at a time.
    pub limits: Limits,
    /// A stranger who connects becomes a peer (trust on first use).
    pub accept_new: bool,
    /// The node is a one-off receiver of files. It dials nobody, exchanges no messages, and needs no lock on the home.
    pub once: Option<Arc<OneOff>>,
    /// The node is there for this share alone.
    pub share: Option<Share>,
    /// The node is there for somebody with whom its user compares six digits, and does nothing else.
    pub waiting: Option<Arc<Waiting>>,
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

impl Options {
    /// Whether the node dials peers and exchanges messages.
    pub fn has_messages(&self) -> bool {
        self.once.is_none() && self.share.is_none() && self.waiting.is_none()
    }

    /// The folder for the files of the peer with this name.
    pub fn landing(&self, peer: &str) -> PathBuf {
        match &self.files_to {
            FilesTo::Folders(dir) => dir.join(peer),
            FilesTo::Flat(dir) => dir.clone(),
            FilesTo::Pipe(_) => PathBuf::new(),
        }
    }
}
