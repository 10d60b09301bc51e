//! The threads that dial a peer: one pushes what waits, one pulls from a peer that cannot dial us. Both try again with
//! exponential back-off and jitter, and at once when there is news (DESIGN section 1).

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::error::Result;
use crate::net::dial::{self, Target};
use crate::net::session::Session;
use crate::node::event::Event;
use crate::node::flow::{self, Idle, Sender};
use crate::node::retry::{Backoff, Retry};
use crate::node::roster::{Contact, Via};
use crate::node::running::Shared;
use crate::store::history::Numbered;
use crate::store::peers::Peer;
use crate::wire::message::{Kind, Message};

/// A peer that is there, and refuses a pull because it pushes, is asked again after this at the latest.
const LONGEST_PULL_PAUSE: Duration = Duration::from_secs(30);
/// A peer that can dial us does so within this once we have reached it.
const ITS_TURN: Duration = Duration::from_millis(500);

/// Pushes to the contact's peer for as long as it is one.
pub fn push(shared: &Arc<Shared>, contact: &Arc<Contact>) {
    let mut retry = Retry::new(0);
    while let Some(peer) = contact.wait_for_push() {
        retry.begin();
        let result = push_once(shared, contact, &peer, &mut retry);
        let pause = retry.pause();
        if let Err(error) = result {
            // A peer that collects is reached, if not by us.
            if !contact.is_served() {
                retry.note(shared, contact, &peer, &error, pause);
            }
            retry.tell(shared, error);
        }
        retry.wait(contact, pause);
        retry.end();
    }
}

fn push_once(shared: &Arc<Shared>, contact: &Arc<Contact>, peer: &Peer, retry: &mut Retry) -> Result<()> {
    let mut session = dial_peer(shared, peer, Kind::Push, None)?;
    let Some(_connection) = shared.connect(contact, &peer.name, false) else {
        return session.finish(&Message::Bye);
    };
    // While we dialled, the peer may have dialled us to collect; one of the two is enough.
    let Some(_sending) = contact.begin_sending(Via::Push, None) else { return session.finish(&Message::Bye) };
    let held = flow::read_held(&mut session)?;
    // It is there: if the connection is lost, it may be back in a moment.
    retry.reset();
    shared.reached(contact)?;
    send_messages(shared, contact, &mut session, held, &mut retry.seen)
}

/// Sends to the contact until the connection ends; the same for a push that we dialled and a pull that came.
pub fn send_messages(
    shared: &Arc<Shared>,
    contact: &Contact,
    session: &mut Session,
    held: u64,
    seen: &mut u64,
) -> Result<()> {
    let label = session.label().to_owned();
    let allowed = || contact.is_welcome();
    let idle = |wait| match contact.wait_for_news(seen, wait) {
        _ if !contact.is_welcome() => Idle::Stop,
        true => Idle::Look,
        false => Idle::Ping,
    };
    let delivered = |count, number| {
        shared.doorbell().ring_back();
        shared.tell(Event::Delivered { peer: contact.name(&label), count, number });
    };
    let sender = Sender::new(session, shared.own(), held);
    shared.logged(sender.and_then(|sender| sender.run(allowed, idle, delivered)))
}

/// Pulls from the contact's peer whenever it can be dialled and does not dial us.
pub fn pull(shared: &Arc<Shared>, contact: &Arc<Contact>) {
    let mut backoff = Backoff::default();
    while let Some(peer) = contact.wait_for_pull(ITS_TURN) {
        // A failure is not told: either it pushes to us after all, or it is gone, which the pushing thread tells.
        let _ = pull_once(shared, contact, &peer, &mut backoff);
        thread::sleep(backoff.pause().min(LONGEST_PULL_PAUSE));
    }
}

fn pull_once(shared: &Arc<Shared>, contact: &Arc<Contact>, peer: &Peer, backoff: &mut Backoff) -> Result<()> {
    let held = shared.logged(flow::held(shared.own(), &peer.key))?;
    let mut session = dial_peer(shared, peer, Kind::Pull, Some(Message::Held(held)))?;
    let Some(_connection) = shared.connect(contact, &peer.name, false) else {
        return session.finish(&Message::Bye);
    };
    let _receiving = contact.begin_receiving();
    *backoff = Backoff::default();
    receive_messages(shared, contact, &mut session)
}

/// Receives from the contact until the connection ends; the same for a push that came and a pull that we dialled.
pub fn receive_messages(shared: &Arc<Shared>, contact: &Contact, session: &mut Session) -> Result<()> {
    let label = session.label().to_owned();
    let stored = |messages: Vec<Numbered>| {
        shared.ring_arrival(&contact.key());
        for (number, text) in messages {
            shared.tell(Event::Received { peer: contact.name(&label), number, text });
        }
    };
    shared.logged(flow::receive(session, shared.own(), false, || contact.is_welcome(), stored))
}

fn dial_peer(shared: &Arc<Shared>, peer: &Peer, kind: Kind, then: Option<Message>) -> Result<Session> {
    let profile = shared.profile()?;
    let opening: Vec<Message> = [profile.message()].into_iter().chain(then).collect();
    let target = Target::peer(peer, None);
    // In a thread of its own, as when accepting: what the handshake has touched of the stack goes back to the system.
    shared.run_apart(|| dial::dial(shared.own(), &target, kind, &opening))
}
