//! The inbox: what was said in each conversation, what of that is unread, and who is here.
//!
//! A conversation is read up to the last record that an interactive chat has shown. One without such a mark was never open,
//! so all that has arrived in it is unread.

pub mod deletion;
pub mod entry;
pub mod histories;
pub mod pages;
pub mod pattern;

use std::collections::HashMap;
use std::path::Path;

use crate::app::contacts;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::history::{self, MAX_UNREAD};
use crate::store::home::Own;
use crate::store::log::{Position, Reader};
use crate::store::peers::Peer;

pub use crate::store::conversation::ConversationId;
pub use crate::store::cursor::Cursor;
pub use crate::store::presence::Presence;

/// What arrived in a part of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArrivalCount {
    /// Records.
    pub records: usize,
    /// Messages and files from the peer among them.
    pub count: usize,
    /// The number of the last record.
    pub last: Option<u64>,
}

impl ArrivalCount {
    /// Counts the records of `reader` before the record `end`, and stops at `most` messages and files.
    fn count(mut reader: Reader, end: u64, most: usize) -> Result<ArrivalCount> {
        let mut arrived = ArrivalCount::default();
        while arrived.count < most
            && let Some(record) = reader.read()?
            && record.seq < end
        {
            arrived.records += 1;
            arrived.count += usize::from(history::decode(record.body).is_ok_and(|event| event.is_arrival()));
            arrived.last = Some(record.seq);
        }
        Ok(arrived)
    }
}

/// What is unread in a conversation that was read up to the record `read`, before the record `end`; counted up to `most`.
pub(super) fn unread(
    own: &Own,
    id: ConversationId,
    read: Option<u64>,
    end: u64,
    most: usize,
) -> Result<ArrivalCount> {
    let mut reader = own.read_history(id);
    if let Some(read) = read {
        reader.skip_behind(read)?;
    }
    ArrivalCount::count(reader, end, most)
}

/// What is unread in a conversation that was read up to the record `read`. The last record is that of the history.
pub fn unread_behind(own: &Own, id: ConversationId, read: Option<u64>) -> Result<ArrivalCount> {
    let arrived = unread(own, id, read, u64::MAX, usize::MAX)?;
    Ok(ArrivalCount { count: arrived.count.min(MAX_UNREAD), ..arrived })
}

/// What is unread before the record `end`.
pub fn unread_between(own: &Own, id: ConversationId, read: Option<u64>, end: u64) -> Result<ArrivalCount> {
    unread(own, id, read, end, usize::MAX)
}

/// The peers with something unread, and how much that is; more than 999 are not counted. Nothing is locked or written.
pub fn unread_peers(own: &Own) -> Result<Vec<(Peer, usize)>> {
    let marks = own.read_marks()?;
    let mut unread_peers = Vec::new();
    for peer in contacts::all(own)? {
        let id = peer.conversation();
        let arrived = unread(own, id, marks.get(&id).copied(), u64::MAX, MAX_UNREAD)?;
        if arrived.count > 0 {
            unread_peers.push((peer, arrived.count));
        }
    }
    Ok(unread_peers)
}

/// Notes that a conversation was read up to the record `seq`.
pub fn note_read(own: &Own, peer: &Peer, seq: u64) -> Result<()> {
    own.notes()?.set_read(peer.conversation(), seq)
}

/// Opens the cursor of a reader. One that is not there yet is made when it is saved; that its directory is missing is an
/// error now, and not when everything is printed.
pub fn open_cursor(path: &Path) -> Result<Cursor> {
    let cursor = Cursor::open(path)?;
    if cursor.is_new() {
        let dir = file::parent(path);
        dir.metadata().map_err(Error::disk(Verb::Open, dir))?;
    }
    Ok(cursor)
}

/// How far each conversation was read.
pub fn read_positions(own: &Own) -> Result<HashMap<ConversationId, Position>> {
    let mut positions = HashMap::new();
    for (id, seq) in own.read_marks()? {
        positions.extend(own.read_history(id).position(seq)?.map(|position| (id, position)));
    }
    Ok(positions)
}
