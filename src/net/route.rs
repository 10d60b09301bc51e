//! The way to an address: a TCP connection to it, or one to a proxy that makes it. Names are resolved here where there is
//! no proxy; where there is one, it alone learns them. It leaves out who is at the other end.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::crypto::{base32, sha256};
use crate::error::{Error, reason};
use crate::net::deadline::Deadline;
use crate::net::socks;
use crate::store::home::Own;
use crate::wire::address::Address;
use crate::wire::proxy::Login;

/// A name is resolved, and each address connected to, within this (DESIGN section 1: every wait is bounded).
pub const CONNECT: Duration = Duration::from_secs(5);
/// A proxy connects within this: Tor may have to build a circuit first, and an onion service's is of six relays.
const PROXIED: Duration = Duration::from_secs(30);
/// An address is tried at least this long, if it is tried at all.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// How long a connection may take.
pub fn patience(own: &Own) -> Duration {
    if own.proxy().is_some() { PROXIED } else { CONNECT }
}

/// What stands in the way to an address.
#[derive(Debug)]
pub enum Obstacle {
    /// Nobody answers there, as the system or the proxy says.
    Peer(String),
    /// The proxy is not there, or cannot be used.
    Proxy(String),
    /// It is an onion service, and there is no proxy.
    Onion,
}

impl Obstacle {
    fn network(cause: &io::Error) -> Obstacle {
        Obstacle::Peer(reason(cause))
    }

    /// What to tell of the peer.
    pub fn error(self, peer: String) -> Error {
        match self {
            Obstacle::Peer(why) => Error::Unreachable { peer, why },
            Obstacle::Proxy(why) => Error::Proxy { peer, why },
            Obstacle::Onion => Error::Onion { peer },
        }
    }
}

/// A way that was found, to be taken again.
#[derive(Clone)]
pub struct Route {
    /// Of the other end, or of the proxy.
    first: SocketAddr,
    proxied: Option<Proxied>,
}

/// The second part of the way.
#[derive(Clone)]
struct Proxied {
    /// The proxy as the user calls it.
    proxy: Address,
    login: Login,
    to: Address,
}

impl Proxied {
    fn find(own: &Own, to: &Address) -> Option<Proxied> {
        let proxy = own.proxy()?;
        let login = proxy.login.clone().unwrap_or_else(|| isolated(own, to));
        Some(Proxied { proxy: proxy.address.clone(), login, to: to.clone() })
    }

    fn failed(&self, why: &str) -> String {
        format!("the proxy {} {why}", self.proxy)
    }
}

/// Tor keeps apart what has another user or password (IsolateSOCKSAuth), so each peer gets a circuit of its own, and each
/// node: nobody sees by their circuit that two peers are talked to by one. Other proxies take any, or want none.
fn isolated(own: &Own, to: &Address) -> Login {
    let parts = [b"E-Goat proxy login", &own.key().as_bytes()[..], to.to_string().as_bytes()].concat();
    Login { user: b"egoat".to_vec(), password: base32::encode(&sha256(&parts)).into_bytes() }
}

/// A TCP connection that leads to `address`.
pub fn connect(own: &Own, address: &Address, deadline: Deadline) -> Result<(TcpStream, Route), Obstacle> {
    let proxied = Proxied::find(own, address);
    let Some(way) = &proxied else {
        if address.is_onion() {
            return Err(Obstacle::Onion);
        }
        let stream = open(address, deadline).map_err(|cause| Obstacle::network(&cause))?;
        let first = stream.peer_addr().map_err(|cause| Obstacle::network(&cause))?;
        return Ok((stream, Route { first, proxied }));
    };
    let failed =
        |cause: io::Error| Obstacle::Proxy(way.failed(&format!("cannot be reached: {}", reason(&cause))));
    let stream = open(&way.proxy, deadline.min(Deadline::after(CONNECT))).map_err(failed)?;
    let route = Route { first: stream.peer_addr().map_err(failed)?, proxied: proxied.clone() };
    route.pass(&stream, deadline)?;
    Ok((stream, route))
}

impl Route {
    /// The first part of the way again. It leads to the end after [`Route::pass`].
    pub fn open_again(&self, wait: Duration) -> Result<TcpStream, Obstacle> {
        TcpStream::connect_timeout(&self.first, wait).map_err(|cause| Obstacle::network(&cause))
    }

    /// The rest of the way, if there is more.
    pub fn pass(&self, stream: &TcpStream, deadline: Deadline) -> Result<(), Obstacle> {
        let Some(way) = &self.proxied else { return Ok(()) };
        socks::connect(stream, &way.login, &way.to, deadline).map_err(|failure| match failure {
            socks::Failure::Proxy(why) => Obstacle::Proxy(way.failed(&why)),
            socks::Failure::Peer(why) => Obstacle::Peer(way.failed(&why)),
        })
    }

    /// Whether a proxy stands between, which hides how the other end closes.
    pub fn is_proxied(&self) -> bool {
        self.proxied.is_some()
    }

    /// Where it leads.
    pub fn address(&self) -> Address {
        self.proxied.as_ref().map_or_else(|| self.first.into(), |way| way.to.clone())
    }
}

fn open(address: &Address, deadline: Deadline) -> io::Result<TcpStream> {
    first_of(&resolve(address, deadline.left()?)?, deadline)
}

/// A TCP connection to the first of the addresses that takes one. Each gets its share of the time that is left, so that one
/// from which nothing comes, as where IPv6 is broken, leaves enough for the others.
pub fn first_of(found: &[SocketAddr], deadline: Deadline) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (number, address) in found.iter().enumerate() {
        let left = deadline.left().unwrap_or_default();
        // To resolve the name may have taken all of it.
        if left.is_zero() && number > 0 {
            break;
        }
        let share = left / (found.len() - number) as u32;
        match TcpStream::connect_timeout(address, share.clamp(LAST_CHANCE, CONNECT)) {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// The addresses of a host. The system's resolver has no deadline of its own, so it gets a thread that may be left behind.
pub fn resolve(address: &Address, wait: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Some(ip) = address.ip() {
        return Ok(vec![SocketAddr::new(ip, address.port())]);
    }
    let (answer, waiting) = mpsc::channel();
    let (host, port) = (address.host().to_owned(), address.port());
    thread::Builder::new().name("resolver".into()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody waits any more when the time was over: then the answer is of no use.
        let _ = answer.send(found);
    })?;
    match waiting.recv_timeout(wait) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::NotFound, "the name does not resolve")),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name could not be resolved in time")),
    }
}

/// Whether `address`, which was typed without a port or a dot, is rather a mistyped name of a peer: a name that does not
/// resolve. With a proxy none does.
pub fn is_unknown_name(own: &Own, address: &Address) -> bool {
    address.ip().is_none() && (own.proxy().is_some() || resolve(address, CONNECT).is_err())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    /// Linux answers nothing to a listener's next caller when so many wait as it lets wait.
    #[test]
    #[cfg(target_os = "linux")]
    fn an_address_from_which_nothing_comes_leaves_time_for_the_next() {
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(caller) = TcpStream::connect_timeout(&silent, Duration::from_millis(200)) {
            waiting.push(caller);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let deadline = Deadline::after(Duration::from_secs(3));
        let stream = first_of(&[silent, listener.local_addr().unwrap()], deadline).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(deadline.left().is_ok(), "the first took all of the time");
    }
}
