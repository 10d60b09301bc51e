//! A directory that is held open: what is done in it by a name is done in this very directory, wherever its own name leads
//! by then. So nobody gains by putting a link in its place while files arrive (as in rsync, CVE-2024-12747). It leaves out
//! what is in it, and how deep it lies.
//!
//! std has no openat(2). Linux has a name for every open directory, /proc/self/fd/N, that leads to it and nowhere else.
//! Where there is none, what was opened or made is looked at again before it is used, several times, by a path without
//! links: a race can leave an empty file or directory elsewhere, and for more it has to be won each time.

use std::borrow::Borrow;
use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::store::file::{self, no_directory};
use crate::store::open;

/// How often the check is repeated that a name still leads where it did. To pass, an attacker would have to swap the link
/// in for each look at the target and out for each look at the path, within microseconds.
const LINK_CHECKS: usize = 3;

/// An open directory.
pub struct Folder {
    /// How people know it.
    path: PathBuf,
    /// What its names are looked up behind.
    way: PathBuf,
    /// `way` leads here, whatever happens to `path`.
    is_bound: bool,
    /// None where the system does not open directories.
    handle: Option<File>,
}

impl Folder {
    /// Opens a directory that the user has chosen, or a link to one.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let handle = file::open_dir(path)?;
        let bound = handle.as_ref().and_then(file::way_to_open);
        let is_bound = bound.is_some();
        let way = bound.map_or_else(|| fs::canonicalize(path), Ok)?;
        Ok(Folder { path: path.to_owned(), way, is_bound, handle })
    }

    /// Opens a directory in this one, and no link to one.
    pub fn folder(&self, name: impl AsRef<Path>) -> io::Result<Folder> {
        let (way, path) = (self.way_to(&name), self.path.join(name));
        let named = fs::symlink_metadata(&way)?;
        let handle = if named.is_dir() { file::open_unlinked_dir(&way)? } else { return Err(no_directory()) };
        // What was opened is what had the name, so no link led there.
        let is_same = handle.as_ref().map_or(Ok(true), |handle| file::is_same(handle, &named))?;
        if !is_same {
            return Err(no_directory());
        }
        if self.is_bound {
            let way = handle.as_ref().and_then(file::way_to_open).ok_or_else(no_directory)?;
            return Ok(Folder { path, way, is_bound: true, handle });
        }
        let folder = Folder { path, way: fs::canonicalize(way)?, is_bound: false, handle };
        // This one's own name may have led elsewhere meanwhile.
        if folder.way.parent() == Some(&self.way) && folder.is_here()? {
            Ok(folder)
        } else {
            Err(no_directory())
        }
    }

    /// Makes a directory that only its owner can read.
    pub fn create_folder(&self, name: impl AsRef<Path>) -> io::Result<()> {
        file::create_dir(&self.way_to(name))?;
        self.ensure_here()
    }

    /// Removes a file, or a link.
    pub fn remove_file(&self, name: impl AsRef<Path>) -> io::Result<()> {
        self.ensure_here()?;
        fs::remove_file(self.way_to(name))
    }

    /// An error when its name leads elsewhere now, where that matters: before names in it are used for more than to look.
    pub fn ensure_here(&self) -> io::Result<()> {
        if self.is_here()? { Ok(()) } else { Err(no_directory()) }
    }

    /// Creates a file that is not there.
    pub fn create(&self, name: impl AsRef<Path>, options: &mut OpenOptions) -> io::Result<File> {
        let file = options.read(true).write(true).create_new(true).open(self.way_to(&name))?;
        if self.is_bound || self.has(&file, name)? { Ok(file) } else { Err(no_file()) }
    }

    /// Opens a regular file, and no link to one.
    pub fn open_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let named = fs::symlink_metadata(self.way_to(&name))?;
        if !named.is_file() {
            return Err(no_file());
        }
        let file = OpenOptions::new().read(true).write(true).open(self.way_to(&name))?;
        if file::is_same(&file, &named)? && (self.is_bound || self.has(&file, name)?) {
            Ok(file)
        } else {
            Err(no_file())
        }
    }

    /// Opens a regular file, and no link to one, for reading.
    pub fn read_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let file = open::unlinked(&self.way_to(&name))?;
        let is_regular = file.metadata()?.is_file();
        if is_regular && (self.is_bound || self.has(&file, name)?) { Ok(file) } else { Err(no_file()) }
    }

    /// Opens a private file, or makes it.
    pub fn open_or_create(&self, name: impl AsRef<Path>) -> io::Result<File> {
        match self.create(&name, &mut file::private()) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => self.open_file(name),
            created => created,
        }
    }

    /// Whether the file is the one of this name in here.
    pub fn has(&self, file: &File, name: impl AsRef<Path>) -> io::Result<bool> {
        let way = self.way_to(name);
        self.holds(|| match fs::symlink_metadata(&way) {
            Ok(named) => Ok(named.is_file() && file::is_same(file, &named)?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(cause),
        })
    }

    fn is_here(&self) -> io::Result<bool> {
        if self.is_bound {
            return Ok(true);
        }
        let is_same = |handle| fs::metadata(&self.way).and_then(|named| file::is_same(handle, &named));
        self.holds(|| self.handle.as_ref().map_or(Ok(true), is_same))
    }

    /// Whether `look` says so, and the way leads here for certain.
    fn holds(&self, look: impl Fn() -> io::Result<bool>) -> io::Result<bool> {
        if self.is_bound {
            return look();
        }
        for _ in 0..LINK_CHECKS {
            if !look()? || fs::canonicalize(&self.way)? != self.way {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What leads to a name in it, for calls that follow no link at their end: to rename, link or remove.
    pub fn way_to(&self, name: impl AsRef<Path>) -> PathBuf {
        self.way.join(name)
    }

    /// How people know it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it.
    pub fn names(&self) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(&self.way)?.map(|entry| Ok(entry?.file_name().into())).collect()
    }

    /// What is in it. None of it is followed if it is a link, where the directory is bound to its handle.
    pub fn entries(&self) -> io::Result<Vec<DirEntry>> {
        let entries = fs::read_dir(&self.way)?.collect::<io::Result<Vec<_>>>()?;
        self.ensure_here()?;
        Ok(entries)
    }

    /// What the system knows of it.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.handle.as_ref().map_or_else(|| fs::symlink_metadata(&self.way), File::metadata)
    }

    /// The path that leads to it without a link.
    pub fn real_path(&self) -> io::Result<PathBuf> {
        self.handle
            .as_ref()
            .map_or_else(|| Ok(self.way.clone()), |handle| open::real_path(handle, &self.path))
    }

    /// It as a file that can be synced, which makes the names in it durable; `None` where directories are not opened.
    pub fn handle(&self) -> io::Result<Option<File>> {
        self.handle.as_ref().map(File::try_clone).transpose()
    }

    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.as_ref().map_or(Ok(()), File::sync_all)
    }

    /// Gives it a time of modification, where that can be done.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.handle.as_ref().map_or(Ok(()), |handle| handle.set_modified(time))
    }
}

/// Goes to directories below one, which it borrows or owns; where it is, it stays, so that the next one is often near.
pub struct Walk<T> {
    top: T,
    at: Option<(String, Folder)>,
}

impl<T: Borrow<Folder>> Walk<T> {
    /// Begins at `top`.
    pub fn from(top: T) -> Walk<T> {
        Walk { top, at: None }
    }

    /// The directory `dir`, with `/` between its parts, below the top; empty for the top itself. No link is followed.
    pub fn to(&mut self, dir: &str) -> io::Result<&Folder> {
        let below =
            |above: &str| dir.strip_prefix(above).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let (mut at, rest) = match self.at.take() {
            Some((above, folder)) if below(&above).is_some() => (Some(folder), &dir[above.len()..]),
            _ => (None, dir),
        };
        for name in rest.split('/').filter(|name| !name.is_empty()) {
            at = Some(at.as_ref().unwrap_or(self.top.borrow()).folder(name)?);
        }
        self.at = at.map(|folder| (dir.to_owned(), folder));
        Ok(self.at.as_ref().map_or(self.top.borrow(), |(_, folder)| folder))
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is no regular file any more")
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A directory with `a/b` and `elsewhere` in it, as it is opened, and as it is opened where there is no /proc.
    fn opened() -> (tempfile::TempDir, Vec<Folder>) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        let open = || Folder::open(dir.path()).unwrap();
        let unbound = Folder { way: fs::canonicalize(dir.path()).unwrap(), is_bound: false, ..open() };
        let folders = vec![open(), unbound];
        (dir, folders)
    }

    fn create(folder: &Folder, name: &str) -> io::Result<File> {
        folder.create(name, &mut file::private())
    }

    #[test]
    fn a_directory_that_is_swapped_for_a_link_is_still_the_one_that_was_opened() {
        let (dir, folders) = opened();
        let at = |name: &str| dir.path().join(name);
        for top in &folders {
            let a = top.folder("a").unwrap();
            let is_certain = a.is_bound;
            drop(create(&a, "before").unwrap());
            fs::rename(at("a"), at("aside")).unwrap();
            symlink("elsewhere", at("a")).unwrap();
            if is_certain {
                create(&a, "x").unwrap().write_all(b"here").unwrap();
                assert_eq!(fs::read(at("aside/x")).unwrap(), b"here");
                assert!(!at("elsewhere/x").exists());
                a.open_file("before").unwrap();
            } else {
                assert!(create(&a, "x").is_err() && a.open_file("before").is_err());
                assert_eq!(fs::read(at("elsewhere/x")).unwrap(), b"", "the most that there can be");
                fs::write(at("elsewhere/before"), "mine").unwrap();
                assert!(a.open_file("before").is_err());
            }
            assert!(top.folder("a").is_err(), "what is there now is a link");
            fs::remove_file(at("a")).unwrap();
            fs::rename(at("aside"), at("a")).unwrap();
            fs::remove_dir_all(at("a")).unwrap();
            fs::create_dir_all(at("a/b")).unwrap();
        }
    }

    #[test]
    fn what_is_below_a_link_that_took_its_place_is_not_touched() {
        let (dir, folders) = opened();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("elsewhere/b")).unwrap();
        fs::write(at("elsewhere/file"), "mine").unwrap();
        for top in &folders {
            let a = top.folder("a").unwrap();
            fs::rename(at("a"), at("aside")).unwrap();
            symlink("elsewhere", at("a")).unwrap();
            assert_eq!(a.folder("b").is_ok(), a.is_bound);
            assert_eq!(a.create_folder("new").is_ok(), a.is_bound);
            assert_eq!(a.ensure_here().is_ok(), a.is_bound);
            assert!(a.remove_file("file").is_err());
            assert_eq!(at("elsewhere/new").exists(), !a.is_bound, "the most that there can be");
            fs::remove_file(at("a")).unwrap();
            fs::rename(at("aside"), at("a")).unwrap();
            let _ = fs::remove_dir(at("a/new"));
            a.folder("b").unwrap();
        }
        assert_eq!(fs::read(at("elsewhere/file")).unwrap(), b"mine");
    }

    #[test]
    fn only_regular_files_are_opened_and_only_new_ones_made() {
        let (dir, folders) = opened();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("elsewhere/file"), "mine").unwrap();
        for (number, top) in folders.iter().enumerate() {
            let name = |what: &str| format!("{what} {number}");
            symlink("elsewhere/file", at(&name("link"))).unwrap();
            symlink("elsewhere/new", at(&name("dangling"))).unwrap();
            for wrong in [name("link"), name("dangling"), "a".into(), "missing".into()] {
                assert!(top.open_file(&wrong).is_err(), "{wrong}");
            }
            for taken in [name("link"), name("dangling"), "a".into()] {
                assert!(create(top, &taken).is_err() && top.open_or_create(&taken).is_err(), "{taken}");
            }
            let made = top.open_or_create(name("made")).unwrap();
            assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let again = top.open_or_create(name("made")).unwrap();
            assert!(top.has(&again, name("made")).unwrap() && top.has(&made, name("made")).unwrap());
            assert!(!top.has(&made, "missing").unwrap() && !top.has(&made, name("link")).unwrap());
            top.create_folder(name("dir")).unwrap();
            assert_eq!(fs::metadata(at(&name("dir"))).unwrap().permissions().mode() & 0o777, 0o700);
            assert!(top.create_folder(name("dir")).is_err());
        }
        assert_eq!(fs::read(at("elsewhere/file")).unwrap(), b"mine");
        assert!(!at("elsewhere/new").exists());
    }

    #[test]
    fn a_walk_finds_its_way_from_wherever_it_is() {
        let (dir, folders) = opened();
        for path in ["a/b/c/d", "ab"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        symlink("elsewhere", dir.path().join("a/link")).unwrap();
        for top in &folders {
            let mut walk = Walk::from(top);
            for path in ["a/b", "a/b", "a/b/c/d", "a", "ab", "", "a/b/c", "a/b"] {
                assert_eq!(
                    walk.to(path).unwrap().path(),
                    dir.path().join(path).components().collect::<PathBuf>()
                );
            }
            for path in ["a/link", "a/missing"] {
                assert!(walk.to(path).is_err(), "{path}");
                assert!(walk.to("a").is_ok());
            }
        }
    }
}
