//! The sending end of a transfer of files once it is taken: the chunks over the session and its lanes, and the end. It leaves out
//! the offer, whom to dial, and the lanes' threads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::session::{PING_AFTER, Progress, Session};
use crate::net::transport::Closer;
use crate::transfer::refusal::failed;
use crate::transfer::source::{SourceReader, Sources};
use crate::transfer::tally::Tally;
use crate::wire::message::{CHUNK, Failure, Message, PIECE};

/// When a lane is lost, the session says why within this, or has nothing to say.
const REASON_TIMEOUT: Duration = Duration::from_secs(5);

/// A lane of which the receiver confirms nothing for this long, while others go on, is given up: what it carried goes over
/// the others. TCP itself pauses for less after a few lost packets in a row.
const LANE_STALL: Duration = Duration::from_secs(10);

/// Fewer bytes than this may stay unconfirmed without a stall: the receiver says how much has arrived after 512.
const FEW_BYTES: u64 = 2048;

/// A path on which a chunk takes longer than this gains nothing from lanes, which would only share it: 60 kB/s.
const FAST_CHUNK: Duration = Duration::from_secs(4);

/// A lane on which a chunk takes longer than this leaves the rest to the others: 8 kB/s.
const SLOW_CHUNK: Duration = Duration::from_secs(30);

/// How often the thread that waits for lanes checks whether the user has stopped the transfer.
const STOP_POLL: Duration = Duration::from_secs(1);

/// Files that go out over a session and its lanes.
pub struct Outbound {
    sources: Arc<Sources>,
    tally: Arc<Tally>,
    proven: Vec<Range<u64>>,
    /// The next chunk that nobody has taken.
    next: AtomicU64,
    /// How many were sent.
    sent: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Lanes that send.
    lanes: Vec<Lane>,
    /// Gives each lane a number.
    last_lane: usize,
    /// Chunks of lanes that were lost, to be sent again.
    again: Vec<u64>,
    /// The path is fast enough for lanes.
    is_fast: bool,
    failed: Option<Error>,
    /// End the lanes.
    closers: Vec<Closer>,
    /// Nobody takes another chunk.
    over: bool,
}

impl State {
    fn close_stalled(&mut self) {
        for lane in &mut self.lanes {
            if lane.is_stalled() {
                lane.closer.close();
            }
        }
    }
}

/// A lane, as the other threads watch it.
struct Lane {
    number: usize,
    closer: Closer,
    progress: Option<Progress>,
    /// What was confirmed when it was seen to wait, and since when that has not changed.
    waiting: Option<(u64, Instant)>,
}

impl Lane {
    fn is_stalled(&mut self) -> bool {
        let Some(progress) = self.progress.as_ref().filter(|progress| progress.unconfirmed() >= FEW_BYTES)
        else {
            self.waiting = None;
            return false;
        };
        let confirmed = progress.confirmed();
        match self.waiting {
            Some((before, since)) if before == confirmed => since.elapsed() >= LANE_STALL,
            _ => {
                self.waiting = Some((confirmed, Instant::now()));
                false
            }
        }
    }
}

/// A chunk on its way.
struct Carried {
    index: u64,
    /// How many of its bytes were sent.
    bytes: usize,
    /// Where it ends in the stream of its connection, once all of it was sent.
    end: u64,
}

impl Carried {
    fn new(index: u64) -> Carried {
        Carried { index, bytes: 0, end: u64::MAX }
    }
}

impl Outbound {
    /// All chunks but those that are `proven`.
    pub fn new(sources: &Arc<Sources>, proven: Vec<Range<u64>>, tally: &Arc<Tally>) -> Outbound {
        let outbound = Outbound {
            sources: Arc::clone(sources),
            tally: Arc::clone(tally),
            proven,
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let manifest = sources.manifest();
        let held: u64 = outbound
            .proven
            .iter()
            .map(|run| (run.end * CHUNK as u64).min(manifest.bytes()) - run.start * CHUNK as u64)
            .sum();
        tally.hold(held);
        outbound
    }

    /// How many chunks are to be sent.
    pub fn chunks(&self) -> u64 {
        let proven: u64 = self.proven.iter().map(|run| run.end - run.start).sum();
        self.sources.manifest().chunks() - proven
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The next chunk for whoever asks; none when all are taken, or it is of no use any more.
    fn next_chunk(&self) -> Option<u64> {
        if let Err(stop) = self.tally.check_stop() {
            self.fail(stop);
        }
        let mut state = self.state();
        state.close_stalled();
        if state.over {
            return None;
        }
        if let Some(index) = state.again.pop() {
            return Some(index);
        }
        drop(state);
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let after = self.proven.partition_point(|run| run.end <= index);
            let is_proven = self.proven.get(after).is_some_and(|run| run.start <= index);
            if !is_proven {
                return (index < self.sources.manifest().chunks()).then_some(index);
            }
        }
    }

    /// Waits until the session has shown that the path is fast; says whether a lane that begins now would find something
    /// to do.
    pub fn wait_until_fast(&self) -> bool {
        let state = self.state();
        drop(self.changed.wait_while(state, |state| !state.is_fast && !state.over));
        self.has_more()
    }

    /// Whether a lane that begins now would find something to do.
    pub fn has_more(&self) -> bool {
        !self.state().over && self.next.load(Ordering::Relaxed) < self.sources.manifest().chunks()
    }

    fn send_chunk(
        &self,
        session: &mut Session,
        reader: &mut SourceReader,
        chunk: &mut Carried,
    ) -> Result<()> {
        let length = self.sources.manifest().chunk_len(chunk.index);
        while chunk.bytes < length {
            let at = chunk.index * CHUNK as u64 + chunk.bytes as u64;
            let part = PIECE.min(length - chunk.bytes);
            session.write_piece(at, part, |bytes| reader.read(at, bytes))?;
            chunk.bytes += part;
            self.tally.add(part as u64);
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Some(progress) = session.progress() {
            chunk.end = progress.sent();
        }
        Ok(())
    }

    /// The session's own part, while there is something to send; it also takes what lanes that are lost have left.
    fn send_share(&self, session: &mut Session, reader: &mut SourceReader) -> Result<()> {
        while !session.has_input()? {
            let Some(index) = self.next_chunk() else { return Ok(()) };
            let begun = Instant::now();
            if let Err(error) = self.send_chunk(session, reader, &mut Carried::new(index)) {
                self.fail(error);
            }
            if begun.elapsed() < FAST_CHUNK {
                self.allow_lanes();
            }
        }
        // The receiver has spoken before all was sent.
        self.end();
        Ok(())
    }

    fn allow_lanes(&self) {
        if !std::mem::replace(&mut self.state().is_fast, true) {
            self.changed.notify_all();
        }
    }

    fn end(&self) {
        self.state().over = true;
        self.changed.notify_all();
    }

    /// The session's own part, until all files are in place on the receiver's disk. Gives it back for the goodbye.
    pub fn run(&self, mut session: Session) -> Result<Session> {
        session.write(&Message::Start(self.chunks()))?;
        self.tally.add_lane();
        let mut reader = self.sources.reader();
        self.send_share(&mut session, &mut reader)?;
        while self.wait_for_lanes(&mut session)? {
            self.send_share(&mut session, &mut reader)?;
        }
        let failed = self.state().failed.take();
        match failed {
            // The user has stopped it, or a file cannot be read as it was.
            Some(error @ (Error::Source { .. } | Error::Stopped)) => {
                session.finish(&Message::Failed(failure_of(&error)))?;
                return Err(error);
            }
            // The receiver may have closed it, and says why. It looks for that when something comes on the session, which
            // may have brought its share long ago.
            Some(error) => {
                let _ = session.send(&Message::Ping);
                session.set_deadline(Some(Deadline::after(REASON_TIMEOUT)));
                return match stored(session) {
                    Err(reason @ (Error::Remote { .. } | Error::StoppedThere { .. })) => Err(reason),
                    Err(_) => Err(error),
                    // What was lost was not needed any more.
                    stored => stored,
                };
            }
            None => {}
        }
        // If the receiver has said something already, this END is not read any more, and does no harm.
        session.send(&Message::End)?;
        session.skip_ignorable(true);
        if self.sent.load(Ordering::Relaxed) < self.chunks() {
            Err(interrupted(session))
        } else {
            stored(session)
        }
    }

    fn fail(&self, error: Error) {
        self.state().failed.get_or_insert(error);
        self.end();
    }

    /// Waits until no lane sends any more; `true` when one has left something to send before that.
    fn wait_for_lanes(&self, session: &mut Session) -> Result<bool> {
        let mut last_sent = Instant::now();
        loop {
            let mut state = self.state();
            if state.over || !state.again.is_empty() {
                return Ok(!state.over);
            }
            if state.lanes.is_empty() {
                return Ok(false);
            }
            state.close_stalled();
            drop(self.changed.wait_timeout(state, STOP_POLL));
            // A lane that hangs does not see it.
            if let Err(stop) = self.tally.check_stop() {
                self.fail(stop);
            }
            if last_sent.elapsed() >= PING_AFTER {
                last_sent = Instant::now();
                session.send(&Message::Ping)?;
            }
        }
    }

    /// Keeps a handle to end a lane with.
    pub fn keep_closer(&self, closer: Closer) {
        self.state().closers.push(closer);
    }

    /// Ends all lanes, and those that wait to begin.
    pub fn close_lanes(&self) {
        self.end();
        for closer in self.state().closers.drain(..) {
            closer.close();
        }
    }

    /// A lane's part. Where the receiver confirms what it has, a lane that is lost leaves the rest to the others.
    pub fn run_lane(&self, mut session: Session) {
        let number = self.begin_lane(&session);
        let mut carried = VecDeque::new();
        match self.send_lane(&mut session, &mut carried) {
            Err(Error::Lost { .. }) if session.progress().is_some() => self.take_back(&carried),
            Err(error) => self.fail(error),
            Ok(()) => {}
        }
        self.state().lanes.retain(|lane| lane.number != number);
        self.changed.notify_all();
    }

    fn begin_lane(&self, session: &Session) -> usize {
        let mut state = self.state();
        state.last_lane += 1;
        let number = state.last_lane;
        let (closer, progress) = (session.closer(), session.progress());
        state.lanes.push(Lane { number, closer, progress, waiting: None });
        number
    }

    /// Has these chunks sent again.
    fn take_back(&self, carried: &VecDeque<Carried>) {
        let sent = carried.iter().filter(|chunk| chunk.end != u64::MAX).count();
        self.sent.fetch_sub(sent as u64, Ordering::Relaxed);
        self.tally.take_back(carried.iter().map(|chunk| chunk.bytes as u64).sum());
        self.state().again.extend(carried.iter().map(|chunk| chunk.index));
    }

    /// Sends chunks; those of which nobody knows whether they have arrived are in `carried`.
    fn send_lane(&self, session: &mut Session, carried: &mut VecDeque<Carried>) -> Result<()> {
        const DURING: &str = "sending files";
        let mut reader = self.sources.reader();
        let mut has_sent = false;
        while let Some(index) = self.next_chunk() {
            if !has_sent {
                self.tally.add_lane();
                has_sent = true;
            }
            let begun = Instant::now();
            carried.push_back(Carried::new(index));
            if let Some(chunk) = carried.back_mut() {
                self.send_chunk(session, &mut reader, chunk)?;
            }
            // A receiver that confirms nothing is told of nothing but the end of the lane.
            let Some(progress) = session.progress() else {
                carried.clear();
                continue;
            };
            if session.has_input()? {
                return session.read_as(DURING, |_| None);
            }
            while carried.front().is_some_and(|chunk| chunk.end <= progress.confirmed()) {
                carried.pop_front();
            }
            if begun.elapsed() > SLOW_CHUNK {
                break;
            }
        }
        session.send(&Message::End)?;
        session.wait_until_confirmed(DURING)
    }
}

/// The receiver has spoken before all was sent: it cannot go on, and nothing else may it say.
fn interrupted(mut session: Session) -> Error {
    const DURING: &str = "sending files";
    let kind = match session.read(DURING) {
        Ok(Message::Failed(failure)) => return failed(session.label(), failure),
        Ok(other) => other.kind(),
        Err(error) => return error,
    };
    session.unexpected(kind, DURING)
}

/// What the receiver is told of an error here.
pub fn failure_of(error: &Error) -> Failure {
    if matches!(error, Error::Stopped) { Failure::Stopped } else { Failure::Source }
}

/// Waits for the files to be in place. The receiver remembers that they are until it hears a goodbye.
pub fn stored(mut session: Session) -> Result<Session> {
    const DURING: &str = "waiting for the files to be on disk";
    loop {
        match session.read(DURING)? {
            Message::Stored => return Ok(session),
            // An ACK says how much of a stream is stored so far.
            Message::Ping | Message::Ack(_) => {}
            Message::Failed(failure) => return Err(failed(session.label(), failure)),
            other => {
                let kind = other.kind();
                return Err(session.unexpected(kind, DURING));
            }
        }
    }
}
