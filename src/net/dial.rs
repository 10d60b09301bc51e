//! Dialling: each address in turn, the handshake, and what a failure most likely means. It leaves out the way to an
//! address: see `net::transport`.

use std::thread;
use std::time::Duration;

use crate::crypto::keys::{InviteToken, PublicKey};
use crate::crypto::random_array;
use crate::error::{Error, Result, reason};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::handshake::{self, DialFailure, HANDSHAKE_TIMEOUT};
use crate::net::session::Session;
use crate::net::transport::Stream;
use crate::net::transport::route::{self, Obstacle, patience};
use crate::store::home::Own;
use crate::store::peers::Peer;
use crate::wire::address::Address;
use crate::wire::message::{Kind, Message, Refusal};

/// Pauses before each retry of a node at its limits, which closes before it answers.
const BUSY_PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// Whom to dial.
#[derive(Clone)]
pub struct Target<'a> {
    /// The pinned key.
    pub key: PublicKey,
    /// The one-time secret, when an invite is used.
    pub token: Option<&'a InviteToken>,
    /// Where it was seen last. Tried first, but not relied on: another node may have the address by now.
    pub seen: Option<Address>,
    /// Where the user says that it is, in order of preference.
    pub addresses: &'a [Address],
    /// What to call it in errors.
    pub label: &'a str,
    /// It is a saved peer: another key at one of `addresses` is news, and one that closes without an answer was cut off. A
    /// node that is not saved has no key to change, and may be no egoat.
    pub is_saved: bool,
    /// When to give up, if that is before the usual time for each step.
    pub by: Option<Deadline>,
}

impl<'a> Target<'a> {
    /// A saved peer.
    pub fn peer(peer: &'a Peer, by: Option<Deadline>) -> Target<'a> {
        Target {
            key: peer.key,
            token: None,
            seen: peer.seen(),
            addresses: &peer.addresses,
            label: &peer.name,
            is_saved: true,
            by,
        }
    }

    /// A node that is not saved, with the key that it must prove.
    pub fn stranger(key: PublicKey, addresses: &'a [Address], label: &'a str) -> Target<'a> {
        Target { key, token: None, seen: None, addresses, label, is_saved: false, by: None }
    }

    fn within(&self, wait: Duration) -> Deadline {
        let attempt = Deadline::after(wait);
        self.by.map_or(attempt, |by| by.min(attempt))
    }
}

/// Dials until an address leads to a node that proves `target.key` and accepts. `opening` is asked for right after
/// the handshake, and written before the answer is known.
pub fn dial<'a>(
    own: &Endpoint,
    target: &Target,
    kind: Kind,
    opening: impl FnOnce() -> Result<Vec<Message<'a>>>,
) -> Result<Session> {
    let (mut moved, mut failed) = (Vec::new(), Vec::new());
    let mut telling = None;
    let addresses = target.seen.iter().chain(target.addresses);
    let count = addresses.clone().count();
    for (number, address) in addresses.enumerate() {
        // Each gets its share of the time that is left: one that takes us and says nothing leaves enough for the others.
        let share =
            target.by.map(|by| Deadline::after(by.remaining().unwrap_or_default() / (count - number) as u32));
        match try_address(own, &Target { by: share, ..target.clone() }, address, kind) {
            Ok(session) => return accepted(session, target, &opening()?),
            Err(AddressFailure::Network(why)) => failed.push(format!("{address}: {why}")),
            Err(AddressFailure::Moved) => moved.push(format!("{address}: another node has this address now")),
            Err(AddressFailure::Telling(error)) => {
                if !matches!(error, Error::ChangedKey { .. }) {
                    failed.push(format!("{address}: {error}"));
                }
                telling = telling.or(Some(error));
            }
            Err(AddressFailure::Final(error)) => return Err(telling.unwrap_or(error)),
        }
    }
    let label = target.label.to_owned();
    Err(match telling {
        Some(Error::ChangedKey { peer, old, new, .. }) => {
            let elsewhere = (!failed.is_empty()).then(|| failed.join("; "));
            Error::ChangedKey { peer, old, new, elsewhere }
        }
        Some(error) => error,
        None if count == 0 => Error::Unreachable { peer: label, why: NO_ADDRESS.into() },
        None => Error::Unreachable { peer: label, why: [moved, failed].concat().join("; ") },
    })
}

const NO_ADDRESS: &str =
    "no address of it is known: it is served when it connects, or give HOST:PORT in place of its name once";

/// How a try at one address ended without a session.
enum AddressFailure {
    /// Nobody there: the next address may do.
    Network(String),
    /// It was seen there last, and another node answers now.
    Moved,
    /// Somebody answered, and this is what to tell the user unless another address works.
    Telling(Error),
    /// No address works.
    Final(Error),
}

impl AddressFailure {
    /// Another key than the target's answers at this address.
    fn of_key(own: &Own, target: &Target, address: &Address, key: PublicKey) -> AddressFailure {
        let (peer, old, new) = (target.label.to_owned(), target.key.fingerprint(), key.fingerprint());
        if key == own.key() {
            AddressFailure::Network("this node itself answers there".into())
        } else if target.seen.as_ref() == Some(address) {
            AddressFailure::Moved
        } else if target.is_saved {
            AddressFailure::Telling(Error::ChangedKey { peer, old, new, elsewhere: None })
        } else {
            AddressFailure::Telling(Error::OtherNode {
                address: address.to_string(),
                wanted: old,
                found: new,
            })
        }
    }
}

fn try_address(
    own: &Endpoint,
    target: &Target,
    address: &Address,
    kind: Kind,
) -> std::result::Result<Session, AddressFailure> {
    let dial_once = || -> std::result::Result<Session, DialFailure> {
        let (stream, route) = route::connect(own, address, target.within(patience(own)))?;
        let deadline = target.within(HANDSHAKE_TIMEOUT);
        handshake::initiate(stream, own.keys(), &target.key, target.token, kind, target.label, deadline)
            .map(|session| session.by(route))
    };
    let mut again = 0;
    loop {
        let closed = match dial_once() {
            Ok(session) => return Ok(session),
            Err(DialFailure::Network(cause)) => return Err(AddressFailure::Network(reason(&cause))),
            Err(DialFailure::NoWay(Obstacle::Peer(why))) => return Err(AddressFailure::Network(why)),
            Err(DialFailure::NoWay(why @ Obstacle::Proxy(_))) => {
                return Err(AddressFailure::Final(why.error(target.label.to_owned())));
            }
            Err(DialFailure::NoWay(why)) => {
                return Err(AddressFailure::Telling(why.error(target.label.to_owned())));
            }
            Err(DialFailure::NotProven(what)) => {
                let peer = format!("{} at {address}", target.label);
                return Err(AddressFailure::Telling(Error::Protocol { peer, what: what.into() }));
            }
            Err(DialFailure::Unanswered) => return Err(explain_silence(own, target, address)),
            Err(DialFailure::Cut) => Closed::Other(cut_short(target, address)),
            Err(DialFailure::Closed) => explain_closed(own, target, address, true),
            Err(DialFailure::Unread) => explain_closed(own, target, address, false),
        };
        let closed = match closed {
            Closed::Other(error) => error,
            Closed::Key(key) => return Err(AddressFailure::of_key(own, target, address, key)),
        };
        // A handshake that fails is held against us, so it is only done again where that may help.
        let pauses = match closed {
            Error::Refused { .. } => 1,
            _ => BUSY_PAUSES.len(),
        };
        if again >= pauses || !pause(again, target.by) {
            return Err(AddressFailure::Telling(closed));
        }
        again += 1;
    }
}

/// Waits before a node that is at its limits is asked again; `false` if there is no time for that.
fn pause(again: usize, by: Option<Deadline>) -> bool {
    let Some(pause) = BUSY_PAUSES.get(again) else { return false };
    // Those who came at one moment are not to come back at one.
    let pause = pause.mul_f64(0.75 + f64::from(random_array::<1>()[0]) / 512.0);
    let is_time = by.is_none_or(|by| by.remaining() > Some(pause));
    if is_time {
        thread::sleep(pause);
    }
    is_time
}

/// Why a node closed without a word.
enum Closed {
    /// It has this key, and not the one that was dialled.
    Key(PublicKey),
    /// For another reason, most likely this one.
    Other(Error),
}

/// A node that closes without a word has another key, does not know the invite, is at its limits, or is no node. Its
/// key, and whether what we sent was read, tell them apart.
fn explain_closed(own: &Endpoint, target: &Target, address: &Address, was_read: bool) -> Closed {
    let peer = target.label.to_owned();
    Closed::Other(match key_at(own, address, target.within(patience(own))) {
        Ok(key) if key != target.key => return Closed::Key(key),
        Ok(_) if was_read && target.token.is_some() => Error::Refused {
            peer,
            why: "it does not know this invite: it was withdrawn, is long expired, or the link was altered"
                .into(),
            hint: Some("ask for a new link: `egoat invite`".into()),
        },
        Ok(_) if was_read && target.is_saved => lost(target, address),
        Ok(_) => Error::Unreachable { peer, why: format!("the node at {address} is too busy to answer") },
        Err(DialFailure::Closed | DialFailure::Cut) if was_read && target.is_saved => lost(target, address),
        Err(DialFailure::Closed) if was_read => no_answer(format!("{peer} at {address}")),
        Err(DialFailure::NotProven(what)) if was_read => {
            Error::Protocol { peer: format!("{peer} at {address}"), what: what.into() }
        }
        Err(_) => unread(peer, address),
    })
}

/// A node that takes the connection and never answers message 1. If it answers a question that fits in small packets, the
/// path loses message 1 or the answer to it, which have over 1200 bytes.
fn explain_silence(own: &Endpoint, target: &Target, address: &Address) -> AddressFailure {
    match key_at(own, address, target.within(patience(own))) {
        Ok(key) if key == target.key => AddressFailure::Telling(Error::LargePackets {
            peer: target.label.to_owned(),
            during: format!("shaking hands at {address}"),
        }),
        _ => AddressFailure::Network("it takes the connection and says nothing".into()),
    }
}

/// A network that is bad enough ends connections during the handshake as well.
fn lost(target: &Target, address: &Address) -> Error {
    let peer = format!("{} at {address}", target.label);
    let during = "greeting it: it closed the connection without an answer; that may be the network, or it is not egoat of \
                  this version";
    Error::Lost { peer, during: during.into() }
}

/// It closes in the middle of its answer.
fn cut_short(target: &Target, address: &Address) -> Error {
    if target.is_saved {
        lost(target, address)
    } else {
        Error::Protocol { peer: format!("{} at {address}", target.label), what: handshake::TOO_SHORT.into() }
    }
}

/// It has read what we sent, and does not answer to that.
fn no_answer(peer: String) -> Error {
    let what =
        "it closed the connection without an answer: it is no egoat, one of another version, or too busy";
    Error::Protocol { peer, what: what.into() }
}

/// It closes without reading.
fn unread(peer: String, address: &Address) -> Error {
    let why = format!(
        "{address} takes no connection from here now: it has too many, keeps this address out for a while, or is no \
         egoat"
    );
    Error::Unreachable { peer, why }
}

/// Writes what belongs behind message 3, and waits for ACCEPT.
fn accepted(mut session: Session, target: &Target, opening: &[Message]) -> Result<Session> {
    for message in opening {
        session.write(message)?;
    }
    session.set_deadline(Some(target.within(HANDSHAKE_TIMEOUT)));
    session.flush()?;
    let answer = session.read_as("waiting to be accepted", |message| match message {
        Message::Accept => Some(Ok(())),
        Message::Refused(refusal) => Some(Err(refusal)),
        _ => None,
    })?;
    match answer {
        Ok(()) => {
            session.set_deadline(None);
            session.skip_ignorable(true);
            Ok(session)
        }
        Err(refusal) => Err(refused(session.label(), refusal)),
    }
}

/// A refusal in the user's words.
fn refused(peer: &str, refusal: Refusal) -> Error {
    let (why, hint) = match refusal {
        Refusal::Unknown => (
            "it does not know this node yet; your request was noted there",
            Some("ask them to run `egoat peers accept`, or to send you a link from `egoat invite`"),
        ),
        Refusal::Blocked => ("it has blocked this node", None),
        Refusal::InviteUsed => (
            "another node has used this invite",
            Some("a link works once; ask for a new one: `egoat invite`"),
        ),
        Refusal::InviteExpired => ("the invite has expired", Some("ask for a new link: `egoat invite`")),
        Refusal::Busy => return Error::Busy { peer: peer.to_owned() },
        Refusal::Unsupported => {
            ("it does not do this now", Some("it may be receiving files only; ask them to run `egoat serve`"))
        }
    };
    Error::Refused { peer: peer.to_owned(), why: why.into(), hint: hint.map(str::to_owned) }
}

/// The static key of whoever answers at `address`, for a first contact.
pub fn ask_key(own: &Endpoint, address: &Address) -> Result<PublicKey> {
    let mut again = 0;
    loop {
        return match key_at(own, address, Deadline::after(patience(own))) {
            Err(DialFailure::Unread) if pause(again, None) => {
                again += 1;
                continue;
            }
            asked => asked.map_err(|failure| key_error(failure, address)),
        };
    }
}

/// What to tell of a node that was asked for its key.
pub fn key_error(failure: DialFailure, address: &Address) -> Error {
    let peer = address.to_string();
    match failure {
        DialFailure::Network(cause) => Error::Unreachable { peer, why: reason(&cause) },
        DialFailure::NoWay(why) => why.error(peer),
        DialFailure::NotProven(what) => Error::Protocol { peer, what: what.into() },
        DialFailure::Closed => no_answer(peer),
        DialFailure::Cut => Error::Protocol { peer, what: handshake::TOO_SHORT.into() },
        DialFailure::Unread | DialFailure::Unanswered => unread(peer, address),
    }
}

fn key_at(
    own: &Endpoint,
    address: &Address,
    deadline: Deadline,
) -> std::result::Result<PublicKey, DialFailure> {
    let (stream, route) = route::connect(own, address, deadline)?;
    key_over(stream, route.is_proxied())
}

/// Behind a proxy nobody sees whether the other end has read what we sent: it may have no place for us.
pub fn key_over(stream: Stream, is_proxied: bool) -> std::result::Result<PublicKey, DialFailure> {
    handshake::ask_key(stream).map_err(|failure| match failure {
        DialFailure::Closed if is_proxied => DialFailure::Unread,
        other => other,
    })
}
