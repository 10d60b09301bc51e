//! Sharing: others fetch files from here, by a link or by name. The node of this home serves what is shared, or a command
//! that is there for one share alone.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::app::contacts;
use crate::app::files::Sources;
use crate::app::link::{self, Listen, NodeEvent, Options};
use crate::crypto::base32;
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::net::local;
use crate::store::home::Own;
use crate::store::own_files::OwnFiles;
use crate::store::peers::{Peer, Peers};
use crate::store::shares::{End, Share};
use crate::store::source::{Item, snapshot};
use crate::text;
use crate::time::{Zone, now_micros};
use crate::transfer::source::Wanted;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// Who may fetch, and for how long.
pub struct ShareOptions {
    /// These peers; whoever has the link, if there are none.
    pub to: Vec<Peer>,
    /// The share ends after this long.
    pub ttl: Option<Duration>,
    /// It ends when somebody has fetched it.
    pub is_once: bool,
}

/// Files that are to be shared, as they are now.
pub struct ToShare {
    /// What they add up to.
    pub sources: Sources,
    share: Share,
}

/// Looks at the files that the user named.
pub fn choose(own: &Own, paths: &[PathBuf], options: &ShareOptions) -> Result<ToShare> {
    if paths.is_empty() {
        return Err(Error::usage("which files? `egoat share FILE...`"));
    }
    let home = OwnFiles::of(own.home())?;
    let mut items: Vec<Item> = Vec::new();
    for path in paths {
        items.push(snapshot(path, &home)?);
    }
    let wanted: Vec<Wanted> = items.iter().map(Wanted::item).collect();
    let sources = Sources::choose(&wanted, &home)?;
    items.iter_mut().zip(sources.names()).for_each(|(item, name)| item.name = Some(name.to_owned()));
    let manifest = sources.manifest();
    let mut share = Share::new(items, (manifest.entries().len() as u32, manifest.bytes()));
    share.is_once = options.is_once;
    share.until = options.ttl.map(|ttl| now_micros().saturating_add(ttl.as_micros() as u64));
    for peer in &options.to {
        if !share.to.contains(&peer.key) {
            share.to.push(peer.key);
        }
    }
    Ok(ToShare { sources, share })
}

/// The id of a share as people see it.
fn id_of(share: &Share) -> String {
    base32::encode(&share.id)
}

fn link_of(own: &Own, share: &Share, addresses: Vec<Address>) -> Link {
    Link { is_share: true, key: own.key(), token: Some(share.token.clone()), addresses }
}

/// Files that the node of this home shares from now on.
pub struct Shared {
    /// Names the share.
    pub id: String,
    /// What to give to those who may fetch, unless they are peers.
    pub link: Option<Link>,
    /// Without a node nobody can use it yet.
    pub node_runs: bool,
    /// The port that was chosen for the node to come.
    pub chosen_port: Option<u16>,
}

/// Whether a command that shares this has to serve it itself: it is for one, by a link, and no node runs.
pub fn is_alone(own: &Own, options: &ShareOptions) -> Result<bool> {
    Ok(options.is_once && options.to.is_empty() && link::node(own)?.is_none())
}

/// Shares the files; durable when it returns. Without `addresses`, the link has those that this node finds by itself.
pub fn share(own: &Endpoint, chosen: ToShare, addresses: Vec<Address>) -> Result<Shared> {
    let share = chosen.share;
    let (addresses, chosen_port) = match share.has_link() {
        true => contacts::addresses_for_link(own, addresses)?,
        false => (Vec::new(), None),
    };
    let (id, has_link) = (id_of(&share), share.has_link());
    let link = has_link.then(|| link_of(own, &share, addresses));
    own.shares()?.add(share)?;
    Ok(Shared { id, link, node_runs: link::node(own)?.is_some(), chosen_port })
}

/// A share of this home that has not ended.
pub struct ShareStatus {
    /// Names the share.
    pub id: String,
    /// What it holds first; not cleaned for a terminal.
    pub name: String,
    /// How many paths it holds.
    pub paths: usize,
    /// Files and directories.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Who may fetch it: names of peers, or the fingerprints of those who are peers no longer; whoever has the link, if there
    /// are none.
    pub to: Vec<String>,
    /// It ends when somebody has fetched it.
    pub is_once: bool,
    /// When it ends, in µs of Unix time.
    pub until: Option<u64>,
    /// Why it cannot be fetched: what has changed since it was shared; not cleaned for a terminal.
    pub change: Option<String>,
}

/// Shares that have ended, of which a list tells.
const ENDED_TOLD: usize = 5;

/// The shares of this home.
pub struct Listing {
    /// Those that have not ended, oldest first.
    pub open: Vec<ShareStatus>,
    /// A sentence for each of the latest that have ended, oldest first.
    pub ended: Vec<String>,
}

/// The shares that have not ended, and what became of the latest others.
pub fn list(own: &Own) -> Result<Listing> {
    let (peers, home) = (Peers::load(own.home())?, OwnFiles::of(own.home())?);
    let name =
        |key: &PublicKey| peers.by_key(key).map_or_else(|| key.fingerprint(), |peer| peer.name.clone());
    let mut listed = own.read_shares();
    let all = listed.all()?;
    let open = all.iter().filter(|share| share.is_open());
    let status = |share: &Share| ShareStatus {
        id: id_of(share),
        name: share.name().to_owned(),
        paths: share.items.len(),
        entries: u64::from(share.entries),
        bytes: share.bytes,
        to: share.to.iter().map(name).collect(),
        is_once: share.is_once,
        until: share.until,
        change: share.change(&home),
    };
    let open = open.map(status).collect();
    let mut ended: Vec<&Share> = all.iter().filter(|share| share.ended().is_some()).collect();
    ended.sort_by_key(|share| share.ended().map(|(when, _)| when));
    let ended = ended.iter().skip(ended.len().saturating_sub(ENDED_TOLD));
    Ok(Listing { open, ended: ended.map(|share| how_it_ended(&peers, share)).collect() })
}

/// When and why a share ended, as a sentence that is clean for a terminal.
fn how_it_ended(peers: &Peers, share: &Share) -> String {
    let Some((when, end)) = share.ended() else { return String::new() };
    let when = Zone::local().format(when);
    let why = match end {
        End::UsedUp(key) => {
            let user = match peers.by_key(&key) {
                Some(peer) => peer.name.clone(),
                None if share.has_link() => "somebody with its link".to_owned(),
                None => key.fingerprint(),
            };
            format!("{user} fetched it at {when}, and it was meant for one")
        }
        End::Stopped => format!("it was stopped at {when}"),
        End::TimeOver => format!("its time was over at {when}"),
    };
    format!("share {} of {} has ended: {why}", id_of(share), text::clean_line(share.name()))
}

/// The id, or its beginning, that the user means: a link names its share.
fn id_given(own: &Own, given: &str) -> Result<String> {
    if !Link::looks_like(given) {
        return Ok(given.to_owned());
    }
    let link = contacts::parse_share_link(given)?;
    match link.token {
        Some(token) if link.key == own.key() => Ok(base32::encode(&token.invite_id())),
        _ => Err(Error::failed("this link is of another node, and only that one can stop what it shares")),
    }
}

/// Ends the shares with these links, or whose ids begin so; `tell` learns of each.
pub fn stop(own: &Own, ids: &[String], mut tell: impl FnMut(&str) -> Result<()>) -> Result<()> {
    // Every id begins with an empty word, which most likely is a script's unset variable.
    if ids.is_empty() || ids.iter().any(String::is_empty) {
        return Err(Error::usage("which one? `egoat share stop ID...`, or its link"));
    }
    let (mut listed, peers) = (own.read_shares(), Peers::load(own.home())?);
    let mut meant = Vec::new();
    let all = listed.all()?;
    for given in ids {
        let id = &id_given(own, given)?;
        let is_meant = |share: &&Share| id_of(share).starts_with(id.as_str());
        let mut matching = all.iter().filter(|share| share.is_open()).filter(is_meant);
        match (matching.next(), matching.next()) {
            (Some(one), None) => meant.push(one),
            (None, _) => {
                let what = match all.iter().rfind(is_meant) {
                    Some(ended) => how_it_ended(&peers, ended),
                    None => format!("no share {} is there", text::clean_line(id)),
                };
                let hint = Some("`egoat share list` has those that can be fetched".into());
                return Err(Error::Failed { what, hint });
            }
            _ => return Err(Error::usage(format!("several shares start with {}", text::clean_line(id)))),
        }
    }
    let mut shares = own.shares()?;
    for share in meant {
        // It may have ended just now.
        shares.stop(&share.id)?;
        tell(&id_of(share))?;
    }
    Ok(())
}

/// A node that is there for one share, and waits until somebody has fetched it.
pub struct Alone {
    events: Receiver<NodeEvent>,
    /// What to give to whoever may fetch.
    pub link: Link,
    until: Option<Instant>,
}

impl Alone {
    /// Starts to serve. Nothing of it is noted in the home.
    pub fn start(
        own: &Endpoint,
        chosen: ToShare,
        listen: Vec<Listen>,
        mut addresses: Vec<Address>,
        ttl: Option<Duration>,
    ) -> Result<Alone> {
        if own.is_hidden() && addresses.is_empty() {
            return Err(Error::Usage {
                what: "with a proxy, a link does not get this machine's addresses by itself".into(),
                hint: Some("name where others reach this node: `egoat share --addr HOST:PORT`".into()),
            });
        }
        contacts::ensure_fit(&addresses)?;
        let share = chosen.share;
        let options = Options { share: Some(share.clone()), ..link::default_options(listen, PathBuf::new()) };
        let events = link::start(own, options)?;
        if addresses.is_empty() {
            let mut listening = Vec::new();
            while let Ok(NodeEvent::Listening(at)) = events.try_recv() {
                listening.push(at);
            }
            addresses = local::reachable_at(&listening);
        }
        let link = link_of(own, &share, addresses);
        Ok(Alone { events, link, until: ttl.map(|ttl| Instant::now() + ttl) })
    }

    /// What happens next; `None` when the time of the share is over, unless somebody fetches it now.
    pub fn next(&self, is_moving: bool) -> Option<NodeEvent> {
        let received = match self.until.filter(|_| !is_moving) {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => self.events.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        received.ok()
    }
}
