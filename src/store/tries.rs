//! When tries to pair by six digits were used up that came to nothing (egoat-files(5), TRIES): a line each, in seconds of Unix
//! time. Whoever can cut a try off gets one guess by it, so a home has few of them.

use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::time::now_micros;

/// Tries in an hour.
pub const MAX_TRIES: usize = 3;
/// Seconds for which a try counts.
const SPAN: u64 = 3600;
const MAX_LEN: u64 = 4096;

/// A try that is used up.
pub struct UsedTry(u64);

/// The tries that count. One that is far ahead was noted by a clock that was wrong.
fn load(home: &Home, now: u64) -> Result<Vec<u64>> {
    let path = home.tries_path();
    let text = file::read_text(&path, MAX_LEN).map_err(Error::disk(Verb::Read, &path))?.unwrap_or_default();
    let counts = |used: &u64| now.abs_diff(*used) < SPAN;
    Ok(text.lines().filter_map(|line| line.parse().ok()).filter(counts).collect())
}

fn save(home: &Home, tries: &[u64]) -> Result<()> {
    let path = home.tries_path();
    let text: String = tries.iter().map(|used| format!("{used}\n")).collect();
    file::replace(&path, text.as_bytes()).map_err(Error::disk(Verb::Write, &path))
}

fn none_left() -> Error {
    Error::NotPaired {
        what: "three tries within an hour came to nothing, so something may be cutting in".into(),
        hint: "pair by a link: `egoat invite` prints one, which you send by another way".into(),
    }
}

/// An error if there are none left.
pub fn ensure_left(home: &Home) -> Result<()> {
    if load(home, now_micros() / 1_000_000)?.len() >= MAX_TRIES { Err(none_left()) } else { Ok(()) }
}

/// Uses one up, which is durable when this returns; an error if there are none left.
pub fn use_up(home: &Home) -> Result<UsedTry> {
    let _lock = home.lock_records()?;
    let now = now_micros() / 1_000_000;
    let mut tries = load(home, now)?;
    if tries.len() >= MAX_TRIES {
        return Err(none_left());
    }
    tries.push(now);
    save(home, &tries)?;
    Ok(UsedTry(now))
}

/// It has come to something, so it does not count.
pub fn give_back(home: &Home, used: &UsedTry) -> Result<()> {
    let _lock = home.lock_records()?;
    let mut tries = load(home, now_micros() / 1_000_000)?;
    if let Some(at) = tries.iter().position(|time| *time == used.0) {
        tries.remove(at);
    }
    save(home, &tries)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_an_hour_and_those_that_succeed_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(dir.path().to_str()).unwrap();
        for _ in 0..5 {
            give_back(&home, &use_up(&home).unwrap()).unwrap();
        }
        for _ in 0..MAX_TRIES {
            ensure_left(&home).unwrap();
            use_up(&home).unwrap();
        }
        assert!(matches!(ensure_left(&home), Err(Error::NotPaired { .. })));
        assert!(matches!(use_up(&home), Err(Error::NotPaired { .. })));
        let now = now_micros() / 1_000_000;
        save(&home, &[now - SPAN, now - SPAN + 30, now + SPAN + 30, now]).unwrap();
        assert_eq!(load(&home, now).unwrap(), [now - SPAN + 30, now]);
        use_up(&home).unwrap();
        assert!(use_up(&home).is_err());
    }
}
