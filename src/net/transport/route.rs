//! The way to an address: a direct connection, or a connection to a proxy that connects on. With a proxy no name is resolved
//! here, so that only the proxy learns it. It leaves out who is at the other end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::crypto::{base32, sha256};
use crate::error::{Error, reason};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::transport::direct::{self, CONNECT_TIMEOUT};
use crate::net::transport::{Stream, socks};
use crate::store::peers::{Origin, Place};
use crate::wire::address::Address;
use crate::wire::control::Path;
use crate::wire::proxy::Login;

/// How long a proxy may take to connect: Tor may have to build a circuit first, of six relays for an onion service.
const PROXIED_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may take.
pub fn patience(own: &Endpoint) -> Duration {
    if own.proxy().is_some() { PROXIED_CONNECT_TIMEOUT } else { CONNECT_TIMEOUT }
}

/// What stands in the way to an address.
#[derive(Debug)]
pub enum Obstacle {
    /// Nobody answers there, as the system or the proxy says.
    Peer {
        /// The kind of reason.
        kind: io::ErrorKind,
        /// The reason in words.
        why: String,
    },
    /// The proxy is not there, or cannot be used.
    Proxy(String),
    /// It is an onion service, and there is no proxy.
    Onion,
}

impl Obstacle {
    fn network(cause: &io::Error) -> Obstacle {
        Obstacle::Peer { kind: cause.kind(), why: reason(cause) }
    }

    /// What to tell of the peer.
    pub fn error(self, peer: String) -> Error {
        match self {
            Obstacle::Peer { why, .. } => Error::Unreachable { peer, why: why.into() },
            Obstacle::Proxy(why) => Error::Proxy { peer, why },
            Obstacle::Onion => Error::Onion { peer },
        }
    }
}

/// The way that a connection took, so that a lane can take the same one.
#[derive(Clone)]
pub struct Route {
    /// As it was asked for.
    asked: Address,
    /// Of the other end, or of the proxy.
    first: SocketAddr,
    proxied: Option<Proxied>,
    path: Path,
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
    fn find(own: &Endpoint, to: &Address) -> Option<Proxied> {
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
fn isolated(own: &Endpoint, to: &Address) -> Login {
    let parts = [b"E-Goat proxy login", &own.key().as_bytes()[..], to.to_string().as_bytes()].concat();
    Login { user: b"egoat".to_vec(), password: base32::encode(&sha256(&parts)).into_bytes() }
}

/// A stream that leads to `address`, and the way that it took.
pub fn connect(own: &Endpoint, address: &Address, deadline: Deadline) -> Result<(Stream, Route), Obstacle> {
    let proxied = Proxied::find(own, address);
    let Some(way) = &proxied else {
        if address.is_onion() {
            return Err(Obstacle::Onion);
        }
        let stream = direct::connect(address, deadline).map_err(|cause| Obstacle::network(&cause))?;
        let first = stream.socket().peer_addr().map_err(|cause| Obstacle::network(&cause))?;
        return Ok((stream, Route { asked: address.clone(), first, proxied, path: Path::Direct }));
    };
    let failed =
        |cause: io::Error| Obstacle::Proxy(way.failed(&format!("cannot be reached: {}", reason(&cause))));
    let stream =
        direct::connect(&way.proxy, deadline.min(Deadline::after(CONNECT_TIMEOUT))).map_err(failed)?;
    let route = Route {
        asked: address.clone(),
        first: stream.socket().peer_addr().map_err(failed)?,
        proxied: proxied.clone(),
        path: Path::Proxy,
    };
    route.pass(&stream, deadline)?;
    Ok((stream, route))
}

impl Route {
    /// Connects again to the peer or the proxy. After [`Route::pass`] the stream leads to the peer.
    pub fn open_again(&self, wait: Duration) -> Result<Stream, Obstacle> {
        direct::connect_to(&self.first, wait).map_err(|cause| Obstacle::network(&cause))
    }

    /// Has the proxy, if there is one, connect the stream to the peer.
    pub fn pass(&self, stream: &Stream, deadline: Deadline) -> Result<(), Obstacle> {
        let Some(way) = &self.proxied else { return Ok(()) };
        socks::connect(stream.socket(), &way.login, &way.to, deadline).map_err(|failure| match failure {
            socks::Failure::Proxy(why) => Obstacle::Proxy(way.failed(&why)),
            socks::Failure::Peer(why) => {
                Obstacle::Peer { kind: io::ErrorKind::ConnectionRefused, why: way.failed(&why) }
            }
        })
    }

    /// Whether a proxy stands between, which hides how the other end closes.
    pub fn is_proxied(&self) -> bool {
        self.proxied.is_some()
    }

    /// The same way, to this place.
    pub fn by_place(self, place: &Place) -> Route {
        let path = match place.origin {
            _ if self.is_proxied() => Path::Proxy,
            Origin::Near => Path::Nearby,
            _ if place.is_mapped => Path::Mapped,
            _ => Path::Direct,
        };
        Route { path, ..self }
    }

    /// What kind of way it is.
    pub fn path(&self) -> Path {
        self.path
    }

    /// Where it leads, as somebody has written that: a name is not resolved.
    pub fn asked(&self) -> &Address {
        &self.asked
    }

    /// Where it leads.
    pub fn address(&self) -> Address {
        self.proxied.as_ref().map_or_else(|| self.first.into(), |way| way.to.clone())
    }
}

/// Whether `address`, which the user typed without a port or a dot, is more likely a mistyped name of a peer, because it
/// does not resolve. With a proxy no name resolves here.
pub fn is_unknown_name(own: &Endpoint, address: &Address) -> bool {
    address.ip().is_none() && (own.proxy().is_some() || direct::resolve(address, CONNECT_TIMEOUT).is_err())
}
