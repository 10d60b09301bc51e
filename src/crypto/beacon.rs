//! The key by which two nodes know each other's beacons (egoat-protocol(7), NEARBY). It leaves out what is in a beacon.

use super::keys::{PublicKey, StaticKeys};
use super::{Failed, Secret32, derive, hmac};

/// Bytes of a tag.
pub const TAG_LEN: usize = 8;

/// The secret of two nodes for their beacons. Both compute the same, so a tag covers the key of its sender as well.
pub struct BeaconKey(Secret32);

impl BeaconKey {
    /// The one use of a key agreement of two static keys: HKDF with a label of its own keeps the result apart from all else.
    ///
    /// # Errors
    ///
    /// When the agreement gives zero, which no [`PublicKey`] leads to.
    pub fn agree(own: &StaticKeys, other: &PublicKey) -> Result<BeaconKey, Failed> {
        let shared = own.pair().agree(other.as_bytes())?;
        Ok(BeaconKey(derive(b"", &[shared.unprotected_as_ref()], &[b"E-Goat v1 beacon"])))
    }

    /// The first bytes of HMAC-SHA-256 over the parts, one after the other.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&hmac(self.0.as_bytes(), parts).as_bytes()[..TAG_LEN]);
        tag
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    #[test]
    fn both_ends_compute_the_same_key_and_nobody_else_does() {
        let [alice, bob, eve] = [1, 2, 3].map(|seed| Seed::from_bytes([seed; 32]).static_keys());
        let tag = |own: &StaticKeys, other: &StaticKeys| {
            BeaconKey::agree(own, &other.public()).unwrap().tag(&[b"one", b"two"])
        };
        assert_eq!(tag(&alice, &bob), tag(&bob, &alice));
        for (own, other) in [(&eve, &alice), (&eve, &bob), (&alice, &alice)] {
            assert_ne!(tag(own, other), tag(&alice, &bob));
        }
        let key = BeaconKey::agree(&alice, &bob.public()).unwrap();
        assert_eq!(key.tag(&[b"one", b"two"]), key.tag(&[b"onetwo"]));
        assert_ne!(key.tag(&[b"one", b"two"]), key.tag(&[b"onetwo!"]));
    }
}
