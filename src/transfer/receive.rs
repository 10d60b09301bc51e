//! The receiving end of a transfer: files are staged in a folder of their own, and come to their names only when they
//! are whole and on disk. Never over another file. It leaves out who may send.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::crypto::base32;
use crate::error::{Error, Result};
use crate::net::session::{PING_AFTER, Session};
use crate::store::file;
use crate::transfer::manifest::{Cursor, Entry, MAX_ENTRIES, Manifest};
use crate::transfer::path::numbered;
use crate::wire::message::{Declined, Failure, Message};

/// Written bytes after which a file is synced in between, so that the last sync is short: the sender waits for it, and
/// takes a minute of silence for the end.
const SYNC_EVERY: u64 = 32 << 20;

/// The start of a staging folder's name; the transfer's name follows.
const STAGING: &str = ".egoat-";
/// The file in it that is locked while files arrive.
const LOCK: &str = "lock";
/// Bytes of all MANIFEST messages of a transfer: 160 for each of the most entries.
const MAX_MANIFESTS: usize = 16 << 20;

/// Where files go, and how much.
pub struct Place {
    /// The folder; made if needed.
    pub dir: PathBuf,
    /// The most bytes of one transfer.
    pub max_bytes: u64,
}

/// A file that is in place.
pub struct Received {
    /// Where.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
}

/// Takes one transfer from an accepted session. When it returns, the files are in place and the sender knows.
pub fn receive(mut session: Session, place: &Place) -> Result<Vec<Received>> {
    let (transfer, manifest) = match offered(&mut session)? {
        Ok(offer) => offer,
        Err(what) => {
            let error = session.broken(what);
            session.finish(&Message::Decline(Declined::Manifest))?;
            return Err(error);
        }
    };
    if manifest.bytes() > place.max_bytes {
        let peer = session.label().to_owned();
        session.finish(&Message::Decline(Declined::TooLarge))?;
        return Err(Error::failed(format!("{peer} offered more than --max-file allows, and was refused")));
    }
    let staging = match Staging::create(place, &transfer) {
        Ok(staging) => staging,
        Err(error) => {
            session.finish(&Message::Decline(if is_full(&error) {
                Declined::Full
            } else {
                Declined::Disk
            }))?;
            return Err(error);
        }
    };
    session.send(&Message::Take)?;
    match take(&mut session, staging, &manifest) {
        Ok(received) => {
            // If this is lost, the files are in place all the same, and that is what is told here.
            let _ = session.finish(&Message::Stored);
            Ok(received)
        }
        Err(error) => {
            if matches!(error, Error::Disk { .. }) {
                session.finish(&Message::Failed(if is_full(&error) {
                    Failure::Full
                } else {
                    Failure::Disk
                }))?;
            }
            Err(error)
        }
    }
}

fn is_full(error: &Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, Error::Disk { cause, .. } if matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}

/// Reads OFFER and MANIFEST; the inner error is what is wrong with them.
fn offered(session: &mut Session) -> Result<std::result::Result<([u8; 16], Manifest), String>> {
    const DURING: &str = "waiting for an offer";
    let (transfer, count, bytes) = session.read_as(DURING, |message| match message {
        Message::Offer { transfer, entries, bytes } => Some((transfer, entries, bytes)),
        _ => None,
    })?;
    if count == 0 || count > MAX_ENTRIES {
        return Ok(Err(format!("{count} entries")));
    }
    let mut entries = Vec::new();
    let mut length = 0;
    while entries.len() < count as usize {
        let decoded = session.read_as(DURING, |message| match message {
            Message::Manifest(part) => {
                length += part.len();
                Some(Manifest::decode_part(part, &mut entries, count))
            }
            _ => None,
        })?;
        if length > MAX_MANIFESTS {
            return Ok(Err("a manifest of over 16 MiB".into()));
        }
        if let Err(malformed) = decoded {
            return Ok(Err(format!("{} in the manifest", malformed.0)));
        }
    }
    Ok(match Manifest::new(entries) {
        Ok(manifest) if manifest.bytes() != bytes => Err("the sizes do not add up".into()),
        Ok(manifest)
            if manifest.entries().iter().any(|entry| entry.is_dir || entry.path.components().count() > 1) =>
        {
            Err("a tree of files, which this version does not take".into())
        }
        Ok(manifest) => Ok((transfer, manifest)),
        Err(what) => Err(what),
    })
}

/// Reads all chunks to the disk, and puts the files in place.
fn take(session: &mut Session, mut staging: Staging, manifest: &Manifest) -> Result<Vec<Received>> {
    const DURING: &str = "receiving files";
    let mut next = 0;
    loop {
        match session.read(DURING)? {
            Message::Chunk { index, data }
                if index == next && next < manifest.chunks() && data.len() == manifest.chunk_len(index) =>
            {
                staging.write(manifest, index, data)?;
                next += 1;
            }
            Message::Chunk { .. } => return Err(session.broken("a chunk that does not fit the manifest")),
            Message::End if next == manifest.chunks() => break,
            Message::End => return Err(session.broken("the end before the last chunk")),
            Message::Failed(_) => {
                return Err(Error::Remote {
                    peer: session.label().to_owned(),
                    why: "it stopped sending",
                    disk: false,
                });
            }
            other => {
                let kind = other.kind();
                return Err(session.unexpected(kind, DURING));
            }
        }
    }
    staging.publish(manifest, || session.send(&Message::Ping).and_then(|()| read_pong(session)))
}

fn read_pong(session: &mut Session) -> Result<()> {
    session.read_as("waiting for a sign of life", |message| (message == Message::Pong).then_some(()))
}

/// The folder in which files wait to be whole; it goes with what is in it when it is dropped.
struct Staging {
    place: PathBuf,
    dir: PathBuf,
    /// Held for as long as files arrive: a folder whose lock is free was left by a process that was killed.
    _lock: File,
    cursor: Cursor,
    open: Option<(usize, File)>,
    unsynced: u64,
}

impl Staging {
    fn create(place: &Place, transfer: &[u8; 16]) -> Result<Staging> {
        file::create_private_dir(&place.dir).map_err(Error::disk("create", &place.dir))?;
        sweep(&place.dir);
        let dir = place.dir.join(format!("{STAGING}{}", base32::encode(transfer)));
        // Without `recursive`, so that a folder or link that somebody put there is an error.
        fs::create_dir(&dir).map_err(Error::disk("create", &dir))?;
        let lock = file::private()
            .write(true)
            .create_new(true)
            .open(dir.join(LOCK))
            .map_err(Error::disk("create", &dir))?;
        lock.try_lock().map_err(|_| Error::failed(format!("{} is in use", dir.display())))?;
        let staging = Staging {
            place: place.dir.clone(),
            dir,
            _lock: lock,
            cursor: Cursor::default(),
            open: None,
            unsynced: 0,
        };
        #[cfg(unix)]
        {
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(&staging.dir, private).map_err(Error::disk("protect", &staging.dir))?;
        }
        Ok(staging)
    }

    fn staged(&self, entry: usize) -> PathBuf {
        self.dir.join(entry.to_string())
    }

    fn write(&mut self, manifest: &Manifest, index: u64, mut data: &[u8]) -> Result<()> {
        for piece in manifest.pieces(&mut self.cursor, index) {
            let (now, later) = data.split_at(piece.length);
            data = later;
            self.open(piece.entry)?;
            let Some((_, file)) = &self.open else { continue };
            let path = self.dir.join(piece.entry.to_string());
            file::write_all_at(file, now, piece.offset).map_err(Error::disk("write", &path))?;
            self.unsynced += now.len() as u64;
            if self.unsynced >= SYNC_EVERY {
                file.sync_data().map_err(Error::disk("sync", &path))?;
                self.unsynced = 0;
            }
        }
        Ok(())
    }

    /// Opens the staged file of an entry, making it with the first byte.
    fn open(&mut self, entry: usize) -> Result<()> {
        if self.open.as_ref().is_some_and(|(open, _)| *open == entry) {
            return Ok(());
        }
        let path = self.staged(entry);
        let options = || file::private().write(true).create(true).truncate(false).open(&path);
        self.open = Some((entry, options().map_err(Error::disk("create", &path))?));
        self.unsynced = 0;
        Ok(())
    }

    /// Syncs every file and gives it its name; `between` files, when it takes long, the sender hears that we are alive.
    fn publish(
        mut self,
        manifest: &Manifest,
        mut between: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Received>> {
        let mut silent_since = Instant::now();
        for (index, entry) in manifest.entries().iter().enumerate() {
            self.open(index)?;
            let path = self.staged(index);
            let Some((_, file)) = &self.open else { continue };
            finish_file(file, entry).map_err(Error::disk("sync", &path))?;
            if silent_since.elapsed() > PING_AFTER {
                between()?;
                silent_since = Instant::now();
            }
        }
        let mut received = Vec::new();
        for (index, entry) in manifest.entries().iter().enumerate() {
            let path = publish_one(&self.staged(index), &self.place, entry.path.file_name())?;
            received.push(Received { path, size: entry.size });
        }
        file::sync_dir(&self.place).map_err(Error::disk("sync", &self.place))?;
        Ok(received)
    }
}

/// Removes what transfers left behind whose process was killed. What cannot be removed is in the way of nobody.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let is_staging = entry.file_name().to_str().is_some_and(|name| name.starts_with(STAGING));
        if is_staging
            && let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn finish_file(file: &File, entry: &Entry) -> io::Result<()> {
    #[cfg(unix)]
    {
        let mode = if entry.executable { 0o700 } else { 0o600 };
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    }
    let since = Duration::from_secs(entry.modified.unsigned_abs());
    let time = if entry.modified < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    // A time that this system cannot have is not worth refusing a file for.
    let _ = file.set_modified(time.unwrap_or_else(SystemTime::now));
    file.sync_all()
}

/// Gives a staged file its name in `dir`, or the first free `name (1)`. Linking fails when the name is taken, so two
/// transfers at once cannot replace each other's file.
fn publish_one(staged: &Path, dir: &Path, name: &str) -> Result<PathBuf> {
    for number in 0..10_000 {
        let path = dir.join(if number == 0 { name.to_owned() } else { numbered(name, number) });
        match fs::hard_link(staged, &path) {
            Ok(()) => return Ok(path),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            // FAT and some network file systems have no links.
            Err(_) if !path.exists() => {
                fs::rename(staged, &path).map_err(Error::disk("rename", &path))?;
                return Ok(path);
            }
            Err(_) => {}
        }
    }
    Err(Error::failed(format!("{} has 10,000 files called {name}", dir.display())))
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.open = None;
        // What cannot be removed is in a hidden folder, and harms nobody.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
