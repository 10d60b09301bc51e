//! The Noise protocol framework, revision 34, as far as E-Goat needs it: `25519`, `ChaChaPoly`, `SHA256`, and
//! the patterns XK, XKpsk2 and NNpsk0. Names are the specification's; section numbers are given where it is
//! followed. <https://noiseprotocol.org/noise_rev34.html>
//!
//! What production runs is what the public test vectors prove: `handshake` and `lane` are thin layers over
//! [`HandshakeState`], and plain XK is here for its vectors alone. Left out: every other pattern, fallbacks,
//! negotiation. Public keys are raw bytes here; whether one is acceptable as a peer's is judged in `keys`.

use super::{Failed, Secret32, hmac, random_array, sha256};
use orion::hazardous::aead::chacha20poly1305::{ChaCha20Poly1305, Nonce, SecretKey, Tag};
use orion::hazardous::ecc::x25519;
use std::sync::Arc;

/// Bytes that authenticated encryption adds to what it seals.
pub const TAG_LEN: usize = 16;

/// Bytes of a public key and of a shared secret: the specification's DHLEN.
pub const DH_LEN: usize = 32;

/// Bytes of a symmetric key.
pub const KEY_LEN: usize = 32;

/// Bytes of a hash, and so of the handshake hash and of the export secret: the specification's HASHLEN.
pub const HASH_LEN: usize = 32;

/// An X25519 key pair (section 4.1).
pub struct KeyPair {
    secret: x25519::PrivateKey,
    public: [u8; DH_LEN],
}

impl KeyPair {
    /// `GENERATE_KEYPAIR()`.
    pub fn generate() -> KeyPair {
        KeyPair::from_secret(random_array())
    }

    /// The pair of a private key, which X25519 clamps itself.
    pub fn from_secret(secret: [u8; 32]) -> KeyPair {
        let secret = x25519::PrivateKey::from(secret);
        let public = x25519::PublicKey::try_from(&secret).expect("every clamped scalar has a public key");
        let public = public.as_ref().try_into().expect("an X25519 public key is 32 bytes");
        KeyPair { secret, public }
    }

    /// The public half.
    pub fn public(&self) -> &[u8; DH_LEN] {
        &self.public
    }

    /// `DH(key_pair, public_key)`, refused when the result is all zero. Section 12.1 allows that check; it is
    /// made here so that no peer's key decides the secret whatever ours is.
    pub(crate) fn agree(&self, public: &[u8; DH_LEN]) -> Result<x25519::SharedKey, Failed> {
        Ok(x25519::key_agreement(&self.secret, &x25519::PublicKey::from(*public))?)
    }
}

/// A key and the counter of what it has sealed (section 5.1). Empty until the first `initialize_key`.
pub struct CipherState {
    key: Option<SecretKey>,
    nonce: u64,
}

impl CipherState {
    /// `InitializeKey(key)`.
    pub fn initialize_key(key: &[u8; 32]) -> CipherState {
        CipherState { key: Some(SecretKey::from(*key)), nonce: 0 }
    }

    /// `InitializeKey(empty)`.
    fn empty() -> CipherState {
        CipherState { key: None, nonce: 0 }
    }

    /// `HasKey()`.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// `EncryptWithAd(ad, plaintext)`; the plaintext itself while there is no key.
    pub fn encrypt_with_ad(&mut self, ad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Failed> {
        let mut data = Vec::with_capacity(plaintext.len() + TAG_LEN);
        data.extend_from_slice(plaintext);
        if self.has_key() {
            let tag = self.seal_in_place(ad, &mut data)?;
            data.extend_from_slice(&tag);
        }
        Ok(data)
    }

    /// `DecryptWithAd(ad, ciphertext)`; the ciphertext itself while there is no key.
    pub fn decrypt_with_ad(&mut self, ad: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, Failed> {
        if !self.has_key() {
            return Ok(ciphertext.to_vec());
        }
        let (sealed, tag) = ciphertext.split_last_chunk().ok_or(Failed)?;
        let mut data = sealed.to_vec();
        self.open_in_place(ad, &mut data, tag)?;
        Ok(data)
    }

    /// `EncryptWithAd` where the data lies, giving the tag that belongs behind it.
    ///
    /// # Errors
    ///
    /// When there is no key, or the key has sealed 2^64 - 1 times. The data is then of no further use.
    pub fn seal_in_place(&mut self, ad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], Failed> {
        let (key, nonce) = self.key_and_nonce()?;
        let tag = ChaCha20Poly1305::seal_inplace(key, &nonce, Some(ad), data)?;
        self.nonce += 1;
        tag.unprotected_as_ref::<[u8]>().try_into().map_err(|_| Failed)
    }

    /// `DecryptWithAd` where the data lies. A failure leaves the data and the counter as they were.
    ///
    /// # Errors
    ///
    /// When the tag is wrong, there is no key, or the key has opened 2^64 - 1 times.
    pub fn open_in_place(&mut self, ad: &[u8], data: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Failed> {
        let (key, nonce) = self.key_and_nonce()?;
        ChaCha20Poly1305::open_inplace(key, &nonce, &Tag::from(*tag), Some(ad), data)?;
        self.nonce += 1;
        Ok(())
    }

    /// `Rekey()`: k = the first 32 bytes of ENCRYPT(k, 2^64 - 1, "", zeros); n stays (sections 4.2 and 11.3).
    pub fn rekey(&mut self) -> Result<(), Failed> {
        let key = self.key.as_ref().ok_or(Failed)?;
        let mut next = [0; 32];
        ChaCha20Poly1305::seal_inplace(key, &chacha_nonce(u64::MAX), None, &mut next)?;
        self.key = Some(SecretKey::from(next));
        Ok(())
    }

    /// The value 2^64 - 1 is reserved for `rekey` (section 5.1).
    fn key_and_nonce(&self) -> Result<(&SecretKey, Nonce), Failed> {
        match &self.key {
            Some(key) if self.nonce < u64::MAX => Ok((key, chacha_nonce(self.nonce))),
            _ => Err(Failed),
        }
    }
}

/// The nonce of ChaChaPoly: 32 zero bits and the counter, little-endian (section 12.3).
fn chacha_nonce(n: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&n.to_le_bytes());
    Nonce::from(bytes)
}

/// `HKDF(chaining_key, input_key_material, 3)` (section 4.3). Where the specification asks for two outputs
/// they are the first two of these.
fn hkdf(chaining_key: &Secret32, input_key_material: &[u8]) -> [Secret32; 3] {
    // temp_key = HMAC-HASH(chaining_key, input_key_material)
    let temp_key = hmac(chaining_key.as_bytes(), &[input_key_material]);
    // output1 = HMAC-HASH(temp_key, byte(0x01))
    let output1 = hmac(temp_key.as_bytes(), &[&[1]]);
    // output2 = HMAC-HASH(temp_key, output1 || byte(0x02))
    let output2 = hmac(temp_key.as_bytes(), &[output1.as_bytes(), &[2]]);
    // output3 = HMAC-HASH(temp_key, output2 || byte(0x03))
    let output3 = hmac(temp_key.as_bytes(), &[output2.as_bytes(), &[3]]);
    [output1, output2, output3]
}

/// The chaining key and the transcript hash, with the cipher they have led to (section 5.2).
pub struct SymmetricState {
    cipher: CipherState,
    ck: Secret32,
    h: [u8; 32],
}

impl SymmetricState {
    /// `InitializeSymmetric(protocol_name)`.
    pub fn initialize_symmetric(protocol_name: &str) -> SymmetricState {
        let name = protocol_name.as_bytes();
        let mut h = [0; 32];
        match h.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name),
            None => h = sha256(name),
        }
        SymmetricState { cipher: CipherState::empty(), ck: Secret32::from_bytes(h), h }
    }

    /// `MixKey(input_key_material)`.
    pub fn mix_key(&mut self, input_key_material: &[u8]) {
        // ck, temp_k = HKDF(ck, input_key_material, 2)
        let [ck, temp_k, _] = hkdf(&self.ck, input_key_material);
        self.ck = ck;
        self.cipher = CipherState::initialize_key(temp_k.as_bytes());
    }

    /// `MixHash(data)`.
    pub fn mix_hash(&mut self, data: &[u8]) {
        // h = HASH(h || data)
        self.h = sha256(&[&self.h, data].concat());
    }

    /// `MixKeyAndHash(input_key_material)`.
    pub fn mix_key_and_hash(&mut self, input_key_material: &[u8]) {
        // ck, temp_h, temp_k = HKDF(ck, input_key_material, 3)
        let [ck, temp_h, temp_k] = hkdf(&self.ck, input_key_material);
        self.ck = ck;
        self.mix_hash(temp_h.as_bytes());
        self.cipher = CipherState::initialize_key(temp_k.as_bytes());
    }

    /// `GetHandshakeHash()`; before `Split`, the hash of the transcript so far.
    pub fn handshake_hash(&self) -> &[u8; 32] {
        &self.h
    }

    /// `EncryptAndHash(plaintext)`.
    pub fn encrypt_and_hash(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Failed> {
        let ciphertext = self.cipher.encrypt_with_ad(&self.h, plaintext)?;
        self.mix_hash(&ciphertext);
        Ok(ciphertext)
    }

    /// `DecryptAndHash(ciphertext)`.
    pub fn decrypt_and_hash(&mut self, ciphertext: &[u8]) -> Result<Vec<u8>, Failed> {
        let plaintext = self.cipher.decrypt_with_ad(&self.h, ciphertext)?;
        self.mix_hash(ciphertext);
        Ok(plaintext)
    }

    /// `Split()`: the initiator's cipher, the responder's, and a further secret that Noise does not use, the
    /// third output of the same HKDF, for what the application binds to this connection.
    pub fn split(self) -> (CipherState, CipherState, [u8; 32]) {
        // temp_k1, temp_k2 = HKDF(ck, zerolen, 2)
        let [temp_k1, temp_k2, export] = hkdf(&self.ck, b"");
        let initiator = CipherState::initialize_key(temp_k1.as_bytes());
        let responder = CipherState::initialize_key(temp_k2.as_bytes());
        (initiator, responder, *export.as_bytes())
    }
}

/// Which side of a handshake one is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends the first message.
    Initiator,
    /// Answers it.
    Responder,
}

/// What a message does to the state, in order (section 7.1).
#[derive(Clone, Copy)]
pub enum Token {
    /// An ephemeral key is sent.
    E,
    /// A static key is sent, sealed once there is a key.
    S,
    /// Key agreement of both ephemeral keys.
    Ee,
    /// Key agreement of the initiator's ephemeral and the responder's static key.
    Es,
    /// Key agreement of the initiator's static and the responder's ephemeral key.
    Se,
    /// The pre-shared key is mixed in.
    Psk,
}

/// A handshake pattern (section 7).
pub struct Pattern {
    /// The full protocol name.
    pub protocol_name: &'static str,
    /// The pre-message `<- s`: the initiator knows the responder's static key beforehand.
    pub responder_static_is_known: bool,
    /// The messages in turn, the initiator's first.
    pub messages: &'static [&'static [Token]],
}

use Token::{E, Ee, Es, Psk, S, Se};

/// `XK`, for its test vectors.
pub const XK: Pattern = Pattern {
    protocol_name: "Noise_XK_25519_ChaChaPoly_SHA256",
    responder_static_is_known: true,
    messages: &[&[E, Es], &[E, Ee], &[S, Se]],
};

/// `XKpsk2`, which sessions use.
pub const XKPSK2: Pattern = Pattern {
    protocol_name: "Noise_XKpsk2_25519_ChaChaPoly_SHA256",
    responder_static_is_known: true,
    messages: &[&[E, Es], &[E, Ee, Psk], &[S, Se]],
};

/// `NNpsk0`, which lanes use.
pub const NNPSK0: Pattern = Pattern {
    protocol_name: "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
    responder_static_is_known: false,
    messages: &[&[Psk, E], &[E, Ee]],
};

/// A handshake under way (section 5.3). Each message consumes the state and gives the next one, so that a
/// state whose message failed cannot be used again.
pub struct HandshakeState {
    symmetric: SymmetricState,
    role: Role,
    s: Option<Arc<KeyPair>>,
    e: Option<KeyPair>,
    rs: Option<[u8; DH_LEN]>,
    re: Option<[u8; DH_LEN]>,
    psk: Option<Secret32>,
    is_psk_handshake: bool,
    messages: &'static [&'static [Token]],
    is_our_turn: bool,
}

/// What a finished handshake leaves.
pub struct Split {
    /// Seals what the initiator sends.
    pub initiator: CipherState,
    /// Seals what the responder sends.
    pub responder: CipherState,
    /// The secret for what the application binds to this connection, see [`SymmetricState::split`].
    pub export: [u8; 32],
    /// The hash of the whole transcript, the same on both sides and unique to this run (section 11.2).
    pub handshake_hash: [u8; 32],
}

impl HandshakeState {
    /// `Initialize(handshake_pattern, initiator, prologue, s, e, rs, re)`: `s` is the own static key and `rs`
    /// the peer's, where the pattern has them from the start.
    ///
    /// # Errors
    ///
    /// When the key of the pattern's pre-message is missing.
    pub fn initialize(
        pattern: &Pattern,
        role: Role,
        prologue: &[u8],
        s: Option<Arc<KeyPair>>,
        rs: Option<[u8; DH_LEN]>,
    ) -> Result<HandshakeState, Failed> {
        let mut symmetric = SymmetricState::initialize_symmetric(pattern.protocol_name);
        symmetric.mix_hash(prologue);
        // <- s
        if pattern.responder_static_is_known {
            let responder_static = match role {
                Role::Initiator => rs,
                Role::Responder => s.as_ref().map(|s| s.public),
            };
            symmetric.mix_hash(&responder_static.ok_or(Failed)?);
        }
        Ok(HandshakeState {
            symmetric,
            role,
            s,
            e: None,
            rs,
            re: None,
            psk: None,
            is_psk_handshake: pattern.messages.iter().any(|tokens| tokens.iter().any(|t| matches!(t, Psk))),
            messages: pattern.messages,
            is_our_turn: role == Role::Initiator,
        })
    }

    /// Sets the pre-shared key; it is needed by the message that has the `psk` token, not before.
    pub fn set_psk(&mut self, psk: &[u8; 32]) {
        self.psk = Some(Secret32::from_bytes(*psk));
    }

    /// Takes the place of the random ephemeral key, as test vectors need it. An ephemeral key that is used
    /// twice gives the connection away.
    pub fn fixed_ephemeral_for_testing_only(&mut self, e: KeyPair) {
        self.e = Some(e);
    }

    /// The hash of the transcript so far.
    pub fn handshake_hash(&self) -> &[u8; 32] {
        self.symmetric.handshake_hash()
    }

    /// The peer's static key, once it is known.
    pub fn remote_static(&self) -> Option<&[u8; DH_LEN]> {
        self.rs.as_ref()
    }

    /// `WriteMessage(payload)`.
    pub fn write_message(mut self, payload: &[u8]) -> Result<(HandshakeState, Vec<u8>), Failed> {
        let mut message = Vec::new();
        for token in self.next_message(true)? {
            match token {
                E => {
                    let e = self.e.get_or_insert_with(KeyPair::generate).public;
                    message.extend_from_slice(&e);
                    self.mix_ephemeral(&e);
                }
                S => {
                    let s = self.s.as_ref().ok_or(Failed)?.public;
                    message.extend_from_slice(&self.symmetric.encrypt_and_hash(&s)?);
                }
                Ee | Es | Se | Psk => self.mix_secret(*token)?,
            }
        }
        message.extend_from_slice(&self.symmetric.encrypt_and_hash(payload)?);
        Ok((self, message))
    }

    /// `ReadMessage(message)`, giving the payload: all that follows the keys, so the caller feeds the message
    /// at its exact length.
    pub fn read_message(mut self, message: &[u8]) -> Result<(HandshakeState, Vec<u8>), Failed> {
        let mut rest = message;
        for token in self.next_message(false)? {
            match token {
                E => {
                    let re = *rest.split_off(..DH_LEN).and_then(|e| e.first_chunk()).ok_or(Failed)?;
                    self.re = Some(re);
                    self.mix_ephemeral(&re);
                }
                S => {
                    let len = DH_LEN + if self.symmetric.cipher.has_key() { TAG_LEN } else { 0 };
                    let sealed = rest.split_off(..len).ok_or(Failed)?;
                    let rs = self.symmetric.decrypt_and_hash(sealed)?;
                    self.rs = Some(rs.try_into().map_err(|_| Failed)?);
                }
                Ee | Es | Se | Psk => self.mix_secret(*token)?,
            }
        }
        let payload = self.symmetric.decrypt_and_hash(rest)?;
        Ok((self, payload))
    }

    /// `Split()` after the last message.
    ///
    /// # Errors
    ///
    /// When messages are still to come.
    pub fn split(self) -> Result<Split, Failed> {
        if !self.messages.is_empty() {
            return Err(Failed);
        }
        let handshake_hash = *self.handshake_hash();
        let (initiator, responder, export) = self.symmetric.split();
        Ok(Split { initiator, responder, export, handshake_hash })
    }

    /// The tokens of the message whose turn it is.
    fn next_message(&mut self, writing: bool) -> Result<&'static [Token], Failed> {
        let (tokens, later) = self.messages.split_first().ok_or(Failed)?;
        if writing != self.is_our_turn {
            return Err(Failed);
        }
        self.messages = later;
        self.is_our_turn = !self.is_our_turn;
        Ok(tokens)
    }

    /// The `e` token; in a handshake with a psk the key is hashed and mixed (section 9.2).
    fn mix_ephemeral(&mut self, e: &[u8; DH_LEN]) {
        self.symmetric.mix_hash(e);
        if self.is_psk_handshake {
            self.symmetric.mix_key(e);
        }
    }

    /// A token that sends nothing: `MixKey(DH(..))`, or `MixKeyAndHash(psk)`.
    fn mix_secret(&mut self, token: Token) -> Result<(), Failed> {
        let (s, e) = (self.s.as_deref(), self.e.as_ref());
        let (own, remote) = match (token, self.role) {
            // ee: DH(e, re)
            (Ee, _) => (e, self.re),
            // es: DH(e, rs) if initiator, DH(s, re) if responder
            (Es, Role::Initiator) => (e, self.rs),
            (Es, Role::Responder) => (s, self.re),
            // se: DH(s, re) if initiator, DH(e, rs) if responder
            (Se, Role::Initiator) => (s, self.re),
            (Se, Role::Responder) => (e, self.rs),
            // psk: MixKeyAndHash(psk)
            (Psk, _) => {
                let psk = self.psk.take().ok_or(Failed)?;
                self.symmetric.mix_key_and_hash(psk.as_bytes());
                return Ok(());
            }
            // These send a key; write_message and read_message deal with them.
            (E | S, _) => return Err(Failed),
        };
        let shared = own.ok_or(Failed)?.agree(&remote.ok_or(Failed)?)?;
        self.symmetric.mix_key(shared.unprotected_as_ref());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hkdf_is_that_of_the_rfc() {
        let outputs = hkdf(&Secret32::from_bytes([4; 32]), b"input");
        let mut expected = [0; 96];
        crate::crypto::hkdf(&[4; 32], b"input", b"", &mut expected);
        assert_eq!(outputs.each_ref().map(Secret32::as_bytes).map(|o| &o[..]).concat(), expected);
    }

    #[test]
    fn a_cipher_without_a_key_passes_through_and_cannot_seal() {
        let mut cipher = CipherState::empty();
        assert_eq!(cipher.encrypt_with_ad(b"", b"plain").unwrap(), b"plain");
        assert_eq!(cipher.decrypt_with_ad(b"", b"plain").unwrap(), b"plain");
        assert_eq!(cipher.seal_in_place(b"", &mut [1, 2]), Err(Failed));
        assert_eq!(cipher.open_in_place(b"", &mut [1, 2], &[0; 16]), Err(Failed));
        assert_eq!(cipher.rekey(), Err(Failed));
    }

    #[test]
    fn a_failed_open_leaves_data_and_counter() {
        let mut sealer = CipherState::initialize_key(&[1; 32]);
        let mut opener = CipherState::initialize_key(&[1; 32]);
        let mut data = *b"hello";
        let tag = sealer.seal_in_place(b"ad", &mut data).unwrap();
        let sealed = data;

        assert_eq!(opener.open_in_place(b"AD", &mut data, &tag), Err(Failed));
        assert_eq!(opener.open_in_place(b"ad", &mut data, &[0; 16]), Err(Failed));
        assert_eq!(data, sealed);
        assert_eq!(opener.decrypt_with_ad(b"ad", &sealed), Err(Failed), "shorter than a tag");
        assert_eq!(opener.open_in_place(b"ad", &mut data, &tag), Ok(()));
        assert_eq!(&data, b"hello");
    }

    #[test]
    fn the_last_nonce_is_refused() {
        let mut cipher = CipherState { nonce: u64::MAX - 1, ..CipherState::initialize_key(&[1; 32]) };
        assert!(cipher.seal_in_place(b"", &mut []).is_ok());
        for _ in 0..2 {
            assert_eq!(cipher.seal_in_place(b"", &mut []), Err(Failed));
            assert_eq!(cipher.open_in_place(b"", &mut [], &[0; 16]), Err(Failed));
        }
    }

    #[test]
    fn a_rekey_changes_the_key_and_keeps_the_counter() {
        let seal = |rekey_first: bool| {
            let mut cipher = CipherState { nonce: 5, ..CipherState::initialize_key(&[1; 32]) };
            if rekey_first {
                cipher.rekey().unwrap();
            }
            let sealed = cipher.encrypt_with_ad(b"", b"same").unwrap();
            assert_eq!(cipher.nonce, 6);
            sealed
        };
        assert_ne!(seal(true), seal(false));
    }

    #[test]
    fn messages_out_of_turn_are_refused() {
        let start = |role| HandshakeState::initialize(&NNPSK0, role, b"", None, None).unwrap();
        assert!(start(Role::Responder).write_message(b"").is_err());
        assert!(start(Role::Initiator).read_message(&[0; 48]).is_err());
        assert!(start(Role::Initiator).split().is_err());
        assert!(start(Role::Initiator).write_message(b"").is_err(), "no psk was set");
        assert!(HandshakeState::initialize(&XK, Role::Initiator, b"", None, None).is_err(), "no remote key");
    }

    #[test]
    fn short_messages_are_refused() {
        let responder = || {
            let s = Some(Arc::new(KeyPair::generate()));
            HandshakeState::initialize(&XK, Role::Responder, b"", s, None).unwrap()
        };
        for len in 0..48 {
            assert!(responder().read_message(&vec![9; len]).is_err(), "{len}");
        }
    }
}
