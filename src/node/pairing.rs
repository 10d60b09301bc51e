//! How nodes get to know each other: by a one-time invite, by a link, or on first use (egoat-protocol(7), PAIRING).
//! Both roles are here; the durable part of each is one replacement of the peers file.

pub mod asked;
pub mod digits;
pub mod found;
pub mod visit;
pub mod waiting;

use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::net::dial::{self, Target};
use crate::net::endpoint::Endpoint;
use crate::net::local;
use crate::net::session::Session;
use crate::store::home::Home;
use crate::store::invites::{self, Invite};
use crate::store::node_lock;
use crate::store::peers::{Peer, Peers};
use crate::store::requests;
use crate::text;
use crate::time::now_micros;
use crate::wire::address::{Address, is_told_port};
use crate::wire::features::Features;
use crate::wire::message::{Kind, Message, Refusal};

/// With `--accept-new`, strangers become peers until there are this many.
const MAX_ON_TRUST: usize = 1000;

/// A minute in microseconds.
const MINUTE: u64 = 60_000_000;

/// What a node says of itself: the PROFILE message, cleaned.
pub struct Profile {
    /// A name that can be used here, if it gave one.
    pub name: Option<String>,
    /// Where it can be dialled, as far as can be told from where it dialled from.
    pub address: Option<Address>,
    /// That is this machine, whose ports no peer may have us dial on its word alone.
    pub is_from_here: bool,
    /// The time on its clock, if it told: microseconds since 1970.
    pub time: Option<u64>,
    /// It takes one transfer, and then both forget each other.
    pub is_one_off: bool,
    /// Where its node listens; 0 if none runs, or if it does not tell.
    pub port: u16,
}

impl Profile {
    /// Reads the other end's PROFILE.
    pub fn read(session: &mut Session) -> Result<Profile> {
        let (seen_at, is_from_here) = (session.remote_address(), session.is_from_here());
        let is_one_off = session.features().has(Features::ONE_OFF);
        session.read_as("waiting to be told who it is", |message| {
            let Message::Profile { name, port, time } = message else { return None };
            let address = seen_at.filter(|_| is_told_port(port)).map(|mut at| {
                at.set_port(port);
                local::with_named_zone(at.into())
            });
            // Without dots, so that no peer can call itself an address.
            let name = text::suggest_name(&name.replace('.', "-"));
            let time = Some(time).filter(|time| *time != 0);
            Some(Profile { name, address, is_from_here, time, is_one_off, port })
        })
    }

    /// Whether it dials through a proxy: then it tells no port, and no more than the minute.
    pub fn is_hidden(&self) -> bool {
        self.port == 0 && self.time.is_some_and(|time| time % MINUTE == 0)
    }

    /// The address, if it is on another machine, or if the user knows the peer there: by an address, or by an invite that led
    /// there.
    pub fn address_of(&self, home: &Home, peer: &Peer) -> Result<Option<&Address>> {
        let Some((address, ip)) = self.address.as_ref().and_then(|address| Some((address, address.ip()?)))
        else {
            return Ok(None);
        };
        let is_believed = !self.is_from_here
            || peer.ips().any(|known| known == ip)
            || invites::are_at(home, peer.invites(), ip)?;
        Ok(Some(address).filter(|_| is_believed))
    }
}

/// This node's own profile, to be sent.
pub struct OwnProfile {
    name: String,
    port: u16,
    is_hidden: bool,
}

impl OwnProfile {
    /// The name from the home, and the port of the node that runs on it; 0 without one, because nobody listens then.
    pub fn new(own: &Endpoint) -> Result<OwnProfile> {
        let running = node_lock::running(own.home())?.unwrap_or_default();
        let port = running.listening.first().map_or(0, |address| address.port());
        OwnProfile::at_port(own, port)
    }

    /// This node's name, and a port; none behind a proxy, whose address is not ours to be dialled at.
    pub fn at_port(own: &Endpoint, port: u16) -> Result<OwnProfile> {
        let is_hidden = own.is_hidden();
        Ok(OwnProfile { name: own.name()?, port: if is_hidden { 0 } else { port }, is_hidden })
    }

    /// The message of a dialler. It does not know yet whether it is welcome, so it tells no time.
    pub fn message(&self) -> Message<'_> {
        Message::Profile { name: &self.name, port: self.port, time: 0 }
    }

    /// The message that answers it. By how far and how fast a clock is wrong, a machine could be known.
    pub fn answer(&self) -> Message<'_> {
        let now = now_micros();
        let time = if self.is_hidden { (now + MINUTE / 2) / MINUTE * MINUTE } else { now };
        Message::Profile { name: &self.name, port: self.port, time }
    }
}

/// What becomes of a dialler.
pub enum Admittance {
    /// It is this peer.
    Peer(Peer),
    /// It has become a peer with this connection; that is on disk.
    Added(Peer),
    /// It is refused; `noted` if it now stands among the requests for the first time.
    Refused {
        /// What it is told.
        refusal: Refusal,
        /// A first request.
        noted: bool,
    },
}

/// Refused, and not noted.
pub const fn refused(refusal: Refusal) -> Admittance {
    Admittance::Refused { refusal, noted: false }
}

/// A dialler who has proven its key.
pub struct Visitor<'a> {
    /// Its key.
    pub key: PublicKey,
    /// What it says of itself.
    pub profile: &'a Profile,
    /// The invite that it used.
    pub invite: Option<&'a Invite>,
}

/// Whether the invite is gone since it was found: its peer was removed, and is not to come back by it.
fn is_withdrawn(home: &Home, invite: Option<&Invite>) -> Result<bool> {
    invite.map_or(Ok(false), |invite| Ok(invites::find(home, &invite.token.invite_id())?.is_none()))
}

/// What a node does for those it does not know, and how often. Each closure is asked only when its answer matters.
pub struct Rules<'a> {
    /// A stranger becomes a peer, see [`Peer::on_trust`].
    pub accepts_new: bool,
    /// Whether one more of them may.
    pub may_add: &'a dyn Fn() -> bool,
    /// Whether one more request may be noted on disk.
    pub may_note: &'a dyn Fn() -> bool,
    /// Whether another address of this peer may be noted on disk.
    pub may_move: &'a dyn Fn(&PublicKey) -> bool,
}

/// Decides about a proven dialler. A peer is let in; the bearer of a good invite becomes a peer in the same write that
/// consumes the invite; a stranger becomes one or is noted, as the rules say.
pub fn judge(home: &Home, visitor: &Visitor, rules: &Rules) -> Result<Admittance> {
    let &Visitor { key, profile, invite } = visitor;
    let verdict = Peers::edit(home, |peers| {
        let invite_id = invite.map(|invite| invites::id_text(&invite.token.invite_id()));
        let by_another = |id: &String| peers.iter().any(|peer| peer.used_invite(id) && peer.key != key);
        if invite_id.as_ref().is_some_and(by_another) {
            return Ok(Some(refused(Refusal::InviteUsed)));
        }
        let retry = |peer: &Peer| invite_id.as_ref().is_some_and(|id| peer.used_invite(id));
        if invite.is_some_and(Invite::is_expired) && !peers.by_key(&key).is_some_and(retry) {
            return Ok(Some(refused(Refusal::InviteExpired)));
        }
        let added = match peers.by_key(&key) {
            Some(peer) if peer.is_blocked() => return Ok(Some(refused(Refusal::Blocked))),
            Some(_) => false,
            None if is_withdrawn(home, invite)? => return Ok(None),
            None if invite.is_none() && !rules.accepts_new => return Ok(None),
            None if invite.is_none() && (peers.iter().count() >= MAX_ON_TRUST || !(rules.may_add)()) => {
                return Ok(Some(refused(Refusal::Busy)));
            }
            None => {
                let given = invite.and_then(|invite| invite.name.clone());
                let own_name = if given.is_none() { home.name(false)? } else { String::new() };
                let name = given.or_else(|| profile.name.clone()).unwrap_or_else(|| "peer".into());
                let peer = match invite {
                    Some(_) => Peer::new(name, key, Vec::new()),
                    None => Peer::on_trust(name, key),
                };
                peers.add_told(peer, &own_name);
                true
            }
        };
        let Some(peer) = peers.by_key_mut(&key) else { return Ok(None) };
        if let Some(id) = &invite_id {
            peer.set_invite(id);
        }
        let seen_at = profile.address_of(home, peer)?.filter(|at| !peer.is_noted_at(at));
        if let Some(address) = seen_at.filter(|_| added || (rules.may_move)(&key)) {
            peer.see_at(address);
        }
        Ok(Some(if added { Admittance::Added(peer.clone()) } else { Admittance::Peer(peer.clone()) }))
    })?;
    if let Some(verdict) = verdict {
        if matches!(verdict, Admittance::Added(_)) {
            requests::remove(home, &key)?;
        }
        return Ok(verdict);
    }
    let name = profile.name.clone().unwrap_or_else(|| "stranger".into());
    let address = profile.address.clone().filter(|_| !profile.is_from_here);
    Ok(match requests::note(home, key, name, address, rules.may_note)? {
        Some(noted) => Admittance::Refused { refusal: Refusal::Unknown, noted },
        None => refused(Refusal::Busy),
    })
}

/// Dials a node for a session of kind PAIR; gives the profile that it sends, and which of its addresses led to it.
pub fn dial_to_pair(own: &Endpoint, target: &Target) -> Result<(Profile, Option<Address>)> {
    let profile = OwnProfile::new(own)?;
    let mut session = dial::dial(own, target, Kind::Pair, &mut |session| session.write(&profile.message()))?;
    let at = session.route().map(|route| route.asked().clone());
    let peer_profile = Profile::read(&mut session)?;
    session.finish(&Message::Bye)?;
    Ok((peer_profile, at))
}
