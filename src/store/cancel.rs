//! Cancels what waits for a peer: messages and files, by number or all of it. One function for `egoat outbox cancel`, for
//! `/cancel` in a chat, and for a peer who is blocked.

use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::store::history::Dropped;
use crate::store::home::Own;
use crate::store::queued_files::Outcome;

/// Cancels the messages and file jobs for `peer` whose number is `wanted`; returns the numbers that waited. Durable when it
/// returns. If the history cannot take the note of a cancelled message, nothing is cancelled, so that no text is lost.
pub fn cancel(own: &Own, peer: &PublicKey, wanted: impl Fn(u64) -> bool) -> Result<Vec<u64>> {
    let mut cancelled = cancel_messages(own, peer, &wanted)?;
    for job in own.read_queued_files(peer).all()?.iter().filter(|job| wanted(job.number)) {
        if own.queued_files(peer)?.settle(job.number, &Outcome::Cancelled)? {
            cancelled.push(job.number);
        }
    }
    Ok(cancelled)
}

fn cancel_messages(own: &Own, peer: &PublicKey, wanted: impl Fn(u64) -> bool) -> Result<Vec<u64>> {
    if !own.home().has_outbox(peer) {
        return Ok(Vec::new());
    }
    // Before anything is dropped: a history that is damaged must not cost the message.
    let mut history = own.history((*peer).into())?;
    let dropped = own.outbox(peer)?.drop_messages(|waiting| wanted(waiting.number))?;
    history.store_dropped(&dropped, Dropped::Cancelled)?;
    Ok(dropped.iter().map(|waiting| waiting.number).collect())
}
