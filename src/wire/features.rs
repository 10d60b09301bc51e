//! Feature bits and the payloads of messages 2 and 3, in which each end tells its own (egoat-protocol(7), Feature bits).
//! A bit stands for rules that hold in a session if and only if both ends set the bit. A program sets the bits whose
//! rules it follows completely; nobody negotiates anything away.

use crate::crypto::handshake::PAYLOAD_LEN;
use crate::wire::message::Kind;

/// A set of feature bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// No bit: the protocol without any extension.
    pub const NONE: Features = Features(0);
    /// Bit 0: this end skips messages of the types from 128 on that it does not know.
    pub const IGNORABLE: Features = Features(1 << 0);
    /// Bit 1: the dialler says before ACCEPT what it has to say first.
    pub const EARLY: Features = Features(1 << 1);
    /// Bit 3: a peer that is told of files that wait for it collects them.
    pub const COLLECT: Features = Features(1 << 3);
    /// Bit 4: this end serves GET: it shares files, if its user does.
    pub const GET: Features = Features(1 << 4);
    /// Bit 8: TEXT says when the message was queued.
    pub const SAID: Features = Features(1 << 8);
    /// Bit 10: this end pairs by six digits, if its user waits for that.
    pub const NEARBY: Features = Features(1 << 10);
    /// Bit 11: this end says how much has arrived while it reads, and a lane that is lost costs no more than itself.
    pub const PROGRESS: Features = Features(1 << 11);
    /// Bit 12: the acceptor takes one transfer of files; then both ends forget each other.
    pub const ONE_OFF: Features = Features(1 << 12);
    /// Bit 13: DECLINE and FAILED may have the reasons that came after the first ones.
    pub const REASONS: Features = Features(1 << 13);
    /// What this program sets as a dialler.
    pub const DIALLER: Features = Features::ACCEPTOR.with(Features::ONE_OFF);
    /// What a node sets as an acceptor.
    pub const ACCEPTOR: Features = Features::IGNORABLE
        .with(Features::EARLY)
        .with(Features::COLLECT)
        .with(Features::GET)
        .with(Features::SAID)
        .with(Features::NEARBY)
        .with(Features::PROGRESS)
        .with(Features::REASONS);
    /// What a one-off receiver sets.
    pub const ONE_OFF_ACCEPTOR: Features = Features::ACCEPTOR.with(Features::ONE_OFF);

    /// As they stand in a payload. Bits that this program does not know stay set, and mean nothing here.
    pub const fn from_bits(bits: u32) -> Features {
        Features(bits)
    }

    /// The bits of both sets.
    pub const fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// The bits that both ends set.
    pub const fn shared(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }

    /// Whether all bits of `wanted` are set.
    pub const fn has(self, wanted: Features) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// Message 2's payload: features u32 ‖ 60 zeros.
pub fn acceptor_payload(own: Features) -> [u8; PAYLOAD_LEN] {
    let mut payload = [0; PAYLOAD_LEN];
    payload[..4].copy_from_slice(&own.0.to_be_bytes());
    payload
}

/// What the acceptor told in message 2. The reserved bytes are ignored.
pub fn read_acceptor_payload(&[a, b, c, d, ..]: &[u8; PAYLOAD_LEN]) -> Features {
    Features(u32::from_be_bytes([a, b, c, d]))
}

/// Message 3's payload: kind u8 ‖ features u32 ‖ 59 zeros.
pub fn dialler_payload(kind: Kind, own: Features) -> [u8; PAYLOAD_LEN] {
    let mut payload = [0; PAYLOAD_LEN];
    payload[0] = kind as u8;
    payload[1..5].copy_from_slice(&own.0.to_be_bytes());
    payload
}

/// What the dialler told in message 3; `None` if it names a kind that this program does not know. The reserved bytes are
/// ignored.
pub fn read_dialler_payload(&[kind, a, b, c, d, ..]: &[u8; PAYLOAD_LEN]) -> Option<(Kind, Features)> {
    Kind::from_byte(kind).map(|kind| (kind, Features(u32::from_be_bytes([a, b, c, d]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_and_reserved_bytes_are_ignored() {
        let mut payload = dialler_payload(Kind::Pull, Features::IGNORABLE);
        payload[1] = 0x80;
        payload[5..].fill(0xff);
        let (kind, theirs) = read_dialler_payload(&payload).expect("a known kind");
        assert_eq!((kind, theirs.shared(Features::ACCEPTOR)), (Kind::Pull, Features::IGNORABLE));

        let payload = acceptor_payload(Features::from_bits(!Features::DIALLER.0));
        assert_eq!(read_acceptor_payload(&payload).shared(Features::DIALLER), Features::NONE);
    }

    #[test]
    fn an_unknown_kind_is_none() {
        for kind in [0, 7, 9, 11, 255] {
            let mut payload = dialler_payload(Kind::Pair, Features::NONE);
            payload[0] = kind;
            assert_eq!(read_dialler_payload(&payload), None);
        }
    }
}
