//! Transfers that came in part, and where their data waits (egoat-files(5), PARTIAL). The data is beside the place that
//! it is for, so that it gets there by a rename; the home remembers where that is. It leaves out what is in it: see
//! `transfer::staging`.
//!
//! ```text
//! PEER-KEY BYTES TITLE...
//! DIR
//! [PATH of what has come to its name]...
//! ```
//!
//! Paths have `%` and all bytes but the graphic ones of ASCII written as `%` and two hexadecimal digits.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::home::Home;
use crate::wire::message::UNKNOWN;

/// Parts that nobody asked for any more are removed after this.
pub const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);
/// Parts that one peer may leave here; the oldest makes room.
const MOST_PER_PEER: usize = 16;
const MAX_LEN: u64 = 1 << 20;

/// The start of a staging folder's name; the id follows. No peer may give a name that begins so.
pub const STAGING: &str = ".egoat-";
/// The file in it that is locked while a process works on it.
const LOCK: &str = "lock";
/// The file in it with a byte for each chunk, 1 for those that are there.
const MAP: &str = "map";

/// The folder with the data of a transfer, locked and held open.
pub struct Staged {
    /// Where the transfer is to land.
    pub place: Folder,
    /// What waits there.
    pub folder: Folder,
    /// It was not there before.
    pub is_new: bool,
    _lock: File,
}

impl Staged {
    /// Its map of chunks.
    pub fn open_map(&self) -> io::Result<File> {
        self.folder.open_or_create(MAP)
    }
}

/// A transfer that has begun to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Names it: in base32, of the peer, the manifest and the place.
    pub id: String,
    /// Whose it is.
    pub peer: PublicKey,
    /// Bytes of all of it.
    pub bytes: u64,
    /// What it is, in one line that is safe to show.
    pub title: String,
    /// Where it is to land.
    pub dir: PathBuf,
    /// What has come to its name, once all has. Then it waits for the sender to hear of it.
    pub done: Vec<PathBuf>,
}

impl Partial {
    /// The folder with its data.
    pub fn staging(&self) -> PathBuf {
        staging(&self.dir, &self.id)
    }

    /// The map of its chunks.
    pub fn map_path(&self) -> PathBuf {
        self.staging().join(MAP)
    }

    fn text(&self) -> String {
        let mut text = format!("{} {} {}\n{}\n", self.peer, self.bytes, self.title, escape(&self.dir));
        for path in &self.done {
            text.push_str(&escape(path));
            text.push('\n');
        }
        text
    }

    fn parse(id: &str, text: &str) -> Option<Partial> {
        let mut lines = text.lines();
        let mut fields = lines.next()?.splitn(3, ' ');
        Some(Partial {
            id: id.to_owned(),
            peer: fields.next()?.parse().ok()?,
            bytes: fields.next()?.parse().ok()?,
            title: fields.next()?.to_owned(),
            dir: unescape(lines.next()?)?,
            done: lines.map(unescape).collect::<Option<_>>()?,
        })
    }

    /// Writes it to the home, at once but not durably: what a power cut loses is the list of leftovers, no data.
    pub fn save(&self, home: &Home) -> Result<()> {
        let dir = home.partial_dir();
        file::create_private_dir(&dir).map_err(Error::disk("create", &dir))?;
        let path = dir.join(&self.id);
        let new = dir.join(format!("{}.new", self.id));
        let mut options = file::private();
        let written = options
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)
            .and_then(|mut file| file.write_all(self.text().as_bytes()))
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(Error::disk("write", &path))
    }

    /// The one of this id.
    pub fn load(home: &Home, id: &str) -> Result<Option<Partial>> {
        let path = home.partial_dir().join(id);
        let text = file::read_text(&path, MAX_LEN).map_err(Error::disk("read", &path))?;
        Ok(text.and_then(|text| Partial::parse(id, &text)))
    }

    /// Locks its data, making the folder if it is not there; `None` while another process or thread works on it.
    pub fn lock(&self) -> io::Result<Option<Staged>> {
        let place = Folder::open(&self.dir)?;
        let name = format!("{STAGING}{}", self.id);
        let is_new = match place.create_folder(&name) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => false,
            made => made.and_then(|()| place.sync()).map(|()| true)?,
        };
        let folder = place.folder(&name)?;
        let lock = folder.open_or_create(LOCK)?;
        match lock.try_lock() {
            // It may have been removed just before it was locked.
            Ok(()) if folder.has(&lock, LOCK)? => Ok(Some(Staged { place, folder, is_new, _lock: lock })),
            Ok(()) | Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(cause)) => Err(cause),
        }
    }

    /// Bytes of it that are here, and when the last of them came; `None` when its folder is gone.
    pub fn held(&self, chunk: u64) -> Option<(u64, SystemTime)> {
        let path = self.map_path();
        let since = fs::metadata(&path).ok()?.modified().ok()?;
        let map = fs::read(&path).ok()?;
        let held = match map.first_chunk() {
            _ if self.bytes != UNKNOWN => {
                let chunks = map.iter().filter(|state| **state != 0).count() as u64;
                (chunks * chunk).min(self.bytes)
            }
            // Of a stream, its length so far.
            Some(length) => u64::from_be_bytes(*length),
            None => 0,
        };
        Some((held, since))
    }

    /// Removes its data and the note of it, unless somebody works on it; says whether it did.
    pub fn remove(&self, home: &Home) -> Result<bool> {
        let staging = self.staging();
        if fs::symlink_metadata(&staging).is_ok() {
            let Some(_lock) = self.lock().map_err(Error::disk("lock", &staging))? else { return Ok(false) };
            fs::remove_dir_all(&staging).map_err(Error::disk("remove", &staging))?;
        }
        self.forget(home).map(|()| true)
    }

    /// Removes the note of it.
    pub fn forget(&self, home: &Home) -> Result<()> {
        let path = home.partial_dir().join(&self.id);
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(Error::disk("remove", &path)(cause)),
            _ => Ok(()),
        }
    }

    fn last_change(&self, home: &Home) -> Option<SystemTime> {
        let noted = fs::metadata(home.partial_dir().join(&self.id)).and_then(|data| data.modified()).ok()?;
        let map = fs::metadata(self.map_path()).and_then(|data| data.modified()).ok();
        Some(map.map_or(noted, |map| map.max(noted)))
    }
}

/// The folder with the data of the transfer `id` to `dir`.
pub fn staging(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{STAGING}{id}"))
}

/// All that have begun, the oldest first.
pub fn all(home: &Home) -> Result<Vec<Partial>> {
    let dir = home.partial_dir();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Error::disk("read", &dir)(cause)),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        // Spools and temporary files have a dot in their names.
        if let Some(id) = entry.file_name().to_str().filter(|name| !name.contains('.'))
            && let Some(partial) = Partial::load(home, id)?
        {
            found.push(partial);
        }
    }
    found.sort_by_key(|partial| partial.last_change(home));
    Ok(found)
}

/// Removes what is too old, and makes room for the one that `begins`, which may have begun before. What cannot be
/// removed is in the way of nobody.
pub fn sweep(home: &Home, begins: Option<&Partial>) -> Result<()> {
    let mut others = all(home)?;
    others.retain(|partial| begins.is_none_or(|new| new.id != partial.id));
    let now = SystemTime::now();
    let is_old = |partial: &Partial| {
        let age = partial.last_change(home).and_then(|last| now.duration_since(last).ok());
        age.is_some_and(|age| age > MAX_AGE)
    };
    let is_of_peer = |partial: &Partial| begins.is_some_and(|new| new.peer == partial.peer);
    let of_peer = others.iter().filter(|partial| is_of_peer(partial)).count();
    let mut excess = of_peer.saturating_sub(MOST_PER_PEER - 1);
    for partial in &others {
        let is_excess = excess > 0 && is_of_peer(partial);
        if (is_excess || is_old(partial)) && partial.remove(home).unwrap_or(false) {
            excess -= usize::from(is_excess);
        }
    }
    Ok(())
}

fn escape(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'%' => text.push_str("%25"),
            byte if byte.is_ascii_graphic() => text.push(char::from(*byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn unescape(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    file::path_of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn sample() -> Partial {
        Partial {
            id: "abc".into(),
            peer: Seed::from_bytes([1; 32]).static_keys().public(),
            bytes: 7,
            title: "3 files of mine".into(),
            dir: PathBuf::from("/tmp/a b%\n\u{e9}"),
            done: vec![PathBuf::from("/x/y"), PathBuf::from("/x/ z")],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let partial = sample();
        assert_eq!(Partial::parse("abc", &partial.text()), Some(partial));
    }

    #[test]
    fn every_cut_is_refused_or_whole_lines() {
        let text = sample().text();
        let whole = |cut: &str| cut.is_empty() || cut.lines().count() >= 2;
        for end in 0..text.len() {
            if Partial::parse("abc", &text[..end]).is_some() {
                assert!(whole(&text[..end]), "cut at {end}");
            }
        }
        assert!(unescape("a%2").is_none() && unescape("a%zz").is_none());
    }
}
