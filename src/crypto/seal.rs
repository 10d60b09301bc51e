//! Sealing at rest: the records of a log under a key of the log, and the seed under a passphrase. Both are
//! XChaCha20-Poly1305, whose 24-byte nonce is long enough to be random.
//!
//! Left out: files and their formats, and the choice of nonces and salts, which the store draws and keeps.

use super::Failed;
use super::keys::{SEED_LEN, Seed};
use super::noise::TAG_LEN;
use orion::hazardous::aead::xchacha20poly1305::{Nonce, SecretKey, Tag, XChaCha20Poly1305};
use orion::hazardous::kdf::argon2::{Argon2, CostParams, ID, Sequential};
use std::ops::RangeInclusive;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;
/// Bytes of the salt of a passphrase.
pub const SALT_LEN: usize = 16;
/// Bytes of a seed under a passphrase.
pub const SEALED_SEED_LEN: usize = SEED_LEN + TAG_LEN;

/// The key of one log, see [`Seed::log_key`].
pub struct LogKey(SecretKey);

impl LogKey {
    pub(super) fn from_bytes(bytes: [u8; 32]) -> LogKey {
        LogKey(SecretKey::from(bytes))
    }

    /// Seals a record in place and gives its tag. The nonce is random and new.
    ///
    /// # Errors
    ///
    /// When the data is too long for the cipher (256 GiB).
    pub fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Failed> {
        let tag = XChaCha20Poly1305::seal_inplace(&self.0, &Nonce::from(*nonce), Some(aad), data)?;
        tag.unprotected_as_ref::<[u8]>().try_into().map_err(|_| Failed)
    }

    /// Opens a record in place; a failure leaves the data as it was.
    pub fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Failed> {
        Ok(XChaCha20Poly1305::open_inplace(&self.0, &Nonce::from(*nonce), &Tag::from(*tag), Some(aad), data)?)
    }
}

/// What Argon2id may cost. The numbers are read from a file, so they are bounded before any memory is asked for.
const ITERATIONS: RangeInclusive<u32> = 1..=16;
const MEMORY_KIB: RangeInclusive<u32> = 8 * 1024..=1024 * 1024;
const PARALLELISM: RangeInclusive<u32> = 1..=4;

/// The cost of trying one passphrase (Argon2id, RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseParams {
    /// Passes over the memory, 1 to 16.
    pub iterations: u32,
    /// Memory in KiB, 8,192 to 1,048,576.
    pub memory_kib: u32,
    /// Lanes of the computation, 1 to 4; they are computed one after the other.
    pub parallelism: u32,
}

impl Default for PassphraseParams {
    /// 64 MiB and three passes, the second recommendation of RFC 9106, section 4, in one lane.
    fn default() -> PassphraseParams {
        PassphraseParams { iterations: 3, memory_kib: 64 * 1024, parallelism: 1 }
    }
}

impl PassphraseParams {
    fn bounded(&self) -> Result<CostParams, Failed> {
        let in_bounds = ITERATIONS.contains(&self.iterations)
            && MEMORY_KIB.contains(&self.memory_kib)
            && PARALLELISM.contains(&self.parallelism);
        if !in_bounds {
            return Err(Failed);
        }
        Ok(CostParams::new(self.iterations, self.memory_kib, self.parallelism)?)
    }

    /// Iterations, memory and parallelism, each u32 big-endian: what the seal binds.
    fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.iterations.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.memory_kib.to_be_bytes());
        bytes[8..].copy_from_slice(&self.parallelism.to_be_bytes());
        bytes
    }
}

/// Seals the seed under a passphrase. Salt and nonce are random and new.
///
/// # Errors
///
/// When the parameters are out of bounds.
pub fn seal_seed(
    seed: &Seed,
    passphrase: &[u8],
    params: &PassphraseParams,
    salt: &[u8; SALT_LEN],
    nonce: &[u8; NONCE_LEN],
) -> Result<[u8; SEALED_SEED_LEN], Failed> {
    let key = passphrase_key(passphrase, params, salt)?;
    let mut sealed = [0; SEALED_SEED_LEN];
    XChaCha20Poly1305::seal(
        &key,
        &Nonce::from(*nonce),
        seed.expose(),
        Some(&seed_aad(params, salt)),
        &mut sealed,
    )?;
    Ok(sealed)
}

/// Opens what [`seal_seed`] sealed.
///
/// # Errors
///
/// When the passphrase is wrong, anything was changed, or the parameters are out of bounds.
pub fn open_seed(
    sealed: &[u8; SEALED_SEED_LEN],
    passphrase: &[u8],
    params: &PassphraseParams,
    salt: &[u8; SALT_LEN],
    nonce: &[u8; NONCE_LEN],
) -> Result<Seed, Failed> {
    let key = passphrase_key(passphrase, params, salt)?;
    let mut seed = [0; 32];
    XChaCha20Poly1305::open(&key, &Nonce::from(*nonce), sealed, Some(&seed_aad(params, salt)), &mut seed)?;
    Ok(Seed::from_bytes(seed))
}

fn passphrase_key(
    passphrase: &[u8],
    params: &PassphraseParams,
    salt: &[u8; SALT_LEN],
) -> Result<SecretKey, Failed> {
    let mut key = [0; 32];
    Argon2::<ID, Sequential>::derive_key(passphrase, salt, &params.bounded()?, None, None, &mut key)?;
    Ok(SecretKey::from(key))
}

fn seed_aad(params: &PassphraseParams, salt: &[u8; SALT_LEN]) -> Vec<u8> {
    [b"E-Goat v1 identity".as_slice(), &params.to_bytes(), salt].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CHEAP: PassphraseParams = PassphraseParams { iterations: 1, memory_kib: 8192, parallelism: 1 };

    #[test]
    fn log_records_open_only_as_they_were_sealed() {
        let seed = Seed::from_bytes([1; 32]);
        let key = seed.log_key(b"history/a");
        let mut data = *b"record";
        let tag = key.seal_in_place(&[2; 24], b"aad", &mut data).unwrap();
        assert_ne!(&data, b"record");
        let sealed = data;

        assert_eq!(seed.log_key(b"history/b").open_in_place(&[2; 24], b"aad", &mut data, &tag), Err(Failed));
        assert_eq!(key.open_in_place(&[3; 24], b"aad", &mut data, &tag), Err(Failed));
        assert_eq!(key.open_in_place(&[2; 24], b"AAD", &mut data, &tag), Err(Failed));
        assert_eq!(key.open_in_place(&[2; 24], b"aad", &mut data, &[0; 16]), Err(Failed));
        assert_eq!(data, sealed);
        assert_eq!(seed.log_key(b"history/a").open_in_place(&[2; 24], b"aad", &mut data, &tag), Ok(()));
        assert_eq!(&data, b"record");
    }

    #[test]
    fn a_seed_opens_only_as_it_was_sealed() {
        let seed = Seed::generate();
        let sealed = seal_seed(&seed, b"goat", &CHEAP, &[1; 16], &[2; 24]).unwrap();
        let opened = open_seed(&sealed, b"goat", &CHEAP, &[1; 16], &[2; 24]).ok().unwrap();
        assert_eq!(opened.expose(), seed.expose());

        let dearer = PassphraseParams { iterations: 2, ..CHEAP };
        let mut changed = sealed;
        changed[0] ^= 1;
        assert!(open_seed(&sealed, b"sheep", &CHEAP, &[1; 16], &[2; 24]).is_err());
        assert!(open_seed(&sealed, b"goat", &dearer, &[1; 16], &[2; 24]).is_err());
        assert!(open_seed(&sealed, b"goat", &CHEAP, &[3; 16], &[2; 24]).is_err());
        assert!(open_seed(&sealed, b"goat", &CHEAP, &[1; 16], &[3; 24]).is_err());
        assert!(open_seed(&changed, b"goat", &CHEAP, &[1; 16], &[2; 24]).is_err());
    }

    #[test]
    fn parameters_are_bounded_before_use() {
        let default = PassphraseParams::default();
        assert!(default.bounded().is_ok());
        for iterations in [0, 17, u32::MAX] {
            assert!(PassphraseParams { iterations, ..default }.bounded().is_err());
        }
        for memory_kib in [0, 8191, 1_048_577, u32::MAX] {
            assert!(PassphraseParams { memory_kib, ..default }.bounded().is_err());
        }
        for parallelism in [0, 5, u32::MAX] {
            assert!(PassphraseParams { parallelism, ..default }.bounded().is_err());
        }
        let absurd = PassphraseParams { memory_kib: u32::MAX, ..default };
        assert!(open_seed(&[0; SEALED_SEED_LEN], b"", &absurd, &[0; SALT_LEN], &[0; NONCE_LEN]).is_err());
    }
}
