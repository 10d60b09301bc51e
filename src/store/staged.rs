//! The folder in which a transfer waits for its rest, beside the place that it is for: `PLACE/.egoat-ID`, made, checked,
//! locked, and held open. Others may write to the place, such as /tmp, and they know the ID if the peer has told it to them.
//! So nothing in a folder counts that they may have made or can write to. It leaves out what is in it: see
//! `transfer::staging`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::crypto::{base32, random_array};
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::place;
use crate::store::space::{self, Usage};
use crate::text::percent;

/// The start of its name; the id follows. No peer may give a name that begins so.
pub const STAGING: &str = ".egoat-";
/// The file in it that is locked while a process works on it.
const LOCK: &str = "lock";
/// The file in it with the id of its transfer, which is one of its peer, its files and its place: somebody who may rename what
/// is in the place can give one the folder of another.
const ID: &str = "id";
/// The file in it with a byte for each chunk, 1 for those that are there.
pub const MAP: &str = "map";
/// The file in it with the names that directories get: a line for each, the one that it has in there and the one it gets.
pub const NAMES: &str = "names";
/// The folder in it with the files, under the names that they were offered with.
pub const FILES: &str = "files";
/// The folder in it in which names are tried.
pub const TRIAL: &str = "trial";
/// The start of the name of a file that is made in it to see to whom that belongs.
const PROBE: &str = "probe-";
/// More than an id ever has.
const MAX_ID: u64 = 64;
/// More than the names of a transfer ever have: see `store::partial`.
const MAX_NAMES: u64 = 128 << 20;

/// The usual name of the folder for a transfer.
pub fn name_for(id: &str) -> String {
    format!("{STAGING}{id}")
}

/// A name that nobody can have guessed and taken.
pub fn new_name() -> String {
    name_for(&base32::encode(&random_array::<16>()))
}

/// The folder with the data of a transfer, locked and held open.
pub struct StagingFolder {
    /// Where the transfer is to land.
    pub place: Folder,
    /// What waits there.
    pub folder: Folder,
    /// It was not there before.
    pub is_new: bool,
    name: String,
    _lock: File,
}

/// What became of an attempt to lock a folder.
pub enum Locked {
    /// It is ours.
    Ours(Box<StagingFolder>),
    /// Another process or thread works on it.
    Busy,
    /// Somebody else has put something of this name there.
    Foreign,
}

/// Locks the folder `name` in `dir` for the transfer `id`, making it if it is not there.
pub fn lock(dir: &Path, name: &str, id: &str) -> io::Result<Locked> {
    let place = place::open(dir)?;
    let is_new = match place.create_folder(name) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => false,
        made => made.and_then(|()| place.sync()).map(|()| true)?,
    };
    let Some(folder) = open_own(&place, name)? else { return Ok(Locked::Foreign) };
    let lock = folder.open_or_create(LOCK)?;
    match lock.try_lock() {
        // It may have been removed just before it was locked.
        Ok(()) if folder.has(&lock, LOCK)? => {}
        Ok(()) | Err(fs::TryLockError::WouldBlock) => return Ok(Locked::Busy),
        Err(fs::TryLockError::Error(cause)) => return Err(cause),
    }
    if !claim(&folder, id)? {
        return Ok(Locked::Foreign);
    }
    let is_open_to_change = is_open_to_change(&folder)?;
    let staged = StagingFolder { place, folder, is_new, name: name.to_owned(), _lock: lock };
    if !is_new && is_open_to_change {
        // Others may have changed what is in it. A file system that knows no modes has it so each time.
        staged.remove()?;
        return self::lock(dir, name, id);
    }
    Ok(Locked::Ours(Box::new(staged)))
}

/// Whether the folder is for this transfer, or was not used for any yet: then it is from now on.
fn claim(folder: &Folder, id: &str) -> io::Result<bool> {
    if is_of(folder, id) {
        return Ok(true);
    }
    let is_unused = |name: &PathBuf| is_probe(name) || name == Path::new(LOCK) || name == Path::new(ID);
    if !folder.names()?.iter().all(is_unused)
        || fs::symlink_metadata(folder.way_to(ID)).is_ok_and(|id| id.len() > 0)
    {
        return Ok(false);
    }
    let mut file = folder.open_or_create(ID)?;
    file.write_all(id.as_bytes())?;
    // Else a power cut may leave all but this.
    file.sync_data()?;
    Ok(true)
}

fn is_of(folder: &Folder, id: &str) -> bool {
    let mut noted = String::new();
    let read = folder.read_file(ID).and_then(|file| file.take(MAX_ID).read_to_string(&mut noted));
    read.is_ok() && noted == id
}

/// What the folder `name` in `dir` holds, itself among it, if it is that of the transfer `id`. No link is followed.
pub fn usage(dir: &Path, name: &str, id: &str) -> Usage {
    let folder = place::open(dir).and_then(|place| place.folder(name));
    let Some(folder) = folder.ok().filter(|folder| is_of(folder, id)) else { return Usage::default() };
    let held = space::used(&folder.way_to(""));
    Usage { entries: held.entries + 1, ..held }
}

/// Whether somebody else has put something of this name there.
pub fn is_foreign(dir: &Path, name: &str) -> bool {
    place::open(dir).and_then(|place| open_own(&place, name)).is_ok_and(|own| own.is_none())
}

/// Opens the folder if its owner is whoever owns what this process makes, and it was made for a transfer; `None` for
/// whatever else has the name. Somebody who may rename what is in the place can give the name to a folder of the user's.
fn open_own(place: &Folder, name: &str) -> io::Result<Option<Folder>> {
    use io::ErrorKind::{NotADirectory, PermissionDenied};
    let opened = place.folder(name).and_then(|folder| {
        let probe = format!("{PROBE}{}", base32::encode(&random_array::<16>()));
        let made = folder.create(&probe, &mut file::private())?;
        let is_own = match folder.handle()? {
            Some(handle) => file::have_one_owner(&handle.metadata()?, &made.metadata()?),
            None => true,
        };
        folder.remove_file(&probe)?;
        let is_ours = is_own && has_parts_alone(&folder.names()?);
        Ok(is_ours.then_some(folder))
    });
    match opened {
        Err(cause) if matches!(cause.kind(), NotADirectory | PermissionDenied) => Ok(None),
        opened => opened,
    }
}

/// Whether this is what may be in a folder for a transfer. All else is made once that has its lock.
fn has_parts_alone(names: &[PathBuf]) -> bool {
    let has_lock = names.iter().any(|name| name == Path::new(LOCK));
    names.iter().all(|name| is_probe(name) || (has_lock && is_part(name)))
}

fn is_part(name: &Path) -> bool {
    [LOCK, ID, MAP, NAMES, FILES, TRIAL].iter().any(|part| name == Path::new(part))
}

fn is_probe(name: &Path) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PROBE))
}

fn is_open_to_change(folder: &Folder) -> io::Result<bool> {
    Ok(folder
        .handle()?
        .is_some_and(|handle| handle.metadata().is_ok_and(|data| file::is_open_to_change(&data))))
}

/// Opens the map of the folder of a transfer that nobody else can write to, for a look at how much is there.
pub fn open_map(dir: &Path, name: &str, id: &str) -> io::Result<File> {
    let folder = place::open(dir)?.folder(name)?;
    if is_open_to_change(&folder)? || !is_of(&folder, id) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    folder.open_file(MAP)
}

impl StagingFolder {
    /// Removes it with what is in it, and nothing else: somebody may have renamed it, and given its name to another folder.
    pub fn remove(&self) -> io::Result<()> {
        self.folder.ensure_here()?;
        let mut parts = self.folder.names()?;
        parts.retain(|name| is_part(name) || is_probe(name));
        // Whenever this ends, what is left is known for the folder of this transfer.
        parts.sort_by_key(|name| [ID, LOCK].iter().position(|last| name == Path::new(last)));
        for part in &parts {
            let way = self.folder.way_to(part);
            let is_dir = fs::symlink_metadata(&way)?.is_dir();
            if is_dir { fs::remove_dir_all(way)? } else { fs::remove_file(way)? }
        }
        fs::remove_dir(self.place.way_to(&self.name))
    }

    /// Its map of chunks.
    pub fn open_map(&self) -> io::Result<File> {
        self.folder.open_or_create(MAP)
    }

    /// Notes which name a directory is about to get: once it has it, nothing in here tells of it any more. With it goes the
    /// seal of the transfer, see `transfer::seal`. On the disk when it returns, since the new name may be there any moment
    /// after it is given.
    pub fn note_name(&self, name: &str, wanted: &str, seal: &str) -> io::Result<()> {
        let mut file = self.folder.open_or_create(NAMES)?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(format!("{} {} {seal}\n", escape(name.as_ref()), escape(wanted.as_ref())).as_bytes())?;
        file.sync_data()?;
        self.folder.sync()
    }

    /// What was noted so, the last name of each, and the seal of the transfer; nothing if that is damaged.
    pub fn names(&self) -> io::Result<(HashMap<PathBuf, PathBuf>, Option<String>)> {
        let text = match file::read_text(&self.folder.way_to(NAMES), MAX_NAMES) {
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => None,
            read => read?,
        };
        let (mut names, mut seal) = (HashMap::new(), None);
        for line in text.unwrap_or_default().lines() {
            let mut words = line.split(' ');
            let pair = (words.next().and_then(unescape), words.next().and_then(unescape));
            if let (Some(name), Some(wanted)) = pair {
                names.insert(name, wanted);
                seal = words.next().map(str::to_owned);
            }
        }
        Ok((names, seal))
    }

    /// What is in here is not all of it any more. On the disk when it returns: else what comes in next could be taken for
    /// the whole.
    pub fn forget_names(&self) -> io::Result<()> {
        match self.folder.remove_file(NAMES) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.folder.sync()),
        }
    }
}

/// A path as it stands in a line: `%` and all bytes but the graphic ones of ASCII are written as `%` and two hexadecimal
/// digits.
pub fn escape(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            byte if byte.is_ascii_graphic() && *byte != b'%' => text.push(char::from(*byte)),
            byte => percent::push(&mut text, *byte),
        }
    }
    text
}

/// The path that is written so.
pub fn unescape(text: &str) -> Option<PathBuf> {
    file::path_of(&percent::decode(text)?)
}
