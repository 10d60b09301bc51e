//! What the interactive chat asks: whether a fingerprint is the right one. And what is kept of the line meanwhile, which is
//! no answer: the draft. It leaves out who finds out what there is to ask: see `jobs`.

use std::sync::Arc;

use crate::chat::jobs;
use crate::chat::talk::Talk;
use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::wire::address::Address;

/// A question that a line answers: whether the node at an address has this key.
pub(super) struct Question {
    pub at: Address,
    pub key: PublicKey,
}

impl Talk {
    /// Nothing is being typed, and nothing is asked.
    pub(super) fn is_idle(&self) -> bool {
        let is_empty = self.editor.text().is_empty() && self.editor.query().is_none();
        is_empty && !self.keyboard.is_pasting() && self.question.is_none()
    }

    /// Asks what there is to ask, which is no good in the middle of a line.
    pub(super) fn ask(&mut self) {
        if self.is_idle()
            && let Some(question) = self.questions.pop_front()
        {
            let fingerprint = question.key.fingerprint();
            self.say(&format!("the fingerprint of {} is {fingerprint}; is that the right one?", question.at));
            self.question = Some(question);
        }
    }

    /// What is typed is for the peer again, of whom there may be a draft by now.
    pub(super) fn end_question(&mut self) -> Option<Question> {
        let question = self.question.take()?;
        if let Some(open) = &self.open {
            self.editor.set(self.notes.draft(open.peer.conversation()));
        }
        Some(question)
    }

    /// The user has looked at a fingerprint.
    pub(super) fn answer(&mut self, question: Question, line: &str) -> Result<()> {
        if !matches!(line.trim(), "yes" | "y") {
            self.say("then nothing was saved");
            return Ok(());
        }
        jobs::meet(&self.own, Arc::clone(&self.jobs), question.key, question.at);
        Ok(())
    }

    pub(super) fn note_draft(&mut self) {
        self.edited = None;
        // The answer to a question is no draft, nor is what Ctrl-R just found.
        if let Some(open) = &self.open
            && self.question.is_none()
            && self.editor.query().is_none()
        {
            let noted = self.notes.set_draft(open.peer.conversation(), &self.editor.typed());
            self.noted(noted);
        }
    }

    /// Nobody need stop talking because of what cannot be noted for the next time.
    pub(super) fn noted(&mut self, noted: Result<()>) {
        if let Err(error) = noted
            && !std::mem::replace(&mut self.has_lost_notes, true)
        {
            self.say_error(&error);
            self.say("no drafts are kept for the next chat from now on, nor what was read");
        }
    }
}
