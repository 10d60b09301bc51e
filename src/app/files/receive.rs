//! Receiving one transfer, into a directory or a pipe, from a peer or from whoever gets the link.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::app::contacts::{self, INVITE_TTL, link_of};
use crate::app::link::{self, FilesTo, Listen, NodeEvent, Options};
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::net::local;
use crate::node::files::once::{EarlierGuest, OneOff};
use crate::node::files::pipe::StdoutPipe;
use crate::store::invites::Invite;
use crate::store::peers::Peer;
use crate::store::place;
use crate::store::space::KeepFree;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// Where the files of the transfer go.
pub enum Destination {
    /// To standard output, a single file.
    Stdout,
    /// Into this directory itself.
    Directory(PathBuf),
    /// Into a folder of the peer among the downloads.
    Downloads,
}

/// What is received, and from whom.
pub struct ReceiveOptions {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Where the files go.
    pub into: Destination,
    /// From this peer alone; else from the guest of a link.
    pub from: Option<Peer>,
    /// How much room is left free.
    pub keep_free: KeepFree,
    /// Files that are there already are replaced.
    pub overwrite: bool,
    /// The sender may be a stranger.
    pub accept_new: bool,
    /// Names at the top may begin with a dot.
    pub allow_dot: bool,
    /// Somebody can be asked about what is offered.
    pub asks: bool,
    /// The sender becomes a peer of this name, once its files are in place.
    pub keep: Option<String>,
    /// How long to wait for a transfer to begin.
    pub timeout: Option<Duration>,
}

/// A one-off node that waits for a transfer.
pub struct Reception {
    events: Receiver<NodeEvent>,
    once: Arc<OneOff>,
    /// Where the sender finds it.
    pub addresses: Vec<Address>,
    /// What to give to the sender, unless that is a peer.
    pub link: Option<Link>,
}

impl Reception {
    /// Starts to wait.
    pub fn start(own: &Endpoint, options: &ReceiveOptions) -> Result<Reception> {
        if own.is_hidden() && options.from.is_none() && options.listen.is_empty() {
            return Err(Error::Usage {
                what: "with a proxy, a link does not get this machine's addresses by itself".into(),
                hint: Some("name the sender with --from, or the addresses with --listen".into()),
            });
        }
        let downloads = own.home().downloads(None);
        // Before there is a link, which works for one sender.
        match (&options.into, &downloads) {
            (Destination::Directory(dir), _) | (Destination::Downloads, Ok(dir)) => {
                place::check(own.home(), dir)?
            }
            _ => {}
        }
        options.keep.as_ref().map_or(Ok(()), |name| contacts::ensure_unused(own, name))?;
        // In memory alone: nobody can use it when this process has ended.
        let invite = options
            .from
            .is_none()
            .then(|| Invite::new(options.timeout.unwrap_or(INVITE_TTL), None, Vec::new()));
        let link = |addresses| invite.as_ref().map(|invite| link_of(own, invite, addresses));
        let mut once = OneOff::new(invite.clone(), options.from.as_ref().map(|peer| peer.key));
        once.accept_new = options.accept_new;
        once.allow_dot = options.allow_dot;
        once.keeps = options.keep.is_some();
        once.asks = options.asks;
        if options.from.is_none() {
            once.earlier = EarlierGuest::all(own.home())?;
        }
        let once = Arc::new(once);
        let files_to = match &options.into {
            Destination::Stdout => FilesTo::Pipe(StdoutPipe::start()?),
            Destination::Directory(dir) => FilesTo::Flat(dir.clone()),
            Destination::Downloads => FilesTo::Folders(downloads?),
        };
        let options = Options {
            files_to,
            // Whoever starts this has asked for the files.
            max_bytes: None,
            keep_free: options.keep_free,
            overwrite: options.overwrite,
            once: Some(Arc::clone(&once)),
            ..link::default_options(options.listen.clone(), PathBuf::new())
        };
        let events = link::start(own, options)?;
        let mut listening = Vec::new();
        while let Ok(NodeEvent::Listening(at)) = events.try_recv() {
            listening.push(at);
        }
        let addresses = local::reachable_at(&listening);
        let link = link(addresses.clone());
        Ok(Reception { events, once, addresses, link })
    }

    /// Makes a peer of the sender that was shown as `sender`; `None` if it is one already.
    pub fn keep(&self, own: &Endpoint, sender: &str, name: &str) -> Result<Option<Peer>> {
        self.once.guest_named(sender).map(|guest| contacts::keep(own, guest, name)).transpose()
    }

    /// What happens next; `None` when nothing did before the deadline.
    pub fn next(&self, deadline: Option<Instant>) -> Option<NodeEvent> {
        let received = match deadline {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        received.ok()
    }
}
