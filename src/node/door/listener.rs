//! Accepting: a thread per connection, its handshake, and what each connection is for.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::keys::INVITE_ID_LEN;
use crate::crypto::noise::DH_LEN;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::handshake::{self, AcceptedSession, HANDSHAKE_TIMEOUT, Opening};
use crate::net::lane;
use crate::net::session::Session;
use crate::net::transport::{Listener, Stream};
use crate::node::context::Context;
use crate::node::door::admission::{PendingSlot, Seat, TurnedAway};
use crate::node::event::NodeEvent;
use crate::node::files::lanes::Lane;
use crate::node::files::shares::GuestLane;
use crate::node::files::{collect, inbound, sharing};
use crate::node::messages::dialler::{receive_messages, send_messages};
use crate::node::messages::flow::{self, FILES_WAIT, Start};
use crate::node::pairing::visit;
use crate::node::pairing::{self, Admittance, Profile, Rules, Visitor};
use crate::node::roster::{Contact, Via};
use crate::node::threads;
use crate::store::invites;
use crate::store::peers::Peer;
use crate::wire::features::Features;
use crate::wire::message::{Kind, Message, Refusal};

/// The pause after accept() has failed for want of descriptors or memory.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Those who are turned away are left waiting for so long: who comes again at once comes less often so.
const CLOSE_DELAY: Duration = Duration::from_millis(100);

/// Accepts for ever.
pub fn accept(context: &Arc<Context>, listener: &Listener) {
    loop {
        match listener.accept() {
            Ok(stream) => start(context, stream),
            // The connection was gone before it was ours.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionAborted => {}
            // EMFILE, ENFILE, ENOMEM: descriptors come back as connections end.
            Err(_) => {
                context.admission().run_short();
                thread::sleep(RETRY_PAUSE);
            }
        }
    }
}

/// Closes those who were turned away, each at its time.
pub fn close_later(turned_away: &Receiver<TurnedAway>) {
    for (time, stream) in turned_away {
        thread::sleep(time.saturating_duration_since(Instant::now()));
        drop(stream);
    }
}

/// A thread for the connection; without one, the connection is closed, and nothing more.
fn start(context: &Arc<Context>, stream: Stream) {
    if let Some(slot) = context.admission().admit(&stream) {
        let (served, accepted) = (Arc::clone(context), stream.clone());
        if threads::spawn("handshake", move || shake_hands(&served, accepted, slot)).is_ok() {
            return;
        }
        context.admission().run_short();
    }
    // If too many wait for that already, it is closed now.
    let _ = context.turned_away().try_send((Instant::now() + CLOSE_DELAY, stream));
}

/// A stranger's failed handshake is not worth a word.
fn shake_hands(context: &Arc<Context>, stream: Stream, slot: PendingSlot) {
    let opening = match Opening::read(&stream) {
        Ok(opening) => opening,
        Err(error) => return slot.fail(&error),
    };
    if opening.is_lane() {
        return start_lane(context, stream, &opening, slot);
    }
    let once = context.options().once.as_ref();
    let find_token = |id: &[u8; INVITE_ID_LEN]| {
        let of_node = || Some(invites::find(context.own().home(), id).ok()??.token);
        let token = once.and_then(|once| once.token(id)).or_else(of_node);
        let token = token.or_else(|| context.shares().token(id));
        let news = once.filter(|_| token.is_none()).and_then(|once| once.news_of_another_link());
        news.into_iter().for_each(|news| context.trouble(Error::failed(news)));
        token
    };
    let usual =
        if context.options().waiting.is_some() { Features::ONE_OFF_ACCEPTOR } else { Features::ACCEPTOR };
    let features = |invite: Option<&_>| once.map_or(usual, |once| once.features(invite));
    let may_look = |ephemeral: &[u8; DH_LEN]| slot.may_look(ephemeral);
    let may_answer = |ephemeral: &[u8; DH_LEN]| slot.may_answer(ephemeral);
    let keys = context.own().keys();
    let accepted =
        match handshake::respond(stream, &opening, keys, find_token, features, may_look, may_answer) {
            Ok(accepted) => accepted,
            // Who only wanted to know the key has it.
            Err(Error::Lost { .. }) if opening.asks_key() => return,
            Err(error) => return slot.fail(&error),
        };
    // In a thread of its own, if there is one: the handshake has touched a hundred KiB of this one's stack, which an idle
    // connection must not keep.
    let proven = Arc::new(Mutex::new(Some((accepted, slot))));
    let (served, connection) = (Arc::clone(context), Arc::clone(&proven));
    if threads::spawn("session", move || serve_proven(&served, &connection)).is_err() {
        serve_proven(context, &proven);
    }
}

fn serve_proven(context: &Arc<Context>, proven: &Mutex<Option<(AcceptedSession, PendingSlot)>>) {
    let taken = proven.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    let Some((accepted, slot)) = taken else { return };
    if let Err(error) = receive(context, accepted, slot) {
        context.trouble(error);
    }
}

/// The place of a lane, for as long as this is there: among the connections of peers, or among those of who fetches by a
/// link.
type LanePlace = (Option<Seat>, Option<GuestLane>);

/// A lane goes on in this thread: its handshake is small, and it will not be idle. Without a seat for it there is no answer,
/// so that its dialler does without; what it sent over a lane that ends would be missing, and end the transfer.
fn start_lane(context: &Arc<Context>, stream: Stream, opening: &Opening, slot: PendingSlot) {
    let lanes = context.lanes();
    let slot = Cell::new(Some(slot));
    let begin = || {
        let unseated = slot.take();
        unseated.iter().for_each(PendingSlot::begin);
        slot.set(unseated);
    };
    let seat = |peer| -> Option<LanePlace> {
        let unseated = slot.take()?;
        if context.shares().has_guest(&peer) {
            return Some((None, Some(context.shares().begin_lane()?)));
        }
        unseated.seat(peer).map_err(|unseated| slot.set(Some(unseated))).ok().map(|seat| (Some(seat), None))
    };
    let accepted = lane::respond(stream, opening, |name, index| {
        let name = *name;
        let found = lanes.find(&name, index)?;
        begin();
        let peer = found.peer;
        Some((found, move || Some((seat(peer)?, lanes.take(&name, index)?))))
    });
    match (accepted, slot.take()) {
        (Ok(Some((mut session, (_seat, Lane::In(lane))))), _) => lane.run(&mut session),
        (Ok(Some((session, (_seat, Lane::Out(lane))))), _) => collect::serve_lane(&lane, session),
        (Err(error), Some(slot)) => slot.fail(&error),
        _ => {}
    }
}

/// Receives a proven connection: who it is, and whether it is welcome. What goes wrong before that is known is a stranger's
/// failure, and not worth a word either.
fn receive(context: &Arc<Context>, accepted: AcceptedSession, slot: PendingSlot) -> Result<()> {
    let AcceptedSession { mut session, kind, invite, answered } = accepted;
    session.set_deadline(Some(Deadline::after(HANDSHAKE_TIMEOUT)));
    let profile = match Profile::read(&mut session) {
        Ok(profile) => profile,
        Err(error) => {
            slot.fail(&error);
            return Ok(());
        }
    };
    session.set_deadline(None);
    if kind == Kind::Nearby {
        return visit::serve(context, session, &profile, invite.is_some(), slot);
    }
    if context.options().waiting.is_some() {
        slot.turn_away(None);
        return refuse(session, slot, Refusal::Unsupported);
    }
    if let Some(id) = invite.filter(|id| kind == Kind::Get || context.shares().token(id).is_some()) {
        return serve_getter(context, session, kind, &id, slot);
    }
    if invite.is_some() && kind != Kind::Pair {
        slot.turn_away(None);
        return refuse(session, slot, Refusal::Unsupported);
    }
    let home = context.own().home();
    let once = context.options().once.as_ref();
    let invite = match (invite, invite.and_then(|id| once?.invite_of(&id))) {
        (_, Some(own)) => Some(own.clone()),
        (Some(id), None) => invites::find(home, &id)?,
        (None, None) => None,
    };
    let visitor = Visitor { key: session.peer(), profile: &profile, invite: invite.as_ref() };
    let judged = once.map_or(Ok(None), |once| once.judge(home, &visitor))?;
    let rules = Rules {
        accepts_new: context.options().accept_new,
        may_add: &|| slot.may_add(),
        may_note: &|| context.admission().may_note(),
        may_move: &|peer| context.roster().get(peer).is_none_or(|contact| contact.may_move()),
    };
    let judge = || pairing::judge(home, &visitor, &rules);
    let peer = match judged.map_or_else(judge, Ok)? {
        Admittance::Peer(peer) => peer,
        Admittance::Added(peer) => {
            context.tell(NodeEvent::Paired { peer: peer.name.clone(), fingerprint: peer.key.fingerprint() });
            peer
        }
        Admittance::Refused { refusal, noted } => {
            if noted {
                let name = profile.name.unwrap_or_else(|| "stranger".into());
                context.tell(NodeEvent::Request { name, fingerprint: session.peer().fingerprint() });
            }
            slot.turn_away((refusal == Refusal::Blocked).then(|| session.peer()).as_ref());
            return refuse(session, slot, refusal);
        }
    };
    session.set_label(&peer.name);
    context.refresh_roster()?;
    match slot.seat(peer.key) {
        Ok(_seat) => serve(context, session, kind, &peer, answered),
        Err(slot) => refuse(session, slot, Refusal::Busy),
    }
}

/// Serves somebody with the link of a share, who becomes no peer, takes no seat of one, and is not noted.
fn serve_getter(
    context: &Arc<Context>,
    session: Session,
    kind: Kind,
    id: &[u8; INVITE_ID_LEN],
    slot: PendingSlot,
) -> Result<()> {
    match context.shares().judge(id, kind, session.peer())? {
        Ok(fetching) => {
            drop(slot);
            sharing::serve_guest(context, session, &fetching)
        }
        Err(refusal) => {
            slot.turn_away(None);
            refuse(session, slot, refusal)
        }
    }
}

/// Says why not. Its place is taken until it has read that; if it does not care to, nobody else does.
fn refuse(session: Session, slot: PendingSlot, why: Refusal) -> Result<()> {
    let _ = session.finish(&Message::Refused(why));
    drop(slot);
    Ok(())
}

/// Serves a peer's connection.
fn serve(context: &Arc<Context>, session: Session, kind: Kind, peer: &Peer, answered: Instant) -> Result<()> {
    match kind {
        Kind::Pair => pair(context, session),
        // Served before it was known who dials.
        Kind::Nearby => session.finish(&Message::Refused(Refusal::Unknown)),
        Kind::Push | Kind::Pull | Kind::Collect | Kind::Get if !context.options().has_messages() => {
            session.finish(&Message::Refused(Refusal::Unsupported))
        }
        Kind::Push => serve_push(context, session, peer),
        Kind::Pull => serve_pull(context, session, peer, answered),
        Kind::Files if context.shares().is_alone() => session.finish(&Message::Refused(Refusal::Unsupported)),
        Kind::Files => inbound::serve(context, session, peer),
        Kind::Get => sharing::serve_peer(context, session, peer),
        Kind::Collect => {
            contact(context, peer).and_then(|contact| collect::serve(context, &contact, session))
        }
    }
}

fn pair(context: &Arc<Context>, mut session: Session) -> Result<()> {
    session.accept()?;
    session.write(&context.profile()?.answer())?;
    session.set_deadline(Some(Deadline::after(HANDSHAKE_TIMEOUT)));
    session.flush()?;
    session.read_as("waiting for its goodbye", |message| (message == Message::Bye).then_some(()))
}

fn contact(context: &Arc<Context>, peer: &Peer) -> Result<Arc<Contact>> {
    // It was taken out of the peers file just now.
    let gone =
        || Error::Refused { peer: peer.name.clone(), why: "it is no peer any more".into(), hint: None };
    context.roster().get(&peer.key).ok_or_else(gone)
}

fn serve_push(context: &Arc<Context>, mut session: Session, peer: &Peer) -> Result<()> {
    let contact = contact(context, peer)?;
    let Some(_connection) = context.connect(&contact, &session, true) else {
        return session.finish(&Message::Refused(Refusal::Busy));
    };
    if !context.may_send(&contact) {
        return session.finish(&Message::Refused(Refusal::Busy));
    }
    let _receiving = contact.begin_receiving();
    let held = match context.logged(flow::held(context.own(), &peer.key)) {
        Err(error) if error.is_disk_full() => {
            context.trouble(error);
            return session.finish(&Message::Refused(Refusal::Busy));
        }
        held => held?,
    };
    session.accept()?;
    session.send(&Message::Held(held))?;
    flow::receive_early(&mut session, held)?;
    receive_messages(context, &contact, &mut session)
}

fn serve_pull(context: &Arc<Context>, mut session: Session, peer: &Peer, answered: Instant) -> Result<()> {
    let contact = contact(context, peer)?;
    let Some(_connection) = context.connect(&contact, &session, true) else {
        return session.finish(&Message::Refused(Refusal::Busy));
    };
    let Some(_sending) = contact.begin_sending(Via::Pull, Some(session.closer())) else {
        return session.finish(&Message::Refused(Refusal::Busy));
    };
    context.reached(&contact)?;
    session.accept()?;
    session.flush()?;
    let held = flow::read_held(&mut session)?;
    let mut calls = collect::calls(&contact);
    // A command that fetches is gone after the first sign of life: it must hear of queued files before that.
    let mut are_queued = context.own().read_queued_files(&peer.key).has_waiting().unwrap_or(false);
    let mut has_files = || {
        let is_called = calls();
        std::mem::take(&mut are_queued) || is_called
    };
    let _attendance = session
        .features()
        .has(FILES_WAIT)
        .then(|| (contact.desk().attend(), context.live().begin_collecting(peer.key)));
    // The thread with the files may have looked before the peer could be told.
    contact.ring();
    let start = Start { held, acknowledged: contact.acknowledged_since(answered), early: Vec::new() };
    send_messages(context, &contact, &mut session, start, &mut 0, &mut has_files)
}
