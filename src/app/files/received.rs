//! A file that was received, as its record in the history names it.

use std::fs::File;
use std::path::PathBuf;

use crate::app::desktop;
use crate::app::inbox::entry::Event;
use crate::app::inbox::pages;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Own;
use crate::store::open;
use crate::store::peers::Peer;
use crate::text::percent;

/// A received file.
pub struct Received {
    path: PathBuf,
}

/// What a path of a history leads to now: `file` or `dir`; `None` if neither is there.
pub fn kind_at(path: &[u8]) -> Option<&'static str> {
    let found = file::path_of(path)?.symlink_metadata().ok()?;
    match () {
        () if found.is_file() => Some("file"),
        () if found.is_dir() => Some("dir"),
        () => None,
    }
}

/// The file of a record; an error if the record is not of one, or nothing is there any more.
pub fn find(own: &Own, peer: &Peer, seq: u64) -> Result<Received> {
    let mut path = None;
    pages::one(own, peer, seq, |entry| {
        if let Event::FileReceived { path: bytes, .. } = entry.event {
            path = file::path_of(bytes);
        }
    })?;
    let path = path.ok_or_else(|| Error::usage("there is no received file of this number"))?;
    let cannot = Error::disk(Verb::Open, &path);
    path.symlink_metadata().map_err(cannot)?;
    Ok(Received { path })
}

impl Received {
    /// The open file and its bytes. What has its name by now, and is no regular file, is an error.
    pub fn open(&self) -> Result<(File, u64)> {
        let failed = |cause| Error::disk(Verb::Open, &self.path)(cause);
        let file = open::unlinked(&self.path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if found.is_file() { Ok((file, found.len())) } else { Err(Error::usage("it is not a file")) }
    }

    /// Its name, percent-encoded (RFC 8187, section 3.2).
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let mut encoded = String::new();
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                encoded.push(byte.into());
            } else {
                percent::push(&mut encoded, byte);
            }
        }
        encoded
    }

    /// Opens the folder that it is in; of a folder, this one.
    pub fn open_folder(&self) -> Result<()> {
        let is_dir = self.path.symlink_metadata().is_ok_and(|found| found.is_dir());
        desktop::open_folder(if is_dir { &self.path } else { file::parent(&self.path) }.as_os_str())
    }
}
