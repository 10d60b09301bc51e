//! The doorbell: an empty datagram on loopback that says "look at the logs". The node's socket is named in node.lock;
//! a front-end rings it after it appended, and is rung back when the node appended. A ring carries nothing, so a forged
//! one costs a look, and a lost one at most a second: everybody looks that often anyway.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::store::home::Home;
use crate::store::node_lock;

/// Everybody looks at the logs this often, rung or not.
pub const LOOK: Duration = Duration::from_secs(1);
/// A front-end rings as often, or it is gone; its port may be another program's then.
const GONE: Duration = Duration::from_secs(3);
/// Front-ends that are rung back.
const FRONT_ENDS: usize = 64;

fn socket() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
}

/// The node's end.
pub struct Doorbell {
    socket: UdpSocket,
    rang: Mutex<Vec<(SocketAddr, Instant)>>,
}

impl Doorbell {
    /// Hangs a bell at a free port.
    pub fn hang() -> Result<Doorbell> {
        let bell = || -> io::Result<Doorbell> {
            let socket = socket()?;
            socket.set_read_timeout(Some(LOOK))?;
            Ok(Doorbell { socket, rang: Mutex::default() })
        };
        bell().map_err(|cause| Error::Listen { address: "127.0.0.1 (UDP)".into(), cause })
    }

    /// The port to publish.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().map(|address| address.port()).unwrap_or_default()
    }

    /// Waits for a ring, at most [`LOOK`].
    pub fn wait(&self) {
        let mut nothing = [0; 1];
        if let Ok((_, from)) = self.socket.recv_from(&mut nothing) {
            let mut rang = self.rang.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let is_new = !rang.iter().any(|(front_end, _)| *front_end == from);
            rang.retain(|(front_end, when)| *front_end != from && when.elapsed() < GONE);
            if rang.len() < FRONT_ENDS {
                rang.push((from, Instant::now()));
            }
            // What it rang for may be done already: then nobody else would ring it back.
            if is_new {
                let _ = self.socket.send_to(&[], from);
            }
        }
    }

    /// Tells the front-ends that a log has grown.
    pub fn ring_back(&self) {
        let mut rang = self.rang.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        rang.retain(|(front_end, when)| when.elapsed() < GONE && self.socket.send_to(&[], front_end).is_ok());
    }
}

/// A front-end's end.
pub struct Bell {
    home: Home,
    socket: UdpSocket,
}

impl Bell {
    /// A bell for the node of `home`, whether one runs or not.
    pub fn new(home: &Home) -> Result<Bell> {
        let socket = socket().map_err(|cause| Error::Listen { address: "127.0.0.1 (UDP)".into(), cause })?;
        Ok(Bell { home: home.clone(), socket })
    }

    /// Rings the node, if one runs; says whether one does.
    pub fn ring(&self) -> Result<bool> {
        let Some(node) = node_lock::running(&self.home)? else { return Ok(false) };
        // A node that is just starting has no port yet, and looks at everything when it has.
        let _ = self.socket.send_to(&[], (Ipv4Addr::LOCALHOST, node.doorbell));
        Ok(true)
    }

    /// Waits until the node rings back, at most `wait`.
    pub fn wait(&self, wait: Duration) {
        // A failure to set the timeout would leave none, so it is not waited at all then.
        if self.socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), LOOK))).is_ok() {
            let _ = self.socket.recv_from(&mut [0; 1]);
        }
    }
}
