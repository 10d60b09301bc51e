//! What the model of a chat asks of a view: to show things, and what stands in the line that is being typed. A terminal,
//! lines of text and later a window are views.

use crate::app::inbox::entry::HistoryEntry;
use crate::error::Error;
use crate::store::peers::Peer;
use crate::wire::link::Link;

/// A message that arrived.
pub struct Arrival<'a> {
    /// From whom.
    pub peer: &'a Peer,
    /// The peer's number of it.
    pub number: u64,
    /// Its raw text.
    pub text: &'a [u8],
    /// Its conversation is the one that is open.
    pub is_open: bool,
    /// It contains this node's name.
    pub is_mention: bool,
    /// The user wants no bell for it.
    pub is_muted: bool,
}

/// A view of a chat.
pub trait View {
    /// Shows a line about the chat itself, or a few. The text need not be clean.
    fn note(&mut self, text: &str);

    /// Shows a link that the user passes on.
    fn link(&mut self, link: &Link);

    /// What is shown from here on is another conversation, or all of them.
    fn begin(&mut self);

    /// Shows a record of a conversation. With `is_all`, conversations are shown together.
    fn entry(&mut self, peer: &Peer, entry: &HistoryEntry, is_all: bool);

    /// A message of the user was queued. Its entry follows when it is delivered.
    fn said(&mut self, _peer: &Peer, _number: u64) {}

    /// Draws the attention of a user who looks elsewhere to a message that arrived.
    fn arrived(&mut self, arrival: &Arrival);

    /// Shows a question, and draws the user's attention to it.
    fn alert(&mut self, text: &str);

    /// Shows an error and what to do next.
    fn error(&mut self, error: &Error) {
        self.note(&error.to_string());
        if let Some(hint) = error.hint() {
            self.note(&format!("hint: {hint}"));
        }
    }

    /// Empties what is shown.
    fn clear(&mut self);

    /// The user wants to leave the chat.
    fn leave(&mut self);

    /// Whether a person types the lines: a script cannot answer a question.
    fn can_answer(&self) -> bool {
        true
    }

    /// Whether the view reads single keys, and so can tell a paste from typing.
    fn reads_keys(&self) -> bool {
        true
    }

    /// Nothing is being typed, and nothing is asked.
    fn is_idle(&self) -> bool;

    /// The draft in the line; `None` when what stands there is no draft.
    fn draft(&self) -> Option<String>;

    /// Puts a draft into the line, unless the line is needed for something else.
    fn set_draft(&mut self, draft: &str);

    /// Empties the line, unless it answers a question; returns whether there was something in it.
    fn drop_line(&mut self) -> bool;

    /// Keeps a text that was said for the user to recall.
    fn remember(&mut self, text: &str);
}
