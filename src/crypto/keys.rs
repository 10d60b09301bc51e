//! Who a node is: the seed of its identity, the keys derived from it, a peer's public key, an invite's token.
//!
//! The seed is the only secret that is kept. Each key is derived from it with HKDF-SHA-256 under a label of
//! its own, so that the Noise key is used for Noise alone. Left out: files (the store writes the seed) and
//! changing keys, since a new seed is a new identity.

use super::noise::KeyPair;
use super::{Failed, Secret32, base32, derive, hkdf, random_array, seal, sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Bytes of a seed.
pub const SEED_LEN: usize = 32;

/// The secret that an identity is: 32 random bytes.
pub struct Seed(Secret32);

impl Seed {
    /// A new identity.
    pub fn generate() -> Seed {
        Seed::from_bytes(random_array())
    }

    /// The identity that was stored.
    pub fn from_bytes(bytes: [u8; SEED_LEN]) -> Seed {
        Seed(Secret32::from_bytes(bytes))
    }

    /// The seed itself, for writing the identity file and nothing else.
    pub(crate) fn expose(&self) -> &[u8; SEED_LEN] {
        self.0.as_bytes()
    }

    /// The keys that prove this identity to peers.
    pub fn static_keys(&self) -> StaticKeys {
        StaticKeys::from_secret(*derive(b"", &[self.expose()], &[b"E-Goat v1 noise static"]).as_bytes())
    }

    /// The keys that prove no more than that whoever fetches this share is the same as before: they are used for it alone.
    pub fn getter_keys(&self, share: &[u8; INVITE_ID_LEN]) -> StaticKeys {
        StaticKeys::from_secret(*derive(b"", &[self.expose()], &[b"E-Goat v1 get", share]).as_bytes())
    }

    /// The key that seals the log named `log_id`; no two logs share one.
    pub fn log_key(&self, log_id: &[u8]) -> seal::LogKey {
        seal::LogKey::from_bytes(*derive(b"", &[self.expose()], &[b"E-Goat v1 log", log_id]).as_bytes())
    }
}

/// A node's X25519 keys. A clone shares the secret instead of copying it.
#[derive(Clone)]
pub struct StaticKeys {
    pair: Arc<KeyPair>,
    public: PublicKey,
}

impl StaticKeys {
    /// The keys of a private key: for tests, where [`Seed::static_keys`] does not give what they need.
    pub fn from_secret(secret: [u8; 32]) -> StaticKeys {
        let pair = KeyPair::from_secret(secret);
        // Not checked as a peer's key is: what X25519 computes from the base point is canonical, and never
        // of low order since a clamped scalar is no multiple of the base point's prime order.
        let public = PublicKey(*pair.public());
        StaticKeys { pair: Arc::new(pair), public }
    }

    /// The key that peers know this node by.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(super) fn pair(&self) -> Arc<KeyPair> {
        Arc::clone(&self.pair)
    }
}

/// The static X25519 key that a peer is known by. Two are equal when their bytes are, which holds for no
/// two spellings of one key because [`PublicKey::from_bytes`] takes one spelling only. (orion's own
/// `PublicKey` ignores the top bit in comparisons; it is not used outside [`super::noise`].)
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// The u-coordinates, little-endian, of the points of order 2, 4 and 8 on Curve25519 and its twist. A key
/// agreement with any of them gives zero, whatever the private key (RFC 7748, section 6.1). The list is that of
/// <https://cr.yp.to/ecdh.html>, without the encodings there that are not canonical and so refused anyway.
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

impl PublicKey {
    /// Takes a key as it came from outside.
    ///
    /// # Errors
    ///
    /// When the bytes are not the canonical encoding of a u-coordinate, that is not below 2^255 - 19 (bit 255
    /// set among them), or are one of the five points of low order. Checked by list: no key agreement is spent.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<PublicKey, Failed> {
        if !is_canonical(&bytes) || LOW_ORDER.contains(&bytes) {
            return Err(Failed);
        }
        Ok(PublicKey(bytes))
    }

    /// The 32 bytes that go over the wire.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What two people read to each other to compare keys: 120 bits of a hash as six groups of four letters.
    /// Finding a second key with a given fingerprint takes about 2^120 tries.
    pub fn fingerprint(&self) -> String {
        let hash = sha256(&[b"E-Goat v1 fingerprint".as_slice(), &self.0].concat());
        let groups: Vec<String> = hash[..15].chunks(5).map(base32::encode).collect();
        // Five bytes are eight letters: two groups.
        groups.iter().flat_map(|g| [&g[..4], &g[4..]]).collect::<Vec<_>>().join("-")
    }
}

/// What two people compare to be sure of both their keys at once: 60 digits in twelve groups, the same on both sides
/// (egoat-protocol(7), Fingerprints). A second key that gives some of them takes about 2^100 tries for each half.
pub fn safety_number(one: &PublicKey, other: &PublicKey) -> String {
    let (low, high) = if one.0 <= other.0 { (one, other) } else { (other, one) };
    let mut bytes = [0; 60];
    hkdf(&[], &[low.0, high.0].concat(), b"E-Goat v1 safety number", &mut bytes);
    let group = |five: &[u8]| {
        let number = five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    };
    bytes.chunks(5).map(group).collect::<Vec<_>>().join(" ")
}

/// Whether the little-endian number is below p = 2^255 - 19, whose bytes are ed ff .. ff 7f.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let top_is_that_of_p = bytes[31] == 0x7f && bytes[1..31].iter().all(|b| *b == 0xff);
    bytes[31] <= 0x7f && !(top_is_that_of_p && bytes[0] >= 0xed)
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = Failed;

    fn from_str(text: &str) -> Result<PublicKey, Failed> {
        PublicKey::from_bytes(base32::decode_array(text).ok_or(Failed)?)
    }
}

/// Bytes of an invite's token.
pub const TOKEN_LEN: usize = 16;
/// Bytes of an invite's public name.
pub const INVITE_ID_LEN: usize = 16;

/// The one-time secret of an invite link: 16 random bytes, from which both sides derive the name of the invite
/// and the secret that goes into the handshake. Its use is over in a day and it is printed on a screen, so it
/// is not wiped from memory.
#[derive(Clone)]
pub struct InviteToken([u8; TOKEN_LEN]);

impl InviteToken {
    /// The token of a new invite.
    pub fn generate() -> InviteToken {
        InviteToken(random_array())
    }

    /// The token that was stored.
    pub fn from_bytes(bytes: [u8; TOKEN_LEN]) -> InviteToken {
        InviteToken(bytes)
    }

    /// Its bytes, for a log that seals them.
    pub fn as_bytes(&self) -> &[u8; TOKEN_LEN] {
        &self.0
    }

    /// As it stands in a link.
    pub fn to_base32(&self) -> String {
        base32::encode(&self.0)
    }

    /// Reads what stands in a link.
    pub fn from_base32(text: &str) -> Option<InviteToken> {
        base32::decode_array(text).map(InviteToken)
    }

    /// The public name of the invite, which message 1 of the handshake carries: it says nothing of the token.
    pub fn invite_id(&self) -> [u8; INVITE_ID_LEN] {
        let mut id = [0; INVITE_ID_LEN];
        hkdf(b"", &self.0, b"E-Goat v1 invite id", &mut id);
        id
    }

    /// The secret that goes into the psk of the handshake.
    pub fn psk_token(&self) -> [u8; 32] {
        let mut token = [0; 32];
        hkdf(b"", &self.0, b"E-Goat v1 invite token", &mut token);
        token
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_seed_are_stable_and_distinct() {
        let seed = Seed::from_bytes([7; 32]);
        assert_eq!(seed.static_keys().public(), Seed::from_bytes([7; 32]).static_keys().public());
        assert_ne!(seed.static_keys().public(), Seed::from_bytes([8; 32]).static_keys().public());
        assert_ne!(*seed.static_keys().public().as_bytes(), [7; 32]);
    }

    /// RFC 7748, section 6.1: Alice's keys.
    #[test]
    fn public_key_of_a_private_key() {
        let secret = *b"\x77\x07\x6d\x0a\x73\x18\xa5\x7d\x3c\x16\xc1\x72\x51\xb2\x66\x45\
                        \xdf\x4c\x2f\x87\xeb\xc0\x99\x2a\xb1\x77\xfb\xa5\x1d\xb9\x2c\x2a";
        let public = *b"\x85\x20\xf0\x09\x89\x30\xa7\x54\x74\x8b\x7d\xdc\xb4\x3e\xf7\x5a\
                        \x0d\xbf\x3a\x0d\x26\x38\x1a\xf4\xeb\xa4\xa9\x8e\xaa\x9b\x4e\x6a";
        assert_eq!(*StaticKeys::from_secret(secret).public().as_bytes(), public);
    }

    #[test]
    fn the_list_of_low_order_points_is_what_a_key_agreement_refuses() {
        for point in LOW_ORDER {
            assert!(KeyPair::generate().agree(&point).is_err());
            assert_eq!(PublicKey::from_bytes(point), Err(Failed));
        }
    }

    #[test]
    fn only_canonical_encodings_are_keys() {
        let p = |low: u8| {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            bytes[31] = 0x7f;
            bytes
        };
        assert!(PublicKey::from_bytes(p(0xeb)).is_ok(), "p - 2");
        // From p - 1, which is of low order, to 2^255 - 1.
        for low in 0xec..=0xff {
            assert_eq!(PublicKey::from_bytes(p(low)), Err(Failed));
        }

        let mut key = *Seed::generate().static_keys().public().as_bytes();
        assert!(PublicKey::from_bytes(key).is_ok());
        key[31] |= 0x80;
        assert_eq!(PublicKey::from_bytes(key), Err(Failed), "bit 255");
    }

    #[test]
    fn keys_are_written_and_read() {
        let key = Seed::generate().static_keys().public();
        let text = key.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text.to_uppercase().parse::<PublicKey>(), Err(Failed));
        assert_eq!(text[1..].parse::<PublicKey>(), Err(Failed));
        assert_eq!("a".repeat(52).parse::<PublicKey>(), Err(Failed), "the point zero");
    }

    #[test]
    fn a_fingerprint_is_six_groups_of_four() {
        let key = Seed::from_bytes([1; 32]).static_keys().public();
        let fingerprint = key.fingerprint();
        assert_eq!(fingerprint.split('-').map(str::len).collect::<Vec<_>>(), [4; 6]);
        let hash = sha256(&[b"E-Goat v1 fingerprint".as_slice(), key.as_bytes()].concat());
        assert_eq!(fingerprint.replace('-', ""), base32::encode(&hash[..15]));
    }

    #[test]
    fn both_sides_derive_the_same_from_a_token() {
        let token = InviteToken::generate();
        let read = InviteToken::from_base32(&token.to_base32()).unwrap();
        assert_eq!(token.invite_id(), read.invite_id());
        assert_eq!(token.psk_token(), read.psk_token());
        assert_ne!(token.invite_id(), token.psk_token()[..16]);
        assert!(InviteToken::from_base32("aaaa").is_none());
    }
}
