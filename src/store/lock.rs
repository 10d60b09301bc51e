//! A file that has a lock, and something in it besides. On Unix the lock is the file's own and keeps nobody from reading.
//! Windows lets others neither read nor write what is locked, so there an empty file beside it, `NAME.guard`, is locked in
//! its place (egoat-files(5), LOGS, Locks). Files that are there for their lock alone need none of this.
//!
//! A process that was stopped keeps its locks, so nobody waits for one without an end: [`wait_for`].

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, Verb};
use crate::store::file;

/// How long a lock is waited for. They are held for one append and its sync: milliseconds, on slow disks a second.
pub const MAX_WAIT: Duration = Duration::from_secs(10);
/// The pause after the first try; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
/// The longest pause. A process that appends again and again lets go for some 10 µs each time, and only frequent tries hit
/// such a gap; a thousand a second cost 1 % of a processor.
const MAX_PAUSE: Duration = Duration::from_millis(1);

/// Takes the lock of a file. If another process keeps it for [`MAX_WAIT`], the error names that process.
pub fn wait_for(file: &File, path: &Path) -> Result<()> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(cause)) => return Err(Error::disk(Verb::Lock, path)(cause)),
            Err(TryLockError::WouldBlock) if start.elapsed() >= MAX_WAIT => {
                return Err(Error::Locked { path: path.to_owned(), holder: holder(file) });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(pause),
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// The process that holds the lock of a file: Linux tells, in proc_locks(5).
pub fn holder(file: &File) -> Option<u32> {
    let inode = file::inode(&file.metadata().ok()?).to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK ADVISORY WRITE 4711 fd:01:1234567 0 EOF
    let holders = locks.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, _, process, place, ..] if place.ends_with(&format!(":{inode}")) => {
            process.parse().ok()
        }
        _ => None,
    });
    // Other file systems have files with the same number. The device does not tell them apart: btrfs and overlayfs show
    // another one here than stat(2) does.
    holders.into_iter().find(|process| has_open(*process, file))
}

fn has_open(process: u32, file: &File) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|descriptor| fs::metadata(descriptor.path()).ok())
        .any(|open| file::is_same(file, &open).unwrap_or(false))
}

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

    /// Waits for the lock. `path` is that of the file, for the error.
    pub fn lock(&self, path: &Path) -> Result<()> {
        wait_for(self.locked(), path)
    }

    /// The process that holds its lock, where the system tells.
    pub fn holder(&self) -> Option<u32> {
        holder(self.locked())
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> std::result::Result<(), TryLockError> {
        self.locked().try_lock()
    }

    /// Shares it with others who do.
    pub fn try_lock_shared(&self) -> std::result::Result<(), TryLockError> {
        self.locked().try_lock_shared()
    }

    /// Lets go of it.
    pub fn unlock(&self) -> io::Result<()> {
        self.locked().unlock()
    }

    /// Locks another file, new and nobody else's yet, that is about to take this one's name, while this one is locked.
    /// The guard needs nothing: it is that of the name.
    pub fn lock_successor(&self, new: &File, path: &Path) -> Result<()> {
        if self.guard.is_none() { wait_for(new, path) } else { Ok(()) }
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
