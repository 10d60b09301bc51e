//! What a file or directory that is to be sent looked like when it was chosen, so that a change shows later on.
//!
//! A directory is described by a cheap fingerprint of its tree: the bytes of all regular files below it, and the newest
//! time of modification of it and of any file or directory below. Whoever adds, renames or removes something touches the
//! directory that it is in, and whoever writes to a file touches that, so either shows. What hides itself does not: bytes
//! that were replaced by as many others under their old time.
//!
//! The name is followed if it is a symbolic link; those below it are not, and neither they nor devices count. It leaves
//! out the contents, and whether the names can travel.

use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result, reason};
use crate::text;

/// Most entries of a transfer: there is no use in walking through more.
pub const MAX_ENTRIES: u32 = 100_000;
/// Names in the longest path, that of the top included.
pub const MAX_DEPTH: u32 = 32;

/// A file or directory that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is, from the root.
    pub path: PathBuf,
    /// What it is to be called by the receiver, when not as it is here.
    pub name: Option<String>,
    /// A directory, and not a regular file.
    pub is_dir: bool,
    /// Bytes; of a directory, those of all files below it.
    pub size: u64,
    /// When it was last modified, in ns of Unix time; of a directory, the newest time of its tree.
    pub modified: i64,
}

/// Looks at a regular file or at a directory and what is below it.
pub fn snapshot(path: &Path) -> Result<Item> {
    let path = std::path::absolute(path).map_err(|cause| refuse(path, reason(&cause)))?;
    let data = fs::metadata(&path).map_err(|cause| refuse(&path, reason(&cause)))?;
    let is_dir = data.is_dir();
    let (size, modified) = if is_dir {
        walk(&path, modified(&data))?
    } else if data.is_file() {
        // Opened, not just looked at: that it cannot be read is to be known now.
        File::open(&path).map_err(|cause| refuse(&path, reason(&cause)))?;
        (data.len(), modified(&data))
    } else {
        return Err(refuse(&path, "it is neither a regular file nor a directory"));
    };
    Ok(Item { path, name: None, is_dir, size, modified })
}

impl Item {
    /// What has changed since, in words that follow its path; `None` if nothing has.
    pub fn change(&self) -> Option<String> {
        match snapshot(&self.path) {
            Ok(now) => self.difference(&now),
            Err(_) if matches!(self.path.try_exists(), Ok(false)) => Some("it is gone".into()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn difference(&self, now: &Item) -> Option<String> {
        let kind = |item: &Item| if item.is_dir { "directory" } else { "file" };
        if self.is_dir != now.is_dir {
            return Some(format!("it was a {} and is a {} now", kind(self), kind(now)));
        }
        if self.size != now.size {
            let (mut before, mut after) = (text::size(self.size), text::size(now.size));
            if before == after {
                (before, after) = (format!("{} bytes", self.size), now.size.to_string());
            }
            return Some(format!("its size was {before} and is {after} now"));
        }
        match now.modified.cmp(&self.modified) {
            std::cmp::Ordering::Greater => Some("it was modified after it was queued".into()),
            std::cmp::Ordering::Less => Some("its time of modification has gone back".into()),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// Bytes and newest time of the tree below `top`, which has the time `newest` itself.
fn walk(top: &Path, mut newest: i64) -> Result<(u64, i64)> {
    let (mut size, mut entries) = (0u64, 0);
    let mut dirs = vec![(top.to_owned(), 1)];
    while let Some((dir, depth)) = dirs.pop() {
        for entry in fs::read_dir(&dir).map_err(|cause| refuse(&dir, reason(&cause)))? {
            let entry = entry.map_err(|cause| refuse(&dir, reason(&cause)))?;
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(refuse(
                    top,
                    format!("more than {MAX_ENTRIES} files and directories are below it"),
                ));
            }
            // Of a link, and not of what it leads to.
            let data = entry.metadata().map_err(|cause| refuse(&entry.path(), reason(&cause)))?;
            if !data.is_dir() && !data.is_file() {
                continue;
            }
            if depth >= MAX_DEPTH {
                return Err(refuse(top, format!("it is more than {MAX_DEPTH} directories deep")));
            }
            newest = newest.max(modified(&data));
            if data.is_dir() {
                dirs.push((entry.path(), depth + 1));
            } else {
                size = size.saturating_add(data.len());
            }
        }
    }
    Ok((size, newest))
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
    Error::Source { path: text::clean_line(&path.to_string_lossy()), why: why.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn set_modified(path: &Path, time: SystemTime) {
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_file_is_described_and_its_changes_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, [0; 2048]).unwrap();
        set_modified(&path, at(1000) + Duration::from_nanos(7));
        let item = snapshot(&path).unwrap();
        let expected =
            Item { path: path.clone(), name: None, is_dir: false, size: 2048, modified: 1_000_000_000_007 };
        assert_eq!(item, expected);
        assert_eq!(item.change(), None);

        set_modified(&path, at(1000) + Duration::from_nanos(8));
        assert_eq!(item.change().unwrap(), "it was modified after it was queued");
        set_modified(&path, at(999));
        assert_eq!(item.change().unwrap(), "its time of modification has gone back");
        fs::write(&path, [0; 2049]).unwrap();
        assert_eq!(item.change().unwrap(), "its size was 2048 bytes and is 2049 now");
        fs::write(&path, [0; 4096]).unwrap();
        assert_eq!(item.change().unwrap(), "its size was 2.0 KiB and is 4.0 KiB now");
        fs::remove_file(&path).unwrap();
        assert_eq!(item.change().unwrap(), "it is gone");
        assert!(matches!(snapshot(&path), Err(Error::Source { .. })));
        fs::create_dir(&path).unwrap();
        assert_eq!(item.change().unwrap(), "it was a file and is a directory now");
    }

    #[test]
    fn times_before_1970_and_far_away_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "").unwrap();
        set_modified(&path, UNIX_EPOCH - Duration::from_secs(2));
        assert_eq!(snapshot(&path).unwrap().modified, -2_000_000_000);
        // Not every file system holds that.
        if File::open(&path).unwrap().set_modified(at(1 << 34)).is_ok() {
            assert!(snapshot(&path).unwrap().modified > 0);
        }
    }

    #[test]
    fn a_path_is_made_absolute_and_a_name_must_lead_somewhere() {
        assert_eq!(snapshot(Path::new("src")).unwrap().path, std::env::current_dir().unwrap().join("src"));
        assert!(snapshot(Path::new("")).is_err());
        #[cfg(unix)]
        assert!(snapshot(Path::new("/dev/null")).unwrap_err().to_string().contains("neither a regular file"));
    }

    /// A tree whose parts all have the time 1000.
    fn tree(top: &Path) {
        fs::create_dir_all(top.join("sub/empty")).unwrap();
        fs::write(top.join("a"), [0; 10]).unwrap();
        fs::write(top.join("sub/b"), [0; 5]).unwrap();
        for path in ["a", "sub/b", "sub/empty", "sub", ""] {
            set_modified(&top.join(path), at(1000));
        }
    }

    #[test]
    fn a_directory_tells_of_any_change_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("modified", |top| fs::write(top.join("sub/b"), [1; 5]).unwrap()),
            ("modified", |top| fs::remove_dir(top.join("sub/empty")).unwrap()),
            ("modified", |top| fs::rename(top.join("a"), top.join("c")).unwrap()),
            ("15 B and is 16 B now", |top| fs::write(top.join("sub/empty/c"), "x").unwrap()),
            ("15 B and is 10 B now", |top| fs::remove_file(top.join("sub/b")).unwrap()),
        ];
        for (expected, change) in changes {
            tree(&top);
            let item = snapshot(&top).unwrap();
            assert_eq!((item.is_dir, item.size, item.modified), (true, 15, 1_000_000_000_000));
            assert_eq!(item.change(), None);
            change(&top);
            assert!(
                item.change().is_some_and(|words| words.contains(expected)),
                "{expected}: {:?}",
                item.change()
            );
            fs::remove_dir_all(&top).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_below_a_directory_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        tree(&top);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&top, &link).unwrap();
        assert_eq!(snapshot(&link).unwrap().size, 15, "the name itself is");
        std::os::unix::fs::symlink("..", top.join("up")).unwrap();
        std::os::unix::fs::symlink("nowhere", top.join("dangling")).unwrap();
        assert_eq!(snapshot(&top).unwrap().size, 15);
    }

    #[test]
    fn a_tree_that_is_too_deep_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        let mut path = top.clone();
        (2..=MAX_DEPTH).for_each(|_| path.push("d"));
        fs::create_dir_all(&path).unwrap();
        assert!(snapshot(&top).is_ok());
        fs::write(path.join("one too many"), "").unwrap();
        assert!(snapshot(&top).unwrap_err().to_string().contains("directories deep"));
    }
}
