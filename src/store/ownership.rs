//! Whether a home is its owner's alone (egoat-files(5), DESCRIPTION). What others can change there is not believed: a
//! planted peers file would be somebody else's list of friends, and a planted node.lock somebody else's node.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::{Home, OWN_FOLDERS};
use crate::store::open::FileId;
use crate::store::way;

/// Files in a home that are taken for true. The logs are sealed, and the identity is looked at when it is opened, more
/// strictly.
const FILES: [&str; 14] = [
    "peers",
    "invites",
    "requests",
    "name",
    "listen",
    "proxy",
    "presence",
    "node.lock",
    "window.lock",
    "settings",
    "mapping",
    "uploads",
    "on-message.cursor",
    "on-file.cursor",
];
const ROOT: u32 = 0;
/// The way out of a directory that others can change.
const ELSEWHERE: &str = "choose a --home that nobody else can get at";

/// Refuses a home that somebody else owns or can change, or a file or folder in it of which that is true.
pub fn check(home: &Home) -> Result<()> {
    let dir = home.dir();
    let Some(found) = check_path(dir, dir)? else { return Ok(()) };
    check_above(dir, &found)?;
    check_owner(&home.identity_path(), dir)?;
    let can_be_entered = file::is_exposed(&found);
    for path in OWN_FOLDERS.iter().chain(&FILES).map(|name| dir.join(name)) {
        // In a home that nobody else can enter, a file that an editor or a shell has made with a umask of 002 is out of
        // reach. A link leads elsewhere.
        if can_be_entered || path.is_symlink() { check_path(&path, dir) } else { check_owner(&path, dir) }?;
    }
    Ok(())
}

/// Whoever can change a directory above the home, or a link on the way to it, can put another home in its place, also while
/// a node runs: the owner, and those who may write to it unless it is sticky.
fn check_above(dir: &Path, home: &fs::Metadata) -> Result<()> {
    if !file::HAS_OWNERS {
        return Ok(());
    }
    let mut bad: Option<Error> = None;
    let is_ours = |found: &fs::Metadata| {
        let owner = file::owner(found);
        file::is_of_system(found) || owner == file::owner(home) || owner == file::process_user()
    };
    let walked = way::walk(dir, |path, found| {
        if bad.is_some() || (FileId::of(found).is_some() && FileId::of(found) == FileId::of(home)) {
            return Ok(());
        }
        let exposed = |why: String, hint: String| Error::Exposed { path: path.to_owned(), why, hint };
        let mode = file::permissions(found).unwrap_or_default();
        if !is_ours(found) {
            let owner = file::owner(found).unwrap_or_default();
            let why = format!(
                "it belongs to user {owner}, who can put another home in the place of {}",
                dir.display()
            );
            bad = Some(exposed(why, ELSEWHERE.into()));
        } else if !found.is_symlink() && file::lets_others_replace(found) {
            let why = format!(
                "its mode is {mode:03o}, so that others can put another home in the place of {}",
                dir.display()
            );
            bad = Some(exposed(why, format!("`chmod go-w {}`, or {ELSEWHERE}", path.display())));
        }
        Ok(())
    });
    walked.map_err(Error::disk(Verb::Read, dir))?;
    bad.map_or(Ok(()), Err)
}

fn check_path(path: &Path, dir: &Path) -> Result<Option<fs::Metadata>> {
    let Some(found) = check_owner(path, dir)? else { return Ok(None) };
    match file::permissions(&found) {
        Some(mode) if file::is_open_to_change(&found) => Err(Error::Exposed {
            path: path.to_owned(),
            why: format!("its mode is {mode:03o}, so that others can change it"),
            hint: format!("look at what is in it, then `chmod go-w {}`", path.display()),
        }),
        _ => Ok(Some(found)),
    }
}

/// Gives what was found, if something is there.
fn check_owner(path: &Path, dir: &Path) -> Result<Option<fs::Metadata>> {
    let found = match fs::metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(Error::disk(Verb::Read, path))?,
    };
    let owner = file::owner(&found).filter(|owner| *owner != ROOT);
    // Where it cannot be told who we are, as in a folder that we may not write to, the modes have to do.
    match owner.zip(owner.and_then(|_| file::user(dir))) {
        Some((owner, user)) if owner != user => Err(Error::Exposed {
            path: path.to_owned(),
            why: format!("it belongs to user {owner}, and this is user {user}"),
            hint: "choose another --home, or make sure that you want what is in it, and `chown` it".into(),
        }),
        _ => Ok(Some(found)),
    }
}
