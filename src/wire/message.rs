//! The messages of a session, `type u8 ‖ length u32 ‖ body`. One table below has all of them, as egoat-protocol(7),
//! MESSAGES, does: type, name, who sends it, its fields in the order of the wire, and what it says. The enum, decoding,
//! encoding, the bounds and the samples for tests come from that table; a test compares the table with the page.
//!
//! Decoding is strict: an unknown type, a body longer than its type allows, a missing or a trailing byte is an
//! error, and what decodes encodes back to the same bytes. It leaves out which message may come when: that is the
//! position in the code of `node` and `transfer`.

use crate::crypto::digits::NONCE_LEN;
use crate::crypto::lane::TICKET_LEN;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};
use crate::wire::features::Features;
use crate::wire::field::{Field, Number, Rest, Said, Short, codes};
use crate::wire::shares::{MAX_SHARES, MAX_WANT};
use crate::wire::told::MAX_LIST;

pub use crate::wire::field::MAX_NUMBER;

/// Longest text of a message in bytes; longer things are files.
pub const MAX_TEXT: usize = 1 << 20;
/// Longest body of a TEXT in bytes: two numbers and the text.
pub const MAX_TEXT_BODY: usize = 16 + MAX_TEXT;
/// Most data in a PIECE: a message of that size is one record, so that it is sealed and opened where it lies.
pub const PIECE: usize = 60 << 10;
/// Bytes of a chunk but the last: four pieces, large enough that a chunk's bookkeeping costs nothing, small enough
/// that a lost connection repeats little.
pub const CHUNK: usize = 4 * PIECE;
/// The bytes of an OFFER whose length is not known beforehand.
pub const UNKNOWN: u64 = u64::MAX;
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
/// Types from this one on are ignorable: where both ends set the feature bit for it, a receiver skips those that it does
/// not know.
pub const IGNORABLE: u8 = 128;
/// Longest body of an ignorable message in bytes: it fits in one record.
pub const MAX_IGNORABLE: usize = 8192;
/// The type of GOT, which a session takes by itself: see `net::session`.
pub const GOT: u8 = 10;
/// The types of the ignorable messages that this program knows: FILES-WAIT and ADDRESSES.
pub const FILES_WAIT: u8 = 128;
/// See [`FILES_WAIT`].
pub const ADDRESSES: u8 = 129;
/// Bytes of all messages that are sent early, with their headers: a few round trips of a new TCP connection.
pub const MAX_EARLY: usize = 48 << 10;
/// Bytes of what names a transfer in OFFER.
pub const TRANSFER_LEN: usize = 16;

codes! {
    /// What a session is for: the first byte of message 3's payload.
    Kind {
        1 Pair  "Get to know each other.";
        2 Push  "The dialler sends messages.";
        3 Pull  "The dialler collects messages.";
        4 Files "The dialler sends files.";
        5 Collect "The dialler collects files.";
        6 Get "The dialler fetches files that are shared.";
        10 Nearby "Get to know each other by six digits.";
    }
}

codes! {
    /// Why a session is refused.
    Refusal {
        1 Unknown       "The key is not a peer's; a request was noted.";
        2 Blocked       "The peer is blocked.";
        3 InviteUsed    "Another key has used the invite, or the share is used up.";
        4 InviteExpired "The invite's time is over, or that of the share, or it was stopped.";
        5 Busy          "Another connection serves what the session is for, or there are too many.";
        6 Unsupported   "This node does not do that: a one-off receiver takes no messages.";
    }
}

codes! {
    /// Why files are not taken.
    Declined {
        1  Manifest "A path breaks the rules, or the manifest is malformed.";
        2  TooLarge "More bytes than this node takes.";
        3  Full     "No room on the disk.";
        4  DotNames "Names at the top begin with a dot, and it does not take them.";
        5  Disk     "The receiver cannot write where files land.";
        6  Policy   "Its user does not take files from this peer.";
        7  Quota    "More than this peer's files may fill there.";
        8  Asked    "Its user would have to be asked, and said no or is not there.";
        9  OneFile  "It writes a transfer to a pipe, which takes one file.";
        10 Gone     "Its pipe already has the beginning of another transfer.";
        11 IsDirectory "A directory would have to make room for a file.";
        12 IsFile      "A file would have to make room for a directory.";
        13 OpenFiles   "Its system lets it open too few files.";
    }
}

codes! {
    /// Why a transfer that had begun ends.
    Failure {
        1 Full     "The receiver's disk is full.";
        2 Disk     "The receiver's disk failed.";
        3 Source   "A file changed while it was sent, or cannot be read.";
        4 Closed   "What the receiver writes to was closed.";
        5 TooLarge "A stream is longer than what is taken.";
        6 Stopped  "A user stopped it.";
        7 OpenFiles "The receiver's system lets it open too few files.";
    }
}

impl Declined {
    /// The reason as an end says it to one with these feature bits.
    pub fn told_to(self, features: Features) -> Declined {
        match self {
            _ if features.has(Features::REASONS) => self,
            Declined::DotNames => Declined::Manifest,
            Declined::IsDirectory | Declined::IsFile | Declined::OpenFiles => Declined::Disk,
            _ => self,
        }
    }
}

impl Failure {
    /// The reason as an end says it to one with these feature bits.
    pub fn told_to(self, features: Features) -> Failure {
        let is_recent = matches!(self, Failure::OpenFiles);
        if is_recent && !features.has(Features::REASONS) { Failure::Disk } else { self }
    }
}

/// Who sends a message. Sender and receiver are those of messages or files, whoever dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SentBy {
    Acceptor,
    Dialler,
    Either,
    Sender,
    Receiver,
}

/// A row of the table, as egoat-protocol(7) shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The type byte.
    pub number: u8,
    /// The variant's name; the page has it in capitals.
    pub name: &'static str,
    /// The fields, in the page's notation.
    pub fields: Vec<String>,
    /// Bytes of the longest body.
    pub most: usize,
    /// Who sends it.
    pub by: SentBy,
}

/// The codec of a field: the one that the table names, or the type itself.
macro_rules! codec {
    ($type:ty) => {
        $type
    };
    ($type:ty as $codec:ty) => {
        $codec
    };
}

macro_rules! messages {
    ($(
        $number:literal $name:ident $by:ident
        $(($field:ident: $type:ty $(as $codec:ty)?))?
        $({ $($part:ident: $kind:ty $(as $bound:ty)?),+ })?
        $says:literal;
    )*) => {
        /// One message, borrowing its long fields from the buffer that it was read into.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Message<'a> {
            $(
                #[doc = $says]
                $name $(($type))? $({ $($part: $kind),+ })?,
            )*
        }

        /// The most bytes that the body of a message of this type may have; checked before anything is allocated for it.
        pub fn max_body(kind: u8) -> Result<usize, Malformed> {
            Ok(match kind {
                $($number => {
                    0 $(+ <codec!($type $(as $codec)?)>::MAX_LEN)? $($(+ <codec!($kind $(as $bound)?)>::MAX_LEN)+)?
                })*
                _ => return Err(Malformed("message type")),
            })
        }

        impl<'a> Message<'a> {
            /// Decodes the body of a message of type `kind` in a session without features.
            pub fn decode(kind: u8, body: &'a [u8]) -> Result<Message<'a>, Malformed> {
                Message::decode_with(Features::NONE, kind, body)
            }

            /// The same in a session whose ends share these features.
            pub fn decode_with(features: Features, kind: u8, body: &'a [u8]) -> Result<Message<'a>, Malformed> {
                if body.len() > max_body(kind)? {
                    return Err(Malformed("message length"));
                }
                let mut fields = FieldReader::with(features, body);
                let message = match kind {
                    $($number => Message::$name {
                        $(0: <codec!($type $(as $codec)?)>::decode(&mut fields, stringify!($field))?)?
                        $($($part: <codec!($kind $(as $bound)?)>::decode(&mut fields, stringify!($part))?),+)?
                    },)*
                    _ => return Err(Malformed("message type")),
                };
                fields.expect_empty("bytes after the message")?;
                Ok(message)
            }

            /// The message's type byte.
            pub fn kind(&self) -> u8 {
                match self {
                    $(Message::$name { .. } => $number,)*
                }
            }

            /// Bytes of the body. The long fields are bounded where they are made, so the sum fits the length field.
            pub fn body_len(&self) -> usize {
                match *self {
                    $(Message::$name { $(0: $field)? $($($part),+)? } => {
                        0 $(+ <codec!($type $(as $codec)?)>::length($field))?
                            $($(+ <codec!($kind $(as $bound)?)>::length($part))+)?
                    })*
                }
            }

            /// Appends the whole message, header and body.
            pub fn encode(&self, out: &mut impl FieldWriter) {
                out.put_u8(self.kind());
                out.put_u32(self.body_len() as u32);
                match *self {
                    $(Message::$name { $(0: $field)? $($($part),+)? } => {
                        $(<codec!($type $(as $codec)?)>::encode($field, out);)?
                        $($(<codec!($kind $(as $bound)?)>::encode($part, out);)+)?
                    })*
                }
            }

            /// Messages of every type, with the samples of their fields: a small one first, then ones at the bounds; for
            /// tests and the seeds of the fuzzer.
            pub fn samples() -> Vec<Message<'static>> {
                let mut samples = Vec::new();
                $(
                    $(let $field = <codec!($type $(as $codec)?)>::samples();)?
                    $($(let $part = <codec!($kind $(as $bound)?)>::samples();)+)?
                    let count = 1_usize $(.max($field.len()))? $($(.max($part.len()))+)?;
                    samples.extend((0..count).map(|_turn| Message::$name {
                        $(0: $field[_turn % $field.len()])?
                        $($($part: $part[_turn % $part.len()]),+)?
                    }));
                )*
                samples
            }
        }

        /// The table, for a test that compares it with egoat-protocol(7).
        pub fn table() -> Vec<Row> {
            vec![$(Row {
                number: $number,
                name: stringify!($name),
                fields: vec![
                    $(<codec!($type $(as $codec)?)>::shape(stringify!($field)))?
                    $($(<codec!($kind $(as $bound)?)>::shape(stringify!($part))),+)?
                ],
                most: 0 $(+ <codec!($type $(as $codec)?)>::MAX_LEN)? $($(+ <codec!($kind $(as $bound)?)>::MAX_LEN)+)?,
                by: SentBy::$by,
            },)*]
        }
    };
}

messages! {
    1  Accept   Acceptor "The session is accepted.";
    2  Refused  Acceptor (reason: Refusal) "The session is refused, and ends.";
    3  Bye      Either   "The sender of this has nothing more to say.";
    4  Ping     Either   "Are you there?";
    5  Pong     Either   "I am.";
    6  Profile  Either   { name: &'a str as Short<MAX_NAME>, port: u16, time: u64 } "Who this end is.";
    7  Held     Receiver (number: u64 as Number) "The receiver's last number, at the start of a flow.";
    8  Text     Sender   { number: u64 as Number, said: Option<u64> as Said, text: &'a [u8] as Rest<MAX_TEXT> } "A message of a person or a script.";
    9  Ack      Receiver (number: u64 as Number) "All messages to this number are on the receiver's disk.";
    10 Got      Either   (bytes: u64) "So many bytes of the other end's stream have arrived.";
    11 Early    Sender   (messages: u16) "So many of the next messages are written before ACCEPT was read.";
    16 Offer    Sender   { transfer: [u8; TRANSFER_LEN], entries: u32, bytes: u64 } "What the manifest adds up to.";
    17 Manifest Sender   (entries: &'a [u8] as Rest<MAX_MANIFEST>) "A part of the manifest: whole entries.";
    18 Take     Receiver { lanes: u8, ticket: [u8; TICKET_LEN] } "The offer is taken, in chunks, on so many lanes more.";
    19 Decline  Receiver (reason: Declined) "The offer is not taken.";
    20 Piece    Sender   { at: u64, data: &'a [u8] as Rest<PIECE> } "A part of a chunk or of a stream, and its place.";
    21 End      Sender   "No more pieces come on this connection.";
    22 Stored   Receiver "Everything is in its place and on the disk.";
    23 Failed   Either   (reason: Failure) "The transfer cannot go on.";
    24 Have     Receiver { first: u64, count: u32, hash: [u8; 32] } "Chunks that are here already, by their hash.";
    25 Start    Sender   (chunks: u64) "So many chunks will come.";
    26 Stream   Receiver (from: u64 as Number) "The offer is taken in order, from this byte on.";
    40 Commit   Dialler  (commitment: [u8; NONCE_LEN]) "The hash of the dialler's nonce.";
    41 Nonce    Acceptor (nonce: [u8; NONCE_LEN]) "The acceptor's nonce.";
    42 Open     Dialler  (nonce: [u8; NONCE_LEN]) "The dialler's nonce.";
    43 Confirm  Either   "The user of this end says that the digits are the same.";
    50 Shares   Sender   (shares: &'a [u8] as Rest<MAX_SHARES>) "What the dialler may fetch, see `wire::shares`.";
    51 Want     Receiver (wanted: &'a [u8] as Rest<MAX_WANT>) "What of that the dialler wants.";
    128 FilesWait Sender "Files wait for the receiver, who may collect them.";
    129 Addresses Either { version: u64, list: &'a [u8] as Rest<MAX_LIST> } "Where this end can be dialled, see `wire::told`.";
}

/// The bytes before a PIECE's data, so that the data can be read from its file to where it is sealed.
pub fn piece_head(at: u64, length: usize) -> [u8; PIECE_HEAD] {
    let mut head = [0; PIECE_HEAD];
    head[0] = Message::Piece { at, data: &[] }.kind();
    head[1..HEADER].copy_from_slice(&(8 + length as u32).to_be_bytes());
    head[HEADER..].copy_from_slice(&at.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for message in Message::samples() {
            let bytes = encoded(&message);
            assert_eq!(bytes.len(), HEADER + message.body_len());
            assert_eq!(Message::decode_with(Features::DIALLER, bytes[0], &bytes[HEADER..]), Ok(message));
        }
    }

    #[test]
    fn a_cut_body_is_refused_or_a_shorter_message() {
        for message in Message::samples() {
            let bytes = encoded(&message);
            for end in HEADER..bytes.len() {
                if let Ok(shorter) = Message::decode_with(Features::DIALLER, bytes[0], &bytes[HEADER..end]) {
                    let long_field = matches!(
                        shorter,
                        Message::Text { .. }
                            | Message::Manifest(_)
                            | Message::Piece { .. }
                            | Message::Shares(_)
                            | Message::Want(_)
                            | Message::Addresses { .. }
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
    fn without_the_bit_a_text_says_no_time_and_is_no_longer_for_it() {
        let body = vec![1; 8 + MAX_TEXT];
        let text = &body[8..];
        let number = 0x0001_0101_0101_0101;
        assert!(Message::decode(8, &[0; 7]).is_err());
        assert!(Message::decode_with(Features::SAID, 8, &[0; 15]).is_err());
        let mut body = body.clone();
        body[0] = 0;
        assert_eq!(Message::decode(8, &body), Ok(Message::Text { number, said: None, text }));
        body.push(1);
        assert_eq!(Message::decode(8, &body), Err(Malformed("text")));
        let said = Some(0x0101_0101_0101_0101);
        body.extend([1; 7]);
        assert_eq!(Message::decode_with(Features::SAID, 8, &body), Ok(Message::Text { number, said, text }));
    }

    #[test]
    fn a_profile_has_the_longest_body_that_is_always_taken() {
        assert_eq!(max_body(Message::Profile { name: "", port: 0, time: 0 }.kind()), Ok(MAX_PROFILE));
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
        fn what_decodes_encodes_back(kind in 0u8..64, body in proptest::collection::vec(any::<u8>(), 0..64)) {
            for features in [Features::NONE, Features::DIALLER] {
                if let Ok(message) = Message::decode_with(features, kind, &body) {
                    let bytes = encoded(&message);
                    prop_assert_eq!(bytes[0], kind);
                    prop_assert_eq!(&bytes[HEADER..], &body[..]);
                }
            }
        }
    }
}
