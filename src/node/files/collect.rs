//! Files that a peer collects because their sender cannot dial it (egoat-protocol(7), COLLECT): the sender's way to a
//! session, the door at which the peer collects, and the thread that collects what waits at a peer. It leaves out the
//! transfer, which is that of FILES.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::error::Result;
use crate::net::deadline::Deadline;
use crate::net::dial::{self, Target};
use crate::net::handshake::HANDSHAKE_TIMEOUT;
use crate::net::session::Session;
use crate::node::context::Context;
use crate::node::files::inbound;
use crate::node::files::lanes::OutgoingLane;
use crate::node::files::outbound::{self, Outgoing};
use crate::node::files::transfers::Turn;
use crate::node::roster::{CollectTurn, Contact};
use crate::node::threads;
use crate::store::peers::Peer;
use crate::transfer::source::Sources;
use crate::wire::message::{Kind, Message};

/// How long a peer that was told of files has to dial: a handshake and a half at a round trip of a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session over which files go to the contact's peer: one that we dial, or one by which the peer collects, which comes
/// first where the peer dials us for its messages.
pub fn reach(context: &Context, contact: &Contact, peer: &Peer, files: Option<&Sources>) -> Result<Outgoing> {
    let call = || contact.desk().wait(PATIENCE, || contact.ring());
    let dial = || outbound::dial(context.own(), peer, files);
    if contact.dials_in() {
        call().map_or_else(dial, Ok)
    } else {
        dial().or_else(|error| match error.is_passing() {
            true => call().ok_or(error),
            false => Err(error),
        })
    }
}

/// Says when the contact's peer is to be told that files wait for it: once for each that has come to the desk.
pub fn calls(contact: &Contact) -> impl FnMut() -> bool {
    let desk = Arc::clone(contact.desk());
    let mut told = None;
    move || {
        let call = desk.call();
        call.is_some() && std::mem::replace(&mut told, call) != call
    }
}

/// Serves a session of kind COLLECT: a thread that has files for the peer gets it.
pub fn serve(context: &Context, contact: &Contact, mut session: Session) -> Result<()> {
    session.accept()?;
    session.flush()?;
    let (over, is_over) = mpsc::channel();
    let outgoing = Outgoing::collected(session, Arc::clone(context.lanes()), over);
    match contact.desk().hand_over(outgoing) {
        Some(unwanted) => unwanted.into_session().finish(&Message::Bye),
        None => {
            // The connection has its seat until the transfer is over, and nothing is ever sent here.
            let _ = is_over.recv();
            Ok(())
        }
    }
}

/// Serves a lane that the peer has dialled to collect, once the peer has proven that its beginning was no recording.
pub fn serve_lane(lane: &OutgoingLane, mut session: Session) {
    lane.outbound.keep_closer(session.closer());
    session.set_deadline(Some(Deadline::after(HANDSHAKE_TIMEOUT)));
    let proven = session.read_as("waiting for the first message of a lane", |message| {
        (message == Message::Ping).then_some(())
    });
    session.set_deadline(None);
    if proven.is_ok() && lane.outbound.has_more() {
        lane.outbound.run_lane(session);
    }
}

/// Collects what waits for us at the contact's peer, until nothing does.
pub fn run(context: &Arc<Context>, contact: &Contact, _turn: &CollectTurn) {
    let mut is_in_vain = true;
    while let Some(peer) = contact.peer().filter(|peer| !peer.is_blocked()) {
        match collect(context, &peer) {
            Ok(true) => is_in_vain = false,
            Ok(false) => break,
            Err(error) => {
                context.trouble(error);
                break;
            }
        }
    }
    if is_in_vain && !contact.may_call_in_vain() {
        thread::sleep(PATIENCE);
    }
}

/// Collects one transfer; `false` when nothing waits, or it has failed.
fn collect(context: &Arc<Context>, peer: &Peer) -> Result<bool> {
    Ok(open(context, peer)?.is_some_and(|(session, turn)| inbound::receive(context, session, peer, turn)))
}

/// Dials the peer to collect a transfer; `None` while as many as may be come from it already.
pub fn open(context: &Context, peer: &Peer) -> Result<Option<(Session, Turn)>> {
    let profile = context.profile()?;
    let target = Target::peer(peer, None);
    let dial = || {
        dial::dial(context.own(), &target, Kind::Collect, &mut |session| session.write(&profile.message()))
    };
    let session = threads::run_apart("dial", dial)?;
    match context.transfers().begin(&session, false) {
        Some(turn) => Ok(Some((session, turn))),
        None => session.finish(&Message::Bye).map(|()| None),
    }
}
