//! Fetching what others share, by a link or from a peer.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::app::contacts;
use crate::app::files::by_node;
use crate::app::files::receive::Destination;
use crate::app::files::send::after;
use crate::app::link::{self, FilesTo, NodeEvent, Options};
use crate::app::retry::{Patience, retry};
use crate::crypto::base32;
use crate::error::{Causes, Error, Result};
use crate::net::endpoint::Endpoint;
use crate::node::files::get::{self, Fetcher, SharedAt};
use crate::node::files::once::OneOff;
use crate::node::files::pipe::StdoutPipe;
use crate::node::threads;
use crate::store::home::Own;
use crate::store::peers::{Peer, Peers};
use crate::store::place;
use crate::store::space::KeepFree;
use crate::text;
use crate::wire::link::Link;

pub use crate::wire::shares::SharedFiles;

/// The name of a node that shares by a link and is not a peer.
const SHARER: &str = "the sharer";

/// Where the files go, and which are taken.
pub struct GetOptions {
    /// Standard output, or a directory itself.
    pub into: Destination,
    /// How much room is left free.
    pub keep_free: KeepFree,
    /// Files that are there already are replaced.
    pub overwrite: bool,
    /// Names at the top may begin with a dot.
    pub allow_dot: bool,
    /// How long to go on trying while the sharer cannot be reached, and after each connection that was lost. Without it, only
    /// after those, for as long as a pipe is retried.
    pub wait: Option<Duration>,
}

/// The node that shares.
pub enum Sharer {
    /// Whoever has made the link.
    Link(Link),
    /// A saved peer.
    Peer(Box<Peer>),
}

/// Reads what the user typed: a link, or the name of a peer.
pub fn sharer(own: &Endpoint, given: &str) -> Result<Sharer> {
    if !Link::looks_like(given) {
        let peer = contacts::named(own, given)?;
        peer.ensure_not_blocked()?;
        return Ok(Sharer::Peer(Box::new(peer)));
    }
    let link = contacts::parse_share_link(given)?;
    if link.key == own.key() {
        return Err(Error::usage("this link is this node's own"));
    }
    Ok(Sharer::Link(link))
}

/// Asks the peer which shares are open to this node, and goes on trying for as long as `wait`; `again` learns why.
pub fn list(
    own: &Endpoint,
    peer: &Peer,
    wait: Option<Duration>,
    again: impl FnMut(&Error),
) -> Result<Vec<SharedFiles>> {
    let mut patience = Patience::new(wait.unwrap_or_default());
    retry(|error| patience.until(error), || get::list(own, peer), again)
        .map_err(|error| naming_send(own, peer, after(wait.unwrap_or_default(), error)))
}

/// What is shared can be fetched by whoever dials, and in no other way. So of a peer that only dials in, the hint is what the
/// peer can do.
fn naming_send(own: &Own, peer: &Peer, error: Error) -> Error {
    let Error::Unreachable { peer: label, why } = error else { return error };
    let (is_here, name) = (by_node::is_here(own, peer), &peer.name);
    let why = match peer.has_address() {
        true if !is_here => return Error::Unreachable { peer: label, why },
        true => why,
        false => Causes::from("no address of it is known, and what it shares is fetched by dialling it"),
    };
    let connected = if is_here {
        format!("{name} has dialled the node here, and not the other way round; ")
    } else {
        String::new()
    };
    let hint = format!(
        "{connected}ask them to `egoat send` it, or say where they can be dialled: `egoat peers set {name} \
         address+=HOST:PORT`"
    );
    Error::Unreachable { peer: label, why: why.with_hint(hint) }
}

/// The id of a share as people see it.
pub fn id_of(share: &SharedFiles) -> String {
    base32::encode(&share.id)
}

/// The share that the user means by a name, an id or its beginning.
pub fn find<'a>(peer: &Peer, shares: &'a [SharedFiles], given: &str) -> Result<&'a SharedFiles> {
    let by_name: Vec<_> = shares.iter().filter(|share| share.name == given).collect();
    let by_id = shares.iter().filter(|share| !given.is_empty() && id_of(share).starts_with(given));
    let found = if by_name.is_empty() { by_id.collect() } else { by_name };
    let (name, given) = (&peer.name, text::clean_line(given));
    let hint = Some(format!("`egoat get {name}` lists what {name} shares with you"));
    match found[..] {
        [one] => Ok(one),
        [] => Err(Error::Failed { what: format!("{name} shares nothing called {given} with you"), hint }),
        _ => {
            let what = format!("{name} shares several things called {given}; name the one by its id");
            Err(Error::Usage { what, hint })
        }
    }
}

/// Starts to fetch by a link; `again` learns why it is tried again.
pub fn by_link(
    own: &Endpoint,
    link: Link,
    options: &GetOptions,
    again: impl FnMut(&Error) + Send + 'static,
) -> Result<Fetch> {
    let token = link.token.clone().ok_or_else(|| Error::usage("the link has no token"))?;
    let saved = Peers::load(own.home())?.by_key(&link.key).cloned();
    saved.as_ref().map_or(Ok(()), Peer::ensure_not_blocked)?;
    let is_saved = saved.is_some();
    let sharer = saved.unwrap_or_else(|| Peer::new(SHARER.into(), link.key, Vec::new()));
    start(own, sharer, is_saved, SharedAt::Link(Box::new(link), token), options, Box::new(again))
}

/// Starts to fetch this share of a peer; `again` learns why it is tried again.
pub fn by_name(
    own: &Endpoint,
    peer: &Peer,
    share: &SharedFiles,
    options: &GetOptions,
    again: impl FnMut(&Error) + Send + 'static,
) -> Result<Fetch> {
    start(own, peer.clone(), true, SharedAt::Peer(share.id), options, Box::new(again))
}

/// Files on their way here.
pub struct Fetch {
    events: Receiver<NodeEvent>,
    /// The node that shares them.
    pub sharer: String,
}

impl Fetch {
    /// The next event. The last one is TransferDone or TransferFailed; `None` when there was nothing to fetch.
    pub fn next(&self) -> Option<NodeEvent> {
        self.events.recv().ok()
    }
}

fn start(
    own: &Endpoint,
    sharer: Peer,
    is_saved: bool,
    at: SharedAt,
    options: &GetOptions,
    again: Box<dyn FnMut(&Error) + Send>,
) -> Result<Fetch> {
    let wait = options.wait;
    let mut once = OneOff::new(None, Some(sharer.key));
    once.allow_dot = options.allow_dot;
    if !is_saved {
        once.let_in(sharer.clone());
    }
    let files_to = match &options.into {
        Destination::Stdout => FilesTo::Pipe(StdoutPipe::start()?),
        Destination::Directory(dir) => {
            place::check(own.home(), dir)?;
            FilesTo::Flat(dir.clone())
        }
        Destination::Downloads => FilesTo::Folders(own.home().downloads(None)?),
    };
    let options = Options {
        files_to,
        // Whoever starts this has asked for the files.
        max_bytes: None,
        keep_free: options.keep_free,
        overwrite: options.overwrite,
        once: Some(Arc::new(once)),
        ..link::default_options(Vec::new(), PathBuf::new())
    };
    let name = sharer.name.clone();
    let (fetcher, events) = Fetcher::new(own, options, sharer, at);
    let work = move || run(&fetcher, wait, again);
    threads::spawn("get", work)?;
    Ok(Fetch { events, sharer: name })
}

/// Fetches, over one connection after another for as long as the user waits.
fn run(fetcher: &Fetcher, wait: Option<Duration>, again: Box<dyn FnMut(&Error) + Send>) {
    let patience = RefCell::new(Patience::for_fetch(wait));
    let attempt = || fetcher.attempt(|| patience.borrow_mut().found());
    if let Err(error) = retry(|error| patience.borrow_mut().until(error), attempt, again) {
        fetcher.give_up(after(wait.unwrap_or_default(), error));
    }
}
