//! Who is meant by PEER on the command line: a saved name, a link, or an address; and the first contact with one that is
//! not saved yet.

use crate::cli::output::{self, Output};
use crate::error::{Error, Result};
use crate::net::{dial, route};
use crate::node::pairing;
use crate::store::home::Own;
use crate::store::peers::{Peer, Peers};
use crate::text;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// As good as for ever, and no clock overflows: a hundred years.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 3600);

/// A peer that can be talked to.
pub struct Found {
    /// Who.
    pub peer: Peer,
    /// It does not know us yet, and said so: messages can wait, files cannot.
    pub refusal: Option<Error>,
}

/// The saved peer of this name.
pub fn saved(own: &Own, name: &str) -> Result<Peer> {
    let peers = Peers::load(own.home())?;
    peers.by_name(name).cloned().ok_or_else(|| Error::UnknownPeer { name: text::clean_line(name) })
}

/// The link that a text is; malformed ones say why.
pub fn link(given: &str) -> Result<Link> {
    given.trim().parse().map_err(|bad: crate::wire::link::BadLink| Error::Usage {
        what: format!("this is no link: {}", bad.0),
        hint: Some(
            "a link is egoat:KEY@HOST:PORT or egoat:KEY.TOKEN@HOST:PORT, as `egoat invite` prints it".into(),
        ),
    })
}

/// The address that a text is; malformed ones say why.
pub fn address(given: &str) -> Result<Address> {
    given.parse().map_err(|bad: crate::wire::address::BadAddress| Error::Usage {
        what: format!("{} is no address: {}", text::clean_line(given), bad.0),
        hint: Some("an address is HOST:PORT, [IPV6]:PORT or HOST".into()),
    })
}

/// A name for a peer.
pub fn name(given: &str) -> Result<String> {
    text::name(given).ok_or_else(|| {
        Error::usage(format!(
            "{} is no name: 1 to 32 letters, digits and -_.@+, not starting with . or -",
            text::clean_line(given)
        ))
    })
}

/// A duration of the command line.
pub fn duration(given: &str) -> Result<std::time::Duration> {
    text::parse_duration(given).map(|duration| duration.min(LONGEST)).ok_or_else(|| {
        Error::usage(format!("{} is no duration, such as 30s, 5m or 24h", text::clean_line(given)))
    })
}

/// What PEER stands for, as far as it can be told without dialling.
pub enum Meant {
    /// One that is saved.
    Saved(Peer),
    /// Whoever the link leads to.
    Link(Link),
    /// Whoever is there.
    At(Address),
}

/// Finds out who is meant.
pub fn meant(own: &Own, peers: &Peers, given: &str) -> Result<Meant> {
    if let Some(peer) = peers.by_name(given) {
        return Ok(Meant::Saved(peer.clone()));
    }
    if Link::looks_like(given) {
        return link(given).map(Meant::Link);
    }
    let at = address(given)?;
    if let Some(peer) = peers.iter().find(|peer| peer.addresses.contains(&at)) {
        return Ok(Meant::Saved(peer.clone()));
    }
    // A bare word that is no host either is most likely a mistyped peer.
    if !given.contains(['.', ':']) && route::is_unknown_name(own, &at) {
        return Err(Error::UnknownPeer { name: text::clean_line(given) });
    }
    Ok(Meant::At(at))
}

/// Finds the peer, pairing with it if need be.
pub fn find(own: &Own, out: Output, given: &str, accept_new: bool) -> Result<Found> {
    let peers = Peers::load(own.home())?;
    match meant(own, &peers, given)? {
        Meant::Saved(peer) => pairing::ensure_not_blocked(&peer).map(|()| Found { peer, refusal: None }),
        Meant::Link(link) => by_link(own, out, &peers, &link),
        Meant::At(at) => by_address(own, out, &peers, &at, accept_new),
    }
}

fn by_link(own: &Own, out: Output, peers: &Peers, link: &Link) -> Result<Found> {
    let known = peers.by_key(&link.key);
    known.map_or(Ok(()), pairing::ensure_not_blocked)?;
    // An invite is used up even by a known peer; a plain link to one may say where it is now.
    if known.is_some() && link.token.is_none() {
        let peer = pairing::save(own.home(), link.key, &link.addresses, None)?;
        return Ok(Found { peer, refusal: None });
    }
    let peer = pairing::join(own, link, None)?;
    out.note(&format!("paired with {}", peer.name));
    Ok(Found { peer, refusal: None })
}

/// Trust on first use: the user compares the fingerprint, or has said that the key is taken on trust. A known key at a
/// new address needs neither.
fn by_address(own: &Own, out: Output, peers: &Peers, at: &Address, accept_new: bool) -> Result<Found> {
    let key = dial::ask_key(own, at)?;
    let fingerprint = key.fingerprint();
    let known = peers.by_key(&key);
    known.map_or(Ok(()), pairing::ensure_not_blocked)?;
    if known.is_none() && !accept_new && key != own.key() {
        let question = format!(
            "{at} is not known yet; its fingerprint is {fingerprint}\n    is that the right one? [yes/no]"
        );
        match output::ask(&question).as_deref() {
            Some("yes" | "y") => {}
            Some(_) => return Err(Error::failed("nothing was sent")),
            None => return Err(Error::UnknownKey { address: at.to_string(), fingerprint }),
        }
    }
    let (peer, refusal) = pairing::first_contact(own, key, at)?;
    out.note(&format!("{at} is saved as {}, fingerprint {fingerprint}", peer.name));
    Ok(Found { peer, refusal })
}
