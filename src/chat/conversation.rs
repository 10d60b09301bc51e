//! The histories of several peers as one stream in the order of time, now and as they grow.

use std::collections::HashMap;

use crate::chat::line::Line;
use crate::error::Result;
use crate::store::conversation::ConversationId;
use crate::store::history::{self, Event};
use crate::store::home::Own;
use crate::store::log::{Position, Reader};
use crate::store::peers::{Peer, Peers};

/// One peer's history, and the record that is next.
struct Stream {
    peer: Peer,
    reader: Reader,
    next: Option<(Position, Vec<u8>)>,
    /// Where the last record is that was given.
    given: Option<Position>,
    /// Nothing more was there when it was last read.
    dry: bool,
}

impl Stream {
    fn fill(&mut self) -> Result<()> {
        if self.next.is_none() && !self.dry {
            let read = self.reader.read()?.map(|record| (record.seq, record.body.to_vec()));
            self.next = match read {
                Some((seq, body)) => self.reader.position(seq)?.map(|position| (position, body)),
                None => None,
            };
            self.dry = self.next.is_none();
        }
        Ok(())
    }
}

/// Where to begin in each history.
#[derive(Clone)]
pub enum Begin {
    /// At its first record.
    Start,
    /// At about this time, in µs of Unix time.
    Since(u64),
    /// With its last records, as many as this at the least.
    Last(usize),
    /// Behind these places; at the first record of a history of which none is known, or that was started anew since.
    Behind(HashMap<ConversationId, Position>),
}

/// Reads histories together.
pub struct Conversation {
    own: Own,
    begin: Begin,
    /// Only this peer's.
    only: Option<Peer>,
    streams: Vec<Stream>,
}

impl Conversation {
    /// Of one peer, or of all. Peers that come later are read from their first record on.
    pub fn new(own: &Own, only: Option<&Peer>, begin: Begin) -> Result<Conversation> {
        let mut conversation =
            Conversation { own: own.clone(), begin, only: only.cloned(), streams: Vec::new() };
        conversation.look_at(conversation.peers()?)?;
        if !matches!(conversation.begin, Begin::Behind(_)) {
            conversation.begin = Begin::Start;
        }
        Ok(conversation)
    }

    /// Looks again at everything: [`Conversation::next`] gives what has come since.
    pub fn look(&mut self) -> Result<()> {
        // With a typing error in the peers file, what was read before holds.
        self.look_at(self.peers().unwrap_or_default())
    }

    fn peers(&self) -> Result<Vec<Peer>> {
        match &self.only {
            Some(peer) => Ok(vec![peer.clone()]),
            None => Ok(Peers::load(self.own.home())?.iter().cloned().collect()),
        }
    }

    fn look_at(&mut self, peers: Vec<Peer>) -> Result<()> {
        for peer in peers {
            match self.streams.iter_mut().find(|stream| stream.peer.key == peer.key) {
                // It may have a new name.
                Some(stream) => stream.peer = peer,
                None => {
                    let mut reader = self.own.read_history(peer.conversation());
                    match &self.begin {
                        Begin::Start => {}
                        Begin::Since(micros) => reader.skip_to(*micros)?,
                        Begin::Last(count) => reader.skip_to_last(*count)?,
                        Begin::Behind(all) => {
                            all.get(&peer.conversation()).map_or(Ok(()), |at| reader.resume(*at))?
                        }
                    }
                    self.streams.push(Stream { peer, reader, next: None, given: None, dry: false });
                }
            }
        }
        self.streams.iter_mut().for_each(|stream| stream.dry = false);
        Ok(())
    }

    /// The oldest record that was not given yet, as a line to `show`; `false` when there is none for now.
    pub fn next(&mut self, mut show: impl FnMut(u64, &Line) -> Result<()>) -> Result<bool> {
        self.next_event(|peer, seq, event| show(seq, &Line::new(&peer.name, seq, event)))
    }

    /// The same as it is in the history. Records that cannot be understood are left out.
    pub fn next_event(&mut self, mut show: impl FnMut(&Peer, u64, Event) -> Result<()>) -> Result<bool> {
        for stream in &mut self.streams {
            stream.fill()?;
        }
        let waiting = self.streams.iter_mut().filter(|stream| stream.next.is_some());
        let Some(stream) = waiting.min_by_key(|stream| stream.next.as_ref().map(|(at, _)| at.seq)) else {
            return Ok(false);
        };
        let Some((position, body)) = stream.next.take() else { return Ok(false) };
        if let Ok(event) = history::decode(&body) {
            show(&stream.peer, position.seq, event)?;
        }
        stream.given = Some(position);
        Ok(true)
    }

    /// How far each history was given, of those of which something was.
    pub fn given(&self) -> impl Iterator<Item = (ConversationId, Position)> {
        self.streams.iter().filter_map(|stream| Some((stream.peer.conversation(), stream.given?)))
    }
}

/// Whether the raw text of the event contains `wanted`.
pub fn contains(event: &Event, wanted: &[u8]) -> bool {
    let (Event::Received { text, .. } | Event::Sent { text, .. } | Event::Dropped { text, .. }) = event
    else {
        let (Event::FileReceived { path, .. } | Event::FileSent { path, .. }) = event else { return false };
        return holds(path, wanted);
    };
    holds(text, wanted)
}

fn holds(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}
