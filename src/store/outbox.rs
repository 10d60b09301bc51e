//! The outbox of one peer: what waits to be delivered (egoat-files(5), OUTBOX).
//!
//! ```text
//! body    kind u8 ‖ queued u64 ‖ settled u64 ‖ rest
//!         1 queued: rest is the text, the record's seq is the message's number
//!         2 settled: everything up to `settled` is acknowledged
//!         3 afresh: the first record of a log that was started again
//! ```
//!
//! `queued` is the highest number given out and `settled` the highest acknowledged one, up to and with this record: the
//! last record alone says whether something waits. Messages are acknowledged in order, so two numbers are enough.

use crate::error::{Error, Result};
use crate::store::history::Numbered;
use crate::store::log::{Log, LogId, MAX_SEQ, Reader};
use crate::wire::codec::{Malformed, Reader as Fields, Writer};
use crate::wire::message::MAX_TEXT;

const QUEUED: u8 = 1;
const SETTLED: u8 = 2;
const AFRESH: u8 = 3;

/// An outbox in which nothing waits is started afresh when it has more bytes than this.
const GROWN: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    queued: u64,
    settled: u64,
}

impl Numbers {
    fn decode(body: &[u8]) -> std::result::Result<(u8, Numbers), Malformed> {
        let mut fields = Fields::new(body);
        Ok((fields.u8("kind")?, Numbers { queued: fields.u64("queued")?, settled: fields.u64("settled")? }))
    }

    fn of(log: &Log) -> Numbers {
        // Only an empty log has a last record without them.
        Numbers::decode(log.last_head()).map(|(_, numbers)| numbers).unwrap_or_default()
    }

    fn body(self, kind: u8, text: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(17 + text.len());
        body.put_u8(kind);
        body.put_u64(self.queued);
        body.put_u64(self.settled);
        body.put(text);
        body
    }
}

/// A peer's outbox.
pub struct Outbox {
    id: LogId,
    log: Log,
    report: fn(&str),
}

impl Outbox {
    /// Opens or creates it.
    pub fn open(id: LogId, report: fn(&str)) -> Result<Outbox> {
        Ok(Outbox { log: Log::open(id.clone(), report)?, id, report })
    }

    /// Queues a message; on disk when it returns. Gives its number.
    pub fn queue(&mut self, text: &[u8]) -> Result<u64> {
        if text.len() > MAX_TEXT {
            return Err(Error::Usage {
                what: format!("the message has {} bytes, and {MAX_TEXT} is the limit", text.len()),
                hint: Some("send it as a file: `egoat send PEER -- FILE`".into()),
            });
        }
        let mut log = self.log.lock()?;
        let number = log.next_seq();
        let numbers = Numbers { queued: number, ..Numbers::of(log.log()) };
        log.push(number, &numbers.body(QUEUED, text))?;
        log.commit(true)?;
        Ok(number)
    }

    /// Notes that everything up to `number` is acknowledged. Not synced: if it is lost, the message goes out again, and
    /// the receiver knows it by its number. Starts the log afresh when nothing waits and it has grown.
    pub fn settle(&mut self, number: u64) -> Result<()> {
        let mut log = self.log.lock()?;
        let before = Numbers::of(log.log());
        let numbers = Numbers { settled: number.min(before.queued), ..before };
        if numbers.settled <= before.settled {
            return Ok(());
        }
        if numbers.settled == numbers.queued && log.log().len() > GROWN {
            let first = (log.next_seq(), numbers.body(AFRESH, &[]));
            return Log::start_afresh(log, &mut std::iter::once(Ok(first)));
        }
        let seq = log.next_seq();
        log.push(seq, &numbers.body(SETTLED, &[]))?;
        log.commit(false)
    }

    /// Whether the message `number` is acknowledged, as far as the log says now.
    pub fn is_settled(&mut self, number: u64) -> Result<bool> {
        self.log.refresh()?;
        Ok(Numbers::of(&self.log).settled >= number)
    }

    /// Whether something waits, as far as the log says now.
    pub fn has_pending(&mut self) -> Result<bool> {
        self.log.refresh()?;
        let numbers = Numbers::of(&self.log);
        Ok(numbers.settled < numbers.queued)
    }

    /// Whether this outbox has ever given out `number` or a higher one.
    pub fn has_issued(&mut self, number: u64) -> Result<bool> {
        self.log.refresh()?;
        Ok(self.log.last_seq() >= number)
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
        let log = self.log.lock()?;
        // Under the lock, so that nothing is left out and nothing is acknowledged meanwhile.
        let mut waiting = Pending {
            reader: Reader::new(self.id.clone(), self.report),
            settled: Numbers::of(log.log()).settled,
        };
        let settled = held.max(log.next_seq());
        let first = (settled, Numbers { queued: settled, settled }.body(AFRESH, &[]));
        let mut number = settled;
        let mut renumbered = std::iter::from_fn(|| {
            let next = waiting.read().transpose()?;
            number += 1;
            Some(next.map(|(_, text)| (number, Numbers { queued: number, settled }.body(QUEUED, &text))))
        });
        Log::start_afresh(log, &mut std::iter::once(Ok(first)).chain(&mut renumbered))
    }

    /// Reads what waits, oldest first, and what was acknowledged since this outbox was last looked at.
    pub fn pending(&self) -> Pending {
        let settled = Numbers::of(&self.log).settled;
        Pending { reader: Reader::new(self.id.clone(), self.report), settled }
    }
}

/// A reader of what waits; at the end it can be asked again later.
pub struct Pending {
    reader: Reader,
    settled: u64,
}

impl Pending {
    /// The next message that is not acknowledged.
    pub fn read(&mut self) -> Result<Option<Numbered>> {
        while let Some(record) = self.reader.read()? {
            let Ok((kind, numbers)) = Numbers::decode(record.body) else { continue };
            self.settled = self.settled.max(numbers.settled);
            if kind == QUEUED && record.seq > self.settled {
                return Ok(Some((record.seq, record.body[17..].to_vec())));
            }
        }
        Ok(None)
    }

    /// Gives memory back while nothing waits.
    pub fn release_memory(&mut self) {
        self.reader.release_memory();
    }
}
