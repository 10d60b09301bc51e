//! Collecting the files that wait at a peer by a command, while no node runs here. It leaves out how the command learns that
//! some wait: see `node::messages::flow`.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::node::context::{Channels, Context};
use crate::node::event::NodeEvent;
use crate::node::files::collect;
use crate::node::files::inbound;
use crate::node::options::Options;
use crate::node::threads;
use crate::store::peers::Peer;

/// How long a peer that has said that files wait may take until it has the first ones ready: it may try to dial us before.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take from one transfer to the next.
const NEXT_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two questions whether it has.
const PAUSE: Duration = Duration::from_millis(250);
/// Events that may wait for the thread that reads them.
const EVENT_CAPACITY: usize = 64;
/// How long to wait for the last events: a lane may end after its transfer.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Default)]
pub struct Collected {
    /// Transfers that are in place here.
    pub count: usize,
    /// What went wrong with others, and which names this disk does not hold.
    pub troubles: Vec<Error>,
    /// More may wait at the peer.
    pub are_left: bool,
}

/// Collects until nothing waits at the peer, and begins no transfer after `end`. Meanwhile the peer must be able to tell that
/// files wait, over a session by which its messages are fetched.
pub fn run(own: &Endpoint, peer: &Peer, options: Options, end: Deadline) -> Result<Collected> {
    let (events, received) = mpsc::sync_channel(EVENT_CAPACITY);
    let (tell, told) = mpsc::channel();
    threads::spawn("events", move || keep_troubles(&received, &tell))?;
    let context = Arc::new(Context::new(own.clone(), options, channels(events), None));
    let mut collected = Collected { are_left: true, ..Collected::default() };
    let mut patience = Deadline::after(FIRST_PATIENCE);
    while end.remaining().is_some() {
        match collect(&context, peer) {
            Ok(true) => {
                collected.count += 1;
                patience = Deadline::after(NEXT_PATIENCE);
            }
            Ok(false) if patience.remaining().is_some() => thread::sleep(PAUSE),
            Ok(false) => {
                collected.are_left = collected.count == 0;
                break;
            }
            Err(error) if is_last(&collected.troubles, &error) => {
                collected.troubles.push(error);
                break;
            }
            // What was refused here is in the way of no other.
            Err(error) => {
                collected.are_left = false;
                collected.troubles.push(error);
                patience = Deadline::after(NEXT_PATIENCE);
            }
        }
    }
    drop(context);
    while let Ok(error) = told.recv_timeout(LAST_EVENTS) {
        collected.troubles.push(error);
    }
    Ok(collected)
}

/// One transfer; `false` when none is ready. An error is that of the transfer, or of the connection for it.
fn collect(context: &Arc<Context>, peer: &Peer) -> Result<bool> {
    let Some((session, turn)) = collect::open(context, peer)? else { return Ok(false) };
    inbound::take(context, session, peer, &Arc::new(turn))
}

/// Whether there is no use in another try: nobody is there, or the same has just failed in the same way.
fn is_last(before: &[Error], error: &Error) -> bool {
    error.is_passing() || before.last().is_some_and(|last| last.to_string() == error.to_string())
}

/// The channels of a context without a supervisor, a listener and hooks: what would go to them goes nowhere.
fn channels(events: SyncSender<NodeEvent>) -> Channels {
    Channels { events, turned_away: mpsc::sync_channel(1).0, wake: mpsc::sync_channel(1).0, hooks: None }
}

/// Keeps what is to be told at the end, and drops the other events.
fn keep_troubles(events: &Receiver<NodeEvent>, tell: &Sender<Error>) {
    for event in events {
        if let NodeEvent::Trouble(error) | NodeEvent::Fatal(error) = event {
            // Whoever collects has heard enough.
            let _ = tell.send(error);
        }
    }
}
