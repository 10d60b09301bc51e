//! What an earlier try has left of an offer: where it waits, and whether the user has said yes to it.

use std::path::Path;

use crate::store::home::Home;
use crate::store::partial::{self, Partial};
use crate::store::peers::Peer;
use crate::transfer::landing::TransferId;

/// The note of an earlier try at the same files, wherever they were to land: the one that the user has said yes to, else the
/// one for `usual`, else any. A note that cannot be read counts as none.
pub fn find(home: &Home, peer: &Peer, offered: &TransferId, usual: &Path) -> Option<Partial> {
    let of_offer =
        |note: &Partial| note.peer == peer.key && !note.is_done && note.id == offered.at(&note.dir);
    let notes = partial::all(home).unwrap_or_default().into_iter().filter(of_offer);
    notes.max_by_key(|note| (note.is_accepted, note.dir == usual))
}
