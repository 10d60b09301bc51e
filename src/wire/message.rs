//! The messages of a session, `type u8 ‖ length u32 ‖ body`: egoat-protocol(7), MESSAGES, has them field by field.
//!
//! Decoding is strict: an unknown type, a body longer than its type allows, a missing or a trailing byte is an
//! error, and what decodes encodes back to the same bytes. It leaves out which message may come when: that is the
//! position in the code of `node` and `transfer`.

use crate::wire::codec::{Malformed, Reader, Writer};

/// Longest text of a message in bytes; longer things are files (DESIGN section 5).
pub const MAX_TEXT: usize = 1 << 20;
/// Most data in a PIECE: a message of that size is one record, so that it is sealed and opened where it lies.
pub const PIECE: usize = 60 << 10;
/// Bytes of a chunk but the last: four pieces, large enough that a chunk's bookkeeping costs nothing, small enough
/// that a lost connection repeats little.
pub const CHUNK: usize = 4 * PIECE;
/// The bytes of an OFFER whose length is not known beforehand.
pub const UNKNOWN: u64 = u64::MAX;
/// Highest message number, in µs the year 4253: above any clock, and far below where adding one would end.
pub const MAX_NUMBER: u64 = (1 << 56) - 1;
/// Longest body of a MANIFEST message in bytes; a manifest goes as several.
pub const MAX_MANIFEST: usize = 64 << 10;
/// Longest name in bytes: 32 characters of at most 4.
pub const MAX_NAME: usize = 128;
/// The longest body of a PROFILE in bytes, and of all that is not text or data.
pub const MAX_PROFILE: usize = 1 + MAX_NAME + 2 + 8;
/// Bytes before a body: type and length.
pub const HEADER: usize = 5;
/// Bytes before a PIECE's data.
pub const PIECE_HEAD: usize = HEADER + 8;

/// What a session is for: the first byte of message 3's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Get to know each other.
    Pair = 1,
    /// The dialler sends messages.
    Push = 2,
    /// The dialler collects messages.
    Pull = 3,
    /// The dialler sends files.
    Files = 4,
}

impl Kind {
    /// The kind of a byte.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Pair, Kind::Push, Kind::Pull, Kind::Files].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The dialler's key is no peer's; a request was noted.
    Unknown = 1,
    /// The peer is blocked.
    Blocked = 2,
    /// Another key has used the invite.
    InviteUsed = 3,
    /// The invite's time is over.
    InviteExpired = 4,
    /// What the session is for is served by another connection, or there are too many.
    Busy = 5,
    /// This node does not do that: a one-off receiver takes no messages.
    Unsupported = 6,
}

/// Why files are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// A path breaks the rules, or the manifest is malformed.
    Manifest = 1,
    /// More bytes than this node takes.
    TooLarge = 2,
    /// No room on the disk.
    Full = 3,
    /// The receiver cannot write where files land.
    Disk = 5,
    /// Its user does not take files from this peer.
    Policy = 6,
    /// More than this peer's files may fill there.
    Quota = 7,
    /// Its user would have to be asked, and said no or is not there.
    Asked = 8,
    /// It writes a transfer to a pipe, which takes one file.
    OneFile = 9,
    /// It no longer has, or never had, what came before this part of a stream.
    Gone = 10,
}

/// Why a transfer that had begun ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The receiver's disk is full.
    Full = 1,
    /// The receiver's disk failed.
    Disk = 2,
    /// A file changed while it was sent, or cannot be read.
    Source = 3,
    /// What the receiver writes to was closed.
    Closed = 4,
    /// A stream is longer than what is taken.
    TooLarge = 5,
    /// A user stopped it.
    Stopped = 6,
}

fn number(fields: &mut Reader) -> Result<u64, Malformed> {
    let number = fields.u64("number")?;
    if number <= MAX_NUMBER { Ok(number) } else { Err(Malformed("number")) }
}

fn one_of<T: Copy>(byte: u8, all: &[T], code: impl Fn(T) -> u8, field: &'static str) -> Result<T, Malformed> {
    all.iter().copied().find(|value| code(*value) == byte).ok_or(Malformed(field))
}

/// One message, borrowing its long fields from the buffer that it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The session is accepted.
    Accept,
    /// The session is refused, and ends.
    Refused(Refusal),
    /// The sender of this has nothing more to say.
    Bye,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// Who the dialler is, or in the answer to a pairing the acceptor.
    Profile {
        /// The name that its user gave the node; may be empty.
        name: &'a str,
        /// The TCP port it listens on; 0 if none.
        port: u16,
        /// The time on its clock, microseconds since 1970; 0 if it does not tell, as a dialler does not.
        time: u64,
    },
    /// The receiver's last number, at the start of a flow.
    Held(u64),
    /// A text message.
    Text {
        /// Its number: higher than all before it of this sender to this receiver.
        number: u64,
        /// Raw bytes, usually UTF-8.
        body: &'a [u8],
    },
    /// All messages to this number are on the receiver's disk.
    Ack(u64),
    /// A transfer: what the manifest that follows adds up to.
    Offer {
        /// Random, names a stream, so that it can go on after its connection was lost; zeros for files.
        transfer: [u8; 16],
        /// Entries in the manifest.
        entries: u32,
        /// Bytes of all files, or [`UNKNOWN`].
        bytes: u64,
    },
    /// A part of the manifest: whole entries, see `transfer::manifest`.
    Manifest(&'a [u8]),
    /// The receiver takes what is offered, as chunks.
    Take {
        /// Lanes that may be dialled beside the session.
        lanes: u8,
        /// What opens them; each lane once.
        ticket: [u8; 16],
    },
    /// The receiver takes it in order, from this byte on.
    Stream(u64),
    /// The receiver does not.
    Decline(Declined),
    /// Chunks that the receiver has from an earlier connection.
    Have {
        /// The first of them.
        first: u64,
        /// How many.
        count: u32,
        /// BLAKE2b-256 of their bytes.
        hash: [u8; 32],
    },
    /// As many chunks will be sent.
    Start(u64),
    /// Some bytes of the files laid end to end, or of the stream.
    Piece {
        /// Where they belong.
        at: u64,
        /// At most [`PIECE`] bytes.
        data: &'a [u8],
    },
    /// The stream ends here.
    End,
    /// All files are in place and on disk.
    Stored,
    /// The transfer ends without success.
    Failed(Failure),
}

const REFUSALS: [Refusal; 6] = [
    Refusal::Unknown,
    Refusal::Blocked,
    Refusal::InviteUsed,
    Refusal::InviteExpired,
    Refusal::Busy,
    Refusal::Unsupported,
];
const DECLINES: [Declined; 9] = [
    Declined::Manifest,
    Declined::TooLarge,
    Declined::Full,
    Declined::Disk,
    Declined::Policy,
    Declined::Quota,
    Declined::Asked,
    Declined::OneFile,
    Declined::Gone,
];
const FAILURES: [Failure; 6] =
    [Failure::Full, Failure::Disk, Failure::Source, Failure::Closed, Failure::TooLarge, Failure::Stopped];

/// The bytes before a PIECE's data, so that the data can be read from its file right behind them.
pub fn piece_head(at: u64, length: usize) -> [u8; PIECE_HEAD] {
    let mut head = [0; PIECE_HEAD];
    head[0] = Message::Piece { at, data: &[] }.kind();
    head[1..HEADER].copy_from_slice(&(8 + length as u32).to_be_bytes());
    head[HEADER..].copy_from_slice(&at.to_be_bytes());
    head
}

/// The most bytes that the body of a message of this type may have; checked before anything is allocated for it.
pub fn max_body(kind: u8) -> Result<usize, Malformed> {
    Ok(match kind {
        1 | 3 | 4 | 5 | 21 | 22 => 0,
        2 | 19 | 23 => 1,
        6 => MAX_PROFILE,
        7 | 9 | 25 | 26 => 8,
        8 => 8 + MAX_TEXT,
        16 => 16 + 4 + 8,
        17 => MAX_MANIFEST,
        18 => 1 + 16,
        20 => 8 + PIECE,
        24 => 8 + 4 + 32,
        _ => return Err(Malformed("message type")),
    })
}

impl<'a> Message<'a> {
    /// Decodes the body of a message of type `kind`.
    pub fn decode(kind: u8, body: &'a [u8]) -> Result<Message<'a>, Malformed> {
        if body.len() > max_body(kind)? {
            return Err(Malformed("message length"));
        }
        let mut fields = Reader::new(body);
        let message = match kind {
            1 => Message::Accept,
            2 => Message::Refused(one_of(fields.u8("refusal")?, &REFUSALS, |r| r as u8, "refusal")?),
            3 => Message::Bye,
            4 => Message::Ping,
            5 => Message::Pong,
            6 => {
                let length = fields.u8("name length")? as usize;
                let name = fields.text(length, "name")?;
                Message::Profile { name, port: fields.u16("port")?, time: fields.u64("time")? }
            }
            7 => Message::Held(number(&mut fields)?),
            8 => Message::Text { number: number(&mut fields)?, body: fields.rest() },
            9 => Message::Ack(number(&mut fields)?),
            16 => Message::Offer {
                transfer: fields.array("transfer")?,
                entries: fields.u32("entries")?,
                bytes: fields.u64("bytes")?,
            },
            17 => Message::Manifest(fields.rest()),
            18 => Message::Take { lanes: fields.u8("lanes")?, ticket: fields.array("ticket")? },
            19 => Message::Decline(one_of(fields.u8("reason")?, &DECLINES, |d| d as u8, "reason")?),
            20 => Message::Piece { at: fields.u64("place")?, data: fields.rest() },
            21 => Message::End,
            22 => Message::Stored,
            23 => Message::Failed(one_of(fields.u8("failure")?, &FAILURES, |f| f as u8, "failure")?),
            24 => Message::Have {
                first: fields.u64("first chunk")?,
                count: fields.u32("chunks")?,
                hash: fields.array("hash")?,
            },
            25 => Message::Start(fields.u64("chunks")?),
            26 => Message::Stream(number(&mut fields)?),
            _ => return Err(Malformed("message type")),
        };
        fields.expect_empty("bytes behind the message")?;
        Ok(message)
    }

    /// The message's type byte.
    pub fn kind(&self) -> u8 {
        match self {
            Message::Accept => 1,
            Message::Refused(_) => 2,
            Message::Bye => 3,
            Message::Ping => 4,
            Message::Pong => 5,
            Message::Profile { .. } => 6,
            Message::Held(_) => 7,
            Message::Text { .. } => 8,
            Message::Ack(_) => 9,
            Message::Offer { .. } => 16,
            Message::Manifest(_) => 17,
            Message::Take { .. } => 18,
            Message::Decline(_) => 19,
            Message::Piece { .. } => 20,
            Message::End => 21,
            Message::Stored => 22,
            Message::Failed(_) => 23,
            Message::Have { .. } => 24,
            Message::Start(_) => 25,
            Message::Stream(_) => 26,
        }
    }

    /// Bytes of the body. The long fields are bounded where they are made, so the sum fits the length field.
    pub fn body_len(&self) -> usize {
        match self {
            Message::Accept | Message::Bye | Message::Ping | Message::Pong => 0,
            Message::End | Message::Stored => 0,
            Message::Refused(_) | Message::Decline(_) | Message::Failed(_) => 1,
            Message::Profile { name, .. } => 1 + name.len() + 2 + 8,
            Message::Held(_) | Message::Ack(_) | Message::Start(_) | Message::Stream(_) => 8,
            Message::Take { .. } => 1 + 16,
            Message::Have { .. } => 8 + 4 + 32,
            Message::Text { body, .. } => 8 + body.len(),
            Message::Offer { .. } => 16 + 4 + 8,
            Message::Manifest(part) => part.len(),
            Message::Piece { data, .. } => 8 + data.len(),
        }
    }

    /// Appends the whole message, header and body.
    pub fn encode(&self, out: &mut impl Writer) {
        out.put_u8(self.kind());
        out.put_u32(self.body_len() as u32);
        match *self {
            Message::Accept | Message::Bye | Message::Ping | Message::Pong => {}
            Message::End | Message::Stored => {}
            Message::Refused(refusal) => out.put_u8(refusal as u8),
            Message::Decline(reason) => out.put_u8(reason as u8),
            Message::Failed(failure) => out.put_u8(failure as u8),
            Message::Profile { name, port, time } => {
                out.put_u8(name.len() as u8);
                out.put(name.as_bytes());
                out.put_u16(port);
                out.put_u64(time);
            }
            Message::Held(number) | Message::Ack(number) => out.put_u64(number),
            Message::Start(number) | Message::Stream(number) => out.put_u64(number),
            Message::Take { lanes, ticket } => {
                out.put_u8(lanes);
                out.put(&ticket);
            }
            Message::Have { first, count, hash } => {
                out.put_u64(first);
                out.put_u32(count);
                out.put(&hash);
            }
            Message::Text { number, body } => {
                out.put_u64(number);
                out.put(body);
            }
            Message::Offer { transfer, entries, bytes } => {
                out.put(&transfer);
                out.put_u32(entries);
                out.put_u64(bytes);
            }
            Message::Manifest(part) => out.put(part),
            Message::Piece { at, data } => {
                out.put_u64(at);
                out.put(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> Vec<Message<'static>> {
        let mut all = vec![
            Message::Accept,
            Message::Bye,
            Message::Ping,
            Message::Pong,
            Message::Profile { name: "bob", port: 4628, time: 1_795_000_000_000_000 },
            Message::Profile { name: "", port: 0, time: 0 },
            Message::Held(7),
            Message::Text { number: MAX_NUMBER, body: b"hi" },
            Message::Text { number: 1, body: b"" },
            Message::Ack(1 << 40),
            Message::Offer { transfer: [3; 16], entries: 2, bytes: 1 << 33 },
            Message::Manifest(b"entries"),
            Message::Take { lanes: 3, ticket: [7; 16] },
            Message::Have { first: 64, count: 32, hash: [9; 32] },
            Message::Start(1 << 34),
            Message::Stream(1 << 34),
            Message::Piece { at: 9, data: b"data" },
            Message::End,
            Message::Stored,
        ];
        all.extend(REFUSALS.map(Message::Refused));
        all.extend(DECLINES.map(Message::Decline));
        all.extend(FAILURES.map(Message::Failed));
        all
    }

    fn encoded(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for message in samples() {
            let bytes = encoded(&message);
            assert_eq!(bytes.len(), HEADER + message.body_len());
            assert_eq!(Message::decode(bytes[0], &bytes[HEADER..]), Ok(message));
        }
    }

    #[test]
    fn a_cut_body_is_refused_or_a_shorter_message() {
        for message in samples() {
            let bytes = encoded(&message);
            for end in HEADER..bytes.len() {
                if let Ok(shorter) = Message::decode(bytes[0], &bytes[HEADER..end]) {
                    let long_field = matches!(
                        shorter,
                        Message::Text { .. } | Message::Manifest(_) | Message::Piece { .. }
                    );
                    assert!(long_field, "{message:?} cut at {end}");
                }
            }
        }
    }

    #[test]
    fn numbers_that_leave_no_room_are_refused() {
        for kind in [7, 8, 9, 26] {
            assert!(Message::decode(kind, &(MAX_NUMBER + 1).to_be_bytes()).is_err());
            assert!(Message::decode(kind, &u64::MAX.to_be_bytes()).is_err());
        }
    }

    #[test]
    fn the_head_of_a_piece_is_its_encoding_without_the_data() {
        let bytes = encoded(&Message::Piece { at: 77 << 30, data: &[5; 300] });
        assert_eq!(piece_head(77 << 30, 300), bytes[..PIECE_HEAD]);
    }

    #[test]
    fn bodies_over_the_limit_are_refused() {
        for kind in 0..=255u8 {
            if let Ok(limit) = max_body(kind) {
                assert!(Message::decode(kind, &vec![0; limit + 1]).is_err(), "type {kind}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_back(kind in 0u8..32, body in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(message) = Message::decode(kind, &body) {
                let bytes = encoded(&message);
                prop_assert_eq!(bytes[0], kind);
                prop_assert_eq!(&bytes[HEADER..], &body[..]);
            }
        }
    }
}
