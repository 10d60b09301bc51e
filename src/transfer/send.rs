//! The sending end of a transfer of files: the offer, what the receiver has already, the chunks over the session and its
//! lanes. It leaves out whom to dial and the lanes' threads.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::lane::TICKET_LEN;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::session::{PING_AFTER, Session};
use crate::net::transport::Closer;
use crate::text;
use crate::transfer::manifest::Manifest;
use crate::transfer::source::{SourceReader, Sources};
use crate::transfer::tally::Tally;
use crate::wire::message::{CHUNK, Declined, Failure, Message, PIECE, TRANSFER_LEN, UNKNOWN};

/// When a lane is lost, the session says why within this, or has nothing to say.
const REASON_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the thread that waits for lanes checks whether the user has stopped the transfer.
const STOP_POLL: Duration = Duration::from_secs(1);

/// The way out of a limit.
const MORE: &str = "they can allow more: `egoat serve --max-file SIZE`, or `max-file=` in their peers file";

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
    /// In order, from this byte on.
    Stream(u64),
    /// Not at all: they came with an earlier try, of which only the last word was lost.
    Stored,
}

/// Offers files and learns how they are taken. What the receiver has of an earlier try is compared with the files.
pub fn offer(session: &mut Session, sources: &Sources, tally: &Tally) -> Result<Answer> {
    let manifest = sources.manifest();
    write_offer(session, [0; TRANSFER_LEN], manifest, manifest.bytes())?;
    let mut reader = sources.reader();
    let answer = read_answer(session, manifest.bytes(), manifest.chunks(), tally, |chunks, hash| {
        let (start, end) = (chunks.start * CHUNK as u64, (chunks.end * CHUNK as u64).min(manifest.bytes()));
        let is_same = reader.hash(start, end - start)? == *hash;
        tally.check(end - start);
        Ok(is_same)
    })?;
    let is_one_file = manifest.entries().len() == 1 && manifest.files() == 1;
    if matches!(answer, Answer::Stream(_)) && !is_one_file {
        return Err(session.broken("it takes several files as if they were one"));
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
    write_offer(session, transfer, manifest, UNKNOWN)?;
    match read_answer(session, UNKNOWN, 0, tally, |_, _| Ok(false))? {
        Answer::Stream(from) => Ok(Some(from)),
        Answer::Stored => Ok(None),
        Answer::Chunks { .. } => Err(session.broken("it takes a stream as if it were files")),
    }
}

fn write_offer(
    session: &mut Session,
    transfer: [u8; TRANSFER_LEN],
    manifest: &Manifest,
    bytes: u64,
) -> Result<()> {
    session.write(&Message::Offer { transfer, entries: manifest.entries().len() as u32, bytes })?;
    for part in manifest.parts() {
        session.write(&Message::Manifest(&part))?;
    }
    session.flush()
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
        Declined::Manifest => refused("a name or size breaks its rules", None),
        Declined::TooLarge if bytes == UNKNOWN => refused("a stream may be more than it takes", Some(MORE)),
        Declined::TooLarge => refused(&format!("{} is more than it takes", text::size(bytes)), Some(MORE)),
        Declined::Full => Error::Remote { peer, why: "its disk is full", disk: true },
        Declined::Disk => Error::Remote { peer, why: "it cannot write where files land", disk: true },
        Declined::Policy => {
            refused("it takes no files from you", Some("they can allow it: `files=` in their peers file"))
        }
        Declined::Quota => refused(
            "your files there would be more than it has room for you",
            Some("they can make room, or raise `quota=` in their peers file"),
        ),
        Declined::Asked => refused("its user did not take it", Some("they are asked in `egoat chat`")),
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
pub struct Outbound<'a> {
    sources: &'a Sources,
    tally: &'a Tally,
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
    lanes: usize,
    failed: Option<Error>,
    /// End the lanes.
    closers: Vec<Closer>,
    /// Nobody takes another chunk.
    over: bool,
}

impl<'a> Outbound<'a> {
    /// All chunks but those that are `proven`.
    pub fn new(sources: &'a Sources, proven: Vec<Range<u64>>, tally: &'a Tally) -> Outbound<'a> {
        let outbound = Outbound {
            sources,
            tally,
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
        if self.state().over {
            return None;
        }
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let after = self.proven.partition_point(|run| run.end <= index);
            let is_proven = self.proven.get(after).is_some_and(|run| run.start <= index);
            if !is_proven {
                return (index < self.sources.manifest().chunks()).then_some(index);
            }
        }
    }

    /// Whether a lane that begins now would find something to do.
    pub fn has_more(&self) -> bool {
        !self.state().over && self.next.load(Ordering::Relaxed) < self.sources.manifest().chunks()
    }

    fn send_chunk(&self, session: &mut Session, reader: &mut SourceReader, index: u64) -> Result<()> {
        let length = self.sources.manifest().chunk_len(index);
        let mut done = 0;
        while done < length {
            let at = index * CHUNK as u64 + done as u64;
            let part = PIECE.min(length - done);
            session.write_piece(at, part, |bytes| reader.read(at, bytes))?;
            done += part;
        }
        self.tally.add(length as u64);
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The session's own part, until all files are in place on the receiver's disk. Gives it back for the goodbye.
    pub fn run(&self, mut session: Session) -> Result<Session> {
        session.write(&Message::Start(self.chunks()))?;
        self.tally.add_lane();
        let mut reader = self.sources.reader();
        while let Some(index) = self.next_chunk() {
            if let Err(error) = self.send_chunk(&mut session, &mut reader, index) {
                self.fail(error);
            }
            if session.has_input()? {
                self.state().over = true;
            }
        }
        let failed = self.wait_for_lanes(&mut session)?;
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
                    Err(reason @ Error::Remote { .. }) => Err(reason),
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
        let mut state = self.state();
        state.over = true;
        state.failed.get_or_insert(error);
    }

    /// Waits until no lane sends any more; gives what went wrong.
    fn wait_for_lanes(&self, session: &mut Session) -> Result<Option<Error>> {
        let mut last_sent = Instant::now();
        loop {
            let mut state = self.state();
            if state.failed.is_some() || state.lanes == 0 {
                return Ok(state.failed.take());
            }
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

    /// Ends all lanes.
    pub fn close_lanes(&self) {
        for closer in self.state().closers.drain(..) {
            closer.close();
        }
    }

    /// A lane's part.
    pub fn run_lane(&self, mut session: Session) {
        self.state().lanes += 1;
        if let Err(error) = self.send_lane(&mut session) {
            self.fail(error);
        }
        self.state().lanes -= 1;
        self.changed.notify_all();
    }

    fn send_lane(&self, session: &mut Session) -> Result<()> {
        let mut reader = self.sources.reader();
        let mut has_sent = false;
        while let Some(index) = self.next_chunk() {
            if !has_sent {
                self.tally.add_lane();
                has_sent = true;
            }
            self.send_chunk(session, &mut reader, index)?;
        }
        session.send(&Message::End)
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
        Failure::Closed => ("what it writes to was closed", false),
        Failure::TooLarge => {
            let why = "the stream is longer than it takes".into();
            return Error::Refused { peer: peer.to_owned(), why, hint: Some(MORE.into()) };
        }
        Failure::Stopped => ("its user stopped it", false),
    };
    Error::Remote { peer: peer.to_owned(), why, disk }
}
