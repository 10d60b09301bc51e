//! Fetching what others share (egoat-protocol(7), GET): the dialler's part of a session, by the link of a share or by the
//! name of a peer. The files land as those of a one-off receiver do: see `inbound`. It leaves out the user.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use crate::crypto::keys::InviteToken;
use crate::error::{Error, Result};
use crate::net::dial::{self, Target};
use crate::net::endpoint::Endpoint;
use crate::net::session::Session;
use crate::node::context::{Channels, Context};
use crate::node::event::NodeEvent;
use crate::node::files::inbound;
use crate::node::options::Options;
use crate::node::pairing::OwnProfile;
use crate::store::peers::Peer;
use crate::wire::link::Link;
use crate::wire::message::{Kind, MAX_PROFILE, Message};
use crate::wire::shares::{self, MAX_SHARES, ShareId, SharedFiles};

/// Events that wait for the user.
const EVENT_CAPACITY: usize = 64;

/// A link does not tell who serves it, and a command that served it has ended with it.
const MAY_BE_OVER: &str = "what `egoat share --once` shares is over once somebody has it: then ask for a new link; else \
                           `egoat serve` must run there, and its port be reachable";

/// Where something is fetched.
#[derive(Clone)]
pub enum SharedAt {
    /// By this link, whose token comes with it.
    Link(Box<Link>, InviteToken),
    /// From the peer, this share of it.
    Peer(ShareId),
}

/// What the peer shares with us.
pub fn list(own: &Endpoint, peer: &Peer) -> Result<Vec<SharedFiles>> {
    let (session, told) = dial_peer(own, peer, None)?;
    session.close_with(&Message::Bye)?;
    Ok(told)
}

/// One share on its way here, over one connection after another if need be.
pub struct Fetcher {
    context: Arc<Context>,
    sharer: Peer,
    at: SharedAt,
}

impl Fetcher {
    /// Fetches from `sharer`, which is saved or as a guest is, into the place that `options` name. The channel gives what
    /// happens until this is dropped.
    pub fn new(
        own: &Endpoint,
        options: Options,
        sharer: Peer,
        at: SharedAt,
    ) -> (Fetcher, Receiver<NodeEvent>) {
        let (events, receiver) = mpsc::sync_channel(EVENT_CAPACITY);
        // Nobody connects to this process, and nothing in it waits to be woken.
        let (turned_away, wake) = (mpsc::sync_channel(1).0, mpsc::sync_channel(1).0);
        let channels = Channels { events, turned_away, wake, hooks: None };
        let context = Arc::new(Context::new(own.clone(), options, channels, None));
        (Fetcher { context, sharer, at }, receiver)
    }

    /// Tries once, and goes on from what has arrived before; calls `found` once the sharer has let us in. TransferDone is told
    /// before the end, unless there was nothing to be fetched.
    pub fn attempt(&self, found: impl FnOnce()) -> Result<()> {
        let (context, sharer) = (&self.context, &self.sharer);
        let session = match &self.at {
            SharedAt::Link(link, token) => dial_link(context.own(), link, token, &sharer.name)?,
            SharedAt::Peer(id) => dial_peer(context.own(), sharer, Some(id))?.0,
        };
        found();
        let busy = || Error::Busy { peer: sharer.name.clone(), why: dial::TOO_MANY_FETCH };
        let turn = context.transfers().begin(&session, false).ok_or_else(busy)?;
        inbound::take(context, session, sharer, &Arc::new(turn)).map(drop)
    }

    /// There is no use in another try.
    pub fn give_up(&self, error: Error) {
        self.context.tell(NodeEvent::TransferFailed { peer: self.sharer.name.clone(), error });
    }
}

/// Under a key that tells nobody who we are, and without a name.
fn dial_link(own: &Endpoint, link: &Link, token: &InviteToken, label: &str) -> Result<Session> {
    let own = own.disguised(own.getter_keys(&token.invite_id()));
    let target = Target { token: Some(token), ..Target::stranger(link.key, &link.addresses, label) };
    let profile = Message::Profile { name: "", port: 0, time: 0 };
    dial::dial(&own, &target, Kind::Get, &mut |session| session.write(&profile)).map_err(
        |error| match error {
            Error::Unreachable { peer, why } => {
                Error::Unreachable { peer, why: why.with_hint(MAY_BE_OVER.into()) }
            }
            other => other,
        },
    )
}

/// Hears what the peer shares with us, and says which of it is wanted. Without any, the session is at its end.
fn dial_peer(own: &Endpoint, peer: &Peer, wanted: Option<&ShareId>) -> Result<(Session, Vec<SharedFiles>)> {
    let profile = OwnProfile::new(own)?;
    let mut opening = |session: &mut Session| session.write(&profile.message());
    let mut session = dial::dial(own, &Target::peer(peer, None), Kind::Get, &mut opening)?;
    session.take_bodies(MAX_SHARES);
    let mut told = Vec::new();
    loop {
        let more = session.read_as("waiting to hear what it shares", |message| match message {
            Message::Shares(body) => Some(shares::decode(body, &mut told)),
            _ => None,
        })?;
        match more {
            Ok(true) => {}
            Ok(false) => break,
            Err(malformed) => return Err(session.broken(format!("{} in SHARES", malformed.0))),
        }
    }
    session.take_bodies(MAX_PROFILE);
    session.send(&Message::Want(&shares::encode_wanted(wanted)))?;
    Ok((session, told))
}
