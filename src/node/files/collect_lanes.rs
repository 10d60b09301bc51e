//! The lanes of a transfer that this node collects: here the receiver dials them (egoat-protocol(7), LANES).

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::lane::{TICKET_LEN, collect_ticket};
use crate::error::{Error, Result};
use crate::net::lane::{self, Parent};
use crate::net::session::Session;
use crate::net::transport::route::Route;
use crate::node::context::Context;
use crate::node::files::lanes::{IncomingLane, MAX_LANES_PER_TRANSFER};
use crate::node::files::outbound::{self, CHUNKS_PER_LANE, RETRY_PAUSE};
use crate::node::files::transfers::IncomingTransfer;
use crate::node::threads;
use crate::wire::message::Message;

/// A path on which the first chunk takes longer than this gains nothing from lanes: 60 kB/s, as for a sender's lanes.
const FAST_CHUNK: Duration = Duration::from_secs(4);

/// Starts threads that dial the lanes of a transfer that is collected; returns what TAKE says of them: how many there will
/// be at the most, and zeros, because the sender knows their ticket.
pub fn dial_all(
    context: &Arc<Context>,
    session: &Session,
    route: &Route,
    transfer: &Arc<IncomingTransfer>,
) -> (u8, [u8; TICKET_LEN]) {
    let chunks = transfer.inbound.staging().manifest().chunks();
    let worthwhile = (chunks / CHUNKS_PER_LANE).min(outbound::default_streams() as u64 - 1);
    let count = (worthwhile as u8).min(MAX_LANES_PER_TRANSFER);
    let ticket = collect_ticket(&session.binding().export);
    let parent = Arc::new(Parent::of(session));
    let begun = Instant::now();
    for index in 0..count {
        let (context, transfer) = (Arc::clone(context), Arc::clone(transfer));
        let (route, parent) = (route.clone(), Arc::clone(&parent));
        let dialled = move || {
            if transfer.inbound.wait_for_chunk()
                && begun.elapsed() < FAST_CHUNK
                && let Some(lane) = context.lanes().begin(&transfer, parent.peer, index)
            {
                // Without it, the others do its work.
                let _ = run(&lane, &route, &parent, &ticket, index);
            }
        };
        // One lane fewer, if there can be no thread.
        let _ = threads::spawn("lane", dialled);
    }
    (count, [0; TICKET_LEN])
}

fn run(
    lane: &IncomingLane,
    route: &Route,
    parent: &Parent,
    ticket: &[u8; TICKET_LEN],
    index: u8,
) -> Result<()> {
    let dial = || lane::dial(route, parent, ticket, index, |closer| lane.keep_closer(closer));
    let again = |_: Error| {
        thread::sleep(RETRY_PAUSE);
        dial()
    };
    let mut session = dial().or_else(again)?;
    session.send(&Message::Ping)?;
    lane.run(&mut session);
    Ok(())
}
