//! How far each conversation was read, what of it is unread, and the draft of each; kept for the next chat.

use std::collections::HashMap;

use crate::app::inbox;
use crate::error::Result;
use crate::store::conversation::ConversationId;
use crate::store::history::MAX_UNREAD;
use crate::store::home::Own;
use crate::store::notes::Notes;

/// What a chat knows of its conversations, beside what it shows.
pub struct Reading {
    /// Nothing is kept by a chat that does not show what there was before.
    notes: Option<Notes>,
    /// The last record of each history that was seen.
    seen: HashMap<ConversationId, u64>,
    unread: HashMap<ConversationId, usize>,
}

impl Reading {
    /// Of this home; what was read is noted for the next chat if it `keeps` notes.
    pub fn open(own: &Own, keeps: bool) -> Result<Reading> {
        let notes = keeps.then(|| own.notes()).transpose()?;
        Ok(Reading { notes, seen: HashMap::new(), unread: HashMap::new() })
    }

    /// Counts what arrived in the conversation since it was read last.
    pub fn count(&mut self, own: &Own, id: ConversationId) -> Result<()> {
        let Some(notes) = &self.notes else { return Ok(()) };
        let read = notes.read(id);
        let arrived = inbox::unread_behind(own, id, read)?;
        if let Some(last) = arrived.last.or(read).filter(|last| *last > 0) {
            self.seen.insert(id, last);
        }
        if arrived.count > 0 {
            self.unread.insert(id, arrived.count);
        }
        Ok(())
    }

    /// Marks the record as seen; `false` if it was before.
    pub fn see(&mut self, id: ConversationId, seq: u64) -> bool {
        let is_new = self.seen(id).is_none_or(|seen| seen < seq);
        if is_new {
            self.seen.insert(id, seq);
        }
        is_new
    }

    /// The last record that was seen.
    pub fn seen(&self, id: ConversationId) -> Option<u64> {
        self.seen.get(&id).copied()
    }

    /// One more arrived that is not shown.
    pub fn add_unread(&mut self, id: ConversationId) {
        let unread = self.unread.entry(id).or_default();
        *unread = (*unread + 1).min(MAX_UNREAD);
    }

    /// How many messages and files are unread; `None` if none is.
    pub fn unread(&self, id: ConversationId) -> Option<usize> {
        self.unread.get(&id).copied()
    }

    /// The conversations with something unread.
    pub fn all_unread(&self) -> Vec<ConversationId> {
        self.unread.keys().copied().collect()
    }

    /// Nothing is unread any more; returns what was.
    pub fn clear_unread(&mut self, id: ConversationId) -> Option<usize> {
        self.unread.remove(&id)
    }

    /// How far the conversation was read when that was noted last.
    pub fn read(&self, id: ConversationId) -> Option<u64> {
        self.notes.as_ref()?.read(id)
    }

    /// Notes that everything seen of the conversations that are `shown` is read.
    pub fn note_read(&mut self, shown: impl Fn(ConversationId) -> bool) -> Result<()> {
        let Some(notes) = &mut self.notes else { return Ok(()) };
        let mut shown = self.seen.iter().filter(|(id, _)| shown(**id));
        shown.try_for_each(|(id, seen)| notes.set_read(*id, *seen))
    }

    /// Notes what is being typed.
    pub fn note_draft(&mut self, id: ConversationId, text: &str) -> Result<()> {
        self.notes.as_mut().map_or(Ok(()), |notes| notes.set_draft(id, text))
    }

    /// The draft of a conversation.
    pub fn draft(&self, id: ConversationId) -> &str {
        self.notes.as_ref().map_or("", |notes| notes.draft(id))
    }

    /// Looks at what other chats have noted.
    pub fn refresh(&mut self) -> Result<()> {
        self.notes.as_mut().map_or(Ok(()), Notes::refresh)
    }
}
