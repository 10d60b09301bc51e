//! Contacts: who this node talks to. Invite somebody, join by a link, meet a node at an address, accept a stranger; then
//! rename, set rules, verify, remove. Every front-end calls these functions, so each rule holds everywhere.
//!
//! A change is durable when its function returns, and a node that runs learns of it at once.

pub mod digits;
mod found;
pub mod names;
mod objects;
pub mod reach;
pub mod via;

use std::time::Duration;

use crate::app::contacts::found::Found;
use crate::app::contacts::names::NameMatch;
use crate::app::identity;
use crate::app::link::{self, MapState, Mapped};
use crate::crypto::keys::{self, PublicKey};
use crate::error::{Error, Result};
use crate::net::dial::Target;
use crate::net::endpoint::Endpoint;
use crate::net::local::{self, Reach};
use crate::node::door::listen;
use crate::node::pairing::dial_to_pair;
use crate::store::cancel::cancel;
use crate::store::home::{Home, Own};
use crate::store::invites::{self, Invite};
use crate::store::peers::{DIR, Peer, Peers};
use crate::store::place;
use crate::store::requests::{self, Request};
use crate::text;
use crate::wire::address::{Address, BadAddress};
use crate::wire::link::{BadLink, Link, MAX_ADDRESSES};

pub use crate::app::contacts::objects::{object, paired_object, request_object};
pub use crate::store::requests::Request as StrangerRequest;

/// How long an invite is good unless the user says otherwise.
pub const INVITE_TTL: Duration = Duration::from_secs(24 * 3600);
/// The name of a peer who gives none.
const NAMELESS: &str = "peer";

/// All saved peers, in the order of the peers file.
pub fn all(own: &Own) -> Result<Vec<Peer>> {
    Ok(Peers::load(own.home())?.iter().cloned().collect())
}

/// The names of all saved peers, of a home that need not be unlocked.
pub fn names(home: &Home) -> Result<Vec<String>> {
    Ok(Peers::load(home)?.iter().map(|peer| peer.name.clone()).collect())
}

/// The saved peer that is meant by a name, see [`mod@names`].
pub fn named(own: &Own, name: &str) -> Result<Peer> {
    named_in(own.home(), name)
}

/// The same of a home that need not be unlocked.
pub fn named_in(home: &Home, name: &str) -> Result<Peer> {
    let peers = Peers::load(home)?;
    match names::find(peers.iter(), name) {
        NameMatch::One(peer) => Ok(peer.clone()),
        NameMatch::Several(meant) => Err(several(name, &meant)),
        NameMatch::Nobody(near) => Err(unknown(home, &peers, name, near, false)),
    }
}

/// The saved peer with exactly this name.
pub fn called(own: &Own, name: &str) -> Result<Peer> {
    let peers = Peers::load(own.home())?;
    peers.by_name(name).cloned().ok_or_else(|| unknown(own.home(), &peers, name, None, false))
}

fn several(name: &str, meant: &[&Peer]) -> Error {
    Error::usage(names::ambiguity(&text::clean_line(name), meant))
}

/// The error for a name that is nobody's; `may_be_host` if a host could have been named as well.
fn unknown(home: &Home, peers: &Peers, name: &str, near: Option<&str>, may_be_host: bool) -> Error {
    Error::UnknownPeer {
        name: text::clean_line(name),
        home: home.dir().to_owned(),
        near: near.map(str::to_owned),
        last: peers.iter().last().map(|peer| peer.name.clone()),
        may_be_host,
    }
}

/// Parses a link of a node or an invite, however it was copied; the error says what is wrong with a malformed one.
pub fn parse_link(given: &str) -> Result<Link> {
    let link = parse_any_link(given)?;
    if link.is_share {
        return Err(Error::Usage {
            what: "this link is for files that somebody shares, and makes no peer".into(),
            hint: Some("`egoat get LINK` fetches them".into()),
        });
    }
    Ok(link)
}

/// The same of a share.
pub fn parse_share_link(given: &str) -> Result<Link> {
    let link = parse_any_link(given)?;
    if link.is_share {
        return Ok(link);
    }
    Err(Error::Usage {
        what: "this link is of a node, and not of files that somebody shares".into(),
        hint: Some("`egoat join LINK` pairs with the node; ask for a link of `egoat share`".into()),
    })
}

fn parse_any_link(given: &str) -> Result<Link> {
    Link::copied(given).map_err(|BadLink(why)| Error::Usage {
        what: format!("this is no link: {why}"),
        hint: Some(
            "a link is egoat:KEY@HOST:PORT or egoat:KEY.TOKEN@HOST:PORT, as `egoat invite` prints it, or \
             egoat:get+KEY.TOKEN@HOST:PORT, as `egoat share` does"
                .into(),
        ),
    })
}

/// Parses an address; the error says what is wrong with a malformed one.
pub fn parse_address(given: &str) -> Result<Address> {
    given.parse().map_err(|BadAddress(why)| Error::Usage {
        what: format!("{} is no address: {why}", text::clean_line(given)),
        hint: Some("an address is HOST:PORT, [IPV6]:PORT or HOST".into()),
    })
}

/// Checks a name for a peer or for this node.
pub fn parse_name(given: &str) -> Result<String> {
    text::name(given).ok_or_else(|| Error::Usage {
        what: format!(
            "{} is no name: 1 to 32 letters, digits and -_.@+, not starting with . or -",
            text::clean_line(given)
        ),
        hint: text::suggest_name(given).map(|name| format!("`{name}` is one")),
    })
}

/// Parses a key in base32.
pub fn parse_key(given: &str) -> Result<PublicKey> {
    given.trim().to_ascii_lowercase().parse().map_err(|_| Error::Usage {
        what: "this is no key".into(),
        hint: Some("a key has 52 characters of base32, as `egoat id` prints it".into()),
    })
}

/// An invite that was issued, and its link.
pub struct Invitation {
    /// What to give to the guest.
    pub link: Link,
    /// Without a node nobody can use it yet.
    pub node_runs: bool,
    /// The port that was chosen for the node to come.
    pub chosen_port: Option<u16>,
}

/// Issues a one-time invite that is good for `ttl`; the guest will be called `name` here, or what it calls itself. Without
/// `addresses`, the link has those that this node finds by itself, which is an error if it is hidden.
pub fn invite(
    own: &Endpoint,
    ttl: Duration,
    name: Option<String>,
    addresses: Vec<Address>,
) -> Result<Invitation> {
    let (addresses, chosen_port) = addresses_for_link(own, addresses)?;
    let own_ips = addresses.iter().filter_map(Address::ip).filter(|ip| local::is_own(*ip)).collect();
    let invite = invites::issue(own.home(), ttl, name, own_ips)?;
    Ok(Invitation {
        link: link_of(own, &invite, addresses),
        node_runs: link::node(own)?.is_some(),
        chosen_port,
    })
}

/// The addresses for a link to this node: these or, without any, those that it finds by itself; and the port that was
/// chosen for the node to come.
pub fn addresses_for_link(
    own: &Endpoint,
    mut addresses: Vec<Address>,
) -> Result<(Vec<Address>, Option<u16>)> {
    let mut chosen_port = None;
    if addresses.is_empty() {
        if !own.is_hidden() && link::node(own)?.is_none() {
            chosen_port = listen::choose_port(own.home(), false)?;
        }
        addresses = identity::addresses(own)?;
    }
    ensure_fit(&addresses)?;
    Ok((addresses, chosen_port))
}

/// An error if these are too many addresses for a link.
pub fn ensure_fit(addresses: &[Address]) -> Result<()> {
    if addresses.len() > MAX_ADDRESSES {
        return Err(Error::usage(format!("a link has at most {MAX_ADDRESSES} addresses")));
    }
    Ok(())
}

/// Takes back the invite of a link.
pub fn withdraw(own: &Own, link: &Link) -> Result<()> {
    match &link.token {
        Some(token) => invites::withdraw(own.home(), &invites::id_text(&token.invite_id())),
        None => Ok(()),
    }
}

/// A sentence that says who can use a link to the node of this home with these addresses; `None` if everybody can without the
/// help of a router, and where nobody can tell.
pub fn who_can_use(own: &Own, addresses: &[Address]) -> Option<String> {
    let mapping = link::node(own).ok().flatten().unwrap_or_default().mapping;
    let is_in_link = |mapped: &&Mapped| addresses.contains(&mapped.address.into());
    let mut ports = mapping.mapped.iter().filter(|mapped| !mapped.is_pinhole);
    if let Some(mapped) = ports.find(is_in_link) {
        let port = mapped.address.port();
        return Some(format!("anybody can use this link: the router maps port {port}"));
    }
    match (local::best_reach(addresses), mapping.state) {
        (Some(Reach::Private), MapState::Failed) => {
            Some("only your own network can use this link: no port is mapped; see `egoat doctor`".into())
        }
        (Some(Reach::Private), MapState::Behind) => Some(
            "only your own network can use this link: a second router is in front; see `egoat doctor`".into(),
        ),
        _ => who_can_dial(addresses).map(str::to_owned),
    }
}

/// The same of a link that leads to no running node of this home.
pub fn who_can_dial(addresses: &[Address]) -> Option<&'static str> {
    match local::best_reach(addresses)? {
        Reach::Global => None,
        Reach::Carrier => Some(
            "only customers of your provider, or members of your VPN, can use this link: see `egoat doctor`",
        ),
        Reach::Private => {
            Some("only your own network can use this link, as its addresses are private: see `egoat doctor`")
        }
        Reach::LinkLocal => {
            Some("only machines on the same cable or Wi-Fi can use this link: see `egoat doctor`")
        }
        Reach::Loopback => {
            Some("only this machine can use this link, as its addresses are those of loopback")
        }
        Reach::Nobody => Some("nobody can use this link from elsewhere: see `egoat doctor`"),
    }
}

/// The link of an invite to this node at these addresses.
pub fn link_of(own: &Own, invite: &Invite, addresses: Vec<Address>) -> Link {
    Link { is_share: false, key: own.key(), token: Some(invite.token.clone()), addresses }
}

/// An error if another peer has this name.
pub fn ensure_unused(own: &Own, name: &str) -> Result<()> {
    ensure_free(&Peers::load(own.home())?, name)
}

/// Makes a peer of a guest of a one-off receiver.
pub fn keep(own: &Own, mut guest: Peer, name: &str) -> Result<Peer> {
    name.clone_into(&mut guest.name);
    edit(own, |peers| {
        ensure_free(peers, name)?;
        peers.add(guest.clone());
        Ok(guest)
    })
}

/// Pairs with the node of `link`; it will be called `name` here if nobody else is, else what it calls itself. The link of
/// a one-off receiver is an error: it is for files.
pub fn join(own: &Endpoint, link: &Link, name: Option<String>) -> Result<Peer> {
    match pair(own, link, name)? {
        Paired::Saved(peer) => Ok(peer),
        Paired::OneOff(_) => Err(only_files()),
    }
}

/// Says what a link or an address is for, if it leads to a one-off receiver.
fn only_files() -> Error {
    Error::Failed {
        what: "this leads to an `egoat receive`, which takes files, and no peers or messages".into(),
        hint: Some("`egoat send LINK FILE...` sends them; to pair, ask for a link of `egoat invite`".into()),
    }
}

/// The node that answered a dial for pairing.
enum Paired {
    /// A node, which is a peer now.
    Saved(Peer),
    /// A one-off receiver, of which nothing was saved.
    OneOff(Peer),
}

/// A one-off receiver as it can be dialled. What is saved of it, if it is a peer's, stays as it is.
fn one_off(own: &Own, key: PublicKey, found: &Found, name: Option<String>) -> Result<Peer> {
    let saved = Peers::load(own.home())?.by_key(&key).cloned();
    let mut peer =
        saved.unwrap_or_else(|| Peer::new(name.unwrap_or_else(|| NAMELESS.into()), key, Vec::new()));
    found.dial_there_alone(&mut peer);
    Ok(peer)
}

/// A link does not tell whose it is: of a node, or of a command that takes files and may have ended.
const LINK_UNREACHED: &str = "is `egoat serve` running there, or the `egoat receive` of this link, whose link ends with it; \
                              and is its port reachable?";

fn pair(own: &Endpoint, link: &Link, name: Option<String>) -> Result<Paired> {
    if link.key == own.key() {
        return Err(Error::usage("this link is this node's own"));
    }
    Peers::load(own.home())?.by_key(&link.key).map_or(Ok(()), Peer::ensure_not_blocked)?;
    let label = name.clone().unwrap_or_else(|| format!("the node {}", link.key.fingerprint()));
    let target = Target { token: link.token.as_ref(), ..Target::stranger(link.key, &link.addresses, &label) };
    let (profile, at) = dial_to_pair(own, &target).map_err(|error| match error {
        Error::Unreachable { peer, why } => {
            Error::Unreachable { peer, why: why.with_hint(LINK_UNREACHED.into()) }
        }
        other => other,
    })?;
    let given = &link.addresses;
    let found = Found { given, is_typed: false, proven_at: at.as_ref(), profile: Some(&profile) };
    let name = name.or(profile.name.clone());
    if profile.is_one_off {
        return one_off(own, link.key, &found, name).map(Paired::OneOff);
    }
    save(own, link.key, &found, name).map(Paired::Saved)
}

/// Saves the node at an address whose key the user has compared, or takes on trust. If it does not know this node yet, it
/// is saved all the same and the refusal comes along: a chat goes on, and its messages wait in the outbox.
pub fn first_contact(own: &Endpoint, key: PublicKey, address: &Address) -> Result<(Peer, Option<Error>)> {
    match meet(own, key, address) {
        Ok(Paired::Saved(peer)) => Ok((peer, None)),
        Ok(Paired::OneOff(_)) => Err(only_files()),
        Err(refusal @ Error::Refused { .. }) => {
            let given = std::slice::from_ref(address);
            let found = Found { given, is_typed: true, proven_at: Some(address), profile: None };
            Ok((save(own, key, &found, text::suggest_name(address.host()))?, Some(refusal)))
        }
        Err(error) => Err(error),
    }
}

/// Pairs with the node at an address. Nothing is saved of one that refuses.
fn meet(own: &Endpoint, key: PublicKey, address: &Address) -> Result<Paired> {
    if key == own.key() {
        return Err(Error::usage(format!("the node at {address} is this one")));
    }
    let given = std::slice::from_ref(address);
    let (profile, _) = dial_to_pair(own, &Target::stranger(key, given, &address.to_string()))?;
    let found = Found { given, is_typed: true, proven_at: Some(address), profile: Some(&profile) };
    if profile.is_one_off {
        return one_off(own, key, &found, profile.name.clone()).map(Paired::OneOff);
    }
    let name = profile.name.clone().or_else(|| text::suggest_name(address.host()));
    save(own, key, &found, name).map(Paired::Saved)
}

/// Saves a peer that was found. What is given back is dialled where it was found, also if that is not saved: files go to a
/// receiver that is about to end.
fn save(own: &Own, key: PublicKey, found: &Found, name: Option<String>) -> Result<Peer> {
    let is_told = found.profile.is_some_and(|profile| profile.name == name);
    let own_name = if is_told { own.home().name(false)? } else { String::new() };
    let mut peer = edit(own, |peers| {
        if peers.by_key(&key).is_none() {
            let name = name.unwrap_or_else(|| NAMELESS.into());
            peers.add_told(Peer::new(name, key, Vec::new()), &own_name);
        }
        let peer = peers.by_key_mut(&key).ok_or_else(unsaved)?;
        found.note(peer);
        Ok(peer.clone())
    })?;
    // It may have dialled before it was saved.
    requests::remove(own.home(), &key)?;
    found.dial_first(&mut peer);
    Ok(peer)
}

fn unsaved() -> Error {
    Error::failed("the peer could not be saved")
}

/// Saves a peer by its key, without dialling it: with addresses that the user named for it, and with those of a link.
pub fn add(
    own: &Own,
    name: String,
    key: PublicKey,
    addresses: Vec<Address>,
    of_link: &[Address],
) -> Result<Peer> {
    if key == own.key() {
        return Err(Error::usage("this is this node's own key"));
    }
    edit(own, |peers| {
        if let Some(other) = peers.by_key(&key) {
            return Err(Error::failed(format!("{} has this key already", other.name)));
        }
        ensure_free(peers, &name)?;
        let mut peer = Peer::new(name, key, addresses);
        peer.add_link(of_link);
        peers.add(peer.clone());
        Ok(peer)
    })
}

/// The strangers who have dialled and wait to be accepted.
pub fn requests(own: &Own) -> Result<Vec<Request>> {
    requests::load(own.home())
}

const NOBODY_WAITS: &str =
    "whoever dials this node without an invite is noted while `egoat serve` or `egoat chat` runs";

/// Makes a peer of a stranger who dialled: the one with this fingerprint or key, or the only one.
pub fn accept(own: &Own, who: Option<&str>, name: Option<String>) -> Result<Peer> {
    // Not by name: strangers choose their own.
    let is_wanted = |request: &Request| match who {
        Some(who) => who == request.key.fingerprint() || who == request.key.to_string(),
        None => true,
    };
    let mut matching: Vec<Request> = requests::load(own.home())?.into_iter().filter(is_wanted).collect();
    let hint = Some("`egoat peers requests` lists them; give the fingerprint".to_owned());
    let request = match (matching.pop(), matching.is_empty()) {
        (Some(request), true) => request,
        (Some(last), false) => {
            matching.push(last);
            let line = |request: &Request| {
                format!("\n{}  {}", request.key.fingerprint(), text::clean_line(&request.name))
            };
            let list: String = matching.iter().map(line).collect();
            let hint = Some("`egoat peers accept FINGERPRINT` takes one of them".to_owned());
            return Err(Error::Usage { what: format!("{} strangers wait:{list}", matching.len()), hint });
        }
        (None, true) if who.is_none() => {
            return Err(Error::Failed { what: "no stranger waits".into(), hint: Some(NOBODY_WAITS.into()) });
        }
        (None, _) => return Err(Error::Failed { what: "no such stranger has dialled".into(), hint }),
    };
    let own_name = if name.is_none() { own.home().name(false)? } else { String::new() };
    let name = name.or_else(|| text::suggest_name(&request.name)).unwrap_or_else(|| NAMELESS.into());
    let peer = edit(own, |peers| {
        if peers.by_key(&request.key).is_none() {
            let mut peer = Peer::new(name, request.key, Vec::new());
            // The address is the stranger's word: not relied on, and never this machine.
            let is_elsewhere = |at: &&Address| at.ip().is_some_and(|ip| !local::is_own(ip));
            request.address.as_ref().filter(is_elsewhere).into_iter().for_each(|at| peer.see_at(at));
            peers.add_told(peer, &own_name);
        }
        peers.by_key(&request.key).cloned().ok_or_else(unsaved)
    })?;
    requests::remove(own.home(), &request.key)?;
    Ok(peer)
}

/// Whether a peer got the wanted name.
pub enum NameResult {
    /// The peer has the name.
    AsWished(Peer),
    /// Another peer has it, so this one keeps its own.
    Taken {
        /// The peer.
        peer: Peer,
        /// The name that it did not get.
        name: String,
    },
}

/// Gives the peer the wanted name, unless another peer has it. Pairing leaves this to be done for a peer that was saved
/// before.
pub fn give_name(own: &Own, mut peer: Peer, wanted: Option<String>) -> Result<NameResult> {
    let Some(name) = wanted.filter(|name| *name != peer.name) else { return Ok(NameResult::AsWished(peer)) };
    if Peers::load(own.home())?.by_name(&name).is_some() {
        return Ok(NameResult::Taken { peer, name });
    }
    rename(own, &peer.key, &name)?;
    peer.name = name;
    Ok(NameResult::AsWished(peer))
}

/// Gives a peer another name, or the one that it has.
pub fn rename(own: &Own, key: &PublicKey, new: &str) -> Result<()> {
    edit(own, |peers| {
        if peers.by_name(new).is_none_or(|peer| peer.key != *key) {
            ensure_free(peers, new)?;
        }
        peers.by_key_mut(key).into_iter().for_each(|peer| peer.name = new.to_owned());
        Ok(())
    })
}

fn ensure_free(peers: &Peers, name: &str) -> Result<()> {
    match peers.by_name(name) {
        Some(_) => Err(Error::failed(format!("another peer is called {name} already"))),
        None => Ok(()),
    }
}

/// Sets rules of a peer, each written as in the peers file. A peer who is blocked now gets nothing of what waits: the
/// number of messages and files that were cancelled comes along.
pub fn set(own: &Own, peer: &Peer, rules: &[String]) -> Result<(Peer, usize)> {
    let apply =
        |peer: &mut Peer| rules.iter().try_for_each(|rule| peer.set_option(rule).map_err(Error::usage));
    // Without the lock of the peers file: a disk may take its time.
    let mut tried = peer.clone();
    apply(&mut tried)?;
    let sets_dir = rules.iter().any(|rule| rule.starts_with(DIR));
    if let Some(dir) = tried.downloads_dir().filter(|_| sets_dir) {
        place::check_for_later(own.home(), &dir)?;
    }
    let changed = Peers::edit(own.home(), |peers| {
        if peers.by_key(&peer.key).is_none() {
            return Err(unknown(own.home(), peers, &peer.name, None, false));
        }
        let saved = peers.by_key_mut(&peer.key).ok_or_else(unsaved)?;
        apply(saved)?;
        Ok(saved.clone())
    })?;
    // Ring last: the node cancels as well, and the user would be told of none.
    let cancelled = if changed.is_blocked() { cancel(own, &changed.key, &|_| true)?.len() } else { 0 };
    link::ring(own, None)?;
    Ok((changed, cancelled))
}

/// The safety number of this node and a peer: 60 digits in groups of five, the same on both sides.
pub fn safety_number(own: &Own, peer: &Peer) -> String {
    keys::safety_number(&own.key(), &peer.key)
}

/// Removes a peer; its history stays. Its invites go first: a removed peer must not come back by a link that it has used.
pub fn remove(own: &Own, peer: &Peer) -> Result<()> {
    for id in peer.invites() {
        invites::withdraw(own.home(), id)?;
    }
    edit(own, |peers| {
        peers.remove(&peer.key);
        Ok(())
    })
}

/// Changes the peers file and rings for the node, which would else see the change within a second.
fn edit<T>(own: &Own, change: impl FnOnce(&mut Peers) -> Result<T>) -> Result<T> {
    let changed = Peers::edit(own.home(), change)?;
    link::ring(own, None)?;
    Ok(changed)
}
