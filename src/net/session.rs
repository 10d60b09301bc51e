//! A proven connection: messages in sealed records over one stream (egoat-protocol(7), RECORDS).
//!
//! A session is made by `net::handshake` alone and is used by one thread. Reading and writing take turns; buffers
//! are small until something long passes, and are given back when the peers only ping. It leaves out which message
//! may come when.
//!
//! On a slow path the records are short, and the end that reads says now and then how much has arrived (GOT), so that the
//! other end can tell a slow path from a dead one.

mod incoming;
mod outgoing;

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::crypto::handshake::Established;
use crate::crypto::keys::PublicKey;
use crate::crypto::noise::{HASH_LEN, TAG_LEN};
use crate::error::{Error, Result, reason};
use crate::net::deadline::{Deadline, timed_out};
use crate::net::handshake;
use crate::net::local::Reach;
use crate::net::pace::{Pace, Patience};
pub use crate::net::session::incoming::Incoming;
use crate::net::session::outgoing::Outgoing;
pub use crate::net::session::outgoing::Progress;
use crate::net::telling::Exchange;
use crate::net::transport::route::Route;
use crate::net::transport::{Closer, Stream};
use crate::store::peers::Place;
use crate::wire::codec::FieldWriter;
use crate::wire::control::Path;
use crate::wire::features::Features;
use crate::wire::message::{CHUNK, Message, PIECE_HEAD, piece_head};

/// Most bytes that a record carries.
pub const MAX_IN_RECORD: usize = u16::MAX as usize - TAG_LEN;
/// A record of the largest size: length, ciphertext and tag.
const RECORD: usize = 2 + u16::MAX as usize;
/// Bytes of buffer that either half of a connection keeps that only pings.
const SMALL: usize = 1 << 10;

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

/// Written out when this much is waiting, a chunk of four records, which is one system call; or four records where they are
/// shorter.
const FLUSH_AT: usize = CHUNK;
/// How often a read that waits looks whether it is to stop.
const STOP_POLL: Duration = Duration::from_secs(1);
/// Bytes of one write from which on a path with a smaller MTU than the usual 1500 shows.
const LARGE_WRITE: usize = 1500;
/// How long nothing has come back after such a write before the MTU is suspected.
const LARGE_ANSWER: Duration = Duration::from_secs(20);
/// How long a new connection may take that tells whether small packets arrive.
const SMALL_ANSWER: Duration = Duration::from_secs(2);

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
    /// Reads end once this is set.
    stop: Option<Arc<AtomicBool>>,
    /// How it was dialled, if it was.
    route: Option<Route>,
    /// Set where the ends tell each other their addresses.
    exchange: Option<Exchange>,
    /// The read timeout that the socket has.
    waits: Duration,
    /// How long a write may make no progress.
    stalled_after: Duration,
    /// A write failed, perhaps within a record: the other end would take what follows for the rest of that record.
    is_given_up: bool,
    /// This end has said all that it has to say, see [`Session::send_last`].
    is_quiet: bool,
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
            stop: None,
            route: None,
            exchange: None,
            waits: DEAD_AFTER,
            stalled_after: STALL_TIMEOUT,
            is_given_up: false,
            is_quiet: false,
            reported: Instant::now(),
            pace: Pace::default(),
            large_sent: None,
        })
    }

    /// Keeps how it was dialled.
    pub(super) fn by(self, route: Route) -> Session {
        Session { route: Some(route), ..self }
    }

    /// Keeps how its address was found.
    pub(super) fn by_place(self, place: &Place) -> Session {
        Session { route: self.route.map(|route| route.by_place(place)), ..self }
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

    /// The way that a connection took that the other end has dialled. From far away to an address of this network, it came by a
    /// port that a router maps.
    pub fn path_here(&self) -> Path {
        let reach = |at: Option<SocketAddr>| at.map(|at| Reach::of(at.ip()));
        let own = self.stream.socket().local_addr().ok();
        match (reach(own), reach(self.remote_address())) {
            (Some(Reach::Private), Some(Reach::Global)) => Path::Mapped,
            _ => Path::Direct,
        }
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

    /// Whether the other end has said, since this was asked last, that files wait for this end.
    pub fn take_files_wait(&mut self) -> bool {
        std::mem::take(&mut self.incoming.files_wait) && self.features().has(Features::COLLECT)
    }

    /// From here on the ends tell each other where they can be dialled, see [`Session::exchange_addresses`].
    pub fn set_exchange(&mut self, exchange: Exchange) {
        self.exchange = Some(exchange).filter(|_| self.features().has(Features::IGNORABLE));
    }

    /// Queues ADDRESSES if the other end does not know this node's addresses yet. The caller is about to send a message in
    /// front of which an ignorable one may stand.
    pub fn exchange_addresses(&mut self) -> Result<()> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        exchange.learn(self.incoming.addresses.take());
        let Some(own) = exchange.news() else { return Ok(()) };
        self.write(&Message::Addresses { version: own.version, list: &own.encode_list() })
    }

    /// Reads end at the deadline, however many bytes trickle in; without one, when the peer has run out of `Patience`.
    pub fn set_deadline(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline;
    }

    /// Reads end with [`Error::Stopped`] within a second after `stop` was set, also where nothing arrives. Without one, reads
    /// end as usual.
    pub fn stop_by(&mut self, stop: Option<Arc<AtomicBool>>) {
        self.stop = stop;
    }

    /// One read from the socket, or none when it is time to say how much has arrived, or to look whether to stop.
    fn fill(&mut self, patience: &mut Patience) -> io::Result<()> {
        let Incoming { records, start, end, .. } = self.incoming;
        let limit = match &self.deadline {
            Some(deadline) => deadline.left()?,
            None => patience.left(records, end - start)?,
        };
        let wait = if self.has_unreported() { limit.min(GOT_AFTER) } else { limit };
        let wait = if self.stop.is_some() { wait.min(STOP_POLL) } else { wait };
        if self.waits != wait {
            self.stream.socket().set_read_timeout(Some(wait))?;
            self.waits = wait;
        }
        match self.incoming.fill(self.stream.socket()) {
            Err(cause) if cause.kind() == io::ErrorKind::TimedOut && wait < limit => Ok(()),
            filled => filled,
        }
    }

    fn may_report(&self) -> bool {
        self.incoming.may_confirm() && !self.is_given_up && !self.is_quiet
    }

    fn has_unreported(&self) -> bool {
        self.may_report() && self.incoming.unreported >= GOT_BYTES
    }

    /// Says how much has arrived, where both ends know of that. Nothing depends on it here, so its failure is left to what
    /// comes next: what has arrived can still be read.
    pub fn report(&mut self) {
        if self.may_report() {
            self.reported = Instant::now();
            self.incoming.unreported = 0;
            let _ = self.send(&Message::Got(self.incoming.stream));
        }
    }

    /// Sends a message behind which only the other end has something to say, and that ends the connection: this end does not
    /// even say any more how much has arrived, so that nothing unread resets the connection there.
    pub fn send_last(&mut self, message: &Message) -> Result<()> {
        self.is_quiet = true;
        self.send(message)
    }

    /// What the other end has confirmed to have of what was sent here. `None` where it does not know how to.
    pub fn progress(&self) -> Option<Progress> {
        self.incoming.may_confirm().then(|| self.outgoing.progress(&self.incoming.confirmed))
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

    /// Reads how many messages the dialler has sent early, if both ends know of that.
    pub fn read_early(&mut self) -> Result<()> {
        if self.features().has(Features::EARLY) {
            self.incoming.early =
                self.read_as("waiting for its first messages", |message| match message {
                    Message::Early(messages) => Some(messages),
                    _ => None,
                })?;
        }
        Ok(())
    }

    /// Reads what is left of the early messages, and puts it aside. Says what the first one is, if there is one.
    pub fn put_early_aside(&mut self) -> Result<Option<Message<'_>>> {
        while self.incoming.early > 0 {
            self.wait_for_message("waiting for what was sent early")?;
            self.incoming.put_aside().map_err(|what| self.broken(what))?;
        }
        Ok(self.incoming.first_aside())
    }

    /// Whether early messages are put aside.
    pub fn has_early(&self) -> bool {
        self.incoming.first_aside().is_some()
    }

    /// The early messages that were put aside count: they are read next.
    pub fn take_early(&mut self) {
        self.incoming.take_back_aside();
    }

    /// They do not count.
    pub fn drop_early(&mut self) {
        self.incoming.drop_aside();
    }

    /// The next message; waits for it while bytes keep coming, see `Patience`. `during` says for what, should it fail.
    pub fn read(&mut self, during: &str) -> Result<Message<'_>> {
        self.wait_for_message(during)?;
        // `self` is borrowed by the message, so the label is cloned only on failure, inside.
        let label = &self.label;
        self.incoming
            .next_message()
            .map_err(|what| Error::Protocol { peer: label.clone(), what: what.into() })
    }

    fn wait_for_message(&mut self, during: &str) -> Result<()> {
        let mut patience = Patience::new(self.incoming.records);
        while !self.has_message()? {
            if self.has_unreported() && self.reported.elapsed() >= GOT_AFTER {
                self.report();
            }
            if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(Error::Stopped);
            }
            self.fill(&mut patience).map_err(|cause| self.lost(during, &cause))?;
        }
        Ok(())
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
        self.outgoing.release_memory();
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

    /// Sends a last message and closes without waiting for the other end, which has nothing more to say: to wait would cost a
    /// round trip. An end that says how much has arrived all the same may have done so before; unread, that would reset the
    /// connection, so it is dropped first.
    pub fn close_with(mut self, last: &Message) -> Result<()> {
        self.send(last)?;
        let _ = self.stream.socket().shutdown(Shutdown::Write);
        let _ = self.incoming.fill_now(self.stream.socket());
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

/// Whether the peer answers on a new connection, on which all packets are small.
fn answers_small_packets(route: &Route, peer: &PublicKey) -> bool {
    let Ok(stream) = route.open_again(SMALL_ANSWER) else { return false };
    route.pass(&stream, Deadline::after(SMALL_ANSWER)).is_ok()
        && handshake::ask_key(stream).is_ok_and(|key| key == *peer)
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
    use std::io::Read;
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
        assert!(
            sender.incoming.unread().len() < 3 * incoming::LARGE_BUFFER,
            "{}",
            sender.incoming.unread().len()
        );
        reading.join().unwrap().unwrap();
    }
}
