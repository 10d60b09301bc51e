//! Connected byte streams, and the ways to get one. `net` is the only layer that names a TCP socket; the layers above see
//! a [`Stream`], so they need no change when another way to a peer is added.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`route`] | chooses the way to an address, and takes the same way again for a lane |
//! | [`direct`] | resolves names and connects |
//! | `socks` | asks a SOCKS5 proxy to connect |

pub mod direct;
pub mod route;
mod socks;

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;

use crate::net::local;

/// Where a connection comes from. Admission counts connections, rates and penalties by it.
///
/// Another way to connect adds a variant. A connection that a relay passes on, for example, is from the relay's key on
/// behalf of a caller: if it counted by the relay's address, one caller's penalty would keep out everybody who uses the
/// relay. `node::admission` turns an origin into its source in one `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The address at the other end of the TCP connection. For a stream that was dialled, this is the peer or the proxy.
    Direct(IpAddr),
}

/// A connected byte stream. Clones are cheap and stand for the same connection, which closes when the last clone and the
/// last [`Closer`] are dropped.
///
/// Every way to a peer ends in one TCP connection of this machine, to the peer, a proxy or a relay. A stream is therefore
/// a socket and its origin, and not a trait object: reads and writes are plain system calls.
#[derive(Clone)]
pub struct Stream {
    socket: Arc<TcpStream>,
    origin: Origin,
}

impl Stream {
    /// A stream over a socket on which the next byte belongs to the peer.
    pub fn new(socket: TcpStream, origin: Origin) -> Stream {
        Stream { socket: Arc::new(socket), origin }
    }

    /// Where the stream comes from, for admission.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The socket, for reading, writing and timeouts.
    pub(in crate::net) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The address at the other end; `None` when the connection has been reset.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    /// Whether the other end is this machine, as far as addresses tell. That is a program here, or one that passes on what
    /// comes from elsewhere: Tor, `ssh -R`, a forwarded port.
    pub fn is_from_here(&self) -> bool {
        let own = self.socket.local_addr().map(|own| own.ip().to_canonical());
        self.address().is_some_and(|remote| {
            let remote = remote.ip().to_canonical();
            own.is_ok_and(|own| own == remote) || local::is_own(remote)
        })
    }

    /// A handle with which another thread ends the connection.
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.socket))
    }
}

/// Ends a connection from another thread than the one that uses its [`Stream`].
#[derive(Clone)]
pub struct Closer(Arc<TcpStream>);

impl Closer {
    /// Shuts down both directions: a thread that is blocked on the stream sees its end. A connection that has ended
    /// already stays as it is.
    pub fn close(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Whether this machine has lost the address from which the connection goes out, as when a laptop changes networks: no
    /// packet can come back to it. The system tells nobody, and TCP retries for minutes.
    pub fn is_cut_off(&self) -> bool {
        self.0.local_addr().is_ok_and(|own| !own.ip().is_loopback() && local::is_gone(own))
    }
}

/// Accepts direct connections.
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on the first of the addresses that is free. Port 0 takes any free port.
    pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<Listener> {
        TcpListener::bind(addresses).map(Listener)
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> io::Result<Stream> {
        let (socket, from) = self.0.accept()?;
        Ok(Stream::new(socket, Origin::Direct(from.ip())))
    }

    /// The address that the listener is bound to, with the port that it took.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
