//! The six digits that two people compare (egoat-protocol(7), By six digits). The dialler commits itself to its nonce before it
//! knows the acceptor's, and both nonces go into the digits with the hash of the handshake. So a machine in the middle, which
//! has two handshakes, cannot try nonces until the digits of both agree.

use super::{hkdf, sha256};
use crate::crypto::noise::HASH_LEN;

/// Bytes of a nonce, and of what the dialler commits itself by.
pub const NONCE_LEN: usize = 32;
/// The digits are below this.
pub const LIMIT: u64 = 1_000_000;

/// What the dialler sends before its nonce, in a session with this handshake hash.
pub fn commitment(handshake_hash: &[u8; HASH_LEN], nonce: &[u8; NONCE_LEN]) -> [u8; NONCE_LEN] {
    sha256(&[&b"E-Goat v1 nearby commit"[..], handshake_hash, nonce].concat())
}

/// The number whose last six decimal digits are shown, from the nonces of the dialler and of the acceptor.
pub fn number(handshake_hash: &[u8; HASH_LEN], dialler: &[u8; NONCE_LEN], acceptor: &[u8; NONCE_LEN]) -> u64 {
    let mut bytes = [0; 8];
    let info = [&b"E-Goat v1 nearby digits"[..], handshake_hash].concat();
    hkdf(b"", &[*dialler, *acceptor].concat(), &info, &mut bytes);
    u64::from_be_bytes(bytes)
}

/// The digits as people read them: two groups of three.
pub fn written(number: u64) -> String {
    let digits = number % LIMIT;
    format!("{:03} {:03}", digits / 1000, digits % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_have_six_places() {
        assert_eq!(written(0), "000 000");
        assert_eq!(written(u64::MAX), "551 615");
        assert_eq!(written(3 * LIMIT + 1_002), "001 002");
    }

    proptest! {
        /// Another hash or another nonce is another number; of a million, one may have the same digits.
        #[test]
        fn the_number_is_that_of_one_handshake(hash: [u8; 32], a: [u8; 32], b: [u8; 32], byte in 0..32usize, bit in 0..8u8) {
            let other = |of: &[u8; 32]| {
                let mut other = *of;
                other[byte] ^= 1 << bit;
                other
            };
            let here = number(&hash, &a, &b);
            prop_assert_eq!(here, number(&hash, &a, &b));
            prop_assert_ne!(here, number(&other(&hash), &a, &b));
            prop_assert_ne!(here, number(&hash, &other(&a), &b));
            prop_assert_ne!(here, number(&hash, &a, &other(&b)));
            prop_assert!(a == b || here != number(&hash, &b, &a));
            prop_assert_ne!(commitment(&hash, &a), commitment(&other(&hash), &a));
            prop_assert_ne!(commitment(&hash, &a), commitment(&hash, &other(&a)));
        }
    }
}
