//! A session in which two users compare six digits (egoat-protocol(7), By six digits): what both ends do from the first nonce to
//! the goodbye. It leaves out who may come to such a session: see `waiting`; and how users are asked: that is the front-end's.
//!
//! A try is used up on disk before this end says what somebody in the middle could guess by.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::digits::{commitment, number, written};
use crate::crypto::keys::PublicKey;
use crate::crypto::random_array;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::dial::{self, Target};
use crate::net::endpoint::Endpoint;
use crate::net::handshake::HANDSHAKE_TIMEOUT;
use crate::net::session::{DEAD_AFTER, PING_AFTER, Session};
use crate::node::pairing::{OwnProfile, Profile};
use crate::store::home::Home;
use crate::store::peers::{Peer, Peers};
use crate::store::requests;
use crate::store::tries::{self, UsedTry};
use crate::wire::address::Address;
use crate::wire::message::{Kind, Message};

/// How long two users have for it.
pub const COMPARE_TIME: Duration = Duration::from_secs(300);
/// How often the session is looked at while a user thinks.
const TICK: Duration = Duration::from_millis(50);

/// What a user is asked.
#[derive(Debug)]
pub struct Question {
    /// What the other end calls itself.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// The digits, as they are shown.
    pub digits: String,
    /// Takes whether both show them. To drop it is a no.
    pub answer: SyncSender<bool>,
}

/// The front-end's part of a session.
pub struct User<'a> {
    /// The user is to compare these.
    pub ask: &'a dyn Fn(Question),
    /// Saves the other end, which said this of itself.
    pub save: &'a dyn Fn(PublicKey, &Profile) -> Result<Peer>,
    /// When the user gives up.
    pub until: Deadline,
}

/// Dials the node with this key for such a session; gives the peer that was saved.
pub fn dial(own: &Endpoint, key: PublicKey, at: &Address, user: &User) -> Result<Peer> {
    let profile = OwnProfile::new(own)?;
    let label = at.to_string();
    let target = Target::stranger(key, std::slice::from_ref(at), &label);
    let mut session =
        dial::dial(own, &target, Kind::Nearby, &mut |session| session.write(&profile.message()))?;
    session.set_deadline(Some(user.until.min(Deadline::after(HANDSHAKE_TIMEOUT))));
    let theirs = Profile::read(&mut session)?;
    if session.has_buffered()? {
        return Err(session.broken("it does not wait for our commitment"));
    }
    let (hash, own_nonce) = (session.binding().handshake_hash, random_array());
    let used = tries::use_up(own.home())?;
    let paired = (|| {
        session.send(&Message::Commit(commitment(&hash, &own_nonce)))?;
        let nonce = session.read_as("waiting for its nonce", |message| match message {
            Message::Nonce(nonce) => Some(nonce),
            _ => None,
        })?;
        session.send(&Message::Open(own_nonce))?;
        let digits = written(number(&hash, &own_nonce, &nonce));
        compare(&mut session, &theirs, digits, user)?;
        (user.save)(key, &theirs)
    })();
    let peer = settle(own.home(), &used, paired)?;
    // The other end has saved us by now, or does as soon as it has read CONFIRM.
    let _ = session.finish(&Message::Bye);
    Ok(peer)
}

/// The acceptor's part, from ACCEPT on. `begin` is called when the try is used up.
pub fn accept(
    home: &Home,
    session: &mut Session,
    profile: (&OwnProfile, &Profile),
    user: &User,
    begin: impl FnOnce(),
) -> Result<Peer> {
    let (own, theirs) = profile;
    session.accept()?;
    session.write(&own.answer())?;
    session.set_deadline(Some(user.until.min(Deadline::after(HANDSHAKE_TIMEOUT))));
    session.flush()?;
    let committed = session.read_as("waiting for its commitment", |message| match message {
        Message::Commit(commitment) => Some(commitment),
        _ => None,
    })?;
    let (hash, own_nonce) = (session.binding().handshake_hash, random_array());
    begin();
    let used = tries::use_up(home)?;
    let paired = (|| {
        session.send(&Message::Nonce(own_nonce))?;
        let nonce = session.read_as("waiting for its nonce", |message| match message {
            Message::Open(nonce) => Some(nonce),
            _ => None,
        })?;
        if commitment(&hash, &nonce) != committed {
            return Err(session.broken("its nonce is not the one that it was bound to"));
        }
        let digits = written(number(&hash, &nonce, &own_nonce));
        compare(session, theirs, digits, user)?;
        (user.save)(session.peer(), theirs)
    })();
    let peer = settle(home, &used, paired)?;
    session.set_deadline(Some(Deadline::after(HANDSHAKE_TIMEOUT)));
    let _ = session.read_as("waiting for its goodbye", |message| (message == Message::Bye).then_some(()));
    Ok(peer)
}

/// Saves who has dialled, under this name or the one that it gives itself.
pub fn save_dialler(home: &Home, key: PublicKey, theirs: &Profile, name: Option<String>) -> Result<Peer> {
    let name = name.or_else(|| theirs.name.clone()).unwrap_or_else(|| "peer".into());
    let peer = Peers::edit(home, |peers| {
        if peers.by_key(&key).is_none() {
            peers.add(Peer::new(name, key, Vec::new()));
        }
        let saved = peers.by_key_mut(&key).ok_or_else(|| Error::failed("the peer could not be saved"))?;
        if let Some(address) = theirs.address_of(home, saved)? {
            saved.see_at(address);
        }
        Ok(saved.clone())
    })?;
    requests::remove(home, &key)?;
    Ok(peer)
}

/// Gives a try back that has come to something. Of another one, the user hears that something may have cut in.
fn settle(home: &Home, used: &UsedTry, paired: Result<Peer>) -> Result<Peer> {
    match paired {
        Ok(peer) => tries::give_back(home, used).map(|()| peer),
        Err(error @ (Error::Lost { .. } | Error::Protocol { .. } | Error::LargePackets { .. })) => {
            Err(not_paired(format!("something cut in: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn not_paired(what: String) -> Error {
    let hint = "nobody was saved here; try again on both sides only if you know why, or pair by a link of \
                `egoat invite`";
    Error::NotPaired { what, hint: hint.into() }
}

/// Asks the user, and tells the other end what it says; returns when both have said yes.
fn compare(session: &mut Session, theirs: &Profile, digits: String, user: &User) -> Result<()> {
    session.set_deadline(Some(user.until.min(Deadline::after(COMPARE_TIME))));
    let (answer, answers) = mpsc::sync_channel(1);
    let name = theirs.name.clone().unwrap_or_else(|| "somebody".into());
    let asked = session.route().map(|route| route.asked().to_string());
    let dialled_from = || session.remote_address().map(|at| at.ip().to_canonical().to_string());
    let address = asked.or_else(dialled_from).unwrap_or_default();
    (user.ask)(Question { name, address, digits, answer });
    let until = user.until.min(Deadline::after(COMPARE_TIME));
    match talk(session, &answers, &until) {
        // The other end is waiting for a word of ours.
        Err(error @ Error::NotPaired { .. }) => {
            let _ = session.send(&Message::Bye);
            Err(error)
        }
        talked => talked,
    }
}

fn talk(session: &mut Session, answers: &Receiver<bool>, until: &Deadline) -> Result<()> {
    let (mut has_confirmed, mut is_confirmed) = (false, false);
    let (mut heard, mut said) = (Instant::now(), Instant::now());
    while !(has_confirmed && is_confirmed) {
        if has_confirmed {
            thread::sleep(TICK);
        } else {
            match answers.recv_timeout(TICK) {
                Ok(true) => {
                    session.send(&Message::Confirm)?;
                    (has_confirmed, said) = (true, Instant::now());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(false) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(not_paired("you did not say that both show the same digits".into()));
                }
            }
        }
        // What comes behind the second yes is the goodbye.
        while !(has_confirmed && is_confirmed) && session.has_input()? {
            match session.read("comparing the digits")? {
                Message::Ping => {}
                Message::Confirm if !is_confirmed => is_confirmed = true,
                Message::Bye => {
                    return Err(not_paired(
                        "the other side did not say that both show the same digits".into(),
                    ));
                }
                other => {
                    let kind = other.kind();
                    return Err(session.unexpected(kind, "comparing the digits"));
                }
            }
            heard = Instant::now();
        }
        if until.left().is_err() {
            return Err(not_paired("not both sides have said in time that both show the same digits".into()));
        }
        if heard.elapsed() >= DEAD_AFTER {
            let (peer, during) =
                (session.label().to_owned(), "comparing the digits (no sign of life)".into());
            return Err(Error::Lost { peer, during });
        }
        if said.elapsed() >= PING_AFTER {
            session.send(&Message::Ping)?;
            said = Instant::now();
        }
    }
    Ok(())
}
