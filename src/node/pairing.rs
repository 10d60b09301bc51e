//! How nodes get to know each other: by a one-time invite, by a link, or on first use (egoat-protocol(7), PAIRING).
//! Both roles are here; the durable part of each is one replacement of the peers file.

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::dial::{self, Target};
use crate::net::session::Session;
use crate::node::doorbell::Bell;
use crate::store::home::{Home, Own};
use crate::store::invites::{self, Invite};
use crate::store::node_lock;
use crate::store::peers::{Peer, Peers};
use crate::store::requests::{self, Request};
use crate::text;
use crate::time::now_micros;
use crate::wire::address::{Address, DEFAULT_PORT};
use crate::wire::link::Link;
use crate::wire::message::{Kind, Message, Refusal};

/// With `--accept-new`, strangers become peers until there are this many.
const MOST_ON_TRUST: usize = 1000;

/// What a node says of itself: the PROFILE message, cleaned.
pub struct Profile {
    /// A name that can be used here, if it gave one.
    pub name: Option<String>,
    /// Where it can be dialled, as far as can be told from where it dialled from.
    pub address: Option<Address>,
    /// The time on its clock, if it told: microseconds since 1970.
    pub time: Option<u64>,
}

impl Profile {
    /// Reads the other end's PROFILE.
    pub fn read(session: &mut Session) -> Result<Profile> {
        let seen_at = session.remote_address();
        session.read_as("waiting to be told who it is", |message| {
            let Message::Profile { name, port, time } = message else { return None };
            let address = seen_at.filter(|_| port != 0).map(|mut at| {
                at.set_port(port);
                Address::from(at)
            });
            // Without dots, so that no peer can call itself an address.
            let name = text::suggest_name(&name.replace('.', "-"));
            Some(Profile { name, address, time: Some(time).filter(|time| *time != 0) })
        })
    }
}

/// This node's own profile, to be sent.
pub struct OwnProfile {
    name: String,
    port: u16,
}

impl OwnProfile {
    /// The name from the home, and the port of the node that runs on it; without one, `otherwise`.
    pub fn new(own: &Own, otherwise: u16) -> Result<OwnProfile> {
        let running = node_lock::running(own.home())?.unwrap_or_default();
        let port = running.listening.first().map_or(otherwise, |address| address.port());
        OwnProfile::at_port(own, port)
    }

    /// The name from the home, and a port; none behind a proxy, whose address is not ours to be dialled at.
    pub fn at_port(own: &Own, port: u16) -> Result<OwnProfile> {
        Ok(OwnProfile { name: own.home().name()?, port: if own.proxy().is_some() { 0 } else { port } })
    }

    /// The message of a dialler. It does not know yet whether it is welcome, so it tells no time.
    pub fn message(&self) -> Message<'_> {
        Message::Profile { name: &self.name, port: self.port, time: 0 }
    }

    /// The message that answers it.
    pub fn answer(&self) -> Message<'_> {
        Message::Profile { name: &self.name, port: self.port, time: now_micros() }
    }
}

/// What becomes of a dialler.
pub enum Verdict {
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

const fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused { refusal, noted: false }
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

/// Decides about a proven dialler. A peer is let in; the bearer of a good invite becomes a peer in the same write that
/// consumes the invite; a stranger becomes one if `accept_new`, else it is noted, if one more `may_note`.
pub fn judge(
    home: &Home,
    visitor: &Visitor,
    accept_new: bool,
    may_note: impl FnOnce() -> bool,
) -> Result<Verdict> {
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
            None if invite.is_none() && !accept_new => return Ok(None),
            None if invite.is_none() && peers.iter().count() >= MOST_ON_TRUST => {
                return Ok(Some(refused(Refusal::Busy)));
            }
            None => {
                let given = invite.and_then(|invite| invite.name.clone());
                let name = given.or_else(|| profile.name.clone()).unwrap_or_else(|| "peer".into());
                peers.add(Peer::new(name, key, Vec::new()));
                true
            }
        };
        Ok(peers.by_key_mut(&key).map(|peer| {
            if let Some(id) = &invite_id {
                peer.set_invite(id);
            }
            if let Some(address) = &profile.address {
                peer.see_at(address);
            }
            if added { Verdict::Added(peer.clone()) } else { Verdict::Peer(peer.clone()) }
        }))
    })?;
    if let Some(verdict) = verdict {
        if matches!(verdict, Verdict::Added(_)) {
            requests::remove(home, &key)?;
        }
        return Ok(verdict);
    }
    let name = profile.name.clone().unwrap_or_else(|| "stranger".into());
    Ok(match requests::note(home, key, name, profile.address.clone(), may_note)? {
        Some(noted) => Verdict::Refused { refusal: Refusal::Unknown, noted },
        None => refused(Refusal::Busy),
    })
}

/// An error when the user has blocked the peer: then it is not dialled.
pub fn ensure_not_blocked(peer: &Peer) -> Result<()> {
    if peer.is_blocked() {
        return Err(Error::Failed {
            what: format!("{} is blocked here", peer.name),
            hint: Some(format!("`egoat peers set {} blocked=` lets them in again", peer.name)),
        });
    }
    Ok(())
}

/// Pairs with the node of `link`; `name` is what it will be called here, else what it calls itself.
pub fn join(own: &Own, link: &Link, name: Option<String>) -> Result<Peer> {
    if link.key == own.key() {
        return Err(Error::usage("this link is this node's own"));
    }
    Peers::load(own.home())?.by_key(&link.key).map_or(Ok(()), ensure_not_blocked)?;
    let label = name.clone().unwrap_or_else(|| format!("the node {}", link.key.fingerprint()));
    let target = Target { token: link.token.as_ref(), ..unknown(link.key, &link.addresses, &label) };
    let theirs = meet(own, &target, DEFAULT_PORT)?;
    save(own.home(), link.key, &link.addresses, name.or(theirs.name))
}

/// Makes a node known whose key the user has compared, or takes on trust. It is saved even if it does not know us yet:
/// then the error says so, and messages can wait in the outbox.
pub fn first_contact(own: &Own, key: PublicKey, address: &Address) -> Result<(Peer, Option<Error>)> {
    if key == own.key() {
        return Err(Error::usage(format!("the node at {address} is this one")));
    }
    let label = address.to_string();
    let addresses = std::slice::from_ref(address);
    let (theirs, refusal) = match meet(own, &unknown(key, addresses, &label), DEFAULT_PORT) {
        Ok(theirs) => (theirs.name, None),
        Err(refusal @ Error::Refused { .. }) => (None, Some(refusal)),
        Err(error) => return Err(error),
    };
    let name = theirs.or_else(|| text::suggest_name(address.host()));
    Ok((save(own.home(), key, addresses, name)?, refusal))
}

/// A node that is not saved yet.
fn unknown<'a>(key: PublicKey, addresses: &'a [Address], label: &'a str) -> Target<'a> {
    Target { key, token: None, seen: None, addresses, label, by: None }
}

/// Whether the peer is there, proves its key, and takes this node for a peer; gives what it says of itself.
pub fn greet(own: &Own, peer: &Peer, address: &Address) -> Result<Profile> {
    let addresses = std::slice::from_ref(address);
    meet(own, &Target { seen: None, addresses, ..Target::peer(peer, None) }, 0)
}

/// One pairing session; gives what the other node says of itself. Who pairs will most likely run a node, if none runs yet
/// at the `usual` port.
fn meet(own: &Own, target: &Target, usual: u16) -> Result<Profile> {
    let profile = OwnProfile::new(own, usual)?;
    let mut session = dial::dial(own, target, Kind::Pair, &[profile.message()])?;
    let theirs = Profile::read(&mut session)?;
    session.finish(&Message::Bye)?;
    Ok(theirs)
}

/// Makes a peer of a stranger who dialled: the one with this fingerprint or key, or the only one.
pub fn admit(home: &Home, who: Option<&str>, name: Option<String>) -> Result<Peer> {
    // Not by name: strangers choose their own.
    let meant = |request: &Request| match who {
        Some(who) => who == request.key.fingerprint() || who == request.key.to_string(),
        None => true,
    };
    let mut requests: Vec<Request> = requests::load(home)?.into_iter().filter(meant).collect();
    let hint = Some("`egoat peers requests` lists them; give the fingerprint".to_owned());
    let request = match (requests.pop(), requests.is_empty()) {
        (Some(request), true) => request,
        (Some(_), false) => {
            return Err(Error::Usage { what: "more than one stranger is meant".into(), hint });
        }
        (None, _) => return Err(Error::Failed { what: "no such stranger has dialled".into(), hint }),
    };
    let name = name.or_else(|| text::suggest_name(&request.name)).unwrap_or_else(|| "peer".into());
    let peer = Peers::edit(home, |peers| {
        if peers.by_key(&request.key).is_none() {
            peers.add(Peer::new(name, request.key, request.address.iter().cloned().collect()));
        }
        peers.by_key(&request.key).cloned().ok_or_else(|| Error::failed("the peer could not be saved"))
    })?;
    requests::remove(home, &request.key)?;
    Ok(peer)
}

/// Gives a peer another name, or the one that it has.
pub fn rename(home: &Home, key: &PublicKey, new: &str) -> Result<()> {
    Peers::edit(home, |peers| {
        if peers.by_name(new).is_none_or(|peer| peer.key != *key) {
            ensure_free(peers, new)?;
        }
        peers.by_key_mut(key).into_iter().for_each(|peer| peer.name = new.to_owned());
        Ok(())
    })
}

/// An error when another peer has the name.
pub fn ensure_free(peers: &Peers, name: &str) -> Result<()> {
    match peers.by_name(name) {
        Some(_) => Err(Error::failed(format!("another peer is called {name} already"))),
        None => Ok(()),
    }
}

/// Forgets a peer. Its invites go first: a peer that is gone must not come back by a link that it has used.
pub fn forget(home: &Home, peer: &Peer) -> Result<()> {
    for id in peer.invites() {
        invites::withdraw(home, id)?;
    }
    Peers::edit(home, |peers| {
        peers.remove(&peer.key);
        Ok(())
    })
}

/// Saves a peer with addresses that the user gave; one that is saved already gets them in front of its others.
pub fn save(home: &Home, key: PublicKey, addresses: &[Address], name: Option<String>) -> Result<Peer> {
    let peer = Peers::edit(home, |peers| {
        if peers.by_key(&key).is_none() {
            peers.add(Peer::new(name.unwrap_or_else(|| "peer".into()), key, Vec::new()));
        }
        let peer = peers.by_key_mut(&key).ok_or_else(|| Error::failed("the peer could not be saved"))?;
        for address in addresses.iter().rev() {
            peer.add_address(address.clone());
        }
        Ok(peer.clone())
    })?;
    // It may have dialled already, before it was saved.
    requests::remove(home, &key)?;
    // A node that runs is to dial it now, not in a second.
    Bell::new(home)?.ring()?;
    Ok(peer)
}
