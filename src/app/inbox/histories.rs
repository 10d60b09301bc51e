//! The histories of several conversations as one stream in the order of time, now and as they grow.

use std::collections::HashMap;

use crate::app::inbox::entry::HistoryEntry;
use crate::error::Result;
use crate::store::conversation::ConversationId;
use crate::store::history;
use crate::store::home::Own;
use crate::store::log::{Position, Reader};
use crate::store::peers::{Peer, Peers};
use crate::time;

/// One peer's history, and the record that is next.
struct PeerHistory {
    peer: Peer,
    reader: Reader,
    next: Option<(Position, Vec<u8>)>,
    /// When that was noted; of one whose time is not known, when the one before was.
    noted: u64,
    /// Where the last record is that was given.
    given: Option<Position>,
    /// Nothing more was there when it was last read.
    dry: bool,
}

impl PeerHistory {
    fn fill(&mut self) -> Result<()> {
        if self.next.is_none() && !self.dry {
            let read = self.reader.read()?.map(|record| (record.seq, record.body.to_vec()));
            self.next = match read {
                Some((seq, body)) => self.reader.position(seq)?.map(|position| (position, body)),
                None => None,
            };
            if let Some((position, body)) = &self.next
                && let Ok(times) = history::times(position.seq, body)
            {
                self.noted = time::believed(times.noted).unwrap_or(self.noted);
            }
            self.dry = self.next.is_none();
        }
        Ok(())
    }
}

/// Where to begin in each history.
#[derive(Clone)]
pub enum StartAt {
    /// At its first record.
    Start,
    /// Before all that was noted from this time on, in µs of Unix time; other records may come first.
    Since(u64),
    /// With its last records, as many as this at the least.
    Last(usize),
    /// Behind these places; at the first record of a history of which none is known, or that was started anew since.
    Behind(HashMap<ConversationId, Position>),
}

/// Reads histories together.
pub struct Histories {
    own: Own,
    begin: StartAt,
    /// Only this peer's.
    only: Option<Peer>,
    streams: Vec<PeerHistory>,
}

impl Histories {
    /// Of one peer, or of all. Peers that come later are read from their first record on.
    pub fn new(own: &Own, only: Option<&Peer>, begin: StartAt) -> Result<Histories> {
        let mut histories = Histories { own: own.clone(), begin, only: only.cloned(), streams: Vec::new() };
        histories.look_at(histories.peers()?)?;
        if !matches!(histories.begin, StartAt::Behind(_)) {
            histories.begin = StartAt::Start;
        }
        Ok(histories)
    }

    /// Looks again at everything: [`Histories::next`] gives what has come since.
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
                        StartAt::Start => {}
                        // No record is noted later than its number says.
                        StartAt::Since(micros) => reader.skip_to(*micros)?,
                        StartAt::Last(count) => reader.skip_to_last(*count)?,
                        StartAt::Behind(all) => {
                            all.get(&peer.conversation()).map_or(Ok(()), |at| reader.resume(*at))?
                        }
                    }
                    self.streams.push(PeerHistory {
                        peer,
                        reader,
                        next: None,
                        noted: 0,
                        given: None,
                        dry: false,
                    });
                }
            }
        }
        self.streams.iter_mut().for_each(|stream| stream.dry = false);
        Ok(())
    }

    /// Shows the oldest record, by when it was noted, that was not given yet; `false` when there is none for now. Records
    /// that cannot be understood are left out.
    pub fn next(&mut self, mut show: impl FnMut(&Peer, &HistoryEntry) -> Result<()>) -> Result<bool> {
        for stream in &mut self.streams {
            stream.fill()?;
        }
        let waiting = self.streams.iter_mut().filter(|stream| stream.next.is_some());
        let Some(stream) = waiting.min_by_key(|stream| stream.noted) else { return Ok(false) };
        let Some((position, body)) = stream.next.take() else { return Ok(false) };
        let seq = position.seq;
        if let (Ok(times), Ok(event)) = (history::times(seq, &body), history::decode(&body)) {
            show(&stream.peer, &HistoryEntry { seq, times, event })?;
        }
        stream.given = Some(position);
        Ok(true)
    }

    /// How far each history was given, of those of which something was.
    pub fn given(&self) -> impl Iterator<Item = (ConversationId, Position)> {
        self.streams.iter().filter_map(|stream| Some((stream.peer.conversation(), stream.given?)))
    }
}
