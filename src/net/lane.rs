//! Lanes on streams: further connections of a session that is there already (egoat-protocol(7), LANES). It leaves
//! out tickets and their lifetime.

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::handshake::PREAMBLE_LEN;
use crate::crypto::keys::PublicKey;
use crate::crypto::lane::{self, Lane, LaneInitiator, MESSAGE_LEN, TICKET_LEN};
use crate::error::{Error, Result, reason};
use crate::net::deadline::Deadline;
use crate::net::handshake::{HANDSHAKE_TIMEOUT, Opening, closed, cut_short, lane_preamble};
use crate::net::session::{Binding, Session};
use crate::net::transport::route::{Obstacle, Route};
use crate::net::transport::{Closer, Stream};
use crate::wire::features::Features;

/// The session has just come to this address, so a lane does, or is done without.
const LANE_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The session that lanes belong to, as either end knows it.
pub struct Parent {
    /// What binds them to it.
    pub binding: Binding,
    /// The session's peer.
    pub peer: PublicKey,
    /// What it is called in errors.
    pub label: String,
    /// What both ends of it set, as far as that holds on a lane.
    features: Features,
}

impl Parent {
    /// Of a session.
    pub fn of(session: &Session) -> Parent {
        let Binding { export, handshake_hash } = *session.binding();
        let binding = Binding { export, handshake_hash };
        let features = session.features().shared(Features::PROGRESS);
        Parent { binding, peer: session.peer(), label: session.label().to_owned(), features }
    }

    fn lane<'a>(
        &'a self,
        preamble: &'a [u8; PREAMBLE_LEN],
        ticket: &'a [u8; TICKET_LEN],
        index: u8,
    ) -> Lane<'a> {
        let Binding { export, handshake_hash } = &self.binding;
        Lane { preamble, ticket, index, handshake_hash, export }
    }
}

/// Dials the lane `index` of a ticket, by the way that the session came. `connected` gets a closer before anything
/// passes over the stream, to end a lane that is not wanted any more.
pub fn dial(
    route: &Route,
    parent: &Parent,
    ticket: &[u8; TICKET_LEN],
    index: u8,
    connected: impl FnOnce(Closer),
) -> Result<Session> {
    let unreachable = |why: String| Error::Unreachable { peer: parent.label.clone(), why: why.into() };
    let network = |cause: std::io::Error| unreachable(reason(&cause));
    let deadline = Deadline::after(HANDSHAKE_TIMEOUT);
    let no_way = |obstacle: Obstacle| obstacle.error(parent.label.clone());
    let stream = route.open_again(LANE_CONNECT_TIMEOUT).map_err(no_way)?;
    connected(stream.closer());
    route.pass(&stream, deadline).map_err(no_way)?;
    let preamble = lane_preamble();
    let failed = |_| unreachable("the lane's handshake failed".into());
    let (state, first) = LaneInitiator::start(&parent.lane(&preamble, ticket, index)).map_err(failed)?;
    let opening = [preamble.as_slice(), ticket, &[index], &first].concat();
    deadline.write_all(stream.socket(), &opening).map_err(network)?;
    let mut second = [0; MESSAGE_LEN];
    deadline.read_exact(stream.socket(), &mut second).map_err(|short| network(short.cause))?;
    let established = state.finish(&second).map_err(failed)?;
    Session::new(stream, parent.peer, parent.label.clone(), parent.features, established)
}

/// Accepts a lane. `find` gives the session of a ticket that is good for this lane, and how to use it up: that happens
/// once message 1 has proven that the dialler has the ticket's secret. `None` when that fails, since it happened before
/// or all is over: a friend may have been late.
pub fn respond<C, F: FnOnce() -> Option<C>>(
    stream: Stream,
    opening: &Opening,
    find: impl FnOnce(&[u8; TICKET_LEN], u8) -> Option<(Arc<Parent>, F)>,
) -> Result<Option<(Session, C)>> {
    let Opening { preamble, deadline, first_deadline } = opening;
    let mut ticket = [0; TICKET_LEN];
    let mut index = [0];
    let mut first = [0; MESSAGE_LEN];
    first_deadline.read_exact(stream.socket(), &mut ticket).map_err(cut_short)?;
    first_deadline.read_exact(stream.socket(), &mut index).map_err(cut_short)?;
    let [index] = index;
    let (parent, take_lane) = find(&ticket, index).ok_or_else(|| closed("a ticket that is not good"))?;
    first_deadline.read_exact(stream.socket(), &mut first).map_err(cut_short)?;

    let lane = parent.lane(preamble, &ticket, index);
    let (second, established) =
        lane::accept(&lane, &first).map_err(|_| closed("message 1 of a lane does not authenticate"))?;
    let Some(taken) = take_lane() else { return Ok(None) };
    deadline.write_all(stream.socket(), &second).map_err(|_| closed("it does not read"))?;
    let session = Session::new(stream, parent.peer, parent.label.clone(), parent.features, established)?;
    Ok(Some((session, taken)))
}
