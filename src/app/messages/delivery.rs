//! Delivery by a front-end: through the node that runs, or by itself when none does.

use std::cell::Cell;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::app::link::bell::Bell;
use crate::app::link::{self, LOG_POLL_INTERVAL};
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::dial::{self, Target};
use crate::net::endpoint::Endpoint;
use crate::net::session::Session;
use crate::net::transport::Closer;
use crate::node::files::collect_once::{self, Collected};
use crate::node::files::queued;
use crate::node::messages::flow::{self, Idle, Sender, Start};
use crate::node::pairing::OwnProfile;
use crate::node::room::Room;
use crate::node::threads;
use crate::store::attempts;
use crate::store::history::History;
use crate::store::home::{Home, Own};
use crate::store::node_lock::{self, DeliveryLock, FetchLock, NoNodeLock};
use crate::store::outbox::{Outbox, QueuedMessage};
use crate::store::peers::Peer;
use crate::store::space::KeepFree;
use crate::wire::message::{Kind, Message};

/// Without `--wait`: how long a running node has before the message is reported as queued.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);
/// Without `--wait`: how long one try to reach the peer, at all its addresses, may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The same through a proxy, which may need time to build a route.
const PROXIED_TRY_TIMEOUT: Duration = Duration::from_secs(40);
/// How long one connection may last, so that other commands which deliver to the peer get their turn. The rest goes over the
/// next one.
const MAX_CONNECTION: Duration = Duration::from_secs(20);
/// How long `fetch` collects from one peer: a peer who goes on talking must not keep it from the others.
const MAX_COLLECTING: Duration = Duration::from_secs(600);
/// With `--wait`: the pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// While messages flow: how often to look whether a node wants to start.
const STARTING_POLL: Duration = Duration::from_millis(200);
/// How often the outbox is read while another process delivers to the peer.
const OUTBOX_POLL: Duration = Duration::from_millis(20);

/// How a delivery ended.
pub enum DeliveryOutcome {
    /// It is on the peer's disk.
    Delivered,
    /// It waits in the outbox: why, as far as is known.
    Queued(String),
    /// It is not sent any more: it was cancelled, or its time was over.
    Dropped,
}

/// What is to come to the peer.
#[derive(Clone, Copy)]
pub enum Goal {
    /// One message, unless it is dropped.
    Only(u64),
    /// All messages up to this one, also if it is dropped itself.
    UpTo(u64),
}

/// Sees messages to the peer. Waits as long as `wait`, or makes one try.
pub fn deliver(
    own: &Endpoint,
    peer: &Peer,
    outbox: &mut Outbox,
    goal: Goal,
    wait: Option<Duration>,
) -> Result<DeliveryOutcome> {
    let (Goal::Only(number) | Goal::UpTo(number)) = goal;
    let mut bell = Bell::new(own.home(), Some(peer.key));
    let started = Instant::now();
    let deadline = wait.map_or_else(|| one_try(own), Deadline::after);
    let mut tries = Tries::default();
    let mut seen = 0;
    while !outbox.is_settled(number)? {
        if matches!(goal, Goal::Only(_)) && is_newly_dropped(outbox, number, &mut seen)? {
            break;
        }
        let Some(left) = deadline.remaining() else {
            return not_in_time(own, peer, outbox, number, tries);
        };
        if bell.ring()? {
            if let Some(attempt) = attempts::last(own.home(), &peer.key) {
                if wait.is_none() {
                    return Ok(DeliveryOutcome::Queued(attempt.reason));
                }
                tries.why = Some(attempt.reason);
            }
            if wait.is_none() && started.elapsed() > NODE_TIMEOUT {
                return Ok(DeliveryOutcome::Queued("the node here has not reached it yet".into()));
            }
            bell.wait(left.min(LOG_POLL_INTERVAL))?;
            continue;
        }
        let Some(lock) = DeliveryLock::take(own.home(), &peer.key)? else {
            bell.wait(left.min(OUTBOX_POLL))?;
            continue;
        };
        let turn = Deadline::after(MAX_CONNECTION);
        let end = if wait.is_some() { turn.min(deadline) } else { turn };
        let result = deliver_once(own, peer, outbox, (deadline, end), &mut 0);
        // Not through the pause: others may deliver meanwhile.
        drop(lock);
        match result {
            Ok(Turn::Done | Turn::NodeStarts) => {}
            Err(error @ (Error::Disk { .. } | Error::Locked { .. } | Error::Corrupt { .. })) => {
                return Err(error);
            }
            Err(error @ Error::ChangedKey { .. }) if wait.is_none() => return Err(error),
            Err(error) if wait.is_none() => return Ok(DeliveryOutcome::Queued(error.to_string())),
            Err(error) => {
                tries.failed(own, error);
                bell.wait(left.min(RETRY_PAUSE))?;
            }
        }
    }
    unless_dropped(own, peer, outbox, number, DeliveryOutcome::Delivered)
}

/// The outcome when the wait is over: the message stays queued, unless each address of the peer had another key.
fn not_in_time(
    own: &Endpoint,
    peer: &Peer,
    outbox: &mut Outbox,
    number: u64,
    tries: Tries,
) -> Result<DeliveryOutcome> {
    let why = tries.why.unwrap_or_else(|| why_untried(own, peer));
    match (unless_dropped(own, peer, outbox, number, DeliveryOutcome::Queued(why))?, tries.changed_key) {
        (DeliveryOutcome::Queued(_), Some(error)) => Err(error),
        (outcome, _) => Ok(outcome),
    }
}

/// Why no try was made in the time there was.
fn why_untried(own: &Own, peer: &Peer) -> String {
    match node_lock::deliverer(own.home(), &peer.key) {
        Some(process) => {
            format!("process {process} here delivers to it; if that was stopped: `kill -CONT {process}`")
        }
        None => "it was not reached yet".into(),
    }
}

/// How the tries so far ended.
#[derive(Default)]
struct Tries {
    /// The last one.
    why: Option<String>,
    /// One at which a node with another key answered at each address: later it may keep us out, as handshakes that fail
    /// are held against us.
    changed_key: Option<Error>,
    has_told_key: bool,
}

impl Tries {
    /// Tells the user once that somebody else answers. The peer may be at another address, or come back to this one.
    fn failed(&mut self, own: &Own, error: Error) {
        self.why = Some(error.to_string());
        let Error::ChangedKey { elsewhere, .. } = &error else { return };
        if !std::mem::replace(&mut self.has_told_key, true) {
            own.report(&format!("{error}; trying its addresses again"));
        }
        match elsewhere {
            Some(why) => self.why = Some(why.to_string()),
            None => self.changed_key = Some(error),
        }
    }
}

/// Whether it is among those that were dropped since there were `seen` of them: to find out takes a look at the whole file.
fn is_newly_dropped(outbox: &mut Outbox, number: u64, seen: &mut u32) -> Result<bool> {
    let dropped = outbox.count_dropped()?;
    Ok(std::mem::replace(seen, dropped) != dropped && outbox.is_dropped(number)? == Some(true))
}

/// What is dropped is settled as well, but it is not delivered.
fn unless_dropped(
    own: &Own,
    peer: &Peer,
    outbox: &mut Outbox,
    number: u64,
    outcome: DeliveryOutcome,
) -> Result<DeliveryOutcome> {
    let is_dropped = match outbox.is_dropped(number)? {
        Some(is_dropped) => is_dropped,
        None => History::was_dropped(own.read_history(peer.conversation()), number)?,
    };
    Ok(if is_dropped { DeliveryOutcome::Dropped } else { outcome })
}

fn one_try(own: &Endpoint) -> Deadline {
    Deadline::after(if own.proxy().is_some() { PROXIED_TRY_TIMEOUT } else { TRY_TIMEOUT })
}

/// What a visit to a peer moved.
#[derive(Default)]
pub struct Fetched {
    /// Messages that are on the peer's disk now.
    pub delivered: usize,
    /// Messages that are on this disk now.
    pub received: usize,
    /// Queued files, jobs of them, that are in place there now.
    pub files: usize,
    /// Transfers of the peer that are in place here now.
    pub collected: usize,
    /// Why other files are not, or not all messages were collected.
    pub troubles: Vec<Error>,
    /// What others do or have to do, which is no failure.
    pub notes: Vec<String>,
}

/// Delivers what waits for the peer, and collects what waits there; for when no node runs. Files come last: they may take
/// long.
pub fn fetch(own: &Endpoint, peer: &Peer) -> Result<Fetched> {
    let mut fetched = Fetched::default();
    push_messages(own, peer, &mut fetched)?;
    pull(own, peer, &mut fetched)?;
    push_files(own, peer, &mut fetched)?;
    Ok(fetched)
}

/// Delivers the messages and files that wait for the peer.
pub fn push_all(own: &Endpoint, peer: &Peer) -> Result<Fetched> {
    let mut fetched = Fetched::default();
    push_messages(own, peer, &mut fetched)?;
    push_files(own, peer, &mut fetched)?;
    Ok(fetched)
}

/// Collects the messages that wait at the peer, and its files if it says that some do.
/// Another process that does has its turn, for at most `MAX_CONNECTION`.
fn pull(own: &Endpoint, peer: &Peer, fetched: &mut Fetched) -> Result<()> {
    let turn_of_other = Deadline::after(MAX_CONNECTION);
    let _lock = loop {
        if let Some(lock) = FetchLock::take(own.home(), &peer.key)? {
            break lock;
        }
        if turn_of_other.remaining().is_none() {
            let other = process(node_lock::fetcher(own.home(), &peer.key));
            fetched.notes.push(format!("{other} collects from {} just now", peer.name));
            return Ok(());
        }
        thread::sleep(OUTBOX_POLL);
    };
    let profile = OwnProfile::at_port(own, 0)?;
    let by = one_try(own);
    let mut session = dial::dial(own, &Target::peer(peer, Some(by)), Kind::Pull, &mut |session| {
        session.write(&profile.message())?;
        session.write(&Message::Held(flow::held(own, &peer.key)?))
    })?;
    let end = Deadline::after(MAX_COLLECTING);
    let room = Room::new(own.home().dir(), KeepFree::default());
    let shortage = Cell::new(None);
    let goes_on = |bytes| match room.take(&peer.key, &peer.name, bytes as u64) {
        Ok(()) => end.remaining().is_some(),
        Err(news) => {
            shortage.set(news);
            false
        }
    };
    let files_wait = Cell::new(false);
    let received = |messages: Vec<_>| fetched.received += messages.len();
    flow::receive(&mut session, own, true, goes_on, received, || files_wait.set(true))?;
    fetched.troubles.extend(shortage.take());
    if files_wait.get() {
        pull_files(own, peer, session, &room, fetched)?;
    }
    Ok(())
}

/// Collects the files that wait at the peer. The session stays meanwhile, because by it the peer knows that somebody
/// collects, and so do the messages that come over it.
fn pull_files(
    own: &Endpoint,
    peer: &Peer,
    mut session: Session,
    room: &Room,
    fetched: &mut Fetched,
) -> Result<()> {
    let options = link::default_options(Vec::new(), own.home().downloads(None)?);
    let closer = session.closer();
    let end = Deadline::after(MAX_COLLECTING);
    let has_room = |bytes| room.take(&peer.key, &peer.name, bytes as u64).is_ok();
    let (collected, received) = thread::scope(|scope| {
        let mut received = 0;
        let pull = threads::spawn_scoped(scope, "pull", move || {
            // It ends when all is collected, or the peer is gone, which the other connection shows as well.
            let count = |messages: Vec<_>| received += messages.len();
            let _ = flow::receive(&mut session, own, false, has_room, count, || ());
            received
        });
        let collected = collect_once::run(own, peer, options, end);
        closer.close();
        (collected, pull.ok().and_then(|pull| pull.join().ok()).unwrap_or_default())
    });
    let Collected { count, troubles, are_left } = collected?;
    fetched.received += received;
    fetched.collected = count;
    if are_left && troubles.is_empty() {
        fetched
            .notes
            .push(format!("more files wait at {}: `egoat fetch` again, or run `egoat serve`", peer.name));
    }
    fetched.troubles.extend(troubles);
    Ok(())
}

/// Sends the files that are queued for the peer, unless another process does.
fn push_files(own: &Endpoint, peer: &Peer, fetched: &mut Fetched) -> Result<()> {
    match queued::send_all(own, peer, &mut fetched.troubles)? {
        Some(sent) => fetched.files = sent,
        None => {
            let sender = process(node_lock::files_sender(own.home(), &peer.key));
            fetched.notes.push(format!("{sender} sends files to {} just now", peer.name));
        }
    }
    Ok(())
}

/// Another process of this home, by its number where the system tells.
fn process(number: Option<u32>) -> String {
    number.map_or("another egoat".into(), |number| format!("process {number}"))
}

/// Delivers the messages that wait for the peer. Another process that does has its turn, for at most `MAX_CONNECTION`.
fn push_messages(own: &Endpoint, peer: &Peer, fetched: &mut Fetched) -> Result<()> {
    let mut outbox = own.outbox(&peer.key)?;
    if !outbox.has_pending()? {
        return Ok(());
    }
    let mut turn_of_other = Deadline::after(MAX_CONNECTION);
    loop {
        let Some(_lock) = DeliveryLock::take(own.home(), &peer.key)? else {
            if !outbox.has_pending()? {
                return Ok(());
            }
            if turn_of_other.remaining().is_some() {
                thread::sleep(OUTBOX_POLL);
                continue;
            }
            let other = process(node_lock::deliverer(own.home(), &peer.key));
            fetched.notes.push(format!("{other} delivers to {} just now", peer.name));
            return Ok(());
        };
        turn_of_other = Deadline::after(MAX_CONNECTION);
        let before = fetched.delivered;
        let deadlines = (one_try(own), Deadline::after(MAX_CONNECTION));
        match deliver_once(own, peer, &mut outbox, deadlines, &mut fetched.delivered) {
            Ok(Turn::Done) => return Ok(()),
            Ok(Turn::NodeStarts) => {
                fetched.notes.push(format!("a node starts here, and delivers to {}", peer.name));
                return Ok(());
            }
            // Its time was over, and there is more.
            Err(Error::Lost { .. }) if fetched.delivered > before => {}
            Err(error) => return Err(error),
        }
    }
}

/// How a connection ended that did not fail.
enum Turn {
    /// Everything is delivered.
    Done,
    /// A node wants to start here, and does the rest.
    NodeStarts,
}

/// Dials the peer before `by`, sends what waits until the `end`, and counts the messages that came there. Gives way to a node
/// that wants to start.
fn deliver_once(
    own: &Endpoint,
    peer: &Peer,
    outbox: &mut Outbox,
    (by, end): (Deadline, Deadline),
    delivered: &mut usize,
) -> Result<Turn> {
    let dialled = dial_push(own, peer, by, end);
    // Not while it dials: an address that says nothing takes long, and would keep a node from starting.
    let Some(_lock) = NoNodeLock::take(own.home())? else { return Ok(Turn::NodeStarts) };
    let result = dialled.and_then(|(mut session, early)| {
        let closer = session.closer();
        give_way(own.home(), &closer, || send_pending(own, &mut session, early, outbox, delivered))
    });
    if result.is_err() && node_lock::is_starting(own.home())? {
        return Ok(Turn::NodeStarts);
    }
    match &result {
        Ok(()) => attempts::clear(own.home(), &peer.key)?,
        // A connection that breaks when all is done is no failure to speak of.
        Err(error) if outbox.has_pending()? => {
            attempts::note(own.home(), &peer.key, error, Duration::ZERO);
        }
        Err(_) => attempts::clear(own.home(), &peer.key)?,
    }
    result.map(|()| Turn::Done)
}

/// Runs `send`, and ends the connection as soon as a node wants to start.
fn give_way<T>(home: &Home, closer: &Closer, send: impl FnOnce() -> T) -> T {
    let (over, is_over) = mpsc::channel::<()>();
    let watch = move || {
        while is_over.recv_timeout(STARTING_POLL) == Err(RecvTimeoutError::Timeout) {
            // A lock that cannot be read tells of no node.
            if node_lock::is_starting(home).unwrap_or(false) {
                return closer.close();
            }
        }
    };
    thread::scope(|scope| {
        // Without a thread, the node waits for the end of this connection.
        let _ = threads::spawn_scoped(scope, "watch", watch);
        let sent = send();
        drop(over);
        sent
    })
}

/// A session for messages, and those that were sent early.
fn dial_push(
    own: &Endpoint,
    peer: &Peer,
    by: Deadline,
    end: Deadline,
) -> Result<(Session, Vec<QueuedMessage>)> {
    // Port 0: whoever only says something is not reachable afterwards.
    let profile = OwnProfile::at_port(own, 0)?;
    let target = Target::peer(peer, Some(by.min(end)));
    let mut early = Vec::new();
    let mut session = dial::dial(own, &target, Kind::Push, &mut |session| {
        session.write(&profile.message())?;
        early = flow::write_early(session, own)?;
        Ok(())
    })?;
    session.set_deadline(Some(end));
    Ok((session, early))
}

fn send_pending(
    own: &Own,
    session: &mut Session,
    early: Vec<QueuedMessage>,
    outbox: &mut Outbox,
    delivered: &mut usize,
) -> Result<()> {
    let start = Start { held: flow::read_held(session)?, acknowledged: 0, early };
    // Asked when nothing is left to send. What came in between is sent too; what cannot be read must not keep us here.
    let mut looked = false;
    let idle = |_| match outbox.has_pending() {
        Ok(true) if !looked => {
            looked = true;
            Idle::Look
        }
        _ => Idle::Stop,
    };
    Sender::new(session, own, start)?.run(|| true, idle, || false, |count, _| *delivered += count)
}
