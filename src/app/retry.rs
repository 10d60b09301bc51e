//! Retries what cannot be done while a peer is away, for as long as a [`Patience`] lasts.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

pub use crate::node::files::patience::Patience;

/// How long to wait before a try is repeated.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Retries after those errors, and until those deadlines, that `until` names. `again` hears of an error before each retry,
/// but of a changed key once.
pub fn retry<T>(
    mut until: impl FnMut(&Error) -> Option<Instant>,
    mut attempt: impl FnMut() -> Result<T>,
    mut again: impl FnMut(&Error),
) -> Result<T> {
    // Once told, and the end of a try at which each address had another key.
    let (mut has_told_key, mut changed_key) = (false, None);
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(deadline) = until(&error) else { return Err(error) };
        let is_key = matches!(error, Error::ChangedKey { .. });
        if Instant::now() >= deadline {
            return Err(changed_key.unwrap_or(error));
        }
        if !(is_key && std::mem::replace(&mut has_told_key, true)) {
            again(&error);
        }
        if let Error::ChangedKey { elsewhere: None, .. } = error {
            changed_key = Some(error);
        }
        thread::sleep(RETRY_AFTER);
    }
}
