//! Which messages and events a chat shows.

use crate::crypto::keys::PublicKey;

/// Which conversations a chat shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One conversation at a time, from before the chat began. What is read and typed is noted for the next chat.
    Conversations,
    /// Only news from now on, of all peers or of one.
    News {
        /// The one.
        of: Option<PublicKey>,
        /// A person reads them: the chat begins with what is unread, and writes read marks.
        is_read: bool,
    },
}

impl Scope {
    /// Whether a person reads the output, rather than a program.
    pub fn is_read(self) -> bool {
        matches!(self, Scope::Conversations | Scope::News { is_read: true, .. })
    }

    /// Whether the chat shows the messages of this peer.
    pub fn has(self, key: &PublicKey) -> bool {
        !matches!(self, Scope::News { of: Some(only), .. } if only != *key)
    }
}
