//! A history in parts, for a view that loads what its user scrolls to; and what of it has a text.

use crate::app::contacts;
use crate::app::inbox::entry::HistoryEntry;
use crate::app::inbox::pattern::Pattern;
use crate::error::Result;
use crate::store::history;
use crate::store::home::Own;
use crate::store::log::Record;
use crate::store::peers::Peer;

/// Which part of a history.
#[derive(Clone, Copy)]
pub enum Part {
    /// The last records with a lower number.
    Before(u64),
    /// The first records with a higher number.
    After(u64),
}

/// The entry of a record; `None` if it cannot be understood.
fn entry<'a>(record: &Record<'a>) -> Option<HistoryEntry<'a>> {
    let (times, event) = (history::times(record.seq, record.body).ok()?, history::decode(record.body).ok()?);
    Some(HistoryEntry { seq: record.seq, times, event })
}

/// Shows at most so many entries, oldest first. Returns whether there are more on that side.
pub fn read(
    own: &Own,
    peer: &Peer,
    part: Part,
    most: usize,
    mut show: impl FnMut(&HistoryEntry),
) -> Result<bool> {
    let (from, end, mut more) = match part {
        Part::After(seq) => (seq, u64::MAX, false),
        Part::Before(end) => {
            // Numbers alone: an entry may have 1 MiB.
            let mut last: Vec<u64> = Vec::new();
            let mut reader = own.read_history(peer.conversation());
            reader.skip_to_last_before(most + 1, end)?;
            while let Some(record) = reader.read()?.filter(|record| record.seq < end) {
                last.extend(entry(&record).map(|entry| entry.seq));
                if last.len() > most + 1 {
                    last.remove(0);
                }
            }
            let more = last.len() > most;
            let first = last.get(usize::from(more)).copied().unwrap_or(end);
            (first.saturating_sub(1), end, more)
        }
    };
    let mut reader = own.read_history(peer.conversation());
    reader.skip_behind(from)?;
    let mut left = most;
    while let Some(record) = reader.read()?.filter(|record| record.seq < end) {
        let Some(entry) = entry(&record) else { continue };
        if left == 0 {
            more = true;
            break;
        }
        show(&entry);
        left -= 1;
    }
    Ok(more)
}

/// Shows the entry of this number, if it is there.
pub fn one(own: &Own, peer: &Peer, seq: u64, mut show: impl FnMut(&HistoryEntry)) -> Result<()> {
    read(own, peer, Part::After(seq.saturating_sub(1)), 1, |entry| {
        if entry.seq == seq {
            show(entry);
        }
    })
    .map(drop)
}

/// Shows entries that have all the patterns, oldest first: without the newest `skip`, the newest of the others, at most `most`;
/// of one peer, or of all. Returns how many have them in all.
pub fn find(
    own: &Own,
    only: Option<Peer>,
    patterns: &[Pattern],
    (skip, most): (usize, usize),
    mut show: impl FnMut(&Peer, &HistoryEntry),
) -> Result<u64> {
    let peers = only.map_or_else(|| contacts::all(own), |peer| Ok(vec![peer]))?;
    let mut found: Vec<(u64, u64, usize)> = Vec::new();
    let mut total = 0;
    for (place, peer) in peers.iter().enumerate() {
        let mut reader = own.read_history(peer.conversation());
        while let Some(record) = reader.read()? {
            let has_all = |entry: &HistoryEntry| patterns.iter().all(|pattern| entry.contains(pattern));
            let Some(entry) = entry(&record).filter(has_all) else { continue };
            total += 1;
            let newest = (entry.noted().unwrap_or(0), entry.seq, place);
            let rank = found.partition_point(|other| *other < newest);
            found.insert(rank, newest);
            if found.len() > skip + most {
                found.remove(0);
            }
        }
    }
    found.truncate(found.len().saturating_sub(skip));
    for (_, seq, place) in found {
        one(own, &peers[place], seq, |entry| show(&peers[place], entry))?;
    }
    Ok(total)
}
