//! The handshake of a session: `Noise_XKpsk2_25519_ChaChaPoly_SHA256`, whose psk is made of an ML-KEM-768
//! secret and, for an invite, of its token.
//!
//! ```text
//! preamble  = 8 bytes, sent by the dialler; it is the Noise prologue
//! 1  ->       e, es          payload = mode u8 ‖ invite_id[16] ‖ ek[1184]
//! 2  <-       ct[1088] ‖ noise(e, ee, psk; payload[64])
//! 3  ->       s, se          payload[64]
//! psk = HKDF-SHA256(salt = h after message 1, ikm = ss ‖ token[32],
//!                   info = "E-Goat v1 psk2" ‖ mode ‖ invite_id ‖ SHA-256(ct), 32 bytes)
//! mode 0: token and invite_id are all zero; mode 1: an invite
//! ```
//!
//! X25519 alone authenticates both sides. The KEM, made anew for each handshake, keeps recorded traffic closed
//! to whoever breaks X25519 later. `ct` travels in clear, but the psk binds it: ML-KEM answers a changed one
//! with another secret (implicit rejection, FIPS 203), so message 2 fails.
//!
//! Every step consumes the state before it. Left out: sockets and deadlines, what the preamble and the payloads
//! mean, who is allowed in, and which token belongs to an invite.

use super::keys::{INVITE_ID_LEN, InviteToken, PublicKey, StaticKeys};
use super::noise::{DH_LEN, HASH_LEN, HandshakeState, Role, Split, TAG_LEN, XKPSK2};
use super::record::{Opener, Sealer};
use super::{Failed, Secret32, derive, random_array, sha256};
use orion::KP;
use orion::hazardous::kem::mlkem768;

/// Bytes of the preamble.
pub const PREAMBLE_LEN: usize = 8;
/// Bytes of the payloads of messages 2 and 3.
pub const PAYLOAD_LEN: usize = 64;
/// Bytes of ct, the ML-KEM ciphertext at the front of message 2.
pub const CT_LEN: usize = mlkem768::CIPHERTEXT_SIZE;
/// Bytes of mode ‖ invite_id, the front of message 1's payload.
pub const OFFER_LEN: usize = 1 + INVITE_ID_LEN;
/// Bytes of message 1: e, and the sealed mode, invite_id and ek.
pub const MESSAGE_1_LEN: usize = DH_LEN + OFFER_LEN + mlkem768::EK_SIZE + TAG_LEN;
/// Bytes of message 2: ct, e, and the sealed payload.
pub const MESSAGE_2_LEN: usize = CT_LEN + DH_LEN + PAYLOAD_LEN + TAG_LEN;
/// Bytes of message 3: the sealed s and the sealed payload.
pub const MESSAGE_3_LEN: usize = DH_LEN + TAG_LEN + PAYLOAD_LEN + TAG_LEN;

/// mode ‖ invite_id, which message 1 carries and the psk binds once more.
type InvitePart = [u8; OFFER_LEN];

/// The dialler after message 1.
pub struct Initiator {
    noise: HandshakeState,
    kem: Box<mlkem768::KeyPair>,
    offer: InvitePart,
    token: Option<InviteToken>,
}

impl Initiator {
    /// Begins the handshake with `remote`, with the token where it is an invite's, and gives message 1.
    ///
    /// # Errors
    ///
    /// When `remote` is our own key or a key agreement fails.
    pub fn start(
        local: &StaticKeys,
        remote: &PublicKey,
        preamble: &[u8; PREAMBLE_LEN],
        token: Option<&InviteToken>,
    ) -> Result<(Initiator, [u8; MESSAGE_1_LEN]), Failed> {
        if *remote == local.public() {
            return Err(Failed);
        }
        let rs = Some(*remote.as_bytes());
        let noise = HandshakeState::initialize(&XKPSK2, Role::Initiator, preamble, Some(local.pair()), rs)?;
        let kem = kem_generate()?;
        let offer = offer(token);
        // -> e, es
        let (noise, message) = noise.write_message(&[&offer, kem.public().as_ref()].concat())?;
        Ok((Initiator { noise, kem, offer, token: token.cloned() }, exact(message)?))
    }

    /// Reads message 2, which proves that the peer holds the key we dialled and, in mode 1, the token; gives
    /// its payload.
    pub fn read_message_2(
        mut self,
        message: &[u8; MESSAGE_2_LEN],
    ) -> Result<(InitiatorLast, [u8; PAYLOAD_LEN]), Failed> {
        let (ct, message) = message.split_at(CT_LEN);
        let ss = self.kem.decap(&mlkem768::Ciphertext::try_from(ct)?)?;
        let psk = psk(self.noise.handshake_hash(), &ss, self.token.as_ref(), &self.offer, ct);
        // <- e, ee, psk
        self.noise.set_psk(psk.as_bytes());
        let (noise, payload) = self.noise.read_message(message)?;
        Ok((InitiatorLast { noise }, exact(payload)?))
    }
}

/// The dialler after message 2.
pub struct InitiatorLast {
    noise: HandshakeState,
}

impl InitiatorLast {
    /// Gives message 3 and the finished connection.
    pub fn write_message_3(
        self,
        payload: &[u8; PAYLOAD_LEN],
    ) -> Result<([u8; MESSAGE_3_LEN], Established), Failed> {
        // -> s, se
        let (noise, message) = self.noise.write_message(payload)?;
        Ok((exact(message)?, Established::new(noise.split()?, Role::Initiator)))
    }
}

/// The acceptor after message 1, which proves only that the dialler knows our key.
pub struct Responder {
    noise: HandshakeState,
    local: PublicKey,
    offer: InvitePart,
    ek: Box<mlkem768::EncapsulationKey>,
}

impl Responder {
    /// Reads message 1.
    ///
    /// # Errors
    ///
    /// When it was not made for our key and this preamble, names an unknown mode, names an invite in mode 0, or
    /// holds no valid KEM key (FIPS 203, section 7.2).
    pub fn read_message_1(
        local: &StaticKeys,
        preamble: &[u8; PREAMBLE_LEN],
        message: &[u8; MESSAGE_1_LEN],
    ) -> Result<Responder, Failed> {
        let noise = HandshakeState::initialize(&XKPSK2, Role::Responder, preamble, Some(local.pair()), None)?;
        // -> e, es
        let (noise, payload) = noise.read_message(message)?;
        let (offer, ek) = payload.split_first_chunk::<OFFER_LEN>().ok_or(Failed)?;
        match offer {
            [0, invite_id @ ..] if *invite_id == [0; INVITE_ID_LEN] => {}
            [1, ..] => {}
            _ => return Err(Failed),
        }
        let ek = kem_public(ek)?;
        Ok(Responder { noise, local: local.public(), offer: *offer, ek })
    }

    /// The invite that the dialler says it holds, in mode 1; `None` in mode 0.
    pub fn invite_id(&self) -> Option<[u8; INVITE_ID_LEN]> {
        match self.offer {
            [0, ..] => None,
            [_, invite_id @ ..] => Some(invite_id),
        }
    }

    /// Gives message 2. `token` is that of the invite in mode 1, and `None` in mode 0.
    ///
    /// # Errors
    ///
    /// When there is a token in mode 0 or none in mode 1, or a key agreement fails.
    pub fn write_message_2(
        mut self,
        token: Option<&InviteToken>,
        payload: &[u8; PAYLOAD_LEN],
    ) -> Result<(ResponderLast, [u8; MESSAGE_2_LEN]), Failed> {
        if token.is_some() != self.invite_id().is_some() {
            return Err(Failed);
        }
        let (ss, ct) = self.ek.encap_deterministic(&mlkem768::ExplicitRandom::from(random_array()))?;
        let psk = psk(self.noise.handshake_hash(), &ss, token, &self.offer, ct.as_ref());
        // <- e, ee, psk
        self.noise.set_psk(psk.as_bytes());
        let (noise, message) = self.noise.write_message(payload)?;
        let message = exact([ct.as_ref(), &message].concat())?;
        Ok((ResponderLast { noise, local: self.local }, message))
    }
}

/// The acceptor after message 2.
pub struct ResponderLast {
    noise: HandshakeState,
    local: PublicKey,
}

impl ResponderLast {
    /// Reads message 3, which proves the dialler's key and, in mode 1, the token; gives that key, the payload
    /// and the finished connection. Whether the key is welcome is for the caller to say.
    ///
    /// # Errors
    ///
    /// When the message is not the dialler's, or the key is not a valid one (see [`PublicKey::from_bytes`]), or
    /// is our own.
    pub fn read_message_3(
        self,
        message: &[u8; MESSAGE_3_LEN],
    ) -> Result<(PublicKey, [u8; PAYLOAD_LEN], Established), Failed> {
        // -> s, se
        let (noise, payload) = self.noise.read_message(message)?;
        let remote = PublicKey::from_bytes(*noise.remote_static().ok_or(Failed)?)?;
        if remote == self.local {
            return Err(Failed);
        }
        Ok((remote, exact(payload)?, Established::new(noise.split()?, Role::Responder)))
    }
}

/// What a finished handshake gives either side.
pub struct Established {
    /// Seals what we send.
    pub sealer: Sealer,
    /// Opens what the peer sends.
    pub opener: Opener,
    /// A secret that only both ends of this connection know; lanes are derived from it.
    pub export: [u8; HASH_LEN],
    /// Names this connection: the same on both sides, never the same twice. Not secret.
    pub handshake_hash: [u8; HASH_LEN],
}

impl Established {
    pub(super) fn new(split: Split, role: Role) -> Established {
        let (own, peers) = match role {
            Role::Initiator => (split.initiator, split.responder),
            Role::Responder => (split.responder, split.initiator),
        };
        Established {
            sealer: Sealer::new(own),
            opener: Opener::new(peers),
            export: split.export,
            handshake_hash: split.handshake_hash,
        }
    }
}

/// A new ML-KEM key pair. It and the public key alone are 18 and 13 KiB, and orion needs 90 KiB of stack to make
/// them: they are boxed in functions of their own to stay clear of the 256 KiB that a connection's thread has.
fn kem_generate() -> Result<Box<mlkem768::KeyPair>, Failed> {
    mlkem768::KeyPair::new(mlkem768::Seed::from(random_array())).map(Box::new).map_err(Failed::from)
}

/// A peer's ML-KEM key, checked.
fn kem_public(ek: &[u8]) -> Result<Box<mlkem768::EncapsulationKey>, Failed> {
    mlkem768::EncapsulationKey::try_from(ek).map(Box::new).map_err(Failed::from)
}

/// Mode 1 and the invite's name with a token, mode 0 and zeros without.
fn offer(token: Option<&InviteToken>) -> InvitePart {
    let mut offer = [0; OFFER_LEN];
    if let Some(token) = token {
        offer[0] = 1;
        offer[1..].copy_from_slice(&token.invite_id());
    }
    offer
}

/// The psk of this handshake; `h` is the transcript hash after message 1.
fn psk(
    h: &[u8; HASH_LEN],
    ss: &mlkem768::SharedSecret,
    token: Option<&InviteToken>,
    offer: &InvitePart,
    ct: &[u8],
) -> Secret32 {
    let token = token.map_or([0; 32], InviteToken::psk_token);
    derive(h, &[ss.unprotected_as_ref(), &token], &[b"E-Goat v1 psk2", offer, &sha256(ct)])
}

/// A message or payload as the array that its constant length makes it.
fn exact<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], Failed> {
    bytes.try_into().map_err(|_| Failed)
}
