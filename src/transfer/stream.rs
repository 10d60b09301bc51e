//! Streams: one file in order over one connection, for what comes out of a pipe or goes into one (egoat-protocol(7),
//! STREAMS). Nobody can ask a pipe for its bytes twice, so the sender keeps what the receiver has not stored yet, and the
//! stream goes on when a lost connection is back. It leaves out the thread that reads the pipe.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use crate::crypto::{base32, random_array};
use crate::error::{Error, Result, Verb, reason};
use crate::net::session::{DEAD_AFTER, PING_AFTER, Session};
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::home::Home;
use crate::transfer::landing::{Landing, Received};
use crate::transfer::manifest::{Entry, Manifest};
use crate::transfer::refusal;
use crate::transfer::send;
use crate::transfer::source::SourceReader;
use crate::transfer::staging::{create, set_time};
use crate::transfer::tally::Tally;
use crate::wire::message::{Failure, Message, PIECE};

/// How often a sender checks a silent pipe and reads what the receiver reports, and how often a receiver with a full
/// pipe tells the sender so.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Stored bytes after which the receiver says so.
const ACK_EVERY: u64 = 8 << 20;
/// It says so after this time as well, when something more comes.
const ACK_AFTER: Duration = Duration::from_secs(1);
const SENDING: &str = "sending a stream";

/// Where a stream comes from.
pub trait Feed {
    /// Where it ends, or has ended so far: nobody can have stored more.
    fn end(&self) -> u64;
    /// Goes back to byte `from`, which the receiver wants next, and which is not behind the end.
    fn rewind(&mut self, from: u64) -> Result<()>;
    /// The next bytes, waiting for at most `wait`.
    fn next(&mut self, wait: Duration) -> Result<FeedItem<'_>>;
    /// The receiver has stored all up to `end`.
    fn release(&mut self, end: u64);
}

/// What a feed has.
pub enum FeedItem<'a> {
    /// Bytes, and where they belong.
    Bytes(u64, &'a [u8]),
    /// Nothing just now.
    Nothing,
    /// No room for more before the receiver has stored some.
    Full,
    /// No more.
    End,
}

/// Sends from byte `from` on to the end; when it returns, the receiver has stored all. Gives the session back for the
/// goodbye.
pub fn send(mut session: Session, feed: &mut dyn Feed, from: u64, tally: &Tally) -> Result<Session> {
    if from > feed.end() {
        return Err(session.broken("it has more of the stream than there is"));
    }
    feed.rewind(from)?;
    tally.hold(from);
    tally.add_lane();
    let mut last_sent = Instant::now();
    let mut last_heard = Instant::now();
    let mut confirmed = 0;
    loop {
        while session.has_input()? {
            read_ack(&mut session, feed)?;
            last_heard = Instant::now();
        }
        // On a slow path a piece takes longer than the receiver may be silent.
        let before = std::mem::replace(&mut confirmed, session.confirmed());
        if confirmed != before {
            last_heard = Instant::now();
        }
        // The few bytes of a slow pipe hold up no write when nobody takes them away.
        if last_heard.elapsed() > DEAD_AFTER {
            let peer = session.label().to_owned();
            return Err(Error::Lost { peer, during: format!("{SENDING} (no sign of life)") });
        }
        let next = match tally.check_stop().and_then(|()| feed.next(Duration::ZERO)) {
            Ok(FeedItem::Nothing) => {
                session.flush()?;
                feed.next(POLL_INTERVAL)
            }
            next => next,
        };
        match next {
            Ok(FeedItem::Bytes(at, bytes)) => {
                send_piece(&mut session, at, bytes, tally)?;
                last_sent = Instant::now();
            }
            Ok(FeedItem::Nothing) if last_sent.elapsed() < PING_AFTER => {}
            Ok(FeedItem::Nothing) => {
                session.send(&Message::Ping)?;
                last_sent = Instant::now();
            }
            Ok(FeedItem::Full) => {
                session.send(&Message::Ping)?;
                read_ack(&mut session, feed)?;
                last_heard = Instant::now();
            }
            // A pipe whose writer is gone looks as if it had ended; then the transfer was stopped before.
            Ok(FeedItem::End) if tally.check_stop().is_err() => {}
            Ok(FeedItem::End) => break,
            Err(error) => {
                // If the connection is lost as well, this is still why it ends.
                let _ = session.finish(&Message::Failed(send::failure_of(&error)));
                return Err(error);
            }
        }
    }
    session.send(&Message::End)?;
    session.skip_ignorable(true);
    send::stored(session)
}

fn send_piece(session: &mut Session, at: u64, bytes: &[u8], tally: &Tally) -> Result<()> {
    session.write_piece(at, bytes.len(), |space| {
        space.copy_from_slice(bytes);
        Ok(())
    })?;
    tally.add(bytes.len() as u64);
    Ok(())
}

fn read_ack(session: &mut Session, feed: &mut dyn Feed) -> Result<()> {
    match session.read(SENDING)? {
        Message::Ack(end) if end <= feed.end() => feed.release(end),
        Message::Ack(_) => return Err(session.broken("it acknowledges what was not sent")),
        // What it writes to takes its time.
        Message::Ping => {}
        Message::Failed(failure) => return Err(refusal::failed(session.label(), failure)),
        other => {
            let kind = other.kind();
            return Err(session.unexpected(kind, SENDING));
        }
    }
    Ok(())
}

/// A regular file as a stream, for a receiver that wants it in order.
pub struct FileFeed<'a> {
    reader: SourceReader<'a>,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl<'a> FileFeed<'a> {
    /// All `end` bytes of the reader's sources.
    pub fn new(reader: SourceReader<'a>, end: u64) -> FileFeed<'a> {
        FileFeed { reader, at: 0, end, buffer: vec![0; PIECE] }
    }
}

impl Feed for FileFeed<'_> {
    fn end(&self) -> u64 {
        self.end
    }

    fn rewind(&mut self, from: u64) -> Result<()> {
        self.at = from;
        Ok(())
    }

    fn next(&mut self, _wait: Duration) -> Result<FeedItem<'_>> {
        let length = (self.end - self.at).min(PIECE as u64) as usize;
        if length == 0 {
            return Ok(FeedItem::End);
        }
        let at = self.at;
        self.reader.read(at, &mut self.buffer[..length])?;
        self.at += length as u64;
        Ok(FeedItem::Bytes(at, &self.buffer[..length]))
    }

    fn release(&mut self, _end: u64) {}
}

/// Bytes from a pipe, kept until they are stored on the other side: in a file without a name, so that a killed process
/// leaves nothing.
pub struct Spool {
    pipe: Receiver<io::Result<Vec<u8>>>,
    file: File,
    path: PathBuf,
    /// What is kept, in order.
    kept: VecDeque<Extent>,
    /// The next of them to be sent again, when the connection was lost.
    resend: usize,
    /// Slots of the file that are free; the lowest is taken, so that it stays small.
    free: BTreeSet<u64>,
    slots: u64,
    most_slots: u64,
    /// Bytes that came out of the pipe.
    end: u64,
    ended: bool,
    /// Why no more can be read from it.
    failed: Option<String>,
    buffer: Vec<u8>,
}

/// Bytes that lie together.
struct Extent {
    /// Where they belong in the stream.
    at: u64,
    length: usize,
    /// Where they are in the file: at this place of this slot.
    slot: u64,
    place: usize,
}

impl Spool {
    /// Keeps at most `limit` bytes of the pipe.
    pub fn new(home: &Home, pipe: Receiver<io::Result<Vec<u8>>>, limit: u64) -> Result<Spool> {
        let dir = home.partial_dir();
        file::create_private_dir(&dir).map_err(Error::disk(Verb::Create, &dir))?;
        let path = dir.join(format!("{}.spool", base32::encode(&random_array::<16>())));
        let mut options = file::private();
        let file = options.read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(Error::disk(Verb::Create, &path))?;
        // Elsewhere than on Unix an open file cannot be removed: it goes when it is dropped.
        let _ = fs::remove_file(&path);
        Ok(Spool {
            pipe,
            file,
            path,
            kept: VecDeque::new(),
            resend: 0,
            free: BTreeSet::new(),
            slots: 0,
            most_slots: (limit / PIECE as u64).max(1),
            end: 0,
            ended: false,
            failed: None,
            buffer: Vec::new(),
        })
    }

    /// How many bytes came out of the pipe, once these are all.
    pub fn length(&self) -> Option<u64> {
        self.ended.then_some(self.end)
    }

    fn take_slot(&mut self) -> Option<u64> {
        if let Some(slot) = self.free.pop_first() {
            return Some(slot);
        }
        let next = self.slots;
        (next < self.most_slots).then(|| {
            self.slots += 1;
            next
        })
    }

    /// Keeps the bytes in the buffer: behind those before them as far as there is room, and in the slot.
    fn keep(&mut self, slot: u64) -> Result<FeedItem<'_>> {
        let at = self.end;
        let mut behind = 0;
        if let Some(last) = self.kept.back_mut() {
            let place = last.place + last.length;
            behind = self.buffer.len().min(PIECE - place);
            write(&self.file, &self.path, &self.buffer[..behind], last.slot, place)?;
            last.length += behind;
        }
        let rest = &self.buffer[behind..];
        if rest.is_empty() {
            self.free.insert(slot);
        } else {
            write(&self.file, &self.path, rest, slot, 0)?;
            self.kept.push_back(Extent { at: at + behind as u64, length: rest.len(), slot, place: 0 });
        }
        self.resend = self.kept.len();
        self.end += self.buffer.len() as u64;
        Ok(FeedItem::Bytes(at, &self.buffer))
    }

    fn next_kept(&mut self) -> Result<FeedItem<'_>> {
        let Extent { at, length, slot, place } = self.kept[self.resend];
        self.buffer.resize(length, 0);
        let got = file::read_at(&self.file, &mut self.buffer, slot * PIECE as u64 + place as u64);
        if got.map_err(Error::disk(Verb::Read, &self.path))? < length {
            return Err(Error::failed("what was kept of the pipe is gone"));
        }
        self.resend += 1;
        Ok(FeedItem::Bytes(at, &self.buffer))
    }
}

fn write(file: &File, path: &Path, bytes: &[u8], slot: u64, place: usize) -> Result<()> {
    let offset = slot * PIECE as u64 + place as u64;
    file::write_all_at(file, bytes, offset).map_err(Error::disk(Verb::Write, path))
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Feed for Spool {
    fn end(&self) -> u64 {
        self.end
    }

    fn rewind(&mut self, from: u64) -> Result<()> {
        self.release(from);
        self.resend = 0;
        if let Some(first) = self.kept.front_mut().filter(|first| first.at < from) {
            let stored = (from - first.at) as usize;
            (first.at, first.place, first.length) = (from, first.place + stored, first.length - stored);
        }
        let first = self.kept.front().map_or(self.end, |kept| kept.at);
        if from == first {
            Ok(())
        } else {
            Err(Error::failed("the receiver lost a part of the stream that it had stored"))
        }
    }

    fn next(&mut self, wait: Duration) -> Result<FeedItem<'_>> {
        if self.resend < self.kept.len() {
            return self.next_kept();
        }
        if let Some(why) = &self.failed {
            return Err(Error::Source { path: "stdin".into(), why: why.clone(), hint: None });
        }
        if self.ended {
            return Ok(FeedItem::End);
        }
        let Some(slot) = self.take_slot() else { return Ok(FeedItem::Full) };
        let got = if wait.is_zero() {
            self.pipe.try_recv().map_err(|none| none == TryRecvError::Disconnected)
        } else {
            self.pipe.recv_timeout(wait).map_err(|none| none == RecvTimeoutError::Disconnected)
        };
        match got {
            Ok(Ok(bytes)) => {
                self.buffer = bytes;
                return self.keep(slot);
            }
            Ok(Err(cause)) => self.failed = Some(reason(&cause)),
            Err(ended) => self.ended = ended,
        }
        self.free.insert(slot);
        match &self.failed {
            Some(why) => Err(Error::Source { path: "stdin".into(), why: why.clone(), hint: None }),
            None if self.ended => Ok(FeedItem::End),
            None => Ok(FeedItem::Nothing),
        }
    }

    fn release(&mut self, end: u64) {
        while let Some(first) = self.kept.front()
            && first.at + first.length as u64 <= end
        {
            self.free.insert(first.slot);
            self.kept.pop_front();
            self.resend = self.resend.saturating_sub(1);
        }
    }
}

/// Where a stream goes.
pub trait Sink {
    /// Writes bytes that belong at `at`, right behind what was written before.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()>;
    /// Waits for at most `wait` for what was written to be taken; says whether it is, and more may be written.
    fn is_through(&mut self, _wait: Duration) -> Result<bool> {
        Ok(true)
    }
    /// Makes sure that what was written is safe: the sender gives up its copy.
    fn store(&mut self, end: u64) -> Result<()>;
}

/// Waits for what was written to be taken. The sender is told meanwhile that we live.
pub fn wait_for(session: &mut Session, sink: &mut dyn Sink) -> Result<()> {
    while !sink.is_through(POLL_INTERVAL)? {
        session.send(&Message::Ping)?;
    }
    Ok(())
}

/// Takes a stream from byte `from` to its end. The last bytes are stored when it returns; that it is in its place is for
/// the caller to say. Gives its length, or `None` when it has more than `limit` bytes.
pub fn receive(
    session: &mut Session,
    sink: &mut dyn Sink,
    from: u64,
    limit: u64,
    tally: &Tally,
) -> Result<Option<u64>> {
    session.send(&Message::Stream(from))?;
    tally.add_lane();
    tally.hold(from);
    let mut end = from;
    session.stop_by(Some(tally.stop_flag()));
    let result = receive_pieces(session, sink, &mut end, limit, tally);
    session.stop_by(None);
    // What has come need not come again. Why it ended is told in any case.
    let stored = sink.store(end);
    Ok(if result? {
        stored?;
        Some(end)
    } else {
        None
    })
}

/// Says whether all came, as opposed to more than `limit` bytes.
fn receive_pieces(
    session: &mut Session,
    sink: &mut dyn Sink,
    end: &mut u64,
    limit: u64,
    tally: &Tally,
) -> Result<bool> {
    const DURING: &str = "receiving a stream";
    let (mut stored, mut last_sent) = (*end, Instant::now());
    loop {
        tally.check_stop()?;
        let is_asked = match session.read(DURING)? {
            Message::Piece { at, data } if at == *end && !data.is_empty() => {
                let length = data.len() as u64;
                if length > limit.saturating_sub(*end) {
                    return Ok(false);
                }
                sink.write(at, data)?;
                wait_for(session, sink)?;
                *end += length;
                tally.add(length);
                false
            }
            Message::Piece { .. } => return Err(session.broken("a part of the stream that is not the next")),
            Message::Ping => true,
            Message::End => return Ok(true),
            Message::Failed(Failure::Stopped) => {
                let peer = session.label().to_owned();
                return Err(Error::StoppedThere { peer, title: "sending".into() });
            }
            Message::Failed(_) => {
                let peer = session.label().to_owned();
                return Err(Error::Remote { peer, why: "it stopped sending", disk: false });
            }
            other => {
                let kind = other.kind();
                return Err(session.unexpected(kind, DURING));
            }
        };
        if is_asked || *end - stored >= ACK_EVERY || last_sent.elapsed() >= ACK_AFTER {
            sink.store(*end)?;
            session.send(&Message::Ack(*end))?;
            (stored, last_sent) = (*end, Instant::now());
        }
    }
}

/// A stream that becomes a file. Its length so far is noted beside it once that much is on the disk.
pub struct FileSink {
    landing: Landing,
    entry: Entry,
    path: PathBuf,
    file: File,
    map: File,
    map_path: PathBuf,
    /// So much is on the disk, and noted.
    stored: u64,
    /// Syncing failed once: what is on the disk is not known, and another try would not tell.
    spoiled: bool,
}

impl FileSink {
    /// Makes the file, or finds what an earlier try left of it; says how long it is.
    pub fn new(landing: Landing, entry: &Entry) -> Result<(FileSink, u64)> {
        let path = entry.path.join_to(landing.files().path());
        let opened = landing.open_map().and_then(|(map_path, map)| {
            let mut length = [0; 8];
            file::read_at(&map, &mut length, 0).map_err(Error::disk(Verb::Read, &map_path))?;
            // Written at once, so that a disk that is full by then has room for it.
            file::write_all_at(&map, &length, 0).map_err(Error::disk(Verb::Write, &map_path))?;
            let length = u64::from_be_bytes(length);
            let file = open(landing.files(), entry, length).map_err(Error::disk(Verb::Create, &path))?;
            Ok((map_path, map, length, file))
        });
        let (map_path, map, stored, file) = opened.inspect_err(|_| landing.discard_if_new())?;
        let entry = entry.clone();
        Ok((FileSink { landing, entry, path, file, map, map_path, stored, spoiled: false }, stored))
    }

    /// Keeps what is stored only while somebody may go on from there: the sender, once a connection that was lost is back.
    /// A pipe that has ended otherwise cannot be read again, and what came of it would fill the disk for nobody.
    pub fn give_up(&self, error: &Error) {
        let may_go_on = matches!(error, Error::Lost { .. } | Error::Protocol { .. });
        if !may_go_on || self.stored == 0 {
            self.landing.discard();
        }
    }

    /// The folder that it is in.
    pub fn landing(&self) -> &Landing {
        &self.landing
    }

    /// Gives the file its name.
    pub fn publish(&self, manifest: &Manifest, size: u64) -> Result<Received> {
        set_time(&self.file, &self.entry);
        self.file.sync_all().map_err(Error::disk(Verb::Sync, &self.path))?;
        let seal = self.landing.seal(manifest)?;
        let path = self.landing.publish(self.entry.path.file_name(), false, &seal)?;
        let received = Received { path, size };
        self.landing.finish(std::slice::from_ref(&received), &seal)?;
        Ok(received)
    }
}

/// Only what was noted is sure to be on the disk, so what is behind it goes.
fn open(folder: &Folder, entry: &Entry, length: u64) -> io::Result<File> {
    let file = match create(folder, entry) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            folder.open_file(entry.path.file_name())?
        }
        created => created?,
    };
    if file.metadata()?.len() < length {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "somebody else has changed it"));
    }
    file.set_len(length)?;
    Ok(file)
}

impl Sink for FileSink {
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        file::write_all_at(&self.file, bytes, at).map_err(Error::disk(Verb::Write, &self.path))
    }

    fn store(&mut self, end: u64) -> Result<()> {
        if std::mem::replace(&mut self.spoiled, true) {
            return Err(Error::failed("what arrived may not be on the disk"));
        }
        self.file.sync_data().map_err(Error::disk(Verb::Sync, &self.path))?;
        self.spoiled = false;
        let noted = file::write_all_at(&self.map, &end.to_be_bytes(), 0).and_then(|()| self.map.sync_data());
        noted.map_err(Error::disk(Verb::Write, &self.map_path))?;
        self.stored = end;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::mpsc::{Sender, channel};

    type Pipe = Sender<io::Result<Vec<u8>>>;

    /// A spool, and the pipe that it reads.
    fn spool(dir: &tempfile::TempDir, limit: usize) -> (Pipe, Spool) {
        let home = Home::locate(dir.path().to_str()).unwrap();
        let (pipe, pieces) = channel();
        (pipe, Spool::new(&home, pieces, limit as u64).unwrap())
    }

    fn bytes(feed: &mut Spool) -> Option<(u64, Vec<u8>)> {
        match feed.next(Duration::ZERO).unwrap() {
            FeedItem::Bytes(at, bytes) => Some((at, bytes.to_vec())),
            FeedItem::Nothing | FeedItem::Full | FeedItem::End => None,
        }
    }

    fn is_full(feed: &mut Spool) -> bool {
        matches!(feed.next(Duration::ZERO).unwrap(), FeedItem::Full)
    }

    #[test]
    fn it_is_full_by_bytes_and_not_by_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, mut spool) = spool(&dir, 3 * PIECE);
        (0..100).for_each(|_| pipe.send(Ok(vec![1; 40_000])).unwrap());
        let mut taken = 0;
        while let Some((_, bytes)) = bytes(&mut spool) {
            taken += bytes.len();
        }
        assert!(is_full(&mut spool) && (2 * PIECE + 20_000..=3 * PIECE).contains(&taken), "{taken}");
        spool.release(taken as u64 - 1);
        assert!(bytes(&mut spool).is_some());
    }

    #[test]
    fn the_end_of_a_pipe_is_no_failure_and_a_failure_is_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, mut feed) = spool(&dir, PIECE);
        assert!(matches!(feed.next(Duration::ZERO), Ok(FeedItem::Nothing)) && feed.length().is_none());
        drop(pipe);
        assert!(matches!(feed.next(Duration::ZERO), Ok(FeedItem::End)) && feed.length() == Some(0));

        let (pipe, mut feed) = spool(&dir, PIECE);
        pipe.send(Err(io::ErrorKind::IsADirectory.into())).unwrap();
        drop(pipe);
        for _ in 0..2 {
            assert!(
                matches!(feed.next(Duration::ZERO), Err(Error::Source { .. })) && feed.length().is_none()
            );
            feed.rewind(0).unwrap();
        }
    }

    #[test]
    fn nobody_goes_back_to_what_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, mut feed) = spool(&dir, PIECE);
        pipe.send(Ok(vec![1; 100])).unwrap();
        bytes(&mut feed).unwrap();
        feed.rewind(40).unwrap();
        for from in [0, 39, 101, u64::MAX] {
            assert!(feed.rewind(from).is_err(), "{from}");
        }
    }

    /// What happens to a stream.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Some more is sent.
        Next,
        /// Some of what was sent is stored, or said to be: a part in 256.
        Stored(u8),
        /// The connection is lost, and so much of what was sent is stored.
        Lost(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Next),
            1 => any::<u8>().prop_map(Step::Stored),
            1 => any::<u8>().prop_map(Step::Lost),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_byte_is_sent_until_it_is_stored(
            pieces in proptest::collection::vec(prop_oneof![1_usize..100, 1_usize..=PIECE], 0..40),
            steps in proptest::collection::vec(step(), 0..200),
            slots in 1_usize..20,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (pipe, mut feed) = spool(&dir, slots * PIECE);
            let mut all = Vec::new();
            for length in pieces {
                let piece: Vec<u8> = (0..length).map(|n| (all.len() + n * 7 + length) as u8).collect();
                all.extend_from_slice(&piece);
                pipe.send(Ok(piece)).unwrap();
            }
            drop(pipe);
            let (mut stored, mut sent) = (0, 0);
            let part = |stored: u64, sent: u64, part: u8| stored + (sent - stored) * u64::from(part) / 255;
            for step in steps.into_iter().chain([Step::Next, Step::Stored(255)].into_iter().cycle()) {
                match step {
                    Step::Next => match bytes(&mut feed) {
                        Some((at, bytes)) => {
                            prop_assert_eq!(at, sent);
                            sent += bytes.len() as u64;
                            prop_assert!(bytes.len() <= PIECE && all[at as usize..sent as usize] == bytes);
                        }
                        None if stored == all.len() as u64 => break,
                        None => {}
                    },
                    Step::Stored(count) => {
                        stored = part(stored, sent, count);
                        feed.release(stored);
                    }
                    Step::Lost(count) => {
                        stored = part(stored, sent, count);
                        sent = stored;
                        feed.rewind(stored).unwrap();
                    }
                }
            }
            prop_assert_eq!(feed.length(), Some(all.len() as u64));
        }
    }
}
