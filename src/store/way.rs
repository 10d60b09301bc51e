//! The way to a directory: every directory and every symbolic link that a look-up of its path passes. Whoever can change one
//! of them decides where the path leads. It leaves out what may be there: see `ownership` and `place`.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::store::file;

/// Links that a look-up follows at the most, as Linux has it.
const MAX_LINKS: usize = 40;

/// Goes the way to `path` as far as it exists. `pass` gets each directory and link, in order, by a path without links above
/// it, and the last of them as well. Returns where the path leads without a link; what does not exist stays as it is.
pub fn walk(path: &Path, mut pass: impl FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<PathBuf> {
    let path = file::absolute(path.to_owned());
    let mut rest = parts(&path);
    let (mut at, mut links) = (PathBuf::new(), 0);
    while let Some(part) = rest.pop() {
        let next = match Path::new(&part).components().next() {
            Some(Component::ParentDir) => at.parent().map_or_else(|| at.clone(), Path::to_owned),
            _ => at.join(&part),
        };
        let found = match fs::symlink_metadata(&next) {
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                rest.push(part);
                at.extend(rest.into_iter().rev());
                return Ok(at);
            }
            found => found?,
        };
        pass(&next, &found)?;
        if !found.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other("too many symbolic links"));
        }
        let target = fs::read_link(&next)?;
        if target.has_root() {
            at = PathBuf::new();
        }
        rest.extend(parts(&target));
    }
    Ok(at)
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_directory_and_link_is_passed() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        let at = |name: &str| top.join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::create_dir(at("c")).unwrap();
        symlink("../c", at("a/up")).unwrap();
        symlink(at("a/up"), at("link")).unwrap();
        symlink("round", at("round")).unwrap();
        let go = |name: &str| {
            let mut passed = Vec::new();
            let end = walk(&at(name), |path, _| {
                passed.extend(path.strip_prefix(&top).ok().map(|path| path.to_str().unwrap().to_owned()));
                Ok(())
            });
            end.map(|end| (end.strip_prefix(&top).unwrap().to_owned(), passed.join(" ")))
        };
        let reaches = |name: &str, end: &str, passed: &str| {
            assert_eq!(go(name).unwrap(), (PathBuf::from(end), passed.to_owned()), "{name}");
        };
        reaches("a/b", "a/b", " a a/b");
        reaches("a/../c", "c", " a  c");
        reaches("a/up", "c", " a a/up  c");
        reaches("link/d/../e", "c/d/../e", " link  a a/up  c");
        assert!(go("round").is_err());
    }
}
