//! How what has arrived comes to its name: the folder in which it waits, beside its place, and the last step out of it. No
//! file is replaced unless the receiver's user wants that, and no link is followed. It leaves out what arrives: see
//! `staging` and `stream`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::crypto::keys::PublicKey;
use crate::crypto::{Hasher, base32};
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::home::Home;
use crate::store::open::FileId;
use crate::store::partial::Partial;
use crate::store::place;
use crate::store::staged::{FILES, Locked, StagingFolder};
use crate::transfer::manifest::Manifest;
use crate::transfer::names;
use crate::transfer::path::{NameList, free_number, numbered};
use crate::transfer::seal;
use crate::wire::message::{CHUNK, TRANSFER_LEN};

/// How often somebody else may take a free name before we do.
const MAX_RACES: usize = 1000;

/// Where files go.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder; made if needed.
    pub dir: PathBuf,
    /// Files that are there already are replaced.
    pub overwrite: bool,
}

/// A name in a place that what is there cannot give up.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// What is there.
    pub path: PathBuf,
    /// It is a directory, in the way of a file; else it is in the way of a directory.
    pub by_directory: bool,
}

impl Place {
    /// The first name that a directory has where a file would replace it, or the other way round. Whoever changes something
    /// there later is noticed when the files get their names.
    pub fn taken_by_another_kind(&self, manifest: &Manifest) -> Option<Taken> {
        if !self.overwrite {
            return None;
        }
        let mut seen: HashMap<&str, Option<bool>> = HashMap::new();
        for entry in manifest.entries() {
            let path = entry.path.as_str();
            let above = path.match_indices('/').map(|(end, _)| (&path[..end], true));
            for (name, is_dir) in above.chain([(path, entry.is_dir)]) {
                let is_dir_there = *seen.entry(name).or_insert_with(|| is_dir_at(&self.dir.join(name)));
                match is_dir_there {
                    // Nothing is below it either.
                    None => break,
                    Some(found) if found == is_dir => {}
                    Some(by_directory) => return Some(Taken { path: self.dir.join(name), by_directory }),
                }
            }
        }
        None
    }
}

/// Whether a directory has the name, or something else; `None` when the name is free.
fn is_dir_at(path: &Path) -> Option<bool> {
    fs::symlink_metadata(path).ok().map(|found| found.is_dir())
}

/// A file or directory that is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where.
    pub path: PathBuf,
    /// Its bytes; of a directory, those of all files in it.
    pub size: u64,
}

/// The id of a transfer, but for where it lands: egoat-files(5), PARTIAL.
pub struct TransferId(Hasher);

impl TransferId {
    /// The same for the same files from the same peer. `transfer` is OFFER's.
    pub fn new(peer: &PublicKey, transfer: &[u8; TRANSFER_LEN], manifest: &Manifest) -> TransferId {
        let mut hasher = Hasher::default();
        hasher.update(peer.as_bytes());
        hasher.update(transfer);
        manifest.each_encoded(|entry| hasher.update(entry));
        TransferId(hasher)
    }

    /// The whole id, another one for each place.
    pub fn at(&self, place: &Path) -> String {
        self.with(place.as_os_str().as_encoded_bytes())
    }

    /// The whole id, another one for other bytes.
    pub fn with(&self, more: &[u8]) -> String {
        let mut hasher = self.0.clone();
        hasher.update(more);
        base32::encode(&hasher.finish()[..16])
    }
}

/// A folder that is locked for one transfer.
pub struct Landing {
    home: Home,
    place: Place,
    note: Partial,
    staged: StagingFolder,
    files: Folder,
    /// The files in the place that have other names, by what they are, once somebody had to know them.
    linked: OnceLock<HashMap<FileId, PathBuf>>,
}

impl Landing {
    /// Makes the folder, or finds it as an earlier try left it. `None` while somebody else works on it.
    pub fn open(home: &Home, place: Place, mut note: Partial) -> Result<Option<Landing>> {
        place::make(home, &place.dir)?;
        // Noted first, so that no folder is ever forgotten.
        note.save(home)?;
        let staged = match note.begin(home) {
            Ok(Some(staged)) => staged,
            Ok(None) => return Ok(None),
            Err(error) => {
                if fs::symlink_metadata(note.staging()).is_err() {
                    // A note of nothing would be listed for days.
                    let _ = note.forget(home);
                }
                return Err(error);
            }
        };
        staged.forget_names().map_err(Error::disk(Verb::Write, &note.staging()))?;
        Landing::of(home, place, note, staged).map(Some)
    }

    fn of(home: &Home, place: Place, note: Partial, staged: StagingFolder) -> Result<Landing> {
        let files = open_files(&staged).map_err(Error::disk(Verb::Create, &note.staging().join(FILES)))?;
        Ok(Landing { home: home.clone(), place, note, staged, files, linked: OnceLock::new() })
    }

    /// Brings an earlier try to its end that had begun to give directories their names: all was whole by then. Says
    /// whether everything has its name now. `meanwhile` is called now and then.
    pub fn resume(
        home: &Home,
        note: &Partial,
        manifest: &Manifest,
        meanwhile: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        if !note.has_names() {
            return Ok(false);
        }
        let dir = note.staging();
        let Locked::Ours(staged) = note.lock().map_err(Error::disk(Verb::Lock, &dir))? else {
            return Ok(false);
        };
        let (named, seal) = staged.names().map_err(Error::disk(Verb::Read, &dir))?;
        let Some(seal) = seal else { return Ok(false) };
        let place = Place { dir: note.dir.clone(), overwrite: false };
        let landing = Landing::of(home, place, note.clone(), *staged)?;
        let (manifest, _) = landing.fit(manifest.clone(), meanwhile)?;
        let is_named = |name: &str| named.get(Path::new(name)).filter(|_| !landing.has(name));
        let tops = manifest.tops();
        let found = seal::seal(&manifest, |place| match is_named(tops[place].0) {
            Some(name) => note.dir.join(name),
            None => landing.files.way_to(tops[place].0),
        });
        if found.ok().as_ref() != Some(&seal) {
            // Somebody has changed it or taken it away.
            return Ok(false);
        }
        let place = |&(name, is_dir, size): &(&str, bool, u64)| {
            let path = match is_named(name) {
                Some(name) => note.dir.join(name),
                None => landing.publish(name, is_dir, &seal)?,
            };
            Ok(Received { path, size })
        };
        let received: Result<Vec<Received>> = tops.iter().map(place).collect();
        landing.finish(&received?, &seal).map(|()| true)
    }

    /// Whose files they are.
    pub fn peer(&self) -> PublicKey {
        self.note.peer
    }

    /// The manifest with names that this folder holds, and a list of those that have changed.
    /// `meanwhile` is called now and then.
    pub fn fit(
        &self,
        manifest: Manifest,
        meanwhile: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Manifest, NameList)> {
        names::fit(manifest, &self.staged.folder, meanwhile)
    }

    /// Whether a file or directory still has the name that it was offered with.
    fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.files.way_to(name)).is_ok()
    }

    /// The folder for files under the names that they were offered with.
    pub fn files(&self) -> &Folder {
        &self.files
    }

    /// Where the files get their names.
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// Whether it has something of an earlier try.
    pub fn is_resumed(&self) -> bool {
        !self.staged.is_new
    }

    /// Its file for what has arrived so far, as `staging` and `stream` each note it.
    pub fn open_map(&self) -> Result<(PathBuf, File)> {
        let path = self.note.map_path();
        let map = self.staged.open_map().map_err(Error::disk(Verb::Create, &path))?;
        Ok((path, map))
    }

    /// How all files look before the first of them gets its name.
    pub fn seal(&self, manifest: &Manifest) -> Result<String> {
        let tops = manifest.tops();
        let seal = seal::seal(manifest, |place| self.files.way_to(tops[place].0));
        seal.map_err(Error::disk(Verb::Complete, self.files.path()))
    }

    /// Gives a file or directory its name, or the first free `name (1)`. `seal` is that of the transfer.
    pub fn publish(&self, name: &str, is_dir: bool, seal: &str) -> Result<PathBuf> {
        let place = &self.staged.place;
        let opened = self.files.ensure_here().and_then(|()| place.ensure_here());
        opened.map_err(Error::disk(Verb::Open, &self.place.dir))?;
        if self.place.overwrite {
            let wanted = self.place.dir.join(name);
            replace(&self.files, place, name.as_ref())?;
            return Ok(wanted);
        }
        let staged = self.files.way_to(name);
        if let Some(path) = self.earlier_link(&staged).map_err(Error::disk(Verb::Read, &self.place.dir))? {
            return Ok(path);
        }
        let named = |number| if number == 0 { name.to_owned() } else { numbered(name, number) };
        let is_taken = |number| fs::symlink_metadata(place.way_to(named(number))).is_ok();
        for _ in 0..MAX_RACES {
            let wanted = named(free_number(is_taken));
            let (path, way) = (self.place.dir.join(&wanted), place.way_to(&wanted));
            let moved =
                if is_dir { self.move_dir(name, &wanted, &way, seal) } else { move_file(&staged, &way) };
            match moved {
                Ok(()) => return Ok(path),
                // Somebody else was faster.
                Err(_) if fs::symlink_metadata(&way).is_ok() => {}
                Err(cause) => return Err(Error::disk(Verb::Rename, &path)(cause)),
            }
        }
        Err(Error::failed(format!("others take every name for {name} in {}", self.place.dir.display())))
    }

    /// Where an earlier try has put the file that is staged here, if it ended before it could note so.
    fn earlier_link(&self, staged: &Path) -> io::Result<Option<PathBuf>> {
        let found = fs::symlink_metadata(staged)?;
        if !file::has_links(&found) {
            return Ok(None);
        }
        let place = &self.staged.place;
        let linked = match self.linked.get() {
            Some(linked) => linked,
            // Once for all files: there may be many, and what this try adds are others.
            None => {
                let listed = self.list_linked()?;
                self.linked.get_or_init(|| listed)
            }
        };
        let name = FileId::of(&found).and_then(|id| linked.get(&id));
        let link = name.filter(|name| file::is_linked(staged, &place.way_to(name)));
        Ok(link.map(|name| self.place.dir.join(name)))
    }

    fn list_linked(&self) -> io::Result<HashMap<FileId, PathBuf>> {
        let names = self.staged.place.names()?.into_iter();
        let id = |name: &PathBuf| {
            let found = fs::symlink_metadata(self.staged.place.way_to(name)).ok()?;
            FileId::of(&found).filter(|_| file::has_links(&found))
        };
        Ok(names.filter_map(|name| Some((id(&name)?, name))).collect())
    }

    /// Renaming fails when there is a directory with something in it.
    fn move_dir(&self, name: &str, wanted: &str, way: &Path, seal: &str) -> io::Result<()> {
        if fs::symlink_metadata(way).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.note.sync(&self.home)?;
        self.staged.note_name(name, wanted, seal)?;
        fs::rename(self.files.way_to(name), way)
    }

    /// Everything has its name. That is noted until the sender has heard of it, and the folder goes.
    pub fn finish(&self, received: &[Received], seal: &str) -> Result<()> {
        self.staged.place.sync().map_err(Error::disk(Verb::Sync, &self.place.dir))?;
        self.note.save_done(&self.home, seal, received.iter().map(|one| one.path.as_path()))?;
        // What cannot be removed is in a hidden folder, and harms nobody.
        let _ = self.staged.remove();
        Ok(())
    }

    /// The sender knows that all is in place.
    pub fn forget(&self) -> Result<()> {
        self.note.forget(&self.home)
    }

    /// Removes it if nothing was there before this try, of which nothing came either: nobody will ever miss it. What the
    /// user has said yes to stays, because the sender comes again.
    pub fn discard_if_new(&self) {
        if !self.is_resumed() && !self.note.is_accepted {
            self.discard();
        }
    }

    /// The user has stopped it: a yes that was said before does not hold any more. What has arrived stays.
    pub fn take_back_yes(&self) -> Result<()> {
        match self.note.held(CHUNK as u64) {
            Some((1.., _)) => Partial { is_accepted: false, ..self.note.clone() }.save(&self.home),
            _ => {
                self.discard();
                Ok(())
            }
        }
    }

    /// Removes it with all that is in it.
    pub fn discard(&self) {
        let _ = self.staged.remove();
        let _ = self.note.forget(&self.home);
    }
}

/// The folder for files in one that may be there from an earlier try.
fn open_files(staged: &StagingFolder) -> io::Result<Folder> {
    match staged.folder.create_folder(FILES) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && !staged.is_new => {}
        made => made?,
    }
    staged.folder.folder(FILES)
}

/// Linking fails when the name is taken, so two transfers at once cannot replace each other's file.
fn move_file(staged: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(staged, path) {
        // FAT and some network file systems have no links.
        Err(_) if fs::symlink_metadata(path).is_err() => fs::rename(staged, path),
        linked => linked,
    }
}

/// Puts a file in the place of another, and the files of a directory among those of another, which keeps its own. No
/// link is followed, and no directory makes room for a file or the other way round. An error names the file that stays.
fn replace(from: &Folder, to: &Folder, name: &Path) -> Result<()> {
    let (staged, way) = (from.way_to(name), to.way_to(name));
    let failed = |cause| Error::disk(Verb::Replace, &to.path().join(name))(cause);
    let target = match fs::symlink_metadata(&way) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return fs::rename(staged, way).map_err(failed);
        }
        target => target.map_err(failed)?,
    };
    match (fs::symlink_metadata(&staged).map_err(failed)?.is_dir(), target.is_dir()) {
        (false, false) => fs::rename(staged, way).map_err(failed),
        (true, true) => {
            let (from, to) = (from.folder(name).map_err(failed)?, to.folder(name).map_err(failed)?);
            from.names().map_err(failed)?.iter().try_for_each(|child| replace(&from, &to, child))?;
            to.sync().map_err(failed)
        }
        (true, false) => {
            Err(failed(io::Error::new(io::ErrorKind::NotADirectory, "a file is in the place of a directory")))
        }
        (false, true) => {
            Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "a directory is in the place of a file")))
        }
    }
}
