//! What waits to be delivered to the peer that is talked to, followed as the outbox and the history grow. Reads logs alone.

use std::collections::{VecDeque, vec_deque};

use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::store::home::Own;
use crate::store::outbox::{Outbox, Pending, QueuedMessage};
use crate::text;
use crate::time;

/// Bytes that are kept of a message that waits: as much as fits on a wide screen.
const MAX_PREVIEW: usize = 400;

/// A message that waits.
pub struct WaitingMessage {
    /// Its number.
    pub number: u64,
    /// When it was queued, in µs of Unix time, if that is known.
    pub said: Option<u64>,
    /// Its first line, clean.
    pub line: String,
}

/// The messages that wait, oldest first.
#[derive(Default)]
pub struct PendingMessages {
    /// None when it could not be read; then nothing is known to wait.
    log: Option<(Outbox, Pending)>,
    messages: VecDeque<WaitingMessage>,
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
            let QueuedMessage { number, said, draft } = message;
            if self.messages.iter().all(|known| known.number != number) {
                let (said, line) = (time::believed(said), first_line(&draft.text));
                self.messages.push_back(WaitingMessage { number, said, line });
            }
        }
        while let Some(first) = self.messages.front()
            && outbox.is_settled(first.number)?
        {
            self.messages.pop_front();
        }
        self.log = Some((outbox, pending));
        Ok(())
    }

    /// It will not be sent.
    pub fn drop_message(&mut self, number: u64) {
        self.messages.retain(|message| message.number != number);
    }

    /// Those that wait.
    pub fn messages(&self) -> vec_deque::Iter<'_, WaitingMessage> {
        self.messages.iter()
    }
}

/// The first line of a message, clean.
pub fn first_line(text: &[u8]) -> String {
    let clean = text::clean_bytes(&text[..text.len().min(MAX_PREVIEW)]);
    let first = clean.lines().next().unwrap_or_default();
    if clean.lines().nth(1).is_some() { format!("{first} ...") } else { first.to_owned() }
}
