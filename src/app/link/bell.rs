//! The control connection of a front-end that rings and then waits until a log has grown: `say --wait`, `log --follow`. The
//! node tells it nothing else, so it needs no thread of its own.

use std::thread;
use std::time::{Duration, Instant};

use crate::app::link::{LOG_POLL_INTERVAL, version};
use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::net::deadline::Deadline;
use crate::net::loopback::{self, Local};
use crate::store::home::Home;
use crate::store::node_lock;
use crate::wire::control::{Down, Up};

/// A bell at the node of a home, whether one runs or not.
pub struct Bell {
    home: Home,
    peer: Option<PublicKey>,
    connection: Option<Local>,
    /// When it was rung last.
    rung: Option<Instant>,
}

impl Bell {
    /// Rings about a peer, or about anything. It connects when it is rung or waited for.
    pub fn new(home: &Home, peer: Option<PublicKey>) -> Bell {
        Bell { home: home.clone(), peer, connection: None, rung: None }
    }

    /// Rings for the node, unless a connected one was rung less than a second ago; returns whether one runs.
    pub fn ring(&mut self) -> Result<bool> {
        if self.connection.is_some() && self.rung.is_some_and(|rung| rung.elapsed() < LOG_POLL_INTERVAL) {
            return Ok(true);
        }
        self.rung = Some(Instant::now());
        let ring = Up::Ring(self.peer).encode();
        if self.connection.as_ref().is_some_and(|connection| connection.write(&ring).is_ok()) {
            return Ok(true);
        }
        self.connection = None;
        let Some(info) = node_lock::running(&self.home)? else { return Ok(false) };
        // A node that is just starting has no port yet, and looks at everything when it has. A node that cannot be reached
        // looks within a second.
        if let Some((port, secret)) = &info.control {
            self.connection = loopback::dial(*port, secret, &[version(), ring].concat()).ok();
        }
        Ok(true)
    }

    /// Waits until a log has grown, at most `wait` and at most a second.
    pub fn wait(&mut self, wait: Duration) -> Result<()> {
        let deadline = Deadline::after(wait.min(LOG_POLL_INTERVAL));
        if self.connection.is_none() {
            self.ring()?;
        }
        let mut body = Vec::new();
        while let Some(left) = deadline.remaining() {
            let Some(connection) = &self.connection else {
                thread::sleep(left);
                break;
            };
            match connection.read_within(left, &mut body) {
                Ok(Some(kind)) if Down::decode(kind, &body) == Ok(Down::Look) => break,
                Ok(_) => {}
                // The node has ended, or is of another version.
                Err(_) => self.connection = None,
            }
        }
        Ok(())
    }
}
