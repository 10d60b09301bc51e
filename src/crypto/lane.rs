//! The handshake of a lane, an extra socket of a transfer: `Noise_NNpsk0_25519_ChaChaPoly_SHA256`.
//!
//! ```text
//! psk       = HKDF-SHA256(salt = "", ikm = export of the session,
//!                         info = "E-Goat v1 lane" ‖ ticket[16] ‖ index u8, 32 bytes)
//! prologue  = preamble[8] ‖ ticket[16] ‖ index u8 ‖ handshake hash of the session[32]
//! 1  ->       psk, e         no payload
//! 2  <-       e, ee          no payload
//! ```
//!
//! Both ends proved who they are in the session; the psk proves that they are the same two. Since it comes
//! from a hybrid handshake, a lane needs no KEM of its own. Left out: sockets, tickets and their lifetime. A
//! replayed message 1 gets an answer but no further, and a ticket is good for one.

use super::handshake::{Established, PREAMBLE_LEN};
use super::noise::{DH_LEN, HASH_LEN, HandshakeState, NNPSK0, Role, TAG_LEN};
use super::{Failed, derive};

/// Bytes of a ticket, which TAKE gives out and a lane begins with.
pub const TICKET_LEN: usize = 16;
/// Bytes of either message: e and a tag.
pub const MESSAGE_LEN: usize = DH_LEN + TAG_LEN;

/// What names a lane, the same on both sides, and the secret that it hangs on.
pub struct Lane<'a> {
    /// The preamble of the lane's own connection.
    pub preamble: &'a [u8; PREAMBLE_LEN],
    /// The ticket that the session gave out.
    pub ticket: &'a [u8; TICKET_LEN],
    /// Which of the ticket's lanes.
    pub index: u8,
    /// [`Established::handshake_hash`] of the session.
    pub handshake_hash: &'a [u8; HASH_LEN],
    /// [`Established::export`] of the session.
    pub export: &'a [u8; HASH_LEN],
}

/// The ticket of the lanes by which the dialler of a session collects files:
/// `HKDF("", export of the session, "E-Goat v1 collect", 16)`. Both ends know it without a word.
pub fn collect_ticket(export: &[u8; HASH_LEN]) -> [u8; TICKET_LEN] {
    let mut ticket = [0; TICKET_LEN];
    ticket.copy_from_slice(&derive(b"", &[export], &[b"E-Goat v1 collect"]).as_bytes()[..TICKET_LEN]);
    ticket
}

impl Lane<'_> {
    fn begin(&self, role: Role) -> Result<HandshakeState, Failed> {
        let index = [self.index];
        let prologue = [self.preamble.as_slice(), self.ticket, &index, self.handshake_hash].concat();
        let psk = derive(b"", &[self.export], &[b"E-Goat v1 lane", self.ticket, &index]);
        let mut noise = HandshakeState::initialize(&NNPSK0, role, &prologue, None, None)?;
        noise.set_psk(psk.as_bytes());
        Ok(noise)
    }
}

/// The side that dials a lane, after message 1.
pub struct LaneInitiator {
    noise: HandshakeState,
}

impl LaneInitiator {
    /// Begins the handshake and gives message 1.
    pub fn start(lane: &Lane) -> Result<(LaneInitiator, [u8; MESSAGE_LEN]), Failed> {
        // -> psk, e
        let (noise, message) = lane.begin(Role::Initiator)?.write_message(b"")?;
        Ok((LaneInitiator { noise }, message.try_into().map_err(|_| Failed)?))
    }

    /// Reads message 2, which proves the other side.
    pub fn finish(self, message: &[u8; MESSAGE_LEN]) -> Result<Established, Failed> {
        // <- e, ee
        let (noise, _empty) = self.noise.read_message(message)?;
        Ok(Established::new(noise.split()?, Role::Initiator))
    }
}

/// The side that a lane was dialled to: reads message 1 and gives message 2. The dialler is proved by its first
/// record, since message 1 alone could be a replay.
pub fn accept(lane: &Lane, message: &[u8; MESSAGE_LEN]) -> Result<([u8; MESSAGE_LEN], Established), Failed> {
    // -> psk, e
    let (noise, _empty) = lane.begin(Role::Responder)?.read_message(message)?;
    // <- e, ee
    let (noise, answer) = noise.write_message(b"")?;
    Ok((answer.try_into().map_err(|_| Failed)?, Established::new(noise.split()?, Role::Responder)))
}
