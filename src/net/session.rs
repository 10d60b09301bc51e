//! A proven connection: messages in sealed records over one stream (egoat-protocol(7), RECORDS).
//!
//! A session is made by `net::handshake` alone and is used by one thread. Reading and writing take turns; buffers
//! are small until something long passes, and are given back when the peers only ping. It leaves out which message
//! may come when.
//!
//! On a slow path the records are short, and the end that reads says now and then how much has arrived (GOT), so that the
//! other end can tell a slow path from a dead one.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::crypto::handshake::Established;
use crate::crypto::keys::PublicKey;
use crate::crypto::noise::{HASH_LEN, TAG_LEN};
use crate::crypto::record::{Opener, Sealer};
use crate::error::{Error, Result, reason};
use crate::net::deadline::{Deadline, timed_out};
use crate::net::handshake;
use crate::net::pace::{Pace, Patience};
use crate::net::transport::route::Route;
use crate::net::transport::{Closer, Stream};
use crate::wire::codec::FieldWriter;
use crate::wire::features::Features;
use crate::wire::message::{
    CHUNK, GOT, HEADER, IGNORABLE, MAX_IGNORABLE, MAX_PROFILE, MAX_TEXT_BODY, Message, PIECE_HEAD, max_body,
    piece_head,
};

/// An idle sender pings this often.
pub const PING_AFTER: Duration = Duration::from_secs(20);
/// A connection on which nothing arrives for this long is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(60);
/// A write that makes no progress for this long, while nothing arrives, ends the connection.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one write may block. A write that the kernel took in part returns after this time, not when it made progress,
/// so a stall may be noticed this much later than [`STALL_TIMEOUT`].
const MAX_WRITE: Duration = Duration::from_secs(1);
/// The reading end says how much has arrived when this long has passed since it last said so ...
const GOT_AFTER: Duration = Duration::from_secs(2);
/// ... and this many bytes have arrived since. PINGs of an idle connection do not add up to it within minutes.
const GOT_BYTES: u64 = 512;
/// How long a refused peer gets to read the refusal.
const LINGER: Duration = Duration::from_secs(2);

/// Most bytes that a record carries.
pub const MAX_IN_RECORD: usize = u16::MAX as usize - TAG_LEN;
/// A record of the largest size: length, ciphertext and tag.
const RECORD: usize = 2 + u16::MAX as usize;
/// Written out when this much is waiting, a chunk of four records, which is one system call; or four records where they are
/// shorter.
const FLUSH_AT: usize = CHUNK;
/// Bytes of one write from which on a path with a smaller MTU than the usual 1500 shows.
const LARGE_WRITE: usize = 1500;
/// How long nothing has come back after such a write before the MTU is suspected.
const LARGE_ANSWER: Duration = Duration::from_secs(20);
/// How long a new connection may take that tells whether small packets arrive.
const SMALL_ANSWER: Duration = Duration::from_secs(2);
/// Bytes of read buffer of a connection that only pings.
const SMALL: usize = 1 << 10;
/// Bytes of read buffer of a connection with traffic.
const LARGE_BUFFER: usize = 4 * RECORD;
/// Bytes of a message under way, at the most: those before its end, and the record with its end.
const MAX_CARRIED: usize = HEADER + MAX_TEXT_BODY + RECORD;

/// Ignorable messages that may come in a row.
const MAX_IGNORABLE_RUN: u8 = 4;

/// What binds the lanes of a session to it. No `Debug`: the export is secret.
pub struct Binding {
    /// A secret that only both ends of the session know.
    pub export: [u8; HASH_LEN],
    /// Names the session.
    pub handshake_hash: [u8; HASH_LEN],
}

/// One end of a proven connection.
pub struct Session {
    stream: Stream,
    peer: PublicKey,
    label: String,
    outgoing: Outgoing,
    incoming: Incoming,
    binding: Binding,
    deadline: Option<Deadline>,
    /// How it was dialled, if it was.
    route: Option<Route>,
    /// The read timeout that the socket has.
    waits: Duration,
    /// How long a write may make no progress.
    stalled_after: Duration,
    /// A write failed, perhaps within a record: the other end would take what follows for the rest of that record.
    is_given_up: bool,
    /// When this end last said how much has arrived.
    reported: Instant,
    pace: Pace,
    /// When the first [`LARGE_WRITE`] went out, and how many records had arrived by then.
    large_sent: Option<(Instant, u64)>,
}

impl Session {
    /// Only `net::handshake` has an [`Established`] to give.
    pub(super) fn new(
        stream: Stream,
        peer: PublicKey,
        label: String,
        features: Features,
        established: Established,
    ) -> Result<Session> {
        let socket = stream.socket();
        let timeouts = socket
            .set_read_timeout(Some(DEAD_AFTER))
            .and_then(|()| socket.set_write_timeout(Some(MAX_WRITE)))
            .and_then(|()| socket.set_nodelay(true));
        if let Err(cause) = timeouts {
            return Err(Error::Lost { peer: label, during: reason(&cause) });
        }
        Ok(Session {
            stream,
            peer,
            label,
            outgoing: Outgoing::new(established.sealer),
            incoming: Incoming::new(established.opener, features),
            binding: Binding { export: established.export, handshake_hash: established.handshake_hash },
            deadline: None,
            route: None,
            waits: DEAD_AFTER,
            stalled_after: STALL_TIMEOUT,
            is_given_up: false,
            reported: Instant::now(),
            pace: Pace::default(),
            large_sent: None,
        })
    }

    /// Keeps how it was dialled.
    pub(super) fn by(self, route: Route) -> Session {
        Session { route: Some(route), ..self }
    }

    /// How it was dialled, if it was.
    pub fn route(&self) -> Option<&Route> {
        self.route.as_ref()
    }

    /// The proven static key of the other end.
    pub fn peer(&self) -> PublicKey {
        self.peer
    }

    /// What the other end is called in errors.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Calls the other end by a name from now on.
    pub fn set_label(&mut self, label: &str) {
        self.label = label.to_owned();
    }

    /// What lanes of this session are made of.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The address of the other end, from where it has dialled us.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.stream.address()
    }

    /// Whether the other end is this machine, see [`Stream::is_from_here`].
    pub fn is_from_here(&self) -> bool {
        self.stream.is_from_here()
    }

    /// A handle with which another thread ends the connection.
    pub fn closer(&self) -> Closer {
        self.stream.closer()
    }

    /// Takes messages with bodies of this length at the most, but for those that are always taken. Who has not come so
    /// far that it may send longer ones gets no memory for them.
    pub fn take_bodies(&mut self, most: usize) {
        self.incoming.take_bodies(most);
    }

    /// The feature bits that both ends set.
    pub fn features(&self) -> Features {
        self.incoming.features
    }

    /// Queues ACCEPT. After it the other end may send ignorable messages.
    pub fn accept(&mut self) -> Result<()> {
        self.skip_ignorable(true);
        self.write(&Message::Accept)
    }

    /// From here on the other end may, or may not, send ignorable messages in front of others. They are skipped; in a
    /// session whose ends did not both set [`Features::IGNORABLE`] none may come at any point.
    pub fn skip_ignorable(&mut self, may_come: bool) {
        self.incoming.may_skip = may_come && self.features().has(Features::IGNORABLE);
    }

    /// Reads end at the deadline, however many bytes trickle in; without one, when the peer has run out of `Patience`.
    pub fn set_deadline(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline;
    }

    /// One read from the socket, or none when it is time to say how much has arrived.
    fn fill(&mut self, patience: &mut Patience) -> io::Result<()> {
        let Incoming { records, start, end, .. } = self.incoming;
        let limit = match &self.deadline {
            Some(deadline) => deadline.left()?,
            None => patience.left(records, end - start)?,
        };
        let wait = if self.has_unreported() { limit.min(GOT_AFTER) } else { limit };
        if self.waits != wait {
            self.stream.socket().set_read_timeout(Some(wait))?;
            self.waits = wait;
        }
        match self.incoming.fill(self.stream.socket()) {
            Err(cause) if cause.kind() == io::ErrorKind::TimedOut && wait < limit => Ok(()),
            filled => filled,
        }
    }

    fn has_unreported(&self) -> bool {
        self.incoming.may_confirm() && !self.is_given_up && self.incoming.unreported >= GOT_BYTES
    }

    /// Says how much has arrived, where both ends know of that. Nothing depends on it here, so its failure is left to what
    /// comes next: what has arrived can still be read.
    pub fn report(&mut self) {
        if self.incoming.may_confirm() && !self.is_given_up {
            self.reported = Instant::now();
            self.incoming.unreported = 0;
            let _ = self.send(&Message::Got(self.incoming.stream));
        }
    }

    /// What the other end has confirmed to have of what was sent here. `None` where it does not know how to.
    pub fn progress(&self) -> Option<Progress> {
        self.incoming.may_confirm().then(|| self.outgoing.progress_with(&self.incoming))
    }

    /// Bytes of the stream that the other end has confirmed; 0 where it does not know how to.
    pub fn confirmed(&self) -> u64 {
        self.incoming.confirmed.load(Ordering::Relaxed)
    }

    /// Waits until the other end has all that was sent. It has nothing else to say meanwhile.
    pub fn wait_until_confirmed(&mut self, during: &str) -> Result<()> {
        let Some(progress) = self.progress() else { return Ok(()) };
        let mut patience = Patience::new(self.incoming.records);
        while progress.unconfirmed() > 0 {
            if self.has_message()? {
                return self.read_as(during, |_| None);
            }
            if progress.unconfirmed() > 0 {
                self.fill(&mut patience).map_err(|cause| self.lost(during, &cause))?;
            }
        }
        Ok(())
    }

    /// Queues a message; it is on its way after [`Session::flush`] at the latest.
    pub fn write(&mut self, message: &Message) -> Result<()> {
        message.encode(&mut self.outgoing);
        self.flush_if_full()
    }

    /// Queues a PIECE of `length` bytes that `fill` puts where they are sealed. When `fill` fails, the connection is of
    /// no further use but for the error's sake: nothing of the piece is sent.
    pub fn write_piece(
        &mut self,
        at: u64,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let head = piece_head(at, length);
        if self.outgoing.most < PIECE_HEAD + length {
            let mut piece = vec![0; length];
            fill(&mut piece)?;
            self.outgoing.put(&head);
            for part in piece.chunks(self.outgoing.most) {
                self.outgoing.put(part);
                self.flush_if_full()?;
            }
            return Ok(());
        }
        self.outgoing.open_record(PIECE_HEAD + length);
        let before = self.outgoing.end;
        self.outgoing.space(PIECE_HEAD).copy_from_slice(&head);
        if let Err(error) = fill(self.outgoing.space(length)) {
            self.outgoing.end = before;
            return Err(error);
        }
        self.outgoing.count(PIECE_HEAD + length);
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.outgoing.end >= FLUSH_AT.min(4 * self.outgoing.most) { self.flush() } else { Ok(()) }
    }

    /// Sends what is queued. After a failure nothing more is sent on this connection, but what has arrived can be read.
    pub fn flush(&mut self) -> Result<()> {
        if self.is_given_up {
            return Err(self.lost("sending", &io::ErrorKind::BrokenPipe.into()));
        }
        let Some(sealed) = self.outgoing.seal() else {
            return Err(self.broken("no record numbers are left"));
        };
        if sealed.len() >= LARGE_WRITE && self.large_sent.is_none() {
            self.large_sent = Some((Instant::now(), self.incoming.records));
        }
        let (length, begun) = (sealed.len(), Instant::now());
        let written = write_all(self.stream.socket(), sealed, &mut self.incoming, self.stalled_after);
        self.outgoing.clear();
        self.outgoing.most = self.pace.note(length, begun.elapsed());
        written.map_err(|cause| {
            self.is_given_up = true;
            if cause.kind() == io::ErrorKind::TimedOut {
                // Nothing arrived in all this time, so nobody waits for more.
                self.closer().close();
            }
            self.lost("sending", &cause)
        })
    }

    /// Sends one message now.
    pub fn send(&mut self, message: &Message) -> Result<()> {
        self.write(message)?;
        self.flush()
    }

    /// The next message; waits for it while bytes keep coming, see `Patience`. `during` says for what, should it fail.
    pub fn read(&mut self, during: &str) -> Result<Message<'_>> {
        let mut patience = Patience::new(self.incoming.records);
        while !self.has_message()? {
            if self.has_unreported() && self.reported.elapsed() >= GOT_AFTER {
                self.report();
            }
            self.fill(&mut patience).map_err(|cause| self.lost(during, &cause))?;
        }
        // `self` is borrowed by the message, so the label is cloned only on failure, inside.
        let label = &self.label;
        self.incoming
            .next_message()
            .map_err(|what| Error::Protocol { peer: label.clone(), what: what.into() })
    }

    /// The next message, which must be one that `pick` takes.
    pub fn read_as<T>(&mut self, during: &str, pick: impl FnOnce(Message) -> Option<T>) -> Result<T> {
        let message = self.read(during)?;
        let kind = message.kind();
        pick(message).ok_or_else(|| self.unexpected(kind, during))
    }

    /// Whether [`Session::read`] would return without waiting for the network.
    pub fn has_buffered(&mut self) -> Result<bool> {
        self.has_message()
    }

    fn has_message(&mut self) -> Result<bool> {
        let has_message = self.incoming.has_message().map_err(|what| self.broken(what))?;
        if self.incoming.confirmed.load(Ordering::Relaxed) > self.outgoing.stream.load(Ordering::Relaxed) {
            return Err(self.broken("it has got more than was sent"));
        }
        Ok(has_message)
    }

    /// Whether the other end has said anything that was not read yet, or is gone. Never waits.
    pub fn has_input(&mut self) -> Result<bool> {
        if self.has_message()? {
            return Ok(true);
        }
        match self.incoming.fill_now(self.stream.socket()) {
            Ok(()) => self.has_message(),
            // It is gone, which the next read tells.
            Err(_) => Ok(true),
        }
    }

    /// Gives memory back; for when only pings pass.
    pub fn release_memory(&mut self) {
        self.outgoing.bytes.truncate(self.outgoing.end.max(SMALL));
        self.outgoing.bytes.shrink_to_fit();
        self.incoming.release_memory();
    }

    /// Sends a last message and closes, so that the other end can read it although it is still sending: closing a
    /// socket with unread input would reset the connection and destroy the message on its way.
    pub fn finish(mut self, last: &Message) -> Result<()> {
        self.send(last)?;
        let _ = self.stream.socket().shutdown(Shutdown::Write);
        let deadline = Deadline::after(LINGER);
        let mut scrap = [0; 4096];
        while deadline.read_exact(self.stream.socket(), &mut scrap).is_ok() {}
        Ok(())
    }

    /// What the other end just did is against the protocol.
    pub fn broken(&self, what: impl Into<String>) -> Error {
        Error::Protocol { peer: self.label.clone(), what: what.into() }
    }

    /// The message is not one that may come here. A goodbye is as good as a connection that is gone.
    pub fn unexpected(&self, kind: u8, during: &str) -> Error {
        if kind == Message::Bye.kind() {
            return Error::Lost { peer: self.label.clone(), during: format!("{during} (it said goodbye)") };
        }
        self.broken(format!("message type {kind} while {during}"))
    }

    /// Whether nothing has come back since the first large write, although the peer answers to small packets. A peer that
    /// is gone, or whose program stands still, does not.
    fn loses_large_packets(&self) -> bool {
        let is_unanswered = self.large_sent.is_some_and(|(sent, records)| {
            records == self.incoming.records && sent.elapsed() >= LARGE_ANSWER && !self.pace.has_measured()
        });
        is_unanswered && self.route.as_ref().is_some_and(|route| answers_small_packets(route, &self.peer))
    }

    fn lost(&self, during: &str, cause: &io::Error) -> Error {
        if cause.kind() == io::ErrorKind::TimedOut && self.loses_large_packets() {
            return Error::LargePackets { peer: self.label.clone(), during: during.to_owned() };
        }
        let why = match cause.kind() {
            io::ErrorKind::UnexpectedEof => String::new(),
            io::ErrorKind::TimedOut => " (no sign of life)".into(),
            _ => format!(" ({})", reason(cause)),
        };
        Error::Lost { peer: self.label.clone(), during: format!("{during}{why}") }
    }
}

/// Whether the peer answers on a new connection, on which all packets are small.
fn answers_small_packets(route: &Route, peer: &PublicKey) -> bool {
    let Ok(stream) = route.open_again(SMALL_ANSWER) else { return false };
    route.pass(&stream, Deadline::after(SMALL_ANSWER)).is_ok()
        && handshake::ask_key(stream).is_ok_and(|key| key == *peer)
}

/// Writes for as long as that makes progress, or the other end says something: then what holds it up is behind it.
fn write_all(
    mut stream: &TcpStream,
    mut bytes: &[u8],
    incoming: &mut Incoming,
    stalled_after: Duration,
) -> io::Result<()> {
    let mut since = Instant::now();
    while !bytes.is_empty() {
        match stream.write(bytes).map_err(timed_out) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                since = Instant::now();
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == io::ErrorKind::TimedOut => {
                if incoming.has_news(stream)? {
                    since = Instant::now();
                } else if since.elapsed() >= stalled_after {
                    return Err(cause);
                }
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// How much of what one end has sent the other one has confirmed; any thread may look.
#[derive(Clone)]
pub struct Progress {
    sent: Arc<AtomicU64>,
    confirmed: Arc<AtomicU64>,
}

impl Progress {
    /// Bytes of the stream that were queued or sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of the stream that the other end has.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Bytes of which nothing is known.
    pub fn unconfirmed(&self) -> u64 {
        self.sent().saturating_sub(self.confirmed())
    }
}

/// Plaintext laid out as records, each with room for its length and tag, so that sealing happens in place.
struct Outgoing {
    sealer: Sealer,
    /// Records are at `bytes[..end]`; what is behind was used before, and is not cleared.
    bytes: Vec<u8>,
    end: usize,
    /// Where the record starts that more may be added to.
    open: Option<usize>,
    /// Most bytes that a record is given.
    most: usize,
    /// Bytes of the stream so far.
    stream: Arc<AtomicU64>,
}

impl FieldWriter for Outgoing {
    fn put(&mut self, mut bytes: &[u8]) {
        self.count(bytes.len());
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.open_record(1).min(bytes.len()));
            self.space(now.len()).copy_from_slice(now);
            bytes = later;
        }
    }
}

impl Outgoing {
    fn new(sealer: Sealer) -> Outgoing {
        Outgoing {
            sealer,
            bytes: Vec::new(),
            end: 0,
            open: None,
            most: Pace::default().record(),
            stream: Arc::default(),
        }
    }

    fn count(&self, length: usize) {
        self.stream.fetch_add(length as u64, Ordering::Relaxed);
    }

    fn progress_with(&self, incoming: &Incoming) -> Progress {
        Progress { sent: Arc::clone(&self.stream), confirmed: Arc::clone(&incoming.confirmed) }
    }

    /// Makes sure that the open record has room for `wanted` bytes, and says how many it has.
    fn open_record(&mut self, wanted: usize) -> usize {
        let full = 2 + self.most;
        let room = |start: usize, end: usize| start + full - end;
        if self.open.is_some_and(|start| room(start, self.end) < wanted) {
            self.close_record();
        }
        let start = *self.open.get_or_insert(self.end);
        if start == self.end {
            self.space(2);
        }
        room(start, self.end)
    }

    fn close_record(&mut self) {
        let Some(start) = self.open.take() else { return };
        self.space(TAG_LEN);
        let length = (self.end - start - 2) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// The next `length` bytes.
    fn space(&mut self, length: usize) -> &mut [u8] {
        let start = self.end;
        self.end += length;
        if self.end > self.bytes.len() {
            self.bytes.resize(self.end, 0);
        }
        &mut self.bytes[start..self.end]
    }

    /// Seals every record; `None` when the cipher has no nonces left.
    fn seal(&mut self) -> Option<&[u8]> {
        self.close_record();
        let mut rest = &mut self.bytes[..self.end];
        while let Some((length, sealed)) = rest.split_first_chunk_mut::<2>() {
            let (record, behind) = sealed.split_at_mut(u16::from_be_bytes(*length).into());
            let (text, tag) = record.split_at_mut(record.len() - TAG_LEN);
            tag.copy_from_slice(&self.sealer.seal(text).ok()?);
            rest = behind;
        }
        Some(&self.bytes[..self.end])
    }

    /// What was there is on its way.
    fn clear(&mut self) {
        self.end = 0;
    }
}

/// Bytes from the socket, and the opened but not yet read part of the byte stream in the records. Apart from a session
/// it is of use to tests alone.
pub struct Incoming {
    opener: Opener,
    /// What both ends set: it says which fields messages have.
    features: Features,
    /// How many records were opened.
    records: u64,
    /// Bytes of the stream that were opened.
    stream: u64,
    /// Sealed bytes that have arrived since this end last said so.
    unreported: u64,
    /// What the other end has of what was sent here.
    confirmed: Arc<AtomicU64>,
    /// The longest body that is taken.
    most: usize,
    /// Whether ignorable messages may come now.
    may_skip: bool,
    /// How many came since the last other message.
    skipped: u8,
    /// Sealed bytes are at `raw[start..end]`.
    raw: Vec<u8>,
    start: usize,
    end: usize,
    /// Opened bytes lie where they were opened, at `raw[opened]`, and are read there ...
    opened: Range<usize>,
    /// ... unless a message goes on in the next record: then they are at `carried[taken..]`.
    carried: Vec<u8>,
    taken: usize,
}

impl Incoming {
    /// Before the first record of a session whose ends share these features.
    pub fn new(opener: Opener, features: Features) -> Incoming {
        Incoming {
            opener,
            features,
            records: 0,
            stream: 0,
            unreported: 0,
            confirmed: Arc::default(),
            most: MAX_PROFILE,
            may_skip: false,
            skipped: 0,
            raw: vec![0; SMALL],
            start: 0,
            end: 0,
            opened: 0..0,
            carried: Vec::new(),
            taken: 0,
        }
    }

    /// Takes bodies of this length at the most, but for short ones, which are always taken.
    pub fn take_bodies(&mut self, most: usize) {
        self.most = most.max(MAX_PROFILE);
    }

    /// One read from the socket, into a buffer that holds at least the record under way.
    pub fn fill(&mut self, mut from: impl Read) -> io::Result<()> {
        self.carry();
        if self.start == self.end || self.raw.len() - self.end < RECORD {
            self.raw.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.raw.len() {
            self.raw.resize(LARGE_BUFFER, 0);
        }
        loop {
            match from.read(&mut self.raw[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.end += count;
                    self.unreported += count as u64;
                    return Ok(());
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(timed_out(cause)),
            }
        }
    }

    /// Reads what has arrived by now, if anything has. Never waits.
    fn fill_now(&mut self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let filled = self.fill(stream);
        stream.set_nonblocking(false)?;
        filled.or_else(|cause| if cause.kind() == io::ErrorKind::TimedOut { Ok(()) } else { Err(cause) })
    }

    /// Opens what has arrived by now; says whether that is anything. Never waits.
    fn has_news(&mut self, stream: &TcpStream) -> io::Result<bool> {
        // Nobody reads it as yet, so there is an end to what is kept, however slowly the write moves on meanwhile.
        if self.unread().len() >= LARGE_BUFFER {
            return Ok(false);
        }
        let before = self.records;
        self.fill_now(stream)?;
        let against_protocol = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        // What it has got is to be known at once; messages that nobody reads as yet are kept.
        self.has_message().map_err(against_protocol)?;
        while self.open_record().map_err(against_protocol)? {}
        Ok(self.records > before)
    }

    /// The opened bytes that were not read yet.
    fn unread(&self) -> &[u8] {
        if self.carried.is_empty() { &self.raw[self.opened.clone()] } else { &self.carried[self.taken..] }
    }

    /// Keeps the beginning of a message for when the rest of it is opened. The room for it doubles, but not beyond what
    /// the longest message and a record need.
    fn carry(&mut self) {
        self.carried.drain(..self.taken);
        self.taken = 0;
        let held = self.carried.len();
        let needed = held + self.opened.len();
        if needed > self.carried.capacity() {
            self.carried.reserve_exact((2 * needed).min(MAX_CARRIED.max(needed)) - held);
        }
        self.carried.extend_from_slice(&self.raw[self.opened.clone()]);
        self.opened = self.start..self.start;
    }

    /// Opens records that have arrived until a whole message is there, and drops the ignorable ones in front of it; says
    /// whether one is. The length of a message is checked as soon as its header is there, so no more than one message and
    /// one record is ever held.
    pub fn has_message(&mut self) -> std::result::Result<bool, &'static str> {
        loop {
            match self.front()? {
                Some((GOT, length)) if self.unread().len() >= length => self.take_got(length)?,
                Some((kind, length)) if self.unread().len() >= length => {
                    if kind < IGNORABLE {
                        return Ok(true);
                    }
                    self.skipped += 1;
                    self.take(length);
                }
                _ if self.open_record()? => {}
                _ => return Ok(false),
            }
        }
    }

    /// Whether the ends tell each other how much has arrived.
    fn may_confirm(&self) -> bool {
        self.features.has(Features::PROGRESS)
    }

    /// Notes what the other end has got.
    fn take_got(&mut self, length: usize) -> std::result::Result<(), &'static str> {
        let got = Message::decode(GOT, &self.take(length)[HEADER..]).map_err(|malformed| malformed.0)?;
        let Message::Got(bytes) = got else { return Err("a GOT that is none") };
        let before = self.confirmed.swap(bytes, Ordering::Relaxed);
        if bytes < before { Err("it has got less than before") } else { Ok(()) }
    }

    /// The type of the message at the front and its length with the header, once the header is there.
    fn front(&self) -> std::result::Result<Option<(u8, usize)>, &'static str> {
        let Some((&[kind, a, b, c, d], _)) = self.unread().split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let limit = if kind == GOT && !self.may_confirm() {
            return Err("a GOT where none may come");
        } else if kind < IGNORABLE {
            max_body(kind).map_err(|_| "unknown message type")?.min(self.most)
        } else if !self.may_skip {
            return Err("an ignorable message where none may come");
        } else if self.skipped == MAX_IGNORABLE_RUN {
            return Err("too many ignorable messages in a row");
        } else {
            MAX_IGNORABLE
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > limit { Err("message too long") } else { Ok(Some((kind, HEADER + length))) }
    }

    /// The next `length` bytes, which are there.
    fn take(&mut self, length: usize) -> &[u8] {
        if self.carried.is_empty() {
            let start = self.opened.start;
            self.opened.start += length;
            &self.raw[start..start + length]
        } else {
            self.taken += length;
            &self.carried[self.taken - length..self.taken]
        }
    }

    /// Opens one record if a whole one has arrived.
    fn open_record(&mut self) -> std::result::Result<bool, &'static str> {
        let Some((&[high, low], sealed)) = self.raw[self.start..self.end].split_first_chunk::<2>() else {
            return Ok(false);
        };
        let length = u16::from_be_bytes([high, low]) as usize;
        if length < TAG_LEN {
            return Err("record too short");
        }
        if sealed.len() < length {
            return Ok(false);
        }
        self.carry();
        let text = self.start + 2..self.start + 2 + length - TAG_LEN;
        let (head, behind) = self.raw.split_at_mut(text.end);
        let tag = behind.first_chunk::<TAG_LEN>().ok_or("record too short")?;
        self.opener.open(&mut head[text.start..], tag).map_err(|_| "a record does not authenticate")?;
        self.records += 1;
        self.stream += (length - TAG_LEN) as u64;
        self.start = text.end + TAG_LEN;
        self.opened = text;
        if !self.carried.is_empty() {
            self.carry();
        }
        Ok(true)
    }

    /// The message that [`Incoming::has_message`] found.
    pub fn next_message(&mut self) -> std::result::Result<Message<'_>, &'static str> {
        let (_, length) = self.front()?.ok_or("message cut short")?;
        if self.unread().len() < length {
            return Err("message cut short");
        }
        self.skipped = 0;
        let features = self.features;
        let bytes = self.take(length);
        Message::decode_with(features, bytes[0], &bytes[HEADER..]).map_err(|malformed| malformed.0)
    }

    /// Gives the buffers back, if nothing is in them.
    pub fn release_memory(&mut self) {
        if self.start == self.end && self.unread().is_empty() {
            (self.start, self.end, self.taken) = (0, 0, 0);
            self.opened = 0..0;
            self.raw = vec![0; SMALL];
            self.carried = Vec::new();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::handshake::{Initiator, PREAMBLE_LEN, Responder};
    use crate::crypto::keys::StaticKeys;
    use crate::net::transport::Origin;
    use crate::wire::features::{acceptor_payload, dialler_payload};
    use crate::wire::message::{Kind, PIECE};
    use std::net::{Ipv4Addr, TcpListener};

    /// Both ends of a session on loopback.
    fn pair() -> (Session, Session) {
        let (alice, bob) = (StaticKeys::from_secret([1; 32]), StaticKeys::from_secret([2; 32]));
        let (none, preamble) = (Features::NONE, [0; PREAMBLE_LEN]);
        let (dialler, message) = Initiator::start(&alice, &bob.public(), &preamble, None).unwrap();
        let acceptor = Responder::read_message_1(&bob, &preamble, &message).unwrap();
        let (acceptor, message) = acceptor.write_message_2(None, &acceptor_payload(none)).unwrap();
        let (dialler, _) = dialler.read_message_2(&message).unwrap();
        let (message, dialled) = dialler.write_message_3(&dialler_payload(Kind::Push, none)).unwrap();
        let (_, _, accepted) = acceptor.read_message_3(&message).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        let session = |stream, keys: &StaticKeys, established| {
            let stream = Stream::new(stream, Origin::Direct(Ipv4Addr::LOCALHOST.into()));
            Session::new(stream, keys.public(), "them".into(), Features::IGNORABLE, established).unwrap()
        };
        (session(stream, &bob, dialled), session(other, &alice, accepted))
    }

    /// Sends pieces until that fails.
    fn flood(session: &mut Session) -> Error {
        loop {
            if let Err(error) = session.write_piece(0, PIECE, |_| Ok(())) {
                return error;
            }
        }
    }

    /// The kernel's buffers fill within milliseconds; then nothing moves.
    #[test]
    fn a_stalled_receiver_is_given_up_in_time_and_gets_no_other_record() {
        let (mut sender, mut receiver) = pair();
        sender.stalled_after = Duration::from_millis(900);
        sender.stream.socket().set_write_timeout(Some(Duration::from_millis(30))).unwrap();
        let begun = Instant::now();
        assert!(matches!(flood(&mut sender), Error::Lost { .. }));
        let stalled = begun.elapsed();
        assert!((900..2500).contains(&stalled.as_millis()), "{stalled:?}");

        // What would follow the cut record fails at once, and is not sent.
        assert!(sender.send(&Message::Ping).is_err() && sender.read("waiting").is_err());
        assert!(begun.elapsed() - stalled < Duration::from_millis(500));
        receiver.take_bodies(8 + PIECE);
        let error = loop {
            match receiver.read("receiving") {
                Ok(message) => assert!(matches!(message, Message::Piece { .. })),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, Error::Lost { .. }),
            "the end within a record, and no record that is none: {error}"
        );
    }

    /// As an end that is slow, but alive, holds the connection up.
    #[test]
    fn who_is_heard_of_is_not_given_up() {
        let (mut sender, mut receiver) = pair();
        sender.stalled_after = Duration::from_millis(300);
        sender.stream.socket().set_write_timeout(Some(Duration::from_millis(30))).unwrap();
        let alive = std::thread::spawn(move || {
            for _ in 0..12 {
                std::thread::sleep(Duration::from_millis(100));
                receiver.send(&Message::Ping).unwrap();
            }
            receiver
        });
        let begun = Instant::now();
        flood(&mut sender);
        assert!(begun.elapsed() > Duration::from_millis(1200), "{:?}", begun.elapsed());
        drop(alive.join());
    }

    /// It takes a little now and then, and never stops talking.
    #[test]
    fn what_a_slow_receiver_says_meanwhile_is_not_kept_without_end() {
        let (mut sender, mut receiver) = pair();
        sender.stream.socket().set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        sender.take_bodies(8 + PIECE);
        let socket = receiver.stream.socket().try_clone().unwrap();
        std::thread::spawn(move || while receiver.write_piece(0, PIECE, |_| Ok(())).is_ok() {});
        let reading = std::thread::spawn(move || {
            let mut scrap = vec![0; 256 << 10];
            for _ in 0..40 {
                std::thread::sleep(Duration::from_millis(50));
                if (&socket).read(&mut scrap).is_err() {
                    break;
                }
            }
            socket.shutdown(Shutdown::Both)
        });
        flood(&mut sender);
        assert!(sender.incoming.unread().len() < 3 * LARGE_BUFFER, "{}", sender.incoming.unread().len());
        reading.join().unwrap().unwrap();
    }

    const NEWS: (u8, &[u8]) = (200, b"news");

    /// What arrives when these messages are sent, types and bodies: the types that are read, and whether all was well.
    fn read(may_skip: bool, messages: &[(u8, &[u8])]) -> (Vec<u8>, std::result::Result<(), &'static str>) {
        let bytes = messages
            .iter()
            .flat_map(|(kind, body)| [&[*kind], (body.len() as u32).to_be_bytes().as_slice(), body].concat());
        let bytes: Vec<u8> = bytes.collect();
        let cipher = || crate::crypto::noise::CipherState::initialize_key(&[3; 32]);
        // In one record, and in many.
        let [one, many] = [usize::MAX, 3].map(|size| {
            let (mut sealer, mut wire) = (Sealer::new(cipher()), Vec::new());
            for part in bytes.chunks(size.min(MAX_IN_RECORD)) {
                let mut record = part.to_vec();
                let tag = sealer.seal(&mut record).unwrap();
                wire.extend(((record.len() + TAG_LEN) as u16).to_be_bytes());
                wire.extend([record.as_slice(), &tag].concat());
            }
            let (mut incoming, mut socket) =
                (Incoming::new(Opener::new(cipher()), Features::NONE), &wire[..]);
            incoming.may_skip = may_skip;
            let mut kinds = Vec::new();
            let ended = loop {
                match incoming.has_message() {
                    Ok(true) => kinds.push(incoming.next_message().unwrap().kind()),
                    Ok(false) if incoming.fill(&mut socket).is_err() => break Ok(()),
                    Ok(false) => {}
                    Err(what) => break Err(what),
                }
            };
            (kinds, ended)
        });
        assert_eq!(one, many);
        one
    }

    #[test]
    fn ignorable_messages_are_skipped_where_they_may_come() {
        let (ping, longest) = ((4, b"".as_slice()), vec![7; MAX_IGNORABLE]);
        assert_eq!(
            read(true, &[NEWS, ping, (128, b""), (255, &longest), NEWS, NEWS, ping]),
            (vec![4, 4], Ok(()))
        );
        assert_eq!(read(false, &[ping, NEWS, ping]).0, [4]);
        assert!(read(false, &[ping, NEWS, ping]).1.is_err());
    }

    #[test]
    fn a_fifth_in_a_row_and_a_too_long_one_end_it() {
        let (ping, too_long) = ((4, b"".as_slice()), vec![7; MAX_IGNORABLE + 1]);
        assert_eq!(read(true, &[NEWS, NEWS, NEWS, NEWS, ping]), (vec![4], Ok(())));
        let (kinds, ended) = read(true, &[ping, NEWS, NEWS, NEWS, NEWS, NEWS, ping]);
        assert!(kinds == [4] && ended.is_err());
        let (kinds, ended) = read(true, &[ping, (128, &too_long), ping]);
        assert!(kinds == [4] && ended.is_err());
    }
}
