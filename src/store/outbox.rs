//! The outbox of one peer: what waits to be delivered (egoat-files(5), OUTBOX). `record` has its records, and `pending`
//! reads what waits; `keyed` finds a message by its key.

mod keyed;
mod pending;
mod record;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::log::{COMPACT_ABOVE, Log, LogId, MAX_SEQ, Reader, Report};
use crate::store::outbox::keyed::KeySearch;
use crate::store::outbox::record::{Counters, Entry, Renumbering};
use crate::text;
use crate::time::now_micros;

pub use pending::Pending;
pub use record::{Draft, MAX_KEY, QueuedMessage};

/// The outbox may be renumbered this often before pauses begin: a peer that was restored from a backup needs it once.
const FREE_RENUMBERINGS: u32 = 2;
/// The first pause after that, in µs; each next one is twice as long.
const RENUMBERING_PAUSE: u64 = 60_000_000;
/// The longest pause, in µs: a day.
const MAX_RENUMBERING_PAUSE: u64 = 24 * 60 * RENUMBERING_PAUSE;

/// A peer's outbox.
pub struct Outbox {
    id: LogId,
    log: Log,
}

impl Outbox {
    /// Opens or creates it.
    pub fn open(id: LogId, report: Report) -> Result<Outbox> {
        Ok(Outbox { log: Log::open(id.clone(), report)?, id })
    }

    /// Queues messages; on disk when it returns. Gives the number of the last one.
    pub fn queue(&mut self, drafts: &[Draft]) -> Result<u64> {
        drafts.iter().try_for_each(Draft::check)?;
        let mut log = self.log.lock()?;
        let mut numbers = Counters::of(log.log());
        for draft in drafts {
            numbers.queued = log.next_seq();
            log.push(numbers.queued, &numbers.queued(now_micros(), draft))?;
        }
        log.commit(true)?;
        Ok(numbers.queued)
    }

    /// Queues a message unless one with its key waits already, or `find_done` finds one among the delivered ones; returns the
    /// number of either, and whether it is new. A message that was dropped does not count, nor one whose time is over.
    ///
    /// If none waits, `find_done` is called without the lock of the outbox, so that a long history keeps nobody waiting. If
    /// it finds nothing, it is called again under the lock, and has to look at what was appended since. Nothing moves from
    /// here to the history during that call.
    pub fn queue_once(
        &mut self,
        draft: &Draft,
        mut find_done: impl FnMut() -> Result<Option<u64>>,
    ) -> Result<(u64, bool)> {
        draft.check()?;
        self.log.refresh()?;
        let mut waiting = KeySearch::new(&self.log, &draft.key)?;
        let mut is_searched = false;
        loop {
            self.log.refresh()?;
            if waiting.find(&self.log)?.is_none() {
                if let Some(number) = find_done()? {
                    return Ok((number, false));
                }
                is_searched = true;
            }
            let mut log = self.log.lock()?;
            let found = waiting.find(log.log())?;
            if found.is_none() && !is_searched {
                // It went out, or was dropped, since it was found.
                continue;
            }
            if let Some(number) = found.map_or_else(&mut find_done, |number| Ok(Some(number)))? {
                // Whoever queued it may have been killed before it was synced.
                log.commit(true)?;
                return Ok((number, false));
            }
            let number = log.next_seq();
            let numbers = Counters { queued: number, ..Counters::of(log.log()) };
            log.push(number, &numbers.queued(now_micros(), draft))?;
            log.commit(true)?;
            return Ok((number, true));
        }
    }

    /// Takes messages out that wait: they are not sent any more. `note` has to note them durably before, and returns those
    /// that it noted; nothing is settled meanwhile. On disk when it returns. Returns those that are dropped.
    pub fn drop_messages(
        &mut self,
        wanted: impl Fn(&QueuedMessage) -> bool,
        note: impl FnOnce(Vec<QueuedMessage>) -> Result<Vec<QueuedMessage>>,
    ) -> Result<Vec<QueuedMessage>> {
        let mut log = self.log.lock()?;
        let mut numbers = Counters::of(log.log());
        let mut pending = Pending::new(log.log().reader(), log.log().reader_of_news(), numbers, 0);
        let mut chosen = Vec::new();
        while let Some(waiting) = pending.read()? {
            if wanted(&waiting) {
                chosen.push(waiting);
            }
        }
        if chosen.is_empty() {
            return Ok(chosen);
        }
        let noted = note(chosen)?;
        for message in &noted {
            numbers.dropped = numbers.dropped.saturating_add(1);
            log.push(log.next_seq(), &numbers.dropped(message.number))?;
        }
        log.commit(true)?;
        Ok(noted)
    }

    /// Notes that `messages`, which `pending` gave, go out now, but for those that were dropped meanwhile: these are taken out
    /// of them. Returns once all of them are on the disk: a message that goes out earlier, and is lost here in a power cut,
    /// makes the home look like one that was restored from a backup. The note itself is not synced.
    pub fn note_sent(&mut self, pending: &mut Pending, messages: &mut Vec<QueuedMessage>) -> Result<()> {
        // Whoever queues keeps the lock until it is synced.
        let mut log = self.log.lock()?;
        pending.retain_waiting(messages)?;
        let Some(last) = messages.last() else { return Ok(()) };
        // A peer that refuses us is tried for days, and each try would add a note.
        if Entry::decode_mark(log.log().last_head()) == Some(Entry::Sent(last.number)) {
            return Ok(());
        }
        log.push(log.next_seq(), &Counters::of(log.log()).sent(last.number))?;
        log.commit(false)
    }

    /// Notes that everything up to `number` is acknowledged. Not synced: if it is lost, the message goes out again, and
    /// the receiver knows it by its number. Starts the log afresh when nothing waits and it has grown.
    pub fn settle(&mut self, number: u64) -> Result<()> {
        let mut log = self.log.lock()?;
        let before = Counters::of(log.log());
        let numbers = Counters { settled: number.min(before.queued), ..before };
        if numbers.settled <= before.settled {
            return Ok(());
        }
        let seq = log.next_seq();
        if numbers.settled == numbers.queued && log.log().len() > COMPACT_ABOVE {
            let first = (seq, Counters { dropped: 0, ..numbers }.afresh());
            if Log::shorten(&mut log, &mut std::iter::once(Ok(first))) {
                return Ok(());
            }
        }
        log.push(seq, &numbers.settled())?;
        log.commit(false)
    }

    /// Notes that nothing waits, if what was queued last is dropped, and so is all else that is not settled.
    pub fn settle_dropped(&mut self) -> Result<()> {
        self.log.refresh()?;
        let numbers = Counters::of(&self.log);
        if numbers.dropped == 0 || numbers.settled == numbers.queued || self.pending().read()?.is_some() {
            return Ok(());
        }
        // What was queued since has a higher number, and is not settled by this.
        self.settle(numbers.queued)
    }

    /// Whether the message `number` is done with, as far as the log says now.
    pub fn is_settled(&mut self, number: u64) -> Result<bool> {
        self.log.refresh()?;
        Ok(Counters::of(&self.log).settled >= number)
    }

    /// Whether the message `number` was taken out. `None` when nothing is known of it here any more.
    pub fn is_dropped(&mut self, number: u64) -> Result<Option<bool>> {
        self.log.refresh()?;
        let mut reader = self.log.reader();
        let mut is_first = true;
        while let Some(record) = reader.read()? {
            if std::mem::take(&mut is_first) && record.seq > number {
                // The log was started afresh since.
                return Ok(None);
            }
            if Entry::decode_mark(record.body) == Some(Entry::Dropped(number)) {
                return Ok(Some(true));
            }
            // Most often nothing was.
            if Counters::of(&self.log).dropped == 0 {
                break;
            }
        }
        Ok(Some(false))
    }

    /// How many messages of this file were taken out. While there are no more, [`Outbox::is_dropped`] says the same.
    pub fn count_dropped(&mut self) -> Result<u32> {
        self.log.refresh()?;
        Ok(Counters::of(&self.log).dropped)
    }

    /// Whether something waits, as far as the log says now; what is dropped may count until the next contact.
    pub fn has_pending(&mut self) -> Result<bool> {
        self.log.refresh()?;
        let numbers = Counters::of(&self.log);
        Ok(numbers.settled < numbers.queued)
    }

    /// Whether this outbox gave out `number`, as far as it still knows: it is queued here, or settled with all before it.
    /// One that was restored from a backup may know higher numbers, but not those that it gave out before it was restored.
    pub fn has_issued(&self, number: u64) -> Result<bool> {
        let mut reader = self.silent_reader();
        // What a log begins with was given out before, or is held by the peer as if it had been.
        let starts_above = reader.read()?.is_some_and(|first| {
            first.seq >= number && matches!(Entry::decode_mark(first.body), Some(Entry::Afresh(_)))
        });
        if starts_above || Counters::of(&self.log).settled >= number {
            return Ok(true);
        }
        reader.skip_to(number)?;
        while let Some(record) = reader.read()? {
            if record.seq >= number {
                let is_message = matches!(Entry::decode(record.body), Ok(Entry::Queued { .. }));
                return Ok(record.seq == number && is_message);
            }
        }
        Ok(false)
    }

    /// Gives everything that waits a number above `held`, which the receiver holds but this outbox never gave out: it was
    /// restored from a backup, and the receiver would take new messages for old ones.
    pub fn reissue_above(&mut self, held: u64) -> Result<()> {
        // The number is the peer's word. Half of all are far in the future, and the rest is left for what comes after.
        if held > MAX_SEQ / 2 {
            return Err(Error::failed(format!(
                "the peer says that it holds message {held}, which no clock gives"
            )));
        }
        let renumbering = self.next_renumbering()?;
        let mut log = self.log.lock()?;
        // Under the lock, so that nothing is left out and nothing is acknowledged meanwhile.
        let (reader, news) = (log.log().reader(), log.log().reader_of_news());
        let mut waiting = Pending::new(reader, news, Counters::of(log.log()), 0);
        // What was settled stays as it is, so that nobody who waits for an old number takes it for delivered.
        let settled = Counters::of(log.log()).settled;
        let mut number = held.max(log.next_seq());
        let counters = |number| Counters { queued: number, settled, dropped: 0 };
        let first = (number, Counters { queued: settled, settled, dropped: 0 }.renumbered(renumbering));
        let mut renumbered = std::iter::from_fn(|| {
            let next = waiting.read().transpose()?;
            number += 1;
            Some(next.map(|waiting| (number, counters(number).queued(waiting.said, &waiting.draft))))
        });
        Log::start_afresh(&mut log, &mut std::iter::once(Ok(first)).chain(&mut renumbered))
    }

    /// What the log is to say about its next renumbering; fails while it is not yet time for one. A peer that names ever higher
    /// numbers would have all that waits written anew as often as it connects.
    fn next_renumbering(&self) -> Result<Renumbering> {
        let first = self.silent_reader().read()?.and_then(|first| Entry::decode_mark(first.body));
        let before = match first {
            Some(Entry::Afresh(renumbering)) => renumbering,
            _ => Renumbering::default(),
        };
        let doublings = before.times.checked_sub(FREE_RENUMBERINGS);
        let pause = doublings
            .map_or(0, |doublings| MAX_RENUMBERING_PAUSE.min(RENUMBERING_PAUSE << doublings.min(16)));
        let now = now_micros();
        // A clock that went back is no reason to wait for years.
        let left = pause.saturating_sub(now.abs_diff(before.last));
        if left > 0 {
            return Err(Error::failed(format!(
                "the peer names ever higher numbers of messages that it cannot have; it is tried again in {}",
                text::duration(Duration::from_micros(left))
            )));
        }
        Ok(Renumbering { times: before.times.saturating_add(1), last: now })
    }

    /// Damage is told by those who read what waits.
    fn silent_reader(&self) -> Reader {
        Reader::new(self.id.clone(), Arc::new(|_: &str| ()))
    }

    /// Reads what waits, oldest first, and what was done with since this outbox was last looked at.
    pub fn pending(&self) -> Pending {
        self.pending_of(0)
    }

    /// The same for a flow to a receiver that holds everything up to `held`: with what was dropped and is held all the same.
    pub fn pending_of(&self, held: u64) -> Pending {
        Pending::new(self.log.reader(), self.log.reader_of_news(), Counters::of(&self.log), held)
    }
}
