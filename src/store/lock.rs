//! A file that has a lock, and something in it besides. On Unix the lock is the file's own and keeps nobody from reading.
//! Windows lets others neither read nor write what is locked, so there an empty file beside it, `NAME.guard`, is locked in
//! its place (egoat-files(5), LOGS, Locks). Files that are there for their lock alone need none of this.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::store::file;

/// An open file, which is read and written as any other. Closing it releases its lock.
pub struct Lockable {
    file: File,
    /// What is locked, if it is not the file.
    guard: Option<File>,
}

impl Lockable {
    /// Opens a private file, or makes it, for reading and writing.
    pub fn open(path: &Path) -> io::Result<Lockable> {
        let open =
            |path: &Path| file::private().read(true).write(true).create(true).truncate(false).open(path);
        let guard = if cfg!(unix) { None } else { Some(open(&guard_of(path))?) };
        Ok(Lockable { file: open(path)?, guard })
    }

    fn locked(&self) -> &File {
        self.guard.as_ref().unwrap_or(&self.file)
    }

    /// Waits for the lock.
    pub fn lock(&self) -> io::Result<()> {
        self.locked().lock()
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.locked().try_lock()
    }

    /// Shares it with others who do.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.locked().try_lock_shared()
    }

    /// Lets go of it.
    pub fn unlock(&self) -> io::Result<()> {
        self.locked().unlock()
    }

    /// Locks another file, new and nobody else's yet, that is about to take this one's name, while this one is locked.
    /// The guard needs nothing: it is that of the name.
    pub fn lock_successor(&self, new: &File) -> io::Result<()> {
        if self.guard.is_none() { new.lock() } else { Ok(()) }
    }
}

fn guard_of(path: &Path) -> PathBuf {
    let mut guard = path.as_os_str().to_owned();
    guard.push(".guard");
    guard.into()
}

impl Deref for Lockable {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}
