//! Notes of transfers that a command sends: `partial/ID.sent`, locked from before the first byte until the command ends. A
//! second command that sends the same waits for the first, and ends as it does. A command that is killed after its goodbye
//! is repeated by its user, who takes it that nothing was sent; the peer has forgotten the transfer by then, and would store
//! a second copy. The note tells the repeated command that all is done. It is worth nothing after a power cut, so it is not
//! synced.
//!
//! ```text
//! 0 bytes  the peer does not have the files, as far as is known
//! 1 byte   it has, since the time of modification; the history may not say so
//! 2 bytes  it has, and the history says so
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::file;
use crate::store::home::Home;
use crate::time::{micros, now_micros};

/// Whoever sends the same later wants it once more; a user or script that repeats a command does so within minutes.
const MAX_AGE: Duration = Duration::from_secs(600);
const EXTENSION: &str = "sent";
const STORED: u64 = 1;
const COMPLETE: u64 = 2;

/// A note, until it is dropped: as the last thing that its command does.
pub struct SentNote {
    path: PathBuf,
    file: File,
    /// When the peer had stored the transfer, in µs of Unix time, if it has: the history knows it by that.
    transfer: Option<u64>,
    is_complete: bool,
    /// It is the note of this command, and not of one for which this process sends.
    is_own: bool,
}

impl SentNote {
    /// The note of the transfer `id`, locked. Waits for another command that sends the same, of which `waits` tells before.
    /// The notes of others that are too old go.
    pub fn claim(home: &Home, id: &str, waits: impl FnOnce()) -> io::Result<SentNote> {
        file::create_private_dir(&home.partial_dir())?;
        remove_old(home);
        let path = path(home, id);
        let mut waits = Some(waits);
        loop {
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if let Some(waits) = waits.take() {
                        waits();
                    }
                    file.lock()?;
                }
                Err(TryLockError::Error(cause)) => return Err(cause),
            }
            let note = SentNote::read(path.clone(), file, true)?;
            // The command that had it removes it as it ends. If it has not sent the files, this one does.
            if note.is_complete || file::is_at(&note.file, &path).unwrap_or(false) {
                return Ok(note);
            }
        }
    }

    /// The note of a command for which this process sends; the command has it locked.
    pub fn of_command(home: &Home, id: &str) -> io::Result<SentNote> {
        let path = path(home, id);
        SentNote::read(path.clone(), open(&path)?, false)
    }

    fn read(path: PathBuf, file: File, is_own: bool) -> io::Result<SentNote> {
        let data = file.metadata()?;
        let stored = data.modified()?;
        let is_recent = SystemTime::now().duration_since(stored).is_ok_and(|age| age <= MAX_AGE);
        let transfer = (data.len() >= STORED && is_recent).then(|| micros(stored));
        let is_complete = transfer.is_some() && data.len() >= COMPLETE;
        Ok(SentNote { path, file, transfer, is_complete, is_own })
    }

    /// Whether the peer has the files, and the history says so.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Notes that the peer has the files; returns since when, as an earlier command may have noted.
    pub fn store(&mut self) -> io::Result<u64> {
        let transfer = *self.transfer.get_or_insert_with(now_micros);
        self.write(STORED, transfer)?;
        Ok(transfer)
    }

    /// Notes that the history says so.
    pub fn complete(&mut self) -> io::Result<()> {
        self.write(COMPLETE, self.transfer.unwrap_or_else(now_micros))?;
        self.is_complete = true;
        Ok(())
    }

    fn write(&self, state: u64, transfer: u64) -> io::Result<()> {
        self.file.set_len(state)?;
        self.file.set_modified(UNIX_EPOCH + Duration::from_micros(transfer))
    }
}

impl Drop for SentNote {
    fn drop(&mut self) {
        // A command that comes later goes on with one that is not complete.
        if self.is_own && (self.is_complete || self.transfer.is_none()) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    file::private().read(true).write(true).create(true).truncate(false).open(path)
}

/// Removes the notes that are too old, and whose commands have ended.
fn remove_old(home: &Home) {
    let entries = fs::read_dir(home.partial_dir()).into_iter().flatten().flatten();
    let notes = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    for note in notes {
        let is_old = |file: &File| {
            let stored = file.metadata().ok().and_then(|data| data.modified().ok());
            stored
                .is_some_and(|stored| SystemTime::now().duration_since(stored).is_ok_and(|age| age > MAX_AGE))
        };
        if let Ok(file) = File::options().read(true).write(true).open(&note)
            && file.try_lock().is_ok()
            && is_old(&file)
        {
            let _ = fs::remove_file(&note);
        }
    }
}

fn path(home: &Home, id: &str) -> PathBuf {
    home.partial_dir().join(format!("{id}.{EXTENSION}"))
}
