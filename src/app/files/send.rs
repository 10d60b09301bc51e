//! Sending files, or what comes out of a pipe, now: by this process, or by the node that runs here where only the peer can
//! dial. Retries for as long as the user waits. It leaves out what is queued.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::app::files::{Chosen, by_node, file_name};
use crate::app::link::NodeLink;
use crate::app::retry::{Patience, retry};
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::node::files::once_sent::{OnceSent, note_sent};
use crate::node::files::outbound::{self, Outgoing, Pipe};
use crate::store::home::Own;
use crate::store::peers::{Peer, Peers};
use crate::store::sent::SentNote;
use crate::time::now_micros;
use crate::transfer::manifest::Manifest;
use crate::transfer::source::Sources;
use crate::transfer::stream::Spool;
use crate::transfer::tally::Tally;
use crate::wire::address::Address;
use crate::wire::message::UNKNOWN;

/// How long a peer that is connected with the node here has to say that it would collect files.
const COLLECT_WAIT: Duration = Duration::from_secs(5);
/// The same of a peer that nobody here can dial: the node is its only way.
const UNDIALLED_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a pipe that are kept for a retry unless the user says otherwise.
pub const SPOOL: u64 = 1 << 30;

/// Files that the peer has stored.
pub struct Sent {
    /// The peer's address, if this process has dialled it.
    pub address: Option<Address>,
    /// Another command sent them: at the same time, or one that was killed before it could say so.
    pub by_other: bool,
    /// For whoever repeats the command, should it be killed: to be dropped when the user has heard that all is done.
    pub note: Option<SentNote>,
}

/// Sends files over at most `streams` connections, and retries for as long as `wait` while the peer cannot be reached;
/// `again` learns why.
pub fn send(
    own: &Endpoint,
    peer: &Peer,
    chosen: &Chosen,
    streams: usize,
    tally: &Arc<Tally>,
    wait: Duration,
    mut again: impl FnMut(&Error),
) -> Result<Sent> {
    let sources = &chosen.sources;
    let mut once = OnceSent::claim(own, peer, sources);
    if once.is_sent() {
        tally.hold(sources.manifest().bytes());
        return Ok(Sent { address: None, by_other: true, note: once.into_note() });
    }
    let mut patience = Patience::new(wait);
    let attempt = || match reach(own, peer, Some(sources))? {
        Way::Own(outgoing) => {
            let address = outgoing.address();
            once.send(own, peer, (*outgoing, streams), (sources, tally), &mut || false)?;
            Ok(address)
        }
        Way::ByNode(link) => {
            by_node::send(&link, peer, chosen, tally)?;
            Ok(None)
        }
    };
    let again = |error: &Error| {
        again(error);
        tally.restart();
    };
    let address = retry(|error| patience.until(error), attempt, again)
        .map_err(|error| naming_queue(own, peer, after(wait, error)))?;
    Ok(Sent { address, by_other: false, note: once.into_note() })
}

/// How files get to a peer.
enum Way {
    /// Over a session that this process has dialled.
    Own(Box<Outgoing>),
    /// By the node that runs here, which the peer has dialled.
    ByNode(NodeLink),
}

/// The node comes first where the peer collects from it: most likely nobody can dial that peer.
fn reach(own: &Endpoint, peer: &Peer, files: Option<&Sources>) -> Result<Way> {
    if let Some(link) = by_node::link_to(own, peer, Duration::ZERO)? {
        return Ok(Way::ByNode(link));
    }
    match outbound::dial(own, peer, files) {
        Ok(outgoing) => Ok(Way::Own(Box::new(outgoing))),
        Err(error) if error.is_passing() => {
            let patience = if peer.has_address() { COLLECT_WAIT } else { UNDIALLED_WAIT };
            by_node::link_to(own, peer, patience)?.map(Way::ByNode).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// The error at the end of a wait. The user has heard of a changed key by then, so it is the reason only if each address had
/// one.
pub(super) fn after(wait: Duration, error: Error) -> Error {
    match error {
        Error::ChangedKey { peer, elsewhere: Some(why), .. } if !wait.is_zero() => {
            Error::Unreachable { peer, why }
        }
        other => other,
    }
}

/// Of a saved peer that cannot be reached, the hint is what needs nobody's patience: to queue the files.
fn naming_queue(own: &Own, peer: &Peer, error: Error) -> Error {
    let is_saved = Peers::load(own.home()).is_ok_and(|peers| peers.by_key(&peer.key).is_some());
    let Some(hint) = is_saved.then(|| {
        format!("with --queue the files wait here, and go out when {0} is here or can be reached", peer.name)
    }) else {
        return error;
    };
    match error {
        Error::Unreachable { peer, why } => Error::Unreachable { peer, why: why.with_hint(hint) },
        Error::ByNode { what, status: 69, .. } => Error::ByNode { what, hint: Some(hint), status: 69 },
        other => other,
    }
}

/// Whether the peer keeps the bytes that have arrived, so that the same command can resume.
pub fn is_kept(error: &Error, tally: &Tally) -> bool {
    let is_kept = matches!(
        error,
        Error::Lost { .. } | Error::Remote { disk: true, .. } | Error::ByNode { status: 69 | 74, .. }
    );
    is_kept && tally.moved() > 0 && tally.total != UNKNOWN
}

/// Standard input as a file whose length shows when it ends.
pub struct StdinFile {
    name: String,
    manifest: Manifest,
    /// Bytes that are kept for a retry.
    limit: u64,
    /// The count of the transfer.
    pub tally: Arc<Tally>,
}

impl StdinFile {
    /// A pipe that the peer gets as a file of this `name`.
    pub fn new(name: Option<&str>, limit: u64) -> Result<StdinFile> {
        let path = file_name(name.unwrap_or("stdin"))?;
        let name = path.as_str().to_owned();
        let manifest = Pipe::manifest(path)?;
        let tally = Arc::new(Tally::new(&manifest, true));
        Ok(StdinFile { name, manifest, limit, tally })
    }

    /// Sends standard input as [`send`] sends files.
    pub fn send(
        &self,
        own: &Endpoint,
        peer: &Peer,
        wait: Duration,
        mut again: impl FnMut(&Error),
    ) -> Result<Option<Address>> {
        let mut patience = Patience::for_pipe(wait);
        let pieces = outbound::read_stdin().map_err(|cause| Error::failed(format!("stdin: {cause}")))?;
        // Nobody can read a pipe twice: whoever begins to send it goes on.
        let way = retry(|error| patience.until(error), || reach(own, peer, None), &mut again);
        match way.map_err(|error| after(wait, error))? {
            Way::ByNode(link) => {
                by_node::send_pipe(&link, peer, &self.name, pieces, self.limit, &self.tally).map(|()| None)
            }
            Way::Own(outgoing) => {
                let spool = Spool::new(own.home(), pieces, self.limit)?;
                let pipe = Pipe::new(self.manifest.clone(), spool);
                self.send_over(own, peer, pipe, *outgoing, patience, again)
                    .map_err(|error| after(wait, error))
            }
        }
    }

    /// Sends the pipe over this session, and over others when the connection is lost.
    fn send_over(
        &self,
        own: &Endpoint,
        peer: &Peer,
        mut pipe: Pipe,
        outgoing: Outgoing,
        patience: Patience,
        mut again: impl FnMut(&Error),
    ) -> Result<Option<Address>> {
        let mut first = Some(outgoing);
        let patience = RefCell::new(patience);
        let attempt = || {
            let outgoing = first.take().map_or_else(|| outbound::dial(own, peer, None), Ok)?;
            patience.borrow_mut().found();
            let address = outgoing.address();
            pipe.send(&mut || false, outgoing, &self.tally).map(|()| address)
        };
        let again = |error: &Error| {
            again(error);
            self.tally.restart();
        };
        let at = retry(|error| patience.borrow_mut().until(error), attempt, again)?;
        note_sent(own, peer, now_micros(), &[(self.tally.done().0, self.name.clone())])?;
        Ok(at)
    }
}
