//! The requests file: strangers who dialled and wait to be accepted (egoat-files(5), REQUESTS).
//!
//! ```text
//! KEY NAME ADDRESS SECONDS
//! ```
//!
//! NAME is what the stranger calls itself, made harmless; ADDRESS is where it can be dialled, or `-`; SECONDS is the Unix
//! time of its last try. At most [`MAX_REQUESTS`] are kept, the latest ones.

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::time::now_micros;
use crate::wire::address::Address;

/// Requests that are kept.
pub const MAX_REQUESTS: usize = 64;
/// Seconds in which tries of one stranger are noted as one.
const SAME: u64 = 60;
const MAX_LEN: u64 = 1 << 20;

/// A stranger's wish to be accepted.
pub struct Request {
    /// Its proven key.
    pub key: PublicKey,
    /// A name that it suggests.
    pub name: String,
    /// Where it says that it listens.
    pub address: Option<Address>,
    /// Seconds of Unix time.
    pub seconds: u64,
}

impl Request {
    fn parse(line: &str) -> Option<Request> {
        let [key, name, address, seconds] = line.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let address = if address == "-" { None } else { Some(address.parse().ok()?) };
        Some(Request {
            key: key.parse().ok()?,
            name: name.to_owned(),
            address,
            seconds: seconds.parse().ok()?,
        })
    }

    fn line(&self) -> String {
        let address = self.address.as_ref().map_or("-".to_owned(), Address::to_string);
        format!("{} {} {address} {}", self.key, self.name, self.seconds)
    }
}

/// All requests, oldest first. Lines that are none are left out: strangers' wishes are not worth an error.
pub fn load(home: &Home) -> Result<Vec<Request>> {
    let path = home.requests_path();
    let text = file::read_text(&path, MAX_LEN).map_err(Error::disk(Verb::Read, &path))?.unwrap_or_default();
    Ok(text.lines().filter_map(Request::parse).collect())
}

/// Notes a request; says whether it is the first of this key, and `None` if it is, but no more `may` be noted now. Who is
/// noted already, and comes again within a minute, is not worth a write, unless something has changed.
pub fn note(
    home: &Home,
    key: PublicKey,
    name: String,
    address: Option<Address>,
    may: impl FnOnce() -> bool,
) -> Result<Option<bool>> {
    let seconds = now_micros() / 1_000_000;
    let known = load(home)?.into_iter().find(|request| request.key == key);
    let is_recent = known.as_ref().is_some_and(|known| seconds.abs_diff(known.seconds) < SAME);
    let is_same = known.as_ref().is_some_and(|known| known.name == name && known.address == address);
    if is_recent && is_same || (is_recent || known.is_none()) && !may() {
        return Ok(known.map(|_| false));
    }
    edit(home, |requests| {
        let before = requests.len();
        requests.retain(|request| request.key != key);
        let first = requests.len() == before;
        requests.push(Request { key, name, address, seconds });
        let excess = requests.len().saturating_sub(MAX_REQUESTS);
        requests.drain(..excess);
        Some(first)
    })
}

/// Takes the request of `key` out.
pub fn remove(home: &Home, key: &PublicKey) -> Result<()> {
    edit(home, |requests| requests.retain(|request| request.key != *key))
}

fn edit<T>(home: &Home, change: impl FnOnce(&mut Vec<Request>) -> T) -> Result<T> {
    let _lock = home.lock_records()?;
    let mut requests = load(home)?;
    let result = change(&mut requests);
    let text: String = requests.iter().map(|request| request.line() + "\n").collect();
    let path = home.requests_path();
    file::replace(&path, text.as_bytes()).map_err(Error::disk(Verb::Replace, &path))?;
    Ok(result)
}
