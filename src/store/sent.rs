//! Notes of transfers that the peer has stored, while the command that sent them has not ended: `partial/ID.sent`. If it is
//! killed after its goodbye, its user takes it that nothing was sent, and repeats it; the peer has forgotten the transfer by
//! then, and would store a second copy. The note tells the repeated command that all is done. It is worth nothing after a
//! power cut, so it is not synced.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::file;
use crate::store::home::Home;
use crate::time::micros;

/// Whoever sends the same later wants it once more; a user or script that repeats a command does so within minutes.
const MAX_AGE: Duration = Duration::from_secs(600);
const EXTENSION: &str = "sent";

/// A note, until it is dropped: as the last thing that its command does.
pub struct SentNote {
    /// When the peer had stored the transfer, in µs of Unix time: the history knows it by that.
    pub transfer: u64,
    /// Whether the history has the transfer. Then the file has a byte in it.
    pub is_complete: bool,
    path: PathBuf,
    // Locked, so that others see that its command runs.
    file: File,
}

impl SentNote {
    /// Notes that the peer has stored the transfer `id`, at that time.
    pub fn write(home: &Home, id: &str, transfer: u64) -> io::Result<SentNote> {
        file::create_private_dir(&home.partial_dir())?;
        let path = path(home, id);
        let file = file::private().write(true).create(true).truncate(false).open(&path)?;
        // Whoever else has it sends the same, and has sent it as well.
        let _ = file.try_lock();
        file.set_len(0)?;
        file.set_modified(UNIX_EPOCH + Duration::from_micros(transfer))?;
        Ok(SentNote { transfer, is_complete: false, path, file })
    }

    /// Notes that the history has it.
    pub fn complete(&mut self) -> io::Result<()> {
        self.file.set_len(1)?;
        self.file.set_modified(UNIX_EPOCH + Duration::from_micros(self.transfer))?;
        self.is_complete = true;
        Ok(())
    }

    /// Leaves the note to the command for which this process has sent the transfer.
    pub fn leave(mut self) {
        self.is_complete = false;
    }

    /// The note of a command that sent the transfer and was killed before it could say so. The notes of others that are too
    /// old go.
    pub fn left(home: &Home, id: &str) -> Option<SentNote> {
        let own = path(home, id);
        let entries = fs::read_dir(home.partial_dir()).into_iter().flatten().flatten();
        let notes = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == EXTENSION));
        let mut left = None;
        for note in notes {
            let Some((file, stored)) = left_at(&note) else { continue };
            if SystemTime::now().duration_since(stored).is_ok_and(|age| age > MAX_AGE) {
                let _ = fs::remove_file(&note);
            } else if note == own {
                let is_complete = file.metadata().is_ok_and(|data| data.len() > 0);
                left = Some(SentNote { transfer: micros(stored), is_complete, path: note, file });
            }
        }
        left
    }
}

impl Drop for SentNote {
    fn drop(&mut self) {
        // A command that comes later goes on with one that is not complete.
        if self.is_complete {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A note whose command has ended, now locked, and its time; `None` while its command runs.
fn left_at(note: &Path) -> Option<(File, SystemTime)> {
    let file = File::options().read(true).write(true).open(note).ok()?;
    file.try_lock().ok()?;
    let stored = file.metadata().ok()?.modified().ok()?;
    Some((file, stored))
}

fn path(home: &Home, id: &str) -> PathBuf {
    home.partial_dir().join(format!("{id}.{EXTENSION}"))
}
