//! What waits to be delivered to the peer that is talked to, followed as the outbox and the history grow. Reads logs alone.

use std::collections::{VecDeque, vec_deque};

use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::store::home::Own;
use crate::store::outbox::{Outbox, Pending};
use crate::text;

/// Bytes that are kept of a message that waits: as much as fits on a wide screen.
const MAX_PREVIEW: usize = 400;

/// The messages that wait, oldest first.
#[derive(Default)]
pub struct PendingMessages {
    /// None when it could not be read; then nothing is known to wait.
    log: Option<(Outbox, Pending)>,
    /// Number and first line.
    messages: VecDeque<(u64, String)>,
}

impl PendingMessages {
    /// Of this peer.
    pub fn new(own: &Own, peer: &PublicKey) -> Result<PendingMessages> {
        let outbox = own.outbox(peer)?;
        let pending = outbox.pending();
        let mut waiting = PendingMessages { log: Some((outbox, pending)), messages: VecDeque::new() };
        waiting.look()?;
        Ok(waiting)
    }

    /// Looks at what has come, and what is done with. After an error it looks no more.
    pub fn look(&mut self) -> Result<()> {
        let Some((mut outbox, mut pending)) = self.log.take() else { return Ok(()) };
        while let Some(message) = pending.read()? {
            if self.messages.iter().all(|(number, _)| *number != message.number) {
                self.messages.push_back((message.number, first_line(&message.draft.text)));
            }
        }
        while let Some((number, _)) = self.messages.front()
            && outbox.is_settled(*number)?
        {
            self.messages.pop_front();
        }
        self.log = Some((outbox, pending));
        Ok(())
    }

    /// It will not be sent.
    pub fn drop_message(&mut self, number: u64) {
        self.messages.retain(|(other, _)| *other != number);
    }

    /// Those that wait.
    pub fn messages(&self) -> vec_deque::Iter<'_, (u64, String)> {
        self.messages.iter()
    }
}

fn first_line(text: &[u8]) -> String {
    let clean = text::clean_bytes(&text[..text.len().min(MAX_PREVIEW)]);
    let first = clean.lines().next().unwrap_or_default();
    if clean.lines().nth(1).is_some() { format!("{first} ...") } else { first.to_owned() }
}
