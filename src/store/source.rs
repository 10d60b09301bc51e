//! What a file or directory that is to be sent looked like when it was chosen, so that a change shows later on.
//!
//! A directory is described by a cheap fingerprint of its tree: the bytes of all regular files below it, and the newest
//! time of modification of it and of any file or directory below. Whoever adds, renames or removes something touches the
//! directory that it is in, and whoever writes to a file touches that, so either shows. What hides itself does not: bytes
//! that were replaced by as many others under their old time.
//!
//! The name is followed if it is a symbolic link; those below it are not, and neither they nor devices count. It leaves
//! out the contents, and whether the names can travel.

use std::path::{Path, PathBuf};

use crate::error::{Result, reason};
use crate::store::folder::Folder;
use crate::store::found::{self, Found, Held, Kind, Place, modified, refuse};
use crate::store::own_files::OwnFiles;
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
    /// Which it is; `None` of what was queued before that was noted.
    pub place: Option<Place>,
}

/// Looks at a regular file or at a directory and what is below it.
pub fn snapshot(path: &Path, own: &OwnFiles) -> Result<Item> {
    let path = std::path::absolute(path).map_err(|cause| refuse(path, reason(&cause)))?;
    let found = Found::at(&path, own)?;
    let own_time = modified(&found.data);
    let (is_dir, size, modified) = match &found.held {
        Held::File => (false, found.data.len(), own_time),
        Held::Dir(folder) => {
            let mut tree = Tree { top: &path, own, size: 0, newest: own_time, entries: 0 };
            tree.add(folder, 1)?;
            (true, tree.size, tree.newest)
        }
    };
    Ok(Item { path, name: None, is_dir, size, modified, place: Some(found.place) })
}

impl Item {
    /// What has changed since, in words that follow its path; `None` if nothing has.
    pub fn change(&self, own: &OwnFiles) -> Option<String> {
        match snapshot(&self.path, own) {
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
            std::cmp::Ordering::Equal => {
                let (before, after) = (self.place.as_ref()?, now.place.as_ref()?);
                before.difference(after).map(str::to_owned)
            }
        }
    }
}

/// What a tree adds up to.
struct Tree<'a> {
    top: &'a Path,
    own: &'a OwnFiles,
    size: u64,
    newest: i64,
    entries: u32,
}

impl Tree<'_> {
    /// Adds what lies in a directory; the top is at depth 1.
    fn add(&mut self, folder: &Folder, depth: u32) -> Result<()> {
        for child in found::children(folder, self.own)? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(refuse(
                    self.top,
                    format!("more than {MAX_ENTRIES} files and directories are below it"),
                ));
            }
            let data = &child.data;
            match child.kind {
                // Only what of it may be sent counts: its logs change with the very queue that this is for.
                Kind::Home => self.add(&found::enter(folder, &child)?, depth + 1)?,
                Kind::Own | Kind::Other(_) => continue,
                _ if depth >= MAX_DEPTH => {
                    return Err(refuse(self.top, format!("it is more than {MAX_DEPTH} directories deep")));
                }
                Kind::Dir => {
                    self.newest = self.newest.max(modified(data));
                    self.add(&found::enter(folder, &child)?, depth + 1)?;
                }
                Kind::File => {
                    self.newest = self.newest.max(modified(data));
                    self.size = self.size.saturating_add(data.len());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::store::home::Home;
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    /// Of a home that is nowhere near.
    fn own() -> OwnFiles {
        let home = tempfile::tempdir().unwrap();
        OwnFiles::of(&Home::find(home.path().to_str()).unwrap()).unwrap()
    }

    fn snap(path: &Path) -> Result<Item> {
        snapshot(path, &own())
    }

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
        let item = snap(&path).unwrap();
        let place = item.place.clone().unwrap();
        assert_eq!(place.real, fs::canonicalize(&path).unwrap());
        let expected = Item {
            path: path.clone(),
            name: None,
            is_dir: false,
            size: 2048,
            modified: 1_000_000_000_007,
            place: Some(place),
        };
        assert_eq!(item, expected);
        assert_eq!(item.change(&own()), None);

        set_modified(&path, at(1000) + Duration::from_nanos(8));
        assert_eq!(item.change(&own()).unwrap(), "it was modified after it was queued");
        set_modified(&path, at(999));
        assert_eq!(item.change(&own()).unwrap(), "its time of modification has gone back");
        fs::write(&path, [0; 2049]).unwrap();
        assert_eq!(item.change(&own()).unwrap(), "its size was 2048 bytes and is 2049 now");
        fs::write(&path, [0; 4096]).unwrap();
        assert_eq!(item.change(&own()).unwrap(), "its size was 2.0 KiB and is 4.0 KiB now");
        fs::remove_file(&path).unwrap();
        assert_eq!(item.change(&own()).unwrap(), "it is gone");
        assert!(matches!(snap(&path), Err(Error::Source { .. })));
        fs::create_dir(&path).unwrap();
        assert_eq!(item.change(&own()).unwrap(), "it was a file and is a directory now");
    }

    #[test]
    fn times_before_1970_and_far_away_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "").unwrap();
        set_modified(&path, UNIX_EPOCH - Duration::from_secs(2));
        assert_eq!(snap(&path).unwrap().modified, -2_000_000_000);
        // Not every file system holds that.
        if File::open(&path).unwrap().set_modified(at(1 << 34)).is_ok() {
            assert!(snap(&path).unwrap().modified > 0);
        }
    }

    #[test]
    fn a_path_is_made_absolute_and_a_name_must_lead_somewhere() {
        assert_eq!(snap(Path::new("src")).unwrap().path, std::env::current_dir().unwrap().join("src"));
        assert!(snap(Path::new("")).is_err());
        #[cfg(unix)]
        assert!(snap(Path::new("/dev/null")).unwrap_err().to_string().contains("neither a regular file"));
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
            let item = snap(&top).unwrap();
            assert_eq!((item.is_dir, item.size, item.modified), (true, 15, 1_000_000_000_000));
            assert_eq!(item.change(&own()), None);
            change(&top);
            assert!(
                item.change(&own()).is_some_and(|words| words.contains(expected)),
                "{expected}: {:?}",
                item.change(&own())
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
        assert_eq!(snap(&link).unwrap().size, 15, "the name itself is");
        std::os::unix::fs::symlink("..", top.join("up")).unwrap();
        std::os::unix::fs::symlink("nowhere", top.join("dangling")).unwrap();
        assert_eq!(snap(&top).unwrap().size, 15);
    }

    #[test]
    fn a_tree_that_is_too_deep_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        let mut path = top.clone();
        (2..=MAX_DEPTH).for_each(|_| path.push("d"));
        fs::create_dir_all(&path).unwrap();
        assert!(snap(&top).is_ok());
        fs::write(path.join("one too many"), "").unwrap();
        assert!(snap(&top).unwrap_err().to_string().contains("directories deep"));
    }

    /// Another file with the same name, size and time, whoever has put it there.
    #[cfg(unix)]
    #[test]
    fn another_file_in_the_place_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let put = |name: &str| {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "12345").unwrap();
            set_modified(&at(name), at_time());
        };
        fn at_time() -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(1000)
        }
        put("in/file");
        put("other/file");
        let item = snap(&at("in/file")).unwrap();

        // As an editor saves.
        put("in/new");
        fs::rename(at("in/file"), at("in/kept")).unwrap();
        fs::rename(at("in/new"), at("in/file")).unwrap();
        assert_eq!(item.change(&own()).unwrap(), "another has its place now");
        fs::rename(at("in/kept"), at("in/file")).unwrap();
        assert_eq!(item.change(&own()), None);

        // By a link in its place, or in that of the directory that it is in.
        fs::rename(at("in/file"), at("in/kept")).unwrap();
        std::os::unix::fs::symlink("../other/file", at("in/file")).unwrap();
        assert_eq!(item.change(&own()).unwrap(), "its path leads elsewhere now");
        fs::rename(at("in"), at("aside")).unwrap();
        std::os::unix::fs::symlink("other", at("in")).unwrap();
        assert_eq!(item.change(&own()).unwrap(), "its path leads elsewhere now");

        // Of what was queued by the first release, nobody knows which file it was.
        let old = Item { place: None, ..item };
        assert_eq!(old.change(&own()), None);
    }
}
