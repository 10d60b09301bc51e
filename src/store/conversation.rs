//! Which conversation a history, a draft, a read mark or a cursor's line belongs to.
//!
//! A conversation has one peer today, so its id is that peer's key; a group will need an id of its own. Code that means
//! the conversation takes a [`ConversationId`]. Code that needs the peer (to dial, to name, to check a policy) asks for
//! [`ConversationId::peer`], and these are the places to look at when groups arrive.

use std::fmt;
use std::str::FromStr;

use crate::crypto::Failed;
use crate::crypto::keys::PublicKey;

/// Extension of a history's file name.
const HISTORY: &str = ".log";

/// The id of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConversationId(PublicKey);

impl ConversationId {
    /// The id that a record of the notes names.
    ///
    /// # Errors
    ///
    /// When the bytes are not a peer's key.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<ConversationId, Failed> {
        PublicKey::from_bytes(bytes).map(ConversationId)
    }

    /// The 32 bytes of the id in the notes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The peer at the other end.
    pub fn peer(&self) -> PublicKey {
        self.0
    }

    /// File name of the history in the folder `history`.
    pub fn history_name(&self) -> String {
        format!("{self}{HISTORY}")
    }

    /// The conversation whose history has this file name; `None` when no history is called that.
    pub fn of_history(name: &str) -> Option<ConversationId> {
        name.strip_suffix(HISTORY)?.parse().ok()
    }
}

impl From<PublicKey> for ConversationId {
    fn from(peer: PublicKey) -> ConversationId {
        ConversationId(peer)
    }
}

/// The text form, in file names and in cursors: the peer's key in base32.
impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ConversationId {
    type Err = Failed;

    fn from_str(text: &str) -> Result<ConversationId, Failed> {
        text.parse().map(ConversationId)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    #[test]
    fn a_history_is_named_by_the_key_of_its_peer() {
        let key = Seed::from_bytes([1; 32]).static_keys().public();
        let conversation = ConversationId::from(key);
        assert_eq!(conversation.history_name(), format!("{key}.log"));
        assert_eq!(ConversationId::of_history(&conversation.history_name()), Some(conversation));
        for other in [format!("{key}"), format!("{key}.log.damaged-1"), ".log".into(), "notes.log".into()] {
            assert_eq!(ConversationId::of_history(&other), None, "{other}");
        }
    }
}
