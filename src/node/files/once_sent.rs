//! Files of a command, sent once: a command that is killed as it ends is repeated by its user, and the repeated one finds a
//! note that the peer has the files. It leaves out how the note is kept: see `store::sent`.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::net::endpoint::Endpoint;
use crate::node::files::outbound::{self, Outgoing};
use crate::store::home::Own;
use crate::store::peers::{Peer, Peers};
use crate::store::sent::SentNote;
use crate::time::now_micros;
use crate::transfer::landing::TransferId;
use crate::transfer::source::Sources;
use crate::transfer::tally::Tally;
use crate::wire::message::TRANSFER_LEN;

/// Files for a peer, and the note of an earlier command that sent the same.
pub struct OnceSent {
    id: String,
    /// A guest of a one-off receiver has no notes: the next receiver of the same peer has another place for the files.
    is_saved: bool,
    note: Option<SentNote>,
}

impl OnceSent {
    /// These files, for this peer.
    pub fn new(own: &Own, peer: &Peer, sources: &Sources) -> OnceSent {
        let id = TransferId::new(&peer.key, &[0; TRANSFER_LEN], sources.manifest()).at(Path::new("sent"));
        let is_saved = Peers::load(own.home()).is_ok_and(|peers| peers.by_key(&peer.key).is_some());
        OnceSent { note: is_saved.then(|| SentNote::left(own.home(), &id)).flatten(), is_saved, id }
    }

    /// Whether an earlier command sent them, and was killed before it could say so.
    pub fn is_sent(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.is_complete)
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
        is_unwanted: impl FnMut() -> bool + Send,
    ) -> Result<()> {
        let note = || {
            // An earlier command may have been killed right here.
            let transfer = self.note.as_ref().map_or_else(now_micros, |note| note.transfer);
            if self.is_saved && self.note.is_none() {
                self.note = SentNote::write(own.home(), &self.id, transfer).ok();
            }
            note_sent(own, peer, transfer, &sources.manifest().listing())?;
            // Without it, a repeated command would send once more.
            self.note.as_mut().map_or(Ok(()), SentNote::complete).or(Ok(()))
        };
        outbound::send_unless(is_unwanted, outgoing, sources, streams, tally, note)
    }
}

/// Notes files in the history with the peer. A one-off receiver that is no saved peer has none.
pub fn note_sent(own: &Own, peer: &Peer, transfer: u64, files: &[(u64, String)]) -> Result<()> {
    match Peers::load(own.home())?.by_key(&peer.key) {
        Some(_) => own.history(peer.conversation())?.store_files_sent(transfer, files),
        None => Ok(()),
    }
}
