//! Which peer a user means by PEER (egoat(1), DESCRIPTION): a saved name, a link or an address; and the first contact with a
//! node that is not saved yet.

use crate::app::contacts::found::Found;
use crate::app::contacts::names::{self, NameMatch};
use crate::app::contacts::{
    Paired, meet, only_files, pair, parse_address, parse_link, save, several, unknown,
};
use crate::app::retry::{Patience, retry};
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::dial;
use crate::net::endpoint::Endpoint;
use crate::net::transport::route;
use crate::store::peers::{Peer, Peers};
use crate::wire::address::Address;
use crate::wire::link::Link;

/// What PEER stands for, as far as that can be told without dialling.
pub enum PeerReference {
    /// A saved peer.
    Saved(Peer),
    /// The node that the link names.
    Link(Link),
    /// The node at the address.
    At(Address),
}

/// A peer that can be talked to.
pub struct Reached {
    /// The peer.
    pub peer: Peer,
    /// What was saved on the way.
    pub change: PeerChange,
}

/// What has changed about a peer that was reached.
pub enum PeerChange {
    /// Nothing.
    None,
    /// It was paired with by a link.
    Paired,
    /// It was saved by the address at which it was met.
    Met(Address),
    /// Nothing was saved: the node is a one-off receiver.
    OneOff,
}

/// What the user says of a fingerprint.
pub enum Trust {
    /// It is the right one.
    Yes,
    /// It is not.
    No,
    /// There is nobody to ask.
    NobodyToAsk,
}

/// Whoever uses this program, about a node that is known by its address alone.
pub trait Newcomers {
    /// Pairs by six digits, if the user of that node waits for it; else `None`.
    fn meet(&mut self, key: PublicKey, at: &Address) -> Result<Option<Peer>>;
    /// Asks the user whether this fingerprint is the right one.
    fn trusts(&mut self, at: &Address, fingerprint: &str) -> Trust;
}

/// Resolves what the user typed. Only a bare word that is neither a peer nor a host that resolves is an error.
pub fn resolve(own: &Endpoint, peers: &Peers, given: &str) -> Result<PeerReference> {
    let near = match names::find(peers.iter(), given) {
        NameMatch::One(peer) => return Ok(PeerReference::Saved(peer.clone())),
        _ if Link::looks_like(given) => return parse_link(given).map(PeerReference::Link),
        NameMatch::Several(meant) => return Err(several(given, &meant)),
        NameMatch::Nobody(near) => near,
    };
    let at = parse_address(given)?;
    if let Some(peer) = peers.iter().find(|peer| peer.addresses.contains(&at)) {
        return Ok(PeerReference::Saved(peer.clone()));
    }
    // A bare word that is not a host either is most likely a mistyped peer.
    if !given.contains(['.', ':']) && route::is_unknown_name(own, &at) {
        return Err(unknown(own.home(), peers, given, near, true));
    }
    Ok(PeerReference::At(at))
}

/// An error if `given` means nobody, as far as that can be told without dialling.
pub fn ensure_found(own: &Endpoint, given: &str) -> Result<()> {
    resolve(own, &Peers::load(own.home())?, given).map(drop)
}

/// Finds the peer, and pairs with it if it is not saved yet. `newcomers` is asked about a node that is known by its address
/// alone, at each try. A one-off receiver is an error. `again` hears why it is tried again.
pub fn reach(
    own: &Endpoint,
    given: &str,
    patience: Patience,
    newcomers: &mut dyn Newcomers,
    again: impl FnMut(&Error),
) -> Result<Reached> {
    match reach_for_files(own, given, patience, newcomers, again)? {
        Reached { change: PeerChange::OneOff, .. } => Err(only_files()),
        reached => Ok(reached),
    }
}

/// The same for files, which a one-off receiver takes.
pub fn reach_for_files(
    own: &Endpoint,
    given: &str,
    mut patience: Patience,
    newcomers: &mut dyn Newcomers,
    again: impl FnMut(&Error),
) -> Result<Reached> {
    retry(|error| patience.until(error), || reach_once(own, given, newcomers), again)
}

fn reach_once(own: &Endpoint, given: &str, newcomers: &mut dyn Newcomers) -> Result<Reached> {
    let peers = Peers::load(own.home())?;
    match resolve(own, &peers, given)? {
        PeerReference::Saved(peer) => {
            peer.ensure_not_blocked()?;
            Ok(Reached { peer, change: PeerChange::None })
        }
        PeerReference::Link(link) => by_link(own, &peers, &link),
        PeerReference::At(at) => by_address(own, at, false, newcomers),
    }
}

fn by_link(own: &Endpoint, peers: &Peers, link: &Link) -> Result<Reached> {
    let known = peers.by_key(&link.key);
    known.map_or(Ok(()), Peer::ensure_not_blocked)?;
    // An invite is used up even by a known peer; a plain link to one may say where it is now.
    if known.is_some() && link.token.is_none() {
        let peer = save(own, link.key, &Found::by_link(&link.addresses), None)?;
        return Ok(Reached { peer, change: PeerChange::None });
    }
    Ok(match pair(own, link, None)? {
        Paired::Saved(peer) => Reached { peer, change: PeerChange::Paired },
        Paired::OneOff(peer) => Reached { peer, change: PeerChange::OneOff },
    })
}

/// Pairs with the node at an address, also if it is a saved one. A one-off receiver is an error.
pub fn join_at(own: &Endpoint, at: Address, newcomers: &mut dyn Newcomers) -> Result<Peer> {
    match by_address(own, at, true, newcomers)? {
        Reached { change: PeerChange::OneOff, .. } => Err(only_files()),
        reached => Ok(reached.peer),
    }
}

/// Six digits, or trust on first use. A known key at a new address needs nobody's word, unless the user asks to pair.
fn by_address(own: &Endpoint, at: Address, pairs: bool, newcomers: &mut dyn Newcomers) -> Result<Reached> {
    let peers = Peers::load(own.home())?;
    let key = dial::ask_key(own, &at)?;
    let known = peers.by_key(&key);
    known.map_or(Ok(()), Peer::ensure_not_blocked)?;
    if (pairs || known.is_none())
        && key != own.key()
        && let Some(peer) = newcomers.meet(key, &at)?
    {
        return Ok(Reached { peer, change: PeerChange::Met(at) });
    }
    if known.is_none() && key != own.key() {
        let fingerprint = key.fingerprint();
        match newcomers.trusts(&at, &fingerprint) {
            Trust::Yes => {}
            Trust::No => return Err(Error::failed("nothing was sent")),
            Trust::NobodyToAsk => return Err(Error::UnknownKey { address: at.to_string(), fingerprint }),
        }
    }
    Ok(match meet(own, key, &at).map_err(not_yet)? {
        Paired::Saved(peer) => Reached { peer, change: PeerChange::Met(at) },
        Paired::OneOff(peer) => Reached { peer, change: PeerChange::OneOff },
    })
}

/// Nothing waits for a node that has not let this one in, so the command is to be repeated.
fn not_yet(error: Error) -> Error {
    match error {
        Error::Refused { peer, why, hint: Some(hint) } => Error::Refused {
            peer,
            why,
            hint: Some(format!("{hint}; then repeat this: nothing was saved here")),
        },
        other => other,
    }
}
