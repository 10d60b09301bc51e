//! Directories with all that is in them.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What is below a directory, itself included: modes with all their bits, times in nanoseconds, content of files.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub mode: u32,
    pub modified: SystemTime,
    pub content: Option<Vec<u8>>,
}

pub fn all_in(top: &Path) -> BTreeMap<PathBuf, Found> {
    let mut found = BTreeMap::new();
    let mut paths = vec![top.to_owned()];
    while let Some(path) = paths.pop() {
        let data = fs::symlink_metadata(&path).unwrap();
        let content = data.is_file().then(|| fs::read(&path).unwrap());
        if data.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let one = Found { mode: data.mode(), modified: data.modified().unwrap(), content };
        found.insert(path.strip_prefix(top).unwrap().to_owned(), one);
    }
    found
}

/// The same as it must arrive: of the modes the user's x bit is kept.
pub fn as_received(top: &Path) -> BTreeMap<PathBuf, Found> {
    let mut found = all_in(top);
    for one in found.values_mut() {
        one.mode = match &one.content {
            None => 0o40700,
            Some(_) if one.mode & 0o100 != 0 => 0o100700,
            Some(_) => 0o100600,
        };
    }
    found
}

/// A file in directories that are made for it.
pub fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
