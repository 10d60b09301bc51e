//! Files of a command, sent once: a command that is killed as it ends is repeated by its user, and the repeated one finds a
//! note that the peer has the files. It leaves out how the note is kept: see `store::sent`.

use std::sync::Arc;

use crate::error::Result;
use crate::net::endpoint::Endpoint;
use crate::node::files::outbound::{self, Outgoing, Unwanted};
use crate::store::home::Own;
use crate::store::peers::{Peer, Peers};
use crate::store::sent::SentNote;
use crate::time::now_micros;
use crate::transfer::landing::TransferId;
use crate::transfer::source::Sources;
use crate::transfer::tally::Tally;
use crate::wire::message::TRANSFER_LEN;

/// Files for a peer, and the note that keeps them from being sent twice.
pub struct OnceSent {
    /// `None` where there can be none, and for one-off receivers: the next one of the same peer has another place for the
    /// files.
    note: Option<SentNote>,
}

impl OnceSent {
    /// Files of a command, for this peer. Waits for another command that sends the same, and tells so.
    pub fn claim(own: &Own, peer: &Peer, sources: &Sources) -> OnceSent {
        let waits = || {
            own.report(&format!("another command is sending the same to {}; waiting for its end", peer.name));
        };
        let claim = || SentNote::claim(own.home(), &id(peer, sources), waits).ok();
        OnceSent { note: is_saved(own, peer).then(claim).flatten() }
    }

    /// The same, where a command waits that has claimed them.
    pub fn of_command(own: &Own, peer: &Peer, sources: &Sources) -> OnceSent {
        OnceSent { note: SentNote::of_command(own.home(), &id(peer, sources)).ok() }
    }

    /// Whether another command has sent them: one that this one has waited for, or one that was killed before it could say so.
    pub fn is_sent(&self) -> bool {
        self.note.as_ref().is_some_and(SentNote::is_complete)
    }

    /// For whoever repeats the command, should it be killed: to be dropped when the user has heard that all is done.
    pub fn into_note(self) -> Option<SentNote> {
        self.note
    }

    /// Sends them, as [`outbound::send_unless`] does, and notes that before the peer hears a goodbye.
    pub fn send(
        &mut self,
        own: &Endpoint,
        peer: &Peer,
        (outgoing, streams): (Outgoing, usize),
        (sources, tally): (&Arc<Sources>, &Arc<Tally>),
        is_unwanted: Unwanted,
    ) -> Result<()> {
        let mut note = || {
            let stored = self.note.as_mut().and_then(|note| note.store().ok());
            note_sent(own, peer, stored.unwrap_or_else(now_micros), &sources.manifest().listing())?;
            // Without it, a repeated command would send once more.
            self.note.as_mut().map_or(Ok(()), SentNote::complete).or(Ok(()))
        };
        outbound::send_unless(is_unwanted, outgoing, sources, streams, tally, &mut note)
    }
}

fn id(peer: &Peer, sources: &Sources) -> String {
    TransferId::new(&peer.key, &[0; TRANSFER_LEN], sources.manifest()).with(&sources.identity())
}

fn is_saved(own: &Own, peer: &Peer) -> bool {
    Peers::load(own.home()).is_ok_and(|peers| peers.by_key(&peer.key).is_some())
}

/// Notes files in the history with the peer. A one-off receiver that is no saved peer has none.
pub fn note_sent(own: &Own, peer: &Peer, transfer: u64, files: &[(u64, String)]) -> Result<()> {
    match Peers::load(own.home())?.by_key(&peer.key) {
        Some(_) => own.history(peer.conversation())?.store_files_sent(transfer, files),
        None => Ok(()),
    }
}
