//! What is sent: files and directories, what they looked like when they were chosen, and their bytes. It leaves out
//! connections.

use std::fs::{DirEntry, File, Metadata};
use std::io;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use crate::crypto::Hasher;
use crate::error::{Error, Result, reason};
use crate::store::file;
use crate::store::folder::{Folder, Walk};
use crate::store::found::{self, Child, Found, Held, Kind, Place, Stays, modified, refuse};
use crate::store::open::{self, FileId};
use crate::store::own_files::OwnFiles;
use crate::store::source::{Item, MAX_DEPTH, MAX_ENTRIES};
use crate::text;
use crate::transfer::manifest::{Entry, Manifest, Span};
use crate::transfer::path::{NameList, SafePath, count_of_names};
use crate::wire::message::{CHUNK, PIECE};

/// As many files and directories of a directory are looked at by a thread of their own.
const WORTH_A_THREAD: usize = 16;

/// What the user wants to be sent.
pub struct Wanted {
    /// A file or a directory.
    pub path: PathBuf,
    /// What it is to be called by the receiver, when not as it is here.
    pub name: Option<String>,
    /// Which it has to be, if that was noted.
    pub meant: Option<Place>,
}

impl Wanted {
    /// What the path leads to now, under its own name.
    pub fn path(path: &Path) -> Wanted {
        Wanted { path: path.to_owned(), name: None, meant: None }
    }

    /// What was queued.
    pub fn item(item: &Item) -> Wanted {
        Wanted { path: item.path.clone(), name: item.name.clone(), meant: item.place.clone() }
    }
}

/// Files and directories that can be sent.
pub struct Sources {
    tops: Vec<Top>,
    /// For each entry of the manifest, which file or directory it is.
    ids: Vec<Option<FileId>>,
    manifest: Manifest,
    /// What lies in the directories but is neither file nor directory.
    skipped: Vec<(Stays, PathBuf)>,
    own: Vec<PathBuf>,
}

/// A file or directory that the user named, with all that is in it.
struct Top {
    /// Its entry in the manifest; its own entries follow.
    first: usize,
    /// How the user knows it.
    path: PathBuf,
    /// Where it is, without a link on the way.
    real: PathBuf,
}

impl Sources {
    /// Looks at everything that is wanted; each goes under its own last name, or another, a directory with all that is in
    /// it.
    pub fn choose(wanted: &[Wanted], own: &OwnFiles) -> Result<Sources> {
        let mut scan = Scan::new(own);
        let mut tops = Vec::new();
        for one in wanted {
            let found = Found::at(&one.path, own)?;
            if let Some(why) = one.meant.as_ref().and_then(|meant| meant.difference(&found.place)) {
                return Err(refuse(&one.path, why));
            }
            let Some(name) = name_of(one, &found)? else {
                scan.unsendable.note(&one.path.to_string_lossy(), &NOT_UTF8);
                continue;
            };
            let top =
                Top { first: scan.entries.len(), path: one.path.clone(), real: found.place.real.clone() };
            scan.add_top(&one.path, &name, &found)?;
            tops.push(top);
        }
        scan.ensure_names_travel()?;
        let manifest = Manifest::new(scan.entries).map_err(|why| match wanted {
            [one] => refuse(&one.path, why),
            _ => Error::failed(format!("cannot send these files: {why}")),
        })?;
        Ok(Sources { tops, ids: scan.ids, manifest, skipped: scan.skipped, own: scan.own_found })
    }

    /// What they add up to.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What each thing that was wanted is called on the way.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tops.iter().map(|top| self.manifest.entries()[top.first].path.as_str())
    }

    /// Symbolic links, sockets and the like, which do not travel.
    pub fn skipped(&self) -> &[(Stays, PathBuf)] {
        &self.skipped
    }

    /// What stays here because it is egoat's own: a line for the user about each, cleaned for a terminal.
    pub fn own(&self) -> impl Iterator<Item = String> {
        let clean = |path: &PathBuf| text::clean_line(&path.to_string_lossy());
        self.own
            .iter()
            .map(move |path| format!("{} is a home of egoat, or part of one, and stays here", clean(path)))
    }

    /// Which files they are on this machine: where those are that the user named, and the numbers of all of them. Two
    /// that have name, size and time in common differ in this.
    pub fn identity(&self) -> Vec<u8> {
        let mut identity = Vec::new();
        for top in &self.tops {
            identity.extend(top.real.as_os_str().as_encoded_bytes());
            identity.push(0);
        }
        for id in self.ids.iter().flatten() {
            identity.extend(id.device().to_be_bytes());
            identity.extend(id.inode().to_be_bytes());
        }
        identity
    }

    /// Reads their bytes; each thread has its own.
    pub fn reader(&self) -> SourceReader<'_> {
        SourceReader { sources: self, open: None, walk: None }
    }

    /// The number of the top that an entry belongs to, and its path below that: empty for the top itself.
    fn below_top(&self, entry: usize) -> (usize, &str) {
        let top = self.tops.partition_point(|top| top.first <= entry) - 1;
        let path = |entry: usize| self.manifest.entries()[entry].path.as_str();
        let below = &path(entry)[path(self.tops[top].first).len()..];
        (top, below.trim_start_matches('/'))
    }

    /// How the user knows it.
    fn path_of(&self, entry: usize) -> PathBuf {
        match self.below_top(entry) {
            (top, "") => self.tops[top].path.clone(),
            (top, below) => self.tops[top].path.join(below),
        }
    }
}

/// `.` and `..` have no name of their own, but the directories that they mean do. `None` for a name that is not UTF-8.
fn name_of(wanted: &Wanted, found: &Found) -> Result<Option<String>> {
    if wanted.name.is_some() {
        return Ok(wanted.name.clone());
    }
    let path = &wanted.path;
    let name = path.file_name().or_else(|| found.place.real.file_name());
    let name = name.ok_or_else(|| refuse(path, "it has no name of its own"))?;
    Ok(name.to_str().map(str::to_owned))
}

/// Why a name that is no text cannot travel.
const NOT_UTF8: &str = "it is not UTF-8";

struct Scan<'a> {
    own: &'a OwnFiles,
    entries: Vec<Entry>,
    ids: Vec<Option<FileId>>,
    skipped: Vec<(Stays, PathBuf)>,
    own_found: Vec<PathBuf>,
    /// Names that no receiver takes.
    unsendable: NameList,
}

impl<'a> Scan<'a> {
    fn new(own: &'a OwnFiles) -> Scan<'a> {
        Scan {
            own,
            entries: Vec::new(),
            ids: Vec::new(),
            skipped: Vec::new(),
            own_found: Vec::new(),
            unsendable: NameList::default(),
        }
    }

    /// All at once, so that they can all be renamed before the next try.
    fn ensure_names_travel(&self) -> Result<()> {
        match self.unsendable.count() {
            0 => Ok(()),
            count => Err(Error::Failed {
                what: format!("{} cannot travel:{}", count_of_names(count), self.unsendable),
                hint: Some(
                    "rename them, or pack them: `tar c DIR | egoat send PEER --name DIR.tar -`".into(),
                ),
            }),
        }
    }

    fn add_top(&mut self, path: &Path, name: &str, found: &Found) -> Result<()> {
        self.push(path, name, &found.data)?;
        match &found.held {
            Held::File => Ok(()),
            Held::Dir(folder) => self.add_children(folder, name),
        }
    }

    /// What lies in a directory that the user named. All cores look at it: mostly it is the system, or a disk, that takes time.
    fn add_children(&mut self, folder: &Folder, parent: &str) -> Result<()> {
        let listed = found::list(folder, self.own)?;
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let shares = listed.chunks(listed.len().div_ceil(cores).max(WORTH_A_THREAD));
        let own = self.own;
        let look = |share: &[DirEntry]| {
            let mut scan = Scan::new(own);
            let mut look = |entry| scan.add_child(folder, &found::look(folder, entry, own)?, parent, 1);
            share.iter().try_for_each(&mut look).map(|()| scan)
        };
        thread::scope(|scope| {
            let begin = |share| (share, thread::Builder::new().spawn_scoped(scope, move || look(share)));
            let looking: Vec<_> = shares.map(begin).collect();
            looking.into_iter().try_for_each(|(share, thread)| {
                let scan = match thread.map(ScopedJoinHandle::join) {
                    Ok(scan) => scan.unwrap_or_else(|panic| resume_unwind(panic)),
                    // There can be no more threads.
                    Err(_) => look(share),
                };
                self.append(scan?)
            })
        })
    }

    /// What lies in a directory of that name and depth.
    fn add_child(&mut self, folder: &Folder, child: &Child, parent: &str, depth: u32) -> Result<()> {
        let data = &child.data;
        let path = || folder.path().join(&child.name);
        if let Kind::Other(what) = child.kind {
            self.skipped.push((what, path()));
            return Ok(());
        }
        let Some(own) = child.name.to_str() else {
            self.unsendable.note(&path().to_string_lossy(), &NOT_UTF8);
            return Ok(());
        };
        let name = || format!("{parent}/{own}");
        match child.kind {
            Kind::File => self.push(&path(), &name(), data),
            Kind::Dir => self.add_dir(&found::enter(folder, child)?, &name(), data, depth + 1),
            Kind::Own => {
                self.own_found.push(path());
                Ok(())
            }
            Kind::Home => {
                self.own_found.push(path());
                let home = found::enter(folder, child)?;
                let has_shared = !found::list(&home, self.own)?.is_empty();
                if has_shared { self.add_dir(&home, &name(), data, depth + 1) } else { Ok(()) }
            }
            // Left out above.
            Kind::Other(_) => Ok(()),
        }
    }

    fn add_dir(&mut self, folder: &Folder, name: &str, data: &Metadata, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(refuse(folder.path(), format!("it is more than {MAX_DEPTH} directories deep")));
        }
        self.push(folder.path(), name, data)?;
        let children = found::children(folder, self.own)?;
        children.iter().try_for_each(|child| self.add_child(folder, child, name, depth))
    }

    fn push(&mut self, path: &Path, name: &str, data: &Metadata) -> Result<()> {
        self.make_room(1)?;
        let safe = match SafePath::parse(name) {
            Ok(safe) => safe,
            Err(rule) => {
                self.unsendable.note(&path.to_string_lossy(), &rule);
                return Ok(());
            }
        };
        self.entries.push(Entry {
            path: safe,
            is_dir: data.is_dir(),
            executable: data.is_file() && file::is_executable(data),
            modified: modified(data),
            size: if data.is_dir() { 0 } else { data.len() },
        });
        self.ids.push(FileId::of(data));
        Ok(())
    }

    fn append(&mut self, mut found: Scan) -> Result<()> {
        self.make_room(found.entries.len())?;
        self.entries.append(&mut found.entries);
        self.ids.append(&mut found.ids);
        self.skipped.append(&mut found.skipped);
        self.own_found.append(&mut found.own_found);
        self.unsendable.append(found.unsendable);
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

/// Reads the sources' bytes; one file is open at a time.
pub struct SourceReader<'a> {
    sources: &'a Sources,
    open: Option<(usize, File)>,
    /// In the directory of the top with this number.
    walk: Option<(usize, Walk<Folder>)>,
}

impl SourceReader<'_> {
    /// Fills `bytes` from `at` on in the byte string. A file that is not what it was when it was chosen is an error,
    /// rather than a torn copy, or a copy of something else.
    pub fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let mut rest = bytes;
        self.sources.manifest.spans(at, rest.len(), |span| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(span.length);
            rest = later;
            self.read_span(&span, now).map_err(|error| match self.sources.below_top(span.entry) {
                (_, "") => error,
                _ => found::within_directory(error),
            })
        })
    }

    fn read_span(&mut self, span: &Span, bytes: &mut [u8]) -> Result<()> {
        let entry = &self.sources.manifest.entries()[span.entry];
        if self.open.as_ref().is_none_or(|(open, _)| *open != span.entry) {
            self.open = Some((span.entry, self.open_entry(span.entry)?));
        }
        let path = || self.sources.path_of(span.entry);
        let Some((_, file)) = &self.open else { return Err(refuse(&path(), "it is not open")) };
        let got = file::read_at(file, bytes, span.offset).map_err(|cause| refuse(&path(), reason(&cause)))?;
        // Looked at with the last bytes of each chunk and of the file: what was read before has not changed either,
        // unless somebody sets the time back.
        let end = span.offset + span.length as u64;
        let is_due = end == entry.size || end.is_multiple_of(CHUNK as u64);
        if got < bytes.len() || is_due {
            let now = file.metadata().map_err(|cause| refuse(&path(), reason(&cause)))?;
            ensure_unchanged(&now, entry, path)?;
        }
        if got < bytes.len() { Err(found::sizeless(&path())) } else { Ok(()) }
    }

    /// Opens the very file that was chosen, before its first byte is read.
    fn open_entry(&mut self, index: usize) -> Result<File> {
        let sources = self.sources;
        let path = || sources.path_of(index);
        let failed = |cause: io::Error| refuse(&path(), reason(&cause));
        let file = self.find(index).map_err(failed)?;
        let now = file.metadata().map_err(failed)?;
        if FileId::of(&now) != sources.ids[index] {
            return Err(refuse(&path(), "another file has its place now"));
        }
        ensure_unchanged(&now, &sources.manifest.entries()[index], path)?;
        Ok(file)
    }

    /// Goes to a file from the directory that the user named, which is still the same, without following a link.
    fn find(&mut self, index: usize) -> io::Result<File> {
        let sources = self.sources;
        let (number, below) = sources.below_top(index);
        let top = &sources.tops[number];
        if below.is_empty() {
            return open::unlinked(&top.real);
        }
        let walk = match &mut self.walk {
            Some((at, walk)) if *at == number => walk,
            other => {
                let folder = Folder::open(&top.real)?;
                if FileId::of(&folder.metadata()?) != sources.ids[top.first] {
                    return Err(file::no_directory());
                }
                &mut other.insert((number, Walk::from(folder))).1
            }
        };
        let (dir, name) = below.rsplit_once('/').unwrap_or(("", below));
        walk.to(dir)?.read_file(name)
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

fn ensure_unchanged(now: &Metadata, entry: &Entry, path: impl Fn() -> PathBuf) -> Result<()> {
    if now.is_file() && now.len() == entry.size && modified(now) == entry.modified {
        Ok(())
    } else {
        Err(found::changed(&path(), now.len() > entry.size))
    }
}
