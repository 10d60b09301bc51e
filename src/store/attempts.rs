//! What came of the last attempt to reach a peer: a note of the running node for `egoat outbox` (egoat-files(5),
//! ATTEMPTS). It is worth nothing after a crash, so it is not synced.
//!
//! ```text
//! TRIED NEXT CAUSE REASON
//! ```
//!
//! TRIED and NEXT are seconds of Unix time. The file is there while the peer cannot be reached; whoever removes it asks
//! the node to try now.

use std::fs;
use std::time::Duration;

use crate::crypto::keys::PublicKey;
use crate::error::{self, Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::time::{self, now_micros};

/// A failed attempt.
pub struct FailedAttempt {
    /// Seconds of Unix time, if that is known.
    pub tried: Option<u64>,
    /// When it is tried again, in seconds of Unix time: at most the pause from now, also if the clock was set back.
    pub next: u64,
    /// Why it failed, for programs: one of [`error::CAUSES`].
    pub cause: &'static str,
    /// Why it failed, in words.
    pub reason: String,
}

/// Notes a failed attempt. A note that cannot be written is not worth an error.
pub fn note(home: &Home, peer: &PublicKey, error: &Error, pause: Duration) {
    let now = now_micros() / 1_000_000;
    let path = home.attempts_path(peer);
    let (next, reason) = (now + pause.as_secs(), error.to_string().replace('\n', " "));
    let line = format!("{now} {next} {} {reason}\n", error.cause());
    let _ = file::replace_unsynced(&path, line.as_bytes());
}

/// The last attempt, if it failed.
pub fn last(home: &Home, peer: &PublicKey) -> Option<FailedAttempt> {
    let text = file::read_text(&home.attempts_path(peer), 64 << 10).ok()??;
    let mut fields = text.trim_end().splitn(4, ' ');
    let mut seconds = || fields.next()?.parse().ok();
    let (tried, next): (u64, u64) = (seconds()?, seconds()?);
    let latest = (now_micros() / 1_000_000).saturating_add(next.saturating_sub(tried));
    let word = fields.next()?;
    let cause = error::CAUSES.into_iter().find(|known| *known == word).unwrap_or(error::OTHER);
    let reason = fields.next()?.to_owned();
    Some(FailedAttempt { tried: time::believed_seconds(tried), next: next.min(latest), cause, reason })
}

/// Forgets it: the peer was reached, or is to be tried now.
pub fn clear(home: &Home, peer: &PublicKey) -> Result<()> {
    let path = home.attempts_path(peer);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::disk(Verb::Remove, &path)(cause))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_read_and_not_guessed_from_the_words() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(dir.path().to_str()).unwrap();
        let peer = PublicKey::from_bytes([9; 32]).ok().unwrap();
        let noted = |error: &Error| {
            note(&home, &peer, error, Duration::ZERO);
            let last = last(&home, &peer).unwrap();
            (last.cause, last.reason)
        };
        let (old, new) = ("one".to_owned(), "two".to_owned());
        let (cause, reason) = noted(&Error::ChangedKey { peer: "bob".into(), old, new, elsewhere: None });
        assert_eq!(cause, error::CHANGED_KEY);
        let why = reason.as_str().into();
        assert_eq!(noted(&Error::Unreachable { peer: "bob".into(), why }).0, "unreachable");
        assert_eq!(noted(&Error::failed("changed-key")), (error::OTHER, "changed-key".into()));
        // A word of another version.
        file::replace_unsynced(&home.attempts_path(&peer), b"1 2 asleep it sleeps\n").unwrap();
        let last = last(&home, &peer).unwrap();
        assert_eq!((last.cause, last.reason.as_str()), (error::OTHER, "it sleeps"));
    }
}
