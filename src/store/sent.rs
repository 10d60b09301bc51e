//! Notes of transfers that the peer has stored, while the command that sent them has not ended: `partial/ID.sent`. If it is
//! killed after its goodbye, its user takes it that nothing was sent, and repeats it; the peer has forgotten the transfer by
//! then, and would store a second copy. The note tells the repeated command that all is done. It is worth nothing after a
//! power cut, so it is not synced.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::store::file;
use crate::store::home::Home;

/// Whoever sends the same later wants it once more.
const MAX_AGE: Duration = Duration::from_secs(3600);
const EXTENSION: &str = "sent";

/// A note, until it is dropped: as the last thing that its command does.
pub struct SentNote {
    path: PathBuf,
    // Locked, so that others see that its command runs.
    _file: File,
}

impl SentNote {
    /// Notes that the peer has stored the transfer `id`.
    pub fn write(home: &Home, id: &str) -> io::Result<SentNote> {
        file::create_private_dir(&home.partial_dir())?;
        let path = path(home, id);
        let file = file::private().write(true).create(true).truncate(false).open(&path)?;
        // Whoever else has it sends the same, and has sent it as well.
        let _ = file.try_lock();
        file.set_modified(SystemTime::now())?;
        Ok(SentNote { path, _file: file })
    }
}

impl Drop for SentNote {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the command that sent the transfer was killed before it could say so. The note of it goes: the next command
/// sends again. So do the notes of others that are too old.
pub fn take_left(home: &Home, id: &str) -> bool {
    let own = path(home, id);
    let entries = fs::read_dir(home.partial_dir()).into_iter().flatten().flatten();
    let notes =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == EXTENSION));
    let mut is_left = false;
    for note in notes {
        let Some(age) = age_of_left(&note) else { continue };
        if note == own || age > MAX_AGE {
            is_left |= note == own && age <= MAX_AGE;
            let _ = fs::remove_file(&note);
        }
    }
    is_left
}

/// `None` while its command runs.
fn age_of_left(note: &Path) -> Option<Duration> {
    let file = File::open(note).ok()?;
    match file.try_lock_shared() {
        Ok(()) => SystemTime::now().duration_since(file.metadata().ok()?.modified().ok()?).ok(),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

fn path(home: &Home, id: &str) -> PathBuf {
    home.partial_dir().join(format!("{id}.{EXTENSION}"))
}
