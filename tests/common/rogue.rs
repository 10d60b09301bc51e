//! A peer with a key and no scruples: it does the handshakes as it must, as dialler and as acceptor, and then says what the
//! test likes, in frames and records of any kind. It leaves out what is against the protocol: that is the tests'.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use egoat::crypto::handshake::{
    Established, Initiator, MESSAGE_1_LEN, MESSAGE_2_LEN, MESSAGE_3_LEN, PREAMBLE_LEN, Responder,
};
use egoat::crypto::keys::{InviteToken, StaticKeys};
use egoat::crypto::lane::{self, Lane, LaneInitiator, TICKET_LEN};
use egoat::crypto::noise::TAG_LEN;
use egoat::net::session::MAX_IN_RECORD;
use egoat::wire::features::{Features, acceptor_payload, dialler_payload, read_dialler_payload};
use egoat::wire::message::{CHUNK, HEADER, Kind, MAX_MANIFEST, Message, PIECE, TRANSFER_LEN, UNKNOWN};

use super::PATIENCE;

pub const SESSION: &[u8; PREAMBLE_LEN] = b"E-GOAT\x01\x00";
pub const LANE: &[u8; PREAMBLE_LEN] = b"E-GOAT\x01\x01";

/// Who it is.
pub struct Rogue {
    pub keys: StaticKeys,
    /// What it tells in its handshakes.
    pub features: Features,
}

impl Rogue {
    /// Another one for each number, with no feature bit.
    pub fn new(number: u8) -> Rogue {
        Rogue { keys: StaticKeys::from_secret([number; 32]), features: Features::NONE }
    }

    /// The same with these feature bits.
    pub fn with_features(self, features: Features) -> Rogue {
        Rogue { features, ..self }
    }

    /// As it stands in a peers file.
    pub fn key(&self) -> String {
        self.keys.public().to_string()
    }

    /// Dials a node and proves its key; nothing more is said.
    pub fn dial(&self, addr: &str, node: &str, kind: Kind) -> Line {
        self.try_dial(addr, node, kind, None).expect("not let in")
    }

    /// The same, with an invite perhaps; `None` when the node closes before that.
    pub fn try_dial(&self, addr: &str, node: &str, kind: Kind, token: Option<&InviteToken>) -> Option<Line> {
        let mut stream = connect(addr);
        let (state, first) =
            Initiator::start(&self.keys, &node.parse().unwrap(), SESSION, token).ok().unwrap();
        stream.write_all(&[SESSION.as_slice(), &first].concat()).ok()?;
        let mut second = [0; MESSAGE_2_LEN];
        stream.read_exact(&mut second).ok()?;
        let (state, told) = state.read_message_2(&second).ok().unwrap();
        let known = [Features::ACCEPTOR, Features::ONE_OFF_ACCEPTOR].map(acceptor_payload);
        assert!(known.contains(&told), "what a node tells in message 2: {told:?}");
        let (third, established) = state.write_message_3(&dialler_payload(kind, self.features)).ok().unwrap();
        stream.write_all(&third).ok()?;
        Some(Line::new(stream, established))
    }

    /// A session that is accepted.
    pub fn session(&self, addr: &str, node: &str, kind: Kind) -> Line {
        let mut line = self.dial(addr, node, kind);
        line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
        if kind == Kind::Pull {
            line.say(&Message::Held(0));
        }
        line.expect(&Message::Accept);
        line
    }

    /// Waits for a node to dial for this, and accepts it.
    pub fn accept(&self, listener: &TcpListener, kind: Kind) -> Line {
        let mut line = self.meet(listener, kind);
        line.say(&Message::Accept);
        line
    }

    /// Waits for a node to dial for this, and hears who it is. What it dials for otherwise comes to nothing.
    pub fn meet(&self, listener: &TcpListener, kind: Kind) -> Line {
        loop {
            if let Some((wanted, mut line)) = self.answer(listener.accept().unwrap().0)
                && wanted == kind
            {
                let (kind, body) = line.read().unwrap();
                assert_eq!(kind, Message::Profile { name: "", port: 0, time: 0 }.kind());
                assert!(body.ends_with(&[0; 8]), "a dialler tells no time");
                return line;
            }
        }
    }

    /// The acceptor's part of a handshake; gives what the dialler wants, if it is still there.
    pub fn answer(&self, mut stream: TcpStream) -> Option<(Kind, Line)> {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut preamble, mut first, mut third) =
            ([0; PREAMBLE_LEN], [0; MESSAGE_1_LEN], [0; MESSAGE_3_LEN]);
        stream.read_exact(&mut preamble).ok()?;
        stream.read_exact(&mut first).ok()?;
        let state = Responder::read_message_1(&self.keys, &preamble, &first).ok().unwrap();
        let (state, second) = state.write_message_2(None, &acceptor_payload(self.features)).ok().unwrap();
        stream.write_all(&second).ok()?;
        stream.read_exact(&mut third).ok()?;
        let (_, payload, established) = state.read_message_3(&third).ok().unwrap();
        let (kind, told) = read_dialler_payload(&payload).unwrap();
        assert_eq!(told, Features::DIALLER, "what a node tells in message 3");
        Some((kind, Line::new(stream, established)))
    }
}

pub fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection whose handshake is done.
pub struct Line {
    pub stream: TcpStream,
    established: Established,
    /// What was opened and not read yet.
    opened: Vec<u8>,
    /// What goes out together.
    held: Option<Vec<u8>>,
    /// Stays open as long as this.
    kept: Vec<TcpStream>,
}

impl Line {
    fn new(stream: TcpStream, established: Established) -> Line {
        Line { stream, established, opened: Vec::new(), held: None, kept: Vec::new() }
    }

    /// What names the connection.
    pub fn handshake_hash(&self) -> [u8; 32] {
        self.established.handshake_hash
    }

    /// With another connection that ends when this does.
    pub fn keep(mut self, other: TcpStream) -> Line {
        self.kept.push(other);
        self
    }

    /// Ends those.
    pub fn end_kept(&mut self) {
        self.kept.clear();
    }

    /// What is said in here arrives together.
    pub fn at_once(&mut self, say: impl FnOnce(&mut Line)) {
        self.held = Some(Vec::new());
        say(self);
        let held = self.held.take().unwrap();
        self.raw(&held);
    }

    /// Sends a message as it should be. A node that is gone is no error here: its words come first.
    pub fn say(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.send(&bytes);
    }

    /// Sends a message of any type with any body.
    pub fn frame(&mut self, kind: u8, body: &[u8]) {
        self.lie(kind, body.len() as u32, body);
    }

    /// The same with another length than it has.
    pub fn lie(&mut self, kind: u8, length: u32, body: &[u8]) {
        self.send(&[&[kind], &length.to_be_bytes()[..], body].concat());
    }

    /// Sends bytes of the stream in records that are as long as can be.
    pub fn send(&mut self, bytes: &[u8]) {
        let sealed: Vec<u8> = bytes.chunks(MAX_IN_RECORD).flat_map(|part| self.seal(part)).collect();
        self.raw(&sealed);
    }

    /// A record with these bytes.
    pub fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut data = bytes.to_vec();
        let tag = self.established.sealer.seal(&mut data).unwrap();
        let length = (data.len() + tag.len()) as u16;
        [&length.to_be_bytes()[..], &data, &tag].concat()
    }

    /// Bytes on the wire.
    pub fn raw(&mut self, bytes: &[u8]) {
        match &mut self.held {
            Some(held) => held.extend_from_slice(bytes),
            None => drop(self.stream.write_all(bytes)),
        }
    }

    /// The next message, type and body; `None` at the end of the connection.
    pub fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((&[kind, a, b, c, d], rest)) = self.opened.split_first_chunk::<HEADER>() {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if rest.len() >= length {
                    let body = rest[..length].to_vec();
                    self.opened.drain(..HEADER + length);
                    return Some((kind, body));
                }
            }
            let mut length = [0; 2];
            self.fill(&mut length)?;
            let mut record = vec![0; u16::from_be_bytes(length).into()];
            self.fill(&mut record)?;
            let (data, tag) = record.split_last_chunk_mut::<TAG_LEN>().unwrap();
            self.established.opener.open(data, tag).unwrap();
            self.opened.extend_from_slice(data);
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it waits, and does not close"),
            Err(_) => None,
        }
    }

    /// The next message, which must be this one.
    pub fn expect(&mut self, message: &Message) {
        let (kind, body) = self.read().unwrap_or_else(|| panic!("closed instead of {message:?}"));
        assert_eq!(Message::decode(kind, &body).as_ref(), Ok(message));
    }

    /// The node closes, whatever it says before that; gives the types of what it says.
    pub fn expect_end(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.read()).map(|(kind, _)| kind).collect()
    }

    /// Nothing more is said from this end.
    pub fn hang_up(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Whether the connection ends within `wait`, whatever arrives meanwhile.
    pub fn ends_within(&mut self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        let mut scrap = [0; 4096];
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut scrap) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                _ => return true,
            }
        }
        false
    }

    /// Offers these entries as files, and says what they should add up to.
    pub fn offer(&mut self, entries: &[Entry]) {
        let bytes = entries.iter().fold(0_u64, |sum, entry| sum.wrapping_add(entry.size));
        self.offer_as([0; TRANSFER_LEN], entries.len() as u32, bytes, entries);
    }

    /// Offers a file without a length.
    pub fn offer_stream(&mut self, name: &str) {
        self.offer_as([7; TRANSFER_LEN], 1, UNKNOWN, &[file(name, 0)]);
    }

    pub fn offer_as(&mut self, transfer: [u8; TRANSFER_LEN], count: u32, bytes: u64, entries: &[Entry]) {
        self.say(&Message::Offer { transfer, entries: count, bytes });
        let mut part = Vec::new();
        for entry in entries {
            let encoded = entry.encode();
            if part.len() + encoded.len() > MAX_MANIFEST {
                self.say(&Message::Manifest(&std::mem::take(&mut part)));
            }
            part.extend(encoded);
        }
        self.say(&Message::Manifest(&part));
    }

    /// The files are taken; says on how many lanes, and what opens them.
    pub fn expect_take(&mut self) -> (u8, [u8; TICKET_LEN]) {
        loop {
            let (kind, body) = self.read().expect("closed instead of TAKE");
            match Message::decode(kind, &body).unwrap() {
                Message::Take { lanes, ticket } => return (lanes, ticket),
                Message::Have { .. } => {}
                other => panic!("{other:?} instead of TAKE"),
            }
        }
    }

    /// Sends `bytes` as the chunk `index`, all of it.
    pub fn chunk(&mut self, index: u64, bytes: &[u8]) {
        for (number, data) in bytes.chunks(PIECE).enumerate() {
            self.say(&Message::Piece { at: index * CHUNK as u64 + (number * PIECE) as u64, data });
        }
    }

    /// Sends all that was offered, and sees it stored.
    pub fn deliver(&mut self, bytes: &[u8]) {
        self.expect_take();
        self.say(&Message::Start(bytes.len().div_ceil(CHUNK) as u64));
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            self.chunk(index as u64, chunk);
        }
        self.say(&Message::End);
        self.expect(&Message::Stored);
        self.say(&Message::Bye);
    }

    /// What opens the lanes of this session, if files are collected over it.
    pub fn collect_ticket(&self) -> [u8; TICKET_LEN] {
        lane::collect_ticket(&self.established.export)
    }

    /// What dials a lane of this session: preamble, ticket, index and message 1; and who goes on with it.
    pub fn lane_opening(&self, ticket: &[u8; TICKET_LEN], index: u8) -> (Vec<u8>, LaneInitiator) {
        let Established { export, handshake_hash, .. } = &self.established;
        let lane = Lane { preamble: LANE, ticket, index, handshake_hash, export };
        let (state, message) = LaneInitiator::start(&lane).ok().unwrap();
        ([LANE.as_slice(), ticket, &[index], &message].concat(), state)
    }

    /// Dials a lane; `None` when it is not let in.
    pub fn lane(&self, addr: &str, ticket: &[u8; TICKET_LEN], index: u8) -> Option<Line> {
        let (opening, state) = self.lane_opening(ticket, index);
        let mut stream = connect(addr);
        stream.write_all(&opening).ok()?;
        let mut second = [0; lane::MESSAGE_LEN];
        stream.read_exact(&mut second).ok()?;
        Some(Line::new(stream, state.finish(&second).ok().unwrap()))
    }
}

/// An entry of a manifest, as wrong as it may be.
#[derive(Clone)]
pub struct Entry {
    pub kind: u8,
    pub executable: u8,
    pub modified: i64,
    pub size: u64,
    pub path: Vec<u8>,
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let length = self.path.len() as u16;
        let mut bytes = vec![self.kind, self.executable];
        bytes.extend(self.modified.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.path);
        bytes
    }
}

pub fn file(path: impl AsRef<[u8]>, size: u64) -> Entry {
    Entry { kind: 0, executable: 0, modified: 1_000_000_000, size, path: path.as_ref().to_vec() }
}

pub fn dir(path: impl AsRef<[u8]>) -> Entry {
    Entry { kind: 1, ..file(path, 0) }
}
