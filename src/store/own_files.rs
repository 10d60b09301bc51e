//! What of the disk is the home, so that it is never sent: with the identity goes everything. Judged by device and inode,
//! so no other name of the home, link or mount hides it. What lies in its `downloads/` and `uploads/` is the user's own.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Verb};
use crate::store::home::{Home, OWN_FOLDERS};
use crate::store::open::{self, FileId};

/// The folders of the home in which files of the user lie.
const SHARED: [&str; 2] = ["downloads", "uploads"];
/// How deep the home is looked at for its files: `history/KEY.log` is at 2.
const DEPTH: usize = 2;

/// The directory that is the home, and the files that belong to it.
pub struct OwnFiles {
    /// The home, by its path without links.
    dir: PathBuf,
    home: Option<FileId>,
    /// The home and what is in it.
    private: HashSet<FileId>,
    shared: HashSet<FileId>,
}

impl OwnFiles {
    /// Looks at the home as it is now.
    pub fn of(home: &Home) -> Result<OwnFiles> {
        let failed = |cause| Error::disk(Verb::Read, home.dir())(cause);
        let dir = fs::canonicalize(home.dir()).map_err(failed)?;
        let id = FileId::of(&fs::metadata(&dir).map_err(failed)?);
        let mut own = OwnFiles {
            home: id,
            private: id.into_iter().collect(),
            shared: HashSet::new(),
            dir: dir.clone(),
        };
        own.look(&dir, 1).map_err(failed)?;
        Ok(own)
    }

    fn look(&mut self, dir: &Path, depth: usize) -> std::io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A file that another process has just replaced is of no concern.
            let Ok(data) = entry.metadata() else { continue };
            let name = entry.file_name();
            if depth == 1 && data.is_dir() && is_shared_name(&name) {
                self.shared.extend(FileId::of(&data));
                continue;
            }
            self.private.extend(FileId::of(&data));
            let is_own_folder = depth == 1 && OWN_FOLDERS.iter().any(|own| name == *own);
            // Some keep the identity or a folder on another disk, or in a folder of settings, with a link to it here.
            let data = if data.is_symlink() {
                fs::metadata(entry.path()).ok().filter(|found| !found.is_dir() || is_own_folder)
            } else {
                Some(data)
            };
            let Some(data) = data else { continue };
            self.private.extend(FileId::of(&data));
            if data.is_dir() && depth < DEPTH {
                self.look(&entry.path(), depth + 1)?;
            }
        }
        Ok(())
    }

    /// Whether this is the home itself.
    pub fn is_home(&self, data: &Metadata) -> bool {
        FileId::of(data).is_some_and(|id| self.home == Some(id))
    }

    /// Whether this is the home or belongs to it, under whatever name.
    pub fn is_private(&self, data: &Metadata) -> bool {
        FileId::of(data).is_some_and(|id| self.private.contains(&id))
    }

    /// Whether this is one of the folders in the home in which files of the user lie.
    pub fn is_shared(&self, data: &Metadata) -> bool {
        FileId::of(data).is_some_and(|id| self.shared.contains(&id))
    }

    /// Whether a file or directory that the user named is in the home, at whatever depth; `real` is its path without links.
    pub fn has(&self, real: &Path, data: &Metadata) -> bool {
        let Some(_) = FileId::of(data) else { return self.has_path(real) };
        let above = || real.ancestors().skip(1).filter_map(|dir| fs::metadata(dir).ok());
        let nearest = |data: &Metadata| {
            if self.is_shared(data) { Some(false) } else { self.is_private(data).then_some(true) }
        };
        nearest(data).or_else(|| above().find_map(|data| nearest(&data))).unwrap_or(false)
    }

    /// Whether a directory is a home of egoat that is not this one: of another identity, or this one's on a file system that shows
    /// the same files once more under other numbers, such as an overlay. One with the very file that is the identity here is
    /// where some of this home is kept.
    pub fn is_other_home(&self, dir: &Path) -> bool {
        let mut start = [0; IDENTITY.len()];
        let Ok(mut file) = open::followed(&dir.join("identity")) else { return false };
        let is_own = file.metadata().is_ok_and(|data| self.is_private(&data));
        !is_own && file.read_exact(&mut start).is_ok() && start == IDENTITY
    }

    /// Whether a file or directory is in such a home, but not in a folder for files of the user; `real` is its path without
    /// links.
    pub fn is_in_other_home(&self, real: &Path) -> bool {
        let mut below: Option<&OsStr> = None;
        for above in real.ancestors() {
            if self.is_other_home(above) {
                return !below.is_some_and(is_shared_name);
            }
            below = above.file_name();
        }
        false
    }

    /// What [`OwnFiles::has`] says by names alone, where files have no ids.
    fn has_path(&self, real: &Path) -> bool {
        has_path(&self.dir, real)
    }
}

fn has_path(home: &Path, real: &Path) -> bool {
    let Ok(below) = real.strip_prefix(home) else { return false };
    !SHARED.iter().any(|shared| below.starts_with(shared))
}

/// The start of every identity file.
const IDENTITY: &[u8] = b"E-Goat identity ";

/// Whether a name in a home is that of a folder in which files of the user lie.
pub fn is_shared_name(name: &OsStr) -> bool {
    SHARED.iter().any(|shared| name == *shared)
}

/// Whether a directory, which need not exist, is the home or lies in it, but not in a folder for files of the user; `real` is
/// its path without links. Nothing of the home is looked at but its folders.
pub fn is_inside(home: &Home, real: &Path) -> bool {
    let id = |dir: &Path| fs::metadata(dir).ok().as_ref().and_then(FileId::of);
    let Some(home_id) = id(home.dir()) else {
        return fs::canonicalize(home.dir()).is_ok_and(|home| has_path(&home, real));
    };
    let folders = |names: &[&str]| names.iter().filter_map(|name| id(&home.dir().join(name))).collect();
    let (mut private, shared): (Vec<FileId>, Vec<FileId>) = (folders(&OWN_FOLDERS), folders(&SHARED));
    private.push(home_id);
    let mut below = None;
    for dir in real.ancestors() {
        let found = id(dir);
        // A folder for files that is still to be made.
        let is_shared = || below.is_some_and(is_shared_name);
        match found {
            Some(found) if shared.contains(&found) => return false,
            Some(found) if found == home_id && is_shared() => return false,
            Some(found) if private.contains(&found) => return true,
            _ => below = dir.file_name(),
        }
    }
    false
}
