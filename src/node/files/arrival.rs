//! What is told of a transfer that comes in: that it begins, what has landed, to the history as well, and to its sender that all
//! is stored, or what went wrong here. It leaves out the transfer.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::session::Session;
use crate::node::context::Context;
use crate::node::event::NodeEvent;
use crate::node::files::transfers::Turn;
use crate::node::live::TransferGuard;
use crate::store::history::History;
use crate::store::partial::Partial;
use crate::time;
use crate::transfer::landing::Received;
use crate::transfer::receive::{self, Offer};
use crate::transfer::tally::Tally;
use crate::wire::message::Message;

/// How long the sender has for its goodbye. Without one, assume that it has not heard that all is in place.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// A transfer that comes in, until this is dropped.
pub struct ActiveTransfer {
    /// How far it is.
    pub tally: Arc<Tally>,
    _shown: TransferGuard,
}

impl Drop for ActiveTransfer {
    fn drop(&mut self) {
        self.tally.end();
    }
}

/// Tells that a transfer comes in.
pub fn begin(context: &Context, session: &Session, offer: &Offer, turn: &Turn) -> ActiveTransfer {
    let tally = Arc::new(Tally::new(&offer.manifest, offer.is_stream));
    turn.follow(&tally);
    let (peer, address) = (session.label().to_owned(), session.remote_address());
    let shown = context.live().begin(&peer, false, None, &tally);
    context.tell(NodeEvent::TransferBegan { peer, address, tally: Arc::clone(&tally) });
    ActiveTransfer { tally, _shown: shown }
}

/// Notes what is in place in the history, and tells of it.
pub fn note(context: &Context, session: &Session, received: &[Received]) -> Result<()> {
    let files: Vec<(u64, String)> =
        received.iter().map(|one| (one.size, one.path.to_string_lossy().into_owned())).collect();
    // Of a guest nothing stays.
    if !context.options().once.as_ref().is_some_and(|once| once.is_passing(&session.peer())) {
        let mut history = context.logged(context.own().history(session.peer().into()))?;
        context.logged(history.store_files_received(&files))?;
    }
    for Received { path, size } in received {
        context.tell(NodeEvent::File { peer: session.label().to_owned(), path: path.clone(), size: *size });
    }
    context.ring_arrival(&session.peer());
    Ok(())
}

/// The sender learns that all is in place, and does not wait for what is done here after that: by then, nobody sees the
/// transfer any more. `forget` is called once it has said goodbye. If it has not, it asks again.
pub fn say_stored(
    context: &Context,
    mut session: Session,
    forget: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let peer = session.label().to_owned();
    let sent = session.send_last(&Message::Stored);
    session.skip_ignorable(true);
    session.set_deadline(Some(Deadline::after(GOODBYE_TIMEOUT)));
    let answered = sent.and_then(|()| {
        session.read_as("waiting for its goodbye", |message| (message == Message::Bye).then_some(()))
    });
    if answered.is_ok() {
        forget()?;
    }
    // If this is lost, the files are in place all the same, and that is what is told here.
    context.tell(NodeEvent::TransferDone { peer });
    Ok(())
}

/// The same of what came with an earlier try, which may have ended before it was in the history.
pub fn say_again(
    context: &Context,
    session: Session,
    offer: &Offer,
    done: &Partial,
    paths: Vec<PathBuf>,
) -> Result<()> {
    let home = context.own().home();
    let known = known_since(context, &session, done)?;
    let tops = offer.manifest.tops().into_iter().map(|(_, _, size)| size);
    let received = paths.into_iter().zip(tops).map(|(path, size)| Received {
        size: if offer.is_stream { fs::metadata(&path).map_or(0, |data| data.len()) } else { size },
        path,
    });
    let new: Vec<Received> =
        received.filter(|one| !known.contains(one.path.to_string_lossy().as_ref())).collect();
    if !new.is_empty() {
        note(context, &session, &new)?;
    }
    // What an earlier try may have left of its folder: nobody is to see that once the sender knows. What cannot be removed
    // is tried again then.
    let _ = done.remove_data();
    say_stored(context, session, || done.remove(home).map(drop))
}

/// Files that are in the history since all of a transfer was noted to be in place.
fn known_since(context: &Context, session: &Session, done: &Partial) -> Result<HashSet<String>> {
    let own = context.own();
    let since = done.noted(own.home()).map_or(0, time::micros);
    History::files_since(own.read_history(session.peer().into()), since)
}

/// Tells the sender what happened here, unless it is the connection that failed.
pub fn failed(session: Session, error: Error) -> Error {
    let Some(failure) = receive::failure(&error) else { return error };
    let told = failure.told_to(session.features());
    // If it cannot be told, it knows that the connection is lost.
    let _ = session.finish(&Message::Failed(told));
    error
}
