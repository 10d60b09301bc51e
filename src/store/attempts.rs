//! What came of the last attempt to reach a peer: a note of the running node for `egoat outbox` (egoat-files(5),
//! ATTEMPTS). It is worth nothing after a crash, so it is not synced.
//!
//! ```text
//! TRIED NEXT REASON
//! ```
//!
//! TRIED and NEXT are seconds of Unix time. The file is there while the peer cannot be reached; whoever removes it asks
//! the node to try now.

use std::fs;
use std::time::Duration;

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::time::{self, now_micros};

/// A failed attempt.
pub struct FailedAttempt {
    /// Seconds of Unix time, if that is known.
    pub tried: Option<u64>,
    /// When it is tried again, in seconds of Unix time: at most the pause from now, also if the clock was set back.
    pub next: u64,
    /// Why it failed.
    pub reason: String,
}

/// Notes a failed attempt. A note that cannot be written is not worth an error.
pub fn note(home: &Home, peer: &PublicKey, reason: &str, pause: Duration) {
    let now = now_micros() / 1_000_000;
    let path = home.attempts_path(peer);
    let line = format!("{now} {} {}\n", now + pause.as_secs(), reason.replace('\n', " "));
    let _ = file::replace_unsynced(&path, line.as_bytes());
}

/// The last attempt, if it failed.
pub fn last(home: &Home, peer: &PublicKey) -> Option<FailedAttempt> {
    let text = file::read_text(&home.attempts_path(peer), 64 << 10).ok()??;
    let mut fields = text.trim_end().splitn(3, ' ');
    let mut seconds = || fields.next()?.parse().ok();
    let (tried, next): (u64, u64) = (seconds()?, seconds()?);
    let latest = (now_micros() / 1_000_000).saturating_add(next.saturating_sub(tried));
    let reason = fields.next()?.to_owned();
    Some(FailedAttempt { tried: time::believed_seconds(tried), next: next.min(latest), reason })
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
