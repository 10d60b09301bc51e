//! The handshake on a stream (egoat-protocol(7), HANDSHAKE): the cryptography is in `crypto::handshake`, here are
//! the preamble, the exact reads and the deadlines. Both sides end with a [`Session`] whose peer is proven; whether it
//! is welcome is decided above.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::crypto::handshake::{
    Initiator, InitiatorLast, MESSAGE_1_LEN, MESSAGE_2_LEN, MESSAGE_3_LEN, PAYLOAD_LEN, PREAMBLE_LEN,
    Responder,
};
use crate::crypto::keys::{INVITE_ID_LEN, InviteToken, PublicKey, StaticKeys};
use crate::crypto::noise::DH_LEN;
use crate::error::Error;
use crate::net::deadline::{Deadline, ShortRead};
use crate::net::session::Session;
use crate::net::transport::Stream;
use crate::net::transport::route::Obstacle;
use crate::wire::features::{
    Features, acceptor_payload, dialler_payload, read_acceptor_payload, read_dialler_payload,
};
use crate::wire::message::Kind;

/// A handshake takes this long at most.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first message arrives within this.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// A node that closes later than this after message 1 was sent has waited for it in vain, up to [`FIRST_MESSAGE_TIMEOUT`].
/// One that has no place closes sooner.
const UNANSWERED: Duration = Duration::from_millis(4500);

/// What is read of a dialler of another version: more than its first message.
const FOREIGN: usize = 16 << 10;

/// What is wrong with the answer of another program that closes early.
pub const TOO_SHORT: &str = "its answer is too short";

const MAGIC: [u8; 6] = *b"E-GOAT";
const VERSION: u8 = 1;
const PURPOSE_SESSION: u8 = 0;
const PURPOSE_LANE: u8 = 1;
/// With this bit the acceptor first answers with its static key.
const ASK_KEY: u8 = 0x80;

fn preamble(purpose: u8) -> [u8; PREAMBLE_LEN] {
    let [a, b, c, d, e, f] = MAGIC;
    [a, b, c, d, e, f, VERSION, purpose]
}

/// The preamble of a lane.
pub(super) fn lane_preamble() -> [u8; PREAMBLE_LEN] {
    preamble(PURPOSE_LANE)
}

/// How the dialler's side of a handshake failed.
#[derive(Debug)]
pub enum DialFailure {
    /// The network failed.
    Network(std::io::Error),
    /// There is no connection.
    NoWay(Obstacle),
    /// The other side closed before it answered, and has read what we sent: another key, another program or version.
    Closed,
    /// It closed in the middle of its answer: the line was cut.
    Cut,
    /// It closed and has not read what we sent, which resets the connection: it has no place for us, or is no node.
    Unread,
    /// It was there, and has not answered to message 1 for so long that a node would have given up.
    Unanswered,
    /// It is the node that is meant, and does not know what is wanted of it.
    TooOld,
    /// It answered with something that is no handshake, or with the proof of another key.
    NotProven(&'static str),
}

impl From<Obstacle> for DialFailure {
    fn from(obstacle: Obstacle) -> DialFailure {
        DialFailure::NoWay(obstacle)
    }
}

impl From<ShortRead> for DialFailure {
    fn from(short: ShortRead) -> DialFailure {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
        match (short.got, short.cause.kind()) {
            (0, UnexpectedEof) => DialFailure::Closed,
            (0, ConnectionReset | ConnectionAborted) => DialFailure::Unread,
            (_, UnexpectedEof | ConnectionReset | ConnectionAborted) => DialFailure::Cut,
            _ => DialFailure::Network(short.cause),
        }
    }
}

/// An answer that was cut short. One that is text comes from another program, such as an HTTP server; of so many random
/// bytes, 1 in 600 is text.
fn cut_answer(short: ShortRead, answer: &[u8]) -> DialFailure {
    const TELLING: usize = 7;
    let said = &answer[..short.got];
    match DialFailure::from(short) {
        DialFailure::Cut if said.len() >= TELLING && is_text(said) => DialFailure::NotProven(TOO_SHORT),
        other => other,
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// Our first bytes could not be written.
fn not_taken(cause: std::io::Error) -> DialFailure {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match cause.kind() {
        BrokenPipe | ConnectionReset | ConnectionAborted => DialFailure::Unread,
        _ => DialFailure::Network(cause),
    }
}

/// The dialler's side. The session is proven, but not yet accepted.
pub fn initiate(
    stream: Stream,
    keys: &StaticKeys,
    remote: &PublicKey,
    token: Option<&InviteToken>,
    kind: Kind,
    label: &str,
    deadline: Deadline,
) -> Result<Session, DialFailure> {
    let (state, payload) = greet(&stream, keys, remote, token, deadline)?;
    let features = Features::DIALLER.shared(read_acceptor_payload(&payload));
    let needed = match kind {
        Kind::Get => Features::GET,
        Kind::Nearby => Features::NEARBY,
        _ => Features::NONE,
    };
    if !features.has(needed) {
        return Err(DialFailure::TooOld);
    }
    let (third, established) = state
        .write_message_3(&dialler_payload(kind, Features::DIALLER))
        .map_err(|_| DialFailure::NotProven("the key agreement failed"))?;
    deadline.write_all(stream.socket(), &third).map_err(DialFailure::Network)?;
    Session::new(stream, *remote, label.to_owned(), features, established)
        .map_err(|_| DialFailure::NotProven("the socket cannot be set up"))
}

/// Messages 1 and 2.
fn greet(
    stream: &Stream,
    keys: &StaticKeys,
    remote: &PublicKey,
    token: Option<&InviteToken>,
    deadline: Deadline,
) -> Result<(InitiatorLast, [u8; PAYLOAD_LEN]), DialFailure> {
    let preamble = preamble(PURPOSE_SESSION);
    let (state, first) = Initiator::start(keys, remote, &preamble, token)
        .map_err(|_| DialFailure::NotProven("the saved key cannot be talked to"))?;
    let mut opening = preamble.to_vec();
    opening.extend_from_slice(&first);
    deadline.write_all(stream.socket(), &opening).map_err(not_taken)?;
    let (mut second, sent) = ([0; MESSAGE_2_LEN], Instant::now());
    if let Err(short) = deadline.read_exact(stream.socket(), &mut second) {
        let is_unanswered = short.is_silence() && sent.elapsed() >= UNANSWERED;
        return Err(if is_unanswered { DialFailure::Unanswered } else { cut_answer(short, &second) });
    }
    state.read_message_2(&second).map_err(|_| DialFailure::NotProven("its answer does not authenticate"))
}

/// Whether the node answers a message 1 without an invite, which is as long as one with an invite. The connection ends there,
/// which a node counts as a line that was cut, and not against us.
pub fn answers(stream: &Stream, keys: &StaticKeys, remote: &PublicKey, deadline: Deadline) -> bool {
    greet(stream, keys, remote, None, deadline).is_ok()
}

/// Asks the node at the other end for its static key, for a first contact. Nothing is proven by it: the key is what
/// the user compares, and pins.
pub fn ask_key(stream: Stream) -> Result<PublicKey, DialFailure> {
    let deadline = Deadline::after(FIRST_MESSAGE_TIMEOUT);
    deadline.write_all(stream.socket(), &preamble(PURPOSE_SESSION | ASK_KEY)).map_err(not_taken)?;
    let mut key = [0; DH_LEN];
    if let Err(short) = deadline.read_exact(stream.socket(), &mut key) {
        return Err(cut_answer(short, &key));
    }
    // Another program that answers at all most likely answers in text, which would pass for a key; a key that is all
    // text has a chance of 1 in 10^13.
    let no_key = DialFailure::NotProven("it answered with something that is no key");
    if is_text(&key) { Err(no_key) } else { PublicKey::from_bytes(key).map_err(|_| no_key) }
}

/// The beginning of a connection that was accepted: what it is to become, and by when.
pub struct Opening {
    /// The eight bytes.
    pub(super) preamble: [u8; PREAMBLE_LEN],
    /// The end of the handshake.
    pub(super) deadline: Deadline,
    /// The end of its first message.
    pub(super) first_deadline: Deadline,
}

impl Opening {
    /// Reads the preamble; one of another version or purpose is an error.
    pub fn read(stream: &Stream) -> Result<Opening, Error> {
        let (deadline, first_deadline) =
            (Deadline::after(HANDSHAKE_TIMEOUT), Deadline::after(FIRST_MESSAGE_TIMEOUT));
        let mut given = [0; PREAMBLE_LEN];
        first_deadline.read_exact(stream.socket(), &mut given).map_err(cut_short)?;
        let known = [PURPOSE_SESSION, PURPOSE_SESSION | ASK_KEY, PURPOSE_LANE];
        if known.into_iter().any(|purpose| given == preamble(purpose)) {
            Ok(Opening { preamble: given, deadline, first_deadline })
        } else {
            if given.starts_with(&MAGIC) {
                end_in_order(stream, first_deadline);
            }
            Err(closed("no preamble of this version"))
        }
    }

    /// Whether the dialler wants to know the static key first, or no more than that.
    pub fn asks_key(&self) -> bool {
        self.preamble == preamble(PURPOSE_SESSION | ASK_KEY)
    }

    /// Whether it is a lane of a session that is there already.
    pub fn is_lane(&self) -> bool {
        self.preamble == lane_preamble()
    }
}

/// A node of another version is to see an end, not the reset that comes of what is unread: that it would take for a node
/// without a place for it. It closes when it sees the end.
fn end_in_order(stream: &Stream, deadline: Deadline) {
    let _ = stream.socket().shutdown(Shutdown::Write);
    let _ = deadline.read_exact(stream.socket(), &mut [0; FOREIGN]);
}

pub(super) fn closed(what: &str) -> Error {
    Error::Protocol { peer: "a stranger".into(), what: what.into() }
}

/// A line may be cut; who keeps us waiting is no friend.
pub(super) fn cut_short(short: ShortRead) -> Error {
    match short.cause.kind() {
        std::io::ErrorKind::TimedOut => closed("nothing or not enough came in time"),
        _ => Error::Lost { peer: "a stranger".into(), during: "the handshake".into() },
    }
}

/// What an accepted handshake proved and asked for.
pub struct AcceptedSession {
    /// The session, with the dialler's key.
    pub session: Session,
    /// What it is for.
    pub kind: Kind,
    /// The invite that it used.
    pub invite: Option<[u8; INVITE_ID_LEN]>,
    /// When message 2 was written: whatever the dialler says is about a later time.
    pub answered: Instant,
}

/// The acceptor's side. `may_look` is asked with the ephemeral key of message 1, before that costs anything, and `may_answer`
/// when message 1 is good; `find_token` gives the token of an invite, `None` for one that this node never issued; `own` gives
/// the feature bits for a dialler with that invite. Every failure closes the connection without a byte, so an error is only
/// worth a count.
pub fn respond(
    stream: Stream,
    opening: &Opening,
    keys: &StaticKeys,
    find_token: impl Fn(&[u8; INVITE_ID_LEN]) -> Option<InviteToken>,
    own: impl FnOnce(Option<&[u8; INVITE_ID_LEN]>) -> Features,
    may_look: impl FnOnce(&[u8; DH_LEN]) -> bool,
    may_answer: impl FnOnce(&[u8; DH_LEN]) -> bool,
) -> Result<AcceptedSession, Error> {
    let Opening { preamble: given, deadline, first_deadline } = opening;
    if opening.asks_key() {
        let _ = deadline.write_all(stream.socket(), keys.public().as_bytes());
    }
    let mut first = [0; MESSAGE_1_LEN];
    first_deadline.read_exact(stream.socket(), &mut first).map_err(cut_short)?;
    if !first.first_chunk().is_some_and(may_look) {
        return Err(closed("a first message that came before, or one too many"));
    }
    let state = Responder::read_message_1(keys, given, &first)
        .map_err(|_| closed("message 1 does not authenticate"))?;
    let invite = state.invite_id();
    let token = match &invite {
        Some(id) => Some(find_token(id).ok_or_else(|| closed("an invite that this node did not issue"))?),
        None => None,
    };
    if !first.first_chunk().is_some_and(may_answer) {
        return Err(closed("a first message too many"));
    }
    let own = own(invite.as_ref());
    let (state, second) = state
        .write_message_2(token.as_ref(), &acceptor_payload(own))
        .map_err(|_| closed("the key agreement failed"))?;
    let answered = Instant::now();
    deadline.write_all(stream.socket(), &second).map_err(|_| closed("it does not read"))?;
    let mut third = [0; MESSAGE_3_LEN];
    deadline.read_exact(stream.socket(), &mut third).map_err(cut_short)?;
    let (peer, payload, established) =
        state.read_message_3(&third).map_err(|_| closed("message 3 does not authenticate"))?;
    let (kind, dialler_features) = read_dialler_payload(&payload)
        .ok_or_else(|| closed("a kind of session that this version does not have"))?;
    let features = own.shared(dialler_features);
    let session = Session::new(stream, peer, peer.fingerprint(), features, established)?;
    Ok(AcceptedSession { session, kind, invite, answered })
}
