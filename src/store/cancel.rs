//! Cancels what waits for a peer: messages and files, by number or all of it. One function for `egoat outbox cancel`, for
//! `/cancel` in a chat, and for a peer who is blocked.

use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::store::history::{Dropped, History};
use crate::store::home::Own;
use crate::store::outbox::{Outbox, QueuedMessage};
use crate::store::queued_files::Outcome;

/// Cancels the messages and file jobs for `peer` whose number is `wanted`; returns the numbers that waited. Durable when it
/// returns. If the history cannot take the note of a cancelled message, nothing is cancelled, so that no text is lost.
pub fn cancel(own: &Own, peer: &PublicKey, wanted: &dyn Fn(u64) -> bool) -> Result<Vec<u64>> {
    let mut cancelled = cancel_messages(own, peer, wanted)?;
    for job in own.read_queued_files(peer).all()?.iter().filter(|job| wanted(job.number)) {
        if own.queued_files(peer)?.settle(job.number, &Outcome::Cancelled)? {
            cancelled.push(job.number);
        }
    }
    Ok(cancelled)
}

fn cancel_messages(own: &Own, peer: &PublicKey, wanted: &dyn Fn(u64) -> bool) -> Result<Vec<u64>> {
    if !own.home().has_outbox(peer) {
        return Ok(Vec::new());
    }
    let (mut history, mut outbox) = (own.history((*peer).into())?, own.outbox(peer)?);
    let wanted = |waiting: &QueuedMessage| wanted(waiting.number);
    let dropped = drop_messages(&mut outbox, &mut history, &wanted, Dropped::Cancelled)?;
    Ok(dropped.iter().map(|waiting| waiting.number).collect())
}

/// Has messages that wait not be sent, and the history say so; durable when it returns. The history is first: killed in
/// between, a message is in both, and no text is lost. Returns what is dropped, which is not what was delivered meanwhile.
pub fn drop_messages(
    outbox: &mut Outbox,
    history: &mut History,
    wanted: &dyn Fn(&QueuedMessage) -> bool,
    why: Dropped,
) -> Result<Vec<QueuedMessage>> {
    outbox.drop_messages(wanted, |messages| history.store_dropped(messages, why))
}
