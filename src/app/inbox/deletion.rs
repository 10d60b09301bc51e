//! Deleting what is old in the histories, also in those of former peers.

use std::time::SystemTime;

use crate::app::contacts;
use crate::error::Result;
use crate::store::conversation::ConversationId;
use crate::store::history::deletion;
use crate::store::home::Own;
use crate::store::partial;
use crate::store::peers::Peer;
use crate::time;

/// The part of a conversation that is old.
pub struct OldEntries {
    /// The name of the peer; of a former one its fingerprint.
    pub peer: String,
    /// How many messages and files that are.
    pub count: usize,
    conversation: ConversationId,
    until: u64,
}

/// The entries from before `until`, in µs of Unix time: of one peer, or of all peers with a history.
pub fn find(own: &Own, only: Option<&Peer>, until: u64) -> Result<Vec<OldEntries>> {
    let peers = contacts::all(own)?;
    let conversations = match only {
        Some(peer) => vec![peer.conversation()],
        None => own.home().conversations()?,
    };
    let mut found = Vec::new();
    for conversation in conversations {
        let key = conversation.peer();
        let named = peers.iter().find(|peer| peer.key == key);
        let until = until.min(oldest_transfer(own, conversation)?.unwrap_or(u64::MAX));
        let count = deletion::count_before(own.read_history(conversation), until)?;
        if count > 0 {
            let peer = named.map_or_else(|| key.fingerprint(), |peer| peer.name.clone());
            found.push(OldEntries { peer, count, conversation, until });
        }
    }
    Ok(found)
}

/// Deletes it for good; returns how many messages and files that were.
pub fn delete(own: &Own, old: &OldEntries) -> Result<usize> {
    own.history(old.conversation)?.delete_before(old.until)
}

/// Since when a transfer of the peer waits for its sender. If that comes again, the history tells which of the files it has
/// already; what it has forgotten would be noted, and dealt with, once more.
fn oldest_transfer(own: &Own, conversation: ConversationId) -> Result<Option<u64>> {
    let transfers = partial::all(own.home())?.into_iter().filter(|one| one.peer == conversation.peer());
    Ok(transfers.filter_map(|one| one.noted(own.home())).map(|noted: SystemTime| time::micros(noted)).min())
}
