//! The identity file: the seed from which every key of this node is derived (egoat-files(5), IDENTITY). It leaves out
//! how a passphrase is asked for.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::crypto::base32;
use crate::crypto::keys::Seed;
use crate::crypto::random_array;
use crate::crypto::seal::{NONCE_LEN, PassphraseParams, SALT_LEN, SEALED_SEED_LEN, open_seed, seal_seed};
use crate::error::{Error, Result, Verb};
use crate::store::file;

const FIRST_LINE: &str = "E-Goat identity 1";
/// The file has two short lines; more is something else.
const MAX_LEN: u64 = 4096;

/// What the file holds.
pub enum Identity {
    /// The seed in the clear.
    Open(Seed),
    /// The seed under a passphrase.
    Sealed(Sealed),
}

/// A seed under a passphrase.
pub struct Sealed {
    params: PassphraseParams,
    salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
    sealed: [u8; SEALED_SEED_LEN],
}

impl Sealed {
    /// Opens it; `None` for a wrong passphrase.
    pub fn open(&self, passphrase: &[u8]) -> Option<Seed> {
        open_seed(&self.sealed, passphrase, &self.params, &self.salt, &self.nonce).ok()
    }
}

/// Reads the identity at `path`, or makes a new one there.
pub fn load_or_create(path: &Path) -> Result<Identity> {
    match load_if_there(path)? {
        Some(identity) => Ok(identity),
        None => match create(path) {
            // Another process was faster.
            Err(Error::Disk { cause, .. }) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
                load_or_create(path)
            }
            created => created,
        },
    }
}

/// Reads the identity at `path`, if there is one.
pub fn load_if_there(path: &Path) -> Result<Option<Identity>> {
    match fs::File::open(path) {
        Ok(file) => load(path, file).map(Some),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::disk(Verb::Open, path)(cause)),
    }
}

fn create(path: &Path) -> Result<Identity> {
    let seed = Seed::generate();
    file::create_whole(path, plain_text(&seed).as_bytes()).map_err(Error::disk(Verb::Create, path))?;
    Ok(Identity::Open(seed))
}

fn plain_text(seed: &Seed) -> String {
    format!("{FIRST_LINE}\nseed {}\n", base32::encode(seed.expose()))
}

fn load(path: &Path, file: fs::File) -> Result<Identity> {
    let bad =
        |why: &str, hint: &str| Error::Identity { path: path.to_owned(), why: why.into(), hint: hint.into() };
    let found = file.metadata().map_err(Error::disk(Verb::Read, path))?;
    if file::is_exposed(&found) {
        return Err(Error::Exposed {
            path: path.to_owned(),
            why: "others can read it".into(),
            hint: format!("if nobody has, `chmod 600 {}`", path.display()),
        });
    }
    let mut text = String::new();
    file.take(MAX_LEN).read_to_string(&mut text).map_err(Error::disk(Verb::Read, path))?;
    parse(&text).ok_or_else(|| bad("it is not an identity of this version", "restore it from a backup"))
}

fn parse(text: &str) -> Option<Identity> {
    let (first, rest) = text.split_once('\n')?;
    if first != FIRST_LINE {
        return None;
    }
    match rest.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        ["seed", seed] => Some(Identity::Open(Seed::from_bytes(base32::decode_array(seed)?))),
        ["argon2id", iterations, memory, parallelism, salt, nonce, sealed] => {
            Some(Identity::Sealed(Sealed {
                params: PassphraseParams {
                    iterations: iterations.parse().ok()?,
                    memory_kib: memory.parse().ok()?,
                    parallelism: parallelism.parse().ok()?,
                },
                salt: base32::decode_array(salt)?,
                nonce: base32::decode_array(nonce)?,
                sealed: base32::decode_array(sealed)?,
            }))
        }
        _ => None,
    }
}

/// Replaces the file with one that holds the same seed under `passphrase`, or in the clear when it is empty.
pub fn set_passphrase(path: &Path, seed: &Seed, passphrase: &[u8]) -> Result<()> {
    let text = if passphrase.is_empty() { plain_text(seed) } else { sealed_text(seed, passphrase)? };
    file::replace(path, text.as_bytes()).map_err(Error::disk(Verb::Replace, path))
}

fn sealed_text(seed: &Seed, passphrase: &[u8]) -> Result<String> {
    let params = PassphraseParams::default();
    let (salt, nonce) = (random_array(), random_array());
    let sealed = seal_seed(seed, passphrase, &params, &salt, &nonce)
        .map_err(|_| Error::failed("the passphrase cannot be used"))?;
    Ok(format!(
        "{FIRST_LINE}\nargon2id {} {} {} {} {} {}\n",
        params.iterations,
        params.memory_kib,
        params.parallelism,
        base32::encode(&salt),
        base32::encode(&nonce),
        base32::encode(&sealed)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_identity_reads_back_the_same() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("identity");
        let (Ok(Identity::Open(first)), Ok(Identity::Open(again))) =
            (load_or_create(&path), load_or_create(&path))
        else {
            panic!("no open identity");
        };
        assert_eq!(first.expose(), again.expose());
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_passphrase_seals_and_its_removal_opens() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("identity");
        let Ok(Identity::Open(seed)) = load_or_create(&path) else { panic!("no open identity") };
        set_passphrase(&path, &seed, b"correct horse").expect("set");
        let Ok(Identity::Sealed(sealed)) = load_or_create(&path) else { panic!("not sealed") };
        assert!(sealed.open(b"wrong").is_none());
        assert_eq!(sealed.open(b"correct horse").expect("opens").expose(), seed.expose());
        set_passphrase(&path, &seed, b"").expect("remove");
        assert!(matches!(load_or_create(&path), Ok(Identity::Open(_))));
    }

    #[cfg(unix)]
    #[test]
    fn one_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("identity");
        assert!(load_or_create(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(load_or_create(&path), Err(Error::Exposed { .. })));
    }

    #[test]
    fn excessive_parameters_are_refused_before_use() {
        let b = |n: usize| base32::encode(&vec![1; n]);
        let text = format!("{FIRST_LINE}\nargon2id 4000000000 4000000000 1 {} {} {}\n", b(16), b(24), b(48));
        let Some(Identity::Sealed(sealed)) = parse(&text) else { panic!("parses") };
        assert!(sealed.open(b"x").is_none(), "refused at once instead of filling the memory");
    }

    #[test]
    fn other_files_are_refused() {
        for text in [
            "",
            "seed x\n",
            "E-Goat identity 2\nseed aa\n",
            "E-Goat identity 1\nseed aa\n",
            "E-Goat identity 1\n",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
