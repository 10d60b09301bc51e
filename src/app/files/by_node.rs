//! Sending by the node that runs here, to a peer that has dialled it: this command would have to dial the peer, and most
//! likely cannot.

use std::io;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use crate::app::files::Chosen;
use crate::app::link::{self, JobOutcome, JobReport, LOG_POLL_INTERVAL, NodeLink, SendMode, TransferWay};
use crate::app::settings;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::store::home::Own;
use crate::store::peers::Peer;
use crate::transfer::tally::Tally;

/// The only job of a command.
const JOB: u64 = 1;

/// A link to the node that runs here, if the peer would collect files from it. A peer that has just connected does so
/// within a second, for which this waits at most `patience`. One that has not said so by then, and is connected all the same,
/// may be one that the node has dialled: with patience, the node is to try.
pub fn link_to(own: &Own, peer: &Peer, patience: Duration) -> Result<Option<NodeLink>> {
    if link::node(own)?.is_none() {
        return Ok(None);
    }
    let link = NodeLink::open(own.home(), false)?;
    // A node that does not answer is of no use; the peer may be dialled all the same.
    let Ok(mut live) = link.whole() else { return Ok(None) };
    let deadline = Deadline::after(patience);
    loop {
        match live.here.get(&peer.key) {
            Some(here) if here.collects => return Ok(Some(link)),
            Some(_) if deadline.remaining().is_some() => link.wait(LOG_POLL_INTERVAL)?,
            Some(_) if !patience.is_zero() => return Ok(Some(link)),
            _ => return Ok(None),
        }
        live = link.live();
    }
}

/// Whether the peer is connected with the node that runs here.
pub fn is_here(own: &Own, peer: &Peer) -> bool {
    let node = link::node(own).ok().flatten().and_then(|_| NodeLink::open(own.home(), false).ok());
    node.and_then(|link| link.whole().ok()).is_some_and(|live| live.here.contains_key(&peer.key))
}

/// Has the node send the files, and waits until the peer has them.
pub fn send(link: &NodeLink, peer: &Peer, chosen: &Chosen, tally: &Tally) -> Result<()> {
    let paths = chosen.paths.iter().cloned().map(settings::absolute).collect();
    if !link.send(JOB, peer.key, SendMode::Now, chosen.name.as_deref(), paths)? {
        return Err(gone());
    }
    wait(link, tally, || Ok(()))
}

/// Has the node send what comes out of a pipe as a file of this name, of which it keeps at most `kept` bytes until the peer
/// has them.
pub fn send_pipe(
    link: &NodeLink,
    peer: &Peer,
    name: &str,
    pieces: Receiver<io::Result<Vec<u8>>>,
    kept: u64,
    tally: &Tally,
) -> Result<()> {
    if !link.send(JOB, peer.key, SendMode::Pipe(kept), Some(name), Vec::new())? {
        return Err(gone());
    }
    let (failed, failures) = mpsc::sync_channel(1);
    let node = link.clone();
    let feed = move || {
        for piece in pieces {
            let is_taken = match piece {
                Ok(bytes) => node.send_data(JOB, bytes),
                Err(cause) => return drop(failed.send(cause)),
            };
            if !is_taken {
                return;
            }
        }
        node.send_data(JOB, Vec::new());
    };
    thread::Builder::new()
        .name("feed".into())
        .spawn(feed)
        .map_err(|cause| Error::failed(format!("no thread for the pipe: {cause}")))?;
    let is_read = || match failures.try_recv() {
        Ok(cause) => Err(Error::failed(format!("stdin: {cause}"))),
        Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(()),
    };
    wait(link, tally, is_read)
}

fn gone() -> Error {
    Error::ByNode { what: "the node here has ended".into(), hint: None, status: 69 }
}

/// Waits for the end of the job, and shows how far it is; ends when `goes_on` says so. Then the end of the link ends the
/// job.
fn wait(link: &NodeLink, tally: &Tally, goes_on: impl Fn() -> Result<()>) -> Result<()> {
    loop {
        if let Some(JobReport { outcome, bytes, held, lanes, .. }) = link.ended_jobs().pop() {
            // A node that has ended tells no counts.
            if bytes > 0 {
                tally.set(0, held, bytes.saturating_sub(held), lanes);
            }
            return match outcome {
                JobOutcome::Sent | JobOutcome::Queued => Ok(()),
                JobOutcome::Stopped => Err(Error::Stopped),
                JobOutcome::Failed { why, hint, status } => {
                    Err(Error::ByNode { what: why, hint: Some(hint).filter(|hint| !hint.is_empty()), status })
                }
            };
        }
        goes_on()?;
        link.wait(LOG_POLL_INTERVAL)?;
        if let Some(own) = link.live().transfers.values().find(|one| one.way == TransferWay::Own) {
            tally.set(own.checked, 0, own.done, 0);
        }
    }
}
