//! The sending end of a transfer of files: the offer, what the receiver has already, the chunks over the session and its
//! lanes. It leaves out whom to dial and the lanes' threads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::lane::TICKET_LEN;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::session::{PING_AFTER, Progress, Session};
use crate::net::transport::Closer;
use crate::text;
use crate::transfer::manifest::Manifest;
use crate::transfer::source::{SourceReader, Sources};
use crate::transfer::tally::Tally;
use crate::wire::features::Features;
use crate::wire::message::{
    CHUNK, Declined, Failure, HEADER, MAX_EARLY, Message, PIECE, PIECE_HEAD, TRANSFER_LEN, UNKNOWN,
};

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

/// The way out of a limit.
const MORE: &str =
    "they can allow more: `egoat serve --max-file SIZE`, or `egoat peers set NAME max-file=SIZE` there";

/// What breaks the rules of this version was refused before the receiver was dialled, so it follows older ones.
const OLDER: &str = "an older egoat takes no names with : or \\ or joiners, none that end in a dot or a space, and none that \
     differ in case alone; update it, or pack the files: `tar c DIR | egoat send PEER --name DIR.tar -`";
/// The way out of a name that is taken.
const AWAY: &str = "they can move it away, or receive without --overwrite";
/// What the receiver needs.
const OPEN_FILES: &str =
    "its system lets it open too few files: 64 are needed, `ulimit -n` there tells how many it may";

/// How the receiver takes what was offered.
pub enum Answer {
    /// In chunks, over these many lanes at most beside the session.
    Chunks {
        /// Lanes that may be dialled.
        lanes: u8,
        /// What opens them.
        ticket: [u8; TICKET_LEN],
        /// Chunks that it has.
        proven: Vec<Range<u64>>,
    },
    /// As they were sent early: all that is left is to hear that they are stored.
    Taken,
    /// In order, from this byte on.
    Stream(u64),
    /// Not at all: they came with an earlier try, of which only the last word was lost.
    Stored,
}

/// Writes a whole transfer before the receiver has accepted the session, if both ends have the feature and the transfer is
/// short enough. Returns whether it did (egoat-protocol(7), Sending early).
pub fn write_early(session: &mut Session, files: Option<&Sources>) -> Result<bool> {
    if !session.features().has(Features::EARLY) {
        return Ok(false);
    }
    let short = files.and_then(|files| Some((files.manifest(), short_content(files)?)));
    let Some((manifest, (parts, data))) = short else {
        session.write(&Message::Early(0))?;
        return Ok(false);
    };
    let pieces = manifest.chunks();
    // OFFER, START and END are three.
    session.write(&Message::Early(3 + parts.len() as u16 + pieces as u16))?;
    write_offer(session, [0; TRANSFER_LEN], manifest, &parts, manifest.bytes())?;
    session.write(&Message::Start(pieces))?;
    if !data.is_empty() {
        session.write(&Message::Piece { at: 0, data: &data })?;
    }
    session.write(&Message::End)?;
    Ok(true)
}

/// The manifest's parts and the bytes of all files, if they are short enough to go early, which is less than a PIECE holds.
/// `None` also for a file that cannot be read: the usual way reports the error.
fn short_content(files: &Sources) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    /// Of OFFER, START, PIECE and END, and of the headers of what is counted below.
    const HEADS: u64 = 33 + 13 + PIECE_HEAD as u64 + 5 + HEADER as u64;
    let manifest = files.manifest();
    let room = (MAX_EARLY as u64 - HEADS).checked_sub(manifest.bytes())?;
    if manifest.entries().len() as u64 > room {
        return None;
    }
    let parts = manifest.parts();
    if parts.len() != 1 || parts[0].len() as u64 > room {
        return None;
    }
    let mut data = vec![0; manifest.bytes() as usize];
    files.reader().read(0, &mut data).ok()?;
    Some((parts, data))
}

/// Offers files, unless that `is_early`, and learns how they are taken. What the receiver has of an earlier try is compared
/// with the files.
pub fn offer(session: &mut Session, sources: &Sources, tally: &Tally, is_early: bool) -> Result<Answer> {
    let manifest = sources.manifest();
    if !is_early {
        write_offer(session, [0; TRANSFER_LEN], manifest, &manifest.parts(), manifest.bytes())?;
        session.flush()?;
    }
    let mut reader = sources.reader();
    let mut has_compared = false;
    let answer = read_answer(session, manifest.bytes(), manifest.chunks(), tally, |chunks, hash| {
        has_compared = true;
        let (start, end) = (chunks.start * CHUNK as u64, (chunks.end * CHUNK as u64).min(manifest.bytes()));
        let is_same = reader.hash(start, end - start)? == *hash;
        tally.check(end - start);
        Ok(is_same)
    })?;
    let is_one_file = manifest.entries().len() == 1 && manifest.files() == 1;
    if matches!(answer, Answer::Stream(_)) && !is_one_file {
        return Err(session.broken("it takes several files as if they were one"));
    }
    if is_early && !has_compared && matches!(answer, Answer::Chunks { .. }) {
        tally.add_lane();
        tally.add(manifest.bytes());
        session.skip_ignorable(true);
        return Ok(Answer::Taken);
    }
    Ok(answer)
}

/// Offers one file of unknown length. The answer says where to begin; `None` that it is stored already.
pub fn offer_stream(
    session: &mut Session,
    transfer: [u8; TRANSFER_LEN],
    manifest: &Manifest,
    tally: &Tally,
) -> Result<Option<u64>> {
    write_offer(session, transfer, manifest, &manifest.parts(), UNKNOWN)?;
    session.flush()?;
    match read_answer(session, UNKNOWN, 0, tally, |_, _| Ok(false))? {
        Answer::Stream(from) => Ok(Some(from)),
        Answer::Stored => Ok(None),
        Answer::Chunks { .. } | Answer::Taken => Err(session.broken("it takes a stream as if it were files")),
    }
}

fn write_offer(
    session: &mut Session,
    transfer: [u8; TRANSFER_LEN],
    manifest: &Manifest,
    parts: &[Vec<u8>],
    bytes: u64,
) -> Result<()> {
    session.write(&Message::Offer { transfer, entries: manifest.entries().len() as u32, bytes })?;
    parts.iter().try_for_each(|part| session.write(&Message::Manifest(part)))
}

/// Reads HAVE, each for some of `chunks` behind those of the one before, until it is TAKE, STREAM or DECLINE. So there
/// are not more of them than chunks, however many it would like to have hashed.
fn read_answer(
    session: &mut Session,
    bytes: u64,
    chunks: u64,
    tally: &Tally,
    mut is_same: impl FnMut(&Range<u64>, &[u8; 32]) -> Result<bool>,
) -> Result<Answer> {
    const DURING: &str = "waiting for the files to be taken";
    let features = session.features();
    let mut proven: Vec<Range<u64>> = Vec::new();
    let mut compared = 0;
    let mut last_sent = Instant::now();
    loop {
        tally.check_stop()?;
        match session.read(DURING)? {
            Message::Have { first, count, hash } => {
                let run = first..first.saturating_add(count.into());
                if run.start < compared || run.is_empty() || run.end > chunks {
                    return Err(
                        session.broken("chunks that there are not, or that it had said to have already")
                    );
                }
                compared = run.end;
                if is_same(&run, &hash)? {
                    proven.push(run);
                }
                // It waits while we compare.
                if last_sent.elapsed() >= PING_AFTER {
                    last_sent = Instant::now();
                    session.send(&Message::Ping)?;
                }
            }
            Message::Take { lanes, ticket } => {
                session.skip_ignorable(false);
                return Ok(Answer::Chunks { lanes, ticket, proven });
            }
            Message::Stream(from) => {
                session.skip_ignorable(false);
                return Ok(Answer::Stream(from));
            }
            Message::Stored => return Ok(Answer::Stored),
            Message::Decline(reason) if reason.told_to(features) != reason => {
                return Err(session.broken("a reason that it may not give"));
            }
            Message::Decline(reason) => return Err(declined(session.label(), reason, bytes)),
            // Its user is asked.
            Message::Ping => {}
            other => {
                let kind = other.kind();
                return Err(session.unexpected(kind, DURING));
            }
        }
    }
}

fn declined(peer: &str, reason: Declined, bytes: u64) -> Error {
    let peer = peer.to_owned();
    let refused = |why: &str, hint: Option<&str>| Error::Refused {
        peer: peer.clone(),
        why: why.into(),
        hint: hint.map(str::to_owned),
    };
    match reason {
        Declined::Manifest => refused("a name or size breaks its rules", Some(OLDER)),
        Declined::TooLarge if bytes == UNKNOWN => refused("a stream may be more than it takes", Some(MORE)),
        Declined::TooLarge => refused(&format!("{} is more than it takes", text::size(bytes)), Some(MORE)),
        Declined::Full => Error::NoRoom { peer },
        Declined::Disk => Error::Remote { peer, why: "it cannot write where files land", disk: true },
        Declined::DotNames => refused(
            "it takes no names that begin with a dot at the top",
            Some(
                "they can allow it: `egoat receive --allow-dot`, or take them elsewhere than in their home directory; or \
                 send one under another name, by --name",
            ),
        ),
        Declined::Policy => refused(
            "it takes no files from you",
            Some("they can allow it: `egoat peers set NAME files=accept` there"),
        ),
        Declined::Quota => refused(
            "your files there would be more than it has room for you",
            Some("they can make room, or allow more: `egoat peers set NAME quota=SIZE` there"),
        ),
        Declined::Asked => {
            refused("its user did not take it", Some("they are asked in `egoat chat` and by `egoat receive`"))
        }
        Declined::IsDirectory => refused("a directory there has the name of a file", Some(AWAY)),
        Declined::IsFile => refused("a file there has the name of a directory", Some(AWAY)),
        Declined::OpenFiles => Error::Remote { peer, why: OPEN_FILES, disk: true },
        Declined::OneFile => refused(
            "it writes one file to a pipe",
            Some("send one file, or pack them: `tar c ... | egoat send`"),
        ),
        Declined::Gone => refused(
            "its pipe already has the beginning of another transfer",
            Some("ask them to run `egoat receive --into -` again"),
        ),
    }
}

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

/// The receiver's failure in the user's words.
pub fn failed(peer: &str, failure: Failure) -> Error {
    let (why, disk) = match failure {
        Failure::Full => ("its disk is full", true),
        Failure::Disk => ("its disk failed", true),
        Failure::Source => ("it lost track of the files", false),
        Failure::OpenFiles => (OPEN_FILES, true),
        Failure::Closed => ("what it writes to was closed", false),
        Failure::TooLarge => {
            let why = "the stream is longer than it takes".into();
            return Error::Refused { peer: peer.to_owned(), why, hint: Some(MORE.into()) };
        }
        Failure::Stopped => return Error::StoppedThere { peer: peer.to_owned(), title: "it".into() },
    };
    Error::Remote { peer: peer.to_owned(), why, disk }
}
