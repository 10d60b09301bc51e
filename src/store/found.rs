//! What the user's paths lead to, and what lies below: held open, so that a link which another user puts in the place of
//! something leads nowhere, and told apart by what may be sent. It leaves out what is done with it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, File, FileType, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result, reason};
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::open;
use crate::store::own_files::{self, OwnFiles};
use crate::text;

/// The way out for a file of which nobody knows the size.
const BY_PIPE: &str = "send what it holds now through a pipe: `egoat send PEER - <FILE`";

/// The way out for a file that is written to.
const AGAIN: &str = "send it again once nothing writes to it";

/// The way out for a directory in which something changes.
const BY_TAR: &str = "to send a directory while something changes in it: `tar c DIR | egoat send PEER -`";

/// Which file or directory was meant, for as long as it exists: also after a restart, when devices may have other numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path, without a symbolic link.
    pub real: PathBuf,
    /// Its number within its file system; 0 where std does not tell it.
    pub inode: u64,
}

impl Place {
    /// What is different now, in words that follow the path; `None` if nothing is.
    pub fn difference(&self, now: &Place) -> Option<&'static str> {
        if self.real != now.real {
            Some("its path leads elsewhere now")
        } else if self.inode != now.inode {
            Some("another has its place now")
        } else {
            None
        }
    }
}

/// A file or directory that the user named, held open.
pub struct Found {
    /// What the system knows of it.
    pub data: Metadata,
    /// Where it is.
    pub place: Place,
    /// It itself.
    pub held: Held,
}

/// What is held open.
pub enum Held {
    /// A regular file.
    File,
    /// A directory.
    Dir(Folder),
}

impl Found {
    /// Opens what a path leads to; a link that is named itself is followed.
    pub fn at(path: &Path, own: &OwnFiles) -> Result<Found> {
        let failed = |cause| refuse(path, reason(&cause));
        let named = fs::metadata(path).map_err(failed)?;
        // To open a device can have effects, so it is only done to what looks right.
        let (data, real, held) = if named.is_dir() {
            let folder = Folder::open(path).map_err(failed)?;
            (folder.metadata().map_err(failed)?, folder.real_path().map_err(failed)?, Held::Dir(folder))
        } else if named.is_file() {
            let file = open::followed(path).map_err(failed)?;
            let data = file.metadata().map_err(failed)?;
            let real = open::real_path(&file, path).map_err(failed)?;
            ensure_size(&file, &data, path)?;
            (data, real, Held::File)
        } else {
            return Err(neither(path));
        };
        if own.has(&real, &data) {
            return Err(own_home(path));
        }
        if own.is_in_other_home(&real) {
            return Err(refuse_with(
                path,
                "it is a home of egoat, or in one, with its identity and all histories",
                Some(SHARED),
            ));
        }
        let inode = file::inode(&data);
        Ok(Found { data, place: Place { real, inode }, held })
    }
}

/// What has a name in a directory.
pub struct Child {
    /// Its name there.
    pub name: OsString,
    /// What it is to those who send it.
    pub kind: Kind,
    /// What the system knows of it; of a link, and not of what that leads to.
    pub data: Metadata,
}

/// What something in a directory is to those who send it.
pub enum Kind {
    /// A regular file that can be read.
    File,
    /// A directory.
    Dir,
    /// A home of egoat, this one's or another, of which `downloads/` and `uploads/` may be sent.
    Home,
    /// Something else that belongs to this one's home.
    Own,
    /// Something that does not travel.
    Other(Stays),
}

/// What stays where it is, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stays {
    /// A symbolic link.
    Link,
    /// A FIFO.
    Pipe,
    /// A Unix socket.
    Socket,
    /// A device, or something that this system alone knows.
    Device,
}

impl Stays {
    fn of(kind: FileType) -> Stays {
        match file::is_pipe_or_socket(kind) {
            _ if kind.is_symlink() => Stays::Link,
            (true, _) => Stays::Pipe,
            (_, true) => Stays::Socket,
            _ => Stays::Device,
        }
    }

    /// What so many of it are called.
    pub fn word(self, count: usize) -> &'static str {
        let [one, many] = match self {
            Stays::Link => ["symbolic link", "symbolic links"],
            Stays::Pipe => ["named pipe", "named pipes"],
            Stays::Socket => ["socket", "sockets"],
            Stays::Device => ["device", "devices"],
        };
        if count == 1 { one } else { many }
    }
}

/// What lies in a directory, in the order of names, so that the same tree is the same transfer when it is tried again. Of
/// a home of egoat it is what may be sent.
pub fn list(folder: &Folder, own: &OwnFiles) -> Result<Vec<DirEntry>> {
    let failed = |cause| refuse(folder.path(), reason(&cause));
    let mut listed = folder.entries().map_err(failed)?;
    if own.is_home(&folder.metadata().map_err(failed)?) {
        listed.retain(|entry| entry.metadata().is_ok_and(|data| own.is_shared(&data)));
    } else if own.is_other_home(&folder.way_to("")) {
        let is_dir = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        listed.retain(|entry| own_files::is_shared_name(&entry.file_name()) && is_dir(entry));
    }
    listed.sort_unstable_by_key(DirEntry::file_name);
    Ok(listed)
}

/// The way out for a home.
const SHARED: &str = "what lies in its downloads/ and uploads/ can be sent";

/// Lists a directory and looks at everything in it. Of what this opens, nothing stays open, however deep the tree.
pub fn children(folder: &Folder, own: &OwnFiles) -> Result<Vec<Child>> {
    list(folder, own)?.iter().map(|entry| look(folder, entry, own)).collect()
}

/// Looks at what lies in a directory, without following it if it is a link.
pub fn look(folder: &Folder, entry: &DirEntry, own: &OwnFiles) -> Result<Child> {
    let name = entry.file_name();
    let failed = |cause| refuse(&folder.path().join(&name), reason(&cause));
    let data = entry.metadata().map_err(failed)?;
    let kind = if own.is_home(&data) || (data.is_dir() && own.is_other_home(&folder.way_to(&name))) {
        Kind::Home
    } else if own.is_private(&data) {
        Kind::Own
    } else if data.is_dir() {
        Kind::Dir
    } else if data.is_file() {
        ensure_readable(folder, &name, &data)?;
        Kind::File
    } else {
        Kind::Other(Stays::of(data.file_type()))
    };
    Ok(Child { name, kind, data })
}

/// A directory in another one, opened by its own name.
pub fn enter(folder: &Folder, child: &Child) -> Result<Folder> {
    folder.folder(&child.name).map_err(|cause| refuse(&folder.path().join(&child.name), reason(&cause)))
}

/// A file that cannot be read is to be found before anybody is dialled. What all may read, and has a size, need not be
/// tried.
fn ensure_readable(folder: &Folder, name: &OsStr, data: &Metadata) -> Result<()> {
    if file::is_readable_by_all(data) && !open::is_size_doubtful(data) {
        return Ok(());
    }
    let path = folder.path().join(name);
    let file = folder.read_file(name).map_err(|cause| refuse(&path, reason(&cause)))?;
    ensure_size(&file, data, &path)
}

/// Refuses a file in which is more, or less, than its size says: it would arrive empty, or not at all.
fn ensure_size(file: &File, data: &Metadata, path: &Path) -> Result<()> {
    if !open::is_size_doubtful(data) {
        return Ok(());
    }
    let last = data.len().saturating_sub(1);
    let got = file::read_at(file, &mut [0], last).map_err(|cause| refuse(path, reason(&cause)))?;
    if (got > 0) == (data.len() > 0) { Ok(()) } else { Err(sizeless(path)) }
}

/// In ns of Unix time, or as near to it as fits (the years 1677 to 2262); 0 where the system has no such time.
pub fn modified(data: &Metadata) -> i64 {
    let Ok(time) = data.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

/// The file cannot be sent.
pub fn refuse(path: &Path, why: impl Into<String>) -> Error {
    refuse_with(path, why, None)
}

fn refuse_with(path: &Path, why: impl Into<String>, hint: Option<&'static str>) -> Error {
    Error::Source { path: text::clean_line(&path.to_string_lossy()), why: why.into(), hint }
}

/// The system tells no size, or a wrong one, as it does of what is in /proc and /sys.
pub fn sizeless(path: &Path) -> Error {
    refuse_with(path, "the system does not tell how large it is", Some(BY_PIPE))
}

/// The file is not what it was when it was chosen; one that grows, such as a log, can go through a pipe.
pub fn changed(path: &Path, has_grown: bool) -> Error {
    refuse_with(path, "it changed while it was sent", Some(if has_grown { BY_PIPE } else { AGAIN }))
}

/// The same error for a file that was found in a directory, and cannot be sent as it was then.
pub fn within_directory(error: Error) -> Error {
    match error {
        Error::Source { path, why, .. } => Error::Source { path, why, hint: Some(BY_TAR) },
        other => other,
    }
}

fn neither(path: &Path) -> Error {
    refuse(path, "it is neither a regular file nor a directory")
}

fn own_home(path: &Path) -> Error {
    refuse_with(path, "it is egoat's own home, or in it, with the identity and all histories", Some(SHARED))
}
