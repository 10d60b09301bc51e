//! The receiving half of a session: records that are opened where they were read, and the messages in them.

use std::io::{self, Read};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::crypto::noise::TAG_LEN;
use crate::crypto::record::Opener;
use crate::net::deadline::timed_out;
use crate::net::session::{RECORD, SMALL};
use crate::wire::codec::Malformed;
use crate::wire::features::Features;
use crate::wire::message::{
    ADDRESSES, FILES_WAIT, GOT, HEADER, IGNORABLE, MAX_EARLY, MAX_IGNORABLE, MAX_PROFILE, MAX_TEXT_BODY,
    Message, max_body,
};
use crate::wire::told::ToldAddresses;

/// Bytes of read buffer of a connection with traffic.
pub(super) const LARGE_BUFFER: usize = 4 * RECORD;
/// Bytes of a message under way, at the most: those before its end, and the record with its end.
const MAX_CARRIED: usize = HEADER + MAX_TEXT_BODY + RECORD;
/// Ignorable messages that may come in a row.
const MAX_IGNORABLE_RUN: u8 = 4;

/// Bytes from the socket, and the opened but not yet read part of the byte stream in the records. Apart from a session
/// it is of use to tests alone.
pub struct Incoming {
    opener: Opener,
    /// What both ends set: it says which fields messages have.
    pub(super) features: Features,
    /// How many records were opened.
    pub(super) records: u64,
    /// Bytes of the stream that were opened.
    pub(super) stream: u64,
    /// Sealed bytes that have arrived since this end last said so.
    pub(super) unreported: u64,
    /// What the other end has of what was sent here.
    pub(super) confirmed: Arc<AtomicU64>,
    /// The longest body that is taken.
    most: usize,
    /// Whether ignorable messages may come now.
    pub(super) may_skip: bool,
    /// How many came since the last other message.
    skipped: u8,
    /// FILES-WAIT was among them.
    pub(super) files_wait: bool,
    /// The last ADDRESSES among them that nobody has looked at.
    pub(super) addresses: Option<ToldAddresses>,
    /// Sealed bytes are at `raw[start..end]`.
    raw: Vec<u8>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Opened bytes lie where they were opened, at `raw[opened]`, and are read there ...
    opened: Range<usize>,
    /// ... unless a message goes on in the next record: then they are at `carried[taken..]`.
    carried: Vec<u8>,
    taken: usize,
    /// Messages of those that were sent early that are still to be read.
    pub(super) early: u16,
    /// Bytes of those that were read.
    early_bytes: usize,
    /// Whole messages, sent early and read out of turn.
    aside: Vec<u8>,
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
            files_wait: false,
            addresses: None,
            raw: vec![0; SMALL],
            start: 0,
            end: 0,
            opened: 0..0,
            carried: Vec::new(),
            taken: 0,
            early: 0,
            early_bytes: 0,
            aside: Vec::new(),
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
    pub(super) fn fill_now(&mut self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let filled = self.fill(stream);
        stream.set_nonblocking(false)?;
        filled.or_else(|cause| if cause.kind() == io::ErrorKind::TimedOut { Ok(()) } else { Err(cause) })
    }

    /// Opens what has arrived by now; says whether that is anything. Never waits.
    pub(super) fn has_news(&mut self, stream: &TcpStream) -> io::Result<bool> {
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
    pub(super) fn unread(&self) -> &[u8] {
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
                    self.files_wait |= kind == FILES_WAIT;
                    let message = self.take(length);
                    if kind == ADDRESSES {
                        self.addresses = Some(told(message)?);
                    }
                }
                _ if self.open_record()? => {}
                _ => return Ok(false),
            }
        }
    }

    /// Whether the ends tell each other how much has arrived.
    pub(super) fn may_confirm(&self) -> bool {
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
        } else if kind == FILES_WAIT && self.features.has(Features::COLLECT) {
            0
        } else if kind == ADDRESSES {
            max_body(kind).map_err(|malformed| malformed.0)?
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
        self.count_early(length)?;
        let features = self.features;
        let bytes = self.take(length);
        Message::decode_with(features, bytes[0], &bytes[HEADER..]).map_err(|malformed| malformed.0)
    }

    /// Puts the message that [`Incoming::has_message`] found aside.
    pub(super) fn put_aside(&mut self) -> std::result::Result<(), &'static str> {
        let (_, length) = self.front()?.ok_or("message cut short")?;
        self.skipped = 0;
        self.count_early(length)?;
        let message = self.take(length).to_vec();
        self.aside.extend(message);
        Ok(())
    }

    /// Counts a message, if it is one that was sent early.
    fn count_early(&mut self, length: usize) -> std::result::Result<(), &'static str> {
        if self.early > 0 {
            self.early -= 1;
            self.early_bytes += length;
        }
        if self.early_bytes > MAX_EARLY { Err("more than may be sent early") } else { Ok(()) }
    }

    /// The first message that was put aside.
    pub(super) fn first_aside(&self) -> Option<Message<'_>> {
        let (&[kind, a, b, c, d], behind) = self.aside.split_first_chunk::<HEADER>()?;
        let body = behind.get(..u32::from_be_bytes([a, b, c, d]) as usize)?;
        Message::decode_with(self.features, kind, body).ok()
    }

    /// What was put aside is read next.
    pub(super) fn take_back_aside(&mut self) {
        self.carry();
        self.carried.splice(0..0, std::mem::take(&mut self.aside));
    }

    /// What was put aside is never read.
    pub(super) fn drop_aside(&mut self) {
        self.aside = Vec::new();
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

/// What a message of type ADDRESSES says.
fn told(message: &[u8]) -> std::result::Result<ToldAddresses, &'static str> {
    let decoded = Message::decode(ADDRESSES, &message[HEADER..]).and_then(|message| match message {
        Message::Addresses { version, list } => ToldAddresses::decode(version, list),
        _ => Err(Malformed("message type")),
    });
    decoded.map_err(|malformed| malformed.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::record::Sealer;
    use crate::net::session::MAX_IN_RECORD;

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
