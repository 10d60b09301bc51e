//! Files that a browser hands over to be sent. It shows no paths, so the files are copied into the home: an upload is a folder
//! there, into which they are put one by one under their numbers. What is committed is a job of queued files that owns the
//! folder: it goes when the job is sent or cancelled (`store::queued_files`). The job is in its log whole or not at all, so a
//! crash leaves an upload that was not committed, and such a one is removed after a day (egoat-files(5), UPLOADS).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::app::contacts;
use crate::app::link::KeepFree;
use crate::crypto::{base32, random_array};
use crate::error::{Error, Result, Verb};
use crate::node::room::short_of;
use crate::store::file;
use crate::store::home::{Home, Own};
use crate::store::own_files::OwnFiles;
use crate::store::peers::Peer;
use crate::text;
use crate::transfer::path::SafePath;

/// The folder in an upload with what is sent, as it is called by the receiver.
const TREE: &str = "files";
/// An upload that was not committed is kept for so long.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Bytes that are read and written at once.
const PIECE: usize = 256 << 10;

/// What a commit lists.
pub enum Listed {
    /// A directory, by its path below the drop.
    Dir(SafePath),
    /// A file.
    File {
        /// Its path below the drop.
        path: SafePath,
        /// Under which number it was stored.
        number: u64,
        /// Its bytes.
        size: u64,
        /// When it was modified, in ms of Unix time.
        time: u64,
    },
}

/// Begins an upload; returns its id.
pub fn begin(home: &Home) -> Result<String> {
    let id = base32::encode(&random_array::<8>());
    let dir = home.uploads_dir().join(&id);
    file::create_private_dir(&dir).map_err(Error::disk(Verb::Create, &dir))?;
    Ok(id)
}

/// The folder of an upload that was begun.
fn folder(home: &Home, id: &str) -> Result<PathBuf> {
    let dir = home.uploads_dir().join(id);
    let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_id || id.is_empty() || !dir.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Err(Error::usage("there is no such upload any more"));
    }
    Ok(dir)
}

/// Stores a file of an upload: so many bytes, which `read` gives. On the disk when it returns.
pub fn store(
    home: &Home,
    keep_free: KeepFree,
    id: &str,
    number: u64,
    size: u64,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Result<()> {
    let dir = folder(home, id)?;
    if keep_free.room(&dir).is_some_and(|room| room < size) {
        return Err(short_of(&dir));
    }
    // Of one number, two may arrive at once: a browser that has given up the first is slow to say so.
    let unique = base32::encode(&random_array::<8>());
    let (path, unfinished) = (dir.join(number.to_string()), dir.join(format!("{number}-{unique}.new")));
    let mut copy = || -> io::Result<()> {
        let mut file = file::create_afresh(&unfinished)?;
        let mut buffer = vec![0; PIECE];
        let mut left = size;
        while left > 0 {
            // Small pieces of the network are put together, so that few writes are made.
            let mut filled = 0;
            while filled < buffer.len() && (filled as u64) < left {
                filled += read(&mut buffer[filled..])?;
            }
            file.write_all(&buffer[..filled])?;
            left -= filled as u64;
        }
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        file::sync_dir(&dir)
    };
    copy().map_err(|cause| {
        // Part of a file is of no use.
        let _ = fs::remove_file(&unfinished);
        Error::disk(Verb::Write, &path)(cause)
    })
}

/// The list of a commit: `file`, `number`, `size` and `time` of each file, and `dir` of each directory.
pub fn listed<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<Listed>> {
    let mut fields = fields.filter(|(name, _)| !matches!(*name, "id" | "peer"));
    let mut all = Vec::new();
    let bad = || Error::usage("the list of files is malformed");
    while let Some((name, value)) = fields.next() {
        let path = SafePath::parse(value)
            .map_err(|why| Error::usage(format!("{} cannot be sent: {why}", text::clean_line(value))))?;
        if name == "dir" {
            all.push(Listed::Dir(path));
            continue;
        }
        let mut number = |wanted| {
            let (_, value) = fields.next().filter(|(name, _)| *name == wanted).ok_or_else(bad)?;
            value.parse::<u64>().map_err(|_| bad())
        };
        let (number, size, time) = (number("number")?, number("size")?, number("time")?);
        if name != "file" {
            return Err(bad());
        }
        all.push(Listed::File { path, number, size, time });
    }
    Ok(all)
}

/// Makes one job of an upload, for the peer; durable when it returns. Returns its number and its bytes.
pub fn commit(own: &Own, peer: &Peer, id: &str, list: &[Listed]) -> Result<(u64, u64)> {
    peer.ensure_not_blocked()?;
    let dir = folder(own.home(), id)?;
    check(&dir, list)?;
    let tree = file::absolute(dir.join(TREE));
    build(&dir, &tree, list).map_err(Error::disk(Verb::Write, &tree))?;
    let mut tops: Vec<PathBuf> = Vec::new();
    for top in list.iter().filter_map(|one| one.path().components().next()) {
        let top = tree.join(top);
        if !tops.contains(&top) {
            tops.push(top);
        }
    }
    let (number, items) =
        own.queued_files(&peer.key)?.queue_paths(&tops, None, &OwnFiles::of(own.home())?)?;
    Ok((number, items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.size))))
}

impl Listed {
    fn path(&self) -> &SafePath {
        match self {
            Listed::Dir(path) | Listed::File { path, .. } => path,
        }
    }
}

/// Looks whether all that is listed is there, before anything is moved.
fn check(dir: &Path, list: &[Listed]) -> Result<()> {
    for one in list {
        if let Listed::File { path, number, size, .. } = one {
            let found = dir.join(number.to_string()).symlink_metadata();
            if !found.is_ok_and(|found| found.is_file() && found.len() == *size) {
                let path = text::clean_line(path.as_str());
                return Err(Error::usage(format!("{path} is not there as a whole; nothing is sent")));
            }
        }
    }
    if list.is_empty() { Err(Error::usage("which files?")) } else { Ok(()) }
}

/// Moves the files to their names. All of it is on the disk when it returns.
fn build(dir: &Path, tree: &Path, list: &[Listed]) -> io::Result<()> {
    // One may stand here several times, and costs nothing the second time it is synced.
    let mut folders = vec![tree.to_owned()];
    file::create_private_dir(tree)?;
    for one in list {
        let path = tree.join(one.path().as_str());
        let folder = if let Listed::Dir(_) = one { path.as_path() } else { file::parent(&path) };
        file::create_private_dir(folder)?;
        if folders.last().is_none_or(|last| last != folder) {
            folders.push(folder.to_owned());
        }
        if let Listed::File { number, time, .. } = one {
            let stored = dir.join(number.to_string());
            // Where two names are one file, none takes the place of the other.
            if path.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(*time)) {
                // A time that the disk does not hold is no reason not to send.
                let _ = File::options().write(true).open(&stored).and_then(|file| file.set_modified(time));
            }
            fs::rename(stored, path)?;
        }
    }
    folders.iter().try_for_each(|folder| file::sync_dir(folder))?;
    file::sync_dir(dir)
}

/// Removes an upload that was not committed.
pub fn discard(own: &Own, id: &str) -> Result<()> {
    let dir = folder(own.home(), id)?;
    if jobs_folders(own)?.contains(&file::absolute(dir.clone())) {
        return Err(Error::usage("this was committed; cancel it instead"));
    }
    fs::remove_dir_all(&dir).map_err(Error::disk(Verb::Remove, &dir))
}

/// The folders of all jobs that wait or were stopped.
fn jobs_folders(own: &Own) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for peer in contacts::all(own)? {
        for job in own.read_queued_files(&peer.key).all()? {
            found.extend(job.items.first().and_then(|item| own.home().upload_of(&item.path)));
        }
    }
    Ok(found)
}

/// Removes what was uploaded, and neither committed nor touched for a day.
pub fn sweep(own: &Own) -> Result<()> {
    let dir = file::absolute(own.home().uploads_dir());
    let entries = match fs::read_dir(&dir) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::disk(Verb::Read, &dir))?,
    };
    let kept = jobs_folders(own)?;
    for entry in entries.flatten() {
        let touched = entry.metadata().and_then(|found| found.modified());
        let is_old = touched.is_ok_and(|touched| touched.elapsed().is_ok_and(|age| age >= KEPT));
        if is_old && !kept.contains(&entry.path()) {
            fs::remove_dir_all(entry.path()).map_err(Error::disk(Verb::Remove, &entry.path()))?;
        }
    }
    Ok(())
}
