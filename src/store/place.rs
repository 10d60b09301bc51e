//! The directory in which received files land: who may have a say in where it is, and what it must not be. It leaves out
//! what is done in it: see `staged`.
//!
//! Its path may go through directories that others can write to. Directories there do not matter: what lands in one that
//! somebody else has put there is theirs to see. But a link leads to a directory of the user's, such as ~/.ssh.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result, Verb, reason};
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::home::{Home, user_home};
use crate::store::open::FileId;
use crate::store::{own_files, staged, way};

/// The way out of a place that is none.
const ELSEWHERE: &str = "choose another directory";
/// A name that every disk holds has up to this many bytes: eCryptfs has the least, 143.
pub const SURE_LENGTH: usize = 143;

/// Opens a place that exists. A link on the way that belongs neither to root nor to the user is an error.
pub fn open(dir: &Path) -> io::Result<Folder> {
    let real = without_foreign_links(dir)?;
    let folder = Folder::open(dir)?;
    // Somebody may have put a link there since. A disk that is blind to case gives another spelling.
    let is_there = || -> io::Result<bool> {
        let id = FileId::of(&fs::symlink_metadata(&real)?);
        Ok(id == FileId::of(&folder.metadata()?) && without_foreign_links(dir)? == real)
    };
    if folder.real_path()? == real || is_there()? {
        Ok(folder)
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "somebody else changes the way to it"))
    }
}

/// Makes a place with what is missing above it, for whatever may land there.
pub fn make(home: &Home, dir: &Path) -> Result<()> {
    check_way(home, dir)?;
    file::create_private_dir(dir).map_err(Error::disk(Verb::Create, dir))
}

/// An error if others have a say in where `dir` is, which need not exist yet, or if it is a part of the home that is not for
/// files of the user.
pub fn check_way(home: &Home, dir: &Path) -> Result<()> {
    let real = without_foreign_links(dir).map_err(Error::disk(Verb::Open, dir))?;
    if own_files::is_inside(home, &real) {
        let what = "it is egoat's own home, or in it";
        return Err(cannot(dir, what, "of the home, only downloads/ and uploads/ are for files"));
    }
    Ok(())
}

/// Whether files can land in `dir`, which need not exist yet, as far as that shows now: a directory is made there, and what is
/// missing above it beside its own place, and removed again. A disk that is full is [`Error::Disk`].
pub fn check(home: &Home, dir: &Path) -> Result<()> {
    let existing = dir.ancestors().find(|above| fs::symlink_metadata(above).is_ok());
    let existing = existing.unwrap_or(Path::new("."));
    let nothing = |cause: &io::Error| {
        let what = format!("nothing can be made in {}: {}", existing.display(), reason(cause));
        cannot(dir, what, ELSEWHERE)
    };
    match check_way(home, dir) {
        // Such as a name that is too long.
        Err(Error::Disk { cause, .. }) if cause.raw_os_error().is_some() => return Err(nothing(&cause)),
        checked => checked?,
    }
    match fs::metadata(existing) {
        Ok(found) if found.is_dir() => {}
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            return Err(cannot(
                dir,
                format!("{} is a link that leads nowhere", existing.display()),
                ELSEWHERE,
            ));
        }
        Err(cause) => return Err(nothing(&cause)),
        Ok(_) => return Err(cannot(dir, format!("{} is no directory", existing.display()), ELSEWHERE)),
    }
    let missing = dir.strip_prefix(existing).unwrap_or(Path::new(""));
    let tried = if missing.as_os_str().is_empty() { try_out(dir) } else { try_to_make(existing, missing) };
    tried.and_then(|()| has_short_path(dir)).map_err(|cause| {
        let disk = Error::disk(Verb::Create, dir)(cause);
        match &disk {
            Error::Disk { cause, .. } if !disk.is_disk_full() => nothing(cause),
            _ => disk,
        }
    })
}

/// The same for a place that is used at some later time: a disk that is full now may have room then.
pub fn check_for_later(home: &Home, dir: &Path) -> Result<()> {
    match check(home, dir) {
        Err(error) if error.is_disk_full() => Ok(()),
        checked => checked,
    }
}

/// Whether the directory is the home directory of the user, by whatever path: shells and other programs do what files there
/// say whose names begin with a dot.
pub fn is_user_home(dir: &Path) -> bool {
    let Some(home) = user_home() else { return false };
    let id = |dir: &Path| fs::metadata(dir).ok().as_ref().and_then(FileId::of);
    let real = |dir: &Path| fs::canonicalize(dir).ok();
    match (id(dir), id(&home)) {
        (Some(one), Some(other)) => one == other,
        _ => real(dir).is_some_and(|dir| real(&home) == Some(dir)),
    }
}

fn cannot(dir: &Path, why: impl AsRef<str>, hint: &str) -> Error {
    let what = format!("cannot receive into {}: {}", dir.display(), why.as_ref());
    Error::Failed { what, hint: Some(hint.into()) }
}

/// Where the path leads.
fn without_foreign_links(dir: &Path) -> io::Result<PathBuf> {
    if !file::HAS_OWNERS {
        return Ok(fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned()));
    }
    let mut links = Vec::new();
    let real = way::walk(dir, |path, found| {
        if found.is_symlink() && !file::is_of_system(found) && file::owner(found) != file::process_user() {
            links.push((path.to_owned(), file::owner(found)));
        }
        Ok(())
    })?;
    if links.is_empty() {
        return Ok(real);
    }
    // Where the system does not tell who we are, a file there does, or in what there is of it.
    let existing = real.ancestors().find(|above| above.is_dir());
    let user = existing.and_then(file::user);
    match links.iter().find(|(_, owner)| *owner != user) {
        None => Ok(real),
        Some((link, owner)) => {
            let whose = owner.map_or_else(|| "another user".into(), |owner| format!("user {owner}"));
            let what = format!("{} is a link that belongs to {whose}", link.display());
            Err(io::Error::new(ErrorKind::InvalidInput, what))
        }
    }
}

/// Does there what is done for a transfer.
fn try_out(dir: &Path) -> io::Result<()> {
    let place = open(dir)?;
    place.names()?;
    let probe = staged::new_name();
    place.create_folder(&probe)?;
    fs::remove_dir(place.way_to(&probe))
}

/// Makes all that is missing, below a directory of a name that nobody else has: what others make, or try out, at the same time
/// stays.
fn try_to_make(existing: &Path, missing: &Path) -> io::Result<()> {
    let probe = existing.join(staged::new_name());
    file::create_dir(&probe)?;
    let names = missing.components().filter(|part| matches!(part, Component::Normal(_)));
    let mut at = probe.clone();
    let made = names.into_iter().try_for_each(|name| {
        at.push(name);
        file::create_dir(&at)
    });
    made.and(fs::remove_dir_all(&probe))
}

/// What lands there is known by its whole path in the end.
fn has_short_path(dir: &Path) -> io::Result<()> {
    match fs::symlink_metadata(dir.join("x".repeat(SURE_LENGTH))) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        found => found.map(drop),
    }
}
