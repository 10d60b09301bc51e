//! Everything cryptographic, and nothing else: no sockets, no files, no clock, no knowledge of messages.
//!
//! | file        | what it holds                                                                          |
//! | ----------- | -------------------------------------------------------------------------------------- |
//! | `base32`    | how keys and tokens are written                                                        |
//! | `beacon`    | the secret of two nodes for their beacons                                              |
//! | `digits`    | the six digits that two people compare                                                 |
//! | `keys`      | the identity's seed, the static keys derived from it, public keys, invite tokens       |
//! | `noise`     | the Noise protocol framework (revision 34), as far as our three patterns need it       |
//! | `handshake` | the handshake of a session: XKpsk2 with ML-KEM-768 and the invite's token as the psk   |
//! | `lane`      | the handshake of a transfer's extra sockets: NNpsk0 under a secret of their session    |
//! | `record`    | the ciphers of an established connection, with their rekeying                          |
//! | `seal`      | sealing at rest: log records, and the seed under a passphrase                          |
//!
//! Every primitive comes from orion; this folder only puts them together. It stands at the bottom of the
//! layers and uses nothing else of the crate.

pub mod base32;
pub mod beacon;
pub mod digits;
pub mod handshake;
pub mod keys;
pub mod lane;
pub mod noise;
pub mod record;
pub mod seal;

use orion::errors::UnknownCryptoError;
use orion::hazardous::hash::blake2::blake2b::Blake2b;
use orion::hazardous::hash::sha2::sha256::Sha256;
use orion::hazardous::kdf::hkdf::{Hkdf, SHA256};
use orion::hazardous::mac::hmac::sha256::{HmacSha256, SecretKey, Tag};
use std::fmt;

/// A cryptographic step failed. Which one, and why, is kept from the caller so that it cannot reach the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication failed")
    }
}

impl std::error::Error for Failed {}

impl From<UnknownCryptoError> for Failed {
    fn from(_: UnknownCryptoError) -> Failed {
        Failed
    }
}

/// Fills `buf` with random bytes of the operating system.
///
/// # Panics
///
/// When the operating system has no randomness to give. No key can be made then and nothing could be done
/// about it further up; Linux since 3.17 and macOS never fail here once they are up.
pub fn random(buf: &mut [u8]) {
    getrandom::fill(buf).expect("the operating system gives no random bytes");
}

/// `N` random bytes; panics as [`random`] does.
pub fn random_array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}

/// HKDF-SHA-256 (RFC 5869), extract and expand.
///
/// # Panics
///
/// When `out` is empty or longer than the 8,160 bytes that RFC 5869 allows: a mistake in the calling code,
/// since no length of ours comes from outside.
pub fn hkdf(salt: &[u8], ikm: &[u8], info: &[u8], out: &mut [u8]) {
    Hkdf::<SHA256>::derive_key(salt, ikm, Some(info), out).expect("HKDF-SHA-256 gives 1 to 8,160 bytes");
}

/// SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let digest = Sha256::digest(data).expect("SHA-256 takes all that fits in memory");
    digest.as_ref().try_into().expect("a SHA-256 digest is 32 bytes")
}

/// BLAKE2b-256 (RFC 7693) of what is given bit by bit: of orion's hashes the fastest, for the contents of files.
#[derive(Clone)]
pub struct Hasher(Blake2b);

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher(Blake2b::new(32).expect("BLAKE2b has digests of 32 bytes"))
    }
}

impl Hasher {
    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data).expect("BLAKE2b takes 2^128 bytes before it is finished");
    }

    /// The digest of all that was added.
    pub fn finish(mut self) -> [u8; 32] {
        let digest = self.0.finalize().expect("it is finished once");
        digest.as_ref().try_into().expect("the digest is 32 bytes")
    }
}

/// Thirty-two secret bytes: wiped when dropped, and without `Debug`, so that no log can show them.
#[derive(Clone)]
pub(crate) struct Secret32(Tag);

impl Secret32 {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Secret32 {
        Secret32(Tag::from(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.unprotected_as_ref::<[u8]>().try_into().expect("orion's HMAC-SHA-256 tag is 32 bytes")
    }
}

/// HMAC-SHA-256 (RFC 2104) of the parts one after the other: no secret is copied to be joined.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Secret32 {
    // orion pads or hashes a key of any length, and refuses only input beyond 2^61 bytes.
    let key = SecretKey::try_from(key).expect("HMAC takes a key of any length");
    let mut state = HmacSha256::new(&key);
    for part in parts {
        state.update(part).expect("HMAC-SHA-256 takes all that fits in memory");
    }
    Secret32(state.finalize().expect("a fresh HMAC state can be finalized"))
}

/// The secret that two programs of one user share, to prove to each other that both can read the user's home.
#[derive(Clone)]
pub struct SharedSecret(Secret32);

/// Compared in constant time.
impl PartialEq for SharedSecret {
    fn eq(&self, other: &SharedSecret) -> bool {
        self.0.0 == other.0.0
    }
}

/// It shows nothing.
impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

impl SharedSecret {
    /// A new one.
    pub fn generate() -> SharedSecret {
        SharedSecret(Secret32::from_bytes(random_array()))
    }

    /// From its 32 bytes in base32.
    pub fn from_base32(text: &str) -> Option<SharedSecret> {
        base32::decode_array(text).map(|bytes| SharedSecret(Secret32::from_bytes(bytes)))
    }

    /// Its 32 bytes in base32.
    pub fn to_base32(&self) -> String {
        base32::encode(self.0.as_bytes())
    }

    /// Proves that the prover has the secret: HMAC-SHA-256 over the parts, 32 bytes.
    pub fn prove(&self, parts: &[&[u8]]) -> [u8; PROOF_LEN] {
        *hmac(self.0.as_bytes(), parts).as_bytes()
    }

    /// Whether this is the proof over the parts; takes the same time for every wrong one.
    pub fn verify(&self, parts: &[&[u8]], proof: &[u8; PROOF_LEN]) -> bool {
        hmac(self.0.as_bytes(), parts).0 == Tag::from(*proof)
    }
}

/// Bytes of a proof.
pub const PROOF_LEN: usize = 32;

/// [`hkdf`] for one secret of 32 bytes, whose input comes in parts and whose output is wiped when dropped.
/// Being one block long, the expansion is T(1) = HMAC(PRK, info ‖ 1) of RFC 5869, section 2.3.
fn derive(salt: &[u8], ikm: &[&[u8]], info: &[&[u8]]) -> Secret32 {
    let prk = hmac(salt, ikm);
    hmac(prk.as_bytes(), &[info, &[&[1]]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_its_secret_and_its_parts_alone() {
        let (one, other) = (SharedSecret::generate(), SharedSecret::generate());
        let proof = one.prove(&[b"node", &[1; 16]]);
        assert!(one.verify(&[b"node", &[1; 16]], &proof));
        assert!(!one.verify(&[b"front", &[1; 16]], &proof) && !other.verify(&[b"node", &[1; 16]], &proof));
        let read = SharedSecret::from_base32(&one.to_base32()).expect("its own text");
        assert!(read.verify(&[b"node", &[1; 16]], &proof));
    }

    #[test]
    fn derive_is_hkdf() {
        let mut expected = [0; 32];
        hkdf(b"salt", b"input", b"information", &mut expected);
        assert_eq!(*derive(b"salt", &[b"in", b"put"], &[b"info", b"rmation"]).as_bytes(), expected);

        hkdf(b"", b"input", b"", &mut expected);
        assert_eq!(*derive(b"", &[b"input"], &[]).as_bytes(), expected);
    }

    /// RFC 5869, appendix A.1.
    #[test]
    fn hkdf_of_the_rfc() {
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut out = [0; 42];
        hkdf(&salt, &[0x0b; 22], &info, &mut out);
        assert_eq!(out[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
        assert_eq!(out[34..], [0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65]);
    }

    #[test]
    fn sha256_of_the_standard() {
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn random_arrays_differ() {
        assert_ne!(random_array::<32>(), random_array::<32>());
    }
}
