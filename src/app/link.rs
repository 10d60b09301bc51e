//! The node that serves this home: one that this process starts, or one beside it. Front-ends append to the logs, ring, and
//! wait until the node has done something.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::app::settings;
use crate::error::Result;
use crate::node::doorbell::Bell;
use crate::node::running;
use crate::store::home::Own;
use crate::store::node_lock;

pub use crate::node::admission::{Cause, Refusals};
pub use crate::node::doorbell::LOOK;
pub use crate::node::event::{Decision, Event};
pub use crate::node::hooks::{Programs, Run};
pub use crate::node::limits::Limits;
pub use crate::node::listener::Listen;
pub use crate::node::program::{Outcome, Program};
pub use crate::node::running::{FilesFrom, FilesTo, Options};
pub use crate::store::node_lock::NodeInfo;

/// What the node that runs on this home says of itself; `None` when none runs.
pub fn node(own: &Own) -> Result<Option<NodeInfo>> {
    node_lock::running(own.home())
}

/// Rings once for the node; returns whether one runs.
pub fn ring(own: &Own) -> Result<bool> {
    Bell::new(own.home())?.ring()
}

/// A front-end's bell: it rings for the node, and waits until the node rings back.
pub struct Link {
    bell: Bell,
}

impl Link {
    /// Opens the bell. A node need not run yet.
    pub fn open(own: &Own) -> Result<Link> {
        Ok(Link { bell: Bell::new(own.home())? })
    }

    /// Rings for the node; returns whether one runs.
    pub fn ring(&self) -> Result<bool> {
        self.bell.ring()
    }

    /// Rings, then waits until the node has done something, at most `wait` and at most a second.
    pub fn wait(&self, wait: Duration) -> Result<()> {
        self.bell.ring()?;
        self.bell.wait(wait.min(LOOK));
        Ok(())
    }
}

/// Starts a node in this process, which runs until the process ends; what happens comes out of the channel.
pub fn start(own: &Own, options: Options) -> Result<Receiver<Event>> {
    running::start(own.clone(), options)
}

/// What a node does unless its user says otherwise: it listens at `listen`, takes messages and files of all peers, and asks
/// nobody.
pub fn usual(listen: Vec<Listen>, downloads: PathBuf) -> Options {
    Options {
        listen,
        files_to: FilesTo::Folders(downloads),
        max_bytes: Some(settings::MAX_FILE),
        overwrite: false,
        asks: false,
        limits: Limits::default(),
        accept_new: false,
        messages: true,
        files_from: FilesFrom::Peers,
        programs: Programs::default(),
    }
}
