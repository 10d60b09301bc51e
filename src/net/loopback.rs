//! The control connection's way: TCP on 127.0.0.1, which every local user can dial and on which any program may listen. Both
//! ends prove first that they know the secret in node.lock (egoat-files(5), CONTROL CONNECTION), and neither sends it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::{PROOF_LEN, SharedSecret, random_array};
use crate::net::deadline::{Deadline, timed_out};
use crate::wire::control::MAX_BODY;

/// How long the proofs may take.
const PROOF_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that have not proven themselves. A newcomer takes the place of the oldest. A front-end is done after two
/// looks, between which there are half as many newcomers at most.
const MAX_GUESTS: usize = 64;
/// Connections that are accepted between two looks.
const MAX_NEWCOMERS: usize = 32;
/// New connections in a second above which they are looked at in batches, so that a flood costs little.
const BATCH_ABOVE: u32 = 50;
/// How often connections are accepted in a batch, once there are many.
const BATCH_INTERVAL: Duration = Duration::from_millis(20);
/// The first polls of a guest follow each other without a pause, because a front-end answers at once.
const EAGER_POLLS: u32 = 40;
/// The shortest pause between two polls after that.
const SHORTEST_POLL: Duration = Duration::from_micros(50);
/// The pause after accept() has failed for want of descriptors or memory.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long a write may make no progress: a front-end that does not read is dropped.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a nonce.
const NONCE: usize = 16;
/// Bytes before a body: type and length.
const HEADER: usize = 5;

const FRONT: &[u8] = b"front";
const NODE: &[u8] = b"node";

/// A proven connection to the other end. Clones share the socket; one thread reads, and one writes.
#[derive(Clone)]
pub struct Local {
    stream: Arc<TcpStream>,
}

impl Local {
    fn new(stream: TcpStream) -> io::Result<Local> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(Some(STALL_TIMEOUT))?;
        Ok(Local { stream: Arc::new(stream) })
    }

    /// Reads a message into `body`; returns its type. Waits until one arrives or the connection ends.
    pub fn read(&self, body: &mut Vec<u8>) -> io::Result<u8> {
        let mut header = [0; HEADER];
        (&*self.stream).read_exact(&mut header)?;
        let [kind, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_BODY {
            return Err(io::Error::new(ErrorKind::InvalidData, "a message is too long"));
        }
        body.resize(length, 0);
        (&*self.stream).read_exact(body)?;
        Ok(kind)
    }

    /// Reads a message as `read` does; `None` when none begins within `wait`, which is not zero.
    pub fn read_within(&self, wait: Duration, body: &mut Vec<u8>) -> io::Result<Option<u8>> {
        self.stream.set_read_timeout(Some(wait))?;
        match self.stream.peek(&mut [0]).map_err(timed_out) {
            Ok(_) => {}
            Err(cause) if matches!(cause.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                return Ok(None);
            }
            Err(cause) => return Err(cause),
        }
        // The rest of it is on its way.
        self.stream.set_read_timeout(Some(STALL_TIMEOUT))?;
        self.read(body).map(Some)
    }

    /// Writes whole messages.
    pub fn write(&self, messages: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(messages)
    }

    /// Ends the connection for all clones.
    pub fn close(&self) {
        // It may have ended by itself.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Dials the node at `port`, which proves that it knows the secret before we do; then writes `opening`, whole messages.
pub fn dial(port: u16, secret: &SharedSecret, opening: &[u8]) -> io::Result<Local> {
    let stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), PROOF_TIMEOUT)?;
    stream.set_nodelay(true)?;
    let deadline = Deadline::after(PROOF_TIMEOUT);
    let own: [u8; NONCE] = random_array();
    deadline.write_all(&stream, &own)?;
    let (mut peer_nonce, mut proof) = ([0; NONCE], [0; PROOF_LEN]);
    deadline.read_exact(&stream, &mut peer_nonce).map_err(|short| short.cause)?;
    deadline.read_exact(&stream, &mut proof).map_err(|short| short.cause)?;
    if !secret.verify(&[NODE, &own, &peer_nonce], &proof) {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "another program has the node's port"));
    }
    let proof = secret.prove(&[FRONT, &own, &peer_nonce]);
    deadline.write_all(&stream, &[&proof, opening].concat())?;
    Local::new(stream)
}

/// A connection that has not proven itself.
struct Unproven {
    stream: TcpStream,
    since: Instant,
    own: [u8; NONCE],
    peer_nonce: Option<[u8; NONCE]>,
    buffer: [u8; PROOF_LEN],
    got: usize,
}

/// What a look at a guest found.
enum ProofState {
    Waits,
    Proven,
    Gone,
}

impl Unproven {
    fn new(stream: TcpStream) -> io::Result<Unproven> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let (own, since) = (random_array(), Instant::now());
        Ok(Unproven { stream, since, own, peer_nonce: None, buffer: [0; PROOF_LEN], got: 0 })
    }

    /// Goes as far as what has arrived lets it.
    fn look(&mut self, secret: &SharedSecret) -> ProofState {
        if self.since.elapsed() > PROOF_TIMEOUT {
            return ProofState::Gone;
        }
        loop {
            let wanted = if self.peer_nonce.is_none() { NONCE } else { PROOF_LEN };
            match self.stream.read(&mut self.buffer[self.got..wanted]) {
                Ok(0) => return ProofState::Gone,
                Ok(count) => self.got += count,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return ProofState::Waits,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return ProofState::Gone,
            }
            if self.got < wanted {
                continue;
            }
            match (self.peer_nonce, self.buffer.first_chunk::<NONCE>()) {
                (None, Some(peer_nonce)) => {
                    let proof = secret.prove(&[NODE, peer_nonce, &self.own]);
                    // 48 bytes fit into the buffer of a socket to which nothing was written.
                    if self.stream.write_all(&[&self.own[..], &proof].concat()).is_err() {
                        return ProofState::Gone;
                    }
                    (self.peer_nonce, self.got) = (Some(*peer_nonce), 0);
                }
                (Some(peer_nonce), _) => {
                    let is_proven = secret.verify(&[FRONT, &peer_nonce, &self.own], &self.buffer);
                    return if is_proven { ProofState::Proven } else { ProofState::Gone };
                }
                (None, None) => return ProofState::Gone,
            }
        }
    }
}

/// The node's end: it listens, and lets in those that prove themselves.
pub struct LoopbackListener {
    listener: TcpListener,
    secret: SharedSecret,
    guests: VecDeque<Unproven>,
    proven: VecDeque<Local>,
    /// When this second began, and the connections since then.
    second: (Instant, u32),
    /// Looks since the last newcomer.
    looks: u32,
}

impl LoopbackListener {
    /// Listens at a free port.
    pub fn open() -> io::Result<LoopbackListener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(LoopbackListener {
            listener,
            secret: SharedSecret::generate(),
            guests: VecDeque::new(),
            proven: VecDeque::new(),
            second: (Instant::now(), 0),
            looks: 0,
        })
    }

    /// The port.
    pub fn port(&self) -> io::Result<u16> {
        self.listener.local_addr().map(|address| address.port())
    }

    /// The secret that front-ends read from node.lock.
    pub fn secret(&self) -> &SharedSecret {
        &self.secret
    }

    /// Waits for the next front-end that proves itself.
    pub fn accept(&mut self) -> Local {
        loop {
            if let Some(proven) = self.proven.pop_front() {
                return proven;
            }
            self.let_in();
            let LoopbackListener { guests, proven, secret, .. } = self;
            for mut guest in std::mem::take(guests) {
                match guest.look(secret) {
                    ProofState::Waits => guests.push_back(guest),
                    ProofState::Proven => proven.extend(Local::new(guest.stream)),
                    ProofState::Gone => {}
                }
            }
            if self.proven.is_empty() && !self.guests.is_empty() {
                self.rest();
            }
        }
    }

    /// Accepts what waits, up to a number; without guests it waits for one.
    fn let_in(&mut self) {
        let waits = self.guests.is_empty();
        if self.listener.set_nonblocking(!waits).is_err() {
            return thread::sleep(RETRY_PAUSE);
        }
        for _ in 0..MAX_NEWCOMERS {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.count();
                    self.looks = 0;
                    if let Ok(guest) = Unproven::new(stream) {
                        if self.guests.len() >= MAX_GUESTS {
                            self.guests.pop_front();
                        }
                        self.guests.push_back(guest);
                    }
                    if waits && self.listener.set_nonblocking(true).is_err() {
                        return;
                    }
                }
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                Err(cause) if cause.kind() == ErrorKind::ConnectionAborted => {}
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                // EMFILE, ENFILE, ENOMEM: descriptors come back as connections end.
                Err(_) => return thread::sleep(RETRY_PAUSE),
            }
        }
    }

    fn count(&mut self) {
        let (since, count) = &mut self.second;
        if since.elapsed() > Duration::from_secs(1) {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
    }

    /// Pauses before the next look: not at all at first, then for as long as half of the youngest guest's wait.
    fn rest(&mut self) {
        self.looks += 1;
        let (_, count) = self.second;
        if count > BATCH_ABOVE {
            thread::sleep(BATCH_INTERVAL);
        } else if self.looks < EAGER_POLLS {
            thread::yield_now();
        } else {
            let youngest = self.guests.back().map_or(BATCH_INTERVAL, |guest| guest.since.elapsed());
            thread::sleep((youngest / 2).clamp(SHORTEST_POLL, BATCH_INTERVAL));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listener() -> (u16, SharedSecret, std::sync::mpsc::Receiver<Local>) {
        let mut listener = LoopbackListener::open().unwrap();
        let (port, secret) = (listener.port().unwrap(), listener.secret().clone());
        let (sender, accepted) = std::sync::mpsc::channel();
        thread::spawn(move || while sender.send(listener.accept()).is_ok() {});
        (port, secret, accepted)
    }

    #[test]
    fn both_ends_prove_themselves() {
        let (port, secret, accepted) = listener();
        let front = dial(port, &secret, &[]).unwrap();
        let node = accepted.recv().unwrap();
        front.write(&[7, 0, 0, 0, 2, 1, 2]).unwrap();
        let mut body = Vec::new();
        assert_eq!((node.read(&mut body).unwrap(), &body[..]), (7, &[1, 2][..]));
        node.close();
        assert!(front.read(&mut body).is_err());
    }

    #[test]
    fn nobody_without_the_secret_comes_in_or_is_believed() {
        let (port, _secret, accepted) = listener();
        let other = SharedSecret::generate();
        assert_eq!(dial(port, &other, &[]).err().unwrap().kind(), ErrorKind::PermissionDenied);
        // It gets the node's proof, and cannot answer it.
        let mut stranger = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stranger.write_all(&[1; NONCE]).unwrap();
        stranger.read_exact(&mut [0; NONCE + PROOF_LEN]).unwrap();
        stranger.write_all(&[2; PROOF_LEN]).unwrap();
        assert_eq!(stranger.read(&mut [0]).unwrap_or(0), 0);
        assert!(accepted.try_recv().is_err());
    }

    /// Silent strangers, however many, keep no front-end out.
    #[test]
    fn a_front_end_comes_in_beside_silent_strangers() {
        let (port, secret, accepted) = listener();
        let strangers: Vec<TcpStream> =
            (0..100).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()).collect();
        let front = dial(port, &secret, &[]).unwrap();
        accepted.recv().unwrap();
        drop((strangers, front));
    }

    /// Nor do those that keep coming.
    #[test]
    fn a_front_end_comes_in_beside_a_stream_of_strangers() {
        let (port, secret, accepted) = listener();
        let over = std::sync::atomic::AtomicBool::new(false);
        let (many, are_many) = std::sync::mpsc::sync_channel(1);
        let is_in = thread::scope(|scope| {
            let over = &over;
            scope.spawn(move || {
                let mut strangers = VecDeque::new();
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    strangers.extend(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
                    if strangers.len() > 200 {
                        strangers.pop_front();
                        let _ = many.try_send(());
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            });
            are_many.recv().unwrap();
            let is_in = (0..20).any(|_| {
                dial(port, &secret, &[]).is_ok_and(|_| accepted.recv_timeout(PROOF_TIMEOUT).is_ok())
            });
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            is_in
        });
        assert!(is_in);
    }
}
