//! The threads that dial a peer: one pushes what waits, one pulls from a peer that cannot dial us. Both try again with
//! exponential back-off and jitter, and at once when there is news.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::dial::{self, Target};
use crate::net::session::Session;
use crate::node::context::Context;
use crate::node::event::NodeEvent;
use crate::node::files::collect;
use crate::node::messages::flow::{self, FILES_WAIT, Idle, Sender, Start};
use crate::node::retry::{self, Backoff, Retry};
use crate::node::roster::{Contact, Via};
use crate::node::threads;
use crate::store::history::ReceivedMessage;
use crate::store::peers::Peer;
use crate::wire::message::{Kind, Message};

/// Longest backoff for a peer that is connected and refuses a pull because it pushes.
const MAX_PULL_BACKOFF: Duration = Duration::from_secs(30);
/// How long a peer that we have reached gets to dial us before we pull.
const PULL_WAIT: Duration = Duration::from_millis(500);

/// Pushes to the contact's peer for as long as it is one.
pub fn push(context: &Arc<Context>, contact: &Arc<Contact>) {
    let mut retry = Retry::new(0);
    while let Some(peer) = contact.wait_for_push() {
        retry.begin();
        let result = push_once(context, contact, &peer, &mut retry);
        let pause = retry.pause();
        if let Err(error) = result {
            // A peer that collects is reached, if not by us.
            if !contact.is_served() {
                retry::note_failure(context.own(), contact, &error, pause);
            }
            if retry.is_news() {
                context.trouble(error);
            }
        }
        retry.wait(contact, pause);
        retry.end();
    }
}

fn push_once(context: &Arc<Context>, contact: &Arc<Contact>, peer: &Peer, retry: &mut Retry) -> Result<()> {
    let dialled = Instant::now();
    let opening = |session: &mut Session| context.logged(flow::write_early(session, context.own()));
    let target = Target { places: contact.take_places(), ..Target::peer(peer, None) };
    let (mut session, early) = dial_peer(context, &target, Kind::Push, opening)?;
    let Some(_connection) = context.connect(contact, &session, false) else {
        return session.finish(&Message::Bye);
    };
    // While we dialled, the peer may have dialled us to collect; one of the two is enough.
    let Some(_sending) = contact.begin_sending(Via::Push, None) else { return session.finish(&Message::Bye) };
    let held = flow::read_held(&mut session)?;
    context.reached(contact)?;
    // Its address may be gone before this connection is, and then the peer collects as one that only dials in.
    let _attendance = session.features().has(FILES_WAIT).then(|| contact.desk().attend());
    let calls = collect::calls(contact);
    let start = Start { held, acknowledged: contact.acknowledged_since(dialled), early };
    let sent = send_messages(context, contact, &mut session, start, &mut retry.seen, calls);
    // It is there: if the connection is lost, it may be back in a moment. A disk that is full here is not.
    if !sent.as_ref().is_err_and(Error::is_disk_full) {
        retry.reset();
    }
    sent
}

/// Sends to the contact until the connection ends; the same for a push that we dialled and a pull that came.
/// `has_files` says when the peer is to be told that files wait for it.
pub fn send_messages(
    context: &Arc<Context>,
    contact: &Arc<Contact>,
    session: &mut Session,
    start: Start,
    seen: &mut u64,
    has_files: impl FnMut() -> bool,
) -> Result<()> {
    let label = session.label().to_owned();
    session.set_exchange(context.exchange(contact));
    let allowed = || contact.is_welcome();
    let idle = |wait| match contact.wait_for_news(seen, wait) {
        _ if !contact.is_welcome() => Idle::Stop,
        true => Idle::Look,
        false => Idle::Ping,
    };
    let delivered = |count, number| {
        contact.note_acknowledged(number);
        context.live().look();
        context.tell(NodeEvent::Delivered { peer: contact.name(&label), count, number });
    };
    let sender = Sender::new(session, context.own(), start);
    context.logged(sender.and_then(|sender| sender.run(allowed, idle, has_files, delivered)))
}

/// Pulls from the contact's peer whenever it can be dialled and does not dial us.
pub fn pull(context: &Arc<Context>, contact: &Arc<Contact>) {
    let mut backoff = Backoff::default();
    while let Some(peer) = contact.wait_for_pull(PULL_WAIT) {
        // A failure is not told: either it pushes to us after all, or it is gone, which the pushing thread tells.
        let _ = pull_once(context, contact, &peer, &mut backoff);
        thread::sleep(backoff.pause().min(MAX_PULL_BACKOFF));
    }
}

fn pull_once(
    context: &Arc<Context>,
    contact: &Arc<Contact>,
    peer: &Peer,
    backoff: &mut Backoff,
) -> Result<()> {
    if !context.may_send(contact) {
        return Ok(());
    }
    let opening = |session: &mut Session| {
        session.write(&Message::Held(context.logged(flow::held(context.own(), &peer.key))?))
    };
    let (mut session, ()) = dial_peer(context, &Target::peer(peer, None), Kind::Pull, opening)?;
    let Some(_connection) = context.connect(contact, &session, false) else {
        return session.finish(&Message::Bye);
    };
    let _receiving = contact.begin_receiving();
    *backoff = Backoff::default();
    receive_messages(context, contact, &mut session)
}

/// Receives from the contact until the connection ends; the same for a push that came and a pull that we dialled.
pub fn receive_messages(context: &Arc<Context>, contact: &Arc<Contact>, session: &mut Session) -> Result<()> {
    let label = session.label().to_owned();
    session.set_exchange(context.exchange(contact));
    let stored = |messages: Vec<ReceivedMessage>| {
        context.ring_arrival(&contact.key());
        if !messages.is_empty() {
            context.tell(NodeEvent::Received { peer: contact.name(&label), messages });
        }
    };
    let allowed = |bytes| contact.is_welcome() && context.may_store(contact, bytes);
    let files_wait = || {
        contact.note_files_wait();
        context.ring(Some(contact.key()));
    };
    context.logged(flow::receive(session, context.own(), false, allowed, stored, files_wait))
}

/// `opening` writes what goes out behind our profile, before the answer is known.
fn dial_peer<T: Default + Send>(
    context: &Arc<Context>,
    target: &Target,
    kind: Kind,
    opening: impl Fn(&mut Session) -> Result<T> + Sync,
) -> Result<(Session, T)> {
    let profile = context.profile()?;
    let dial = || {
        let mut sent = T::default();
        let session = dial::dial(context.own(), target, kind, &mut |session| {
            session.write(&profile.message())?;
            sent = opening(session)?;
            Ok(())
        })?;
        Ok((session, sent))
    };
    // In a thread of its own, as when accepting: what the handshake has touched of the stack goes back to the system.
    threads::run_apart("dial", dial)
}
