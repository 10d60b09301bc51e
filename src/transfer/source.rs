//! What is sent: files and directories, what they looked like when they were chosen, and their bytes. It leaves out
//! connections.

use std::fs::{DirEntry, File, Metadata};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use crate::crypto::Hasher;
use crate::error::{Error, Result, reason};
use crate::store::file;
use crate::store::source::{MAX_DEPTH, MAX_ENTRIES, modified, refuse};
use crate::transfer::manifest::{Entry, Manifest, Span};
use crate::transfer::path::SafePath;
use crate::wire::message::{CHUNK, PIECE};

/// As many files and directories of a directory are looked at by a thread of their own.
const WORTH_A_THREAD: usize = 16;

/// Files and directories that can be sent.
pub struct Sources {
    /// For each entry of the manifest, where it is.
    paths: Vec<PathBuf>,
    manifest: Manifest,
    /// What lies in the directories but is neither file nor directory.
    skipped: Vec<PathBuf>,
}

impl Sources {
    /// Looks at every path; each goes under its own last name, a directory with all that is in it.
    pub fn choose(paths: &[PathBuf]) -> Result<Sources> {
        let mut found = Scan::default();
        for path in paths {
            found.add_named(path)?;
        }
        let manifest = Manifest::new(found.entries)
            .map_err(|why| Error::failed(format!("cannot send these files: {why}")))?;
        Ok(Sources { paths: found.paths, manifest, skipped: found.skipped })
    }

    /// One file under another name.
    pub fn choose_as(path: &Path, name: &str) -> Result<Sources> {
        let mut found = Scan::default();
        let data = std::fs::metadata(path).map_err(|cause| refuse(path, reason(&cause)))?;
        found.add_top(path.to_owned(), name, &data)?;
        let manifest = Manifest::new(found.entries).map_err(|why| refuse(path, why))?;
        Ok(Sources { paths: found.paths, manifest, skipped: found.skipped })
    }

    /// What they add up to.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Symbolic links, sockets and the like, which do not travel.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Reads their bytes; each thread has its own.
    pub fn reader(&self) -> SourceReader<'_> {
        SourceReader { sources: self, open: None }
    }
}

#[derive(Default)]
struct Scan {
    entries: Vec<Entry>,
    paths: Vec<PathBuf>,
    skipped: Vec<PathBuf>,
}

impl Scan {
    /// What the user named, which may be a link to something.
    fn add_named(&mut self, path: &Path) -> Result<()> {
        let data = std::fs::metadata(path).map_err(|cause| refuse(path, reason(&cause)))?;
        // `.` and `..` have no name of their own, but the directories that they mean do.
        let whole = match path.file_name() {
            Some(_) => path.to_owned(),
            None => path.canonicalize().map_err(|cause| refuse(path, reason(&cause)))?,
        };
        let name = whole.file_name().ok_or_else(|| refuse(path, "it has no name of its own"))?;
        let name = name.to_str().ok_or_else(|| refuse(path, "its name is not UTF-8; rename it"))?.to_owned();
        self.add_top(whole, &name, &data)
    }

    fn add_top(&mut self, path: PathBuf, name: &str, data: &Metadata) -> Result<()> {
        if data.is_dir() {
            let listed = list(&path)?;
            self.push(path, name, data)?;
            return self.add_children(&listed, name);
        }
        // A FIFO would block for ever.
        if !data.is_file() {
            return Err(refuse(&path, "it is neither a regular file nor a directory"));
        }
        self.add_file(path, name, data)
    }

    /// What lies in a directory that the user named. All cores look at it: mostly it is the system, or a disk, that takes time.
    fn add_children(&mut self, listed: &[DirEntry], parent: &str) -> Result<()> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let shares = listed.chunks(listed.len().div_ceil(cores).max(WORTH_A_THREAD));
        let look = |share: &[DirEntry]| {
            let mut found = Scan::default();
            share.iter().try_for_each(|child| found.add_child(child, parent, 1)).map(|()| found)
        };
        thread::scope(|scope| {
            let begin = |share| (share, thread::Builder::new().spawn_scoped(scope, move || look(share)));
            let looking: Vec<_> = shares.map(begin).collect();
            looking.into_iter().try_for_each(|(share, thread)| {
                let found = match thread.map(ScopedJoinHandle::join) {
                    Ok(found) => found.unwrap_or_else(|panic| resume_unwind(panic)),
                    // There can be no more threads.
                    Err(_) => look(share),
                };
                self.append(found?)
            })
        })
    }

    fn add_dir(&mut self, path: PathBuf, name: &str, data: &Metadata, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(refuse(&path, format!("it is more than {MAX_DEPTH} directories deep")));
        }
        let listed = list(&path)?;
        self.push(path, name, data)?;
        listed.iter().try_for_each(|child| self.add_child(child, name, depth))
    }

    /// What lies in a directory of that name and depth.
    fn add_child(&mut self, child: &DirEntry, parent: &str, depth: u32) -> Result<()> {
        let path = child.path();
        // Not followed if it is a link.
        let data = child.metadata().map_err(|cause| refuse(&path, reason(&cause)))?;
        let own = child.file_name();
        let own = own.to_str().ok_or_else(|| refuse(&path, "its name is not UTF-8; rename it"))?;
        let name = format!("{parent}/{own}");
        if data.is_dir() {
            self.add_dir(path, &name, &data, depth + 1)?;
        } else if data.is_file() {
            self.add_file(path, &name, &data)?;
        } else {
            self.skipped.push(path);
        }
        Ok(())
    }

    fn add_file(&mut self, path: PathBuf, name: &str, data: &Metadata) -> Result<()> {
        // A file that cannot be read is to be found before anybody is dialled. What all may read need not be tried.
        if !file::is_readable_by_all(data) {
            File::open(&path).map_err(|cause| refuse(&path, reason(&cause)))?;
        }
        self.push(path, name, data)
    }

    fn push(&mut self, path: PathBuf, name: &str, data: &Metadata) -> Result<()> {
        self.make_room(1)?;
        let safe =
            SafePath::parse(name).map_err(|rule| refuse(&path, format!("its name cannot travel: {rule}")))?;
        self.entries.push(Entry {
            path: safe,
            is_dir: data.is_dir(),
            executable: data.is_file() && file::is_executable(data),
            modified: modified(data),
            size: if data.is_dir() { 0 } else { data.len() },
        });
        self.paths.push(path);
        Ok(())
    }

    fn append(&mut self, mut found: Scan) -> Result<()> {
        self.make_room(found.entries.len())?;
        self.entries.append(&mut found.entries);
        self.paths.append(&mut found.paths);
        self.skipped.append(&mut found.skipped);
        Ok(())
    }

    fn make_room(&self, more: usize) -> Result<()> {
        if self.entries.len() + more <= MAX_ENTRIES as usize {
            return Ok(());
        }
        Err(Error::Failed {
            what: format!("cannot send more than {MAX_ENTRIES} files and directories at once"),
            hint: Some("pack them: `tar c DIR | egoat send PEER --name DIR.tar -`".into()),
        })
    }
}

/// In the order of names, so that the same tree is the same transfer when it is tried again.
fn list(dir: &Path) -> Result<Vec<DirEntry>> {
    let listed = std::fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut listed = listed.map_err(|cause| refuse(dir, reason(&cause)))?;
    listed.sort_unstable_by_key(DirEntry::file_name);
    Ok(listed)
}

/// Reads the sources' bytes; one file is open at a time.
pub struct SourceReader<'a> {
    sources: &'a Sources,
    open: Option<(usize, File)>,
}

impl SourceReader<'_> {
    /// Fills `bytes` from `at` on in the byte string. A file that is not what it was when it was chosen is an error,
    /// rather than a torn copy.
    pub fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let mut rest = bytes;
        self.sources.manifest.spans(at, rest.len(), |span| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(span.length);
            rest = later;
            self.read_span(&span, now)
        })
    }

    fn read_span(&mut self, span: &Span, bytes: &mut [u8]) -> Result<()> {
        let path = &self.sources.paths[span.entry];
        let entry = &self.sources.manifest.entries()[span.entry];
        if self.open.as_ref().is_none_or(|(open, _)| *open != span.entry) {
            let file = File::open(path).map_err(|cause| refuse(path, reason(&cause)))?;
            self.open = Some((span.entry, file));
        }
        let Some((_, file)) = &self.open else { return Err(refuse(path, "it is not open")) };
        let got = file::read_at(file, bytes, span.offset).map_err(|cause| refuse(path, reason(&cause)))?;
        // Looked at with the last bytes of each chunk and of the file: what was read before has not changed either,
        // unless somebody sets the time back.
        let end = span.offset + span.length as u64;
        let is_due = end == entry.size || end.is_multiple_of(CHUNK as u64);
        if got < bytes.len() || (is_due && !is_unchanged(file, entry)) {
            Err(refuse(path, "it changed while it was sent"))
        } else {
            Ok(())
        }
    }

    /// BLAKE2b-256 of `length` bytes from `at` on.
    pub fn hash(&mut self, at: u64, length: u64) -> Result<[u8; 32]> {
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; PIECE];
        let mut done = 0;
        while done < length {
            let part = (length - done).min(PIECE as u64) as usize;
            self.read(at + done, &mut buffer[..part])?;
            hasher.update(&buffer[..part]);
            done += part as u64;
        }
        Ok(hasher.finish())
    }
}

fn is_unchanged(file: &File, entry: &Entry) -> bool {
    file.metadata().is_ok_and(|data| data.len() == entry.size && modified(&data) == entry.modified)
}
