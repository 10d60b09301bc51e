//! One try at one address: the handshake, once more where that may help, and what a failure most likely means.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::crypto::keys::{InviteToken, PublicKey};
use crate::crypto::random_array;
use crate::error::{Error, reason};
use crate::net::deadline::Deadline;
use crate::net::dial::{key_at, takes_nobody, unread};
use crate::net::endpoint::Endpoint;
use crate::net::handshake::{self, DialFailure, HANDSHAKE_TIMEOUT};
use crate::net::race::Ways;
use crate::net::session::Session;
use crate::net::transport::Stream;
use crate::net::transport::route::{self, Obstacle, Route, patience};
use crate::store::peers::Place;
use crate::wire::address::Address;
use crate::wire::message::Kind;

/// Pauses before each retry of a node at its limits, which closes before it answers.
const BUSY_PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// Whom to dial, and where: what the threads of all tries share.
pub struct Attempt {
    /// Who dials.
    pub own: Endpoint,
    /// The key that is to be proven.
    pub key: PublicKey,
    /// The one-time secret, when an invite is used.
    pub token: Option<InviteToken>,
    /// What to call it in errors.
    pub label: String,
    /// Whether it is a saved peer.
    pub is_saved: bool,
    /// When to give up, if that is before the usual time for each step.
    pub by: Option<Deadline>,
    /// What the session is for.
    pub kind: Kind,
    /// Where.
    pub places: Vec<Place>,
    /// Nobody waits for it any more.
    pub is_over: AtomicBool,
}

/// How a try at one address ended without a session.
pub enum AddressFailure {
    /// Nobody there, for this kind of reason: the next address may do.
    Network(ErrorKind, String),
    /// Another node answers, where the peer is not relied on to be.
    Moved,
    /// Somebody answered, and this is what to tell the user unless another address works.
    Telling(Error),
    /// No address works.
    Final(Error),
}

impl Ways for Attempt {
    type Connection = (Stream, Route);
    type Success = Session;
    type Failure = AddressFailure;

    fn connect(&self, way: usize) -> Result<(Stream, Route), AddressFailure> {
        let connected =
            route::connect(&self.own, &self.places[way].address, self.within(patience(&self.own)));
        connected.map_err(|obstacle| self.no_way(obstacle))
    }

    fn use_it(&self, way: usize, (stream, route): (Stream, Route)) -> Result<Session, AddressFailure> {
        let place = &self.places[way];
        self.shake_hands(place, stream, route).map(|session| session.by_place(place))
    }

    fn ends_all(&self, failure: &AddressFailure) -> bool {
        matches!(failure, AddressFailure::Final(_))
    }
}

impl Attempt {
    fn within(&self, wait: Duration) -> Deadline {
        let attempt = Deadline::after(wait);
        self.by.map_or(attempt, |by| by.min(attempt))
    }

    fn no_way(&self, obstacle: Obstacle) -> AddressFailure {
        match obstacle {
            Obstacle::Peer { kind, why } => AddressFailure::Network(kind, why),
            proxy @ Obstacle::Proxy(_) => AddressFailure::Final(proxy.error(self.label.clone())),
            onion @ Obstacle::Onion => AddressFailure::Telling(onion.error(self.label.clone())),
        }
    }

    /// It proves its key and has not the feature that is needed.
    fn too_old(&self) -> AddressFailure {
        if self.kind == Kind::Nearby {
            return AddressFailure::Final(Error::NobodyWaits { peer: self.label.clone() });
        }
        let why = "its egoat is too old for this; ask them to update it".to_owned();
        AddressFailure::Final(Error::Unreachable { peer: self.label.clone(), why: why.into() })
    }

    /// Another key than the one that is wanted answers at this address.
    fn other_key(&self, place: &Place, key: PublicKey) -> AddressFailure {
        let (peer, old, new) = (self.label.clone(), self.key.fingerprint(), key.fingerprint());
        if key == self.own.key() {
            AddressFailure::Network(ErrorKind::AddrInUse, "this node itself answers there".into())
        } else if !self.is_saved {
            let address = place.address.to_string();
            AddressFailure::Telling(Error::OtherNode { address, wanted: old, found: new })
        } else if place.is_pinned() {
            AddressFailure::Telling(Error::ChangedKey { peer, old, new, elsewhere: None })
        } else {
            AddressFailure::Moved
        }
    }

    fn shake_hands(&self, place: &Place, stream: Stream, route: Route) -> Result<Session, AddressFailure> {
        let address = &place.address;
        let mut connection = Some((stream, route));
        let mut again = 0;
        loop {
            let (stream, route) = match connection.take() {
                Some(connection) => connection,
                None => {
                    let connected = route::connect(&self.own, address, self.within(patience(&self.own)));
                    connected.map_err(|obstacle| self.no_way(obstacle))?
                }
            };
            let closed = match self.shake_hands_once(stream, route) {
                Ok(session) => return Ok(session),
                Err(DialFailure::Network(cause)) => {
                    return Err(AddressFailure::Network(cause.kind(), reason(&cause)));
                }
                Err(DialFailure::NoWay(obstacle)) => return Err(self.no_way(obstacle)),
                Err(DialFailure::NotProven(what)) => {
                    let peer = format!("{} at {address}", self.label);
                    return Err(AddressFailure::Telling(Error::Protocol { peer, what: what.into() }));
                }
                // Whoever is there may have nothing to do with the peer, and is asked nothing more.
                Err(
                    DialFailure::Unanswered | DialFailure::Cut | DialFailure::Closed | DialFailure::Unread,
                ) if place.is_hearsay() => {
                    let why = "another program answers there".into();
                    return Err(AddressFailure::Network(ErrorKind::ConnectionRefused, why));
                }
                Err(DialFailure::Unanswered) => return Err(self.explain_silence(address)),
                Err(DialFailure::TooOld) => return Err(self.too_old()),
                Err(DialFailure::Cut) => Closed::Other(self.lost(address)),
                Err(DialFailure::Closed) => self.explain_closed(address, true),
                Err(DialFailure::Unread) => self.explain_closed(address, false),
            };
            let closed = match closed {
                Closed::Other(error) => error,
                Closed::Key(key) => return Err(self.other_key(place, key)),
            };
            // A handshake that fails is held against us, so it is only done again where that may help.
            let pauses = match closed {
                Error::Refused { .. } => 1,
                _ => BUSY_PAUSES.len(),
            };
            if again >= pauses || self.is_over.load(Ordering::Relaxed) || !pause(again, self.by) {
                return Err(AddressFailure::Telling(closed));
            }
            again += 1;
        }
    }

    fn shake_hands_once(&self, stream: Stream, route: Route) -> Result<Session, DialFailure> {
        let deadline = self.within(HANDSHAKE_TIMEOUT);
        let (keys, token) = (self.own.dialling_keys(), self.token.as_ref());
        handshake::initiate(stream, keys, &self.key, token, self.kind, &self.label, deadline)
            .map(|session| session.by(route))
    }

    /// A node that closes without a word has another key, does not know the invite, is at its limits, or is no node. Its
    /// key, and whether what we sent was read, tell them apart.
    fn explain_closed(&self, address: &Address, was_read: bool) -> Closed {
        let peer = self.label.clone();
        Closed::Other(match key_at(&self.own, address, self.within(patience(&self.own))) {
            Ok(key) if key != self.key => return Closed::Key(key),
            // A line that is cut at this point looks the same, so the node has to answer others.
            Ok(_) if was_read && self.kind == Kind::Get && self.token.is_some() && self.answers(address) => {
                let why = "it does not know this share: it ended long ago, or the link was altered".into();
                Error::Refused { peer, why, hint: Some("ask for a new link, of `egoat share`".into()) }
            }
            Ok(_) if was_read && self.token.is_some() && self.answers(address) => Error::Refused {
                peer,
                why:
                    "it does not know this invite: it was withdrawn, is long expired, or the link was altered"
                        .into(),
                hint: Some("ask for a new link, of `egoat invite`, or for files of `egoat receive`".into()),
            },
            Ok(_) if was_read => self.lost(address),
            Ok(_) => Error::Unreachable {
                peer,
                why: format!("the node at {address} is too busy to answer").into(),
            },
            Err(DialFailure::Closed | DialFailure::Cut) if was_read => self.lost(address),
            Err(DialFailure::NotProven(what)) if was_read => {
                Error::Protocol { peer: format!("{peer} at {address}"), what: what.into() }
            }
            Err(DialFailure::Unread) => self.reset(address),
            Err(_) => unread(peer, address),
        })
    }

    /// Whether the node at the address answers the handshake of somebody without an invite.
    fn answers(&self, address: &Address) -> bool {
        let connected = route::connect(&self.own, address, self.within(patience(&self.own)));
        connected.is_ok_and(|(stream, _)| {
            handshake::answers(&stream, self.own.dialling_keys(), &self.key, self.within(HANDSHAKE_TIMEOUT))
        })
    }

    /// A node that takes the connection and never answers message 1. If it answers a question that fits in small packets, the
    /// path loses message 1 or the answer to it, which have over 1200 bytes.
    fn explain_silence(&self, address: &Address) -> AddressFailure {
        match key_at(&self.own, address, self.within(patience(&self.own))) {
            Ok(key) if key == self.key => AddressFailure::Telling(Error::LargePackets {
                peer: self.label.clone(),
                during: format!("shaking hands at {address}"),
            }),
            _ => AddressFailure::Network(
                ErrorKind::TimedOut,
                "it takes the connection and says nothing".into(),
            ),
        }
    }

    /// A network that is bad enough ends connections during the handshake as well.
    fn lost(&self, address: &Address) -> Error {
        let peer = format!("{} at {address}", self.label);
        let during = "greeting it: it closed the connection without an answer; that may be the network, or it is not egoat of \
                      this version";
        Error::Lost { peer, during: during.into() }
    }

    /// A node that resets the connection each time has no place for us, or something between the two does that.
    fn reset(&self, address: &Address) -> Error {
        let peer = format!("{} at {address}", self.label);
        Error::Lost { peer, during: format!("greeting it: {}", takes_nobody(address)) }
    }
}

/// Why a node closed without a word.
enum Closed {
    /// It has this key, and not the one that was dialled.
    Key(PublicKey),
    /// For another reason, most likely this one.
    Other(Error),
}

/// Waits before a node that is at its limits is asked again; `false` if there is no time for that.
pub fn pause(again: usize, by: Option<Deadline>) -> bool {
    let Some(pause) = BUSY_PAUSES.get(again) else { return false };
    // Those who came at one moment are not to come back at one.
    let pause = pause.mul_f64(0.75 + f64::from(random_array::<1>()[0]) / 512.0);
    let is_time = by.is_none_or(|by| by.remaining() > Some(pause));
    if is_time {
        thread::sleep(pause);
    }
    is_time
}
