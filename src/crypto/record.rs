//! The ciphers of an established connection, one a direction: they seal and open records where they lie, and
//! change the key every 2^14 records by Noise's `REKEY`, so that a key that leaks does not open what came
//! before it (Noise section 11.3; the counter goes on).
//!
//! Left out: framing. The length in front of a record is not authenticated by itself; a changed one leads to
//! other bytes being opened, and that fails.

use super::Failed;
use super::noise::{CipherState, TAG_LEN};

/// Records under one key. Known to both sides, so nothing announces a change.
pub const REKEY_INTERVAL: u32 = 1 << 14;

/// A cipher and the count of records under its present key; gone for good after a failure.
struct Direction {
    cipher: Option<CipherState>,
    records: u32,
}

impl Direction {
    fn new(cipher: CipherState) -> Direction {
        Direction { cipher: Some(cipher), records: 0 }
    }

    /// Runs `step` on the next record; a failure ends the cipher.
    fn next<T>(&mut self, step: impl FnOnce(&mut CipherState) -> Result<T, Failed>) -> Result<T, Failed> {
        let cipher = self.cipher.as_mut().ok_or(Failed)?;
        self.records += 1;
        let result = step(cipher).and_then(|done| {
            if self.records == REKEY_INTERVAL {
                cipher.rekey()?;
                self.records = 0;
            }
            Ok(done)
        });
        if result.is_err() {
            self.cipher = None;
        }
        result
    }
}

/// Seals the records that this side sends.
pub struct Sealer(Direction);

impl Sealer {
    /// Seals with the keys of a finished handshake.
    pub fn new(cipher: CipherState) -> Sealer {
        Sealer(Direction::new(cipher))
    }

    /// Seals the next record in place and gives the tag that is sent behind it.
    ///
    /// # Errors
    ///
    /// When the cipher is used up (2^64 - 1 records); from then on always, and the data must not be sent.
    pub fn seal(&mut self, data: &mut [u8]) -> Result<[u8; TAG_LEN], Failed> {
        self.0.next(|cipher| cipher.seal_in_place(b"", data))
    }
}

/// Opens the records that the other side sent, in the order they were sealed.
pub struct Opener(Direction);

impl Opener {
    /// Opens with the keys of a finished handshake.
    pub fn new(cipher: CipherState) -> Opener {
        Opener(Direction::new(cipher))
    }

    /// Opens the next record in place.
    ///
    /// # Errors
    ///
    /// When the record is not what the other side sealed next; from then on always. The data is left sealed.
    pub fn open(&mut self, data: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Failed> {
        self.0.next(|cipher| cipher.open_in_place(b"", data, tag))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pair() -> (Sealer, Opener) {
        let cipher = || CipherState::initialize_key(&[3; 32]);
        (Sealer::new(cipher()), Opener::new(cipher()))
    }

    #[test]
    fn records_cross_two_rekeys() {
        let (mut sealer, mut opener) = pair();
        for i in 0..2 * REKEY_INTERVAL + 2 {
            let mut data = i.to_be_bytes();
            let tag = sealer.seal(&mut data).unwrap();
            opener.open(&mut data, &tag).unwrap();
            assert_eq!(data, i.to_be_bytes());
        }
    }

    #[test]
    fn the_key_changes_after_exactly_the_interval() {
        let (mut sealer, _) = pair();
        let mut plain = CipherState::initialize_key(&[3; 32]);
        for _ in 0..REKEY_INTERVAL {
            assert_eq!(sealer.seal(&mut []), plain.seal_in_place(b"", &mut []));
        }
        plain.rekey().unwrap();
        assert_eq!(sealer.seal(&mut []), plain.seal_in_place(b"", &mut []));
    }

    #[test]
    fn a_failed_open_is_final() {
        let (mut sealer, mut opener) = pair();
        let mut data = *b"record";
        let tag = sealer.seal(&mut data).unwrap();
        assert_eq!(opener.open(&mut data.clone(), &[0; TAG_LEN]), Err(Failed));
        assert_eq!(opener.open(&mut data, &tag), Err(Failed));
    }

    #[test]
    fn repeated_and_swapped_records_fail() {
        let (mut sealer, mut opener) = pair();
        let first = sealer.seal(&mut []).unwrap();
        let second = sealer.seal(&mut []).unwrap();
        assert_eq!(opener.open(&mut [], &first), Ok(()));
        assert_eq!(opener.open(&mut [], &first), Err(Failed));

        let (_, mut opener) = pair();
        assert_eq!(opener.open(&mut [], &second), Err(Failed));
    }
}
