//! Whether what came to its name is still what came. A sender that lost the last word is told that its files are stored,
//! without another byte, only while every one of them looks as it did when it got its name: by its size, its time of
//! modification and its inode. It leaves out contents: a program that changes a file and gives it its old time again means
//! to deceive.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::crypto::{Hasher, base32};
use crate::store::file;
use crate::transfer::manifest::Manifest;

/// Bytes of the hash.
const LEN: usize = 16;

/// How all files of a transfer look, in one word. `top` says where the files and directories at the top of the manifest
/// are, by their places among [`Manifest::tops`]. An error when one is missing or of another kind.
pub fn seal(manifest: &Manifest, top: impl Fn(usize) -> PathBuf) -> io::Result<String> {
    let tops = manifest.tops();
    let places: HashMap<&str, usize> =
        tops.iter().enumerate().map(|(place, (name, ..))| (*name, place)).collect();
    let mut hasher = Hasher::default();
    for entry in manifest.entries() {
        let path = entry.path.as_str();
        let (name, below) = path.split_once('/').unwrap_or((path, ""));
        let top = top(places[name]);
        look(&mut hasher, &if below.is_empty() { top } else { top.join(below) }, entry.is_dir)?;
    }
    Ok(base32::encode(&hasher.finish()[..LEN]))
}

fn look(hasher: &mut Hasher, path: &Path, is_dir: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() != is_dir || !(is_dir || found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "something else has its name"));
    }
    if !is_dir {
        hasher.update(&found.len().to_be_bytes());
        hasher.update(&nanoseconds(found.modified()?).to_be_bytes());
        hasher.update(&file::inode(&found).to_be_bytes());
    }
    Ok(())
}

fn nanoseconds(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}
