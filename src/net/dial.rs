//! Dialling: all addresses of a node at once until one leads to it, and what to tell when none does. It leaves out the way to an
//! address: see `net::transport`.
//!
//! | module | what it does |
//! | --- | --- |
//! | `attempt` | a try at one address |
//! | `causes` | of many failures, the one to tell |
//! | `tries` | how often an address is dialled that only the peer has named |

mod attempt;
mod causes;
pub mod tries;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::crypto::keys::{InviteToken, PublicKey};
use crate::error::{Error, Result, reason};
use crate::net::deadline::Deadline;
use crate::net::dial::attempt::{Attempt, pause};
use crate::net::endpoint::Endpoint;
use crate::net::handshake::{self, DialFailure, HANDSHAKE_TIMEOUT};
use crate::net::local;
use crate::net::race::{self, Pauses};
use crate::net::session::Session;
use crate::net::transport::Stream;
use crate::net::transport::route::{self, patience};
use crate::store::peers::{Origin, Peer, Peers, Place};
use crate::wire::address::Address;
use crate::wire::features::Features;
use crate::wire::message::{Kind, Message, Refusal};

/// From one connection to the next (RFC 8305, section 5).
const CONNECT_PAUSE: Duration = Duration::from_millis(250);
/// The same through a proxy: Tor takes longer for any connection, and builds a circuit for each.
const PROXIED_CONNECT_PAUSE: Duration = Duration::from_secs(2);
/// How long a node that is connected has for its answer before another one is asked as well.
const TURN: Duration = Duration::from_secs(2);

/// Whom to dial.
#[derive(Clone)]
pub struct Target<'a> {
    /// The pinned key.
    pub key: PublicKey,
    /// The one-time secret, when an invite is used.
    pub token: Option<&'a InviteToken>,
    /// Where, in order of preference.
    pub places: Vec<Place>,
    /// What to call it in errors.
    pub label: &'a str,
    /// It is a saved peer: another key where it is relied on to be is news, and one that closes without an answer was cut off.
    /// A node that is not saved has no key to change, and may be no egoat.
    pub is_saved: bool,
    /// When to give up, if that is before the usual time for each step.
    pub by: Option<Deadline>,
}

impl<'a> Target<'a> {
    /// A saved peer.
    pub fn peer(peer: &'a Peer, by: Option<Deadline>) -> Target<'a> {
        Target { key: peer.key, token: None, places: peer.places(), label: &peer.name, is_saved: true, by }
    }

    /// A node that is not saved, with the key that it must prove.
    pub fn stranger(key: PublicKey, addresses: &[Address], label: &'a str) -> Target<'a> {
        let places = addresses.iter().cloned().map(Place::of_link).collect();
        Target { key, token: None, places, label, is_saved: false, by: None }
    }

    fn attempt(&self, own: &Endpoint, kind: Kind) -> Attempt {
        let mut places: Vec<Place> =
            self.places.iter().filter(|place| may_dial(own, place)).cloned().collect();
        own.tries().choose(self.key, &mut places, Instant::now());
        Attempt {
            own: own.clone(),
            key: self.key,
            token: self.token.cloned(),
            label: self.label.to_owned(),
            is_saved: self.is_saved,
            by: self.by,
            kind,
            places,
            is_over: AtomicBool::new(false),
        }
    }

    /// How long each of so many addresses has for itself, so that one that says nothing leaves enough for the others.
    fn pauses(&self, own: &Endpoint, count: usize) -> Pauses {
        let connect = if own.is_hidden() { PROXIED_CONNECT_PAUSE } else { CONNECT_PAUSE };
        let Some(by) = self.by else { return Pauses { connect, turn: TURN } };
        let share = by.remaining().unwrap_or_default() / count.max(1) as u32;
        Pauses { connect: connect.min(share / 2), turn: TURN.min(share / 2) }
    }
}

/// What the user named is dialled. Of the others, only what can be the peer's in the network where this machine is now.
fn may_dial(own: &Endpoint, place: &Place) -> bool {
    match place.origin {
        Origin::User | Origin::Link => true,
        // A proxy would dial it in its own network, and learn where the peer is.
        Origin::Told | Origin::Mapped => !own.is_hidden() && local::is_dialled_on_hearsay(&place.address),
        Origin::Seen | Origin::Near => own.is_hidden() || local::is_dialled_unasked(&place.address),
    }
}

/// Dials until an address leads to a node that proves `target.key` and accepts. `opening` writes, right after the handshake,
/// what goes out before the answer is known.
pub fn dial(
    own: &Endpoint,
    target: &Target,
    kind: Kind,
    opening: &mut dyn FnMut(&mut Session) -> Result<()>,
) -> Result<Session> {
    let attempt = Arc::new(target.attempt(own, kind));
    let count = attempt.places.len();
    let result = race::run(&attempt, count, target.pauses(own, count));
    attempt.is_over.store(true, Ordering::Relaxed);
    match result {
        Ok((way, session)) => {
            let place = &attempt.places[way];
            let session = accepted(session, target, kind, opening);
            // A refusal, too, comes from a node that has proven its key.
            if target.is_saved {
                note_worked(own, target, place);
            }
            session
        }
        Err(failed) => Err(causes::error(target, &attempt, failed)),
    }
}

/// Notes where the peer was reached, to try that first the next time. A note that cannot be written is not worth an error.
fn note_worked(own: &Endpoint, target: &Target, place: &Place) {
    let (first, address) = (target.places.first(), &place.address);
    if !first.is_some_and(|first| first.address == *address && first.has_worked_lately()) {
        let note = |peers: &mut Peers| {
            if let Some(peer) = peers.by_key_mut(&target.key) {
                if place.origin == Origin::Near {
                    peer.note_near(address);
                }
                peer.note_worked(address);
            }
            Ok(())
        };
        let _ = Peers::edit(own.home(), note);
    }
}

/// Has written what belongs behind message 3, and waits for ACCEPT.
fn accepted(
    mut session: Session,
    target: &Target,
    kind: Kind,
    opening: &mut dyn FnMut(&mut Session) -> Result<()>,
) -> Result<Session> {
    opening(&mut session)?;
    let deadline = Deadline::after(HANDSHAKE_TIMEOUT);
    session.set_deadline(Some(target.by.map_or(deadline, |by| by.min(deadline))));
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
        Err(refusal) => Err(refused(&session, refusal, kind)),
    }
}

/// Why what is shared cannot be fetched for now.
pub const TOO_MANY_FETCH: &str = "somebody else fetches this, or too many do";

/// A refusal in the user's words.
fn refused(session: &Session, refusal: Refusal, kind: Kind) -> Error {
    let peer = session.label();
    const NEW_SHARE: Option<&str> = Some("ask for a new link, of `egoat share`");
    let (why, hint) = match refusal {
        Refusal::InviteUsed if kind == Kind::Get => {
            ("what this link shares was fetched already, and it was meant for one", NEW_SHARE)
        }
        Refusal::InviteExpired if kind == Kind::Get => {
            ("this share has ended: its time is over, or it was stopped", NEW_SHARE)
        }
        Refusal::Unsupported if kind == Kind::Get => ("it shares nothing by this", NEW_SHARE),
        Refusal::Unknown if kind == Kind::Nearby => {
            return Error::NobodyWaits { peer: peer.to_owned() };
        }
        Refusal::Unknown if session.features().has(Features::ONE_OFF) => (
            "it takes files, and only from somebody with its link",
            Some("ask for the link that `egoat receive` prints there, and run `egoat send LINK FILE`"),
        ),
        Refusal::Unknown => (
            "it does not know this node yet; your request was noted there",
            Some("ask them to run `egoat peers accept`, or to send you a link from `egoat invite`"),
        ),
        Refusal::Blocked => ("it has blocked this node", None),
        Refusal::InviteUsed => (
            "another node has used this invite",
            Some("a link works once; ask for a new one, of `egoat invite`, or for files of `egoat receive`"),
        ),
        Refusal::InviteExpired => (
            "the invite has expired",
            Some("ask for a new link, of `egoat invite`, or for files of `egoat receive`"),
        ),
        Refusal::Busy => {
            let why = match kind {
                Kind::Get => TOO_MANY_FETCH,
                _ => "too many connections, or no room on its disk",
            };
            return Error::Busy { peer: peer.to_owned(), why };
        }
        Refusal::Unsupported if kind == Kind::Files => (
            "it receives files from somebody else right now",
            Some(
                "ask for the link that `egoat receive` prints there, or that they run `egoat receive --from` you",
            ),
        ),
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
            Err(DialFailure::Unread | DialFailure::Cut) if pause(again, None) => {
                again += 1;
                continue;
            }
            // Another program closes again.
            Err(DialFailure::Closed) if again == 0 && pause(again, None) => {
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
        DialFailure::Network(cause) => Error::Unreachable { peer, why: reason(&cause).into() },
        DialFailure::NoWay(why) => why.error(peer),
        DialFailure::NotProven(what) => Error::Protocol { peer, what: what.into() },
        DialFailure::Closed => no_answer(peer),
        DialFailure::Cut => Error::Lost { peer, during: "asking for its key".into() },
        // Nothing was wanted of it that it could be too old for.
        DialFailure::Unread | DialFailure::Unanswered | DialFailure::TooOld => unread(peer, address),
    }
}

/// It has read what we sent, and does not answer to that.
fn no_answer(peer: String) -> Error {
    let what =
        "it closed the connection without an answer: it is no egoat, one of another version, or too busy";
    Error::Protocol { peer, what: what.into() }
}

/// It closes without reading.
pub(in crate::net::dial) fn unread(peer: String, address: &Address) -> Error {
    Error::Unreachable { peer, why: takes_nobody(address).into() }
}

pub(in crate::net::dial) fn takes_nobody(address: &Address) -> String {
    format!(
        "{address} takes no connection from here now: it has too many, keeps this address out for a while, or is no \
         egoat"
    )
}

pub(in crate::net::dial) fn key_at(
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
